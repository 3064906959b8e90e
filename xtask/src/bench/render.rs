//! Renders beside stock Helm and Kustomize: whole processes, one after the other in the same run.

use std::{
    fmt::Write as _,
    fs,
    path::Path,
    process::{Command, Stdio},
    time::Instant,
};

use anyhow::{Context, bail};

use crate::run::step;

/// How often each program runs; the median is printed.
const RUNS: usize = 15;

struct Work {
    title: &'static str,
    /// How often both run.
    runs: usize,
    /// Command lines that are run one after the other.
    ours: Vec<Vec<String>>,
    stock: Vec<Vec<String>>,
}

/// What one program takes: the median of seconds, and the most memory in MB.
struct Cost {
    seconds: f64,
    memory: f64,
}

/// Measures and prints; fails if both programs do not print the same.
pub(crate) fn run() -> anyhow::Result<()> {
    crate::peers::tools()?;
    step("build for figures", "cargo", &["build", "--release", "--package", "roadstead"])?;
    let folder = std::env::temp_dir().join(format!("roadstead-bench-{}", std::process::id()));
    let measured = in_folder(&folder);
    fs::remove_dir_all(&folder).with_context(|| format!("failed to remove {}", folder.display()))?;
    measured
}

fn in_folder(folder: &Path) -> anyhow::Result<()> {
    chart(&folder.join("large"))?;
    overlays(&folder.join("overlays"))?;
    let here = std::env::current_dir()?;
    let at = |path: &Path| path.display().to_string();
    let peer = |name: &str| at(&here.join("target/peers").join(name));
    let ours = |words: &[&str]| -> Vec<String> {
        std::iter::once(at(&here.join("target/release/roadstead")))
            .chain(words.iter().map(|w| (*w).to_owned()))
            .collect()
    };
    let stock = |name: &str, words: &[&str]| -> Vec<String> {
        std::iter::once(peer(name)).chain(words.iter().map(|word| (*word).to_owned())).collect()
    };
    let (large, golden) = (at(&folder.join("large")), at(&here.join("content/charts/microservice")));
    let tops: Vec<String> = (0..100).map(|index| at(&folder.join(format!("overlays/o{index}")))).collect();
    let version = ["--kube-version", "v1.36.0"];
    let work = [
        Work {
            title: "chart with 20 subcharts and 2,000 objects",
            runs: RUNS,
            ours: vec![ours(&["render", "helm", "r", &large])],
            stock: vec![stock("helm", &[&["template", "r", &large][..], &version].concat())],
        },
        Work {
            title: "golden chart",
            runs: RUNS,
            ours: vec![ours(&["render", "helm", "r", &golden])],
            stock: vec![stock("helm", &[&["template", "r", &golden][..], &version].concat())],
        },
        Work {
            title: "100 overlays over one base of 200 objects",
            runs: 3,
            ours: tops.iter().map(|top| ours(&["render", "kustomize", top])).collect(),
            stock: tops.iter().map(|top| stock("kustomize", &["build", top])).collect(),
        },
    ];
    println!(
        "\n| work, whole process | ours | original | ratio | memory ours | original | ratio |\n|---|---|---|---|---|---|---|"
    );
    for work in &work {
        let (mine, theirs) = (output(&work.ours[0])?, output(&work.stock[0])?);
        if mine != theirs {
            bail!("{}: both programs print something else", work.title);
        }
        let (mut mine, mut theirs) = (Vec::new(), Vec::new());
        // One after the other, so that a busy machine is busy for both.
        for _ in 0..work.runs {
            mine.push(all(&work.ours)?);
            theirs.push(all(&work.stock)?);
        }
        let (mine, theirs) = (median(&mut mine), median(&mut theirs));
        println!(
            "| {} | {:.1} ms | {:.1} ms | {:.1} x | {:.0} MB | {:.0} MB | 1/{:.1} |",
            work.title,
            mine.seconds * 1e3,
            theirs.seconds * 1e3,
            theirs.seconds / mine.seconds,
            mine.memory,
            theirs.memory,
            theirs.memory / mine.memory
        );
    }
    Ok(())
}

fn output(line: &[String]) -> anyhow::Result<Vec<u8>> {
    let output =
        Command::new(&line[0]).args(&line[1..]).output().with_context(|| format!("failed to run {}", line[0]))?;
    if !output.status.success() {
        bail!("{} failed: {}", line.join(" "), String::from_utf8_lossy(&output.stderr));
    }
    Ok(output.stdout)
}

/// Runs command lines one after the other: the sum of seconds, the most memory.
fn all(lines: &[Vec<String>]) -> anyhow::Result<Cost> {
    let mut whole = Cost { seconds: 0.0, memory: 0.0 };
    for line in lines {
        let cost = once(line)?;
        whole = Cost { seconds: whole.seconds + cost.seconds, memory: whole.memory.max(cost.memory) };
    }
    Ok(whole)
}

