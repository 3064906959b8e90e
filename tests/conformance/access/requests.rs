//! Requests for certificates: what they may ask for, who approves and signs them.

use std::{collections::BTreeMap, sync::Mutex};

use base64::{Engine, engine::general_purpose::STANDARD};
use conformance::{
    cluster::{Call, MERGE_PATCH},
    walk::{Walk, conform},
};
use rcgen::{CertificateParams, DnType, KeyPair};
use serde_json::{Value, json};

use super::let_do;

const REQUESTS: &str = "/apis/certificates.k8s.io/v1/certificatesigningrequests";

/// A request of a name in organizations, PEM in base64: of one walk, the same for each server.
fn asked(id: &str, name: &str, organizations: &[&str], hosts: &[&str]) -> String {
    static MADE: Mutex<BTreeMap<String, String>> = Mutex::new(BTreeMap::new());
    let mut made = MADE.lock().unwrap();
    made.entry(format!("{id} {name} {organizations:?} {hosts:?}"))
        .or_insert_with(|| fresh(name, organizations, hosts))
        .clone()
}

fn fresh(name: &str, organizations: &[&str], hosts: &[&str]) -> String {
    let hosts: Vec<String> = hosts.iter().map(|host| (*host).to_owned()).collect();
    let mut params = CertificateParams::new(hosts).unwrap();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    for organization in organizations {
        params.distinguished_name.push(DnType::OrganizationName, *organization);
    }
    let key = KeyPair::generate().unwrap();
    STANDARD.encode(params.serialize_request(&key).unwrap().pem().unwrap())
}

fn request(name: &str, signer: &str, request: &str) -> Value {
    json!({"metadata": {"name": name}, "spec": {"signerName": signer, "usages": ["client auth"], "request": request}})
}

