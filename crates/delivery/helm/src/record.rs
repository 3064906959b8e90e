//! A chart as the records of releases hold it (`helm.sh/helm/v3/pkg/chart`): what Helm writes as JSON of one.
//!
//! Subcharts are left out, as Helm leaves them out: what a release consists of stands in its manifest.

use base64::{Engine, engine::general_purpose::STANDARD};
use gotmpl::{Value, yaml};
use serde_json::{Map, Value as Json, json};

use super::{
    Error, Files,
    chart::{Chart, scalar_text},
    metadata::{items, text},
};

/// Fields of `Chart.yaml` that are text, in a record.
const TEXTS: [&str; 11] = [
    "name",
    "home",
    "version",
    "description",
    "icon",
    "apiVersion",
    "condition",
    "tags",
    "appVersion",
    "kubeVersion",
    "type",
];

/// Fields of a dependency that are text.
const DEPENDENCY: [&str; 5] = ["name", "version", "repository", "condition", "alias"];

/// Returns the chart as a record holds it; `files` are those that it was loaded from.
pub(super) fn of(chart: &Chart, files: &Files) -> Result<Json, Error> {
    let templates = chart.templates.iter().map(|(name, text)| file(name, text.as_bytes()));
    let others = chart.files.iter().map(|(name, bytes)| file(name, bytes));
    Ok(json!({
        "metadata": metadata(chart),
        "lock": lock(files)?,
        "templates": templates.collect::<Vec<_>>(),
        "values": numbers(&chart.values),
        "schema": chart.schema.as_ref().map(|text| STANDARD.encode(text)),
        "files": others.collect::<Vec<_>>(),
    }))
}

fn file(name: &str, bytes: &[u8]) -> Json {
    json!({"name": name, "data": STANDARD.encode(bytes)})
}

/// Values as JSON, whole numbers without a fraction, as Go writes them.
pub(super) fn numbers(values: &Value) -> Json {
    let text = gotmpl::json::compact(values, gotmpl::json::Escape::Raw);
    serde_json::from_str(&text).unwrap_or_else(|_| values.to_json())
}

fn texts(from: &Value, keys: &[&str], to: &mut Map<String, Json>) {
    for key in keys {
        let text = text(from, key);
        if !text.is_empty() {
            to.insert((*key).to_owned(), text.into());
        }
    }
}

fn metadata(chart: &Chart) -> Json {
    let from = &chart.metadata;
    let mut to = Map::new();
    texts(from, &TEXTS, &mut to);
    to.insert("name".to_owned(), chart.name.clone().into());
    for key in ["sources", "keywords"] {
        let texts: Vec<String> = items(from, key).iter().map(scalar_text).collect();
        if !texts.is_empty() {
            to.insert(key.to_owned(), texts.into());
        }
    }
    let maintainers: Vec<Json> = items(from, "maintainers")
        .iter()
        .map(|one| {
            let mut maintainer = Map::new();
            texts(one, &["name", "email", "url"], &mut maintainer);
            Json::Object(maintainer)
        })
        .collect();
    if !maintainers.is_empty() {
        to.insert("maintainers".to_owned(), maintainers.into());
    }
    if from.get("deprecated").is_some_and(|value| value.truth()) {
        to.insert("deprecated".to_owned(), true.into());
    }
    if let Some(annotations) = from.get("annotations").filter(Value::truth)
        && let Some(entries) = annotations.as_map()
    {
        let all: Map<String, Json> =
            entries.borrow().iter().map(|(key, value)| (key.to_string(), scalar_text(value).into())).collect();
        to.insert("annotations".to_owned(), all.into());
    }
    let dependencies: Vec<Json> = items(from, "dependencies").iter().map(|one| dependency(one, chart)).collect();
    if !dependencies.is_empty() {
        to.insert("dependencies".to_owned(), dependencies.into());
    }
    Json::Object(to)
}

fn dependency(from: &Value, chart: &Chart) -> Json {
    let mut to = Map::new();
    texts(from, &DEPENDENCY, &mut to);
    to.entry("repository").or_insert_with(|| "".into());
    let tags: Vec<String> = items(from, "tags").iter().map(scalar_text).collect();
    if !tags.is_empty() {
        to.insert("tags".to_owned(), tags.into());
    }
    let alias = text(from, "alias");
    let name = if alias.is_empty() { text(from, "name") } else { alias };
    if chart.dependencies.iter().any(|one| one.enabled && one.name == name) {
        to.insert("enabled".to_owned(), true.into());
    }
    let imports: Vec<Json> = items(from, "import-values").iter().map(numbers).collect();
    if !imports.is_empty() {
        to.insert("import-values".to_owned(), imports.into());
    }
    Json::Object(to)
}

fn lock(files: &Files) -> Result<Json, Error> {
    let Some(bytes) = files.get("Chart.lock").or_else(|| files.get("requirements.lock")) else { return Ok(Json::Null) };
    let lock = yaml::read(&String::from_utf8_lossy(bytes))
        .map_err(|error| Error::Load { reason: format!("cannot load Chart.lock: {error}") })?;
    let dependencies: Vec<Json> = items(&lock, "dependencies")
        .iter()
        .map(|one| {
            let mut to = Map::new();
            texts(one, &DEPENDENCY, &mut to);
            Json::Object(to)
        })
        .collect();
    Ok(json!({
        "generated": text(&lock, "generated"),
        "digest": text(&lock, "digest"),
        "dependencies": dependencies,
    }))
}
