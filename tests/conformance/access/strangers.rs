//! Strangers, and those who act as somebody else.

use conformance::{
    cluster::Call,
    identity::Identity,
    walk::{Walk, conform},
};
use serde_json::json;

use super::{AUTHENTICATION, let_do};

#[tokio::test]
async fn strangers_reach_health_and_version_alone() {
    conform(async |walk: &mut Walk| {
        let stranger = walk.cluster.known_by(None).unwrap();
        for path in ["/livez", "/readyz", "/healthz"] {
            let answer = walk.ask_as(&stranger, Call::get(path)).await;
            assert_eq!((answer.code, answer.body.as_str()), (200, Some("ok")), "{path}");
        }
        // It says which build it is.
        let version = stranger.send(&Call::get("/version")).await.unwrap();
        assert_eq!((version.code, version.text("/major")), (200, "1"));
        let refused = [
            "/",
            "/api",
            "/api/",
            "/apis",
            "/apis/apps",
            "/apis/apps/v1",
            "/api/v1",
            "/metrics",
            "/openapi/v2",
            "/openapi/v3",
            "/livez/ping",
            "/healthz/etcd",
            "/readyz/",
            "/logs",
            "/debug/pprof",
            "/nowhere",
            "/.well-known/openid-configuration",
            "/openid/v1/jwks",
            "/api/v1/pods",
            "/api/v1/namespaces",
            "/api/v1/namespaces/default",
            "/api/v1/namespaces/kube-system/secrets",
            "/api/v1/namespaces/default/pods/x/log",
            "/apis/apps/v1/namespaces/default/deployments/x/scale",
            "/apis/nowhere.example/v1/things",
            "/apis/nowhere.example/v1/namespaces/default/things/x",
            "/api/v1/namespaces/default/pods?watch=true",
            "/api/v1/namespaces/default/pods?fieldSelector=metadata.name%3Dx",
            "/api/v1/nodes/n/proxy/x",
        ];
        for path in refused {
            let answer = walk.ask_as(&stranger, Call::get(path)).await;
            assert_eq!(answer.code, 403, "{path}");
        }
        for call in [
            Call::post("/api/v1/namespaces/default/pods", json!({})),
            Call::put("/api/v1/namespaces/default/pods/x", json!({})),
            Call::delete("/api/v1/namespaces/default/pods/x"),
            Call::delete("/api/v1/namespaces/default/pods"),
            Call::patch("/api/v1/namespaces/default/pods/x/status", "application/merge-patch+json", json!({})),
            Call::post("/api/v1/namespaces/default/pods/x/exec?command=ls", json!({})),
            Call::post("/api/v1/namespaces/default/pods/x/eviction", json!({})),
            Call::post("/healthz", json!({})),
            Call::post("/apis/authentication.k8s.io/v1/selfsubjectreviews", json!({})),
            Call::post("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", json!({})),
            Call::new("OPTIONS", "/api/v1/pods"),
            Call::new("HEAD", "/api/v1/pods"),
        ] {
            walk.ask_as(&stranger, call).await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_certificate_says_who_asks() {
    // Another authority's certificates are trusted elsewhere.
    if std::env::var("CONFORMANCE_KUBECONFIG").is_ok() {
        return;
    }
    conform(async |walk: &mut Walk| {
        let me = || Call::post(format!("{AUTHENTICATION}/selfsubjectreviews"), json!({}));
        for (name, groups, uid) in [
            (format!("ann-{}", walk.id), vec!["crew", "deck"], ""),
            (format!("bob-{}", walk.id), vec![], "7"),
            ("root".to_owned(), vec!["system:masters"], ""),
            (format!("system:node:{}", walk.id), vec!["system:nodes"], ""),
            (String::new(), vec!["crew"], ""),
        ] {
            let known = walk.cluster.certified(&Identity::new(&name, &groups, uid).unwrap()).unwrap();
            let answer = known.send(&me()).await.unwrap();
            let mut body = answer.body.clone();
            // The certificate's fingerprint.
            if let Some(id) = body.pointer_mut("/status/userInfo/extra/authentication.kubernetes.io~1credential-id/0") {
                assert!(id.as_str().unwrap_or_default().starts_with("X509SHA256="), "{id}");
                *id = "(fingerprint)".into();
            }
            walk.found(&format!("who {name} is, in {groups:?} and with {uid:?}"), body);
            walk.ask_as(&known, Call::get(walk.core("secrets?labelSelector=none"))).await;
            assert_eq!(answer.code, if name.is_empty() { 403 } else { 201 }, "{}", answer.body);
        }
    })
    .await;
}

#[tokio::test]
async fn whoever_is_known_may_look_at_what_is_served_and_no_further() {
    conform(async |walk: &mut Walk| {
        let user = format!("ann-{}", walk.id);
        // What these answer is compared elsewhere.
        for path in ["/api", "/apis", "/apis/apps/v1", "/openapi/v3", "/version", "/healthz"] {
            let answer = walk.quietly(Call::get(path).as_user(&user, &[])).await;
            assert_eq!(answer.code, 200, "{path}: {}", answer.body);
        }
        for path in [
            "/metrics",
            "/",
            "/livez/ping",
            "/logs/",
            "/nowhere",
            "/api/v1/pods",
            "/api/v1/nodes/x",
            "/apis/apps/v1/deployments",
        ] {
            walk.expect(403, Call::get(path).as_user(&user, &[])).await;
        }
        // Two groups may see more; what they see is the cluster's own.
        for (group, path, code) in [
            ("system:monitoring", "/metrics", 200),
            ("system:serviceaccounts", "/metrics", 403),
            ("system:serviceaccounts", "/.well-known/openid-configuration", 200),
            ("system:serviceaccounts", "/openid/v1/jwks", 200),
            ("system:authenticated", "/.well-known/openid-configuration", 403),
        ] {
            let answer = walk.quietly(Call::get(path).as_user(&user, &[group]).accept("*/*")).await;
            assert_eq!(answer.code, code, "{group} {path}");
        }
    })
    .await;
}

#[tokio::test]
async fn who_acts_as_somebody_else_is_asked_for_each_part_of_it() {
    conform(async |walk: &mut Walk| {
        let (id, space) = (walk.id.clone(), walk.space.clone());
        let me = || Call::post(format!("{AUTHENTICATION}/selfsubjectreviews"), json!({}));
        // A master may act as anybody.
        let ann = format!("ann-{id}");
        walk.expect(201, me().as_user(&ann, &[])).await;
        walk.expect(201, me().as_user(&ann, &["a", "b", "a"])).await;
        for (name, value) in [
            ("impersonate-uid", "7"),
            ("impersonate-extra-team", "sea"),
            ("impersonate-extra-Acme.com%2Fproject", "x"),
            ("impersonate-extra-bad%zz", "x"),
            ("impersonate-extra-", "x"),
            ("impersonate-odd", "x"),
            ("impersonate-group", ""),
            ("impersonate-group", "system:unauthenticated"),
            ("impersonate-group", "system:serviceaccounts"),
        ] {
            walk.ask(me().as_user(&ann, &[]).header(name, value)).await;
        }
        walk.ask(me().as_user(&ann, &[]).header("impersonate-extra-t", "x").header("impersonate-extra-t", "y")).await;
        for name in [
            "system:anonymous",
            "system:serviceaccount:a:b",
            "system:serviceaccount:a",
            "system:serviceaccount:a:b:c",
            "system:serviceaccount:A:b",
            "system:serviceaccount::b",
            "system:node:n",
            "system:masters",
            "",
        ] {
            walk.ask(me().as_user(name, &[])).await;
            walk.ask(me().as_user(name, &["g"])).await;
        }
        for (name, value) in
            [("impersonate-group", "g"), ("impersonate-uid", "7"), ("impersonate-extra-team", "sea"), ("impersonate-odd", "x")]
        {
            walk.ask(me().header(name, value)).await;
        }
        // An agent may act as these alone.
        let agent = format!("agent-{id}");
        let rules = json!([
            {"apiGroups": [""], "resources": ["users"], "resourceNames": ["bob"], "verbs": ["impersonate"]},
            {"apiGroups": [""], "resources": ["groups"], "resourceNames": ["devs"], "verbs": ["impersonate"]},
            {"apiGroups": ["authentication.k8s.io"], "resources": ["uids"], "resourceNames": ["7"], "verbs": ["impersonate"]},
            {"apiGroups": ["authentication.k8s.io"], "resources": ["userextras/team"], "resourceNames": ["sea"], "verbs": ["impersonate"]}]);
        let_do(walk, &agent, rules).await;
        walk.expect(201, Call::post(walk.core("serviceaccounts"), json!({"metadata": {"name": "agent"}}))).await;
        let role = json!({"metadata": {"name": "agent"}, "rules": [
            {"apiGroups": [""], "resources": ["serviceaccounts"], "resourceNames": ["bot"], "verbs": ["impersonate"]},
            {"apiGroups": [""], "resources": ["users"], "verbs": ["impersonate"]}]});
        let roles = walk.group("rbac.authorization.k8s.io/v1", "roles");
        walk.expect(201, Call::post(roles, role)).await;
        let bindings = walk.group("rbac.authorization.k8s.io/v1", "rolebindings");
        let account = format!("system:serviceaccount:{space}:agent");
        let binding = json!({"metadata": {"name": "agent"}, "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "agent"},
            "subjects": [{"kind": "ServiceAccount", "name": "agent", "namespace": space}]});
        walk.expect(201, Call::post(bindings, binding)).await;
        super::counts(walk, &account, json!({"resource": "serviceaccounts", "name": "bot", "verb": "impersonate", "namespace": space})).await;
        let token = walk.quietly(Call::post(walk.core("serviceaccounts/agent/token"), json!({"spec": {}}))).await;
        let by_account = walk.cluster.known_by(Some(token.text("/status/token"))).unwrap();
        for (name, groups) in [
            (format!("system:serviceaccount:{space}:bot"), vec![]),
            (format!("system:serviceaccount:{space}:bot"), vec!["devs"]),
            (format!("system:serviceaccount:{space}:other"), vec![]),
            ("system:serviceaccount:elsewhere:bot".to_owned(), vec![]),
            ("bob".to_owned(), vec![]),
            ("system:masters".to_owned(), vec![]),
            ("system:node:n".to_owned(), vec![]),
        ] {
            walk.ask_as(&by_account, me().as_user(&name, &groups)).await;
        }
        for (name, value) in [("impersonate-uid", "7"), ("impersonate-extra-team", "sea"), ("impersonate-extra-other", "x")] {
            walk.ask_as(&by_account, me().as_user("bob", &[]).header(name, value)).await;
        }
        // Only who is known to the cluster can tell it of another: the agent by its account's token.
        let_do(walk, &account, json!([
            {"apiGroups": [""], "resources": ["users"], "resourceNames": ["bob"], "verbs": ["impersonate"]},
            {"apiGroups": [""], "resources": ["groups"], "resourceNames": ["devs", "system:authenticated"], "verbs": ["impersonate"]},
            {"apiGroups": ["authentication.k8s.io"], "resources": ["uids"], "resourceNames": ["7"], "verbs": ["impersonate"]},
            {"apiGroups": ["authentication.k8s.io"], "resources": ["userextras/team"], "resourceNames": ["sea"], "verbs": ["impersonate"]}])).await;
        let bob = || me().as_user("bob", &[]);
        for call in [
            bob(),
            me().as_user("bob", &["devs"]),
            me().as_user("bob", &["devs", "ops"]),
            me().as_user("bob", &["system:masters"]),
            me().as_user("bob", &["system:authenticated"]),
            me().as_user("carl", &["devs"]),
            bob().header("impersonate-uid", "7"),
            bob().header("impersonate-uid", "8"),
            bob().header("impersonate-extra-team", "sea"),
            bob().header("impersonate-extra-team", "land"),
            bob().header("impersonate-extra-team", "sea").header("impersonate-extra-team", "land"),
            bob().header("impersonate-extra-other", "sea"),
            me().as_user("system:anonymous", &[]),
        ] {
            walk.ask_as(&by_account, call).await;
        }
        for call in [me().as_user("bob", &["system:masters"]), me().as_user("carl", &[]), bob().header("impersonate-uid", "8")] {
            assert_eq!(walk.ask_as(&by_account, call).await.code, 403);
        }
        walk.ask_as(&by_account, Call::get(walk.core("pods")).as_user("bob", &["devs"])).await;
        walk.ask_as(&walk.cluster.known_by(None).unwrap(), bob()).await;
    })
    .await;
}
