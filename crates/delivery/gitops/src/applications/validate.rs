//! Is the specification one that can be acted on, and does its project allow it? Pure.

use kube::api::DynamicObject;
use platform::argo::{AppProjectSpec, ApplicationCondition, ApplicationSpec, Destination, Source};

use super::live::CONTROL_NAMESPACE;
use crate::git::{self, Name};

/// A specification that can be acted on.
#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of its own in Argo CD's specification")]
pub(crate) struct Valid {
    pub(crate) project: String,
    pub(crate) sources: Vec<ValidSource>,
    /// Whether `spec.sources` was used, which decides the shape of the status.
    pub(crate) several: bool,
    pub(crate) destination: Destination,
    pub(crate) automated: bool,
    pub(crate) prune: bool,
    pub(crate) self_heal: bool,
    pub(crate) allow_empty: bool,
    pub(crate) create_namespace: bool,
    pub(crate) prune_last: bool,
    /// Deleting waits for what depends on an object.
    pub(crate) foreground: bool,
    pub(crate) history: usize,
}

/// A source on the platform's git host.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ValidSource {
    pub(crate) repository: Name,
    pub(crate) revision: String,
    pub(crate) source: Source,
}

/// Makes a condition of type `kind`.
pub(crate) fn condition(kind: &str, message: impl Into<String>) -> ApplicationCondition {
    ApplicationCondition { kind: kind.to_owned(), message: message.into(), last_transition_time: None }
}

fn invalid(message: impl Into<String>) -> ApplicationCondition {
    condition("InvalidSpecError", message)
}

/// Checks a specification; every mistake is told.
pub(crate) fn validate(object: &DynamicObject) -> Result<Valid, Vec<ApplicationCondition>> {
    let spec: ApplicationSpec = match serde_json::from_value(object.data["spec"].clone()) {
        Ok(spec) => spec,
        Err(error) => return Err(vec![invalid(format!("spec cannot be read: {error}"))]),
    };
    let mut mistakes = Vec::new();
    if spec.project.is_empty() {
        mistakes.push(invalid("spec.project must be given; 'default' allows everything"));
    }
    check_destination(&spec.destination, &mut mistakes);
    if let Some(own) = confined_to(object)
        && spec.destination.namespace.as_deref() != Some(own)
    {
        mistakes.push(invalid(format!(
            "an application outside namespace {CONTROL_NAMESPACE} may deploy only to its own namespace, {own}"
        )));
    }
    let several = !spec.sources.is_empty();
    let given = if several { spec.sources } else { spec.source.into_iter().collect() };
    if given.is_empty() {
        mistakes.push(invalid("spec.source.repoURL and spec.source.path must be given"));
    }
    let references: Vec<String> = given.iter().filter_map(|source| source.reference.clone()).collect();
    let mut sources = Vec::new();
    for source in given {
        match check_source(source, &references) {
            Ok(source) => sources.push(source),
            Err(mistake) => mistakes.push(mistake),
        }
    }
    let policy = spec.sync_policy.unwrap_or_default();
    let (mut create_namespace, mut prune_last, mut foreground) = (false, false, false);
    for option in &policy.sync_options {
        match option.as_str() {
            "CreateNamespace=true" => create_namespace = true,
            "PruneLast=true" => prune_last = true,
            // What is done anyway, or is the default.
            "CreateNamespace=false"
            | "PruneLast=false"
            | "ServerSideApply=true"
            | "ApplyOutOfSyncOnly=true"
            | "Validate=true"
            | "PrunePropagationPolicy=background" => {}
            "PrunePropagationPolicy=foreground" => foreground = true,
            other => mistakes.push(invalid(format!("syncOptions: {other:?} is not supported"))),
        }
    }
    if !mistakes.is_empty() {
        return Err(mistakes);
    }
    let automated = policy.automated;
    Ok(Valid {
        project: spec.project,
        sources,
        several,
        destination: spec.destination,
        automated: automated.is_some(),
        prune: automated.is_some_and(|automated| automated.prune),
        self_heal: automated.is_some_and(|automated| automated.self_heal),
        allow_empty: automated.is_some_and(|automated| automated.allow_empty),
        create_namespace,
        prune_last,
        foreground,
        history: spec.revision_history_limit.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(10),
    })
}

/// Returns the namespace that an application may not leave: its own, unless it stands among the administrators' own.
///
/// Delivery may do everything in the cluster; without this, whoever may create an application anywhere could too.
pub(crate) fn confined_to(object: &DynamicObject) -> Option<&str> {
    object.metadata.namespace.as_deref().filter(|namespace| *namespace != CONTROL_NAMESPACE)
}

fn check_destination(destination: &Destination, mistakes: &mut Vec<ApplicationCondition>) {
    match (destination.server.as_deref(), destination.name.as_deref()) {
        (Some("https://kubernetes.default.svc"), None) | (None, Some("in-cluster")) => {}
        (None, None) => mistakes.push(invalid("spec.destination needs a server or a name")),
        (Some(_), Some(_)) => mistakes.push(invalid("spec.destination takes a server or a name, not both")),
        (Some(other), None) | (None, Some(other)) => mistakes.push(invalid(format!(
            "destination {other:?} is not supported: only this cluster is (https://kubernetes.default.svc or in-cluster)"
        ))),
    }
}

