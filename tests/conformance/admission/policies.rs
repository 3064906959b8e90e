//! Validating admission policies: what they match, judge and say.

use conformance::{
    cluster::{Answer, Call, MERGE_PATCH},
    walk::{Walk, conform},
};
use serde_json::{Value, json};

const POLICIES: &str = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies";
const BINDINGS: &str = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicybindings";

/// A policy for the configmaps of the walk's namespace.
fn policy(walk: &Walk, name: &str, more: Value) -> Value {
    let mut spec = json!({"matchConstraints": {
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": walk.space}},
        "resourceRules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE", "UPDATE", "DELETE"], "resources": ["configmaps"]}]}});
    spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    json!({"metadata": {"name": name}, "spec": spec})
}

fn binding(name: &str, policy: &str, more: Value) -> Value {
    let mut spec = json!({"policyName": policy, "validationActions": ["Deny"]});
    spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    json!({"metadata": {"name": name}, "spec": spec})
}

fn map(name: &str, data: Value) -> Value {
    json!({"metadata": {"name": name}, "data": data})
}

/// Makes a policy and its binding, waits until it judges (a trial is answered as `fits`), and returns where maps are.
async fn bound(
    walk: &mut Walk,
    spec: Value,
    more: Value,
    trial: Value,
    fits: impl Fn(&Answer) -> bool,
) -> (String, String) {
    let name = format!("{}.example", walk.id);
    let body = policy(walk, &name, spec);
    walk.expect(201, Call::post(POLICIES, body)).await;
    walk.expect(201, Call::post(BINDINGS, binding(&name, &name, more))).await;
    let maps = walk.core("configmaps");
    walk.until(&walk.cluster.clone(), Call::post(format!("{maps}?dryRun=All"), trial), fits).await;
    (name, maps)
}

async fn gone(walk: &mut Walk, name: &str) {
    walk.expect(200, Call::delete(format!("{BINDINGS}/{name}"))).await;
    walk.expect(200, Call::delete(format!("{POLICIES}/{name}"))).await;
}

fn refused(answer: &Answer) -> bool {
    answer.code >= 400
}

#[tokio::test]
async fn a_policy_says_why_in_its_own_words() {
    conform(async |walk: &mut Walk| {
        let validations = json!([
            {"expression": "!has(object.data) || !('plain' in object.data)"},
            {"expression": "!has(object.data) || !('said' in object.data)", "message": "said is not to be", "reason": "Forbidden"},
            {"expression": "!has(object.data) || !('large' in object.data)", "reason": "RequestEntityTooLarge", "messageExpression": "'large in ' + object.metadata.name + ' by ' + request.userInfo.username"},
            {"expression": "!has(object.data) || !('empty' in object.data)", "message": "kept", "messageExpression": "''"},
            {"expression": "!has(object.data) || !('broken' in object.data)", "message": "kept", "messageExpression": "string(object.data.nothing)"},
            {"expression": "!has(object.data) || !('lines' in object.data)", "messageExpression": "'one\\ntwo'"},
            {"expression": "!has(object.data) || !('fails' in object.data) || object.data.nothing == 'x'"},
            {"expression": "variables.names.all(name, name.size() < 6)", "message": "a name is long"}]);
        let spec = json!({"validations": validations, "variables": [{"name": "names", "expression": "has(object.data) ? object.data.map(key, key) : []"}]});
        let (name, maps) = bound(walk, spec, json!({}), map("trial", json!({"plain": ""})), refused).await;
        for key in ["fine", "plain", "said", "large", "empty", "broken", "lines", "fails", "longer"] {
            walk.ask(Call::post(&maps, map("m", json!({key: ""})))).await;
        }
        walk.ask(Call::post(&maps, map("n", json!({"plain": "", "said": "", "large": ""})))).await;
        walk.ask(Call::patch(format!("{maps}/m"), MERGE_PATCH, json!({"data": {"plain": "x"}}))).await;
        walk.ask(Call::delete(format!("{maps}/m"))).await;
        gone(walk, &name).await;
    })
    .await;
}

