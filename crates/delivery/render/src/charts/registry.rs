//! Charts in OCI registries: a manifest with one layer that is the packed chart.

use http::{StatusCode, header};
use serde_json::Value as Json;
use sha2::{Digest as _, Sha256};

use super::newest;
use crate::{
    Error,
    fetch::{Answer, CHART, Fetcher},
};

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const LAYER: &str = "application/vnd.cncf.helm.chart.content.v1.tar+gzip";
/// Most bytes of a manifest, a token or a list of tags.
const SMALL: usize = 4 << 20;

struct Registry<'f> {
    fetcher: &'f Fetcher,
    base: String,
    path: String,
    token: Option<String>,
}

/// Returns the packed chart that `oci://HOST/PATH[:TAG]` names, in a version that fits.
pub(super) fn pull(fetcher: &Fetcher, reference: &str, wanted: Option<&str>) -> Result<Vec<u8>, Error> {
    let missing = |reason: String| Error::NotFound { reference: reference.to_owned(), reason };
    let rest = reference.trim_start_matches("oci://");
    let Some((host, path)) = rest.split_once('/') else {
        return Err(missing("an OCI reference is oci://HOST/PATH".to_owned()));
    };
    let (path, tag) = match path.rsplit_once(':') {
        Some((path, tag)) => (path, Some(tag.to_owned())),
        None => (path, None),
    };
    let scheme = if fetcher.plain_http { "http" } else { "https" };
    let mut registry =
        Registry { fetcher, base: format!("{scheme}://{host}/v2/{path}"), path: path.to_owned(), token: None };
    let tag = match tag {
        Some(tag) => tag,
        None => registry.tag(reference, wanted)?,
    };
    let manifest = registry.json(&format!("manifests/{tag}"), MANIFEST)?;
    let layers = manifest["layers"].as_array().map(Vec::as_slice).unwrap_or_default();
    let Some(digest) =
        layers.iter().find(|layer| layer["mediaType"] == LAYER).and_then(|layer| layer["digest"].as_str())
    else {
        return Err(missing(format!("{path}:{tag} is in the registry, but is no chart")));
    };
    let bytes = registry.get(&format!("blobs/{digest}"), "*/*", CHART)?;
    let found = format!("sha256:{}", hex::encode(Sha256::digest(&bytes)));
    if found != digest {
        let reason = format!("its digest is {found} and should be {digest}: the file was changed on its way");
        return Err(Error::Fetch { url: reference.to_owned(), reason });
    }
    Ok(bytes)
}

impl Registry<'_> {
    /// Returns the tag of the newest version that fits. Tags have `_` where versions have `+`.
    fn tag(&mut self, reference: &str, wanted: Option<&str>) -> Result<String, Error> {
        let list = self.json("tags/list", "application/json")?;
        let versions: Vec<String> = list["tags"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Json::as_str)
            .map(|tag| tag.replace('_', "+"))
            .collect();
        newest(versions.iter().map(String::as_str), wanted).map(|version| version.replace('+', "_")).ok_or_else(|| {
            let reason = format!("its tags are {}, and none is {}", versions.join(", "), wanted.unwrap_or("a release"));
            Error::NotFound { reference: reference.to_owned(), reason }
        })
    }

    fn json(&mut self, what: &str, accept: &str) -> Result<Json, Error> {
        let bytes = self.get(what, accept, SMALL)?;
        serde_json::from_slice(&bytes)
            .map_err(|error| Error::Fetch { url: format!("{}/{what}", self.base), reason: format!("no JSON: {error}") })
    }

    fn get(&mut self, what: &str, accept: &str, most: usize) -> Result<Vec<u8>, Error> {
        let url = format!("{}/{what}", self.base);
        let mut answer = self.ask(&url, accept, most)?;
        if answer.status == StatusCode::UNAUTHORIZED && self.token.is_none() {
            self.token = Some(self.token(&answer, &url)?);
            answer = self.ask(&url, accept, most)?;
        }
        match answer.status {
            StatusCode::OK => Ok(answer.body),
            status => Err(Error::Fetch { url, reason: format!("the registry answered {status}") }),
        }
    }

    fn ask(&self, url: &str, accept: &str, most: usize) -> Result<Answer, Error> {
        let bearer = self.token.as_ref().map(|token| format!("Bearer {token}"));
        let mut headers = vec![(header::ACCEPT, accept)];
        headers.extend(bearer.as_deref().map(|bearer| (header::AUTHORIZATION, bearer)));
        self.fetcher.ask(url, &headers, most)
    }

    /// Asks the token service that a registry names for a token to pull with.
    fn token(&self, answer: &Answer, url: &str) -> Result<String, Error> {
        let fail = |reason: &str| Error::Fetch { url: url.to_owned(), reason: reason.to_owned() };
        let challenge = answer.headers.get(header::WWW_AUTHENTICATE).and_then(|value| value.to_str().ok());
        let Some(bearer) = challenge.and_then(|text| text.strip_prefix("Bearer ")) else {
            return Err(fail("the registry wants credentials: give --username and --password-file"));
        };
        let part = |name: &str| {
            let (_, rest) = bearer.split_once(&format!("{name}=\""))?;
            rest.split_once('"').map(|(value, _)| value)
        };
        let realm = part("realm").ok_or_else(|| fail("the registry names no token service"))?;
        let service = part("service").map(|service| format!("service={service}&")).unwrap_or_default();
        let url = format!("{realm}?{service}scope=repository:{}:pull", self.path);
        let bytes = self.fetcher.get(&url, SMALL)?;
        let json: Json = serde_json::from_slice(&bytes).map_err(|_| fail("the token service gave no JSON"))?;
        let token = json["token"].as_str().or_else(|| json["access_token"].as_str());
        token.map(str::to_owned).ok_or_else(|| fail("the token service gave no token"))
    }
}
