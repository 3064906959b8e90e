//! What all pods of a node share.

use std::{collections::BTreeSet, net::Ipv4Addr, path::PathBuf, sync::Mutex, sync::PoisonError};

use base::task::Tasks;

use crate::{
    Error,
    events::Events,
    plan::{Cidr, Naming},
    pod::env::Place,
    proc,
    shim::protocol::Sandbox,
};

/// What all pods of a node share.
pub(crate) struct Context {
    pub(crate) client: kube::Client,
    pub(crate) node: String,
    /// The node's own folder, absolute.
    pub(crate) dir: PathBuf,
    pub(crate) images: images::Store,
    pub(crate) executable: PathBuf,
    /// Whether pods are containers; else they are plain processes.
    pub(crate) isolated: bool,
    pub(crate) naming: Naming,
    pub(crate) range: Cidr,
    pub(crate) host_ip: String,
    /// Processors in thousandths, memory in bytes.
    pub(crate) allocatable: (i64, i64),
    /// The capabilities that containers may be given.
    pub(crate) capabilities: u64,
    pub(crate) tasks: Tasks,
    pub(crate) events: Events,
    /// The address that was given out last.
    pub(crate) last_address: Mutex<Option<Ipv4Addr>>,
    /// Held while an image is unpacked, so that pods of one image do not do it twice.
    pub(crate) unpacking: tokio::sync::Mutex<()>,
}

impl Context {
    pub(crate) fn pods_dir(&self) -> PathBuf {
        self.dir.join("pods")
    }

    pub(crate) fn pod_dir(&self, uid: &str) -> PathBuf {
        self.pods_dir().join(uid)
    }

    pub(crate) fn pod_cgroup(&self, uid: &str) -> String {
        format!("{}/{uid}", self.naming.cgroup)
    }

    pub(crate) fn place(&self, pod_ip: Ipv4Addr) -> Place {
        Place {
            pod_ip: pod_ip.to_string(),
            host_ip: self.host_ip.clone(),
            node: self.node.clone(),
            allocatable: self.allocatable,
        }
    }

    /// Takes an address for a pod by writing its `sandbox.json`; `wish` is kept if it is free.
    pub(crate) fn take_address(
        &self,
        wish: Option<Ipv4Addr>,
        make: impl FnOnce(Ipv4Addr) -> Sandbox,
    ) -> Result<Sandbox, Error> {
        let mut last = self.last_address.lock().unwrap_or_else(PoisonError::into_inner);
        let mut taken = BTreeSet::new();
        let mut own = None;
        for dir in proc::folders(&self.pods_dir()) {
            if let Some(sandbox) = proc::read_state::<Sandbox>(&dir.join("sandbox.json"))? {
                if Some(sandbox.address) == wish && own.is_none() {
                    own = Some(sandbox.uid);
                } else {
                    taken.insert(sandbox.address);
                }
            }
        }
        let address = match wish.filter(|wish| !taken.contains(wish) && self.range.overlaps(*wish, 32)) {
            Some(wish) => wish,
            None => self.range.next(*last, &taken)?,
        };
        *last = Some(address);
        let sandbox = make(address);
        proc::write_state(&self.pod_dir(&sandbox.uid).join("sandbox.json"), &sandbox)?;
        Ok(sandbox)
    }
}
