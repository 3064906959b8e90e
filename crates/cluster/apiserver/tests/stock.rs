//! What stock programs and Kubernetes' own conformance tests ask of the server beside objects:
//! the documents that describe it, and who waits for whom.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a test stops at what it did not expect, and runs beside the product"
)]

use apiserver::{Server, User};
use base64::Engine;
use http::{HeaderMap, Request};
use serde_json::{Value, json};

const BINARY: &str = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf";

struct Asked {
    code: u16,
    headers: HeaderMap,
    bytes: Vec<u8>,
}

impl Asked {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.bytes).unwrap_or_default()
    }

    fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }
}

async fn ask_as(server: &Server, user: User, method: &str, path: &str, headers: &[(&str, &str)], body: Value) -> Asked {
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let text = if body.is_null() { String::new() } else { body.to_string() };
    let mut request = request.body(axum::body::Body::from(text)).unwrap();
    request.extensions_mut().insert(user);
    let (parts, body) = server.handle(request).await.into_parts();
    let bytes = axum::body::to_bytes(body, 64 << 20).await.unwrap().to_vec();
    Asked { code: parts.status.as_u16(), headers: parts.headers, bytes }
}

async fn ask(server: &Server, method: &str, path: &str, body: Value) -> Asked {
    let media = if method == "PATCH" { "application/merge-patch+json" } else { "application/json" };
    ask_as(server, User::new("admin", &["system:masters"]), method, path, &[("content-type", media)], body).await
}

async fn get(server: &Server, path: &str, headers: &[(&str, &str)]) -> Asked {
    ask_as(server, User::new("admin", &["system:masters"]), "GET", path, headers, Value::Null).await
}

fn random(prefix: &str) -> String {
    format!("{prefix}{}", &uuid::Uuid::new_v4().simple().to_string()[..8])
}

fn definition(group: &str, plural: &str, schema: &Value) -> Value {
    let kind = plural.to_uppercase();
    json!({"metadata": {"name": format!("{plural}.{group}")}, "spec": {"group": group, "scope": "Namespaced",
        "names": {"plural": plural, "kind": kind, "listKind": format!("{kind}List")},
        "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": schema},
            "selectableFields": [{"jsonPath": ".spec.size"}], "subresources": {"status": {}}}]}})
}

const DEFINITIONS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";

/// Checks that everything a document refers to is in it.
fn check(value: &Value, document: &Value) {
    match value {
        Value::Object(map) => {
            for (name, inner) in map {
                match inner.as_str().filter(|_| name == "$ref") {
                    Some(path) => assert!(!document.pointer(&path[1..]).unwrap().is_null(), "{path}"),
                    None => check(inner, document),
                }
            }
        }
        Value::Array(list) => list.iter().for_each(|inner| check(inner, document)),
        _ => {}
    }
}

#[tokio::test]
async fn the_version_2_document_describes_every_kind_and_refers_to_what_it_holds() {
    let server = Server::in_memory().await.unwrap();
    let document = get(&server, "/openapi/v2", &[]).await.json();
    assert_eq!(document["swagger"], "2.0");
    check(&document, &document);
    let deployment = &document["definitions"]["io.k8s.api.apps.v1.Deployment"];
    let kind = json!({"group": "apps", "version": "v1", "kind": "Deployment"});
    assert_eq!(deployment["x-kubernetes-group-version-kind"], json!([kind]));
    assert_eq!(deployment["properties"]["spec"]["$ref"], "#/definitions/io.k8s.api.apps.v1.DeploymentSpec");
    let replace = &document["paths"]["/apis/apps/v1/namespaces/{namespace}/deployments/{name}"]["put"];
    assert_eq!(replace["operationId"], "replaceAppsV1NamespacedDeployment");
    assert_eq!((&replace["x-kubernetes-action"], &replace["x-kubernetes-group-version-kind"]), (&json!("put"), &kind));
    let scale = &document["paths"]["/apis/apps/v1/namespaces/{namespace}/deployments/{name}/scale"]["get"];
    assert_eq!(scale["responses"]["200"]["schema"]["$ref"], "#/definitions/io.k8s.api.autoscaling.v1.Scale");
    let roles = &document["paths"]["/apis/rbac.authorization.k8s.io/v1/clusterroles"]["get"];
    assert_eq!(
        (&roles["operationId"], &roles["tags"][0]),
        (&json!("listRbacAuthorizationV1ClusterRole"), &json!("rbacAuthorization_v1"))
    );
}

