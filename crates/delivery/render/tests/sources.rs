//! Charts from everywhere that they may come from, and the flags beside stock Helm's.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs,
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::Command,
    sync::{Arc, Mutex},
};

use clap::Parser;
use helm::{Files, archive};
use render::HelmArgs;
use sha2::{Digest as _, Sha256};

#[derive(Parser)]
struct Cli {
    #[command(flatten)]
    args: HelmArgs,
}

fn now() -> jiff::Zoned {
    jiff::Timestamp::UNIX_EPOCH.to_zoned(jiff::tz::TimeZone::UTC)
}

/// Renders as the command line says; gives what goes to standard output.
fn ours(line: &[&str]) -> Result<String, String> {
    let args = Cli::parse_from(std::iter::once("test").chain(line.iter().copied())).args;
    let (mut out, mut notes) = (Vec::new(), Vec::new());
    render::helm_run(&args, now(), &mut out, &mut notes).map_err(|error| error.to_string())?;
    Ok(String::from_utf8(out).unwrap() + &String::from_utf8(notes).unwrap())
}

fn word() -> String {
    format!("w{}", &uuid::Uuid::new_v4().simple().to_string()[..8])
}

fn chart(name: &str, version: &str) -> Files {
    let mut files = Files::new();
    let mut put = |path: &str, text: String| files.insert(path.to_owned(), text.into_bytes());
    put("Chart.yaml", format!("apiVersion: v2\nname: {name}\nversion: {version}\n"));
    put("values.yaml", "a: 1\nb: {c: d}\n".to_owned());
    put("templates/one.yaml", "kind: ConfigMap\nmetadata: {name: one}\ndata: {{ toJson .Values }}\n".to_owned());
    put("templates/two.yaml", "kind: Secret\nmetadata: {name: two}\nv: {{ .Chart.Version }}\n".to_owned());
    put("templates/deep/three.yaml", "kind: Service\nmetadata: {name: three}\nr: {{ .Release.Name }}\n".to_owned());
    put("templates/test.yaml", "kind: Pod\nmetadata:\n  name: t\n  annotations: {helm.sh/hook: test}\n".to_owned());
    put(
        "templates/hook.yaml",
        "kind: Job\nmetadata:\n  name: h\n  annotations: {helm.sh/hook: pre-install}\n".to_owned(),
    );
    put("crds/c.yaml", "kind: CustomResourceDefinition\n".to_owned());
    files
}

fn write(folder: &Path, files: &Files) {
    for (path, bytes) in files {
        let path = folder.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
}

/// Status, headers and body by path.
type Answers = BTreeMap<String, (u16, String, Vec<u8>)>;

/// Serves fixed answers by path until the test ends.
fn serve(answers: impl FnOnce(SocketAddr) -> Answers) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    serve_from(listener, Arc::new(Mutex::new(answers(address))));
    address
}

/// Serves answers that may change.
fn serve_from(listener: TcpListener, answers: Arc<Mutex<Answers>>) {
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut asked = Vec::new();
            let mut byte = [0];
            while !asked.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|count| count > 0) {
                asked.push(byte[0]);
            }
            let asked = String::from_utf8(asked).unwrap();
            let path = asked.split(' ').nth(1).unwrap_or_default().to_owned();
            let authorized = asked.to_lowercase().contains("authorization: bearer token-of-the-test");
            let key = if authorized { format!("{path} authorized") } else { path };
            let answer = answers.lock().unwrap().get(&key).cloned();
            let (code, headers, body) = answer.unwrap_or((404, String::new(), Vec::new()));
            let head =
                format!("HTTP/1.1 {code} X\r\nContent-Length: {}\r\nConnection: close\r\n{headers}\r\n", body.len());
            let _closed = stream.write_all(&[head.as_bytes(), &body].concat());
        }
    });
}

#[test]
fn a_packed_chart_renders_as_its_folder_does() {
    let folder = tempfile::tempdir().unwrap();
    let files = chart(&word(), "1.2.3");
    write(&folder.path().join("chart"), &files);
    let packed = folder.path().join("chart.tgz");
    fs::write(&packed, archive::pack("any", &files).unwrap()).unwrap();
    let of = |path: PathBuf| ours(&["release", path.to_str().unwrap()]).unwrap();
    assert_eq!(of(folder.path().join("chart")), of(packed));
    let missing = ours(&["release", "/nowhere/at/all"]).unwrap_err();
    assert!(missing.contains("no such folder or file"), "{missing}");
}

