//! What holds of any manifests and any live object.

use proptest::prelude::*;
use release::merge::{desired, patch};
use serde_json::{Value, json};

fn container() -> impl Strategy<Value = Value> {
    let port = (1..4_u16).prop_map(|port| json!({"containerPort": port}));
    let variable = ("[A-C]", "[a-c]").prop_map(|(name, value)| json!({"name": name, "value": value}));
    let (ports, env) = (prop::collection::vec(port, 0..3), prop::collection::vec(variable, 0..3));
    ("[a-d]", "[x-z]", prop::option::of(prop::collection::vec("[a-c]", 0..3)), ports, env).prop_map(
        |(name, image, args, ports, env)| {
            let mut container = json!({"name": name, "image": image, "ports": ports, "env": env});
            if let Some(args) = args {
                container["args"] = json!(args);
            }
            container
        },
    )
}

/// Containers of different names, as the API server would have them.
fn deployment() -> impl Strategy<Value = Value> {
    let strategy = prop_oneof![
        Just(Value::Null),
        Just(json!({"type": "Recreate"})),
        (0..3_u8).prop_map(|surge| json!({"type": "RollingUpdate", "rollingUpdate": {"maxSurge": surge}})),
    ];
    let labels = prop::collection::btree_map("[a-c]", "[x-z]", 0..3);
    (prop::collection::vec(container(), 0..4), strategy, prop::option::of(0..5_u8), labels).prop_map(
        |(mut containers, strategy, replicas, labels)| {
            let mut seen = std::collections::HashSet::new();
            containers.retain(|one| seen.insert(one["name"].clone()));
            let mut spec = json!({"template": {"spec": {"containers": containers}}});
            if !strategy.is_null() {
                spec["strategy"] = strategy;
            }
            if let Some(replicas) = replicas {
                spec["replicas"] = replicas.into();
            }
            json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"labels": labels}, "spec": spec})
        },
    )
}

proptest! {
    #[test]
    fn applied_twice_is_applied_once(before in deployment(), wanted in deployment(), live in deployment()) {
        let once = desired(Some(&before), &wanted, &live);
        prop_assert_eq!(desired(Some(&wanted), &wanted, &once), once);
    }

    #[test]
    fn a_patch_makes_what_it_was_made_for(before in deployment(), wanted in deployment(), live in deployment()) {
        let made = desired(Some(&before), &wanted, &live);
        let patched = match patch(&live, &made) {
            Some(patch) => schema::patch::merge(&live, &patch).unwrap(),
            None => live,
        };
        prop_assert_eq!(patched, made);
    }

    #[test]
    fn nothing_that_nobody_else_touched_is_left_of_the_last_manifest(before in deployment(), wanted in deployment()) {
        let made = desired(Some(&before), &wanted, &before);
        let names = |object: &Value| -> Vec<Value> {
            let list = object["spec"]["template"]["spec"]["containers"].as_array().cloned().unwrap_or_default();
            list.iter().map(|one| one["name"].clone()).collect()
        };
        prop_assert_eq!(names(&made), names(&wanted));
        prop_assert_eq!(&made["metadata"], &wanted["metadata"]);
        prop_assert_eq!(&made["spec"]["replicas"], &wanted["spec"]["replicas"]);
    }
}
