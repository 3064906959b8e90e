//! ConfigMaps and Secrets from files and literals, and the suffix that tells their content.

use std::{collections::BTreeMap, rc::Rc};

use base64::Engine as _;
use sha2::{Digest, Sha256};

use crate::{
    fail::{Cause, Context, Fail, Step},
    parts::{Generator, GeneratorOptions},
    resmap::copy_metadata,
    resource::{Behavior, Resource},
    yaml::{Map, Node, Scalar, Style, Tag, json},
};

/// Reads a file that a generator names.
pub(crate) type ReadFile<'a> = dyn Fn(&str) -> Step<Rc<[u8]>> + 'a;

/// What is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Made {
    ConfigMap,
    Secret,
}

/// Makes a ConfigMap or Secret.
pub(crate) fn generate(made: Made, args: &Generator, read: &ReadFile<'_>) -> Step<Resource> {
    if args.name.is_empty() {
        return Err(Fail::said("a configmap must have a name"));
    }
    let data = data(args, read)?;
    let mut meta = Map::default();
    meta.push("name", Node::text(args.name.as_str()));
    if !args.namespace.is_empty() {
        meta.push("namespace", Node::text(args.namespace.as_str()));
    }
    let mut top = Map::default();
    top.push("apiVersion", Node::text("v1"));
    top.push("kind", Node::text(if made == Made::Secret { "Secret" } else { "ConfigMap" }));
    let options = args.options.clone().unwrap_or_default();
    for (field, strings) in [("labels", &options.labels), ("annotations", &options.annotations)] {
        if let Some(strings) = strings.as_ref().filter(|strings| !strings.is_empty()) {
            let mut map = Map::default();
            for (key, value) in strings {
                map.push(key.as_str(), Node::Scalar(Scalar::new(value.as_str(), Tag::Str, Style::Single)));
            }
            meta.push(field, Node::Map(Rc::new(map)));
        }
    }
    top.push("metadata", Node::Map(Rc::new(meta)));
    match made {
        Made::ConfigMap => {
            let (mut text, mut binary) = (Map::default(), Map::default());
            for (key, value) in data {
                match std::str::from_utf8(&value) {
                    Ok(value) => text.push(key, Node::text(value)),
                    Err(_) => binary.push(key, Node::text(base64(&value))),
                }
            }
            for (field, map) in [("data", text), ("binaryData", binary)] {
                if !map.entries.is_empty() {
                    top.push(field, Node::Map(Rc::new(map)));
                }
            }
        }
        Made::Secret => {
            top.push("type", Node::text(if args.kind.is_empty() { "Opaque" } else { args.kind.as_str() }));
            let mut map = Map::default();
            for (key, value) in data {
                map.push(key, Node::text(base64(&value)));
            }
            top.push("data", Node::Map(Rc::new(map)));
        }
    }
    if options.immutable {
        top.push("immutable", Node::Scalar(Scalar::new("true", Tag::Bool, Style::Plain)));
    }
    let mut resource = Resource::new(Node::Map(Rc::new(top)));
    let memory = resource.memory_mut();
    memory.annotated = true;
    memory.needs_hash = !options.no_hash;
    memory.behavior = Behavior::read(&args.behavior);
    Ok(resource)
}

/// Returns the options of a generator, those of the kustomization merged in.
pub(crate) fn with_options(args: &Generator, global: Option<&GeneratorOptions>) -> Generator {
    Generator { options: GeneratorOptions::merged(args.options.as_ref(), global), ..args.clone() }
}

