//! Reads the binary form of built-in kinds (protobuf in Kubernetes' envelope) into
//! the values that the JSON form gives. It never writes that form, and it knows no
//! type but by the table that `cargo xtask codegen` makes.

mod reader;

use std::{collections::HashMap, sync::OnceLock};

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Map, Value, json};

use self::reader::{Item, Reader, last, text};

/// The media type of this form.
pub const MEDIA_TYPE: &str = "application/vnd.kubernetes.protobuf";

/// What every body begins with.
const MAGIC: &[u8] = b"k8s\0";
/// How deep messages may nest.
const DEPTH: usize = 100;
/// The largest body that is read, in bytes (kube-apiserver's limit).
const LONGEST: usize = 3 << 20;
/// How many values one body may hold: each takes far more room than its two bytes.
const VALUES: usize = 500_000;
/// Go's zero time, the beginning of the year 1, in seconds.
const ZERO_TIME: i64 = -62_135_596_800;
const META: &str = "meta.k8s.io/v1";

/// Why a body cannot be read.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// It does not begin as Kubernetes' envelope does.
    #[error("the body does not begin with the four bytes of a Kubernetes protobuf message")]
    Magic,
    /// The envelope says that its content is not plain protobuf.
    #[error("the content is marked {0:?}: only plain protobuf is read")]
    Content(String),
    /// The kind is not a built-in one.
    #[error("no kind {kind:?} is registered for version {api_version:?}")]
    Kind {
        /// Its API version.
        api_version: String,
        /// Its name.
        kind: String,
    },
    /// The bytes end within a value.
    #[error("unexpected end of the message")]
    End,
    /// The bytes are no protobuf message.
    #[error("malformed message: {0}")]
    Malformed(&'static str),
    /// A field does not hold what its type says.
    #[error("field {field:?}: {why}")]
    Field {
        /// Its name.
        field: String,
        /// What is wrong.
        why: String,
    },
    /// The body is larger or deeper than any object.
    #[error("the message holds too much: {0}")]
    Limit(&'static str),
}

/// What stands in a field.
#[derive(Clone, Debug)]
enum Kind {
    Text,
    Boolean,
    Integer32,
    Integer64,
    Double,
    Bytes,
    Quantity,
    Time,
    MicroTime,
    IntOrString,
    Json,
    Wrapped,
    Message(usize),
    List(Box<Kind>),
    Map(Box<Kind>),
}

#[derive(Debug)]
struct Field {
    number: u64,
    /// Empty: merged into the parent.
    name: &'static str,
    kind: Kind,
    /// Left out when it is zero or empty.
    optional: bool,
}

#[derive(Debug, Default)]
struct Message {
    fields: Vec<Field>,
    /// The value is that of its last field that is set, not an object.
    either: bool,
}

#[derive(Debug)]
struct Table {
    messages: Vec<Message>,
    names: HashMap<(&'static str, &'static str), usize>,
}

/// Reads a body: the object with its `apiVersion` and `kind`, as its JSON form would give it.
pub fn decode(body: &[u8]) -> Result<Value, Error> {
    if body.len() > LONGEST {
        return Err(Error::Limit("more than 3 MiB"));
    }
    let envelope = body.strip_prefix(MAGIC).ok_or(Error::Magic)?;
    let (mut api_version, mut kind, mut raw) = (String::new(), String::new(), &[][..]);
    let mut reader = Reader(envelope);
    while let Some((number, item)) = reader.next()? {
        match (number, item) {
            (1, Item::Bytes(bytes)) => {
                let mut types = Reader(bytes);
                while let Some((number, item)) = types.next()? {
                    match (number, item) {
                        (1, Item::Bytes(bytes)) => text("apiVersion", bytes)?.clone_into(&mut api_version),
                        (2, Item::Bytes(bytes)) => text("kind", bytes)?.clone_into(&mut kind),
                        _ => {}
                    }
                }
            }
            (2, Item::Bytes(bytes)) => raw = bytes,
            (3 | 4, Item::Bytes(bytes)) if !bytes.is_empty() && bytes != MEDIA_TYPE.as_bytes() => {
                return Err(Error::Content(String::from_utf8_lossy(bytes).into_owned()));
            }
            _ => {}
        }
    }
    let table = table();
    let Some(message) = table.find(&api_version, &kind) else { return Err(Error::Kind { api_version, kind }) };
    let mut object = Map::new();
    object.insert("apiVersion".into(), api_version.into());
    object.insert("kind".into(), kind.into());
    Decoder { table, left: VALUES }.message(message, raw, &mut object, 0)?;
    Ok(Value::Object(object))
}

struct Decoder<'a> {
    table: &'a Table,
    /// How many values may still come.
    left: usize,
}

