//! A pod's volumes: which files they hold (pure), and writing them (I/O).
//!
//! Files of config maps, secrets and tokens change together: a reader sees the old
//! or the new set, as with the kubelet. Contents of an `emptyDir` are never touched.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    os::unix::fs::{PermissionsExt, chown, symlink},
    path::{Component, Path, PathBuf},
};

use k8s_openapi::api::core::v1::{DownwardAPIVolumeFile, KeyToPath, Pod, Volume};

use super::env::{self, Place, Sources};
use crate::Error;

/// One file of a volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct VolumeFile {
    pub(crate) bytes: Vec<u8>,
    pub(crate) mode: u32,
}

/// Path within the volume to file.
pub(crate) type Files = BTreeMap<String, VolumeFile>;

/// Names of config maps and secrets, and tokens, that a pod refers to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct References {
    pub(crate) config_maps: BTreeSet<String>,
    pub(crate) secrets: BTreeSet<String>,
    pub(crate) tokens: BTreeSet<(String, i64)>,
}

/// Returns everything that `pod` refers to.
pub(crate) fn references(pod: &Pod) -> References {
    let mut found = References::default();
    let Some(spec) = &pod.spec else { return found };
    for container in spec.init_containers.iter().flatten().chain(&spec.containers) {
        for from in container.env_from.iter().flatten() {
            found.config_maps.extend(from.config_map_ref.iter().map(|r| r.name.clone()));
            found.secrets.extend(from.secret_ref.iter().map(|r| r.name.clone()));
        }
        for source in container.env.iter().flatten().filter_map(|variable| variable.value_from.as_ref()) {
            found.config_maps.extend(source.config_map_key_ref.iter().map(|r| r.name.clone()));
            found.secrets.extend(source.secret_key_ref.iter().map(|r| r.name.clone()));
        }
    }
    for volume in spec.volumes.iter().flatten() {
        found.config_maps.extend(volume.config_map.iter().map(|v| v.name.clone()));
        found.secrets.extend(volume.secret.iter().filter_map(|v| v.secret_name.clone()));
        for source in volume.projected.iter().flat_map(|p| p.sources.iter().flatten()) {
            found.config_maps.extend(source.config_map.iter().map(|v| v.name.clone()));
            found.secrets.extend(source.secret.iter().map(|v| v.name.clone()));
            found.tokens.extend(
                source.service_account_token.iter().map(|token| {
                    (token.audience.clone().unwrap_or_default(), token.expiration_seconds.unwrap_or(3600))
                }),
            );
        }
    }
    found
}

/// Returns a volume's files, or `None` if it is an `emptyDir`.
pub(crate) fn files(volume: &Volume, pod: &Pod, sources: &Sources, place: &Place) -> Result<Option<Files>, Error> {
    let mut files = Files::new();
    if let Some(map) = &volume.config_map {
        let mode = map.default_mode.unwrap_or(0o644) as u32;
        add_config_map(&mut files, &map.name, map.items.as_deref(), map.optional, mode, sources)?;
    } else if let Some(secret) = &volume.secret {
        let mode = secret.default_mode.unwrap_or(0o644) as u32;
        let name = secret.secret_name.as_deref().unwrap_or_default();
        add_secret(&mut files, name, secret.items.as_deref(), secret.optional, mode, sources)?;
    } else if let Some(downward) = &volume.downward_api {
        let mode = downward.default_mode.unwrap_or(0o644) as u32;
        add_downward(&mut files, downward.items.as_deref(), mode, pod, place)?;
    } else if let Some(projected) = &volume.projected {
        let mode = projected.default_mode.unwrap_or(0o644) as u32;
        for source in projected.sources.iter().flatten() {
            if let Some(map) = &source.config_map {
                add_config_map(&mut files, &map.name, map.items.as_deref(), map.optional, mode, sources)?;
            }
            if let Some(secret) = &source.secret {
                add_secret(&mut files, &secret.name, secret.items.as_deref(), secret.optional, mode, sources)?;
            }
            if let Some(downward) = &source.downward_api {
                add_downward(&mut files, downward.items.as_deref(), mode, pod, place)?;
            }
            if let Some(token) = &source.service_account_token {
                let key = (token.audience.clone().unwrap_or_default(), token.expiration_seconds.unwrap_or(3600));
                let text = sources.tokens.get(&key).cloned().unwrap_or_default();
                insert(&mut files, &token.path, text.into_bytes(), mode)?;
            }
        }
    } else {
        return Ok(None);
    }
    Ok(Some(files))
}

