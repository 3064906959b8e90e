//! Patches: strategic merges and JSON patches, and which resources they are for.

use std::rc::Rc;

use serde_json::Value;

use crate::{
    fail::{Fail, Step},
    jsonpatch,
    merge::merge,
    parts::{Patch, Selector},
    resmap::ResMap,
    resource::{Resource, read_all},
    schema::Kinds,
    select::select,
    yaml::{Node, json},
};

/// A patch that was read.
#[derive(Clone, Debug)]
pub(crate) enum Ready {
    /// Strategic merges, each for the resource of its id, or all for a target.
    Merge { patches: Vec<Resource>, target: Option<Selector>, shown: String },
    /// A JSON patch.
    Json { operations: Vec<Value>, target: Option<Selector>, shown: String },
}

/// Reads a file that a patch names.
pub(crate) type ReadText<'a> = dyn Fn(&str) -> Step<String> + 'a;

/// Reads an entry of `patches`.
pub(crate) fn ready(patch: &Patch, read: &ReadText<'_>) -> Step<Ready> {
    let trimmed = patch.text.trim();
    let (text, shown) = match (trimmed.is_empty(), patch.path.is_empty()) {
        (true, true) => return Err(Fail::said(format!("must specify one of patch and path in\n{}", written(patch)))),
        (false, false) => {
            return Err(Fail::said(format!("patch and path can't be set at the same time\n{}", written(patch))));
        }
        (false, true) => (trimmed.to_owned(), format!("[patch: {}]", gotmpl::gofmt::quote(trimmed))),
        (true, false) => {
            let text = read(&patch.path)
                .map_err(|fail| fail.under(format!("failed to get the patch file from path({})", patch.path)))?;
            (text, format!("[path: {}]", gotmpl::gofmt::quote(&patch.path)))
        }
    };
    match (read_all(&text), jsonpatch::read(&text)) {
        (Ok(merges), Ok(operations)) if !merges.is_empty() && !operations.is_empty() => {
            Err(Fail::said(format!("illegally qualifies as both an SM and JSON patch: {shown}")))
        }
        (Err(_), Err(_)) => Err(Fail::said(format!("unable to parse SM or JSON patch from {shown}"))),
        (Ok(mut patches), _) => {
            for loaded in &mut patches {
                if patch.name_change || patch.kind_change {
                    let memory = loaded.memory_mut();
                    memory.name_change |= patch.name_change;
                    memory.kind_change |= patch.kind_change;
                }
            }
            Ok(Ready::Merge { patches, target: patch.target.clone(), shown })
        }
        (Err(_), Ok(operations)) => Ok(Ready::Json { operations, target: patch.target.clone(), shown }),
    }
}

/// A patch as it stands in a kustomization.
fn written(patch: &Patch) -> String {
    let mut out = String::new();
    for (field, text) in [("patch", &patch.text), ("path", &patch.path)] {
        if !text.is_empty() {
            out.push_str(field);
            out.push_str(": ");
            crate::yaml::write::text(&mut out, text, gotmpl::yaml::scalar::Place::Value(2));
            out.push('\n');
        }
    }
    out
}

/// Applies a patch.
pub(crate) fn apply(map: &mut ResMap, ready: &Ready) -> Step<()> {
    match ready {
        Ready::Merge { patches, target: Some(target), shown } => {
            let [patch] = patches.as_slice() else {
                if patches.is_empty() {
                    return Ok(());
                }
                return Err(Fail::said(format!(
                    "Multiple Strategic-Merge Patches in one `patches` entry is not allowed to set `patches.target` field: {shown}"
                )));
            };
            let selected = select(map, target).map_err(|fail| {
                fail.under(format!("unable to find patch target {:?} in `resources`", target.to_string()))
            })?;
            merge_selected(map, &selected, patch)
        }
        Ready::Merge { patches, target: None, .. } => {
            let kinds = map.kinds.clone();
            for patch in patches {
                let id = patch.original_id(&kinds);
                let at = map.by_id(&id).map_err(|fail| {
                    fail.under(format!("no resource matches strategic merge patch {:?}", id.to_string()))
                })?;
                merge_one(&kinds, &mut map.list_mut()[at], patch)?;
            }
            Ok(())
        }
        Ready::Json { target: None, operations, shown } => {
            if operations.is_empty() {
                return Ok(());
            }
            Err(Fail::said(format!("must specify a target for JSON patch {shown}")))
        }
        Ready::Json { target: Some(target), operations, .. } => {
            let selected = select(map, target)?;
            let kinds = map.kinds.clone();
            for at in selected {
                let resource = &mut map.list_mut()[at];
                resource.remember_id(&kinds);
                apply_json(resource, operations)?;
            }
            Ok(())
        }
    }
}