fn once(line: &[String]) -> anyhow::Result<Cost> {
    let begun = Instant::now();
    let mut child = Command::new(&line[0]).args(&line[1..]).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
    let status = format!("/proc/{}/status", child.id());
    let mut memory = 0.0_f64;
    // The system keeps the largest size that a process had for as long as it lives.
    while child.try_wait()?.is_none() {
        let text = fs::read_to_string(&status).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kilobytes = line.and_then(|line| line.trim().split(' ').next()?.parse::<f64>().ok());
        memory = memory.max(kilobytes.unwrap_or(0.0) / 1e3);
    }
    Ok(Cost { seconds: begun.elapsed().as_secs_f64(), memory })
}

fn median(costs: &mut [Cost]) -> Cost {
    costs.sort_by(|a, b| a.seconds.total_cmp(&b.seconds));
    let memory = costs.iter().fold(0.0, |most, cost| cost.memory.max(most));
    Cost { seconds: costs[costs.len() / 2].seconds, memory }
}

fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    fs::create_dir_all(path.parent().context("a file stands in a folder")?)?;
    fs::write(path, text).with_context(|| format!("failed to write {}", path.display()))
}

/// 20 subcharts with 10 templates of 10 objects each.
fn chart(folder: &Path) -> anyhow::Result<()> {
    write(&folder.join("Chart.yaml"), "apiVersion: v2\nname: large\nversion: 1.0.0\n")?;
    write(&folder.join("values.yaml"), "global: {team: t, labels: {a: b, c: d}}\n")?;
    let template = "{{- range $i := until 10 }}
---
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ include \"name\" $ }}-{{ $i }}
  labels: {{- include \"labels\" $ | nindent 4 }}
spec:
  replicas: {{ $.Values.replicas | default 2 }}
  template:
    metadata:
      labels: {{- include \"labels\" $ | nindent 8 }}
    spec:
      containers:
      - name: main
        image: {{ printf \"%s:%s\" $.Values.image.repository ($.Values.image.tag | default $.Chart.AppVersion) | quote }}
        {{- with $.Values.resources }}
        resources: {{- toYaml . | nindent 10 }}
        {{- end }}
        env:
        {{- range $name, $value := $.Values.env }}
        - name: {{ $name | upper }}
          value: {{ $value | quote }}
        {{- end }}
{{- end }}
";
    for index in 0..20 {
        let child = folder.join(format!("charts/sub{index}"));
        write(
            &child.join("Chart.yaml"),
            &format!("apiVersion: v2\nname: sub{index}\nversion: 1.0.0\nappVersion: \"2.{index}\"\n"),
        )?;
        write(
            &child.join("values.yaml"),
            "image: {repository: registry.example/app}\nresources: {requests: {cpu: 100m, memory: 64Mi}, limits: {memory: 128Mi}}\nenv: {one: 1, two: two, three: \"3\", four: true}\n",
        )?;
        write(
            &child.join("templates/_helpers.tpl"),
            "{{- define \"name\" }}{{ printf \"%s-%s\" .Release.Name .Chart.Name | trunc 63 | trimSuffix \"-\" }}{{ end }}\n{{- define \"labels\" }}app: {{ include \"name\" . }}\nteam: {{ .Values.global.team }}\n{{ toYaml .Values.global.labels }}{{ end }}\n",
        )?;
        for file in 0..10 {
            write(&child.join(format!("templates/d{file}.yaml")), template)?;
        }
    }
    Ok(())
}

/// A base of 200 objects, and 100 overlays of it.
fn overlays(folder: &Path) -> anyhow::Result<()> {
    let mut base = String::new();
    for index in 0..100 {
        let _infallible = write!(
            base,
            "---\napiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: d{index}, labels: {{app: d{index}}}}}\nspec:\n  replicas: 1\n  selector: {{matchLabels: {{app: d{index}}}}}\n  template:\n    metadata: {{labels: {{app: d{index}}}}}\n    spec:\n      containers:\n      - name: main\n        image: app:1\n        envFrom: [{{configMapRef: {{name: c{index}}}}}]\n---\napiVersion: v1\nkind: ConfigMap\nmetadata: {{name: c{index}}}\ndata: {{a: b, n: \"{index}\"}}\n"
        );
    }
    write(&folder.join("base/all.yaml"), &base)?;
    write(&folder.join("base/kustomization.yaml"), "resources: [all.yaml]\n")?;
    for index in 0..100 {
        write(
            &folder.join(format!("o{index}/kustomization.yaml")),
            &format!(
                "resources: [../base]\nnamePrefix: o{index}-\nnamespace: n{index}\nlabels:\n- pairs: {{overlay: o{index}}}\nimages:\n- name: app\n  newTag: \"{index}\"\nreplicas:\n- name: d1\n  count: {index}\npatches:\n- target: {{kind: Deployment}}\n  patch: |-\n    - op: add\n      path: /metadata/annotations\n      value: {{by: o{index}}}\n"
            ),
        )?;
    }
    Ok(())
}
