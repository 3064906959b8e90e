//! What kustomize knows of kinds: their scope, and how strategic merges share their lists.
//!
//! The table is kustomize's own (Kubernetes v1.21.2), not the newest: lists of later types are
//! replaced, as `kustomize build` replaces them.

use std::{
    cell::{Cell, RefCell},
    collections::{BTreeMap, HashMap},
    rc::Rc,
    sync::OnceLock,
};

use serde_json::Value;

use crate::{
    fail::{Cause, Fail, Step},
    id::known_cluster,
    yaml::Node,
};

/// The version of Kubernetes that the table is of.
const BUILT_IN: &str = "v1.21.2";

/// What stands at a place of a type.
#[derive(Clone, Debug)]
pub(crate) enum Place {
    /// Something without lists that are merged.
    Opaque,
    /// A type of the table.
    Type(usize),
    /// A list, with the fields that items are told apart by; none are for scalars.
    List(Box<Place>, Option<Vec<String>>),
    /// Free names.
    Map(Box<Place>),
}

/// How types are merged.
#[derive(Debug, Default)]
pub(crate) struct Facts {
    types: Vec<BTreeMap<String, Place>>,
    kinds: HashMap<(String, String), usize>,
    scopes: HashMap<(String, String), bool>,
}

impl Facts {
    /// Returns the built-in table.
    pub(crate) fn built_in() -> &'static Facts {
        static FACTS: OnceLock<Facts> = OnceLock::new();
        FACTS.get_or_init(|| Facts::read(include_str!("kubernetes.merge")))
    }

    pub(crate) fn of_kind(&self, api: &str, kind: &str) -> Option<Place> {
        self.kinds.get(&(api.to_owned(), kind.to_owned())).map(|at| Place::Type(*at))
    }

    pub(crate) fn field<'a>(&'a self, place: &'a Place, name: &str) -> Option<&'a Place> {
        match place {
            Place::Type(at) => self.types.get(*at)?.get(name),
            Place::Map(inner) => Some(inner),
            Place::Opaque | Place::List(..) => None,
        }
    }

    fn read(text: &str) -> Facts {
        let mut facts = Facts::default();
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            if let Some(kinds) = line.strip_prefix('=') {
                for kind in kinds.split_whitespace() {
                    if let Some((api, kind)) = kind.rsplit_once('/') {
                        facts.kinds.insert((api.to_owned(), kind.to_owned()), facts.types.len());
                    }
                }
                facts.types.push(BTreeMap::new());
            } else if let Some((name, place)) = line.trim_start().split_once(' ')
                && let Some(fields) = facts.types.last_mut()
            {
                fields.insert(name.to_owned(), Self::place(place));
            }
        }
        facts
    }

    fn place(text: &str) -> Place {
        if let Some(inner) = text.strip_prefix('[') {
            let (inner, keys) = inner.split_once(' ').map_or((inner, None), |(inner, keys)| (inner, Some(keys)));
            let keys =
                keys.map(|keys| if keys == "=" { Vec::new() } else { keys.split(',').map(str::to_owned).collect() });
            return Place::List(Box::new(Self::place(inner)), keys);
        }
        if let Some(inner) = text.strip_prefix('{') {
            return Place::Map(Box::new(Self::place(inner)));
        }
        text.parse().map_or(Place::Opaque, Place::Type)
    }

    /// Reads an OpenAPI document.
    fn from_openapi(document: &Value) -> Facts {
        let mut facts = Facts::default();
        let empty = serde_json::Map::new();
        let definitions = document["definitions"].as_object().unwrap_or(&empty);
        let numbers: HashMap<&str, usize> =
            definitions.keys().enumerate().map(|(index, name)| (name.as_str(), index)).collect();
        for (index, definition) in definitions.values().enumerate() {
            let kinds = definition["x-kubernetes-group-version-kind"].as_array();
            for kind in kinds.into_iter().flatten().filter_map(type_of) {
                facts.kinds.insert(kind, index);
            }
            let fields = definition["properties"].as_object();
            facts.types.push(
                fields
                    .into_iter()
                    .flatten()
                    .map(|(name, schema)| (name.clone(), Self::schema(schema, &numbers, 0)))
                    .collect(),
            );
        }
        for (path, item) in document["paths"].as_object().unwrap_or(&empty) {
            let Some(kind) = type_of(&item["get"]["x-kubernetes-group-version-kind"]) else { continue };
            if path.contains("namespaces/{namespace}") {
                facts.scopes.insert(kind, false);
            } else {
                facts.scopes.entry(kind).or_insert(true);
            }
        }
        facts
    }

    fn schema(schema: &Value, numbers: &HashMap<&str, usize>, depth: usize) -> Place {
        if depth > 32 {
            return Place::Opaque;
        }
        if let Some(name) = schema["$ref"].as_str().and_then(|name| name.strip_prefix("#/definitions/")) {
            return numbers.get(name).map_or(Place::Opaque, |at| Place::Type(*at));
        }
        if schema["type"] == "array" {
            let strategy = schema["x-kubernetes-patch-strategy"].as_str().unwrap_or_default();
            let keys = strategy.split(',').any(|part| part == "merge").then(|| {
                if let Some(keys) = schema["x-kubernetes-list-map-keys"].as_array() {
                    return keys.iter().filter_map(Value::as_str).map(str::to_owned).collect();
                }
                schema["x-kubernetes-patch-merge-key"].as_str().map(str::to_owned).into_iter().collect()
            });
            return Place::List(Box::new(Self::schema(&schema["items"], numbers, depth + 1)), keys);
        }
        if schema["additionalProperties"].is_object() {
            return Place::Map(Box::new(Self::schema(&schema["additionalProperties"], numbers, depth + 1)));
        }
        Place::Opaque
    }
}

