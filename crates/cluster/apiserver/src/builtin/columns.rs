//! The columns that `kubectl get` shows of the built-in kinds, as the printers of
//! Kubernetes 1.36 fill them.

pub(super) mod core;
pub(super) mod devices;
pub(super) mod figures;
pub(super) mod network;
pub(super) mod settings;
pub(super) mod workloads;

use std::collections::BTreeSet;

use jiff::Timestamp;
use schema::{jsonpath::Path, selector::Labels};
use serde_json::Value;

use crate::{
    registry::{Cell, Column},
    table,
};

fn column(name: &str, kind: &str, priority: i64, cell: Cell) -> Column {
    Column { name: name.to_owned(), kind: kind.to_owned(), format: String::new(), priority, cell }
}

fn of(name: &str, cell: fn(&Value) -> Value) -> Column {
    column(name, "string", 0, Cell::Of(cell))
}

fn wide(name: &str, cell: fn(&Value) -> Value) -> Column {
    column(name, "string", 1, Cell::Of(cell))
}

fn number(name: &str, cell: fn(&Value) -> Value) -> Column {
    column(name, "integer", 0, Cell::Of(cell))
}

fn boolean(name: &str, cell: fn(&Value) -> Value) -> Column {
    column(name, "boolean", 0, Cell::Of(cell))
}

fn at(name: &str, priority: i64, cell: fn(&Value, Timestamp) -> Value) -> Column {
    column(name, "string", priority, Cell::At(cell))
}

/// The object's name, where a kind shows more than that or elsewhere than first.
fn name(priority: i64, cell: fn(&Value) -> Value) -> Column {
    Column { format: "name".to_owned(), ..column("Name", "string", priority, Cell::Of(cell)) }
}

fn age() -> Column {
    let path = Path::parse(".metadata.creationTimestamp").expect("the path is valid");
    column("Age", "string", 0, Cell::Age(path))
}

fn list<'a>(value: &'a Value, name: &str) -> &'a [Value] {
    value[name].as_array().map_or(&[], Vec::as_slice)
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_default()
}

fn or(text: &str, otherwise: &str) -> Value {
    if text.is_empty() { otherwise.into() } else { text.into() }
}

fn or_none(text: &str) -> Value {
    or(text, "<none>")
}

fn joined(values: impl IntoIterator<Item = impl AsRef<str>>) -> String {
    values.into_iter().map(|value| value.as_ref().to_owned()).collect::<Vec<_>>().join(",")
}

fn int(value: &Value) -> Value {
    value.as_i64().unwrap_or_default().into()
}

fn flag(value: &Value, otherwise: bool) -> Value {
    value.as_bool().unwrap_or(otherwise).into()
}

fn count(value: &Value, name: &str) -> usize {
    value[name].as_object().map_or(0, serde_json::Map::len)
}

/// An integer or text as it is printed.
fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// The time since `value`, or `otherwise` if it is no time.
fn since(value: &Value, now: Timestamp, otherwise: &str) -> String {
    match value.as_str().and_then(|text| text.parse::<Timestamp>().ok()) {
        Some(time) => table::age(now.as_second() - time.as_second()),
        None => otherwise.to_owned(),
    }
}

/// `a,b,c + 2 more...`, or `empty` if there is none.
fn first(values: &[String], most: usize, empty: &str) -> String {
    if values.is_empty() {
        return empty.to_owned();
    }
    let shown = values[..values.len().min(most)].join(",");
    if values.len() > most { format!("{shown} + {} more...", values.len() - most) } else { shown }
}

/// Labels as `a=b,c=d`, sorted by name.
fn labels(map: &Value) -> Value {
    let mut pairs: Vec<String> = map
        .as_object()
        .into_iter()
        .flatten()
        .map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default()))
        .collect();
    pairs.sort();
    or_none(&pairs.join(","))
}

/// A `LabelSelector` as kubectl writes selectors.
fn selector(selector: &Value) -> String {
    Labels::text_of(selector).unwrap_or_else(|_| "<error>".to_owned())
}

fn containers(pod: &Value) -> &[Value] {
    list(&pod["spec"], "containers")
}

fn names(template: &Value) -> Value {
    joined(containers(template).iter().map(|container| text(container, "name"))).into()
}

fn images(template: &Value) -> Value {
    joined(containers(template).iter().map(|container| text(container, "image"))).into()
}

/// The addresses of a load balancer.
fn balancer(status: &Value) -> String {
    let addresses: BTreeSet<&str> = list(&status["loadBalancer"], "ingress")
        .iter()
        .map(|ingress| if text(ingress, "ip").is_empty() { text(ingress, "hostname") } else { text(ingress, "ip") })
        .filter(|address| !address.is_empty())
        .collect();
    joined(addresses)
}

pub(super) fn age_only() -> Vec<Column> {
    vec![age()]
}

pub(super) fn created_at() -> Vec<Column> {
    let path = Path::parse(".metadata.creationTimestamp").expect("the path is valid");
    vec![column("Created At", "date", 0, Cell::Path(path))]
}
