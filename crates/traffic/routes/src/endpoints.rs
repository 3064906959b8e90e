//! From a Service port to the addresses that answer there.

use std::{
    collections::{BTreeMap, HashMap},
    net::{IpAddr, SocketAddr},
};

use serde_json::Value;

use crate::{
    objects::{Kind, Objects, list, port, text},
    snapshot::{Backend, Unserved},
};

/// Finds backends and counts each Service port once.
pub(crate) struct Backends<'a> {
    objects: &'a Objects,
    slices: HashMap<(&'a str, &'a str), Vec<&'a Value>>,
    found: BTreeMap<(String, String, u16), usize>,
    all: Vec<Backend>,
}

impl<'a> Backends<'a> {
    /// Looks at all `EndpointSlices` once.
    pub(crate) fn new(objects: &'a Objects) -> Self {
        let mut slices: HashMap<_, Vec<_>> = HashMap::new();
        for ((namespace, _), slice) in objects.all(Kind::EndpointSlice) {
            if let Some(service) = slice.pointer("/metadata/labels/kubernetes.io~1service-name").and_then(Value::as_str)
            {
                slices.entry((namespace.as_str(), service)).or_default().push(slice);
            }
        }
        Backends { objects, slices, found: BTreeMap::new(), all: Vec::new() }
    }

    /// Returns the index of a Service's port; without a port, of its only one.
    pub(crate) fn find(&mut self, namespace: &str, service: &str, wanted: Option<u16>) -> Result<usize, Unserved> {
        let unserved = |reason: &str, message: String| Err(Unserved { reason: reason.to_owned(), message });
        let Some(object) = self.objects.get(Kind::Service, namespace, service) else {
            return unserved("BackendNotFound", format!("there is no Service {namespace}/{service}"));
        };
        let spec = &object["spec"];
        if text(spec, "type") == "ExternalName" {
            return unserved(
                "UnsupportedProtocol",
                format!("Service {namespace}/{service} is an ExternalName, which is not served"),
            );
        }
        let ports = list(spec, "ports");
        let entry = match wanted {
            Some(number) => ports.iter().find(|entry| port(entry, "port") == Some(number)),
            None => ports.first().filter(|_| ports.len() == 1),
        };
        let Some((entry, number)) = entry.and_then(|entry| Some((entry, port(entry, "port")?))) else {
            let all: Vec<_> =
                ports.iter().filter_map(|entry| port(entry, "port")).map(|port| port.to_string()).collect();
            let asked = wanted
                .map_or_else(|| "more than one port; name one of".to_owned(), |port| format!("no port {port}; it has"));
            return unserved(
                "BackendNotFound",
                format!("Service {namespace}/{service} has {asked} {}", all.join(", ")),
            );
        };
        if text(entry, "appProtocol") == "kubernetes.io/h2c" {
            return unserved(
                "UnsupportedProtocol",
                format!(
                    "port {number} of Service {namespace}/{service} asks for kubernetes.io/h2c; backends are reached over HTTP/1.1"
                ),
            );
        }
        let key = (namespace.to_owned(), service.to_owned(), number);
        if let Some(index) = self.found.get(&key) {
            return Ok(*index);
        }
        let slices = self.slices.get(&(namespace, service)).map_or(&[][..], Vec::as_slice);
        self.all.push(Backend {
            namespace: namespace.to_owned(),
            service: service.to_owned(),
            port: number,
            endpoints: addresses(slices, text(entry, "name")),
        });
        self.found.insert(key, self.all.len() - 1);
        Ok(self.all.len() - 1)
    }

    /// Returns the backends by index.
    pub(crate) fn into_inner(self) -> Vec<Backend> {
        self.all
    }
}

/// Returns the ready addresses of a port; if none is ready, those that still serve while they terminate.
fn addresses(slices: &[&Value], name: &str) -> Vec<SocketAddr> {
    let (mut ready, mut leaving) = (Vec::new(), Vec::new());
    for slice in slices {
        let Some(port) =
            list(slice, "ports").iter().find(|entry| text(entry, "name") == name).and_then(|entry| port(entry, "port"))
        else {
            continue;
        };
        for endpoint in list(slice, "endpoints") {
            let condition = |name: &str, default| endpoint["conditions"][name].as_bool().unwrap_or(default);
            let is_ready = condition("ready", true);
            let into = if is_ready {
                &mut ready
            } else if condition("serving", false) && condition("terminating", false) {
                &mut leaving
            } else {
                continue;
            };
            let ips = list(endpoint, "addresses").iter().filter_map(|address| address.as_str()?.parse::<IpAddr>().ok());
            into.extend(ips.map(|ip| SocketAddr::new(ip, port)));
        }
    }
    let mut chosen = if ready.is_empty() { leaving } else { ready };
    chosen.sort_unstable();
    chosen.dedup();
    chosen
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn objects(endpoints: &Value) -> Objects {
        let mut objects = Objects::default();
        objects.apply(
            Kind::Service,
            json!({"metadata": {"namespace": "n", "name": "s"}, "spec": {"ports": [
            {"name": "http", "port": 80, "targetPort": "web"}, {"name": "metrics", "port": 9090}]}}),
        );
        objects.apply(
            Kind::EndpointSlice,
            json!({
                "metadata": {"namespace": "n", "name": "s-1", "labels": {"kubernetes.io/service-name": "s"}},
                "ports": [{"name": "http", "port": 8080}, {"name": "metrics", "port": 9090}],
                "endpoints": endpoints,
            }),
        );
        objects
    }

    #[test]
    fn a_service_port_is_the_slices_port_of_the_same_name() {
        let objects = objects(&json!([
            {"addresses": ["10.0.0.2"], "conditions": {"ready": true}},
            {"addresses": ["10.0.0.1"]},
            {"addresses": ["10.0.0.3"], "conditions": {"ready": false}},
        ]));
        let mut backends = Backends::new(&objects);
        assert_eq!(backends.find("n", "s", Some(80)), Ok(0));
        assert_eq!(backends.find("n", "s", Some(80)), Ok(0));
        assert_eq!(backends.find("n", "s", Some(9090)), Ok(1));
        let all = backends.into_inner();
        assert_eq!(all[0].endpoints, ["10.0.0.1:8080".parse().unwrap(), "10.0.0.2:8080".parse().unwrap()]);
        assert_eq!(all[1].endpoints[0].port(), 9090);
    }

    #[test]
    fn a_terminating_pod_serves_until_there_is_a_ready_one() {
        let leaving =
            json!({"addresses": ["10.0.0.9"], "conditions": {"ready": false, "serving": true, "terminating": true}});
        let of = |endpoints: Value| {
            let objects = objects(&endpoints);
            let mut backends = Backends::new(&objects);
            backends.find("n", "s", Some(80)).unwrap();
            backends.into_inner().remove(0).endpoints.iter().map(|address| address.ip().to_string()).collect::<Vec<_>>()
        };
        assert_eq!(of(json!([leaving])), ["10.0.0.9"]);
        assert_eq!(of(json!([leaving, {"addresses": ["10.0.0.1"]}])), ["10.0.0.1"]);
    }

    #[test]
    fn what_cannot_be_served_is_said() {
        let objects = objects(&json!([]));
        let mut backends = Backends::new(&objects);
        let mut of = |service, port| backends.find("n", service, port).unwrap_err();
        assert_eq!(of("x", Some(80)).reason, "BackendNotFound");
        assert_eq!(of("s", Some(81)).message, "Service n/s has no port 81; it has 80, 9090");
        assert_eq!(of("s", None).message, "Service n/s has more than one port; name one of 80, 9090");
    }
}
