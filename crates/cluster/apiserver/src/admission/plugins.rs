//! Kubernetes' own admission plugins: which kinds each looks at, and the objects it is given.
//! The decisions are in the crate `admission`.

use admission::{accounts, limits, mutations::Mutator, priority, runtimes, security, storage, tolerations};
use http::StatusCode;
use schema::validate::Cause;
use serde_json::{Value, json};

use super::{Exemptions, subject};
use crate::{
    server::Server,
    status::Failure,
    write::{Admission, Call, Operation, random_suffix},
};

/// What a plugin is given beside the object.
pub(super) struct Scene<'a> {
    server: &'a Server,
    call: Call<'a>,
}

impl Scene<'_> {
    /// Returns the objects of a namespaced kind in the request's namespace.
    fn here(&self, kind: &str) -> Vec<Value> {
        self.list(&format!("{kind}/{}/", self.call.info.namespace))
    }

    fn list(&self, prefix: &str) -> Vec<Value> {
        self.server.store().snapshot().range(prefix, None).map(|(_, entry)| entry.value()).collect()
    }

    fn account(&self, pod: &Value) -> Result<Value, String> {
        let name = pod["spec"]["serviceAccountName"].as_str().unwrap_or_default();
        let namespace = &self.call.info.namespace;
        let found = self.server.store().snapshot().get(&format!("core/serviceaccounts/{namespace}/{name}")).cloned();
        found.map(|entry| entry.value()).ok_or_else(|| {
            format!("error looking up service account {namespace}/{name}: serviceaccount {name:?} not found")
        })
    }
}