impl Decoder<'_> {
    /// Reads a message's fields into `into`; what is there already is merged, as protobuf does.
    fn message(
        &mut self,
        message: usize,
        bytes: &[u8],
        into: &mut Map<String, Value>,
        depth: usize,
    ) -> Result<(), Error> {
        if depth > DEPTH {
            return Err(Error::Limit("more than 100 levels"));
        }
        let mut reader = Reader(bytes);
        while let Some((number, item)) = reader.next()? {
            let Some(field) = self.table.messages[message].fields.iter().find(|field| field.number == number) else {
                continue;
            };
            self.left = self.left.checked_sub(1).ok_or(Error::Limit("more than 500000 values"))?;
            self.field(field, &item, into, depth)?;
        }
        Ok(())
    }

    fn field(
        &mut self,
        field: &Field,
        item: &Item<'_>,
        into: &mut Map<String, Value>,
        depth: usize,
    ) -> Result<(), Error> {
        let name = field.name;
        match (&field.kind, item) {
            (Kind::Message(message), Item::Bytes(bytes)) if name.is_empty() => {
                self.message(*message, bytes, into, depth + 1)?;
            }
            (Kind::Message(message), Item::Bytes(bytes)) if !self.table.messages[*message].either => {
                let slot = into.entry(name).or_insert_with(|| json!({}));
                if let Value::Object(inner) = slot {
                    self.message(*message, bytes, inner, depth + 1)?;
                }
            }
            (Kind::List(items), _) => {
                let Value::Array(list) = into.entry(name).or_insert_with(|| json!([])) else { return Ok(()) };
                match (items.as_ref(), item) {
                    // Numbers may come many in one, packed.
                    (Kind::Integer32 | Kind::Integer64 | Kind::Boolean, Item::Bytes(bytes)) => {
                        let mut packed = Reader(bytes);
                        while !packed.0.is_empty() {
                            self.left = self.left.checked_sub(1).ok_or(Error::Limit("more than 500000 values"))?;
                            list.extend(self.value(name, items, &Item::Number(packed.varint()?), depth)?);
                        }
                    }
                    _ => list.extend(self.value(name, items, item, depth)?),
                }
            }
            (Kind::Map(values), Item::Bytes(bytes)) => {
                let (mut key, mut value) = (String::new(), None);
                let mut entry = Reader(bytes);
                while let Some((number, item)) = entry.next()? {
                    match (number, item) {
                        (1, Item::Bytes(bytes)) => text(name, bytes)?.clone_into(&mut key),
                        (2, item) => value = self.value(name, values, &item, depth)?,
                        _ => {}
                    }
                }
                // An entry without a value has the empty one.
                let value = match value {
                    Some(value) => Some(value),
                    None => self.value(name, values, &Item::Bytes(&[]), depth)?,
                };
                if let (Value::Object(map), Some(value)) = (into.entry(name).or_insert_with(|| json!({})), value) {
                    map.insert(key, value);
                }
            }
            _ => match self.value(name, &field.kind, item, depth)? {
                Some(value) if !(field.optional && is_zero(&value)) => _ = into.insert(name.to_owned(), value),
                _ => _ = into.remove(name),
            },
        }
        Ok(())
    }

    /// Reads one value; `None` if it says that there is none.
    fn value(&mut self, name: &str, kind: &Kind, item: &Item<'_>, depth: usize) -> Result<Option<Value>, Error> {
        let fail = |why: &str| Error::Field { field: name.to_owned(), why: why.to_owned() };
        Ok(match (kind, item) {
            (Kind::Boolean, Item::Number(number)) => Some((*number != 0).into()),
            (Kind::Integer32, Item::Number(number)) => Some((*number as i32).into()),
            (Kind::Integer64, Item::Number(number)) => Some((*number as i64).into()),
            (Kind::Double, Item::Fixed(bits)) => Some(
                serde_json::Number::from_f64(f64::from_bits(*bits)).ok_or_else(|| fail("not a finite number"))?.into(),
            ),
            (Kind::Text, Item::Bytes(bytes)) => Some(text(name, bytes)?.into()),
            (Kind::Bytes, Item::Bytes(bytes)) => Some(STANDARD.encode(bytes).into()),
            (Kind::Quantity, Item::Bytes(bytes)) => {
                let quantity = last(bytes, 1)?.map_or(Ok(""), |item| item.text(name))?;
                Some(if quantity.is_empty() { "0" } else { quantity }.into())
            }
            (Kind::Json, Item::Bytes(bytes)) => match last(bytes, 1)? {
                Some(Item::Bytes(raw)) if !raw.is_empty() => {
                    Some(serde_json::from_slice(raw).map_err(|error| fail(&format!("not JSON: {error}")))?)
                }
                _ => None,
            },
            (Kind::Time | Kind::MicroTime, Item::Bytes(bytes)) => time(name, bytes, matches!(kind, Kind::MicroTime))?,
            (Kind::IntOrString, Item::Bytes(bytes)) => Some(match last(bytes, 1)? {
                Some(Item::Number(1)) => last(bytes, 3)?.map_or(Ok(""), |item| item.text(name))?.into(),
                None | Some(Item::Number(0)) => match last(bytes, 2)? {
                    Some(Item::Number(number)) => (number as i32).into(),
                    _ => 0.into(),
                },
                Some(_) => return Err(fail("neither an integer nor a string")),
            }),
            (Kind::Wrapped, Item::Bytes(bytes)) => {
                let mut items = Vec::new();
                let mut reader = Reader(bytes);
                while let Some((number, item)) = reader.next()? {
                    if number == 1 {
                        self.left = self.left.checked_sub(1).ok_or(Error::Limit("more than 500000 values"))?;
                        items.push(item.text(name)?.into());
                    }
                }
                Some(Value::Array(items))
            }
            (Kind::Message(message), Item::Bytes(bytes)) => {
                let mut object = Map::new();
                self.message(*message, bytes, &mut object, depth + 1)?;
                let Message { fields, either } = &self.table.messages[*message];
                if *either {
                    fields.iter().rev().find_map(|field| object.remove(field.name))
                } else {
                    Some(Value::Object(object))
                }
            }
            // A map's entry without a value.
            (Kind::Boolean, Item::Bytes([])) => Some(false.into()),
            (Kind::Integer32 | Kind::Integer64, Item::Bytes([])) => Some(0.into()),
            _ => return Err(fail("the bytes are of another type")),
        })
    }
}

