//! Rules of API services: which group and version is served, and by whom. This server serves
//! all that it has itself; one that another server is to answer for is refused by name.

use base::names::is_dns_subdomain;
use schema::validate::Cause;
use serde_json::{Value, json};

use super::check::{Causes, SUBDOMAIN, each, invalid, one_of, text};

const LABEL_1035: &str = "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')";

pub(in crate::builtin) fn default(value: &mut Value) {
    if let Some(service) = value["spec"]["service"].as_object_mut()
        && service.get("port").is_none_or(Value::is_null)
    {
        service.insert("port".to_owned(), 443.into());
    }
}

/// What this server serves itself is there from the start.
pub(in crate::builtin) fn available(value: &mut Value) {
    if value["spec"]["service"].is_null() {
        value["status"] = json!({"conditions": [{"type": "Available", "status": "True", "reason": "Local",
            "message": "Local APIServices are always available", "lastTransitionTime": base::clock::now_rfc3339()}]});
    }
}

pub(in crate::builtin) fn api_service(value: &Value, _: Option<&Value>, causes: &mut Causes) {
    let spec = &value["spec"];
    let (group, version) = (text(spec, "group"), text(spec, "version"));
    let wanted = format!("{version}.{group}");
    let name = &value["metadata"]["name"];
    if *name != wanted.as_str() {
        invalid("metadata.name", name, &format!("must be `spec.version+\".\"+spec.group`: {wanted:?}"), causes);
    }
    if group.is_empty() && version != "v1" {
        let why = "only v1 may have an empty group and it better be legacy kube";
        causes.push(Cause::required("spec.group", why));
    }
    if !group.is_empty() && !is_dns_subdomain(group) {
        invalid("spec.group", &spec["group"], SUBDOMAIN, causes);
    }
    let letters = |text: &str| text.starts_with(|letter: char| letter.is_ascii_lowercase());
    if !letters(version) || !base::names::is_dns_label(version) {
        invalid("spec.version", &json!(version), LABEL_1035, causes);
    }
    for (name, most) in [("groupPriorityMinimum", 20_000), ("versionPriority", 1000)] {
        let number = spec[name].as_i64().unwrap_or_default();
        if !(1..=most).contains(&number) {
            invalid(format!("spec.{name}"), &json!(number), &format!("must be positive and less than {most}"), causes);
        }
    }
    if spec["service"].is_null() {
        let bundle = text(spec, "caBundle");
        if !bundle.is_empty() {
            let shown = json!(format!("{} bytes", bundle.len() / 4 * 3));
            invalid("spec.caBundle", &shown, "local APIServices may not have a caBundle", causes);
        }
        if spec["insecureSkipTLSVerify"] == true {
            let why = "local APIServices may not have insecureSkipTLSVerify";
            invalid("spec.insecureSkipTLSVerify", &json!(true), why, causes);
        }
    } else {
        causes.push(Cause::forbidden("spec.service", "is not acted on by this cluster"));
    }
    for (at, condition) in each(&value["status"], "conditions", "status") {
        one_of(&condition["status"], format!("{at}.status"), &["True", "False", "Unknown"], causes);
    }
}
