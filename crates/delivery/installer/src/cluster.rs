//! The cluster: which kinds it has, and the requests that releases need.

use std::{
    collections::HashMap,
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
};

use base::settings;
use clap::Args;
use client::Cause;
use http::{Method, Request, header};
use kube::{
    Client, Config, Resource as _,
    api::{ApiResource, DynamicObject},
    config::{KubeConfigOptions, Kubeconfig},
    core::GroupVersionKind,
    discovery::Scope,
};
use parking_lot::Mutex;
use serde_json::{Value, json};

use crate::Error;

/// The name that fields are owned by: Helm's own, so that both programs are one owner.
const MANAGER: &str = "helm";

/// Which cluster, and where in it.
#[derive(Clone, Debug, Default, Args)]
pub struct ClusterArgs {
    /// The kubeconfig [default: $KUBECONFIG, else that of the platform here, else ~/.kube/config].
    #[arg(long, value_name = "FILE")]
    pub(crate) kubeconfig: Option<PathBuf>,
    /// The context in it.
    #[arg(long, value_name = "NAME")]
    pub(crate) kube_context: Option<String>,
    /// Namespace of the release [default: $HELM_NAMESPACE, else that of the context].
    #[arg(short, long, env = "HELM_NAMESPACE", hide_env = true)]
    pub(crate) namespace: Option<String>,
}

/// A cluster with one namespace for releases; clones share what is known of it.
#[derive(Clone)]
pub struct Cluster {
    client: Client,
    kinds: Arc<Mutex<HashMap<GroupVersionKind, (ApiResource, Scope)>>>,
    /// The namespace of the release.
    pub(crate) namespace: String,
}

/// What an object is called.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Id {
    pub(crate) group: String,
    pub(crate) kind: String,
    pub(crate) namespace: Option<String>,
    pub(crate) name: String,
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.namespace {
            Some(namespace) => write!(f, "{} {namespace}/{}", self.kind, self.name),
            None => write!(f, "{} {}", self.kind, self.name),
        }
    }
}

/// An object of a manifest, and where its kind is served.
#[derive(Clone, Debug)]
pub(crate) struct Placed {
    pub(crate) id: Id,
    pub(crate) object: Value,
    pub(crate) resource: ApiResource,
}

impl Placed {
    fn url(&self) -> String {
        DynamicObject::url_path(&self.resource, self.id.namespace.as_deref())
    }
}

/// Whether a write is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// It is.
    Real,
    /// The API server is asked what it would say.
    DryRun,
}

impl Cluster {
    /// Reads the kubeconfig; asks nothing yet.
    pub async fn connect(args: &ClusterArgs, platform: Option<&Path>) -> Result<Self, Error> {
        let fail = |reason: String| Error::Unreachable { reason };
        let home = || settings::env("HOME").map(|home| Path::new(&home).join(".kube/config"));
        let path = args.kubeconfig.clone().or_else(|| settings::env("KUBECONFIG").map(PathBuf::from));
        let path = path.or_else(|| platform.map(Path::to_owned)).or_else(home);
        let path = path.ok_or_else(|| fail("there is no kubeconfig".to_owned()))?;
        let read = Kubeconfig::read_from(&path).map_err(|error| fail(format!("{}: {error}", path.display())))?;
        let options = KubeConfigOptions { context: args.kube_context.clone(), ..KubeConfigOptions::default() };
        let config = Config::from_custom_kubeconfig(read, &options)
            .await
            .map_err(|error| fail(format!("{}: {error}", path.display())))?;
        let namespace = args.namespace.clone().unwrap_or_else(|| config.default_namespace.clone());
        let client = Client::try_from(config).map_err(|error| fail(error.to_string()))?;
        Ok(Self::of(client, &namespace))
    }

    /// Takes a client that is there already.
    pub fn of(client: Client, namespace: &str) -> Self {
        Self { client, kinds: Arc::default(), namespace: namespace.to_owned() }
    }

