//! Names that other resources refer to, followed to what they are called now.

use std::{collections::HashMap, rc::Rc};

use crate::{
    fail::{Fail, Step},
    fieldspec::{Creation, FieldSpec, apply, visit},
    id::{Gvk, Id},
    path::{set_field, set_scalar},
    resmap::ResMap,
    resource::Resource,
    rules::References,
    yaml::{Node, Scalar},
};

/// Follows all references to resources whose names have changed.
pub(crate) fn fix(map: &mut ResMap, references: &[References]) -> Step<()> {
    if references.is_empty() {
        return Ok(());
    }
    let ids: Vec<Id> = map.list().iter().map(|resource| resource.id(&map.kinds)).collect();
    let index = Index::new(map, ids);
    let mut by_kind: HashMap<(String, String), Rc<[Reference]>> = HashMap::new();
    for at in 0..map.list().len() {
        let resource = &map.list()[at];
        let first = resource.original_id(&map.kinds);
        let key = (first.api.to_string(), first.kind.to_string());
        let fields = by_kind.entry(key).or_insert_with(|| fields_of(&first, references)).clone();
        if fields.is_empty() {
            continue;
        }
        let referrer = Referrer::new(&index, map.list(), at);
        let mut node: Option<Node> = None;
        for reference in &*fields {
            referrer.follow(reference, map.list(), &mut node)?;
        }
        if let Some(node) = node {
            let resource = &mut map.list_mut()[at];
            resource.node = node;
            resource.settle();
        }
    }
    Ok(())
}

/// A field that refers, and to what.
struct Reference {
    spec: FieldSpec,
    target: Gvk,
}

fn fields_of(id: &Id, references: &[References]) -> Rc<[Reference]> {
    let mut fields = Vec::new();
    for reference in references {
        for spec in reference.fields.iter().filter(|spec| spec.gvk.selects(&id.api, &id.kind)) {
            // The kind was told by what the resource was first; the field is that of what it is now.
            let spec = FieldSpec::new(Gvk::default(), spec.path.clone(), spec.create);
            fields.push(Reference { spec, target: reference.gvk.clone() });
        }
    }
    fields.into()
}

/// Resources by the names they had.
struct Index {
    ids: Vec<Id>,
    by_name: HashMap<Rc<str>, Vec<usize>>,
    /// Resources by the namespace they were in first.
    by_first: HashMap<Rc<str>, Vec<usize>>,
}

impl Index {
    fn new(map: &ResMap, ids: Vec<Id>) -> Self {
        let mut by_name: HashMap<Rc<str>, Vec<usize>> = HashMap::new();
        for (at, resource) in map.list().iter().enumerate() {
            for previous in &resource.memory().previous {
                let list = by_name.entry(previous.name.clone()).or_default();
                if list.last() != Some(&at) {
                    list.push(at);
                }
            }
        }
        let mut by_first: HashMap<Rc<str>, Vec<usize>> = HashMap::new();
        for (at, resource) in map.list().iter().enumerate() {
            let first = resource.previous_ids().next().map_or_else(|| ids[at].namespace.clone(), |id| id.namespace);
            by_first.entry(first).or_default().push(at);
        }
        Self { ids, by_name, by_first }
    }
}

/// The resource that refers.
struct Referrer<'a> {
    index: &'a Index,
    at: usize,
    id: &'a Id,
    /// Namespaces of a RoleBinding's subjects.
    subjects: Vec<String>,
    role: Option<Gvk>,
}

