//! Unpacking an image to a root file system that containers use as a lower layer.
//!
//! Layers come from anybody who may push, so nothing in them is trusted: every path
//! is resolved within the new root, devices are refused, size and number are bounded,
//! and each layer's digest is checked while it is read. A root is visible whole or
//! not at all. It never mounts anything.

use std::{
    fs::{self, File},
    io::{self, BufReader, Read},
    os::unix::fs::{PermissionsExt, symlink},
    path::{Component, Path, PathBuf},
};

use flate2::read::MultiGzDecoder;
use oci_spec::image::MediaType;
use tar::{Archive, Entry, EntryType};

use crate::{Digest, Error, Image, Store, digest::Hasher};

/// How much an image may unpack to.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The sum of all files, in bytes.
    pub bytes: u64,
    /// The number of entries of all layers.
    pub entries: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { bytes: 16 << 30, entries: 1 << 20 }
    }
}

/// Unpacks `image` below `cache` and returns its root; an image that is there already is not touched.
///
/// # Guarantees
/// The root is renamed into place after every layer was read and its digest checked.
/// Owners are set if this process may set them, else everything belongs to this user.
///
/// # Caveats
/// Extended attributes, and so file capabilities, are left out.
pub fn unpack(store: &Store, image: &Image, cache: &Path, limits: Limits) -> Result<PathBuf, Error> {
    let root = cache.join(image.digest.hex());
    if root.is_dir() {
        return Ok(root);
    }
    let partial = cache.join(format!(".partial-{}", uuid::Uuid::new_v4()));
    fs::create_dir_all(&partial).map_err(Error::disk("create", &partial))?;
    let done = unpack_layers(store, image, &partial, limits).and_then(|()| match fs::rename(&partial, &root) {
        // Somebody else unpacked the same image meanwhile.
        Err(_) if root.is_dir() => fs::remove_dir_all(&partial).map_err(Error::disk("remove", &partial)),
        result => result.map_err(Error::disk("rename to", &root)),
    });
    if let Err(error) = done {
        fs::remove_dir_all(&partial).map_err(Error::disk("remove", &partial))?;
        return Err(error);
    }
    Ok(root)
}

/// Removes what killed calls of [`unpack`] left in `cache`; call it before the first one.
pub fn sweep(cache: &Path) -> Result<(), Error> {
    fs::create_dir_all(cache).map_err(Error::disk("create", cache))?;
    for entry in fs::read_dir(cache).map_err(Error::disk("list", cache))? {
        let path = entry.map_err(Error::disk("list", cache))?.path();
        if path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(".partial-")) {
            fs::remove_dir_all(&path).map_err(Error::disk("remove", &path))?;
        }
    }
    Ok(())
}

fn unpack_layers(store: &Store, image: &Image, root: &Path, limits: Limits) -> Result<(), Error> {
    fs::set_permissions(root, fs::Permissions::from_mode(0o755)).map_err(Error::disk("open up", root))?;
    let mut left = limits;
    for layer in &image.layers {
        let digest = Digest::parse(layer.digest().as_ref())?;
        let path = store.blob_path(&digest);
        let file = File::open(&path).map_err(Error::disk("open", &path))?;
        let mut source = Checked { inner: BufReader::with_capacity(1 << 17, file), hasher: Hasher::default() };
        let gzip = match layer.media_type() {
            MediaType::ImageLayerGzip => true,
            MediaType::ImageLayer => false,
            MediaType::Other(other) if other == "application/vnd.docker.image.rootfs.diff.tar.gzip" => true,
            other => {
                let why = format!("layers of type {other} are not supported: use gzip or plain tar");
                return Err(Error::InvalidManifest { digest: image.digest.to_string(), why });
            }
        };
        let reader: Box<dyn Read + '_> =
            if gzip { Box::new(MultiGzDecoder::new(&mut source)) } else { Box::new(&mut source) };
        extract(reader, root, &digest, &mut left, limits)?;
        io::copy(&mut source, &mut io::sink()).map_err(Error::disk("read", &path))?;
        let (actual, _) = source.hasher.finish();
        if actual != digest {
            return Err(Error::DigestMismatch { expected: digest.to_string(), actual: actual.to_string() });
        }
    }
    Ok(())
}

