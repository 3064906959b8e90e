//! Where charts come from: folders, packed files, classic repositories and OCI registries.

mod lock;
mod registry;
mod repository;

use std::path::{Path, PathBuf};

use gotmpl::{
    Value,
    sprig::{Constraint, Version},
    yaml,
};
use helm::{
    Files,
    archive::{self, Bounds},
};

use crate::{ChartSource, Error, fetch::Fetcher, folder};

/// Returns the files of the chart that a reference names.
///
/// A reference is a folder, a packed chart, an `oci://` reference, the URL of a packed chart, the name of a chart in
/// the repository that `--repo` names, or `REPOSITORY/CHART` with a repository that Helm's own configuration knows.
pub fn load(reference: &str, source: &ChartSource) -> Result<Files, Error> {
    let mut files = fetch(reference, source)?;
    if source.dependency_update {
        let base = Path::new(reference);
        dependencies(&mut files, base.is_dir().then_some(base), source)?;
    }
    Ok(files)
}

fn fetch(reference: &str, source: &ChartSource) -> Result<Files, Error> {
    if reference.starts_with("oci://") {
        return unpack(&registry::pull(&Fetcher::new(source)?, reference, wanted(source).as_deref())?);
    }
    if let Some(repository) = &source.repo {
        let version = wanted(source);
        return unpack(&repository::pull(&Fetcher::new(source)?, repository, reference, version.as_deref())?);
    }
    let path = Path::new(reference);
    if path.is_dir() {
        return folder::read(path, Bounds::default());
    }
    if path.exists() {
        let bytes = std::fs::read(path).map_err(|source| Error::Read { path: path.to_owned(), source })?;
        if !bytes.starts_with(&[0x1f, 0x8b]) {
            let end = path.extension().and_then(|end| end.to_str()).unwrap_or_default();
            let hint = match end {
                "yaml" | "yml" => "it seems to be a YAML file: values files are given with --values",
                _ => "it does not appear to be a gzipped archive",
            };
            return Err(Error::NotFound { reference: reference.to_owned(), reason: hint.to_owned() });
        }
        return unpack(&bytes);
    }
    if reference.starts_with("http://") || reference.starts_with("https://") {
        return unpack(&Fetcher::new(source)?.get(reference, crate::fetch::CHART)?);
    }
    if let Some((name, chart)) = reference.split_once('/').filter(|(name, _)| !name.starts_with('.'))
        && let Some(url) = known_repository(name)?
    {
        return unpack(&repository::pull(&Fetcher::new(source)?, &url, chart, wanted(source).as_deref())?);
    }
    let reason = "there is no such folder or file; a chart elsewhere is named by oci://…, by a URL, or with --repo URL";
    Err(Error::NotFound { reference: reference.to_owned(), reason: reason.to_owned() })
}

fn wanted(source: &ChartSource) -> Option<String> {
    source.version.clone().or_else(|| source.devel.then(|| ">0.0.0-0".to_owned()))
}

fn unpack(bytes: &[u8]) -> Result<Files, Error> {
    Ok(archive::unpack(bytes, Bounds::default())?)
}

/// Looks a repository up where `helm repo add` puts it.
fn known_repository(name: &str) -> Result<Option<String>, Error> {
    let named = base::settings::env("HELM_REPOSITORY_CONFIG").map(PathBuf::from);
    let home = || base::settings::env("HOME").map(|home| Path::new(&home).join(".config/helm/repositories.yaml"));
    let Some(path) = named.or_else(home).filter(|path| path.is_file()) else { return Ok(None) };
    let text = std::fs::read_to_string(&path).map_err(|source| Error::Read { path: path.clone(), source })?;
    let fail = |reason: String| Error::Values { file: path.display().to_string(), reason };
    let config = yaml::read(&text).map_err(|error| fail(error.to_string()))?;
    let repositories = config.get("repositories").and_then(|list| list.items()).unwrap_or_default();
    let found = repositories.iter().find(|item| item.get("name").is_some_and(|known| known.as_str() == Some(name)));
    Ok(found.and_then(|item| item.get("url")).and_then(|url| url.as_str().map(str::to_owned)))
}

