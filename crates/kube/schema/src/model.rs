//! What a type looks like, for built-in kinds and custom ones alike.
//!
//! A [`Node`] is one place in a type. Built-in types are read once from the table
//! that `cargo xtask codegen` makes; custom ones come from their definition
//! ([`crate::crd`]).

use std::{collections::BTreeMap, sync::OnceLock};

use serde_json::Value;

/// What kind of value stands at a place.
#[derive(Clone, Debug, PartialEq, Default)]
pub enum Kind {
    /// Text.
    String,
    /// A whole number.
    Integer,
    /// Any number.
    Number,
    /// `true` or `false`.
    Boolean,
    /// Named fields, listed in the node.
    Object,
    /// Free names with one type of value.
    Map(Box<Node>),
    /// A list.
    Array(Box<Node>),
    /// An integer or text (`IntOrString`).
    IntOrString,
    /// Whatever stands there is kept.
    #[default]
    Any,
    /// A built-in type, by name; see [`Node::resolve`].
    Ref(String),
}

/// How two writers share a list.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub enum ListType {
    /// The list is one value.
    #[default]
    Atomic,
    /// Each scalar item is its own value.
    Set,
    /// Items are told apart by these fields.
    Map(Vec<String>),
}

/// How two writers share an object or map.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum MapType {
    /// As the type says that stands there.
    #[default]
    Unsaid,
    /// It is one value.
    Atomic,
    /// Each field is its own value, whatever the type says.
    Granular,
}

/// How a field looks where nothing was said, as Kubernetes' own types write it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Presence {
    /// As it was given; nothing if it was not.
    #[default]
    AsGiven,
    /// With its zero value.
    Always,
    /// Left out when it is empty or zero.
    NotEmpty,
    /// As `null`.
    Null,
}

/// One place in a type.
#[derive(Clone, Debug, Default, PartialEq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of a place, as in the specification")]
pub struct Node {
    /// What stands there.
    pub kind: Kind,
    /// `date-time`, `byte`, `int32`, …
    pub format: Option<String>,
    /// Fields of an object.
    pub properties: BTreeMap<String, Node>,
    /// Fields that must be there.
    pub required: Vec<String>,
    /// How it looks where nothing was said.
    pub presence: Presence,
    /// How a list is shared.
    pub list: ListType,
    /// The published type says how the list is shared, even where it is one value.
    pub list_told: bool,
    /// Name of the published type that stands here, where nothing is known of it but its name.
    pub named: Option<String>,
    /// How two writers share an object or map.
    pub map: MapType,
    /// Field that strategic merge patch tells list items apart by.
    pub merge_key: Option<String>,
    /// Strategic merge patch replaces this object instead of merging it.
    pub replaces: bool,
    /// Strategic merge patch merges this list instead of replacing it.
    pub merge_list: bool,
    /// `retainKeys` of strategic merge patch.
    pub retain_keys: bool,
    /// Fields that are not listed are kept.
    pub preserve_unknown: bool,
    /// The object has `apiVersion`, `kind` and `metadata` of its own.
    pub embedded: bool,
    /// `null` is a value here.
    pub nullable: bool,
    /// Value taken where none is given.
    pub default: Option<Value>,
    /// Rules beyond the type.
    pub rules: Rules,
    /// What people read in `kubectl explain`.
    pub description: Option<String>,
    /// `x-kubernetes-validations`.
    pub validations: Vec<ValidationRule>,
}

/// A rule in the Common Expression Language.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ValidationRule {
    /// The expression that holds for a good value.
    pub rule: String,
    /// What is said when it does not hold.
    pub message: String,
    /// An expression for what is said.
    pub message_expression: String,
    /// `FieldValueInvalid`, `FieldValueForbidden`, …
    pub reason: Option<String>,
    /// The field that is named, below the rule's own place.
    pub field_path: String,
    /// `oldSelf` is optional, and the rule holds for new objects too.
    pub optional_old_self: Option<bool>,
}

