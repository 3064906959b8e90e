//! Messages written by hand, read back; and bytes that no client sends.

use proptest::prelude::*;

use super::*;

fn varint(mut value: u64) -> Vec<u8> {
    let mut out = Vec::new();
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
    out
}

/// A field that holds a number.
fn n(number: u64, value: i64) -> Vec<u8> {
    [varint(number << 3), varint(value as u64)].concat()
}

/// A field that holds bytes: text, a message.
fn b(number: u64, bytes: impl AsRef<[u8]>) -> Vec<u8> {
    [varint(number << 3 | 2), varint(bytes.as_ref().len() as u64), bytes.as_ref().to_vec()].concat()
}

fn double(number: u64, value: f64) -> Vec<u8> {
    [varint(number << 3 | 1), value.to_le_bytes().to_vec()].concat()
}

fn entry(number: u64, key: &str, value: impl AsRef<[u8]>) -> Vec<u8> {
    b(number, [b(1, key), b(2, value)].concat())
}

fn envelope(api_version: &str, kind: &str, raw: &[u8]) -> Vec<u8> {
    let types = [b(1, api_version), b(2, kind)].concat();
    [MAGIC.to_vec(), b(1, types), b(2, raw), b(3, ""), b(4, "")].concat()
}

#[track_caller]
fn check(api_version: &str, kind: &str, raw: &[Vec<u8>], mut expected: Value) {
    expected["apiVersion"] = api_version.into();
    expected["kind"] = kind.into();
    assert_eq!(decode(&envelope(api_version, kind, &raw.concat())).unwrap(), expected);
}

/// A Deployment with one container, as a Go client writes it.
fn deployment(name: &str, image: &str, replicas: i64, port: i64) -> Vec<u8> {
    let label = |number| entry(number, "app", name);
    let metadata =
        [b(1, name), b(2, ""), b(3, "default"), b(4, ""), b(5, ""), b(6, ""), n(7, 0), b(8, ""), label(11)].concat();
    let ports = [b(1, "http"), n(2, 0), n(3, port), b(4, "TCP"), b(5, "")].concat();
    let limits = [entry(1, "cpu", b(1, "250m")), entry(1, "memory", b(1, "64Mi"))].concat();
    let get = [b(1, "/ready"), b(2, [n(1, 1), n(2, 0), b(3, "http")].concat()), b(3, ""), b(4, "HTTP")].concat();
    let probe = [b(1, b(2, get)), n(2, 0), n(4, 1)].concat();
    let env = [b(1, "A"), b(2, "")].concat();
    let container =
        [b(1, "c"), b(2, image), b(5, ""), b(6, ports), b(7, env), b(8, limits), b(11, probe), b(14, ""), n(16, 0)];
    let volume = [b(1, "tmp"), b(2, b(2, b(1, "Memory")))].concat();
    let pod = [b(1, volume), b(2, container.concat()), b(3, ""), n(4, 0), n(11, 0)].concat();
    let template = [b(1, label(11)), b(2, pod)].concat();
    let rolling = b(1, [n(1, 0), n(2, 3), b(3, "")].concat());
    let spec =
        [n(1, replicas), b(2, label(1)), b(3, template), b(4, [b(1, ""), b(2, rolling)].concat()), n(5, 0), n(7, 0)];
    envelope(
        "apps/v1",
        "Deployment",
        &[b(1, metadata), b(2, spec.concat()), b(3, [n(1, 0), n(2, 0)].concat())].concat(),
    )
}

fn deployment_value(name: &str, image: &str, replicas: i64, port: i64) -> Value {
    json!({"apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": name, "namespace": "default", "labels": {"app": name}},
        "spec": {"replicas": replicas, "selector": {"matchLabels": {"app": name}},
            "strategy": {"rollingUpdate": {"maxUnavailable": 3}},
            "template": {"metadata": {"labels": {"app": name}}, "spec": {
                "volumes": [{"name": "tmp", "emptyDir": {"medium": "Memory"}}],
                "terminationGracePeriodSeconds": 0,
                "containers": [{"name": "c", "image": image, "env": [{"name": "A"}],
                    "ports": [{"name": "http", "containerPort": port, "protocol": "TCP"}],
                    "resources": {"limits": {"cpu": "250m", "memory": "64Mi"}},
                    "readinessProbe": {"httpGet": {"path": "/ready", "port": "http", "scheme": "HTTP"}, "periodSeconds": 1}}]}}},
        "status": {}})
}

#[test]
fn every_line_of_the_table_is_read() {
    let text = include_str!("../kubernetes.wire");
    let fields: usize = table().messages.iter().map(|message| message.fields.len()).sum();
    assert_eq!(fields, text.lines().filter(|line| line.starts_with(' ')).count());
    assert!(table().messages.len() > 500 && fields > 2000);
}

