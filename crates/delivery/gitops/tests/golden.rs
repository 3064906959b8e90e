//! The golden chart on the API server: every object is taken, and every pod passes Pod Security `restricted`.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod world;

use std::path::Path;

use helm::{Files, Options, Rendered};
use kube::api::{DeleteParams, PostParams};
use serde_json::{Value, json};
use world::{World, word};

/// Kinds that the chart makes and that definitions have to bring: group, version, plural, kind.
const DEFINED: [(&str, &str, &str, &str); 5] = [
    ("gateway.networking.k8s.io", "v1", "httproutes", "HTTPRoute"),
    ("networking.istio.io", "v1", "virtualservices", "VirtualService"),
    ("networking.istio.io", "v1", "destinationrules", "DestinationRule"),
    ("monitoring.coreos.com", "v1", "servicemonitors", "ServiceMonitor"),
    ("external-secrets.io", "v1", "externalsecrets", "ExternalSecret"),
];

fn content(path: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../content").join(path)
}

fn chart() -> Files {
    let root = content("charts/microservice");
    let mut files = Files::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(&root).unwrap().display().to_string();
                files.insert(name, std::fs::read(&path).unwrap());
            }
        }
    }
    files
}

/// Objects that the chart renders to, and the pods of its hooks.
fn rendered(values: &[String], namespace: &str) -> (Vec<Value>, Vec<Value>) {
    let options = Options { values: values.to_vec(), ..Options::new(word(), namespace) };
    let Rendered { manifests, hooks, .. } = helm::render(&chart(), &options).unwrap();
    let read = |manifest: &helm::Manifest| helm::parse_manifests(&manifest.source, &manifest.text).unwrap();
    let objects = manifests.iter().flat_map(read).collect();
    (objects, hooks.iter().flat_map(|hook| read(&hook.manifest)).collect())
}

/// The values of the environments, and some that turn everything on.
fn all_values() -> Vec<(String, Vec<String>)> {
    let environment = |name: &str| std::fs::read_to_string(content(&format!("charts/microservice/{name}"))).unwrap();
    let everything = json!({
        "fullnameOverride": word(), "commonLabels": {"team": word()}, "podAnnotations": {"a": word()},
        "ingress": {"enabled": true, "className": "nginx", "tls": [{"secretName": "tls", "hosts": ["a.example"]}]},
        "istio": {"enabled": true, "timeout": "3s", "destinationRule": {"enabled": true}},
        "gateway": {"timeout": "3s", "hostnames": [format!("{}.example", word())]},
        "monitoring": {"serviceMonitor": {"enabled": true}}, "podDisruptionBudget": {"enabled": true},
        "secrets": {"database": {"username": word(), "password": word()}, "jwt": {"secret": word()}},
        "networkPolicy": {"ingress": {"namespaces": [word()]}, "egress": {"namespaces": [word()],
            "rules": [{"to": [{"ipBlock": {"cidr": "10.0.0.0/8"}}], "ports": [{"port": 443}]}]}},
        "nodeSelector": {"disk": "ssd"}, "tolerations": [{"key": "a", "operator": "Exists"}],
        "extraEnv": [{"name": "A", "value": word()}],
        "extraVolumes": [{"name": "more", "emptyDir": {}}], "extraVolumeMounts": [{"name": "more", "mountPath": "/more"}],
    });
    let external = json!({
        "secrets": {"externalSecret": {"enabled": true, "store": {"name": word()}, "key": word()}},
        "strategy": {"type": "Recreate"}, "serviceAccount": {"create": false}, "autoscaling": {"enabled": true},
    });
    vec![
        ("defaults".into(), vec![]),
        ("dev".into(), vec![environment("values-dev.yaml")]),
        ("staging".into(), vec![environment("values-staging.yaml")]),
        ("prod".into(), vec![environment("values-prod.yaml")]),
        ("everything".into(), vec![everything.to_string()]),
        ("external secrets".into(), vec![external.to_string()]),
    ]
}

async fn define(world: &World) {
    for (group, version, plural, kind) in DEFINED {
        let name = format!("{plural}.{group}");
        world.put(json!({
            "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
            "metadata": {"name": name, "annotations": {"api-approved.kubernetes.io": "unapproved, for a test"}},
            "spec": {
                "group": group, "scope": "Namespaced",
                "names": {"plural": plural, "singular": kind.to_lowercase(), "kind": kind, "listKind": format!("{kind}List")},
                "versions": [{"name": version, "served": true, "storage": true, "schema": {"openAPIV3Schema":
                    {"type": "object", "x-kubernetes-preserve-unknown-fields": true}}}],
            },
        })).await;
        let definitions = world.api("apiextensions.k8s.io", "v1", "CustomResourceDefinition", "");
        world
            .until(&definitions, &name, "established", |there| {
                there.is_some_and(|one| one["status"]["conditions"].to_string().contains("\"Established\""))
            })
            .await;
    }
}

/// Makes a namespace that enforces `restricted`.
async fn restricted(world: &World) -> String {
    let namespace = word();
    world
        .put(json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace, "labels": {
            "pod-security.kubernetes.io/enforce": "restricted", "pod-security.kubernetes.io/enforce-version": "latest",
        }}}))
        .await;
    let accounts = world.api("", "v1", "ServiceAccount", &namespace);
    let account =
        json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default", "namespace": namespace}});
    if accounts.get_opt("default").await.unwrap().is_none() {
        world.put(account).await;
    }
    namespace
}

