//! A pod's shim from the node's side: starting it, finding it again, asking it.
//!
//! It never waits on a shim without a bound, and never signals a process that is not
//! the one it started.

use std::{
    fs::File,
    os::fd::AsRawFd,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use nix::sys::signal::Signal;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, Lines},
    net::{UnixStream, unix::OwnedReadHalf, unix::OwnedWriteHalf},
};

use crate::{
    Error, proc,
    shim::{
        IDENTITY, SOCKET,
        protocol::{Answer, ExecResult, Request, Sandbox, Seen, Start},
    },
};

/// How long a shim may take to start or to answer what needs no waiting.
const PATIENCE: Duration = Duration::from_secs(30);

/// A pod's shim, by the pod's folder. Clones speak to the same one.
#[derive(Clone, Debug)]
pub(crate) struct Shim {
    dir: PathBuf,
    pod: String,
}

/// A connection on which the shim tells what changes.
pub(crate) struct Watch {
    lines: Lines<BufReader<OwnedReadHalf>>,
    /// Kept, since closing it would end the connection.
    _write: OwnedWriteHalf,
}

impl Shim {
    /// Returns the shim of the pod in `dir`, running or not.
    pub(crate) fn of(dir: &Path) -> Self {
        let pod = dir.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Self { dir: dir.to_owned(), pod }
    }

    /// Returns whether the shim runs.
    pub(crate) fn is_alive(&self) -> Result<bool, Error> {
        Ok(self.identity()?.is_some_and(|identity| identity.is_alive()))
    }

    fn identity(&self) -> Result<Option<proc::Identity>, Error> {
        proc::read_state(&self.dir.join(IDENTITY))
    }

    /// Starts the shim and returns when it can be asked.
    pub(crate) async fn start(&self, executable: &Path, sandbox: &Sandbox) -> Result<(), Error> {
        proc::write_state(&self.dir.join("sandbox.json"), sandbox)?;
        let log = self.dir.join("shim.log");
        let log = File::create(&log).map_err(Error::disk("create", &log))?;
        let mut child = tokio::process::Command::new(executable)
            .args(["shim", "pod"])
            .arg(&self.dir)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .map_err(Error::disk("run", executable))?;
        let mut line = String::new();
        if let Some(out) = child.stdout.take() {
            let mut out = BufReader::new(out.take(64 << 10));
            let read = tokio::time::timeout(PATIENCE, out.read_line(&mut line)).await;
            read.map_err(|_| self.failed("it did not start in time"))?.map_err(Error::disk("read from", executable))?;
        }
        if line.trim() == "ready" {
            return Ok(());
        }
        let log = std::fs::read_to_string(self.dir.join("shim.log")).unwrap_or_default();
        Err(self.failed(format!("{}{}", line.trim(), log.trim())))
    }

    fn failed(&self, why: impl Into<String>) -> Error {
        Error::Shim { pod: self.pod.clone(), why: why.into() }
    }

    /// Opens a connection that carries streams once `request` is answered.
    ///
    /// # Errors
    ///
    /// [`Error::Shim`] with the shim's own words if it refuses, among them that the container does not run.
    pub(crate) async fn streams(&self, request: &Request) -> Result<UnixStream, Error> {
        let path = self.dir.join(SOCKET);
        let exchange = async {
            let mut stream = self.connect().await?;
            stream.write_all(&line(request)?).await.map_err(Error::disk("write to", &path))?;
            let mut answer = Vec::new();
            // Byte by byte: what follows the answer is the streams'.
            while !answer.ends_with(b"\n") {
                let byte = stream.read_u8().await.map_err(Error::disk("read from", &path))?;
                answer.push(byte);
            }
            match serde_json::from_slice(&answer) {
                Ok(Answer::Done) => Ok(stream),
                Ok(Answer::Failed { why }) => Err(self.failed(why)),
                Ok(_) => Err(self.failed("it answered something else")),
                Err(source) => Err(Error::State { path: path.clone(), source }),
            }
        };
        tokio::time::timeout(PATIENCE, exchange).await.unwrap_or_else(|_| Err(self.failed("it did not answer in time")))
    }

