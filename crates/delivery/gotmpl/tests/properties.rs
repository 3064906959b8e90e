//! What holds for any input.

use gotmpl::{
    Funcs, Limits, Templates, Value, World,
    json::{self, Escape},
    yaml,
};
use proptest::prelude::*;

fn funcs() -> Funcs {
    let mut funcs = Funcs::builtins();
    gotmpl::sprig::add(&mut funcs);
    funcs
}

fn piece() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("{{".to_owned()),
        Just("}}".to_owned()),
        Just("{{- ".to_owned()),
        Just(" -}}".to_owned()),
        Just("{{/*".to_owned()),
        Just("*/}}".to_owned()),
        Just("{{ end }}".to_owned()),
        prop::sample::select(vec![
            "if",
            "else",
            "range",
            "with",
            "define",
            "block",
            "template",
            "break",
            "continue",
            "nil",
            ".",
            ".a",
            "$",
            "$x",
            ":=",
            "=",
            ",",
            "|",
            "(",
            ")",
            "\"s\"",
            "`r`",
            "'c'",
            "'",
            "\"",
            "1",
            "-1.5e3",
            "0x",
            "true",
            "upper",
            "list",
            "dict",
            "trunc",
            "substr",
            "repeat",
            "until",
            "printf",
            "index",
            "slice",
            "abbrev",
            "wrap",
            "regexSplit",
            "splitn",
            "chunk",
            "round",
        ])
        .prop_map(|word| format!(" {word} ")),
        any::<String>(),
    ]
}

fn value() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(serde_json::Value::from),
        any::<i32>().prop_map(serde_json::Value::from),
        (-1e9..1e9_f64).prop_map(serde_json::Value::from),
        any::<String>().prop_map(serde_json::Value::from),
        "[ -~\n]{0,12}".prop_map(serde_json::Value::from),
        prop::sample::select(vec![
            "yes",
            "0x1",
            "1e3",
            "12:30",
            "~",
            "- a",
            "a: b",
            "a #b",
            "|",
            "2001-01-01",
            "1_0",
            "\n",
            " \n x",
            "---"
        ])
        .prop_map(serde_json::Value::from),
    ];
    leaf.prop_recursive(4, 32, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(serde_json::Value::from),
            // go-yaml writes the key `<<` bare, as we do therefore, and reads it as a merge.
            prop::collection::btree_map("[ -~]{0,8}".prop_filter("merge key", |key| key != "<<"), inner, 0..5)
                .prop_map(|entries| serde_json::Value::Object(entries.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn no_template_brings_the_engine_down(pieces in prop::collection::vec(piece(), 0..24)) {
        let text: String = pieces.concat();
        let mut templates = Templates::new(funcs());
        if templates.parse("t", &text).is_ok() {
            let limits = Limits { depth: 200, steps: 20_000, output: 1 << 20 };
            let data = Value::pairs([("a", Value::list(vec![Value::Int(1), Value::str("x")]))]);
            // Failing is fine, and so is succeeding.
            let _either = templates.render("t", &data, &World::default().within(limits));
        }
    }

    #[test]
    fn yaml_that_is_written_reads_back_the_same(json in value()) {
        let value = Value::from_json(&json);
        let text = yaml::write(&value);
        let back = yaml::read(&text).map_err(|error| TestCaseError::fail(format!("{error}\n{text}")))?;
        prop_assert_eq!(json::compact(&back, Escape::Raw), json::compact(&value, Escape::Raw), "{}", text);
    }

    #[test]
    fn no_text_brings_the_reader_down(text in any::<String>(), other in "[ -~\n]{0,60}") {
        let _either = yaml::read_all(&text);
        let _either = yaml::read_all(&other);
    }
}