#[tokio::test]
async fn a_document_comes_in_the_form_and_to_whom_it_is_new() {
    let server = Server::in_memory().await.unwrap();
    let binary = get(&server, "/openapi/v2", &[("accept", BINARY)]).await;
    assert_eq!(binary.header("content-type"), "application/com.github.proto-openapi.spec.v2.v1.0+protobuf");
    assert_eq!(&binary.bytes[..5], b"\x0a\x032.0");
    let text = get(&server, "/openapi/v2", &[("accept-encoding", "gzip")]).await;
    assert_eq!((text.header("content-type"), text.header("content-encoding")), ("application/json", "gzip"));
    assert!(text.bytes.len() < 200_000, "it lies compressed: {}", text.bytes.len());
    let tag = text.header("etag").to_owned();
    assert_eq!(tag, binary.header("etag"));
    let again = get(&server, "/openapi/v2", &[("if-none-match", &tag)]).await;
    assert_eq!((again.code, again.bytes.len()), (304, 0));
    assert_eq!(get(&server, "/openapi/v2", &[("accept", "text/plain")]).await.code, 406);

    let index = get(&server, "/openapi/v3", &[]).await.json();
    let url = index["paths"]["apis/apps/v1"]["serverRelativeURL"].as_str().unwrap().to_owned();
    let apps = get(&server, &url, &[]).await;
    assert_eq!(apps.header("cache-control"), "public, immutable");
    assert_eq!(get(&server, &url, &[("if-none-match", apps.header("etag"))]).await.code, 304);
    let moved = get(&server, "/openapi/v3/apis/apps/v1?hash=old", &[]).await;
    assert_eq!((moved.code, moved.header("location")), (301, url.as_str()));
}

#[tokio::test]
async fn what_a_definition_says_is_published_until_it_goes() {
    let server = Server::in_memory().await.unwrap();
    let (group, plural) = (format!("{}.example", random("g")), random("k"));
    let schema = json!({"type": "object", "description": "A boat.", "properties": {"spec": {"type": "object",
        "required": ["size"], "oneOf": [{"required": ["size"]}], "properties": {
            "size": {"type": "integer", "minimum": 1, "default": 3},
            "port": {"x-kubernetes-int-or-string": true},
            "any": {"type": "object", "x-kubernetes-preserve-unknown-fields": true, "properties": {"a": {"type": "string"}}}}}}});
    let made = ask(&server, "POST", DEFINITIONS, definition(&group, &plural, &schema)).await;
    assert_eq!(made.code, 201, "{}", made.json());
    let name = format!("example.{}.v1.{}", group.split('.').next().unwrap(), plural.to_uppercase());
    let path = format!("/apis/{group}/v1/namespaces/{{namespace}}/{plural}/{{name}}/status");
    let document = get(&server, "/openapi/v2", &[]).await.json();
    let published = &document["definitions"][&name];
    assert_eq!(published["description"], "A boat.");
    assert_eq!(published["x-kubernetes-selectable-fields"], json!([{"fieldPath": "spec.size"}]));
    assert_eq!(
        published["properties"]["spec"],
        json!({"type": "object", "required": ["size"], "properties": {"size": {"type": "integer", "minimum": 1},
            "port": {"x-kubernetes-int-or-string": true}, "any": {"x-kubernetes-preserve-unknown-fields": true}}})
    );
    assert!(document["definitions"][format!("{name}List")]["properties"]["items"].is_object());
    assert_eq!(document["paths"][&path]["get"]["x-kubernetes-action"], "get");
    let third = get(&server, &format!("/openapi/v3/apis/{group}/v1"), &[]).await.json();
    let spec = &third["components"]["schemas"][&name]["properties"]["spec"];
    assert_eq!((&spec["properties"]["size"]["default"], &spec["oneOf"][0]["required"][0]), (&json!(3), &json!("size")));
    assert!(third["components"]["schemas"]["io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"].is_object());

    ask(&server, "DELETE", &format!("{DEFINITIONS}/{plural}.{group}"), Value::Null).await;
    let document = get(&server, "/openapi/v2", &[]).await.json();
    assert!(document["definitions"][&name].is_null() && document["paths"][&path].is_null());
}

