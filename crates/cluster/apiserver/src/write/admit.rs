//! Admission: what may still change or refuse a write that its schema and rules let through.
//!
//! [`Server::mutate`] comes after decoding and defaulting and may change the object; what
//! it leaves is defaulted again. [`Server::admit`] comes after validation, directly before
//! the store, and may only refuse. Every write passes both, a dry run too.

use http::StatusCode;
use serde_json::{Value, json};
use tokio::sync::OwnedMutexGuard;

use super::{Call, parts::text};
use crate::{server::Server, status::Failure};

/// What a write does, in admission's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    /// A new object, or a subresource that is created (`binding`, `eviction`, `token`).
    Create,
    /// A change, a patch and a status write too.
    Update,
    /// A deletion.
    Delete,
}

/// What admission looks at.
#[derive(Clone, Copy)]
pub(crate) struct Admission<'a> {
    /// Who writes what with which options.
    pub call: Call<'a>,
    /// What the write does.
    pub operation: Operation,
    /// The object as it would be stored; `None` for a deletion.
    pub new: Option<&'a Value>,
    /// The object as it is; `None` for a creation.
    pub old: Option<&'a Value>,
}

/// A write that was let through.
#[derive(Default)]
pub(crate) struct Admitted {
    /// What to warn the client of.
    pub warnings: Vec<String>,
    /// Held until the write is stored, so that what was counted for it stays true.
    pub held: Vec<OwnedMutexGuard<()>>,
}

impl Server {
    /// Lets mutating admission change `new`; returns what to warn the client of.
    #[expect(clippy::unused_async, reason = "webhooks answer later; every caller waits for them here")]
    pub(crate) async fn mutate(
        &self,
        _call: Call<'_>,
        _operation: Operation,
        _new: &mut Value,
        _old: Option<&Value>,
    ) -> Result<Vec<String>, Failure> {
        Ok(Vec::new())
    }

    /// Refuses what validating admission does not let through.
    #[expect(clippy::unused_async, reason = "webhooks answer later; every caller waits for them here")]
    pub(crate) async fn admit(&self, admission: Admission<'_>) -> Result<Admitted, Failure> {
        self.within_rights(admission)?;
        self.node_restricted(admission)?;
        self.namespace_lives(admission)?;
        Ok(Admitted::default())
    }

    /// `NamespaceLifecycle`: nothing new in a namespace that is not there or is going.
    fn namespace_lives(&self, admission: Admission<'_>) -> Result<(), Failure> {
        let Call { resource, info, .. } = admission.call;
        if !resource.namespaced || admission.operation != Operation::Create {
            return Ok(());
        }
        let Some(namespace) = self.store().snapshot().get(&format!("core/namespaces//{}", info.namespace)).cloned()
        else {
            return Err(Failure {
                details: json!({"name": info.namespace, "kind": "namespaces"}),
                ..Failure::new(StatusCode::NOT_FOUND, "NotFound", format!("namespaces {:?} not found", info.namespace))
            });
        };
        // An eviction, a binding or a token is nothing new in it.
        if !info.subresource.is_empty() || namespace.value()["metadata"]["deletionTimestamp"].is_null() {
            return Ok(());
        }
        let name = admission.new.map(|new| text(&new["metadata"], "name")).unwrap_or_default();
        let mut failure = Failure::forbidden(
            resource,
            name,
            &format!("unable to create new content in namespace {} because it is being terminated", info.namespace),
        );
        failure.details["causes"] = json!([{"reason": "NamespaceTerminating", "message": format!("namespace {} is being terminated", info.namespace), "field": "metadata.namespace"}]);
        Err(failure)
    }
}
