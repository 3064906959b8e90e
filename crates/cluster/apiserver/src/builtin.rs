//! The built-in kinds: one row each in `builtin/rows`. To serve another kind, add
//! its row; no other file of the server names kinds.

mod columns;
pub(crate) mod conversion;
mod defaults;
mod rows;
pub(crate) mod rules;

use std::{collections::BTreeMap, sync::Arc};

use serde_json::Value;

pub(crate) use defaults::by_type;

use crate::registry::{
    Column, Conversion, Grants, Gvk, Measured, NameRule, Resource, Review, Rules, Storage, Subresource, VERBS, node_of,
};
use crate::write::spec_changed;

#[expect(clippy::struct_excessive_bools, reason = "each is a fact of a kind, as in the specification")]
struct Row {
    group: &'static str,
    version: &'static str,
    kind: &'static str,
    plural: &'static str,
    short: &'static [&'static str],
    categories: &'static [&'static str],
    namespaced: bool,
    verbs: &'static [&'static str],
    name: NameRule,
    type_name: &'static str,
    columns: fn() -> Vec<Column>,
    selectable: &'static [&'static str],
    elsewhere: &'static [(&'static str, &'static [&'static str])],
    rules: Rules,
    subresources: fn() -> BTreeMap<&'static str, Subresource>,
    /// The metadata that a write to the status leaves as it is.
    status_keeps: &'static [&'static str],
    /// Where the objects lie, if not under the row's own group and version.
    stored: Option<Stored>,
    generation: bool,
    /// Which changes count in the generation, if not all but those of metadata and status.
    counts: Option<fn(&Value, &Value) -> bool>,
    deprecated: Option<&'static str>,
    graceful: bool,
    addressed: bool,
    defines_kinds: bool,
    divides_seats: bool,
    grants: Option<Grants>,
    confidential: bool,
    created_by_updates: bool,
    returns_deleted: bool,
    /// An update need not say which state it saw.
    unconditional: bool,
    review: Option<Review>,
    measured: Option<Measured>,
}

/// Where objects lie that several versions or groups show, and how this one reads and writes them.
#[derive(Clone, Copy)]
struct Stored {
    group: &'static str,
    version: &'static str,
    conversion: Conversion,
}

const PLAIN: Row = Row {
    group: "",
    version: "v1",
    kind: "",
    plural: "",
    short: &[],
    categories: &[],
    namespaced: true,
    verbs: VERBS,
    name: NameRule::Subdomain,
    type_name: "",
    columns: columns::age_only,
    selectable: &[],
    elsewhere: &[],
    rules: Rules::NONE,
    subresources: BTreeMap::new,
    status_keeps: &[],
    stored: None,
    generation: false,
    counts: None,
    deprecated: None,
    graceful: false,
    addressed: false,
    defines_kinds: false,
    divides_seats: false,
    grants: None,
    confidential: false,
    created_by_updates: false,
    returns_deleted: false,
    unconditional: true,
    review: None,
    measured: None,
};

/// Returns the built-in kinds.
pub(crate) fn resources() -> Vec<Arc<Resource>> {
    rows::all().into_iter().map(|row| Arc::new(resource(&row))).collect()
}

fn resource(row: &Row) -> Resource {
    let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    let gvk = Gvk { group: row.group.to_owned(), version: row.version.to_owned(), kind: row.kind.to_owned() };
    Resource {
        api_version: gvk.api_version(),
        gvk,
        plural: row.plural.to_owned(),
        singular: row.kind.to_lowercase(),
        list_kind: format!("{}List", row.kind),
        short: owned(row.short),
        categories: owned(row.categories),
        namespaced: row.namespaced,
        storage: {
            let (group, version) = row.stored.map_or((row.group, row.version), |stored| (stored.group, stored.version));
            let key = if group.is_empty() { "core" } else { group };
            Storage { group: key.to_owned(), version: version.to_owned() }
        },
        conversion: row.stored.map(|stored| stored.conversion),
        verbs: if row.review.is_some() { &["create"] } else { row.verbs },
        name: row.name,
        node: node_of(row.type_name),
        defaults: false,
        type_name: Some(row.type_name).filter(|name| !name.is_empty()),
        subresources: (row.subresources)(),
        status_keeps: row.status_keeps,
        columns: (row.columns)(),
        selectable: owned(row.selectable),
        elsewhere: row.elsewhere,
        rules: row.rules,
        generation: row.generation,
        counts: row.counts.unwrap_or(if row.generation { spec_changed } else { |_, _| false }),
        graceful: row.graceful,
        addressed: row.addressed,
        defines_kinds: row.defines_kinds,
        divides_seats: row.divides_seats,
        custom: false,
        validator: None,
        converts: None,
        deprecation: row.deprecated.map(str::to_owned),
        terminating: false,
        grants: row.grants,
        confidential: row.confidential,
        created_by_updates: row.created_by_updates,
        returns_deleted: row.returns_deleted,
        unconditional: row.unconditional,
        review: row.review,
        measured: row.measured,
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_row_has_a_type_with_its_kind() {
        // The types of what is measured are of another module than all others.
        for resource in super::resources().into_iter().filter(|resource| resource.measured.is_none()) {
            assert!(resource.node.properties.contains_key("kind"), "{}", resource.gvk.kind);
        }
    }
}
