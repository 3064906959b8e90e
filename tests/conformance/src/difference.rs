//! Two answers compared as JSON, after what differs by its nature is masked.

use std::sync::LazyLock;

use regex::Regex;
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
        Value::String(text) => masked_text(text).into(),
        other => other.clone(),
    }
}

/// Returns a text with identities, times and revisions masked.
pub fn masked_text(text: &str) -> String {
    static RULES: LazyLock<Vec<(Regex, &str)>> = LazyLock::new(|| {
        [
            ("[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", "(uid)"),
            (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", "(time)"),
            (r"current: \d+", "current: (revision)"),
            (r"too old resource version: \d+ \(\d+\)", "too old resource version: (revision)"),
            // Where a text stops being YAML is told; why is in the words of the one that reads it.
            (r"yaml: line \d+: [^(\n]*", "yaml: line (why) "),
            (r"ResourceVersion: \d+", "ResourceVersion: (revision)"),
            ("kube-api-access-[a-z0-9]{5}", "kube-api-access-(generated)"),
            (r"\b(d|w|gen|g|t|Not-Valid|x{58})-?[bcdfghjklmnpqrstvwxz2456789]{5}\b", "$1-(generated)"),
            (r"-a[bcdfghjklmnpqrstvwxz2456789]{5}\b", "-a(generated)"),
            (r"in record \(\d+\)", "in record (revision)"),
        ]
        .into_iter()
        .filter_map(|(rule, instead)| Some((Regex::new(rule).ok()?, instead)))
        .collect()
    });
    RULES.iter().fold(text.to_owned(), |text, (rule, instead)| rule.replace_all(&text, *instead).into_owned())
}

fn object(map: &Map<String, Value>) -> Value {
    let shown = map.iter().map(|(name, inner)| {
        // The place where a list goes on is its own.
        if name == "continue" && inner.is_string() {
            return (name.clone(), place_of(inner.as_str().unwrap_or_default()));
        }
        let generated = name == "name" && map.contains_key("generateName");
        let inner = if generated {
            "(generated)".into()
        } else if MASKED.contains(&name.as_str()) && !inner.is_null() && !inner.is_object() {
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

/// What a token says, without the revision.
fn place_of(token: &str) -> Value {
    let bytes = base64::Engine::decode(&base64::engine::general_purpose::URL_SAFE_NO_PAD, token);
    let mut said: Value =
        bytes.ok().and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_else(|| token.into());
    // Ours says when its first page was shown.
    said.as_object_mut().map(|said| said.remove("begun"));
    if said["rv"].as_i64().is_some_and(|revision| revision > 0) {
        said["rv"] = "(revision)".into();
    }
    said
}

/// The causes of a refusal in one order: of those that come from a map, Kubernetes tells no order. A message repeats
/// them. A difference of Go structures, which follows some sentences, is not the API's.
fn status(map: &Map<String, Value>) -> Value {
    let mut status = object(map);
    let cut = |text: &str| text.split("\n@@ ").next().unwrap_or_default().to_owned();
    // What a patch makes of an object is shown in the order of Go's structures.
    let patched = |text: &str| match (text.find("Invalid value: \"{"), text.rfind("}\": ")) {
        (Some(from), Some(to)) if text.contains("patch: ") || from == 0 => {
            format!("{}(patched){}", &text[..from + 16], &text[to + 1..])
        }
        _ => text.to_owned(),
    };
    let cut = |text: &str| patched(&cut(text));
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
            // Later tables of a watch do not say their columns again.
            let since = columns.is_empty() && cell.as_str().is_some_and(|text| text.len() < 4 && text.ends_with('s'));
            if (is_age(index) || since) && !cell.is_null() {
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
