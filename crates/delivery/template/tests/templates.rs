//! Templates as a platform's documents have them, and what is refused.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;

use expect_test::expect;
use gotmpl::World;
use serde_json::{Value, json};
use template::{Error, Processed, Template, Unknown};

fn process(text: &str, given: &[(&str, &str)]) -> Result<Processed, Error> {
    let given: BTreeMap<String, String> = given.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    Template::read(text)?.process(&given, Unknown::Refused, &World::default())
}

/// A service as a document would write it: numbers without quotes, text with them.
const SERVICE: &str = r#"
apiVersion: v1
kind: Template
metadata:
  name: service
objects:
- apiVersion: apps/v1
  kind: Deployment
  metadata:
    name: ${NAME}
    labels: {app: "${NAME}", "x-${NAME}": "1"}
  spec:
    replicas: ${REPLICAS}
    template:
      spec:
        automountServiceAccountToken: ${TOKEN}
        containers:
        - name: ${NAME}
          image: ${REGISTRY}/${NAME}:${VERSION}
          ports: [{containerPort: "${PORT}"}]
          env: [{name: PORT, value: "${PORT}"}]
          readinessProbe: {httpGet: {path: /, port: "${PORT}"}}
- apiVersion: example.com/v1
  kind: Widget
  metadata: {name: w}
  spec:
    text: ${PORT}
    number: ${{PORT}}
    list: ${{LIST}}
    kept: ${UNDECLARED} $${NAME}
parameters:
- {name: NAME, description: what it is called, required: true}
- {name: REPLICAS, value: "2"}
- {name: PORT, value: 8080}
- {name: TOKEN, value: "false"}
- {name: LIST, value: '["a", 1]'}
- {name: REGISTRY, value: registry.example}
- {name: VERSION, value: latest}
- {name: SECRET, generate: expression, from: "[a-z]{12}"}
labels: {from: "${NAME}-template"}
message: ${NAME} is there
"#;

#[test]
fn parameters_fill_text_numbers_and_whole_values() {
    let name = format!("n{}", &uuid::Uuid::new_v4().simple().to_string()[..6]);
    let made = process(SERVICE, &[("NAME", &name), ("REPLICAS", "7")]).unwrap();
    let [deployment, widget] = made.objects.as_slice() else { unreachable!() };
    let spec = &deployment["spec"];
    let container = &spec["template"]["spec"]["containers"][0];
    assert_eq!(
        deployment["metadata"]["labels"],
        json!({"app": name, format!("x-{name}"): "1", "from": format!("{name}-template")})
    );
    assert_eq!((&spec["replicas"], &container["ports"][0]["containerPort"]), (&json!(7), &json!(8080)));
    assert_eq!(container["env"][0]["value"], "8080");
    assert_eq!(container["readinessProbe"]["httpGet"]["port"], 8080);
    assert_eq!(spec["template"]["spec"]["automountServiceAccountToken"], false);
    assert_eq!(container["image"], format!("registry.example/{name}:latest"));
    let wanted = json!({"text": "8080", "number": 8080, "list": ["a", 1], "kept": format!("${{UNDECLARED}} ${name}")});
    assert_eq!(widget["spec"], wanted);
    assert_eq!(made.message, Some(format!("{name} is there")));
    assert_eq!(made.values["SECRET"].len(), 12);
    assert_eq!(made.list()["kind"], "List");
}

#[test]
fn every_missing_and_unknown_parameter_is_told_at_once() {
    let error = process(SERVICE, &[("OTHER", "1"), ("MORE", "2")]).unwrap_err();
    expect![[r#"
        unknown parameter name "MORE": the template has NAME, REPLICAS, PORT, TOKEN, LIST, REGISTRY, VERSION, SECRET
        unknown parameter name "OTHER": the template has NAME, REPLICAS, PORT, TOKEN, LIST, REGISTRY, VERSION, SECRET
        template.parameters[0]: Required value: parameter NAME is required and must be specified (what it is called)"#]]
    .assert_eq(&error.to_string());
}

#[test]
fn what_cannot_be_is_refused_at_its_place() {
    let error = process(SERVICE, &[("NAME", "a"), ("REPLICAS", "many")]).unwrap_err();
    assert_eq!(error.to_string(), "objects[0].spec.replicas: \"many\" is not a whole number");
    for (text, said) in [
        ("kind: Template", "it is \"/Template\""),
        ("apiVersion: v1\nkind: List", "it is \"v1/List\""),
        ("- a", "it is no object"),
        ("apiVersion: v1\nkind: Template\nextra: 1", "the template has no field \"extra\""),
        ("apiVersion: v1\nkind: Template\nobjects: [1]", "objects[0]: it is no object"),
        ("apiVersion: v1\nkind: Template\nparameters: [{name: 'a b'}]", "parameters[0].name"),
        ("apiVersion: v1\nkind: Template\nparameters: [{name: A}, {name: A}]", "is there already"),
        ("apiVersion: v1\nkind: Template\nparameters: [{name: A, generate: x}]", "parameters[0].generate"),
        ("apiVersion: v1\nkind: Template\nparameters: [{name: A, odd: x}]", "no field \"odd\""),
        ("a: [", "yaml: line 1"),
    ] {
        let error = process(text, &[]).unwrap_err().to_string();
        assert!(error.contains(said), "{text:?}: {error}");
    }
    let twice = "apiVersion: v1\nkind: Template\nobjects: [{a: {'${A}': 1, x: 2}}]\nparameters: [{name: A, value: x}]";
    assert!(process(twice, &[]).unwrap_err().to_string().contains("objects[0].a: its key"));
}

#[test]
fn a_template_cannot_grow_without_end() {
    let long = "x".repeat(1 << 20);
    let many = "- {a: '${A}${A}${A}${A}${A}${A}${A}${A}'}\n".repeat(20);
    let text = format!("apiVersion: v1\nkind: Template\nobjects:\n{many}parameters: [{{name: A}}]");
    let error = process(&text, &[("A", &long)]).unwrap_err();
    assert!(error.to_string().contains("larger than"), "{error}");
}

#[test]
fn values_are_not_looked_at_again() {
    let text = "apiVersion: v1\nkind: Template\nobjects: [{a: '${A}'}]\nparameters: [{name: A}, {name: B, value: no}]";
    let made = process(text, &[("A", "${B}")]).unwrap();
    assert_eq!(made.objects, [json!({"a": "${B}"})] as [Value; 1]);
}
