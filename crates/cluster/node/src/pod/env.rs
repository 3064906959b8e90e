//! A container's environment and the expansion of `$(NAME)`, from values that were fetched before.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{ConfigMap, Container, EnvVarSource, Pod, Secret};

use super::quantity;
use crate::Error;

/// Everything that a pod refers to, fetched; `None` for what does not exist.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sources {
    pub(crate) config_maps: BTreeMap<String, Option<ConfigMap>>,
    pub(crate) secrets: BTreeMap<String, Option<Secret>>,
    /// Tokens by audience and lifetime, as the projected volume asks for them.
    pub(crate) tokens: BTreeMap<(String, i64), String>,
}

/// What the node knows of a pod besides its object.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) pod_ip: String,
    pub(crate) host_ip: String,
    pub(crate) node: String,
    /// What a container without limits may use: processors in thousandths, memory in bytes.
    pub(crate) allocatable: (i64, i64),
}

/// Returns the environment of `container`: `image`'s, overlaid by `envFrom`, overlaid by `env`.
pub(crate) fn build(
    pod: &Pod,
    container: &Container,
    image: &[String],
    sources: &Sources,
    place: &Place,
) -> Result<BTreeMap<String, String>, Error> {
    let mut env: BTreeMap<String, String> =
        image.iter().filter_map(|pair| pair.split_once('=')).map(|(k, v)| (k.to_owned(), v.to_owned())).collect();
    env.entry("PATH".to_owned())
        .or_insert_with(|| "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".to_owned());
    env.insert("HOSTNAME".to_owned(), pod.metadata.name.clone().unwrap_or_default());
    for from in container.env_from.iter().flatten() {
        let prefix = from.prefix.clone().unwrap_or_default();
        if let Some(reference) = &from.config_map_ref {
            let map = sources.config_maps.get(&reference.name).and_then(Option::as_ref);
            let Some(map) = need(map, reference.optional, "configmap", &reference.name)? else { continue };
            env.extend(map.data.iter().flatten().map(|(k, v)| (format!("{prefix}{k}"), v.clone())));
        }
        if let Some(reference) = &from.secret_ref {
            let secret = sources.secrets.get(&reference.name).and_then(Option::as_ref);
            let Some(secret) = need(secret, reference.optional, "secret", &reference.name)? else { continue };
            for (key, value) in secret.data.iter().flatten() {
                env.insert(format!("{prefix}{key}"), text(&value.0));
            }
        }
    }
    for variable in container.env.iter().flatten() {
        let value = match (&variable.value_from, &variable.value) {
            (Some(source), _) => match from_source(pod, container, source, sources, place)? {
                Some(value) => value,
                None => continue,
            },
            (None, value) => expand(value.as_deref().unwrap_or_default(), &env),
        };
        env.insert(variable.name.clone(), value);
    }
    Ok(env)
}

fn need<'a, T>(found: Option<&'a T>, optional: Option<bool>, kind: &str, name: &str) -> Result<Option<&'a T>, Error> {
    if found.is_none() && optional != Some(true) {
        return Err(Error::Config { field: format!("{kind} {name:?}"), why: format!("{kind} {name:?} not found") });
    }
    Ok(found)
}

fn from_source(
    pod: &Pod,
    container: &Container,
    source: &EnvVarSource,
    sources: &Sources,
    place: &Place,
) -> Result<Option<String>, Error> {
    let missing = |kind: &str, name: &str, key: &str, optional: Option<bool>| {
        if optional == Some(true) {
            return Ok(None);
        }
        let why = format!("couldn't find key {key} in {kind} {name}");
        Err(Error::Config { field: format!("{kind} {name:?}"), why })
    };
    if let Some(key) = &source.config_map_key_ref {
        let map = sources.config_maps.get(&key.name).and_then(Option::as_ref);
        let Some(map) = need(map, key.optional, "configmap", &key.name)? else { return Ok(None) };
        let value = map.data.as_ref().and_then(|data| data.get(&key.key));
        return value.map_or_else(|| missing("configmap", &key.name, &key.key, key.optional), |v| Ok(Some(v.clone())));
    }
    if let Some(key) = &source.secret_key_ref {
        let secret = sources.secrets.get(&key.name).and_then(Option::as_ref);
        let Some(secret) = need(secret, key.optional, "secret", &key.name)? else { return Ok(None) };
        let value = secret.data.as_ref().and_then(|data| data.get(&key.key));
        return value.map_or_else(|| missing("secret", &key.name, &key.key, key.optional), |v| Ok(Some(text(&v.0))));
    }
    if let Some(field) = &source.field_ref {
        return field_of(pod, &field.field_path, place).map(Some);
    }
    if let Some(resource) = &source.resource_field_ref {
        let divisor = resource.divisor.as_ref().map_or("1", |q| q.0.as_str());
        return resource_of(container, &resource.resource, divisor, place).map(Some);
    }
    Err(Error::Config { field: "env.valueFrom".to_owned(), why: "this source is not supported".to_owned() })
}

