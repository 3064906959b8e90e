//! Health by named checks, and the figures: `/livez`, `/readyz`, `/healthz`, `/metrics`.

use std::collections::BTreeMap;

use axum::body::Body;
use http::{HeaderValue, Response, StatusCode, header};

use crate::{request::Query, server::Server, status::Failure};

/// A check's name, and why it fails.
type Check = (&'static str, Option<String>);

impl Server {
    /// Answers a path of health: all checks of `/livez`, `/readyz` or `/healthz`, or one of them by name.
    pub(crate) fn health(&self, path: &str, query: &Query) -> Option<Result<Response<Body>, Failure>> {
        let (endpoint, one) = path.trim_start_matches('/').split_once('/').unwrap_or((&path[1..], ""));
        if !matches!(endpoint, "livez" | "readyz" | "healthz") {
            return None;
        }
        let mut checks = self.checks(endpoint == "readyz");
        if !one.is_empty() {
            checks.retain(|(name, _)| *name == one);
            if checks.is_empty() {
                return Some(Err(Failure::no_such_page()));
            }
            // One check by its name says no more than how it went.
            let (code, text) = match &checks[0].1 {
                None => (StatusCode::OK, "ok".to_owned()),
                Some(why) => (StatusCode::INTERNAL_SERVER_ERROR, format!("internal server error: {why}\n")),
            };
            return Some(Ok(plain(code, text)));
        }
        let excluded: Vec<&str> = query.all("exclude").collect();
        Some(Ok(report(endpoint, &checks, &excluded, query.has("verbose"))))
    }

    fn checks(&self, ready: bool) -> Vec<Check> {
        let starting = (!self.has_started()).then(|| "not finished".to_owned());
        let mut checks = vec![
            ("ping", None),
            ("log", None),
            // Kubernetes' name for the store, which probes and dashboards know.
            ("etcd", self.store().trouble()),
            ("poststarthook/rbac/bootstrap-roles", starting),
        ];
        if ready {
            let stopping = self.stop().is_cancelled().then(|| "process is shutting down".to_owned());
            checks.push(("shutdown", stopping));
        }
        checks
    }

    /// Returns the figures in Prometheus' text form.
    pub(crate) fn measured(&self) -> Response<Body> {
        let served = self.served();
        let snapshot = self.store().snapshot();
        let mut objects: BTreeMap<(String, String), usize> = BTreeMap::new();
        for resource in served.registry.all().filter(|resource| resource.review.is_none()) {
            let count = snapshot.range(&resource.prefix(), None).count();
            objects.insert((resource.gvk.group.clone(), resource.plural.clone()), count);
        }
        let mut response = plain(StatusCode::OK, self.metrics().render(&objects, &self.fair().figures()));
        let media = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
        response.headers_mut().insert(header::CONTENT_TYPE, media);
        response
    }
}

/// Says how all checks went; those that are excluded count as well.
fn report(endpoint: &str, checks: &[Check], excluded: &[&str], verbose: bool) -> Response<Body> {
    let mut failed = false;
    let mut lines: Vec<String> = Vec::new();
    for (name, why) in checks {
        lines.push(match why {
            _ if excluded.contains(name) => format!("[+]{name} excluded: ok\n"),
            None => format!("[+]{name} ok\n"),
            // Why is for the log: anybody may ask.
            Some(why) => {
                failed = true;
                tracing::warn!(check = name, reason = why, "a health check failed");
                format!("[-]{name} failed: reason withheld\n")
            }
        });
    }
    let unknown: Vec<String> = excluded
        .iter()
        .filter(|excluded| checks.iter().all(|(name, _)| name != *excluded))
        .map(|name| format!("{name:?}"))
        .collect();
    if !unknown.is_empty() {
        let names = unknown.join(",");
        lines.push(format!("warn: some health checks cannot be excluded: no matches for {names}\n"));
    }
    let text = lines.concat();
    if failed {
        return plain(StatusCode::INTERNAL_SERVER_ERROR, format!("{text}{endpoint} check failed\n"));
    }
    plain(StatusCode::OK, if verbose { format!("{text}{endpoint} check passed\n") } else { "ok".to_owned() })
}

/// Returns a page of text.
pub(crate) fn plain(code: StatusCode, text: String) -> Response<Body> {
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = code;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn said(checks: &[Check], excluded: &[&str], verbose: bool) -> (u16, String) {
        let response = report("readyz", checks, excluded, verbose);
        let code = response.status().as_u16();
        let bytes = axum::body::to_bytes(response.into_body(), 1 << 16).await.unwrap();
        (code, String::from_utf8(bytes.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn a_failed_check_is_named_and_may_be_excluded() {
        let checks = [("ping", None), ("etcd", Some("disk full".to_owned()))];
        assert_eq!(
            said(&checks, &[], false).await,
            (500, "[+]ping ok\n[-]etcd failed: reason withheld\nreadyz check failed\n".into())
        );
        assert_eq!(
            said(&checks, &["etcd"], true).await,
            (200, "[+]ping ok\n[+]etcd excluded: ok\nreadyz check passed\n".into())
        );
        assert_eq!(said(&checks[..1], &[], false).await, (200, "ok".into()));
        assert!(said(&checks[..1], &["x"], true).await.1.contains("no matches for \"x\""));
    }
}
