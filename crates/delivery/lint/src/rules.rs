//! The rules by name: how severe each is, and what it is about.

use crate::Severity::{self, Error, Info, Warning};

/// A rule, as SARIF and the documentation name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Its name: words joined by hyphens.
    pub id: &'static str,
    /// How severe a breach of it is.
    pub severity: Severity,
    /// What it is about.
    pub what: &'static str,
    /// What to do about a breach.
    pub help: &'static str,
}

const fn rule(id: &'static str, severity: Severity, what: &'static str, help: &'static str) -> Rule {
    Rule { id, severity, what, help }
}

/// Every rule.
pub const RULES: &[Rule] = &[
    rule("yaml-syntax", Error, "The text is no YAML.", "Correct the text at this place."),
    rule("yaml-duplicate-key", Error, "A key stands twice in one map.", "Keep one of the two."),
    rule(
        "yaml-truth-key",
        Warning,
        "A key such as on, y or no is read as true or false.",
        "Quote it, or call it otherwise.",
    ),
    rule("input-too-large", Error, "The input is larger than is looked at.", "Split it into smaller files."),
    rule("not-an-object", Error, "A document is no Kubernetes object.", "Give it apiVersion and kind."),
    rule("unknown-field", Error, "The kind has no such field.", "Correct the name or remove the field."),
    rule("wrong-type", Error, "A value is of another type than its field.", "Write a value of the field's type."),
    rule("missing-required", Error, "A required field is missing.", "Add the field."),
    rule("unknown-kind", Error, "A group of Kubernetes' own has no such kind.", "Correct apiVersion or kind."),
    rule(
        "removed-api",
        Error,
        "Kubernetes no longer serves this API version.",
        "Move to the version that replaces it.",
    ),
    rule("deprecated-api", Warning, "This API version is deprecated.", "Move to the version that replaces it."),
    rule(
        "preview-api",
        Warning,
        "An alpha or beta version, of which no types are known here.",
        "Move to v1 where there is one.",
    ),
    rule("duplicate-object", Error, "An object stands twice in one input.", "Rename or remove one of them."),
    rule("no-memory-request", Warning, "A container requests no memory.", "Set resources.requests.memory."),
    rule("no-memory-limit", Warning, "A container has no limit of memory.", "Set resources.limits.memory."),
    rule("mutable-image-tag", Warning, "An image has no tag, or one that moves.", "Name a fixed tag or a digest."),
    rule("privileged-container", Warning, "A container is privileged.", "Remove securityContext.privileged."),
    rule(
        "privilege-escalation",
        Warning,
        "A container may gain privileges.",
        "Set securityContext.allowPrivilegeEscalation: false.",
    ),
    rule("run-as-non-root", Warning, "A container may run as root.", "Set securityContext.runAsNonRoot: true."),
    rule("run-as-root", Warning, "A container runs as user 0.", "Set runAsUser to another user than 0."),
    rule("host-namespace", Warning, "A pod shares a namespace of its host.", "Remove the field."),
    rule("host-path", Warning, "A pod mounts a path of its host.", "Use a volume of another type."),
    rule(
        "capabilities-not-dropped",
        Warning,
        "A container keeps the runtime's capabilities.",
        "Set securityContext.capabilities.drop: [ALL] and add back what is needed.",
    ),
    rule("no-readiness-probe", Warning, "A container has no readiness probe.", "Add readinessProbe."),
    rule("no-liveness-probe", Warning, "A container has no liveness probe.", "Add livenessProbe."),
    rule(
        "writable-root-filesystem",
        Info,
        "A container can write to its root file system.",
        "Set securityContext.readOnlyRootFilesystem: true and mount what has to be written.",
    ),
    rule(
        "automounted-token",
        Info,
        "A pod is given a token for the API.",
        "Set automountServiceAccountToken: false where the API is not used.",
    ),
    rule("secret-in-env", Warning, "A secret stands in the manifest.", "Take it from a Secret with valueFrom."),
    rule(
        "selector-matches-nothing",
        Warning,
        "A Service selects no pod of the input.",
        "Make the selector match the labels of a pod template.",
    ),
    rule(
        "missing-target",
        Warning,
        "An autoscaler or disruption budget aims at nothing in the input.",
        "Name a workload that is there.",
    ),
    rule(
        "disruption-budget-blocks",
        Warning,
        "A disruption budget never allows an eviction.",
        "Run more replicas, or allow one to be unavailable.",
    ),
    rule("ingress-without-tls", Info, "An Ingress serves no TLS.", "Add spec.tls."),
    rule("unnamed-port", Error, "A Service of several ports leaves one without a name.", "Name every port."),
    rule("secret-not-base64", Error, "Data of a Secret is not base64.", "Encode it, or put it under stringData."),
    rule("chart-metadata", Error, "Chart.yaml lacks a field or has a wrong one.", "Correct the field."),
    rule(
        "chart-name",
        Warning,
        "A chart's name is against Helm's convention.",
        "Use lower-case letters, digits and hyphens.",
    ),
    rule("chart-icon", Info, "A chart has no icon.", "Add icon with the address of an image."),
    rule("chart-app-version", Warning, "appVersion is a number.", "Quote it, so that it stays as it is written."),
    rule("values-schema", Error, "values.schema.json is no JSON Schema.", "Correct the file."),
    rule("template-error", Error, "A template does not parse or run.", "Correct the template at this place."),
    rule("chart-error", Error, "The chart cannot be loaded or rendered.", "Correct what the message names."),
    rule("undefined-value", Info, "A template uses a value that values.yaml does not have.", "Add it to values.yaml."),
    rule("unused-value", Info, "No template uses a value.", "Remove it from values.yaml."),
    rule(
        "kustomization-deprecated-field",
        Warning,
        "A field of kustomization.yaml is deprecated.",
        "Use the field that replaces it.",
    ),
    rule("kustomization-error", Error, "The kustomization does not build.", "Correct what the message names."),
];

/// Returns a rule by its name.
pub fn rule_of(id: &str) -> Option<&'static Rule> {
    RULES.iter().find(|rule| rule.id == id)
}
