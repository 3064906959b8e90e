//! The portal's pages as a browser without script sees them.

mod world;

use http::Method;
use serde_json::json;
use world::{World, until};

const FORM: &str = "application/x-www-form-urlencoded";

async fn page(world: &World, cookie: &str, path: &str) -> world::Answer {
    let answer = world.ask(Method::GET, path, &[("cookie", cookie)], "").await;
    assert!(answer.body.len() < 100_000, "{path} has {} bytes", answer.body.len());
    answer
}

async fn submit(world: &World, cookie: &str, path: &str, body: &str) -> world::Answer {
    let headers = [("cookie", cookie), ("origin", "http://localhost:8080"), ("content-type", FORM)];
    world.ask(Method::POST, path, &headers, body).await
}

#[tokio::test]
async fn a_visitor_is_told_how_to_log_in_and_a_link_works_once() {
    let world = World::start("http://localhost:8080").await;
    let answer = world.ask(Method::GET, "/", &[], "").await;
    assert_eq!(answer.status, 401);
    assert!(answer.body.contains("roadstead login-link"));
    let link = world.portal.handle().login_link("system:admin", &["system:masters".to_owned()]).unwrap();
    let path = link.strip_prefix("http://localhost:8080").unwrap();
    let first = world.ask(Method::GET, path, &[], "").await;
    let cookie = first.header("set-cookie").unwrap();
    assert!(cookie.contains("HttpOnly") && cookie.contains("SameSite=Strict"), "{cookie}");
    assert_eq!(world.ask(Method::GET, path, &[], "").await.status, 401, "it has been used");
    let cookie = cookie.split(';').next().unwrap();
    assert_eq!(page(&world, cookie, "/").await.status, 200);
    assert_eq!(submit(&world, cookie, "/logout", "").await.status, 303);
    assert_eq!(page(&world, cookie, "/").await.status, 401);
}

#[tokio::test]
async fn services_are_made_shown_scaled_and_deleted_by_forms() {
    let world = World::start("http://localhost:8080").await;
    let cookie = world.log_in().await;
    assert!(page(&world, &cookie, "/").await.body.contains("No services yet"));
    let wrong =
        submit(&world, &cookie, "/services/new", "name=Bad_Name&template=service&environment=development").await;
    assert_eq!(wrong.status, 422);
    assert!(wrong.body.contains("id=\"name-error\"") && wrong.body.contains("Bad_Name"), "what was typed stays");
    let made = submit(&world, &cookie, "/services/new", "name=orders&template=service&environment=development").await;
    assert_eq!(
        (made.status, made.header("location").as_deref()),
        (303, Some("/services/development/orders?done=created"))
    );
    let shown = page(&world, &cookie, "/services/development/orders?done=created").await;
    assert_eq!(shown.status, 200);
    for wanted in ["roadstead get orders", "roadstead repo clone orders", "Progressing", "popovertarget"] {
        assert!(shown.body.contains(wanted), "{wanted}");
    }
    assert!(page(&world, &cookie, "/").await.body.contains("/services/development/orders"));
    assert_eq!(submit(&world, &cookie, "/services/development/orders/scale", "replicas=2").await.status, 303);
    assert_eq!(submit(&world, &cookie, "/services/development/orders/delete", "").await.status, 303);
    until(|| async { page(&world, &cookie, "/services/development/orders").await.body.contains("being deleted") })
        .await;
    world.collect("development", "orders").await;
    until(|| async { page(&world, &cookie, "/services/development/orders").await.status == 404 }).await;
}

#[tokio::test]
async fn forms_from_elsewhere_are_refused() {
    let world = World::start("http://localhost:8080").await;
    let cookie = world.log_in().await;
    let body = "name=orders&template=service&environment=development";
    for origin in ["http://localhost:3000", "https://evil.example", "null"] {
        let headers = [("cookie", cookie.as_str()), ("origin", origin), ("content-type", FORM)];
        assert_eq!(world.ask(Method::POST, "/services/new", &headers, body).await.status, 403, "{origin}");
    }
    assert_eq!(world.get("/api/v1/microservices").await.json()["items"], json!([]));
}

#[tokio::test]
async fn every_page_is_strict_about_what_it_loads_and_links_lead_somewhere() {
    let world = World::start("http://localhost:8080").await;
    world.write_logs();
    world.service("orders", "development", "Degraded", 2).await;
    let cookie = world.log_in().await;
    until(|| async { page(&world, &cookie, "/services/development/orders").await.body.contains("CrashLoopBackOff") })
        .await;
    for path in ["/", "/services/new", "/services/development/orders", "/login", "/missing"] {
        let answer = page(&world, &cookie, path).await;
        assert!(answer.header("content-security-policy").unwrap().starts_with("default-src 'self'"));
        assert!(
            !answer.body.contains("style=\"") && !answer.body.contains("<script>") && !answer.body.contains("onclick"),
            "{path}"
        );
        for link in answer
            .body
            .split("href=\"")
            .chain(answer.body.split("src=\""))
            .skip(1)
            .filter_map(|rest| rest.split('"').next())
        {
            if link.starts_with('/') {
                assert_eq!(page(&world, &cookie, link).await.status, 200, "{link} on {path}");
            }
        }
    }
}

#[tokio::test]
async fn names_from_objects_cannot_become_markup() {
    let world = World::start("http://localhost:8080").await;
    world.create("platform.io/v1alpha1", "microservices", json!({"kind": "Microservice", "metadata": {"name": "odd", "namespace": "development"},
        "spec": {"environment": "development"}, "status": {"conditions": [{"type": "Ready", "status": "False", "reason": "X", "message": "<script>alert(1)</script>"}]}})).await;
    let cookie = world.log_in().await;
    until(|| async { page(&world, &cookie, "/").await.body.contains("alert(1)") }).await;
    for path in ["/", "/services/development/odd", "/?q=%3Cscript%3E"] {
        assert!(!page(&world, &cookie, path).await.body.contains("<script>"), "{path}");
    }
}
