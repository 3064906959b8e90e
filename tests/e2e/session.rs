//! The session of the README, command by command, and its figures in passing.

use crate::world::{World, random, random_name, traces, which};

#[test]
fn from_new_to_push_to_delete() {
    session(&World::new(), "full");
}

#[test]
fn from_new_to_push_to_delete_in_plain_processes() {
    session(&World::with(&["--isolation", "processes"]), "processes");
}

#[test]
fn from_new_to_push_to_delete_where_nothing_can_be_isolated() {
    session(&World::without_capabilities(), "processes");
}

fn session(world: &World, isolation: &str) {
    let before = traces(&world.data);
    let started = world.up();
    assert!(started.out.lines().count() <= 12, "at most 12 lines at the end: {}", started.out);
    let status = world.status();
    assert_eq!(status["isolation"], isolation);
    assert_eq!(
        isolation == "processes",
        !status["notIsolated"].as_array().unwrap().is_empty(),
        "what is not isolated is said"
    );
    let sample = started.out.lines().find_map(|line| line.strip_prefix("Sample ")).unwrap().trim().to_owned();
    let host = sample.trim_start_matches("https://").split(':').next().unwrap().to_owned();
    assert_eq!(world.gateway(&host, "/").0, 200, "the printed sample answers");

    let name = random_name();
    world.ok(&["new", &name, "--template", "microservice", "--environment", "development"]);
    let table = world.ok(&["get", &name]);
    assert!(table.contains(&name) && table.contains("Healthy") && table.contains("1/1"), "{table}");
    assert!(world.ok(&["get", &name, "-o", "yaml"]).contains(&format!("name: {name}")));
    let host = format!("{name}.dev.localhost");
    assert_eq!(world.gateway(&host, "/health/ready").0, 200);

    world.ok(&["repo", "clone", &name]);
    let clone = world.home.join(&name);
    let script = "sed -i 's/replicaCount: .*/replicaCount: 3/' values.yaml && git commit -qam scale && git push -q";
    let pushed = world.shell(script, &clone);
    assert_eq!(pushed.code, 0, "{}\n{}", pushed.err, world.log());
    world.ok(&["wait", &name, "--synced", "--healthy"]);
    let service = world.service(&name);
    let head = world.shell("git rev-parse HEAD", &clone).out.trim().to_owned();
    assert_eq!(service["commit"], head.as_str());
    assert_eq!(service["deployment"]["readyReplicas"], 3);
    assert_eq!(service["pods"].as_array().unwrap().len(), 3);
    let digest = service["imageDigest"].as_str().unwrap();
    assert!(digest.contains("sha256:"), "{digest}");

    assert!(!world.ok(&["logs", &name, "--lines", "20"]).is_empty());
    world.ok(&["scale", &name, "2"]);
    assert_eq!(
        world.shell("git pull -q && grep replicaCount values.yaml", &clone).out.trim(),
        "replicaCount: 2",
        "git owns the replicas"
    );
    assert_eq!(world.service(&name)["deployment"]["readyReplicas"], 2);
    let listed = world.kubectl(&["get", "deploy,rs,pods,svc", "-A"]);
    assert!(listed.contains(&format!("deployment.apps/{name}")) && listed.contains("2/2"), "{listed}");

    let asked = world.roadstead(&["delete", &name]);
    assert_eq!(asked.code, 1, "without a terminal to ask at nothing is deleted");
    world.ok(&["delete", &name, "--yes"]);
    assert!(!world.ok(&["get"]).contains(&name));
    assert!(!world.kubectl(&["get", "pods", "-A"]).contains(&name));

    for theirs in [".kube/config", ".gitconfig", ".config/git"] {
        assert!(!world.home.join(theirs).exists(), "{theirs} is the user's own");
    }
    world.ok(&["down"]);
    assert_eq!(world.roadstead(&["status"]).code, 1);
    world.ok(&["down", "--purge", "--yes"]);
    assert_eq!(traces(&world.data), before, "nothing of it is left on the machine");
    assert!(!world.data.exists());
}

#[test]
fn the_tour_of_the_readme_works_as_it_is_written() {
    let world = World::new();
    world.up();
    let readme = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../README.md")).unwrap();
    let tour = readme.split("## A tour").nth(1).unwrap().split("```").nth(1).unwrap();
    let commands: Vec<String> = tour
        .lines()
        .filter_map(|line| line.strip_prefix("$ "))
        // The first line sets what this world has set already.
        .filter(|line| !line.starts_with("export"))
        .map(|line| line.replace("8443", &world.gateway_port().to_string()))
        .collect();
    assert!(commands.len() > 8, "{commands:?}");
    let ran = world.shell(&commands.join("\n"), &world.home);
    assert_eq!(ran.code, 0, "{}\n{}\n{}", ran.out, ran.err, world.log());
    assert!(ran.out.contains("\"ready\""), "{}", ran.out);
}

/// An address that this machine has for as long as the value lives.
struct Address(String);

impl Address {
    fn new(world: &World) -> Address {
        // TEST-NET-2 of RFC 5737: nobody's own.
        let last = u8::from_str_radix(&random()[..2], 16).unwrap();
        let address = Address(format!("198.51.100.{last}"));
        world.program("ip", &["address", "add", &format!("{}/32", address.0), "dev", "lo"], &world.home);
        address
    }
}

impl Drop for Address {
    fn drop(&mut self) {
        let arguments = ["address", "delete", &format!("{}/32", self.0), "dev", "lo"];
        let removed = std::process::Command::new("ip").args(arguments).status();
        assert!(removed.is_ok_and(|status| status.success()) || std::thread::panicking());
    }
}

#[test]
fn on_an_address_for_others_the_portal_speaks_tls_alone() {
    let world = World::new();
    let address = Address::new(&world);
    let refused = world.try_up(&["--portal-address", "0.0.0.0"]);
    assert!(refused.code == 1 && refused.err.contains("--portal-address 0.0.0.0"), "{}", refused.err);
    let foreign = world.try_up(&["--portal-address", "203.0.113.9"]);
    assert!(foreign.code == 1 && foreign.err.contains("is no address of this machine"), "{}", foreign.err);
    let started = world.try_up(&["--portal-address", &address.0]);
    assert_eq!(started.code, 0, "{}", started.err);
    let url = format!("https://{}:{}", address.0, world.https_port());
    let line = started.out.lines().find(|line| line.contains(&url)).unwrap();
    let authority = line.split("authority: ").nth(1).unwrap().trim_end_matches(')');
    let curl =
        |arguments: &[&str]| world.run(&which("curl"), &[&["-sS", "--max-time", "5"], arguments].concat(), &world.home);
    let page = curl(&["--cacert", authority, &format!("{url}/health/ready")]);
    assert_eq!(page.code, 0, "{}", page.err);
    let own = world.data.join("pki/gateway-ca.crt").display().to_string();
    assert_ne!(curl(&["--cacert", &own, &url]).code, 0, "the gateway's authority does not speak for it");
    assert_ne!(
        curl(&[&format!("http://{}:{}/", address.0, world.portal_port())]).code,
        0,
        "nothing is served in the clear"
    );
    let link = world.ok(&["login-link"]);
    let link = link.trim().replace(&format!("http://localhost:{}", world.portal_port()), &url);
    let login = curl(&["--cacert", authority, "-o", "/dev/null", "-D", "-", &link]);
    let cookie = login.out.lines().find(|line| line.to_lowercase().starts_with("set-cookie:")).unwrap_or_default();
    assert!(cookie.contains("Secure") && cookie.contains("HttpOnly"), "{}", login.out);
}