fn is_zero(value: &Value) -> bool {
    match value {
        Value::String(text) => text.is_empty(),
        Value::Bool(value) => !value,
        Value::Number(number) => number.as_f64() == Some(0.0),
        _ => false,
    }
}

/// Returns a point in time; none where Go's zero time stands.
fn time(name: &str, bytes: &[u8], micro: bool) -> Result<Option<Value>, Error> {
    if bytes.is_empty() {
        return Ok(None);
    }
    let fail = || Error::Field { field: name.to_owned(), why: "not a point in time".into() };
    let number = |wanted| match last(bytes, wanted) {
        Ok(Some(Item::Number(number))) => Ok(number as i64),
        Ok(None) => Ok(0),
        Ok(Some(_)) => Err(fail()),
        Err(error) => Err(error),
    };
    let nanos = if micro { number(2)? } else { 0 };
    let nanos = i32::try_from(nanos).ok().filter(|nanos| (0..1_000_000_000).contains(nanos)).ok_or_else(fail)?;
    let seconds = number(1)?;
    if (seconds, nanos) == (ZERO_TIME, 0) {
        return Ok(None);
    }
    let time = jiff::Timestamp::new(seconds, nanos).ok().filter(|_| seconds >= ZERO_TIME).ok_or_else(fail)?;
    let form = if micro { "%Y-%m-%dT%H:%M:%S.%6fZ" } else { "%Y-%m-%dT%H:%M:%SZ" };
    Ok(Some(time.strftime(form).to_string().into()))
}

