//! Watches: from a revision, from what is there, through a selector, in every form.

use conformance::{
    cluster::{Call, MERGE_PATCH, TABLE},
    walk::{Walk, conform},
};
use serde_json::{Value, json};

/// What events tell: `+` what enters, `~` what changes, `-` what leaves, by name.
fn told(events: &[Value]) -> Vec<String> {
    let sign = |event: &Value| match event["type"].as_str() {
        Some("ADDED") => "+",
        Some("MODIFIED") => "~",
        Some("DELETED") => "-",
        Some("BOOKMARK") => "=",
        _ => "!",
    };
    events
        .iter()
        .map(|event| format!("{}{}", sign(event), event["object"]["metadata"]["name"].as_str().unwrap_or_default()))
        .collect()
}

async fn make(walk: &mut Walk, maps: &str, name: &str, label: &str) {
    let body = json!({"metadata": {"name": name, "labels": {"v": label}}, "stringData": {"k": "v"}});
    walk.expect(201, Call::post(maps, body)).await;
}

async fn label(walk: &mut Walk, maps: &str, name: &str, label: &str) {
    walk.expect(200, Call::patch(format!("{maps}/{name}"), MERGE_PATCH, json!({"metadata": {"labels": {"v": label}}})))
        .await;
}

#[tokio::test]
async fn a_watch_tells_what_enters_changes_and_leaves_its_selection() {
    conform(async |walk: &mut Walk| {
        let maps = walk.core("secrets");
        let begun = walk.expect(200, Call::get(&maps)).await.version().to_owned();
        make(walk, &maps, "x", "a").await;
        make(walk, &maps, "y", "b").await;
        label(walk, &maps, "y", "a").await;
        label(walk, &maps, "x", "c").await;
        label(walk, &maps, "x", "d").await;
        let middle = walk.expect(200, Call::get(&maps)).await.version().to_owned();
        walk.expect(200, Call::delete(format!("{maps}/y"))).await;
        walk.expect(200, Call::delete(format!("{maps}/x"))).await;
        let all = walk.watch(Call::get(format!("{maps}?watch=1&resourceVersion={begun}&timeoutSeconds=30")), 7).await;
        assert_eq!(told(&all), ["+x", "+y", "~y", "~x", "~x", "-y", "-x"]);
        let selected = walk
            .watch(Call::get(format!("{maps}?watch=1&resourceVersion={begun}&timeoutSeconds=30&labelSelector=v=a")), 4)
            .await;
        assert_eq!(told(&selected), ["+x", "+y", "-x", "-y"]);
        let left = &selected[2]["object"]["metadata"];
        assert_eq!(left["labels"]["v"], "a", "what leaves is shown as it was when it was selected");
        let one = walk
            .watch(
                Call::get(format!(
                    "{maps}?watch=true&resourceVersion={begun}&timeoutSeconds=30&fieldSelector=metadata.name=x"
                )),
                4,
            )
            .await;
        assert_eq!(told(&one), ["+x", "~x", "~x", "-x"]);
        let later =
            walk.watch(Call::get(format!("{maps}?watch=1&resourceVersion={middle}&timeoutSeconds=30")), 2).await;
        assert_eq!(told(&later), ["-y", "-x"]);
        // One object by its path is read; a watch that ends; the older path.
        walk.ask(Call::get(format!("{maps}/x?watch=1&resourceVersion={begun}&timeoutSeconds=30"))).await;
        assert_eq!(
            told(&walk.watch(Call::get(format!("{maps}?watch=1&resourceVersion={begun}&timeoutSeconds=1")), 99).await)
                .len(),
            7
        );
        let older = format!("/api/v1/watch/namespaces/{}/secrets", walk.space);
        walk.watch(Call::get(format!("{older}?resourceVersion={begun}&timeoutSeconds=1")), 99).await;
        walk.watch(Call::get(format!("{older}/x?resourceVersion={begun}&timeoutSeconds=1")), 99).await;
        walk.watch(
            Call::get(format!("/api/v1/watch/secrets?resourceVersion={begun}&timeoutSeconds=1&labelSelector=v=a")),
            99,
        )
        .await;
    })
    .await;
}

