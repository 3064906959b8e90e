//! The definitions of kinds that well-known projects publish are accepted and served, and
//! an object of each kind can be made. They come from Go modules (`tests/peers/definitions`),
//! so the test needs Go; without it, it says so and proves nothing.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "a test stops at what it did not expect, and runs beside the product"
)]

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use apiserver::{Server, User};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{
    Api, Client,
    api::{DynamicObject, PostParams},
    core::{ApiResource, GroupVersionKind},
};
use serde_json::{Value, json};

/// The folder of each module that holds its definitions.
const FOLDERS: [(&str, &str); 9] = [
    ("github.com/argoproj/argo-cd/v3", "manifests/crds"),
    ("github.com/cert-manager/cert-manager", "deploy/crds"),
    ("github.com/fluxcd/kustomize-controller", "config/crd/bases"),
    ("github.com/fluxcd/source-controller", "config/crd/bases"),
    ("github.com/prometheus-operator/prometheus-operator", "example/prometheus-operator-crd-full"),
    ("github.com/tektoncd/pipeline", "config/300-crds"),
    ("github.com/vmware-tanzu/velero", "config/crd"),
    ("istio.io/api", "kubernetes"),
    ("sigs.k8s.io/gateway-api", "config/crd/experimental"),
];

/// Returns the folder of each module, or nothing where there is no Go.
fn modules() -> Option<Vec<(PathBuf, &'static str)>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../tests/peers/definitions");
    let pins = std::fs::read_to_string(folder.join("go.mod")).unwrap();
    let version = |module: &str| {
        let line = pins.lines().find_map(|line| line.trim().strip_prefix(module)?.strip_prefix(' ')).unwrap();
        format!("{module}@{line}")
    };
    let mut command = Command::new("go");
    command.args(["mod", "download", "-json"]).args(FOLDERS.map(|(module, _)| version(module)));
    let output = command.current_dir(folder).output().ok()?;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let found: Vec<Value> =
        serde_json::Deserializer::from_slice(&output.stdout).into_iter().collect::<Result<_, _>>().unwrap();
    Some(
        FOLDERS
            .into_iter()
            .map(|(module, sub)| {
                let found = found.iter().find(|found| found["Path"] == module).unwrap();
                (PathBuf::from(found["Dir"].as_str().unwrap()).join(sub), sub)
            })
            .collect(),
    )
}

fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, found);
        } else if path.extension().is_some_and(|end| end == "yaml") {
            found.push(path);
        }
    }
}

fn definitions(folder: &Path) -> Vec<Value> {
    let mut paths = Vec::new();
    files(folder, &mut paths);
    paths.sort();
    paths
        .iter()
        .flat_map(|path| {
            let text = std::fs::read_to_string(path).unwrap();
            let parts: Vec<String> = text.split("\n---").map(|part| part.trim_start_matches('-').to_owned()).collect();
            parts
        })
        .filter_map(|part| serde_saphyr::from_str::<Value>(&part).ok())
        .filter(|value| value["kind"] == "CustomResourceDefinition")
        .collect()
}

/// Returns a value that a schema allows, with no more in it than it must have.
fn sample(schema: &Value, name: &str) -> Value {
    if let Some(first) = schema["enum"].as_array().and_then(|list| list.first()) {
        return first.clone();
    }
    if schema["x-kubernetes-int-or-string"] == true {
        return json!(1);
    }
    match schema["type"].as_str() {
        Some("object") => {
            let mut map = serde_json::Map::new();
            let alternative = ["oneOf", "anyOf"].into_iter().find_map(|kind| schema[kind][0]["required"].as_array());
            let required = schema["required"].as_array().into_iter().chain(alternative).flatten();
            for field in required.filter_map(Value::as_str) {
                let inner = &schema["properties"][field];
                if inner["default"].is_null() {
                    map.insert(field.to_owned(), sample(inner, field));
                }
            }
            if let Some(fewest) = schema["minProperties"].as_u64() {
                let listed: Vec<String> =
                    schema["properties"].as_object().into_iter().flatten().map(|(name, _)| name.clone()).collect();
                for (index, field) in listed.iter().chain([&"key".to_owned()]).enumerate() {
                    if map.len() as u64 >= fewest || index > 20 {
                        break;
                    }
                    let inner = if listed.contains(field) {
                        &schema["properties"][field]
                    } else {
                        &schema["additionalProperties"]
                    };
                    map.insert(field.clone(), sample(inner, field));
                }
            }
            Value::Object(map)
        }
        Some("array") => {
            let fewest = usize::try_from(schema["minItems"].as_u64().unwrap_or_default()).unwrap();
            vec![sample(&schema["items"], name); fewest].into()
        }
        Some("integer" | "number") => schema["minimum"].as_i64().unwrap_or(1).max(1).into(),
        Some("boolean") => json!(true),
        Some("string") => text(schema, name).into(),
        _ => json!({}),
    }
}

