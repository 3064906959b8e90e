//! No value is dead, none is without a word, and none that is misspelt is taken.

use serde_json::{Value, json};

use super::{
    below, render,
    schema::{self, Kind},
    word, yaml,
};

#[test]
fn every_value_is_described_and_stands_in_the_schema() {
    let mut undescribed = Vec::new();
    schema::walk(&mut |leaf, _| {
        if leaf.schema["description"].as_str().is_none_or(str::is_empty) {
            undescribed.push(leaf.name());
        }
    });
    assert_eq!(undescribed, Vec::<String>::new());
    let root = schema::schema();
    let mut open = Vec::new();
    schema::walk(&mut |leaf, kind| {
        let free = leaf.path[0] == "resources" && leaf.path.len() == 2;
        if kind == Kind::Group && !free && leaf.schema["additionalProperties"] != json!(false) {
            open.push(leaf.name());
        }
    });
    assert_eq!(open, Vec::<String>::new(), "these groups take values that nobody knows");
    assert_eq!(root["additionalProperties"], json!(false));
    let mut lost = Vec::new();
    described(&root, &root, &schema::defaults(), "", &mut lost);
    assert_eq!(lost, Vec::<String>::new(), "values.yaml has values that the schema does not describe");
}

/// Every key of `values.yaml` has its place in the schema.
fn described(root: &Value, schema: &Value, values: &Value, path: &str, lost: &mut Vec<String>) {
    let (Some(values), Some(properties)) = (values.as_object(), schema["properties"].as_object()) else { return };
    for (name, value) in values {
        match properties.get(name) {
            Some(schema) => {
                described(root, &schema::resolved(root, schema), value, &format!("{path}{name}."), lost);
            }
            None => lost.push(format!("{path}{name}")),
        }
    }
}

/// Values that turn on what is off, such that each value counts in one of them.
fn bases() -> [Value; 4] {
    let external = json!({"store": {"name": word()}, "key": word()});
    [
        json!({}),
        json!({"secrets": {"externalSecret": external}}),
        json!({
            "ingress": {"enabled": true}, "istio": {"enabled": true, "destinationRule": {"enabled": true}},
            "monitoring": {"serviceMonitor": {"enabled": true}}, "podDisruptionBudget": {"enabled": true},
            "secrets": {"database": {"username": word(), "password": word()}, "jwt": {"secret": word()}},
        }),
        json!({
            "autoscaling": {"enabled": true}, "istio": {"enabled": true},
            "secrets": {"externalSecret": {"enabled": true, "store": {"name": word()}, "key": word()}},
        }),
    ]
}

#[test]
fn every_value_changes_what_is_rendered() {
    let root = schema::schema();
    let bases = bases().map(|base| (base.to_string(), render(&[base.to_string()]).unwrap().text()));
    let leaves = schema::leaves();
    let mut dead = Vec::new();
    let drawn = leaves.iter().flat_map(|leaf| match leaf.schema["enum"].as_array() {
        Some(choice) => {
            choice.iter().filter(|one| Some(*one) != leaf.default.as_ref()).map(|one| leaf.with(one.clone())).collect()
        }
        None => vec![leaf.with(schema::draw(&root, &leaf.schema, leaf.default.as_ref()))],
    });
    for values in drawn {
        let values = values.to_string();
        let mut renders = bases
            .iter()
            .map(|(base, before)| (before, render(&[base.clone(), values.clone()]).map(|after| after.text())));
        if !renders.any(|(before, after)| after.is_ok_and(|after| after != *before)) {
            let after = render(std::slice::from_ref(&values)).err().map(|error| error.to_string());
            dead.push(format!("{values} {after:?}"));
        }
    }
    assert!(leaves.len() > 150, "the schema has {} values", leaves.len());
    assert_eq!(dead, Vec::<String>::new(), "these values change nothing");
}

#[test]
fn a_misspelt_value_is_refused_by_its_name() {
    let mut groups: Vec<Vec<String>> = vec![Vec::new()];
    schema::walk(&mut |leaf, kind| {
        // Resources of a container may be of any name.
        if kind == Kind::Group && !(leaf.path[0] == "resources" && leaf.path.len() == 2) {
            groups.push(leaf.path.clone());
        }
    });
    for group in groups {
        let wrong = word();
        let values = group.iter().rev().fold(json!({ &wrong: 1 }), |below, key| json!({ key: below }));
        let error = render(&[values.to_string()]).unwrap_err().to_string();
        assert!(error.contains(&wrong) && error.contains("schema"), "{values}: {error}");
    }
    let leaves = schema::leaves();
    let leaf = &leaves[below(leaves.len())];
    let values = leaf.with(json!({"no": ["such", "form"]})).to_string();
    let typed = leaf.schema["type"] != "object";
    assert!(!typed || render(std::slice::from_ref(&values)).is_err(), "{values} is of another type");
}

/// What was made from the template of a new service, now and before this version, is valid.
#[test]
fn values_of_repositories_that_exist_are_valid() {
    let mut template = super::text("content/templates/microservice/values.yaml");
    for place in ["{{name}}", "{{environment}}", "{{host}}", "{{image.repository}}", "{{image.tag}}"] {
        template = template.replace(place, &word());
    }
    let before: Vec<&str> = template.lines().filter(|line| !line.starts_with("preStopSeconds")).collect();
    let before = before.join("\n");
    for values in [template, before] {
        let name = yaml(&values)["fullnameOverride"].clone();
        let objects = super::objects(&render(&[values]).unwrap());
        let route = super::only(&objects, "HTTPRoute");
        assert_eq!(route["metadata"]["name"], name);
        assert!(objects.iter().all(|object| object["kind"] != "VirtualService" && object["kind"] != "Secret"));
    }
}
