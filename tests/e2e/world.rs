//! One platform for one test.

use std::{
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    time::{Duration, Instant},
};

use serde_json::Value;

/// A platform that is purged when the test ends.
pub(crate) struct World {
    pub(crate) data: PathBuf,
    pub(crate) home: PathBuf,
    ports: [u16; 4],
    arguments: Vec<String>,
    /// Whether everything is run without any capability, as in an ordinary container of somebody's CI.
    bare: bool,
}

/// What a command did.
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl World {
    /// Returns a world whose platform is not started yet.
    pub(crate) fn new() -> World {
        let root = std::env::temp_dir().join(format!("rs-{}-{}", std::process::id(), random()));
        let (data, home) = (root.join("data"), root.join("home"));
        std::fs::create_dir_all(&home).unwrap();
        // Held until all are chosen, so that no port is given twice.
        let held: Vec<TcpListener> = (0..4).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
        let ports = [0, 1, 2, 3].map(|at| held[at].local_addr().unwrap().port());
        World { data, home, ports, arguments: Vec::new(), bare: false }
    }

    /// Returns a world whose platform is started with more arguments.
    pub(crate) fn with(arguments: &[&str]) -> World {
        let mut world = World::new();
        world.arguments = arguments.iter().map(|&argument| argument.to_owned()).collect();
        world
    }

    /// Returns a world whose processes have no capability and can never get one.
    pub(crate) fn without_capabilities() -> World {
        let mut world = World::new();
        world.bare = true;
        world
    }

    /// Starts the platform and waits until it is ready.
    pub(crate) fn up(&self) -> Ran {
        let ran = self.try_up(&[]);
        assert_eq!(ran.code, 0, "up failed: {}\n{}", ran.err, self.log());
        ran
    }

    pub(crate) fn try_up(&self, more: &[&str]) -> Ran {
        let arguments = self.up_arguments(&[&["--detach"], more].concat());
        self.roadstead(&arguments.iter().map(String::as_str).collect::<Vec<_>>())
    }

    /// Returns the arguments that start the platform in the background.
    pub(crate) fn up_detached(&self) -> Vec<String> {
        self.up_arguments(&["--detach"])
    }

    /// Starts the platform in the foreground and does not wait.
    pub(crate) fn foreground(&self) -> Child {
        let arguments = self.up_arguments(&[]);
        self.begin(&arguments.iter().map(String::as_str).collect::<Vec<_>>())
    }

    /// Begins `roadstead` on this world's data and does not wait for it.
    pub(crate) fn begin(&self, arguments: &[&str]) -> Child {
        spawn(&mut self.command(Path::new(env!("CARGO_BIN_EXE_roadstead")), arguments, &self.home))
    }

    /// Returns the platform's process.
    pub(crate) fn pid(&self) -> String {
        self.status()["pid"].as_u64().unwrap().to_string()
    }

    fn up_arguments(&self, more: &[&str]) -> Vec<String> {
        let mut arguments = vec!["up".to_owned()];
        for (flag, port) in ["--api-port", "--portal-port", "--https-port", "--gateway-port"].iter().zip(self.ports) {
            arguments.extend([(*flag).to_owned(), port.to_string()]);
        }
        arguments.extend(self.arguments.iter().cloned());
        arguments.extend(more.iter().map(|&argument| argument.to_owned()));
        arguments
    }

    pub(crate) fn gateway_port(&self) -> u16 {
        self.ports[3]
    }

    pub(crate) fn portal_port(&self) -> u16 {
        self.ports[1]
    }

    pub(crate) fn https_port(&self) -> u16 {
        self.ports[2]
    }

    pub(crate) fn log(&self) -> String {
        let tail = |name: &str| {
            let text = std::fs::read_to_string(self.data.join("log").join(name)).unwrap_or_default();
            let lines: Vec<&str> = text.lines().collect();
            lines[lines.len().saturating_sub(30)..].join("\n")
        };
        format!("--- platform.log\n{}\n--- gateway.log\n{}", tail("platform.log"), tail("gateway.log"))
    }

    /// Runs `roadstead` on this world's data.
    pub(crate) fn roadstead(&self, arguments: &[&str]) -> Ran {
        self.run(Path::new(env!("CARGO_BIN_EXE_roadstead")), arguments, &self.home)
    }

    /// Runs `roadstead`, which has to succeed; returns its standard output.
    pub(crate) fn ok(&self, arguments: &[&str]) -> String {
        let ran = self.roadstead(arguments);
        assert_eq!(ran.code, 0, "roadstead {arguments:?} failed: {}\n{}", ran.err, self.log());
        ran.out
    }

    /// Runs another program in `folder`, which has to succeed; returns its standard output.
    pub(crate) fn program(&self, program: &str, arguments: &[&str], folder: &Path) -> String {
        let ran = self.run(&which(program), arguments, folder);
        assert_eq!(ran.code, 0, "{program} {arguments:?} failed: {}{}\n{}", ran.out, ran.err, self.log());
        ran.out
    }

    pub(crate) fn kubectl(&self, arguments: &[&str]) -> String {
        self.program("kubectl", arguments, &self.home)
    }

    pub(crate) fn run(&self, program: &Path, arguments: &[&str], folder: &Path) -> Ran {
        let output = self
            .command(program, arguments, folder)
            .output()
            .unwrap_or_else(|error| panic!("{}: {error}", program.display()));
        ran(&output)
    }

    pub(crate) fn command(&self, program: &Path, arguments: &[&str], folder: &Path) -> Command {
        let mut command = if self.bare {
            let mut command = Command::new(which("setpriv"));
            command.args(["--inh-caps=-all", "--bounding-set=-all", "--no-new-privs", "--"]).arg(program);
            command
        } else {
            Command::new(program)
        };
        command
            .args(arguments)
            .current_dir(folder)
            .stdin(Stdio::null())
            .env("ROADSTEAD_DATA", &self.data)
            .env("KUBECONFIG", self.data.join("kubeconfig"))
            .env("HOME", &self.home)
            .env("GIT_CONFIG_NOSYSTEM", "1");
        command
    }

    /// Runs `sh -c` in `folder` as a person would type it.
    pub(crate) fn shell(&self, script: &str, folder: &Path) -> Ran {
        let output =
            self.command(Path::new("/bin/sh"), &["-ec", script], folder).env("PATH", Self::path()).output().unwrap();
        ran(&output)
    }

    /// The search path of a person who has followed the README.
    pub(crate) fn path() -> String {
        let rest = std::env::var("PATH").unwrap_or_default();
        format!("{}:{}:{rest}", binary_folder().display(), peers().display())
    }

    pub(crate) fn status(&self) -> Value {
        serde_json::from_str(&self.ok(&["status", "-o", "json"])).unwrap()
    }

    pub(crate) fn service(&self, name: &str) -> Value {
        serde_json::from_str(&self.ok(&["get", name, "-o", "json"])).unwrap()
    }

    /// Asks a service through the gateway; returns status and body, status 0 if there is no answer.
    pub(crate) fn gateway(&self, host: &str, path: &str) -> (u16, String) {
        let port = self.gateway_port();
        let ca = self.data.join("pki/gateway-ca.crt").display().to_string();
        let resolve = format!("{host}:{port}:127.0.0.1");
        let url = format!("https://{host}:{port}{path}");
        let ran = self.run(
            &which("curl"),
            &["-sS", "--max-time", "5", "--cacert", &ca, "--resolve", &resolve, "-w", "\n%{http_code}", &url],
            &self.home,
        );
        let (body, code) = ran.out.rsplit_once('\n').unwrap_or(("", "0"));
        (code.parse().unwrap_or_default(), body.to_owned())
    }

    /// Waits until `check` holds.
    pub(crate) fn until(&self, what: &str, check: impl Fn() -> bool) {
        let deadline = Instant::now() + Duration::from_secs(60);
        while !check() {
            assert!(Instant::now() < deadline, "waited in vain: {what}\n{}", self.log());
            std::thread::yield_now();
            std::thread::park_timeout(Duration::from_millis(50));
        }
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.log());
        }
        if std::env::var_os("ROADSTEAD_KEEP").is_some() && std::thread::panicking() {
            eprintln!("kept: {}", self.data.display());
            return;
        }
        if self.data.exists() {
            let ran = self.roadstead(&["down", "--purge", "--yes"]);
            if ran.code != 0 {
                eprintln!("purge failed: {}", ran.err);
            }
        }
        if let Some(root) = self.data.parent() {
            std::fs::remove_dir_all(root).ok();
        }
    }
}

