//! `HorizontalPodAutoscaler` between `autoscaling/v1`, which knows a target of CPU alone,
//! and `autoscaling/v2`.

use serde_json::{Map, Value, json};

const METRICS: &str = "autoscaling.alpha.kubernetes.io/metrics";
const CURRENT: &str = "autoscaling.alpha.kubernetes.io/current-metrics";
const CONDITIONS: &str = "autoscaling.alpha.kubernetes.io/conditions";
const BEHAVIOR: &str = "autoscaling.alpha.kubernetes.io/behavior";
const OWN: &[&str] = &[
    METRICS,
    CURRENT,
    CONDITIONS,
    BEHAVIOR,
    "autoscaling.alpha.kubernetes.io/scale-down-tolerance",
    "autoscaling.alpha.kubernetes.io/scale-up-tolerance",
];

/// Returns the name of the field that holds a metric of `kind`.
fn field(kind: &str) -> &'static str {
    match kind {
        "Object" => "object",
        "Pods" => "pods",
        "Resource" => "resource",
        "ContainerResource" => "containerResource",
        _ => "external",
    }
}

/// Returns whether a metric is the one that v1 has a field for.
fn is_cpu(metric: &Value) -> bool {
    metric["type"] == "Resource"
        && metric["resource"]["name"] == "cpu"
        && metric["resource"]["target"]["averageUtilization"].is_i64()
}

/// Takes out the annotations that conversion makes.
fn take_annotations(object: &mut Value) -> Map<String, Value> {
    let all = object.get_mut("metadata").and_then(|metadata| metadata.get_mut("annotations"));
    let Some(all) = all.and_then(Value::as_object_mut) else { return Map::new() };
    OWN.iter().filter_map(|name| all.remove(*name).map(|value| ((*name).to_owned(), value))).collect()
}

fn put(map: &mut Map<String, Value>, name: &str, value: &Value) {
    if !value.is_null() {
        map.insert(name.to_owned(), value.clone());
    }
}

/// Returns what is stored as `autoscaling/v1` shows it.
pub(super) fn to_v1(mut object: Value) -> Value {
    take_annotations(&mut object);
    let spec = object["spec"].take();
    let status = object["status"].take();
    let mut annotations = Map::new();
    let mut keep = |name: &str, value: Value| {
        if value.as_array().is_none_or(|list| !list.is_empty()) && !value.is_null() {
            annotations.insert(name.to_owned(), value.to_string().into());
        }
    };
    let metrics = list(&spec["metrics"]);
    keep(METRICS, metrics.iter().filter(|metric| !is_cpu(metric)).map(spec_to_v1).collect());
    keep(CURRENT, list(&status["currentMetrics"]).iter().map(status_to_v1).collect());
    keep(CONDITIONS, status["conditions"].clone());
    keep(BEHAVIOR, behaviour_to_go(&spec["behavior"]));
    let mut old = Map::new();
    for name in ["scaleTargetRef", "minReplicas", "maxReplicas"] {
        put(&mut old, name, &spec[name]);
    }
    if let Some(cpu) = metrics.iter().find(|metric| is_cpu(metric)) {
        put(&mut old, "targetCPUUtilizationPercentage", &cpu["resource"]["target"]["averageUtilization"]);
    }
    object["spec"] = old.into();
    let mut old = Map::new();
    for name in ["observedGeneration", "lastScaleTime", "currentReplicas", "desiredReplicas"] {
        put(&mut old, name, &status[name]);
    }
    for metric in list(&status["currentMetrics"]) {
        if metric["type"] == "Resource" && metric["resource"]["name"] == "cpu" {
            put(&mut old, "currentCPUUtilizationPercentage", &metric["resource"]["current"]["averageUtilization"]);
        }
    }
    object["status"] = old.into();
    if !annotations.is_empty() {
        if !object["metadata"]["annotations"].is_object() {
            object["metadata"]["annotations"] = json!({});
        }
        if let Some(all) = object["metadata"]["annotations"].as_object_mut() {
            all.extend(annotations);
        }
    }
    object
}

