//! What people read in `kubectl explain` of the fields that every object has. The words
//! are this project's own; the prose of Kubernetes' types is not part of its tables.

/// Describes the `apiVersion` of every object.
pub const API_VERSION: &str = "APIVersion defines which version of its group this object is written in, for example apps/v1. \
     An object can be read and written in every version that is served.";
/// Describes the `kind` of every object.
pub const KIND: &str = "Kind is the name of the object's kind, for example Deployment. It cannot be changed.";
/// Describes the `metadata` of every object.
pub const METADATA: &str = "Standard object's metadata: its name, its labels, and what the server notes of it.";
/// Describes the `metadata` of every list.
pub const LIST_METADATA: &str = "Standard list metadata: the revision that the list shows, and where it goes on.";

/// Returns what is to be said of a field of `ObjectMeta`.
pub fn of_metadata(field: &str) -> Option<&'static str> {
    Some(match field {
        "annotations" => {
            "Annotations is a map of free texts that tools keep with the object. Nothing is selected by them."
        }
        "creationTimestamp" => {
            "CreationTimestamp is a timestamp of when the server made this object. Clients cannot set it."
        }
        "deletionGracePeriodSeconds" => {
            "Number of seconds that the object may take to end before it is removed. Set with deletionTimestamp, and only ever lowered."
        }
        "deletionTimestamp" => {
            "DeletionTimestamp is the time at which the object is to be gone. Set by the server when somebody deletes the object; it cannot be taken back."
        }
        "finalizers" => {
            "Finalizers name those who have something to do before the object goes. A deleted object stays until the list is empty."
        }
        "generateName" => {
            "GenerateName is the beginning of the name that the server gives the object when it is created without one."
        }
        "generation" => "Generation counts the changes of what is wanted of the object. The server sets it.",
        "labels" => "Labels is a map of names and values that objects are selected by.",
        "managedFields" => {
            "ManagedFields says which manager wrote which fields, in which version and when. The server keeps it for server-side apply."
        }
        "name" => "Name is unique among the objects of its kind in their namespace. It cannot be changed.",
        "namespace" => "Namespace is the space within which the name is unique. Empty for kinds that live in none.",
        "ownerReferences" => {
            "OwnerReferences name the objects that this one depends on. When all of them are gone, it is collected as garbage."
        }
        "resourceVersion" => {
            "ResourceVersion changes with each write of the object. Given with a write, it must be the current one; clients compare it and read nothing else in it."
        }
        "selfLink" => "SelfLink is no longer set.",
        "uid" => {
            "UID tells this object from every other, also from those that had its name before. The server sets it."
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use crate::model::builtin;

    #[test]
    fn every_field_of_metadata_is_described() {
        let metadata = builtin("io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta").unwrap();
        for field in metadata.properties.keys() {
            assert!(super::of_metadata(field).is_some(), "{field}");
        }
    }
}
