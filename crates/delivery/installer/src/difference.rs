//! `roadstead helm diff`.

use release::difference::{self, Context};

use crate::{
    Cluster, Error,
    args::DiffArgs,
    history::History,
    prepare::{self, Revision},
    upgrade::{Reuse, current},
};

/// Shows what an upgrade would change, or how two revisions differ.
pub(crate) async fn run(cluster: &Cluster, args: DiffArgs) -> Result<String, Error> {
    let history = History::new(cluster);
    let (old, new) = match &args.chart_name {
        Some(chart) => {
            let all = history.of(&args.name).await?;
            let last = match all.last() {
                Some(last) => Some((last, current(last, &all)?)),
                None if args.allow_unreleased => None,
                None => return Err(history.missing(format!("release {}", args.name))),
            };
            let reuse = Reuse::of(&args.reuse);
            let revision = Revision {
                name: args.name.clone(),
                number: last.map_or(1, |(last, _)| last.version + 1),
                upgrade: last.is_some(),
                previous: last.map_or_else(Default::default, |(_, current)| reuse.from(current)),
            };
            let release =
                prepare::render(cluster, prepare::load(chart.clone(), args.render.clone()).await?, revision).await?;
            (last.map(|(_, current)| current.manifest.clone()).unwrap_or_default(), release.manifest)
        }
        None => match args.revision.as_slice() {
            [one] => {
                (history.revision(&args.name, Some(*one)).await?.manifest, history.last(&args.name).await?.manifest)
            }
            [one, other] => (
                history.revision(&args.name, Some(*one)).await?.manifest,
                history.revision(&args.name, Some(*other)).await?.manifest,
            ),
            _ => return Err(Error::Usage { reason: "--revision is given once or twice".to_owned() }),
        },
    };
    let changes = difference::between(&old, &new, &cluster.namespace, Context(args.context));
    let text = difference::text(&changes);
    if args.exit_code && !changes.is_empty() {
        return Err(Error::Differs { count: changes.len(), text });
    }
    Ok(text)
}
