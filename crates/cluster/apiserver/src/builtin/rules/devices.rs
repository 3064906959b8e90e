//! Rules of `resource.k8s.io`: device classes, claims and their templates, slices of pools.

use std::collections::{BTreeMap, BTreeSet};

use base::names::{is_dns_label, is_dns_subdomain};
use expressions::{Env, Type};
use schema::validate::Cause;
use serde_json::{Value, json};

use super::{
    check::{Causes, LABEL, SUBDOMAIN, each, given, immutable, invalid, list, text},
    scheduling::node_selector,
};

const REQUESTS: usize = 32;
const SELECTORS: usize = 32;
const SUBREQUESTS: usize = 8;
const RESERVED_FOR: usize = 256;
const DEVICES: usize = 128;
const EXPRESSION: usize = 10 * 1024;
const POOL_NAME: usize = 253;
const DRIVER_NAME: usize = 63;

pub(in crate::builtin) fn class(value: &Value, _: Option<&Value>, causes: &mut Causes) {
    let spec = &value["spec"];
    selectors(spec, "spec", causes);
    for (at, config) in each(spec, "config", "spec") {
        configuration(config, &at, causes);
    }
    let name = &spec["extendedResourceName"];
    if let Some(text) = name.as_str() {
        let extended = text.split_once('/').is_some_and(|(domain, _)| domain != "kubernetes.io");
        if !extended || text.starts_with("requests.") || !super::check::qualified(text).is_empty() {
            invalid("spec.extendedResourceName", name, "must be a valid extended resource name", causes);
        }
    }
}

pub(in crate::builtin) fn claim(value: &Value, old: Option<&Value>, causes: &mut Causes) {
    match old {
        // What cannot change is not looked at again.
        Some(_) => immutable(value, old, "spec", causes),
        None => claim_spec(&value["spec"], "spec", causes),
    }
    claim_status(value, old, causes);
}

pub(in crate::builtin) fn template(value: &Value, old: Option<&Value>, causes: &mut Causes) {
    match old {
        Some(_) => immutable(value, old, "spec", causes),
        None => claim_spec(&value["spec"]["spec"], "spec.spec", causes),
    }
}

fn claim_spec(spec: &Value, at: &str, causes: &mut Causes) {
    let devices = &spec["devices"];
    let at = format!("{at}.devices");
    at_most(devices, "requests", REQUESTS, &at, causes);
    let mut names: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (at, request) in each(devices, "requests", &at) {
        let below = list(request, "firstAvailable").iter().map(|sub| text(sub, "name")).collect();
        label(request, "name", &at, causes);
        if names.insert(text(request, "name"), below).is_some() {
            causes.push(Cause::duplicate(at.clone(), &request["name"]));
        }
        let (first, exactly) = (!list(request, "firstAvailable").is_empty(), request["exactly"].is_object());
        match (first, exactly) {
            (false, false) => {
                causes.push(Cause::required(at, "exactly one of `exactly` or `firstAvailable` is required"));
            }
            (true, true) => {
                let why = "exactly one of `exactly` or `firstAvailable` is required, but multiple fields are set";
                invalid(at, &Value::Null, why, causes);
            }
            (true, false) => {
                at_most(request, "firstAvailable", SUBREQUESTS, &at, causes);
                let mut seen = BTreeSet::new();
                for (at, sub) in each(request, "firstAvailable", &at) {
                    label(sub, "name", &at, causes);
                    if !seen.insert(text(sub, "name")) {
                        causes.push(Cause::duplicate(at.clone(), &sub["name"]));
                    }
                    asked(sub, &at, causes);
                }
            }
            (false, true) => asked(&request["exactly"], &format!("{at}.exactly"), causes),
        }
    }
    for (at, constraint) in each(devices, "constraints", &at) {
        referred(constraint, &at, &names, causes);
        if constraint["matchAttribute"].is_null() && constraint["distinctAttribute"].is_null() {
            let why =
                "exactly one of \"matchAttribute\" or \"distinctAttribute\" is required, but multiple fields are set";
            causes.push(Cause::required(at, why));
        }
    }
    for (at, config) in each(devices, "config", &at) {
        referred(config, &at, &names, causes);
        configuration(config, &at, causes);
    }
}

