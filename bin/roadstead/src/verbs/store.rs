//! `store`: snapshots of what the platform knows, their restoring, and whether all is sound.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use apiserver::store;
use kube::config::{KubeConfigOptions, Kubeconfig};
use tokio::io::AsyncWriteExt;

use crate::{
    cli::StoreVerb,
    output,
    paths::Paths,
    state::{self, Platform},
};

pub(crate) async fn run(paths: &Paths, verb: StoreVerb) -> anyhow::Result<()> {
    match verb {
        StoreVerb::Snapshot { file } => snapshot(paths, &file).await,
        StoreVerb::Restore { file } => restore(paths, &file),
        StoreVerb::Check { file } => check(paths, file),
    }
}

async fn snapshot(paths: &Paths, file: &Path) -> anyhow::Result<()> {
    Platform::running(paths)?;
    let config = Kubeconfig::read_from(paths.kubeconfig()).context("failed to read the platform's kubeconfig")?;
    let config = kube::Config::from_custom_kubeconfig(config, &KubeConfigOptions::default()).await?;
    let client = kube::Client::try_from(config)?;
    let request = http::Request::get("/roadstead/store/snapshot").body(kube::client::Body::empty())?;
    let answer = client.send(request).await.context("failed to ask for the snapshot")?;
    if !answer.status().is_success() {
        bail!("the snapshot was refused ({})", answer.status());
    }
    let draft = file.with_extension("draft");
    let mut out = create_private(&draft).await?;
    let mut body = answer.into_body();
    while let Some(frame) = http_body_util::BodyExt::frame(&mut body).await {
        if let Ok(bytes) = frame.context("the snapshot broke off")?.into_data() {
            out.write_all(&bytes).await.with_context(|| format!("failed to write {}", draft.display()))?;
        }
    }
    out.sync_all().await.with_context(|| format!("failed to write {}", draft.display()))?;
    let report = store::check(&draft)?;
    std::fs::rename(&draft, file).with_context(|| format!("failed to write {}", file.display()))?;
    output::note(&format!("{} objects at revision {} are in {}", report.objects, report.revision, file.display()));
    Ok(())
}

/// Makes a file that its owner alone reads: secrets are in it.
async fn create_private(path: &Path) -> anyhow::Result<tokio::fs::File> {
    let mut options = tokio::fs::OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    options.open(path).await.with_context(|| format!("failed to write {}", path.display()))
}

fn restore(paths: &Paths, file: &Path) -> anyhow::Result<()> {
    let _lock = state::lock(paths)?.context("the platform is running: stop it first with 'roadstead down'")?;
    let report = store::restore(file, &paths.store())?;
    output::note(&format!("{} objects are restored; the next 'roadstead up' begins with them", report.objects));
    Ok(())
}

fn check(paths: &Paths, file: Option<PathBuf>) -> anyhow::Result<()> {
    let report = match file {
        Some(file) => store::check(&file)?,
        None => {
            let _lock = state::lock(paths)?.context("the platform is running: stop it first with 'roadstead down'")?;
            store::check(&paths.store())?
        }
    };
    output::data(&format!(
        "sound: revision {}, {} objects, {} remembered changes",
        report.revision, report.objects, report.changes
    ));
    Ok(())
}
