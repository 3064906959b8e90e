//! Charts from `tests/corpus/charts`, with what `helm template` prints of them, and charts drawn at random.
//!
//! A file is a chart as text: `-- PATH --` before each file of it, `-- values --` before
//! a values file, `-- options --` before flags, and last `-- output --` or `-- error --`
//! with what came of it. With `CORPUS=compare` stock Helm is asked again and has to say
//! the same; with `CORPUS=remake` what it says is written. `RANDOM_SECONDS` says how long
//! random charts are drawn and compared, `RANDOM_SEED` where to begin.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::{fs, path::PathBuf};

use helm::{Files, Options, Set};

mod random;
mod support;

struct Case {
    /// All but what came of it.
    given: String,
    files: Files,
    options: Options,
    expected: Result<String, String>,
}

fn read(text: &str) -> Case {
    let (given, expected) = match (text.split_once("-- output --\n"), text.split_once("-- error --\n")) {
        (Some((given, output)), _) => (given, Ok(output.to_owned())),
        (None, Some((given, error))) => (given, Err(error.strip_suffix('\n').unwrap_or(error).to_owned())),
        (None, None) => (text, Ok(String::new())),
    };
    let mut options = Options::new("release", "space");
    let mut files = Files::new();
    let (mut path, mut content) = (String::new(), String::new());
    let mut put = |path: &str, content: &str| match path {
        "" => {}
        "values" => options.values.push(content.to_owned()),
        "options" => content.lines().for_each(|line| flag(&mut options, line)),
        path => {
            files.insert(path.to_owned(), content.as_bytes().to_vec());
        }
    };
    for line in given.lines() {
        match line.strip_prefix("-- ").and_then(|rest| rest.strip_suffix(" --")) {
            Some(next) => {
                put(&path, &content);
                (path, content) = (next.to_owned(), String::new());
            }
            None => {
                content.push_str(line);
                content.push('\n');
            }
        }
    }
    put(&path, &content);
    Case { given: given.to_owned(), files, options, expected }
}

fn flag(options: &mut Options, line: &str) {
    let (name, value) = line.split_once(' ').unwrap_or((line, ""));
    let value = value.to_owned();
    match name {
        "" => {}
        "--set" => options.set.push(Set::Typed(value)),
        "--set-string" => options.set.push(Set::Text(value)),
        "--set-json" => options.set.push(Set::Json(value)),
        "--set-literal" => options.set.push(Set::Literal(value)),
        "--name" => options.name = value,
        "--namespace" => options.namespace = value,
        "--kube-version" => options.kube_version = value,
        "--api-versions" => options.api_versions.push(value),
        "--include-crds" => options.include_crds = true,
        "--is-upgrade" => options.upgrade = true,
        other => panic!("no such option: {other}"),
    }
}

fn write(case: &Case) -> String {
    match &case.expected {
        Ok(output) => format!("{}-- output --\n{output}", case.given),
        Err(error) => format!("{}-- error --\n{error}\n", case.given),
    }
}

fn shown(outcome: &Result<String, String>) -> String {
    match outcome {
        Ok(text) => text.clone(),
        Err(error) => format!("ERROR {error}"),
    }
}

/// Both texts from a little before the first line in which they differ.
fn difference(ours: &str, stock: &str) -> String {
    let same = ours.lines().zip(stock.lines()).take_while(|(a, b)| a == b).count();
    if same == ours.lines().count().max(stock.lines().count()) {
        return format!("line ends\n--- ours\n{ours:?}\n--- helm\n{stock:?}");
    }
    let part = |text: &str| text.lines().skip(same.saturating_sub(3)).take(12).collect::<Vec<_>>().join("\n");
    format!("line {}\n--- ours\n{}\n--- helm\n{}", same + 1, part(ours), part(stock))
}

