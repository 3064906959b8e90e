//! Which tests are run: all conformance tests but those that `containers.txt` names. Pure.

use std::collections::BTreeMap;

use anyhow::bail;

/// Tests that need a scheduler, though no container: pods that stay where they were put are in the way of the others.
const SCHEDULED: &[&str] = &["[sig-node] RuntimeClass should schedule a Pod", "[sig-scheduling] SchedulerPredicates"];

/// The conformance tests, by what becomes of them.
pub(crate) struct Choice {
    /// All there are.
    pub(crate) all: usize,
    /// Run without a scheduler.
    pub(crate) run: Vec<String>,
    /// Run beside a scheduler.
    pub(crate) scheduled: Vec<String>,
    /// Left out, by what they need a container for.
    pub(crate) containers: BTreeMap<String, Vec<String>>,
}

impl Choice {
    /// Returns what becomes of these tests.
    ///
    /// # Errors
    ///
    /// A line of the list names no test.
    pub(crate) fn of(names: Vec<String>) -> anyhow::Result<Choice> {
        Choice::by(names, include_str!("containers.txt"))
    }

    fn by(names: Vec<String>, list: &str) -> anyhow::Result<Choice> {
        let mut reason = "";
        let mut lines: Vec<(&str, &str)> = Vec::new();
        for line in list.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
            match line.strip_prefix("= ") {
                Some(text) => reason = text,
                None => lines.push((line, reason)),
            }
        }
        if let Some((line, _)) = lines.iter().find(|(line, _)| !names.iter().any(|name| name.starts_with(line))) {
            bail!("containers.txt names a test that there is not: {line}");
        }
        let mut choice =
            Choice { all: names.len(), run: Vec::new(), scheduled: Vec::new(), containers: BTreeMap::new() };
        for name in names {
            if let Some((_, reason)) = lines.iter().find(|(line, _)| name.starts_with(line)) {
                choice.containers.entry((*reason).to_owned()).or_default().push(name);
            } else if SCHEDULED.iter().any(|begin| name.starts_with(begin)) {
                choice.scheduled.push(name);
            } else {
                choice.run.push(name);
            }
        }
        Ok(choice)
    }
}

/// Returns the interest group that a test belongs to, for example `sig-apps`.
pub(crate) fn group_of(name: &str) -> &str {
    name.strip_prefix('[').and_then(|rest| rest.split_once(']')).map_or("", |(group, _)| group)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_test_is_run_unless_the_list_names_it() {
        let names = ["[sig-a] one [Conformance]", "[sig-a] two", "[sig-scheduling] SchedulerPredicates x"];
        let names = names.map(str::to_owned).to_vec();
        let choice = Choice::by(names.clone(), "# words\n\n= pods\n[sig-a] one\n").map_err(|error| error.to_string());
        let choice = choice.as_ref().ok();
        assert_eq!(choice.map(|choice| choice.run.clone()), Some(vec!["[sig-a] two".to_owned()]));
        assert_eq!(choice.map(|choice| choice.containers["pods"].len()), Some(1));
        assert_eq!(choice.map(|choice| choice.scheduled.len()), Some(1));
        assert!(Choice::by(names, "= pods\n[sig-b] x\n").is_err(), "a line that names nothing is refused");
        assert_eq!(group_of("[sig-a] one"), "sig-a");
    }
}
