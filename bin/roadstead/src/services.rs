//! Starts the parts of the platform and ties them together.

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    process::Stdio,
    time::Duration,
};

use anyhow::{Context, bail};
use apiserver::{
    Server, Tls, Tokens, User, audit,
    store::{self, Store},
};
use axum::{Extension, Router};
use base::{
    clock,
    task::{OnError, Tasks},
};
use controllers::Context as Controllers;
use images::registry::{Action, Verdict};
use kube::{
    Api, Client, ResourceExt,
    api::{DynamicObject, Patch, PatchParams},
    core::{ApiResource, GroupVersionKind},
};
use platform::kinds::SYSTEM_NAMESPACE as SYSTEM;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::{
    cli::Up,
    paths::{Paths, write_private},
    pki::Pki,
    progress::Progress,
    state::Platform,
};

/// Where the sample service answers.
pub(crate) const SAMPLE_HOST: &str = "shop.dev.localhost";
const SAMPLE: &str = "shop";
const SAMPLE_IMAGE: &str = "registry.cluster.local/sample";
/// The audit log's size at which it is put aside, and how many of those are kept.
const AUDIT_BYTES: u64 = 20 << 20;
const AUDIT_FILES: usize = 5;
const GRACE: Duration = Duration::from_secs(5);

/// The ports, taken before anything else.
pub(crate) struct Listeners {
    pub(crate) api: TcpListener,
    pub(crate) pages: PageListeners,
}

/// Where the portal answers: plain on loopback, with git and registry over TLS on loopback and for other machines.
pub(crate) struct PageListeners {
    pub(crate) plain: TcpListener,
    pub(crate) https: TcpListener,
    pub(crate) public: Option<TcpListener>,
}

/// A platform that runs.
pub(crate) struct Running {
    pub(crate) platform: Platform,
}

/// Returns this program's file.
pub(crate) fn executable() -> anyhow::Result<PathBuf> {
    std::env::current_exe().context("failed to find this program's own file")
}

/// A file that exists when a detached platform is ready.
pub(crate) fn ready_file(paths: &Paths) -> PathBuf {
    paths.root().join("ready")
}

/// Returns how the store is kept: what of it is encrypted stands in a file.
fn store_options(options: &Up) -> anyhow::Result<store::Options> {
    let Some(file) = &options.encryption_config else { return Ok(store::Options::default()) };
    let text = std::fs::read_to_string(file).with_context(|| format!("failed to read {}", file.display()))?;
    let encryption = store::Encryption::parse(&text).with_context(|| format!("{}", file.display()))?;
    Ok(store::Options { encryption, ..store::Options::default() })
}

/// Returns what is logged of requests: by a policy file, or each one's metadata.
fn audit(paths: &Paths, options: &Up) -> anyhow::Result<audit::Config> {
    let policy = match &options.audit_policy {
        None => audit::Policy::metadata(),
        Some(file) => {
            let text = std::fs::read_to_string(file).with_context(|| format!("failed to read {}", file.display()))?;
            audit::Policy::parse(&text).with_context(|| format!("{}", file.display()))?
        }
    };
    Ok(audit::Config { policy, file: paths.log("audit"), max_bytes: AUDIT_BYTES, max_files: AUDIT_FILES })
}

