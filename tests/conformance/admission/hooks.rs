//! Webhooks: their configurations, and what they do.

use conformance::{
    cluster::{Answer, Call, MERGE_PATCH},
    hook::Hook,
    walk::{Walk, conform},
};
use serde_json::{Value, json};

const REGISTRATION: &str = "/apis/admissionregistration.k8s.io/v1";

/// A configuration of webhooks for the configmaps of the walk's namespace.
fn configuration(walk: &Walk, name: &str, hooks: &[Value]) -> Value {
    let hooks: Vec<Value> = hooks
        .iter()
        .enumerate()
        .map(|(index, more)| {
            let mut hook = json!({"name": format!("h{index}.{}.example", walk.id), "sideEffects": "None", "admissionReviewVersions": ["v1"],
                "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": walk.space}},
                "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE", "UPDATE", "DELETE"], "resources": ["configmaps"]}]});
            hook.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            hook
        })
        .collect();
    json!({"metadata": {"name": name}, "webhooks": hooks})
}

fn map(name: &str) -> Value {
    json!({"metadata": {"name": name}})
}

/// Registers webhooks, and waits until a trial is answered as `fits`.
async fn registered(walk: &mut Walk, plural: &str, hooks: &[Value], fits: impl Fn(&Answer) -> bool) -> String {
    let name = format!("c-{}", walk.id);
    let body = configuration(walk, &name, hooks);
    walk.expect(201, Call::post(format!("{REGISTRATION}/{plural}"), body)).await;
    let call = Call::post(format!("{}?dryRun=All", walk.core("configmaps")), map("trial"));
    walk.until(&walk.cluster.clone(), call, fits).await;
    format!("{REGISTRATION}/{plural}/{name}")
}

/// Records what the webhook was asked, without what differs by its nature.
fn asked(walk: &mut Walk, hook: &Hook, title: &str) {
    let mut reviews = hook.asked();
    for review in &mut reviews {
        for object in ["object", "oldObject"] {
            if let Some(metadata) = review["request"][object]["metadata"].as_object_mut() {
                metadata.remove("managedFields");
            }
        }
    }
    walk.found(&format!("what is asked: {title}"), reviews.into());
}

#[tokio::test]
async fn a_webhook_refuses_and_warns_in_its_own_words() {
    let hook = Hook::start().await.unwrap();
    conform(async |walk: &mut Walk| {
        let maps = walk.core("configmaps");
        walk.expect(201, Call::post(&maps, map("there"))).await;
        for path in ["/deny", "/deny-said", "/deny-reason", "/deny-details"] {
            let path_of = registered(
                walk,
                "validatingwebhookconfigurations",
                &[json!({"clientConfig": hook.at(path)})],
                |answer| answer.code >= 400,
            )
            .await;
            walk.ask(Call::post(&maps, map("m"))).await;
            walk.ask(Call::delete(format!("{maps}/there"))).await;
            walk.expect(200, Call::delete(path_of)).await;
            walk.until(&walk.cluster.clone(), Call::post(format!("{maps}?dryRun=All"), map("trial")), |answer| {
                answer.code == 201
            })
            .await;
        }
        let warned = |answer: &Answer| answer.warnings.len() == 2;
        let hooks = [json!({"clientConfig": hook.at("/warn")}), json!({"clientConfig": hook.at("/allow")})];
        let path_of =
            registered(walk, "validatingwebhookconfigurations", &hooks[..1], |answer| !answer.warnings.is_empty())
                .await;
        drop(hook.asked());
        let made = walk
            .ask(Call::post(&maps, json!({"metadata": {"name": "m", "labels": {"a": "b"}}, "data": {"k": "v"}})))
            .await;
        assert!(warned(&made) || !made.warnings.is_empty());
        asked(walk, &hook, "create");
        walk.ask(
            Call::patch(format!("{maps}/m"), MERGE_PATCH, json!({"data": {"k": "w"}}))
                .as_user("ann", &["system:masters"]),
        )
        .await;
        asked(walk, &hook, "update");
        walk.ask(Call::put(format!("{maps}/m?dryRun=All&fieldManager=me"), json!({"metadata": {"name": "m"}}))).await;
        asked(walk, &hook, "dry update");
        walk.ask(Call::delete(format!("{maps}/m?gracePeriodSeconds=0&propagationPolicy=Background"))).await;
        asked(walk, &hook, "delete");
        walk.ask(Call::post(&maps, json!({"metadata": {"generateName": "g-"}}))).await;
        asked(walk, &hook, "generated");
        walk.ask(Call::post(walk.core("secrets"), map("s"))).await;
        asked(walk, &hook, "nothing");
        walk.expect(200, Call::delete(path_of)).await;
    })
    .await;
}

