//! Admission as a client sees it: what is filled in, refused and warned of.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a test stops at what it did not expect, and runs beside the product"
)]

mod hook;

use apiserver::{Exemptions, Server, User};
use futures::future::join_all;
use http::{Method, Request};
use kube::Client;
use serde_json::{Value, json};

async fn admin() -> (Server, Client) {
    let server = Server::in_memory().await.unwrap();
    let client = server.client(User::new("admin", &["system:masters"]));
    (server, client)
}

fn random(prefix: &str) -> String {
    format!("{prefix}-{}", &uuid::Uuid::new_v4().simple().to_string()[..8])
}

/// Sends a request; returns the status, the answer and the warnings.
async fn send(client: &Client, method: Method, path: &str, body: &Value) -> (u16, Value, Vec<String>) {
    let media = if method == Method::PATCH { "application/merge-patch+json" } else { "application/json" };
    let request = Request::builder().method(method).uri(path).header("content-type", media);
    let request = request.body(kube::client::Body::from(body.to_string().into_bytes())).unwrap();
    let response = client.send(request).await.unwrap();
    let (parts, body) = response.into_parts();
    let warnings = parts.headers.get_all("warning").iter().map(|value| value.to_str().unwrap().to_owned()).collect();
    let bytes = http_body_util::BodyExt::collect(body).await.unwrap().to_bytes();
    (parts.status.as_u16(), serde_json::from_slice(&bytes).unwrap_or_default(), warnings)
}

async fn post(client: &Client, path: &str, body: &Value) -> (u16, Value, Vec<String>) {
    send(client, Method::POST, path, body).await
}

async fn create(client: &Client, path: &str, body: &Value) -> Value {
    let (code, answer, _) = post(client, path, body).await;
    assert_eq!(code, 201, "{answer}");
    answer
}

async fn get(client: &Client, path: &str) -> Value {
    let (code, answer, _) = send(client, Method::GET, path, &json!({})).await;
    assert_eq!(code, 200, "{answer}");
    answer
}

fn pod(name: &str, cpu: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name},
        "spec": {"containers": [{"name": "a", "image": "a", "resources": {"requests": {"cpu": cpu}}}]}})
}

const PODS: &str = "/api/v1/namespaces/default/pods";

#[tokio::test]
async fn a_new_pod_is_given_an_account_a_token_a_priority_and_tolerations() {
    let (_server, client) = admin().await;
    let class = json!({"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": {"name": "high"}, "value": 1000});
    create(&client, "/apis/scheduling.k8s.io/v1/priorityclasses", &class).await;
    let mut wanted = pod(&random("p"), "1");
    wanted["spec"]["priorityClassName"] = "high".into();
    let made = create(&client, PODS, &wanted).await;
    let spec = &made["spec"];
    assert_eq!(spec["serviceAccountName"], "default");
    assert_eq!((&spec["priority"], &spec["preemptionPolicy"]), (&json!(1000), &json!("PreemptLowerPriority")));
    assert_eq!(spec["volumes"][0]["projected"]["sources"][0]["serviceAccountToken"]["expirationSeconds"], 3607);
    assert_eq!(spec["containers"][0]["volumeMounts"][0]["mountPath"], "/var/run/secrets/kubernetes.io/serviceaccount");
    assert_eq!(spec["tolerations"].as_array().unwrap().len(), 2);
    let mut other = pod("other", "1");
    other["spec"]["serviceAccountName"] = "nobody".into();
    let (code, answer, _) = post(&client, PODS, &other).await;
    assert_eq!(code, 403);
    assert_eq!(
        answer["message"],
        "pods \"other\" is forbidden: error looking up service account default/nobody: serviceaccount \"nobody\" not found"
    );
}

