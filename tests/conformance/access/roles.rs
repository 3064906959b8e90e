//! Roles and bindings: what they allow, who may write them, and those that are there from the start.

use conformance::{
    cluster::{APPLY_PATCH, Call, MERGE_PATCH, STRATEGIC_PATCH},
    walk::{Walk, conform, embedded},
};
use serde_json::{Value, json};

use super::{RBAC, cluster_binding, cluster_role, counts, let_do};

const REF: &str = "rbac.authorization.k8s.io";

#[tokio::test]
async fn a_rule_allows_what_it_names_and_nothing_else() {
    conform(async |walk: &mut Walk| {
        let user = format!("ann-{}", walk.id);
        let ann = |call: Call| call.as_user(&user, &[]);
        let maps = walk.core("configmaps");
        for name in ["one", "two"] {
            walk.expect(201, Call::post(&maps, json!({"metadata": {"name": name}}))).await;
        }
        let_do(walk, &user, json!([
            {"apiGroups": [""], "resources": ["configmaps"], "resourceNames": ["one"], "verbs": ["get", "update", "patch", "delete", "list", "watch", "deletecollection"]},
            {"apiGroups": [""], "resources": ["services"], "verbs": ["create", "list"]},
            {"apiGroups": ["apps"], "resources": ["deployments/scale", "*/status"], "verbs": ["get", "patch"]},
            {"nonResourceURLs": ["/metrics/*", "/odd"], "verbs": ["get"]}])).await;
        walk.expect(200, ann(Call::get(format!("{maps}/one")))).await;
        walk.expect(403, ann(Call::get(format!("{maps}/two")))).await;
        walk.expect(403, ann(Call::get(&maps))).await;
        walk.expect(200, ann(Call::get(format!("{maps}?fieldSelector=metadata.name%3Done")))).await;
        walk.expect(403, ann(Call::get(format!("{maps}?fieldSelector=metadata.name%3Dtwo")))).await;
        walk.expect(403, ann(Call::get(format!("{maps}?fieldSelector=metadata.name!%3Done")))).await;
        walk.expect(403, ann(Call::get(format!("{maps}?watch=true&timeoutSeconds=1")))).await;
        walk.expect(403, ann(Call::post(&maps, json!({"metadata": {"name": "three"}})))).await;
        walk.expect(403, ann(Call::delete(&maps))).await;
        walk.expect(403, ann(Call::get("/api/v1/configmaps"))).await;
        walk.expect(200, ann(Call::patch(format!("{maps}/one"), MERGE_PATCH, json!({"data": {"a": "b"}})))).await;
        walk.expect(403, ann(Call::patch(format!("{maps}/two"), MERGE_PATCH, json!({"data": {"a": "b"}})))).await;
        walk.expect(200, ann(Call::put(format!("{maps}/one"), json!({"metadata": {"name": "one"}})))).await;
        let applied = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "four"}});
        walk.expect(403, ann(Call::patch(format!("{maps}/four?fieldManager=m"), APPLY_PATCH, applied))).await;
        walk.expect(200, ann(Call::delete(format!("{maps}/one")))).await;
        walk.expect(404, ann(Call::get(format!("{maps}/one")))).await;
        let deployments = walk.group("apps/v1", "deployments");
        walk.ask(ann(Call::get(format!("{deployments}/d")))).await;
        walk.ask(ann(Call::get(format!("{deployments}/d/scale")))).await;
        walk.ask(ann(Call::get(format!("{deployments}/d/status")))).await;
        walk.ask(ann(Call::patch(format!("{deployments}/d/status"), MERGE_PATCH, json!({})))).await;
        walk.ask(ann(Call::put(format!("{deployments}/d/status"), json!({})))).await;
        walk.ask(ann(Call::get(format!("{}/d/status", walk.group("batch/v1", "jobs"))))).await;
        let services = walk.core("services");
        walk.ask(ann(Call::get(&services))).await;
        walk.ask(ann(Call::get(format!("{services}?watch=1&timeoutSeconds=1")))).await;
        walk.ask(ann(Call::get("/api/v1/services?labelSelector=none"))).await;
        walk.ask(ann(Call::put(format!("{services}/s"), json!({"metadata": {"name": "s"}})))).await;
        for path in ["/metrics/x", "/metrics", "/odd", "/odd/x", "/other"] {
            walk.ask(ann(Call::get(path))).await;
        }
        walk.ask(ann(Call::post("/metrics/x", json!({})))).await;
        for path in ["/apis/nowhere.example/v1/things/x/y", "/apis/apps/v1/odd", "/api/v1/namespaces/x/finalize", "/api/v2/pods"] {
            walk.ask(ann(Call::get(path))).await;
        }
        walk.ask(ann(Call::put(format!("/api/v1/namespaces/{}/finalize", walk.space), json!({})))).await;
        walk.ask(ann(Call::delete(format!("/api/v1/namespaces/{}", walk.space)))).await;
        // Taken away, it counts no more.
        let name = format!("{}-{user}", walk.space);
        walk.expect(200, Call::delete(format!("{RBAC}/clusterrolebindings/{name}"))).await;
        walk.until(&walk.cluster.clone(), ann(Call::get(&services)), |answer| answer.code == 403).await;
        walk.ask(ann(Call::get(&services))).await;
    })
    .await;
}

