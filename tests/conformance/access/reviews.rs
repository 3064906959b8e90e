//! Reviews: whether somebody may do something, asked by others and by themselves.

use conformance::{
    cluster::Call,
    walk::{Walk, conform},
};
use serde_json::{Value, json};

use super::{AUTHORIZATION, counts, let_do};

/// What is asked of access: things and paths, well asked and badly.
fn wishes(space: &str) -> Vec<Value> {
    let of = |attributes: Value| json!({"resourceAttributes": attributes});
    vec![
        of(json!({"verb": "get", "resource": "pods", "namespace": space})),
        of(json!({"verb": "get", "resource": "pods", "namespace": space, "version": "v9"})),
        of(json!({"verb": "get", "resource": "pods", "namespace": "elsewhere"})),
        of(json!({"verb": "get", "resource": "pods"})),
        of(json!({"verb": "list", "resource": "pods", "namespace": space})),
        of(json!({"verb": "*", "resource": "pods", "namespace": space})),
        of(json!({"verb": "get", "resource": "*", "namespace": space})),
        of(json!({"verb": "get", "resource": "pods", "group": "*", "namespace": space})),
        of(json!({"verb": "get", "resource": "pods", "subresource": "log", "namespace": space})),
        of(json!({"verb": "get", "resource": "pods", "subresource": "status", "namespace": space})),
        of(json!({"verb": "get", "resource": "pods/log", "namespace": space})),
        of(
            json!({"verb": "get", "resource": "deployments", "group": "apps", "subresource": "scale", "namespace": space}),
        ),
        of(json!({"verb": "update", "resource": "deployments", "group": "apps", "subresource": "scale", "name": "d"})),
        of(json!({"verb": "update", "resource": "configmaps", "name": "one", "namespace": space})),
        of(json!({"verb": "update", "resource": "configmaps", "name": "two", "namespace": space})),
        of(json!({"verb": "update", "resource": "configmaps", "namespace": space})),
        of(json!({"verb": "use", "resource": "boats", "group": "sea.example", "namespace": space})),
        of(json!({"verb": "use", "resource": "boats", "group": "", "namespace": space})),
        of(json!({"verb": "", "resource": "pods"})),
        of(json!({"verb": "get"})),
        of(json!({})),
        json!({"nonResourceAttributes": {"path": "/logs/x", "verb": "get"}}),
        json!({"nonResourceAttributes": {"path": "/logs", "verb": "get"}}),
        json!({"nonResourceAttributes": {"path": "/logs/x", "verb": "post"}}),
        json!({"nonResourceAttributes": {"path": "/exact", "verb": "get"}}),
        json!({"nonResourceAttributes": {"path": "/exact/x", "verb": "get"}}),
        json!({"nonResourceAttributes": {}}),
        json!({"nonResourceAttributes": {"path": "/x"}, "resourceAttributes": {"verb": "get"}}),
        json!({}),
    ]
}

/// Selectors that a wish may carry, and what is wrong with some.
fn selectors() -> Vec<Value> {
    let fields = |selector: Value| json!({"fieldSelector": selector});
    let labels = |selector: Value| json!({"labelSelector": selector});
    let one = |key: &str, operator: &str, values: Value| json!({"requirements": [{"key": key, "operator": operator, "values": values}]});
    vec![
        fields(one("spec.nodeName", "In", json!(["n"]))),
        fields(one("spec.nodeName", "In", json!(["n", "m"]))),
        fields(one("spec.nodeName", "In", json!([]))),
        fields(one("spec.nodeName", "NotIn", json!(["n"]))),
        fields(one("spec.nodeName", "Exists", json!([]))),
        fields(one("spec.nodeName", "Exists", json!(["n"]))),
        fields(one("spec.nodeName", "Odd", json!(["n"]))),
        fields(one("spec.nodeName", "", json!(["n"]))),
        fields(one("", "In", json!(["n"]))),
        fields(json!({"rawSelector": "spec.nodeName=n"})),
        fields(json!({"rawSelector": "=="})),
        fields(json!({"rawSelector": "a=b", "requirements": [{"key": "a", "operator": "In", "values": ["b"]}]})),
        fields(json!({})),
        labels(one("team", "In", json!(["a"]))),
        labels(one("team", "In", json!([]))),
        labels(one("team", "NotIn", json!([]))),
        labels(one("team", "Exists", json!(["a"]))),
        labels(one("team", "DoesNotExist", json!(["a"]))),
        labels(one("team", "DoesNotExist", json!([]))),
        labels(one("-bad-", "In", json!(["a"]))),
        labels(one("team", "In", json!(["-bad-"]))),
        labels(one("team", "Odd", json!(["a"]))),
        labels(one("", "In", json!(["a"]))),
        labels(json!({"rawSelector": "team=a"})),
        labels(json!({"rawSelector": "team in ("})),
        labels(json!({"rawSelector": "a=b", "requirements": [{"key": "a", "operator": "In", "values": ["b"]}]})),
        labels(json!({})),
    ]
}

