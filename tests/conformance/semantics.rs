//! Revisions, pages, selectors, dry runs and deletions: what a client may rely on whatever the kind.

use conformance::{
    cluster::{APPLY_PATCH, Call, JSON_PATCH, MERGE_PATCH, TABLE},
    walk::{Walk, conform},
};
use serde_json::{Value, json};

async fn maps_of(walk: &mut Walk, names: &[&str]) -> String {
    let maps = walk.core("configmaps");
    for (index, name) in names.iter().enumerate() {
        let parity = if index % 2 == 0 { "even" } else { "odd" };
        let labels = json!({"at": index.to_string(), "parity": parity});
        walk.expect(201, Call::post(&maps, json!({"metadata": {"name": name, "labels": labels}, "data": {"k": "v"}})))
            .await;
    }
    maps
}

/// A text as part of a query.
fn encoded(text: &str) -> String {
    text.bytes()
        .map(|byte| if byte.is_ascii_alphanumeric() { (byte as char).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

#[tokio::test]
async fn a_list_is_selected_by_labels_and_fields() {
    conform(async |walk: &mut Walk| {
        let maps = maps_of(walk, &["a", "b", "c", "d"]).await;
        for selector in [
            "parity=odd",
            "parity==odd",
            "parity!=odd",
            "parity",
            "!parity",
            "none",
            "!none",
            "at in (0,2)",
            "at notin (0,2)",
            "at in (0),parity=even",
            "none notin (x)",
            "at>1",
            "at>1,at<3",
            "parity>1",
            "at in ()",
            "at in (,0)",
            "none!=x",
            " at = 0 ",
            "at in( 0 , 1 )",
            "",
            ",",
            "=",
            "a=b=c",
            "at in 0",
            "at in (0",
            "(at)",
            "!",
            "a b",
            "-a",
            "x/y/z=1",
            "at=a b",
            "at>x",
            "at>1,at>2",
            "parity in (odd,even),at!=3",
            "parity = odd , at",
            "at===1",
            "at!==1",
            "a,,b",
            "at<=1",
            "é=1",
            "at=é",
        ] {
            walk.ask(Call::get(format!(
                "{maps}?fieldSelector=metadata.name!=kube-root-ca.crt&labelSelector={}",
                encoded(selector)
            )))
            .await;
        }
        for selector in [
            "metadata.name=a",
            "metadata.name==a",
            "metadata.name!=a",
            "metadata.name=a,metadata.name=b",
            "metadata.namespace=none",
            "data.k=v",
            "metadata.uid=x",
            "metadata.labels.at=1",
            "metadata.name",
            "=a",
            "metadata.name=a\\,b",
            "metadata.name=a\\",
            "a b=c",
            ",",
            "metadata.name in (a)",
            "metadata.name=a,",
            "METADATA.NAME=a",
            "!metadata.name",
        ] {
            walk.ask(Call::get(format!("{maps}?labelSelector=parity&fieldSelector={}", encoded(selector)))).await;
        }
        let pods = walk.core("pods");
        for selector in [
            "status.phase=Running",
            "spec.nodeName=",
            "spec.nodeName!=x",
            "spec.restartPolicy=Always",
            "spec.schedulerName=default-scheduler",
            "spec.serviceAccountName=default",
            "status.podIP=1.2.3.4",
            "spec.hostNetwork=false",
            "status.nominatedNodeName=",
            "spec.containers=x",
            "status.podIPs=x",
            "involvedObject.name=x",
        ] {
            walk.ask(Call::get(format!("{pods}?fieldSelector={}", encoded(selector)))).await;
        }
        for (collection, selector) in [
            ("secrets", "type=Opaque"),
            ("events", "involvedObject.kind=Pod,reason=x,type=Normal"),
            ("services", "spec.type=ClusterIP"),
            ("services", "spec.clusterIP=None"),
            ("replicationcontrollers", "status.replicas=0"),
            ("serviceaccounts", "type=x"),
        ] {
            walk.ask(Call::get(format!(
                "{}?labelSelector=none&fieldSelector={}",
                walk.core(collection),
                encoded(selector)
            )))
            .await;
        }
        for (path, selector) in [
            ("/apis/apps/v1/replicasets", "status.replicas=0"),
            ("/api/v1/namespaces", "status.phase=Active"),
            ("/api/v1/nodes", "spec.unschedulable=false"),
            ("/apis/batch/v1/jobs", "status.successful=0"),
            ("/apis/certificates.k8s.io/v1/certificatesigningrequests", "spec.signerName=x"),
            ("/apis/apps/v1/deployments", "spec.replicas=1"),
        ] {
            walk.ask(Call::get(format!("{path}?labelSelector=none&fieldSelector={}", encoded(selector)))).await;
        }
        // A get takes no selector.
        walk.ask(Call::get(format!("{maps}/a?labelSelector=none=x"))).await;
        walk.ask(Call::get(format!("{maps}/a?fieldSelector=metadata.name=b"))).await;
        walk.ask(Call::get(format!("{maps}?limit=x"))).await;
        walk.ask(Call::get(format!("{maps}?limit=-1&labelSelector=parity"))).await;
        walk.ask(Call::get(format!("{maps}?timeoutSeconds=x"))).await;
        walk.ask(Call::get(format!("{maps}?watch=x&timeoutSeconds=1&labelSelector=parity"))).await;
        walk.ask(Call::get(format!("{maps}?allowWatchBookmarks=x&labelSelector=parity"))).await;
        walk.ask(Call::get(format!("{maps}?timeout=1x&labelSelector=parity"))).await;
        walk.ask(Call::get(format!("{maps}/a?timeout=5s&pretty=true"))).await;
    })
    .await;
}

#[tokio::test]
async fn pages_show_one_moment_and_count_what_remains() {
    conform(async |walk: &mut Walk| {
        let maps = maps_of(walk, &["a", "b", "c", "d", "e"]).await;
        let mine = "labelSelector=parity";
        let first = walk.expect(200, Call::get(format!("{maps}?limit=2&{mine}"))).await;
        assert_eq!(first.names(), ["a", "b"]);
        let token = first.text("/metadata/continue").to_owned();
        assert!(first.body["metadata"]["remainingItemCount"].is_null(), "what a selector leaves is not counted");
        walk.expect(200, Call::delete(format!("{maps}/d"))).await;
        walk.expect(201, Call::post(&maps, json!({"metadata": {"name": "late", "labels": {"parity": "odd"}}}))).await;
        let second = walk.expect(200, Call::get(format!("{maps}?limit=2&{mine}&continue={token}"))).await;
        assert_eq!((second.names(), second.version()), (vec!["c", "d"], first.version()), "of the first page's moment");
        let token = second.text("/metadata/continue").to_owned();
        let last = walk.expect(200, Call::get(format!("{maps}?{mine}&continue={token}"))).await;
        assert_eq!(last.names(), ["e"]);
        assert!(last.body["metadata"]["continue"].is_null());
        // As tables and metadata.
        walk.ask(Call::get(format!("{maps}?limit=1&{mine}")).accept(TABLE)).await;
        walk.ask(
            Call::get(format!("{maps}?limit=1&{mine}"))
                .accept("application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"),
        )
        .await;
        // Without a selector the rest is counted.
        let secrets = walk.core("secrets");
        for name in ["a", "b", "c"] {
            walk.expect(201, Call::post(&secrets, json!({"metadata": {"name": name}}))).await;
        }
        let page = walk.expect(200, Call::get(format!("{secrets}?limit=1"))).await;
        assert_eq!(page.body["metadata"]["remainingItemCount"], 2);
        walk.ask(Call::get(format!("{secrets}?limit=3"))).await;
        walk.ask(Call::get(format!("{secrets}?limit=4"))).await;
        let token = page.text("/metadata/continue").to_owned();
        for query in [
            format!("continue={token}&resourceVersion=0"),
            format!("continue={token}&resourceVersion={}", page.version()),
            format!("continue={token}&resourceVersionMatch=Exact"),
            format!("continue={token}&resourceVersion=1&resourceVersionMatch=NotOlderThan"),
            "continue=nonsense".into(),
            "continue=".into(),
            // Cut off within its base64, and within its JSON.
            "continue=eyJ2IjoibWV0YS5rOHMuaW8vdjEiLCJydiI6NSwic3RhcnQiO".into(),
            "continue=eyJ2IjoibWV0YS5rOHMuaW8vdjEiLCJydiI6NSwic3Rh".into(),
            "continue=e30".into(),
            "continue=eyJ2IjoibWV0YS5rOHMuaW8vdjEiLCJydiI6MCwic3RhcnQiOiJhIn0".into(),
            "continue=eyJ2IjoibWV0YS5rOHMuaW8vdjEiLCJydiI6NSwic3RhcnQiOiIifQ".into(),
            "continue=eyJ2IjoidjIiLCJydiI6NSwic3RhcnQiOiJhIn0".into(),
            "continue=eyJ2IjoibWV0YS5rOHMuaW8vdjEiLCJydiI6LTEsInN0YXJ0IjoiLi4vYSJ9".into(),
        ] {
            walk.ask(Call::get(format!("{secrets}?{query}"))).await;
        }
        // A token leads where it was made, not elsewhere.
        walk.ask(Call::get(format!("{maps}?continue={token}&{mine}"))).await;
    })
    .await;
}

#[tokio::test]
async fn a_list_shows_the_moment_that_is_asked_for() {
    conform(async |walk: &mut Walk| {
        let maps = walk.core("secrets");
        let named = |name: &str| json!({"metadata": {"name": name}});
        let first = walk.expect(201, Call::post(&maps, named("a"))).await;
        let then = first.version().to_owned();
        walk.expect(201, Call::post(&maps, named("b"))).await;
        walk.expect(200, Call::delete(format!("{maps}/a"))).await;
        let exact = walk.expect(200, Call::get(format!("{maps}?resourceVersion={then}&resourceVersionMatch=Exact"))).await;
        assert_eq!((exact.names(), exact.version()), (vec!["a"], then.as_str()));
        let now = walk.expect(200, Call::get(format!("{maps}?resourceVersion={then}&resourceVersionMatch=NotOlderThan"))).await;
        assert_eq!(now.names(), ["b"]);
        for version in ["", "0", then.as_str(), "99999999", "x", "-1", "1.5", "00"] {
            for matching in ["", "Exact", "NotOlderThan", "Newest"] {
                for limit in ["1", "0", "x"] {
                    walk.ask(Call::get(format!("{maps}?resourceVersion={version}&resourceVersionMatch={matching}&limit={limit}&timeoutSeconds=1"))).await;
                }
            }
        }
        for version in ["0", then.as_str(), "99999999", "x", "-1"] {
            walk.ask(Call::get(format!("{maps}/b?resourceVersion={version}"))).await;
            walk.ask(Call::get(format!("{maps}/a?resourceVersion={version}"))).await;
        }
        walk.ask(Call::get(format!("{maps}/b?resourceVersionMatch=Exact"))).await;
        walk.ask(Call::get(format!("{maps}?sendInitialEvents=true"))).await;
        walk.ask(Call::get(format!("{maps}?sendInitialEvents=false"))).await;
        let ahead = walk.expect(504, Call::get(format!("{maps}/b?resourceVersion=99999999"))).await;
        assert_eq!(ahead.text("/details/causes/0/reason"), "ResourceVersionTooLarge");
    })
    .await;
}

#[tokio::test]
async fn a_dry_run_changes_nothing_whatever_the_verb() {
    conform(async |walk: &mut Walk| {
        let maps = maps_of(walk, &["a"]).await;
        let mine = format!("{maps}?fieldSelector=metadata.name!=kube-root-ca.crt");
        let before = walk.expect(200, Call::get(&mine)).await;
        let body = || json!({"metadata": {"name": "new"}, "data": {"k": "v"}});
        walk.expect(201, Call::post(format!("{maps}?dryRun=All"), body())).await;
        walk.expect(201, Call::post(format!("{maps}?dryRun=All"), json!({"metadata": {"generateName": "g-"}}))).await;
        walk.expect(409, Call::post(format!("{maps}?dryRun=All"), json!({"metadata": {"name": "a"}}))).await;
        let shown = walk
            .expect(200, Call::patch(format!("{maps}/a?dryRun=All"), MERGE_PATCH, json!({"data": {"k": "w"}})))
            .await;
        assert_eq!(shown.body["data"]["k"], "w");
        walk.expect(
            200,
            Call::put(format!("{maps}/a?dryRun=All"), json!({"metadata": {"name": "a"}, "data": {"k": "x"}})),
        )
        .await;
        let applied = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "applied"}});
        walk.expect(201, Call::patch(format!("{maps}/applied?dryRun=All&fieldManager=me"), APPLY_PATCH, applied)).await;
        walk.expect(200, Call::delete(format!("{maps}/a?dryRun=All"))).await;
        walk.expect(200, Call::delete(format!("{maps}/a")).body(json!({"dryRun": ["All"]}))).await;
        walk.expect(
            200,
            Call::delete(format!("{maps}/a")).body(json!({"dryRun": ["All"], "propagationPolicy": "Foreground"})),
        )
        .await;
        walk.expect(200, Call::delete(format!("{maps}?dryRun=All&labelSelector=parity"))).await;
        for wrong in ["Some", "all", "All&dryRun=All", "All&dryRun=None", ""] {
            walk.ask(Call::post(format!("{maps}?dryRun={wrong}"), json!({"metadata": {"name": "a"}}))).await;
        }
        walk.ask(Call::patch(format!("{maps}/a?dryRun=Some"), MERGE_PATCH, json!({}))).await;
        walk.ask(Call::put(format!("{maps}/a?dryRun=Some"), json!({}))).await;
        walk.ask(Call::delete(format!("{maps}/a?dryRun=Some"))).await;
        walk.ask(Call::delete(format!("{maps}/a")).body(json!({"dryRun": ["Some"]}))).await;
        walk.ask(Call::get(format!("{maps}/a?dryRun=Some"))).await;
        let after = walk.expect(200, Call::get(&mine)).await;
        assert_eq!(before.body["items"], after.body["items"]);
        // Subresources.
        let pods = walk.core("pods");
        walk.expect(201, Call::post(&pods, pod("p"))).await;
        let bind = json!({"metadata": {"name": "p"}, "target": {"kind": "Node", "name": "n"}});
        walk.expect(201, Call::post(format!("{pods}/p/binding?dryRun=All"), bind)).await;
        let evict = json!({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "p"}});
        walk.expect(201, Call::post(format!("{pods}/p/eviction?dryRun=All"), evict)).await;
        walk.expect(
            201,
            Call::post(format!("{}?dryRun=All", walk.core("serviceaccounts/default/token")), json!({"spec": {}})),
        )
        .await;
        let found = walk.expect(200, Call::get(format!("{pods}/p"))).await;
        assert!(found.body["spec"]["nodeName"].is_null());
    })
    .await;
}

