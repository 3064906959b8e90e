//! What the node and a pod's shim say to each other, and what the shim leaves on disk.
//!
//! One JSON line per message over the socket in the pod's folder. The shim may be
//! older than the node that talks to it, so fields are only ever added.
//!
//! After `Stream` and `Attach` are answered with `Done`, the connection carries pieces
//! ([`Piece`]) both ways; after `Connect`, the bytes of the port. The node sends nothing
//! between such a request and its answer.

use std::{collections::BTreeMap, net::Ipv4Addr, path::PathBuf};

use serde::{Deserialize, Serialize};

/// What a shim is told before it starts, in `sandbox.json` of the pod's folder.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Sandbox {
    pub(crate) uid: String,
    pub(crate) namespace: String,
    pub(crate) name: String,
    pub(crate) hostname: String,
    pub(crate) address: Ipv4Addr,
    /// The boot that this sandbox belongs to.
    pub(crate) boot: String,
    /// `None` if the pod's containers are plain processes.
    pub(crate) network: Option<PodNetwork>,
    /// Volumes in memory: folder and size in bytes, 0 for the kernel's default.
    pub(crate) memory_volumes: Vec<(PathBuf, u64)>,
}

/// How a pod is joined to the bridge.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct PodNetwork {
    pub(crate) bridge: String,
    pub(crate) veth: String,
    pub(crate) gateway: Ipv4Addr,
    pub(crate) prefix: u8,
}

/// What the node asks for.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Request {
    /// Start a container; answered when its process runs.
    Start(Start),
    /// Send a signal to a container's first process.
    Signal { name: String, attempt: u32, signal: i32 },
    /// Run a command in a container.
    Exec { name: String, attempt: u32, command: Vec<String>, timeout_ms: u64 },
    /// Run a command in a container with its streams over this connection.
    Stream { name: String, attempt: u32, command: Vec<String>, streams: Streams },
    /// Join a running container's streams over this connection.
    Attach { name: String, attempt: u32, streams: Streams },
    /// Connect to a port of the pod over this connection.
    Connect { port: u16 },
    /// Answer with a snapshot now and after every change.
    Watch,
    /// Kill what still runs and end.
    Stop,
}

/// A container to start.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Start {
    pub(crate) name: String,
    pub(crate) attempt: u32,
    /// The container's own folder.
    pub(crate) bundle: PathBuf,
    pub(crate) log: PathBuf,
    pub(crate) launch: Launch,
    /// What is kept open for who attaches to it.
    #[serde(default)]
    pub(crate) stdin: Stdin,
    /// Its streams are a terminal.
    #[serde(default)]
    pub(crate) tty: bool,
}

/// A container's standard input.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Stdin {
    /// Empty.
    #[default]
    None,
    /// Open as long as the container runs.
    Open,
    /// Closed when the first who attached to it goes.
    Once,
}

/// Which streams of a command somebody wants.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[expect(clippy::struct_excessive_bools, reason = "each is a parameter of the request, as in Kubernetes")]
pub(crate) struct Streams {
    pub(crate) stdin: bool,
    pub(crate) stdout: bool,
    pub(crate) stderr: bool,
    pub(crate) tty: bool,
}

/// A piece of a connection that carries streams: one byte for its kind, four for its length, and its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Piece {
    /// To the command.
    Stdin(Vec<u8>),
    /// Nothing more comes for the command.
    StdinEnd,
    /// The terminal's new size, in columns and rows.
    Resize { width: u16, height: u16 },
    /// From the command.
    Stdout(Vec<u8>),
    /// From the command.
    Stderr(Vec<u8>),
    /// How it ended; the last piece.
    Ended(Ended),
}

/// How a command with streams ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Ended {
    /// With an exit code, 128 and the signal's number if a signal ended it.
    Code(i32),
    /// It never ran.
    Failed(String),
}

/// A piece has at most this many bytes.
pub(crate) const PIECE_LIMIT: usize = 64 << 10;

