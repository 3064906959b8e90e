//! The parts of objects that have paths of their own: scale, binding and log.

use std::sync::Arc;

use axum::body::Body;
use http::{HeaderValue, Request, Response, StatusCode, header};
use schema::{
    owners::{self, Writer},
    selector::Labels,
    validate::Cause,
};
use serde_json::{Value, json};
use tower::ServiceExt;

use crate::{
    registry::{Gvk, Resource, Subresource, node_of},
    request::{Info, Query},
    server::Server,
    status::Failure,
    store::Entry,
    write::{
        ATTEMPTS, Admission, Call, Change, Operation, PatchKind, Written, apply_conflict, at_version,
        changed_meanwhile, patch_failure, same_object,
    },
};

fn at<'a>(object: &'a Value, path: &[String]) -> &'a Value {
    path.iter().fold(object, |place, step| &place[step.as_str()])
}

fn scale_of(object: &Value, spec: &[String], status: &[String], selector: Option<&[String]>) -> Value {
    let metadata = &object["metadata"];
    let selector = selector.map(|path| at(object, path)).map(|selector| match selector {
        Value::String(text) => text.clone(),
        // A ReplicationController's selector is a plain map.
        other if other["matchLabels"].is_null() && other["matchExpressions"].is_null() => {
            Labels::text_of(&json!({"matchLabels": other})).unwrap_or_default()
        }
        other => Labels::text_of(other).unwrap_or_default(),
    });
    let mut scale = json!({
        "kind": "Scale", "apiVersion": "autoscaling/v1",
        "metadata": {"name": metadata["name"], "namespace": metadata["namespace"], "uid": metadata["uid"],
            "resourceVersion": metadata["resourceVersion"], "creationTimestamp": metadata["creationTimestamp"]},
        "spec": match at(object, spec).as_i64().unwrap_or_default() {
            0 => json!({}),
            count => json!({"replicas": count}),
        },
        "status": {"replicas": at(object, status).as_i64().unwrap_or_default()},
    });
    if let Some(selector) = selector.filter(|selector| !selector.is_empty()) {
        scale["status"]["selector"] = selector.into();
    }
    scale
}

/// The count of what has none before a patch.
const UNSET: i64 = i32::MIN as i64;

/// Says that an object has no count to show.
fn no_count(spec: &[String]) -> Failure {
    let why = format!("the spec replicas field {:?} does not exist", format!(".{}", spec.join(".")));
    Failure {
        details: json!({"causes": [{"message": why}]}),
        ..Failure::internal(format!("Internal error occurred: {why}"))
    }
}

/// What a `Scale` of this kind's objects is read as.
fn scale_form(resource: &Resource) -> Resource {
    let gvk = Gvk { group: "autoscaling".into(), version: "v1".into(), kind: "Scale".into() };
    Resource {
        api_version: gvk.api_version(),
        gvk,
        node: node_of("io.k8s.api.autoscaling.v1.Scale"),
        custom: false,
        ..resource.clone()
    }
}