/// Starts everything. When it returns an error, `tasks` has to be shut down.
pub(crate) async fn start(
    paths: &Paths,
    options: &Up,
    listeners: Listeners,
    isolation: node::Isolation,
    tasks: &Tasks,
    progress: &Progress,
) -> anyhow::Result<Running> {
    let pki = Pki::open(paths)?;
    let token = token(paths)?;
    let api_address = listeners.api.local_addr()?;
    let store = Store::open_with(&paths.store(), store_options(options)?)?;
    let key = signing_key(paths)?;
    let tokens = Tokens::new(&key, [(token, User::new("system:admin", &["system:masters"]))])?;
    let config = apiserver::Config {
        store,
        tokens,
        service_range: (Ipv4Addr::new(10, 96, 0, 0), 16),
        advertise: Some((api_address.ip(), api_address.port())),
    };
    let server = Server::build_audited(config, audit(paths, options)?).await?;
    let end_watches = server.clone();
    let stop = tasks.stop();
    tasks.spawn("end-watches", OnError::Log, async move {
        stop.cancelled().await;
        end_watches.end_watches();
        end_watches.flush_audit().await;
        Ok::<(), String>(())
    });
    serve_api(paths, &pki, &server, listeners.api, tasks)?;
    progress.done("Kubernetes API answers");

    let client = |name: &str| server.client(User::new(name, &["system:masters"]));
    define(&client("roadstead:setup"), options).await?;
    controllers::run(
        Controllers { client: client("system:kube-controller-manager"), root_ca: Some(pki.api_ca_pem().to_owned()) },
        tasks,
    );

    let images = images::Store::open(paths.images())?;
    let sample_image = pack(images.clone()).await?;
    progress.done("sample image packed");
    let not_isolated = match &isolation {
        node::Isolation::Full => Vec::new(),
        node::Isolation::Processes { why } => why.clone(),
    };
    let isolation_name = if not_isolated.is_empty() { "full" } else { "processes" };
    let node = node::Node::build(node::Config {
        client: client("system:node:local"),
        name: node_name(),
        data: paths.node(),
        images: images.clone(),
        isolation,
        executable: executable()?,
        pod_cidr: None,
    })
    .await?;
    server.set_node(node_name(), node.handle().router());
    let stop = tasks.stop();
    tasks.spawn("node", OnError::Shutdown, node.run(stop));

    let gitops = gitops::Gitops::build(gitops::Config {
        client: client("roadstead:delivery"),
        data: paths.delivery(),
        sample_image,
        kube_version: apiserver::VERSION.2.to_owned(),
    })?;
    let git = gitops.router();
    let stop = tasks.stop();
    tasks.spawn("delivery", OnError::Shutdown, async move {
        gitops.run(stop).await;
        Ok::<(), String>(())
    });

    let gateway = SocketAddr::from((Ipv4Addr::LOCALHOST, options.gateway_port));
    let platform = Platform {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        pid: std::process::id(),
        api: api_address,
        portal: listeners.pages.plain.local_addr()?,
        https: listeners.pages.https.local_addr()?,
        public: listeners.pages.public.as_ref().map(TcpListener::local_addr).transpose()?,
        gateway,
        isolation: isolation_name.to_owned(),
        not_isolated,
        data: paths.root().display().to_string(),
        started_at: clock::now_rfc3339(),
    };
    serve_pages(paths, &pki, client("roadstead:portal"), &platform, listeners.pages, git, images, tasks)?;
    progress.done("portal, git and registry answer");
    start_gateway(paths, options.gateway_port).await?;
    progress.done("gateway listens");
    platform.write(paths)?;
    if !options.no_sample {
        make_sample(&client("roadstead:setup")).await?;
        wait_for_sample(paths, gateway, tasks).await?;
        progress.done("the sample answers through the gateway");
    }
    Ok(Running { platform })
}

fn serve_api(paths: &Paths, pki: &Pki, server: &Server, listener: TcpListener, tasks: &Tasks) -> anyhow::Result<()> {
    let address = listener.local_addr()?;
    let addresses = [address.ip(), Ipv4Addr::LOCALHOST.into(), Ipv4Addr::new(10, 96, 0, 1).into()];
    let leaf = pki.api_server(&addresses)?;
    let tls = Tls { chain: vec![leaf.der], key: leaf.key.serialize_der(), client_authorities: vec![pki.api_ca_der()?] };
    let url = format!("https://127.0.0.1:{}", address.port());
    let admin = pki.client("system:admin", "system:masters")?;
    write_private(&paths.kubeconfig(), pki.kubeconfig(&url, "admin", &admin).as_bytes())?;
    let gateway = pki.client("roadstead:gateway", "roadstead:gateways")?;
    write_private(&paths.gateway_kubeconfig(), pki.kubeconfig(&url, "gateway", &gateway).as_bytes())?;
    tasks.spawn("api", OnError::Shutdown, apiserver::listen(server.clone(), listener, tls, tasks.stop(), GRACE));
    Ok(())
}

