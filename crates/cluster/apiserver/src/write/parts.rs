//! The decisions of a write, as functions of values: what a client may change, what is
//! the server's own, which rules every object's metadata follows. Nothing here reads or
//! writes the store.

use std::collections::BTreeMap;

use http::StatusCode;
use schema::{apply, patch, validate};
use serde_json::{Map, Value, json};

use crate::{
    registry::{ALL_METADATA, Resource},
    request::Info,
    status::Failure,
};

pub(super) fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_default()
}

pub(super) fn finalizers(object: &Value) -> Vec<String> {
    object["metadata"]["finalizers"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .map(str::to_owned)
        .collect()
}

pub(crate) fn changed_meanwhile(resource: &Resource, name: &str) -> Failure {
    Failure::conflict(
        resource,
        name,
        "the object has been modified; please apply your changes to the latest version and try again",
    )
}

pub(crate) fn patch_failure(resource: &Resource, name: &str, error: &patch::Error) -> Failure {
    let sentence = error.to_string();
    match error {
        patch::Error::Malformed(_) => return Failure::bad_request(sentence),
        patch::Error::Senseless(_) => return Failure::unreasoned(sentence),
        patch::Error::TooMany(_) => {
            let sentence = format!("Request entity too large: {sentence}");
            return Failure::new(StatusCode::PAYLOAD_TOO_LARGE, "RequestEntityTooLarge", sentence);
        }
        patch::Error::Operation { why } => {
            // Kubernetes' own sentence does not say which operation; the log does.
            tracing::debug!(kind = resource.qualified(), name, reason = why, "a patch could not be applied");
        }
        patch::Error::CopiesTooMuch { .. } => {
            tracing::debug!(kind = resource.qualified(), name, reason = sentence, "a patch could not be applied");
        }
    }
    let sentence = "the server rejected our request due to an error in our request";
    Failure { details: json!({}), ..Failure::new(StatusCode::UNPROCESSABLE_ENTITY, "Invalid", sentence) }
}

pub(crate) fn apply_conflict(conflicts: &[apply::Conflict]) -> Failure {
    let message = match conflicts {
        [one] => format!("Apply failed with 1 conflict: conflict with {}: {}", one.owner, one.field),
        _ => {
            let mut by_owner: BTreeMap<&str, Vec<String>> = BTreeMap::new();
            for conflict in conflicts {
                by_owner.entry(&conflict.owner).or_default().push(format!("\n- {}", conflict.field));
            }
            let each =
                by_owner.into_iter().map(|(owner, fields)| format!("conflicts with {owner}:{}", fields.concat()));
            format!("Apply failed with {} conflicts: {}", conflicts.len(), each.collect::<Vec<_>>().join("\n"))
        }
    };
    let causes: Vec<Value> = conflicts
        .iter()
        .map(|conflict| json!({"reason": "FieldManagerConflict", "message": format!("conflict with {}", conflict.owner), "field": conflict.field}))
        .collect();
    Failure { details: json!({"causes": causes}), ..Failure::new(StatusCode::CONFLICT, "Conflict", message) }
}

/// Gives an object without a name one from `generateName`; returns whether it did.
pub(super) fn name_it(resource: &Resource, object: &mut Value) -> Result<bool, Failure> {
    if !text(&object["metadata"], "name").is_empty() {
        return Ok(false);
    }
    let prefix: String = text(&object["metadata"], "generateName").chars().take(58).collect();
    if prefix.is_empty() {
        let cause = validate::Cause::required("metadata.name", "name or generateName is required");
        return Err(Failure::invalid(resource, "", &[cause]));
    }
    object["metadata"]["name"] = format!("{prefix}{}", random_suffix()).into();
    Ok(true)
}

/// Five characters that neither form words nor are mistaken for each other.
pub(crate) fn random_suffix() -> String {
    const ALPHABET: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
    uuid::Uuid::new_v4().as_bytes()[..5].iter().map(|byte| ALPHABET[*byte as usize % ALPHABET.len()] as char).collect()
}

pub(super) fn prepare_new(resource: &Resource, object: &mut Value, now: &str) {
    if resource.has_status()
        && let Some(map) = object.as_object_mut()
    {
        map.remove("status");
    }
    if let Some(metadata) = object["metadata"].as_object_mut() {
        for name in [
            "resourceVersion",
            "deletionTimestamp",
            "deletionGracePeriodSeconds",
            "selfLink",
            "managedFields",
            "generation",
        ] {
            metadata.remove(name);
        }
        metadata.insert("uid".into(), uuid::Uuid::new_v4().to_string().into());
        metadata.insert("creationTimestamp".into(), now.into());
        if resource.generation {
            metadata.insert("generation".into(), 1.into());
        }
        metadata.retain(|_, value| !value.is_null());
    }
}

/// Of an apply configuration, the part that the addressed resource takes.
pub(super) fn part_of(resource: &Resource, info: &Info, mut config: Value) -> Value {
    if let Some(map) = config.as_object_mut() {
        if matches!(info.subresource.as_str(), "status" | "approval") {
            map.retain(|name, _| matches!(name.as_str(), "apiVersion" | "kind" | "metadata" | "status"));
        } else if resource.has_status() {
            map.remove("status");
        }
    }
    if let Some(metadata) = config["metadata"].as_object_mut() {
        metadata.remove("managedFields");
    }
    config
}

/// Puts together what a write to this (sub)resource may change and what it leaves as it was.
pub(super) fn reset(resource: &Resource, info: &Info, old: &Value, mut new: Value) -> Value {
    let owners = |new: &mut Value| new["metadata"]["managedFields"].take();
    match info.subresource.as_str() {
        "status" => {
            let mut merged = old.clone();
            merged["status"] = new["status"].take();
            if merged["status"].is_null() {
                merged.as_object_mut().map(|map| map.remove("status"));
            }
            merged["metadata"]["managedFields"] = owners(&mut new);
            for name in ALL_METADATA.iter().filter(|name| !resource.status_keeps.contains(name)) {
                put(&mut merged["metadata"], name, new["metadata"][*name].take());
            }
            (resource.rules.settle)(old, &mut merged, "status");
            merged
        }
        "approval" => {
            let mut merged = old.clone();
            merged["status"]["conditions"] = new["status"]["conditions"].take();
            merged["metadata"]["managedFields"] = owners(&mut new);
            for name in ALL_METADATA.iter().filter(|name| !resource.status_keeps.contains(name)) {
                put(&mut merged["metadata"], name, new["metadata"][*name].take());
            }
            (resource.rules.settle)(old, &mut merged, "approval");
            merged
        }
        "finalize" => {
            let mut merged = old.clone();
            merged["spec"]["finalizers"] = new["spec"]["finalizers"].take();
            if merged["spec"]["finalizers"].is_null() {
                merged["spec"]["finalizers"] = json!([]);
            }
            merged["metadata"]["managedFields"] = owners(&mut new);
            merged
        }
        // A binding changes what its handler sets, in spec and status.
        "binding" => new,
        _ => {
            if resource.has_status() {
                put(&mut new, "status", old.get("status").cloned().unwrap_or_default());
            }
            new
        }
    }
}

fn put(place: &mut Value, name: &str, value: Value) {
    let Some(map) = place.as_object_mut() else { return };
    if value.is_null() {
        map.remove(name);
    } else {
        map.insert(name.to_owned(), value);
    }
}

/// Returns an object of a version that is not the stored one as it is read after it was written: what the stored form
/// adds is there.
pub(super) fn stored_and_shown(resource: &Resource, object: &Value) -> Option<Value> {
    resource.conversion?;
    Some(at_version(resource, to_storage(resource, object.clone())))
}

/// An update of what must not be overwritten unseen has to say what it saw.
pub(super) fn unconditional(resource: &Resource, name: &str) -> Failure {
    let cause = validate::Cause::invalid("metadata.resourceVersion", &json!(0), "must be specified for an update");
    let mut failure = Failure::invalid(resource, name, std::slice::from_ref(&cause));
    // Named as the resource, where others are named as the kind.
    failure.message = format!("{} {name:?} is invalid: {}: {}", resource.qualified(), cause.field, cause.message);
    failure.details["kind"] = resource.plural.clone().into();
    failure
}

/// Checks that a write means the object that is there.
pub(crate) fn same_object(resource: &Resource, info: &Info, old: &Value, new: &Value) -> Result<(), Failure> {
    let (uid, found) = (text(&new["metadata"], "uid"), text(&old["metadata"], "uid"));
    if uid.is_empty() || uid == found {
        return Ok(());
    }
    // Of a patched object it is looked at with the rest of its metadata.
    if info.verb == "patch" && info.subresource != "scale" {
        return Ok(());
    }
    // Definitions and what they define are kept by a server of their own.
    let root = match resource.gvk.group.as_str() {
        group if resource.custom => format!("registry/{group}"),
        group if resource.defines_kinds => group.to_owned(),
        _ => "registry".to_owned(),
    };
    let space = if info.namespace.is_empty() { String::new() } else { format!("{}/", info.namespace) };
    let key = format!("/{root}/{}/{space}{}", resource.plural, info.name);
    let why = format!(
        "StorageError: invalid object, Code: 4, Key: {key}, ResourceVersion: 0, AdditionalErrorMsg: Precondition failed: UID in precondition: {uid}, UID in object meta: {found}"
    );
    Err(Failure::conflict(resource, &info.name, &why))
}

/// What a client can never change of an object's metadata.
pub(super) fn keep_identity(resource: &Resource, info: &Info, old: &Value, new: &mut Value) -> Result<(), Failure> {
    same_object(resource, info, old, new)?;
    let Some(metadata) = new["metadata"].as_object_mut() else { return Ok(()) };
    if metadata.get("uid").is_none_or(|uid| uid.as_str().is_none_or(str::is_empty)) {
        metadata.insert("uid".to_owned(), old["metadata"]["uid"].clone());
    }
    for name in [
        "creationTimestamp",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
        "generation",
        "resourceVersion",
        "selfLink",
    ] {
        match old["metadata"].get(name) {
            Some(value) => metadata.insert(name.to_owned(), value.clone()),
            None => metadata.remove(name),
        };
    }
    Ok(())
}

/// Returns whether anything but metadata and status changed.
pub(crate) fn spec_changed(old: &Value, new: &Value) -> bool {
    let without = |value: &Value| -> Map<String, Value> {
        value
            .as_object()
            .into_iter()
            .flatten()
            .filter(|(name, _)| !matches!(name.as_str(), "metadata" | "status"))
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect()
    };
    without(old) != without(new)
}

/// Returns whether an object that is being deleted has nothing left to wait for.
pub(super) fn is_finished(resource: &Resource, object: &Value) -> bool {
    !object["metadata"]["deletionTimestamp"].is_null()
        && finalizers(object).is_empty()
        && object["spec"]["finalizers"].as_array().is_none_or(Vec::is_empty)
        && (!resource.graceful || object["metadata"]["deletionGracePeriodSeconds"] == 0)
}

/// Returns whether nothing changed but the times of ownership.
pub(super) fn same(old: &Value, new: &Value) -> bool {
    let timeless = |value: &Value| {
        let mut value = value.clone();
        for owner in value["metadata"]["managedFields"].as_array_mut().into_iter().flatten() {
            owner.as_object_mut().map(|owner| owner.remove("time"));
        }
        value
    };
    old == new || timeless(old) == timeless(new)
}

/// Returns a stored object as the version that is asked for shows it.
pub(crate) fn at_version(resource: &Resource, mut object: Value) -> Value {
    if resource.defaults {
        validate::default(&mut object, &resource.node);
    }
    if object["apiVersion"] == resource.api_version.as_str() {
        return object;
    }
    if let Some(conversion) = resource.conversion {
        return (conversion.read)(object);
    }
    object["apiVersion"] = resource.api_version.clone().into();
    object
}

/// Returns an object as it is stored.
pub(crate) fn to_storage(resource: &Resource, mut object: Value) -> Value {
    if let Some(conversion) = resource.conversion {
        return (conversion.write)(object);
    }
    if resource.storage.version != resource.gvk.version {
        object["apiVersion"] = format!("{}/{}", resource.gvk.group, resource.storage.version).into();
    }
    object
}
