//! What people see of which objects.

use serde_json::json;

use super::*;

fn places() -> Places {
    Places {
        gateway: "127.0.0.1:8443".parse().unwrap(),
        ca: "/ca.crt".into(),
        git_url: "https://localhost:8444/git".into(),
    }
}

fn service() -> Value {
    json!({"metadata": {"name": "orders", "namespace": "development", "creationTimestamp": "2026-11-21T00:00:00Z"},
           "spec": {"environment": "development", "template": "rust"},
           "status": {"host": "orders.dev.localhost", "repository": "orders", "commit": "c0ffee"}})
}

fn labelled(name: &str, rest: &Value) -> Value {
    let mut object = json!({"metadata": {"name": name, "namespace": "development", "labels": {"app.kubernetes.io/instance": "orders"}}});
    for (key, value) in rest.as_object().unwrap() {
        object[key] = value.clone();
    }
    object
}

fn application(status: &Value) -> Value {
    json!({"metadata": {"name": "orders", "namespace": "roadstead-system"}, "spec": {"destination": {"namespace": "development"}}, "status": status})
}

#[test]
fn a_service_is_joined_from_its_objects() {
    let index = Index::default();
    index
        .apply(Kind::Application, application(&json!({"health": {"status": "Healthy"}, "sync": {"status": "Synced"}})));
    index.apply(Kind::Deployment, labelled("orders", &json!({"spec": {"replicas": 2, "template": {"spec": {"containers": [{"image": "orders:1"}]}}}, "status": {"replicas": 2, "readyReplicas": 1, "updatedReplicas": 2}})));
    index.apply(
        Kind::Service,
        labelled("orders", &json!({"spec": {"clusterIP": "10.96.0.7", "ports": [{"port": 80}, {"port": 9090}]}})),
    );
    index.apply(Kind::Pod, labelled("orders-1", &json!({"status": {"phase": "Running", "podIP": "10.0.0.1", "conditions": [{"type": "Ready", "status": "True"}],
        "containerStatuses": [{"imageID": "localhost/orders@sha256:abc", "restartCount": 3}]}})));
    index.apply(Kind::Pod, json!({"metadata": {"name": "other-1", "namespace": "development", "labels": {"app.kubernetes.io/instance": "other"}}}));
    let view = microservice(&service(), &index, &places());
    assert_eq!((view.health.as_str(), view.sync.as_str(), view.message.as_str()), ("Healthy", "Synced", ""));
    assert_eq!(view.url.as_deref(), Some("https://orders.dev.localhost:8443"));
    assert_eq!(
        view.curl.as_deref(),
        Some("curl --cacert /ca.crt --resolve orders.dev.localhost:8443:127.0.0.1 https://orders.dev.localhost:8443/")
    );
    assert_eq!(view.repository.as_deref(), Some("https://localhost:8444/git/orders.git"));
    assert_eq!(view.deployment, DeploymentCounts { desired: 2, replicas: 2, ready_replicas: 1, updated_replicas: 2 });
    assert_eq!(view.service.unwrap().ports, [80, 9090]);
    assert_eq!((view.pods.len(), view.pods[0].restarts, view.pods[0].ready), (1, 3, true));
    assert_eq!(view.image_digest.as_deref(), Some("sha256:abc"));
}

#[test]
fn health_is_a_word_and_a_reason() {
    let with = |application_status: Option<Value>, conditions: Value| {
        let index = Index::default();
        if let Some(status) = application_status {
            index.apply(Kind::Application, application(&status));
        }
        let mut object = service();
        object["status"]["conditions"] = conditions;
        let view = microservice(&object, &index, &places());
        (view.health, view.message)
    };
    for (application, conditions, health, message) in [
        (None, json!([]), "Progressing", ""),
        (
            None,
            json!([{"type": "Ready", "status": "False", "reason": "NoEnvironment", "message": "there is no environment"}]),
            "Degraded",
            "there is no environment",
        ),
        (None, json!([{"type": "Healthy", "status": "True"}]), "Healthy", ""),
        (Some(json!({"health": {"status": "Degraded", "message": "crash loop"}})), json!([]), "Degraded", "crash loop"),
        (
            Some(
                json!({"health": {"status": "Missing"}, "operationState": {"phase": "Failed", "message": "no chart"}}),
            ),
            json!([]),
            "Missing",
            "no chart",
        ),
        (Some(json!({"health": {"status": "Odd"}})), json!([]), "Unknown", ""),
    ] {
        assert_eq!(
            with(application.clone(), conditions.clone()),
            (health.to_owned(), message.to_owned()),
            "{application:?} {conditions}"
        );
    }
}

#[test]
fn a_pod_says_why_it_waits() {
    for (rest, wanted) in [
        (json!({"status": {"phase": "Running"}}), "Running"),
        (json!({}), "Pending"),
        (
            json!({"status": {"phase": "Running", "containerStatuses": [{"state": {"waiting": {"reason": "CrashLoopBackOff"}}}]}}),
            "CrashLoopBackOff",
        ),
        (
            json!({"status": {"phase": "Pending", "containerStatuses": [{"state": {"waiting": {"reason": "ImagePullBackOff"}}}]}}),
            "ImagePullBackOff",
        ),
        (
            json!({"status": {"phase": "Failed", "containerStatuses": [{"state": {"terminated": {"exitCode": 1, "reason": "Error"}}}]}}),
            "Error",
        ),
    ] {
        assert_eq!(pod_view(&labelled("p", &rest)).status, wanted);
    }
    let mut leaving = labelled("p", &json!({"status": {"phase": "Running"}}));
    leaving["metadata"]["deletionTimestamp"] = json!("2026-11-21T00:00:00Z");
    assert_eq!(pod_view(&leaving).status, "Terminating");
}

#[test]
fn environments_and_templates_come_from_their_objects() {
    let index = Index::default();
    for (name, order) in [("production", 20), ("development", 10)] {
        index.apply(
            Kind::Environment,
            json!({"metadata": {"name": name}, "spec": {"namespace": name, "domain": "x.localhost", "order": order}}),
        );
    }
    index.apply(
        Kind::ConfigMap,
        json!({"metadata": {"name": "templates", "namespace": SYSTEM}, "data": {"rust": "A service in Rust"}}),
    );
    assert_eq!(
        environments(&index).iter().map(|environment| environment.name.as_str()).collect::<Vec<_>>(),
        ["development", "production"]
    );
    assert_eq!(
        templates(&index),
        [Template { name: "rust".into(), description: "A service in Rust".into(), ..Template::default() }]
    );
}
