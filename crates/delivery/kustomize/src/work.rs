//! What transformers and generators do, however they were configured.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::{
    decode::{Dec, Mode},
    fail::{Cause, Context, Fail, Step},
    fieldspec::FieldSpec,
    filters::{self, End, Namespace, Subjects},
    generate::Made,
    helm::{HelmChart, HelmGlobals},
    id::Gvk,
    jsonpatch,
    parts::{Generator, Image, Patch, Replacement, Replica, Selector},
    patch, replace,
    resmap::ResMap,
    resource::Resource,
    select::select,
    yaml::{Node, json},
};

/// One transformation of all resources.
pub(crate) enum Work {
    Merges(Vec<Resource>),
    Patch(patch::Ready),
    JsonPatch { operations: Vec<Value>, target: Selector },
    Namespace(Namespace),
    Rename { ends: Vec<(End, String)>, specs: Vec<FieldSpec> },
    Pairs { pairs: BTreeMap<String, String>, specs: Vec<FieldSpec> },
    Replica { replica: Replica, specs: Vec<FieldSpec> },
    Image { image: Image, specs: Vec<FieldSpec> },
    Replacements(Vec<Replacement>),
    Hash,
    AddValue { value: String, targets: Vec<ValueTarget> },
}

/// Where a value is added.
#[derive(Clone, Debug, Default)]
pub(crate) struct ValueTarget {
    selector: Option<Selector>,
    path: String,
    position: i64,
}

/// What a plugin's configuration asks for.
pub(crate) enum Plugin {
    Transform(Work),
    Generate(Made, Generator),
    Chart(Box<HelmChart>, HelmGlobals),
    Ready(Vec<Resource>),
}

/// Does one transformation.
pub(crate) fn transform(map: &mut ResMap, work: &Work) -> Step<()> {
    match work {
        Work::Merges(patches) => patch::apply_merges(map, patches),
        Work::Patch(ready) => patch::apply(map, ready),
        Work::JsonPatch { operations, target } => {
            for at in select(map, target)? {
                patch::apply_json(&mut map.list_mut()[at], operations)?;
            }
            Ok(())
        }
        Work::Namespace(namespace) => filters::set_namespace(map, namespace),
        Work::Rename { ends, specs } => ends.iter().try_for_each(|(end, text)| filters::rename(map, *end, text, specs)),
        Work::Pairs { pairs, specs } => filters::set_pairs(map, pairs, specs),
        Work::Replica { replica, specs } => filters::set_replicas(map, replica, specs),
        Work::Image { image, specs } => filters::set_images(map, image, specs),
        Work::Replacements(replacements) => replace::replace(map, replacements),
        Work::Hash => {
            let kinds = map.kinds.clone();
            map.list_mut().iter_mut().try_for_each(|resource| crate::generate::add_hash(resource, &kinds))
        }
        Work::AddValue { value, targets } => add_value(map, value, targets),
    }
}

fn add_value(map: &mut ResMap, value: &str, targets: &[ValueTarget]) -> Step<()> {
    for target in targets {
        let selected = match &target.selector {
            Some(selector) => select(map, selector)?,
            None => (0..map.list().len()).collect(),
        };
        let kinds = map.kinds.clone();
        for at in selected {
            let resource = &mut map.list_mut()[at];
            if target.path == "metadata/namespace" {
                let cluster = kinds.is_cluster(resource.api(), resource.kind());
                let namespace = Namespace {
                    name: value.to_owned(),
                    specs: Vec::new(),
                    unset_only: false,
                    subjects: Subjects::default(),
                };
                namespace.apply(resource, cluster)?;
            } else {
                filters::add_value(&mut resource.node, &target.path, target.position, value)?;
            }
            resource.settle();
        }
    }
    Ok(())
}

