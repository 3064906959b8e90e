//! The checks that many kinds share: names, labels, selectors, numbers, quantities.

use std::net::IpAddr;

use base::names::{is_dns_label, is_dns_subdomain};
pub(crate) use schema::names::{SUBDOMAIN, qualified};
use schema::{names, quantity::Quantity, selector, validate::Cause};
use serde_json::{Value, json};

/// What is wrong, so far.
pub(crate) type Causes = Vec<Cause>;

pub(crate) const LABEL: &str = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";
pub(crate) const IP: &str = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)";
pub(crate) const PREFIXED: &str = "must be a domain-prefixed path (such as \"acme.io/foo\")";

pub(crate) fn list<'a>(value: &'a Value, name: &str) -> &'a [Value] {
    value[name].as_array().map_or(&[], Vec::as_slice)
}

pub(crate) fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_default()
}

/// The items of a list with their places.
pub(crate) fn each<'a>(value: &'a Value, name: &str, at: &str) -> impl Iterator<Item = (String, &'a Value)> {
    let at = if at.is_empty() { name.to_owned() } else { format!("{at}.{name}") };
    list(value, name).iter().enumerate().map(move |(index, item)| (format!("{at}[{index}]"), item))
}

/// The entries of a map.
pub(crate) fn entries<'a>(value: &'a Value, name: &str) -> impl Iterator<Item = (&'a String, &'a Value)> {
    value[name].as_object().into_iter().flatten()
}

pub(crate) fn invalid(field: impl Into<String>, value: &Value, why: &str, causes: &mut Causes) {
    causes.push(Cause::invalid(field, value, why));
}

pub(crate) fn not_negative(value: &Value, field: impl Into<String>, causes: &mut Causes) {
    if value.as_i64().is_some_and(|number| number < 0) {
        causes.push(Cause::invalid(field, value, "must be greater than or equal to 0"));
    }
}

/// All of `names` in `value`, none negative.
pub(crate) fn none_negative(value: &Value, at: &str, names: &[&str], causes: &mut Causes) {
    for name in names {
        not_negative(&value[*name], format!("{at}.{name}"), causes);
    }
}

pub(crate) fn one_of(value: &Value, field: impl Into<String>, supported: &[&str], causes: &mut Causes) {
    if let Some(text) = value.as_str()
        && !supported.contains(&text)
    {
        causes.push(Cause::not_supported(field, value, supported));
    }
}

/// As [`one_of`], of something that has to be there.
pub(crate) fn must_be_one_of(value: &Value, field: impl Into<String>, supported: &[&str], causes: &mut Causes) {
    if value.as_str().is_none_or(str::is_empty) {
        causes.push(Cause::required(field, ""));
    } else {
        one_of(value, field, supported, causes);
    }
}

/// Returns whether the text is there; says so if not.
pub(crate) fn given(value: &Value, name: &str, at: &str, causes: &mut Causes) -> bool {
    let there = !text(value, name).is_empty();
    if !there {
        causes.push(Cause::required(join(at, name), ""));
    }
    there
}

pub(crate) fn join(at: &str, name: &str) -> String {
    if at.is_empty() { name.to_owned() } else { format!("{at}.{name}") }
}

/// A field that keeps its value for ever.
pub(crate) fn immutable(new: &Value, old: Option<&Value>, path: &str, causes: &mut Causes) {
    let Some(old) = old else { return };
    let at = |value: &Value| path.split('.').fold(value.clone(), |mut place, step| place[step].take());
    let (new, old) = (at(new), at(old));
    if new != old {
        causes.push(Cause::invalid(path, &new, "field is immutable"));
    }
}

pub(crate) fn dns_label(value: &Value, field: impl Into<String>, causes: &mut Causes) {
    if value.as_str().is_some_and(|text| !is_dns_label(text)) {
        causes.push(Cause::invalid(field, value, LABEL));
    }
}

pub(crate) fn dns_subdomain(value: &Value, field: impl Into<String>, causes: &mut Causes) {
    if value.as_str().is_some_and(|text| !is_dns_subdomain(text)) {
        causes.push(Cause::invalid(field, value, SUBDOMAIN));
    }
}

pub(crate) fn qualified_name(value: &Value, field: &str, causes: &mut Causes) {
    for why in qualified(value.as_str().unwrap_or_default()) {
        causes.push(Cause::invalid(field, &json!(value.as_str().unwrap_or_default()), &why));
    }
}

/// A map of labels.
pub(crate) fn labels(map: &Value, field: &str, causes: &mut Causes) {
    for (key, value) in map.as_object().into_iter().flatten() {
        qualified_name(&json!(key), field, causes);
        label_value(value, field, causes);
    }
}

pub(crate) fn label_value(value: &Value, field: &str, causes: &mut Causes) {
    for why in names::label_value(value.as_str().unwrap_or_default()) {
        causes.push(Cause::invalid(field, value, &why));
    }
}

/// A `LabelSelector`.
pub(crate) fn label_selector(value: &Value, at: &str, causes: &mut Causes) {
    labels(&value["matchLabels"], &format!("{at}.matchLabels"), causes);
    for (at, expression) in each(value, "matchExpressions", at) {
        let values = list(expression, "values");
        match text(expression, "operator") {
            "In" | "NotIn" if values.is_empty() => causes
                .push(Cause::required(format!("{at}.values"), "must be specified when `operator` is 'In' or 'NotIn'")),
            "Exists" | "DoesNotExist" if !values.is_empty() => causes.push(Cause::forbidden(
                format!("{at}.values"),
                "may not be specified when `operator` is 'Exists' or 'DoesNotExist'",
            )),
            "In" | "NotIn" | "Exists" | "DoesNotExist" => {}
            _ => invalid(format!("{at}.operator"), &expression["operator"], "not a valid selector operator", causes),
        }
        qualified_name(&expression["key"], &format!("{at}.key"), causes);
        for (at, value) in each(expression, "values", &at) {
            label_value(value, &at, causes);
        }
    }
}