impl Piece {
    /// Returns the piece as it is sent.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let ended;
        let size;
        let (kind, bytes): (u8, &[u8]) = match self {
            Piece::Stdin(bytes) => (b'i', bytes),
            Piece::StdinEnd => (b'e', &[]),
            Piece::Resize { width, height } => {
                size = [width.to_be_bytes(), height.to_be_bytes()].concat();
                (b'r', &size)
            }
            Piece::Stdout(bytes) => (b'o', bytes),
            Piece::Stderr(bytes) => (b'E', bytes),
            Piece::Ended(how) => {
                // Numbers and text are always JSON.
                ended = serde_json::to_vec(how).unwrap_or_default();
                (b'x', &ended)
            }
        };
        let mut piece = Vec::with_capacity(5 + bytes.len());
        piece.push(kind);
        piece.extend_from_slice(&(bytes.len() as u32).to_be_bytes());
        piece.extend_from_slice(bytes);
        piece
    }

    /// Returns how many bytes follow the first five, or `None` if they begin no piece.
    pub(crate) fn length(head: [u8; 5]) -> Option<usize> {
        let [_, a, b, c, d] = head;
        Some(u32::from_be_bytes([a, b, c, d]) as usize).filter(|length| *length <= PIECE_LIMIT)
    }

    /// Returns the piece of a kind and its bytes, or `None` if it is of no known kind.
    pub(crate) fn decode(kind: u8, bytes: Vec<u8>) -> Option<Piece> {
        Some(match kind {
            b'i' => Piece::Stdin(bytes),
            b'e' => Piece::StdinEnd,
            b'r' => {
                let [a, b, c, d] = *bytes.first_chunk::<4>()?;
                Piece::Resize { width: u16::from_be_bytes([a, b]), height: u16::from_be_bytes([c, d]) }
            }
            b'o' => Piece::Stdout(bytes),
            b'E' => Piece::Stderr(bytes),
            b'x' => Piece::Ended(serde_json::from_slice(&bytes).ok()?),
            _ => return None,
        })
    }
}

/// How a container is started.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Launch {
    /// By the OCI runtime, from `config.json` in the bundle, over this image root.
    Container {
        /// The unpacked image.
        lower: PathBuf,
        /// Relative to the root of each hierarchy.
        cgroup: String,
    },
    /// As a plain process.
    Process { command: Vec<String>, env: BTreeMap<String, String>, dir: PathBuf },
}

/// What the shim answers.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Answer {
    Done,
    Failed { why: String },
    Exec(ExecResult),
    Snapshot(Vec<Seen>),
}

/// How a command in a container ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ExecResult {
    /// `None` if it took too long.
    pub(crate) code: Option<i32>,
    /// The beginning of what it wrote.
    pub(crate) output: String,
}

/// One attempt of a container, as the shim sees it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Seen {
    pub(crate) name: String,
    pub(crate) attempt: u32,
    pub(crate) started: Option<Started>,
    pub(crate) exit: Option<Exit>,
}

/// `started.json` in the bundle.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Started {
    pub(crate) pid: i32,
    pub(crate) at: jiff::Timestamp,
}

/// `exit.json` in the bundle; written and synced before anybody hears of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Exit {
    /// The exit code, 128 and the signal's number if a signal ended it.
    pub(crate) code: i32,
    pub(crate) at: jiff::Timestamp,
    /// Whether the kernel killed it for using too much memory.
    #[serde(default)]
    pub(crate) out_of_memory: bool,
    /// Why it never ran, if so.
    #[serde(default)]
    pub(crate) failed: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_what_they_were() {
        for piece in [
            Piece::Stdin(vec![1, 2, 3]),
            Piece::StdinEnd,
            Piece::Resize { width: 300, height: 2 },
            Piece::Stdout(Vec::new()),
            Piece::Stderr(vec![0; PIECE_LIMIT]),
            Piece::Ended(Ended::Code(137)),
            Piece::Ended(Ended::Failed("it is not there".into())),
        ] {
            let bytes = piece.encode();
            let head = *bytes.first_chunk::<5>().unwrap();
            assert_eq!(Piece::length(head), Some(bytes.len() - 5));
            assert_eq!(Piece::decode(head[0], bytes[5..].to_vec()), Some(piece));
        }
        assert_eq!(Piece::length([b'i', 0, 1, 0, 1]), None, "longer than any piece");
        assert_eq!(Piece::decode(b'?', Vec::new()), None);
    }

    #[test]
    fn a_start_of_an_older_node_has_no_input_and_no_terminal() {
        let old = r#"{"name":"c","attempt":0,"bundle":"/b","log":"/l","launch":{"Process":{"command":["x"],"env":{},"dir":"/"}}}"#;
        let start: Start = serde_json::from_str(old).unwrap();
        assert_eq!((start.stdin, start.tty), (Stdin::None, false));
    }
}