#[expect(clippy::too_many_arguments, reason = "the one place where these parts meet")]
fn serve_pages(
    paths: &Paths,
    pki: &Pki,
    client: Client,
    platform: &Platform,
    listeners: PageListeners,
    git: Router,
    images: images::Store,
    tasks: &Tasks,
) -> anyhow::Result<()> {
    let portal = portal::Portal::build(portal::Config {
        client: client.clone(),
        data: paths.portal(),
        gateway: platform.gateway,
        ca: paths.gateway_ca(),
        public_url: platform.portal_url(),
        git_url: format!("{}/git", platform.https_url()),
        version: platform.version.clone(),
        deployer: std::sync::Arc::new(crate::deployer::Templates),
    })?;
    let handle = portal.handle();
    // The command line asks for links over a socket that only this user can open.
    let links = link_socket(paths)?;
    let stop = tasks.stop();
    tasks.spawn("login-links", OnError::Log, async move { serve_links(links, handle, stop).await });
    let registry = images::registry::router(images, RegistryAccess { client });
    let pages = portal.router();
    let everything = pages.clone().merge(git).merge(registry).layer(Extension(portal::Secured));
    let stop = tasks.stop();
    tasks.spawn("portal", OnError::Shutdown, async move {
        portal.run(stop).await;
        Ok::<(), String>(())
    });
    let stop = tasks.stop();
    tasks.spawn("portal-http", OnError::Shutdown, async move {
        axum::serve(listeners.plain, pages).with_graceful_shutdown(stop.cancelled_owned()).await
    });
    let mut secured = vec![("platform-https", listeners.https, pki.platform()?)];
    if let Some(listener) = listeners.public {
        let leaf = Pki::public(paths, listener.local_addr()?.ip())?;
        secured.push(("public-https", listener, leaf));
    }
    for (name, listener, leaf) in secured {
        let tls = Tls { chain: vec![leaf.der], key: leaf.key.serialize_der(), client_authorities: Vec::new() };
        let serve = apiserver::listen(everything.clone(), listener, tls, tasks.stop(), GRACE);
        tasks.spawn(name, OnError::Shutdown, serve);
    }
    Ok(())
}

/// Decides who may pull and push images, by the same tokens and roles as everywhere.
#[derive(Clone)]
struct RegistryAccess {
    client: Client,
}

impl images::registry::Access for RegistryAccess {
    async fn check(&self, headers: http::HeaderMap, repository: Option<String>, action: Action) -> Verdict {
        let Some(token) = client::access::credential(&headers) else { return Verdict::Unauthenticated };
        let verb = match action {
            Action::Pull => "get",
            Action::Push => "update",
        };
        let decided = async {
            let Some(user) = client::access::authenticate(&self.client, &token).await? else {
                return Ok(Verdict::Unauthenticated);
            };
            let name = repository.unwrap_or_default();
            let wish =
                client::access::Wish { verb, group: "platform.io", resource: "images", namespace: "", name: &name };
            Ok::<_, client::access::Error>(if client::access::allowed(&self.client, &user, wish).await? {
                Verdict::Allow
            } else {
                Verdict::Denied
            })
        };
        decided.await.unwrap_or_else(|error| {
            tracing::warn!(error = %base::fault::Chain(&error), "an access to the registry could not be decided");
            Verdict::Unavailable
        })
    }
}

/// Applies the kinds and objects that the platform's parts need.
async fn define(client: &Client, options: &Up) -> anyhow::Result<()> {
    let crd = GroupVersionKind::gvk("apiextensions.k8s.io", "v1", "CustomResourceDefinition");
    for definition in platform::crds::all().into_iter().chain(routes::crds()) {
        apply(client, &crd, "", definition).await?;
    }
    let environment = GroupVersionKind::gvk("platform.io", "v1alpha1", "Environment");
    for (name, namespace, domain, order) in [("development", "microservices-dev", "dev.localhost", 1)] {
        let object = json!({"apiVersion": "platform.io/v1alpha1", "kind": "Environment", "metadata": {"name": name},
            "spec": {"namespace": namespace, "domain": domain, "order": order, "podSecurity": "baseline"}});
        create(client, &environment, "", object).await?;
    }
    let class = GroupVersionKind::gvk("gateway.networking.k8s.io", "v1", "GatewayClass");
    let object = json!({"apiVersion": "gateway.networking.k8s.io/v1", "kind": "GatewayClass", "metadata": {"name": "roadstead"}, "spec": {"controllerName": routes::CONTROLLER}});
    apply(client, &class, "", object).await?;
    let gateway = GroupVersionKind::gvk("gateway.networking.k8s.io", "v1", "Gateway");
    let object = json!({"apiVersion": "gateway.networking.k8s.io/v1", "kind": "Gateway", "metadata": {"name": "gateway", "namespace": SYSTEM}, "spec": {
        "gatewayClassName": "roadstead",
        "listeners": [{"name": "https", "port": options.gateway_port, "protocol": "HTTPS", "allowedRoutes": {"namespaces": {"from": "All"}}}]}});
    apply(client, &gateway, SYSTEM, object).await
}

