//! Host names and what is kept under them, the most specific first.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Values kept by exact name, by `*.suffix`, or for any host.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Hosts<T> {
    exact: BTreeMap<String, T>,
    /// Keyed by what stands behind `*.`.
    wildcard: BTreeMap<String, T>,
    any: Option<T>,
}

impl<T> Default for Hosts<T> {
    fn default() -> Self {
        Hosts { exact: BTreeMap::new(), wildcard: BTreeMap::new(), any: None }
    }
}

impl<T> Hosts<T> {
    /// Keeps `value` under `pattern`: a name, `*.suffix`, or `*` for any host.
    pub fn insert(&mut self, pattern: &str, value: T) {
        if pattern == "*" {
            self.any = Some(value);
        } else if let Some(suffix) = pattern.strip_prefix("*.") {
            self.wildcard.insert(suffix.to_owned(), value);
        } else {
            self.exact.insert(pattern.to_owned(), value);
        }
    }

    /// Calls `found` with what is kept for `host`, most specific first, until it returns a value.
    ///
    /// `host` is in lower case and carries no port. A wildcard stands for one label or more.
    pub fn first<'a, R>(&'a self, host: &str, mut found: impl FnMut(&'a T) -> Option<R>) -> Option<R> {
        if let Some(result) = self.exact.get(host).and_then(&mut found) {
            return Some(result);
        }
        if !self.wildcard.is_empty() {
            let mut rest = host;
            while let Some((_, suffix)) = rest.split_once('.') {
                if let Some(result) = self.wildcard.get(suffix).and_then(&mut found) {
                    return Some(result);
                }
                rest = suffix;
            }
        }
        self.any.as_ref().and_then(found)
    }

    /// Returns every value.
    pub fn values(&self) -> impl Iterator<Item = &T> {
        self.exact.values().chain(self.wildcard.values()).chain(self.any.iter())
    }

    /// Returns whether a name other than 'any' stands for `host`.
    pub fn names(&self, host: &str) -> bool {
        let mut rest = host;
        if self.exact.contains_key(host) {
            return true;
        }
        while let Some((_, suffix)) = rest.split_once('.') {
            if self.wildcard.contains_key(suffix) {
                return true;
            }
            rest = suffix;
        }
        false
    }
}

/// Returns whether every host that `inner` stands for is also one of `outer`.
pub fn covers(outer: &str, inner: &str) -> bool {
    if outer == "*" || outer == inner {
        return true;
    }
    let Some(suffix) = outer.strip_prefix("*.") else { return false };
    let inner = inner.strip_prefix("*.").unwrap_or(inner);
    inner.strip_suffix(suffix).is_some_and(|head| head.len() > 1 && head.ends_with('.'))
}

/// Returns the hosts that both patterns stand for, as a pattern, or `None` if there are none.
pub fn intersect(left: &str, right: &str) -> Option<String> {
    if covers(left, right) {
        Some(right.to_owned())
    } else if covers(right, left) {
        Some(left.to_owned())
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn patterns_intersect_to_the_narrower_one() {
        for (left, right, wanted) in [
            ("*", "a.b", Some("a.b")),
            ("*", "*", Some("*")),
            ("a.b", "a.b", Some("a.b")),
            ("*.b", "a.b", Some("a.b")),
            ("*.b", "x.a.b", Some("x.a.b")),
            ("*.b", "b", None),
            ("*.b", "*.a.b", Some("*.a.b")),
            ("*.b", "*.b", Some("*.b")),
            ("*.b", "a.bb", None),
            ("*.b", "xb", None),
            ("a.b", "c.b", None),
        ] {
            assert_eq!(intersect(left, right).as_deref(), wanted, "{left} with {right}");
            assert_eq!(intersect(right, left).as_deref(), wanted, "{right} with {left}");
        }
    }

    #[test]
    fn the_most_specific_host_comes_first_and_the_next_is_asked_if_it_has_nothing() {
        let mut hosts = Hosts::default();
        for pattern in ["*", "*.b", "*.a.b", "x.a.b"] {
            hosts.insert(pattern, pattern);
        }
        let mut seen = Vec::new();
        hosts.first("x.a.b", |pattern| {
            seen.push(*pattern);
            None::<()>
        });
        assert_eq!(seen, ["x.a.b", "*.a.b", "*.b", "*"]);
        assert!(hosts.names("y.b") && !hosts.names("b") && !hosts.names("c"));
    }

    fn host() -> impl Strategy<Value = String> {
        prop::collection::vec("[ab]{1,2}", 1..4).prop_map(|labels| labels.join("."))
    }

    proptest! {
        #[test]
        fn a_host_is_found_exactly_where_its_pattern_covers_it(suffix in host(), host in host()) {
            let pattern = format!("*.{suffix}");
            let mut hosts = Hosts::default();
            hosts.insert(&pattern, ());
            prop_assert_eq!(hosts.first(&host, |()| Some(())).is_some(), covers(&pattern, &host));
            prop_assert_eq!(hosts.names(&host), covers(&pattern, &host));
        }

        #[test]
        fn an_intersection_is_covered_by_both(left in host(), right in host(), wild in any::<(bool, bool)>()) {
            let left = if wild.0 { format!("*.{left}") } else { left };
            let right = if wild.1 { format!("*.{right}") } else { right };
            if let Some(both) = intersect(&left, &right) {
                prop_assert!(covers(&left, &both) && covers(&right, &both));
            }
        }
    }
}
