//! The server: what it is made of, and the handle that its parts share.

use std::{
    convert::Infallible,
    net::{IpAddr, Ipv4Addr},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use axum::body::Body;
use base::task::Tasks;
use http::Request;
use parking_lot::RwLock;
use tokio_util::sync::CancellationToken;

use crate::{
    access::KeptPolicy, addresses::Addresses, audit, fair::Fair, flow::Flows, kinds::Served, metrics::Metrics,
    rbac::User, read::Pages, store::Store, tokens::Tokens,
};

/// What a server needs.
pub struct Config {
    /// Where objects lie.
    pub store: Store,
    /// What issues and checks tokens.
    pub tokens: Tokens,
    /// The range that Services get their addresses from.
    pub service_range: (Ipv4Addr, u8),
    /// Where the `kubernetes` Service leads: the address and port that this server listens on.
    pub advertise: Option<(IpAddr, u16)>,
}

/// Why a server did not start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The objects that exist from the start could not be made.
    #[error("failed to create {what} at the start: {reason}")]
    Bootstrap {
        /// Which object.
        what: String,
        /// The server's own answer.
        reason: String,
    },
    /// The audit log could not be opened.
    #[error("failed to open the audit log {file}")]
    Audit {
        /// The file.
        file: String,
        /// What the system says.
        source: std::io::Error,
    },
}

/// The node that is connected.
#[derive(Clone)]
pub(crate) struct Node {
    pub(crate) name: String,
    pub(crate) router: axum::Router,
}

struct Inner {
    admission: crate::admission::Kept,
    store: Store,
    tokens: Tokens,
    served: RwLock<Arc<Served>>,
    policy: parking_lot::Mutex<KeptPolicy>,
    modes: crate::impersonate::Remembered,
    pages: Pages,
    audit: Option<audit::Log>,
    metrics: Arc<Metrics>,
    fair: Fair,
    flows: RwLock<Arc<Flows>>,
    node: RwLock<Option<Node>>,
    /// What goes on after its request was answered.
    tasks: Tasks,
    service_range: (Ipv4Addr, u8),
    /// Held from choosing a Service's address until it is stored.
    addresses: Arc<tokio::sync::Mutex<Addresses>>,
    /// Set once the objects that exist from the start are there.
    started: AtomicBool,
    stop: CancellationToken,
}

/// The server. Clones share it.
#[derive(Clone)]
pub struct Server(Arc<Inner>);

impl Server {
    /// Returns a server with the objects that exist from the start.
    pub async fn build(config: Config) -> Result<Server, Error> {
        Self::start(config, None).await
    }

    /// Returns a server as [`Server::build`] does that logs its requests.
    pub async fn build_audited(config: Config, audit: audit::Config) -> Result<Server, Error> {
        Self::start(config, Some(audit)).await
    }

    async fn start(config: Config, audit: Option<audit::Config>) -> Result<Server, Error> {
        let metrics = Arc::<Metrics>::default();
        let audit = audit.map(|config| {
            let file = config.file.display().to_string();
            audit::Log::open(config, metrics.clone()).map_err(|source| Error::Audit { file, source })
        });
        let server = Server(Arc::new(Inner {
            admission: crate::admission::Kept::default(),
            store: config.store,
            tokens: config.tokens,
            served: RwLock::new(Arc::new(Served::builtin())),
            policy: parking_lot::Mutex::default(),
            modes: parking_lot::Mutex::default(),
            pages: Pages::default(),
            audit: audit.transpose()?,
            metrics,
            fair: Fair::default(),
            flows: RwLock::default(),
            node: RwLock::new(None),
            tasks: Tasks::new(),
            service_range: config.service_range,
            addresses: Arc::default(),
            started: AtomicBool::new(false),
            stop: CancellationToken::new(),
        }));
        server
            .load_kinds()
            .await
            .map_err(|failure| Error::Bootstrap { what: "the custom kinds".into(), reason: failure.message })?;
        server.seed().await?;
        if let Some((address, port)) = config.advertise {
            server.advertise(address, port).await?;
        }
        server.0.started.store(true, Ordering::Release);
        Ok(server)
    }

