//! The shim of one pod while the pod lives: its namespaces, its containers, its socket.
//!
//! It never restarts anything and never ends by itself while the pod's folder exists.

mod streams;

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, BufRead, BufReader, Read, Write},
    net::Ipv4Addr,
    os::{
        fd::{AsRawFd, OwnedFd},
        unix::{
            fs::PermissionsExt,
            net::{UnixListener, UnixStream},
        },
    },
    path::{Path, PathBuf},
    process::{Command, ExitCode, Stdio},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, mpsc},
    time::Duration,
};

use nix::{
    mount::{MntFlags, MsFlags, mount, umount2},
    sys::{
        prctl::set_child_subreaper,
        signal::{Signal, kill},
    },
    unistd::{Pid, setsid},
};

use super::{
    EXEC_FAILED, EXEC_TIMED_OUT, IDENTITY, LOG_LIMIT, SOCKET,
    log::Log,
    protocol::{Answer, ExecResult, Exit, Launch, Request, Sandbox, Seen, Start, Started, Stdin},
    reaper::Reaper,
    session::{Input, Patient, Taps},
    terminal::{self, Console},
};
use crate::{Error, cgroups, network, proc};

/// Output of a probe's command is kept up to this length.
const OUTPUT_LIMIT: usize = 10 << 10;

/// A pod's shim that is ready to be asked.
#[derive(Clone)]
pub(super) struct Server {
    dir: Arc<PathBuf>,
    executable: Arc<PathBuf>,
    /// Where the pod's ports are: its own loopback, or a plain process's address.
    local: Ipv4Addr,
    reaper: Reaper,
    listener: Arc<UnixListener>,
    containers: Arc<(Mutex<Containers>, Condvar)>,
}

#[derive(Default)]
struct Containers {
    version: u64,
    seen: Vec<Seen>,
    starts: Vec<Start>,
    /// The streams of those that run.
    ends: BTreeMap<(String, u32), Arc<Ends>>,
}

/// A running container's streams, for who attaches to it.
struct Ends {
    input: Option<Input>,
    /// Its input ends with the first who attached.
    once: bool,
    terminal: Option<File>,
    taps: Taps,
}

/// Makes the pod's namespaces, mounts and socket.
pub(super) fn prepare(dir: &Path) -> Result<Server, Error> {
    // It fails only if this process leads its session already.
    setsid().ok();
    set_child_subreaper(true).map_err(Error::system("become the reaper of the pod"))?;
    let path = dir.join("sandbox.json");
    let sandbox: Sandbox = proc::read_state(&path)?
        .ok_or_else(|| Error::Shim { pod: dir.display().to_string(), why: "its sandbox.json is missing".to_owned() })?;
    let executable = std::env::current_exe().map_err(Error::disk("find", "/proc/self/exe"))?;
    if let Some(net) = &sandbox.network {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(Error::disk("start a runtime for", dir))?;
        runtime.block_on(network::enter_pod(net, sandbox.address, &sandbox.hostname))?;
        for (path, size) in &sandbox.memory_volumes {
            let options = if *size == 0 { "mode=0777".to_owned() } else { format!("mode=0777,size={size}") };
            let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
            mount(Some("tmpfs"), path, Some("tmpfs"), flags, Some(options.as_str()))
                .map_err(Error::system("mount a volume in memory"))?;
        }
    }
    // A socket's path is short, a data folder's need not be.
    let folder = File::open(dir).map_err(Error::disk("open", dir))?;
    let socket = PathBuf::from(format!("/proc/self/fd/{}/{SOCKET}", folder.as_raw_fd()));
    fs::remove_file(&socket).ok();
    let listener = UnixListener::bind(&socket).map_err(Error::disk("listen on", dir.join(SOCKET)))?;
    fs::set_permissions(&socket, fs::Permissions::from_mode(0o600))
        .map_err(Error::disk("protect", dir.join(SOCKET)))?;
    let identity = proc::Identity::of(std::process::id() as i32)
        .ok_or_else(|| Error::Shim { pod: sandbox.uid.clone(), why: "/proc does not show it".to_owned() })?;
    proc::write_state(&dir.join(IDENTITY), &identity)?;
    Ok(Server {
        dir: Arc::new(dir.to_owned()),
        executable: Arc::new(executable),
        local: if sandbox.network.is_some() { Ipv4Addr::LOCALHOST } else { sandbox.address },
        reaper: Reaper::start(),
        listener: Arc::new(listener),
        containers: Arc::default(),
    })
}

