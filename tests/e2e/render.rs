//! Renders without a platform: charts, kustomizations and templates from folders.

use std::fs;

use crate::world::{World, random_name};

#[test]
fn charts_kustomizations_and_templates_are_rendered_without_a_platform() {
    let world = World::new();
    let folder = world.home.join("renders");
    let name = random_name();
    let at = |path: &str| folder.join(path).display().to_string();
    let write = |path: &str, text: &str| {
        let path = folder.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };

    write("chart/Chart.yaml", "apiVersion: v2\nname: c\nversion: 1.0.0\n");
    write(
        "chart/templates/a.yaml",
        "kind: ConfigMap\nmetadata: {name: {{ .Release.Name }}}\ndata: {{ toJson .Values }}\n",
    );
    let chart = at("chart");
    let text = world.ok(&["render", "helm", &name, &chart, "--set", "a=1"]);
    assert_eq!(
        text,
        format!("---\n# Source: c/templates/a.yaml\nkind: ConfigMap\nmetadata: {{name: {name}}}\ndata: {{\"a\":1}}\n")
    );

    write("base/kustomization.yaml", "resources: [a.yaml]\n");
    write("base/a.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n");
    write("over/kustomization.yaml", &format!("resources: [../base]\nnamePrefix: {name}-\n"));
    let text = world.ok(&["render", "kustomize", &at("over")]);
    assert_eq!(text, format!("apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {name}-a\n"));

    write(
        "template.yaml",
        "apiVersion: v1\nkind: Template\nobjects:\n- apiVersion: apps/v1\n  kind: Deployment\n  metadata: {name: \"${NAME}\"}\n  spec: {replicas: \"${REPLICAS}\"}\nparameters:\n- {name: NAME, required: true}\n- {name: REPLICAS, value: \"2\"}\n",
    );
    let template = at("template.yaml");
    let text = world.ok(&["render", "template", &template, "-p", &format!("NAME={name}"), "-o", "documents"]);
    let wanted = format!("apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: {name}\nspec:\n  replicas: 2\n");
    assert_eq!(text, wanted);

    let found = world.roadstead(&["lint", &at("base"), "-o", "json"]);
    assert_eq!(found.code, 0, "{}", found.err);
    write("bad/a.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndta: {a: b}\n");
    let found = world.roadstead(&["lint", &at("bad")]);
    assert!(found.code == 1 && found.out.contains("a.yaml:4:1: error"), "{}{}", found.out, found.err);

    for (line, said) in [
        (vec!["render", "helm", "/nowhere"], "no such folder or file"),
        (vec!["render", "helm", "Bad_Name", &chart], "invalid release name"),
        (vec!["render", "kustomize", &chart], "kustomization"),
        (vec!["render", "template", &template], "parameter NAME is required"),
    ] {
        let ran = world.roadstead(&line);
        assert!(ran.code == 1 && ran.err.contains(said), "{line:?}: {}", ran.err);
    }
}
