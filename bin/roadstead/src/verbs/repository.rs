//! `repo clone`, and the credentials that git asks for in such a clone.

use std::{io::BufRead, path::Path, process::Command};

use anyhow::{Context, bail};
use platform::rest::Microservice;

use crate::{output, paths::Paths, rest::Rest, services::executable, state::Platform};

/// Clones with stock git. Authority and credentials are set in the clone alone.
pub(crate) async fn clone(paths: &Paths, name: &str, directory: Option<&Path>) -> anyhow::Result<()> {
    let rest = Rest::connect(paths)?;
    let service: Microservice = rest.get(&format!("/microservices/{name}")).await?;
    let url =
        service.repository.with_context(|| format!("{name} has no repository yet: wait a moment and try again"))?;
    let mut command = Command::new("git");
    command.arg("clone");
    for setting in settings(paths, &rest.platform)? {
        command.arg("-c").arg(setting);
    }
    command.arg(&url);
    if let Some(directory) = directory {
        command.arg(directory);
    }
    run(&mut command)?;
    let folder = directory.map_or_else(|| name.to_owned(), |directory| directory.display().to_string());
    // Commits work without a global user.name.
    for (key, value) in [("user.name", "Roadstead developer"), ("user.email", "developer@roadstead.localhost")] {
        let known =
            Command::new("git").args(["-C", &folder, "config", "--get", key]).output().context("failed to run git")?;
        if !known.status.success() {
            run(Command::new("git").args(["-C", &folder, "config", key, value]))?;
        }
    }
    output::note(&format!(
        "next: cd {folder}, change values.yaml, git commit -a, git push, roadstead wait {name} --synced --healthy"
    ));
    Ok(())
}

/// Returns the newest commit of a service's repository.
pub(crate) fn head(paths: &Paths, rest: &Rest, name: &str) -> anyhow::Result<String> {
    let mut command = Command::new("git");
    for setting in settings(paths, &rest.platform)? {
        command.arg("-c").arg(setting);
    }
    command.arg("ls-remote").arg(format!("{}/git/{name}.git", rest.platform.https_url())).arg("HEAD");
    let output = command.output().context("failed to run git: install it (Debian: apt-get install git)")?;
    if !output.status.success() {
        bail!("git could not read the repository of {name}: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.split_whitespace().next().map(str::to_owned).with_context(|| format!("the repository of {name} has no commit"))
}

fn settings(paths: &Paths, platform: &Platform) -> anyhow::Result<[String; 5]> {
    let url = platform.https_url();
    let quoted = |path: &Path| format!("'{}'", path.display().to_string().replace('\'', "'\\''"));
    Ok([
        format!("http.{url}.sslCAInfo={}", paths.gateway_ca().display()),
        // GIT_SSL_CAINFO in the environment would win over the file; the folder is looked at beside it.
        format!("http.{url}.sslCAPath={}", paths.gateway_ca_folder().display()),
        // An empty helper first takes those of the machine out, so that none of them is asked or told.
        format!("credential.{url}.helper="),
        format!("credential.{url}.helper=!{} --data {} git-credential", quoted(&executable()?), quoted(paths.root())),
        format!("credential.{url}.username=roadstead"),
    ])
}

fn run(command: &mut Command) -> anyhow::Result<()> {
    let status = command.status().context("failed to run git: install it (Debian: apt-get install git)")?;
    if !status.success() {
        bail!("git failed ({status}); what it said stands above");
    }
    Ok(())
}

/// Answers git's question for credentials with the platform's token, for its own address alone.
pub(crate) fn credential(paths: &Paths, action: &str) -> anyhow::Result<()> {
    if action != "get" {
        return Ok(());
    }
    let platform = Platform::read(paths)?;
    let (mut protocol, mut host) = (String::new(), String::new());
    for line in std::io::stdin().lock().lines() {
        let line = line.context("failed to read git's question")?;
        match line.split_once('=') {
            Some(("protocol", value)) => value.clone_into(&mut protocol),
            Some(("host", value)) => value.clone_into(&mut host),
            _ => {}
        }
    }
    if protocol != "https" || host != format!("localhost:{}", platform.https.port()) {
        return Ok(());
    }
    let token = std::fs::read_to_string(paths.token())
        .with_context(|| format!("failed to read {}", paths.token().display()))?;
    output::data(&format!("username=roadstead\npassword={}", token.trim()));
    Ok(())
}
