//! Takes from the Go declarations what a field looks like in JSON when nothing was said:
//! shown with its zero value, left out, or `null`.

use super::wire::{Declared, Packages};

/// Returns the fact of a field of `definition`, with a space before it, or nothing.
///
/// `kind` is the field's kind as the table words it.
pub(super) fn of(packages: &Packages, definition: &str, field: &str, kind: &str) -> &'static str {
    let Some((package, name)) = definition.rsplit_once('.') else { return "" };
    let found =
        packages.iter().find(|(path, _)| format!("io.{}", path.replace(".io", "").replace('/', ".")) == package);
    let Some((path, _)) = found else { return "" };
    let Some((go, options)) = declared(packages, path, name, field) else { return "" };
    let free = matches!(kind.split(':').next(), Some("a" | "o"));
    let structure = kind.starts_with('@') || matches!(kind, "q" | "x" | "s:date-time" | "s:micro-time");
    match (go.starts_with('*'), options.contains("omitempty"), options.contains("omitzero")) {
        (true, true, _) => "",
        (true, false, _) => " f=n",
        (false, _, true) => " f=e",
        // Go leaves no structure out.
        (false, true, false) if !structure && !free => " f=e",
        (false, true, false) if !structure => "",
        (false, ..) => " f=a",
    }
}

/// Returns the Go type and JSON options of a field, also of one in an embedded type.
fn declared(packages: &Packages, path: &str, name: &str, field: &str) -> Option<(String, String)> {
    let package = packages.get(path)?;
    let Declared::Struct(fields) = package.types.get(name)? else { return None };
    fields.iter().find_map(|(go, tag)| {
        let json = tag.split(' ').find_map(|part| part.strip_prefix("json:\"")?.strip_suffix('"'))?;
        let (own, options) = json.split_once(',').unwrap_or((json, ""));
        if own == field {
            return Some((go.clone(), options.to_owned()));
        }
        if !own.is_empty() || !options.contains("inline") {
            return None;
        }
        match go.split_once('.') {
            Some((alias, name)) => declared(packages, package.imports.get(alias)?, name, field),
            None => declared(packages, path, go, field),
        }
    })
}
