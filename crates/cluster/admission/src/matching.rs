//! Which requests a webhook or policy is asked about.

use schema::selector::Labels;
use serde_json::{Map, Value, json};

use crate::{items, text};

/// What a request is about, as rules see it.
#[derive(Clone, Debug, Default)]
pub struct Request<'a> {
    /// `CREATE`, `UPDATE`, `DELETE` or `CONNECT`.
    pub operation: &'a str,
    /// API group.
    pub group: &'a str,
    /// Version.
    pub version: &'a str,
    /// Kind.
    pub kind: &'a str,
    /// The kind's group, if it is another than the resource's.
    pub kind_group: &'a str,
    /// Plural name.
    pub resource: &'a str,
    /// Subresource.
    pub subresource: &'a str,
    /// Namespace; empty for what lives in none.
    pub namespace: &'a str,
    /// Name.
    pub name: &'a str,
    /// The other versions that the kind is served at.
    pub versions: Vec<&'a str>,
    /// Labels of the namespace, or of the object if that is a namespace itself.
    pub namespace_labels: Option<&'a Map<String, Value>>,
    /// The object as it would be.
    pub object: Option<&'a Value>,
    /// The object as it is.
    pub old: Option<&'a Value>,
}

/// Returns the version that a list of rules wants to see the object at, if one of them takes in the request.
pub fn version_for<'a>(rules: &Value, policy: &str, request: &Request<'a>) -> Option<&'a str> {
    let takes = |version: &str| items(rules).any(|rule| takes_in(rule, request, version));
    if takes(request.version) {
        return Some(request.version);
    }
    if policy == "Exact" {
        return None;
    }
    request.versions.iter().copied().find(|version| takes(version))
}

fn takes_in(rule: &Value, request: &Request<'_>, version: &str) -> bool {
    let any = |name: &str, wanted: &str| items(&rule[name]).any(|found| found == "*" || found == wanted);
    let scope = match text(rule, "scope") {
        "Namespaced" => !request.namespace.is_empty() && request.resource != "namespaces",
        "Cluster" => request.namespace.is_empty() || request.resource == "namespaces",
        _ => true,
    };
    let names: Vec<&str> = items(&rule["resourceNames"]).filter_map(Value::as_str).collect();
    scope
        && any("operations", request.operation)
        && any("apiGroups", request.group)
        && any("apiVersions", version)
        && items(&rule["resources"]).filter_map(Value::as_str).any(|pattern| is_resource(pattern, request))
        && (names.is_empty() || names.contains(&request.name))
}

fn is_resource(pattern: &str, request: &Request<'_>) -> bool {
    let (resource, subresource) = pattern.split_once('/').unwrap_or((pattern, ""));
    (resource == "*" || resource == request.resource)
        && (subresource == request.subresource || (subresource == "*" && pattern.contains('/')))
}

/// Returns whether the namespace and object selectors of a webhook or policy take in a request.
pub fn selected(config: &Value, request: &Request<'_>) -> bool {
    let clustered = request.namespace.is_empty() && request.resource != "namespaces";
    let by_namespace = clustered || matches(&config["namespaceSelector"], request.namespace_labels);
    let selector = &config["objectSelector"];
    let objects = [request.object, request.old];
    let mut labels = objects.into_iter().flatten().map(|object| object["metadata"]["labels"].as_object());
    by_namespace && (is_everything(selector) || labels.any(|labels| matches(selector, labels)))
}

fn is_everything(selector: &Value) -> bool {
    selector.is_null() || selector.as_object().is_some_and(Map::is_empty)
}

fn matches(selector: &Value, labels: Option<&Map<String, Value>>) -> bool {
    if is_everything(selector) {
        return true;
    }
    // A selector that makes no sense was refused when its object was written.
    matches!(Labels::from_object(selector), Ok(Some(selector)) if selector.matches(labels))
}

/// Returns the `request` variable of expressions, and what a review says of the request.
pub fn describe(request: &Request<'_>, user: &Value, dry_run: bool, version: &str) -> Value {
    let of_kind = if request.kind_group.is_empty() { request.group } else { request.kind_group };
    let mut described = json!({
        "kind": {"group": of_kind, "version": version, "kind": request.kind},
        "resource": {"group": request.group, "version": version, "resource": request.resource},
        "requestKind": {"group": of_kind, "version": request.version, "kind": request.kind},
        "requestResource": {"group": request.group, "version": request.version, "resource": request.resource},
        "operation": request.operation,
        "userInfo": user,
        "dryRun": dry_run,
    });
    for (name, value) in [
        ("name", request.name),
        ("namespace", request.namespace),
        ("subResource", request.subresource),
        ("requestSubResource", request.subresource),
    ] {
        if !value.is_empty() {
            described[name] = value.into();
        }
    }
    described
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(resources: &[&str], versions: &[&str]) -> Value {
        json!([{"operations": ["CREATE"], "apiGroups": ["apps"], "apiVersions": versions, "resources": resources}])
    }

    fn request<'a>(resource: &'a str, subresource: &'a str) -> Request<'a> {
        Request {
            operation: "CREATE",
            group: "apps",
            version: "v1",
            resource,
            subresource,
            versions: vec!["v2"],
            namespace: "a",
            ..Request::default()
        }
    }

    #[test]
    fn patterns_of_resources_take_in_what_they_say() {
        for (pattern, resource, subresource, taken) in [
            ("deployments", "deployments", "", true),
            ("deployments", "deployments", "status", false),
            ("*", "deployments", "", true),
            ("*", "deployments", "scale", false),
            ("*/*", "deployments", "scale", true),
            ("deployments/*", "deployments", "", true),
            ("*/scale", "deployments", "scale", true),
            ("*/scale", "deployments", "", false),
        ] {
            let found = version_for(&rule(&[pattern], &["*"]), "Equivalent", &request(resource, subresource));
            assert_eq!(found.is_some(), taken, "{pattern} {resource}/{subresource}");
        }
    }

    #[test]
    fn another_version_is_as_good_unless_exactly_one_is_wanted() {
        let request = request("deployments", "");
        assert_eq!(version_for(&rule(&["*"], &["v2"]), "Equivalent", &request), Some("v2"));
        assert_eq!(version_for(&rule(&["*"], &["v2"]), "Exact", &request), None);
    }

    #[test]
    fn either_the_old_or_the_new_object_is_selected() {
        let (old, new) = (json!({"metadata": {"labels": {"a": "b"}}}), json!({"metadata": {}}));
        let config = json!({"objectSelector": {"matchLabels": {"a": "b"}}});
        let request = Request { object: Some(&new), old: Some(&old), ..request("deployments", "") };
        assert!(selected(&config, &request));
        assert!(!selected(&config, &Request { old: None, ..request.clone() }));
        let labels = json!({"team": "x"});
        let config = json!({"namespaceSelector": {"matchLabels": {"team": "x"}}});
        assert!(!selected(&config, &request));
        assert!(selected(&config, &Request { namespace_labels: labels.as_object(), ..request }));
    }
}
