//! The REST API over a cluster in this process.

mod world;

use http::Method;
use serde_json::json;
use world::{ADMIN, STRANGER, World, until};

#[tokio::test]
async fn a_service_is_created_shown_scaled_and_deleted() {
    let world = World::start("http://localhost:8080").await;
    let created =
        world.send(Method::POST, "/api/v1/microservices", &json!({"name": "orders", "template": "service"})).await;
    assert_eq!(created.status, 201, "{}", created.body);
    let location = created.header("location").unwrap();
    assert_eq!(location, "/api/v1/microservices/orders?environment=development");
    let shown = world.get(&location).await;
    assert_eq!((shown.status, shown.json()["health"].as_str().unwrap()), (200, "Progressing"));
    assert_eq!(shown.json()["repository"], "https://localhost:8444/git/orders.git");
    let scaled = world.send(Method::PUT, "/api/v1/microservices/orders/scale", &json!({"replicas": 3})).await;
    assert_eq!(scaled.status, 202);
    let services: kube::Api<kube::api::DynamicObject> = kube::Api::namespaced_with(
        world.client.clone(),
        "development",
        &kube::api::ApiResource::from_gvk_with_plural(
            &kube::api::GroupVersionKind::gvk("platform.io", "v1alpha1", "Microservice"),
            "microservices",
        ),
    );
    let object = services.get("orders").await.unwrap();
    assert_eq!(object.metadata.annotations.unwrap()["platform.io/requested-replicas"], "3");
    assert_eq!(world.send(Method::DELETE, "/api/v1/microservices/orders", &json!({})).await.status, 202);
    until(|| async { world.get("/api/v1/microservices/orders").await.body.contains("being deleted") }).await;
    world.collect("development", "orders").await;
    until(|| async { world.get("/api/v1/microservices/orders").await.status == 404 }).await;
}

#[tokio::test]
async fn a_service_is_joined_from_what_belongs_to_it() {
    let world = World::start("http://localhost:8080").await;
    world.service("orders", "development", "Healthy", 2).await;
    until(|| async {
        world.get("/api/v1/microservices/orders").await.json()["pods"].as_array().is_some_and(|pods| pods.len() == 2)
    })
    .await;
    until(|| async { world.get("/api/v1/microservices/orders").await.json()["deployment"]["readyReplicas"] == 2 })
        .await;
    let shown = world.get("/api/v1/microservices/orders").await.json();
    assert_eq!(shown["health"], "Healthy");
    assert_eq!(shown["url"], "https://orders.dev.localhost:8443");
    assert_eq!(shown["service"]["ports"], json!([80, 9090]));
}

#[tokio::test]
async fn what_is_wrong_with_a_request_is_said_with_a_code() {
    let world = World::start("http://localhost:8080").await;
    world.service("taken", "development", "Healthy", 0).await;
    world.service("twice", "development", "Healthy", 0).await;
    world.service("twice", "production", "Healthy", 0).await;
    until(|| async {
        world.get("/api/v1/microservices").await.json()["items"].as_array().is_some_and(|items| items.len() == 3)
    })
    .await;
    let path = "/api/v1/microservices";
    for (method, path, body, status, code, wanted) in [
        (Method::POST, path, json!({"name": "Bad_Name", "template": "service"}), 422, "REST0009", "name: use 1 to 63"),
        (Method::POST, path, json!({"name": "a", "template": "none"}), 422, "REST0009", "there is service, static"),
        (
            Method::POST,
            path,
            json!({"name": "a", "template": "service", "environment": "moon"}),
            422,
            "REST0009",
            "development, production",
        ),
        (Method::POST, path, json!({"name": "taken", "template": "service"}), 409, "REST0008", "choose another name"),
        (
            Method::POST,
            path,
            json!({"name": "a", "template": "service", "replicas": 1}),
            400,
            "REST0001",
            "unknown field `replicas`",
        ),
        (Method::POST, path, json!("x".repeat(70_000)), 413, "REST0010", "64 KiB"),
        (Method::PUT, "/api/v1/microservices/taken/scale", json!({"replicas": 1001}), 422, "REST0009", "0 to 1000"),
        (
            Method::PUT,
            "/api/v1/microservices/none/scale",
            json!({"replicas": 1}),
            404,
            "REST0005",
            "there is no microservice none",
        ),
        (Method::GET, "/api/v1/microservices/twice", json!({}), 409, "REST0008", "?environment="),
        (Method::GET, "/api/v1/microservices?page=2", json!({}), 400, "REST0001", "page"),
        (Method::GET, "/api/v1/microservices?limit=0", json!({}), 400, "REST0001", "1 to 500"),
        (Method::GET, "/api/v1/microservices/taken?watch=true", json!({}), 400, "REST0001", "watch"),
        (Method::GET, "/api/v1/nothing", json!({}), 404, "REST0006", "openapi.json"),
        (Method::PATCH, path, json!({}), 405, "REST0007", "method"),
    ] {
        let answer = world.send(method, path, &body).await;
        assert_eq!(answer.status, status, "{path}: {}", answer.body);
        assert_eq!(answer.header("content-type").as_deref(), Some("application/problem+json"));
        let problem = answer.json();
        assert_eq!((problem["code"].as_str().unwrap(), problem["status"].as_u64().unwrap()), (code, u64::from(status)));
        assert!(problem["detail"].as_str().unwrap().contains(wanted), "{} should say {wanted}", problem["detail"]);
    }
    assert_eq!(
        world.get("/api/v1/microservices/twice?environment=production").await.json()["environment"],
        "production"
    );
}

