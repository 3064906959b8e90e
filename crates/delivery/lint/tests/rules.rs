//! Each rule with an input that breaks it and one that does not.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use lint::{Finding, Severity, manifests};

/// A name that was never seen.
fn name() -> String {
    format!("n{}", &uuid::Uuid::new_v4().simple().to_string()[..10])
}

/// A Deployment that breaks no rule, with two labels.
fn deployment(name: &str) -> String {
    format!(
        "apiVersion: apps/v1
kind: Deployment
metadata:
  name: {name}
spec:
  replicas: 2
  selector:
    matchLabels: {{app: {name}}}
  template:
    metadata:
      labels: {{app: {name}, tier: web}}
    spec:
      automountServiceAccountToken: false
      securityContext:
        runAsNonRoot: true
      containers:
      - name: {name}
        image: registry.example/{name}:1.2.3
        env:
        - name: MODE
          value: plain
        resources:
          requests: {{memory: 64Mi, cpu: 100m}}
          limits: {{memory: 128Mi}}
        readinessProbe: {{httpGet: {{path: /, port: 80}}}}
        livenessProbe: {{httpGet: {{path: /, port: 80}}}}
        securityContext:
          allowPrivilegeEscalation: false
          readOnlyRootFilesystem: true
          capabilities: {{drop: [ALL]}}
"
    )
}

fn of<'f>(findings: &'f [Finding], rule: &str) -> Vec<&'f Finding> {
    findings.iter().filter(|finding| finding.rule == rule).collect()
}

/// Looks at a good text with a part of it replaced, expects one finding of the rule, and returns its path and fix.
fn broken(rule: &str, good: &str, from: &str, to: &str) -> Finding {
    let before = manifests("a.yaml", good);
    assert!(of(&before, rule).is_empty(), "{rule} is told of a good text: {before:?}");
    assert!(good.contains(from), "{rule}: {from:?} is not there");
    let bad = good.replacen(from, to, 1);
    let after = manifests("a.yaml", &bad);
    let found = of(&after, rule);
    assert_eq!(found.len(), 1, "{rule}: {after:#?}\n{bad}");
    assert_eq!(found[0].severity, lint::rule_of(rule).unwrap().severity);
    assert!(!found[0].fix.is_empty() && found[0].line > 0 && found[0].column > 0);
    found[0].clone()
}

#[test]
fn a_good_deployment_has_no_finding() {
    let findings = manifests("a.yaml", &deployment(&name()));
    assert!(findings.is_empty(), "{findings:#?}");
}

