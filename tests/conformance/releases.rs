//! Releases that stock `helm` and `roadstead helm` write by turns: both read the same records, and bring the same
//! objects. On the embedded server, and on a real one.
//!
//! `CONFORMANCE_PEERS` names the folder with the programs, see `cargo xtask peers`.

use std::{
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
};

use clap::Parser;
use conformance::{
    cluster::{Call, Cluster},
    peer,
    served::Served,
};
use installer::Verb;
use serde_json::{Value, json};

#[derive(Parser)]
struct Line {
    #[command(subcommand)]
    verb: Verb,
}

struct Both {
    stock: PathBuf,
    kubeconfig: PathBuf,
    space: String,
    cluster: Cluster,
}

impl Both {
    /// Runs the stock program.
    async fn stock(&self, line: &str) -> String {
        let mut command = Command::new(&self.stock);
        command.args(line.split_whitespace()).args(["--namespace", &self.space]);
        command.env("KUBECONFIG", &self.kubeconfig);
        let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "helm {line}: {error}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Runs ours.
    async fn ours(&self, line: &str) -> String {
        let place = ["--namespace", &self.space, "--kubeconfig", self.kubeconfig.to_str().unwrap()];
        let verb = Line::try_parse_from(["helm"].into_iter().chain(line.split_whitespace()).chain(place)).unwrap().verb;
        let told = Arc::new(|_: &str| {});
        match installer::run(verb, None, told).await {
            Ok(text) => text,
            Err(error) => panic!("{line}: {}", base::fault::Chain(&error)),
        }
    }

    /// What both say of a release's history, without times.
    async fn histories(&self, name: &str) {
        let line = format!("history {name} -o json");
        let read = |text: &str| -> Vec<Value> {
            let rows: Vec<Value> = serde_json::from_str(text).unwrap();
            let keys = ["revision", "status", "chart", "app_version", "description"];
            rows.iter().map(|row| keys.iter().map(|key| (*key, row[key].clone())).collect::<Value>()).collect()
        };
        assert_eq!(read(&self.ours(&line).await), read(&self.stock(&line).await));
    }

    async fn same(&self, line: &str) -> String {
        let (ours, stock) = (self.ours(line).await, self.stock(line).await);
        assert_eq!(ours.trim(), stock.trim(), "{line}");
        ours
    }

    /// All that a release made, without what differs from one release to the next.
    async fn objects(&self, name: &str) -> Value {
        let space = &self.space;
        let mut all = serde_json::Map::new();
        for url in [
            format!("/api/v1/namespaces/{space}/configmaps/{name}"),
            format!("/api/v1/namespaces/{space}/services/{name}"),
            format!("/apis/apps/v1/namespaces/{space}/deployments/{name}"),
        ] {
            let answer = self.cluster.send(&Call::get(url.clone())).await.unwrap();
            let mut object = answer.body;
            for key in ["uid", "resourceVersion", "creationTimestamp", "managedFields", "name"] {
                object["metadata"].as_object_mut().unwrap().remove(key);
            }
            for key in ["clusterIP", "clusterIPs"] {
                if let Some(spec) = object["spec"].as_object_mut() {
                    spec.remove(key);
                }
            }
            let text = object.to_string().replace(name, "NAME");
            all.insert(url.replace(name, "NAME"), serde_json::from_str(&text).unwrap());
        }
        Value::Object(all)
    }
}

const DEPLOYMENT: &str = "apiVersion: apps/v1
kind: Deployment
metadata: {name: '{{ .Release.Name }}', labels: {tier: '{{ .Values.text }}'}}
spec:
  {{- with .Values.replicas }}
  replicas: {{ . }}
  {{- end }}
  strategy: {type: '{{ .Values.strategy }}'}
  selector: {matchLabels: {app: '{{ .Release.Name }}'}}
  template:
    metadata: {labels: {app: '{{ .Release.Name }}'}}
    spec:
      containers:
      - name: web
        image: registry.example/web:{{ .Values.text }}
        {{- if .Values.more }}
        args: [a, '{{ .Values.text }}']
        env: [{name: A, value: '1'}, {name: B, value: '{{ .Values.text }}'}]
        {{- else }}
        env: [{name: B, value: '2'}]
        ports: [{containerPort: 80}]
        {{- end }}
      {{- if .Values.more }}
      - name: more
        image: registry.example/more:1
      {{- end }}
";

fn chart(folder: &Path, name: &str) -> String {
    let chart = folder.join(name);
    std::fs::create_dir_all(chart.join("templates")).unwrap();
    std::fs::create_dir_all(chart.join("files")).unwrap();
    let service = "apiVersion: v1\nkind: Service\nmetadata: {name: '{{ .Release.Name }}'}\nspec:\n  selector: {app: '{{ .Release.Name }}'}\n  ports:\n  - {name: web, port: 80}\n  {{- if .Values.more }}\n  - {name: more, port: 81}\n  {{- end }}\n";
    let map = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: '{{ .Release.Name }}'}\ndata:\n  text: {{ .Values.text | quote }}\n  {{- if .Values.more }}\n  more: 'yes'\n  {{- end }}\n";
    let files = [
        ("Chart.yaml", format!("apiVersion: v2\nname: {name}\nversion: 0.1.0\nappVersion: 7\nkeywords: [a]\nmaintainers: [{{name: m}}]\nannotations: {{k: v}}\n")),
        ("values.yaml", "text: first\nmore: false\nstrategy: RollingUpdate\nnumber: 3\nratio: 0.5\nlist: [1, x, null]\n".to_owned()),
        ("values.schema.json", json!({"properties": {"text": {"type": "string"}}}).to_string()),
        ("files/a.txt", "some text\n".to_owned()),
        ("templates/deployment.yaml", DEPLOYMENT.to_owned()),
        ("templates/service.yaml", service.to_owned()),
        ("templates/map.yaml", map.to_owned()),
        ("templates/hook.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: '{{ .Release.Name }}-hook'\n  annotations: {helm.sh/hook: 'pre-upgrade,post-install', helm.sh/hook-weight: '-3', helm.sh/hook-delete-policy: 'before-hook-creation,hook-succeeded'}\n".to_owned()),
        ("templates/NOTES.txt", "{{ .Release.Name }} says {{ .Values.text }}, revision {{ .Release.Revision }}.\n".to_owned()),
    ];
    for (path, text) in files {
        std::fs::write(chart.join(path), text).unwrap();
    }
    chart.display().to_string()
}

