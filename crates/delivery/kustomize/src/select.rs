//! Which resources a selector selects.

use std::cell::OnceCell;

use regex::Regex;
use schema::selector::Labels;
use serde_json::{Map, Value};

use crate::{
    fail::{Fail, Step},
    id::{Id, split_api},
    parts::Selector,
    path::regex,
    resmap::ResMap,
    resource::Resource,
};

/// A pattern that has to match the whole text; none matches everything.
enum Anchored {
    Anything,
    Text(String),
    Pattern(Regex),
}

impl Anchored {
    fn new(pattern: &str) -> Step<Self> {
        if pattern.is_empty() {
            return Ok(Anchored::Anything);
        }
        if pattern.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_/".contains(&b)) {
            return Ok(Anchored::Text(pattern.to_owned()));
        }
        regex(&format!("^(?:{pattern})$")).map(Anchored::Pattern)
    }

    fn matches(&self, text: &str) -> bool {
        match self {
            Anchored::Anything => true,
            Anchored::Text(wanted) => wanted == text,
            Anchored::Pattern(pattern) => pattern.is_match(text),
        }
    }
}

/// A selector that was read.
pub(crate) struct Selection {
    group: Anchored,
    version: Anchored,
    kind: Anchored,
    name: Anchored,
    namespace: Anchored,
    labels: Option<Labels>,
    annotations: Option<Labels>,
    empty: bool,
}

impl Selection {
    pub(crate) fn new(selector: &Selector) -> Step<Self> {
        let labels = |text: &str| {
            if text.is_empty() {
                return Ok(None);
            }
            Labels::parse(text).map(Some).map_err(|error| Fail::said(error.to_string()))
        };
        Ok(Self {
            group: Anchored::new(&selector.gvk.group)?,
            version: Anchored::new(&selector.gvk.version)?,
            kind: Anchored::new(&selector.gvk.kind)?,
            name: Anchored::new(&selector.name)?,
            namespace: Anchored::new(&selector.namespace)?,
            labels: labels(&selector.labels)?,
            annotations: labels(&selector.annotations)?,
            empty: selector.gvk == crate::id::Gvk::default()
                && selector.name.is_empty()
                && selector.namespace.is_empty(),
        })
    }

    /// Returns whether it says nothing of kind, name and namespace.
    pub(crate) fn is_empty(&self) -> bool {
        self.empty
    }

    /// Returns whether it says something of labels or annotations.
    pub(crate) fn asks_strings(&self) -> bool {
        self.labels.is_some() || self.annotations.is_some()
    }

    pub(crate) fn matches_kind(&self, api: &str, kind: &str) -> bool {
        let (group, version) = split_api(api);
        self.kind.matches(kind) && self.group.matches(group) && self.version.matches(version)
    }

    /// Returns whether an id is selected, by its namespace as written.
    pub(crate) fn matches_id(&self, id: &Id) -> bool {
        self.matches_kind(&id.api, &id.kind) && self.name.matches(&id.name) && self.namespace.matches(&id.written)
    }

    pub(crate) fn matches_strings(&self, resource: &Resource) -> bool {
        matches_strings(self.labels.as_ref(), resource, "labels")
            && matches_strings(self.annotations.as_ref(), resource, "annotations")
    }
}

fn matches_strings(labels: Option<&Labels>, resource: &Resource, field: &str) -> bool {
    let Some(labels) = labels else { return true };
    let map: OnceCell<Map<String, Value>> = OnceCell::new();
    let strings = map.get_or_init(|| {
        let all = resource.strings(field).into_iter();
        all.map(|(key, value)| (key.to_string(), Value::String(value.to_string()))).collect()
    });
    labels.matches(Some(strings))
}

/// Returns the positions of the resources that a selector selects (`ResMap.Select`).
pub(crate) fn select(map: &ResMap, selector: &Selector) -> Step<Vec<usize>> {
    let selection = Selection::new(selector)?;
    let mut found = Vec::new();
    for (at, resource) in map.list().iter().enumerate() {
        if !selection.matches_kind(resource.api(), resource.kind()) {
            continue;
        }
        let id = resource.id(&map.kinds);
        let first = resource.original_id(&map.kinds);
        let placed = selection.namespace.matches(&first.namespace) || selection.namespace.matches(&id.namespace);
        let named = selection.name.matches(&first.name) || selection.name.matches(&id.name);
        if placed && named && selection.matches_strings(resource) {
            found.push(at);
        }
    }
    Ok(found)
}
