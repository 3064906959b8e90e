//! Properties that hold for any input.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops where its world cannot be made")]

use kustomize::{Files, Limits, Options, build};
use proptest::prelude::*;

/// Pieces of which broken and whole documents are made.
const PIECES: &[&str] = &[
    "resources: [a.yaml]\n",
    "apiVersion: v1\n",
    "kind: ConfigMap\n",
    "kind: List\n",
    "metadata: {name: a}\n",
    "metadata:\n  name: b\n  annotations: {x: 1}\n",
    "data: {k: v}\n",
    "items: [null, {}, {kind: X}]\n",
    "spec: {template: {spec: {containers: [{name: c, image: i}]}}}\n",
    "patches: [{path: p.yaml}]\n",
    "patches: [{path: p.yaml, target: {kind: '.*'}}]\n",
    "$patch: delete\n",
    "- {op: add, path: /data/-/x, value: 1}\n",
    "- {op: remove, path: /data}\n",
    "replacements: [{sourceValue: x, targets: [{select: {kind: '.*'}, fieldPaths: [data.k, 'a.[b=c].*'], options: {create: true}}]}]\n",
    "namePrefix: p-\n",
    "namespace: s\n",
    "images: [{name: i, newTag: t}]\n",
    "vars: [{name: V, objref: {apiVersion: v1, kind: ConfigMap, name: a}}]\n",
    "configMapGenerator: [{name: g, literals: [a=b], files: [a.yaml]}]\n",
    "x: &x [*x]\n",
    "<<: {a: b}\n",
    "---\n",
    "--- x\n",
    "? [a]\n: b\n",
    "'",
    "{",
    "\u{feff}",
    "\t",
    "null\n",
];

fn text() -> impl Strategy<Value = String> {
    let piece = prop_oneof![4 => proptest::sample::select(PIECES).prop_map(str::to_owned), 1 => ".{0,6}"];
    proptest::collection::vec(piece, 0..9).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn no_input_breaks_the_engine(kustomization in text(), resource in text(), patch in text()) {
        let mut files = Files::new();
        for (name, text) in [("kustomization.yaml", kustomization), ("a.yaml", resource), ("p.yaml", patch)] {
            files.insert(name.to_owned(), text.into_bytes());
        }
        let limits = Limits { depth: 8, file: 1 << 16, resources: 200, output: 1 << 20 };
        // Whatever comes of it, it is an answer.
        drop(build(&files, "/", &Options { limits, ..Options::default() }));
    }

    #[test]
    fn what_was_built_builds_to_itself(
        data in proptest::collection::btree_map("[a-zA-Z0-9._-]{1,12}", "(?s).{0,120}", 0..6),
        words in proptest::collection::vec("[a-z]{1,9}", 1..60),
    ) {
        let mut literals: Vec<String> = data
            .iter()
            .filter(|(_, value)| !value.chars().any(|c| c.is_control() && c != '\n' || c == '\u{feff}'))
            .map(|(key, value)| serde_json::to_string(&format!("k{key}x={value}")).unwrap())
            .collect();
        literals.push(format!("\"words={}\"", words.join(" ")));
        let text = format!("generatorOptions: {{disableNameSuffixHash: true}}\nconfigMapGenerator:\n- name: a\n  literals: [{}]\n", literals.join(", "));
        let mut files = Files::new();
        files.insert("kustomization.yaml".to_owned(), text.into_bytes());
        let first = build(&files, "/", &Options::default()).unwrap().text();
        files.insert("a.yaml".to_owned(), first.clone().into_bytes());
        files.insert("kustomization.yaml".to_owned(), b"resources: [a.yaml]\n".to_vec());
        let second = build(&files, "/", &Options::default()).unwrap().text();
        prop_assert_eq!(first, second);
    }
}
