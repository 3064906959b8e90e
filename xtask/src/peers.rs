//! Builds the real programs that tests talk to or compare with, from the modules that
//! `tests/peers` pins.

use std::path::Path;

use crate::run::step_with;

/// Builds what is missing into `target/peers`.
pub(crate) fn run() -> anyhow::Result<()> {
    std::fs::create_dir_all("target/peers")?;
    let version = "-s -w -X k8s.io/component-base/version.gitVersion=v1.36.6 -X k8s.io/component-base/version.gitMajor=1 -X k8s.io/component-base/version.gitMinor=36";
    build("kubectl", ".", version)?;
    build("helm", "helm.sh/helm/v3/cmd/helm", "-s -w -X helm.sh/helm/v3/internal/version.version=v3.22.0")
}

fn build(name: &str, package: &str, ldflags: &str) -> anyhow::Result<()> {
    if Path::new("target/peers").join(name).exists() {
        return Ok(());
    }
    let output = std::env::current_dir()?.join("target/peers").join(name);
    let folder = format!("tests/peers/{name}");
    let args = ["-C", &folder, "build", "-p", "2", "-o", &output.display().to_string(), "-ldflags", ldflags, package];
    step_with(&format!("stock {name}"), "go", &args, &[("CGO_ENABLED", "0")])
}
