//! Gateways and their listeners: which are ours, what they accept, what their status says.

use serde_json::{Value, json};

use crate::{
    compile::Placement,
    condition::{Condition, written},
    crds::{GATEWAY, GATEWAY_GROUP, LISTENER},
    objects::{CONTROLLER, Kind, Objects, generation, list, port, text},
    snapshot::Scheme,
    supported::refused,
};

/// A gateway of ours.
pub(crate) struct Gateway<'a> {
    pub(crate) object: &'a Value,
    pub(crate) namespace: &'a str,
    pub(crate) name: &'a str,
    refused: Option<Condition>,
    pub(crate) listeners: Vec<Listener<'a>>,
}

/// A listener of a gateway of ours.
pub(crate) struct Listener<'a> {
    pub(crate) name: &'a str,
    pub(crate) port: u16,
    pub(crate) scheme: Scheme,
    /// `*` if it takes any.
    pub(crate) hostname: &'a str,
    pub(crate) all_namespaces: bool,
    refused: Option<Condition>,
    conflict: Option<Condition>,
    /// How many routes are attached.
    pub(crate) attached: usize,
}

impl Listener<'_> {
    /// Returns whether it serves.
    pub(crate) fn serves(&self) -> bool {
        self.refused.is_none() && self.conflict.is_none()
    }
}

/// Returns the gateways whose class is ours.
pub(crate) fn ours<'a>(objects: &'a Objects, placement: &Placement) -> Vec<Gateway<'a>> {
    let classes: Vec<_> = objects
        .all(Kind::GatewayClass)
        .filter(|(_, class)| text(&class["spec"], "controllerName") == CONTROLLER)
        .map(|((_, name), _)| name.as_str())
        .collect();
    objects
        .all(Kind::Gateway)
        .filter(|(_, gateway)| classes.contains(&text(&gateway["spec"], "gatewayClassName")))
        .map(|((namespace, name), object)| gateway(namespace, name, object, placement))
        .collect()
}

fn gateway<'a>(namespace: &'a str, name: &'a str, object: &'a Value, placement: &Placement) -> Gateway<'a> {
    let spec = &object["spec"];
    // Listeners are looked at one by one, so that a bad one does not take the others with it.
    let own = match spec.as_object() {
        Some(fields) => fields
            .iter()
            .filter(|(name, _)| *name != "listeners")
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect(),
        None => Value::Null,
    };
    let refused = refused(&own, &GATEWAY, "spec").map(|why| {
        let reason = if own.get("addresses").is_some() { "UnsupportedAddress" } else { "Invalid" };
        Condition::bad("Accepted", reason, why)
    });
    let mut listeners: Vec<_> =
        list(spec, "listeners").iter().enumerate().map(|(at, value)| listener(at, value, placement)).collect();
    let taken: Vec<_> = listeners.iter().map(|listener| (listener.port, listener.scheme, listener.hostname)).collect();
    for (at, listener) in listeners.iter_mut().enumerate() {
        let clash = taken.iter().enumerate().find(|(other, (port, scheme, hostname))| {
            *other != at && *port == listener.port && (*scheme != listener.scheme || *hostname == listener.hostname)
        });
        listener.conflict = clash.map(|(_, (_, scheme, _))| {
            let reason = if *scheme == listener.scheme { "HostnameConflict" } else { "ProtocolConflict" };
            Condition {
                kind: "Conflicted",
                holds: true,
                reason: reason.to_owned(),
                message: "another listener of this gateway has the same port".to_owned(),
            }
        });
    }
    Gateway { object, namespace, name, refused, listeners }
}

fn listener<'a>(at: usize, value: &'a Value, placement: &Placement) -> Listener<'a> {
    let scheme = if text(value, "protocol") == "HTTP" { Scheme::Http } else { Scheme::Https };
    let refused = if let Some(why) = refused(value, &LISTENER, &format!("spec.listeners[{at}]")) {
        let reason = if why.contains(".protocol") { "UnsupportedProtocol" } else { "UnsupportedValue" };
        Some(Condition::bad("Accepted", reason, why))
    } else if scheme == Scheme::Http && value.get("tls").is_some() {
        Some(Condition::bad(
            "Accepted",
            "UnsupportedValue",
            format!("spec.listeners[{at}].tls: HTTP has no TLS; use protocol HTTPS"),
        ))
    } else if scheme == Scheme::Http && !placement.http {
        Some(Condition::bad("Accepted", "PortUnavailable", "the proxy was started without an address for plain HTTP"))
    } else {
        None
    };
    Listener {
        name: text(value, "name"),
        port: port(value, "port").unwrap_or_default(),
        scheme,
        hostname: Some(text(value, "hostname")).filter(|host| !host.is_empty()).unwrap_or("*"),
        all_namespaces: value.pointer("/allowedRoutes/namespaces/from").and_then(Value::as_str) == Some("All"),
        refused,
        conflict: None,
        attached: 0,
    }
}

impl Gateway<'_> {
    /// Returns whether it serves at all.
    pub(crate) fn serves(&self) -> bool {
        self.refused.is_none()
    }

    /// Returns the status that it should have.
    pub(crate) fn status(&self, placement: &Placement, now: &str) -> Value {
        let old = &self.object["status"];
        let generation = generation(self.object);
        let serving = self.listeners.iter().any(Listener::serves);
        let accepted = match &self.refused {
            Some(refused) => refused.clone(),
            None if !serving => {
                Condition::bad("Accepted", "ListenersNotValid", "no listener is valid; see status.listeners")
            }
            None => Condition::good("Accepted"),
        };
        let programmed = if accepted.holds {
            Condition::good("Programmed")
        } else {
            Condition::bad("Programmed", "Invalid", "the gateway is not accepted")
        };
        let listeners: Vec<_> = self
            .listeners
            .iter()
            .map(|listener| {
                let before = list(old, "listeners").iter().find(|before| text(before, "name") == listener.name);
                let valid = self.serves() && listener.serves();
                let conditions = [
                    listener.refused.clone().unwrap_or_else(|| Condition::good("Accepted")),
                    if valid {
                        Condition::good("Programmed")
                    } else {
                        Condition::bad("Programmed", "Invalid", "the listener does not serve")
                    },
                    Condition::good("ResolvedRefs"),
                    listener.conflict.clone().unwrap_or_else(|| Condition::bad("Conflicted", "NoConflicts", "")),
                ];
                json!({
                    "name": listener.name,
                    "attachedRoutes": listener.attached,
                    "supportedKinds": [{"group": GATEWAY_GROUP, "kind": "HTTPRoute"}],
                    "conditions": written(before.map(|before| &before["conditions"]), &conditions, generation, now),
                })
            })
            .collect();
        let addresses: Vec<_> =
            placement.addresses.iter().map(|address| json!({"type": "IPAddress", "value": address})).collect();
        json!({
            "addresses": addresses,
            "conditions": written(old.get("conditions"), &[accepted, programmed], generation, now),
            "listeners": listeners,
        })
    }
}