/// Returns what came as `autoscaling/v1` in the form that is stored.
pub(super) fn to_v2(mut object: Value) -> Value {
    let annotations = take_annotations(&mut object);
    let read = |name: &str| -> Value {
        annotations
            .get(name)
            .and_then(Value::as_str)
            .and_then(|text| serde_json::from_str(text).ok())
            .unwrap_or(Value::Null)
    };
    let spec = &mut object["spec"];
    let cpu = spec.as_object_mut().and_then(|spec| spec.remove("targetCPUUtilizationPercentage"));
    let mut metrics: Vec<Value> = list(&read(METRICS)).iter().map(spec_to_v2).collect();
    let given = cpu.filter(|cpu| !cpu.is_null());
    if let Some(cpu) = given.or_else(|| metrics.is_empty().then(|| 80.into())) {
        metrics.push(json!({"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": cpu}}}));
    }
    spec["metrics"] = metrics.into();
    let behaviour = behaviour_from_go(&read(BEHAVIOR));
    if behaviour.as_object().is_some_and(|map| !map.is_empty()) {
        spec["behavior"] = behaviour;
    }
    let status = &mut object["status"];
    let cpu = status.as_object_mut().and_then(|status| status.remove("currentCPUUtilizationPercentage"));
    let current = read(CURRENT);
    if current.is_array() {
        status["currentMetrics"] = list(&current).iter().map(status_to_v2).collect();
    } else if let Some(cpu) = cpu.filter(|cpu| !cpu.is_null()) {
        status["currentMetrics"] =
            json!([{"type": "Resource", "resource": {"name": "cpu", "current": {"averageUtilization": cpu}}}]);
    }
    let conditions = read(CONDITIONS);
    if conditions.is_array() {
        status["conditions"] = conditions;
    }
    object
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// What names the metric in v1: its name, selector and, for an object, whose it is.
fn identity_to_v1(kind: &str, new: &Value, old: &mut Map<String, Value>) {
    match kind {
        "Resource" | "ContainerResource" => {
            put(old, "name", &new["name"]);
            put(old, "container", &new["container"]);
        }
        _ => {
            put(old, "metricName", &new["metric"]["name"]);
            put(old, if kind == "External" { "metricSelector" } else { "selector" }, &new["metric"]["selector"]);
            put(old, "target", &new["describedObject"]);
        }
    }
}

fn identity_to_v2(kind: &str, old: &Value, new: &mut Map<String, Value>) {
    match kind {
        "Resource" | "ContainerResource" => {
            put(new, "name", &old["name"]);
            put(new, "container", &old["container"]);
        }
        _ => {
            let mut metric = Map::new();
            put(&mut metric, "name", &old["metricName"]);
            put(&mut metric, "selector", &old[if kind == "External" { "metricSelector" } else { "selector" }]);
            new.insert("metric".into(), metric.into());
            put(new, "describedObject", &old["target"]);
        }
    }
}

/// A quantity that v1 always writes.
fn or_zero(value: &Value) -> Value {
    if value.is_null() { "0".into() } else { value.clone() }
}

fn spec_to_v1(metric: &Value) -> Value {
    let kind = metric["type"].as_str().unwrap_or_default();
    let new = &metric[field(kind)];
    let target = &new["target"];
    let mut old = Map::new();
    identity_to_v1(kind, new, &mut old);
    match kind {
        "Object" => {
            old.insert("targetValue".into(), or_zero(&target["value"]));
            put(&mut old, "averageValue", &target["averageValue"]);
        }
        "Pods" => _ = old.insert("targetAverageValue".into(), or_zero(&target["averageValue"])),
        "External" => {
            put(&mut old, "targetValue", &target["value"]);
            put(&mut old, "targetAverageValue", &target["averageValue"]);
        }
        _ => {
            put(&mut old, "targetAverageUtilization", &target["averageUtilization"]);
            put(&mut old, "targetAverageValue", &target["averageValue"]);
        }
    }
    json!({"type": kind, field(kind): old})
}

