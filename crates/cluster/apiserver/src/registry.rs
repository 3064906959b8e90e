//! The table of kinds: everything the server knows of a kind stands in its
//! [`Resource`], so that one handler serves them all, built-in and custom.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use schema::{
    jsonpath,
    model::{self, Node},
    validate::Cause,
};
use serde_json::Value;

use crate::{status::Failure, store::Entry};

/// Group, version and kind.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Gvk {
    /// API group; empty for the core group.
    pub group: String,
    /// Version, for example `v1`.
    pub version: String,
    /// Kind, for example `Pod`.
    pub kind: String,
}

impl Gvk {
    /// Returns `group/version`, or the version alone for the core group.
    pub(crate) fn api_version(&self) -> String {
        if self.group.is_empty() { self.version.clone() } else { format!("{}/{}", self.group, self.version) }
    }
}

/// What stands behind a subresource.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Subresource {
    /// `status`: writes change `.status` alone.
    Status,
    /// `scale`, with the paths of its parts in the object.
    Scale {
        /// Path of the wanted count, for example `.spec.replicas`.
        spec: Vec<String>,
        /// Path of the count that exists.
        status: Vec<String>,
        /// Path of the selector's text or `LabelSelector`.
        selector: Option<Vec<String>>,
    },
    /// `pods/log`.
    Log,
    /// `pods/binding`.
    Binding,
    /// `pods/eviction`.
    Eviction,
    /// `namespaces/finalize`.
    Finalize,
    /// `serviceaccounts/token`.
    Token,
    /// `certificatesigningrequests/approval`: writes change `.status.conditions` alone.
    Approval,
    /// A request that is handed on with its connection.
    Connect(Connect),
}

/// Where a request is handed on to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Connect {
    /// To a command in a container.
    Exec,
    /// To a container's own streams.
    Attach,
    /// To ports of a pod.
    PortForward,
    /// To a server in a pod, as HTTP.
    PodProxy,
    /// To a server behind a Service, as HTTP.
    ServiceProxy,
    /// To a node's own API, as HTTP.
    NodeProxy,
}

impl Connect {
    /// Returns the kind of its options.
    pub(crate) fn options_kind(self) -> &'static str {
        match self {
            Connect::Exec => "PodExecOptions",
            Connect::Attach => "PodAttachOptions",
            Connect::PortForward => "PodPortForwardOptions",
            Connect::PodProxy => "PodProxyOptions",
            Connect::ServiceProxy => "ServiceProxyOptions",
            Connect::NodeProxy => "NodeProxyOptions",
        }
    }

    /// Returns whether it hands on HTTP of any method.
    pub(crate) fn is_proxy(self) -> bool {
        matches!(self, Connect::PodProxy | Connect::ServiceProxy | Connect::NodeProxy)
    }
}

/// Writes to a status leave the metadata as it is.
pub(crate) const ALL_METADATA: &[&str] = &["labels", "annotations", "finalizers", "ownerReferences"];

/// The verbs of a kind that is stored.
pub(crate) const VERBS: &[&str] = &["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"];

/// What an object's name may look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NameRule {
    /// A DNS subdomain.
    Subdomain,
    /// A DNS label.
    Label,
    /// Anything that can be one segment of a path.
    Segment,
}

/// How a version that is not the stored one reads and writes what is stored.
#[derive(Clone, Copy)]
pub(crate) struct Conversion {
    /// Returns a stored object as this version shows it.
    pub read: fn(Value) -> Value,
    /// Returns an object of this version as it is stored.
    pub write: fn(Value) -> Value,
}

/// A review that is answered and not stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Review {
    /// `TokenReview`.
    Token,
    /// `SubjectAccessReview`.
    Subject,
    /// `LocalSubjectAccessReview`.
    LocalSubject,
    /// `SelfSubjectAccessReview`.
    OwnAccess,
    /// `SelfSubjectRulesReview`.
    OwnRules,
    /// `SelfSubjectReview`.
    OwnSelf,
}

/// Figures that the connected node measures, and nobody stores.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Measured {
    /// What nodes use.
    Nodes,
    /// What pods use.
    Pods,
}

/// How an object lets somebody do something: its writer must be able to do it too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Grants {
    /// It holds rules.
    Role,
    /// It gives a role's rules to somebody.
    Binding,
}