#[test]
fn every_rule_of_a_pod_is_told_at_its_field() {
    let name = name();
    let good = deployment(&name);
    for (rule, from, to, path) in [
        ("no-memory-limit", "limits: {memory: 128Mi}", "limits: {cpu: 1}", "resources.limits.memory"),
        ("mutable-image-tag", ":1.2.3", ":latest", "image"),
        ("mutable-image-tag", ":1.2.3", "", "image"),
        (
            "privileged-container",
            "readOnlyRootFilesystem: true",
            "readOnlyRootFilesystem: true\n          privileged: true",
            "securityContext.privileged",
        ),
        (
            "privilege-escalation",
            "allowPrivilegeEscalation: false",
            "procMount: Default",
            "securityContext.allowPrivilegeEscalation",
        ),
        ("run-as-non-root", "runAsNonRoot: true", "runAsUser: 1", "securityContext.runAsNonRoot"),
        (
            "run-as-root",
            "readOnlyRootFilesystem: true",
            "readOnlyRootFilesystem: true\n          runAsUser: 0",
            "securityContext.runAsUser",
        ),
        ("capabilities-not-dropped", "drop: [ALL]", "drop: [NET_RAW]", "securityContext.capabilities.drop"),
        ("no-readiness-probe", "readinessProbe", "startupProbe", "readinessProbe"),
        ("no-liveness-probe", "livenessProbe", "startupProbe", "livenessProbe"),
        (
            "writable-root-filesystem",
            "readOnlyRootFilesystem: true",
            "readOnlyRootFilesystem: false",
            "securityContext.readOnlyRootFilesystem",
        ),
        ("secret-in-env", "name: MODE", "name: DB_PASSWORD", "env[0].value"),
    ] {
        let found = broken(rule, &good, from, to);
        assert_eq!(found.path, format!("spec.template.spec.containers[0].{path}"), "{rule}");
        assert_eq!(found.object, format!("Deployment/{name}"));
    }
    for plain in ["name: DB_PASSWORD_FILE", "name: ALLOW_EMPTY_PASSWORD\n          value: 'yes' #"] {
        let text = good.replace("name: MODE\n          value: plain", &format!("{plain}\n          value: plain"));
        let text = text.replace("'yes' #\n          value: plain", "'yes'");
        assert!(manifests("a.yaml", &text).is_empty(), "{text}");
    }
    let no_request = good.replace("limits: {memory: 128Mi}", "limits: {cpu: 1}");
    broken("no-memory-request", &no_request, "memory: 64Mi, ", "");
    let found = broken("host-namespace", &good, "automount", "hostNetwork: true\n      automount");
    assert_eq!(found.path, "spec.template.spec.hostNetwork");
    let volume = "volumes:\n      - name: v\n        hostPath: {path: /etc}\n      automount";
    assert_eq!(broken("host-path", &good, "automount", volume).path, "spec.template.spec.volumes[0].hostPath");
    broken("automounted-token", &good, "automountServiceAccountToken: false", "hostname: a");
    let account =
        format!("apiVersion: v1\nkind: ServiceAccount\nmetadata: {{name: {name}}}\nautomountServiceAccountToken: ");
    let with = good.replace("automountServiceAccountToken: false", &format!("serviceAccountName: {name}"));
    broken("automounted-token", &format!("{account}false\n---\n{with}"), "Token: false", "Token: true");
}

#[test]
fn every_kind_that_makes_pods_is_looked_at() {
    let name = name();
    let pod = format!("{{containers: [{{name: {name}, image: {name}}}]}}");
    for (version, kind, spec, path) in [
        ("v1", "Pod", pod.clone(), "spec"),
        ("apps/v1", "StatefulSet", format!("{{template: {{spec: {pod}}}}}"), "spec.template.spec"),
        ("apps/v1", "DaemonSet", format!("{{template: {{spec: {pod}}}}}"), "spec.template.spec"),
        ("apps/v1", "ReplicaSet", format!("{{template: {{spec: {pod}}}}}"), "spec.template.spec"),
        ("batch/v1", "Job", format!("{{template: {{spec: {pod}}}}}"), "spec.template.spec"),
        (
            "batch/v1",
            "CronJob",
            format!("{{schedule: '* * * * *', jobTemplate: {{spec: {{template: {{spec: {pod}}}}}}}}}"),
            "spec.jobTemplate.spec.template.spec",
        ),
    ] {
        let text = format!("apiVersion: {version}\nkind: {kind}\nmetadata: {{name: {name}}}\nspec: {spec}\n");
        let findings = manifests("a.yaml", &text);
        let found = of(&findings, "mutable-image-tag");
        assert_eq!(found.len(), 1, "{kind}: {findings:#?}");
        assert_eq!(found[0].path, format!("{path}.containers[0].image"), "{kind}");
    }
}

