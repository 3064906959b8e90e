//! Streams of commands over a connection: what comes from the node goes to the command,
//! what the command says goes to the node, until one of both ends.
//!
//! A client that goes away ends the command's input and output at once; what does not
//! end by that is killed after a while. It never loses what was written before the end.

use std::{
    fs::File,
    io::{self, Read, Write},
    net::Shutdown,
    os::{
        fd::{AsFd, BorrowedFd},
        unix::net::UnixStream,
    },
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    termios::{Winsize, tcsetwinsize},
};

use super::protocol::{Ended, PIECE_LIMIT, Piece};

/// How often somebody who waits looks whether the other side is still there.
const LOOK: Timespec = Timespec { tv_sec: 0, tv_nsec: 100_000_000 };
/// How long a client may leave what it attached to unread before it is let go.
const UNREAD: Duration = Duration::from_secs(30);
/// How much is read from a command at once.
const CHUNK: usize = 32 << 10;

/// What goes into a command: a pipe or the terminal. Its descriptor does not block.
pub(super) struct Input(Mutex<Option<File>>);

impl Input {
    /// Takes a pipe's end or a terminal.
    pub(super) fn new(file: File) -> io::Result<Self> {
        rustix::io::ioctl_fionbio(&file, true)?;
        Ok(Self(Mutex::new(Some(file))))
    }

    /// Closes it.
    pub(super) fn close(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
    }

    /// Returns the descriptor, if it is still open.
    fn get(&self) -> Option<File> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).as_ref().and_then(|file| file.try_clone().ok())
    }
}

/// A connection to the node. Clones share it.
#[derive(Clone)]
pub(super) struct Line(Arc<Mutex<UnixStream>>);

impl Line {
    /// Returns the sending half of a connection.
    pub(super) fn new(connection: &UnixStream) -> io::Result<Self> {
        Ok(Self(Arc::new(Mutex::new(connection.try_clone()?))))
    }

    /// Returns the sending half of one that is let go if it stays unread.
    pub(super) fn impatient(connection: &UnixStream) -> io::Result<Self> {
        let connection = connection.try_clone()?;
        connection.set_write_timeout(Some(UNREAD))?;
        Ok(Self(Arc::new(Mutex::new(connection))))
    }

    /// Sends a piece.
    pub(super) fn send(&self, piece: &Piece) -> io::Result<()> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).write_all(&piece.encode())
    }

    /// Sends the last piece and closes the connection; nobody may be there any more.
    pub(super) fn end(&self, how: Ended) {
        self.send(&Piece::Ended(how)).ok();
        self.close();
    }

    pub(super) fn close(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).shutdown(Shutdown::Both).ok();
    }
}

/// How far a command and its client are.
#[derive(Default)]
pub(super) struct State {
    /// The command has ended: what it wrote is still sent.
    pub(super) exited: AtomicBool,
    /// The client has gone: nothing is sent any more.
    pub(super) gone: AtomicBool,
}

impl State {
    fn is_over(&self) -> bool {
        self.gone.load(Ordering::Acquire)
    }
}

/// What a client's pieces are for.
pub(super) struct Pieces<'a> {
    pub(super) connection: &'a UnixStream,
    /// Where input goes, if there is any.
    pub(super) input: Option<&'a Input>,
    /// What is resized.
    pub(super) terminal: Option<&'a File>,
    /// An end of the client's input is one of the command's.
    pub(super) closes: bool,
    pub(super) state: &'a State,
}

