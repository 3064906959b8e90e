//! The REST API's description, `OpenAPI` 3.1. A test holds it against the router.

use serde_json::{Map, Value, json};

/// Returns the document.
pub(crate) fn document() -> Value {
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Roadstead",
            "version": "v1",
            "description": "Microservices, their environments and what they are made from. Every list has pages, filters and a watch; every write takes Idempotency-Key and dryRun; every error is a problem document (RFC 9457) whose code has a page in docs/errors.",
        },
        "servers": [{"url": "/api/v1"}],
        "security": [{"bearer": []}],
        "paths": paths(),
        "components": {
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer", "description": "A token that the Kubernetes API knows"}},
            "schemas": schemas(),
            "responses": {"Problem": {"description": "What went wrong", "content": {"application/problem+json": {"schema": schema("Problem")}}}},
        },
    })
}

fn schema(name: &str) -> Value {
    json!({"$ref": format!("#/components/schemas/{name}")})
}

fn query(name: &str, kind: &str, description: &str) -> Value {
    json!({"name": name, "in": "query", "required": false, "description": description, "schema": {"type": kind}})
}

fn path_parameter(name: &str) -> Value {
    json!({"name": name, "in": "path", "required": true, "schema": {"type": "string"}})
}

fn environment() -> Value {
    query("environment", "string", "Its environment; needed if services of several environments share the name")
}

fn list_parameters() -> Vec<Value> {
    vec![
        query("limit", "integer", "Items of one page, 1 to 500 (100)"),
        query("continue", "string", "The page after the one that gave this token"),
        query("q", "string", "Part of the name"),
        query("environment", "string", "Only of this environment"),
        query(
            "watch",
            "boolean",
            "Answer with server-sent events: {\"type\": ADDED, MODIFIED or DELETED, \"object\": …}",
        ),
    ]
}

fn write_parameters() -> Vec<Value> {
    vec![
        query("dryRun", "boolean", "Check everything, change nothing"),
        json!({"name": "Idempotency-Key", "in": "header", "required": false, "schema": {"type": "string"}, "description": "A write sent again under the same key is done once"}),
    ]
}

fn answers(status: &str, description: &str, body: Option<Value>, stream: bool) -> Value {
    let mut answer = json!({"description": description});
    if let Some(body) = body {
        answer["content"] = json!({"application/json": {"schema": body}});
    }
    if stream {
        answer["content"]["text/event-stream"] = json!({"schema": {"type": "string"}});
    }
    let mut all = Map::new();
    all.insert(status.to_owned(), answer);
    all.insert("default".to_owned(), json!({"$ref": "#/components/responses/Problem"}));
    Value::Object(all)
}

fn body(name: &str) -> Value {
    json!({"required": true, "content": {"application/json": {"schema": schema(name)}}})
}

fn page_of(name: &str) -> Value {
    json!({"type": "object", "required": ["items"], "properties": {
        "items": {"type": "array", "items": schema(name)}, "continue": {"type": "string"}}})
}

fn list(id: &str, what: &str, name: &str) -> Value {
    json!({"operationId": id, "summary": format!("List {what}"), "parameters": list_parameters(), "responses": answers("200", "A page", Some(page_of(name)), true)})
}

