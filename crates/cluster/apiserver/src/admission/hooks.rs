//! Webhooks: asks those that a request concerns, one after the other when they may change
//! the object, all at once when they may only refuse.

use std::collections::{BTreeMap, HashSet};

use admission::{
    matching::{Request, describe},
    webhooks::{self, Answer, Failed, FailurePolicy, Kind, Refusal},
};
use futures::future::join_all;
use http::StatusCode;
use serde_json::{Value, json};

use crate::{
    registry::{Resource, Subresource},
    server::Server,
    status::Failure,
    write::{Admission, Call, Operation, at_version, to_storage},
};

const CONFIGURATIONS: &str = "admissionregistration.k8s.io";

/// What a request is about, with what it borrows from.
pub(super) struct Matter<'a> {
    call: Call<'a>,
    operation: Operation,
    namespace_labels: Option<Value>,
    versions: Vec<String>,
}

impl<'a> Matter<'a> {
    pub(super) fn new(server: &Server, call: Call<'a>, operation: Operation, object: Option<&Value>) -> Matter<'a> {
        let Resource { gvk, plural, .. } = call.resource;
        let own = gvk.group.is_empty() && plural == "namespaces";
        let namespace_labels = if own {
            object.map(|object| object["metadata"]["labels"].clone())
        } else {
            let found = server.store().snapshot().get(&format!("core/namespaces//{}", call.info.namespace)).cloned();
            found.map(|namespace| namespace.value()["metadata"]["labels"].clone())
        };
        let versions = server
            .served()
            .registry
            .all()
            .filter(|other| other.gvk.group == gvk.group && other.plural == *plural && other.gvk.version != gvk.version)
            .map(|other| other.gvk.version.clone())
            .collect();
        Matter { call, operation, namespace_labels, versions }
    }

    /// Returns the group and kind of what is sent: a token's request is none of its account's.
    fn kind(&self) -> (&str, &str) {
        let Call { resource, info, .. } = self.call;
        if resource.subresources.get(info.subresource.as_str()) == Some(&Subresource::Token) {
            return ("authentication.k8s.io", "TokenRequest");
        }
        (&resource.gvk.group, &resource.gvk.kind)
    }

    pub(super) fn request<'b>(&'b self, object: Option<&'b Value>, old: Option<&'b Value>) -> Request<'b> {
        let Call { resource, info, .. } = self.call;
        let named = object.or(old).and_then(|object| object["metadata"]["name"].as_str()).unwrap_or_default();
        Request {
            operation: match self.operation {
                Operation::Create => "CREATE",
                Operation::Update => "UPDATE",
                Operation::Delete => "DELETE",
                Operation::Connect => "CONNECT",
            },
            group: &resource.gvk.group,
            version: &resource.gvk.version,
            kind: self.kind().1,
            kind_group: self.kind().0,
            resource: &resource.plural,
            subresource: &info.subresource,
            namespace: if resource.gvk.group.is_empty() && resource.plural == "namespaces" {
                named
            } else {
                &info.namespace
            },
            name: if named.is_empty() { &info.name } else { named },
            versions: self.versions.iter().map(String::as_str).collect(),
            namespace_labels: self.namespace_labels.as_ref().and_then(Value::as_object),
            object,
            old,
        }
    }

    pub(super) fn described(&self, request: &Request<'_>, version: &str) -> Value {
        let Call { user, options, .. } = self.call;
        describe(request, &user.to_json(), options.dry_run, version)
    }
}

impl Server {
    fn webhooks_of(&self, plural: &str) -> Vec<Value> {
        let prefix = format!("{CONFIGURATIONS}/{plural}/");
        self.store().snapshot().range(&prefix, None).map(|(_, entry)| entry.value()).collect()
    }

