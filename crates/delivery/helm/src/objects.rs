//! `.Chart`, `.Files`, `.Capabilities`, `.Release`: what a template's dot holds.

use std::{collections::BTreeMap, rc::Rc};

use base64::{Engine, engine::general_purpose::STANDARD};

use super::glob::Glob;
use super::{
    Files, Options,
    chart::{Chart, scalar_text},
};
use gotmpl::{
    Value,
    value::{Elem, Object},
    yaml,
};

/// A template and what it is rendered with.
pub(super) struct Renderable {
    pub(super) name: String,
    pub(super) text: String,
    pub(super) base_path: String,
    pub(super) scope: Value,
}

/// Returns every template in the order that Helm parses and renders them: deepest path first.
pub(super) fn renderables(chart: &Chart, values: &Value, options: &Options) -> Vec<Renderable> {
    let release = Value::pairs([
        ("Name", Value::str(&options.name)),
        ("Namespace", Value::str(&options.namespace)),
        ("IsUpgrade", Value::Bool(options.upgrade)),
        ("IsInstall", Value::Bool(!options.upgrade)),
        ("Revision", Value::Int(i64::from(options.revision))),
        ("Service", Value::str("Helm")),
    ]);
    let capabilities = capabilities(options);
    let mut all = Vec::new();
    collect(chart, values, &release, &capabilities, &mut all);
    all.sort_by(|a, b| {
        let depth = |item: &Renderable| item.name.matches('/').count();
        depth(b).cmp(&depth(a)).then_with(|| b.name.cmp(&a.name))
    });
    all
}

fn collect(chart: &Chart, values: &Value, release: &Value, capabilities: &Value, all: &mut Vec<Renderable>) -> Value {
    let subcharts = Value::pairs::<&str>([]);
    let scope = Value::pairs([
        (
            "Chart",
            Value::Object(Rc::new(Metadata {
                fields: chart.metadata.clone(),
                root: Some(chart.root),
                name: chart.name.clone(),
            })),
        ),
        ("Files", Value::Object(Rc::new(ChartFiles(chart.files.clone())))),
        ("Release", release.clone()),
        ("Capabilities", capabilities.clone()),
        ("Values", as_values(values)),
        ("Subcharts", subcharts.clone()),
    ]);
    for child in &chart.children {
        let own = match values.get(&child.name) {
            Some(own @ Value::Map(..)) => own,
            _ => Value::pairs::<&str>([]),
        };
        let inner = collect(child, &own, release, capabilities, all);
        if let Some(entries) = subcharts.as_map() {
            entries.borrow_mut().insert(child.name.as_str().into(), inner);
        }
    }
    for (path, text) in &chart.templates {
        all.push(Renderable {
            name: format!("{}/{path}", chart.path),
            text: text.clone(),
            base_path: format!("{}/templates", chart.path),
            scope: as_values(&scope),
        });
    }
    scope
}

/// The same map, under the name that Helm's code has for it.
fn as_values(map: &Value) -> Value {
    match map {
        Value::Map(entries, _) => Value::Map(entries.clone(), Elem::Values),
        other => other.clone(),
    }
}

/// `.Chart`, which has the fields of `Chart.yaml` in two places: its own, and those of its `Metadata`.
struct Metadata {
    fields: Value,
    /// Of `.Chart` alone: whether it is the chart that is rendered.
    root: Option<bool>,
    name: String,
}

const METADATA: [(&str, &str); 17] = [
    ("Name", "name"),
    ("Home", "home"),
    ("Sources", "sources"),
    ("Version", "version"),
    ("Description", "description"),
    ("Keywords", "keywords"),
    ("Maintainers", "maintainers"),
    ("Icon", "icon"),
    ("APIVersion", "apiVersion"),
    ("Condition", "condition"),
    ("Tags", "tags"),
    ("AppVersion", "appVersion"),
    ("Deprecated", "deprecated"),
    ("Annotations", "annotations"),
    ("KubeVersion", "kubeVersion"),
    ("Dependencies", "dependencies"),
    ("Type", "type"),
];

