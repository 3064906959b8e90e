//! Where a proxied request goes: the address behind a pod's, a Service's or a node's name.

use std::net::IpAddr;

use http::StatusCode;
use serde_json::Value;

use crate::{
    registry::{Connect, Resource},
    request::Info,
    server::{Node, Server},
    status::Failure,
};

/// How a place is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scheme {
    Http,
    Https,
}

/// Where a proxied request goes.
pub(super) enum Place {
    /// A server at an address.
    Server { scheme: Scheme, address: String, port: u16 },
    /// The connected node's own API.
    Node(Node),
}

/// A name with what may stand around it: `[scheme:]name[:port]`.
#[derive(Debug, PartialEq, Eq)]
struct Named<'a> {
    scheme: Scheme,
    name: &'a str,
    port: &'a str,
}

impl<'a> Named<'a> {
    fn read(id: &'a str) -> Option<Named<'a>> {
        let parts: Vec<&str> = id.split(':').collect();
        let (scheme, name, port) = match parts[..] {
            [name] => ("", name, ""),
            [name, port] => ("", name, port),
            [scheme, name, port] => (scheme, name, port),
            _ => return None,
        };
        let scheme = match scheme {
            "" | "http" => Scheme::Http,
            "https" => Scheme::Https,
            _ => return None,
        };
        (!name.is_empty()).then_some(Named { scheme, name, port })
    }
}

impl Server {
    /// Returns where the request of `info` goes.
    pub(super) fn place(&self, connect: Connect, resource: &Resource, info: &Info) -> Result<Place, Failure> {
        let what = match connect {
            Connect::ServiceProxy => "service",
            Connect::NodeProxy => "node",
            _ => "pod",
        };
        let named = Named::read(&info.name)
            .ok_or_else(|| Failure::bad_request(format!("invalid {what} request {:?}", info.name)))?;
        match connect {
            Connect::ServiceProxy => self.behind_service(resource, info, &named),
            Connect::NodeProxy => self.behind_node(resource, &named),
            _ => self.behind_pod(resource, info, &named),
        }
    }

    fn behind_pod(&self, resource: &Resource, info: &Info, named: &Named<'_>) -> Result<Place, Failure> {
        let snapshot = self.store().snapshot();
        let pod = snapshot
            .get(&resource.key(&info.namespace, named.name))
            .ok_or_else(|| Failure::not_found(resource, named.name))?
            .value();
        let address = pod["status"]["podIP"].as_str().unwrap_or_default();
        if !is_allowed(address) {
            return Err(Failure::bad_request("address not allowed"));
        }
        let first = || {
            let mut containers = pod["spec"]["containers"].as_array().into_iter().flatten();
            containers.find_map(|container| container["ports"][0]["containerPort"].as_u64())
        };
        let port = match named.port {
            "" => first().and_then(|port| u16::try_from(port).ok()),
            port => Some(port_number(port)?),
        };
        Ok(server(named.scheme, address, port))
    }

    fn behind_service(&self, resource: &Resource, info: &Info, named: &Named<'_>) -> Result<Place, Failure> {
        let unavailable = |why: String| Failure::new(StatusCode::SERVICE_UNAVAILABLE, "ServiceUnavailable", why);
        let snapshot = self.store().snapshot();
        let service = snapshot.get(&resource.key(&info.namespace, named.name)).map(|entry| entry.value());
        let mut port_name = named.port.to_owned();
        if let Ok(number) = named.port.parse::<i64>() {
            let service = service.as_ref().ok_or_else(|| Failure::not_found(resource, named.name))?;
            let ports = service["spec"]["ports"].as_array().map_or(&[][..], Vec::as_slice);
            let port = ports.iter().find(|port| port["port"] == number);
            let port = port
                .ok_or_else(|| unavailable(format!("no service port {number} found for service {:?}", named.name)))?;
            port["name"].as_str().unwrap_or_default().clone_into(&mut port_name);
        }
        if service.is_none() {
            return Err(Failure::not_found(resource, named.name));
        }
        let (mut found, mut any) = (Vec::new(), false);
        let prefix = format!("discovery.k8s.io/endpointslices/{}/", info.namespace);
        for (_, entry) in snapshot.range(&prefix, None) {
            let slice = entry.value();
            if slice["metadata"]["labels"]["kubernetes.io/service-name"] != named.name {
                continue;
            }
            any |= slice["endpoints"].as_array().is_some_and(|endpoints| !endpoints.is_empty());
            let ports = slice["ports"].as_array().into_iter().flatten();
            let mut ports = ports.filter(|port| port["name"].as_str().unwrap_or_default() == port_name);
            let Some(port) = ports.next().and_then(|port| u16::try_from(port["port"].as_u64()?).ok()) else { continue };
            for endpoint in slice["endpoints"].as_array().into_iter().flatten() {
                if endpoint["conditions"]["ready"] == false {
                    continue;
                }
                // Only what is the address of a pod is gone to.
                let target = &endpoint["targetRef"];
                let pod = format!("core/pods/{}/{}", info.namespace, target["name"].as_str().unwrap_or_default());
                let Some(address) = endpoint["addresses"][0].as_str().filter(|address| is_allowed(address)) else {
                    continue;
                };
                if target["kind"] == "Pod" && snapshot.get(&pod).is_some_and(|pod| has_address(&pod.value(), address)) {
                    found.push((address.to_owned(), port));
                }
            }
        }
        if found.is_empty() {
            // The port is named where it may be what is wrong.
            let asked = if any { info.name.as_str() } else { named.name };
            return Err(unavailable(format!("no endpoints available for service {asked:?}")));
        }
        let (address, port) = found.swap_remove(uuid::Uuid::new_v4().as_u128() as usize % found.len());
        Ok(Place::Server { scheme: named.scheme, address, port })
    }