    /// Lets webhooks change an object; one that asks for it is asked again when another changed it later. Returns what
    /// to warn of, and whether any changed it; what they made is defaulted.
    pub(super) async fn webhooks_mutate(
        &self,
        call: Call<'_>,
        operation: Operation,
        new: &mut Value,
        old: Option<&Value>,
    ) -> Result<(Vec<String>, bool), Failure> {
        let configurations = self.webhooks_of("mutatingwebhookconfigurations");
        let list = webhooks::in_order(&configurations);
        if list.is_empty() {
            return Ok((Vec::new(), false));
        }
        let matter = Matter::new(self, call, operation, Some(new));
        let (mut warnings, mut changed) = (Vec::new(), false);
        // Which were asked, and those of them to ask again.
        let (mut asked, mut again): (Vec<usize>, HashSet<usize>) = (Vec::new(), HashSet::new());
        for round in 0..2 {
            for (index, webhook) in list.iter().enumerate() {
                if round == 1 && !again.contains(&index) {
                    continue;
                }
                let answer = self.ask(&matter, webhook, Kind::Mutating, Some(new), old).await?;
                let Some(answer) = answer else { continue };
                warnings.extend(answer.warnings);
                if let Some(mut object) = answer.object
                    && object != *new
                {
                    Self::default(call.resource, &mut object);
                    *new = object;
                    changed = true;
                    let repeats = |index: &&usize| list[**index]["reinvocationPolicy"] == "IfNeeded";
                    again.extend(asked.iter().filter(repeats));
                }
                asked.push(index);
            }
            if again.is_empty() {
                break;
            }
        }
        Ok((warnings, changed))
    }

    /// Asks all webhooks that may refuse.
    pub(super) async fn webhooks_validate(&self, admission: Admission<'_>) -> Result<Vec<String>, Failure> {
        let configurations = self.webhooks_of("validatingwebhookconfigurations");
        let list = webhooks::in_order(&configurations);
        if list.is_empty() {
            return Ok(Vec::new());
        }
        let Admission { call, operation, new, old } = admission;
        let matter = Matter::new(self, call, operation, new.or(old));
        let asking = list.iter().map(|webhook| self.ask(&matter, webhook, Kind::Validating, new, old));
        let mut warnings = Vec::new();
        for answer in join_all(asking).await {
            warnings.extend(answer?.map(|answer| answer.warnings).unwrap_or_default());
        }
        Ok(warnings)
    }

    /// Asks one webhook, if the request concerns it.
    async fn ask(
        &self,
        matter: &Matter<'_>,
        webhook: &Value,
        kind: Kind,
        new: Option<&Value>,
        old: Option<&Value>,
    ) -> Result<Option<Answer>, Failure> {
        let call = matter.call;
        let request = matter.request(new, old);
        let Some(version) = webhooks::asks(webhook, &request) else { return Ok(None) };
        let described = matter.described(&request, version);
        if webhook["matchConditions"].as_array().is_some_and(|list| !list.is_empty()) {
            let scope = self.expression_inputs(call, &described, new, old);
            if !webhooks::passes(webhook, &scope).map_err(|refusal| refused(call, new.or(old), refusal))? {
                return Ok(None);
            }
        }
        if call.options.dry_run
            && let Some(why) = webhooks::dry_run_refusal(webhook)
        {
            return Err(Failure::bad_request(why));
        }
        let name = webhook["name"].as_str().unwrap_or_default();
        let seconds = webhook["timeoutSeconds"].as_u64().unwrap_or(10).clamp(1, 30);
        let uid = uuid::Uuid::new_v4().to_string();
        let served = self.served();
        // The version that the webhook asks for, which the kind is served in.
        let shown = served.registry.get(&call.resource.gvk.group, version, &call.resource.plural);
        let shown = shown.map_or(call.resource, AsRef::as_ref);
        let at = |object: Option<&Value>| object.map(|object| converted(call.resource, shown, object));
        let (object, before) = (at(new), at(old));
        let review =
            webhooks::review(&uid, &described, object.as_ref(), before.as_ref(), &options_of(matter.operation, call));
        let answer = match self.call_webhook(&webhook["clientConfig"], &review, seconds).await {
            Ok(answer) => webhooks::read(webhook, kind, &uid, &answer, object.as_ref()),
            Err(why) => Err(Failed::Call(format!("failed to call webhook: {why}"))),
        };
        match answer {
            Ok(Ok(mut answer)) => {
                for (key, value) in &answer.audit {
                    call.options.note(key, value);
                }
                answer.object = answer.object.map(|object| converted(shown, call.resource, &object));
                Ok(Some(answer))
            }
            Ok(Err(refusal)) => Err(refused(call, new.or(old), refusal)),
            Err(Failed::Call(why)) if webhooks::failure_policy(webhook) == FailurePolicy::Ignore => {
                tracing::warn!(
                    webhook = name,
                    why,
                    "a webhook could not be asked; the request goes on, as its policy says"
                );
                Ok(None)
            }
            Err(failed) => Err(refused(call, new.or(old), webhooks::call_failure(name, &failed))),
        }
    }

