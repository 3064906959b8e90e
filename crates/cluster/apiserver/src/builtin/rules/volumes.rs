//! Rules of the volumes of pods and of persistent volumes.

use std::collections::BTreeSet;

use schema::validate::Cause;
use serde_json::Value;

use super::{
    check::{Causes, dns_label, each, given, invalid, list, one_of, quantity, text},
    env::{field_ref, resource_ref},
};

/// Checks a pod's volumes and returns their names.
pub(super) fn all<'a>(spec: &'a Value, at: &str, causes: &mut Causes) -> BTreeSet<&'a str> {
    let mut names = BTreeSet::new();
    for (at, volume) in each(spec, "volumes", at) {
        let before = causes.len();
        source(volume, &at, &["name"], causes);
        let name = text(volume, "name");
        let fits = causes.len() == before;
        if given(volume, "name", &at, causes) {
            let before = causes.len();
            dns_label(&volume["name"], format!("{at}.name"), causes);
            if causes.len() == before && names.contains(name) {
                causes.push(Cause::duplicate(format!("{at}.name"), &volume["name"]));
            } else if causes.len() == before && fits {
                names.insert(name);
            }
        }
    }
    names
}

/// Checks where a volume comes from, and that it is from one place; returns how many were named.
pub(super) fn source(volume: &Value, at: &str, not: &[&str], causes: &mut Causes) -> usize {
    let mut found = 0;
    for kind in KINDS.iter().filter(|kind| !not.contains(kind) && !volume[**kind].is_null()) {
        found += 1;
        let at = format!("{at}.{kind}");
        if found > 1 {
            causes.push(Cause::forbidden(at, "may not specify more than 1 volume type"));
        } else {
            one(kind, &volume[*kind], &at, causes);
        }
    }
    found
}

/// In the order in which Kubernetes looks for them.
const KINDS: &[&str] = &[
    "emptyDir",
    "hostPath",
    "gitRepo",
    "gcePersistentDisk",
    "awsElasticBlockStore",
    "secret",
    "nfs",
    "iscsi",
    "glusterfs",
    "flocker",
    "rbd",
    "cinder",
    "cephfs",
    "quobyte",
    "downwardAPI",
    "fc",
    "configMap",
    "azureFile",
    "vsphereVolume",
    "photonPersistentDisk",
    "portworxVolume",
    "azureDisk",
    "storageos",
    "projected",
    "scaleIO",
    "persistentVolumeClaim",
    "csi",
    "ephemeral",
    "flexVolume",
    "image",
    "local",
];

fn one(kind: &str, source: &Value, at: &str, causes: &mut Causes) {
    match kind {
        "emptyDir" if quantity(&source["sizeLimit"]).is_some_and(|size| size.sign() < 0) => {
            causes
                .push(Cause::forbidden(format!("{at}.sizeLimit"), "SizeLimit field must be a valid resource quantity"));
        }
        "hostPath" => host_path(source, at, causes),
        "secret" => {
            given(source, "secretName", at, causes);
            items(source, at, causes);
        }
        "configMap" => {
            given(source, "name", at, causes);
            items(source, at, causes);
        }
        "nfs" => {
            given(source, "server", at, causes);
            if given(source, "path", at, causes) && !text(source, "path").starts_with('/') {
                invalid(format!("{at}.path"), &source["path"], "must be an absolute path", causes);
            }
        }
        "persistentVolumeClaim" => _ = given(source, "claimName", at, causes),
        "downwardAPI" => {
            mode(source, "defaultMode", at, causes);
            for item in list(source, "items") {
                downward(item, at, causes);
            }
        }
        "projected" => projected(source, at, causes),
        "csi" => _ = given(source, "driver", at, causes),
        "local" if given(source, "path", at, causes) => {
            no_steps_back(&source["path"], &format!("{at}.path"), causes);
        }
        "ephemeral" if source["volumeClaimTemplate"].is_null() => {
            causes.push(Cause::required(format!("{at}.volumeClaimTemplate"), ""));
        }
        _ => {}
    }
}