fn text(schema: &Value, name: &str) -> String {
    if schema["format"] == "date-time" {
        return "2026-01-01T00:00:00Z".to_owned();
    }
    let pattern = schema["pattern"].as_str().map(|pattern| schema::pattern::compile(pattern).unwrap());
    let fewest = usize::try_from(schema["minLength"].as_u64().unwrap_or_default()).unwrap();
    let candidates = [
        "a",
        "1",
        "1h",
        "30s",
        "http://a.example",
        "https://a.example/x",
        "oci://a.example/x",
        "ssh://git@a.example/x",
        "a.example/x",
        "a.example",
        "/a",
        "A",
        "1Gi",
        "80",
        "a/b",
    ];
    let most = candidates.into_iter().find(|candidate| {
        pattern.as_ref().is_none_or(|pattern| pattern.is_match(candidate)) && candidate.len() >= fewest
    });
    most.map_or_else(|| if name.is_empty() { String::new() } else { "a".repeat(fewest.max(1)) }, str::to_owned)
}

/// What the rules of some kinds want beyond their schema's required fields.
fn more(kind: &str) -> Value {
    let reference = json!([{"backendRefs": [{"name": "a", "port": 80}]}]);
    match kind {
        "Order" => json!({"spec": {"request": "YQ=="}}),
        "TrafficExtension" => json!({"spec": {"lua": {"inlineCode": "a"}}}),
        "WorkloadEntry" => json!({"spec": {"address": "10.0.0.1"}}),
        "BackendTLSPolicy" => json!({"spec": {"validation": {"wellKnownCACertificates": "System"}}}),
        "TCPRoute" | "TLSRoute" | "UDPRoute" => json!({"spec": {"rules": reference}}),
        _ => json!({}),
    }
}

fn merge(into: &mut Value, more: &Value) {
    match (into, more) {
        (Value::Object(into), Value::Object(more)) => {
            for (name, value) in more {
                merge(into.entry(name.clone()).or_insert(Value::Null), value);
            }
        }
        (into, more) => *into = more.clone(),
    }
}

async fn create_one(client: &Client, definition: &Value) -> Result<(), String> {
    let spec = &definition["spec"];
    let version = spec["versions"].as_array().unwrap().iter().find(|version| version["storage"] == true).unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let gvk = GroupVersionKind::gvk(&text(&spec["group"]), &text(&version["name"]), &text(&spec["names"]["kind"]));
    let resource = ApiResource::from_gvk_with_plural(&gvk, &text(&spec["names"]["plural"]));
    let mut object = sample(&version["schema"]["openAPIV3Schema"], "");
    merge(&mut object, &more(&gvk.kind));
    merge(
        &mut object,
        &json!({"apiVersion": resource.api_version, "kind": gvk.kind, "metadata": {"name": format!("a-{}", uuid::Uuid::new_v4().simple())}}),
    );
    let api: Api<DynamicObject> = if spec["scope"] == "Namespaced" {
        Api::namespaced_with(client.clone(), "default", &resource)
    } else {
        Api::all_with(client.clone(), &resource)
    };
    let object: DynamicObject = serde_json::from_value(object).unwrap();
    let made = api.create(&PostParams::default(), &object).await.map_err(|error| format!("{}: {error}", gvk.kind))?;
    let read =
        api.get(made.metadata.name.as_deref().unwrap()).await.map_err(|error| format!("{}: {error}", gvk.kind))?;
    if read.data == made.data { Ok(()) } else { Err(format!("{}: read back as something else", gvk.kind)) }
}

#[tokio::test(flavor = "multi_thread")]
async fn published_definitions_are_accepted_and_an_object_of_each_kind_can_be_made() {
    let Some(modules) = modules() else {
        eprintln!("skipped: there is no go to download the definitions with");
        return;
    };
    let server = Server::in_memory().await.unwrap();
    let client = server.client(User::new("admin", &["system:masters"]));
    let api: Api<CustomResourceDefinition> = Api::all(client.clone());
    let (mut count, mut failures) = (0, Vec::new());
    for (folder, _) in modules {
        let found = definitions(&folder);
        assert!(!found.is_empty(), "{}", folder.display());
        for definition in found {
            count += 1;
            let typed = serde_json::from_value(definition.clone()).unwrap();
            let outcome = match api.create(&PostParams::default(), &typed).await {
                Ok(_) => create_one(&client, &definition).await,
                Err(error) => Err(format!("{}: {error}", definition["metadata"]["name"])),
            };
            failures.extend(outcome.err());
        }
    }
    assert!(count > 70, "{count} definitions were found");
    assert!(failures.is_empty(), "{} of {count}:\n{}", failures.len(), failures.join("\n\n"));
}
