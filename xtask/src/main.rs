//! The project's own chores: `cargo xtask <chore>`.
#![allow(clippy::print_stdout, clippy::print_stderr, clippy::disallowed_methods, reason = "chores print and measure")]

mod bench;
mod codegen;
mod fuzz;
mod peers;
mod platform;
mod run;
mod seeds;
mod test;
mod tidy;
mod upstream;

use fuzz::Draw;

const USAGE: &str = "usage: cargo xtask <chore>

  test [--fast]       every check that CI makes; --fast leaves the end-to-end session out
  tidy                the rules of the house: edges between rooms, pure crates, long files, documents
  peers [api]         build the real programs that tests compare with (needs Go) and compare; api: the API server alone
  peers render [--random SECONDS]
                      ask stock helm and kustomize for the whole corpus again, and for charts and kustomizations drawn
                      at random, 30 s each
  conformance --kubeconfig FILE
                      the black-box tests of the API against any cluster
  conformance --upstream [--focus WORDS] [--against ours|real]
                      Kubernetes' own conformance tests that need no container, against the embedded server and a
                      real one (needs Go, half an hour to build them); all of them write docs/conformance.md
  robustness [--kills N] [--seed N]
                      random traffic while the API server is killed 100 times and its disk fills up
  bench up            measure start, memory and push against the targets
  bench render        measure renders beside stock helm and kustomize (needs Go)
  bench api           measure the API server beside a real kube-apiserver with etcd (needs Go)
  seeds               feed every seed document to a running platform and write docs/coverage.md
  fuzz [TARGET] [--seconds N]
                      feed the parsers inputs that nobody wrote, 60 s each (needs g++)
  chart               make the golden chart's README and the base of its overlays anew from the chart
  codegen [--check]   take the facts of Kubernetes' types from its module (needs Go)";

fn main() -> anyhow::Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["test"] => test::run(test::Extent::All),
        ["test", "--fast"] => test::run(test::Extent::Fast),
        ["tidy"] => tidy::run(),
        ["peers"] => peers::run(),
        ["peers", "api"] => peers::api(),
        ["peers", "render"] => peers::render("30"),
        ["peers", "render", "--random", seconds] => peers::render(seconds),
        ["conformance", "--kubeconfig", file] => peers::against(file),
        ["conformance", "--upstream", rest @ ..] => upstream::run(rest),
        ["bench", "up"] => bench::up(),
        ["robustness", rest @ ..] => robustness(rest),
        ["bench", "api"] => bench::api(),
        ["bench", "render"] => bench::render(),
        ["seeds"] => seeds::run(),
        ["chart"] => chart(),
        ["codegen"] => codegen::run(codegen::Mode::Write),
        ["codegen", "--check"] => codegen::run(codegen::Mode::Check),
        ["fuzz"] => fuzz::run(None, 60, Draw::Anew),
        ["fuzz", "--seconds", seconds] => fuzz::run(None, seconds.parse()?, Draw::Anew),
        ["fuzz", target] => fuzz::run(Some(target), 60, Draw::Anew),
        ["fuzz", target, "--seconds", seconds] => fuzz::run(Some(target), seconds.parse()?, Draw::Anew),
        _ => anyhow::bail!("{USAGE}"),
    }
}

/// Writes what is made from the golden chart; the tests that hold it to be current do so.
fn chart() -> anyhow::Result<()> {
    let args = ["test", "--package", "lint", "--test", "golden", "--", "the_readme_says", "the_base_of"];
    run::step_with("files of the golden chart", "cargo", &args, &[("CHART", "write")])
}

fn robustness(rest: &[&str]) -> anyhow::Result<()> {
    let mut args = vec!["test", "-p", "apiserver", "--test", "robustness", "--"];
    if !rest.contains(&"--kills") {
        args.extend(["--kills", "100"]);
    }
    args.extend(rest);
    run::step("robustness", "cargo", &args)
}
