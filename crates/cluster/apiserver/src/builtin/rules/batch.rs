//! Rules of jobs and cron jobs.

use std::collections::BTreeSet;

use schema::validate::Cause;
use serde_json::{Value, json};

use super::{
    check::{
        Causes, PREFIXED, each, immutable, invalid, label_selector, list, none_negative, not_negative, one_of,
        qualified_name, selects, text,
    },
    cron,
    pods::template,
};

pub(in crate::builtin) fn job(value: &Value, old: Option<&Value>, causes: &mut Causes) {
    let spec = &value["spec"];
    job_spec(spec, "spec", old, causes);
    if old.is_none() {
        generated(value, causes);
    }
    let labels = &spec["template"]["metadata"]["labels"];
    if spec["selector"].is_null() {
        causes.push(Cause::required("spec.selector", ""));
    } else {
        label_selector(&spec["selector"], "spec.selector", causes);
        if selects(&spec["selector"], labels) == Some(false) {
            invalid("spec.template.metadata.labels", labels, "`selector` does not match template `labels`", causes);
        }
    }
    if let Some(old) = old {
        let elastic = spec["completionMode"] == "Indexed" && spec["completions"] == spec["parallelism"];
        if !elastic {
            immutable(value, Some(old), "spec.completions", causes);
        }
        for name in
            ["selector", "completionMode", "podFailurePolicy", "backoffLimitPerIndex", "managedBy", "successPolicy"]
        {
            immutable(value, Some(old), &format!("spec.{name}"), causes);
        }
        // A job that has not begun, or was stopped, may be placed elsewhere.
        let free = old["spec"]["suspend"] == true && old["status"]["startTime"].is_null();
        if !free {
            immutable(value, Some(old), "spec.template", causes);
        }
        none_negative(&value["status"], "status", &["active", "succeeded", "failed"], causes);
    }
}

/// Labels that the server makes are not of another's making.
fn generated(value: &Value, causes: &mut Causes) {
    if value["spec"]["manualSelector"] == true {
        return;
    }
    let labels = &value["spec"]["template"]["metadata"]["labels"];
    for (names, wanted) in [
        (["batch.kubernetes.io/controller-uid", "controller-uid"], &value["metadata"]["uid"]),
        (["batch.kubernetes.io/job-name", "job-name"], &value["metadata"]["name"]),
    ] {
        for name in names.iter().filter(|name| labels[**name] != *wanted) {
            let why = format!("must be '{}'", wanted.as_str().unwrap_or_default());
            invalid(format!("spec.template.metadata.labels[{name}]"), labels, &why, causes);
        }
    }
}

fn job_spec(spec: &Value, at: &str, old: Option<&Value>, causes: &mut Causes) {
    let counts = [
        "parallelism",
        "completions",
        "activeDeadlineSeconds",
        "backoffLimit",
        "ttlSecondsAfterFinished",
        "backoffLimitPerIndex",
    ];
    none_negative(spec, at, &counts, causes);
    if !spec["maxFailedIndexes"].is_null() {
        not_negative(&spec["maxFailedIndexes"], format!("{at}.maxFailedIndexes"), causes);
        if spec["backoffLimitPerIndex"].is_null() {
            causes.push(Cause::required(format!("{at}.backoffLimitPerIndex"), "when maxFailedIndexes is specified"));
        }
    }
    if let Some(manager) = spec["managedBy"].as_str() {
        let path = manager.split_once('/');
        if path.is_none_or(|(domain, path)| domain.is_empty() || path.is_empty()) {
            invalid(format!("{at}.managedBy"), &json!(manager), PREFIXED, causes);
        }
    }
    completion(spec, at, causes);
    if spec["podFailurePolicy"].is_object() {
        failure_policy(spec, &format!("{at}.podFailurePolicy"), causes);
    }
    let replaced = ["Failed", "TerminatingOrFailed"];
    let field = format!("{at}.podReplacementPolicy");
    if spec["podFailurePolicy"].is_object() && spec["podReplacementPolicy"] == "TerminatingOrFailed" {
        causes.push(Cause::not_supported(field, &spec["podReplacementPolicy"], &["Failed"]));
    } else {
        one_of(&spec["podReplacementPolicy"], field, &replaced, causes);
    }
    if old.is_none() || spec["template"] != old.map_or(Value::Null, |old| old["spec"]["template"].clone()) {
        template(&spec["template"], &format!("{at}.template"), causes);
    }
    restart(spec, at, causes);
}

