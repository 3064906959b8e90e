//! The order of resources in the output.

use std::{cmp::Ordering, collections::HashMap};

use crate::{
    fail::{Fail, Step},
    id::{FIRST, Gvk, Id, LAST, stable},
    parts::SortOptions,
    resmap::ResMap,
};

/// How resources are ordered where no kustomization says so.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reorder {
    /// Nobody said: kinds that others need come first.
    #[default]
    Unspecified,
    /// Kinds that others need come first.
    Legacy,
    /// As they were read.
    None,
}

/// Orders resources.
pub(crate) fn sort(map: &mut ResMap, options: Option<&SortOptions>, reorder: Reorder) -> Step<()> {
    let own = |list: &[&str]| list.iter().map(|kind| (*kind).to_owned()).collect();
    let (first, last): (Vec<String>, Vec<String>) = match options {
        Some(options) => {
            if options.order != "fifo" && options.order != "legacy" {
                return Err(Fail::said("the field 'sortOptions.order' must be one of [fifo, legacy]"));
            }
            if options.order == "fifo" {
                return match options.legacy {
                    Some(_) => Err(Fail::said(
                        "the field 'sortOptions.legacySortOptions' is set but the selected sort order is 'fifo', not 'legacy'",
                    )),
                    None => Ok(()),
                };
            }
            options.legacy.clone().unwrap_or_else(|| (own(FIRST), own(LAST)))
        }
        None if reorder == Reorder::None => return Ok(()),
        None => (own(FIRST), own(LAST)),
    };
    let mut ranks: HashMap<&str, i64> = HashMap::new();
    for (at, kind) in first.iter().enumerate() {
        ranks.insert(kind, at as i64 - first.len() as i64);
    }
    for (at, kind) in last.iter().enumerate() {
        ranks.insert(kind, 1 + at as i64);
    }
    let kinds = map.kinds.clone();
    let list = std::mem::take(map.list_mut());
    let mut keyed: Vec<(Key, crate::resource::Resource)> =
        list.into_iter().map(|resource| (Key::new(&resource.id(&kinds), &ranks), resource)).collect();
    keyed.sort_by(|(a, _), (b, _)| a.order(b));
    *map.list_mut() = keyed.into_iter().map(|(_, resource)| resource).collect();
    map.check_ids()
}

struct Key {
    rank: i64,
    gvk: Gvk,
    kind: String,
    name: String,
}

impl Key {
    fn new(id: &Id, ranks: &HashMap<&str, i64>) -> Self {
        let gvk = id.gvk();
        let or = |text: &str, none: &str| if text.is_empty() { none.to_owned() } else { text.to_owned() };
        Self {
            rank: ranks.get(&*id.kind).copied().unwrap_or(0),
            kind: stable(&gvk.group, &gvk.version, &gvk.kind),
            name: format!("{gvk}|{}|{}", or(&id.written, "~X"), or(&id.name, "~N")),
            gvk,
        }
    }

    fn order(&self, other: &Key) -> Ordering {
        if self.gvk == other.gvk {
            return self.name.cmp(&other.name);
        }
        let kinds = || {
            let namespaces = self.gvk.kind == "Namespace" && other.gvk.kind == "Namespace";
            let order = self.kind.cmp(&other.kind);
            // Kubernetes' own namespaces come before those of others.
            if namespaces && (self.gvk.group.is_empty() || other.gvk.group.is_empty()) {
                order.reverse()
            } else {
                order
            }
        };
        self.rank.cmp(&other.rank).then_with(kinds)
    }
}
