//! Compares the embedded API server with a real kube-apiserver and its etcd: the same work on the same disk in one
//! run, each figure beside the other. `cargo xtask bench api` builds both and runs it.
#![allow(
    clippy::print_stdout,
    clippy::disallowed_methods,
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "it measures and prints"
)]

mod ours;
mod usage;
mod wire;
mod work;

use std::{path::Path, time::Instant};

use bytes::Bytes;
use conformance::peer::{Disk, Peer};
use http::Method;

use crate::{
    ours::Ours,
    usage::{cpu, memory, quantile},
    wire::{Connection, Endpoint},
};

/// As in the product.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const CLIENTS: usize = 32;
const OBJECTS: usize = 3_000;
const WATCHERS: usize = 1_000;
const WRITES: usize = 20;
/// How often the creates are run on each; the median is printed.
const RUNS: usize = 3;

/// What one server took.
#[derive(Default)]
struct Figures {
    creates: f64,
    creates_p99: f64,
    creates_cpu: f64,
    list: f64,
    list_cpu: f64,
    list_bytes: usize,
    watch_p99: f64,
    watch_cpu: f64,
    memory: f64,
    ready: f64,
}

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let runtime = tokio::runtime::Runtime::new()?;
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        [ours::SERVE, folder] => runtime.block_on(ours::serve(Path::new(folder))),
        [peers] => runtime.block_on(compare(Path::new(peers))),
        _ => {
            anyhow::bail!("usage: bench-api FOLDER, where kube-apiserver and etcd are; `cargo xtask bench api` does it")
        }
    }
}

async fn compare(peers: &Path) -> anyhow::Result<()> {
    // Beside the programs, so that both write to the disk that the project is on, and not to one in memory.
    let folder = tempfile::tempdir_in(peers)?;
    let mut ours = Ours::start(&folder.path().join("ours"))?;
    let mut theirs = Peer::start(peers, Disk::Synced(folder.path().join("theirs"))).await?;
    let peer = |peer: &Peer| Endpoint { port: peer.port(), token: peer.token().to_owned() };
    let mut figures = [Figures::default(), Figures::default()];
    eprintln!("creates: {RUNS} runs of {OBJECTS} by {CLIENTS} clients on each");
    let mut runs = [(Vec::new(), Vec::new(), Vec::new()), (Vec::new(), Vec::new(), Vec::new())];
    for _ in 0..RUNS {
        for (at, (endpoint, pids)) in
            [(ours.endpoint.clone(), ours.pids()), (peer(&theirs), theirs.pids())].into_iter().enumerate()
        {
            let (used, begun) = (cpu(&pids)?, Instant::now());
            let mut took = work::creates(&endpoint, CLIENTS, OBJECTS).await?;
            runs[at].0.push(OBJECTS as f64 / begun.elapsed().as_secs_f64());
            runs[at].1.push(quantile(&mut took, 0.99));
            runs[at].2.push((cpu(&pids)? - used) / OBJECTS as f64 * 1e3);
        }
    }
    for (at, (endpoint, pids)) in
        [(ours.endpoint.clone(), ours.pids()), (peer(&theirs), theirs.pids())].into_iter().enumerate()
    {
        let figures = &mut figures[at];
        let (rate, p99, cost) = &mut runs[at];
        (figures.creates, figures.creates_p99, figures.creates_cpu) =
            (quantile(rate, 0.5), quantile(p99, 0.5), quantile(cost, 0.5));
        eprintln!("{}: lists, watches, memory", ["ours", "the peer"][at]);
        work::account(&endpoint).await?;
        work::pods(&endpoint, 0, 5_000).await?;
        let (times, used) = (20, cpu(&pids)?);
        let (mut took, bytes) = work::lists(&endpoint, times).await?;
        figures.list = quantile(&mut took, 0.5);
        figures.list_bytes = bytes;
        figures.list_cpu = (cpu(&pids)? - used) / times as f64 * 1e3;
        let used = cpu(&pids)?;
        let mut took = work::watches(&endpoint, WATCHERS, WRITES).await?;
        figures.watch_p99 = quantile(&mut took, 0.99);
        figures.watch_cpu = (cpu(&pids)? - used) / (WRITES * WATCHERS) as f64 * 1e6;
        work::pods(&endpoint, 5_000, 10_000).await?;
        figures.memory = memory(&pids)? as f64 / 1e6;
    }
    let begun = Instant::now();
    ours.restart()?;
    until_ready(&ours.endpoint).await?;
    figures[0].ready = begun.elapsed().as_secs_f64();
    let begun = Instant::now();
    theirs.restart().await?;
    until_ready(&peer(&theirs)).await?;
    figures[1].ready = begun.elapsed().as_secs_f64();
    print(&figures);
    Ok(())
}

async fn until_ready(endpoint: &Endpoint) -> anyhow::Result<()> {
    let deadline = Instant::now() + std::time::Duration::from_secs(60);
    loop {
        let asked = async { Connection::open(endpoint).await?.ask(Method::GET, "/readyz", Bytes::new()).await };
        match asked.await {
            Ok(_) => return Ok(()),
            Err(error) if Instant::now() > deadline => return Err(error),
            Err(_) => tokio::time::sleep(std::time::Duration::from_millis(5)).await,
        }
    }
}

fn print([ours, theirs]: &[Figures; 2]) {
    println!("\n| work | ours | kube-apiserver and etcd | ratio | at least |\n|---|---|---|---|---|");
    let row = |work: &str, ours: String, theirs: String, ratio: f64, least: &str| {
        println!("| {work} | {ours} | {theirs} | {ratio:.1} × | {least} |");
    };
    row(
        "durable creates of 2 KB objects, 32 clients",
        format!("{:.0}/s", ours.creates),
        format!("{:.0}/s", theirs.creates),
        ours.creates / theirs.creates,
        "5 ×",
    );
    let lower = |work: &str, unit: &str, [ours, theirs]: [f64; 2], least: &str| {
        row(work, format!("{ours:.2} {unit}"), format!("{theirs:.2} {unit}"), theirs / ours, least);
    };
    lower("… p99", "ms", [ours.creates_p99, theirs.creates_p99], "no worse");
    lower("… CPU of the server per request", "ms", [ours.creates_cpu, theirs.creates_cpu], "");
    lower("LIST of 5,000 pods, JSON", "ms", [ours.list, theirs.list], "10 ×");
    lower("… CPU of the server per list", "ms", [ours.list_cpu, theirs.list_cpu], "");
    lower("… bytes of the answer", "MB", [ours.list_bytes as f64 / 1e6, theirs.list_bytes as f64 / 1e6], "");
    lower("1,000 watchers, one write: told, p99", "ms", [ours.watch_p99, theirs.watch_p99], "50 ms");
    lower("… CPU of the server per event", "µs", [ours.watch_cpu, theirs.watch_cpu], "");
    lower("PSS with 10,000 pods stored", "MB", [ours.memory, theirs.memory], "5 ×");
    lower("start to /readyz with 10,000 pods", "s", [ours.ready, theirs.ready], "≤ 0.5 s");
}
