//! What a microservice wants: its `Application`, and the change of its replicas. Pure.

use platform::kinds::{EnvironmentSpec, MICROSERVICE_LABEL};
use serde_json::{Value, json};

use super::validate::Valid;
use crate::{
    applications,
    git::{self, Name},
    seed::CHARTS,
};

/// The `Application` of a microservice: the golden chart with the values of the service's repository.
pub(crate) fn application(
    name: &str,
    namespace: &str,
    uid: &str,
    valid: &Valid,
    environment: &EnvironmentSpec,
) -> Value {
    let charts = Name::parse(CHARTS).map(|charts| git::url_of(&charts)).unwrap_or_default();
    json!({
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Application",
        "metadata": {
            "name": name,
            "namespace": namespace,
            "labels": {MICROSERVICE_LABEL: name},
            "finalizers": [applications::FINALIZER],
            "ownerReferences": [{
                "apiVersion": "platform.io/v1alpha1", "kind": "Microservice", "name": name, "uid": uid,
                "controller": true, "blockOwnerDeletion": true,
            }],
        },
        "spec": {
            "project": "default",
            "sources": [
                {"repoURL": charts, "path": "microservice", "targetRevision": git::BRANCH,
                 "helm": {"releaseName": name, "valueFiles": ["$values/values.yaml"]}},
                {"repoURL": git::url_of(&valid.repository), "targetRevision": valid.revision, "ref": "values"},
            ],
            "destination": {"server": "https://kubernetes.default.svc", "namespace": environment.namespace},
            "syncPolicy": {"automated": {"prune": true, "selfHeal": true}, "syncOptions": ["CreateNamespace=true"]},
        },
    })
}

/// Puts `replicas` into the line `replicaCount: …` and leaves everything else as it is.
pub(crate) fn with_replicas(values: &str, replicas: u32) -> Result<String, String> {
    let mut found = false;
    let mut lines = Vec::new();
    for line in values.split('\n') {
        match line.strip_prefix("replicaCount:") {
            Some(rest) if !found => {
                found = true;
                let comment = rest.find(" #").map_or("", |at| &rest[at..]);
                let end = if rest.ends_with('\r') && comment.is_empty() { "\r" } else { "" };
                lines.push(format!("replicaCount: {replicas}{comment}{end}"));
            }
            _ => lines.push(line.to_owned()),
        }
    }
    if found {
        Ok(lines.join("\n"))
    } else {
        Err("values.yaml has no line that begins with 'replicaCount:'".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_line_of_the_replicas_changes() {
        for (text, want) in [
            ("a: 1\nreplicaCount: 1\nb: 2\n", Ok("a: 1\nreplicaCount: 3\nb: 2\n".to_owned())),
            ("replicaCount: 1 # why\n", Ok("replicaCount: 3 # why\n".to_owned())),
            ("replicaCount: 1\r\nx: 2\r\n", Ok("replicaCount: 3\r\nx: 2\r\n".to_owned())),
            ("x:\n  replicaCount: 1\n", Err("values.yaml has no line that begins with 'replicaCount:'".to_owned())),
        ] {
            assert_eq!(with_replicas(text, 3), want);
        }
    }
}
