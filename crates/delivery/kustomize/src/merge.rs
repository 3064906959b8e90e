//! Strategic merge as kyaml does it: field by field, lists by their keys, patch items first.

use std::rc::Rc;

use crate::{
    fail::{Fail, Step},
    path::{quote_if_not_text, set_field, set_scalar, wants_quotes, wrong_kind},
    schema::{Facts, Kinds, Place, type_meta},
    yaml::{Key, Map, Node, Scalar, Tag},
};

const DIRECTIVE: &str = "$patch";

/// Merges a patch into a tree; `None` if nothing is left of it.
pub(crate) fn merge(kinds: &Kinds, target: Node, patch: Node) -> Step<Option<Node>> {
    let walker = Walker { kinds };
    Ok(walker.walk(Some(target), Source::Patch(patch), None)?.node)
}

/// What is merged into a place.
enum Source {
    Nothing,
    /// The place itself: a part of a patch that is new to the target.
    Itself,
    Patch(Node),
}

struct Merged {
    node: Option<Node>,
    /// The target's node was written to, rather than another put in its place.
    in_place: bool,
}

/// A place in a type and the table that it is of.
#[derive(Clone)]
struct Schema {
    custom: Option<Rc<Facts>>,
    place: Place,
}

impl Schema {
    fn facts(&self) -> &Facts {
        self.custom.as_deref().unwrap_or_else(|| Facts::built_in())
    }

    fn field(&self, name: &str) -> Option<Schema> {
        let place = self.facts().field(&self.place, name)?.clone();
        Some(Schema { custom: self.custom.clone(), place })
    }

    fn items(&self) -> Option<Schema> {
        match &self.place {
            Place::List(inner, _) => Some(Schema { custom: self.custom.clone(), place: (**inner).clone() }),
            _ => None,
        }
    }

