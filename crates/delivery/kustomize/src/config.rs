//! A kustomization as it was written.

use std::collections::BTreeMap;

use crate::{
    decode::{Dec, Mode},
    fail::{Fail, Step},
    helm::{HelmChart, HelmGlobals},
    parts::{
        Generator, GeneratorOptions, Image, Label, Patch, Replacement, Replica, SortOptions, Var, generator_options,
        generators, images, label, meta, patches, replacements, replica, sort_options, var,
    },
};

const KUSTOMIZATION: &str = "kustomize.config.k8s.io/v1beta1";
const COMPONENT: &str = "kustomize.config.k8s.io/v1alpha1";
const FIX: &str = "Run 'kustomize edit fix' to update your Kustomization automatically.";

/// A kustomization.
#[derive(Clone, Debug, Default)]
pub(crate) struct Kustomization {
    pub(crate) api: String,
    pub(crate) kind: String,
    pub(crate) openapi: BTreeMap<String, String>,
    pub(crate) name_prefix: String,
    pub(crate) name_suffix: String,
    pub(crate) namespace: String,
    pub(crate) common_labels: BTreeMap<String, String>,
    pub(crate) labels: Vec<Label>,
    pub(crate) common_annotations: BTreeMap<String, String>,
    pub(crate) merges: Vec<String>,
    pub(crate) json_patches: Vec<Patch>,
    pub(crate) patches: Vec<Patch>,
    pub(crate) images: Vec<Image>,
    pub(crate) replacements: Vec<Replacement>,
    pub(crate) replicas: Vec<Replica>,
    pub(crate) vars: Vec<Var>,
    pub(crate) sort: Option<SortOptions>,
    pub(crate) resources: Vec<String>,
    pub(crate) components: Vec<String>,
    pub(crate) crds: Vec<String>,
    pub(crate) config_maps: Vec<Generator>,
    pub(crate) secrets: Vec<Generator>,
    pub(crate) helm_globals: Option<HelmGlobals>,
    pub(crate) helm_charts: Vec<HelmChart>,
    pub(crate) generator_options: Option<GeneratorOptions>,
    pub(crate) configurations: Vec<String>,
    pub(crate) generators: Vec<String>,
    pub(crate) transformers: Vec<String>,
    pub(crate) validators: Vec<String>,
    pub(crate) metadata: Vec<String>,
    /// What kustomize says of old fields.
    pub(crate) warnings: Vec<String>,
}

const FIELDS: &[&str] = &[
    "apiVersion",
    "kind",
    "metadata",
    "openapi",
    "namePrefix",
    "nameSuffix",
    "namespace",
    "commonLabels",
    "labels",
    "commonAnnotations",
    "patchesStrategicMerge",
    "patchesJson6902",
    "patches",
    "images",
    "imageTags",
    "replacements",
    "replicas",
    "vars",
    "sortOptions",
    "resources",
    "components",
    "crds",
    "bases",
    "configMapGenerator",
    "secretGenerator",
    "helmGlobals",
    "helmCharts",
    "helmChartInflationGenerator",
    "generatorOptions",
    "configurations",
    "generators",
    "transformers",
    "validators",
    "buildMetadata",
];

impl Kustomization {
    /// Reads a kustomization; `root` is the folder it stands in.
    pub(crate) fn read(text: &str, root: &str) -> Step<Self> {
        let node = crate::decode::read(text).map_err(|fail| fail.under("invalid Kustomization"))?;
        let mut read = Self::default();
        let mut said = 0;
        if let Some(node) = &node {
            let dec = Dec::root(node, "", Mode::Strict);
            said = read.fill(&dec).map_err(|fail| fail.under("invalid Kustomization"))?;
        }
        if read.kind.is_empty() {
            "Kustomization".clone_into(&mut read.kind);
        }
        if read.api.is_empty() {
            if read.kind == "Component" { COMPONENT } else { KUSTOMIZATION }.clone_into(&mut read.api);
        }
        if said == 0 {
            return Err(Fail::said("kustomization.yaml is empty"));
        }
        read.enforce(root)?;
        Ok(read)
    }

    fn enforce(&self, root: &str) -> Step<()> {
        let mut errors = Vec::new();
        if self.kind != "Kustomization" && self.kind != "Component" {
            errors.push("kind should be Kustomization or Component".to_owned());
        }
        let required = if self.kind == "Component" { COMPONENT } else { KUSTOMIZATION };
        if self.api != required {
            errors.push(format!("apiVersion for {} should be {required}", self.kind));
        }
        if errors.is_empty() {
            return Ok(());
        }
        Err(Fail::said(format!("Failed to read kustomization file under {root}:\n{}", errors.join("\n"))))
    }

