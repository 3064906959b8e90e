//! The embedded server in a process of its own: this program, started again.

use std::{
    net::Ipv4Addr,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, bail};
use apiserver::{Config, Server, Tokens, User, store::Store};
use conformance::peer::Running;
use tokio_util::sync::CancellationToken;

use crate::wire::Endpoint;

/// The word that tells this program to serve.
pub(crate) const SERVE: &str = "serve";

/// A running server. Dropped, it is ended, by its id.
pub(crate) struct Ours {
    running: Running,
    folder: PathBuf,
    pub(crate) endpoint: Endpoint,
}

impl Ours {
    /// Starts a server on the store in `folder`; it listens when this returns.
    pub(crate) fn start(folder: &Path) -> anyhow::Result<Ours> {
        let token = uuid::Uuid::new_v4().simple().to_string();
        let mut running = Running(
            Command::new(std::env::current_exe()?)
                .arg(SERVE)
                .arg(folder)
                .env("BENCH_TOKEN", &token)
                .stdin(Stdio::null())
                .stdout(Stdio::piped())
                .spawn()?,
        );
        let mut line = String::new();
        let out = running.0.stdout.take().context("the child's output is piped")?;
        std::io::BufRead::read_line(&mut std::io::BufReader::new(out), &mut line)?;
        let Ok(port) = line.trim().parse() else { bail!("the server did not start") };
        Ok(Ours { running, folder: folder.to_owned(), endpoint: Endpoint { port, token } })
    }

    pub(crate) fn pids(&self) -> Vec<u32> {
        vec![self.running.0.id()]
    }

    /// Kills the server and starts another on the same store.
    pub(crate) fn restart(&mut self) -> anyhow::Result<()> {
        // It may have ended by itself.
        _ = self.running.0.kill();
        _ = self.running.0.wait();
        *self = Ours::start(&self.folder.clone())?;
        Ok(())
    }
}

/// Serves the store in `folder` until the process is killed; says its port first.
pub(crate) async fn serve(folder: &Path) -> anyhow::Result<()> {
    let token = std::env::var("BENCH_TOKEN").context("BENCH_TOKEN is not set")?;
    let tokens = Tokens::new(&Tokens::generate_key(), [(token, User::new("admin", &["system:masters"]))])?;
    let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let port = listener.local_addr()?.port();
    let server = Server::build(Config {
        store: Store::open(folder)?,
        tokens,
        service_range: (Ipv4Addr::new(10, 96, 0, 0), 16),
        advertise: None,
    })
    .await?;
    let (tls, _) = conformance::served::certificate()?;
    println!("{port}");
    apiserver::listen(server, listener, tls, CancellationToken::new(), std::time::Duration::from_secs(1)).await?;
    Ok(())
}