#[tokio::test]
async fn a_watch_begins_with_what_is_there_and_says_when_it_told_it() {
    conform(async |walk: &mut Walk| {
        let maps = walk.core("secrets");
        make(walk, &maps, "a", "1").await;
        make(walk, &maps, "b", "2").await;
        assert_eq!(told(&walk.watch(Call::get(format!("{maps}?watch=1&timeoutSeconds=30")), 2).await), ["+a", "+b"]);
        assert_eq!(told(&walk.watch(Call::get(format!("{maps}?watch=1&resourceVersion=0&timeoutSeconds=30")), 2).await), ["+a", "+b"]);
        let initial = "sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true&timeoutSeconds=30";
        let streamed = walk.watch(Call::get(format!("{maps}?watch=1&{initial}")), 3).await;
        assert_eq!(told(&streamed), ["+a", "+b", "="]);
        assert_eq!(streamed[2]["object"]["metadata"]["annotations"]["k8s.io/initial-events-end"], "true");
        walk.watch(Call::get(format!("{maps}?watch=1&{initial}&labelSelector=v=2")), 2).await;
        walk.watch(Call::get(format!("{maps}?watch=1&{initial}&labelSelector=v=none")), 1).await;
        walk.watch(Call::get(format!("{maps}?watch=1&{initial}")).accept(TABLE), 3).await;
        walk.watch(Call::get(format!("{maps}?watch=1&{initial}&includeObject=Object")).accept(TABLE), 3).await;
        walk.watch(Call::get(format!("{maps}?watch=1&{initial}")).accept("application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"), 3).await;
        walk.watch(Call::get(format!("{maps}?watch=1&{initial}&fieldSelector=metadata.name=b")), 2).await;
        let version = walk.expect(200, Call::get(&maps)).await.version().to_owned();
        make(walk, &maps, "c", "3").await;
        let from = format!("watch=1&resourceVersion={version}&timeoutSeconds=1");
        for query in [
            "sendInitialEvents=true", "sendInitialEvents=false", "resourceVersionMatch=NotOlderThan", "resourceVersionMatch=Exact", "sendInitialEvents=true&resourceVersionMatch=NotOlderThan", "sendInitialEvents=true&resourceVersionMatch=Exact&allowWatchBookmarks=true",
            "sendInitialEvents=false&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true", "sendInitialEvents=x&resourceVersionMatch=NotOlderThan", "continue=x", "limit=1", "sendInitialEvents=true&resourceVersionMatch=NotOlderThan&continue=x",
        ] {
            walk.watch(Call::get(format!("{maps}?{from}&{query}")), 99).await;
        }
        for query in ["resourceVersion=x", "resourceVersion=-1", "resourceVersion=99999999", "labelSelector=a%20b", "fieldSelector=data.k=v", "timeoutSeconds=x", "resourceVersion=0&sendInitialEvents=false&resourceVersionMatch=NotOlderThan", "sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true&resourceVersion=99999999"] {
            walk.watch(Call::get(format!("{maps}?watch=1&timeoutSeconds=1&{query}")), 99).await;
        }
        for flag in ["true", "1", "0", "false", "yes", "", "True", "t"] {
            walk.watch(Call::get(format!("{maps}?watch={flag}&resourceVersion={version}&timeoutSeconds=1")), 99).await;
        }
    })
    .await;
}

#[tokio::test]
async fn every_form_of_a_watch_tells_the_same() {
    conform(async |walk: &mut Walk| {
        let pods = walk.core("pods");
        let begun = walk.expect(200, Call::get(&pods)).await.version().to_owned();
        let pod = json!({"metadata": {"name": "p", "finalizers": ["a.example/b"]}, "spec": {"nodeName": "n", "containers": [{"name": "c", "image": "i"}]}});
        walk.expect(201, Call::post(&pods, pod)).await;
        walk.expect(200, Call::patch(format!("{pods}/p/status"), MERGE_PATCH, json!({"status": {"phase": "Running"}}))).await;
        walk.expect(200, Call::delete(format!("{pods}/p"))).await;
        walk.expect(200, Call::delete(format!("{pods}/p?gracePeriodSeconds=0"))).await;
        walk.expect(200, Call::patch(format!("{pods}/p"), MERGE_PATCH, json!({"metadata": {"finalizers": null}}))).await;
        let from = format!("{pods}?watch=1&resourceVersion={begun}&timeoutSeconds=2");
        for accept in ["application/json", TABLE, "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1", "application/json;stream=watch", "application/json;as=Table;v=v1;g=meta.k8s.io;stream=watch", "text/plain"] {
            walk.watch(Call::get(&from).accept(accept), 99).await;
        }
        walk.watch(Call::get(format!("{from}&includeObject=Object")).accept(TABLE), 99).await;
        walk.watch(Call::get(format!("{from}&fieldSelector=status.phase=Running")), 99).await;
        walk.watch(Call::get(format!("{from}&fieldSelector=spec.nodeName=n")).accept(TABLE), 99).await;
        walk.watch(Call::get(format!("{from}&allowWatchBookmarks=true&labelSelector=none")), 99).await;
        // Both versions of one kind tell of each other's writes.
        let scalers = walk.group("autoscaling/v2", "horizontalpodautoscalers");
        let older = walk.group("autoscaling/v1", "horizontalpodautoscalers");
        let begun = walk.expect(200, Call::get(&scalers)).await.version().to_owned();
        let spec = json!({"metadata": {"name": "s"}, "spec": {"maxReplicas": 3, "scaleTargetRef": {"kind": "Deployment", "name": "d", "apiVersion": "apps/v1"}}});
        walk.expect(201, Call::post(&older, spec)).await;
        walk.expect(200, Call::patch(format!("{scalers}/s"), MERGE_PATCH, json!({"spec": {"maxReplicas": 4}}))).await;
        for path in [scalers, older] {
            walk.watch(Call::get(format!("{path}?watch=1&resourceVersion={begun}&timeoutSeconds=2")), 2).await;
        }
    })
    .await;
}