fn host_path(source: &Value, at: &str, causes: &mut Causes) {
    if given(source, "path", at, causes) {
        no_steps_back(&source["path"], &format!("{at}.path"), causes);
    }
    let kinds = ["", "BlockDevice", "CharDevice", "Directory", "DirectoryOrCreate", "File", "FileOrCreate", "Socket"];
    one_of(&source["type"], format!("{at}.type"), &kinds, causes);
}

fn no_steps_back(value: &Value, field: &str, causes: &mut Causes) {
    if value.as_str().is_some_and(|path| path.split('/').any(|step| step == "..")) {
        invalid(field, value, "must not contain '..'", causes);
    }
}

/// A path that leads nowhere else.
pub(super) fn inside(value: &Value, field: &str, causes: &mut Causes) {
    if value.as_str().is_some_and(|path| path.starts_with('/')) {
        invalid(field, value, "must be a relative path", causes);
    }
    no_steps_back(value, field, causes);
}

fn mode(source: &Value, name: &str, at: &str, causes: &mut Causes) {
    if source[name].as_i64().is_some_and(|mode| !(0..=0o777).contains(&mode)) {
        invalid(
            format!("{at}.{name}"),
            &source[name],
            "must be a number between 0 and 0777 (octal), both inclusive",
            causes,
        );
    }
}

fn items(source: &Value, at: &str, causes: &mut Causes) {
    mode(source, "defaultMode", at, causes);
    for (at, item) in each(source, "items", at) {
        given(item, "key", &at, causes);
        if given(item, "path", &at, causes) {
            inside(&item["path"], &format!("{at}.path"), causes);
        }
        mode(item, "mode", &at, causes);
    }
}

const FIELDS: &[&str] =
    &["metadata.name", "metadata.namespace", "metadata.labels", "metadata.annotations", "metadata.uid"];

fn downward(item: &Value, at: &str, causes: &mut Causes) {
    if given(item, "path", at, causes) {
        inside(&item["path"], &format!("{at}.path"), causes);
    }
    if item["fieldRef"].is_object() {
        field_ref(&item["fieldRef"], &format!("{at}.fieldRef"), FIELDS, causes);
    } else if item["resourceFieldRef"].is_object() {
        resource_ref(&item["resourceFieldRef"], &format!("{at}.resourceFieldRef"), true, causes);
    } else {
        causes.push(Cause::required(at, "one of fieldRef and resourceFieldRef is required"));
    }
    mode(item, "mode", at, causes);
}

fn projected(source: &Value, at: &str, causes: &mut Causes) {
    mode(source, "defaultMode", at, causes);
    let whole = at.to_owned();
    for (at, part) in each(source, "sources", at) {
        for (kind, name) in [("secret", "name"), ("configMap", "name")] {
            if part[kind].is_object() {
                given(&part[kind], name, &format!("{at}.{kind}"), causes);
                items(&part[kind], &format!("{at}.{kind}"), causes);
            }
        }
        for item in list(&part["downwardAPI"], "items") {
            downward(item, &format!("{at}.downwardAPI"), causes);
        }
        let token = &part["serviceAccountToken"];
        if token.is_object() {
            let field = format!("{at}.serviceAccountToken.expirationSeconds");
            let seconds = token["expirationSeconds"].as_i64().unwrap_or(3600);
            if seconds < 600 {
                invalid(
                    &*field,
                    &token["expirationSeconds"],
                    "may not specify a duration less than 10 minutes",
                    causes,
                );
            } else if seconds > 1 << 32 {
                invalid(
                    &*field,
                    &token["expirationSeconds"],
                    "may not specify a duration larger than 2^32 seconds",
                    causes,
                );
            }
            // The field is that of the volume, as in Kubernetes.
            given(token, "path", &whole, causes);
        }
    }
}
