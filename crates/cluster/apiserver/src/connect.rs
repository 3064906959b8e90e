//! Requests that are handed on with their connection: `exec`, `attach` and `portforward`
//! to the node that runs the pod, `proxy` to pods, Services and nodes.
//!
//! Here they pass what every request passes: the rights, admission, what the pod's
//! specification says. What goes over the connection is the others' affair.

mod place;
mod proxy;
mod rewrite;

use axum::body::Body;
use http::{Request, Response, StatusCode, header, request::Parts};
use hyper::upgrade::OnUpgrade;
use serde_json::{Value, json};
use std::sync::Arc;
use tower::ServiceExt;

use crate::{
    access::wish_of,
    pipeline::{Asked, Carried},
    rbac::Wish,
    registry::{Connect, Resource, Rules},
    request::{Info, Query},
    server::{Node, Server},
    status::Failure,
    write::{Admission, Call, Operation, Options},
};

impl Server {
    /// Hands a request on, and returns the other side's answer.
    pub(crate) async fn connect(
        &self,
        asked: Asked<'_>,
        connect: Connect,
        parts: &Parts,
        body: Body,
    ) -> Result<Response<Body>, Failure> {
        let Asked { user, resource, info, query, headers, notes } = asked;
        if !connect.is_proxy() && !matches!(info.verb, "get" | "create") {
            return Err(Failure::method_not_allowed());
        }
        if query.has("dryRun") {
            return Err(Failure::bad_request("dryRun is not supported"));
        }
        let mut given = options(connect, query, info)?;
        // Admission sees the options, which are a kind of their own.
        let kind = Resource {
            gvk: crate::registry::Gvk { kind: connect.options_kind().to_owned(), ..resource.gvk.clone() },
            node: Arc::default(),
            type_name: None,
            rules: Rules::NONE,
            ..(**resource).clone()
        };
        let mut settings = Options::parse(&Query::default(), headers, "CreateOptions")?;
        settings.notes = notes.clone();
        let call = Call { user, resource: &kind, info, options: &settings };
        self.mutate(call, Operation::Connect, &mut given, None).await?;
        self.admit(Admission { call, operation: Operation::Connect, new: Some(&given), old: None }).await?;
        if connect.is_proxy() {
            return self.proxy(connect, resource, info, parts, body).await;
        }
        // A WebSocket begins with GET; what it does is what POST does over SPDY.
        if info.verb != "create" {
            let wish = Wish { verb: "create".to_owned(), ..wish_of(info, query) };
            if !self.allowed(user, &wish) {
                return Err(Failure::forbidden(resource, &info.name, ""));
            }
        }
        let (node, uri) = self.streams_of(connect, resource, info, &given)?;
        if !is_upgrade(parts) {
            return Err(Failure::bad_request("Upgrade request required"));
        }
        let mut request = Request::new(Body::empty());
        *request.method_mut() = parts.method.clone();
        *request.uri_mut() = uri.parse().map_err(|_| Failure::bad_request("the options make no request"))?;
        *request.headers_mut() = parts.headers.clone();
        for name in [header::AUTHORIZATION, header::CONTENT_LENGTH] {
            request.headers_mut().remove(name);
        }
        if let Some(upgrade) = parts.extensions.get::<OnUpgrade>() {
            request.extensions_mut().insert(upgrade.clone());
        }
        let carried = Carried::default();
        request.extensions_mut().insert(carried.clone());
        let Ok(mut answer) = node.router.oneshot(request).await;
        if answer.status() == StatusCode::SWITCHING_PROTOCOLS {
            answer.extensions_mut().insert(carried);
        }
        Ok(answer)
    }

    /// Returns the node of the pod, and what it is asked for there.
    fn streams_of(
        &self,
        connect: Connect,
        resource: &Resource,
        info: &Info,
        options: &Value,
    ) -> Result<(Node, String), Failure> {
        let snapshot = self.store().snapshot();
        let pod = snapshot
            .get(&resource.key(&info.namespace, &info.name))
            .ok_or_else(|| Failure::not_found(resource, &info.name))?
            .value();
        let container = match connect {
            Connect::PortForward => String::new(),
            _ => format!("/{}", container_of(&pod, options["container"].as_str().unwrap_or_default())?),
        };
        let Some(name) = pod["spec"]["nodeName"].as_str().filter(|name| !name.is_empty()) else {
            return Err(Failure::bad_request(format!("pod {} does not have a host assigned", info.name)));
        };
        // What is missing is said to be of the kind that was asked for.
        let node = self.connected(name, resource)?;
        let mut given = Query::default();
        let flags = [("stdin", "input"), ("stdout", "output"), ("stderr", "error"), ("tty", "tty")];
        for (_, flag) in flags.into_iter().filter(|(name, _)| options[*name] == true) {
            given.push(flag, "1");
        }
        for word in options["command"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            given.push("command", word);
        }
        let ports: Vec<String> = options["ports"].as_array().into_iter().flatten().map(Value::to_string).collect();
        if !ports.is_empty() {
            given.push("port", &ports.join(","));
        }
        let verb = match connect {
            Connect::Attach => "attach",
            Connect::PortForward => "portForward",
            _ => "exec",
        };
        Ok((node, format!("/{verb}/{}/{}{container}?{}", info.namespace, info.name, given.in_order())))
    }

