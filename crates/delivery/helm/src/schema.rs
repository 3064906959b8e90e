//! `values.schema.json`: what values have to be like, told in Helm's words.
//!
//! JSON Schema itself is a library's; here its mistakes become the tree of lines that
//! Helm prints. A schema that refers to another place is refused: nothing is fetched.

mod quick;

use std::fmt::Write as _;

use jsonschema::{
    ValidationError,
    error::{TypeKind, ValidationErrorKind as Kind},
    paths::{Location, LocationSegment},
};
use serde_json::Value as Json;

use super::{Error, chart::Chart};
use gotmpl::{Value, gofmt::float_g};

/// Checks the values of a chart and of its children.
pub(super) fn check(chart: &Chart, values: &Value) -> Result<(), Error> {
    let mut lines = String::new();
    collect(chart, values, &mut lines);
    if lines.is_empty() { Ok(()) } else { Err(Error::Schema { reason: lines }) }
}

fn collect(chart: &Chart, values: &Value, lines: &mut String) {
    if let Some(text) = &chart.schema
        && let Err(reason) = check_one(text, &values.to_json())
    {
        let _infallible = write!(lines, "{}:\n{reason}", chart.name);
    }
    for child in &chart.children {
        match values.get(&child.name) {
            None | Some(Value::Nil) => {}
            Some(own @ Value::Map(..)) => collect(child, &own, lines),
            Some(other) => {
                let name = &child.name;
                let shown = other.type_name();
                let _infallible =
                    writeln!(lines, "{name}:\ninvalid type for values: expected object (map), got {shown}");
            }
        }
    }
}

fn check_one(schema: &str, values: &Json) -> Result<(), String> {
    let schema: Json = serde_json::from_str(schema)
        .map_err(|error| if error.is_eof() { "unexpected EOF".to_owned() } else { format!("{error}\n") })?;
    if quick::accepts(&schema, values) {
        return Ok(());
    }
    let validator = jsonschema::options()
        .build(&schema)
        .map_err(|error| format!("\"file:///values.schema.json#\" is not valid against metaschema: {error}\n"))?;
    let mut root = Node::default();
    for error in validator.iter_errors(values) {
        root.add(&error, 0);
    }
    let mut lines = String::new();
    root.show(&mut lines, 0);
    if lines.is_empty() { Ok(()) } else { Err(lines) }
}

/// The mistakes of one schema, and those of the schemas below it.
#[derive(Default)]
struct Node {
    /// The keywords that lead to it, one schema at a time.
    step: String,
    /// Where in the values it looks.
    place: String,
    mistakes: Vec<Mistake>,
    children: Vec<Node>,
}

struct Mistake {
    place: String,
    text: String,
    causes: Vec<Node>,
}

impl Node {
    /// Adds a mistake at the schema that its path leads to, from this one's depth on.
    fn add(&mut self, error: &ValidationError<'_>, depth: usize) {
        let steps = schemas(&error.schema_path);
        let place = error.instance_path.to_string();
        let mut node = self;
        for step in steps.iter().skip(depth) {
            let at = match node.children.iter().position(|child| child.step == *step && place.starts_with(&child.place))
            {
                Some(at) => at,
                None => {
                    // A place of its own per value: items of a list share their schema.
                    node.children.push(Node { step: step.clone(), place: place.clone(), ..Node::default() });
                    node.children.len() - 1
                }
            };
            node = &mut node.children[at];
        }
        let mistake = Mistake { place, text: words(error), causes: causes(error, steps.len()) };
        // One mistake names all that is missing.
        match (&error.kind, node.mistakes.last_mut()) {
            (Kind::Required { property }, Some(last)) if last.text.starts_with("missing propert") => {
                let names = last.text.split_once(" '").map_or("", |(_, names)| names);
                last.text = format!("missing properties '{names}, {}", quoted(property));
            }
            _ => node.mistakes.push(mistake),
        }
    }

    fn count(&self) -> usize {
        self.mistakes.len() + self.children.iter().map(|child| child.count().min(1)).sum::<usize>()
    }

