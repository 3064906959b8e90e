//! Releases on a running platform: `roadstead helm` and stock `helm` by turns, with real pods.

use std::fs;

use crate::world::{World, random, random_name, which};

/// A chart of our own beside the golden one: a hook and a test that really run.
const HOOK: &str = "apiVersion: v1
kind: Pod
metadata:
  name: {{ .Release.Name }}-{{ .Values.event }}
  annotations: {helm.sh/hook: '{{ .Values.event }}', helm.sh/hook-delete-policy: before-hook-creation}
spec:
  restartPolicy: Never
  containers:
  - name: hook
    image: registry.cluster.local/sample:0.1.0
    command: [roadstead, {{ .Values.argument | quote }}]
";

#[test]
fn a_chart_is_installed_upgraded_brought_back_and_shared_with_stock_helm() {
    let world = World::with(&["--no-sample"]);
    world.up();
    let (name, space) = (random_name(), format!("space-{}", random()));
    let host = format!("{name}.dev.localhost");
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let chart = root.join("content/charts/microservice").display().to_string();
    let values = format!(
        "image.tag=0.1.0,gateway.hostnames[0]={host},gateway.parentRef.namespace=roadstead-system,tests.enabled=false"
    );

    let shown = world.ok(&[
        "helm",
        "install",
        &name,
        &chart,
        "-n",
        &space,
        "--create-namespace",
        "--set",
        &values,
        "--atomic",
        "--timeout",
        "60s",
    ]);
    assert!(shown.contains("STATUS: deployed"), "{shown}");
    assert_eq!(world.gateway(&host, "/health/ready").0, 200, "it is ready when the command returns");

    let difference =
        world.ok(&["helm", "diff", &name, &chart, "-n", &space, "--set", &format!("{values},replicaCount=2")]);
    assert!(difference.contains("-  replicas: 1\n+  replicas: 2\n"), "{difference}");

    // Stock Helm goes on with what ours began.
    let helm = |arguments: &[&str]| {
        world.program(which("helm").to_str().unwrap(), &[arguments, &["-n", &space]].concat(), &world.home)
    };
    assert!(helm(&["list"]).contains(&name));
    helm(&["upgrade", &name, &chart, "--reuse-values", "--set", "replicaCount=2", "--wait", "--timeout", "60s"]);
    let ready = || world.kubectl(&["get", "deploy", "-n", &space, "-o", "jsonpath={.items[0].status.readyReplicas}"]);
    assert_eq!(ready(), "2");

    // An image that nobody has: what runs goes on, and the last good revision comes back.
    let wrong = format!("image.tag=gone-{}", random());
    let failed = world.roadstead(&[
        "helm",
        "upgrade",
        &name,
        &chart,
        "-n",
        &space,
        "--reuse-values",
        "--set",
        &wrong,
        "--atomic",
        "--timeout",
        "6s",
    ]);
    assert!(failed.code == 1 && failed.err.contains("revision 2 has been brought back"), "{}", failed.err);
    assert!(failed.err.contains("pods are ready") || failed.err.contains("new revision"), "{}", failed.err);
    assert_eq!(world.gateway(&host, "/health/ready").0, 200);
    let history = helm(&["history", &name]);
    assert!(history.contains("Rollback to 2") && history.contains("failed"), "{history}");

    let gone = world.ok(&["helm", "uninstall", &name, "-n", &space, "--wait"]);
    assert!(gone.contains("is uninstalled"), "{gone}");
    assert_eq!(helm(&["list", "--all", "--short"]), "");
    assert_eq!(world.kubectl(&["get", "deploy,service,httproute", "-n", &space, "-o", "name"]), "");
}

#[test]
fn hooks_and_tests_run_as_pods() {
    let world = World::with(&["--no-sample"]);
    world.up();
    let name = random_name();
    let chart = world.home.join("chart");
    fs::create_dir_all(chart.join("templates")).unwrap();
    fs::write(chart.join("Chart.yaml"), "apiVersion: v2\nname: hooks\nversion: 1.0.0\n").unwrap();
    fs::write(chart.join("values.yaml"), "event: pre-install\nargument: --version\n").unwrap();
    fs::write(chart.join("templates/hook.yaml"), HOOK).unwrap();
    let chart = chart.display().to_string();
    world.ok(&["helm", "install", &name, &chart, "--timeout", "60s"]);
    let phase = world.kubectl(&["get", "pod", &format!("{name}-pre-install"), "-o", "jsonpath={.status.phase}"]);
    assert_eq!(phase, "Succeeded");
    let refused = world.roadstead(&[
        "helm",
        "install",
        &format!("{name}-b"),
        &chart,
        "--set",
        "argument=--nonsense",
        "--timeout",
        "60s",
    ]);
    assert!(refused.code == 1 && refused.err.contains("ended with exit code 2 (HLM0008)"), "{}", refused.err);

    let tested = format!("{name}-t");
    world.ok(&["helm", "install", &tested, &chart, "--set", "event=test"]);
    let shown = world.roadstead(&["helm", "test", &tested, "--logs", "--timeout", "60s"]);
    assert!(shown.code == 0 && shown.out.contains("Succeeded"), "{}{}", shown.out, shown.err);
    assert!(shown.err.contains("roadstead 0."), "the log is shown: {}", shown.err);
}
