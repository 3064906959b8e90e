//! What becomes of a path or a URL.

use crate::{
    matching::PathMatch,
    snapshot::{PathRewrite, Redirect, Scheme},
};

/// Returns the path that a rewrite makes of `path`, which `matched` matched.
pub fn rewritten_path(matched: &PathMatch, rewrite: &PathRewrite, path: &str) -> String {
    let replacement = match rewrite {
        PathRewrite::Full(path) => return path.clone(),
        PathRewrite::Prefix(replacement) => replacement,
    };
    match matched {
        PathMatch::Text(prefix) => {
            rooted(format!("{replacement}{}", path.strip_prefix(prefix.as_str()).unwrap_or_default()))
        }
        PathMatch::Elements(prefix) => {
            let prefix = prefix.strip_suffix('/').unwrap_or(prefix);
            let rest = path.strip_prefix(prefix).unwrap_or_default();
            let head = replacement.strip_suffix('/').unwrap_or(replacement);
            rooted(format!("{head}{rest}"))
        }
        PathMatch::Exact(_) | PathMatch::Regex(_) => rooted(replacement.clone()),
    }
}

fn rooted(path: String) -> String {
    if path.starts_with('/') { path } else { format!("/{path}") }
}

/// A URL in parts: where a request was sent.
#[derive(Clone, Copy, Debug)]
pub struct Target<'a> {
    /// Scheme.
    pub scheme: Scheme,
    /// Host without port.
    pub host: &'a str,
    /// The listener's port.
    pub port: u16,
    /// Path.
    pub path: &'a str,
    /// What stands behind `?`.
    pub query: Option<&'a str>,
}

/// Returns the `Location` of a redirect.
///
/// A scheme without a port means the scheme's own port; neither means the listener's.
pub fn redirect_location(matched: &PathMatch, redirect: &Redirect, asked: Target<'_>) -> String {
    let scheme = redirect.scheme.unwrap_or(asked.scheme);
    let port = match (redirect.port, redirect.scheme) {
        (Some(port), _) => port,
        (None, Some(scheme)) => scheme.default_port(),
        (None, None) => asked.port,
    };
    let host = redirect.host.as_deref().unwrap_or(asked.host);
    let path = redirect
        .path
        .as_ref()
        .map_or_else(|| asked.path.to_owned(), |rewrite| rewritten_path(matched, rewrite, asked.path));
    let mut location = format!("{}://{host}", scheme.as_str());
    if port != scheme.default_port() {
        location.push(':');
        location.push_str(&port.to_string());
    }
    location.push_str(&path);
    if let Some(query) = asked.query {
        location.push('?');
        location.push_str(query);
    }
    location
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_is_replaced_by_elements() {
        // The examples of the Gateway API specification.
        for (path, prefix, replacement, wanted) in [
            ("/foo/bar", "/foo", "/xyz", "/xyz/bar"),
            ("/foo/bar", "/foo", "/xyz/", "/xyz/bar"),
            ("/foo/bar", "/foo/", "/xyz", "/xyz/bar"),
            ("/foo/bar", "/foo/", "/xyz/", "/xyz/bar"),
            ("/foo", "/foo", "/xyz", "/xyz"),
            ("/foo/", "/foo", "/xyz", "/xyz/"),
            ("/foo/bar", "/foo", "/", "/bar"),
            ("/foo/bar", "/foo", "", "/bar"),
            ("/foo/", "/foo", "/", "/"),
            ("/foo", "/foo", "/", "/"),
        ] {
            let matched = PathMatch::Elements(prefix.into());
            assert_eq!(
                rewritten_path(&matched, &PathRewrite::Prefix(replacement.into()), path),
                wanted,
                "{path} {prefix} {replacement}"
            );
        }
        let text = PathMatch::Text("/api/v1/users".into());
        assert_eq!(rewritten_path(&text, &PathRewrite::Prefix("/users".into()), "/api/v1/users/7"), "/users/7");
        assert_eq!(rewritten_path(&text, &PathRewrite::Full("/x".into()), "/api/v1/users/7"), "/x");
    }

    #[test]
    fn a_redirect_keeps_what_it_does_not_name() {
        let redirect = |scheme, host: Option<&str>, port| Redirect {
            scheme,
            host: host.map(str::to_owned),
            port,
            path: None,
            status: 301,
        };
        let asked = Target { scheme: Scheme::Http, host: "a.b", port: 8080, path: "/x", query: Some("q=1") };
        let all = PathMatch::Elements("/".into());
        for (redirect, wanted) in [
            (redirect(Some(Scheme::Https), None, None), "https://a.b/x?q=1"),
            (redirect(Some(Scheme::Https), None, Some(8443)), "https://a.b:8443/x?q=1"),
            (redirect(None, Some("c.d"), None), "http://c.d:8080/x?q=1"),
            (redirect(None, None, Some(80)), "http://a.b/x?q=1"),
        ] {
            assert_eq!(redirect_location(&all, &redirect, asked), wanted);
        }
    }
}
