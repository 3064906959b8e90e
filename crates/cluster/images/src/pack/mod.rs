//! Packing an executable of this machine, with all that it needs to run, into an image.
//!
//! The same input gives the same digest on every run, and unchanged input is not
//! packed again. It never needs a container engine and never puts a secret, a
//! certificate or a shell into the image.

mod elf;
mod libraries;

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, Write},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use flate2::{Compression, GzBuilder};
use oci_spec::image::{Arch, MediaType};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tar::{Builder, EntryType, Header};

use crate::{Digest, Error, Reference, Store, Target, digest::Hasher};

/// What the image says about how it is run.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Config {
    /// Where the executable lies in the image; `/usr/bin/<its name>` if empty.
    pub path: String,
    /// The entrypoint; the executable alone if empty.
    pub entrypoint: Vec<String>,
    /// The default arguments.
    pub cmd: Vec<String>,
    /// `NAME=value` each.
    pub env: Vec<String>,
    /// The working directory; `/` if empty.
    pub working_dir: String,
    /// The user, as `uid` or `uid:gid`; root if empty.
    pub user: String,
}

/// Returns the dynamic linker that an executable names, or `None` if it is static.
///
/// # Errors
/// [`Error::Elf`] if it is not an executable of this kind, a script for example.
pub fn interpreter(executable: &Path) -> Result<Option<String>, Error> {
    elf::read(executable).map(|elf| elf.interpreter)
}

/// What was packed last time, to see whether it changed.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Memory {
    inputs: Vec<(PathBuf, u64, i64, i64, u64)>,
    digest: String,
}

/// Packs `executable` as `reference` into `store` and returns the manifest's digest.
///
/// # Guarantees
/// The same executable, libraries and `config` give the same digest.
/// If none of them changed since the last call, nothing is read but their metadata.
pub fn pack(store: &Store, executable: &Path, reference: &Reference, config: &Config) -> Result<Digest, Error> {
    let executable = fs::canonicalize(executable).map_err(Error::disk("find", executable))?;
    let key = Digest::of(json!([executable, reference.path(), config]).to_string().as_bytes()).hex();
    let memory = store.packed_dir().join(key);
    if let Some(digest) = remembered(store, reference, &memory) {
        return Ok(digest);
    }
    let needs = libraries::find(&executable)?;
    let inputs = std::iter::once(&executable).chain(needs.libraries.values()).map(|path| facts(path));
    let inputs = inputs.collect::<io::Result<Vec<_>>>().map_err(Error::disk("look at", &executable))?;

    let name = executable.file_name().unwrap_or_default().to_string_lossy();
    let path = if config.path.is_empty() { format!("/usr/bin/{name}") } else { config.path.clone() };
    let (layer, diff, length) = write_layer(store, &plan(&executable, &path, &needs))?;
    let manifest = describe(store, config, &path, &layer, &diff, length)?;

    for digest in [&layer, &manifest.1] {
        store.link_blob(&reference.repository, digest)?;
    }
    let tag = reference.tag.clone().unwrap_or_else(|| "latest".to_owned());
    let media_type = MediaType::ImageManifest.to_string();
    let digest = store.put_manifest(&reference.repository, &Target::Tag(tag), &media_type, &manifest.0)?;
    let text = json!(Memory { inputs, digest: digest.to_string() }).to_string();
    store.write_durably(&memory, text.as_bytes())?;
    Ok(digest)
}

fn remembered(store: &Store, reference: &Reference, memory: &Path) -> Option<Digest> {
    let memory: Memory = serde_json::from_slice(&fs::read(memory).ok()?).ok()?;
    let unchanged = memory.inputs.iter().all(|input| facts(&input.0).is_ok_and(|now| now == *input));
    let digest = Digest::parse(&memory.digest).ok()?;
    let image = unchanged.then(|| store.image(reference).ok()).flatten()?;
    let whole = image.layers.iter().all(|layer| {
        Digest::parse(layer.digest().as_ref()).ok().and_then(|d| store.blob_length(&d)) == Some(layer.size())
    });
    (image.digest == digest && whole).then_some(digest)
}

fn facts(path: &Path) -> io::Result<(PathBuf, u64, i64, i64, u64)> {
    let meta = fs::metadata(path)?;
    Ok((path.to_owned(), meta.len(), meta.mtime(), meta.mtime_nsec(), meta.ino()))
}

