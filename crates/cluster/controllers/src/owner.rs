//! Owner references and what follows from them for every controller.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::{Resource, ResourceExt};

/// Returns the reference that makes `owner` the controller of an object.
pub(crate) fn reference<K: Resource<DynamicType = ()>>(owner: &K) -> OwnerReference {
    OwnerReference {
        api_version: K::api_version(&()).into_owned(),
        kind: K::kind(&()).into_owned(),
        name: owner.name_any(),
        uid: owner.uid().unwrap_or_default(),
        controller: Some(true),
        block_owner_deletion: Some(true),
    }
}

/// Returns whether `owner` is the controller of `object`.
pub(crate) fn controls<K: Resource, O: Resource>(owner: &K, object: &O) -> bool {
    let uid = owner.meta().uid.as_deref();
    object
        .owner_references()
        .iter()
        .any(|reference| reference.controller == Some(true) && Some(reference.uid.as_str()) == uid)
}
