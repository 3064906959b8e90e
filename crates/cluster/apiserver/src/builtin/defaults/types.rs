//! The defaults that belong to types, by the types' published names.

use serde_json::{Map, Value, json};

use super::{each, part, set};

type Fields = Map<String, Value>;
/// Fills in what a writer left out of a type.
type Default = fn(&mut Fields);

/// Gives `map`, an object of the type `name`, what its writer left out.
pub(super) fn apply(name: &str, map: &mut Fields) {
    let Some(short) = name.strip_prefix("io.k8s.api.") else { return };
    if let Ok(at) = TYPES.binary_search_by_key(&short, |(name, _)| name) {
        (TYPES[at].1)(map);
    }
}

/// Sorted by name.
const TYPES: &[(&str, Default)] = &[
    ("admissionregistration.v1.MatchResources", match_resources),
    ("admissionregistration.v1.MutatingAdmissionPolicySpec", |map| set(map, "failurePolicy", "Fail")),
    ("admissionregistration.v1.MutatingWebhook", |map| {
        webhook(map);
        set(map, "reinvocationPolicy", "Never");
    }),
    ("admissionregistration.v1.NamedRuleWithOperations", |map| set(map, "scope", "*")),
    ("admissionregistration.v1.RuleWithOperations", |map| set(map, "scope", "*")),
    ("admissionregistration.v1.ServiceReference", |map| set(map, "port", 443)),
    ("admissionregistration.v1.ValidatingAdmissionPolicySpec", |map| set(map, "failurePolicy", "Fail")),
    ("admissionregistration.v1.ValidatingWebhook", webhook),
    ("apps.v1.DaemonSetSpec", daemon_set),
    ("apps.v1.DeploymentSpec", deployment),
    ("apps.v1.ReplicaSetSpec", |map| set(map, "replicas", 1)),
    ("apps.v1.StatefulSetSpec", stateful_set),
    ("autoscaling.v1.HorizontalPodAutoscalerSpec", |map| set(map, "minReplicas", 1)),
    ("autoscaling.v2.HorizontalPodAutoscalerSpec", autoscaler),
    ("batch.v1.CronJobSpec", cron_job),
    ("batch.v1.Job", |map| {
        labels_of_template(map);
        job(part(map, "spec"));
    }),
    ("batch.v1.PodFailurePolicyOnPodConditionsPattern", |map| set(map, "status", "True")),
    ("core.v1.ConfigMapVolumeSource", |map| set(map, "defaultMode", 420)),
    ("core.v1.Container", container),
    ("core.v1.ContainerPort", |map| set(map, "protocol", "TCP")),
    ("core.v1.DownwardAPIVolumeSource", |map| set(map, "defaultMode", 420)),
    ("core.v1.EndpointPort", |map| set(map, "protocol", "TCP")),
    ("core.v1.EphemeralContainer", container),
    ("core.v1.GRPCAction", |map| {
        if map.get("service").is_none_or(Value::is_null) {
            map.insert("service".into(), "".into());
        }
    }),
    ("core.v1.HTTPGetAction", |map| {
        set(map, "path", "/");
        set(map, "scheme", "HTTP");
    }),
    ("core.v1.HostPathVolumeSource", |map| _ = map.entry("type").or_insert_with(|| "".into())),
    ("core.v1.ISCSIPersistentVolumeSource", |map| set(map, "iscsiInterface", "default")),
    ("core.v1.ISCSIVolumeSource", |map| set(map, "iscsiInterface", "default")),
    ("core.v1.LimitRangeItem", limit),
    ("core.v1.Namespace", namespace),
    ("core.v1.NamespaceStatus", |map| set(map, "phase", "Active")),
    ("core.v1.NodeStatus", |map| {
        if let (None, Some(capacity)) = (map.get("allocatable"), map.get("capacity").cloned()) {
            map.insert("allocatable".into(), capacity);
        }
    }),
    ("core.v1.ObjectFieldSelector", |map| set(map, "apiVersion", "v1")),
    ("core.v1.PersistentVolumeClaimSpec", |map| set(map, "volumeMode", "Filesystem")),
    ("core.v1.PersistentVolumeClaimStatus", |map| set(map, "phase", "Pending")),
    ("core.v1.PersistentVolumeSpec", |map| {
        set(map, "persistentVolumeReclaimPolicy", "Retain");
        set(map, "volumeMode", "Filesystem");
    }),
    ("core.v1.PersistentVolumeStatus", |map| set(map, "phase", "Pending")),
    ("core.v1.Pod", pod),
    ("core.v1.PodSpec", pod_spec),
    ("core.v1.Probe", probe),
    ("core.v1.ProjectedVolumeSource", |map| set(map, "defaultMode", 420)),
    ("core.v1.RBDPersistentVolumeSource", rbd),
    ("core.v1.RBDVolumeSource", rbd),
    ("core.v1.ReplicationController", replication_controller),
    ("core.v1.ReplicationControllerSpec", |map| set(map, "replicas", 1)),
    ("core.v1.ResourceFieldSelector", |map| set(map, "divisor", "0")),
    ("core.v1.ScaleIOPersistentVolumeSource", scale_io),
    ("core.v1.ScaleIOVolumeSource", scale_io),
    ("core.v1.Secret", |map| set(map, "type", "Opaque")),
    ("core.v1.SecretVolumeSource", |map| set(map, "defaultMode", 420)),
    ("core.v1.ServiceAccountTokenProjection", |map| set(map, "expirationSeconds", 3600)),
    ("core.v1.ServicePort", service_port),
    ("core.v1.ServiceSpec", service),
    ("core.v1.Volume", volume),
    ("discovery.v1.EndpointPort", |map| {
        _ = map.entry("name").or_insert_with(|| "".into());
        set(map, "protocol", "TCP");
    }),
    ("flowcontrol.v1.ExemptPriorityLevelConfiguration", |map| {
        set(map, "nominalConcurrencyShares", 0);
        set(map, "lendablePercent", 0);
    }),
    ("flowcontrol.v1.FlowSchemaSpec", |map| set_number(map, "matchingPrecedence", 1000)),
    ("flowcontrol.v1.LimitedPriorityLevelConfiguration", |map| {
        set(map, "nominalConcurrencyShares", 30);
        set(map, "lendablePercent", 0);
    }),
    ("flowcontrol.v1.QueuingConfiguration", |map| {
        set_number(map, "handSize", 8);
        set_number(map, "queues", 64);
        set_number(map, "queueLengthLimit", 50);
    }),
    ("networking.v1.IngressClassParametersReference", |map| set(map, "scope", "Cluster")),
    ("networking.v1.NetworkPolicyPort", |map| set(map, "protocol", "TCP")),
    ("networking.v1.NetworkPolicySpec", |map| {
        let egress = map.get("egress").and_then(Value::as_array).is_some_and(|list| !list.is_empty());
        if map.get("policyTypes").and_then(Value::as_array).is_none_or(Vec::is_empty) {
            map.insert("policyTypes".into(), if egress { json!(["Ingress", "Egress"]) } else { json!(["Ingress"]) });
        }
    }),
    ("rbac.v1.RoleRef", |map| set(map, "apiGroup", "rbac.authorization.k8s.io")),
    ("rbac.v1.Subject", |map| {
        if map.get("kind").is_some_and(|kind| kind == "User" || kind == "Group") {
            set(map, "apiGroup", "rbac.authorization.k8s.io");
        }
    }),
    ("resource.v1.DeviceSubRequest", device_request),
    ("resource.v1.DeviceTaint", |map| set(map, "timeAdded", base::clock::now_rfc3339())),
    ("resource.v1.ExactDeviceRequest", device_request),
    ("scheduling.v1.PriorityClass", |map| set(map, "preemptionPolicy", "PreemptLowerPriority")),
    ("storage.v1.CSIDriverSpec", csi_driver),
    ("storage.v1.StorageClass", |map| {
        set(map, "reclaimPolicy", "Delete");
        set(map, "volumeBindingMode", "Immediate");
    }),
];

