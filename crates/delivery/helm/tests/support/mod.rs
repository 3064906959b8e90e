//! What the suites share: charts as text, and stock Helm behind one pipe.

#![allow(dead_code, reason = "each suite uses its part")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::{
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use helm::{Files, Options, Set};
use serde_json::{Value, json};

/// Returns a path below the workspace.
pub(crate) fn workspace(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../..").join(path)
}

/// Stock Helm's engine, asked many times.
pub(crate) struct Oracle {
    process: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

/// What a render gave: text and notes, or an error.
pub(crate) type Outcome = Result<(String, String), String>;

impl Oracle {
    /// Starts the program that `cargo xtask peers` builds.
    pub(crate) fn start() -> Self {
        let path = workspace("target/peers/helm-oracle");
        assert!(path.exists(), "{} is missing: build it with `cargo xtask peers render`", path.display());
        let mut process = Command::new(path).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (input, output) = (process.stdin.take().unwrap(), BufReader::new(process.stdout.take().unwrap()));
        Self { process, input, output }
    }

    /// Renders a chart as `helm template` does.
    pub(crate) fn render(&mut self, files: &Files, options: &Options) -> Outcome {
        let files: serde_json::Map<String, Value> =
            files.iter().map(|(path, bytes)| (path.clone(), json!(String::from_utf8_lossy(bytes)))).collect();
        let of = |wanted: fn(&Set) -> Option<&String>| options.set.iter().filter_map(wanted).collect::<Vec<_>>();
        let asked = json!({
            "files": files, "name": options.name, "namespace": options.namespace, "values": options.values,
            "set": of(|set| if let Set::Typed(text) = set { Some(text) } else { None }),
            "setString": of(|set| if let Set::Text(text) = set { Some(text) } else { None }),
            "setJson": of(|set| if let Set::Json(text) = set { Some(text) } else { None }),
            "setLiteral": of(|set| if let Set::Literal(text) = set { Some(text) } else { None }),
            "kubeVersion": options.kube_version, "apiVersions": options.api_versions,
            "includeCrds": options.include_crds, "isUpgrade": options.upgrade, "notes": true,
        });
        writeln!(self.input, "{asked}").unwrap();
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        let answer: Value = serde_json::from_str(&line).unwrap();
        let text = |field: &str| answer[field].as_str().unwrap().to_owned();
        if text("err").is_empty() { Ok((text("out"), text("notes"))) } else { Err(text("err")) }
    }
}

impl Drop for Oracle {
    fn drop(&mut self) {
        let _gone = self.process.kill();
        let _reaped = self.process.wait();
    }
}

/// Renders a chart with this crate.
pub(crate) fn ours(files: &Files, options: &Options) -> Outcome {
    let now = jiff::Timestamp::UNIX_EPOCH.to_zoned(jiff::tz::TimeZone::UTC);
    let options = Options { moment: Some((now, [7; 32])), ..options.clone() };
    helm::render(files, &options)
        .map(|rendered| (rendered.text(), rendered.notes.unwrap_or_default()))
        .map_err(|error| error.to_string())
}
