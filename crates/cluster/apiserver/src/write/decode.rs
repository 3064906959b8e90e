//! Reads what a client sent as an object of its kind: type, place, fields. Here is what is
//! refused, and in which words; what is unknown is pruned and told.

use http::StatusCode;
use schema::{
    decode, fit, model,
    patch::{self, type_of},
    validate,
};
use serde_json::{Map, Value, json};

use super::{Call, PatchKind, Strictness, text};
use crate::{registry::Resource, server::Server, status::Failure};

/// Where the types of Kubernetes' own are registered, as its refusals name the place.
const SCHEME: &str = "pkg/runtime/scheme.go:111";
/// Kinds of the API itself, which every group knows.
const OF_THE_API: &[&str] = &[
    "Status",
    "DeleteOptions",
    "CreateOptions",
    "UpdateOptions",
    "PatchOptions",
    "ListOptions",
    "GetOptions",
    "WatchEvent",
];

/// Returns why a value that is no object has neither kind nor version.
pub(super) fn no_object(value: &Value) -> String {
    let head = "struct { APIVersion string \"json:\\\"apiVersion,omitempty\\\"\"; Kind string \"json:\\\"kind,omitempty\\\"\" }";
    format!("json: cannot unmarshal {} into Go value of type {head}", type_of(value))
}

/// Returns the package that holds a group's own form of its kinds.
pub(crate) fn hub(group: &str) -> &str {
    match group {
        "" | "events.k8s.io" => "core",
        group => group.split('.').next().unwrap_or_default(),
    }
}

/// Returns whether Kubernetes itself has such a kind.
fn is_known(api_version: &str, kind: &str) -> bool {
    let (group, version) = api_version.rsplit_once('/').unwrap_or(("", api_version));
    let package = if group == "events.k8s.io" { "events" } else { hub(group) };
    OF_THE_API.contains(&kind)
        || model::builtin(&format!("io.k8s.api.{package}.{version}.{kind}")).is_some()
        || model::builtin(&format!("io.k8s.apiextensions-apiserver.pkg.apis.{package}.{version}.{kind}")).is_some()
}

/// Returns why an object of this type is none of the kind that is asked for.
fn mistaken(resource: &Resource, api_version: &str, kind: &str) -> String {
    if is_known(api_version, kind) {
        let version = api_version.rsplit('/').next().unwrap_or_default();
        let hub = hub(&resource.gvk.group);
        return format!("converting ({version}.{kind}) to ({hub}.{}): unknown conversion", resource.gvk.kind);
    }
    format!("no kind {kind:?} is registered for version {api_version:?} in scheme {SCHEME:?}")
}

/// Returns the refusal of what a patch makes of an object.
fn unfit(shown: &str, why: &str) -> Failure {
    let message = format!("Invalid value: {}: {why}", Value::String(shown.to_owned()));
    Failure {
        details: json!({"causes": [{"reason": "FieldValueInvalid", "message": message, "field": "patch"}]}),
        ..Failure::new(StatusCode::UNPROCESSABLE_ENTITY, "Invalid", format!(" \"\" is invalid: patch: {message}"))
    }
}

/// An object, and what to warn of.
type Decoded = Result<(Value, Vec<String>), Failure>;

impl Server {
    /// Checks what a client sent against path and type; returns it pruned, with warnings.
    pub(crate) fn decode(call: Call<'_>, body: Value) -> Decoded {
        let Call { resource, options, .. } = call;
        let (kind, version) = (&resource.gvk.kind, &resource.gvk.version);
        let mut body = Self::typed(call, body)?;
        let handled = |why: String| {
            Failure::bad_request(format!(
                "{} in version {version:?} cannot be handled as a {kind}: {why}",
                text(&body, "kind")
            ))
        };
        if let Some(problem) = problem(resource, &body) {
            return Err(handled(problem));
        }
        let unknown = validate::unknown(&mut body, &resource.node, true);
        let wrong = options.sent.strictly(&unknown);
        if options.strictness == Strictness::Strict && !wrong.is_empty() {
            let why = options.sent.strict_error(&wrong);
            return Err(Failure::bad_request(format!(
                "{kind} in version {version:?} cannot be handled as a {kind}: {why}"
            )));
        }
        let warnings = warned(call, wrong);
        placed(call, &mut body).map_err(|failure| failure.warned(warnings.clone()))?;
        Ok((body, warnings))
    }

