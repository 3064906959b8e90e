//! Sprig's functions, as charts know them through Helm.
//!
//! What would differ from run to run (random text, keys, the time) comes from the
//! caller's [`World`](crate::World): the same world gives the same answer twice.

/// A function that draws: refused where there is no chance.
macro_rules! drawing {
    () => {
        macro_rules! drawn {
            ($work:expr) => {
                Call::World(|world, args| {
                    world.check_random()?;
                    let work: fn(&World, &[Value]) -> Result<Value, String> = $work;
                    work(world, args)
                })
            };
        }
    };
}
use drawing;

mod case;
mod cast;
mod certificates;
mod crypto;
mod dates;
mod dicts;
mod encode;
mod lists;
mod numbers;
mod random;
mod regexes;
mod semvers;
mod strings;
mod urls;

use crate::{Value, gofmt::verb_v, template::Funcs, value::Elem};

pub use semvers::{Constraint, Version};
pub use strings::{base, clean};

/// Adds all functions.
pub fn add(funcs: &mut Funcs) {
    strings::add(funcs);
    lists::add(funcs);
    dicts::add(funcs);
    numbers::add(funcs);
    encode::add(funcs);
    urls::add(funcs);
    semvers::add(funcs);
    add_defaults(funcs);
    add_reflection(funcs);
    dates::add(funcs);
    random::add(funcs);
    crypto::add(funcs);
}

fn add_defaults(funcs: &mut Funcs) {
    funcs.add("default", "aa*", |args| {
        Ok(match args.get(1) {
            Some(given) if !empty(given) => given.clone(),
            _ => args[0].clone(),
        })
    });
    funcs.add("empty", "a", |args| Ok(Value::Bool(empty(&args[0]))));
    funcs.add("coalesce", "a*", |args| Ok(args.iter().find(|arg| !empty(arg)).cloned().unwrap_or(Value::Nil)));
    funcs.add("all", "a*", |args| Ok(Value::Bool(!args.iter().any(empty))));
    funcs.add("any", "a*", |args| Ok(Value::Bool(args.iter().any(|arg| !empty(arg)))));
    funcs.add("ternary", "aab", |args| Ok(if args[2].truth() { args[0].clone() } else { args[1].clone() }));
    funcs.add("fail", "s", |args| Err(text(&args[0]).to_owned()));
    funcs.add("hello", "", |_| Ok(Value::str("Hello!")));
}

fn add_reflection(funcs: &mut Funcs) {
    funcs.add("typeOf", "a", |args| Ok(Value::str(args[0].type_name())));
    funcs.add("typeIs", "sa", |args| Ok(Value::Bool(text(&args[0]) == args[1].type_name())));
    funcs.add("typeIsLike", "sa", |args| {
        let (wanted, name) = (text(&args[0]), args[1].type_name());
        Ok(Value::Bool(wanted == name || format!("*{wanted}") == name))
    });
    funcs.add("kindOf", "a", |args| Ok(Value::str(args[0].kind())));
    funcs.add("kindIs", "sa", |args| Ok(Value::Bool(text(&args[0]) == args[1].kind())));
    funcs.add("deepEqual", "aa", |args| Ok(Value::Bool(args[0] == args[1])));
    funcs.add("deepCopy", "a", copied);
    funcs.add("mustDeepCopy", "a", copied);
}

fn copied(args: &[Value]) -> Result<Value, String> {
    if args[0].is_nil() {
        return Err("reflect: call of reflect.Value.Type on zero Value".to_owned());
    }
    Ok(args[0].deep_copy())
}

/// Sprig's `empty`: the zero of its type. Only `nil` pointers are empty among structs.
fn empty(value: &Value) -> bool {
    !value.truth()
}

/// The text of an argument that the signature has made sure is a string.
fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// The number of an argument that the signature has made sure is an `int`.
fn int(value: &Value) -> i64 {
    match value {
        Value::Int(value) | Value::Int64(value) => *value,
        _ => 0,
    }
}

/// Sprig's `strval`.
fn strval(value: &Value) -> String {
    if let Value::List(_, Elem::Byte) = value { bytes_text(value) } else { verb_v(value) }
}

/// The text that bytes hold.
pub(crate) fn bytes_text(value: &Value) -> String {
    let bytes: Vec<u8> = value.items().unwrap_or_default().iter().map(|item| int(item) as u8).collect();
    String::from_utf8_lossy(&bytes).into_owned()
}
