//! The parts of a kustomization: images, patches, replacements, generators.

use std::collections::BTreeMap;

use crate::{decode::Dec, fail::Step, fieldspec::FieldSpec, id::Gvk};

/// What a generator makes of what.
#[derive(Clone, Debug, Default)]
pub(crate) struct Generator {
    pub(crate) name: String,
    pub(crate) namespace: String,
    pub(crate) behavior: String,
    pub(crate) literals: Vec<String>,
    pub(crate) files: Vec<String>,
    pub(crate) envs: Vec<String>,
    pub(crate) options: Option<GeneratorOptions>,
    /// A Secret's type.
    pub(crate) kind: String,
}

/// `generatorOptions`.
#[derive(Clone, Debug, Default)]
pub(crate) struct GeneratorOptions {
    pub(crate) labels: Option<BTreeMap<String, String>>,
    pub(crate) annotations: Option<BTreeMap<String, String>>,
    pub(crate) no_hash: bool,
    pub(crate) immutable: bool,
}

impl GeneratorOptions {
    /// Own labels and annotations win; what is switched on anywhere is on.
    pub(crate) fn merged(own: Option<&Self>, global: Option<&Self>) -> Option<Self> {
        let Some(global) = global else { return own.cloned() };
        let mut merged = own.cloned().unwrap_or_default();
        let join = |own: &mut Option<BTreeMap<String, String>>, global: &Option<BTreeMap<String, String>>| {
            if let Some(global) = global {
                let own = own.get_or_insert_default();
                for (key, value) in global {
                    own.entry(key.clone()).or_insert_with(|| value.clone());
                }
            }
        };
        join(&mut merged.labels, &global.labels);
        join(&mut merged.annotations, &global.annotations);
        merged.no_hash |= global.no_hash;
        merged.immutable |= global.immutable;
        Some(merged)
    }
}

/// `labels`.
#[derive(Clone, Debug, Default)]
pub(crate) struct Label {
    pub(crate) pairs: BTreeMap<String, String>,
    pub(crate) selectors: bool,
    pub(crate) templates: bool,
    pub(crate) claim_templates: bool,
    pub(crate) fields: Vec<FieldSpec>,
}

/// `images`.
#[derive(Clone, Debug, Default)]
pub(crate) struct Image {
    pub(crate) name: String,
    pub(crate) new_name: String,
    pub(crate) tag_suffix: String,
    pub(crate) new_tag: String,
    pub(crate) digest: String,
}

/// Which resources are meant.
#[derive(Clone, Debug, Default)]
pub(crate) struct Selector {
    pub(crate) gvk: Gvk,
    pub(crate) name: String,
    pub(crate) namespace: String,
    pub(crate) annotations: String,
    pub(crate) labels: String,
}

impl std::fmt::Display for Selector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let or = |text: &str, none: &str| if text.is_empty() { none.to_owned() } else { text.to_owned() };
        write!(
            f,
            "{}/{}.{}:a={}:l={}",
            self.gvk,
            or(&self.name, "[noName]"),
            or(&self.namespace, "[noNs]"),
            self.annotations,
            self.labels
        )
    }
}

/// `patches`.
#[derive(Clone, Debug, Default)]
pub(crate) struct Patch {
    pub(crate) path: String,
    pub(crate) text: String,
    pub(crate) target: Option<Selector>,
    pub(crate) name_change: bool,
    pub(crate) kind_change: bool,
}

/// `replicas`.
#[derive(Clone, Debug, Default)]
pub(crate) struct Replica {
    pub(crate) name: String,
    pub(crate) count: i64,
}

/// How a replacement reads or writes a part of a field.
#[derive(Clone, Debug, Default)]
pub(crate) struct FieldOptions {
    pub(crate) delimiter: String,
    pub(crate) index: i64,
    pub(crate) create: bool,
}

/// Where a replacement's value comes from.
#[derive(Clone, Debug, Default)]
pub(crate) struct ReplacementSource {
    pub(crate) gvk: Gvk,
    pub(crate) name: String,
    pub(crate) namespace: String,
    pub(crate) field: String,
    pub(crate) options: Option<FieldOptions>,
}

/// Where a replacement's value goes.
#[derive(Clone, Debug, Default)]
pub(crate) struct ReplacementTarget {
    pub(crate) select: Option<Selector>,
    pub(crate) reject: Vec<Selector>,
    pub(crate) fields: Vec<String>,
    pub(crate) options: Option<FieldOptions>,
}

/// `replacements`.
#[derive(Clone, Debug, Default)]
pub(crate) struct Replacement {
    pub(crate) path: String,
    pub(crate) source: Option<ReplacementSource>,
    pub(crate) value: Option<String>,
    pub(crate) targets: Option<Vec<ReplacementTarget>>,
}

