//! The paths of a kind and what can be done there, as both versions of OpenAPI write it.
//! What is listed is what is served; a parameter that nothing acts on is not listed.

use schema::openapi::published::Version;
use serde_json::{Map, Value, json};

use super::types::{META, Types, builtin_name, gvk, name_of_list};
use crate::{discovery::of_subresource, registry::Resource};

/// Parameters of the query, with their types.
const PARAMETERS: &[(&str, &str)] = &[
    ("allowWatchBookmarks", "boolean"),
    ("continue", "string"),
    ("dryRun", "string"),
    ("fieldManager", "string"),
    ("fieldSelector", "string"),
    ("fieldValidation", "string"),
    ("force", "boolean"),
    ("gracePeriodSeconds", "integer"),
    ("labelSelector", "string"),
    ("limit", "integer"),
    ("orphanDependents", "boolean"),
    ("pretty", "string"),
    ("propagationPolicy", "string"),
    ("resourceVersion", "string"),
    ("resourceVersionMatch", "string"),
    ("sendInitialEvents", "boolean"),
    ("timeoutSeconds", "integer"),
    ("watch", "boolean"),
];

const LIST: &[&str] = &[
    "allowWatchBookmarks",
    "continue",
    "fieldSelector",
    "labelSelector",
    "limit",
    "resourceVersion",
    "resourceVersionMatch",
    "sendInitialEvents",
    "timeoutSeconds",
    "watch",
];
const DELETE_COLLECTION: &[&str] = &[
    "continue",
    "dryRun",
    "fieldSelector",
    "gracePeriodSeconds",
    "labelSelector",
    "limit",
    "orphanDependents",
    "propagationPolicy",
    "resourceVersion",
    "resourceVersionMatch",
    "timeoutSeconds",
];
const DELETE: &[&str] = &["dryRun", "gracePeriodSeconds", "orphanDependents", "propagationPolicy"];
const WRITE: &[&str] = &["dryRun", "fieldManager", "fieldValidation"];
const PATCH: &[&str] = &["dryRun", "fieldManager", "fieldValidation", "force"];

const JSON: &str = "application/json";
const STREAM: &str = "application/json;stream=watch";

/// One thing that can be done at a path.
struct Operation {
    method: &'static str,
    /// What `x-kubernetes-action` says.
    action: &'static str,
    id: String,
    parameters: &'static [&'static str],
    /// The type of the body, and whether there must be one.
    body: Option<(String, bool)>,
    consumes: &'static [&'static str],
    /// The type of the answer; a text if it has none.
    answer: Option<String>,
    codes: &'static [u16],
    kind: Value,
}

/// Returns the parameters that a document of version 2 refers to.
pub(super) fn shared_parameters() -> Value {
    let shared: Map<String, Value> =
        PARAMETERS.iter().map(|(name, kind)| ((*name).to_owned(), parameter(name, kind))).collect();
    let mut shared = shared;
    let place =
        |name: &str| json!({"name": name, "in": "path", "required": true, "type": "string", "uniqueItems": true});
    for name in ["name", "namespace"] {
        shared.insert(name.to_owned(), place(name));
    }
    shared.into()
}

fn parameter(name: &str, kind: &str) -> Value {
    json!({"name": name, "in": "query", "type": kind, "uniqueItems": true})
}