    /// The keys of a list that is merged.
    fn keys(&self) -> Option<&[String]> {
        match &self.place {
            Place::List(_, keys) => keys.as_deref(),
            _ => None,
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Directive {
    Merge,
    Replace,
    Delete,
}

impl Directive {
    fn read(text: &str) -> Step<Self> {
        match text {
            "merge" => Ok(Directive::Merge),
            "replace" => Ok(Directive::Replace),
            "delete" => Ok(Directive::Delete),
            other => Err(Fail::build(format!("unknown patch strategy '{other}'"))),
        }
    }
}

struct Walker<'a> {
    kinds: &'a Kinds,
}

impl Walker<'_> {
    fn walk(&self, target: Option<Node>, source: Source, schema: Option<Schema>) -> Step<Merged> {
        let schema = schema.or_else(|| self.schema_of(target.as_ref(), &source));
        let first = target.as_ref().filter(|node| !node.is_null()).or(match &source {
            Source::Patch(node) if !node.is_null() => Some(node),
            _ => None,
        });
        let expected = first.map_or("", Node::kind_name);
        if !expected.is_empty() {
            let patch = match &source {
                Source::Patch(node) => Some(node),
                _ => None,
            };
            for node in target.iter().chain(patch).filter(|node| !node.is_null()) {
                if node.kind_name() != expected {
                    return Err(wrong_kind(expected, node));
                }
            }
        }
        match expected {
            "SequenceNode" => self.list(target, source, schema.as_ref()),
            "ScalarNode" => Ok(match source {
                Source::Patch(node) => Merged { node: Some(node), in_place: false },
                _ => Merged { node: target, in_place: true },
            }),
            _ => self.map(target, source, schema.as_ref()),
        }
    }

    fn schema_of(&self, target: Option<&Node>, source: &Source) -> Option<Schema> {
        let patch = match source {
            Source::Patch(node) => Some(node),
            _ => None,
        };
        target.into_iter().chain(patch).find_map(|node| {
            let (api, kind) = type_meta(node)?;
            if let Some((facts, place)) = self.kinds.merge_of(api, kind) {
                return Some(Schema { custom: Some(facts), place });
            }
            if !self.kinds.uses_built_in() {
                return None;
            }
            Facts::built_in().of_kind(api, kind).map(|place| Schema { custom: None, place })
        })
    }

    fn map(&self, target: Option<Node>, source: Source, schema: Option<&Schema>) -> Step<Merged> {
        let gone = Merged { node: None, in_place: false };
        let missing = target.as_ref().is_none_or(Node::is_null);
        if missing {
            return match (target, source) {
                (_, Source::Patch(mut patch)) => {
                    if patch.is_null() {
                        return Ok(Merged { node: Some(patch), in_place: false });
                    }
                    if map_directive(&mut patch)? == Directive::Delete {
                        return Ok(gone);
                    }
                    let merged = self.fields(patch, Source::Itself, schema)?;
                    Ok(Merged { node: Some(merged), in_place: false })
                }
                // A null that was written out is kept; a field without a value is not.
                (Some(Node::Scalar(null)), Source::Nothing) if !null.value.is_empty() => {
                    Ok(Merged { node: Some(Node::Scalar(Scalar { keep: true, ..null })), in_place: false })
                }
                (Some(null), Source::Itself) => Ok(Merged { node: Some(null), in_place: false }),
                _ => Ok(gone),
            };
        }
        let Some(mut target) = target else { return Ok(gone) };
        match source {
            Source::Nothing => {
                let merged = self.fields(target, Source::Nothing, schema)?;
                Ok(Merged { node: Some(merged), in_place: true })
            }
            Source::Itself => {
                if map_directive(&mut target)? == Directive::Delete {
                    return Ok(gone);
                }
                let merged = self.fields(target, Source::Itself, schema)?;
                Ok(Merged { node: Some(merged), in_place: true })
            }
            Source::Patch(patch) if patch.is_null() => Ok(gone),
            Source::Patch(mut patch) => match map_directive(&mut patch)? {
                Directive::Delete => Ok(gone),
                Directive::Replace => {
                    let merged = self.fields(patch, Source::Itself, schema)?;
                    Ok(Merged { node: Some(merged), in_place: false })
                }
                Directive::Merge => {
                    let merged = self.fields(target, Source::Patch(patch), schema)?;
                    Ok(Merged { node: Some(merged), in_place: true })
                }
            },
        }
    }

    fn fields(&self, mut target: Node, source: Source, schema: Option<&Schema>) -> Step<Node> {
        let child = |name: &str| schema.and_then(|schema| schema.field(name));
        let (patch, itself) = match source {
            Source::Patch(Node::Map(map)) => (Some(map), false),
            Source::Itself => (None, true),
            _ => (None, false),
        };
        let Some(present) = target.as_map() else { return Ok(target) };
        let mut names: Vec<Rc<str>> = Vec::new();
        for (key, value) in &present.entries {
            let patched = itself || patch.as_ref().is_some_and(|patch| patch.get(&key.text).is_some());
            if patched || !self.is_calm(value, child(&key.text).as_ref()) {
                names.push(key.text.clone());
            }
        }
        if let Some(patch) = &patch {
            let new = patch.entries.iter().map(|(key, _)| key.text.clone());
            names.extend(new.filter(|name| present.get(name).is_none()));
        }
        if names.is_empty() {
            return Ok(target);
        }
        names.sort_unstable();
        let Some(map) = target.as_map_mut() else { return Ok(target) };
        for name in names {
            let schema = child(&name);
            let source = match &patch {
                _ if itself => Source::Itself,
                Some(patch) => patch.get(&name).cloned().map_or(Source::Nothing, Source::Patch),
                None => Source::Nothing,
            };
            // Taken out, so that it is not copied to be written to.
            let old = map.get_mut(&name).map(|place| match place {
                Node::Scalar(scalar) => Node::Scalar(scalar.clone()),
                place => std::mem::replace(place, Node::Scalar(Scalar::bare(""))),
            });
            let key = patch.as_ref().and_then(|patch| patch.position(&name).map(|at| patch.entries[at].0.clone()));
            let merged = self.walk(old, source, schema)?;
            if merged.in_place
                && let Some(Node::Scalar(_)) = &merged.node
            {
                // Set to itself, it is quoted where YAML 1.1 would take it for no text.
                if let Some(Node::Scalar(scalar)) = map.get_mut(&name) {
                    quote_if_not_text(scalar);
                }
                continue;
            }
            match merged.node {
                Some(node @ Node::Scalar(_)) => set_scalar_field(map, &name, key, node),
                Some(node) => match map.get_mut(&name) {
                    Some(place) => *place = node,
                    None => map.entries.push((key.unwrap_or_else(|| Key::new(name)), node)),
                },
                None => {
                    map.remove(&name);
                }
            }
        }
        Ok(target)
    }

    fn list(&self, target: Option<Node>, source: Source, schema: Option<&Schema>) -> Step<Merged> {
        let Some(keys) = schema.and_then(Schema::keys).map(<[String]>::to_vec) else {
            return Ok(match source {
                Source::Patch(node) => Merged { node: Some(node), in_place: false },
                _ => Merged { node: target, in_place: true },
            });
        };
        let items = schema.and_then(Schema::items);
        let gone = Merged { node: None, in_place: false };
        let missing = target.as_ref().is_none_or(Node::is_null);
        let (target, source) = match source {
            Source::Patch(patch) if missing => (Some(patch), Source::Itself),
            Source::Patch(patch) if patch.is_null() => return Ok(gone),
            source => (target, source),
        };
        let Some(Node::Seq(target)) = target else { return Ok(gone) };
        let mut target = Rc::unwrap_or_clone(target);
        let mut patch: Option<Vec<Node>> = None;
        let mut itself = matches!(source, Source::Itself);
        if let Source::Patch(Node::Seq(seq)) = source {
            let mut items = seq.items.clone();
            match list_directive(&mut items)? {
                Directive::Delete => return Ok(gone),
                Directive::Replace => {
                    target.items = items;
                    itself = true;
                }
                Directive::Merge => patch = Some(items),
            }
        } else if itself && !missing && list_directive(&mut target.items)? == Directive::Delete {
            return Ok(gone);
        }
        let flow = target.flow;
        let items = self.items(target.items, patch, itself, &keys, items.as_ref())?;
        Ok(Merged { node: Some(Node::Seq(Rc::new(crate::yaml::Seq { items, flow }))), in_place: false })
    }

    /// Merges the items of a list by their keys; those of the patch come first.
    fn items(
        &self,
        mut target: Vec<Node>,
        mut patch: Option<Vec<Node>>,
        itself: bool,
        keys: &[String],
        schema: Option<&Schema>,
    ) -> Step<Vec<Node>> {
        let scalars = [String::new()];
        let (mut values, keys) = if keys.is_empty() {
            (scalar_values(patch.as_deref(), &target), &scalars[..])
        } else {
            (key_values(patch.as_deref(), &target, keys), keys)
        };
        if keys.len() > 1 {
            join_values(&mut values);
        }
        let mut added: Vec<Node> = Vec::new();
        let mut valid: (Vec<String>, Vec<String>) = (Vec::new(), Vec::new());
        for index in 0..values.len() {
            valid = usable_keys(&values, &values[index], keys);
            let (keys, wanted) = (&valid.0, &valid.1);
            let (own_keys, own_wanted) = usable_keys(std::slice::from_ref(wanted), wanted, keys);
            let at = find_item(&target, &own_keys, &own_wanted);
            let source = match &mut patch {
                _ if itself => Source::Itself,
                Some(patch) => match find_item(patch, &own_keys, &own_wanted) {
                    Some(at) => Source::Patch(patch[at].clone()),
                    None => Source::Nothing,
                },
                None => Source::Nothing,
            };
            let old = at.map(|at| target[at].clone());
            let merged = self.walk(old, source, schema.cloned())?;
            let Some(mut item) = merged.node.filter(|node| !node.is_null() && !node.is_empty_map()) else {
                set_item(&mut target, None, keys, wanted)?;
                continue;
            };
            for (key, value) in keys.iter().zip(wanted) {
                if !value.is_empty() && item.get(key).is_none() {
                    match &mut item {
                        Node::Map(map) => set_field(Rc::make_mut(map), key, Node::bare(value.as_str())),
                        item => set_scalar(item, Scalar::bare(value.as_str()))?,
                    }
                }
            }
            if merged.in_place
                && let Some(at) = at
            {
                target[at] = item.clone();
            }
            set_item(&mut added, Some(item), keys, wanted)?;
        }
        if values.is_empty() {
            return Ok(target);
        }
        append_items(&mut added, &target, &valid.0)?;
        Ok(added)
    }

    /// Returns whether walking a place that no patch names would leave it as it is.
    fn is_calm(&self, node: &Node, schema: Option<&Schema>) -> bool {
        match node {
            Node::Scalar(scalar) => scalar.tag != Tag::Null && !wants_quotes(scalar),
            Node::Map(map) => {
                let found;
                let schema = match schema {
                    Some(schema) => Some(schema),
                    None => {
                        found = self.schema_of(Some(node), &Source::Nothing);
                        found.as_ref()
                    }
                };
                map.entries.iter().all(|(key, value)| match (value, schema) {
                    (Node::Scalar(_), _) => self.is_calm(value, None),
                    (value, schema) => self.is_calm(value, schema.and_then(|schema| schema.field(&key.text)).as_ref()),
                })
            }
            Node::Seq(seq) => {
                let Some(schema) = schema else { return true };
                let Some(keys) = schema.keys() else { return true };
                let values =
                    if keys.is_empty() { scalar_values(None, &seq.items) } else { key_values(None, &seq.items, keys) };
                let told = values.len() == seq.items.len();
                let even = (0..keys.len()).all(|at| {
                    let missing = values.iter().filter(|value| value[at].is_empty()).count();
                    missing == 0 || (missing == values.len() && keys.len() > 1 && at > 0)
                });
                let shaped = seq.items.iter().all(|item| item.as_map().is_some() != keys.is_empty());
                let inner = schema.items();
                told && even && shaped && seq.items.iter().all(|item| self.is_calm(item, inner.as_ref()))
            }
        }
    }
}

fn set_scalar_field(map: &mut Map, name: &Rc<str>, key: Option<Key>, node: Node) {
    if map.get(name).is_some() {
        return set_field(map, name, node);
    }
    let before = map.entries.len();
    set_field(map, name, node);
    if map.entries.len() > before
        && let Some(key) = key
        && let Some(last) = map.entries.last_mut()
    {
        last.0 = key;
    }
}

/// Reads and takes off a mapping's `$patch`.
fn map_directive(patch: &mut Node) -> Step<Directive> {
    let Some(found) = patch.get(DIRECTIVE) else { return Ok(Directive::Merge) };
    let directive = Directive::read(found.value())?;
    if let Some(map) = patch.as_map_mut() {
        map.remove(DIRECTIVE);
    }
    Ok(directive)
}

/// Reads and takes off a list's `$patch` item.
fn list_directive(items: &mut Vec<Node>) -> Step<Directive> {
    let Some(map) = items.iter().find_map(|item| item.as_map().filter(|map| map.get(DIRECTIVE).is_some())) else {
        return Ok(Directive::Merge);
    };
    if map.entries.len() > 1 {
        return Ok(Directive::Merge);
    }
    let word = map.get(DIRECTIVE).map_or("", Node::value).to_owned();
    let directive = Directive::read(&word)?;
    set_item(items, None, &[DIRECTIVE.to_owned()], &[word])?;
    Ok(directive)
}

fn scalar_values(patch: Option<&[Node]>, target: &[Node]) -> Vec<Vec<String>> {
    let mut values: Vec<Vec<String>> = Vec::new();
    for item in patch.unwrap_or_default().iter().chain(target) {
        if !values.iter().any(|known| known[0] == item.value()) {
            values.push(vec![item.value().to_owned()]);
        }
    }
    values
}

fn key_values(patch: Option<&[Node]>, target: &[Node], keys: &[String]) -> Vec<Vec<String>> {
    let mut values: Vec<Vec<String>> = Vec::new();
    for item in patch.unwrap_or_default().iter().chain(target) {
        let value: Vec<String> = keys
            .iter()
            .map(|key| item.get(key).filter(|value| !value.is_nil_or_empty()).map_or("", Node::value).to_owned())
            .collect();
        if !values.contains(&value) {
            values.push(value);
        }
    }
    values
}

/// Items that say less are taken for those that say more, where they agree in something.
fn join_values(values: &mut [Vec<String>]) {
    for i in 0..values.len() {
        // What it was when its turn came.
        let own = values[i].clone();
        for j in 0..values.len() {
            let Some(joined) = join(&own, &values[j]) else { continue };
            values[i].clone_from(&joined);
            values[j].clone_from(&joined);
        }
    }
}

fn join(a: &[String], b: &[String]) -> Option<Vec<String>> {
    let mut common = false;
    let mut joined = Vec::with_capacity(a.len());
    for (a, b) in a.iter().zip(b) {
        if a == b {
            common = true;
        } else if !a.is_empty() && !b.is_empty() {
            return None;
        }
        joined.push(if a.is_empty() { b.clone() } else { a.clone() });
    }
    common.then_some(joined)
}

/// Returns the keys that any item has, with an item's values for them.
fn usable_keys(all: &[Vec<String>], values: &[String], keys: &[String]) -> (Vec<String>, Vec<String>) {
    let used: Vec<bool> =
        (0..keys.len()).map(|at| all.iter().any(|values| values.get(at).is_some_and(|v| !v.is_empty()))).collect();
    if !used.contains(&true) {
        return (keys.to_vec(), values.to_vec());
    }
    let pick = |list: &[String]| -> Vec<String> {
        list.iter().zip(&used).filter(|(_, used)| **used).map(|(text, _)| text.clone()).collect()
    };
    (pick(keys), pick(values))
}

/// Returns the first item that has the values.
fn find_item(items: &[Node], keys: &[String], values: &[String]) -> Option<usize> {
    if keys.first().is_none_or(String::is_empty) {
        let wanted = values.first().map_or("", String::as_str);
        return items.iter().position(|item| item.value() == wanted);
    }
    items.iter().position(|item| {
        item.as_map().is_some_and(|map| {
            keys.iter().zip(values).all(|(key, value)| map.get(key).is_some_and(|field| field.value() == value))
        })
    })
}

/// Puts an item in the place of those that have the values, or takes those away (`ElementSetter`).
fn set_item(items: &mut Vec<Node>, element: Option<Node>, keys: &[String], values: &[String]) -> Step<()> {
    let by_field = keys.first().is_some_and(|key| !key.is_empty()) && values.first().is_some_and(|v| !v.is_empty());
    let mut kept = Vec::with_capacity(items.len() + 1);
    let mut matched = false;
    for item in items.drain(..) {
        if item.is_null() || item.is_empty_map() {
            continue;
        }
        if item.as_map().is_none() && by_field {
            kept.push(item);
            continue;
        }
        if !has_values(&item, keys, values)? {
            if !values.is_empty() {
                kept.push(item);
            }
            continue;
        }
        matched = true;
        if let Some(element) = &element {
            kept.push(element.clone());
        }
    }
    *items = kept;
    if let Some(element) = element.filter(|element| !element.is_null())
        && !matched
    {
        items.push(element);
    }
    Ok(())
}

fn has_values(item: &Node, keys: &[String], values: &[String]) -> Step<bool> {
    let mut last = false;
    for (at, key) in keys.iter().enumerate() {
        if let Some(value) = values.get(at) {
            last = if key.is_empty() {
                match item {
                    Node::Scalar(scalar) => scalar.get() == value,
                    item => return Err(wrong_kind("ScalarNode", item)),
                }
            } else {
                match item {
                    Node::Map(map) => map.get(key).is_some_and(|field| value.is_empty() || field.value() == value),
                    item => return Err(wrong_kind("MappingNode", item)),
                }
            };
        }
        if !last {
            return Ok(false);
        }
    }
    Ok(true)
}

fn append_items(items: &mut Vec<Node>, more: &[Node], keys: &[String]) -> Step<()> {
    for item in more {
        if keys.first().is_none_or(String::is_empty) {
            set_item(items, Some(item.clone()), &[String::new()], &[item.value().to_owned()])?;
            continue;
        }
        let mut values = Vec::with_capacity(keys.len());
        for key in keys {
            let field = match item {
                Node::Map(map) => map.get(key),
                item if item.is_null() => None,
                item => return Err(wrong_kind("MappingNode", item)),
            };
            match field {
                Some(field) => values.push(field.value().to_owned()),
                None => items.push(item.clone()),
            }
        }
        if keys.len() > 1 {
            set_item(items, None, keys, &values)?;
        }
        set_item(items, Some(item.clone()), keys, &values)?;
    }
    Ok(())
}
