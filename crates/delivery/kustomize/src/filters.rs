//! Transformers that write fields: labels, annotations, names, namespaces, images, replicas.

use std::{collections::BTreeMap, rc::Rc};

use regex::Regex;

use crate::{
    fail::{Fail, Step},
    fieldspec::{Creation, FieldSpec, apply, set_entry, visit},
    parts::{Image, Replica},
    path::{set_scalar, wrong_kind},
    resmap::ResMap,
    resource::Resource,
    yaml::{Node, Scalar, Style, Tag},
};

/// Sets labels or annotations at all fields that the specifications name.
pub(crate) fn set_pairs(map: &mut ResMap, pairs: &BTreeMap<String, String>, specs: &[FieldSpec]) -> Step<()> {
    if pairs.is_empty() {
        return Ok(());
    }
    let pairs: Vec<(&str, Rc<str>)> = pairs.iter().map(|(key, value)| (key.as_str(), value.as_str().into())).collect();
    for resource in map.list_mut() {
        for (key, value) in &pairs {
            set_pair(resource, key, value, specs)?;
        }
        resource.settle();
    }
    Ok(())
}

/// Places that get an entry new are one from then on: writing one of them writes all.
fn set_pair(resource: &mut Resource, key: &str, value: &Rc<str>, specs: &[FieldSpec]) -> Step<()> {
    let group = resource.memory().groups.saturating_add(1);
    let mut scalar = Scalar::new(value.clone(), Tag::Str, Style::Plain);
    let mut made = 0;
    for spec in specs {
        apply(spec, &mut resource.node, Creation::MAP, &mut |place| {
            let new = place.as_map().is_some_and(|map| map.get(key).is_none());
            if new {
                made += 1;
            }
            let entry = Scalar { group: if new { group } else { 0 }, ..scalar.clone() };
            set_entry(place, key, entry)?;
            // kustomize sets one node everywhere, which takes on the style of what it met last.
            if !new && let Some(Node::Scalar(set)) = place.get(key) {
                scalar.style = set.style;
            }
            Ok(())
        })?;
    }
    if made > 0 {
        resource.new_group();
    }
    Ok(())
}

/// Which end of a name grows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Prefix,
    Suffix,
}

/// Adds a prefix or suffix to names.
pub(crate) fn rename(map: &mut ResMap, end: End, text: &str, specs: &[FieldSpec]) -> Step<()> {
    let kinds = map.kinds.clone();
    for resource in map.list_mut() {
        let first = resource.memory().previous.first().map(|previous| previous.kind.clone());
        let kind = first.unwrap_or_else(|| resource.kind().into());
        let api = resource.api().to_owned();
        let skipped = matches!(&*kind, "CustomResourceDefinition" | "Namespace")
            || (&*kind == "APIService" && api.starts_with("apiregistration.k8s.io/"));
        if skipped {
            continue;
        }
        for spec in specs {
            if !spec.gvk.selects(&api, &kind) {
                continue;
            }
            if spec.path == "metadata/name" && !text.is_empty() {
                let memory = resource.memory_mut();
                match end {
                    End::Prefix => memory.prefixes.push(text.into()),
                    End::Suffix => memory.suffixes.push(text.into()),
                }
                resource.remember_id(&kinds);
            }
            apply(spec, &mut resource.node, Creation::scalar(Tag::Str), &mut |place| {
                let name = match end {
                    End::Prefix => format!("{text}{}", place.value()),
                    End::Suffix => format!("{}{text}", place.value()),
                };
                set_scalar(place, Scalar::bare(name))
            })?;
        }
        resource.settle();
    }
    Ok(())
}

/// Which subjects of role bindings follow the namespace.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Subjects {
    #[default]
    Default,
    ServiceAccounts,
    None,
}

/// How a namespace is set.
#[derive(Clone, Debug)]
pub(crate) struct Namespace {
    pub(crate) name: String,
    pub(crate) specs: Vec<FieldSpec>,
    pub(crate) unset_only: bool,
    pub(crate) subjects: Subjects,
}