/// Returns the paths of a kind.
pub(super) fn paths(resource: &Resource, types: &mut Types<'_>, version: Version) -> Vec<(String, Value)> {
    let own = types.kind(resource);
    let gv = &resource.gvk;
    let root = if gv.group.is_empty() { format!("/api/{}", gv.version) } else { format!("/apis/{}", gv.api_version()) };
    let base = if resource.namespaced {
        format!("{root}/namespaces/{{namespace}}/{}", resource.plural)
    } else {
        format!("{root}/{}", resource.plural)
    };
    let scope = if resource.namespaced { "Namespaced" } else { "" };
    let can = |verb: &str| resource.verbs.contains(&verb);
    let mut write = |path: &str, operations: Vec<Operation>| -> Option<(String, Value)> {
        (!operations.is_empty()).then(|| (path.to_owned(), item(path, resource, operations, types, version)))
    };
    let mut out = Vec::new();
    if resource.namespaced && can("list") {
        let id = format!("list{}{}ForAllNamespaces", prefix(resource), gv.kind);
        out.extend(write(
            &format!("{root}/{}", resource.plural),
            vec![Operation { id, ..verb("list", resource, &own) }],
        ));
    }
    for (path, verbs) in [
        (base.clone(), &["list", "create", "deletecollection"][..]),
        (format!("{base}/{{name}}"), &["get", "update", "patch", "delete"][..]),
    ] {
        let operations = verbs.iter().filter(|name| can(name)).map(|name| {
            let collection = if *name == "deletecollection" { "Collection" } else { "" };
            let id = format!("{}{}{collection}{scope}{}", word(name), prefix(resource), gv.kind);
            Operation { id, ..verb(name, resource, &own) }
        });
        out.extend(write(&path, operations.collect()));
    }
    for (name, subresource) in &resource.subresources {
        let (group, sub_version, kind, verbs) = of_subresource(resource, subresource);
        let of_itself = (group, sub_version, kind) == (gv.group.as_str(), gv.version.as_str(), gv.kind.as_str());
        let published = builtin_name(group, sub_version, kind);
        let known = of_itself || schema::model::builtin(&published).is_some();
        let taken = if of_itself { &own } else { &published };
        let operations = verbs.iter().map(|method| {
            let id = format!("{}{}{scope}{}{}", word(method), prefix(resource), gv.kind, capital(name));
            let operation = Operation {
                id,
                kind: json!({"group": group, "version": sub_version, "kind": kind}),
                ..verb(method, resource, taken)
            };
            // What answers with no object of its own answers with a text.
            let text = !known || (*name == "log" && *method == "get");
            if text { Operation { answer: None, body: None, ..operation } } else { operation }
        });
        out.extend(write(&format!("{base}/{{name}}/{name}"), operations.collect()));
    }
    out
}

/// Returns what a verb does to objects of type `own`; its id is left empty.
fn verb(name: &str, resource: &Resource, own: &str) -> Operation {
    let status = || Some(format!("{META}.Status"));
    let options = || Some((format!("{META}.DeleteOptions"), false));
    let object = || Some((own.to_owned(), true));
    let any: &[&str] = if resource.custom { &[JSON, "application/yaml"] } else { &["*/*"] };
    let patches: &[&str] = if resource.custom {
        &["application/json-patch+json", "application/merge-patch+json", "application/apply-patch+yaml"]
    } else {
        &[
            "application/json-patch+json",
            "application/merge-patch+json",
            "application/strategic-merge-patch+json",
            "application/apply-patch+yaml",
        ]
    };
    let plain = Operation {
        method: "get",
        action: "get",
        id: String::new(),
        parameters: &[],
        body: None,
        consumes: any,
        answer: Some(own.to_owned()),
        codes: &[200],
        kind: gvk(&resource.gvk, &resource.gvk.kind),
    };
    match name {
        "list" => Operation { action: "list", parameters: LIST, answer: Some(name_of_list(resource)), ..plain },
        "create" => Operation {
            method: "post",
            action: "post",
            parameters: WRITE,
            body: object(),
            codes: &[200, 201, 202],
            ..plain
        },
        "update" => {
            Operation { method: "put", action: "put", parameters: WRITE, body: object(), codes: &[200, 201], ..plain }
        }
        "patch" => Operation {
            method: "patch",
            action: "patch",
            parameters: PATCH,
            body: Some((format!("{META}.Patch"), true)),
            consumes: patches,
            codes: &[200, 201],
            ..plain
        },
        "delete" => Operation {
            method: "delete",
            action: "delete",
            parameters: DELETE,
            body: options(),
            answer: if resource.returns_deleted { plain.answer } else { status() },
            codes: &[200, 202],
            ..plain
        },
        "deletecollection" => Operation {
            method: "delete",
            action: "deletecollection",
            parameters: DELETE_COLLECTION,
            body: options(),
            answer: status(),
            ..plain
        },
        _ => plain,
    }
}

