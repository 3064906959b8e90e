//! Builds the real programs that tests talk to or compare with, from the modules that
//! `tests/peers` pins, and runs the comparisons.

use std::path::Path;

use anyhow::Context;

use crate::run::step_with;

/// The version that the facts of the built-in types are taken from too.
const API: &str = "-s -w -X k8s.io/component-base/version.gitVersion=v1.36.3 -X k8s.io/component-base/version.gitMajor=1 -X k8s.io/component-base/version.gitMinor=36";

/// Builds what is missing and compares the embedded API server with the real one.
pub(crate) fn run() -> anyhow::Result<()> {
    render("30")?;
    api()
}

/// Compares renders with stock Helm and Kustomize: the whole corpus, and what is drawn at random for some seconds.
pub(crate) fn render(seconds: &str) -> anyhow::Result<()> {
    tools()?;
    build("helm", "helm-oracle", "./oracle", "-s -w")?;
    let env = [("CORPUS", "compare"), ("RANDOM_SECONDS", seconds)];
    for (title, package, tests) in [
        ("charts beside helm", "helm", &["templates", "charts", "peer"][..]),
        ("flags beside helm", "render", &["sources"]),
        ("kustomizations beside kustomize", "kustomize", &["peer", "random"]),
    ] {
        let tests = tests.iter().flat_map(|test| ["--test", test]);
        let args: Vec<&str> = ["test", "--package", package].into_iter().chain(tests).collect();
        step_with(title, "cargo", &[&args, &["--", "--nocapture"][..]].concat(), &env)?;
    }
    Ok(())
}

/// Compares the embedded API server with a real kube-apiserver and its etcd, answer by answer.
pub(crate) fn api() -> anyhow::Result<()> {
    tools()?;
    servers()?;
    build("flux", "kustomize-controller", "github.com/fluxcd/kustomize-controller", "-s -w")?;
    let folder = std::env::current_dir()?.join("target/peers");
    let folder = folder.to_str().context("the path of this checkout is no text")?;
    conformance("comparison", &[("CONFORMANCE_PEERS", folder)])
}

/// Builds the real API server, its store and its controllers, if they are missing.
pub(crate) fn servers() -> anyhow::Result<()> {
    std::fs::create_dir_all("target/peers")?;
    build("etcd", "etcd", "go.etcd.io/etcd/server/v3", "-s -w")?;
    for name in ["kube-apiserver", "kube-controller-manager"] {
        build("kubernetes", name, &format!("k8s.io/kubernetes/cmd/{name}"), API)?;
    }
    Ok(())
}

/// Builds Kubernetes' own end-to-end suite and what it is run against, as far as they are missing.
pub(crate) fn suite() -> anyhow::Result<()> {
    tools()?;
    servers()?;
    build("kubernetes", "kube-scheduler", "k8s.io/kubernetes/cmd/kube-scheduler", API)?;
    if Path::new("target/peers/e2e.test").exists() {
        return Ok(());
    }
    let output = std::env::current_dir()?.join("target/peers/e2e.test").display().to_string();
    let package = "k8s.io/kubernetes/test/e2e";
    let args = ["-C", "tests/peers/e2e", "test", "-c", "-vet=off", "-p", "2", "-o", &output, "-ldflags", API, package];
    step_with("Kubernetes' own end-to-end suite", "go", &args, &[("CGO_ENABLED", "0")])
}

/// Runs the black-box half against the cluster that a kubeconfig names.
pub(crate) fn against(kubeconfig: &str) -> anyhow::Result<()> {
    let file = Path::new(kubeconfig).canonicalize().with_context(|| format!("failed to find {kubeconfig}"))?;
    let file = file.to_str().context("the path of the kubeconfig is no text")?;
    conformance("conformance", &[("CONFORMANCE_KUBECONFIG", file)])
}

fn conformance(title: &str, env: &[(&str, &str)]) -> anyhow::Result<()> {
    step_with(title, "cargo", &["test", "--package", "conformance", "--", "--nocapture"], env)
}

/// Builds the stock clients that are missing into `target/peers`: kubectl, kustomize, helm, and Python's with its environment.
pub(crate) fn tools() -> anyhow::Result<()> {
    std::fs::create_dir_all("target/peers")?;
    let version = "-s -w -X k8s.io/component-base/version.gitVersion=v1.36.6 -X k8s.io/component-base/version.gitMajor=1 -X k8s.io/component-base/version.gitMinor=36";
    python()?;
    build("kubectl", "kubectl", ".", version)?;
    build("kustomize", "kustomize", "sigs.k8s.io/kustomize/kustomize/v5", "-s -w")?;
    build("helm", "helm", "helm.sh/helm/v3/cmd/helm", "-s -w -X helm.sh/helm/v3/internal/version.version=v3.22.0")
}

/// Puts the stock Python client, with the versions that are pinned, into an environment of its own.
fn python() -> anyhow::Result<()> {
    if Path::new("target/peers/python/ready").exists() {
        return Ok(());
    }
    step_with("an environment for Python", "python3", &["-m", "venv", "target/peers/python"], &[])?;
    let install = ["install", "--quiet", "--requirement", "tests/peers/python/requirements.txt"];
    step_with("stock Python client", "target/peers/python/bin/pip", &install, &[])?;
    std::fs::write("target/peers/python/ready", b"").context("failed to mark the environment as whole")
}

fn build(folder: &str, name: &str, package: &str, ldflags: &str) -> anyhow::Result<()> {
    if Path::new("target/peers").join(name).exists() {
        return Ok(());
    }
    let output = std::env::current_dir()?.join("target/peers").join(name);
    let folder = format!("tests/peers/{folder}");
    let args = ["-C", &folder, "build", "-p", "2", "-o", &output.display().to_string(), "-ldflags", ldflags, package];
    step_with(&format!("stock {name}"), "go", &args, &[("CGO_ENABLED", "0")])
}
