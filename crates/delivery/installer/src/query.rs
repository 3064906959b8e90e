//! `roadstead helm list`, `history`, `status` and `get`: what the records say.

use std::collections::BTreeMap;

use release::{Release, Status};
use serde_json::{Value, json};

use crate::{
    Cluster, Error,
    args::{GetArgs, HistoryArgs, ListArgs, Output, Part, StatusArgs},
    history::{self, History},
    show,
};

/// Lists the newest revision of each release.
pub(crate) async fn list(cluster: &Cluster, args: &ListArgs) -> Result<String, Error> {
    let namespace = (!args.all_namespaces).then_some(cluster.namespace.as_str());
    let mut newest: BTreeMap<(String, String), Release> = BTreeMap::new();
    for release in history::all(cluster, namespace).await? {
        let key = (release.name.clone(), release.namespace.clone());
        if newest.get(&key).is_none_or(|known| known.version < release.version) {
            newest.insert(key, release);
        }
    }
    let chosen = newest.into_values().filter(|release| {
        let status = release.info.status;
        let asked = [
            (args.failed, status == Status::Failed),
            (args.pending, status.is_pending()),
            (args.uninstalled, status == Status::Uninstalled),
        ];
        let shown = if asked.iter().any(|(asked, _)| *asked) {
            asked.iter().any(|(asked, is)| *asked && *is)
        } else {
            args.all || matches!(status, Status::Deployed | Status::Failed)
        };
        shown && args.filter.as_ref().is_none_or(|text| release.name.contains(text.as_str()))
    });
    let chosen: Vec<Release> = chosen.collect();
    if args.short && args.output == Output::Table {
        return Ok(chosen.iter().flat_map(|release| [release.name.as_str(), "\n"]).collect());
    }
    let head = ["name", "namespace", "revision", "updated", "status", "chart", "app_version"];
    let rows = chosen.into_iter().map(|release| {
        vec![
            json!(release.name),
            json!(release.namespace),
            json!(release.version.to_string()),
            json!(show::time(&release.info.last_deployed)),
            json!(release.info.status.name()),
            json!(release.chart_name()),
            json!(release.chart_field("appVersion")),
        ]
    });
    Ok(show::rows(&head, rows.collect(), args.output))
}

/// Lists the revisions of a release.
pub(crate) async fn history(cluster: &Cluster, args: &HistoryArgs) -> Result<String, Error> {
    let all = History::new(cluster).existing(&args.name).await?;
    let head = ["revision", "updated", "status", "chart", "app_version", "description"];
    let rows = all.iter().skip(all.len().saturating_sub(args.max)).map(|release| {
        vec![
            json!(release.version),
            json!(show::time(&release.info.last_deployed)),
            json!(release.info.status.name()),
            json!(release.chart_name()),
            json!(release.chart_field("appVersion")),
            json!(release.info.description),
        ]
    });
    Ok(show::rows(&head, rows.collect(), args.output))
}

/// Shows how a release stands.
pub(crate) async fn status(cluster: &Cluster, args: &StatusArgs) -> Result<String, Error> {
    let release = History::new(cluster).revision(&args.name, args.revision).await?;
    Ok(show::status(&release, args.output, show::Notes::Shown))
}

/// Shows a part of a record.
pub(crate) async fn get(cluster: &Cluster, args: &GetArgs) -> Result<String, Error> {
    let release = History::new(cluster).revision(&args.name, args.revision).await?;
    Ok(match args.part {
        Part::Values => values(&release, args),
        Part::Manifest => release.manifest.clone(),
        Part::Hooks => show::hooks(&release),
        Part::Notes => notes(&release),
        Part::Metadata => show::structured(&metadata(&release), structured_or_yaml(args.output)),
        Part::All => [
            show::structured(&metadata(&release), Output::Yaml),
            values(&release, args),
            show::hooks(&release),
            format!("MANIFEST:\n{}", release.manifest),
            notes(&release),
        ]
        .concat(),
    })
}

fn structured_or_yaml(output: Output) -> Output {
    if output == Output::Table { Output::Yaml } else { output }
}

fn notes(release: &Release) -> String {
    if release.info.notes.is_empty() { String::new() } else { format!("NOTES:\n{}\n", release.info.notes) }
}

fn values(release: &Release, args: &GetArgs) -> String {
    let given = Value::Object(release.config.clone());
    let (title, values) = if args.all {
        let own = &release.chart["values"];
        ("COMPUTED VALUES:\n", helm::values_over(&given, own))
    } else {
        ("USER-SUPPLIED VALUES:\n", if release.config.is_empty() { Value::Null } else { given })
    };
    match args.output {
        Output::Table => format!("{title}{}", show::structured(&values, Output::Yaml)),
        output => show::structured(&values, output),
    }
}

fn metadata(release: &Release) -> Value {
    json!({
        "name": release.name,
        "chart": release.chart_field("name"),
        "version": release.chart_field("version"),
        "appVersion": release.chart_field("appVersion"),
        "namespace": release.namespace,
        "revision": release.version,
        "status": release.info.status.name(),
        "deployedAt": release.info.last_deployed,
    })
}
