//! Is the specification one that can be acted on? Pure.

use base::names::DnsLabel;
use platform::kinds::MicroserviceSpec;

use crate::{
    content::{self, Template},
    git::Name,
    seed::CHARTS,
};

/// Most pods that may be asked for.
const MAX_REPLICAS: u32 = 1000;

/// A specification that can be acted on.
#[derive(Clone, Debug)]
pub(crate) struct Valid {
    pub(crate) repository: Name,
    pub(crate) revision: String,
    pub(crate) template: Option<&'static Template>,
}

/// Checks a specification; an error is its reason in one word, and what to do.
pub(crate) fn validate(name: &str, spec: &MicroserviceSpec) -> Result<Valid, (&'static str, String)> {
    DnsLabel::parse(name).map_err(|error| ("InvalidName", error.to_string()))?;
    let repository = spec.repository.as_deref().unwrap_or(name);
    let repository = Name::parse(repository).map_err(|error| ("InvalidRepository", error.to_string()))?;
    if repository.as_str() == CHARTS {
        return Err(("InvalidRepository", format!("repository {CHARTS} belongs to the platform; choose another name")));
    }
    let template = match spec.template.as_deref() {
        None => None,
        Some(name) => Some(content::template(name).ok_or_else(|| {
            let known: Vec<_> = content::templates().iter().map(|template| template.name).collect();
            ("UnknownTemplate", format!("template {name:?} is not known; there are: {}", known.join(", ")))
        })?),
    };
    if spec.revision.starts_with('-') {
        return Err(("InvalidRevision", format!("revision {:?} must not begin with '-'", spec.revision)));
    }
    Ok(Valid { repository, revision: spec.revision.clone(), template })
}

/// Reads the wish to run so many pods.
pub(crate) fn replicas(text: &str) -> Result<u32, String> {
    match text.parse() {
        Ok(count) if count <= MAX_REPLICAS => Ok(count),
        _ => Err(format!("{text:?} is not a number of pods from 0 to {MAX_REPLICAS}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mistakes_are_named() {
        let spec = |template: Option<&str>, repository: Option<&str>| MicroserviceSpec {
            environment: "development".into(),
            template: template.map(str::to_owned),
            repository: repository.map(str::to_owned),
            revision: "main".into(),
        };
        assert!(validate("orders", &spec(Some("microservice"), None)).is_ok());
        assert_eq!(validate("a.b", &spec(None, None)).unwrap_err().0, "InvalidName");
        assert_eq!(validate("orders", &spec(Some("nope"), None)).unwrap_err().0, "UnknownTemplate");
        assert_eq!(validate("charts", &spec(None, None)).unwrap_err().0, "InvalidRepository");
        assert_eq!(validate("orders", &spec(None, Some("A"))).unwrap_err().0, "InvalidRepository");
    }

    #[test]
    fn a_wish_for_pods_is_a_small_number() {
        assert_eq!(replicas("3"), Ok(3));
        for bad in ["", "-1", "1001", "x"] {
            assert!(replicas(bad).is_err(), "{bad}");
        }
    }
}
