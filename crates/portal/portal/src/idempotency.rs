//! `Idempotency-Key`: a write that is sent twice is done once.
//!
//! Answers are kept in memory, so a restart of the portal forgets them.

use std::{collections::HashMap, sync::Arc, time::Duration};

use axum::{
    body::{Body, Bytes, to_bytes},
    extract::{Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use parking_lot::Mutex;
use sha2::{Digest, Sha256};
use tokio::time::Instant;

use crate::{
    portal::{App, BODY_LIMIT},
    problem::Problem,
};

/// How long an answer is kept.
const KEPT: Duration = Duration::from_hours(24);
/// The most answers kept; beyond, the oldest is forgotten.
const MOST: usize = 1000;
/// The largest answer that is kept.
const LARGEST: usize = 256 << 10;

type Hash = [u8; 32];

#[derive(Clone)]
struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

struct Record {
    since: Instant,
    request: Hash,
    /// Absent while the first request is under way.
    answer: Option<Answer>,
}

/// The answers given so far, by caller and key.
#[derive(Default)]
pub(crate) struct Answers(Mutex<HashMap<Hash, Record>>);

/// Gives the kept answer if this caller has sent the same request under the same key before.
pub(crate) async fn once(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let Some(key) = request.headers().get("idempotency-key").cloned() else { return next.run(request).await };
    if request.method().is_safe() {
        return next.run(request).await;
    }
    let (parts, body) = request.into_parts();
    let Ok(body) = to_bytes(body, BODY_LIMIT).await else { return Problem::TooLarge.into_response() };
    let mut caller = Sha256::new();
    for name in [header::AUTHORIZATION, header::COOKIE] {
        caller.update(parts.headers.get(name).map_or(&[][..], HeaderValue::as_bytes));
        caller.update([0]);
    }
    caller.update(key.as_bytes());
    let caller: Hash = caller.finalize().into();
    let mut asked = Sha256::new();
    asked.update(parts.method.as_str());
    asked.update(parts.uri.to_string());
    asked.update(&body);
    let asked: Hash = asked.finalize().into();
    if let Some(response) = app.answers.begin(caller, asked) {
        return response;
    }
    let forget = Forget { answers: &app.answers, key: caller, armed: true };
    let response = next.run(Request::from_parts(parts, Body::from(body))).await;
    let (parts, body) = response.into_parts();
    match to_bytes(body, LARGEST).await {
        // A failure of ours may be tried again under the same key.
        Ok(body) if !parts.status.is_server_error() => {
            let answer = Answer { status: parts.status, headers: parts.headers.clone(), body: body.clone() };
            forget.keep(answer);
            Response::from_parts(parts, Body::from(body))
        }
        Ok(body) => Response::from_parts(parts, Body::from(body)),
        Err(error) => Problem::Internal(Box::new(error)).into_response(),
    }
}

/// Takes a record back unless its request has been answered, also if the caller goes away.
struct Forget<'a> {
    answers: &'a Answers,
    key: Hash,
    armed: bool,
}

impl Forget<'_> {
    fn keep(mut self, answer: Answer) {
        self.armed = false;
        if let Some(record) = self.answers.0.lock().get_mut(&self.key) {
            record.answer = Some(answer);
        }
    }
}

impl Drop for Forget<'_> {
    fn drop(&mut self) {
        if self.armed {
            self.answers.0.lock().remove(&self.key);
        }
    }
}

impl Answers {
    /// Returns the answer to give, or `None` if the request is to be done.
    fn begin(&self, key: Hash, request: Hash) -> Option<Response> {
        let mut records = self.0.lock();
        records.retain(|_, record| record.since.elapsed() < KEPT);
        if let Some(record) = records.get(&key) {
            if record.request != request {
                return Some(Problem::KeyReused.into_response());
            }
            return Some(match &record.answer {
                None => {
                    Problem::Conflict("a request with this Idempotency-Key is under way".to_owned()).into_response()
                }
                Some(answer) => {
                    let mut response = Response::new(Body::from(answer.body.clone()));
                    *response.status_mut() = answer.status;
                    *response.headers_mut() = answer.headers.clone();
                    response.headers_mut().insert("idempotency-replayed", HeaderValue::from_static("true"));
                    response
                }
            });
        }
        if records.len() >= MOST
            && let Some(oldest) = records.iter().min_by_key(|(_, record)| record.since).map(|(key, _)| *key)
        {
            records.remove(&oldest);
        }
        records.insert(key, Record { since: base::clock::instant(), request, answer: None });
        None
    }
}
