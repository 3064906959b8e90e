//! A resource and what the build remembers of it.
//!
//! kustomize remembers in annotations that it takes off in the end; here they stand beside the
//! tree, and the few places where they show are told so.

use std::rc::Rc;

use crate::{
    fail::{Cause, Fail, Step},
    id::{Id, effective},
    path::set_field,
    schema::Kinds,
    yaml::{Map, Node, Scalar, Tag},
};

/// Annotations of kustomize's own that no output carries.
const INTERNAL: &str = "internal.config.kubernetes.io/";
const BUILD: &[&str] = &[
    "internal.config.kubernetes.io/previousKinds",
    "internal.config.kubernetes.io/previousNames",
    "internal.config.kubernetes.io/prefixes",
    "internal.config.kubernetes.io/suffixes",
    "internal.config.kubernetes.io/previousNamespaces",
    "internal.config.kubernetes.io/allowNameChange",
    "internal.config.kubernetes.io/allowKindChange",
    "internal.config.kubernetes.io/refBy",
    "internal.config.kubernetes.io/generatorBehavior",
    "internal.config.kubernetes.io/needsHashSuffix",
    "internal.config.kubernetes.io/path",
    "internal.config.kubernetes.io/index",
    "internal.config.kubernetes.io/seqindent",
    "internal.config.kubernetes.io/id",
    "internal.config.kubernetes.io/annotations-migration-resource-id",
    "config.kubernetes.io/path",
    "config.kubernetes.io/index",
    "config.k8s.io/id",
    "internal.config.kubernetes.io/helm-generated",
];
/// Where a resource came from.
pub(crate) const ORIGIN: &str = "config.kubernetes.io/origin";
/// What changed a resource.
pub(crate) const TRANSFORMATIONS: &str = "alpha.config.kubernetes.io/transformations";

/// What a generator does about a resource that is there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Behavior {
    #[default]
    Unspecified,
    Create,
    Replace,
    Merge,
}

impl Behavior {
    pub(crate) fn read(text: &str) -> Self {
        match text {
            "replace" => Behavior::Replace,
            "merge" => Behavior::Merge,
            "create" => Behavior::Create,
            _ => Behavior::Unspecified,
        }
    }

    pub(crate) fn word(self) -> &'static str {
        match self {
            Behavior::Unspecified => "unspecified",
            Behavior::Create => "create",
            Behavior::Replace => "replace",
            Behavior::Merge => "merge",
        }
    }
}

/// A name that a resource had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Previous {
    pub(crate) kind: Rc<str>,
    pub(crate) name: Rc<str>,
    pub(crate) namespace: Rc<str>,
}

/// What the build remembers of a resource.
#[derive(Clone, Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub(crate) struct Memory {
    pub(crate) previous: Vec<Previous>,
    pub(crate) prefixes: Vec<Rc<str>>,
    pub(crate) suffixes: Vec<Rc<str>>,
    pub(crate) needs_hash: bool,
    pub(crate) behavior: Behavior,
    pub(crate) name_change: bool,
    pub(crate) kind_change: bool,
    pub(crate) from_helm: bool,
    /// Annotations that kustomize would have made exist.
    pub(crate) annotated: bool,
    pub(crate) vars: Vec<Rc<str>>,
    /// How many groups of places were set together.
    pub(crate) groups: u16,
}

/// A resource.
#[derive(Clone, Debug)]
pub(crate) struct Resource {
    pub(crate) node: Node,
    memory: Rc<Memory>,
}

impl Resource {
    pub(crate) fn new(node: Node) -> Self {
        let mut resource = Self { node, memory: empty_memory() };
        resource.read_memory();
        resource
    }

    pub(crate) fn memory(&self) -> &Memory {
        &self.memory
    }

    pub(crate) fn memory_mut(&mut self) -> &mut Memory {
        Rc::make_mut(&mut self.memory)
    }

    /// Takes over what was remembered of another resource.
    pub(crate) fn take_memory(&mut self, other: &Resource) {
        self.memory = other.memory.clone();
    }

    pub(crate) fn forget(&mut self) {
        let vars = self.memory.vars.clone();
        let groups = self.memory.groups;
        self.memory = Rc::new(Memory { vars, groups, ..Memory::default() });
    }

    pub(crate) fn kind(&self) -> &str {
        self.node.get("kind").map_or("", Node::value)
    }

    pub(crate) fn api(&self) -> &str {
        self.node.get("apiVersion").map_or("", Node::value)
    }

    fn meta(&self, field: &str) -> Option<&Scalar> {
        self.node.get("metadata")?.get(field)?.as_scalar().filter(|scalar| scalar.tag != Tag::Null)
    }

