//! From watched objects to what people see: values in, values out.

use std::{net::SocketAddr, sync::Arc};

use platform::{
    kinds::{MICROSERVICE_LABEL, REQUESTED_REPLICAS},
    rest::{DeploymentCounts, Environment, Microservice, PodView, ServiceView, Template},
};
use serde_json::Value;

use crate::index::{Index, Kind, SYSTEM};

/// Where things are reached, for links and commands.
#[derive(Clone, Debug)]
pub(crate) struct Places {
    /// The gateway's HTTPS address.
    pub(crate) gateway: SocketAddr,
    /// The certificate to trust for it.
    pub(crate) ca: String,
    /// Base of clone URLs.
    pub(crate) git_url: String,
}

/// Returns the text at `pointer`.
fn text<'a>(object: &'a Value, pointer: &str) -> Option<&'a str> {
    object.pointer(pointer).and_then(Value::as_str).filter(|text| !text.is_empty())
}

fn number(object: &Value, pointer: &str) -> i32 {
    object.pointer(pointer).and_then(Value::as_i64).and_then(|number| i32::try_from(number).ok()).unwrap_or_default()
}

fn items<'a>(object: &'a Value, pointer: &str) -> &'a [Value] {
    object.pointer(pointer).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn name(object: &Value) -> &str {
    text(object, "/metadata/name").unwrap_or_default()
}

/// Returns whether an object belongs to the microservice of this name.
fn belongs(object: &Value, service: &str) -> bool {
    let labels = &object["metadata"]["labels"];
    match labels.get(MICROSERVICE_LABEL).and_then(Value::as_str) {
        Some(owner) => owner == service,
        None => labels.get("app.kubernetes.io/instance").and_then(Value::as_str) == Some(service),
    }
}

fn owned(index: &Index, kind: Kind, namespace: &str, service: &str) -> Vec<Arc<Value>> {
    index.within(kind, namespace).into_iter().filter(|object| belongs(object, service)).collect()
}

/// Returns the one that carries the service's own name, else the first.
fn chief(mut objects: Vec<Arc<Value>>, service: &str) -> Option<Arc<Value>> {
    let at = objects.iter().position(|object| name(object) == service).unwrap_or_default();
    (!objects.is_empty()).then(|| objects.swap_remove(at))
}

/// Returns all services by environment and name.
pub(crate) fn microservices(index: &Index, places: &Places) -> Vec<Microservice> {
    let mut all: Vec<_> =
        index.all(Kind::Microservice).iter().map(|object| microservice(object, index, places)).collect();
    all.sort_by(|left, right| (&left.environment, &left.name).cmp(&(&right.environment, &right.name)));
    all
}

/// Returns what is known of one service now.
pub(crate) fn microservice(object: &Value, index: &Index, places: &Places) -> Microservice {
    let namespace = text(object, "/metadata/namespace").unwrap_or_default();
    let service = name(object);
    let application = application(index, namespace, service);
    let deployment = chief(owned(index, Kind::Deployment, namespace, service), service);
    let pods: Vec<_> = owned(index, Kind::Pod, namespace, service);
    let kube_service = chief(owned(index, Kind::Service, namespace, service), service);
    let host = text(object, "/status/host");
    let (health, message) = health(object, application.as_deref());
    Microservice {
        name: service.to_owned(),
        namespace: namespace.to_owned(),
        environment: text(object, "/spec/environment").unwrap_or_default().to_owned(),
        template: text(object, "/spec/template").map(str::to_owned),
        health,
        sync: application
            .as_deref()
            .and_then(|application| text(application, "/status/sync/status"))
            .unwrap_or("Unknown")
            .to_owned(),
        message,
        url: host.map(|host| url(host, places)),
        curl: host.map(|host| curl(host, places)),
        repository: text(object, "/status/repository")
            .or(text(object, "/spec/repository"))
            .map(|repository| format!("{}/{repository}.git", places.git_url.trim_end_matches('/'))),
        commit: text(object, "/status/commit")
            .or(application.as_deref().and_then(|application| text(application, "/status/sync/revision")))
            .map(str::to_owned),
        requested_replicas: object
            .pointer("/metadata/annotations")
            .and_then(|all| all[REQUESTED_REPLICAS].as_str()?.parse().ok()),
        requested_commit: text(object, "/status/requestedCommit").map(str::to_owned),
        image: deployment
            .as_deref()
            .and_then(|deployment| text(deployment, "/spec/template/spec/containers/0/image"))
            .map(str::to_owned),
        image_digest: pods.iter().find_map(|pod| digest(pod)),
        deployment: deployment.as_deref().map(counts).unwrap_or_default(),
        service: kube_service.as_deref().map(service_view),
        pods: pods.iter().map(|pod| pod_view(pod)).collect(),
        created_at: text(object, "/metadata/creationTimestamp").unwrap_or_default().to_owned(),
    }
}

/// Returns the `Application` that deploys a service.
fn application(index: &Index, namespace: &str, service: &str) -> Option<Arc<Value>> {
    let all = index.all(Kind::Application);
    let lands_here = |object: &Value| {
        text(object, "/spec/destination/namespace")
            .or(text(object, "/metadata/namespace"))
            .is_some_and(|there| there == namespace)
    };
    let mut here = all.into_iter().filter(|object| lands_here(object));
    here.find(|object| {
        belongs(object, service) || name(object) == service || name(object) == format!("{namespace}-{service}")
    })
}