fn insert(files: &mut Files, path: &str, bytes: Vec<u8>, mode: u32) -> Result<(), Error> {
    let clean = !path.is_empty() && Path::new(path).components().all(|c| matches!(c, Component::Normal(_)));
    if !clean || path.starts_with("..") {
        return Err(Error::Config { field: format!("volume path {path:?}"), why: "it leaves the volume".to_owned() });
    }
    files.insert(path.to_owned(), VolumeFile { bytes, mode });
    Ok(())
}

fn add_items(
    files: &mut Files,
    what: &str,
    data: &BTreeMap<String, Vec<u8>>,
    items: Option<&[KeyToPath]>,
    optional: bool,
    mode: u32,
) -> Result<(), Error> {
    let Some(items) = items.filter(|items| !items.is_empty()) else {
        return data.iter().try_for_each(|(key, bytes)| insert(files, key, bytes.clone(), mode));
    };
    for item in items {
        match data.get(&item.key) {
            Some(bytes) => insert(files, &item.path, bytes.clone(), item.mode.map_or(mode, |mode| mode as u32))?,
            None if optional => {}
            None => {
                let why = format!("{what} references non-existent key {}", item.key);
                return Err(Error::Config { field: what.to_owned(), why });
            }
        }
    }
    Ok(())
}

fn add_config_map(
    files: &mut Files,
    name: &str,
    items: Option<&[KeyToPath]>,
    optional: Option<bool>,
    mode: u32,
    sources: &Sources,
) -> Result<(), Error> {
    let optional = optional == Some(true);
    let what = format!("configmap {name:?}");
    let data = match sources.config_maps.get(name).and_then(Option::as_ref) {
        Some(map) => {
            let text = map.data.iter().flatten().map(|(key, text)| (key.clone(), text.clone().into_bytes()));
            text.chain(map.binary_data.iter().flatten().map(|(key, bytes)| (key.clone(), bytes.0.clone()))).collect()
        }
        None if optional => return Ok(()),
        None => return Err(Error::Config { why: format!("{what} not found"), field: what }),
    };
    add_items(files, &what, &data, items, optional, mode)
}

fn add_secret(
    files: &mut Files,
    name: &str,
    items: Option<&[KeyToPath]>,
    optional: Option<bool>,
    mode: u32,
    sources: &Sources,
) -> Result<(), Error> {
    let optional = optional == Some(true);
    let what = format!("secret {name:?}");
    let data = match sources.secrets.get(name).and_then(Option::as_ref) {
        Some(secret) => secret.data.iter().flatten().map(|(key, bytes)| (key.clone(), bytes.0.clone())).collect(),
        None if optional => return Ok(()),
        None => return Err(Error::Config { why: format!("{what} not found"), field: what }),
    };
    add_items(files, &what, &data, items, optional, mode)
}