#[tokio::test]
async fn a_webhook_changes_objects_and_is_asked_again() {
    let hook = Hook::start().await.unwrap();
    conform(async |walk: &mut Walk| {
        let maps = walk.core("configmaps");
        let hooks = [
            json!({"clientConfig": hook.at("/patch"), "reinvocationPolicy": "IfNeeded"}),
            json!({"clientConfig": hook.at("/mark")}),
        ];
        let path_of = registered(walk, "mutatingwebhookconfigurations", &hooks, |answer| {
            answer.body["metadata"]["labels"]["count"].is_string()
        })
        .await;
        drop(hook.asked());
        let made = walk.expect(201, Call::post(&maps, map("m"))).await;
        assert_eq!((made.text("/metadata/labels/count"), made.text("/metadata/annotations/marked")), ("2", "yes"));
        asked(walk, &hook, "create");
        walk.ask(Call::patch(format!("{maps}/m"), MERGE_PATCH, json!({"data": {"k": "w"}}))).await;
        asked(walk, &hook, "update");
        walk.expect(200, Call::delete(path_of)).await;
        walk.until(&walk.cluster.clone(), Call::post(format!("{maps}?dryRun=All"), map("trial")), |answer| {
            answer.body["metadata"]["labels"].is_null()
        })
        .await;
        for (path, policy) in [
            ("/patch-wrongly", "Fail"),
            ("/patch-wrongly", "Ignore"),
            ("/patch-nonsense", "Fail"),
            ("/patch-untyped", "Fail"),
            ("/patch-invalid", "Fail"),
        ] {
            let name = format!("x-{}", walk.id);
            let hooks = [
                json!({"clientConfig": hook.at(path), "failurePolicy": policy}),
                json!({"clientConfig": hook.at("/mark")}),
            ];
            let body = configuration(walk, &name, &hooks);
            walk.expect(201, Call::post(format!("{REGISTRATION}/mutatingwebhookconfigurations"), body)).await;
            let trial = Call::post(format!("{maps}?dryRun=All"), map("trial"));
            walk.until(&walk.cluster.clone(), trial, |answer| {
                answer.code >= 400 || answer.body["metadata"]["annotations"].is_object()
            })
            .await;
            let answer = walk.quietly(Call::post(format!("{maps}?dryRun=All"), map("n"))).await;
            // How a reader of Go's says what is wrong with a patch is its own.
            if path == "/patch-nonsense" {
                assert!(answer.message().contains("received undecodable patch in webhook response"), "{}", answer.body);
            } else {
                walk.found(&format!("{path} {policy}"), answer.body);
            }
            walk.expect(200, Call::delete(format!("{REGISTRATION}/mutatingwebhookconfigurations/{name}"))).await;
            let trial = Call::post(format!("{maps}?dryRun=All"), map("trial"));
            walk.until(&walk.cluster.clone(), trial, |answer| {
                answer.code == 201 && answer.body["metadata"]["annotations"].is_null()
            })
            .await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_webhook_that_does_not_answer_refuses_unless_it_is_to_be_ignored() {
    let hook = Hook::start().await.unwrap();
    conform(async |walk: &mut Walk| {
        let maps = walk.core("configmaps");
        for path in ["/hang", "/nonsense", "/broken", "/empty", "/no-response", "/other-uid", "/other-version"] {
            for policy in ["Fail", "Ignore"] {
                let hooks = [
                    json!({"clientConfig": hook.at(path), "failurePolicy": policy, "timeoutSeconds": 1}),
                    json!({"clientConfig": hook.at("/warn")}),
                ];
                let heard = |answer: &Answer| answer.code >= 400 || !answer.warnings.is_empty();
                let path_of = registered(walk, "validatingwebhookconfigurations", &hooks, heard).await;
                let answer = walk.quietly(Call::post(format!("{maps}?dryRun=All"), map("m"))).await;
                assert_eq!(answer.code, if policy == "Fail" { 500 } else { 201 }, "{path}: {}", answer.body);
                // How a reader of Go's says what is wrong with an answer is its own.
                if !matches!(path, "/nonsense") {
                    walk.found(&format!("{path} {policy}"), answer.body);
                }
                walk.expect(200, Call::delete(path_of)).await;
                let trial = Call::post(format!("{maps}?dryRun=All"), map("trial"));
                walk.until(&walk.cluster.clone(), trial, |answer| answer.code == 201 && answer.warnings.is_empty())
                    .await;
            }
        }
    })
    .await;
}

#[tokio::test]
async fn a_webhook_is_asked_of_what_its_rules_and_conditions_take() {
    let hook = Hook::start().await.unwrap();
    conform(async |walk: &mut Walk| {
        let maps = walk.core("configmaps");
        let conditions = json!([{"name": "alone", "expression": "object.metadata.name != 'left-alone'"}, {"name": "ann", "expression": "request.userInfo.username != 'ann'"}]);
        let hooks = [json!({"clientConfig": hook.at("/deny"), "matchConditions": conditions, "objectSelector": {"matchExpressions": [{"key": "free", "operator": "DoesNotExist"}]},
            "rules": [{"apiGroups": [""], "apiVersions": ["*"], "operations": ["CREATE"], "resources": ["configmaps", "serviceaccounts/token", "pods/binding"], "scope": "Namespaced"}]})];
        let path_of = registered(walk, "validatingwebhookconfigurations", &hooks, |answer| answer.code >= 400).await;
        drop(hook.asked());
        for body in [map("m"), map("left-alone"), json!({"metadata": {"name": "free", "labels": {"free": ""}}})] {
            walk.ask(Call::post(&maps, body)).await;
        }
        walk.ask(Call::post(&maps, map("by-ann")).as_user("ann", &["system:masters"])).await;
        asked(walk, &hook, "of four");
        walk.ask(Call::post(walk.core("serviceaccounts/default/token"), json!({"spec": {}}))).await;
        asked(walk, &hook, "a token");
        walk.expect(200, Call::delete(path_of)).await;
        walk.until(&walk.cluster.clone(), Call::post(format!("{maps}?dryRun=All"), map("trial")), |answer| answer.code == 201).await;
    })
    .await;
}

#[tokio::test]
async fn configurations_have_defaults_and_are_checked() {
    conform(async |walk: &mut Walk| {
        let name = format!("c.{}", walk.id);
        let least = json!({"clientConfig": {"url": "https://127.0.0.1:1/x"}, "namespaceSelector": {"matchLabels": {"no": "where"}}});
        for plural in ["validatingwebhookconfigurations", "mutatingwebhookconfigurations"] {
            let path = format!("{REGISTRATION}/{plural}");
            let mut body = configuration(walk, &name, std::slice::from_ref(&least));
            let service = json!({"name": format!("s.{}.example", walk.id), "sideEffects": "NoneOnDryRun", "admissionReviewVersions": ["v1", "v1beta1"],
                "clientConfig": {"service": {"name": "s", "namespace": "n"}}, "namespaceSelector": {"matchLabels": {"no": "where"}}});
            body["webhooks"].as_array_mut().unwrap().push(service);
            walk.expect(201, Call::post(&path, body)).await;
            walk.ask(Call::get(format!("{path}/{name}")).accept(conformance::cluster::TABLE)).await;
            walk.ask(Call::patch(format!("{path}/{name}"), MERGE_PATCH, json!({"webhooks": null}))).await;
            walk.expect(200, Call::delete(format!("{path}/{name}"))).await;
            let rule = |more: Value| {
                let mut rule = json!({"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]});
                rule.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
                json!({"rules": [rule]})
            };
            for more in [
                json!({"name": "short"}),
                json!({"name": ""}),
                json!({"name": "UPPER.example.com"}),
                json!({"sideEffects": "Unknown"}),
                json!({"sideEffects": null}),
                json!({"admissionReviewVersions": []}),
                json!({"admissionReviewVersions": ["v9"]}),
                json!({"admissionReviewVersions": ["v1", "v1", "Bad"]}),
                json!({"failurePolicy": "Odd"}),
                json!({"matchPolicy": "Odd"}),
                json!({"timeoutSeconds": 0}),
                json!({"timeoutSeconds": 31}),
                json!({"reinvocationPolicy": "Odd"}),
                json!({"clientConfig": {}}),
                json!({"clientConfig": {"url": "http://x.example"}}),
                json!({"clientConfig": {"url": "https://"}}),
                json!({"clientConfig": {"url": "https://u:p@x.example/?q=1#f"}}),
                json!({"clientConfig": {"url": "https://x.example", "service": {"name": "a", "namespace": "b"}}}),
                json!({"clientConfig": {"service": {"name": "", "namespace": "", "port": 0, "path": "x"}}}),
                json!({"clientConfig": {"service": {"name": "a", "namespace": "b", "path": "/a//b/?x"}}}),
                json!({"matchConditions": [{"name": "a", "expression": "object."}, {"name": "a", "expression": "1"}, {"name": "-", "expression": ""}]}),
                json!({"namespaceSelector": {"matchExpressions": [{"key": "a", "operator": "Odd"}]}}),
                rule(json!({"operations": []})),
                rule(json!({"operations": ["*", "CREATE"]})),
                rule(json!({"resources": ["*", "pods", "pods/*", "pods/status"]})),
                rule(json!({"resources": [""]})),
                rule(json!({"apiGroups": ["*", "a"], "apiVersions": ["*", "v1"]})),
                rule(json!({"scope": "Odd"})),
            ] {
                let mut hook = least.clone();
                hook.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
                let body = configuration(walk, &name, &[hook]);
                walk.ask(Call::post(format!("{path}?dryRun=All"), body)).await;
            }
            let twice = configuration(walk, &name, &[json!({"name": "a.b.example", "clientConfig": least["clientConfig"]}), json!({"name": "a.b.example", "clientConfig": least["clientConfig"]})]);
            walk.ask(Call::post(format!("{path}?dryRun=All"), twice)).await;
        }
    })
    .await;
}
