//! What stock `kubectl` prints of a session on the embedded server, text by text beside what it
//! prints of the same session on a real one. `CONFORMANCE_PEERS` names the folder with the programs.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use conformance::{peer, served::Served};

/// What is asked, one command a line: `{ns}` is a namespace, `{dir}` the folder with the manifests.
const SESSION: &str = "\
create namespace {ns}
get namespace {ns} -o jsonpath={.status.phase}
-n {ns} create serviceaccount builder
-n {ns} create serviceaccount builder
-n {ns} apply -f {dir}/all.yaml
-n {ns} apply -f {dir}/all.yaml
-n {ns} get all
-n {ns} get deployments,services,configmaps -o wide
-n {ns} get deployment web -o yaml
-n {ns} get configmap settings -o json
-n {ns} get deployments -o name
-n {ns} get deployments -o custom-columns=NAME:.metadata.name,WANTED:.spec.replicas
-n {ns} get deployment web --show-labels
-n {ns} get deployments -l app=web --no-headers
-n {ns} get configmaps --field-selector metadata.name=settings
-n {ns} get pods
-n {ns} get nothing
-n {ns} get configmap nothing
-n {ns} get nothing.example.com
-n {ns} describe deployment web
-n {ns} describe service web
-n {ns} describe configmap settings
-n {ns} describe secret token
-n {ns} describe role reader
-n {ns} describe rolebinding readers
-n {ns} describe resourcequota few
-n {ns} describe limitrange sizes
-n {ns} describe serviceaccount default
-n {ns} describe horizontalpodautoscaler web
-n {ns} describe poddisruptionbudget web
-n {ns} describe networkpolicy none
-n {ns} describe cronjob often
-n {ns} describe persistentvolumeclaim room
describe storageclass none
-n {ns} scale deployment web --replicas=3
-n {ns} scale deployment web --replicas=4 --current-replicas=9
-n {ns} set image deployment/web web=registry.example/web:2
-n {ns} label deployment web tier=front
-n {ns} label deployment web tier=back
-n {ns} label deployment web tier=back --overwrite
-n {ns} annotate deployment web note=x
-n {ns} patch deployment web -p {\"spec\":{\"replicas\":5}}
-n {ns} patch deployment web --type=json -p [{\"op\":\"test\",\"path\":\"/spec/replicas\",\"value\":9}]
-n {ns} patch deployment web --subresource=scale --type=merge -p {\"spec\":{\"replicas\":2}}
-n {ns} rollout status deployment web --watch=false
-n {ns} rollout history deployment web
-n {ns} rollout pause deployment web
-n {ns} rollout resume deployment web
-n {ns} diff -f {dir}/changed.yaml
-n {ns} apply --server-side -f {dir}/changed.yaml
-n {ns} apply --server-side --field-manager=other -f {dir}/other.yaml
-n {ns} apply --server-side --field-manager=other --force-conflicts -f {dir}/other.yaml
-n {ns} apply -f {dir}/unknown.yaml
-n {ns} apply --validate=warn -f {dir}/unknown.yaml
-n {ns} create -f {dir}/invalid.yaml
-n {ns} create --dry-run=server -f {dir}/dry.yaml -o yaml
-n {ns} create quota more --hard=pods=3
-n {ns} create role writer --verb=create --resource=pods
-n {ns} auth can-i create pods
-n {ns} auth can-i create pods --as=somebody
-n {ns} auth can-i --list --as=somebody
auth whoami
-n {ns} get pods --as=somebody
-n {ns} expose deployment web --port=81 --name=more
-n {ns} autoscale deployment web --min=1 --max=2 --cpu=50% --name=more
-n {ns} run one --image=registry.example/one:1 --restart=Never
-n {ns} get pod one
-n {ns} describe pod one
-n {ns} logs one
-n {ns} exec one -- true
-n {ns} events
-n {ns} wait --for=condition=Ready pod/one --timeout=1s
-n {ns} delete pod one --wait=false
-n {ns} delete configmap settings nothing
-n {ns} delete deployment web --cascade=orphan --wait=false
-n {ns} delete services --all
-n {ns} wait --for=delete service/web --timeout=5s
api-versions
api-resources --api-group=apps -o wide
api-resources --api-group=batch
api-resources --namespaced=false --api-group=rbac.authorization.k8s.io -o name
explain nothing
get --raw /readyz
get --raw /nothing
replace -f {dir}/invalid.yaml
-n {ns} replace -f {dir}/dry.yaml
certificate approve nothing
-n {ns} create token default --duration=1m
taint nodes nothing a=b:NoSchedule
drain nothing
delete namespace {ns} --wait=false
";

/// The manifests of the session: name and text.
const MANIFESTS: &[(&str, &str)] = &[
    ("all.yaml", include_str!("kubectl/all.yaml")),
    ("changed.yaml", include_str!("kubectl/changed.yaml")),
    ("other.yaml", include_str!("kubectl/other.yaml")),
    ("unknown.yaml", include_str!("kubectl/unknown.yaml")),
    ("invalid.yaml", include_str!("kubectl/invalid.yaml")),
    ("dry.yaml", include_str!("kubectl/dry.yaml")),
];

/// A session's commands with what each printed.
async fn session(kubectl: &Path, kubeconfig: &Path, folder: &Path, space: &str) -> Vec<(String, String)> {
    let (kubectl, kubeconfig) = (kubectl.to_owned(), kubeconfig.to_owned());
    let (folder, space) = (folder.to_owned(), space.to_owned());
    let run = move || {
        for (name, text) in MANIFESTS {
            std::fs::write(folder.join(name), text).unwrap();
        }
        let print = |line: &str| print(&kubectl, &kubeconfig, &folder, &space, line);
        let mut lines = SESSION.lines();
        let first = lines.next().map(|line| (line.to_owned(), print(line)));
        // Where no controllers run, nobody else makes it.
        print("-n {ns} create serviceaccount default");
        first.into_iter().chain(lines.map(|line| (line.to_owned(), print(line)))).collect()
    };
    tokio::task::spawn_blocking(run).await.unwrap()
}

fn print(kubectl: &Path, kubeconfig: &Path, folder: &Path, space: &str, line: &str) -> String {
    let words = line.split(' ').map(|word| word.replace("{ns}", space).replace("{dir}", folder.to_str().unwrap()));
    // A command that waits for what nobody here does is ended, and says so by its status.
    let output = Command::new("timeout")
        .arg("20")
        .arg(kubectl)
        .args(words)
        .arg("--cache-dir")
        .arg(folder.join("cache"))
        .env("KUBECONFIG", kubeconfig)
        .env("HOME", folder)
        // `diff` shows names of files, which are new each time.
        .env("KUBECTL_EXTERNAL_DIFF", "diff -u --label a --label b")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let all = format!("{}\n{}{}", output.status, text(&output.stdout), text(&output.stderr));
    masked(&all.replace(folder.to_str().unwrap(), "{dir}"))
}

/// A text without what differs between any two clusters: times, ages, identities, addresses, revisions, tokens.
fn masked(text: &str) -> String {
    let rules = [
        (r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", "(uid)"),
        (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", "(time)"),
        (r"(Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d\d \w{3} \d{4} \d\d:\d\d:\d\d [+-]\d{4}", "(time)"),
        (r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(\.\d+)? [^\s]+ [^\s]+", "(time)"),
        (r"https://127\.0\.0\.1:\d+", "(server)"),
        (r"\b10\.96\.\d+\.\d+\b *", "(address)"),
        (r#"(resourceVersion"?: )"\d+""#, "${1}(revision)"),
        (r"\b\d+(ms|s)\b *", "(age)"),
        (r"ey[\w-]+\.[\w-]+\.[\w-]+", "(token)"),
        (r"kube-api-access-\w{5}", "kube-api-access-(random)"),
        // Columns are as wide as what is masked in them.
        (r"(\S) {2,}", "$1  "),
        (r" +\n", "\n"),
    ];
    let mut text = text.to_owned();
    for (pattern, shown) in rules {
        text = regex::Regex::new(pattern).unwrap().replace_all(&text, shown).into_owned();
    }
    text
}

#[tokio::test(flavor = "multi_thread")]
async fn kubectl_prints_what_it_prints_of_a_real_server() {
    let Some(kubeconfig) = peer::shared_kubeconfig().await.unwrap() else { return };
    let kubectl = PathBuf::from(std::env::var("CONFORMANCE_PEERS").unwrap()).join("kubectl");
    let space = format!("kubectl-{}", &uuid::Uuid::new_v4().simple().to_string()[..8]);
    let served = Served::start().await.unwrap();
    let (mine, real) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let ours = session(&kubectl, &served.kubeconfig(), mine.path(), &space).await;
    let theirs = session(&kubectl, &kubeconfig, real.path(), &space).await;
    let mut lines = Vec::new();
    for ((command, own), (_, real)) in ours.iter().zip(&theirs) {
        if own != real {
            lines.push(format!("$ kubectl {command}\n--- ours\n{own}--- theirs\n{real}"));
        }
    }
    eprintln!("{} texts compared, {} differ", ours.len(), lines.len());
    assert!(lines.is_empty(), "{}", lines.join("\n"));
}