/// What the JSON form names and the binary form does not, or the other way round, would be lost.
#[test]
fn both_tables_name_the_same_fields() {
    let package = |api: &str| {
        Some(match api {
            "v1" => "io.k8s.api.core.v1".to_owned(),
            "meta.k8s.io/v1" => "io.k8s.apimachinery.pkg.apis.meta.v1".to_owned(),
            "apiextensions.k8s.io/v1" => "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1".to_owned(),
            _ => format!("io.k8s.api.{}.{}", api.split(['.', '/']).next()?, api.rsplit('/').next()?),
        })
    };
    let mut compared = 0;
    for ((api, name), index) in &table().names {
        let Some(node) = crate::model::builtin(&format!("{}.{name}", package(api).unwrap())) else { continue };
        compared += 1;
        let mut names = Vec::new();
        let mut open = vec![*index];
        while let Some(index) = open.pop() {
            for field in &table().messages[index].fields {
                match field.kind {
                    Kind::Message(inner) if field.name.is_empty() => open.push(inner),
                    _ => names.push(field.name),
                }
            }
        }
        names.sort_unstable();
        let json: Vec<&str> = node.properties.keys().map(String::as_str).collect();
        let shown: Vec<&str> = json
            .into_iter()
            .filter(|field| !matches!(*field, "apiVersion" | "kind") || names.contains(field))
            .collect();
        assert_eq!(names, shown, "{api} {name}");
    }
    assert!(compared > 400, "{compared} types were compared");
}

#[test]
fn zero_is_kept_where_it_was_said_and_dropped_where_it_was_not() {
    let name = b(1, b(1, "x"));
    let immutable = |value| [name.clone(), n(4, value)];
    check("v1", "ConfigMap", &immutable(0), json!({"metadata": {"name": "x"}, "immutable": false}));
    check("v1", "ConfigMap", &immutable(1), json!({"metadata": {"name": "x"}, "immutable": true}));
    check(
        "v1",
        "ServiceAccount",
        &[name, b(3, b(1, ""))],
        json!({"metadata": {"name": "x"}, "imagePullSecrets": [{}]}),
    );
    check(
        "v1",
        "Namespace",
        &[b(1, [b(1, "x"), b(8, "")].concat()), b(2, ""), b(3, b(1, ""))],
        json!({"metadata": {"name": "x"}, "spec": {}, "status": {}}),
    );
}

#[test]
fn bytes_maps_and_repeats_are_read() {
    check(
        "v1",
        "Secret",
        &[entry(2, "a", [0_u8, 255, 7]), b(3, "Opaque")],
        json!({"data": {"a": "AP8H"}, "type": "Opaque"}),
    );
    check(
        "v1",
        "ConfigMap",
        &[entry(2, "a", "1"), entry(2, "a", "2"), b(2, b(1, "b"))],
        json!({"data": {"a": "2", "b": ""}}),
    );
    check("v1", "ConfigMap", &[b(1, b(1, "x")), b(1, b(3, "y"))], json!({"metadata": {"name": "x", "namespace": "y"}}));
    let groups = |fields: Vec<u8>| [b(2, b(14, fields))];
    let expected = json!({"spec": {"securityContext": {"supplementalGroups": [1, 300]}}});
    check("v1", "Pod", &groups([n(4, 1), n(4, 300)].concat()), expected.clone());
    check("v1", "Pod", &groups(b(4, [varint(1), varint(300)].concat())), expected);
}

#[test]
fn times_read_as_json_writes_them() {
    let at = |bytes: Vec<u8>| [b(1, b(8, bytes))];
    check(
        "v1",
        "Event",
        &at([n(1, 1_700_000_000), n(2, 5)].concat()),
        json!({"metadata": {"creationTimestamp": "2023-11-14T22:13:20Z"}}),
    );
    check("v1", "Event", &at(n(1, ZERO_TIME)), json!({"metadata": {}}));
    check(
        "v1",
        "Event",
        &[b(10, [n(1, 1_700_000_000), n(2, 1_234_999)].concat())],
        json!({"eventTime": "2023-11-14T22:13:20.001234Z"}),
    );
    check("coordination.k8s.io/v1", "Lease", &[b(2, b(4, ""))], json!({"spec": {}}));
    for bytes in [n(1, i64::MAX), n(1, ZERO_TIME - 1), b(1, "x")] {
        assert!(decode(&envelope("v1", "Event", &at(bytes).concat())).is_err());
    }
}

