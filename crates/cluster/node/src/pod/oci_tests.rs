//! Tables of what a container's specification becomes.

use super::*;

fn container(value: Value) -> Container {
    serde_json::from_value(value).unwrap()
}

fn pod(value: Value) -> PodSpec {
    serde_json::from_value(value).unwrap()
}

fn image() -> ImageFacts {
    ImageFacts {
        entrypoint: vec!["/app".into()],
        cmd: vec!["serve".into()],
        passwd: "root:x:0:0::/:\napp:x:1000:1001::/:\n".into(),
        group: "root:x:0:\nweb:x:33:\n".into(),
        ..ImageFacts::default()
    }
}

#[test]
fn command_and_args_override_the_image_as_in_kubernetes() {
    let vars = BTreeMap::from([("A".to_owned(), "1".to_owned())]);
    for (value, expected) in [
        (json!({ "name": "c" }), "/app serve"),
        (json!({ "name": "c", "args": ["$(A)"] }), "/app 1"),
        (json!({ "name": "c", "command": ["/sh"] }), "/sh"),
        (json!({ "name": "c", "command": ["/sh"], "args": ["-c", "x"] }), "/sh -c x"),
    ] {
        assert_eq!(command(&container(value), &image(), &vars).unwrap().join(" "), expected);
    }
    assert!(command(&container(json!({ "name": "c" })), &ImageFacts::default(), &vars).is_err());
}

#[test]
fn the_user_is_the_containers_then_the_pods_then_the_images() {
    let none = json!({ "containers": [] });
    for (pod_value, own, of_image, expected) in [
        (none.clone(), json!({}), "", Ok((0, 0))),
        (none.clone(), json!({}), "app", Ok((1000, 1001))),
        (none.clone(), json!({}), "1000", Ok((1000, 1001))),
        (none.clone(), json!({}), "7:web", Ok((7, 33))),
        (none.clone(), json!({}), "nobody", Err("not in the image's /etc/passwd")),
        (none.clone(), json!({ "runAsUser": 5 }), "app", Ok((5, 0))),
        (
            json!({ "containers": [], "securityContext": { "runAsUser": 6, "runAsGroup": 8 } }),
            json!({}),
            "app",
            Ok((6, 8)),
        ),
        (none.clone(), json!({ "runAsNonRoot": true }), "", Err("image will run as root")),
        (none, json!({ "runAsNonRoot": true }), "app", Ok((1000, 1001))),
    ] {
        let container = container(json!({ "name": "c", "securityContext": own }));
        let image = ImageFacts { user: of_image.into(), ..image() };
        match (user(&pod(pod_value), &container, &image), expected) {
            (Ok(user), Ok(expected)) => assert_eq!((user.uid, user.gid), expected, "{of_image} {own}"),
            (Err(error), Err(expected)) => assert!(error.to_string().contains(expected), "{error}"),
            (got, _) => panic!("{of_image} {own}: {got:?}"),
        }
    }
}

#[test]
fn capabilities_are_added_and_dropped_within_what_the_machine_has() {
    let of = |value: Value, available| {
        let container = container(json!({ "name": "c", "securityContext": { "capabilities": value } }));
        capabilities(&container, available).join(" ")
    };
    assert_eq!(of(json!({ "drop": ["ALL"] }), u64::MAX), "");
    assert_eq!(of(json!({ "drop": ["ALL"], "add": ["NET_BIND_SERVICE"] }), u64::MAX), "CAP_NET_BIND_SERVICE");
    assert!(of(json!({ "add": ["CAP_SYS_TIME"] }), u64::MAX).contains("CAP_SYS_TIME"));
    assert!(!of(json!({}), u64::MAX).contains("SYS_ADMIN"));
    assert_eq!(of(json!({}), 1), "CAP_CHOWN");
}

#[test]
fn limits_and_security_become_the_runtimes() {
    let container = container(json!({
        "name": "c",
        "resources": { "limits": { "cpu": "250m", "memory": "64Mi" }, "requests": { "cpu": "100m" } },
        "securityContext": { "readOnlyRootFilesystem": true, "allowPrivilegeEscalation": false },
    }));
    let spec = runtime_spec(&Parts {
        container: &container,
        command: &["/app".into()],
        env: &BTreeMap::from([("A".into(), "1".into())]),
        working_dir: "",
        user: &User { uid: 1, gid: 2, groups: vec![3] },
        binds: &[
            Bind { source: "/s/b".into(), target: "/data/b".into(), read_only: true },
            Bind { source: "/s".into(), target: "/data".into(), read_only: false },
        ],
        cgroup: "/g",
        available: u64::MAX,
    });
    assert_eq!(spec["root"]["readonly"], true);
    assert_eq!(spec["process"]["noNewPrivileges"], true);
    assert_eq!(spec["process"]["user"], json!({ "uid": 1, "gid": 2, "additionalGids": [3] }));
    let resources = &spec["linux"]["resources"];
    assert_eq!(resources["cpu"], json!({ "shares": 102, "period": 100_000, "quota": 25_000 }));
    assert_eq!(resources["memory"]["limit"], 64 << 20);
    assert_eq!(resources["devices"][0]["allow"], false, "everything is denied first");
    let mounts = spec["mounts"].as_array().unwrap();
    let targets: Vec<&str> = mounts.iter().map(|mount| mount["destination"].as_str().unwrap()).collect();
    assert_eq!(targets[targets.len() - 2..], ["/data", "/data/b"], "a mount below another comes after it");
    serde_json::from_value::<oci_spec::runtime::Spec>(spec).expect("the runtime reads it");
}

#[test]
fn a_plain_process_finds_its_volumes_by_substitution() {
    let binds = [
        Bind { source: "/v/data".into(), target: "/data".into(), read_only: false },
        Bind { source: "/v/cfg".into(), target: "/etc/app/".into(), read_only: true },
    ];
    for (text, expected) in [
        ("/data", "/v/data"),
        ("/data/x", "/v/data/x"),
        ("--config=/etc/app/a.yml", "--config=/v/cfg/a.yml"),
        ("/database", "/database"),
        ("x/data", "x/data"),
        ("/bin:/data/bin", "/bin:/v/data/bin"),
        ("ä=/data", "ä=/v/data"),
    ] {
        assert_eq!(substitute(text, &binds), expected, "{text}");
    }
}