impl Server {
    /// Answers until it is told to stop.
    pub(super) fn run(self) -> ExitCode {
        // Standard output told the node that the shim is ready; from here on nobody reads it.
        let (done, stopped) = mpsc::channel();
        let listener = self.listener.clone();
        let server = self.clone();
        std::thread::spawn(move || {
            for connection in listener.incoming().flatten() {
                let (server, done) = (server.clone(), done.clone());
                std::thread::spawn(move || {
                    // The other end may go at any time; the next connection starts anew.
                    server.serve(&connection, &done).ok();
                });
            }
        });
        stopped.recv().ok();
        ExitCode::SUCCESS
    }

    fn serve(&self, connection: &UnixStream, done: &mpsc::Sender<()>) -> io::Result<()> {
        let mut out = connection;
        for line in BufReader::new(connection).lines() {
            let request = match serde_json::from_str(&line?) {
                Ok(request) => request,
                Err(error) => {
                    say(&mut out, &Answer::Failed { why: format!("this shim does not know the request: {error}") })?;
                    continue;
                }
            };
            match request {
                Request::Start(start) => {
                    let answer = match self.start(&start) {
                        Ok(()) => Answer::Done,
                        Err(why) => {
                            self.ended(
                                &start,
                                Exit {
                                    code: 128,
                                    at: base::clock::now(),
                                    out_of_memory: false,
                                    failed: Some(why.clone()),
                                },
                            );
                            Answer::Failed { why }
                        }
                    };
                    say(&mut out, &answer)?;
                }
                Request::Signal { name, attempt, signal } => {
                    let answer = match self.signal(&name, attempt, signal) {
                        Ok(()) => Answer::Done,
                        Err(why) => Answer::Failed { why },
                    };
                    say(&mut out, &answer)?;
                }
                Request::Exec { name, attempt, command, timeout_ms } => {
                    let answer = match self.exec(&name, attempt, &command, timeout_ms) {
                        Ok(result) => Answer::Exec(result),
                        Err(why) => Answer::Failed { why },
                    };
                    say(&mut out, &answer)?;
                }
                // From here on the connection carries the streams.
                Request::Stream { name, attempt, command, streams } => {
                    return self.stream(connection, &name, attempt, &command, streams);
                }
                Request::Attach { name, attempt, streams } => {
                    return self.attach(connection, &name, attempt, streams);
                }
                Request::Connect { port } => return self.connect(connection, port),
                Request::Watch => self.watch(&mut out)?,
                Request::Stop => {
                    self.stop_all();
                    say(&mut out, &Answer::Done)?;
                    done.send(()).ok();
                }
            }
        }
        Ok(())
    }

