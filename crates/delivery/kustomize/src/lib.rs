//! Kustomize v5: files in, the text that `kustomize build` prints out.
//!
//! Reads through a [`Source`] that the caller gives and renders charts through [`Charts`]; touches
//! no file, socket or clock itself. Runs no program: plugins are kustomize's own or refused.

mod config;
mod decode;
mod fail;
mod fieldspec;
mod filters;
mod gathered;
mod generate;
mod helm;
mod id;
mod jsonpatch;
mod load;
mod merge;
mod nameref;
mod origin;
mod parts;
mod patch;
mod path;
mod replace;
mod repo;
mod resmap;
mod resource;
mod rules;
mod schema;
mod select;
mod sort;
mod target;
mod vars;
mod work;
mod yaml;

use base::fault::{Class, Fault};

pub use helm::{Charts, HelmChart, HelmGlobals};
pub use load::{Entry, Files, Restriction, Source};
pub use repo::Repository;
pub use sort::Reorder;

/// How far a build may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bases below bases.
    pub depth: usize,
    /// Bytes of one file.
    pub file: usize,
    /// Resources read and generated.
    pub resources: usize,
    /// Bytes of the output.
    pub output: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { depth: 64, file: 64 << 20, resources: 500_000, output: 1 << 30 }
    }
}

/// What a build does beyond what the kustomization says: `kustomize build`'s flags.
#[derive(Clone, Copy, Default)]
pub struct Options<'a> {
    /// `--load-restrictor`.
    pub restriction: Restriction,
    /// `--reorder`.
    pub reorder: Reorder,
    /// `--enable-managedby-label`.
    pub managed_by_label: bool,
    /// Renders charts: `--enable-helm`. Without it a kustomization with charts is refused.
    pub charts: Option<&'a dyn Charts>,
    /// How far the build may go.
    pub limits: Limits,
}

/// A resource of the output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resource {
    /// For example `apps/v1`.
    pub api_version: String,
    /// For example `Deployment`.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// Its namespace as written; empty for none.
    pub namespace: String,
    /// The namespace that it is told apart by (`default` for none), or `None` for kinds that no namespace holds.
    pub scope: Option<String>,
    /// Its YAML.
    pub text: String,
}

impl Resource {
    /// Returns the name of its file in a folder of files, as `kustomize build -o` names them; `namespaces` says of
    /// how many namespaces the whole output is.
    pub fn file_name(&self, namespaces: usize) -> String {
        let (group, version) = self.api_version.split_once('/').unwrap_or(("", &self.api_version));
        let parts: Vec<&str> = [group, version, &self.kind].into_iter().filter(|part| !part.is_empty()).collect();
        let name = format!("{}_{}.yaml", parts.join("_"), self.name).to_lowercase();
        match &self.scope {
            Some(namespace) if namespaces > 1 => format!("{}_{name}", namespace.to_lowercase()),
            _ => name,
        }
    }
}

/// What a kustomization builds to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Built {
    /// Resources in order.
    pub resources: Vec<Resource>,
    /// What `kustomize build` says on the side: old fields, variables that nothing used.
    pub warnings: Vec<String>,
}

impl Built {
    /// Returns what `kustomize build` prints.
    pub fn text(&self) -> String {
        let mut out = String::with_capacity(self.resources.iter().map(|resource| resource.text.len() + 4).sum());
        for (index, resource) in self.resources.iter().enumerate() {
            if index > 0 {
                out.push_str("---\n");
            }
            out.push_str(&resource.text);
        }
        out
    }
}

/// Why a kustomization could not be built; texts are kustomize's where it has one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A file is not there or may not be read.
    #[error("{text}")]
    Load {
        /// Where and why.
        text: String,
    },
    /// A text is no YAML, or no resource.
    #[error("{text}")]
    Yaml {
        /// Where and why.
        text: String,
    },
    /// A kustomization says what it cannot say.
    #[error("{text}")]
    Kustomization {
        /// Where and why.
        text: String,
    },
    /// The resources cannot be built as asked.
    #[error("{text}")]
    Build {
        /// Where and why.
        text: String,
    },
    /// Kustomize has it and this engine has not.
    #[error("{text}")]
    Unsupported {
        /// What it is.
        text: String,
    },
    /// The build is too large.
    #[error("{text}")]
    Limit {
        /// Which bound was reached.
        text: String,
    },
    /// A repository cannot be fetched.
    #[error("{text}")]
    Remote {
        /// Which and why.
        text: String,
    },
}

impl Fault for Error {
    fn class(&self) -> Class {
        match self {
            Error::Remote { .. } => Class::Transient,
            _ => Class::Stalled,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Error::Load { .. } => "KST0001",
            Error::Yaml { .. } => "KST0002",
            Error::Kustomization { .. } => "KST0003",
            Error::Build { .. } => "KST0004",
            Error::Unsupported { .. } => "KST0005",
            Error::Limit { .. } => "KST0006",
            Error::Remote { .. } => "KST0007",
        }
    }
}

/// Builds the kustomization in a folder of a source, or in a repository that it fetches.
pub fn build(source: &dyn Source, path: &str, options: &Options<'_>) -> Result<Built, Error> {
    let (list, warnings) = target::build(source, path, options).map_err(fail::Fail::into_error)?;
    let kinds = schema::Kinds::default();
    let mut size = 0;
    let mut resources = Vec::with_capacity(list.len());
    for resource in &list {
        let mut text = String::with_capacity(512);
        yaml::write::document(&mut text, &resource.node)
            .map_err(|text| Error::Build { text: format!("{text}: {}", resource::id_text(&resource.node)) })?;
        size += text.len() + 4;
        if size > options.limits.output {
            let text = format!("the output is larger than {} bytes", options.limits.output);
            return Err(Error::Limit { text });
        }
        let id = resource.id(&kinds);
        resources.push(Resource {
            api_version: id.api.to_string(),
            kind: id.kind.to_string(),
            name: id.name.to_string(),
            namespace: id.written.to_string(),
            scope: (!id.is_cluster()).then(|| id.namespace.to_string()),
            text,
        });
    }
    Ok(Built { resources, warnings })
}