fn type_of(value: &Value) -> Option<(String, String)> {
    let (version, kind) = (value["version"].as_str()?, value["kind"].as_str()?);
    let api = match value["group"].as_str() {
        Some(group) if !group.is_empty() => format!("{group}/{version}"),
        _ => version.to_owned(),
    };
    Some((api, kind.to_owned()))
}

/// What a build knows of kinds.
#[derive(Debug, Default)]
pub(crate) struct Kinds {
    custom: RefCell<Option<Rc<Facts>>>,
    /// A kind was asked for that kustomize does not know by heart.
    asked: Cell<bool>,
    /// Somebody said which schema to use.
    said: Cell<bool>,
    /// Both schemas are in use.
    both: Cell<bool>,
}

impl Kinds {
    pub(crate) fn is_cluster(&self, api: &str, kind: &str) -> bool {
        if let Some(cluster) = known_cluster(api, kind) {
            return cluster;
        }
        self.asked.set(true);
        match &*self.custom.borrow() {
            Some(facts) => facts.scopes.get(&(api.to_owned(), kind.to_owned())).copied().unwrap_or(false),
            None => false,
        }
    }

    /// Returns how a kind is merged, and the table that says so.
    pub(crate) fn merge_of(&self, api: &str, kind: &str) -> Option<(Rc<Facts>, Place)> {
        let custom = self.custom.borrow().clone()?;
        custom.of_kind(api, kind).map(|place| (custom, place))
    }

    pub(crate) fn uses_built_in(&self) -> bool {
        self.custom.borrow().is_none() || self.both.get()
    }

    /// Returns a number that changes with the schema.
    pub(crate) fn state(&self) -> u8 {
        u8::from(self.said.get()) | (u8::from(self.custom.borrow().is_some()) << 1)
    }

    /// Acts on a kustomization's `openapi`; the first one counts.
    pub(crate) fn set(&self, version: Option<&str>, file: Option<&str>) -> Step<()> {
        if self.said.get() {
            return Ok(());
        }
        if let Some(text) = file {
            if version.is_some() {
                return Err(Fail::said("builtin version and custom schema provided, cannot use both"));
            }
            let node = crate::yaml::read::document(text, crate::yaml::read::Repeated::LastWins)
                .map_err(|error| Fail::new(Cause::Yaml, format!("invalid schema file: {error}")))?;
            let document = node.as_ref().map(crate::yaml::json::value).transpose()?.unwrap_or_default();
            *self.custom.borrow_mut() = Some(Rc::new(Facts::from_openapi(&document)));
            self.both.set(self.asked.get());
            self.said.set(true);
        } else if let Some(version) = version.filter(|version| !version.is_empty()) {
            if version != BUILT_IN {
                return Err(Fail::said("the specified OpenAPI version is not built in"));
            }
            self.said.set(true);
        }
        Ok(())
    }
}

/// Returns the `apiVersion` and `kind` of a tree that has both.
pub(crate) fn type_meta(node: &Node) -> Option<(&str, &str)> {
    let field = |name: &str| node.get(name).filter(|value| !value.is_nil_or_empty()).map(Node::value);
    let (api, kind) = (field("apiVersion")?, field("kind")?);
    (!api.is_empty() && !kind.is_empty()).then_some((api, kind))
}
