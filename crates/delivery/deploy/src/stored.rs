//! Templates that have a name in a cluster: ConfigMaps of the platform's own namespace that carry a label.

use client::Cause;
use kube::{
    Api, Client,
    api::{ApiResource, DynamicObject, GroupVersionKind, ListParams},
};
use platform::kinds::{SYSTEM_NAMESPACE as SYSTEM, TEMPLATE_KEY, TEMPLATE_LABEL};

use crate::Error;

/// A template with a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Its name.
    pub name: String,
    /// YAML or JSON.
    pub text: String,
}

/// Returns the templates that the cluster has, by name.
///
/// # Errors
///
/// The cluster cannot be asked, or the caller may not list them.
pub async fn stored(client: &Client) -> Result<Vec<Stored>, Error> {
    let resource = ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk("", "v1", "ConfigMap"), "configmaps");
    let maps: Api<DynamicObject> = Api::namespaced_with(client.clone(), SYSTEM, &resource);
    let found =
        maps.list(&ListParams::default().labels(&format!("{TEMPLATE_LABEL}=true"))).await.map_err(|source| {
            Error::Ask { operation: format!("list the templates in {SYSTEM}"), source: Cause::new(source) }
        })?;
    let text = |map: &DynamicObject| map.data["data"][TEMPLATE_KEY].as_str().map(str::to_owned);
    Ok(found.items.into_iter().filter_map(|map| Some(Stored { text: text(&map)?, name: map.metadata.name? })).collect())
}
