//! What a request asks for: verb, kind, namespace, name, subresource and options,
//! read from method, path and query as Kubernetes reads them.

use std::time::Duration;

use http::Method;

use crate::status::Failure;

/// A request for a kind's objects.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Info {
    /// `get`, `list`, `watch`, `create`, `update`, `patch`, `delete`, `deletecollection`.
    pub verb: &'static str,
    /// API group; empty for the core group.
    pub group: String,
    /// Version.
    pub version: String,
    /// Plural name of the kind.
    pub resource: String,
    /// Subresource, or empty.
    pub subresource: String,
    /// Namespace, or empty.
    pub namespace: String,
    /// Object name, or empty.
    pub name: String,
    /// Of a proxied request, what follows in its path, as it was sent.
    pub rest: String,
}

/// The subresources whose answers take as long as somebody at the other end wants.
const HANDED_ON: [&str; 4] = ["attach", "exec", "portforward", "proxy"];

impl Info {
    /// Returns whether the request is handed on to somebody else, who takes the time that it takes.
    pub(crate) fn is_handed_on(&self) -> bool {
        HANDED_ON.contains(&self.subresource.as_str())
    }
}

/// What a path leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// Objects of a kind.
    Objects(Info),
    /// Something else: discovery, health, version.
    Path,
}

/// Query parameters.
#[derive(Clone, Debug, Default)]
pub(crate) struct Query(Vec<(String, String)>);

impl Query {
    /// Reads a query string; the first of several values counts.
    pub(crate) fn parse(query: Option<&str>) -> Query {
        let decode = |text: &str| percent_decode(&text.replace('+', " "));
        Query(
            query
                .unwrap_or_default()
                .split('&')
                .filter(|pair| !pair.is_empty())
                .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
                .map(|(key, value)| (decode(key), decode(value)))
                .collect(),
        )
    }

    /// Returns a parameter that is there and not empty.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.first(name).filter(|value| !value.is_empty())
    }

    /// Returns a switch: on when it is there and says neither `false` nor `0`.
    pub(crate) fn flag(&self, name: &str) -> bool {
        self.first(name).is_some_and(|value| value != "0" && !value.eq_ignore_ascii_case("false"))
    }

    /// Returns whether a parameter is there, whatever it says.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.first(name).is_some()
    }

    /// Returns every value of a parameter that may be given several times.
    pub(crate) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    fn first(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// Returns a whole number.
    pub(crate) fn number(&self, name: &str) -> Result<Option<i64>, Failure> {
        self.first(name)
            .map(|value| {
                let invalid = || Failure::bad_request(format!("strconv.ParseInt: parsing {value:?}: invalid syntax"));
                value.parse().map_err(|_| invalid())
            })
            .transpose()
    }

    /// Adds a parameter.
    pub(crate) fn push(&mut self, name: &str, value: &str) {
        self.0.push((name.to_owned(), value.to_owned()));
    }

    /// Returns all parameters as a query string, in the order in which they were given.
    pub(crate) fn in_order(&self) -> String {
        let pairs = self.0.iter().map(|(key, value)| format!("{}={}", percent_encode(key), percent_encode(value)));
        pairs.collect::<Vec<_>>().join("&")
    }

    /// Returns all parameters as a query string.
    pub(crate) fn encode(&self) -> String {
        let mut pairs: Vec<String> =
            self.0.iter().map(|(key, value)| format!("{}={}", percent_encode(key), percent_encode(value))).collect();
        pairs.sort();
        pairs.join("&")
    }
}

/// Reads a time as Go writes it: `1h2m3.5s`, `300ms`, `0`. What is wrong is said as Go says it.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let invalid = || format!("time: invalid duration {text:?}");
    let mut rest = text.strip_prefix('+').unwrap_or(text);
    if rest == "0" {
        return Ok(Duration::ZERO);
    }
    if rest.is_empty() {
        return Err(invalid());
    }
    let mut seconds = 0.0;
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let number: f64 = rest[..end].parse().map_err(|_| invalid())?;
        let after = &rest[end..];
        let unit_end = after.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(after.len());
        let unit = &after[..unit_end];
        if unit.is_empty() {
            return Err(format!("time: missing unit in duration {text:?}"));
        }
        let known = [("ns", 1e-9), ("us", 1e-6), ("µs", 1e-6), ("ms", 1e-3), ("h", 3600.0), ("m", 60.0), ("s", 1.0)];
        let (_, length) = known
            .into_iter()
            .find(|(known, _)| *known == unit)
            .ok_or_else(|| format!("time: unknown unit {unit:?} in duration {text:?}"))?;
        seconds += number * length;
        rest = &after[unit_end..];
    }
    Duration::try_from_secs_f64(seconds).map_err(|_| invalid())
}

