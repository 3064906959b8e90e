//! Tokens of ServiceAccounts: asked for, used, looked at, and dead with what they are bound to.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use conformance::{
    cluster::Call,
    walk::{Walk, conform},
};
use serde_json::{Value, json};

use super::{AUTHENTICATION, pod};

/// What a token says, with its times as durations and its own name masked.
fn said(token: &str) -> Value {
    let part = |index: usize| -> Value {
        let text = token.split('.').nth(index).unwrap_or_default();
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(text).unwrap()).unwrap()
    };
    let (mut head, mut claims) = (part(0), part(1));
    head["kid"] = (!head["kid"].as_str().unwrap_or_default().is_empty()).into();
    let issued = claims["iat"].as_i64().unwrap();
    for time in ["exp", "nbf", "iat"] {
        claims[time] = (claims[time].as_i64().unwrap() - issued).into();
    }
    if let Some(after) = claims["kubernetes.io"]["warnafter"].as_i64() {
        claims["kubernetes.io"]["warnafter"] = (after - issued).into();
    }
    json!({"head": head, "claims": claims})
}

/// Asks for a token, records it and what it says.
async fn issued(walk: &mut Walk, path: &str, spec: Value) -> String {
    let made = walk.expect(201, Call::post(path, json!({"spec": spec}))).await;
    let token = made.text("/status/token").to_owned();
    walk.found(&format!("what the token for {spec} says"), said(&token));
    token
}

#[tokio::test]
async fn a_token_is_for_whom_and_as_long_as_it_was_asked_for() {
    conform(async |walk: &mut Walk| {
        let accounts = walk.core("serviceaccounts");
        walk.expect(201, Call::post(&accounts, json!({"metadata": {"name": "bot"}}))).await;
        let path = format!("{accounts}/bot/token");
        let token = issued(walk, &path, json!({})).await;
        assert_eq!(said(&token)["claims"]["exp"], 3600);
        issued(walk, &path, json!({"audiences": ["vault", "x"], "expirationSeconds": 601})).await;
        issued(walk, &path, json!({"audiences": [], "expirationSeconds": 3607})).await;
        for spec in [
            json!({"expirationSeconds": 599}),
            json!({"expirationSeconds": 600}),
            json!({"expirationSeconds": 0}),
            json!({"expirationSeconds": -1}),
            json!({"expirationSeconds": 4_294_967_296_i64}),
            json!({"expirationSeconds": 4_294_967_297_i64}),
            json!({"expirationSeconds": "x"}),
            json!({"expirationSeconds": null}),
            json!({"audiences": [""]}),
            json!({"audiences": ["a", "a"]}),
            json!({"audiences": "a"}),
            json!({"audiences": null}),
        ] {
            walk.ask(Call::post(&path, json!({"spec": spec}))).await;
        }
        for body in [
            json!({}),
            json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest"}),
            json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": {}}),
            json!({"apiVersion": "v1", "kind": "ServiceAccount"}),
            json!({"metadata": {"name": "other"}, "spec": {}}),
            json!({"metadata": {"name": "bot", "namespace": "elsewhere"}, "spec": {}}),
            json!({"metadata": {"name": "bot"}, "spec": {}, "status": {"token": "x"}}),
            json!({"metadata": {"labels": {"a": "b"}, "annotations": {"c": "d"}}, "spec": {}}),
            json!({"metadata": {"uid": "00000000-0000-0000-0000-000000000000"}, "spec": {}}),
            json!({"spec": {"odd": 1}}),
        ] {
            walk.ask(Call::post(&path, body)).await;
        }
        walk.ask(Call::post(format!("{path}?fieldValidation=Strict"), json!({"spec": {"odd": 1}}))).await;
        walk.ask(Call::post(format!("{accounts}/nobody/token"), json!({"spec": {}}))).await;
        walk.ask(Call::get(&path)).await;
        walk.ask(Call::put(&path, json!({}))).await;
        walk.ask(Call::delete(&path)).await;
        walk.ask(Call::post("/api/v1/namespaces/nowhere/serviceaccounts/x/token", json!({"spec": {}}))).await;
    })
    .await;
}