#[tokio::test]
async fn a_field_selector_reads_an_absent_flag_as_false() {
    let server = Server::in_memory().await.unwrap();
    for (name, spec) in [("open", json!({})), ("closed", json!({"unschedulable": true}))] {
        let made = ask(&server, "POST", "/api/v1/nodes", json!({"metadata": {"name": name}, "spec": spec})).await;
        assert_eq!(made.code, 201, "{}", made.json());
    }
    for (selector, wanted) in [("spec.unschedulable=false", "open"), ("spec.unschedulable!=false", "closed")] {
        let list = get(&server, &format!("/api/v1/nodes?fieldSelector={selector}"), &[]).await.json();
        let names: Vec<&Value> =
            list["items"].as_array().unwrap().iter().map(|node| &node["metadata"]["name"]).collect();
        assert_eq!(names, [wanted], "{selector}");
    }
}

const FLOWS: &str = "/apis/flowcontrol.apiserver.k8s.io/v1/flowschemas";
const LEVELS: &str = "/apis/flowcontrol.apiserver.k8s.io/v1/prioritylevelconfigurations";

#[tokio::test]
async fn a_flow_schema_leads_its_requests_to_its_level() {
    let server = Server::in_memory().await.unwrap();
    let (user, level, schema) = (random("u"), random("l"), random("s"));
    let of_catch_all = get(&server, &format!("{LEVELS}/catch-all"), &[]).await.json();
    assert_eq!(of_catch_all["spec"]["limited"]["limitResponse"]["type"], "Reject");
    let made = ask(
        &server,
        "POST",
        FLOWS,
        json!({"metadata": {"name": schema}, "spec": {
        "priorityLevelConfiguration": {"name": level}, "distinguisherMethod": {"type": "ByUser"}, "rules": [{
            "subjects": [{"kind": "User", "user": {"name": user}}],
            "nonResourceRules": [{"verbs": ["*"], "nonResourceURLs": ["*"]}]}]}}),
    );
    let made = made.await.json();
    assert_eq!(made["spec"]["matchingPrecedence"], 1000, "{made}");
    let told = async |status: &str| {
        let schema = get(&server, &format!("{FLOWS}/{schema}"), &[]).await.json();
        assert_eq!(
            (&schema["status"]["conditions"][0]["type"], &schema["status"]["conditions"][0]["status"]),
            (&json!("Dangling"), &json!(status)),
            "{schema}"
        );
    };
    told("True").await;
    let led = async || ask_as(&server, User::new(&user, &[]), "GET", "/version", &[], Value::Null).await;
    let before = led().await;
    assert_eq!(before.code, 200);
    assert_ne!(before.header("x-kubernetes-pf-flowschema-uid"), made["metadata"]["uid"].as_str().unwrap());

    let limited =
        json!({"type": "Limited", "limited": {"nominalConcurrencyShares": 1, "limitResponse": {"type": "Reject"}}});
    let level = ask(&server, "POST", LEVELS, json!({"metadata": {"name": level}, "spec": limited})).await.json();
    told("False").await;
    let after = led().await;
    assert_eq!(after.header("x-kubernetes-pf-flowschema-uid"), made["metadata"]["uid"].as_str().unwrap());
    assert_eq!(after.header("x-kubernetes-pf-prioritylevel-uid"), level["metadata"]["uid"].as_str().unwrap());
    let figures = String::from_utf8(get(&server, "/metrics", &[]).await.bytes).unwrap();
    let name = level["metadata"]["name"].as_str().unwrap();
    assert!(
        figures.contains(&format!("apiserver_flowcontrol_nominal_limit_seats{{priority_level={name:?}}} 2")),
        "{figures}"
    );
}