    /// Returns the cluster's version, and all that it serves: group versions, and `group/version/Kind`.
    pub(crate) async fn capabilities(&self) -> Result<(String, Vec<String>), Error> {
        let fail = |error: kube::Error| Error::Unreachable { reason: Cause::new(error).to_string() };
        let (version, core, groups) = futures::try_join!(
            self.client.apiserver_version(),
            self.client.list_core_api_versions_aggregated(),
            self.client.list_api_groups_aggregated(),
        )
        .map_err(fail)?;
        let mut all = Vec::new();
        for group in core.items.into_iter().chain(groups.items) {
            let name = group.metadata.and_then(|metadata| metadata.name).unwrap_or_default();
            for one in group.versions {
                let version = [&name, one.version.as_deref().unwrap_or_default()].into_iter();
                let version = version.filter(|part| !part.is_empty()).collect::<Vec<_>>().join("/");
                let kinds = one.resources.iter().filter_map(|one| one.response_kind.as_ref()?.kind.as_ref());
                all.extend(kinds.map(|kind| format!("{version}/{kind}")));
                all.push(version);
            }
        }
        // Before 1.26 an API server does not tell all at once.
        if all.is_empty() {
            all = self.capabilities_by_group().await?;
        }
        Ok((version.git_version, all))
    }

    async fn capabilities_by_group(&self) -> Result<Vec<String>, Error> {
        let fail = |error: kube::Error| Error::Unreachable { reason: Cause::new(error).to_string() };
        let mut all = Vec::new();
        for version in self.client.list_core_api_versions().await.map_err(fail)?.versions {
            let resources = self.client.list_core_api_resources(&version).await.map_err(fail)?;
            all.extend(resources.resources.iter().map(|one| format!("{version}/{}", one.kind)));
            all.push(version);
        }
        for group in self.client.list_api_groups().await.map_err(fail)?.groups {
            for version in group.versions.into_iter().map(|version| version.group_version) {
                // An aggregated API whose server is away is left out, as Helm leaves it out.
                if let Ok(resources) = self.client.list_api_group_resources(&version).await {
                    all.extend(resources.resources.iter().map(|one| format!("{version}/{}", one.kind)));
                }
                all.push(version);
            }
        }
        Ok(all)
    }

    /// Forgets which kinds there are: definitions changed.
    pub(crate) fn forget_kinds(&self) {
        self.kinds.lock().clear();
    }

    async fn kind(&self, kind: &GroupVersionKind) -> Result<Option<(ApiResource, Scope)>, Error> {
        if let Some(found) = self.kinds.lock().get(kind) {
            return Ok(Some(found.clone()));
        }
        match kube::discovery::pinned_kind(&self.client, kind).await {
            Ok((resource, capabilities)) => {
                let found = (resource, capabilities.scope);
                self.kinds.lock().insert(kind.clone(), found.clone());
                Ok(Some(found))
            }
            Err(kube::Error::Discovery(_)) => Ok(None),
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(None),
            Err(error) => {
                Err(Error::Api { operation: "look up", object: kind.kind.clone(), source: Cause::new(error) })
            }
        }
    }

    /// Places the objects of a manifest; those without a namespace go into `namespace`, lists are taken apart.
    pub(crate) async fn place(&self, manifest: &str, namespace: &str) -> Result<Vec<Placed>, Error> {
        let mut placed = Vec::new();
        for object in objects(manifest)? {
            placed.push(self.place_one(object, namespace).await?);
        }
        Ok(placed)
    }

