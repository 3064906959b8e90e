//! `new`, `get`, `wait`, `logs`, `scale` and `delete`.

use std::time::Duration;

use anyhow::{Context, bail};
use base::clock;
use http::Method;
use http_body_util::BodyExt;
use platform::rest::{CreateMicroservice, Logs, Microservice, Page, Scale};

use crate::{cli::Output, confirm, output, paths::Paths, rest::Rest, verbs};

/// How long a new or scaled service may take.
const PATIENCE: Duration = Duration::from_secs(120);

pub(crate) async fn new(
    paths: &Paths,
    name: &str,
    template: &str,
    environment: &str,
    no_wait: bool,
) -> anyhow::Result<()> {
    let rest = Rest::connect(paths)?;
    let wish = CreateMicroservice {
        name: name.to_owned(),
        template: template.to_owned(),
        environment: environment.to_owned(),
    };
    let service: Microservice = rest.send(Method::POST, "/microservices", Some(&wish)).await?;
    output::note(&format!("{name} is made in {}", service.environment));
    if !no_wait {
        let service = until(&rest, name, PATIENCE, |service| {
            service.sync == "Synced" && service.health == "Healthy" && all_ready(service)
        })
        .await?;
        if let Some(url) = &service.url {
            output::data(url);
        }
        if let Some(curl) = &service.curl {
            output::note(curl);
        }
        output::note(&format!("next: roadstead repo clone {name}"));
    }
    Ok(())
}

fn all_ready(service: &Microservice) -> bool {
    let counts = &service.deployment;
    counts.desired == counts.ready_replicas
        && counts.desired == counts.updated_replicas
        && counts.replicas == counts.desired
}

pub(crate) async fn get(
    paths: &Paths,
    name: Option<&str>,
    environment: Option<&str>,
    format: Output,
) -> anyhow::Result<()> {
    let rest = Rest::connect(paths)?;
    let services = match name {
        Some(name) => {
            let service: Microservice = rest.get(&format!("/microservices/{name}")).await?;
            if format != Output::Table {
                return verbs::print(&service, format);
            }
            vec![service]
        }
        None => all(&rest, environment).await?,
    };
    if format != Output::Table {
        return verbs::print(&services, format);
    }
    if services.is_empty() {
        output::note("no services yet: make one with 'roadstead new orders'");
        return Ok(());
    }
    let short = |text: &str, length: usize| text.chars().take(length).collect::<String>();
    let rows: Vec<Vec<String>> = services
        .iter()
        .map(|service| {
            vec![
                service.name.clone(),
                service.environment.clone(),
                service.health.clone(),
                service.sync.clone(),
                format!("{}/{}", service.deployment.ready_replicas, service.deployment.desired),
                service.commit.as_deref().map_or_else(|| "-".into(), |commit| short(commit, 8)),
                service
                    .image_digest
                    .as_deref()
                    .map_or_else(|| "-".into(), |digest| short(digest.trim_start_matches("sha256:"), 12)),
                service.url.clone().unwrap_or_else(|| "-".into()),
            ]
        })
        .collect();
    output::data(&base::table::columns(
        &["NAME", "ENVIRONMENT", "HEALTH", "SYNC", "READY", "COMMIT", "IMAGE", "URL"],
        &rows,
    ));
    for service in services.iter().filter(|service| !service.message.is_empty()) {
        output::note(&format!("{}: {}", service.name, service.message));
    }
    Ok(())
}

async fn all(rest: &Rest, environment: Option<&str>) -> anyhow::Result<Vec<Microservice>> {
    let mut services = Vec::new();
    let filter = environment.map(|environment| format!("environment={environment}")).unwrap_or_default();
    let mut path = format!("/microservices?{filter}");
    loop {
        let page: Page<Microservice> = rest.get(&path).await?;
        services.extend(page.items);
        match page.next {
            Some(next) => path = format!("/microservices?{filter}&continue={next}"),
            None => return Ok(services),
        }
    }
}

pub(crate) async fn wait(paths: &Paths, name: &str, synced: bool, healthy: bool, seconds: u64) -> anyhow::Result<()> {
    let rest = Rest::connect(paths)?;
    let (synced, healthy) = if synced || healthy { (synced, healthy) } else { (true, true) };
    let begun = clock::instant();
    let patience = Duration::from_secs(seconds);
    let head = if synced {
        // A service that has just been made has no repository yet.
        until(&rest, name, patience, |service| service.commit.is_some()).await?;
        Some(super::repository::head(paths, &rest, name)?)
    } else {
        None
    };
    let service = until(&rest, name, patience.saturating_sub(clock::instant() - begun), |service| {
        let there = head.as_ref().is_none_or(|head| service.commit.as_ref() == Some(head) && service.sync == "Synced");
        there && (!healthy || service.health == "Healthy" && all_ready(service))
    })
    .await?;
    output::note(&format!(
        "{name} is {} and {} at {}",
        service.sync,
        service.health,
        service.commit.as_deref().unwrap_or("no commit")
    ));
    Ok(())
}