#[tokio::test]
async fn what_flow_control_needs_cannot_be_changed_and_comes_back() {
    let server = Server::in_memory().await.unwrap();
    let patch = json!({"spec": {"matchingPrecedence": 5}});
    let refused = ask(&server, "PATCH", &format!("{FLOWS}/catch-all"), patch).await;
    assert_eq!(refused.code, 422, "{}", refused.json());
    let before = get(&server, &format!("{FLOWS}/exempt"), &[]).await.json();
    assert_eq!(ask(&server, "DELETE", &format!("{FLOWS}/exempt"), Value::Null).await.code, 200);
    let after = get(&server, &format!("{FLOWS}/exempt"), &[]).await.json();
    assert_eq!(before["spec"], after["spec"]);
    assert_ne!(before["metadata"]["uid"], after["metadata"]["uid"]);
    let bad = json!({"metadata": {"name": "x"}, "spec": {"type": "Limited", "limited": {"limitResponse": {"type": "Queue",
        "queuing": {"queues": 4, "handSize": 9}}}}});
    let refused = ask(&server, "POST", LEVELS, bad).await.json();
    assert_eq!(refused["details"]["causes"][0]["message"], "Invalid value: 9: should not be greater than queues (4)");
}

#[tokio::test]
async fn an_apply_that_its_type_does_not_know_is_refused_whatever_the_validation() {
    let server = Server::in_memory().await.unwrap();
    let apply = async |path: &str, body: Value| {
        let headers = [("content-type", "application/apply-patch+yaml")];
        ask_as(&server, User::new("admin", &["system:masters"]), "PATCH", path, &headers, body).await
    };
    for strictness in ["Strict", "Warn", "Ignore"] {
        let path =
            format!("/apis/apps/v1/namespaces/default/deployments/a?fieldManager=x&fieldValidation={strictness}");
        let refused = apply(
            &path,
            json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "a"},
            "spec": {"bar": 1, "replicas": "x"}}),
        );
        let refused = refused.await.json();
        assert_eq!(
            (&refused["code"], refused["message"].as_str().unwrap(), &refused["reason"]),
            (
                &json!(500),
                "failed to create typed patch object (/a; apps/v1, Kind=Deployment): errors:\n  .spec.bar: field not declared in schema\n  .spec.replicas: expected numeric (int or float), got string",
                &Value::Null
            )
        );
    }
    let (group, plural) = (format!("{}.example", random("g")), random("k"));
    let schema = json!({"type": "object", "properties": {"spec": {"type": "object", "properties": {"size": {"type": "integer"},
        "any": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}}}}});
    ask(&server, "POST", DEFINITIONS, definition(&group, &plural, &schema)).await;
    let path = format!("/apis/{group}/v1/namespaces/default/{plural}/a?fieldManager=x");
    let kind = plural.to_uppercase();
    let of = |spec: Value| json!({"apiVersion": format!("{group}/v1"), "kind": kind, "metadata": {"name": "a"}, "spec": spec});
    let refused = apply(&path, of(json!({"nope": 1}))).await.json();
    assert!(refused["message"].as_str().unwrap().ends_with(": .spec.nope: field not declared in schema"), "{refused}");
    assert_eq!(apply(&path, of(json!({"any": {"nope": 1}}))).await.code, 201);
}

