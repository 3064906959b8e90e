//! Makes the objects that exist from the start, through the same path as any write.

use std::net::{IpAddr, Ipv4Addr};

use http::{HeaderMap, HeaderValue, header};
use serde_json::{Value, json};

use crate::{
    bootstrap,
    rbac::User,
    request::{Info, Query},
    server::{Error, Server},
    write::{Call, Options},
};

impl Server {
    /// Makes what is missing of the objects that exist from the start.
    pub(crate) async fn seed(&self) -> Result<(), Error> {
        for (group, version, plural, object) in bootstrap::seeds() {
            self.ensure(group, version, plural, "", object).await?;
        }
        Ok(())
    }

    async fn ensure(
        &self,
        group: &str,
        version: &str,
        plural: &str,
        namespace: &str,
        object: Value,
    ) -> Result<(), Error> {
        let served = self.served();
        let name = object["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        let Some(resource) = served.registry.get(group, version, plural) else { return Ok(()) };
        if self.store().snapshot().get(&resource.key(namespace, &name)).is_some() {
            return Ok(());
        }
        let info = Info {
            verb: "create",
            group: group.into(),
            version: version.into(),
            resource: plural.into(),
            namespace: namespace.into(),
            ..Info::default()
        };
        let options = Options::parse(
            &Query::default(),
            &HeaderMap::from_iter([(header::USER_AGENT, HeaderValue::from_static("roadstead"))]),
        )
        .map_err(|failure| Error::Bootstrap { what: name.clone(), reason: failure.message })?;
        let user = User::new("system:apiserver", &["system:masters"]);
        let call = Call { user: &user, resource, info: &info, options: &options };
        match self.create(call, object).await {
            Ok(_) => Ok(()),
            Err(failure) if failure.reason == "AlreadyExists" => Ok(()),
            Err(failure) => Err(Error::Bootstrap { what: format!("{plural} {name}"), reason: failure.message }),
        }
    }

    /// Makes the `kubernetes` Service lead to this server.
    pub(crate) async fn advertise(&self, address: IpAddr, port: u16) -> Result<(), Error> {
        let first = Ipv4Addr::from(u32::from(self.service_range().0) + 1).to_string();
        let service = json!({"metadata": {"name": "kubernetes", "labels": {"component": "apiserver", "provider": "kubernetes"}},
            "spec": {"clusterIP": first, "ports": [{"name": "https", "port": 443, "targetPort": port, "protocol": "TCP"}]}});
        self.ensure("", "v1", "services", "default", service).await?;
        let slice = json!({"metadata": {"name": "kubernetes", "labels": {"kubernetes.io/service-name": "kubernetes"}}, "addressType": "IPv4",
            "endpoints": [{"addresses": [address.to_string()], "conditions": {"ready": true}}], "ports": [{"name": "https", "port": port, "protocol": "TCP"}]});
        self.ensure("discovery.k8s.io", "v1", "endpointslices", "default", slice).await
    }
}
