//! The portal's pages: HTML made on the server, forms that work without script, and the
//! parts that change sent again as they change.

use std::sync::Arc;

use askama::Template;
use axum::{
    Extension, Router,
    extract::{Form, Path, State},
    response::{IntoResponse, Redirect, Response},
    routing::{get, post},
};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use platform::rest::{CreateMicroservice, Microservice, PodView};
use serde::Deserialize;

use crate::{
    access::{COOKIE, Caller, session},
    api, live, logs,
    paging::Params,
    portal::{App, Secured},
    problem::Problem,
    session::SESSION,
    time::age,
    view,
};

type Shared = State<Arc<App>>;

/// Returns the pages and what they load.
pub(crate) fn router() -> Router<Arc<App>> {
    Router::new()
        .route("/", get(services))
        .route("/live/services", get(live_services))
        .route("/services/new", get(new_service).post(create))
        .route("/services/{environment}/{name}", get(service))
        .route("/services/{environment}/{name}/live", get(live_service))
        .route("/services/{environment}/{name}/scale", post(scale))
        .route("/services/{environment}/{name}/delete", post(remove))
        .route("/services/{environment}/{name}/logs", get(service_logs))
        .route("/services/{environment}/{name}/logs/live", get(live_logs))
        .route("/login", get(login))
        .route("/logout", post(logout))
        .route(
            "/assets/portal.css",
            get(|| async { asset("text/css; charset=utf-8", include_str!("../assets/portal.css")) }),
        )
        .route(
            "/assets/portal.js",
            get(|| async { asset("text/javascript; charset=utf-8", include_str!("../assets/portal.js")) }),
        )
        .route("/assets/mark.svg", get(|| async { asset("image/svg+xml", include_str!("../assets/mark.svg")) }))
}

fn asset(kind: &'static str, text: &'static str) -> Response {
    ([(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, "no-cache")], text).into_response()
}

/// A service as its row and its page show it.
struct Row {
    service: Microservice,
    age: String,
    commit: String,
    host: String,
}

impl Row {
    fn new(service: Microservice) -> Self {
        let host = service
            .url
            .as_deref()
            .and_then(|url| url.split_once("://"))
            .map(|(_, host)| host.to_owned())
            .unwrap_or_default();
        Row {
            age: age(&service.created_at, base::clock::now()),
            commit: service.commit.as_deref().map(|commit| commit.chars().take(7).collect()).unwrap_or_default(),
            host,
            service,
        }
    }

    fn path(&self) -> String {
        format!("/services/{}/{}", self.service.environment, self.service.name)
    }

    fn state(&self) -> String {
        self.service.health.to_lowercase()
    }
}

/// A pod as the table shows it.
struct PodRow {
    pod: PodView,
    age: String,
}

impl PodRow {
    fn state(&self) -> &'static str {
        match self.pod.status.as_str() {
            "Running" if self.pod.ready => "healthy",
            "Running" | "Pending" | "ContainerCreating" | "PodInitializing" => "progressing",
            "Succeeded" | "Terminating" => "unknown",
            _ => "degraded",
        }
    }
}

#[derive(Template)]
#[template(path = "services.html")]
struct ServicesPage {
    who: String,
    command: String,
    rows: ServicesRows,
    environments: Vec<String>,
    environment: String,
    q: String,
    live: String,
    any: bool,
}

#[derive(Template)]
#[template(path = "services_rows.html")]
struct ServicesRows {
    rows: Vec<Row>,
}

#[derive(Template)]
#[template(path = "service.html")]
struct ServicePage {
    who: String,
    command: String,
    notice: &'static str,
    row: Row,
    state: ServiceState,
    facts: ServiceFacts,
    pods: ServicePods,
    replicas: i32,
}

#[derive(Template)]
#[template(path = "service_state.html")]
struct ServiceState {
    row: Row,
}

#[derive(Template)]
#[template(path = "service_facts.html")]
struct ServiceFacts {
    row: Row,
}

#[derive(Template)]
#[template(path = "service_pods.html")]
struct ServicePods {
    pods: Vec<PodRow>,
    ready: i32,
    desired: i32,
}

