//! Text where Kubernetes has a number or a truth becomes one.

use schema::model::{Kind, Node};
use serde_json::Value as Json;

use crate::Error;

/// Settles the fields of an object of a built-in kind; others stay as they are.
pub(crate) fn settle(object: &mut Json, place: &str) -> Result<(), Error> {
    let text = |name: &str| object[name].as_str().unwrap_or_default().to_owned();
    let Some(node) = schema::model::of_kind(&text("apiVersion"), &text("kind")) else { return Ok(()) };
    walk(object, node, place)
}

fn walk(value: &mut Json, node: &Node, place: &str) -> Result<(), Error> {
    let node = node.resolve();
    match (&node.kind, value) {
        (Kind::Object, Json::Object(entries)) => {
            for (name, inner) in entries {
                if let Some(field) = node.properties.get(name) {
                    walk(inner, field, &format!("{place}.{name}"))?;
                }
            }
        }
        (Kind::Map(values), Json::Object(entries)) => {
            for (name, inner) in entries {
                walk(inner, values, &format!("{place}.{name}"))?;
            }
        }
        (Kind::Array(items), Json::Array(list)) => {
            for (index, item) in list.iter_mut().enumerate() {
                walk(item, items, &format!("{place}[{index}]"))?;
            }
        }
        (Kind::Integer | Kind::Number | Kind::Boolean, value) => scalar(value, &node.kind, place)?,
        (Kind::IntOrString, value) => {
            if let Some(number) = value.as_str().and_then(|text| text.parse::<i64>().ok()) {
                *value = Json::from(number);
            }
        }
        _ => {}
    }
    Ok(())
}

fn scalar(value: &mut Json, kind: &Kind, place: &str) -> Result<(), Error> {
    let Some(text) = value.as_str() else { return Ok(()) };
    let (read, wanted) = match kind {
        Kind::Integer => (text.parse::<i64>().ok().map(Json::from), "a whole number"),
        Kind::Number => (text.parse::<f64>().ok().map(Json::from), "a number"),
        _ => (text.parse::<bool>().ok().map(Json::from), "true or false"),
    };
    match read {
        Some(read) => {
            *value = read;
            Ok(())
        }
        None => Err(Error::Substitute { place: place.to_owned(), reason: format!("{text:?} is not {wanted}") }),
    }
}
