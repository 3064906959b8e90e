//! Writing containers' output in the CRI log format, bounded in size.
//!
//! A container must never block or die because its log cannot be written: what
//! cannot be written is counted and said in the log once it can.

use std::{
    fs::{self, File},
    io::{self, Read, Write},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use jiff::Timestamp;

use super::session::Taps;

/// A log file holds at most this much; one older file is kept beside it.
pub(crate) const LOG_LIMIT: u64 = 10 << 20;
/// A line is cut into parts of at most this length.
const PART: usize = 16 << 10;

/// A container's log. Clones share the file.
#[derive(Clone)]
pub(super) struct Log(Arc<Mutex<Inner>>);

struct Inner {
    path: PathBuf,
    file: Option<File>,
    size: u64,
    limit: u64,
    lost: u64,
}

impl Log {
    pub(super) fn open(path: &Path, limit: u64) -> io::Result<Self> {
        if let Some(dir) = path.parent() {
            fs::create_dir_all(dir)?;
        }
        let file = File::options().create(true).append(true).open(path)?;
        let size = file.metadata()?.len();
        Ok(Self(Arc::new(Mutex::new(Inner { path: path.to_owned(), file: Some(file), size, limit, lost: 0 }))))
    }

    /// Copies `from` to the log, and to those who follow it, until its end.
    pub(super) fn pump(&self, stream: &str, mut from: impl Read, taps: &Taps) {
        let mut buffer = vec![0; PART];
        let mut held = 0;
        loop {
            let n = match from.read(&mut buffer[held..]) {
                Ok(n) => n,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(_) => 0,
            };
            let end = held + n;
            taps.tell(stream, &buffer[held..end]);
            let mut start = 0;
            let now = base::clock::now();
            let mut text = Vec::with_capacity(end + 64);
            while let Some(length) = buffer[start..end].iter().position(|b| *b == b'\n') {
                line(&mut text, now, stream, "F", &buffer[start..start + length]);
                start += length + 1;
            }
            if n == 0 && start < end {
                line(&mut text, now, stream, "F", &buffer[start..end]);
                start = end;
            } else if start == 0 && end == buffer.len() {
                line(&mut text, now, stream, "P", &buffer[..end]);
                start = end;
            }
            self.write(&text);
            buffer.copy_within(start..end, 0);
            held = end - start;
            if n == 0 {
                return;
            }
        }
    }

    fn write(&self, text: &[u8]) {
        if text.is_empty() {
            return;
        }
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if inner.try_write(text).is_err() {
            inner.lost += text.split(|b| *b == b'\n').count() as u64 - 1;
            inner.file = None;
        }
    }
}

impl Inner {
    fn try_write(&mut self, text: &[u8]) -> io::Result<()> {
        if self.size + text.len() as u64 > self.limit {
            self.file = None;
            fs::rename(&self.path, self.path.with_extension("log.1"))?;
        }
        if self.file.is_none() {
            let file = File::options().create(true).append(true).open(&self.path)?;
            self.size = file.metadata()?.len();
            self.file = Some(file);
        }
        let mut all = Vec::new();
        if self.lost > 0 {
            let said = format!("roadstead: {} lines before this one could not be written", self.lost);
            line(&mut all, base::clock::now(), "stderr", "F", said.as_bytes());
        }
        all.extend_from_slice(text);
        if let Some(file) = &mut self.file {
            file.write_all(&all)?;
        }
        self.size += all.len() as u64;
        self.lost = 0;
        Ok(())
    }
}

fn line(to: &mut Vec<u8>, at: Timestamp, stream: &str, tag: &str, text: &[u8]) {
    to.extend_from_slice(at.strftime("%Y-%m-%dT%H:%M:%S.%9fZ").to_string().as_bytes());
    to.extend_from_slice(format!(" {stream} {tag} ").as_bytes());
    to.extend_from_slice(text);
    to.push(b'\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tags(path: &Path) -> Vec<String> {
        let text = fs::read_to_string(path).unwrap();
        text.lines().map(|l| l.split_once(' ').unwrap().1.chars().take(30).collect()).collect()
    }

    #[test]
    fn lines_are_whole_and_long_ones_are_parts() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("0.log");
        let log = Log::open(&path, LOG_LIMIT).unwrap();
        log.pump("stdout", "a\n\nlast".as_bytes(), &Taps::default());
        let long = "x".repeat(PART + 1);
        log.pump("stderr", long.as_bytes(), &Taps::default());
        let tags = tags(&path);
        assert_eq!(tags[..3], ["stdout F a", "stdout F ", "stdout F last"]);
        assert!(tags[3].starts_with("stderr P xxx"), "{tags:?}");
        assert_eq!(tags[4], "stderr F x");
        let first = fs::read_to_string(&path).unwrap();
        let time = first.split(' ').next().unwrap();
        assert!(time.len() == 30 && time.parse::<Timestamp>().is_ok(), "{time}");
    }

    #[test]
    fn a_log_keeps_its_bound_and_one_older_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("0.log");
        let log = Log::open(&path, 1000).unwrap();
        for n in 0..200 {
            log.pump("stdout", format!("line {n}\n").as_bytes(), &Taps::default());
        }
        assert!(fs::metadata(&path).unwrap().len() <= 1000);
        assert!(fs::metadata(dir.path().join("0.log.1")).unwrap().len() <= 1000);
        assert!(tags(&path).last().unwrap().ends_with("line 199"));
    }

    #[test]
    fn what_cannot_be_written_is_counted_and_said() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("logs/0.log");
        let log = Log::open(&path, 10).unwrap();
        fs::remove_dir_all(dir.path().join("logs")).unwrap();
        log.pump("stdout", "lost\nlost\n".as_bytes(), &Taps::default());
        fs::create_dir(dir.path().join("logs")).unwrap();
        log.0.lock().unwrap().limit = LOG_LIMIT;
        log.pump("stdout", "kept\n".as_bytes(), &Taps::default());
        let tags = fs::read_to_string(&path).unwrap();
        assert!(tags.contains("2 lines before this one") && tags.contains("kept"), "{tags}");
    }
}
