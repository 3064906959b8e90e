//! The verbs and the forms of their bodies and answers: what is taken, what is refused and how.

use conformance::{
    cluster::{APPLY_PATCH, Call, JSON_PATCH, MERGE_PATCH, STRATEGIC_PATCH, TABLE},
    walk::{Walk, conform},
};
use serde_json::json;

/// A deployment of one container.
fn deployment(name: &str) -> serde_json::Value {
    json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name}, "spec": {
        "selector": {"matchLabels": {"a": "b"}},
        "template": {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}}})
}

#[tokio::test]
async fn an_object_is_created_read_replaced_and_deleted() {
    conform(async |walk: &mut Walk| {
        let maps = walk.core("configmaps");
        let body = || json!({"metadata": {"name": "m", "labels": {"v": "1"}}, "data": {"k": "1"}});
        let made = walk.expect(201, Call::post(&maps, body())).await;
        assert!(!made.text("/metadata/uid").is_empty() && !made.version().is_empty());
        assert_eq!(walk.expect(409, Call::post(&maps, body())).await.reason(), "AlreadyExists");
        walk.expect(200, Call::get(format!("{maps}/m"))).await;
        let mut changed = made.body.clone();
        changed["data"]["k"] = "2".into();
        let replaced = walk.expect(200, Call::put(format!("{maps}/m"), changed.clone())).await;
        assert_ne!(replaced.version(), made.version());
        let stale = walk.expect(409, Call::put(format!("{maps}/m"), changed.clone())).await;
        assert_eq!(stale.reason(), "Conflict", "an old revision does not win");
        let again = walk.expect(200, Call::put(format!("{maps}/m"), replaced.body.clone())).await;
        assert_eq!(again.version(), replaced.version(), "nothing changed, so no revision");
        changed["metadata"]["resourceVersion"] = "".into();
        walk.expect(200, Call::put(format!("{maps}/m"), changed.clone())).await;
        // Wrong names and identities.
        walk.expect(400, Call::put(format!("{maps}/other"), changed.clone())).await;
        changed["metadata"]["uid"] = "00000000-0000-0000-0000-000000000000".into();
        walk.expect(409, Call::put(format!("{maps}/m"), changed.clone())).await;
        changed["metadata"]["resourceVersion"] = "abc".into();
        walk.ask(Call::put(format!("{maps}/m"), changed.clone())).await;
        changed["metadata"]["namespace"] = "elsewhere".into();
        walk.expect(400, Call::put(format!("{maps}/m"), changed)).await;
        walk.expect(404, Call::put(format!("{maps}/none"), json!({"metadata": {"name": "none"}}))).await;
        walk.expect(404, Call::patch(format!("{maps}/none"), MERGE_PATCH, json!({}))).await;
        walk.expect(404, Call::get(format!("{maps}/none"))).await;
        walk.expect(404, Call::delete(format!("{maps}/none"))).await;
        let immutable = json!({"metadata": {"name": "fixed"}, "immutable": true, "data": {"a": "b"}});
        walk.expect(201, Call::post(&maps, immutable)).await;
        let change = json!({"immutable": false, "data": {"a": "c"}, "binaryData": {"x": "YQ=="}});
        walk.expect(422, Call::patch(format!("{maps}/fixed"), MERGE_PATCH, change)).await;
        let gone = walk.expect(200, Call::delete(format!("{maps}/m"))).await;
        assert_eq!((gone.text("/kind"), gone.text("/details/kind")), ("Status", "configmaps"));
        walk.expect(404, Call::get(format!("{maps}/m"))).await;
        // Some kinds answer with the object.
        let accounts = walk.core("serviceaccounts");
        walk.expect(201, Call::post(&accounts, json!({"metadata": {"name": "bot"}}))).await;
        assert_eq!(walk.expect(200, Call::delete(format!("{accounts}/bot"))).await.text("/metadata/name"), "bot");
    })
    .await;
}

