//! The sample service: a small JSON API with its own database, health checks and metrics.
//!
//! It stands for any service that a developer brings: it knows nothing of the platform
//! and uses only what every platform gives, a port, a folder and environment variables.

mod api;
mod metrics;
mod store;

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use base::fault::{Class, Fault};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// How long requests under way may take after the stop.
const GRACE: Duration = Duration::from_secs(20);

/// What the service needs to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Its name, for example `orders`.
    pub name: String,
    /// Its version.
    pub version: String,
    /// The pod it runs in.
    pub hostname: String,
    /// Where it answers.
    pub listen: SocketAddr,
    /// Where it shows metrics alone, for a scraper.
    pub metrics: SocketAddr,
    /// Where its database lies.
    pub data: PathBuf,
}

/// Why the service did not start or went down.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A setting is not understood.
    #[error("{name}={value:?} is not a port; use a number from 1 to 65535")]
    ReadSetting {
        /// The setting.
        name: &'static str,
        /// Its value.
        value: String,
        /// The parser's answer.
        source: std::num::ParseIntError,
    },
    /// The data folder cannot be written.
    #[error("failed to write in the data folder {}; give the service a folder that it may write to", path.display())]
    MakeFolder {
        /// The folder.
        path: PathBuf,
        /// The system's answer.
        source: std::io::Error,
    },
    /// The database cannot be opened.
    #[error("failed to open the database {}", path.display())]
    OpenDatabase {
        /// The file.
        path: PathBuf,
        /// The database's answer.
        source: redb::Error,
    },
    /// A port cannot be taken.
    #[error("failed to listen on {address}")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// The system's answer.
        source: std::io::Error,
    },
    /// Serving failed.
    #[error("failed to serve")]
    Serve {
        /// The system's answer.
        source: std::io::Error,
    },
}

impl Fault for Error {
    fn class(&self) -> Class {
        match self {
            Error::Serve { .. } => Class::Transient,
            _ => Class::Stalled,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Error::ReadSetting { .. } => "SHOP0001",
            Error::MakeFolder { .. } => "SHOP0002",
            Error::OpenDatabase { .. } => "SHOP0003",
            Error::Bind { .. } => "SHOP0004",
            Error::Serve { .. } => "SHOP0005",
        }
    }
}

impl Config {
    /// Reads the configuration from values named as environment variables are:
    /// `SERVICE_NAME`, `VERSION`, `HOSTNAME`, `PORT` (8080), `METRICS_PORT` (9090), `DATA_DIR` (`/data`).
    pub fn from_values(value: impl Fn(&str) -> Option<String>) -> Result<Self, Error> {
        let port = |name: &'static str, default: u16| match value(name) {
            None => Ok(default),
            Some(text) => text.parse().map_err(|source| Error::ReadSetting { name, value: text, source }),
        };
        let any = |port| SocketAddr::from((Ipv4Addr::UNSPECIFIED, port));
        Ok(Config {
            name: value("SERVICE_NAME").unwrap_or_else(|| "shop".to_owned()),
            version: value("VERSION").unwrap_or_else(|| env!("CARGO_PKG_VERSION").to_owned()),
            hostname: value("HOSTNAME").unwrap_or_else(|| "localhost".to_owned()),
            listen: any(port("PORT", 8080)?),
            metrics: any(port("METRICS_PORT", 9090)?),
            data: value("DATA_DIR").unwrap_or_else(|| "/data".to_owned()).into(),
        })
    }
}

/// Serves until `stop` is cancelled and the requests under way have ended.
pub async fn serve(config: Config, stop: CancellationToken) -> Result<(), Error> {
    Service::bind(config).await?.run(stop).await
}

/// A service whose database is open and whose ports are bound.
pub struct Service {
    state: Arc<api::State>,
    main: TcpListener,
    metrics: TcpListener,
}

impl Service {
    /// Opens the database and takes the ports.
    pub async fn bind(config: Config) -> Result<Self, Error> {
        let main = listen(config.listen).await?;
        let metrics = listen(config.metrics).await?;
        let store = store::Store::open(&config.data)?;
        Ok(Service { state: Arc::new(api::State::new(config, store)), main, metrics })
    }

    /// Returns the addresses of the API and of the metrics.
    pub fn addresses(&self) -> std::io::Result<(SocketAddr, SocketAddr)> {
        Ok((self.main.local_addr()?, self.metrics.local_addr()?))
    }

    /// Serves until `stop` is cancelled and the requests under way have ended.
    pub async fn run(self, stop: CancellationToken) -> Result<(), Error> {
        tracing::info!(service = self.state.config.name, version = self.state.config.version, "serving");
        let (main, metrics) = (api::router(self.state.clone()), api::metrics_router(self.state));
        let both = async {
            tokio::try_join!(
                axum::serve(self.main, main).with_graceful_shutdown(stop.clone().cancelled_owned()),
                axum::serve(self.metrics, metrics).with_graceful_shutdown(stop.clone().cancelled_owned()),
            )
        };
        let over = async {
            stop.cancelled().await;
            tokio::time::sleep(GRACE).await;
        };
        tokio::select! {
            ended = both => ended.map(|_| ()).map_err(|source| Error::Serve { source }),
            () = over => {
                tracing::warn!("requests were still under way at the end of the grace period");
                Ok(())
            }
        }
    }
}

async fn listen(address: SocketAddr) -> Result<TcpListener, Error> {
    TcpListener::bind(address).await.map_err(|source| Error::Bind { address, source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_have_defaults_and_wrong_ones_are_named() {
        let config = Config::from_values(|name| (name == "SERVICE_NAME").then(|| "orders".to_owned())).unwrap();
        assert_eq!((config.name.as_str(), config.listen.port(), config.metrics.port()), ("orders", 8080, 9090));
        let error = Config::from_values(|name| (name == "PORT").then(|| "http".to_owned())).unwrap_err();
        assert_eq!(error.to_string(), "PORT=\"http\" is not a port; use a number from 1 to 65535");
        assert_eq!(error.code(), "SHOP0001");
    }
}
