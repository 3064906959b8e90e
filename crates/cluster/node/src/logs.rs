//! Reading containers' logs, which shims write in the CRI format.
//!
//! What is shown of a line is decided by pure functions; following is the only I/O that waits.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, Seek, SeekFrom},
    path::Path,
};

use jiff::Timestamp;
use serde::Deserialize;

/// What is asked of a log; the names are the kubelet's.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Query {
    #[serde(deserialize_with = "flag")]
    pub(crate) follow: bool,
    #[serde(deserialize_with = "flag")]
    pub(crate) previous: bool,
    #[serde(deserialize_with = "flag")]
    pub(crate) timestamps: bool,
    pub(crate) tail_lines: Option<usize>,
    pub(crate) since_seconds: Option<i64>,
    pub(crate) since_time: Option<Timestamp>,
    pub(crate) limit_bytes: Option<usize>,
}

fn flag<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    let text = String::deserialize(deserializer)?;
    match text.as_str() {
        "true" | "1" | "" => Ok(true),
        "false" | "0" => Ok(false),
        _ => Err(serde::de::Error::custom(format!("{text:?} is neither true nor false"))),
    }
}

/// One part of a line as it is stored.
struct Part<'a> {
    at: &'a str,
    whole: bool,
    text: &'a [u8],
}

fn parse(line: &[u8]) -> Option<Part<'_>> {
    let mut fields = line.splitn(4, |b| *b == b' ');
    let at = std::str::from_utf8(fields.next()?).ok()?;
    fields.next()?;
    let whole = fields.next()? == b"F";
    Some(Part { at, whole, text: fields.next().unwrap_or_default() })
}

/// Turns stored lines into shown ones, a piece at a time.
pub(crate) struct Shower {
    timestamps: bool,
    since: Option<Timestamp>,
    left: Option<usize>,
    /// The last part was not the end of its line.
    open: bool,
}

impl Shower {
    pub(crate) fn new(query: &Query, now: Timestamp) -> Self {
        let ago = query.since_seconds.and_then(|s| now.checked_sub(jiff::SignedDuration::from_secs(s)).ok());
        Self { timestamps: query.timestamps, since: query.since_time.or(ago), left: query.limit_bytes, open: false }
    }

    /// Returns what is shown of a stored line, its end included.
    pub(crate) fn show(&mut self, line: &[u8]) -> Vec<u8> {
        let Some(part) = parse(line.strip_suffix(b"\n").unwrap_or(line)) else { return Vec::new() };
        if self.since.is_some_and(|since| part.at.parse::<Timestamp>().is_ok_and(|at| at < since)) {
            return Vec::new();
        }
        let mut out = Vec::new();
        if self.timestamps && !self.open {
            out.extend_from_slice(part.at.as_bytes());
            out.push(b' ');
        }
        out.extend_from_slice(part.text);
        if part.whole {
            out.push(b'\n');
        }
        self.open = !part.whole;
        if let Some(left) = &mut self.left {
            out.truncate(*left);
            *left -= out.len();
        }
        out
    }

    /// Returns whether no more may be shown.
    pub(crate) fn is_full(&self) -> bool {
        self.left == Some(0)
    }
}

/// A log that is read from its older file through the current one, and on as it grows.
pub(crate) struct Reader {
    files: Vec<BufReader<File>>,
    /// Ends of the current file that have no newline yet.
    held: Vec<u8>,
}