impl<'a> Referrer<'a> {
    fn new(index: &'a Index, list: &[Resource], at: usize) -> Self {
        let resource = &list[at];
        let mut subjects = Vec::new();
        if resource.kind() == "RoleBinding" {
            for subject in resource.node.get("subjects").and_then(Node::as_seq).unwrap_or_default() {
                if subject.get("kind").is_some_and(|kind| kind.value() == "ServiceAccount")
                    && let Some(namespace) = subject.get("namespace")
                {
                    subjects.push(namespace.value().to_owned());
                }
            }
        }
        let role = resource.node.get("roleRef").and_then(|role| {
            let (group, kind) = (role.get("apiGroup")?, role.get("kind")?);
            Some(Gvk { group: group.value().to_owned(), version: String::new(), kind: kind.value().to_owned() })
        });
        Self { index, at, id: &index.ids[at], subjects, role }
    }

    /// Follows one field; `node` is the resource as written so far.
    fn follow(&self, reference: &Reference, list: &[Resource], node: &mut Option<Node>) -> Step<()> {
        let current = node.as_ref().unwrap_or(&list[self.at].node);
        let mut wanted = false;
        visit(&reference.spec, current, &mut |place| wanted |= self.concerns(place));
        if !wanted {
            return Ok(());
        }
        let node = node.get_or_insert_with(|| list[self.at].node.clone());
        apply(&reference.spec, node, Creation::NONE, &mut |place| self.set(reference, list, place)).map_err(|fail| {
            fail.under(format!("updating name reference in '{}' field of '{}'", reference.spec.path, self.id))
        })
    }

    /// Returns whether a place holds a name that something had.
    fn concerns(&self, place: &Node) -> bool {
        match place {
            Node::Scalar(scalar) => self.index.by_name.contains_key(&scalar.value),
            Node::Map(map) => map.get("name").is_none_or(|name| self.index.by_name.contains_key(name.value())),
            Node::Seq(seq) => seq.items.iter().any(|item| self.concerns(item)),
        }
    }

    fn set(&self, reference: &Reference, list: &[Resource], place: &mut Node) -> Step<()> {
        match place {
            place if place.is_null() => Ok(()),
            Node::Scalar(_) => self.set_name(reference, list, place),
            Node::Map(_) => self.set_named(reference, list, place),
            Node::Seq(seq) => {
                for item in &mut Rc::make_mut(seq).items {
                    match item {
                        item if item.is_null() => {}
                        Node::Scalar(_) => self.set_name(reference, list, item)?,
                        Node::Map(_) => self.set_named(reference, list, item)?,
                        Node::Seq(_) => {
                            return Err(Fail::build("a list is expected to be either a string or a map of string"));
                        }
                    }
                }
                Ok(())
            }
        }
    }

    fn set_name(&self, reference: &Reference, list: &[Resource], place: &mut Node) -> Step<()> {
        let old: Rc<str> = place.value().into();
        let same = |found: &[usize]| found.iter().all(|at| self.name(*at) == self.name(found[0]));
        let Some(at) = self.find(reference, list, &old, None, &same)? else { return Ok(()) };
        let name = self.name(at);
        if *name == old {
            return Ok(());
        }
        set_scalar(place, Scalar::bare(name.clone()))
    }

    fn set_named(&self, reference: &Reference, list: &[Resource], place: &mut Node) -> Step<()> {
        let Some(name) = place.get("name") else {
            return Err(Fail::build("path config error; no 'name' field in node"));
        };
        let old: Rc<str> = name.value().into();
        let namespace = place.get("namespace").map(|namespace| namespace.value().to_owned());
        let same = |found: &[usize]| {
            found.iter().all(|at| {
                self.name(*at) == self.name(found[0]) && self.index.ids[*at].written == self.index.ids[found[0]].written
            })
        };
        let Some(at) = self.find(reference, list, &old, namespace.as_deref(), &same)? else { return Ok(()) };
        let (name, written) = (self.name(at).clone(), self.index.ids[at].written.clone());
        if *name == *old && written.is_empty() {
            return Ok(());
        }
        let Some(map) = place.as_map_mut() else { return Ok(()) };
        set_field(map, "name", Node::bare(name));
        if !written.is_empty() {
            set_field(map, "namespace", Node::bare(written));
        }
        Ok(())
    }

