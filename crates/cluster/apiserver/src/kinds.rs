//! The kinds that are served at this moment: the built-in ones and those that
//! definitions add, with the documents that describe them.

use std::{collections::HashMap, sync::Arc};

use serde_json::Value;

use crate::{
    bootstrap, builtin, custom,
    openapi::Documents,
    registry::{Registry, Resource},
    server::Server,
    status::Failure,
    store::{Entry, Expect, Outcome, Write},
    write::{ATTEMPTS, Call},
};

/// The kinds and their documents.
pub(crate) struct Served {
    pub(crate) registry: Registry,
    documents: Documents,
    /// What each definition made of itself, by its name: reading a large schema takes a while.
    defined: HashMap<String, Defined>,
}

/// Whether a node is there that measures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Node {
    Away,
    Connected,
}

/// The kinds of one definition, and what they were made from.
#[derive(Clone)]
struct Defined {
    spec: Value,
    established: Value,
    terminating: bool,
    kinds: Vec<Arc<Resource>>,
}

impl Defined {
    /// Returns the kinds of a definition: those of before, if nothing about it changed.
    fn of(definition: &Value, before: Option<&Defined>) -> Defined {
        let (spec, established) = (&definition["spec"], &definition["status"]["conditions"][1]);
        let terminating = !definition["metadata"]["deletionTimestamp"].is_null();
        match before {
            Some(before)
                if before.spec == *spec && before.established == *established && before.terminating == terminating =>
            {
                before.clone()
            }
            _ => Defined {
                spec: spec.clone(),
                established: established.clone(),
                terminating,
                kinds: custom::resources(definition),
            },
        }
    }
}

impl Served {
    /// Returns the kinds that are built in.
    pub(crate) fn builtin() -> Served {
        Served::new(HashMap::new(), Node::Away)
    }

    /// Returns the same kinds and those that a connected node brings.
    pub(crate) fn with_node(&self) -> Served {
        Served::new(self.defined.clone(), Node::Connected)
    }

    fn new(defined: HashMap<String, Defined>, node: Node) -> Served {
        let mut names: Vec<&String> = defined.keys().collect();
        names.sort();
        let custom = names.into_iter().flat_map(|name| defined[name].kinds.clone());
        // What is measured is served where somebody measures it.
        let builtin = builtin::resources().into_iter();
        let builtin = builtin.filter(|resource| resource.measured.is_none() || node == Node::Connected);
        let registry = Registry::new(builtin.chain(custom));
        Served { documents: Documents::default(), registry, defined }
    }

    /// Returns the documents that describe the kinds, which are made when they are first asked for.
    pub(crate) fn documents(&self) -> &Documents {
        &self.documents
    }

    /// Returns a version of the definition that a custom kind comes from.
    pub(crate) fn defined_version(&self, resource: &Resource) -> Option<&Value> {
        let versions = self.defined.get(&resource.qualified())?.spec["versions"].as_array()?;
        versions.iter().find(|version| version["name"] == resource.gvk.version.as_str())
    }
}

impl Server {
    /// Follows up on a write: a definition of kinds changes the table, and the last object
    /// of a kind whose definition goes lets that go too;
    /// a role changes those that are made of it.
    pub(crate) async fn noticed(&self, call: Call<'_>, old: Option<&Value>, entry: &Entry) {
        let Call { resource, info, .. } = call;
        self.aggregate_after(resource, old, entry).await;
        self.divide_seats_after(resource).await;
        // A pod may come right after its namespace: its account is there by then.
        if old.is_none() && resource.ring() == "core/namespaces" {
            let namespace = entry.value()["metadata"]["name"].as_str().unwrap_or_default().to_owned();
            if let Err(failure) = Box::pin(self.make(bootstrap::account(&namespace))).await {
                tracing::error!(
                    namespace,
                    reason = failure.message,
                    "the default account could not be made; the controllers make it later"
                );
            }
        }
        if resource.namespaced {
            self.settle_quotas(resource, &info.namespace).await;
        }
        let name = if resource.defines_kinds {
            entry.value()["metadata"]["name"].as_str().unwrap_or_default().to_owned()
        } else if resource.terminating {
            resource.qualified()
        } else {
            return;
        };
        let outcome = match self.clean_up(&name).await {
            Ok(()) => self.load_kinds().await,
            failed => failed,
        };
        if let Err(failure) = outcome {
            tracing::error!(reason = failure.message, "the table of kinds could not be made anew");
        }
    }