/// Sets the namespace of all resources.
pub(crate) fn set_namespace(map: &mut ResMap, namespace: &Namespace) -> Step<()> {
    if namespace.name.is_empty() {
        return Ok(());
    }
    let kinds = map.kinds.clone();
    for resource in map.list_mut() {
        if resource.node.is_nil_or_empty() || resource.memory().from_helm {
            continue;
        }
        resource.remember_id(&kinds);
        namespace.apply(resource, kinds.is_cluster(resource.api(), resource.kind()))?;
    }
    check_namespaces(map)
}

fn check_namespaces(map: &mut ResMap) -> Step<()> {
    if map.check_ids().is_ok() {
        return Ok(());
    }
    // The list was taken apart at the first conflict.
    Err(Fail::build("namespace transformation produces ID conflict"))
}

impl Namespace {
    pub(crate) fn apply(&self, resource: &mut Resource, cluster: bool) -> Step<()> {
        let value: Rc<str> = self.name.as_str().into();
        let set = &mut |place: &mut Node| -> Step<()> {
            if self.unset_only && place.as_scalar().is_some_and(|scalar| !scalar.get().is_empty()) {
                return Ok(());
            }
            set_scalar(place, Scalar::new(value.clone(), Tag::Str, Style::Plain))
        };
        let api = resource.api().to_owned();
        let binding = matches!(resource.kind(), "RoleBinding" | "ClusterRoleBinding");
        if !cluster {
            let spec = FieldSpec::any("metadata/namespace", true);
            apply(&spec, &mut resource.node, Creation::scalar(Tag::Empty), set)?;
        }
        if binding && self.subjects != Subjects::None {
            self.set_subjects(&mut resource.node, set)?;
        }
        for spec in &self.specs {
            let skipped = spec.path == "metadata/namespace"
                || (api != "v1" && spec.path == "metadata/name")
                || (binding
                    && matches!(spec.gvk.kind.as_str(), "RoleBinding" | "ClusterRoleBinding")
                    && spec.path == "subjects/namespace");
            if !skipped {
                apply(spec, &mut resource.node, Creation::scalar(Tag::Str), set)
                    .map_err(|fail| fail.under("namespace transformation failed"))?;
            }
        }
        Ok(())
    }

    fn set_subjects(&self, node: &mut Node, set: &mut dyn FnMut(&mut Node) -> Step<()>) -> Step<()> {
        let (field, wanted) = match self.subjects {
            Subjects::ServiceAccounts => ("kind", "ServiceAccount"),
            _ => ("name", "default"),
        };
        let Some(subjects) = node.get("subjects").and_then(Node::as_seq) else { return Ok(()) };
        if !subjects.iter().any(|subject| subject.get(field).is_some_and(|value| value.value() == wanted)) {
            return Ok(());
        }
        let subjects = node.as_map_mut().and_then(|map| map.get_mut("subjects")).and_then(Node::as_seq_mut);
        for subject in subjects.into_iter().flatten() {
            if subject.get(field).is_none_or(|value| value.value() != wanted) {
                continue;
            }
            if let Some(map) = subject.as_map_mut() {
                if map.get("namespace").is_none() {
                    map.push("namespace", Node::bare(""));
                }
                if let Some(place) = map.get_mut("namespace") {
                    set(place)?;
                }
            }
        }
        Ok(())
    }
}

/// Sets the number of replicas of what has a name.
pub(crate) fn set_replicas(map: &mut ResMap, replica: &Replica, specs: &[FieldSpec]) -> Step<()> {
    let mut found = false;
    for spec in specs {
        let at = map.matching_any(|id| *id.name == *replica.name && spec.gvk.selects(&id.api, &id.kind));
        for at in at {
            found = true;
            let resource = &mut map.list_mut()[at];
            apply(spec, &mut resource.node, Creation::scalar(Tag::Int), &mut |place| {
                set_scalar(place, Scalar::new(replica.count.to_string(), Tag::Int, Style::Plain))
            })?;
        }
    }
    if found {
        return Ok(());
    }
    let kinds: Vec<String> = specs.iter().map(|spec| spec.gvk.to_string()).collect();
    Err(Fail::build(format!(
        "resource with name {} does not match a config with the following GVK [{}]",
        replica.name,
        kinds.join(" ")
    )))
}

