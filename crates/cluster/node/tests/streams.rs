//! Commands, attached containers and forwarded ports, in containers and in plain processes,
//! by a client that speaks the protocols itself.
#![expect(clippy::unwrap_used, clippy::panic, reason = "it is a test")]

mod support;

use std::{net::SocketAddr, path::Path, time::Duration};

use futures::{SinkExt, StreamExt};
use node::Isolation;
use serde_json::{Value, json};
use support::World;
use tokio::{io::AsyncReadExt, io::AsyncWriteExt, net::TcpStream};
use tokio_tungstenite::{
    WebSocketStream, client_async,
    tungstenite::{Error, Message, client::IntoClientRequest},
};

const V5: &str = "v5.channel.k8s.io";
const V4: &str = "v4.channel.k8s.io";

/// A client's connection.
struct Talk(WebSocketStream<TcpStream>);

/// What a command said.
#[derive(Default)]
struct Heard {
    out: Vec<u8>,
    err: String,
    status: Value,
}

impl Talk {
    /// Asks for the streams of a pod; refused with a status and a text.
    async fn open(api: SocketAddr, path: &str, protocol: &str) -> Result<Talk, (u16, String)> {
        let stream = TcpStream::connect(api).await.unwrap();
        let url = format!("ws://{api}/api/v1/namespaces/default/pods/{path}");
        let mut request = url.into_client_request().unwrap();
        request.headers_mut().insert("sec-websocket-protocol", protocol.parse().unwrap());
        match client_async(request, stream).await {
            Ok((socket, answer)) => {
                let chosen = answer.headers()["sec-websocket-protocol"].to_str().unwrap().to_owned();
                assert!(protocol.split(", ").any(|wish| wish == chosen), "{chosen}");
                Ok(Talk(socket))
            }
            Err(Error::Http(answer)) => {
                let body = answer.body().as_deref().unwrap_or_default();
                Err((answer.status().as_u16(), String::from_utf8_lossy(body).into_owned()))
            }
            Err(error) => panic!("{error}"),
        }
    }

    async fn send(&mut self, channel: u8, bytes: &[u8]) {
        self.0.send(Message::Binary([&[channel], bytes].concat().into())).await.unwrap();
    }

    /// Returns the next message with anything in it.
    async fn next(&mut self) -> Option<(u8, Vec<u8>)> {
        loop {
            match tokio::time::timeout(Duration::from_secs(30), self.0.next()).await.expect("an answer in time")? {
                Ok(Message::Binary(bytes)) if bytes.len() > 1 => return Some((bytes[0], bytes[1..].to_vec())),
                Ok(Message::Binary(_) | Message::Ping(_) | Message::Pong(_)) => {}
                Ok(Message::Close(frame)) => {
                    // Stock clients take any other end for an accident.
                    assert_eq!(frame.map(|frame| frame.code.into()), Some(1000_u16));
                    return None;
                }
                Err(_) => return None,
                Ok(other) => panic!("{other:?}"),
            }
        }
    }

    /// Reads all that a command says.
    async fn hear(mut self) -> Heard {
        let mut heard = Heard::default();
        while let Some((channel, bytes)) = self.next().await {
            match channel {
                1 => heard.out.extend(bytes),
                2 => heard.err += &String::from_utf8(bytes).unwrap(),
                3 => heard.status = serde_json::from_slice(&bytes).unwrap(),
                other => panic!("channel {other}"),
            }
        }
        heard
    }

    /// Reads until the output has `text` in it.
    async fn until(&mut self, text: &str) -> String {
        let mut all = String::new();
        while !all.contains(text) {
            let Some((_, bytes)) = self.next().await else { panic!("ended with {all:?}, without {text:?}") };
            all += &String::from_utf8_lossy(&bytes);
        }
        all
    }
}

/// Returns the query of a command of the test's program.
fn exec(world: &World, isolation: &Isolation, words: &[&str], more: &str) -> String {
    // A plain process sees the host's files, the image among them.
    let program = match isolation {
        Isolation::Full => "/usr/bin/tool".to_owned(),
        Isolation::Processes { .. } => find(&world.data.join("roots"), "tool").display().to_string(),
    };
    let words = words.iter().fold(String::new(), |query, word| query + "&command=" + word);
    format!("exec?command={program}{words}&stdout=true{more}")
}