fn merged(one: &Value, other: &Value) -> Value {
    let mut whole = one.clone();
    for (key, value) in other.as_object().into_iter().flatten() {
        whole[key] = value.clone();
    }
    whole
}

/// Rights of many shapes.
fn rights() -> Value {
    json!([
        {"apiGroups": [""], "resources": ["pods", "pods/log"], "verbs": ["get", "list"]},
        {"apiGroups": ["apps"], "resources": ["*/scale"], "verbs": ["update"]},
        {"apiGroups": [""], "resources": ["configmaps"], "resourceNames": ["one"], "verbs": ["update", "get"]},
        {"apiGroups": ["sea.example"], "resources": ["*"], "verbs": ["*"]},
        {"nonResourceURLs": ["/logs/*", "/exact"], "verbs": ["get"]}])
}

#[tokio::test]
async fn who_may_do_what_is_told_to_whoever_may_ask() {
    conform(async |walk: &mut Walk| {
        let space = walk.space.clone();
        let (user, group) = (format!("ann-{}", walk.id), format!("crew-{}", walk.id));
        let_do(walk, &user, rights()).await;
        let roles = walk.group("rbac.authorization.k8s.io/v1", "roles");
        let role = json!({"metadata": {"name": "crew"}, "rules": [{"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"]}]});
        walk.expect(201, Call::post(roles, role)).await;
        let bindings = walk.group("rbac.authorization.k8s.io/v1", "rolebindings");
        let binding = json!({"metadata": {"name": "crew"}, "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "crew"},
            "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": group},
                {"kind": "ServiceAccount", "name": "bot", "namespace": space}, {"kind": "ServiceAccount", "name": "nowhere", "namespace": "elsewhere"}]});
        walk.expect(201, Call::post(bindings, binding)).await;
        let bot = format!("system:serviceaccount:{space}:bot");
        counts(walk, &bot, json!({"verb": "get", "resource": "secrets", "namespace": space})).await;
        let reviews = format!("{AUTHORIZATION}/subjectaccessreviews");
        for wish in wishes(&space) {
            let spec = merged(&json!({"user": user}), &wish);
            walk.ask(Call::post(&reviews, json!({"spec": spec}))).await;
        }
        let secrets = json!({"resourceAttributes": {"verb": "get", "resource": "secrets", "namespace": space, "name": "s"}});
        for who in [
            json!({"user": user}),
            json!({"user": user, "groups": [group]}),
            json!({"groups": [group]}),
            json!({"groups": ["other", group]}),
            json!({"user": bot}),
            json!({"user": "system:serviceaccount:elsewhere:nowhere"}),
            json!({"user": "root", "groups": ["system:masters"]}),
            json!({"user": "system:admin"}),
            json!({"user": "system:node:n", "groups": ["system:nodes"]}),
            json!({"user": "system:node:", "groups": ["system:nodes"]}),
            json!({"user": "n", "groups": ["system:nodes"]}),
            json!({"user": "system:kube-scheduler"}),
            json!({"user": ""}),
            json!({"user": "", "groups": []}),
            json!({"uid": "7"}),
            json!({"user": user, "uid": "7", "extra": {"A": ["b"], "c": []}}),
            json!({"user": user, "extra": {"A": "b"}}),
            json!({}),
        ] {
            walk.ask(Call::post(&reviews, json!({"spec": merged(&who, &secrets)}))).await;
        }
        let pods = json!({"verb": "list", "resource": "pods"});
        for selector in selectors() {
            let spec = json!({"user": user, "resourceAttributes": merged(&pods, &selector)});
            walk.ask(Call::post(&reviews, json!({"spec": spec}))).await;
        }
        for body in [
            json!({}),
            json!({"spec": null}),
            json!({"metadata": {"name": "x"}, "spec": {"user": "a", "resourceAttributes": {"verb": "get"}}}),
            json!({"metadata": {"labels": {"a": "b"}}, "spec": {"user": "a", "resourceAttributes": {"verb": "get"}}}),
            json!({"spec": {"user": "a", "resourceAttributes": {"verb": "get"}}, "status": {"allowed": true}}),
            json!({"kind": "SelfSubjectAccessReview", "apiVersion": "authorization.k8s.io/v1", "spec": {"user": "a"}}),
        ] {
            walk.ask(Call::post(&reviews, body)).await;
        }
        walk.ask(Call::get(&reviews)).await;
        walk.ask(Call::post(format!("{reviews}?dryRun=All"), json!({"spec": merged(&json!({"user": user}), &secrets)}))).await;
        // Who asks needs the right to ask.
        walk.ask(Call::post(&reviews, json!({"spec": merged(&json!({"user": user}), &secrets)})).as_user(&user, &[])).await;
    })
    .await;
}

