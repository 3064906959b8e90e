//! `DefaultTolerationSeconds`: how long a pod stays on a node that is in trouble.

use serde_json::{Value, json};

use crate::{items, text};

/// How long a pod stays if it does not say.
const SECONDS: i64 = 300;

/// Lets a pod stay for a while on a node that is not ready or cannot be reached.
pub fn default(pod: &mut Value) {
    for key in ["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"] {
        let tolerated = items(&pod["spec"]["tolerations"]).any(|toleration| {
            let (found, effect) = (text(toleration, "key"), text(toleration, "effect"));
            (found == key || found.is_empty()) && matches!(effect, "NoExecute" | "")
        });
        if tolerated {
            continue;
        }
        if !pod["spec"]["tolerations"].is_array() {
            pod["spec"]["tolerations"] = json!([]);
        }
        if let Some(list) = pod["spec"]["tolerations"].as_array_mut() {
            list.push(json!({"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": SECONDS}));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_tolerated_already_is_left() {
        let mut pod = json!({"spec": {"tolerations": [{"key": "node.kubernetes.io/not-ready", "effect": "NoExecute", "tolerationSeconds": 5}]}});
        default(&mut pod);
        let keys: Vec<&str> = items(&pod["spec"]["tolerations"]).map(|toleration| text(toleration, "key")).collect();
        assert_eq!(keys, ["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"]);
        let mut all = json!({"spec": {"tolerations": [{"operator": "Exists"}]}});
        default(&mut all);
        assert_eq!(items(&all["spec"]["tolerations"]).count(), 1);
    }
}