/// What one request asks for.
fn asked(request: &Value, at: &str, causes: &mut Causes) {
    let class = text(request, "deviceClassName");
    if class.is_empty() {
        causes.push(Cause::required(format!("{at}.deviceClassName"), ""));
    } else if !is_dns_subdomain(class) {
        invalid(format!("{at}.deviceClassName"), &request["deviceClassName"], SUBDOMAIN, causes);
    }
    if request["adminAccess"] == true {
        let why = "admin access to devices requires the `resource.kubernetes.io/admin-access: true` label on the containing namespace";
        causes.push(Cause::forbidden(format!("{at}.adminAccess"), why));
    }
    selectors(request, at, causes);
    let count = request["count"].as_i64().unwrap_or_default();
    match text(request, "allocationMode") {
        "All" if count != 0 => {
            let why = "must not be specified when allocationMode is 'All'";
            invalid(format!("{at}.count"), &json!(count), why, causes);
        }
        "ExactCount" if count <= 0 => {
            invalid(format!("{at}.count"), &json!(count), "must be greater than zero", causes);
        }
        "All" | "ExactCount" => {}
        _ => causes.push(Cause::not_supported(
            format!("{at}.allocationMode"),
            &request["allocationMode"],
            &["All", "ExactCount"],
        )),
    }
}

fn selectors(value: &Value, at: &str, causes: &mut Causes) {
    at_most(value, "selectors", SELECTORS, at, causes);
    for (at, selector) in each(value, "selectors", at) {
        let field = format!("{at}.cel");
        if selector["cel"].is_null() {
            causes.push(Cause::required(field, ""));
            continue;
        }
        let expression = &selector["cel"]["expression"];
        let source = expression.as_str().unwrap_or_default();
        let field = format!("{field}.expression");
        if source.len() > EXPRESSION {
            causes.push(Cause::too_long(field, EXPRESSION as u64, "byte"));
            continue;
        }
        let parts = ["driver", "attributes", "capacity", "allowMultipleAllocations"];
        let device = parts.map(|name| (name.to_owned(), if name == "driver" { Type::String } else { Type::Dyn }));
        match Env::new().with("device", Type::object("kubernetes.DRADevice", device)).compile(source) {
            Err(error) => invalid(field, expression, &format!("compilation failed: {error}"), causes),
            Ok(program) if !matches!(program.result(), Type::Bool | Type::Dyn) => {
                invalid(field, expression, "must evaluate to bool or the unknown type", causes);
            }
            Ok(_) => {}
        }
    }
}

fn configuration(config: &Value, at: &str, causes: &mut Causes) {
    let opaque = &config["opaque"];
    let at = format!("{at}.opaque");
    if opaque.is_null() {
        return causes.push(Cause::required(at, ""));
    }
    driver(opaque, &at, causes);
    match &opaque["parameters"] {
        Value::Null => causes.push(Cause::required(format!("{at}.parameters"), "")),
        Value::Object(_) => {}
        other => invalid(format!("{at}.parameters"), other, "parameters must be a valid JSON object", causes),
    }
}

fn driver(value: &Value, at: &str, causes: &mut Causes) {
    let name = text(value, "driver");
    let field = format!("{at}.driver");
    if name.is_empty() {
        causes.push(Cause::required(field, ""));
        return;
    }
    if name.len() > DRIVER_NAME {
        causes.push(Cause::too_long(field.clone(), DRIVER_NAME as u64, "byte"));
    }
    if !is_dns_subdomain(&name.to_lowercase()) {
        invalid(field, &value["driver"], SUBDOMAIN, causes);
    }
}

/// The requests that a constraint or configuration is for.
fn referred(value: &Value, at: &str, names: &BTreeMap<&str, BTreeSet<&str>>, causes: &mut Causes) {
    for (at, name) in each(value, "requests", at) {
        let text = name.as_str().unwrap_or_default();
        let known = match text.split_once('/') {
            None => names.contains_key(text),
            Some((request, sub)) => names.get(request).is_some_and(|below| below.contains(sub)),
        };
        if !known {
            let why =
                "must be the name of a request in the claim or the name of a request and a subrequest separated by '/'";
            invalid(at, name, why, causes);
        }
    }
}