/// Applies a strategic merge to selected resources; those that nothing is left of go.
fn merge_selected(map: &mut ResMap, selected: &[usize], patch: &Resource) -> Step<()> {
    let kinds = map.kinds.clone();
    // All that has the id of a selected one, as kustomize tells resources apart here.
    let mut own = patch.clone();
    own.set_strings("labels", patch.strings("labels"));
    own.set_strings("annotations", patch.strings("annotations"));
    own.set_name(&patch.name());
    own.set_namespace(&patch.namespace());
    for at in selected {
        let resource = &mut map.list_mut()[*at];
        let mut patch = own.clone();
        let (api, kind) = (resource.api().to_owned(), patch.kind().to_owned());
        patch.set_top("kind", &kind);
        if patch.api() != api {
            patch.set_top("apiVersion", &api);
        }
        merge_one(&kinds, resource, &patch)?;
    }
    map.drop_empties();
    map.check_ids()
}

fn merge_one(kinds: &Kinds, resource: &mut Resource, patch: &Resource) -> Step<()> {
    let (name, namespace, kind) = (resource.name(), resource.namespace(), resource.kind().to_owned());
    let memory = patch.memory();
    if memory.name_change || memory.kind_change {
        resource.remember_id(kinds);
    }
    let (keep_name, keep_kind) = (!memory.name_change, !memory.kind_change);
    let forgets = forgets(&patch.node);
    let target = std::mem::replace(&mut resource.node, Node::map(Vec::new()));
    match merge(kinds, target, patch.node.clone())? {
        Some(node) => resource.node = node,
        None => return Ok(()),
    }
    if resource.node.is_nil_or_empty() {
        return Ok(());
    }
    if forgets {
        resource.forget();
    }
    if keep_kind && resource.kind() != kind {
        resource.set_top("kind", &kind);
    }
    if keep_name {
        restore(resource, "name", &name);
    }
    restore(resource, "namespace", &namespace);
    resource.settle();
    Ok(())
}

/// Sets name or namespace back, if the patch has changed it.
fn restore(resource: &mut Resource, field: &str, text: &Rc<str>) {
    match field {
        "name" => resource.set_name(text),
        _ => resource.set_namespace(text),
    }
}

/// Returns whether a patch takes off all annotations, and with them what kustomize keeps in them.
fn forgets(patch: &Node) -> bool {
    let Some(meta) = patch.get("metadata") else { return false };
    let replaced =
        |node: &Node| node.get("$patch").is_some_and(|word| word.value() == "replace" || word.value() == "delete");
    meta.is_null()
        || replaced(meta)
        || replaced(patch)
        || meta.get("annotations").is_some_and(|annotations| annotations.is_null() || replaced(annotations))
}

/// Applies a JSON patch to a resource.
pub(crate) fn apply_json(resource: &mut Resource, operations: &[Value]) -> Step<()> {
    let mut document = json::value(&resource.node)?;
    // kustomize keeps what it remembers in annotations, so that there are some.
    let lent = resource.memory().annotated && lend_annotations(&mut document);
    jsonpatch::apply(&mut document, operations)?;
    if lent
        && let Some(meta) = document.get_mut("metadata").and_then(Value::as_object_mut)
        && meta.get("annotations").and_then(Value::as_object).is_some_and(serde_json::Map::is_empty)
    {
        meta.remove("annotations");
    }
    if !document.is_object() {
        return Err(Fail::build("json: cannot unmarshal into Go value of type map[string]interface {}"));
    }
    resource.node = json::node(&document);
    // Annotations are text from here on.
    if resource.memory().annotated
        && resource.node.get("metadata").is_some_and(|meta| meta.get("annotations").is_some())
    {
        let strings = resource.strings("annotations");
        resource.set_strings("annotations", strings);
    }
    Ok(())
}

fn lend_annotations(document: &mut Value) -> bool {
    let Some(meta) = document.get_mut("metadata").and_then(Value::as_object_mut) else { return false };
    if meta.contains_key("annotations") {
        return false;
    }
    meta.insert("annotations".to_owned(), Value::Object(serde_json::Map::new()));
    true
}

/// Reads the entries of `patchesStrategicMerge`: texts, or paths of files.
pub(crate) fn ready_merges(entries: &[String], read: &ReadText<'_>) -> Step<Vec<Resource>> {
    let mut patches = Vec::new();
    for entry in entries {
        match read_all(entry) {
            Ok(found) => patches.extend(found),
            Err(_) => patches.extend(read_all(&read(entry)?).map_err(|fail| crate::target::in_file(fail, entry))?),
        }
    }
    Ok(patches)
}

/// Applies the patches of `patchesStrategicMerge`.
pub(crate) fn apply_merges(map: &mut ResMap, patches: &[Resource]) -> Step<()> {
    for patch in patches {
        let id = patch.original_id(&map.kinds);
        let at = map.by_id(&id)?;
        merge_selected(map, &[at], patch)?;
    }
    Ok(())
}
