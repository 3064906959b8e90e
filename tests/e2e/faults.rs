//! What goes wrong: taken ports, kill -9, other people's folders, broken charts.

use std::{
    net::TcpListener,
    os::unix::fs::PermissionsExt,
    sync::atomic::{AtomicBool, Ordering},
};

use crate::world::{World, random_name, traces};

#[test]
fn a_taken_port_names_port_holder_and_flag_and_starts_nothing() {
    let world = World::new();
    let held = TcpListener::bind(("127.0.0.1", world.gateway_port())).unwrap();
    let ran = world.try_up(&[]);
    assert_eq!(ran.code, 1);
    for part in
        [world.gateway_port().to_string(), "--gateway-port".to_owned(), format!("process {}", std::process::id())]
    {
        assert!(ran.err.contains(&part), "{part} in {}", ran.err);
    }
    assert_eq!(world.roadstead(&["status"]).code, 1);
    drop(held);
    world.up();
    let again = world.try_up(&[]);
    assert_eq!(again.code, 0, "a second up says so and prints the links");
    assert!(again.err.contains("already") && again.out.contains("http://localhost:"), "{} {}", again.err, again.out);
}

#[test]
fn a_killed_platform_goes_on_where_it_was() {
    let world = World::new();
    let untouched = traces(&world.data);
    world.up();
    let name = random_name();
    world.ok(&["new", &name]);
    let host = format!("{name}.dev.localhost");
    let before = world.service(&name);
    let ids = || {
        world.kubectl(&["get", "pods", "-A", "-o", "jsonpath={range .items[*]}{.metadata.uid} {.status.containerStatuses[0].containerID} {.status.containerStatuses[0].restartCount}{\"\\n\"}{end}"])
    };
    let containers = ids();
    let pid = world.pid();
    world.program("kill", &["-9", &pid], &world.home);
    for _ in 0..20 {
        assert_eq!(world.gateway(&host, "/health/ready").0, 200, "the service answers without its control plane");
    }
    world.up();
    world.ok(&["wait", &name, "--synced", "--healthy"]);
    let after = world.service(&name);
    assert_eq!(after["commit"], before["commit"]);
    assert_eq!(ids(), containers, "containers are adopted, not started anew");
    world.ok(&["down", "--purge", "--yes"]);
    assert_eq!(traces(&world.data), untouched, "nothing of it is left on the machine");
}

#[test]
fn another_build_takes_over_and_no_request_fails() {
    let world = World::new();
    world.up();
    let name = random_name();
    world.ok(&["new", &name]);
    let host = format!("{name}.dev.localhost");
    let gateway = || std::fs::read_to_string(world.data.join("gateway/build")).unwrap();
    let (before, next) = (gateway(), world.home.join("roadstead-next"));
    std::fs::copy(env!("CARGO_BIN_EXE_roadstead"), &next).unwrap();
    let done = AtomicBool::new(false);
    let answers = std::thread::scope(|scope| {
        let asking = scope.spawn(|| {
            let mut answers = Vec::new();
            while !done.load(Ordering::Relaxed) {
                answers.push(world.gateway(&host, "/health/ready").0);
            }
            answers
        });
        let pid = world.pid();
        world.program("kill", &["-9", &pid], &world.home);
        let ran = world.run(&next, &world.up_detached().iter().map(String::as_str).collect::<Vec<_>>(), &world.home);
        assert_eq!(ran.code, 0, "{}", ran.err);
        world.ok(&["wait", &name, "--synced", "--healthy"]);
        done.store(true, Ordering::Relaxed);
        asking.join().unwrap()
    });
    assert_ne!(gateway(), before, "the other build's gateway runs");
    assert!(answers.len() > 5 && answers.iter().all(|code| *code == 200), "{answers:?}");
}

#[test]
fn folders_of_others_and_of_newer_versions_are_refused() {
    let world = World::new();
    std::fs::create_dir_all(&world.data).unwrap();
    std::fs::set_permissions(&world.data, std::fs::Permissions::from_mode(0o700)).unwrap();
    std::fs::write(world.data.join("version"), "999\n").unwrap();
    let ran = world.try_up(&[]);
    assert_eq!(ran.code, 1);
    assert!(ran.err.contains("layout 999") && ran.err.contains("newer"), "{}", ran.err);
    std::fs::remove_file(world.data.join("version")).unwrap();
    std::os::unix::fs::chown(&world.data, Some(12345), None).unwrap();
    let ran = world.try_up(&[]);
    assert_eq!(ran.code, 1);
    assert!(ran.err.contains("belongs to user 12345"), "{}", ran.err);
    std::os::unix::fs::chown(&world.data, Some(0), None).unwrap();
}

#[test]
fn bad_wishes_are_named_and_change_nothing() {
    let world = World::new();
    world.up();
    for (arguments, said) in [
        (vec!["new", "Not_A_Label"], "lower-case letters"),
        (vec!["new", "fine", "--template", "no-such-template"], "no-such-template"),
        (vec!["new", "fine", "--environment", "no-such-place"], "no-such-place"),
        (vec!["get", "nobody"], "nobody"),
        (vec!["scale", "nobody", "2"], "nobody"),
        (vec!["delete", "nobody", "--yes"], "nobody"),
    ] {
        let ran = world.roadstead(&arguments);
        assert_eq!(ran.code, 1, "{arguments:?}");
        assert!(ran.err.contains(said), "{arguments:?}: {}", ran.err);
    }
    assert_eq!(world.roadstead(&["no-such-verb"]).code, 2);
    let name = random_name();
    world.ok(&["new", &name]);
    let ran = world.roadstead(&["new", &name]);
    assert!(ran.code == 1 && ran.err.contains(&name), "{}", ran.err);
    assert!(!world.ok(&["get"]).contains("fine"));
}

