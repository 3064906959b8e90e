//! Lists, deletions, options and dry runs as a client meets them.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a test stops at what it did not expect, and runs beside the product"
)]

use apiserver::{Server, User};
use http::Request;
use serde_json::{Value, json};

const MAPS: &str = "/api/v1/namespaces/default/configmaps";

async fn send(server: &Server, method: &str, path: &str, media: &str, body: &str) -> (http::response::Parts, Vec<u8>) {
    let mut request = Request::builder().method(method).uri(path).header("content-type", media);
    request = request.header("accept-encoding", "gzip");
    let mut request = request.body(axum::body::Body::from(body.to_owned())).unwrap();
    request.extensions_mut().insert(User::new("admin", &["system:masters"]));
    let (parts, body) = server.handle(request).await.into_parts();
    (parts, axum::body::to_bytes(body, 64 << 20).await.unwrap().to_vec())
}

async fn ask(server: &Server, method: &str, path: &str, body: Value) -> (u16, Value) {
    let text = if body.is_null() { String::new() } else { body.to_string() };
    let media = if method == "PATCH" { "application/merge-patch+json" } else { "application/json" };
    let (parts, bytes) = send(server, method, path, media, &text).await;
    (parts.status.as_u16(), serde_json::from_slice(&bytes).unwrap_or_default())
}

async fn get(server: &Server, path: &str) -> (u16, Value) {
    ask(server, "GET", path, Value::Null).await
}

async fn make(server: &Server, name: &str) -> Value {
    let (code, made) = ask(server, "POST", MAPS, json!({"metadata": {"name": name}, "data": {"k": "v"}})).await;
    assert_eq!(code, 201, "{made}");
    made
}

fn names(list: &Value) -> Vec<&str> {
    list["items"].as_array().unwrap().iter().map(|item| item["metadata"]["name"].as_str().unwrap()).collect()
}

fn random(prefix: &str) -> String {
    format!("{prefix}-{}", &uuid::Uuid::new_v4().simple().to_string()[..8])
}

#[tokio::test]
async fn pages_count_what_remains_and_go_on_after_they_expired() {
    let server = Server::in_memory().await.unwrap();
    for name in ["a", "b", "c", "d"] {
        make(&server, name).await;
    }
    let (_, page) = get(&server, &format!("{MAPS}?limit=1")).await;
    assert_eq!((names(&page), &page["metadata"]["remainingItemCount"]), (vec!["a"], &json!(3)));
    let token = page["metadata"]["continue"].as_str().unwrap().to_owned();
    ask(&server, "DELETE", &format!("{MAPS}/c"), Value::Null).await;
    let (_, rest) = get(&server, &format!("{MAPS}?continue={token}")).await;
    assert_eq!(names(&rest), ["b", "c", "d"], "the page is of the first one's moment");
    let (_, selected) = get(&server, &format!("{MAPS}?limit=1&labelSelector=x!%3Dy")).await;
    assert!(selected["metadata"]["remainingItemCount"].is_null(), "what a selector leaves is not counted");
    // A token of a moment that is long gone: revision 1.
    let old = base64::Engine::encode(
        &base64::engine::general_purpose::URL_SAFE_NO_PAD,
        json!({"v": "meta.k8s.io/v1", "rv": 1, "start": "a\u{0}"}).to_string(),
    );
    flood(&server).await;
    let (code, expired) = get(&server, &format!("{MAPS}?continue={old}")).await;
    assert_eq!((code, expired["reason"].as_str()), (410, Some("Expired")), "{expired}");
    let token = expired["metadata"]["continue"].as_str().unwrap();
    let (_, rest) = get(&server, &format!("{MAPS}?continue={token}&labelSelector=!flood")).await;
    assert_eq!(names(&rest), ["b", "d"], "an inconsistent list goes on with what is there");
}

/// Writes until the oldest changes of ConfigMaps are forgotten.
async fn flood(server: &Server) {
    let body = json!({"metadata": {"name": "z", "labels": {"flood": "1"}}, "data": {"k": "x".repeat(900_000)}});
    assert_eq!(ask(server, "POST", MAPS, body).await.0, 201);
    for round in 0..40 {
        let body = json!({"data": {"n": round.to_string()}});
        assert_eq!(ask(server, "PATCH", &format!("{MAPS}/z"), body).await.0, 200);
    }
}