impl Reader {
    /// Opens the log at `path`; with `tail`, at that many stored lines before its end.
    pub(crate) fn open(path: &Path, tail: Option<usize>) -> io::Result<Self> {
        let mut files = Vec::new();
        for path in [path.with_extension("log.1"), path.to_owned()] {
            match File::open(&path) {
                Ok(file) => files.push(BufReader::new(file)),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        let mut reader = Self { files, held: Vec::new() };
        if let Some(tail) = tail {
            reader.skip_to_tail(tail)?;
        }
        Ok(reader)
    }

    fn skip_to_tail(&mut self, tail: usize) -> io::Result<()> {
        let mut counts = Vec::new();
        for file in &mut self.files {
            let mut lines = 0;
            loop {
                let buffer = file.fill_buf()?;
                if buffer.is_empty() {
                    break;
                }
                lines += buffer.split(|b| *b == b'\n').count() - 1;
                let n = buffer.len();
                file.consume(n);
            }
            file.seek(SeekFrom::Start(0))?;
            counts.push(lines);
        }
        let mut skip = counts.iter().sum::<usize>().saturating_sub(tail);
        while skip > 0 && self.next()?.is_some() {
            skip -= 1;
        }
        Ok(())
    }

    /// Returns the next whole stored line, or `None` if there is none yet.
    pub(crate) fn next(&mut self) -> io::Result<Option<Vec<u8>>> {
        while let Some(file) = self.files.first_mut() {
            file.read_until(b'\n', &mut self.held)?;
            if self.held.ends_with(b"\n") {
                return Ok(Some(std::mem::take(&mut self.held)));
            }
            if self.files.len() == 1 {
                return Ok(None);
            }
            self.files.remove(0);
        }
        Ok(None)
    }

    /// Goes on in the new file if the current one was replaced since; call it at the end of the current one.
    pub(crate) fn follow_rotation(&mut self, path: &Path) -> io::Result<bool> {
        use std::os::unix::fs::MetadataExt;
        let Ok(new) = File::open(path) else { return Ok(false) };
        let current = self.files.last().map(|file| file.get_ref().metadata()).transpose()?;
        if current.is_some_and(|current| new.metadata().is_ok_and(|new| new.ino() == current.ino())) {
            return Ok(false);
        }
        self.files.push(BufReader::new(new));
        Ok(true)
    }
}

/// Returns the last lines of a log as text, for a termination message.
pub(crate) fn tail_text(path: &Path, lines: usize, bytes: usize) -> String {
    let Ok(mut reader) = Reader::open(path, Some(lines)) else { return String::new() };
    let mut shower = Shower::new(&Query::default(), Timestamp::UNIX_EPOCH);
    let mut out = Vec::new();
    while let Ok(Some(line)) = reader.next() {
        out.extend(shower.show(&line));
    }
    let from = out.len().saturating_sub(bytes);
    String::from_utf8_lossy(&out[from..]).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(dir: &Path, lines: &[&str]) -> std::path::PathBuf {
        let path = dir.join("0.log");
        std::fs::write(&path, lines.join("\n") + "\n").unwrap();
        path
    }

    fn show(path: &Path, query: &Query) -> String {
        let mut reader = Reader::open(path, query.tail_lines).unwrap();
        let mut shower = Shower::new(query, "2026-01-01T00:01:00Z".parse().unwrap());
        let mut out = Vec::new();
        while let Some(line) = reader.next().unwrap() {
            out.extend(shower.show(&line));
        }
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn queries_choose_what_is_shown() {
        let dir = tempfile::tempdir().unwrap();
        let path = log(
            dir.path(),
            &[
                "2026-01-01T00:00:01Z stdout F one",
                "2026-01-01T00:00:30Z stderr P tw",
                "2026-01-01T00:00:30Z stderr F o",
                "2026-01-01T00:00:59Z stdout F three words here",
            ],
        );
        let query = |text: &str| serde_json::from_str::<Query>(text).unwrap();
        for (text, expected) in [
            ("{}", "one\ntwo\nthree words here\n"),
            (r#"{"tailLines":1}"#, "three words here\n"),
            (r#"{"tailLines":0}"#, ""),
            (r#"{"sinceSeconds":10}"#, "three words here\n"),
            (r#"{"limitBytes":5}"#, "one\nt"),
            (r#"{"timestamps":"true","tailLines":1}"#, "2026-01-01T00:00:59Z three words here\n"),
        ] {
            assert_eq!(show(&path, &query(text)), expected, "{text}");
        }
    }

    #[test]
    fn the_older_file_comes_first_and_a_rotation_is_followed() {
        let dir = tempfile::tempdir().unwrap();
        let path = log(dir.path(), &["2026-01-01T00:00:01Z stdout F old"]);
        std::fs::rename(&path, dir.path().join("0.log.1")).unwrap();
        log(dir.path(), &["2026-01-01T00:00:02Z stdout F new"]);
        let mut reader = Reader::open(&path, None).unwrap();
        assert!(reader.next().unwrap().unwrap().ends_with(b"old\n"));
        assert!(reader.next().unwrap().unwrap().ends_with(b"new\n"));
        assert!(reader.next().unwrap().is_none());
        assert!(!reader.follow_rotation(&path).unwrap());
        std::fs::rename(&path, dir.path().join("0.log.1")).unwrap();
        log(dir.path(), &["2026-01-01T00:00:03Z stdout F newest"]);
        assert!(reader.follow_rotation(&path).unwrap());
        assert!(reader.next().unwrap().unwrap().ends_with(b"newest\n"));
    }
}
