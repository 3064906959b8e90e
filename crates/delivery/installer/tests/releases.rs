//! Releases on an API server: what comes, changes, goes, and what the records say of it.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod world;

use installer::{Cluster, Error};
use serde_json::{Value, json};
use world::{World, word};

const MAP: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {{ .Release.Name }}\ndata:\n  text: {{ .Values.text | quote }}\n  revision: {{ .Release.Revision | quote }}\n";

#[tokio::test(flavor = "multi_thread")]
async fn a_release_comes_changes_goes_back_and_goes() {
    let world = World::start().await;
    let (name, text) = (word(), word());
    let extra = "{{ if .Release.IsUpgrade }}\napiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {{ .Release.Name }}-more\n{{ end }}";
    let chart = world.chart(
        "web",
        &[
            ("values.yaml", "text: unsaid\n"),
            ("templates/map.yaml", MAP),
            ("templates/more.yaml", extra),
            ("templates/NOTES.txt", "It says {{ .Values.text }}.\n"),
        ],
    );
    let shown = world.done(&format!("install {name} {chart} --set text={text} --labels team={text}")).await;
    assert!(shown.contains(&format!("NOTES:\nIt says {text}.")), "{shown}");
    let map = world.get("v1", "ConfigMap", &name).await.unwrap();
    assert_eq!(map["data"], json!({"text": text, "revision": "1"}));
    assert_eq!(map["metadata"]["annotations"]["meta.helm.sh/release-namespace"], *world.namespace);
    let record = world.get("v1", "Secret", &format!("sh.helm.release.v1.{name}.v1")).await.unwrap();
    assert_eq!(record["type"], "helm.sh/release.v1");
    let labels = &record["metadata"]["labels"];
    assert_eq!([&labels["status"], &labels["owner"], &labels["team"]], ["deployed", "helm", text.as_str()]);

    world.done(&format!("upgrade {name} {chart} --set other=1")).await;
    assert_eq!(world.get("v1", "ConfigMap", &name).await.unwrap()["data"]["text"], "unsaid");
    world.done(&format!("upgrade {name} {chart}")).await;
    assert!(world.get("v1", "ConfigMap", &format!("{name}-more")).await.is_some());
    let given = world.done(&format!("get values {name} -o json")).await;
    assert_eq!(serde_json::from_str::<Value>(&given).unwrap(), json!({"other": 1}));

    world.done(&format!("rollback {name} 1")).await;
    let map = world.get("v1", "ConfigMap", &name).await.unwrap();
    assert_eq!(map["data"], json!({"text": text, "revision": "1"}));
    assert!(world.get("v1", "ConfigMap", &format!("{name}-more")).await.is_none());
    let history: Value = serde_json::from_str(&world.done(&format!("history {name} -o json")).await).unwrap();
    let text = |one: &Value, key: &str| one[key].as_str().unwrap().to_owned();
    let seen: Vec<_> =
        history.as_array().unwrap().iter().map(|one| (text(one, "status"), text(one, "description"))).collect();
    let expected = [
        ("superseded", "Install complete"),
        ("superseded", "Upgrade complete"),
        ("superseded", "Upgrade complete"),
        ("deployed", "Rollback to 1"),
    ];
    assert_eq!(seen, expected.map(|(status, text)| (status.to_owned(), text.to_owned())));
    assert!(world.done("list").await.contains("web-1.2.3"));

    assert!(world.done(&format!("uninstall {name} --keep-history --wait")).await.contains("is uninstalled"));
    assert!(world.get("v1", "ConfigMap", &name).await.is_none());
    assert_eq!(world.done("list -q").await, "");
    assert_eq!(world.done("list -q --uninstalled").await, format!("{name}\n"));
    world.done(&format!("rollback {name} 3")).await;
    assert_eq!(world.get("v1", "ConfigMap", &name).await.unwrap()["data"]["revision"], "3");
    world.done(&format!("uninstall {name}")).await;
    let said = world.refused(&format!("history {name}")).await;
    assert!(said.contains(&format!("release {name} is not found in namespace {}", world.namespace)), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn values_of_the_last_revision_are_reused_as_asked() {
    let world = World::start().await;
    let template =
        "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {{ .Release.Name }}\ndata: {{ .Values.all | toJson }}\n";
    let first = world.chart("a", &[("values.yaml", "all: {a: \"1\", b: \"1\"}\n"), ("templates/map.yaml", template)]);
    let second =
        world.chart("a", &[("values.yaml", "all: {a: \"2\", b: \"2\", c: \"2\"}\n"), ("templates/map.yaml", template)]);
    for (flags, expected) in [
        ("", json!({"a": "x", "b": "2", "c": "2"})),
        ("--set all.c=y", json!({"a": "2", "b": "2", "c": "y"})),
        ("--reset-values", json!({"a": "2", "b": "2", "c": "2"})),
        ("--reset-then-reuse-values --set all.c=y", json!({"a": "x", "b": "2", "c": "y"})),
        ("--reuse-values --set all.b=y", json!({"a": "x", "b": "y"})),
    ] {
        let name = word();
        world.done(&format!("install {name} {first} --set all.a=x")).await;
        world.done(&format!("upgrade {name} {second} {flags}")).await;
        assert_eq!(world.get("v1", "ConfigMap", &name).await.unwrap()["data"], expected, "{flags}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_somebody_elses_is_not_taken_unless_asked() {
    let world = World::start().await;
    let (name, other) = (word(), word());
    let chart = world.chart("a", &[("templates/map.yaml", &MAP.replace("{{ .Release.Name }}", &other))]);
    world
        .put(json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": other}, "data": {"hand": "made"}}))
        .await;
    let said = world.refused(&format!("install {name} {chart}")).await;
    assert!(said.contains(&format!("ConfigMap {}/{other} is there already", world.namespace)), "{said}");
    assert!(world.get("v1", "Secret", &format!("sh.helm.release.v1.{name}.v1")).await.is_none(), "nothing is recorded");
    world.done(&format!("install {name} {chart} --take-ownership")).await;
    let map = world.get("v1", "ConfigMap", &other).await.unwrap();
    assert_eq!((&map["data"]["hand"], &map["data"]["revision"]), (&json!("made"), &json!("1")));
    let said = world.refused(&format!("install {} {chart}", word())).await;
    assert!(said.contains("release-name is"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mistake_is_told_before_anything_is_changed() {
    let world = World::start().await;
    let bad = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {{ .Release.Name }}-b\ndatta:\n  a: b\n";
    let unknown = "apiVersion: example.org/v1\nkind: Widget\nmetadata:\n  name: w\n";
    for (file, words) in [(bad, "unknown field \"datta\""), (unknown, "has no kind Widget in example.org/v1")] {
        let name = word();
        let chart = world.chart("a", &[("templates/a.yaml", MAP), ("templates/b.yaml", file)]);
        let said = world.refused(&format!("install {name} {chart}")).await;
        assert!(said.contains(words), "{said}");
        assert!(world.get("v1", "ConfigMap", &name).await.is_none());
        assert_eq!(world.done("list -q -a").await, "");
    }
    let chart = world.chart("a", &[("templates/a.yaml", MAP)]);
    let (name, space) = (word(), word());
    let elsewhere = Cluster::of(world.client.clone(), &space);
    let error = world.helm_on(&elsewhere, &format!("install {name} {chart}")).await.unwrap_err();
    assert!(base::fault::Chain(&error).to_string().contains("not found"), "{error}");
    world.helm_on(&elsewhere, &format!("install {name} {chart} --create-namespace")).await.unwrap();
    assert!(world.get("v1", "Namespace", &space).await.is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn one_of_two_writers_wins_and_what_is_pending_is_told() {
    let world = World::start().await;
    let name = word();
    let chart = world.chart("a", &[("templates/map.yaml", MAP)]);
    world.done(&format!("install {name} {chart}")).await;
    let upgrade = |text: &str| format!("upgrade {name} {chart} --set text={text}");
    let (one, other) = (upgrade("one"), upgrade("other"));
    let both = tokio::join!(world.helm(&one), world.helm(&other));
    let failed: Vec<&Error> = [&both.0, &both.1].into_iter().filter_map(|done| done.as_ref().err()).collect();
    assert!(failed.iter().all(|error| matches!(error, Error::Pending { .. })) && failed.len() < 2, "{failed:?}");
    let history: Value = serde_json::from_str(&world.done(&format!("history {name} -o json")).await).unwrap();
    let deployed = history.as_array().unwrap().iter().filter(|one| one["status"] == "deployed").count();
    assert_eq!(deployed, 1, "{history}");

    // A writer that was killed leaves a revision behind that is under way for ever.
    let cluster = Cluster::of(world.client.clone(), &world.namespace);
    let slow = world.chart("a", &[("templates/pod.yaml", "apiVersion: v1\nkind: Pod\nmetadata:\n  name: p\n  annotations:\n    helm.sh/hook: pre-upgrade\nspec:\n  containers: [{name: c, image: x}]\n")]);
    let line = format!("upgrade {name} {slow}");
    let killed = tokio::time::timeout(std::time::Duration::from_secs(3), world.helm_on(&cluster, &line)).await;
    assert!(killed.is_err(), "its hook never ends");
    let said = world.refused(&upgrade("late")).await;
    assert!(said.contains("pending-upgrade") && said.contains(&format!("roadstead helm rollback {name}")), "{said}");
    world.done(&format!("rollback {name}")).await;
    world.done(&upgrade("late")).await;
    assert_eq!(world.get("v1", "ConfigMap", &name).await.unwrap()["data"]["text"], "late");
}

#[tokio::test(flavor = "multi_thread")]
async fn old_revisions_are_forgotten_and_what_a_policy_keeps_stays() {
    let world = World::start().await;
    let name = word();
    let kept = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {{ .Release.Name }}-kept\n  annotations:\n    helm.sh/resource-policy: keep\n";
    let chart = world.chart("a", &[("templates/map.yaml", MAP), ("templates/kept.yaml", kept)]);
    world.done(&format!("install {name} {chart}")).await;
    for text in ["b", "c", "d"] {
        world.done(&format!("upgrade {name} {chart} --set text={text} --history-max 2")).await;
    }
    let history: Value = serde_json::from_str(&world.done(&format!("history {name} -o json")).await).unwrap();
    let revisions: Vec<_> = history.as_array().unwrap().iter().map(|one| one["revision"].as_u64().unwrap()).collect();
    assert_eq!(revisions, [3, 4]);
    let plan = world.done(&format!("uninstall {name} --dry-run")).await;
    assert!(plan.contains(&format!("{name}-kept (stays")), "{plan}");
    assert!(world.get("v1", "ConfigMap", &name).await.is_some());
    let said = world.done(&format!("uninstall {name}")).await;
    assert!(said.contains(&format!("{name}-kept stays")), "{said}");
    assert!(world.get("v1", "ConfigMap", &format!("{name}-kept")).await.is_some());
    assert!(world.get("v1", "ConfigMap", &name).await.is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_difference_shows_what_would_change_and_no_secret() {
    let world = World::start().await;
    let (name, password) = (word(), word());
    let secret =
        "apiVersion: v1\nkind: Secret\nmetadata:\n  name: s\nstringData:\n  password: {{ .Values.password }}\n";
    let chart = world.chart("a", &[("templates/map.yaml", MAP), ("templates/s.yaml", secret)]);
    let said = world.refused(&format!("diff {name} {chart} --set password=a")).await;
    assert!(said.contains("is not found"), "{said}");
    world.done(&format!("install {name} {chart} --set password=first,text=old")).await;
    let same = world.done(&format!("diff {name} {chart}")).await;
    assert!(same.contains("+  revision: \"2\"") && !same.contains("-  text"), "values are reused: {same}");
    let line = format!("diff {name} {chart} --set password={password},text=new");
    let shown = world.done(&line).await;
    assert!(shown.contains("-  text: \"old\"\n") && shown.contains("+  text: \"new\"\n"), "{shown}");
    assert!(shown.contains("not shown> (after)") && !shown.contains(&password) && !shown.contains("first"), "{shown}");
    let error = world.helm(&format!("{line} --exit-code")).await.unwrap_err();
    assert!(matches!(&error, Error::Differs { count: 2, text } if *text == shown), "{error:?}");
    world.done(&format!("upgrade {name} {chart} --set password={password},text=new")).await;
    let between = world.done(&format!("diff {name} --revision 1 --revision 2")).await;
    assert!(between.contains("+  revision: \"2\"") && !between.contains(&password), "{between}");
}

#[tokio::test(flavor = "multi_thread")]
async fn templates_see_the_cluster() {
    let world = World::start().await;
    let (name, text) = (word(), word());
    world
        .put(json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "there"}, "data": {"t": text}}))
        .await;
    let template = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {{ .Release.Name }}\ndata:\n  found: {{ (lookup \"v1\" \"ConfigMap\" .Release.Namespace \"there\").data.t }}\n  none: {{ lookup \"v1\" \"Secret\" .Release.Namespace \"gone\" | toJson | quote }}\n  has: {{ .Capabilities.APIVersions.Has \"apps/v1/Deployment\" | quote }}\n  lacks: {{ .Capabilities.APIVersions.Has \"example.org/v1\" | quote }}\n";
    let chart = world.chart("a", &[("templates/map.yaml", template)]);
    world.done(&format!("install {name} {chart}")).await;
    let data = &world.get("v1", "ConfigMap", &name).await.unwrap()["data"];
    assert_eq!(*data, json!({"found": text, "none": "{}", "has": "true", "lacks": "false"}));
}
