//! Writes events to the log's file, one a line, on a thread of its own behind a bounded
//! queue: a disk that is slow or full costs events, which are counted, and never a request.

use std::{
    fs::{File, OpenOptions},
    io::{BufWriter, Write},
    path::{Path, PathBuf},
    sync::{Arc, mpsc},
};

use serde_json::Value;

use super::{Config, Level};
use crate::metrics::Metrics;

/// How many events may wait for the disk.
const QUEUE: usize = 10_000;

enum Message {
    Event(String),
    /// Answered once everything before it is written.
    Flush(tokio::sync::oneshot::Sender<()>),
}

/// The log's entrance.
pub(crate) struct Log {
    pub(crate) policy: super::Policy,
    queue: mpsc::SyncSender<Message>,
    metrics: Arc<Metrics>,
}

impl Log {
    /// Opens the log.
    pub(crate) fn open(config: Config, metrics: Arc<Metrics>) -> std::io::Result<Log> {
        let (queue, inbox) = mpsc::sync_channel(QUEUE);
        let mut writer = Writer::open(&config)?;
        let counted = metrics.clone();
        std::thread::Builder::new().name("audit-log".to_owned()).spawn(move || writer.run(&inbox, &counted))?;
        Ok(Log { policy: config.policy, queue, metrics })
    }

    pub(crate) fn send(&self, level: Level, event: &Value) {
        self.metrics.audit_event(level.name());
        let mut line = event.to_string();
        line.push('\n');
        if self.queue.try_send(Message::Event(line)).is_err() {
            self.metrics.audit_dropped("buffered");
        }
    }

    /// Waits until everything logged before is in the file.
    pub(crate) async fn flush(&self) {
        let (done, wait) = tokio::sync::oneshot::channel();
        let mut message = Message::Flush(done);
        // The queue may be full: it is emptied as fast as the disk takes it.
        while let Err(mpsc::TrySendError::Full(back)) = self.queue.try_send(message) {
            message = back;
            tokio::task::yield_now().await;
        }
        // A writer that has gone has nothing left to write.
        drop(wait.await);
    }
}

struct Writer {
    path: PathBuf,
    file: BufWriter<File>,
    size: u64,
    max_bytes: u64,
    max_files: usize,
}

impl Writer {
    fn open(config: &Config) -> std::io::Result<Writer> {
        if let Some(folder) = config.file.parent() {
            std::fs::create_dir_all(folder)?;
        }
        let (file, size) = open(&config.file)?;
        Ok(Writer { path: config.file.clone(), file, size, max_bytes: config.max_bytes, max_files: config.max_files })
    }

    fn run(&mut self, inbox: &mpsc::Receiver<Message>, metrics: &Metrics) {
        while let Ok(first) = inbox.recv() {
            let mut next = Some(first);
            let mut waiting = Vec::new();
            let mut written = 0;
            while let Some(message) = next {
                match message {
                    Message::Event(line) => {
                        if let Err(error) = self.write(&line) {
                            tracing::error!(%error, "an audit event could not be written");
                            metrics.audit_dropped("log");
                        }
                        written += 1;
                    }
                    Message::Flush(done) => waiting.push(done),
                }
                next = if written < 1000 { inbox.try_recv().ok() } else { None };
            }
            if let Err(error) = self.file.flush() {
                tracing::error!(%error, "audit events could not be written");
                metrics.audit_dropped("log");
            }
            for done in waiting {
                // Who asked may have gone.
                let _ = done.send(());
            }
        }
    }

    fn write(&mut self, line: &str) -> std::io::Result<()> {
        if self.size > 0 && self.size + line.len() as u64 > self.max_bytes {
            self.rotate()?;
        }
        self.file.write_all(line.as_bytes())?;
        self.size += line.len() as u64;
        Ok(())
    }

    /// Puts the file aside under the time, and forgets the oldest that were.
    fn rotate(&mut self) -> std::io::Result<()> {
        self.file.flush()?;
        let (stem, ending) = names(&self.path);
        let aside = |time: jiff::Timestamp| {
            self.path.with_file_name(format!("{stem}-{}{ending}", time.strftime("%Y-%m-%dT%H-%M-%S.%9f")))
        };
        std::fs::rename(&self.path, aside(base::clock::now()))?;
        (self.file, self.size) = open(&self.path)?;
        let mut old = put_aside(&self.path)?;
        old.sort();
        let surplus = old.len().saturating_sub(self.max_files);
        for path in old.into_iter().take(surplus) {
            std::fs::remove_file(path)?;
        }
        Ok(())
    }
}

fn names(path: &Path) -> (String, String) {
    let text = |part: Option<&std::ffi::OsStr>| part.map(|part| part.to_string_lossy().into_owned());
    let ending = text(path.extension()).map(|ending| format!(".{ending}")).unwrap_or_default();
    (text(path.file_stem()).unwrap_or_default(), ending)
}

fn put_aside(path: &Path) -> std::io::Result<Vec<PathBuf>> {
    let (stem, ending) = names(path);
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with(&format!("{stem}-")) && name.ends_with(&ending) {
            found.push(entry.path());
        }
    }
    Ok(found)
}

fn open(path: &Path) -> std::io::Result<(BufWriter<File>, u64)> {
    use std::os::unix::fs::OpenOptionsExt;
    let file = OpenOptions::new().create(true).append(true).mode(0o600).open(path)?;
    let size = file.metadata()?.len();
    Ok((BufWriter::new(file), size))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[tokio::test]
    async fn a_full_file_is_put_aside_and_the_oldest_go() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("audit.log");
        let config =
            Config { policy: super::super::Policy::metadata(), file: file.clone(), max_bytes: 100, max_files: 2 };
        let log = Log::open(config, Arc::default()).unwrap();
        for index in 0..20 {
            log.send(Level::Metadata, &json!({"index": index, "filler": "x".repeat(30)}));
        }
        log.flush().await;
        assert_eq!(put_aside(&file).unwrap().len(), 2);
        let newest = std::fs::read_to_string(&file).unwrap();
        assert!(newest.lines().last().unwrap().contains("\"index\":19"), "{newest}");
        assert!(newest.len() <= 100);
    }
}
