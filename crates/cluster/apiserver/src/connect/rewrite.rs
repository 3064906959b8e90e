//! Links in what a proxied server answers: those that lead to the server itself are made
//! to lead through the proxy. Pure.

use std::borrow::Cow;

/// The attributes that hold links, by their elements.
const LINKS: &[(&str, &[&str])] = &[
    ("a", &["href"]),
    ("applet", &["codebase"]),
    ("area", &["href"]),
    ("audio", &["src"]),
    ("base", &["href"]),
    ("blockquote", &["cite"]),
    ("body", &["background"]),
    ("button", &["formaction"]),
    ("command", &["icon"]),
    ("del", &["cite"]),
    ("embed", &["src"]),
    ("form", &["action"]),
    ("frame", &["longdesc", "src"]),
    ("head", &["profile"]),
    ("html", &["manifest"]),
    ("iframe", &["longdesc", "src"]),
    ("img", &["longdesc", "src", "usemap"]),
    ("input", &["src", "usemap", "formaction"]),
    ("ins", &["cite"]),
    ("link", &["href"]),
    ("object", &["classid", "codebase", "data", "usemap"]),
    ("q", &["cite"]),
    ("script", &["src"]),
    ("source", &["src"]),
    ("video", &["poster", "src"]),
];

/// Elements whose content is no markup.
const RAW: &[&str] = &["iframe", "noembed", "noframes", "noscript", "script", "style", "textarea", "title", "xmp"];

/// What a link is held against.
pub(super) struct Way<'a> {
    /// The path that leads to the server, without a slash at its end.
    pub(super) prefix: &'a str,
    /// The server's own host and port.
    pub(super) server: &'a str,
    /// The host that the client asked for.
    pub(super) asked: &'a str,
}

impl Way<'_> {
    /// Returns a link as the client has to follow it.
    pub(super) fn link<'l>(&self, link: &'l str) -> Cow<'l, str> {
        let (host, rest) = split(link);
        let elsewhere = host.is_some_and(|(_, host)| host != self.server && host != self.asked);
        if elsewhere || !rest.starts_with('/') {
            return Cow::Borrowed(link);
        }
        let base = match host {
            Some((whole, host)) if host == self.asked => whole,
            _ => "",
        };
        let end = rest.find(['?', '#']).unwrap_or(rest.len());
        let (path, query) = rest.split_at(end);
        if path.starts_with(self.prefix) {
            return Cow::Owned(format!("{base}{rest}"));
        }
        let mut joined = clean(&format!("{}/{path}", self.prefix));
        if path.ends_with('/') && !joined.ends_with('/') {
            joined.push('/');
        }
        Cow::Owned(format!("{base}{joined}{query}"))
    }

    /// Returns a page with its links as the client has to follow them.
    pub(super) fn page(&self, page: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(page.len() + 256);
        let mut rest = page;
        while let Some(at) = rest.iter().position(|byte| *byte == b'<') {
            let (before, from) = rest.split_at(at);
            out.extend_from_slice(before);
            rest = if from.starts_with(b"<!--") {
                copy_until(from, b"-->", &mut out)
            } else if from.get(1).is_some_and(u8::is_ascii_alphabetic) {
                self.element(from, &mut out)
            } else {
                out.push(b'<');
                &from[1..]
            };
        }
        out.extend_from_slice(rest);
        out
    }

    /// Copies an element's first tag, and its content if that is no markup; returns what follows.
    fn element<'p>(&self, from: &'p [u8], out: &mut Vec<u8>) -> &'p [u8] {
        let length = from[1..].iter().position(|byte| is_end_of_name(*byte)).unwrap_or(from.len() - 1);
        let name = String::from_utf8_lossy(&from[1..=length]).to_ascii_lowercase();
        let links = LINKS.iter().find(|(element, _)| *element == name).map_or(&[][..], |(_, links)| links);
        let (tag, mut rest) = from.split_at(length + 1);
        out.extend_from_slice(tag);
        loop {
            let Some(attribute) = Attribute::read(rest) else {
                let end = rest.iter().position(|byte| *byte == b'>').map_or(rest.len(), |at| at + 1);
                out.extend_from_slice(&rest[..end]);
                rest = &rest[end..];
                break;
            };
            let value = std::str::from_utf8(attribute.value).ok().filter(|value| !value.is_empty());
            match value {
                Some(value) if links.contains(&attribute.name.as_str()) => {
                    let plain = value.replace("&amp;", "&");
                    let link = self.link(&plain).replace('&', "&amp;").replace('"', "&#34;");
                    out.extend_from_slice(attribute.before);
                    out.extend_from_slice(format!("\"{link}\"").as_bytes());
                }
                _ => out.extend_from_slice(&rest[..attribute.length]),
            }
            rest = &rest[attribute.length..];
        }
        if RAW.contains(&name.as_str()) {
            let end = format!("</{name}");
            let at = rest.windows(end.len()).position(|part| part.eq_ignore_ascii_case(end.as_bytes()));
            let (content, after) = rest.split_at(at.unwrap_or(rest.len()));
            out.extend_from_slice(content);
            rest = after;
        }
        rest
    }
}

