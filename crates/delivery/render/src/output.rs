//! Where a render goes: one text, some of it, or files in a folder.

use std::{
    collections::BTreeSet,
    fmt::{self, Write as _},
    fs,
    io::{BufWriter, Write},
    path::Path,
};

use helm::{Hook, Rendered};

use crate::{Error, HelmArgs};

/// Writes everything to a stream.
pub(crate) fn all(out: &mut dyn Write, bytes: &[u8]) -> Result<(), Error> {
    out.write_all(bytes)
        .and_then(|()| out.flush())
        .map_err(|source| Error::Write { path: "standard output".into(), source })
}

/// Returns whether the flags leave a hook in.
fn wants(args: &HelmArgs, hook: &Hook) -> bool {
    !(args.no_hooks || args.skip_tests && hook.events.iter().any(|event| event == "test"))
}

/// Returns all of it as `helm template` prints it.
pub(crate) fn text(rendered: &Rendered, args: &HelmArgs) -> String {
    let mut text = String::new();
    let _infallible = rendered.write(&mut text, |hook| wants(args, hook));
    text
}

/// Writes the same to a stream, without a second copy of it all.
pub(crate) fn stream(out: &mut dyn Write, rendered: &Rendered, args: &HelmArgs) -> Result<(), Error> {
    let mut pieces = Pieces { out: BufWriter::with_capacity(64 << 10, out), failed: None };
    let written = rendered.write(&mut pieces, |hook| wants(args, hook));
    let ended = match (written, pieces.failed.take()) {
        (Err(fmt::Error), Some(error)) => Err(error),
        _ => pieces.out.flush(),
    };
    ended.map_err(|source| Error::Write { path: "standard output".into(), source })
}

/// A stream that text is written to; remembers why that failed.
struct Pieces<'o> {
    out: BufWriter<&'o mut dyn Write>,
    failed: Option<std::io::Error>,
}

impl fmt::Write for Pieces<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.out.write_all(text.as_bytes()).map_err(|error| {
            self.failed = Some(error);
            fmt::Error
        })
    }
}

/// Returns the documents of some templates, in the order in which they are asked for.
pub(crate) fn only(text: &str, wanted: &[String]) -> Result<String, Error> {
    let documents = helm::split_manifests(text);
    let mut out = String::new();
    for name in wanted {
        let pattern = helm::ignore::file_pattern(name);
        let mut found = false;
        for document in &documents {
            let source = document.split_once("# Source: ").and_then(|(_, rest)| rest.lines().next());
            let Some((_, path)) = source.and_then(|source| source.split_once('/')) else { continue };
            if pattern.as_ref().is_some_and(|pattern| pattern.is_match(path)) {
                found = true;
                let _infallible = write!(out, "---\n{document}\n");
            }
        }
        if !found {
            return Err(Error::ShowOnly { name: name.clone() });
        }
    }
    Ok(out)
}

/// Writes a file per template below a folder, and says which.
pub(crate) fn folder(folder: &Path, rendered: &Rendered, args: &HelmArgs, out: &mut dyn Write) -> Result<(), Error> {
    let mut written = BTreeSet::new();
    let hooks = rendered.hooks.iter().filter(|hook| wants(args, hook)).map(|hook| &hook.manifest);
    for manifest in rendered.crds.iter().chain(&rendered.manifests).chain(hooks) {
        let path = folder.join(&manifest.source);
        let fail = |source: std::io::Error| Error::Write { path: path.clone(), source };
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).map_err(fail)?;
        }
        let again = !written.insert(path.clone());
        let mut file =
            fs::OpenOptions::new().create(true).write(true).append(again).truncate(!again).open(&path).map_err(fail)?;
        write!(file, "---\n# Source: {}\n{}\n", manifest.source, manifest.text).map_err(fail)?;
        writeln!(out, "wrote {}", path.display()).map_err(fail)?;
    }
    Ok(())
}
