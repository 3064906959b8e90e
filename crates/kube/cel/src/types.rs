//! The types that expressions are checked by, and the notation that functions declare theirs in.

use std::{collections::BTreeMap, fmt, sync::Arc};

/// A type.
#[derive(Clone, Debug, PartialEq)]
pub enum Type {
    /// Checked when it is evaluated.
    Dyn,
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool,
    /// 64 bits with a sign.
    Int,
    /// 64 bits without a sign.
    Uint,
    /// A floating point number.
    Double,
    /// Text.
    String,
    /// Bytes.
    Bytes,
    /// A length of time.
    Duration,
    /// A point in time.
    Timestamp,
    /// A list of one type.
    List(Arc<Type>),
    /// A map.
    Map(Arc<Type>, Arc<Type>),
    /// Named fields.
    Object(Arc<ObjectType>),
    /// A value that may be there.
    Optional(Arc<Type>),
    /// A type as a value.
    Type,
    /// A type of Kubernetes' own libraries, by its name.
    Opaque(&'static str),
    /// A place for any type in a function's declaration.
    Param(usize),
}

/// The fields of an object.
#[derive(Debug, PartialEq, Default)]
pub struct ObjectType {
    /// What messages call it.
    pub name: String,
    /// Fields by their (escaped) names.
    pub fields: BTreeMap<String, Type>,
}

impl Type {
    /// Returns the type of a list of `items`.
    pub fn list(items: Type) -> Type {
        Type::List(Arc::new(items))
    }

    /// Returns the type of a map from text to `values`.
    pub fn map(values: Type) -> Type {
        Type::Map(Arc::new(Type::String), Arc::new(values))
    }

    /// Returns the type of an object with these fields.
    pub fn object(name: &str, fields: impl IntoIterator<Item = (String, Type)>) -> Type {
        Type::Object(Arc::new(ObjectType { name: name.to_owned(), fields: fields.into_iter().collect() }))
    }

    fn takes_null(&self) -> bool {
        matches!(self, Type::Duration | Type::Timestamp | Type::Object(_) | Type::Opaque(_))
    }

    /// Returns the type of a value of this type that may be absent.
    pub fn optional(inner: Type) -> Type {
        Type::Optional(Arc::new(inner))
    }
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Type::Dyn => f.write_str("dyn"),
            Type::Null => f.write_str("null"),
            Type::Bool => f.write_str("bool"),
            Type::Int => f.write_str("int"),
            Type::Uint => f.write_str("uint"),
            Type::Double => f.write_str("double"),
            Type::String => f.write_str("string"),
            Type::Bytes => f.write_str("bytes"),
            Type::Duration => f.write_str("duration"),
            Type::Timestamp => f.write_str("timestamp"),
            Type::List(items) => write!(f, "list({items})"),
            Type::Map(keys, values) => write!(f, "map({keys}, {values})"),
            Type::Object(object) => f.write_str(&object.name),
            Type::Optional(inner) => write!(f, "optional_type({inner})"),
            Type::Type => f.write_str("type"),
            Type::Opaque(name) => f.write_str(name),
            Type::Param(index) => f.write_str(["A", "B", "C"][*index % 3]),
        }
    }
}

/// The short names of Kubernetes' own types, and their full ones.
const OPAQUE: [(&str, &str); 11] = [
    ("quantity", "kubernetes.Quantity"),
    ("ip", "net.IP"),
    ("cidr", "net.CIDR"),
    ("url", "kubernetes.URL"),
    ("semver", "kubernetes.Semver"),
    ("format", "kubernetes.NamedFormat"),
    ("authorizer", "kubernetes.authorization.Authorizer"),
    ("path_check", "kubernetes.authorization.PathCheck"),
    ("group_check", "kubernetes.authorization.GroupCheck"),
    ("resource_check", "kubernetes.authorization.ResourceCheck"),
    ("decision", "kubernetes.authorization.Decision"),
];

