//! Which definitions are accepted: the rules of `apiextensions.k8s.io/v1`, in Kubernetes' words.

use expressions::{
    rules::{self, Fault, Limits, Notation},
    schemas::Place,
};
use schema::{
    crd::{self, Read},
    model::{Kind, Node},
    validate::Cause,
};
use serde_json::{Value, json};

use super::{
    internal::{self, AtRoot, Internal},
    text, texts,
};

const COLUMN_TYPES: [&str; 5] = ["boolean", "date", "integer", "number", "string"];
const COLUMN_FORMATS: [&str; 8] = ["byte", "date", "date-time", "double", "float", "int32", "int64", "password"];
const REVIEW_VERSIONS: [&str; 2] = ["v1", "v1beta1"];

const NAMES: &str = "spec.names";

/// How many fields of a version may be selectable.
const MAX_SELECTABLE: usize = 8;

pub(super) const LABEL_1035: &str = "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')";

/// Checks a definition by the rules of `apiextensions.k8s.io/v1`.
pub(crate) fn validate(value: &Value, old: Option<&Value>, causes: &mut Vec<Cause>) {
    let spec = &value["spec"];
    let names = &spec["names"];
    let wanted = format!("{}.{}", text(names, "plural"), text(spec, "group"));
    if old.is_none() && text(&value["metadata"], "name") != wanted {
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
    naming(names, NAMES, causes);
    naming(&value["status"]["acceptedNames"], "status.acceptedNames", causes);
    conversion(&spec["conversion"], causes);
    if let Some(old) = old.filter(|old| is_established(old)) {
        authority(&spec["conversion"], &old["spec"]["conversion"], causes);
    }
    let internal = Internal::of(spec);
    versions(spec, &internal.versions, causes);
    schemas(&internal, old, causes);
    if let Some(old) = old {
        immutable(old, spec, causes);
    }
    // What only the status says, whoever writes it knows.
    if old.is_none_or(|old| old["spec"] != *spec) {
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
    let approval = super::names::approval(value);
    // What was said before is let be.
    let said = old.is_some_and(|old| super::names::approval(old) == approval);
    if !super::names::is_protected(group) || said {
        return;
    }
    let field = format!("metadata.annotations[{ANNOTATION}]");
    match approval {
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

pub(super) fn is_label(text: &str) -> bool {
    base::names::is_dns_label(text) && text.starts_with(|letter: char| letter.is_ascii_lowercase())
}

/// Checks the names that a definition asks for, or those that it has.
fn naming(names: &Value, at: &str, causes: &mut Vec<Cause>) {
    for name in ["plural", "singular", "kind", "listKind"] {
        let found = text(names, name);
        if found.is_empty() {
            if at == NAMES {
                causes.push(Cause::required(format!("{at}.{name}"), ""));
            }
            continue;
        }
        let mixed = matches!(name, "kind" | "listKind");
        if !is_label(&if mixed { found.to_lowercase() } else { found.to_owned() }) {
            let detail = if mixed {
                format!("may have mixed case, but should otherwise match: {LABEL_1035}")
            } else {
                LABEL_1035.to_owned()
            };
            causes.push(Cause::invalid(format!("{at}.{name}"), &found.into(), &detail));
        }
    }
    for list in ["shortNames", "categories"] {
        for (index, found) in texts(&names[list]).into_iter().enumerate() {
            if !is_label(&found) {
                causes.push(Cause::invalid(format!("{at}.{list}[{index}]"), &found.into(), LABEL_1035));
            }
        }
    }
    if !text(names, "kind").is_empty() && names["kind"] == names["listKind"] {
        let detail = "kind and listKind may not be the same";
        causes.push(Cause::invalid(format!("{at}.listKind"), &names["listKind"], detail));
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
            review_versions(&webhook["conversionReviewVersions"], &format!("{at}.conversionReviewVersions"), causes);
        }
        strategy => {
            match strategy {
                "" => causes.push(Cause::required(format!("{at}.strategy"), "")),
                "None" => {}
                _ => {
                    let supported = ["None", "Webhook"];
                    causes.push(Cause::not_supported(format!("{at}.strategy"), &conversion["strategy"], &supported));
                }
            }
            let detail = "should not be set when strategy is not set to Webhook";
            if webhook["clientConfig"].is_object() {
                causes.push(Cause::forbidden(format!("{at}.webhookClientConfig"), detail));
            }
            if !texts(&webhook["conversionReviewVersions"]).is_empty() {
                causes.push(Cause::forbidden(format!("{at}.conversionReviewVersions"), detail));
            }
        }
    }
}

/// Checks what a webhook is known by, once its kinds are served; what was wrong before may stay so.
fn authority(conversion: &Value, before: &Value, causes: &mut Vec<Cause>) {
    use base64::Engine;
    let problem = |conversion: &Value| {
        let bundle = conversion["webhook"]["clientConfig"]["caBundle"].as_str().filter(|bundle| !bundle.is_empty())?;
        let bytes = base64::engine::general_purpose::STANDARD.decode(bundle).ok()?;
        crate::admission::bundle_problem(&bytes)
    };
    if conversion["strategy"] != "Webhook" || problem(before).is_some() {
        return;
    }
    if let Some(why) = problem(conversion) {
        let bundle = &conversion["webhook"]["clientConfig"]["caBundle"];
        causes.push(Cause::invalid("spec.conversion.webhookClientConfig.caBundle", bundle, &why));
    }
}

fn is_established(definition: &Value) -> bool {
    let conditions = definition["status"]["conditions"].as_array().into_iter().flatten();
    conditions.into_iter().any(|condition| condition["type"] == "Established" && condition["status"] == "True")
}

fn review_versions(given: &Value, at: &str, causes: &mut Vec<Cause>) {
    let versions = texts(given);
    if versions.is_empty() {
        causes.push(Cause::required(at, ""));
        return;
    }
    for (index, version) in versions.iter().enumerate() {
        if versions[..index].contains(version) {
            causes.push(Cause::invalid(format!("{at}[{index}]"), &version.as_str().into(), "duplicate version"));
        } else if !is_label(version) {
            causes.push(Cause::invalid(format!("{at}[{index}]"), &version.as_str().into(), LABEL_1035));
        }
    }
    if !versions.iter().any(|version| REVIEW_VERSIONS.contains(&version.as_str())) {
        causes.push(Cause::invalid(at, &json!(versions), "must include at least one of v1, v1beta1"));
    }
}

/// Checks what stands in each version alone. `versions` are those of the internal form.
fn versions(spec: &Value, versions: &[Value], causes: &mut Vec<Cause>) {
    for (index, version) in versions.iter().enumerate() {
        let at = format!("spec.versions[{index}]");
        if !is_label(text(version, "name")) {
            let mut refuse = |field: String| causes.push(Cause::invalid(field, &version["name"], LABEL_1035));
            refuse(format!("{at}.name"));
            // The first one's name stands once more.
            if index == 0 && !text(version, "name").is_empty() {
                refuse("spec.version".to_owned());
            }
        }
        deprecation(version, &at, causes);
    }
    let mut refuse = |detail: &str| {
        // An absent list is empty in the API's own form.
        let shown = if spec["versions"].is_array() { internal::versions(versions) } else { "null".to_owned() };
        causes.push(Cause {
            reason: "FieldValueInvalid",
            message: format!("Invalid value: {shown}: {detail}"),
            field: "spec.versions".to_owned(),
        });
    };
    let mut seen: Vec<&str> = versions.iter().map(|version| text(version, "name")).collect();
    seen.sort_unstable();
    if seen.windows(2).any(|pair| pair[0] == pair[1]) {
        refuse("must contain unique version names");
    }
    if versions.iter().filter(|version| version["storage"] == true).count() != 1 {
        refuse("must have exactly one version marked as storage version");
    }
}

fn deprecation(version: &Value, at: &str, causes: &mut Vec<Cause>) {
    let given = &version["deprecationWarning"];
    let mut refuse = |detail: &str| causes.push(Cause::invalid(format!("{at}.deprecationWarning"), given, detail));
    let Some(warning) = given.as_str() else { return };
    if version["deprecated"] != true {
        return refuse("can only be set for deprecated versions");
    }
    if warning.len() > 256 {
        refuse("must be <= 256 characters long");
    }
    if warning.is_empty() {
        refuse("must not be an empty string");
    }
    // As in Go, a space is the one blank that is printed.
    let hidden = |letter: char| letter.is_control() || (letter.is_whitespace() && letter != ' ');
    if let Some((at, _)) = warning.char_indices().find(|(_, letter)| hidden(*letter)) {
        refuse(&format!("must only contain printable UTF-8 characters; non-printable character found at index {at}"));
    }
}

/// Finds the defaults that break the rules of their own places.
fn default_rules(node: &Node, at: &str, place: Place, causes: &mut Vec<Cause>) {
    let validator = node.default.as_ref().and_then(|_| rules::compile_at(node, place).0);
    if let (Some(default), Some(validator)) = (&node.default, validator) {
        // It takes the place of itself, and of nothing.
        let mut found = validator.validate(default, Some(default)).causes;
        if found.is_empty() {
            found = validator.validate(default, None).causes;
        }
        causes.extend(found.into_iter().map(|cause| {
            let field = match cause.field.as_str() {
                "<nil>" => format!("{at}.default"),
                field => format!("{at}.default.{field}"),
            };
            Cause { field, ..cause }
        }));
    }
    for (name, field) in &node.properties {
        default_rules(field, &format!("{at}.properties[{name}]"), Place::Inner, causes);
    }
    if let Kind::Array(items) = &node.kind {
        default_rules(items, &format!("{at}.items"), Place::Inner, causes);
    }
}

/// Checks schemas and what is said beside them, where all versions have them alike and in each version.
fn schemas(internal: &Internal, old: Option<&Value>, causes: &mut Vec<Cause>) {
    let whole = json!({"schema": internal.validation, "subresources": internal.subresources,
        "additionalPrinterColumns": internal.columns, "selectableFields": internal.selectable});
    let unchanged = |name: &str, schema: &Value| {
        let before =
            old.and_then(|old| old["spec"]["versions"].as_array()?.iter().find(|version| version["name"] == name));
        before.is_some_and(|before| before["schema"]["openAPIV3Schema"] == *schema)
    };
    let shared = internal.validation["openAPIV3Schema"].is_object();
    let places = std::iter::once(("spec".to_owned(), &whole)).chain(
        internal.versions.iter().enumerate().map(|(index, version)| (format!("spec.versions[{index}]"), version)),
    );
    let first = internal.versions.first().map_or("", |version| text(version, "name"));
    let any_status = [&whole].into_iter().chain(&internal.versions).any(has_status);
    for (at, version) in places {
        let alone = at != "spec";
        let schema = &version["schema"]["openAPIV3Schema"];
        let path = format!("{at}.{}", if alone { "schema" } else { "validation" });
        let mut node = None;
        if schema.is_object() {
            let name = if alone { text(version, "name") } else { first };
            let limits = if unchanged(name, schema) { Limits::Total } else { Limits::All };
            let status = if alone { has_status(version) || has_status(&whole) } else { any_status };
            node = Some(schema_problems(schema, &format!("{path}.openAPIV3Schema"), status, limits, causes));
        } else if alone && !shared {
            causes.push(Cause::required(format!("{path}.openAPIV3Schema"), ""));
        }
        selectable(version, node.as_ref(), &at, causes);
        scale(&version["subresources"]["scale"], &format!("{at}.subresources"), causes);
        for (index, column) in version["additionalPrinterColumns"].as_array().into_iter().flatten().enumerate() {
            self::column(column, &format!("{at}.additionalPrinterColumns[{index}]"), causes);
        }
    }
}

fn has_status(version: &Value) -> bool {
    version["subresources"]["status"].is_object()
}

fn schema_problems(schema: &Value, at: &str, status: bool, limits: Limits, causes: &mut Vec<Cause>) -> Node {
    let place = |field: &str| if field.is_empty() { at.to_owned() } else { format!("{at}.{field}") };
    match status.then(|| internal::forbidden_at_root(schema)).flatten() {
        Some(AtRoot::Type) => {
            let detail =
                "only \"object\" is allowed as the type at the root of the schema if the status subresource is enabled";
            causes.push(Cause::invalid(place("type"), &text(schema, "type").into(), detail));
        }
        Some(AtRoot::Field(detail)) => causes.push(Cause {
            reason: "FieldValueInvalid",
            message: format!("Invalid value: {}: {detail}", internal::schema(schema)),
            field: place(""),
        }),
        None => {}
    }
    if schema["nullable"] == true {
        causes.push(Cause::forbidden(place("nullable"), "nullable cannot be true at the root"));
    }
    let Read { node, problems, structural } = crd::read(schema);
    if structural {
        let broken: Vec<String> = problems.iter().map(|problem| problem.field.clone()).collect();
        let found = rules::review(&node, &broken, limits);
        causes.extend(found.into_iter().map(|problem| {
            let message = match problem.message.strip_suffix(" within <nil>") {
                Some(start) => format!("{start} within {at}"),
                None => problem.message.replace(" within properties", &format!(" within {at}.properties")),
            };
            let (reason, message) = match problem.fault {
                Fault::Invalid(shown) => ("FieldValueInvalid", format!("Invalid value: {shown}: {message}")),
                Fault::Forbidden => ("FieldValueForbidden", format!("Forbidden: {message}")),
                Fault::Internal => ("InternalError", format!("Internal error: {message}")),
            };
            Cause { reason, message, field: place(&problem.path) }
        }));
        default_rules(&node, at, Place::Root, causes);
    }
    causes.extend(problems.into_iter().map(|problem| Cause { field: place(&problem.field), ..problem }));
    node
}

fn selectable(version: &Value, node: Option<&Node>, at: &str, causes: &mut Vec<Cause>) {
    let fields = version["selectableFields"].as_array().map_or(&[][..], Vec::as_slice);
    if fields.is_empty() {
        return;
    }
    // As Kubernetes has it: versions that select differently may not have one schema alike.
    let Some(node) = node else {
        let detail = if at == "spec" {
            "may only be set when validations.schema is included"
        } else {
            "may only be set when `version.schema.openAPIV3Schema` is not included"
        };
        causes.push(Cause::invalid(format!("{at}.selectableFields"), &json!(""), detail));
        return;
    };
    let mut seen: Vec<String> = Vec::new();
    for (index, field) in fields.iter().enumerate() {
        let here = format!("{at}.selectableFields[{index}].jsonPath");
        let path = text(field, "jsonPath");
        if path.is_empty() {
            causes.push(Cause::required(here, ""));
            continue;
        }
        match rules::field_path(path, node, Notation::Dots) {
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
    if is_established(old) {
        same("spec.scope", &before["scope"], &spec["scope"]);
        same("spec.names.kind", &before["names"]["kind"], &spec["names"]["kind"]);
    }
}

/// A version that objects may still be stored at must stay.
fn stored(value: &Value, causes: &mut Vec<Cause>) {
    const AT: &str = "status.storedVersions";
    let stored = texts(&value["status"]["storedVersions"]);
    let versions = value["spec"]["versions"].as_array().map_or(&[][..], Vec::as_slice);
    if stored.is_empty() {
        causes.push(Cause::invalid(AT, &Value::Null, "must have at least one stored version"));
        return;
    }
    let is_stored = |version: &&Value| stored.iter().any(|name| name == text(version, "name"));
    for version in versions.iter().filter(|version| version["storage"] == true).filter(|version| !is_stored(version)) {
        let detail = format!("must have the storage version {}", text(version, "name"));
        causes.push(Cause::invalid(AT, &json!(stored), &detail));
    }
    for (index, name) in stored.iter().enumerate() {
        if !versions.iter().any(|version| text(version, "name") == name) {
            let detail = format!(
                "missing from spec.versions; {name} was previously a storage version, and must remain in spec.versions until a storage migration ensures no data remains persisted in {name} and removes {name} from status.storedVersions"
            );
            causes.push(Cause::invalid(format!("{AT}[{index}]"), &name.clone().into(), &detail));
        }
    }
}
