//! Says why a value cannot be one of a built-in type, in the words of the reader that
//! Kubernetes uses: the first thing that is wrong, as one sentence.

mod others;

use serde_json::Value;

pub use others::misfit;

use crate::{
    model::{Kind, Node},
    quantity::Quantity,
    validate::MAX_DEPTH,
};

const QUANTITY: &str = "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'";

/// Returns why `value` is none of the type of `node`, whose kind is `kind`; `None` if it is one.
pub fn problem(value: &Value, node: &Node, kind: &str) -> Option<String> {
    walk(value, node, &mut Place { owner: kind, path: Vec::new() })
}

/// Where the walk is: the structure that holds the field, and the fields that lead to it.
struct Place<'a> {
    owner: &'a str,
    path: Vec<&'a str>,
}

fn walk<'a>(value: &'a Value, node: &'a Node, place: &mut Place<'a>) -> Option<String> {
    let resolved = node.resolve();
    if value.is_null() || place.path.len() > MAX_DEPTH {
        return None;
    }
    match (&resolved.kind, value) {
        (Kind::Object, Value::Object(map)) => {
            let before = place.owner;
            if let Kind::Ref(name) = &node.kind {
                place.owner = name.rsplit('.').next().unwrap_or(name);
            }
            for (name, inner) in map {
                let Some((name, field)) = resolved.properties.get_key_value(name) else { continue };
                place.path.push(name);
                if let Some(problem) = walk(inner, field, place) {
                    return Some(problem);
                }
                place.path.pop();
            }
            place.owner = before;
            None
        }
        (Kind::Map(values), Value::Object(map)) => map.values().find_map(|inner| walk(inner, values, place)),
        (Kind::Array(items), Value::Array(list)) => list.iter().find_map(|inner| walk(inner, items, place)),
        (Kind::String, _) if resolved.format.as_deref() == Some("quantity") => quantity(value),
        (Kind::String, Value::String(text)) if resolved.format.as_deref() == Some("byte") => {
            base64(text).map(|at| format!("illegal base64 data at input byte {at}"))
        }
        (Kind::String, Value::String(text)) => time(text, resolved.format.as_deref()),
        (Kind::Boolean, Value::Bool(_))
        | (Kind::Number, Value::Number(_))
        | (Kind::Any | Kind::Ref(_), _)
        | (Kind::IntOrString, Value::String(_)) => None,
        // A number that the field has no room for is named.
        (Kind::Integer, Value::Number(number))
            if resolved.format.as_deref() == Some("int32")
                && number.as_f64().is_some_and(|n| n.fract() == 0.0 && i32::try_from(n as i64).is_err()) =>
        {
            Some(mismatch(value, node, place).replacen("number ", &format!("number {number} "), 1))
        }
        (Kind::Integer | Kind::IntOrString, Value::Number(number)) if number.is_i64() || number.is_u64() => None,
        (Kind::Integer | Kind::IntOrString, Value::Number(number))
            if number.as_f64().is_some_and(|n| n.fract() == 0.0) =>
        {
            None
        }
        _ => Some(mismatch(value, node, place)),
    }
}

fn quantity(value: &Value) -> Option<String> {
    let fits = match value {
        Value::String(text) => text.is_empty() || Quantity::parse(text.trim()).is_some(),
        Value::Number(number) => Quantity::parse(&number.to_string()).is_some(),
        _ => false,
    };
    (!fits).then(|| QUANTITY.to_owned())
}

fn time(text: &str, format: Option<&str>) -> Option<String> {
    let layout = match format {
        Some("date-time") => "2006-01-02T15:04:05Z07:00",
        Some("micro-time") => "2006-01-02T15:04:05.000000Z07:00",
        _ => return None,
    };
    let fails = |rest: &str, wanted: &str| {
        Some(format!("parsing time {text:?} as {layout:?}: cannot parse {rest:?} as {wanted:?}"))
    };
    if text.parse::<jiff::Timestamp>().is_err() {
        // The year stands first, and is what is mostly wrong.
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let steps = [(4, "2006"), (5, "-"), (7, "01"), (8, "-"), (10, "02"), (11, "T"), (13, "15"), (14, ":")];
        let step = steps.iter().find(|(end, _)| *end > digits).map_or("2006", |(_, step)| *step);
        return fails(text.get(digits.min(4)..).filter(|_| digits >= 4).unwrap_or(text), step);
    }
    if format == Some("micro-time") {
        let rest = text.get(19..).unwrap_or_default();
        let exact = rest.strip_prefix('.').is_some_and(|rest| rest.bytes().take_while(u8::is_ascii_digit).count() == 6);
        if !exact {
            return fails(rest, ".000000");
        }
    }
    None
}