/// Returns the word that an operation's id begins with.
fn word(verb: &str) -> &str {
    match verb {
        "get" => "read",
        "update" => "replace",
        "deletecollection" => "delete",
        other => other,
    }
}

fn capital(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

/// Returns group and version as the names of operations have them, for example `RbacAuthorizationV1`.
fn prefix(resource: &Resource) -> String {
    format!(
        "{}{}",
        group_words(resource).iter().map(|word| capital(word)).collect::<String>(),
        capital(&resource.gvk.version)
    )
}

fn group_words(resource: &Resource) -> Vec<&str> {
    let group = resource.gvk.group.as_str();
    match group {
        "" => vec!["core"],
        _ => group.strip_suffix(".k8s.io").unwrap_or(group).split('.').collect(),
    }
}

fn tag(resource: &Resource) -> String {
    let words = group_words(resource);
    let rest: String = words[1..].iter().map(|word| capital(word)).collect();
    format!("{}{rest}_{}", words[0], resource.gvk.version)
}

/// Returns what stands at a path.
fn item(path: &str, resource: &Resource, operations: Vec<Operation>, types: &mut Types<'_>, version: Version) -> Value {
    let mut of_path: Vec<&str> = vec!["pretty"];
    of_path.extend(["name", "namespace"].into_iter().filter(|name| path.contains(&format!("{{{name}}}"))));
    let parameters: Vec<Value> = of_path.iter().map(|name| named(name, version)).collect();
    let mut item = json!({"parameters": parameters});
    for operation in operations {
        let mut parameters: Vec<Value> = operation.parameters.iter().map(|name| named(name, version)).collect();
        let answer = operation.answer.as_deref().map_or_else(|| json!({"type": "string"}), |name| types.refer(name));
        let streams = operation.action == "list";
        let mut responses = Map::new();
        for code in operation.codes {
            let said = match code {
                200 => "OK",
                201 => "Created",
                _ => "Accepted",
            };
            let response = match version {
                Version::V2 => json!({"description": said, "schema": answer}),
                Version::V3 => {
                    let mut content = json!({JSON: {"schema": answer}});
                    if streams {
                        content[STREAM] = json!({"schema": answer});
                    }
                    json!({"description": said, "content": content})
                }
            };
            responses.insert(code.to_string(), response);
        }
        responses.insert("401".to_owned(), json!({"description": "Unauthorized"}));
        let mut written = json!({"operationId": operation.id, "tags": [tag(resource)], "responses": responses,
            "x-kubernetes-action": operation.action, "x-kubernetes-group-version-kind": operation.kind});
        if version == Version::V2 {
            written["consumes"] = json!(operation.consumes);
            written["produces"] = if streams { json!([JSON, STREAM]) } else { json!([JSON]) };
            written["schemes"] = json!(["https"]);
        }
        if let Some((name, required)) = operation.body {
            let schema = types.refer(&name);
            match version {
                Version::V2 => {
                    let mut body = json!({"name": "body", "in": "body", "schema": schema});
                    if required {
                        body["required"] = true.into();
                    }
                    parameters.insert(0, body);
                }
                Version::V3 => {
                    let content: Map<String, Value> = operation
                        .consumes
                        .iter()
                        .map(|media| ((*media).to_owned(), json!({"schema": schema})))
                        .collect();
                    written["requestBody"] = json!({"content": content});
                    if required {
                        written["requestBody"]["required"] = true.into();
                    }
                }
            }
        }
        if !parameters.is_empty() {
            written["parameters"] = parameters.into();
        }
        item[operation.method] = written;
    }
    item
}

/// Returns a parameter by its name.
fn named(name: &str, version: Version) -> Value {
    if version == Version::V2 {
        return json!({"$ref": format!("#/parameters/{name}")});
    }
    match PARAMETERS.iter().find(|(known, _)| *known == name) {
        Some((_, kind)) => json!({"name": name, "in": "query", "schema": {"type": kind, "uniqueItems": true}}),
        None => {
            json!({"name": name, "in": "path", "required": true, "schema": {"type": "string", "uniqueItems": true}})
        }
    }
}
