//! The head of a manifest, found line by line, is the one that the parser finds.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::{fs, path::PathBuf};

use helm::head::{self, Head};
use proptest::prelude::*;

mod support;

/// Checks one document: what is scanned is what is read, and what is refused is not scanned.
fn check(document: &str) -> Result<Option<Head>, String> {
    let scanned = head::scan(document);
    match (&scanned, head::read(document)) {
        (Some(scanned), Ok(read)) if *scanned == read => {}
        (Some(scanned), read) => return Err(format!("scanned {scanned:?}\nread {read:?}\nin\n{document}")),
        (None, _) => {}
    }
    Ok(scanned)
}

#[test]
fn plain_manifests_are_scanned_and_the_others_left_to_the_parser() {
    let plain = [
        ("kind: Pod", Some(("Pod", None, None))),
        (
            "# Source: x\nkind: 'Pod' # of what\n\n\"metadata\":\n  annotations:\n    \"helm.sh/hook\": pre-install,test\n    helm.sh/hook-weight: \"-5\"",
            Some(("Pod", Some("pre-install,test"), Some("-5"))),
        ),
        ("metadata: {}\nannotations:\n  helm.sh/hook: test\nkind: 7", Some(("", None, None))),
        (
            "metadata:\n  annotations:\n    helm.sh/hook-weight: 0x10\n    helm.sh/hook: yes",
            Some(("", Some("true"), Some("16"))),
        ),
        (
            "spec:\n- a: 1\n  b:\n  - |\n     text\n    \n     # more\n  c: [a, \"b c\", {d: e}]\n-\n- x\nkind: A",
            Some(("A", None, None)),
        ),
        ("data:\n  metadata:\n    annotations:\n      helm.sh/hook: test\n  kind: B\nkind: A", Some(("A", None, None))),
        ("kind:\n  nested: x", Some(("", None, None))),
    ];
    for (document, want) in plain {
        let want = want.map(|(kind, hook, weight): (&str, Option<&str>, Option<&str>)| Head {
            kind: kind.to_owned(),
            hook: hook.map(str::to_owned),
            weight: weight.map(str::to_owned),
        });
        assert_eq!(check(document).unwrap(), want, "{document}");
    }
    for odd in [
        "",
        "# only a comment",
        "- a",
        "a",
        "a: b: c",
        "a: 1\n b: 2",
        "a: 1\n  b",
        "a:\n  - b\n - c",
        "a: |\nb: 1",
        "a: |\n    x\n  y\nb: 1",
        "a: |2\n  x",
        "a: &x 1",
        "a: *x",
        "a: !!str 1",
        "a: [",
        "a: [b",
        "a: \"b",
        "a: 'b' c",
        "a:\tb",
        "? a",
        "{kind: Pod}",
        "kind: Pod\nkind: Job",
        "metadata: {annotations: {helm.sh/hook: test}}",
        "null: 1",
        "a: \"\\u0041\"",
        "kind: \"P\\\\d\"",
        "a: -",
        "a: - b",
        "a: b\n---\nc: d",
        "...",
        "%YAML 1.2",
        "<<: {a: b}",
        "a: b\u{2028}",
        "a: \u{feff}b",
        "a:b",
        "- - a",
        "a: @b",
        "a: `b`",
        "a: [a: b]",
        "a: {b}",
        "a: [b,]",
        "a: b:",
    ] {
        assert_eq!(check(odd).unwrap(), None, "{odd:?}");
    }
    let many = format!("a: 1\n{}b: 2", "# c\n".repeat(200));
    assert_eq!(check(&many).unwrap(), None);
    let long = format!("- {}\n", "x".repeat(2000));
    assert_eq!(check(&format!("a:\n{long}")).unwrap(), None);
}

#[test]
fn the_corpus_is_scanned() {
    let (mut all, mut scanned) = (0, 0);
    let mut paths: Vec<PathBuf> =
        fs::read_dir(support::workspace("tests/corpus/charts")).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    for path in paths {
        let text = fs::read_to_string(&path).unwrap();
        let Some((_, output)) = text.split_once("-- output --\n") else { continue };
        for document in helm::split_manifests(output) {
            all += 1;
            scanned +=
                usize::from(check(document).unwrap_or_else(|error| panic!("{}: {error}", path.display())).is_some());
        }
    }
    assert!(all > 100, "only {all} documents");
    assert!(scanned * 100 >= all * 70, "only {scanned} of {all} documents were scanned");
}