    /// Checks that a body is an object of the kind that is asked for.
    fn typed(call: Call<'_>, body: Value) -> Result<Value, Failure> {
        let Call { resource, options, .. } = call;
        let expected = resource.gvk.api_version();
        let unrecognized = |why: &str| {
            let kind = &resource.gvk.kind;
            let sent = options.sent.summary();
            Failure::bad_request(format!(
                "the object provided is unrecognized (must be of type {kind}): {why} ({sent})"
            ))
        };
        let mut map = match body {
            Value::Object(map) => map,
            Value::Null => Map::new(),
            other => {
                let why = no_object(&other);
                return Err(unrecognized(&format!("couldn't get version/kind; json parse error: {why}")));
            }
        };
        for name in ["apiVersion", "kind"] {
            if let Some(odd) = map.get(name).filter(|value| !value.is_string() && !value.is_null()) {
                let why = format!(
                    "couldn't get version/kind; json parse error: json: cannot unmarshal {} into Go struct field .{name} of type string",
                    type_of(odd)
                );
                return Err(unrecognized(&why));
            }
        }
        let said =
            |map: &Map<String, Value>, name: &str| map.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        let (api_version, kind) = (said(&map, "apiVersion"), said(&map, "kind"));
        if resource.custom && kind.is_empty() {
            return Err(unrecognized(&format!("Object 'Kind' is missing in '{}'", options.sent.text())));
        }
        if api_version.matches('/').count() > 1 {
            return Err(unrecognized(&format!("unexpected GroupVersion string: {api_version}")));
        }
        let own_version = api_version.is_empty() || api_version == expected;
        let own_kind = kind.is_empty() || kind == resource.gvk.kind;
        let own_group = api_version.rsplit_once('/').map_or("", |(group, _)| group) == resource.gvk.group;
        let other_version = own_kind && own_group && is_known(&api_version, &resource.gvk.kind);
        if !own_version && (resource.custom || other_version) {
            return Err(Failure::bad_request(format!(
                "the API version in the data ({api_version}) does not match the expected API version ({expected})"
            )));
        }
        if resource.custom && !own_kind {
            let name = map.get("metadata").map(|metadata| text(metadata, "name")).unwrap_or_default();
            return Err(other_kind(resource, &kind, name));
        }
        if !(own_version && own_kind) {
            let version = if api_version.is_empty() { expected.as_str() } else { api_version.as_str() };
            let kind = if kind.is_empty() { resource.gvk.kind.as_str() } else { kind.as_str() };
            let why = mistaken(resource, version, kind);
            return Err(Failure::bad_request(format!(
                "{kind} in version {:?} cannot be handled as a {}: {why}",
                version.rsplit('/').next().unwrap_or_default(),
                resource.gvk.kind
            )));
        }
        map.insert("apiVersion".into(), expected.into());
        map.insert("kind".into(), resource.gvk.kind.clone().into());
        if map.get("metadata").is_none_or(Value::is_null) {
            map.insert("metadata".into(), json!({}));
        }
        Ok(Value::Object(map))
    }

    /// Checks what a patch made of an object.
    pub(crate) fn decode_patched(call: Call<'_>, kind: PatchKind, patch: &Value, mut new: Value) -> Decoded {
        let Call { resource, options, .. } = call;
        let expected = resource.gvk.api_version();
        let shown = |new: &Value| if kind == PatchKind::Strategic { patch::go(patch) } else { new.to_string() };
        if kind == PatchKind::Strategic {
            if let Some(why) = decode::misfit(&new, &resource.node) {
                return Err(unfit(&shown(&new), &why));
            }
            new["apiVersion"] = expected.into();
            new["kind"] = resource.gvk.kind.clone().into();
        } else {
            let (api_version, found) = (text(&new, "apiVersion"), text(&new, "kind"));
            if resource.custom && api_version == expected && found != resource.gvk.kind && !found.is_empty() {
                return Err(other_kind(resource, found, &call.info.name));
            }
            let typed = api_version == expected && found == resource.gvk.kind;
            if !typed && !api_version.is_empty() && !found.is_empty() {
                return Err(unfit(&shown(&new), &mistaken(resource, api_version, found)));
            }
            if let Some(why) = problem(resource, &new) {
                return Err(unfit(&shown(&new), &why));
            }
            new["apiVersion"] = expected.into();
            new["kind"] = resource.gvk.kind.clone().into();
        }
        let before = shown(&new);
        if new["metadata"].is_null() {
            new["metadata"] = json!({});
        }
        let unknown = validate::unknown(&mut new, &resource.node, true);
        let mut wrong = if kind == PatchKind::Json { of_operations(patch, &options.sent.twice()) } else { Vec::new() };
        wrong.extend(if kind == PatchKind::Json {
            unknown.iter().map(|path| format!("unknown field {path:?}")).collect()
        } else {
            options.sent.strictly(&unknown)
        });
        if options.strictness == Strictness::Strict && !wrong.is_empty() {
            return Err(unfit(&before, &options.sent.strict_error(&wrong)));
        }
        let warnings = warned(call, wrong);
        placed(call, &mut new).map_err(|failure| failure.warned(warnings.clone()))?;
        Ok((new, warnings))
    }

