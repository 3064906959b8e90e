//! Every built-in kind as a client finds it: listed, shown as a table, and, where two
//! versions or groups show the same objects, seen from both sides.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a test stops at what it did not expect, and runs beside the product"
)]

use apiserver::{Server, User};
use axum::body::Body;
use base64::Engine;
use http::{Method, Request};
use serde_json::{Value, json};

/// Sends one request as an administrator and returns status and body.
async fn send(server: &Server, method: Method, path: &str, accept: &str, body: Option<Value>) -> (u16, Value) {
    let media = if method == Method::PATCH { "application/merge-patch+json" } else { "application/json" };
    let body = body.map_or_else(Body::empty, |body| Body::from(body.to_string()));
    let request = Request::builder().method(method).uri(path).header("accept", accept).header("content-type", media);
    let mut request = request.body(body).unwrap();
    request.extensions_mut().insert(User::new("admin", &["system:masters"]));
    let answer = server.handle(request).await;
    let status = answer.status().as_u16();
    let bytes = axum::body::to_bytes(answer.into_body(), 8 << 20).await.unwrap();
    (status, serde_json::from_slice(&bytes).unwrap_or(Value::Null))
}

/// Reads the events of a watch that ends after a second.
async fn watched(server: &Server, path: &str) -> Vec<Value> {
    let mut request = Request::get(path).body(Body::empty()).unwrap();
    request.extensions_mut().insert(User::new("admin", &["system:masters"]));
    let answer = server.handle(request).await;
    let bytes = axum::body::to_bytes(answer.into_body(), 8 << 20).await.unwrap();
    bytes.split(|b| *b == b'\n').filter(|l| !l.is_empty()).map(|l| serde_json::from_slice(l).unwrap()).collect()
}

fn random(prefix: &str) -> String {
    format!("{prefix}-{}", &uuid::Uuid::new_v4().simple().to_string()[..8])
}

#[tokio::test]
async fn every_kind_that_discovery_names_is_listed_and_shown_as_a_table() {
    let server = Server::in_memory().await.unwrap();
    let (_, groups) = send(&server, Method::GET, "/apis", "application/json", None).await;
    let mut roots = vec!["/api/v1".to_owned()];
    for group in groups["groups"].as_array().unwrap() {
        for version in group["versions"].as_array().unwrap() {
            roots.push(format!("/apis/{}", version["groupVersion"].as_str().unwrap()));
        }
    }
    let mut kinds = 0;
    for root in roots {
        let (_, list) = send(&server, Method::GET, &root, "application/json", None).await;
        for resource in list["resources"].as_array().unwrap() {
            if !resource["verbs"].as_array().unwrap().contains(&json!("list")) {
                continue;
            }
            let path = format!("{root}/{}", resource["name"].as_str().unwrap());
            let (status, all) = send(&server, Method::GET, &path, "application/json", None).await;
            assert_eq!(
                (status, all["kind"].clone()),
                (200, json!(format!("{}List", resource["kind"].as_str().unwrap())))
            );
            let (status, table) =
                send(&server, Method::GET, &path, "application/json;as=Table;v=v1;g=meta.k8s.io", None).await;
            assert_eq!((status, table["kind"].clone()), (200, json!("Table")), "{path}");
            let columns = table["columnDefinitions"].as_array().unwrap();
            assert!(columns.iter().any(|column| column["format"] == "name"), "{path}");
            for row in table["rows"].as_array().unwrap() {
                assert_eq!(row["cells"].as_array().unwrap().len(), columns.len(), "{path}");
            }
            kinds += 1;
        }
    }
    assert!(kinds > 50, "{kinds} kinds are served");
}

#[tokio::test]
async fn an_autoscaler_written_in_one_version_is_read_and_watched_in_the_other() {
    let server = Server::in_memory().await.unwrap();
    let name = random("scaler");
    let v1 = "/apis/autoscaling/v1/namespaces/default/horizontalpodautoscalers";
    let v2 = "/apis/autoscaling/v2/namespaces/default/horizontalpodautoscalers";
    let body = json!({"metadata": {"name": name}, "spec": {"maxReplicas": 3, "targetCPUUtilizationPercentage": 55,
        "scaleTargetRef": {"kind": "Deployment", "name": "d", "apiVersion": "apps/v1"}}});
    let (status, created) = send(&server, Method::POST, v1, "application/json", Some(body)).await;
    assert_eq!(status, 201, "{created}");
    let (_, other) = send(&server, Method::GET, &format!("{v2}/{name}"), "application/json", None).await;
    assert_eq!(other["apiVersion"], "autoscaling/v2");
    assert_eq!(other["spec"]["metrics"][0]["resource"]["target"]["averageUtilization"], 55);
    let metrics = json!({"spec": {"metrics": [{"type": "Pods", "pods": {"metric": {"name": "rps"}, "target": {"type": "AverageValue", "averageValue": "7"}}}]}});
    let (status, patched) =
        send(&server, Method::PATCH, &format!("{v2}/{name}"), "application/json", Some(metrics.clone())).await;
    assert_eq!(status, 200, "{patched}");
    let version = created["metadata"]["resourceVersion"].as_str().unwrap();
    let events = watched(&server, &format!("{v1}?watch=1&resourceVersion={version}&timeoutSeconds=1")).await;
    assert_eq!(events.len(), 1, "the other version's write is told here");
    assert_eq!(events[0]["object"]["apiVersion"], "autoscaling/v1");
    let kept =
        events[0]["object"]["metadata"]["annotations"]["autoscaling.alpha.kubernetes.io/metrics"].as_str().unwrap();
    assert!(kept.contains("rps"), "{kept}");
    // A writer of v1 that knows nothing of metrics leaves them alone.
    let (status, _) = send(
        &server,
        Method::PATCH,
        &format!("{v1}/{name}"),
        "application/json",
        Some(json!({"spec": {"maxReplicas": 9}})),
    )
    .await;
    assert_eq!(status, 200);
    let (_, other) = send(&server, Method::GET, &format!("{v2}/{name}"), "application/json", None).await;
    assert_eq!(other["spec"]["maxReplicas"], 9);
    assert_eq!(other["spec"]["metrics"], metrics["spec"]["metrics"]);
}

