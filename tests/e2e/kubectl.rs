//! A stock kubectl on every kind that is used here, and on one unknown when this was built.

use crate::world::{World, random};

#[test]
fn every_verb_works_on_built_in_and_custom_kinds() {
    let world = World::with(&["--no-sample"]);
    world.up();
    let group = format!("g{}.example", random());
    let (kind, plural) = ("Boat", "boats");
    let write = |name: &str, text: &str| std::fs::write(world.home.join(name), text).unwrap();
    write(
        "crd.yaml",
        &format!(
            "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {{name: {plural}.{group}}}\nspec:\n  group: {group}\n  scope: Namespaced\n  names: {{plural: {plural}, kind: {kind}, shortNames: [bt]}}\n  versions:\n  - name: v1\n    served: true\n    storage: true\n    additionalPrinterColumns: [{{name: Size, type: integer, jsonPath: .spec.size}}]\n    schema:\n      openAPIV3Schema:\n        type: object\n        properties:\n          spec: {{type: object, description: What the boat is, properties: {{size: {{type: integer, minimum: 1}}}}}}\n"
        ),
    );
    world.kubectl(&["apply", "-f", "crd.yaml"]);
    write(
        "boat.yaml",
        &format!(
            "apiVersion: {group}/v1\nkind: {kind}\nmetadata: {{name: b, namespace: default}}\nspec: {{size: 3}}\n"
        ),
    );
    world.until("the new kind is served", || {
        world.run(&crate::world::which("kubectl"), &["apply", "-f", "boat.yaml"], &world.home).code == 0
    });
    assert!(world.kubectl(&["get", "bt"]).contains("SIZE"));
    assert!(world.kubectl(&["explain", &format!("{plural}.{group}.spec")]).contains("size"));
    world.kubectl(&["patch", "bt", "b", "--type=merge", "-p", "{\"spec\":{\"size\":5}}"]);
    assert_eq!(world.kubectl(&["get", "bt", "b", "-o", "jsonpath={.spec.size}"]), "5");
    write(
        "boat.yaml",
        &format!(
            "apiVersion: {group}/v1\nkind: {kind}\nmetadata: {{name: b, namespace: default}}\nspec: {{size: 7}}\n"
        ),
    );
    world.kubectl(&["apply", "--server-side", "--force-conflicts", "-f", "boat.yaml"]);
    assert!(world.kubectl(&["describe", "bt", "b"]).contains("Size:  7"));
    let bad = world.run(
        &crate::world::which("kubectl"),
        &["patch", "bt", "b", "--type=merge", "-p", "{\"spec\":{\"size\":0}}"],
        &world.home,
    );
    assert!(bad.code == 1 && bad.err.contains("spec.size"), "{}", bad.err);
    world.kubectl(&["delete", "bt", "b"]);

    write("quota.yaml", "apiVersion: nowhere.example/v1\nkind: Nothing\nmetadata: {name: q, namespace: default}\n");
    let unknown = world.run(&crate::world::which("kubectl"), &["apply", "-f", "quota.yaml"], &world.home);
    assert!(unknown.code == 1 && unknown.err.contains("no matches for kind"), "{}", unknown.err);

    write("web.yaml", WEB);
    world.kubectl(&["apply", "-f", "web.yaml"]);
    world.kubectl(&["rollout", "status", "deploy/web", "--timeout=60s"]);
    assert_eq!(world.gateway("web.dev.localhost", "/health/ready").0, 200, "apply answers at the gateway");
    assert!(world.kubectl(&["describe", "deploy", "web"]).contains("NewReplicaSetAvailable"));
    assert!(world.kubectl(&["explain", "deployment.spec.strategy"]).contains("rollingUpdate"));
    assert!(world.kubectl(&["logs", "deploy/web"]).contains("serving"));
    world.kubectl(&["scale", "deploy/web", "--replicas=2"]);
    world.kubectl(&["rollout", "status", "deploy/web", "--timeout=60s"]);
    let name = world.kubectl(&["get", "pods", "-l", "app=web", "-o", "jsonpath={.items[0].metadata.name}"]);
    world.kubectl(&["delete", "pod", &name]);
    world.until("the pod is replaced", || {
        world.kubectl(&["get", "deploy", "web", "-o", "jsonpath={.status.readyReplicas}"]) == "2"
    });
    for kind in [
        "namespaces",
        "pods",
        "services",
        "configmaps",
        "secrets",
        "serviceaccounts",
        "events",
        "nodes",
        "deployments",
        "replicasets",
        "endpointslices",
        "leases",
        "roles",
        "clusterroles",
        "httproutes",
        "gateways",
        "applications",
        "microservices",
        "environments",
    ] {
        world.kubectl(&["get", kind, "-A"]);
    }
    // These come in the binary form, not as JSON.
    let space = crate::world::random_name();
    world.kubectl(&["create", "namespace", &space]);
    world.kubectl(&["create", "configmap", "made", "-n", &space, "--from-literal=a=1"]);
    assert_eq!(world.kubectl(&["get", "configmap", "made", "-n", &space, "-o", "jsonpath={.data.a}"]), "1");
    world.kubectl(&["create", "deployment", "made", "-n", &space, "--image=registry.cluster.local/sample:0.1.0"]);
    assert_eq!(world.kubectl(&["get", "deployment", "made", "-n", &space, "-o", "jsonpath={.spec.replicas}"]), "1");
    assert!(world.kubectl(&["auth", "whoami"]).contains("Username"));
    assert_eq!(world.kubectl(&["create", "token", "default", "-n", "default"]).trim().split('.').count(), 3);
    world.kubectl(&["delete", "deployment/made", "configmap/made", "-n", &space]);
    world.kubectl(&["delete", "namespace", &space]);
    world.kubectl(&["delete", "-f", "web.yaml"]);
    world.until("the route is gone", || world.gateway("web.dev.localhost", "/health/ready").0 != 200);
}

const WEB: &str = "
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: default}
spec:
  replicas: 1
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
      - name: web
        image: registry.cluster.local/sample:0.1.0
        env: [{name: SERVICE_NAME, value: web}]
        ports: [{name: http, containerPort: 8080}]
        securityContext: {runAsUser: 1000, readOnlyRootFilesystem: true, allowPrivilegeEscalation: false}
        readinessProbe: {httpGet: {path: /health/ready, port: http}, periodSeconds: 1}
        volumeMounts: [{name: tmp, mountPath: /tmp}]
      volumes: [{name: tmp, emptyDir: {}}]
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: default}
spec: {selector: {app: web}, ports: [{port: 80, targetPort: http}]}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: web, namespace: default}
spec:
  parentRefs: [{name: gateway, namespace: roadstead-system}]
  hostnames: [web.dev.localhost]
  rules: [{backendRefs: [{name: web, port: 80}]}]
";
