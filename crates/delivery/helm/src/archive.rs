//! Packed charts: `.tgz` to files and back.

use std::io::{Read as _, Write as _};

use flate2::{Compression, read::GzDecoder, write::GzEncoder};
use tar::{Archive, Builder, EntryType, Header};

use super::{Error, Files};

/// How large what an archive holds may be, in bytes. Helm's own bounds by default.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// One file.
    pub file: u64,
    /// All files together.
    pub total: u64,
    /// How many files.
    pub files: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { file: 5 << 20, total: 100 << 20, files: 20_000 }
    }
}

/// Unpacks a chart: its files by path, without the folder that they all stand in.
///
/// Refuses paths that lead out of the chart, links and devices, and archives beyond the bounds.
pub fn unpack(bytes: &[u8], bounds: Bounds) -> Result<Files, Error> {
    let fail = |reason: String| Error::Load { reason };
    if !bytes.starts_with(&[0x1f, 0x8b, 8]) {
        return Err(fail("the file does not appear to be a gzipped archive".to_owned()));
    }
    // One byte more than is allowed shows that there is more.
    let mut archive = Archive::new(GzDecoder::new(bytes).take(bounds.total + (64 << 20)));
    let mut files = Files::new();
    let mut total = 0_u64;
    for entry in archive.entries().map_err(|error| fail(format!("the archive cannot be read: {error}")))? {
        let mut entry = entry.map_err(|error| fail(format!("the archive cannot be read: {error}")))?;
        let raw = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        match entry.header().entry_type() {
            EntryType::Directory | EntryType::XGlobalHeader | EntryType::XHeader => continue,
            EntryType::Regular | EntryType::Continuous => {}
            other => {
                return Err(fail(format!("{raw} in the archive is no file but {other:?}: links are not unpacked")));
            }
        }
        let path = inner_path(&raw).map_err(fail)?;
        let size = entry.size();
        total = total.saturating_add(size);
        if size > bounds.file {
            let reason =
                format!("decompressed chart file {raw:?} is larger than the maximum file size {}", bounds.file);
            return Err(fail(reason));
        }
        if total > bounds.total || files.len() >= bounds.files {
            let most = bounds.total;
            return Err(fail(format!("decompressed chart is larger than the maximum file size {most}")));
        }
        let mut content = Vec::new();
        entry.read_to_end(&mut content).map_err(|error| fail(format!("{raw} in the archive: {error}")))?;
        files.insert(path, content.strip_prefix(b"\xef\xbb\xbf").map(<[u8]>::to_vec).unwrap_or(content));
    }
    if files.is_empty() {
        return Err(fail("no files in chart archive".to_owned()));
    }
    Ok(files)
}

fn inner_path(raw: &str) -> Result<String, String> {
    let normal = raw.replace('\\', "/");
    let Some((folder, rest)) = normal.split_once('/') else {
        return Err(match normal.as_str() {
            "Chart.yaml" => "chart yaml not in base directory".to_owned(),
            _ => format!("chart illegally contains content outside the base directory: {raw:?}"),
        });
    };
    if folder == "Chart.yaml" {
        return Err("chart yaml not in base directory".to_owned());
    }
    if rest.starts_with('/') {
        return Err("chart illegally contains absolute paths".to_owned());
    }
    let mut parts: Vec<&str> = Vec::new();
    for part in rest.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop().ok_or_else(|| "chart illegally references parent directory".to_owned())?;
            }
            part => parts.push(part),
        }
    }
    match parts.first() {
        None => Err(format!("chart illegally contains content outside the base directory: {raw:?}")),
        Some(drive) if drive.len() == 2 && drive.ends_with(':') => {
            Err("chart contains illegally named files".to_owned())
        }
        Some(_) => Ok(parts.join("/")),
    }
}

/// Packs a chart's files below a folder; the same files give the same bytes.
pub fn pack(name: &str, files: &Files) -> Result<Vec<u8>, Error> {
    let fail = |error: std::io::Error| Error::Load { reason: format!("the chart cannot be packed: {error}") };
    let mut builder = Builder::new(GzEncoder::new(Vec::new(), Compression::default()));
    for (path, bytes) in files {
        let mut header = Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        header.set_mtime(0);
        builder.append_data(&mut header, format!("{name}/{path}"), bytes.as_slice()).map_err(fail)?;
    }
    let mut packed = builder.into_inner().map_err(fail)?;
    packed.flush().map_err(fail)?;
    packed.finish().map_err(fail)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packed(entries: &[(&str, &[u8], EntryType)]) -> Vec<u8> {
        let mut builder = Builder::new(GzEncoder::new(Vec::new(), Compression::default()));
        for (path, bytes, kind) in entries {
            let mut header = Header::new_gnu();
            header.set_entry_type(*kind);
            header.set_size(bytes.len() as u64);
            header.as_gnu_mut().unwrap().name[..path.len()].copy_from_slice(path.as_bytes());
            header.set_cksum();
            builder.append(&header, *bytes).unwrap();
        }
        builder.into_inner().unwrap().finish().unwrap()
    }

    #[test]
    fn a_chart_comes_back_as_it_was_packed() {
        let files: Files = [("Chart.yaml", "a: 1"), ("templates/x.yaml", "b"), ("charts/c/Chart.yaml", "c")]
            .map(|(path, text)| (path.to_owned(), text.as_bytes().to_vec()))
            .into();
        assert_eq!(unpack(&pack("x", &files).unwrap(), Bounds::default()).unwrap(), files);
    }

    #[test]
    fn what_leads_out_of_a_chart_is_refused() {
        let refused = |entries: &[(&str, &[u8], EntryType)]| {
            unpack(&packed(entries), Bounds { file: 10, total: 25, files: 3 }).unwrap_err().to_string()
        };
        let file = EntryType::Regular;
        assert!(refused(&[("a/../../x", b"1", file)]).contains("references parent directory"));
        assert!(refused(&[("a//x", b"1", file)]).contains("absolute paths"));
        assert!(refused(&[("Chart.yaml", b"1", file)]).contains("not in base directory"));
        assert!(refused(&[("a/c:/x", b"1", file)]).contains("illegally named"));
        assert!(refused(&[("a/x", b"", EntryType::Symlink)]).contains("links are not unpacked"));
        assert!(refused(&[("a/x", b"12345678901", file)]).contains("maximum file size 10"));
        assert!(
            refused(&[("a/x", b"1234567890", file), ("a/y", b"1234567890", file), ("a/z", b"123456", file)])
                .contains("maximum file size 25")
        );
        assert!(refused(&[]).contains("no files"));
        assert!(unpack(b"plain", Bounds::default()).unwrap_err().to_string().contains("gzipped"));
    }
}
