//! The `CustomResourceDefinition` objects of the own kinds and of Argo CD's, as
//! far as they are acted on. A field that is not listed is refused by the API server.

use serde_json::{Value, json};

/// Returns the definitions that a cluster needs before the platform's controllers start, in the order to apply them.
pub fn all() -> Vec<Value> {
    vec![environment(), microservice(), application(), app_project()]
}

struct Kind<'a> {
    group: &'a str,
    version: &'a str,
    plural: &'a str,
    named: &'a str,
    short: &'a [&'a str],
    scope: &'a str,
    categories: &'a [&'a str],
}

fn definition(kind: &Kind<'_>, schema: &Value, columns: &Value) -> Value {
    json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": format!("{}.{}", kind.plural, kind.group)},
        "spec": {
            "group": kind.group,
            "scope": kind.scope,
            "names": {
                "plural": kind.plural,
                "singular": kind.named.to_lowercase(),
                "kind": kind.named,
                "listKind": format!("{}List", kind.named),
                "shortNames": kind.short,
                "categories": kind.categories,
            },
            "versions": [{
                "name": kind.version,
                "served": true,
                "storage": true,
                "schema": {"openAPIV3Schema": schema},
                "subresources": {"status": {}},
                "additionalPrinterColumns": columns,
            }],
        },
    })
}

fn conditions() -> Value {
    json!({"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"], "items": {
        "type": "object", "required": ["type", "status"],
        "properties": {
            "type": {"type": "string"}, "status": {"type": "string", "enum": ["True", "False", "Unknown"]},
            "reason": {"type": "string"}, "message": {"type": "string"},
            "lastTransitionTime": {"type": "string", "format": "date-time"},
            "observedGeneration": {"type": "integer", "format": "int64"}
        }
    }})
}

fn root(spec: &Value, status: &Value) -> Value {
    json!({"type": "object", "required": ["spec"], "properties": {
        "apiVersion": {"type": "string"}, "kind": {"type": "string"}, "metadata": {"type": "object"},
        "spec": spec, "status": status,
    }})
}

const LABEL: &str = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$";

