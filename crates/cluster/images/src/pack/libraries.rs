//! Finding the libraries of an executable the way the dynamic linker does.
//!
//! `LD_LIBRARY_PATH` is left out on purpose: an image must not depend on who packs it.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    fs,
    path::{Path, PathBuf},
};

use super::elf::{self, Elf};
use crate::Error;

/// Where an executable's interpreter and libraries lie on this machine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Needs {
    /// The path that the executable names, to be had at that path in the image.
    pub(super) interpreter: Option<String>,
    /// Name to file, of every library that is needed.
    pub(super) libraries: BTreeMap<String, PathBuf>,
    /// A folder that this interpreter looks in without being told.
    pub(super) folder: String,
}

/// Returns what `executable` needs, or which library is missing.
pub(super) fn find(executable: &Path) -> Result<Needs, Error> {
    let elf = elf::read(executable)?;
    let Some(interpreter) = elf.interpreter.clone() else { return Ok(Needs::default()) };
    let linker = Path::new(&interpreter).file_name().unwrap_or_default().to_string_lossy().into_owned();
    let musl = linker.starts_with("ld-musl");
    let cache = if musl { HashMap::new() } else { read_cache(Path::new("/etc/ld.so.cache")) };
    let defaults = default_folders(&interpreter, musl);
    let machine = elf.machine;
    let mut needs = Needs { interpreter: Some(interpreter.clone()), ..Needs::default() };
    let mut open = VecDeque::from([(executable.to_owned(), elf, Vec::<String>::new())]);
    while let Some((path, elf, inherited)) = open.pop_front() {
        let rpath: Vec<String> = expand(&elf.rpath, &path).into_iter().chain(inherited).collect();
        let runpath = expand(&elf.runpath, &path);
        for name in &elf.needed {
            let is_linker = *name == linker || (musl && name.starts_with("libc."));
            if is_linker || needs.libraries.contains_key(name) {
                continue;
            }
            let before = if elf.runpath.is_empty() { rpath.as_slice() } else { &[] };
            let candidates = before
                .iter()
                .chain(&runpath)
                .map(|dir| Path::new(dir).join(name))
                .chain(cache.get(name).cloned().into_iter().flatten())
                .chain(defaults.iter().map(|dir| Path::new(dir).join(name)));
            let (found, elf) = first_of(candidates, machine)
                .ok_or_else(|| Error::LibraryNotFound { name: name.clone(), needed_by: path.clone() })?;
            if name.starts_with("libc.so") {
                needs.folder = found.parent().unwrap_or(Path::new("/lib")).to_string_lossy().into_owned();
            }
            needs.libraries.insert(name.clone(), found.clone());
            open.push_back((found, elf, rpath.clone()));
        }
    }
    if needs.folder.is_empty() {
        needs.folder = Path::new(&interpreter).parent().unwrap_or(Path::new("/lib")).to_string_lossy().into_owned();
    }
    Ok(needs)
}

fn first_of(candidates: impl Iterator<Item = PathBuf>, machine: u16) -> Option<(PathBuf, Elf)> {
    // A file of the same name for another machine is passed over, as the linker does.
    candidates
        .filter_map(|path| Some((elf::read(&path).ok()?, path)))
        .find(|(elf, _)| elf.machine == machine)
        .map(|(e, p)| (p, e))
}

fn expand(dirs: &[String], of: &Path) -> Vec<String> {
    let origin = fs::canonicalize(of).ok().and_then(|path| path.parent().map(|p| p.to_string_lossy().into_owned()));
    let origin = origin.unwrap_or_default();
    dirs.iter().map(|dir| dir.replace("${ORIGIN}", &origin).replace("$ORIGIN", &origin)).collect()
}

fn default_folders(interpreter: &str, musl: bool) -> Vec<String> {
    if musl {
        return ["/lib", "/usr/local/lib", "/usr/lib"].map(str::to_owned).to_vec();
    }
    let arch = if interpreter.contains("aarch64") { "aarch64-linux-gnu" } else { "x86_64-linux-gnu" };
    let mut dirs = vec![format!("/lib/{arch}"), format!("/usr/lib/{arch}")];
    dirs.extend(["/lib64", "/usr/lib64", "/lib", "/usr/lib"].map(str::to_owned));
    dirs
}

/// Returns name to files of glibc's cache; empty if there is none or it is malformed, since the default folders follow.
fn read_cache(path: &Path) -> HashMap<String, Vec<PathBuf>> {
    fs::read(path).ok().and_then(|bytes| parse_cache(&bytes)).unwrap_or_default()
}

fn parse_cache(bytes: &[u8]) -> Option<HashMap<String, Vec<PathBuf>>> {
    const MAGIC: &[u8] = b"glibc-ld.so.cache1.1";
    let start = bytes.windows(MAGIC.len()).position(|window| window == MAGIC)?;
    let cache = &bytes[start..];
    let number = |at: usize| cache.get(at..at + 4)?.try_into().ok().map(u32::from_le_bytes);
    let text = |at: u32| {
        let rest = cache.get(at as usize..)?;
        std::str::from_utf8(rest.split(|b| *b == 0).next()?).ok()
    };
    let mut found: HashMap<String, Vec<PathBuf>> = HashMap::new();
    for index in 0..number(20)?.min(1 << 16) as usize {
        let entry = 48 + index * 24;
        // A library for a certain CPU model would tie the image to it.
        if (number(entry + 16)?, number(entry + 20)?) != (0, 0) {
            continue;
        }
        found.entry(text(number(entry + 4)?)?.to_owned()).or_default().push(text(number(entry + 8)?)?.into());
    }
    Some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shells_libraries_are_found() {
        let needs = find(Path::new("/bin/sh")).unwrap();
        assert!(needs.libraries.keys().any(|name| name.starts_with("libc.")), "{needs:?}");
        assert!(needs.libraries.values().all(|path| path.exists()));
    }

    #[test]
    fn origin_is_the_folder_of_the_file_that_says_it() {
        let sh = fs::canonicalize("/bin/sh").unwrap();
        let dir = sh.parent().unwrap().to_string_lossy().into_owned();
        assert_eq!(expand(&["$ORIGIN/../lib".into(), "/x".into()], &sh), [format!("{dir}/../lib"), "/x".into()]);
    }

    #[test]
    fn a_damaged_cache_is_as_none() {
        assert_eq!(parse_cache(b"glibc-ld.so.cache1.1\xff\xff\xff\xff"), None);
        assert_eq!(parse_cache(b""), None);
    }
}