#[tokio::test]
async fn a_token_is_bound_to_what_is_there() {
    conform(async |walk: &mut Walk| {
        let accounts = walk.core("serviceaccounts");
        for name in ["bot", "other"] {
            walk.expect(201, Call::post(&accounts, json!({"metadata": {"name": name}}))).await;
        }
        let node = format!("node-{}", walk.id);
        walk.expect(201, Call::post("/api/v1/nodes", json!({"metadata": {"name": node}}))).await;
        let pods = walk.core("pods");
        let mine = walk.expect(201, Call::post(&pods, pod("mine", "bot"))).await;
        walk.expect(201, Call::post(&pods, pod("theirs", "other"))).await;
        let mut placed = pod("placed", "bot");
        placed["spec"]["nodeName"] = node.clone().into();
        walk.expect(201, Call::post(&pods, placed.clone())).await;
        placed["metadata"]["name"] = "lost".into();
        placed["spec"]["nodeName"] = format!("gone-{}", walk.id).into();
        walk.expect(201, Call::post(&pods, placed)).await;
        walk.expect(201, Call::post(walk.core("secrets"), json!({"metadata": {"name": "s"}}))).await;
        let path = format!("{accounts}/bot/token");
        let to = |kind: &str, name: &str| json!({"boundObjectRef": {"apiVersion": "v1", "kind": kind, "name": name}});
        for (kind, name) in
            [("Pod", "mine"), ("Pod", "placed"), ("Pod", "lost"), ("Secret", "s"), ("Node", node.as_str())]
        {
            issued(walk, &path, to(kind, name)).await;
        }
        let mut extended = to("Pod", "mine");
        extended["expirationSeconds"] = 3607.into();
        issued(walk, &path, extended.clone()).await;
        extended["audiences"] = json!(["vault"]);
        issued(walk, &path, extended).await;
        for reference in [
            json!({"apiVersion": "v1", "kind": "Pod", "name": "mine", "uid": mine.text("/metadata/uid")}),
            json!({"apiVersion": "v1", "kind": "Pod", "name": "mine", "uid": "00000000-0000-0000-0000-000000000000"}),
            json!({"apiVersion": "v1", "kind": "Secret", "name": "s", "uid": "00000000-0000-0000-0000-000000000000"}),
            json!({"apiVersion": "v1", "kind": "Node", "name": node, "uid": "00000000-0000-0000-0000-000000000000"}),
            json!({"apiVersion": "v1", "kind": "Pod", "name": "theirs"}),
            json!({"apiVersion": "v1", "kind": "Pod", "name": "none"}),
            json!({"apiVersion": "v1", "kind": "Secret", "name": "none"}),
            json!({"apiVersion": "v1", "kind": "Node", "name": "none"}),
            json!({"apiVersion": "v1", "kind": "Pod"}),
            json!({"apiVersion": "v1", "kind": "ConfigMap", "name": "x"}),
            json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": "x"}),
            json!({"kind": "Pod", "name": "mine"}),
            json!({"apiVersion": "v2", "kind": "Pod", "name": "mine"}),
            json!({}),
        ] {
            walk.ask(Call::post(&path, json!({"spec": {"boundObjectRef": reference}}))).await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_token_dies_with_its_account_and_with_what_it_is_bound_to() {
    conform(async |walk: &mut Walk| {
        let accounts = walk.core("serviceaccounts");
        walk.expect(201, Call::post(&accounts, json!({"metadata": {"name": "bot"}}))).await;
        walk.expect(201, Call::post(walk.core("pods"), pod("p", "bot"))).await;
        walk.expect(201, Call::post(walk.core("secrets"), json!({"metadata": {"name": "s"}}))).await;
        let node = format!("node-{}", walk.id);
        walk.expect(201, Call::post("/api/v1/nodes", json!({"metadata": {"name": node}}))).await;
        let path = format!("{accounts}/bot/token");
        let bound =
            |kind: &str, name: &str| json!({"boundObjectRef": {"apiVersion": "v1", "kind": kind, "name": name}});
        let of_pod = issued(walk, &path, bound("Pod", "p")).await;
        let of_secret = issued(walk, &path, bound("Secret", "s")).await;
        let of_node = issued(walk, &path, bound("Node", &node)).await;
        let free = issued(walk, &path, json!({})).await;
        let elsewhere = issued(walk, &path, json!({"audiences": ["vault"]})).await;
        let me = || Call::post(format!("{AUTHENTICATION}/selfsubjectreviews"), json!({}));
        for token in [&of_pod, &of_secret, &of_node, &free, &elsewhere] {
            let known = walk.cluster.known_by(Some(token)).unwrap();
            walk.ask_as(&known, me()).await;
            walk.ask_as(&known, Call::get(walk.core("pods"))).await;
            walk.ask_as(&known, Call::get("/metrics")).await;
            for audiences in [json!([]), json!(["vault"]), json!(["vault", "x"]), json!(["x"]), Value::Null] {
                let spec = json!({"token": token, "audiences": audiences});
                walk.ask(Call::post(format!("{AUTHENTICATION}/tokenreviews"), json!({"spec": spec}))).await;
            }
        }
        for (gone, token) in [
            (format!("{}/p?gracePeriodSeconds=0", walk.core("pods")), &of_pod),
            (format!("{}/s", walk.core("secrets")), &of_secret),
            (format!("/api/v1/nodes/{node}"), &of_node),
            (format!("{accounts}/bot"), &free),
        ] {
            walk.expect(200, Call::delete(gone)).await;
            let known = walk.cluster.known_by(Some(token)).unwrap();
            walk.until(&known, me(), |answer| answer.code == 401).await;
            walk.ask_as(&known, me()).await;
            let spec = json!({"spec": {"token": token}});
            walk.ask(Call::post(format!("{AUTHENTICATION}/tokenreviews"), spec)).await;
        }
        // Another account of its name is another account.
        walk.expect(201, Call::post(&accounts, json!({"metadata": {"name": "bot"}}))).await;
        walk.ask_as(&walk.cluster.known_by(Some(&free)).unwrap(), me()).await;
    })
    .await;
}

#[tokio::test]
async fn a_token_that_is_none_is_nobodys() {
    conform(async |walk: &mut Walk| {
        let reviews = format!("{AUTHENTICATION}/tokenreviews");
        for body in [
            json!({}),
            json!({"spec": {}}),
            json!({"spec": {"token": ""}}),
            json!({"spec": {"token": "garbage"}}),
            json!({"spec": {"token": "a.b.c"}}),
            json!({"spec": {"token": "garbage", "audiences": ["x"]}}),
            json!({"spec": {"token": 1}}),
            json!({"metadata": {"name": "x", "labels": {"a": "b"}}, "spec": {"token": "garbage"}}),
            json!({"metadata": {"namespace": "default"}, "spec": {"token": "garbage"}}),
            json!({"spec": {"token": "garbage"}, "status": {"authenticated": true}}),
            json!({"kind": "SelfSubjectReview", "apiVersion": "authentication.k8s.io/v1"}),
        ] {
            walk.ask(Call::post(&reviews, body)).await;
        }
        walk.ask(Call::get(&reviews)).await;
        walk.ask(Call::get(format!("{reviews}/x"))).await;
        walk.ask(Call::delete(format!("{reviews}/x"))).await;
        let selves = format!("{AUTHENTICATION}/selfsubjectreviews");
        for body in [
            json!({}),
            json!({"metadata": {"name": "x"}}),
            json!({"status": {"userInfo": {"username": "ann"}}}),
            json!({"kind": "TokenReview", "apiVersion": "authentication.k8s.io/v1"}),
        ] {
            walk.ask(Call::post(&selves, body)).await;
        }
        walk.ask(Call::get(&selves)).await;
        walk.ask(Call::post(format!("{selves}?dryRun=All"), json!({}))).await;
        for token in ["garbage", "a.b.c", ""] {
            let stranger = walk.cluster.known_by(Some(token)).unwrap();
            walk.ask_as(&stranger, Call::post(&selves, json!({}))).await;
            walk.ask_as(&stranger, Call::get("/healthz")).await;
        }
        let nobody = walk.cluster.known_by(None).unwrap();
        for header in ["Bearer", "Bearer ", "bearer x", "Basic YTpi", "Bearer a b", "Odd x"] {
            walk.ask_as(&nobody, Call::post(&selves, json!({})).header("authorization", header)).await;
        }
    })
    .await;
}
