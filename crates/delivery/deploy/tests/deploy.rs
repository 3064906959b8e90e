//! Templates deployed into a cluster in this process, with names that no author knew.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::needless_pass_by_value,
    reason = "a test stops at what it did not expect, and writes objects where it uses them"
)]

use std::collections::BTreeMap;

use apiserver::{Server, User};
use deploy::{Conflicts, Error, Mode, Outcome, deploy};
use gotmpl::World;
use kube::Client;
use serde_json::{Value, json};
use template::{Processed, Template, Unknown};

/// The templates that platforms' documents give, as they stand there.
const SERVICE: &str = include_str!("templates/service.yaml");
const ENVIRONMENT: &str = include_str!("templates/environment.yaml");

struct Cluster {
    server: Server,
    admin: Client,
}

fn word() -> String {
    format!("w{}", &uuid::Uuid::new_v4().simple().to_string()[..8])
}

fn process(text: &str, given: &[(&str, &str)]) -> Processed {
    let given: BTreeMap<String, String> = given.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    Template::read(text).unwrap().process(&given, Unknown::Refused, &World::still()).unwrap()
}

/// A template of these objects.
fn objects(objects: Value) -> Processed {
    let template = json!({"apiVersion": "v1", "kind": "Template", "metadata": {"name": "t"}, "objects": objects});
    process(&template.to_string(), &[])
}

fn map(name: &str, more: Value) -> Value {
    let mut map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}});
    map.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    map
}

fn namespace(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
}

impl Cluster {
    async fn start() -> Cluster {
        let server = Server::in_memory().await.unwrap();
        let admin = server.client(User::new("admin", &["system:masters"]));
        Cluster { server, admin }
    }

    fn user(&self, name: &str) -> Client {
        self.server.client(User::new(name, &["system:authenticated"]))
    }

    async fn get(&self, path: &str) -> Option<Value> {
        let request = http::Request::get(path).body(Vec::new()).unwrap();
        match self.admin.request::<Value>(request).await {
            Ok(object) => Some(object),
            Err(kube::Error::Api(status)) if status.code == 404 => None,
            Err(error) => panic!("{path}: {error}"),
        }
    }

    async fn make(&self, collection: &str, object: &Value) {
        let request = http::Request::post(collection).header("content-type", "application/json");
        let made: Result<Value, kube::Error> =
            self.admin.request(request.body(object.to_string().into_bytes()).unwrap()).await;
        made.unwrap();
    }

    async fn apply(&self, processed: &Processed, namespace: &str) -> Result<Vec<Outcome>, Error> {
        let done = deploy(&self.admin, processed, namespace, Mode::Apply, Conflicts::Refuse).await?;
        Ok(done.into_iter().map(|one| one.outcome).collect())
    }
}

/// The kind of the gateway's routes, as far as this template needs it.
fn routes() -> Value {
    let any = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    let version = |name: &str, storage: bool| json!({"name": name, "served": true, "storage": storage, "schema": {"openAPIV3Schema": any}});
    json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "httproutes.gateway.networking.k8s.io", "annotations": {"api-approved.kubernetes.io": "https://github.com/kubernetes-sigs/gateway-api/pull/1"}},
        "spec": {"group": "gateway.networking.k8s.io", "scope": "Namespaced", "names": {"kind": "HTTPRoute", "plural": "httproutes"},
            "versions": [version("v1", true), version("v1beta1", false)]}})
}