#[tokio::test]
async fn a_request_says_who_asks_and_is_checked() {
    conform(async |walk: &mut Walk| {
        let id = walk.id.clone();
        let text = asked(&id, "ann", &["crew"], &[]);
        let own = request(&format!("own-{id}"), "example.com/own", &text);
        walk.expect(201, Call::post(REQUESTS, own.clone())).await;
        let user = format!("ann-{id}");
        let_do(walk, &user, json!([{"apiGroups": ["certificates.k8s.io"], "resources": ["certificatesigningrequests"], "verbs": ["*"]}])).await;
        let mut liar = request(&format!("liar-{id}"), "example.com/own", &text);
        for (field, value) in [("username", json!("root")), ("uid", json!("x")), ("groups", json!(["system:masters"])), ("extra", json!({"a": ["b"]}))] {
            liar["spec"][field] = value;
        }
        let call = Call::post(REQUESTS, liar).as_user(&user, &["crew"]).header("impersonate-uid", "7").header("impersonate-extra-team", "sea");
        let made = walk.expect(201, call).await;
        assert_eq!((made.text("/spec/username"), made.text("/spec/uid")), (user.as_str(), "7"));
        let with = |field: &str, value: Value| {
            let mut request = own.clone();
            request["metadata"] = json!({"name": format!("wrong-{id}")});
            request["spec"][field] = value;
            request
        };
        let other = |label: &str| STANDARD.encode(format!("-----BEGIN {label}-----\nAAAA\n-----END {label}-----\n"));
        for wrong in [
            with("request", Value::Null),
            with("request", "eA==".into()),
            with("request", "not base64".into()),
            with("request", other("CERTIFICATE").into()),
            with("signerName", Value::Null),
            with("signerName", "".into()),
            with("signerName", "plain".into()),
            with("signerName", "no-dots/x".into()),
            with("signerName", "example.com/".into()),
            with("signerName", "/x".into()),
            with("signerName", "example.com/a/b".into()),
            with("signerName", "Example.com/a".into()),
            with("signerName", "example.com/a..b".into()),
            with("signerName", "example.com/UPPER_x".into()),
            with("signerName", format!("example.com/{}", "x".repeat(600)).into()),
            with("signerName", "kubernetes.io/legacy-unknown".into()),
            with("usages", Value::Null),
            with("usages", json!([])),
            with("usages", json!(["client auth", "client auth"])),
            with("usages", json!(["odd", "client auth"])),
            with("usages", json!(["odd"])),
            with("expirationSeconds", 599.into()),
            with("expirationSeconds", 0.into()),
            with("expirationSeconds", (-1).into()),
            with("status", json!({})),
        ] {
            walk.ask(Call::post(REQUESTS, wrong)).await;
        }
        // Why bytes are no request is in the words of whoever reads them.
        let answer = walk.quietly(Call::post(REQUESTS, with("request", other("CERTIFICATE REQUEST").into()))).await;
        assert_eq!((answer.code, answer.text("/details/causes/0/field")), (422, "spec.request"));
        for usages in [json!(["digital signature", "key encipherment", "server auth"]), json!(["any", "s/mime", "microsoft sgc", "netscape sgc", "ocsp signing"])] {
            walk.ask(Call::post(format!("{REQUESTS}?dryRun=All"), with("usages", usages))).await;
        }
        walk.ask(Call::post(format!("{REQUESTS}?dryRun=All"), with("expirationSeconds", 600.into()))).await;
        // Masters are made by no signer of clients; what nodes ask for has a shape of its own.
        for (signer, common, organizations, hosts, usages) in [
            ("kubernetes.io/kube-apiserver-client", "ann", vec!["system:masters"], vec![], json!(["client auth"])),
            ("kubernetes.io/kube-apiserver-client", "ann", vec!["crew"], vec![], json!(["client auth"])),
            ("kubernetes.io/kube-apiserver-client-kubelet", "system:node:n", vec!["system:nodes"], vec![], json!(["client auth", "digital signature"])),
            ("kubernetes.io/kube-apiserver-client-kubelet", "ann", vec!["system:nodes"], vec![], json!(["client auth"])),
            ("kubernetes.io/kubelet-serving", "system:node:n", vec!["system:nodes"], vec!["n"], json!(["server auth", "digital signature"])),
            ("kubernetes.io/kubelet-serving", "system:node:n", vec!["system:masters"], vec!["n"], json!(["server auth"])),
            ("example.com/any", "ann", vec!["system:masters"], vec![], json!(["client auth"])),
        ] {
            let mut body = request(&format!("shape-{id}"), signer, &asked(&id, common, &organizations, &hosts));
            body["spec"]["usages"] = usages;
            let answer = walk.ask(Call::post(format!("{REQUESTS}?dryRun=All"), body)).await;
            let master = signer == "kubernetes.io/kube-apiserver-client" && organizations == ["system:masters"];
            assert_eq!(answer.code, if master { 403 } else { 201 }, "{}", answer.body);
        }
        let path = format!("{REQUESTS}/own-{id}");
        for change in [
            json!({"spec": {"signerName": "example.com/other"}}),
            json!({"spec": {"request": asked(&id, "bob", &[], &[])}}),
            json!({"spec": {"usages": ["server auth"]}}),
            json!({"spec": {"username": "root", "groups": []}}),
            json!({"spec": {"expirationSeconds": 700}}),
            json!({"metadata": {"labels": {"a": "b"}}}),
            json!({"status": {"conditions": [{"type": "Approved", "status": "True"}]}}),
        ] {
            walk.ask(Call::patch(&path, MERGE_PATCH, change)).await;
        }
        walk.ask(Call::get(&path).accept(conformance::cluster::TABLE)).await;
        walk.ask(Call::delete(&path)).await;
    })
    .await;
}

