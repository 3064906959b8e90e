//! `ServiceAccount`: who a pod is, and the token it is given.

use serde_json::{Value, json};

use crate::{items, text};

/// Where a container finds its token.
const MOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// How long the token that a pod is given holds, in seconds.
const EXPIRES: i64 = 3607;

/// Gives a pod the default account, if it names none.
pub fn default(pod: &mut Value) {
    if text(&pod["spec"], "serviceAccountName").is_empty() {
        pod["spec"]["serviceAccountName"] = json!("default");
    }
    pod["spec"]["serviceAccount"] = pod["spec"]["serviceAccountName"].clone();
}

/// Returns why a mirror of a static pod may not be what it is.
pub fn mirror_refusal(pod: &Value) -> Option<&'static str> {
    let spec = &pod["spec"];
    if !text(spec, "serviceAccountName").is_empty() {
        return Some("a mirror pod may not reference service accounts");
    }
    if secrets(spec).next().is_some() {
        return Some("a mirror pod may not reference secrets");
    }
    let tokens = items(&spec["volumes"])
        .flat_map(|volume| items(&volume["projected"]["sources"]))
        .any(|source| source["serviceAccountToken"].is_object());
    tokens.then_some("a mirror pod may not use ServiceAccountToken volume projections")
}

/// Returns whether a pod stands for one that a node runs by itself.
pub fn is_mirror(pod: &Value) -> bool {
    !pod["metadata"]["annotations"]["kubernetes.io/config.mirror"].is_null()
}

/// Gives a pod what its account has: the token's volume (named with `suffix`) and pull secrets.
pub fn equip(account: &Value, pod: &mut Value, suffix: &str) {
    let wants = pod["spec"]["automountServiceAccountToken"]
        .as_bool()
        .or_else(|| account["automountServiceAccountToken"].as_bool())
        .unwrap_or(true);
    if wants {
        mount_token(pod, suffix);
    }
    if items(&pod["spec"]["imagePullSecrets"]).next().is_none() && account["imagePullSecrets"].is_array() {
        pod["spec"]["imagePullSecrets"] = account["imagePullSecrets"].clone();
    }
}

fn mount_token(pod: &mut Value, suffix: &str) {
    let existing = items(&pod["spec"]["volumes"])
        .map(|volume| text(volume, "name"))
        .find(|name| name.starts_with("kube-api-access-"))
        .map(str::to_owned);
    let fresh = existing.is_none();
    let name = existing.unwrap_or_else(|| format!("kube-api-access-{suffix}"));
    let mut mounted = false;
    for list in ["initContainers", "containers"] {
        for container in pod["spec"][list].as_array_mut().into_iter().flatten() {
            if items(&container["volumeMounts"]).any(|mount| mount["mountPath"] == MOUNT) {
                continue;
            }
            if !container["volumeMounts"].is_array() {
                container["volumeMounts"] = json!([]);
            }
            if let Some(mounts) = container["volumeMounts"].as_array_mut() {
                mounts.push(json!({"name": name, "readOnly": true, "mountPath": MOUNT}));
                mounted = true;
            }
        }
    }
    if !mounted || !fresh {
        return;
    }
    if !pod["spec"]["volumes"].is_array() {
        pod["spec"]["volumes"] = json!([]);
    }
    if let Some(volumes) = pod["spec"]["volumes"].as_array_mut() {
        volumes.push(json!({"name": name, "projected": {"defaultMode": 420, "sources": [
            {"serviceAccountToken": {"expirationSeconds": EXPIRES, "path": "token"}},
            {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
            {"downwardAPI": {"items": [{"path": "namespace", "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"}}]}},
        ]}}));
    }
}

