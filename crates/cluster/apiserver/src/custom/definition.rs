//! Which definitions are accepted: the rules of `apiextensions.k8s.io/v1`, in Kubernetes' words.

use expressions::rules;
use schema::{crd, model::Kind, model::Node, validate::Cause};
use serde_json::{Value, json};

use super::{text, texts};

const COLUMN_TYPES: [&str; 5] = ["boolean", "date", "integer", "number", "string"];
const COLUMN_FORMATS: [&str; 8] = ["byte", "date", "date-time", "double", "float", "int32", "int64", "password"];
const REVIEW_VERSIONS: [&str; 2] = ["v1", "v1beta1"];

/// How many fields of a version may be selectable.
const MAX_SELECTABLE: usize = 8;

const LABEL_1035: &str = "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')";

/// Checks a definition by the rules of `apiextensions.k8s.io/v1`.
pub(crate) fn validate(value: &Value, old: Option<&Value>, causes: &mut Vec<Cause>) {
    let spec = &value["spec"];
    let names = &spec["names"];
    let wanted = format!("{}.{}", text(names, "plural"), text(spec, "group"));
    if text(&value["metadata"], "name") != wanted {
        causes.push(Cause::invalid(
            "metadata.name",
            &value["metadata"]["name"],
            "must be spec.names.plural+\".\"+spec.group",
        ));
    }
    group(value, old, causes);
    match text(spec, "scope") {
        "" => causes.push(Cause::required("spec.scope", "")),
        "Cluster" | "Namespaced" => {}
        _ => causes.push(Cause::not_supported("spec.scope", &spec["scope"], &["Cluster", "Namespaced"])),
    }
    if spec["preserveUnknownFields"] == true && old.is_none_or(|old| old["spec"]["preserveUnknownFields"] != true) {
        let detail =
            "cannot set to true, set x-kubernetes-preserve-unknown-fields to true in spec.versions[*].schema instead";
        causes.push(Cause::invalid("spec.preserveUnknownFields", &json!(true), detail));
    }
    naming(names, causes);
    conversion(&spec["conversion"], causes);
    versions(spec, causes);
    if let Some(old) = old {
        immutable(old, spec, causes);
        stored(value, causes);
    }
}

fn group(value: &Value, old: Option<&Value>, causes: &mut Vec<Cause>) {
    const ANNOTATION: &str = "api-approved.kubernetes.io";
    let group = text(&value["spec"], "group");
    if group.is_empty() {
        causes.push(Cause::required("spec.group", ""));
    } else if !base::names::is_dns_subdomain(group) {
        causes.push(Cause::invalid("spec.group", &group.into(), "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"));
    } else if !group.contains('.') {
        causes.push(Cause::invalid("spec.group", &group.into(), "should be a domain with at least one dot"));
    }
    if !super::names::is_protected(group) || old.is_some() {
        return;
    }
    let field = format!("metadata.annotations[{ANNOTATION}]");
    match super::names::approval(value) {
        super::names::Approval::Missing => causes.push(Cause::required(
            field,
            "protected groups must have approval annotation \"api-approved.kubernetes.io\", see https://github.com/kubernetes/enhancements/pull/1111",
        )),
        super::names::Approval::Invalid => {
            let detail = "protected groups must have approval annotation \"api-approved.kubernetes.io\" with either a URL or a reason starting with \"unapproved\", see https://github.com/kubernetes/enhancements/pull/1111";
            causes.push(Cause::invalid(field, &value["metadata"]["annotations"][ANNOTATION], detail));
        }
        super::names::Approval::Given | super::names::Approval::Bypassed => {}
    }
}

fn is_label(text: &str) -> bool {
    base::names::is_dns_label(text) && text.starts_with(|letter: char| letter.is_ascii_lowercase())
}

fn naming(names: &Value, causes: &mut Vec<Cause>) {
    for name in ["plural", "singular", "kind", "listKind"] {
        let found = text(names, name);
        if found.is_empty() {
            causes.push(Cause::required(format!("spec.names.{name}"), ""));
            continue;
        }
        let mixed = matches!(name, "kind" | "listKind");
        if !is_label(&if mixed { found.to_lowercase() } else { found.to_owned() }) {
            let detail = if mixed {
                format!("may have mixed case, but should otherwise match: {LABEL_1035}")
            } else {
                LABEL_1035.to_owned()
            };
            causes.push(Cause::invalid(format!("spec.names.{name}"), &found.into(), &detail));
        }
    }
    for list in ["shortNames", "categories"] {
        for (index, found) in texts(&names[list]).into_iter().enumerate() {
            if !is_label(&found) {
                causes.push(Cause::invalid(format!("spec.names.{list}[{index}]"), &found.into(), LABEL_1035));
            }
        }
    }
    if !text(names, "kind").is_empty() && names["kind"] == names["listKind"] {
        causes.push(Cause::invalid("spec.names.listKind", &names["listKind"], "kind and listKind may not be the same"));
    }
}