/// Returns a word of Argo CD's and what to say about it.
fn health(object: &Value, application: Option<&Value>) -> (String, String) {
    if object.pointer("/metadata/deletionTimestamp").is_some() {
        return ("Progressing".to_owned(), "It is being deleted, with everything that it brought about.".to_owned());
    }
    let conditions = items(object, "/status/conditions");
    let said = |kind: &str| conditions.iter().find(|condition| text(condition, "/type") == Some(kind));
    let trouble = conditions
        .iter()
        .filter(|condition| text(condition, "/status") == Some("False"))
        .find_map(|condition| text(condition, "/message"));
    let operation = application.and_then(|application| {
        let phase = text(application, "/status/operationState/phase")?;
        matches!(phase, "Failed" | "Error").then(|| text(application, "/status/operationState/message")).flatten()
    });
    let warned = application.and_then(|application| {
        items(application, "/status/conditions").iter().find_map(|condition| text(condition, "/message"))
    });
    let word = application.and_then(|application| text(application, "/status/health/status")).map_or_else(
        || match said("Healthy").and_then(|condition| text(condition, "/status")) {
            Some("True") => "Healthy",
            Some("False") => said("Healthy")
                .and_then(|condition| text(condition, "/reason"))
                .filter(|reason| WORDS.contains(reason))
                .unwrap_or("Progressing"),
            _ => "Progressing",
        },
        |word| if WORDS.contains(&word) { word } else { "Unknown" },
    );
    let message = application
        .and_then(|application| text(application, "/status/health/message"))
        .or(operation)
        .or(trouble)
        .or(warned)
        .unwrap_or_default();
    let refused = said("Ready")
        .is_some_and(|ready| text(ready, "/status") == Some("False") && text(ready, "/reason") != Some("Progressing"));
    let word = if refused && application.is_none() { "Degraded" } else { word };
    (
        word.to_owned(),
        if word == "Healthy" && operation.is_none() { trouble.or(warned).unwrap_or_default() } else { message }
            .to_owned(),
    )
}

/// The words for health that are shown.
const WORDS: [&str; 5] = ["Healthy", "Progressing", "Degraded", "Missing", "Unknown"];

fn url(host: &str, places: &Places) -> String {
    match places.gateway.port() {
        443 => format!("https://{host}"),
        port => format!("https://{host}:{port}"),
    }
}

fn curl(host: &str, places: &Places) -> String {
    let port = places.gateway.port();
    let ip =
        if places.gateway.ip().is_unspecified() { "127.0.0.1".to_owned() } else { places.gateway.ip().to_string() };
    format!("curl --cacert {} --resolve {host}:{port}:{ip} {}/", places.ca, url(host, places))
}

fn counts(deployment: &Value) -> DeploymentCounts {
    DeploymentCounts {
        desired: deployment.pointer("/spec/replicas").map_or(1, |_| number(deployment, "/spec/replicas")),
        replicas: number(deployment, "/status/replicas"),
        ready_replicas: number(deployment, "/status/readyReplicas"),
        updated_replicas: number(deployment, "/status/updatedReplicas"),
    }
}

fn service_view(service: &Value) -> ServiceView {
    ServiceView {
        cluster_ip: text(service, "/spec/clusterIP").unwrap_or_default().to_owned(),
        ports: items(service, "/spec/ports").iter().map(|port| number(port, "/port")).collect(),
    }
}

fn digest(pod: &Value) -> Option<String> {
    let id = items(pod, "/status/containerStatuses").iter().find_map(|status| text(status, "/imageID"))?;
    let at = id.find("sha256:")?;
    Some(id[at..].to_owned())
}

/// Returns a pod in short.
fn pod_view(pod: &Value) -> PodView {
    let statuses = items(pod, "/status/containerStatuses");
    let inits = items(pod, "/status/initContainerStatuses");
    let reason = inits.iter().chain(statuses).find_map(|status| {
        text(status, "/state/waiting/reason").or_else(|| {
            (number(status, "/state/terminated/exitCode") != 0)
                .then(|| text(status, "/state/terminated/reason"))
                .flatten()
        })
    });
    let status = if pod.pointer("/metadata/deletionTimestamp").is_some() {
        "Terminating"
    } else {
        reason.or(text(pod, "/status/reason")).or(text(pod, "/status/phase")).unwrap_or("Pending")
    };
    PodView {
        name: name(pod).to_owned(),
        status: status.to_owned(),
        ready: items(pod, "/status/conditions")
            .iter()
            .any(|condition| text(condition, "/type") == Some("Ready") && text(condition, "/status") == Some("True")),
        restarts: statuses.iter().map(|status| number(status, "/restartCount")).sum(),
        ip: text(pod, "/status/podIP").map(str::to_owned),
        started_at: text(pod, "/status/startTime").map(str::to_owned),
    }
}

/// Returns the environments in the order of promotion.
pub(crate) fn environments(index: &Index) -> Vec<Environment> {
    let mut all: Vec<_> = index
        .all(Kind::Environment)
        .iter()
        .map(|object| Environment {
            name: name(object).to_owned(),
            namespace: text(object, "/spec/namespace").unwrap_or_default().to_owned(),
            domain: text(object, "/spec/domain").unwrap_or_default().to_owned(),
            order: number(object, "/spec/order"),
            pod_security: text(object, "/spec/podSecurity").unwrap_or("baseline").to_owned(),
        })
        .collect();
    all.sort_by(|left, right| (left.order, &left.name).cmp(&(right.order, &right.name)));
    all
}

/// Returns the templates that microservices are made from, by name.
pub(crate) fn templates(index: &Index) -> Vec<Template> {
    let Some(config) = index.get(Kind::ConfigMap, SYSTEM, "templates") else { return Vec::new() };
    let data = config["data"].as_object();
    data.into_iter()
        .flatten()
        .map(|(name, description)| Template {
            name: name.clone(),
            description: description.as_str().unwrap_or_default().to_owned(),
            ..Template::default()
        })
        .collect()
}

#[cfg(test)]
#[path = "view_tests.rs"]
mod tests;
