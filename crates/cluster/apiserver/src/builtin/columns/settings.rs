//! Columns of the kinds that set rules for others: roles, storage, priorities, admission,
//! certificates.

use serde_json::Value;

use super::{
    age, boolean, column, flag, int, joined, list, name, network::marked, number, of, or, or_none, plain, text, wide,
};
use crate::{
    registry::{Cell, Column},
    table,
};

pub(in crate::builtin) fn binding() -> Vec<Column> {
    vec![
        of("Role", |value| {
            let role = &value["roleRef"];
            format!("{}/{}", text(role, "kind"), text(role, "name")).into()
        }),
        age(),
        wide("Users", |value| subjects(value, "User")),
        wide("Groups", |value| subjects(value, "Group")),
        wide("ServiceAccounts", |value| subjects(value, "ServiceAccount")),
    ]
}

fn subjects(binding: &Value, kind: &str) -> Value {
    let names = list(binding, "subjects").iter().filter(|subject| subject["kind"] == kind).map(|subject| {
        if kind == "ServiceAccount" {
            format!("{}/{}", text(subject, "namespace"), text(subject, "name"))
        } else {
            text(subject, "name").to_owned()
        }
    });
    names.collect::<Vec<_>>().join(", ").into()
}

pub(in crate::builtin) fn storage_class() -> Vec<Column> {
    vec![
        name(0, |value| {
            let annotations = &value["metadata"]["annotations"];
            let default =
                ["storageclass.kubernetes.io/is-default-class", "storageclass.beta.kubernetes.io/is-default-class"];
            marked(value, default.iter().any(|name| annotations[*name] == "true"))
        }),
        of("Provisioner", |value| text(value, "provisioner").into()),
        of("ReclaimPolicy", |value| or(text(value, "reclaimPolicy"), "Delete")),
        of("VolumeBindingMode", |value| or(text(value, "volumeBindingMode"), "Immediate")),
        of("AllowVolumeExpansion", |value| flag(&value["allowVolumeExpansion"], false)),
        age(),
    ]
}

pub(in crate::builtin) fn flow_schema() -> Vec<Column> {
    vec![
        of("PriorityLevel", |value| text(&value["spec"]["priorityLevelConfiguration"], "name").into()),
        of("MatchingPrecedence", |value| int(&value["spec"]["matchingPrecedence"])),
        of("DistinguisherMethod", |value| or_none(text(&value["spec"]["distinguisherMethod"], "type"))),
        age(),
        of("MissingPL", |value| {
            let dangling =
                list(&value["status"], "conditions").iter().find(|condition| condition["type"] == "Dangling");
            dangling.map_or_else(|| "?".into(), |condition| condition["status"].clone())
        }),
    ]
}

pub(in crate::builtin) fn priority_level() -> Vec<Column> {
    fn queuing(value: &Value, name: &str) -> Value {
        let number = &value["spec"]["limited"]["limitResponse"]["queuing"][name];
        if number.is_null() { "<none>".into() } else { number.clone() }
    }
    vec![
        of("Type", |value| text(&value["spec"], "type").into()),
        of("NominalConcurrencyShares", |value| {
            let limited = &value["spec"]["limited"];
            if limited.is_null() { "<none>".into() } else { int(&limited["nominalConcurrencyShares"]) }
        }),
        of("Queues", |value| queuing(value, "queues")),
        of("HandSize", |value| queuing(value, "handSize")),
        of("QueueLengthLimit", |value| queuing(value, "queueLengthLimit")),
        age(),
    ]
}

pub(in crate::builtin) fn volume_attributes_class() -> Vec<Column> {
    vec![of("DriverName", |value| text(value, "driverName").into()), age()]
}

pub(in crate::builtin) fn volume_attachment() -> Vec<Column> {
    vec![
        Column {
            format: "name".to_owned(),
            ..column("Attacher", "string", 0, Cell::Of(|value| text(&value["spec"], "attacher").into()))
        },
        of("PV", |value| text(&value["spec"]["source"], "persistentVolumeName").into()),
        of("Node", |value| text(&value["spec"], "nodeName").into()),
        boolean("Attached", |value| flag(&value["status"]["attached"], false)),
        age(),
    ]
}

pub(in crate::builtin) fn csi_node() -> Vec<Column> {
    vec![number("Drivers", |value| list(&value["spec"], "drivers").len().into()), age()]
}

