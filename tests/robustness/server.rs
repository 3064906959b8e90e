//! The server under test: as a process that serves, and as its parent sees it.

use std::{net::SocketAddr, path::Path, process::Stdio};

use apiserver::{Config, Server, Tokens, User, store::Store};
use axum::body::Body;
use nix::sys::{
    resource::{Resource, getrlimit, setrlimit},
    signal::{SigSet, Signal},
};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines},
    net::TcpListener,
    process::{Child, ChildStdin, ChildStdout, Command},
};

use crate::PATIENCE;

/// Serves the store in `folder` until standard input ends. Lines on it fill and free the disk.
pub(crate) fn serve(folder: &Path) {
    // A write past the limit is to fail, not to end the process; threads inherit this.
    let mut full = SigSet::empty();
    full.add(Signal::SIGXFSZ);
    full.thread_block().unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let tokens = Tokens::new(&Tokens::generate_key(), []).unwrap();
        let config = Config {
            store: Store::open(folder).unwrap(),
            tokens,
            service_range: (std::net::Ipv4Addr::new(10, 96, 0, 0), 16),
            advertise: None,
        };
        let server = Server::build(config).await.unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        println!("{}", listener.local_addr().unwrap());
        let mut connections = tokio::task::JoinSet::new();
        let mut orders = BufReader::new(tokio::io::stdin()).lines();
        loop {
            tokio::select! {
                accepted = listener.accept() => {
                    let (stream, _) = accepted.unwrap();
                    connections.spawn(connection(server.clone(), stream));
                }
                order = orders.next_line() => match order.unwrap() {
                    Some(order) => {
                        obey(&order);
                        println!("done");
                    }
                    None => return,
                },
            }
        }
    });
}

async fn connection(server: Server, stream: tokio::net::TcpStream) {
    let service = hyper::service::service_fn(move |request: http::Request<hyper::body::Incoming>| {
        let server = server.clone();
        async move {
            let mut request = request.map(Body::new);
            request.extensions_mut().insert(User::new("admin", &["system:masters"]));
            Ok::<_, std::convert::Infallible>(server.handle(request).await)
        }
    });
    let io = hyper_util::rt::TokioIo::new(stream);
    // A client that hangs up is its own affair.
    drop(hyper::server::conn::http1::Builder::new().serve_connection(io, service).await);
}

fn obey(order: &str) {
    let (_, most) = getrlimit(Resource::RLIMIT_FSIZE).unwrap();
    let limit = match order.split_once(' ') {
        Some(("full", bytes)) => bytes.parse().unwrap(),
        _ => most,
    };
    setrlimit(Resource::RLIMIT_FSIZE, limit, most).unwrap();
}

/// A server process.
pub(crate) struct Process {
    child: Child,
    orders: ChildStdin,
    says: Lines<BufReader<ChildStdout>>,
    pub(crate) address: SocketAddr,
}

impl Process {
    /// Starts a server on `folder`, and returns once it answers.
    pub(crate) async fn start(folder: &Path) -> Process {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.arg("serve").arg(folder).stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().unwrap();
        let orders = child.stdin.take().unwrap();
        let mut says = BufReader::new(child.stdout.take().unwrap()).lines();
        let line = tokio::time::timeout(PATIENCE, says.next_line()).await.expect("the server comes up in time");
        let line = line.unwrap().expect("the server comes up: it ended at its start");
        Process { child, orders, says, address: line.parse().unwrap() }
    }

    /// Lets nothing be written behind this many bytes of a file.
    pub(crate) async fn fill_disk(&mut self, bytes: u64) {
        self.order(&format!("full {bytes}\n")).await;
    }

    pub(crate) async fn free_disk(&mut self) {
        self.order("free\n").await;
    }

    async fn order(&mut self, order: &str) {
        self.orders.write_all(order.as_bytes()).await.unwrap();
        let line = tokio::time::timeout(PATIENCE, self.says.next_line()).await.expect("the server obeys in time");
        assert_eq!(line.unwrap().as_deref(), Some("done"), "the server lives with a full disk");
    }

    /// Ends it as a power cut would, as far as the process is concerned.
    pub(crate) async fn kill(mut self) {
        self.child.kill().await.unwrap();
    }
}
