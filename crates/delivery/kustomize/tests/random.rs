//! Random kustomizations against the original, where it was built.
//!
//! `RANDOM_SECONDS` says for how long, `RANDOM_SEED` starts where another run stopped.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test stops where its world cannot be made"
)]

mod archive;

use std::fmt::Write as _;

use archive::{Case, Outcome, original};
use kustomize::Files;

/// A small generator of numbers (SplitMix64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, most: usize) -> usize {
        (self.next() % most as u64) as usize
    }

    fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    fn pick<'a>(&mut self, list: &[&'a str]) -> &'a str {
        list[self.below(list.len())]
    }
}

const NAMES: &[&str] = &["web", "db", "api", "web-1", "a1"];
const SPACES: &[&str] = &["", "", "default", "blue", "red"];
const KEYS: &[&str] = &["app", "tier", "team", "a.b/c", "x1", "x10", "x9"];
const VALUES: &[&str] = &[
    "web",
    "\"1\"",
    "\"true\"",
    "'a: b'",
    "$(V0)",
    "\"x-$(V1)-$$(V2)\"",
    "v1.2",
    "\"\"",
    "\"multi\\nline\\n\"",
    "\"y\"",
    "'#x'",
    "a-long-value",
    "\"some words that are many and long enough so that a line of eighty columns does not hold all of them\"",
];
const TYPED: &[&str] =
    &["1", "true", "null", "~", "1.5", "yes", "0x1F", "2001-01-01", "1e3", "off", "12:30", ".5", "-0"];

struct World {
    random: Random,
    files: Files,
    /// Kinds and names that are taken.
    taken: Vec<String>,
}

impl World {
    fn put(&mut self, path: &str, text: String) {
        self.files.insert(format!("w/{path}"), text.into_bytes());
    }

    fn value(&mut self) -> String {
        if self.random.chance(20) { self.random.pick(TYPED) } else { self.random.pick(VALUES) }.to_owned()
    }

    fn pairs(&mut self, most: usize) -> String {
        let mut keys: Vec<&str> = (0..=self.random.below(most)).map(|_| self.random.pick(KEYS)).collect();
        keys.sort_unstable();
        keys.dedup();
        let pairs: Vec<String> = keys.into_iter().map(|key| format!("{key}: {}", self.random.pick(VALUES))).collect();
        format!("{{{}}}", pairs.join(", "))
    }

    fn meta(&mut self, name: &str) -> String {
        let mut text = format!("metadata:\n  name: {name}\n");
        let space = self.random.pick(SPACES);
        if !space.is_empty() {
            let _ = writeln!(text, "  namespace: {space}");
        }
        for field in ["labels", "annotations"] {
            if self.random.chance(40) {
                let pairs = self.pairs(3);
                let _ = writeln!(text, "  {field}: {pairs}");
            }
        }
        text
    }

    fn containers(&mut self, pad: &str, full: bool) -> String {
        let mut text = format!("{pad}containers:\n");
        let mut names = vec!["main", "side", "log"];
        for _ in 0..=self.random.below(2) {
            let name = names.remove(self.random.below(names.len()));
            let image = self.random.pick(&[
                "nginx",
                "nginx:1.0",
                "reg.io/team/app:2",
                "reg.io:5000/app@sha256:abc",
                "busybox:1",
            ]);
            let _ = writeln!(text, "{pad}- name: {name}");
            if full || self.random.chance(50) {
                let _ = writeln!(text, "{pad}  image: {image}");
            }
            if self.random.chance(50) {
                let _ = writeln!(text, "{pad}  env:");
                for key in ["A", "B", "C"] {
                    if self.random.chance(50) {
                        let value = self.random.pick(VALUES);
                        let _ = writeln!(text, "{pad}  - {{name: {key}, value: {value}}}");
                    }
                }
                let from = self.random.pick(NAMES);
                let _ =
                    writeln!(text, "{pad}  - {{name: F, valueFrom: {{configMapKeyRef: {{name: {from}, key: k}}}}}}");
            }
            if self.random.chance(40) {
                let _ = writeln!(text, "{pad}  ports:");
                for port in ["80", "81"] {
                    let protocol = self.random.pick(&["", ", protocol: UDP", ", protocol: TCP", ", name: p"]);
                    let _ = writeln!(text, "{pad}  - {{containerPort: {port}{protocol}}}");
                }
            }
            if self.random.chance(30) {
                let from = self.random.pick(NAMES);
                let _ = writeln!(text, "{pad}  envFrom: [{{secretRef: {{name: {from}}}}}]");
            }
            if self.random.chance(30) {
                let value = self.value();
                let _ = writeln!(text, "{pad}  args: [a, {value}]");
            }
        }
        text
    }