#[tokio::test]
async fn a_limit_range_fills_in_and_refuses() {
    let (_server, client) = admin().await;
    let range = json!({"apiVersion": "v1", "kind": "LimitRange", "metadata": {"name": "r"}, "spec": {"limits": [
        {"type": "Container", "default": {"memory": "64Mi"}, "max": {"cpu": "2"}, "defaultRequest": {"cpu": "100m"}}]}});
    create(&client, "/api/v1/namespaces/default/limitranges", &range).await;
    let made = create(&client, PODS, &json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}, "spec": {"containers": [{"name": "a", "image": "a"}]}})).await;
    let resources = &made["spec"]["containers"][0]["resources"];
    assert_eq!(resources["requests"]["cpu"], "100m");
    assert_eq!(resources["limits"], json!({"cpu": "2", "memory": "64Mi"}));
    let mut large = pod("large", "3");
    large["spec"]["containers"][0]["resources"]["limits"] = json!({"cpu": "3"});
    let (code, answer, _) = post(&client, PODS, &large).await;
    assert_eq!(
        (code, answer["message"].as_str().unwrap()),
        (403, "pods \"large\" is forbidden: maximum cpu usage per Container is 2, but limit is 3")
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 8)]
async fn a_quota_is_exact_however_many_create_at_once() {
    let (_server, client) = admin().await;
    let quota = json!({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "q"}, "spec": {"hard": {"requests.cpu": "1", "count/configmaps": "3"}}});
    create(&client, "/api/v1/namespaces/default/resourcequotas", &quota).await;
    let wanted: Vec<Value> = (0..40).map(|_| pod(&random("p"), "100m")).collect();
    // Tasks of their own, on several threads: in one task they would hardly meet.
    let creator = |pod: Value| {
        let client = client.clone();
        tokio::spawn(async move { post(&client, PODS, &pod).await })
    };
    let answers: Vec<_> = join_all(wanted.into_iter().map(creator)).await.into_iter().map(Result::unwrap).collect();
    let made: Vec<&Value> = answers.iter().filter(|answer| answer.0 == 201).map(|answer| &answer.1).collect();
    assert_eq!(made.len(), 10);
    let refused = answers.iter().find(|answer| answer.0 == 403).unwrap();
    let message = refused.1["message"].as_str().unwrap();
    assert!(message.ends_with("is forbidden: exceeded quota: q, requested: requests.cpu=100m, used: requests.cpu=1, limited: requests.cpu=1"), "{message}");
    let used = |quota: &Value| quota["status"]["used"].clone();
    let path = "/api/v1/namespaces/default/resourcequotas/q";
    assert_eq!(used(&get(&client, path).await), json!({"requests.cpu": "1", "count/configmaps": "0"}));
    let name = made[0]["metadata"]["name"].as_str().unwrap();
    send(&client, Method::DELETE, &format!("{PODS}/{name}"), &json!({})).await;
    assert_eq!(used(&get(&client, path).await)["requests.cpu"], "900m");
    create(&client, PODS, &pod(&random("p"), "100m")).await;
}