/// `vars`.
#[derive(Clone, Debug, Default)]
pub(crate) struct Var {
    pub(crate) name: String,
    pub(crate) gvk: Gvk,
    pub(crate) object: String,
    pub(crate) namespace: String,
    pub(crate) field: String,
    pub(crate) api: String,
}

/// `sortOptions`.
#[derive(Clone, Debug, Default)]
pub(crate) struct SortOptions {
    pub(crate) order: String,
    pub(crate) legacy: Option<(Vec<String>, Vec<String>)>,
}

pub(crate) fn meta(dec: &Dec<'_>) -> Step<()> {
    dec.object("ObjectMeta", "types.ObjectMeta", &["name", "namespace", "labels", "annotations"], &mut |field, dec| {
        match field {
            "labels" | "annotations" => dec.map().map(drop),
            _ => dec.text().map(drop),
        }
    })
}

pub(crate) fn field_spec(dec: &Dec<'_>) -> Step<FieldSpec> {
    let (mut gvk, mut path, mut create) = (Gvk::default(), String::new(), false);
    dec.object("FieldSpec", "types.FieldSpec", &["group", "version", "kind", "path", "create"], &mut |field, dec| {
        match field {
            "group" => gvk.group = dec.text()?,
            "version" => gvk.version = dec.text()?,
            "kind" => gvk.kind = dec.text()?,
            "path" => path = dec.text()?,
            _ => create = dec.flag()?,
        }
        Ok(())
    })?;
    Ok(FieldSpec::new(gvk, path, create))
}

pub(crate) fn field_specs(dec: &Dec<'_>) -> Step<Vec<FieldSpec>> {
    dec.list("types.FieldSpec")?.iter().map(field_spec).collect()
}

pub(crate) fn label(dec: &Dec<'_>) -> Step<Label> {
    let mut label = Label::default();
    let fields = ["pairs", "includeSelectors", "includeTemplates", "includeVolumeClaimTemplates", "fields"];
    dec.object("Label", "types.Label", &fields, &mut |field, dec| {
        match field {
            "pairs" => label.pairs = dec.map()?,
            "includeSelectors" => label.selectors = dec.flag()?,
            "includeTemplates" => label.templates = dec.flag()?,
            "includeVolumeClaimTemplates" => label.claim_templates = dec.flag()?,
            _ => label.fields = field_specs(&dec)?,
        }
        Ok(())
    })?;
    Ok(label)
}

pub(crate) fn image(dec: &Dec<'_>) -> Step<Image> {
    let mut image = Image::default();
    dec.object("Image", "types.Image", &["name", "newName", "tagSuffix", "newTag", "digest"], &mut |field, dec| {
        match field {
            "name" => image.name = dec.text()?,
            "newName" => image.new_name = dec.text()?,
            "tagSuffix" => image.tag_suffix = dec.text()?,
            "newTag" => image.new_tag = dec.text()?,
            _ => image.digest = dec.text()?,
        }
        Ok(())
    })?;
    Ok(image)
}

pub(crate) fn images(dec: &Dec<'_>) -> Step<Vec<Image>> {
    dec.list("types.Image")?.iter().map(image).collect()
}

pub(crate) fn selector(dec: &Dec<'_>) -> Step<Selector> {
    let mut selector = Selector::default();
    let fields = ["group", "version", "kind", "name", "namespace", "annotationSelector", "labelSelector"];
    dec.object("Selector", "types.Selector", &fields, &mut |field, dec| {
        let text = dec.text()?;
        match field {
            "group" => selector.gvk.group = text,
            "version" => selector.gvk.version = text,
            "kind" => selector.gvk.kind = text,
            "name" => selector.name = text,
            "namespace" => selector.namespace = text,
            "annotationSelector" => selector.annotations = text,
            _ => selector.labels = text,
        }
        Ok(())
    })?;
    Ok(selector)
}

pub(crate) fn patch(dec: &Dec<'_>) -> Step<Patch> {
    let mut patch = Patch::default();
    dec.object("Patch", "types.Patch", &["path", "patch", "target", "options"], &mut |field, dec| {
        match field {
            "path" => patch.path = dec.text()?,
            "patch" => patch.text = dec.text()?,
            "target" if dec.is_null() => {}
            "target" => patch.target = Some(selector(&dec)?),
            _ => dec.object(
                "PatchArgs",
                "types.PatchArgs",
                &["allowNameChange", "allowKindChange"],
                &mut |field, dec| {
                    match field {
                        "allowNameChange" => patch.name_change = dec.flag()?,
                        _ => patch.kind_change = dec.flag()?,
                    }
                    Ok(())
                },
            )?,
        }
        Ok(())
    })?;
    Ok(patch)
}

