//! What the server itself says of a definition: which names it has, whether it is served,
//! and how far its deletion is.

use serde_json::{Value, json};

use super::{text, texts};

/// Keeps a definition until its objects are gone.
pub(crate) const CLEANUP: &str = "customresourcecleanup.apiextensions.k8s.io";

/// Whether a group of Kubernetes' own may be defined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Approval {
    Given,
    Bypassed,
    Missing,
    Invalid,
}

/// Returns whether a group is Kubernetes' own.
pub(super) fn is_protected(group: &str) -> bool {
    ["k8s.io", "kubernetes.io"].iter().any(|own| group == *own || group.ends_with(&format!(".{own}")))
}

/// Returns what the annotation of a definition says of its approval.
pub(super) fn approval(definition: &Value) -> Approval {
    match definition["metadata"]["annotations"]["api-approved.kubernetes.io"].as_str() {
        None | Some("") => Approval::Missing,
        Some(text) if text.starts_with("unapproved") => Approval::Bypassed,
        Some(text) if expressions::Url::parse(text).is_some_and(|_| text.contains("://")) => Approval::Given,
        Some(_) => Approval::Invalid,
    }
}

/// Returns the status of a definition among `others`.
pub(crate) fn status(definition: &Value, others: &[Value], now: &str) -> Value {
    let spec = &definition["spec"];
    let others: Vec<&Value> = others
        .iter()
        .filter(|other| {
            other["metadata"]["name"] != definition["metadata"]["name"] && other["spec"]["group"] == spec["group"]
        })
        .map(|other| &other["status"]["acceptedNames"])
        .collect();
    let (accepted, conflict) = accept(&spec["names"], &definition["status"]["acceptedNames"], &others);
    let mut conditions = Conditions { old: &definition["status"]["conditions"], now, list: Vec::new() };
    match &conflict {
        None => conditions.set("NamesAccepted", "True", "NoConflicts", "no conflicts found"),
        Some((reason, message)) => conditions.set("NamesAccepted", "False", reason, message),
    }
    let established = conditions.was("Established", "True");
    if conflict.is_none() || established {
        conditions.set("Established", "True", "InitialNamesAccepted", "the initial names have been accepted");
    } else {
        conditions.set("Established", "False", "NotAccepted", "not all names are accepted");
    }
    if is_protected(text(spec, "group")) {
        let annotation = text(&definition["metadata"]["annotations"], "api-approved.kubernetes.io");
        let kind = "KubernetesAPIApprovalPolicyConformant";
        match approval(definition) {
            Approval::Given => conditions.set(kind, "True", "ApprovedAnnotation", &format!("approved in {annotation}")),
            Approval::Bypassed => {
                conditions.set(kind, "False", "UnapprovedAnnotation", &format!("not approved: {annotation:?}"));
            }
            Approval::Missing | Approval::Invalid => conditions.set(
                kind,
                "False",
                "MissingAnnotation",
                "protected groups must have approval annotation \"api-approved.kubernetes.io\", see https://github.com/kubernetes/enhancements/pull/1111",
            ),
        }
    }
    conditions.keep("Terminating");
    let stored = texts(&definition["status"]["storedVersions"]);
    json!({"acceptedNames": accepted, "storedVersions": stored, "conditions": conditions.list})
}

/// Returns the status of a definition that is to be deleted.
pub(crate) fn marked(definition: &Value, now: &str) -> Value {
    let message = "CustomResourceDefinition marked for deletion; CustomResource deletion will begin soon";
    going(definition, now, "InstanceDeletionPending", message)
}

/// Returns the status of a definition whose objects are being deleted.
pub(crate) fn terminating(definition: &Value, now: &str) -> Value {
    going(definition, now, "InstanceDeletionInProgress", "CustomResource deletion is in progress")
}

fn going(definition: &Value, now: &str, reason: &str, message: &str) -> Value {
    let mut status = definition["status"].clone();
    let mut conditions = Conditions { old: &definition["status"]["conditions"], now, list: Vec::new() };
    for condition in definition["status"]["conditions"].as_array().into_iter().flatten() {
        conditions.keep(text(condition, "type"));
    }
    conditions.list.retain(|condition| condition["type"] != "Terminating");
    conditions.set("Terminating", "True", reason, message);
    status["conditions"] = conditions.list.into();
    status
}

