//! Takes the facts of the built-in types' binary form (field numbers, names, kinds;
//! not the prose) from the struct tags of the pinned Go modules and writes them as
//! one compact table. It never reads a request: `schema::wire` does, by the table.

use std::{
    collections::{BTreeMap, HashMap},
    fmt::Write as _,
    path::Path,
};

use anyhow::{Context, bail};

use super::module;

/// The release whose modules are read.
const VERSION: &str = "v0.36.3";
const META: &str = "k8s.io/apimachinery/pkg/apis/meta/v1";

/// Module, folder in it, and the API version that its types are served under.
const PACKAGES: &[(&str, &str, &str)] = &[
    ("k8s.io/apimachinery", "pkg/apis/meta/v1", "meta.k8s.io/v1"),
    ("k8s.io/api", "core/v1", "v1"),
    ("k8s.io/api", "apps/v1", "apps/v1"),
    ("k8s.io/api", "batch/v1", "batch/v1"),
    ("k8s.io/api", "autoscaling/v1", "autoscaling/v1"),
    ("k8s.io/api", "autoscaling/v2", "autoscaling/v2"),
    ("k8s.io/api", "policy/v1", "policy/v1"),
    ("k8s.io/api", "networking/v1", "networking.k8s.io/v1"),
    ("k8s.io/api", "discovery/v1", "discovery.k8s.io/v1"),
    ("k8s.io/api", "rbac/v1", "rbac.authorization.k8s.io/v1"),
    ("k8s.io/api", "coordination/v1", "coordination.k8s.io/v1"),
    ("k8s.io/api", "storage/v1", "storage.k8s.io/v1"),
    ("k8s.io/api", "scheduling/v1", "scheduling.k8s.io/v1"),
    ("k8s.io/api", "events/v1", "events.k8s.io/v1"),
    ("k8s.io/api", "admissionregistration/v1", "admissionregistration.k8s.io/v1"),
    ("k8s.io/api", "authentication/v1", "authentication.k8s.io/v1"),
    ("k8s.io/api", "authorization/v1", "authorization.k8s.io/v1"),
    ("k8s.io/api", "certificates/v1", "certificates.k8s.io/v1"),
    ("k8s.io/api", "node/v1", "node.k8s.io/v1"),
    ("k8s.io/api", "flowcontrol/v1", "flowcontrol.apiserver.k8s.io/v1"),
    ("k8s.io/api", "resource/v1", "resource.k8s.io/v1"),
    ("k8s.io/apiextensions-apiserver", "pkg/apis/apiextensions/v1", "apiextensions.k8s.io/v1"),
    ("k8s.io/kube-aggregator", "pkg/apis/apiregistration/v1", "apiregistration.k8s.io/v1"),
];

/// A declared type.
pub(super) enum Declared {
    /// Its fields, each with the line's type and tag.
    Struct(Vec<(String, String)>),
    /// Another name for this type.
    Named(String),
}

pub(super) struct Package {
    api: &'static str,
    pub(super) imports: HashMap<String, String>,
    pub(super) types: BTreeMap<String, Declared>,
}

/// Packages by import path.
pub(super) type Packages = BTreeMap<String, Package>;

/// Reads the Go packages that the built-in types are declared in.
pub(super) fn packages() -> anyhow::Result<Packages> {
    let mut folders = HashMap::new();
    for (name, ..) in PACKAGES {
        if !folders.contains_key(name) {
            folders.insert(*name, module(&format!("{name}@{VERSION}"))?);
        }
    }
    let mut packages = Packages::new();
    for (name, folder, api) in PACKAGES {
        let package = read(&folders[name].join(folder), api)?;
        packages.insert(format!("{name}/{folder}"), package);
    }
    Ok(packages)
}

/// Returns the table.
pub(super) fn table(packages: &Packages) -> anyhow::Result<String> {
    let mut out = format!(
        "# Facts of the built-in types' binary form: made by `cargo xtask codegen` from the struct tags of k8s.io/api,\n\
         # k8s.io/apimachinery, k8s.io/apiextensions-apiserver and k8s.io/kube-aggregator {VERSION} (Apache-2.0).\n\
         # `= apiVersion type`, with ` |` where the value is that of the one field set; then ` number field kind`: s string,\n\
         # b boolean, i and l integers of 32 and 64 bits, d double, y bytes, q quantity, t time, T time with microseconds,\n\
         # x integer or string, j JSON as bytes, w wrapped list of strings, @T message, [T list, {{T map from strings. A\n\
         # field named `.` is merged into its parent; `?` leaves out what is zero or empty.\n"
    );
    for (path, package) in packages {
        for (name, declared) in &package.types {
            let Declared::Struct(fields) = declared else { continue };
            if special(path, name).is_some() {
                continue;
            }
            let either = if name.starts_with("JSONSchemaPropsOr") { " |" } else { "" };
            writeln!(out, "= {} {name}{either}", package.api)?;
            let mut lines = BTreeMap::new();
            for (go, tag) in fields {
                let line = field(packages, path, go, tag).with_context(|| format!("{path}.{name}: {go} {tag}"))?;
                if let Some((number, line)) = line
                    && lines.insert(number, line).is_some()
                {
                    bail!("{path}.{name}: the number {number} stands twice");
                }
            }
            for (number, line) in lines {
                writeln!(out, " {number} {line}")?;
            }
        }
    }
    Ok(out)
}

/// Reads the declarations of a package.
fn read(folder: &Path, api: &'static str) -> anyhow::Result<Package> {
    let mut package = Package { api, imports: HashMap::new(), types: BTreeMap::new() };
    for name in ["types.go", "types_jsonschema.go"] {
        let file = folder.join(name);
        if name != "types.go" && !file.exists() {
            continue;
        }
        let text = std::fs::read_to_string(&file).with_context(|| format!("failed to read {}", file.display()))?;
        declarations(&text, &mut package);
    }
    Ok(package)
}