fn extract(
    reader: Box<dyn Read + '_>,
    root: &Path,
    layer: &Digest,
    left: &mut Limits,
    limits: Limits,
) -> Result<(), Error> {
    let mut archive = Archive::new(reader);
    let broken = |source| Error::Disk { operation: "unpack layer", path: layer.to_string().into(), source };
    // Folders get their modes last, so that a read-only one can be filled.
    let mut folders = Vec::new();
    for entry in archive.entries().map_err(broken)? {
        let mut entry = entry.map_err(broken)?;
        let path = entry.path().map_err(broken)?.into_owned();
        let unsafe_entry = |why| Error::UnsafeLayer {
            layer: layer.to_string(),
            entry: path.to_string_lossy().chars().take(300).collect(),
            why,
        };
        left.entries =
            left.entries.checked_sub(1).ok_or(Error::TooLarge { what: "an image", limit: limits.entries })?;
        left.bytes = left
            .bytes
            .checked_sub(entry.size())
            .ok_or(Error::TooLarge { what: "an unpacked image", limit: limits.bytes })?;
        if matches!(entry.header().entry_type(), EntryType::XGlobalHeader) {
            continue;
        }
        let relative = relative(&path).ok_or_else(|| unsafe_entry("it leaves the root"))?;
        let Some(name) = relative.file_name().map(|name| name.to_string_lossy().into_owned()) else { continue };
        let parent = inside(root, relative.parent().unwrap_or(Path::new("")), 0)
            .map_err(Error::disk("resolve", root.join(&relative)))?
            .ok_or_else(|| unsafe_entry("its path is a loop of links"))?;
        if !parent.is_dir() {
            clear(&parent).map_err(Error::disk("replace", &parent))?;
            fs::create_dir_all(&parent).map_err(Error::disk("create", &parent))?;
        }
        let target = parent.join(&name);
        if name == ".wh..wh..opq" {
            // Only what lower layers put there goes; entries of this layer come after it by the specification.
            for child in fs::read_dir(&parent).map_err(Error::disk("list", &parent))? {
                let child = child.map_err(Error::disk("list", &parent))?.path();
                clear(&child).map_err(Error::disk("remove", &child))?;
            }
            continue;
        }
        if let Some(hidden) = name.strip_prefix(".wh.") {
            if matches!(hidden, "" | "." | "..") {
                return Err(unsafe_entry("it hides no name"));
            }
            let hidden = parent.join(hidden);
            clear(&hidden).map_err(Error::disk("remove", &hidden))?;
            continue;
        }
        if let Err(why) = place(&mut entry, root, &target, &mut folders).map_err(Error::disk("write", &target))? {
            return Err(unsafe_entry(why));
        }
    }
    for (path, mode) in folders.into_iter().rev() {
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).map_err(Error::disk("set the mode of", &path))?;
    }
    Ok(())
}