    /// Deletes what a definition that is being deleted has defined, and lets it go when nothing is left.
    async fn clean_up(&self, name: &str) -> Result<(), Failure> {
        let builtins = builtin::resources();
        let Some(definitions) = builtins.iter().find(|resource| resource.defines_kinds) else { return Ok(()) };
        for _ in 0..ATTEMPTS {
            let key = definitions.key("", name);
            let Some(entry) = self.store().snapshot().get(&key).cloned() else { return Ok(()) };
            let mut definition = entry.value();
            let waits = definition["metadata"]["finalizers"]
                .as_array()
                .is_some_and(|list| list.iter().any(|finalizer| finalizer == custom::CLEANUP));
            if definition["metadata"]["deletionTimestamp"].is_null() || !waits {
                return Ok(());
            }
            let left = self.delete_defined(&definition).await?;
            definition["status"] = custom::terminating(&definition, &base::clock::now_rfc3339());
            if left == 0
                && let Some(list) = definition["metadata"]["finalizers"].as_array_mut()
            {
                list.retain(|finalizer| finalizer != custom::CLEANUP);
            }
            let last = definition["metadata"]["finalizers"].as_array().is_none_or(Vec::is_empty);
            let write = if last { Write::Delete(definition) } else { Write::Put(definition) };
            if left > 0 && entry.value()["status"] == *write_value(&write, "status") {
                return Ok(());
            }
            if let Outcome::Done(_) = self.store().write(&key, Expect::Revision(entry.revision), write).await? {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Deletes the objects that a definition defined; returns how many wait for their finalizers.
    async fn delete_defined(&self, definition: &Value) -> Result<usize, Failure> {
        let spec = &definition["spec"];
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let prefix = format!("{}/{}/", text(&spec["group"]), text(&spec["names"]["plural"]));
        let mut left = 0;
        for (key, entry) in self.store().snapshot().range(&prefix, None) {
            let mut object = entry.value();
            let held = object["metadata"]["finalizers"].as_array().is_some_and(|list| !list.is_empty());
            let marked = !object["metadata"]["deletionTimestamp"].is_null();
            if held && marked {
                left += 1;
                continue;
            }
            let write = if held {
                object["metadata"]["deletionTimestamp"] = base::clock::now_rfc3339().into();
                object["metadata"]["deletionGracePeriodSeconds"] = 0.into();
                let generation = object["metadata"]["generation"].as_i64().unwrap_or_default() + 1;
                object["metadata"]["generation"] = generation.into();
                Write::Put(object)
            } else {
                Write::Delete(object)
            };
            let done = self.store().write(key, Expect::Revision(entry.revision), write).await?;
            // Whoever came first is looked at again when it is done.
            left += usize::from(held || matches!(done, Outcome::Mismatch(Some(_))));
        }
        Ok(left)
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
        let before = self.served();
        let defined = known.iter().filter_map(|definition| {
            let name = definition["metadata"]["name"].as_str()?;
            Some((name.to_owned(), Defined::of(definition, before.defined.get(name))))
        });
        let defined: HashMap<String, Defined> = defined.collect();
        let changed =
            |name: &str| before.defined.get(name).map(|before| &before.spec) != defined.get(name).map(|now| &now.spec);
        let moved: Vec<_> = known
            .iter()
            .filter(|definition| definition["metadata"]["name"].as_str().is_some_and(changed))
            .filter_map(custom::conversion_of)
            .collect();
        let node = if self.node().is_some() { Node::Connected } else { Node::Away };
        self.serve(Served::new(defined, node));
        for converts in moved {
            self.bring_up(&converts).await;
        }
        if self.has_started() { Box::pin(self.register_groups()).await } else { Ok(()) }
    }
}

/// Returns a part of what would be written.
fn write_value<'a>(write: &'a Write, part: &str) -> &'a Value {
    match write {
        Write::Put(value) | Write::Delete(value) => &value[part],
    }
}
