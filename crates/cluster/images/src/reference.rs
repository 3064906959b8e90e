//! Image references: `[registry/]repository[:tag][@digest]`. It never looks anything up.

use std::fmt;

use crate::{Digest, Error};

/// The registry name by which pods refer to the platform's own registry, whatever port it listens on.
pub const REGISTRY_HOST: &str = "registry.cluster.local";

/// A parsed image reference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    /// The registry's host, and port if one is named.
    pub host: String,
    /// The repository within the registry.
    pub repository: String,
    /// The tag; `latest` if neither tag nor digest is given.
    pub tag: Option<String>,
    /// The digest, which wins over the tag.
    pub digest: Option<Digest>,
}

impl Reference {
    /// Parses `value`, with the defaults that container engines use: host `docker.io`, tag `latest`.
    pub fn parse(value: &str) -> Result<Self, Error> {
        let invalid = |why| Error::InvalidReference { value: value.chars().take(200).collect(), why };
        let (rest, digest) = match value.split_once('@') {
            Some((rest, digest)) => (rest, Some(Digest::parse(digest)?)),
            None => (value, None),
        };
        let (host, path) = match rest.split_once('/') {
            Some((first, path)) if first.contains(['.', ':']) || first == "localhost" => (first, path),
            _ => ("docker.io", rest),
        };
        let (repository, tag) = match path.rsplit_once(':') {
            Some((repository, tag)) => (repository, Some(tag.to_owned())),
            None => (path, None),
        };
        if !is_host(host) {
            return Err(invalid("a registry is a host name, and a port if need be"));
        }
        if !is_repository(repository) {
            return Err(invalid("a repository is lower-case words joined by '/', '.', '_' or '-'"));
        }
        if tag.as_deref().is_some_and(|tag| !is_tag(tag)) {
            return Err(invalid("a tag is 1 to 128 of letters, digits, '_', '.' and '-'"));
        }
        let tag = if tag.is_none() && digest.is_none() { Some("latest".to_owned()) } else { tag };
        Ok(Self { host: host.to_owned(), repository: repository.to_owned(), tag, digest })
    }

    /// Returns whether the image lies in the platform's own registry.
    pub fn is_local(&self) -> bool {
        self.host == REGISTRY_HOST
    }

    /// Returns repository, tag and digest without the host.
    pub fn path(&self) -> String {
        let mut text = self.repository.clone();
        if let Some(tag) = &self.tag {
            text = format!("{text}:{tag}");
        }
        if let Some(digest) = &self.digest {
            text = format!("{text}@{digest}");
        }
        text
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.host, self.path())
    }
}

/// Returns whether `name` is a repository name as OCI distribution defines it.
pub(crate) fn is_repository(name: &str) -> bool {
    !name.is_empty() && name.len() <= 255 && name.split('/').all(is_component)
}

fn is_host(host: &str) -> bool {
    let (name, port) = host.split_once(':').unwrap_or((host, "1"));
    name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-'))
        && port.parse::<u16>().is_ok()
}

fn is_component(text: &str) -> bool {
    let alnum = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let bytes = text.as_bytes();
    let (Some(first), Some(last)) = (bytes.first(), bytes.last()) else { return false };
    if !alnum(*first) || !alnum(*last) {
        return false;
    }
    text.split(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
        .all(|separator| matches!(separator, "" | "." | "_" | "__") || separator.bytes().all(|b| b == b'-'))
}

/// Returns whether `tag` is a tag as OCI distribution defines it.
pub(crate) fn is_tag(tag: &str) -> bool {
    (1..=128).contains(&tag.len())
        && tag.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-'))
        && !tag.starts_with(['.', '-'])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_get_the_usual_defaults() {
        for (text, full) in [
            ("nginx", "docker.io/nginx:latest"),
            ("team/web:1", "docker.io/team/web:1"),
            ("localhost/web", "localhost/web:latest"),
            ("registry.cluster.local/sample:1", "registry.cluster.local/sample:1"),
            ("host:5000/a/b:x", "host:5000/a/b:x"),
        ] {
            assert_eq!(Reference::parse(text).unwrap().to_string(), full, "{text}");
        }
        let digest = Digest::of(b"x");
        let pinned = Reference::parse(&format!("registry.cluster.local/sample@{digest}")).unwrap();
        assert_eq!((pinned.tag, pinned.digest), (None, Some(digest)));
    }

    #[test]
    fn names_that_leave_their_folder_are_refused() {
        for bad in
            ["", "a//b", "../x", "a/..", "a/_tags", "A", "a:", "a:.x", "a b", "a@sha256:1", "a/./b", "-a", "a..b"]
        {
            assert!(Reference::parse(bad).is_err(), "{bad}");
        }
    }
}
