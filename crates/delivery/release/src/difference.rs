//! What changes between two manifests, for people: one unified difference for each object.
//!
//! Values of Secrets are never shown, only that they change.

use std::{collections::BTreeMap, fmt::Write as _};

use gotmpl::{Value, yaml};
use similar::TextDiff;

/// How much of what stays is shown around a change.
#[derive(Clone, Copy, Debug)]
pub struct Context(pub usize);

/// One object that changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// `Deployment shop/web (apps/v1)`.
    pub object: String,
    /// What happens to it.
    pub kind: Kind,
    /// The unified difference of its text.
    pub text: String,
}

/// What happens to an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It is new.
    Added,
    /// It goes.
    Removed,
    /// It changes.
    Changed,
}

impl Kind {
    /// Returns the word that people read.
    pub fn word(self) -> &'static str {
        match self {
            Kind::Added => "is added",
            Kind::Removed => "is removed",
            Kind::Changed => "changes",
        }
    }
}

/// Compares two manifests; objects without a namespace are in `namespace`.
pub fn between(old: &str, new: &str, namespace: &str, context: Context) -> Vec<Change> {
    let (old, new) = (objects(old, namespace), objects(new, namespace));
    let ids: std::collections::BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    let mut changes = Vec::new();
    for id in ids {
        let (kind, before, after) = match (old.get(id), new.get(id)) {
            (None, Some(after)) => (Kind::Added, None, Some(after)),
            (Some(before), None) => (Kind::Removed, Some(before), None),
            (before, after) => (Kind::Changed, before, after),
        };
        if before == after {
            continue;
        }
        let (before, after) = shown(before, after);
        let text = TextDiff::from_lines(&before, &after).unified_diff().context_radius(context.0).to_string();
        changes.push(Change { object: id.clone(), kind, text });
    }
    changes
}

/// Returns the changes as `diff -u` would show them, with a line for each object.
pub fn text(changes: &[Change]) -> String {
    let mut out = String::new();
    for change in changes {
        let _infallible = write!(out, "{} {}:\n{}", change.object, change.kind.word(), change.text);
    }
    out
}

/// The objects of a manifest by what they are called, each as its own text.
fn objects(manifest: &str, namespace: &str) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    for text in helm::split_manifests(manifest) {
        let object = yaml::read_lenient(text).unwrap_or(Value::Nil);
        let field = |value: &Value, key: &str| value.get(key).and_then(|value| value.as_str().map(str::to_owned));
        let metadata = object.get("metadata").unwrap_or(Value::Nil);
        let of = |value: &Value, key: &str| field(value, key).unwrap_or_default();
        let namespace = field(&metadata, "namespace").unwrap_or_else(|| namespace.to_owned());
        let kind = of(&object, "kind");
        if kind.is_empty() {
            continue;
        }
        let id = format!("{kind} {namespace}/{} ({})", of(&metadata, "name"), of(&object, "apiVersion"));
        let without_source = text.lines().filter(|line| !line.starts_with("# Source: "));
        let mut body: String = without_source.flat_map(|line| [line.trim_end(), "\n"]).collect();
        if body.is_empty() {
            body.push('\n');
        }
        all.insert(id, body);
    }
    all
}

/// The two texts of one object, with what a Secret holds covered.
fn shown(before: Option<&String>, after: Option<&String>) -> (String, String) {
    let read = |text: Option<&String>| text.map(|text| yaml::read_lenient(text).unwrap_or(Value::Nil));
    let (old, new) = (read(before), read(after));
    let is_secret = |value: &Option<Value>| {
        value.as_ref().and_then(|value| value.get("kind")).is_some_and(|kind| kind.as_str() == Some("Secret"))
    };
    if !is_secret(&old) && !is_secret(&new) {
        return (before.cloned().unwrap_or_default(), after.cloned().unwrap_or_default());
    }
    let cover = |own: &Option<Value>, other: &Option<Value>, word: &str| {
        let Some(own) = own else { return String::new() };
        let own = own.deep_copy();
        for part in ["data", "stringData"] {
            let Some(values) = own.get(part) else { continue };
            let others = other.as_ref().and_then(|other| other.get(part)).unwrap_or(Value::Nil);
            let Some(entries) = values.as_map() else { continue };
            for (key, value) in entries.borrow_mut().iter_mut() {
                let size = value.as_str().map_or(0, str::len);
                let same = others.get(key).is_some_and(|other| other.as_str() == value.as_str());
                let which = if same { "" } else { word };
                *value = Value::str(format!("<{size} characters, not shown>{which}"));
            }
        }
        yaml::write(&own)
    };
    (cover(&old, &new, " (before)"), cover(&new, &old, " (after)"))
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    #[test]
    fn each_object_has_its_own_difference_and_order_does_not_matter() {
        let old = "---\n# Source: a\nkind: ConfigMap\napiVersion: v1\nmetadata:\n  name: a\ndata:\n  x: 1\n  y: 2\n---\n\
                   apiVersion: v1\nkind: Service\nmetadata:\n  name: gone\n";
        let new = "---\napiVersion: v1\nkind: Pod\nmetadata:\n  name: p\n  namespace: other\n---\n# Source: b\n\
                   kind: ConfigMap\napiVersion: v1\nmetadata:\n  name: a\ndata:\n  x: 1\n  y: 3\n";
        expect![[r"
            ConfigMap shop/a (v1) changes:
            @@ -4,4 +4,4 @@
               name: a
             data:
               x: 1
            -  y: 2
            +  y: 3
            Pod other/p (v1) is added:
            @@ -0,0 +1,5 @@
            +apiVersion: v1
            +kind: Pod
            +metadata:
            +  name: p
            +  namespace: other
            Service shop/gone (v1) is removed:
            @@ -1,4 +0,0 @@
            -apiVersion: v1
            -kind: Service
            -metadata:
            -  name: gone
        "]]
        .assert_eq(&text(&between(old, new, "shop", Context(3))));
        assert_eq!(between(old, old, "shop", Context(3)), []);
    }

    #[test]
    fn what_a_secret_holds_is_not_shown() {
        let secret = |value: &str, other: &str| {
            format!("kind: Secret\napiVersion: v1\nmetadata:\n  name: s\nstringData:\n  a: {value}\n  b: {other}\n")
        };
        let shown = text(&between(&secret("hunter2", "same"), &secret("swordfi", "same"), "n", Context(0)));
        expect![[r"
            Secret n/s (v1) changes:
            @@ -6 +6 @@
            -  a: <7 characters, not shown> (before)
            +  a: <7 characters, not shown> (after)
        "]]
        .assert_eq(&shown);
    }
}
