//! The same charts through stock Helm and through this crate: the output must be equal byte for byte.
//!
//! Each run draws its own names, so that nothing can be answered by heart.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use helm::{Files, Options, Set};

fn stock_helm() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../..");
    let path = base::settings::env("HELM").map_or_else(|| root.join("target/peers/helm"), PathBuf::from);
    assert!(path.exists(), "{} is missing: build it with `cargo xtask peers`, or name one in HELM", path.display());
    path
}

fn word() -> String {
    format!("w{}", &uuid::Uuid::new_v4().simple().to_string()[..8])
}

struct Peer {
    folder: tempfile::TempDir,
    files: Files,
    options: Options,
}

impl Peer {
    fn new(files: Files) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for (path, bytes) in &files {
            let path = folder.path().join("chart").join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
        }
        Peer { folder, files, options: Options::new(word(), word()) }
    }

    /// Returns Helm's output or error text.
    fn stock(&self) -> Result<String, String> {
        let mut command = Command::new(stock_helm());
        command
            .arg("template")
            .arg(&self.options.name)
            .arg(self.folder.path().join("chart"))
            .args(["--namespace", &self.options.namespace, "--kube-version", &self.options.kube_version])
            .env("HOME", self.folder.path());
        for (index, values) in self.options.values.iter().enumerate() {
            let path = self.folder.path().join(format!("values-{index}.yaml"));
            fs::write(&path, values).unwrap();
            command.arg("--values").arg(path);
        }
        for set in &self.options.set {
            match set {
                Set::Typed(text) => command.args(["--set", text]),
                Set::Text(text) => command.args(["--set-string", text]),
                Set::Json(text) => command.args(["--set-json", text]),
                Set::Literal(text) => command.args(["--set-literal", text]),
                Set::File { text, .. } => command.args(["--set-file", text]),
            };
        }
        let output = command.output().unwrap();
        if output.status.success() {
            return Ok(String::from_utf8(output.stdout).unwrap());
        }
        let text = String::from_utf8(output.stderr).unwrap();
        let error = text.lines().skip_while(|line| !line.starts_with("Error: ")).collect::<Vec<_>>().join("\n");
        let error = error.strip_prefix("Error: ").unwrap_or(&error).to_owned();
        Err(error.split("\n\nUse --debug").next().unwrap_or_default().to_owned())
    }

    fn ours(&self) -> Result<String, String> {
        helm::render(&self.files, &self.options).map(|rendered| rendered.text()).map_err(|error| error.to_string())
    }
}

fn assert_same(what: &str, ours: &str, stock: &str) {
    if ours == stock {
        return;
    }
    for (index, (a, b)) in ours.lines().zip(stock.lines()).enumerate() {
        assert_eq!(a, b, "{what}: line {} differs (left: ours, right: helm)", index + 1);
    }
    panic!("{what}: lengths differ\n--- ours\n{ours}\n--- helm\n{stock}");
}

fn golden() -> Files {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../content/charts/microservice");
    let mut files = Files::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                files.insert(path.strip_prefix(&root).unwrap().display().to_string(), fs::read(&path).unwrap());
            }
        }
    }
    files
}

#[test]
fn the_golden_chart_renders_as_helm_renders_it() {
    let name = word();
    let sets: [&[&str]; 9] = [
        &[],
        &["istio.enabled=true,istio.timeout=3s,istio.retries.attempts=2", "istio.destinationRule.enabled=true"],
        &[
            "monitoring.serviceMonitor.enabled=true,podDisruptionBudget.enabled=true",
            "networkPolicy.ingress.namespaces={a,b,a}",
        ],
        &["secrets.externalSecret.enabled=true,secrets.externalSecret.key=k,secrets.externalSecret.store.name=s"],
        &[
            "networkPolicy.enabled=false,tests.enabled=false,topologySpread.enabled=false,strategy.type=Recreate",
            "preStopSeconds=0",
        ],
        &["gateway.enabled=true", "istio.enabled=false", "gateway.hostnames={a.example,b.example}"],
        &["secrets.jwt.secret=x,secrets.database.password=12", "autoscaling.enabled=true", "ingress.enabled=true"],
        &["serviceAccount.create=false,healthcheck.enabled=false,monitoring.enabled=false", "nodeSelector.disk=ssd"],
        &["extraEnv[0].name=A,extraEnv[0].value=b", "podAnnotations.x=y", "replicaCount=3", "image.tag=null"],
    ];
    for set in sets {
        let mut peer = Peer::new(golden());
        peer.options.values.push(format!("fullnameOverride: {name}\ncommonLabels:\n  team: {name}\n"));
        peer.options.set = set.iter().map(|text| Set::Typed((*text).to_owned())).collect();
        assert_same(&set.join(" "), &peer.ours().unwrap(), &peer.stock().unwrap());
    }
}