#[test]
fn a_repository_gives_the_newest_version_that_fits_and_its_digest_is_kept() {
    let name = word();
    let pack = |version: &str| archive::pack(&name, &chart(&name, version)).unwrap();
    let versions = ["1.0.0", "1.4.0", "2.0.0-rc1"];
    let mut index = format!("apiVersion: v1\nentries:\n  {name}:\n");
    for version in versions {
        let digest = hex::encode(Sha256::digest(pack(version)));
        let _ = write!(index, "  - version: {version}\n    digest: {digest}\n    urls: [files/{version}.tgz]\n");
    }
    index += "  - version: 0.1.0\n    digest: abcd\n    urls: [files/1.0.0.tgz]\n";
    let address = serve(|address| {
        let mut answers: Answers = versions
            .iter()
            .map(|version| (format!("/charts/files/{version}.tgz"), (200, String::new(), pack(version))))
            .collect();
        answers.insert("/charts/index.yaml".into(), (200, String::new(), index.into_bytes()));
        let location = format!("Location: http://{address}/charts/index.yaml\r\n");
        answers.insert("/moved/index.yaml".into(), (302, location, Vec::new()));
        answers
    });
    let repo = format!("http://{address}/charts/");
    let version = |extra: &[&str]| {
        ours(&[&["r", name.as_str(), "--repo", repo.as_str(), "-s", "templates/two.yaml"], extra].concat())
    };
    assert!(version(&[]).unwrap().contains("v: 1.4.0"));
    assert!(version(&["--version", "<1.2"]).unwrap().contains("v: 1.0.0"));
    assert!(version(&["--devel"]).unwrap().contains("v: 2.0.0-rc1"));
    assert!(version(&["--version", "9.x"]).unwrap_err().contains("and none is 9.x"));
    assert!(version(&["--version", "0.1.0"]).unwrap_err().contains("was changed on its way"));
    let moved = format!("http://{address}/moved");
    // Where an index is redirected to, its charts are not: they stand beside the address that was given.
    assert!(ours(&["r", &name, "--repo", &moved]).unwrap_err().contains("404"));
    assert!(ours(&["r", "other", "--repo", &repo]).unwrap_err().contains("no chart of that name"));
}

#[test]
fn a_registry_gives_a_chart_to_whoever_has_its_token() {
    let name = word();
    let packed = archive::pack(&name, &chart(&name, "3.1.0+build")).unwrap();
    let digest = format!("sha256:{}", hex::encode(Sha256::digest(&packed)));
    let manifest = serde_json::json!({"layers": [
        {"mediaType": "application/vnd.cncf.helm.chart.content.v1.tar+gzip", "digest": digest}
    ]});
    let base = format!("/v2/team/{name}");
    let address = serve(|address| {
        let json = |value: serde_json::Value| (200, String::new(), value.to_string().into_bytes());
        let mut answers = BTreeMap::new();
        let challenge = format!("Www-Authenticate: Bearer realm=\"http://{address}/token\",service=\"s\"\r\n");
        answers.insert(format!("{base}/tags/list"), (401, challenge, Vec::new()));
        let token = format!("/token?service=s&scope=repository:team/{name}:pull");
        answers.insert(token, json(serde_json::json!({"token": "token-of-the-test"})));
        let tags = serde_json::json!({"tags": ["1.0.0", "3.1.0_build", "4.0.0-beta"]});
        answers.insert(format!("{base}/tags/list authorized"), json(tags));
        answers.insert(format!("{base}/manifests/3.1.0_build authorized"), json(manifest));
        answers.insert(format!("{base}/blobs/{digest} authorized"), (200, String::new(), packed));
        answers
    });
    let reference = format!("oci://{address}/team/{name}");
    let text = ours(&["r", &reference, "--plain-http", "-s", "templates/two.yaml"]).unwrap();
    assert!(text.contains("v: 3.1.0+build"), "{text}");
    assert!(ours(&["r", &reference, "--plain-http", "--version", "7"]).unwrap_err().contains("none is 7"));
}