fn spec_to_v2(metric: &Value) -> Value {
    let kind = metric["type"].as_str().unwrap_or_default();
    let old = &metric[field(kind)];
    let mut target = Map::new();
    let (value, average, utilization) = match kind {
        "Object" => {
            let average = &old["averageValue"];
            // v1 cannot leave the value out and writes 0 beside an average.
            let value = if average.is_null() || old["targetValue"] != "0" { &old["targetValue"] } else { &Value::Null };
            (value, average, &Value::Null)
        }
        "Pods" => (&Value::Null, &old["targetAverageValue"], &Value::Null),
        "External" => (&old["targetValue"], &old["targetAverageValue"], &Value::Null),
        _ => (&Value::Null, &old["targetAverageValue"], &old["targetAverageUtilization"]),
    };
    let shape = match kind {
        "Object" if average.is_null() => "Value",
        "External" if !value.is_null() => "Value",
        "Resource" | "ContainerResource" if !utilization.is_null() => "Utilization",
        _ => "AverageValue",
    };
    put(&mut target, "value", value);
    put(&mut target, "averageValue", average);
    put(&mut target, "averageUtilization", utilization);
    target.insert("type".into(), shape.into());
    let mut new = Map::from_iter([("target".to_owned(), target.into())]);
    identity_to_v2(kind, old, &mut new);
    json!({"type": kind, field(kind): new})
}

fn status_to_v1(metric: &Value) -> Value {
    let kind = metric["type"].as_str().unwrap_or_default();
    let new = &metric[field(kind)];
    let current = &new["current"];
    let mut old = Map::new();
    identity_to_v1(kind, new, &mut old);
    match kind {
        "Object" => {
            old.insert("currentValue".into(), or_zero(&current["value"]));
            put(&mut old, "averageValue", &current["averageValue"]);
        }
        "External" => {
            old.insert("currentValue".into(), or_zero(&current["value"]));
            put(&mut old, "currentAverageValue", &current["averageValue"]);
        }
        _ => {
            old.insert("currentAverageValue".into(), or_zero(&current["averageValue"]));
            put(&mut old, "currentAverageUtilization", &current["averageUtilization"]);
        }
    }
    json!({"type": kind, field(kind): old})
}

fn status_to_v2(metric: &Value) -> Value {
    let kind = metric["type"].as_str().unwrap_or_default();
    let old = &metric[field(kind)];
    let mut current = Map::new();
    put(&mut current, "value", &old["currentValue"]);
    put(&mut current, "averageValue", &old[if kind == "Object" { "averageValue" } else { "currentAverageValue" }]);
    put(&mut current, "averageUtilization", &old["currentAverageUtilization"]);
    let mut new = Map::from_iter([("current".to_owned(), current.into())]);
    identity_to_v2(kind, old, &mut new);
    json!({"type": kind, field(kind): new})
}

/// The behaviour with the field names that Kubernetes writes into the annotation: those of its own Go type.
fn behaviour_to_go(behaviour: &Value) -> Value {
    if behaviour.is_null() {
        return Value::Null;
    }
    let policies = |rules: &Value| -> Value {
        let Some(list) = rules.as_array() else { return Value::Null };
        list.iter()
            .map(|policy| json!({"Type": policy["type"], "Value": policy["value"], "PeriodSeconds": policy["periodSeconds"]}))
            .collect()
    };
    let rules = |rules: &Value| {
        if rules.is_null() {
            return Value::Null;
        }
        json!({"StabilizationWindowSeconds": rules["stabilizationWindowSeconds"], "SelectPolicy": rules["selectPolicy"],
            "Policies": policies(&rules["policies"]), "Tolerance": rules["tolerance"]})
    };
    json!({"ScaleUp": rules(&behaviour["scaleUp"]), "ScaleDown": rules(&behaviour["scaleDown"])})
}

