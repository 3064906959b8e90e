//! From objects to a snapshot and the statuses that say what was made of them.

use std::{cmp::Reverse, collections::BTreeMap};

use serde_json::{Value, json};

use crate::{
    condition::{Condition, written},
    endpoints::Backends,
    gateway,
    hosts::Hosts,
    http_route,
    matching::Match,
    objects::{CONTROLLER, Kind, Objects, generation, text},
    snapshot::{Listener, Rule, Scheme, Snapshot, Table},
    virtual_service,
};

/// Where the proxy listens.
///
/// All HTTPS listeners are served on its one TLS address and all HTTP listeners on its one
/// plain address, whatever port they name: the proxy stands behind that port's mapping.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Placement {
    /// Addresses that gateways show.
    pub addresses: Vec<String>,
    /// Whether there is an address for plain HTTP.
    pub http: bool,
}

/// What was made of the objects.
#[derive(Clone, Debug, PartialEq)]
pub struct Compiled {
    /// The routes.
    pub snapshot: Snapshot,
    /// The statuses that differ from what the objects have.
    pub statuses: Vec<StatusUpdate>,
}

/// The status that an object should have.
#[derive(Clone, Debug, PartialEq)]
pub struct StatusUpdate {
    /// Its kind.
    pub kind: Kind,
    /// Its namespace; empty for cluster scope.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// All of its status.
    pub status: Value,
}

/// Compiles `objects`; `now` becomes the time of conditions that change (RFC 3339).
///
/// It never fails: what is wrong with one object is said in that object's status and leaves the others alone.
pub fn compile(objects: &Objects, placement: &Placement, now: &str) -> Compiled {
    let mut gateways = gateway::ours(objects, placement);
    let mut backends = Backends::new(objects);
    let mut draft = Draft::default();
    let mut wanted = Vec::new();
    for (key, class) in
        objects.all(Kind::GatewayClass).filter(|(_, class)| text(&class["spec"], "controllerName") == CONTROLLER)
    {
        let conditions =
            written(class.pointer("/status/conditions"), &[Condition::good("Accepted")], generation(class), now);
        wanted.push((Kind::GatewayClass, key, class, json!({"conditions": conditions})));
    }
    for (key, route) in objects.all(Kind::HttpRoute) {
        if let Some(status) = http_route::attach(route, objects, &mut gateways, &mut backends, &mut draft, now) {
            wanted.push((Kind::HttpRoute, key, route, status));
        }
    }
    for (key, route) in objects.all(Kind::VirtualService) {
        let status = virtual_service::attach(route, &mut gateways, &mut backends, &mut draft, now);
        wanted.push((Kind::VirtualService, key, route, status));
    }
    let mut statuses: Vec<_> = wanted
        .into_iter()
        .filter(|(_, _, object, status)| object.get("status") != Some(status))
        .map(|(kind, (namespace, name), _, status)| StatusUpdate {
            kind,
            namespace: namespace.clone(),
            name: name.clone(),
            status,
        })
        .collect();
    for gateway in &gateways {
        let status = gateway.status(placement, now);
        if gateway.object.get("status") != Some(&status) {
            statuses.push(StatusUpdate {
                kind: Kind::Gateway,
                namespace: gateway.namespace.to_owned(),
                name: gateway.name.to_owned(),
                status,
            });
        }
    }
    // A listener without routes is there too: requests for its host end there.
    for gateway in gateways.iter().filter(|gateway| gateway.serves()) {
        for listener in gateway.listeners.iter().filter(|listener| listener.serves()) {
            draft.listeners.entry((listener.scheme, listener.hostname.to_owned())).or_default();
        }
    }
    let (http, https) = draft.into_tables();
    Compiled { snapshot: Snapshot { http, https, backends: backends.into_inner() }, statuses }
}

/// The order in which the rules of one host are tried.
///
/// Gateway API's rules come first, by its order of precedence; Istio's follow as they are written.
type Order = (u8, Reverse<(u8, usize)>, Reverse<bool>, Reverse<usize>, Reverse<usize>, String, String, String, usize);

/// Scheme and host name of a listener.
type ListenerKey = (Scheme, String);

/// Rules on their way into tables.
#[derive(Default)]
pub(crate) struct Draft {
    listeners: BTreeMap<ListenerKey, BTreeMap<String, Vec<(Order, Rule)>>>,
}

impl Draft {
    /// Adds the rules of one route under a listener's host.
    pub(crate) fn add(
        &mut self,
        scheme: Scheme,
        listener: &str,
        host: &str,
        rules: impl Iterator<Item = Rule>,
        created: &str,
    ) {
        let hosts = self.listeners.entry((scheme, listener.to_owned())).or_default();
        let ordered = hosts.entry(host.to_owned()).or_default();
        ordered.extend(rules.enumerate().map(|(index, rule)| (order(&rule, created, index), rule)));
    }

    fn into_tables(self) -> (Table, Table) {
        let (mut http, mut https) = (Table::default(), Table::default());
        for ((scheme, listener), by_host) in self.listeners {
            let mut hosts = Hosts::default();
            for (host, mut ordered) in by_host {
                ordered.sort_by(|left, right| left.0.cmp(&right.0));
                hosts.insert(&host, ordered.into_iter().map(|(_, rule)| rule).collect());
            }
            let table = if scheme == Scheme::Http { &mut http } else { &mut https };
            table.listeners.insert(&listener, Listener { hosts });
        }
        (http, https)
    }
}

fn order(rule: &Rule, created: &str, index: usize) -> Order {
    let Match { path, method, headers, query } = &rule.matches;
    let (namespace, name) = (rule.route.namespace.clone(), rule.route.name.clone());
    if rule.route.kind == "VirtualService" {
        return (
            1,
            Reverse((0, 0)),
            Reverse(false),
            Reverse(0),
            Reverse(0),
            created.to_owned(),
            namespace,
            name,
            index,
        );
    }
    let (method, headers, query) = (Reverse(method.is_some()), Reverse(headers.len()), Reverse(query.len()));
    (0, Reverse(path.rank()), method, headers, query, created.to_owned(), namespace, name, index)
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
