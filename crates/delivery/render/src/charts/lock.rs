//! `Chart.lock`: whether it was made for the dependencies that `Chart.yaml` names.

use gotmpl::{
    Value,
    gofmt::verb_v,
    json::{self, Escape},
};
use sha2::{Digest as _, Sha256};

use crate::Error;

/// Refuses a lock whose digest is another than that of the dependencies wanted and locked, as `helm dependency build`
/// does.
///
/// `url` returns the address of a repository that is named by `@NAME` or `alias:NAME`.
pub(super) fn check(
    wanted: &Value,
    locked: &Value,
    url: impl Fn(&str) -> Result<Option<String>, Error>,
) -> Result<(), Error> {
    let own = entries(wanted, |repository| Ok(url(repository)?.unwrap_or_else(|| repository.to_owned())))?;
    let held = entries(locked, |repository| Ok(repository.to_owned()))?;
    let digest = format!("sha256:{}", hex::encode(Sha256::digest(format!("[{own},{held}]"))));
    if locked.get("digest").and_then(|given| given.as_str().map(|given| given == digest)) == Some(true) {
        return Ok(());
    }
    let reason = "the lock file (Chart.lock) is out of sync with the dependencies file (Chart.yaml). Please update the \
                  dependencies";
    Err(helm::Error::Load { reason: reason.to_owned() }.into())
}

/// The dependencies as Go writes its structure of them: fields in their order, most of them only if they hold something.
fn entries(of: &Value, url: impl Fn(&str) -> Result<String, Error>) -> Result<String, Error> {
    let Some(items) = of.get("dependencies").and_then(|list| list.items()) else { return Ok("null".to_owned()) };
    let mut shown = Vec::new();
    for item in items.iter() {
        let text = |key: &str| item.get(key).filter(|value| !value.is_nil()).map(|v| verb_v(&v)).unwrap_or_default();
        let mut fields = Vec::new();
        let mut field =
            |key: &str, value: &Value| fields.push(format!("\"{key}\":{}", json::compact(value, Escape::Html)));
        field("name", &Value::str(text("name")));
        for key in ["version", "repository", "condition", "tags", "enabled", "import-values", "alias"] {
            let value = match key {
                "repository" => Value::str(url(&text(key))?),
                "tags" => {
                    Value::strings(item.get(key).and_then(|list| list.items()).unwrap_or_default().iter().map(verb_v))
                }
                "enabled" | "import-values" => item.get(key).unwrap_or(Value::Nil),
                _ => Value::str(text(key)),
            };
            if key == "repository" || value.truth() {
                field(key, &value);
            }
        }
        shown.push(format!("{{{}}}", fields.join(",")));
    }
    Ok(format!("[{}]", shown.join(",")))
}
