//! Rules of `apps`, and of the replication controller.

use schema::validate::Cause;
use serde_json::{Value, json};

use super::{
    check::{
        Causes, at_most_all, count_or_percent, immutable, invalid, label_selector, none_negative, not_negative, one_of,
        percent, selects, text,
    },
    pods::template,
};

/// The selector, and that it takes the template.
fn selector(value: &Value, kind: &str, causes: &mut Causes) {
    let spec = &value["spec"];
    if spec["selector"].is_null() {
        causes.push(Cause::required("spec.selector", ""));
    } else {
        label_selector(&spec["selector"], "spec.selector", causes);
        let empty = ["matchLabels", "matchExpressions"].iter().all(|name| spec["selector"][*name].is_null());
        if empty {
            let why = format!("empty selector is invalid for {kind}");
            invalid("spec.selector", &spec["selector"], &why, causes);
        }
    }
}

fn readable(value: &Value, causes: &mut Causes) {
    let chosen = &value["spec"]["selector"];
    if chosen.is_object() && selects(chosen, &Value::Null).is_none() {
        invalid("spec.selector", chosen, "invalid label selector", causes);
    }
}

fn takes_template(value: &Value, causes: &mut Causes) {
    let labels = &value["spec"]["template"]["metadata"]["labels"];
    let chosen = &value["spec"]["selector"];
    // No selector takes nothing, an empty one everything; one that cannot be read is named elsewhere.
    let empty = chosen.as_object().is_some_and(serde_json::Map::is_empty);
    if chosen.is_null() || (!empty && selects(chosen, labels) == Some(false)) {
        invalid("spec.template.metadata.labels", labels, "`selector` does not match template `labels`", causes);
    }
}

/// The pods of what is to run for ever.
fn runs_for_ever(value: &Value, causes: &mut Causes) {
    let pod = &value["spec"]["template"]["spec"];
    if pod["restartPolicy"].as_str().is_some_and(|policy| policy != "Always") {
        causes.push(Cause::not_supported("spec.template.spec.restartPolicy", &pod["restartPolicy"], &["Always"]));
    }
    if !pod["activeDeadlineSeconds"].is_null() {
        causes.push(Cause::forbidden(
            "spec.template.spec.activeDeadlineSeconds",
            "activeDeadlineSeconds in ReplicaSet is not Supported",
        ));
    }
}

/// Counts of a status that are no more than the count of all.
fn status(value: &Value, old: Option<&Value>, counts: &[&str], causes: &mut Causes) {
    if old.is_none_or(|old| old["status"] == value["status"]) {
        return;
    }
    let status = &value["status"];
    none_negative(status, "status", &["observedGeneration", "replicas"], causes);
    none_negative(status, "status", counts, causes);
    let all = status["replicas"].as_i64().unwrap_or_default();
    let of = |name: &str| status[name].as_i64().unwrap_or_default();
    for name in counts.iter().filter(|name| of(name) > all) {
        invalid(format!("status.{name}"), &json!(of(name)), "cannot be greater than status.replicas", causes);
    }
    if counts.contains(&"availableReplicas") && of("availableReplicas") > of("readyReplicas") {
        let available = json!(of("availableReplicas"));
        invalid("status.availableReplicas", &available, "cannot be greater than readyReplicas", causes);
    }
}

pub(in crate::builtin) fn replica_set(value: &Value, old: Option<&Value>, causes: &mut Causes) {
    none_negative(&value["spec"], "spec", &["replicas", "minReadySeconds"], causes);
    selector(value, "deployment", causes);
    takes_template(value, causes);
    template(&value["spec"]["template"], "spec.template", causes);
    runs_for_ever(value, causes);
    immutable(value, old, "spec.selector", causes);
    status(value, old, &["fullyLabeledReplicas", "readyReplicas", "availableReplicas"], causes);
}

