//! The REST API: `/api/v1`.

use std::sync::Arc;

use axum::{
    Json, Router,
    body::Bytes,
    extract::{FromRequest, Path, Request, State},
    response::{IntoResponse, Response},
    routing::{MethodRouter, delete, get, post, put},
};
use base::names::is_dns_label;
use http::{HeaderName, StatusCode, header};
use kube::{
    Api,
    api::{DeleteParams, DynamicObject, Patch, PatchParams, PostParams},
};
use platform::{
    kinds::REQUESTED_REPLICAS,
    rest::{CatalogEntry, CreateMicroservice, Environment, Logs, Microservice, Scale, Template},
};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};

use crate::{
    access::{Caller, Proof},
    index::Kind,
    live, logs, openapi,
    paging::{ListParams, NoParams, OneParams, Params, WriteParams, page},
    portal::App,
    problem::Problem,
    view,
};

type Shared = State<Arc<App>>;
type Done = Result<Response, Problem>;

/// The most replicas that can be asked for.
pub(crate) const MOST_REPLICAS: u32 = 1000;

/// A path, its methods and what answers them.
type Route = (&'static str, &'static [&'static str], MethodRouter<Arc<App>>);

/// Returns every path below `/api/v1` with its methods; `openapi` describes each.
pub(crate) fn routes() -> Vec<Route> {
    vec![
        ("/microservices", &["get", "post"], get(list).post(create)),
        ("/microservices/{name}", &["get", "delete"], get(read).merge(delete(remove))),
        ("/microservices/{name}/scale", &["put"], put(scale)),
        ("/microservices/{name}/logs", &["get"], get(read_logs)),
        ("/templates", &["get"], get(templates)),
        ("/templates/{name}/deploy", &["post"], post(crate::templates::deploy)),
        ("/environments", &["get", "post"], get(environments).post(create_environment)),
        ("/catalog", &["get"], get(catalog)),
        ("/catalog/{serviceType}", &["get"], get(catalog_entry)),
        ("/login-links", &["post"], post(login_link)),
        ("/openapi.json", &["get"], get(|| async { Json(openapi::document()) })),
    ]
}

/// Returns the router of all of them.
pub(crate) fn router() -> Router<Arc<App>> {
    routes().into_iter().fold(Router::new(), |router, (path, _, methods)| router.route(path, methods))
}

/// A JSON body of which no field is ignored.
pub(crate) struct Body<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let bytes = Bytes::from_request(request, state).await.map_err(|_| Problem::TooLarge)?;
        serde_json::from_slice(&bytes)
            .map(Body)
            .map_err(|error| Problem::Malformed(format!("the body is not what is expected here: {error}")))
    }
}

fn location(path: String) -> [(HeaderName, String); 1] {
    [(header::LOCATION, path)]
}

fn matches(text: &str, wanted: Option<&String>) -> bool {
    wanted.is_none_or(|wanted| text.to_lowercase().contains(&wanted.to_lowercase()))
}

/// Returns the services that a list asks for.
pub(crate) fn filtered(app: &App, environment: Option<&String>, q: Option<&String>) -> Vec<Microservice> {
    let mut all = view::microservices(&app.index, &app.places);
    all.retain(|service| environment.is_none_or(|wanted| *wanted == service.environment) && matches(&service.name, q));
    all
}

fn service_key(service: &Microservice) -> String {
    format!("{}/{}", service.environment, service.name)
}

async fn list(State(app): Shared, caller: Caller, Params(params): Params<ListParams>) -> Done {
    app.check(&caller, "list", "microservices", "", "").await?;
    if params.watch {
        return Ok(live::items(app, move |app| {
            let all = filtered(app, params.environment.as_ref(), params.q.as_ref());
            all.iter().map(|service| (service_key(service), json!(service))).collect()
        }));
    }
    let all = filtered(&app, params.environment.as_ref(), params.q.as_ref());
    Ok(Json(page(all, service_key, params.limit, params.next.as_deref())?).into_response())
}

/// Returns the one service of this name, in `environment` if it is given.
pub(crate) fn find(app: &App, name: &str, environment: Option<&str>) -> Result<Microservice, Problem> {
    let mut all = view::microservices(&app.index, &app.places);
    all.retain(|service| service.name == name && environment.is_none_or(|wanted| wanted == service.environment));
    if all.len() > 1 {
        let names: Vec<_> = all.iter().map(|service| service.environment.as_str()).collect();
        return Err(Problem::Conflict(format!(
            "there are microservices {name} in {}; name one with ?environment=",
            names.join(" and ")
        )));
    }
    all.pop().ok_or_else(|| Problem::NotFound { kind: "microservice", name: name.to_owned() })
}