/// Returns the newest of some versions that fits what is wanted; without a wish, no development version.
pub(crate) fn newest<'v>(versions: impl Iterator<Item = &'v str>, wanted: Option<&str>) -> Option<&'v str> {
    let constraint = wanted.filter(|text| !text.is_empty()).unwrap_or("*");
    let all: Vec<&str> = versions.collect();
    // A version that is named whole is taken as it stands, whatever else would fit it.
    if let Some(exact) = all.iter().find(|version| **version == constraint) {
        return Some(exact);
    }
    let constraint = Constraint::parse(constraint).ok()?;
    let parsed = all.into_iter().filter_map(|text| Some((Version::parse(text).ok()?, text)));
    parsed.filter(|(version, _)| constraint.admits(version)).max_by(|(a, _), (b, _)| a.order(b)).map(|(_, text)| text)
}

/// Adds the dependencies that `Chart.yaml` names and `charts/` lacks.
fn dependencies(files: &mut Files, folder: Option<&Path>, source: &ChartSource) -> Result<(), Error> {
    let read = |files: &Files, name: &str| -> Result<Value, Error> {
        let Some(bytes) = files.get(name) else { return Ok(Value::Nil) };
        let text = String::from_utf8_lossy(bytes);
        yaml::read(&text).map_err(|error| Error::Values { file: name.to_owned(), reason: error.to_string() })
    };
    let wanted = read(files, "Chart.yaml")?;
    let locked = read(files, "Chart.lock")?;
    let text = |value: &Value, key: &str| value.get(key).map(|v| gotmpl::gofmt::verb_v(&v)).unwrap_or_default();
    let known = |repository: &str| match repository.strip_prefix('@').or_else(|| repository.strip_prefix("alias:")) {
        Some(alias) => known_repository(alias),
        None => Ok(None),
    };
    let mut checked = locked.is_nil();
    for dependency in wanted.get("dependencies").and_then(|list| list.items()).unwrap_or_default().iter() {
        let (name, repository) = (text(dependency, "name"), text(dependency, "repository"));
        let folder_of = format!("charts/{name}/");
        let packed = format!("charts/{name}-");
        let is_there = files.keys().any(|path| path.starts_with(&folder_of) || path.starts_with(&packed));
        if is_there || name.is_empty() {
            continue;
        }
        if !checked {
            lock::check(&wanted, &locked, known)?;
            checked = true;
        }
        let locked = locked.get("dependencies").and_then(|list| list.items()).unwrap_or_default();
        let lock = locked.iter().find(|entry| text(entry, "name") == name);
        let version = lock.map_or_else(|| text(dependency, "version"), |entry| text(entry, "version"));
        let plain =
            ChartSource { repo: None, version: Some(version.clone()), dependency_update: true, ..source.clone() };
        if let Some(path) = repository.strip_prefix("file://") {
            let Some(folder) = folder else {
                let reason = format!("its dependency {name} is at {repository}, which only a folder can reach");
                return Err(Error::NotFound { reference: name, reason });
            };
            for (path, bytes) in load(&folder.join(path).to_string_lossy(), &plain)? {
                files.insert(format!("{folder_of}{path}"), bytes);
            }
        } else if repository.starts_with("oci://") {
            let bytes = registry::pull(&Fetcher::new(&plain)?, &format!("{repository}/{name}"), Some(&version))?;
            files.insert(format!("{packed}{version}.tgz"), bytes);
        } else if !repository.is_empty() {
            let url = known(&repository)?.unwrap_or_else(|| repository.clone());
            let bytes = repository::pull(&Fetcher::new(&plain)?, &url, &name, Some(&version))?;
            files.insert(format!("{packed}{version}.tgz"), bytes);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::newest;

    #[test]
    fn the_newest_version_that_fits_is_taken() {
        let all = ["1.2.0", "1.10.0", "2.0.0-rc1", "0.9.0", "odd"];
        for (wanted, found) in [
            (None, Some("1.10.0")),
            (Some("^1.2"), Some("1.10.0")),
            (Some("~1.2"), Some("1.2.0")),
            (Some(">0.0.0-0"), Some("2.0.0-rc1")),
            (Some("2.0.0-rc1"), Some("2.0.0-rc1")),
            (Some("odd"), Some("odd")),
            (Some("3.x"), None),
        ] {
            assert_eq!(newest(all.into_iter(), wanted), found, "{wanted:?}");
        }
    }
}