fn paths() -> Value {
    let with = |first: Vec<Value>, rest: Vec<Value>| first.into_iter().chain(rest).collect::<Vec<_>>();
    json!({
        "/microservices": {
            "get": list("listMicroservices", "microservices", "Microservice"),
            "post": {"operationId": "createMicroservice", "summary": "Create a microservice from a template", "parameters": write_parameters(),
                "requestBody": body("CreateMicroservice"), "responses": answers("201", "Created; follow Location until it is healthy", Some(schema("Microservice")), false)},
        },
        "/microservices/{name}": {
            "get": {"operationId": "getMicroservice", "summary": "What is known of a microservice now",
                "parameters": [path_parameter("name"), environment()], "responses": answers("200", "The microservice", Some(schema("Microservice")), false)},
            "delete": {"operationId": "deleteMicroservice", "summary": "Delete a microservice and what it brought about",
                "parameters": with(vec![path_parameter("name"), environment()], write_parameters()),
                "responses": answers("202", "Begun; Location answers 404 when it is done", Some(schema("Microservice")), false)},
        },
        "/microservices/{name}/scale": {
            "put": {"operationId": "scaleMicroservice", "summary": "Ask for another number of replicas; it is committed to the service's repository",
                "parameters": with(vec![path_parameter("name"), environment()], write_parameters()), "requestBody": body("Scale"),
                "responses": answers("202", "Begun; it is done when requestedReplicas is gone and deployment.desired says so", Some(schema("Microservice")), false)},
        },
        "/microservices/{name}/logs": {
            "get": {"operationId": "readLogs", "summary": "What its pods have written",
                "parameters": [path_parameter("name"), environment(), query("lines", "integer", "Newest lines of each pod, 0 to 10000 (100)"),
                    query("follow", "boolean", "Stream lines as server-sent events: {\"pod\": …, \"line\": …}")],
                "responses": answers("200", "The lines", Some(schema("Logs")), true)},
        },
        "/templates": {"get": list("listTemplates", "templates", "Template")},
        "/templates/{name}/deploy": {
            "post": {"operationId": "deployTemplate", "summary": "Apply the objects that a template makes, with the caller's own rights; all are tried before the first is written",
                "parameters": with(vec![path_parameter("name")], write_parameters()), "requestBody": body("DeployTemplate"),
                "responses": answers("200", "What became of each object", Some(schema("Deployed")), false)},
        },
        "/environments": {
            "get": list("listEnvironments", "environments in the order of promotion", "Environment"),
            "post": {"operationId": "createEnvironment", "summary": "Create an environment", "parameters": write_parameters(),
                "requestBody": body("Environment"), "responses": answers("201", "Created", Some(schema("Environment")), false)},
        },
        "/catalog": {"get": list("listCatalog", "what can be ordered", "CatalogEntry")},
        "/catalog/{serviceType}": {
            "get": {"operationId": "getCatalogEntry", "summary": "One entry with the schema of its parameters",
                "parameters": [path_parameter("serviceType")], "responses": answers("200", "The entry", Some(schema("CatalogEntry")), false)},
        },
        "/login-links": {
            "post": {"operationId": "createLoginLink", "summary": "A link that logs a browser in as the token's user, once, within 15 minutes",
                "responses": answers("201", "The link", Some(schema("LoginLink")), false)},
        },
        "/openapi.json": {
            "get": {"operationId": "getOpenapi", "summary": "This document", "security": [], "responses": answers("200", "The document", Some(json!({"type": "object"})), false)},
        },
    })
}

