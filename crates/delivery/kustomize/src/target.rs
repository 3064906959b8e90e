//! A kustomization with all it names: resources gathered, generated, transformed.

use std::{cell::RefCell, collections::BTreeMap, collections::HashMap, rc::Rc};

use crate::{
    Limits, Options,
    config::Kustomization,
    fail::{Cause, Context, Fail, Step},
    fieldspec::{FieldSpec, merge_all, merge_one},
    filters::{End, Namespace, Subjects},
    gathered::{Gathered, joined, merge},
    generate::{Made, generate, with_options},
    helm::{HelmChart, HelmGlobals, Reads, inflate},
    load::{Loader, Source},
    nameref,
    origin::{Origin, annotate, transformed},
    patch,
    resmap::ResMap,
    resource::{ORIGIN, Resource, read_all},
    rules::{Rules, of_types},
    schema::Kinds,
    sort, vars,
    work::{Plugin, Work, json_patch, plugin, replacements, transform},
    yaml::{Node, emit},
};

const NAMES: [&str; 3] = ["kustomization.yaml", "kustomization.yml", "Kustomization"];
const LOCAL: &str = "config.kubernetes.io/local-config";
const VERSION: &str = "v5.8.2";

/// What a whole build shares.
pub(crate) struct Build<'a> {
    pub(crate) options: &'a Options<'a>,
    kinds: Rc<Kinds>,
    /// Resources of files that were read.
    files: RefCell<HashMap<String, Rc<[Resource]>>>,
    /// What kustomizations came to that were gathered.
    gathered: RefCell<HashMap<(String, String, u8), Gathered>>,
    warnings: RefCell<Vec<String>>,
    resources: RefCell<usize>,
}

/// Builds what a path names; returns resources in order and what there is to say.
pub(crate) fn build<'a>(
    source: &'a dyn Source,
    path: &str,
    options: &'a Options<'a>,
) -> Step<(Vec<Resource>, Vec<String>)> {
    let build = Build {
        options,
        kinds: Rc::new(Kinds::default()),
        files: RefCell::default(),
        gathered: RefCell::default(),
        warnings: RefCell::default(),
        resources: RefCell::new(0),
    };
    let loader = Loader::start(source, path, options.restriction)?;
    let mut target = Target::load(&build, loader)?;
    target.set_schema()?;
    if !target.kustomization.metadata.is_empty() {
        target.origin = Some(Origin::default());
    }
    let asks = |option: &str| target.kustomization.asks(option);
    let (origins, transformations, managed) =
        (asks("originAnnotations"), asks("transformerAnnotations"), asks("managedByLabel"));
    let sort_options = target.kustomization.sort.clone();
    let mut map = target.finished()?;
    sort::sort(&mut map, sort_options.as_ref(), options.reorder)?;
    if options.managed_by_label || managed {
        let pairs = BTreeMap::from([("app.kubernetes.io/managed-by".to_owned(), format!("kustomize-{VERSION}"))]);
        crate::filters::set_pairs(&mut map, &pairs, &[FieldSpec::any("metadata/labels", true)])?;
    }
    let mut list = map.into_list();
    for resource in &mut list {
        resource.finish(origins, transformations);
    }
    Ok((list, build.warnings.into_inner()))
}

/// Says that a text came from a file.
pub(crate) fn in_file(mut fail: Fail, path: &str) -> Fail {
    if fail.malformed {
        fail.text = format!("{} in File: {path}", fail.text);
    }
    fail
}

struct Target<'b, 'a> {
    build: &'b Build<'a>,
    loader: Rc<Loader<'a>>,
    kustomization: Kustomization,
    file: &'static str,
    origin: Option<Origin>,
    /// Namespace of the kustomization above, for charts.
    chart_namespace: String,
    /// `buildMetadata` of the topmost kustomization.
    metadata: Vec<String>,
}

