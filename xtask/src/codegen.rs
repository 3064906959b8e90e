//! Takes the facts of Kubernetes' built-in types (fields, types, list and patch
//! strategies; not the prose) from the published OpenAPI of the pinned module and
//! writes them as one compact table; [`wire`] makes the one of their binary form,
//! [`roles`] the one of the default roles, [`merges`] the one that kustomize merges by.

mod merges;
mod presence;
mod roles;
mod wire;

use std::{collections::BTreeMap, fmt::Write as _, path::PathBuf, process::Command};

use anyhow::{Context, bail};
use serde_json::Value;

/// The module that the facts come from.
const MODULE: &str = "k8s.io/kubernetes@v1.36.3";
const OUTPUT: &str = "crates/kube/schema/src/kubernetes.types";
const ROLES_OUTPUT: &str = "crates/cluster/apiserver/src/bootstrap/kubernetes.roles";
const MERGES_OUTPUT: &str = "crates/delivery/kustomize/src/kubernetes.merge";
const WIRE_OUTPUT: &str = "crates/kube/schema/src/kubernetes.wire";

/// Packages whose types are kept.
const PACKAGES: &[&str] = &[
    "io.k8s.api.core.v1.",
    "io.k8s.api.apps.v1.",
    "io.k8s.api.batch.v1.",
    "io.k8s.api.autoscaling.v1.",
    "io.k8s.api.autoscaling.v2.",
    "io.k8s.api.policy.v1.",
    "io.k8s.api.networking.v1.",
    "io.k8s.api.discovery.v1.",
    "io.k8s.api.rbac.v1.",
    "io.k8s.api.coordination.v1.",
    "io.k8s.api.storage.v1.",
    "io.k8s.api.scheduling.v1.",
    "io.k8s.api.events.v1.",
    "io.k8s.api.admissionregistration.v1.",
    "io.k8s.api.authentication.v1.",
    "io.k8s.api.authorization.v1.",
    "io.k8s.api.certificates.v1.",
    "io.k8s.api.node.v1.",
    "io.k8s.api.flowcontrol.v1.",
    "io.k8s.api.resource.v1.",
    "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.",
    "io.k8s.kube-aggregator.pkg.apis.apiregistration.v1.",
    "io.k8s.apimachinery.pkg.apis.meta.v1.",
    "io.k8s.apimachinery.pkg.api.",
    "io.k8s.apimachinery.pkg.runtime.",
    "io.k8s.apimachinery.pkg.util.intstr.",
];

/// What to do with the tables.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Write them anew.
    Write,
    /// Say whether the committed ones are current.
    Check,
}

/// Makes the tables.
pub(crate) fn run(mode: Mode) -> anyhow::Result<()> {
    let packages = wire::packages()?;
    let tables = [
        (OUTPUT, table(&openapi()?, &packages)?),
        (WIRE_OUTPUT, wire::table(&packages)?),
        (ROLES_OUTPUT, roles::table()?),
        (MERGES_OUTPUT, merges::table()?),
    ];
    for (output, text) in tables {
        if mode == Mode::Write {
            std::fs::write(output, text).with_context(|| format!("failed to write {output}"))?;
            continue;
        }
        let committed = std::fs::read_to_string(output).with_context(|| format!("failed to read {output}"))?;
        if committed != text {
            bail!("{output} is stale: run `cargo xtask codegen`");
        }
    }
    Ok(())
}

/// Returns the folder of a module, fetched if it is not there.
fn module(name: &str) -> anyhow::Result<PathBuf> {
    let output = Command::new("go")
        .args(["mod", "download", "-json", name])
        .output()
        .context("failed to start go, which fetches the Kubernetes modules: install Go 1.26")?;
    if !output.status.success() {
        bail!("go mod download {name} failed: {}", String::from_utf8_lossy(&output.stdout));
    }
    let module: Value = serde_json::from_slice(&output.stdout).context("failed to read go's answer")?;
    Ok(PathBuf::from(module["Dir"].as_str().context("go's answer names no folder")?))
}

fn openapi() -> anyhow::Result<Value> {
    let file = module(MODULE)?.join("api/openapi-spec/swagger.json");
    let text = std::fs::read(&file).with_context(|| format!("failed to read {}", file.display()))?;
    serde_json::from_slice(&text).context("failed to parse the published OpenAPI")
}

