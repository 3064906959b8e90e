//! Which objects, where and in which order. Pure.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::{self, Write},
};

use serde_json::{Map, Value};

use crate::{Done, Error, Outcome, Refusal};

/// The longest name that most kinds take.
const LABEL: usize = 63;
/// How many characters make a name another's.
const MARK: usize = 6;

/// Version and kind of an object.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Kind {
    pub(crate) api_version: String,
    pub(crate) kind: String,
}

/// How an API server serves a kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Served {
    pub(crate) plural: String,
    pub(crate) namespaced: bool,
    /// It is not served yet: the template defines it.
    pub(crate) defined_here: bool,
}

/// An object that says what it is.
#[derive(Clone, Debug)]
pub(crate) struct Named {
    pub(crate) kind: Kind,
    namespace: String,
    name: String,
    object: Value,
}

/// An object with its place in the cluster.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    kind: Kind,
    pub(crate) plural: String,
    namespaced: bool,
    pub(crate) defined_here: bool,
    /// Empty if it lives in none.
    pub(crate) namespace: String,
    pub(crate) name: String,
    pub(crate) object: Value,
}

impl fmt::Display for Named {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} ({})", self.kind.kind, self.name, self.kind.api_version)
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.namespace.is_empty() {
            return write!(f, "{} {}", self.kind.kind, self.name);
        }
        write!(f, "{} {}/{}", self.kind.kind, self.namespace, self.name)
    }
}

/// Reads what the objects are; all mistakes are told at once.
pub(crate) fn read(objects: &[Value]) -> Result<Vec<Named>, Error> {
    let (mut named, mut mistakes) = (Vec::new(), Vec::new());
    let mut seen = BTreeSet::new();
    for (index, object) in objects.iter().enumerate() {
        let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
        let one = Named {
            kind: Kind { api_version: text("/apiVersion"), kind: text("/kind") },
            namespace: text("/metadata/namespace"),
            name: text("/metadata/name"),
            object: object.clone(),
        };
        let missing = [("apiVersion", &one.kind.api_version), ("kind", &one.kind.kind), ("metadata.name", &one.name)];
        let missing: Vec<&str> =
            missing.into_iter().filter(|(_, value)| value.is_empty()).map(|(field, _)| field).collect();
        if !missing.is_empty() {
            mistakes.push(format!("objects[{index}] has no {}", missing.join(", no ")));
        } else if !seen.insert((one.kind.clone(), one.namespace.clone(), one.name.clone())) {
            mistakes.push(format!("objects[{index}]: {one} is there already"));
        }
        named.push(one);
    }
    if objects.is_empty() {
        mistakes.push("the template has no objects".to_owned());
    }
    if mistakes.is_empty() { Ok(named) } else { Err(Error::Objects { reason: mistakes.join("; ") }) }
}

/// Returns the kinds that definitions among the objects bring.
pub(crate) fn defined(named: &[Named]) -> BTreeMap<Kind, Served> {
    let mut kinds = BTreeMap::new();
    for one in named.iter().filter(|one| one.kind.kind == "CustomResourceDefinition") {
        let spec = &one.object["spec"];
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        for version in spec["versions"].as_array().into_iter().flatten() {
            let kind = Kind {
                api_version: format!("{}/{}", text(&spec["group"]), text(&version["name"])),
                kind: text(&spec["names"]["kind"]),
            };
            let served = Served {
                plural: text(&spec["names"]["plural"]),
                namespaced: spec["scope"] == "Namespaced",
                defined_here: true,
            };
            kinds.insert(kind, served);
        }
    }
    kinds
}