#[test]
fn shapes_are_told_with_the_nearest_name() {
    let name = name();
    let good = deployment(&name);
    let found = broken("unknown-field", &good, "replicas: 2", "replica: 2");
    assert_eq!((found.line, found.column, found.path.as_str()), (6, 3, "spec.replica"));
    assert_eq!(found.fix, "write replicas");
    let found = broken("unknown-field", &good, "resources:", "resuorces:");
    assert_eq!(found.fix, "write resources");
    let found = broken("wrong-type", &good, "value: plain", "value: 8080");
    assert_eq!(found.fix, "quote it: \"8080\"");
    let found = broken("wrong-type", &good, "replicas: 2", "replicas: '2'");
    assert_eq!((found.line, found.column, found.fix.as_str()), (6, 13, "remove the quotes: 2"));
    broken("wrong-type", &good, "memory: 128Mi", "memory: 128 MB");
    broken("wrong-type", &good, "drop: [ALL]", "drop: ALL");
    broken("wrong-type", &good, "runAsNonRoot: true", "runAsNonRoot: 'true'");
    broken("wrong-type", &good, "replicas: 2", "replicas: 3000000000");
    broken("missing-required", &good, "selector:\n    matchLabels:", "paused: false\n  strategy:\n    rollingUpdate:");
    assert_eq!(broken("missing-required", &good, &format!("  name: {name}\n"), "  labels: {}\n").path, "metadata.name");
    let found = broken("unknown-kind", &good, "kind: Deployment", "kind: Deploymnt");
    assert_eq!(found.fix, "write apiVersion: apps/v1 and kind: Deployment");
    let found = broken("unknown-kind", &good, "apiVersion: apps/v1", "apiVersion: v1");
    assert_eq!(found.fix, "write apiVersion: apps/v1 and kind: Deployment");
    broken("not-an-object", &good, "kind: Deployment\n", "");
    let found = broken("duplicate-object", &good, "apiVersion", &format!("{}---\napiVersion", deployment(&name)));
    assert!(found.message.contains("line 1"), "{found:?}");
}

#[test]
fn kinds_that_others_define_are_left_alone() {
    let text = format!("apiVersion: {0}.example/v1\nkind: Thing\nmetadata: {{name: {0}}}\nspec: {{any: 1}}\n", name());
    assert!(manifests("a.yaml", &text).is_empty());
    let gateway = "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {name: a}\nspec: {x: 1}\n";
    assert!(manifests("a.yaml", gateway).is_empty());
}

#[test]
fn versions_that_are_gone_name_what_replaces_them() {
    let name = name();
    for (version, kind, rule, instead) in [
        ("extensions/v1beta1", "Ingress", "removed-api", "networking.k8s.io/v1"),
        ("extensions/v1beta1", "Deployment", "removed-api", "apps/v1"),
        ("policy/v1beta1", "PodDisruptionBudget", "removed-api", "policy/v1"),
        ("policy/v1beta1", "PodSecurityPolicy", "removed-api", "Pod Security Admission"),
        ("batch/v1beta1", "CronJob", "removed-api", "batch/v1"),
        ("autoscaling/v2beta1", "HorizontalPodAutoscaler", "removed-api", "autoscaling/v2"),
        ("autoscaling/v2beta2", "HorizontalPodAutoscaler", "removed-api", "autoscaling/v2"),
        ("networking.k8s.io/v1beta1", "Ingress", "removed-api", "networking.k8s.io/v1"),
        ("rbac.authorization.k8s.io/v1beta1", "Role", "removed-api", "rbac.authorization.k8s.io/v1"),
        ("apiextensions.k8s.io/v1beta1", "CustomResourceDefinition", "removed-api", "apiextensions.k8s.io/v1"),
        (
            "admissionregistration.k8s.io/v1beta1",
            "ValidatingWebhookConfiguration",
            "removed-api",
            "admissionregistration.k8s.io/v1",
        ),
        ("flowcontrol.apiserver.k8s.io/v1beta2", "FlowSchema", "removed-api", "flowcontrol.apiserver.k8s.io/v1"),
        ("flowcontrol.apiserver.k8s.io/v1beta3", "FlowSchema", "removed-api", "flowcontrol.apiserver.k8s.io/v1"),
        (
            "admissionregistration.k8s.io/v1beta1",
            "ValidatingAdmissionPolicy",
            "preview-api",
            "admissionregistration.k8s.io/v1",
        ),
        ("storage.k8s.io/v1alpha1", &*name, "preview-api", "the cluster serves it"),
        ("gateway.networking.k8s.io/v1beta1", "HTTPRoute", "deprecated-api", "gateway.networking.k8s.io/v1"),
    ] {
        let text = format!("apiVersion: {version}\nkind: {kind}\nmetadata:\n  name: {name}\n");
        let findings = manifests("a.yaml", &text);
        let found = of(&findings, rule);
        assert_eq!(found.len(), 1, "{version} {kind}: {findings:#?}");
        assert!(found[0].fix.contains(instead), "{:?}", found[0]);
        assert!(of(&findings, "unknown-kind").is_empty());
    }
    let good = format!("apiVersion: policy/v1\nkind: PodDisruptionBudget\nmetadata:\n  name: {name}\n");
    assert!(manifests("a.yaml", &good).is_empty());
}

