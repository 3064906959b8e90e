//! What clients see that write more than is read, on one TLS connection.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops at what it did not expect")]

use std::{net::Ipv4Addr, sync::Arc, time::Duration};

use apiserver::{Config, Server, Tls, Tokens, User, store::Store};
use rustls::{ClientConfig, RootCertStore, pki_types::ServerName};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinSet,
};
use tokio_rustls::{TlsConnector, client::TlsStream};
use tokio_util::sync::CancellationToken;

/// A server on a port, and a token that it takes.
struct Served {
    address: std::net::SocketAddr,
    token: String,
    authority: Vec<u8>,
    _serving: JoinSet<Result<(), apiserver::TlsError>>,
}

impl Served {
    async fn start() -> Served {
        let token = uuid::Uuid::new_v4().simple().to_string();
        let admin = (token.clone(), User::new("admin", &["system:masters"]));
        let tokens = Tokens::new(&Tokens::generate_key(), [admin]).unwrap();
        let range = (Ipv4Addr::new(10, 96, 0, 0), 16);
        let config = Config { store: Store::in_memory().unwrap(), tokens, service_range: range, advertise: None };
        let server = Server::build(config).await.unwrap();
        let made = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
        let authority = made.cert.der().to_vec();
        let key = made.signing_key.serialize_der();
        let tls = Tls { chain: vec![authority.clone()], key, client_authorities: Vec::new() };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut serving = JoinSet::new();
        serving.spawn(apiserver::listen(server, listener, tls, CancellationToken::new(), Duration::ZERO));
        Served { address, token, authority, _serving: serving }
    }

    async fn connect(&self) -> TlsStream<TcpStream> {
        let mut roots = RootCertStore::empty();
        roots.add(self.authority.clone().into()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let config = builder.with_root_certificates(roots).with_no_client_auth();
        let stream = TcpStream::connect(self.address).await.unwrap();
        let name = ServerName::try_from("127.0.0.1").unwrap();
        TlsConnector::from(Arc::new(config)).connect(name, stream).await.unwrap()
    }

    fn head(&self, request: &str, header: &str) -> String {
        format!(
            "{request} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\ncontent-type: application/json\r\n{header}\r\n",
            self.token
        )
    }
}

/// Reads one answer, whose length is told.
async fn answer(stream: &mut TlsStream<TcpStream>) -> String {
    let mut read = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&read).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
            if body.len() >= length.parse().unwrap() {
                return text;
            }
        }
        assert_ne!(stream.read_buf(&mut read).await.unwrap(), 0, "cut off: {text}");
    }
}

const MAPS: &str = "/api/v1/namespaces/default/configmaps";

#[tokio::test]
async fn who_writes_all_before_reading_sees_why_too_much_is_refused() {
    let served = Served::start().await;
    // More than the buffers of a connection hold.
    let size = 14_000_000 + usize::from(rand_byte());
    for told in [true, false] {
        let mut stream = served.connect().await;
        if told {
            let head = served.head(&format!("POST {MAPS}"), &format!("content-length: {size}\r\n"));
            stream.write_all(head.as_bytes()).await.unwrap();
            stream.write_all(&vec![b' '; size]).await.unwrap();
        } else {
            let head = served.head(&format!("POST {MAPS}"), "transfer-encoding: chunked\r\n");
            stream.write_all(head.as_bytes()).await.unwrap();
            stream.write_all(format!("{size:x}\r\n").as_bytes()).await.unwrap();
            stream.write_all(&vec![b' '; size]).await.unwrap();
            stream.write_all(b"\r\n0\r\n\r\n").await.unwrap();
        }
        let refused = answer(&mut stream).await;
        assert!(refused.starts_with("HTTP/1.1 413 ") && refused.contains("limit is 3145728"), "{refused}");
        // What was thrown away is over: the connection goes on.
        stream.write_all(served.head(&format!("GET {MAPS}"), "").as_bytes()).await.unwrap();
        let listed = answer(&mut stream).await;
        assert!(listed.starts_with("HTTP/1.1 200 ") && listed.contains("ConfigMapList"), "{listed}");
    }
}

#[tokio::test]
async fn who_never_ends_is_cut_off() {
    let served = Served::start().await;
    let mut stream = served.connect().await;
    let head = served.head(&format!("POST {MAPS}"), "content-length: 1000000000\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    let piece = vec![b' '; 1 << 20];
    let mut written = 0;
    while written < 200 && stream.write_all(&piece).await.is_ok() {
        written += 1;
    }
    assert!((16..100).contains(&written), "{written} MiB were taken");
}

fn rand_byte() -> u8 {
    uuid::Uuid::new_v4().as_bytes()[0]
}
