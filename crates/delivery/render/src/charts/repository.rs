//! Classic repositories: an `index.yaml` and packed charts beside it.

use gotmpl::{Value, yaml};
use sha2::{Digest as _, Sha256};

use super::newest;
use crate::{
    Error,
    fetch::{CHART, Fetcher, INDEX, resolve},
};

/// Returns the packed chart of a name in a version that fits.
pub(super) fn pull(fetcher: &Fetcher, repository: &str, name: &str, wanted: Option<&str>) -> Result<Vec<u8>, Error> {
    let index_url = format!("{}/index.yaml", repository.trim_end_matches('/'));
    let fail = |reason: String| Error::Fetch { url: index_url.clone(), reason };
    let text =
        String::from_utf8(fetcher.get(&index_url, INDEX)?).map_err(|_| fail("it is no UTF-8 text".to_owned()))?;
    let index = yaml::read_lenient(&text).map_err(|error| fail(error.to_string()))?;
    let missing = |reason: String| Error::NotFound { reference: name.to_owned(), reason };
    let entries = index.get("entries").and_then(|entries| entries.get(name)).and_then(|entry| entry.items());
    let Some(entries) = entries else {
        return Err(missing(format!("the repository {repository} has no chart of that name")));
    };
    let text = |value: &Value, key: &str| value.get(key).map(|v| gotmpl::gofmt::verb_v(&v)).unwrap_or_default();
    let versions: Vec<String> = entries.iter().map(|entry| text(entry, "version")).collect();
    let Some(version) = newest(versions.iter().map(String::as_str), wanted) else {
        let wanted = wanted.unwrap_or("any released version");
        return Err(missing(format!("the repository {repository} has {}, and none is {wanted}", versions.join(", "))));
    };
    let at = versions.iter().position(|known| known == version).unwrap_or_default();
    let entry = &entries[at];
    let Some(url) = entry.get("urls").and_then(|urls| urls.items()).and_then(|urls| urls.first().cloned()) else {
        return Err(missing(format!("the repository {repository} says no URL of {name} {version}")));
    };
    let url = url.as_str().unwrap_or_default().to_owned();
    let base = index_url.parse().map_err(|error| fail(format!("it is no URL: {error}")))?;
    let whole = resolve(&base, &url).ok_or_else(|| fail(format!("{url:?} is no URL")))?.to_string();
    let bytes = fetcher.get(&whole, CHART)?;
    let (digest, found) = (text(entry, "digest"), hex::encode(Sha256::digest(&bytes)));
    if !digest.is_empty() && digest.trim_start_matches("sha256:") != found {
        let reason = format!("its digest is {found} and should be {digest}: the file was changed on its way");
        return Err(Error::Fetch { url: whole, reason });
    }
    Ok(bytes)
}