/// For numbers of which zero says nothing.
fn or_zero(map: &mut Fields, name: &str, default: i64) {
    if map.get(name).is_none_or(|value| value.is_null() || value == 0) {
        map.insert(name.to_owned(), default.into());
    }
}

fn webhook(map: &mut Fields) {
    set(map, "failurePolicy", "Fail");
    match_resources(map);
    set(map, "timeoutSeconds", 10);
}

fn device_request(map: &mut Fields) {
    set(map, "allocationMode", "ExactCount");
    if map["allocationMode"] == "ExactCount" {
        set_number(map, "count", 1);
    }
}

/// Sets a number where none is given, or 0, which Kubernetes' own types cannot tell from it.
fn set_number(map: &mut Fields, name: &str, default: i64) {
    if map.get(name).is_none_or(|value| value.is_null() || *value == 0) {
        map.insert(name.to_owned(), default.into());
    }
}

fn match_resources(map: &mut Fields) {
    set(map, "matchPolicy", "Equivalent");
    part(map, "namespaceSelector");
    part(map, "objectSelector");
}

fn deployment(map: &mut Fields) {
    set(map, "replicas", 1);
    set(map, "revisionHistoryLimit", 10);
    set(map, "progressDeadlineSeconds", 600);
    let strategy = part(map, "strategy");
    set(strategy, "type", "RollingUpdate");
    if strategy["type"] == "RollingUpdate" {
        let rolling = part(strategy, "rollingUpdate");
        set(rolling, "maxUnavailable", "25%");
        set(rolling, "maxSurge", "25%");
    }
}

