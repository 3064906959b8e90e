//! Names and the rules they follow.
//!
//! Each type holds only a valid name, so code that has one need not check again.

use std::fmt;

/// Why a text is not a name of the kind asked for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{value:?} is not a DNS label: use 1 to {max} lower-case letters, digits and '-', beginning and ending with a letter or digit"
)]
pub struct InvalidName {
    /// What was given.
    pub value: String,
    /// The longest that is allowed.
    pub max: usize,
}

/// A DNS label as RFC 1123 and Kubernetes define it: at most 63 of `[a-z0-9-]`, no `-` at either end.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
#[serde(transparent)]
pub struct DnsLabel(String);

impl DnsLabel {
    /// The longest label, in bytes (RFC 1035, section 2.3.4).
    pub const MAX: usize = 63;

    /// Parses `value`, or says which rule it breaks.
    pub fn parse(value: &str) -> Result<Self, InvalidName> {
        if is_dns_label(value) {
            Ok(DnsLabel(value.to_owned()))
        } else {
            Err(InvalidName { value: value.chars().take(80).collect(), max: Self::MAX })
        }
    }

    /// Returns the name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for DnsLabel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for DnsLabel {
    type Error = InvalidName;
    fn try_from(value: String) -> Result<Self, InvalidName> {
        DnsLabel::parse(&value)
    }
}

impl<'de> serde::Deserialize<'de> for DnsLabel {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        DnsLabel::parse(&text).map_err(serde::de::Error::custom)
    }
}

/// Returns whether `value` is a DNS label (RFC 1123).
pub fn is_dns_label(value: &str) -> bool {
    !value.is_empty()
        && value.len() <= DnsLabel::MAX
        && value.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        && !value.starts_with('-')
        && !value.ends_with('-')
}

/// Returns whether `value` is a DNS subdomain as Kubernetes' object names are: labels joined by dots, at most 253 bytes.
pub fn is_dns_subdomain(value: &str) -> bool {
    !value.is_empty()
        && value.len() <= 253
        && value.split('.').all(|label| {
            !label.is_empty()
                && label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
                && !label.starts_with('-')
                && !label.ends_with('-')
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_follow_rfc_1123() {
        for good in ["a", "orders", "a-1", "0x", &"a".repeat(63)] {
            assert!(DnsLabel::parse(good).is_ok(), "{good}");
        }
        for bad in ["", "-a", "a-", "A", "a.b", "a_b", "ä", &"a".repeat(64)] {
            assert!(DnsLabel::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn subdomains_are_labels_joined_by_dots() {
        assert!(is_dns_subdomain("httproutes.gateway.networking.k8s.io"));
        assert!(!is_dns_subdomain("a..b") && !is_dns_subdomain(".a") && !is_dns_subdomain("a."));
    }
}