#[derive(Template)]
#[template(path = "new.html")]
struct NewPage {
    who: String,
    command: String,
    templates: Vec<platform::rest::Template>,
    environments: Vec<String>,
    wish: CreateMicroservice,
    name_error: String,
    template_error: String,
    environment_error: String,
    other_error: String,
}

#[derive(Template)]
#[template(path = "login.html")]
struct LoginPage {
    who: String,
    command: String,
    failed: bool,
}

#[derive(Template)]
#[template(path = "problem.html")]
struct ProblemPage {
    who: String,
    command: String,
    title: &'static str,
    detail: String,
    code: &'static str,
    trace: String,
}

fn html(status: StatusCode, page: &impl Template) -> Response {
    match page.render() {
        Ok(text) => (status, [(header::CONTENT_TYPE, "text/html; charset=utf-8")], text).into_response(),
        Err(error) => Problem::Internal(Box::new(error)).into_response(),
    }
}

fn fragment(part: &impl Template) -> String {
    part.render().unwrap_or_else(|error| {
        tracing::error!(%error, "failed to render a part of a page");
        String::new()
    })
}

/// Returns a problem as a page; without a login, the page that says how to log in.
pub(crate) fn problem_page(problem: &Problem, who: Option<&Caller>) -> Response {
    if matches!(problem, Problem::Unauthenticated) {
        return login_page(StatusCode::UNAUTHORIZED, false);
    }
    let trace = problem.log().unwrap_or_default();
    let page = ProblemPage {
        who: who.map(|caller| caller.user.name.clone()).unwrap_or_default(),
        command: "roadstead get".to_owned(),
        title: problem.title(),
        detail: problem.to_string(),
        code: problem.code(),
        trace,
    };
    html(problem.status(), &page)
}

/// Shows the problem of a page instead of the page.
fn page_of(caller: Option<&Caller>, result: Result<Response, Problem>) -> Response {
    result.unwrap_or_else(|problem| problem_page(&problem, caller))
}

/// Who looks at a page; their absence shows how to log in.
struct Visitor(Caller);

impl axum::extract::FromRequestParts<Arc<App>> for Visitor {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut http::request::Parts, app: &Arc<App>) -> Result<Self, Response> {
        Caller::from_request_parts(parts, app).await.map(Visitor).map_err(|problem| problem_page(&problem, None))
    }
}

#[derive(Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Filter {
    #[serde(default)]
    environment: String,
    #[serde(default)]
    q: String,
}

impl Filter {
    fn rows(&self, app: &App) -> ServicesRows {
        let some = |text: &String| Some(text.clone()).filter(|text| !text.is_empty());
        let all = api::filtered(app, some(&self.environment).as_ref(), some(&self.q).as_ref());
        ServicesRows { rows: all.into_iter().map(Row::new).collect() }
    }

    fn command(&self) -> String {
        let environment =
            if self.environment.is_empty() { String::new() } else { format!(" --environment {}", self.environment) };
        format!("roadstead get{environment}")
    }
}

async fn services(State(app): Shared, Visitor(caller): Visitor, filter: Result<Params<Filter>, Problem>) -> Response {
    let page = async {
        let Params(filter) = filter?;
        app.check(&caller, "list", "microservices", "", "").await?;
        Ok(html(
            StatusCode::OK,
            &ServicesPage {
                who: caller.user.name.clone(),
                command: filter.command(),
                any: !app.index.all(crate::index::Kind::Microservice).is_empty(),
                rows: filter.rows(&app),
                live: format!("/live/services?environment={}&q={}", encoded(&filter.environment), encoded(&filter.q)),
                environments: environment_names(&app),
                environment: filter.environment,
                q: filter.q,
            },
        ))
    };
    page_of(Some(&caller), page.await)
}

