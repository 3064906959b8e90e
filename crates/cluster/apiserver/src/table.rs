//! Objects as the client wants them shown: whole, as a `Table`, or as metadata alone.

use http::HeaderMap;
use serde_json::{Value, json};

use crate::registry::{Cell, Resource};

/// The form of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// The object itself.
    Whole,
    /// `meta.k8s.io/v1` `Table`; `Object` says what each row carries.
    Table(Include),
    /// `PartialObjectMetadata` and its list.
    Metadata,
}

/// What a table's rows carry of their objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Include {
    /// Nothing.
    Nothing,
    /// Its metadata.
    Metadata,
    /// All of it.
    Object,
}

/// Returns whether a form that is asked for is one of those that the paths of built-in kinds name.
pub(crate) fn routed(headers: &HeaderMap) -> bool {
    let Some(accept) = headers.get(http::header::ACCEPT).and_then(|value| value.to_str().ok()) else { return true };
    accept.split(',').any(|wanted| {
        let media = wanted.split(';').next().unwrap_or_default().trim();
        matches!(media, "" | "*/*" | "application/json" | "application/yaml" | "application/vnd.kubernetes.protobuf")
    })
}

/// Returns the form that the `Accept` header asks for first, of those that are served, and whether it is that of one
/// object.
///
/// `None`: it accepts none of them.
pub(crate) fn form(headers: &HeaderMap, include: Option<&str>) -> Option<(Form, bool)> {
    let Some(accept) = headers.get(http::header::ACCEPT).and_then(|value| value.to_str().ok()) else {
        return Some((Form::Whole, true));
    };
    for wanted in accept.split(',') {
        let mut parameters = wanted.split(';').map(str::trim);
        let media = parameters.next().unwrap_or_default();
        if !matches!(media, "application/json" | "application/*" | "*/*" | "") {
            continue;
        }
        let parameters: Vec<&str> = parameters.collect();
        let kind = parameters.iter().find_map(|parameter| parameter.strip_prefix("as="));
        let known = parameters.iter().all(|parameter| !parameter.starts_with("g=") || *parameter == "g=meta.k8s.io")
            && parameters.iter().all(|parameter| !parameter.starts_with("v=") || *parameter == "v=v1");
        match kind {
            None => return Some((Form::Whole, true)),
            Some("Table") if known => {
                let form = Form::Table(match include {
                    Some("None") => Include::Nothing,
                    Some("Object") => Include::Object,
                    _ => Include::Metadata,
                });
                return Some((form, true));
            }
            Some("PartialObjectMetadata") if known => return Some((Form::Metadata, true)),
            Some("PartialObjectMetadataList") if known => return Some((Form::Metadata, false)),
            Some(_) => {}
        }
    }
    None
}

