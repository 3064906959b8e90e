//! The content store: blobs by digest, and per repository its manifests, tags and links to blobs.
//!
//! It is responsible for that nothing half-written is ever visible: every file is
//! written aside, checked, synced and renamed. It never deletes a blob.

use std::{
    fs::{self, File},
    io::{self, Read, Write},
    path::{Path, PathBuf},
    sync::Arc,
};

use oci_spec::image::{Arch, Descriptor, ImageConfiguration, ImageIndex, ImageManifest, MediaType, Os};

use crate::{Digest, Error, Reference, digest::Hasher, reference};

/// The largest manifest that is taken, in bytes.
pub(crate) const MANIFEST_LIMIT: u64 = 4 << 20;

/// A store of images in one folder. Clones share it.
#[derive(Clone, Debug)]
pub struct Store {
    dir: Arc<PathBuf>,
}

/// How a manifest is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// By its digest.
    Digest(Digest),
    /// By a tag of the repository.
    Tag(String),
}

impl Target {
    /// Parses a manifest reference: a digest if it has a `:`, else a tag.
    pub fn parse(value: &str) -> Result<Self, Error> {
        if value.contains(':') {
            return Digest::parse(value).map(Self::Digest);
        }
        if reference::is_tag(value) {
            return Ok(Self::Tag(value.to_owned()));
        }
        Err(Error::InvalidReference {
            value: value.chars().take(200).collect(),
            why: "it is neither a tag nor a digest",
        })
    }
}

/// A manifest as it was pushed.
#[derive(Clone, Debug)]
pub struct Manifest {
    /// Its digest.
    pub digest: Digest,
    /// Its media type.
    pub media_type: String,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

/// An image for this machine's architecture.
#[derive(Clone, Debug)]
pub struct Image {
    /// The digest of its manifest.
    pub digest: Digest,
    /// Its layers, lowest first.
    pub layers: Vec<Descriptor>,
    /// Its configuration.
    pub config: ImageConfiguration,
}

/// A blob on its way in. Dropping it removes what was written.
pub struct Upload {
    store: Store,
    path: PathBuf,
    file: File,
    hasher: Hasher,
}

impl Store {
    /// Opens the store in `dir`, makes it if it is not there, and removes what killed uploads left.
    pub fn open(dir: impl AsRef<Path>) -> Result<Self, Error> {
        let store = Self { dir: Arc::new(dir.as_ref().to_owned()) };
        let uploads = store.dir.join("uploads");
        if uploads.exists() {
            fs::remove_dir_all(&uploads).map_err(Error::disk("remove", &uploads))?;
        }
        for sub in ["blobs/sha256", "repositories", "uploads", "packed"] {
            let path = store.dir.join(sub);
            fs::create_dir_all(&path).map_err(Error::disk("create", &path))?;
        }
        Ok(store)
    }

    /// Returns the file that `digest` lies in if it is there; its content is not checked.
    pub fn blob_path(&self, digest: &Digest) -> PathBuf {
        self.dir.join("blobs/sha256").join(digest.hex())
    }

    /// Returns a blob's length, or `None` if it is not there.
    pub fn blob_length(&self, digest: &Digest) -> Option<u64> {
        fs::metadata(self.blob_path(digest)).ok().filter(fs::Metadata::is_file).map(|meta| meta.len())
    }

    /// Checks that a blob on disk still has its digest, and returns its length.
    ///
    /// # Errors
    /// [`Error::DigestMismatch`] if the disk damaged it, [`Error::NotFound`] if it is not there.
    pub fn check_blob(&self, digest: &Digest) -> Result<u64, Error> {
        let path = self.blob_path(digest);
        let file = File::open(&path).map_err(|source| not_found_or(digest, "open", &path, source))?;
        let (actual, length) = Digest::of_reader(file).map_err(Error::disk("read", &path))?;
        if actual != *digest {
            return Err(Error::DigestMismatch { expected: digest.to_string(), actual: actual.to_string() });
        }
        Ok(length)
    }

    /// Returns a blob's bytes, checked against its digest; for manifests and configurations, which are small.
    pub fn read_blob(&self, digest: &Digest) -> Result<Vec<u8>, Error> {
        let path = self.blob_path(digest);
        let file = File::open(&path).map_err(|source| not_found_or(digest, "open", &path, source))?;
        let mut bytes = Vec::new();
        file.take(MANIFEST_LIMIT + 1).read_to_end(&mut bytes).map_err(Error::disk("read", &path))?;
        if bytes.len() as u64 > MANIFEST_LIMIT {
            return Err(Error::TooLarge { what: "a manifest", limit: MANIFEST_LIMIT });
        }
        let actual = Digest::of(&bytes);
        if actual != *digest {
            return Err(Error::DigestMismatch { expected: digest.to_string(), actual: actual.to_string() });
        }
        Ok(bytes)
    }

