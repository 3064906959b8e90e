//! Where a render goes: one text, some of it, or files in a folder.

use std::{collections::BTreeSet, fmt::Write as _, fs, io::Write, path::Path};

use helm::{Hook, Rendered};

use crate::{Error, HelmArgs};

/// Writes everything to a stream.
pub(crate) fn all(out: &mut dyn Write, bytes: &[u8]) -> Result<(), Error> {
    out.write_all(bytes)
        .and_then(|()| out.flush())
        .map_err(|source| Error::Write { path: "standard output".into(), source })
}

fn hooks<'r>(rendered: &'r Rendered, args: &HelmArgs) -> impl Iterator<Item = &'r Hook> {
    let (none, no_tests) = (args.no_hooks, args.skip_tests);
    let tests = |hook: &Hook| hook.events.iter().any(|event| event == "test");
    rendered.hooks.iter().filter(move |hook| !(none || no_tests && tests(hook)))
}

/// Returns all of it as `helm template` prints it.
pub(crate) fn text(rendered: &Rendered, args: &HelmArgs) -> String {
    let mut text = rendered.manifest_text();
    for hook in hooks(rendered, args) {
        let _infallible = write!(text, "---\n# Source: {}\n{}\n", hook.manifest.source, hook.manifest.text);
    }
    text
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
    let hooks = hooks(rendered, args).map(|hook| &hook.manifest);
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
