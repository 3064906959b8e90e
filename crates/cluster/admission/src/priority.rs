//! `Priority`: the number behind a pod's priority class.

use serde_json::{Value, json};

/// The classes that Kubernetes' own parts have; nobody deletes them.
pub const SYSTEM: [&str; 2] = ["system-cluster-critical", "system-node-critical"];

use crate::text;

/// Sets the priority of a new pod from its class, or from the default one; says why it cannot be.
pub fn resolve(classes: &[Value], pod: &mut Value) -> Result<(), String> {
    let asked = text(&pod["spec"], "priorityClassName").to_owned();
    let class = if asked.is_empty() {
        let mut defaults: Vec<&Value> = classes.iter().filter(|class| class["globalDefault"] == true).collect();
        // Of several the lowest counts, as in Kubernetes.
        defaults.sort_by_key(|class| class["value"].as_i64());
        defaults.first().copied()
    } else {
        let found = classes.iter().find(|class| class["metadata"]["name"] == asked.as_str());
        Some(found.ok_or_else(|| format!("no PriorityClass with name {asked} was found"))?)
    };
    let value = class.and_then(|class| class["value"].as_i64()).unwrap_or_default();
    let policy = class.map_or("PreemptLowerPriority", |class| match text(class, "preemptionPolicy") {
        "" => "PreemptLowerPriority",
        other => other,
    });
    let spec = &mut pod["spec"];
    if let Some(given) = spec["priority"].as_i64().filter(|given| *given != value) {
        return Err(format!(
            "the integer value of priority ({given}) must not be provided in pod spec; priority admission controller computed {value} from the given PriorityClass name"
        ));
    }
    if let Some(given) = spec["preemptionPolicy"].as_str().filter(|given| *given != policy) {
        return Err(format!(
            "the string value of PreemptionPolicy ({given}) must not be provided in pod spec; priority admission controller computed {policy} from the given PriorityClass name"
        ));
    }
    spec["priority"] = json!(value);
    spec["preemptionPolicy"] = json!(policy);
    if let Some(class) = class {
        spec["priorityClassName"] = class["metadata"]["name"].clone();
    }
    Ok(())
}

/// Returns why a class may not be the default: another one is.
pub fn default_refusal(classes: &[Value], class: &Value) -> Option<String> {
    if class["globalDefault"] != true {
        return None;
    }
    let other = classes
        .iter()
        .find(|other| other["globalDefault"] == true && other["metadata"]["name"] != class["metadata"]["name"])?;
    let name = text(&other["metadata"], "name");
    Some(format!("PriorityClass {name} is already marked as default. Only one default can exist"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_class_gives_its_value_and_none_gives_the_default() {
        let classes = [
            json!({"metadata": {"name": "high"}, "value": 1000, "preemptionPolicy": "Never"}),
            json!({"metadata": {"name": "usual"}, "value": 5, "globalDefault": true}),
        ];
        let resolved = |spec: Value| {
            let mut pod = json!({"spec": spec});
            resolve(&classes, &mut pod).map(|()| pod["spec"].clone())
        };
        assert_eq!(
            resolved(json!({"priorityClassName": "high"})).unwrap(),
            json!({"priorityClassName": "high", "priority": 1000, "preemptionPolicy": "Never"})
        );
        assert_eq!(resolved(json!({})).unwrap()["priority"], 5);
        assert_eq!(
            resolved(json!({"priorityClassName": "nope"})).unwrap_err(),
            "no PriorityClass with name nope was found"
        );
        assert!(resolved(json!({"priorityClassName": "high", "priority": 3})).is_err());
        let second = json!({"metadata": {"name": "b"}, "globalDefault": true});
        assert!(default_refusal(&classes, &second).is_some());
        assert!(default_refusal(&classes, &classes[1]).is_none());
    }
}