    /// Returns a server whose objects live in memory alone, for tests.
    pub async fn in_memory() -> Result<Server, Box<dyn std::error::Error + Send + Sync>> {
        let tokens = Tokens::new(&Tokens::generate_key(), [])?;
        let config = Config {
            store: Store::in_memory()?,
            tokens,
            service_range: (Ipv4Addr::new(10, 96, 0, 0), 16),
            advertise: None,
        };
        Ok(Server::build(config).await?)
    }

    /// Gives the server the HTTP API of the node `name`, which logs and streams of its pods are handed to,
    /// and which measures what it and its pods use.
    pub fn set_node(&self, name: impl Into<String>, router: axum::Router) {
        *self.0.node.write() = Some(Node { name: name.into(), router });
        self.serve(self.served().with_node());
    }

    /// Returns a client that acts as `user`, in this process and without a port.
    pub fn client(&self, user: User) -> kube::Client {
        let server = self.clone();
        let service = tower::service_fn(move |request: Request<kube::client::Body>| {
            let (server, user) = (server.clone(), user.clone());
            async move {
                let mut request = request.map(Body::new);
                request.extensions_mut().insert(user);
                Ok::<_, Infallible>(server.handle(request).await)
            }
        });
        kube::Client::new(service, "default")
    }

    /// Ends all watches; further requests are still answered.
    pub fn end_watches(&self) {
        self.0.stop.cancel();
        self.0.tasks.stop().cancel();
    }

    /// Waits until every request answered before is in the audit log.
    pub async fn flush_audit(&self) {
        if let Some(log) = &self.0.audit {
            log.flush().await;
        }
    }

    pub(crate) fn audit(&self) -> Option<&audit::Log> {
        self.0.audit.as_ref()
    }

    pub(crate) fn metrics(&self) -> &Arc<Metrics> {
        &self.0.metrics
    }

    pub(crate) fn fair(&self) -> &Fair {
        &self.0.fair
    }

    /// The flow schemas of this moment.
    pub(crate) fn flows(&self) -> Arc<Flows> {
        self.0.flows.read().clone()
    }

    /// Chooses flows by these schemas from now on.
    pub(crate) fn set_flows(&self, flows: Flows) {
        *self.0.flows.write() = Arc::new(flows);
    }

    pub(crate) fn store(&self) -> &Store {
        &self.0.store
    }

    pub(crate) fn tokens(&self) -> &Tokens {
        &self.0.tokens
    }

    pub(crate) fn pages(&self) -> &Pages {
        &self.0.pages
    }

    pub(crate) fn stop(&self) -> CancellationToken {
        self.0.stop.clone()
    }

    pub(crate) fn node(&self) -> Option<Node> {
        self.0.node.read().clone()
    }

    pub(crate) fn tasks(&self) -> &Tasks {
        &self.0.tasks
    }

    /// The kinds that are served at this moment.
    pub(crate) fn served(&self) -> Arc<Served> {
        self.0.served.read().clone()
    }

    /// Serves these kinds from now on.
    pub(crate) fn serve(&self, served: Served) {
        *self.0.served.write() = Arc::new(served);
    }

    /// Returns whether the objects that exist from the start are there.
    pub(crate) fn has_started(&self) -> bool {
        self.0.started.load(Ordering::Acquire)
    }

    pub(crate) fn kept_admission(&self) -> &crate::admission::Kept {
        &self.0.admission
    }

    pub(crate) fn kept_policy(&self) -> &parking_lot::Mutex<KeptPolicy> {
        &self.0.policy
    }

    pub(crate) fn remembered_modes(&self) -> &crate::impersonate::Remembered {
        &self.0.modes
    }

    pub(crate) fn service_range(&self) -> (Ipv4Addr, u8) {
        self.0.service_range
    }

    pub(crate) fn addresses(&self) -> Arc<tokio::sync::Mutex<Addresses>> {
        self.0.addresses.clone()
    }
}