#[tokio::test]
async fn an_approval_carries_metadata_and_a_review_has_no_table() {
    let server = Server::in_memory().await.unwrap();
    let key = rcgen::KeyPair::generate().unwrap();
    let request =
        rcgen::CertificateParams::new(["r".to_owned()]).unwrap().serialize_request(&key).unwrap().pem().unwrap();
    let request = base64::engine::general_purpose::STANDARD.encode(request);
    let request = json!({"metadata": {"name": "r"}, "spec": {"signerName": "example.com/s", "usages": ["client auth"], "request": request}});
    let requests = "/apis/certificates.k8s.io/v1/certificatesigningrequests";
    assert_eq!(ask(&server, "POST", requests, request).await.code, 201);
    let patch = json!({"metadata": {"annotations": {"a": "b"}}, "status": {"conditions": [
        {"type": "Approved", "status": "True", "reason": "x", "message": "y"}]}});
    let approved = ask(&server, "PATCH", &format!("{requests}/r/approval"), patch).await.json();
    assert_eq!(approved["metadata"]["annotations"]["a"], "b", "{approved}");
    let review = json!({"spec": {"nonResourceAttributes": {"path": "/", "verb": "get"}}});
    let headers = [("accept", "application/json;as=Table;v=v1;g=meta.k8s.io")];
    let path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
    let refused = ask_as(&server, User::new("a", &["system:masters"]), "POST", path, &headers, review).await.json();
    assert_eq!(
        (&refused["code"], refused["message"].as_str().unwrap()),
        (
            &json!(406),
            "only the following media types are accepted: application/json, application/yaml, application/vnd.kubernetes.protobuf"
        )
    );
}

#[tokio::test]
async fn events_are_selected_by_where_they_come_from() {
    let server = Server::in_memory().await.unwrap();
    let about = json!({"kind": "Pod", "namespace": "default", "name": "p"});
    let old = json!({"metadata": {"name": "old"}, "involvedObject": about, "source": {"component": "kubelet"}, "reason": "r", "type": "Normal"});
    let new = json!({"metadata": {"name": "new"}, "regarding": about, "reportingController": "test", "reportingInstance": "i",
        "action": "a", "reason": "r", "type": "Normal", "eventTime": "2026-01-01T00:00:00.000000Z"});
    for (path, event) in [("/api/v1", old), ("/apis/events.k8s.io/v1", new)] {
        let made = ask(&server, "POST", &format!("{path}/namespaces/default/events"), event).await;
        assert_eq!(made.code, 201, "{}", made.json());
    }
    for (source, name) in [("kubelet", "old"), ("test", "new")] {
        let list = get(&server, &format!("/api/v1/events?fieldSelector=source={source}"), &[]).await.json();
        let names: Vec<&Value> =
            list["items"].as_array().unwrap().iter().map(|event| &event["metadata"]["name"]).collect();
        assert_eq!(names, [name]);
    }
}

#[tokio::test]
async fn a_pod_gets_what_its_runtime_class_says_and_needs_one_that_is_there() {
    let server = Server::in_memory().await.unwrap();
    let name = random("vm");
    let pods = "/api/v1/namespaces/default/pods";
    let pod = |name: &str, class: &str| {
        json!({"metadata": {"name": name}, "spec": {"runtimeClassName": class,
        "containers": [{"name": "c", "image": "registry.example/i"}]}})
    };
    let refused = ask(&server, "POST", pods, pod("a", &name)).await.json();
    assert_eq!(
        (&refused["reason"], refused["message"].as_str().unwrap()),
        (
            &json!("Forbidden"),
            format!("pods \"a\" is forbidden: pod rejected: RuntimeClass {name:?} not found").as_str()
        )
    );
    let class = json!({"metadata": {"name": name}, "handler": "h", "overhead": {"podFixed": {"cpu": "10m"}},
        "scheduling": {"nodeSelector": {"kind": "vm"}}});
    assert_eq!(ask(&server, "POST", "/apis/node.k8s.io/v1/runtimeclasses", class).await.code, 201);
    let made = ask(&server, "POST", pods, pod("a", &name)).await.json();
    assert_eq!(
        (&made["spec"]["overhead"]["cpu"], &made["spec"]["nodeSelector"]["kind"]),
        (&json!("10m"), &json!("vm"))
    );
}