async fn create(world: &World, namespace: &str, mut object: Value) -> Result<Value, kube::Error> {
    let version = object["apiVersion"].as_str().unwrap().to_owned();
    let (group, version) = version.split_once('/').unwrap_or(("", &version));
    object["metadata"]["namespace"] = json!(namespace);
    let api = world.api(group, version, object["kind"].as_str().unwrap(), namespace);
    let made = api.create(&PostParams::default(), &serde_json::from_value(object).unwrap()).await?;
    Ok(serde_json::to_value(made).unwrap())
}

/// The pod that a Deployment would make.
fn pod_of(deployment: &Value) -> Value {
    let mut pod = deployment["spec"]["template"].clone();
    pod["apiVersion"] = json!("v1");
    pod["kind"] = json!("Pod");
    pod["metadata"]["name"] = json!(word());
    pod
}

#[tokio::test(flavor = "multi_thread")]
async fn every_object_of_the_golden_chart_is_taken_and_every_pod_is_restricted() {
    let world = World::start().await;
    define(&world).await;
    for (what, values) in all_values() {
        let namespace = restricted(&world).await;
        let (mut objects, hooks) = rendered(&values, &namespace);
        // As they are applied: the account is there before its pods.
        objects.sort_by_key(|object| object["kind"] != "ServiceAccount");
        let pods: Vec<Value> = objects.iter().filter(|object| object["kind"] == "Deployment").map(pod_of).collect();
        assert_eq!((pods.len(), hooks.len()), (1, 1), "{what}");
        for object in objects.into_iter().chain(pods).chain(hooks) {
            let kind = object["kind"].clone();
            let made = create(&world, &namespace, object.clone()).await;
            let made = made.unwrap_or_else(|error| panic!("{what}: {kind}: {error}\n{object:#}"));
            // What the server would drop or word anew is not what was meant.
            if kind == "NetworkPolicy" || kind == "PodDisruptionBudget" {
                assert_eq!(made["spec"]["podSelector"].is_null(), kind == "PodDisruptionBudget", "{what}: {made}");
            }
        }
    }
    world.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_that_is_less_than_restricted_is_refused() {
    let world = World::start().await;
    let namespace = restricted(&world).await;
    for (values, words) in [
        (json!({"podSecurityContext": {"seccompProfile": null}}), "seccompProfile"),
        (json!({"securityContext": {"capabilities": {"drop": ["KILL"]}}}), "unrestricted capabilities"),
        (json!({"securityContext": {"allowPrivilegeEscalation": true}}), "allowPrivilegeEscalation"),
        (json!({"securityContext": {"runAsNonRoot": false}}), "runAsNonRoot"),
    ] {
        let (objects, _) =
            rendered(&[json!({"serviceAccount": {"create": false}}).to_string(), values.to_string()], &namespace);
        let pod = pod_of(objects.iter().find(|object| object["kind"] == "Deployment").unwrap());
        let refused = create(&world, &namespace, pod).await.unwrap_err().to_string();
        assert!(refused.contains("restricted:latest") && refused.contains(words), "{values}: {refused}");
    }
    world.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_application_installs_the_golden_chart_with_the_kinds_that_are_there() {
    let world = World::start().await;
    world
        .until(&world.api("argoproj.io", "v1alpha1", "AppProject", "argocd"), "default", "made", |there| {
            there.is_some()
        })
        .await;
    define(&world).await;
    let (name, namespace) = (word(), restricted(&world).await);
    world.put(json!({
        "apiVersion": "argoproj.io/v1alpha1", "kind": "Application",
        "metadata": {"name": name, "namespace": "argocd"},
        "spec": {
            "project": "default",
            "source": {"repoURL": "https://git.cluster.local/charts.git", "path": "microservice", "targetRevision": "main",
                "helm": {"releaseName": name, "valueFiles": ["values-prod.yaml"], "valuesObject": {"fullnameOverride": name}}},
            "destination": {"server": "https://kubernetes.default.svc", "namespace": namespace},
            "syncPolicy": {"automated": {"prune": true, "selfHeal": true}},
        },
    })).await;
    let apps = world.api("argoproj.io", "v1alpha1", "Application", "argocd");
    let app = world
        .until(&apps, &name, "synced", |there| there.is_some_and(|app| app["status"]["sync"]["status"] == "Synced"))
        .await
        .unwrap();
    let mut kinds: Vec<&str> =
        app["status"]["resources"].as_array().unwrap().iter().filter_map(|one| one["kind"].as_str()).collect();
    kinds.sort_unstable();
    // The group of ServiceMonitor is served here, so one is made.
    let wanted = [
        "ConfigMap",
        "Deployment",
        "HTTPRoute",
        "HorizontalPodAutoscaler",
        "NetworkPolicy",
        "PodDisruptionBudget",
        "Service",
        "ServiceAccount",
        "ServiceMonitor",
    ];
    assert_eq!(kinds, wanted);
    apps.delete(&name, &DeleteParams::default()).await.unwrap();
    world.stop();
}
