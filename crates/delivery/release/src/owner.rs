//! How an object says which release it belongs to.

use serde_json::{Map, Value, json};

/// Label that says who manages an object.
pub const MANAGED_BY: &str = "app.kubernetes.io/managed-by";
/// Annotations that say which release it belongs to.
pub const RELEASE_NAME: &str = "meta.helm.sh/release-name";
/// See [`RELEASE_NAME`].
pub const RELEASE_NAMESPACE: &str = "meta.helm.sh/release-namespace";

/// Marks an object as a release's.
pub fn mark(object: &mut Value, name: &str, namespace: &str) {
    let mut set = |part: &str, key: &str, value: &str| {
        let metadata = &mut object["metadata"];
        if !metadata[part].is_object() {
            metadata[part] = json!({});
        }
        metadata[part][key] = value.into();
    };
    set("labels", MANAGED_BY, "Helm");
    set("annotations", RELEASE_NAME, name);
    set("annotations", RELEASE_NAMESPACE, namespace);
}

/// Returns why an object is not a release's, one line for each mark that is missing; empty if it is.
pub fn foreign(object: &Value, name: &str, namespace: &str) -> Vec<String> {
    let check = |part: &str, key: &str, wanted: &str| {
        let what = part.trim_end_matches('s');
        match object["metadata"][part].as_object().unwrap_or(&Map::new()).get(key).and_then(Value::as_str) {
            Some(found) if found == wanted => None,
            Some(found) => Some(format!("{what} {key} is {found:?}, not {wanted:?}")),
            None => Some(format!("{what} {key} is missing; it has to be {wanted:?}")),
        }
    };
    let checks = [
        check("labels", MANAGED_BY, "Helm"),
        check("annotations", RELEASE_NAME, name),
        check("annotations", RELEASE_NAMESPACE, namespace),
    ];
    checks.into_iter().flatten().collect()
}

/// Returns whether an object stays when its release goes (`helm.sh/resource-policy: keep`).
pub fn is_kept(object: &Value) -> bool {
    object["metadata"]["annotations"]["helm.sh/resource-policy"].as_str().is_some_and(|policy| policy.trim() == "keep")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_marked_object_is_its_releases_and_no_other_s() {
        let mut object = json!({"metadata": {"labels": {"app.kubernetes.io/managed-by": "hand", "a": "b"}}});
        assert_eq!(foreign(&object, "web", "shop").len(), 3);
        mark(&mut object, "web", "shop");
        assert_eq!(object["metadata"]["labels"]["a"], "b");
        assert_eq!(foreign(&object, "web", "shop"), [""; 0]);
        let words = "annotation meta.helm.sh/release-name is \"web\", not \"other\"";
        assert_eq!(foreign(&object, "other", "shop"), [words]);
    }
}
