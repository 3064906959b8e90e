//! Namespaces: what each has from the start, and the emptying of one that goes.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use k8s_openapi::api::core::v1::{ConfigMap, Namespace, ServiceAccount};
use kube::{
    Api, Client, ResourceExt,
    api::{DeleteParams, DynamicObject, ListParams, ObjectMeta, PostParams},
    discovery::{Discovery, Scope, verbs},
    runtime::controller::Action,
};

use crate::{Context, Error};

/// Gives a namespace its default objects, or empties it when it is to go.
pub async fn reconcile(namespace: Arc<Namespace>, context: Arc<Context>) -> Result<Action, Error> {
    let name = namespace.name_any();
    if namespace.metadata.deletion_timestamp.is_some() {
        return empty(&context.client, &namespace).await;
    }
    let accounts: Api<ServiceAccount> = Api::namespaced(context.client.clone(), &name);
    let meta = |name: &str| ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() };
    ensure(&accounts, "default", || ServiceAccount { metadata: meta("default"), ..ServiceAccount::default() }).await?;
    if let Some(root_ca) = &context.root_ca {
        let maps: Api<ConfigMap> = Api::namespaced(context.client.clone(), &name);
        let data = BTreeMap::from([("ca.crt".to_owned(), root_ca.clone())]);
        ensure(&maps, "kube-root-ca.crt", || ConfigMap {
            metadata: meta("kube-root-ca.crt"),
            data: Some(data),
            ..ConfigMap::default()
        })
        .await?;
    }
    // Objects that are taken away come back when the namespace is looked at again.
    Ok(Action::requeue(Duration::from_secs(60)))
}

async fn ensure<K>(api: &Api<K>, name: &str, make: impl FnOnce() -> K) -> Result<(), Error>
where
    K: kube::Resource + Clone + std::fmt::Debug + serde::de::DeserializeOwned + serde::Serialize,
{
    if api.get_metadata_opt(name).await.map_err(|source| Error::new(format!("look for {name}"), source))?.is_some() {
        return Ok(());
    }
    match api.create(&PostParams::default(), &make()).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.code == 409 => Ok(()),
        Err(source) => Err(Error::new(format!("create {name}"), source)),
    }
}

/// Deletes everything in the namespace; lets the namespace go when nothing is left.
async fn empty(client: &Client, namespace: &Namespace) -> Result<Action, Error> {
    let name = namespace.name_any();
    let fail = |what: &str| {
        let what = format!("{what} namespace {name}");
        move |source| Error::new(what, source)
    };
    let discovery = Discovery::new(client.clone()).run_aggregated().await.map_err(fail("discover the kinds of"))?;
    let mut left = 0;
    for group in discovery.groups() {
        for (resource, capabilities) in group.recommended_resources() {
            if capabilities.scope != Scope::Namespaced || !capabilities.supports_operation(verbs::DELETE_COLLECTION) {
                continue;
            }
            let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), &name, &resource);
            let list = api.list_metadata(&ListParams::default()).await.map_err(fail("list what is in"))?;
            left += list.items.len();
            if list.items.iter().any(|item| item.metadata.deletion_timestamp.is_none()) {
                api.delete_collection(&DeleteParams::background(), &ListParams::default())
                    .await
                    .map_err(fail("empty"))?;
            }
        }
    }
    if left > 0 {
        return Ok(Action::requeue(Duration::from_millis(200)));
    }
    let mut finished = namespace.clone();
    if let Some(finalizers) = finished.spec.as_mut().and_then(|spec| spec.finalizers.as_mut()) {
        finalizers.retain(|finalizer| finalizer != "kubernetes");
    }
    let body = serde_json::to_vec(&finished)
        .map_err(|source| Error::new(format!("write namespace {name}"), kube::Error::SerdeError(source)))?;
    let request = http_put(&format!("/api/v1/namespaces/{name}/finalize"), body);
    client.request::<serde_json::Value>(request).await.map_err(fail("let go of"))?;
    Ok(Action::await_change())
}

fn http_put(path: &str, body: Vec<u8>) -> http::Request<Vec<u8>> {
    http::Request::put(path)
        .header("content-type", "application/json")
        .body(body)
        .expect("the path is made of checked names")
}
