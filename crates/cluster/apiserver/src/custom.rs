//! Custom resources: what a `CustomResourceDefinition` makes of itself (defaults,
//! checks, accepted names) and the [`Resource`]s that it adds to the table.

use std::{collections::BTreeMap, sync::Arc};

use schema::{crd, validate::Cause};
use serde_json::{Map, Value, json};

use crate::registry::{Column, Gvk, NameRule, Resource, Rules, Storage, Subresource, VERBS, path_column, version_rank};

fn texts(value: &Value) -> Vec<String> {
    value.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_default()
}

/// Fills in what a definition leaves out.
pub(crate) fn default(value: &mut Value) {
    let kind = text(&value["spec"]["names"], "kind").to_owned();
    let Some(spec) = value.get_mut("spec").and_then(Value::as_object_mut) else { return };
    spec.entry("conversion").or_insert_with(|| json!({"strategy": "None"}));
    if let Some(names) = spec.get_mut("names").and_then(Value::as_object_mut) {
        names.entry("singular").or_insert_with(|| kind.to_lowercase().into());
        names.entry("listKind").or_insert_with(|| format!("{kind}List").into());
    }
}

/// Checks a definition by the rules of `apiextensions.k8s.io/v1`.
pub(crate) fn validate(value: &Value, old: Option<&Value>, causes: &mut Vec<Cause>) {
    let spec = &value["spec"];
    let names = &spec["names"];
    let wanted = format!("{}.{}", text(names, "plural"), text(spec, "group"));
    if text(&value["metadata"], "name") != wanted {
        causes.push(Cause::invalid(
            "metadata.name",
            &value["metadata"]["name"],
            "must be spec.names.plural+\".\"+spec.group",
        ));
    }
    if !text(spec, "group").contains('.') {
        causes.push(Cause::invalid("spec.group", &spec["group"], "should be a domain with at least one dot"));
    }
    if !matches!(text(spec, "scope"), "Cluster" | "Namespaced") {
        causes.push(Cause::not_supported("spec.scope", &spec["scope"], &["Cluster", "Namespaced"]));
    }
    if let Some(old) = old {
        for name in ["group", "scope"] {
            if old["spec"][name] != spec[name] {
                causes.push(Cause::invalid(format!("spec.{name}"), &spec[name], "field is immutable"));
            }
        }
    }
    if spec["conversion"]["strategy"].as_str().is_some_and(|strategy| strategy != "None") {
        causes.push(Cause::not_supported("spec.conversion.strategy", &spec["conversion"]["strategy"], &["None"]));
    }
    let versions = spec["versions"].as_array().map_or(&[][..], Vec::as_slice);
    if versions.iter().filter(|version| version["storage"] == true).count() != 1 {
        causes.push(Cause::invalid(
            "spec.versions",
            &spec["versions"],
            "must have exactly one version marked as storage version",
        ));
    }
    for (index, version) in versions.iter().enumerate() {
        let at = format!("spec.versions[{index}]");
        let schema = &version["schema"]["openAPIV3Schema"];
        if schema.is_null() {
            causes.push(Cause::required(format!("{at}.schema.openAPIV3Schema"), "schemas are required"));
            continue;
        }
        for problem in crd::read(schema).1 {
            let field = format!("{at}.schema.openAPIV3Schema.{}", problem.path);
            causes.push(Cause::invalid(field, &Value::Null, &problem.message));
        }
        for (index, column) in version["additionalPrinterColumns"].as_array().into_iter().flatten().enumerate() {
            if let Err(error) = path_column("", "", 0, text(column, "jsonPath")) {
                causes.push(Cause::invalid(
                    format!("{at}.additionalPrinterColumns[{index}].jsonPath"),
                    &column["jsonPath"],
                    &error.reason,
                ));
            }
        }
    }
}

/// Returns the status of a definition whose names conflict with none of `others`, or says with which.
pub(crate) fn status(definition: &Value, others: &[Value], now: &str) -> Value {
    let spec = &definition["spec"];
    let conflict = others.iter().find(|other| {
        other["metadata"]["name"] != definition["metadata"]["name"]
            && other["spec"]["group"] == spec["group"]
            && other["status"]["acceptedNames"]["kind"] == spec["names"]["kind"]
    });
    let condition = |kind: &str, status: &str, reason: &str, message: &str| {
        let before = definition["status"]["conditions"]
            .as_array()
            .into_iter()
            .flatten()
            .find(|condition| condition["type"] == kind);
        let since = before
            .filter(|before| before["status"] == status)
            .and_then(|before| before["lastTransitionTime"].as_str())
            .unwrap_or(now);
        json!({"type": kind, "status": status, "reason": reason, "message": message, "lastTransitionTime": since})
    };
    let stored = spec["versions"].as_array().into_iter().flatten().find(|version| version["storage"] == true);
    let mut stored_versions = texts(&definition["status"]["storedVersions"]);
    if let Some(name) = stored.and_then(|version| version["name"].as_str())
        && !stored_versions.iter().any(|stored| stored == name)
    {
        stored_versions.push(name.to_owned());
    }
    match conflict {
        None => json!({
            "acceptedNames": spec["names"],
            "storedVersions": stored_versions,
            "conditions": [
                condition("NamesAccepted", "True", "NoConflicts", "no conflicts found"),
                condition("Established", "True", "InitialNamesAccepted", "the initial names have been accepted"),
            ],
        }),
        Some(other) => {
            let message =
                format!("{:?} is already in use by {}", text(&spec["names"], "kind"), text(&other["metadata"], "name"));
            json!({
                "acceptedNames": {"kind": "", "plural": ""},
                "storedVersions": stored_versions,
                "conditions": [
                    condition("NamesAccepted", "False", "KindConflict", &message),
                    condition("Established", "False", "NotAccepted", "not all names are accepted"),
                ],
            })
        }
    }
}

