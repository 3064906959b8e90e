//! What Helm reads of a manifest before it goes out: its kind, and whether it is a hook.
//!
//! Nearly all manifests are plain block style, and one pass over their lines tells both ([`scan`]).
//! The pass answers only where it is sure to say what the parser says; all else, and every
//! mistake, is the parser's ([`read`]).

mod scalar;
mod scan;

use gotmpl::{Value, gofmt, yaml};

pub use scan::scan;

/// What Helm reads of a manifest.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Head {
    /// Its kind; nothing if it has none, or one that is no text.
    pub kind: String,
    /// The annotation `helm.sh/hook`.
    pub hook: Option<String>,
    /// The annotation `helm.sh/hook-weight`.
    pub weight: Option<String>,
}

/// Returns the head of a document; what is no YAML, or no map, is refused in Helm's words.
pub fn of(document: &str) -> Result<Head, String> {
    scan(document).map_or_else(|| read(document), Ok)
}

/// Returns the head as the parser reads it.
pub fn read(document: &str) -> Result<Head, String> {
    let document = yaml::read_lenient(document).map_err(|error| format!("error converting YAML to JSON: {error}"))?;
    if !matches!(document, Value::Map(..) | Value::Nil) {
        return Err(format!(
            "error unmarshaling JSON: while decoding JSON: json: cannot unmarshal {} into Go value of type \
             releaseutil.SimpleHead",
            crate::functions::go_kind(&document)
        ));
    }
    let annotations = document.get("metadata").and_then(|metadata| metadata.get("annotations"));
    let annotation = |key: &str| Some(gofmt::verb_v(&annotations.as_ref()?.get(key)?));
    Ok(Head {
        kind: document.get("kind").and_then(|kind| kind.as_str().map(str::to_owned)).unwrap_or_default(),
        hook: annotation(HOOK),
        weight: annotation(WEIGHT),
    })
}

const HOOK: &str = "helm.sh/hook";
const WEIGHT: &str = "helm.sh/hook-weight";