    pub(crate) fn name(&self) -> Rc<str> {
        self.meta("name").map_or_else(|| "".into(), |name| name.value.clone())
    }

    pub(crate) fn namespace(&self) -> Rc<str> {
        self.meta("namespace").map_or_else(|| "".into(), |namespace| namespace.value.clone())
    }

    pub(crate) fn id(&self, kinds: &Kinds) -> Id {
        let scalar = |name: &str| self.node.get(name).and_then(Node::as_scalar).map(|scalar| scalar.value.clone());
        let (api, kind) = (scalar("apiVersion").unwrap_or_default(), scalar("kind").unwrap_or_default());
        let written = self.namespace();
        let namespace = effective(&written, kinds.is_cluster(&api, &kind));
        Id { api, kind, name: self.name(), namespace, written }
    }

    /// Returns the ids that it had, the oldest first.
    pub(crate) fn previous_ids(&self) -> impl Iterator<Item = Id> + '_ {
        let api: Rc<str> =
            self.node.get("apiVersion").and_then(Node::as_scalar).map(|s| s.value.clone()).unwrap_or_default();
        self.memory.previous.iter().map(move |previous| Id {
            api: api.clone(),
            kind: previous.kind.clone(),
            name: previous.name.clone(),
            namespace: effective(&previous.namespace, false),
            written: previous.namespace.clone(),
        })
    }

    /// Returns the id it had first.
    pub(crate) fn original_id(&self, kinds: &Kinds) -> Id {
        self.previous_ids().next().unwrap_or_else(|| self.id(kinds))
    }

    pub(crate) fn remember_id(&mut self, kinds: &Kinds) {
        let id = self.id(kinds);
        let memory = self.memory_mut();
        memory.annotated = true;
        memory.previous.push(Previous { kind: id.kind, name: id.name, namespace: id.namespace });
    }

    pub(crate) fn set_name(&mut self, name: &str) {
        if let Some(meta) = crate::path::map_at(&mut self.node, &["metadata"]) {
            set_field(meta, "name", Node::bare(name));
        }
    }

    pub(crate) fn set_namespace(&mut self, namespace: &str) {
        if namespace.is_empty() {
            if self.node.get("metadata").is_some_and(|meta| meta.get("namespace").is_some())
                && let Some(meta) = crate::path::map_at(&mut self.node, &["metadata"])
            {
                meta.remove("namespace");
            }
        } else if let Some(meta) = crate::path::map_at(&mut self.node, &["metadata"]) {
            set_field(meta, "namespace", Node::bare(namespace));
        }
    }

    pub(crate) fn set_top(&mut self, field: &str, value: &str) {
        if let Some(map) = self.node.as_map_mut() {
            set_field(map, field, Node::bare(value));
        }
    }

    /// Returns labels or annotations as text by name.
    pub(crate) fn strings(&self, field: &str) -> Vec<(Rc<str>, Rc<str>)> {
        let Some(map) = self.node.get("metadata").and_then(|meta| meta.get(field)).and_then(Node::as_map) else {
            return Vec::new();
        };
        map.entries
            .iter()
            .map(|(key, value)| {
                let text = value.as_scalar().map_or_else(|| "".into(), |scalar| scalar.value.clone());
                (key.text.clone(), text)
            })
            .collect()
    }

    /// Sets labels or annotations anew, sorted; none take the field away.
    pub(crate) fn set_strings(&mut self, field: &str, mut strings: Vec<(Rc<str>, Rc<str>)>) {
        let Some(meta) = crate::path::map_at(&mut self.node, &["metadata"]) else { return };
        meta.remove(field);
        if strings.is_empty() {
            return;
        }
        strings.sort();
        let mut map = Map::default();
        for (key, value) in strings {
            set_field(&mut map, &key, Node::text(value));
        }
        meta.push(field, Node::Map(Rc::new(map)));
    }

    /// Returns an annotation.
    pub(crate) fn annotation(&self, name: &str) -> Option<&str> {
        self.node.get("metadata")?.get("annotations")?.get(name).map(Node::value)
    }

    /// Sets or takes away an annotation; all of them are text afterwards.
    pub(crate) fn set_annotation(&mut self, name: &str, value: Option<&str>) {
        let mut all = self.strings("annotations");
        all.retain(|(key, _)| &**key != name);
        all.extend(value.map(|value| (name.into(), value.into())));
        self.set_strings("annotations", all);
    }

    /// Starts a group of places that are written together from here on.
    pub(crate) fn new_group(&mut self) -> u16 {
        let memory = self.memory_mut();
        memory.groups = memory.groups.saturating_add(1);
        memory.groups
    }

    /// Writes to all places of a group what was written to one of them last.
    pub(crate) fn settle(&mut self) {
        if self.memory.groups == 0 {
            return;
        }
        let mut written: Vec<(u16, Scalar)> = Vec::new();
        collect_written(&self.node, &mut written);
        if !written.is_empty() {
            spread(&mut self.node, &written);
        }
    }

    /// Reads what another kustomize left in annotations.
    fn read_memory(&mut self) {
        let internal = self.strings("annotations");
        if !internal.iter().any(|(key, _)| key.starts_with(INTERNAL)) {
            return;
        }
        let get = |name: &str| {
            internal.iter().find(|(key, _)| key.strip_prefix(INTERNAL) == Some(name)).map(|(_, value)| value.clone())
        };
        let list = |name: &str| -> Vec<Rc<str>> {
            get(name).map(|text| text.split(',').map(Into::into).collect()).unwrap_or_default()
        };
        let (names, spaces, kinds) = (list("previousNames"), list("previousNamespaces"), list("previousKinds"));
        let enabled = |name: &str| get(name).is_some_and(|value| &*value == "enabled");
        let memory = Memory {
            previous: if names.len() == spaces.len() && names.len() == kinds.len() {
                names
                    .into_iter()
                    .zip(spaces)
                    .zip(kinds)
                    .map(|((name, namespace), kind)| Previous { kind, name, namespace })
                    .collect()
            } else {
                Vec::new()
            },
            prefixes: list("prefixes"),
            suffixes: list("suffixes"),
            needs_hash: enabled("needsHashSuffix"),
            behavior: get("generatorBehavior").map(|text| Behavior::read(&text)).unwrap_or_default(),
            name_change: enabled("allowNameChange"),
            kind_change: enabled("allowKindChange"),
            from_helm: get("helm-generated").is_some_and(|value| &*value == "true"),
            ..Memory::default()
        };
        self.memory = Rc::new(memory);
    }

    /// Takes off what only the build needs: `keep` says whether origins and transformations stay.
    pub(crate) fn finish(&mut self, keep_origin: bool, keep_transformations: bool) {
        if self.node.get("metadata").is_none()
            && let Some(map) = self.node.as_map_mut()
        {
            map.push("metadata", Node::map(Vec::new()));
        }
        let Some(annotations) = self.node.get("metadata").and_then(|meta| meta.get("annotations")) else { return };
        let leaves = |key: &str| {
            BUILD.contains(&key) || (!keep_origin && key == ORIGIN) || (!keep_transformations && key == TRANSFORMATIONS)
        };
        let untouched = annotations.as_map().is_some_and(|map| {
            !map.entries.is_empty()
                && map.entries.iter().all(|(key, value)| {
                    !leaves(&key.text) && !key.odd && value.as_scalar().is_some_and(|value| value.tag == Tag::Str)
                })
        });
        if untouched {
            return;
        }
        let mut strings = self.strings("annotations");
        if strings.is_empty() && keep_origin && keep_transformations {
            return;
        }
        strings.retain(|(key, _)| !leaves(key));
        self.set_strings("annotations", strings);
    }
}