    fn show(&self, lines: &mut String, indent: usize) {
        let group = !self.step.is_empty() && self.count() > 1;
        if group {
            line(lines, indent, &self.place, "validation failed");
        }
        let inner = indent + usize::from(group);
        for mistake in &self.mistakes {
            line(lines, inner, &mistake.place, &mistake.text);
            for cause in &mistake.causes {
                cause.show(lines, inner + 1);
            }
        }
        for child in &self.children {
            child.show(lines, inner);
        }
    }
}

fn line(lines: &mut String, indent: usize, place: &str, text: &str) {
    let _infallible = writeln!(lines, "{}- at '{}': {text}", "  ".repeat(indent), place.replace('\'', "\\'"));
}

/// The schemas on the way to a keyword: `properties/a/items/minLength` has two.
fn schemas(path: &Location) -> Vec<String> {
    let segments: Vec<String> = path
        .into_iter()
        .map(|segment| match segment {
            LocationSegment::Property(name) => name.to_string(),
            LocationSegment::Index(index) => index.to_string(),
        })
        .collect();
    let mut steps = Vec::new();
    let mut at = 0;
    while at + 1 < segments.len() {
        let length = match segments[at].as_str() {
            "properties" | "patternProperties" | "dependentSchemas" | "allOf" | "anyOf" | "oneOf" | "prefixItems"
            | "dependencies" | "$defs" | "definitions" => 2,
            _ => 1,
        };
        let end = (at + length).min(segments.len() - 1);
        steps.push(segments[at..end].join("/"));
        at = end;
    }
    steps
}

fn causes(error: &ValidationError<'_>, depth: usize) -> Vec<Node> {
    let (Kind::AnyOf { context: contexts } | Kind::OneOfNotValid { context: contexts }) = &error.kind else {
        return Vec::new();
    };
    let node = |errors: &Vec<ValidationError<'static>>| {
        let mut node = Node { place: error.instance_path.to_string(), step: "one".to_owned(), ..Node::default() };
        for error in errors {
            // The alternative itself is one schema further down.
            node.add(error, depth + 1);
        }
        node
    };
    contexts.iter().map(node).collect()
}