pub(in crate::builtin) fn csi_driver() -> Vec<Column> {
    vec![
        boolean("AttachRequired", |value| flag(&value["spec"]["attachRequired"], true)),
        boolean("PodInfoOnMount", |value| flag(&value["spec"]["podInfoOnMount"], false)),
        boolean("StorageCapacity", |value| flag(&value["spec"]["storageCapacity"], false)),
        of("TokenRequests", |value| match value["spec"]["tokenRequests"].as_array() {
            Some(requests) => joined(requests.iter().map(|request| text(request, "audience"))).into(),
            None => "<unset>".into(),
        }),
        boolean("RequiresRepublish", |value| flag(&value["spec"]["requiresRepublish"], false)),
        of("Modes", |value| {
            or_none(&joined(list(&value["spec"], "volumeLifecycleModes").iter().filter_map(Value::as_str)))
        }),
        age(),
    ]
}

pub(in crate::builtin) fn priority_class() -> Vec<Column> {
    vec![
        number("Value", |value| int(&value["value"])),
        boolean("Global-Default", |value| flag(&value["globalDefault"], false)),
        age(),
        of("PreemptionPolicy", |value| text(value, "preemptionPolicy").into()),
    ]
}

pub(in crate::builtin) fn runtime_class() -> Vec<Column> {
    vec![of("Handler", |value| text(value, "handler").into()), age()]
}

pub(in crate::builtin) fn webhooks() -> Vec<Column> {
    vec![number("Webhooks", |value| list(value, "webhooks").len().into()), age()]
}

pub(in crate::builtin) fn validating_policy() -> Vec<Column> {
    vec![
        number("Validations", |value| list(&value["spec"], "validations").len().into()),
        of("ParamKind", parameters),
        age(),
    ]
}

pub(in crate::builtin) fn mutating_policy() -> Vec<Column> {
    vec![
        number("Mutations", |value| list(&value["spec"], "mutations").len().into()),
        of("ParamKind", parameters),
        age(),
    ]
}

fn parameters(policy: &Value) -> Value {
    let kind = &policy["spec"]["paramKind"];
    if kind.is_null() {
        return "<unset>".into();
    }
    format!("{}/{}", text(kind, "apiVersion"), text(kind, "kind")).into()
}

pub(in crate::builtin) fn policy_binding() -> Vec<Column> {
    vec![
        of("PolicyName", |value| text(&value["spec"], "policyName").into()),
        of("ParamRef", |value| {
            let parameters = &value["spec"]["paramRef"];
            let (namespace, name) = (text(parameters, "namespace"), text(parameters, "name"));
            match (name, namespace) {
                ("", _) if parameters["selector"].is_object() => go_selector(&parameters["selector"]).into(),
                ("", _) => "<unset>".into(),
                (name, "") => format!("*/{name}").into(),
                (name, namespace) => format!("{namespace}/{name}").into(),
            }
        }),
        age(),
    ]
}

/// A `LabelSelector` as Go prints the structure, which is what Kubernetes shows here.
fn go_selector(selector: &Value) -> String {
    let labels = selector["matchLabels"].as_object().into_iter().flatten();
    let labels: Vec<String> = labels.map(|(key, value)| format!("{key}: {},", plain(value))).collect();
    let expressions: Vec<String> = list(selector, "matchExpressions")
        .iter()
        .map(|expression| {
            let values: Vec<&str> = list(expression, "values").iter().filter_map(Value::as_str).collect();
            format!(
                "LabelSelectorRequirement{{Key:{},Operator:{},Values:[{}],}},",
                text(expression, "key"),
                text(expression, "operator"),
                values.join(" ")
            )
        })
        .collect();
    format!(
        "&LabelSelector{{MatchLabels:map[string]string{{{}}},MatchExpressions:[]LabelSelectorRequirement{{{}}},}}",
        labels.join(""),
        expressions.join("")
    )
}

pub(in crate::builtin) fn signing_request() -> Vec<Column> {
    vec![
        age(),
        of("SignerName", |value| or_none(text(&value["spec"], "signerName"))),
        of("Requestor", |value| text(&value["spec"], "username").into()),
        of("RequestedDuration", |value| match value["spec"]["expirationSeconds"].as_i64() {
            Some(seconds) => table::age(seconds).into(),
            None => "<none>".into(),
        }),
        of("Condition", |value| {
            let has = |kind: &str| list(&value["status"], "conditions").iter().any(|held| held["type"] == kind);
            let first = match (has("Denied"), has("Approved")) {
                (true, _) => "Denied",
                (_, true) => "Approved",
                _ => "Pending",
            };
            let failed = if has("Failed") { ",Failed" } else { "" };
            let issued = if text(&value["status"], "certificate").is_empty() { "" } else { ",Issued" };
            format!("{first}{failed}{issued}").into()
        }),
    ]
}
