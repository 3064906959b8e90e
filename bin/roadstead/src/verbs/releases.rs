//! `roadstead helm`: releases of charts.

use std::sync::Arc;

use base::fault::Fault as _;

use crate::{output, paths::Paths};

/// Runs the verb on the cluster that its flags, `$KUBECONFIG` or the running platform name.
pub(crate) async fn run(paths: &Paths, verb: installer::Verb) -> anyhow::Result<()> {
    let own = paths.kubeconfig();
    let platform = own.exists().then_some(own.as_path());
    match installer::run(verb, platform, Arc::new(output::note)).await {
        Ok(text) => {
            output::raw(text.as_bytes());
            Ok(())
        }
        Err(error) => {
            if let installer::Error::Differs { text, .. } = &error {
                output::raw(text.as_bytes());
            }
            anyhow::bail!("{} ({})", base::fault::Chain(&error), error.code())
        }
    }
}