/// Gives each object its place: namespaces and definitions first, the rest in the template's order.
pub(crate) fn steps(named: Vec<Named>, namespace: &str, kinds: &BTreeMap<Kind, Served>) -> Vec<Step> {
    let mut steps: Vec<Step> = named
        .into_iter()
        .filter_map(|one| {
            let served = kinds.get(&one.kind)?.clone();
            let namespace = match (served.namespaced, one.namespace.is_empty()) {
                (false, _) => String::new(),
                (true, true) => namespace.to_owned(),
                (true, false) => one.namespace,
            };
            let mut object = one.object;
            if served.namespaced {
                object["metadata"]["namespace"] = namespace.clone().into();
            }
            let Served { plural, namespaced, defined_here } = served;
            Some(Step { kind: one.kind, plural, namespaced, defined_here, namespace, name: one.name, object })
        })
        .collect();
    steps.sort_by_key(|step| match step.kind.kind.as_str() {
        "Namespace" => 0,
        "CustomResourceDefinition" => 1,
        _ => 2,
    });
    steps
}

impl Step {
    pub(crate) fn is_namespace(&self) -> bool {
        self.kind.kind == "Namespace" && self.kind.api_version == "v1"
    }

    pub(crate) fn is_definition(&self) -> bool {
        self.kind.kind == "CustomResourceDefinition"
    }

    /// Returns the API group.
    pub(crate) fn group(&self) -> &str {
        self.kind.api_version.split_once('/').map_or("", |(group, _)| group)
    }

    /// Returns whether a refusal passes by itself: what was made just now is not known everywhere yet.
    pub(crate) fn comes_late(&self, refusal: &Refusal) -> bool {
        match refusal.code {
            404 => self.defined_here,
            403 => self.kind.kind == "Pod" && refusal.message.contains("service account"),
            _ => false,
        }
    }

    /// Returns the path of the object.
    pub(crate) fn path(&self) -> String {
        self.path_of(&self.namespace, &self.name)
    }

    /// Returns the path that the object would have there.
    pub(crate) fn path_of(&self, namespace: &str, name: &str) -> String {
        let root = if self.kind.api_version.contains('/') { "apis" } else { "api" };
        let place = if self.namespaced { format!("namespaces/{}/", encoded(namespace)) } else { String::new() };
        format!("/{root}/{}/{place}{}/{}", self.kind.api_version, self.plural, encoded(name))
    }

    pub(crate) fn done(&self, outcome: Outcome) -> Done {
        Done {
            api_version: self.kind.api_version.clone(),
            kind: self.kind.kind.clone(),
            namespace: self.namespace.clone(),
            name: self.name.clone(),
            outcome,
        }
    }
}

/// Returns a name that is as good or bad as `name`, and nobody's: `mark` makes it another.
pub(crate) fn stand_in(name: &str, mark: &str) -> String {
    let mark: String = mark.chars().take(MARK).collect();
    let count = name.chars().count();
    // One that is too long stays so, one that is as long as it may be does not become so.
    let kept = if count <= LABEL { count.min(LABEL - MARK) } else { count };
    name.chars().take(kept).chain(mark.chars()).collect()
}

/// Returns what an object says, without what every write changes and without its status.
pub(crate) fn content(object: &Value) -> Value {
    let fields = object.as_object().into_iter().flatten().filter(|(name, _)| name.as_str() != "status");
    let mut content: Map<String, Value> = fields.map(|(name, value)| (name.clone(), value.clone())).collect();
    if let Some(metadata) = content.get_mut("metadata").and_then(Value::as_object_mut) {
        for noise in ["resourceVersion", "managedFields", "generation"] {
            metadata.remove(noise);
        }
    }
    Value::Object(content)
}