impl Object for Metadata {
    fn type_name(&self) -> &'static str {
        if self.root.is_some() { "struct { chart.Metadata; IsRoot bool }" } else { "chart.Metadata" }
    }

    fn field(&self, name: &str) -> Option<Value> {
        match (name, self.root) {
            ("IsRoot", Some(root)) => return Some(Value::Bool(root)),
            ("Metadata", Some(_)) => {
                let inner = Metadata { fields: self.fields.clone(), root: None, name: self.name.clone() };
                return Some(Value::Object(Rc::new(inner)));
            }
            _ => {}
        }
        let (field, key) = METADATA.iter().find(|(field, _)| *field == name)?;
        let value = self.fields.get(key).unwrap_or(Value::Nil);
        Some(match (*field, value) {
            ("Name", _) => Value::str(&self.name),
            ("Sources" | "Keywords", Value::Nil) => Value::strings::<&str>([]),
            ("Sources" | "Keywords", value) => {
                Value::strings(value.items().unwrap_or_default().iter().map(scalar_text))
            }
            ("Maintainers" | "Dependencies", Value::Nil) => Value::list(Vec::new()),
            ("Maintainers" | "Dependencies", value) => {
                Value::list(value.items().unwrap_or_default().iter().map(capitalised).collect())
            }
            ("Deprecated", value) => Value::Bool(value.truth()),
            ("Annotations", value) => {
                let entries = value.as_map().map(|entries| entries.borrow().clone()).unwrap_or_default();
                let entries = entries.into_iter().map(|(key, value)| (key, Value::str(scalar_text(&value))));
                Value::Map(Rc::new(std::cell::RefCell::new(entries.collect())), Elem::Str)
            }
            (_, value) => Value::str(scalar_text(&value)),
        })
    }

    fn call(&self, _name: &str, _args: &[Value]) -> Option<Result<Value, String>> {
        None
    }

    fn text(&self) -> String {
        let fields =
            METADATA.map(|(field, _)| self.field(field).map(|value| gotmpl::gofmt::verb_v(&value)).unwrap_or_default());
        let fields = fields.join(" ");
        self.root.map_or_else(|| format!("{{{fields}}}"), |root| format!("{{{{{fields}}} {root}}}"))
    }

    fn plain(&self) -> Value {
        let mut pairs: Vec<(String, Value)> =
            self.root.map(|root| ("IsRoot".to_owned(), Value::Bool(root))).into_iter().collect();
        for (field, key) in METADATA {
            if let Some(value) = self.field(field).filter(Value::truth) {
                pairs.push((key.to_owned(), value));
            }
        }
        Value::pairs(pairs)
    }
}

/// Fields of a struct by their Go names: `name` as `Name`, `import-values` as `ImportValues`.
fn capitalised(value: &Value) -> Value {
    let entries = value.as_map().map(|entries| entries.borrow().clone()).unwrap_or_default();
    Value::pairs(entries.into_iter().map(|(key, value)| {
        let name: String = key
            .split('-')
            .map(|word| {
                let mut chars = word.chars();
                chars.next().map(|c| c.to_uppercase().chain(chars).collect::<String>()).unwrap_or_default()
            })
            .collect();
        (if name == "Url" { "URL".to_owned() } else { name }, value)
    }))
}

/// `.Files`.
struct ChartFiles(Files);

impl ChartFiles {
    fn text_of(&self, name: &str) -> String {
        self.0.get(name).map(|bytes| String::from_utf8_lossy(bytes).into_owned()).unwrap_or_default()
    }

    fn flat(&self, show: impl Fn(&[u8]) -> String) -> Value {
        let entries: BTreeMap<_, _> =
            self.0.iter().map(|(path, bytes)| (gotmpl::sprig::base(path), Value::str(show(bytes)))).collect();
        let text = yaml::write(&Value::pairs(entries));
        Value::str(text.strip_suffix('\n').unwrap_or(&text))
    }
}