    fn workload(&mut self, kind: &str, name: &str) -> String {
        let mut text = format!("apiVersion: apps/v1\nkind: {kind}\n{}", self.meta(name));
        text.push_str("spec:\n");
        if self.random.chance(50) {
            let _ = writeln!(text, "  replicas: {}", self.random.below(5));
        }
        if self.random.chance(50) {
            let pairs = self.pairs(2);
            let _ = writeln!(text, "  selector: {{matchLabels: {pairs}}}");
        }
        if self.random.chance(20) {
            let value = self.value();
            let _ = writeln!(text, "  extra: {value}");
        }
        text.push_str("  template:\n");
        if self.random.chance(60) {
            let pairs = self.pairs(2);
            let _ = writeln!(text, "    metadata: {{labels: {pairs}}}");
        }
        text.push_str("    spec:\n");
        text.push_str(&self.containers("      ", true));
        if self.random.chance(40) {
            let name = self.random.pick(NAMES);
            let _ = writeln!(text, "      serviceAccountName: {name}");
        }
        if self.random.chance(40) {
            let (a, b) = (self.random.pick(NAMES), self.random.pick(NAMES));
            let _ = writeln!(
                text,
                "      volumes: [{{name: a, configMap: {{name: {a}}}}}, {{name: b, secret: {{secretName: {b}}}}}]"
            );
        }
        text
    }

    fn resource(&mut self) -> String {
        let name = self.random.pick(NAMES);
        let other = self.random.pick(NAMES);
        match self.random.below(12) {
            0..=2 => self.workload("Deployment", name),
            3 => self.workload("StatefulSet", name),
            4 => {
                let (meta, pairs) = (self.meta(name), self.pairs(2));
                format!("apiVersion: v1\nkind: Service\n{meta}spec:\n  selector: {pairs}\n  ports: [{{port: 80}}]\n")
            }
            5 | 6 => {
                let (meta, value) = (self.meta(name), self.random.pick(VALUES));
                format!("apiVersion: v1\nkind: ConfigMap\n{meta}data: {{k: {value}}}\n")
            }
            7 => format!("apiVersion: v1\nkind: ServiceAccount\n{}", self.meta(name)),
            8 => {
                let (meta, kind) = (self.meta(name), self.random.pick(&["RoleBinding", "ClusterRoleBinding"]));
                let space = self.random.pick(&["default", "blue", "red"]);
                format!(
                    "apiVersion: rbac.authorization.k8s.io/v1\nkind: {kind}\n{meta}roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: Role, name: {other}}}\nsubjects:\n- {{kind: ServiceAccount, name: {other}, namespace: {space}}}\n- {{kind: ServiceAccount, name: default}}\n"
                )
            }
            9 => format!("apiVersion: rbac.authorization.k8s.io/v1\nkind: Role\n{}rules: []\n", self.meta(name)),
            10 => {
                let (meta, typed) = (self.meta(name), self.value());
                format!(
                    "apiVersion: example.com/v1\nkind: Thing\n{meta}spec:\n  value: {typed}\n  list: [1, {{a: b}}]\n  empty:\n"
                )
            }
            _ => {
                let meta = self.meta(name);
                format!(
                    "apiVersion: autoscaling/v2\nkind: HorizontalPodAutoscaler\n{meta}spec:\n  scaleTargetRef: {{apiVersion: apps/v1, kind: Deployment, name: {other}}}\n"
                )
            }
        }
    }

    /// A resource whose kind and name are not taken, most of the time.
    fn fresh(&mut self) -> String {
        for _ in 0..20 {
            let text = self.resource();
            let head: Vec<&str> =
                text.lines().filter(|line| line.starts_with("kind:") || line.starts_with("  name:")).collect();
            let head = head.join(" ");
            if !self.taken.contains(&head) {
                self.taken.push(head);
                return text;
            }
        }
        self.resource()
    }

