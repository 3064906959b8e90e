//! `roadstead helm test`.

use std::fmt::Write as _;

use release::{Event, Status, hook};

use crate::{
    Cluster, Error, Tell,
    args::{Output, TestArgs},
    history::History,
    hooks::Runner,
    show, stop,
};

/// Runs the tests of a release; fails if one does.
pub(crate) async fn run(cluster: &Cluster, args: TestArgs, tell: &Tell) -> Result<String, Error> {
    let history = History::new(cluster);
    let mut release = history.last(&args.name).await?;
    if release.info.status != Status::Deployed {
        let reason =
            format!("release {} is {}, and only a deployed one is tested", args.name, release.info.status.name());
        return Err(Error::Usage { reason });
    }
    let mut order = hook::at(&release.hooks, Event::Test);
    let wanted = |name: &str| {
        let named = args.filter.iter().filter(|one| !one.starts_with('!'));
        let left_out = args.filter.iter().any(|one| one.strip_prefix('!') == Some(name));
        !left_out && (named.clone().count() == 0 || named.clone().any(|one| one == name))
    };
    order.retain(|index| wanted(&release.hooks[*index].name));
    if order.is_empty() {
        return Ok(format!(
            "release {} has no tests{}\n",
            args.name,
            if args.filter.is_empty() { "" } else { " of these names" }
        ));
    }
    let runner = Runner { cluster, history: &history, timeout: args.timeout, tell };
    let done = stop::or_interrupted(runner.run_these(&mut release, Event::Test, &order)).await;
    history.update(&release).await?;
    if args.logs {
        for index in &order {
            runner.log(&release, &release.hooks[*index]).await;
        }
    }
    let mut out = show::status(&release, Output::Table, show::Notes::Hidden);
    for index in order {
        let hook = &release.hooks[index];
        let _infallible = writeln!(out, "TEST {}: {:?}", hook.name, hook.last_run.phase);
    }
    done.map(|()| out)
}