/// What lies at one path of the image.
enum Entry {
    Directory(u32),
    Text(&'static str),
    File(PathBuf),
}

/// Returns every path of the image, without the leading `/`, parents included.
fn plan(executable: &Path, path: &str, needs: &libraries::Needs) -> BTreeMap<String, Entry> {
    let mut entries = BTreeMap::new();
    for name in ["dev", "etc", "proc", "run", "sys", "usr", "var"] {
        entries.insert(name.to_owned(), Entry::Directory(0o755));
    }
    entries.insert("tmp".to_owned(), Entry::Directory(0o1777));
    let passwd = "root:x:0:0:root:/:/sbin/nologin\napp:x:1000:1000:app:/:/sbin/nologin\nnobody:x:65534:65534:nobody:/:/sbin/nologin\n";
    entries.insert("etc/passwd".to_owned(), Entry::Text(passwd));
    entries.insert("etc/group".to_owned(), Entry::Text("root:x:0:\napp:x:1000:\nnogroup:x:65534:\n"));
    entries.insert("etc/nsswitch.conf".to_owned(), Entry::Text("passwd: files\ngroup: files\nhosts: files dns\n"));
    let mut add = |path: &str, from: &Path| {
        let path = path.trim_start_matches('/');
        for (at, _) in path.match_indices('/') {
            entries.entry(path[..at].to_owned()).or_insert(Entry::Directory(0o755));
        }
        entries.insert(path.to_owned(), Entry::File(from.to_owned()));
    };
    add(path, executable);
    if let Some(interpreter) = &needs.interpreter {
        add(interpreter, Path::new(interpreter));
    }
    for (name, from) in &needs.libraries {
        add(&format!("{}/{name}", needs.folder), from);
    }
    entries
}

fn write_layer(store: &Store, entries: &BTreeMap<String, Entry>) -> Result<(Digest, Digest, u64), Error> {
    let upload = store.upload()?;
    let gzip = GzBuilder::new().mtime(0).operating_system(255).write(upload, Compression::fast());
    let mut tar = Builder::new(Tee { inner: gzip, hasher: Hasher::default() });
    let failed = |path: &str| Error::disk("pack", format!("/{path}"));
    for (path, entry) in entries {
        let mut header = Header::new_gnu();
        header.set_mtime(0);
        header.set_uid(0);
        header.set_gid(0);
        match entry {
            Entry::Directory(mode) => {
                header.set_entry_type(EntryType::Directory);
                header.set_mode(*mode);
                header.set_size(0);
                tar.append_data(&mut header, format!("{path}/"), io::empty()).map_err(failed(path))?;
            }
            Entry::Text(text) => {
                header.set_mode(0o644);
                header.set_size(text.len() as u64);
                tar.append_data(&mut header, path, text.as_bytes()).map_err(failed(path))?;
            }
            Entry::File(from) => {
                let file = File::open(from).map_err(Error::disk("open", from))?;
                header.set_mode(0o755);
                header.set_size(file.metadata().map_err(Error::disk("look at", from))?.len());
                tar.append_data(&mut header, path, file).map_err(failed(path))?;
            }
        }
    }
    let tee = tar.into_inner().map_err(failed(""))?;
    let (diff, _) = tee.hasher.finish();
    let upload = tee.inner.finish().map_err(failed(""))?;
    let length = upload.length();
    Ok((upload.finish(None)?, diff, length))
}

/// Stores the configuration and returns the manifest with the configuration's digest.
fn describe(
    store: &Store,
    config: &Config,
    path: &str,
    layer: &Digest,
    diff: &Digest,
    length: u64,
) -> Result<(Vec<u8>, Digest), Error> {
    let entrypoint = if config.entrypoint.is_empty() { vec![path.to_owned()] } else { config.entrypoint.clone() };
    let mut env = config.env.clone();
    if !env.iter().any(|variable| variable.starts_with("PATH=")) {
        env.insert(0, "PATH=/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin".to_owned());
    }
    let working_dir = if config.working_dir.is_empty() { "/" } else { &config.working_dir };
    let text = json!({
        "architecture": Arch::default().to_string(),
        "os": "linux",
        "created": "1970-01-01T00:00:00Z",
        "config": {
            "Entrypoint": entrypoint, "Cmd": config.cmd, "Env": env, "WorkingDir": working_dir, "User": config.user,
        },
        "rootfs": { "type": "layers", "diff_ids": [diff.to_string()] },
        "history": [{ "created": "1970-01-01T00:00:00Z", "created_by": "roadstead pack" }],
    })
    .to_string();
    let digest = store.put_blob(text.as_bytes())?;
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": MediaType::ImageManifest.to_string(),
        "config": {
            "mediaType": MediaType::ImageConfig.to_string(), "digest": digest.to_string(), "size": text.len(),
        },
        "layers": [{
            "mediaType": MediaType::ImageLayerGzip.to_string(), "digest": layer.to_string(), "size": length,
        }],
    });
    Ok((manifest.to_string().into_bytes(), digest))
}

/// Digests what goes through it.
struct Tee<W> {
    inner: W,
    hasher: Hasher,
}

impl<W: Write> Write for Tee<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let n = self.inner.write(bytes)?;
        self.hasher.update(&bytes[..n]);
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reference() -> Reference {
        Reference::parse("registry.cluster.local/shell:1").unwrap()
    }

    #[test]
    fn the_same_input_gives_the_same_digest_in_any_store() {
        let (a, b) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let digest = |dir: &Path| {
            pack(&Store::open(dir).unwrap(), Path::new("/bin/sh"), &reference(), &Config::default()).unwrap()
        };
        assert_eq!(digest(a.path()), digest(b.path()));
    }

    #[test]
    fn a_changed_executable_is_packed_again_and_an_unchanged_one_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path().join("store")).unwrap();
        let exe = dir.path().join("tool");
        fs::copy("/bin/sh", &exe).unwrap();
        let first = pack(&store, &exe, &reference(), &Config::default()).unwrap();
        let image = store.image(&reference()).unwrap();
        let layer = store.blob_path(&Digest::parse(image.layers[0].digest().as_ref()).unwrap());
        let written = fs::metadata(&layer).unwrap().ino();
        assert_eq!(pack(&store, &exe, &reference(), &Config::default()).unwrap(), first);
        assert_eq!(fs::metadata(&layer).unwrap().ino(), written, "the layer was written again");
        fs::OpenOptions::new().append(true).open(&exe).unwrap().write_all(b"x").unwrap();
        assert_ne!(pack(&store, &exe, &reference(), &Config::default()).unwrap(), first);
    }

    #[test]
    fn a_script_cannot_be_packed() {
        let dir = tempfile::tempdir().unwrap();
        let script = dir.path().join("x.sh");
        fs::write(&script, "#!/bin/sh\n".repeat(20)).unwrap();
        let store = Store::open(dir.path().join("store")).unwrap();
        assert!(matches!(pack(&store, &script, &reference(), &Config::default()), Err(Error::Elf { .. })));
    }
}
