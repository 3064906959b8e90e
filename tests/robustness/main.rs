//! Random traffic from many clients while the server is killed at any moment and its disk
//! fills up. What the clients saw is checked against a model: no acknowledged write is
//! lost, no read is stale, no watcher misses or is told a change twice.
//!
//! The server is this program itself, started again with `serve FOLDER`: an API server on
//! a data folder, behind plain HTTP on loopback. `--kills N` and `--seed N` choose how
//! often it is killed and what is random; a history that fails is kept and named.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "a test stops at what it did not expect, and runs beside the product"
)]

mod model;
mod server;
mod traffic;

use std::{fmt::Write as _, path::PathBuf, time::Duration};

use model::History;
use traffic::Traffic;

/// How long the server may take to come up, or a phase of traffic to end.
const PATIENCE: Duration = Duration::from_secs(120);
const CLIENTS: u64 = 8;
const WATCHERS: usize = 3;

/// What is random, from a seed that can be given again.
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Dice {
        Dice(seed)
    }

    /// Returns a number below `bound`.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [verb, folder] = arguments.as_slice()
        && verb == "serve"
    {
        return server::serve(folder.as_ref());
    }
    // The test runner asks for names; it knows this one alone.
    if arguments.iter().any(|argument| argument == "--list") {
        println!("what_is_acknowledged_outlives_kills_and_a_full_disk: test");
        return;
    }
    let number = |name: &str| {
        let at = arguments.iter().position(|argument| argument == name)?;
        arguments.get(at + 1)?.parse::<u64>().ok()
    };
    let seed = number("--seed").unwrap_or_else(|| uuid::Uuid::new_v4().as_u64_pair().0);
    let kills = number("--kills").unwrap_or(20);
    println!("robustness: {kills} kills, seed {seed} (again: --seed {seed})");
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let history = runtime.block_on(run(seed, kills));
    verdict(seed, kills, &history);
}

/// Runs the traffic and the faults; returns what everybody saw.
async fn run(seed: u64, kills: u64) -> History {
    let folder = tempfile::tempdir().unwrap();
    let mut dice = Dice::new(seed);
    let mut server = server::Process::start(folder.path()).await;
    let traffic = Traffic::begin(server.address, seed, CLIENTS, WATCHERS).await;
    for kill in 0..kills {
        traffic.goes_on(20 + dice.below(120)).await;
        if dice.below(3) == 0 {
            server.fill_disk(dice.below(3) * 400_000).await;
            traffic.goes_on(10 + dice.below(40)).await;
            if dice.below(2) == 0 {
                // Otherwise it is killed with a full disk, and comes up on an empty one.
                server.free_disk().await;
                traffic.is_written_again(5).await;
            }
        }
        server.kill().await;
        server = server::Process::start(folder.path()).await;
        traffic.moves_to(server.address);
        if (kill + 1) % 20 == 0 {
            println!("robustness: {} kills, {} requests", kill + 1, traffic.done());
        }
    }
    traffic.goes_on(50).await;
    let history = traffic.end().await;
    server.kill().await;
    history
}

fn verdict(seed: u64, kills: u64, history: &History) {
    let breaches = model::check(history);
    if !breaches.is_empty() {
        let kept = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("robustness-{seed}.txt"));
        let mut text = String::new();
        for line in breaches.iter().map(|breach| format!("breach: {breach}")).chain(history.lines()) {
            let _ = writeln!(text, "{line}");
        }
        std::fs::write(&kept, text).unwrap();
        eprintln!("robustness: {} breaches, seed {seed}, history in {}", breaches.len(), kept.display());
        for breach in breaches.iter().take(20) {
            eprintln!("  {breach}");
        }
        std::process::exit(1);
    }
    model::notices_what_is_broken(history);
    println!("test what_is_acknowledged_outlives_kills_and_a_full_disk ... ok: {kills} kills, {}", history.summary());
}