#[tokio::test]
async fn a_service_of_the_documents_is_deployed_as_it_stands() {
    let cluster = Cluster::start().await;
    let (name, space) = (word(), word());
    let replicas = (2 + name.len() + usize::from(name.as_bytes()[1] % 5)).to_string();
    let given = [("SERVICE_NAME", name.as_str()), ("NAMESPACE", &space), ("REPLICAS", &replicas)];
    let processed = process(SERVICE, &given);
    // Its routes are of a kind that this cluster does not have yet.
    let error = cluster.apply(&processed, "default").await.unwrap_err();
    assert!(
        error.to_string().contains(&format!("HTTPRoute {name}-route (gateway.networking.k8s.io/v1beta1)")),
        "{error}"
    );
    assert!(cluster.get(&format!("/api/v1/namespaces/{space}")).await.is_none(), "nothing is half there");
    cluster.apply(&objects(json!([routes()])), "default").await.unwrap();

    let dry = deploy(&cluster.admin, &processed, "default", Mode::Trial, Conflicts::Refuse).await.unwrap();
    assert!(dry.iter().all(|one| one.outcome == Outcome::Created) && dry.len() == 4, "{dry:?}");
    assert!(cluster.get(&format!("/api/v1/namespaces/{space}")).await.is_none(), "a trial writes nothing");

    assert_eq!(cluster.apply(&processed, "default").await.unwrap(), [Outcome::Created; 4]);
    let deployment = cluster.get(&format!("/apis/apps/v1/namespaces/{space}/deployments/{name}")).await.unwrap();
    assert_eq!(deployment["spec"]["replicas"].to_string(), replicas);
    assert_eq!(deployment["metadata"]["managedFields"][0]["manager"], "roadstead");
    let route = format!("/apis/gateway.networking.k8s.io/v1beta1/namespaces/{space}/httproutes/{name}-route");
    assert_eq!(cluster.get(&route).await.unwrap()["spec"]["hostnames"][0], format!("{name}.example.com"));

    assert_eq!(cluster.apply(&processed, "default").await.unwrap(), [Outcome::Unchanged; 4], "twice is once");
    let given = [("SERVICE_NAME", name.as_str()), ("NAMESPACE", &space), ("REPLICAS", "7"), ("DOMAIN", "farm.example")];
    let other = process(SERVICE, &given);
    let wanted = [Outcome::Unchanged, Outcome::Configured, Outcome::Unchanged, Outcome::Configured];
    let dry = deploy(&cluster.admin, &other, "default", Mode::Trial, Conflicts::Refuse).await.unwrap();
    assert_eq!(dry.into_iter().map(|one| one.outcome).collect::<Vec<_>>(), wanted);
    assert_eq!(cluster.apply(&other, "default").await.unwrap(), wanted);
}

#[tokio::test]
async fn an_environment_of_the_documents_is_deployed_as_it_stands() {
    let cluster = Cluster::start().await;
    let (name, project) = (word(), word());
    let processed = process(ENVIRONMENT, &[("ENVIRONMENT_NAME", &name), ("PROJECT_NAME", &project)]);
    assert_eq!(cluster.apply(&processed, "default").await.unwrap(), [Outcome::Created; 2]);
    let made = cluster.get(&format!("/api/v1/namespaces/{name}")).await.unwrap();
    assert_eq!(made["metadata"]["labels"]["project"], project);
    let quota = cluster.get(&format!("/api/v1/namespaces/{name}/resourcequotas/{name}-quota")).await.unwrap();
    assert_eq!(quota["spec"]["hard"]["requests.memory"], "8Gi");
}

#[tokio::test]
async fn what_names_no_namespace_goes_where_it_is_sent() {
    let cluster = Cluster::start().await;
    let (name, space) = (word(), word());
    let processed = objects(json!([map(&name, json!({"data": {"k": "v"}}))]));
    let error = cluster.apply(&processed, &space).await.unwrap_err().to_string();
    assert!(error.contains(&format!("ConfigMap {space}/{name}: namespaces \"{space}\" not found")), "{error}");
    assert!(error.contains("make the namespace first"), "{error}");
    cluster.make("/api/v1/namespaces", &namespace(&space)).await;
    assert_eq!(cluster.apply(&processed, &space).await.unwrap(), [Outcome::Created]);
    assert!(cluster.get(&format!("/api/v1/namespaces/{space}/configmaps/{name}")).await.is_some());
}

