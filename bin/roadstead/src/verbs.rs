//! The verbs beside `up` and `down`: each asks the REST API and prints.

pub(crate) mod probe;
mod releases;
mod repository;
mod services;
mod store;
pub(crate) mod template;
mod trust;

use anyhow::Context;
use base::settings;

use crate::{
    cli::{Cli, Image, Output, PathOf, Verb},
    output,
    paths::Paths,
    state::{self, Platform},
    stop, up,
};

/// Runs a verb.
pub(crate) async fn run(cli: Cli) -> anyhow::Result<()> {
    let paths = Paths::new(&cli.data.unwrap_or_else(settings::default_data_dir));
    match cli.verb {
        Verb::Up(options) => up::run(&paths, &options).await,
        Verb::Down(options) => stop::run(&paths, &options).await,
        Verb::Status { output } => status(&paths, output),
        Verb::New { name, template, environment, no_wait } => {
            services::new(&paths, &name, &template, &environment, no_wait).await
        }
        Verb::Get { name, environment, output } => {
            services::get(&paths, name.as_deref(), environment.as_deref(), output).await
        }
        Verb::Wait { name, synced, healthy, timeout } => services::wait(&paths, &name, synced, healthy, timeout).await,
        Verb::Logs { name, lines, follow } => services::logs(&paths, &name, lines, follow).await,
        Verb::Scale { name, replicas, no_wait } => services::scale(&paths, &name, replicas, no_wait).await,
        Verb::Delete { name, yes } => services::delete(&paths, &name, yes).await,
        Verb::Repo(crate::cli::Repo::Clone { name, directory }) => {
            repository::clone(&paths, &name, directory.as_deref()).await
        }
        Verb::Kubeconfig(PathOf::Path) => {
            output::data(&paths.kubeconfig().display().to_string());
            Ok(())
        }
        Verb::Ca(PathOf::Path) => {
            output::data(&paths.gateway_ca().display().to_string());
            Ok(())
        }
        Verb::LoginLink => {
            let platform = Platform::running(&paths)?;
            output::data(&crate::services::login_link(&paths, &platform).await?);
            Ok(())
        }
        Verb::Store(verb) => store::run(&paths, verb).await,
        Verb::Helm(verb) => releases::run(&paths, *verb).await,
        Verb::Template(verb) => template::run(&paths, *verb).await,
        Verb::Trust => trust::install(&paths),
        Verb::Untrust => trust::remove(),
        Verb::Image(Image::Pack { elf, tag }) => pack(&paths, &elf, tag).await,
        Verb::GitCredential { action } => repository::credential(&paths, &action),
        Verb::Proxy(_) | Verb::Sample { .. } | Verb::Completions { .. } | Verb::Render(_) | Verb::Lint(_) => Ok(()),
    }
}

/// Prints a value as JSON or YAML.
pub(crate) fn print(value: &impl serde::Serialize, format: Output) -> anyhow::Result<()> {
    let value = serde_json::to_value(value)?;
    match format {
        Output::Yaml => output::raw(gotmpl::yaml::write(&gotmpl::Value::from_json(&value)).as_bytes()),
        _ => output::data(&serde_json::to_string_pretty(&value)?),
    }
    Ok(())
}

fn status(paths: &Paths, format: Output) -> anyhow::Result<()> {
    if !paths.root().exists() || !state::is_locked(paths)? {
        let words = format!("no platform runs on {}: start one with 'roadstead up'", paths.root().display());
        if format == Output::Table {
            anyhow::bail!(words);
        }
        print(&serde_json::json!({"running": false, "data": paths.root()}), format)?;
        anyhow::bail!(words);
    }
    let platform = Platform::read(paths)?;
    if format != Output::Table {
        let mut value = serde_json::to_value(&platform)?;
        value["running"] = true.into();
        return print(&value, format);
    }
    let rows = [
        ("Version", platform.version.clone()),
        ("Process", platform.pid.to_string()),
        ("Portal", platform.portal_url()),
        ("Kubernetes", format!("https://{}", platform.api)),
        ("Git, registry", platform.https_url()),
        ("Services", format!("https://<name>.<domain>:{}", platform.gateway.port())),
        (
            "Isolation",
            std::iter::once(platform.isolation.clone())
                .chain(platform.not_isolated.iter().cloned())
                .collect::<Vec<_>>()
                .join("; "),
        ),
        ("Data", platform.data.clone()),
        ("Since", platform.started_at.clone()),
    ];
    for (name, value) in rows {
        output::data(&format!("{name:<14} {value}"));
    }
    Ok(())
}

async fn pack(paths: &Paths, elf: &std::path::Path, tag: Option<String>) -> anyhow::Result<()> {
    let name = elf.file_name().and_then(|name| name.to_str()).context("the executable has no name")?.to_lowercase();
    let tag = tag.unwrap_or_else(|| format!("{name}:latest"));
    let reference = images::Reference::parse(&format!("registry.cluster.local/{tag}"))?;
    let store = images::Store::open(paths.images())?;
    let (elf, named) = (elf.to_owned(), reference.clone());
    let digest =
        tokio::task::spawn_blocking(move || images::pack::pack(&store, &elf, &named, &images::pack::Config::default()))
            .await
            .context("packing broke off")??;
    output::data(&format!("registry.cluster.local/{tag}@{digest}"));
    Ok(())
}
