//! Templates that make objects, over a cluster in this process.

mod world;

use http::Method;
use serde_json::json;
use world::{STRANGER, World, until};

async fn stored(world: &World, name: &str, text: &str) {
    let map = json!({"kind": "ConfigMap", "metadata": {"name": name, "namespace": "roadstead-system",
        "labels": {"platform.io/template": "true"}}, "data": {"template": text}});
    world.create("v1", "configmaps", map).await;
}

fn word() -> String {
    format!("w{}", &uuid::Uuid::new_v4().simple().to_string()[..8])
}

#[tokio::test]
async fn a_template_is_deployed_with_the_rights_of_whoever_asks() {
    let world = World::start("http://localhost:8080").await;
    let (template, name, text) = (word(), word(), format!("a map of {}", word()));
    stored(&world, &template, &text).await;
    stored(&world, "broken", "no template").await;
    let path = format!("/api/v1/templates/{template}/deploy");
    until(|| async { world.get("/api/v1/templates").await.body.contains(&template) }).await;
    let listed = world.get(&format!("/api/v1/templates?q={template}")).await.json();
    assert_eq!(
        listed["items"],
        json!([{"name": template, "description": text, "makes": "Objects",
            "parameters": [{"name": "NAME", "description": "", "value": "", "required": true, "generated": false}]}])
    );
    let all = world.get("/api/v1/templates").await.body;
    assert!(!all.contains("broken") && all.contains("Microservice"), "{all}");

    let wish = json!({"namespace": "development", "parameters": {"NAME": name}});
    let bearer = format!("Bearer {STRANGER}");
    let stranger = [("authorization", bearer.as_str())];
    // Who may not see templates deploys none.
    assert_eq!(world.ask(Method::POST, &path, &stranger, &wish.to_string()).await.json()["code"], "REST0003");
    let role = json!({"kind": "ClusterRole", "metadata": {"name": "templates"},
        "rules": [{"apiGroups": ["platform.io"], "resources": ["templates"], "verbs": ["get"]}]});
    world.create("rbac.authorization.k8s.io/v1", "clusterroles", role).await;
    let binding = json!({"kind": "ClusterRoleBinding", "metadata": {"name": "templates"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "templates"},
        "subjects": [{"kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": "stranger"}]});
    world.create("rbac.authorization.k8s.io/v1", "clusterrolebindings", binding).await;
    // Who may see them writes with no rights but their own: the portal's do not help.
    tokio::time::pause();
    tokio::time::advance(std::time::Duration::from_secs(10)).await;
    tokio::time::resume();
    let refused = world.ask(Method::POST, &path, &stranger, &wish.to_string()).await;
    assert_eq!((refused.status, refused.json()["code"].as_str()), (422, Some("TPL0006")), "{}", refused.body);
    assert!(refused.body.contains("stranger") && refused.body.contains("cannot create resource"), "{}", refused.body);

    let dry = world.send(Method::POST, &format!("{path}?dryRun=true"), &wish).await;
    assert_eq!((dry.status, dry.json()["objects"][0]["name"].as_str()), (200, Some(name.as_str())), "{}", dry.body);
    assert_eq!(world.send(Method::POST, &path, &wish).await.status, 200, "the trial made nothing");
    assert_eq!(world.send(Method::POST, &path, &wish).await.status, 422, "it is there now");
}

#[tokio::test]
async fn what_is_no_template_is_not_deployed() {
    let world = World::start("http://localhost:8080").await;
    stored(&world, "map", "a map").await;
    until(|| async { world.get("/api/v1/templates").await.body.contains("\"map\"") }).await;
    for (name, wish, status, code) in [
        ("none", json!({}), 404, "REST0005"),
        // A template of microservices, and the list of them.
        ("service", json!({}), 404, "REST0005"),
        ("templates", json!({}), 404, "REST0005"),
        ("map", json!({"namespace": "Not_Right"}), 422, "REST0009"),
        ("map", json!({"parameters": {"NAME": 5}}), 400, "REST0001"),
        ("map", json!({"odd": 1}), 400, "REST0001"),
    ] {
        let answer = world.send(Method::POST, &format!("/api/v1/templates/{name}/deploy"), &wish).await;
        assert_eq!((answer.status, answer.json()["code"].as_str()), (status, Some(code)), "{name}: {}", answer.body);
    }
}
