//! The single checks of the Pod Security Standards, each at the versions that know it.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{Level, containers};
use crate::{items, text};

const CAPABILITIES: [&str; 13] = [
    "AUDIT_WRITE",
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "MKNOD",
    "NET_BIND_SERVICE",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYS_CHROOT",
];

/// Sysctls that cannot harm others, and the version that knows them first.
const SYSCTLS: [(u32, &str); 12] = [
    (0, "kernel.shm_rmid_forced"),
    (0, "net.ipv4.ip_local_port_range"),
    (0, "net.ipv4.tcp_syncookies"),
    (0, "net.ipv4.ping_group_range"),
    (0, "net.ipv4.ip_unprivileged_port_start"),
    (27, "net.ipv4.ip_local_reserved_ports"),
    (29, "net.ipv4.tcp_keepalive_time"),
    (29, "net.ipv4.tcp_fin_timeout"),
    (29, "net.ipv4.tcp_keepalive_intvl"),
    (29, "net.ipv4.tcp_keepalive_probes"),
    (32, "net.ipv4.tcp_rmem"),
    (32, "net.ipv4.tcp_wmem"),
];

const VOLUMES: [&str; 9] = [
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "image",
    "persistentVolumeClaim",
    "projected",
    "secret",
];

const OTHER_VOLUMES: [&str; 21] = [
    "hostPath",
    "gcePersistentDisk",
    "awsElasticBlockStore",
    "gitRepo",
    "nfs",
    "iscsi",
    "glusterfs",
    "rbd",
    "flexVolume",
    "cinder",
    "cephfs",
    "flocker",
    "fc",
    "azureFile",
    "vsphereVolume",
    "quobyte",
    "azureDisk",
    "photonPersistentDisk",
    "portworxVolume",
    "scaleIO",
    "storageos",
];

/// Applies every check that a level has at a version; returns what is not allowed.
pub(super) fn run(level: Level, minor: u32, metadata: &Value, spec: &Value) -> Vec<String> {
    let pod = Pod { metadata, spec, minor };
    let restricted = level == Level::Restricted;
    let since = |from: u32| restricted && minor >= from;
    [
        pod.app_armor(),
        if since(22) { None } else { pod.added_capabilities() },
        pod.host_namespaces(),
        if restricted { None } else { pod.host_paths() },
        pod.host_ports(),
        if minor >= 34 { pod.probe_hosts() } else { None },
        pod.privileged(),
        if since(35) { None } else { pod.proc_mount(minor >= 35) },
        pod.selinux(),
        if since(19) { None } else { pod.seccomp() },
        pod.sysctls(),
        pod.host_process(),
        if since(8) { pod.escalation() } else { None },
        if since(22) { pod.capabilities() } else { None },
        if since(35) { pod.proc_mount(false) } else { None },
        if restricted { pod.volumes() } else { None },
        if restricted { pod.non_root() } else { None },
        if since(23) { pod.root_user() } else { None },
        if since(19) { pod.seccomp_set() } else { None },
    ]
    .into_iter()
    .flatten()
    .map(|(reason, detail)| format!("{reason} ({detail})"))
    .collect()
}

/// A reason and its detail.
type Found = Option<(String, String)>;

struct Pod<'a> {
    metadata: &'a Value,
    spec: &'a Value,
    minor: u32,
}

fn plural<'a>(one: &'a str, many: &'a str, count: usize) -> &'a str {
    if count == 1 { one } else { many }
}

fn quote<T: AsRef<str>>(list: impl IntoIterator<Item = T>) -> String {
    list.into_iter().map(|text| format!("\"{}\"", text.as_ref())).collect::<Vec<_>>().join(", ")
}

/// `container "a"`, `containers "a", "b"`.
fn named(names: &[&str]) -> String {
    format!("{} {}", plural("container", "containers", names.len()), quote(names))
}

/// Who set something: the pod, containers, or both.
fn setters(pod: bool, names: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    if pod {
        found.push("pod".to_owned());
    }
    if !names.is_empty() {
        found.push(named(names));
    }
    found
}