impl Server {
    /// Serves `scale`.
    pub(crate) async fn scale(
        &self,
        call: Call<'_>,
        subresource: &Subresource,
        body: Option<(Value, Option<PatchKind>)>,
    ) -> Result<Written, Failure> {
        let Call { resource, info, .. } = call;
        let Subresource::Scale { spec, status, selector } = subresource else {
            return Err(Failure::method_not_allowed());
        };
        let show = |object: &Value| scale_of(object, spec, status, selector.as_deref());
        let path: Vec<&str> = spec.iter().map(String::as_str).collect();
        let versions = self.versions(resource);
        let form = scale_form(resource);
        let as_scale = Call { resource: &form, ..call };
        let node = &form.node;
        let now = base::clock::now_rfc3339();
        let writer = Writer { api_version: "autoscaling/v1", ..Self::writer(call, &now) };
        for _ in 0..ATTEMPTS {
            let entry = self.entry(call)?;
            let old = at_version(resource, entry.value());
            let missing = resource.custom && at(&old, spec).is_null();
            let Some((body, patch)) = &body else {
                if missing {
                    return Err(no_count(spec));
                }
                return Ok(Written { code: StatusCode::OK, object: show(&old).into(), warnings: Vec::new() });
            };
            let mut before = show(&old);
            if missing {
                before["spec"]["replicas"] = UNSET.into();
            }
            let owners = owners::of_scale(&old, &path, &versions.iter().map(String::as_str).collect::<Vec<_>>());
            owners::set_managers(&mut before, &owners);
            let (mut wanted, told) = match patch {
                None => Self::decode(as_scale, body.clone())?,
                Some(PatchKind::Apply) => {
                    let config = Self::decode_applied(as_scale, body.clone())?;
                    let applied = schema::apply::apply(&before, &config, node, writer, call.options.force);
                    (applied.map_err(|conflicts| apply_conflict(&conflicts))?, Vec::new())
                }
                Some(kind) => {
                    let patched = match kind {
                        PatchKind::Json => schema::patch::json(&before, body),
                        PatchKind::Strategic if !resource.custom => schema::patch::strategic(&before, body, node),
                        _ => schema::patch::merge(&before, body),
                    };
                    let patched = patched.map_err(|error| patch_failure(resource, &info.name, &error))?;
                    Self::decode_patched(as_scale, *kind, body, patched)?
                }
            };
            same_object(resource, info, &before, &wanted)?;
            if !matches!(patch, Some(PatchKind::Apply)) {
                owners::updated(&before, owners, &mut wanted, node, writer);
            }
            let mut warnings = told;
            warnings.extend(self.mutate(call, Operation::Update, &mut wanted, Some(&before)).await?);
            let version = wanted["metadata"]["resourceVersion"].as_str().unwrap_or_default();
            if !version.is_empty() && version != entry.revision.to_string() {
                return Err(changed_meanwhile(resource, &info.name));
            }
            let replicas = wanted_count(as_scale, &wanted)?;
            if missing && replicas == UNSET {
                let why = format!("the spec replicas field {:?} cannot be empty", format!(".{}", spec.join(".")));
                return Err(Failure::bad_request(why));
            }
            let admission = Admission { call, operation: Operation::Update, new: Some(&wanted), old: Some(&before) };
            let admitted = self.admit(admission).await?;
            warnings.extend(admitted.warnings);
            let mut new = old;
            *place(&mut new, spec) = replicas.into();
            let owners = owners::after_scale(&new, &owners::managers(&wanted), &path, &resource.api_version);
            owners::set_managers(&mut new, &owners);
            let owners = Some(new["metadata"]["managedFields"].clone());
            let change = Change { new, warnings, owners, admitted: true };
            if let Some(Written { code, object, warnings }) = self.replace(call, &entry, change).await? {
                return Ok(Written { code, object: show(&object.tree(resource)).into(), warnings });
            }
        }
        Err(changed_meanwhile(resource, &info.name))
    }

    /// Returns the versions (`group/version`) that a kind is served in.
    fn versions(&self, resource: &Resource) -> Vec<String> {
        let served = self.served();
        let is_one = |other: &&Arc<Resource>| other.gvk.group == resource.gvk.group && other.plural == resource.plural;
        served.registry.all().filter(is_one).map(|other| other.api_version.clone()).collect()
    }

    /// Serves `pods/binding`: the scheduler's decision.
    pub(crate) async fn bind(&self, call: Call<'_>, mut body: Value) -> Result<Written, Failure> {
        let Call { resource, info, .. } = call;
        let mut warnings = self.mutate(call, Operation::Create, &mut body, None).await?;
        named_alike(call, &body, "Binding")?;
        let (kind, node) = (&body["target"]["kind"], body["target"]["name"].as_str().unwrap_or_default());
        if !matches!(kind.as_str(), None | Some("" | "Node")) {
            let why = format!("target.kind: Unsupported value: {kind}: supported values: \"Node\", \"<empty>\"");
            return Err(Failure::unreasoned(why));
        }
        if node.is_empty() {
            return Err(Failure::unreasoned("target.name: Required value"));
        }
        let admission = Admission { call, operation: Operation::Create, new: Some(&body), old: None };
        let admitted = self.admit(admission).await?;
        warnings.extend(admitted.warnings);
        for _ in 0..ATTEMPTS {
            let entry = self.entry(call)?;
            let pod = bound(resource, entry.value(), node)?;
            // Binding owns no field: it is the pod's own, as if it had been created there.
            let owners = Some(pod["metadata"]["managedFields"].clone());
            let change = Change { new: pod, warnings: warnings.clone(), owners, admitted: true };
            if let Some(written) = self.replace(call, &entry, change).await? {
                return Ok(created(written.warnings));
            }
        }
        Err(changed_meanwhile(resource, &info.name))
    }

