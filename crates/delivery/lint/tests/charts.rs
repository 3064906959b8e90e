//! Charts and kustomizations, the golden chart, and texts drawn at random.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::{fs, path::Path};

use helm::{Files, Options};
use lint::{Finding, Lines};
use proptest::prelude::*;

fn name() -> String {
    format!("n{}", &uuid::Uuid::new_v4().simple().to_string()[..10])
}

fn files(list: &[(&str, &str)]) -> Files {
    list.iter().map(|(path, text)| ((*path).to_owned(), text.as_bytes().to_vec())).collect()
}

fn look(list: &[(&str, &str)]) -> Vec<Finding> {
    lint::chart(&files(list), &Options::new("release", "space"))
}

fn of<'f>(findings: &'f [Finding], rule: &str) -> Vec<&'f Finding> {
    findings.iter().filter(|finding| finding.rule == rule).collect()
}

fn good(name: &str) -> String {
    format!("apiVersion: v2\nname: {name}\nversion: 1.0.0\nappVersion: \"1.10\"\nicon: https://example.com/i.png\n")
}

const MAP: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {{ .Values.name }}\ndata: {}\n";

#[test]
fn fields_of_a_chart_are_looked_at() {
    let name = name();
    let chart = good(&name);
    let all = |text: &str| look(&[("Chart.yaml", text), ("values.yaml", "name: a\n"), ("templates/a.yaml", MAP)]);
    assert!(all(&chart).is_empty(), "{:#?}", all(&chart));
    for (rule, from, to, line, column) in [
        ("chart-metadata", "apiVersion: v2", "apiVersion: v3", 1, 13),
        ("chart-metadata", &*format!("name: {name}"), "name: a/b", 2, 7),
        ("chart-name", &*format!("name: {name}"), "name: A_b", 2, 7),
        ("chart-metadata", "version: 1.0.0", "version: 1.0", 3, 10),
        ("chart-metadata", "version: 1.0.0", "description: a", 1, 1),
        ("chart-app-version", "\"1.10\"", "1.10", 4, 13),
        ("chart-icon", "icon: https://example.com/i.png\n", "", 1, 1),
        ("yaml-duplicate-key", "version: 1.0.0", "version: 1.0.0\nversion: 1.0.1", 4, 1),
    ] {
        let findings = all(&chart.replacen(from, to, 1));
        let found = of(&findings, rule);
        assert_eq!(found.len(), 1, "{to}: {findings:#?}");
        assert_eq!((found[0].line, found[0].column), (line, column), "{to}: {findings:#?}");
        assert_eq!(found[0].file, "Chart.yaml");
    }
    assert_eq!(of(&look(&[("values.yaml", "a: 1\n")]), "chart-metadata").len(), 1);
}

