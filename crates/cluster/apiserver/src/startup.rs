//! Makes the objects that exist from the start, through the same path as any write.

use std::net::{IpAddr, Ipv4Addr};

use futures::{StreamExt, TryStreamExt, stream};
use http::{HeaderMap, HeaderValue, header};
use serde_json::{Value, json};

use crate::{
    bootstrap::{self, Seed},
    rbac::{Rule, User, beyond},
    request::{Info, Query},
    server::{Error, Server},
    status::Failure,
    write::{Call, Options, PatchKind},
};

/// How many start-up objects are written at once: they share the disk's syncs.
const AT_ONCE: usize = 64;

/// Returns the merge patch that makes of a kept object what it should be, if it is not that already.
type Difference = fn(&Value, &Value) -> Option<Value>;

impl Server {
    /// Makes what is missing of the objects that exist from the start.
    pub(crate) async fn seed(&self) -> Result<(), Error> {
        let (base, bits) = self.service_range();
        let today: String = base::clock::now_rfc3339().chars().take("2026-01-01".len()).collect();
        let of_platform = bootstrap::of_platform(&format!("{base}/{bits}"), &today);
        let seeds: [(Vec<Seed>, Difference); 4] = [
            (bootstrap::namespaces(), |_, _| None),
            (of_platform, |_, _| None),
            (bootstrap::flow::seeds(), |_, _| None),
            (bootstrap::roles(), missing),
        ];
        for (seeds, difference) in seeds {
            let made = stream::iter(seeds).map(|seed| self.ensure(seed, difference));
            made.buffer_unordered(AT_ONCE).try_collect::<()>().await?;
        }
        let failed = |what: &str| {
            let what = what.to_owned();
            |failure: Failure| Error::Bootstrap { what, reason: failure.message }
        };
        self.aggregate_roles().await.map_err(failed("the aggregated roles"))?;
        self.divide_seats().await.map_err(failed("the flow schemas"))?;
        self.register_groups().await.map_err(failed("the API services"))
    }

    /// Makes an object, or gives one that is there what `difference` says it lacks.
    async fn ensure(&self, seed: Seed, difference: Difference) -> Result<(), Error> {
        let what = format!("{} {}", seed.2, seed.3["metadata"]["name"].as_str().unwrap_or_default());
        self.try_ensure(seed, difference).await.map_err(|failure| Error::Bootstrap { what, reason: failure.message })
    }

    /// Makes one object, or leaves it as it is.
    pub(crate) async fn make(&self, seed: Seed) -> Result<(), Failure> {
        self.try_ensure(seed, |_, _| None).await
    }

    async fn try_ensure(&self, seed: Seed, difference: Difference) -> Result<(), Failure> {
        let (group, version, plural, object) = seed;
        let served = self.served();
        let Some(resource) = served.registry.get(group, version, plural) else { return Ok(()) };
        let of = |name: &str| object["metadata"][name].as_str().unwrap_or_default().to_owned();
        let (namespace, name) = (of("namespace"), of("name"));
        let user = User::new("system:apiserver", &["system:masters"]);
        let agent = HeaderMap::from_iter([(header::USER_AGENT, HeaderValue::from_static("kube-apiserver"))]);
        let options = Options::parse(&Query::default(), &agent, "CreateOptions")?;
        let mut info = Info {
            verb: "create",
            group: group.into(),
            version: version.into(),
            resource: plural.into(),
            namespace,
            ..Info::default()
        };
        let kept = self.store().snapshot().get(&resource.key(&info.namespace, &name)).cloned();
        if let Some(kept) = kept {
            let Some(patch) = difference(&kept.value(), &object) else { return Ok(()) };
            (info.verb, info.name) = ("patch", name);
            let call = Call { user: &user, resource, info: &info, options: &options };
            return self.patch(call, PatchKind::Merge, &patch).await.map(drop);
        }
        let call = Call { user: &user, resource, info: &info, options: &options };
        match self.create(call, object).await {
            Err(failure) if failure.reason != "AlreadyExists" => Err(failure),
            _ => Ok(()),
        }
    }

    /// Makes the `kubernetes` Service lead to this server.
    pub(crate) async fn advertise(&self, address: IpAddr, port: u16) -> Result<(), Error> {
        let first = Ipv4Addr::from(u32::from(self.service_range().0) + 1).to_string();
        let service = json!({"metadata": {"name": "kubernetes", "namespace": "default", "labels": {"component": "apiserver", "provider": "kubernetes"}},
            "spec": {"clusterIP": first, "ports": [{"name": "https", "port": 443, "targetPort": port, "protocol": "TCP"}]}});
        // An address or port of an earlier start leads nowhere; what is the same makes no new revision.
        let renewed: Difference = |_, wanted| Some(wanted.clone());
        self.ensure(("", "v1", "services", service), renewed).await?;
        let mirrored = json!({"metadata": {"name": "kubernetes", "namespace": "default", "labels": {"endpointslice.kubernetes.io/skip-mirror": "true"}},
            "subsets": [{"addresses": [{"ip": address.to_string()}], "ports": [{"name": "https", "port": port, "protocol": "TCP"}]}]});
        self.ensure(("", "v1", "endpoints", mirrored), renewed).await?;
        let slice = json!({"metadata": {"name": "kubernetes", "namespace": "default", "labels": {"kubernetes.io/service-name": "kubernetes"}}, "addressType": "IPv4",
            "endpoints": [{"addresses": [address.to_string()], "conditions": {"ready": true}}], "ports": [{"name": "https", "port": port, "protocol": "TCP"}]});
        self.ensure(("discovery.k8s.io", "v1", "endpointslices", slice), renewed).await
    }
}

/// Returns what an earlier version's default role lacks of today's, as a merge patch. A role
/// whose `autoupdate` annotation was set to `false` is left alone.
fn missing(kept: &Value, wanted: &Value) -> Option<Value> {
    if kept["metadata"]["annotations"]["rbac.authorization.kubernetes.io/autoupdate"] != "true" {
        return None;
    }
    let mut patch = json!({});
    if wanted["aggregationRule"] != kept["aggregationRule"] {
        patch["aggregationRule"] = wanted["aggregationRule"].clone();
    }
    let lacks = beyond(&Rule::all(kept), &Rule::all(wanted));
    if !lacks.is_empty() {
        let rules = kept["rules"].as_array().into_iter().flatten().cloned();
        patch["rules"] = rules.chain(lacks.iter().map(Rule::to_json)).collect();
    }
    for (key, value) in wanted["metadata"]["labels"].as_object().into_iter().flatten() {
        if kept["metadata"]["labels"][key] != *value {
            patch["metadata"]["labels"][key] = value.clone();
        }
    }
    (patch != json!({})).then_some(patch)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_older_default_role_gets_what_it_lacks_and_keeps_what_was_added() {
        let role = |rules: Value, update: &str| json!({"metadata": {"annotations": {"rbac.authorization.kubernetes.io/autoupdate": update}}, "rules": rules});
        let rule = |resource: &str| json!({"apiGroups": [""], "resources": [resource], "verbs": ["get"]});
        let wanted = role(json!([rule("pods"), rule("services")]), "true");
        let patch = missing(&role(json!([rule("nodes"), rule("pods")]), "true"), &wanted).unwrap();
        assert_eq!(patch, json!({"rules": [rule("nodes"), rule("pods"), rule("services")]}));
        assert_eq!(missing(&role(json!([]), "false"), &wanted), None);
        assert_eq!(missing(&wanted, &wanted), None);
    }
}