fn empty_memory() -> Rc<Memory> {
    thread_local! {
        static EMPTY: Rc<Memory> = Rc::new(Memory::default());
    }
    EMPTY.with(Rc::clone)
}

fn collect_written(node: &Node, written: &mut Vec<(u16, Scalar)>) {
    match node {
        Node::Scalar(scalar) if scalar.written => {
            written.retain(|(group, _)| *group != scalar.group);
            written.push((scalar.group, Scalar { written: false, ..scalar.clone() }));
        }
        Node::Scalar(_) => {}
        Node::Seq(seq) => seq.items.iter().for_each(|item| collect_written(item, written)),
        Node::Map(map) => {
            // The order in which patches write.
            let mut order: Vec<usize> = (0..map.entries.len()).collect();
            order.sort_by(|a, b| map.entries[*a].0.text.cmp(&map.entries[*b].0.text));
            for at in order {
                collect_written(&map.entries[at].1, written);
            }
        }
    }
}

fn has_group(node: &Node) -> bool {
    match node {
        Node::Scalar(scalar) => scalar.group != 0,
        Node::Seq(seq) => seq.items.iter().any(has_group),
        Node::Map(map) => map.entries.iter().any(|(_, value)| has_group(value)),
    }
}

fn spread(node: &mut Node, written: &[(u16, Scalar)]) {
    if !has_group(node) {
        return;
    }
    match node {
        Node::Scalar(scalar) => {
            if let Some((_, new)) = written.iter().find(|(group, _)| *group == scalar.group) {
                *scalar = new.clone();
            }
        }
        Node::Seq(seq) => Rc::make_mut(seq).items.iter_mut().for_each(|item| spread(item, written)),
        Node::Map(map) => Rc::make_mut(map).entries.iter_mut().for_each(|(_, value)| spread(value, written)),
    }
}