/// A pod that no scheduler gives a node.
fn pod(name: &str) -> Value {
    json!({"metadata": {"name": name}, "spec": {"schedulerName": "nobody", "containers": [{"name": "c", "image": "i"}]}})
}

/// Makes a map that `owner` (a map too) waits for when it is deleted in the foreground: it stays until it is
/// [`let_go`], whoever collects garbage.
async fn hold_back(walk: &mut Walk, owner: &str) {
    let maps = walk.core("configmaps");
    let uid = walk.quietly(Call::get(format!("{maps}/{owner}"))).await.text("/metadata/uid").to_owned();
    let owned = json!({"metadata": {"name": format!("owned-by-{owner}"), "finalizers": ["walk.example/held"],
        "ownerReferences": [{"apiVersion": "v1", "kind": "ConfigMap", "name": owner, "uid": uid, "blockOwnerDeletion": true}]}});
    walk.expect(201, Call::post(&maps, owned)).await;
}

/// Lets go of what was held back for `owner`, so that the namespace can go.
async fn let_go(walk: &Walk, owner: &str) {
    let path = walk.core(&format!("configmaps/owned-by-{owner}"));
    walk.quietly(Call::patch(path, MERGE_PATCH, json!({"metadata": {"finalizers": null}}))).await;
}

