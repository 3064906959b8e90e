//! Connections that carry streams: commands, attached containers, ports of the pod.

use std::{
    fs::{self, File},
    io,
    net::{Shutdown, TcpStream},
    os::{fd::OwnedFd, unix::net::UnixStream},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{Arc, atomic::Ordering, mpsc},
    thread::JoinHandle,
    time::Duration,
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::{
    super::{
        protocol::{Answer, Ended, Launch, Piece, Start, Streams},
        session::{Input, Line, Pieces, State, pump},
        terminal::{self, Console},
    },
    Server, id, say,
};

/// How long a command whose client has gone may take to notice it.
const GRACE: Duration = Duration::from_secs(5);
const LOOK: Duration = Duration::from_millis(100);

/// Something that a command writes to, and what it is to the node.
type Written = (File, fn(Vec<u8>) -> Piece);

/// A command that runs.
struct Running {
    pid: i32,
    /// The folder of this one command.
    dir: PathBuf,
    in_container: bool,
    input: Option<Input>,
    outputs: Vec<Written>,
    terminal: Option<File>,
    /// Where the terminal comes from.
    console: Option<Console>,
}

impl Server {
    /// Runs a command with its streams over `connection`.
    pub(super) fn stream(
        &self,
        connection: &UnixStream,
        name: &str,
        attempt: u32,
        words: &[String],
        wanted: Streams,
    ) -> io::Result<()> {
        let mut out = connection;
        let start = match self.running(name, attempt).and_then(|_| self.start_of(name, attempt)) {
            Ok(start) => start,
            Err(why) => return say(&mut out, &Answer::Failed { why }),
        };
        say(&mut out, &Answer::Done)?;
        let line = Line::new(connection)?;
        let dir = start.bundle.join(format!("exec-{}", uuid::Uuid::new_v4()));
        let how = match fs::create_dir(&dir).map_err(text).and_then(|()| self.begin(&start, &dir, words, wanted)) {
            Ok(running) => self.serve_command(running, connection, &line),
            Err(why) => Err(why),
        };
        fs::remove_dir_all(&dir).ok();
        line.end(how.unwrap_or_else(Ended::Failed));
        Ok(())
    }

    fn begin(&self, start: &Start, dir: &Path, words: &[String], wanted: Streams) -> Result<Running, String> {
        let in_container = matches!(start.launch, Launch::Container { .. });
        let mut command = match &start.launch {
            Launch::Container { .. } => {
                let mut command = Command::new(self.executable.as_path());
                command.args(["shim", "session", &id(start)]).arg(self.dir.join("oci")).arg(dir);
                command.args([if wanted.tty { "tty" } else { "pipes" }, "--"]).args(words);
                command
            }
            Launch::Process { env, dir, .. } => self.process(words, env, dir, wanted.tty)?,
        };
        let mut running = Running {
            pid: 0,
            dir: dir.to_owned(),
            in_container,
            input: None,
            outputs: Vec::new(),
            terminal: None,
            console: None,
        };
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        if wanted.tty && in_container {
            running.console = Some(Console::listen(dir).map_err(text)?);
        } else if wanted.tty {
            let (kept, end) = terminal::open().map_err(text)?;
            command.stdin(end.try_clone().map_err(text)?).stdout(end.try_clone().map_err(text)?).stderr(end);
            running.terminal = Some(kept);
        } else {
            if wanted.stdin {
                let (end, kept) = io::pipe().map_err(text)?;
                command.stdin(end);
                running.input = Some(Input::new(OwnedFd::from(kept).into()).map_err(text)?);
            }
            if wanted.stdout {
                let (kept, end) = io::pipe().map_err(text)?;
                command.stdout(end);
                running.outputs.push((OwnedFd::from(kept).into(), Piece::Stdout));
            }
            if wanted.stderr {
                let (kept, end) = io::pipe().map_err(text)?;
                command.stderr(end);
                running.outputs.push((OwnedFd::from(kept).into(), Piece::Stderr));
            }
        }
        let leads = wanted.tty && !in_container;
        let spawned = if leads { self.reaper.spawn_leader(&mut command) } else { self.reaper.spawn(&mut command) };
        running.pid = spawned.map_err(|error| match words.first() {
            Some(program) if !in_container => format!("failed to execute {program:?}: {error}"),
            _ => error.to_string(),
        })?;
        Ok(running)
    }

    /// Carries a command's streams until it has ended; returns how.
    fn serve_command(&self, mut running: Running, connection: &UnixStream, line: &Line) -> Result<Ended, String> {
        let state = Arc::new(State::default());
        let (done, code) = mpsc::channel();
        let (reaper, pid, told) = (self.reaper.clone(), running.pid, state.clone());
        std::thread::spawn(move || {
            let code = reaper.wait(pid);
            told.exited.store(true, Ordering::Release);
            done.send(code).ok();
        });
        if let Some(console) = running.console.take() {
            running.terminal = console.receive(|| state.exited.load(Ordering::Acquire)).map_err(text)?;
        }
        if let Some(terminal) = &running.terminal {
            running.input = Some(Input::new(terminal.try_clone().map_err(text)?).map_err(text)?);
            running.outputs.push((terminal.try_clone().map_err(text)?, Piece::Stdout));
        }
        let pumps: Vec<JoinHandle<()>> = std::mem::take(&mut running.outputs)
            .into_iter()
            .map(|(from, wrap)| {
                let (line, state) = (line.clone(), state.clone());
                std::thread::spawn(move || pump(from, &line, &state, wrap))
            })
            .collect();
        let (dir, in_container) = (running.dir.clone(), running.in_container);
        let (own_line, own_state) = (line.clone(), state.clone());
        let finisher = std::thread::spawn(move || {
            for pump in pumps {
                pump.join().ok();
            }
            let code = wait(&code, &own_state, || kill_all(pid, &dir, in_container));
            let failed = fs::read_to_string(dir.join("error")).ok().filter(|_| in_container);
            let how = failed.map_or(Ended::Code(code), Ended::Failed);
            own_line.end(how.clone());
            how
        });
        let pieces = Pieces {
            connection,
            input: running.input.as_ref(),
            terminal: running.terminal.as_ref(),
            closes: true,
            state: &state,
        };
        pieces.run();
        // Whoever ended it: nothing more comes from the client, and a terminal without an owner hangs up.
        state.gone.store(true, Ordering::Release);
        connection.shutdown(Shutdown::Both).ok();
        drop(running);
        finisher.join().map_err(|_| "its end is not known".to_owned())
    }

    /// Joins a container's streams over `connection`.
    pub(super) fn attach(&self, connection: &UnixStream, name: &str, attempt: u32, wanted: Streams) -> io::Result<()> {
        let mut out = connection;
        let ends = self.containers().ends.get(&(name.to_owned(), attempt)).cloned();
        let Some(ends) = ends else {
            return say(&mut out, &Answer::Failed { why: format!("container {name} does not run") });
        };
        say(&mut out, &Answer::Done)?;
        let line = Line::impatient(connection)?;
        ends.taps.add(&line, wanted.stdout, wanted.stderr);
        let input = ends.input.as_ref().filter(|_| wanted.stdin);
        let state = State::default();
        Pieces { connection, input, terminal: ends.terminal.as_ref(), closes: ends.once, state: &state }.run();
        ends.taps.remove(&line);
        if let Some(input) = input.filter(|_| ends.once) {
            input.close();
        }
        Ok(())
    }

    /// Carries the bytes of one connection to a port of the pod.
    pub(super) fn connect(&self, connection: &UnixStream, port: u16) -> io::Result<()> {
        let mut out = connection;
        let port = match TcpStream::connect((self.local, port)) {
            Ok(stream) => stream,
            Err(error) => {
                let why = format!("failed to connect to localhost:{port} inside the pod: {error}");
                return say(&mut out, &Answer::Failed { why });
            }
        };
        port.set_nodelay(true)?;
        say(&mut out, &Answer::Done)?;
        let (from, to) = (port.try_clone()?, connection.try_clone()?);
        let back = std::thread::spawn(move || {
            io::copy(&mut &from, &mut &to).ok();
            to.shutdown(Shutdown::Write).ok();
        });
        io::copy(&mut &*connection, &mut &port).ok();
        port.shutdown(Shutdown::Write).ok();
        // The client has said all; it may still listen, or be gone.
        while !back.is_finished() {
            let mut one = [PollFd::new(connection, PollFlags::empty())];
            poll(&mut one, Some(&Timespec { tv_sec: 0, tv_nsec: 100_000_000 }))?;
            if one[0].revents().intersects(PollFlags::HUP | PollFlags::ERR) {
                port.shutdown(Shutdown::Both).ok();
                break;
            }
        }
        back.join().ok();
        Ok(())
    }
}

/// Waits for a command's end; one whose client has gone is killed after a while.
fn wait(code: &mpsc::Receiver<i32>, state: &State, kill: impl Fn()) -> i32 {
    let mut left = GRACE;
    loop {
        match code.recv_timeout(LOOK) {
            Ok(code) => return code,
            Err(mpsc::RecvTimeoutError::Disconnected) => return -1,
            Err(mpsc::RecvTimeoutError::Timeout) if state.gone.load(Ordering::Acquire) => {
                left = left.saturating_sub(LOOK);
                if left.is_zero() {
                    kill();
                }
            }
            Err(mpsc::RecvTimeoutError::Timeout) => {}
        }
    }
}

/// Kills a command with its group: each is the leader of its own.
fn kill_all(pid: i32, dir: &Path, in_container: bool) {
    let own = fs::read_to_string(dir.join("pid")).ok().and_then(|text| text.trim().parse().ok());
    let pid = if in_container { own } else { Some(pid) };
    if let Some(pid) = pid.filter(|pid| *pid > 1) {
        kill(Pid::from_raw(-pid), Signal::SIGKILL).ok();
    }
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}
