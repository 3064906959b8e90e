//! What a definition says of its versions, and how it changes: fields that objects are selected
//! by, versions that are deprecated, stored and let go.

use std::time::{Duration, Instant};

use conformance::{
    cluster::{Call, JSON_PATCH, MERGE_PATCH},
    walk::{Walk, conform},
};
use serde_json::{Value, json};

use crate::definitions::{DEFINITIONS, boat, boats, define, group, object, remove, until};

/// A word that no author knew.
fn word(walk: &Walk, from: usize) -> String {
    let letters = walk.id[from..from + 3].bytes().map(|byte| char::from(b'a' + byte % 23));
    format!("w{}", letters.collect::<String>())
}

#[tokio::test]
async fn objects_are_selected_by_the_fields_that_their_definition_names() {
    conform(async |walk: &mut Walk| {
        let group = group(walk);
        let (field, value) = (word(walk, 0), word(walk, 3));
        let mut definition = boats(&group, object(json!({"spec": {"type": "object", "properties": {&field: {"type": "string"}, "n": {"type": "integer"}, "yes": {"type": "boolean"}, "deep": {"type": "object", "properties": {"er": {"type": "string", "enum": ["a", "b"]}}}, "other": {"type": "string"}}}})));
        definition["spec"]["versions"][0]["selectableFields"] = json!([{"jsonPath": format!(".spec.{field}")}, {"jsonPath": ".spec.n"}, {"jsonPath": ".spec.yes"}, {"jsonPath": ".spec.deep.er"}]);
        let path = define(walk, definition.clone()).await;
        for (name, spec) in [("a", json!({&field: value, "n": 1, "yes": true, "deep": {"er": "a"}})), ("b", json!({&field: "x", "n": 2, "yes": false})), ("c", json!({"other": value})), ("d", json!({&field: value, "n": 2}))] {
            walk.expect(201, Call::post(&path, boat(walk, name, spec))).await;
        }
        let all = [format!("spec.{field}={value}"), format!("spec.{field}!={value}"), format!("spec.{field}={value},spec.n=2"), "spec.n=2".to_owned(), "spec.n=0".to_owned(), "spec.yes=true".to_owned(), "spec.yes=false".to_owned(), "spec.yes=".to_owned(), "spec.deep.er=a".to_owned(), "spec.deep.er!=a".to_owned(), format!("spec.other={value}"), "spec=x".to_owned(), "metadata.name=a,spec.n=1".to_owned()];
        for selector in &all {
            walk.ask(Call::get(format!("{path}?fieldSelector={selector}"))).await;
        }
        let found = walk.expect(200, Call::get(format!("{path}?fieldSelector={}", all[0]))).await;
        assert_eq!(found.names(), ["a", "d"]);
        walk.watch(Call::get(format!("{path}?watch=true&timeoutSeconds=5&fieldSelector={}", all[2])), 1).await;
        walk.ask(Call::delete(format!("{path}?fieldSelector={}", all[0]))).await;
        let left = walk.expect(200, Call::get(&path)).await;
        assert_eq!(left.names(), ["b", "c"]);
        // Nine are too many, and none stands twice.
        let names: Vec<String> = (0..9).map(|index| format!("f{index}")).collect();
        let many: serde_json::Map<String, Value> = names.iter().map(|name| (name.clone(), json!({"type": "string"}))).collect();
        let mut many = boats(&group, object(json!({"spec": {"type": "object", "properties": many}})));
        many["metadata"]["name"] = format!("ships.{group}").into();
        many["spec"]["names"] = json!({"plural": "ships", "kind": "Ship"});
        many["spec"]["versions"][0]["selectableFields"] = names.iter().map(|name| json!({"jsonPath": format!(".spec.{name}")})).collect();
        walk.expect(422, Call::post(DEFINITIONS, many.clone())).await;
        many["spec"]["versions"][0]["selectableFields"] = json!([{"jsonPath": ".spec.f1"}, {"jsonPath": ".spec.f1"}]);
        walk.expect(422, Call::post(DEFINITIONS, many)).await;
        remove(walk, &format!("boats.{group}")).await;
    })
    .await;
}