/// Returns the names that a definition has from now on, and the conflict that keeps it from the others.
fn accept(wanted: &Value, had: &Value, others: &[&Value]) -> (Value, Option<(&'static str, String)>) {
    let resources: Vec<String> = others
        .iter()
        .flat_map(|names| {
            let plain = ["plural", "singular"].into_iter().map(|name| text(names, name).to_owned());
            plain.chain(texts(&names["shortNames"])).collect::<Vec<_>>()
        })
        .collect();
    let kinds: Vec<&str> = others.iter().flat_map(|names| [text(names, "kind"), text(names, "listKind")]).collect();
    let in_use = |name: &str| format!("{name:?} is already in use");
    let mut accepted = json!({"plural": text(had, "plural"), "kind": text(had, "kind")});
    for name in ["singular", "shortNames", "listKind"] {
        if !had[name].is_null() {
            accepted[name] = had[name].clone();
        }
    }
    let mut conflict = None;
    for (name, reason) in [
        ("plural", "PluralConflict"),
        ("singular", "SingularConflict"),
        ("shortNames", "ShortNamesConflict"),
        ("kind", "KindConflict"),
        ("listKind", "ListKindConflict"),
    ] {
        let taken: Vec<String> = if name == "shortNames" {
            let own = texts(&had[name]);
            texts(&wanted[name]).into_iter().filter(|short| !own.contains(short) && resources.contains(short)).collect()
        } else {
            let (new, old) = (text(wanted, name), text(had, name));
            let taken = if name.to_lowercase().ends_with("kind") {
                kinds.contains(&new)
            } else {
                resources.iter().any(|other| other == new)
            };
            if new != old && taken { vec![new.to_owned()] } else { Vec::new() }
        };
        match taken.as_slice() {
            [] if wanted[name].is_null() => drop(accepted.as_object_mut().and_then(|names| names.remove(name))),
            [] => accepted[name] = wanted[name].clone(),
            [one] => conflict = Some((reason, in_use(one))),
            many => {
                let list: Vec<String> = many.iter().map(|name| in_use(name)).collect();
                conflict = Some((reason, format!("[{}]", list.join(", "))));
            }
        }
    }
    if !wanted["categories"].is_null() {
        accepted["categories"] = wanted["categories"].clone();
    }
    (accepted, conflict)
}

struct Conditions<'a> {
    old: &'a Value,
    now: &'a str,
    list: Vec<Value>,
}

impl Conditions<'_> {
    fn before(&self, kind: &str) -> Option<&Value> {
        self.old.as_array().into_iter().flatten().find(|condition| condition["type"] == kind)
    }

    fn was(&self, kind: &str, status: &str) -> bool {
        self.before(kind).is_some_and(|condition| condition["status"] == status)
    }

    fn set(&mut self, kind: &str, status: &str, reason: &str, message: &str) {
        let since = self
            .before(kind)
            .filter(|before| before["status"] == status)
            .and_then(|before| before["lastTransitionTime"].as_str())
            .unwrap_or(self.now);
        let condition =
            json!({"type": kind, "status": status, "reason": reason, "message": message, "lastTransitionTime": since});
        self.list.push(condition);
    }

    fn keep(&mut self, kind: &str) {
        if let Some(condition) = self.before(kind).cloned() {
            self.list.push(condition);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn definition(name: &str, kind: &str, short: &[&str]) -> Value {
        json!({"metadata": {"name": format!("{name}.sea.example")}, "spec": {"group": "sea.example",
            "names": {"plural": name, "singular": kind.to_lowercase(), "kind": kind, "listKind": format!("{kind}List"), "shortNames": short},
            "versions": [{"name": "v1", "storage": true}]}})
    }

    #[test]
    fn a_name_that_is_taken_keeps_a_definition_from_being_served() {
        let mut other = definition("ships", "Boat", &["bt"]);
        other["status"] = status(&other, &[], "now");
        assert_eq!(other["status"]["conditions"][1]["status"], "True");
        for (new, reason, message) in [
            (definition("boats", "Boat", &[]), "ListKindConflict", "\"BoatList\" is already in use"),
            (definition("boats", "Rowboat", &["bt"]), "ShortNamesConflict", "\"bt\" is already in use"),
            (definition("bt", "Rowboat", &[]), "PluralConflict", "\"bt\" is already in use"),
        ] {
            let found = status(&new, std::slice::from_ref(&other), "now");
            assert_eq!(
                (&found["conditions"][0]["reason"], &found["conditions"][0]["message"]),
                (&json!(reason), &json!(message))
            );
            assert_eq!(found["conditions"][1]["reason"], "NotAccepted");
        }
        let mut elsewhere = definition("boats", "Boat", &["bt"]);
        elsewhere["spec"]["group"] = "lake.example".into();
        assert_eq!(status(&elsewhere, &[other], "now")["conditions"][0]["reason"], "NoConflicts");
    }
}
