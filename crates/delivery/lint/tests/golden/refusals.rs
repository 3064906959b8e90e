//! What values cannot be is refused, with what to do.

use base64::Engine as _;
use serde_json::{Value, json};

use super::{only, render, schema, text, word, yaml};

fn refusal(values: &Value) -> String {
    render(&[values.to_string()]).err().map_or_else(|| panic!("{values} is taken"), |error| error.to_string())
}

#[test]
fn what_values_cannot_be_is_refused_with_what_to_do() {
    let store = |store: Value| json!({"secrets": {"externalSecret": store}});
    for (values, words) in [
        (json!({"image": {"tag": "latest"}}), "image.tag \"latest\" is another image tomorrow: name a version"),
        (json!({"tests": {"image": {"tag": "latest"}}}), "tests.image.tag \"latest\" is another image tomorrow"),
        (
            json!({"autoscaling": {"enabled": true, "minReplicas": 5, "maxReplicas": 4}}),
            "minReplicas 5 is more than autoscaling.maxReplicas 4: lower",
        ),
        (
            json!({"autoscaling": {"enabled": true, "targetCPUUtilizationPercentage": 0, "targetMemoryUtilizationPercentage": 0}}),
            "needs something to scale by: set",
        ),
        (json!({"preStopSeconds": 30}), "set terminationGracePeriodSeconds to more"),
        (json!({"monitoring": {"port": 8080}}), "change one of them"),
        (json!({"strategy": {"maxSurge": 0, "maxUnavailable": "0%"}}), "raise one of them"),
        (store(json!({"enabled": true, "key": "a"})), "name the SecretStore"),
        (store(json!({"enabled": true, "store": {"name": "a"}})), "say what to fetch"),
        (
            json!({"secrets": {"existingSecret": "a", "externalSecret": {"enabled": true, "store": {"name": "a"}, "key": "b"}}}),
            "keep one of them",
        ),
        (json!({"secrets": {"existingSecret": "a", "jwt": {"secret": word()}}}), "remove them from the values"),
    ] {
        let error = refusal(&values);
        assert!(error.contains(words), "{values}: {error}");
    }
    // By its digest, an image is always the same.
    let digest = format!("sha256:{}", word().replace('w', "0").repeat(8).chars().take(64).collect::<String>());
    let pinned = json!({"image": {"tag": "latest", "digest": digest}});
    let rendered = render(&[pinned.to_string()]).unwrap();
    let all = super::objects(&rendered);
    let image = &only(&all, "Deployment")["spec"]["template"]["spec"]["containers"][0]["image"];
    assert!(image.as_str().unwrap().ends_with(&format!("@{digest}")), "{image}");
}

#[test]
fn passwords_that_everybody_knows_are_refused_and_never_shown() {
    for known in ["password", "jwt-secret", "changeme", "Secret", " ADMIN ", "123456"] {
        for (path, values) in [
            ("secrets.database.password", json!({"secrets": {"database": {"password": known}}})),
            ("secrets.jwt.secret", json!({"secrets": {"jwt": {"secret": known}}})),
        ] {
            let error = refusal(&values);
            let told = error.contains(path)
                && error.contains("well-known")
                && error.contains("secrets.existingSecret")
                && error.contains("secrets.externalSecret");
            assert!(told, "{values}: {error}");
        }
    }
    // A number is a text as well.
    refusal(&json!({"secrets": {"database": {"password": 123_456}}}));
    let own = word();
    let all = super::objects(&render(&[json!({"secrets": {"database": {"password": own}}}).to_string()]).unwrap());
    let packed = base64::engine::general_purpose::STANDARD.encode(&own);
    assert_eq!(only(&all, "Secret")["data"], json!({"database-password": packed}));
    let error = refusal(&json!({"secrets": {"existingSecret": word(), "database": {"password": own}}}));
    assert!(!error.contains(&own), "a secret is shown");
    for leaf in schema::leaves().iter().filter(|leaf| leaf.path[0] == "secrets") {
        let secret = leaf.path.last().is_some_and(|name| name == "password" || name == "secret");
        assert!(!secret || leaf.default == Some(json!("")), "{} has a default", leaf.name());
    }
}

/// The values that the seed writes: all are known, and only its secrets are refused.
#[test]
fn the_values_of_the_seed_are_taken_but_for_its_secrets() {
    let seed = text("tests/seeds/000-08-helm-chart-template.yaml");
    let mut values = yaml(seed.split("\n---\n").nth(1).unwrap());
    assert_eq!(values["secrets"]["database"]["password"], "password");
    let error = refusal(&values);
    assert!(error.contains("secrets.database.password is one of the well-known defaults"), "{error}");
    values["secrets"]["database"]["password"] = json!(word());
    let error = refusal(&values);
    assert!(error.contains("secrets.jwt.secret is one of the well-known defaults"), "{error}");
    values["secrets"]["jwt"]["secret"] = json!(word());
    values["image"]["tag"] = json!("1.27.0");
    let all = super::objects(&render(&[values.to_string()]).unwrap());
    let pod = &only(&all, "Deployment")["spec"]["template"]["spec"];
    assert_eq!(pod["containers"][0]["image"], "nginx:1.27.0");
    assert_eq!(pod["containers"][0]["resources"], values["resources"]);
    assert_eq!(only(&all, "VirtualService")["spec"]["gateways"][0], values["istio"]["gateway"]);
    assert_eq!(only(&all, "Secret")["data"]["database-username"], "dXNlcg==");
    let map = &only(&all, "ConfigMap")["data"];
    for (key, value) in [
        ("database-host", &values["config"]["database"]["host"]),
        ("kafka-brokers", &values["config"]["kafka"]["brokers"]),
    ] {
        assert_eq!(&map[key], value);
    }
}