/// Reads an entry of `patchesJson6902`.
pub(crate) fn json_patch(entry: &Patch, read: &patch::ReadText<'_>) -> Step<Work> {
    let target = entry.target.clone().unwrap_or_default();
    if target.name.is_empty() {
        return Err(Fail::said("must specify the target name"));
    }
    let text = match (entry.path.is_empty(), entry.text.is_empty()) {
        (true, true) => return Err(Fail::said("empty file path and empty jsonOp")),
        (false, false) => return Err(Fail::said("must specify a file path or jsonOp, not both")),
        (true, false) => entry.text.clone(),
        (false, true) => {
            let text = read(&entry.path)?;
            if text.is_empty() {
                return Err(Fail::said(format!("patch file '{}' empty seems to be empty", entry.path)));
            }
            text
        }
    };
    let operations = jsonpatch::read(&text).under(|| format!("decoding {text}"))?;
    if operations.is_empty() {
        return Err(Fail::said(format!("patch appears to be empty; file={}, JsonOp={text}", entry.path)));
    }
    Ok(Work::JsonPatch { operations, target })
}

/// Reads replacements, those in files too.
pub(crate) fn replacements(list: &[Replacement], read: &patch::ReadText<'_>) -> Step<Work> {
    let mut all = Vec::new();
    for entry in list {
        if entry.path.is_empty() {
            all.push(entry.clone());
            continue;
        }
        if entry.source.is_some() || entry.targets.as_ref().is_some_and(|targets| !targets.is_empty()) {
            return Err(Fail::said("cannot specify both path and inline replacement"));
        }
        let text = read(&entry.path)?;
        let node = crate::decode::read(&text)?;
        match &node {
            Some(node @ Node::Seq(_)) => {
                all.extend(crate::parts::replacements(&Dec::root(node, "", Mode::Lenient))?);
            }
            Some(node @ Node::Map(_)) => {
                all.push(crate::parts::replacement(&Dec::root(node, "", Mode::Lenient))?);
            }
            _ => return Err(Fail::said("unsupported replacement type encountered within replacement path: invalid")),
        }
    }
    Ok(Work::Replacements(all))
}

/// Reads a plugin's configuration; `root` is the folder it is used in.
pub(crate) fn plugin(resource: &Resource, root: &str, read: &patch::ReadText<'_>) -> Step<Plugin> {
    let kind = resource.kind();
    if resource.api() != "builtin" {
        return Err(Fail::new(
            Cause::Unsupported,
            format!(
                "external plugins disabled; unable to load external plugin '{kind}': programs and containers are not run"
            ),
        ));
    }
    let plain = json::node(&json::value(&resource.node)?);
    let config = Config { dec: Dec::root(&plain, "", Mode::Lenient), read, root };
    let read = match kind {
        "ConfigMapGenerator" => config.generator(Made::ConfigMap),
        "SecretGenerator" => config.generator(Made::Secret),
        "HelmChartInflationGenerator" => {
            crate::helm::plugin(&config.dec).map(|(chart, globals)| Plugin::Chart(Box::new(chart), globals))
        }
        "IAMPolicyGenerator" => config.iam_policy(),
        kind => config.transformer(kind).map(Plugin::Transform),
    };
    if let Err(fail) = &read
        && fail.text.starts_with("unable to load builtin")
    {
        return read;
    }
    read.under(|| format!("plugin {} fails configuration", crate::resource::id_text(&resource.node)))
}

struct Config<'a> {
    dec: Dec<'a>,
    read: &'a patch::ReadText<'a>,
    root: &'a str,
}

