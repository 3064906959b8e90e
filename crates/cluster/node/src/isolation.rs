//! What this machine lets us isolate, found by trying, never by asking who we are.

use std::{fs, path::Path};

use nix::{
    mount::{MsFlags, mount},
    sched::{CloneFlags, unshare},
};

use crate::{cgroups, network};

/// How pods are kept apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Isolation {
    /// Containers: namespaces, control groups, a root and an address of their own.
    Full,
    /// Plain processes of this user, told apart by address and folder only.
    Processes {
        /// What is missing for containers, for people.
        why: Vec<String>,
    },
}

/// Tries what containers need and returns what is possible.
pub fn probe() -> Isolation {
    // Namespaces are entered by a thread that ends right after, so this process stays as it is.
    let tried = std::thread::spawn(|| {
        let mut why = try_namespaces();
        why.extend(try_cgroups());
        why
    });
    let why = tried.join().unwrap_or_else(|_| vec!["trying the machine's features failed".to_owned()]);
    if why.is_empty() { Isolation::Full } else { Isolation::Processes { why } }
}

fn try_namespaces() -> Vec<String> {
    let mut why = Vec::new();
    for (flag, name) in [
        (CloneFlags::CLONE_NEWNS, "mount"),
        (CloneFlags::CLONE_NEWNET, "network"),
        (CloneFlags::CLONE_NEWIPC, "ipc"),
        (CloneFlags::CLONE_NEWUTS, "uts"),
        (CloneFlags::CLONE_NEWPID, "pid"),
    ] {
        if let Err(error) = unshare(flag) {
            why.push(format!("no {name} namespace can be made ({error})"));
        }
    }
    if !why.is_empty() {
        return why;
    }
    if let Err(error) = try_overlay() {
        why.push(format!("no overlay file system can be mounted ({error})"));
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let bridge = async { network::ensure_bridge("rsprobe", std::net::Ipv4Addr::new(10, 244, 0, 1), 24).await };
    match runtime.map(|runtime| runtime.block_on(bridge)) {
        Ok(Ok(())) => {}
        Ok(Err(error)) => why.push(format!("no network bridge can be made ({})", base::fault::Chain(&error))),
        Err(error) => why.push(format!("no runtime could be started ({error})")),
    }
    why
}

fn try_overlay() -> Result<(), nix::Error> {
    let none = None::<&str>;
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none)?;
    // A tmpfs over /tmp of this thread alone: nothing is left behind.
    mount(Some("tmpfs"), "/tmp", Some("tmpfs"), MsFlags::empty(), none)?;
    for name in ["lower", "upper", "work", "root"] {
        fs::create_dir(Path::new("/tmp").join(name)).map_err(|_| nix::Error::EIO)?;
    }
    let options = "lowerdir=/tmp/lower,upperdir=/tmp/upper,workdir=/tmp/work";
    mount(Some("overlay"), "/tmp/root", Some("overlay"), MsFlags::empty(), Some(options))
}

fn try_cgroups() -> Vec<String> {
    let hierarchies = cgroups::hierarchies();
    if hierarchies.is_empty() {
        return vec!["no control groups are mounted".to_owned()];
    }
    let name = format!("roadstead-probe-{}", uuid::Uuid::new_v4().simple());
    let mut refused = Vec::new();
    let mut last = None;
    for hierarchy in hierarchies {
        let group = hierarchy.join(&name);
        if let Err(error) = fs::create_dir(&group).and_then(|()| fs::remove_dir(&group)) {
            refused.push(hierarchy.display().to_string());
            last = Some(error);
        }
    }
    let said = last.map(|error| format!("no control group can be made in {} ({error})", refused.join(", ")));
    said.into_iter().collect()
}

/// Returns the capabilities that this process may give, as a bit set.
pub(crate) fn capabilities() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let bits = status.lines().find_map(|line| u64::from_str_radix(line.strip_prefix("CapBnd:")?.trim(), 16).ok());
    bits.unwrap_or(0)
}