#[tokio::test]
async fn pods_are_held_to_the_standard_of_their_namespace() {
    let (server, client) = admin().await;
    let namespace = random("ns");
    let labels =
        json!({"pod-security.kubernetes.io/enforce": "baseline", "pod-security.kubernetes.io/warn": "restricted"});
    create(
        &client,
        "/api/v1/namespaces",
        &json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace, "labels": labels}}),
    )
    .await;
    let pods = format!("/api/v1/namespaces/{namespace}/pods");
    let (code, _, warnings) = post(&client, &pods, &pod("plain", "1")).await;
    assert_eq!(code, 201);
    assert!(
        warnings[0].contains("would violate PodSecurity \\\"restricted:latest\\\": allowPrivilegeEscalation != false"),
        "{warnings:?}"
    );
    let mut bad = pod("bad", "1");
    bad["spec"]["hostPID"] = true.into();
    let (code, answer, _) = post(&client, &pods, &bad).await;
    assert_eq!(
        (code, answer["message"].as_str().unwrap()),
        (403, "pods \"bad\" is forbidden: violates PodSecurity \"baseline:latest\": host namespaces (hostPID=true)")
    );
    let deployment = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d"}, "spec": {"selector": {"matchLabels": {"a": "b"}},
        "template": {"metadata": {"labels": {"a": "b"}}, "spec": bad["spec"]}}});
    let (code, _, warnings) =
        post(&client, &format!("/apis/apps/v1/namespaces/{namespace}/deployments"), &deployment).await;
    assert_eq!(code, 201, "a template is warned of and not refused");
    assert!(warnings[0].contains("host namespaces"), "{warnings:?}");
    let change = json!({"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "restricted"}}});
    let (_, _, warnings) = send(&client, Method::PATCH, &format!("/api/v1/namespaces/{namespace}"), &change).await;
    assert!(warnings[0].contains("existing pods in namespace"), "{warnings:?}");
    let change = json!({"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "strict"}}});
    assert_eq!(send(&client, Method::PATCH, &format!("/api/v1/namespaces/{namespace}"), &change).await.0, 422);
    server.exempt(Exemptions { namespaces: vec![namespace.clone()], ..Exemptions::default() });
    assert_eq!(post(&client, &pods, &bad).await.0, 201);
}

#[tokio::test]
async fn some_namespaces_stay_and_classes_are_found() {
    let (_server, client) = admin().await;
    let (code, answer, _) = send(&client, Method::DELETE, "/api/v1/namespaces/default", &json!({})).await;
    assert_eq!(
        (code, answer["message"].as_str().unwrap()),
        (403, "namespaces \"default\" is forbidden: this namespace may not be deleted")
    );
    let class = json!({"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "provisioner": "x", "metadata": {"name": "fast", "annotations": {"storageclass.kubernetes.io/is-default-class": "true"}}});
    create(&client, "/apis/storage.k8s.io/v1/storageclasses", &class).await;
    let claim = json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "c"}, "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}});
    let made = create(&client, "/api/v1/namespaces/default/persistentvolumeclaims", &claim).await;
    assert_eq!(made["spec"]["storageClassName"], "fast");
}

const REGISTRATION: &str = "/apis/admissionregistration.k8s.io/v1";

#[tokio::test]
async fn a_policy_with_parameters_refuses_warns_and_can_be_bound_again() {
    let (_server, client) = admin().await;
    let limit = random("limit");
    create(
        &client,
        "/api/v1/namespaces/default/configmaps",
        &json!({"metadata": {"name": limit}, "data": {"most": "2"}}),
    )
    .await;
    let rules = json!([{"apiGroups": ["apps"], "apiVersions": ["v1"], "operations": ["CREATE", "UPDATE"], "resources": ["deployments"]}]);
    let policy = json!({"apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicy", "metadata": {"name": "replicas"},
        "spec": {"paramKind": {"apiVersion": "v1", "kind": "ConfigMap"}, "matchConstraints": {"resourceRules": rules},
            "variables": [{"name": "most", "expression": "int(params.data.most)"}],
            "validations": [{"expression": "object.spec.replicas <= variables.most", "messageExpression": "'at most ' + string(variables.most) + ' for ' + request.userInfo.username"},
                {"expression": "authorizer.group('apps').resource('deployments').namespace(request.namespace).check('create').allowed()"}]}});
    create(&client, &format!("{REGISTRATION}/validatingadmissionpolicies"), &policy).await;
    let binding = |name: &str, actions: &[&str], params: &str| {
        json!({"apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicyBinding", "metadata": {"name": name},
            "spec": {"policyName": "replicas", "validationActions": actions, "paramRef": {"name": params, "namespace": "default", "parameterNotFoundAction": "Deny"}}})
    };
    let bindings = format!("{REGISTRATION}/validatingadmissionpolicybindings");
    create(&client, &bindings, &binding("b", &["Deny"], &limit)).await;
    let deployment = |replicas: i64| {
        json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": format!("d{replicas}")}, "spec": {"replicas": replicas, "selector": {"matchLabels": {"a": "b"}},
            "template": {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "a", "image": "a"}]}}}})
    };
    let deployments = "/apis/apps/v1/namespaces/default/deployments";
    create(&client, deployments, &deployment(2)).await;
    let (code, answer, _) = post(&client, deployments, &deployment(3)).await;
    assert_eq!(
        (code, answer["message"].as_str().unwrap(), answer["reason"].as_str().unwrap()),
        (
            422,
            "deployments.apps \"d3\" is forbidden: ValidatingAdmissionPolicy 'replicas' with binding 'b' denied request: at most 2 for admin",
            "Invalid"
        )
    );
    send(&client, Method::DELETE, &format!("{bindings}/b"), &json!({})).await;
    create(&client, &bindings, &binding("w", &["Warn", "Audit"], &limit)).await;
    let (code, _, warnings) = post(&client, deployments, &deployment(3)).await;
    assert_eq!(code, 201);
    assert!(
        warnings[0].contains(
            "Validation failed for ValidatingAdmissionPolicy 'replicas' with binding 'w': at most 2 for admin"
        ),
        "{warnings:?}"
    );
    create(&client, &bindings, &binding("n", &["Deny"], "nowhere")).await;
    let (_, answer, _) = post(&client, deployments, &deployment(1)).await;
    assert!(
        answer["message"].as_str().unwrap().ends_with(
            "failed to configure binding: no params found for policy binding with `Deny` parameterNotFoundAction"
        ),
        "{answer}"
    );
    let mut senseless = policy.clone();
    senseless["metadata"]["name"] = "senseless".into();
    senseless["spec"]["validations"] = json!([{"expression": "object.spec.replicas ="}]);
    let (code, answer, _) = post(&client, &format!("{REGISTRATION}/validatingadmissionpolicies"), &senseless).await;
    assert_eq!(code, 422);
    assert_eq!(answer["details"]["causes"][0]["field"], "spec.validations[0].expression");
}