/// Reads a type as declarations write it, for example `list(A)`.
pub(crate) fn read(text: &str) -> Type {
    let text = text.trim();
    let inner = |head: &str| text.strip_prefix(head).and_then(|rest| rest.strip_suffix(')'));
    if let Some(items) = inner("list(") {
        return Type::list(read(items));
    }
    if let Some(optional) = inner("optional(") {
        return Type::optional(read(optional));
    }
    if let Some(parts) = inner("map(") {
        let parts = split(parts);
        return match parts.as_slice() {
            [keys, values] => Type::Map(Arc::new(read(keys)), Arc::new(read(values))),
            _ => Type::Dyn,
        };
    }
    match text {
        "null" => Type::Null,
        "bool" => Type::Bool,
        "int" => Type::Int,
        "uint" => Type::Uint,
        "double" => Type::Double,
        "string" => Type::String,
        "bytes" => Type::Bytes,
        "duration" => Type::Duration,
        "timestamp" => Type::Timestamp,
        "type" => Type::Type,
        "A" => Type::Param(0),
        "B" => Type::Param(1),
        "C" => Type::Param(2),
        other => OPAQUE
            .iter()
            .find(|(short, full)| *short == other || *full == other)
            .map_or(Type::Dyn, |(_, full)| Type::Opaque(full)),
    }
}

/// Splits at commas that stand in no bracket.
pub(crate) fn split(text: &str) -> Vec<&str> {
    let (mut depth, mut start, mut parts) = (0_usize, 0, Vec::new());
    for (at, letter) in text.char_indices() {
        match letter {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            ',' if depth == 0 => {
                parts.push(text[start..at].trim());
                start = at + 1;
            }
            _ => {}
        }
    }
    if !text[start..].trim().is_empty() {
        parts.push(text[start..].trim());
    }
    parts
}

/// What the places of a declaration stand for, while one call is checked.
#[derive(Clone, Default)]
pub(crate) struct Bindings([Option<Type>; 3]);

impl Bindings {
    /// Returns whether a value of type `given` can stand where `wanted` is declared.
    pub(crate) fn accepts(&mut self, wanted: &Type, given: &Type) -> bool {
        match (wanted, given) {
            (Type::Param(index), given) => match self.0[*index].clone() {
                None => {
                    self.0[*index] = Some(given.clone());
                    true
                }
                Some(bound) => match join(&bound, given) {
                    Some(joined) => {
                        self.0[*index] = Some(joined);
                        true
                    }
                    None => false,
                },
            },
            (Type::Dyn, _) | (_, Type::Dyn) => true,
            (Type::List(wanted), Type::List(given)) | (Type::Optional(wanted), Type::Optional(given)) => {
                self.accepts(wanted, given)
            }
            (Type::Map(keys, values), Type::Map(given_keys, given_values)) => {
                self.accepts(keys, given_keys) && self.accepts(values, given_values)
            }
            (wanted, Type::Null) if wanted.takes_null() => true,
            (wanted, given) => wanted == given,
        }
    }

    /// Returns a declared type with what its places stand for.
    pub(crate) fn fill(&self, declared: &Type) -> Type {
        match declared {
            Type::Param(index) => self.0[*index].clone().unwrap_or(Type::Dyn),
            Type::List(items) => Type::list(self.fill(items)),
            Type::Optional(inner) => Type::optional(self.fill(inner)),
            Type::Map(keys, values) => Type::Map(Arc::new(self.fill(keys)), Arc::new(self.fill(values))),
            other => other.clone(),
        }
    }
}

/// Returns the type that both are, if there is one.
pub(crate) fn join(a: &Type, b: &Type) -> Option<Type> {
    match (a, b) {
        _ if a == b => Some(a.clone()),
        (Type::Dyn, _) | (_, Type::Dyn) => Some(Type::Dyn),
        (Type::List(a), Type::List(b)) => join(a, b).map(Type::list),
        (Type::Optional(a), Type::Optional(b)) => join(a, b).map(Type::optional),
        (Type::Map(ak, av), Type::Map(bk, bv)) => Some(Type::Map(Arc::new(join(ak, bk)?), Arc::new(join(av, bv)?))),
        (Type::Null, other) | (other, Type::Null) if other.takes_null() => Some(other.clone()),
        _ => None,
    }
}
