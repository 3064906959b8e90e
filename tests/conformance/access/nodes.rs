//! Nodes: what they may read and write, of themselves and their pods alone.

use conformance::{
    cluster::{Call, MERGE_PATCH},
    walk::{Walk, conform},
};
use serde_json::{Value, json};

use super::pod;

/// A pod on a node that names a secret, a map and a claim.
fn placed(name: &str, node: &str, named: &str) -> Value {
    let mut pod = pod(name, "default");
    pod["spec"]["nodeName"] = node.into();
    pod["spec"]["volumes"] = json!([
        {"name": "a", "secret": {"secretName": named}}, {"name": "b", "configMap": {"name": named}},
        {"name": "c", "persistentVolumeClaim": {"claimName": named}}]);
    pod
}

#[tokio::test]
async fn a_node_reads_what_its_pods_name() {
    conform(async |walk: &mut Walk| {
        let (mine, other) = (format!("mine-{}", walk.id), format!("other-{}", walk.id));
        let user = format!("system:node:{mine}");
        let node = |call: Call| call.as_user(&user, &["system:nodes"]);
        for name in [&mine, &other] {
            walk.expect(201, Call::post("/api/v1/nodes", json!({"metadata": {"name": name}}))).await;
        }
        let volume = format!("volume-{}", walk.id);
        let claim = json!({"metadata": {"name": "s1"}, "spec": {"accessModes": ["ReadWriteOnce"], "volumeName": volume, "storageClassName": "", "resources": {"requests": {"storage": "1"}}}});
        walk.expect(201, Call::post(walk.core("persistentvolumeclaims"), claim)).await;
        let spec = json!({"capacity": {"storage": "1"}, "accessModes": ["ReadWriteOnce"], "hostPath": {"path": "/x"}, "claimRef": {"namespace": walk.space, "name": "s1"}});
        walk.expect(201, Call::post("/api/v1/persistentvolumes", json!({"metadata": {"name": volume}, "spec": spec}))).await;
        for name in ["s1", "s2"] {
            walk.expect(201, Call::post(walk.core("secrets"), json!({"metadata": {"name": name}}))).await;
            walk.expect(201, Call::post(walk.core("configmaps"), json!({"metadata": {"name": name}}))).await;
        }
        let pods = walk.core("pods");
        walk.expect(201, Call::post(&pods, placed("a", &mine, "s1"))).await;
        walk.expect(201, Call::post(&pods, placed("b", &other, "s2"))).await;
        walk.expect(201, Call::post(&pods, pod("c", "default"))).await;
        let secrets = walk.core("secrets");
        walk.until(&walk.cluster.clone(), node(Call::get(format!("{secrets}/s1"))), |answer| answer.code == 200).await;
        for plural in ["secrets", "configmaps", "persistentvolumeclaims"] {
            let path = walk.core(plural);
            for call in [
                Call::get(format!("{path}/s1")),
                Call::get(format!("{path}/s2")),
                Call::get(&path),
                Call::get(format!("{path}?fieldSelector=metadata.name%3Ds1")),
                Call::get(format!("{path}?fieldSelector=metadata.name%3Ds2")),
                Call::get(format!("/api/v1/{plural}")),
                Call::patch(format!("{path}/s1"), MERGE_PATCH, json!({})),
                Call::delete(format!("{path}/s1")),
                Call::post(&path, json!({"metadata": {"name": "new"}})),
            ] {
                walk.ask(node(call)).await;
            }
        }
        for call in [
            Call::get(format!("/api/v1/persistentvolumes/{volume}")),
            Call::get("/api/v1/persistentvolumes/none"),
            Call::get("/api/v1/persistentvolumes"),
            Call::get(format!("{pods}/a")),
            Call::get(format!("{pods}/b")),
            Call::get(format!("{pods}/c")),
            Call::get(format!("{pods}/none")),
            Call::get(&pods),
            Call::get("/api/v1/pods"),
            Call::get(format!("/api/v1/pods?fieldSelector=spec.nodeName%3D{other}")),
            Call::get("/api/v1/nodes?labelSelector=none"),
            Call::get(format!("/api/v1/nodes/{other}")),
            Call::get(format!("/api/v1/nodes?fieldSelector=metadata.name%3D{other}")),
            Call::get(format!("{}?labelSelector=none", walk.core("services"))),
            Call::get("/api/v1/services?labelSelector=none"),
            Call::get("/apis/node.k8s.io/v1/runtimeclasses?labelSelector=none"),
            Call::get("/apis/storage.k8s.io/v1/csidrivers?labelSelector=none"),
            Call::get("/apis/storage.k8s.io/v1/storageclasses"),
            Call::get("/apis/apps/v1/deployments"),
            Call::get(walk.core("endpoints")),
            Call::get(walk.core("serviceaccounts/default")),
            Call::get("/api/v1/namespaces/default"),
            Call::get("/metrics"),
            Call::get(format!("/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/{other}")),
            Call::get(format!("/apis/coordination.k8s.io/v1/namespaces/default/leases/{mine}")),
            Call::get("/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"),
            Call::get(format!("/apis/storage.k8s.io/v1/csinodes/{other}")),
            Call::get("/apis/storage.k8s.io/v1/csinodes"),
        ] {
            walk.ask(node(call)).await;
        }
        let own = walk.quietly(node(Call::get(format!("/api/v1/pods?fieldSelector=spec.nodeName%3D{mine}")))).await;
        assert_eq!((own.code, own.names()), (200, vec!["a"]));
        let itself = walk.quietly(node(Call::get(format!("/api/v1/nodes/{mine}")))).await;
        assert_eq!(itself.code, 200, "{}", itself.body);
        // What is another's is not its own.
        for path in [
            format!("{secrets}/s2"),
            format!("{pods}/b"),
            format!("/api/v1/pods?fieldSelector=spec.nodeName%3D{other}"),
            format!("/api/v1/nodes/{other}"),
        ] {
            walk.expect(403, node(Call::get(path))).await;
        }
        // One that is in the group and named otherwise, and the other way round, is no node.
        walk.ask(Call::get(format!("{secrets}/s1")).as_user(&user, &[])).await;
        walk.ask(Call::get(format!("{secrets}/s1")).as_user(&mine, &["system:nodes"])).await;
        walk.ask(Call::post("/api/v1/nodes", json!({"metadata": {"name": "x"}})).as_user(&mine, &["system:nodes"])).await;
    })
    .await;
}

