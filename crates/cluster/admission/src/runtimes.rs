//! `RuntimeClass`: what a pod's runtime class adds to it.

use serde_json::{Value, json};

use crate::items;

const OVERHEAD: &str = "pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead";

/// Returns the class that a pod names, or says that there is none; `None`: it names none.
fn class_of<'a>(classes: &'a [Value], pod: &Value) -> Result<Option<&'a Value>, String> {
    let Some(name) = pod["spec"]["runtimeClassName"].as_str() else { return Ok(None) };
    let found = classes.iter().find(|class| class["metadata"]["name"] == name);
    found.map(Some).ok_or_else(|| format!("pod rejected: RuntimeClass {name:?} not found"))
}

/// Gives a new pod the overhead and the nodes of its class; says why it cannot be.
pub fn equip(classes: &[Value], pod: &mut Value) -> Result<(), String> {
    let Some(class) = class_of(classes, pod)? else { return Ok(()) };
    let overhead = &class["overhead"]["podFixed"];
    if overhead.is_object() {
        let given = &pod["spec"]["overhead"];
        if given.as_object().is_some_and(|given| !given.is_empty()) && given != overhead {
            return Err(OVERHEAD.to_owned());
        }
        pod["spec"]["overhead"] = overhead.clone();
    }
    for (key, value) in class["scheduling"]["nodeSelector"].as_object().into_iter().flatten() {
        let given = &pod["spec"]["nodeSelector"][key];
        if !given.is_null() && given != value {
            let (wanted, given) = (value.as_str().unwrap_or_default(), given.as_str().unwrap_or_default());
            return Err(format!(
                "conflict: runtimeClass.scheduling.nodeSelector[{key}] = {wanted}; pod.spec.nodeSelector[{key}] = {given}"
            ));
        }
        pod["spec"]["nodeSelector"][key] = value.clone();
    }
    for toleration in items(&class["scheduling"]["tolerations"]) {
        if !pod["spec"]["tolerations"].is_array() {
            pod["spec"]["tolerations"] = json!([]);
        }
        if let Some(list) = pod["spec"]["tolerations"].as_array_mut().filter(|list| !list.contains(toleration)) {
            list.push(toleration.clone());
        }
    }
    Ok(())
}

/// Returns why a new pod may not have the overhead that it has.
pub fn refusal(classes: &[Value], pod: &Value) -> Option<String> {
    let class = match class_of(classes, pod) {
        Ok(class) => class,
        Err(why) => return Some(why),
    };
    let given = pod["spec"]["overhead"].as_object().filter(|given| !given.is_empty());
    match class.map(|class| &class["overhead"]["podFixed"]).filter(|overhead| overhead.is_object()) {
        Some(overhead) if given != overhead.as_object() => Some(OVERHEAD.to_owned()),
        Some(_) => None,
        None => given
            .map(|_| "pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn classes() -> Vec<Value> {
        vec![json!({"metadata": {"name": "vm"}, "handler": "h", "overhead": {"podFixed": {"cpu": "10m"}},
            "scheduling": {"nodeSelector": {"kind": "vm"}, "tolerations": [{"key": "vm", "operator": "Exists"}]}})]
    }

    #[test]
    fn a_pod_is_given_what_its_class_says() {
        let mut pod = json!({"spec": {"runtimeClassName": "vm", "nodeSelector": {"a": "b"}}});
        equip(&classes(), &mut pod).unwrap();
        assert_eq!(pod["spec"]["overhead"], json!({"cpu": "10m"}));
        assert_eq!(pod["spec"]["nodeSelector"], json!({"a": "b", "kind": "vm"}));
        assert_eq!(pod["spec"]["tolerations"][0]["key"], "vm");
        assert_eq!(refusal(&classes(), &pod), None);
    }

    #[test]
    fn what_its_class_does_not_say_is_refused() {
        let none = equip(&classes(), &mut json!({"spec": {"runtimeClassName": "x"}}));
        assert_eq!(none.unwrap_err(), "pod rejected: RuntimeClass \"x\" not found");
        let other = json!({"runtimeClassName": "vm", "nodeSelector": {"kind": "x"}});
        let conflict = equip(&classes(), &mut json!({"spec": other})).unwrap_err();
        assert_eq!(
            conflict,
            "conflict: runtimeClass.scheduling.nodeSelector[kind] = vm; pod.spec.nodeSelector[kind] = x"
        );
        let overhead = equip(&classes(), &mut json!({"spec": {"runtimeClassName": "vm", "overhead": {"cpu": "1"}}}));
        assert_eq!(overhead.unwrap_err(), OVERHEAD);
        let without = refusal(&classes(), &json!({"spec": {"overhead": {"cpu": "1"}}}));
        assert!(without.is_some_and(|why| why.contains("without corresponding RuntimeClass")));
    }
}