/// Sets images: of all containers wherever they are, and of the fields that the specifications name.
pub(crate) fn set_images(map: &mut ResMap, image: &Image, specs: &[FieldSpec]) -> Step<()> {
    let name = ImageName::new(&image.name);
    for resource in map.list_mut() {
        if resource.kind() == "CustomResourceDefinition" {
            continue;
        }
        if has_container(&resource.node, &name) {
            containers(&mut resource.node, image, &name)?;
        }
        let (api, kind) = (resource.api().to_owned(), resource.kind().to_owned());
        for spec in specs.iter().filter(|spec| spec.gvk.selects(&api, &kind)) {
            let mut wanted = false;
            visit(spec, &resource.node, &mut |place| {
                wanted |= place.as_scalar().is_none_or(|scalar| name.matches(&scalar.value));
            });
            // Lists that are null become empty lists, told or not.
            if wanted || spec.path.contains("[]") && has_null_list(&resource.node, spec) {
                apply(spec, &mut resource.node, Creation::NONE, &mut |place| set_image(place, image, &name))?;
            }
        }
    }
    Ok(())
}

fn has_null_list(node: &Node, spec: &FieldSpec) -> bool {
    let Some((path, _)) = spec.path.split_once("[]") else { return false };
    let mut here = node;
    for part in path.split('/') {
        match here.get(part) {
            Some(next) => here = next,
            None => return false,
        }
    }
    here.is_null()
}

fn set_image(place: &mut Node, image: &Image, name: &ImageName) -> Step<()> {
    if place.is_null() {
        return Ok(());
    }
    let Node::Scalar(scalar) = &*place else { return Err(wrong_kind("ScalarNode", place)) };
    if !name.matches(&scalar.value) {
        return Ok(());
    }
    let new = image.rename(&scalar.value);
    set_scalar(place, Scalar::bare(new))
}

fn has_container(node: &Node, name: &ImageName) -> bool {
    match node {
        Node::Scalar(_) => false,
        Node::Seq(seq) => seq.items.iter().any(|item| has_container(item, name)),
        Node::Map(map) => map.entries.iter().any(|(key, value)| {
            has_container(value, name)
                || (matches!(&*key.text, "containers" | "initContainers")
                    && value.as_seq().is_some_and(|items| {
                        items.iter().any(|item| match item {
                            Node::Map(map) => map.get("image").is_some_and(|image| match image {
                                Node::Scalar(scalar) => name.matches(&scalar.value),
                                _ => true,
                            }),
                            item => !item.is_null(),
                        })
                    }))
        }),
    }
}

fn containers(node: &mut Node, image: &Image, name: &ImageName) -> Step<()> {
    match node {
        Node::Scalar(_) => Ok(()),
        Node::Seq(seq) => Rc::make_mut(seq).items.iter_mut().try_for_each(|item| containers(item, image, name)),
        Node::Map(map) => {
            for (key, value) in &mut Rc::make_mut(map).entries {
                containers(value, image, name)?;
                if !matches!(&*key.text, "containers" | "initContainers") {
                    continue;
                }
                for item in value.as_seq_mut().into_iter().flatten() {
                    match item {
                        Node::Map(map) => {
                            if let Some(place) = Rc::make_mut(map).get_mut("image") {
                                set_image(place, image, name)?;
                            }
                        }
                        item if item.is_null() => {}
                        item => return Err(wrong_kind("MappingNode", item)),
                    }
                }
            }
            Ok(())
        }
    }
}

impl Image {
    /// Returns an image's new name.
    fn rename(&self, old: &str) -> String {
        let (mut name, mut tag, mut digest) = split_image(old);
        if !self.new_name.is_empty() {
            name = &self.new_name;
        }
        let suffixed;
        match (self.new_tag.as_str(), self.digest.as_str()) {
            ("", "") if !self.tag_suffix.is_empty() => {
                suffixed = format!("{tag}{}", self.tag_suffix);
                (tag, digest) = (&suffixed, "");
            }
            ("", "") => {}
            (new_tag, "") => (tag, digest) = (new_tag, ""),
            ("", new_digest) => (tag, digest) = ("", new_digest),
            (new_tag, new_digest) => (tag, digest) = (new_tag, new_digest),
        }
        let mut new = name.to_owned();
        for (sign, part) in [(':', tag), ('@', digest)] {
            if !part.is_empty() {
                new.push(sign);
                new.push_str(part);
            }
        }
        new
    }
}

