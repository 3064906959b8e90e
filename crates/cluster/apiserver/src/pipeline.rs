//! The pipeline that every request goes through, in one place:
//!
//! authenticate → authorize → decode → mutate → default → validate → admit → store → encode → audit.
//!
//! Here is the order of the outer steps and who answers what; the steps of a write from
//! decoding to the store are in [`crate::write`], those of a read in [`crate::read`].

use std::sync::Arc;

use axum::body::Body;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, header};

use crate::{
    access::wish_of,
    body,
    rbac::{User, Wish},
    read::form_of,
    registry::{Resource, Subresource},
    request::{self, Info, Query, Target},
    server::Server,
    status::Failure,
    table::{self, Form},
    write::{Call, Deletion, Options, PatchKind, Written, subresource},
};

impl Server {
    /// Answers one request. The user is taken from the request's extensions (a client
    /// certificate's, an in-process client's) or its bearer token.
    pub async fn handle(&self, request: Request<Body>) -> Response<Body> {
        match self.answer(request).await {
            Ok(response) => response,
            Err(failure) => refuse(&failure),
        }
    }

    async fn answer(&self, request: Request<Body>) -> Result<Response<Body>, Failure> {
        let (parts, body) = request.into_parts();
        let user = self.authenticate(parts.extensions.get::<User>(), &parts.headers)?;
        let query = Query::parse(parts.uri.query());
        let path = parts.uri.path();
        match request::parse(&parts.method, path, &query)? {
            Target::Path => {
                let verb = parts.method.as_str().to_lowercase();
                self.authorize(&user, &Wish { verb, path: path.to_owned(), ..Wish::default() })?;
                self.path(path, &parts.headers, &query)
            }
            Target::Objects(info) => {
                self.authorize(&user, &wish_of(&info))?;
                let served = self.served();
                let resource = served
                    .registry
                    .get(&info.group, &info.version, &info.resource)
                    .ok_or_else(Failure::no_such_path)?;
                let info = placed(resource, info)?;
                self.objects(Asked { user: &user, resource, info: &info, query: &query, headers: &parts.headers }, body)
                    .await
            }
        }
    }

    /// Answers a request for a kind's objects: hands it to the verb, and encodes what that returns.
    async fn objects(&self, asked: Asked<'_>, body: Body) -> Result<Response<Body>, Failure> {
        let Asked { user, resource, info, query, headers } = asked;
        let part = subresource(resource, info)?;
        if let Some(review) = resource.review {
            if info.verb != "create" {
                return Err(Failure::method_not_allowed());
            }
            let body = body::read(headers, body).await?;
            return Ok(respond(StatusCode::CREATED, self.review(review, user, info, body)?.to_string()));
        }
        let form = form_of(headers, query)?;
        match (info.verb, part) {
            ("get", Some(Subresource::Log)) => return self.log(resource, info, query).await,
            ("get", None | Some(Subresource::Status | Subresource::Approval)) => return self.get(resource, info, form),
            ("list", None) => return self.list(resource, info, query, form),
            ("watch", None) => return self.watch(resource, info, query, form),
            ("deletecollection", None) => return self.delete_collection(asked, body).await,
            _ => {}
        }
        let written = self.write(asked, part, body).await?;
        Ok(encode(resource, form, written))
    }

    /// Hands a write to its verb.
    async fn write(&self, asked: Asked<'_>, part: Option<&Subresource>, body: Body) -> Result<Written, Failure> {
        let Asked { user, resource, info, query, headers } = asked;
        let options = Options::parse(query, headers)?;
        let call = Call { user, resource, info, options: &options };
        asked.refuse_binary_custom()?;
        match (info.verb, part) {
            ("get", Some(scale @ Subresource::Scale { .. })) => self.scale(call, scale, None).await,
            ("create", Some(Subresource::Binding)) => self.bind(call, body::read(headers, body).await?).await,
            ("create", Some(Subresource::Eviction)) => self.evict(call, body::read(headers, body).await?).await,
            ("create", Some(Subresource::Token)) => self.token(call, body::read(headers, body).await?).await,
            ("create", None) if info.name.is_empty() => self.create(call, body::read(headers, body).await?).await,
            ("update", Some(scale @ Subresource::Scale { .. })) => {
                self.scale(call, scale, Some((body::read(headers, body).await?, None))).await
            }
            ("update", None | Some(Subresource::Status | Subresource::Finalize | Subresource::Approval)) => {
                self.update(call, body::read(headers, body).await?).await
            }
            (
                "patch",
                part @ (None | Some(Subresource::Status | Subresource::Approval | Subresource::Scale { .. })),
            ) => {
                let kind = body::patch_kind(headers)?;
                if kind == PatchKind::Apply && query.get("fieldManager").is_none() {
                    return Err(Failure::bad_request(
                        "PatchOptions.meta.k8s.io \"\" is invalid: fieldManager: Required value: is required for apply patch",
                    ));
                }
                let body = body::read(headers, body).await?;
                match part {
                    Some(scale @ Subresource::Scale { .. }) => self.scale(call, scale, Some((body, Some(kind)))).await,
                    _ => self.patch(call, kind, &body).await,
                }
            }
            ("delete", None) => {
                let body = body::read(headers, body).await?;
                let deletion = Deletion::parse(query, &body)?;
                let options = Options { dry_run: deletion.dry_run, ..options.clone() };
                self.delete(Call { options: &options, ..call }, &deletion).await
            }
            _ => Err(Failure::method_not_allowed()),
        }
    }

