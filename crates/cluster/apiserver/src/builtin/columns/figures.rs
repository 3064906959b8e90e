//! Columns of what a node measures, as metrics-server prints them.

use schema::quantity::Quantity;
use serde_json::Value;

use super::{column, list};
use crate::registry::{Cell, Column};

fn shown(name: &str, format: &str, cell: fn(&Value) -> Value) -> Column {
    Column { format: format.to_owned(), ..column(name, "string", 0, Cell::Of(cell)) }
}

fn window() -> Column {
    shown("Window", "duration", |object| object["window"].clone())
}

pub(in crate::builtin) fn of_node() -> Vec<Column> {
    vec![
        shown("cpu", "quantity", |node| node["usage"]["cpu"].clone()),
        shown("memory", "quantity", |node| node["usage"]["memory"].clone()),
        window(),
    ]
}

pub(in crate::builtin) fn of_pod() -> Vec<Column> {
    vec![
        shown("cpu", "quantity", |pod| sum(pod, "cpu")),
        shown("memory", "quantity", |pod| sum(pod, "memory")),
        window(),
    ]
}

/// What all containers of a pod use.
fn sum(pod: &Value, name: &str) -> Value {
    let each = list(pod, "containers").iter().filter_map(|one| Quantity::parse(one["usage"][name].as_str()?));
    each.reduce(|all, one| all.plus(one).unwrap_or(all)).map_or(Value::Null, |all| all.to_string().into())
}