async fn apply(client: &Client, gvk: &GroupVersionKind, namespace: &str, object: Value) -> anyhow::Result<()> {
    let api = dynamic(client, gvk, namespace);
    let name = object["metadata"]["name"].as_str().unwrap_or_default().to_owned();
    api.patch(&name, &PatchParams::apply("roadstead").force(), &Patch::Apply(object))
        .await
        .with_context(|| format!("failed to apply {} {name}", gvk.kind))?;
    Ok(())
}

/// Creates what is missing; what is there may have been changed by people.
async fn create(client: &Client, gvk: &GroupVersionKind, namespace: &str, object: Value) -> anyhow::Result<()> {
    let api = dynamic(client, gvk, namespace);
    let object: DynamicObject = serde_json::from_value(object)?;
    match api.create(&kube::api::PostParams::default(), &object).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.code == 409 => Ok(()),
        Err(error) => Err(error).with_context(|| format!("failed to create {} {}", gvk.kind, object.name_any())),
    }
}

fn dynamic(client: &Client, gvk: &GroupVersionKind, namespace: &str) -> Api<DynamicObject> {
    let resource = ApiResource::from_gvk(gvk);
    let resource =
        if gvk.kind == "GatewayClass" { ApiResource::from_gvk_with_plural(gvk, "gatewayclasses") } else { resource };
    if namespace.is_empty() {
        Api::all_with(client.clone(), &resource)
    } else {
        Api::namespaced_with(client.clone(), namespace, &resource)
    }
}

/// Packs this program as the sample service's image; returns its reference.
async fn pack(store: images::Store) -> anyhow::Result<String> {
    let program = executable()?;
    let reference = format!("{SAMPLE_IMAGE}:{}", env!("CARGO_PKG_VERSION"));
    let named = images::Reference::parse(&reference)?;
    let config = images::pack::Config {
        path: "/usr/bin/roadstead".into(),
        entrypoint: vec!["/usr/bin/roadstead".into(), "sample".into()],
        env: vec!["DATA_DIR=/tmp/data".into()],
        user: "1000:1000".into(),
        ..images::pack::Config::default()
    };
    tokio::task::spawn_blocking(move || images::pack::pack(&store, &program, &named, &config))
        .await
        .context("packing the sample image broke off")??;
    Ok(reference)
}

async fn make_sample(client: &Client) -> anyhow::Result<()> {
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "microservices-dev"}});
    create(client, &GroupVersionKind::gvk("", "v1", "Namespace"), "", namespace).await?;
    let kind = GroupVersionKind::gvk("platform.io", "v1alpha1", "Microservice");
    let object = json!({"apiVersion": "platform.io/v1alpha1", "kind": "Microservice", "metadata": {"name": SAMPLE, "namespace": "microservices-dev"},
        "spec": {"environment": "development", "template": "microservice"}});
    create(client, &kind, "microservices-dev", object).await
}

async fn wait_for_sample(paths: &Paths, gateway: SocketAddr, tasks: &Tasks) -> anyhow::Result<()> {
    let deadline = clock::instant() + Duration::from_secs(60);
    let tls = crate::verbs::probe::client(&paths.gateway_ca())?;
    loop {
        match crate::verbs::probe::get(&tls, gateway, SAMPLE_HOST, "/health/ready").await {
            Ok(200) => return Ok(()),
            _ if tasks.stop().is_cancelled() => bail!("a part of the platform failed; see its log"),
            _ if clock::instant() > deadline => bail!(
                "the sample does not answer: see 'roadstead get {SAMPLE}' and {}",
                paths.log("platform").display()
            ),
            _ => tokio::time::sleep(Duration::from_millis(25)).await,
        }
    }
}

/// Returns whether a gateway of this folder listens on that port already.
pub(crate) async fn gateway_has(paths: &Paths, port: u16) -> bool {
    proxy::status(&paths.gateway()).await.is_ok_and(|status| status.https.is_some_and(|address| address.port() == port))
}