/// A column of a table.
#[derive(Clone, Debug)]
pub(crate) struct Column {
    /// Heading.
    pub name: String,
    /// `string`, `integer`, `date`, …
    pub kind: String,
    /// `name` for what names the object, or empty.
    pub format: String,
    /// Shown only with `-o wide` if above 0.
    pub priority: i64,
    /// Where the cell's value comes from.
    pub cell: Cell,
}

/// Where a cell's value comes from.
#[derive(Clone, Debug)]
pub(crate) enum Cell {
    /// A path in the object.
    Path(jsonpath::Path),
    /// A path to a time, shown as age.
    Age(jsonpath::Path),
    /// A function of the object.
    Of(fn(&Value) -> Value),
    /// A function of the object and of now.
    At(fn(&Value, jiff::Timestamp) -> Value),
}

/// What is decided about an object of a kind by rules that its schema cannot say.
#[derive(Clone, Copy)]
pub(crate) struct Rules {
    /// Fills in what is not given.
    pub default: fn(&mut Value),
    /// Checks a new object, or (with the old one) a changed one.
    pub validate: fn(&Value, Option<&Value>, &mut Vec<Cause>),
    /// Sets what only the server may set when an object is created.
    pub create: fn(&mut Value),
    /// Writes into a new object who asked for it.
    pub asked_by: fn(&crate::rbac::User, &mut Value),
    /// Takes from the old object what a write to the object itself may not change, its status aside.
    pub keep: fn(&Value, &mut Value),
    /// Settles what a write to a part of the object (its name) brings, by the old object.
    pub settle: fn(&Value, &mut Value, &str),
    /// Says what the creator of an object that is fine should know.
    pub warn: fn(&Value) -> Vec<String>,
}

impl Rules {
    /// No rules.
    pub(crate) const NONE: Rules = Rules {
        default: |_| {},
        validate: |_, _, _| {},
        create: |_| {},
        asked_by: |_, _| {},
        keep: |_, _| {},
        settle: |_, _, _| {},
        warn: |_| Vec::new(),
    };
}

impl Default for Rules {
    fn default() -> Self {
        Rules::NONE
    }
}

/// A webhook between a version and the stored one.
#[derive(Clone)]
pub(crate) struct Converts {
    /// Where it is.
    pub config: Value,
    /// The stored version.
    pub stored: Arc<Resource>,
}

/// One kind in one version.
#[derive(Clone)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of a kind, as in the specification")]
pub(crate) struct Resource {
    /// What it is.
    pub gvk: Gvk,
    /// `group/version`, as objects carry it.
    pub api_version: String,
    /// Plural name, as in paths.
    pub plural: String,
    /// Singular name.
    pub singular: String,
    /// Name of the list's kind.
    pub list_kind: String,
    /// Short names.
    pub short: Vec<String>,
    /// Categories (`all`).
    pub categories: Vec<String>,
    /// Lives in a namespace.
    pub namespaced: bool,
    /// The version that objects are stored at (`group/version`), and the plural they are stored under.
    pub storage: Storage,
    /// How this version reads and writes what is stored, if it is not the stored one and differs in more than its name.
    pub conversion: Option<Conversion>,
    /// The verbs that discovery names.
    pub verbs: &'static [&'static str],
    /// What names may look like.
    pub name: NameRule,
    /// What an object looks like.
    pub node: Arc<Node>,
    /// Objects are shown with the defaults of the schema: they may be stored since before those were there.
    pub defaults: bool,
    /// Name of the built-in type, if it is one.
    pub type_name: Option<&'static str>,
    /// The metadata that a write to the status leaves as it is.
    pub status_keeps: &'static [&'static str],
    /// Subresources by name.
    pub subresources: BTreeMap<&'static str, Subresource>,
    /// Columns of a table, after the name.
    pub columns: Vec<Column>,
    /// Fields that field selectors may name, beside `metadata.name` and `metadata.namespace`.
    pub selectable: Vec<String>,
    /// Fields of them that stand elsewhere in the object: the first of these places that holds something.
    pub elsewhere: &'static [(&'static str, &'static [&'static str])],
    /// Rules that the schema cannot say.
    pub rules: Rules,
    /// Has a `metadata.generation`, which begins with 1.
    pub generation: bool,
    /// Returns whether a change counts in `metadata.generation`.
    pub counts: fn(&Value, &Value) -> bool,
    /// Deletion waits for whoever runs it (pods).
    pub graceful: bool,
    /// Objects are given an address of the service range.
    pub addressed: bool,
    /// Objects define kinds themselves: the table is made anew when one changes.
    pub defines_kinds: bool,
    /// Objects say how many requests are worked on at once, and for whom.
    pub divides_seats: bool,
    /// A custom resource: unknown fields are pruned by its schema, strategic merge patch is refused.
    pub custom: bool,
    /// Lets somebody do something.
    pub grants: Option<Grants>,
    /// Its objects hold secrets: none of them gets into the audit log.
    pub confidential: bool,
    /// An update of what is not there creates it.
    pub created_by_updates: bool,
    /// A deletion answers with the object, where other kinds answer with a `Status`.
    pub returns_deleted: bool,
    /// An update need not say which state it saw.
    pub unconditional: bool,
    /// The rules of a definition's schema.
    pub validator: Option<Arc<expressions::rules::Validator>>,
    /// What to warn of whoever uses this version.
    pub deprecation: Option<String>,
    /// What converts this version to the stored one and back.
    pub converts: Option<Converts>,
    /// Its definition is being deleted: nothing new is taken.
    pub terminating: bool,
    /// A review: `create` alone, nothing is stored.
    pub review: Option<Review>,
    /// Its objects are what the connected node measures: they are read alone.
    pub measured: Option<Measured>,
}