fn completion(spec: &Value, at: &str, causes: &mut Causes) {
    let mode = text(spec, "completionMode");
    let completions = spec["completions"].as_i64();
    if !mode.is_empty() {
        one_of(&spec["completionMode"], format!("{at}.completionMode"), &["NonIndexed", "Indexed"], causes);
    }
    if mode == "NonIndexed" {
        for name in ["backoffLimitPerIndex", "maxFailedIndexes"] {
            if !spec[name].is_null() {
                let why = "requires indexed completion mode";
                invalid(format!("{at}.{name}"), &spec[name], why, causes);
            }
        }
    }
    if mode == "Indexed" {
        let Some(completions) = completions else {
            return causes.push(Cause::required(format!("{at}.completions"), "when completion mode is Indexed"));
        };
        if completions > 0 && spec["parallelism"].as_i64().unwrap_or_default() > 100_000 {
            let why = "must be less than or equal to 100000 when completion mode is Indexed";
            invalid(format!("{at}.parallelism"), &spec["parallelism"], why, causes);
        }
        if spec["maxFailedIndexes"].as_i64().is_some_and(|most| most > completions) {
            let field = format!("{at}.maxFailedIndexes");
            invalid(field, &spec["maxFailedIndexes"], "must be less than or equal to completions", causes);
        }
    }
}

fn failure_policy(spec: &Value, at: &str, causes: &mut Causes) {
    let names: Vec<&Value> = ["containers", "initContainers"]
        .iter()
        .flat_map(|kind| list(&spec["template"]["spec"], kind))
        .map(|container| &container["name"])
        .collect();
    for (at, rule) in each(&spec["podFailurePolicy"], "rules", at) {
        let actions = ["Count", "FailIndex", "FailJob", "Ignore"];
        if text(rule, "action").is_empty() {
            causes.push(Cause::required(
                format!("{at}.action"),
                "valid values: [\"Count\" \"FailIndex\" \"FailJob\" \"Ignore\"]",
            ));
        } else if rule["action"] == "FailIndex" && spec["backoffLimitPerIndex"].is_null() {
            let why = "requires the backoffLimitPerIndex to be set";
            invalid(format!("{at}.action"), &rule["action"], why, causes);
        } else {
            one_of(&rule["action"], format!("{at}.action"), &actions, causes);
        }
        let codes = &rule["onExitCodes"];
        if codes.is_object() {
            exit_codes(codes, &names, &format!("{at}.onExitCodes"), causes);
        }
        let conditions = list(rule, "onPodConditions");
        for (at, condition) in each(rule, "onPodConditions", &at) {
            qualified_name(&condition["type"], &format!("{at}.type"), causes);
            one_of(&condition["status"], format!("{at}.status"), &["False", "True", "Unknown"], causes);
        }
        let why = match (codes.is_object(), conditions.is_empty()) {
            (true, false) => "specifying both OnExitCodes and OnPodConditions is not supported",
            (false, true) => "specifying one of OnExitCodes and OnPodConditions is required",
            _ => continue,
        };
        // Kubernetes shows no value here.
        causes.push(Cause { reason: "FieldValueInvalid", message: format!("Invalid value: {why}"), field: at });
    }
}

