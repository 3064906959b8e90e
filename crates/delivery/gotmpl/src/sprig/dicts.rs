//! Maps: reading, changing in place, merging.

use std::rc::Rc;

use super::{empty, strval, text};
use crate::{
    Value,
    template::Funcs,
    value::{Elem, Entries},
};

pub(super) fn add(funcs: &mut Funcs) {
    funcs.add("dict", "a*", |args| {
        let mut entries = Entries::new();
        for pair in args.chunks(2) {
            entries.insert(strval(&pair[0]).into(), pair.get(1).cloned().unwrap_or_else(|| Value::str("")));
        }
        Ok(Value::map(entries))
    });
    funcs.add("get", "ms", |args| Ok(args[0].get(text(&args[1])).unwrap_or_else(|| Value::str(""))));
    funcs.add("set", "msa", |args| {
        let Some(entries) = args[0].as_map() else { return Err("assignment to entry in nil map".to_owned()) };
        entries.borrow_mut().insert(text(&args[1]).into(), args[2].clone());
        Ok(args[0].clone())
    });
    funcs.add("unset", "ms", |args| {
        if let Some(entries) = args[0].as_map() {
            entries.borrow_mut().remove(text(&args[1]));
        }
        Ok(args[0].clone())
    });
    funcs.add("hasKey", "ms", |args| Ok(Value::Bool(args[0].get(text(&args[1])).is_some())));
    funcs.add("pluck", "sm*", |args| {
        Ok(Value::list(args[1..].iter().filter_map(|dict| dict.get(text(&args[0]))).collect()))
    });
    // Go's order is random here; sorted is one of them.
    funcs.add("keys", "m*", |args| {
        let mut keys: Vec<Rc<str>> = Vec::new();
        for entries in args.iter().filter_map(Value::as_map) {
            keys.extend(entries.borrow().keys().cloned());
        }
        Ok(Value::strings(keys))
    });
    funcs.add("values", "m", |args| {
        Ok(Value::list(
            args[0].as_map().map(|entries| entries.borrow().values().cloned().collect()).unwrap_or_default(),
        ))
    });
    funcs.add("pick", "ms*", |args| Ok(keep(&args[0], |key| args[1..].iter().any(|name| text(name) == key))));
    funcs.add("omit", "ms*", |args| Ok(keep(&args[0], |key| !args[1..].iter().any(|name| text(name) == key))));
    for name in ["merge", "mustMerge"] {
        funcs.add(name, "mm*", |args| merge_all(args, Overwrite::No));
    }
    for name in ["mergeOverwrite", "mustMergeOverwrite"] {
        funcs.add(name, "mm*", |args| merge_all(args, Overwrite::Yes));
    }
    funcs.add("dig", "a*", dig);
}

fn keep(dict: &Value, wanted: impl Fn(&str) -> bool) -> Value {
    let entries = dict.as_map().map(|entries| entries.borrow().clone()).unwrap_or_default();
    Value::map(entries.into_iter().filter(|(key, _)| wanted(key)).collect())
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Overwrite {
    Yes,
    No,
}

fn merge_all(args: &[Value], overwrite: Overwrite) -> Result<Value, String> {
    let dst = if args[0].is_nil() { Value::map(Entries::new()) } else { args[0].clone() };
    for src in &args[1..] {
        merge(&dst, src, overwrite, 0)?;
    }
    Ok(dst)
}

/// mergo's merge of maps: empty places are filled; with overwrite, the source wins even where it is empty.
fn merge(dst: &Value, src: &Value, overwrite: Overwrite, depth: usize) -> Result<(), String> {
    if depth > 200 {
        return Err("the maps nest more than 200 levels".to_owned());
    }
    let (Some(to), Some(from)) = (dst.as_map(), src.as_map()) else { return Ok(()) };
    if Rc::ptr_eq(to, from) {
        return Ok(());
    }
    let from = from.borrow().clone();
    for (key, value) in from {
        let present = to.borrow().get(&key).cloned();
        match present {
            Some(Value::Map(inner, elem)) if matches!(value, Value::Map(..)) => {
                merge(&Value::Map(inner, elem), &value, overwrite, depth + 1)?;
            }
            Some(present) if overwrite == Overwrite::No && !empty(&present) => {}
            Some(_) | None if overwrite == Overwrite::No && value.is_nil() => {}
            // A map that a map is put in place of nothing is shared, as in Go.
            _ => {
                to.borrow_mut().insert(key, value);
            }
        }
    }
    Ok(())
}

fn dig(args: &[Value]) -> Result<Value, String> {
    let [keys @ .., default, dict] = args else { return Err("dig needs at least three arguments".to_owned()) };
    if keys.is_empty() {
        return Err("dig needs at least three arguments".to_owned());
    }
    let mut value = dict.clone();
    for key in keys {
        let Value::Str(key) = key else {
            return Err(format!("interface conversion: interface {{}} is {}, not string", key.type_name()));
        };
        let Value::Map(entries, Elem::Any) = &value else {
            let name = value.type_name();
            let name = if value.is_nil() { "nil" } else { name };
            return Err(format!("interface conversion: interface {{}} is {name}, not map[string]interface {{}}"));
        };
        let next = entries.borrow().get(key).cloned();
        match next {
            Some(next) => value = next,
            None => return Ok(default.clone()),
        }
    }
    Ok(value)
}