fn declarations(text: &str, package: &mut Package) {
    let mut imports = false;
    let mut open: Option<(String, Vec<(String, String)>)> = None;
    for line in text.lines() {
        let trimmed = line.trim();
        if trimmed.starts_with("//") {
            continue;
        }
        if let Some((_, fields)) = &mut open {
            if line.starts_with('}') {
                package.types.extend(open.take().map(|(name, fields)| (name, Declared::Struct(fields))));
            } else if let Some((before, tag)) = trimmed.split_once('`') {
                // `Name Type` or, embedded, `Type` alone.
                let go = before.trim().split_once(char::is_whitespace).map_or(before.trim(), |(_, go)| go.trim());
                fields.push((go.to_owned(), tag.split('`').next().unwrap_or_default().to_owned()));
            }
        } else if line == "import (" {
            imports = true;
        } else if let Some((alias, path)) = line.strip_prefix("import ").and_then(|rest| rest.split_once(' ')) {
            package.imports.insert(alias.to_owned(), path.trim_matches('"').to_owned());
        } else if imports {
            imports = line != ")";
            if let Some(path) = trimmed.split('"').nth(1) {
                let alias = trimmed.split('"').next().unwrap_or_default().trim();
                let alias = if alias.is_empty() { path.rsplit('/').next().unwrap_or(path) } else { alias };
                package.imports.insert(alias.to_owned(), path.to_owned());
            }
        } else if let Some(declared) = line.strip_prefix("type ") {
            let Some((name, go)) = declared.split_once(' ') else { continue };
            match go.trim() {
                "struct {" => open = Some((name.to_owned(), Vec::new())),
                "struct{}" => _ = package.types.insert(name.to_owned(), Declared::Struct(Vec::new())),
                go => {
                    let go = go.trim_start_matches("= ").split("//").next().unwrap_or_default().trim();
                    package.types.insert(name.to_owned(), Declared::Named(go.to_owned()));
                }
            }
        }
    }
}

/// Returns a field's number and line; `None` if it does not travel.
fn field(packages: &Packages, path: &str, go: &str, tag: &str) -> anyhow::Result<Option<(u32, String)>> {
    let part =
        |key: &str| tag.split(' ').find_map(|part| part.strip_prefix(key)?.strip_prefix(":\"")?.strip_suffix('"'));
    let Some(binary) = part("protobuf") else { return Ok(None) };
    let number = binary.split(',').nth(1).context("the tag has no number")?.parse()?;
    let json = part("json");
    let options = json.unwrap_or_default();
    let name = match options.split(',').next() {
        Some("-") => return Ok(None),
        Some("") if options.contains(",inline") => ".",
        Some("") | None => {
            binary.split(',').find_map(|part| part.strip_prefix("name=")).context("the tag has no name")?
        }
        Some(name) => name,
    };
    let kind = kind(packages, path, go.trim_start_matches('*'))?;
    let scalar = matches!(kind.as_str(), "s" | "b" | "i" | "l" | "d" | "y");
    let dropped = if scalar && !go.starts_with('*') && options.contains(",omitempty") { " ?" } else { "" };
    Ok(Some((number, format!("{name} {kind}{dropped}"))))
}

fn kind(packages: &Packages, path: &str, go: &str) -> anyhow::Result<String> {
    if let Some(items) = go.strip_prefix("[]").filter(|items| *items != "byte") {
        return Ok(format!("[{}", kind(packages, path, items.trim_start_matches('*'))?));
    }
    if let Some((_, values)) = go.strip_prefix("map[").and_then(|rest| rest.split_once(']')) {
        return Ok(format!("{{{}", kind(packages, path, values)?));
    }
    let scalar = match go {
        "string" => "s",
        "bool" => "b",
        "int32" => "i",
        "int" | "int64" => "l",
        "float64" => "d",
        "[]byte" => "y",
        _ => "",
    };
    if !scalar.is_empty() {
        return Ok(scalar.to_owned());
    }
    let here = packages.get(path).with_context(|| format!("{path} is not read"))?;
    let (path, name) = match go.split_once('.') {
        Some((alias, name)) => {
            (here.imports.get(alias).with_context(|| format!("{alias} is not imported"))?.as_str(), name)
        }
        None => (path, go),
    };
    if let Some(kind) = special(path, name) {
        return Ok(kind.to_owned());
    }
    let package = packages.get(path).with_context(|| format!("{path} is not read"))?;
    match package.types.get(name).with_context(|| format!("{path}.{name} is not declared"))? {
        Declared::Struct(_) => Ok(format!("@{}:{name}", package.api)),
        Declared::Named(go) => kind(packages, path, go),
    }
}

/// Types whose form in JSON is not that of their fields.
fn special(path: &str, name: &str) -> Option<&'static str> {
    match (path, name) {
        ("k8s.io/apimachinery/pkg/types", _) => Some("s"),
        ("k8s.io/apimachinery/pkg/api/resource", "Quantity") => Some("q"),
        ("k8s.io/apimachinery/pkg/util/intstr", "IntOrString") => Some("x"),
        ("k8s.io/apimachinery/pkg/runtime", "RawExtension") | (META, "FieldsV1") => Some("j"),
        (_, "JSON") if path.starts_with("k8s.io/apiextensions-apiserver") => Some("j"),
        (META, "Time") => Some("t"),
        (META, "MicroTime") => Some("T"),
        (META, "Verbs") | (_, "ExtraValue") => Some("w"),
        _ => None,
    }
}