fn find(dir: &Path, name: &str) -> std::path::PathBuf {
    let mut folders = vec![dir.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap().flatten() {
            if entry.file_type().unwrap().is_dir() {
                folders.push(entry.path());
            } else if entry.file_name() == name {
                return entry.path();
            }
        }
    }
    panic!("no {name} below {}", dir.display())
}

/// Bytes that no other run has.
fn random(length: usize) -> Vec<u8> {
    std::iter::repeat_with(|| *uuid::Uuid::new_v4().as_bytes()).flatten().take(length).collect()
}

fn containers() -> Isolation {
    match node::probe() {
        Isolation::Processes { why } => {
            panic!("run this test as root on a machine with namespaces and control groups: {}", why.join("; "))
        }
        full @ Isolation::Full => full,
    }
}

fn processes() -> Isolation {
    Isolation::Processes { why: vec!["the test says so".into()] }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_in_a_container_gets_its_input_and_its_end_is_told() {
    commands(containers()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_beside_a_plain_process_gets_its_input_and_its_end_is_told() {
    commands(processes()).await;
}

async fn commands(isolation: Isolation) {
    let world = World::new(isolation.clone()).await;
    let api = world.serve().await;
    world.pod("p", &["pause"], json!({})).await;
    world.until_ready("p").await;
    let path = |words: &[&str], more: &str| format!("p/{}", exec(&world, &isolation, words, more));

    let sent = random(5 << 20);
    let mut talk = Talk::open(api, &path(&["copy"], "&stdin=true"), &format!("{V5}, {V4}")).await.unwrap();
    let (mut sink, stream) = talk.0.split();
    let bytes = sent.clone();
    #[expect(clippy::disallowed_methods, reason = "it ends with the test")]
    let sending = tokio::spawn(async move {
        for chunk in bytes.chunks(30_000) {
            sink.send(Message::Binary([&[0], chunk].concat().into())).await.unwrap();
        }
        sink.send(Message::Binary(vec![255, 0].into())).await.unwrap();
        sink
    });
    let mut stream = stream;
    let mut out = Vec::new();
    let status = loop {
        match stream.next().await.unwrap().unwrap() {
            Message::Binary(bytes) if bytes[0] == 1 => out.extend_from_slice(&bytes[1..]),
            Message::Binary(bytes) if bytes[0] == 3 => break serde_json::from_slice::<Value>(&bytes[1..]).unwrap(),
            _ => {}
        }
    };
    assert!(out == sent, "{} of {} bytes came back", out.len(), sent.len());
    assert_eq!(status["status"], "Success");
    talk = Talk(sending.await.unwrap().reunite(stream).unwrap());
    assert!(talk.next().await.is_none(), "the status is the last word");

    for protocol in [V5, V4] {
        let path = path(&["echo", "one", "err", "two", "exit", "7"], "&stderr=true");
        let heard = Talk::open(api, &path, protocol).await.unwrap().hear().await;
        assert_eq!((String::from_utf8(heard.out).unwrap().as_str(), heard.err.as_str()), ("one\n", "two\n"));
        assert_eq!(heard.status["reason"], "NonZeroExitCode");
        assert_eq!(heard.status["details"]["causes"], json!([{"reason": "ExitCode", "message": "7"}]));
    }
    let heard = Talk::open(api, "p/exec?command=/nowhere&stdout=1", V5).await.unwrap().hear().await;
    assert_eq!((heard.status["status"].as_str(), heard.status["code"].as_i64()), (Some("Failure"), Some(500)));
    assert!(heard.status["message"].as_str().unwrap().contains("/nowhere"), "{}", heard.status);

    terminals(api, &path).await;
    refusals(api, &path).await;
    left_alone(api, &path).await;
    world.delete("p").await;
}

async fn terminals(api: SocketAddr, path: &impl Fn(&[&str], &str) -> String) {
    let mut talk = Talk::open(api, &path(&["terminal", "size", "copy"], "&stdin=1&tty=1"), V5).await.unwrap();
    let said = talk.until("terminal").await;
    assert!(said.contains("/dev/pts/") && said.contains("xterm"), "{said}");
    talk.send(4, br#"{"Width":71,"Height":17}"#).await;
    talk.until("17 rows 71 columns").await;
    // A terminal echoes what is typed, and the program says it again.
    talk.send(0, b"typed\n").await;
    talk.until("typed\r\ntyped\r\n").await;
    // The key that ends input.
    talk.send(0, &[4]).await;
    assert_eq!(talk.hear().await.status["status"], "Success");
}

async fn refusals(api: SocketAddr, path: &impl Fn(&[&str], &str) -> String) {
    for (path, protocol, code, why) in [
        (path(&["echo"], ""), "v9.channel.k8s.io", 403, ""),
        (path(&["echo"], "&container=x"), V5, 400, "container x is not valid for pod p"),
        ("absent/exec?command=x&stdout=1".to_owned(), V5, 404, "pods \\\"absent\\\" not found"),
        ("p/exec?command=x".to_owned(), V5, 400, "you must specify at least 1 of stdin, stdout, stderr"),
        ("p/exec?stdout=1".to_owned(), V5, 400, "at least one command"),
        (path(&["echo"], "&dryRun=All"), V5, 400, "dryRun is not supported"),
    ] {
        let Err((status, text)) = Talk::open(api, &path, protocol).await else { panic!("{path} is not refused") };
        assert!(status == code && text.contains(why), "{path}: {status} {text}");
    }
    let mut plain = TcpStream::connect(api).await.unwrap();
    let request = format!("GET /api/v1/namespaces/default/pods/{} HTTP/1.1\r\nHost: x\r\n\r\n", path(&["echo"], ""));
    plain.write_all(request.as_bytes()).await.unwrap();
    let mut answer = vec![0; 4096];
    let n = plain.read(&mut answer).await.unwrap();
    let answer = String::from_utf8_lossy(&answer[..n]).into_owned();
    assert!(answer.starts_with("HTTP/1.1 400") && answer.contains("Upgrade request required"), "{answer}");
}

/// What a client leaves behind that goes away in the middle.
async fn left_alone(api: SocketAddr, path: &impl Fn(&[&str], &str) -> String) {
    for more in ["", "&tty=1&stdin=1"] {
        let mark = format!("mark-{}", uuid::Uuid::new_v4());
        let mut talk = Talk::open(api, &path(&["echo", &mark, "pause"], more), V5).await.unwrap();
        talk.until(&mark).await;
        assert_ne!(running(&mark), 0);
        drop(talk);
        gone(&mark).await;
    }
    // One that does not read: the pipe to it is full when the client goes.
    let mark = format!("mark-{}", uuid::Uuid::new_v4());
    let mut talk = Talk::open(api, &path(&["echo", &mark, "pause"], "&stdin=1"), V5).await.unwrap();
    talk.until(&mark).await;
    for _ in 0..100 {
        let full = talk.0.send(Message::Binary(vec![0; 30_000].into()));
        if tokio::time::timeout(Duration::from_millis(500), full).await.is_err() {
            break;
        }
    }
    drop(talk);
    gone(&mark).await;
}

fn running(mark: &str) -> usize {
    let entries = std::fs::read_dir("/proc").unwrap().flatten();
    let lines = entries.filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok());
    lines.filter(|line| String::from_utf8_lossy(line).contains(mark)).count()
}

async fn gone(mark: &str) {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(30);
    while running(mark) > 0 {
        assert!(tokio::time::Instant::now() < deadline, "{mark} still runs");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_runs_as_the_containers_user() {
    let world = World::new(containers()).await;
    let api = world.serve().await;
    world.pod("p", &["pause"], json!({ "securityContext": { "runAsUser": 1234, "runAsGroup": 99 } })).await;
    world.until_ready("p").await;
    let heard = Talk::open(api, "p/exec?command=/usr/bin/tool&command=uid&stdout=1", V5).await.unwrap().hear().await;
    let out = String::from_utf8(heard.out).unwrap();
    assert!(out.starts_with("uid=1234 gid=99 "), "{out}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_is_attached_to_and_its_input_ends_with_the_client() {
    attached(containers()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plain_process_is_attached_to_and_its_input_ends_with_the_client() {
    attached(processes()).await;
}

async fn attached(isolation: Isolation) {
    let world = World::new(isolation).await;
    let api = world.serve().await;
    let once = json!({ "restartPolicy": "Never", "containers": [{ "stdin": true, "stdinOnce": true }] });
    world.pod("once", &["echo", "first", "copy", "echo", "last"], once).await;
    world.until_ready("once").await;
    let mut talk = Talk::open(api, "once/attach?stdin=1&stdout=1&stderr=1", V5).await.unwrap();
    talk.send(0, b"hello\n").await;
    assert_eq!(talk.until("hello\n").await, "hello\n", "only what comes from now on");
    talk.send(255, &[0]).await;
    let heard = talk.hear().await;
    assert_eq!((heard.out.as_slice(), heard.status["status"].as_str()), (&b"last\n"[..], Some("Success")));
    world.until_phase("once", "Succeeded").await;
    assert_eq!(world.logs("once", "").await, "first\nhello\nlast\n");
    let Err((code, text)) = Talk::open(api, "once/attach?stdout=1", V5).await else { panic!("it has ended") };
    assert!(code == 500 && text.contains("error attaching to container"), "{code} {text}");

    // Input that stays open takes one client after the other, and two at a time see the same.
    let open = json!({ "containers": [{ "stdin": true, "tty": true }] });
    world.pod("open", &["terminal", "copy"], open).await;
    world.until_ready("open").await;
    for turn in 0..2 {
        let mut one = Talk::open(api, "open/attach?stdin=1&stdout=1&tty=1", V5).await.unwrap();
        let mut other = Talk::open(api, "open/attach?stdout=1&tty=1", V4).await.unwrap();
        let said = format!("turn {turn}\r\nturn {turn}\r\n");
        one.send(0, format!("turn {turn}\n").as_bytes()).await;
        one.until(&said).await;
        other.until(&said).await;
    }
    let log = world.logs("open", "").await;
    assert!(log.contains("terminal /dev/pts/") && log.contains("turn 1"), "{log}");
    world.delete("open").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ports_of_a_container_are_forwarded() {
    forwarded(containers()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ports_of_a_plain_process_are_forwarded() {
    forwarded(processes()).await;
}

async fn forwarded(isolation: Isolation) {
    let world = World::new(isolation).await;
    let api = world.serve().await;
    world.pod("p", &["echoes", "18085"], json!({})).await;
    world.until_ready("p").await;
    world.until("p", "echoing", |_| true).await;
    let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
    while !world.logs("p", "").await.contains("echoing") {
        assert!(tokio::time::Instant::now() < deadline, "it does not listen");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let mut talk = Talk::open(api, "p/portforward?ports=18085&ports=18086", V4).await.unwrap();
    let mut first = Vec::new();
    for _ in 0..4 {
        first.push(talk.next().await.unwrap());
    }
    let port = |port: u16| port.to_le_bytes().to_vec();
    assert_eq!(first, [(0, port(18085)), (1, port(18085)), (2, port(18086)), (3, port(18086))]);
    let (channel, why) = talk.next().await.unwrap();
    let why = String::from_utf8(why).unwrap();
    assert!(channel == 3 && why.starts_with("error forwarding port 18086 to pod ") && why.contains("refused"), "{why}");

    let sent = random(3 << 20);
    let (mut sink, mut stream) = talk.0.split();
    let bytes = sent.clone();
    #[expect(clippy::disallowed_methods, reason = "it ends with the test")]
    let sending = tokio::spawn(async move {
        for chunk in bytes.chunks(50_000) {
            sink.send(Message::Binary([&[0], chunk].concat().into())).await.unwrap();
        }
        sink
    });
    let mut back = Vec::new();
    while back.len() < sent.len() {
        if let Message::Binary(bytes) = stream.next().await.unwrap().unwrap() {
            assert_eq!(bytes[0], 0);
            back.extend_from_slice(&bytes[1..]);
        }
    }
    assert!(back == sent, "the bytes are the same");
    drop(sending.await.unwrap());
    for (query, code, why) in [
        ("p/portforward", 400, "required"),
        ("p/portforward?ports=0", 400, "must be > 0"),
        ("p/portforward?ports=x", 400, "invalid syntax"),
        ("absent/portforward?ports=1", 404, "not found"),
    ] {
        let Err((status, text)) = Talk::open(api, query, V4).await else { panic!("{query} is not refused") };
        assert!(status == code && text.contains(why), "{query}: {status} {text}");
    }
    world.delete("p").await;
}
