//! Charts of kustomizations, rendered by the chart engine of this house.

use std::{fs, path::Path};

use jiff::Zoned;
use kustomize::{Charts, HelmChart};

use crate::{ChartSource, HelmArgs, ValuesArgs, charts, helm};

/// Charts from folders of this machine, and from repositories into such folders.
pub(super) struct LocalCharts {
    pub(super) now: Zoned,
    pub(super) kube_version: Option<String>,
    pub(super) api_versions: Vec<String>,
}

impl Charts for LocalCharts {
    fn locate(&self, chart: &HelmChart, home: &str) -> Result<String, String> {
        let versioned = |version: &str| Path::new(home).join(format!("{}-{version}", chart.name)).join(&chart.name);
        let plain = Path::new(home).join(&chart.name);
        let found =
            [versioned(&chart.version), plain.clone()].into_iter().find(|folder| folder.join("Chart.yaml").is_file());
        if let Some(folder) = found {
            return Ok(folder.display().to_string());
        }
        if chart.repo.is_empty() {
            return Err(format!("no repo specified for pull, no chart found at '{}'", plain.display()));
        }
        let source = ChartSource {
            version: (!chart.version.is_empty()).then(|| chart.version.clone()),
            devel: chart.devel,
            repo: (!chart.repo.starts_with("oci://")).then(|| chart.repo.clone()),
            ..ChartSource::default()
        };
        let reference = if chart.repo.starts_with("oci://") {
            format!("{}/{}", chart.repo.trim_end_matches('/'), chart.name)
        } else {
            chart.name.clone()
        };
        let files = charts::load(&reference, &source).map_err(|error| error.to_string())?;
        let folder = if chart.version.is_empty() { plain } else { versioned(&chart.version) };
        for (path, bytes) in files {
            let path = folder.join(path);
            let written = path.parent().map_or(Ok(()), fs::create_dir_all).and_then(|()| fs::write(&path, bytes));
            written.map_err(|error| format!("failed to write {}: {error}", path.display()))?;
        }
        Ok(folder.display().to_string())
    }

    fn render(&self, folder: &str, chart: &HelmChart, values: &[String]) -> Result<String, String> {
        let own = |text: &String| (!text.is_empty()).then(|| text.clone());
        let args = HelmArgs {
            name_and_chart: own(&chart.release_name).into_iter().chain([folder.to_owned()]).collect(),
            values: ValuesArgs::default(),
            namespace: own(&chart.namespace).unwrap_or_else(|| "default".to_owned()),
            kube_version: own(&chart.kube_version)
                .or_else(|| self.kube_version.clone())
                .unwrap_or_else(|| "v1.36.0".to_owned()),
            api_versions: self.api_versions.iter().chain(&chart.api_versions).cloned().collect(),
            include_crds: chart.include_crds,
            no_hooks: chart.skip_hooks,
            skip_tests: chart.skip_tests,
            name_template: own(&chart.name_template),
            generate_name: chart.release_name.is_empty() && chart.name_template.is_empty(),
            ..HelmArgs::default()
        };
        helm::text(&args, self.now.clone(), values.to_vec()).map_err(|error| error.to_string())
    }
}