#[tokio::test]
async fn names_are_checked_and_generated() {
    conform(async |walk: &mut Walk| {
        let maps = walk.core("configmaps");
        for name in ["", "UPPER", "a_b", "-a", "a.", "a..b", "ä", "a/b", &"a".repeat(254), &"a".repeat(253), "."] {
            walk.ask(Call::post(&maps, json!({"metadata": {"name": name}}))).await;
        }
        walk.ask(Call::post(&maps, json!({"metadata": {"name": 5}}))).await;
        walk.ask(Call::post(&maps, json!({"metadata": {"name": null}}))).await;
        walk.ask(Call::post(&maps, json!({"metadata": "x"}))).await;
        walk.ask(Call::post(&maps, json!({"metadata": null}))).await;
        walk.ask(Call::post(&maps, json!({}))).await;
        let generated = walk.expect(201, Call::post(&maps, json!({"metadata": {"generateName": "gen-"}}))).await;
        let name = generated.text("/metadata/name");
        assert!(name.starts_with("gen-") && name.len() == 9, "{name}");
        let long = walk.expect(201, Call::post(&maps, json!({"metadata": {"generateName": "x".repeat(200)}}))).await;
        assert_eq!(long.text("/metadata/name").len(), 63);
        walk.ask(Call::post(&maps, json!({"metadata": {"generateName": "x".repeat(300)}}))).await;
        walk.ask(Call::post(&maps, json!({"metadata": {"generateName": "Not-Valid-"}}))).await;
        walk.ask(Call::post(&maps, json!({"metadata": {"generateName": "-a"}}))).await;
        let both = json!({"metadata": {"generateName": "gen-", "name": "both"}});
        walk.expect(201, Call::post(&maps, both)).await;
        for (key, value) in [("a/b/c", "x"), ("a/", "x"), ("a", "x y"), ("a", "-"), ("A.b/c", "x"), (&"l".repeat(64), "x"), ("ok", &"v".repeat(64))] {
            let labels = json!({"metadata": {"name": "labels", "labels": {key: value}}});
            walk.expect(422, Call::post(&maps, labels)).await;
        }
        let wrong = json!({"metadata": {"name": "wrong", "annotations": {"a b": "x", "c/d/e": "y"}, "finalizers": ["bare", "a/b"],
            "ownerReferences": [{"apiVersion": "", "kind": "", "name": "", "uid": ""}]}});
        walk.expect(422, Call::post(&maps, wrong)).await;
        let events = json!({"metadata": {"name": "owned", "ownerReferences": [{"apiVersion": "v1", "kind": "Event", "name": "e", "uid": "u"}]}});
        walk.ask(Call::post(&maps, events)).await;
        let two = json!({"metadata": {"name": "two", "ownerReferences": [
            {"apiVersion": "v1", "kind": "Pod", "name": "a", "uid": "u", "controller": true}, {"apiVersion": "v1", "kind": "Pod", "name": "b", "uid": "v", "controller": true}]}});
        walk.expect(422, Call::post(&maps, two)).await;
        let heavy = json!({"metadata": {"name": "heavy", "annotations": {"a": "x".repeat(263_000)}}});
        walk.expect(422, Call::post(&maps, heavy)).await;
        // Kinds with other rules for names.
        walk.ask(Call::post(walk.core("services"), json!({"metadata": {"name": "1a.b"}, "spec": {"ports": [{"port": 80}]}}))).await;
        walk.ask(Call::post("/api/v1/namespaces", json!({"metadata": {"name": "a.b"}}))).await;
        let roles = walk.group("rbac.authorization.k8s.io/v1", "roles");
        for name in ["a:b", "a/b", "..", "a%b"] {
            walk.ask(Call::post(&roles, json!({"metadata": {"name": name}}))).await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_body_that_is_not_an_object_of_its_kind_is_refused() {
    conform(async |walk: &mut Walk| {
        let maps = walk.core("configmaps");
        let post = |text: &str| Call::new("POST", &maps).text(text);
        for text in [
            "",
            "{",
            "[]",
            "null",
            "5",
            "\"x\"",
            "{}{}",
            "{\"metadata\": {\"name\": \"a\"}} x",
            "{\"metadata\": {\"name\": \"a\",}}",
            "\u{0}",
        ] {
            walk.ask(post(text)).await;
        }
        for (version, kind) in [
            ("v1", "Secret"),
            ("v2", "ConfigMap"),
            ("apps/v1", "Deployment"),
            ("x.example/v1", "ConfigMap"),
            ("v1", ""),
            ("", "ConfigMap"),
            ("a/b/c", "ConfigMap"),
            ("v1", "Nonsense"),
        ] {
            walk.ask(Call::post(&maps, json!({"apiVersion": version, "kind": kind, "metadata": {"name": "a"}}))).await;
        }
        walk.ask(Call::post(&maps, json!({"apiVersion": 1, "kind": "ConfigMap", "metadata": {"name": "a"}}))).await;
        walk.ask(Call::post(&maps, json!({"kind": ["ConfigMap"], "metadata": {"name": "a"}}))).await;
        for data in [
            json!("x"),
            json!([]),
            json!({"a": 1}),
            json!({"a": null}),
            json!({"a": {"b": "c"}}),
            json!({"a b": "c"}),
            json!({"": "c"}),
        ] {
            walk.ask(Call::post(&maps, json!({"metadata": {"generateName": "d-"}, "data": data}))).await;
        }
        walk.ask(Call::post(&maps, json!({"metadata": {"name": "b64"}, "binaryData": {"a": "not base64!"}}))).await;
        walk.ask(Call::post(
            &maps,
            json!({"metadata": {"name": "both"}, "data": {"a": "x"}, "binaryData": {"a": "eA=="}}),
        ))
        .await;
        let elsewhere = json!({"metadata": {"name": "a", "namespace": "elsewhere"}});
        walk.expect(400, Call::post(&maps, elsewhere)).await;
        walk.expect(
            404,
            Call::post("/api/v1/namespaces/nowhere-at-all/configmaps", json!({"metadata": {"name": "a"}})),
        )
        .await;
        // Types.
        for media in [
            "text/plain",
            "application/xml",
            "application/json;charset=utf-8",
            "application/JSON",
            "nonsense",
            "*/*",
            MERGE_PATCH,
            "application/cbor",
        ] {
            walk.ask(Call::post(&maps, json!({"metadata": {"generateName": "t-"}})).media(media)).await;
        }
        walk.ask(Call::new("POST", &maps).media("application/yaml").text("metadata:\n  name: yaml\ndata:\n  a: b\n"))
            .await;
        walk.ask(Call::new("POST", &maps).media("application/yaml").text("metadata: [\n")).await;
        walk.ask(Call::new("POST", &maps).media("application/yaml").text("just text")).await;
        walk.ask(Call::new("POST", &maps).media("application/yaml").text("a: b\n---\nc: d\n")).await;
        walk.ask(Call::new("POST", &maps).media("application/vnd.kubernetes.protobuf").text("hello")).await;
        let deployments = walk.group("apps/v1", "deployments");
        for (path, value) in [
            ("/spec/replicas", json!("3")),
            ("/spec/replicas", json!(1.5)),
            ("/spec/replicas", json!(3_000_000_000_u64)),
            ("/spec/paused", json!("yes")),
            ("/spec/template", json!([])),
            ("/spec/strategy", json!("x")),
            ("/metadata/labels", json!({"a": 1})),
            ("/metadata/labels", json!([])),
            ("/metadata/creationTimestamp", json!("yesterday")),
            ("/spec/template/spec/containers", json!({})),
        ] {
            let mut body = deployment("typed");
            let (parent, name) = path.rsplit_once('/').unwrap();
            body.pointer_mut(parent).unwrap()[name] = value;
            walk.ask(Call::post(&deployments, body)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn unknown_and_repeated_fields_are_told_or_refused() {
    conform(async |walk: &mut Walk| {
        let maps = walk.core("configmaps");
        let text = |name: &str| format!(r#"{{"metadata": {{"name": "{name}", "name": "{name}", "odd": 1}}, "data": {{"k": "v", "k": "w"}}, "colour": "red", "Data": {{}}}}"#);
        for validation in ["Strict", "Warn", "Ignore", "", "Sometimes"] {
            let name = format!("v-{}", validation.to_lowercase());
            walk.ask(Call::new("POST", format!("{maps}?fieldValidation={validation}")).text(&text(&name))).await;
            let yaml = format!("metadata:\n  name: y{name}\n  odd: 1\ndata:\n  k: v\n  k: w\ncolour: red\n");
            walk.ask(Call::new("POST", format!("{maps}?fieldValidation={validation}")).media("application/yaml").text(&yaml)).await;
        }
        let deployments = walk.group("apps/v1", "deployments");
        let mut body = deployment("d");
        body["spec"]["template"]["spec"]["containers"][0]["imag"] = "x".into();
        body["spec"]["replica"] = 1.into();
        walk.expect(400, Call::post(format!("{deployments}?fieldValidation=Strict"), body.clone())).await;
        let made = walk.expect(201, Call::post(&deployments, body.clone())).await;
        assert_eq!(made.warnings.len(), 2, "{:?}", made.warnings);
        body["metadata"]["labels"] = json!({"x": "y"});
        walk.ask(Call::put(format!("{deployments}/d?fieldValidation=Strict"), body.clone())).await;
        walk.ask(Call::put(format!("{deployments}/d"), body)).await;
        let path = format!("{deployments}/d");
        let odd = json!({"spec": {"replica": 2, "template": {"spec": {"containers": [{"name": "c", "imag": "y"}]}}}});
        for media in [MERGE_PATCH, STRATEGIC_PATCH] {
            for validation in ["Strict", "Warn", "Ignore"] {
                walk.ask(Call::patch(format!("{path}?fieldValidation={validation}"), media, odd.clone())).await;
            }
        }
        let operations = json!([{"op": "add", "path": "/spec/replica", "value": 1}, {"op": "add", "path": "/spec/template/spec/containers/0/imag", "value": "x"}]);
        for validation in ["Strict", "Warn", "Ignore"] {
            walk.ask(Call::patch(format!("{path}?fieldValidation={validation}"), JSON_PATCH, operations.clone())).await;
            let mut applied = deployment("d");
            applied["spec"]["replica"] = 1.into();
            walk.ask(Call::patch(format!("{path}?fieldManager=me&force=true&fieldValidation={validation}"), APPLY_PATCH, applied)).await;
            let twice = r#"{"metadata": {"labels": {"x": "1", "x": "2"}}}"#;
            walk.ask(Call::new("PATCH", format!("{path}?fieldValidation={validation}")).media(MERGE_PATCH).text(twice)).await;
            walk.ask(Call::new("PATCH", format!("{path}?fieldValidation={validation}")).media(STRATEGIC_PATCH).text(twice)).await;
            let twice = r#"[{"op": "add", "path": "/metadata/labels/y", "path": "/metadata/labels/x", "value": "1", "odd": 1}]"#;
            walk.ask(Call::new("PATCH", format!("{path}?fieldValidation={validation}")).media(JSON_PATCH).text(twice)).await;
        }
        walk.ask(Call::get(format!("{path}?fieldValidation=Strict"))).await;
        walk.ask(Call::delete(format!("{path}?fieldValidation=Strict"))).await;
    })
    .await;
}

#[tokio::test]
async fn patches_of_every_type_are_merged_or_refused() {
    conform(async |walk: &mut Walk| {
        let deployments = walk.group("apps/v1", "deployments");
        let mut body = deployment("d");
        body["metadata"]["labels"] = json!({"a": "1", "b": "2"});
        body["spec"]["template"]["spec"]["containers"] = json!([{"name": "one", "image": "a:1", "env": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}], "args": ["x", "y"], "ports": [{"containerPort": 80}]}, {"name": "two", "image": "b:1"}]);
        body["spec"]["template"]["spec"]["tolerations"] = json!([{"key": "a", "operator": "Exists"}]);
        walk.expect(201, Call::post(&deployments, body)).await;
        let path = format!("{deployments}/d");
        let containers = |list: serde_json::Value| json!({"spec": {"template": {"spec": {"containers": list}}}});
        // Strategic: lists with keys are merged, others replaced; directives.
        for patch in [
            containers(json!([{"name": "two", "image": "b:2"}])),
            containers(json!([{"name": "one", "env": [{"name": "B", "value": "3"}, {"name": "C", "value": "4"}], "args": ["z"]}])),
            containers(json!([{"name": "one", "env": [{"name": "A", "$patch": "delete"}]}])),
            containers(json!([{"name": "three", "image": "c:1"}, {"$setElementOrder/env": [], "name": "one"}])),
            containers(json!([{"name": "three", "$patch": "delete"}])),
            json!({"spec": {"template": {"spec": {"$setElementOrder/containers": [{"name": "two"}, {"name": "one"}], "containers": [{"name": "two", "image": "b:3"}]}}}}),
            json!({"spec": {"template": {"spec": {"tolerations": [{"key": "b", "operator": "Exists"}]}}}}),
            json!({"spec": {"template": {"spec": {"nodeSelector": {"x": "y"}}}}}),
            json!({"spec": {"template": {"spec": {"nodeSelector": {"$patch": "replace", "z": "w"}}}}}),
            json!({"spec": {"strategy": {"$retainKeys": ["type"], "type": "Recreate"}}}),
            json!({"metadata": {"labels": {"a": null, "c": "3"}, "finalizers": ["a.example/b", "a.example/c"]}}),
            json!({"metadata": {"$deleteFromPrimitiveList/finalizers": ["a.example/b"]}}),
            json!({"metadata": {"finalizers": null}}),
            containers(json!([{"image": "no-name"}])),
            containers(json!("text")),
            json!({"spec": {"$patch": "sideways"}}),
            json!({"spec": "text"}),
            json!({"metadata": {"$deleteFromPrimitiveList/finalizers": "x"}}),
            json!({"spec": {"template": {"spec": {"$setElementOrder/containers": [{"name": "two"}], "containers": [{"name": "one", "image": "b:3"}]}}}}),
            json!([]),
            json!("x"),
            json!({"metadata": {"name": "renamed"}}),
            json!({"metadata": {"resourceVersion": "1"}}),
            json!({"metadata": {"uid": "x"}}),
            json!({"kind": "Pod"}),
            json!({"apiVersion": "apps/v2"}),
            json!({"spec": {"replicas": -1}}),
            json!({"spec": {"selector": {"matchLabels": {"a": "c"}}}}),
        ] {
            walk.ask(Call::patch(&path, STRATEGIC_PATCH, patch)).await;
        }
        // Merge: lists are replaced, nulls take away.
        for patch in [
            json!({"metadata": {"labels": {"a": "9", "b": null}}}),
            containers(json!([{"name": "only", "image": "x:1"}])),
            json!({"spec": null}),
            json!({"spec": {"template": null}}),
            json!([]),
            json!("x"),
            json!(null),
            json!({"metadata": {"name": "renamed"}}),
            json!({"metadata": {"namespace": "elsewhere"}}),
            json!({"metadata": {"resourceVersion": "1"}}),
            json!({"metadata": {"creationTimestamp": null}}),
            json!({"kind": "Pod"}),
            json!({"spec": {"replicas": "many"}}),
            json!({"status": {"replicas": 7}}),
        ] {
            walk.ask(Call::patch(&path, MERGE_PATCH, patch)).await;
        }
        walk.ask(Call::new("PATCH", &path).media(MERGE_PATCH).text("{")).await;
        walk.ask(Call::new("PATCH", &path).media(MERGE_PATCH).text("")).await;
        walk.ask(Call::new("PATCH", &path).media(STRATEGIC_PATCH).text("{")).await;
        walk.ask(Call::new("PATCH", &path).media(STRATEGIC_PATCH).text("")).await;
        walk.ask(Call::new("PATCH", &path).media(JSON_PATCH).text("[")).await;
        walk.ask(Call::new("PATCH", &path).media(JSON_PATCH).text("")).await;
        // JSON.
        for patch in [
            json!([{"op": "test", "path": "/spec/replicas", "value": 1}, {"op": "replace", "path": "/spec/replicas", "value": 2}]),
            json!([{"op": "test", "path": "/spec/replicas", "value": 1}]),
            json!([{"op": "add", "path": "/metadata/labels/x~1y", "value": "z"}]),
            json!([{"op": "copy", "from": "/metadata/labels/c", "path": "/metadata/labels/d"}]),
            json!([{"op": "move", "from": "/metadata/labels/d", "path": "/metadata/labels/e"}]),
            json!([{"op": "remove", "path": "/metadata/labels/e"}]),
            json!([{"op": "remove", "path": "/metadata/labels/none"}]),
            json!([{"op": "replace", "path": "/metadata/labels/none", "value": "x"}]),
            json!([{"op": "add", "path": "/spec/template/spec/containers/-", "value": {"name": "last", "image": "z:1"}}]),
            json!([{"op": "add", "path": "/spec/template/spec/containers/9", "value": {"name": "nine", "image": "z:1"}}]),
            json!([{"op": "remove", "path": "/spec/template/spec/containers/-1"}]),
            json!([{"op": "sing", "path": "/spec"}]),
            json!([{"op": "add", "path": "spec"}]),
            json!([{"op": "add"}]),
            json!([{"op": "add", "path": "/metadata/none/x", "value": "y"}]),
            json!([{"op": "replace", "path": "/metadata/name", "value": "other"}]),
            json!([{"op": "replace", "path": "", "value": {}}]),
            json!({"op": "add"}),
            json!("x"),
            json!([]),
        ] {
            walk.ask(Call::patch(&path, JSON_PATCH, patch)).await;
        }
        let many: Vec<_> = (0..10_001).map(|_| json!({"op": "test", "path": "/kind", "value": "Deployment"})).collect();
        walk.ask(Call::patch(&path, JSON_PATCH, many.into())).await;
        for media in ["application/json", "text/plain", "application/yaml", "", "application/apply-patch+cbor"] {
            walk.ask(Call::patch(&path, media, json!({"metadata": {}}))).await;
        }
        walk.ask(Call::patch(format!("{path}?force=true"), MERGE_PATCH, json!({}))).await;
        walk.ask(Call::patch(path.clone(), APPLY_PATCH, deployment("d"))).await;
    })
    .await;
}

#[tokio::test]
async fn what_is_not_there_is_answered_in_kubernetes_words() {
    conform(async |walk: &mut Walk| {
        let maps = walk.core("configmaps");
        let space = walk.space.clone();
        walk.expect(201, Call::post(&maps, json!({"metadata": {"name": "m"}}))).await;
        for path in [
            "/nonsense",
            "/api/v2",
            "/api/v1/nonsense",
            "/api/v1/namespaces/default/nonsense",
            "/apis/nonsense.example",
            "/apis/nonsense.example/v1",
            "/apis/nonsense.example/v1/things",
            "/apis/apps/v9",
            "/apis/apps/v9/deployments",
            "/apis/apps/v1/nonsense",
            "/api/v1/pods/x",
            "/api/v1/namespaces/default/nodes",
            "/api/v1/namespaces/default/namespaces",
            "/apis/apps",
            "/apis/apps/v1/",
            "//api//v1",
            "/api/v1/nodes/none",
            "/api/v1/nodes/none/status",
            "/api/v1/nodes/none/nonsense",
            "/api/v1/namespaces/default/configmaps/m/status",
            "/api/v1/namespaces/default/configmaps/m/scale",
            "/api/v1/namespaces/default/configmaps/a/b/c/d",
            "/logs",
            "/healthz/none",
            "/openapi/v3/none",
            "/version/x",
            "/.well-known/none",
            "/apis/apps/v1/namespaces/default",
            "/apis/apps/v1/namespaces/default/deployments/none/scale",
            "/api/v1/watch/namespaces/nowhere-at-all/configmaps?timeoutSeconds=1",
            "/api/v1/proxy/x",
            "/API/V1",
        ] {
            walk.ask(Call::get(path)).await;
        }
        for (method, path) in [
            ("PUT", maps.clone()),
            ("PATCH", maps.clone()),
            ("POST", format!("{maps}/m")),
            ("TRACE", maps.clone()),
            ("OPTIONS", maps.clone()),
            ("HEAD", maps.clone()),
            ("HEAD", format!("{maps}/m")),
            ("HEAD", format!("{maps}/none")),
            ("FOO", maps.clone()),
            ("POST", "/version".into()),
            ("DELETE", "/api/v1".into()),
            ("POST", "/api/v1/configmaps".into()),
            ("DELETE", "/api/v1/configmaps".into()),
            ("DELETE", "/api/v1/namespaces".into()),
            ("PUT", "/api/v1/namespaces".into()),
            ("DELETE", format!("{maps}/m/status")),
            ("POST", format!("{maps}/m/nonsense")),
            ("PUT", "/healthz".into()),
            ("POST", "/nonsense".into()),
            ("DELETE", "/apis/authorization.k8s.io/v1/subjectaccessreviews".into()),
            ("GET", "/apis/authorization.k8s.io/v1/subjectaccessreviews".into()),
            ("DELETE", format!("/api/v1/namespaces/{space}/finalize")),
            ("GET", format!("/api/v1/namespaces/{space}/finalize")),
            ("GET", format!("{maps}/m/binding")),
            ("GET", walk.core("pods/x/eviction")),
            ("GET", walk.core("pods/x/binding")),
            ("POST", walk.core("pods/x/eviction")),
            ("GET", walk.core("serviceaccounts/default/token")),
            ("PUT", walk.core("serviceaccounts/default/token")),
            ("DELETE", walk.core("services")),
        ] {
            walk.ask(Call::new(method, path).text(if method == "PUT" || method == "POST" || method == "PATCH" {
                "{}"
            } else {
                ""
            }))
            .await;
        }
        // Forms of answers that nobody has.
        for accept in [
            "text/plain",
            "application/xml",
            "*/*",
            "application/*",
            "",
            "application/json;as=Nonsense;v=v1;g=meta.k8s.io",
            "application/json;as=Table;v=v9;g=meta.k8s.io",
            "text/html, application/json;q=0.9",
            "application/json;stream=watch",
            "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1",
            "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1",
            "application/xml, */*",
            "application/cbor",
            "application/vnd.kubernetes.protobuf;as=Nonsense;v=v1;g=meta.k8s.io, application/json",
        ] {
            walk.ask(Call::get(format!("{maps}/m")).accept(accept)).await;
            walk.ask(Call::get(format!("{maps}?fieldSelector=metadata.name=m")).accept(accept)).await;
        }
        for include in ["Object", "None", "Metadata", "Nonsense"] {
            walk.ask(Call::get(format!("{maps}/m?includeObject={include}")).accept(TABLE)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn sizes_are_bounded_and_large_answers_compressed() {
    conform(async |walk: &mut Walk| {
        let maps = walk.core("configmaps");
        let body = json!({"metadata": {"name": "big"}, "data": {"k": "x".repeat(200_000)}});
        let made = walk.expect(201, Call::post(&maps, body).header("accept-encoding", "gzip")).await;
        assert_eq!(made.header("content-encoding"), "gzip");
        walk.expect(200, Call::get(format!("{maps}/big")).header("accept-encoding", "deflate, gzip;q=0.5")).await;
        walk.expect(200, Call::get(format!("{maps}/big")).header("accept-encoding", "deflate, gzip")).await;
        walk.expect(200, Call::get(format!("{maps}/big"))).await;
        walk.expect(201, Call::post(&maps, json!({"metadata": {"name": "small"}})).header("accept-encoding", "gzip"))
            .await;
        let most = json!({"metadata": {"name": "most"}, "data": {"k": "x".repeat(1 << 20)}});
        walk.ask(Call::post(&maps, most)).await;
        let over = json!({"metadata": {"name": "over"}, "data": {"k": "x".repeat((1 << 20) + 1)}});
        walk.ask(Call::post(&maps, over)).await;
        let huge = json!({"metadata": {"name": "huge"}, "data": {"k": "x".repeat(3 << 20)}});
        let refused = walk.expect(413, Call::post(&maps, huge)).await;
        assert_eq!(refused.reason(), "RequestEntityTooLarge");
        let secrets = walk.core("secrets");
        let over = json!({"metadata": {"name": "over"}, "stringData": {"k": "x".repeat((1 << 20) + 1)}});
        walk.ask(Call::post(&secrets, over)).await;
        let long = "x".repeat(20_000);
        walk.ask(Call::get(format!("{maps}?labelSelector=a={}", &long[..63]))).await;
        walk.ask(Call::get(format!("{maps}/small?odd={long}"))).await;
        let selector: Vec<String> = (0..800).map(|n| format!("l{n}!=v")).collect();
        walk.ask(Call::get(format!("{maps}?fieldSelector=metadata.name=small&labelSelector={}", selector.join(","))))
            .await;
    })
    .await;
}
