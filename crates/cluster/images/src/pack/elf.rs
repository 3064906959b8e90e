//! What an ELF file says about what it needs: interpreter, libraries, search paths.
//!
//! It reads only the few pieces that hold these, checks every offset, and never
//! looks for a library.

use std::{fs::File, os::unix::fs::FileExt, path::Path};

use crate::Error;

const PT_LOAD: u32 = 1;
const PT_DYNAMIC: u32 = 2;
const PT_INTERP: u32 = 3;
const DT_NEEDED: u64 = 1;
const DT_STRTAB: u64 = 5;
const DT_STRSZ: u64 = 10;
const DT_RPATH: u64 = 15;
const DT_RUNPATH: u64 = 29;

/// What an ELF file needs to run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Elf {
    /// The machine, as `e_machine` has it.
    pub(super) machine: u16,
    /// The dynamic linker's path; `None` in libraries and static executables.
    pub(super) interpreter: Option<String>,
    /// The libraries it names.
    pub(super) needed: Vec<String>,
    /// `DT_RPATH`, which holds for what it loads too.
    pub(super) rpath: Vec<String>,
    /// `DT_RUNPATH`, which holds for its own libraries and switches `DT_RPATH` off.
    pub(super) runpath: Vec<String>,
}

/// Reads `path`.
pub(super) fn read(path: &Path) -> Result<Elf, Error> {
    let file = File::open(path).map_err(Error::disk("open", path))?;
    parse(&file).map_err(|why| Error::Elf { path: path.to_owned(), why })
}

fn parse(file: &impl ReadAt) -> Result<Elf, &'static str> {
    let header = file.piece(0, 64)?;
    if header.get(..4) != Some(b"\x7fELF") {
        return Err("it is not an ELF file");
    }
    if header[4] != 2 || header[5] != 1 {
        return Err("only 64-bit little-endian ELF files are packed");
    }
    let (offset, size, count) = (u64_at(&header, 32)?, u16_at(&header, 54)?, u16_at(&header, 56)?);
    if size < 56 || count > 512 {
        return Err("its program headers are malformed");
    }
    let table = file.piece(offset, u64::from(size) * u64::from(count))?;
    let mut elf = Elf { machine: u16_at(&header, 18)?, ..Elf::default() };
    let mut loads = Vec::new();
    let mut dynamic = None;
    for entry in table.chunks_exact(usize::from(size)) {
        let (kind, at, address, length) =
            (u32_at(entry, 0)?, u64_at(entry, 8)?, u64_at(entry, 16)?, u64_at(entry, 32)?);
        match kind {
            PT_LOAD => loads.push((address, at, length)),
            PT_DYNAMIC => dynamic = Some((at, length)),
            PT_INTERP => elf.interpreter = Some(text_at(&file.piece(at, length.min(4096))?, 0)?),
            _ => {}
        }
    }
    if let Some((at, length)) = dynamic {
        read_dynamic(file, &mut elf, &loads, at, length)?;
    }
    Ok(elf)
}

fn read_dynamic(
    file: &impl ReadAt,
    elf: &mut Elf,
    loads: &[(u64, u64, u64)],
    at: u64,
    length: u64,
) -> Result<(), &'static str> {
    let entries = file.piece(at, length.min(1 << 16))?;
    let entries: Vec<(u64, u64)> = entries
        .chunks_exact(16)
        .map(|e| Ok((u64_at(e, 0)?, u64_at(e, 8)?)))
        .take_while(|entry| !matches!(entry, Ok((0, _))))
        .collect::<Result<_, &'static str>>()?;
    let value = |tag| entries.iter().find(|(t, _)| *t == tag).map(|(_, v)| *v);
    let (Some(address), Some(size)) = (value(DT_STRTAB), value(DT_STRSZ)) else { return Ok(()) };
    let (start, offset, _) = loads
        .iter()
        .find(|(start, _, length)| address >= *start && address - start < *length)
        .ok_or("its string table is outside of what is loaded")?;
    let offset = offset.checked_add(address - start).ok_or("its string table is malformed")?;
    let strings = file.piece(offset, size)?;
    for (tag, index) in entries {
        let list = |text: String| text.split(':').filter(|p| !p.is_empty()).map(str::to_owned).collect();
        match tag {
            DT_NEEDED => elf.needed.push(text_at(&strings, index)?),
            DT_RPATH => elf.rpath = list(text_at(&strings, index)?),
            DT_RUNPATH => elf.runpath = list(text_at(&strings, index)?),
            _ => {}
        }
    }
    if !elf.runpath.is_empty() {
        elf.rpath.clear();
    }
    Ok(())
}

/// Reading a piece of a file at an offset; bytes in tests.
trait ReadAt {
    fn piece(&self, offset: u64, length: u64) -> Result<Vec<u8>, &'static str>;
}

impl ReadAt for File {
    fn piece(&self, offset: u64, length: u64) -> Result<Vec<u8>, &'static str> {
        if length > 16 << 20 {
            return Err("a table in it is too large");
        }
        let mut bytes = vec![0; length as usize];
        self.read_exact_at(&mut bytes, offset).map_err(|_| "it ends too early")?;
        Ok(bytes)
    }
}

impl ReadAt for &[u8] {
    fn piece(&self, offset: u64, length: u64) -> Result<Vec<u8>, &'static str> {
        let end = offset.checked_add(length).ok_or("it ends too early")?;
        let range = usize::try_from(offset).ok().zip(usize::try_from(end).ok());
        range.and_then(|(from, to)| self.get(from..to)).map(<[u8]>::to_vec).ok_or("it ends too early")
    }
}

fn bytes_at<const N: usize>(bytes: &[u8], at: usize) -> Result<[u8; N], &'static str> {
    bytes.get(at..at + N).and_then(|piece| piece.try_into().ok()).ok_or("it ends too early")
}

fn u16_at(bytes: &[u8], at: usize) -> Result<u16, &'static str> {
    bytes_at(bytes, at).map(u16::from_le_bytes)
}

fn u32_at(bytes: &[u8], at: usize) -> Result<u32, &'static str> {
    bytes_at(bytes, at).map(u32::from_le_bytes)
}

fn u64_at(bytes: &[u8], at: usize) -> Result<u64, &'static str> {
    bytes_at(bytes, at).map(u64::from_le_bytes)
}

fn text_at(bytes: &[u8], at: u64) -> Result<String, &'static str> {
    let rest = usize::try_from(at).ok().and_then(|at| bytes.get(at..)).ok_or("a name in it is out of range")?;
    let text = rest.split(|b| *b == 0).next().unwrap_or_default();
    String::from_utf8(text.to_vec()).map_err(|_| "a name in it is not UTF-8")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shell_names_its_interpreter_and_libraries() {
        let elf = read(Path::new("/bin/sh")).unwrap();
        assert!(elf.interpreter.unwrap().contains("ld-"));
        assert!(elf.needed.iter().any(|name| name.starts_with("libc.")));
    }

    #[test]
    fn damaged_files_are_refused_and_never_read_out_of_bounds() {
        let good = std::fs::read("/bin/sh").unwrap();
        for length in [0, 3, 63, 64, 100, 500, 4000] {
            drop(parse(&&good[..length.min(good.len())]));
        }
        let head = good.len().min(1024);
        for at in 0..head {
            let mut bad = good.clone();
            bad[at] = 0xff;
            drop(parse(&bad.as_slice()));
        }
        assert_eq!(parse(&b"#!/bin/sh\n".repeat(10).as_slice()), Err("it is not an ELF file"));
    }
}