#[test]
fn definitions_of_kinds_are_read_with_their_schemas() {
    let some = [b(5, "string"), b(8, b(1, "\"white\"")), b(20, b(1, "1"))].concat();
    let bound = double(11, 1.5);
    let root = [
        b(5, "object"),
        b(29, [b(1, "a"), b(2, &some)].concat()),
        b(24, b(1, &bound)),
        b(27, &bound),
        b(30, [n(1, 1), b(2, &bound)].concat()),
        b(33, n(1, 0)),
        b(32, [b(1, "d"), b(2, [b(2, "x"), b(2, "y")].concat())].concat()),
        n(38, 1),
        n(40, 0),
    ];
    let version = [b(1, "v1"), n(2, 1), n(3, 1), b(4, b(1, root.concat()))].concat();
    check(
        "apiextensions.k8s.io/v1",
        "CustomResourceDefinition",
        &[b(2, b(7, version))],
        json!({"spec": {"versions": [{
        "name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": {"type": "object",
            "properties": {"a": {"type": "string", "default": "white", "enum": [1]}}, "items": {"minimum": 1.5}, "anyOf": [{"minimum": 1.5}],
            "additionalProperties": {"minimum": 1.5}, "additionalItems": false, "dependencies": {"d": ["x", "y"]},
            "x-kubernetes-preserve-unknown-fields": true}}}]}}),
    );
}

#[test]
fn reviews_and_options_are_read() {
    let extra = entry(5, "k", [b(1, "a"), b(1, "b")].concat());
    check(
        "authorization.k8s.io/v1",
        "SubjectAccessReview",
        &[b(2, extra)],
        json!({"spec": {"extra": {"k": ["a", "b"]}}}),
    );
    check("authentication.k8s.io/v1", "TokenRequest", &[b(2, n(4, 600))], json!({"spec": {"expirationSeconds": 600}}));
    let options = [n(1, 0), b(2, b(1, "u")), b(4, "Foreground"), b(5, "All")];
    for version in ["v1", "apps/v1", "g.example/v1"] {
        let expected = json!({"gracePeriodSeconds": 0, "preconditions": {"uid": "u"}, "propagationPolicy": "Foreground", "dryRun": ["All"]});
        check(version, "DeleteOptions", &options, expected);
    }
}

#[test]
fn what_is_not_known_is_passed_over() {
    let group = [varint(900 << 3 | 3), n(1, 1), b(2, "x"), varint(900 << 3 | 4)].concat();
    let fixed = [varint(901 << 3 | 5), vec![1, 2, 3, 4]].concat();
    check(
        "v1",
        "ConfigMap",
        &[n(902, 7), group, fixed, b(903, "y"), double(904, 1.0), entry(2, "a", "1")],
        json!({"data": {"a": "1"}}),
    );
}

#[test]
fn what_is_wrong_is_named() {
    let of = |bytes: &[u8]| decode(bytes).unwrap_err().to_string();
    assert_eq!(of(b"{}"), Error::Magic.to_string());
    assert_eq!(
        of(&envelope("g.example/v1", "Boat", &[])),
        "no kind \"Boat\" is registered for version \"g.example/v1\""
    );
    assert_eq!(of(&envelope("v1", "ConfigMap", &b(1, n(1, 1)))), "field \"name\": the bytes are of another type");
    assert_eq!(of(&envelope("v1", "ConfigMap", &b(1, b(1, [0xff])))), "field \"name\": not UTF-8");
    assert_eq!(of(&envelope("v1", "ConfigMap", &[0x0a, 5, 1])), Error::End.to_string());
    assert_eq!(
        of(&[MAGIC, &b(1, b(1, "v1")), &b(3, "gzip")].concat()),
        "the content is marked \"gzip\": only plain protobuf is read"
    );
    let deep = (0..200).fold(Vec::new(), |inner, _| b(28, inner));
    let deep = b(2, b(7, b(4, b(1, deep))));
    assert_eq!(
        of(&envelope("apiextensions.k8s.io/v1", "CustomResourceDefinition", &deep)),
        "the message holds too much: more than 100 levels"
    );
    let many = b(2, "").repeat(600_000);
    assert_eq!(of(&envelope("v1", "Pod", &b(2, many))), "the message holds too much: more than 500000 values");
    assert_eq!(of(&vec![0; LONGEST + 1]), "the message holds too much: more than 3 MiB");
}

proptest! {
    #[test]
    fn what_is_written_is_read(name in "[a-z]{1,20}", image in ".{1,30}", replicas in any::<i32>(), port in 1_i64..65536) {
        let replicas = i64::from(replicas);
        prop_assert_eq!(decode(&deployment(&name, &image, replicas, port)).unwrap(), deployment_value(&name, &image, replicas, port));
    }

    #[test]
    fn random_bytes_are_never_a_panic(raw in proptest::collection::vec(any::<u8>(), 0..300), kind in 0_usize..600) {
        let _ = decode(&raw);
        let _ = decode(&[MAGIC, &raw].concat());
        if let Some(((api, name), _)) = table().names.iter().nth(kind) {
            let _ = decode(&envelope(api, name, &raw));
        }
    }

    #[test]
    fn damaged_messages_are_never_a_panic(at in any::<prop::sample::Index>(), byte in any::<u8>(), cut in any::<prop::sample::Index>()) {
        let mut bytes = deployment("x", "y", 3, 80);
        let place = at.index(bytes.len());
        bytes[place] = byte;
        let _ = decode(&bytes);
        bytes.truncate(cut.index(bytes.len()));
        let _ = decode(&bytes);
    }
}
