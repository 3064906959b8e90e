//! How values come together: files, `--set`, chart defaults, subcharts, globals.

use super::{
    Error, Options, Previous,
    chart::{Chart, Dependency},
};
use gotmpl::{
    Value,
    sprig::{Constraint, Version},
    value::Entries,
    yaml,
};

/// Returns what the caller gives: values files merged in order, then `--set`.
pub(super) fn given(options: &Options) -> Result<Value, Error> {
    let base = Value::map(Entries::new());
    for text in &options.values {
        let read = yaml::read(text)
            .map_err(|error| Error::Values { reason: format!("error converting YAML to JSON: {error}") })?
            .floats();
        match read {
            Value::Nil => {}
            Value::Map(..) => merge_files(&base, &read),
            other => {
                let reason = format!(
                    "error unmarshaling JSON: while decoding JSON: json: cannot unmarshal {} into Go value of type \
                     map[string]interface {{}}",
                    super::functions::go_kind(&other)
                );
                return Err(Error::Values { reason });
            }
        }
    }
    for rank in 0..=4 {
        for item in options.set.iter().filter(|item| item.rank() == rank) {
            item.lay_over(&base).map_err(|reason| Error::Values { reason })?;
        }
    }
    Ok(base)
}

/// Lays what is given over an earlier release's values, as far as asked; may change the chart's own values.
pub(super) fn previous(chart: &mut Chart, given: Value, previous: &Previous) -> Value {
    let read = |json: &serde_json::Value| match json {
        serde_json::Value::Object(_) => Value::from_json(json).floats(),
        _ => Value::map(Entries::new()),
    };
    match previous {
        Previous::Forgotten => given,
        Previous::Otherwise { given: old } if given.truth() || !read(old).truth() => given,
        Previous::Otherwise { given: old } => read(old),
        Previous::Under { given: old } => {
            coalesce_tables(&given, &read(old), Keep::Drop);
            given
        }
        Previous::Instead { given: old, chart: defaults } => {
            let old = read(old);
            let own = old.deep_copy();
            coalesce_tables(&own, &read(defaults), Keep::Drop);
            chart.values = own;
            coalesce_tables(&given, &old, Keep::Drop);
            given
        }
    }
}

/// Lays values over others; `null` takes one away.
pub(super) fn over(given: Value, own: &Value) -> Value {
    coalesce_tables(&given, own, Keep::Drop);
    given
}

fn merge_files(to: &Value, from: &Value) {
    let (Some(to), Some(from)) = (to.as_map(), from.as_map()) else { return };
    for (key, value) in from.borrow().iter() {
        let present = to.borrow().get(key).cloned();
        match present {
            Some(present @ Value::Map(..)) if matches!(value, Value::Map(..)) => merge_files(&present, value),
            _ => {
                to.borrow_mut().insert(key.clone(), value.clone());
            }
        }
    }
}

/// Drops children that conditions or tags turn off, gives aliases, imports children's values.
pub(super) fn process_dependencies(chart: &mut Chart, given: &Value) -> Result<(), Error> {
    enable(chart, given, "")?;
    import(chart)?;
    chart.place("");
    Ok(())
}

fn enable(chart: &mut Chart, given: &Value, prefix: &str) -> Result<(), Error> {
    if chart.dependencies.is_empty() {
        return Ok(());
    }
    let fits = |dependency: &Dependency, child: &Chart| {
        child.name == dependency.name
            && Constraint::parse(&dependency.version)
                .is_ok_and(|range| Version::parse(&child.version).is_ok_and(|version| range.admits(&version)))
    };
    let mut children: Vec<Chart> = chart
        .children
        .iter()
        .filter(|child| !chart.dependencies.iter().any(|dependency| fits(dependency, child)))
        .cloned()
        .collect();
    for dependency in &mut chart.dependencies {
        if let Some(child) = chart.children.iter().find(|child| fits(dependency, child)) {
            let mut child = child.clone();
            if !dependency.alias.is_empty() {
                child.name.clone_from(&dependency.alias);
                if !child.dependencies.is_empty() {
                    child.known_as.clone_from(&dependency.alias);
                }
            }
            children.push(child);
        }
        if !dependency.alias.is_empty() {
            dependency.name.clone_from(&dependency.alias);
        }
        dependency.enabled = true;
    }
    chart.children = children;
    let values = coalesce(chart, given.deep_copy())?;
    for dependency in &mut chart.dependencies {
        tags(dependency, &values);
        for condition in &dependency.conditions {
            if let Some(Value::Bool(on)) = path(&values, &format!("{prefix}{condition}")) {
                dependency.enabled = on;
                break;
            }
        }
    }
    let off: Vec<String> = chart.dependencies.iter().filter(|d| !d.enabled).map(|d| d.name.clone()).collect();
    chart.children.retain(|child| !off.contains(&child.name));
    chart.dependencies.retain(|dependency| dependency.enabled);
    for child in &mut chart.children {
        let inner = format!("{prefix}{}.", child.name);
        enable(child, &values, &inner)?;
    }
    Ok(())
}

fn tags(dependency: &mut Dependency, values: &Value) {
    let Some(table) = values.get("tags") else { return };
    let set: Vec<bool> = dependency
        .tags
        .iter()
        .filter_map(|tag| match table.get(tag) {
            Some(Value::Bool(on)) => Some(on),
            _ => None,
        })
        .collect();
    dependency.enabled = set.is_empty() || set.contains(&true);
}

