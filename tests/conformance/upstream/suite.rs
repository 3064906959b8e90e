//! The suite's own program: which tests it has, and how a choice of them is run. Several
//! copies run at once, each with its part; what may not run beside others runs after them.

use std::{
    fs::File,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, bail};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::task::JoinHandle;

use crate::{Outcomes, side::Side};

/// Copies that run at once.
const COPIES: usize = 4;

/// How much of a failure is shown, in characters.
const SHOWN: usize = 2000;

/// What came of a test.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Outcome {
    Passed,
    /// Why it did not.
    Failed(String),
}

/// The suite.
pub(crate) struct Suite {
    peers: PathBuf,
    /// Where the suite's own output goes.
    logs: PathBuf,
}

impl Suite {
    /// Returns the suite among `peers`; what it says goes into files of `logs`.
    pub(crate) fn new(peers: &Path, logs: &Path) -> anyhow::Result<Suite> {
        std::fs::create_dir_all(logs).with_context(|| format!("failed to make {}", logs.display()))?;
        Ok(Suite { peers: peers.to_owned(), logs: logs.to_owned() })
    }

    /// Returns the names of all conformance tests.
    pub(crate) fn names(&self) -> anyhow::Result<Vec<String>> {
        let folder = tempfile::tempdir()?;
        let report = folder.path().join("names.json");
        let output = Command::new(self.peers.join("e2e.test"))
            .args(["--ginkgo.dry-run", r"--ginkgo.focus=\[Conformance\]"])
            .arg(format!("--ginkgo.json-report={}", report.display()))
            .current_dir(folder.path())
            .output()
            .context("failed to start e2e.test: run `cargo xtask conformance --upstream`")?;
        if !output.status.success() {
            bail!("the suite's tests could not be listed:\n{}", String::from_utf8_lossy(&output.stdout));
        }
        let mut names: Vec<String> = specs(&report)?.into_iter().map(|(name, _)| name).collect();
        names.sort();
        Ok(names)
    }

    /// Runs tests against a side.
    pub(crate) async fn run(&self, side: &Side, names: &[String]) -> anyhow::Result<Outcomes> {
        let alone = |name: &&String| name.contains("[Serial]") || name.contains("[Disruptive]");
        let (serial, mut beside): (Vec<&String>, Vec<&String>) = names.iter().partition(alone);
        // Each of these takes minutes: they are spread over the copies.
        beside.sort_by_key(|name| !name.contains("[Slow]"));
        let mut parts: Vec<Vec<String>> = vec![Vec::new(); COPIES];
        for (index, name) in beside.into_iter().enumerate() {
            parts[index % COPIES].push(name.clone());
        }
        let mut found = Outcomes::new();
        let copies = parts.into_iter().enumerate().map(|(index, part)| self.copy(side, &index.to_string(), part));
        let copies = copies.collect::<Vec<_>>();
        for copy in copies {
            found.extend(copy.await.context("a copy of the suite could not be waited for")??);
        }
        let last = self.copy(side, "serial", serial.into_iter().cloned().collect());
        found.extend(last.await.context("a copy of the suite could not be waited for")??);
        for name in names {
            found.entry(name.clone()).or_insert_with(|| Outcome::Failed("the suite ended before it".to_owned()));
        }
        Ok(found)
    }

    fn copy(&self, side: &Side, part: &str, names: Vec<String>) -> JoinHandle<anyhow::Result<Outcomes>> {
        let (peers, kubeconfig) = (self.peers.clone(), side.kubeconfig.clone());
        let log = self.logs.join(format!("{}-{part}.log", side.which));
        tokio::task::spawn_blocking(move || run(&peers, &kubeconfig, &log, &names))
    }
}

fn run(peers: &Path, kubeconfig: &Path, log: &Path, names: &[String]) -> anyhow::Result<Outcomes> {
    if names.is_empty() {
        return Ok(Outcomes::new());
    }
    let folder = tempfile::tempdir()?;
    let report = folder.path().join("report.json");
    let focus: Vec<String> = names.iter().map(|name| literal(name)).collect();
    let said = File::options().create(true).append(true).open(log).context("the suite's log cannot be opened")?;
    // A test that fails makes the program fail: the report says which.
    Command::new(peers.join("e2e.test"))
        .arg(format!("--kubeconfig={}", kubeconfig.display()))
        .arg(format!("--kubectl-path={}", peers.join("kubectl").display()))
        .arg(format!("--ginkgo.focus=({})$", focus.join("|")))
        .arg(format!("--ginkgo.json-report={}", report.display()))
        .args([
            "--provider=skeleton",
            "--ginkgo.v",
            "--ginkgo.no-color",
            "--ginkgo.timeout=2h",
            "--disable-log-dump",
            "--dump-logs-on-failure=false",
        ])
        .current_dir(folder.path())
        .stdin(Stdio::null())
        .stdout(said.try_clone()?)
        .stderr(said)
        .status()
        .context("failed to start e2e.test")?;
    Ok(specs(&report)?.into_iter().collect())
}

/// Returns an expression that fits this text alone.
fn literal(text: &str) -> String {
    let mut out = String::new();
    for letter in text.chars() {
        if !letter.is_alphanumeric() && letter != ' ' && letter.is_ascii() {
            out.push('\\');
        }
        out.push(letter);
    }
    out
}

/// Reads the tests that a report tells of, with what came of them.
fn specs(report: &Path) -> anyhow::Result<Vec<(String, Outcome)>> {
    let text = std::fs::read_to_string(report).context("the suite wrote no report")?;
    let report: Value = serde_json::from_str(&text).context("the suite's report cannot be read")?;
    let all = report[0]["SpecReports"].as_array().cloned().unwrap_or_default();
    if let Some(broken) = all.iter().find(|spec| spec["LeafNodeType"] != "It" && spec["State"] == "failed") {
        bail!("the suite could not begin: {}", failure(broken));
    }
    Ok(all
        .iter()
        .filter(|spec| spec["LeafNodeType"] == "It" && spec["State"] != "skipped")
        .map(|spec| {
            let outcome = if spec["State"] == "passed" { Outcome::Passed } else { Outcome::Failed(failure(spec)) };
            (name(spec), outcome)
        })
        .collect())
}

fn name(spec: &Value) -> String {
    let words = spec["ContainerHierarchyTexts"].as_array().into_iter().flatten().chain([&spec["LeafNodeText"]]);
    words.filter_map(Value::as_str).collect::<Vec<_>>().join(" ")
}

fn failure(spec: &Value) -> String {
    let failure = &spec["Failure"];
    let place = &failure["Location"];
    let file = place["FileName"].as_str().unwrap_or_default().rsplit("test/e2e/").next().unwrap_or_default();
    let message = failure["Message"].as_str().unwrap_or_default();
    // Some print every object that they looked at.
    let short: String = message.chars().take(SHOWN).collect();
    format!("{short} ({file}:{})", place["LineNumber"])
}

#[cfg(test)]
mod tests {
    use super::literal;

    #[test]
    fn a_name_becomes_an_expression_for_itself() {
        assert_eq!(literal("[sig-a] it's (b)"), r"\[sig\-a\] it\'s \(b\)");
    }
}
