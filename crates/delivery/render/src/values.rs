//! Values from files, URLs and flags.

use std::{collections::BTreeMap, io::Read as _, path::Path};

use gotmpl::{Value, yaml};
use helm::{Set, set_file_paths};

use crate::{ChartSource, Error, ValuesArgs, fetch};

/// Values as an engine takes them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Given {
    /// The texts of the files, in order.
    pub files: Vec<String>,
    /// What flags set.
    pub set: Vec<Set>,
}

/// Reads what the flags name. A file that is no map of values is refused with its name, line and column.
pub fn given(args: &ValuesArgs, source: &ChartSource) -> Result<Given, Error> {
    let mut given = Given::default();
    for file in &args.values {
        let text = read(file, source)?;
        let fail = |reason: String| Error::Values { file: file.clone(), reason };
        match yaml::read(&text)
            .map_err(|error| fail(format!("line {}, column {}: {}", error.line, error.column, error.message)))?
        {
            Value::Nil | Value::Map(..) => given.files.push(text),
            other => return Err(fail(format!("it holds a {}, not a map of values", other.kind()))),
        }
    }
    given.set.extend(args.set_json.iter().cloned().map(Set::Json));
    given.set.extend(args.set.iter().cloned().map(Set::Typed));
    given.set.extend(args.set_string.iter().cloned().map(Set::Text));
    for text in &args.set_file {
        let mut contents = BTreeMap::new();
        for path in set_file_paths(text) {
            let content = read(&path, source)?;
            contents.insert(path, content);
        }
        given.set.push(Set::File { text: text.clone(), contents });
    }
    given.set.extend(args.set_literal.iter().cloned().map(Set::Literal));
    Ok(given)
}

/// Reads a file, a URL, or standard input (`-`).
fn read(name: &str, source: &ChartSource) -> Result<String, Error> {
    let bytes = if name.trim() == "-" {
        let mut bytes = Vec::new();
        let read = std::io::stdin().lock().take(64 << 20).read_to_end(&mut bytes);
        read.map_err(|source| Error::Read { path: "standard input".into(), source })?;
        bytes
    } else if name.starts_with("http://") || name.starts_with("https://") {
        fetch::Fetcher::new(source)?.get(name, fetch::VALUES)?
    } else {
        std::fs::read(Path::new(name)).map_err(|source| Error::Read { path: name.into(), source })?
    };
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        let before = &error.as_bytes()[..at];
        let line = before.split(|byte| *byte == b'\n').count();
        let column = at - before.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1) + 1;
        Error::Values { file: name.to_owned(), reason: format!("line {line}, column {column}: no UTF-8 text") }
    })
}
