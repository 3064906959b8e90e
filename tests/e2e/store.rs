//! What the API server keeps and writes down: encrypted, audited, taken away in a snapshot and brought back.

use std::os::unix::fs::PermissionsExt;

use serde_json::Value;

use crate::world::{World, random, random_name};

/// A configuration with a key that no other run has.
fn encryption(name: &str) -> String {
    let key = format!("{}{}{}{}", random(), random(), random(), random());
    let key = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, key);
    format!(
        "apiVersion: apiserver.config.k8s.io/v1\nkind: EncryptionConfiguration\nresources:\n- resources: [secrets]\n  providers:\n  - aescbc:\n      keys:\n      - {{name: {name}, secret: {key}}}\n  - identity: {{}}\n"
    )
}

#[test]
fn secrets_are_sealed_on_disk_and_never_in_the_audit_log_and_a_snapshot_brings_all_back() {
    let world = World::new();
    let write = |name: &str, text: &str| {
        let file = world.home.join(name);
        std::fs::write(&file, text).unwrap();
        file.display().to_string()
    };
    let policy = "apiVersion: audit.k8s.io/v1\nkind: Policy\nrules:\n- level: None\n  users: [\"roadstead:gateway\"]\n- level: RequestResponse\n";
    let (sealing, policy) = (write("encryption.yaml", &encryption("k1")), write("audit.yaml", policy));
    let broken = write(
        "broken.yaml",
        "apiVersion: apiserver.config.k8s.io/v1\nkind: EncryptionConfiguration\nresources:\n- resources: [secrets]\n  providers:\n  - kms: {name: k}\n",
    );
    let refused = world.try_up(&["--encryption-config", &broken]);
    assert!(refused.code == 1 && refused.err.contains("kms"), "{}", refused.err);

    let flags = ["--encryption-config", sealing.as_str(), "--audit-policy", policy.as_str()];
    let started = world.try_up(&flags);
    assert_eq!(started.code, 0, "{}\n{}", started.err, world.log());
    let (name, password) = (random_name(), format!("password-{}", random()));
    world.kubectl(&["create", "secret", "generic", &name, &format!("--from-literal=password={password}")]);
    world.kubectl(&["create", "configmap", &name, &format!("--from-literal=open={password}")]);
    let encoded = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, &password);

    let snapshot = world.home.join("platform.snapshot");
    world.ok(&["store", "snapshot", &snapshot.display().to_string()]);
    assert_eq!(std::fs::metadata(&snapshot).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(world.ok(&["store", "check", &snapshot.display().to_string()]).contains("sound"));
    let running = world.roadstead(&["store", "check"]);
    assert!(running.code == 1 && running.err.contains("roadstead down"), "{}", running.err);
    world.ok(&["down"]);
    assert!(world.ok(&["store", "check"]).contains("sound"));

    let store = std::fs::read(world.data.join("store/objects.redb")).unwrap();
    let holds = |text: &str| store.windows(text.len()).any(|window| window == text.as_bytes());
    assert!(!holds(&encoded), "the secret is sealed on disk");
    assert!(holds(&format!("\"open\":\"{password}\"")), "and what is no secret is not");
    let log = std::fs::read_to_string(world.data.join("log/audit.log")).unwrap();
    assert!(!log.contains(&encoded), "no secret is in the audit log");
    let event = log.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()).find(|event| {
        event["verb"] == "create"
            && event["objectRef"]["resource"] == "secrets"
            && event["objectRef"]["name"] == name.as_str()
    });
    let event = event.expect("who made the secret is written down");
    assert_eq!((&event["user"]["username"], &event["level"]), (&"system:admin".into(), &"Metadata".into()));

    world.ok(&["down", "--purge", "--yes"]);
    world.ok(&["store", "restore", &snapshot.display().to_string()]);
    let started = world.try_up(&flags);
    assert_eq!(started.code, 0, "{}\n{}", started.err, world.log());
    let back = world.kubectl(&["get", "secret", &name, "-o", "jsonpath={.data.password}"]);
    assert_eq!(back, encoded);
}
