//! Serves `pods/eviction`: a deletion that asks the pod's disruption budget first. What a
//! budget says is decided in [`admission::evictions`].

use admission::evictions::{self, Verdict};
use http::StatusCode;
use serde_json::{Value, json};

use crate::{
    rbac::User,
    request::{Info, Query},
    server::Server,
    status::Failure,
    write::{
        ATTEMPTS, Admission, Call, Change, Deletion, Object, Operation, Options, Written, at_version, changed_meanwhile,
    },
};

const BUDGETS: (&str, &str, &str) = ("policy", "v1", "poddisruptionbudgets");
const SEVERAL: &str =
    "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.";

/// What a pod's budgets let happen.
enum Leave {
    /// The pod may go.
    Granted,
    /// It may go as long as it is at this revision.
    At(u64),
    /// Nobody can decide.
    Undecided,
    /// The budget changed meanwhile.
    Again,
}

impl Server {
    /// Evicts a pod.
    pub(crate) async fn evict(&self, call: Call<'_>, mut body: Value) -> Result<Written, Failure> {
        kind_fits(&body)?;
        let mut warnings = self.mutate(call, Operation::Create, &mut body, None).await?;
        if body["metadata"]["name"].as_str().unwrap_or_default() != call.info.name {
            return Err(Failure::bad_request("name in URL does not match name in Eviction object"));
        }
        let admission = Admission { call, operation: Operation::Create, new: Some(&body), old: None };
        warnings.extend(self.admit(admission).await?.warnings);
        let deletion = Deletion::parse(&Query::default(), &body["deleteOptions"])?;
        let dry_run = call.options.dry_run || deletion.dry_run;
        for _ in 0..ATTEMPTS {
            let gone = match self.ask_budgets(call, dry_run).await? {
                Leave::Granted => self.send_away(call, &deletion, None, dry_run).await?,
                Leave::At(revision) => self.send_away(call, &deletion, Some(revision), dry_run).await?,
                Leave::Again => false,
                Leave::Undecided => {
                    let object = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
                        "message": SEVERAL, "code": 500});
                    return Ok(Written { code: StatusCode::INTERNAL_SERVER_ERROR, object: object.into(), warnings });
                }
            };
            if gone {
                let object =
                    json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201});
                return Ok(Written { code: StatusCode::CREATED, object: object.into(), warnings });
            }
        }
        Err(changed_meanwhile(call.resource, &call.info.name))
    }

    /// Asks the budget that guards the pod, and takes from it what the eviction costs.
    async fn ask_budgets(&self, call: Call<'_>, dry_run: bool) -> Result<Leave, Failure> {
        let Call { resource, info, .. } = call;
        let entry = self.entry(call)?;
        let pod = at_version(resource, entry.value());
        let prefix = format!("{}/{}/{}/", BUDGETS.0, BUDGETS.2, info.namespace);
        let budgets: Vec<Value> =
            self.store().snapshot().range(&prefix, None).map(|(_, budget)| budget.value()).collect();
        match evictions::judge(&pod, &budgets, &base::clock::now_rfc3339()) {
            Verdict::Unguarded => Ok(Leave::Granted),
            Verdict::WhileUnchanged => Ok(Leave::At(entry.revision)),
            Verdict::Several => Ok(Leave::Undecided),
            Verdict::TooMany { message, cause, retry_after } => {
                let mut failure = Failure::new(StatusCode::TOO_MANY_REQUESTS, "TooManyRequests", message);
                failure.details = json!({"causes": [{"reason": "DisruptionBudget", "message": cause}]});
                failure.retry_after = retry_after;
                Err(failure)
            }
            Verdict::Forbidden { budget, why } => Err(Failure {
                details: json!({"name": budget, "group": BUDGETS.0, "kind": "poddisruptionbudget"}),
                ..Failure::new(
                    StatusCode::FORBIDDEN,
                    "Forbidden",
                    format!("poddisruptionbudget.policy {budget:?} is forbidden: {why}"),
                )
            }),
            Verdict::Allowed { .. } if dry_run => Ok(Leave::Granted),
            Verdict::Allowed { budget, status } => {
                let taken = budgets.into_iter().find(|one| one["metadata"]["name"] == budget.as_str());
                let taken = taken.map(|mut one| {
                    one["status"] = status;
                    one
                });
                self.take_from(info, &budget, taken.unwrap_or_default()).await
            }
        }
    }

    /// Writes down what a budget has left.
    async fn take_from(&self, pod: &Info, name: &str, budget: Value) -> Result<Leave, Failure> {
        let served = self.served();
        let (group, version, plural) = BUDGETS;
        let resource = served.registry.get(group, version, plural).ok_or_else(Failure::no_such_path)?;
        let info = Info {
            verb: "update",
            group: group.to_owned(),
            version: version.to_owned(),
            resource: plural.to_owned(),
            subresource: "status".to_owned(),
            namespace: pod.namespace.clone(),
            name: name.to_owned(),
            rest: String::new(),
        };
        let user = User::new("system:apiserver", &["system:masters"]);
        let options = Options::parse(&Query::parse(Some("fieldManager=kube-apiserver")), &http::HeaderMap::new(), "")?;
        match Box::pin(self.update(Call { user: &user, resource, info: &info, options: &options }, budget)).await {
            Ok(_) => Ok(Leave::Granted),
            Err(failure) if matches!(failure.reason, "Conflict" | "NotFound") => Ok(Leave::Again),
            Err(failure) => Err(failure),
        }
    }

    /// Marks the pod as disrupted and deletes it; `false` if it is no longer at the revision that it has to be at.
    async fn send_away(
        &self,
        call: Call<'_>,
        deletion: &Deletion,
        pinned: Option<u64>,
        dry_run: bool,
    ) -> Result<bool, Failure> {
        let info = Info { subresource: "status".to_owned(), verb: "update", ..call.info.clone() };
        for _ in 0..ATTEMPTS {
            let entry = self.entry(call)?;
            if pinned.is_some_and(|revision| revision != entry.revision) {
                return Ok(false);
            }
            let pod = at_version(call.resource, entry.value());
            // As Kubernetes does: what the budget gave for it is gone all the same.
            deletion.check(call.resource, &call.info.name, &pod)?;
            let mut revision = entry.revision;
            if !dry_run {
                let owners = Some(pod["metadata"]["managedFields"].clone());
                let change = Change { new: disrupted(pod), warnings: Vec::new(), owners, admitted: true };
                let Some(marked) = self.replace(Call { info: &info, ..call }, &entry, change).await? else { continue };
                if let Object::Stored(marked) = marked.object {
                    revision = marked.revision;
                }
            }
            let deletion = deletion.of_version(pinned.map(|_| revision), dry_run);
            let info = Info { subresource: String::new(), verb: "delete", ..call.info.clone() };
            let options = Options { dry_run, ..call.options.clone() };
            return match self.delete(Call { info: &info, options: &options, ..call }, &deletion).await {
                Ok(_) => Ok(true),
                Err(failure) if pinned.is_some() && failure.reason == "Conflict" => Ok(false),
                Err(failure) => Err(failure),
            };
        }
        Err(changed_meanwhile(call.resource, &call.info.name))
    }
}