fn daemon_set(map: &mut Fields) {
    set(map, "revisionHistoryLimit", 10);
    let strategy = part(map, "updateStrategy");
    set(strategy, "type", "RollingUpdate");
    if strategy["type"] == "RollingUpdate" {
        let rolling = part(strategy, "rollingUpdate");
        set(rolling, "maxUnavailable", 1);
        set(rolling, "maxSurge", 0);
    }
}

fn stateful_set(map: &mut Fields) {
    set(map, "podManagementPolicy", "OrderedReady");
    set(map, "replicas", 1);
    set(map, "revisionHistoryLimit", 10);
    let strategy = part(map, "updateStrategy");
    if strategy.get("type").and_then(Value::as_str).is_none_or(str::is_empty) {
        strategy.insert("type".into(), "RollingUpdate".into());
        part(strategy, "rollingUpdate");
    }
    if strategy["type"] == "RollingUpdate"
        && let Some(rolling) = strategy.get_mut("rollingUpdate").and_then(Value::as_object_mut)
    {
        set(rolling, "partition", 0);
    }
    let retention = part(map, "persistentVolumeClaimRetentionPolicy");
    set(retention, "whenDeleted", "Retain");
    set(retention, "whenScaled", "Retain");
    // A template of claims is a whole claim.
    for claim in each(map, "volumeClaimTemplates") {
        set(claim, "apiVersion", "v1");
        set(claim, "kind", "PersistentVolumeClaim");
    }
}