pub(crate) fn patches(dec: &Dec<'_>) -> Step<Vec<Patch>> {
    dec.list("types.Patch")?.iter().map(patch).collect()
}

pub(crate) fn replica(dec: &Dec<'_>) -> Step<Replica> {
    let mut replica = Replica::default();
    dec.object("Replica", "types.Replica", &["name", "count"], &mut |field, dec| {
        match field {
            "name" => replica.name = dec.text()?,
            _ => replica.count = dec.int("int64")?,
        }
        Ok(())
    })?;
    Ok(replica)
}

pub(crate) fn field_options(dec: &Dec<'_>) -> Step<Option<FieldOptions>> {
    if dec.is_null() {
        return Ok(None);
    }
    let mut options = FieldOptions::default();
    let fields = ["delimiter", "index", "encoding", "create"];
    dec.object("FieldOptions", "types.FieldOptions", &fields, &mut |field, dec| {
        match field {
            "delimiter" => options.delimiter = dec.text()?,
            "index" => options.index = dec.int("int")?,
            // kustomize reads it and does nothing with it.
            "encoding" => dec.text().map(drop)?,
            _ => options.create = dec.flag()?,
        }
        Ok(())
    })?;
    Ok(Some(options))
}

pub(crate) fn replacement_source(dec: &Dec<'_>) -> Step<ReplacementSource> {
    let mut source = ReplacementSource::default();
    let fields = ["group", "version", "kind", "name", "namespace", "fieldPath", "options"];
    dec.object("SourceSelector", "types.SourceSelector", &fields, &mut |field, dec| {
        match field {
            "group" => source.gvk.group = dec.text()?,
            "version" => source.gvk.version = dec.text()?,
            "kind" => source.gvk.kind = dec.text()?,
            "name" => source.name = dec.text()?,
            "namespace" => source.namespace = dec.text()?,
            "fieldPath" => source.field = dec.text()?,
            _ => source.options = field_options(&dec)?,
        }
        Ok(())
    })?;
    Ok(source)
}

pub(crate) fn replacement_target(dec: &Dec<'_>) -> Step<ReplacementTarget> {
    let mut target = ReplacementTarget::default();
    let fields = ["select", "reject", "fieldPaths", "options"];
    dec.object("TargetSelector", "types.TargetSelector", &fields, &mut |field, dec| {
        match field {
            "select" if dec.is_null() => {}
            "select" => target.select = Some(selector(&dec)?),
            "reject" => target.reject = dec.list("*types.Selector")?.iter().map(selector).collect::<Step<_>>()?,
            "fieldPaths" => target.fields = dec.texts()?,
            _ => target.options = field_options(&dec)?,
        }
        Ok(())
    })?;
    Ok(target)
}

pub(crate) fn replacement(dec: &Dec<'_>) -> Step<Replacement> {
    let mut read = Replacement::default();
    let fields = ["path", "source", "targets", "sourceValue"];
    dec.object("ReplacementField", "types.ReplacementField", &fields, &mut |field, dec| {
        match field {
            "path" => read.path = dec.text()?,
            "source" | "sourceValue" | "targets" if dec.is_null() => {}
            "source" => read.source = Some(replacement_source(&dec)?),
            "targets" => {
                let targets = dec.list("*types.TargetSelector")?;
                read.targets = Some(targets.iter().map(replacement_target).collect::<Step<_>>()?);
            }
            _ => read.value = Some(dec.text()?),
        }
        Ok(())
    })?;
    Ok(read)
}

pub(crate) fn replacements(dec: &Dec<'_>) -> Step<Vec<Replacement>> {
    dec.list("types.ReplacementField")?.iter().map(replacement).collect()
}

pub(crate) fn var(dec: &Dec<'_>) -> Step<Var> {
    let mut var = Var::default();
    dec.object("Var", "types.Var", &["name", "objref", "fieldref"], &mut |field, dec| {
        match field {
            "name" => var.name = dec.text()?,
            "objref" => {
                let fields = ["apiVersion", "group", "version", "kind", "name", "namespace"];
                dec.object("Target", "types.Target", &fields, &mut |field, dec| {
                    let text = dec.text()?;
                    match field {
                        "apiVersion" => var.api = text,
                        "group" => var.gvk.group = text,
                        "version" => var.gvk.version = text,
                        "kind" => var.gvk.kind = text,
                        "name" => var.object = text,
                        _ => var.namespace = text,
                    }
                    Ok(())
                })?;
            }
            _ => dec.object("FieldSelector", "types.FieldSelector", &["fieldPath", "fieldpath"], &mut |_, dec| {
                var.field = dec.text()?;
                Ok(())
            })?,
        }
        Ok(())
    })?;
    let parts: Vec<&str> = var.api.split('/').collect();
    match parts.as_slice() {
        [version] if !version.is_empty() => (*version).clone_into(&mut var.gvk.version),
        [group, version] => {
            (*group).clone_into(&mut var.gvk.group);
            (*version).clone_into(&mut var.gvk.version);
        }
        _ => {}
    }
    if var.field.is_empty() {
        "metadata.name".clone_into(&mut var.field);
    }
    Ok(var)
}