#[test]
fn what_objects_say_of_each_other_is_followed() {
    let name = name();
    let workload = deployment(&name);
    let service = format!(
        "{workload}---\napiVersion: v1\nkind: Service\nmetadata: {{name: {name}}}\nspec:\n  selector: {{tier: web}}\n  \
         ports: [{{name: http, port: 80}}, {{name: other, port: 81}}]\n"
    );
    broken("selector-matches-nothing", &service, "selector: {tier: web}", "selector: {tier: back}");
    assert_eq!(broken("unnamed-port", &service, "name: other, ", "").path, "spec.ports[1].name");
    let scaler = format!(
        "{workload}---\napiVersion: autoscaling/v2\nkind: HorizontalPodAutoscaler\nmetadata: {{name: {name}}}\nspec:\n  \
         maxReplicas: 3\n  scaleTargetRef: {{apiVersion: apps/v1, kind: Deployment, name: {name}}}\n"
    );
    broken("missing-target", &scaler, "kind: Deployment, ", "kind: StatefulSet, ");
    let budget = format!(
        "{workload}---\napiVersion: policy/v1\nkind: PodDisruptionBudget\nmetadata: {{name: {name}}}\nspec:\n  \
         minAvailable: 1\n  selector: {{matchLabels: {{app: {name}}}}}\n"
    );
    broken("disruption-budget-blocks", &budget, "replicas: 2", "replicas: 1");
    broken("disruption-budget-blocks", &budget, "minAvailable: 1", "minAvailable: 51%");
    broken("disruption-budget-blocks", &budget, "minAvailable: 1", "maxUnavailable: 0%");
    broken("missing-target", &budget, "selector: {matchLabels: {app: ", "selector: {matchLabels: {app: x");
    // Alone, a Service may be for pods of elsewhere.
    let alone = service.split_once("---\n").unwrap().1;
    assert!(of(&manifests("a.yaml", alone), "selector-matches-nothing").is_empty());
}

#[test]
fn data_and_certificates_are_looked_at() {
    let name = name();
    let secret = format!("apiVersion: v1\nkind: Secret\nmetadata: {{name: {name}}}\ndata:\n  tls.key: aGVsbG8=\n");
    let found = broken("secret-not-base64", &secret, "aGVsbG8=", "hello");
    assert_eq!((found.path.as_str(), found.line, found.column), ("data[\"tls.key\"]", 5, 12));
    let ingress = format!(
        "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {{name: {name}}}\nspec:\n  tls: [{{secretName: a}}]\n"
    );
    broken("ingress-without-tls", &ingress, "tls: [{secretName: a}]", "ingressClassName: a");
}

#[test]
fn broken_text_is_a_finding_and_what_follows_is_looked_at() {
    let good = deployment(&name());
    let found = broken("yaml-duplicate-key", &good, "replicas: 2", "replicas: 2\n  replicas: 3");
    assert_eq!((found.line, found.column), (7, 3));
    let found = broken("yaml-truth-key", &good, "labels: {app: ", "labels: {y: b, app: ");
    assert!(found.message.contains("key y "), "{found:?}");
    let text = format!("a: [1\n---\n{}", good.replace("replicas", "replica"));
    let findings = manifests("a.yaml", &text);
    assert_eq!(of(&findings, "yaml-syntax").len(), 1, "{findings:#?}");
    assert_eq!(of(&findings, "unknown-field")[0].line, 8, "{findings:#?}");
    let deep = "[".repeat(5_000);
    assert_eq!(manifests("a.yaml", &deep).len(), 1);
    let mut laughs = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for index in 1..9 {
        let below = format!("*a{}", index - 1);
        let items = vec![below; 10].join(", ");
        laughs.extend([format!("a{index}: &a{index} [{items}]\n")]);
    }
    assert_eq!(of(&manifests("a.yaml", &laughs), "input-too-large").len(), 1);
    let many = format!("a: &a [{}]\nb: [{}]\n", vec!["x"; 600].join(", "), vec!["*a"; 600].join(", "));
    assert_eq!(of(&manifests("a.yaml", &many), "input-too-large").len(), 1);
}