fn add_downward(
    files: &mut Files,
    items: Option<&[DownwardAPIVolumeFile]>,
    mode: u32,
    pod: &Pod,
    place: &Place,
) -> Result<(), Error> {
    for item in items.unwrap_or_default() {
        let text = if let Some(field) = &item.field_ref {
            env::field_of(pod, &field.field_path, place)?
        } else if let Some(resource) = &item.resource_field_ref {
            let name = resource.container_name.as_deref().unwrap_or_default();
            let container = pod.spec.iter().flat_map(|spec| &spec.containers).find(|c| c.name == name);
            let container = container.ok_or_else(|| Error::Config {
                field: "resourceFieldRef.containerName".to_owned(),
                why: format!("the pod has no container {name:?}"),
            })?;
            let divisor = resource.divisor.as_ref().map_or("1", |q| q.0.as_str());
            env::resource_of(container, &resource.resource, divisor, place)?
        } else {
            String::new()
        };
        insert(files, &item.path, text.into_bytes(), item.mode.map_or(mode, |mode| mode as u32))?;
    }
    Ok(())
}

/// Makes an `emptyDir` if it is not there.
pub(crate) fn make_empty(dir: &Path, group: Option<u32>) -> Result<(), Error> {
    if dir.is_dir() {
        return Ok(());
    }
    fs::create_dir_all(dir).map_err(Error::disk("create", dir))?;
    if let Some(group) = group {
        chown(dir, None, Some(group)).map_err(Error::disk("give to the pod's group", dir))?;
    }
    let mode = if group.is_some() { 0o2777 } else { 0o777 };
    fs::set_permissions(dir, fs::Permissions::from_mode(mode)).map_err(Error::disk("open up", dir))
}

/// Makes `dir` hold exactly `files`; returns whether anything changed.
pub(crate) fn write(dir: &Path, files: &Files, group: Option<u32>) -> Result<bool, Error> {
    let stamp = stamp(files);
    let link = dir.join("..data");
    if fs::read_link(&link).is_ok_and(|now| now == Path::new(&stamp)) {
        return Ok(false);
    }
    let fail = |operation, path: &Path| Error::disk(operation, path.to_owned());
    let new = dir.join(&stamp);
    if new.exists() {
        fs::remove_dir_all(&new).map_err(fail("remove", &new))?;
    }
    fs::create_dir_all(&new).map_err(fail("create", &new))?;
    for path in [dir, &new] {
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).map_err(fail("open up", path))?;
    }
    for (name, file) in files {
        let path = new.join(name);
        let parent = path.parent().unwrap_or(&new);
        fs::create_dir_all(parent).map_err(fail("create", parent))?;
        fs::write(&path, &file.bytes).map_err(fail("write", &path))?;
        // With a group of its own, the pod's processes may read what others may not, as the kubelet does it.
        let mode = if group.is_some() { file.mode | 0o440 } else { file.mode };
        if let Some(group) = group {
            chown(&path, None, Some(group)).map_err(fail("give to the pod's group", &path))?;
        }
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).map_err(fail("set the mode of", &path))?;
    }
    let old = fs::read_link(&link).ok();
    let temporary = dir.join("..data_new");
    remove_link(&temporary)?;
    symlink(&stamp, &temporary).map_err(fail("link", &temporary))?;
    fs::rename(&temporary, &link).map_err(fail("rename to", &link))?;
    let tops: BTreeSet<&str> = files.keys().filter_map(|path| path.split('/').next()).collect();
    for entry in fs::read_dir(dir).map_err(fail("list", dir))?.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if !name.starts_with("..") && !tops.contains(name.as_str()) {
            remove_link(&entry.path())?;
        }
    }
    for top in tops {
        let path = dir.join(top);
        if fs::symlink_metadata(&path).is_err() {
            symlink(PathBuf::from("..data").join(top), &path).map_err(fail("link", &path))?;
        }
    }
    if let Some(old) = old {
        crate::proc::remove_dir(&dir.join(old))?;
    }
    Ok(true)
}

fn remove_link(path: &Path) -> Result<(), Error> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Error::disk("remove", path)(error)),
        _ => Ok(()),
    }
}

