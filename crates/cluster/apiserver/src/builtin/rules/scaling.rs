//! Rules of autoscalers and disruption budgets.

use schema::validate::Cause;
use serde_json::{Value, json};

use super::check::{
    Causes, at_most_all, count_or_percent, each, invalid, label_selector, none_negative, one_of, quantity, text,
};
use crate::builtin::conversion;

/// `autoscaling/v1` is looked at as it is stored.
pub(in crate::builtin) fn old_autoscaler(value: &Value, old: Option<&Value>, causes: &mut Causes) {
    let write = conversion::AUTOSCALER.write;
    autoscaler(&write(value.clone()), old.map(|old| write(old.clone())).as_ref(), causes);
}

pub(in crate::builtin) fn autoscaler(value: &Value, old: Option<&Value>, causes: &mut Causes) {
    let spec = &value["spec"];
    let (least, most) = (spec["minReplicas"].as_i64(), spec["maxReplicas"].as_i64().unwrap_or_default());
    // None at all is let through where it stood before.
    let fewest = i64::from(old.is_none_or(|old| old["spec"]["minReplicas"] != 0));
    if least.is_some_and(|least| least < fewest) {
        let why = format!("must be greater than or equal to {fewest}");
        invalid("spec.minReplicas", &spec["minReplicas"], &why, causes);
    }
    if most == 0 {
        causes.push(Cause::required("spec.maxReplicas", "must be set and greater than 0"));
    } else if most < 1 {
        invalid("spec.maxReplicas", &spec["maxReplicas"], "must be greater than or equal to 1", causes);
    }
    if most != 0 && least.is_some_and(|least| most < least) {
        let why = "must be greater than or equal to `minReplicas`";
        invalid("spec.maxReplicas", &spec["maxReplicas"], why, causes);
    }
    reference(&spec["scaleTargetRef"], "spec.scaleTargetRef", causes);
    if !text(&spec["scaleTargetRef"], "apiVersion").contains('/') {
        let given = json!(text(&spec["scaleTargetRef"], "apiVersion"));
        invalid("spec.scaleTargetRef.apiVersion", &given, "apiVersion must specify API group", causes);
    }
    for (at, metric) in each(spec, "metrics", "spec") {
        self::metric(metric, &at, causes);
    }
    for name in ["scaleUp", "scaleDown"] {
        if spec["behavior"][name].is_object() {
            rules(&spec["behavior"][name], &format!("spec.behavior.{name}"), causes);
        }
    }
    if old.is_some() {
        none_negative(&value["status"], "status", &["currentReplicas", "desiredReplicas"], causes);
    }
}

fn reference(value: &Value, at: &str, causes: &mut Causes) {
    for name in ["kind", "name"] {
        segment(&value[name], &format!("{at}.{name}"), "", causes);
    }
}

/// A word that can be one segment of a path.
fn segment(value: &Value, field: &str, missing: &str, causes: &mut Causes) {
    let text = value.as_str().unwrap_or_default();
    if text.is_empty() {
        return causes.push(Cause::required(field, missing));
    }
    for (wrong, why) in [
        (text == ".", "may not be '.'"),
        (text == "..", "may not be '..'"),
        (text.contains('/'), "may not contain '/'"),
        (text.contains('%'), "may not contain '%'"),
    ] {
        if wrong {
            invalid(field, value, why, causes);
        }
    }
}

fn metric(metric: &Value, at: &str, causes: &mut Causes) {
    let kinds = ["ContainerResource", "External", "Object", "Pods", "Resource"];
    let kind = text(metric, "type");
    let fields = ["containerResource", "external", "object", "pods", "resource"];
    if kind.is_empty() {
        causes.push(Cause::required(format!("{at}.type"), "must specify a metric source type"));
    }
    let Some(index) = kinds.iter().position(|known| *known == kind) else {
        if !kind.is_empty() {
            // Kubernetes says it twice.
            causes.push(Cause::not_supported(format!("{at}.type"), &metric["type"], &kinds));
            causes.push(Cause::not_supported(format!("{at}.type"), &metric["type"], &kinds));
        }
        return;
    };
    let own = fields[index];
    for other in fields.iter().filter(|name| **name != own && metric[**name].is_object()) {
        causes.push(Cause::forbidden(format!("{at}.{other}"), "must populate the given metric source only"));
    }
    let source = &metric[own];
    if source.is_null() {
        return causes
            .push(Cause::required(format!("{at}.{own}"), "must populate information for the given metric source"));
    }
    self::source(own, source, &format!("{at}.{own}"), causes);
}

