//! Encodes a document of OpenAPI v2 in its binary form: the protobuf message `Document` of
//! `openapi.v2`, which stock Go clients ask for and read alone. The numbers below are those
//! of that published message. It never reads the binary form.

use serde_json::{Map, Value};

/// What a field holds and how it is written.
#[derive(Clone, Copy)]
enum Form {
    Text,
    Flag,
    Count,
    Number,
    Texts,
    /// Any value, as text that a YAML parser reads.
    Free,
    Frees,
    One(&'static Message),
    /// An object whose fields are entries with a name.
    Named(&'static Message),
    /// An object whose fields are entries with a name and a list of texts.
    NamedTexts,
    /// A message that wraps what one of several shapes holds.
    Shape(fn(&Value, &mut Vec<u8>)),
    Shapes(fn(&Value, &mut Vec<u8>)),
}

/// The fields of a message: their names in JSON, their numbers and forms.
struct Message {
    fields: &'static [(&'static str, u32, Form)],
    /// The number that `x-…` fields are written under, if it takes any.
    extensions: Option<u32>,
}

static DOCUMENT: Message = Message {
    fields: &[
        ("swagger", 1, Form::Text),
        ("info", 2, Form::One(&INFO)),
        ("schemes", 5, Form::Texts),
        ("consumes", 6, Form::Texts),
        ("produces", 7, Form::Texts),
        ("paths", 8, Form::Shape(paths)),
        ("definitions", 9, Form::Named(&SCHEMA)),
        ("parameters", 10, Form::Shape(parameter_definitions)),
        ("security", 12, Form::NamedTexts),
        ("securityDefinitions", 13, Form::Named(&SECURITY)),
    ],
    extensions: Some(16),
};

static INFO: Message = Message {
    fields: &[("title", 1, Form::Text), ("version", 2, Form::Text), ("description", 3, Form::Text)],
    extensions: Some(7),
};

/// A key that clients send: the only kind of security that is described here.
static SECURITY: Message = Message { fields: &[("", 2, Form::One(&API_KEY))], extensions: None };

static API_KEY: Message = Message {
    fields: &[("type", 1, Form::Text), ("name", 2, Form::Text), ("in", 3, Form::Text), ("description", 4, Form::Text)],
    extensions: Some(5),
};

static PATH: Message = Message {
    fields: &[
        ("get", 2, Form::One(&OPERATION)),
        ("put", 3, Form::One(&OPERATION)),
        ("post", 4, Form::One(&OPERATION)),
        ("delete", 5, Form::One(&OPERATION)),
        ("options", 6, Form::One(&OPERATION)),
        ("head", 7, Form::One(&OPERATION)),
        ("patch", 8, Form::One(&OPERATION)),
        ("parameters", 9, Form::Shapes(parameters_item)),
    ],
    extensions: Some(10),
};

static OPERATION: Message = Message {
    fields: &[
        ("tags", 1, Form::Texts),
        ("description", 3, Form::Text),
        ("operationId", 5, Form::Text),
        ("produces", 6, Form::Texts),
        ("consumes", 7, Form::Texts),
        ("parameters", 8, Form::Shapes(parameters_item)),
        ("responses", 9, Form::Shape(responses)),
        ("schemes", 10, Form::Texts),
        ("deprecated", 11, Form::Flag),
    ],
    extensions: Some(13),
};

static BODY_PARAMETER: Message = Message {
    fields: &[
        ("description", 1, Form::Text),
        ("name", 2, Form::Text),
        ("in", 3, Form::Text),
        ("required", 4, Form::Flag),
        ("schema", 5, Form::One(&SCHEMA)),
    ],
    extensions: Some(6),
};

static QUERY_PARAMETER: Message = Message {
    fields: &[
        ("required", 1, Form::Flag),
        ("in", 2, Form::Text),
        ("description", 3, Form::Text),
        ("name", 4, Form::Text),
        ("type", 6, Form::Text),
        ("format", 7, Form::Text),
        ("uniqueItems", 20, Form::Flag),
    ],
    extensions: Some(23),
};

static PATH_PARAMETER: Message = Message {
    fields: &[
        ("required", 1, Form::Flag),
        ("in", 2, Form::Text),
        ("description", 3, Form::Text),
        ("name", 4, Form::Text),
        ("type", 5, Form::Text),
        ("format", 6, Form::Text),
        ("uniqueItems", 19, Form::Flag),
    ],
    extensions: Some(22),
};