/// Asks until the service is as it should be; on the way says what it waits for.
async fn until(
    rest: &Rest,
    name: &str,
    patience: Duration,
    done: impl Fn(&Microservice) -> bool,
) -> anyhow::Result<Microservice> {
    let deadline = clock::instant() + patience;
    let mut said = String::new();
    loop {
        let service: Microservice = rest.get(&format!("/microservices/{name}")).await?;
        if done(&service) {
            return Ok(service);
        }
        let counts = &service.deployment;
        let mut state = format!(
            "{name}: {}, {}, {} of {} pods ready",
            service.sync, service.health, counts.ready_replicas, counts.desired
        );
        if !service.message.is_empty() {
            state = format!("{state}: {}", service.message);
        }
        if state != said {
            output::note(&state);
            said.clone_from(&state);
        }
        if clock::instant() > deadline {
            bail!(
                "{name} did not get there within {} s; last seen: {said}. See 'roadstead logs {name}' and 'kubectl describe pods -n {}'",
                patience.as_secs(),
                service.namespace
            );
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// A line of a log that is followed.
#[derive(serde::Deserialize)]
struct LogLine {
    pod: String,
    line: String,
}

pub(crate) async fn logs(paths: &Paths, name: &str, lines: u32, follow: bool) -> anyhow::Result<()> {
    let rest = Rest::connect(paths)?;
    if !follow {
        let logs: Logs = rest.get(&format!("/microservices/{name}/logs?lines={lines}")).await?;
        output::raw(logs.logs.as_bytes());
        return Ok(());
    }
    let response = rest
        .request(Method::GET, &format!("/microservices/{name}/logs?lines={lines}&follow=true"), None::<&()>)
        .await?;
    if !response.status().is_success() {
        let bytes = response.into_body().collect().await?.to_bytes();
        let problem: platform::rest::Problem =
            serde_json::from_slice(&bytes).context("the platform's answer makes no sense")?;
        bail!("{} [{}]", problem.detail, problem.code);
    }
    let mut body = response.into_body();
    let mut rest_of_line = Vec::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame?.into_data() else { continue };
        rest_of_line.extend_from_slice(&data);
        while let Some(end) = rest_of_line.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = rest_of_line.drain(..=end).collect();
            // Server-sent events: each line of the log is one's data.
            let Some(data) = line.strip_prefix(b"data:") else { continue };
            let entry: LogLine = serde_json::from_slice(data).context("the platform's answer makes no sense")?;
            output::data(&format!("{}: {}", entry.pod, entry.line));
        }
    }
    Ok(())
}

pub(crate) async fn scale(paths: &Paths, name: &str, replicas: u32, no_wait: bool) -> anyhow::Result<()> {
    let rest = Rest::connect(paths)?;
    let _accepted: serde_json::Value =
        rest.send(Method::PUT, &format!("/microservices/{name}/scale"), Some(&Scale { replicas })).await?;
    output::note(&format!("{name} is to have {replicas} pods; its repository gets a commit that says so"));
    if no_wait {
        return Ok(());
    }
    let wanted = i32::try_from(replicas).context("that many pods cannot be counted")?;
    let service = until(&rest, name, PATIENCE, |service| {
        service.requested_replicas.is_none()
            && service.deployment.desired == wanted
            && service.sync == "Synced"
            && (service.health == "Healthy" || wanted == 0)
            && all_ready(service)
    })
    .await?;
    output::note(&format!("{name} has {replicas} pods at {}", service.commit.as_deref().unwrap_or("no commit")));
    Ok(())
}

pub(crate) async fn delete(paths: &Paths, name: &str, yes: bool) -> anyhow::Result<()> {
    let rest = Rest::connect(paths)?;
    let service: Microservice = rest.get(&format!("/microservices/{name}")).await?;
    confirm::ask(
        &format!(
            "delete {name} in {} with its {} pods? Its repository is archived.",
            service.environment,
            service.pods.len()
        ),
        yes,
    )?;
    let response = rest.request(Method::DELETE, &format!("/microservices/{name}"), None::<&()>).await?;
    let status = response.status();
    if !status.is_success() {
        let bytes = response.into_body().collect().await?.to_bytes();
        bail!("the platform answered {status}: {}", String::from_utf8_lossy(&bytes));
    }
    let deadline = clock::instant() + PATIENCE;
    while rest.get_opt::<Microservice>(&format!("/microservices/{name}")).await?.is_some() {
        if clock::instant() > deadline {
            bail!(
                "{name} is still there after {} s: see 'kubectl get microservices,applications,pods -n {}'",
                PATIENCE.as_secs(),
                service.namespace
            );
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    output::note(&format!("{name} is deleted"));
    Ok(())
}