/// An attribute, with the space before it.
struct Attribute<'p> {
    name: String,
    /// Everything up to its value.
    before: &'p [u8],
    value: &'p [u8],
    /// How long all of it is, quotes included.
    length: usize,
}

impl<'p> Attribute<'p> {
    /// Reads the next attribute of a tag, or returns `None` at its end.
    fn read(rest: &'p [u8]) -> Option<Attribute<'p>> {
        let skip = |from: usize| rest[from..].iter().position(|byte| !is_space(*byte)).map(|at| from + at);
        let begin = rest.iter().position(|byte| !is_space(*byte) && *byte != b'/')?;
        if rest[begin] == b'>' {
            return None;
        }
        // A name may begin with any byte, an equals sign too.
        let name_end = rest[begin + 1..].iter().position(|byte| is_end_of_name(*byte) || *byte == b'=')? + begin + 1;
        let name = String::from_utf8_lossy(&rest[begin..name_end]).to_ascii_lowercase();
        let alone = |length| Some(Attribute { name: name.clone(), before: &rest[..length], value: &[], length });
        let Some(equals) = skip(name_end).filter(|at| rest[*at] == b'=') else { return alone(name_end) };
        let value = skip(equals + 1)?;
        let (from, end, length) = match rest[value] {
            quote @ (b'"' | b'\'') => {
                let end = rest[value + 1..].iter().position(|byte| *byte == quote)? + value + 1;
                (value + 1, end, end + 1)
            }
            b'>' => return alone(value),
            _ => {
                let end = rest[value..].iter().position(|byte| is_space(*byte) || *byte == b'>')? + value;
                (value, end, end)
            }
        };
        Some(Attribute { name, before: &rest[..value], value: &rest[from..end], length })
    }
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | 0x0c)
}

fn is_end_of_name(byte: u8) -> bool {
    is_space(byte) || matches!(byte, b'/' | b'>')
}

fn copy_until<'p>(from: &'p [u8], end: &[u8], out: &mut Vec<u8>) -> &'p [u8] {
    let at = from.windows(end.len()).position(|part| part == end).map_or(from.len(), |at| at + end.len());
    out.extend_from_slice(&from[..at]);
    &from[at..]
}

/// Splits a link into its scheme and host (with the host alone), if it has them, and the rest.
fn split(link: &str) -> (Option<(&str, &str)>, &str) {
    let authority = match link.find("://") {
        Some(at) if link[..at].bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte)) => at + 3,
        _ if link.starts_with("//") => 2,
        _ => return (None, link),
    };
    let end = link[authority..].find(['/', '?', '#']).map_or(link.len(), |at| authority + at);
    (Some((&link[..end], &link[authority..end])), &link[end..])
}

/// Returns a path without empty parts, `.` and `..`, as `path.Join` of Go does.
pub(super) fn clean(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    format!("/{}", parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const WAY: Way<'_> =
        Way { prefix: "/api/v1/namespaces/a/services/s/proxy", server: "10.0.0.1:80", asked: "localhost:8001" };

    #[test]
    fn links_to_the_server_lead_through_the_proxy() {
        let prefix = WAY.prefix;
        for (link, expected) in [
            ("/x/?q=/#f", format!("{prefix}/x/?q=/#f")),
            ("http://10.0.0.1:80/x", format!("{prefix}/x")),
            ("http://localhost:8001/x", format!("http://localhost:8001{prefix}/x")),
            ("http://elsewhere/x", "http://elsewhere/x".to_owned()),
            ("x/y", "x/y".to_owned()),
            ("#top", "#top".to_owned()),
            (&format!("{prefix}/x"), format!("{prefix}/x")),
            ("/../../x", format!("{prefix}/x").replace("/services/s/proxy", "/services")),
        ] {
            assert_eq!(WAY.link(link), expected, "{link}");
        }
    }

    #[test]
    fn a_pages_links_are_changed_and_nothing_else_is() {
        let prefix = WAY.prefix;
        let page = "<!DOCTYPE html><!-- <a href=\"/no\"> --><HTML><A class=x HREF='/a?b&amp;c'>/text</a>\
            <img src=/i.png alt=\"/alt\"><script src=\"/s.js\">\"<a href='/no'>\"</script><a href=rel><br/><p title='/t'>1 < 2";
        let expected = format!(
            "<!DOCTYPE html><!-- <a href=\"/no\"> --><HTML><A class=x HREF=\"{prefix}/a?b&amp;c\">/text</a>\
            <img src=\"{prefix}/i.png\" alt=\"/alt\"><script src=\"{prefix}/s.js\">\"<a href='/no'>\"</script><a href=\"rel\"><br/><p title='/t'>1 < 2"
        );
        assert_eq!(String::from_utf8(WAY.page(page.as_bytes())).unwrap(), expected);
    }

    #[test]
    fn a_page_that_is_cut_off_is_passed_on() {
        for page in ["<", "<a", "<a ", "<a href", "<a href=", "<a href='/x", "<script", "<!--", "<a =>", "<a / / >"] {
            assert_eq!(String::from_utf8(WAY.page(page.as_bytes())).unwrap(), page);
        }
    }

    #[test]
    fn paths_are_cleaned() {
        assert_eq!((clean("a//b/./c/../d").as_str(), clean("/../..").as_str()), ("/a/b/d", "/"));
    }
}