#[test]
fn charts_render_as_helm_renders_them() {
    let mode = base::settings::env("CORPUS").unwrap_or_default();
    let mut oracle = (!mode.is_empty()).then(support::Oracle::start);
    let mut paths: Vec<PathBuf> =
        fs::read_dir(support::workspace("tests/corpus/charts")).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let mut wrong = Vec::new();
    for path in &paths {
        let mut case = read(&fs::read_to_string(path).unwrap());
        let name = path.file_name().unwrap().display().to_string();
        if let Some(oracle) = &mut oracle {
            let said = oracle.render(&case.files, &case.options).map(|(text, _)| text);
            if mode == "remake" {
                case.expected = said;
                fs::write(path, write(&case)).unwrap();
            } else if comparable(&said) != comparable(&case.expected) {
                wrong.push(format!("{name}: helm says now: {}", shown(&said)));
            }
        }
        let ours = support::ours(&case.files, &case.options).map(|(text, _)| text);
        if comparable(&ours) != comparable(&case.expected) {
            wrong.push(format!("{name}: {}", difference(&shown(&ours), &shown(&case.expected))));
        }
    }
    assert!(paths.len() >= 60, "the corpus has {} charts", paths.len());
    assert!(wrong.is_empty(), "{} of {} differ:\n{}", wrong.len(), paths.len(), wrong.join("\n\n"));
}

/// Of a file that is no YAML the parser's own words are left out: it is not the same parser. What is wrong with
/// values comes in no order, as Go ranges over maps.
fn comparable<T: Clone>(outcome: &Result<T, String>) -> Result<T, String> {
    const PARSER: &str = "error converting YAML to JSON: yaml: ";
    outcome.clone().map_err(|error| {
        let text = error.split(PARSER).next().unwrap_or_default();
        if !text.starts_with("values don't meet") {
            return text.to_owned();
        }
        let mut words: Vec<&str> = text.split([' ', ',', '\n']).collect();
        words.sort_unstable();
        words.join(" ")
    })
}

#[test]
fn charts_drawn_at_random_render_as_helm_renders_them() {
    let number = |name: &str| base::settings::env(name).and_then(|text| text.parse::<u64>().ok());
    let Some(seconds) = number("RANDOM_SECONDS") else { return };
    let mut seed = number("RANDOM_SEED").unwrap_or_else(|| u64::from(std::process::id()) << 32);
    println!("first seed: {seed}");
    let mut oracle = support::Oracle::start();
    let begun = base::clock::instant();
    let mut count = 0_u64;
    while begun.elapsed().as_secs() < seconds {
        let (files, options) = random::chart(seed);
        let (ours, stock) = (support::ours(&files, &options), oracle.render(&files, &options));
        if comparable(&ours) != comparable(&stock) {
            let text = |outcome: &support::Outcome| {
                shown(&outcome.clone().map(|(text, notes)| format!("{text}\nNOTES:\n{notes}")))
            };
            let files: Vec<String> =
                files.iter().map(|(path, bytes)| format!("-- {path} --\n{}", String::from_utf8_lossy(bytes))).collect();
            panic!(
                "seed {seed}: {}\n{}\nvalues: {:?}\nset: {:?}",
                difference(&text(&ours), &text(&stock)),
                files.join("\n"),
                options.values,
                options.set
            );
        }
        count += 1;
        seed += 1;
    }
    println!("{count} random charts, no difference");
    assert!(count > 0);
}

#[test]
fn a_render_that_has_to_give_the_same_answer_twice_knows_neither_time_nor_chance() {
    let refused = |call: &str| {
        let mut files = Files::new();
        files.insert("Chart.yaml".into(), b"apiVersion: v2\nname: c\nversion: 1.0.0\n".to_vec());
        files.insert("templates/a.yaml".into(), format!("a: {{{{ {call} }}}}\n").into_bytes());
        helm::render(&files, &Options::new("r", "n")).unwrap_err().to_string()
    };
    for call in [
        "randAlphaNum 5",
        "uuidv4",
        "genCA \"a\" 1",
        "bcrypt \"x\"",
        "htpasswd \"a\" \"b\"",
        "shuffle \"ab\"",
        "encryptAES \"a\" \"b\"",
    ] {
        assert!(refused(call).contains("nothing random is drawn"), "{call}");
    }
    for call in ["now", "date \"2006\" nil", "ago 0"] {
        assert!(refused(call).contains("not told the time"), "{call}");
    }
}