#[tokio::test]
async fn a_deletion_keeps_to_its_preconditions_and_policy() {
    conform(async |walk: &mut Walk| {
        let maps = maps_of(walk, &["m"]).await;
        let path = format!("{maps}/m");
        let delete = |body: Value| Call::delete(&path).body(body);
        walk.expect(409, delete(json!({"preconditions": {"uid": "another"}}))).await;
        walk.expect(409, delete(json!({"preconditions": {"resourceVersion": "1"}}))).await;
        for wrong in [
            json!({"propagationPolicy": "Sideways"}),
            json!({"propagationPolicy": "Orphan", "orphanDependents": true}),
            json!({"kind": "ConfigMap", "apiVersion": "v1", "dryRun": ["All"]}),
            json!({"kind": "DeleteOptions", "apiVersion": "v9", "dryRun": ["All"]}),
            json!({"gracePeriodSeconds": "x"}),
            json!([]),
            json!("x"),
            json!({"preconditions": "x"}),
            json!({"odd": 1, "dryRun": ["All"]}),
            json!({"gracePeriodSeconds": -1, "dryRun": ["All"]}),
            json!({"kind": "DeleteOptions", "apiVersion": "apps/v1", "dryRun": ["All"]}),
            json!({"kind": "DeleteOptions", "apiVersion": "policy/v1", "dryRun": ["All"]}),
            json!({"ignoreStoreReadErrorWithClusterBreakingPotential": true, "dryRun": ["All"]}),
        ] {
            walk.ask(delete(wrong)).await;
        }
        for query in [
            "propagationPolicy=Sideways",
            "gracePeriodSeconds=x",
            "orphanDependents=x&dryRun=All",
            "propagationPolicy=Orphan&orphanDependents=true",
            "orphanDependents=true&dryRun=All",
            "propagationPolicy=Foreground&dryRun=All",
            "gracePeriodSeconds=0&dryRun=All",
        ] {
            walk.ask(Call::delete(format!("{path}?{query}"))).await;
        }
        walk.ask(Call::delete(&path).text("{")).await;
        walk.ask(Call::delete(&path).media("text/plain").text("{}")).await;
        walk.ask(
            Call::delete(format!("{path}?dryRun=All"))
                .media("application/yaml")
                .text("propagationPolicy: Foreground\n"),
        )
        .await;
        hold_back(walk, "m").await;
        walk.expect(200, delete(json!({"propagationPolicy": "Foreground"}))).await;
        assert_eq!(
            walk.expect(200, Call::get(&path)).await.body["metadata"]["finalizers"],
            json!(["foregroundDeletion"])
        );
        walk.ask(Call::patch(
            &path,
            MERGE_PATCH,
            json!({"metadata": {"finalizers": ["foregroundDeletion", "a.example/new"]}}),
        ))
        .await;
        walk.ask(Call::patch(&path, MERGE_PATCH, json!({"metadata": {"labels": {"still": "writable"}}}))).await;
        walk.ask(Call::patch(&path, MERGE_PATCH, json!({"metadata": {"deletionTimestamp": null}}))).await;
        let before = walk.expect(200, Call::get(&path)).await.version().to_owned();
        let left = walk.expect(200, delete(json!({"propagationPolicy": "Orphan"}))).await;
        assert_eq!(left.body["metadata"]["finalizers"], json!(["orphan"]));
        let written = walk.next(&maps, "m", &before).await;
        assert_eq!(
            (&written["type"], &written["object"]["metadata"]["finalizers"]),
            (&json!("MODIFIED"), &json!(["orphan"]))
        );
        // Where garbage is collected, it may be gone by now.
        let last = walk.ask(delete(json!({"propagationPolicy": "Background"}))).await;
        assert!(matches!(last.code, 200 | 404), "{}", last.body);
        walk.expect(404, Call::get(&path)).await;
        let_go(walk, "m").await;
        // One that waits for what it owns goes at once when it is no longer asked to wait.
        walk.expect(201, Call::post(&maps, json!({"metadata": {"name": "f"}}))).await;
        hold_back(walk, "f").await;
        walk.expect(200, Call::delete(format!("{maps}/f")).body(json!({"propagationPolicy": "Foreground"}))).await;
        walk.expect(200, Call::get(format!("{maps}/f"))).await;
        walk.expect(200, Call::delete(format!("{maps}/f")).body(json!({"propagationPolicy": "Background"}))).await;
        walk.expect(404, Call::get(format!("{maps}/f"))).await;
        let_go(walk, "f").await;
        // A finalizer holds what is deleted until it is taken away.
        walk.expect(201, Call::post(&maps, json!({"metadata": {"name": "held", "finalizers": ["x.example/y"]}}))).await;
        walk.expect(200, Call::delete(format!("{maps}/held"))).await;
        walk.expect(200, Call::delete(format!("{maps}/held"))).await;
        walk.expect(409, Call::post(&maps, json!({"metadata": {"name": "held"}}))).await;
        let held = walk.expect(200, Call::get(format!("{maps}/held"))).await;
        assert!(held.body["metadata"]["deletionTimestamp"].is_string());
        walk.expect(200, Call::patch(format!("{maps}/held"), MERGE_PATCH, json!({"metadata": {"finalizers": null}})))
            .await;
        walk.expect(404, Call::get(format!("{maps}/held"))).await;
        // Preconditions that hold.
        let made = walk.expect(201, Call::post(&maps, json!({"metadata": {"name": "n"}}))).await;
        let conditions =
            json!({"preconditions": {"uid": made.text("/metadata/uid"), "resourceVersion": made.version()}});
        walk.expect(200, Call::delete(format!("{maps}/n")).body(conditions)).await;
    })
    .await;
}

