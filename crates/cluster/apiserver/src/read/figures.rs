//! Figures of nodes and pods: kinds whose objects nobody stores, made of what the
//! connected node measures.

use axum::body::Body;
use http::{Request, Response, StatusCode};
use serde_json::{Value, json};
use tower::ServiceExt;

use super::Selection;
use crate::{
    pipeline::respond,
    registry::{Measured, Resource},
    request::{Info, Query},
    server::Server,
    status::Failure,
    store::Snapshot,
    table::{self, Form},
};

/// The largest summary that is read.
const SUMMARY: usize = 64 << 20;

impl Server {
    /// Answers a request for figures: `get` and `list`.
    pub(crate) async fn figures(
        &self,
        resource: &Resource,
        measured: Measured,
        info: &Info,
        query: &Query,
        form: Form,
    ) -> Result<Response<Body>, Failure> {
        if !matches!(info.verb, "get" | "list") || !info.subresource.is_empty() {
            return Err(Failure::method_not_allowed());
        }
        let selection = Selection::parse(resource, info, query)?;
        let summary = self.summary().await?;
        let snapshot = self.store().snapshot();
        let mut objects = match measured {
            Measured::Nodes => vec![of_node(resource, &snapshot, &summary["node"])],
            Measured::Pods => {
                let pods = summary["pods"].as_array().into_iter().flatten();
                pods.map(|pod| of_pod(resource, &snapshot, pod)).collect()
            }
        };
        let wanted = |object: &Value| {
            let namespace = object["metadata"]["namespace"].as_str().unwrap_or_default();
            (info.namespace.is_empty() || namespace == info.namespace) && selection.takes(object)
        };
        // What has run too shortly has no figures yet.
        objects.retain(|object| !object.is_null() && wanted(object));
        let key = |object: &Value| ["namespace", "name"].map(|part| object["metadata"][part].to_string());
        objects.sort_by_key(key);
        let now = base::clock::now();
        if info.verb == "list" {
            return Ok(respond(StatusCode::OK, table::many(form, resource, &objects, &json!({}), now).to_string()));
        }
        let Some(object) = objects.pop() else {
            let name =
                if resource.namespaced { format!("{}/{}", info.namespace, info.name) } else { info.name.clone() };
            return Err(Failure::not_found_named(&resource.gvk.group, &resource.singular, &name));
        };
        Ok(respond(StatusCode::OK, table::one(form, resource, object, now).to_string()))
    }

    /// Returns what the node has measured.
    async fn summary(&self) -> Result<Value, Failure> {
        let unavailable = |why: &str| Failure::new(StatusCode::SERVICE_UNAVAILABLE, "ServiceUnavailable", why);
        let node = self.node().ok_or_else(|| unavailable("no node is connected that measures anything"))?;
        let request = Request::get("/stats/summary").body(Body::empty());
        let request = request.map_err(|error| Failure::internal(error.to_string()))?;
        let Ok(answer) = node.router.oneshot(request).await;
        let told = axum::body::to_bytes(answer.into_body(), SUMMARY).await.ok();
        told.and_then(|bytes| serde_json::from_slice(&bytes).ok())
            .ok_or_else(|| unavailable("the node does not say what it has measured"))
    }
}

fn of_node(resource: &Resource, snapshot: &Snapshot, node: &Value) -> Value {
    let name = node["nodeName"].as_str().unwrap_or_default();
    let Some((usage, at, window)) = usage(node) else { return Value::Null };
    let labels = labels(snapshot, &format!("core/nodes//{name}"));
    let mut object = figures(resource, json!({"name": name}), labels, &at, window);
    object["usage"] = usage;
    object
}

fn of_pod(resource: &Resource, snapshot: &Snapshot, pod: &Value) -> Value {
    let of = |name: &str| pod["podRef"][name].as_str().unwrap_or_default();
    let (namespace, name) = (of("namespace"), of("name"));
    let all = pod["containers"].as_array().into_iter().flatten();
    let measured: Vec<_> = all.filter_map(|one| Some((one["name"].clone(), usage(one)?))).collect();
    let Some((_, (_, at, window))) = measured.first() else { return Value::Null };
    let labels = labels(snapshot, &format!("core/pods/{namespace}/{name}"));
    let metadata = json!({"name": name, "namespace": namespace});
    let mut object = figures(resource, metadata, labels, at, *window);
    object["containers"] =
        measured.iter().map(|(name, (usage, _, _))| json!({"name": name, "usage": usage})).collect::<Vec<_>>().into();
    object
}

fn figures(resource: &Resource, mut metadata: Value, labels: Value, at: &str, window: f64) -> Value {
    metadata["creationTimestamp"] = base::clock::now_rfc3339().into();
    if labels.is_object() {
        metadata["labels"] = labels;
    }
    let at = at.parse::<jiff::Timestamp>().map(|at| at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string());
    json!({
        "kind": resource.gvk.kind, "apiVersion": resource.api_version, "metadata": metadata,
        "timestamp": at.unwrap_or_default(), "window": seconds(window),
    })
}

fn labels(snapshot: &Snapshot, key: &str) -> Value {
    snapshot.get(key).map(|entry| entry.value()["metadata"]["labels"].clone()).unwrap_or_default()
}

/// Returns what something uses, when that was, and over how many seconds; `None` if it has no rate yet.
fn usage(figures: &Value) -> Option<(Value, String, f64)> {
    let (cpu, memory) = (&figures["cpu"], &figures["memory"]);
    let usage = json!({
        "cpu": quantity(cpu["usageNanoCores"].as_u64()?, 1000, &["n", "u", "m", ""]),
        "memory": quantity(memory["workingSetBytes"].as_u64()?, 1024, &["", "Ki", "Mi", "Gi", "Ti"]),
    });
    Some((usage, cpu["time"].as_str()?.to_owned(), cpu["window"].as_f64()?))
}

/// Returns a whole number with the largest of the units that keeps it whole.
fn quantity(number: u64, step: u64, units: &[&str]) -> String {
    if number == 0 {
        return "0".to_owned();
    }
    let (mut number, mut units) = (number, units);
    while number % step == 0 && units.len() > 1 {
        number /= step;
        units = &units[1..];
    }
    format!("{number}{}", units[0])
}

/// Returns a time as Go writes it.
fn seconds(seconds: f64) -> String {
    let millis = (seconds * 1000.0).round() as u64;
    let (minutes, rest) = (millis / 60_000, millis % 60_000);
    let whole = format!("{}.{:03}", rest / 1000, rest % 1000);
    let short = format!("{}s", whole.trim_end_matches('0').trim_end_matches('.'));
    if minutes == 0 { short } else { format!("{minutes}m{short}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_have_kubernetes_forms() {
        let cpu = |nano| quantity(nano, 1000, &["n", "u", "m", ""]);
        assert_eq!(
            [cpu(1_234_567), cpu(5000), cpu(250_000_000), cpu(2_000_000_000), cpu(0)],
            ["1234567n", "5u", "250m", "2", "0"]
        );
        let memory = |bytes| quantity(bytes, 1024, &["", "Ki", "Mi", "Gi", "Ti"]);
        assert_eq!([memory(1025), memory(4096), memory(3 << 20)], ["1025", "4Ki", "3Mi"]);
        assert_eq!([seconds(10.0), seconds(15.0684), seconds(62.5)], ["10s", "15.068s", "1m2.5s"]);
    }

    #[test]
    fn what_has_no_rate_yet_has_no_figures() {
        assert!(usage(&json!({"cpu": {}, "memory": {"workingSetBytes": 1}})).is_none());
    }
}
