//! The rules that the metadata of every object follows, of built-in and custom kinds alike.

use schema::validate::Cause;
use serde_json::{Value, json};

use super::parts::text;
use crate::{
    builtin::rules::check::{Causes, LABEL, SUBDOMAIN, entries, invalid, labels, list, qualified, qualified_name},
    registry::{NameRule, Resource},
};

/// The most that all annotations hold together, in bytes.
const MOST_ANNOTATIONS: usize = 256 << 10;

/// What is wrong with an object's name.
fn name_rules(rule: NameRule, name: &str) -> Option<&'static str> {
    match rule {
        NameRule::Subdomain if name.len() > 253 => Some("must be no more than 253 characters"),
        NameRule::Subdomain => (!base::names::is_dns_subdomain(name)).then_some(SUBDOMAIN),
        NameRule::Label if name.contains('.') => Some("must not contain dots"),
        NameRule::Label if name.len() > 63 => Some("must be no more than 63 characters"),
        NameRule::Label => (!base::names::is_dns_label(name)).then_some(LABEL),
        NameRule::Segment => match name {
            "." => Some("may not be '.'"),
            ".." => Some("may not be '..'"),
            _ if name.contains('/') => Some("may not contain '/'"),
            _ if name.contains('%') => Some("may not contain '%'"),
            _ => None,
        },
    }
}

/// Returns what is wrong with the metadata of a new (`old` is `None`) or changed object.
pub(super) fn rules(resource: &Resource, object: &Value, old: Option<&Value>) -> Causes {
    let metadata = &object["metadata"];
    let mut causes = Vec::new();
    if old.is_none() {
        let prefix = text(metadata, "generateName");
        // What follows a dash at the end makes it one in the middle.
        let whole = if prefix.len() > 1 && prefix.ends_with('-') {
            format!("{}a", &prefix[..prefix.len() - 2])
        } else {
            prefix.to_owned()
        };
        if let Some(why) = name_rules(resource.name, &whole).filter(|_| !prefix.is_empty()) {
            invalid("metadata.generateName", &metadata["generateName"], why, &mut causes);
        }
        if let Some(why) = name_rules(resource.name, text(metadata, "name")) {
            invalid("metadata.name", &metadata["name"], why, &mut causes);
        }
    }
    if old.is_some_and(|old| old["metadata"]["uid"] != metadata["uid"]) {
        // The store and the kind both look at it.
        for _ in 0..2 {
            invalid("metadata.uid", &metadata["uid"], "field is immutable", &mut causes);
        }
    }
    labels(&metadata["labels"], "metadata.labels", &mut causes);
    annotations(metadata, &mut causes);
    owners(metadata, &mut causes);
    finalizers(resource, metadata, old, &mut causes);
    causes
}

/// Returns what is wrong with the metadata of an object within another.
pub(crate) fn embedded_metadata(metadata: &Value) -> Causes {
    let mut causes = Vec::new();
    let prefix = text(metadata, "generateName").trim_end_matches('-');
    for (name, found) in [("generateName", prefix), ("name", text(metadata, "name"))] {
        if let Some(why) = name_rules(NameRule::Segment, found) {
            invalid(format!("metadata.{name}"), &metadata[name], why, &mut causes);
        }
    }
    let namespace = text(metadata, "namespace");
    if let Some(why) = name_rules(NameRule::Label, namespace).filter(|_| !namespace.is_empty()) {
        invalid("metadata.namespace", &metadata["namespace"], why, &mut causes);
    }
    labels(&metadata["labels"], "metadata.labels", &mut causes);
    annotations(metadata, &mut causes);
    owners(metadata, &mut causes);
    causes
}

fn annotations(metadata: &Value, causes: &mut Causes) {
    for (key, _) in entries(metadata, "annotations") {
        for why in qualified(&key.to_lowercase()) {
            invalid("metadata.annotations", &json!(key), &why, causes);
        }
    }
    let total: usize =
        entries(metadata, "annotations").map(|(key, value)| key.len() + value.as_str().map_or(0, str::len)).sum();
    if total > MOST_ANNOTATIONS {
        causes.push(Cause {
            reason: "FieldValueTooLong",
            message: format!("Too long: may not be more than {MOST_ANNOTATIONS} bytes"),
            field: "metadata.annotations".into(),
        });
    }
}

fn owners(metadata: &Value, causes: &mut Causes) {
    let mut first = String::new();
    for owner in list(metadata, "ownerReferences") {
        for (name, why) in [
            ("apiVersion", "version must not be empty"),
            ("kind", "must not be empty"),
            ("name", "must not be empty"),
            ("uid", "must not be empty"),
        ] {
            if text(owner, name).is_empty() {
                invalid(format!("metadata.ownerReferences.{name}"), &json!(""), why, causes);
            }
        }
        if owner["kind"] == "Event" && owner["apiVersion"] == "v1" {
            let message =
                format!("Invalid value: {}: /v1, Kind=Event is disallowed from being an owner", as_written(owner));
            let field = "metadata.ownerReferences".to_owned();
            causes.push(Cause { reason: "FieldValueInvalid", message, field });
        }
        if owner["controller"] != true {
            continue;
        }
        let shown = format!("{}/{}", text(owner, "kind"), text(owner, "name"));
        if first.is_empty() {
            first = shown;
        } else {
            let why = format!(
                "Only one reference can have Controller set to true. Found \"true\" in references for {first} and {shown}"
            );
            let all: Vec<String> = list(metadata, "ownerReferences").iter().map(as_written).collect();
            let message = format!("Invalid value: [{}]: {why}", all.join(","));
            let field = "metadata.ownerReferences".to_owned();
            causes.push(Cause { reason: "FieldValueInvalid", message, field });
        }
    }
}

/// An owner with its fields in the order of Kubernetes' own type.
fn as_written(owner: &Value) -> String {
    let fields = ["apiVersion", "kind", "name", "uid", "controller", "blockOwnerDeletion"];
    let fields = fields.iter().filter(|name| !owner[**name].is_null());
    format!("{{{}}}", fields.map(|name| format!("{name:?}:{}", owner[*name])).collect::<Vec<_>>().join(","))
}

fn finalizers(resource: &Resource, metadata: &Value, old: Option<&Value>, causes: &mut Causes) {
    let given = list(metadata, "finalizers");
    for name in given {
        qualified_name(name, "metadata.finalizers", causes);
    }
    for (index, name) in given.iter().enumerate() {
        let known = matches!(name.as_str(), Some("kubernetes" | "orphan" | "foregroundDeletion"));
        if !resource.custom
            && !resource.defines_kinds
            && !known
            && !name.as_str().is_some_and(|name| name.contains('/'))
        {
            let why = "name is neither a standard finalizer name nor is it fully qualified";
            invalid(format!("metadata.finalizers[{index}]"), name, why, causes);
        }
    }
    let Some(old) = old.filter(|old| !old["metadata"]["deletionTimestamp"].is_null()) else { return };
    let before = list(&old["metadata"], "finalizers");
    let mut new: Vec<&str> = given.iter().filter(|name| !before.contains(name)).filter_map(Value::as_str).collect();
    if !new.is_empty() {
        new.sort_unstable();
        let names = new.iter().map(|name| format!("{name:?}")).collect::<Vec<_>>().join(", ");
        let why = format!(
            "no new finalizers can be added if the object is being deleted, found new finalizers []string{{{names}}}"
        );
        // The store and the kind both look at it.
        for _ in 0..2 {
            causes.push(Cause::forbidden("metadata.finalizers", &why));
        }
    }
}