#[tokio::test]
async fn nobody_and_strangers_are_kept_out_and_health_is_open() {
    let world = World::start("http://localhost:8080").await;
    let bearer = format!("Bearer {STRANGER}");
    for path in [
        "/api/v1/microservices",
        "/api/v1/templates",
        "/api/v1/environments",
        "/api/v1/catalog",
        "/api/v1/microservices/x/logs",
    ] {
        assert_eq!(world.ask(Method::GET, path, &[], "").await.status, 401, "{path}");
        assert_eq!(world.ask(Method::GET, path, &[("authorization", "Bearer forged")], "").await.status, 401, "{path}");
        assert_eq!(world.ask(Method::GET, path, &[("authorization", &bearer)], "").await.status, 403, "{path}");
    }
    let body = json!({"name": "a", "template": "service"}).to_string();
    assert_eq!(
        world.ask(Method::POST, "/api/v1/microservices", &[("authorization", &bearer)], &body).await.status,
        403
    );
    for path in ["/health", "/health/live", "/health/ready", "/metrics", "/api/v1/openapi.json"] {
        let answer = world.ask(Method::GET, path, &[], "").await;
        assert_eq!(answer.status, 200, "{path}");
        assert_eq!(answer.header("access-control-allow-origin"), None);
    }
}

#[tokio::test]
async fn a_write_is_done_once_per_key_and_not_at_all_on_a_dry_run() {
    let world = World::start("http://localhost:8080").await;
    let bearer = format!("Bearer {ADMIN}");
    let body = json!({"name": "orders", "template": "service"}).to_string();
    let path = "/api/v1/microservices";
    let dry = world.ask(Method::POST, "/api/v1/microservices?dryRun=true", &[("authorization", &bearer)], &body).await;
    assert_eq!(dry.status, 201);
    assert_eq!(world.get("/api/v1/microservices/orders").await.status, 404);
    let headers = [("authorization", bearer.as_str()), ("idempotency-key", "k1")];
    let first = world.ask(Method::POST, path, &headers, &body).await;
    let second = world.ask(Method::POST, path, &headers, &body).await;
    assert_eq!((first.status, second.status), (201, 201));
    assert_eq!(first.body, second.body);
    assert_eq!(second.header("idempotency-replayed").as_deref(), Some("true"));
    let other = json!({"name": "others", "template": "service"}).to_string();
    assert_eq!(world.ask(Method::POST, path, &headers, &other).await.json()["code"], "REST0011");
    assert_eq!(
        world.ask(Method::POST, path, &headers[..1], &body).await.status,
        409,
        "without the key it is a second wish"
    );
}

#[tokio::test]
async fn lists_have_pages_and_filters() {
    let world = World::start("http://localhost:8080").await;
    for at in 0..7 {
        let environment = if at % 2 == 0 { "development" } else { "production" };
        let body = json!({"name": format!("s{at}"), "template": "static", "environment": environment});
        assert_eq!(world.send(Method::POST, "/api/v1/microservices", &body).await.status, 201);
    }
    let (mut names, mut next) = (Vec::new(), String::new());
    loop {
        let page = world.get(&format!("/api/v1/microservices?limit=3{next}")).await.json();
        names.extend(page["items"].as_array().unwrap().iter().map(|item| item["name"].as_str().unwrap().to_owned()));
        match page["continue"].as_str() {
            Some(token) => next = format!("&continue={token}"),
            None => break,
        }
    }
    assert_eq!(names, ["s0", "s2", "s4", "s6", "s1", "s3", "s5"]);
    let filtered = world.get("/api/v1/microservices?environment=production&q=S3").await.json();
    assert_eq!(filtered["items"].as_array().unwrap().len(), 1);
    assert_eq!(world.get("/api/v1/templates").await.json()["items"][0]["name"], "service");
    assert_eq!(
        world.get("/api/v1/catalog/microservice").await.json()["parameters"]["properties"]["template"]["enum"],
        json!(["service", "static"])
    );
    assert_eq!(world.get("/api/v1/catalog/none").await.status, 404);
}