fn claim_status(value: &Value, old: Option<&Value>, causes: &mut Causes) {
    let status = &value["status"];
    at_most(status, "reservedFor", RESERVED_FOR, "status", causes);
    let mut seen = BTreeSet::new();
    for (at, user) in each(status, "reservedFor", "status") {
        for name in ["resource", "name", "uid"] {
            given(user, name, &at, causes);
        }
        if !seen.insert(text(user, "uid")) {
            causes.push(Cause::duplicate(at, &user["uid"]));
        }
    }
    let allocation = &status["allocation"];
    if !list(status, "reservedFor").is_empty() && allocation.is_null() {
        let why = "may not be specified when `allocated` is not set";
        causes.push(Cause::forbidden("status.reservedFor", why));
    }
    let Some(old) = old else { return };
    if !old["status"]["allocation"].is_null() && !allocation.is_null() {
        immutable(value, Some(old), "status.allocation", causes);
    } else if allocation.is_object() {
        for (at, result) in each(&allocation["devices"], "results", "status.allocation.devices") {
            driver(result, &at, causes);
            pool_name(&result["pool"], &format!("{at}.pool"), causes);
            label(result, "device", &at, causes);
        }
        if allocation["nodeSelector"].is_object() {
            node_selector(&allocation["nodeSelector"], "status.allocation.nodeSelector", causes);
        }
    }
}

pub(in crate::builtin) fn slice(value: &Value, old: Option<&Value>, causes: &mut Causes) {
    let spec = &value["spec"];
    driver(spec, "spec", causes);
    let pool = &spec["pool"];
    pool_name(&pool["name"], "spec.pool.name", causes);
    if pool["resourceSliceCount"].as_i64().unwrap_or_default() <= 0 {
        let count = json!(pool["resourceSliceCount"].as_i64().unwrap_or_default());
        invalid("spec.pool.resourceSliceCount", &count, "must be greater than zero", causes);
    }
    if pool["generation"].as_i64().is_some_and(|number| number < 0) {
        let why = "must be greater than or equal to zero";
        invalid("spec.pool.generation", &pool["generation"], why, causes);
    }
    if old.is_some() {
        for path in ["spec.pool.name", "spec.driver", "spec.nodeName"] {
            immutable(value, old, path, causes);
        }
    }
    placed(spec, causes);
    at_most(spec, "devices", DEVICES, "spec", causes);
    let mut seen = BTreeSet::new();
    for (at, device) in each(spec, "devices", "spec") {
        label(device, "name", &at, causes);
        if !seen.insert(text(device, "name")) {
            causes.push(Cause::duplicate(at.clone(), &device["name"]));
        }
        for (name, attribute) in device["attributes"].as_object().into_iter().flatten() {
            let said = attribute.as_object().map_or(0, |map| map.values().filter(|value| !value.is_null()).count());
            if said != 1 {
                let shown = if said == 0 { json!("") } else { attribute.clone() };
                invalid(format!("{at}.attributes[{name}]"), &shown, "exactly one value must be specified", causes);
            }
        }
    }
}

/// Where a slice's devices are: at one of several kinds of places.
fn placed(spec: &Value, causes: &mut Causes) {
    let mut set = Vec::new();
    match spec["nodeName"].as_str() {
        Some("") => {
            let why = "must be either unset or set to a non-empty string";
            invalid("spec.nodeName", &spec["nodeName"], why, causes);
        }
        Some(name) => {
            set.push("`nodeName`");
            if !is_dns_subdomain(name) {
                invalid("spec.nodeName", &spec["nodeName"], SUBDOMAIN, causes);
            }
        }
        None => {}
    }
    if spec["nodeSelector"].is_object() {
        set.push("`nodeSelector`");
        node_selector(&spec["nodeSelector"], "spec.nodeSelector", causes);
        if list(&spec["nodeSelector"], "nodeSelectorTerms").len() != 1 {
            let terms = &spec["nodeSelector"]["nodeSelectorTerms"];
            let why = "must have exactly one node selector term";
            invalid("spec.nodeSelector.nodeSelectorTerms", terms, why, causes);
        }
    }
    for (name, shown) in [("allNodes", "`allNodes`"), ("perDeviceNodeSelection", "`perDeviceNodeSelection`")] {
        match spec[name].as_bool() {
            Some(true) => set.push(shown),
            Some(false) => {
                invalid(format!("spec.{name}"), &spec[name], "must be either unset or set to true", causes);
            }
            None => {}
        }
    }
    let why = "exactly one of `nodeName`, `nodeSelector`, `allNodes`, `perDeviceNodeSelection` is required";
    match set.len() {
        0 => causes.push(Cause::required("spec", why)),
        1 => {}
        _ => {
            let shown = json!(format!("{{{}}}", set.join(", ")));
            invalid("spec", &shown, &format!("{why}, but multiple fields are set"), causes);
        }
    }
}