    /// Begins a blob.
    pub fn upload(&self) -> Result<Upload, Error> {
        let path = self.dir.join("uploads").join(uuid::Uuid::new_v4().to_string());
        let file = File::create_new(&path).map_err(Error::disk("create", &path))?;
        Ok(Upload { store: self.clone(), path, file, hasher: Hasher::default() })
    }

    /// Stores a small blob whole and returns its digest.
    pub fn put_blob(&self, bytes: &[u8]) -> Result<Digest, Error> {
        let digest = Digest::of(bytes);
        if self.blob_length(&digest).is_some() && self.check_blob(&digest).is_ok() {
            return Ok(digest);
        }
        let mut upload = self.upload()?;
        upload.write(bytes)?;
        upload.finish(Some(&digest))
    }

    /// Lets `repository` serve a blob that the store has.
    pub fn link_blob(&self, repository: &str, digest: &Digest) -> Result<(), Error> {
        self.write_durably(&self.repository(repository)?.join("_blobs").join(digest.hex()), b"")
    }

    /// Returns whether `repository` serves this blob.
    pub fn has_blob(&self, repository: &str, digest: &Digest) -> Result<bool, Error> {
        Ok(self.repository(repository)?.join("_blobs").join(digest.hex()).exists()
            && self.blob_length(digest).is_some())
    }

    /// Removes a blob from a repository; its content stays for others.
    pub fn unlink_blob(&self, repository: &str, digest: &Digest) -> Result<bool, Error> {
        remove(&self.repository(repository)?.join("_blobs").join(digest.hex()))
    }

    /// Stores a manifest in a repository, under a tag or by its digest alone.
    ///
    /// # Errors
    /// [`Error::DigestMismatch`] if `target` is a digest and not that of `bytes`.
    pub fn put_manifest(
        &self,
        repository: &str,
        target: &Target,
        media_type: &str,
        bytes: &[u8],
    ) -> Result<Digest, Error> {
        let dir = self.repository(repository)?;
        if bytes.len() as u64 > MANIFEST_LIMIT {
            return Err(Error::TooLarge { what: "a manifest", limit: MANIFEST_LIMIT });
        }
        if let Target::Digest(expected) = target {
            let actual = Digest::of(bytes);
            if actual != *expected {
                return Err(Error::DigestMismatch { expected: expected.to_string(), actual: actual.to_string() });
            }
        }
        let digest = self.put_blob(bytes)?;
        self.write_durably(&dir.join("_manifests").join(digest.hex()), media_type.as_bytes())?;
        if let Target::Tag(tag) = target {
            self.write_durably(&dir.join("_tags").join(tag), digest.to_string().as_bytes())?;
        }
        Ok(digest)
    }

    /// Returns a repository's manifest, or `None` if it has none such.
    pub fn manifest(&self, repository: &str, target: &Target) -> Result<Option<Manifest>, Error> {
        let dir = self.repository(repository)?;
        let digest = match target {
            Target::Digest(digest) => digest.clone(),
            Target::Tag(tag) => match read_text(&dir.join("_tags").join(tag))? {
                Some(text) => Digest::parse(&text)?,
                None => return Ok(None),
            },
        };
        let Some(media_type) = read_text(&dir.join("_manifests").join(digest.hex()))? else { return Ok(None) };
        let bytes = self.read_blob(&digest)?;
        Ok(Some(Manifest { digest, media_type, bytes }))
    }

    /// Removes a tag, or a manifest with every tag that names it; returns whether it was there.
    pub fn delete_manifest(&self, repository: &str, target: &Target) -> Result<bool, Error> {
        let dir = self.repository(repository)?;
        match target {
            Target::Tag(tag) => remove(&dir.join("_tags").join(tag)),
            Target::Digest(digest) => {
                for tag in self.tags(repository)?.unwrap_or_default() {
                    let path = dir.join("_tags").join(tag);
                    if read_text(&path)?.is_some_and(|text| text == digest.to_string()) {
                        remove(&path)?;
                    }
                }
                remove(&dir.join("_manifests").join(digest.hex()))
            }
        }
    }

    /// Returns a repository's tags, sorted, or `None` if there is no such repository.
    pub fn tags(&self, repository: &str) -> Result<Option<Vec<String>>, Error> {
        let dir = self.repository(repository)?;
        if !dir.join("_manifests").exists() {
            return Ok(None);
        }
        names(&dir.join("_tags")).map(Some)
    }

    /// Returns the digests of a repository's manifests, sorted.
    pub fn manifests(&self, repository: &str) -> Result<Vec<Digest>, Error> {
        let names = names(&self.repository(repository)?.join("_manifests"))?;
        names.iter().map(|hex| Digest::parse(&format!("sha256:{hex}"))).collect()
    }