#[test]
fn what_does_not_render_is_told_with_its_place() {
    let chart = good(&name());
    let with = |more: &[(&str, &str)]| {
        let mut list = vec![("Chart.yaml", &*chart), ("values.yaml", "name: a\n"), ("templates/a.yaml", MAP)];
        list.extend(more);
        look(&list)
    };
    let findings = with(&[("templates/b.yaml", "a: 1\nb: {{ nope }}\n"), ("templates/c.yaml", "{{ fail \"no\" }}")]);
    let found = of(&findings, "template-error");
    let places: Vec<_> = found.iter().map(|found| (&*found.file, found.line)).collect();
    assert_eq!(places, [("templates/b.yaml", 2), ("templates/c.yaml", 1)], "{findings:#?}");

    let findings = with(&[
        ("templates/_h.tpl", "{{ define \"h\" }}\n  {{ required \"needed\" .Values.gone }}{{ end }}"),
        ("templates/b.yaml", "a: {{ include \"h\" . }}\n"),
    ]);
    assert_eq!(of(&findings, "template-error").len(), 1, "{findings:#?}");

    let findings = with(&[
        ("templates/_h.tpl", "{{ define \"h\" }}\n  {{ .Values.gone.deep }}{{ end }}"),
        ("templates/b.yaml", "a: {{ include \"h\" . }}\n"),
    ]);
    let found = of(&findings, "template-error");
    assert_eq!((&*found[0].file, found[0].line), ("templates/_h.tpl", 2), "{findings:#?}");

    let findings = with(&[("templates/b.yaml", "a: {{ \"[\" }}\n")]);
    let found = of(&findings, "yaml-syntax");
    assert_eq!((found.len(), &*found[0].file), (1, "templates/b.yaml"), "{findings:#?}");

    let list = [("Chart.yaml", &*chart), ("values.yaml", "a: 1\nb: [\n"), ("templates/a.yaml", MAP)];
    let findings = look(&list);
    let told: Vec<_> = findings.iter().map(|found| (found.rule, &*found.file)).collect();
    assert_eq!(told, [("yaml-syntax", "values.yaml")], "{findings:#?}");

    let findings = with(&[("values.schema.json", "{\n  \"type\": }")]);
    assert_eq!(of(&findings, "values-schema")[0].line, 2, "{findings:#?}");
    let findings = with(&[("values.schema.json", "{\"required\": [\"absent\"]}")]);
    assert_eq!(of(&findings, "chart-error").len(), 1, "{findings:#?}");
}

#[test]
fn rendered_manifests_name_their_template_and_say_whose_line_it_is() {
    let chart = good(&name());
    let template =
        "# a\n# b\n{{- if .Values.live }}\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndatas: {}\n{{- end }}";
    let findings = look(&[("Chart.yaml", &chart), ("values.yaml", "live: true\n"), ("templates/x.yaml", template)]);
    let found = of(&findings, "unknown-field");
    assert_eq!(found.len(), 1, "{findings:#?}");
    assert_eq!((&*found[0].file, found[0].lines), ("templates/x.yaml", Lines::Rendered));
    assert_eq!(found[0].fix, "write data");
    assert!(lint::text(&findings).contains("the line is one of the rendered text"));
    let sarif = lint::sarif(&findings);
    let result = &sarif["runs"][0]["results"][0];
    assert_eq!(result["locations"][0]["physicalLocation"]["region"]["startLine"], 1);
    assert_eq!(result["properties"]["renderedLine"], found[0].line);
    let ignored = template.replace("datas: {}", "datas: {} # lint:ignore unknown-field");
    let findings = look(&[("Chart.yaml", &chart), ("values.yaml", "live: true\n"), ("templates/x.yaml", &ignored)]);
    assert!(findings.is_empty(), "{findings:#?}");
}

#[test]
fn values_and_templates_are_held_against_each_other() {
    let chart = good(&name());
    let (used, unused) = (name(), name());
    let values = format!("{used}: {{a: 1, b: 2}}\n{unused}: 1\nfree: {{}}\n");
    let template = format!(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: a}}\ndata:\n  a: '{{{{ .Values.{used}.a }}}}'\n  \
         b: '{{{{ .Values.{used}.c }}}}'\n  c: '{{{{ .Values.{used}.d | default 1 }}}}'\n  \
         d: '{{{{ .Values.free.x }}}}'\n{{{{/* .Values.comment */}}}}\n"
    );
    let findings = look(&[("Chart.yaml", &chart), ("values.yaml", &values), ("templates/a.yaml", &template)]);
    let undefined = of(&findings, "undefined-value");
    assert_eq!(undefined.len(), 1, "{findings:#?}");
    assert_eq!((undefined[0].line, undefined[0].column), (6, 10), "{undefined:?}");
    assert!(undefined[0].message.contains(&format!("{used}.c")));
    let told: Vec<&str> = of(&findings, "unused-value").iter().map(|found| &*found.message).collect();
    assert_eq!(told, [format!("no template uses {used}.b"), format!("no template uses {unused}")]);
    let whole = template.replace(".Values.free.x", "toYaml .Values | quote");
    let findings = look(&[("Chart.yaml", &chart), ("values.yaml", &values), ("templates/a.yaml", &whole)]);
    assert!(of(&findings, "unused-value").is_empty());
}