fn path(values: &Value, path: &str) -> Option<Value> {
    path.split('.').try_fold(values.clone(), |value, key| value.get(key))
}

fn import(chart: &mut Chart) -> Result<(), Error> {
    for child in &mut chart.children {
        import(child)?;
    }
    if chart.dependencies.is_empty() {
        return Ok(());
    }
    let values = lay_over(chart, Value::map(Entries::new()), Keep::Nil)?;
    let imported = Value::map(Entries::new());
    for dependency in &chart.dependencies {
        for item in &dependency.import_values {
            let (child, parent) = match item {
                Value::Map(..) => {
                    let text = |key: &str| item.get(key).map(|v| super::chart::scalar_text(&v)).unwrap_or_default();
                    (text("child"), text("parent"))
                }
                other => (format!("exports.{}", super::chart::scalar_text(other)), ".".to_owned()),
            };
            let Some(table @ Value::Map(..)) = path(&values, &format!("{}.{child}", dependency.name)) else { continue };
            let nested = if parent == "." {
                table.deep_copy()
            } else {
                parent.rsplit('.').fold(table.deep_copy(), |inner, key| Value::pairs([(key, inner)]))
            };
            coalesce_tables(&imported, &nested, Keep::Nil);
        }
    }
    coalesce_tables(&values, &imported, Keep::Nil);
    chart.values = values;
    Ok(())
}

/// Whether `null` stays (merging) or takes a default away (coalescing).
#[derive(Clone, Copy, PartialEq, Eq)]
enum Keep {
    Nil,
    Drop,
}

/// Lays `given` over the chart's and its children's defaults.
pub(super) fn coalesce(chart: &Chart, given: Value) -> Result<Value, Error> {
    lay_over(chart, given, Keep::Drop)
}

fn lay_over(chart: &Chart, given: Value, keep: Keep) -> Result<Value, Error> {
    coalesce_values(chart, &given, keep);
    let Some(entries) = given.as_map() else { return Ok(given) };
    for child in &chart.children {
        let present = entries.borrow().get(child.name.as_str()).cloned();
        let own = match present {
            None => Value::map(Entries::new()),
            Some(table @ Value::Map(..)) => table,
            Some(other) => {
                let reason = format!(
                    "type mismatch on {}: {}",
                    child.name,
                    gotmpl::gofmt::sprintf("%t", std::slice::from_ref(&other))
                );
                return Err(Error::Values { reason });
            }
        };
        coalesce_globals(&own, &given);
        let own = lay_over(child, own, keep)?;
        entries.borrow_mut().insert(child.name.as_str().into(), own);
    }
    Ok(given)
}

fn coalesce_globals(to: &Value, from: &Value) {
    let table = |value: &Value| match value.get("global") {
        None => Some(Value::map(Entries::new())),
        Some(table @ Value::Map(..)) => Some(table),
        Some(_) => None,
    };
    let (Some(target), Some(source)) = (table(to), table(from)) else { return };
    if let (Some(target), Some(source)) = (target.as_map(), source.as_map()) {
        for (key, value) in source.borrow().iter() {
            let present = target.borrow().get(key).cloned();
            let merged = match (value, present) {
                (Value::Map(..), None) => value.deep_copy(),
                (Value::Map(..), Some(own @ Value::Map(..))) => {
                    let copy = value.deep_copy();
                    coalesce_tables(&copy, &own, Keep::Nil);
                    copy
                }
                (Value::Map(..), Some(_)) | (_, Some(Value::Map(..))) => continue,
                (value, _) => value.clone(),
            };
            target.borrow_mut().insert(key.clone(), merged);
        }
    }
    if let Some(entries) = to.as_map() {
        entries.borrow_mut().insert("global".into(), target);
    }
}

fn coalesce_values(chart: &Chart, given: &Value, keep: Keep) {
    let (Some(given), defaults) = (given.as_map(), chart.values.deep_copy()) else { return };
    let Some(defaults) = defaults.as_map() else { return };
    for (key, default) in defaults.borrow().iter() {
        let present = given.borrow().get(key).cloned();
        match present {
            None => {
                given.borrow_mut().insert(key.clone(), default.clone());
            }
            Some(Value::Nil) if keep == Keep::Drop => {
                given.borrow_mut().remove(key);
            }
            Some(table @ Value::Map(..)) if matches!(default, Value::Map(..)) => {
                let child = chart.children.iter().any(|child| *child.name == **key);
                coalesce_tables(&table, default, if child { Keep::Nil } else { keep });
            }
            Some(_) => {}
        }
    }
}

fn coalesce_tables(to: &Value, from: &Value, keep: Keep) {
    let (Some(to), Some(from)) = (to.as_map(), from.as_map()) else { return };
    let from = from.borrow().clone();
    for (key, value) in from {
        let present = to.borrow().get(&key).cloned();
        match present {
            None => {
                to.borrow_mut().insert(key, value);
            }
            Some(Value::Nil) if keep == Keep::Drop && !value.is_nil() => {
                to.borrow_mut().remove(&key);
            }
            Some(table @ Value::Map(..)) if matches!(value, Value::Map(..)) => coalesce_tables(&table, &value, keep),
            Some(_) => {}
        }
    }
}