impl<'b, 'a> Target<'b, 'a> {
    fn load(build: &'b Build<'a>, loader: Rc<Loader<'a>>) -> Step<Self> {
        let limits = &build.options.limits;
        if loader.depth > limits.depth {
            return Err(Fail::new(
                Cause::Limit,
                format!("bases refer to each other more than {} levels deep at '{}'", limits.depth, loader.root),
            ));
        }
        let found: Vec<(&'static str, Rc<[u8]>)> =
            NAMES.iter().filter_map(|name| Some((*name, loader.read_if_there(name, limits.file)?))).collect();
        let (file, content) = match found.as_slice() {
            [] => {
                return Err(Fail::new(
                    Cause::Load,
                    format!(
                        "unable to find one of 'kustomization.yaml', 'kustomization.yml' or 'Kustomization' in directory '{}'",
                        loader.root
                    ),
                ));
            }
            [(file, content)] => (*file, content.clone()),
            _ => {
                return Err(Fail::new(
                    Cause::Load,
                    format!("Found multiple kustomization files under: {}\n", loader.root),
                ));
            }
        };
        let text = text_of(&content, file)?;
        let kustomization = Kustomization::read(&text, &loader.root)?;
        build.warnings.borrow_mut().extend(kustomization.warnings.iter().cloned());
        let metadata = kustomization.metadata.clone();
        Ok(Self { build, loader, kustomization, file, origin: None, chart_namespace: String::new(), metadata })
    }

    fn limits(&self) -> &Limits {
        &self.build.options.limits
    }

    fn set_schema(&self) -> Step<()> {
        let openapi = &self.kustomization.openapi;
        let file = match openapi.get("path") {
            Some(path) => Some(self.text(path)?),
            None => None,
        };
        self.build.kinds.set(openapi.get("version").map(String::as_str), file.as_deref())
    }

    fn text(&self, path: &str) -> Step<String> {
        let bytes = self.loader.read(path, self.limits().file)?;
        text_of(&bytes, path)
    }

    fn empty(&self) -> Gathered {
        Gathered { map: ResMap::new(self.build.kinds.clone()), rules: Rc::new(Rules::default()), vars: BTreeMap::new() }
    }

    /// Gathers everything and does what is done once, at the end.
    fn finished(&mut self) -> Step<ResMap> {
        let mut gathered = self.gather(self.empty())?;
        transform(&mut gathered.map, &Work::Hash)?;
        nameref::fix(&mut gathered.map, &gathered.rules.names)?;
        let unused = vars::resolve(&mut gathered.map, &gathered.vars, &gathered.rules.vars)?;
        if !unused.is_empty() {
            let text = format!("well-defined vars that were never replaced: {}", unused.join(","));
            self.build.warnings.borrow_mut().push(text);
        }
        let local = |resource: &Resource| resource.annotation(LOCAL).is_some_and(|value| value != "false");
        if gathered.map.list().iter().any(local) {
            gathered.map.list_mut().retain(|resource| !local(resource));
        }
        Ok(gathered.map)
    }

    fn gather(&mut self, gathered: Gathered) -> Step<Gathered> {
        let resources = self.kustomization.resources.clone();
        let mut gathered = self.add_resources(gathered, &resources).under(|| "accumulating resources".to_owned())?;
        self.add_rules(&mut gathered)?;
        self.run_generators(&mut gathered)?;
        let components = self.kustomization.components.clone();
        let mut gathered = self.add_components(gathered, &components).under(|| "accumulating components".to_owned())?;
        self.run_transformers(&mut gathered)?;
        self.run_validators(&mut gathered)?;
        let own = std::mem::take(&mut self.kustomization.vars);
        vars::mark(&mut gathered.map, &own)
            .and_then(|()| vars::add(&mut gathered.vars, own))
            .under(|| "merging vars".to_owned())?;
        Ok(gathered)
    }

    fn add_rules(&self, gathered: &mut Gathered) -> Step<()> {
        let mut rules = Rules::built_in();
        if !self.kustomization.configurations.is_empty() {
            let mut more = Rc::new(Rules::default());
            for path in &self.kustomization.configurations {
                let text = self.text(path)?;
                let mut read = Rules::default();
                if let Some(node) = crate::decode::read(&text).map_err(|fail| fail.under(path))? {
                    read.read(&node)?;
                }
                more = more.merged(&Rc::new(read))?;
            }
            rules = rules.merged(&more)?;
        }
        gathered.rules = joined(&gathered.rules, &rules).under(|| "merging config".to_owned())?;
        for path in &self.kustomization.crds {
            let text = self.text(path)?;
            let parsed = if text.starts_with('{') {
                serde_json::from_str(&text).map_err(|error| Fail::new(Cause::Yaml, error.to_string()))
            } else {
                crate::decode::read(&text).map(|node| node.as_ref().map(crate::decode::json).unwrap_or_default())
            };
            let document = parsed.under(|| format!("unable to parse open API definition from '{path}'"))?;
            let more = of_types(&document).under(|| format!("unable to parse open API definition from '{path}'"))?;
            gathered.rules = joined(&gathered.rules, &Rc::new(more)).under(|| "merging CRDs".to_owned())?;
        }
        Ok(())
    }

    /// Adds resources from files, and from folders where a path is none.
    fn add_resources(&mut self, mut gathered: Gathered, paths: &[String]) -> Step<Gathered> {
        for path in paths {
            let Err(file) = self.add_file(&mut gathered, path) else { continue };
            // What is named as a file of the web is no repository.
            let address = path.split('?').next().unwrap_or(path);
            let named = [".yaml", ".yml", ".json"].iter().any(|end| address.ends_with(end));
            if file.cause == Cause::Limit || (file.cause == Cause::Unsupported && named) {
                return Err(file);
            }
            let loader = match self.loader.enter(path) {
                Ok(loader) => loader,
                Err(fail) if file.malformed && fail.cause != Cause::Remote => return Err(file),
                Err(fail) => return Err(fail.under(format!("accumulation err='{}'", file.text))),
            };
            gathered = self.add_folder(gathered, loader, path, Kind::Base).map_err(|fail| {
                if fail.cause == Cause::Limit { fail } else { fail.under(format!("accumulation err='{}'", file.text)) }
            })?;
        }
        Ok(gathered)
    }

    fn add_file(&self, gathered: &mut Gathered, path: &str) -> Step<()> {
        let resources = self.read_resources(path).under(|| format!("accumulating resources from '{path}'"))?;
        let mut resources = resources.to_vec();
        if let Some(origin) = &self.origin {
            let text = origin.append(path).text();
            for resource in &mut resources {
                resource.set_annotation(ORIGIN, Some(&text));
            }
        }
        self.count(resources.len())?;
        gathered.map.append_all(resources).under(|| format!("merging resources from '{path}'"))
    }

    fn count(&self, resources: usize) -> Step<()> {
        let mut count = self.build.resources.borrow_mut();
        *count += resources;
        let most = self.limits().resources;
        if *count > most {
            return Err(Fail::new(Cause::Limit, format!("the build has more than {most} resources")));
        }
        Ok(())
    }

    fn read_resources(&self, path: &str) -> Step<Rc<[Resource]>> {
        let real = self.loader.locate(path)?;
        if let Some(known) = self.build.files.borrow().get(&real) {
            return Ok(known.clone());
        }
        let text = self.text(path)?;
        let resources = read_all(&text).map_err(|fail| in_file(fail, path))?;
        // Two of the same id in one file are refused before they meet others.
        ResMap::from_list(self.build.kinds.clone(), resources.clone())?;
        let resources: Rc<[Resource]> = resources.into();
        self.build.files.borrow_mut().insert(real, resources.clone());
        Ok(resources)
    }

    fn add_components(&mut self, mut gathered: Gathered, paths: &[String]) -> Step<Gathered> {
        for path in paths {
            let loader =
                self.loader.enter(path).map_err(|fail| Fail { text: format!("loader.New {:?}", fail.text), ..fail })?;
            gathered = self
                .add_folder(gathered, loader, path, Kind::Component)
                .map_err(|fail| Fail { text: format!("accumulateDirectory: {:?}", fail.text), ..fail })?;
        }
        Ok(gathered)
    }

    fn add_folder(&mut self, mut gathered: Gathered, loader: Rc<Loader<'a>>, path: &str, kind: Kind) -> Step<Gathered> {
        let root = loader.root.clone();
        let namespace = if self.kustomization.namespace.is_empty() {
            self.chart_namespace.clone()
        } else {
            self.kustomization.namespace.clone()
        };
        let key = (root.clone(), namespace.clone(), self.build.kinds.state());
        let cached = self.origin.is_none() && kind == Kind::Base;
        if cached && let Some(known) = self.build.gathered.borrow().get(&key) {
            self.count(known.map.list().len())?;
            return merge(gathered, known.clone()).under(|| format!("recursed merging from path '{root}'"));
        }
        let mut inner = Target::load(self.build, loader).under(|| format!("couldn't make target for path '{root}'"))?;
        inner.metadata.clone_from(&self.metadata);
        inner.origin = self.origin.as_ref().map(|origin| origin.append(path));
        inner.chart_namespace = namespace;
        inner.set_schema()?;
        let component = inner.kustomization.kind == "Component";
        match kind {
            Kind::Component if !component => {
                return Err(Fail::said(format!(
                    "expected kind 'Component' for path '{root}' but got '{}'",
                    inner.kustomization.kind
                )));
            }
            Kind::Base if component => {
                return Err(Fail::said(format!("expected kind != 'Component' for path '{root}'")));
            }
            _ => {}
        }
        let start =
            if kind == Kind::Component { std::mem::replace(&mut gathered, self.empty()) } else { inner.empty() };
        let found = inner.gather(start).under(|| format!("recursed accumulation of path '{root}'"))?;
        if cached {
            self.build.gathered.borrow_mut().insert(key, found.clone());
        }
        merge(gathered, found).under(|| format!("recursed merging from path '{root}'"))
    }

    fn run_generators(&mut self, gathered: &mut Gathered) -> Step<()> {
        let read = |path: &str| self.loader.read(path, self.limits().file);
        let options = self.kustomization.generator_options.as_ref();
        let builtin = |kind: &str| self.origin.as_ref().map(|origin| origin.builtin(self.file, kind));
        let mut made: Vec<(Vec<Resource>, Option<Origin>)> = Vec::new();
        for (kind, name, list) in [
            (Made::ConfigMap, "ConfigMapGenerator", &self.kustomization.config_maps),
            (Made::Secret, "SecretGenerator", &self.kustomization.secrets),
        ] {
            for args in list {
                let resource = generate(kind, &with_options(args, options), &read)?;
                made.push((vec![resource], builtin(name)));
            }
        }
        for chart in &self.kustomization.helm_charts {
            let mut chart = chart.clone();
            if chart.namespace.is_empty() {
                chart.namespace = if self.kustomization.namespace.is_empty() {
                    self.chart_namespace.clone()
                } else {
                    self.kustomization.namespace.clone()
                };
            }
            let globals = self.kustomization.helm_globals.clone().unwrap_or_default();
            made.push((self.inflate(chart, &globals)?, builtin("HelmChartInflationGenerator")));
        }
        let configs = self.plugin_configs(&self.kustomization.generators.clone(), "generator")?;
        for config in configs {
            let origin = Origin::of_plugin(&config);
            let loaded = self
                .plugin(&config)
                .under(|| "failed to load generator".to_owned())
                .under(|| "loading generator plugins".to_owned())?;
            let resources = match loaded {
                Plugin::Generate(kind, args) => {
                    let read = |path: &str| self.loader.read(path, self.limits().file);
                    vec![generate(kind, &args, &read)?]
                }
                Plugin::Chart(chart, globals) => self.inflate(*chart, &globals)?,
                Plugin::Ready(resources) => resources,
                Plugin::Transform(_) => {
                    return Err(Fail::said(format!(
                        "loading generator plugins: failed to load generator: plugin {} not a generator",
                        crate::resource::id_text(&config.node)
                    )));
                }
            };
            made.push((resources, origin));
        }
        for (mut resources, origin) in made {
            self.count(resources.len())?;
            if let Some(origin) = &origin {
                annotate(&mut resources, origin);
            }
            gathered.map.absorb_all(resources).under(|| "merging from generator".to_owned())?;
        }
        Ok(())
    }

    fn inflate(&self, chart: HelmChart, globals: &HelmGlobals) -> Step<Vec<Resource>> {
        let text = |path: &str| self.text(path);
        let real = |path: &str| self.loader.locate(path);
        let reads = Reads { text: &text, real: &real, root: &self.loader.root };
        inflate(chart, globals, self.build.options.charts, &reads, &self.build.kinds)
    }

    fn plugin(&self, config: &Resource) -> Step<Plugin> {
        plugin(config, &self.loader.root, &|path| self.text(path))
    }

    /// Returns configurations of plugins: given inline, in files, or made by kustomizations.
    fn plugin_configs(&mut self, entries: &[String], what: &str) -> Step<Vec<Resource>> {
        let mut gathered = self.empty();
        let mut paths = Vec::new();
        for entry in entries {
            let inline = read_all(entry).and_then(|list| ResMap::from_list(self.build.kinds.clone(), list));
            let Ok(inline) = inline else {
                paths.push(entry.clone());
                continue;
            };
            let mut list = inline.into_list();
            if let Some(origin) = &self.origin {
                let text = origin.append(self.file).text();
                for resource in &mut list {
                    resource.set_annotation(ORIGIN, Some(&text));
                }
            }
            gathered.map.append_all(list).under(|| format!("configuring external {what}"))?;
        }
        Ok(self.add_resources(gathered, &paths)?.map.into_list())
    }

    fn run_transformers(&mut self, gathered: &mut Gathered) -> Step<()> {
        let mut works = self.own_transformers(&gathered.rules)?;
        let entries = self.kustomization.transformers.clone();
        works.extend(self.external(&entries)?);
        for (work, origin) in works {
            transform(&mut gathered.map, &work)?;
            if let Some(origin) = origin {
                transformed(&mut gathered.map, &origin);
            }
            gathered.map.drop_empties();
        }
        Ok(())
    }

    fn external(&mut self, entries: &[String]) -> Step<Vec<(Work, Option<Origin>)>> {
        let mut works = Vec::new();
        for config in self.plugin_configs(entries, "transformer")? {
            match self.plugin(&config)? {
                Plugin::Transform(work) => works.push((work, Origin::of_plugin(&config))),
                _ => {
                    return Err(Fail::said(format!(
                        "plugin {} not a transformer",
                        crate::resource::id_text(&config.node)
                    )));
                }
            }
        }
        Ok(works)
    }

    /// Returns what the kustomization's own fields ask for, in kustomize's order.
    fn own_transformers(&self, rules: &Rules) -> Step<Vec<(Work, Option<Origin>)>> {
        let own = &self.kustomization;
        let read = |path: &str| self.text(path);
        let mut works: Vec<(&str, Work)> = Vec::new();
        if !own.merges.is_empty() {
            let patches = patch::ready_merges(&own.merges, &read)
                .map_err(|fail| trouble(fail, "PatchStrategicMergeTransformer"))?;
            works.push(("PatchStrategicMergeTransformer", Work::Merges(patches)));
        }
        for entry in &own.patches {
            let ready = patch::ready(entry, &read).map_err(|fail| trouble(fail, "PatchTransformer"))?;
            works.push(("PatchTransformer", Work::Patch(ready)));
        }
        if !own.namespace.is_empty() {
            let specs = rules.namespace.clone();
            let subjects = Subjects::default();
            let namespace = Namespace { name: own.namespace.clone(), specs, unset_only: false, subjects };
            works.push(("NamespaceTransformer", Work::Namespace(namespace)));
        }
        for (end, name, text, specs) in [
            (End::Prefix, "PrefixTransformer", &own.name_prefix, &rules.name_prefix),
            (End::Suffix, "SuffixTransformer", &own.name_suffix, &rules.name_suffix),
        ] {
            if !text.is_empty() {
                works.push((name, Work::Rename { ends: vec![(end, text.clone())], specs: specs.clone() }));
            }
        }
        self.label_transformers(rules, &mut works)?;
        if !own.common_annotations.is_empty() {
            let work = Work::Pairs { pairs: own.common_annotations.clone(), specs: rules.annotations.clone() };
            works.push(("AnnotationsTransformer", work));
        }
        for entry in &own.json_patches {
            let work = json_patch(entry, &read).map_err(|fail| trouble(fail, "PatchJson6902Transformer"))?;
            works.push(("PatchJson6902Transformer", work));
        }
        for replica in &own.replicas {
            let work = Work::Replica { replica: replica.clone(), specs: rules.replicas.clone() };
            works.push(("ReplicaCountTransformer", work));
        }
        for image in &own.images {
            works.push(("ImageTagTransformer", Work::Image { image: image.clone(), specs: rules.images.clone() }));
        }
        if !own.replacements.is_empty() {
            let work =
                replacements(&own.replacements, &read).map_err(|fail| trouble(fail, "ReplacementTransformer"))?;
            works.push(("ReplacementTransformer", work));
        }
        let origin = |kind: &str| self.origin.as_ref().map(|origin| origin.builtin(self.file, kind));
        Ok(works.into_iter().map(|(kind, work)| (work, origin(kind))).collect())
    }

    fn label_transformers(&self, rules: &Rules, works: &mut Vec<(&str, Work)>) -> Step<()> {
        let own = &self.kustomization;
        if own.labels.is_empty() && own.common_labels.is_empty() {
            return Ok(());
        }
        for label in &own.labels {
            let mut specs = label.fields.clone();
            let merged = || -> Step<()> {
                merge_all(&mut specs, &rules.labels)?;
                if label.selectors {
                    return merge_all(&mut specs, &rules.common_labels);
                }
                if label.templates {
                    merge_all(&mut specs, &rules.template_labels)
                        .under(|| "failed to merge template fieldSpec".to_owned())?;
                }
                if label.claim_templates {
                    merge_all(&mut specs, &rules.claim_labels)
                        .under(|| "failed to merge volumeClaimTemplate fieldSpec".to_owned())?;
                }
                merge_one(&mut specs, &FieldSpec::any("metadata/labels", true))
            };
            let mut merged = merged;
            merged().under(|| "failed to merge labels".to_owned())?;
            works.push(("LabelTransformer", Work::Pairs { pairs: label.pairs.clone(), specs }));
        }
        let work = Work::Pairs { pairs: own.common_labels.clone(), specs: rules.common_labels.clone() };
        works.push(("LabelTransformer", work));
        Ok(())
    }

    fn run_validators(&mut self, gathered: &mut Gathered) -> Step<()> {
        let entries = self.kustomization.validators.clone();
        for (work, _) in self.external(&entries)? {
            let before = gathered.map.clone();
            transform(&mut gathered.map, &work)?;
            let same = before.list().len() == gathered.map.list().len()
                && before.list().iter().zip(gathered.map.list()).all(|(before, after)| untouched(before, after));
            if !same {
                return Err(Fail::build("validator shouldn't modify the resource map"));
            }
        }
        Ok(())
    }
}

/// Returns whether nothing was written to a resource but the label that validators leave.
fn untouched(before: &Resource, after: &Resource) -> bool {
    let (Node::Map(old), Node::Map(new)) = (&before.node, &after.node) else { return false };
    if Rc::ptr_eq(old, new) {
        return true;
    }
    let mut labels = after.strings("labels");
    let told = labels.len();
    labels.retain(|(key, _)| &**key != "validated-by");
    if labels.len() == told {
        return false;
    }
    let mut after = after.clone();
    after.set_strings("labels", labels);
    emit(&before.node) == emit(&after.node)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Base,
    Component,
}

fn trouble(fail: Fail, kind: &str) -> Fail {
    fail.under(format!("trouble configuring builtin {kind}"))
}

fn text_of(bytes: &[u8], path: &str) -> Step<String> {
    let text = std::str::from_utf8(bytes).map_err(|error| Fail {
        malformed: true,
        ..Fail::new(Cause::Yaml, format!("'{path}' is no UTF-8: {error}"))
    })?;
    Ok(text.strip_prefix('\u{feff}').unwrap_or(text).to_owned())
}
