//! The addresses of Services: one each, of the range that the server was given.

use std::net::Ipv4Addr;

use schema::validate::Cause;
use serde_json::{Value, json};
use tokio::sync::OwnedMutexGuard;

use crate::{registry::Resource, server::Server, status::Failure};

impl Server {
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
        let guard = self.addresses().lock_owned().await;
        let snapshot = self.store().snapshot();
        let taken: std::collections::HashSet<String> = snapshot
            .range(&resource.prefix(), None)
            .filter_map(|(_, entry)| entry.value()["spec"]["clusterIP"].as_str().map(str::to_owned))
            .collect();
        let (base, bits) = self.service_range();
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
                    let cause = Cause::invalid("spec.clusterIPs", &json!([wanted]), why);
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
}
