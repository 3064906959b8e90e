//! The parts of objects that have paths of their own: scale, binding, eviction,
//! log and ServiceAccount tokens.

use axum::body::Body;
use http::{Request, Response, StatusCode};
use serde_json::{Value, json};
use tower::ServiceExt;

use crate::{
    registry::{Resource, Subresource},
    request::{Info, Query},
    server::Server,
    status::Failure,
    write::{Options, PatchKind, Written, at_version},
};

fn at<'a>(object: &'a Value, path: &[String]) -> &'a Value {
    path.iter().fold(object, |place, step| &place[step.as_str()])
}

fn scale_of(object: &Value, spec: &[String], status: &[String], selector: Option<&[String]>) -> Value {
    let metadata = &object["metadata"];
    let selector = selector.map(|path| at(object, path)).map(|selector| match selector {
        Value::String(text) => text.clone(),
        other => other["matchLabels"]
            .as_object()
            .into_iter()
            .flatten()
            .filter_map(|(key, value)| value.as_str().map(|value| format!("{key}={value}")))
            .collect::<Vec<_>>()
            .join(","),
    });
    json!({
        "kind": "Scale", "apiVersion": "autoscaling/v1",
        "metadata": {"name": metadata["name"], "namespace": metadata["namespace"], "uid": metadata["uid"],
            "resourceVersion": metadata["resourceVersion"], "creationTimestamp": metadata["creationTimestamp"]},
        "spec": {"replicas": at(object, spec).as_i64().unwrap_or_default()},
        "status": {"replicas": at(object, status).as_i64().unwrap_or_default(), "selector": selector},
    })
}

impl Server {
    /// Serves `scale`.
    pub(crate) async fn scale(
        &self,
        resource: &Resource,
        subresource: &Subresource,
        info: &Info,
        body: Option<(Value, Option<PatchKind>)>,
        options: &Options,
    ) -> Result<Written, Failure> {
        let Subresource::Scale { spec, status, selector } = subresource else {
            return Err(Failure::method_not_allowed());
        };
        let snapshot = self.store().snapshot();
        let entry = snapshot
            .get(&resource.key(&info.namespace, &info.name))
            .ok_or_else(|| Failure::not_found(resource, &info.name))?;
        let object = at_version(resource, entry.value());
        let show = |object: &Value| scale_of(object, spec, status, selector.as_deref());
        let Some((body, patch)) = body else {
            return Ok(Written { code: StatusCode::OK, object: show(&object), warnings: Vec::new() });
        };
        let wanted =
            match patch {
                None => body,
                Some(PatchKind::Json) => schema::patch::json(&show(&object), &body)
                    .map_err(|error| Failure::bad_request(error.to_string()))?,
                Some(_) => schema::patch::merge(&show(&object), &body)
                    .map_err(|error| Failure::bad_request(error.to_string()))?,
            };
        let Some(replicas) = wanted["spec"]["replicas"].as_i64().filter(|replicas| *replicas >= 0) else {
            let cause = schema::validate::Cause::invalid(
                "spec.replicas",
                &wanted["spec"]["replicas"],
                "must be greater than or equal to 0",
            );
            return Err(Failure::invalid(resource, &info.name, &[cause]));
        };
        let mut change = json!(replicas);
        for step in spec.iter().rev() {
            change = json!({step.as_str(): change});
        }
        if let Some(version) = wanted["metadata"]["resourceVersion"].as_str().filter(|_| patch.is_none()) {
            change["metadata"] = json!({"resourceVersion": version});
        }
        let main = Info { subresource: String::new(), verb: "patch", ..info.clone() };
        let written = self.patch(resource, &main, PatchKind::Merge, &change, options).await?;
        Ok(Written { object: show(&written.object), ..written })
    }

