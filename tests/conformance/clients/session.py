"""A session of the stock Python client: every answer goes through its typed models, which refuse what is not there."""

import sys
import uuid

from kubernetes import client, config, dynamic, watch
from kubernetes.client.rest import ApiException

config.load_kube_config()
run = uuid.uuid4().hex[:8]
core, apps, batch = client.CoreV1Api(), client.AppsV1Api(), client.BatchV1Api()
namespace = f"py-{run}"


def expect(code, call, *args, **kwargs):
    try:
        call(*args, **kwargs)
    except ApiException as error:
        assert error.status == code, f"{error.status} where {code} was expected: {error.body}"
        return
    raise AssertionError(f"no error where {code} was expected")


core.create_namespace(client.V1Namespace(metadata=client.V1ObjectMeta(name=namespace)))
expect(409, core.create_namespace, client.V1Namespace(metadata=client.V1ObjectMeta(name=namespace)))
expect(404, core.read_namespaced_config_map, "nobody", namespace)

# Core: create, read, patch, list with selectors and pages.
for at in range(5):
    labels = {"run": run, "at": str(at)}
    body = client.V1ConfigMap(metadata=client.V1ObjectMeta(name=f"m{at}", labels=labels), data={"k": str(at)})
    core.create_namespaced_config_map(namespace, body)
mine = core.list_namespaced_config_map(namespace, label_selector=f"run={run},at in (1,2)")
assert [item.metadata.name for item in mine.items] == ["m1", "m2"], mine
page = core.list_namespaced_config_map(namespace, label_selector=f"run={run}", limit=2)
names = [item.metadata.name for item in page.items]
while page.metadata._continue:
    page = core.list_namespaced_config_map(namespace, label_selector=f"run={run}", limit=2, _continue=page.metadata._continue)
    names += [item.metadata.name for item in page.items]
assert names == [f"m{at}" for at in range(5)], names
patched = core.patch_namespaced_config_map("m0", namespace, {"data": {"new": run}})
assert patched.data == {"k": "0", "new": run}
stale = core.read_namespaced_config_map("m0", namespace)
core.patch_namespaced_config_map("m0", namespace, {"data": {"k": "changed"}})
expect(409, core.replace_namespaced_config_map, "m0", namespace, stale)

# Typed round trips of workloads: what the server fills in has to fit the models.
template = client.V1PodTemplateSpec(
    metadata=client.V1ObjectMeta(labels={"app": run}),
    spec=client.V1PodSpec(containers=[client.V1Container(name="c", image="registry.example/none:1")]),
)
selector = client.V1LabelSelector(match_labels={"app": run})
deployment = apps.create_namespaced_deployment(
    namespace,
    client.V1Deployment(
        metadata=client.V1ObjectMeta(name="d"), spec=client.V1DeploymentSpec(replicas=0, selector=selector, template=template)
    ),
)
assert deployment.spec.strategy.rolling_update.max_surge == "25%", deployment.spec.strategy
scale = apps.patch_namespaced_deployment_scale("d", namespace, {"spec": {"replicas": 0}})
# A count of nothing is left out, as Kubernetes leaves it out.
assert not scale.spec.replicas and scale.status.selector == f"app={run}", scale
job_template = client.V1PodTemplateSpec(
    spec=client.V1PodSpec(restart_policy="Never", containers=[client.V1Container(name="c", image="registry.example/none:1")])
)
job = batch.create_namespaced_job(
    namespace, client.V1Job(metadata=client.V1ObjectMeta(name="j"), spec=client.V1JobSpec(suspend=True, template=job_template))
)
assert job.spec.backoff_limit == 6 and job.spec.selector.match_labels, job.spec
invalid = client.V1Deployment(
    metadata=client.V1ObjectMeta(name="bad"),
    spec=client.V1DeploymentSpec(selector=client.V1LabelSelector(match_labels={"app": "other"}), template=template),
)
expect(422, apps.create_namespaced_deployment, namespace, invalid)

# A watch from a revision, told of what comes after it.
listed = core.list_namespaced_secret(namespace)
core.create_namespaced_secret(
    namespace, client.V1Secret(metadata=client.V1ObjectMeta(name=f"s-{run}"), string_data={"password": run})
)
watching = watch.Watch()
for event in watching.stream(
    core.list_namespaced_secret, namespace, resource_version=listed.metadata.resource_version, timeout_seconds=20
):
    assert event["type"] == "ADDED" and event["object"].metadata.name == f"s-{run}", event
    watching.stop()

# A kind that nobody knew, through the dynamic client: discovery, server-side apply, its conflicts.
group, plural = f"{run}.example.com", f"things{run}"
schema = {
    "type": "object",
    "properties": {"spec": {"type": "object", "properties": {"size": {"type": "integer", "default": 3, "maximum": 9}}}},
}
definition = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": f"{plural}.{group}"},
    "spec": {
        "group": group,
        "scope": "Namespaced",
        "names": {"plural": plural, "singular": f"thing{run}", "kind": f"Thing{run}"},
        "versions": [{"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}],
    },
}
extensions = client.ApiextensionsV1Api()
extensions.create_custom_resource_definition(definition)
for event in watching.stream(extensions.list_custom_resource_definition, timeout_seconds=20):
    conditions = event["object"].status.conditions or [] if event["object"].status else []
    if event["object"].metadata.name == f"{plural}.{group}" and any(
        one.type == "Established" and one.status == "True" for one in conditions
    ):
        watching.stop()
things = dynamic.DynamicClient(client.ApiClient()).resources.get(api_version=f"{group}/v1", kind=f"Thing{run}")
thing = {"apiVersion": f"{group}/v1", "kind": f"Thing{run}", "metadata": {"name": "t"}, "spec": {}}
made = things.server_side_apply(body=thing, name="t", namespace=namespace, field_manager="first")
assert made.spec.size == 3, made
thing["spec"] = {"size": 5}
things.server_side_apply(body=thing, name="t", namespace=namespace, field_manager="first")
thing["spec"] = {"size": 6}
expect(409, things.server_side_apply, body=thing, name="t", namespace=namespace, field_manager="second")
thing["spec"] = {"size": 10}
expect(422, things.server_side_apply, body=thing, name="t", namespace=namespace, field_manager="first")

# Who may what.
review = client.AuthorizationV1Api().create_subject_access_review(
    client.V1SubjectAccessReview(
        spec=client.V1SubjectAccessReviewSpec(
            user=f"nobody-{run}", resource_attributes=client.V1ResourceAttributes(verb="get", resource="secrets")
        )
    )
)
assert review.status.allowed is False, review.status

# Every list of the typed clients is one that its model accepts.
for api in (core, apps, batch, client.NetworkingV1Api(), client.PolicyV1Api(), client.RbacAuthorizationV1Api(), client.StorageV1Api(),
            client.AutoscalingV2Api(), client.AutoscalingV1Api(), client.DiscoveryV1Api(), client.CoordinationV1Api(), client.SchedulingV1Api(), client.EventsV1Api(),
            client.AdmissionregistrationV1Api(), client.CertificatesV1Api(), extensions):
    for name in dir(api):
        every = name.startswith("list_") and not name.endswith("_with_http_info") and "namespaced" not in name
        if every and not name.startswith("list_component"):
            assert getattr(api, name)().kind.endswith("List"), name

extensions.delete_custom_resource_definition(f"{plural}.{group}")
core.delete_namespace(namespace)
print("done", file=sys.stderr)