pub(in crate::builtin) fn replication_controller(value: &Value, old: Option<&Value>, causes: &mut Causes) {
    let spec = &value["spec"];
    none_negative(spec, "spec", &["minReadySeconds"], causes);
    let chosen = spec["selector"].as_object().is_some_and(|selector| !selector.is_empty());
    if !chosen {
        causes.push(Cause::required("spec.selector", ""));
    }
    none_negative(spec, "spec", &["replicas"], causes);
    if spec["template"].is_null() {
        return causes.push(Cause::required("spec.template", ""));
    }
    let labels = &spec["template"]["metadata"]["labels"];
    if chosen && selects(&json!({"matchLabels": spec["selector"]}), labels) == Some(false) {
        invalid("spec.template.metadata.labels", labels, "`selector` does not match template `labels`", causes);
    }
    template(&spec["template"], "spec.template", causes);
    runs_for_ever(value, causes);
    status(value, old, &["fullyLabeledReplicas", "readyReplicas", "availableReplicas"], causes);
}

pub(in crate::builtin) fn deployment(value: &Value, old: Option<&Value>, causes: &mut Causes) {
    let spec = &value["spec"];
    none_negative(spec, "spec", &["replicas"], causes);
    selector(value, "deployment", causes);
    readable(value, causes);
    takes_template(value, causes);
    template(&spec["template"], "spec.template", causes);
    runs_for_ever(value, causes);
    strategy(&spec["strategy"], causes);
    none_negative(spec, "spec", &["minReadySeconds", "revisionHistoryLimit"], causes);
    if let Some(seconds) = spec["progressDeadlineSeconds"].as_i64() {
        let field = "spec.progressDeadlineSeconds";
        not_negative(&spec["progressDeadlineSeconds"], field, causes);
        if seconds <= spec["minReadySeconds"].as_i64().unwrap_or_default() {
            invalid(field, &spec["progressDeadlineSeconds"], "must be greater than minReadySeconds", causes);
        }
    }
    immutable(value, old, "spec.selector", causes);
    status(value, old, &["updatedReplicas", "readyReplicas", "availableReplicas"], causes);
}

fn strategy(strategy: &Value, causes: &mut Causes) {
    let rolling = &strategy["rollingUpdate"];
    match text(strategy, "type") {
        "Recreate" if !rolling.is_null() => causes.push(Cause::forbidden(
            "spec.strategy.rollingUpdate",
            "may not be specified when strategy `type` is 'Recreate'",
        )),
        "Recreate" => {}
        "RollingUpdate" => {
            let at = "spec.strategy.rollingUpdate";
            for name in ["maxUnavailable", "maxSurge"] {
                count_or_percent(&rolling[name], &format!("{at}.{name}"), causes);
            }
            let none = |value: &Value| value == &json!(0) || percent(value) == Some(0);
            if none(&rolling["maxUnavailable"]) && none(&rolling["maxSurge"]) {
                let field = format!("{at}.maxUnavailable");
                invalid(field, &rolling["maxUnavailable"], "may not be 0 when `maxSurge` is 0", causes);
            }
            at_most_all(&rolling["maxUnavailable"], &format!("{at}.maxUnavailable"), causes);
        }
        kind => {
            let of = |name: &str| if rolling[name].is_null() { json!(0) } else { rolling[name].clone() };
            let shown = if rolling.is_null() {
                "null".to_owned()
            } else {
                format!("{{\"MaxUnavailable\":{},\"MaxSurge\":{}}}", of("maxUnavailable"), of("maxSurge"))
            };
            let message = format!(
                "Unsupported value: {{\"Type\":{kind:?},\"RollingUpdate\":{shown}}}: supported values: \"Recreate\", \"RollingUpdate\""
            );
            causes.push(Cause { reason: "FieldValueNotSupported", message, field: "spec.strategy".into() });
        }
    }
}

const STATEFUL: &str = "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden";

