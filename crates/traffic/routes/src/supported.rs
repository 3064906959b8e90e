//! Names what an object asks for and what is not acted on.
//!
//! The schemas of [`crate::crds`] list exactly what is acted on, so an object is
//! compared with them: on a cluster whose own definitions allow more, nothing is
//! ignored in silence.

use serde_json::Value;

/// Returns the first thing in `value` that `schema` does not list, as a sentence; `path` is where `value` stands.
pub(crate) fn refused(value: &Value, schema: &Value, path: &str) -> Option<String> {
    if schema["x-kubernetes-preserve-unknown-fields"] == true {
        return None;
    }
    if let Some(allowed) = schema["enum"].as_array()
        && !allowed.contains(value)
    {
        let allowed: Vec<_> =
            allowed.iter().map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned)).collect();
        return Some(format!("{path}: {value} is not supported; use {}", allowed.join(" or ")));
    }
    match value {
        Value::Object(fields) => fields.iter().find_map(|(name, field)| {
            let path = format!("{path}.{name}");
            if field.is_null() {
                return None;
            }
            match (schema["properties"].get(name), schema.get("additionalProperties")) {
                (Some(schema), _) | (None, Some(schema)) => refused(field, schema, &path),
                (None, None) => Some(format!("{path} is not supported; take it away")),
            }
        }),
        Value::Array(items) => {
            items.iter().enumerate().find_map(|(at, item)| refused(item, &schema["items"], &format!("{path}[{at}]")))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_the_schema_does_not_list_is_named_with_its_place() {
        let schema = json!({"properties": {
            "a": {"type": "array", "items": {"properties": {"b": {"enum": ["X"]}}}},
            "m": {"additionalProperties": {"type": "string"}},
        }});
        let of = |value: Value| refused(&value, &schema, "spec");
        assert_eq!(of(json!({"a": [{"b": "X"}], "m": {"any": "y"}, "gone": null})), None);
        assert_eq!(of(json!({"a": [{}, {"c": 1}]})).unwrap(), "spec.a[1].c is not supported; take it away");
        assert_eq!(of(json!({"a": [{"b": "Y"}]})).unwrap(), "spec.a[0].b: \"Y\" is not supported; use X");
    }
}