impl Pieces<'_> {
    /// Does what the client's pieces say until it goes or the command has ended.
    pub(super) fn run(&self) {
        let mut from = self.connection;
        loop {
            let mut head = [0; 5];
            if from.read_exact(&mut head).is_err() {
                return;
            }
            let Some(length) = Piece::length(head) else { return };
            let mut bytes = vec![0; length];
            if from.read_exact(&mut bytes).is_err() {
                return;
            }
            match Piece::decode(head[0], bytes) {
                Some(Piece::Stdin(bytes)) => {
                    if let Some(file) = self.input.and_then(Input::get)
                        && !self.write(&file, &bytes)
                    {
                        return;
                    }
                }
                Some(Piece::StdinEnd) => {
                    // A terminal has no end of its own: who types ends it with a key.
                    if let Some(input) = self.input.filter(|_| self.closes && self.terminal.is_none()) {
                        input.close();
                    }
                }
                Some(Piece::Resize { width, height }) => {
                    if let Some(terminal) = self.terminal {
                        let size = Winsize { ws_row: height, ws_col: width, ws_xpixel: 0, ws_ypixel: 0 };
                        tcsetwinsize(terminal, size).ok();
                    }
                }
                // A newer node may say more than this shim knows.
                _ => {}
            }
        }
    }

    /// Writes to the command as it takes it; returns whether the client is still there.
    fn write(&self, mut file: &File, bytes: &[u8]) -> bool {
        let mut rest = bytes;
        while !rest.is_empty() {
            match file.write(rest) {
                Ok(n) => rest = &rest[n..],
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if self.state.exited.load(Ordering::Acquire) {
                        return true;
                    }
                    // The pipe is full: a client that hangs up meanwhile is noticed here.
                    let mut both = [PollFd::new(&file, PollFlags::OUT), PollFd::new(self.connection, PollFlags::RDHUP)];
                    poll(&mut both, Some(&LOOK)).ok();
                    let writable = !both[0].revents().is_empty();
                    if !writable && both[1].revents().intersects(PollFlags::RDHUP | PollFlags::HUP | PollFlags::ERR) {
                        return false;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // The command has closed its input, which is its own affair.
                Err(_) => return true,
            }
        }
        true
    }
}

/// Sends what a command writes until it has ended and everything is sent, or the client has gone.
pub(super) fn pump(mut from: File, line: &Line, state: &State, wrap: fn(Vec<u8>) -> Piece) {
    let mut buffer = vec![0; CHUNK.min(PIECE_LIMIT)];
    loop {
        let exited = state.exited.load(Ordering::Acquire);
        // After the end only what is there already is read: somebody else may hold the other end open.
        let wait = if exited { Timespec { tv_sec: 0, tv_nsec: 0 } } else { LOOK };
        if !is_readable(from.as_fd(), wait) {
            if exited || state.is_over() {
                return;
            }
            continue;
        }
        match from.read(&mut buffer) {
            Ok(0) => return,
            Ok(n) => {
                if line.send(&wrap(buffer[..n].to_vec())).is_err() {
                    return;
                }
            }
            Err(error) if matches!(error.kind(), io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock) => {}
            // A terminal whose other end is closed.
            Err(_) => return,
        }
    }
}

fn is_readable(file: BorrowedFd<'_>, wait: Timespec) -> bool {
    let mut one = [PollFd::new(&file, PollFlags::IN)];
    match poll(&mut one, Some(&wait)) {
        Ok(_) => !one[0].revents().is_empty(),
        Err(_) => false,
    }
}

/// A terminal that is read like a file, though its descriptor does not block.
pub(super) struct Patient(pub(super) File);

impl Read for Patient {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.0.read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    is_readable(self.0.as_fd(), LOOK);
                }
                other => return other,
            }
        }
    }
}

/// Those who follow a running container's output. Clones share the list.
#[derive(Clone, Default)]
pub(super) struct Taps(Arc<Mutex<Tapped>>);

#[derive(Default)]
struct Tapped {
    taps: Vec<Tap>,
    /// The container has ended.
    over: bool,
}

struct Tap {
    line: Line,
    stdout: bool,
    stderr: bool,
}

impl Taps {
    /// Adds one.
    pub(super) fn add(&self, line: &Line, stdout: bool, stderr: bool) {
        let mut tapped = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if tapped.over {
            line.end(Ended::Code(0));
        } else {
            tapped.taps.push(Tap { line: line.clone(), stdout, stderr });
        }
    }

    /// Lets one go.
    pub(super) fn remove(&self, line: &Line) {
        let mut tapped = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        tapped.taps.retain(|tap| !Arc::ptr_eq(&tap.line.0, &line.0));
    }

    /// Gives all of them what the container has written.
    pub(super) fn tell(&self, stream: &str, bytes: &[u8]) {
        let mut tapped = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if tapped.taps.is_empty() || bytes.is_empty() {
            return;
        }
        let piece = if stream == "stderr" { Piece::Stderr(bytes.to_vec()) } else { Piece::Stdout(bytes.to_vec()) };
        tapped.taps.retain(|tap| {
            let wanted = if stream == "stderr" { tap.stderr } else { tap.stdout };
            let there = !wanted || tap.line.send(&piece).is_ok();
            if !there {
                tap.line.close();
            }
            there
        });
    }

    /// Tells all of them that the container has ended.
    pub(super) fn end(&self) {
        let mut tapped = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        tapped.over = true;
        for tap in tapped.taps.drain(..) {
            tap.line.end(Ended::Code(0));
        }
    }
}
