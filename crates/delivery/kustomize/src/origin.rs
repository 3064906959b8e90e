//! `buildMetadata`: where resources came from and what changed them.

use gotmpl::{
    sprig::clean,
    yaml::scalar::{Place, WIDE, scalar},
};

use crate::{
    repo::Repository,
    resmap::ResMap,
    resource::{ORIGIN, Resource, TRANSFORMATIONS},
    yaml::marshalled,
};

/// Where something came from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Origin {
    pub(crate) path: String,
    pub(crate) repo: String,
    pub(crate) revision: String,
    /// The file that configured what made it.
    pub(crate) configured_in: String,
    /// API version, kind, name and namespace of what made it.
    pub(crate) configured_by: Option<[String; 4]>,
}

impl Origin {
    /// Returns the origin of what a path here leads to.
    pub(crate) fn append(&self, path: &str) -> Origin {
        let mut origin = self.clone();
        if let Ok(repository) = Repository::read(path) {
            origin.repo = repository.url;
            origin.revision = repository.revision;
            origin.path = if repository.folder.is_empty() { String::new() } else { clean(&repository.folder) };
            return origin;
        }
        origin.path = clean(&format!("{}/{path}", if self.path.is_empty() { "." } else { &self.path }));
        origin
    }

    /// Returns the origin of what a builtin of a kustomization makes.
    pub(crate) fn builtin(&self, file: &str, kind: &str) -> Origin {
        let folder = if self.path.is_empty() { "." } else { &self.path };
        Origin {
            path: String::new(),
            repo: self.repo.clone(),
            revision: self.revision.clone(),
            configured_in: clean(&format!("{folder}/{file}")),
            configured_by: Some(["builtin".to_owned(), kind.to_owned(), String::new(), String::new()]),
        }
    }

    /// Returns the origin of what a plugin makes that a resource configures.
    pub(crate) fn of_plugin(resource: &Resource) -> Option<Origin> {
        let text = resource.annotation(ORIGIN)?;
        let read = Origin::read(text);
        Some(Origin {
            path: String::new(),
            repo: read.repo,
            revision: read.revision,
            configured_in: read.path,
            configured_by: Some([
                resource.api().to_owned(),
                resource.kind().to_owned(),
                resource.name().to_string(),
                resource.namespace().to_string(),
            ]),
        })
    }

    fn read(text: &str) -> Origin {
        let mut origin = Origin::default();
        let Ok(Some(node)) = crate::decode::read(text) else { return origin };
        let get = |field: &str| node.get(field).map(|value| value.value().to_owned()).unwrap_or_default();
        (origin.path, origin.repo, origin.revision) = (get("path"), get("repo"), get("ref"));
        origin
    }

    pub(crate) fn text(&self) -> String {
        let mut lines: Vec<(usize, &str, &str)> = vec![
            (0, "path", &self.path),
            (0, "repo", &self.repo),
            (0, "ref", &self.revision),
            (0, "configuredIn", &self.configured_in),
        ];
        if let Some([api, kind, name, namespace]) = &self.configured_by {
            lines.push((0, "configuredBy", ""));
            lines.extend([
                (2, "apiVersion", api.as_str()),
                (2, "kind", kind),
                (2, "name", name),
                (2, "namespace", namespace),
            ]);
        }
        let mut out = String::new();
        for (indent, field, value) in lines {
            if value.is_empty() && field != "configuredBy" {
                continue;
            }
            out.extend(std::iter::repeat_n(' ', indent));
            out.push_str(field);
            out.push(':');
            if !value.is_empty() {
                out.push(' ');
                scalar(&mut out, value, marshalled(value), Place::Value(indent + 2), WIDE);
            }
            out.push('\n');
        }
        if out.is_empty() { "{}\n".to_owned() } else { out }
    }

    /// The same as an item of a list.
    fn item(&self) -> String {
        let mut out = String::new();
        for (index, line) in self.text().lines().enumerate() {
            out.push_str(if index == 0 { "- " } else { "  " });
            out.push_str(line);
            out.push('\n');
        }
        out
    }
}

/// Notes where generated resources came from, unless something says so already.
pub(crate) fn annotate(resources: &mut [Resource], origin: &Origin) {
    for resource in resources {
        if resource.annotation(ORIGIN).is_none() {
            resource.set_annotation(ORIGIN, Some(&origin.text()));
        }
    }
}

/// Notes what a transformer did.
pub(crate) fn transformed(map: &mut ResMap, origin: &Origin) {
    for resource in map.list_mut() {
        if resource.annotation(ORIGIN).is_none() {
            resource.set_annotation(ORIGIN, Some(&origin.text()));
        } else {
            let mut all = resource.annotation(TRANSFORMATIONS).unwrap_or_default().to_owned();
            all.push_str(&origin.item());
            resource.set_annotation(TRANSFORMATIONS, Some(&all));
        }
    }
}
