//! The definitions of the kinds that routes are written in, with schemas of exactly the fields acted on.
//!
//! Names and types are those of the Gateway API and Istio specifications. It never lists a field for later.

use std::sync::LazyLock;

use serde_json::{Value, json};

/// Returns the `CustomResourceDefinition` objects to apply before the proxy starts.
pub fn crds() -> Vec<Value> {
    vec![
        definition(
            &Names {
                plural: "gatewayclasses",
                kind: "GatewayClass",
                short: &["gc"],
                scope: "Cluster",
                group: GATEWAY_GROUP,
            },
            &["v1", "v1beta1"],
            "v1",
            &root(&gateway_class(), &conditions_only()),
            &json!([
                {"name": "Controller", "type": "string", "jsonPath": ".spec.controllerName"},
                {"name": "Accepted", "type": "string", "jsonPath": ".status.conditions[?(@.type==\"Accepted\")].status"},
                {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
            ]),
        ),
        definition(
            &Names { plural: "gateways", kind: "Gateway", short: &["gtw"], scope: "Namespaced", group: GATEWAY_GROUP },
            &["v1", "v1beta1"],
            "v1",
            &root(&GATEWAY, &gateway_status()),
            &json!([
                {"name": "Class", "type": "string", "jsonPath": ".spec.gatewayClassName"},
                {"name": "Address", "type": "string", "jsonPath": ".status.addresses[*].value"},
                {"name": "Programmed", "type": "string", "jsonPath": ".status.conditions[?(@.type==\"Programmed\")].status"},
                {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
            ]),
        ),
        definition(
            &Names { plural: "httproutes", kind: "HTTPRoute", short: &[], scope: "Namespaced", group: GATEWAY_GROUP },
            &["v1", "v1beta1"],
            "v1",
            &root(&HTTP_ROUTE, &route_status()),
            &json!([
                {"name": "Hostnames", "type": "string", "jsonPath": ".spec.hostnames"},
                {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
            ]),
        ),
        definition(
            &Names {
                plural: "referencegrants",
                kind: "ReferenceGrant",
                short: &["refgrant"],
                scope: "Namespaced",
                group: GATEWAY_GROUP,
            },
            &["v1beta1"],
            "v1beta1",
            &root(&reference_grant(), &Value::Null),
            &json!([
                {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
            ]),
        ),
        definition(
            &Names {
                plural: "virtualservices",
                kind: "VirtualService",
                short: &["vs"],
                scope: "Namespaced",
                group: "networking.istio.io",
            },
            &["v1", "v1beta1"],
            "v1",
            &root(&VIRTUAL_SERVICE, &conditions_only()),
            &json!([
                {"name": "Gateways", "type": "string", "jsonPath": ".spec.gateways"},
                {"name": "Hosts", "type": "string", "jsonPath": ".spec.hosts"},
                {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
            ]),
        ),
    ]
}

/// API group of the Gateway API.
pub const GATEWAY_GROUP: &str = "gateway.networking.k8s.io";

struct Names<'a> {
    plural: &'a str,
    kind: &'a str,
    short: &'a [&'a str],
    scope: &'a str,
    group: &'a str,
}

fn definition(names: &Names<'_>, versions: &[&str], storage: &str, schema: &Value, columns: &Value) -> Value {
    let has_status = schema["properties"].get("status").is_some();
    let versions: Vec<_> = versions
        .iter()
        .map(|name| {
            let mut version = json!({
                "name": name, "served": true, "storage": *name == storage,
                "schema": {"openAPIV3Schema": schema},
                "additionalPrinterColumns": columns,
            });
            if has_status {
                version["subresources"] = json!({"status": {}});
            }
            version
        })
        .collect();
    let mut metadata = json!({"name": format!("{}.{}", names.plural, names.group)});
    if names.group.ends_with(".k8s.io") {
        // Kubernetes asks groups of its own domain for a link to their approval, or for this word.
        metadata["annotations"] =
            json!({"api-approved.kubernetes.io": "unapproved, the fields that the platform acts on"});
    }
    json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": metadata,
        "spec": {
            "group": names.group,
            "scope": names.scope,
            "names": {
                "plural": names.plural, "singular": names.kind.to_lowercase(), "kind": names.kind,
                "listKind": format!("{}List", names.kind), "shortNames": names.short,
                "categories": if names.group == GATEWAY_GROUP { json!(["gateway-api"]) } else { json!(["istio-io", "networking-istio-io"]) },
            },
            "versions": versions,
        },
    })
}

fn root(spec: &Value, status: &Value) -> Value {
    let mut properties = json!({"apiVersion": {"type": "string"}, "kind": {"type": "string"}, "metadata": {"type": "object"}, "spec": spec});
    if !status.is_null() {
        properties["status"] = status.clone();
    }
    json!({"type": "object", "required": ["spec"], "properties": properties})
}

const HOST: &str = r"^(\*\.)?[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$";

fn host() -> Value {
    json!({"type": "string", "minLength": 1, "maxLength": 253, "pattern": HOST})
}

fn name() -> Value {
    json!({"type": "string", "minLength": 1, "maxLength": 253})
}

fn port() -> Value {
    json!({"type": "integer", "format": "int32", "minimum": 1, "maximum": 65535})
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

fn conditions_only() -> Value {
    json!({"type": "object", "properties": {"conditions": conditions(), "observedGeneration": {"type": "integer", "format": "int64"}}})
}

fn gateway_class() -> Value {
    json!({"type": "object", "required": ["controllerName"], "properties": {
        "controllerName": {"type": "string", "minLength": 1, "maxLength": 253},
        "description": {"type": "string", "maxLength": 64},
    }})
}

/// Schema of one listener of a Gateway.
pub(crate) static LISTENER: LazyLock<Value> = LazyLock::new(|| {
    json!({"type": "object", "required": ["name", "port", "protocol"], "properties": {
        "name": name(),
        "hostname": host(),
        "port": port(),
        "protocol": {"type": "string", "enum": ["HTTP", "HTTPS"]},
        "tls": {"type": "object", "properties": {
            "mode": {"type": "string", "enum": ["Terminate"], "default": "Terminate"},
            "options": {"type": "object", "additionalProperties": {"type": "string"}},
        }},
        "allowedRoutes": {"type": "object", "properties": {
            "namespaces": {"type": "object", "properties": {"from": {"type": "string", "enum": ["All", "Same"], "default": "Same"}}},
            "kinds": {"type": "array", "items": {"type": "object", "required": ["kind"], "properties": {
                "group": {"type": "string", "enum": [GATEWAY_GROUP], "default": GATEWAY_GROUP},
                "kind": {"type": "string", "enum": ["HTTPRoute"]},
            }}},
        }},
    }})
});

/// Schema of a Gateway's spec.
pub(crate) static GATEWAY: LazyLock<Value> = LazyLock::new(|| {
    json!({"type": "object", "required": ["gatewayClassName", "listeners"], "properties": {
        "gatewayClassName": name(),
        "listeners": {
            "type": "array", "minItems": 1, "maxItems": 64,
            "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"],
            "items": *LISTENER,
        },
    }})
});

fn gateway_status() -> Value {
    json!({"type": "object", "properties": {
        "addresses": {"type": "array", "items": {"type": "object", "properties": {"type": {"type": "string"}, "value": {"type": "string"}}}},
        "conditions": conditions(),
        "listeners": {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"], "items": {
            "type": "object", "required": ["name"], "properties": {
                "name": {"type": "string"},
                "attachedRoutes": {"type": "integer", "format": "int32"},
                "supportedKinds": {"type": "array", "items": {"type": "object", "properties": {"group": {"type": "string"}, "kind": {"type": "string"}}}},
                "conditions": conditions(),
            },
        }},
    }})
}