#[test]
fn a_broken_push_changes_and_prunes_nothing_and_says_why() {
    let world = World::new();
    world.up();
    let name = random_name();
    world.ok(&["new", &name]);
    world.ok(&["repo", "clone", &name]);
    let clone = world.home.join(&name);
    let pods = || {
        world.kubectl(&[
            "get",
            "pods",
            "-n",
            "microservices-dev",
            "-o",
            "name",
            "-l",
            &format!("app.kubernetes.io/instance={name}"),
        ])
    };
    let before = pods();
    assert!(!before.is_empty());
    let broken =
        world.shell("printf 'replicaCount: [\\n' > values.yaml && git commit -qam broken && git push -q", &clone);
    assert_eq!(broken.code, 0, "{}", broken.err);
    world.until("the service says that its values are broken", || {
        world.service(&name)["message"].as_str().is_some_and(|message| message.contains("values.yaml"))
    });
    assert_eq!(pods(), before, "a render that fails prunes nothing");
    assert_eq!(world.gateway(&format!("{name}.dev.localhost"), "/health/ready").0, 200);
    let mended = world.shell("git revert --no-edit HEAD && git push -q", &clone);
    assert_eq!(mended.code, 0, "{}", mended.err);
    world.ok(&["wait", &name, "--synced", "--healthy"]);
}

#[test]
fn a_push_without_permission_is_refused() {
    let world = World::new();
    world.up();
    let name = random_name();
    world.ok(&["new", &name]);
    world.ok(&["repo", "clone", &name]);
    let url = format!("https://git:wrong-token@localhost:{}/git/{name}.git", world.https_port());
    let ran = world.shell(
        &format!("git commit -q --allow-empty -m x && git -c credential.helper= push -q {url} HEAD:main"),
        &world.home.join(&name),
    );
    assert_ne!(ran.code, 0);
    let account = "apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: reader, namespace: default}\n";
    std::fs::write(world.home.join("reader.yaml"), account).unwrap();
    world.kubectl(&["apply", "-f", "reader.yaml"]);
    std::fs::write(world.home.join("wish.json"), r#"{"apiVersion":"authentication.k8s.io/v1","kind":"TokenRequest","spec":{"expirationSeconds":600,"audiences":[]}}"#).unwrap();
    let answer = world.kubectl(&[
        "create",
        "--raw",
        "/api/v1/namespaces/default/serviceaccounts/reader/token",
        "-f",
        "wish.json",
    ]);
    let answer: serde_json::Value = serde_json::from_str(&answer).unwrap();
    let token = answer["status"]["token"].as_str().unwrap();
    let url = format!("https://git:{token}@localhost:{}/git/{name}.git", world.https_port());
    let ran = world.shell(&format!("git -c credential.helper= push {url} HEAD:main"), &world.home.join(&name));
    assert_ne!(ran.code, 0);
    assert!(ran.err.contains("may not") || ran.err.contains("403") || ran.err.contains("permission"), "{}", ran.err);
}

#[test]
fn a_data_folder_removed_by_hand_leaves_nothing_that_down_does_not_end() {
    let world = World::new();
    let untouched = traces(&world.data);
    world.up();
    std::fs::remove_dir_all(&world.data).unwrap();
    world.ok(&["down", "--purge", "--yes"]);
    assert_eq!(traces(&world.data), untouched);
    world.up();
    assert_eq!(world.gateway("shop.dev.localhost", "/health/ready").0, 200, "and a new start works");
}

#[test]
fn a_full_disk_is_said_and_nothing_is_left() {
    let world = World::new();
    std::fs::create_dir_all(&world.data).unwrap();
    let data = world.data.display().to_string();
    world.program("mount", &["-t", "tmpfs", "-o", "size=8m,mode=700", "tmpfs", &data], &world.home);
    let ran = world.try_up(&[]);
    let status = world.roadstead(&["status"]);
    world.roadstead(&["down"]);
    world.program("umount", &["-l", &data], &world.home);
    assert_eq!(ran.code, 1);
    assert!(ran.err.contains("No space left"), "{}", ran.err);
    assert_eq!(status.code, 1, "nothing runs");
}

#[test]
fn ctrl_c_stops_everything_in_order_and_keeps_the_data() {
    let world = World::new();
    let untouched = traces(&world.data);
    let mut foreground = world.foreground();
    world.until("the sample answers", || world.gateway("shop.dev.localhost", "/health/ready").0 == 200);
    let commit = world.service("shop")["commit"].clone();
    world.program("kill", &["-INT", &foreground.id().to_string()], &world.home);
    assert!(foreground.wait().unwrap().success());
    // The bridge and the empty control group stay for the next start; `down --purge` takes them.
    let running = |traces: Vec<String>| -> Vec<String> {
        traces.into_iter().filter(|trace| trace.starts_with("process") || trace.starts_with("mount")).collect()
    };
    assert_eq!(running(traces(&world.data)), running(untouched), "no process and no mount is left");
    world.up();
    assert_eq!(world.service("shop")["commit"], commit, "the data is kept");
    assert_eq!(world.gateway("shop.dev.localhost", "/health/ready").0, 200);
}