#[tokio::test]
async fn roles_and_bindings_are_checked() {
    conform(async |walk: &mut Walk| {
        let id = walk.id.clone();
        let roles = walk.group("rbac.authorization.k8s.io/v1", "roles");
        let rules = [
            json!([{"apiGroups": [""], "resources": ["pods"], "verbs": []}]),
            json!([{"apiGroups": [], "resources": ["pods"], "verbs": ["get"]}]),
            json!([{"apiGroups": [""], "resources": [], "verbs": ["get"]}]),
            json!([{"verbs": ["get"]}]),
            json!([{"nonResourceURLs": ["/x"], "verbs": ["get"]}]),
            json!([{"nonResourceURLs": ["/x"], "apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}]),
            json!([{"nonResourceURLs": ["/x"], "resourceNames": ["a"], "verbs": ["get"]}]),
            json!([{"nonResourceURLs": ["/x", "*", "/y*", "/*/z", "nowhere"], "verbs": ["get", "*"]}]),
            json!([{"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}, {"verbs": []}]),
            json!([{"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "get"], "odd": 1}]),
            json!([{}]),
            json!([]),
            Value::Null,
        ];
        for (index, rules) in rules.iter().enumerate() {
            let body = json!({"metadata": {"name": format!("r{index}")}, "rules": rules});
            walk.ask(Call::post(&roles, body)).await;
            walk.ask(Call::post(
                format!("{RBAC}/clusterroles"),
                cluster_role(&format!("{id}:r{index}"), rules.clone()),
            ))
            .await;
        }
        for aggregation in [
            json!({"clusterRoleSelectors": []}),
            json!({}),
            json!({"clusterRoleSelectors": [{"matchLabels": {"-bad-": "x"}}]}),
            json!({"clusterRoleSelectors": [{"matchExpressions": [{"key": "a", "operator": "Odd"}]}]}),
            json!({"clusterRoleSelectors": [{"matchExpressions": [{"key": "a", "operator": "In"}]}]}),
        ] {
            let body = json!({"metadata": {"name": format!("{id}-aggregated")}, "aggregationRule": aggregation});
            walk.ask(Call::post(format!("{RBAC}/clusterroles?dryRun=All"), body)).await;
        }
        for name in ["a/b", "a%b", "..", "UPPER:case", "with space", ""] {
            walk.ask(Call::post(format!("{roles}?dryRun=All"), json!({"metadata": {"name": name}}))).await;
        }
        let bindings = walk.group("rbac.authorization.k8s.io/v1", "rolebindings");
        let group = REF;
        for (reference, subjects) in [
            (json!({"apiGroup": group, "kind": "Role", "name": "none"}), json!([])),
            (json!({"kind": "Role", "name": "none"}), Value::Null),
            (json!({"apiGroup": group, "kind": "ClusterRole", "name": "view"}), json!([{"kind": "User", "name": "a"}])),
            (json!({"apiGroup": "other", "kind": "Role", "name": "none"}), json!([])),
            (json!({"apiGroup": group, "kind": "Odd", "name": "none"}), json!([])),
            (json!({"apiGroup": group, "kind": "Role", "name": ""}), json!([])),
            (json!({"apiGroup": group, "kind": "Role", "name": "a/b"}), json!([])),
            (json!({}), json!([])),
            (json!({"apiGroup": group, "kind": "Role", "name": "x"}), json!([{"kind": "ServiceAccount", "name": "a"}])),
            (
                json!({"apiGroup": group, "kind": "Role", "name": "x"}),
                json!([{"kind": "ServiceAccount", "name": "A", "namespace": "n"}]),
            ),
            (
                json!({"apiGroup": group, "kind": "Role", "name": "x"}),
                json!([{"kind": "ServiceAccount", "apiGroup": group, "name": "a", "namespace": "n"}]),
            ),
            (
                json!({"apiGroup": group, "kind": "Role", "name": "x"}),
                json!([{"kind": "User", "apiGroup": "other", "name": "a", "namespace": "n"}]),
            ),
            (
                json!({"apiGroup": group, "kind": "Role", "name": "x"}),
                json!([{"kind": "Group", "apiGroup": "other", "name": ""}]),
            ),
            (json!({"apiGroup": group, "kind": "Role", "name": "x"}), json!([{"kind": "Odd", "name": "a"}])),
            (json!({"apiGroup": group, "kind": "Role", "name": "x"}), json!([{"name": "a"}])),
            (json!({"apiGroup": group, "kind": "Role", "name": "x"}), json!([{"kind": "User"}])),
        ] {
            let body = json!({"metadata": {"generateName": "g-"}, "roleRef": reference, "subjects": subjects});
            walk.ask(Call::post(&bindings, body.clone())).await;
            walk.ask(Call::post(format!("{RBAC}/clusterrolebindings"), body)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn what_a_binding_refers_to_stays() {
    conform(async |walk: &mut Walk| {
        let bindings = walk.group("rbac.authorization.k8s.io/v1", "rolebindings");
        let body = |role: &str| json!({"metadata": {"name": "b"}, "roleRef": {"apiGroup": REF, "kind": "Role", "name": role}, "subjects": []});
        walk.expect(201, Call::post(&bindings, body("one"))).await;
        walk.expect(422, Call::put(format!("{bindings}/b"), body("two"))).await;
        for change in [json!({"name": "two"}), json!({"kind": "ClusterRole"}), json!({"apiGroup": ""}), Value::Null] {
            walk.ask(Call::patch(format!("{bindings}/b"), MERGE_PATCH, json!({"roleRef": change}))).await;
        }
        let subjects = json!({"subjects": [{"kind": "User", "name": "ann"}]});
        walk.expect(200, Call::patch(format!("{bindings}/b"), STRATEGIC_PATCH, subjects)).await;
        let whole = format!("b-{}", walk.id);
        let all = format!("{RBAC}/clusterrolebindings");
        walk.expect(201, Call::post(&all, cluster_binding(&whole, "view", "ann"))).await;
        walk.expect(422, Call::put(format!("{all}/{whole}"), cluster_binding(&whole, "edit", "ann"))).await;
        walk.ask(Call::patch(format!("{all}/{whole}"), MERGE_PATCH, json!({"roleRef": {"name": "edit"}}))).await;
        walk.ask(Call::delete(format!("{all}/{whole}"))).await;
    })
    .await;
}

#[tokio::test]
async fn nobody_grants_more_than_they_have() {
    conform(async |walk: &mut Walk| {
        let (id, space) = (walk.id.clone(), walk.space.clone());
        let user = format!("ann-{id}");
        let ann = |call: Call| call.as_user(&user, &["crew"]);
        let_do(walk, &user, json!([
            {"apiGroups": ["rbac.authorization.k8s.io"], "resources": ["roles", "rolebindings", "clusterroles", "clusterrolebindings"], "verbs": ["get", "create", "update", "patch", "delete"]},
            {"apiGroups": [""], "resources": ["pods", "pods/log"], "verbs": ["get", "list"]},
            {"apiGroups": [""], "resources": ["configmaps"], "resourceNames": ["one"], "verbs": ["get"]},
            {"apiGroups": ["apps"], "resources": ["*/scale"], "verbs": ["*"]},
            {"nonResourceURLs": ["/logs/*"], "verbs": ["get"]}])).await;
        let roles = walk.group("rbac.authorization.k8s.io/v1", "roles");
        for (index, rules) in [
            json!([{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}]),
            json!([{"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "delete"]}]),
            json!([{"apiGroups": [""], "resources": ["pods", "secrets", "pods/log"], "verbs": ["get", "list", "watch"]}]),
            json!([{"apiGroups": [""], "resources": ["pods"], "resourceNames": ["a", "b"], "verbs": ["get", "create"]}]),
            json!([{"apiGroups": [""], "resources": ["configmaps"], "resourceNames": ["one"], "verbs": ["get"]}]),
            json!([{"apiGroups": [""], "resources": ["configmaps"], "resourceNames": ["one", "two"], "verbs": ["get"]}]),
            json!([{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get"]}]),
            json!([{"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}]),
            json!([{"apiGroups": ["", "apps"], "resources": ["pods", "deployments/scale"], "verbs": ["get"]}]),
            json!([{"apiGroups": ["apps"], "resources": ["*/scale", "deployments/scale"], "verbs": ["*"]}]),
            json!([{"apiGroups": [""], "resources": ["*"], "verbs": ["get"]}, {"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"]}]),
            json!([]),
        ]
        .iter()
        .enumerate()
        {
            let held = matches!(index, 0 | 4 | 9 | 11);
            let call = ann(Call::post(&roles, json!({"metadata": {"name": format!("r{index}")}, "rules": rules})));
            walk.expect(if held { 201 } else { 403 }, call).await;
        }
        let all = format!("{RBAC}/clusterroles");
        for (index, rules) in [
            json!([{"nonResourceURLs": ["/logs/*"], "verbs": ["get"]}]),
            json!([{"nonResourceURLs": ["/logs/a", "/logs/*/b"], "verbs": ["get"]}]),
            json!([{"nonResourceURLs": ["/logs", "/x", "*"], "verbs": ["get", "post"]}]),
            json!([{"nonResourceURLs": ["/x"], "verbs": ["*"]}, {"apiGroups": [""], "resources": ["nodes"], "verbs": ["get"]}]),
        ]
        .iter()
        .enumerate()
        {
            walk.ask(ann(Call::post(&all, cluster_role(&format!("{id}-{index}"), rules.clone())))).await;
        }
        let aggregated = json!({"metadata": {"name": format!("{id}-aggregated")}, "aggregationRule": {"clusterRoleSelectors": [{"matchLabels": {"a": id}}]}});
        walk.expect(403, ann(Call::post(&all, aggregated))).await;
        // Who changes a role answers for all that it gives, but for what lets it be collected.
        let strong = format!("{id}-strong");
        let rules = json!([{"apiGroups": [""], "resources": ["secrets"], "verbs": ["get", "list"]}, {"apiGroups": [""], "resources": ["nodes"], "verbs": ["get"]}]);
        walk.expect(201, Call::post(&all, cluster_role(&strong, rules))).await;
        walk.expect(403, ann(Call::patch(format!("{all}/{strong}"), MERGE_PATCH, json!({"metadata": {"labels": {"a": "b"}}})))).await;
        walk.expect(200, ann(Call::patch(format!("{all}/{strong}"), MERGE_PATCH, json!({"metadata": {"finalizers": ["sea.example/hold"]}})))).await;
        walk.expect(200, ann(Call::patch(format!("{all}/{strong}"), MERGE_PATCH, json!({"metadata": {"finalizers": null}})))).await;
        let fewer = json!({"rules": [{"apiGroups": [""], "resources": ["nodes"], "verbs": ["get"]}]});
        walk.ask(ann(Call::patch(format!("{all}/{strong}?dryRun=All"), MERGE_PATCH, fewer))).await;
        walk.ask(ann(Call::patch(format!("{all}/{strong}?dryRun=All"), MERGE_PATCH, json!({"rules": []})))).await;
        walk.ask(ann(Call::patch(format!("{all}/{strong}"), MERGE_PATCH, json!({"aggregationRule": {"clusterRoleSelectors": [{"matchLabels": {"a": id}}]}})))).await;
        // Bindings.
        let bindings = walk.group("rbac.authorization.k8s.io/v1", "rolebindings");
        let to = |name: &str, kind: &str, role: &str| json!({"metadata": {"name": name}, "roleRef": {"apiGroup": REF, "kind": kind, "name": role}, "subjects": [{"kind": "User", "apiGroup": REF, "name": "x"}]});
        for (index, (kind, role)) in
            [("Role", "r0"), ("Role", "none"), ("ClusterRole", strong.as_str()), ("ClusterRole", "none"), ("ClusterRole", "cluster-admin")].into_iter().enumerate()
        {
            walk.ask(ann(Call::post(&bindings, to(&format!("b{index}"), kind, role)))).await;
            walk.ask(ann(Call::post(format!("{RBAC}/clusterrolebindings"), to(&format!("{id}-b{index}"), "ClusterRole", role)))).await;
        }
        walk.expect(201, Call::post(&bindings, to("strong", "ClusterRole", &strong))).await;
        walk.expect(403, ann(Call::patch(format!("{bindings}/strong"), MERGE_PATCH, json!({"metadata": {"labels": {"a": "b"}}})))).await;
        walk.expect(403, ann(Call::patch(format!("{bindings}/strong"), MERGE_PATCH, json!({"subjects": [{"kind": "User", "apiGroup": REF, "name": "y"}]})))).await;
        walk.ask(ann(Call::patch(format!("{bindings}/strong"), MERGE_PATCH, json!({"subjects": []})))).await;
        walk.ask(ann(Call::delete(format!("{bindings}/strong")))).await;
        // The verbs that lift it.
        let bold = format!("bold-{id}");
        let_do(walk, &bold, json!([
            {"apiGroups": ["rbac.authorization.k8s.io"], "resources": ["roles", "rolebindings", "clusterroles", "clusterrolebindings"], "verbs": ["get", "create", "update", "patch"]},
            {"apiGroups": ["rbac.authorization.k8s.io"], "resources": ["clusterroles"], "resourceNames": [strong], "verbs": ["escalate", "bind"]}])).await;
        let mut grown = cluster_role(&strong, json!([{"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}]));
        walk.expect(200, Call::put(format!("{all}/{strong}"), grown.clone()).as_user(&bold, &[])).await;
        grown["metadata"]["name"] = format!("{id}-other").into();
        walk.expect(403, Call::post(&all, grown).as_user(&bold, &[])).await;
        walk.expect(201, Call::post(&bindings, to("bold", "ClusterRole", &strong)).as_user(&bold, &[])).await;
        walk.expect(201, Call::post(format!("{RBAC}/clusterrolebindings"), to(&format!("{id}-bold"), "ClusterRole", &strong)).as_user(&bold, &[])).await;
        walk.expect(403, Call::post(&bindings, to("bolder", "ClusterRole", "system:auth-delegator")).as_user(&bold, &[])).await;
        // In one namespace.
        let local = format!("local-{id}");
        let rules = json!([{"apiGroups": ["rbac.authorization.k8s.io"], "resources": ["roles"], "verbs": ["create", "escalate"]}]);
        walk.expect(201, Call::post(&roles, json!({"metadata": {"name": "local"}, "rules": rules}))).await;
        let mut binding = to("local", "Role", "local");
        binding["subjects"][0]["name"] = local.clone().into();
        walk.expect(201, Call::post(&bindings, binding)).await;
        counts(walk, &local, json!({"group": REF, "resource": "roles", "verb": "escalate", "namespace": space})).await;
        let secrets = json!([{"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"]}]);
        walk.expect(201, Call::post(&roles, json!({"metadata": {"name": "made"}, "rules": secrets})).as_user(&local, &[])).await;
        walk.expect(403, Call::post(format!("{RBAC}/namespaces/default/roles"), json!({"metadata": {"name": "made"}, "rules": secrets})).as_user(&local, &[])).await;
    })
    .await;
}

#[tokio::test]
async fn the_default_roles_are_those_of_the_real_server() {
    conform(async |walk: &mut Walk| {
        for plural in ["clusterroles", "clusterrolebindings", "roles", "rolebindings"] {
            let defaults =
                Call::get(format!("{RBAC}/{plural}?labelSelector=kubernetes.io/bootstrapping%3Drbac-defaults"));
            let list = walk.quietly(defaults).await;
            let mut all = list.body["items"].as_array().cloned().unwrap_or_default();
            assert!(!all.is_empty(), "{plural}");
            // The product's own beside them.
            all.retain(|object| !object["metadata"]["name"].as_str().unwrap_or_default().starts_with("roadstead:"));
            all.sort_by_key(|object| {
                (object["metadata"]["namespace"].to_string(), object["metadata"]["name"].to_string())
            });
            for mut object in all {
                // Theirs are filled by a controller of their own.
                if !object["aggregationRule"].is_null() {
                    object.as_object_mut().unwrap().remove("rules");
                }
                for list in ["rules", "subjects"] {
                    if let Some(items) = object[list].as_array_mut() {
                        items.sort_by_key(ToString::to_string);
                    }
                }
                let name = object["metadata"]["name"].as_str().unwrap_or_default().to_owned();
                walk.found(&format!("{plural} {name}"), object);
            }
        }
    })
    .await;
}

#[tokio::test]
async fn a_role_is_made_of_the_roles_that_it_selects() {
    // A controller does it elsewhere; beside the real server none runs.
    embedded(async |walk: &mut Walk| {
        let all = format!("{RBAC}/clusterroles");
        let (id, whole) = (walk.id.clone(), format!("whole-{}", walk.id));
        let body = json!({"metadata": {"name": whole}, "aggregationRule": {"clusterRoleSelectors": [{"matchLabels": {"into": id}}, {"matchLabels": {"also": id}}]},
            "rules": [{"apiGroups": [""], "resources": ["overwritten"], "verbs": ["get"]}]});
        walk.expect(201, Call::post(&all, body)).await;
        let rules = async |walk: &mut Walk| walk.expect(200, Call::get(format!("{all}/{whole}"))).await.body["rules"].clone();
        for (label, resource) in [("into", "boats"), ("also", "piers"), ("none", "birds")] {
            let mut part = cluster_role(&format!("{resource}-{id}"), json!([{"apiGroups": ["sea"], "resources": [resource], "verbs": ["get"]}]));
            part["metadata"]["labels"] = json!({label: id});
            walk.expect(201, Call::post(&all, part)).await;
        }
        let found = rules(walk).await;
        let names: Vec<&Value> = found.as_array().unwrap().iter().map(|rule| &rule["resources"][0]).collect();
        assert_eq!(names, ["boats", "piers"]);
        walk.expect(200, Call::delete(format!("{all}/boats-{id}"))).await;
        assert_eq!(rules(walk).await[0]["resources"][0], "piers");
    })
    .await;
}
