//! Asking containers how they are: HTTP, TCP and commands. What the answers mean is decided in `health`.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::Empty;
use hyper_util::rt::TokioIo;
use k8s_openapi::{
    api::core::v1::{Container, HTTPGetAction, LifecycleHandler, Probe},
    apimachinery::pkg::util::intstr::IntOrString,
};
use tokio::{net::TcpStream, sync::mpsc};
use tokio_util::sync::CancellationToken;

use super::{health::Kind, worker::Event};
use crate::sandbox::Shim;

/// A container to ask.
#[derive(Clone)]
pub(crate) struct Target {
    pub(crate) container: Container,
    pub(crate) attempt: u32,
    pub(crate) pod_ip: String,
    pub(crate) shim: Shim,
}

/// Asks again and again until `stop`, telling each result.
///
/// Until the first success, readiness and startup are asked more often than their
/// period says, so that a quick start is seen at once; only failures at the period count.
pub(crate) async fn run(target: Target, kind: Kind, probe: Probe, out: mpsc::Sender<Event>, stop: CancellationToken) {
    let period = Duration::from_secs(probe.period_seconds.unwrap_or(10).max(1) as u64);
    let delay = Duration::from_secs(probe.initial_delay_seconds.unwrap_or(0).max(0) as u64);
    let timeout = Duration::from_secs(probe.timeout_seconds.unwrap_or(1).max(1) as u64);
    let mut eager = (kind != Kind::Liveness).then_some(Duration::from_millis(20));
    let mut due = base::clock::instant() + delay;
    let mut next = due;
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep_until(next) => {}
        }
        let result = tokio::select! {
            () = stop.cancelled() => return,
            result = ask(&target, &probe, timeout) => result,
        };
        let now = base::clock::instant();
        let counts = now >= due;
        if counts {
            due = now + period;
        }
        if result.is_ok() {
            eager = None;
        }
        if result.is_ok() || counts {
            let (name, attempt) = (target.container.name.clone(), target.attempt);
            if out.send(Event::Probe { name, attempt, kind, result }).await.is_err() {
                return;
            }
        }
        next = match &mut eager {
            Some(wait) => {
                *wait = (*wait * 3 / 2).min(period);
                (now + *wait).min(due)
            }
            None => due,
        };
    }
}

async fn ask(target: &Target, probe: &Probe, timeout: Duration) -> Result<(), String> {
    let asked = async {
        if let Some(get) = &probe.http_get {
            return http_get(target, get).await;
        }
        if let Some(tcp) = &probe.tcp_socket {
            let port = port_of(&target.container, &tcp.port)?;
            let host = tcp.host.clone().unwrap_or_else(|| target.pod_ip.clone());
            let connected = TcpStream::connect((host.as_str(), port)).await;
            return connected.map(drop).map_err(|error| format!("connecting to {host}:{port}: {error}"));
        }
        if let Some(exec) = &probe.exec {
            return command(target, exec.command.clone().unwrap_or_default(), timeout).await;
        }
        Err("the probe has no action".to_owned())
    };
    tokio::time::timeout(timeout, asked).await.unwrap_or_else(|_| Err(format!("no answer within {timeout:?}")))
}

/// Runs a lifecycle hook.
pub(crate) async fn hook(target: &Target, handler: &LifecycleHandler, timeout: Duration) -> Result<(), String> {
    let run = async {
        if let Some(exec) = &handler.exec {
            command(target, exec.command.clone().unwrap_or_default(), timeout).await
        } else if let Some(get) = &handler.http_get {
            http_get(target, get).await
        } else if let Some(sleep) = &handler.sleep {
            tokio::time::sleep(Duration::from_secs(sleep.seconds.max(0) as u64)).await;
            Ok(())
        } else {
            Err("the hook has no action".to_owned())
        }
    };
    tokio::time::timeout(timeout, run).await.unwrap_or_else(|_| Err(format!("it took longer than {timeout:?}")))
}

async fn command(target: &Target, words: Vec<String>, timeout: Duration) -> Result<(), String> {
    let result = target.shim.exec(&target.container.name, target.attempt, words, timeout).await;
    let result = result.map_err(|error| base::fault::Chain(&error).to_string())?;
    match result.code {
        Some(0) => Ok(()),
        Some(code) => Err(format!("the command ended with {code}: {}", result.output.trim())),
        None => Err(format!("the command took longer than {timeout:?}")),
    }
}

async fn http_get(target: &Target, get: &HTTPGetAction) -> Result<(), String> {
    let port = port_of(&target.container, &get.port)?;
    let host = get.host.clone().filter(|host| !host.is_empty()).unwrap_or_else(|| target.pod_ip.clone());
    let path = get.path.as_deref().unwrap_or("/");
    let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
    let mut request = http::Request::get(path).header("user-agent", "kube-probe/1.36").header("accept", "*/*");
    let headers = get.http_headers.as_deref().unwrap_or_default();
    if !headers.iter().any(|header| header.name.eq_ignore_ascii_case("host")) {
        request = request.header("host", format!("{host}:{port}"));
    }
    for header in headers {
        request = request.header(&header.name, &header.value);
    }
    let request =
        request.header("connection", "close").body(Empty::<Bytes>::new()).map_err(|error| error.to_string())?;
    let stream = TcpStream::connect((host.as_str(), port)).await;
    let stream = stream.map_err(|error| format!("connecting to {host}:{port}: {error}"))?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|error| error.to_string())?;
    let mut answer = std::pin::pin!(sender.send_request(request));
    let response = tokio::select! {
        response = &mut answer => response,
        // The connection may end in the moment in which the answer is there.
        _ = connection => answer.await,
    };
    let status = response.map_err(|error| error.to_string())?.status();
    if status.is_success() || status.is_redirection() {
        return Ok(());
    }
    Err(format!("HTTP probe failed with statuscode: {}", status.as_u16()))
}

fn port_of(container: &Container, port: &IntOrString) -> Result<u16, String> {
    let number = match port {
        IntOrString::Int(number) => Some(*number),
        IntOrString::String(name) => name.parse().ok().or_else(|| {
            let named = container.ports.iter().flatten().find(|port| port.name.as_deref() == Some(name));
            named.map(|port| port.container_port)
        }),
    };
    number.and_then(|number| u16::try_from(number).ok()).ok_or_else(|| format!("the container has no port {port:?}"))
}