/// Returns whether a client takes the object itself: some answers have no other form.
pub(crate) fn takes_whole(headers: &HeaderMap) -> bool {
    let accept = headers.get(http::header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    accept.is_empty() || accept.split(',').any(|wanted| !wanted.contains("as="))
}

/// Returns the one object in the form asked for.
pub(crate) fn one(form: Form, resource: &Resource, object: Value, now: jiff::Timestamp) -> Value {
    match form {
        Form::Whole => object,
        Form::Metadata => metadata(&object),
        Form::Table(include) => {
            let version = object["metadata"]["resourceVersion"].clone();
            table(resource, &[object], include, &json!({"resourceVersion": version}), now)
        }
    }
}

/// Returns a `Scale` in the form asked for.
pub(crate) fn scale(form: Form, object: Value, now: jiff::Timestamp) -> Value {
    let Form::Table(include) = form else {
        return if form == Form::Metadata { metadata(&object) } else { object };
    };
    let heading = |name: &str, kind: &str, format: &str| json!({"name": name, "type": kind, "format": format, "description": "", "priority": 0});
    let count = |part: &str| object[part]["replicas"].as_i64().unwrap_or_default();
    let made = object["metadata"]["creationTimestamp"].as_str().and_then(|time| time.parse::<jiff::Timestamp>().ok());
    let since = made.map_or_else(|| "<unknown>".to_owned(), |time| age(now.as_second() - time.as_second()));
    let mut row = json!({"cells": [object["metadata"]["name"], count("spec"), count("status"), since]});
    match include {
        Include::Nothing => row["object"] = Value::Null,
        Include::Metadata => row["object"] = metadata(&object),
        Include::Object => row["object"] = object.clone(),
    }
    json!({"kind": "Table", "apiVersion": "meta.k8s.io/v1",
        "metadata": {"resourceVersion": object["metadata"]["resourceVersion"]},
        "columnDefinitions": [heading("Name", "string", ""), heading("Desired", "integer", ""),
            heading("Available", "integer", ""), heading("Age", "string", "")],
        "rows": [row]})
}

/// Returns a list in the form asked for. `list_metadata` is the list's own metadata.
pub(crate) fn many(
    form: Form,
    resource: &Resource,
    items: &[Value],
    list_metadata: &Value,
    now: jiff::Timestamp,
) -> Value {
    match form {
        Form::Whole => json!({
            "kind": resource.list_kind, "apiVersion": resource.gvk.api_version(), "metadata": list_metadata,
            "items": items.iter().map(|item| if resource.custom { item.clone() } else { unnamed(item) }).collect::<Vec<_>>(),
        }),
        Form::Metadata => json!({
            "kind": "PartialObjectMetadataList", "apiVersion": "meta.k8s.io/v1", "metadata": list_metadata,
            "items": items.iter().map(metadata).collect::<Vec<_>>(),
        }),
        Form::Table(include) => table(resource, items, include, list_metadata, now),
    }
}

/// The objects of built-in lists do not say their kind again.
fn unnamed(object: &Value) -> Value {
    let fields = object.as_object().into_iter().flatten();
    fields
        .filter(|(name, _)| !matches!(name.as_str(), "apiVersion" | "kind"))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect::<serde_json::Map<_, _>>()
        .into()
}

fn metadata(object: &Value) -> Value {
    json!({"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": object["metadata"]})
}

fn table(resource: &Resource, items: &[Value], include: Include, list_metadata: &Value, now: jiff::Timestamp) -> Value {
    // Some kinds say more than their name, or say it last.
    let named = resource.columns.iter().any(|column| column.name == "Name" && column.format == "name");
    let mut columns = Vec::new();
    if !named {
        columns.push(json!({"name": "Name", "type": "string", "format": "name", "priority": 0,
            "description": "Name must be unique within a namespace."}));
    }
    columns.extend(resource.columns.iter().map(|column| {
        json!({"name": column.name, "type": column.kind, "format": column.format, "description": "", "priority": column.priority})
    }));
    let rows: Vec<Value> = items
        .iter()
        .map(|item| {
            let mut cells = if named { Vec::new() } else { vec![item["metadata"]["name"].clone()] };
            let cell = if resource.custom { custom_cell } else { cell };
            cells.extend(resource.columns.iter().map(|column| cell(&column.cell, &column.kind, item, now)));
            let mut row = json!({"cells": cells});
            match include {
                Include::Nothing => row["object"] = Value::Null,
                Include::Metadata => row["object"] = metadata(item),
                Include::Object => row["object"] = item.clone(),
            }
            row
        })
        .collect();
    json!({"kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": list_metadata, "columnDefinitions": columns, "rows": rows})
}

fn cell(cell: &Cell, kind: &str, item: &Value, now: jiff::Timestamp) -> Value {
    match cell {
        Cell::Of(show) => show(item),
        Cell::At(show) => show(item, now),
        Cell::Age(path) if kind == "date" => path.find(item).first().map_or(Value::Null, |time| (*time).clone()),
        Cell::Age(path) => {
            match path.find(item).first().and_then(|time| time.as_str()?.parse::<jiff::Timestamp>().ok()) {
                Some(time) => age(now.as_second() - time.as_second()).into(),
                None => "<unknown>".into(),
            }
        }
        Cell::Path(path) => {
            let found = path.find(item);
            match (kind, found.as_slice()) {
                (_, []) => Value::Null,
                ("integer" | "number" | "boolean" | "date", [first, ..]) => (*first).clone(),
                (_, all) => all.iter().map(|value| schema::jsonpath::text(value)).collect::<Vec<_>>().join(",").into(),
            }
        }
    }
}

/// What a definition's column shows of an object: the first that its path leads to, if it is of the column's type.
fn custom_cell(cell: &Cell, kind: &str, item: &Value, now: jiff::Timestamp) -> Value {
    let (Cell::Path(path) | Cell::Age(path)) = cell else { return self::cell(cell, kind, item, now) };
    let found = path.find(item);
    let Some(first) = found.first() else { return Value::Null };
    match (kind, first) {
        ("string", value) => schema::jsonpath::text(value).into(),
        #[expect(clippy::cast_possible_truncation, reason = "as Kubernetes does with what has a fraction")]
        ("integer", Value::Number(number)) => {
            number.as_i64().or_else(|| number.as_f64().map(|number| number as i64)).map_or(Value::Null, Value::from)
        }
        ("number", Value::Number(_)) | ("boolean", Value::Bool(_)) => (*first).clone(),
        ("date", Value::String(text)) => match text.parse::<jiff::Timestamp>() {
            Ok(time) => age(now.as_second() - time.as_second()).into(),
            Err(_) => "<invalid>".into(),
        },
        _ => Value::Null,
    }
}

/// Returns a duration as `kubectl` prints ages: `45s`, `3m20s`, `5h`, `2d4h`, `3y`.
pub(crate) fn age(seconds: i64) -> String {
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    let pair = |whole: i64, unit: &str, rest: i64, small: &str| {
        if rest == 0 { format!("{whole}{unit}") } else { format!("{whole}{unit}{rest}{small}") }
    };
    match seconds {
        i64::MIN..=-2 => "<invalid>".into(),
        -1..=119 => format!("{}s", seconds.max(0)),
        _ if minutes < 10 => pair(minutes, "m", seconds % 60, "s"),
        _ if minutes < 180 => format!("{minutes}m"),
        _ if hours < 8 => pair(hours, "h", minutes % 60, "m"),
        _ if hours < 48 => format!("{hours}h"),
        _ if days < 8 => pair(days, "d", hours % 24, "h"),
        _ if days < 365 * 2 => format!("{days}d"),
        _ if days < 365 * 8 => pair(days / 365, "y", days % 365, "d"),
        _ => format!("{}y", days / 365),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_read_as_kubectl_prints_them() {
        for (seconds, shown) in [
            (0, "0s"),
            (119, "119s"),
            (120, "2m"),
            (200, "3m20s"),
            (3600, "60m"),
            (4 * 3600, "4h"),
            (3 * 86_400 + 3600, "3d1h"),
            (30 * 86_400, "30d"),
        ] {
            assert_eq!(age(seconds), shown);
        }
    }

    #[test]
    fn the_first_form_that_is_served_is_taken() {
        let of = |accept: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(http::header::ACCEPT, accept.parse().unwrap());
            form(&headers, None).map(|(form, _)| form)
        };
        assert_eq!(
            of("application/json;as=Table;v=v1;g=meta.k8s.io,application/json"),
            Some(Form::Table(Include::Metadata))
        );
        assert_eq!(of("application/vnd.kubernetes.protobuf,application/json"), Some(Form::Whole));
        assert_eq!(of("application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"), Some(Form::Metadata));
        assert_eq!(of("application/vnd.kubernetes.protobuf"), None);
        assert_eq!(of("*/*"), Some(Form::Whole));
    }
}