#[test]
fn a_kustomization_is_looked_at_with_what_it_builds() {
    let name = name();
    let map = format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}}}\ndatas: {{}}\n");
    let source = files(&[
        ("app/kustomization.yaml", "resources: [map.yaml]\ncommonLabels: {a: b}\n"),
        ("app/map.yaml", &map),
        ("old/kustomization.yaml", "bases: [../app] # lint:ignore kustomization-deprecated-field\nimageTags: []\n"),
        ("broken/kustomization.yaml", "resources: [absent.yaml]\n"),
    ]);
    let findings = lint::kustomization(&source, "/app");
    let found = of(&findings, "kustomization-deprecated-field");
    assert_eq!((found.len(), found[0].line, &*found[0].file), (1, 2, "app/kustomization.yaml"), "{findings:#?}");
    assert!(found[0].fix.contains("labels"));
    let found = of(&findings, "unknown-field");
    assert_eq!((&*found[0].object, found[0].lines), (&*format!("ConfigMap/{name}"), Lines::Rendered));
    let findings = lint::kustomization(&source, "/old");
    assert_eq!(of(&findings, "kustomization-deprecated-field").len(), 1, "{findings:#?}");
    assert_eq!(of(&lint::kustomization(&source, "/broken"), "kustomization-error").len(), 1);
    assert_eq!(of(&lint::kustomization(&source, "/absent"), "kustomization-error").len(), 1);
}

fn read_folder(folder: &Path, below: &str, files: &mut Files) {
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let path = format!("{below}{}", entry.file_name().to_str().unwrap());
        if entry.file_type().unwrap().is_dir() {
            read_folder(&entry.path(), &format!("{path}/"), files);
        } else {
            files.insert(path, fs::read(entry.path()).unwrap());
        }
    }
}

#[test]
fn the_golden_chart_leaves_nothing_to_say() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../content/charts/microservice");
    let mut files = Files::new();
    read_folder(Path::new(folder), "", &mut files);
    let findings = lint::chart(&files, &Options::new(name(), name()));
    assert!(findings.is_empty(), "{}", lint::text(&findings));
}

fn pieces() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("apiVersion: v1\n".to_owned()),
        Just("apiVersion: apps/v1\nkind: Deployment\n".to_owned()),
        Just("kind: Pod\n".to_owned()),
        Just("spec:\n".to_owned()),
        Just("  containers:\n  - image: a\n".to_owned()),
        Just("---\n".to_owned()),
        Just("# lint:ignore unknown-field\n".to_owned()),
        Just("{{ .Values.a.b }}".to_owned()),
        Just("{{ if".to_owned()),
        Just("&a [*a, *b]\n".to_owned()),
        Just("<<: *a\n".to_owned()),
        "[\\PC\n\t]{0,12}",
        "[-:{}\\[\\],&*!|>'\"%@`# \n]{0,8}",
    ];
    prop::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn any_text_ends_without_a_panic(text in pieces(), other in pieces()) {
        let findings = lint::manifests("a.yaml", &text);
        for finding in &findings {
            prop_assert!(finding.line >= 1 && finding.column >= 1, "{finding:?}");
            prop_assert!(lint::rule_of(finding.rule).is_some(), "{finding:?}");
        }
        prop_assert_eq!(lint::text(&findings).lines().count(), findings.len() * 2);
        prop_assert_eq!(lint::sarif(&findings)["runs"][0]["results"].as_array().map(Vec::len), Some(findings.len()));
        look(&[("Chart.yaml", &good("a")), ("values.yaml", &other), ("templates/a.yaml", &text)]);
        look(&[("Chart.yaml", &text), ("values.yaml", &other), ("templates/_a.tpl", &text)]);
        let source = files(&[("kustomization.yaml", &text), ("a.yaml", &other)]);
        lint::kustomization(&source, "/");
    }
}