    /// Takes all fields; returns how many say something.
    fn fill(&mut self, dec: &Dec<'_>) -> Step<usize> {
        let mut said = 0;
        let (mut bases, mut image_tags, mut old_charts) = (Vec::new(), Vec::new(), Vec::new());
        dec.object("Kustomization", "types.Kustomization", FIELDS, &mut |field, dec| {
            let says = match (field, dec.node) {
                ("apiVersion" | "kind", _) => false,
                ("namePrefix" | "nameSuffix" | "namespace", node) => !node.value().is_empty() && !dec.is_null(),
                _ => !dec.is_null(),
            };
            said += usize::from(says);
            match field {
                "bases" => bases = dec.texts()?,
                "imageTags" => image_tags = images(&dec)?,
                "helmChartInflationGenerator" => old_charts = crate::helm::old_charts(&dec)?,
                field => self.take(field, &dec)?,
            }
            if says {
                self.warn(field);
            }
            Ok(())
        })?;
        let order =
            ["'bases'", "'commonLabels'", "'imageTags'", "'patchesJson6902'", "'patchesStrategicMerge'", "'vars'"];
        self.warnings.sort_by_key(|text| order.iter().position(|word| text.contains(word)));
        self.resources.extend(bases);
        self.images.extend(image_tags);
        for (chart, globals) in old_charts {
            if self.helm_globals.is_none() && globals != HelmGlobals::default() {
                self.helm_globals = Some(globals);
            }
            self.helm_charts.push(chart);
        }
        Ok(said)
    }

    fn warn(&mut self, field: &str) {
        let instead = match field {
            "bases" => "resources",
            "commonLabels" => "labels",
            "imageTags" => "images",
            "patchesJson6902" | "patchesStrategicMerge" => "patches",
            "vars" => "replacements",
            _ => return,
        };
        let experimental = if field == "vars" { "[EXPERIMENTAL] " } else { "" };
        self.warnings
            .push(format!("# Warning: '{field}' is deprecated. Please use '{instead}' instead. {experimental}{FIX}"));
    }

    fn take(&mut self, field: &str, dec: &Dec<'_>) -> Step<()> {
        match field {
            "apiVersion" => self.api = dec.text()?,
            "kind" => self.kind = dec.text()?,
            "metadata" => meta(dec)?,
            "openapi" => self.openapi = dec.map()?,
            "namePrefix" => self.name_prefix = dec.text()?,
            "nameSuffix" => self.name_suffix = dec.text()?,
            "namespace" => self.namespace = dec.text()?,
            "commonLabels" => self.common_labels = dec.map()?,
            "labels" => self.labels = dec.list("types.Label")?.iter().map(label).collect::<Step<_>>()?,
            "commonAnnotations" => self.common_annotations = dec.map()?,
            "patchesStrategicMerge" => self.merges = dec.texts()?,
            "patchesJson6902" => self.json_patches = patches(dec)?,
            "patches" => self.patches = patches(dec)?,
            "images" => self.images = images(dec)?,
            "replacements" => self.replacements = replacements(dec)?,
            "replicas" => self.replicas = dec.list("types.Replica")?.iter().map(replica).collect::<Step<_>>()?,
            "vars" => self.vars = dec.list("types.Var")?.iter().map(var).collect::<Step<_>>()?,
            "sortOptions" => self.sort = sort_options(dec)?,
            "resources" => self.resources = dec.texts()?,
            "components" => self.components = dec.texts()?,
            "crds" => self.crds = dec.texts()?,
            "configMapGenerator" => self.config_maps = generators(dec, "ConfigMapArgs")?,
            "secretGenerator" => self.secrets = generators(dec, "SecretArgs")?,
            "helmGlobals" => self.helm_globals = Some(crate::helm::globals(dec)?),
            "helmCharts" => self.helm_charts = crate::helm::charts(dec)?,
            "generatorOptions" => self.generator_options = generator_options(dec)?,
            "configurations" => self.configurations = dec.texts()?,
            "generators" => self.generators = dec.texts()?,
            "transformers" => self.transformers = dec.texts()?,
            "validators" => self.validators = dec.texts()?,
            _ => self.metadata = dec.texts()?,
        }
        Ok(())
    }

    /// Returns whether `buildMetadata` asks for something.
    pub(crate) fn asks(&self, option: &str) -> bool {
        self.metadata.iter().any(|known| known == option)
    }
}