const SERVICES: &str = "/apis/apiregistration.k8s.io/v1/apiservices";

#[tokio::test]
async fn each_group_that_is_served_has_an_api_service_as_long_as_it_is() {
    let server = Server::in_memory().await.unwrap();
    let apps = get(&server, &format!("{SERVICES}/v1.apps"), &[]).await.json();
    assert_eq!(
        apps["spec"],
        json!({"group": "apps", "version": "v1", "groupPriorityMinimum": 17800, "versionPriority": 15})
    );
    assert_eq!(apps["status"]["conditions"][0]["reason"], "Local");
    let (group, plural) = (format!("{}.example", random("g")), random("k"));
    let schema = json!({"type": "object", "properties": {"spec": {"type": "object", "properties": {"size": {"type": "integer"}}}}});
    assert_eq!(ask(&server, "POST", DEFINITIONS, definition(&group, &plural, &schema)).await.code, 201);
    let path = format!("{SERVICES}/v1.{group}");
    assert_eq!(
        get(&server, &path, &[]).await.json()["metadata"]["labels"]["kube-aggregator.kubernetes.io/automanaged"],
        "true"
    );
    ask(&server, "DELETE", &format!("{DEFINITIONS}/{plural}.{group}"), Value::Null).await;
    assert_eq!(get(&server, &path, &[]).await.code, 404);
    let remote = json!({"metadata": {"name": "v1.other.example"}, "spec": {"group": "other.example", "version": "v1",
        "groupPriorityMinimum": 1000, "versionPriority": 10, "service": {"namespace": "default", "name": "s"}}});
    let refused = ask(&server, "POST", SERVICES, remote).await.json();
    assert_eq!(refused["details"]["causes"][0]["field"], "spec.service", "{refused}");
}

#[tokio::test]
async fn devices_are_claimed_and_a_claim_keeps_what_it_asks_for() {
    let server = Server::in_memory().await.unwrap();
    let claims = "/apis/resource.k8s.io/v1/namespaces/default/resourceclaims";
    let spec = json!({"devices": {"requests": [{"name": "r", "exactly": {"deviceClassName": "gpu.example"}}]}});
    let made = ask(&server, "POST", claims, json!({"metadata": {"name": "a"}, "spec": spec})).await.json();
    let exactly = &made["spec"]["devices"]["requests"][0]["exactly"];
    assert_eq!((&exactly["allocationMode"], &exactly["count"]), (&json!("ExactCount"), &json!(1)), "{made}");
    let other = json!({"spec": {"devices": {"requests": []}}});
    assert_eq!(ask(&server, "PATCH", &format!("{claims}/a"), other).await.code, 422);
    let allocated = ask(&server, "PATCH", &format!("{claims}/a/status"), json!({"status": {"allocation": {}}})).await;
    assert_eq!(allocated.json()["status"]["allocation"], json!({"devices": {}}), "{}", allocated.json());
    let slice = json!({"metadata": {"name": "s"}, "spec": {"driver": "d.example", "nodeName": "n",
        "pool": {"name": "p", "generation": 1, "resourceSliceCount": 1}, "devices": [{"name": "d0"}]}});
    let made = ask(&server, "POST", "/apis/resource.k8s.io/v1/resourceslices", slice).await;
    assert_eq!((made.code, &made.json()["metadata"]["generation"]), (201, &json!(1)), "{}", made.json());
}

