//! `helmCharts`: charts that the caller renders.

use crate::{
    decode::Dec,
    fail::{Cause, Context, Fail, Step},
    merge::merge,
    resource::{Resource, read_all},
    schema::Kinds,
    yaml::{Node, json},
};

/// `helmGlobals`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HelmGlobals {
    /// Folder of charts; `charts` by default.
    pub chart_home: String,
    /// Helm's own configuration.
    pub config_home: String,
}

/// An entry of `helmCharts`.
#[derive(Clone, Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub struct HelmChart {
    /// The chart's name.
    pub name: String,
    /// Its version; nothing for the newest.
    pub version: String,
    /// Where it is fetched from if it is not there.
    pub repo: String,
    /// Name of the release.
    pub release_name: String,
    /// Namespace of the release.
    pub namespace: String,
    /// More values files: real paths.
    pub additional_values_files: Vec<String>,
    /// The values file.
    pub values_file: String,
    /// `override`, `merge` or `replace`.
    pub values_merge: String,
    /// Gives the chart's definitions too.
    pub include_crds: bool,
    /// Leaves hooks out.
    pub skip_hooks: bool,
    /// API versions that the cluster has.
    pub api_versions: Vec<String>,
    /// The cluster's version.
    pub kube_version: String,
    /// Template of the release's name.
    pub name_template: String,
    /// Leaves tests out.
    pub skip_tests: bool,
    /// Prints more when it fails.
    pub debug: bool,
    /// Takes unfinished versions too.
    pub devel: bool,
    /// Values given in the kustomization.
    pub(crate) values_inline: Option<Node>,
}

/// Renders charts for a build.
pub trait Charts {
    /// Makes sure that a chart is there, fetching it into `home` if need be, and returns its folder.
    fn locate(&self, chart: &HelmChart, home: &str) -> Result<String, String>;
    /// Renders the chart in a folder with values, as `helm template` prints it. The last text wins.
    fn render(&self, folder: &str, chart: &HelmChart, values: &[String]) -> Result<String, String>;
}

pub(crate) fn globals(dec: &Dec<'_>) -> Step<HelmGlobals> {
    let mut globals = HelmGlobals::default();
    dec.object("HelmGlobals", "types.HelmGlobals", &["chartHome", "configHome"], &mut |field, dec| {
        match field {
            "chartHome" => globals.chart_home = dec.text()?,
            _ => globals.config_home = dec.text()?,
        }
        Ok(())
    })?;
    Ok(globals)
}

const FIELDS: &[&str] = &[
    "name",
    "version",
    "repo",
    "releaseName",
    "namespace",
    "additionalValuesFiles",
    "valuesFile",
    "valuesInline",
    "valuesMerge",
    "includeCRDs",
    "skipHooks",
    "apiVersions",
    "kubeVersion",
    "nameTemplate",
    "skipTests",
    "debug",
    "devel",
];

impl HelmChart {
    pub(crate) fn take(&mut self, field: &str, dec: &Dec<'_>) -> Step<()> {
        match field {
            "name" => self.name = dec.text()?,
            "version" => self.version = dec.text()?,
            "repo" => self.repo = dec.text()?,
            "releaseName" => self.release_name = dec.text()?,
            "namespace" => self.namespace = dec.text()?,
            "additionalValuesFiles" => self.additional_values_files = dec.texts()?,
            "valuesFile" => self.values_file = dec.text()?,
            "valuesInline" => self.values_inline = inline(dec.node),
            "valuesMerge" => self.values_merge = dec.text()?,
            "includeCRDs" => self.include_crds = dec.flag()?,
            "skipHooks" => self.skip_hooks = dec.flag()?,
            "apiVersions" => self.api_versions = dec.texts()?,
            "kubeVersion" => self.kube_version = dec.text()?,
            "nameTemplate" => self.name_template = dec.text()?,
            "skipTests" => self.skip_tests = dec.flag()?,
            "debug" => self.debug = dec.flag()?,
            _ => self.devel = dec.flag()?,
        }
        Ok(())
    }
}

fn inline(node: &Node) -> Option<Node> {
    let map = node.as_map()?;
    (!map.entries.is_empty()).then(|| json::node(&crate::decode::json(node)))
}

pub(crate) fn charts(dec: &Dec<'_>) -> Step<Vec<HelmChart>> {
    dec.list("types.HelmChart")?
        .iter()
        .map(|dec| {
            let mut chart = HelmChart::default();
            dec.object("HelmChart", "types.HelmChart", FIELDS, &mut |field, dec| chart.take(field, &dec))?;
            Ok(chart)
        })
        .collect()
}

/// A chart of a `HelmChartInflationGenerator`, which names globals beside it.
pub(crate) fn plugin(dec: &Dec<'_>) -> Step<(HelmChart, HelmGlobals)> {
    let (mut chart, mut globals) = (HelmChart::default(), HelmGlobals::default());
    let fields: Vec<&'static str> = FIELDS.iter().copied().chain(["chartHome", "configHome"]).collect();
    dec.object("HelmChartInflationGenerator", "builtins.HelmChartInflationGenerator", &fields, &mut |field, dec| {
        match field {
            "chartHome" => globals.chart_home = dec.text()?,
            "configHome" => globals.config_home = dec.text()?,
            field => chart.take(field, &dec)?,
        }
        Ok(())
    })?;
    Ok((chart, globals))
}