fn behaviour_from_go(value: &Value) -> Value {
    match value {
        Value::Object(map) => map
            .iter()
            .filter(|(_, inner)| !inner.is_null())
            .map(|(name, inner)| {
                let mut letters = name.chars();
                let first: String = letters.next().into_iter().flat_map(char::to_lowercase).collect();
                (format!("{first}{}", letters.as_str()), behaviour_from_go(inner))
            })
            .collect::<Map<_, _>>()
            .into(),
        Value::Array(list) => list.iter().map(behaviour_from_go).collect(),
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn target() -> impl Strategy<Value = Value> {
        prop_oneof![
            (1..99i32).prop_map(|n| json!({"type": "Utilization", "averageUtilization": n})),
            (1..99i32).prop_map(|n| json!({"type": "AverageValue", "averageValue": n.to_string()})),
        ]
    }

    fn metric() -> impl Strategy<Value = Value> {
        let name = "[a-z]{1,5}";
        prop_oneof![
            ("(cpu|memory)", target())
                .prop_map(|(name, target)| json!({"type": "Resource", "resource": {"name": name, "target": target}})),
            ("(cpu|memory)", "[a-z]{1,3}", target()).prop_map(
                |(name, container, target)| json!({"type": "ContainerResource", "containerResource": {"name": name, "container": container, "target": target}})
            ),
            (name, 1..99i32).prop_map(|(name, n)| json!({"type": "Pods", "pods": {"metric": {"name": name, "selector": {"matchLabels": {"a": "b"}}},
                "target": {"type": "AverageValue", "averageValue": n.to_string()}}})),
            (name, 1..99i32).prop_map(|(name, n)| json!({"type": "Object", "object": {"metric": {"name": name},
                "describedObject": {"kind": "Service", "name": "s", "apiVersion": "v1"}, "target": {"type": "Value", "value": n.to_string()}}})),
            (name, 1..99i32).prop_map(|(name, n)| json!({"type": "External", "external": {"metric": {"name": name},
                "target": {"type": "AverageValue", "averageValue": n.to_string()}}})),
        ]
    }

    proptest! {
        #[test]
        fn nothing_is_lost_by_way_of_v1(metrics in proptest::collection::vec(metric(), 1..4), window in 0..100i32, most in 1..9i32) {
            // v1 has room for one CPU target, and shows it last.
            let (cpu, mut metrics): (Vec<Value>, Vec<Value>) = metrics.into_iter().partition(is_cpu);
            metrics.extend(cpu.into_iter().take(1));
            let object = json!({"metadata": {"name": "a", "annotations": {"x": "y"}}, "spec": {"maxReplicas": most, "minReplicas": 1,
                "scaleTargetRef": {"kind": "Deployment", "name": "d"}, "metrics": metrics,
                "behavior": {"scaleUp": {"stabilizationWindowSeconds": window, "policies": [{"type": "Pods", "value": 4, "periodSeconds": 15}]}}},
                "status": {"conditions": [{"type": "AbleToScale", "status": "True"}], "desiredReplicas": 2}});
            prop_assert_eq!(to_v2(to_v1(object.clone())), object);
        }
    }

    #[test]
    fn v1_has_a_field_for_cpu_and_annotations_for_the_rest() {
        let stored = to_v2(json!({"metadata": {"name": "a"}, "spec": {"maxReplicas": 3}}));
        assert_eq!(stored["spec"]["metrics"][0]["resource"]["target"]["averageUtilization"], 80);
        let shown = to_v1(stored);
        assert_eq!(shown["spec"]["targetCPUUtilizationPercentage"], 80);
        assert!(shown["metadata"].get("annotations").is_none());
    }
}
