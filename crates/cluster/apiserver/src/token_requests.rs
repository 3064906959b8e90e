//! `serviceaccounts/token`: a signed token that ends by itself and dies with what it is bound to.

use std::collections::BTreeMap;

use http::StatusCode;
use schema::validate::Cause;
use serde_json::{Value, json};

use crate::{
    registry::{Gvk, Resource, Rules, node_of},
    server::Server,
    status::Failure,
    tokens::{Claims, ISSUER},
    write::{Admission, Call, Operation, Written},
};

const GROUP: &str = "authentication.k8s.io";
/// How long tokens of volumes are asked for: clients that never read theirs again are given longer, and a warning.
const OF_VOLUMES: i64 = 3607;
/// How long that is.
const EXTENDED: i64 = 365 * 24 * 3600;

impl Server {
    /// Issues a token of a ServiceAccount.
    pub(crate) async fn token(&self, call: Call<'_>, body: Value) -> Result<Written, Failure> {
        let info = call.info;
        // What is sent is a kind of its own.
        let kind = Resource {
            gvk: Gvk { group: GROUP.to_owned(), version: "v1".to_owned(), kind: "TokenRequest".to_owned() },
            node: node_of("io.k8s.api.authentication.v1.TokenRequest"),
            type_name: Some("io.k8s.api.authentication.v1.TokenRequest"),
            rules: Rules::NONE,
            ..call.resource.clone()
        };
        let whole = Call { resource: &kind, ..call };
        let (mut body, mut warnings) = Self::decode(whole, body)?;
        if body["spec"]["expirationSeconds"].is_null() {
            body["spec"]["expirationSeconds"] = 3600.into();
        }
        warnings.extend(self.mutate(call, Operation::Create, &mut body, None).await?);
        self.node_token_restricted(Admission { call, operation: Operation::Create, new: Some(&body), old: None })?;
        meant(call, &body)?;
        let account = self.entry(call)?.value();
        let uid = account["metadata"]["uid"].as_str().unwrap_or_default();
        let wanted = body["metadata"]["uid"].as_str().unwrap_or_default().to_owned();
        if !wanted.is_empty() && wanted != uid {
            let why = format!(
                "the UID in the token request ({wanted}) does not match the UID of the service account ({uid})"
            );
            return Err(conflict(&info.name, &why));
        }
        let none = body["spec"]["audiences"].as_array().is_none_or(Vec::is_empty);
        if none {
            body["spec"]["audiences"] = json!([ISSUER]);
        }
        let seconds = body["spec"]["expirationSeconds"].as_i64().unwrap_or_default();
        in_bounds(seconds)?;
        for (name, value) in [("name", info.name.as_str()), ("namespace", &info.namespace), ("uid", uid)] {
            body["metadata"][name] = value.into();
        }
        body["metadata"]["creationTimestamp"] = base::clock::now_rfc3339().into();
        body["status"] = json!({"token": "", "expirationTimestamp": null});
        if body["spec"]["boundObjectRef"].is_null() {
            body["spec"]["boundObjectRef"] = Value::Null;
        }
        let admission = Admission { call, operation: Operation::Create, new: Some(&body), old: None };
        warnings.extend(self.admit(admission).await?.warnings);
        let bound = self.bound_to(call, &body["spec"]["boundObjectRef"])?;
        let audiences: Vec<String> = body["spec"]["audiences"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|audience| audience.as_str().unwrap_or_default().to_owned())
            .collect();
        let of_volume =
            seconds == OF_VOLUMES && bound.contains_key("pod") && audiences.iter().all(|name| name == ISSUER);
        let (token, expires) = self.tokens().issue(Claims {
            namespace: &info.namespace,
            account: &info.name,
            uid,
            seconds: if of_volume { EXTENDED } else { seconds },
            warn_after: of_volume.then_some(seconds),
            audiences,
            bound: bound.into_iter().collect(),
        });
        body["status"] = json!({"token": token, "expirationTimestamp": expires});
        Ok(Written { code: StatusCode::CREATED, object: body.into(), warnings })
    }