#[tokio::test]
async fn a_pod_on_a_node_is_given_its_time() {
    conform(async |walk: &mut Walk| {
        let pods = walk.core("pods");
        walk.expect(201, Call::post(&pods, pod("free"))).await;
        let gone = walk.expect(200, Call::delete(format!("{pods}/free"))).await;
        assert_eq!(gone.text("/kind"), "Pod");
        walk.expect(404, Call::get(format!("{pods}/free"))).await;
        let mut bound = pod("bound");
        bound["spec"]["nodeName"] = "n".into();
        walk.expect(201, Call::post(&pods, bound.clone())).await;
        walk.expect(200, Call::delete(format!("{pods}/bound"))).await;
        let going = walk.expect(200, Call::get(format!("{pods}/bound"))).await;
        assert_eq!(going.body["metadata"]["deletionGracePeriodSeconds"], 30);
        walk.expect(200, Call::delete(format!("{pods}/bound?gracePeriodSeconds=60"))).await;
        walk.expect(200, Call::get(format!("{pods}/bound"))).await;
        walk.expect(200, Call::delete(format!("{pods}/bound?gracePeriodSeconds=5"))).await;
        let shorter = walk.expect(200, Call::get(format!("{pods}/bound"))).await;
        assert_eq!(shorter.body["metadata"]["deletionGracePeriodSeconds"], 5);
        walk.expect(200, Call::delete(format!("{pods}/bound?gracePeriodSeconds=0"))).await;
        walk.expect(404, Call::get(format!("{pods}/bound"))).await;
        for grace in ["-1", "0", "1"] {
            bound["metadata"]["name"] = format!("grace{grace}").into();
            walk.expect(201, Call::post(&pods, bound.clone())).await;
            walk.ask(Call::delete(format!("{pods}/grace{grace}?gracePeriodSeconds={grace}"))).await;
            walk.ask(Call::get(format!("{pods}/grace{grace}"))).await;
        }
        // A pod that ended has no time to be given.
        bound["metadata"]["name"] = "ended".into();
        walk.expect(201, Call::post(&pods, bound.clone())).await;
        walk.expect(200, Call::patch(format!("{pods}/ended/status"), MERGE_PATCH, json!({"status": {"phase": "Succeeded"}}))).await;
        walk.expect(200, Call::delete(format!("{pods}/ended"))).await;
        walk.expect(404, Call::get(format!("{pods}/ended"))).await;
        // Bindings and evictions.
        walk.expect(201, Call::post(&pods, pod("b"))).await;
        for binding in [
            json!({"metadata": {"name": "other"}, "target": {"kind": "Node", "name": "n"}}), json!({"target": {"kind": "Pod", "name": "n"}}), json!({"target": {}}), json!({}), json!({"metadata": {"name": "b"}, "target": {"kind": "Node", "name": "n"}}), json!({"metadata": {"name": "b"}, "target": {"kind": "Node", "name": "m"}}),
        ] {
            walk.ask(Call::post(format!("{pods}/b/binding"), binding)).await;
        }
        walk.ask(Call::post(format!("{pods}/none/binding"), json!({"metadata": {"name": "none"}, "target": {"kind": "Node", "name": "n"}}))).await;
        walk.ask(Call::get(format!("{pods}/b"))).await;
        for eviction in [json!({"metadata": {"name": "other"}}), json!({"kind": "Eviction", "apiVersion": "policy/v9", "metadata": {"name": "b"}}), json!({"metadata": {"name": "b"}, "deleteOptions": {"preconditions": {"uid": "x"}}}), json!({"metadata": {"name": "b"}, "deleteOptions": {"dryRun": ["All"]}}), json!({})] {
            walk.ask(Call::post(format!("{pods}/b/eviction"), eviction)).await;
        }
        walk.ask(Call::post(format!("{pods}/none/eviction"), json!({"metadata": {"name": "none"}}))).await;
        let budgets = walk.group("policy/v1", "poddisruptionbudgets");
        let mut guarded = pod("guarded");
        guarded["metadata"]["labels"] = json!({"app": "x"});
        guarded["spec"]["nodeName"] = "n".into();
        walk.expect(201, Call::post(&pods, guarded)).await;
        let ready = json!({"status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}});
        walk.expect(200, Call::patch(format!("{pods}/guarded/status"), MERGE_PATCH, ready)).await;
        walk.expect(201, Call::post(&budgets, json!({"metadata": {"name": "b"}, "spec": {"minAvailable": 1, "selector": {"matchLabels": {"app": "x"}}}}))).await;
        let status = json!({"status": {"observedGeneration": 1, "currentHealthy": 1, "desiredHealthy": 1, "expectedPods": 1, "disruptionsAllowed": 0}});
        walk.expect(200, Call::patch(format!("{budgets}/b/status"), MERGE_PATCH, status)).await;
        walk.ask(Call::post(format!("{pods}/guarded/eviction"), json!({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "guarded"}}))).await;
    })
    .await;
}

#[tokio::test]
async fn a_collection_is_deleted_as_far_as_it_is_selected() {
    conform(async |walk: &mut Walk| {
        let maps = maps_of(walk, &["a", "b", "c", "d", "e"]).await;
        let mine = format!("{maps}?labelSelector=parity");
        walk.expect(400, Call::delete(format!("{maps}?labelSelector=a%20b"))).await;
        walk.expect(400, Call::delete(format!("{maps}?fieldSelector=data.k=v"))).await;
        walk.ask(Call::delete(format!("{maps}?propagationPolicy=Sideways"))).await;
        walk.expect(200, Call::delete(format!("{maps}?labelSelector=parity=odd"))).await;
        assert_eq!(walk.expect(200, Call::get(&mine)).await.names(), ["a", "c", "e"]);
        walk.expect(200, Call::delete(format!("{maps}?fieldSelector=metadata.name=c"))).await;
        hold_back(walk, "a").await;
        walk.expect(
            200,
            Call::delete(format!("{maps}?labelSelector=at=0")).body(json!({"propagationPolicy": "Foreground"})),
        )
        .await;
        assert_eq!(walk.expect(200, Call::get(&mine)).await.names(), ["a", "e"], "one waits for what it owns");
        walk.ask(Call::delete(format!("{maps}?labelSelector=parity&limit=1"))).await;
        walk.ask(Call::get(&mine)).await;
        walk.ask(Call::delete(format!("{maps}?labelSelector=none"))).await;
        let pods = walk.core("pods");
        walk.expect(201, Call::post(&pods, pod("p"))).await;
        walk.ask(Call::delete(&pods)).await;
        let_go(walk, "a").await;
    })
    .await;
}

#[tokio::test]
async fn server_side_apply_owns_shares_conflicts_and_gives_up() {
    conform(async |walk: &mut Walk| {
        let deployments = walk.group("apps/v1", "deployments");
        let path = format!("{deployments}/web");
        let config = |image: &str, more: Value| {
            let mut config = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}, "spec": {"selector": {"matchLabels": {"a": "b"}},
                "template": {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": image}]}}}});
            for (name, value) in more.as_object().unwrap() {
                config["spec"][name] = value.clone();
            }
            config
        };
        let apply = |manager: &str, body: Value| Call::patch(format!("{path}?fieldManager={manager}"), APPLY_PATCH, body);
        let force = |manager: &str, body: Value| Call::patch(format!("{path}?fieldManager={manager}&force=true"), APPLY_PATCH, body);
        let made = walk.expect(201, apply("one", config("x:1", json!({"replicas": 2})))).await;
        assert_eq!(made.body["spec"]["replicas"], 2);
        // The same again changes nothing.
        walk.expect(200, apply("one", config("x:1", json!({"replicas": 2})))).await;
        let refused = walk.expect(409, apply("two", config("x:2", json!({"replicas": 3})))).await;
        assert!(refused.message().contains("conflicts with \"one\""), "{}", refused.message());
        assert_eq!(refused.body["details"]["causes"].as_array().unwrap().len(), 2);
        // The same value is shared.
        walk.expect(200, apply("two", config("x:1", json!({})))).await;
        walk.expect(409, apply("one", config("x:3", json!({"replicas": 2})))).await;
        walk.expect(200, force("one", config("x:3", json!({"replicas": 2})))).await;
        walk.expect(409, apply("two", config("x:1", json!({})))).await;
        // A field that its only owner gives up goes back to its default; a shared one stays.
        let given_up = walk.expect(200, apply("one", config("x:3", json!({})))).await;
        assert_eq!(given_up.body["spec"]["replicas"], 1);
        // An update takes over, and is named.
        walk.expect(200, Call::patch(&path, MERGE_PATCH, json!({"spec": {"replicas": 5}}))).await;
        let refused = walk.expect(409, apply("one", config("x:3", json!({"replicas": 6})))).await;
        assert!(refused.message().contains("conflict with \"conformance\""), "{}", refused.message());
        walk.ask(Call::patch(format!("{path}/scale?fieldManager=scaler"), APPLY_PATCH, json!({"apiVersion": "autoscaling/v1", "kind": "Scale", "metadata": {"name": "web"}, "spec": {"replicas": 7}}))).await;
        walk.ask(Call::patch(format!("{path}/scale?fieldManager=scaler&force=true"), APPLY_PATCH, json!({"apiVersion": "autoscaling/v1", "kind": "Scale", "metadata": {"name": "web"}, "spec": {"replicas": 7}}))).await;
        // Lists: by key, as sets.
        let with = |ports: Value| {
            let mut config = config("x:3", json!({}));
            config["spec"]["template"]["spec"]["containers"][0]["ports"] = ports;
            config
        };
        walk.expect(200, apply("one", with(json!([{"containerPort": 80}, {"containerPort": 443, "name": "tls"}])))).await;
        let port = |ports: Value| json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}, "spec": {"template": {"spec": {"containers": [{"name": "c", "ports": ports}]}}}});
        walk.expect(200, apply("three", port(json!([{"containerPort": 8080, "protocol": "TCP"}])))).await;
        walk.expect(409, apply("three", port(json!([{"containerPort": 443, "protocol": "TCP", "name": "other"}])))).await;
        let fewer = walk.expect(200, apply("one", with(json!([{"containerPort": 80}])))).await;
        assert_eq!(fewer.body["spec"]["template"]["spec"]["containers"][0]["ports"].as_array().unwrap().len(), 2);
        walk.ask(apply("one", with(json!([{"containerPort": 80}, {"containerPort": 80}])))).await;
        walk.ask(apply("one", port(json!([{"name": "keyless"}])))).await;
        // Status is another's.
        walk.ask(Call::patch(format!("{path}/status?fieldManager=ctl"), APPLY_PATCH, json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}, "status": {"replicas": 3, "conditions": [{"type": "Available", "status": "True"}]}}))).await;
        walk.ask(Call::patch(format!("{path}/status?fieldManager=other"), APPLY_PATCH, json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}, "status": {"replicas": 4}}))).await;
        // What cannot be applied.
        for wrong in [
            json!({}), json!({"apiVersion": "apps/v1", "kind": "Deployment"}), json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "other"}}), json!({"kind": "Deployment", "metadata": {"name": "web"}}), json!({"apiVersion": "apps/v1", "metadata": {"name": "web"}}), json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web"}}),
            json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "managedFields": [{"manager": "x", "operation": "Apply", "apiVersion": "apps/v1"}]}}), json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "resourceVersion": "1"}}), json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "uid": "x"}}),
            json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}, "spec": {"replicas": "many"}}), json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}, "spec": {"odd": 1}}), json!([]), json!("x"), json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "namespace": "elsewhere"}}),
        ] {
            walk.ask(apply("one", wrong)).await;
        }
        walk.ask(Call::new("PATCH", format!("{path}?fieldManager=one")).media(APPLY_PATCH).text("a: [")).await;
        walk.ask(Call::new("PATCH", format!("{path}?fieldManager=one")).media(APPLY_PATCH).text("")).await;
        walk.ask(Call::new("PATCH", format!("{path}?fieldManager=one")).media(APPLY_PATCH).text("a: b\na: c\n")).await;
        walk.ask(Call::patch(&path, APPLY_PATCH, config("x:3", json!({})))).await;
        walk.ask(apply(&"m".repeat(129), config("x:3", json!({})))).await;
        walk.ask(apply("a%07b", config("x:3", json!({})))).await;
        walk.ask(Call::patch(format!("{path}?fieldManager={}", "m".repeat(129)), MERGE_PATCH, json!({}))).await;
        walk.ask(Call::patch(format!("{path}?force=x&fieldManager=one"), APPLY_PATCH, config("x:3", json!({})))).await;
        walk.ask(Call::patch(format!("{}/none?fieldManager=one", walk.core("pods")), APPLY_PATCH, json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "none"}}))).await;
        walk.ask(Call::patch(format!("{deployments}/none/status?fieldManager=one"), APPLY_PATCH, json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "none"}}))).await;
        let revived = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "new", "uid": "x"}});
        walk.ask(Call::patch(format!("{deployments}/new?fieldManager=one"), APPLY_PATCH, revived)).await;
        // Who owns what may be written too, and cleared.
        walk.ask(Call::patch(&path, MERGE_PATCH, json!({"metadata": {"managedFields": [{}]}}))).await;
        walk.ask(Call::patch(&path, JSON_PATCH, json!([{"op": "replace", "path": "/metadata/managedFields", "value": [{"manager": "x", "operation": "Sing", "apiVersion": "v1", "fieldsType": "FieldsV1", "fieldsV1": {}}]}]))).await;
        walk.ask(Call::patch(&path, JSON_PATCH, json!([{"op": "replace", "path": "/metadata/managedFields", "value": [{"manager": "x", "operation": "Apply", "apiVersion": "apps/v1", "fieldsType": "FieldsV9", "fieldsV1": {}}]}]))).await;
    })
    .await;
}