/// Returns name, tag and digest.
fn split_image(image: &str) -> (&str, &str, &str) {
    let from = image.find('/').filter(|at| *at > 0).unwrap_or(0);
    let digest = image[from..].find('@').map(|at| at + from);
    let tag = image[from..].find(':').map(|at| at + from);
    match (tag, digest) {
        (None, None) => (image, "", ""),
        (tag, Some(digest)) if tag.is_none_or(|tag| digest < tag) => (&image[..digest], "", &image[digest + 1..]),
        (Some(tag), Some(digest)) => (&image[..tag], &image[tag + 1..digest], &image[digest + 1..]),
        (Some(tag), None) => (&image[..tag], &image[tag + 1..], ""),
        (None, Some(digest)) => (&image[..digest], "", &image[digest + 1..]),
    }
}

/// The name of an image, which may be a pattern.
enum ImageName {
    /// Text in which dots stand for any character.
    Words(String),
    Pattern(Option<Regex>),
}

impl ImageName {
    fn new(name: &str) -> Self {
        let plain = name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_/.:".contains(&b));
        if plain {
            return ImageName::Words(name.to_owned());
        }
        let rest = "(:[a-zA-Z0-9_.{}-]*)?(@[a-zA-Z0-9]+([.+_-][a-zA-Z0-9]+)*:[a-zA-Z0-9_.{}-]*)?$";
        ImageName::Pattern(Regex::new(&format!("^{name}{rest}")).ok())
    }

    fn matches(&self, image: &str) -> bool {
        match self {
            ImageName::Pattern(pattern) => pattern.as_ref().is_some_and(|pattern| pattern.is_match(image)),
            ImageName::Words(name) => {
                let mut rest = image.chars();
                let starts =
                    name.chars().all(|wanted| rest.next().is_some_and(|c| c == wanted || (wanted == '.' && c != '\n')));
                starts && is_version(rest.as_str())
            }
        }
    }
}

/// Returns whether a text is what may stand behind an image's name.
fn is_version(text: &str) -> bool {
    let word = |text: &str| text.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.{}-".contains(&b));
    let (tag, digest) = match text.find('@') {
        Some(at) => (&text[..at], Some(&text[at + 1..])),
        None => (text, None),
    };
    let tag_fits = tag.is_empty() || tag.strip_prefix(':').is_some_and(word);
    let digest_fits = digest.is_none_or(|digest| {
        digest.split_once(':').is_some_and(|(algorithm, hash)| {
            let parts = algorithm.split(['.', '+', '_', '-']);
            word(hash)
                && parts.into_iter().all(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric()))
        })
    });
    tag_fits && digest_fits
}

/// Adds a value at a field of what a selector selects (`ValueAddTransformer`).
pub(crate) fn add_value(node: &mut Node, path: &str, position: i64, value: &str) -> Step<()> {
    let parts = crate::path::split(&format!("/{path}"), '/');
    let mut here = node;
    for (at, part) in parts.iter().enumerate() {
        if here.as_map().is_none() {
            return Err(wrong_kind("MappingNode", here));
        }
        let Some(map) = here.as_map_mut() else { return Ok(()) };
        if map.get(part).is_none() {
            map.push(part.as_str(), if at + 1 == parts.len() { Node::bare("") } else { Node::map(Vec::new()) });
        }
        match map.get_mut(part) {
            Some(next) => here = next,
            None => return Ok(()),
        }
    }
    let Node::Scalar(scalar) = &*here else { return Err(wrong_kind("ScalarNode", here)) };
    let new = if position > 0 { insert_part(&scalar.value, position - 1, value) } else { value.to_owned() };
    set_scalar(here, Scalar::bare(new))
}

fn insert_part(path: &str, position: i64, part: &str) -> String {
    if part.is_empty() {
        return path.to_owned();
    }
    let mut parts: Vec<&str> = if path.is_empty() { Vec::new() } else { path.split('/').collect() };
    let mut at = usize::try_from(position).unwrap_or(0).min(parts.len());
    if parts.first() == Some(&"") && at < parts.len() {
        at += 1;
    }
    parts.insert(at, part);
    parts.join("/")
}
