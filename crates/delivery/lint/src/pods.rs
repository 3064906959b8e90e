//! Pod specs of every workload kind: resources, images, rights, probes, secrets.

use std::collections::HashMap;

use crate::{
    report::{Object, Report},
    shape::join,
    tree::{Data, Node, Place},
};

/// Where the pod's template stands in an object.
pub(crate) struct Template<'a> {
    /// The pod's metadata and spec.
    pub(crate) node: &'a Node,
    path: &'static str,
}

/// Returns the pod template of a workload, or the pod itself.
pub(crate) fn template<'a>(object: &Object<'a>) -> Option<Template<'a>> {
    let (keys, path): (&[&str], _) = match (object.group(), object.kind) {
        ("", "Pod") => (&[], "spec"),
        ("", "PodTemplate") => (&["template"], "template.spec"),
        ("apps" | "extensions", "Deployment" | "ReplicaSet" | "DaemonSet" | "StatefulSet")
        | ("batch", "Job")
        | ("", "ReplicationController") => (&["spec", "template"], "spec.template.spec"),
        ("batch", "CronJob") => (&["spec", "jobTemplate", "spec", "template"], "spec.jobTemplate.spec.template.spec"),
        _ => return None,
    };
    Some(Template { node: object.node.below(keys)?, path })
}

/// Words in names of variables that hold secrets.
const SECRET: &[&str] = &[
    "PASSWORD",
    "PASSWD",
    "PASSPHRASE",
    "TOKEN",
    "SECRET",
    "APIKEY",
    "API_KEY",
    "PRIVATE_KEY",
    "ACCESS_KEY",
    "CREDENTIAL",
];
/// Ends of names that say where a secret is, or something else about it.
const ABOUT: &[&str] = &[
    "_FILE",
    "_PATH",
    "_DIR",
    "_NAME",
    "_HEADER",
    "_URL",
    "_URI",
    "_TTL",
    "_EXPIRY",
    "_EXPIRATION",
    "_SECONDS",
    "_LENGTH",
    "_ENABLED",
    "_TYPE",
    "_ISSUER",
    "_KEY_ID",
];

/// Values that are no secret.
const PLAIN: &[&str] = &["", "0", "1", "true", "false", "yes", "no"];

/// ServiceAccounts of the input by name.
pub(crate) type Accounts<'o, 'a> = HashMap<&'o str, Vec<&'o Object<'a>>>;

/// Most ServiceAccounts of one name, each in another namespace, that a pod's own is looked for among.
const MOST_ACCOUNTS: usize = 1_000;

/// Returns the ServiceAccounts of the input.
pub(crate) fn accounts<'o, 'a>(objects: &'o [Object<'a>]) -> Accounts<'o, 'a> {
    let mut accounts = Accounts::new();
    for object in objects.iter().filter(|object| object.kind == "ServiceAccount" && object.group().is_empty()) {
        accounts.entry(object.name).or_default().push(object);
    }
    accounts
}

