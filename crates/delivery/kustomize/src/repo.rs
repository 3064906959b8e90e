//! Addresses of repositories that bases are fetched from.

use std::time::Duration;

use crate::fail::{Cause, Fail, Step};

/// A folder of a repository at a revision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Repository {
    /// As it was written.
    pub raw: String,
    /// What `git` is told to fetch, for example `https://example.com/team/app`.
    pub url: String,
    /// The folder in it; nothing for its root.
    pub folder: String,
    /// Branch, tag or commit; nothing for the default branch.
    pub revision: String,
    /// How long fetching may take.
    pub timeout: Duration,
    /// Fetches submodules too.
    pub submodules: bool,
}

const SCHEMES: [&str; 4] = ["ssh://", "https://", "http://", "file://"];

impl Repository {
    /// Reads an address; `Err` says why it is none.
    pub(crate) fn read(raw: &str) -> Step<Self> {
        let no = |text: String| Err(Fail::new(Cause::Remote, text));
        if raw.starts_with('/') {
            return no(format!("uri looks like abs path: {raw}"));
        }
        let (address, query) = raw.split_once('?').unwrap_or((raw, ""));
        let mut read = Self {
            raw: raw.to_owned(),
            url: String::new(),
            folder: String::new(),
            revision: String::new(),
            timeout: Duration::from_secs(27),
            submodules: true,
        };
        read.query(query);
        let (host, rest) = host(address)?;
        let Some((repository, folder)) = parts(&rest, host.starts_with("file://")) else {
            return no("failed to parse repo path segment".to_owned());
        };
        if repository.is_empty() {
            return no("failed to parse repo path segment".to_owned());
        }
        let folder = folder.trim_start_matches('/').to_owned();
        if gotmpl::sprig::clean(&folder).split('/').next() == Some("..") {
            return no(format!("url path exits repo: {rest}"));
        }
        read.url = format!("{host}{repository}");
        read.folder = folder;
        Ok(read)
    }

    fn query(&mut self, query: &str) {
        let mut version = String::new();
        for pair in query.split('&') {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            let value = decode(value);
            match key {
                "ref" if self.revision.is_empty() => self.revision = value,
                "version" if version.is_empty() => version = value,
                "timeout" => {
                    let seconds = value.parse().ok().or_else(|| value.strip_suffix('s')?.parse().ok());
                    let seconds = seconds.or_else(|| Some(value.strip_suffix('m')?.parse::<u64>().ok()? * 60));
                    if let Some(seconds) = seconds.filter(|seconds: &u64| *seconds > 0) {
                        self.timeout = Duration::from_secs(seconds);
                    }
                }
                "submodules" => match value.as_str() {
                    "1" | "t" | "T" | "true" | "TRUE" | "True" => self.submodules = true,
                    "0" | "f" | "F" | "false" | "FALSE" | "False" => self.submodules = false,
                    _ => {}
                },
                _ => {}
            }
        }
        if self.revision.is_empty() {
            self.revision = version;
        }
    }
}

fn decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let hex = (bytes[at] == b'%').then(|| text.get(at + 1..at + 3)).flatten();
        match hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) => {
                out.push(byte);
                at += 3;
            }
            None => {
                out.push(if bytes[at] == b'+' { b' ' } else { bytes[at] });
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

fn without<'a>(text: &'a str, prefix: &str) -> Option<&'a str> {
    text.get(..prefix.len()).filter(|start| start.eq_ignore_ascii_case(prefix)).map(|_| &text[prefix.len()..])
}

/// Splits an address into scheme, user and host, and the rest.
fn host(address: &str) -> Step<(String, String)> {
    let no = |text: &str| Err(Fail::new(Cause::Remote, text.to_owned()));
    let address = without(address, "git::").unwrap_or(address);
    let (scheme, rest) =
        SCHEMES.iter().find_map(|scheme| without(address, scheme).map(|rest| (*scheme, rest))).unwrap_or(("", address));
    let (user, rest) = match rest.find('@') {
        Some(at)
            if rest.as_bytes()[0].is_ascii_alphabetic()
                && rest[..at].bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') =>
        {
            (&rest[..=at], &rest[at + 1..])
        }
        _ => ("", rest),
    };
    let github = without(rest, "github.com/").is_some() || without(rest, "github.com:").is_some();
    let scp = scheme.is_empty() && (!user.is_empty() || github);
    if scheme.is_empty() && !scp {
        return no("failed to parse scheme");
    }
    if scheme == "file://" {
        return Ok((scheme.to_owned(), format!("{user}{rest}")));
    }
    let mut separator = rest.find('/');
    if scp && let Some(colon) = rest.find(':') {
        separator = Some(separator.map_or(colon, |slash| if colon > 0 { slash.min(colon) } else { slash }));
    }
    let (host, rest) = separator.map_or((rest, ""), |at| (&rest[..=at], &rest[at + 1..]));
    if github {
        return Ok(if scheme.starts_with("ssh://") || !user.is_empty() {
            (format!("{user}github.com:"), rest.to_owned())
        } else {
            ("https://github.com/".to_owned(), rest.to_owned())
        });
    }
    if host.is_empty() {
        return no("failed to parse host segment");
    }
    Ok((format!("{scheme}{user}{host}"), rest.to_owned()))
}

/// Splits a path into that of the repository and the folder in it.
fn parts(path: &str, whole: bool) -> Option<(String, String)> {
    if let Some(at) = path.find("_git/") {
        let (root, rest) = path.split_at(at + 5);
        let (name, folder) = rest.split_once('/').unwrap_or((rest, ""));
        return Some((format!("{root}{name}"), folder.to_owned()));
    }
    if let Some((repository, folder)) = path.split_once("//") {
        return Some((repository.to_owned(), folder.to_owned()));
    }
    if let Some(at) = path.find(".git") {
        let (repository, folder) = path.split_at(at + 4);
        return Some((repository.to_owned(), folder.to_owned()));
    }
    if whole {
        return Some((path.to_owned(), String::new()));
    }
    let segments: Vec<&str> = path.split('/').collect();
    (segments.len() >= 2).then(|| (segments[..2].join("/"), segments[2..].join("/")))
}