#[tokio::test]
async fn a_policy_warns_denies_or_notes() {
    conform(async |walk: &mut Walk| {
        let spec = json!({"validations": [{"expression": "object == null || !has(object.data)", "message": "no data"}],
            "auditAnnotations": [{"key": "who", "valueExpression": "request.userInfo.username"}, {"key": "none", "valueExpression": "null"}]});
        let warned = |answer: &Answer| !answer.warnings.is_empty();
        let (name, maps) = bound(walk, spec, json!({"validationActions": ["Warn", "Audit"]}), map("trial", json!({"a": ""})), warned).await;
        walk.ask(Call::post(&maps, map("m", json!({"a": ""})))).await;
        walk.ask(Call::post(&maps, map("n", json!({})))).await;
        for actions in [json!(["Deny", "Warn"]), json!(["Odd"]), json!([]), json!(["Deny", "Deny"]), Value::Null] {
            walk.ask(Call::patch(format!("{BINDINGS}/{name}?dryRun=All"), MERGE_PATCH, json!({"spec": {"validationActions": actions}}))).await;
        }
        walk.ask(Call::patch(format!("{BINDINGS}/{name}?dryRun=All"), MERGE_PATCH, json!({"spec": {"policyName": "other"}}))).await;
        gone(walk, &name).await;
    })
    .await;
}

