//! The data plane over real loopback ports: routing while routes change, failures of
//! endpoints, bounds, TLS, upgrades.

mod harness;

use std::time::Duration;

use harness::{Backend, Load, Proxy, ask, random, raw, snapshot};
use proxy::Limits;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_goes_to_the_endpoint_of_its_host_and_path() {
    let (one, two) = (Backend::start("one").await, Backend::start("two").await);
    let proxy = Proxy::start(Limits::default());
    let host = format!("{}.example.test", random());
    proxy.gateway.publish(snapshot(&[(&host, "/", &[one.address]), (&host, "/two", &[two.address])], None));
    let answer = ask(proxy.http, &host, "/x?q=1").await;
    assert_eq!((answer.status, answer.body.as_str()), (200, "one GET /x?q=1"));
    assert_eq!(answer.header("x-seen-forwarded-for").as_deref(), Some("127.0.0.1"));
    assert_eq!(answer.header("x-seen-forwarded-proto").as_deref(), Some("http"));
    assert_eq!(answer.header("x-seen-host").as_deref(), Some(host.as_str()));
    assert_eq!(ask(proxy.http, &host, "/two/x").await.body, "two GET /two/x");
    let missing = ask(proxy.http, "other.example.test", "/").await;
    assert_eq!(missing.status, 404);
    assert!(missing.body.contains("GW0021") && missing.body.contains("other.example.test"), "{}", missing.body);
    assert!(proxy.gateway.metrics().contains("destination_service_name=\"s0\",response_code=\"200\"} 1"));
    proxy.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn routes_change_under_load_without_a_failed_request() {
    let backends = [Backend::start("a").await, Backend::start("b").await];
    let proxy = Proxy::start(Limits::default());
    let host = format!("{}.example.test", random());
    proxy.gateway.publish(snapshot(&[(&host, "/", &[backends[0].address])], None));
    let load = Load::start(proxy.http, &host, 8);
    for turn in 0..200 {
        let extra = format!("/{}", random());
        let at = &backends[turn % 2];
        let before = load.answered();
        proxy.gateway.publish(snapshot(&[(&host, "/", &[at.address]), (&host, &extra, &[backends[0].address])], None));
        // In force at once, not sooner or later.
        assert_eq!(ask(proxy.http, &host, "/").await.body, format!("{} GET /", at.name));
        assert_eq!(ask(proxy.http, &host, &extra).await.status, 200);
        load.more_than(before).await;
    }
    let (answered, failed) = load.stop().await;
    assert_eq!(failed, Vec::<String>::new(), "of {answered} requests");
    proxy.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_endpoint_that_dies_costs_no_request_while_another_lives() {
    let (mut doomed, other) = (Backend::start("doomed").await, Backend::start("other").await);
    let proxy = Proxy::start(Limits::default());
    let host = format!("{}.example.test", random());
    proxy.gateway.publish(snapshot(&[(&host, "/", &[doomed.address, other.address])], None));
    let load = Load::start(proxy.http, &host, 8);
    load.more_than(200).await;
    // Its idle connections are reset and its port refuses, while the routes still name it.
    doomed.kill().await;
    load.more_than(load.answered() + 500).await;
    proxy.gateway.publish(snapshot(&[(&host, "/", &[other.address])], None));
    load.more_than(load.answered() + 200).await;
    let (answered, failed) = load.stop().await;
    assert_eq!(failed, Vec::<String>::new(), "of {answered} requests");
    proxy.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_endpoint_is_503_an_unreachable_one_502_and_a_slow_one_504() {
    let (mut dead, slow) = (Backend::start("dead").await, Backend::start("slow").await);
    dead.kill().await;
    let proxy = Proxy::start(Limits::default());
    let host = format!("{}.example.test", random());
    let routes =
        [(host.as_str(), "/none", &[][..]), (&host, "/dead", &[dead.address]), (&host, "/never", &[slow.address])];
    proxy.gateway.publish(snapshot(&routes, Some(300)));
    for (path, status, code) in [("/none", 503, "GW0023"), ("/dead", 502, "GW0024"), ("/never", 504, "GW0026")] {
        let answer = ask(proxy.http, &host, path).await;
        assert_eq!(answer.status, status, "{path}");
        assert!(answer.body.contains(code), "{}", answer.body);
        assert_eq!(answer.header("content-type").as_deref(), Some("application/problem+json"));
    }
    proxy.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn heads_that_are_too_large_or_too_slow_are_bounded() {
    let proxy = Proxy::start(Limits { head: Duration::from_millis(300), head_bytes: 16 << 10, ..Limits::default() });
    let large = format!("GET / HTTP/1.1\r\nhost: h\r\nx-large: {}\r\n\r\n", "a".repeat(64 << 10));
    let answer = raw(proxy.http, large.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 431"), "{answer:.60}");
    let mut slow = tokio::net::TcpStream::connect(proxy.http).await.unwrap();
    slow.write_all(b"GET / HTTP/1.1\r\nhost: ").await.unwrap();
    let mut rest = Vec::new();
    let ended = tokio::time::timeout(Duration::from_secs(5), slow.read_to_end(&mut rest)).await;
    assert!(ended.is_ok(), "a head that does not end keeps the connection");
    assert!(raw(proxy.http, b"GET / HTTP/1.1\r\nconnection: close\r\n\r\n").await.contains("GW0020"));
    proxy.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tls_is_signed_for_routed_hosts_and_speaks_both_versions_of_http() {
    let backend = Backend::start("tls").await;
    let proxy = Proxy::start(Limits::default());
    let host = format!("{}.example.test", random());
    proxy.gateway.publish(snapshot(&[(&host, "/", &[backend.address])], None));
    let first = harness::ask_tls(proxy.https, &host, "/1", b"http/1.1").await.unwrap();
    assert_eq!((first.status, first.body.as_str()), (200, "tls GET /1"));
    assert_eq!(first.header("x-seen-forwarded-proto").as_deref(), Some("https"));
    let second = harness::ask_tls(proxy.https, &host, "/2", b"h2").await.unwrap();
    assert_eq!((second.status, second.body.as_str()), (200, "tls GET /2"));
    assert!(harness::ask_tls(proxy.https, "stranger.example.test", "/", b"http/1.1").await.is_err());
    proxy.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bodies_stream_both_ways_and_upgrades_pass_through() {
    let backend = Backend::start("stream").await;
    let proxy = Proxy::start(Limits::default());
    let host = format!("{}.example.test", random());
    proxy.gateway.publish(snapshot(&[(&host, "/", &[backend.address])], None));
    let body: Vec<u8> = (0..3 << 20).map(|at: u32| at.to_le_bytes()[1]).collect();
    let answer = harness::post(proxy.http, &host, "/echo", body.clone()).await;
    assert_eq!(answer.len(), body.len());
    assert!(answer == body, "what comes back is what was sent");

    let mut stream = tokio::net::TcpStream::connect(proxy.http).await.unwrap();
    let ask = format!("GET /upgrade HTTP/1.1\r\nhost: {host}\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\r\n");
    stream.write_all(ask.as_bytes()).await.unwrap();
    let mut seen = Vec::new();
    while !seen.ends_with(b"\r\n\r\n") {
        seen.push(stream.read_u8().await.unwrap());
    }
    let head = String::from_utf8(seen).unwrap().to_lowercase();
    assert!(head.starts_with("http/1.1 101") && head.contains("upgrade: websocket"), "{head}");
    stream.write_all(b"ping").await.unwrap();
    let mut pong = [0; 4];
    stream.read_exact(&mut pong).await.unwrap();
    assert_eq!(&pong, b"ping");
    drop(stream);
    proxy.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_under_way_ends_before_the_proxy_does() {
    let backend = Backend::start("last").await;
    let proxy = Proxy::start(Limits::default());
    let (address, host) = (proxy.http, format!("{}.example.test", random()));
    proxy.gateway.publish(snapshot(&[(&host, "/", &[backend.address])], None));
    let asked = host.clone();
    let (arrived, release) = backend.hold();
    let slow = harness::spawn(async move { ask(address, &asked, "/held").await });
    arrived.notified().await;
    let stopping = harness::spawn(proxy.gateway.leave(Duration::from_secs(10)));
    harness::until(|| async { tokio::net::TcpStream::connect(address).await.is_err() }).await;
    release.notify_one();
    assert_eq!(slow.await.unwrap().status, 200);
    assert!(stopping.await.unwrap(), "all connections ended in time");
}