/// Decodes `%XX`; what is not UTF-8 is replaced.
pub(crate) fn percent_decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let byte = (bytes[at] == b'%')
            .then(|| text.get(at + 1..at + 3))
            .flatten()
            .and_then(|hex| u8::from_str_radix(hex, 16).ok());
        if let Some(byte) = byte {
            out.push(byte);
            at += 3;
        } else {
            out.push(bytes[at]);
            at += 1;
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

fn percent_encode(text: &str) -> String {
    text.bytes().fold(String::new(), |mut out, byte| {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            out.push(byte as char);
        } else {
            out.push('%');
            out.push_str(&hex::encode_upper([byte]));
        }
        out
    })
}

/// Reads method, path and query. A path that is malformed is an error, one that is unknown is [`Target::Path`].
pub(crate) fn parse(method: &Method, path: &str, query: &Query) -> Target {
    let parts: Vec<String> = path.trim_matches('/').split('/').map(percent_decode).collect();
    let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
    let (group, version, rest) = match parts.as_slice() {
        ["api", version, rest @ ..] if !rest.is_empty() => ("", *version, rest),
        ["apis", group, version, rest @ ..] if !rest.is_empty() => (*group, *version, rest),
        _ => return Target::Path,
    };
    let mut info = Info { group: group.to_owned(), version: version.to_owned(), ..Info::default() };
    // The older way to ask for a watch.
    let (rest, watches) = match rest {
        ["watch", inner @ ..] if !inner.is_empty() && method == Method::GET => (inner, true),
        _ => (rest, false),
    };
    let rest = match rest {
        // `namespaces/x` and its subresources are the Namespace itself.
        ["namespaces", _] | ["namespaces", _, "status" | "finalize"] if group.is_empty() => rest,
        ["namespaces", namespace, inner @ ..] if !inner.is_empty() => {
            (*namespace).clone_into(&mut info.namespace);
            inner
        }
        _ => rest,
    };
    match rest {
        [resource] => (*resource).clone_into(&mut info.resource),
        [resource, name] => {
            (*resource).clone_into(&mut info.resource);
            (*name).clone_into(&mut info.name);
        }
        [resource, name, subresource] => {
            (*resource).clone_into(&mut info.resource);
            (*name).clone_into(&mut info.name);
            (*subresource).clone_into(&mut info.subresource);
        }
        [resource, name, "proxy", ..] => {
            (*resource).clone_into(&mut info.resource);
            (*name).clone_into(&mut info.name);
            "proxy".clone_into(&mut info.subresource);
            // As many slashes come before it as before the name and the word, and one more.
            let before = parts.len() - rest.len() + 3;
            let inner = path.trim_start_matches('/').splitn(before + 1, '/').nth(before);
            inner.unwrap_or_default().clone_into(&mut info.rest);
        }
        _ => return Target::Path,
    }
    if info.subresource == "proxy" && info.rest.is_empty() && path.ends_with('/') {
        "/".clone_into(&mut info.rest);
    } else if !info.rest.is_empty() {
        info.rest.insert(0, '/');
    }
    if info.resource == "namespaces" && info.group.is_empty() && info.namespace.is_empty() {
        info.namespace.clone_from(&info.name);
    }
    let one = !info.name.is_empty();
    info.verb = match (method.as_str(), one) {
        ("GET", _) if watches => "watch",
        // One object is read, whatever else is asked.
        ("GET" | "HEAD", true) => "get",
        ("GET", false) if query.flag("watch") => "watch",
        ("GET" | "HEAD", false) => "list",
        ("POST", _) => "create",
        ("PUT", _) => "update",
        ("PATCH", _) => "patch",
        ("DELETE", true) => "delete",
        ("DELETE", false) => "deletecollection",
        // A server behind it may know other methods; no role but one for every verb allows them.
        _ => "",
    };
    Target::Objects(info)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(method: &str, path: &str, query: &str, expected: &str) {
        let shown = match parse(&method.parse().unwrap(), path, &Query::parse(Some(query))) {
            Target::Objects(info) => format!(
                "{} {}/{} {}/{} ns={} name={}",
                info.verb, info.group, info.version, info.resource, info.subresource, info.namespace, info.name
            ),
            Target::Path => "path".to_owned(),
        };
        assert_eq!(shown, expected);
    }

    #[test]
    fn paths_are_read_as_kubernetes_reads_them() {
        check("GET", "/api/v1/pods", "", "list /v1 pods/ ns= name=");
        check("GET", "/api/v1/namespaces/a/pods/b/log", "", "get /v1 pods/log ns=a name=b");
        check("GET", "/apis/apps/v1/namespaces/a/deployments", "watch=true", "watch apps/v1 deployments/ ns=a name=");
        check("GET", "/api/v1/namespaces", "", "list /v1 namespaces/ ns= name=");
        check("PUT", "/api/v1/namespaces/a/finalize", "", "update /v1 namespaces/finalize ns=a name=a");
        check("DELETE", "/apis/g.x/v1/things", "", "deletecollection g.x/v1 things/ ns= name=");
        check("PUT", "/api/v1/pods", "", "update /v1 pods/ ns= name=");
        check("GET", "/apis/apps/v1", "", "path");
        check("GET", "/healthz", "", "path");
        check("GET", "/api/v1/watch/namespaces/a/pods/b", "", "watch /v1 pods/ ns=a name=b");
        check("HEAD", "/api/v1/pods", "", "list /v1 pods/ ns= name=");
        check("HEAD", "/api/v1/nodes/n/proxy", "", "get /v1 nodes/proxy ns= name=n");
        check("OPTIONS", "/api/v1/nodes/n:80/proxy/", "", " /v1 nodes/proxy ns= name=n:80");
    }

    #[test]
    fn a_proxied_path_is_kept_as_it_was_sent() {
        for (path, rest) in [
            ("/api/v1/namespaces/a/pods/b/proxy", ""),
            ("/api/v1/namespaces/a/pods/b/proxy/", "/"),
            ("/api/v1/namespaces/a/services/http:b:80/proxy/x//y%20z/", "/x//y%20z/"),
            ("/api/v1/nodes/n/proxy/pods", "/pods"),
        ] {
            let Target::Objects(info) = parse(&Method::GET, path, &Query::default()) else { panic!("{path}") };
            assert_eq!((info.subresource.as_str(), info.rest.as_str()), ("proxy", rest), "{path}");
        }
    }

    #[test]
    fn times_are_read_as_go_writes_them() {
        let seconds = |text: &str| duration(text).ok().map(|time| time.as_secs_f64());
        assert_eq!(seconds("1h2m3.5s"), Some(3723.5));
        assert_eq!((seconds("300ms"), seconds("0"), seconds("1m")), (Some(0.3), Some(0.0), Some(60.0)));
        for text in ["", "5", "s", "1x", "-1s", "1s2"] {
            assert_eq!(seconds(text), None, "{text:?}");
        }
        for (text, why) in
            [("x", "invalid duration"), ("5", "missing unit in duration"), ("1x", "unknown unit \"x\" in duration")]
        {
            assert_eq!(duration(text), Err(format!("time: {why} {text:?}")));
        }
    }

    #[test]
    fn queries_are_decoded() {
        let query = Query::parse(Some("labelSelector=a%3Db%2Cc&watch=1&x=a+b&limit=5"));
        assert_eq!(query.get("labelSelector"), Some("a=b,c"));
        assert_eq!(query.get("x"), Some("a b"));
        assert!(query.flag("watch"));
        assert_eq!(query.number("limit").unwrap(), Some(5));
    }
}