const LINES: &[&str] = &[
    "a:",
    "b: 1",
    "c: two words",
    "- a",
    "- b: 1",
    "-",
    "- - x",
    "-  c: x",
    "kind: Pod",
    "kind: 1",
    "\"kind\": Job",
    "kind:",
    "metadata:",
    "metadata: {}",
    "annotations:",
    "annotations: {}",
    "helm.sh/hook: test",
    "\"helm.sh/hook\": pre-install",
    "helm.sh/hook: yes",
    "helm.sh/hook-weight: \"5\"",
    "helm.sh/hook-weight: -1",
    "# c",
    "#",
    "",
    "k: |",
    "k: >-",
    "k: |+",
    "k: |2",
    "k: | # c",
    "k: # c",
    "k: v # c",
    "k: v#c",
    "text",
    "more text: x",
    "'q'",
    "'q': r",
    "k: 'it''s'",
    "k: \"a\\nb\"",
    "k: \"\\x41\"",
    "k: {}",
    "k: []",
    "k: [a, \"b\", {c: d}]",
    "k: {a: b, c: [1]}",
    "k: {a: , b}",
    "k: [a",
    "k: [ ]",
    "null: x",
    "~: x",
    "k: a: b",
    "k: - x",
    "k: &a x",
    "k: *a",
    "*a : x",
    "<<: x",
    "\"<<\": x",
    "? x",
    ": x",
    "k: !!str x",
    "k: %x",
    "%x",
    "---",
    "...",
    "k: ---",
    "\tx",
    "k:\tv",
    "k:v",
    "k: é",
    "é: k",
    "k: \"open",
    "k: 'open",
    "- |",
    "- k: |",
    "- # c",
    "- 'x'",
    "- \"x\": y",
    "- [a]",
    "- {a: b}",
    "- {a: b}: c",
    "k: \"x\" y",
    "k: \"x\"#y",
    "k: b:",
    "k: http://x",
    "- http://x",
    "k: =",
    "k: ~",
    "k: <x>",
    "k: (a)",
    "k: $a",
    "0x1: y",
    "1: y",
    ".a: y",
    "/a: y",
    "-a: y",
    "k: -a",
    "k: --",
    "k: @a",
    "k: ,",
    "k: ]",
    "k: a, b]",
    "k : v",
    "a.b/c-d_e: v",
    "k: [a: b]",
    "k: [\"a\":b]",
    "k: {\"a\": b}",
    "k: {\"a\":b}",
    "k: [http://x]",
    "k: [a ,b]",
    "k: [a,b,]",
    "k: {a: 'b'}",
    "k: [-1]",
    "k: {null: x}",
    "true: x",
];

fn soup() -> impl Strategy<Value = String> {
    let indent = prop_oneof![5 => Just(0_usize), 6 => Just(2), 5 => Just(4), 2 => Just(6), 2 => 0_usize..8];
    let line = (indent, prop::sample::select(LINES), prop_oneof![9 => Just(""), 1 => Just(" ")]);
    prop::collection::vec(line, 1..10).prop_map(|lines| {
        let lines: Vec<String> =
            lines.into_iter().map(|(indent, text, end)| format!("{}{text}{end}", " ".repeat(indent))).collect();
        lines.join("\n")
    })
}

const MANIFEST: &str = "# Source: c/templates/x.yaml
apiVersion: batch/v1
kind: Job
metadata:
  name: \"release-x\"
  labels: {app: x, tier: \"back end\"}
  annotations:
    helm.sh/hook: post-install, post-upgrade
    \"helm.sh/hook-weight\": \"-5\"
    note: 'it''s # no comment'
spec:
  template:
    spec:
      containers:
      - name: main
        image: \"registry.example/x:1.2\" # pinned
        args: [\"--flag\", a=b, --other]
        command:
          - sh
          - -c
          - |
            set -e
              echo \"$X: y\"

            exit 0
        env:
        - {name: A, value: \"1\"}
        - name: B
          value: a b
        resources: {}
      volumes: []
data:
  text: >-
    folded
    text
  empty:
  url: http://example.com:80/a#b
";

proptest! {
    #![proptest_config(ProptestConfig { cases: ProptestConfig::default().cases.max(6000), ..ProptestConfig::default() })]

    #[test]
    fn a_scan_of_random_lines_says_what_the_parser_says(document in soup()) {
        check(&document).map_err(TestCaseError::fail)?;
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: ProptestConfig::default().cases.max(1500), ..ProptestConfig::default() })]

    #[test]
    fn a_scan_of_a_broken_manifest_says_what_the_parser_says(
        changes in prop::collection::vec((any::<prop::sample::Index>(), 0_usize..4, prop::sample::select(LINES), 0_usize..12), 1..4),
    ) {
        let mut lines: Vec<String> = MANIFEST.lines().map(str::to_owned).collect();
        for (at, how, text, number) in changes {
            let at = at.index(lines.len());
            match how {
                0 => { lines.remove(at); }
                1 => lines.insert(at, format!("{}{text}", " ".repeat(number))),
                2 => lines[at] = format!("{}{}", " ".repeat(number), lines[at].trim_start()),
                _ => {
                    let line = &mut lines[at];
                    let cut = number.min(line.len());
                    line.replace_range(cut..(cut + 1).min(line.len()), &text[..text.floor_char_boundary(2)]);
                }
            }
            if lines.is_empty() {
                lines.push(String::new());
            }
        }
        check(&lines.join("\n")).map_err(TestCaseError::fail)?;
    }
}
