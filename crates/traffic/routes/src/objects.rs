//! The Kubernetes objects that routes come from, as they were last seen.

use std::collections::BTreeMap;

use serde_json::Value;

/// The controller name that Gateway classes, gateways and routes of ours carry.
pub const CONTROLLER: &str = "platform.io/gateway";

/// The kinds that are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// `gateway.networking.k8s.io` `GatewayClass`.
    GatewayClass,
    /// `gateway.networking.k8s.io` `Gateway`.
    Gateway,
    /// `gateway.networking.k8s.io` `HTTPRoute`.
    HttpRoute,
    /// `gateway.networking.k8s.io` `ReferenceGrant`.
    ReferenceGrant,
    /// `networking.istio.io` `VirtualService`.
    VirtualService,
    /// Core `Service`.
    Service,
    /// `discovery.k8s.io` `EndpointSlice`.
    EndpointSlice,
}

impl Kind {
    /// All of them.
    pub const ALL: [Kind; 7] = [
        Kind::GatewayClass,
        Kind::Gateway,
        Kind::HttpRoute,
        Kind::ReferenceGrant,
        Kind::VirtualService,
        Kind::Service,
        Kind::EndpointSlice,
    ];

    /// Returns group, version, kind and plural, as the API serves them.
    pub fn resource(self) -> (&'static str, &'static str, &'static str, &'static str) {
        match self {
            Kind::GatewayClass => ("gateway.networking.k8s.io", "v1", "GatewayClass", "gatewayclasses"),
            Kind::Gateway => ("gateway.networking.k8s.io", "v1", "Gateway", "gateways"),
            Kind::HttpRoute => ("gateway.networking.k8s.io", "v1", "HTTPRoute", "httproutes"),
            Kind::ReferenceGrant => ("gateway.networking.k8s.io", "v1beta1", "ReferenceGrant", "referencegrants"),
            Kind::VirtualService => ("networking.istio.io", "v1", "VirtualService", "virtualservices"),
            Kind::Service => ("", "v1", "Service", "services"),
            Kind::EndpointSlice => ("discovery.k8s.io", "v1", "EndpointSlice", "endpointslices"),
        }
    }
}

/// Namespace (empty for cluster scope) and name.
pub type Key = (String, String);

/// The objects by kind and key: an index that watch events are applied to.
#[derive(Clone, Debug, Default)]
pub struct Objects {
    kinds: BTreeMap<Kind, BTreeMap<Key, Value>>,
}

impl Objects {
    /// Puts `object` in, or in place of its older version.
    pub fn apply(&mut self, kind: Kind, object: Value) {
        self.kinds.entry(kind).or_default().insert(key(&object), object);
    }

    /// Takes `object` out.
    pub fn remove(&mut self, kind: Kind, object: &Value) {
        if let Some(objects) = self.kinds.get_mut(&kind) {
            objects.remove(&key(object));
        }
    }

    /// Takes these for all that there is of `kind`.
    pub fn replace(&mut self, kind: Kind, objects: Vec<Value>) {
        self.kinds.insert(kind, objects.into_iter().map(|object| (key(&object), object)).collect());
    }

    /// Returns the objects of a kind by namespace and name.
    pub fn all(&self, kind: Kind) -> impl Iterator<Item = (&Key, &Value)> {
        self.kinds.get(&kind).into_iter().flatten()
    }

    /// Returns one object.
    pub fn get(&self, kind: Kind, namespace: &str, name: &str) -> Option<&Value> {
        self.kinds.get(&kind)?.get(&(namespace.to_owned(), name.to_owned()))
    }
}

fn key(object: &Value) -> Key {
    let text = |pointer| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
    (text("/metadata/namespace"), text("/metadata/name"))
}

/// Returns the text at `name`, or the empty text.
pub(crate) fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value.get(name).and_then(Value::as_str).unwrap_or_default()
}

/// Returns the elements at `name`; none if it is absent.
pub(crate) fn list<'a>(value: &'a Value, name: &str) -> &'a [Value] {
    value.get(name).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// Returns the port number at `name`.
pub(crate) fn port(value: &Value, name: &str) -> Option<u16> {
    value.get(name).and_then(Value::as_u64).and_then(|port| u16::try_from(port).ok())
}

/// Returns `metadata.creationTimestamp`.
pub(crate) fn created(object: &Value) -> &str {
    object.pointer("/metadata/creationTimestamp").and_then(Value::as_str).unwrap_or_default()
}

/// Returns `metadata.generation`.
pub(crate) fn generation(object: &Value) -> i64 {
    object.pointer("/metadata/generation").and_then(Value::as_i64).unwrap_or_default()
}

/// Returns a duration such as `1h30m`, `10s`, `1.5s` or `500ms` in milliseconds.
pub(crate) fn duration_ms(text: &str) -> Option<u64> {
    let mut rest = text;
    let mut total = 0.0;
    while !rest.is_empty() {
        let digits = rest.find(|letter: char| !letter.is_ascii_digit() && letter != '.')?;
        let number: f64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let unit =
            [("ms", 1.0), ("s", 1e3), ("m", 6e4), ("h", 3.6e6)].into_iter().find(|(unit, _)| rest.starts_with(unit))?;
        total += number * unit.1;
        rest = &rest[unit.0.len()..];
    }
    (!text.is_empty()).then_some(total as u64)
}

#[cfg(test)]
mod tests {
    #[test]
    fn durations_are_gos() {
        for (text, wanted) in [
            ("10s", Some(10_000)),
            ("500ms", Some(500)),
            ("1h30m", Some(5_400_000)),
            ("1.5s", Some(1_500)),
            ("0s", Some(0)),
            ("", None),
            ("10", None),
            ("s", None),
            ("1d", None),
        ] {
            assert_eq!(super::duration_ms(text), wanted, "{text}");
        }
    }
}
