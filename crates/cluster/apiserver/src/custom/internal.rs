//! The form of a definition that Kubernetes checks: what all versions have alike stands
//! once, and refusals name it there. Values in refusals are written as that form has them.

use serde_json::{Map, Value};

/// A definition's versions, and what all of them have alike.
pub(super) struct Internal {
    /// The versions without it.
    pub(super) versions: Vec<Value>,
    /// The schema, with what stands around it.
    pub(super) validation: Value,
    pub(super) subresources: Value,
    pub(super) columns: Value,
    pub(super) selectable: Value,
}

impl Internal {
    pub(super) fn of(spec: &Value) -> Internal {
        let mut versions = spec["versions"].as_array().cloned().unwrap_or_default();
        let mut alike = |name: &str| {
            let first = versions.first().map_or(Value::Null, |version| version[name].clone());
            if !versions.iter().all(|version| is_same(&version[name], &first)) {
                return Value::Null;
            }
            for version in versions.iter_mut().filter_map(Value::as_object_mut) {
                version.remove(name);
            }
            first
        };
        let (validation, subresources) = (alike("schema"), alike("subresources"));
        let (columns, selectable) = (alike("additionalPrinterColumns"), alike("selectableFields"));
        Internal { versions, validation, subresources, columns, selectable }
    }
}

/// An empty list is none.
fn is_same(one: &Value, other: &Value) -> bool {
    let nothing = |value: &Value| value.is_null() || value.as_array().is_some_and(Vec::is_empty);
    one == other || (nothing(one) && nothing(other))
}

/// Writes a value as Go's JSON does: signs that HTML has a use for are escaped.
pub(super) fn escaped(value: &Value) -> String {
    value
        .to_string()
        .replace('<', "\\u003c")
        .replace('>', "\\u003e")
        .replace('&', "\\u0026")
        .replace('\u{2028}', "\\u2028")
        .replace('\u{2029}', "\\u2029")
}

