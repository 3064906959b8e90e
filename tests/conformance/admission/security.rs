//! Pod Security Standards: each control at each level, and what namespaces and templates are warned of.

use conformance::{
    cluster::{Call, MERGE_PATCH},
    walk::{Walk, conform},
};
use serde_json::{Value, json};

use super::pod;

/// Holds the walk's namespace to these levels.
async fn held(walk: &mut Walk, labels: Value) {
    let path = format!("/api/v1/namespaces/{}", walk.space);
    walk.expect(200, Call::patch(path, MERGE_PATCH, json!({"metadata": {"labels": labels}}))).await;
}

/// Waits until a server's part that holds pods to the levels has heard of them.
async fn heard(walk: &mut Walk) {
    let call = Call::post(format!("{}?dryRun=All", walk.core("pods")), pod("x", json!({"hostPID": true})));
    walk.until(&walk.cluster.clone(), call, |answer| answer.code == 403).await;
}

/// A container with this security context.
fn container(context: Value) -> Value {
    json!({"containers": [{"name": "c", "image": "i", "securityContext": context}]})
}

/// Specs that break a control, or just do not.
fn specs() -> Vec<Value> {
    let mut all = vec![
        json!({}),
        json!({"hostPID": true}),
        json!({"hostNetwork": true, "hostIPC": true, "hostPID": true}),
        json!({"containers": [{"name": "c", "image": "i", "ports": [{"containerPort": 80, "hostPort": 80}]}, {"name": "d", "image": "i", "ports": [{"containerPort": 81, "hostPort": 81}, {"containerPort": 82, "hostPort": 82}]}]}),
        json!({"volumes": [{"name": "v", "hostPath": {"path": "/"}}]}),
        json!({"volumes": [{"name": "v", "hostPath": {"path": "/"}}, {"name": "w", "hostPath": {"path": "/x"}}]}),
        json!({"volumes": [{"name": "a", "nfs": {"server": "s", "path": "/"}}, {"name": "b", "emptyDir": {}}, {"name": "c", "iscsi": {"targetPortal": "1.2.3.4", "iqn": "iqn.2001-04.com.example:x", "lun": 0}}]}),
        json!({"securityContext": {"runAsNonRoot": true}}),
        json!({"securityContext": {"runAsUser": 0}}),
        json!({"securityContext": {"runAsUser": 1, "runAsNonRoot": false}}),
        json!({"securityContext": {"seccompProfile": {"type": "Unconfined"}}}),
        json!({"securityContext": {"seccompProfile": {"type": "RuntimeDefault"}}}),
        json!({"securityContext": {"seLinuxOptions": {"type": "odd_t", "user": "u", "role": "r"}}}),
        json!({"securityContext": {"seLinuxOptions": {"type": "container_t"}}}),
        json!({"securityContext": {"sysctls": [{"name": "kernel.shm_rmid_forced", "value": "0"}, {"name": "kernel.msgmax", "value": "1"}, {"name": "net.core.somaxconn", "value": "1"}]}}),
        json!({"securityContext": {"appArmorProfile": {"type": "Unconfined"}}}),
        json!({"securityContext": {"appArmorProfile": {"type": "RuntimeDefault"}}}),
        json!({"securityContext": {"windowsOptions": {"hostProcess": true}}, "hostNetwork": true}),
        json!({"initContainers": [{"name": "i", "image": "i", "securityContext": {"privileged": true}}]}),
        json!({"os": {"name": "windows"}}),
        json!({"containers": [{"name": "c", "image": "i", "livenessProbe": {"httpGet": {"port": 80, "host": "example.com"}}}]}),
        json!({"containers": [{"name": "c", "image": "i", "lifecycle": {"preStop": {"tcpSocket": {"port": 80, "host": "example.com"}}}}]}),
        json!({"containers": [{"name": "a", "image": "i", "securityContext": {"privileged": true}}, {"name": "b", "image": "i", "securityContext": {"privileged": true, "capabilities": {"add": ["SYS_ADMIN"]}}}]}),
    ];
    let fine = json!({"runAsNonRoot": true, "allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}, "seccompProfile": {"type": "RuntimeDefault"}});
    let with = |key: &str, value: Value| {
        let mut context = fine.clone();
        context[key] = value;
        context
    };
    all.extend(
        [
            fine.clone(),
            json!({"privileged": true}),
            with("allowPrivilegeEscalation", true.into()),
            with("allowPrivilegeEscalation", Value::Null),
            with("capabilities", json!({"add": ["NET_ADMIN", "SYS_TIME"]})),
            with("capabilities", json!({"add": ["NET_BIND_SERVICE"], "drop": ["ALL"]})),
            with("capabilities", json!({"add": ["CHOWN"], "drop": ["ALL"]})),
            with("capabilities", json!({"drop": ["CHOWN"]})),
            with("runAsNonRoot", false.into()),
            with("runAsNonRoot", Value::Null),
            with("runAsUser", 0.into()),
            with("seccompProfile", json!({"type": "Unconfined"})),
            with("seccompProfile", json!({"type": "Localhost", "localhostProfile": "x"})),
            with("seccompProfile", Value::Null),
            with("procMount", json!("Unmasked")),
            with("seLinuxOptions", json!({"type": "spc_t"})),
            with("seLinuxOptions", json!({"role": "r"})),
            with("appArmorProfile", json!({"type": "Unconfined"})),
            with("windowsOptions", json!({"hostProcess": true})),
        ]
        .into_iter()
        .map(container),
    );
    all
}

async fn level(walk: &mut Walk, labels: Value) {
    held(walk, labels).await;
    heard(walk).await;
    let pods = format!("{}?dryRun=All", walk.core("pods"));
    for (index, spec) in specs().into_iter().enumerate() {
        walk.ask(Call::post(&pods, pod(&format!("p{index}"), spec))).await;
    }
}

#[tokio::test]
async fn pods_are_held_to_the_baseline() {
    conform(async |walk: &mut Walk| level(walk, json!({"pod-security.kubernetes.io/enforce": "baseline"})).await).await;
}

#[tokio::test]
async fn pods_are_held_to_what_is_restricted_and_warned_of_it() {
    conform(async |walk: &mut Walk| {
        let labels = json!({"pod-security.kubernetes.io/enforce": "restricted", "pod-security.kubernetes.io/warn": "restricted", "pod-security.kubernetes.io/audit": "restricted"});
        level(walk, labels).await;
    })
    .await;
}

#[tokio::test]
async fn older_versions_know_fewer_controls() {
    conform(async |walk: &mut Walk| {
        for version in ["v1.0", "v1.18", "v1.25", "v1.33"] {
            let labels = json!({"pod-security.kubernetes.io/enforce": "baseline", "pod-security.kubernetes.io/enforce-version": version,
                "pod-security.kubernetes.io/warn": "restricted", "pod-security.kubernetes.io/warn-version": version});
            held(walk, labels).await;
            let call = Call::post(format!("{}?dryRun=All", walk.core("pods")), pod("x", json!({"hostPID": true})));
            let told = format!("baseline:{version}");
            walk.until(&walk.cluster.clone(), call, |answer| answer.message().contains(&told)).await;
            let pods = format!("{}?dryRun=All", walk.core("pods"));
            for (index, spec) in specs().into_iter().enumerate() {
                walk.ask(Call::post(&pods, pod(&format!("p{index}"), spec))).await;
            }
        }
    })
    .await;
}

#[tokio::test]
async fn templates_and_changes_are_warned_of() {
    conform(async |walk: &mut Walk| {
        walk.expect(201, Call::post(walk.core("pods"), pod("old", json!({"hostPID": true})))).await;
        walk.expect(201, Call::post(walk.core("pods"), pod("older", json!({"hostIPC": true})))).await;
        walk.expect(201, Call::post(walk.core("pods"), pod("plain", json!({})))).await;
        let path = format!("/api/v1/namespaces/{}", walk.space);
        // A real server's part that looks at pods has heard of them.
        let trial = Call::patch(format!("{path}?dryRun=All"), MERGE_PATCH, json!({"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "restricted"}}}));
        walk.until(&walk.cluster.clone(), trial, |answer| answer.warnings.len() > 2).await;
        for labels in [
            json!({"pod-security.kubernetes.io/enforce": "restricted"}),
            json!({"pod-security.kubernetes.io/enforce": "baseline"}),
            json!({"pod-security.kubernetes.io/enforce": "baseline", "pod-security.kubernetes.io/enforce-version": "v1.20"}),
            json!({"pod-security.kubernetes.io/enforce": "privileged"}),
            json!({"pod-security.kubernetes.io/warn": "restricted"}),
            json!({"pod-security.kubernetes.io/enforce": "odd"}),
            json!({"pod-security.kubernetes.io/warn": "odd", "pod-security.kubernetes.io/audit": ""}),
            json!({"pod-security.kubernetes.io/enforce-version": "v9"}),
            json!({"pod-security.kubernetes.io/enforce-version": "1.20", "pod-security.kubernetes.io/warn-version": "latest", "pod-security.kubernetes.io/audit-version": "v2.0"}),
        ] {
            walk.ask(Call::patch(format!("{path}?dryRun=All"), MERGE_PATCH, json!({"metadata": {"labels": labels}}))).await;
            let name = format!("made-{}", walk.id);
            walk.ask(Call::post("/api/v1/namespaces?dryRun=All", json!({"metadata": {"name": name, "labels": labels}}))).await;
        }
        held(walk, json!({"pod-security.kubernetes.io/enforce": "baseline", "pod-security.kubernetes.io/warn": "restricted"})).await;
        heard(walk).await;
        let template = |spec: Value| json!({"metadata": {"labels": {"a": "b"}}, "spec": pod("x", spec)["spec"]});
        let selector = json!({"matchLabels": {"a": "b"}});
        for (index, spec) in [json!({}), json!({"hostPID": true})].into_iter().enumerate() {
            let mut once = template(spec.clone());
            once["spec"]["restartPolicy"] = "Never".into();
            for (group, plural, body) in [
                ("apps/v1", "deployments", json!({"selector": selector, "template": template(spec.clone())})),
                ("apps/v1", "replicasets", json!({"selector": selector, "template": template(spec.clone())})),
                ("apps/v1", "daemonsets", json!({"selector": selector, "template": template(spec.clone())})),
                ("apps/v1", "statefulsets", json!({"selector": selector, "serviceName": "s", "template": template(spec.clone())})),
                ("batch/v1", "jobs", json!({"template": once})),
                ("batch/v1", "cronjobs", json!({"schedule": "* * * * *", "jobTemplate": {"spec": {"template": once}}})),
            ] {
                let path = format!("{}?dryRun=All", walk.group(group, plural));
                walk.ask(Call::post(path, json!({"metadata": {"name": format!("x{index}")}, "spec": body}))).await;
            }
            let controller = json!({"metadata": {"name": format!("x{index}")}, "spec": {"selector": {"a": "b"}, "template": template(spec.clone())}});
            walk.ask(Call::post(format!("{}?dryRun=All", walk.core("replicationcontrollers")), controller)).await;
            let held = json!({"metadata": {"name": format!("x{index}")}, "template": template(spec)});
            walk.ask(Call::post(format!("{}?dryRun=All", walk.core("podtemplates")), held)).await;
        }
        walk.ask(Call::patch(walk.core("pods/old"), MERGE_PATCH, json!({"metadata": {"labels": {"a": "b"}}}))).await;
        walk.ask(Call::patch(walk.core("pods/old"), MERGE_PATCH, json!({"spec": {"containers": [{"name": "c", "image": "other"}]}}))).await;
        walk.ask(Call::patch(walk.core("pods/plain"), MERGE_PATCH, json!({"spec": {"containers": [{"name": "c", "image": "other"}]}}))).await;
    })
    .await;
}
