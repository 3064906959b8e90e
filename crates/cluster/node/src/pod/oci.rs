//! From a container's specification to the OCI runtime's `config.json`, and to a process.
//!
//! Pure: what it needs from the image and the disk is handed in.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use k8s_openapi::api::core::v1::{Container, PodSpec};
use serde_json::{Value, json};

use super::{env, quantity};
use crate::Error;

/// What an image says about how it is run.
#[derive(Clone, Debug, Default)]
pub(crate) struct ImageFacts {
    /// The manifest's digest.
    pub(crate) digest: String,
    /// The unpacked root.
    pub(crate) root: PathBuf,
    pub(crate) entrypoint: Vec<String>,
    pub(crate) cmd: Vec<String>,
    pub(crate) env: Vec<String>,
    pub(crate) working_dir: String,
    pub(crate) user: String,
    /// The image's `/etc/passwd` and `/etc/group`; empty if it has none.
    pub(crate) passwd: String,
    pub(crate) group: String,
}

/// Who a container's process is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct User {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) groups: Vec<u32>,
}

/// A file or folder of the host that a container sees.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Bind {
    pub(crate) source: PathBuf,
    pub(crate) target: String,
    pub(crate) read_only: bool,
}

/// Processes that one container may have; a fork bomb ends here.
const PROCESSES: u64 = 4096;

/// The capabilities that container engines give by default.
const CAPABILITIES: &[&str] = &[
    "AUDIT_WRITE",
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "MKNOD",
    "NET_BIND_SERVICE",
    "NET_RAW",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYS_CHROOT",
];

/// Every capability by its number.
const ALL: &[&str] = &[
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "LINUX_IMMUTABLE",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_ADMIN",
    "NET_RAW",
    "IPC_LOCK",
    "IPC_OWNER",
    "SYS_MODULE",
    "SYS_RAWIO",
    "SYS_CHROOT",
    "SYS_PTRACE",
    "SYS_PACCT",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_NICE",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "MKNOD",
    "LEASE",
    "AUDIT_WRITE",
    "AUDIT_CONTROL",
    "SETFCAP",
    "MAC_OVERRIDE",
    "MAC_ADMIN",
    "SYSLOG",
    "WAKE_ALARM",
    "BLOCK_SUSPEND",
    "AUDIT_READ",
    "PERFMON",
    "BPF",
    "CHECKPOINT_RESTORE",
];

/// Returns the command line: the container's, else the image's, with `$(NAME)` expanded.
pub(crate) fn command(
    container: &Container,
    image: &ImageFacts,
    vars: &BTreeMap<String, String>,
) -> Result<Vec<String>, Error> {
    let expand = |words: &[String]| words.iter().map(|word| env::expand(word, vars)).collect::<Vec<_>>();
    let own = container.command.as_deref().filter(|command| !command.is_empty());
    let args = container.args.as_deref().filter(|args| !args.is_empty());
    let mut words = own.map_or_else(|| image.entrypoint.clone(), expand);
    match (own, args) {
        (_, Some(args)) => words.extend(expand(args)),
        (None, None) => words.extend(image.cmd.iter().cloned()),
        (Some(_), None) => {}
    }
    if words.is_empty() {
        return Err(config("command", "neither the container nor its image names a command"));
    }
    Ok(words)
}

/// Returns who the process is, or why it must not be.
pub(crate) fn user(pod: &PodSpec, container: &Container, image: &ImageFacts) -> Result<User, Error> {
    let own = container.security_context.as_ref();
    let shared = pod.security_context.as_ref();
    let run_as = own.and_then(|s| s.run_as_user).or(shared.and_then(|s| s.run_as_user));
    let (mut uid, mut gid) = (0, 0);
    if let Some(run_as) = run_as {
        uid = u32::try_from(run_as).map_err(|_| config("securityContext.runAsUser", "it is not a user number"))?;
        gid = passwd_by(&image.passwd, |fields| fields[2] == uid.to_string()).map_or(0, |(_, gid)| gid);
    } else if !image.user.is_empty() {
        let (name, group) = image.user.split_once(':').map_or((image.user.as_str(), None), |(n, g)| (n, Some(g)));
        let entry = passwd_by(&image.passwd, |fields| fields[0] == name || fields[2] == name);
        (uid, gid) = match (entry, name.parse()) {
            (Some(entry), _) => entry,
            (None, Ok(number)) => (number, 0),
            (None, Err(_)) => return Err(config("image user", &format!("{name:?} is not in the image's /etc/passwd"))),
        };
        if let Some(group) = group {
            let number = image.group.lines().find_map(|line| {
                let fields: Vec<&str> = line.split(':').collect();
                (fields.len() >= 3 && fields[0] == group).then(|| fields[2].parse().ok()).flatten()
            });
            gid = group
                .parse()
                .ok()
                .or(number)
                .ok_or_else(|| config("image user", &format!("{group:?} is not in the image's /etc/group")))?;
        }
    }
    if let Some(group) = own.and_then(|s| s.run_as_group).or(shared.and_then(|s| s.run_as_group)) {
        gid = u32::try_from(group).map_err(|_| config("securityContext.runAsGroup", "it is not a group number"))?;
    }
    let non_root = own.and_then(|s| s.run_as_non_root).or(shared.and_then(|s| s.run_as_non_root));
    if non_root == Some(true) && uid == 0 {
        return Err(config("securityContext.runAsNonRoot", "container has runAsNonRoot and image will run as root"));
    }
    let extra = shared.and_then(|s| s.supplemental_groups.clone()).unwrap_or_default();
    let extra = extra.into_iter().chain(shared.and_then(|s| s.fs_group));
    let groups = extra.filter_map(|group| u32::try_from(group).ok()).collect();
    Ok(User { uid, gid, groups })
}

