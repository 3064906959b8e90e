//! `replacements`: values copied from one resource's field to others'.

use crate::{
    fail::{Cause, Context, Fail, Step},
    id::{Gvk, Id, effective},
    parts::{FieldOptions, Replacement, ReplacementSource, ReplacementTarget},
    path::{Make, at, lookup, matches, parse_inner, split_fields},
    resmap::ResMap,
    resource::Resource,
    select::Selection,
    yaml::{Node, Scalar, emit, json, read::has_comments},
};

const NAME: &str = "metadata.name";

/// Applies replacements one after the other.
pub(crate) fn replace(map: &mut ResMap, replacements: &[Replacement]) -> Step<()> {
    for replacement in replacements {
        let (true, Some(targets)) = (replacement.source.is_some() || replacement.value.is_some(), &replacement.targets)
        else {
            return Err(Fail::said("replacements must specify a source and at least one target"));
        };
        let value = value_of(map, replacement)?;
        for target in targets {
            apply(map, &value, target)?;
        }
    }
    Ok(())
}

fn value_of(map: &ResMap, replacement: &Replacement) -> Step<Node> {
    let source = match (&replacement.value, &replacement.source) {
        (Some(_), Some(_)) => return Err(Fail::said("value and resource selectors are mutually exclusive")),
        (Some(value), None) => return Ok(Node::bare(value.as_str())),
        (None, Some(source)) => source,
        (None, None) => return Err(Fail::said("replacements must specify a source and at least one target")),
    };
    let resource = &map.list()[find(map, source)?];
    let field = if source.field.is_empty() { NAME } else { &source.field };
    let found =
        lookup(&resource.node, &split_fields(field)).under(|| "error looking up replacement source".to_owned())?;
    let Some(found) = found.filter(|found| !found.is_nil_or_empty()) else {
        return Err(Fail::build(format!(
            "fieldPath `{field}` is missing for replacement source {}",
            shown(&source.gvk, &source.name, &source.namespace)
        )));
    };
    let Some(options) = source.options.as_ref().filter(|options| !options.delimiter.is_empty()) else {
        return Ok(found.clone());
    };
    let Node::Scalar(scalar) = found else {
        return Err(Fail::build("delimiter option can only be used with scalar nodes"));
    };
    let parts: Vec<&str> = scalar.get().split(options.delimiter.as_str()).collect();
    let part = usize::try_from(options.index).ok().and_then(|index| parts.get(index)).ok_or_else(|| {
        Fail::build(format!("options.index {} is out of bounds for value {}", options.index, scalar.get()))
    })?;
    Ok(Node::Scalar(Scalar { value: (*part).into(), group: 0, ..scalar.clone() }))
}

/// Ids as replacements see them: what they are called now, then what they were called.
fn ids(map: &ResMap, resource: &Resource) -> Vec<Id> {
    let mut now = resource.id(&map.kinds);
    now.namespace = effective(&now.written, false);
    std::iter::once(now).chain(resource.previous_ids()).collect()
}

fn find(map: &ResMap, source: &ReplacementSource) -> Step<usize> {
    let mut found = None;
    let wanted = effective(&source.namespace.as_str().into(), false);
    for (at, resource) in map.list().iter().enumerate() {
        if !source.gvk.kind.is_empty() && resource.memory().previous.is_empty() && resource.kind() != source.gvk.kind {
            continue;
        }
        let selected = ids(map, resource).iter().any(|id| {
            (source.name.is_empty() || *id.name == *source.name)
                && (source.namespace.is_empty() || id.namespace == wanted)
                && source.gvk.selects(&id.api, &id.kind)
        });
        if selected && found.replace(at).is_some() {
            return Err(Fail::build(format!("multiple matches for selector {}", selector(source))));
        }
    }
    found.ok_or_else(|| Fail::build(format!("nothing selected by {}", selector(source))))
}

fn shown(gvk: &Gvk, name: &str, namespace: &str) -> String {
    let or = |text: &str, none: &str| if text.is_empty() { none.to_owned() } else { text.to_owned() };
    format!("{gvk}/{}.{}", or(name, "[noName]"), or(namespace, "[noNs]"))
}

fn selector(source: &ReplacementSource) -> String {
    let mut text = shown(&source.gvk, &source.name, &source.namespace);
    let field = if source.field.is_empty() { "" } else { &source.field };
    if !field.is_empty() {
        text.push(':');
        text.push_str(field);
    }
    if let Some(options) = source.options.as_ref().filter(|options| !options.delimiter.is_empty() || options.create) {
        let shown = format!(":{}({}), create={}", options.delimiter, options.index, options.create);
        text.push_str(&shown);
    }
    text
}

fn apply(map: &mut ResMap, value: &Node, target: &ReplacementTarget) -> Step<()> {
    let Some(select) = &target.select else {
        return Err(Fail::said("target must specify resources to select"));
    };
    let fields = if target.fields.is_empty() { vec![NAME.to_owned()] } else { target.fields.clone() };
    let select = Selection::new(select).under(|| "error creating target selector".to_owned())?;
    let rejects: Vec<Selection> = target
        .reject
        .iter()
        .map(Selection::new)
        .collect::<Step<_>>()
        .under(|| "error creating target selector".to_owned())?;
    for at in 0..map.list().len() {
        let resource = &map.list()[at];
        let ids = ids(map, resource);
        let rejected = rejects.iter().any(|reject| {
            (reject.asks_strings() && reject.matches_strings(resource))
                || (!reject.is_empty() && ids.iter().any(|id| reject.matches_id(id)))
        });
        if rejected || !select.matches_strings(resource) || !ids.iter().any(|id| select.matches_id(id)) {
            continue;
        }
        let resource = &mut map.list_mut()[at];
        for field in &fields {
            copy(&mut resource.node, value, field, target.options.as_ref())?;
            resource.settle();
        }
    }
    Ok(())
}