#[tokio::test]
async fn whoever_uses_a_deprecated_version_is_warned() {
    conform(async |walk: &mut Walk| {
        let group = group(walk);
        let own = format!("{} is old, {}", word(walk, 0), walk.id);
        let version = |name: &str, served: bool, storage: bool| json!({"name": name, "served": served, "storage": storage, "schema": {"openAPIV3Schema": {"type": "object"}}});
        let deprecated = |mut version: Value, warning: Option<&str>| {
            version["deprecated"] = true.into();
            if let Some(warning) = warning {
                version["deprecationWarning"] = warning.into();
            }
            version
        };
        let mut definition = boats(&group, json!({}));
        definition["spec"]["versions"] = json!([version("v1", true, true), deprecated(version("v2", true, false), None), deprecated(version("v1beta1", true, false), None), deprecated(version("v1alpha1", true, false), Some(&own)), version("v3", false, false)]);
        let path = define(walk, definition.clone()).await;
        for name in ["v1", "v2", "v1beta1", "v1alpha1"] {
            let path = walk.group(&format!("{group}/{name}"), "boats");
            until(walk, 200, &path).await;
            let object = json!({"apiVersion": format!("{group}/{name}"), "kind": "Boat", "metadata": {"name": format!("by-{name}")}});
            let made = walk.expect(201, Call::post(&path, object.clone())).await;
            assert_eq!(made.warnings.is_empty(), name == "v1", "{name}: {:?}", made.warnings);
            walk.ask(Call::get(&path)).await;
            walk.ask(Call::get(format!("{path}/nobody"))).await;
            walk.ask(Call::post(&path, object)).await;
            walk.ask(Call::patch(format!("{path}/by-{name}"), MERGE_PATCH, json!({"metadata": {"labels": {"a": "b"}}}))).await;
            let last = walk.ask(Call::delete(format!("{path}/by-{name}"))).await;
            assert_eq!(last.warnings.contains(&own), name == "v1alpha1");
        }
        walk.ask(Call::get(&path)).await;
        let long = "x".repeat(257);
        for warning in ["", "a\nb", "\u{7f}", long.as_str(), "fine: é"] {
            definition["spec"]["versions"][1]["deprecationWarning"] = warning.into();
            walk.ask(Call::put(format!("{DEFINITIONS}/boats.{group}?dryRun=All"), definition.clone())).await;
        }
        remove(walk, &format!("boats.{group}")).await;
    })
    .await;
}