impl Config<'_> {
    fn generator(&self, made: Made) -> Step<Plugin> {
        Ok(Plugin::Generate(made, crate::parts::generator(&self.dec, "GeneratorPlugin")?))
    }

    fn transformer(&self, kind: &str) -> Step<Work> {
        match kind {
            "AnnotationsTransformer" => self.pairs("annotations"),
            "LabelTransformer" => self.pairs("labels"),
            "HashTransformer" => Ok(Work::Hash),
            "ImageTagTransformer" => {
                let (mut image, mut specs) = (Image::default(), Vec::new());
                self.fields(&["imageTag", "fieldSpecs"], &mut |field, dec| {
                    match field {
                        "imageTag" => image = crate::parts::image(&dec)?,
                        _ => specs = crate::parts::field_specs(&dec)?,
                    }
                    Ok(())
                })?;
                Ok(Work::Image { image, specs })
            }
            "NamespaceTransformer" => self.namespace(),
            "PatchJson6902Transformer" => self.json_patch(),
            "PatchStrategicMergeTransformer" => self.merges(),
            "PatchTransformer" => Ok(Work::Patch(patch::ready(&crate::parts::patch(&self.dec)?, self.read)?)),
            "PrefixSuffixTransformer" => self.prefix_suffix(),
            "PrefixTransformer" => self.rename(End::Prefix, "prefix"),
            "SuffixTransformer" => self.rename(End::Suffix, "suffix"),
            "ReplacementTransformer" => {
                let mut list = Vec::new();
                self.fields(&["replacements"], &mut |_, dec| {
                    list = crate::parts::replacements(&dec)?;
                    Ok(())
                })?;
                replacements(&list, self.read)
            }
            "ReplicaCountTransformer" => {
                let (mut replica, mut specs) = (Replica::default(), Vec::new());
                self.fields(&["replica", "fieldSpecs"], &mut |field, dec| {
                    match field {
                        "replica" => replica = crate::parts::replica(&dec)?,
                        _ => specs = crate::parts::field_specs(&dec)?,
                    }
                    Ok(())
                })?;
                Ok(Work::Replica { replica, specs })
            }
            "ValueAddTransformer" => self.add_value(),
            kind => {
                let gvk = Gvk::of("builtin", kind);
                Err(Fail::said(format!("unable to load builtin {gvk}")))
            }
        }
    }

    fn fields(&self, known: &[&'static str], take: &mut dyn FnMut(&'static str, Dec<'_>) -> Step<()>) -> Step<()> {
        self.dec.object("Plugin", "builtins.Plugin", known, &mut |field, dec| take(field, dec))
    }

    fn pairs(&self, name: &'static str) -> Step<Work> {
        let (mut pairs, mut specs) = (BTreeMap::new(), Vec::new());
        self.fields(&[name, "fieldSpecs"], &mut |field, dec| {
            match field {
                "fieldSpecs" => specs = crate::parts::field_specs(&dec)?,
                _ => pairs = dec.map()?,
            }
            Ok(())
        })?;
        Ok(Work::Pairs { pairs, specs })
    }

    fn namespace(&self) -> Step<Work> {
        let (mut name, mut specs, mut unset_only, mut subjects) = (String::new(), Vec::new(), false, String::new());
        let known = ["metadata", "fieldSpecs", "unsetOnly", "setRoleBindingSubjects"];
        self.fields(&known, &mut |field, dec| {
            match field {
                "metadata" => name = crate::parts::object_name(&dec)?.1,
                "fieldSpecs" => specs = crate::parts::field_specs(&dec)?,
                "unsetOnly" => unset_only = dec.flag()?,
                _ => subjects = dec.text()?,
            }
            Ok(())
        })?;
        let subjects = match subjects.as_str() {
            "" | "defaultOnly" => Subjects::Default,
            "allServiceAccounts" => Subjects::ServiceAccounts,
            "none" => Subjects::None,
            other => {
                return Err(Fail::said(format!(
                    "invalid value {other:?} for setRoleBindingSubjects: must be one of \"defaultOnly\", \"none\" or \"allServiceAccounts\""
                )));
            }
        };
        Ok(Work::Namespace(Namespace { name, specs, unset_only, subjects }))
    }

    fn json_patch(&self) -> Step<Work> {
        let mut entry = Patch::default();
        self.fields(&["target", "path", "jsonOp"], &mut |field, dec| {
            match field {
                "target" => entry.target = Some(crate::parts::selector(&dec)?),
                "path" => entry.path = dec.text()?,
                _ => entry.text = dec.text()?,
            }
            Ok(())
        })?;
        json_patch(&entry, self.read)
    }

    fn merges(&self) -> Step<Work> {
        let (mut paths, mut text) = (Vec::new(), String::new());
        self.fields(&["paths", "patches"], &mut |field, dec| {
            match field {
                "paths" => paths = dec.texts()?,
                _ => text = dec.text()?,
            }
            Ok(())
        })?;
        if paths.is_empty() && text.is_empty() {
            return Err(Fail::said("empty file path and empty patch content"));
        }
        let mut patches = patch::ready_merges(&paths, self.read)?;
        if !text.is_empty() {
            patches.extend(crate::resource::read_all(&text)?);
        }
        if patches.is_empty() {
            return Err(Fail::said(format!("patch appears to be empty; files=[{}], Patch={text}", paths.join(" "))));
        }
        Ok(Work::Merges(patches))
    }

    fn rename(&self, end: End, name: &'static str) -> Step<Work> {
        let (mut text, mut specs) = (String::new(), None);
        self.fields(&[name, "fieldSpecs"], &mut |field, dec| {
            match field {
                "fieldSpecs" if dec.is_null() => {}
                "fieldSpecs" => specs = Some(crate::parts::field_specs(&dec)?),
                _ => text = dec.text()?,
            }
            Ok(())
        })?;
        let specs = specs.ok_or_else(|| Fail::said("fieldSpecs is not expected to be nil"))?;
        Ok(Work::Rename { ends: vec![(end, text)], specs })
    }

    fn prefix_suffix(&self) -> Step<Work> {
        let (Work::Rename { mut ends, specs }, Work::Rename { ends: more, .. }) =
            (self.rename(End::Prefix, "prefix")?, self.rename(End::Suffix, "suffix")?)
        else {
            return Err(Fail::said("fieldSpecs is not expected to be nil"));
        };
        ends.extend(more);
        Ok(Work::Rename { ends, specs })
    }

    fn add_value(&self) -> Step<Work> {
        let (mut value, mut targets, mut file) = (String::new(), Vec::new(), String::new());
        self.fields(&["value", "targets", "targetFilePath"], &mut |field, dec| {
            match field {
                "value" => dec.text()?.trim().clone_into(&mut value),
                "targets" => targets = value_targets(&dec)?,
                _ => file = dec.text()?,
            }
            Ok(())
        })?;
        if value.is_empty() {
            self.root.rsplit('/').next().unwrap_or_default().clone_into(&mut value);
        }
        if !file.is_empty() {
            let text = (self.read)(&file)?;
            if let Some(node) = crate::decode::read(&text)? {
                let dec = Dec::root(&node, "", Mode::Lenient);
                dec.object("Targets", "builtins.Targets", &["targets"], &mut |_, dec| {
                    targets.extend(value_targets(&dec)?);
                    Ok(())
                })?;
            }
        }
        if targets.is_empty() {
            return Err(Fail::said("must specify at least one target"));
        }
        for target in &targets {
            if target.path.is_empty() {
                return Err(Fail::said("fieldPath cannot be empty"));
            }
            if target.position < 0 {
                return Err(Fail::said(format!("value of FilePathPosition ({}) cannot be negative", target.position)));
            }
        }
        Ok(Work::AddValue { value, targets })
    }

    fn iam_policy(&self) -> Step<Plugin> {
        let (mut cloud, mut account, mut project) = (String::new(), String::new(), String::new());
        let mut object = (String::new(), String::new());
        self.fields(&["cloud", "kubernetesService", "serviceAccount"], &mut |field, dec| {
            match field {
                "cloud" => cloud = dec.text()?,
                "kubernetesService" => object = crate::parts::object_name(&dec)?,
                _ => {
                    dec.object("ServiceAccount", "types.ServiceAccount", &["name", "projectId"], &mut |field, dec| {
                        match field {
                            "name" => account = dec.text()?,
                            _ => project = dec.text()?,
                        }
                        Ok(())
                    })?;
                }
            }
            Ok(())
        })?;
        if cloud != "gke" {
            return Err(Fail::said(format!("cloud provider {cloud} not supported yet")));
        }
        let (name, namespace) = object;
        let mut text = format!(
            "apiVersion: v1\nkind: ServiceAccount\nmetadata:\n  annotations:\n    iam.gke.io/gcp-service-account: {account}@{project}.iam.gserviceaccount.com\n  name: {name}\n"
        );
        if !namespace.is_empty() {
            text.push_str("  namespace: ");
            text.push_str(&namespace);
            text.push('\n');
        }
        Ok(Plugin::Ready(crate::resource::read_all(&text)?))
    }
}

fn value_targets(dec: &Dec<'_>) -> Step<Vec<ValueTarget>> {
    dec.list("builtins.Target")?
        .iter()
        .map(|dec| {
            let mut target = ValueTarget::default();
            let known = ["selector", "fieldPath", "filePathPosition"];
            dec.object("Target", "builtins.Target", &known, &mut |field, dec| {
                match field {
                    "selector" if dec.is_null() => {}
                    "selector" => target.selector = Some(crate::parts::selector(&dec)?),
                    "fieldPath" => target.path = dec.text()?,
                    _ => target.position = dec.int("int")?,
                }
                Ok(())
            })?;
            Ok(target)
        })
        .collect()
}