    /// Returns the repositories that hold a manifest, sorted.
    pub fn repositories(&self) -> Result<Vec<String>, Error> {
        let root = self.dir.join("repositories");
        let mut found = Vec::new();
        let mut open = vec![String::new()];
        while let Some(prefix) = open.pop() {
            for name in names(&root.join(&prefix))? {
                if name == "_manifests" {
                    found.push(prefix.clone());
                } else if !name.starts_with('_') {
                    open.push(if prefix.is_empty() { name } else { format!("{prefix}/{name}") });
                }
            }
        }
        found.sort();
        Ok(found)
    }

    /// Returns the image that `reference` names, for this machine's architecture.
    ///
    /// # Errors
    /// [`Error::RemoteRegistry`] if it lies elsewhere, [`Error::NotFound`] if it is not here.
    pub fn image(&self, reference: &Reference) -> Result<Image, Error> {
        let repository = &reference.repository;
        if !reference.is_local() {
            return Err(Error::RemoteRegistry {
                reference: reference.to_string(),
                host: reference.host.clone(),
                repository: reference.path(),
            });
        }
        let target = match (&reference.digest, &reference.tag) {
            (Some(digest), _) => Target::Digest(digest.clone()),
            (None, tag) => Target::Tag(tag.clone().unwrap_or_else(|| "latest".to_owned())),
        };
        let not_found = || Error::NotFound { reference: reference.to_string() };
        let manifest = self.manifest(repository, &target)?.ok_or_else(not_found)?;
        let invalid = |digest: &Digest, why: String| Error::InvalidManifest { digest: digest.to_string(), why };
        let (digest, bytes) = if is_index(&manifest.media_type) {
            let index: ImageIndex =
                serde_json::from_slice(&manifest.bytes).map_err(|e| invalid(&manifest.digest, e.to_string()))?;
            let chosen = index.manifests().iter().find(|entry| {
                entry.platform().as_ref().is_some_and(|p| *p.os() == Os::Linux && *p.architecture() == Arch::default())
            });
            let why = || format!("it has no manifest for linux/{}", Arch::default());
            let chosen = chosen.ok_or_else(|| invalid(&manifest.digest, why()))?;
            let digest = Digest::parse(chosen.digest().as_ref())?;
            let bytes = self.manifest(repository, &Target::Digest(digest.clone()))?.ok_or_else(not_found)?.bytes;
            (digest, bytes)
        } else {
            (manifest.digest, manifest.bytes)
        };
        let manifest: ImageManifest = serde_json::from_slice(&bytes).map_err(|e| invalid(&digest, e.to_string()))?;
        let config = self.read_blob(&Digest::parse(manifest.config().digest().as_ref())?)?;
        let config: ImageConfiguration =
            serde_json::from_slice(&config).map_err(|e| invalid(&digest, e.to_string()))?;
        if *config.os() != Os::Linux || *config.architecture() != Arch::default() {
            let why = format!(
                "it is for {}/{}, this machine is linux/{}",
                config.os(),
                config.architecture(),
                Arch::default()
            );
            return Err(invalid(&digest, why));
        }
        Ok(Image { digest, layers: manifest.layers().clone(), config })
    }

    pub(crate) fn packed_dir(&self) -> PathBuf {
        self.dir.join("packed")
    }

    /// Writes `path` so that after a crash it has either its old or its new content.
    pub(crate) fn write_durably(&self, path: &Path, content: &[u8]) -> Result<(), Error> {
        let dir = path.parent().unwrap_or(Path::new("/"));
        fs::create_dir_all(dir).map_err(Error::disk("create", dir))?;
        let temporary = self.dir.join("uploads").join(uuid::Uuid::new_v4().to_string());
        let mut file = File::create_new(&temporary).map_err(Error::disk("create", &temporary))?;
        file.write_all(content).and_then(|()| file.sync_all()).map_err(Error::disk("write", &temporary))?;
        fs::rename(&temporary, path).map_err(Error::disk("rename to", path))?;
        sync_dir(dir)
    }

    fn repository(&self, name: &str) -> Result<PathBuf, Error> {
        if reference::is_repository(name) {
            return Ok(self.dir.join("repositories").join(name));
        }
        Err(Error::InvalidReference { value: name.chars().take(200).collect(), why: "it is not a repository name" })
    }
}

impl Upload {
    /// Adds `bytes` to the blob.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.hasher.update(bytes);
        self.file.write_all(bytes).map_err(Error::disk("write", &self.path))
    }

    /// Returns how much was written.
    pub fn length(&self) -> u64 {
        self.hasher.length()
    }