fn check_source(source: Source, references: &[String]) -> Result<ValidSource, ApplicationCondition> {
    let Some(repository) = git::repository_of(&source.repo_url) else {
        return Err(invalid(format!(
            "repository {:?} is not supported: only the platform's own git host is ({}<name>.git)",
            source.repo_url,
            git::URL_PREFIX
        )));
    };
    let path = source.path.as_deref().unwrap_or_default();
    if path.is_empty() && source.reference.is_none() {
        return Err(invalid(format!("source {repository}: path must be given")));
    }
    if path.starts_with('/') || path.split('/').any(|part| part == "..") {
        return Err(invalid(format!("source {repository}: path {path:?} leaves the repository")));
    }
    for file in source.helm.iter().flat_map(|helm| &helm.value_files) {
        if let Some((reference, _)) = file.strip_prefix('$').and_then(|rest| rest.split_once('/')) {
            if !references.iter().any(|known| known == reference) {
                return Err(invalid(format!("source {repository}: valueFiles: no source has ref {reference:?}")));
            }
        } else if file.contains("://") {
            return Err(invalid(format!("source {repository}: valueFiles: {file:?}: URLs are not supported")));
        }
    }
    let revision = source.target_revision.clone().filter(|r| !r.is_empty()).unwrap_or_else(|| "HEAD".to_owned());
    Ok(ValidSource { repository, revision, source })
}

/// Returns what the project forbids of this specification.
pub(crate) fn permits(project: &AppProjectSpec, valid: &Valid) -> Vec<ApplicationCondition> {
    let mut mistakes = Vec::new();
    for source in &valid.sources {
        let url = &source.source.repo_url;
        if !project.source_repos.iter().any(|pattern| matches(pattern, url)) {
            mistakes.push(invalid(format!("application repo {url} is not permitted in project '{}'", valid.project)));
        }
    }
    let namespace = valid.destination.namespace.as_deref().unwrap_or_default();
    if !destination_allowed(project, namespace) {
        mistakes.push(invalid(format!(
            "application destination namespace '{namespace}' is not permitted in project '{}'",
            valid.project
        )));
    }
    mistakes
}

/// Returns whether the project lets an application deploy to a namespace of this cluster.
pub(crate) fn destination_allowed(project: &AppProjectSpec, namespace: &str) -> bool {
    project.destinations.iter().any(|allowed| {
        let server = allowed.server.as_deref().is_none_or(|pattern| matches(pattern, "https://kubernetes.default.svc"));
        let name = allowed.name.as_deref().is_none_or(|pattern| matches(pattern, "in-cluster"));
        let namespace = allowed.namespace.as_deref().is_some_and(|pattern| matches(pattern, namespace));
        server && name && namespace
    })
}

/// Returns whether the project lets an application have objects of a kind.
pub(crate) fn kind_allowed(project: &AppProjectSpec, group: &str, kind: &str, namespaced: bool) -> bool {
    let listed = |list: &[platform::argo::GroupKind]| {
        list.iter().any(|allowed| matches(&allowed.group, group) && matches(&allowed.kind, kind))
    };
    if namespaced {
        project.namespace_resource_whitelist.is_empty() || listed(&project.namespace_resource_whitelist)
    } else {
        listed(&project.cluster_resource_whitelist)
    }
}

/// A pattern in which `*` stands for anything.
pub(crate) fn matches(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = parts.next().and_then(|first| text.strip_prefix(first)) else { return false };
    let parts: Vec<&str> = parts.collect();
    let Some((last, middle)) = parts.split_last() else { return rest.is_empty() };
    for part in middle {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(spec: &serde_json::Value) -> Result<Valid, Vec<String>> {
        let object: DynamicObject = serde_json::from_value(json!({"metadata": {"name": "a"}, "spec": spec})).unwrap();
        validate(&object).map_err(|conditions| conditions.into_iter().map(|one| one.message).collect())
    }

    #[test]
    fn mistakes_are_named_and_all_are_told() {
        let errors = check(&json!({
            "project": "", "source": {"repoURL": "https://github.com/x/y", "path": "."},
            "destination": {"server": "https://elsewhere"}, "syncPolicy": {"syncOptions": ["Replace=true"]},
        }))
        .unwrap_err();
        assert_eq!(errors.len(), 4, "{errors:?}");
        assert!(errors.iter().any(|e| e.contains("github.com")) && errors.iter().any(|e| e.contains("Replace=true")));
    }

    #[test]
    fn an_application_of_a_team_stays_in_its_namespace() {
        let check = |own: &str, destination: &str| {
            let object: DynamicObject = serde_json::from_value(json!({
                "metadata": {"name": "a", "namespace": own},
                "spec": {"project": "default", "source": {"repoURL": "https://git.cluster.local/r.git", "path": "."},
                    "destination": {"name": "in-cluster", "namespace": destination}},
            }))
            .unwrap();
            validate(&object).is_ok()
        };
        assert!(check("team", "team") && check("argocd", "team") && !check("team", "kube-system"));
    }

    #[test]
    fn patterns_match_as_argo_cds() {
        assert!(matches("*", "x") && matches("a-*", "a-b") && matches("*/c", "a/b/c") && matches("a*c*e", "abcde"));
        assert!(!matches("a-*", "b-a") && !matches("ab", "abc") && !matches("", "a"));
    }

    #[test]
    fn a_project_allows_what_it_lists() {
        let project = AppProjectSpec {
            source_repos: vec!["https://git.cluster.local/team-*".into()],
            destinations: vec![Destination { namespace: Some("team-*".into()), ..Destination::default() }],
            ..AppProjectSpec::default()
        };
        let valid = |repository: &str, namespace: &str| {
            check(&json!({
                "project": "team", "source": {"repoURL": format!("https://git.cluster.local/{repository}.git"), "path": "."},
                "destination": {"name": "in-cluster", "namespace": namespace},
            }))
            .unwrap()
        };
        assert!(permits(&project, &valid("team-a", "team-b")).is_empty());
        assert_eq!(permits(&project, &valid("other", "default")).len(), 2);
        assert!(kind_allowed(&project, "apps", "Deployment", true) && !kind_allowed(&project, "", "Namespace", false));
    }
}