    /// Returns the variables of expressions about a request.
    pub(super) fn expression_inputs(
        &self,
        call: Call<'_>,
        described: &Value,
        new: Option<&Value>,
        old: Option<&Value>,
    ) -> BTreeMap<String, expressions::Value> {
        use expressions::{Value as Cel, authorizer::Check};
        let of = |object: Option<&Value>| object.map_or(Cel::Null, Cel::from_json);
        let namespace = self.store().snapshot().get(&format!("core/namespaces//{}", call.info.namespace)).cloned();
        let mut request = described.clone();
        for name in ["name", "namespace", "subResource", "requestSubResource"] {
            if request[name].is_null() {
                request[name] = json!("");
            }
        }
        let ask = self.asks_for(call.user);
        let question = super::policy::question_of(call);
        BTreeMap::from([
            ("object".to_owned(), of(new)),
            ("oldObject".to_owned(), of(old)),
            ("request".to_owned(), Cel::from_json(&request)),
            ("namespaceObject".to_owned(), of(namespace.map(|entry| entry.value()).as_ref())),
            ("authorizer".to_owned(), Cel::Authorizer(Check::authorizer(ask.clone()).into())),
            ("authorizer.requestResource".to_owned(), Cel::Authorizer(Check::resource(ask, question).into())),
        ])
    }
}

/// Returns the options of a request as a webhook is shown them.
fn options_of(operation: Operation, call: Call<'_>) -> Value {
    let kind = match operation {
        Operation::Create => "CreateOptions",
        Operation::Update => "UpdateOptions",
        Operation::Delete => "DeleteOptions",
        Operation::Connect => return Value::Null,
    };
    let mut options = call.options.said.clone();
    options["kind"] = kind.into();
    options["apiVersion"] = "meta.k8s.io/v1".into();
    options
}

/// Returns an object of one version of a kind as another version shows it.
fn converted(from: &Resource, to: &Resource, object: &Value) -> Value {
    // A part of an object (a Binding, an Eviction) has a version of its own.
    if from.api_version == to.api_version || object["kind"] != from.gvk.kind.as_str() {
        return object.clone();
    }
    at_version(to, to_storage(from, object.clone()))
}

/// Returns a webhook's refusal as the answer to the client.
pub(super) fn refused(call: Call<'_>, object: Option<&Value>, refusal: Refusal) -> Failure {
    let code = StatusCode::from_u16(refusal.code).unwrap_or(StatusCode::BAD_REQUEST);
    let name = object.and_then(|object| object["metadata"]["name"].as_str()).unwrap_or(&call.info.name);
    if refusal.reason == "Forbidden"
        && code == StatusCode::FORBIDDEN
        && !refusal.message.starts_with("admission webhook")
    {
        return Failure::forbidden(call.resource, name, &refusal.message);
    }
    let known = known_reason(&refusal.reason);
    let failure = Failure { details: refusal.details, ..Failure::new(code, known, refusal.message) };
    if known.is_empty() { failure.because(refusal.reason) } else { failure }
}

/// Reasons are Kubernetes' own words; what is none of them is left out.
pub(super) fn known_reason(reason: &str) -> &'static str {
    const KNOWN: [&str; 14] = [
        "Unauthorized",
        "Forbidden",
        "NotFound",
        "AlreadyExists",
        "Conflict",
        "Invalid",
        "BadRequest",
        "MethodNotAllowed",
        "InternalError",
        "Expired",
        "ServiceUnavailable",
        "TooManyRequests",
        "RequestEntityTooLarge",
        "Timeout",
    ];
    KNOWN.into_iter().find(|known| *known == reason).unwrap_or_default()
}
