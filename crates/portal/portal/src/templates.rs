//! Templates that make objects: which there are, and their deployment with the caller's own rights.

use std::{pin::Pin, sync::Arc};

use axum::{
    Json,
    extract::{Path, State},
    response::{IntoResponse, Response},
};
use base::{fault::Fault, names::is_dns_label};
use http::StatusCode;
use kube::Client;
use platform::{
    kinds::{TEMPLATE_KEY, TEMPLATE_LABEL},
    rest::{DeployTemplate, Deployed, Makes, Parameter, Template},
};
use serde_json::Value;

use crate::{
    access::Caller,
    api::Body,
    index::{Index, Kind, SYSTEM},
    paging::{Params, WriteParams},
    portal::App,
    problem::Problem,
};

/// What a deployment will come to.
pub type Deploying<'a> = Pin<Box<dyn Future<Output = Result<Deployed, Box<dyn Fault>>> + Send + 'a>>;

/// Reads and deploys templates: another part of the process knows how.
pub trait Deployer: Send + Sync + 'static {
    /// Returns what a template makes and asks for; nothing if its text is none.
    fn read(&self, text: &str) -> Option<(String, Vec<Parameter>)>;
    /// Deploys a template through `client`; on trial nothing is written.
    fn deploy<'a>(&'a self, client: Client, text: &'a str, wish: &'a DeployTemplate, trial: Trial) -> Deploying<'a>;
}

/// Whether a deployment only shows what would come of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trial {
    /// It does.
    Yes,
    /// It is done.
    No,
}

fn text_of(map: &Value) -> Option<&str> {
    (map["metadata"]["labels"][TEMPLATE_LABEL] == "true").then(|| map["data"][TEMPLATE_KEY].as_str()).flatten()
}

/// Returns the templates that make objects, by name.
pub(crate) fn all(index: &Index, deployer: &dyn Deployer) -> Vec<Template> {
    let maps = index.within(Kind::ConfigMap, SYSTEM);
    let templates = maps.iter().filter_map(|map| {
        let (description, parameters) = deployer.read(text_of(map)?)?;
        let name = map["metadata"]["name"].as_str()?.to_owned();
        Some(Template { name, description, makes: Makes::Objects, parameters })
    });
    templates.collect()
}

/// Answers `POST /templates/{name}/deploy`.
pub(crate) async fn deploy(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(name): Path<String>,
    Params(params): Params<WriteParams>,
    Body(wish): Body<DeployTemplate>,
) -> Result<Response, Problem> {
    app.check(&caller, "get", "templates", "", &name).await?;
    let map = app.index.get(Kind::ConfigMap, SYSTEM, &name);
    let Some(text) = map.as_deref().and_then(text_of) else {
        return Err(Problem::NotFound { kind: "template that makes objects", name });
    };
    if !is_dns_label(&wish.namespace) {
        return Err(Problem::Invalid { field: "namespace", message: "use the name of a namespace".to_owned() });
    }
    // What follows is done by the caller, not by the portal: objects are written with the caller's rights alone.
    let client =
        client::access::acting_as(&app.client, &caller.user).map_err(|error| Problem::Internal(Box::new(error)))?;
    let trial = if params.dry_run { Trial::Yes } else { Trial::No };
    let deployed = app.deployer.deploy(client, text, &wish, trial).await.map_err(Problem::Deployment)?;
    if trial == Trial::No {
        tracing::info!(
            user = caller.user.name,
            template = name,
            objects = deployed.objects.len(),
            "deployed a template"
        );
    }
    Ok((StatusCode::OK, Json(deployed)).into_response())
}