/// Rules on a value beyond its type, as JSON Schema words them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rules {
    /// The values that are allowed.
    pub enumeration: Vec<Value>,
    /// A regular expression that text matches somewhere.
    pub pattern: Option<String>,
    /// Fewest characters.
    pub min_length: Option<u64>,
    /// Most characters.
    pub max_length: Option<u64>,
    /// Fewest items.
    pub min_items: Option<u64>,
    /// Most items.
    pub max_items: Option<u64>,
    /// Fewest fields.
    pub min_properties: Option<u64>,
    /// Most fields.
    pub max_properties: Option<u64>,
    /// Lowest number.
    pub minimum: Option<f64>,
    /// Highest number.
    pub maximum: Option<f64>,
    /// The lowest number itself is not allowed.
    pub exclusive_minimum: bool,
    /// The highest number itself is not allowed.
    pub exclusive_maximum: bool,
    /// The number is a multiple of this.
    pub multiple_of: Option<f64>,
    /// No item stands twice.
    pub unique_items: bool,
    /// All of these hold too.
    pub all_of: Vec<Node>,
    /// At least one of these holds.
    pub any_of: Vec<Node>,
    /// Exactly one of these holds.
    pub one_of: Vec<Node>,
    /// This does not hold.
    pub not: Option<Box<Node>>,
}

impl Node {
    /// Returns the node itself, or the built-in type that it refers to.
    pub fn resolve(&self) -> &Node {
        match &self.kind {
            Kind::Ref(name) => builtin(name).unwrap_or(self),
            _ => self,
        }
    }

    /// Returns whether something in it has a default, following no reference.
    pub fn has_defaults(&self) -> bool {
        let below = match &self.kind {
            Kind::Map(inner) | Kind::Array(inner) => inner.has_defaults(),
            _ => false,
        };
        below || self.properties.values().any(|field| field.default.is_some() || field.has_defaults())
    }

    /// Returns whether an object or map here is one value for field ownership.
    pub fn is_atomic(&self) -> bool {
        match self.map {
            MapType::Atomic => true,
            MapType::Granular => false,
            MapType::Unsaid => self.resolve().map == MapType::Atomic,
        }
    }

    /// Returns the node of a field: a listed one, or a map's value type.
    pub fn field(&self, name: &str) -> Option<&Node> {
        let node = self.resolve();
        if let Some(field) = node.properties.get(name) {
            return Some(field);
        }
        match &node.kind {
            Kind::Map(values) => Some(values),
            _ => None,
        }
    }

    /// Returns the node of a list's items.
    pub fn items(&self) -> Option<&Node> {
        match &self.resolve().kind {
            Kind::Array(items) => Some(items),
            _ => None,
        }
    }
}

/// Returns a built-in type by its published name, for example `io.k8s.api.core.v1.Pod`.
pub fn builtin(name: &str) -> Option<&'static Node> {
    builtins().get(name)
}

/// Returns the type of a built-in kind, for example of `apps/v1` and `Deployment`.
pub fn of_kind(api_version: &str, kind: &str) -> Option<&'static Node> {
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    // Groups of Kubernetes' own have no dot, or end in its domain.
    if group.contains('.') && !group.ends_with(".k8s.io") {
        return None;
    }
    let package = match group {
        "" => "io.k8s.api.core",
        "apiextensions.k8s.io" => "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions",
        "apiregistration.k8s.io" => "io.k8s.kube-aggregator.pkg.apis.apiregistration",
        group => return builtin(&format!("io.k8s.api.{}.{version}.{kind}", group.split('.').next()?)),
    };
    builtin(&format!("{package}.{version}.{kind}"))
}

/// Returns all built-in types by their published names.
pub fn builtins() -> &'static BTreeMap<String, Node> {
    static TYPES: OnceLock<BTreeMap<String, Node>> = OnceLock::new();
    TYPES.get_or_init(|| parse(include_str!("kubernetes.types")))
}