fn configuration(kind: &str, webhook: &Value) -> Value {
    let mut webhook = webhook.clone();
    let rules =
        json!([{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["configmaps"]}]);
    for (name, value) in [("rules", rules), ("sideEffects", json!("None")), ("admissionReviewVersions", json!(["v1"]))]
    {
        if webhook[name].is_null() {
            webhook[name] = value;
        }
    }
    json!({"apiVersion": "admissionregistration.k8s.io/v1", "kind": kind, "metadata": {"name": random("c")}, "webhooks": [webhook]})
}

const MAPS: &str = "/api/v1/namespaces/default/configmaps";

#[tokio::test]
async fn webhooks_change_and_refuse_over_tls() {
    let (_server, client) = admin().await;
    let hook = hook::start().await;
    let mutating = configuration(
        "MutatingWebhookConfiguration",
        &json!({"name": "m.example.com", "clientConfig": hook.config("/mutate")}),
    );
    create(&client, &format!("{REGISTRATION}/mutatingwebhookconfigurations"), &mutating).await;
    let validating = configuration(
        "ValidatingWebhookConfiguration",
        &json!({"name": "v.example.com", "clientConfig": hook.config("/validate"), "matchConditions": [{"name": "c", "expression": "object.metadata.name != 'exempt'"}]}),
    );
    create(&client, &format!("{REGISTRATION}/validatingwebhookconfigurations"), &validating).await;
    let (code, made, warnings) =
        post(&client, MAPS, &json!({"metadata": {"name": random("m")}, "data": {"a": "b"}})).await;
    assert_eq!(code, 201, "{made}");
    assert_eq!(made["data"], json!({"a": "b", "seen-by": "admin"}));
    assert!(warnings[0].contains("be careful"), "{warnings:?}");
    let (code, answer, _) = post(&client, MAPS, &json!({"metadata": {"name": "bad"}, "data": {"refuse": "yes"}})).await;
    assert_eq!(
        (code, answer["message"].as_str().unwrap()),
        (418, "admission webhook \"v.example.com\" denied the request: no tea")
    );
    assert_eq!(post(&client, MAPS, &json!({"metadata": {"name": "exempt"}, "data": {"refuse": "yes"}})).await.0, 201);
}