#[test]
fn a_comment_suppresses_a_rule_on_its_line_or_the_next() {
    let good = deployment(&name());
    let bad = good.replace("replicas: 2", "replica: 2");
    for (from, to, left) in [
        ("replica: 2", "replica: 2 # lint:ignore unknown-field", 0),
        ("  replica: 2", "  # lint:ignore unknown-field\n  replica: 2", 0),
        ("  replica: 2", "  # lint:ignore wrong-type, unknown-field\n  # why\n  replica: 2", 0),
        ("  replica: 2", "  # lint:ignore wrong-type\n  replica: 2", 1),
        ("kind: Deployment", "kind: Deployment # lint:ignore unknown-field", 1),
    ] {
        let findings = manifests("a.yaml", &bad.replace(from, to));
        assert_eq!(of(&findings, "unknown-field").len(), left, "{to}");
    }
}

#[test]
fn lists_are_looked_into() {
    let text = "apiVersion: v1\nkind: List\nitems:\n- apiVersion: v1\n  kind: Secret\n  metadata: {name: a}\n  data: {a: '?'}\n";
    assert_eq!(of(&manifests("a.yaml", text), "secret-not-base64")[0].line, 7);
}

#[test]
fn a_line_says_where_and_sarif_and_json_say_the_same() {
    let name = name();
    let findings = manifests("dir/a b.yaml", &deployment(&name).replace("replicas", "replica"));
    assert_eq!(
        lint::text(&findings),
        format!(
            "dir/a b.yaml:6:3: error unknown-field Deployment/{name} spec.replica: there is no field \"replica\" here\n    \
             fix: write replicas\n"
        )
    );
    let json = lint::json(&findings);
    assert_eq!((&json["errors"], &json["findings"][0]["line"]), (&1.into(), &6.into()));
    let sarif = lint::sarif(&findings);
    assert_eq!(sarif["version"], "2.1.0");
    let run = &sarif["runs"][0];
    let result = &run["results"][0];
    assert_eq!(result["level"], "error");
    let place = &result["locations"][0]["physicalLocation"];
    assert_eq!(place["artifactLocation"]["uri"], "dir/a%20b.yaml");
    assert_eq!(place["region"], serde_json::json!({"startLine": 6, "startColumn": 3}));
    let index = usize::try_from(result["ruleIndex"].as_u64().unwrap()).unwrap();
    assert_eq!(run["tool"]["driver"]["rules"][index]["id"], "unknown-field");
}

#[test]
fn an_input_passes_unless_a_finding_is_severe_enough() {
    let ingress = "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {name: a}\nspec: {}\n";
    let findings = manifests("a.yaml", ingress);
    assert!(lint::pass(&findings, Severity::Warning).is_ok());
    assert!(lint::pass(&findings, Severity::Info).is_err());
    let error = lint::pass(&manifests("a.yaml", "a: ["), Severity::Error).unwrap_err();
    assert_eq!(error, lint::Error::Found { errors: 1, warnings: 0 });
}

#[test]
fn the_document_of_rules_names_each_with_its_severity() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../docs/spec/Lint.md");
    let document = std::fs::read_to_string(path).unwrap();
    for rule in lint::RULES {
        let row = format!("| `{}` | {} |", rule.id, rule.severity);
        assert_eq!(document.matches(&row).count(), 1, "docs/spec/Lint.md has to have one row that begins {row}");
    }
    assert_eq!(document.matches("\n| `").count(), lint::RULES.len());
}