#[tokio::test]
async fn what_was_stored_before_a_default_is_shown_with_it() {
    let server = Server::in_memory().await.unwrap();
    let group = format!("{}.example.com", random("d"));
    let of = |size: Value| json!({"type": "object", "properties": {"spec": {"type": "object", "properties": {"size": size}}}});
    assert_eq!(
        ask(&server, "POST", DEFINITIONS, definition(&group, "sheds", &of(json!({"type": "integer"})))).await.code,
        201
    );
    let path = format!("/apis/{group}/v1/namespaces/default/sheds");
    let shed = |name: &str| json!({"apiVersion": format!("{group}/v1"), "kind": "SHEDS", "metadata": {"name": name}, "spec": {}});
    let made = ask(&server, "POST", &path, shed("a")).await;
    assert_eq!((made.code, &made.json()["spec"]), (201, &json!({})));
    let versions =
        definition(&group, "sheds", &of(json!({"type": "integer", "default": 3})))["spec"]["versions"].clone();
    let definition = format!("{DEFINITIONS}/sheds.{group}");
    assert_eq!(ask(&server, "PATCH", &definition, json!({"spec": {"versions": versions}})).await.code, 200);
    let one = get(&server, &format!("{path}/a"), &[]).await.json();
    assert_eq!(one["spec"], json!({"size": 3}));
    let many = get(&server, &format!("{path}?fieldSelector=spec.size%3D3"), &[]).await.json();
    assert_eq!(many["items"][0], one);
    assert_eq!(many["items"].as_array().unwrap().len(), 1);
    assert_eq!(get(&server, &path, &[]).await.json()["items"][0]["spec"], json!({"size": 3}));
}

#[tokio::test]
async fn what_yaml_says_twice_is_told_with_its_line() {
    let server = Server::in_memory().await.unwrap();
    let name = random("m");
    let text = format!(
        "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {name}\ndata:\n  a: b\n  c: d\n  a: e\n  c:\n    f\n"
    );
    let maps = "/api/v1/namespaces/default/configmaps";
    let send = |method: &'static str, path: String, media: &'static str| {
        let mut request = Request::builder().method(method).uri(path).header("content-type", media);
        request = request.header("accept", "application/json");
        let mut request = request.body(axum::body::Body::from(text.clone())).unwrap();
        request.extensions_mut().insert(User::new("admin", &["system:masters"]));
        let server = server.clone();
        async move {
            let (parts, body) = server.handle(request).await.into_parts();
            let bytes = axum::body::to_bytes(body, 1 << 20).await.unwrap().to_vec();
            Asked { code: parts.status.as_u16(), headers: parts.headers, bytes }
        }
    };
    let lines =
        "yaml: unmarshal errors:\n  line 8: key \"a\" already set in map\n  line 10: key \"c\" already set in map";
    let made = send("POST", format!("{maps}?fieldValidation=Strict"), "application/yaml").await;
    let message =
        format!("ConfigMap in version \"v1\" cannot be handled as a ConfigMap: strict decoding error: {lines}");
    assert_eq!((made.code, &made.json()["message"]), (400, &json!(message)));
    let applied = |validation: &str| {
        let path = format!("{maps}/{name}?fieldManager=a&fieldValidation={validation}");
        send("PATCH", path, "application/apply-patch+yaml")
    };
    let strict = applied("Strict").await;
    let message = format!("error strict decoding YAML: error converting YAML to JSON: {lines}");
    assert_eq!((strict.code, &strict.json()["message"]), (400, &json!(message)));
    let warned = applied("Warn").await;
    let warnings: Vec<_> = warned.headers.get_all("warning").iter().map(|value| value.to_str().unwrap()).collect();
    assert_eq!(warned.json()["data"], json!({"a": "e", "c": "f"}));
    let line = |number: u8, key: &str| format!("299 - \"line {number}: key \\\"{key}\\\" already set in map\"");
    assert_eq!(warnings, [line(8, "a"), line(10, "c")]);
}
