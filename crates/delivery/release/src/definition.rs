//! Definitions of kinds that a chart brings (`crds/`), beside those that are there.

use serde_json::Value;

use crate::merge;

/// What has to happen to a definition.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// It is not there: create it.
    Create,
    /// It is there and says the same.
    Nothing,
    /// It is there and says something else: this merge patch makes it the chart's.
    Change {
        /// The JSON merge patch.
        patch: Value,
        /// What changes, for people.
        what: Vec<String>,
    },
    /// The chart's cannot take its place, and why.
    Refuse {
        /// What stands against it.
        reason: String,
    },
}

/// Compares the chart's definition with the one in the cluster.
///
/// Every field that the chart sets becomes the chart's; fields that the API server filled in stay. A version that
/// objects are still stored in (`status.storedVersions`) cannot go.
pub fn step(chart: &Value, live: Option<&Value>) -> Step {
    let Some(live) = live else { return Step::Create };
    let names = |object: &Value| -> Vec<String> {
        let versions = object["spec"]["versions"].as_array().into_iter().flatten();
        versions.filter_map(|version| Some(version["name"].as_str()?.to_owned())).collect()
    };
    let (new, old) = (names(chart), names(live));
    let stored = live["status"]["storedVersions"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let lost: Vec<&str> = stored.filter(|version| !new.iter().any(|name| name == version)).collect();
    if !lost.is_empty() {
        let reason = format!(
            "objects are stored as version {}, which the chart's definition no longer has: migrate them first",
            lost.join(", ")
        );
        return Step::Refuse { reason };
    }
    if chart["spec"]["scope"] != live["spec"]["scope"] && chart["spec"]["scope"].is_string() {
        return Step::Refuse { reason: "its scope differs, which no definition can change".to_owned() };
    }
    let wanted = laid_over(live, chart);
    let Some(patch) = merge::patch(live, &wanted) else { return Step::Nothing };
    let mut what = Vec::new();
    what.extend(new.iter().filter(|name| !old.contains(name)).map(|name| format!("version {name} is added")));
    what.extend(old.iter().filter(|name| !new.contains(name)).map(|name| format!("version {name} is removed")));
    for name in new.iter().filter(|name| old.contains(name)) {
        let version = |object: &Value| {
            let versions = object["spec"]["versions"].as_array().into_iter().flatten();
            versions.into_iter().find(|version| version["name"] == **name).cloned().unwrap_or_default()
        };
        if version(&wanted) != version(live) {
            what.push(format!("version {name} changes"));
        }
    }
    if what.is_empty() {
        what.push("its metadata or names change".to_owned());
    }
    Step::Change { patch, what }
}

/// The live object with all that the chart says; schemas are the chart's whole.
fn laid_over(live: &Value, chart: &Value) -> Value {
    match (live, chart) {
        (Value::Object(live), Value::Object(chart)) => {
            let mut all = live.clone();
            for (key, value) in chart.iter().filter(|(key, _)| *key != "status") {
                let there = live.get(key).unwrap_or(&Value::Null);
                all.insert(key.clone(), if key == "schema" { value.clone() } else { laid_over(there, value) });
            }
            Value::Object(all)
        }
        (Value::Array(live), Value::Array(chart)) => {
            let named = |list: &[Value], name: &Value| list.iter().find(|item| item["name"] == *name).cloned();
            let item = |item: &Value| match item["name"] {
                Value::String(_) => laid_over(&named(live, &item["name"]).unwrap_or_default(), item),
                _ => item.clone(),
            };
            Value::Array(chart.iter().map(item).collect())
        }
        _ => chart.clone(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn definition(versions: &Value, stored: &[&str]) -> Value {
        json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
            "metadata": {"name": "widgets.example.org"},
            "spec": {"scope": "Namespaced", "versions": versions, "conversion": {"strategy": "None"}},
            "status": {"storedVersions": stored}})
    }

    fn version(name: &str, field: &str) -> Value {
        json!({"name": name, "served": true, "schema": {"openAPIV3Schema": {"properties": {field: {"type": "string"}}}}})
    }

    #[test]
    fn what_a_chart_changes_in_a_definition_is_told() {
        let live = definition(&json!([version("v1", "a")]), &["v1"]);
        let mut chart = definition(&json!([version("v1", "b"), version("v2", "c")]), &[]);
        chart["spec"].as_object_mut().unwrap().remove("conversion");
        chart.as_object_mut().unwrap().remove("status");
        let Step::Change { patch, what } = step(&chart, Some(&live)) else { panic!("it changes") };
        assert_eq!(what, ["version v2 is added", "version v1 changes"]);
        let made = schema::patch::merge(&live, &patch).unwrap();
        assert_eq!(made["spec"]["versions"][0], version("v1", "b"));
        assert_eq!(made["spec"]["conversion"]["strategy"], "None");
        assert_eq!(step(&chart, Some(&made)), Step::Nothing);
        assert_eq!(step(&chart, None), Step::Create);
    }

    #[test]
    fn a_version_that_objects_are_stored_in_cannot_go() {
        let live = definition(&json!([version("v1", "a"), version("v2", "a")]), &["v1", "v2"]);
        let Step::Refuse { reason } = step(&definition(&json!([version("v2", "a")]), &[]), Some(&live)) else {
            panic!("it is refused")
        };
        assert!(reason.contains("version v1"), "{reason}");
    }
}