    /// Returns the node `name`, if it is the one that is connected.
    fn connected(&self, name: &str, asked: &Resource) -> Result<Node, Failure> {
        if let Some(node) = self.node().filter(|node| node.name == name) {
            return Ok(node);
        }
        if self.store().snapshot().get(&format!("core/nodes//{name}")).is_none() {
            return Err(Failure::not_found(asked, name));
        }
        let why = format!("error dialing backend: node {name:?} is not connected");
        Err(Failure::new(StatusCode::INTERNAL_SERVER_ERROR, "", why))
    }
}

/// Returns the container that is meant, in kube-apiserver's words if there is none.
fn container_of(pod: &Value, wanted: &str) -> Result<String, Failure> {
    let name = pod["metadata"]["name"].as_str().unwrap_or_default();
    let names = |list: &str| -> Vec<&str> {
        pod["spec"][list].as_array().into_iter().flatten().filter_map(|own| own["name"].as_str()).collect()
    };
    let (mains, inits) = (names("containers"), names("initContainers"));
    let all = [&inits[..], &mains, &names("ephemeralContainers")].concat();
    match (wanted, mains.as_slice()) {
        ("", [only]) => Ok((*only).to_owned()),
        ("", []) => Err(Failure::bad_request(format!("a container name must be specified for pod {name}"))),
        ("", _) => Err(Failure::bad_request(format!(
            "a container name must be specified for pod {name}, choose one of: [{}]",
            all.join(" ")
        ))),
        (wanted, _) if all.contains(&wanted) => Ok(wanted.to_owned()),
        (wanted, _) => Err(Failure::bad_request(format!("container {wanted} is not valid for pod {name}"))),
    }
}

/// Reads the options of a request as Kubernetes reads them from its query.
fn options(connect: Connect, query: &Query, info: &Info) -> Result<Value, Failure> {
    let mut options = json!({"kind": connect.options_kind(), "apiVersion": "v1"});
    match connect {
        Connect::Exec | Connect::Attach => {
            for name in ["stdin", "stdout", "stderr", "tty"] {
                let value = query.all(name).next();
                if value.is_some_and(|value| value != "0" && !value.eq_ignore_ascii_case("false")) {
                    options[name] = true.into();
                }
            }
            if let Some(container) = query.all("container").next().filter(|container| !container.is_empty()) {
                options["container"] = container.into();
            }
            if connect == Connect::Exec {
                // It is shown even where it is empty.
                options["command"] = query.all("command").collect::<Vec<_>>().into();
            }
        }
        Connect::PortForward => {
            let mut ports = Vec::new();
            for text in query.all("ports").flat_map(|text| text.split(',')) {
                let port: u16 = text.parse().map_err(|_| {
                    let why = if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
                        "value out of range"
                    } else {
                        "invalid syntax"
                    };
                    Failure::bad_request(format!(
                        "cannot convert to []int32: strconv.ParseUint: parsing {text:?}: {why}"
                    ))
                })?;
                ports.push(port);
            }
            if !ports.is_empty() {
                options["ports"] = ports.into();
            }
        }
        Connect::PodProxy | Connect::ServiceProxy | Connect::NodeProxy => {
            if !info.rest.is_empty() {
                options["path"] = crate::request::percent_decode(&info.rest).into();
            }
        }
    }
    Ok(options)
}

/// Returns whether the client wants to go on with another protocol.
fn is_upgrade(parts: &Parts) -> bool {
    let values = parts.headers.get_all(header::CONNECTION).iter().filter_map(|value| value.to_str().ok());
    values.into_iter().any(|value| value.to_ascii_lowercase().contains("upgrade"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(connect: Connect, query: &str) -> Result<Value, String> {
        let options = options(connect, &Query::parse(Some(query)), &Info::default());
        options.map_err(|failure| failure.message)
    }

    #[test]
    fn options_are_read_as_kubernetes_reads_them() {
        let exec = read(Connect::Exec, "command=sh&command=-c&stdin=True&stdout=&stderr=false&tty=0&container=c");
        let expected = json!({"kind": "PodExecOptions", "apiVersion": "v1", "stdin": true, "stdout": true,
            "container": "c", "command": ["sh", "-c"]});
        assert_eq!(exec, Ok(expected));
        let ports = read(Connect::PortForward, "ports=80,81&ports=82");
        assert_eq!(ports.unwrap()["ports"], json!([80, 81, 82]));
        let wrong = read(Connect::PortForward, "ports=x");
        assert_eq!(wrong, Err("cannot convert to []int32: strconv.ParseUint: parsing \"x\": invalid syntax".into()));
        assert!(read(Connect::PortForward, "ports=70000").unwrap_err().contains("out of range"));
    }

    #[test]
    fn a_container_is_chosen_where_there_is_one_alone() {
        let pod = |names: &[&str]| {
            let list: Vec<Value> = names.iter().map(|name| json!({"name": name})).collect();
            json!({"metadata": {"name": "p"}, "spec": {"containers": list, "initContainers": [{"name": "i"}]}})
        };
        let of = |names: &[&str], wanted: &str| container_of(&pod(names), wanted).map_err(|failure| failure.message);
        assert_eq!(of(&["a"], ""), Ok("a".into()));
        assert_eq!(of(&["a"], "i"), Ok("i".into()));
        let many = "a container name must be specified for pod p, choose one of: [i a b]";
        assert_eq!(of(&["a", "b"], ""), Err(many.into()));
        assert_eq!(of(&["a"], "x"), Err("container x is not valid for pod p".into()));
    }
}
