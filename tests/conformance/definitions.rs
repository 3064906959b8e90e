//! Custom resources: definitions that are taken or refused, and the objects they define.

use std::time::{Duration, Instant};

use conformance::{
    cluster::{APPLY_PATCH, Answer, Call, JSON_PATCH, MERGE_PATCH, STRATEGIC_PATCH, TABLE},
    walk::{Walk, conform},
};
use serde_json::{Value, json};

pub(crate) const DEFINITIONS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";

pub(crate) fn group(walk: &Walk) -> String {
    format!("{}.example.com", walk.id)
}

/// A definition of boats with this schema of their `spec` and `status`.
pub(crate) fn boats(group: &str, schema: Value) -> Value {
    json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": format!("boats.{group}")},
        "spec": {"group": group, "scope": "Namespaced", "names": {"plural": "boats", "kind": "Boat", "singular": "boat", "listKind": "BoatList", "shortNames": ["bt"], "categories": ["fleet"]},
            "versions": [{"name": "v1", "served": true, "storage": true, "subresources": {"status": {}}, "schema": {"openAPIV3Schema": schema}}]}})
}

pub(crate) fn object(properties: Value) -> Value {
    json!({"type": "object", "properties": properties})
}

/// Creates a definition and waits until its kind is served.
pub(crate) async fn define(walk: &mut Walk, definition: Value) -> String {
    let name = definition["metadata"]["name"].as_str().unwrap().to_owned();
    let (spec, versions) = (definition["spec"].clone(), definition["spec"]["versions"].clone());
    walk.expect(201, Call::post(DEFINITIONS, definition)).await;
    let begun = Instant::now();
    loop {
        let found = walk.quietly(Call::get(format!("{DEFINITIONS}/{name}"))).await;
        let established = |condition: &Value| condition["type"] == "Established" && condition["status"] == "True";
        if found.body["status"]["conditions"].as_array().is_some_and(|list| list.iter().any(established)) {
            break;
        }
        assert!(begun.elapsed() < Duration::from_secs(30), "not established: {}", found.body["status"]);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let served = versions.as_array().unwrap().iter().find(|version| version["served"] == true).unwrap()["name"]
        .as_str()
        .unwrap()
        .to_owned();
    let (group, plural) = (spec["group"].as_str().unwrap(), spec["names"]["plural"].as_str().unwrap());
    let path = if spec["scope"] == "Cluster" {
        format!("/apis/{group}/{served}/{plural}")
    } else {
        walk.group(&format!("{group}/{served}"), plural)
    };
    until(walk, 200, &path).await;
    path
}

/// Waits until a path answers with this code.
pub(crate) async fn until(walk: &Walk, code: u16, path: &str) -> Answer {
    let begun = Instant::now();
    loop {
        let answer = walk.quietly(Call::get(path)).await;
        if answer.code == code {
            return answer;
        }
        assert!(begun.elapsed() < Duration::from_secs(30), "{path}: {} where {code} was expected", answer.code);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

pub(crate) async fn remove(walk: &mut Walk, name: &str) {
    walk.expect(200, Call::delete(format!("{DEFINITIONS}/{name}"))).await;
    until(walk, 404, &format!("{DEFINITIONS}/{name}")).await;
}

pub(crate) fn boat(walk: &Walk, name: &str, spec: Value) -> Value {
    json!({"apiVersion": format!("{}/v1", group(walk)), "kind": "Boat", "metadata": {"name": name}, "spec": spec})
}

#[tokio::test]
async fn a_kind_unknown_until_now_is_served_pruned_defaulted_and_removed() {
    conform(async |walk: &mut Walk| {
        let group = group(walk);
        let schema = json!({"type": "object", "required": ["spec"], "properties": {
            "spec": {"type": "object", "required": ["size"], "properties": {
                "size": {"type": "integer", "minimum": 1, "maximum": 100}, "colour": {"type": "string", "default": "white", "enum": ["white", "red"]}, "rate": {"type": "number"},
                "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}, "either": {"x-kubernetes-int-or-string": true}, "note": {"type": "string", "nullable": true, "maxLength": 5},
                "nested": {"type": "object", "default": {}, "properties": {"depth": {"type": "integer", "default": 3}}}, "map": {"type": "object", "additionalProperties": {"type": "string"}},
                "list": {"type": "array", "items": {"type": "object", "properties": {"a": {"type": "string", "default": "d"}}}}, "when": {"type": "string", "format": "date-time"}, "embedded": {"type": "object", "x-kubernetes-embedded-resource": true, "x-kubernetes-preserve-unknown-fields": true}}},
            "status": {"type": "object", "properties": {"afloat": {"type": "boolean"}}}}});
        let path = define(walk, boats(&group, schema)).await;
        let made = walk.expect(201, Call::post(&path, boat(walk, "b", json!({"size": 2, "unknown": 1, "free": {"x": {"y": 1}}, "either": "5", "list": [{}, {"b": 1}], "note": null})))).await;
        assert_eq!((&made.body["spec"]["colour"], &made.body["spec"]["nested"]["depth"], &made.body["spec"]["unknown"]), (&json!("white"), &json!(3), &Value::Null));
        walk.expect(400, Call::post(format!("{path}?fieldValidation=Strict"), boat(walk, "strict", json!({"size": 2, "unknown": 1, "list": [{"b": 1}]})))).await;
        walk.ask(Call::post(format!("{path}?fieldValidation=Ignore"), boat(walk, "ignored", json!({"size": 2, "unknown": 1})))).await;
        walk.ask(Call::new("POST", &path).text(&boat(walk, "twice", json!({"size": 2})).to_string().replace("\"size\":2", "\"size\":2,\"size\":3"))).await;
        for spec in [
            json!({}), json!({"size": 0}), json!({"size": 101}), json!({"size": "2"}), json!({"size": 2.5}), json!({"size": null}), json!({"size": 2, "colour": "blue"}), json!({"size": 2, "colour": null}), json!({"size": 2, "colour": 5}), json!({"size": 2, "rate": "x"}), json!({"size": 2, "rate": 1}),
            json!({"size": 2, "either": true}), json!({"size": 2, "either": 1.5}), json!({"size": 2, "note": "abcdef"}), json!({"size": 2, "map": {"a": 1}}), json!({"size": 2, "map": []}), json!({"size": 2, "list": {}}), json!({"size": 2, "list": ["x"]}), json!({"size": 2, "when": "yesterday"}), json!({"size": 2, "when": "2026-01-01T00:00:00Z"}),
            json!({"size": 2, "embedded": {}}), json!({"size": 2, "embedded": {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x", "odd": 1}, "spec": {"any": 1}}}), json!({"size": 2, "embedded": {"apiVersion": "v1", "kind": "a b", "metadata": {"name": "A_"}}}), json!("x"), json!(null), json!([]), json!({"size": 1e2}), json!({"size": 0, "colour": "blue", "note": "abcdef"}),
        ] {
            walk.ask(Call::post(&path, json!({"apiVersion": format!("{group}/v1"), "kind": "Boat", "metadata": {"generateName": "w-"}, "spec": spec}))).await;
        }
        for wrong in [json!({}), json!({"metadata": {"name": "x"}}), json!({"apiVersion": format!("{group}/v2"), "kind": "Boat"}), json!({"apiVersion": format!("{group}/v1"), "kind": "Ship"}), json!({"apiVersion": format!("{group}/v1"), "kind": "Boat", "metadata": {"name": "UPPER"}, "spec": {"size": 1}}), json!({"apiVersion": format!("{group}/v1"), "kind": "Boat", "metadata": {"name": "x", "labels": {"a": 1}}, "spec": {"size": 1}}), json!({"apiVersion": format!("{group}/v1"), "kind": "Boat", "metadata": {"name": "x", "odd": 1}, "spec": {"size": 1}}), json!([])] {
            walk.ask(Call::post(&path, wrong)).await;
        }
        // Reads, in every form.
        for accept in ["application/json", TABLE, "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1", "application/vnd.kubernetes.protobuf,application/json"] {
            walk.ask(Call::get(format!("{path}/b")).accept(accept)).await;
        }
        walk.ask(Call::new("POST", &path).media("application/yaml").text(&format!("apiVersion: {group}/v1\nkind: Boat\nmetadata:\n  name: yaml\nspec:\n  size: 7\n"))).await;
        walk.ask(Call::get(&path).accept(TABLE)).await;
        walk.ask(Call::get(format!("/apis/{group}"))).await;
        walk.ask(Call::get(format!("/apis/{group}/v1"))).await;
        for selector in ["metadata.name=b", "spec.size=2"] {
            walk.ask(Call::get(format!("{path}?fieldSelector={selector}"))).await;
        }
        // Writes.
        let one = format!("{path}/b");
        walk.expect(422, Call::patch(&one, MERGE_PATCH, json!({"spec": {"size": 0}}))).await;
        walk.expect(415, Call::patch(&one, STRATEGIC_PATCH, json!({"spec": {"size": 3}}))).await;
        let changed = walk.expect(200, Call::patch(&one, JSON_PATCH, json!([{"op": "replace", "path": "/spec/size", "value": 5}]))).await;
        assert_eq!(changed.body["metadata"]["generation"], 2);
        let status = walk.expect(200, Call::patch(format!("{one}/status"), MERGE_PATCH, json!({"status": {"afloat": true}, "spec": {"size": 9}, "metadata": {"labels": {"by": "status"}}}))).await;
        assert_eq!((&status.body["status"]["afloat"], &status.body["spec"]["size"]), (&json!(true), &json!(5)));
        walk.ask(Call::patch(format!("{one}/status"), MERGE_PATCH, json!({"status": {"afloat": "x"}}))).await;
        walk.ask(Call::patch(&one, MERGE_PATCH, json!({"status": {"afloat": false}}))).await;
        walk.ask(Call::get(format!("{one}/scale"))).await;
        walk.ask(Call::put(&one, boat(walk, "b", json!({"size": 4})))).await;
        walk.ask(Call::put(&one, boat(walk, "c", json!({"size": 4})))).await;
        let applied = boat(walk, "b", json!({"size": 6, "map": {"k": "v"}}));
        walk.ask(Call::patch(format!("{one}?fieldManager=me"), APPLY_PATCH, applied.clone())).await;
        walk.ask(Call::patch(format!("{one}?fieldManager=me&force=true"), APPLY_PATCH, applied)).await;
        walk.ask(Call::patch(format!("{one}?fieldManager=me"), APPLY_PATCH, boat(walk, "b", json!({"size": "x"})))).await;
        walk.ask(Call::patch(format!("{one}?fieldManager=me"), APPLY_PATCH, boat(walk, "b", json!({"odd": 1})))).await;
        walk.ask(Call::delete(&one)).await;
        walk.ask(Call::delete(format!("{path}?labelSelector=none"))).await;
        let name = format!("boats.{group}");
        remove(walk, &name).await;
        until(walk, 404, &path).await;
        walk.ask(Call::get(&path)).await;
    })
    .await;
}

#[tokio::test]
async fn a_definition_that_makes_no_sense_is_refused_with_its_fields() {
    conform(async |walk: &mut Walk| {
        let group = group(walk);
        let at = |path: &str, value: Value| {
            let mut definition = boats(&group, object(json!({"spec": {"type": "object"}})));
            let (parent, name) = path.rsplit_once('/').unwrap();
            let parent = definition.pointer_mut(parent).unwrap();
            match name.parse::<usize>() {
                Ok(index) if parent.is_array() => parent.as_array_mut().unwrap().insert(index, value),
                _ => parent[name] = value,
            }
            definition
        };
        let version = |name: &str, served: bool, storage: bool| json!({"name": name, "served": served, "storage": storage, "schema": {"openAPIV3Schema": {"type": "object"}}});
        for (path, value) in [
            ("/metadata/name", json!("ships.example.com")), ("/metadata/name", json!("UPPER")), ("/spec/group", json!("nodots")), ("/spec/group", json!("other.example.com")), ("/spec/group", json!("apps")), ("/spec/group", json!("")), ("/spec/scope", json!("World")), ("/spec/scope", json!("")),
            ("/spec/names/plural", json!("Boats")), ("/spec/names/plural", json!("")), ("/spec/names/kind", json!("")), ("/spec/names/kind", json!("boat_")), ("/spec/names/singular", json!("Boat")), ("/spec/names/listKind", json!("Boat")), ("/spec/names/shortNames", json!(["B T"])), ("/spec/names/categories", json!(["a b"])), ("/spec/names", json!({})),
            ("/spec/versions", json!([])), ("/spec/versions/1", version("v1", true, false)), ("/spec/versions/1", version("v2", true, true)), ("/spec/versions/0/storage", json!(false)), ("/spec/versions/0/name", json!("V1")), ("/spec/versions/0/name", json!("")), ("/spec/versions/0/served", json!(false)), ("/spec/versions/0/schema", json!(null)), ("/spec/versions/0/schema", json!({})),
            ("/spec/versions/0/subresources", json!({"scale": {}})), ("/spec/versions/0/subresources", json!({"scale": {"specReplicasPath": "spec.replicas", "statusReplicasPath": ".spec.replicas"}})), ("/spec/versions/0/subresources", json!({"scale": {"specReplicasPath": ".spec.replicas[0]", "statusReplicasPath": ".status.replicas", "labelSelectorPath": ".status.s"}})), ("/spec/versions/0/subresources", json!({"status": "x"})),
            ("/spec/versions/0/additionalPrinterColumns", json!([{"name": "", "type": "words", "jsonPath": "spec"}])), ("/spec/versions/0/additionalPrinterColumns", json!([{"name": "a", "type": "string", "format": "odd", "jsonPath": ".spec["}])), ("/spec/versions/0/additionalPrinterColumns", json!([{"name": "a", "type": "string", "jsonPath": ""}])),
            ("/spec/versions/0/selectableFields", json!([{"jsonPath": ".spec"}])), ("/spec/versions/0/selectableFields", json!([{"jsonPath": "spec.x"}])), ("/spec/versions/0/selectableFields", json!([{"jsonPath": ".spec.none"}])), ("/spec/versions/0/selectableFields", json!([{"jsonPath": ""}])), ("/spec/versions/0/selectableFields", json!([{"jsonPath": ".metadata.name"}])),
            ("/spec/versions/0/deprecationWarning", json!("w")), ("/spec/conversion", json!({"strategy": "Magic"})), ("/spec/conversion", json!({"strategy": "Webhook"})), ("/spec/conversion", json!({"strategy": "None", "webhook": {"conversionReviewVersions": ["v1"], "clientConfig": {"url": "https://x.example"}}})), ("/spec/conversion", json!({"strategy": "Webhook", "webhook": {"conversionReviewVersions": [], "clientConfig": {"url": "http://x"}}})),
            ("/spec/conversion", json!({"strategy": "Webhook", "webhook": {"conversionReviewVersions": ["v1", "v1", "V2"], "clientConfig": {"service": {"name": "s", "namespace": "n"}}}})), ("/spec/conversion", json!({"strategy": "Webhook", "webhook": {"conversionReviewVersions": ["v7"], "clientConfig": {"service": {"name": "", "namespace": "", "path": "x//y", "port": 0}}}})), ("/spec/conversion", json!({"strategy": "Webhook", "webhook": {"conversionReviewVersions": ["v1beta1"], "clientConfig": {"url": "https://u:p@x.example/a?b#c", "service": {"name": "s", "namespace": "n"}}}})), ("/spec/conversion", json!({"strategy": "Webhook", "webhook": {"conversionReviewVersions": ["v1"], "clientConfig": {}}})), ("/spec/conversion", json!({"strategy": "Webhook", "webhook": {"conversionReviewVersions": ["v1"]}})), ("/spec/conversion", json!({"strategy": "Webhook", "webhook": {"conversionReviewVersions": ["v1"], "clientConfig": {"url": "https://u:p@x.example/a?b#c"}}})), ("/spec/conversion", json!({"strategy": "Webhook", "webhook": {"conversionReviewVersions": ["v1"], "clientConfig": {"url": "https:///a"}}})), ("/spec/conversion", json!({"strategy": "Webhook", "webhook": {"conversionReviewVersions": ["v1"], "clientConfig": {"url": "x"}}})), ("/spec/conversion", json!({"strategy": "Webhook", "webhook": {"conversionReviewVersions": ["v1"], "clientConfig": {"url": "https://x:y/z"}}})), ("/spec/conversion", json!({"strategy": "Webhook", "webhook": {"conversionReviewVersions": ["v1"], "clientConfig": {"url": "://a b"}}})), ("/spec/conversion", json!({"strategy": "Webhook", "webhook": {"conversionReviewVersions": ["v1"], "clientConfig": {"url": "https://a b/c"}}})), ("/spec/conversion", json!({"strategy": "Webhook", "webhook": {"conversionReviewVersions": ["v1"], "clientConfig": {"service": {"name": "s", "namespace": "n", "path": "/a/B_/"}}}})), ("/spec/conversion", json!({"strategy": "Webhook", "webhook": {"conversionReviewVersions": ["v1"], "clientConfig": {"url": ""}}})), ("/spec/conversion", json!({"strategy": ""})), ("/spec/conversion", json!({"strategy": "None", "webhook": {"conversionReviewVersions": []}})), ("/spec/conversion", json!({})), ("/spec/preserveUnknownFields", json!(true)),
        ] {
            walk.ask(Call::post(DEFINITIONS, at(path, value))).await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_schema_that_is_not_structural_is_refused_with_its_fields() {
    conform(async |walk: &mut Walk| {
        let group = group(walk);
        for schema in [
            json!({}), json!({"type": "string"}), json!({"type": "object", "properties": {"spec": {}}}), object(json!({"spec": {"type": "odd"}})), object(json!({"spec": {"type": "array"}})), object(json!({"spec": {"type": "array", "items": [{"type": "string"}]}})), object(json!({"spec": {"type": "object", "properties": {"a": {"type": "string"}}, "additionalProperties": {"type": "string"}}})),
            object(json!({"spec": {"type": "object", "additionalProperties": false}})), object(json!({"spec": {"$ref": "#/x"}})), object(json!({"spec": {"type": "object", "anyOf": [{"type": "object"}]}})), object(json!({"spec": {"type": "object", "allOf": [{"properties": {"x": {"minimum": 1}}}]}})), object(json!({"spec": {"type": "object", "not": {"default": 1}}})), object(json!({"metadata": {"type": "object", "properties": {"name": {"type": "string", "pattern": "^a"}}}})),
            object(json!({"metadata": {"type": "object", "properties": {"labels": {"type": "object"}}}})), object(json!({"metadata": {"type": "string"}})), object(json!({"apiVersion": {"type": "integer"}})), object(json!({"spec": {"type": "string", "x-kubernetes-preserve-unknown-fields": true}})), object(json!({"spec": {"type": "string", "x-kubernetes-int-or-string": true}})), object(json!({"spec": {"type": "object", "x-kubernetes-embedded-resource": true}})), object(json!({"spec": {"type": "string", "x-kubernetes-embedded-resource": true}})),
            object(json!({"spec": {"type": "array", "items": {"type": "object"}, "x-kubernetes-list-type": "map"}})), object(json!({"spec": {"type": "array", "items": {"type": "object", "properties": {"a": {"type": "string"}}}, "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["a"]}})), object(json!({"spec": {"type": "array", "items": {"type": "object", "required": ["a"], "properties": {"a": {"type": "object"}}}, "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["a", "b"]}})),
            object(json!({"spec": {"type": "array", "items": {"type": "object"}, "x-kubernetes-list-type": "set"}})), object(json!({"spec": {"type": "array", "items": {"type": "string"}, "x-kubernetes-list-type": "odd"}})), object(json!({"spec": {"type": "string", "x-kubernetes-list-type": "set"}})), object(json!({"spec": {"type": "object", "x-kubernetes-map-type": "odd"}})), object(json!({"spec": {"type": "string", "x-kubernetes-map-type": "atomic"}})), object(json!({"spec": {"type": "array", "items": {"type": "string"}, "x-kubernetes-list-map-keys": ["a"]}})),
            object(json!({"spec": {"type": "integer", "default": "x"}})), object(json!({"spec": {"type": "integer", "minimum": 5, "default": 3}})), object(json!({"spec": {"type": "object", "default": {"odd": 1}, "properties": {"a": {"type": "string"}}}})), json!({"type": "object", "default": {}}), object(json!({"metadata": {"type": "object", "default": {}}})), object(json!({"spec": {"type": "string", "nullable": false, "default": null}})), object(json!({"spec": {"type": "string", "pattern": "("}})),
            object(json!({"spec": {"type": "array", "uniqueItems": true, "items": {"type": "string"}}})), object(json!({"spec": {"type": "object", "patternProperties": {"a": {"type": "string"}}}})), object(json!({"spec": {"type": "object", "dependencies": {"a": ["b"]}}})), object(json!({"spec": {"type": "object", "definitions": {"a": {"type": "string"}}}})), object(json!({"spec": {"id": "x", "type": "object"}})), object(json!({"spec": {"type": "array", "items": {"type": "string"}, "additionalItems": true}})),
            object(json!({"spec": {"type": "object", "properties": {"a": {"type": "array", "items": {"properties": {"b": {"type": "string"}}}}}}})), json!({"type": "object", "x-kubernetes-preserve-unknown-fields": false}), object(json!({"spec": {"type": "string", "enum": ["a", "b"], "default": "c"}})), object(json!({"spec": {"type": "string", "format": "odd"}})), json!({"type": "object", "properties": {"a": {"type": "object", "nullable": true, "x-kubernetes-preserve-unknown-fields": true}}, "anyOf": [{"required": ["a"]}]}),
        ] {
            let mut definition = boats(&group, schema);
            // Those that are fine are not made: the next has the same name.
            definition["spec"]["versions"][0]["subresources"] = json!({});
            walk.ask(Call::post(format!("{DEFINITIONS}?dryRun=All"), definition)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn what_versions_have_alike_is_named_once() {
    conform(async |walk: &mut Walk| {
        let group = group(walk);
        let fine = object(json!({"spec": {"type": "object", "properties": {"n": {"type": "integer"}, "s": {"type": "string", "maxLength": 9}}}}));
        let odd = object(json!({"spec": {"type": "odd"}}));
        let ruled = object(json!({"spec": {"type": "object", "x-kubernetes-validations": [{"rule": "self.s.startsWith(1)"}], "properties": {"s": {"type": "string"}}}}));
        let parts = [
            ("schema", [json!({"openAPIV3Schema": fine}), json!({"openAPIV3Schema": odd}), json!({"openAPIV3Schema": ruled}), json!(null), json!({})].to_vec()),
            ("subresources", [json!({"scale": {"specReplicasPath": ".x", "statusReplicasPath": ".status.x"}}), json!({"status": {}}), json!(null)].to_vec()),
            ("additionalPrinterColumns", [json!([{"name": "", "type": "string", "jsonPath": ".a"}]), json!([]), json!(null)].to_vec()),
            ("selectableFields", [json!([{"jsonPath": ".spec.n"}]), json!([{"jsonPath": ".spec"}]), json!([]), json!(null)].to_vec()),
        ];
        for (part, values) in &parts {
            for first in values {
                for second in values {
                    let mut versions = json!([{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": fine}}, {"name": "v2", "served": true, "storage": false, "schema": {"openAPIV3Schema": fine}}]);
                    versions[0][part] = first.clone();
                    versions[1][part] = second.clone();
                    let mut definition = boats(&group, json!({}));
                    definition["spec"]["versions"] = versions;
                    let answer = walk.ask(Call::post(format!("{DEFINITIONS}?dryRun=All"), definition)).await;
                    // An alike part that is wrong is named without a version.
                    let causes = answer.body["details"]["causes"].as_array().into_iter().flatten();
                    let fields: Vec<&str> = causes.filter_map(|cause| cause["field"].as_str()).collect();
                    let within = fields.iter().filter(|field| field.starts_with("spec.versions["));
                    let missing = "schema.openAPIV3Schema";
                    assert!(first != second || within.clone().all(|field| field.ends_with(missing)), "{part}: {fields:?}");
                }
            }
        }
        // What stands at the root of a schema whose objects have a status of their own.
        for (field, value) in [("anyOf", json!([{"required": ["spec"]}])), ("enum", json!([{}])), ("maxProperties", json!(5)), ("x-kubernetes-map-type", json!("atomic")), ("title", json!("t")), ("description", json!("d")), ("nullable", json!(true)), ("default", json!({"apiVersion": format!("{group}/v1"), "kind": "Boat"})), ("type", json!("array")), ("not", json!({"required": ["x"]})), ("externalDocs", json!({"url": "https://x.example"})), ("example", json!({"a": "<&>"})), ("x-kubernetes-validations", json!([{"rule": "has(self.spec)"}]))] {
            let mut schema = fine.clone();
            schema[field] = value;
            walk.ask(Call::post(format!("{DEFINITIONS}?dryRun=All"), boats(&group, schema))).await;
        }
    })
    .await;
}

#[tokio::test]
async fn rules_say_where_they_cannot_stand() {
    conform(async |walk: &mut Walk| {
        let group = group(walk);
        let ruled = |kind: &str, rule: &str| json!({"type": kind, "x-kubernetes-validations": [{"rule": rule}]});
        for spec in [
            json!({"type": "array", "maxItems": 5, "items": ruled("integer", "self == oldSelf")}),
            json!({"type": "array", "maxItems": 5, "x-kubernetes-list-type": "set", "items": ruled("integer", "self == oldSelf")}),
            json!({"type": "object", "x-kubernetes-map-type": "atomic", "properties": {"a": ruled("integer", "self == oldSelf")}}),
            json!({"type": "object", "properties": {"l": {"type": "array", "maxItems": 5, "items": {"type": "object", "properties": {"m": {"type": "object", "maxProperties": 3, "additionalProperties": ruled("boolean", "self || oldSelf")}}}}}}),
            json!({"type": "object", "maxProperties": 5, "additionalProperties": ruled("integer", "self == oldSelf")}),
            json!({"type": "object", "anyOf": [{"x-kubernetes-validations": [{"rule": "true"}]}]}), json!({"type": "object", "not": {"x-kubernetes-validations": [{"rule": "true"}]}}),
            json!({"type": "integer", "default": 3, "x-kubernetes-validations": [{"rule": "self > 5", "message": "small"}]}), json!({"type": "integer", "default": 7, "x-kubernetes-validations": [{"rule": "self > 5"}]}),
            json!({"type": "object", "default": {"n": 1}, "properties": {"n": ruled("integer", "self > 5")}}),
            json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true, "x-kubernetes-validations": [{"rule": "self.any == 1"}]}), json!({"x-kubernetes-preserve-unknown-fields": true, "x-kubernetes-validations": [{"rule": "true"}]}),
            json!({"x-kubernetes-int-or-string": true, "x-kubernetes-validations": [{"rule": "self == 5"}]}),
            json!({"type": "object", "x-kubernetes-embedded-resource": true, "x-kubernetes-preserve-unknown-fields": true, "x-kubernetes-validations": [{"rule": "self.metadata.name == 'a' && self.kind == 'B'"}]}),
            json!({"type": "object", "properties": {"a-b": {"type": "integer"}, "if": {"type": "integer"}, "x__y": {"type": "integer"}, "$odd": {"type": "integer"}}, "x-kubernetes-validations": [{"rule": "self.a__dash__b + self.__if__ + self.x__underscores__y > 1"}, {"rule": "self.$odd == 1"}]}),
            json!({"type": "object", "properties": {"a": {"type": "integer"}}, "x-kubernetes-validations": [{"rule": "self.a > 1\n&& self.a < 3"}, {"rule": "self.a > 1\n&& self.a < 3", "message": "m"}, {"rule": "true", "message": " "}, {"rule": "true", "messageExpression": " "}, {"rule": "true", "fieldPath": " "}, {"rule": "true", "fieldPath": ".a\n"}, {"rule": "true", "fieldPath": "['a']"}, {"rule": "true", "fieldPath": "['a"}, {"rule": "true", "fieldPath": ".a.b"}, {"rule": "true", "fieldPath": "."}, {"rule": "true", "optionalOldSelf": false}, {"rule": "self.a == oldSelf.a", "optionalOldSelf": false}, {"rule": "oldSelf.hasValue()", "optionalOldSelf": true}]}),
            json!({"type": "object", "properties": {"a": {"type": "integer", "uniqueItems": true, "x-kubernetes-validations": [{"rule": "self.x"}]}, "b": ruled("integer", "self.y")}, "x-kubernetes-validations": [{"rule": "self.z"}]}),
            json!({"type": "object", "properties": {"a": {"type": "string", "format": "duration"}, "b": {"type": "integer", "format": "int128"}, "c": {"type": "number", "format": "double"}, "e": {"type": "string", "format": "k8s-short-name"}}}),
        ] {
            walk.ask(Call::post(format!("{DEFINITIONS}?dryRun=All"), boats(&group, object(json!({"spec": spec}))))).await;
        }
    })
    .await;
}

#[tokio::test]
async fn values_are_held_to_every_rule_of_their_schema() {
    conform(async |walk: &mut Walk| {
        let group = group(walk);
        let (mut taken, mut refused) = (0, 0);
        let lowest = u64::from_str_radix(&walk.id[..3], 16).unwrap();
        let spec = json!({"type": "object", "maxProperties": 6, "properties": {
            "n": {"type": "integer", "format": "int32", "minimum": lowest, "maximum": lowest + 10, "exclusiveMaximum": true, "multipleOf": 2}, "x": {"type": "number", "exclusiveMinimum": true, "minimum": 0.5, "multipleOf": 0.25},
            "s": {"type": "string", "minLength": 2, "maxLength": 4, "pattern": "^[a-z]+$"}, "l": {"type": "array", "minItems": 1, "maxItems": 2, "items": {"type": "string", "enum": ["a", "b"]}}, "m": {"type": "object", "minProperties": 1, "additionalProperties": {"type": "integer", "minimum": 1}},
            "any": {"type": "object", "properties": {"a": {"type": "integer"}, "b": {"type": "string"}}, "anyOf": [{"required": ["a"]}, {"required": ["b"]}]}, "one": {"type": "object", "properties": {"a": {"type": "integer"}, "b": {"type": "string"}}, "oneOf": [{"required": ["a"]}, {"required": ["b"]}]},
            "all": {"type": "integer", "allOf": [{"minimum": 3}, {"maximum": 5}]}, "no": {"type": "integer", "not": {"enum": [1, 2]}}, "nullable": {"type": "integer", "nullable": true, "enum": [1]}, "big": {"type": "integer", "format": "int64"},
            "uri": {"type": "string", "format": "uri"}, "ip": {"type": "string", "format": "ipv4"}, "uuid": {"type": "string", "format": "uuid"}, "bytes": {"type": "string", "format": "byte"}, "set": {"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "integer"}},
            "keyed": {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["k", "p"], "items": {"type": "object", "required": ["k"], "properties": {"k": {"type": "string"}, "p": {"type": "integer", "default": 1}}}},
            "whole": {"type": "array", "items": {"type": "object", "x-kubernetes-embedded-resource": true, "x-kubernetes-preserve-unknown-fields": true}}}});
        let path = define(walk, boats(&group, object(json!({"spec": spec})))).await;
        for spec in [
            json!({"n": lowest - lowest % 2 + 2}), json!({"n": lowest.saturating_sub(1)}), json!({"n": lowest + 10}), json!({"n": lowest + 11}), json!({"n": 3_000_000_000_u64}), json!({"n": 1.5}), json!({"n": "1"}), json!({"x": 0.5}), json!({"x": 0.6}), json!({"x": 1}), json!({"x": null}), json!({"x": [1]}),
            json!({"s": "a"}), json!({"s": "abcde"}), json!({"s": "ABCDE"}), json!({"s": "AB"}), json!({"s": ""}), json!({"s": "ééé"}), json!({"s": {}}), json!({"l": []}), json!({"l": ["a", "b", "a"]}), json!({"l": ["c"]}), json!({"l": [1]}), json!({"l": "a"}), json!({"m": {}}), json!({"m": {"a": 0, "b": "x"}}), json!({"m": {"a": null}}),
            json!({"any": {}}), json!({"any": {"a": "x"}}), json!({"any": {"a": 1, "b": "x"}}), json!({"one": {}}), json!({"one": {"a": 1, "b": "x"}}), json!({"one": {"a": 1}}), json!({"all": 2}), json!({"all": 9}), json!({"all": 4}), json!({"all": "4"}), json!({"no": 1}), json!({"no": 3}), json!({"nullable": null}), json!({"nullable": 2}), json!({"big": 9_007_199_254_740_993_u64}),
            json!({"uri": "x y"}), json!({"uri": "https://x.example/a"}), json!({"ip": "1.2.3"}), json!({"uuid": "x"}), json!({"bytes": "%"}), json!({"bytes": "YQ=="}), json!({"set": [1, 2, 1]}), json!({"set": [1, 1, 1]}), json!({"keyed": [{"k": "a"}, {"k": "a", "p": 1}]}), json!({"keyed": [{"p": 1}]}), json!({"keyed": [{"k": "a"}, {"k": "a", "p": 2}]}),
            json!({"whole": [{"apiVersion": "", "kind": ""}]}), json!({"whole": [{"apiVersion": "a/b/c", "kind": "K_"}]}), json!({"whole": [{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a/b", "labels": {"a b": "c"}, "annotations": {"é": "x"}}}]}), json!({"whole": [{"kind": "Pod"}, {"apiVersion": "v1"}]}), json!({"whole": [1]}),
            json!({"n": 1, "x": 0, "s": "", "l": [], "m": {}, "all": 1, "no": 1}), json!({"a": 1}),
        ] {
            let answer = walk.ask(Call::post(format!("{path}?dryRun=All"), json!({"apiVersion": format!("{group}/v1"), "kind": "Boat", "metadata": {"name": "a"}, "spec": spec}))).await;
            taken += usize::from(answer.code == 201);
            refused += usize::from(answer.code == 422);
        }
        assert!(taken > 9 && refused > 40, "{taken} taken, {refused} refused");
        remove(walk, &format!("boats.{group}")).await;
    })
    .await;
}

#[tokio::test]
async fn rules_are_kept_by_definitions_and_by_new_and_changed_objects() {
    conform(async |walk: &mut Walk| {
        let group = group(walk);
        for rules in [
            json!([{"rule": "self.sise > 1"}, {"rule": "self.size"}]), json!([{"rule": ""}]), json!([{"rule": "self.size > "}]), json!([{"rule": "self.size > 'x'"}]), json!([{"rule": "true", "message": ""}]), json!([{"rule": "true", "message": "a\nb"}]), json!([{"rule": "true", "reason": "Odd"}]), json!([{"rule": "true", "fieldPath": ".none"}]), json!([{"rule": "true", "fieldPath": "size"}]), json!([{"rule": "true", "messageExpression": "1"}]), json!([{"rule": "true", "messageExpression": "'a' +"}]),
            json!([{"rule": "unknown(self)"}]), json!([{"rule": "self.list.existsOne(x, x.size() < 3)"}]), json!([{"rule": "self.list.all(x, x.size() < 3)"}]), json!([{"rule": "self.list.exists_one(x, y, true)"}]), json!([{"rule": "oldSelf.size == self.size", "optionalOldSelf": true}]), json!([{"rule": "self.size == 1 && quantity('1Gi').isGreaterThan(quantity('1Mi'))"}]), json!([{"rule": "self.text.matches('(')"}]), json!([{"rule": "has(self.text) ? self.text.startsWith('a') : true"}]), json!([{"rule": "self.size / 0 > 1"}]), json!([{"rule": "dyn(self.size) == 'x'"}]),
        ] {
            let schema = object(json!({"spec": {"type": "object", "x-kubernetes-validations": rules, "properties": {"size": {"type": "integer"}, "text": {"type": "string"}, "list": {"type": "array", "items": {"type": "string"}}}}}));
            walk.ask(Call::post(format!("{DEFINITIONS}?dryRun=All"), boats(&group, schema))).await;
        }
        let schema = json!({"type": "object", "properties": {"spec": {"type": "object",
            "x-kubernetes-validations": [
                {"rule": "self.size <= self.most", "messageExpression": "'size is above ' + (self.most > 5 ? 'much' : 'the most')", "fieldPath": ".size"},
                {"rule": "!has(oldSelf.port) || self.port == oldSelf.port", "message": "port is immutable", "reason": "FieldValueForbidden"},
            ],
            "properties": {
                "size": {"type": "integer"}, "most": {"type": "integer", "default": 5}, "port": {"x-kubernetes-int-or-string": true},
                "tags": {"type": "array", "maxItems": 10, "x-kubernetes-list-type": "set", "items": {"type": "string", "maxLength": 20, "x-kubernetes-validations": [{"rule": "self.startsWith('t')"}]}},
                "namespace": {"type": "string", "maxLength": 20, "x-kubernetes-validations": [{"rule": "self != 'bad'", "message": "no"}]},
                "fixed": {"type": "string", "maxLength": 20, "x-kubernetes-validations": [{"rule": "self == oldSelf", "message": "fixed"}]},
                "items": {"type": "array", "maxItems": 10, "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"], "items": {"type": "object", "required": ["name"], "properties": {"name": {"type": "string", "maxLength": 20}, "n": {"type": "integer", "x-kubernetes-validations": [{"rule": "self >= oldSelf", "message": "must grow"}]}}}},
                "bounded": {"type": "integer", "maximum": 9, "x-kubernetes-validations": [{"rule": "self <= 9", "message": "too large"}]},
            }}},
            "x-kubernetes-validations": [{"rule": "self.metadata.name != 'never' && (!has(self.spec.__namespace__) || self.spec.__namespace__ != 'never')"}]});
        let path = define(walk, boats(&group, schema.clone())).await;
        for (name, spec) in [
            ("a", json!({"size": 6, "tags": ["t1", "x"], "namespace": "bad"})), ("never", json!({"size": 1})), ("a", json!({"size": "6"})), ("a", json!({"size": 1, "tags": ["t1", "t1"]})), ("a", json!({"size": 1, "namespace": "never"})), ("a", json!({"size": 1, "items": [{"name": "x"}, {"name": "x"}]})), ("a", json!({})),
            ("a", json!({"size": 3, "port": "http", "fixed": "x", "items": [{"name": "x", "n": 5}], "bounded": 8, "tags": ["t1"]})),
        ] {
            walk.ask(Call::post(&path, boat(walk, name, spec))).await;
        }
        let one = format!("{path}/a");
        for patch in [
            json!({"spec": {"port": 80}}), json!({"spec": {"size": 4}}), json!({"spec": {"fixed": "y"}}), json!({"spec": {"fixed": null}}), json!({"spec": {"fixed": "z"}}), json!({"spec": {"items": [{"name": "x", "n": 4}]}}), json!({"spec": {"items": [{"name": "y", "n": 1}]}}), json!({"spec": {"size": 99, "bounded": 99}}),
        ] {
            walk.ask(Call::patch(&one, MERGE_PATCH, patch)).await;
        }
        // An update is not refused for what it leaves as it was.
        let mut tighter = schema.clone();
        tighter["properties"]["spec"]["properties"]["bounded"] = json!({"type": "integer", "maximum": 5, "x-kubernetes-validations": [{"rule": "self <= 5", "message": "too large"}]});
        let versions = boats(&group, tighter)["spec"]["versions"].clone();
        walk.expect(200, Call::patch(format!("{DEFINITIONS}/boats.{group}"), MERGE_PATCH, json!({"spec": {"versions": versions}}))).await;
        // It is served a moment later.
        let begun = Instant::now();
        while walk.quietly(Call::post(format!("{path}?dryRun=All"), boat(walk, "probe", json!({"size": 1, "bounded": 6})))).await.code == 201 {
            assert!(begun.elapsed() < Duration::from_secs(30), "the new schema is not served");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        walk.expect(200, Call::patch(&one, MERGE_PATCH, json!({"spec": {"size": 2}}))).await;
        walk.expect(422, Call::patch(&one, MERGE_PATCH, json!({"spec": {"bounded": 7}}))).await;
        walk.expect(200, Call::patch(&one, MERGE_PATCH, json!({"spec": {"bounded": 4}}))).await;
        remove(walk, &format!("boats.{group}")).await;
    })
    .await;
}

#[tokio::test]
async fn several_versions_scale_columns_and_selectable_fields_are_served() {
    conform(async |walk: &mut Walk| {
        let group = group(walk);
        let schema = object(json!({"spec": {"type": "object", "properties": {"replicas": {"type": "integer"}, "colour": {"type": "string"}, "since": {"type": "string"}, "list": {"type": "array", "items": {"type": "string"}}}},
            "status": {"type": "object", "properties": {"replicas": {"type": "integer"}, "selector": {"type": "string"}}}}));
        let columns = json!([{"name": "Colour", "type": "string", "jsonPath": ".spec.colour"}, {"name": "Replicas", "type": "integer", "jsonPath": ".spec.replicas", "priority": 1, "description": "how many"}, {"name": "First", "type": "string", "jsonPath": ".spec.list[0]"}, {"name": "List", "type": "string", "jsonPath": ".spec.list"}, {"name": "All", "type": "string", "jsonPath": ".spec.list[*]"}, {"name": "Since", "type": "date", "jsonPath": ".spec.since"}, {"name": "Count", "type": "integer", "jsonPath": ".spec.colour"}, {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"}, {"name": "None", "type": "boolean", "jsonPath": ".spec.none"}]);
        let subresources = json!({"status": {}, "scale": {"specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.replicas", "labelSelectorPath": ".status.selector"}});
        // What only one version selects by stands beside a schema of its own.
        let mut newest = schema.clone();
        newest["description"] = "as it is now".into();
        let mut definition = boats(&group, schema.clone());
        definition["spec"]["versions"] = json!([
            {"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": newest}, "subresources": subresources, "additionalPrinterColumns": columns, "selectableFields": [{"jsonPath": ".spec.colour"}, {"jsonPath": ".spec.replicas"}]},
            {"name": "v1beta1", "served": true, "storage": false, "deprecated": true, "schema": {"openAPIV3Schema": schema}},
            {"name": "v2alpha1", "served": true, "storage": false, "deprecated": true, "deprecationWarning": "use v1, please", "schema": {"openAPIV3Schema": schema}, "subresources": subresources},
            {"name": "v0", "served": false, "storage": false, "schema": {"openAPIV3Schema": schema}}]);
        let path = define(walk, definition).await;
        let older = walk.group(&format!("{group}/v1beta1"), "boats");
        let alpha = walk.group(&format!("{group}/v2alpha1"), "boats");
        until(walk, 200, &older).await;
        until(walk, 200, &alpha).await;
        walk.expect(201, Call::post(&path, boat(walk, "a", json!({"replicas": 2, "colour": "red", "since": "2020-02-01T00:00:00Z", "list": ["x", "y"]})))).await;
        let mut other = boat(walk, "b", json!({"replicas": 1, "colour": "blue", "since": "long ago"}));
        other["apiVersion"] = format!("{group}/v1beta1").into();
        walk.expect(201, Call::post(&older, other.clone())).await;
        other["metadata"]["name"] = "c".into();
        walk.ask(Call::post(&path, other)).await;
        walk.ask(Call::get(walk.group(&format!("{group}/v0"), "boats"))).await;
        walk.ask(Call::get(walk.group(&format!("{group}/v9"), "boats"))).await;
        for collection in [&path, &older, &alpha] {
            walk.ask(Call::get(collection)).await;
            walk.ask(Call::get(collection).accept(TABLE)).await;
            walk.ask(Call::get(format!("{collection}/a"))).await;
            walk.ask(Call::get(format!("{collection}?fieldSelector=spec.colour=red"))).await;
            walk.ask(Call::get(format!("{collection}/a/scale"))).await;
        }
        walk.ask(Call::get(format!("{path}?fieldSelector=spec.replicas=1"))).await;
        walk.ask(Call::get(format!("{path}?fieldSelector=spec.list=x"))).await;
        walk.ask(Call::get(format!("/apis/{group}"))).await;
        for version in ["v1", "v1beta1", "v2alpha1"] {
            walk.ask(Call::get(format!("/apis/{group}/{version}"))).await;
        }
        let scale = format!("{path}/a/scale");
        walk.ask(Call::patch(&scale, MERGE_PATCH, json!({"spec": {"replicas": 5}}))).await;
        walk.ask(Call::patch(&scale, MERGE_PATCH, json!({"spec": {"replicas": -5}}))).await;
        walk.ask(Call::patch(&scale, STRATEGIC_PATCH, json!({"spec": {"replicas": 5}}))).await;
        walk.ask(Call::put(&scale, json!({"apiVersion": "autoscaling/v1", "kind": "Scale", "metadata": {"name": "a"}, "spec": {"replicas": 3}}))).await;
        walk.ask(Call::put(&scale, json!({"metadata": {"name": "b"}, "spec": {"replicas": 3}}))).await;
        walk.ask(Call::patch(format!("{path}/a/status"), MERGE_PATCH, json!({"status": {"replicas": 3, "selector": "a=b"}}))).await;
        walk.ask(Call::get(&scale)).await;
        walk.ask(Call::patch(format!("{path}/a"), MERGE_PATCH, json!({"spec": {"replicas": null}}))).await;
        walk.ask(Call::get(&scale)).await;
        walk.ask(Call::get(format!("{older}/a?fieldSelector=x"))).await;
        // Names that another has.
        let mut rival = boats(&group, json!({"type": "object"}));
        rival["metadata"]["name"] = format!("ships.{group}").into();
        rival["spec"]["names"] = json!({"plural": "ships", "kind": "Boat", "singular": "ship", "shortNames": ["bt"]});
        walk.ask(Call::post(DEFINITIONS, rival)).await;
        let begun = Instant::now();
        let refused = |answer: &Answer| answer.body["status"]["conditions"].as_array().is_some_and(|list| list.iter().any(|condition| condition["type"] == "NamesAccepted" && condition["status"] == "False"));
        while !refused(&walk.quietly(Call::get(format!("{DEFINITIONS}/ships.{group}"))).await) {
            assert!(begun.elapsed() < Duration::from_secs(30), "the names were taken twice");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        walk.ask(Call::get(format!("{DEFINITIONS}/ships.{group}"))).await;
        walk.ask(Call::get(walk.group(&format!("{group}/v1"), "ships"))).await;
        // What may not change of a definition.
        let one = format!("{DEFINITIONS}/boats.{group}");
        for patch in [json!({"spec": {"group": "other.example.com"}}), json!({"spec": {"scope": "Cluster"}}), json!({"spec": {"names": {"kind": "Ship", "listKind": "ShipList"}}}), json!({"spec": {"names": {"plural": "ships"}}}), json!({"status": {"storedVersions": ["v1", "v9"]}}), json!({"spec": {"versions": []}})] {
            walk.ask(Call::patch(&one, MERGE_PATCH, patch)).await;
        }
        walk.ask(Call::patch(format!("{one}/status"), MERGE_PATCH, json!({"status": {"storedVersions": ["v9"]}}))).await;
        remove(walk, &format!("ships.{group}")).await;
        remove(walk, &format!("boats.{group}")).await;
    })
    .await;
}

#[tokio::test]
async fn a_definition_waits_for_its_objects_and_takes_nothing_new() {
    conform(async |walk: &mut Walk| {
        let group = group(walk);
        let path =
            define(walk, boats(&group, json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true}))).await;
        let mut held = boat(walk, "held", json!({}));
        held["metadata"]["finalizers"] = json!(["sea.example/hold"]);
        walk.expect(201, Call::post(&path, held)).await;
        walk.expect(201, Call::post(&path, boat(walk, "free", json!({"any": {"thing": [1, "x"]}})))).await;
        let one = format!("{DEFINITIONS}/boats.{group}");
        walk.expect(200, Call::delete(&one)).await;
        until(walk, 404, &format!("{path}/free")).await;
        let going = walk.quietly(Call::get(&one)).await;
        assert_eq!(going.body["metadata"]["finalizers"], json!(["customresourcecleanup.apiextensions.k8s.io"]));
        let held = walk.expect(200, Call::get(format!("{path}/held"))).await;
        assert!(held.body["metadata"]["deletionTimestamp"].is_string());
        let refused = walk.ask(Call::post(&path, boat(walk, "new", json!({})))).await;
        assert!(refused.code >= 400, "{}", refused.body);
        walk.expect(200, Call::patch(format!("{path}/held"), MERGE_PATCH, json!({"metadata": {"finalizers": null}})))
            .await;
        until(walk, 404, &one).await;
        until(walk, 404, &path).await;
    })
    .await;
}

#[tokio::test]
async fn kinds_without_namespaces_are_defined_too() {
    conform(async |walk: &mut Walk| {
        let group = group(walk);
        let mut definition = boats(&group, json!({"type": "object", "properties": {"data": {"type": "object", "additionalProperties": {"type": "string"}}}}));
        definition["spec"]["scope"] = "Cluster".into();
        definition["spec"]["versions"][0]["subresources"] = json!({});
        let path = define(walk, definition).await;
        let body = json!({"apiVersion": format!("{group}/v1"), "kind": "Boat", "metadata": {"name": "a"}, "data": {"k": "v"}, "status": {"kept": false}});
        walk.expect(201, Call::post(&path, body.clone())).await;
        let mut elsewhere = body.clone();
        elsewhere["metadata"] = json!({"name": "b", "namespace": "default"});
        walk.ask(Call::post(&path, elsewhere)).await;
        walk.ask(Call::get(walk.group(&format!("{group}/v1"), "boats"))).await;
        walk.ask(Call::post(walk.group(&format!("{group}/v1"), "boats"), body)).await;
        walk.ask(Call::get(format!("{path}/a/status"))).await;
        walk.ask(Call::get(&path).accept(TABLE)).await;
        walk.ask(Call::delete(&path)).await;
        remove(walk, &format!("boats.{group}")).await;
    })
    .await;
}

/// Measured and told, not asserted: what a loaded machine does to a second says nothing of the server.
#[tokio::test]
async fn a_new_kind_is_served_soon() {
    conform(async |walk: &mut Walk| {
        let group = group(walk);
        let begun = Instant::now();
        let path = define(walk, boats(&group, json!({"type": "object"}))).await;
        eprintln!("served {:.0} ms after its creation: {path}", begun.elapsed().as_secs_f64() * 1e3);
        remove(walk, &format!("boats.{group}")).await;
    })
    .await;
}