/// Starts a command whose output nobody reads.
pub(crate) fn spawn(command: &mut Command) -> Child {
    command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

pub(crate) fn ran(output: &Output) -> Ran {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ran { code: output.status.code().unwrap_or(-1), out: text(&output.stdout), err: text(&output.stderr) }
}

/// Eight characters that no other run has.
pub(crate) fn random() -> String {
    uuid::Uuid::new_v4().simple().to_string()[..8].to_owned()
}

/// A name for a service that its author never saw; begins with a letter.
pub(crate) fn random_name() -> String {
    format!("svc-{}", random())
}

fn binary_folder() -> PathBuf {
    Path::new(env!("CARGO_BIN_EXE_roadstead")).parent().unwrap().to_owned()
}

fn peers() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/peers")
}

/// Finds a program, or fails with how to install it.
pub(crate) fn which(name: &str) -> PathBuf {
    let peer = peers().join(name);
    if peer.exists() {
        return peer;
    }
    let found = std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default())
        .map(|folder| folder.join(name))
        .find(|file| file.is_file());
    found.unwrap_or_else(|| match name {
        "kubectl" | "helm" | "python/bin/python" => panic!("{name} is missing: run 'cargo xtask peers' (needs Go)"),
        "setpriv" => panic!("setpriv is missing: apt-get install util-linux"),
        "chromedriver" => panic!("chromedriver is missing: apt-get install chromium chromium-driver"),
        other => panic!("{other} is missing: apt-get install {other}"),
    })
}

/// What of the machine a platform could leave behind.
pub(crate) fn traces(data: &Path) -> Vec<String> {
    let mut traces = Vec::new();
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let shown = data.display().to_string();
    traces.extend(mounts.lines().filter(|line| line.contains(&shown)).map(|line| format!("mount {line}")));
    let output = Command::new("ip").args(["-o", "link"]).output();
    if let Ok(output) = output {
        let names = String::from_utf8_lossy(&output.stdout).into_owned();
        traces.extend(
            names
                .lines()
                .filter_map(|line| line.split(": ").nth(1))
                .filter(|name| name.starts_with("rs") || name.starts_with("rv"))
                .map(|name| format!("link {name}")),
        );
    }
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let arguments = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let arguments = String::from_utf8_lossy(&arguments).replace('\0', " ");
        if arguments.contains(&shown) && !arguments.contains("down --purge") {
            traces.push(format!("process {arguments}"));
        }
    }
    for tree in ["/sys/fs/cgroup/memory", "/sys/fs/cgroup/pids", "/sys/fs/cgroup/unified", "/sys/fs/cgroup"] {
        for entry in std::fs::read_dir(tree).into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.starts_with("roadstead") {
                traces.push(format!("cgroup {tree}/{name}"));
            }
        }
    }
    traces
}
