//! How large the values of a schema can be.

use std::collections::BTreeMap;

use schema::model::{Kind, Node};

use super::MAX_REQUEST;
use crate::schemas::{Place, escape};

/// The longest text that a request has room for.
const LONGEST: u64 = MAX_REQUEST - 2;

/// How large the values at a place of a schema can be, and those below it.
#[derive(Clone, Debug, Default)]
pub struct Bound {
    /// The most characters, bytes, items or entries.
    pub(super) most: u64,
    /// The fewest bytes that it is written with.
    fewest_bytes: u64,
    /// The values of a list or map.
    pub(super) inner: Option<Box<Bound>>,
    /// The keys of a map.
    pub(super) keys: Option<Box<Bound>>,
    /// Fields by their (escaped) names.
    pub(super) fields: BTreeMap<String, Bound>,
}

impl Bound {
    /// Returns the bound of a place of a custom resource, if rules can see it.
    #[must_use]
    pub fn of(node: &Node, place: Place) -> Option<Bound> {
        let place = if node.embedded { Place::Root } else { place };
        let length = node.rules.max_length;
        Some(match &node.kind {
            Kind::IntOrString => leaf(length.map_or(LONGEST, |most| most.saturating_mul(4)), 1),
            Kind::Array(items) => {
                let inner = Bound::of(items, Place::Inner)?;
                let most = node.rules.max_items.unwrap_or(LONGEST / (inner.fewest_bytes + 1));
                Bound { inner: Some(Box::new(inner)), ..leaf(most, 2) }
            }
            // Any value at all: rules see an object without fields.
            Kind::Map(values) if values.preserve_unknown && values.kind == Kind::Any => leaf(0, 2),
            Kind::Map(values) => {
                let inner = Bound::of(values, Place::Inner)?;
                // A key has two characters at least in this model, with quotation marks, colon and comma.
                let most = node.rules.max_properties.unwrap_or(LONGEST / (inner.fewest_bytes + 6));
                Bound { inner: Some(Box::new(inner)), keys: Some(Box::new(leaf(0, 2))), ..leaf(most, 2) }
            }
            Kind::Object => object(node, place),
            Kind::Any if place == Place::Root => object(node, place),
            Kind::String => text(node),
            Kind::Boolean => leaf(0, 4),
            Kind::Number | Kind::Integer => leaf(0, 1),
            Kind::Any | Kind::Ref(_) => return None,
        })
    }

    /// Returns how many such values one request has room for.
    #[must_use]
    pub fn at_most(&self) -> u64 {
        MAX_REQUEST / (self.fewest_bytes + 1)
    }
}

fn leaf(most: u64, fewest_bytes: u64) -> Bound {
    Bound { most, fewest_bytes, ..Bound::default() }
}

fn text(node: &Node) -> Bound {
    let length = node.rules.max_length;
    match node.format.as_deref() {
        Some("byte") => leaf(length.unwrap_or(LONGEST), 2),
        Some("duration") => leaf(32, 3),
        Some("date") => leaf(12, 12),
        Some("date-time") => leaf(32, 21),
        _ => {
            // A character has four bytes at most.
            let longest =
                node.rules.enumeration.iter().filter_map(|value| value.as_str()).map(|text| text.len() as u64);
            let most = match length {
                Some(most) => most.saturating_mul(4),
                None if node.rules.enumeration.is_empty() => LONGEST,
                None => longest.max().unwrap_or_default(),
            };
            leaf(most, 2)
        }
    }
}

fn object(node: &Node, place: Place) -> Bound {
    let mut bound = leaf(0, 2);
    for (name, field) in &node.properties {
        let Some(inner) = Bound::of(field, Place::Inner) else { continue };
        // Whatever is embedded says its version and kind, which its schema need not ask for.
        let asked = node.required.iter().filter(|required| *required == name).count();
        let own = node.embedded && matches!(name.as_str(), "apiVersion" | "kind");
        if asked > usize::from(own) && field.default.is_none() {
            bound.fewest_bytes += name.len() as u64 + inner.fewest_bytes + 4;
        }
        if let Some(name) = escape(name) {
            bound.fields.insert(name, inner);
        }
    }
    if place == Place::Root {
        let plain = || leaf(LONGEST, 2);
        let names = ["name", "generateName"].map(|name| (name.to_owned(), plain()));
        bound.fields.insert("apiVersion".to_owned(), plain());
        bound.fields.insert("kind".to_owned(), plain());
        bound.fields.insert("metadata".to_owned(), Bound { fields: names.into(), ..leaf(0, 2) });
    }
    bound
}