    async fn connect(&self) -> Result<UnixStream, Error> {
        let folder = File::open(&self.dir).map_err(Error::disk("open", &self.dir))?;
        let path = format!("/proc/self/fd/{}/{SOCKET}", folder.as_raw_fd());
        UnixStream::connect(path).await.map_err(Error::disk("connect to", self.dir.join(SOCKET)))
    }

    async fn call(&self, request: &Request, patience: Duration) -> Result<Answer, Error> {
        let path = self.dir.join(SOCKET);
        let exchange = async {
            let mut stream = self.connect().await?;
            stream.write_all(&line(request)?).await.map_err(Error::disk("write to", &path))?;
            let mut answer = String::new();
            BufReader::new(stream).read_line(&mut answer).await.map_err(Error::disk("read from", &path))?;
            serde_json::from_str(&answer).map_err(|source| Error::State { path: path.clone(), source })
        };
        match tokio::time::timeout(patience, exchange).await {
            Ok(Ok(Answer::Failed { why })) => Err(self.failed(why)),
            Ok(result) => result,
            Err(_) => Err(self.failed("it did not answer in time")),
        }
    }

    /// Starts a container; the error's text is for people.
    pub(crate) async fn start_container(&self, start: Start) -> Result<(), Error> {
        self.call(&Request::Start(start), PATIENCE).await.map(drop)
    }

    /// Sends a signal to a container.
    pub(crate) async fn signal(&self, name: &str, attempt: u32, signal: Signal) -> Result<(), Error> {
        let request = Request::Signal { name: name.to_owned(), attempt, signal: signal as i32 };
        self.call(&request, PATIENCE).await.map(drop)
    }

    /// Runs a command in a container.
    pub(crate) async fn exec(
        &self,
        name: &str,
        attempt: u32,
        command: Vec<String>,
        timeout: Duration,
    ) -> Result<ExecResult, Error> {
        let timeout_ms = timeout.as_millis() as u64;
        let request = Request::Exec { name: name.to_owned(), attempt, command, timeout_ms };
        match self.call(&request, timeout + PATIENCE).await? {
            Answer::Exec(result) => Ok(result),
            _ => Err(self.failed("it answered something else")),
        }
    }

    /// Begins to watch the pod's containers.
    pub(crate) async fn watch(&self) -> Result<Watch, Error> {
        let mut stream = self.connect().await?;
        stream.write_all(&line(&Request::Watch)?).await.map_err(Error::disk("write to", self.dir.join(SOCKET)))?;
        let (read, write) = stream.into_split();
        Ok(Watch { lines: BufReader::new(read).lines(), _write: write })
    }

    /// Kills what runs in the pod and ends the shim; fine if it is gone.
    pub(crate) async fn stop(&self) -> Result<(), Error> {
        let Some(identity) = self.identity()?.filter(proc::Identity::is_alive) else { return Ok(()) };
        // A shim that does not answer is ended by force; its containers end with their control group.
        if self.call(&Request::Stop, PATIENCE).await.is_err() {
            identity.signal(Signal::SIGKILL);
        }
        let deadline = base::clock::instant() + PATIENCE;
        while identity.is_alive() && base::clock::instant() < deadline {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        Ok(())
    }
}

impl Watch {
    /// Returns the next snapshot, or `None` if the shim is gone.
    pub(crate) async fn next(&mut self) -> Option<Vec<Seen>> {
        loop {
            let line = self.lines.next_line().await.ok()??;
            if let Ok(Answer::Snapshot(seen)) = serde_json::from_str(&line) {
                return Some(seen);
            }
        }
    }
}

fn line(request: &Request) -> Result<Vec<u8>, Error> {
    let mut line = serde_json::to_vec(request).map_err(|source| Error::State { path: SOCKET.into(), source })?;
    line.push(b'\n');
    Ok(line)
}