/// Puts one entry at `target`, whose parent is a folder within the root; the inner result says why it must not be.
fn place(
    entry: &mut Entry<'_, Box<dyn Read + '_>>,
    root: &Path,
    target: &Path,
    folders: &mut Vec<(PathBuf, u32)>,
) -> io::Result<Result<(), &'static str>> {
    let mode = entry.header().mode()? & 0o7777;
    let owner = (entry.header().uid()? as u32, entry.header().gid()? as u32);
    match entry.header().entry_type() {
        EntryType::Directory => {
            if !fs::symlink_metadata(target).is_ok_and(|meta| meta.is_dir()) {
                clear(target)?;
                fs::create_dir(target)?;
            }
            own(target, owner)?;
            folders.push((target.to_owned(), mode));
        }
        EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => {
            clear(target)?;
            let mut file = File::create_new(target)?;
            io::copy(entry, &mut file)?;
            own(target, owner)?;
            fs::set_permissions(target, fs::Permissions::from_mode(mode))?;
        }
        EntryType::Symlink => {
            let Some(link) = entry.link_name()? else { return Ok(Err("it is a link to nothing")) };
            clear(target)?;
            // The text is free: it is resolved within the container's root when it is used, and by `inside` here.
            symlink(link, target)?;
            own(target, owner)?;
        }
        EntryType::Link => {
            let Some(link) = entry.link_name()? else { return Ok(Err("it is a link to nothing")) };
            let Some(link) = relative(&link) else { return Ok(Err("it links to outside of the root")) };
            let (Some(name), Some(parent)) = (link.file_name(), link.parent()) else {
                return Ok(Err("it links to the root"));
            };
            let Some(parent) = inside(root, parent, 0)? else { return Ok(Err("its target is a loop of links")) };
            let from = parent.join(name);
            if !fs::symlink_metadata(&from).is_ok_and(|meta| meta.is_file() || meta.is_symlink()) {
                return Ok(Err("it links to a file that is not in the image"));
            }
            if from != target {
                clear(target)?;
                fs::hard_link(from, target)?;
            }
        }
        EntryType::Char | EntryType::Block => return Ok(Err("it is a device")),
        EntryType::Fifo => return Ok(Err("it is a pipe")),
        _ => return Ok(Err("its type is not known")),
    }
    Ok(Ok(()))
}

/// Returns `path` without its root and dots, or `None` if it has a `..`.
fn relative(path: &Path) -> Option<PathBuf> {
    let mut clean = PathBuf::new();
    for component in path.components() {
        match component {
            Component::Normal(name) => clean.push(name),
            Component::RootDir | Component::CurDir => {}
            Component::ParentDir | Component::Prefix(_) => return None,
        }
    }
    Some(clean)
}

/// Resolves `path` below `root` the way a process whose root it is would, links included.
///
/// Returns `None` for a loop of links. What does not exist yet is taken as it is written.
fn inside(root: &Path, path: &Path, depth: u32) -> io::Result<Option<PathBuf>> {
    if depth > 40 {
        return Ok(None);
    }
    let mut at = PathBuf::new();
    let mut rest = path.components();
    while let Some(component) = rest.next() {
        match component {
            Component::Normal(name) => at.push(name),
            Component::ParentDir => {
                at.pop();
                continue;
            }
            Component::RootDir | Component::CurDir | Component::Prefix(_) => continue,
        }
        let full = root.join(&at);
        if fs::symlink_metadata(&full).is_ok_and(|meta| meta.is_symlink()) {
            let link = fs::read_link(&full)?;
            at.pop();
            let next = if link.is_absolute() { link } else { at.join(link) };
            return inside(root, &next.join(rest.as_path()), depth + 1);
        }
    }
    Ok(Some(root.join(at)))
}

/// Removes what lies at `path`, if anything; never follows a link.
fn clear(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Ok(meta) if meta.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

fn own(path: &Path, (uid, gid): (u32, u32)) -> io::Result<()> {
    match std::os::unix::fs::lchown(path, Some(uid), Some(gid)) {
        // Without the right to give files away everything belongs to this user, as documented.
        Err(error) if matches!(error.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::InvalidInput) => Ok(()),
        result => result,
    }
}

/// Digests what is read through it.
struct Checked<R> {
    inner: R,
    hasher: Hasher,
}

impl<R: Read> Read for Checked<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buffer)?;
        self.hasher.update(&buffer[..n]);
        Ok(n)
    }
}

#[cfg(test)]
#[path = "unpack_tests.rs"]
mod tests;