fn source(kind: &str, source: &Value, at: &str, causes: &mut Causes) {
    let target = &source["target"];
    let has = |name: &str| !target[name].is_null();
    if kind == "object" {
        reference(&source["describedObject"], &format!("{at}.describedObject"), causes);
    }
    match kind {
        "resource" | "containerResource" => {
            if kind == "containerResource" && text(source, "container").is_empty() {
                causes.push(Cause::required(format!("{at}.container"), "must specify a container"));
            }
            if text(source, "name").is_empty() {
                causes.push(Cause::required(format!("{at}.name"), "must specify a resource name"));
            }
        }
        _ => {
            segment(&source["metric"]["name"], &format!("{at}.metric.name"), "must specify a metric name", causes);
            label_selector(&source["metric"]["selector"], &format!("{at}.metric.selector"), causes);
        }
    }
    goal(target, &format!("{at}.target"), causes);
    match kind {
        "pods" if !has("averageValue") => causes
            .push(Cause::required(format!("{at}.target.averageValue"), "must specify a positive target averageValue")),
        "resource" | "containerResource" if !has("averageUtilization") && !has("averageValue") => {
            causes.push(Cause::required(
                format!("{at}.target.averageUtilization"),
                "must set either a target raw value or a target utilization",
            ));
        }
        "resource" | "containerResource" if has("averageUtilization") && has("averageValue") => {
            causes.push(Cause::forbidden(
                format!("{at}.target.averageValue"),
                "may not set both a target raw value and a target utilization",
            ));
        }
        "object" if !has("value") && !has("averageValue") => causes.push(Cause::required(
            format!("{at}.target.averageValue"),
            "must set either a target value or averageValue",
        )),
        "external" if !has("value") && !has("averageValue") => causes.push(Cause::required(
            format!("{at}.target.averageValue"),
            "must set either a target value for metric or a per-pod target",
        )),
        "external" if has("value") && has("averageValue") => causes.push(Cause::forbidden(
            format!("{at}.target.value"),
            "may not set both a target value for metric and a per-pod target",
        )),
        _ => {}
    }
}

fn goal(target: &Value, at: &str, causes: &mut Causes) {
    match text(target, "type") {
        "" => causes.push(Cause::required(format!("{at}.type"), "must specify a metric target type")),
        "Utilization" | "Value" | "AverageValue" => {}
        _ => {
            let why = "must be either Utilization, Value, or AverageValue";
            invalid(format!("{at}.type"), &target["type"], why, causes);
        }
    }
    for name in ["value", "averageValue"] {
        if quantity(&target[name]).is_some_and(|amount| amount.sign() != 1) {
            invalid(format!("{at}.{name}"), &target[name], "must be positive", causes);
        }
    }
    if target["averageUtilization"].as_i64().is_some_and(|percent| percent < 1) {
        invalid(format!("{at}.averageUtilization"), &target["averageUtilization"], "must be greater than 0", causes);
    }
}

fn rules(rules: &Value, at: &str, causes: &mut Causes) {
    if let Some(window) = rules["stabilizationWindowSeconds"].as_i64() {
        let field = format!("{at}.stabilizationWindowSeconds");
        if window < 0 {
            let why = "must be greater than or equal to zero";
            invalid(field, &rules["stabilizationWindowSeconds"], why, causes);
        } else if window > 3600 {
            let why = "must be less than or equal to 3600";
            invalid(field, &rules["stabilizationWindowSeconds"], why, causes);
        }
    }
    one_of(&rules["selectPolicy"], format!("{at}.selectPolicy"), &["Disabled", "Max", "Min"], causes);
    if rules["policies"].as_array().is_none_or(Vec::is_empty) {
        causes.push(Cause::required(format!("{at}.policies"), "must specify at least one Policy"));
    }
    for (at, policy) in each(rules, "policies", at) {
        one_of(&policy["type"], format!("{at}.type"), &["Percent", "Pods"], causes);
        for name in ["value", "periodSeconds"] {
            let number = policy[name].as_i64().unwrap_or_default();
            if number <= 0 {
                invalid(format!("{at}.{name}"), &policy[name], "must be greater than zero", causes);
            } else if name == "periodSeconds" && number > 1800 {
                invalid(format!("{at}.{name}"), &policy[name], "must be less than or equal to 1800", causes);
            }
        }
    }
}

pub(in crate::builtin) fn disruption_budget(value: &Value, old: Option<&Value>, causes: &mut Causes) {
    let spec = &value["spec"];
    if !spec["minAvailable"].is_null() && !spec["maxUnavailable"].is_null() {
        // Kubernetes shows the whole, in its own type's words.
        let message = format!(
            "Invalid value: {{\"MinAvailable\":{},\"Selector\":{},\"MaxUnavailable\":{},\"UnhealthyPodEvictionPolicy\":{}}}: minAvailable and maxUnavailable cannot be both set",
            spec["minAvailable"], spec["selector"], spec["maxUnavailable"], spec["unhealthyPodEvictionPolicy"]
        );
        causes.push(Cause { reason: "FieldValueInvalid", message, field: "spec".into() });
    }
    for name in ["minAvailable", "maxUnavailable"] {
        count_or_percent(&spec[name], &format!("spec.{name}"), causes);
        at_most_all(&spec[name], &format!("spec.{name}"), causes);
    }
    label_selector(&spec["selector"], "spec.selector", causes);
    let policies = ["AlwaysAllow", "IfHealthyBudget"];
    one_of(&spec["unhealthyPodEvictionPolicy"], "spec.unhealthyPodEvictionPolicy", &policies, causes);
    if old.is_some() {
        let counts = ["disruptionsAllowed", "currentHealthy", "desiredHealthy", "expectedPods"];
        none_negative(&value["status"], "status", &counts, causes);
    }
}