fn passwd_by(passwd: &str, matches: impl Fn(&[&str]) -> bool) -> Option<(u32, u32)> {
    passwd.lines().find_map(|line| {
        let fields: Vec<&str> = line.split(':').collect();
        (fields.len() >= 4 && matches(&fields))
            .then(|| Some((fields[2].parse().ok()?, fields[3].parse().ok()?)))
            .flatten()
    })
}

/// What [`runtime_spec`] is made from.
pub(crate) struct Parts<'a> {
    pub(crate) container: &'a Container,
    pub(crate) command: &'a [String],
    pub(crate) env: &'a BTreeMap<String, String>,
    pub(crate) working_dir: &'a str,
    pub(crate) user: &'a User,
    pub(crate) binds: &'a [Bind],
    pub(crate) cgroup: &'a str,
    /// The capabilities that this machine lets us give, as a bit set.
    pub(crate) available: u64,
}

/// Returns `config.json`.
///
/// Network, ipc and uts namespaces are left out on purpose: the runtime is started in the pod's.
pub(crate) fn runtime_spec(parts: &Parts<'_>) -> Value {
    let security = parts.container.security_context.clone().unwrap_or_default();
    let capabilities = capabilities(parts.container, parts.available);
    let mut env: Vec<String> = parts.env.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let tty = parts.container.tty == Some(true);
    if tty && !parts.env.contains_key("TERM") {
        env.push("TERM=xterm".to_owned());
    }
    json!({
        "ociVersion": "1.0.2",
        "root": { "path": "rootfs", "readonly": security.read_only_root_filesystem == Some(true) },
        "process": {
            "terminal": tty,
            "user": { "uid": parts.user.uid, "gid": parts.user.gid, "additionalGids": parts.user.groups },
            "args": parts.command,
            "env": env,
            "cwd": if parts.working_dir.is_empty() { "/" } else { parts.working_dir },
            "capabilities": {
                "bounding": capabilities, "effective": capabilities, "permitted": capabilities,
            },
            "noNewPrivileges": security.allow_privilege_escalation == Some(false),
        },
        "mounts": mounts(parts.binds),
        "linux": {
            "cgroupsPath": parts.cgroup,
            "namespaces": [{ "type": "pid" }, { "type": "mount" }],
            "resources": resources(parts.container),
            "maskedPaths": [
                "/proc/acpi", "/proc/asound", "/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/timer_list",
                "/proc/timer_stats", "/proc/sched_debug", "/proc/scsi", "/sys/firmware", "/sys/devices/virtual/powercap",
            ],
            "readonlyPaths": ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"],
        },
    })
}

fn capabilities(container: &Container, available: u64) -> Vec<String> {
    let changes = container.security_context.as_ref().and_then(|s| s.capabilities.clone()).unwrap_or_default();
    let named = |list: &Option<Vec<String>>, name: &str| {
        list.iter().flatten().any(|item| {
            let item = item.to_ascii_uppercase();
            item == "ALL" || item.strip_prefix("CAP_").unwrap_or(&item) == name
        })
    };
    let explicit = |list: &Option<Vec<String>>, name: &str| {
        list.iter().flatten().any(|item| item.to_ascii_uppercase().trim_start_matches("CAP_") == name)
    };
    let given = ALL.iter().enumerate().filter(|(number, name)| {
        let kept = if named(&changes.drop, name) {
            // `drop: [ALL], add: [X]` leaves X.
            !explicit(&changes.drop, name) && explicit(&changes.add, name)
        } else {
            CAPABILITIES.contains(name) || named(&changes.add, name)
        };
        kept && available & (1 << number) != 0
    });
    given.map(|(_, name)| format!("CAP_{name}")).collect()
}

