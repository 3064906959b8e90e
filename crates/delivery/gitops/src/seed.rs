//! What delivery itself puts in place when it starts: the repository of charts, the project `default`, the list of
//! templates.

use base::fault::{Class, Fault};
use kube::Client;
use platform::kinds::{SYSTEM_NAMESPACE as SYSTEM, TEMPLATE_KEY, TEMPLATE_LABEL};
use serde_json::{Value, json};

use crate::{
    content,
    git::{self, Host, Name},
    objects,
};

/// Name of the repository that holds the platform's charts.
pub(crate) const CHARTS: &str = "charts";
/// The name that fields are applied under.
const MANAGER: &str = "roadstead-delivery";

/// Why something could not be put in place.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The git host did not do its part.
    #[error("the repository of charts cannot be written")]
    Charts {
        /// The host's error.
        source: git::Error,
    },
    /// The API server did not do its part.
    #[error("the platform's own objects cannot be written")]
    Objects {
        /// The client's error.
        source: objects::Error,
    },
}

impl Fault for Error {
    fn class(&self) -> Class {
        match self {
            Error::Charts { source } => source.class(),
            Error::Objects { source } => source.class(),
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Error::Charts { .. } => "DEL0004",
            Error::Objects { .. } => "DEL0005",
        }
    }
}

/// Makes the repository `charts`, or brings it up to what this version ships.
pub(crate) async fn charts(host: &Host) -> Result<(), Error> {
    let failed = |source| Error::Charts { source };
    let name = Name::parse(CHARTS).map_err(|_| failed(git::Error::NoRepository { name: CHARTS.to_owned() }))?;
    let files = content::charts();
    if host.exists(&name) {
        host.replace(&name, &files, "Update the charts to those of this version").await.map_err(failed)?;
    } else {
        host.create(&name, &files, "Begin with the charts of this version").await.map_err(failed)?;
    }
    Ok(())
}

/// Applies the namespaces, the project `default`, the list of templates and the templates that make objects.
pub(crate) async fn cluster(client: &Client, sample_image: &str) -> Result<(), Error> {
    let failed = |source| Error::Objects { source };
    let namespaces = objects::api(client, &objects::resource("", "v1", "Namespace", "namespaces"), "");
    for name in [SYSTEM, "argocd"] {
        let object = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
        objects::apply(&namespaces, MANAGER, &object).await.map_err(failed)?;
    }
    let projects = objects::api(client, &objects::app_project(), "argocd");
    objects::apply(&projects, MANAGER, &project()).await.map_err(failed)?;
    let maps = objects::api(client, &objects::resource("", "v1", "ConfigMap", "configmaps"), SYSTEM);
    objects::apply(&maps, MANAGER, &templates()).await.map_err(failed)?;
    for (name, text) in content::deployable(sample_image) {
        objects::apply(&maps, MANAGER, &deployable(name, &text)).await.map_err(failed)?;
    }
    Ok(())
}

fn project() -> Value {
    json!({
        "apiVersion": "argoproj.io/v1alpha1", "kind": "AppProject",
        "metadata": {"name": "default", "namespace": "argocd"},
        "spec": {
            "description": "Everything is allowed.",
            "sourceRepos": ["*"],
            "destinations": [{"server": "*", "namespace": "*"}],
            "clusterResourceWhitelist": [{"group": "*", "kind": "*"}],
        },
    })
}

fn templates() -> Value {
    let data: serde_json::Map<String, Value> =
        content::templates().iter().map(|one| (one.name.to_owned(), json!(one.description))).collect();
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "templates", "namespace": SYSTEM}, "data": data})
}

/// A template that makes objects, where the portal and `roadstead template` look for it.
fn deployable(name: &str, text: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": SYSTEM, "labels": {TEMPLATE_LABEL: "true"}},
        "data": {TEMPLATE_KEY: text}})
}