type Mutate = fn(&Scene<'_>, &mut Value) -> Result<(), String>;
type Validate = fn(&Scene<'_>, Admission<'_>) -> Result<Vec<String>, Failure>;

const NEW: &[Operation] = &[Operation::Create];
const NEW_AND_REPLACED: &[Operation] = &[Operation::Create, Operation::Update];

/// What changes an object: by group, plural, operations and plugin, in the order of Kubernetes.
const MUTATING: &[(&str, &str, &[Operation], Mutate)] = &[
    ("", "pods", NEW, |scene, pod| {
        limits::default(&scene.here("core/limitranges"), pod);
        Ok(())
    }),
    ("", "pods", NEW, |scene, pod| {
        if accounts::is_mirror(pod) {
            return accounts::mirror_refusal(pod).map_or(Ok(()), |why| Err(why.to_owned()));
        }
        accounts::default(pod);
        accounts::equip(&scene.account(pod)?, pod, &random_suffix());
        Ok(())
    }),
    ("", "pods", NEW, |scene, pod| priority::resolve(&scene.list("scheduling.k8s.io/priorityclasses/"), pod)),
    ("", "pods", NEW_AND_REPLACED, |_, pod| {
        tolerations::default(pod);
        Ok(())
    }),
    ("", "pods", NEW, |scene, pod| runtimes::equip(&scene.list("node.k8s.io/runtimeclasses/"), pod)),
    ("", "persistentvolumeclaims", NEW, |scene, claim| {
        storage::claim(&scene.list("storage.k8s.io/storageclasses/"), claim);
        Ok(())
    }),
    ("networking.k8s.io", "ingresses", NEW, |scene, ingress| {
        storage::ingress(&scene.list("networking.k8s.io/ingressclasses/"), ingress);
        Ok(())
    }),
];

/// What may refuse: by group, plural (all for `*`) and plugin, in the order of Kubernetes.
const VALIDATING: &[(&str, &str, Validate)] = &[
    ("", "namespaces", |_, admission| {
        let kept = ["default", "kube-system", "kube-public"];
        let name = admission.call.info.name.as_str();
        if admission.operation == Operation::Delete && kept.contains(&name) {
            return Err(Failure::forbidden(admission.call.resource, name, "this namespace may not be deleted"));
        }
        Ok(Vec::new())
    }),
    ("", "pods", |scene, admission| {
        let Some(pod) = admission.new.filter(|_| admission.operation == Operation::Create) else {
            return Ok(Vec::new());
        };
        refuse(admission, limits::check_pod(&scene.here("core/limitranges"), pod))
    }),
    ("", "persistentvolumeclaims", |scene, admission| {
        let refusal = admission.new.and_then(|claim| limits::check_claim(&scene.here("core/limitranges"), claim));
        refuse(admission, refusal)
    }),
    ("", "persistentvolumeclaims", |scene, admission| {
        let (Some(new), Some(old)) = (admission.new, admission.old) else { return Ok(Vec::new()) };
        refuse(admission, storage::growth_refusal(&scene.list("storage.k8s.io/storageclasses/"), old, new))
    }),
    ("", "pods", |scene, admission| {
        let Some(pod) = admission.new.filter(|_| admission.operation == Operation::Create) else {
            return Ok(Vec::new());
        };
        if accounts::is_mirror(pod) {
            return Ok(Vec::new());
        }
        let refusal = scene.account(pod).map_or_else(Some, |account| accounts::refusal(&account, pod));
        refuse(admission, refusal)
    }),
    ("", "pods", |scene, admission| {
        let Some(pod) = admission.new.filter(|_| admission.operation == Operation::Create) else {
            return Ok(Vec::new());
        };
        refuse(admission, runtimes::refusal(&scene.list("node.k8s.io/runtimeclasses/"), pod))
    }),
    ("scheduling.k8s.io", "priorityclasses", |scene, admission| {
        let name = admission.call.info.name.as_str();
        if admission.operation == Operation::Delete && priority::SYSTEM.contains(&name) {
            return refuse(admission, Some("this is a system priority class and cannot be deleted".into()));
        }
        let classes = scene.list("scheduling.k8s.io/priorityclasses/");
        refuse(admission, admission.new.and_then(|class| priority::default_refusal(&classes, class)))
    }),
    ("admissionregistration.k8s.io", "mutatingadmissionpolicies", |_, admission| {
        let before = admission.old.is_some_and(|old| admission.new.is_some_and(|new| old["spec"] == new["spec"]));
        let causes = admission.new.filter(|_| !before).map(|policy| Mutator::compile(policy).1);
        invalid(admission, &causes.unwrap_or_default())
    }),
    ("*", "*", |scene, admission| secure(scene, admission)),
];

fn refuse(admission: Admission<'_>, why: Option<String>) -> Result<Vec<String>, Failure> {
    match why {
        Some(why) => Err(Failure::forbidden(admission.call.resource, subject(admission), &why)),
        None => Ok(Vec::new()),
    }
}

fn invalid(admission: Admission<'_>, causes: &[Cause]) -> Result<Vec<String>, Failure> {
    if causes.is_empty() {
        return Ok(Vec::new());
    }
    Err(Failure::invalid(admission.call.resource, subject(admission), causes))
}

/// `PodSecurity`: pods are refused and warned of, their templates and namespaces warned of.
fn secure(scene: &Scene<'_>, admission: Admission<'_>) -> Result<Vec<String>, Failure> {
    let Call { resource, info, user, options, .. } = admission.call;
    let Some(new) = admission.new else { return Ok(Vec::new()) };
    let place = (resource.gvk.group.as_str(), resource.plural.as_str());
    if place == ("", "namespaces") {
        return secure_namespace(scene, admission, new);
    }
    let pod = place == ("", "pods");
    let template = security::template(place.0, place.1, new);
    if !pod && template.is_none() {
        return Ok(Vec::new());
    }
    let exemptions = scene.server.exemptions();
    let spec = template.map_or(&new["spec"], |(_, spec)| spec);
    if exemptions.hold(&user.name, &info.namespace, spec) {
        return Ok(Vec::new());
    }
    let namespace = scene.server.store().snapshot().get(&format!("core/namespaces//{}", info.namespace)).cloned();
    let Some(namespace) = namespace else { return Ok(Vec::new()) };
    let (standards, _) = security::standards(&namespace.value());
    let verdict = match template {
        Some((metadata, spec)) => {
            let same = admission.old.and_then(|old| security::template(place.0, place.1, old)) == template;
            if same {
                return Ok(Vec::new());
            }
            security::judge_template(&standards, metadata, spec)
        }
        None if admission.old.is_some_and(|old| !security::matters(old, new)) => return Ok(Vec::new()),
        None => {
            options.note("pod-security.kubernetes.io/enforce-policy", &standards.enforce.to_string());
            security::judge_pod(&standards, new)
        }
    };
    if let Some(audit) = &verdict.audit {
        options.note("pod-security.kubernetes.io/audit-violations", audit);
    }
    refuse(admission, verdict.refusal)?;
    Ok(verdict.warning.into_iter().collect())
}

fn secure_namespace(scene: &Scene<'_>, admission: Admission<'_>, new: &Value) -> Result<Vec<String>, Failure> {
    let (standards, wrong) = security::standards(new);
    let (before, was_wrong) = admission.old.map(security::standards).unwrap_or_default();
    // What was wrong before and is no worse now is let through.
    if !wrong.is_empty() && wrong != was_wrong {
        let causes: Vec<Cause> = wrong
            .into_iter()
            .map(|(key, value, detail)| Cause::invalid(format!("metadata.labels[{key}]"), &value.into(), detail))
            .collect();
        return invalid(admission, &causes);
    }
    let enforce = standards.enforce;
    if admission.old.is_none() || enforce == before.enforce || enforce.level == security::Level::Privileged {
        return Ok(Vec::new());
    }
    let name = new["metadata"]["name"].as_str().unwrap_or_default();
    let pods = scene.list(&format!("core/pods/{name}/"));
    Ok(security::existing(name, enforce, &pods))
}

impl Exemptions {
    fn hold(&self, user: &str, namespace: &str, spec: &Value) -> bool {
        let class = spec["runtimeClassName"].as_str().unwrap_or_default();
        let any = |list: &[String], name: &str| list.iter().any(|known| known == name);
        any(&self.usernames, user) || any(&self.namespaces, namespace) || any(&self.runtime_classes, class)
    }
}

impl Server {
    /// Lets Kubernetes' own plugins change an object.
    pub(super) fn plugins_mutate(&self, call: Call<'_>, operation: Operation, new: &mut Value) -> Result<(), Failure> {
        let scene = Scene { server: self, call };
        let name = new["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        for (group, plural, operations, plugin) in MUTATING {
            let concerned = *group == call.resource.gvk.group && *plural == call.resource.plural;
            if concerned && operations.contains(&operation) {
                plugin(&scene, new).map_err(|why| Failure::forbidden(call.resource, &name, &why))?;
            }
        }
        Ok(())
    }

    /// Lets Kubernetes' own plugins refuse; returns what to warn of.
    pub(super) fn plugins_validate(&self, admission: Admission<'_>) -> Result<Vec<String>, Failure> {
        let Call { resource, info, .. } = admission.call;
        if !info.subresource.is_empty() {
            return Ok(Vec::new());
        }
        let scene = Scene { server: self, call: admission.call };
        let mut warnings = Vec::new();
        for (group, plural, plugin) in VALIDATING {
            if *plural == "*" || (*group == resource.gvk.group && *plural == resource.plural) {
                warnings.extend(plugin(&scene, admission)?);
            }
        }
        Ok(warnings)
    }

    /// `NamespaceLifecycle`: nothing new in a namespace that is not there or is going.
    pub(super) fn namespace_lives(&self, call: Call<'_>, operation: Operation, name: &str) -> Result<(), Failure> {
        let Call { resource, info, .. } = call;
        // Whether somebody may do something is asked of namespaces that are not there too.
        if !resource.namespaced || operation != Operation::Create || resource.review.is_some() {
            return Ok(());
        }
        let Some(namespace) = self.store().snapshot().get(&format!("core/namespaces//{}", info.namespace)).cloned()
        else {
            return Err(Failure {
                details: json!({"name": info.namespace, "kind": "namespaces"}),
                ..Failure::new(StatusCode::NOT_FOUND, "NotFound", format!("namespaces {:?} not found", info.namespace))
            });
        };
        if namespace.value()["metadata"]["deletionTimestamp"].is_null() {
            return Ok(());
        }
        let mut failure = Failure::forbidden(
            resource,
            name,
            &format!("unable to create new content in namespace {} because it is being terminated", info.namespace),
        );
        failure.details["causes"] = json!([{"reason": "NamespaceTerminating", "message": format!("namespace {} is being terminated", info.namespace), "field": "metadata.namespace"}]);
        Err(failure)
    }
}
