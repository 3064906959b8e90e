//! Who asks, and may they: tokens, reviews, roles, impersonation, nodes, certificates.

mod nodes;
mod requests;
mod reviews;
mod roles;
mod strangers;
mod tokens;

use conformance::{
    cluster::{Answer, Call},
    walk::Walk,
};
use serde_json::{Value, json};

const RBAC: &str = "/apis/rbac.authorization.k8s.io/v1";
const AUTHORIZATION: &str = "/apis/authorization.k8s.io/v1";
const AUTHENTICATION: &str = "/apis/authentication.k8s.io/v1";

/// A role of these rules, for the whole cluster.
fn cluster_role(name: &str, rules: Value) -> Value {
    json!({"metadata": {"name": name}, "rules": rules})
}

/// A binding of a cluster's role to a user.
fn cluster_binding(name: &str, role: &str, user: &str) -> Value {
    json!({"metadata": {"name": name}, "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": user}]})
}

/// Gives a user these rights everywhere, and waits until they count.
pub(crate) async fn let_do(walk: &mut Walk, user: &str, rules: Value) {
    let name = format!("{}-{user}", walk.space);
    let seen = json!({"apiGroups": ["seen.example"], "resources": [name], "verbs": ["see"]});
    let mut all = rules.as_array().cloned().unwrap_or_default();
    all.push(seen);
    walk.expect(201, Call::post(format!("{RBAC}/clusterroles"), cluster_role(&name, all.into()))).await;
    walk.expect(201, Call::post(format!("{RBAC}/clusterrolebindings"), cluster_binding(&name, &name, user))).await;
    counts(walk, user, json!({"group": "seen.example", "resource": name, "verb": "see"})).await;
}

/// Waits until a user may do this.
async fn counts(walk: &Walk, user: &str, wish: Value) {
    let review = json!({"spec": {"user": user, "resourceAttributes": wish}});
    let call = Call::post(format!("{AUTHORIZATION}/subjectaccessreviews"), review);
    walk.until(&walk.cluster.clone(), call, |answer: &Answer| answer.body["status"]["allowed"] == true).await;
}

/// A pod of one container under this account.
fn pod(name: &str, account: &str) -> Value {
    json!({"metadata": {"name": name}, "spec": {"serviceAccountName": account, "containers": [{"name": "c", "image": "i"}]}})
}