    /// Places the objects of a manifest that was installed once; objects whose kind is gone are gone too.
    pub(crate) async fn place_known(&self, manifest: &str, namespace: &str) -> Result<Vec<Placed>, Error> {
        let mut placed = Vec::new();
        for object in objects(manifest)? {
            match self.place_one(object, namespace).await {
                Ok(one) => placed.push(one),
                Err(Error::NoKind { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(placed)
    }

    /// Places one object.
    pub(crate) async fn place_one(&self, mut object: Value, namespace: &str) -> Result<Placed, Error> {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let (version, kind) = (text(&object["apiVersion"]), text(&object["kind"]));
        let name = text(&object["metadata"]["name"]);
        let shown = format!("{kind} {name}");
        if version.is_empty() || kind.is_empty() || name.is_empty() {
            let reason = format!("an object has no apiVersion, kind or metadata.name: {version:?}, {kind:?}, {name:?}");
            return Err(Error::Usage { reason });
        }
        let (group, short) = version.split_once('/').unwrap_or(("", &version));
        let wanted = GroupVersionKind::gvk(group, short, &kind);
        let Some((resource, scope)) = self.kind(&wanted).await? else {
            return Err(Error::NoKind { object: shown, kind, version });
        };
        let namespace = (scope == Scope::Namespaced).then(|| match object["metadata"]["namespace"].as_str() {
            Some(given) if !given.is_empty() => given.to_owned(),
            _ => namespace.to_owned(),
        });
        if let Some(namespace) = &namespace {
            object["metadata"]["namespace"] = namespace.as_str().into();
        }
        Ok(Placed { id: Id { group: group.to_owned(), kind, namespace, name }, object, resource })
    }

    /// Returns an object as it is, or nothing.
    pub(crate) async fn get(&self, placed: &Placed) -> Result<Option<Value>, Error> {
        let url = format!("{}/{}", placed.url(), placed.id.name);
        match self.ask(Method::GET, &url, None).await {
            Ok(object) => Ok(Some(object)),
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(None),
            Err(error) => Err(failed("read", &placed.id, error)),
        }
    }

    /// Creates an object.
    pub(crate) async fn create(&self, placed: &Placed, mode: Mode) -> Result<Value, Error> {
        let url = format!("{}?{}", placed.url(), parameters(mode));
        let asked = self.ask(Method::POST, &url, Some(&placed.object)).await;
        asked.map_err(|error| failed("create", &placed.id, error))
    }

    /// Changes an object by a JSON merge patch.
    pub(crate) async fn change(&self, placed: &Placed, patch: &Value, mode: Mode) -> Result<Value, Error> {
        let url = format!("{}/{}?{}", placed.url(), placed.id.name, parameters(mode));
        let asked = self.ask(Method::PATCH, &url, Some(patch)).await;
        asked.map_err(|error| failed("change", &placed.id, error))
    }

    /// Deletes an object; returns whether it was there.
    pub(crate) async fn delete(&self, placed: &Placed, propagation: &str) -> Result<bool, Error> {
        let url = format!("{}/{}", placed.url(), placed.id.name);
        let options = json!({"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": propagation});
        match self.ask(Method::DELETE, &url, Some(&options)).await {
            Ok(_) => Ok(true),
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(false),
            Err(error) => Err(failed("delete", &placed.id, error)),
        }
    }

    /// Answers `lookup` of a template: an object, or all of a kind if no name is given; an empty map if there is none.
    pub(crate) async fn look_up(
        &self,
        version: &str,
        kind: &str,
        namespace: &str,
        name: &str,
    ) -> Result<Value, String> {
        let (group, short) = version.split_once('/').unwrap_or(("", version));
        let found = self.kind(&GroupVersionKind::gvk(group, short, kind)).await.map_err(|error| error.to_string())?;
        let Some((resource, scope)) = found else {
            return Err(format!("unable to get apiresource from unstructured: no kind {kind} in {version}"));
        };
        let namespace = Some(namespace).filter(|name| scope == Scope::Namespaced && !name.is_empty());
        let url = DynamicObject::url_path(&resource, namespace);
        let url = if name.is_empty() { url } else { format!("{url}/{name}") };
        match self.ask(Method::GET, &url, None).await {
            Ok(object) => Ok(object),
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(json!({})),
            Err(error) => Err(Cause::new(error).to_string()),
        }
    }

    /// Sends any request to the API server.
    pub(crate) async fn ask(&self, method: Method, url: &str, body: Option<&Value>) -> Result<Value, kube::Error> {
        self.client.request(request(method, url, body)?).await
    }

    /// Reads text, for example a log.
    pub(crate) async fn text(&self, url: &str) -> Result<String, kube::Error> {
        self.client.request_text(request(Method::GET, url, None)?).await
    }
}

fn request(method: Method, url: &str, body: Option<&Value>) -> Result<Request<Vec<u8>>, kube::Error> {
    let kind = if method == Method::PATCH { "application/merge-patch+json" } else { "application/json" };
    let body = match body {
        Some(body) => serde_json::to_vec(body).map_err(kube::Error::SerdeError)?,
        None => Vec::new(),
    };
    let builder = Request::builder().method(method).uri(url).header(header::CONTENT_TYPE, kind);
    builder.body(body).map_err(kube::Error::HttpError)
}

fn parameters(mode: Mode) -> String {
    let dry = if mode == Mode::DryRun { "&dryRun=All" } else { "" };
    format!("fieldManager={MANAGER}&fieldValidation=Strict{dry}")
}

fn failed(operation: &'static str, id: &Id, error: kube::Error) -> Error {
    Error::Api { operation, object: id.to_string(), source: Cause::new(error) }
}

/// Returns the objects of a manifest, lists taken apart.
pub(crate) fn objects(manifest: &str) -> Result<Vec<Value>, Error> {
    let mut all = Vec::new();
    for text in helm::split_manifests(manifest) {
        let source = text.lines().find_map(|line| line.strip_prefix("# Source: ")).unwrap_or("manifest");
        all.extend(helm::flatten(helm::parse_manifests(source, text)?));
    }
    Ok(all)
}