async fn read(
    State(app): Shared,
    caller: Caller,
    Path(name): Path<String>,
    Params(params): Params<EnvironmentParams>,
) -> Done {
    app.check(&caller, "get", "microservices", "", &name).await?;
    Ok(Json(find(&app, &name, params.environment.as_deref())?).into_response())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct EnvironmentParams {
    environment: Option<String>,
}

fn objects(app: &App, kind: Kind, namespace: &str) -> Api<DynamicObject> {
    match namespace {
        "" => Api::all_with(app.client.clone(), &kind.resource()),
        namespace => Api::namespaced_with(app.client.clone(), namespace, &kind.resource()),
    }
}

fn object(kind: Kind, metadata: &Value, spec: &Value) -> Result<DynamicObject, Problem> {
    let resource = kind.resource();
    serde_json::from_value(
        json!({"apiVersion": resource.api_version, "kind": resource.kind, "metadata": metadata, "spec": spec}),
    )
    .map_err(|error| Problem::Internal(Box::new(error)))
}

/// Looks at a wish for a new service; returns the namespace that it would run in.
pub(crate) fn validated(app: &App, wish: &CreateMicroservice) -> Result<String, Problem> {
    let invalid = |field, message: String| Err(Problem::Invalid { field, message });
    if !is_dns_label(&wish.name) {
        return invalid(
            "name",
            "use 1 to 63 lower-case letters, digits and '-', beginning and ending with a letter or digit".to_owned(),
        );
    }
    let templates = view::templates(&app.index);
    if !templates.iter().any(|template| template.name == wish.template) {
        let known: Vec<_> = templates.into_iter().map(|template| template.name).collect();
        return invalid("template", format!("there is no template {:?}; there is {}", wish.template, known.join(", ")));
    }
    let environments = view::environments(&app.index);
    let Some(environment) = environments.iter().find(|environment| environment.name == wish.environment) else {
        let known: Vec<_> = environments.into_iter().map(|environment| environment.name).collect();
        return invalid(
            "environment",
            format!("there is no environment {:?}; there is {}", wish.environment, known.join(", ")),
        );
    };
    if app.index.get(Kind::Microservice, &environment.namespace, &wish.name).is_some() {
        return Err(Problem::Conflict(format!(
            "there is a microservice {} in {} already; choose another name",
            wish.name, wish.environment
        )));
    }
    Ok(environment.namespace.clone())
}

/// Creates a service for `caller`.
pub(crate) async fn create_service(
    app: &App,
    caller: &Caller,
    wish: &CreateMicroservice,
    dry_run: bool,
) -> Result<Microservice, Problem> {
    let namespace = validated(app, wish)?;
    app.check(caller, "create", "microservices", &namespace, "").await?;
    let spec = json!({"environment": wish.environment, "template": wish.template, "repository": wish.name, "revision": "main"});
    let object = object(Kind::Microservice, &json!({"name": wish.name, "namespace": namespace}), &spec)?;
    let made = objects(app, Kind::Microservice, &namespace)
        .create(&PostParams { dry_run, field_manager: Some("portal".to_owned()) }, &object)
        .await
        .map_err(|error| Problem::from_kube(error, "microservice", &wish.name))?;
    let made = serde_json::to_value(made).map_err(|error| Problem::Internal(Box::new(error)))?;
    let view = view::microservice(&made, &app.index, &app.places);
    if !dry_run {
        tracing::info!(
            user = caller.user.name,
            service = wish.name,
            environment = wish.environment,
            "created a microservice"
        );
        // The watch will say the same; whoever follows the answer's link finds it at once.
        app.index.apply(Kind::Microservice, made);
    }
    Ok(view)
}

async fn create(
    State(app): Shared,
    caller: Caller,
    Params(params): Params<WriteParams>,
    Body(wish): Body<CreateMicroservice>,
) -> Done {
    let made = create_service(&app, &caller, &wish, params.dry_run).await?;
    Ok((StatusCode::CREATED, location(service_path(&made)), Json(made)).into_response())
}

fn service_path(service: &Microservice) -> String {
    format!("/api/v1/microservices/{}?environment={}", service.name, service.environment)
}

/// Asks for another number of replicas; the service's controller commits it.
pub(crate) async fn scale_service(
    app: &App,
    caller: &Caller,
    service: &Microservice,
    replicas: u32,
    dry_run: bool,
) -> Result<(), Problem> {
    if replicas > MOST_REPLICAS {
        return Err(Problem::Invalid { field: "replicas", message: format!("use a number from 0 to {MOST_REPLICAS}") });
    }
    app.check(caller, "update", "microservices", &service.namespace, &service.name).await?;
    let patch = json!({"metadata": {"annotations": {REQUESTED_REPLICAS: replicas.to_string()}}});
    objects(app, Kind::Microservice, &service.namespace)
        .patch(&service.name, &PatchParams { dry_run, ..PatchParams::default() }, &Patch::Merge(&patch))
        .await
        .map_err(|error| Problem::from_kube(error, "microservice", &service.name))?;
    if !dry_run {
        tracing::info!(
            user = caller.user.name,
            service = service.name,
            replicas,
            "asked for another number of replicas"
        );
    }
    Ok(())
}

async fn scale(
    State(app): Shared,
    caller: Caller,
    Path(name): Path<String>,
    Params(params): Params<OneParams>,
    Body(scale): Body<Scale>,
) -> Done {
    let service = find(&app, &name, params.environment.as_deref())?;
    scale_service(&app, &caller, &service, scale.replicas, params.dry_run).await?;
    Ok((StatusCode::ACCEPTED, location(service_path(&service)), Json(service)).into_response())
}

/// Deletes a service and, through its controller, what it brought about.
pub(crate) async fn delete_service(
    app: &App,
    caller: &Caller,
    service: &Microservice,
    dry_run: bool,
) -> Result<(), Problem> {
    app.check(caller, "delete", "microservices", &service.namespace, &service.name).await?;
    objects(app, Kind::Microservice, &service.namespace)
        .delete(&service.name, &DeleteParams { dry_run, ..DeleteParams::foreground() })
        .await
        .map_err(|error| Problem::from_kube(error, "microservice", &service.name))?;
    if !dry_run {
        tracing::info!(
            user = caller.user.name,
            service = service.name,
            environment = service.environment,
            "deleted a microservice"
        );
    }
    Ok(())
}

async fn remove(
    State(app): Shared,
    caller: Caller,
    Path(name): Path<String>,
    Params(params): Params<OneParams>,
) -> Done {
    let service = find(&app, &name, params.environment.as_deref())?;
    delete_service(&app, &caller, &service, params.dry_run).await?;
    Ok((StatusCode::ACCEPTED, location(service_path(&service)), Json(service)).into_response())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LogsParams {
    lines: Option<i64>,
    #[serde(default)]
    follow: bool,
    environment: Option<String>,
}

async fn read_logs(
    State(app): Shared,
    caller: Caller,
    Path(name): Path<String>,
    Params(params): Params<LogsParams>,
) -> Done {
    app.check(&caller, "get", "microservices", "", &name).await?;
    let lines = params.lines.unwrap_or(logs::USUAL);
    if !(0..=logs::MOST).contains(&lines) {
        return Err(Problem::Malformed(format!("lines is a number from 0 to {}", logs::MOST)));
    }
    let service = find(&app, &name, params.environment.as_deref())?;
    if params.follow {
        return logs::follow(app, service, lines).await;
    }
    Ok(Json(Logs { logs: logs::recent(&app, &service, lines).await? }).into_response())
}

async fn templates(State(app): Shared, caller: Caller, Params(params): Params<ListParams>) -> Done {
    app.check(&caller, "list", "templates", "", "").await?;
    let q = params.q.clone();
    let all = move |app: &App| -> Vec<Template> {
        let mut all = view::templates(&app.index);
        all.extend(crate::templates::all(&app.index, app.deployer.as_ref()));
        all.sort_by(|a, b| a.name.cmp(&b.name));
        all.retain(|template| matches(&template.name, q.as_ref()));
        all
    };
    if params.watch {
        return Ok(live::items(app, move |app| {
            all(app).into_iter().map(|template| (template.name.clone(), json!(template))).collect()
        }));
    }
    Ok(Json(page(all(&app), |template| template.name.clone(), params.limit, params.next.as_deref())?).into_response())
}

async fn environments(State(app): Shared, caller: Caller, Params(params): Params<ListParams>) -> Done {
    app.check(&caller, "list", "environments", "", "").await?;
    let q = params.q.clone();
    let all = move |app: &App| -> Vec<Environment> {
        view::environments(&app.index)
            .into_iter()
            .filter(|environment| matches(&environment.name, q.as_ref()))
            .collect()
    };
    let key = |environment: &Environment| format!("{:+011} {}", environment.order, environment.name);
    if params.watch {
        return Ok(live::items(app, move |app| {
            all(app).into_iter().map(|environment| (key(&environment), json!(environment))).collect()
        }));
    }
    Ok(Json(page(all(&app), key, params.limit, params.next.as_deref())?).into_response())
}

async fn create_environment(
    State(app): Shared,
    caller: Caller,
    Params(params): Params<WriteParams>,
    Body(wish): Body<Environment>,
) -> Done {
    app.check(&caller, "create", "environments", "", "").await?;
    if !is_dns_label(&wish.name) {
        return Err(Problem::Invalid {
            field: "name",
            message: "use 1 to 63 lower-case letters, digits and '-'".to_owned(),
        });
    }
    let or = |value: String, default: String| if value.is_empty() { default } else { value };
    let made = Environment {
        namespace: or(wish.namespace.clone(), wish.name.clone()),
        domain: or(wish.domain.clone(), format!("{}.localhost", wish.name)),
        ..wish
    };
    let spec = json!({"namespace": made.namespace, "domain": made.domain, "order": made.order, "podSecurity": made.pod_security});
    let object = object(Kind::Environment, &json!({"name": made.name}), &spec)?;
    let created = objects(&app, Kind::Environment, "")
        .create(&PostParams { dry_run: params.dry_run, field_manager: Some("portal".to_owned()) }, &object)
        .await
        .map_err(|error| Problem::from_kube(error, "environment", &made.name))?;
    if !params.dry_run {
        tracing::info!(user = caller.user.name, environment = made.name, "created an environment");
        app.index.apply(
            Kind::Environment,
            serde_json::to_value(created).map_err(|error| Problem::Internal(Box::new(error)))?,
        );
    }
    Ok((StatusCode::CREATED, location("/api/v1/environments".to_owned()), Json(made)).into_response())
}

/// Returns what can be ordered.
fn entries(app: &App) -> Vec<CatalogEntry> {
    let names = |all: Vec<String>| {
        if all.is_empty() { json!({"type": "string"}) } else { json!({"type": "string", "enum": all}) }
    };
    let templates = view::templates(&app.index).into_iter().map(|template| template.name).collect();
    let environments = view::environments(&app.index).into_iter().map(|environment| environment.name).collect();
    vec![CatalogEntry {
        service_type: "microservice".to_owned(),
        description: "A service with its own repository, deployed from it and reachable through the gateway".to_owned(),
        parameters: json!({
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "type": "object",
            "required": ["name", "template"],
            "additionalProperties": false,
            "properties": {
                "name": {"type": "string", "pattern": "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", "maxLength": 63},
                "template": names(templates),
                "environment": names(environments),
            },
        }),
    }]
}

async fn catalog(State(app): Shared, caller: Caller, Params(params): Params<ListParams>) -> Done {
    app.check(&caller, "list", "templates", "", "").await?;
    if params.watch {
        return Ok(live::items(app, |app| {
            entries(app).into_iter().map(|entry| (entry.service_type.clone(), json!(entry))).collect()
        }));
    }
    let mut all = entries(&app);
    all.retain(|entry| matches(&entry.service_type, params.q.as_ref()));
    Ok(Json(page(all, |entry| entry.service_type.clone(), params.limit, params.next.as_deref())?).into_response())
}

async fn catalog_entry(
    State(app): Shared,
    caller: Caller,
    Path(kind): Path<String>,
    Params(NoParams {}): Params<NoParams>,
) -> Done {
    app.check(&caller, "list", "templates", "", "").await?;
    let entry = entries(&app).into_iter().find(|entry| entry.service_type == kind);
    entry.map(|entry| Json(entry).into_response()).ok_or(Problem::NotFound { kind: "service type", name: kind })
}

/// Makes a link that logs a browser in as the caller, who has to show a token.
async fn login_link(State(app): Shared, caller: Caller, Params(NoParams {}): Params<NoParams>) -> Done {
    if caller.proof != Proof::Token {
        return Err(Problem::Unauthenticated);
    }
    let url = app.login_link(&caller.user).map_err(|error| Problem::Internal(Box::new(error)))?;
    Ok((StatusCode::CREATED, Json(json!({"url": url, "validSeconds": crate::session::LINK}))).into_response())
}