fn schemas() -> Value {
    let text = || json!({"type": "string"});
    let maybe = || json!({"type": ["string", "null"]});
    let count = || json!({"type": "integer", "format": "int32"});
    json!({
        "CreateMicroservice": {"type": "object", "required": ["name", "template"], "additionalProperties": false, "properties": {
            "name": {"type": "string", "pattern": "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", "maxLength": 63}, "template": text(),
            "environment": {"type": "string", "default": "development"}}},
        "Scale": {"type": "object", "required": ["replicas"], "additionalProperties": false, "properties": {
            "replicas": {"type": "integer", "minimum": 0, "maximum": 1000}}},
        "Microservice": {"type": "object",
            "required": ["name", "namespace", "environment", "health", "sync", "message", "deployment", "pods", "createdAt"],
            "properties": {
                "name": text(), "namespace": text(), "environment": text(), "template": maybe(),
                "health": {"type": "string", "enum": ["Healthy", "Progressing", "Degraded", "Missing", "Unknown"]},
                "sync": text(), "message": text(), "url": maybe(), "curl": maybe(), "repository": maybe(), "commit": maybe(),
                "requestedReplicas": {"type": ["integer", "null"]}, "requestedCommit": maybe(), "image": maybe(), "imageDigest": maybe(), "createdAt": text(),
                "deployment": {"type": "object", "properties": {"desired": count(), "replicas": count(), "readyReplicas": count(), "updatedReplicas": count()}},
                "service": {"type": ["object", "null"], "properties": {"clusterIP": text(), "ports": {"type": "array", "items": count()}}},
                "pods": {"type": "array", "items": {"type": "object", "properties": {
                    "name": text(), "status": text(), "ready": {"type": "boolean"}, "restarts": count(), "ip": maybe(), "startedAt": maybe()}}}}},
        "Logs": {"type": "object", "required": ["logs"], "properties": {"logs": text()}},
        "Template": {"type": "object", "required": ["name", "description", "makes"], "properties": {"name": text(), "description": text(),
            "makes": {"type": "string", "enum": ["Microservice", "Objects"]},
            "parameters": {"type": "array", "items": {"type": "object", "required": ["name"], "properties": {"name": text(), "description": text(),
                "value": text(), "required": {"type": "boolean"}, "generated": {"type": "boolean"}}}}}},
        "DeployTemplate": {"type": "object", "additionalProperties": false, "properties": {"namespace": text(),
            "parameters": {"type": "object", "additionalProperties": text()}}},
        "Deployed": {"type": "object", "required": ["objects"], "properties": {"message": text(), "objects": {"type": "array", "items": {"type": "object",
            "required": ["apiVersion", "kind", "namespace", "name", "outcome"], "properties": {"apiVersion": text(), "kind": text(), "namespace": text(),
                "name": text(), "outcome": {"type": "string", "enum": ["created", "configured", "unchanged"]}}}}}},
        "Environment": {"type": "object", "required": ["name"], "additionalProperties": false, "properties": {
            "name": text(), "namespace": text(), "domain": text(), "order": count(),
            "podSecurity": {"type": "string", "enum": ["privileged", "baseline", "restricted"], "default": "baseline"}}},
        "CatalogEntry": {"type": "object", "required": ["serviceType", "description", "parameters"], "properties": {
            "serviceType": text(), "description": text(), "parameters": {"type": "object"}}},
        "LoginLink": {"type": "object", "required": ["url", "validSeconds"], "properties": {"url": text(), "validSeconds": {"type": "integer"}}},
        "Problem": {"type": "object", "required": ["type", "title", "status", "detail", "code"], "properties": {
            "type": text(), "title": text(), "status": {"type": "integer"}, "detail": text(), "code": text(), "trace": text()}},
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_route_is_described_and_nothing_else() {
        let document = document();
        let described: BTreeSet<_> = document["paths"]
            .as_object()
            .unwrap()
            .iter()
            .flat_map(|(path, methods)| {
                methods.as_object().unwrap().keys().map(move |method| format!("{method} {path}"))
            })
            .collect();
        let served: BTreeSet<_> = crate::api::routes()
            .iter()
            .flat_map(|(path, methods, _)| methods.iter().map(move |method| format!("{method} {path}")))
            .collect();
        assert_eq!(described, served);
    }

    #[test]
    fn every_reference_leads_somewhere() {
        fn references(value: &Value, found: &mut Vec<String>) {
            match value {
                Value::Object(fields) => {
                    found.extend(
                        fields
                            .get("$ref")
                            .and_then(Value::as_str)
                            .map(|reference| reference.trim_start_matches('#').to_owned()),
                    );
                    fields.values().for_each(|field| references(field, found));
                }
                Value::Array(items) => items.iter().for_each(|item| references(item, found)),
                _ => {}
            }
        }
        let document = document();
        let mut found = Vec::new();
        references(&document, &mut found);
        assert!(!found.is_empty());
        for reference in found {
            assert!(document.pointer(&reference).is_some(), "{reference}");
        }
    }
}
