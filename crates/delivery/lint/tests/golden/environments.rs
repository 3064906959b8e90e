//! Development, staging and production: by values, and the same by Kustomize.

use std::collections::BTreeMap;

use helm::Files;
use lint::Severity;
use serde_json::Value;

use super::{assert_clean, folder, only, render, text, workspace, yaml};

const ENVIRONMENTS: [(&str, &str); 3] = [("dev", "development"), ("staging", "staging"), ("prod", "production")];

/// What Helm writes for itself alone.
const HELMS: [&str; 3] = ["helm.sh/chart:", "app.kubernetes.io/managed-by:", "checksum/"];

fn values(environment: &str) -> String {
    text(&format!("content/charts/microservice/values-{environment}.yaml"))
}

#[test]
fn each_environment_renders_clean() {
    for (environment, told) in ENVIRONMENTS {
        let values = values(environment);
        assert_clean(environment, std::slice::from_ref(&values));
        let all = super::objects(&render(&[values]).unwrap());
        let env = &only(&all, "Deployment")["spec"]["template"]["spec"]["containers"][0]["env"];
        assert_eq!(env[0]["value"], told);
        let budgets = all.iter().filter(|object| object["kind"] == "PodDisruptionBudget").count();
        assert_eq!(budgets, usize::from(environment != "dev"), "{environment}");
        let scaled = all.iter().any(|object| object["kind"] == "HorizontalPodAutoscaler");
        assert_eq!(scaled, environment == "prod", "{environment}");
    }
}

/// The sample's image is packed at every start, under the platform's version.
#[test]
fn the_defaults_run_the_platforms_own_sample() {
    let all = super::objects(&render(&[]).unwrap());
    let image = &only(&all, "Deployment")["spec"]["template"]["spec"]["containers"][0]["image"];
    assert_eq!(image, concat!("registry.cluster.local/sample:", env!("CARGO_PKG_VERSION")));
}

/// The base of the overlays: what the chart renders to, without what is Helm's own. The ConfigMap is generated.
#[test]
fn the_base_of_the_overlays_is_the_rendered_chart() {
    let rendered = render(&[]).unwrap();
    let mut wanted: BTreeMap<String, String> = BTreeMap::new();
    for manifest in rendered.manifests.iter().filter(|manifest| manifest.kind != "ConfigMap") {
        let lines = manifest.text.lines().filter(|line| !HELMS.iter().any(|own| line.trim_start().starts_with(own)));
        let text = lines.collect::<Vec<_>>().join("\n");
        wanted.insert(format!("{}.yaml", manifest.kind.to_lowercase()), format!("{}\n", text.trim()));
    }
    super::page::current("content/kustomize/microservice/base", &wanted);
    let listed = yaml(&text("content/kustomize/microservice/base/kustomization.yaml"))["resources"].clone();
    let listed: Vec<&str> = listed.as_array().unwrap().iter().filter_map(Value::as_str).collect();
    assert_eq!(listed, wanted.keys().map(String::as_str).collect::<Vec<_>>());
    let there = std::fs::read_dir(workspace("content/kustomize/microservice/base")).unwrap().count();
    assert_eq!(there, wanted.len() + 1, "a file that nothing lists");
}

/// Objects by kind, with what Helm and Kustomize do each in its own way taken off.
fn comparable(objects: Vec<Value>) -> BTreeMap<String, Value> {
    let generated = objects.iter().find(|object| object["kind"] == "ConfigMap").unwrap();
    let name = generated["metadata"]["name"].as_str().unwrap().to_owned();
    let mut all = BTreeMap::new();
    for object in objects {
        let text = object.to_string().replace(&format!("\"{name}\""), "\"config\"");
        let mut object: Value = serde_json::from_str(&text).unwrap();
        let kind = object["kind"].as_str().unwrap().to_owned();
        let metadata = object["metadata"].as_object_mut().unwrap();
        metadata.remove("namespace");
        if kind == "ConfigMap" {
            metadata.remove("labels");
        } else if let Some(labels) = metadata["labels"].as_object_mut() {
            labels.retain(|key, _| !HELMS.iter().any(|own| own.trim_end_matches(':') == key));
        }
        if let Some(Value::Object(annotations)) = object.pointer_mut("/spec/template/metadata/annotations") {
            annotations.retain(|key, _| !key.starts_with("checksum/"));
        }
        assert!(all.insert(kind.clone(), object).is_none(), "{kind} stands twice");
    }
    all
}

#[test]
fn each_overlay_builds_to_what_the_values_say() {
    let source: Files = folder("content/kustomize/microservice");
    for (environment, _) in ENVIRONMENTS {
        let path = format!("/overlays/{environment}");
        let findings = lint::kustomization(&source, &path);
        assert!(lint::pass(&findings, Severity::Warning).is_ok(), "{environment}: {}", lint::text(&findings));
        let built = kustomize::build(&source, &path, &kustomize::Options::default()).unwrap();
        let ours: Vec<Value> = built.resources.iter().map(|resource| yaml(&resource.text)).collect();
        let namespace = format!("microservices-{environment}");
        assert!(ours.iter().all(|object| object["metadata"]["namespace"] == namespace.as_str()), "{environment}");
        let mut helms = super::objects(&render(&[values(environment)]).unwrap());
        helms.retain(|object| object["kind"] != "Pod");
        let (ours, helms) = (comparable(ours), comparable(helms));
        let kinds = |all: &BTreeMap<String, Value>| all.keys().cloned().collect::<Vec<_>>();
        assert_eq!(kinds(&ours), kinds(&helms), "{environment}");
        for (kind, object) in &ours {
            assert_eq!(object, &helms[kind], "{environment}: {kind} (left: the overlay, right: the values)");
        }
    }
}