/// Returns the kinds that an established definition serves, one for each served version.
pub(crate) fn resources(definition: &Value) -> Vec<Arc<Resource>> {
    let established = definition["status"]["conditions"]
        .as_array()
        .into_iter()
        .flatten()
        .any(|condition| condition["type"] == "Established" && condition["status"] == "True");
    if !established || !definition["metadata"]["deletionTimestamp"].is_null() {
        return Vec::new();
    }
    let spec = &definition["spec"];
    let versions = spec["versions"].as_array().map_or(&[][..], Vec::as_slice);
    let Some(stored) = versions.iter().find(|version| version["storage"] == true) else { return Vec::new() };
    let mut served: Vec<&Value> = versions.iter().filter(|version| version["served"] == true).collect();
    served.sort_by_key(|version| version_rank(text(version, "name")));
    served.into_iter().map(|version| Arc::new(resource(spec, version, text(stored, "name")))).collect()
}

fn resource(spec: &Value, version: &Value, stored: &str) -> Resource {
    let names = &spec["names"];
    let (mut node, _) = crd::read(&version["schema"]["openAPIV3Schema"]);
    node.kind = schema::model::Kind::Object;
    let columns: Vec<Column> = match version["additionalPrinterColumns"].as_array() {
        Some(columns) if !columns.is_empty() => columns
            .iter()
            .filter_map(|column| {
                let priority = column["priority"].as_i64().unwrap_or_default();
                path_column(text(column, "name"), text(column, "type"), priority, text(column, "jsonPath")).ok()
            })
            .collect(),
        _ => path_column("Age", "date", 0, ".metadata.creationTimestamp").into_iter().collect(),
    };
    let gvk = Gvk {
        group: text(spec, "group").to_owned(),
        version: text(version, "name").to_owned(),
        kind: text(names, "kind").to_owned(),
    };
    Resource {
        api_version: gvk.api_version(),
        gvk,
        plural: text(names, "plural").to_owned(),
        singular: text(names, "singular").to_owned(),
        list_kind: text(names, "listKind").to_owned(),
        short: texts(&names["shortNames"]),
        categories: texts(&names["categories"]),
        namespaced: text(spec, "scope") == "Namespaced",
        storage: Storage { group: text(spec, "group").to_owned(), version: stored.to_owned() },
        conversion: None,
        verbs: VERBS,
        name: NameRule::Subdomain,
        node: Arc::new(node),
        type_name: None,
        subresources: subresources(version["subresources"].as_object()),
        columns,
        selectable: version["selectableFields"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|field| text(field, "jsonPath").trim_start_matches('.').to_owned())
            .collect(),
        rules: Rules::default(),
        generation: true,
        graceful: false,
        addressed: false,
        defines_kinds: false,
        custom: true,
        grants: None,
        confidential: false,
        review: None,
    }
}

fn subresources(declared: Option<&Map<String, Value>>) -> BTreeMap<&'static str, Subresource> {
    let mut map = BTreeMap::new();
    let Some(declared) = declared else { return map };
    let path = |value: &Value| -> Vec<String> {
        value.as_str().unwrap_or_default().trim_start_matches('.').split('.').map(str::to_owned).collect()
    };
    if declared.contains_key("status") {
        map.insert("status", Subresource::Status);
    }
    if let Some(scale) = declared.get("scale").filter(|scale| scale.is_object()) {
        map.insert(
            "scale",
            Subresource::Scale {
                spec: path(&scale["specReplicasPath"]),
                status: path(&scale["statusReplicasPath"]),
                selector: scale.get("labelSelectorPath").map(path),
            },
        );
    }
    map
}

#[cfg(test)]
mod tests {
    use super::*;

    fn definition() -> Value {
        let mut value = json!({"metadata": {"name": "boats.sea.example"}, "spec": {"group": "sea.example", "scope": "Namespaced",
            "names": {"plural": "boats", "kind": "Boat", "shortNames": ["bt"]},
            "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": {"type": "object"}},
                "additionalPrinterColumns": [{"name": "Size", "type": "integer", "jsonPath": ".spec.size"}],
                "subresources": {"status": {}, "scale": {"specReplicasPath": ".spec.size", "statusReplicasPath": ".status.size"}}}]}});
        default(&mut value);
        value
    }

    #[test]
    fn an_established_definition_serves_its_versions() {
        let mut value = definition();
        let mut causes = Vec::new();
        validate(&value, None, &mut causes);
        assert!(causes.is_empty(), "{causes:?}");
        assert!(resources(&value).is_empty());
        value["status"] = status(&value, &[], "now");
        let resources = resources(&value);
        assert_eq!(resources[0].list_kind, "BoatList");
        assert!(resources[0].subresources.contains_key("scale"));
    }

    #[test]
    fn a_kind_that_is_taken_is_not_established() {
        let mut other = definition();
        other["metadata"]["name"] = json!("ships.sea.example");
        other["status"] = status(&other, &[], "now");
        let status = status(&definition(), &[other], "now");
        assert_eq!(status["conditions"][0]["reason"], "KindConflict");
    }
}
