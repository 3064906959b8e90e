//! The addresses of Services: one each, of the range that the server was given.

use std::{
    collections::{HashMap, HashSet},
    net::Ipv4Addr,
};

use schema::validate::Cause;
use serde_json::{Value, json};
use tokio::sync::OwnedMutexGuard;

use crate::{
    registry::Resource,
    server::Server,
    status::Failure,
    store::{ChangeKind, Entry, Store},
};

/// How many addresses at the beginning of the range are kept for the cluster's own Services.
const KEPT: u32 = 11;

/// The addresses that are taken, followed from the store's changes.
#[derive(Debug, Default)]
pub(crate) struct Addresses {
    /// The revision that the rest is true for; `None`: nothing was read yet.
    at: Option<u64>,
    by_key: HashMap<String, Ipv4Addr>,
    taken: HashSet<Ipv4Addr>,
    /// Where the search for a free one begins: what was given back rests for a while.
    next: u32,
}

impl Addresses {
    /// Takes notice of what changed since it last looked.
    fn follow(&mut self, store: &Store, resource: &Resource) {
        let changes = self.at.and_then(|at| store.changes(&resource.ring(), at, usize::MAX));
        let Some(changes) = changes else { return self.read(store, resource) };
        for change in changes {
            let address = (change.kind != ChangeKind::Deleted).then(|| address_of(&change.entry)).flatten();
            self.put(&change.key, address);
            self.at = Some(change.revision);
        }
    }

    fn read(&mut self, store: &Store, resource: &Resource) {
        *self = Addresses { next: self.next, ..Addresses::default() };
        // Changes after the revision are told again: to put an address twice does no harm.
        self.at = Some(store.published());
        for (key, entry) in store.snapshot().range(&resource.prefix(), None) {
            self.put(key, address_of(entry));
        }
    }

    fn put(&mut self, key: &str, address: Option<Ipv4Addr>) {
        let before = match address {
            Some(address) => self.by_key.insert(key.to_owned(), address),
            None => self.by_key.remove(key),
        };
        if let Some(before) = before {
            self.taken.remove(&before);
        }
        self.taken.extend(address);
    }

    /// Returns a free address between `first` and `end`.
    fn free(&mut self, first: u32, end: u32) -> Option<Ipv4Addr> {
        let begin = if (first..end).contains(&self.next) { self.next } else { first };
        let found = (begin..end).chain(first..begin).map(Ipv4Addr::from).find(|one| !self.taken.contains(one))?;
        self.next = u32::from(found) + 1;
        Some(found)
    }
}

fn address_of(entry: &Entry) -> Option<Ipv4Addr> {
    entry.value()["spec"]["clusterIP"].as_str()?.parse().ok()
}

impl Server {
    /// Chooses a free address for a Service that asks for one; the guard keeps others from choosing the same.
    pub(crate) async fn allocate(
        &self,
        resource: &Resource,
        object: &mut Value,
    ) -> Result<Option<OwnedMutexGuard<Addresses>>, Failure> {
        let spec = &object["spec"];
        if !resource.addressed || spec["clusterIP"] == "None" || spec["type"] == "ExternalName" {
            return Ok(None);
        }
        let mut known = self.addresses().lock_owned().await;
        known.follow(self.store(), resource);
        let (base, bits) = self.service_range();
        let size = 1_u32 << (32 - u32::from(bits.clamp(8, 30)));
        let first = u32::from(base) & !(size - 1);
        let chosen = match spec["clusterIP"].as_str().filter(|address| !address.is_empty()) {
            Some(wanted) => {
                let inside = wanted
                    .parse::<Ipv4Addr>()
                    .ok()
                    .filter(|address| (first + 1..first + size - 1).contains(&u32::from(*address)));
                let why = match inside {
                    None => "failed to allocate IP: the provided IP is not in the valid range",
                    Some(address) if known.taken.contains(&address) => {
                        "failed to allocate IP: provided IP is already allocated"
                    }
                    Some(_) => "",
                };
                if !why.is_empty() {
                    let cause = Cause::invalid("spec.clusterIPs", &json!([wanted]), why);
                    return Err(Failure::invalid(
                        resource,
                        object["metadata"]["name"].as_str().unwrap_or_default(),
                        &[cause],
                    ));
                }
                wanted.to_owned()
            }
            None => known
                .free(first + KEPT, first + size - 1)
                .map(|address| address.to_string())
                .ok_or_else(|| Failure::internal("Internal error occurred: the range of service addresses is full"))?,
        };
        object["spec"]["clusterIPs"] = json!([chosen]);
        object["spec"]["clusterIP"] = chosen.into();
        Ok(Some(known))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_was_given_back_rests_until_the_others_were_given() {
        let mut known = Addresses::default();
        let give = |known: &mut Addresses, key: &str| {
            let address = known.free(10, 13);
            known.put(key, address);
            address.map(u32::from)
        };
        assert_eq!([give(&mut known, "a"), give(&mut known, "b")], [Some(10), Some(11)]);
        known.put("a", None);
        assert_eq!([give(&mut known, "c"), give(&mut known, "d")], [Some(12), Some(10)]);
        assert_eq!(give(&mut known, "e"), None);
        known.put("c", Some(Ipv4Addr::from(99)));
        assert_eq!(give(&mut known, "e"), Some(12));
    }
}