fn mounts(binds: &[Bind]) -> Vec<Value> {
    let mount = |target: &str, kind: &str, source: &str, options: &[&str]| json!({ "destination": target, "type": kind, "source": source, "options": options });
    let mut mounts = vec![
        mount("/proc", "proc", "proc", &["nosuid", "noexec", "nodev"]),
        mount("/dev", "tmpfs", "tmpfs", &["nosuid", "strictatime", "mode=755", "size=65536k"]),
        mount("/dev/pts", "devpts", "devpts", &["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"]),
        mount("/dev/shm", "tmpfs", "shm", &["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"]),
        mount("/dev/mqueue", "mqueue", "mqueue", &["nosuid", "noexec", "nodev"]),
        mount("/sys", "sysfs", "sysfs", &["nosuid", "noexec", "nodev", "ro"]),
    ];
    let mut binds: Vec<&Bind> = binds.iter().collect();
    // A mount below another comes after it, or it would be hidden.
    binds.sort_by_key(|bind| Path::new(&bind.target).components().count());
    for bind in binds {
        let access = if bind.read_only { "ro" } else { "rw" };
        mounts.push(mount(&bind.target, "bind", &bind.source.to_string_lossy(), &["rbind", "rprivate", access]));
    }
    mounts
}

fn resources(container: &Container) -> Value {
    let set = container.resources.clone().unwrap_or_default();
    let of = |set: &Option<BTreeMap<String, k8s_openapi::apimachinery::pkg::api::resource::Quantity>>, name: &str| {
        set.as_ref().and_then(|set| quantity::milli(&set.get(name)?.0))
    };
    let device = |kind: &str, major: Option<i64>, minor: Option<i64>, access: &str| json!({ "allow": true, "type": kind, "major": major, "minor": minor, "access": access });
    let limit = of(&set.limits, "cpu");
    let request = of(&set.requests, "cpu").or(limit);
    let shares = request.map_or(2, |milli| (milli * 1024 / 1000).clamp(2, 262_144));
    let mut cpu = json!({ "shares": shares });
    if let Some(limit) = limit.filter(|limit| *limit > 0) {
        cpu["period"] = json!(100_000);
        cpu["quota"] = json!((limit * 100).max(1000));
    }
    let mut resources = json!({
        "devices": [
            { "allow": false, "access": "rwm" },
            device("c", None, None, "m"), device("b", None, None, "m"),
            device("c", Some(1), Some(3), "rwm"), device("c", Some(1), Some(5), "rwm"), device("c", Some(1), Some(7), "rwm"),
            device("c", Some(1), Some(8), "rwm"), device("c", Some(1), Some(9), "rwm"), device("c", Some(5), Some(0), "rwm"),
            device("c", Some(5), Some(2), "rwm"), device("c", Some(136), None, "rwm"),
        ],
        "cpu": cpu,
        "pids": { "limit": PROCESSES },
    });
    if let Some(bytes) = of(&set.limits, "memory").map(|milli| milli / 1000).filter(|bytes| *bytes > 0) {
        resources["memory"] = json!({ "limit": bytes });
    }
    resources
}

/// Returns `text` with the container's mount paths replaced by the folders behind them.
///
/// Without mounts, this is how a plain process finds its volumes. Only a path at the
/// beginning, or after `=` or `:`, is replaced, and only whole components of it.
pub(crate) fn substitute(text: &str, binds: &[Bind]) -> String {
    let mut longest_first: Vec<&Bind> = binds.iter().collect();
    longest_first.sort_by_key(|bind| std::cmp::Reverse(bind.target.len()));
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    let mut at_start = true;
    while let Some(c) = rest.chars().next() {
        let found = longest_first.iter().filter(|_| at_start).find(|bind| {
            let target = bind.target.trim_end_matches('/');
            !target.is_empty()
                && rest
                    .strip_prefix(target)
                    .is_some_and(|tail| tail.is_empty() || tail.starts_with(['/', ':', ',', ' ']))
        });
        if let Some(bind) = found {
            out.push_str(&bind.source.to_string_lossy());
            rest = &rest[bind.target.trim_end_matches('/').len()..];
            at_start = false;
            continue;
        }
        at_start = matches!(c, '=' | ':');
        out.push(c);
        rest = &rest[c.len_utf8()..];
    }
    out
}

fn config(field: &str, why: &str) -> Error {
    Error::Config { field: field.to_owned(), why: why.to_owned() }
}

#[cfg(test)]
#[path = "oci_tests.rs"]
mod tests;
