//! Definitions of kinds and the objects they define, as a client sees them.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a test stops at what it did not expect, and runs beside the product"
)]

mod hook;

use apiserver::{Server, User};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{
    Api, Client,
    api::{DeleteParams, DynamicObject, Patch, PatchParams, PostParams},
    core::{ApiResource, GroupVersionKind},
};
use serde_json::{Value, json};

async fn admin() -> (Server, Client) {
    let server = Server::in_memory().await.unwrap();
    let client = server.client(User::new("admin", &["system:masters"]));
    (server, client)
}

fn random(prefix: &str) -> String {
    format!("{prefix}{}", &uuid::Uuid::new_v4().simple().to_string()[..8])
}

/// Returns a definition of Boats with this `spec` schema and these rules at the root.
fn definition(group: &str, schema: &Value) -> Value {
    json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": format!("boats.{group}")},
        "spec": {"group": group, "scope": "Namespaced", "names": {"plural": "boats", "kind": "Boat", "singular": "boat", "listKind": "BoatList"},
            "versions": [{"name": "v1", "served": true, "storage": true, "subresources": {"status": {}}, "schema": {"openAPIV3Schema": schema}}]}})
}

async fn define(client: &Client, value: Value) -> Result<CustomResourceDefinition, kube::Error> {
    let definitions: Api<CustomResourceDefinition> = Api::all(client.clone());
    definitions.create(&PostParams::default(), &serde_json::from_value(value).unwrap()).await
}

fn boats(client: &Client, group: &str) -> Api<DynamicObject> {
    let kind = ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(group, "v1", "Boat"), "boats");
    Api::namespaced_with(client.clone(), "default", &kind)
}

fn boat(group: &str, name: &str, spec: impl Into<Value>) -> DynamicObject {
    let spec: Value = spec.into();
    serde_json::from_value(
        json!({"apiVersion": format!("{group}/v1"), "kind": "Boat", "metadata": {"name": name}, "spec": spec}),
    )
    .unwrap()
}