/// Starts the gateway's process, or leaves the one that runs from this very program.
async fn start_gateway(paths: &Paths, port: u16) -> anyhow::Result<()> {
    let program = executable()?;
    let facts = std::fs::metadata(&program).with_context(|| format!("failed to look at {}", program.display()))?;
    let build = format!("{} {} {:?}", program.display(), facts.len(), facts.modified().ok());
    let mark = paths.gateway().join("build");
    let same = std::fs::read_to_string(&mark).is_ok_and(|text| text == build);
    if same && gateway_has(paths, port).await {
        return Ok(());
    }
    let log = paths.log("gateway");
    std::fs::create_dir_all(paths.root().join("log")).context("failed to create the log folder")?;
    let open = || {
        std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(&log)
            .with_context(|| format!("failed to open {}", log.display()))
    };
    let before = proxy::status(&paths.gateway()).await.ok().map(|status| status.pid);
    let mut command = std::process::Command::new(&program);
    // A process group of its own, so that the terminal's signals reach the platform alone.
    std::os::unix::process::CommandExt::process_group(&mut command, 0);
    command.arg("proxy").arg("--data").arg(paths.root()).arg("--https-port").arg(port.to_string());
    let mut child =
        command.stdin(Stdio::null()).stdout(open()?).stderr(open()?).spawn().context("failed to start the gateway")?;
    let deadline = clock::instant() + Duration::from_secs(20);
    loop {
        if proxy::status(&paths.gateway())
            .await
            .is_ok_and(|status| status.https.is_some() && Some(status.pid) != before)
        {
            return write_private(&mark, build.as_bytes());
        }
        if let Some(status) = child.try_wait().context("failed to watch the gateway")? {
            bail!("the gateway ended while it started ({status}); its log: {}", log.display());
        }
        if clock::instant() > deadline {
            bail!("the gateway did not start; its log: {}", log.display());
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Returns the token of the platform's first user, making it at the first start.
fn token(paths: &Paths) -> anyhow::Result<String> {
    let file = paths.token();
    if !file.exists() {
        let token = format!("{}{}", uuid::Uuid::new_v4().simple(), uuid::Uuid::new_v4().simple());
        write_private(&file, token.as_bytes())?;
    }
    let token = std::fs::read_to_string(&file).with_context(|| format!("failed to read {}", file.display()))?;
    Ok(token.trim().to_owned())
}

fn signing_key(paths: &Paths) -> anyhow::Result<Vec<u8>> {
    let file = paths.pki().join("service-accounts.key");
    if !file.exists() {
        write_private(&file, &Tokens::generate_key())?;
    }
    std::fs::read(&file).with_context(|| format!("failed to read {}", file.display()))
}

fn node_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default().trim().to_lowercase();
    if base::names::is_dns_subdomain(&name) { name } else { "local".to_owned() }
}

/// Removes what a running platform said of itself.
pub(crate) fn forget(paths: &Paths) -> anyhow::Result<()> {
    for file in [paths.platform(), ready_file(paths)] {
        match std::fs::remove_file(&file) {
            Ok(()) => {}
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(error).with_context(|| format!("failed to remove {}", file.display())),
        }
    }
    Ok(())
}

fn link_socket(paths: &Paths) -> anyhow::Result<tokio::net::UnixListener> {
    use std::os::unix::fs::PermissionsExt;
    let file = paths.portal().join("links.sock");
    std::fs::create_dir_all(paths.portal()).context("failed to create the portal's folder")?;
    match std::fs::remove_file(&file) {
        Ok(()) => {}
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(error).with_context(|| format!("failed to remove {}", file.display())),
    }
    let listener =
        tokio::net::UnixListener::bind(&file).with_context(|| format!("failed to listen on {}", file.display()))?;
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600))
        .context("failed to close the socket to others")?;
    Ok(listener)
}

async fn serve_links(
    listener: tokio::net::UnixListener,
    handle: portal::Handle,
    stop: tokio_util::sync::CancellationToken,
) -> anyhow::Result<()> {
    use tokio::io::AsyncWriteExt;
    loop {
        let (mut stream, _) = tokio::select! {
            accepted = listener.accept() => accepted.context("failed to accept on the link socket")?,
            () = stop.cancelled() => return Ok(()),
        };
        let link = handle.login_link("system:admin", &["system:masters".to_owned()])?;
        if let Err(error) = stream.write_all(link.as_bytes()).await {
            tracing::debug!(%error, "whoever asked for a link has gone");
        }
    }
}

/// Asks the running platform for a link that opens the portal once.
pub(crate) async fn login_link(paths: &Paths, platform: &Platform) -> anyhow::Result<String> {
    use tokio::io::AsyncReadExt;
    let file = paths.portal().join("links.sock");
    let mut stream = tokio::net::UnixStream::connect(&file)
        .await
        .with_context(|| format!("the platform (process {}) does not answer", platform.pid))?;
    let mut link = String::new();
    stream.read_to_string(&mut link).await.context("the platform gave no link")?;
    Ok(link)
}
