//! Takes the default roles and bindings (who may do what, as facts) from the pinned
//! module's published fixtures and writes them as one compact table.

use std::fmt::Write as _;

use anyhow::Context;
use serde_json::Value;

const FOLDER: &str = "plugin/pkg/auth/authorizer/rbac/bootstrappolicy/testdata";
const FILES: &[&str] = &[
    "cluster-roles",
    "controller-roles",
    "namespace-roles",
    "cluster-role-bindings",
    "controller-role-bindings",
    "namespace-role-bindings",
];
const HEADER: &str = "\
# Kubernetes' default roles and bindings, as facts. Written by `cargo xtask codegen`; do not edit.
# Origin: plugin/pkg/auth/authorizer/rbac/bootstrappolicy/testdata of k8s.io/kubernetes v1.36.3, Apache-2.0.
# A line without indent begins an object; under it: select, label, to, rule (verbs | groups | resources | names | paths).
";

/// Returns the table.
pub(super) fn table() -> anyhow::Result<String> {
    let folder = super::module(super::MODULE)?.join(FOLDER);
    let mut out = HEADER.to_owned();
    for file in FILES {
        let path = folder.join(format!("{file}.yaml"));
        let text = std::fs::read_to_string(&path).with_context(|| format!("failed to read {}", path.display()))?;
        let list: Value = serde_saphyr::from_str(&text).with_context(|| format!("{} is not YAML", path.display()))?;
        for item in list["items"].as_array().context("a list has no items")? {
            object(item, &mut out)?;
        }
    }
    Ok(out)
}

fn object(item: &Value, out: &mut String) -> anyhow::Result<()> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let metadata = &item["metadata"];
    let mut name = text(&metadata["name"]);
    if let Some(namespace) = metadata["namespace"].as_str() {
        name = format!("{namespace}/{name}");
    }
    write!(out, "{} {name}", text(&item["kind"]))?;
    if item["roleRef"].is_object() {
        write!(out, " = {} {}", text(&item["roleRef"]["kind"]), text(&item["roleRef"]["name"]))?;
    }
    out.push('\n');
    for selector in item["aggregationRule"]["clusterRoleSelectors"].as_array().into_iter().flatten() {
        for key in selector["matchLabels"].as_object().into_iter().flatten().map(|(key, _)| key) {
            writeln!(out, " select {key}")?;
        }
    }
    for key in metadata["labels"].as_object().into_iter().flatten().map(|(key, _)| key) {
        if key != "kubernetes.io/bootstrapping" {
            writeln!(out, " label {key}")?;
        }
    }
    for subject in item["subjects"].as_array().into_iter().flatten() {
        let (kind, name) = (text(&subject["kind"]), text(&subject["name"]));
        match subject["namespace"].as_str() {
            Some(namespace) => writeln!(out, " to {kind} {namespace}/{name}")?,
            None => writeln!(out, " to {kind} {name}")?,
        }
    }
    for rule in item["rules"].as_array().into_iter().flatten() {
        let lists = ["verbs", "apiGroups", "resources", "resourceNames", "nonResourceURLs"].map(|name| {
            let items = rule[name].as_array().into_iter().flatten().filter_map(Value::as_str);
            items.map(|item| if item.is_empty() { "core" } else { item }).collect::<Vec<_>>().join(",")
        });
        writeln!(out, " rule {}", lists.join(" | ").trim_end_matches([' ', '|']))?;
    }
    Ok(())
}