fn exit_codes(codes: &Value, names: &[&Value], at: &str, causes: &mut Causes) {
    let operators = ["In", "NotIn"];
    if text(codes, "operator").is_empty() {
        causes.push(Cause::required(format!("{at}.operator"), "valid values: [\"In\" \"NotIn\"]"));
    } else {
        one_of(&codes["operator"], format!("{at}.operator"), &operators, causes);
    }
    if !codes["containerName"].is_null() && !names.contains(&&codes["containerName"]) {
        let why = "must be one of the container or initContainer names in the pod template";
        invalid(format!("{at}.containerName"), &codes["containerName"], why, causes);
    }
    let mut seen = BTreeSet::new();
    if list(codes, "values").is_empty() {
        invalid(format!("{at}.values"), &codes["values"], "at least one value is required", causes);
    }
    for (field, value) in each(codes, "values", at) {
        if value == 0 && codes["operator"] == "In" {
            invalid(field, value, "must not be 0 for the In operator", causes);
        } else if !seen.insert(value.as_i64()) {
            causes.push(Cause::duplicate(field, value));
        }
    }
}

/// The pods of what is to end.
fn restart(spec: &Value, at: &str, causes: &mut Causes) {
    let policy = &spec["template"]["spec"]["restartPolicy"];
    let field = format!("{at}.template.spec.restartPolicy");
    if policy.is_null() || policy == "" || policy == "Always" {
        causes.push(Cause::required(field, "valid values: \"OnFailure\", \"Never\""));
    } else if policy != "OnFailure" && policy != "Never" {
        causes.push(Cause::not_supported(field, policy, &["OnFailure", "Never"]));
    } else if spec["podFailurePolicy"].is_object() && policy != "Never" {
        let why = "only \"Never\" is supported when podFailurePolicy is specified";
        invalid(field, policy, why, causes);
    } else if !spec["backoffLimitPerIndex"].is_null() && policy != "Never" {
        let why = "only \"Never\" is supported when backoffLimitPerIndex is specified";
        invalid(field, policy, why, causes);
    }
}

pub(in crate::builtin) fn cron_job(value: &Value, old: Option<&Value>, causes: &mut Causes) {
    let name = text(&value["metadata"], "name");
    if old.is_none() && name.len() > 52 {
        invalid("metadata.name", &json!(name), "must be no more than 52 characters", causes);
    }
    let spec = &value["spec"];
    let schedule = text(spec, "schedule");
    if schedule.is_empty() {
        causes.push(Cause::required("spec.schedule", ""));
    } else if let Some(why) = cron::wrong(schedule) {
        invalid("spec.schedule", &spec["schedule"], &why, causes);
    }
    not_negative(&spec["startingDeadlineSeconds"], "spec.startingDeadlineSeconds", causes);
    if schedule.contains("TZ") && spec["timeZone"].is_string() {
        let why = "cannot use both timeZone field and TZ or CRON_TZ in schedule";
        invalid("spec.schedule", &spec["schedule"], why, causes);
    }
    zone(&spec["timeZone"], causes);
    let policies = ["Allow", "Forbid", "Replace"];
    one_of(&spec["concurrencyPolicy"], "spec.concurrencyPolicy", &policies, causes);
    let job = &spec["jobTemplate"]["spec"];
    job_spec(job, "spec.jobTemplate.spec", None, causes);
    if job["manualSelector"] == true {
        let field = "spec.jobTemplate.spec.manualSelector";
        causes.push(Cause::not_supported(field, &job["manualSelector"], &["nil", "false"]));
    }
    none_negative(spec, "spec", &["successfulJobsHistoryLimit", "failedJobsHistoryLimit"], causes);
}

fn zone(zone: &Value, causes: &mut Causes) {
    let Some(name) = zone.as_str() else { return };
    if name.is_empty() {
        invalid("spec.timeZone", zone, "timeZone must be nil or non-empty string", causes);
    } else if name.eq_ignore_ascii_case("local") {
        invalid(
            "spec.timeZone",
            zone,
            "timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones",
            causes,
        );
    } else if jiff::tz::db().get(name).is_err() {
        invalid("spec.timeZone", zone, &format!("unknown time zone {name}"), causes);
    }
}