#[tokio::test]
async fn a_watcher_that_reads_too_slowly_is_told_to_begin_anew() {
    let server = Server::in_memory().await.unwrap();
    let list = get(&server, MAPS).await.1;
    let version = list["metadata"]["resourceVersion"].as_str().unwrap();
    let mut request =
        Request::get(format!("{MAPS}?watch=1&resourceVersion={version}")).body(axum::body::Body::empty()).unwrap();
    request.extensions_mut().insert(User::new("admin", &["system:masters"]));
    let watch = server.handle(request).await;
    flood(&server).await;
    let mut lines = watch.into_body().into_data_stream();
    let first = futures::StreamExt::next(&mut lines).await.unwrap().unwrap();
    let event: Value = serde_json::from_slice(&first).unwrap();
    assert_eq!((&event["type"], &event["object"]["code"]), (&json!("ERROR"), &json!(410)), "{event}");
    assert!(futures::StreamExt::next(&mut lines).await.is_none(), "nothing follows");
}

#[tokio::test]
async fn an_answer_is_spread_and_its_time_bounded_on_demand() {
    let server = Server::in_memory().await.unwrap();
    make(&server, "a").await;
    let (_, wide) = send(&server, "GET", &format!("{MAPS}/a?pretty=true"), "", "").await;
    assert!(wide.starts_with(b"{\n  \""));
    let (_, narrow) = send(&server, "GET", &format!("{MAPS}/a"), "", "").await;
    let read = |bytes: &[u8]| serde_json::from_slice::<Value>(bytes).unwrap();
    assert_eq!(read(&wide), read(&narrow));
    assert_eq!(get(&server, &format!("{MAPS}/a?timeout=1x")).await.0, 400);
    // A body that never comes.
    let body = axum::body::Body::from_stream(futures::stream::pending::<Result<&str, std::io::Error>>());
    let mut request = Request::post(format!("{MAPS}?timeout=50ms")).body(body).unwrap();
    request.extensions_mut().insert(User::new("admin", &["system:masters"]));
    let answer = server.handle(request).await;
    assert_eq!(answer.status(), 504);
}

#[tokio::test]
async fn metadata_alone_is_listed_and_open_requests_are_counted() {
    let server = Server::in_memory().await.unwrap();
    let name = random("map");
    make(&server, &name).await;
    let send_as = |path: String, accept: &'static str| {
        let mut request = Request::get(path).header("accept", accept).body(axum::body::Body::empty()).unwrap();
        request.extensions_mut().insert(User::new("admin", &["system:masters"]));
        server.handle(request)
    };
    let accept = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1";
    let answer = send_as(format!("{MAPS}?fieldSelector=metadata.name={name}"), accept).await;
    let bytes = axum::body::to_bytes(answer.into_body(), 1 << 20).await.unwrap();
    let list: Value = serde_json::from_slice(&bytes).unwrap();
    assert_eq!((&list["kind"], &list["apiVersion"]), (&json!("PartialObjectMetadataList"), &json!("meta.k8s.io/v1")));
    assert_eq!((names(&list), &list["items"][0]["data"]), (vec![name.as_str()], &Value::Null));
    let running = async || {
        let answer = send_as("/metrics".to_owned(), "*/*").await;
        let bytes = axum::body::to_bytes(answer.into_body(), 1 << 24).await.unwrap();
        let text = String::from_utf8(bytes.to_vec()).unwrap();
        let line = text.lines().find(|line| line.starts_with("apiserver_longrunning_requests{"));
        line.map(|line| line.rsplit_once(' ').unwrap().1.to_owned())
    };
    let watch = send_as(format!("{MAPS}?watch=1"), "*/*").await;
    assert_eq!(running().await.as_deref(), Some("1"));
    drop(watch);
    assert_eq!(running().await.as_deref(), Some("0"));
}
