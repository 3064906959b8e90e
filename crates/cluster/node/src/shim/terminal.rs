//! Terminals: those that the OCI runtime makes inside of a container and hands over,
//! and those of plain processes.

use std::{
    fs::File,
    io::{self, IoSliceMut},
    mem::MaybeUninit,
    os::{
        fd::{AsFd, AsRawFd},
        unix::{net::UnixListener, process::CommandExt},
    },
    path::{Path, PathBuf},
    process::Command,
};

use nix::unistd::setsid;
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg},
    pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt},
};

/// The socket's name in its folder.
const SOCKET: &str = "console.sock";

/// Where the OCI runtime sends the terminal that it has made.
pub(super) struct Console {
    listener: UnixListener,
    path: PathBuf,
}

impl Console {
    /// Listens in `dir`.
    pub(super) fn listen(dir: &Path) -> io::Result<Self> {
        // A socket's path is short, a data folder's need not be.
        let folder = File::open(dir)?;
        let listener = UnixListener::bind(format!("/proc/self/fd/{}/{SOCKET}", folder.as_raw_fd()))?;
        Ok(Self { listener, path: dir.join(SOCKET) })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the terminal, or `None` if `over` says first that none will come.
    pub(super) fn receive(self, over: impl Fn() -> bool) -> io::Result<Option<File>> {
        let look = Timespec { tv_sec: 0, tv_nsec: 20_000_000 };
        loop {
            // Asked first: what was sent before the end is there afterwards.
            let last = over();
            let mut one = [PollFd::new(&self.listener, PollFlags::IN)];
            poll(&mut one, Some(&look))?;
            if !one[0].revents().is_empty() {
                break;
            }
            if last {
                return Ok(None);
            }
        }
        let (connection, _) = self.listener.accept()?;
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let mut name = [0; 256];
        recvmsg(connection.as_fd(), &mut [IoSliceMut::new(&mut name)], &mut control, RecvFlags::CMSG_CLOEXEC)?;
        let sent = control.drain().find_map(|message| match message {
            RecvAncillaryMessage::ScmRights(mut descriptors) => descriptors.next(),
            _ => None,
        });
        Ok(sent.map(File::from))
    }
}

impl Drop for Console {
    fn drop(&mut self) {
        std::fs::remove_file(&self.path).ok();
    }
}

/// Returns a new terminal: the end that is kept, and the one of its processes.
pub(super) fn open() -> io::Result<(File, File)> {
    let kept = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?;
    grantpt(&kept)?;
    unlockpt(&kept)?;
    let name = ptsname(&kept, Vec::new())?;
    let name = name.to_str().map_err(|_| io::Error::other("the terminal's name is no text"))?;
    let end = rustix::fs::open(name, rustix::fs::OFlags::RDWR | rustix::fs::OFlags::NOCTTY, rustix::fs::Mode::empty())?;
    Ok((File::from(kept), File::from(end)))
}

/// Becomes a program that leads the session of the terminal on its standard input; returns why it did not.
pub(super) fn lead(words: &[&str]) -> String {
    let Some((program, args)) = words.split_first() else { return "the command is empty".to_owned() };
    // It fails only if this process leads a session already.
    setsid().ok();
    if let Err(error) = rustix::process::ioctl_tiocsctty(io::stdin()) {
        return format!("the terminal cannot be had: {error}");
    }
    let error = Command::new(program).args(args).exec();
    format!("failed to execute {program:?}: {error}")
}