pub(in crate::builtin) fn stateful_set(value: &Value, old: Option<&Value>, causes: &mut Causes) {
    let spec = &value["spec"];
    match text(spec, "podManagementPolicy") {
        "" => causes.push(Cause::required("spec.podManagementPolicy", "")),
        "OrderedReady" | "Parallel" => {}
        _ => {
            let given = &spec["podManagementPolicy"];
            invalid("spec.podManagementPolicy", given, "must be 'OrderedReady' or 'Parallel'", causes);
        }
    }
    stateful_strategy(&spec["updateStrategy"], causes);
    let retention = &spec["persistentVolumeClaimRetentionPolicy"];
    for name in ["whenDeleted", "whenScaled"] {
        let field = format!("spec.persistentVolumeClaimRetentionPolicy.{name}");
        one_of(&retention[name], field, &["Retain", "Delete"], causes);
    }
    none_negative(spec, "spec", &["replicas", "minReadySeconds"], causes);
    not_negative(&spec["ordinals"]["start"], "spec.ordinals.start", causes);
    not_negative(&spec["revisionHistoryLimit"], "spec.revisionHistoryLimit", causes);
    selector(value, "statefulset", causes);
    takes_template(value, causes);
    stateful_template(spec, causes);
    let pod = &spec["template"]["spec"];
    if pod["restartPolicy"].as_str().is_some_and(|policy| policy != "Always") {
        causes.push(Cause::not_supported("spec.template.spec.restartPolicy", &pod["restartPolicy"], &["Always"]));
    }
    if !pod["activeDeadlineSeconds"].is_null() {
        causes.push(Cause::forbidden(
            "spec.template.spec.activeDeadlineSeconds",
            "activeDeadlineSeconds in StatefulSet is not Supported",
        ));
    }
    if let Some(old) = old {
        let frozen = |value: &Value| {
            let mut spec = value["spec"].clone();
            for name in [
                "replicas",
                "ordinals",
                "template",
                "updateStrategy",
                "revisionHistoryLimit",
                "persistentVolumeClaimRetentionPolicy",
                "minReadySeconds",
            ] {
                spec.as_object_mut().map(|spec| spec.remove(name));
            }
            spec
        };
        if frozen(value) != frozen(old) {
            causes.push(Cause::forbidden("spec", STATEFUL));
        }
    }
    status(value, old, &["readyReplicas", "currentReplicas", "updatedReplicas", "availableReplicas"], causes);
}

/// The template, whose pods also mount what the claims make.
fn stateful_template(spec: &Value, causes: &mut Causes) {
    let mut whole = spec["template"].clone();
    let claims = spec["volumeClaimTemplates"].as_array().into_iter().flatten();
    for claim in claims {
        let name = text(&claim["metadata"], "name");
        let volume = json!({"name": name, "persistentVolumeClaim": {"claimName": name}});
        match whole["spec"]["volumes"].as_array_mut() {
            Some(volumes) if volumes.iter().all(|volume| volume["name"] != name) => volumes.push(volume),
            Some(_) => {}
            None => whole["spec"]["volumes"] = json!([volume]),
        }
    }
    template(&whole, "spec.template", causes);
}

fn stateful_strategy(strategy: &Value, causes: &mut Causes) {
    let rolling = &strategy["rollingUpdate"];
    let partition = &rolling["partition"];
    let shown = if rolling.is_null() {
        "null".to_owned()
    } else {
        format!("{{\"Partition\":{partition},\"MaxUnavailable\":{}}}", rolling["maxUnavailable"])
    };
    let wrong = |field: &str, value: &str, why: &str| Cause {
        reason: "FieldValueInvalid",
        message: format!("Invalid value: {value}: {why}"),
        field: field.to_owned(),
    };
    match text(strategy, "type") {
        "" => causes.push(Cause::required("spec.updateStrategy", "")),
        "OnDelete" if !rolling.is_null() => causes.push(wrong(
            "spec.updateStrategy.rollingUpdate",
            &shown,
            "only allowed for updateStrategy 'RollingUpdate'",
        )),
        "OnDelete" => {}
        "RollingUpdate" => {
            not_negative(partition, "spec.updateStrategy.rollingUpdate.partition", causes);
        }
        kind => {
            let value = format!("{{\"Type\":{kind:?},\"RollingUpdate\":{shown}}}");
            causes.push(wrong("spec.updateStrategy", &value, "must be 'RollingUpdate' or 'OnDelete'"));
        }
    }
}

