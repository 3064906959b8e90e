//! The service as a client sees it.

use axum::body::Body;
use http::{Method, Request};
use http_body_util::BodyExt;
use serde_json::Value;
use tower::ServiceExt;

use super::*;

struct Answer {
    status: u16,
    location: Option<String>,
    body: String,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }
}

struct Client {
    router: Router,
    folder: tempfile::TempDir,
}

fn config(folder: &std::path::Path) -> Config {
    let mut config = Config::from_values(|name| (name == "SERVICE_NAME").then(|| "order-service".to_owned())).unwrap();
    config.data = folder.to_owned();
    config
}

impl Client {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = config(folder.path());
        let store = Store::open(&config.data).unwrap();
        Client { router: router(Arc::new(State::new(config, store))), folder }
    }

    async fn ask(&self, method: Method, path: &str, body: &str) -> Answer {
        let request = Request::builder().method(method).uri(path).body(Body::from(body.to_owned())).unwrap();
        let response = self.router.clone().oneshot(request).await.unwrap();
        let status = response.status().as_u16();
        let location = response.headers().get(header::LOCATION).map(|value| value.to_str().unwrap().to_owned());
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        Answer { status, location, body: String::from_utf8(bytes.to_vec()).unwrap() }
    }
}

#[tokio::test]
async fn an_item_is_created_read_listed_and_removed() {
    let client = Client::new();
    let created = client.ask(Method::POST, "/api/v1/orders", r#"{"name": " Tea ", "quantity": 3}"#).await;
    assert_eq!(created.status, 201);
    let location = created.location.clone().unwrap();
    assert_eq!(created.json()["name"], "Tea");
    assert_eq!(client.ask(Method::GET, &location, "").await.json(), created.json());
    let other_path = location.replace("/orders/", "/items/");
    assert_eq!(client.ask(Method::GET, &other_path, "").await.status, 200);
    assert_eq!(client.ask(Method::GET, "/api/v1/items?limit=5", "").await.json()["items"][0], created.json());
    assert_eq!(client.ask(Method::DELETE, &location, "").await.status, 204);
    assert_eq!(client.ask(Method::GET, &location, "").await.status, 404);
    assert_eq!(client.ask(Method::DELETE, &location, "").await.status, 404);
}

#[tokio::test]
async fn a_list_has_pages_and_items_outlive_the_process() {
    let client = Client::new();
    for number in 0..5 {
        client.ask(Method::POST, "/api/v1/items", &format!(r#"{{"name": "{number}"}}"#)).await;
    }
    let first = client.ask(Method::GET, "/api/v1/items?limit=3", "").await.json();
    let last = first["items"][2]["id"].as_str().unwrap().to_owned();
    let second = client.ask(Method::GET, &format!("/api/v1/items?limit=3&after={last}"), "").await.json();
    assert_eq!((first["items"].as_array().unwrap().len(), second["items"].as_array().unwrap().len()), (3, 2));
    let Client { router, folder } = client;
    drop(router);
    assert_eq!(Store::open(folder.path()).unwrap().list("", 10).unwrap().len(), 5);
}

#[tokio::test]
async fn what_is_wrong_with_a_request_is_said() {
    let client = Client::new();
    for (method, path, body, status, wanted) in [
        (Method::POST, "/api/v1/items", "{", 400, "the body is not an item"),
        (Method::POST, "/api/v1/items", r#"{"name": "a", "price": 1}"#, 400, "unknown field `price`"),
        (Method::POST, "/api/v1/items", r#"{"name": " "}"#, 422, "1 to 200 characters"),
        (Method::GET, "/api/v1/items?limit=0", "", 400, "1 to 1000"),
        (Method::GET, "/api/v1/items?page=2", "", 400, "page"),
        (Method::GET, "/nothing", "", 404, "nothing here"),
    ] {
        let answer = client.ask(method, path, body).await;
        assert_eq!(answer.status, status, "{path}: {}", answer.body);
        assert!(answer.body.contains(wanted), "{} should say {wanted}", answer.body);
    }
    assert_eq!(client.ask(Method::PUT, "/api/v1/items", "").await.status, 405);
    assert_eq!(client.ask(Method::POST, "/api/v1/items", &"x".repeat(70_000)).await.status, 413);
}

#[tokio::test]
async fn health_and_metrics_are_for_machines_and_the_greeting_for_both() {
    let client = Client::new();
    assert_eq!(client.ask(Method::GET, "/health/live", "").await.json()["status"], "alive");
    assert_eq!(client.ask(Method::GET, "/health/ready", "").await.json()["status"], "ready");
    assert_eq!(client.ask(Method::GET, "/", "").await.json()["api"], "/api/v1/orders");
    client.ask(Method::GET, "/api/v1/items/unknown", "").await;
    let metrics = client.ask(Method::GET, "/metrics", "").await.body;
    for line in [
        "http_requests_total{method=\"GET\",route=\"/health/live\",status_code=\"200\"} 1",
        "http_requests_total{method=\"GET\",route=\"/api/v1/items/{id}\",status_code=\"404\"} 1",
        "http_request_duration_seconds_bucket{method=\"GET\",route=\"/health/ready\",le=\"+Inf\"} 1",
    ] {
        assert!(metrics.contains(line), "{line} in\n{metrics}");
    }
}

#[test]
fn a_folder_that_cannot_be_written_is_said() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let error = Store::open(&file.path().join("below")).err().unwrap();
    assert!(error.to_string().contains("failed to write in the data folder"), "{error}");
}

#[tokio::test]
async fn the_service_answers_on_its_ports_until_it_is_told_to_stop() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = config(folder.path());
    config.listen = "127.0.0.1:0".parse().unwrap();
    config.metrics = config.listen;
    let service = crate::Service::bind(config).await.unwrap();
    let (main, metrics) = service.addresses().unwrap();
    let stop = tokio_util::sync::CancellationToken::new();
    let asking = async {
        for (address, path) in [(main, "/health/ready"), (metrics, "/metrics")] {
            use tokio::io::{AsyncReadExt, AsyncWriteExt};
            let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
            stream
                .write_all(format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").as_bytes())
                .await
                .unwrap();
            let mut text = String::new();
            stream.read_to_string(&mut text).await.unwrap();
            assert!(text.starts_with("HTTP/1.1 200"), "{text}");
        }
        stop.cancel();
    };
    let (served, ()) = tokio::join!(service.run(stop.clone()), asking);
    served.unwrap();
}
