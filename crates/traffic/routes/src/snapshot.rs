//! The compiled routes: values that can be kept on disk, and the search in them.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use crate::{
    hosts::Hosts,
    matching::{Match, Request},
};

/// Whether a listener speaks plain HTTP or HTTP over TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Scheme {
    /// `http`.
    Http,
    /// `https`.
    Https,
}

impl Scheme {
    /// Returns the scheme as URLs write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Scheme::Http => "http",
            Scheme::Https => "https",
        }
    }

    /// Returns the port that URLs need not write.
    pub fn default_port(self) -> u16 {
        match self {
            Scheme::Http => 80,
            Scheme::Https => 443,
        }
    }
}

/// All routes and endpoints at one moment.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Snapshot {
    /// What the plain HTTP listeners serve.
    pub http: Table,
    /// What the TLS listeners serve.
    pub https: Table,
    /// The Service ports that rules send to, by index.
    pub backends: Vec<Backend>,
}

/// The listeners of one scheme by host name; a request belongs to the most specific one only.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Table {
    /// The listeners.
    pub listeners: Hosts<Listener>,
}

/// One listener's rules by host; where the most specific host has no matching rule, the next is asked.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Listener {
    /// Rules per host, in the order in which they are tried.
    pub hosts: Hosts<Vec<Rule>>,
}

/// One rule: what matches, what is changed, where it goes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Rule {
    /// The object that it comes from.
    pub route: RouteKey,
    /// What it matches.
    pub matches: Match,
    /// Changes to the request's headers.
    #[serde(default)]
    pub request_headers: HeaderEdits,
    /// Changes to the answer's headers.
    #[serde(default)]
    pub response_headers: HeaderEdits,
    /// Changes to host and path on the way to the backend.
    #[serde(default)]
    pub rewrite: Rewrite,
    /// What is done.
    pub action: Action,
    /// How long the answer's head may take, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<u64>,
}

/// The object that a rule comes from.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RouteKey {
    /// `HTTPRoute` or `VirtualService`.
    pub kind: String,
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
}

/// Changes to headers, in the order: set, add, remove.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeaderEdits {
    /// Replaces all values.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub set: Vec<(String, String)>,
    /// Adds a value.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub add: Vec<(String, String)>,
    /// Takes all values away.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub remove: Vec<String>,
}

impl HeaderEdits {
    /// Returns the first name or value that HTTP does not allow (RFC 9110, section 5).
    pub(crate) fn malformed(&self) -> Option<&str> {
        let is_name = |name: &str| {
            !name.is_empty()
                && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
        };
        let is_value = |value: &str| value.bytes().all(|byte| byte == b'\t' || (32..127).contains(&byte));
        let pairs = self.set.iter().chain(&self.add);
        let names = pairs.clone().map(|(name, _)| name).chain(&self.remove).filter(|name| !is_name(name));
        names.chain(pairs.map(|(_, value)| value).filter(|value| !is_value(value))).map(String::as_str).next()
    }
}

/// Changes to host and path.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rewrite {
    /// The host that the backend sees.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// The path that the backend sees.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<PathRewrite>,
}

/// What becomes of a path.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PathRewrite {
    /// All of it is replaced.
    Full(String),
    /// What the rule's prefix matched is replaced.
    Prefix(String),
}

/// What is done with a request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Action {
    /// It is sent to one of these.
    Forward(Forward),
    /// The client is sent elsewhere.
    Redirect(Redirect),
}

/// Backends and their shares.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Forward {
    /// The backends.
    pub backends: Vec<Weighted>,
}

/// A backend and its share.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Weighted {
    /// Share of the sum of all weights.
    pub weight: u32,
    /// Index in [`Snapshot::backends`], or why there is none.
    pub backend: Result<usize, Unserved>,
}

/// Why requests to a backend are answered with 500.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unserved {
    /// The condition's reason.
    pub reason: String,
    /// What is wrong, for people.
    pub message: String,
}

/// A redirect; what is absent stays as it was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Redirect {
    /// Scheme.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scheme: Option<Scheme>,
    /// Host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// Port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// Path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<PathRewrite>,
    /// Status: 301, 302, 303, 307 or 308.
    pub status: u16,
}

/// One port of a Service and who answers there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Backend {
    /// Namespace of the Service.
    pub namespace: String,
    /// Name of the Service.
    pub service: String,
    /// Its port.
    pub port: u16,
    /// Addresses that are ready, in order.
    pub endpoints: Vec<SocketAddr>,
}

impl Forward {
    /// Returns the backend that `roll`, a number spread evenly over all of `u64`, falls on; `None` if all weights are 0.
    pub fn pick(&self, roll: u64) -> Option<&Weighted> {
        if let [only] = self.backends.as_slice() {
            return Some(only).filter(|only| only.weight > 0);
        }
        let sum: u64 = self.backends.iter().map(|backend| u64::from(backend.weight)).sum();
        let mut left = roll.checked_rem(sum)?;
        self.backends.iter().find(|backend| {
            let weight = u64::from(backend.weight);
            let here = left < weight;
            left = left.saturating_sub(weight);
            here
        })
    }
}

impl Snapshot {
    /// Returns the listeners of a scheme.
    pub fn table(&self, scheme: Scheme) -> &Table {
        match scheme {
            Scheme::Http => &self.http,
            Scheme::Https => &self.https,
        }
    }

    /// Returns the rule that decides about `request`, if there is one.
    pub fn find(&self, scheme: Scheme, request: &Request<'_>) -> Option<&Rule> {
        let listener = self.table(scheme).listeners.first(request.host, Some)?;
        listener.hosts.first(request.host, |rules| rules.iter().find(|rule| rule.matches.is_match(request)))
    }

    /// Returns whether a TLS listener or one of its routes names `host`.
    pub fn names_tls_host(&self, host: &str) -> bool {
        self.https.listeners.names(host)
            || self.https.listeners.first(host, |listener| listener.hosts.names(host).then_some(())).is_some()
    }

    /// Returns how many rules there are.
    pub fn rules(&self) -> usize {
        [&self.http, &self.https]
            .into_iter()
            .flat_map(|table| table.listeners.values())
            .flat_map(|listener| listener.hosts.values())
            .map(Vec::len)
            .sum()
    }

    /// Returns whether a rule comes from an object of `kind`.
    pub fn uses(&self, kind: &str) -> bool {
        [&self.http, &self.https]
            .into_iter()
            .flat_map(|table| table.listeners.values())
            .flat_map(|listener| listener.hosts.values())
            .flatten()
            .any(|rule| rule.route.kind == kind)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn weights_are_shares(weights in prop::collection::vec(0u32..10, 1..5), roll in any::<u64>()) {
            let forward = Forward {
                backends: weights.iter().enumerate().map(|(at, weight)| Weighted { weight: *weight, backend: Ok(at) }).collect(),
            };
            let sum: u32 = weights.iter().sum();
            match forward.pick(roll) {
                Some(picked) => prop_assert!(picked.weight > 0),
                None => prop_assert_eq!(sum, 0),
            }
            for (at, weight) in weights.iter().enumerate() {
                let hits = (0..u64::from(sum)).filter(|roll| forward.pick(*roll).is_some_and(|picked| picked.backend == Ok(at))).count();
                let wanted = if weights.len() == 1 { sum } else { *weight };
                prop_assert_eq!(hits, wanted as usize);
            }
        }
    }
}