#[tokio::test]
async fn every_object_that_is_refused_is_told_and_none_is_written() {
    let cluster = Cluster::start().await;
    let (name, space) = (word(), word());
    let deployment = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name, "namespace": space}, "spec": {
        "replicas": -3, "selector": {"matchLabels": {"a": "b"}}, "template": {"metadata": {"labels": {"a": "b"}},
            "spec": {"containers": [{"name": "c", "image": "i"}]}}}});
    // What is wrong comes to light before the namespace is there, and after.
    for there in [false, true] {
        if there {
            cluster.make("/api/v1/namespaces", &namespace(&space)).await;
        }
        let processed = objects(json!([
            map(&name, json!({"metadata": {"name": name, "namespace": space}})),
            namespace(&space),
            deployment,
            map(&name, json!({"data": "no map"})),
            map("Not_Right", json!({})),
        ]));
        let error = cluster.apply(&processed, "default").await.unwrap_err();
        let Error::Refused { refusals } = &error else { panic!("{error}") };
        let told: Vec<&str> = refusals.iter().map(|one| one.object.as_str()).collect();
        assert_eq!(
            told,
            [
                &format!("Deployment {space}/{name}"),
                &format!("ConfigMap default/{name}"),
                "ConfigMap default/Not_Right"
            ]
        );
        assert!(error.to_string().starts_with("nothing was applied: "), "{error}");
        assert!(
            refusals[0].message.contains(&format!("\"{name}\"")) && refusals[0].message.contains("spec.replicas"),
            "{error}"
        );
        assert_eq!(cluster.get(&format!("/api/v1/namespaces/{space}")).await.is_some(), there);
        assert!(cluster.get(&format!("/api/v1/namespaces/{space}/configmaps/{name}")).await.is_none());
    }
}

#[tokio::test]
async fn of_a_namespace_that_is_refused_nothing_more_is_told() {
    let cluster = Cluster::start().await;
    let inside = map("m", json!({"metadata": {"name": "m", "namespace": "Not_Right"}}));
    let error = cluster.apply(&objects(json!([inside, namespace("Not_Right")])), "default").await.unwrap_err();
    let Error::Refused { refusals } = &error else { panic!("{error}") };
    assert_eq!((refusals.len(), refusals[0].object.as_str()), (1, "Namespace Not_Right"), "{error}");
}

#[tokio::test]
async fn a_kind_that_nobody_serves_keeps_everything_back() {
    let cluster = Cluster::start().await;
    let (name, space) = (word(), word());
    let crop = json!({"apiVersion": format!("{name}.example/v1"), "kind": "Crop", "metadata": {"name": name}});
    let odd = json!({"apiVersion": "v1", "kind": "Contraption", "metadata": {"name": name}});
    let error = cluster.apply(&objects(json!([namespace(&space), crop, odd])), "default").await.unwrap_err();
    let Error::Kinds { objects } = &error else { panic!("{error}") };
    assert_eq!(*objects, format!("Crop {name} ({name}.example/v1), Contraption {name} (v1)"));
    assert!(cluster.get(&format!("/api/v1/namespaces/{space}")).await.is_none());
}

#[tokio::test]
async fn a_template_may_define_the_kinds_of_its_own_objects() {
    let cluster = Cluster::start().await;
    let (group, space, name) = (format!("{}.example", word()), word(), word());
    let crop = json!({"apiVersion": format!("{group}/v1"), "kind": "Crop", "metadata": {"name": name, "namespace": space}, "spec": {"rows": 3}});
    let crd = json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": format!("crops.{group}")},
        "spec": {"group": group, "scope": "Namespaced", "names": {"kind": "Crop", "plural": "crops"}, "versions": [{"name": "v1", "served": true, "storage": true,
            "schema": {"openAPIV3Schema": {"type": "object", "properties": {"spec": {"type": "object", "properties": {"rows": {"type": "integer"}}}}}}}]}});
    let done = deploy(
        &cluster.admin,
        &objects(json!([crop, crd, namespace(&space)])),
        "default",
        Mode::Apply,
        Conflicts::Refuse,
    )
    .await
    .unwrap();
    let kinds: Vec<&str> = done.iter().map(|one| one.kind.as_str()).collect();
    assert_eq!(kinds, ["Namespace", "CustomResourceDefinition", "Crop"]);
    assert_eq!(
        cluster.get(&format!("/apis/{group}/v1/namespaces/{space}/crops/{name}")).await.unwrap()["spec"]["rows"],
        3
    );
}

