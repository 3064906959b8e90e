//! Gives an object of a built-in kind the one form that Kubernetes' own types write: what
//! is always shown stands there, what is empty and may be left out does not, quantities and
//! times are written one way. It changes no meaning and knows no rule of a kind.

use serde_json::{Map, Value};

use crate::{
    model::{Kind, Node, Presence},
    quantity::Quantity,
    validate::MAX_DEPTH,
};

/// Settles `value`, which stands at `node`.
pub fn settle(value: &mut Value, node: &Node) {
    walk(value, node, 0);
}

fn walk(value: &mut Value, node: &Node, depth: usize) {
    let place = node.resolve();
    if depth > MAX_DEPTH {
        return;
    }
    match (&place.kind, &mut *value) {
        (Kind::Object, Value::Object(map)) if !place.properties.is_empty() => fields(map, place, depth),
        (Kind::Map(values), Value::Object(map)) => {
            // Go reads null as the zero value of a map's values.
            for inner in map.values_mut() {
                if inner.is_null() {
                    *inner = zero(values);
                }
                walk(inner, values, depth + 1);
                if values.format.as_deref() == Some("quantity") {
                    in_thousandths(inner);
                }
            }
        }
        (Kind::Array(items), Value::Array(list)) => {
            for inner in list {
                if inner.is_null() {
                    *inner = zero(items);
                }
                walk(inner, items, depth + 1);
            }
        }
        (Kind::String, _) => text(value, place.format.as_deref()),
        _ => {}
    }
}

/// A list of resources counts nothing finer than thousandths.
fn in_thousandths(value: &mut Value) {
    if let Some(quantity) = value.as_str().and_then(Quantity::parse) {
        *value = quantity.in_thousandths().to_string().into();
    }
}

fn fields(map: &mut Map<String, Value>, place: &Node, depth: usize) {
    for (name, field) in &place.properties {
        let absent = map.get(name).is_none_or(Value::is_null);
        match field.presence {
            Presence::Always if absent => {
                map.insert(name.clone(), zero(field));
            }
            Presence::Null if absent => {
                map.insert(name.clone(), Value::Null);
                continue;
            }
            _ if absent => {
                map.remove(name);
                continue;
            }
            _ => {}
        }
        let Some(inner) = map.get_mut(name) else { continue };
        walk(inner, field, depth + 1);
        if field.presence == Presence::NotEmpty && is_zero(inner) {
            map.remove(name);
        }
    }
}

fn text(value: &mut Value, format: Option<&str>) {
    let written = match (format, &*value) {
        (Some("quantity"), Value::Number(number)) => Quantity::parse(&number.to_string()).map(|q| q.to_string()),
        (Some("quantity"), Value::String(text)) => Quantity::parse(text.trim()).map(|quantity| quantity.to_string()),
        (Some("date-time"), Value::String(text)) => time(text, "%Y-%m-%dT%H:%M:%SZ"),
        (Some("micro-time"), Value::String(text)) => time(text, "%Y-%m-%dT%H:%M:%S.%6fZ"),
        _ => None,
    };
    if let Some(written) = written {
        *value = written.into();
    }
}

fn time(text: &str, form: &str) -> Option<String> {
    Some(text.parse::<jiff::Timestamp>().ok()?.strftime(form).to_string())
}

/// Returns what stands at a place of which nothing was said.
fn zero(node: &Node) -> Value {
    let place = node.resolve();
    match (&place.kind, place.format.as_deref()) {
        (Kind::Object | Kind::Map(_), _) => Value::Object(Map::new()),
        (Kind::Array(_), _) => Value::Array(Vec::new()),
        (Kind::String, Some("date-time" | "micro-time")) | (Kind::Any | Kind::Ref(_), _) => Value::Null,
        (Kind::String, Some("quantity")) => "0".into(),
        (Kind::String, _) => "".into(),
        (Kind::Integer | Kind::Number | Kind::IntOrString, _) => 0.into(),
        (Kind::Boolean, _) => false.into(),
    }
}

fn is_zero(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(given) => !given,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        Value::Array(list) => list.is_empty(),
        Value::Object(map) => map.is_empty(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::model::builtin;

    fn settled(kind: &str, mut value: Value) -> Value {
        settle(&mut value, builtin(kind).unwrap());
        value
    }

    #[test]
    fn zero_values_stand_where_kubernetes_shows_them_and_nowhere_else() {
        let pod = settled(
            "io.k8s.api.core.v1.Pod",
            json!({"metadata": {"name": "p", "labels": {}, "annotations": null}, "spec": {"hostNetwork": false, "nodeSelector": {},
                "containers": [{"name": "c", "command": [], "env": [{"name": "e", "value": ""}]}], "volumes": [{"name": "v", "emptyDir": {}}]}}),
        );
        assert_eq!(
            pod,
            json!({"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "env": [{"name": "e"}], "resources": {}}],
                "volumes": [{"name": "v", "emptyDir": {}}]}, "status": {}})
        );
        let set = settled("io.k8s.api.apps.v1.ReplicaSet", json!({"metadata": {}, "spec": {"replicas": 0}}));
        assert_eq!(set["status"], json!({"replicas": 0}));
        assert_eq!(set["spec"]["replicas"], 0);
    }

    #[test]
    fn quantities_and_times_are_written_one_way() {
        let pod = settled(
            "io.k8s.api.core.v1.Pod",
            json!({"spec": {"containers": [{"name": "c", "resources": {"limits": {"cpu": 0.5, "memory": "1024Mi"}}}]},
                "status": {"startTime": "2026-01-01T02:00:00+02:00", "conditions": [{"type": "Ready", "status": "True"}]}}),
        );
        assert_eq!(pod["spec"]["containers"][0]["resources"]["limits"], json!({"cpu": "500m", "memory": "1Gi"}));
        assert_eq!(pod["status"]["startTime"], "2026-01-01T00:00:00Z");
        assert_eq!(pod["status"]["conditions"][0]["lastProbeTime"], Value::Null);
    }
}
