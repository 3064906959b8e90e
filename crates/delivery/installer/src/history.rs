//! The records of releases: Secrets, one for each revision.

use std::collections::BTreeMap;

use base::clock;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use client::Cause;
use http::Method;
use release::{Release, Status, record};
use serde_json::{Value, json};

use crate::{Cluster, Error};

/// How many records are read at once: each may have a megabyte.
const PAGE: usize = 20;

/// The records of one namespace.
pub(crate) struct History<'c> {
    cluster: &'c Cluster,
    namespace: String,
}

impl<'c> History<'c> {
    pub(crate) fn new(cluster: &'c Cluster) -> Self {
        Self { cluster, namespace: cluster.namespace.clone() }
    }

    fn url(&self) -> String {
        format!("/api/v1/namespaces/{}/secrets", self.namespace)
    }

    /// Returns all revisions of a release, oldest first; none if there is no such release.
    pub(crate) async fn of(&self, name: &str) -> Result<Vec<Release>, Error> {
        let selector = format!("owner=helm,name={name}");
        let mut all = list(self.cluster, &self.url(), &selector).await?;
        all.sort_by_key(|release| release.version);
        Ok(all)
    }

    /// Returns all revisions, at least one.
    pub(crate) async fn existing(&self, name: &str) -> Result<Vec<Release>, Error> {
        let all = self.of(name).await?;
        if all.is_empty() { Err(self.missing(format!("release {name}"))) } else { Ok(all) }
    }

    /// Returns the newest revision.
    pub(crate) async fn last(&self, name: &str) -> Result<Release, Error> {
        self.of(name).await?.pop().ok_or_else(|| self.missing(format!("release {name}")))
    }

    /// Returns a revision, the newest if none is named.
    pub(crate) async fn revision(&self, name: &str, revision: Option<u32>) -> Result<Release, Error> {
        let Some(revision) = revision else { return self.last(name).await };
        let found = self.existing(name).await?.into_iter().find(|release| release.version == revision);
        found.ok_or_else(|| self.missing(format!("revision {revision} of release {name}")))
    }

    pub(crate) fn missing(&self, what: String) -> Error {
        Error::NoRelease { what, namespace: self.namespace.clone() }
    }

    /// Writes a new revision. Fails if somebody else has written it: that is the lock among writers.
    pub(crate) async fn create(&self, release: &Release, most: usize) -> Result<(), Error> {
        if most > 0 {
            let history = self.of(&release.name).await?;
            for version in record::surplus(&history, most) {
                self.delete(&release.name, version).await?;
            }
        }
        let secret = self.secret(release, "createdAt")?;
        match self.cluster.ask(Method::POST, &self.url(), Some(&secret)).await {
            Ok(_) => Ok(()),
            Err(kube::Error::Api(status)) if status.reason == "AlreadyExists" => Err(Error::Pending {
                name: release.name.clone(),
                revision: release.version,
                status: release.info.status.name(),
                since: release.info.last_deployed.clone(),
            }),
            Err(error) => Err(self.failed("record", release, error)),
        }
    }

    /// Writes a revision that is there.
    pub(crate) async fn update(&self, release: &Release) -> Result<(), Error> {
        let url = format!("{}/{}", self.url(), release.key());
        let secret = self.secret(release, "modifiedAt")?;
        match self.cluster.ask(Method::PUT, &url, Some(&secret)).await {
            Ok(_) => Ok(()),
            Err(error) => Err(self.failed("record", release, error)),
        }
    }

    /// Takes a revision away.
    pub(crate) async fn delete(&self, name: &str, version: u32) -> Result<(), Error> {
        let url = format!("{}/{}", self.url(), record::key(name, version));
        match self.cluster.ask(Method::DELETE, &url, None).await {
            Ok(_) => Ok(()),
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
            Err(error) => {
                let object = format!("revision {version} of release {name}");
                Err(Error::Api { operation: "forget", object, source: Cause::new(error) })
            }
        }
    }

    fn failed(&self, operation: &'static str, release: &Release, error: kube::Error) -> Error {
        let object = format!("revision {} of release {} in {}", release.version, release.name, self.namespace);
        Error::Api { operation, object, source: Cause::new(error) }
    }

    fn secret(&self, release: &Release, stamp: &str) -> Result<Value, Error> {
        let text = release.encode().map_err(|source| Error::Record { name: release.name.clone(), source })?;
        Ok(json!({
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {
                "name": release.key(),
                "namespace": self.namespace,
                "labels": release.secret_labels((stamp, clock::now().as_second())),
            },
            "type": record::SECRET_TYPE,
            "data": {"release": STANDARD.encode(text)},
        }))
    }
}

/// Returns the releases of one namespace or of all; a record that cannot be read is an error that names it.
pub(crate) async fn all(cluster: &Cluster, namespace: Option<&str>) -> Result<Vec<Release>, Error> {
    let url = match namespace {
        Some(namespace) => format!("/api/v1/namespaces/{namespace}/secrets"),
        None => "/api/v1/secrets".to_owned(),
    };
    list(cluster, &url, "owner=helm").await
}

async fn list(cluster: &Cluster, url: &str, selector: &str) -> Result<Vec<Release>, Error> {
    let selector = selector.replace('=', "%3D").replace(',', "%2C");
    let (mut all, mut from) = (Vec::new(), String::new());
    loop {
        let url = format!("{url}?labelSelector={selector}&limit={PAGE}{from}");
        let page = cluster.ask(Method::GET, &url, None).await.map_err(|error| match error {
            error @ kube::Error::Api(_) => Error::Api {
                operation: "read",
                object: "the records of releases".to_owned(),
                source: Cause::new(error),
            },
            error => Error::Unreachable { reason: Cause::new(error).to_string() },
        })?;
        for secret in page["items"].as_array().into_iter().flatten() {
            if let Some(release) = read(secret)? {
                all.push(release);
            }
        }
        match page["metadata"]["continue"].as_str() {
            Some(next) if !next.is_empty() => from = format!("&continue={next}"),
            _ => return Ok(all),
        }
    }
}

/// Reads a Secret that says to be a record.
fn read(secret: &Value) -> Result<Option<Release>, Error> {
    if secret["type"] != record::SECRET_TYPE {
        return Ok(None);
    }
    let labels: BTreeMap<String, String> =
        serde_json::from_value(secret["metadata"]["labels"].clone()).unwrap_or_default();
    let name = secret["metadata"]["name"].as_str().unwrap_or_default();
    let fail = |source| Error::Record { name: name.to_owned(), source };
    let text = STANDARD
        .decode(secret["data"]["release"].as_str().unwrap_or_default())
        .map_err(|error| fail(record::Error::Read { reason: error.to_string() }))?;
    Release::decode(&text, &labels).map(Some).map_err(fail)
}

/// Returns the newest revision that is deployed.
pub(crate) fn deployed(history: &[Release]) -> Option<&Release> {
    history.iter().rev().find(|release| release.info.status == Status::Deployed)
}

/// Returns the present time as records write it.
pub(crate) fn stamp() -> String {
    clock::now().to_string()
}
