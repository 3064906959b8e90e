//! A chart becomes a revision: loaded, rendered for this cluster, written as a record.

use std::collections::BTreeMap;

use base::clock;
use helm::{Options, Previous};
use release::{Hook, Info, Release, Status};
use render::Given;
use serde_json::Value;

use crate::{Cluster, Error, args::RenderArgs, cluster, history::stamp};

/// A chart that is loaded and not rendered yet.
pub(crate) struct Loaded {
    args: RenderArgs,
    files: helm::Files,
    given: Given,
}

/// The revision that a chart becomes.
pub(crate) struct Revision {
    pub(crate) name: String,
    pub(crate) number: u32,
    pub(crate) upgrade: bool,
    pub(crate) previous: Previous,
}

/// Loads a chart and its values, off the async threads.
pub(crate) async fn load(chart: String, args: RenderArgs) -> Result<Loaded, Error> {
    off(move || {
        let files = render::load_chart(&chart, &args.source)?;
        let given = render::given_values(&args.values, &args.source)?;
        Ok(Loaded { args, files, given })
    })
    .await
}

/// Returns the definitions in the chart's `crds/` and in those of the children that are switched on.
pub(crate) fn definitions(loaded: &Loaded, revision: &Revision) -> Result<Vec<Value>, Error> {
    let options = options(loaded, revision, "default");
    let mut all = Vec::new();
    for file in helm::definitions(&loaded.files, &options)? {
        all.extend(cluster::objects(&file.text)?);
    }
    Ok(all)
}

fn options(loaded: &Loaded, revision: &Revision, namespace: &str) -> Options {
    let mut options = Options::new(revision.name.clone(), namespace);
    options.values.clone_from(&loaded.given.files);
    options.set.clone_from(&loaded.given.set);
    options.skip_schema = loaded.args.skip_schema_validation;
    options.upgrade = revision.upgrade;
    options.revision = revision.number;
    options.previous = revision.previous.clone();
    options
}

/// Renders a chart for the cluster as it is now.
pub(crate) async fn render(cluster: &Cluster, loaded: Loaded, revision: Revision) -> Result<Release, Error> {
    let (version, discovered) = cluster.capabilities().await?;
    let mut options = options(&loaded, &revision, &cluster.namespace);
    options.kube_version = version;
    options.discovered = Some(discovered);
    options.moment = Some((clock::zoned(), render::seed(loaded.args.seed.as_deref())));
    let (own, handle) = (cluster.clone(), tokio::runtime::Handle::current());
    options.lookup = Some(std::sync::Arc::new(move |version, kind, namespace, name| {
        handle.block_on(own.look_up(version, kind, namespace, name))
    }));
    let namespace = cluster.namespace.clone();
    off(move || {
        let recorded = helm::record(&loaded.files, &options)?;
        let mut manifest = String::new();
        for one in &recorded.rendered.manifests {
            for part in ["---\n# Source: ", &one.source, "\n", &one.text, "\n"] {
                manifest.push_str(part);
            }
        }
        if let Some(program) = &loaded.args.post_renderer {
            manifest = render::post_render(program, &loaded.args.post_renderer_args, &manifest)?;
        }
        let hooks = recorded.rendered.hooks.iter().map(Hook::of).collect::<Result<_, _>>()?;
        let now = stamp();
        Ok(Release {
            name: revision.name,
            info: Info {
                first_deployed: now.clone(),
                last_deployed: now,
                notes: recorded.rendered.notes.unwrap_or_default(),
                status: Status::Unknown,
                ..Info::default()
            },
            chart: recorded.chart,
            config: recorded.given.as_object().cloned().unwrap_or_default(),
            manifest,
            hooks,
            version: revision.number,
            namespace,
            labels: BTreeMap::new(),
        })
    })
    .await
}

/// Runs work that reads files, fetches or computes, off the async threads.
async fn off<T: Send + 'static>(work: impl FnOnce() -> Result<T, Error> + Send + 'static) -> Result<T, Error> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => Err(Error::Failed { object: "rendering".to_owned(), reason: error.to_string() }),
    }
}

/// Says what a chart's author wants told before it is used.
pub(crate) fn warnings(release: &Release) -> Option<String> {
    let deprecated = release.chart["metadata"]["deprecated"] == true;
    deprecated.then(|| format!("warning: chart {} is deprecated by its authors", release.chart_name()))
}
