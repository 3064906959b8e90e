//! What the caller gives: files, charts, bounds.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test stops where its world cannot be made"
)]

use std::cell::RefCell;

use kustomize::{Charts, Error, Files, HelmChart, Limits, Options, build};
use uuid::Uuid;

fn files(parts: &[(&str, &str)]) -> Files {
    parts.iter().map(|(name, text)| ((*name).to_owned(), text.as_bytes().to_vec())).collect()
}

fn map(name: &str) -> String {
    format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}}}\n")
}

/// Renders a ConfigMap that holds the values it was given.
#[derive(Default)]
struct Echo {
    seen: RefCell<Vec<String>>,
}

impl Charts for Echo {
    fn locate(&self, chart: &HelmChart, home: &str) -> Result<String, String> {
        Ok(format!("{home}/{}", chart.name))
    }

    fn render(&self, folder: &str, chart: &HelmChart, values: &[String]) -> Result<String, String> {
        self.seen.borrow_mut().push(format!("{folder} {} {} {values:?}", chart.release_name, chart.namespace));
        Ok(map(&format!("{}-made", chart.release_name)))
    }
}

#[test]
fn charts_are_rendered_by_the_caller() {
    let release = format!("r{}", Uuid::new_v4().simple());
    let text = format!(
        "namespace: blue\nnamePrefix: p-\nhelmCharts:\n- name: app\n  releaseName: {release}\n  valuesInline: {{b: 2, d: {{e: 1}}}}\n"
    );
    let mut given = files(&[("charts/app/values.yaml", "a: 1\nb: 1\nd: {f: 2}\n")]);
    given.insert("kustomization.yaml".to_owned(), text.into_bytes());
    let refused = build(&given, "/", &Options::default()).unwrap_err();
    assert!(refused.to_string().contains("must specify --enable-helm"), "{refused}");
    let charts = Echo::default();
    let options = Options { charts: Some(&charts), ..Options::default() };
    let built = build(&given, "/", &options).unwrap();
    // A chart's resources have the namespace that the chart gives them.
    assert_eq!(built.text(), format!("apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: p-{release}-made\n"));
    let seen = charts.seen.borrow().join("");
    assert_eq!(seen, format!("/charts/app {release} blue [\"a: 1\\nb: 2\\nd:\\n  e: 1\\n  f: 2\\n\"]"));
}

#[test]
fn files_from_the_web_are_refused() {
    for address in ["https://example.com/a.yaml", "https://example.com/team/repo/main/a.yml?token=x"] {
        let given = files(&[("kustomization.yaml", &format!("resources: [\"{address}\"]\n"))]);
        let error = build(&given, "/", &Options::default()).unwrap_err();
        assert!(matches!(error, Error::Unsupported { .. }), "{error:?}");
        assert!(error.to_string().contains(&format!("files are not read from the web: {address}")), "{error}");
    }
}

#[test]
fn bases_deeper_than_the_bound_are_refused() {
    let mut given = Files::new();
    for level in 0..10 {
        let text = format!("resources: [../l{}]\n", level + 1);
        given.insert(format!("l{level}/kustomization.yaml"), text.into_bytes());
    }
    given.insert("l10/kustomization.yaml".to_owned(), b"resources: []\n".to_vec());
    let options = |depth| Options { limits: Limits { depth, ..Limits::default() }, ..Options::default() };
    assert!(build(&given, "/l0", &options(10)).is_ok());
    assert!(matches!(build(&given, "/l0", &options(9)), Err(Error::Limit { .. })));
}

#[test]
fn more_resources_and_bytes_than_the_bounds_are_refused() {
    let all: Vec<String> = (0..20).map(|n| map(&format!("m{n}"))).collect();
    let given = files(&[("kustomization.yaml", "resources: [a.yaml]\n"), ("a.yaml", &all.join("---\n"))]);
    let with = |limits| build(&given, "/", &Options { limits, ..Options::default() });
    assert!(with(Limits::default()).is_ok());
    for limits in [
        Limits { resources: 19, ..Limits::default() },
        Limits { output: 500, ..Limits::default() },
        Limits { file: 100, ..Limits::default() },
    ] {
        assert!(matches!(with(limits), Err(Error::Limit { .. })), "{limits:?}");
    }
}

#[test]
fn aliases_that_grow_without_bound_are_refused() {
    use std::fmt::Write as _;
    let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..9 {
        let item = format!("*a{}", level - 1);
        writeln!(text, "a{level}: &a{level} [{}]", vec![item; 10].join(", ")).unwrap();
    }
    let given = files(&[("kustomization.yaml", "resources: [a.yaml]\n"), ("a.yaml", &format!("{}{text}", map("m")))]);
    let error = build(&given, "/", &Options::default()).unwrap_err();
    assert!(error.to_string().contains("more than 1000000 values"), "{error}");
}

#[test]
fn a_broken_file_is_named_with_its_line() {
    let name = format!("f{}.yaml", Uuid::new_v4().simple());
    let broken = format!("{}---\na: [1\n", map("m"));
    let given = files(&[("kustomization.yaml", &format!("resources: [{name}]\n")), (&name, &broken)]);
    let error = build(&given, "/", &Options::default()).unwrap_err();
    assert!(matches!(error, Error::Yaml { .. }));
    let text = error.to_string();
    assert!(text.contains(&format!("in File: {name}")) && text.contains("line 5"), "{text}");
}

#[test]
fn names_that_have_no_order_are_written_all_the_same() {
    let mut names = std::collections::BTreeSet::new();
    for number in 0..40 {
        for tail in ["", "0", "y", "a1", "-"] {
            names.insert(format!("x{number}{tail}"));
        }
    }
    let data: Vec<String> = names.iter().map(|name| format!("{name}: z")).collect();
    let text = format!("{}data: {{{}}}\n", map("m"), data.join(", "));
    let given = files(&[("kustomization.yaml", "resources: [a.yaml]\n"), ("a.yaml", &text)]);
    let built = build(&given, "/", &Options::default()).unwrap().text();
    assert_eq!(built.matches(": z\n").count(), names.len());
}
