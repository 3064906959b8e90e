//! `DefaultStorageClass` and `DefaultIngressClass`: the class of what names none.

use serde_json::Value;

use crate::text;

fn default_class<'a>(classes: &'a [Value], annotation: &str) -> Option<&'a Value> {
    let marked = |class: &&Value| class["metadata"]["annotations"][annotation] == "true";
    let mut found: Vec<&Value> = classes.iter().filter(marked).collect();
    // The newest counts; of those of one moment the first by name.
    found.sort_by(|a, b| {
        let made = |class: &Value| text(&class["metadata"], "creationTimestamp").to_owned();
        made(b).cmp(&made(a)).then_with(|| text(&a["metadata"], "name").cmp(text(&b["metadata"], "name")))
    });
    found.first().copied()
}

/// Gives a claim that names no storage class the default one.
pub fn claim(classes: &[Value], claim: &mut Value) {
    let named = !claim["spec"]["storageClassName"].is_null()
        || !claim["metadata"]["annotations"]["volume.beta.kubernetes.io/storage-class"].is_null();
    let annotations =
        ["storageclass.kubernetes.io/is-default-class", "storageclass.beta.kubernetes.io/is-default-class"];
    let class = annotations.into_iter().find_map(|annotation| default_class(classes, annotation));
    if let Some(class) = class.filter(|_| !named) {
        claim["spec"]["storageClassName"] = class["metadata"]["name"].clone();
    }
}

/// Gives an Ingress that names no class the default one.
pub fn ingress(classes: &[Value], ingress: &mut Value) {
    let named = !ingress["spec"]["ingressClassName"].is_null()
        || !ingress["metadata"]["annotations"]["kubernetes.io/ingress.class"].is_null();
    let class = default_class(classes, "ingressclass.kubernetes.io/is-default-class");
    if let Some(class) = class.filter(|_| !named) {
        ingress["spec"]["ingressClassName"] = class["metadata"]["name"].clone();
    }
}

/// Returns why a claim may not ask for more than it did: it grows once it is bound, and if its class lets it.
pub fn growth_refusal(classes: &[Value], old: &Value, new: &Value) -> Option<String> {
    let size = |claim: &Value| crate::pods::read(&claim["spec"]["resources"]["requests"]["storage"]);
    match (size(old), size(new)) {
        (Some(before), Some(after)) if after > before => {}
        _ => return None,
    }
    if old["status"]["phase"] != "Bound" {
        return Some("Only bound persistent volume claims can be expanded".to_owned());
    }
    let class = |claim: &Value| {
        let annotated = claim["metadata"]["annotations"]["volume.beta.kubernetes.io/storage-class"].as_str();
        annotated.or_else(|| claim["spec"]["storageClassName"].as_str()).unwrap_or_default().to_owned()
    };
    let name = class(new);
    let grows = |found: &Value| found["metadata"]["name"] == name.as_str() && found["allowVolumeExpansion"] == true;
    if !name.is_empty() && name == class(old) && classes.iter().any(grows) {
        return None;
    }
    Some(
        "only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc must support resize"
            .to_owned(),
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_newest_default_is_taken_where_none_is_named() {
        let class = |name: &str, made: &str| {
            json!({"metadata": {"name": name, "creationTimestamp": made,
            "annotations": {"storageclass.kubernetes.io/is-default-class": "true"}}})
        };
        let classes = [class("old", "2020-01-01T00:00:00Z"), class("new", "2024-01-01T00:00:00Z")];
        let mut plain = json!({"spec": {}});
        claim(&classes, &mut plain);
        assert_eq!(plain["spec"]["storageClassName"], "new");
        let mut none = json!({"spec": {"storageClassName": ""}});
        claim(&classes, &mut none);
        assert_eq!(none["spec"]["storageClassName"], "");
    }
}
