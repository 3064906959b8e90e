//! Objects against the types of built-in kinds: unknown fields, wrong types, what is missing.

use schema::{
    model::{Kind, Node as Type},
    quantity::Quantity,
};

use crate::{
    report::{Object, Report},
    tree::{Data, Entry, Node},
    versions,
};

/// Longest name that a nearest one is looked for.
const LONGEST_NAME: usize = 64;

/// Checks an object against the type of its kind.
pub(crate) fn check(object: &Object<'_>, report: &mut Report) {
    let Some(root) = versions::type_of(object.api_version, object.kind) else { return };
    let mut walk = Walk { object, report };
    walk.value(object.node, root, &mut String::new());
    let metadata = object.node.get("metadata");
    let named = metadata.is_some_and(|metadata| metadata.get("name").or(metadata.get("generateName")).is_some());
    let nameless = object.kind.ends_with("Review") || object.kind == "Eviction";
    if !named && !nameless {
        let at = metadata.map_or(object.node.at, |_| object.node.key_at("metadata"));
        let fix = "add metadata.name".to_owned();
        let message = "the object has no name".to_owned();
        walk.report.add("missing-required", object, at, "metadata.name".to_owned(), message, fix);
    }
}

/// Returns the path of a field below a path.
pub(crate) fn join(path: &str, key: &str) -> String {
    if key.contains(['.', '/', '[']) || key.is_empty() {
        return format!("{path}[{key:?}]");
    }
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

/// Returns the name that is nearest to a given one, if any is near.
pub(crate) fn nearest<'n>(given: &str, names: &[&'n str]) -> Option<&'n str> {
    if given.len() > LONGEST_NAME {
        return None;
    }
    let most = (given.chars().count() / 3).clamp(1, 4);
    let lower = given.to_lowercase();
    let alike = names.iter().filter(|name| name.len().abs_diff(given.len()) <= most);
    let near = alike.map(|name| (distance(&lower, &name.to_lowercase()), *name));
    near.filter(|(distance, _)| *distance <= most).min().map(|(_, name)| name)
}

/// How many letters are to be changed, added, removed or swapped with their neighbour.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut rows: Vec<Vec<usize>> = vec![(0..=b.len()).collect()];
    for i in 1..=a.len() {
        let mut row = vec![i; b.len() + 1];
        for j in 1..=b.len() {
            let changed = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            row[j] = changed.min(rows[i - 1][j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                row[j] = row[j].min(rows[i - 2][j - 2] + 1);
            }
        }
        rows.push(row);
    }
    rows[a.len()][b.len()]
}

struct Walk<'o, 'r> {
    object: &'o Object<'o>,
    report: &'r mut Report,
}

impl Walk<'_, '_> {
    fn value(&mut self, node: &Node, place: &Type, path: &mut String) {
        // `null` says nothing, whatever the type.
        if matches!(node.data, Data::Null) {
            return;
        }
        let place = place.resolve();
        if let Some((want, fix)) = misfit(node, place) {
            let message = format!("it is {}, and the field takes {want}", node.kind());
            self.report.add("wrong-type", self.object, node.at, path.clone(), message, fix);
            return;
        }
        match (&node.data, &place.kind) {
            (Data::Map(entries), Kind::Object) => self.fields(node, entries, place, path),
            (Data::Map(entries), Kind::Map(values)) => {
                for entry in entries {
                    self.value(&entry.value, values, &mut join(path, &entry.key));
                }
            }
            (Data::List(items), Kind::Array(of)) => {
                for (index, item) in items.iter().enumerate() {
                    self.value(item, of, &mut format!("{path}[{index}]"));
                }
            }
            _ => {}
        }
    }

    fn fields(&mut self, node: &Node, entries: &[Entry], place: &Type, path: &str) {
        // Of a type that lists no fields nothing is known.
        if place.properties.is_empty() {
            return;
        }
        for entry in entries {
            let below = join(path, &entry.key);
            if let Some(field) = place.properties.get(&entry.key) {
                self.value(&entry.value, field, &mut below.clone());
            } else if !place.preserve_unknown {
                let names = place.properties.keys().map(String::as_str).filter(|_| !self.report.is_full());
                let fix = match nearest(&entry.key, &names.collect::<Vec<_>>()) {
                    Some(name) => format!("write {name}"),
                    None => "remove it; check the indentation if it belongs elsewhere".to_owned(),
                };
                let message = format!("there is no field {:?} here", entry.key);
                self.report.add("unknown-field", self.object, entry.at, below, message, fix);
            }
        }
        for name in place.required.iter().filter(|name| node.get(name).is_none()) {
            let message = format!("{name} is missing");
            let fix = format!("add {name}");
            self.report.add("missing-required", self.object, node.at, join(path, name), message, fix);
        }
    }
}

/// Says what a place takes and what to write, if a value does not fit.
fn misfit(node: &Node, place: &Type) -> Option<(String, String)> {
    let quantity = place.format.as_deref() == Some("quantity");
    let (want, fix) = match (&node.data, &place.kind) {
        (Data::Text(text), Kind::String) if quantity => {
            if Quantity::parse(text).is_some() {
                return None;
            }
            ("a quantity", "write a number with a unit as in 500m, 2 or 128Mi".to_owned())
        }
        (Data::Int(_) | Data::Float(_), Kind::String) if quantity => return None,
        (_, Kind::Any)
        | (Data::Text(_), Kind::String | Kind::IntOrString)
        | (Data::Bool(_), Kind::Boolean)
        | (Data::Int(_) | Data::Float(_), Kind::Number)
        | (Data::List(_), Kind::Array(_))
        | (Data::Map(_), Kind::Object | Kind::Map(_) | Kind::Ref(_)) => return None,
        (Data::Int(value), Kind::Integer | Kind::IntOrString) => {
            if place.format.as_deref() != Some("int32") || i32::try_from(*value).is_ok() {
                return None;
            }
            ("a number of 32 bits", "write a smaller number".to_owned())
        }
        (Data::Float(value), Kind::Integer) if value.fract() == 0.0 && value.abs() < 9e15 => return None,
        (Data::Int(value), Kind::String) => ("text", format!("quote it: \"{value}\"")),
        (Data::Bool(value), Kind::String) => ("text", format!("quote it: \"{value}\"")),
        (Data::Float(_), Kind::String) => ("text", "quote it".to_owned()),
        (_, Kind::String) => ("text", "write text".to_owned()),
        (Data::Text(text), Kind::Integer | Kind::Number) if text.parse::<f64>().is_ok() => {
            ("a number", format!("remove the quotes: {text}"))
        }
        (_, Kind::Integer) => ("a whole number", "write a whole number".to_owned()),
        (_, Kind::Number) => ("a number", "write a number".to_owned()),
        (Data::Text(text), Kind::Boolean) if text == "true" || text == "false" => {
            ("a boolean", format!("remove the quotes: {text}"))
        }
        (_, Kind::Boolean) => ("a boolean", "write true or false".to_owned()),
        (_, Kind::Array(_)) => ("a list", "write a list: each item begins with -".to_owned()),
        (_, Kind::IntOrString) => ("a whole number or text", "write a whole number or text".to_owned()),
        (_, Kind::Object | Kind::Map(_) | Kind::Ref(_)) => ("an object", "write fields below it".to_owned()),
    };
    Some((want.to_owned(), fix))
}