    /// Returns the object that a call names, as it is stored.
    pub(crate) fn entry(&self, call: Call<'_>) -> Result<Arc<Entry>, Failure> {
        let Call { resource, info, .. } = call;
        let snapshot = self.store().snapshot();
        snapshot
            .get(&resource.key(&info.namespace, &info.name))
            .cloned()
            .ok_or_else(|| Failure::not_found(resource, &info.name))
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
            // Nobody has run it: it has said nothing.
            let mut empty = Response::new(Body::empty());
            empty.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain"));
            return Ok(empty);
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
        let Ok(answer) = node.router.oneshot(request).await;
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
}

pub(crate) fn created(warnings: Vec<String>) -> Written {
    let object = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201});
    Written { code: StatusCode::CREATED, object: object.into(), warnings }
}

/// Returns a pod as it is once it is bound to `node`.
fn bound(resource: &Resource, mut pod: Value, node: &str) -> Result<Value, Failure> {
    let name = pod["metadata"]["name"].as_str().unwrap_or_default();
    let conflict = |why: &str| {
        let mut failure = Failure::conflict(resource, name, why);
        let part = format!("{}/binding", resource.plural);
        failure.message = format!("Operation cannot be fulfilled on {part} {name:?}: {why}");
        failure.details["kind"] = part.into();
        failure
    };
    if !pod["metadata"]["deletionTimestamp"].is_null() {
        let why = format!("pod {name} is being deleted, cannot be assigned to a host");
        return Err(conflict(&why));
    }
    if let Some(before) = pod["spec"]["nodeName"].as_str().filter(|before| !before.is_empty()) {
        let why = format!("pod {name} is already assigned to node {before:?}");
        return Err(conflict(&why));
    }
    pod["spec"]["nodeName"] = node.into();
    let now = base::clock::now_rfc3339();
    let condition = json!({"type": "PodScheduled", "status": "True", "lastProbeTime": null, "lastTransitionTime": now});
    let mut conditions: Vec<Value> = pod["status"]["conditions"].as_array().cloned().unwrap_or_default();
    conditions.retain(|condition| condition["type"] != "PodScheduled");
    conditions.push(condition);
    pod["status"]["conditions"] = conditions.into();
    Ok(pod)
}

fn wanted_count(call: Call<'_>, scale: &Value) -> Result<i64, Failure> {
    let count = &scale["spec"]["replicas"];
    // A count that is left out is 0, as in every `Scale`.
    if count.is_null() {
        return Ok(0);
    }
    // Of a custom object it is checked where its definition has it.
    let custom = call.resource.type_name.is_none();
    count.as_i64().filter(|count| custom || *count >= 0).ok_or_else(|| {
        let cause = Cause::invalid("spec.replicas", count, "must be greater than or equal to 0");
        Failure::invalid(call.resource, &call.info.name, &[cause])
    })
}

/// Checks that what is sent to a part of an object names it; a name that is left out is none.
pub(crate) fn named_alike(call: Call<'_>, body: &Value, kind: &str) -> Result<(), Failure> {
    if body["metadata"]["name"].as_str() != Some(call.info.name.as_str()) {
        return Err(Failure::bad_request(format!("name in URL does not match name in {kind} object")));
    }
    Ok(())
}

/// Returns the place at `path`, made if it is missing.
fn place<'a>(object: &'a mut Value, path: &[String]) -> &'a mut Value {
    path.iter().fold(object, |place, step| &mut place[step.as_str()])
}