#[tokio::test]
async fn a_node_writes_itself_and_its_pods() {
    conform(async |walk: &mut Walk| {
        let (mine, other) = (format!("mine-{}", walk.id), format!("other-{}", walk.id));
        let user = format!("system:node:{mine}");
        let node = |call: Call| call.as_user(&user, &["system:nodes"]);
        for (name, labels, spec) in [
            (&mine, json!({"node-role.kubernetes.io/control-plane": ""}), json!({})),
            (&mine, json!({"node-restriction.kubernetes.io/x": "y"}), json!({})),
            (&mine, json!({"sub.node-restriction.kubernetes.io/x": "y", "k8s.io/z": "", "kubernetes.io/odd": ""}), json!({})),
            (&other, json!({}), json!({})),
            (&mine, json!({}), json!({"configSource": {"configMap": {"namespace": "a", "name": "b", "kubeletConfigKey": "c"}}})),
            (&mine, json!({"kubernetes.io/hostname": "h", "team": "a", "node.kubernetes.io/x": "y", "kubelet.kubernetes.io/x": "y"}), json!({"taints": [{"key": "a", "effect": "NoSchedule"}]})),
        ] {
            walk.ask(node(Call::post("/api/v1/nodes", json!({"metadata": {"name": name, "labels": labels}, "spec": spec})))).await;
        }
        walk.ask(node(Call::post("/api/v1/nodes", json!({"metadata": {"name": mine}})))).await;
        walk.expect(201, Call::post("/api/v1/nodes", json!({"metadata": {"name": other}}))).await;
        let change = |name: &str, patch: Value| node(Call::patch(format!("/api/v1/nodes/{name}"), MERGE_PATCH, patch));
        for patch in [
            json!({"metadata": {"labels": {"team": "b"}}}),
            json!({"metadata": {"labels": {"node-role.kubernetes.io/worker": ""}}}),
            json!({"metadata": {"labels": {"kubernetes.io/hostname": null}}}),
            json!({"metadata": {"labels": {"beta.kubernetes.io/odd": "x", "a.k8s.io/z": "x"}}}),
            json!({"metadata": {"annotations": {"a": "b"}}}),
            json!({"spec": {"taints": []}}),
            json!({"spec": {"unschedulable": true}}),
            json!({"spec": {"providerID": "x"}}),
            json!({"metadata": {"ownerReferences": [{"apiVersion": "v1", "kind": "Node", "name": "x", "uid": "y"}]}}),
        ] {
            walk.ask(change(&mine, patch.clone())).await;
            walk.ask(change(&other, patch)).await;
        }
        let status = json!({"status": {"nodeInfo": {"machineID": "x"}}});
        walk.ask(node(Call::patch(format!("/api/v1/nodes/{mine}/status"), MERGE_PATCH, status.clone()))).await;
        walk.ask(node(Call::patch(format!("/api/v1/nodes/{other}/status"), MERGE_PATCH, status))).await;
        let leases = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases";
        for (path, name) in [
            (leases, &mine),
            (leases, &other),
            ("/apis/coordination.k8s.io/v1/namespaces/default/leases", &mine),
        ] {
            walk.ask(node(Call::post(path, json!({"metadata": {"name": name}})))).await;
            walk.ask(node(Call::patch(format!("{path}/{name}"), MERGE_PATCH, json!({"metadata": {"labels": {"a": "b"}}})))).await;
            walk.ask(node(Call::delete(format!("{path}/{name}")))).await;
        }
        let nodes = "/apis/storage.k8s.io/v1/csinodes";
        for name in [&mine, &other] {
            walk.ask(node(Call::post(nodes, json!({"metadata": {"name": name}, "spec": {"drivers": []}})))).await;
            walk.ask(node(Call::delete(format!("{nodes}/{name}")))).await;
        }
        walk.ask(node(Call::post(walk.core("events"), json!({"metadata": {"name": "e"}, "involvedObject": {"namespace": walk.space}})))).await;
        walk.ask(node(Call::delete(format!("/api/v1/nodes/{other}")))).await;
        walk.ask(node(Call::delete(format!("/api/v1/nodes/{mine}")))).await;
    })
    .await;
}