fn path_modifier() -> Value {
    json!({"type": "object", "required": ["type"], "properties": {
        "type": {"type": "string", "enum": ["ReplaceFullPath", "ReplacePrefixMatch"]},
        "replaceFullPath": {"type": "string", "maxLength": 1024},
        "replacePrefixMatch": {"type": "string", "maxLength": 1024},
    }})
}

fn header_filter() -> Value {
    let values = json!({"type": "array", "maxItems": 16, "items": {"type": "object", "required": ["name", "value"], "properties": {
        "name": {"type": "string", "minLength": 1, "maxLength": 256}, "value": {"type": "string", "maxLength": 4096}}}});
    json!({"type": "object", "properties": {"set": values, "add": values, "remove": {"type": "array", "maxItems": 16, "items": {"type": "string"}}}})
}

fn parent_ref() -> Value {
    json!({"type": "object", "required": ["name"], "properties": {
        "group": {"type": "string", "default": GATEWAY_GROUP},
        "kind": {"type": "string", "default": "Gateway"},
        "namespace": name(),
        "name": name(),
        "sectionName": name(),
        "port": port(),
    }})
}

/// Schema of an `HTTPRoute`'s spec.
pub(crate) static HTTP_ROUTE: LazyLock<Value> = LazyLock::new(|| {
    let named = |types: Value| {
        json!({"type": "array", "maxItems": 16, "items": {"type": "object", "required": ["name", "value"], "properties": {
            "type": {"type": "string", "enum": types, "default": "Exact"},
            "name": {"type": "string", "minLength": 1, "maxLength": 256},
            "value": {"type": "string", "minLength": 1, "maxLength": 4096},
        }}})
    };
    let matches = json!({"type": "array", "maxItems": 64, "items": {"type": "object", "properties": {
        "path": {"type": "object", "properties": {
            "type": {"type": "string", "enum": ["Exact", "PathPrefix", "RegularExpression"], "default": "PathPrefix"},
            "value": {"type": "string", "maxLength": 1024, "default": "/"},
        }},
        "method": {"type": "string", "enum": ["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"]},
        "headers": named(json!(["Exact", "RegularExpression"])),
        "queryParams": named(json!(["Exact", "RegularExpression"])),
    }}});
    let filters = json!({"type": "array", "maxItems": 16, "items": {"type": "object", "required": ["type"], "properties": {
        "type": {"type": "string", "enum": ["RequestHeaderModifier", "ResponseHeaderModifier", "RequestRedirect", "URLRewrite"]},
        "requestHeaderModifier": header_filter(),
        "responseHeaderModifier": header_filter(),
        "requestRedirect": {"type": "object", "properties": {
            "scheme": {"type": "string", "enum": ["http", "https"]},
            "hostname": host(),
            "path": path_modifier(),
            "port": port(),
            "statusCode": {"type": "integer", "enum": [301, 302, 303, 307, 308], "default": 302},
        }},
        "urlRewrite": {"type": "object", "properties": {"hostname": host(), "path": path_modifier()}},
    }}});
    let backends = json!({"type": "array", "maxItems": 16, "items": {"type": "object", "required": ["name"], "properties": {
        "group": {"type": "string", "enum": [""], "default": ""},
        "kind": {"type": "string", "enum": ["Service"], "default": "Service"},
        "namespace": name(),
        "name": name(),
        "port": port(),
        "weight": {"type": "integer", "format": "int32", "minimum": 0, "maximum": 1_000_000, "default": 1},
    }}});
    json!({"type": "object", "properties": {
        "parentRefs": {"type": "array", "maxItems": 32, "items": parent_ref()},
        "hostnames": {"type": "array", "maxItems": 16, "items": host()},
        "rules": {"type": "array", "maxItems": 16, "items": {"type": "object", "properties": {
            "name": name(),
            "matches": matches,
            "filters": filters,
            "backendRefs": backends,
            "timeouts": {"type": "object", "properties": {"request": {"type": "string", "pattern": "^([0-9]{1,5}(h|m|s|ms)){1,4}$"}}},
        }}},
    }})
});

