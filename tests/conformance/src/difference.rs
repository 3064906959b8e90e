//! Two answers compared as JSON, after what differs by its nature is masked.

use serde_json::{Map, Value};

/// What differs between any two clusters: identities, times, addresses, tokens.
const MASKED: &[&str] = &[
    "uid",
    "creationTimestamp",
    "deletionTimestamp",
    "resourceVersion",
    "time",
    "clusterIP",
    "clusterIPs",
    "nodePort",
    "healthCheckNodePort",
    "token",
    "controller-uid",
    "batch.kubernetes.io/controller-uid",
    "lastTransitionTime",
    "lastPhaseTransitionTime",
    "description",
];

/// Columns of tables that show ages, addresses, and what a quota's controller counted.
const AGES: &[&str] = &["Age", "Created At", "Last Seen", "First Seen", "Cluster-IP", "Duration", "Request", "Limit"];

/// Returns a value with what differs by its nature masked.
pub fn masked(value: &Value) -> Value {
    match value {
        Value::Object(map) if map.get("kind").is_some_and(|kind| kind == "Table") => table(map),
        Value::Object(map) if map.get("kind").is_some_and(|kind| kind == "Status") => status(map),
        // A controller writes it, and none runs beside the real server.
        Value::Object(map) if map.get("kind").is_some_and(|kind| kind == "ResourceQuota") => {
            let mut quota = object(map);
            quota["status"] = "(masked)".into();
            quota["metadata"]["managedFields"] = "(masked)".into();
            quota
        }
        Value::Object(map) => object(map),
        Value::Array(list) => list.iter().map(masked).collect(),
        Value::String(text) => without_uids(text).into(),
        other => other.clone(),
    }
}

/// A text with every UID in it masked.
fn without_uids(text: &str) -> String {
    const FORM: &str = "00000000-0000-0000-0000-000000000000";
    let is_uid = |part: &str| {
        part.bytes()
            .zip(FORM.bytes())
            .all(|(byte, form)| if form == b'-' { byte == b'-' } else { byte.is_ascii_hexdigit() })
    };
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(next) = rest.chars().next() {
        let (part, length) = match rest.get(..FORM.len()) {
            Some(part) if is_uid(part) => ("(uid)", FORM.len()),
            _ => (&rest[..next.len_utf8()], next.len_utf8()),
        };
        out.push_str(part);
        rest = &rest[length..];
    }
    out
}

fn object(map: &Map<String, Value>) -> Value {
    let shown = map.iter().map(|(name, inner)| {
        let inner = if MASKED.contains(&name.as_str()) && !inner.is_null() && !inner.is_object() {
            "(masked)".into()
        } else if let (true, Some(moments)) = (name == "disruptedPods", inner.as_object()) {
            moments.keys().map(|pod| (pod.clone(), "(masked)".into())).collect::<Map<_, _>>().into()
        } else if name.starts_with("autoscaling.alpha.kubernetes.io/") {
            // JSON in an annotation: the order of its fields says nothing.
            inner.as_str().and_then(|text| serde_json::from_str(text).ok()).unwrap_or_else(|| inner.clone())
        } else {
            masked(inner)
        };
        (name.clone(), inner)
    });
    shown.collect::<Map<_, _>>().into()
}

/// The causes of a refusal in one order: of those that come from a map, Kubernetes tells no order. A message repeats
/// them. A difference of Go structures, which follows some sentences, is not the API's.
fn status(map: &Map<String, Value>) -> Value {
    let mut status = object(map);
    let cut = |text: &str| text.split("\n@@ ").next().unwrap_or_default().to_owned();
    if let Some(causes) = status["details"].get_mut("causes").and_then(Value::as_array_mut) {
        for cause in causes.iter_mut() {
            cause["message"] = cut(cause["message"].as_str().unwrap_or_default()).into();
        }
        causes.sort_by_key(ToString::to_string);
        let several = causes.len() > 1;
        let text = cut(status["message"].as_str().unwrap_or_default());
        let head = text.split(" is invalid: ").next().unwrap_or_default().to_owned();
        status["message"] = if several { head } else { text }.into();
    }
    status
}

fn table(map: &Map<String, Value>) -> Value {
    let columns = map.get("columnDefinitions").and_then(Value::as_array).cloned().unwrap_or_default();
    let is_age = |index: usize| {
        columns.get(index).and_then(|column| column["name"].as_str()).is_some_and(|name| AGES.contains(&name))
    };
    let mut map = map.clone();
    let counted = columns.iter().any(|column| column["name"] == "Limit");
    let shown = columns.len();
    for row in map.get_mut("rows").and_then(Value::as_array_mut).into_iter().flatten() {
        // Of what annotations say for another version, a table shows nothing.
        if let Some(annotations) = row.pointer_mut("/object/metadata/annotations").and_then(Value::as_object_mut) {
            annotations.remove("deprecated.daemonset.template.generation");
            if annotations.is_empty() {
                row["object"]["metadata"].as_object_mut().map(|metadata| metadata.remove("annotations"));
            }
        }
        // A quota's controller owns what it counted.
        if counted && row["object"]["metadata"].is_object() {
            row["object"]["metadata"]["managedFields"] = "(masked)".into();
        }
        // A cell without a column (Kubernetes has one of an IPAddress) is seen by nobody.
        if let Some(cells) = row["cells"].as_array_mut().filter(|_| shown > 0) {
            cells.truncate(shown);
        }
        for (index, cell) in row["cells"].as_array_mut().into_iter().flatten().enumerate() {
            if is_age(index) && !cell.is_null() {
                *cell = "(masked)".into();
            }
        }
    }
    object(&map)
}

/// Returns where two values differ, one line for each place. An empty list and `null` are one.
pub fn between(ours: &Value, theirs: &Value) -> Vec<String> {
    let mut found = Vec::new();
    walk(&masked(ours), &masked(theirs), "", &mut found);
    found
}

fn is_nothing(value: &Value) -> bool {
    value.is_null() || value.as_array().is_some_and(Vec::is_empty)
}

fn walk(ours: &Value, theirs: &Value, path: &str, found: &mut Vec<String>) {
    match (ours, theirs) {
        (Value::Object(a), Value::Object(b)) => {
            let names: std::collections::BTreeSet<&String> = a.keys().chain(b.keys()).collect();
            for name in names {
                let at = format!("{path}.{name}");
                match (a.get(name), b.get(name)) {
                    (Some(ours), Some(theirs)) => walk(ours, theirs, &at, found),
                    (Some(ours), None) => found.push(format!("{at}: ours {ours}, theirs absent")),
                    (None, Some(theirs)) => found.push(format!("{at}: ours absent, theirs {theirs}")),
                    (None, None) => {}
                }
            }
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            for (index, (ours, theirs)) in a.iter().zip(b).enumerate() {
                walk(ours, theirs, &format!("{path}[{index}]"), found);
            }
        }
        (a, b) if a == b || (is_nothing(a) && is_nothing(b)) => {}
        _ => found.push(format!("{path}: ours {ours}, theirs {theirs}")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn identities_in_texts_say_nothing() {
        let text = |uid: &str| json!({"message": format!("é the UID {uid}. The object")});
        let one = text("40af0c9b-649b-4d0c-94e0-1f880ac85aa8");
        assert!(between(&one, &text("2d03be4c-30ba-4121-b24c-671f0ecfaae8")).is_empty());
        assert_eq!(between(&one, &text("2d03be4c-30ba-4121-b24c_671f0ecfaae8")).len(), 1);
    }
}