static RESPONSE: Message =
    Message { fields: &[("description", 1, Form::Text), ("schema", 2, Form::Shape(schema_item))], extensions: Some(5) };

static REFERENCE: Message =
    Message { fields: &[("$ref", 1, Form::Text), ("description", 2, Form::Text)], extensions: None };

static EXTERNAL: Message =
    Message { fields: &[("description", 1, Form::Text), ("url", 2, Form::Text)], extensions: Some(3) };

static SCHEMA: Message = Message {
    fields: &[
        ("$ref", 1, Form::Text),
        ("format", 2, Form::Text),
        ("title", 3, Form::Text),
        ("description", 4, Form::Text),
        ("default", 5, Form::Free),
        ("multipleOf", 6, Form::Number),
        ("maximum", 7, Form::Number),
        ("exclusiveMaximum", 8, Form::Flag),
        ("minimum", 9, Form::Number),
        ("exclusiveMinimum", 10, Form::Flag),
        ("maxLength", 11, Form::Count),
        ("minLength", 12, Form::Count),
        ("pattern", 13, Form::Text),
        ("maxItems", 14, Form::Count),
        ("minItems", 15, Form::Count),
        ("uniqueItems", 16, Form::Flag),
        ("maxProperties", 17, Form::Count),
        ("minProperties", 18, Form::Count),
        ("required", 19, Form::Texts),
        ("enum", 20, Form::Frees),
        ("additionalProperties", 21, Form::Shape(additional)),
        ("type", 22, Form::Shape(types)),
        ("items", 23, Form::Shape(items)),
        ("properties", 25, Form::Named(&SCHEMA)),
        ("externalDocs", 29, Form::One(&EXTERNAL)),
        ("example", 30, Form::Free),
    ],
    extensions: Some(31),
};

/// Returns a document in its binary form. What the message has no place for is left out.
pub fn encode(document: &Value) -> Vec<u8> {
    let mut out = Vec::new();
    message(document, &DOCUMENT, &mut out);
    out
}

fn message(value: &Value, shape: &Message, out: &mut Vec<u8>) {
    let Some(map) = value.as_object() else { return };
    for (name, number, form) in shape.fields {
        // A field without a name holds the value itself.
        if name.is_empty() {
            field(value, *number, *form, out);
        } else if let Some(inner) = map.get(*name) {
            field(inner, *number, *form, out);
        }
    }
    if let Some(number) = shape.extensions {
        extensions(map, number, out);
    }
}

fn extensions(map: &Map<String, Value>, number: u32, out: &mut Vec<u8>) {
    for (name, value) in map.iter().filter(|(name, _)| name.starts_with("x-")) {
        entry(name, number, out, |out| free(value, out));
    }
}

fn field(value: &Value, number: u32, form: Form, out: &mut Vec<u8>) {
    let list = value.as_array().map_or(&[][..], Vec::as_slice);
    match form {
        Form::Text => text(value.as_str().unwrap_or_default(), number, out),
        Form::Flag if value == true => {
            key(number, 0, out);
            out.push(1);
        }
        Form::Flag => {}
        Form::Count => {
            key(number, 0, out);
            varint(value.as_u64().unwrap_or_default(), out);
        }
        Form::Number => {
            key(number, 1, out);
            out.extend_from_slice(&value.as_f64().unwrap_or_default().to_le_bytes());
        }
        Form::Texts => list.iter().for_each(|item| text(item.as_str().unwrap_or_default(), number, out)),
        Form::Free => nested(number, out, |out| free(value, out)),
        Form::Frees => list.iter().for_each(|item| nested(number, out, |out| free(item, out))),
        Form::One(shape) => nested(number, out, |out| message(value, shape, out)),
        Form::Named(shape) => nested(number, out, |out| {
            for (name, inner) in value.as_object().into_iter().flatten() {
                entry(name, 1, out, |out| message(inner, shape, out));
            }
        }),
        Form::NamedTexts => {
            for item in list {
                nested(number, out, |out| {
                    for (name, inner) in item.as_object().into_iter().flatten() {
                        entry(name, 1, out, |out| field(inner, 1, Form::Texts, out));
                    }
                });
            }
        }
        Form::Shape(write) => nested(number, out, |out| write(value, out)),
        Form::Shapes(write) => list.iter().for_each(|item| nested(number, out, |out| write(item, out))),
    }
}

fn paths(value: &Value, out: &mut Vec<u8>) {
    for (path, item) in value.as_object().into_iter().flatten() {
        entry(path, 2, out, |out| message(item, &PATH, out));
    }
}