#[test]
fn each_environment_of_the_golden_chart_renders_as_helm_renders_it() {
    for environment in ["dev", "staging", "prod"] {
        let mut peer = Peer::new(golden());
        let values = peer.files[&format!("values-{environment}.yaml")].clone();
        peer.options.values.push(String::from_utf8(values).unwrap());
        assert_same(environment, &peer.ours().unwrap(), &peer.stock().unwrap());
    }
}

#[test]
fn what_the_golden_chart_refuses_both_refuse_with_the_same_words() {
    for set in [
        "image.tag=latest",
        "secrets.database.password=password",
        "secrets.jwt.secret=jwt-secret",
        "autoscaling.enabled=true,autoscaling.minReplicas=9,autoscaling.maxReplicas=8",
        "secrets.externalSecret.enabled=true",
    ] {
        let mut peer = Peer::new(golden());
        peer.options.set = vec![Set::Typed(set.to_owned())];
        assert_same(set, &peer.ours().unwrap_err(), &peer.stock().unwrap_err());
    }
}

#[test]
fn the_values_of_a_new_service_render_as_helm_renders_them() {
    let template = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../content/templates/microservice/values.yaml");
    let mut values = fs::read_to_string(template).unwrap();
    for place in ["{{name}}", "{{environment}}", "{{host}}", "{{image.repository}}", "{{image.tag}}"] {
        values = values.replace(place, &word());
    }
    let mut peer = Peer::new(golden());
    peer.options.values.push(values);
    let ours = peer.ours().unwrap();
    assert_same("a new service", &ours, &peer.stock().unwrap());
    assert!(
        ours.contains("kind: HTTPRoute") && !ours.contains("kind: VirtualService") && !ours.contains("kind: Secret")
    );
}

#[test]
fn values_that_break_the_schema_are_refused_by_both() {
    for set in ["replicaCount=-1", "service.port=x", "image.pullPolicy=Sometimes"] {
        let mut peer = Peer::new(golden());
        peer.options.set = vec![Set::Typed(set.to_owned())];
        let (ours, stock) = (peer.ours().unwrap_err(), peer.stock().unwrap_err());
        let first = |text: &str| text.lines().next().unwrap_or_default().to_owned();
        assert_eq!(first(&ours), first(&stock), "{set}: {ours} / {stock}");
    }
}

#[test]
fn values_come_together_as_in_helm() {
    let dump = "kind: Dump\nvalues:\n{{ toYaml .Values | indent 2 }}\n";
    let (parent, child) = (word(), word());
    let file = |text: &str| text.as_bytes().to_vec();
    let mut files = Files::new();
    files.insert("Chart.yaml".into(), file(&format!(
        "apiVersion: v2\nname: {parent}\nversion: 0.1.0\ndependencies:\n- name: {child}\n  version: 0.2.x\n  condition: flags.child\n- name: {child}\n  alias: other\n  version: \">=0.1\"\n  tags: [extra]\n  import-values: [shared]\n"
    )));
    files.insert("values.yaml".into(), file(&format!(
        "a: {{b: 1, c: 2}}\nlist: [1, 2]\ngone: x\nglobal: {{g: 1}}\n{child}: {{x: from-parent, deep: {{n: null}}}}\nflags: {{child: true}}\n"
    )));
    files.insert("templates/dump.yaml".into(), file(dump));
    let inner = format!("charts/{child}/");
    files.insert(format!("{inner}Chart.yaml"), file(&format!("apiVersion: v2\nname: {child}\nversion: 0.2.3\n")));
    files.insert(
        format!("{inner}values.yaml"),
        file("x: own\ny: own\ndeep: {n: 1, m: 2}\nglobal: {h: 2}\nexports: {shared: {s: 1}}\n"),
    );
    files.insert(format!("{inner}templates/dump.yaml"), file("kind: Dump\nname: {{ .Chart.Name }} {{ .Template.Name }} {{ .Template.BasePath }}\nvalues:\n{{ toYaml .Values | indent 2 }}\n"));
    let overrides = [
        vec![],
        vec!["gone: null\na: {b: null, d: 4}\n".to_owned()],
        vec![
            format!("{child}: {{x: null, y: 2}}\ntags: {{extra: false}}\n"),
            "a: {c: 5}\nglobal: {g: 9, k: {l: 1}}\n".to_owned(),
        ],
        vec!["flags: {child: false}\nother: {y: over}\n".to_owned()],
    ];
    let sets = ["", "a.b=7,list[1]=x", "a.b=null", "q={1,two,true},w.e.r=0012", "n=null,t=true,z=1.5,esc=a\\,b"];
    for values in &overrides {
        for set in sets {
            let mut peer = Peer::new(files.clone());
            peer.options.values.clone_from(values);
            if !set.is_empty() {
                peer.options.set = vec![Set::Typed(set.to_owned()), Set::Text("text=12".to_owned())];
            }
            let (ours, stock) = (peer.ours(), peer.stock());
            assert_same(&format!("{values:?} {set}"), &ours.unwrap(), &stock.unwrap());
        }
    }
}