#[tokio::test]
async fn scale_and_status_are_written_by_their_own_paths() {
    conform(async |walk: &mut Walk| {
        let deployments = walk.group("apps/v1", "deployments");
        let body = json!({"metadata": {"name": "d"}, "spec": {"selector": {"matchLabels": {"a": "b"}}, "template": {"metadata": {"labels": {"a": "b"}}, "spec": {"schedulerName": "nobody", "containers": [{"name": "c", "image": "i"}]}}}, "status": {"replicas": 5}});
        let made = walk.expect(201, Call::post(&deployments, body.clone())).await;
        assert!(made.body["status"]["replicas"].is_null());
        let path = format!("{deployments}/d");
        let (more, scaled) = walk.replace(&format!("{path}/scale"), |scale| scale["spec"]["replicas"] = 4.into()).await;
        assert_eq!((scaled.code, &scaled.body["spec"]["replicas"]), (200, &json!(4)), "{}", scaled.body);
        walk.expect(409, Call::put(format!("{path}/scale"), more.clone())).await;
        for (media, patch) in [(MERGE_PATCH, json!({"spec": {"replicas": 3}})), (JSON_PATCH, json!([{"op": "replace", "path": "/spec/replicas", "value": 2}])), ("application/strategic-merge-patch+json", json!({"spec": {"replicas": 6}})), (MERGE_PATCH, json!({"spec": {"replicas": -1}})), (MERGE_PATCH, json!({"spec": {"replicas": "x"}})), (MERGE_PATCH, json!({"spec": null})), (MERGE_PATCH, json!({"metadata": {"labels": {"x": "y"}}})), (MERGE_PATCH, json!({"metadata": {"name": "other"}})), (MERGE_PATCH, json!({"spec": {"odd": 1}}))] {
            walk.ask(Call::patch(format!("{path}/scale"), media, patch)).await;
        }
        for wrong in [json!({}), json!({"kind": "Deployment", "apiVersion": "apps/v1"}), json!({"metadata": {"name": "other"}, "spec": {"replicas": 1}}), json!({"metadata": {"name": "d"}, "spec": {"replicas": 1}}), json!({"metadata": {"name": "d", "namespace": "elsewhere"}, "spec": {"replicas": 1}}), json!({"metadata": {"name": "d", "uid": "x"}, "spec": {"replicas": 1}})] {
            walk.ask(Call::put(format!("{path}/scale"), wrong)).await;
        }
        walk.ask(Call::delete(format!("{path}/scale"))).await;
        walk.ask(Call::post(format!("{path}/scale"), more)).await;
        walk.ask(Call::get(format!("{path}/scale")).accept(TABLE)).await;
        walk.ask(Call::get(format!("{deployments}/none/scale"))).await;
        walk.ask(Call::put(format!("{deployments}/none/scale"), json!({"metadata": {"name": "none"}, "spec": {"replicas": 1}}))).await;
        let changed = |object: &mut Value| {
            object["status"] = json!({"replicas": 2, "observedGeneration": 3});
            object["spec"]["replicas"] = 9.into();
        };
        let (_, written) = walk.replace(&format!("{path}/status"), changed).await;
        assert_eq!(written.code, 200, "{}", written.body);
        assert!(written.body["spec"]["replicas"] != 9 && written.body["status"]["replicas"] == 2);
        walk.ask(Call::patch(format!("{path}/status"), MERGE_PATCH, json!({"status": {"replicas": -1}}))).await;
        walk.ask(Call::patch(format!("{path}/status"), MERGE_PATCH, json!({"status": {"readyReplicas": 9}}))).await;
        walk.ask(Call::patch(format!("{path}/status"), MERGE_PATCH, json!({"metadata": {"labels": {"by": "status"}}, "spec": {"paused": true}}))).await;
        walk.ask(Call::patch(format!("{path}/status"), MERGE_PATCH, json!({"status": null}))).await;
        walk.ask(Call::patch(&path, MERGE_PATCH, json!({"status": {"replicas": 99}}))).await;
        walk.ask(Call::get(format!("{path}/status")).accept(TABLE)).await;
        walk.ask(Call::get(format!("{path}/status"))).await;
        walk.ask(Call::delete(format!("{path}/status"))).await;
        walk.ask(Call::post(format!("{path}/status"), json!({}))).await;
    })
    .await;
}