fn parameter_definitions(value: &Value, out: &mut Vec<u8>) {
    for (name, item) in value.as_object().into_iter().flatten() {
        entry(name, 1, out, |out| parameter(item, out));
    }
}

/// A parameter or a reference to one.
fn parameters_item(value: &Value, out: &mut Vec<u8>) {
    if value["$ref"].is_string() {
        nested(2, out, |out| message(value, &REFERENCE, out));
    } else {
        nested(1, out, |out| parameter(value, out));
    }
}

fn parameter(value: &Value, out: &mut Vec<u8>) {
    match value["in"].as_str() {
        Some("body") => nested(1, out, |out| message(value, &BODY_PARAMETER, out)),
        Some("path") => nested(2, out, |out| nested(4, out, |out| message(value, &PATH_PARAMETER, out))),
        _ => nested(2, out, |out| nested(3, out, |out| message(value, &QUERY_PARAMETER, out))),
    }
}

fn responses(value: &Value, out: &mut Vec<u8>) {
    for (code, response) in value.as_object().into_iter().flatten() {
        entry(code, 1, out, |out| nested(1, out, |out| message(response, &RESPONSE, out)));
    }
}

fn schema_item(value: &Value, out: &mut Vec<u8>) {
    nested(1, out, |out| message(value, &SCHEMA, out));
}

fn additional(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Bool(allows) => {
            key(2, 0, out);
            out.push(u8::from(*allows));
        }
        _ => nested(1, out, |out| message(value, &SCHEMA, out)),
    }
}

fn types(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Array(list) => list.iter().for_each(|item| text(item.as_str().unwrap_or_default(), 1, out)),
        _ => text(value.as_str().unwrap_or_default(), 1, out),
    }
}

fn items(value: &Value, out: &mut Vec<u8>) {
    nested(1, out, |out| message(value, &SCHEMA, out));
}

/// Any value: JSON is YAML.
fn free(value: &Value, out: &mut Vec<u8>) {
    text(&value.to_string(), 2, out);
}

/// An entry of a map: its name, and the value that `write` writes.
fn entry(name: &str, number: u32, out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    nested(number, out, |out| {
        text(name, 1, out);
        nested(2, out, write);
    });
}

fn text(value: &str, number: u32, out: &mut Vec<u8>) {
    key(number, 2, out);
    varint(value.len() as u64, out);
    out.extend_from_slice(value.as_bytes());
}

fn nested(number: u32, out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    let mut inner = Vec::new();
    write(&mut inner);
    key(number, 2, out);
    varint(inner.len() as u64, out);
    out.append(&mut inner);
}

fn key(number: u32, wire: u8, out: &mut Vec<u8>) {
    varint(u64::from(number << 3 | u32::from(wire)), out);
}

fn varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_document_is_written_under_the_published_numbers() {
        let bytes = encode(&json!({"swagger": "2.0", "info": {"title": "t", "version": "v"}, "paths": {}}));
        assert_eq!(bytes, [b"\x0a\x032.0".as_slice(), b"\x12\x06\x0a\x01t\x12\x01v", b"\x42\x00"].concat());
    }

    #[test]
    fn a_definition_carries_what_is_said_of_it() {
        let bytes = encode(&json!({"definitions": {"a": {"type": "object", "x-b": [1]}}}));
        // definitions { name: "a", value { type { "object" }, vendor_extension { name: "x-b", value { yaml: "[1]" } } } }
        let extension = b"\xfa\x01\x0c\x0a\x03x-b\x12\x05\x12\x03[1]".as_slice();
        let schema = [b"\xb2\x01\x08\x0a\x06object".as_slice(), extension].concat();
        let named = [b"\x0a\x01a\x12".as_slice(), &[schema.len() as u8], &schema].concat();
        let definitions = [&[0x0a, named.len() as u8], named.as_slice()].concat();
        assert_eq!(bytes, [&[0x4a, definitions.len() as u8], definitions.as_slice()].concat());
    }

    #[test]
    fn long_texts_and_parameters_by_reference_are_written() {
        let long = "x".repeat(300);
        let bytes = encode(&json!({"paths": {"/a": {"parameters": [{"$ref": long}]}}}));
        assert!(bytes.windows(300).any(|window| window == long.as_bytes()));
        let wanted = b"\x12\xaf\x02\x0a\xac\x02x";
        assert!(bytes.windows(wanted.len()).any(|window| window == wanted), "{bytes:?}");
    }
}