    /// Returns what a token is to die with.
    fn bound_to(&self, call: Call<'_>, reference: &Value) -> Result<BTreeMap<&'static str, Value>, Failure> {
        let info = call.info;
        if reference.is_null() {
            return Ok(BTreeMap::new());
        }
        let of = |field: &str| reference[field].as_str().unwrap_or_default();
        // Any version of the core group is the core group.
        let (group, version) = of("apiVersion").split_once('/').unwrap_or(("", of("apiVersion")));
        let (claim, plural, namespace) = match (group, of("kind")) {
            ("", "Pod") => ("pod", "pods", info.namespace.as_str()),
            ("", "Secret") => ("secret", "secrets", info.namespace.as_str()),
            ("", "Node") => ("node", "nodes", ""),
            (_, kind) => {
                let why = format!("cannot bind token to object of type {group}/{version}, Kind={kind}");
                return Err(Failure::bad_request(why));
            }
        };
        let name = of("name");
        if name.is_empty() {
            return Err(Failure::bad_request("Name parameter required."));
        }
        let snapshot = self.store().snapshot();
        let object = snapshot
            .get(&format!("core/{plural}/{namespace}/{name}"))
            .ok_or_else(|| Failure::not_found_named("", plural, name))?
            .value();
        let uid = object["metadata"]["uid"].as_str().unwrap_or_default();
        let mut bound = BTreeMap::from([(claim, json!({"name": name, "uid": uid}))]);
        if claim == "pod" {
            if object["spec"]["serviceAccountName"] != info.name.as_str() {
                return Err(Failure::bad_request(format!(
                    "cannot bind token for serviceaccount {:?} to pod running with different serviceaccount name.",
                    info.name
                )));
            }
            if let Some(node) = object["spec"]["nodeName"].as_str().filter(|node| !node.is_empty()) {
                let found = snapshot.get(&format!("core/nodes//{node}")).map(|entry| entry.value());
                let mut reference = json!({"name": node});
                if let Some(found) = found {
                    reference["uid"] = found["metadata"]["uid"].clone();
                }
                bound.insert("node", reference);
            }
        }
        if !of("uid").is_empty() && of("uid") != uid {
            return Err(crate::nodes::bound_elsewhere(of("kind"), name, of("uid")));
        }
        Ok(bound)
    }
}

/// Checks that a request means the account that it is sent to.
fn meant(call: Call<'_>, body: &Value) -> Result<(), Failure> {
    let info = call.info;
    for (field, what, own) in [("name", "name", &info.name), ("namespace", "namespace", &info.namespace)] {
        let said = &body["metadata"][field];
        if said.as_str().is_some_and(|said| !said.is_empty() && said != own) {
            let why = format!("must match the service account {what} if specified");
            return Err(invalid(&info.name, &[Cause::invalid(format!("metadata.{field}"), said, &why)]));
        }
    }
    Ok(())
}

fn in_bounds(seconds: i64) -> Result<(), Failure> {
    let why = if seconds < 600 {
        "may not specify a duration less than 10 minutes"
    } else if seconds > 1 << 32 {
        "may not specify a duration larger than 2^32 seconds"
    } else {
        return Ok(());
    };
    Err(invalid("", &[Cause::invalid("spec.expirationSeconds", &seconds.into(), why)]))
}

/// It is the request that is wrong, not the account.
fn invalid(name: &str, causes: &[Cause]) -> Failure {
    let list: Vec<String> = causes.iter().map(|cause| format!("{}: {}", cause.field, cause.message)).collect();
    let causes: Vec<Value> = causes
        .iter()
        .map(|cause| json!({"reason": cause.reason, "message": cause.message, "field": cause.field}))
        .collect();
    Failure {
        details: json!({"name": name, "group": GROUP, "kind": "TokenRequest", "causes": causes}),
        ..Failure::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "Invalid",
            format!("TokenRequest.{GROUP} {name:?} is invalid: {}", list.join(", ")),
        )
    }
}

fn conflict(name: &str, why: &str) -> Failure {
    Failure {
        details: json!({"name": name, "group": GROUP, "kind": "TokenRequest"}),
        ..Failure::new(
            StatusCode::CONFLICT,
            "Conflict",
            format!("Operation cannot be fulfilled on TokenRequest.{GROUP} {name:?}: {why}"),
        )
    }
}
