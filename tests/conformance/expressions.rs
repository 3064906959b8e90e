//! Expressions that make no sense, as a policy says so: the words and the place.
//!
//! With `CONFORMANCE_PEERS` every answer is compared with that of a real kube-apiserver; without, each is refused.

use std::path::Path;

use conformance::{
    cluster::{Answer, Call, Cluster},
    difference,
    peer::{Disk, Peer},
};
use serde_json::json;

const POLICIES: &str = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies";

/// Expressions that no policy may have.
const WRONG: &[&str] = &[
    "object.",
    "object.a ==",
    "1 +",
    "(1",
    "[1, 2",
    "{'a': 1",
    "object.a b",
    "foo",
    "foo.bar",
    "foo(1)",
    "object.spec.foo(1)",
    "'a'.foo(1)",
    "'a'.startsWith(1)",
    "size()",
    "1 + 'a'",
    "1 && true",
    "!1",
    "-'a'",
    "true ? 1 : 'a'",
    "1 ? true : false",
    "'a' in 'b'",
    "1 in ['a']",
    "[1, 'a'] == [1]",
    "[object.a, 'a'] == ['a']",
    "{'a': 1, 'b': 'c'} == {}",
    "{'a': object.x, 'b': 'c'} == {'a': 'b'}",
    "has(object)",
    "has(1)",
    "object.all(1, true)",
    "object.all(x, y)",
    "[1].map(x, x.foo)",
    "[1].exists(x, x)",
    "request.nothing == 1",
    "request.userInfo.nothing == 1",
    "params.x == 1",
    "variables.x == 1",
    "quantity(1)",
    "url('a').foo()",
    "ip.foo('a')",
    "'a' < 1",
    "duration('1s') < timestamp('2026-01-01T00:00:00Z')",
    "'a'.matches('[')",
    "duration('x') == duration('1s')",
    "timestamp('x') == timestamp('2026-01-01T00:00:00Z')",
    "if",
    "while",
    "1",
    "'a'",
    "[true]",
    "object.a.b().c",
    "optional.of(1).orValue('a') == 1",
    "object.?a + 1",
    "Object{}",
    "a.b.C{x: 1} == 1",
    "true &&\n  foo(2)",
    "!!!!!!foo",
    "0x == 1",
    "1e == 1",
    "'é' == foo",
];

async fn refuse(cluster: &Cluster, expression: &str) -> Answer {
    let policy = json!({"metadata": {"name": format!("wrong-{}", uuid::Uuid::new_v4().simple())}, "spec": {
        "matchConstraints": {"resourceRules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["configmaps"]}]},
        "validations": [{"expression": expression}]}});
    cluster.send(&Call::post(format!("{POLICIES}?dryRun=All"), policy)).await.unwrap()
}

#[tokio::test]
async fn an_expression_that_makes_no_sense_is_refused_with_its_place() {
    let cluster = Cluster::ours().await.unwrap();
    for expression in WRONG {
        let answer = refuse(&cluster, expression).await;
        assert_eq!(answer.code, 422, "{expression}: {}", answer.body);
        assert_eq!(answer.body["details"]["causes"][0]["field"], "spec.validations[0].expression");
    }
}

#[tokio::test]
async fn every_refusal_is_worded_as_by_the_real_server() {
    let Ok(binaries) = std::env::var("CONFORMANCE_PEERS") else { return };
    let peer = Peer::start(Path::new(&binaries), Disk::Fast).await.unwrap();
    let ours = Cluster::ours().await.unwrap();
    let mut lines = Vec::new();
    for expression in WRONG {
        let (own, real) = (refuse(&ours, expression).await, refuse(peer.cluster(), expression).await);
        let causes = |answer: &Answer| answer.body["details"]["causes"].clone();
        if own.code != real.code || !difference::between(&causes(&own), &causes(&real)).is_empty() {
            let text = |answer: &Answer| causes(answer)[0]["message"].as_str().unwrap_or_default().to_owned();
            lines.push(format!(
                "{expression}\n  ours   {} {}\n  theirs {} {}",
                own.code,
                text(&own),
                real.code,
                text(&real)
            ));
        }
    }
    assert!(lines.is_empty(), "{}", lines.join("\n"));
}