fn version(name: &str, served: bool, storage: bool) -> Value {
    json!({"name": name, "served": served, "storage": storage, "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}}})
}

#[tokio::test]
async fn a_version_that_was_stored_stays_until_it_is_let_go() {
    conform(async |walk: &mut Walk| {
        let group = group(walk);
        let mut definition = boats(&group, json!({}));
        definition["spec"]["versions"] = json!([version("v1", true, true), version("v2", true, false)]);
        define(walk, definition.clone()).await;
        let one = format!("{DEFINITIONS}/boats.{group}");
        let change = |versions: Value| Call::patch(&one, MERGE_PATCH, json!({"spec": {"versions": versions}}));
        let moved = walk.expect(200, change(json!([version("v1", true, false), version("v2", true, true)]))).await;
        assert_eq!(moved.body["status"]["storedVersions"], json!(["v1", "v2"]));
        walk.expect(422, change(json!([version("v2", true, true)]))).await;
        walk.expect(422, change(json!([version("v1", true, false), version("v2", true, false)]))).await;
        walk.expect(422, change(json!([version("v1", true, true), version("v2", true, true)]))).await;
        walk.expect(
            200,
            change(json!([version("v1", false, false), version("v2", true, true), version("v3alpha1", true, false)])),
        )
        .await;
        until(walk, 404, &walk.group(&format!("{group}/v1"), "boats")).await;
        until(walk, 200, &walk.group(&format!("{group}/v3alpha1"), "boats")).await;
        walk.ask(Call::get(walk.group(&format!("{group}/v1"), "boats"))).await;
        walk.ask(Call::get(format!("/apis/{group}"))).await;
        let status = format!("{one}/status");
        walk.expect(
            200,
            Call::patch(
                &status,
                MERGE_PATCH,
                json!({"status": {"storedVersions": ["v2"]}, "spec": {"scope": "Cluster"}}),
            ),
        )
        .await;
        walk.expect(200, change(json!([version("v2", true, true)]))).await;
        walk.ask(Call::patch(&status, MERGE_PATCH, json!({"status": {"storedVersions": []}}))).await;
        walk.ask(Call::patch(
            &status,
            MERGE_PATCH,
            json!({"status": {"acceptedNames": {"plural": "UP", "kind": "a b"}}}),
        ))
        .await;
        walk.ask(Call::patch(&status, MERGE_PATCH, json!({"status": {"storedVersions": ["v2"]}}))).await;
        walk.ask(Call::patch(&status, JSON_PATCH, json!([{"op": "remove", "path": "/status/storedVersions"}]))).await;
        walk.ask(Call::get(&one)).await;
        remove(walk, &format!("boats.{group}")).await;
    })
    .await;
}

#[tokio::test]
async fn a_definition_changes_as_far_as_its_objects_allow() {
    conform(async |walk: &mut Walk| {
        let group = group(walk);
        let dear = json!({"type": "array", "maxItems": 4000, "items": {"type": "string", "maxLength": 4000, "x-kubernetes-validations": [{"rule": "self.contains('abcdefghij')"}]}});
        let schema = |more: Value| object(json!({"spec": {"type": "object", "properties": {"l": dear, "more": more}}}));
        let path = define(walk, boats(&group, schema(json!({"type": "integer"})))).await;
        walk.expect(201, Call::post(&path, boat(walk, "a", json!({"l": ["abcdefghij"], "more": 3})))).await;
        let one = format!("{DEFINITIONS}/boats.{group}");
        let found = walk.expect(200, Call::get(&one)).await;
        for (pointer, value) in [
            ("/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/l/maxItems", json!(90_000)), ("/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/more", json!({"type": "string"})), ("/spec/versions/0/schema/openAPIV3Schema/properties/spec/type", json!("array")),
            ("/spec/names/shortNames", json!(["bo"])), ("/spec/names/categories", json!(["all"])), ("/spec/names/singular", json!("dinghy")), ("/spec/names/listKind", json!("Boats")), ("/spec/names/kind", json!("Ship")), ("/spec/names/plural", json!("ships")), ("/spec/scope", json!("Cluster")), ("/spec/group", json!("other.example.com")), ("/spec/preserveUnknownFields", json!(true)), ("/spec/preserveUnknownFields", json!(false)),
            ("/metadata/labels", json!({"a": "b"})), ("/metadata/finalizers", json!(["x"])), ("/metadata/name", json!("ships.x.example.com")), ("/metadata/uid", json!("x")), ("/spec/odd", json!(1)), ("/status/conditions", json!([])), ("/spec/conversion", json!({"strategy": "Webhook", "webhook": {"conversionReviewVersions": ["v1"], "clientConfig": {"url": "https://x.example", "caBundle": "bm8gUEVN"}}})),
        ] {
            let mut changed = found.body.clone();
            let (parent, name) = pointer.rsplit_once('/').unwrap();
            changed.pointer_mut(parent).unwrap()[name] = value;
            walk.ask(Call::put(format!("{one}?dryRun=All"), changed)).await;
        }
        let mut other = boat(walk, "a", json!({"l": []}));
        other["metadata"]["uid"] = "00000000-0000-0000-0000-000000000000".into();
        walk.ask(Call::put(format!("{path}/a"), other)).await;
        let mut unnamed = found.body.clone();
        unnamed["metadata"].as_object_mut().unwrap().remove("resourceVersion");
        walk.ask(Call::put(&one, unnamed)).await;
        walk.ask(Call::patch(&one, MERGE_PATCH, json!({"metadata": {"annotations": {"a": "b"}}}))).await;
        walk.ask(Call::patch(&one, MERGE_PATCH, json!({"spec": {"names": {"shortNames": ["bb"]}}}))).await;
        // They are accepted a moment later.
        let begun = Instant::now();
        while walk.quietly(Call::get(&one)).await.body["status"]["acceptedNames"]["shortNames"] != json!(["bb"]) {
            assert!(begun.elapsed() < Duration::from_secs(30), "the new short name is not accepted");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        remove(walk, &format!("boats.{group}")).await;
    })
    .await;
}

#[tokio::test]
async fn groups_of_kubernetes_own_need_to_be_approved() {
    conform(async |walk: &mut Walk| {
        let group = format!("{}.k8s.io", walk.id);
        for approval in [
            None,
            Some(""),
            Some("no"),
            Some("unapproved, a trial"),
            Some("https://github.com/kubernetes/kubernetes/pull/78458"),
        ] {
            let mut definition = boats(&group, json!({"type": "object"}));
            if let Some(approval) = approval {
                definition["metadata"]["annotations"] = json!({"api-approved.kubernetes.io": approval});
            }
            let answer = walk.ask(Call::post(format!("{DEFINITIONS}?dryRun=All"), definition)).await;
            assert_eq!(answer.code == 201, approval.is_some_and(|approval| approval.len() > 2), "{approval:?}");
        }
        let mut definition = boats(&group, json!({"type": "object"}));
        definition["metadata"]["annotations"] = json!({"api-approved.kubernetes.io": "unapproved, a trial"});
        define(walk, definition).await;
        let one = format!("{DEFINITIONS}/boats.{group}");
        walk.ask(Call::patch(&one, MERGE_PATCH, json!({"metadata": {"annotations": null}}))).await;
        walk.ask(Call::patch(
            &one,
            MERGE_PATCH,
            json!({"metadata": {"annotations": {"api-approved.kubernetes.io": "odd"}}}),
        ))
        .await;
        // In which order its conditions were written is not told: who writes them comes when it may.
        walk.quietly(Call::delete(&one)).await;
        until(walk, 404, &one).await;
    })
    .await;
}
