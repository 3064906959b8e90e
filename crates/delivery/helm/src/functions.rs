//! The functions that Helm adds to Sprig's.

use gotmpl::{
    Call, Funcs, Value,
    json::{self, Escape},
    sprig, toml, yaml,
};

/// Marks the message of `required` and `fail`, so that it can be shown without its chain.
pub(super) const WARN_START: &str = "HELM_ERR_START";
/// Ends what [`WARN_START`] begins.
pub(super) const WARN_END: &str = "HELM_ERR_END";

/// Returns all functions that a chart may call.
pub(super) fn all() -> Funcs {
    let mut funcs = Funcs::builtins();
    sprig::add(&mut funcs);
    funcs.add_call("include", "sa", Call::Include);
    funcs.add_call("tpl", "sa", Call::Tpl);
    funcs.add("required", "sa", |args| match &args[1] {
        Value::Nil => Err(warn(&args[0])),
        Value::Str(text) if text.is_empty() => Err(warn(&args[0])),
        given => Ok(given.clone()),
    });
    funcs.add("fail", "s", |args| Err(warn(&args[0])));
    funcs.add_call(
        "lookup",
        "ssss",
        Call::World(|world, args| match &world.lookup {
            Some(find) => find(text(&args[0]), text(&args[1]), text(&args[2]), text(&args[3])),
            None => Ok(Value::pairs::<&str>([])),
        }),
    );
    funcs.add("toYaml", "a", |args| {
        let text = yaml::write(&args[0]);
        Ok(Value::str(text.strip_suffix('\n').unwrap_or(&text)))
    });
    funcs.add("toYamlPretty", "a", |args| {
        let text = yaml::write_pretty(&args[0]);
        Ok(Value::str(text.strip_suffix('\n').unwrap_or(&text)))
    });
    funcs.add("toToml", "a", |args| Ok(Value::str(toml::write(&args[0]).unwrap_or_else(|error| error))));
    funcs.add("fromToml", "s", |args| {
        Ok(toml::read(text(&args[0])).unwrap_or_else(|error| Value::pairs([("Error", Value::str(error))])))
    });
    funcs.add("fromYaml", "s", |args| Ok(map_or_error(from_yaml(&args[0]), YAML)));
    funcs.add("fromYamlArray", "s", |args| Ok(list_or_error(from_yaml(&args[0]), YAML)));
    funcs.add("toJson", "a", |args| Ok(Value::str(json::compact(&args[0], Escape::Html))));
    funcs.add("fromJson", "s", |args| Ok(map_or_error(json::read(text(&args[0])), "")));
    funcs.add("fromJsonArray", "s", |args| Ok(list_or_error(json::read(text(&args[0])), "")));
    funcs
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// What comes before the words of the JSON decoder when the text was YAML.
const YAML: &str = "error unmarshaling JSON: while decoding JSON: ";

fn from_yaml(value: &Value) -> Result<Value, String> {
    yaml::read_lenient(text(value)).map_err(|error| format!("error converting YAML to JSON: {error}"))
}

fn warn(message: &Value) -> String {
    format!("{WARN_START}{}{WARN_END}", text(message))
}

pub(super) fn go_kind(value: &Value) -> &'static str {
    match value {
        Value::List(..) => "array",
        Value::Map(..) => "object",
        Value::Bool(_) => "bool",
        Value::Str(_) => "string",
        _ => "number",
    }
}

fn map_or_error(read: Result<Value, String>, prefix: &str) -> Value {
    let error = match read.map(Value::floats) {
        Ok(map @ Value::Map(..)) => return map,
        Ok(Value::Nil) => return Value::pairs::<&str>([]),
        Ok(other) => format!(
            "{prefix}json: cannot unmarshal {} into Go value of type map[string]interface {{}}",
            go_kind(&other)
        ),
        Err(error) => error,
    };
    Value::pairs([("Error", Value::str(error))])
}

fn list_or_error(read: Result<Value, String>, prefix: &str) -> Value {
    let error = match read.map(Value::floats) {
        Ok(list @ Value::List(..)) => return list,
        Ok(Value::Nil) => return Value::list(Vec::new()),
        Ok(other) => {
            format!("{prefix}json: cannot unmarshal {} into Go value of type []interface {{}}", go_kind(&other))
        }
        Err(error) => error,
    };
    Value::list(vec![Value::str(error)])
}