#[tokio::test]
async fn a_node_creates_mirror_pods_and_tells_how_its_own_are() {
    conform(async |walk: &mut Walk| {
        let (mine, other) = (format!("mine-{}", walk.id), format!("other-{}", walk.id));
        let user = format!("system:node:{mine}");
        let node = |call: Call| call.as_user(&user, &["system:nodes"]);
        let itself = walk.expect(201, Call::post("/api/v1/nodes", json!({"metadata": {"name": mine}}))).await;
        walk.expect(201, Call::post("/api/v1/nodes", json!({"metadata": {"name": other}}))).await;
        let pods = walk.core("pods");
        let uid = itself.text("/metadata/uid").to_owned();
        let owner = |name: &str, uid: &str| json!([{"apiVersion": "v1", "kind": "Node", "name": name, "uid": uid, "controller": true}]);
        let mirror = |name: &str, owners: Value| {
            let mut pod = json!({"metadata": {"name": name, "annotations": {"kubernetes.io/config.mirror": "x"}}, "spec": {"nodeName": mine, "containers": [{"name": "c", "image": "i"}]}});
            pod["metadata"]["ownerReferences"] = owners;
            pod
        };
        let good = || mirror("good", owner(&mine, &uid));
        let mut wrong = vec![
            mirror("w", Value::Null),
            mirror("w", json!([])),
            mirror("w", owner(&other, &uid)),
            mirror("w", owner(&mine, "00000000-0000-0000-0000-000000000000")),
            mirror("w", json!([owner(&mine, &uid)[0], {"apiVersion": "v1", "kind": "Pod", "name": "x", "uid": "y"}])),
            mirror("w", json!([{"apiVersion": "v1", "kind": "Node", "name": mine, "uid": uid}])),
            mirror("w", json!([{"apiVersion": "v1", "kind": "Node", "name": mine, "uid": uid, "controller": true, "blockOwnerDeletion": true}])),
            mirror("w", json!([{"apiVersion": "v2", "kind": "Node", "name": mine, "uid": uid, "controller": true}])),
        ];
        for (pointer, value) in [
            ("/spec/nodeName", json!(other)),
            ("/spec/nodeName", Value::Null),
            ("/spec/serviceAccountName", json!("default")),
            ("/spec/volumes", json!([{"name": "a", "secret": {"secretName": "s"}}])),
            ("/spec/volumes", json!([{"name": "a", "configMap": {"name": "s"}}])),
            ("/spec/volumes", json!([{"name": "a", "persistentVolumeClaim": {"claimName": "s"}}])),
            ("/spec/volumes", json!([{"name": "a", "projected": {"sources": [{"serviceAccountToken": {"path": "x"}}]}}])),
            ("/spec/containers", json!([{"name": "c", "image": "i", "env": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}]}])),
            ("/spec/resourceClaims", json!([{"name": "a", "resourceClaimName": "b"}])),
            ("/metadata/annotations", json!({})),
        ] {
            let mut pod = good();
            let (parent, last) = pointer.rsplit_once('/').unwrap();
            pod.pointer_mut(parent).unwrap()[last] = value;
            wrong.push(pod);
        }
        for pod in wrong {
            walk.expect(403, node(Call::post(&pods, pod))).await;
        }
        walk.expect(201, node(Call::post(&pods, good()))).await;
        for (name, place) in [("a", &mine), ("b", &other)] {
            let mut pod = pod(name, "default");
            pod["spec"]["nodeName"] = place.as_str().into();
            walk.expect(201, Call::post(&pods, pod)).await;
        }
        let running = json!({"status": {"phase": "Running"}});
        walk.until(&walk.cluster.clone(), node(Call::get(format!("{pods}/a"))), |answer| answer.code == 200).await;
        for name in ["a", "b", "good"] {
            let path = format!("{pods}/{name}");
            walk.ask(node(Call::patch(format!("{path}/status"), MERGE_PATCH, running.clone()))).await;
            walk.ask(node(Call::patch(format!("{path}/status"), MERGE_PATCH, json!({"metadata": {"labels": {"a": "b"}}})))).await;
            walk.ask(node(Call::patch(format!("{path}/status"), MERGE_PATCH, json!({"status": {"resourceClaimStatuses": [{"name": "x"}]}})))).await;
            walk.ask(node(Call::patch(&path, MERGE_PATCH, json!({"metadata": {"labels": {"a": "b"}}})))).await;
            let evict = json!({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name}});
            walk.ask(node(Call::post(format!("{path}/eviction?dryRun=All"), evict))).await;
            walk.ask(node(Call::post(format!("{path}/binding"), json!({"target": {"name": mine}})))).await;
            let uid = walk.quietly(Call::get(&path)).await.text("/metadata/uid").to_owned();
            let to = |uid: Value| json!({"spec": {"boundObjectRef": {"apiVersion": "v1", "kind": "Pod", "name": name, "uid": uid}}});
            let token = walk.core("serviceaccounts/default/token");
            walk.ask(node(Call::post(&token, to(uid.into())))).await;
            walk.ask(node(Call::post(&token, to(Value::Null)))).await;
            walk.ask(node(Call::post(&token, to("00000000-0000-0000-0000-000000000000".into())))).await;
            walk.ask(node(Call::post(&token, json!({"spec": {}})))).await;
            let node_bound = json!({"spec": {"boundObjectRef": {"apiVersion": "v1", "kind": "Node", "name": mine}}});
            walk.ask(node(Call::post(&token, node_bound))).await;
            let audience = json!({"spec": {"audiences": ["vault"], "boundObjectRef": {"apiVersion": "v1", "kind": "Pod", "name": name, "uid": walk.quietly(Call::get(&path)).await.text("/metadata/uid")}}});
            walk.ask(node(Call::post(&token, audience))).await;
            walk.ask(node(Call::post(walk.core("serviceaccounts/other/token"), json!({"spec": {}})))).await;
            walk.ask(node(Call::delete(format!("{path}?gracePeriodSeconds=0")))).await;
        }
        walk.ask(node(Call::delete(&pods))).await;
    })
    .await;
}