fn conversion(conversion: &Value, causes: &mut Vec<Cause>) {
    let at = "spec.conversion";
    let webhook = &conversion["webhook"];
    match text(conversion, "strategy") {
        "Webhook" => {
            let config = &webhook["clientConfig"];
            if config.is_null() {
                let detail = "required when strategy is set to Webhook";
                causes.push(Cause::required(format!("{at}.webhookClientConfig"), detail));
            } else {
                crate::admission::client_config(config, &format!("{at}.webhookClientConfig"), causes);
            }
            let versions = texts(&webhook["conversionReviewVersions"]);
            if versions.is_empty() {
                causes.push(Cause::required(format!("{at}.conversionReviewVersions"), ""));
            } else if !versions.iter().any(|version| REVIEW_VERSIONS.contains(&version.as_str())) {
                causes.push(Cause::invalid(
                    format!("{at}.conversionReviewVersions"),
                    &json!(versions),
                    "must include at least one of v1, v1beta1",
                ));
            }
        }
        "None" => {
            if webhook.is_object() {
                let detail = "should not be set when strategy is not set to Webhook";
                causes.push(Cause::forbidden(format!("{at}.webhookClientConfig"), detail));
            }
        }
        "" => causes.push(Cause::required(format!("{at}.strategy"), "")),
        _ => causes.push(Cause::not_supported(format!("{at}.strategy"), &conversion["strategy"], &["None", "Webhook"])),
    }
}

fn versions(spec: &Value, causes: &mut Vec<Cause>) {
    let versions = spec["versions"].as_array().map_or(&[][..], Vec::as_slice);
    for (index, version) in versions.iter().enumerate() {
        let at = format!("spec.versions[{index}]");
        if !is_label(text(version, "name")) {
            causes.push(Cause::invalid(format!("{at}.name"), &version["name"], LABEL_1035));
        }
        let warning = &version["deprecationWarning"];
        if !warning.is_null() && version["deprecated"] != true {
            let detail = "can only be set for deprecated versions";
            causes.push(Cause::invalid(format!("{at}.deprecationWarning"), warning, detail));
        } else if let Some(text) = warning.as_str() {
            if text.len() > 256 {
                let detail = "must be <= 256 characters long";
                causes.push(Cause::invalid(format!("{at}.deprecationWarning"), warning, detail));
            } else if text.is_empty() {
                let detail = "must not be an empty string";
                causes.push(Cause::invalid(format!("{at}.deprecationWarning"), warning, detail));
            }
        }
        let schema = &version["schema"]["openAPIV3Schema"];
        if schema.is_null() {
            causes.push(Cause::required(format!("{at}.schema.openAPIV3Schema"), ""));
        } else {
            let node = schema_problems(schema, &at, causes);
            selectable(version, &node, &at, causes);
        }
        scale(&version["subresources"]["scale"], &format!("{at}.subresources"), causes);
        for (index, column) in version["additionalPrinterColumns"].as_array().into_iter().flatten().enumerate() {
            self::column(column, &format!("{at}.additionalPrinterColumns[{index}]"), causes);
        }
    }
    let mut seen: Vec<&str> = versions.iter().map(|version| text(version, "name")).collect();
    seen.sort_unstable();
    if seen.windows(2).any(|pair| pair[0] == pair[1]) {
        causes.push(Cause::invalid("spec.versions", &spec["versions"], "must contain unique version names"));
    }
    if versions.iter().filter(|version| version["storage"] == true).count() != 1 {
        causes.push(Cause::invalid(
            "spec.versions",
            &spec["versions"],
            "must have exactly one version marked as storage version",
        ));
    }
}

fn schema_problems(schema: &Value, at: &str, causes: &mut Vec<Cause>) -> Node {
    let at = format!("{at}.schema.openAPIV3Schema");
    let place = |field: &str| if field.is_empty() { at.clone() } else { format!("{at}.{field}") };
    if schema["nullable"] == true {
        causes.push(Cause::forbidden(place("nullable"), "nullable cannot be true at the root"));
    }
    let (node, problems) = crd::read(schema);
    let broken = !problems.is_empty();
    causes.extend(problems.into_iter().map(|problem| Cause { field: place(&problem.field), ..problem }));
    if !broken {
        let (_, problems) = rules::compile(&node);
        causes.extend(problems.into_iter().map(|problem| Cause {
            reason: "FieldValueInvalid",
            message: format!("Invalid value: {}: {}", problem.shown, problem.message.replace("<nil>", &at)),
            field: place(&problem.path),
        }));
    }
    node
}