    fn behind_node(&self, resource: &Resource, named: &Named<'_>) -> Result<Place, Failure> {
        let connected = self.connected(named.name, resource).map_err(|failure| match failure.code {
            StatusCode::NOT_FOUND => failure,
            _ => Failure::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "ServiceUnavailable",
                format!("error trying to reach service: node {:?} is not connected", named.name),
            ),
        })?;
        if named.port.is_empty() {
            return Ok(Place::Node(connected));
        }
        let snapshot = self.store().snapshot();
        let node = snapshot.get(&format!("core/nodes//{}", named.name)).map(|entry| entry.value()).unwrap_or_default();
        let own = node["status"]["daemonEndpoints"]["kubeletEndpoint"]["Port"].as_u64();
        if own.is_some_and(|own| own.to_string() == named.port) {
            return Ok(Place::Node(connected));
        }
        let addresses = node["status"]["addresses"].as_array().into_iter().flatten();
        let mut internal = addresses.filter(|address| address["type"] == "InternalIP");
        let address = internal.next().and_then(|address| address["address"].as_str()).unwrap_or_default();
        if !is_allowed(address) {
            return Err(Failure::bad_request("address not allowed"));
        }
        Ok(server(named.scheme, address, Some(port_number(named.port)?)))
    }
}

fn server(scheme: Scheme, address: &str, port: Option<u16>) -> Place {
    let usual = if scheme == Scheme::Https { 443 } else { 80 };
    Place::Server { scheme, address: address.to_owned(), port: port.unwrap_or(usual) }
}

fn port_number(text: &str) -> Result<u16, Failure> {
    text.parse().map_err(|_| {
        let why = format!("error trying to reach service: dial tcp: lookup tcp/{text}: unknown port");
        Failure::new(StatusCode::SERVICE_UNAVAILABLE, "ServiceUnavailable", why)
    })
}

fn has_address(pod: &Value, address: &str) -> bool {
    pod["status"]["podIP"] == address
        || pod["status"]["podIPs"].as_array().into_iter().flatten().any(|own| own["ip"] == address)
}

/// Returns whether an address may be gone to: that of one machine, and not the server's own loopback.
///
/// Pods that are plain processes have theirs in 127/8 beyond 127.0.
fn is_allowed(address: &str) -> bool {
    match address.parse() {
        Ok(IpAddr::V4(v4)) => {
            let own = v4.is_loopback() && v4.octets()[1] == 0;
            !(own || v4.is_unspecified() || v4.is_multicast() || v4.is_link_local() || v4.is_broadcast())
        }
        Ok(IpAddr::V6(v6)) => {
            let link_local = v6.segments()[0] & 0xffc0 == 0xfe80;
            !(v6.is_loopback() || v6.is_unspecified() || v6.is_multicast() || link_local)
        }
        Err(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_may_have_a_scheme_and_a_port() {
        let read = |id| Named::read(id).map(|named| (named.scheme, named.name, named.port));
        assert_eq!(read("a"), Some((Scheme::Http, "a", "")));
        assert_eq!(read("a:80"), Some((Scheme::Http, "a", "80")));
        assert_eq!(read("https:a:web"), Some((Scheme::Https, "a", "web")));
        assert_eq!(read(":a:"), Some((Scheme::Http, "a", "")));
        for wrong in ["", ":80", "ftp:a:1", "a:b:c:d"] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn the_servers_own_addresses_are_not_gone_to() {
        for address in ["10.1.2.3", "127.3.2.1", "fd00::1"] {
            assert!(is_allowed(address), "{address}");
        }
        for address in ["127.0.0.1", "0.0.0.0", "169.254.169.254", "224.0.0.1", "::1", "fe80::1", "", "name"] {
            assert!(!is_allowed(address), "{address}");
        }
    }
}