#[test]
fn missing_dependencies_are_fetched_when_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let (parent, child) = (word(), word());
    write(&folder.path().join("child"), &chart(&child, "0.5.0"));
    let mut files = chart(&parent, "1.0.0");
    let wanted = format!("dependencies:\n- name: {child}\n  version: 0.x\n  repository: file://../child\n");
    files.get_mut("Chart.yaml").unwrap().extend(wanted.into_bytes());
    write(&folder.path().join("parent"), &files);
    let path = folder.path().join("parent");
    let path = path.to_str().unwrap();
    assert!(ours(&["r", path]).unwrap_err().contains("missing in charts/ directory"));
    let text = ours(&["r", path, "--dependency-update"]).unwrap();
    assert!(text.contains(&format!("# Source: {parent}/charts/{child}/templates/one.yaml")), "{text}");
}

#[test]
fn a_lock_decides_the_versions_and_one_that_is_out_of_sync_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (parent, child) = (word(), word());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let repository = format!("http://{}", listener.local_addr().unwrap());
    let answers = Arc::new(Mutex::new(Answers::new()));
    let publish = |versions: &[&str]| {
        let mut index = format!("apiVersion: v1\nentries:\n  {child}:\n");
        let mut answers = answers.lock().unwrap();
        for version in versions {
            let _ = writeln!(index, "  - {{name: {child}, version: {version}, urls: [{version}.tgz]}}");
            let packed = archive::pack(&child, &chart(&child, version)).unwrap();
            answers.insert(format!("/{version}.tgz"), (200, String::new(), packed));
        }
        answers.insert("/index.yaml".to_owned(), (200, String::new(), index.into_bytes()));
    };
    publish(&["0.5.0"]);
    serve_from(listener, answers.clone());
    let mut files = chart(&parent, "1.0.0");
    // All that a lock's digest is made of, with signs that Go's JSON escapes.
    let wanted = format!(
        "dependencies:\n- name: {child}\n  version: \">=0.4.0 <1\"\n  repository: {repository}\n  alias: other\n  condition: a.b,c\n  tags: [t, \"u&v\"]\n  import-values: [data, {{child: x, parent: y}}]\n"
    );
    files.get_mut("Chart.yaml").unwrap().extend(wanted.into_bytes());
    let path = folder.path().join("parent");
    write(&path, &files);
    let line = ["dependency", "update", path.to_str().unwrap()];
    helm(&line, folder.path()).unwrap();
    fs::remove_dir_all(path.join("charts")).unwrap();

    publish(&["0.5.0", "0.6.0"]);
    let render = || ours(&["r", path.to_str().unwrap(), "--dependency-update"]);
    assert!(render().unwrap().contains("v: 0.5.0"));
    let lock = fs::read_to_string(path.join("Chart.lock")).unwrap();
    fs::write(path.join("Chart.lock"), lock.replace("0.5.0", "0.6.0")).unwrap();
    assert!(render().unwrap_err().contains("the lock file (Chart.lock) is out of sync"));
    fs::remove_file(path.join("Chart.lock")).unwrap();
    assert!(render().unwrap().contains("v: 0.6.0"));
}

fn stock(line: &[&str]) -> Result<String, String> {
    helm(&[&["template"], line].concat(), Path::new("/nonexistent"))
}

/// Runs stock Helm with a home of its own.
fn helm(line: &[&str], home: &Path) -> Result<String, String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../..");
    let path = base::settings::env("HELM").map_or_else(|| root.join("target/peers/helm"), PathBuf::from);
    assert!(path.exists(), "{} is missing: build it with `cargo xtask peers`, or name one in HELM", path.display());
    let output = Command::new(path).args(line).env("HOME", home).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    if output.status.success() { Ok(text(output.stdout)) } else { Err(text(output.stderr)) }
}