pub(crate) fn sort_options(dec: &Dec<'_>) -> Step<Option<SortOptions>> {
    if dec.is_null() {
        return Ok(None);
    }
    let mut options = SortOptions::default();
    dec.object("SortOptions", "types.SortOptions", &["order", "legacySortOptions"], &mut |field, dec| {
        match field {
            "order" => options.order = dec.text()?,
            _ if dec.is_null() => {}
            _ => {
                let (mut first, mut last) = (Vec::new(), Vec::new());
                let fields = ["orderFirst", "orderLast"];
                dec.object("LegacySortOptions", "types.LegacySortOptions", &fields, &mut |field, dec| {
                    match field {
                        "orderFirst" => first = dec.texts()?,
                        _ => last = dec.texts()?,
                    }
                    Ok(())
                })?;
                options.legacy = Some((first, last));
            }
        }
        Ok(())
    })?;
    Ok(Some(options))
}

pub(crate) fn generator_options(dec: &Dec<'_>) -> Step<Option<GeneratorOptions>> {
    if dec.is_null() {
        return Ok(None);
    }
    let mut options = GeneratorOptions::default();
    let fields = ["labels", "annotations", "disableNameSuffixHash", "immutable"];
    dec.object("GeneratorOptions", "types.GeneratorOptions", &fields, &mut |field, dec| {
        match field {
            "labels" => options.labels = (!dec.is_null()).then(|| dec.map()).transpose()?,
            "annotations" => options.annotations = (!dec.is_null()).then(|| dec.map()).transpose()?,
            "disableNameSuffixHash" => options.no_hash = dec.flag()?,
            _ => options.immutable = dec.flag()?,
        }
        Ok(())
    })?;
    Ok(Some(options))
}

pub(crate) fn generator(dec: &Dec<'_>, owner: &'static str) -> Step<Generator> {
    let mut made = Generator::default();
    let mut env = String::new();
    let all = ["name", "namespace", "behavior", "literals", "files", "envs", "env", "options", "type", "metadata"];
    let fields = match owner {
        "ConfigMapArgs" => &all[..8],
        "SecretArgs" => &all[..9],
        _ => &all[..],
    };
    let mut meta = (String::new(), String::new());
    dec.object(
        owner,
        if owner == "ConfigMapArgs" { "types.ConfigMapArgs" } else { "types.SecretArgs" },
        fields,
        &mut |field, dec| {
            match field {
                "name" => made.name = dec.text()?,
                "namespace" => made.namespace = dec.text()?,
                "behavior" => made.behavior = dec.text()?,
                "literals" => made.literals = dec.texts()?,
                "files" => made.files = dec.texts()?,
                "envs" => made.envs = dec.texts()?,
                "env" => env = dec.text()?,
                "options" => made.options = generator_options(&dec)?,
                "type" => made.kind = dec.text()?,
                _ => meta = object_name(&dec)?,
            }
            Ok(())
        },
    )?;
    if owner.ends_with("Args") && !env.is_empty() {
        made.envs.push(env);
    }
    if made.name.is_empty() {
        made.name = meta.0;
    }
    if made.namespace.is_empty() {
        made.namespace = meta.1;
    }
    Ok(made)
}

/// Returns `metadata.name` and `metadata.namespace` of a plugin's configuration.
pub(crate) fn object_name(dec: &Dec<'_>) -> Step<(String, String)> {
    let (mut name, mut namespace) = (String::new(), String::new());
    dec.object("ObjectMeta", "types.ObjectMeta", &["name", "namespace"], &mut |field, dec| {
        match field {
            "name" => name = dec.text()?,
            _ => namespace = dec.text()?,
        }
        Ok(())
    })?;
    Ok((name, namespace))
}

pub(crate) fn generators(dec: &Dec<'_>, owner: &'static str) -> Step<Vec<Generator>> {
    let wanted = format!("types.{owner}");
    dec.list(&wanted)?.iter().map(|dec| generator(dec, owner)).collect()
}