    fn patch(&mut self) -> String {
        let kind = self.random.pick(&["Deployment", "StatefulSet", "Service", "ConfigMap", "Thing", ".*"]);
        let name = if self.random.chance(50) {
            format!(", name: \"{}\"", self.random.pick(&["web", "w.*", "a.*|db", "nope"]))
        } else {
            String::new()
        };
        let labels = if self.random.chance(15) { ", labelSelector: \"app=web\"" } else { "" };
        let mut text = format!("- target: {{kind: \"{kind}\"{name}{labels}}}\n");
        if self.random.chance(15) {
            text.push_str("  options: {allowNameChange: true}\n");
        }
        text.push_str("  patch: |\n");
        let mut body = String::new();
        if self.random.chance(40) {
            let (key, value) = (self.random.pick(KEYS).replace('/', "~1"), self.random.pick(VALUES));
            let op = self.random.pick(&["add", "replace"]);
            let place = self.random.pick(&[
                "annotations",
                "annotations",
                "annotations",
                "annotations",
                "annotations",
                "labels",
            ]);
            let _ = writeln!(body, "- {{op: {op}, path: /metadata/{place}/{key}, value: {value}}}");
            if self.random.chance(30) {
                let value = self.value();
                let _ = writeln!(body, "- {{op: add, path: /spec/added, value: [{value}, 1000000, {{z: {value}}}]}}");
            }
        } else {
            let _ = write!(body, "apiVersion: any\nkind: Any\n{}", self.meta("renamed"));
            if kind != "ConfigMap" {
                match self.random.below(4) {
                    0 => {
                        let value = self.value();
                        let _ = writeln!(body, "spec: {{replicas: {value}, value: {value}}}");
                    }
                    1 | 2 => {
                        let containers = self.containers("      ", false);
                        let _ = write!(body, "spec:\n  template:\n    spec:\n{containers}");
                        if self.random.chance(20) {
                            body.push_str("      - {name: side, $patch: delete}\n");
                        }
                    }
                    _ => {
                        let word = self.random.pick(&["delete", "replace", "merge"]);
                        let pairs = self.pairs(2);
                        let _ = writeln!(body, "spec:\n  selector:\n    $patch: {word}\n    matchLabels: {pairs}");
                    }
                }
            }
        }
        for line in body.lines() {
            let _ = writeln!(text, "    {line}");
        }
        text
    }

    fn generator(&mut self, behavior: &str) -> String {
        let name = self.random.pick(NAMES);
        let (a, b) = (self.random.pick(KEYS), self.random.pick(&["1", "two words", "'q'", "<&>", ""]));
        let mut text = format!("- name: {name}\n  literals: [\"k={b}\", \"{}=z\"]\n", a.replace('/', "."));
        if !behavior.is_empty() {
            let _ = writeln!(text, "  behavior: {behavior}");
        }
        if self.random.chance(30) {
            let space = self.random.pick(&["blue", "red", "default"]);
            let _ = writeln!(text, "  namespace: {space}");
        }
        if self.random.chance(30) {
            let (pairs, off) = (self.pairs(2), self.random.chance(50));
            let _ = writeln!(text, "  options: {{labels: {pairs}, disableNameSuffixHash: {off}}}");
        }
        text
    }

    fn replacement(&mut self) -> String {
        let kind = self.random.pick(&["Service", "ConfigMap", "Deployment"]);
        let field = self.random.pick(&[
            "metadata.name",
            "metadata.namespace",
            "data.k",
            "metadata.labels.app",
            "spec.ports.0.port",
        ]);
        let to = self.random.pick(&["Deployment", "Thing", "Service", "ConfigMap"]);
        let place = self.random.pick(&[
            "metadata.annotations.copied",
            "metadata.labels.app",
            "spec.template.metadata.labels.app",
            "spec.value",
            "spec.template.spec.containers.[name=main].image",
            "spec.template.spec.containers.*.env.[name=A].value",
        ]);
        let options =
            self.random.pick(&["", "    options: {create: true}\n", "    options: {delimiter: \"-\", index: 1}\n"]);
        let name = self.random.pick(NAMES);
        format!(
            "- source: {{kind: {kind}, name: {name}, fieldPath: {field}}}\n  targets:\n  - select: {{kind: {to}}}\n    fieldPaths: [\"{place}\"]\n{options}"
        )
    }

