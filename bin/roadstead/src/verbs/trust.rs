//! `trust` and `untrust`: the gateway's authority in this machine's own list, only
//! when asked. It is constrained to `localhost` names.

use std::{path::Path, process::Command};

use anyhow::{Context, bail};

use crate::{output, paths::Paths};

const FOLDER: &str = "/usr/local/share/ca-certificates";
const FILE: &str = "/usr/local/share/ca-certificates/roadstead.crt";

pub(crate) fn install(paths: &Paths) -> anyhow::Result<()> {
    let ca = paths.gateway_ca();
    if !ca.exists() {
        bail!("there is no authority yet: run 'roadstead up' first");
    }
    if !Path::new(FOLDER).is_dir() {
        bail!("this machine keeps its trusted authorities elsewhere; add {} by its own means", ca.display());
    }
    std::fs::copy(&ca, FILE).with_context(|| format!("failed to write {FILE}: this needs root"))?;
    update()?;
    output::note(
        "this machine trusts the gateway's certificates; 'roadstead untrust' undoes it. Browsers with a list of their own need it imported there",
    );
    Ok(())
}

pub(crate) fn remove() -> anyhow::Result<()> {
    match std::fs::remove_file(FILE) {
        Ok(()) => {}
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            output::note("it was not trusted");
            return Ok(());
        }
        Err(error) => return Err(error).with_context(|| format!("failed to remove {FILE}: this needs root")),
    }
    update()?;
    output::note("this machine no longer trusts the gateway's certificates");
    Ok(())
}

fn update() -> anyhow::Result<()> {
    let status = Command::new("update-ca-certificates")
        .status()
        .context("failed to run update-ca-certificates: install ca-certificates")?;
    if !status.success() {
        bail!("update-ca-certificates failed ({status})");
    }
    Ok(())
}