fn route_status() -> Value {
    json!({"type": "object", "required": ["parents"], "properties": {
        "parents": {"type": "array", "maxItems": 32, "items": {
            "type": "object", "required": ["controllerName", "parentRef"], "properties": {
                "parentRef": parent_ref(),
                "controllerName": {"type": "string"},
                "conditions": conditions(),
            },
        }},
    }})
}

fn reference_grant() -> Value {
    json!({"type": "object", "required": ["from", "to"], "properties": {
        "from": {"type": "array", "minItems": 1, "maxItems": 16, "items": {"type": "object", "required": ["group", "kind", "namespace"], "properties": {
            "group": {"type": "string"}, "kind": {"type": "string"}, "namespace": name()}}},
        "to": {"type": "array", "minItems": 1, "maxItems": 16, "items": {"type": "object", "required": ["group", "kind"], "properties": {
            "group": {"type": "string"}, "kind": {"type": "string"}, "name": name()}}},
    }})
}

/// Schema of a `VirtualService`'s spec.
pub(crate) static VIRTUAL_SERVICE: LazyLock<Value> = LazyLock::new(|| {
    let text = json!({"type": "object", "properties": {"exact": {"type": "string"}, "prefix": {"type": "string"}, "regex": {"type": "string"}}});
    let texts = json!({"type": "object", "additionalProperties": text});
    let edits = json!({"type": "object", "properties": {
        "set": {"type": "object", "additionalProperties": {"type": "string"}},
        "add": {"type": "object", "additionalProperties": {"type": "string"}},
        "remove": {"type": "array", "items": {"type": "string"}},
    }});
    json!({"type": "object", "required": ["hosts"], "properties": {
        "hosts": {"type": "array", "minItems": 1, "items": {"type": "string", "minLength": 1}},
        "gateways": {"type": "array", "items": {"type": "string", "minLength": 1}},
        "http": {"type": "array", "items": {"type": "object", "properties": {
            "name": {"type": "string"},
            "match": {"type": "array", "items": {"type": "object", "properties": {
                "name": {"type": "string"}, "uri": text, "method": text, "headers": texts, "queryParams": texts,
            }}},
            "route": {"type": "array", "items": {"type": "object", "required": ["destination"], "properties": {
                "destination": {"type": "object", "required": ["host"], "properties": {
                    "host": {"type": "string", "minLength": 1},
                    "port": {"type": "object", "properties": {"number": port()}},
                }},
                "weight": {"type": "integer", "format": "int32", "minimum": 0},
            }}},
            "rewrite": {"type": "object", "properties": {"uri": {"type": "string"}, "authority": {"type": "string"}}},
            "redirect": {"type": "object", "properties": {
                "uri": {"type": "string"}, "authority": {"type": "string"}, "port": port(),
                "scheme": {"type": "string", "enum": ["http", "https"]},
                "redirectCode": {"type": "integer", "enum": [301, 302, 303, 307, 308]},
            }},
            "headers": {"type": "object", "properties": {"request": edits, "response": edits}},
            "timeout": {"type": "string"},
        }}},
    }})
});

#[cfg(test)]
mod tests {
    use super::*;

    fn structural(schema: &Value, path: &str) {
        assert!(schema["type"].is_string(), "{path} has no type");
        if schema["type"] == "array" {
            structural(&schema["items"], &format!("{path}[]"));
        }
        for (name, property) in schema["properties"].as_object().into_iter().flatten() {
            structural(property, &format!("{path}.{name}"));
        }
        if let Some(values) = schema.get("additionalProperties") {
            structural(values, &format!("{path}.*"));
        }
    }

    #[test]
    fn every_definition_is_structural_and_stores_one_version() {
        for crd in crds() {
            let spec = &crd["spec"];
            let name = format!("{}.{}", spec["names"]["plural"].as_str().unwrap(), spec["group"].as_str().unwrap());
            assert_eq!(crd["metadata"]["name"], name.as_str());
            let versions = spec["versions"].as_array().unwrap();
            assert_eq!(versions.iter().filter(|version| version["storage"] == true).count(), 1, "{name}");
            for version in versions {
                structural(&version["schema"]["openAPIV3Schema"], &name);
            }
        }
    }
}
