//! The pipeline that every request goes through, and the state behind it.

use std::{
    convert::Infallible,
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
    time::Duration,
};

use axum::body::Body;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, header};
use parking_lot::RwLock;
use serde_json::{Value, json};
use tokio::sync::{Mutex, OwnedMutexGuard};
use tokio_util::sync::CancellationToken;

use crate::{
    bootstrap, builtin, custom,
    discovery::{self, Documents},
    rbac::{User, Wish},
    read::{Pages, form_of},
    registry::{Registry, Resource, Subresource},
    request::{self, Info, Query, Target},
    status::Failure,
    store::{Entry, Expect, Outcome, Store, Write},
    tokens::Tokens,
    write::{Options, PatchKind, Written, changed_meanwhile, subresource},
};

/// The largest body that is read, in bytes (kube-apiserver's limit).
const MAX_BODY: usize = 3 << 20;

/// The bodies that are read for every kind.
const TEXT_TYPES: &str = "application/json, application/yaml";

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
}

struct Inner {
    store: Store,
    tokens: Tokens,
    registry: RwLock<Arc<Served>>,
    pages: Pages,
    node: RwLock<Option<axum::Router>>,
    service_range: (Ipv4Addr, u8),
    /// Held from choosing a Service's address until it is stored.
    addresses: Arc<Mutex<()>>,
    stop: CancellationToken,
}

/// The kinds and their documents.
struct Served {
    registry: Registry,
    documents: Documents,
}

/// The server. Clones share it.
#[derive(Clone)]
pub struct Server(Arc<Inner>);