/// Writes a text as one segment of a path.
fn encoded(text: &str) -> String {
    let mut path = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~' | b':') {
            path.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            let _infallible = write!(path, "%{byte:02X}");
        }
    }
    path
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object(version: &str, kind: &str, namespace: &str, name: &str) -> Value {
        let mut object = json!({"apiVersion": version, "kind": kind, "metadata": {"name": name}});
        if !namespace.is_empty() {
            object["metadata"]["namespace"] = namespace.into();
        }
        object
    }

    fn served(kinds: &[(&str, &str, &str, bool)]) -> BTreeMap<Kind, Served> {
        let one = |(version, kind, plural, namespaced): &(&str, &str, &str, bool)| {
            let kind = Kind { api_version: (*version).to_owned(), kind: (*kind).to_owned() };
            (kind, Served { plural: (*plural).to_owned(), namespaced: *namespaced, defined_here: false })
        };
        kinds.iter().map(one).collect()
    }

    #[test]
    fn namespaces_and_definitions_come_first_and_the_rest_in_order() {
        let objects = [
            object("apps/v1", "Deployment", "", "b"),
            object("v1", "Service", "other", "a"),
            object("apiextensions.k8s.io/v1", "CustomResourceDefinition", "", "c"),
            object("v1", "Namespace", "", "n:1"),
        ];
        let kinds = served(&[
            ("apps/v1", "Deployment", "deployments", true),
            ("v1", "Service", "services", true),
            ("apiextensions.k8s.io/v1", "CustomResourceDefinition", "customresourcedefinitions", false),
            ("v1", "Namespace", "namespaces", false),
        ]);
        let steps = steps(read(&objects).unwrap(), "mine", &kinds);
        let paths: Vec<String> = steps.iter().map(Step::path).collect();
        assert_eq!(
            paths,
            [
                "/api/v1/namespaces/n:1",
                "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/c",
                "/apis/apps/v1/namespaces/mine/deployments/b",
                "/api/v1/namespaces/other/services/a",
            ]
        );
        assert_eq!(steps[2].object["metadata"]["namespace"], "mine", "it is told its place");
        assert!(steps[0].object["metadata"]["namespace"].is_null());
    }

    #[test]
    fn every_mistake_of_the_objects_is_told_at_once() {
        for (objects, reason) in [
            (vec![], "the template has no objects"),
            (
                vec![json!({"kind": "Pod"}), json!({"apiVersion": "v1", "metadata": {"name": "x"}})],
                "objects[0] has no apiVersion, no metadata.name; objects[1] has no kind",
            ),
            (
                vec![object("v1", "Pod", "", "a"), object("v1", "Pod", "b", "a"), object("v1", "Pod", "", "a")],
                "objects[2]: Pod a (v1) is there already",
            ),
        ] {
            let error = read(&objects).unwrap_err().to_string();
            assert_eq!(error, format!("nothing was applied: {reason}"));
        }
    }

    #[test]
    fn a_definition_among_the_objects_says_how_its_kinds_will_be_served() {
        let mut crd = object("apiextensions.k8s.io/v1", "CustomResourceDefinition", "", "crops.farm.example");
        crd["spec"] = json!({"group": "farm.example", "scope": "Namespaced", "names": {"kind": "Crop", "plural": "crops"},
            "versions": [{"name": "v1"}, {"name": "v2"}]});
        let kinds = defined(&read(&[crd]).unwrap());
        let names: Vec<&str> = kinds.keys().map(|kind| kind.api_version.as_str()).collect();
        assert_eq!(names, ["farm.example/v1", "farm.example/v2"]);
        assert!(kinds.values().all(|served| served.plural == "crops" && served.namespaced && served.defined_here));
    }

    #[test]
    fn a_stand_in_is_as_long_as_names_may_be_and_as_wrong_as_its_model() {
        for (name, length) in [("orders", 12), (&"a".repeat(60)[..], 63), (&"a".repeat(63)[..], 63)] {
            let other = stand_in(name, "0123456789");
            assert_eq!((other.len(), other != name), (length, true), "{other}");
        }
        assert!(stand_in(&"a".repeat(64), "0123456789").len() > 64);
        assert_eq!(stand_in("Not_Right", "0123456789"), "Not_Right012345");
    }

    #[test]
    fn a_name_is_one_segment_of_a_path() {
        assert_eq!(encoded("system:a/b?c%"), "system:a%2Fb%3Fc%25");
    }
}
