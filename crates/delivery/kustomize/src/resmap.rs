//! Resources in order, no two of the same id.

use std::{collections::HashSet, rc::Rc};

use crate::{
    fail::{Fail, Step},
    id::Id,
    resource::{Behavior, ORIGIN, Resource},
    schema::Kinds,
};

type Known = HashSet<(Rc<str>, Rc<str>, Rc<str>, Rc<str>)>;

/// Resources in the order they were added.
#[derive(Clone, Debug)]
pub(crate) struct ResMap {
    list: Vec<Resource>,
    pub(crate) kinds: Rc<Kinds>,
    /// Ids of all, as long as nobody wrote to a resource.
    known: Option<Known>,
}

impl ResMap {
    pub(crate) fn new(kinds: Rc<Kinds>) -> Self {
        Self { list: Vec::new(), kinds, known: Some(Known::new()) }
    }

    pub(crate) fn from_list(kinds: Rc<Kinds>, list: Vec<Resource>) -> Step<Self> {
        let mut map = Self::new(kinds);
        map.append_all(list)?;
        Ok(map)
    }

    pub(crate) fn list(&self) -> &[Resource] {
        &self.list
    }

    /// Gives the resources to write to; ids are looked up anew afterwards.
    pub(crate) fn list_mut(&mut self) -> &mut Vec<Resource> {
        self.known = None;
        &mut self.list
    }

    pub(crate) fn into_list(self) -> Vec<Resource> {
        self.list
    }

    pub(crate) fn append_all(&mut self, resources: Vec<Resource>) -> Step<()> {
        resources.into_iter().try_for_each(|resource| self.append(resource))
    }

    pub(crate) fn append(&mut self, resource: Resource) -> Step<()> {
        let id = resource.id(&self.kinds);
        let known =
            self.known.get_or_insert_with(|| self.list.iter().map(|other| other.id(&self.kinds).key()).collect());
        if !known.insert(id.key()) {
            return Err(Fail::build(format!("may not add resource with an already registered id: {id}")));
        }
        self.list.push(resource);
        Ok(())
    }

    /// Fails if two resources have the same id.
    pub(crate) fn check_ids(&mut self) -> Step<()> {
        let list = std::mem::take(&mut self.list);
        self.known = Some(Known::new());
        self.append_all(list)
    }

    pub(crate) fn drop_empties(&mut self) {
        if self.list.iter().any(|resource| resource.node.is_nil_or_empty()) {
            self.known = None;
            self.list.retain(|resource| !resource.node.is_nil_or_empty());
        }
    }

    /// Returns the positions of resources that have or had a matching id.
    pub(crate) fn matching_any(&self, matches: impl Fn(&Id) -> bool) -> Vec<usize> {
        let mut found = Vec::new();
        for (at, resource) in self.list.iter().enumerate() {
            if resource.node.is_nil_or_empty() {
                continue;
            }
            if matches(&resource.id(&self.kinds)) || resource.previous_ids().any(|id| matches(&id)) {
                found.push(at);
            }
        }
        found
    }

    /// Returns the one resource that has or had an id.
    pub(crate) fn by_id(&self, id: &Id) -> Step<usize> {
        let found = self.matching_any(|other| other.same(id));
        match found.as_slice() {
            [one] => Ok(*one),
            found => {
                let what = if found.is_empty() { "no matches" } else { "multiple matches" };
                Err(Fail::build(format!("{what} for Id {id}; failed to find unique target for patch {id}")))
            }
        }
    }

    /// Adds what a generator made, or merges it into what is there.
    pub(crate) fn absorb_all(&mut self, resources: Vec<Resource>) -> Step<()> {
        for resource in resources {
            self.absorb(resource)?;
        }
        Ok(())
    }

    fn absorb(&mut self, mut new: Resource) -> Step<()> {
        let id = new.id(&self.kinds);
        let found = self.matching_any(|other| other.same(&id));
        let behavior = new.memory().behavior;
        let shown = || {
            format!(
                "resid.ResId{{Gvk:resid.Gvk{{Group:\"{}\", Version:\"{}\", Kind:\"{}\", isClusterScoped:{}}}, Name:\"{}\", Namespace:\"{}\"}}",
                id.gvk().group,
                id.gvk().version,
                id.kind,
                id.is_cluster(),
                id.name,
                id.written
            )
        };
        match (found.as_slice(), behavior) {
            ([], Behavior::Merge | Behavior::Replace) => {
                Err(Fail::build(format!("id {} does not exist; cannot merge or replace", shown())))
            }
            ([], _) => self.append(new),
            ([at], Behavior::Replace) => {
                copy_metadata(&mut new, &self.list[*at]);
                self.replace(*at, new)
            }
            ([at], Behavior::Merge) => {
                let old = &self.list[*at];
                let origin = old.annotation(ORIGIN).map(str::to_owned);
                crate::generate::merge_data(&mut new, old)?;
                if let Some(origin) = origin {
                    new.set_annotation(ORIGIN, Some(&origin));
                }
                self.replace(*at, new)
            }
            ([_], behavior) => Err(Fail::build(format!(
                "id {} exists; can not use behavior: '{}', behavior must be merge or replace",
                shown(),
                behavior.word()
            ))),
            (several, _) => {
                let names: Vec<String> =
                    several.iter().map(|at| crate::generate::shown_json(&self.list[*at])).collect();
                Err(Fail::build(format!(
                    "found multiple objects [{}] that could accept merge of {id}",
                    names.join(" ")
                )))
            }
        }
    }

    fn replace(&mut self, at: usize, new: Resource) -> Step<()> {
        let id = new.id(&self.kinds);
        let same: Vec<usize> = self
            .list
            .iter()
            .enumerate()
            .filter(|(_, other)| other.id(&self.kinds).same(&id))
            .map(|(index, _)| index)
            .collect();
        match same.as_slice() {
            [index] if *index == at => {
                self.list[at] = new;
                Ok(())
            }
            [] => Err(Fail::build(format!("cannot find resource with id {id} to replace"))),
            [_] => Err(Fail::build("unexpected target index in replacement")),
            several => Err(Fail::build(format!("in Replace: id matched {} resources", several.len()))),
        }
    }
}

/// Takes over labels, annotations, name and namespace of another (`CopyMergeMetaDataFieldsFrom`): own ones win.
pub(crate) fn copy_metadata(new: &mut Resource, old: &Resource) {
    for field in ["labels", "annotations"] {
        let mut merged = old.strings(field);
        for (key, value) in new.strings(field) {
            match merged.iter_mut().find(|(known, _)| *known == key) {
                Some(entry) => entry.1 = value,
                None => merged.push((key, value)),
            }
        }
        new.set_strings(field, merged);
    }
    new.set_name(&old.name());
    new.set_namespace(&old.namespace());
    let needs_hash = new.memory().needs_hash;
    new.take_memory(old);
    new.memory_mut().needs_hash = needs_hash && old.memory().needs_hash;
}
