//! The objects that exist from the start: namespaces and the default roles.

use serde_json::{Value, json};

/// A kind's place, and the object: `(group, version, plural, object)`.
pub(crate) type Seed = (&'static str, &'static str, &'static str, Value);

const RBAC: &str = "rbac.authorization.k8s.io";

fn rule(groups: &[&str], resources: &[&str], verbs: &[&str]) -> Value {
    json!({"apiGroups": groups, "resources": resources, "verbs": verbs})
}

fn cluster_role(name: &str, rules: &[Value]) -> Seed {
    let object = json!({"metadata": {"name": name, "labels": {"kubernetes.io/bootstrapping": "rbac-defaults"},
        "annotations": {"rbac.authorization.kubernetes.io/autoupdate": "true"}}, "rules": rules});
    (RBAC, "v1", "clusterroles", object)
}

fn cluster_binding(name: &str, role: &str, groups: &[&str]) -> Seed {
    let subjects: Vec<Value> =
        groups.iter().map(|group| json!({"kind": "Group", "apiGroup": RBAC, "name": group})).collect();
    let object = json!({"metadata": {"name": name, "labels": {"kubernetes.io/bootstrapping": "rbac-defaults"}},
        "roleRef": {"apiGroup": RBAC, "kind": "ClusterRole", "name": role}, "subjects": subjects});
    (RBAC, "v1", "clusterrolebindings", object)
}

/// Returns what has to exist, in the order to create it.
pub(crate) fn seeds() -> Vec<Seed> {
    const READ: &[&str] = &["get", "list", "watch"];
    const WRITE: &[&str] = &["create", "delete", "deletecollection", "patch", "update"];
    let everything: Vec<&str> = READ.iter().chain(WRITE).copied().collect();
    let namespaced = [
        rule(&[""], &["pods", "services", "configmaps", "serviceaccounts", "events"], &everything),
        rule(&[""], &["pods/log", "pods/status", "namespaces"], READ),
        rule(&["apps"], &["deployments", "deployments/scale", "replicasets", "replicasets/scale"], &everything),
        rule(&["discovery.k8s.io"], &["endpointslices"], READ),
        rule(&["platform.io"], &["microservices", "repositories"], &everything),
        rule(&["argoproj.io"], &["applications"], &everything),
        rule(&["gateway.networking.k8s.io"], &["httproutes", "gateways"], &everything),
        rule(&["networking.istio.io"], &["virtualservices"], &everything),
    ];
    let reading: Vec<Value> = namespaced
        .iter()
        .map(|rule| {
            let mut rule = rule.clone();
            rule["verbs"] = json!(READ);
            rule
        })
        .collect();
    let secrets = rule(&[""], &["secrets"], &everything);
    let roles = rule(&[RBAC], &["roles", "rolebindings"], &everything);
    let edit: Vec<Value> = namespaced.iter().cloned().chain([secrets]).collect();
    let admin: Vec<Value> = edit.iter().cloned().chain([roles]).collect();
    let mut seeds: Vec<Seed> = ["default", "kube-system", "kube-public", "kube-node-lease", "roadstead-system"]
        .iter()
        .map(|name| ("", "v1", "namespaces", json!({"metadata": {"name": name}})))
        .collect();
    seeds.extend([
        cluster_role("cluster-admin", &[rule(&["*"], &["*"], &["*"]), json!({"nonResourceURLs": ["*"], "verbs": ["*"]})]),
        cluster_role("admin", &admin),
        cluster_role("edit", &edit),
        cluster_role("view", &reading),
        cluster_role(
            "system:discovery",
            &[json!({"nonResourceURLs": ["/api", "/api/*", "/apis", "/apis/*", "/openapi", "/openapi/*", "/version", "/version/", "/healthz", "/livez", "/readyz"], "verbs": ["get"]})],
        ),
        cluster_role(
            "system:public-info-viewer",
            &[json!({"nonResourceURLs": ["/healthz", "/livez", "/readyz", "/version", "/version/"], "verbs": ["get"]})],
        ),
        cluster_role(
            "system:basic-user",
            &[
                rule(&["authorization.k8s.io"], &["selfsubjectaccessreviews", "selfsubjectrulesreviews"], &["create"]),
                rule(&["authentication.k8s.io"], &["selfsubjectreviews"], &["create"]),
            ],
        ),
        cluster_role(
            "roadstead:gateway",
            &[
                rule(&[""], &["services", "namespaces"], READ),
                rule(&["discovery.k8s.io"], &["endpointslices"], READ),
                rule(&["gateway.networking.k8s.io"], &["gatewayclasses", "gateways", "httproutes", "referencegrants"], READ),
                rule(&["gateway.networking.k8s.io"], &["gatewayclasses/status", "gateways/status", "httproutes/status"], &["get", "patch", "update"]),
                rule(&["networking.istio.io"], &["virtualservices", "gateways"], READ),
                rule(&["networking.istio.io"], &["virtualservices/status"], &["get", "patch", "update"]),
            ],
        ),
        cluster_binding("cluster-admin", "cluster-admin", &["system:masters"]),
        cluster_binding("system:discovery", "system:discovery", &["system:authenticated"]),
        cluster_binding("system:basic-user", "system:basic-user", &["system:authenticated"]),
        cluster_binding("system:public-info-viewer", "system:public-info-viewer", &["system:authenticated", "system:unauthenticated"]),
        cluster_binding("roadstead:gateway", "roadstead:gateway", &["roadstead:gateways"]),
    ]);
    seeds
}
