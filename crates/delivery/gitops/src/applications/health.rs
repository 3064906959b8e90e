//! How objects are, in Argo CD's words. Pure.

use platform::argo::HealthStatus;
use serde_json::Value;

/// Healths from best to worst.
const ORDER: [&str; 6] = ["Healthy", "Suspended", "Progressing", "Missing", "Degraded", "Unknown"];

fn health(status: &str, message: impl Into<String>) -> HealthStatus {
    let message = message.into();
    HealthStatus { status: status.to_owned(), message: (!message.is_empty()).then_some(message) }
}

/// Returns the worst of the healths; what has no objects is healthy.
pub(crate) fn worst<'a>(all: impl IntoIterator<Item = &'a HealthStatus>) -> HealthStatus {
    let rank = |one: &HealthStatus| ORDER.iter().position(|known| **known == one.status).unwrap_or(ORDER.len());
    all.into_iter().fold(health("Healthy", ""), |worst, one| if rank(one) > rank(&worst) { one.clone() } else { worst })
}

/// Returns the health of an object, or `None` if its kind has none.
pub(crate) fn of(object: &Value) -> Option<HealthStatus> {
    if object["metadata"]["deletionTimestamp"].is_string() {
        return Some(health("Progressing", "Pending deletion"));
    }
    let group = object["apiVersion"].as_str().unwrap_or_default().split_once('/').map_or("", |(group, _)| group);
    Some(match (group, object["kind"].as_str().unwrap_or_default()) {
        ("apps", "Deployment") => deployment(object),
        ("apps", "ReplicaSet") => replica_set(object),
        ("apps", "StatefulSet" | "DaemonSet") => replicated(object),
        ("", "Pod") => pod(object),
        ("", "Service") => service(object),
        ("", "PersistentVolumeClaim") => match object["status"]["phase"].as_str() {
            Some("Bound") => health("Healthy", ""),
            Some("Lost") => health("Degraded", ""),
            Some("Pending") => health("Progressing", ""),
            _ => health("Unknown", ""),
        },
        ("networking.k8s.io", "Ingress") => has_address(object),
        ("batch", "Job") => job(object),
        ("apiextensions.k8s.io", "CustomResourceDefinition") => match condition(object, "Established") {
            Some(("True", _)) => health("Healthy", ""),
            _ => health("Progressing", "the definition is not served yet"),
        },
        ("gateway.networking.k8s.io", "HTTPRoute" | "GRPCRoute" | "TCPRoute" | "TLSRoute") => route(object),
        ("gateway.networking.k8s.io", "Gateway") => {
            conditions(&object["status"]["conditions"], &["Accepted", "Programmed"], object)
                .unwrap_or_else(|| health("Progressing", "no controller has taken the Gateway yet"))
        }
        ("argoproj.io", "Application") => health(
            object["status"]["health"]["status"].as_str().unwrap_or("Progressing"),
            object["status"]["health"]["message"].as_str().unwrap_or_default(),
        ),
        _ => return None,
    })
}

fn number(value: &Value) -> i64 {
    value.as_i64().unwrap_or(0)
}

fn observed(object: &Value) -> bool {
    number(&object["metadata"]["generation"]) <= number(&object["status"]["observedGeneration"])
}

fn condition<'a>(object: &'a Value, kind: &str) -> Option<(&'a str, &'a Value)> {
    let conditions = object["status"]["conditions"].as_array()?;
    let found = conditions.iter().find(|one| one["type"] == kind)?;
    Some((found["status"].as_str().unwrap_or_default(), found))
}