#[test]
fn flags_do_what_helms_do() {
    let folder = tempfile::tempdir().unwrap();
    write(&folder.path().join("chart"), &chart(&word(), "1.2.3"));
    let at = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    fs::write(at("v.yaml"), "a: 2\nb: {e: f}\n").unwrap();
    fs::write(at("w.yaml"), "b: {c: null}\n").unwrap();
    fs::write(at("text"), "from a file,\nwith a line\n").unwrap();
    let chart = at("chart");
    let set_file = format!("x.y={},z={{{}}}", at("text"), at("text"));
    let lines: Vec<Vec<&str>> = vec![
        vec![&chart],
        vec!["name", &chart, "--namespace", "elsewhere", "--include-crds"],
        vec!["name", &chart, "--no-hooks"],
        vec!["name", &chart, "--skip-tests"],
        vec!["name", &chart, "-s", "templates/two.yaml"],
        vec!["name", &chart, "-s", "templates/t*.yaml", "-s", "templates/deep/three.yaml"],
        vec!["name", &chart, "--show-only", "templates/nope.yaml"],
        vec!["name", &chart, "-f", "V", "-f", "W", "--set", "n=1,l={a,b}", "--set-string", "s=1"],
        vec!["name", &chart, "--set-file", &set_file, "--set-json", "j=[1]", "--set-literal", "lit=a,b"],
        vec!["name", &chart, "--name-template", "x"],
        vec![&chart, "--name-template", "{{ \"ABC\" | lower }}-x"],
        vec!["Bad_Name", &chart],
        vec!["name", &chart, "--kube-version", "1.20.3", "-a", "x/v1,y/v2", "--is-upgrade"],
        vec!["name", &chart, "--post-renderer", "cat"],
        vec!["name", &chart, "--post-renderer", "false"],
    ];
    let (v, w) = (at("v.yaml"), at("w.yaml"));
    for line in lines {
        let line: Vec<&str> = line
            .into_iter()
            .map(|word| match word {
                "V" => v.as_str(),
                "W" => w.as_str(),
                word => word,
            })
            .collect();
        match (ours(&line), stock(&line)) {
            (Ok(ours), Ok(stock)) => assert_eq!(ours, stock, "{line:?}"),
            (Err(_), Err(_)) => {}
            (ours, stock) => panic!("{line:?}\nours: {ours:?}\nhelm: {stock:?}"),
        }
    }
    let (mine, theirs) = (at("mine"), at("theirs"));
    ours(&["n", &chart, "--output-dir", &mine, "--release-name", "--include-crds"]).unwrap();
    stock(&["n", &chart, "--output-dir", &theirs, "--release-name", "--include-crds"]).unwrap();
    let same = Command::new("diff").args(["-r", &mine, &theirs]).output().unwrap();
    let difference = String::from_utf8(same.stdout).unwrap();
    // Helm forgets the release's name in the paths of definitions.
    assert!(difference.lines().all(|line| line.starts_with("Only in")), "{difference}");
}

#[test]
fn a_file_that_is_no_values_is_named_with_its_line() {
    let folder = tempfile::tempdir().unwrap();
    write(&folder.path().join("chart"), &chart(&word(), "1.2.3"));
    let chart = folder.path().join("chart");
    let values = folder.path().join("bad.yaml");
    let refused = |bytes: &[u8]| {
        fs::write(&values, bytes).unwrap();
        ours(&["r", chart.to_str().unwrap(), "-f", values.to_str().unwrap()]).unwrap_err()
    };
    assert!(refused(b"a: 1\nb: \xff\n").contains("bad.yaml: line 2, column 4: no UTF-8 text"));
    assert!(refused(b"a: 1\na: 2\n").contains("line 2, column 1: key \"a\" already set in map"));
    assert!(refused(b"- a\n").contains("not a map of values"));
    assert!(refused(b"a: [1\n").contains("bad.yaml: line"));
}

#[test]
fn the_same_seed_gives_the_same_secrets_and_another_gives_others() {
    let folder = tempfile::tempdir().unwrap();
    let mut files = chart(&word(), "1.0.0");
    files.insert("templates/s.yaml".into(), b"kind: X\ns: {{ randAlphaNum 20 }} {{ uuidv4 }}\n".to_vec());
    write(folder.path(), &files);
    let of = |seed: &[&str]| {
        ours(&[&["r", folder.path().to_str().unwrap(), "-s", "templates/s.yaml"], seed].concat()).unwrap()
    };
    assert_eq!(of(&["--seed", "one"]), of(&["--seed", "one"]));
    assert_ne!(of(&["--seed", "one"]), of(&["--seed", "two"]));
    assert_ne!(of(&[]), of(&[]));
}