/// Returns a pod with the condition that tells why it goes.
fn disrupted(mut pod: Value) -> Value {
    let now = base::clock::now_rfc3339();
    let condition = json!({"type": "DisruptionTarget", "status": "True", "reason": "EvictionByEvictionAPI",
        "message": "Eviction API: evicting", "lastProbeTime": null, "lastTransitionTime": now});
    if !pod["status"]["conditions"].is_array() {
        pod["status"]["conditions"] = json!([]);
    }
    if let Some(list) = pod["status"]["conditions"].as_array_mut() {
        list.retain(|condition| condition["type"] != "DisruptionTarget");
        list.push(condition);
    }
    pod
}

/// Checks that a body is an `Eviction`, if it says what it is.
fn kind_fits(body: &Value) -> Result<(), Failure> {
    let text = |name: &str| body[name].as_str().unwrap_or_default();
    let (version, kind) = (text("apiVersion"), text("kind"));
    if matches!(version, "" | "policy/v1" | "policy/v1beta1") && matches!(kind, "" | "Eviction") {
        return Ok(());
    }
    let shown = version.rsplit('/').next().unwrap_or_default();
    Err(Failure::bad_request(format!(
        "{kind} in version {shown:?} cannot be handled as a Eviction: no kind {kind:?} is registered for version {version:?} in scheme \"pkg/runtime/scheme.go:111\""
    )))
}