/// Where the objects of a kind lie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Storage {
    /// Group in keys; `core` for the core group.
    pub group: String,
    /// Version that is stored.
    pub version: String,
}

impl Resource {
    /// Returns the key prefix of all its objects, with a slash at the end.
    pub(crate) fn prefix(&self) -> String {
        format!("{}/{}/", self.storage.group, self.plural)
    }

    /// Returns `group/plural`, the name that the store keeps its changes under.
    pub(crate) fn ring(&self) -> String {
        format!("{}/{}", self.storage.group, self.plural)
    }

    /// Returns the key of one object. `namespace` is empty for cluster-scoped kinds.
    pub(crate) fn key(&self, namespace: &str, name: &str) -> String {
        format!("{}/{}/{namespace}/{name}", self.storage.group, self.plural)
    }

    /// Returns `plural.group`, as messages name it (`plural` for the core group).
    pub(crate) fn qualified(&self) -> String {
        if self.gvk.group.is_empty() { self.plural.clone() } else { format!("{}.{}", self.plural, self.gvk.group) }
    }

    /// Returns the group that its rules belong to: that of the stored form.
    pub(crate) fn group_of_rules(&self) -> &str {
        if self.storage.group == "core" { "" } else { &self.gvk.group }
    }

    /// Returns `Kind.group`, as `Invalid` messages name it.
    pub(crate) fn qualified_kind(&self) -> String {
        match self.group_of_rules() {
            "" => self.gvk.kind.clone(),
            group => format!("{}.{group}", self.gvk.kind),
        }
    }

    /// Returns whether this is the version that is stored, so that stored bytes are an answer as they are.
    pub(crate) fn is_stored_form(&self) -> bool {
        self.conversion.is_none() && self.storage.version == self.gvk.version && !self.defaults
    }

    /// Returns whether the stored bytes of an object are an answer as they are: an earlier storage version of a custom
    /// kind may have left it.
    pub(crate) fn is_as_stored(&self, entry: &Entry) -> bool {
        // The store writes the version first.
        let begins = || {
            let rest = entry.bytes.strip_prefix(b"{\"apiVersion\":\"")?;
            rest.strip_prefix(self.api_version.as_bytes())?.strip_prefix(b"\"")
        };
        self.is_stored_form() && (!self.custom || begins().is_some())
    }

    /// Returns whether its status is written by the subresource alone.
    pub(crate) fn has_status(&self) -> bool {
        self.subresources.contains_key("status")
    }
}

/// All kinds served at one moment.
#[derive(Clone, Default)]
pub(crate) struct Registry {
    resources: HashMap<(String, String, String), Arc<Resource>>,
}

