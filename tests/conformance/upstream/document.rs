//! Writes `docs/conformance.md`: how many tests there are, how many run, how many pass, and
//! why each of the others does not. Pure.

use std::{collections::BTreeMap, fmt::Write as _};

use anyhow::bail;

use crate::{
    Outcomes,
    choice::{Choice, group_of},
    suite::Outcome,
};

/// Returns the document.
///
/// # Errors
///
/// A test does not pass and `causes.txt` does not say why, or one that it names passes.
pub(crate) fn write(choice: &Choice, ours: &Outcomes, real: &Outcomes) -> anyhow::Result<String> {
    page(choice, ours, real, include_str!("causes.txt"))
}

fn page(choice: &Choice, ours: &Outcomes, real: &Outcomes, causes: &str) -> anyhow::Result<String> {
    let causes = causes_of(causes, ours)?;
    let passes = |outcomes: &Outcomes, name: &str| outcomes.get(name) == Some(&Outcome::Passed);
    let passed = ours.keys().filter(|name| passes(ours, name)).count();
    let real_passed = real.keys().filter(|name| passes(real, name)).count();
    let left: usize = choice.containers.values().map(Vec::len).sum();
    let mut out = String::from(HEAD);
    let total = choice.all;
    let ran = ours.len();
    writeln!(out, "The suite has {total} conformance tests.")?;
    writeln!(out, "{left} of them run containers and are left out here; {ran} need none and are run.")?;
    writeln!(
        out,
        "**{passed} of {ran} pass** against the embedded server, {real_passed} of {ran} against the real one.\n"
    )?;
    out.push_str("| group | embedded | real |\n|---|---|---|\n");
    let mut groups: BTreeMap<&str, (usize, usize, usize)> = BTreeMap::new();
    for name in ours.keys() {
        let group = groups.entry(group_of(name)).or_default();
        group.0 += 1;
        group.1 += usize::from(passes(ours, name));
        group.2 += usize::from(passes(real, name));
    }
    for (group, (all, ours, real)) in &groups {
        writeln!(out, "| {group} | {ours} of {all} | {real} of {all} |")?;
    }
    out.push_str("\n## What does not pass\n\n");
    if causes.is_empty() {
        out.push_str("Nothing.\n");
    } else {
        out.push_str("| test | real server | cause |\n|---|---|---|\n");
        for (name, cause) in &causes {
            let beside = if passes(real, name) { "passes" } else { "fails too" };
            writeln!(out, "| {} | {beside} | {cause} |", name.replace('|', "\\|"))?;
        }
    }
    let only_real: Vec<&String> = real.keys().filter(|name| !passes(real, name) && passes(ours, name)).collect();
    if !only_real.is_empty() {
        out.push_str(
            "\nAgainst the real server alone these do not pass, for want of what a whole cluster has beside it:\n\n",
        );
        for name in only_real {
            writeln!(out, "- {name}")?;
        }
    }
    out.push_str("\n## What is left out\n\n| needed | tests |\n|---|---|\n");
    for (reason, names) in &choice.containers {
        writeln!(out, "| {reason} | {} |", names.len())?;
    }
    writeln!(out, "\nThe names are in `tests/conformance/upstream/containers.txt`.")?;
    Ok(out)
}

const HEAD: &str = "# Kubernetes' own conformance tests

Written by `cargo xtask conformance --upstream`, which builds the end-to-end suite of Kubernetes 1.36.3 from its module (`tests/peers/e2e`) and runs it twice: against the embedded API server, and against a real kube-apiserver with etcd.
On both sides a stock kube-controller-manager does the work of the controllers, so the tests judge the API server and not this project's own controllers; three tests also have a stock kube-scheduler.
Two nodes are there as objects alone: ready, with room, and nobody behind them.

";

/// Returns the cause of each test that does not pass.
fn causes_of(text: &str, ours: &Outcomes) -> anyhow::Result<BTreeMap<String, String>> {
    let mut causes = BTreeMap::new();
    for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let Some((name, cause)) = line.split_once(" => ") else {
            bail!("causes.txt has a line without a cause: {line}")
        };
        match ours.get(name) {
            Some(Outcome::Failed(_)) => drop(causes.insert(name.to_owned(), cause.to_owned())),
            Some(Outcome::Passed) => bail!("causes.txt names a test that passes: {name}"),
            None => bail!("causes.txt names a test that was not run: {name}"),
        }
    }
    for (name, outcome) in ours {
        if let Outcome::Failed(why) = outcome
            && !causes.contains_key(name)
        {
            bail!("causes.txt does not say why this test fails: {name}\n{why}");
        }
    }
    Ok(causes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcomes(list: &[(&str, bool)]) -> Outcomes {
        let outcome = |passes: bool| if passes { Outcome::Passed } else { Outcome::Failed("why".to_owned()) };
        list.iter().map(|(name, passes)| ((*name).to_owned(), outcome(*passes))).collect()
    }

    #[test]
    fn each_test_that_fails_stands_there_with_its_cause() {
        let choice = Choice {
            all: 5,
            run: Vec::new(),
            scheduled: Vec::new(),
            containers: BTreeMap::from([("pods".to_owned(), vec!["x".to_owned(), "y".to_owned()])]),
        };
        let ours = outcomes(&[("[sig-a] one", true), ("[sig-a] two", false), ("[sig-b] three", true)]);
        let real = outcomes(&[("[sig-a] one", true), ("[sig-a] two", true), ("[sig-b] three", false)]);
        let text = page(&choice, &ours, &real, "[sig-a] two => nobody did it\n").unwrap_or_default();
        for line in [
            "The suite has 5 conformance tests.",
            "**2 of 3 pass** against the embedded server, 2 of 3 against the real one.",
            "| sig-a | 1 of 2 | 2 of 2 |",
            "| [sig-a] two | passes | nobody did it |",
            "- [sig-b] three",
            "| pods | 2 |",
        ] {
            assert!(text.contains(line), "{line} in {text}");
        }
        assert!(page(&choice, &ours, &real, "").is_err(), "a cause is missing");
        assert!(page(&choice, &ours, &real, "[sig-a] one => x\n").is_err(), "it passes");
    }
}
