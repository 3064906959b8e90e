//! Rules of requests for certificates.

use std::collections::BTreeSet;

use base::names::{is_dns_label, is_dns_subdomain};
use schema::validate::Cause;
use serde_json::{Value, json};

use super::check::{Causes, LABEL, SUBDOMAIN, each, invalid, list, text};
use crate::certificates::{certificate_problem, subject_of};

const USAGES: &[&str] = &[
    "any",
    "cert sign",
    "client auth",
    "code signing",
    "content commitment",
    "crl sign",
    "data encipherment",
    "decipher only",
    "digital signature",
    "email protection",
    "encipher only",
    "ipsec end system",
    "ipsec tunnel",
    "ipsec user",
    "key agreement",
    "key encipherment",
    "microsoft sgc",
    "netscape sgc",
    "ocsp signing",
    "s/mime",
    "server auth",
    "signing",
    "timestamping",
];

pub(in crate::builtin) fn signing_request(value: &Value, old: Option<&Value>, causes: &mut Causes) {
    let spec = &value["spec"];
    if old.is_none() {
        let request = text(spec, "request");
        if let Err(why) = subject_of(request) {
            // Bytes that are not there are shown as nothing.
            let given = if request.is_empty() { &Value::Null } else { &spec["request"] };
            invalid("spec.request", given, &why, causes);
        }
        if list(spec, "usages").is_empty() {
            causes.push(Cause::required("spec.usages", ""));
        }
        for (at, usage) in each(spec, "usages", "spec") {
            if !usage.as_str().is_some_and(|usage| USAGES.contains(&usage)) {
                causes.push(Cause::not_supported(at, usage, USAGES));
            }
        }
        let mut seen = BTreeSet::new();
        for (at, usage) in each(spec, "usages", "spec") {
            if !seen.insert(usage.to_string()) {
                causes.push(Cause::duplicate(at, usage));
            }
        }
        if text(spec, "signerName") == "kubernetes.io/legacy-unknown" {
            let why = "the legacy signerName is not allowed via this API version";
            invalid("spec.signerName", &spec["signerName"], why, causes);
        } else {
            signer(text(spec, "signerName"), causes);
        }
        if spec["expirationSeconds"].as_i64().is_some_and(|seconds| seconds < 600) {
            let why = "may not specify a duration less than 600 seconds (10 minutes)";
            invalid("spec.expirationSeconds", &spec["expirationSeconds"], why, causes);
        }
    }
    conditions(value, old, causes);
    let certificate = text(&value["status"], "certificate");
    if old.is_none_or(|old| text(&old["status"], "certificate") != certificate)
        && let Some(why) = certificate_problem(certificate)
    {
        invalid("status.certificate", &json!("<certificate data>"), &why, causes);
    }
}

fn conditions(value: &Value, old: Option<&Value>, causes: &mut Causes) {
    let kinds = |object: &Value| -> Vec<String> {
        list(&object["status"], "conditions").iter().map(|held| text(held, "type").to_owned()).collect()
    };
    let before = old.map(kinds).unwrap_or_default();
    let repeats = |kinds: &[String]| kinds.iter().collect::<BTreeSet<_>>().len() < kinds.len();
    let decided = |kinds: &[String]| ["Approved", "Denied"].iter().all(|kind| kinds.iter().any(|known| known == kind));
    let count = |object: Option<&Value>, kind: &str| {
        let held = object.map_or(&[][..], |object| list(&object["status"], "conditions"));
        held.iter().filter(|condition| condition["type"] == kind).count()
    };
    for kind in ["Approved", "Denied", "Failed"] {
        if count(Some(value), kind) < count(old, kind) {
            let why = format!("updates may not remove a condition of type {kind:?}");
            causes.push(Cause::forbidden("status.conditions", &why));
        }
    }
    let mut seen: Vec<&str> = Vec::new();
    for (at, condition) in each(&value["status"], "conditions", "status") {
        let (kind, status) = (text(condition, "type"), text(condition, "status"));
        if kind.is_empty() && !before.iter().any(String::is_empty) {
            causes.push(Cause::required(format!("{at}.type"), ""));
        }
        let only_true = matches!(kind, "Approved" | "Denied" | "Failed");
        let known: &[&str] = if only_true { &["True"] } else { &["False", "True", "Unknown"] };
        if status.is_empty() {
            causes.push(Cause::required(format!("{at}.status"), ""));
        } else if !known.contains(&status) {
            causes.push(Cause::not_supported(format!("{at}.status"), &condition["status"], known));
        }
        let opposite = match kind {
            "Approved" => "Denied",
            "Denied" => "Approved",
            _ => "",
        };
        if !opposite.is_empty() && seen.contains(&opposite) && !decided(&before) {
            let why = "Approved and Denied conditions are mutually exclusive";
            invalid("status.conditions", &condition["type"], why, causes);
        }
        if seen.contains(&kind) && !repeats(&before) {
            causes.push(Cause::duplicate(format!("{at}.type"), &json!(kind)));
        }
        seen.push(kind);
    }
}

fn signer(name: &str, causes: &mut Causes) {
    const FIELD: &str = "spec.signerName";
    if name.is_empty() {
        return causes.push(Cause::required(FIELD, ""));
    }
    let [domain, path] = name.split('/').collect::<Vec<_>>()[..] else {
        let why = "must be a fully qualified domain and path of the form 'example.com/signer-name'";
        return invalid(FIELD, &name.into(), why, causes);
    };
    if domain.len() > 253 {
        causes.push(Cause::too_long(FIELD, 253, "byte"));
    }
    let wrong_label = |label: &str| -> Vec<&str> {
        if is_dns_label(label) {
            Vec::new()
        } else if label.len() > 63 {
            vec!["must be no more than 63 characters"]
        } else {
            vec![LABEL]
        }
    };
    let wrong_path = |label: &str| -> Vec<&str> {
        if is_dns_subdomain(label) {
            Vec::new()
        } else if label.len() > 253 {
            vec!["must be no more than 253 characters"]
        } else {
            vec![SUBDOMAIN]
        }
    };
    first_wrong(domain, &wrong_label, causes);
    if domain.split('.').count() < 2 {
        invalid(FIELD, &domain.into(), "should be a domain with at least two segments separated by dots", causes);
    }
    first_wrong(path, &wrong_path, causes);
    if name.len() > 571 {
        causes.push(Cause::too_long(FIELD, 571, "byte"));
    }
}

/// Says what is wrong with the first part between dots that is not as it has to be.
fn first_wrong(name: &str, wrong: &dyn Fn(&str) -> Vec<&'static str>, causes: &mut Causes) {
    for label in name.split('.') {
        let problems = wrong(label);
        for problem in &problems {
            invalid("spec.signerName", &name.into(), &format!("validating label {label:?}: {problem}"), causes);
        }
        if !problems.is_empty() {
            return;
        }
    }
}
