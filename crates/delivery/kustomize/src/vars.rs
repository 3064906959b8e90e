//! `vars`: `$(NAME)` replaced by a field of a resource.

use std::{
    collections::{BTreeMap, BTreeSet},
    rc::Rc,
};

use gotmpl::gofmt;

use crate::{
    fail::{Fail, Step},
    fieldspec::{Creation, FieldSpec, apply, visit},
    id::effective,
    parts::Var,
    path::{lookup, split_fields},
    resmap::ResMap,
    yaml::{Node, Scalar, Style, Tag},
};

/// Marks the resources that variables are about.
pub(crate) fn mark(map: &mut ResMap, vars: &[Var]) -> Step<()> {
    for var in vars {
        let namespace = effective(&var.namespace.as_str().into(), false);
        let found = map.matching_any(|id| {
            *id.name == *var.object && id.gvk() == var.gvk && (var.namespace.is_empty() || id.namespace == namespace)
        });
        match found.as_slice() {
            [] => {}
            [at] => map.list_mut()[*at].memory_mut().vars.push(var.name.as_str().into()),
            several => {
                return Err(Fail::build(format!(
                    "found {} resId matches for var {} (unable to disambiguate)",
                    several.len(),
                    shown(var)
                )));
            }
        }
    }
    Ok(())
}

fn shown(var: &Var) -> String {
    format!("{{{} {} {{{}}}}}", var.name, var.gvk, var.field)
}

/// Adds variables to those that are known.
pub(crate) fn add(known: &mut BTreeMap<String, Var>, vars: impl IntoIterator<Item = Var>) -> Step<()> {
    for var in vars {
        if known.contains_key(&var.name) {
            return Err(Fail::said(format!("var '{}' already encountered", var.name)));
        }
        known.insert(var.name.clone(), var);
    }
    Ok(())
}

#[derive(Clone, Debug)]
enum Value {
    Scalar(Scalar, String),
    /// A mapping or list, which no text can hold.
    Other,
}

/// Replaces all variables; returns the names of those that nothing used.
pub(crate) fn resolve(map: &mut ResMap, vars: &BTreeMap<String, Var>, specs: &[FieldSpec]) -> Step<Vec<String>> {
    if vars.is_empty() {
        return Ok(Vec::new());
    }
    let mut values = BTreeMap::new();
    for (name, var) in vars {
        values.insert(name.as_str(), value_of(map, var)?);
    }
    let mut used = BTreeSet::new();
    for resource in map.list_mut() {
        let (api, kind) = (resource.api().to_owned(), resource.kind().to_owned());
        for spec in specs.iter().filter(|spec| spec.gvk.selects(&api, &kind)) {
            let mut found = false;
            visit(spec, &resource.node, &mut |_| found = true);
            if found {
                apply(spec, &mut resource.node, Creation::NONE, &mut |place| set(place, &values, &mut used))?;
                // The next field may be written together with this one.
                resource.settle();
            }
        }
    }
    Ok(values.keys().filter(|name| !used.contains(**name)).map(|name| (*name).to_owned()).collect())
}

fn value_of(map: &ResMap, var: &Var) -> Step<Value> {
    let resource = map.list().iter().find(|resource| resource.memory().vars.iter().any(|name| **name == *var.name));
    let Some(resource) = resource else {
        return Err(Fail::build(format!(
            "var '{}' cannot be mapped to a field in the set of known resources",
            shown(var)
        )));
    };
    let mut path = Vec::new();
    for part in split_fields(&var.field) {
        match part.strip_suffix(']').and_then(|inner| inner.rsplit_once('[')) {
            Some((name, index)) if !index.is_empty() && index.bytes().all(|b| b.is_ascii_digit()) => {
                if !name.is_empty() {
                    path.push(name.to_owned());
                }
                path.push(index.to_owned());
            }
            _ => path.push(part),
        }
    }
    let missing =
        || Fail::build(format!("field specified in var '{}' not found in corresponding resource", shown(var)));
    let node = lookup(&resource.node, &path).map_err(|_| missing())?.ok_or_else(missing)?;
    let Node::Scalar(scalar) = node else { return Ok(Value::Other) };
    let typed = |value: String, tag: Tag| (Scalar::new(value.as_str(), tag, Style::Plain), value);
    let (scalar, text) = match scalar.tag {
        Tag::Int => typed(scalar.value.parse::<i64>().map_err(|_| missing())?.to_string(), Tag::Int),
        Tag::Float => {
            let value: f64 = scalar.value.parse().map_err(|_| missing())?;
            (Scalar::new(format!("{value}"), Tag::Float, Style::Plain), gofmt::float_g(value))
        }
        Tag::Bool => typed(
            match &*scalar.value {
                "true" | "True" | "TRUE" => "true".to_owned(),
                _ => "false".to_owned(),
            },
            Tag::Bool,
        ),
        _ => typed(scalar.value.to_string(), Tag::Str),
    };
    Ok(Value::Scalar(scalar, text))
}

fn set(place: &mut Node, values: &BTreeMap<&str, Value>, used: &mut BTreeSet<String>) -> Step<()> {
    match place {
        place if place.is_null() => Ok(()),
        Node::Scalar(scalar) => {
            if scalar.is_stringish() {
                fill(scalar, values, used);
            }
            Ok(())
        }
        Node::Map(map) => {
            for (key, value) in &mut Rc::make_mut(map).entries {
                if key.odd {
                    return Err(Fail::build(format!("invalid map key: value='{}', tag='!!int'", key.text)));
                }
                if let Node::Scalar(scalar) = value
                    && scalar.is_stringish()
                {
                    fill(scalar, values, used);
                }
            }
            Ok(())
        }
        Node::Seq(seq) => {
            for item in &mut Rc::make_mut(seq).items {
                match item {
                    Node::Scalar(scalar) if scalar.is_stringish() => fill(scalar, values, used),
                    _ => return Err(Fail::build("invalid value type expect a string")),
                }
            }
            Ok(())
        }
    }
}

fn fill(scalar: &mut Scalar, values: &BTreeMap<&str, Value>, used: &mut BTreeSet<String>) {
    let (group, new) = (scalar.group, replaced(&scalar.value, values, used));
    *scalar = Scalar { group, written: group != 0, style: Style::Plain, ..new };
}

fn replaced(input: &str, values: &BTreeMap<&str, Value>, used: &mut BTreeSet<String>) -> Scalar {
    let bytes = input.as_bytes();
    let mut out = String::new();
    let (mut start, mut at) = (0, 0);
    while at < bytes.len() {
        if bytes[at] != b'$' || at + 1 >= bytes.len() {
            at += 1;
            continue;
        }
        out.push_str(&input[start..at]);
        let rest = &input[at + 1..];
        let taken = match (bytes[at + 1], rest.find(')')) {
            (b'$', _) => {
                out.push('$');
                1
            }
            (b'(', Some(end)) => {
                let name = &rest[1..end];
                match values.get(name) {
                    Some(Value::Scalar(scalar, text)) => {
                        used.insert(name.to_owned());
                        if input.len() == name.len() + 3 {
                            return scalar.clone();
                        }
                        out.push_str(text);
                    }
                    _ => out.push_str(&input[at..=at + 1 + end]),
                }
                end + 1
            }
            (b'(', None) => {
                out.push_str("$(");
                1
            }
            _ => {
                let c = rest.chars().next().unwrap_or('$');
                out.push('$');
                out.push(c);
                c.len_utf8()
            }
        };
        at += 1 + taken;
        start = at;
    }
    out.push_str(&input[start..]);
    Scalar::new(out, Tag::Str, Style::Plain)
}