#[tokio::test]
async fn who_may_do_what_in_a_namespace_is_asked_there() {
    conform(async |walk: &mut Walk| {
        let space = walk.space.clone();
        let user = format!("ann-{}", walk.id);
        let_do(walk, &user, rights()).await;
        let reviews = walk.group("authorization.k8s.io/v1", "localsubjectaccessreviews");
        for wish in wishes(&space) {
            let spec = merged(&json!({"user": user}), &wish);
            walk.ask(Call::post(&reviews, json!({"spec": spec}))).await;
        }
        let spec = json!({"user": user, "resourceAttributes": {"verb": "get", "resource": "pods", "namespace": space}});
        for metadata in [
            json!({"namespace": space}),
            json!({"namespace": "elsewhere"}),
            json!({"name": "x"}),
            json!({"namespace": space, "labels": {"a": "b"}}),
            json!({"annotations": {"a": "b"}}),
        ] {
            walk.ask(Call::post(&reviews, json!({"metadata": metadata, "spec": spec}))).await;
        }
        walk.ask(Call::post("/apis/authorization.k8s.io/v1/namespaces/nowhere/localsubjectaccessreviews", json!({"spec": spec}))).await;
        let everywhere = json!({"user": user, "resourceAttributes": {"verb": "list", "resource": "pods", "namespace": space,
            "fieldSelector": {}, "labelSelector": {"rawSelector": "a=b"}}});
        walk.ask(Call::post(&reviews, json!({"spec": everywhere}))).await;
        walk.ask(Call::post("/apis/authorization.k8s.io/v1/localsubjectaccessreviews", json!({"spec": spec}))).await;
    })
    .await;
}

#[tokio::test]
async fn everybody_may_ask_what_they_may_do() {
    conform(async |walk: &mut Walk| {
        let space = walk.space.clone();
        let user = format!("ann-{}", walk.id);
        let_do(walk, &user, rights()).await;
        let reviews = format!("{AUTHORIZATION}/selfsubjectaccessreviews");
        for wish in wishes(&space) {
            walk.ask(Call::post(&reviews, json!({"spec": wish})).as_user(&user, &[])).await;
        }
        let pods = json!({"verb": "list", "resource": "pods"});
        for selector in selectors() {
            let spec = json!({"resourceAttributes": merged(&pods, &selector)});
            walk.ask(Call::post(&reviews, json!({"spec": spec})).as_user(&user, &[])).await;
        }
        walk.ask(Call::post(&reviews, json!({"spec": {"resourceAttributes": pods}}))).await;
        walk.ask(Call::post(&reviews, json!({"metadata": {"name": "x"}, "spec": {"resourceAttributes": pods}}))).await;
        walk.ask(Call::post(&reviews, json!({}))).await;
        // What they may do at all. The real server's order of rules is that of its bindings, of which others make some.
        let rules = format!("{AUTHORIZATION}/selfsubjectrulesreviews");
        for (name, spec) in [
            (user.as_str(), json!({"namespace": space})),
            (user.as_str(), json!({"namespace": "nowhere"})),
            ("nobody", json!({"namespace": "default"})),
            ("root", json!({"namespace": "default"})),
        ] {
            let groups: &[&str] = if name == "root" { &["system:masters"] } else { &[] };
            let answer = walk.quietly(Call::post(&rules, json!({"spec": spec})).as_user(name, groups)).await;
            assert_eq!(answer.code, 201, "{}", answer.body);
            let mut told = answer.body.clone();
            for list in ["resourceRules", "nonResourceRules"] {
                if let Some(rules) = told["status"][list].as_array_mut() {
                    rules.sort_by_key(ToString::to_string);
                }
            }
            walk.found(&format!("the rules of {name} for {spec}"), told);
        }
        for body in
            [json!({}), json!({"spec": {}}), json!({"spec": {"namespace": ""}}), json!({"spec": {"namespace": 1}})]
        {
            walk.ask(Call::post(&rules, body).as_user("nobody", &["system:masters"])).await;
        }
        walk.ask(Call::get(&rules)).await;
    })
    .await;
}