    /// Checks what is to be applied.
    pub(crate) fn decode_applied(call: Call<'_>, mut body: Value) -> Result<Value, Failure> {
        let Call { resource, options, .. } = call;
        if let Some(why) = options.sent.repeats().filter(|_| options.strictness == Strictness::Strict) {
            let why = format!("error strict decoding YAML: error converting YAML to JSON: {why}");
            return Err(Failure::bad_request(why));
        }
        if !body.is_object() && !body.is_null() {
            return Err(Failure::bad_request(format!(
                "error decoding YAML: error unmarshaling JSON: while decoding JSON: json: cannot unmarshal {} into Go value of type map[string]interface {{}}",
                type_of(&body)
            )));
        }
        let (api_version, kind) = (text(&body, "apiVersion").to_owned(), text(&body, "kind").to_owned());
        if api_version != resource.gvk.api_version() || kind != resource.gvk.kind {
            let shown = if api_version.contains('/') { api_version } else { format!("/{api_version}") };
            return Err(Failure::bad_request(format!("invalid object type: {shown}, Kind={kind}")));
        }
        if !body["metadata"].is_object() {
            body["metadata"] = json!({});
        }
        if body["metadata"]["managedFields"].as_array().is_some_and(|owners| !owners.is_empty()) {
            return Err(Failure::bad_request("metadata.managedFields must be nil"));
        }
        let place =
            |body: &Value| format!("{}/{}", text(&body["metadata"], "namespace"), text(&body["metadata"], "name"));
        let place = place(&body);
        if text(&body["metadata"], "name").is_empty() {
            body["metadata"]["name"] = call.info.name.clone().into();
        }
        placed(call, &mut body)?;
        // As it was sent: what the path fills in is not in the sentence.
        if let Some(why) = fit::unfit(&body, &resource.node) {
            let version = resource.gvk.api_version();
            let sentence = format!("failed to create typed patch object ({place}; {version}, Kind={kind}): {why}");
            return Err(Failure::unreasoned(sentence));
        }
        Ok(body)
    }
}

/// Returns why an object cannot be one of its kind: of a custom one, its metadata alone has a type.
fn problem(resource: &Resource, object: &Value) -> Option<String> {
    if !resource.custom {
        return decode::problem(object, &resource.node, &resource.gvk.kind);
    }
    let node = model::builtin("io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta")?;
    let metadata = &object["metadata"];
    if !metadata.is_object() && !metadata.is_null() {
        return Some(format!("json: cannot unmarshal {} into Go value of type v1.ObjectMeta", type_of(metadata)));
    }
    decode::problem(metadata, node, "ObjectMeta")
}

fn other_kind(resource: &Resource, kind: &str, name: &str) -> Failure {
    let message = format!("Invalid value: {kind:?}: must be {}", resource.gvk.kind);
    Failure {
        details: json!({"name": name, "group": resource.gvk.group, "kind": kind,
            "causes": [{"reason": "FieldValueInvalid", "message": message, "field": "kind"}]}),
        ..Failure::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "Invalid",
            format!("{kind}.{} {name:?} is invalid: kind: {message}", resource.gvk.group),
        )
    }
}

/// Returns what to warn of, if the client wants to know.
fn warned(call: Call<'_>, wrong: Vec<String>) -> Vec<String> {
    if call.options.strictness == Strictness::Ignore { Vec::new() } else { wrong }
}

/// Returns what to warn of whoever applies something: what it says twice.
pub(super) fn told_twice(call: Call<'_>) -> Vec<String> {
    warned(call, call.options.sent.strictly(&[]))
}

/// What is unknown or said twice in the operations of a JSON patch.
fn of_operations(patch: &Value, twice: &[String]) -> Vec<String> {
    let mut wrong: Vec<String> = twice.iter().map(|path| format!("json patch duplicate field {path:?}")).collect();
    for (index, operation) in patch.as_array().into_iter().flatten().enumerate() {
        let fields = operation.as_object().into_iter().flatten().map(|(name, _)| name);
        let odd = fields.filter(|name| !matches!(name.as_str(), "op" | "path" | "from" | "value"));
        wrong.extend(odd.map(|name| format!("json patch unknown field \"[{index}].{name}\"")));
    }
    wrong
}

/// Checks that an object names the place that it is sent to; what it leaves out is filled in.
fn placed(call: Call<'_>, body: &mut Value) -> Result<(), Failure> {
    let Call { resource, info, .. } = call;
    let metadata = &mut body["metadata"];
    if !info.name.is_empty() && info.verb != "create" {
        let name = text(metadata, "name");
        if name.is_empty() {
            return Err(Failure::bad_request(format!(
                "the name of the object ({} based on URL) was undeterminable: name must be provided",
                info.name
            )));
        } else if name != info.name {
            return Err(Failure::bad_request(format!(
                "the name of the object ({name}) does not match the name on the URL ({})",
                info.name
            )));
        }
    }
    if resource.namespaced {
        let namespace = text(metadata, "namespace");
        if namespace.is_empty() {
            metadata["namespace"] = info.namespace.clone().into();
        } else if namespace != info.namespace {
            return Err(Failure::bad_request(
                "the namespace of the provided object does not match the namespace sent on the request",
            ));
        }
    } else if let Some(metadata) = metadata.as_object_mut() {
        metadata.remove("namespace");
    }
    Ok(())
}