fn parse(table: &str) -> BTreeMap<String, Node> {
    let mut types = BTreeMap::new();
    let mut current: Option<(String, Node)> = None;
    for line in table.lines().filter(|line| !line.starts_with('#')) {
        if let Some(head) = line.strip_prefix("= ") {
            types.extend(current.take());
            let mut words = head.split(' ');
            let name = words.next().unwrap_or_default().to_owned();
            let mut node = Node { kind: Kind::Object, ..Node::default() };
            for word in words {
                if let Some(required) = word.strip_prefix('!') {
                    node.required = required.split(',').map(str::to_owned).collect();
                } else if word == "mt=atomic" {
                    node.map = MapType::Atomic;
                }
            }
            // The object's own metadata says what it is; a structure of the API says no more than that.
            current = Some((name, node));
        } else if let (Some((_, node)), Some(line)) = (&mut current, line.strip_prefix(' ')) {
            let mut words = line.split(' ');
            let (Some(field), Some(kind)) = (words.next(), words.next()) else { continue };
            let mut place = parse_kind(kind);
            for word in words {
                parse_fact(&mut place, word);
            }
            node.properties.insert(field.to_owned(), place);
        }
    }
    types.extend(current.take());
    // Of what has no fields of its own nothing is known: nobody owns a part of it.
    for node in types.values_mut().filter(|node| node.properties.is_empty()) {
        node.map = MapType::Atomic;
    }
    types
}

fn parse_kind(word: &str) -> Node {
    let (head, format) = word.split_once(':').map_or((word, None), |(head, format)| (head, Some(format.to_owned())));
    let kind = match head {
        "s" => Kind::String,
        "q" => return Node { kind: Kind::String, format: Some("quantity".to_owned()), ..Node::default() },
        "i" => Kind::Integer,
        "n" => Kind::Number,
        "b" => Kind::Boolean,
        "x" => Kind::IntOrString,
        "o" => {
            let map = MapType::Atomic;
            return Node { kind: Kind::Object, preserve_unknown: true, map, named: format, ..Node::default() };
        }
        "a" => return Node { named: format, ..Node::default() },
        _ if word.starts_with('@') => return Node { kind: Kind::Ref(word[1..].to_owned()), ..Node::default() },
        _ if word.starts_with('[') => Kind::Array(Box::new(parse_kind(&word[1..]))),
        _ if word.starts_with('{') => Kind::Map(Box::new(parse_kind(&word[1..]))),
        _ => Kind::Any,
    };
    let format = if matches!(kind, Kind::Array(_) | Kind::Map(_)) { None } else { format };
    Node { kind, format, ..Node::default() }
}

fn parse_fact(place: &mut Node, word: &str) {
    match word.split_once('=') {
        Some(("lt", list)) => {
            place.list_told = true;
            match list {
                "set" => place.list = ListType::Set,
                "map" => place.list = ListType::Map(Vec::new()),
                _ => {}
            }
        }
        Some(("lk", keys)) => place.list = ListType::Map(keys.split(',').map(str::to_owned).collect()),
        Some(("ps", strategy)) => {
            place.merge_list = strategy.split(',').any(|word| word == "merge");
            place.replaces = strategy == "replace";
            place.retain_keys = strategy.split(',').any(|word| word == "retainKeys");
        }
        Some(("pk", key)) => place.merge_key = Some(key.to_owned()),
        Some(("mt", "atomic")) => place.map = MapType::Atomic,
        Some(("mt", "granular")) => place.map = MapType::Granular,
        Some(("f", "a")) => place.presence = Presence::Always,
        Some(("f", "e")) => place.presence = Presence::NotEmpty,
        Some(("f", "n")) => place.presence = Presence::Null,
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reference_of_the_table_resolves() {
        fn check(place: &Node, at: &str) {
            match &place.kind {
                Kind::Ref(name) => assert!(builtin(name).is_some(), "{at} refers to {name}"),
                Kind::Array(inner) | Kind::Map(inner) => check(inner, at),
                _ => {}
            }
            for (name, field) in &place.properties {
                check(field, &format!("{at}.{name}"));
            }
        }
        assert!(builtins().len() > 400);
        for (name, node) in builtins() {
            check(node, name);
        }
    }

    #[test]
    fn lists_know_how_they_are_shared() {
        let spec = builtin("io.k8s.api.core.v1.PodSpec").unwrap();
        let containers = spec.field("containers").unwrap();
        assert_eq!(containers.list, ListType::Map(vec!["name".into()]));
        assert_eq!(containers.merge_key.as_deref(), Some("name"));
        let container = containers.items().unwrap();
        assert_eq!(
            container.field("ports").unwrap().list,
            ListType::Map(vec!["containerPort".into(), "protocol".into()])
        );
        assert_eq!(container.field("args").unwrap().list, ListType::Atomic);
        let meta = builtin("io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta").unwrap();
        assert_eq!(meta.field("finalizers").unwrap().list, ListType::Set);
    }
}
