//! kill -9 of the platform in the midst of each verb of a session, at moments that the run chooses.
//!
//! What was acknowledged is there after the next start, what was begun is ended, and nothing is started twice.
//! `ROADSTEAD_KILLS` says how many rounds are run (6); `ROADSTEAD_SEED` repeats the moments of a run that failed.

use std::{path::Path, process::Child, time::Duration};

use crate::world::{World, random, random_name, spawn, traces};

/// The longest that a verb is left alone before the platform is killed, in milliseconds.
const LONGEST: u64 = 600;

/// Moments that one seed gives again and again.
struct Moments(u64);

impl Moments {
    fn of_this_run() -> Moments {
        let seed = std::env::var("ROADSTEAD_SEED").unwrap_or_else(|_| random());
        eprintln!("moments of ROADSTEAD_SEED={seed}");
        Moments(u64::from_str_radix(&seed, 16).expect("ROADSTEAD_SEED is a hexadecimal number"))
    }

    fn below(&mut self, bound: u64) -> u64 {
        // Knuth's linear congruential generator: the high bits are even enough for moments.
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

fn rounds() -> u64 {
    std::env::var("ROADSTEAD_KILLS").map_or(6, |rounds| rounds.parse().expect("ROADSTEAD_KILLS is a number"))
}

/// Kills the platform while `begun` runs, `moment` milliseconds from now, and starts it again.
fn kill_and_start(world: &World, mut begun: Child, moment: u64) {
    let pid = world.pid();
    std::thread::park_timeout(Duration::from_millis(moment));
    world.program("kill", &["-9", &pid], &world.home);
    begun.wait().unwrap();
    world.up();
}

fn listed(world: &World, name: &str) -> bool {
    world.ok(&["get", "-o", "json"]).contains(name)
}

/// Waits until the service is as wished and checks that it runs just so many pods.
fn settled(world: &World, name: &str, replicas: usize) {
    world.ok(&["wait", name, "--synced", "--healthy"]);
    world.until("as many pods as wished, none twice", || {
        let pods = world.service(name)["pods"].as_array().map_or(0, Vec::len);
        assert!(pods <= replicas + 2, "{pods} pods where {replicas} were wished");
        pods == replicas
    });
    assert_eq!(world.gateway(&format!("{name}.dev.localhost"), "/health/ready").0, 200);
}

#[test]
fn killed_at_any_moment_of_a_session_the_next_start_ends_what_was_begun() {
    let world = World::new();
    let untouched = traces(&world.data);
    world.up();
    let mut moments = Moments::of_this_run();
    for round in 0..rounds() {
        let name = random_name();
        let moment = moments.below(LONGEST);
        eprintln!("round {round}: new, killed after {moment} ms");
        kill_and_start(&world, world.begin(&["new", &name]), moment);
        if !listed(&world, &name) {
            // It was killed before it had acknowledged anything.
            world.ok(&["new", &name]);
        }
        settled(&world, &name, 1);

        let (moment, replicas) = (moments.below(LONGEST), 2 + moments.below(2));
        world.ok(&["repo", "clone", &name]);
        let clone = world.home.join(&name);
        let commit =
            format!("sed -i 's/replicaCount: .*/replicaCount: {replicas}/' values.yaml && git commit -qam scale");
        assert_eq!(world.shell(&commit, &clone).code, 0);
        eprintln!("round {round}: push of {replicas} replicas, killed after {moment} ms");
        let mut push = world.command(Path::new("git"), &["push", "-q"], &clone);
        kill_and_start(&world, spawn(push.env("PATH", World::path())), moment);
        // A push that was acknowledged says that all is up to date.
        let again = world.shell("git push -q", &clone);
        assert_eq!(again.code, 0, "{}", again.err);
        let head = world.shell("git rev-parse HEAD", &clone).out.trim().to_owned();
        world.until("the pushed commit is in force", || {
            world.service(&name)["commit"].as_str().is_some_and(|commit| commit == head)
        });
        settled(&world, &name, usize::try_from(replicas).unwrap());

        let moment = moments.below(LONGEST);
        eprintln!("round {round}: scale, killed after {moment} ms");
        kill_and_start(&world, world.begin(&["scale", &name, "1"]), moment);
        world.ok(&["scale", &name, "1"]);
        settled(&world, &name, 1);

        let moment = moments.below(LONGEST);
        eprintln!("round {round}: delete, killed after {moment} ms");
        kill_and_start(&world, world.begin(&["delete", &name, "--yes"]), moment);
        if world.roadstead(&["delete", &name, "--yes"]).code != 0 {
            world.until("the service that was being deleted is gone", || !listed(&world, &name));
        }
        let selector = format!("app.kubernetes.io/instance={name}");
        world.until("its pods are gone", || {
            world.kubectl(&["get", "pods", "-n", "microservices-dev", "-l", &selector, "-o", "name"]).is_empty()
        });
    }
    world.ok(&["down", "--purge", "--yes"]);
    assert_eq!(traces(&world.data), untouched);
}