fn selectable(version: &Value, node: &Node, at: &str, causes: &mut Vec<Cause>) {
    let fields = version["selectableFields"].as_array().map_or(&[][..], Vec::as_slice);
    let mut seen: Vec<String> = Vec::new();
    for (index, field) in fields.iter().enumerate() {
        let here = format!("{at}.selectableFields[{index}].jsonPath");
        let path = text(field, "jsonPath");
        if path.is_empty() {
            causes.push(Cause::required(here, ""));
            continue;
        }
        let found = if path.contains('[') {
            Err("array notation is not allowed".to_owned())
        } else {
            rules::field_path(path, node)
        };
        match found {
            Err(error) => causes.push(Cause::invalid(here, &path.into(), &format!("is an invalid path: {error}"))),
            Ok(found) => {
                if found.starts_with("metadata") {
                    causes.push(Cause::invalid(&here, &path.into(), "must not point to fields in metadata"));
                }
                let end = found.split('.').try_fold(node, |node, name| node.field(name));
                if !end.is_some_and(|end| matches!(end.kind, Kind::String | Kind::Boolean | Kind::Integer)) {
                    let detail = "must point to a field of type string, boolean or integer. Enum string fields and strings with formats are allowed.";
                    causes.push(Cause::invalid(&here, &path.into(), detail));
                }
                if seen.contains(&found) {
                    causes.push(Cause::duplicate(here, &path.into()));
                } else {
                    seen.push(found);
                }
            }
        }
    }
    if seen.len() > MAX_SELECTABLE {
        causes.push(Cause::too_many(format!("{at}.selectableFields"), seen.len() as u64, MAX_SELECTABLE as u64));
    }
}

fn scale(scale: &Value, at: &str, causes: &mut Vec<Cause>) {
    if !scale.is_object() {
        return;
    }
    for (name, roots) in [
        ("specReplicasPath", &[".spec."][..]),
        ("statusReplicasPath", &[".status."]),
        ("labelSelectorPath", &[".spec.", ".status."]),
    ] {
        let (path, field) = (text(scale, name), format!("{at}.scale.{name}"));
        if path.is_empty() {
            if name != "labelSelectorPath" {
                causes.push(Cause::required(field, ""));
            }
        } else if !path.starts_with('.') {
            causes.push(Cause::invalid(field, &path.into(), "must be a simple json path starting with ."));
        } else if !roots.iter().any(|root| path.starts_with(root)) {
            let detail = match name {
                "specReplicasPath" => "should be a json path under .spec",
                "statusReplicasPath" => "should be a json path under .status",
                _ => "should be a json path under either .spec or .status",
            };
            causes.push(Cause::invalid(field, &path.into(), detail));
        }
    }
}

fn column(column: &Value, at: &str, causes: &mut Vec<Cause>) {
    if text(column, "name").is_empty() {
        causes.push(Cause::required(format!("{at}.name"), ""));
    }
    let one_of = |list: &[&str]| format!("must be one of {}", list.join(","));
    match text(column, "type") {
        "" => causes.push(Cause::required(format!("{at}.type"), &one_of(&COLUMN_TYPES))),
        kind if COLUMN_TYPES.contains(&kind) => {}
        _ => causes.push(Cause::invalid(format!("{at}.type"), &column["type"], &one_of(&COLUMN_TYPES))),
    }
    let format = text(column, "format");
    if !format.is_empty() && !COLUMN_FORMATS.contains(&format) {
        causes.push(Cause::invalid(format!("{at}.format"), &column["format"], &one_of(&COLUMN_FORMATS)));
    }
    let path = text(column, "jsonPath");
    if path.is_empty() {
        causes.push(Cause::required(format!("{at}.JSONPath"), ""));
    } else if !path.starts_with('.') {
        let detail = "must be a simple json path starting with .";
        causes.push(Cause::invalid(format!("{at}.JSONPath"), &path.into(), detail));
    } else if let Err(error) = schema::jsonpath::Path::parse(path) {
        causes.push(Cause::invalid(format!("{at}.JSONPath"), &path.into(), &error.reason));
    }
}

fn immutable(old: &Value, spec: &Value, causes: &mut Vec<Cause>) {
    let mut same = |path: &str, old: &Value, new: &Value| {
        if old != new {
            causes.push(Cause::invalid(path, new, "field is immutable"));
        }
    };
    let before = &old["spec"];
    same("spec.group", &before["group"], &spec["group"]);
    same("spec.names.plural", &before["names"]["plural"], &spec["names"]["plural"]);
    let established = old["status"]["conditions"]
        .as_array()
        .into_iter()
        .flatten()
        .any(|condition| condition["type"] == "Established" && condition["status"] == "True");
    if established {
        same("spec.scope", &before["scope"], &spec["scope"]);
        same("spec.names.kind", &before["names"]["kind"], &spec["names"]["kind"]);
    }
}

/// A version that objects may still be stored at must stay.
fn stored(value: &Value, causes: &mut Vec<Cause>) {
    let stored = texts(&value["status"]["storedVersions"]);
    let names: Vec<&str> =
        value["spec"]["versions"].as_array().into_iter().flatten().map(|version| text(version, "name")).collect();
    if stored.is_empty() && !value["status"]["conditions"].is_null() {
        causes.push(Cause::invalid("status.storedVersions", &json!([]), "must have at least one stored version"));
    }
    for (index, version) in stored.iter().enumerate() {
        if !names.contains(&version.as_str()) {
            let detail = format!(
                "missing from spec.versions; {version} was previously a storage version, and must remain in spec.versions until a storage migration ensures no data remains persisted in {version} and removes {version} from status.storedVersions"
            );
            causes.push(Cause::invalid(format!("status.storedVersions[{index}]"), &version.clone().into(), &detail));
        }
    }
}