/// Returns the byte at which a text stops being base64; `None` if it is.
fn base64(text: &str) -> Option<usize> {
    let bytes: Vec<(usize, u8)> = text.bytes().enumerate().filter(|(_, byte)| !matches!(byte, b'\r' | b'\n')).collect();
    let is_digit = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/');
    for four in bytes.chunks(4) {
        let digits = four.iter().take_while(|(_, byte)| is_digit(*byte)).count();
        let last = four.last().is_some_and(|(at, _)| bytes.last().is_some_and(|(end, _)| at == end));
        if digits == 4 {
            continue;
        }
        let Some((at, byte)) = four.get(digits) else { return Some(four[0].0) };
        // Padding stands at the end alone, and leaves two digits at least.
        if *byte != b'=' || digits < 2 {
            return Some(*at);
        }
        if digits == 2 {
            match four.get(3) {
                None => return Some(text.len()),
                Some((_, b'=')) => {}
                Some((at, _)) => return Some(*at),
            }
        }
        if !last {
            return Some(four[3].0 + 1);
        }
    }
    None
}

fn mismatch(value: &Value, node: &Node, place: &Place<'_>) -> String {
    let found = match value {
        Value::Bool(_) => "bool".to_owned(),
        Value::Number(number) if number.is_f64() => format!("number {number}"),
        Value::Number(_) => "number".to_owned(),
        Value::String(_) => "string".to_owned(),
        Value::Array(_) => "array".to_owned(),
        _ => "object".to_owned(),
    };
    format!(
        "json: cannot unmarshal {found} into Go struct field {}.{} of type {}",
        place.owner,
        place.path.join("."),
        if is_extra(node, place) { "v1.ExtraValue".to_owned() } else { go_type(node) }
    )
}

/// What is said of users beside their names has a type of its own.
fn is_extra(node: &Node, place: &Place<'_>) -> bool {
    matches!(node.kind, Kind::Array(_)) && place.path.last().is_some_and(|name| *name == "extra")
}

fn go_type(node: &Node) -> String {
    match &node.kind {
        Kind::String if node.format.as_deref() == Some("byte") => "[]uint8".to_owned(),
        Kind::String | Kind::IntOrString => "string".to_owned(),
        Kind::Integer => node.format.clone().unwrap_or_else(|| "int64".to_owned()),
        Kind::Number => "float64".to_owned(),
        Kind::Boolean => "bool".to_owned(),
        Kind::Array(items) => format!("[]{}", go_type(items)),
        Kind::Map(values) => format!("map[string]{}", go_type(values)),
        Kind::Object | Kind::Any if node.named.is_some() => structure(node.named.as_deref().unwrap_or_default()),
        Kind::Ref(name) => structure(name),
        Kind::Object | Kind::Any => "map[string]interface {}".to_owned(),
    }
}

/// Returns the name that Go has for a structure of the API.
fn structure(name: &str) -> String {
    let mut parts = name.rsplit('.');
    let (kind, version) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    format!("{version}.{kind}")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::model::builtin;

    #[test]
    fn what_cannot_be_read_is_said_as_kubernetes_says_it() {
        let check = |name: &str, value: Value| {
            let kind = name.rsplit('.').next().unwrap();
            problem(&value, builtin(name).unwrap(), kind).unwrap_or_default()
        };
        let map = "io.k8s.api.core.v1.ConfigMap";
        assert_eq!(
            check(map, json!({"data": [1]})),
            "json: cannot unmarshal array into Go struct field ConfigMap.data of type map[string]string"
        );
        assert_eq!(
            check("io.k8s.api.apps.v1.Deployment", json!({"spec": {"replicas": "x"}})),
            "json: cannot unmarshal string into Go struct field DeploymentSpec.spec.replicas of type int32"
        );
        assert_eq!(
            check("io.k8s.api.coordination.v1.Lease", json!({"spec": {"renewTime": "2026-01-01T00:00:00Z"}})),
            "parsing time \"2026-01-01T00:00:00Z\" as \"2006-01-02T15:04:05.000000Z07:00\": cannot parse \"Z\" as \".000000\""
        );
        assert_eq!(
            check(
                "io.k8s.api.core.v1.Pod",
                json!({"spec": {"containers": [{"resources": {"limits": {"cpu": "lots"}}}]}})
            ),
            QUANTITY
        );
        assert_eq!(check(map, json!({"binaryData": {"a": "not base64!"}})), "illegal base64 data at input byte 3");
        assert_eq!(check(map, json!({"binaryData": {"a": "YWI=", "b": "YQ==", "c": "YWJj", "d": ""}})), "");
        assert_eq!(check(map, json!({"data": {"a": "b"}, "metadata": {"creationTimestamp": null}})), "");
    }
}