impl Table {
    /// Returns a kind's message. Options and `Status` are the same in every group.
    fn find(&self, api_version: &str, kind: &str) -> Option<usize> {
        // Spelled out: keys of any lifetime are looked up.
        let names: &HashMap<(&str, &str), usize> = &self.names;
        let shared = matches!(
            kind,
            "CreateOptions"
                | "DeleteOptions"
                | "GetOptions"
                | "ListOptions"
                | "PatchOptions"
                | "UpdateOptions"
                | "Status"
        );
        names.get(&(if shared { META } else { api_version }, kind)).copied()
    }
}

/// Returns the committed table.
fn table() -> &'static Table {
    static TABLE: OnceLock<Table> = OnceLock::new();
    TABLE.get_or_init(|| parse(include_str!("kubernetes.wire")))
}

fn parse(text: &'static str) -> Table {
    let head = |line: &'static str| {
        let mut words = line.strip_prefix("= ")?.split(' ');
        Some(((words.next()?, words.next()?), words.next() == Some("|")))
    };
    let heads: Vec<_> = text.lines().filter_map(head).collect();
    let mut table = Table { messages: Vec::with_capacity(heads.len()), names: HashMap::new() };
    table.names.extend(heads.iter().enumerate().map(|(index, (name, _))| (*name, index)));
    for line in text.lines() {
        if let Some((_, either)) = head(line) {
            table.messages.push(Message { either, ..Message::default() });
        } else if let (Some(field), Some(message)) = (field(line, &table.names), table.messages.last_mut()) {
            message.fields.push(field);
        }
    }
    table
}

fn field(line: &'static str, names: &HashMap<(&'static str, &'static str), usize>) -> Option<Field> {
    let mut words = line.strip_prefix(' ')?.split(' ');
    let (number, name, kind) = (words.next()?.parse().ok()?, words.next()?, words.next()?);
    let name = if name == "." { "" } else { name };
    Some(Field { number, name, kind: kind_of(kind, names)?, optional: words.next() == Some("?") })
}

fn kind_of(word: &'static str, names: &HashMap<(&'static str, &'static str), usize>) -> Option<Kind> {
    if let Some(items) = word.strip_prefix('[') {
        return Some(Kind::List(Box::new(kind_of(items, names)?)));
    }
    if let Some(values) = word.strip_prefix('{') {
        return Some(Kind::Map(Box::new(kind_of(values, names)?)));
    }
    if let Some(name) = word.strip_prefix('@') {
        return names.get(&name.split_once(':')?).copied().map(Kind::Message);
    }
    Some(match word {
        "s" => Kind::Text,
        "b" => Kind::Boolean,
        "i" => Kind::Integer32,
        "l" => Kind::Integer64,
        "d" => Kind::Double,
        "y" => Kind::Bytes,
        "q" => Kind::Quantity,
        "t" => Kind::Time,
        "T" => Kind::MicroTime,
        "x" => Kind::IntOrString,
        "j" => Kind::Json,
        "w" => Kind::Wrapped,
        _ => return None,
    })
}

#[cfg(test)]
mod tests;