    /// Makes the blob visible under its digest and returns it.
    ///
    /// # Errors
    /// [`Error::DigestMismatch`] if it is not `expected`; then nothing becomes visible.
    pub fn finish(self, expected: Option<&Digest>) -> Result<Digest, Error> {
        let (digest, _) = self.hasher.clone().finish();
        if let Some(expected) = expected.filter(|expected| **expected != digest) {
            return Err(Error::DigestMismatch { expected: expected.to_string(), actual: digest.to_string() });
        }
        self.file.sync_all().map_err(Error::disk("sync", &self.path))?;
        let to = self.store.blob_path(&digest);
        fs::rename(&self.path, &to).map_err(Error::disk("rename to", &to))?;
        sync_dir(to.parent().unwrap_or(Path::new("/")))?;
        Ok(digest)
    }
}

impl Write for Upload {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let n = self.file.write(bytes)?;
        self.hasher.update(&bytes[..n]);
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        // After `finish` the file is gone from here; an abandoned one is also swept at the next start.
        fs::remove_file(&self.path).ok();
    }
}

/// Returns whether a media type is that of an index of manifests.
pub(crate) fn is_index(media_type: &str) -> bool {
    MediaType::from(media_type) == MediaType::ImageIndex
        || media_type == "application/vnd.docker.distribution.manifest.list.v2+json"
}

fn sync_dir(dir: &Path) -> Result<(), Error> {
    File::open(dir).and_then(|file| file.sync_all()).map_err(Error::disk("sync", dir))
}

fn not_found_or(digest: &Digest, operation: &'static str, path: &Path, source: io::Error) -> Error {
    if source.kind() == io::ErrorKind::NotFound {
        return Error::NotFound { reference: digest.to_string() };
    }
    Error::disk(operation, path)(source)
}

fn read_text(path: &Path) -> Result<Option<String>, Error> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::disk("read", path)(error)),
    }
}

fn remove(path: &Path) -> Result<bool, Error> {
    match fs::remove_file(path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(Error::disk("remove", path)(error)),
    }
}

fn names(dir: &Path) -> Result<Vec<String>, Error> {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(Error::disk("list", dir)(error)),
    };
    let mut names = Vec::new();
    for entry in entries {
        names.push(entry.map_err(Error::disk("list", dir))?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_upload_that_was_killed_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let mut upload = store.upload().unwrap();
        upload.write(b"half").unwrap();
        std::mem::forget(upload);
        assert_eq!(names(&dir.path().join("uploads")).unwrap().len(), 1);
        Store::open(dir.path()).unwrap();
        assert!(names(&dir.path().join("uploads")).unwrap().is_empty());
        assert!(names(&dir.path().join("blobs/sha256")).unwrap().is_empty());
    }

    #[test]
    fn content_with_another_digest_is_not_taken() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let mut upload = store.upload().unwrap();
        upload.write(b"content").unwrap();
        assert!(matches!(upload.finish(Some(&Digest::of(b"other"))), Err(Error::DigestMismatch { .. })));
        assert!(names(&dir.path().join("uploads")).unwrap().is_empty());
    }

    #[test]
    fn content_damaged_on_disk_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let digest = store.put_manifest("a/b", &Target::Tag("1".into()), "application/json", b"{}").unwrap();
        fs::write(store.blob_path(&digest), b"{ }").unwrap();
        assert!(matches!(store.check_blob(&digest), Err(Error::DigestMismatch { .. })));
        assert!(matches!(store.manifest("a/b", &Target::Tag("1".into())), Err(Error::DigestMismatch { .. })));
        store.put_blob(b"{}").unwrap();
        assert!(store.manifest("a/b", &Target::Tag("1".into())).unwrap().is_some(), "pushing it again heals it");
    }

    #[test]
    fn deleting_a_manifest_removes_its_tags() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let digest = store.put_manifest("a", &Target::Tag("1".into()), "t", b"{}").unwrap();
        store.put_manifest("a/b", &Target::Tag("2".into()), "t", b"{}").unwrap();
        assert_eq!(store.repositories().unwrap(), ["a", "a/b"]);
        assert!(store.delete_manifest("a", &Target::Digest(digest)).unwrap());
        assert_eq!(store.tags("a").unwrap().unwrap(), Vec::<String>::new());
        assert_eq!(store.tags("a/b").unwrap().unwrap(), ["2"]);
    }

    #[test]
    fn an_image_elsewhere_is_an_error_that_says_what_to_do() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let error = store.image(&Reference::parse("nginx:1").unwrap()).unwrap_err().to_string();
        assert!(error.contains("skopeo copy docker://docker.io/nginx:1"), "{error}");
        assert!(error.contains("registry.cluster.local/nginx:1"), "{error}");
    }
}
