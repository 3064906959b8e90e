//! Limit ranges: what they fill in, and what they refuse.

use conformance::{
    cluster::{Call, MERGE_PATCH},
    walk::{Walk, conform},
};
use serde_json::{Value, json};

use super::{pod, sized};

async fn limited(walk: &mut Walk, limits: Value) {
    let range = json!({"metadata": {"name": "r"}, "spec": {"limits": limits}});
    walk.expect(201, Call::post(walk.core("limitranges"), range)).await;
}

/// Waits until a real server's part that limits has heard of the range: a pod like this is refused.
async fn heard(walk: &mut Walk, refused: Value) {
    let call = Call::post(format!("{}?dryRun=All", walk.core("pods")), refused);
    walk.until(&walk.cluster.clone(), call, |answer| answer.code == 403).await;
}

#[tokio::test]
async fn containers_are_given_defaults_and_held_to_bounds() {
    conform(async |walk: &mut Walk| {
        limited(walk, json!([{"type": "Container", "default": {"cpu": "500m"}, "defaultRequest": {"cpu": "100m", "memory": "1Gi"},
            "min": {"cpu": "50m", "memory": "1Mi"}, "max": {"cpu": "2", "memory": "2Gi"}, "maxLimitRequestRatio": {"cpu": "10"}}])).await;
        heard(walk, sized("x", json!({"limits": {"cpu": "3"}}))).await;
        let pods = walk.core("pods");
        for (index, resources) in [
            json!({}),
            json!({"requests": {"cpu": "200m"}}),
            json!({"limits": {"cpu": "1"}}),
            json!({"limits": {"cpu": "3"}}),
            json!({"requests": {"cpu": "10m"}}),
            json!({"requests": {"cpu": "10m"}, "limits": {"cpu": "3", "memory": "3Gi"}}),
            json!({"requests": {"cpu": "100m"}, "limits": {"cpu": "2"}}),
            json!({"requests": {"cpu": "3"}}),
            json!({"requests": {"memory": "1"}, "limits": {"memory": "1Gi"}}),
            json!({"limits": {"memory": "1Gi", "ephemeral-storage": "1Gi"}}),
            json!({"requests": {"cpu": "0"}}),
        ]
        .into_iter()
        .enumerate()
        {
            walk.ask(Call::post(&pods, sized(&format!("p{index}"), resources))).await;
        }
        let several = pod("several", json!({"initContainers": [{"name": "i", "image": "i", "resources": {"limits": {"cpu": "3"}}}],
            "containers": [{"name": "a", "image": "i"}, {"name": "b", "image": "i", "resources": {"limits": {"cpu": "4"}}}]}));
        walk.ask(Call::post(&pods, several)).await;
        let given = json!({"initContainers": [{"name": "i", "image": "i"}, {"name": "s", "image": "i", "restartPolicy": "Always"}]});
        walk.ask(Call::post(&pods, pod("init", given))).await;
        walk.ask(Call::patch(format!("{pods}/p0"), MERGE_PATCH, json!({"metadata": {"labels": {"a": "b"}}}))).await;
        let deployment = json!({"metadata": {"name": "d"}, "spec": {"selector": {"matchLabels": {"a": "b"}},
            "template": {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i", "resources": {"limits": {"cpu": "9"}}}]}}}});
        walk.expect(201, Call::post(walk.group("apps/v1", "deployments"), deployment)).await;
    })
    .await;
}

#[tokio::test]
async fn pods_are_held_to_bounds_as_a_whole() {
    conform(async |walk: &mut Walk| {
        limited(walk, json!([{"type": "Pod", "min": {"cpu": "100m"}, "max": {"cpu": "2"}, "maxLimitRequestRatio": {"memory": "2"}}])).await;
        heard(walk, sized("x", json!({"limits": {"cpu": "3", "memory": "1Gi"}}))).await;
        let pods = walk.core("pods");
        let two = |cpu: &str, memory: &str, request: &str| {
            let resources = json!({"limits": {"cpu": cpu, "memory": memory}, "requests": {"memory": request}});
            json!({"containers": [{"name": "a", "image": "i", "resources": resources}, {"name": "b", "image": "i", "resources": resources}]})
        };
        for (index, more) in [
            two("1", "512Mi", "256Mi"),
            two("1500m", "512Mi", "256Mi"),
            two("10m", "512Mi", "256Mi"),
            two("1", "1Gi", "1Gi"),
            two("1", "512Mi", "1Mi"),
            json!({}),
            json!({"initContainers": [{"name": "i", "image": "i", "resources": {"limits": {"cpu": "3"}}}]}),
            json!({"resources": {"limits": {"cpu": "3", "memory": "1Gi"}, "requests": {"cpu": "1", "memory": "1Gi"}}}),
        ]
        .into_iter()
        .enumerate()
        {
            walk.ask(Call::post(&pods, pod(&format!("p{index}"), more))).await;
        }
    })
    .await;
}

#[tokio::test]
async fn claims_are_held_to_bounds() {
    conform(async |walk: &mut Walk| {
        limited(walk, json!([{"type": "PersistentVolumeClaim", "min": {"storage": "1Gi"}, "max": {"storage": "5Gi"}}])).await;
        let claims = walk.core("persistentvolumeclaims");
        let claim = |name: &str, size: &str| {
            json!({"metadata": {"name": name}, "spec": {"accessModes": ["ReadWriteOnce"], "storageClassName": "", "resources": {"requests": {"storage": size}}}})
        };
        let call = Call::post(format!("{claims}?dryRun=All"), claim("x", "9Gi"));
        walk.until(&walk.cluster.clone(), call, |answer| answer.code == 403).await;
        for (index, size) in ["1Gi", "5Gi", "512Mi", "6Gi", "0"].iter().enumerate() {
            walk.ask(Call::post(&claims, claim(&format!("c{index}"), size))).await;
        }
    })
    .await;
}

#[tokio::test]
async fn ranges_that_make_no_sense_are_refused() {
    conform(async |walk: &mut Walk| {
        let ranges = walk.core("limitranges");
        for (index, limits) in [
            json!([{"type": "Container", "min": {"cpu": "2"}, "max": {"cpu": "1"}}]),
            json!([{"type": "Container", "default": {"cpu": "2"}, "max": {"cpu": "1"}}]),
            json!([{"type": "Container", "defaultRequest": {"cpu": "2"}, "default": {"cpu": "1"}}]),
            json!([{"type": "Container", "defaultRequest": {"cpu": "10m"}, "min": {"cpu": "1"}}]),
            json!([{"type": "Container", "maxLimitRequestRatio": {"cpu": "500m"}}]),
            json!([{"type": "Container", "maxLimitRequestRatio": {"cpu": "9"}, "min": {"cpu": "1"}, "max": {"cpu": "2"}}]),
            json!([{"type": "Pod", "default": {"cpu": "1"}, "defaultRequest": {"cpu": "1"}}]),
            json!([{"type": "PersistentVolumeClaim"}]),
            json!([{"type": "Odd"}, {"type": "example.com/odd"}, {"type": ""}]),
            json!([{"type": "Container"}, {"type": "Container"}]),
            json!([{"type": "Container", "max": {"-bad-": "1", "example.com/x": "1"}}]),
            json!([{"type": "Container", "max": {"cpu": "x"}}]),
            json!([{}]),
            json!([]),
            Value::Null,
        ]
        .into_iter()
        .enumerate()
        {
            walk.ask(Call::post(&ranges, json!({"metadata": {"name": format!("r{index}")}, "spec": {"limits": limits}}))).await;
        }
    })
    .await;
}