impl Pod<'_> {
    fn is_windows(&self) -> bool {
        self.spec["os"]["name"] == "windows"
    }

    /// In a user namespace of its own root is nobody outside.
    fn has_own_users(&self) -> bool {
        self.minor >= 35 && self.spec["hostUsers"] == false
    }

    /// Returns the names of the containers that something holds of.
    fn which(&self, holds: impl Fn(&Value) -> bool) -> Vec<&str> {
        containers(self.spec).filter(|container| holds(container)).map(|container| text(container, "name")).collect()
    }

    fn annotations(&self) -> impl Iterator<Item = (&String, &str)> {
        let all = self.metadata["annotations"].as_object().into_iter().flatten();
        all.filter_map(|(name, value)| Some((name, value.as_str()?)))
    }

    fn app_armor(&self) -> Found {
        let mut values = BTreeSet::new();
        let mut bad = |context: &Value| {
            let Some(kind) = context["appArmorProfile"]["type"].as_str() else { return false };
            let bad = !matches!(kind, "RuntimeDefault" | "Localhost");
            if bad {
                values.insert(kind.to_owned());
            }
            bad
        };
        let pod = bad(&self.spec["securityContext"]);
        let mut names = Vec::new();
        for container in containers(self.spec) {
            if bad(&container["securityContext"]) {
                names.push(text(container, "name"));
            }
        }
        let mut setters = setters(pod, &names);
        let mut marks: Vec<String> = self
            .annotations()
            .filter(|(name, value)| {
                let allowed = value.is_empty() || *value == "runtime/default" || value.starts_with("localhost/");
                name.starts_with("container.apparmor.security.beta.kubernetes.io/") && !allowed
            })
            .map(|(name, value)| format!("{name}={value:?}"))
            .collect();
        marks.sort();
        if !marks.is_empty() {
            setters.push(plural("annotation", "annotations", marks.len()).to_owned());
        }
        if setters.is_empty() {
            return None;
        }
        let values: Vec<String> = values.into_iter().chain(marks).collect();
        let reason = plural("forbidden AppArmor profile", "forbidden AppArmor profiles", values.len());
        let detail = format!("{} must not set AppArmor profile type to {}", setters.join(" and "), quote(&values));
        Some((reason.to_owned(), detail))
    }

    fn added_capabilities(&self) -> Found {
        let added = |container: &Value| -> Vec<String> {
            items(&container["securityContext"]["capabilities"]["add"])
                .filter_map(Value::as_str)
                .filter(|name| !CAPABILITIES.contains(name))
                .map(str::to_owned)
                .collect()
        };
        let names = self.which(|container| !added(container).is_empty());
        let all: BTreeSet<String> = containers(self.spec).flat_map(added).collect();
        (!names.is_empty()).then(|| {
            let detail =
                format!("{} must not include {} in securityContext.capabilities.add", named(&names), quote(&all));
            ("non-default capabilities".to_owned(), detail)
        })
    }

    fn host_namespaces(&self) -> Found {
        let set: Vec<String> = ["hostNetwork", "hostPID", "hostIPC"]
            .into_iter()
            .filter(|name| self.spec[name] == true)
            .map(|name| format!("{name}=true"))
            .collect();
        (!set.is_empty()).then(|| ("host namespaces".to_owned(), set.join(", ")))
    }

    fn host_paths(&self) -> Found {
        let names: Vec<&str> = items(&self.spec["volumes"])
            .filter(|volume| volume["hostPath"].is_object())
            .map(|volume| text(volume, "name"))
            .collect();
        (!names.is_empty()).then(|| {
            ("hostPath volumes".to_owned(), format!("{} {}", plural("volume", "volumes", names.len()), quote(&names)))
        })
    }

    fn host_ports(&self) -> Found {
        let ports = |container: &Value| -> Vec<i64> {
            items(&container["ports"]).filter_map(|port| port["hostPort"].as_i64()).filter(|port| *port != 0).collect()
        };
        let names = self.which(|container| !ports(container).is_empty());
        let all: BTreeSet<String> = containers(self.spec).flat_map(ports).map(|port| port.to_string()).collect();
        (!names.is_empty()).then(|| {
            let list: Vec<String> = all.iter().cloned().collect();
            let detail = format!(
                "{} {} {} {}",
                named(&names),
                plural("uses", "use", names.len()),
                plural("hostPort", "hostPorts", all.len()),
                list.join(", ")
            );
            ("hostPort".to_owned(), detail)
        })
    }

    fn probe_hosts(&self) -> Found {
        let hosts = |container: &Value| -> Vec<String> {
            let lifecycle = &container["lifecycle"];
            [
                &container["livenessProbe"],
                &container["readinessProbe"],
                &container["startupProbe"],
                &lifecycle["postStart"],
                &lifecycle["preStop"],
            ]
            .into_iter()
            .flat_map(|handler| [text(&handler["httpGet"], "host"), text(&handler["tcpSocket"], "host")])
            .filter(|host| !host.is_empty())
            .map(str::to_owned)
            .collect()
        };
        let mut names = self.which(|container| !hosts(container).is_empty());
        names.sort_unstable();
        names.dedup();
        let all: BTreeSet<String> = containers(self.spec).flat_map(hosts).collect();
        (!names.is_empty()).then(|| {
            let detail = format!(
                "{} {} {} {}",
                named(&names),
                plural("uses", "use", names.len()),
                plural("probe or lifecycle host", "probe or lifecycle hosts", all.len()),
                quote(&all)
            );
            ("probe or lifecycle host".to_owned(), detail)
        })
    }

    fn privileged(&self) -> Found {
        let names = self.which(|container| container["securityContext"]["privileged"] == true);
        (!names.is_empty()).then(|| {
            ("privileged".to_owned(), format!("{} must not set securityContext.privileged=true", named(&names)))
        })
    }

    fn proc_mount(&self, relaxed: bool) -> Found {
        if relaxed && self.has_own_users() {
            return None;
        }
        let mount = |container: &Value| {
            let found = text(&container["securityContext"], "procMount");
            (!matches!(found, "" | "Default")).then(|| found.to_owned())
        };
        let names = self.which(|container| mount(container).is_some());
        let all: BTreeSet<String> = containers(self.spec).filter_map(mount).collect();
        (!names.is_empty()).then(|| {
            (
                "procMount".to_owned(),
                format!("{} must not set securityContext.procMount to {}", named(&names), quote(&all)),
            )
        })
    }

    fn selinux(&self) -> Found {
        let (mut types, mut user, mut role) = (BTreeSet::new(), false, false);
        let minor = self.minor;
        let mut bad = |context: &Value| {
            let options = &context["seLinuxOptions"];
            let kind = text(options, "type");
            let known = matches!(kind, "" | "container_t" | "container_init_t" | "container_kvm_t")
                || (minor >= 31 && kind == "container_engine_t");
            if !known {
                types.insert(kind.to_owned());
            }
            let (has_user, has_role) = (!text(options, "user").is_empty(), !text(options, "role").is_empty());
            user |= has_user;
            role |= has_role;
            !known || has_user || has_role
        };
        let pod = bad(&self.spec["securityContext"]);
        let mut names = Vec::new();
        for container in containers(self.spec) {
            if bad(&container["securityContext"]) {
                names.push(text(container, "name"));
            }
        }
        let setters = setters(pod, &names);
        if setters.is_empty() {
            return None;
        }
        let mut data = Vec::new();
        if !types.is_empty() {
            data.push(format!("{} {}", plural("type", "types", types.len()), quote(&types)));
        }
        if user {
            data.push("user may not be set".to_owned());
        }
        if role {
            data.push("role may not be set".to_owned());
        }
        let detail =
            format!("{} set forbidden securityContext.seLinuxOptions: {}", setters.join(" and "), data.join("; "));
        Some(("seLinuxOptions".to_owned(), detail))
    }

    fn seccomp(&self) -> Found {
        if self.minor < 19 {
            return self.seccomp_marks();
        }
        self.bad_seccomp()
    }

    fn seccomp_marks(&self) -> Found {
        let allowed =
            |value: &str| matches!(value, "runtime/default" | "docker/default") || value.starts_with("localhost/");
        let names: Vec<String> = containers(self.spec)
            .map(|container| format!("container.seccomp.security.alpha.kubernetes.io/{}", text(container, "name")))
            .chain(["seccomp.security.alpha.kubernetes.io/pod".to_owned()])
            .collect();
        let found: BTreeSet<String> = self
            .annotations()
            .filter(|(name, value)| names.contains(name) && !allowed(value))
            .map(|(name, value)| format!("{name}={value:?}"))
            .collect();
        (!found.is_empty()).then(|| {
            let list: Vec<String> = found.iter().cloned().collect();
            let word = plural("annotation", "annotations", found.len());
            ("seccompProfile".to_owned(), format!("forbidden {word} {}", list.join(", ")))
        })
    }

    fn bad_seccomp(&self) -> Found {
        let kind = |context: &Value| {
            let found = context["seccompProfile"]["type"].as_str()?;
            (!matches!(found, "RuntimeDefault" | "Localhost")).then(|| found.to_owned())
        };
        let pod = kind(&self.spec["securityContext"]);
        let names = self.which(|container| kind(&container["securityContext"]).is_some());
        let values: BTreeSet<String> = containers(self.spec)
            .filter_map(|container| kind(&container["securityContext"]))
            .chain(pod.clone())
            .collect();
        let setters = setters(pod.is_some(), &names);
        (!setters.is_empty()).then(|| {
            let detail = format!(
                "{} must not set securityContext.seccompProfile.type to {}",
                setters.join(" and "),
                quote(&values)
            );
            ("seccompProfile".to_owned(), detail)
        })
    }

    fn seccomp_set(&self) -> Found {
        if self.minor >= 25 && self.is_windows() {
            return None;
        }
        if let Some(found) = self.bad_seccomp() {
            return Some(found);
        }
        let set = |context: &Value| context["seccompProfile"].is_object();
        if set(&self.spec["securityContext"]) {
            return None;
        }
        let names = self.which(|container| !set(&container["securityContext"]));
        (!names.is_empty()).then(|| {
            let detail = format!(
                "pod or {} must set securityContext.seccompProfile.type to \"RuntimeDefault\" or \"Localhost\"",
                named(&names)
            );
            ("seccompProfile".to_owned(), detail)
        })
    }

    fn sysctls(&self) -> Found {
        let names: Vec<&str> = items(&self.spec["securityContext"]["sysctls"])
            .map(|sysctl| text(sysctl, "name"))
            .filter(|name| !SYSCTLS.iter().any(|(since, known)| known == name && self.minor >= *since))
            .collect();
        (!names.is_empty()).then(|| ("forbidden sysctls".to_owned(), names.join(", ")))
    }

    fn host_process(&self) -> Found {
        let bad = |context: &Value| context["windowsOptions"]["hostProcess"] == true;
        let names = self.which(|container| bad(&container["securityContext"]));
        let setters = setters(bad(&self.spec["securityContext"]), &names);
        (!setters.is_empty()).then(|| {
            let detail =
                format!("{} must not set securityContext.windowsOptions.hostProcess=true", setters.join(" and "));
            ("hostProcess".to_owned(), detail)
        })
    }

    fn escalation(&self) -> Found {
        if self.minor >= 25 && self.is_windows() {
            return None;
        }
        let names = self.which(|container| container["securityContext"]["allowPrivilegeEscalation"] != false);
        (!names.is_empty()).then(|| {
            let detail = format!("{} must set securityContext.allowPrivilegeEscalation=false", named(&names));
            ("allowPrivilegeEscalation != false".to_owned(), detail)
        })
    }

    fn capabilities(&self) -> Found {
        if self.minor >= 25 && self.is_windows() {
            return None;
        }
        let of = |container: &Value, list: &str| -> Vec<String> {
            let list = &container["securityContext"]["capabilities"][list];
            items(list).filter_map(Value::as_str).map(str::to_owned).collect()
        };
        let added = |container: &Value| -> Vec<String> {
            of(container, "add").into_iter().filter(|name| name != "NET_BIND_SERVICE").collect()
        };
        let keeping = self.which(|container| !of(container, "drop").iter().any(|name| name == "ALL"));
        let adding = self.which(|container| !added(container).is_empty());
        let all: BTreeSet<String> = containers(self.spec).flat_map(added).collect();
        let mut details = Vec::new();
        if !keeping.is_empty() {
            details.push(format!("{} must set securityContext.capabilities.drop=[\"ALL\"]", named(&keeping)));
        }
        if !adding.is_empty() {
            let list = quote(&all);
            details.push(format!("{} must not include {list} in securityContext.capabilities.add", named(&adding)));
        }
        (!details.is_empty()).then(|| ("unrestricted capabilities".to_owned(), details.join("; ")))
    }

    fn volumes(&self) -> Found {
        let bad: Vec<&Value> = items(&self.spec["volumes"])
            .filter(|volume| !VOLUMES.iter().any(|kind| !volume[*kind].is_null()))
            .collect();
        let kinds: BTreeSet<&str> = bad
            .iter()
            .map(|volume| OTHER_VOLUMES.into_iter().find(|kind| !volume[*kind].is_null()).unwrap_or("unknown"))
            .collect();
        let names: Vec<&str> = bad.iter().map(|volume| text(volume, "name")).collect();
        (!names.is_empty()).then(|| {
            let detail = format!(
                "{} {} {} {} {}",
                plural("volume", "volumes", names.len()),
                quote(&names),
                plural("uses", "use", names.len()),
                plural("restricted volume type", "restricted volume types", kinds.len()),
                quote(&kinds)
            );
            ("restricted volume types".to_owned(), detail)
        })
    }

    fn non_root(&self) -> Found {
        if self.has_own_users() {
            return None;
        }
        let set = |context: &Value| context["runAsNonRoot"].as_bool();
        let pod = set(&self.spec["securityContext"]);
        let bad = self.which(|container| set(&container["securityContext"]) == Some(false));
        let setters = setters(pod == Some(false), &bad);
        let reason = "runAsNonRoot != true".to_owned();
        if !setters.is_empty() {
            let detail = format!("{} must not set securityContext.runAsNonRoot=false", setters.join(" and "));
            return Some((reason, detail));
        }
        if pod == Some(true) {
            return None;
        }
        let names = self.which(|container| set(&container["securityContext"]).is_none());
        (!names.is_empty())
            .then(|| (reason, format!("pod or {} must set securityContext.runAsNonRoot=true", named(&names))))
    }

    fn root_user(&self) -> Found {
        if self.has_own_users() {
            return None;
        }
        let bad = |context: &Value| context["runAsUser"] == 0;
        let names = self.which(|container| bad(&container["securityContext"]));
        let setters = setters(bad(&self.spec["securityContext"]), &names);
        (!setters.is_empty())
            .then(|| ("runAsUser=0".to_owned(), format!("{} must not set runAsUser=0", setters.join(" and "))))
    }
}