#[tokio::test]
async fn only_who_may_approves_and_signs() {
    conform(async |walk: &mut Walk| {
        let id = walk.id.clone();
        let signer = format!("{id}.example.com/own");
        let text = asked(&id, "ann", &["crew"], &[]);
        for name in ["a", "b", "c", "d"] {
            walk.expect(201, Call::post(REQUESTS, request(&format!("{name}-{id}"), &signer, &text))).await;
        }
        let other = format!("{id}.other.com/own");
        walk.expect(201, Call::post(REQUESTS, request(&format!("other-{id}"), &other, &text))).await;
        let parts = json!({"apiGroups": ["certificates.k8s.io"], "verbs": ["get", "update", "patch"],
            "resources": ["certificatesigningrequests", "certificatesigningrequests/approval", "certificatesigningrequests/status"]});
        let rule = |verb: &str, name: &str| json!([parts, {"apiGroups": ["certificates.k8s.io"], "resources": ["signers"], "resourceNames": [name], "verbs": [verb]}]);
        let [plain, approver, domain, signs] = ["plain", "approver", "domain", "signs"].map(|name| format!("{name}-{id}"));
        let_do(walk, &plain, json!([parts])).await;
        let_do(walk, &approver, rule("approve", &signer)).await;
        let_do(walk, &domain, rule("approve", &format!("{id}.example.com/*"))).await;
        let_do(walk, &signs, rule("sign", &signer)).await;
        let approve = |name: &str, kind: &str| {
            let condition = json!([{"type": kind, "status": "True", "reason": "R", "message": "m"}]);
            Call::patch(format!("{REQUESTS}/{name}/approval"), MERGE_PATCH, json!({"status": {"conditions": condition}}))
        };
        let (a, b, c, d) = (format!("a-{id}"), format!("b-{id}"), format!("c-{id}"), format!("d-{id}"));
        walk.expect(403, approve(&a, "Approved").as_user(&plain, &[])).await;
        walk.expect(403, approve(&a, "Approved").as_user(&signs, &[])).await;
        walk.expect(403, approve(&format!("other-{id}"), "Approved").as_user(&approver, &[])).await;
        walk.expect(200, approve(&a, "Approved").as_user(&approver, &[])).await;
        walk.expect(200, approve(&b, "Denied").as_user(&domain, &[])).await;
        for kind in ["Approved", "Denied", "Failed", "Odd", ""] {
            walk.ask(approve(&a, kind)).await;
            walk.ask(approve(&b, kind)).await;
            walk.ask(approve(&c, kind)).await;
        }
        for condition in [
            json!({"type": "Approved", "status": "False"}),
            json!({"type": "Approved", "status": "Unknown"}),
            json!({"type": "Approved", "status": "Odd"}),
            json!({"type": "Approved"}),
            json!({"type": "Extra", "status": "False", "lastUpdateTime": "2026-01-02T03:04:05Z"}),
            json!({}),
        ] {
            let patch = json!({"status": {"conditions": [condition]}});
            walk.ask(Call::patch(format!("{REQUESTS}/{d}/approval"), MERGE_PATCH, patch)).await;
        }
        let both = json!({"status": {"conditions": [{"type": "Approved", "status": "True"}, {"type": "Denied", "status": "True"}]}});
        walk.ask(Call::patch(format!("{REQUESTS}/other-{id}/approval"), MERGE_PATCH, both)).await;
        let twice = json!({"status": {"conditions": [{"type": "Approved", "status": "True"}, {"type": "Approved", "status": "True"}]}});
        walk.ask(Call::patch(format!("{REQUESTS}/other-{id}/approval"), MERGE_PATCH, twice)).await;
        walk.ask(Call::patch(format!("{REQUESTS}/{a}/approval"), MERGE_PATCH, json!({"status": {"certificate": "eA=="}}))).await;
        walk.ask(Call::patch(format!("{REQUESTS}/{a}/approval"), MERGE_PATCH, json!({"spec": {"signerName": "x.y/z"}, "metadata": {"labels": {"by": "approval"}}}))).await;
        walk.ask(Call::get(format!("{REQUESTS}/{a}/approval"))).await;
        // What a signer writes.
        let made = rcgen::generate_simple_self_signed([format!("{id}.example")]).unwrap();
        let certificate = STANDARD.encode(made.cert.pem());
        let write = |name: &str, value: &str| Call::patch(format!("{REQUESTS}/{name}/status"), MERGE_PATCH, json!({"status": {"certificate": value}}));
        // Two servers are given two certificates.
        for (user, name) in [(&plain, &a), (&approver, &a)] {
            let answer = walk.quietly(write(name, &certificate).as_user(user, &[])).await;
            assert_eq!(answer.code, 403, "{}", answer.body);
            walk.found("who may not sign", answer.body);
        }
        for wrong in ["eA==", "", &STANDARD.encode("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"),
            &STANDARD.encode("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"), "odd"] {
            walk.ask(write(&a, wrong).as_user(&signs, &[])).await;
        }
        let signed = walk.quietly(write(&a, &certificate).as_user(&signs, &[])).await;
        assert_eq!(signed.code, 200, "{}", signed.body);
        walk.ask(write(&a, "").as_user(&signs, &[])).await;
        let fails = json!({"status": {"conditions": [{"type": "Failed", "status": "True"}]}});
        walk.ask(Call::patch(format!("{REQUESTS}/{d}/status"), MERGE_PATCH, fails.clone()).as_user(&plain, &[])).await;
        walk.ask(Call::patch(format!("{REQUESTS}/{d}/status"), MERGE_PATCH, fails).as_user(&signs, &[])).await;
        walk.ask(Call::patch(format!("{REQUESTS}/{d}/status"), MERGE_PATCH, json!({"status": {"conditions": [{"type": "Failed", "status": "True"}, {"type": "Approved", "status": "True"}]}}))).await;
        walk.ask(Call::patch(format!("{REQUESTS}/{d}/status"), MERGE_PATCH, json!({"status": {"conditions": []}}))).await;
    })
    .await;
}