fn copy(node: &mut Node, value: &Node, field: &str, options: Option<&FieldOptions>) -> Step<()> {
    let make = options.is_some_and(|options| options.create).then(|| Make::of(value));
    let path = split_fields(field);
    if inside_text(node, value, &path, options, make)? {
        return Ok(());
    }
    let complaint = || {
        let what = if make.is_some() { "unable to find or create field" } else { "unable to find field" };
        format!("{what} {field:?} in replacement target")
    };
    let found = matches(node, &path, make).under(complaint)?;
    if found.ways.is_empty() && found.detached == 0 {
        return Err(Fail::build(complaint()));
    }
    for way in &found.ways {
        if let Some(place) = at(node, way) {
            set(place, value, options)?;
        }
    }
    Ok(())
}

fn set(place: &mut Node, value: &Node, options: Option<&FieldOptions>) -> Step<()> {
    let mut value = value.clone();
    if let Node::Scalar(scalar) = &mut value {
        scalar.group = 0;
    }
    if let Some(options) = options.filter(|options| !options.delimiter.is_empty()) {
        let Node::Scalar(old) = &*place else {
            return Err(Fail::build("delimiter option can only be used with scalar nodes"));
        };
        let new = value.as_scalar().map_or("", Scalar::get).to_owned();
        let mut parts: Vec<&str> = old.value.split(options.delimiter.as_str()).collect();
        match usize::try_from(options.index) {
            Err(_) => parts.insert(0, &new),
            Ok(index) if index >= parts.len() => parts.push(&new),
            Ok(index) => parts[index] = &new,
        }
        let joined = parts.join(&options.delimiter);
        if let Node::Scalar(scalar) = &mut value {
            scalar.value = joined.into();
        }
    }
    match place {
        Node::Scalar(scalar) => {
            scalar.value = value.as_scalar().map_or_else(|| "".into(), |new| new.value.clone());
            scalar.written = scalar.group != 0;
        }
        place => *place = value,
    }
    Ok(())
}

/// Sets a field of a document that stands in a text; `false` if the path leads into none.
fn inside_text(
    node: &mut Node,
    value: &Node,
    path: &[String],
    options: Option<&FieldOptions>,
    make: Option<Make>,
) -> Step<bool> {
    for length in 1..path.len() {
        let (outer, inner) = path.split_at(length);
        let Ok(Some(Node::Scalar(scalar))) = lookup(node, outer) else { continue };
        let text = scalar.value.clone();
        let Ok(Some(mut document)) = parse_inner(&text) else { continue };
        let Ok(found) = matches(&mut document, inner, make) else { return Ok(false) };
        if found.ways.is_empty() {
            return Ok(false);
        }
        for way in &found.ways {
            if let Some(place) = at(&mut document, way)
                && set(place, value, options).is_err()
            {
                return Ok(false);
            }
        }
        let Some(new) = written(&document, &text)? else { return Ok(false) };
        let Some(place) = place_of(node, outer) else { return Ok(false) };
        if let Node::Scalar(scalar) = place {
            scalar.value = new.into();
            scalar.written = scalar.group != 0;
        }
        return Ok(true);
    }
    Ok(false)
}

/// Returns a document as it stood in its text: JSON as JSON, all else as YAML.
fn written(document: &Node, old: &str) -> Step<Option<String>> {
    let Some(first) = old.trim().chars().next() else { return Ok(None) };
    if !matches!(first, '{' | '[') {
        if has_comments(old) {
            return Err(Fail::new(
                Cause::Unsupported,
                "a replacement writes into YAML text that has comments, which would be lost",
            ));
        }
        return Ok(Some(emit(document).trim().to_owned()));
    }
    let mut out = String::new();
    let result = if old.contains('\n') && old.contains("  ") {
        json::pretty(&mut out, document, 0)
    } else {
        json::write(&mut out, document)
    };
    Ok(result.is_ok().then_some(out))
}

/// Follows a path as `lookup` does, to write.
fn place_of<'a>(node: &'a mut Node, path: &[String]) -> Option<&'a mut Node> {
    let mut way = Vec::new();
    let mut here: &Node = node;
    for part in path.iter().map(|part| part.trim()).filter(|part| !part.is_empty()) {
        let index = match here {
            Node::Map(map) => map.position(part)?,
            Node::Seq(seq) => match part.parse::<usize>() {
                Ok(index) => index,
                Err(_) if part == "-" => seq.items.len().checked_sub(1)?,
                Err(_) => {
                    let (name, value) = part.strip_prefix('[')?.strip_suffix(']')?.split_once('=')?;
                    seq.items.iter().position(|item| {
                        if name.is_empty() {
                            item.value() == value
                        } else {
                            item.get(name).is_some_and(|f| f.value() == value)
                        }
                    })?
                }
            },
            Node::Scalar(_) => return None,
        };
        way.push(index);
        here = match here {
            Node::Map(map) => &map.entries.get(index)?.1,
            Node::Seq(seq) => seq.items.get(index)?,
            Node::Scalar(_) => return None,
        };
    }
    at(node, &way)
}
