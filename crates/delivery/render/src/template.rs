//! `roadstead render template`: the flags of `oc process`.

use std::{collections::BTreeMap, fmt::Write as _, io::Write, path::PathBuf};

use clap::{Args, ValueEnum};
use gotmpl::{Value, World, yaml};
use jiff::Zoned;
use template::{Processed, Template, Unknown};

use crate::{Error, output, seed};

/// How objects are printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Form {
    /// One List.
    #[default]
    Json,
    /// One List.
    Yaml,
    /// A document per object.
    Documents,
    /// Kinds and names.
    Name,
}

/// Which template, and what is put into it.
#[derive(Clone, Debug, Default, Args)]
pub struct TemplateInput {
    /// File of the template; `-` is standard input.
    #[arg(value_name = "FILE", required_unless_present = "filename")]
    pub file: Option<PathBuf>,
    /// The same, as oc has it.
    #[arg(short, long, value_name = "FILE", conflicts_with = "file")]
    pub filename: Option<PathBuf>,
    /// Value of a parameter (can specify multiple).
    #[arg(short, long = "param", value_name = "NAME=VALUE")]
    pub params: Vec<String>,
    /// File with a NAME=VALUE per line; --param wins (can specify multiple).
    #[arg(long = "param-file", value_name = "FILE")]
    pub param_files: Vec<PathBuf>,
    /// Leave parameters aside that the template does not have.
    #[arg(long)]
    pub ignore_unknown_parameters: bool,
    /// Labels for every object: a=b,c=d.
    #[arg(short, long, value_name = "LABELS", value_delimiter = ',')]
    pub labels: Vec<String>,
    /// What generated values follow from: the same seed gives the same output. Random if absent.
    #[arg(long, value_name = "TEXT")]
    pub seed: Option<String>,
}

/// What `roadstead render template` takes.
#[derive(Clone, Debug, Default, Args)]
pub struct TemplateArgs {
    /// Which template, and what is put into it.
    #[command(flatten)]
    pub input: TemplateInput,
    /// How to print the objects.
    #[arg(short, long, value_enum, default_value_t)]
    pub output: Form,
    /// Show the parameters instead.
    #[arg(long)]
    pub parameters: bool,
}

/// Processes a template and prints its objects, or its parameters; its message goes to `notes`.
pub fn run(args: &TemplateArgs, now: Zoned, out: &mut dyn Write, notes: &mut dyn Write) -> Result<(), Error> {
    if args.parameters {
        let template = read(&args.input)?;
        return output::all(out, parameters(&template).as_bytes());
    }
    let processed = process(&args.input, now)?;
    if let Some(message) = &processed.message {
        // Whoever does not want to be told may close standard error.
        let _closed = writeln!(notes, "{message}");
    }
    output::all(out, shown(&processed, args.output).as_bytes())
}

/// Processes a template.
fn process(input: &TemplateInput, now: Zoned) -> Result<Processed, Error> {
    let mut template = read(input)?;
    for pair in &input.labels {
        let (key, value) = split(pair)?;
        template.labels.insert(key, value);
    }
    let given = given(&input.params, &input.param_files)?;
    let unknown = if input.ignore_unknown_parameters { Unknown::Ignored } else { Unknown::Refused };
    Ok(template.process(&given, unknown, &world(now, input.seed.as_deref()))?)
}

/// Returns a world at a time, whose randomness follows from a seed; without one, nobody knows it.
pub fn world(now: Zoned, seed: Option<&str>) -> World {
    World::new(now, seed::of(seed))
}

/// Reads parameters: `NAME=VALUE`, and files with one on each line, which the former go before.
///
/// # Errors
///
/// A file cannot be read, or a line is no `NAME=VALUE`.
pub fn given(params: &[String], files: &[PathBuf]) -> Result<BTreeMap<String, String>, Error> {
    let mut given = BTreeMap::new();
    for file in files {
        let text = std::fs::read_to_string(file).map_err(|source| Error::Read { path: file.clone(), source })?;
        for (number, line) in text.lines().map(str::trim).enumerate() {
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            // The line itself may be a secret.
            let (name, value) = split(line).map_err(|_| Error::Name {
                reason: format!("{}: line {} is no NAME=VALUE", file.display(), number + 1),
            })?;
            let quoted = value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
            given.insert(name, quoted.map(str::to_owned).unwrap_or(value));
        }
    }
    for pair in params {
        let (name, value) = split(pair)?;
        given.insert(name, value);
    }
    Ok(given)
}

fn read(input: &TemplateInput) -> Result<Template, Error> {
    let Some(path) = input.file.as_ref().or(input.filename.as_ref()) else {
        return Err(Error::Name { reason: "a template's file has to be named".to_owned() });
    };
    let text = if path.as_os_str() == "-" {
        std::io::read_to_string(std::io::stdin().lock())
    } else {
        std::fs::read_to_string(path)
    };
    let text = text.map_err(|source| Error::Read { path: path.clone(), source })?;
    Ok(Template::read(&text)?)
}

fn split(pair: &str) -> Result<(String, String), Error> {
    match pair.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.trim().to_owned(), value.to_owned())),
        _ => Err(Error::Name { reason: format!("{pair:?} is no NAME=VALUE") }),
    }
}

fn shown(processed: &Processed, form: Form) -> String {
    match form {
        Form::Json => format!("{:#}\n", processed.list()),
        Form::Yaml => yaml::write(&Value::from_json(&processed.list())),
        Form::Documents => {
            let documents = processed.objects.iter().map(|object| yaml::write(&Value::from_json(object)));
            documents.collect::<Vec<_>>().join("---\n")
        }
        Form::Name => {
            let mut text = String::new();
            for object in &processed.objects {
                let part = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
                let kind = part(&object["kind"]).to_lowercase();
                let _infallible = writeln!(text, "{kind}/{}", part(&object["metadata"]["name"]));
            }
            text
        }
    }
}

fn parameters(template: &Template) -> String {
    let rows: Vec<[String; 4]> = std::iter::once(["NAME", "DESCRIPTION", "GENERATOR", "VALUE"].map(str::to_owned))
        .chain(template.parameters.iter().map(|parameter| {
            let value = parameter.from.clone().unwrap_or_else(|| parameter.value.clone());
            let generator = if parameter.from.is_some() { "expression" } else { "" };
            let required = if parameter.required { " (required)" } else { "" };
            let description = format!("{}{required}", parameter.description);
            [parameter.name.clone(), description, generator.to_owned(), value]
        }))
        .collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let (name, description, generator) = (width(0), width(1), width(2));
    let mut text = String::new();
    for [a, b, c, d] in &rows {
        let line = format!("{a:name$}   {b:description$}   {c:generator$}   {d}");
        let _infallible = writeln!(text, "{}", line.trim_end());
    }
    text
}