fn stamp(files: &Files) -> String {
    let mut text = Vec::new();
    for (name, file) in files {
        text.extend_from_slice(format!("{name}\0{}\0{}\0", file.mode, file.bytes.len()).as_bytes());
        text.extend_from_slice(&file.bytes);
    }
    format!("..{}", &images::Digest::of(&text).hex()[..24])
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn place() -> Place {
        Place { pod_ip: "10.0.0.2".into(), host_ip: "10.0.0.1".into(), node: "n".into(), allocatable: (1000, 1) }
    }

    fn sources() -> Sources {
        Sources {
            config_maps: BTreeMap::from([(
                "cm".into(),
                serde_json::from_value(json!({ "data": { "a": "1", "b": "2" } })).unwrap(),
            )]),
            secrets: BTreeMap::from([(
                "s".into(),
                serde_json::from_value(json!({ "data": { "p": "eA==" } })).unwrap(),
            )]),
            tokens: BTreeMap::from([((String::new(), 600), "tok".into())]),
        }
    }

    fn of(volume: serde_json::Value) -> Result<String, String> {
        let volume: Volume = serde_json::from_value(volume).unwrap();
        let pod: Pod = serde_json::from_value(json!({ "metadata": { "name": "p", "labels": { "x": "y" } } })).unwrap();
        let files = files(&volume, &pod, &sources(), &place()).map_err(|error| error.to_string())?;
        let Some(files) = files else { return Ok("empty".to_owned()) };
        let show = |(path, file): (&String, &VolumeFile)| {
            format!("{path}={}:{:o}", String::from_utf8_lossy(&file.bytes), file.mode)
        };
        Ok(files.iter().map(show).collect::<Vec<_>>().join(" "))
    }

    #[test]
    fn volumes_hold_the_files_of_their_sources() {
        for (volume, expected) in [
            (json!({ "name": "v", "emptyDir": {} }), "empty"),
            (json!({ "name": "v", "configMap": { "name": "cm" } }), "a=1:644 b=2:644"),
            (
                json!({ "name": "v", "configMap": { "name": "cm", "items": [{ "key": "a", "path": "x/y", "mode": 256 }] } }),
                "x/y=1:400",
            ),
            (json!({ "name": "v", "configMap": { "name": "no", "optional": true } }), ""),
            (json!({ "name": "v", "secret": { "secretName": "s", "defaultMode": 288 } }), "p=x:440"),
            (
                json!({ "name": "v", "projected": { "sources": [
                    { "serviceAccountToken": { "path": "token", "expirationSeconds": 600 } },
                    { "configMap": { "name": "cm", "items": [{ "key": "b", "path": "b" }] } },
                    { "downwardAPI": { "items": [{ "path": "labels", "fieldRef": { "fieldPath": "metadata.labels" } }] } },
                ] } }),
                "b=2:644 labels=x=\"y\":644 token=tok:644",
            ),
        ] {
            assert_eq!(of(volume).unwrap(), expected);
        }
        let missing = of(json!({ "name": "v", "configMap": { "name": "no" } })).unwrap_err();
        assert!(missing.contains("configmap \"no\" not found"), "{missing}");
        let evil = json!({ "name": "v", "configMap": { "name": "cm", "items": [{ "key": "a", "path": "../x" }] } });
        assert!(of(evil).unwrap_err().contains("leaves the volume"));
    }

    #[test]
    fn files_change_together_and_what_is_gone_goes() {
        let dir = tempfile::tempdir().unwrap();
        let file = |text: &str| VolumeFile { bytes: text.into(), mode: 0o644 };
        let first = Files::from([("a".into(), file("1")), ("d/b".into(), file("2"))]);
        assert!(write(dir.path(), &first, None).unwrap());
        assert!(!write(dir.path(), &first, None).unwrap(), "the same files are not written again");
        assert_eq!(fs::read_to_string(dir.path().join("d/b")).unwrap(), "2");
        assert!(write(dir.path(), &Files::from([("a".into(), file("3"))]), None).unwrap());
        assert_eq!(fs::read_to_string(dir.path().join("a")).unwrap(), "3");
        assert!(fs::symlink_metadata(dir.path().join("d")).is_err());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 3, "one set of files, ..data and the link to a");
    }
}
