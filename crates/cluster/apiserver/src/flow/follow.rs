//! Follows up on writes of flow schemas and priority levels: the seats are divided anew, what
//! must be there comes back, and each schema says whether its level is there.

use std::sync::Arc;

use futures::{StreamExt, TryStreamExt, stream};
use http::HeaderMap;
use serde_json::{Value, json};

use super::{Flows, text};
use crate::{
    bootstrap,
    fair::SEATS,
    rbac::User,
    registry::Resource,
    request::{Info, Query},
    server::Server,
    status::Failure,
    write::{Call, Options, PatchKind},
};

const GROUP: &str = "flowcontrol.apiserver.k8s.io";
/// The writer, as Kubernetes' own controller is named.
const MANAGER: &str = "api-priority-and-fairness-config-consumer-v1";

impl Server {
    /// Follows up on a write of a schema or level.
    pub(crate) async fn divide_seats_after(&self, resource: &Resource) {
        if !resource.divides_seats || !self.has_started() {
            return;
        }
        // It writes statuses itself, and comes back here with nothing left to change.
        if let Err(failure) = Box::pin(self.divide_seats()).await {
            tracing::error!(reason = failure.message, "the seats could not be divided anew");
        }
    }

    /// Reads the schemas and levels that there are, and acts on them from now on.
    pub(crate) async fn divide_seats(&self) -> Result<(), Failure> {
        let served = self.served();
        let kinds =
            ["flowschemas", "prioritylevelconfigurations"].map(|plural| served.registry.get(GROUP, "v1", plural));
        let [Some(schemas), Some(levels)] = kinds else { return Ok(()) };
        let snapshot = self.store().snapshot();
        let all = |resource: &Resource| -> Vec<Value> {
            snapshot.range(&resource.prefix(), None).map(|(_, entry)| entry.value()).collect()
        };
        let (found_schemas, found_levels) = (all(schemas), all(levels));
        let flows = Flows::of(&found_schemas, &found_levels, SEATS);
        self.fair().divide(flows.levels());
        self.set_flows(flows);
        if !self.has_started() {
            // Nobody deletes before the start is over.
            return self.tell(schemas, &found_schemas, &found_levels).await;
        }
        for seed in bootstrap::flow::seeds() {
            let name = text(&seed.3["metadata"]["name"]);
            let found = if seed.2 == schemas.plural { &found_schemas } else { &found_levels };
            let must = matches!(name.as_str(), "exempt" | "catch-all");
            if must && !found.iter().any(|object| object["metadata"]["name"] == name.as_str()) {
                Box::pin(self.make(seed)).await?;
            }
        }
        self.tell(schemas, &found_schemas, &found_levels).await
    }

    /// Makes each schema say whether its level is there.
    async fn tell(&self, resource: &Arc<Resource>, schemas: &[Value], levels: &[Value]) -> Result<(), Failure> {
        let user = User::new("system:apiserver", &["system:masters"]);
        let query = Query::parse(Some(&format!("fieldManager={MANAGER}&force=true")));
        let options = Options::parse(&query, &HeaderMap::new(), "UpdateOptions")?;
        let told = stream::iter(untold(schemas, levels, &base::clock::now_rfc3339())).map(async |(name, condition)| {
            let info = Info {
                verb: "patch",
                group: resource.gvk.group.clone(),
                version: resource.gvk.version.clone(),
                resource: resource.plural.clone(),
                subresource: "status".to_owned(),
                name: name.clone(),
                ..Info::default()
            };
            let call = Call { user: &user, resource, info: &info, options: &options };
            let config = json!({"apiVersion": resource.api_version, "kind": resource.gvk.kind,
                "metadata": {"name": name}, "status": {"conditions": [condition]}});
            match Box::pin(self.patch(call, PatchKind::Apply, &config)).await {
                Err(failure) if failure.reason != "NotFound" => Err(failure),
                _ => Ok(()),
            }
        });
        // They share the disk's syncs.
        told.buffer_unordered(16).try_collect().await
    }
}

/// Returns the schemas that do not say yet how it is with their levels, with what they should say.
fn untold(schemas: &[Value], levels: &[Value], now: &str) -> Vec<(String, Value)> {
    let mut out = Vec::new();
    for schema in schemas.iter().filter(|schema| schema["metadata"]["deletionTimestamp"].is_null()) {
        let level = text(&schema["spec"]["priorityLevelConfiguration"]["name"]);
        let there = levels.iter().any(|other| other["metadata"]["name"] == level.as_str());
        let (status, reason, end) = if there {
            ("False", "Found", "and it exists")
        } else {
            ("True", "NotFound", "but there is no such object")
        };
        let message = format!("This FlowSchema references the PriorityLevelConfiguration object named {level:?} {end}");
        let conditions = schema["status"]["conditions"].as_array();
        let had = conditions.into_iter().flatten().find(|condition| condition["type"] == "Dangling");
        if had
            .is_some_and(|had| had["status"] == status && had["reason"] == reason && had["message"] == message.as_str())
        {
            continue;
        }
        let since = had.filter(|had| had["status"] == status).and_then(|had| had["lastTransitionTime"].as_str());
        let condition = json!({"type": "Dangling", "status": status, "reason": reason, "message": message,
            "lastTransitionTime": since.unwrap_or(now)});
        out.push((text(&schema["metadata"]["name"]), condition));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schema_says_whether_its_level_is_there() {
        let schema = json!({"metadata": {"name": "a"}, "spec": {"priorityLevelConfiguration": {"name": "x"}}});
        let level = json!({"metadata": {"name": "x"}});
        let told = untold(std::slice::from_ref(&schema), std::slice::from_ref(&level), "now");
        assert_eq!((told[0].1["status"].as_str(), told[0].1["reason"].as_str()), (Some("False"), Some("Found")));
        let mut said = schema.clone();
        said["status"]["conditions"] = json!([told[0].1]);
        assert!(untold(std::slice::from_ref(&said), &[level], "later").is_empty());
        let gone = untold(&[said], &[], "later");
        assert_eq!(
            (gone[0].1["status"].as_str(), gone[0].1["lastTransitionTime"].as_str()),
            (Some("True"), Some("later"))
        );
    }
}