fn autoscaler(map: &mut Fields) {
    set(map, "minReplicas", 1);
    if map.get("metrics").and_then(Value::as_array).is_none_or(Vec::is_empty) {
        let metric = json!({"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 80}}});
        map.insert("metrics".into(), json!([metric]));
    }
    let Some(behaviour) = map.get_mut("behavior").and_then(Value::as_object_mut) else { return };
    let percent = json!({"type": "Percent", "value": 100, "periodSeconds": 15});
    let up = part(behaviour, "scaleUp");
    set(up, "stabilizationWindowSeconds", 0);
    set(up, "selectPolicy", "Max");
    up.entry("policies").or_insert_with(|| json!([{"type": "Pods", "value": 4, "periodSeconds": 15}, percent]));
    let down = part(behaviour, "scaleDown");
    set(down, "selectPolicy", "Max");
    down.entry("policies").or_insert_with(|| json!([percent]));
}

fn job(map: &mut Fields) {
    if !map.contains_key("completions") && !map.contains_key("parallelism") {
        map.insert("completions".into(), 1.into());
    }
    set(map, "parallelism", 1);
    let tries = if map.contains_key("backoffLimitPerIndex") { i32::MAX } else { 6 };
    set(map, "backoffLimit", tries);
    set(map, "completionMode", "NonIndexed");
    set(map, "suspend", false);
    let replaced = if map.contains_key("podFailurePolicy") { "Failed" } else { "TerminatingOrFailed" };
    set(map, "podReplacementPolicy", replaced);
    set(map, "manualSelector", false);
}

fn cron_job(map: &mut Fields) {
    set(map, "concurrencyPolicy", "Allow");
    set(map, "suspend", false);
    set(map, "successfulJobsHistoryLimit", 3);
    set(map, "failedJobsHistoryLimit", 1);
}

fn labels_of_template(map: &mut Fields) {
    let labels = map.get("spec").map(|spec| spec["template"]["metadata"]["labels"].clone());
    let Some(labels) = labels.filter(Value::is_object) else { return };
    let metadata = part(map, "metadata");
    if metadata.get("labels").and_then(Value::as_object).is_none_or(Map::is_empty) {
        metadata.insert("labels".into(), labels);
    }
}

fn replication_controller(map: &mut Fields) {
    let labels = map.get("spec").map(|spec| spec["template"]["metadata"]["labels"].clone());
    if let Some(labels) = labels.filter(Value::is_object) {
        let spec = part(map, "spec");
        if spec.get("selector").and_then(Value::as_object).is_none_or(Map::is_empty) {
            spec.insert("selector".into(), labels);
        }
    }
    labels_of_template(map);
}

fn namespace(map: &mut Fields) {
    let metadata = part(map, "metadata");
    let name = metadata.get("name").cloned().unwrap_or_default();
    if name.as_str().is_some_and(|name| !name.is_empty()) {
        part(metadata, "labels").insert("kubernetes.io/metadata.name".into(), name);
    }
}

fn limit(map: &mut Fields) {
    if map.get("type").is_none_or(|kind| kind != "Container") {
        return;
    }
    let given = |map: &Fields, name: &str| map.get(name).and_then(Value::as_object).cloned().unwrap_or_default();
    let (most, least) = (given(map, "max"), given(map, "min"));
    let default = part(map, "default");
    for (name, value) in most {
        default.entry(name).or_insert(value);
    }
    let default = default.clone();
    let request = part(map, "defaultRequest");
    for (name, value) in default.into_iter().chain(least) {
        request.entry(name).or_insert(value);
    }
}

fn container(map: &mut Fields) {
    let image = map.get("image").and_then(Value::as_str).unwrap_or_default();
    let last = image.rsplit('/').next().unwrap_or_default();
    let latest = !image.contains('@') && (last.ends_with(":latest") || !last.contains(':'));
    let policy = if latest && !image.is_empty() { "Always" } else { "IfNotPresent" };
    set(map, "imagePullPolicy", policy);
    set(map, "terminationMessagePath", "/dev/termination-log");
    set(map, "terminationMessagePolicy", "File");
}

fn probe(map: &mut Fields) {
    or_zero(map, "timeoutSeconds", 1);
    or_zero(map, "periodSeconds", 10);
    or_zero(map, "successThreshold", 1);
    or_zero(map, "failureThreshold", 3);
}

fn pod(map: &mut Fields) {
    let spec = part(map, "spec");
    for name in ["containers", "initContainers"] {
        for container in each(spec, name) {
            limits_are_requests(container);
        }
    }
    set(spec, "enableServiceLinks", true);
    if spec.get("hostNetwork").is_some_and(|given| given == true) {
        host_ports(spec);
    }
}

fn host_ports(spec: &mut Fields) {
    for name in ["containers", "initContainers"] {
        for container in each(spec, name) {
            for port in each(container, "ports") {
                let number = port.get("containerPort").cloned().unwrap_or_default();
                if port.get("hostPort").is_none_or(|host| host == 0) {
                    port.insert("hostPort".into(), number);
                }
            }
        }
    }
}

fn limits_are_requests(container: &mut Fields) {
    let Some(resources) = container.get_mut("resources").and_then(Value::as_object_mut) else { return };
    let Some(limits) = resources.get("limits").and_then(Value::as_object).cloned() else { return };
    let requests = part(resources, "requests");
    for (name, limit) in limits {
        requests.entry(name).or_insert(limit);
    }
}

fn pod_spec(map: &mut Fields) {
    set(map, "dnsPolicy", "ClusterFirst");
    set(map, "restartPolicy", "Always");
    part(map, "securityContext");
    set(map, "terminationGracePeriodSeconds", 30);
    set(map, "schedulerName", "default-scheduler");
    // The older name of the account's field goes with the newer.
    for (from, to) in [("serviceAccount", "serviceAccountName"), ("serviceAccountName", "serviceAccount")] {
        if let Some(account) = map.get(from).cloned() {
            set(map, to, account);
        }
    }
}

fn rbd(map: &mut Fields) {
    set(map, "pool", "rbd");
    set(map, "user", "admin");
    set(map, "keyring", "/etc/ceph/keyring");
}

fn scale_io(map: &mut Fields) {
    set(map, "storageMode", "ThinProvisioned");
    set(map, "fsType", "xfs");
}

fn volume(map: &mut Fields) {
    if map.keys().all(|name| name == "name") {
        map.insert("emptyDir".into(), json!({}));
    }
}

fn service(map: &mut Fields) {
    set(map, "sessionAffinity", "None");
    set(map, "type", "ClusterIP");
    if map["sessionAffinity"] == "None" {
        map.remove("sessionAffinityConfig");
    }
    let kind = map["type"].as_str().unwrap_or_default().to_owned();
    if matches!(kind.as_str(), "NodePort" | "LoadBalancer" | "ClusterIP") {
        set(map, "internalTrafficPolicy", "Cluster");
    }
    if matches!(kind.as_str(), "NodePort" | "LoadBalancer") {
        set(map, "externalTrafficPolicy", "Cluster");
    }
    if kind == "LoadBalancer" {
        set(map, "allocateLoadBalancerNodePorts", true);
    }
}

fn service_port(map: &mut Fields) {
    set(map, "protocol", "TCP");
    let number = map.get("port").cloned().unwrap_or_default();
    if map.get("targetPort").is_none_or(|target| target.is_null() || target == 0 || target == "") {
        map.insert("targetPort".into(), number);
    }
}

fn csi_driver(map: &mut Fields) {
    set(map, "attachRequired", true);
    set(map, "podInfoOnMount", false);
    set(map, "storageCapacity", false);
    set(map, "fsGroupPolicy", "ReadWriteOnceWithFSType");
    if map.get("volumeLifecycleModes").and_then(Value::as_array).is_none_or(Vec::is_empty) {
        map.insert("volumeLifecycleModes".into(), json!(["Persistent"]));
    }
    set(map, "requiresRepublish", false);
    set(map, "seLinuxMount", false);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted_and_names_types_that_exist() {
        assert!(TYPES.is_sorted_by_key(|(name, _)| name));
        for (name, _) in TYPES {
            assert!(schema::model::builtin(&format!("io.k8s.api.{name}")).is_some(), "{name}");
        }
    }
}
