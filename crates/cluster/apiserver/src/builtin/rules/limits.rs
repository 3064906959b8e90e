//! Rules of limit ranges.

use std::collections::BTreeSet;

use schema::{quantity::Quantity, validate::Cause};
use serde_json::{Value, json};

use super::check::{Causes, container_resource, each, entries, invalid, qualified_name, quantity, text};

pub(in crate::builtin) fn limit_range(value: &Value, _: Option<&Value>, causes: &mut Causes) {
    let mut kinds = BTreeSet::new();
    for (at, limit) in each(&value["spec"], "limits", "spec") {
        let kind = text(limit, "type");
        kind_of(kind, &format!("{at}.type"), causes);
        if !kinds.insert(kind) {
            causes.push(Cause::duplicate(format!("{at}.type"), &limit["type"]));
        }
        for part in ["max", "min", "default", "defaultRequest", "maxLimitRequestRatio"] {
            let forbidden = kind == "Pod" && matches!(part, "default" | "defaultRequest");
            let given = limit[part].as_object().is_some_and(|map| !map.is_empty());
            if forbidden && given {
                causes.push(Cause::forbidden(format!("{at}.{part}"), "may not be specified when `type` is 'Pod'"));
            }
            for (name, _) in entries(limit, part).filter(|_| !forbidden) {
                resource(kind, name, &format!("{at}.{part}[{name}]"), causes);
            }
        }
        if kind == "PersistentVolumeClaim" && limit["max"]["storage"].is_null() && limit["min"]["storage"].is_null() {
            causes.push(Cause::required(
                format!("{at}.limits"),
                "either minimum or maximum storage value is required, but neither was provided",
            ));
        }
        relations(limit, &at, causes);
    }
}

fn kind_of(kind: &str, field: &str, causes: &mut Causes) {
    let before = causes.len();
    qualified_name(&json!(kind), field, causes);
    let standard = matches!(kind, "Pod" | "Container" | "PersistentVolumeClaim");
    if causes.len() == before && !standard && !kind.contains('/') {
        invalid(field, &json!(kind), "must be a standard limit type or fully qualified", causes);
    }
}

fn resource(kind: &str, name: &str, field: &str, causes: &mut Causes) {
    if matches!(kind, "Pod" | "Container") {
        return container_resource(name, field, causes);
    }
    let before = causes.len();
    qualified_name(&json!(name), field, causes);
    if causes.len() == before
        && !name.contains('/')
        && !matches!(name, "cpu" | "memory" | "storage" | "ephemeral-storage")
    {
        invalid(field, &json!(name), "must be a standard resource type or fully qualified", causes);
    }
}

/// The relations that the parts of a limit keep: each with which value it is refused at, and which it shows.
fn relations(limit: &Value, at: &str, causes: &mut Causes) {
    let mut names: BTreeSet<&String> = BTreeSet::new();
    for part in ["max", "min", "default", "defaultRequest", "maxLimitRequestRatio"] {
        names.extend(entries(limit, part).map(|(name, _)| name));
    }
    for name in names {
        let of = |part: &str| quantity(&limit[part][name]);
        for (low, high, at_part, shown, words) in [
            ("min", "max", "min", "min", ("min value", "max value")),
            ("min", "defaultRequest", "defaultRequest", "defaultRequest", ("min value", "default request value")),
            ("defaultRequest", "max", "defaultRequest", "defaultRequest", ("default request value", "max value")),
            (
                "defaultRequest",
                "default",
                "defaultRequest",
                "defaultRequest",
                ("default request value", "default limit value"),
            ),
            ("min", "default", "default", "min", ("min value", "default value")),
            ("default", "max", "default", "max", ("default value", "max value")),
        ] {
            if let (Some(less), Some(more)) = (of(low), of(high))
                && less > more
            {
                let why = format!("{} {less} is greater than {} {more}", words.0, words.1);
                invalid(format!("{at}.{at_part}[{name}]"), &limit[shown][name], &why, causes);
            }
        }
        let Some(ratio) = of("maxLimitRequestRatio") else { continue };
        let field = format!("{at}.maxLimitRequestRatio[{name}]");
        let given = &limit["maxLimitRequestRatio"][name];
        if ratio < Quantity::one() {
            invalid(&*field, given, &format!("ratio {ratio} is less than 1"), causes);
        }
        if let (Some(min), Some(max)) = (of("min"), of("max")) {
            let most = max.float() / min.float();
            if ratio.float() > most {
                invalid(field, given, &format!("ratio {ratio} is greater than max/min = {most:.6}"), causes);
            }
        }
    }
}