fn deployment(object: &Value) -> HealthStatus {
    if object["spec"]["paused"] == true {
        return health("Suspended", "Deployment is paused");
    }
    if !observed(object) {
        let text = "Waiting for rollout to finish: observed deployment generation less than desired generation";
        return health("Progressing", text);
    }
    let status = &object["status"];
    if let Some((_, progressing)) = condition(object, "Progressing")
        && progressing["reason"] == "ProgressDeadlineExceeded"
    {
        let name = object["metadata"]["name"].as_str().unwrap_or_default();
        return health("Degraded", format!("Deployment \"{name}\" exceeded its progress deadline"));
    }
    let (updated, available) = (number(&status["updatedReplicas"]), number(&status["availableReplicas"]));
    let wanted = object["spec"]["replicas"].as_i64().unwrap_or(1);
    if updated < wanted {
        let text =
            format!("Waiting for rollout to finish: {updated} out of {wanted} new replicas have been updated...");
        return health("Progressing", text);
    }
    let old = number(&status["replicas"]) - updated;
    if old > 0 {
        return health(
            "Progressing",
            format!("Waiting for rollout to finish: {old} old replicas are pending termination..."),
        );
    }
    if available < updated {
        let text = format!("Waiting for rollout to finish: {available} of {updated} updated replicas are available...");
        return health("Progressing", text);
    }
    health("Healthy", "")
}

fn replica_set(object: &Value) -> HealthStatus {
    if !observed(object) {
        return health(
            "Progressing",
            "Waiting for rollout to finish: observed replica set generation less than desired generation",
        );
    }
    if let Some(("True", failure)) = condition(object, "ReplicaFailure") {
        return health("Degraded", failure["message"].as_str().unwrap_or_default());
    }
    let wanted = object["spec"]["replicas"].as_i64().unwrap_or(1);
    let available = number(&object["status"]["availableReplicas"]);
    if available < wanted {
        let text = format!("Waiting for rollout to finish: {available} out of {wanted} new replicas are available...");
        return health("Progressing", text);
    }
    health("Healthy", "")
}

fn replicated(object: &Value) -> HealthStatus {
    if !observed(object) {
        return health("Progressing", "Waiting for the newest generation to be observed");
    }
    let status = &object["status"];
    let (wanted, ready) = if object["kind"] == "DaemonSet" {
        (number(&status["desiredNumberScheduled"]), number(&status["numberAvailable"]))
    } else {
        (object["spec"]["replicas"].as_i64().unwrap_or(1), number(&status["readyReplicas"]))
    };
    if ready < wanted {
        return health("Progressing", format!("Waiting for {} pods to be ready...", wanted - ready));
    }
    health("Healthy", "")
}

fn pod(object: &Value) -> HealthStatus {
    let status = &object["status"];
    for container in status["containerStatuses"].as_array().into_iter().flatten() {
        let waiting = &container["state"]["waiting"];
        let reason = waiting["reason"].as_str().unwrap_or_default();
        if reason.starts_with("Err") || reason.ends_with("Error") || reason.ends_with("BackOff") {
            return health("Degraded", waiting["message"].as_str().unwrap_or(reason));
        }
    }
    match status["phase"].as_str().unwrap_or_default() {
        "Succeeded" => health("Healthy", status["message"].as_str().unwrap_or_default()),
        "Failed" => health("Degraded", status["message"].as_str().unwrap_or("the pod failed")),
        "Running" if matches!(condition(object, "Ready"), Some(("True", _))) => health("Healthy", ""),
        "Running" | "Pending" => health("Progressing", status["message"].as_str().unwrap_or_default()),
        _ => health("Unknown", ""),
    }
}

fn service(object: &Value) -> HealthStatus {
    if object["spec"]["type"] == "LoadBalancer" { has_address(object) } else { health("Healthy", "") }
}

fn has_address(object: &Value) -> HealthStatus {
    match object["status"]["loadBalancer"]["ingress"].as_array() {
        Some(addresses) if !addresses.is_empty() => health("Healthy", ""),
        _ => health("Progressing", ""),
    }
}