pub(in crate::builtin) fn slice_warnings(value: &Value) -> Vec<String> {
    let name = text(&value["spec"], "driver");
    if name == name.to_lowercase() {
        return Vec::new();
    }
    vec![format!("spec.driver: driver names should be lowercase; {name:?} contains uppercase characters")]
}

fn pool_name(value: &Value, at: &str, causes: &mut Causes) {
    let name = value.as_str().unwrap_or_default();
    if name.is_empty() {
        return causes.push(Cause::required(at, ""));
    }
    if name.len() > POOL_NAME {
        causes.push(Cause::too_long(at, POOL_NAME as u64, "byte"));
    }
    for part in name.split('/').filter(|part| !is_dns_subdomain(part)) {
        invalid(at, &json!(part), SUBDOMAIN, causes);
    }
}

fn label(value: &Value, name: &str, at: &str, causes: &mut Causes) {
    let found = text(value, name);
    if found.is_empty() {
        causes.push(Cause::required(format!("{at}.{name}"), ""));
    } else if !is_dns_label(found) {
        invalid(format!("{at}.{name}"), &value[name], LABEL, causes);
    }
}

fn at_most(value: &Value, name: &str, most: usize, at: &str, causes: &mut Causes) {
    let count = list(value, name).len();
    if count > most {
        causes.push(Cause::too_many(format!("{at}.{name}"), count as u64, most as u64));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(check: fn(&Value, Option<&Value>, &mut Causes), value: &Value, old: Option<&Value>) -> Vec<String> {
        let mut causes = Vec::new();
        check(value, old, &mut causes);
        causes.iter().map(|cause| format!("{}: {}", cause.field, cause.message)).collect()
    }

    #[test]
    fn a_claim_asks_for_devices_of_a_class() {
        let exactly = json!({"deviceClassName": "gpu", "allocationMode": "ExactCount", "count": 1,
            "selectors": [{"cel": {"expression": "device.driver == 'a' && device.attributes['a'].x > 1"}}]});
        let claim_of = |request: Value| json!({"spec": {"devices": {"requests": [request]}}});
        let good = claim_of(json!({"name": "r", "exactly": exactly}));
        assert!(problems(claim, &good, None).is_empty());
        let neither = problems(claim, &claim_of(json!({"name": "r"})), None);
        assert_eq!(
            neither,
            ["spec.devices.requests[0]: Required value: exactly one of `exactly` or `firstAvailable` is required"]
        );
        let mut changed = good.clone();
        changed["spec"]["devices"]["requests"][0]["name"] = "s".into();
        assert!(problems(claim, &changed, Some(&good))[0].ends_with("field is immutable"));
        let bad = json!({"deviceClassName": "gpu", "allocationMode": "All", "count": 2, "selectors": [{"cel": {"expression": "1"}}]});
        let found = problems(claim, &claim_of(json!({"name": "r", "exactly": bad})), None);
        assert_eq!(found.len(), 2, "{found:?}");
    }

    #[test]
    fn a_slice_is_at_one_place() {
        let of = |spec: Value| {
            let mut spec = spec;
            spec["driver"] = "d.example".into();
            spec["pool"] = json!({"name": "p", "generation": 1, "resourceSliceCount": 1});
            json!({"spec": spec})
        };
        assert!(problems(slice, &of(json!({"nodeName": "n"})), None).is_empty());
        assert_eq!(problems(slice, &of(json!({})), None).len(), 1);
        let both = problems(slice, &of(json!({"nodeName": "n", "allNodes": true})), None);
        assert!(both[0].ends_with("but multiple fields are set"), "{both:?}");
        let twice = json!({"allNodes": true, "devices": [{"name": "a"}, {"name": "a"}]});
        assert_eq!(problems(slice, &of(twice), None), ["spec.devices[1]: Duplicate value: \"a\""]);
    }
}