/// Returns why a pod may not use what it does: its account lists the secrets that may be mounted.
pub fn refusal(account: &Value, pod: &Value) -> Option<String> {
    if account["metadata"]["annotations"]["kubernetes.io/enforce-mountable-secrets"] != "true" {
        return None;
    }
    let name = text(&account["metadata"], "name");
    let allowed = |secret: &str| items(&account["secrets"]).any(|found| found["name"] == secret);
    for (secret, place) in secrets(&pod["spec"]) {
        if !allowed(&secret) {
            return Some(format!(
                "{place} is not allowed because service account {name} does not reference that secret"
            ));
        }
    }
    for (index, pull) in items(&pod["spec"]["imagePullSecrets"]).enumerate() {
        let secret = text(pull, "name");
        if !items(&account["imagePullSecrets"]).any(|found| found["name"] == secret) {
            return Some(format!(
                "imagePullSecrets[{index}].name=\"{secret}\" is not allowed because service account {name} does not reference that imagePullSecret"
            ));
        }
    }
    None
}

/// Returns the secrets that a pod uses, and how.
fn secrets(spec: &Value) -> impl Iterator<Item = (String, String)> {
    let volumes = items(&spec["volumes"]).filter_map(|volume| {
        let name = volume["secret"]["secretName"].as_str()?;
        Some((name.to_owned(), format!("volume with secret.secretName=\"{name}\"")))
    });
    let kinds = [
        ("initContainers", "init container"),
        ("containers", "container"),
        ("ephemeralContainers", "ephemeral container"),
    ];
    let used = kinds.into_iter().flat_map(move |(list, kind)| {
        items(&spec[list]).flat_map(move |container| {
            let container_name = text(container, "name").to_owned();
            let shown = container_name.clone();
            let single = items(&container["env"]).filter_map(move |env| {
                let name = env["valueFrom"]["secretKeyRef"]["name"].as_str()?;
                let place = format!(
                    "{kind} {shown} with envVar {} referencing secret.secretName=\"{name}\"",
                    text(env, "name")
                );
                Some((name.to_owned(), place))
            });
            let all = items(&container["envFrom"]).filter_map(move |from| {
                let name = from["secretRef"]["name"].as_str()?;
                Some((
                    name.to_owned(),
                    format!("{kind} {container_name} with envFrom referencing secret.secretName=\"{name}\""),
                ))
            });
            single.chain(all)
        })
    });
    volumes.chain(used)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pod_is_given_a_token_where_it_has_none() {
        let account = json!({"metadata": {"name": "default"}, "imagePullSecrets": [{"name": "pull"}]});
        let mut pod = json!({"spec": {"containers": [{"name": "a"}, {"name": "b", "volumeMounts": [{"name": "own", "mountPath": MOUNT}]}]}});
        default(&mut pod);
        equip(&account, &mut pod, "abcde");
        assert_eq!(pod["spec"]["serviceAccountName"], "default");
        assert_eq!(pod["spec"]["volumes"][0]["name"], "kube-api-access-abcde");
        assert_eq!(pod["spec"]["containers"][0]["volumeMounts"][0]["mountPath"], MOUNT);
        assert_eq!(items(&pod["spec"]["containers"][1]["volumeMounts"]).count(), 1);
        assert_eq!(pod["spec"]["imagePullSecrets"], json!([{"name": "pull"}]));
        let mut silent = json!({"spec": {"automountServiceAccountToken": false, "containers": [{"name": "a"}]}});
        equip(&account, &mut silent, "abcde");
        assert!(silent["spec"]["volumes"].is_null());
    }

    #[test]
    fn an_account_that_lists_its_secrets_lets_no_other_be_used() {
        let account = json!({"metadata": {"name": "sa", "annotations": {"kubernetes.io/enforce-mountable-secrets": "true"}}, "secrets": [{"name": "ok"}]});
        let pod =
            |name: &str| json!({"spec": {"containers": [{"name": "a", "envFrom": [{"secretRef": {"name": name}}]}]}});
        assert_eq!(refusal(&account, &pod("ok")), None);
        assert_eq!(
            refusal(&account, &pod("other")).unwrap(),
            "container a with envFrom referencing secret.secretName=\"other\" is not allowed because service account sa does not reference that secret"
        );
    }
}