pub(in crate::builtin) fn daemon_set(value: &Value, old: Option<&Value>, causes: &mut Causes) {
    let spec = &value["spec"];
    immutable(value, old, "spec.selector", causes);
    if spec["selector"].is_null() {
        causes.push(Cause::required("spec.selector", ""));
    } else {
        label_selector(&spec["selector"], "spec.selector", causes);
    }
    takes_template(value, causes);
    if spec["selector"].as_object().is_some_and(serde_json::Map::is_empty) {
        invalid("spec.selector", &spec["selector"], "empty selector is invalid for daemonset", causes);
    }
    template(&spec["template"], "spec.template", causes);
    let pod = &spec["template"]["spec"];
    if pod["restartPolicy"].as_str().is_some_and(|policy| policy != "Always") {
        causes.push(Cause::not_supported("spec.template.spec.restartPolicy", &pod["restartPolicy"], &["Always"]));
    }
    none_negative(spec, "spec", &["minReadySeconds"], causes);
    daemon_strategy(&spec["updateStrategy"], causes);
    none_negative(spec, "spec", &["revisionHistoryLimit"], causes);
    if old.is_some_and(|old| old["status"] != value["status"]) {
        let counts = [
            "currentNumberScheduled",
            "numberMisscheduled",
            "desiredNumberScheduled",
            "numberReady",
            "observedGeneration",
            "updatedNumberScheduled",
            "numberAvailable",
            "numberUnavailable",
        ];
        none_negative(&value["status"], "status", &counts, causes);
    }
}

fn daemon_strategy(strategy: &Value, causes: &mut Causes) {
    let rolling = &strategy["rollingUpdate"];
    match text(strategy, "type") {
        "OnDelete" => {}
        "RollingUpdate" => {
            let at = "spec.updateStrategy.rollingUpdate";
            if rolling.is_null() {
                return causes.push(Cause::required(at, ""));
            }
            let some = |value: &Value| value.as_i64().is_some_and(|n| n != 0) || percent(value).is_some_and(|n| n != 0);
            for name in ["maxUnavailable", "maxSurge"] {
                count_or_percent(&rolling[name], &format!("{at}.{name}"), causes);
                at_most_all(&rolling[name], &format!("{at}.{name}"), causes);
            }
            match (some(&rolling["maxUnavailable"]), some(&rolling["maxSurge"])) {
                (true, true) => {
                    let why = "may not be set when maxUnavailable is non-zero";
                    invalid(format!("{at}.maxSurge"), &rolling["maxSurge"], why, causes);
                }
                (false, false) => {
                    causes.push(Cause::required(format!("{at}.maxUnavailable"), "cannot be 0 when maxSurge is 0"));
                }
                _ => {}
            }
        }
        kind => {
            let message = format!(
                "Unsupported value: {{\"Type\":{kind:?},\"RollingUpdate\":{}}}: supported values: \"RollingUpdate\", \"OnDelete\"",
                if rolling.is_null() { "null".to_owned() } else { rolling.to_string() }
            );
            let field = "spec.updateStrategy".to_owned();
            causes.push(Cause { reason: "FieldValueNotSupported", message, field });
        }
    }
}

pub(in crate::builtin) fn controller_revision(value: &Value, old: Option<&Value>, causes: &mut Causes) {
    not_negative(&value["revision"], "revision", causes);
    if value["data"].is_null() {
        causes.push(Cause::required("data", "data is mandatory"));
    } else {
        immutable(value, old, "data", causes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deployment_selects_its_own_template() {
        let fields = |new: &Value, old: Option<&Value>| -> Vec<String> {
            let mut causes = Vec::new();
            deployment(new, old, &mut causes);
            causes.into_iter().map(|cause| cause.field).collect()
        };
        let of = |label: &str| {
            json!({"spec": {"strategy": {"type": "Recreate"}, "selector": {"matchLabels": {"a": "b"}}, "template": {"metadata": {"labels": {"a": label}},
            "spec": {"restartPolicy": "Always", "dnsPolicy": "Default", "containers": [{"name": "c", "image": "i"}]}}}})
        };
        assert_eq!(fields(&of("b"), None), [""; 0]);
        assert_eq!(fields(&of("c"), None), ["spec.template.metadata.labels"]);
        let mut other = of("b");
        other["spec"]["selector"]["matchLabels"] = json!({"a": "b", "x": "y"});
        assert!(fields(&of("b"), Some(&other)).contains(&"spec.selector".to_owned()));
    }
}
