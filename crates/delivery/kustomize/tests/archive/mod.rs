//! Cases of the corpus: one text holds the files of a case and what is expected of it.
//!
//! ```text
//! what it is about
//! build: overlay
//! flags: --load-restrictor LoadRestrictionsNone
//! -- overlay/kustomization.yaml --
//! resources: [../base]
//! -- expected --
//! …
//! ```
//!
//! `words: own` stands in the head where the engine words an error in its own way.
//! `-- error --` stands in the place of `-- expected --` where the build has to fail; a file's name may be
//! followed by `base64`.
#![allow(dead_code, reason = "each suite uses a part")]

use std::path::{Path, PathBuf};

use base64::Engine as _;
use kustomize::{Files, Options, Reorder, Restriction};

/// What a build comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Text(String),
    Error(String),
}

/// A case.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) head: String,
    pub(crate) build: String,
    pub(crate) flags: Vec<String>,
    pub(crate) files: Files,
    pub(crate) expected: Option<Outcome>,
}

/// The folder of the corpus.
pub(crate) fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../tests/corpus/kustomize")
}

/// Reads all cases, in the order of their names.
pub(crate) fn cases() -> Vec<Case> {
    let mut paths: Vec<PathBuf> = std::fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.iter().map(|path| read(path)).collect()
}

fn read(path: &Path) -> Case {
    let text = std::fs::read_to_string(path).unwrap();
    let name = path.file_stem().unwrap().to_string_lossy().into_owned();
    parse(&name, &text)
}

/// Reads a case.
pub(crate) fn parse(name: &str, text: &str) -> Case {
    let mut parts: Vec<(String, String)> = vec![(String::new(), String::new())];
    for line in text.split_inclusive('\n') {
        match line.trim_end().strip_prefix("-- ").and_then(|line| line.strip_suffix(" --")) {
            Some(name) => parts.push((name.to_owned(), String::new())),
            None => parts.last_mut().unwrap().1.push_str(line),
        }
    }
    let head = parts.remove(0).1;
    let field = |name: &str| head.lines().find_map(|line| line.strip_prefix(name)).map(str::trim).unwrap_or_default();
    let mut case = Case {
        name: name.to_owned(),
        build: field("build:").to_owned(),
        flags: field("flags:").split_whitespace().map(str::to_owned).collect(),
        head: head.clone(),
        files: Files::new(),
        expected: None,
    };
    for (name, text) in parts {
        match name.as_str() {
            "expected" => case.expected = Some(Outcome::Text(text)),
            "error" => case.expected = Some(Outcome::Error(text.trim_end().to_owned())),
            name => {
                let (name, bytes) = match name.strip_suffix(" base64") {
                    Some(name) => (name, base64::engine::general_purpose::STANDARD.decode(text.trim()).unwrap()),
                    None => (name, text.into_bytes()),
                };
                case.files.insert(format!("w/{name}"), bytes);
            }
        }
    }
    case
}

impl Case {
    /// Builds the case with this engine.
    pub(crate) fn outcome(&self) -> Outcome {
        let mut options = Options::default();
        let mut flags = self.flags.iter().map(String::as_str);
        while let Some(flag) = flags.next() {
            match flag {
                "--load-restrictor" if flags.next() == Some("LoadRestrictionsNone") => {
                    options.restriction = Restriction::None;
                }
                "--reorder" => {
                    options.reorder = if flags.next() == Some("none") { Reorder::None } else { Reorder::Legacy };
                }
                "--enable-managedby-label" => options.managed_by_label = true,
                other => panic!("{}: no such flag: {other}", self.name),
            }
        }
        match kustomize::build(&self.files, &format!("/w/{}", self.build), &options) {
            Ok(built) => Outcome::Text(built.text()),
            Err(error) => Outcome::Error(error.to_string().trim_end().to_owned()),
        }
    }

    /// Builds the case with the original, in a folder of its own.
    pub(crate) fn original(&self, program: &Path) -> Outcome {
        let folder = tempfile::tempdir().unwrap();
        for (name, bytes) in &self.files {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, bytes).unwrap();
        }
        let output = std::process::Command::new(program)
            .arg("build")
            .args(&self.flags)
            .arg(folder.path().join("w").join(&self.build))
            .output()
            .unwrap();
        if output.status.success() {
            return Outcome::Text(String::from_utf8(output.stdout).unwrap());
        }
        let root = folder.path().canonicalize().unwrap();
        let text = String::from_utf8(output.stderr).unwrap().replace(&*root.to_string_lossy(), "");
        // What is said on the side comes first.
        let text = text.find("Error: ").map_or(text.as_str(), |at| &text[at + 7..]);
        Outcome::Error(text.trim_end().to_owned())
    }
}

/// The original, if it was built.
pub(crate) fn original() -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../target/peers/kustomize");
    path.exists().then(|| path.canonicalize().unwrap())
}