    /// Writes a component and returns its folder.
    fn component(&mut self) -> String {
        let name = format!("component{}", self.files.len());
        let mut text = "apiVersion: kustomize.config.k8s.io/v1alpha1\nkind: Component\n".to_owned();
        if self.random.chance(50) {
            let pairs = self.pairs(2);
            let _ = writeln!(text, "labels: [{{pairs: {pairs}}}]");
        }
        if self.random.chance(40) {
            text.push_str("nameSuffix: -c\n");
        }
        if self.random.chance(50) {
            let patch = self.patch();
            let _ = write!(text, "patches:\n{patch}");
        }
        if self.random.chance(30) {
            let generator = self.generator("");
            let _ = write!(text, "configMapGenerator:\n{generator}");
        }
        text.push_str("commonAnnotations: {component: in}\n");
        self.put(&format!("{name}/kustomization.yaml"), text);
        name
    }

    fn kustomization(&mut self, resources: &[String], over: bool) -> String {
        let mut text = format!("resources: [{}]\n", resources.join(", "));
        let percent = if over { 35 } else { 20 };
        for (field, values) in [
            ("namePrefix", &["p-", "\"1-\"", "dev-"][..]),
            ("nameSuffix", &["-s", "-v1"][..]),
            ("namespace", &["blue", "red", "default", "\"5\""][..]),
        ] {
            if self.random.chance(percent) {
                let value = self.random.pick(values);
                let _ = writeln!(text, "{field}: {value}");
            }
        }
        for field in ["commonLabels", "commonAnnotations"] {
            if self.random.chance(percent) {
                let pairs = self.pairs(2);
                let _ = writeln!(text, "{field}: {pairs}");
            }
        }
        if self.random.chance(percent) {
            let pairs = self.pairs(2);
            let how = self.random.pick(&["", "  includeSelectors: true\n", "  includeTemplates: true\n"]);
            let _ = write!(text, "labels:\n- pairs: {pairs}\n{how}");
        }
        if self.random.chance(percent) {
            let (name, how) = (
                self.random.pick(&["nginx", "reg.io/team/app", "reg.io:5000/app", "busybox"]),
                self.random.pick(&[
                    "newTag: \"3\"",
                    "newName: other/x",
                    "digest: sha256:dd",
                    "tagSuffix: -z",
                    "newName: yy, newTag: v",
                ]),
            );
            let _ = writeln!(text, "images: [{{name: \"{name}\", {how}}}]");
        }
        if self.random.chance(percent + 10) {
            text.push_str("patches:\n");
            for _ in 0..=self.random.below(2) {
                let patch = self.patch();
                text.push_str(&patch);
            }
        }
        for field in ["configMapGenerator", "secretGenerator"] {
            if self.random.chance(percent) {
                let behavior = if over && self.random.chance(8) { self.random.pick(&["merge", "replace"]) } else { "" };
                let generator = self.generator(behavior);
                let _ = write!(text, "{field}:\n{generator}");
            }
        }
        if self.random.chance(5) {
            let replacement = self.replacement();
            let _ = write!(text, "replacements:\n{replacement}");
        }
        if self.random.chance(8) {
            text.push_str("buildMetadata: [originAnnotations, transformerAnnotations]\n");
        }
        if self.random.chance(4) {
            let (kind, name) = (self.random.pick(&["Deployment", "StatefulSet"]), self.random.pick(NAMES));
            let (meta, containers) = (self.meta(name), self.containers("      ", false));
            text.push_str("patchesStrategicMerge:\n- |\n");
            for line in
                format!("apiVersion: apps/v1\nkind: {kind}\n{meta}spec:\n  template:\n    spec:\n{containers}").lines()
            {
                let _ = writeln!(text, "  {line}");
            }
        }
        if self.random.chance(6) {
            let name = self.random.pick(NAMES);
            let field = self.random.pick(&["metadata.name", "metadata.namespace", "data.k", "metadata.labels.app"]);
            let _ = writeln!(
                text,
                "vars: [{{name: V{}, objref: {{apiVersion: v1, kind: ConfigMap, name: {name}}}, fieldref: {{fieldPath: {field}}}}}]",
                self.random.below(3)
            );
        }
        if self.random.chance(15) {
            let component = self.component();
            let _ = writeln!(text, "components: [../{component}]");
        }
        if self.random.chance(10) {
            text.push_str("sortOptions: {order: fifo}\n");
        }
        if self.random.chance(2) {
            let name = self.random.pick(NAMES);
            let _ = writeln!(text, "replicas: [{{name: {name}, count: 7}}]");
        }
        text
    }
}

