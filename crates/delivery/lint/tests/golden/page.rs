//! Files that are made from the chart are current: the table of its README, the base of its overlays.

use std::{collections::BTreeMap, fmt::Write as _, fs};

use serde_json::Value;

use super::{
    schema::{self, Kind},
    text, workspace,
};

const README: &str = "content/charts/microservice/README.md";
const BEGIN: &str = "<!-- values: made by `cargo xtask chart` -->\n";
const END: &str = "<!-- end of values -->\n";

/// Fails where a file of a folder is not as wanted; with `CHART=write` writes it.
pub(crate) fn current(folder: &str, wanted: &BTreeMap<String, String>) {
    for (name, wanted) in wanted {
        let path = workspace(folder).join(name);
        if base::settings::env("CHART").as_deref() == Some("write") {
            fs::write(&path, wanted).unwrap();
        }
        let there = fs::read_to_string(&path).unwrap_or_default();
        assert!(there == *wanted, "{} is stale: run `cargo xtask chart`", path.display());
    }
}

#[test]
fn the_readme_says_what_schema_and_values_say() {
    let readme = text(README);
    let (before, rest) = readme.split_once(BEGIN).unwrap();
    let (_, after) = rest.split_once(END).unwrap();
    let wanted = format!("{before}{BEGIN}\n{}\n{END}{after}", table());
    current("content/charts/microservice", &BTreeMap::from([("README.md".to_owned(), wanted)]));
}

fn table() -> String {
    let mut table = String::from("| value | type | default | meaning |\n|---|---|---|---|\n");
    schema::walk(&mut |leaf, kind| {
        let (form, default) = match kind {
            Kind::Group => (String::new(), String::new()),
            Kind::Leaf => (form(&leaf.schema), leaf.default.as_ref().map_or_else(String::new, shown)),
        };
        let meaning = leaf.schema["description"].as_str().unwrap().replace('|', "\\|");
        writeln!(table, "| `{}` | {form} | {default} | {meaning} |", leaf.name()).unwrap();
    });
    table
}

fn form(schema: &Value) -> String {
    if let Some(choice) = schema["enum"].as_array() {
        return choice.iter().map(shown).collect::<Vec<_>>().join(", ");
    }
    match &schema["type"] {
        Value::Array(types) => types.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" or "),
        one => one.as_str().unwrap_or_default().to_owned(),
    }
}

fn shown(value: &Value) -> String {
    match value {
        Value::String(text) if text.is_empty() => "`\"\"`".to_owned(),
        Value::String(text) => format!("`{text}`"),
        value => format!("`{value}`"),
    }
}
