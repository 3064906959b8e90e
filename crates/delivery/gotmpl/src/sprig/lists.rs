//! Lists: taking apart, putting together, looking for.

use std::rc::Rc;

use super::{cast::to_int, empty, int};
use crate::{Value, gofmt::verb_v, template::Funcs, value::Elem};

pub(super) fn add(funcs: &mut Funcs) {
    funcs.add("list", "a*", |args| Ok(Value::list(args.to_vec())));
    funcs.add("tuple", "a*", |args| Ok(Value::list(args.to_vec())));
    for name in ["append", "push", "mustAppend", "mustPush"] {
        funcs.add(name, "aa", |args| {
            let mut items = items(&args[0], "Cannot push on type")?.to_vec();
            items.push(args[1].clone());
            Ok(Value::list(items))
        });
    }
    for name in ["prepend", "mustPrepend"] {
        funcs.add(name, "aa", |args| {
            let mut items = items(&args[0], "Cannot prepend on type")?.to_vec();
            items.insert(0, args[1].clone());
            Ok(Value::list(items))
        });
    }
    for name in ["first", "mustFirst"] {
        funcs.add(name, "a", |args| {
            Ok(items(&args[0], "Cannot find first on type")?.first().cloned().unwrap_or(Value::Nil))
        });
    }
    for name in ["last", "mustLast"] {
        funcs.add(name, "a", |args| {
            Ok(items(&args[0], "Cannot find last on type")?.last().cloned().unwrap_or(Value::Nil))
        });
    }
    for name in ["rest", "mustRest"] {
        funcs.add(name, "a", |args| {
            Ok(Value::list(items(&args[0], "Cannot find rest on type")?.iter().skip(1).cloned().collect()))
        });
    }
    for name in ["initial", "mustInitial"] {
        funcs.add(name, "a", |args| {
            let items = items(&args[0], "Cannot find initial on type")?;
            Ok(Value::list(items.iter().take(items.len().saturating_sub(1)).cloned().collect()))
        });
    }
    for name in ["reverse", "mustReverse"] {
        funcs.add(name, "a", |args| {
            Ok(Value::list(items(&args[0], "Cannot find reverse on type")?.iter().rev().cloned().collect()))
        });
    }
    for name in ["compact", "mustCompact"] {
        funcs.add(name, "a", |args| {
            let items = items(&args[0], "Cannot compact on type")?;
            Ok(Value::list(items.iter().filter(|item| !empty(item)).cloned().collect()))
        });
    }
    for name in ["uniq", "mustUniq"] {
        funcs.add(name, "a", |args| {
            let mut unique: Vec<Value> = Vec::new();
            for item in items(&args[0], "Cannot find uniq on type")?.iter() {
                if !unique.contains(item) {
                    unique.push(item.clone());
                }
            }
            Ok(Value::list(unique))
        });
    }
    for name in ["without", "mustWithout"] {
        funcs.add(name, "aa*", |args| {
            let items = items(&args[0], "Cannot find without on type")?;
            Ok(Value::list(items.iter().filter(|item| !args[1..].contains(item)).cloned().collect()))
        });
    }
    for name in ["has", "mustHas"] {
        funcs.add(name, "aa", |args| {
            if args[1].is_nil() {
                return Ok(Value::Bool(false));
            }
            Ok(Value::Bool(items(&args[1], "Cannot find has on type")?.contains(&args[0])))
        });
    }
    for name in ["slice", "mustSlice"] {
        funcs.add(name, "aa*", slice);
    }
    for name in ["chunk", "mustChunk"] {
        funcs.add(name, "ia", |args| {
            let items = items(&args[1], "Cannot chunk type")?;
            let Some(size) = usize::try_from(int(&args[0])).ok().filter(|size| *size > 0) else {
                return Err("runtime error: makeslice: len out of range".to_owned());
            };
            let chunks = items.chunks(size).map(|chunk| Value::list(chunk.to_vec())).collect();
            Ok(Value::List(Rc::new(chunks), Elem::List))
        });
    }
    funcs.add("concat", "a*", |args| {
        let mut all = Vec::new();
        for arg in args {
            let Some(items) = arg.items() else { return Err(format!("Cannot concat type {} as list", arg.kind())) };
            all.extend(items.iter().cloned());
        }
        Ok(Value::list(all))
    });
    funcs.add("until", "i", |args| {
        let count = int(&args[0]);
        until(0, count, if count < 0 { -1 } else { 1 }).map(ints)
    });
    funcs.add("untilStep", "iii", |args| until(int(&args[0]), int(&args[1]), int(&args[2])).map(ints));
    funcs.add("seq", "i*", |args| {
        let numbers: Vec<i64> = args.iter().map(int).collect();
        let (start, end, step) = match numbers.as_slice() {
            [end] => (1, *end, if *end < 1 { -1 } else { 1 }),
            [start, end] => (*start, *end, if end < start { -1 } else { 1 }),
            [start, step, end] if end < start && *step > 0 => return Ok(Value::str("")),
            [start, step, end] => (*start, *end, *step),
            _ => return Ok(Value::str("")),
        };
        let increment = if end < start { -1 } else { 1 };
        let parts: Vec<String> = until(start, end + increment, step)?.iter().map(i64::to_string).collect();
        Ok(Value::str(parts.join(" ")))
    });
}

fn items(value: &Value, message: &str) -> Result<Rc<Vec<Value>>, String> {
    if value.is_nil() {
        // reflect.TypeOf(nil).Kind() panics.
        return Err("runtime error: invalid memory address or nil pointer dereference".to_owned());
    }
    value.items().ok_or_else(|| format!("{message} {}", value.kind()))
}

fn slice(args: &[Value]) -> Result<Value, String> {
    let items = items(&args[0], "list should be type of slice or array but")?;
    if items.is_empty() {
        return Ok(Value::Nil);
    }
    let start = args.get(1).map_or(0, to_int);
    let end = args.get(2).map_or(items.len() as i64, to_int);
    match (usize::try_from(start), usize::try_from(end)) {
        (Ok(start), Ok(end)) if start <= end && end <= items.len() => match &args[0] {
            Value::List(_, elem) => Ok(Value::List(Rc::new(items[start..end].to_vec()), *elem)),
            other => Err(format!("cannot slice {}", verb_v(other))),
        },
        _ => Err("reflect.Value.Slice: slice index out of bounds".to_owned()),
    }
}

fn ints(numbers: Vec<i64>) -> Value {
    Value::List(Rc::new(numbers.into_iter().map(Value::Int).collect()), Elem::Int)
}

fn until(start: i64, stop: i64, step: i64) -> Result<Vec<i64>, String> {
    /// Longest list of numbers that is made.
    const MOST: i64 = 1_000_000;
    if step == 0 || (stop < start) != (step < 0) {
        return Ok(Vec::new());
    }
    if (stop - start) / step > MOST {
        return Err(format!("a list of more than {MOST} numbers is not made"));
    }
    let mut numbers = Vec::new();
    let mut at = start;
    while (step > 0 && at < stop) || (step < 0 && at > stop) {
        numbers.push(at);
        at += step;
    }
    Ok(numbers)
}