fn table(openapi: &Value, packages: &wire::Packages) -> anyhow::Result<String> {
    let definitions = openapi["definitions"].as_object().context("the OpenAPI has no definitions")?;
    let mut out = format!(
        "# Facts of the built-in types: made by `cargo xtask codegen` from api/openapi-spec of {MODULE} (Apache-2.0).\n\
         # `= type !required,fields` then ` field type facts`; s string, q quantity, i integer, n number, b boolean,\n\
         # o any object, x integer or string, a anything (after a colon their published name), @T a type, [T a list, {{T a map; lt list type, lk its keys, ps and\n\
         # pk patch strategy and key, mt map type, f=a always shown, f=e left out when empty, f=n shown as null when absent.\n"
    );
    let sorted: BTreeMap<_, _> = definitions.iter().collect();
    for (name, definition) in sorted {
        if !PACKAGES.iter().any(|package| name.starts_with(package)) {
            continue;
        }
        let Some(properties) = definition["properties"].as_object() else { continue };
        write!(out, "= {name}")?;
        if let Some(required) = definition["required"].as_array() {
            let names: Vec<_> = required.iter().filter_map(Value::as_str).collect();
            write!(out, " !{}", names.join(","))?;
        }
        if let Some(map_type) = definition["x-kubernetes-map-type"].as_str() {
            write!(out, " mt={map_type}")?;
        }
        out.push('\n');
        let properties: BTreeMap<_, _> = properties.iter().collect();
        for (field, schema) in properties {
            let kind = kind(schema, definitions)?;
            let shown = presence::of(packages, name, field, &kind);
            writeln!(out, " {field} {kind}{}{shown}", facts(schema))?;
        }
    }
    Ok(out)
}

fn kind(schema: &Value, definitions: &serde_json::Map<String, Value>) -> anyhow::Result<String> {
    if let Some(reference) = schema["$ref"].as_str() {
        let name = reference.trim_start_matches("#/definitions/");
        let target = definitions.get(name).with_context(|| format!("{name} is not defined"))?;
        if target.get("properties").is_some() {
            return Ok(format!("@{name}"));
        }
        return match name.rsplit('.').next() {
            Some("JSON" | "JSONSchemaPropsOrBool" | "JSONSchemaPropsOrArray" | "JSONSchemaPropsOrStringArray") => {
                Ok(format!("a:{name}"))
            }
            Some("Quantity") => Ok("q".into()),
            Some("MicroTime") => Ok("s:micro-time".into()),
            _ => kind(target, definitions).map(|kind| if kind == "o" { format!("o:{name}") } else { kind }),
        };
    }
    let format = schema["format"].as_str();
    Ok(match (schema["type"].as_str(), format) {
        (Some("string"), Some("int-or-string")) => "x".into(),
        (Some("string"), Some(format)) => format!("s:{format}"),
        (Some("string"), None) => "s".into(),
        (Some("integer"), format) => format!("i:{}", format.unwrap_or("int64")),
        (Some("number"), _) => "n".into(),
        (Some("boolean"), _) => "b".into(),
        (Some("array"), _) => format!("[{}", kind(&schema["items"], definitions)?),
        (Some("object"), _) => match schema.get("additionalProperties") {
            Some(values) => format!("{{{}", kind(values, definitions)?),
            None => "o".into(),
        },
        _ => "a".into(),
    })
}

fn facts(schema: &Value) -> String {
    let mut out = String::new();
    let mut put = |key: &str, value: String| {
        out.push(' ');
        out.push_str(key);
        out.push('=');
        out.push_str(&value);
    };
    if let Some(list_type) = schema["x-kubernetes-list-type"].as_str() {
        put("lt", list_type.to_owned());
    }
    if let Some(keys) = schema["x-kubernetes-list-map-keys"].as_array() {
        put("lk", keys.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(","));
    }
    if let Some(strategy) = schema["x-kubernetes-patch-strategy"].as_str() {
        put("ps", strategy.to_owned());
    }
    if let Some(key) = schema["x-kubernetes-patch-merge-key"].as_str() {
        put("pk", key.to_owned());
    }
    if let Some(map_type) = schema["x-kubernetes-map-type"].as_str() {
        put("mt", map_type.to_owned());
    }
    out
}