impl Object for ChartFiles {
    fn type_name(&self) -> &'static str {
        "engine.files"
    }

    fn field(&self, name: &str) -> Option<Value> {
        // In Go it is a map of bytes with methods: what is not one of those is a file, or nothing.
        let method = matches!(name, "Get" | "GetBytes" | "Glob" | "AsConfig" | "AsSecrets" | "Lines");
        (!method).then(|| bytes(self.0.get(name).map_or(&[][..], Vec::as_slice)))
    }

    fn params(&self, name: &str) -> Option<&'static str> {
        match name {
            "Get" | "GetBytes" | "Glob" | "Lines" => Some("s"),
            "AsConfig" | "AsSecrets" => Some(""),
            _ => None,
        }
    }

    fn call(&self, name: &str, args: &[Value]) -> Option<Result<Value, String>> {
        // The engine has checked the arguments.
        let arg = || Ok::<_, String>(args.first().and_then(Value::as_str).unwrap_or_default().to_owned());
        Some(match name {
            "Get" => arg().map(|path| Value::str(self.text_of(&path))),
            "GetBytes" => arg().map(|path| bytes(self.0.get(&path).map_or(&[][..], Vec::as_slice))),
            "Glob" => arg().and_then(|pattern| {
                let glob = Glob::new(&pattern).ok_or("the pattern is too large")?;
                let found = self.0.iter().filter(|(path, _)| glob.matches(path));
                Ok(Value::Object(Rc::new(ChartFiles(found.map(|(k, v)| (k.clone(), v.clone())).collect()))))
            }),
            "AsConfig" => Ok(self.flat(|bytes| String::from_utf8_lossy(bytes).into_owned())),
            "AsSecrets" => Ok(self.flat(|bytes| STANDARD.encode(bytes))),
            "Lines" => arg().map(|path| {
                let text = self.text_of(&path);
                let text = text.strip_suffix('\n').unwrap_or(&text);
                if text.is_empty() { Value::strings::<&str>([]) } else { Value::strings(text.split('\n')) }
            }),
            _ => return None,
        })
    }

    fn text(&self) -> String {
        gotmpl::gofmt::verb_v(&self.plain())
    }

    fn plain(&self) -> Value {
        Value::pairs(self.0.iter().map(|(path, content)| (path, bytes(content))))
    }
}

fn bytes(content: &[u8]) -> Value {
    Value::List(Rc::new(content.iter().map(|byte| Value::Int(i64::from(*byte))).collect()), Elem::Byte)
}

/// The group versions that Helm takes for present without a cluster.
const KNOWN: &str = "v1 admissionregistration.k8s.io/v1 admissionregistration.k8s.io/v1alpha1 \
    admissionregistration.k8s.io/v1beta1 internal.apiserver.k8s.io/v1alpha1 apps/v1 apps/v1beta1 apps/v1beta2 \
    authentication.k8s.io/v1 authentication.k8s.io/v1alpha1 authentication.k8s.io/v1beta1 authorization.k8s.io/v1 \
    authorization.k8s.io/v1beta1 autoscaling/v1 autoscaling/v2 batch/v1 batch/v1beta1 certificates.k8s.io/v1 \
    certificates.k8s.io/v1beta1 certificates.k8s.io/v1alpha1 coordination.k8s.io/v1alpha2 \
    coordination.k8s.io/v1beta1 coordination.k8s.io/v1 discovery.k8s.io/v1 discovery.k8s.io/v1beta1 \
    events.k8s.io/v1 events.k8s.io/v1beta1 extensions/v1beta1 flowcontrol.apiserver.k8s.io/v1 \
    flowcontrol.apiserver.k8s.io/v1beta1 flowcontrol.apiserver.k8s.io/v1beta2 flowcontrol.apiserver.k8s.io/v1beta3 \
    lifecycle.k8s.io/v1alpha1 networking.k8s.io/v1 networking.k8s.io/v1beta1 node.k8s.io/v1 node.k8s.io/v1alpha1 \
    node.k8s.io/v1beta1 policy/v1 policy/v1beta1 rbac.authorization.k8s.io/v1 rbac.authorization.k8s.io/v1beta1 \
    rbac.authorization.k8s.io/v1alpha1 resource.k8s.io/v1 resource.k8s.io/v1beta2 resource.k8s.io/v1beta1 \
    resource.k8s.io/v1alpha3 scheduling.k8s.io/v1alpha3 scheduling.k8s.io/v1beta1 scheduling.k8s.io/v1 \
    storage.k8s.io/v1beta1 storage.k8s.io/v1 storage.k8s.io/v1alpha1 storagemigration.k8s.io/v1 \
    storagemigration.k8s.io/v1beta1 apiextensions.k8s.io/v1beta1 apiextensions.k8s.io/v1";