#[tokio::test]
async fn events_of_both_groups_are_the_same_objects() {
    let server = Server::in_memory().await.unwrap();
    let (name, pod) = (random("event"), random("pod"));
    let core = "/api/v1/namespaces/default/events";
    let new = "/apis/events.k8s.io/v1/namespaces/default/events";
    let body = json!({"metadata": {"name": name}, "involvedObject": {"kind": "Pod", "name": pod, "namespace": "default"},
        "message": "hello", "reason": "Tested", "type": "Normal", "count": 2});
    let (status, created) = send(&server, Method::POST, core, "application/json", Some(body)).await;
    assert_eq!(status, 201, "{created}");
    let path = format!("{new}?fieldSelector=regarding.name%3D{pod}");
    let (_, list) = send(&server, Method::GET, &path, "application/json", None).await;
    assert_eq!(list["items"][0]["note"], "hello");
    assert_eq!(list["apiVersion"], "events.k8s.io/v1");
    assert_eq!(watched(&server, &format!("{path}&watch=1&timeoutSeconds=1")).await[0]["object"]["deprecatedCount"], 2);
    let (_, list) = send(
        &server,
        Method::GET,
        &format!("{core}?fieldSelector=involvedObject.name%3D{name}"),
        "application/json",
        None,
    )
    .await;
    assert_eq!(list["items"], json!([]));
}

#[tokio::test]
async fn a_signing_request_is_approved_by_its_own_path_alone() {
    let server = Server::in_memory().await.unwrap();
    let name = random("csr");
    let path = "/apis/certificates.k8s.io/v1/certificatesigningrequests";
    let key = rcgen::KeyPair::generate().unwrap();
    let request =
        rcgen::CertificateParams::new([name.clone()]).unwrap().serialize_request(&key).unwrap().pem().unwrap();
    let request = base64::engine::general_purpose::STANDARD.encode(request);
    let body = json!({"metadata": {"name": name}, "spec": {"request": request, "signerName": "example.com/x", "usages": ["client auth"]}});
    let (status, created) = send(&server, Method::POST, path, "application/json", Some(body)).await;
    assert_eq!(status, 201, "{created}");
    let approved = json!({"status": {"certificate": "eA==", "conditions": [{"type": "Approved", "status": "True", "reason": "r"}]}, "spec": {"signerName": "example.com/y"}});
    let (_, main) =
        send(&server, Method::PATCH, &format!("{path}/{name}"), "application/json", Some(approved.clone())).await;
    assert_eq!((main["status"].clone(), main["spec"]["signerName"].clone()), (json!({}), json!("example.com/x")));
    let (status, after) =
        send(&server, Method::PATCH, &format!("{path}/{name}/approval"), "application/json", Some(approved)).await;
    assert_eq!(status, 200, "{after}");
    assert_eq!(after["status"]["conditions"][0]["type"], "Approved");
    assert!(after["status"].get("certificate").is_none(), "the certificate is written by status");
}

#[tokio::test]
async fn the_status_that_an_object_begins_with_is_owned_by_nobody() {
    let server = Server::in_memory().await.unwrap();
    let body = json!({"metadata": {"name": random("claim")}, "spec": {"accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": "1Gi"}}}});
    let path = "/api/v1/namespaces/default/persistentvolumeclaims";
    let (status, created) = send(&server, Method::POST, path, "application/json", Some(body)).await;
    assert_eq!((status, created["status"]["phase"].clone()), (201, json!("Pending")), "{created}");
    let owned = &created["metadata"]["managedFields"][0]["fieldsV1"];
    assert!(owned["f:spec"].is_object() && owned.get("f:status").is_none(), "{owned}");
}