/// Checks the pods that an object makes.
pub(crate) fn check(object: &Object<'_>, accounts: &Accounts<'_, '_>, report: &mut Report) {
    let Some(template) = template(object) else { return };
    let Some(spec) = template.node.get("spec") else { return };
    let mut pod = Pod { object, spec, path: template.path, report };
    pod.host();
    pod.token(accounts);
    for (list, is_init) in [("containers", Role::Main), ("initContainers", Role::Init)] {
        for (index, container) in spec.get(list).map(Node::items).unwrap_or_default().iter().enumerate() {
            if matches!(container.data, Data::Map(_)) {
                let path = format!("{}.{list}[{index}]", template.path);
                pod.container(container, &path, is_init);
            }
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    Main,
    Init,
}

struct Pod<'o, 'r> {
    object: &'o Object<'o>,
    spec: &'o Node,
    path: &'static str,
    report: &'r mut Report,
}

impl Pod<'_, '_> {
    fn add(&mut self, rule: &'static str, at: Place, path: String, message: impl Into<String>, fix: impl Into<String>) {
        self.report.add(rule, self.object, at, path, message.into(), fix.into());
    }

    fn host(&mut self) {
        let spec = self.spec;
        for field in ["hostNetwork", "hostPID", "hostIPC"] {
            if spec.is_true(field) {
                let message = format!("{field} is set: the pod sees what its host sees");
                self.add("host-namespace", spec.key_at(field), join(self.path, field), message, "remove it");
            }
        }
        for (index, volume) in spec.get("volumes").map(Node::items).unwrap_or_default().iter().enumerate() {
            if let Some(host) = volume.get("hostPath") {
                let path = format!("{}.volumes[{index}].hostPath", self.path);
                let message =
                    format!("the volume is {} of the host", host.get("path").map_or("a path", |_| host.str("path")));
                let fix = "use a persistentVolumeClaim, an emptyDir or a configMap";
                self.add("host-path", volume.key_at("hostPath"), path, message, fix);
            }
        }
        let context = spec.get("securityContext");
        if let Some(user) = context.and_then(|context| context.get("runAsUser")).filter(|user| user.int() == Some(0)) {
            let path = format!("{}.securityContext.runAsUser", self.path);
            self.add("run-as-root", user.at, path, "the pod runs as user 0", "set another user");
        }
    }

    fn token(&mut self, accounts: &Accounts<'_, '_>) {
        let spec = self.spec;
        let given = spec.get("automountServiceAccountToken").and_then(Node::bool);
        let account = match spec.str("serviceAccountName") {
            "" => "default",
            name => name,
        };
        let of_account = accounts
            .get(account)
            .and_then(|named| named.iter().take(MOST_ACCOUNTS).find(|other| other.beside(self.object)))
            .and_then(|other| other.node.get("automountServiceAccountToken")?.bool());
        if given.or(of_account) != Some(false) {
            let path = join(self.path, "automountServiceAccountToken");
            let fix = "set automountServiceAccountToken: false if the pod does not use the API";
            self.add("automounted-token", spec.at, path, "the pod is given a token for the API", fix);
        }
    }

    fn container(&mut self, container: &Node, path: &str, role: Role) {
        self.image(container, path);
        self.resources(container, path);
        self.rights(container, path);
        self.secrets(container, path);
        let runs_on = matches!(self.object.kind, "Deployment" | "StatefulSet" | "DaemonSet");
        if role == Role::Main && runs_on {
            let fix = |field: &str| format!("add {field} with an httpGet, tcpSocket, grpc or exec of the container");
            for (rule, field, what) in [
                ("no-readiness-probe", "readinessProbe", "requests reach it before it is ready"),
                ("no-liveness-probe", "livenessProbe", "it is not restarted when it hangs"),
            ] {
                if container.get(field).is_none() {
                    let message = format!("{} has no {field}: {what}", called(container));
                    self.add(rule, container.at, join(path, field), message, fix(field));
                }
            }
        }
    }

    fn image(&mut self, container: &Node, path: &str) {
        let Some((image, at)) = container.get("image").and_then(|image| Some((image.text()?, image.at))) else {
            return;
        };
        if image.contains('@') {
            return;
        }
        let last = image.rsplit('/').next().unwrap_or_default();
        let message = match last.split_once(':') {
            None | Some((_, "")) => format!("{image:?} has no tag, which means latest"),
            Some((_, "latest")) => format!("{image:?} is another image tomorrow"),
            Some(_) => return,
        };
        self.add("mutable-image-tag", at, join(path, "image"), message, "name a fixed tag or a digest");
    }

    fn resources(&mut self, container: &Node, path: &str) {
        for (rule, field, example) in [
            ("no-memory-request", "requests", "what it usually needs"),
            ("no-memory-limit", "limits", "what it may use at most"),
        ] {
            let keys = ["resources", field, "memory"];
            // A limit is a request too where none is given.
            let by_limit = field == "requests" && container.below(&["resources", "limits", "memory"]).is_some();
            if container.below(&keys).is_some() || self.spec.below(&keys).is_some() || by_limit {
                continue;
            }
            let at = container.get("resources").map_or(container.at, |_| container.key_at("resources"));
            let message = format!("{} has no memory in resources.{field}", called(container));
            let fix = format!("set resources.{field}.memory to {example}");
            self.add(rule, at, format!("{path}.resources.{field}.memory"), message, fix);
        }
    }

    fn rights(&mut self, container: &Node, path: &str) {
        let context = container.get("securityContext");
        let of_pod = self.spec.get("securityContext");
        let at = context.map_or(container.at, |_| container.key_at("securityContext"));
        let field = |name: &str| context.and_then(|context| context.get(name));
        let below = |name: &str| format!("{path}.securityContext.{name}");
        let name = called(container);
        if let Some(privileged) = field("privileged").filter(|value| value.bool() == Some(true)) {
            let fix = "remove it, and add single capabilities if some are needed";
            self.add("privileged-container", privileged.at, below("privileged"), format!("{name} is privileged"), fix);
        }
        if let Some(user) = field("runAsUser").filter(|user| user.int() == Some(0)) {
            self.add("run-as-root", user.at, below("runAsUser"), format!("{name} runs as user 0"), "set another user");
        }
        // Rights of Linux mean nothing to a pod of Windows.
        let windows = self.spec.below(&["os", "name"]).and_then(Node::text) == Some("windows");
        let non_root =
            field("runAsNonRoot").or_else(|| of_pod.and_then(|of_pod| of_pod.get("runAsNonRoot"))).and_then(Node::bool);
        if non_root != Some(true) {
            let fix = "set runAsNonRoot: true in securityContext";
            let message = format!("nothing keeps {name} from running as root");
            self.add("run-as-non-root", at, below("runAsNonRoot"), message, fix);
        }
        if windows {
            return;
        }
        if field("allowPrivilegeEscalation").and_then(Node::bool) != Some(false) {
            let fix = "set allowPrivilegeEscalation: false in securityContext";
            let message = format!("{name} may gain privileges that it was not given");
            self.add("privilege-escalation", at, below("allowPrivilegeEscalation"), message, fix);
        }
        let drop = field("capabilities").and_then(|capabilities| capabilities.get("drop"));
        let all = |item: &Node| item.text().is_some_and(|text| text.eq_ignore_ascii_case("ALL"));
        if !drop.is_some_and(|drop| drop.items().iter().any(all)) {
            let fix = "set capabilities.drop: [ALL] in securityContext and add back what is needed";
            let message = format!("{name} keeps the runtime's capabilities");
            self.add("capabilities-not-dropped", at, below("capabilities.drop"), message, fix);
        }
        if field("readOnlyRootFilesystem").and_then(Node::bool) != Some(true) {
            let fix = "set readOnlyRootFilesystem: true in securityContext and mount an emptyDir where it writes";
            let message = format!("{name} can write to its root file system");
            self.add("writable-root-filesystem", at, below("readOnlyRootFilesystem"), message, fix);
        }
    }

    fn secrets(&mut self, container: &Node, path: &str) {
        for (index, variable) in container.get("env").map(Node::items).unwrap_or_default().iter().enumerate() {
            let name = variable.str("name");
            let upper = name.to_uppercase();
            let Some(value) = variable.get("value") else { continue };
            let literal = match &value.data {
                Data::Text(text) => {
                    !text.starts_with("$(") && !text.starts_with('/') && !PLAIN.contains(&text.as_str())
                }
                Data::Int(_) | Data::Float(_) => true,
                _ => false,
            };
            let named = SECRET.iter().any(|word| upper.contains(word)) && !ABOUT.iter().any(|end| upper.ends_with(end));
            if literal && named {
                let message = format!("{name} looks like a secret and has its value here");
                let fix = "put it into a Secret and take it with valueFrom.secretKeyRef";
                self.add("secret-in-env", value.at, format!("{path}.env[{index}].value"), message, fix);
            }
        }
    }
}

/// What a container is called in messages.
fn called(container: &Node) -> String {
    match container.str("name") {
        "" => "the container".to_owned(),
        name => format!("container {name}"),
    }
}
