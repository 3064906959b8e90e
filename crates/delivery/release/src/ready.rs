//! When an object is there: what `--wait` waits for.

use serde_json::Value;

/// How an object stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Readiness {
    /// It is there.
    Ready,
    /// It is not there yet, and what is missing.
    Waiting(String),
    /// It will not come by itself, and why.
    Failed(String),
}

/// Whether Jobs are waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Jobs {
    /// Until they are complete.
    Awaited,
    /// Not at all.
    Ignored,
}

/// Tells how an object stands, as it is in the cluster; `newest` is a Deployment's newest ReplicaSet.
pub fn of(object: &Value, newest: Option<&Value>, jobs: Jobs) -> Readiness {
    let waiting = |text: String| Readiness::Waiting(text);
    let (spec, status) = (&object["spec"], &object["status"]);
    match object["kind"].as_str().unwrap_or_default() {
        "Pod" if holds(status, "Ready") => Readiness::Ready,
        "Pod" => waiting(format!("phase {}", status["phase"].as_str().unwrap_or("Pending"))),
        "Job" if jobs == Jobs::Awaited => job(spec, status),
        "Deployment" => deployment(object, newest),
        "PersistentVolumeClaim" if status["phase"] == "Bound" => Readiness::Ready,
        "PersistentVolumeClaim" => waiting("it is not bound to a volume".to_owned()),
        "Service" => service(spec, status),
        "DaemonSet" => daemon_set(object),
        "StatefulSet" => stateful_set(object),
        "ReplicationController" | "ReplicaSet" => {
            let wanted = number(spec, "replicas", 1);
            replicas(object, wanted, wanted)
        }
        "CustomResourceDefinition" if holds(status, "Established") => Readiness::Ready,
        // Who holds its names already is no reason to wait.
        "CustomResourceDefinition" if refuses(status, "NamesAccepted") => {
            Readiness::Failed("its names are taken by another definition".to_owned())
        }
        "CustomResourceDefinition" => waiting("it is not established".to_owned()),
        _ => Readiness::Ready,
    }
}

fn holds(status: &Value, kind: &str) -> bool {
    condition(status, kind, "True").is_some()
}

fn refuses(status: &Value, kind: &str) -> bool {
    condition(status, kind, "False").is_some()
}

/// Returns the condition of a type if it stands like this: `True` or `False`.
pub(crate) fn condition<'v>(status: &'v Value, kind: &str, stands: &str) -> Option<&'v Value> {
    let conditions = status["conditions"].as_array()?;
    conditions.iter().find(|one| one["type"] == kind).filter(|one| one["status"] == stands)
}

fn number(value: &Value, key: &str, otherwise: i64) -> i64 {
    value[key].as_i64().unwrap_or(otherwise)
}

fn observed(object: &Value) -> Option<Readiness> {
    let (seen, is) = (number(&object["status"], "observedGeneration", 0), number(&object["metadata"], "generation", 0));
    (seen < is).then(|| Readiness::Waiting("its controller has not seen the newest change".to_owned()))
}

fn replicas(object: &Value, wanted: i64, enough: i64) -> Readiness {
    let ready = number(&object["status"], "readyReplicas", 0);
    match observed(object) {
        Some(waiting) => waiting,
        None if ready >= enough => Readiness::Ready,
        None => Readiness::Waiting(format!("{ready} of {wanted} pods are ready")),
    }
}

fn job(spec: &Value, status: &Value) -> Readiness {
    let (failed, succeeded) = (number(status, "failed", 0), number(status, "succeeded", 0));
    if failed > number(spec, "backoffLimit", 6) || holds(status, "Failed") {
        return Readiness::Failed(format!("{failed} of its pods failed"));
    }
    let wanted = number(spec, "completions", 1);
    if succeeded >= wanted {
        return Readiness::Ready;
    }
    Readiness::Waiting(format!("{succeeded} of {wanted} completions"))
}

fn service(spec: &Value, status: &Value) -> Readiness {
    let has = |value: &Value| value.as_array().is_some_and(|list| !list.is_empty());
    match spec["type"].as_str() {
        Some("ExternalName") => Readiness::Ready,
        _ if spec["clusterIP"].as_str().is_none_or(str::is_empty) => {
            Readiness::Waiting("it has no cluster address".to_owned())
        }
        Some("LoadBalancer") if !has(&spec["externalIPs"]) && !has(&status["loadBalancer"]["ingress"]) => {
            Readiness::Waiting("no load balancer has taken it".to_owned())
        }
        _ => Readiness::Ready,
    }
}

fn deployment(object: &Value, newest: Option<&Value>) -> Readiness {
    let spec = &object["spec"];
    if spec["paused"] == true {
        return Readiness::Waiting("it is paused".to_owned());
    }
    if let Some(waiting) = observed(object) {
        return waiting;
    }
    let wanted = number(spec, "replicas", 1);
    let Some(newest) = newest else {
        return Readiness::Waiting(format!("0 of {wanted} pods of the new revision are there"));
    };
    let rolling = spec["strategy"]["type"] != "Recreate";
    let most = &spec["strategy"]["rollingUpdate"]["maxUnavailable"];
    let missing = if rolling { share(most, wanted) } else { 0 };
    replicas(newest, wanted, wanted - missing.min(wanted))
}