    fn name(&self, at: usize) -> &Rc<str> {
        &self.index.ids[at].name
    }

    /// Finds what a name refers to (`selectReferral`).
    fn find(
        &self,
        reference: &Reference,
        list: &[Resource],
        old: &str,
        namespace: Option<&str>,
        same: &dyn Fn(&[usize]) -> bool,
    ) -> Step<Option<usize>> {
        let Some(named) = self.index.by_name.get(old) else { return Ok(None) };
        let reachable: Vec<usize> = named.iter().copied().filter(|at| self.reaches(list, *at)).collect();
        let reachable = match namespace {
            Some(namespace) => self.in_namespace(list, reachable, namespace),
            None => reachable,
        };
        let by_role = reference.spec.path.ends_with("roleRef/name").then_some(self.role.as_ref()).flatten();
        let mut found: Vec<usize> = reachable
            .into_iter()
            .filter(|at| {
                let had = |gvk: &Gvk| list[*at].previous_ids().any(|id| gvk.selects(&id.api, &id.kind));
                had(&reference.target) && by_role.is_none_or(had) && self.beside(list, *at)
            })
            .collect();
        if found.len() == 1 {
            return Ok(Some(found[0]));
        }
        found.retain(|at| self.named_alike(list, *at, true));
        if found.len() > 1 {
            found.retain(|at| self.named_alike(list, *at, false));
        }
        match found.as_slice() {
            [] => Ok(None),
            [one] => Ok(Some(*one)),
            several if same(several) => Ok(Some(several[0])),
            several => {
                let ids: Vec<String> = several.iter().map(|at| self.index.ids[*at].to_string()).collect();
                Err(Fail::build(format!("found multiple possible referrals: {}", ids.join(", "))))
            }
        }
    }

    /// `SubsetThatCouldBeReferencedByResource`.
    fn reaches(&self, list: &[Resource], at: usize) -> bool {
        let id = &self.index.ids[at];
        self.id.is_cluster()
            || id.is_cluster()
            || id.namespace == self.id.namespace
            || self.subjects.iter().any(|namespace| **namespace == *list[at].namespace())
    }

    /// Those that were in a namespace first, or those that are in it now.
    fn in_namespace(&self, list: &[Resource], found: Vec<usize>, namespace: &str) -> Vec<usize> {
        let first = |at: usize| -> Rc<str> {
            list[at].previous_ids().next().map_or_else(|| self.index.ids[at].namespace.clone(), |id| id.namespace)
        };
        // Whether any candidate was there first decides, not only one of this name.
        let there = self.index.by_first.get(namespace);
        let anybody = there.is_some_and(|there| there.iter().any(|at| self.reaches(list, *at)));
        found
            .into_iter()
            .filter(|at| if anybody { *first(*at) == *namespace } else { *self.index.ids[*at].namespace == *namespace })
            .collect()
    }

    /// `sameCurrentNamespaceAsReferrer`.
    fn beside(&self, list: &[Resource], at: usize) -> bool {
        let id = &self.index.ids[at];
        self.id.is_cluster()
            || id.is_cluster()
            || list[at].kind() == "ServiceAccount"
            || id.namespace == self.id.namespace
    }

    fn named_alike(&self, list: &[Resource], at: usize, empty_fits: bool) -> bool {
        let (mine, other) = (list[self.at].memory(), list[at].memory());
        let alike = |a: &[Rc<str>], b: &[Rc<str>]| (empty_fits && (a.is_empty() || b.is_empty())) || same_ending(a, b);
        alike(&mine.prefixes, &other.prefixes) && alike(&mine.suffixes, &other.suffixes)
    }
}

fn same_ending(a: &[Rc<str>], b: &[Rc<str>]) -> bool {
    let (short, long) = if a.len() > b.len() { (b, a) } else { (a, b) };
    if short.is_empty() { long.is_empty() } else { long.ends_with(short) }
}
