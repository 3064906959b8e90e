//! What the portal deploys templates with.

use base::fault::Fault;
use deploy::{Conflicts, Mode};
use kube::Client;
use platform::rest::{DeployTemplate, Deployed, DeployedObject, Parameter};
use portal::{Deploying, Trial};
use template::{Template, Unknown};

/// The template engine and what applies its objects.
pub(crate) struct Templates;

impl portal::Deployer for Templates {
    fn read(&self, text: &str) -> Option<(String, Vec<Parameter>)> {
        let template = Template::read(text).ok()?;
        let parameters = template.parameters.into_iter().map(|one| Parameter {
            generated: one.from.is_some(),
            name: one.name,
            description: one.description,
            value: one.value,
            required: one.required,
        });
        Some((template.description, parameters.collect()))
    }

    fn deploy<'a>(&'a self, client: Client, text: &'a str, wish: &'a DeployTemplate, trial: Trial) -> Deploying<'a> {
        Box::pin(async move {
            let boxed = |error| Box::new(error) as Box<dyn Fault>;
            // What is random in the world is not shared with other threads: it ends before the first request.
            let processed = {
                let world = render::world(base::clock::zoned(), None);
                let template = Template::read(text).map_err(boxed)?;
                template.process(&wish.parameters, Unknown::Refused, &world).map_err(boxed)?
            };
            let mode = if trial == Trial::Yes { Mode::Trial } else { Mode::Apply };
            let done = deploy::deploy(&client, &processed, &wish.namespace, mode, Conflicts::Refuse)
                .await
                .map_err(|error| Box::new(error) as Box<dyn Fault>)?;
            let objects = done.into_iter().map(|one| DeployedObject {
                api_version: one.api_version,
                kind: one.kind,
                namespace: one.namespace,
                name: one.name,
                outcome: one.outcome.to_string(),
            });
            Ok(Deployed { objects: objects.collect(), message: processed.message })
        })
    }
}