    fn containers(&self) -> MutexGuard<'_, Containers> {
        self.containers.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut Containers)) {
        let mut containers = self.containers();
        change(&mut containers);
        containers.version += 1;
        self.containers.1.notify_all();
    }

    fn watch(&self, out: &mut impl Write) -> io::Result<()> {
        let mut last = None;
        loop {
            let mut containers = self.containers();
            while last == Some(containers.version) {
                containers = self.containers.1.wait(containers).unwrap_or_else(PoisonError::into_inner);
            }
            last = Some(containers.version);
            let answer = Answer::Snapshot(containers.seen.clone());
            drop(containers);
            say(out, &answer)?;
        }
    }

    fn start(&self, start: &Start) -> Result<(), String> {
        {
            let mut containers = self.containers();
            if containers.seen.iter().any(|seen| seen.name == start.name && seen.attempt == start.attempt) {
                return Ok(());
            }
            containers.starts.push(start.clone());
            containers.seen.push(Seen { name: start.name.clone(), attempt: start.attempt, started: None, exit: None });
        }
        let text = |error: io::Error| error.to_string();
        let log = Log::open(&start.log, LOG_LIMIT).map_err(text)?;
        let console = match &start.launch {
            Launch::Container { .. } if start.tty => Some(Console::listen(&start.bundle).map_err(text)?),
            _ => None,
        };
        let mut command = match &start.launch {
            Launch::Container { lower, .. } => {
                mount_root(&start.bundle, lower)?;
                let mut command = Command::new(self.executable.as_path());
                command.args(["shim", "create"]).arg(&start.bundle).arg(id(start)).arg(self.dir.join("oci"));
                command.args(console.as_ref().map(Console::path));
                command
            }
            Launch::Process { command: words, env, dir } => self.process(words, env, dir, start.tty)?,
        };
        let mut input = None;
        let mut outputs: Vec<(&'static str, Box<dyn Read + Send>)> = Vec::new();
        let mut terminal = None;
        if start.tty {
            if console.is_some() {
                command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
            } else {
                let (kept, end) = terminal::open().map_err(text)?;
                command.stdin(end.try_clone().map_err(text)?).stdout(end.try_clone().map_err(text)?).stderr(end);
                terminal = Some(kept);
            }
        } else {
            let (out, out_end) = io::pipe().map_err(text)?;
            let (err, err_end) = io::pipe().map_err(text)?;
            command.stdin(Stdio::null()).stdout(out_end).stderr(err_end);
            outputs.extend([("stdout", Box::new(out) as Box<_>), ("stderr", Box::new(err) as Box<_>)]);
            if start.stdin != Stdin::None {
                let (in_end, kept) = io::pipe().map_err(text)?;
                command.stdin(in_end);
                input = Some(Input::new(OwnedFd::from(kept).into()).map_err(text)?);
            }
        }
        let own_session = start.tty && console.is_none();
        let spawned =
            if own_session { self.reaper.spawn_leader(&mut command) } else { self.reaper.spawn(&mut command) };
        // This process's copies of the pipes' ends must go, or the log never ends.
        drop(command);
        let mut pid = spawned.map_err(text)?;
        let taps = Taps::default();
        let (pumped, all_pumped) = mpsc::channel();
        for (stream, from) in outputs {
            pump(&log, stream, from, &taps, pumped.clone());
        }
        if let Launch::Container { .. } = &start.launch {
            let code = match console {
                None => self.reaper.wait(pid),
                Some(console) => {
                    let (reaper, (done, code)) = (self.reaper.clone(), mpsc::channel());
                    std::thread::spawn(move || done.send(reaper.wait(pid)).ok());
                    let ended = std::cell::Cell::new(None);
                    terminal = console
                        .receive(|| {
                            ended.set(ended.get().or_else(|| code.try_recv().ok()));
                            ended.get().is_some()
                        })
                        .map_err(text)?;
                    ended.get().or_else(|| code.recv().ok()).unwrap_or(1)
                }
            };
            if code != 0 {
                let why = fs::read_to_string(start.bundle.join("error"));
                self.clean_up(start);
                return Err(why.unwrap_or_else(|_| "the OCI runtime ended without a reason".to_owned()));
            }
            let number = fs::read_to_string(start.bundle.join("pid")).map_err(text)?;
            pid = number.trim().parse().map_err(|_| "the OCI runtime wrote no process number".to_owned())?;
        }
        let mut pumps = if start.tty { 0 } else { 2 };
        if let Some(terminal) = &terminal {
            input = Some(Input::new(terminal.try_clone().map_err(text)?).map_err(text)?);
            let from = Patient(terminal.try_clone().map_err(text)?);
            pump(&log, "stdout", Box::new(from), &taps, pumped);
            pumps = 1;
        }
        let input = input.filter(|_| start.stdin != Stdin::None);
        let ends = Arc::new(Ends { input, once: start.stdin == Stdin::Once, terminal, taps });
        let started = Started { pid, at: base::clock::now() };
        proc::write_state(&start.bundle.join("started.json"), &started)
            .map_err(|e| base::fault::Chain(&e).to_string())?;
        self.change(|containers| {
            if let Some(seen) = find(&mut containers.seen, &start.name, start.attempt) {
                seen.started = Some(started);
            }
            containers.ends.insert((start.name.clone(), start.attempt), ends.clone());
        });
        let (server, start) = (self.clone(), start.clone());
        std::thread::spawn(move || {
            let code = server.reaper.wait(pid);
            let mut out_of_memory = false;
            match &start.launch {
                Launch::Process { .. } => drop(kill(Pid::from_raw(-pid), Signal::SIGKILL)),
                Launch::Container { cgroup, .. } => out_of_memory = cgroups::out_of_memory(cgroup),
            }
            // A process that left its group may hold the pipes open; the log must not wait for it.
            for _ in 0..pumps {
                all_pumped.recv_timeout(Duration::from_secs(1)).ok();
            }
            server.containers().ends.remove(&(start.name.clone(), start.attempt));
            ends.taps.end();
            server.clean_up(&start);
            server.ended(&start, Exit { code, at: base::clock::now(), out_of_memory, failed: None });
        });
        Ok(())
    }

    /// Writes down that a container ended, then tells who watches.
    #[expect(clippy::print_stderr, reason = "standard error is the shim's log")]
    fn ended(&self, start: &Start, exit: Exit) {
        if let Err(error) = proc::write_state(&start.bundle.join("exit.json"), &exit) {
            eprintln!(
                "the exit code {} of {} could not be written: {}",
                exit.code,
                start.name,
                base::fault::Chain(&error)
            );
        }
        self.change(|containers| {
            if let Some(seen) = find(&mut containers.seen, &start.name, start.attempt) {
                seen.exit = Some(exit);
            }
        });
    }

    /// Removes a container's cgroup, root and written files.
    #[expect(clippy::print_stderr, reason = "standard error is the shim's log")]
    fn clean_up(&self, start: &Start) {
        if matches!(start.launch, Launch::Process { .. }) {
            return;
        }
        let mut command = Command::new(self.executable.as_path());
        command.args(["shim", "delete", &id(start)]).arg(self.dir.join("oci"));
        match self.reaper.spawn(command.stdin(Stdio::null()).stdout(Stdio::null())) {
            Ok(pid) => drop(self.reaper.wait(pid)),
            Err(error) => eprintln!("failed to run `shim delete`: {error}"),
        }
        let root = start.bundle.join("rootfs");
        if let Err(error) = umount2(&root, MntFlags::MNT_DETACH)
            && error != nix::Error::EINVAL
        {
            eprintln!("failed to unmount {}: {error}", root.display());
        }
        for name in ["upper", "work"] {
            fs::remove_dir_all(start.bundle.join(name)).ok();
        }
    }

    fn running(&self, name: &str, attempt: u32) -> Result<i32, String> {
        let containers = self.containers();
        let seen = containers.seen.iter().find(|seen| seen.name == name && seen.attempt == attempt);
        let running = seen.filter(|seen| seen.exit.is_none()).and_then(|seen| seen.started.as_ref());
        running.map(|started| started.pid).ok_or_else(|| format!("container {name} does not run"))
    }

    fn start_of(&self, name: &str, attempt: u32) -> Result<Start, String> {
        let containers = self.containers();
        let start = containers.starts.iter().find(|start| start.name == name && start.attempt == attempt);
        start.cloned().ok_or_else(|| format!("container {name} is not known"))
    }

    /// Returns the command of a plain process; with `tty` it leads the session of its terminal.
    fn process(
        &self,
        words: &[String],
        env: &BTreeMap<String, String>,
        dir: &Path,
        tty: bool,
    ) -> Result<Command, String> {
        let (program, args) = words.split_first().ok_or("the command is empty")?;
        let mut command = if tty {
            let mut command = Command::new(self.executable.as_path());
            command.args(["shim", "tty", "--", program]).env_clear().env("TERM", "xterm");
            command
        } else {
            let mut command = Command::new(program);
            command.env_clear();
            command
        };
        command.args(args).envs(env).current_dir(dir);
        Ok(command)
    }

    fn signal(&self, name: &str, attempt: u32, signal: i32) -> Result<(), String> {
        let pid = self.running(name, attempt)?;
        let signal = Signal::try_from(signal).map_err(|error| error.to_string())?;
        kill(Pid::from_raw(pid), signal).map_err(|error| error.to_string())
    }

    fn exec(&self, name: &str, attempt: u32, words: &[String], timeout_ms: u64) -> Result<ExecResult, String> {
        self.running(name, attempt)?;
        let start = self.start_of(name, attempt)?;
        let output = start.bundle.join(format!("exec-{}", uuid::Uuid::new_v4()));
        let file = File::create_new(&output).map_err(|error| error.to_string())?;
        let both = file.try_clone().map_err(|error| error.to_string())?;
        let mut command = match &start.launch {
            Launch::Container { .. } => {
                let mut command = Command::new(self.executable.as_path());
                command.args(["shim", "exec", &id(&start)]).arg(self.dir.join("oci"));
                command.arg(timeout_ms.to_string()).arg("--").args(words);
                command
            }
            Launch::Process { env, dir, .. } => self.process(words, env, dir, false)?,
        };
        let spawned = self.reaper.spawn(command.stdin(Stdio::null()).stdout(file).stderr(both));
        let result = spawned.map_err(|error| error.to_string()).map(|pid| {
            if matches!(start.launch, Launch::Container { .. }) {
                return self.reaper.wait(pid);
            }
            let (reaper, (done, code)) = (self.reaper.clone(), mpsc::channel());
            std::thread::spawn(move || done.send(reaper.wait(pid)).ok());
            code.recv_timeout(Duration::from_millis(timeout_ms)).unwrap_or_else(|_| {
                kill(Pid::from_raw(-pid), Signal::SIGKILL).ok();
                i32::from(EXEC_TIMED_OUT)
            })
        });
        let mut text = fs::read(&output).unwrap_or_default();
        text.truncate(OUTPUT_LIMIT);
        fs::remove_file(&output).ok();
        let text = String::from_utf8_lossy(&text).into_owned();
        match result? {
            code if code == i32::from(EXEC_TIMED_OUT) => Ok(ExecResult { code: None, output: text }),
            code if code == i32::from(EXEC_FAILED) => Err(text),
            code => Ok(ExecResult { code: Some(code), output: text }),
        }
    }

    fn stop_all(&self) {
        let pids: Vec<i32> = {
            let containers = self.containers();
            let running = containers.seen.iter().filter(|seen| seen.exit.is_none());
            running.filter_map(|seen| Some(seen.started.as_ref()?.pid)).collect()
        };
        for pid in pids.into_iter().chain(proc::descendants(std::process::id() as i32)) {
            kill(Pid::from_raw(pid), Signal::SIGKILL).ok();
        }
        let mut containers = self.containers();
        let deadline = base::clock::now() + Duration::from_secs(10);
        while containers.seen.iter().any(|seen| seen.started.is_some() && seen.exit.is_none())
            && base::clock::now() < deadline
        {
            let wait = self.containers.1.wait_timeout(containers, Duration::from_millis(100));
            containers = wait.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

fn id(start: &Start) -> String {
    format!("{}-{}", start.name, start.attempt)
}

fn find<'a>(seen: &'a mut [Seen], name: &str, attempt: u32) -> Option<&'a mut Seen> {
    seen.iter_mut().find(|seen| seen.name == name && seen.attempt == attempt)
}

fn say(out: &mut impl Write, answer: &Answer) -> io::Result<()> {
    let mut line = serde_json::to_vec(answer)?;
    line.push(b'\n');
    out.write_all(&line)
}

fn pump(log: &Log, stream: &'static str, from: Box<dyn Read + Send>, taps: &Taps, done: mpsc::Sender<()>) {
    let (log, taps) = (log.clone(), taps.clone());
    std::thread::spawn(move || {
        log.pump(stream, from, &taps);
        done.send(()).ok();
    });
}

fn mount_root(bundle: &Path, lower: &Path) -> Result<(), String> {
    for name in ["upper", "work", "rootfs"] {
        fs::create_dir_all(bundle.join(name)).map_err(|error| format!("failed to create {name}: {error}"))?;
    }
    // The new root itself is the upper folder: its owner and mode are the image's.
    fs::set_permissions(bundle.join("upper"), fs::Permissions::from_mode(0o755)).map_err(|error| error.to_string())?;
    let escape = |path: &Path| path.to_string_lossy().replace('\\', "\\\\").replace(':', "\\:").replace(',', "\\,");
    let options = |more: &str| {
        let (upper, work) = (escape(&bundle.join("upper")), escape(&bundle.join("work")));
        format!("lowerdir={},upperdir={upper},workdir={work}{more}", escape(lower))
    };
    let root = bundle.join("rootfs");
    let try_mount =
        |more| mount(Some("overlay"), &root, Some("overlay"), MsFlags::empty(), Some(options(more).as_str()));
    // Nothing that a container writes outlives it, so syncing it to disk would be lost work.
    try_mount(",volatile").or_else(|_| try_mount("")).map_err(|error| format!("failed to mount the root: {error}"))
}