/// Returns whether a selector can be read and selects by something, and whether it takes `labels`.
pub(crate) fn selects(value: &Value, taken: &Value) -> Option<bool> {
    let selector = selector::Labels::from_object(value).ok()??;
    Some(selector.matches(taken.as_object()))
}

pub(crate) fn port(value: &Value, field: impl Into<String>, causes: &mut Causes) {
    if !value.as_i64().is_some_and(|number| (1..=65535).contains(&number)) {
        causes.push(Cause::invalid(field, value, "must be between 1 and 65535, inclusive"));
    }
}

/// What is wrong with the name of a port.
pub(crate) fn port_name(name: &str) -> Vec<&'static str> {
    let mut wrong = Vec::new();
    if name.len() > 15 {
        wrong.push("must be no more than 15 characters");
    }
    if !name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-') || name.is_empty() {
        wrong.push("must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)");
    }
    if !name.chars().any(|c| c.is_ascii_lowercase()) {
        wrong.push("must contain at least one letter (a-z)");
    }
    if name.contains("--") {
        wrong.push("must not contain consecutive hyphens");
    }
    if name.starts_with('-') || name.ends_with('-') {
        wrong.push("must not begin or end with a hyphen");
    }
    wrong
}

/// A port by number or name.
pub(crate) fn port_or_name(value: &Value, field: &str, causes: &mut Causes) {
    match value.as_str() {
        Some(name) => port_name(name).into_iter().for_each(|why| invalid(field, value, why, causes)),
        None => port(value, field, causes),
    }
}

pub(crate) fn ip(value: &Value, field: impl Into<String>, causes: &mut Causes) {
    if value.as_str().is_some_and(|text| text.parse::<IpAddr>().is_err()) {
        causes.push(Cause::invalid(field, value, IP));
    }
}

/// An address that something can be reached at. Loopback addresses are let through, unlike Kubernetes does: pods that
/// are plain processes of one machine have theirs there.
pub(crate) fn reachable(value: &Value, field: &str, causes: &mut Causes) {
    let Ok(address) = value.as_str().unwrap_or_default().parse::<IpAddr>() else {
        return invalid(field, value, "must be a valid IP address", causes);
    };
    let link_local = match address {
        IpAddr::V4(address) => address.is_link_local(),
        IpAddr::V6(address) => (address.segments()[0] & 0xffc0) == 0xfe80,
    };
    if address.is_unspecified() {
        invalid(field, value, &format!("may not be unspecified ({address})"), causes);
    } else if link_local {
        invalid(field, value, "may not be in the link-local range (169.254.0.0/16, fe80::/10)", causes);
    } else if address.is_multicast() {
        invalid(field, value, "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)", causes);
    }
}

pub(crate) fn quantity(value: &Value) -> Option<Quantity> {
    Quantity::parse(value.as_str()?)
}

/// Returns the address and length of a CIDR.
pub(crate) fn cidr(text: &str) -> Option<(IpAddr, u8)> {
    let (address, bits) = text.split_once('/')?;
    let address: IpAddr = address.parse().ok()?;
    let bits: u8 = bits.parse().ok()?;
    (bits <= if address.is_ipv4() { 32 } else { 128 }).then_some((address, bits))
}

/// Returns the address as a number, shifted so that the first bits stand first.
pub(crate) fn bits_of(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u128::from(u32::from(address)) << 96,
        IpAddr::V6(address) => u128::from(address),
    }
}

/// Returns whether no bit stands behind the prefix.
pub(crate) fn is_masked((address, bits): (IpAddr, u8)) -> bool {
    bits >= 128 || bits_of(address) << bits == 0
}

/// The standard resources of containers, without a prefix.
fn is_container_resource(name: &str) -> bool {
    matches!(name, "cpu" | "memory" | "ephemeral-storage") || name.starts_with("hugepages-")
}

/// The name of a container's resource.
pub(crate) fn container_resource(name: &str, field: &str, causes: &mut Causes) {
    let before = causes.len();
    qualified_name(&json!(name), field, causes);
    if !name.contains('/') && !is_container_resource(name) {
        let value = json!(name);
        if causes.len() == before {
            invalid(field, &value, "must be a standard resource type or fully qualified", causes);
        }
        invalid(field, &value, "must be a standard resource for containers", causes);
    }
}

/// An integer or a percentage, not negative; `most` is the highest percentage, if there is one.
pub(crate) fn count_or_percent(value: &Value, field: &str, causes: &mut Causes) {
    match value {
        Value::String(text)
            if !text.strip_suffix('%').is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit())) =>
        {
            invalid(
                field,
                value,
                "a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or '93%', regex used for validation is '[0-9]+%')",
                causes,
            );
        }
        Value::Number(_) => not_negative(value, field, causes),
        _ => {}
    }
}

pub(crate) fn percent(value: &Value) -> Option<u64> {
    value.as_str()?.strip_suffix('%')?.parse().ok()
}

pub(crate) fn at_most_all(value: &Value, field: &str, causes: &mut Causes) {
    if percent(value).is_some_and(|percent| percent > 100) {
        invalid(field, value, "must not be greater than 100%", causes);
    }
}
