//! What is asked: objects of every kind (least, rich and wrong ones) from the files in
//! `kinds`, and the requests that are made of each.

use std::path::Path;

use anyhow::Context;
use serde_json::{Value, json};

use crate::cluster::{APPLY_PATCH, Answer, Call, Cluster, JSON_PATCH, MERGE_PATCH, STRATEGIC_PATCH, TABLE};

/// One object and what is done with it.
#[derive(Clone, Debug)]
pub struct Case {
    /// File and what the case says of itself.
    pub title: String,
    /// Path of the collection.
    pub path: String,
    /// The object.
    pub object: Value,
    /// The status that a refusal has, and the fields that it names.
    pub refused: Option<(u16, Vec<String>)>,
    /// Further patches: (kind of patch, subresource, body).
    pub then: Vec<(String, Value)>,
}

/// One request's answer, with what was asked.
#[derive(Clone, Debug)]
pub struct Step {
    /// What was asked.
    pub title: String,
    /// The answer.
    pub answer: Answer,
}

/// Reads the cases of all files, with `{ns}` and `{name}` filled in.
///
/// # Errors
///
/// A file cannot be read.
pub fn all(folder: &Path, namespace: &str) -> anyhow::Result<Vec<Case>> {
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .with_context(|| format!("failed to list {}", folder.display()))?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|ending| ending == "yaml"))
        .collect();
    files.sort();
    let mut cases = Vec::new();
    for file in files {
        let text = std::fs::read_to_string(&file)?;
        let stem = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        for (index, document) in text.split("\n---\n").enumerate() {
            let name = format!("{stem}-{index}-{}", &namespace[namespace.len() - 6..]);
            let document = document.replace("{ns}", namespace).replace("{name}", &name);
            let value: Value =
                serde_saphyr::from_str(&document).with_context(|| format!("{}, document {index}", file.display()))?;
            cases.push(case(&stem, index, &name, &value));
        }
    }
    Ok(cases)
}

fn case(stem: &str, index: usize, name: &str, value: &Value) -> Case {
    let mut object = value["object"].clone();
    if object["metadata"]["name"].is_null() && object["metadata"]["generateName"].is_null() {
        object["metadata"]["name"] = name.into();
    }
    let refused = value["refused"].as_u64().map(|code| {
        let fields = value["fields"].as_array().into_iter().flatten().filter_map(Value::as_str);
        (u16::try_from(code).unwrap_or_default(), fields.map(str::to_owned).collect())
    });
    let then = value["then"].as_array().into_iter().flatten().filter_map(Value::as_object);
    let then = then.flatten().map(|(kind, body)| (kind.clone(), body.clone())).collect();
    let path = value["path"].as_str().unwrap_or_default().to_owned();
    Case {
        title: format!("{stem}-{index} {path} {}", value["does"].as_str().unwrap_or_default()),
        path,
        object,
        refused,
        then,
    }
}

/// Makes the requests of a case.
///
/// # Errors
///
/// An answer did not come.
pub async fn walk(cluster: &Cluster, case: &Case) -> anyhow::Result<Vec<Step>> {
    let mut steps = Vec::new();
    let mut step = async |title: &str, call: Call| -> anyhow::Result<Answer> {
        let answer = cluster.send(&call).await?;
        steps.push(Step { title: title.to_owned(), answer: answer.clone() });
        Ok(answer)
    };
    let created =
        step("create", Call::post(format!("{}?fieldValidation=Strict", case.path), case.object.clone())).await?;
    if created.code >= 300 {
        return Ok(steps);
    }
    let name = created.body["metadata"]["name"].as_str().unwrap_or_default();
    let path = format!("{}/{}", case.path, name.replace(':', "%3A"));
    step("get", Call::get(path.clone())).await?;
    step("table", Call::get(path.clone()).accept(TABLE)).await?;
    step("merge", Call::patch(path.clone(), MERGE_PATCH, json!({"metadata": {"labels": {"a": "b"}}}))).await?;
    let add = json!([{"op": "add", "path": "/metadata/labels/c", "value": "d"}]);
    step("json", Call::patch(path.clone(), JSON_PATCH, add)).await?;
    let drop = json!({"metadata": {"labels": {"a": null}, "finalizers": null}});
    step("strategic", Call::patch(path.clone(), STRATEGIC_PATCH, drop)).await?;
    let owned = json!({"apiVersion": created.body["apiVersion"], "kind": created.body["kind"],
        "metadata": {"name": name, "labels": {"e": "f"}}});
    step("apply", Call::patch(format!("{path}?fieldManager=applier"), APPLY_PATCH, owned)).await?;
    for (index, (kind, body)) in case.then.iter().enumerate() {
        // `merge`, or `merge status` for a subresource; `put` replaces.
        let (kind, part) = kind.split_once(' ').unwrap_or((kind, ""));
        let part = if part.is_empty() { String::new() } else { format!("/{part}") };
        let (media, query) = match kind {
            "json" => (JSON_PATCH, ""),
            "strategic" => (STRATEGIC_PATCH, ""),
            "apply" => (APPLY_PATCH, "?fieldManager=applier&force=true"),
            _ => (MERGE_PATCH, ""),
        };
        let call = if kind == "put" {
            Call::put(format!("{path}{part}"), body.clone())
        } else {
            Call::patch(format!("{path}{part}{query}"), media, body.clone())
        };
        step(&format!("then {index} {kind}{part}"), call).await?;
    }
    step("table at the end", Call::get(path.clone()).accept(TABLE)).await?;
    step("delete", Call::delete(format!("{path}?gracePeriodSeconds=0&propagationPolicy=Background"))).await?;
    Ok(steps)
}