#[tokio::test]
async fn nobody_deploys_what_their_roles_do_not_allow() {
    let cluster = Cluster::start().await;
    let (ann, space, other, name) = (word(), word(), word(), word());
    let user = cluster.user(&ann);
    for space in [&space, &other] {
        cluster.make("/api/v1/namespaces", &namespace(space)).await;
    }
    let rules = json!([{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get", "create", "patch"]}]);
    cluster
        .make(
            &format!("/apis/rbac.authorization.k8s.io/v1/namespaces/{space}/roles"),
            &json!({"metadata": {"name": "r"}, "rules": rules}),
        )
        .await;
    let binding = json!({"metadata": {"name": "r"}, "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "r"},
        "subjects": [{"kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": ann}]});
    cluster.make(&format!("/apis/rbac.authorization.k8s.io/v1/namespaces/{space}/rolebindings"), &binding).await;
    let elsewhere = map(&name, json!({"metadata": {"name": name, "namespace": other}}));
    let both = objects(json!([map(&name, json!({})), elsewhere]));
    let error = deploy(&user, &both, &space, Mode::Apply, Conflicts::Refuse).await.unwrap_err();
    let Error::Refused { refusals } = &error else { panic!("{error}") };
    assert_eq!((refusals.len(), refusals[0].code, &refusals[0].object), (1, 403, &format!("ConfigMap {other}/{name}")));
    assert!(error.to_string().contains(&ann) && error.to_string().contains("ask whoever runs the cluster"), "{error}");
    assert!(
        cluster.get(&format!("/api/v1/namespaces/{space}/configmaps/{name}")).await.is_none(),
        "nothing is half there"
    );
    let done =
        deploy(&user, &objects(json!([map(&name, json!({}))])), &space, Mode::Apply, Conflicts::Refuse).await.unwrap();
    assert_eq!(done[0].outcome, Outcome::Created);
    // In a namespace that the template itself makes, whose objects may not be made.
    let made = word();
    cluster.make("/apis/rbac.authorization.k8s.io/v1/clusterroles", &json!({"metadata": {"name": made}, "rules": [{"apiGroups": [""], "resources": ["namespaces"], "verbs": ["*"]}]})).await;
    let binding = json!({"metadata": {"name": made}, "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": made},
        "subjects": [{"kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": ann}]});
    cluster.make("/apis/rbac.authorization.k8s.io/v1/clusterrolebindings", &binding).await;
    let within = objects(json!([namespace(&made), map(&name, json!({"metadata": {"name": name, "namespace": made}}))]));
    let error = deploy(&user, &within, "default", Mode::Apply, Conflicts::Refuse).await.unwrap_err().to_string();
    assert!(error.contains(&format!("you may not create configmaps in {made}")), "{error}");
    assert!(cluster.get(&format!("/api/v1/namespaces/{made}")).await.is_none());
}

#[tokio::test]
async fn fields_of_somebody_else_are_taken_over_only_when_that_is_wanted() {
    let cluster = Cluster::start().await;
    let name = word();
    let path = format!("/api/v1/namespaces/default/configmaps/{name}");
    let mine = map(&name, json!({"data": {"k": "theirs"}}));
    let request = http::Request::patch(format!("{path}?fieldManager=somebody"))
        .header("content-type", "application/apply-patch+yaml");
    cluster.admin.request::<Value>(request.body(mine.to_string().into_bytes()).unwrap()).await.unwrap();
    let processed = objects(json!([map(&name, json!({"data": {"k": "ours"}}))]));
    let error = cluster.apply(&processed, "default").await.unwrap_err().to_string();
    assert!(error.contains("somebody") && error.contains("--force-conflicts"), "{error}");
    assert_eq!(cluster.get(&path).await.unwrap()["data"]["k"], "theirs");
    let done = deploy(&cluster.admin, &processed, "default", Mode::Apply, Conflicts::TakeOver).await.unwrap();
    assert_eq!(done[0].outcome, Outcome::Configured);
    assert_eq!(cluster.get(&path).await.unwrap()["data"]["k"], "ours");
}

#[tokio::test]
async fn templates_with_a_name_are_found_by_their_label() {
    let cluster = Cluster::start().await;
    let (name, text) = (word(), word());
    for (name, labels) in [(name.as_str(), json!({"platform.io/template": "true"})), ("other", json!({}))] {
        let map = map(name, json!({"metadata": {"name": name, "labels": labels}, "data": {"template": text}}));
        cluster.make("/api/v1/namespaces/roadstead-system/configmaps", &map).await;
    }
    let found = deploy::stored(&cluster.admin).await.unwrap();
    assert_eq!(found, [deploy::Stored { name, text }]);
    let error = deploy::stored(&cluster.user("nobody")).await.unwrap_err();
    assert!(base::fault::Chain(&error).to_string().contains("configmaps is forbidden"), "{error}");
}