fn data(args: &Generator, read: &ReadFile<'_>) -> Step<BTreeMap<String, Vec<u8>>> {
    let mut pairs: Vec<(String, Vec<u8>)> = Vec::new();
    let list = |texts: &[String]| format!("[{}]", texts.join(" "));
    for path in &args.envs {
        env_file(path, read, &mut pairs)
            .under(|| format!("env source files: {}", list(&args.envs)))
            .under(|| "loading KV pairs".to_owned())?;
    }
    for source in &args.literals {
        let (key, value) = literal(source)
            .under(|| format!("literal sources {}", list(&args.literals)))
            .under(|| "loading KV pairs".to_owned())?;
        pairs.push((key, value.into_bytes()));
    }
    for source in &args.files {
        let pair = file(source, read)
            .under(|| format!("file sources: {}", list(&args.files)))
            .under(|| "loading KV pairs".to_owned())?;
        pairs.push(pair);
    }
    let mut data = BTreeMap::new();
    for (key, value) in pairs {
        if data.contains_key(&key) {
            return Err(Fail::said(format!("configmap {} illegally repeats the key `{key}`", args.name)));
        }
        data.insert(key, value);
    }
    Ok(data)
}

fn literal(source: &str) -> Step<(String, String)> {
    let wrong = || Fail::said(format!("invalid literal source {source}, expected key=value"));
    let (key, value) = source.split_once('=').ok_or_else(wrong)?;
    if key.is_empty() {
        return Err(wrong());
    }
    let quoted = |sign: char| value.len() >= 2 && value.starts_with(sign) && value.ends_with(sign);
    let value = if quoted('"') || quoted('\'') { &value[1..value.len() - 1] } else { value };
    Ok((key.to_owned(), value.to_owned()))
}

fn file(source: &str, read: &ReadFile<'_>) -> Step<(String, Vec<u8>)> {
    let (key, path) = match source.matches('=').count() {
        0 => (base_name(source), source),
        1 => {
            let (key, path) = source.split_once('=').unwrap_or_default();
            if key.is_empty() {
                return Err(Fail::said(format!("missing key name for file path {path:?} in source {source:?}")));
            }
            if path.is_empty() {
                return Err(Fail::said(format!("missing file path for key name {key:?} in source {source:?}")));
            }
            (key.to_owned(), path)
        }
        _ => return Err(Fail::said(format!("source {source:?} key name or file path contains '='"))),
    };
    Ok((key, read(path)?.to_vec()))
}

fn base_name(path: &str) -> String {
    let trimmed = path.trim_end_matches('/');
    if trimmed.is_empty() {
        return if path.is_empty() { "." } else { "/" }.to_owned();
    }
    trimmed.rsplit('/').next().unwrap_or(trimmed).to_owned()
}

fn env_file(path: &str, read: &ReadFile<'_>, pairs: &mut Vec<(String, Vec<u8>)>) -> Step<()> {
    let content = read(path)?;
    let lines = content.split(|b| *b == b'\n');
    for (index, line) in lines.enumerate() {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let Ok(line) = std::str::from_utf8(line) else {
            return Err(Fail::new(Cause::Yaml, format!("line {} has invalid utf8 bytes", index + 1)));
        };
        let line = if index == 0 { line.strip_prefix('\u{feff}').unwrap_or(line) } else { line };
        let line = line.trim_start();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (key, value) = line.split_once('=').unwrap_or((line, ""));
        // A line without a key is passed over.
        if !key.is_empty() {
            pairs.push((key.to_owned(), value.as_bytes().to_vec()));
        }
    }
    Ok(())
}

/// Base64 in lines, where it does not fit one.
fn base64(bytes: &[u8]) -> String {
    const LINE: usize = 70;
    let text = base64::engine::general_purpose::STANDARD.encode(bytes);
    if text.len() / LINE == 0 {
        return text;
    }
    let mut out = String::with_capacity(text.len() + text.len() / LINE + 1);
    let mut rest = text.as_str();
    while !rest.is_empty() {
        let (line, more) = rest.split_at(rest.len().min(LINE));
        out.push_str(line);
        out.push('\n');
        rest = more;
    }
    out
}