/// One session on one cluster.
async fn session(both: &Both) {
    let folder = tempfile::tempdir().unwrap();
    let id = both.space.rsplit('-').next().unwrap().to_owned();
    let chart = chart(folder.path(), &format!("chart-{id}"));
    let namespace = json!({"metadata": {"name": both.space}});
    assert!(both.cluster.send(&Call::post("/api/v1/namespaces", namespace)).await.unwrap().code < 300);

    // One release that the stock program begins, one that ours does; every step by turns.
    let (a, b) = (format!("a-{id}"), format!("b-{id}"));
    both.stock(&format!("install {a} {chart} --set text=one,number=12 --labels team={id}")).await;
    both.ours(&format!("install {b} {chart} --set text=one,number=12 --labels team={id}")).await;
    assert_eq!(both.objects(&a).await, both.objects(&b).await, "after the install");
    for name in [&a, &b] {
        both.histories(name).await;
        for part in ["values", "manifest", "notes", "hooks"] {
            both.same(&format!("get {part} {name}")).await;
        }
        both.same(&format!("get values {name} --all -o json")).await;
    }

    let change = "--set text=two,more=true,strategy=Recreate,replicas=4";
    both.ours(&format!("upgrade {a} {chart} {change}")).await;
    both.stock(&format!("upgrade {b} {chart} {change}")).await;
    assert_eq!(both.objects(&a).await, both.objects(&b).await, "after the upgrade");

    both.stock(&format!("upgrade {a} {chart} --reuse-values --set text=three,more=false")).await;
    both.ours(&format!("upgrade {b} {chart} --reuse-values --set text=three,more=false")).await;
    assert_eq!(both.objects(&a).await, both.objects(&b).await, "after values were reused");
    for name in [&a, &b] {
        both.histories(name).await;
        both.same(&format!("get values {name} -o json")).await;
        both.same(&format!("get manifest {name} --revision 2")).await;
    }

    both.stock(&format!("rollback {a} 1")).await;
    both.ours(&format!("rollback {b} 1")).await;
    assert_eq!(both.objects(&a).await, both.objects(&b).await, "after the rollback");
    both.ours(&format!("rollback {a}")).await;
    both.stock(&format!("rollback {b}")).await;
    assert_eq!(both.objects(&a).await, both.objects(&b).await, "after the second rollback");
    for name in [&a, &b] {
        both.histories(name).await;
    }
    let names = |text: &str| -> Vec<Value> {
        let rows: Vec<Value> = serde_json::from_str(text).unwrap();
        let keys = ["name", "namespace", "revision", "status", "chart", "app_version"];
        rows.iter().map(|row| keys.iter().map(|key| (*key, row[key].clone())).collect::<Value>()).collect()
    };
    assert_eq!(names(&both.ours("list -o json").await), names(&both.stock("list -o json").await));

    both.stock(&format!("uninstall {b} --keep-history")).await;
    assert_eq!(both.ours("list --uninstalled -q").await.trim(), b);
    both.ours(&format!("uninstall {a}")).await;
    both.ours(&format!("uninstall {b}")).await;
    assert_eq!(both.stock("list --all --short").await, "");
    assert_eq!(both.objects(&a).await, both.objects(&b).await, "both are gone");
}

async fn on(kubeconfig: PathBuf) {
    let stock = PathBuf::from(std::env::var("CONFORMANCE_PEERS").unwrap()).join("helm");
    let space = format!("releases-{}", &uuid::Uuid::new_v4().simple().to_string()[..8]);
    let cluster = Cluster::of_kubeconfig(kubeconfig.to_str().unwrap()).await.unwrap();
    session(&Both { stock, kubeconfig, space, cluster }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn helm_and_ours_share_releases_on_the_embedded_server() {
    if std::env::var_os("CONFORMANCE_PEERS").is_none() {
        return;
    }
    let served = Served::start().await.unwrap();
    on(served.kubeconfig()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn helm_and_ours_share_releases_on_a_real_server() {
    let Some(kubeconfig) = peer::shared_kubeconfig().await.unwrap() else { return };
    on(kubeconfig).await;
}
