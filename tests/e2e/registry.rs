//! Images: pushed by a stock client, packed from an executable, run by the node.

use crate::world::{World, random, which};

#[test]
fn an_image_is_packed_pulled_and_pushed_again() {
    let world = World::with(&["--no-sample"]);
    world.up();
    let name = format!("tool-{}", random());
    let packed = world.ok(&["image", "pack", "/bin/sh", "--tag", &format!("{name}:1")]);
    assert!(packed.contains("sha256:"), "{packed}");
    let token = std::fs::read_to_string(world.data.join("token")).unwrap();
    let registry = format!("docker://localhost:{}", world.https_port());
    let certificates = world.data.join("pki/trust-skopeo");
    std::fs::create_dir_all(&certificates).unwrap();
    std::fs::copy(world.data.join("pki/gateway-ca.crt"), certificates.join("ca.crt")).unwrap();
    let certificates = certificates.display().to_string();
    let credentials = format!("admin:{}", token.trim());
    let folder = format!("dir:{}", world.home.join("image").display());
    let pull = [
        "--insecure-policy",
        "copy",
        "--src-cert-dir",
        &certificates,
        "--src-creds",
        &credentials,
        &format!("{registry}/{name}:1"),
        &folder,
    ];
    world.program("skopeo", &pull, &world.home);
    let push = [
        "--insecure-policy",
        "copy",
        "--dest-cert-dir",
        &certificates,
        "--dest-creds",
        &credentials,
        &folder,
        &format!("{registry}/{name}-copy:2"),
    ];
    world.program("skopeo", &push, &world.home);
    let denied = [
        "--insecure-policy",
        "copy",
        "--dest-cert-dir",
        &certificates,
        "--dest-creds",
        "a:b",
        &folder,
        &format!("{registry}/{name}-other:2"),
    ];
    assert_ne!(world.run(&which("skopeo"), &denied, &world.home).code, 0, "a stranger pushes nothing");
    let pod = format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}, namespace: default}}\nspec:\n  restartPolicy: Never\n  containers:\n  - name: c\n    image: registry.cluster.local/{name}-copy:2\n    args: [-c, 'echo said-{name}; exit 7']\n"
    );
    std::fs::write(world.home.join("pod.yaml"), pod).unwrap();
    world.kubectl(&["apply", "-f", "pod.yaml"]);
    world.until("the pod ends", || world.kubectl(&["get", "pod", &name, "-o", "jsonpath={.status.phase}"]) == "Failed");
    assert_eq!(
        world.kubectl(&[
            "get",
            "pod",
            &name,
            "-o",
            "jsonpath={.status.containerStatuses[0].state.terminated.exitCode}"
        ]),
        "7"
    );
    assert_eq!(world.kubectl(&["logs", &name]).trim(), format!("said-{name}"));
    let missing = pod_of("registry.cluster.local/none:1");
    std::fs::write(world.home.join("missing.yaml"), missing).unwrap();
    world.kubectl(&["apply", "-f", "missing.yaml"]);
    world.until("an image that is not there is said", || {
        let reason = world.kubectl(&[
            "get",
            "pod",
            "missing",
            "-o",
            "jsonpath={.status.containerStatuses[0].state.waiting.reason}",
        ]);
        reason == "ErrImagePull" || reason == "ImagePullBackOff"
    });
}

fn pod_of(image: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{name: missing, namespace: default}}\nspec:\n  containers: [{{name: c, image: '{image}'}}]\n"
    )
}