fn capabilities(options: &Options) -> Value {
    // Helm keeps the numbers alone, whatever a distribution puts behind them.
    let given = options.kube_version.trim().trim_start_matches('v');
    let version: String = given.chars().take_while(|c| c.is_ascii_digit() || *c == '.').collect();
    let part = |index: usize| version.split('.').nth(index).unwrap_or_default();
    let kube = Fields {
        type_name: "chartutil.KubeVersion",
        text: Some(format!("v{version}")),
        all: vec![
            ("Version", Value::str(format!("v{version}"))),
            ("Major", Value::str(part(0))),
            ("Minor", Value::str(part(1))),
            ("GitVersion", Value::str(format!("v{version}"))),
        ],
    };
    let helm = Fields {
        type_name: "version.BuildInfo",
        text: None,
        all: vec![
            ("Version", Value::str("v3.22")),
            ("GitCommit", Value::str("")),
            ("GitTreeState", Value::str("")),
            ("GoVersion", Value::str("")),
        ],
    };
    let versions = match &options.discovered {
        Some(discovered) => discovered.clone(),
        None => KNOWN.split_whitespace().map(str::to_owned).chain(options.api_versions.iter().cloned()).collect(),
    };
    Value::Object(Rc::new(Fields {
        type_name: "*chartutil.Capabilities",
        text: None,
        all: vec![
            ("KubeVersion", Value::Object(Rc::new(kube))),
            ("APIVersions", Value::Object(Rc::new(VersionSet(versions)))),
            ("HelmVersion", Value::Object(Rc::new(helm))),
        ],
    }))
}

/// A struct with nothing but fields.
struct Fields {
    type_name: &'static str,
    text: Option<String>,
    all: Vec<(&'static str, Value)>,
}

impl Object for Fields {
    fn type_name(&self) -> &'static str {
        self.type_name
    }

    fn field(&self, name: &str) -> Option<Value> {
        self.all.iter().find(|(field, _)| *field == name).map(|(_, value)| value.clone())
    }

    fn params(&self, _name: &str) -> Option<&'static str> {
        Some("")
    }

    fn call(&self, name: &str, _args: &[Value]) -> Option<Result<Value, String>> {
        self.text.as_ref().filter(|_| name == "String").map(|text| Ok(Value::str(text)))
    }

    fn text(&self) -> String {
        self.text.clone().unwrap_or_else(|| {
            let fields: Vec<String> = self.all.iter().map(|(_, value)| gotmpl::gofmt::verb_v(value)).collect();
            format!("{{{}}}", fields.join(" "))
        })
    }

    fn plain(&self) -> Value {
        Value::pairs(self.all.iter().cloned())
    }
}

/// `.Capabilities.APIVersions`.
struct VersionSet(Vec<String>);

impl Object for VersionSet {
    fn type_name(&self) -> &'static str {
        "chartutil.VersionSet"
    }

    fn field(&self, _name: &str) -> Option<Value> {
        None
    }

    fn params(&self, name: &str) -> Option<&'static str> {
        (name == "Has").then_some("s")
    }

    fn call(&self, name: &str, args: &[Value]) -> Option<Result<Value, String>> {
        match (name, args) {
            ("Has", [Value::Str(wanted)]) => Some(Ok(Value::Bool(self.0.iter().any(|version| **version == **wanted)))),
            _ => None,
        }
    }

    fn text(&self) -> String {
        gotmpl::gofmt::verb_v(&self.plain())
    }

    fn plain(&self) -> Value {
        Value::strings(&self.0)
    }
}