/// What stands in a field, and what is written where nothing does.
#[derive(Clone, Copy)]
enum Shape {
    Text,
    Flag,
    /// Anything; nothing is `null`.
    Any,
    Schema,
    Schemas,
    Named,
    /// One schema, or several.
    Items,
    /// A schema, or whether others are allowed.
    Allowed,
    /// For each name a schema or names.
    Dependencies,
    Record(&'static [Field]),
    Records(&'static [Field]),
    Number,
}

/// A field: what the internal form calls it, and what the API does.
type Field = (&'static str, &'static str, Shape);

const VERSION: &[Field] = &[
    ("Name", "name", Shape::Text),
    ("Served", "served", Shape::Flag),
    ("Storage", "storage", Shape::Flag),
    ("Deprecated", "deprecated", Shape::Flag),
    ("DeprecationWarning", "deprecationWarning", Shape::Any),
    ("Schema", "schema", Shape::Record(&[("OpenAPIV3Schema", "openAPIV3Schema", Shape::Schema)])),
    (
        "Subresources",
        "subresources",
        Shape::Record(&[
            ("Status", "status", Shape::Record(&[])),
            (
                "Scale",
                "scale",
                Shape::Record(&[
                    ("SpecReplicasPath", "specReplicasPath", Shape::Text),
                    ("StatusReplicasPath", "statusReplicasPath", Shape::Text),
                    ("LabelSelectorPath", "labelSelectorPath", Shape::Any),
                ]),
            ),
        ]),
    ),
    (
        "AdditionalPrinterColumns",
        "additionalPrinterColumns",
        Shape::Records(&[
            ("Name", "name", Shape::Text),
            ("Type", "type", Shape::Text),
            ("Format", "format", Shape::Text),
            ("Description", "description", Shape::Text),
            ("Priority", "priority", Shape::Number),
            ("JSONPath", "jsonPath", Shape::Text),
        ]),
    ),
    ("SelectableFields", "selectableFields", Shape::Records(&[("JSONPath", "jsonPath", Shape::Text)])),
];

const SCHEMA: &[Field] = &[
    ("ID", "id", Shape::Text),
    ("Schema", "$schema", Shape::Text),
    ("Ref", "$ref", Shape::Any),
    ("Description", "description", Shape::Text),
    ("Type", "type", Shape::Text),
    ("Nullable", "nullable", Shape::Flag),
    ("Format", "format", Shape::Text),
    ("Title", "title", Shape::Text),
    ("Default", "default", Shape::Any),
    ("Maximum", "maximum", Shape::Any),
    ("ExclusiveMaximum", "exclusiveMaximum", Shape::Flag),
    ("Minimum", "minimum", Shape::Any),
    ("ExclusiveMinimum", "exclusiveMinimum", Shape::Flag),
    ("MaxLength", "maxLength", Shape::Any),
    ("MinLength", "minLength", Shape::Any),
    ("Pattern", "pattern", Shape::Text),
    ("MaxItems", "maxItems", Shape::Any),
    ("MinItems", "minItems", Shape::Any),
    ("UniqueItems", "uniqueItems", Shape::Flag),
    ("MultipleOf", "multipleOf", Shape::Any),
    ("Enum", "enum", Shape::Any),
    ("MaxProperties", "maxProperties", Shape::Any),
    ("MinProperties", "minProperties", Shape::Any),
    ("Required", "required", Shape::Any),
    ("Items", "items", Shape::Items),
    ("AllOf", "allOf", Shape::Schemas),
    ("OneOf", "oneOf", Shape::Schemas),
    ("AnyOf", "anyOf", Shape::Schemas),
    ("Not", "not", Shape::Schema),
    ("Properties", "properties", Shape::Named),
    ("AdditionalProperties", "additionalProperties", Shape::Allowed),
    ("PatternProperties", "patternProperties", Shape::Named),
    ("Dependencies", "dependencies", Shape::Dependencies),
    ("AdditionalItems", "additionalItems", Shape::Allowed),
    ("Definitions", "definitions", Shape::Named),
    (
        "ExternalDocs",
        "externalDocs",
        Shape::Record(&[("Description", "description", Shape::Text), ("URL", "url", Shape::Text)]),
    ),
    ("Example", "example", Shape::Any),
    ("XPreserveUnknownFields", "x-kubernetes-preserve-unknown-fields", Shape::Any),
    ("XEmbeddedResource", "x-kubernetes-embedded-resource", Shape::Flag),
    ("XIntOrString", "x-kubernetes-int-or-string", Shape::Flag),
    ("XListMapKeys", "x-kubernetes-list-map-keys", Shape::Any),
    ("XListType", "x-kubernetes-list-type", Shape::Any),
    ("XMapType", "x-kubernetes-map-type", Shape::Any),
    (
        "XValidations",
        "x-kubernetes-validations",
        Shape::Records(&[
            ("Rule", "rule", Shape::Text),
            ("Message", "message", Shape::Text),
            ("MessageExpression", "messageExpression", Shape::Text),
            ("Reason", "reason", Shape::Any),
            ("FieldPath", "fieldPath", Shape::Text),
            ("OptionalOldSelf", "optionalOldSelf", Shape::Any),
        ]),
    ),
];

/// The fields that may stand at the root of a schema whose objects have a status of their own.
const AT_ROOT: [&str; 22] = [
    "Description",
    "Type",
    "Format",
    "Title",
    "Maximum",
    "ExclusiveMaximum",
    "Minimum",
    "ExclusiveMinimum",
    "MaxLength",
    "MinLength",
    "Pattern",
    "MaxItems",
    "MinItems",
    "UniqueItems",
    "MultipleOf",
    "Required",
    "Items",
    "Properties",
    "ExternalDocs",
    "Example",
    "XPreserveUnknownFields",
    "XValidations",
];

/// What a schema may not have at its root.
pub(super) enum AtRoot {
    /// Its type is another than `object`.
    Type,
    /// A field that says something of the whole object: the sentence that refuses it.
    Field(String),
}

/// Returns the first thing that a schema may not have at its root when its objects have a status of their own.
pub(super) fn forbidden_at_root(schema: &Value) -> Option<AtRoot> {
    let said = |name: &str, shape: Shape| {
        let value = &schema[name];
        !value.is_null() && written(value, shape) != written(&Value::Null, shape)
    };
    SCHEMA.iter().filter(|(_, name, shape)| said(name, *shape)).find_map(|(field, ..)| match *field {
        "Type" if schema["type"] != "object" => Some(AtRoot::Type),
        field if AT_ROOT.contains(&field) => None,
        _ => Some(AtRoot::Field(format!(
            "only [{}] fields are allowed at the root of the schema if the status subresource is enabled",
            AT_ROOT.join(" ")
        ))),
    })
}

/// Writes versions as refusals show them.
pub(super) fn versions(versions: &[Value]) -> String {
    // A list that is there and empty is not none.
    let written: Vec<String> = versions.iter().map(|version| written(version, Shape::Record(VERSION))).collect();
    format!("[{}]", written.join(","))
}

/// Writes a schema as refusals show it.
pub(super) fn schema(schema: &Value) -> String {
    written(schema, Shape::Schema)
}

fn written(value: &Value, shape: Shape) -> String {
    match shape {
        Shape::Text => escaped(&value.as_str().unwrap_or_default().into()),
        Shape::Flag => (*value == true).to_string(),
        Shape::Number => escaped(&value.as_i64().unwrap_or_default().into()),
        Shape::Any => escaped(value),
        Shape::Schema => written(value, Shape::Record(SCHEMA)),
        Shape::Schemas => written(value, Shape::Records(SCHEMA)),
        Shape::Record(fields) if value.is_object() => record(value, fields),
        Shape::Records(fields) => match value.as_array() {
            Some(list) => {
                let list: Vec<String> = list.iter().map(|item| record(item, fields)).collect();
                format!("[{}]", list.join(","))
            }
            None => "null".to_owned(),
        },
        Shape::Named => named(value.as_object(), |inner| written(inner, Shape::Schema)),
        Shape::Items => match value {
            Value::Array(_) => format!("{{\"Schema\":null,\"JSONSchemas\":{}}}", written(value, Shape::Schemas)),
            Value::Object(_) => format!("{{\"Schema\":{},\"JSONSchemas\":null}}", written(value, Shape::Schema)),
            _ => "null".to_owned(),
        },
        Shape::Allowed => match value {
            Value::Bool(allowed) => format!("{{\"Allows\":{allowed},\"Schema\":null}}"),
            Value::Object(_) => format!("{{\"Allows\":true,\"Schema\":{}}}", written(value, Shape::Schema)),
            _ => "null".to_owned(),
        },
        Shape::Dependencies => named(value.as_object(), |inner| match inner {
            Value::Array(_) => format!("{{\"Schema\":null,\"Property\":{}}}", escaped(inner)),
            _ => format!("{{\"Schema\":{},\"Property\":null}}", written(inner, Shape::Schema)),
        }),
        Shape::Record(_) => "null".to_owned(),
    }
}

fn record(value: &Value, fields: &[Field]) -> String {
    let fields: Vec<String> =
        fields.iter().map(|(field, name, shape)| format!("\"{field}\":{}", written(&value[*name], *shape))).collect();
    format!("{{{}}}", fields.join(","))
}

fn named(map: Option<&Map<String, Value>>, inner: impl Fn(&Value) -> String) -> String {
    let Some(map) = map else { return "null".to_owned() };
    let mut names: Vec<&String> = map.keys().collect();
    names.sort();
    let fields: Vec<String> =
        names.into_iter().map(|name| format!("{}:{}", escaped(&name.as_str().into()), inner(&map[name]))).collect();
    format!("{{{}}}", fields.join(","))
}
