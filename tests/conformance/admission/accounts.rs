//! ServiceAccounts of pods: the default one, missing ones, tokens, pull secrets.

use conformance::{
    cluster::{Call, MERGE_PATCH},
    walk::{Walk, conform},
};
use serde_json::{Value, json};

use super::pod;

#[tokio::test]
async fn a_pod_is_given_an_account_and_its_token() {
    conform(async |walk: &mut Walk| {
        let (accounts, pods) = (walk.core("serviceaccounts"), walk.core("pods"));
        for body in [
            json!({"metadata": {"name": "plain"}}),
            json!({"metadata": {"name": "quiet"}, "automountServiceAccountToken": false}),
            json!({"metadata": {"name": "pulls"}, "imagePullSecrets": [{"name": "s1"}, {"name": "s2"}]}),
            json!({"metadata": {"name": "strict", "annotations": {"kubernetes.io/enforce-mountable-secrets": "true"}}, "secrets": [{"name": "own"}]}),
        ] {
            walk.expect(201, Call::post(&accounts, body)).await;
        }
        let wait = |account: &str| Call::post(format!("{pods}?dryRun=All"), pod("x", json!({"serviceAccountName": account})));
        for account in ["default", "plain", "quiet", "pulls", "strict"] {
            walk.until(&walk.cluster.clone(), wait(account), |answer| answer.code == 201).await;
        }
        let mounted = json!([{"name": "c", "image": "i", "volumeMounts": [{"name": "v", "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount"}]}]);
        for (index, more) in [
            json!({}),
            json!({"serviceAccountName": "plain"}),
            json!({"serviceAccount": "plain"}),
            json!({"serviceAccountName": "plain", "serviceAccount": "quiet"}),
            json!({"serviceAccountName": "nobody"}),
            json!({"serviceAccountName": "Bad Name"}),
            json!({"serviceAccountName": "quiet"}),
            json!({"serviceAccountName": "quiet", "automountServiceAccountToken": true}),
            json!({"automountServiceAccountToken": false}),
            json!({"serviceAccountName": "pulls"}),
            json!({"serviceAccountName": "pulls", "imagePullSecrets": [{"name": "own"}]}),
            json!({"containers": mounted, "volumes": [{"name": "v", "emptyDir": {}}]}),
            json!({"initContainers": [{"name": "i", "image": "i"}]}),
            json!({"serviceAccountName": "strict", "volumes": [{"name": "v", "secret": {"secretName": "own"}}]}),
            json!({"serviceAccountName": "strict", "volumes": [{"name": "v", "secret": {"secretName": "other"}}]}),
            json!({"serviceAccountName": "strict", "imagePullSecrets": [{"name": "other"}]}),
            json!({"serviceAccountName": "strict", "containers": [{"name": "c", "image": "i", "env": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "other", "key": "k"}}}]}]}),
            json!({"serviceAccountName": "strict", "containers": [{"name": "c", "image": "i", "envFrom": [{"secretRef": {"name": "other"}}]}]}),
        ]
        .into_iter()
        .enumerate()
        {
            walk.ask(Call::post(&pods, pod(&format!("p{index}"), more))).await;
        }
        let change = json!({"spec": {"serviceAccountName": "quiet"}});
        walk.ask(Call::patch(format!("{pods}/p0"), MERGE_PATCH, change)).await;
    })
    .await;
}

#[tokio::test]
async fn a_mirror_pod_has_no_account() {
    conform(async |walk: &mut Walk| {
        let pods = walk.core("pods");
        let node = format!("node-{}", walk.id);
        for (index, more) in [
            json!({"nodeName": node}),
            json!({}),
            json!({"nodeName": node, "serviceAccountName": "default"}),
            json!({"nodeName": node, "volumes": [{"name": "v", "secret": {"secretName": "s"}}]}),
            json!({"nodeName": node, "volumes": [{"name": "v", "projected": {"sources": [{"serviceAccountToken": {"path": "t"}}]}}]}),
            json!({"nodeName": node, "volumes": [{"name": "v", "projected": {"sources": [{"configMap": {"name": "m"}}]}}]}),
        ]
        .into_iter()
        .enumerate()
        {
            let mut mirror = pod(&format!("m{index}"), more);
            mirror["metadata"]["annotations"] = json!({"kubernetes.io/config.mirror": "x"});
            walk.ask(Call::post(&pods, mirror)).await;
        }
        for annotations in [Value::Null, json!({}), json!({"kubernetes.io/config.mirror": "y"})] {
            walk.ask(Call::patch(format!("{pods}/m0"), MERGE_PATCH, json!({"metadata": {"annotations": annotations}}))).await;
        }
    })
    .await;
}