/// Returns the value of a pod's field as the downward API names it.
pub(crate) fn field_of(pod: &Pod, path: &str, place: &Place) -> Result<String, Error> {
    let meta = &pod.metadata;
    let spec = pod.spec.as_ref();
    let keyed = |prefix: &str| path.strip_prefix(prefix)?.strip_suffix("']").map(str::to_owned);
    let value = match path {
        "metadata.name" => meta.name.clone(),
        "metadata.namespace" => meta.namespace.clone(),
        "metadata.uid" => meta.uid.clone(),
        "metadata.labels" => Some(lines(meta.labels.as_ref())),
        "metadata.annotations" => Some(lines(meta.annotations.as_ref())),
        "spec.nodeName" => Some(place.node.clone()),
        "spec.serviceAccountName" => spec.and_then(|spec| spec.service_account_name.clone()),
        "status.podIP" | "status.podIPs" => Some(place.pod_ip.clone()),
        "status.hostIP" | "status.hostIPs" => Some(place.host_ip.clone()),
        _ => {
            if let Some(key) = keyed("metadata.labels['") {
                meta.labels.as_ref().and_then(|labels| labels.get(&key).cloned())
            } else if let Some(key) = keyed("metadata.annotations['") {
                meta.annotations.as_ref().and_then(|annotations| annotations.get(&key).cloned())
            } else {
                return Err(Error::Config {
                    field: format!("fieldPath {path:?}"),
                    why: "it is not a field of the downward API".to_owned(),
                });
            }
        }
    };
    Ok(value.unwrap_or_default())
}

/// Returns a container's limit or request divided by `divisor`, rounded up.
pub(crate) fn resource_of(container: &Container, name: &str, divisor: &str, place: &Place) -> Result<String, Error> {
    let invalid = |why: &str| Error::Config { field: format!("resourceFieldRef {name:?}"), why: why.to_owned() };
    let (kind, resource) = name.split_once('.').ok_or_else(|| invalid("it is not limits.* or requests.*"))?;
    let set = container.resources.as_ref().and_then(|r| match kind {
        "limits" => r.limits.as_ref(),
        "requests" => r.requests.as_ref().or(r.limits.as_ref()),
        _ => None,
    });
    let value = match set.and_then(|set| set.get(resource)) {
        Some(quantity) => quantity::milli(&quantity.0).ok_or_else(|| invalid("it is not a quantity"))?,
        None => match (kind, resource) {
            ("limits", "cpu") => place.allocatable.0,
            ("limits", "memory") => place.allocatable.1.saturating_mul(1000),
            ("requests", _) => 0,
            _ => return Err(invalid("only cpu and memory are known")),
        },
    };
    let divisor = match quantity::milli(divisor) {
        Some(0) | None => 1000,
        Some(divisor) => divisor,
    };
    Ok((value.div_euclid(divisor) + i64::from(value.rem_euclid(divisor) > 0)).to_string())
}