    /// Serves `pods/binding`: the scheduler's decision.
    pub(crate) async fn bind(&self, resource: &Resource, info: &Info, body: &Value) -> Result<Written, Failure> {
        let node = body["target"]["name"].as_str().unwrap_or_default();
        if node.is_empty() {
            return Err(Failure::bad_request("target.name: Required value"));
        }
        let snapshot = self.store().snapshot();
        let entry = snapshot
            .get(&resource.key(&info.namespace, &info.name))
            .ok_or_else(|| Failure::not_found(resource, &info.name))?;
        let mut pod = entry.value();
        if let Some(bound) = pod["spec"]["nodeName"].as_str().filter(|bound| !bound.is_empty()) {
            return Err(Failure::conflict(
                resource,
                &info.name,
                &format!("pod {} is already assigned to node {bound:?}", info.name),
            ));
        }
        pod["spec"]["nodeName"] = node.into();
        let now = base::clock::now_rfc3339();
        let condition =
            json!({"type": "PodScheduled", "status": "True", "lastProbeTime": null, "lastTransitionTime": now});
        let mut conditions: Vec<Value> = pod["status"]["conditions"].as_array().cloned().unwrap_or_default();
        conditions.retain(|condition| condition["type"] != "PodScheduled");
        conditions.push(condition);
        pod["status"]["conditions"] = conditions.into();
        self.put_bound(resource, info, entry.revision, pod).await?;
        let object = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201});
        Ok(Written { code: StatusCode::CREATED, object, warnings: Vec::new() })
    }

    /// Serves `pods/eviction`: a deletion that asks first. Nothing that could refuse (a disruption budget) is served.
    pub(crate) async fn evict(
        &self,
        resource: &Resource,
        info: &Info,
        body: &Value,
        query: &Query,
    ) -> Result<Written, Failure> {
        let main = Info { subresource: String::new(), verb: "delete", ..info.clone() };
        self.delete(resource, &main, &body["deleteOptions"], query).await?;
        let object = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201});
        Ok(Written { code: StatusCode::CREATED, object, warnings: Vec::new() })
    }

    /// Serves `pods/log` from the node that runs the pod.
    pub(crate) async fn log(&self, resource: &Resource, info: &Info, query: &Query) -> Result<Response<Body>, Failure> {
        let snapshot = self.store().snapshot();
        let pod = snapshot
            .get(&resource.key(&info.namespace, &info.name))
            .ok_or_else(|| Failure::not_found(resource, &info.name))?
            .value();
        let names: Vec<&str> = ["containers", "initContainers"]
            .into_iter()
            .flat_map(|list| pod["spec"][list].as_array().into_iter().flatten())
            .filter_map(|container| container["name"].as_str())
            .collect();
        let mains = pod["spec"]["containers"].as_array().map_or(0, Vec::len);
        let container = match query.get("container") {
            Some(name) if names.contains(&name) => name,
            Some(name) => {
                return Err(Failure::bad_request(format!("container {name} is not valid for pod {}", info.name)));
            }
            None if mains == 1 => names[0],
            None => {
                return Err(Failure::bad_request(format!(
                    "a container name must be specified for pod {}, choose one of: [{}]",
                    info.name,
                    names[..mains].join(" ")
                )));
            }
        };
        if pod["spec"]["nodeName"].as_str().is_none_or(str::is_empty) {
            return Err(Failure::bad_request(format!("pod {} does not have a host assigned", info.name)));
        }
        let Some(node) = self.node() else {
            return Err(Failure::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "ServiceUnavailable",
                "no node serves logs: the node agent is not running",
            ));
        };
        let uri = format!("/containerLogs/{}/{}/{container}?{}", info.namespace, info.name, query.encode());
        let request = Request::get(uri).body(Body::empty()).map_err(|error| Failure::internal(error.to_string()))?;
        let Ok(answer) = node.oneshot(request).await;
        if answer.status().is_success() {
            return Ok(answer);
        }
        let code = answer.status();
        let text = axum::body::to_bytes(answer.into_body(), 64 << 10).await.unwrap_or_default();
        Err(Failure::new(
            code,
            if code == StatusCode::NOT_FOUND { "NotFound" } else { "BadRequest" },
            String::from_utf8_lossy(&text).trim().to_owned(),
        ))
    }

    /// Serves `serviceaccounts/token`: a signed token that ends by itself.
    pub(crate) fn token(&self, resource: &Resource, info: &Info, body: &Value) -> Result<Written, Failure> {
        let snapshot = self.store().snapshot();
        let account = snapshot
            .get(&resource.key(&info.namespace, &info.name))
            .ok_or_else(|| Failure::not_found(resource, &info.name))?
            .value();
        let seconds = body["spec"]["expirationSeconds"].as_i64().unwrap_or(3600);
        if !(600..=4_294_967_296).contains(&seconds) {
            let cause = schema::validate::Cause::invalid(
                "spec.expirationSeconds",
                &seconds.into(),
                "may not specify a duration less than 10 minutes",
            );
            return Err(Failure::invalid(resource, &info.name, &[cause]));
        }
        if body["spec"]["boundObjectRef"].is_object() {
            return Err(Failure::bad_request(
                "spec.boundObjectRef: tokens bound to objects are not served; leave it out",
            ));
        }
        let (token, expires) = self.tokens().issue(
            &info.namespace,
            &info.name,
            account["metadata"]["uid"].as_str().unwrap_or_default(),
            seconds,
        );
        let mut answer = body.clone();
        answer["kind"] = "TokenRequest".into();
        answer["apiVersion"] = "authentication.k8s.io/v1".into();
        answer["metadata"] =
            json!({"name": info.name, "namespace": info.namespace, "creationTimestamp": base::clock::now_rfc3339()});
        answer["spec"]["expirationSeconds"] = seconds.into();
        answer["status"] = json!({"token": token, "expirationTimestamp": expires});
        Ok(Written { code: StatusCode::CREATED, object: answer, warnings: Vec::new() })
    }
}
