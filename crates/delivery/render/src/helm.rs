//! `roadstead render helm`: from flags to output.

use std::io::{Read as _, Write};

use gotmpl::{Funcs, Limits, Templates, Value, World};
use helm::{Options, Rendered};
use jiff::{Timestamp, Zoned};

use crate::{Error, HelmArgs, charts, output, seed, values};

/// Renders a chart and writes what `helm template` would write.
pub fn run(args: &HelmArgs, now: Zoned, out: &mut dyn Write, notes: &mut dyn Write) -> Result<(), Error> {
    let (rendered, name) = render(args, now, Vec::new())?;
    if args.notes
        && let Some(text) = &rendered.notes
    {
        output::all(notes, text.as_bytes())?;
    }
    match &args.output_dir {
        Some(folder) => {
            let folder = if args.release_name { folder.join(&name) } else { folder.clone() };
            output::folder(&folder, &rendered, args, out)
        }
        None if args.post_renderer.is_none() && args.show_only.is_empty() => output::stream(out, &rendered, args),
        None => {
            let text = output::text(&rendered, args);
            let text = match &args.post_renderer {
                Some(program) => post_render(program, &args.post_renderer_args, &text)?,
                None => text,
            };
            let text = if args.show_only.is_empty() { text } else { output::only(&text, &args.show_only)? };
            output::all(out, text.as_bytes())
        }
    }
}

/// Renders a chart with values that are texts already; gives what `helm template` prints.
pub(crate) fn text(args: &HelmArgs, now: Zoned, values: Vec<String>) -> Result<String, Error> {
    let (rendered, _) = render(args, now, values)?;
    Ok(output::text(&rendered, args))
}

/// Renders a chart, with more values than the flags name; returns what came of it and the release's name.
fn render(args: &HelmArgs, now: Zoned, more: Vec<String>) -> Result<(Rendered, String), Error> {
    let (name, chart) = match args.name_and_chart.as_slice() {
        [chart] => (None, chart),
        [name, chart, ..] => (Some(name.as_str()), chart),
        [] => return Err(Error::Name { reason: "a chart has to be named".to_owned() }),
    };
    let seed = seed::of(args.seed.as_deref());
    let naming = Naming {
        given: name.map(str::to_owned),
        template: args.name_template.clone(),
        generate: args.generate_name,
        seed: args.seed.clone(),
    };
    let name = release_name(&naming, chart, &now)?;
    let files = charts::load(chart, &args.source)?;
    let given = values::given(&args.values, &args.source)?;
    let mut options = Options::new(name.clone(), args.namespace.clone());
    options.values = given.files.into_iter().chain(more).collect();
    options.set = given.set;
    options.kube_version.clone_from(&args.kube_version);
    options.api_versions.clone_from(&args.api_versions);
    options.upgrade = args.is_upgrade;
    options.include_crds = args.include_crds;
    options.skip_schema = args.skip_schema_validation;
    options.moment = Some((now, seed));
    Ok((helm::render(&files, &options)?, name))
}

/// How a release gets its name.
#[derive(Clone, Debug, Default)]
pub struct Naming {
    /// The name itself.
    pub given: Option<String>,
    /// `--name-template`.
    pub template: Option<String>,
    /// `--generate-name`.
    pub generate: bool,
    /// What chance in the template follows from.
    pub seed: Option<String>,
}

/// Returns the name of a release; `release-name` if nothing names it.
pub fn release_name(naming: &Naming, chart: &str, now: &Zoned) -> Result<String, Error> {
    let name = match (&naming.given, &naming.template, naming.generate) {
        (Some(_), Some(_), _) => {
            return Err(Error::Name { reason: "cannot set --name-template and also specify a name".to_owned() });
        }
        (Some(_), None, true) => {
            return Err(Error::Name { reason: "cannot set --generate-name and also specify a name".to_owned() });
        }
        (Some(name), None, false) => name.clone(),
        (None, Some(template), _) => {
            let mut funcs = Funcs::builtins();
            gotmpl::sprig::add(&mut funcs);
            let mut templates = Templates::new(funcs);
            let fail = |reason: String| Error::Name { reason };
            templates.parse("name-template", template).map_err(|error| fail(error.to_string()))?;
            let world = World::new(now.clone(), seed::of(naming.seed.as_deref())).within(Limits::default());
            templates.render("name-template", &Value::Nil, &world).map_err(|error| fail(error.to_string()))?
        }
        (None, None, true) => {
            let base = gotmpl::sprig::base(chart.trim_end_matches('/'));
            let base = base.split(['.', ':']).next().unwrap_or("chart").to_owned();
            format!("{base}-{}", Timestamp::as_second(now.timestamp()))
        }
        (None, None, false) => "release-name".to_owned(),
    };
    if helm::is_release_name(&name) {
        return Ok(name);
    }
    let reason = format!(
        "release name {name:?}: invalid release name, must match regex ^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$ and the length must not be longer than 53"
    );
    Err(Error::Name { reason })
}

/// Gives the manifests to a program and takes what it prints.
pub fn post_render(program: &str, args: &[String], text: &str) -> Result<String, Error> {
    use std::process::{Command, Stdio};
    let fail = |reason: String| Error::PostRender { program: program.to_owned(), reason };
    let mut child = Command::new(program)
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .map_err(|error| fail(error.to_string()))?;
    let (input, output) = (child.stdin.take(), child.stdout.take());
    let (Some(mut input), Some(mut output)) = (input, output) else { return Err(fail("it has no pipes".to_owned())) };
    let (wrote, read) = std::thread::scope(|scope| {
        let writer = scope.spawn(move || input.write_all(text.as_bytes()));
        let mut bytes = Vec::new();
        let read = output.read_to_end(&mut bytes).map(|_| bytes);
        (writer.join(), read)
    });
    let status = child.wait().map_err(|error| fail(error.to_string()))?;
    let bytes = read.map_err(|error| fail(error.to_string()))?;
    // One that does not read all of its input is judged by how it ended.
    drop(wrote);
    if !status.success() {
        return Err(fail(status.to_string()));
    }
    let text = String::from_utf8(bytes).map_err(|_| fail("it printed no UTF-8 text".to_owned()))?;
    if text.trim().is_empty() {
        return Err(fail(format!("post-renderer {program:?} produced empty output")));
    }
    Ok(text)
}