#[tokio::test]
async fn an_environment_is_created_with_what_it_leaves_open() {
    let world = World::start("http://localhost:8080").await;
    let made = world.send(Method::POST, "/api/v1/environments", &json!({"name": "staging", "order": 15})).await;
    assert_eq!(made.status, 201, "{}", made.body);
    assert_eq!(
        (made.json()["namespace"].as_str(), made.json()["domain"].as_str()),
        (Some("staging"), Some("staging.localhost"))
    );
    let names: Vec<_> = world.get("/api/v1/environments").await.json()["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| item["name"].clone())
        .collect();
    assert_eq!(names, ["development", "staging", "production"]);
    assert_eq!(world.send(Method::POST, "/api/v1/environments", &json!({"name": "staging"})).await.status, 409);
}

#[tokio::test]
async fn whoever_watches_is_told_of_changes() {
    use http_body_util::BodyExt;
    use tower::ServiceExt;
    let world = World::start("http://localhost:8080").await;
    let request =
        http::Request::get("/api/v1/microservices?watch=true").header("authorization", format!("Bearer {ADMIN}"));
    let response = world.router.clone().oneshot(request.body(axum::body::Body::empty()).unwrap()).await.unwrap();
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    let mut body = response.into_body();
    world.send(Method::POST, "/api/v1/microservices", &json!({"name": "orders", "template": "service"})).await;
    let mut seen = String::new();
    let told = async {
        while !seen.contains("\"type\":\"ADDED\"") {
            let frame = body.frame().await.unwrap().unwrap();
            seen.push_str(std::str::from_utf8(frame.data_ref().unwrap()).unwrap());
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(10), told).await.unwrap();
    assert!(seen.contains("\"name\":\"orders\""), "{seen}");
}

#[tokio::test]
async fn logs_are_read_and_followed_also_of_pods_that_come_later() {
    use http_body_util::BodyExt;
    use tower::ServiceExt;
    let world = World::start("http://localhost:8080").await;
    world.write_logs();
    world.service("orders", "development", "Healthy", 2).await;
    until(|| async {
        world.get("/api/v1/microservices/orders").await.json()["pods"].as_array().is_some_and(|pods| pods.len() == 2)
    })
    .await;
    let recent = world.get("/api/v1/microservices/orders/logs?lines=5").await.json();
    let lines: Vec<_> = recent["logs"].as_str().unwrap().lines().map(str::to_owned).collect();
    assert_eq!(
        lines,
        [
            "orders-7d9c5b8f6-0x0k2 hello from orders-7d9c5b8f6-0x0k2",
            "orders-7d9c5b8f6-1x1k2 hello from orders-7d9c5b8f6-1x1k2"
        ]
    );
    assert_eq!(world.get("/api/v1/microservices/orders/logs?lines=-1").await.status, 400);
    let request = http::Request::get("/api/v1/microservices/orders/logs?follow=true")
        .header("authorization", format!("Bearer {ADMIN}"));
    let response = world.router.clone().oneshot(request.body(axum::body::Body::empty()).unwrap()).await.unwrap();
    let mut body = response.into_body();
    let labels = json!({"platform.io/microservice": "orders"});
    world
        .create(
            "v1",
            "pods",
            json!({"kind": "Pod", "metadata": {"name": "orders-late", "namespace": "development", "labels": labels},
        "spec": {"nodeName": "here", "containers": [{"name": "app", "image": "shop"}]}}),
        )
        .await;
    let mut seen = String::new();
    let told = async {
        while !(seen.contains("hello from orders-7d9c5b8f6-1x1k2") && seen.contains("hello from orders-late")) {
            let frame = body.frame().await.unwrap().unwrap();
            seen.push_str(std::str::from_utf8(frame.data_ref().unwrap()).unwrap());
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(10), told).await.unwrap();
}