/// Returns `text` as part of a query.
fn encoded(text: &str) -> String {
    let keep = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    text.bytes().map(|byte| if keep(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}

fn environment_names(app: &App) -> Vec<String> {
    view::environments(&app.index).into_iter().map(|environment| environment.name).collect()
}

async fn live_services(
    State(app): Shared,
    caller: Caller,
    Params(filter): Params<Filter>,
) -> Result<Response, Problem> {
    app.check(&caller, "list", "microservices", "", "").await?;
    Ok(live::fragments(app, move |app| vec![("services", fragment(&filter.rows(app)))]))
}

#[derive(Deserialize)]
struct At {
    environment: String,
    name: String,
}

impl At {
    /// Returns the service if `caller` may see it.
    async fn service(&self, app: &App, caller: &Caller) -> Result<Microservice, Problem> {
        app.check(caller, "get", "microservices", "", &self.name).await?;
        api::find(app, &self.name, Some(&self.environment))
    }
}

struct Parts {
    state: ServiceState,
    facts: ServiceFacts,
    pods: ServicePods,
}

fn parts(service: &Microservice) -> Parts {
    let now = base::clock::now();
    let pods = service
        .pods
        .iter()
        .map(|pod| PodRow {
            age: pod.started_at.as_deref().map(|then| age(then, now)).unwrap_or_default(),
            pod: pod.clone(),
        })
        .collect();
    Parts {
        state: ServiceState { row: Row::new(service.clone()) },
        facts: ServiceFacts { row: Row::new(service.clone()) },
        pods: ServicePods { pods, ready: service.deployment.ready_replicas, desired: service.deployment.desired },
    }
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Notice {
    #[serde(default)]
    done: String,
}

async fn service(
    State(app): Shared,
    Visitor(caller): Visitor,
    Path(at): Path<At>,
    notice: Result<Params<Notice>, Problem>,
) -> Response {
    let page = async {
        let Params(notice) = notice?;
        let service = at.service(&app, &caller).await?;
        let Parts { state, facts, pods } = parts(&service);
        Ok(html(
            StatusCode::OK,
            &ServicePage {
                who: caller.user.name.clone(),
                command: format!("roadstead get {}", at.name),
                notice: match notice.done.as_str() {
                    "created" => "Created. Its repository is being made and deployed; this page follows.",
                    "scaled" => "Asked for. The new number is committed to the repository and deployed from there.",
                    "deleted" => "Deletion has begun. The service leaves this page when it is gone.",
                    _ => "",
                },
                replicas: service.deployment.desired,
                row: Row::new(service),
                state,
                facts,
                pods,
            },
        ))
    };
    page_of(Some(&caller), page.await)
}

async fn live_service(State(app): Shared, caller: Caller, Path(at): Path<At>) -> Result<Response, Problem> {
    at.service(&app, &caller).await?;
    Ok(live::fragments(app, move |app| match api::find(app, &at.name, Some(&at.environment)) {
        Ok(service) => {
            let Parts { state, facts, pods } = parts(&service);
            vec![("state", fragment(&state)), ("facts", fragment(&facts)), ("pods", fragment(&pods))]
        }
        Err(_) => vec![(
            "state",
            "<p class=\"message\">This service is gone. <a href=\"/\">Back to the services</a></p>".to_owned(),
        )],
    }))
}

#[derive(Deserialize)]
struct ScaleForm {
    replicas: u32,
}

async fn scale(
    State(app): Shared,
    Visitor(caller): Visitor,
    Path(at): Path<At>,
    Form(form): Form<ScaleForm>,
) -> Response {
    let done = async {
        let service = at.service(&app, &caller).await?;
        api::scale_service(&app, &caller, &service, form.replicas, false).await?;
        Ok(Redirect::to(&format!("/services/{}/{}?done=scaled", at.environment, at.name)).into_response())
    };
    page_of(Some(&caller), done.await)
}

async fn remove(State(app): Shared, Visitor(caller): Visitor, Path(at): Path<At>) -> Response {
    let done = async {
        let service = at.service(&app, &caller).await?;
        api::delete_service(&app, &caller, &service, false).await?;
        Ok(Redirect::to("/").into_response())
    };
    page_of(Some(&caller), done.await)
}

async fn service_logs(State(app): Shared, Visitor(caller): Visitor, Path(at): Path<At>) -> Response {
    let text = async {
        let service = at.service(&app, &caller).await?;
        let text = logs::recent(&app, &service, logs::USUAL).await?;
        Ok(([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], text).into_response())
    };
    page_of(Some(&caller), text.await)
}

async fn live_logs(State(app): Shared, caller: Caller, Path(at): Path<At>) -> Result<Response, Problem> {
    let service = at.service(&app, &caller).await?;
    logs::follow(app, service, logs::USUAL).await
}

fn new_page(app: &App, caller: &Caller, wish: CreateMicroservice, problem: Option<&Problem>) -> NewPage {
    let mut page = NewPage {
        who: caller.user.name.clone(),
        command: format!(
            "roadstead new {} --template {}",
            if wish.name.is_empty() { "orders" } else { &wish.name },
            if wish.template.is_empty() { "<template>" } else { &wish.template }
        ),
        templates: view::templates(&app.index),
        environments: environment_names(app),
        wish,
        name_error: String::new(),
        template_error: String::new(),
        environment_error: String::new(),
        other_error: String::new(),
    };
    match problem {
        Some(Problem::Invalid { field: "name", message } | Problem::Conflict(message)) => {
            page.name_error.clone_from(message);
        }
        Some(Problem::Invalid { field: "template", message }) => page.template_error.clone_from(message),
        Some(Problem::Invalid { field: "environment", message }) => page.environment_error.clone_from(message),
        Some(other) => page.other_error = other.to_string(),
        None => {}
    }
    page
}

async fn new_service(State(app): Shared, Visitor(caller): Visitor) -> Response {
    let template = view::templates(&app.index).into_iter().next().map(|template| template.name).unwrap_or_default();
    let environment = environment_names(&app).into_iter().next().unwrap_or_default();
    html(
        StatusCode::OK,
        &new_page(&app, &caller, CreateMicroservice { name: String::new(), template, environment }, None),
    )
}

#[derive(Deserialize)]
struct CreateForm {
    #[serde(default)]
    name: String,
    #[serde(default)]
    template: String,
    #[serde(default)]
    environment: String,
}

async fn create(State(app): Shared, Visitor(caller): Visitor, Form(form): Form<CreateForm>) -> Response {
    let wish = CreateMicroservice {
        name: form.name.trim().to_owned(),
        template: form.template,
        environment: form.environment,
    };
    match api::create_service(&app, &caller, &wish, false).await {
        Ok(made) => Redirect::to(&format!("/services/{}/{}?done=created", made.environment, made.name)).into_response(),
        Err(problem) => html(problem.status(), &new_page(&app, &caller, wish, Some(&problem))),
    }
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct LoginParams {
    link: Option<String>,
}

fn login_page(status: StatusCode, failed: bool) -> Response {
    html(status, &LoginPage { who: String::new(), command: "roadstead login-link".to_owned(), failed })
}

async fn login(
    State(app): Shared,
    secured: Option<Extension<Secured>>,
    params: Result<Params<LoginParams>, Problem>,
) -> Response {
    let Ok(Params(LoginParams { link: Some(link) })) = params else { return login_page(StatusCode::OK, false) };
    match app.sessions.open_session(&link, base::clock::now().as_second()) {
        Ok(Some(secret)) => {
            let cookie =
                format!("{COOKIE}={secret}; HttpOnly; SameSite=Strict; Path=/; Max-Age={SESSION}{}", secure(secured));
            with_cookie(Redirect::to("/").into_response(), &cookie)
        }
        Ok(None) => login_page(StatusCode::UNAUTHORIZED, true),
        Err(error) => problem_page(&Problem::Internal(Box::new(error)), None),
    }
}

fn secure(secured: Option<Extension<Secured>>) -> &'static str {
    if secured.is_some() { "; Secure" } else { "" }
}

fn with_cookie(mut response: Response, cookie: &str) -> Response {
    if let Ok(value) = HeaderValue::from_str(cookie) {
        response.headers_mut().insert(header::SET_COOKIE, value);
    }
    response
}

async fn logout(
    State(app): Shared,
    Visitor(caller): Visitor,
    secured: Option<Extension<Secured>>,
    headers: HeaderMap,
) -> Response {
    let ended = session(&headers).map_or(Ok(()), |secret| app.sessions.close(secret));
    match ended {
        Ok(()) => with_cookie(
            Redirect::to("/login").into_response(),
            &format!("{COOKIE}=; HttpOnly; SameSite=Strict; Path=/; Max-Age=0{}", secure(secured)),
        ),
        Err(error) => problem_page(&Problem::Internal(Box::new(error)), Some(&caller)),
    }
}