/// Merges the data of what is there into what was generated: generated keys win.
pub(crate) fn merge_data(new: &mut Resource, old: &Resource) -> Step<()> {
    let secret = new.api() == "v1" && new.kind() == "Secret";
    let (mut data, binary) = (strings(old, "data"), strings(old, "binaryData"));
    if secret && let Some(Node::Map(map)) = old.node.get("stringData") {
        for (key, value) in &map.entries {
            let Node::Scalar(scalar) = value else {
                return Err(Fail::build(format!(
                    "failed to normalize stringData for {}: read stringData: stringData value for key {:?} must be a scalar",
                    crate::resource::id_text(&new.node),
                    &*key.text
                )));
            };
            data.insert(key.text.to_string(), base64(scalar.get().as_bytes()));
        }
    }
    copy_metadata(new, old);
    for (field, mut merged) in [("data", data), ("binaryData", binary)] {
        merged.extend(strings(new, field));
        let Some(top) = new.node.as_map_mut() else { continue };
        top.remove(field);
        if !merged.is_empty() {
            let mut map = Map::default();
            for (key, value) in merged {
                map.push(key, Node::text(value));
            }
            top.push(field, Node::Map(Rc::new(map)));
        }
    }
    Ok(())
}

fn strings(resource: &Resource, field: &str) -> BTreeMap<String, String> {
    let map = resource.node.get(field).and_then(Node::as_map);
    map.into_iter()
        .flat_map(|map| map.entries.iter())
        .map(|(key, value)| (key.text.to_string(), value.as_scalar().map(|s| s.get().to_owned()).unwrap_or_default()))
        .collect()
}

/// Adds to a name what its content hashes to.
pub(crate) fn add_hash(resource: &mut Resource, kinds: &crate::schema::Kinds) -> Step<()> {
    if !resource.memory().needs_hash {
        return Ok(());
    }
    let hash = hash(resource)?;
    resource.remember_id(kinds);
    let name = format!("{}-{hash}", resource.name());
    resource.set_name(&name);
    Ok(())
}

fn hash(resource: &Resource) -> Step<String> {
    let part = |field: &str| -> Step<Option<String>> {
        match resource.node.get(field) {
            Some(Node::Scalar(scalar)) => {
                let mut out = String::new();
                json::string(&mut out, &scalar.value);
                Ok(Some(out))
            }
            Some(node) => {
                let mut out = String::new();
                json::write(&mut out, node)?;
                Ok(Some(out))
            }
            None => Ok(None),
        }
    };
    let is_map = |field: &str| resource.node.get(field).and_then(Node::as_map).is_some();
    let empty = || "\"\"".to_owned();
    let mut fields = Vec::new();
    match resource.kind() {
        "ConfigMap" => {
            if is_map("binaryData") {
                fields.push(format!("\"binaryData\":{}", part("binaryData")?.unwrap_or_else(empty)));
            }
            fields.push(format!("\"data\":{}", part("data")?.unwrap_or_else(empty)));
            fields.push("\"kind\":\"ConfigMap\"".to_owned());
            fields.push("\"name\":\"\"".to_owned());
        }
        "Secret" => {
            fields.push(format!("\"data\":{}", part("data")?.unwrap_or_else(empty)));
            fields.push("\"kind\":\"Secret\"".to_owned());
            fields.push("\"name\":\"\"".to_owned());
            if is_map("stringData") {
                fields.push(format!("\"stringData\":{}", part("stringData")?.unwrap_or_else(empty)));
            }
            fields.push(format!("\"type\":{}", part("type")?.unwrap_or_else(empty)));
        }
        kind => {
            return Err(Fail::new(
                Cause::Unsupported,
                format!("the name of a {kind} gets no hash: only those of ConfigMap and Secret do"),
            ));
        }
    }
    let digest = hex::encode(Sha256::digest(format!("{{{}}}", fields.join(",")).as_bytes()));
    Ok(digest[..10]
        .chars()
        .map(|c| match c {
            '0' => 'g',
            '1' => 'h',
            '3' => 'k',
            'a' => 'm',
            'e' => 't',
            c => c,
        })
        .collect())
}

/// Returns a resource as JSON, for messages.
pub(crate) fn shown_json(resource: &Resource) -> String {
    let mut out = String::new();
    match json::write(&mut out, &resource.node) {
        Ok(()) => out,
        Err(error) => format!("<{error}>"),
    }
}
