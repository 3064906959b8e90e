//! What can be switched is switched at random: each render is valid and the linter has nothing to say.

use serde_json::{Value, json};

use super::{assert_clean, below, kinds, objects, only, render, schema, word};

/// Switches that take away what the linter asks for, with the rule that says so.
const TAKEN: &[(&str, &str)] = &[("healthcheck.enabled", "no-readiness-probe")];

/// Switches: values that are true or false, or one of a few.
fn switches() -> Vec<schema::Leaf> {
    let mut switches = schema::leaves();
    switches.retain(|leaf| {
        let known = leaf.schema["type"] == "boolean" || leaf.schema.get("enum").is_some();
        known && !leaf.path[0].to_lowercase().ends_with("securitycontext")
    });
    switches
}

fn merge(into: &mut Value, from: Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (key, value) in from {
                merge(into.entry(key).or_insert(Value::Null), value);
            }
        }
        (into, from) => *into = from,
    }
}

/// What switches need to be on.
fn ground() -> Value {
    json!({"secrets": {"externalSecret": {"store": {"name": word()}, "key": word()}}})
}

#[test]
fn the_linter_looks_at_what_is_rendered() {
    let mut files = super::chart();
    let deployment = String::from_utf8(files["templates/deployment.yaml"].clone()).unwrap();
    files.insert("templates/deployment.yaml".into(), deployment.replace("  minReady", "  minimumReady").into_bytes());
    let findings = lint::chart(&files, &super::options(&[]));
    assert!(findings.iter().any(|finding| finding.rule == "unknown-field"), "{}", lint::text(&findings));
}

#[test]
fn each_switch_alone_renders_clean() {
    let root = schema::schema();
    let switches = switches();
    assert!(switches.len() >= 25, "{} switches", switches.len());
    for leaf in &switches {
        let mut values = ground();
        merge(&mut values, leaf.with(schema::draw(&root, &leaf.schema, leaf.default.as_ref())));
        if let Some((_, rule)) = TAKEN.iter().find(|(name, _)| *name == leaf.name()) {
            let findings = lint::chart(&super::chart(), &super::options(&[values.to_string()]));
            assert!(findings.iter().any(|finding| finding.rule == *rule), "{values}: {}", lint::text(&findings));
            continue;
        }
        assert_clean(&values.to_string(), &[values.to_string()]);
    }
}

#[test]
fn switches_drawn_at_random_render_clean() {
    let root = schema::schema();
    let switches = switches();
    for _ in 0..20 {
        let mut values = ground();
        merge(&mut values, json!({"commonLabels": {"team": word()}, "fullnameOverride": word()}));
        for leaf in &switches {
            if below(2) == 1 && !TAKEN.iter().any(|(name, _)| *name == leaf.name()) {
                merge(&mut values, leaf.with(schema::draw(&root, &leaf.schema, leaf.default.as_ref())));
            }
        }
        let shown = values.to_string();
        assert_clean(&shown, std::slice::from_ref(&shown));
        let rendered = render(std::slice::from_ref(&shown)).unwrap_or_else(|error| panic!("{shown}: {error}"));
        for object in objects(&rendered).iter().filter(|object| object["kind"] != "Pod") {
            assert_eq!(object["metadata"]["labels"]["team"], values["commonLabels"]["team"], "{shown}");
        }
        let all = objects(&rendered);
        let labels = &only(&all, "Deployment")["spec"]["template"]["metadata"]["labels"];
        for (key, value) in only(&all, "Service")["spec"]["selector"].as_object().unwrap() {
            assert_eq!(&labels[key], value, "{shown}");
        }
    }
}

#[test]
fn each_kind_is_made_where_its_value_says_so() {
    let store = json!({"enabled": true, "store": {"name": "vault"}, "key": "orders"});
    for (values, kind) in [
        (json!({"ingress": {"enabled": true}}), "Ingress"),
        (json!({"istio": {"enabled": true}}), "VirtualService"),
        (json!({"istio": {"enabled": true, "destinationRule": {"enabled": true}}}), "DestinationRule"),
        (json!({"monitoring": {"serviceMonitor": {"enabled": true}}}), "ServiceMonitor"),
        (json!({"autoscaling": {"enabled": true}}), "HorizontalPodAutoscaler"),
        (json!({"replicaCount": 2}), "PodDisruptionBudget"),
        (json!({"autoscaling": {"enabled": true, "minReplicas": 2}}), "PodDisruptionBudget"),
        (json!({"secrets": {"jwt": {"secret": word()}}}), "Secret"),
        (json!({"secrets": {"externalSecret": store}}), "ExternalSecret"),
    ] {
        assert!(!kinds(&render(&[]).unwrap()).contains(&kind.to_owned()), "{kind} is made unasked");
        assert!(kinds(&render(&[values.to_string()]).unwrap()).contains(&kind.to_owned()), "{values}: no {kind}");
    }
    let defaults = ["ConfigMap", "Deployment", "HTTPRoute", "NetworkPolicy", "Pod", "Service", "ServiceAccount"];
    assert_eq!(kinds(&render(&[]).unwrap()), defaults);
    let mut options = super::options(&[json!({"istio": {"enabled": true}}).to_string()]);
    options.api_versions = vec!["monitoring.coreos.com/v1".into(), "networking.istio.io/v1/DestinationRule".into()];
    let found = kinds(&helm::render(&super::chart(), &options).unwrap());
    assert!(found.contains(&"ServiceMonitor".into()) && found.contains(&"DestinationRule".into()), "{found:?}");
}

#[test]
fn who_routes_may_call_and_who_tests_is_no_backend() {
    let (gateway, mesh, metrics) = (word(), word(), word());
    let values = json!({
        "gateway": {"parentRef": {"namespace": gateway}}, "istio": {"enabled": true, "gateway": format!("{mesh}/g")},
        "networkPolicy": {"metricsNamespaces": [metrics]},
    });
    let all = objects(&render(&[values.to_string()]).unwrap());
    let policy = only(&all, "NetworkPolicy");
    let from = |port: &str| -> Vec<String> {
        let rules = policy["spec"]["ingress"].as_array().unwrap().iter();
        let rules = rules.filter(|rule| rule["ports"].as_array().unwrap().iter().any(|one| one["port"] == port));
        let label = "/from/0/namespaceSelector/matchLabels/kubernetes.io~1metadata.name";
        rules.filter_map(|rule| rule.pointer(label)?.as_str().map(str::to_owned)).collect()
    };
    assert_eq!(from("http"), [gateway, mesh]);
    assert_eq!(from("metrics"), [metrics]);
    // A rule without `from` would let everybody in.
    let rules = policy["spec"]["ingress"].as_array().unwrap();
    assert!(rules.iter().all(|rule| rule["from"].as_array().is_some_and(|from| !from.is_empty())));
    let selector = only(&all, "Service")["spec"]["selector"].as_object().unwrap();
    let test = only(&all, "Pod");
    assert!(selector.iter().any(|(key, value)| test["metadata"]["labels"].get(key) != Some(value)));
}