/// Returns `Kind.version.group/name.namespace` of a tree.
pub(crate) fn id_text(node: &Node) -> String {
    let meta = |field: &str| node.get("metadata").and_then(|meta| meta.get(field)).map_or("", Node::value);
    let or = |text: &str, none: &str| if text.is_empty() { none.to_owned() } else { text.to_owned() };
    let gvk =
        crate::id::Gvk::of(node.get("apiVersion").map_or("", Node::value), node.get("kind").map_or("", Node::value));
    format!("{gvk}/{}.{}", or(meta("name"), "[noName]"), or(meta("namespace"), "[noNs]"))
}

/// Reads all resources of a text; lists are taken apart.
pub(crate) fn read_all(text: &str) -> Step<Vec<Resource>> {
    use crate::yaml::read::{Repeated, document, split};
    let pieces = split(text).map_err(|text| Fail::new(Cause::Yaml, text))?;
    let single = pieces.len() == 1;
    let mut nodes = Vec::new();
    for (line, piece) in pieces {
        let node = document(&piece, Repeated::Refused).map_err(|mut error| {
            error.line += line;
            Fail { malformed: true, ..Fail::new(Cause::Yaml, format!("MalformedYAMLError: {error}")) }
        })?;
        let Some(node) = node.filter(|node| !node.is_null()) else { continue };
        let kind = node.get("kind").map_or("", Node::value);
        if single
            && matches!(kind, "List" | "ResourceList")
            && (node.get("items").is_some() || node.get("functionConfig").is_some())
        {
            nodes.extend(node.get("items").and_then(Node::as_seq).unwrap_or_default().iter().cloned());
            continue;
        }
        nodes.push(node);
    }
    let nodes = check(nodes)?;
    Ok(unroll(nodes)?.into_iter().map(Resource::new).collect())
}

fn check(nodes: Vec<Node>) -> Step<Vec<Node>> {
    let mut good = Vec::with_capacity(nodes.len());
    for node in nodes {
        if node.is_nil_or_empty() {
            continue;
        }
        validate(&node)?;
        good.push(node);
    }
    Ok(good)
}

/// `GetValidatedMetadata`.
fn validate(node: &Node) -> Step<()> {
    let fail = |text: String| Err(Fail::new(Cause::Yaml, text));
    let top = |field: &str| node.get(field).filter(|value| !value.is_nil_or_empty());
    let meta = top("metadata");
    let part = |field: &str| meta.and_then(|meta| meta.get(field)).filter(|value| !value.is_nil_or_empty());
    let (api, kind) = (top("apiVersion").map_or("", Node::value), top("kind").map_or("", Node::value));
    let (name, namespace) = (part("name").map_or("", Node::value), part("namespace").map_or("", Node::value));
    if api.is_empty()
        && kind.is_empty()
        && ["name", "namespace", "labels", "annotations"].iter().all(|f| part(f).is_none())
    {
        return fail("missing Resource metadata".to_owned());
    }
    let shown = || {
        let map = |field: &str| {
            let mut entries: Vec<String> = part(field)
                .and_then(Node::as_map)
                .into_iter()
                .flat_map(|map| map.entries.iter().map(|(key, value)| format!("{}:{}", key.text, value.value())))
                .collect();
            entries.sort();
            format!("map[{}]", entries.join(" "))
        };
        format!("{{{{{api} {kind}}} {{{{{name} {namespace}}} {} {}}}}}", map("labels"), map("annotations"))
    };
    if kind.is_empty() {
        return fail(format!("missing kind in object {}", shown()));
    }
    if !kind.ends_with("List") && name.is_empty() {
        return fail(format!("missing metadata.name in object {}", shown()));
    }
    Ok(())
}

fn unroll(nodes: Vec<Node>) -> Step<Vec<Node>> {
    let mut out = Vec::with_capacity(nodes.len());
    let mut queue: std::collections::VecDeque<Node> = nodes.into();
    while let Some(node) = queue.pop_front() {
        let kind = node.get("kind").map_or("", Node::value);
        if !kind.ends_with("List") {
            out.push(node);
            continue;
        }
        match node.get("items") {
            None => out.push(node),
            Some(items) if items.is_null() => {}
            Some(Node::Seq(seq)) => queue.extend(check(seq.items.clone())?),
            Some(other) => {
                let what = if other.as_map().is_some() { "map[string]interface {}" } else { "string" };
                return Err(Fail::new(Cause::Yaml, format!("expected array in {kind}/items, but found {what}")));
            }
        }
    }
    Ok(out)
}
