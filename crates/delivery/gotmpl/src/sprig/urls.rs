//! `urlParse` and `urlJoin`: Go's `net/url`.

use std::fmt::Write as _;

use super::text;
use crate::{Value, gofmt::quote, template::Funcs};

pub(super) fn add(funcs: &mut Funcs) {
    funcs.add("urlParse", "s", |args| {
        let whole = text(&args[0]);
        parse(whole).map_err(|why| format!("unable to parse url: parse {}: {why}", quote(whole)))
    });
    funcs.add("urlJoin", "m", join);
}

/// What has to be escaped depends on where it stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Path,
    Fragment,
    User,
}

fn keeps(byte: u8, part: Part) -> bool {
    byte.is_ascii_alphanumeric()
        || b"-_.~$&+=:@".contains(&byte) && !(part == Part::User && b":@".contains(&byte))
        || match part {
            Part::Path => b"/;,".contains(&byte),
            Part::Fragment => b"/;,?!()*".contains(&byte),
            Part::User => b";,".contains(&byte),
        }
}

fn escape(text: &str, part: Part) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if keeps(byte, part) {
            out.push(char::from(byte));
        } else {
            let _infallible = write!(out, "%{byte:02X}");
        }
    }
    out
}

fn unescape(text: &str) -> Result<String, String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        if *first != b'%' {
            bytes.push(*first);
            rest = after;
            continue;
        }
        let digits = after.get(..2).and_then(|two| std::str::from_utf8(two).ok());
        let Some(byte) = digits.and_then(|two| u8::from_str_radix(two, 16).ok()) else {
            let shown = &rest[..rest.len().min(3)];
            return Err(format!("invalid URL escape {}", quote(&String::from_utf8_lossy(shown))));
        };
        bytes.push(byte);
        rest = &after[2..];
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Splits `scheme:` off.
fn scheme(text: &str) -> Result<(String, &str), String> {
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' => {}
            b'0'..=b'9' | b'+' | b'-' | b'.' if at > 0 => {}
            b':' if at == 0 => return Err("missing protocol scheme".to_owned()),
            b':' => return Ok((text[..at].to_lowercase(), &text[at + 1..])),
            _ => break,
        }
    }
    Ok((String::new(), text))
}

fn parse(whole: &str) -> Result<Value, String> {
    if whole.bytes().any(|byte| byte < 0x20 || byte == 0x7f) {
        return Err("net/url: invalid control character in URL".to_owned());
    }
    let (rest, fragment) = whole.split_once('#').unwrap_or((whole, ""));
    let (scheme, rest) = scheme(rest)?;
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (mut opaque, mut userinfo, mut host, mut path) = ("", "", String::new(), rest);
    if !rest.starts_with('/') && !scheme.is_empty() {
        (opaque, path) = (rest, "");
    } else if !rest.starts_with('/') && rest.split('/').next().is_some_and(|segment| segment.contains(':')) {
        return Err("first path segment in URL cannot contain colon".to_owned());
    } else if let Some(authority) = rest.strip_prefix("//").filter(|_| !scheme.is_empty() || !rest.starts_with("///")) {
        let at = authority.find('/').unwrap_or(authority.len());
        let (whole_host, after) = authority.split_at(at);
        path = after;
        let (user, named) = whole_host.rsplit_once('@').unwrap_or(("", whole_host));
        userinfo = user;
        host = self::host(named)?;
    }
    let path = unescape(path)?;
    let hostname = match host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((inner, _)) => inner.to_owned(),
        None => host.split_once(':').map_or(host.as_str(), |(name, _)| name).to_owned(),
    };
    let fragment = unescape(fragment)?;
    let parts = [
        ("scheme", scheme.as_str()),
        ("host", &host),
        ("hostname", &hostname),
        ("path", &path),
        ("query", query),
        ("opaque", opaque),
        ("fragment", &fragment),
        ("userinfo", userinfo),
    ];
    Ok(Value::pairs(parts.map(|(key, value)| (key, Value::str(value)))))
}

fn host(host: &str) -> Result<String, String> {
    let port = if host.starts_with('[') {
        let Some((_, port)) = host.rsplit_once(']') else { return Err("missing ']' in host".to_owned()) };
        port
    } else {
        host.rfind(':').map_or("", |at| &host[at..])
    };
    let digits = port.strip_prefix(':');
    if !port.is_empty() && !digits.is_some_and(|digits| digits.bytes().all(|byte| byte.is_ascii_digit())) {
        return Err(format!("invalid port {} after host", quote(port)));
    }
    if let Some(odd) = host.bytes().find(|byte| b" <>\"\\^`{|}".contains(byte)) {
        return Err(format!("invalid character {} in host name", quote(&char::from(odd).to_string())));
    }
    if host.starts_with('[') { Ok(host.to_owned()) } else { unescape(host) }
}

fn join(args: &[Value]) -> Result<Value, String> {
    let part = |key: &str| match args[0].get(key) {
        None => Ok(String::new()),
        Some(Value::Str(text)) => Ok(text.to_string()),
        Some(other) => Err(format!("unable to parse {key} key, must be of type string, but {} found", other.kind())),
    };
    let (scheme, host, path) = (part("scheme")?, part("host")?, part("path")?);
    let (query, opaque, fragment, userinfo) = (part("query")?, part("opaque")?, part("fragment")?, part("userinfo")?);
    let mut url = String::new();
    if !scheme.is_empty() {
        url.push_str(&scheme);
        url.push(':');
    }
    if opaque.is_empty() {
        if !scheme.is_empty() || !host.is_empty() || !userinfo.is_empty() {
            if !host.is_empty() || !path.is_empty() || !userinfo.is_empty() {
                url.push_str("//");
            }
            if !userinfo.is_empty() {
                let (user, password) = userinfo.split_once(':').map_or((&*userinfo, None), |(u, p)| (u, Some(p)));
                url.push_str(&escape(user, Part::User));
                if let Some(password) = password {
                    url.push(':');
                    url.push_str(&escape(password, Part::User));
                }
                url.push('@');
            }
            url.push_str(&host);
        }
        if !path.is_empty() && !path.starts_with('/') && !host.is_empty() {
            url.push('/');
        }
        url.push_str(&escape(&path, Part::Path));
    } else {
        url.push_str(&opaque);
    }
    if !query.is_empty() {
        let _infallible = write!(url, "?{query}");
    }
    if !fragment.is_empty() {
        let _infallible = write!(url, "#{}", escape(&fragment, Part::Fragment));
    }
    Ok(Value::str(url))
}