fn world(seed: u64) -> Case {
    let mut world = World { random: Random(seed), files: Files::new(), taken: Vec::new() };
    let mut bases = Vec::new();
    for base in 0..=world.random.below(2) {
        let mut names = Vec::new();
        for file in 0..=world.random.below(3) {
            let mut text = world.fresh();
            for _ in 0..world.random.below(3) {
                text.push_str("---\n");
                let more = world.fresh();
                text.push_str(&more);
            }
            world.put(&format!("base{base}/{file}.yaml"), text);
            names.push(format!("{file}.yaml"));
        }
        let text = world.kustomization(&names, false);
        world.put(&format!("base{base}/kustomization.yaml"), text);
        bases.push(format!("../base{base}"));
    }
    let text = world.kustomization(&bases, true);
    world.put("over/kustomization.yaml", text);
    let mut build = "over";
    if world.random.chance(25) {
        // Two overlays of the same bases.
        let text = world.kustomization(&bases, true);
        let (prefix, space) = (world.random.chance(60), world.random.pick(&["blue", "red", "green"]));
        let text = text.replace("namePrefix:", "# namePrefix:").replace("namespace:", "# namespace:");
        let more = if prefix { "namePrefix: two-\n".to_owned() } else { format!("namespace: {space}\n") };
        world.put("two/kustomization.yaml", format!("{text}{more}"));
        let both = ["../over".to_owned(), "../two".to_owned()];
        let text = world.kustomization(&both, true);
        world.put("top/kustomization.yaml", text);
        build = "top";
    } else if world.random.chance(30) {
        let text = world.kustomization(&["../over".to_owned()], true);
        world.put("top/kustomization.yaml", text);
        build = "top";
    }
    Case {
        name: format!("seed {seed}"),
        head: String::new(),
        build: build.to_owned(),
        flags: Vec::new(),
        files: world.files,
        expected: None,
    }
}

fn setting(name: &str) -> Option<u64> {
    std::env::var_os(name).and_then(|text| text.to_str()?.parse().ok())
}

#[test]
fn random_kustomizations_build_as_the_original_builds_them() {
    let Some(program) = original() else { return };
    let seconds = setting("RANDOM_SECONDS").unwrap_or(3);
    let mut seed = setting("RANDOM_SEED").unwrap_or_else(|| uuid::Uuid::new_v4().as_u128() as u64 >> 20);
    println!("first seed {seed}");
    let end = base::clock::instant() + std::time::Duration::from_secs(seconds);
    let (mut built, mut refused) = (0, 0);
    let mut wrong = 0;
    while base::clock::instant() < end {
        let case = world(seed);
        let (ours, theirs) = (case.outcome(), case.original(&program));
        let same = match (&ours, &theirs) {
            (Outcome::Text(ours), Outcome::Text(theirs)) => {
                built += 1;
                ours == theirs
            }
            (Outcome::Error(ours), Outcome::Error(theirs)) => {
                refused += 1;
                if std::env::var_os("RANDOM_ERRORS").is_some() {
                    println!("seed {seed}\nERR {}\nOUR {}", theirs.replace('\n', " "), ours.replace('\n', " "));
                }
                true
            }
            _ => false,
        };
        if !same {
            wrong += 1;
            println!("=== seed {seed} build {}", case.build);
            for (name, bytes) in &case.files {
                println!("-- {name} --\n{}", String::from_utf8_lossy(bytes));
            }
            println!("-- theirs --\n{theirs:?}\n-- ours --\n{ours:?}");
            if wrong > 5 {
                break;
            }
        }
        seed += 1;
    }
    println!("{built} built, {refused} refused by both, {wrong} differ");
    assert_eq!(wrong, 0);
}