fn job(object: &Value) -> HealthStatus {
    if let Some(("True", failed)) = condition(object, "Failed") {
        return health("Degraded", failed["message"].as_str().unwrap_or_default());
    }
    if let Some(("True", _)) = condition(object, "Complete") {
        return health("Healthy", "");
    }
    if let Some(("True", _)) = condition(object, "Suspended") {
        return health("Suspended", "");
    }
    health("Progressing", "")
}

fn route(object: &Value) -> HealthStatus {
    let parents = object["status"]["parents"].as_array().cloned().unwrap_or_default();
    if parents.is_empty() {
        return health("Progressing", "no gateway has taken the route yet");
    }
    let all: Vec<HealthStatus> = parents
        .iter()
        .map(|parent| {
            conditions(&parent["conditions"], &["Accepted", "ResolvedRefs"], object)
                .unwrap_or_else(|| health("Progressing", "a gateway has not judged the route yet"))
        })
        .collect();
    worst(&all)
}

/// Judges conditions of the Gateway API; `None` if one of them is missing.
fn conditions(list: &Value, wanted: &[&str], object: &Value) -> Option<HealthStatus> {
    let list = list.as_array()?;
    for kind in wanted {
        let one = list.iter().find(|one| one["type"] == **kind)?;
        if let (Some(seen), Some(generation)) =
            (one["observedGeneration"].as_i64(), object["metadata"]["generation"].as_i64())
            && seen < generation
        {
            return None;
        }
        match one["status"].as_str() {
            Some("True") => {}
            Some("False") => return Some(health("Degraded", one["message"].as_str().unwrap_or_default())),
            _ => return Some(health("Progressing", one["message"].as_str().unwrap_or_default())),
        }
    }
    Some(health("Healthy", ""))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn objects_are_judged_as_argo_cd_judges_them() {
        let deployment = |status: Value| json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"generation": 2}, "spec": {"replicas": 2}, "status": status});
        let route = |conditions: Value| json!({"apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute", "metadata": {}, "status": {"parents": [{"conditions": conditions}]}});
        for (object, want) in [
            (deployment(json!({"observedGeneration": 1})), Some("Progressing")),
            (
                deployment(
                    json!({"observedGeneration": 2, "updatedReplicas": 2, "replicas": 2, "availableReplicas": 2}),
                ),
                Some("Healthy"),
            ),
            (
                deployment(
                    json!({"observedGeneration": 2, "updatedReplicas": 2, "replicas": 3, "availableReplicas": 2}),
                ),
                Some("Progressing"),
            ),
            (
                deployment(
                    json!({"observedGeneration": 2, "conditions": [{"type": "Progressing", "reason": "ProgressDeadlineExceeded"}]}),
                ),
                Some("Degraded"),
            ),
            (json!({"apiVersion": "v1", "kind": "Service", "spec": {"type": "ClusterIP"}}), Some("Healthy")),
            (json!({"apiVersion": "v1", "kind": "Service", "spec": {"type": "LoadBalancer"}}), Some("Progressing")),
            (json!({"apiVersion": "v1", "kind": "ConfigMap"}), None),
            (
                json!({"apiVersion": "v1", "kind": "Pod", "status": {"phase": "Pending", "containerStatuses": [{"state": {"waiting": {"reason": "ImagePullBackOff"}}}]}}),
                Some("Degraded"),
            ),
            (route(json!([])), Some("Progressing")),
            (
                route(json!([{"type": "Accepted", "status": "True"}, {"type": "ResolvedRefs", "status": "True"}])),
                Some("Healthy"),
            ),
            (route(json!([{"type": "Accepted", "status": "False", "message": "no"}])), Some("Degraded")),
        ] {
            assert_eq!(of(&object).map(|health| health.status).as_deref(), want, "{object}");
        }
    }

    #[test]
    fn the_worst_counts() {
        let all = [health("Healthy", ""), health("Degraded", "x"), health("Progressing", "")];
        assert_eq!(worst(&all).status, "Degraded");
        assert_eq!(worst([]).status, "Healthy");
    }
}