#[tokio::test]
async fn a_webhook_for_one_version_sees_objects_of_another_in_it() {
    let (_server, client) = admin().await;
    let hook = hook::start().await;
    let rules = json!([{"apiGroups": ["autoscaling"], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["horizontalpodautoscalers"]}]);
    let webhook = json!({"name": "m.example.com", "clientConfig": hook.config("/cpu"), "rules": rules});
    let mutating = configuration("MutatingWebhookConfiguration", &webhook);
    create(&client, &format!("{REGISTRATION}/mutatingwebhookconfigurations"), &mutating).await;
    let target = json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": "d"});
    let metric = json!({"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 80}}});
    let scaler = json!({"metadata": {"name": random("h")}, "spec": {"scaleTargetRef": target, "maxReplicas": 3, "metrics": [metric]}});
    let path = "/apis/autoscaling/v2/namespaces/default/horizontalpodautoscalers";
    let (code, made, _) = post(&client, path, &scaler).await;
    assert_eq!(code, 201, "{made}");
    assert_eq!(made["apiVersion"], "autoscaling/v2");
    assert_eq!(made["spec"]["metrics"][0]["resource"]["target"]["averageUtilization"], 42, "{made}");
}

#[tokio::test]
async fn a_webhook_that_does_not_answer_refuses_unless_it_is_to_be_ignored() {
    let (_server, client) = admin().await;
    let hook = hook::start().await;
    for (policy, config, code) in [
        ("Ignore", hook.config("/hang"), 201),
        ("Fail", hook.config("/hang"), 500),
        ("Fail", json!({"url": "https://127.0.0.1:1/"}), 500),
        ("Fail", json!({"service": {"name": "none", "namespace": "default"}}), 500),
        ("Fail", hook.config("/nonsense"), 500),
    ] {
        let webhook =
            json!({"name": "v.example.com", "clientConfig": config, "failurePolicy": policy, "timeoutSeconds": 1});
        let configuration = configuration("ValidatingWebhookConfiguration", &webhook);
        let path = format!("{REGISTRATION}/validatingwebhookconfigurations");
        create(&client, &path, &configuration).await;
        let (found, answer, _) = post(&client, MAPS, &json!({"metadata": {"name": random("m")}})).await;
        assert_eq!(found, code, "{webhook}: {answer}");
        if code == 500 {
            let message = answer["message"].as_str().unwrap();
            assert!(
                message.starts_with(
                    "Internal error occurred: failed calling webhook \"v.example.com\": failed to call webhook: "
                ),
                "{message}"
            );
        }
        let name = configuration["metadata"]["name"].as_str().unwrap();
        send(&client, Method::DELETE, &format!("{path}/{name}"), &json!({})).await;
    }
}

#[tokio::test]
async fn a_webhook_behind_a_service_is_found_and_told_of_a_dry_run() {
    let (_server, client) = admin().await;
    let hook = hook::start().await;
    let service =
        json!({"metadata": {"name": "hook"}, "spec": {"ports": [{"port": 443, "name": "tls", "targetPort": 8443}]}});
    create(&client, "/api/v1/namespaces/default/services", &service).await;
    let slice = json!({"metadata": {"name": "hook-1", "labels": {"kubernetes.io/service-name": "hook"}}, "addressType": "IPv4",
        "endpoints": [{"addresses": ["127.0.0.1"], "conditions": {"ready": true}}], "ports": [{"name": "tls", "port": hook.port}]});
    create(&client, "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices", &slice).await;
    let config =
        json!({"service": {"name": "hook", "namespace": "default", "path": "/mutate"}, "caBundle": hook.bundle});
    let webhook = json!({"name": "m.example.com", "clientConfig": config, "sideEffects": "NoneOnDryRun"});
    create(
        &client,
        &format!("{REGISTRATION}/mutatingwebhookconfigurations"),
        &configuration("MutatingWebhookConfiguration", &webhook),
    )
    .await;
    let made = create(&client, &format!("{MAPS}?dryRun=All"), &json!({"metadata": {"name": "dry"}})).await;
    assert_eq!(made["data"]["seen-by"], "admin (dry run)");
}