#[tokio::test]
async fn a_policy_takes_what_its_constraints_and_conditions_take() {
    conform(async |walk: &mut Walk| {
        let constraints = json!({"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": walk.space}},
            "objectSelector": {"matchLabels": {"held": "yes"}},
            "resourceRules": [
                {"apiGroups": [""], "apiVersions": ["*"], "operations": ["CREATE"], "resources": ["*"], "scope": "Namespaced"},
                {"apiGroups": ["apps"], "apiVersions": ["v1"], "operations": ["UPDATE"], "resources": ["deployments/scale"]}],
            "excludeResourceRules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["secrets"], "resourceNames": []}]});
        let spec = json!({"matchConstraints": constraints, "matchConditions": [
                {"name": "not-left-alone", "expression": "object.metadata.name != 'left-alone'"},
                {"name": "not-broken", "expression": "object.metadata.name != 'broken' || object.nothing == 1"}],
            "validations": [{"expression": "false", "message": "never"}]});
        let held = |name: &str| json!({"metadata": {"name": name, "labels": {"held": "yes"}}});
        let (name, maps) = bound(walk, spec, json!({}), held("trial"), refused).await;
        for body in [held("m"), map("free", json!({})), held("left-alone"), held("broken")] {
            walk.ask(Call::post(&maps, body)).await;
        }
        walk.ask(Call::post(walk.core("secrets"), held("s"))).await;
        walk.ask(Call::post(walk.core("serviceaccounts"), held("a"))).await;
        walk.ask(Call::post(walk.core("serviceaccounts/default/token"), json!({"metadata": {"labels": {"held": "yes"}}}))).await;
        let narrow = json!({"spec": {"matchResources": {"resourceRules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["serviceaccounts"]}]}}});
        walk.expect(200, Call::patch(format!("{BINDINGS}/{name}"), MERGE_PATCH, narrow)).await;
        walk.until(&walk.cluster.clone(), Call::post(format!("{maps}?dryRun=All"), held("trial")), |answer| answer.code == 201).await;
        walk.ask(Call::post(&maps, held("m"))).await;
        walk.ask(Call::post(walk.core("serviceaccounts"), held("a"))).await;
        gone(walk, &name).await;
    })
    .await;
}

#[tokio::test]
async fn a_failing_expression_refuses_unless_it_is_to_be_ignored() {
    conform(async |walk: &mut Walk| {
        let spec = json!({"failurePolicy": "Ignore", "validations": [
            {"expression": "!has(object.data) || !('fails' in object.data) || object.data.nothing == 'x'"},
            {"expression": "!has(object.data) || !('no' in object.data)"}]});
        let (name, maps) = bound(walk, spec, json!({}), map("trial", json!({"no": ""})), refused).await;
        walk.ask(Call::post(&maps, map("m", json!({"fails": ""})))).await;
        walk.ask(Call::post(&maps, map("n", json!({"fails": "", "no": ""})))).await;
        walk.expect(
            200,
            Call::patch(format!("{POLICIES}/{name}"), MERGE_PATCH, json!({"spec": {"failurePolicy": "Fail"}})),
        )
        .await;
        let trial = map("trial", json!({"fails": ""}));
        walk.until(&walk.cluster.clone(), Call::post(format!("{maps}?dryRun=All"), trial), refused).await;
        walk.ask(Call::post(&maps, map("o", json!({"fails": ""})))).await;
        gone(walk, &name).await;
    })
    .await;
}

#[tokio::test]
async fn a_policy_judges_with_its_parameters() {
    conform(async |walk: &mut Walk| {
        let space = walk.space.clone();
        let maps = walk.core("configmaps");
        for (name, most) in [("limit", "2"), ("other-limit", "1")] {
            let body = json!({"metadata": {"name": name, "labels": {"limits": "yes"}}, "data": {"most": most}});
            walk.expect(201, Call::post(&maps, body)).await;
        }
        let judge = json!({"paramKind": {"apiVersion": "v1", "kind": "ConfigMap"}, "validations": [
            {"expression": "request.operation == 'DELETE' || !has(object.data) || !('size' in object.data) || int(object.data.size) <= int(params.data.most)",
             "messageExpression": "'at most ' + params.data.most + ' by ' + params.metadata.name"}]});
        let by_name = json!({"paramRef": {"name": "limit", "namespace": space, "parameterNotFoundAction": "Deny"}});
        let (name, maps) = bound(walk, judge, by_name, map("trial", json!({"size": "3"})), refused).await;
        walk.ask(Call::post(&maps, map("m", json!({"size": "3"})))).await;
        walk.ask(Call::post(&maps, map("m", json!({"size": "2"})))).await;
        for (reference, trial, told) in [
            (json!({"name": null, "selector": {"matchLabels": {"limits": "yes"}}}), "2", "by other-limit"),
            (json!({"selector": null, "name": "nowhere"}), "0", "no params found"),
            (json!({"parameterNotFoundAction": "Allow"}), "9", ""),
            (json!({"name": "limit"}), "9", "by limit"),
            (json!({"name": null, "selector": {"matchLabels": {"limits": "none"}}}), "9", ""),
            (json!({"parameterNotFoundAction": "Deny"}), "0", "no params found"),
            (json!({"namespace": null, "name": "limit", "selector": null}), "3", "by limit"),
        ] {
            walk.expect(200, Call::patch(format!("{BINDINGS}/{name}"), MERGE_PATCH, json!({"spec": {"paramRef": reference}}))).await;
            let call = Call::post(format!("{maps}?dryRun=All"), map("trial", json!({"size": trial})));
            let heard = |answer: &Answer| if told.is_empty() { answer.code == 201 } else { answer.message().contains(told) };
            walk.until(&walk.cluster.clone(), call, heard).await;
            walk.ask(Call::post(format!("{maps}?dryRun=All"), map("n", json!({"size": trial})))).await;
        }
        for reference in [
            json!({}),
            json!({"name": "a"}),
            json!({"name": "a", "selector": {}, "parameterNotFoundAction": "Deny"}),
            json!({"name": "a", "parameterNotFoundAction": "Odd"}),
            json!({"selector": {}, "parameterNotFoundAction": "Allow"}),
        ] {
            let body = binding(&format!("{name}-x"), &name, json!({"paramRef": reference}));
            walk.ask(Call::post(format!("{BINDINGS}?dryRun=All"), body)).await;
        }
        gone(walk, &name).await;
    })
    .await;
}

#[tokio::test]
async fn a_policy_asks_who_may() {
    conform(async |walk: &mut Walk| {
        let check = "authorizer.group('sea.example').resource('boats').namespace(object.metadata.namespace).name(object.metadata.name).check('sail')";
        let spec = json!({"variables": [{"name": "sail", "expression": check}], "validations": [
            {"expression": "variables.sail.allowed()", "messageExpression": "'may not: ' + variables.sail.reason() + string(variables.sail.errored())"},
            {"expression": "authorizer.path('/healthz').check('get').allowed()"},
            {"expression": "authorizer.requestResource.check('create').allowed()", "message": "not the request"},
            {"expression": "authorizer.serviceAccount(object.metadata.namespace, 'bot').group('').resource('pods').check('get').allowed() == false"}]});
        let user = format!("ann-{}", walk.id);
        crate::access::let_do(walk, &user, json!([{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["create"]},
            {"apiGroups": ["sea.example"], "resources": ["boats"], "resourceNames": ["mine"], "verbs": ["sail"]}])).await;
        let name = format!("{}.example", walk.id);
        let mut body = policy(walk, &name, spec);
        body["spec"]["matchConstraints"]["resourceRules"][0]["operations"] = json!(["CREATE"]);
        walk.expect(201, Call::post(POLICIES, body)).await;
        walk.expect(201, Call::post(BINDINGS, binding(&name, &name, json!({})))).await;
        let maps = walk.core("configmaps");
        let trial = Call::post(format!("{maps}?dryRun=All"), map("theirs", json!({}))).as_user(&user, &[]);
        walk.until(&walk.cluster.clone(), trial, refused).await;
        for boat in ["mine", "theirs"] {
            walk.ask(Call::post(&maps, map(boat, json!({}))).as_user(&user, &[])).await;
        }
        gone(walk, &name).await;
    })
    .await;
}

#[tokio::test]
async fn policies_that_make_no_sense_are_refused() {
    conform(async |walk: &mut Walk| {
        let rule = |more: Value| {
            let mut rule = json!({"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]});
            rule.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            json!({"matchConstraints": {"resourceRules": [rule]}, "validations": [{"expression": "true"}]})
        };
        let valid = json!([{"expression": "true"}]);
        for (index, spec) in [
            json!({}),
            json!({"validations": []}),
            json!({"validations": [{}]}),
            json!({"validations": [{"expression": "1"}]}),
            json!({"validations": [{"expression": "object."}]}),
            json!({"validations": [{"expression": "true", "message": " "}]}),
            json!({"validations": [{"expression": "true", "message": "a\nb"}]}),
            json!({"validations": [{"expression": "true", "reason": "Odd"}]}),
            json!({"validations": [{"expression": "true", "messageExpression": "1"}]}),
            json!({"validations": valid, "failurePolicy": "Odd"}),
            json!({"validations": valid, "variables": [{"name": "a-b", "expression": "1"}, {"name": "a", "expression": ""}]}),
            json!({"validations": valid, "matchConditions": [{"name": "", "expression": ""}, {"name": "a", "expression": "1"}, {"name": "a", "expression": "true"}]}),
            json!({"validations": valid, "paramKind": {"apiVersion": "v1"}}),
            json!({"validations": valid, "paramKind": {"apiVersion": "a/b/c", "kind": "Odd Kind"}}),
            json!({"validations": valid, "auditAnnotations": [{"key": "", "valueExpression": ""}, {"key": "a b", "valueExpression": "1"}, {"key": "a", "valueExpression": "'x'"}, {"key": "a", "valueExpression": "'y'"}]}),
            json!({"auditAnnotations": [{"key": "a", "valueExpression": "'x'"}]}),
            json!({"validations": valid, "matchConstraints": {}}),
            json!({"validations": valid, "matchConstraints": {"resourceRules": [], "matchPolicy": "Odd"}}),
            rule(json!({"operations": []})),
            rule(json!({"operations": ["*", "CREATE"]})),
            rule(json!({"operations": ["Odd"]})),
            rule(json!({"apiGroups": ["*", "a"]})),
            rule(json!({"apiVersions": [""]})),
            rule(json!({"resources": ["*", "pods"]})),
            rule(json!({"resources": ["pods", "pods/*", "pods/status", "*/*"]})),
            rule(json!({"resources": ["a/b/c", ""]})),
            rule(json!({"scope": "Odd"})),
            rule(json!({"resourceNames": ["", "a", "a"]})),
        ]
        .into_iter()
        .enumerate()
        {
            let mut whole = policy(walk, &format!("x{index}.{}", walk.id), spec.clone());
            if index == 0 {
                whole["spec"] = spec;
            }
            walk.ask(Call::post(format!("{POLICIES}?dryRun=All"), whole)).await;
        }
        let shown = format!("shown.{}", walk.id);
        let body = json!({"metadata": {"name": shown}, "spec": {"matchConstraints": {"resourceRules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["nothing"]}]}, "validations": valid}});
        walk.expect(201, Call::post(POLICIES, body)).await;
        walk.ask(Call::get(format!("{POLICIES}/{shown}")).accept(conformance::cluster::TABLE)).await;
        walk.ask(Call::patch(format!("{POLICIES}/{shown}"), MERGE_PATCH, json!({"spec": {"failurePolicy": "Ignore"}}))).await;
        walk.expect(200, Call::delete(format!("{POLICIES}/{shown}"))).await;
        for body in [json!({}), json!({"policyName": ""}), json!({"policyName": "a", "validationActions": ["Deny"], "matchResources": {"resourceRules": [{}]}})] {
            walk.ask(Call::post(format!("{BINDINGS}?dryRun=All"), json!({"metadata": {"name": "x"}, "spec": body}))).await;
        }
    })
    .await;
}