impl Registry {
    /// Returns a registry of `resources`; of two with one path the first stays.
    pub(crate) fn new(resources: impl IntoIterator<Item = Arc<Resource>>) -> Registry {
        let mut registry = Registry::default();
        for resource in resources {
            let key = (resource.gvk.group.clone(), resource.gvk.version.clone(), resource.plural.clone());
            registry.resources.entry(key).or_insert(resource);
        }
        registry
    }

    /// Returns the kind at `group/version/plural`.
    pub(crate) fn get(&self, group: &str, version: &str, plural: &str) -> Option<&Arc<Resource>> {
        self.resources.get(&(group.to_owned(), version.to_owned(), plural.to_owned()))
    }

    /// Returns how a path that leads nowhere is answered: below a group that is served, by that group.
    pub(crate) fn unknown(&self, path: &str) -> Failure {
        let mut parts = path.trim_start_matches('/').split('/');
        let served = match parts.next() {
            Some("api" | "version") => true,
            Some("apis") => {
                let group = parts.next().unwrap_or_default();
                self.resources.values().any(|resource| resource.gvk.group == group && !resource.custom)
            }
            _ => false,
        };
        if served && !path.contains("//") { Failure::no_such_path() } else { Failure::no_such_page() }
    }

    /// Returns whether any kind is served at `group/version`.
    pub(crate) fn has_version(&self, group: &str, version: &str) -> bool {
        self.resources.keys().any(|(g, v, _)| g == group && v == version)
    }

    /// Returns the groups with their versions (preferred first) and kinds, in a steady order.
    #[expect(clippy::type_complexity, reason = "a list of lists is what discovery is")]
    pub(crate) fn groups(&self) -> BTreeMap<&str, Vec<(&str, Vec<&Arc<Resource>>)>> {
        let mut groups: BTreeMap<&str, BTreeMap<&str, Vec<&Arc<Resource>>>> = BTreeMap::new();
        for resource in self.resources.values() {
            groups.entry(&resource.gvk.group).or_default().entry(&resource.gvk.version).or_default().push(resource);
        }
        groups
            .into_iter()
            .map(|(group, versions)| {
                let mut versions: Vec<_> = versions.into_iter().collect();
                versions.sort_by_key(|(version, _)| version_rank(version));
                for (_, resources) in &mut versions {
                    resources.sort_by(|a, b| a.plural.cmp(&b.plural));
                }
                (group, versions)
            })
            .collect()
    }

    /// Returns every kind.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Arc<Resource>> {
        self.resources.values()
    }
}

/// Orders versions as Kubernetes prefers them: v2, v1, v1beta2, v1beta1, v1alpha1, then others by name.
pub(crate) fn version_rank(version: &str) -> (u8, i64, i64, String) {
    let parse = |text: &str| -> Option<(u8, i64, i64)> {
        let rest = text.strip_prefix('v')?;
        let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let major: i64 = rest[..digits].parse().ok()?;
        let (stage, minor) = match &rest[digits..] {
            "" => (0, "0"),
            tail if tail.starts_with("beta") => (1, &tail[4..]),
            tail if tail.starts_with("alpha") => (2, &tail[5..]),
            _ => return None,
        };
        Some((stage, -major, -minor.parse::<i64>().ok()?))
    };
    parse(version).map_or((3, 0, 0, version.to_owned()), |(stage, major, minor)| (stage, major, minor, String::new()))
}

/// Returns a column that shows what stands at `path`.
pub(crate) fn path_column(name: &str, kind: &str, priority: i64, path: &str) -> Result<Column, jsonpath::Error> {
    let path = jsonpath::Path::parse(path)?;
    let cell = if kind == "date" { Cell::Age(path) } else { Cell::Path(path) };
    Ok(Column { name: name.to_owned(), kind: kind.to_owned(), format: String::new(), priority, cell })
}

/// Returns a built-in type, or a place that keeps everything if the table lacks it.
pub(crate) fn node_of(type_name: &str) -> Arc<Node> {
    Arc::new(model::builtin(type_name).cloned().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::version_rank;

    #[test]
    fn versions_are_preferred_as_kubernetes_does() {
        let mut versions = ["v1alpha1", "foo", "v1", "v2beta1", "v10", "v1beta2"];
        versions.sort_by_key(|version| version_rank(version));
        assert_eq!(versions, ["v10", "v1", "v2beta1", "v1beta2", "v1alpha1", "foo"]);
    }
}
