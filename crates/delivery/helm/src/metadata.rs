//! `Chart.yaml`: what has to stand in it.

use std::collections::BTreeSet;

use gotmpl::{Value, gofmt::quote, sprig::Version};

use super::{Error, chart::scalar_text};

/// Fills in what old charts leave out, and returns whether it is one of version 1.
pub(super) fn normalize(metadata: &mut Value) -> bool {
    if metadata.is_nil() {
        *metadata = Value::pairs::<&str>([]);
    }
    let version = text(metadata, "apiVersion");
    if version.is_empty()
        && let Some(entries) = metadata.as_map()
    {
        entries.borrow_mut().insert("apiVersion".into(), Value::str("v1"));
    }
    sanitize(metadata);
    version.is_empty() || version == "v1"
}

/// Blanks become spaces, and what cannot be printed goes.
fn sanitize(metadata: &Value) {
    let Some(entries) = metadata.as_map() else { return };
    let clean = |text: &str| {
        let kept = text.chars().filter(|c| c.is_whitespace() || !c.is_control());
        kept.map(|c| if c.is_whitespace() { ' ' } else { c }).collect::<String>()
    };
    for key in ["name", "description", "home", "icon", "condition", "tags", "appVersion", "kubeVersion"] {
        let text = entries.borrow().get(key).and_then(|value| value.as_str().map(clean));
        if let Some(text) = text {
            entries.borrow_mut().insert(key.into(), Value::str(text));
        }
    }
}

/// Lays the entries of `requirements.yaml` over those of `Chart.yaml`.
pub(super) fn lay_over(metadata: &Value, requirements: &Value) {
    if let (Some(to), Some(from)) = (metadata.as_map(), requirements.as_map()) {
        to.borrow_mut().extend(from.borrow().iter().map(|(key, value)| (key.clone(), value.clone())));
    }
}

/// Returns the text of a field where Go's type is `string`; empty if it is absent.
pub(super) fn text(value: &Value, key: &str) -> String {
    value.get(key).map(|value| scalar_text(&value)).unwrap_or_default()
}

/// Checks what Helm checks, in its order and words.
pub(super) fn validate(metadata: &Value) -> Result<(), Error> {
    let fail = |reason: String| Err(Error::Load { reason: format!("validation: {reason}") });
    let name = text(metadata, "name");
    let version = text(metadata, "version");
    if name.is_empty() {
        return fail("chart.metadata.name is required".to_owned());
    }
    if name == "." || name == ".." {
        return fail(format!("chart.metadata.name {} is not allowed", quote(&name)));
    }
    if name != gotmpl::sprig::base(&name) {
        return fail(format!("chart.metadata.name {} is invalid", quote(&name)));
    }
    if version.is_empty() {
        return fail("chart.metadata.version is required".to_owned());
    }
    if Version::parse(&version).is_err() {
        return fail(format!("chart.metadata.version {} is invalid", quote(&version)));
    }
    if !matches!(text(metadata, "type").as_str(), "" | "application" | "library") {
        return fail("chart.metadata.type must be application or library".to_owned());
    }
    if items(metadata, "maintainers").iter().any(Value::is_nil) {
        return fail("maintainers must not contain empty or null nodes".to_owned());
    }
    let mut seen = BTreeSet::new();
    for dependency in items(metadata, "dependencies") {
        if dependency.is_nil() {
            return fail("dependencies must not contain empty or null nodes".to_owned());
        }
        let (name, alias) = (text(&dependency, "name"), text(&dependency, "alias"));
        let fits = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        if !alias.chars().all(fits) {
            return fail(format!("dependency {} has disallowed characters in the alias", quote(&name)));
        }
        let key = if alias.is_empty() { name } else { alias };
        if !seen.insert(key.clone()) {
            return fail(format!("more than one dependency with name or alias {}", quote(&key)));
        }
    }
    Ok(())
}

/// Returns the items of a list; none if it is absent.
pub(super) fn items(metadata: &Value, key: &str) -> Vec<Value> {
    metadata.get(key).and_then(|value| value.items()).map(|items| items.to_vec()).unwrap_or_default()
}