#[tokio::test]
async fn a_webhook_converts_what_goes_in_and_comes_out() {
    let (_server, client) = admin().await;
    let hook = hook::start().await;
    let group = format!("{}.example", random("g"));
    let free = json!({"type": "object", "properties": {"spec": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}}});
    let mut value = definition(&group, &free);
    value["spec"]["conversion"] = json!({"strategy": "Webhook",
        "webhook": {"conversionReviewVersions": ["v1"], "clientConfig": hook.config("/convert")}});
    let mut second = value["spec"]["versions"][0].clone();
    (second["name"], second["storage"]) = (json!("v2"), json!(false));
    value["spec"]["versions"].as_array_mut().unwrap().push(second);
    define(&client, value).await.unwrap();
    let old = boats(&client, &group);
    let kind = ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(&group, "v2", "Boat"), "boats");
    let new: Api<DynamicObject> = Api::namespaced_with(client.clone(), "default", &kind);
    old.create(&PostParams::default(), &boat(&group, "a", json!({"size": 2}))).await.unwrap();
    let found = new.get("a").await.unwrap();
    assert_eq!((found.types.unwrap().api_version, &found.data["spec"]), (format!("{group}/v2"), &json!({"length": 2})));
    let mut made = boat(&group, "b", json!({"length": 7}));
    made.types.as_mut().unwrap().api_version = format!("{group}/v2");
    assert_eq!(new.create(&PostParams::default(), &made).await.unwrap().data["spec"], json!({"length": 7}));
    assert_eq!(old.get("b").await.unwrap().data["spec"], json!({"size": 7}));
    let patched = new.patch("b", &PatchParams::default(), &Patch::Merge(json!({"spec": {"length": 8}}))).await.unwrap();
    assert_eq!(patched.data["spec"], json!({"length": 8}));
    assert_eq!(old.get("b").await.unwrap().data["spec"], json!({"size": 8}));
    let list = new.list(&kube::api::ListParams::default()).await.unwrap();
    let lengths: Vec<&Value> = list.items.iter().map(|item| &item.data["spec"]["length"]).collect();
    assert_eq!(lengths, [&json!(2), &json!(8)]);
    let mut events = std::pin::pin!(new.watch(&kube::api::WatchParams::default(), "0").await.unwrap());
    match futures::StreamExt::next(&mut events).await.unwrap().unwrap() {
        kube::api::WatchEvent::Added(object) => assert_eq!(object.data["spec"], json!({"length": 2})),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn what_an_earlier_storage_version_left_is_read_in_the_version_that_is_asked_for() {
    let (_server, client) = admin().await;
    let hook = hook::start().await;
    let webhook = json!({"strategy": "Webhook", "webhook": {"conversionReviewVersions": ["v1"], "clientConfig": hook.config("/convert")}});
    for (conversion, field) in [(json!({"strategy": "None"}), "size"), (webhook, "length")] {
        let group = format!("{}.example", random("g"));
        let free = json!({"type": "object", "properties": {"spec": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}}});
        let mut value = definition(&group, &free);
        value["spec"]["conversion"] = conversion;
        let mut second = value["spec"]["versions"][0].clone();
        (second["name"], second["storage"]) = (json!("v2"), json!(false));
        value["spec"]["versions"].as_array_mut().unwrap().push(second);
        define(&client, value.clone()).await.unwrap();
        let old = boats(&client, &group);
        old.create(&PostParams::default(), &boat(&group, "a", json!({"size": 2}))).await.unwrap();
        for (index, stored) in [false, true].into_iter().enumerate() {
            value["spec"]["versions"][index]["storage"] = stored.into();
        }
        let moved = json!({"spec": {"versions": value["spec"]["versions"]}});
        let definitions: Api<CustomResourceDefinition> = Api::all(client.clone());
        definitions.patch(&format!("boats.{group}"), &PatchParams::default(), &Patch::Merge(moved)).await.unwrap();
        let kind = ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(&group, "v2", "Boat"), "boats");
        let new: Api<DynamicObject> = Api::namespaced_with(client.clone(), "default", &kind);
        new.create(&PostParams::default(), &{
            let mut made = boat(&group, "b", json!({field: 3}));
            made.types.as_mut().unwrap().api_version = format!("{group}/v2");
            made
        })
        .await
        .unwrap();
        let version = |object: &DynamicObject| object.types.clone().unwrap().api_version;
        let found = new.get("a").await.unwrap();
        assert_eq!((version(&found), &found.data["spec"]), (format!("{group}/v2"), &json!({field: 2})));
        let path = format!("/apis/{group}/v2/namespaces/default/boats");
        let list: Value = client.request(http::Request::get(path).body(Vec::new()).unwrap()).await.unwrap();
        let versions: Vec<&Value> = list["items"].as_array().unwrap().iter().map(|item| &item["apiVersion"]).collect();
        assert_eq!(versions, [&format!("{group}/v2"), &format!("{group}/v2")]);
        let mut events = std::pin::pin!(new.watch(&kube::api::WatchParams::default(), "0").await.unwrap());
        match futures::StreamExt::next(&mut events).await.unwrap().unwrap() {
            kube::api::WatchEvent::Added(object) => assert_eq!(version(&object), format!("{group}/v2")),
            other => panic!("{other:?}"),
        }
        let found = old.get("a").await.unwrap();
        assert_eq!((version(&found), &found.data["spec"]), (format!("{group}/v1"), &json!({"size": 2})));
        let patched =
            new.patch("a", &PatchParams::default(), &Patch::Merge(json!({"spec": {field: 9}}))).await.unwrap();
        assert_eq!((version(&patched), &patched.data["spec"]), (format!("{group}/v2"), &json!({field: 9})));
    }
}

#[tokio::test]
async fn a_definition_waits_for_its_objects_and_takes_nothing_new() {
    let (_server, client) = admin().await;
    let group = "sea.example";
    define(&client, definition(group, &json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true})))
        .await
        .unwrap();
    let boats = boats(&client, group);
    let mut held = boat(group, "held", json!({}));
    held.metadata.finalizers = Some(vec!["sea.example/hold".into()]);
    boats.create(&PostParams::default(), &held).await.unwrap();
    boats.create(&PostParams::default(), &boat(group, "free", json!({}))).await.unwrap();
    let definitions: Api<CustomResourceDefinition> = Api::all(client.clone());
    definitions.delete("boats.sea.example", &DeleteParams::default()).await.unwrap();
    let going = definitions.get("boats.sea.example").await.unwrap();
    assert_eq!(going.metadata.finalizers.unwrap(), ["customresourcecleanup.apiextensions.k8s.io"]);
    let conditions = going.status.unwrap().conditions.unwrap();
    assert!(conditions.iter().any(|condition| condition.type_ == "Terminating" && condition.status == "True"));
    assert!(boats.get_opt("free").await.unwrap().is_none());
    assert!(boats.get("held").await.unwrap().metadata.deletion_timestamp.is_some());
    let refused = boats.create(&PostParams::default(), &boat(group, "new", json!({}))).await.unwrap_err();
    assert!(matches!(refused, kube::Error::Api(status) if status.code == 403));
    boats
        .patch("held", &PatchParams::default(), &Patch::Merge(json!({"metadata": {"finalizers": null}})))
        .await
        .unwrap();
    assert!(definitions.get_opt("boats.sea.example").await.unwrap().is_none());
}