fn lines(map: Option<&BTreeMap<String, String>>) -> String {
    let lines: Vec<String> = map.into_iter().flatten().map(|(key, value)| format!("{key}={value:?}")).collect();
    lines.join("\n")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Replaces `$(NAME)` by values of `env`; unknown names stay as they are, `$$(NAME)` gives `$(NAME)`.
pub(crate) fn expand(text: &str, env: &BTreeMap<String, String>) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        let after = &rest[at + 1..];
        if let Some(escaped) = after.strip_prefix('$') {
            out.push('$');
            rest = escaped;
        } else if let Some((name, tail)) = after.strip_prefix('(').and_then(|after| after.split_once(')')) {
            match env.get(name) {
                Some(value) => out.push_str(value),
                None => out.extend(["$(", name, ")"]),
            }
            rest = tail;
        } else {
            out.push('$');
            rest = after;
        }
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn place() -> Place {
        Place { pod_ip: "10.0.0.2".into(), host_ip: "10.0.0.1".into(), node: "n1".into(), allocatable: (2000, 1 << 30) }
    }

    #[test]
    fn references_expand_as_in_kubernetes() {
        let env = BTreeMap::from([("A".to_owned(), "1".to_owned())]);
        for (text, expected) in [
            ("$(A)", "1"),
            ("x$(A)y$(A)", "x1y1"),
            ("$(B)", "$(B)"),
            ("$$(A)", "$(A)"),
            ("$A $", "$A $"),
            ("$(A", "$(A"),
            ("$$$(A)", "$1"),
        ] {
            assert_eq!(expand(text, &env), expected, "{text}");
        }
    }

    #[test]
    fn every_source_gives_its_value() {
        let pod: Pod = serde_json::from_value(json!({
            "metadata": { "name": "p", "namespace": "ns", "labels": { "app": "web" } },
            "spec": { "containers": [{
                "name": "c",
                "resources": { "limits": { "memory": "64Mi" } },
                "envFrom": [{ "prefix": "P_", "configMapRef": { "name": "cm" } }, { "secretRef": { "name": "no", "optional": true } }],
                "env": [
                    { "name": "A", "value": "$(P_k)/$(IMG)" },
                    { "name": "S", "valueFrom": { "secretKeyRef": { "name": "s", "key": "k" } } },
                    { "name": "O", "valueFrom": { "secretKeyRef": { "name": "s", "key": "no", "optional": true } } },
                    { "name": "L", "valueFrom": { "fieldRef": { "fieldPath": "metadata.labels['app']" } } },
                    { "name": "IP", "valueFrom": { "fieldRef": { "fieldPath": "status.podIP" } } },
                    { "name": "M", "valueFrom": { "resourceFieldRef": { "resource": "limits.memory", "divisor": "1Mi" } } },
                    { "name": "CPU", "valueFrom": { "resourceFieldRef": { "resource": "limits.cpu" } } },
                ],
            }] },
        }))
        .unwrap();
        let sources = Sources {
            config_maps: BTreeMap::from([(
                "cm".into(),
                serde_json::from_value(json!({ "data": { "k": "v" } })).unwrap(),
            )]),
            secrets: BTreeMap::from([
                ("s".into(), serde_json::from_value(json!({ "data": { "k": "c2VjcmV0" } })).unwrap()),
                ("no".into(), None),
            ]),
            ..Sources::default()
        };
        let container = &pod.spec.as_ref().unwrap().containers[0];
        let env = build(&pod, container, &["IMG=i".into(), "PATH=/p".into()], &sources, &place()).unwrap();
        let env: Vec<String> = env.iter().map(|(k, v)| format!("{k}={v}")).collect();
        assert_eq!(env.join(" "), "A=v/i CPU=2 HOSTNAME=p IMG=i IP=10.0.0.2 L=web M=64 PATH=/p P_k=v S=secret");
    }

    #[test]
    fn what_is_missing_is_named() {
        for (env, expected) in [
            (
                json!([{ "name": "A", "valueFrom": { "configMapKeyRef": { "name": "no", "key": "k" } } }]),
                "configmap \"no\" not found",
            ),
            (
                json!([{ "name": "A", "valueFrom": { "fieldRef": { "fieldPath": "spec.nope" } } }]),
                "not a field of the downward API",
            ),
        ] {
            let container: Container = serde_json::from_value(json!({ "name": "c", "env": env })).unwrap();
            let error = build(&Pod::default(), &container, &[], &Sources::default(), &place()).unwrap_err();
            assert!(error.to_string().contains(expected), "{error}");
        }
    }
}