impl Server {
    /// Returns a server with the objects that exist from the start.
    pub async fn build(config: Config) -> Result<Server, Error> {
        let registry = Registry::new(builtin::resources());
        let served = Served { documents: Documents::new(&registry), registry };
        let server = Server(Arc::new(Inner {
            store: config.store,
            tokens: config.tokens,
            registry: RwLock::new(Arc::new(served)),
            pages: Pages::default(),
            node: RwLock::new(None),
            service_range: config.service_range,
            addresses: Arc::new(Mutex::new(())),
            stop: CancellationToken::new(),
        }));
        server
            .load_kinds()
            .await
            .map_err(|failure| Error::Bootstrap { what: "the custom kinds".into(), reason: failure.message })?;
        for (group, version, plural, object) in bootstrap::seeds() {
            server.ensure(group, version, plural, "", object).await?;
        }
        if let Some((address, port)) = config.advertise {
            server.advertise(address, port).await?;
        }
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

    /// Gives the server the node's own HTTP API, which `pods/log` is handed to.
    pub fn set_node(&self, router: axum::Router) {
        *self.0.node.write() = Some(router);
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

    pub(crate) fn node(&self) -> Option<axum::Router> {
        self.0.node.read().clone()
    }

    fn served(&self) -> Arc<Served> {
        self.0.registry.read().clone()
    }

    /// Answers one request. The user is taken from the request's extensions (a client
    /// certificate's, an in-process client's) or its bearer token.
    pub async fn handle(&self, request: Request<Body>) -> Response<Body> {
        match self.answer(request).await {
            Ok(response) => response,
            Err(failure) => {
                let mut response = respond(failure.code, failure.to_json().to_string());
                if let Some(seconds) = failure.retry_after {
                    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
                }
                response
            }
        }
    }

    async fn answer(&self, request: Request<Body>) -> Result<Response<Body>, Failure> {
        let (parts, body) = request.into_parts();
        let user = self.authenticate(parts.extensions.get::<User>(), &parts.headers)?;
        let query = Query::parse(parts.uri.query());
        let path = parts.uri.path();
        match request::parse(&parts.method, path, &query)? {
            Target::Path => {
                let verb = parts.method.as_str().to_lowercase();
                self.authorize(&user, &Wish { verb, path: path.to_owned(), ..Wish::default() })?;
                self.path(path, &parts.headers, &query)
            }
            Target::Objects(info) => {
                self.authorize(&user, &wish_of(&info))?;
                let served = self.served();
                let resource = served
                    .registry
                    .get(&info.group, &info.version, &info.resource)
                    .ok_or_else(Failure::no_such_path)?;
                let subresource = subresource(resource, &info)?;
                if resource.namespaced && info.namespace.is_empty() && !matches!(info.verb, "list" | "watch") {
                    return Err(Failure::method_not_allowed());
                }
                if !resource.namespaced && !info.namespace.is_empty() && info.resource != "namespaces" {
                    return Err(Failure::no_such_path());
                }
                let info = Info {
                    namespace: if resource.namespaced { info.namespace.clone() } else { String::new() },
                    ..info
                };
                self.objects(&user, resource, subresource, &info, &query, &parts.headers, body).await
            }
        }
    }

    #[expect(clippy::too_many_arguments, reason = "the one place where a request's parts meet")]
    async fn objects(
        &self,
        user: &User,
        resource: &Arc<Resource>,
        subresource: Option<&Subresource>,
        info: &Info,
        query: &Query,
        headers: &HeaderMap,
        body: Body,
    ) -> Result<Response<Body>, Failure> {
        if let Some(review) = resource.review {
            if info.verb != "create" {
                return Err(Failure::method_not_allowed());
            }
            let body = read_body(headers, body).await?;
            return Ok(respond(StatusCode::CREATED, self.review(review, user, info, body)?.to_string()));
        }
        // Custom kinds have no binary form; a `Scale` and the options of a delete have, whatever they are for.
        if resource.custom
            && matches!(info.verb, "create" | "update")
            && info.subresource != "scale"
            && media_type(headers) == schema::wire::MEDIA_TYPE
        {
            return Err(Failure::unsupported_media(schema::wire::MEDIA_TYPE, TEXT_TYPES));
        }
        let form = form_of(headers, query)?;
        let agent = headers.get(header::USER_AGENT).and_then(|agent| agent.to_str().ok()).unwrap_or_default();
        let written = match (info.verb, subresource) {
            ("get", Some(Subresource::Log)) => return self.log(resource, info, query).await,
            ("get", Some(scale @ Subresource::Scale { .. })) => {
                self.scale(resource, scale, info, None, &Options::parse(query, agent)?).await?
            }
            ("get", None | Some(Subresource::Status)) => return self.get(resource, info, form),
            ("list", None) => return self.list(resource, info, query, form),
            ("watch", None) => return self.watch(resource, info, query, form),
            ("create", Some(Subresource::Binding)) => {
                self.bind(resource, info, &read_body(headers, body).await?).await?
            }
            ("create", Some(Subresource::Eviction)) => {
                self.evict(resource, info, &read_body(headers, body).await?, query).await?
            }
            ("create", Some(Subresource::Token)) => self.token(resource, info, &read_body(headers, body).await?)?,
            ("create", None) if info.name.is_empty() => {
                self.create(resource, info, read_body(headers, body).await?, &Options::parse(query, agent)?).await?
            }
            ("update", Some(scale @ Subresource::Scale { .. })) => {
                let body = read_body(headers, body).await?;
                self.scale(resource, scale, info, Some((body, None)), &Options::parse(query, agent)?).await?
            }
            ("update", None | Some(Subresource::Status | Subresource::Finalize)) => {
                self.update(resource, info, read_body(headers, body).await?, &Options::parse(query, agent)?).await?
            }
            ("patch", part @ (None | Some(Subresource::Status | Subresource::Scale { .. }))) => {
                let kind = patch_kind(headers)?;
                let options = Options::parse(query, agent)?;
                if kind == PatchKind::Apply && query.get("fieldManager").is_none() {
                    return Err(Failure::bad_request(
                        "PatchOptions.meta.k8s.io \"\" is invalid: fieldManager: Required value: is required for apply patch",
                    ));
                }
                let body = read_body(headers, body).await?;
                match part {
                    Some(scale @ Subresource::Scale { .. }) => {
                        self.scale(resource, scale, info, Some((body, Some(kind))), &options).await?
                    }
                    _ => self.patch(resource, info, kind, &body, &options).await?,
                }
            }
            ("delete", None) => self.delete(resource, info, &read_body(headers, body).await?, query).await?,
            ("deletecollection", None) => {
                return self.delete_collection(resource, info, query, &read_body(headers, body).await?).await;
            }
            _ => return Err(Failure::method_not_allowed()),
        };
        Ok(Self::written(resource, form, written))
    }

    fn written(resource: &Resource, form: crate::table::Form, written: Written) -> Response<Body> {
        let object = match written.object["kind"].as_str() {
            Some("Status" | "Scale" | "TokenRequest") => written.object,
            _ => crate::table::one(form, resource, written.object, base::clock::now()),
        };
        let mut response = respond(written.code, object.to_string());
        for warning in written.warnings {
            let text: String = warning.chars().filter(|c| c.is_ascii() && !c.is_ascii_control()).collect();
            if let Ok(value) =
                HeaderValue::from_str(&format!("299 - \"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"")))
            {
                response.headers_mut().append(header::WARNING, value);
            }
        }
        response
    }

    async fn delete_collection(
        &self,
        resource: &Arc<Resource>,
        info: &Info,
        query: &Query,
        body: &Value,
    ) -> Result<Response<Body>, Failure> {
        let list = self.list(resource, info, query, crate::table::Form::Whole)?;
        let bytes = axum::body::to_bytes(list.into_body(), usize::MAX)
            .await
            .map_err(|error| Failure::internal(error.to_string()))?;
        let list: Value = serde_json::from_slice(&bytes).map_err(|error| Failure::internal(error.to_string()))?;
        for item in list["items"].as_array().into_iter().flatten() {
            let metadata = &item["metadata"];
            let one = Info {
                verb: "delete",
                name: metadata["name"].as_str().unwrap_or_default().to_owned(),
                namespace: metadata["namespace"].as_str().unwrap_or_default().to_owned(),
                ..info.clone()
            };
            match self.delete(resource, &one, body, query).await {
                Err(failure) if failure.code != StatusCode::NOT_FOUND => return Err(failure),
                _ => {}
            }
        }
        Ok(respond(StatusCode::OK, list.to_string()))
    }

    fn path(&self, path: &str, headers: &HeaderMap, query: &Query) -> Result<Response<Body>, Failure> {
        let served = self.served();
        let trimmed = path.trim_end_matches('/');
        if matches!(trimmed, "/api" | "/apis") && discovery::wants_aggregated(headers) {
            let mut response =
                respond(StatusCode::OK, discovery::aggregated(&served.registry, trimmed == "/api").to_string());
            response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(discovery::AGGREGATED));
            return Ok(response);
        }
        if let Some(answer) = discovery::plain(&served.registry, trimmed) {
            return Ok(respond(StatusCode::OK, answer?.to_string()));
        }
        match trimmed {
            "/version" => Ok(respond(StatusCode::OK, discovery::version().to_string())),
            "/livez" | "/readyz" | "/healthz" => {
                let text = if query.flag("verbose") {
                    format!("[+]ping ok\n[+]store ok\n{} check passed\n", &trimmed[1..])
                } else {
                    "ok".to_owned()
                };
                let mut response = Response::new(Body::from(text));
                response
                    .headers_mut()
                    .insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
                Ok(response)
            }
            "/openapi/v2" => {
                let mut response = Response::new(Body::from(discovery::openapi_v2()));
                response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(discovery::OPENAPI_V2));
                Ok(response)
            }
            "/openapi/v3" => Ok(respond(StatusCode::OK, served.documents.index().to_string())),
            _ => {
                let document = trimmed.strip_prefix("/openapi/v3/").and_then(|path| served.documents.get(path));
                let (text, hash) = document.ok_or_else(Failure::no_such_path)?;
                let mut response = respond(StatusCode::OK, text.clone());
                if query.get("hash") == Some(hash) {
                    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("public, immutable"));
                }
                if let Ok(tag) = HeaderValue::from_str(&format!("\"{hash}\"")) {
                    response.headers_mut().insert(header::ETAG, tag);
                }
                Ok(response)
            }
        }
    }

    fn authenticate(&self, known: Option<&User>, headers: &HeaderMap) -> Result<User, Failure> {
        if headers.keys().any(|name| name.as_str().starts_with("impersonate-")) {
            return Err(Failure::new(StatusCode::NOT_IMPLEMENTED, "NotImplemented", "impersonation is not served"));
        }
        if let Some(user) = known {
            return Ok(user.clone());
        }
        let Some(value) = headers.get(header::AUTHORIZATION) else { return Ok(User::anonymous()) };
        let token = value.to_str().ok().and_then(|value| value.strip_prefix("Bearer "));
        token
            .and_then(|token| self.0.tokens.user(token.trim(), &self.0.store.snapshot()))
            .ok_or_else(|| Failure::new(StatusCode::UNAUTHORIZED, "Unauthorized", "Unauthorized"))
    }

    fn authorize(&self, user: &User, wish: &Wish) -> Result<(), Failure> {
        if self.allowed(user, wish) {
            return Ok(());
        }
        let message = if wish.resource.is_empty() {
            format!("forbidden: User {:?} cannot {} path {:?}", user.name, wish.verb, wish.path)
        } else {
            let (plural, name) = (wish.resource.split('/').next().unwrap_or_default(), &wish.name);
            let qualified = if wish.group.is_empty() { plural.to_owned() } else { format!("{plural}.{}", wish.group) };
            let named = if name.is_empty() { String::new() } else { format!(" {name:?}") };
            let scope = if wish.namespace.is_empty() {
                "at the cluster scope".to_owned()
            } else {
                format!("in the namespace {:?}", wish.namespace)
            };
            format!(
                "{qualified}{named} is forbidden: User {:?} cannot {} resource {:?} in API group {:?} {scope}",
                user.name, wish.verb, wish.resource, wish.group
            )
        };
        let mut failure = Failure::new(StatusCode::FORBIDDEN, "Forbidden", message);
        failure.details = json!({"name": wish.name, "group": wish.group, "kind": wish.resource});
        Err(failure)
    }

    /// Chooses a free address for a Service that asks for one; the guard keeps others from choosing the same.
    pub(crate) async fn allocate(
        &self,
        resource: &Resource,
        object: &mut Value,
    ) -> Result<Option<OwnedMutexGuard<()>>, Failure> {
        let spec = &object["spec"];
        if !resource.addressed || spec["clusterIP"] == "None" || spec["type"] == "ExternalName" {
            return Ok(None);
        }
        let guard = self.0.addresses.clone().lock_owned().await;
        let snapshot = self.0.store.snapshot();
        let taken: std::collections::HashSet<String> = snapshot
            .range(&resource.prefix(), None)
            .filter_map(|(_, entry)| entry.value()["spec"]["clusterIP"].as_str().map(str::to_owned))
            .collect();
        let (base, bits) = self.0.service_range;
        let size = 1_u32 << (32 - u32::from(bits.clamp(8, 30)));
        let first = u32::from(base) & !(size - 1);
        let chosen = match spec["clusterIP"].as_str().filter(|address| !address.is_empty()) {
            Some(wanted) => {
                let inside = wanted
                    .parse::<Ipv4Addr>()
                    .is_ok_and(|address| (first + 1..first + size - 1).contains(&u32::from(address)));
                let why = if !inside {
                    "failed to allocate IP: the provided IP is not in the valid range"
                } else if taken.contains(wanted) {
                    "failed to allocate IP: provided IP is already allocated"
                } else {
                    ""
                };
                if !why.is_empty() {
                    let cause = schema::validate::Cause::invalid("spec.clusterIPs", &json!([wanted]), why);
                    return Err(Failure::invalid(
                        resource,
                        object["metadata"]["name"].as_str().unwrap_or_default(),
                        &[cause],
                    ));
                }
                wanted.to_owned()
            }
            // The first addresses are kept for the cluster's own Services.
            None => (first + 11..first + size - 1)
                .map(|address| Ipv4Addr::from(address).to_string())
                .find(|address| !taken.contains(address))
                .ok_or_else(|| Failure::internal("Internal error occurred: the range of service addresses is full"))?,
        };
        object["spec"]["clusterIPs"] = json!([chosen]);
        object["spec"]["clusterIP"] = chosen.into();
        Ok(Some(guard))
    }

    /// Stores a pod that was bound.
    pub(crate) async fn put_bound(
        &self,
        resource: &Resource,
        info: &Info,
        revision: u64,
        pod: Value,
    ) -> Result<(), Failure> {
        match self
            .0
            .store
            .write(&resource.key(&info.namespace, &info.name), Expect::Revision(revision), Write::Put(pod))
            .await?
        {
            Outcome::Done(_) => Ok(()),
            Outcome::Mismatch(_) => Err(changed_meanwhile(resource, &info.name)),
        }
    }

    /// Follows up on a write: a definition of kinds changes the table.
    pub(crate) async fn noticed(&self, resource: &Resource, old: Option<&Value>, entry: &Entry) {
        if !resource.defines_kinds {
            return;
        }
        let gone = self
            .0
            .store
            .snapshot()
            .get(&resource.key("", entry.value()["metadata"]["name"].as_str().unwrap_or_default()))
            .is_none();
        if let Some(old) = old.filter(|_| gone) {
            let prefix = format!(
                "{}/{}/",
                old["spec"]["group"].as_str().unwrap_or_default(),
                old["spec"]["names"]["plural"].as_str().unwrap_or_default()
            );
            for (key, entry) in self.0.store.snapshot().range(&prefix, None) {
                let outcome =
                    self.0.store.write(key, Expect::Revision(entry.revision), Write::Delete(entry.value())).await;
                if let Err(error) = outcome {
                    tracing::warn!(key, %error, "an object of a kind that went could not be removed");
                }
            }
        }
        if let Err(failure) = self.load_kinds().await {
            tracing::error!(reason = failure.message, "the table of kinds could not be made anew");
        }
    }

    /// Accepts or refuses the names of all definitions and makes the table of kinds anew.
    async fn load_kinds(&self) -> Result<(), Failure> {
        let builtins = builtin::resources();
        let Some(definitions) = builtins.iter().find(|resource| resource.defines_kinds).cloned() else { return Ok(()) };
        let snapshot = self.0.store.snapshot();
        let mut known: Vec<Value> = Vec::new();
        for (key, entry) in snapshot.range(&definitions.prefix(), None) {
            let mut definition = entry.value();
            let status = custom::status(&definition, &known, &base::clock::now_rfc3339());
            if definition["status"] != status {
                definition["status"] = status;
                // A writer that came first makes the table anew itself.
                self.0.store.write(key, Expect::Revision(entry.revision), Write::Put(definition.clone())).await?;
            }
            known.push(definition);
        }
        let registry = Registry::new(builtins.into_iter().chain(known.iter().flat_map(custom::resources)));
        *self.0.registry.write() = Arc::new(Served { documents: Documents::new(&registry), registry });
        Ok(())
    }

    async fn ensure(
        &self,
        group: &str,
        version: &str,
        plural: &str,
        namespace: &str,
        object: Value,
    ) -> Result<(), Error> {
        let served = self.served();
        let name = object["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        let Some(resource) = served.registry.get(group, version, plural) else { return Ok(()) };
        if self.0.store.snapshot().get(&resource.key(namespace, &name)).is_some() {
            return Ok(());
        }
        let info = Info {
            verb: "create",
            group: group.into(),
            version: version.into(),
            resource: plural.into(),
            namespace: namespace.into(),
            ..Info::default()
        };
        let options = Options::parse(&Query::default(), "roadstead")
            .map_err(|failure| Error::Bootstrap { what: name.clone(), reason: failure.message })?;
        match self.create(resource, &info, object, &options).await {
            Ok(_) => Ok(()),
            Err(failure) if failure.reason == "AlreadyExists" => Ok(()),
            Err(failure) => Err(Error::Bootstrap { what: format!("{plural} {name}"), reason: failure.message }),
        }
    }

    /// Makes the `kubernetes` Service lead to this server.
    async fn advertise(&self, address: IpAddr, port: u16) -> Result<(), Error> {
        let first = Ipv4Addr::from(u32::from(self.0.service_range.0) + 1).to_string();
        let service = json!({"metadata": {"name": "kubernetes", "labels": {"component": "apiserver", "provider": "kubernetes"}},
            "spec": {"clusterIP": first, "ports": [{"name": "https", "port": 443, "targetPort": port, "protocol": "TCP"}]}});
        self.ensure("", "v1", "services", "default", service).await?;
        let slice = json!({"metadata": {"name": "kubernetes", "labels": {"kubernetes.io/service-name": "kubernetes"}}, "addressType": "IPv4",
            "endpoints": [{"addresses": [address.to_string()], "conditions": {"ready": true}}], "ports": [{"name": "https", "port": port, "protocol": "TCP"}]});
        self.ensure("discovery.k8s.io", "v1", "endpointslices", "default", slice).await
    }
}

fn wish_of(info: &Info) -> Wish {
    let resource = if info.subresource.is_empty() {
        info.resource.clone()
    } else {
        format!("{}/{}", info.resource, info.subresource)
    };
    Wish {
        verb: info.verb.to_owned(),
        group: info.group.clone(),
        resource,
        namespace: info.namespace.clone(),
        name: info.name.clone(),
        path: String::new(),
    }
}

/// Returns a JSON answer.
pub(crate) fn respond(code: StatusCode, body: impl Into<Bytes>) -> Response<Body> {
    let mut response = Response::new(Body::from(body.into()));
    *response.status_mut() = code;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache, private"));
    response
}

fn media_type(headers: &HeaderMap) -> &str {
    let value = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    value.split(';').next().unwrap_or_default().trim()
}

fn patch_kind(headers: &HeaderMap) -> Result<PatchKind, Failure> {
    match media_type(headers) {
        "application/json-patch+json" => Ok(PatchKind::Json),
        "application/merge-patch+json" => Ok(PatchKind::Merge),
        "application/strategic-merge-patch+json" => Ok(PatchKind::Strategic),
        "application/apply-patch+yaml" => Ok(PatchKind::Apply),
        other => Err(Failure::unsupported_media(
            other,
            "application/json-patch+json, application/merge-patch+json, application/strategic-merge-patch+json, application/apply-patch+yaml",
        )),
    }
}

async fn read_body(headers: &HeaderMap, body: Body) -> Result<Value, Failure> {
    let media = media_type(headers).to_owned();
    let read = tokio::time::timeout(Duration::from_secs(60), axum::body::to_bytes(body, MAX_BODY));
    let bytes = read
        .await
        .map_err(|_| Failure::new(StatusCode::REQUEST_TIMEOUT, "Timeout", "the body did not arrive within 60 s"))?
        .map_err(|_| {
            Failure::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                "RequestEntityTooLarge",
                format!("Request entity too large: limit is {MAX_BODY}"),
            )
        })?;
    if bytes.is_empty() {
        return Ok(json!({}));
    }
    match media.as_str() {
        "application/yaml" | "application/apply-patch+yaml" => serde_json::from_slice(&bytes).or_else(|_| {
            let text = std::str::from_utf8(&bytes).map_err(|error| Failure::bad_request(error.to_string()))?;
            serde_saphyr::from_str(text)
                .map_err(|error| Failure::bad_request(format!("error converting YAML to JSON: {error}")))
        }),
        ""
        | "application/json"
        | "application/json-patch+json"
        | "application/merge-patch+json"
        | "application/strategic-merge-patch+json" => serde_json::from_slice(&bytes)
            .map_err(|error| Failure::bad_request(format!("couldn't get version/kind; json parse error: {error}"))),
        schema::wire::MEDIA_TYPE => schema::wire::decode(&bytes)
            .map_err(|error| Failure::bad_request(format!("couldn't read the protobuf body: {error}"))),
        other => Err(Failure::unsupported_media(other, &format!("{TEXT_TYPES}, {}", schema::wire::MEDIA_TYPE))),
    }
}
