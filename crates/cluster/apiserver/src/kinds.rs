//! The kinds that are served at this moment: the built-in ones and those that
//! definitions add, with the documents that describe them.

use serde_json::Value;

use crate::{
    builtin, custom,
    discovery::Documents,
    registry::{Registry, Resource},
    server::Server,
    status::Failure,
    store::{Entry, Expect, Write},
};

/// The kinds and their documents.
pub(crate) struct Served {
    pub(crate) registry: Registry,
    pub(crate) documents: Documents,
}

impl Served {
    /// Returns the kinds that are built in.
    pub(crate) fn builtin() -> Served {
        Served::new(Registry::new(builtin::resources()))
    }

    fn new(registry: Registry) -> Served {
        Served { documents: Documents::new(&registry), registry }
    }
}

impl Server {
    /// Follows up on a write: a definition of kinds changes the table, a role those that are made of it.
    pub(crate) async fn noticed(&self, resource: &Resource, old: Option<&Value>, entry: &Entry) {
        self.aggregate_after(resource, old, entry).await;
        if !resource.defines_kinds {
            return;
        }
        let gone = self
            .store()
            .snapshot()
            .get(&resource.key("", entry.value()["metadata"]["name"].as_str().unwrap_or_default()))
            .is_none();
        if let Some(old) = old.filter(|_| gone) {
            let prefix = format!(
                "{}/{}/",
                old["spec"]["group"].as_str().unwrap_or_default(),
                old["spec"]["names"]["plural"].as_str().unwrap_or_default()
            );
            for (key, entry) in self.store().snapshot().range(&prefix, None) {
                let outcome =
                    self.store().write(key, Expect::Revision(entry.revision), Write::Delete(entry.value())).await;
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
    pub(crate) async fn load_kinds(&self) -> Result<(), Failure> {
        let builtins = builtin::resources();
        let Some(definitions) = builtins.iter().find(|resource| resource.defines_kinds).cloned() else { return Ok(()) };
        let snapshot = self.store().snapshot();
        let mut known: Vec<Value> = Vec::new();
        for (key, entry) in snapshot.range(&definitions.prefix(), None) {
            let mut definition = entry.value();
            let status = custom::status(&definition, &known, &base::clock::now_rfc3339());
            if definition["status"] != status {
                definition["status"] = status;
                // A writer that came first makes the table anew itself.
                self.store().write(key, Expect::Revision(entry.revision), Write::Put(definition.clone())).await?;
            }
            known.push(definition);
        }
        let registry = Registry::new(builtins.into_iter().chain(known.iter().flat_map(custom::resources)));
        self.serve(Served::new(registry));
        Ok(())
    }
}