fn words(error: &ValidationError<'_>) -> String {
    let instance = error.instance.as_ref();
    let length = || grouped(instance.as_str().map_or(0, |text| text.chars().count()) as f64);
    let size = || {
        grouped(
            instance.as_array().map_or_else(|| instance.as_object().map_or(0, serde_json::Map::len), Vec::len) as f64
        )
    };
    let bound = |name: &str, limit: &Json| format!("{name}: got {}, want {}", number(instance), number(limit));
    match &error.kind {
        Kind::AdditionalItems { limit } => {
            let extra = instance.as_array().map_or(0, Vec::len).saturating_sub(*limit);
            format!("last {extra} additionalItem(s) not allowed")
        }
        Kind::AdditionalProperties { unexpected } | Kind::UnevaluatedProperties { unexpected } => {
            let names: Vec<String> = unexpected.iter().map(|name| format!("'{name}'")).collect();
            let kind =
                if matches!(error.kind, Kind::AdditionalProperties { .. }) { "additional" } else { "unevaluated" };
            format!("{kind} properties {} not allowed", names.join(", "))
        }
        Kind::AnyOf { .. } => "'anyOf' failed".to_owned(),
        Kind::OneOfNotValid { .. } => "'oneOf' failed, none matched".to_owned(),
        Kind::OneOfMultipleValid { context } => {
            let matched: Vec<String> = context
                .iter()
                .enumerate()
                .filter(|(_, errors)| errors.is_empty())
                .map(|(at, _)| at.to_string())
                .collect();
            format!("'oneOf' failed, subschemas {} matched", matched.join(", "))
        }
        Kind::Constant { expected_value } if expected_value.is_array() || expected_value.is_object() => {
            "'const' failed".to_owned()
        }
        Kind::Constant { expected_value } => format!("value must be {}", quoted(expected_value)),
        Kind::Contains => "no items match contains schema".to_owned(),
        Kind::Enum { options } => {
            let all: Vec<&Json> = options.as_array().into_iter().flatten().collect();
            match all.as_slice() {
                _ if all.iter().any(|one| one.is_array() || one.is_object()) => "'enum' failed".to_owned(),
                [one] => format!("value must be {}", quoted(one)),
                many => {
                    let shown: Vec<String> = many.iter().map(|one| quoted(one)).collect();
                    format!("value must be one of {}", shown.join(", "))
                }
            }
        }
        Kind::ExclusiveMaximum { limit } => bound("exclusiveMaximum", limit),
        Kind::ExclusiveMinimum { limit } => bound("exclusiveMinimum", limit),
        Kind::Maximum { limit } => bound("maximum", limit),
        Kind::Minimum { limit } => bound("minimum", limit),
        Kind::MultipleOf { multiple_of } => {
            format!("multipleOf: got {}, want {}", number(instance), grouped(*multiple_of))
        }
        Kind::FalseSchema => "false schema".to_owned(),
        Kind::Format { format } => format!("{} is not valid {format}", quoted(instance)),
        Kind::MaxItems { limit } => format!("maxItems: got {}, want {limit}", size()),
        Kind::MinItems { limit } => format!("minItems: got {}, want {limit}", size()),
        Kind::MaxLength { limit } => format!("maxLength: got {}, want {limit}", length()),
        Kind::MinLength { limit } => format!("minLength: got {}, want {limit}", length()),
        Kind::MaxProperties { limit } => format!("maxProperties: got {}, want {limit}", size()),
        Kind::MinProperties { limit } => format!("minProperties: got {}, want {limit}", size()),
        Kind::Not { .. } => "'not' failed".to_owned(),
        Kind::Pattern { pattern } => {
            format!("'{}' does not match pattern '{pattern}'", instance.as_str().unwrap_or_default())
        }
        Kind::PropertyNames { error } => format!("invalid propertyName {}", quoted(error.instance.as_ref())),
        Kind::Required { property } => format!("missing property {}", quoted(property)),
        Kind::Type { kind } => {
            let wanted = match kind {
                TypeKind::Single(one) => one.to_string(),
                TypeKind::Multiple(many) => many.iter().map(|one| one.to_string()).collect::<Vec<_>>().join(" or "),
            };
            format!("got {}, want {wanted}", type_of(instance))
        }
        Kind::UniqueItems => {
            let items = instance.as_array().map(Vec::as_slice).unwrap_or_default();
            let pair =
                (1..items.len()).find_map(|at| Some((items[..at].iter().position(|one| *one == items[at])?, at)));
            let (first, second) = pair.unwrap_or_default();
            format!("items at {first} and {second} are equal")
        }
        _ => error.to_string(),
    }
}

fn type_of(value: &Json) -> &'static str {
    match value {
        Json::Null => "null",
        Json::Bool(_) => "boolean",
        Json::Number(_) => "number",
        Json::String(_) => "string",
        Json::Array(_) => "array",
        Json::Object(_) => "object",
    }
}

fn quoted(value: &Json) -> String {
    match value {
        Json::String(text) => format!("'{text}'"),
        other => other.to_string(),
    }
}

fn number(value: &Json) -> String {
    value.as_f64().map_or_else(|| value.to_string(), grouped)
}

/// A number as English readers group its digits: `70,000`.
fn grouped(value: f64) -> String {
    let shown = if value.fract() == 0.0 && value.abs() < 1e15 { format!("{value:.0}") } else { float_g(value) };
    let (sign, rest) = shown.strip_prefix('-').map_or(("", shown.as_str()), |rest| ("-", rest));
    let (whole, fraction) = rest.split_once('.').map_or((rest, String::new()), |(a, b)| (a, format!(".{b}")));
    if whole.contains('e') {
        return shown;
    }
    let mut out = String::new();
    for (index, digit) in whole.chars().enumerate() {
        if index > 0 && (whole.len() - index) % 3 == 0 {
            out.push(',');
        }
        out.push(digit);
    }
    format!("{sign}{out}{fraction}")
}