    async fn delete_collection(&self, asked: Asked<'_>, body: Body) -> Result<Response<Body>, Failure> {
        let Asked { user, resource, info, query, headers } = asked;
        let body = body::read(headers, body).await?;
        let deletion = Deletion::parse(query, &body)?;
        let options = Options { dry_run: deletion.dry_run, ..Options::parse(query, headers)? };
        let list = self.list(resource, info, query, Form::Whole)?;
        let bytes = axum::body::to_bytes(list.into_body(), usize::MAX)
            .await
            .map_err(|error| Failure::internal(error.to_string()))?;
        let list: serde_json::Value =
            serde_json::from_slice(&bytes).map_err(|error| Failure::internal(error.to_string()))?;
        for item in list["items"].as_array().into_iter().flatten() {
            let metadata = &item["metadata"];
            let one = Info {
                verb: "delete",
                name: metadata["name"].as_str().unwrap_or_default().to_owned(),
                namespace: metadata["namespace"].as_str().unwrap_or_default().to_owned(),
                ..info.clone()
            };
            match self.delete(Call { user, resource, info: &one, options: &options }, &deletion).await {
                Err(failure) if failure.code != StatusCode::NOT_FOUND => return Err(failure),
                _ => {}
            }
        }
        Ok(respond(StatusCode::OK, bytes))
    }
}

/// A request for a kind's objects, after its path was read.
#[derive(Clone, Copy)]
struct Asked<'a> {
    user: &'a User,
    resource: &'a Arc<Resource>,
    info: &'a Info,
    query: &'a Query,
    headers: &'a HeaderMap,
}

impl Asked<'_> {
    /// Custom kinds have no binary form; a `Scale` and the options of a delete have, whatever they are for.
    fn refuse_binary_custom(&self) -> Result<(), Failure> {
        if self.resource.custom
            && matches!(self.info.verb, "create" | "update")
            && self.info.subresource != "scale"
            && body::media_type(self.headers) == schema::wire::MEDIA_TYPE
        {
            return Err(Failure::unsupported_media(schema::wire::MEDIA_TYPE, body::TEXT_TYPES));
        }
        Ok(())
    }
}

/// Checks that a path fits its kind's scope; what lives in no namespace is in none.
fn placed(resource: &Resource, info: Info) -> Result<Info, Failure> {
    if resource.namespaced && info.namespace.is_empty() && !matches!(info.verb, "list" | "watch") {
        return Err(Failure::method_not_allowed());
    }
    if !resource.namespaced && !info.namespace.is_empty() && info.resource != "namespaces" {
        return Err(Failure::no_such_path());
    }
    Ok(Info { namespace: if resource.namespaced { info.namespace } else { String::new() }, ..info })
}

fn encode(resource: &Resource, form: Form, written: Written) -> Response<Body> {
    let object = match written.object["kind"].as_str() {
        Some("Status" | "Scale" | "TokenRequest") => written.object,
        _ => table::one(form, resource, written.object, base::clock::now()),
    };
    let mut response = respond(written.code, object.to_string());
    for warning in written.warnings {
        let text: String = warning.chars().filter(|c| c.is_ascii() && !c.is_ascii_control()).collect();
        let text = text.replace('\\', "\\\\").replace('"', "\\\"");
        if let Ok(value) = HeaderValue::from_str(&format!("299 - \"{text}\"")) {
            response.headers_mut().append(header::WARNING, value);
        }
    }
    response
}

/// Returns a failure as the answer that tells it.
fn refuse(failure: &Failure) -> Response<Body> {
    let mut response = respond(failure.code, failure.to_json().to_string());
    if let Some(seconds) = failure.retry_after {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

/// Returns a JSON answer.
pub(crate) fn respond(code: StatusCode, body: impl Into<Bytes>) -> Response<Body> {
    let mut response = Response::new(Body::from(body.into()));
    *response.status_mut() = code;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache, private"));
    response
}