fn daemon_set(object: &Value) -> Readiness {
    if let Some(waiting) = observed(object) {
        return waiting;
    }
    let (strategy, status) = (&object["spec"]["updateStrategy"], &object["status"]);
    if strategy["type"].as_str().is_some_and(|kind| kind != "RollingUpdate") {
        return Readiness::Ready;
    }
    let wanted = number(status, "desiredNumberScheduled", 0);
    let updated = number(status, "updatedNumberScheduled", 0);
    if updated != wanted {
        return Readiness::Waiting(format!("{updated} of {wanted} pods are updated"));
    }
    let ready = number(status, "numberReady", 0);
    if ready >= wanted - share(&strategy["rollingUpdate"]["maxUnavailable"], wanted) {
        return Readiness::Ready;
    }
    Readiness::Waiting(format!("{ready} of {wanted} pods are ready"))
}

fn stateful_set(object: &Value) -> Readiness {
    if let Some(waiting) = observed(object) {
        return waiting;
    }
    let (spec, status) = (&object["spec"], &object["status"]);
    if spec["updateStrategy"]["type"].as_str().is_some_and(|kind| kind != "RollingUpdate") {
        return Readiness::Ready;
    }
    let wanted = number(spec, "replicas", 1);
    let partition = number(&spec["updateStrategy"]["rollingUpdate"], "partition", 0);
    let (updated, ready) = (number(status, "updatedReplicas", 0), number(status, "readyReplicas", 0));
    if updated < wanted - partition {
        return Readiness::Waiting(format!("{updated} of {} pods are updated", wanted - partition));
    }
    if ready < wanted {
        return Readiness::Waiting(format!("{ready} of {wanted} pods are ready"));
    }
    if partition == 0 && status["currentRevision"] != status["updateRevision"] {
        return Readiness::Waiting("the old revision still runs".to_owned());
    }
    Readiness::Ready
}

/// A count, or a share of a count in percent, rounded down as for `maxUnavailable`; a quarter if nothing is said.
fn share(value: &Value, of: i64) -> i64 {
    match value {
        Value::Number(count) => count.as_i64().unwrap_or(0),
        Value::String(text) => {
            let percent = text.trim_end_matches('%').parse::<i64>().unwrap_or(0);
            of * percent / 100
        }
        _ => of / 4,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[track_caller]
    #[expect(clippy::needless_pass_by_value, reason = "tables read better without ampersands")]
    fn check(object: Value, newest: Option<Value>, expected: &str) {
        let shown = match of(&object, newest.as_ref(), Jobs::Awaited) {
            Readiness::Ready => "ready".to_owned(),
            Readiness::Waiting(text) => text,
            Readiness::Failed(text) => format!("failed: {text}"),
        };
        assert_eq!(shown, expected, "{object}");
    }

    #[test]
    fn deployments_are_ready_when_their_newest_replica_set_is() {
        let object = |generation: u32, replicas: u32, strategy: Value| {
            json!({"kind": "Deployment", "metadata": {"generation": generation},
                "spec": {"replicas": replicas, "strategy": strategy}, "status": {"observedGeneration": 2}})
        };
        let set = |ready: u32| Some(json!({"status": {"readyReplicas": ready}}));
        let quarter = json!({"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": "25%"}});
        check(object(3, 1, quarter.clone()), set(1), "its controller has not seen the newest change");
        check(object(2, 4, quarter.clone()), set(2), "2 of 4 pods are ready");
        check(object(2, 4, quarter.clone()), set(3), "ready");
        check(object(2, 1, quarter.clone()), set(0), "0 of 1 pods are ready");
        check(object(2, 4, json!({"type": "Recreate"})), set(3), "3 of 4 pods are ready");
        check(object(2, 1, quarter), None, "0 of 1 pods of the new revision are there");
    }

    #[test]
    fn each_kind_says_what_it_waits_for() {
        check(json!({"kind": "Pod", "status": {"phase": "Pending"}}), None, "phase Pending");
        let ready = json!([{"type": "Ready", "status": "True"}]);
        check(json!({"kind": "Pod", "status": {"conditions": ready}}), None, "ready");
        check(json!({"kind": "Service", "spec": {"clusterIP": "10.0.0.1"}}), None, "ready");
        check(json!({"kind": "Service", "spec": {}}), None, "it has no cluster address");
        let balanced = json!({"kind": "Service", "spec": {"type": "LoadBalancer", "clusterIP": "10.0.0.1"}});
        check(balanced, None, "no load balancer has taken it");
        check(json!({"kind": "PersistentVolumeClaim"}), None, "it is not bound to a volume");
        check(json!({"kind": "Job", "spec": {}, "status": {"succeeded": 1}}), None, "ready");
        check(
            json!({"kind": "Job", "spec": {"backoffLimit": 0}, "status": {"failed": 1}}),
            None,
            "failed: 1 of its pods failed",
        );
        let taken = json!([{"type": "NamesAccepted", "status": "False"}]);
        let definition = json!({"kind": "CustomResourceDefinition", "status": {"conditions": taken}});
        check(definition, None, "failed: its names are taken by another definition");
        let set = json!({"kind": "StatefulSet", "spec": {"replicas": 2},
            "status": {"updatedReplicas": 2, "readyReplicas": 2, "currentRevision": "a", "updateRevision": "b"}});
        check(set, None, "the old revision still runs");
        let daemons = json!({"kind": "DaemonSet", "status": {
            "desiredNumberScheduled": 3, "updatedNumberScheduled": 3, "numberReady": 1}});
        check(daemons, None, "1 of 3 pods are ready");
        check(json!({"kind": "Widget"}), None, "ready");
    }
}