/// Reads the old field `helmChartInflationGenerator`.
pub(crate) fn old_charts(dec: &Dec<'_>) -> Step<Vec<(HelmChart, HelmGlobals)>> {
    let fields = [
        "chartName",
        "chartVersion",
        "chartRepoUrl",
        "chartHome",
        "chartRepoName",
        "helmBin",
        "helmHome",
        "values",
        "valuesLocal",
        "valuesMerge",
        "releaseName",
        "releaseNamespace",
        "extraArgs",
    ];
    dec.list("types.HelmChartArgs")?
        .iter()
        .map(|dec| {
            let (mut chart, mut globals) = (HelmChart::default(), HelmGlobals::default());
            dec.object("HelmChartArgs", "types.HelmChartArgs", &fields, &mut |field, dec| {
                match field {
                    "chartName" => chart.name = dec.text()?,
                    "chartVersion" => chart.version = dec.text()?,
                    "chartRepoUrl" => chart.repo = dec.text()?,
                    "chartHome" => globals.chart_home = dec.text()?,
                    "helmHome" => globals.config_home = dec.text()?,
                    "values" => chart.values_file = dec.text()?,
                    "valuesLocal" => chart.values_inline = inline(dec.node),
                    "valuesMerge" => chart.values_merge = dec.text()?,
                    "releaseName" => chart.release_name = dec.text()?,
                    "extraArgs" => dec.texts().map(drop)?,
                    // kustomize reads these and does nothing with them.
                    _ => dec.text().map(drop)?,
                }
                Ok(())
            })?;
            Ok((chart, globals))
        })
        .collect()
}

/// Reads a file that a chart names; the second returns its real path.
pub(crate) struct Reads<'a> {
    pub(crate) text: &'a dyn Fn(&str) -> Step<String>,
    pub(crate) real: &'a dyn Fn(&str) -> Step<String>,
    pub(crate) root: &'a str,
}

/// Renders a chart.
pub(crate) fn inflate(
    mut chart: HelmChart,
    globals: &HelmGlobals,
    charts: Option<&dyn Charts>,
    reads: &Reads<'_>,
    kinds: &Kinds,
) -> Step<Vec<Resource>> {
    let Some(charts) = charts else { return Err(Fail::said("must specify --enable-helm")) };
    if chart.name.is_empty() {
        return Err(Fail::said("chart name cannot be empty"));
    }
    for (what, text) in [("releaseName", &chart.release_name), ("chart name", &chart.name)] {
        if text.starts_with('-') {
            return Err(Fail::said(format!("{what} must not start with '-', got {text:?}")));
        }
    }
    let mut more = Vec::new();
    for file in &mut chart.additional_values_files {
        more.push((reads.text)(file).under(|| "could not load additionalValuesFile".to_owned())?);
        *file = (reads.real)(file)?;
    }
    match chart.values_merge.as_str() {
        "" => "override".clone_into(&mut chart.values_merge),
        "merge" | "override" | "replace" => {}
        _ => return Err(Fail::said("valuesMerge must be one of [merge override replace]")),
    }
    let home = if globals.chart_home.is_empty() { "charts" } else { &globals.chart_home };
    let mut home = if home.starts_with('/') { home.to_owned() } else { crate::load::join(reads.root, home) };
    if !chart.version.is_empty() && !chart.repo.is_empty() {
        home = format!("{home}/{}-{}", chart.name, chart.version);
    }
    let folder = charts.locate(&chart, &home).map_err(|text| Fail::new(Cause::Load, text))?;
    if chart.values_file.is_empty() {
        chart.values_file = format!("{folder}/values.yaml");
    }
    let values = values(&chart, reads, kinds)?;
    let texts: Vec<String> = std::iter::once(values).chain(more).collect();
    let text = charts.render(&folder, &chart, &texts).map_err(Fail::build)?;
    let mut resources = read_all(&text).map_err(|fail| fail.under("could not parse bytes into resource map"))?;
    for resource in &mut resources {
        let memory = resource.memory_mut();
        memory.from_helm = true;
        memory.annotated = true;
    }
    Ok(resources)
}

fn values(chart: &HelmChart, reads: &Reads<'_>, kinds: &Kinds) -> Step<String> {
    let Some(inline) = &chart.values_inline else { return (reads.text)(&chart.values_file) };
    let merged = if chart.values_merge == "replace" {
        Some(inline.clone())
    } else {
        let text = (reads.text)(&chart.values_file)?;
        let file = crate::path::parse_inner(&text)
            .under(|| "could not parse values file into rnode".to_owned())?
            .unwrap_or_else(|| Node::map(Vec::new()));
        if chart.values_merge == "merge" {
            merge(kinds, inline.clone(), file)?
        } else {
            merge(kinds, file, inline.clone())?
        }
    };
    let mut out = String::new();
    if let Some(merged) = merged {
        crate::yaml::write::document(&mut out, &merged)?;
    }
    Ok(out)
}