fn environment() -> Value {
    let spec = json!({"type": "object", "required": ["namespace", "domain"], "properties": {
        "namespace": {"type": "string", "pattern": LABEL, "maxLength": 63},
        "domain": {"type": "string", "pattern": "^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$", "maxLength": 189},
        "order": {"type": "integer", "format": "int32", "default": 0},
        "podSecurity": {"type": "string", "enum": ["privileged", "baseline", "restricted"], "default": "baseline"},
    }});
    let status = json!({"type": "object", "properties": {"conditions": conditions(), "observedGeneration": {"type": "integer", "format": "int64"}}});
    definition(
        &Kind {
            group: "platform.io",
            version: "v1alpha1",
            plural: "environments",
            named: "Environment",
            short: &["env"],
            scope: "Cluster",
            categories: &["platform"],
        },
        &root(&spec, &status),
        &json!([
            {"name": "Namespace", "type": "string", "jsonPath": ".spec.namespace"},
            {"name": "Domain", "type": "string", "jsonPath": ".spec.domain"},
            {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
        ]),
    )
}

fn microservice() -> Value {
    let spec = json!({"type": "object", "required": ["environment"], "properties": {
        "environment": {"type": "string", "pattern": LABEL, "maxLength": 63},
        "template": {"type": "string", "pattern": LABEL, "maxLength": 63},
        "repository": {"type": "string", "pattern": LABEL, "maxLength": 63},
        "revision": {"type": "string", "default": "main", "minLength": 1, "maxLength": 255},
    }});
    let status = json!({"type": "object", "properties": {
        "observedGeneration": {"type": "integer", "format": "int64"},
        "conditions": conditions(),
        "host": {"type": "string"},
        "repository": {"type": "string"},
        "commit": {"type": "string"},
        "requestedCommit": {"type": "string"},
    }});
    definition(
        &Kind {
            group: "platform.io",
            version: "v1alpha1",
            plural: "microservices",
            named: "Microservice",
            short: &["ms"],
            scope: "Namespaced",
            categories: &["platform"],
        },
        &root(&spec, &status),
        &json!([
            {"name": "Environment", "type": "string", "jsonPath": ".spec.environment"},
            {"name": "Synced", "type": "string", "jsonPath": ".status.conditions[?(@.type==\"Synced\")].status"},
            {"name": "Healthy", "type": "string", "jsonPath": ".status.conditions[?(@.type==\"Healthy\")].status"},
            {"name": "Host", "type": "string", "jsonPath": ".status.host"},
            {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
        ]),
    )
}

fn application() -> Value {
    let helm = json!({"type": "object", "properties": {
        "releaseName": {"type": "string"},
        "valueFiles": {"type": "array", "items": {"type": "string"}},
        "values": {"type": "string"},
        "valuesObject": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
        "parameters": {"type": "array", "items": {"type": "object", "required": ["name"], "properties": {
            "name": {"type": "string"}, "value": {"type": "string"}, "forceString": {"type": "boolean"}}}},
    }});
    let source = json!({"type": "object", "required": ["repoURL"], "properties": {
        "repoURL": {"type": "string"}, "path": {"type": "string"}, "targetRevision": {"type": "string"},
        "ref": {"type": "string"}, "helm": helm,
    }});
    let spec = json!({"type": "object", "required": ["destination", "project"], "properties": {
        "project": {"type": "string"},
        "source": source,
        "sources": {"type": "array", "items": source},
        "destination": {"type": "object", "properties": {"server": {"type": "string"}, "name": {"type": "string"}, "namespace": {"type": "string"}}},
        "syncPolicy": {"type": "object", "properties": {
            "automated": {"type": "object", "properties": {
                "prune": {"type": "boolean"}, "selfHeal": {"type": "boolean"}, "allowEmpty": {"type": "boolean"}}},
            "syncOptions": {"type": "array", "items": {"type": "string"}},
        }},
        "revisionHistoryLimit": {"type": "integer", "format": "int64"},
    }});
    let status = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    let operation = json!({"type": "object", "properties": {
        "initiatedBy": {"type": "object", "properties": {"username": {"type": "string"}, "automated": {"type": "boolean"}}},
        "sync": {"type": "object", "properties": {"prune": {"type": "boolean"}}},
    }});
    let mut root = root(&spec, &status);
    root["properties"]["operation"] = operation;
    let mut crd = definition(
        &Kind {
            group: "argoproj.io",
            version: "v1alpha1",
            plural: "applications",
            named: "Application",
            short: &["app", "apps"],
            scope: "Namespaced",
            categories: &[],
        },
        &root,
        &json!([
            {"name": "Sync Status", "type": "string", "jsonPath": ".status.sync.status"},
            {"name": "Health Status", "type": "string", "jsonPath": ".status.health.status"},
            {"name": "Revision", "type": "string", "jsonPath": ".status.sync.revision", "priority": 10},
        ]),
    );
    // Argo CD's own definition has no status subresource: its clients write status with the object.
    if let Some(version) = crd.pointer_mut("/spec/versions/0").and_then(Value::as_object_mut) {
        version.remove("subresources");
    }
    crd
}

fn app_project() -> Value {
    let kinds = json!({"type": "array", "items": {"type": "object", "required": ["group", "kind"], "properties": {
        "group": {"type": "string"}, "kind": {"type": "string"}}}});
    let spec = json!({"type": "object", "properties": {
        "description": {"type": "string"},
        "sourceRepos": {"type": "array", "items": {"type": "string"}},
        "destinations": {"type": "array", "items": {"type": "object", "properties": {
            "server": {"type": "string"}, "name": {"type": "string"}, "namespace": {"type": "string"}}}},
        "clusterResourceWhitelist": kinds,
        "namespaceResourceWhitelist": kinds,
    }});
    let mut crd = definition(
        &Kind {
            group: "argoproj.io",
            version: "v1alpha1",
            plural: "appprojects",
            named: "AppProject",
            short: &["appproj", "appprojs"],
            scope: "Namespaced",
            categories: &[],
        },
        &root(&spec, &json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true})),
        &json!([]),
    );
    if let Some(version) = crd.pointer_mut("/spec/versions/0").and_then(Value::as_object_mut) {
        version.remove("subresources");
    }
    crd
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_definition_is_named_plural_dot_group() {
        for crd in super::all() {
            let spec = &crd["spec"];
            let name = format!("{}.{}", spec["names"]["plural"].as_str().unwrap(), spec["group"].as_str().unwrap());
            assert_eq!(crd["metadata"]["name"], name.as_str());
        }
    }
}
