//! Objects in, decisions and statuses out: what a reader of the specifications expects.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::{
    matching::Request,
    snapshot::{Action, PathRewrite},
};

const NOW: &str = "2026-11-21T00:00:00Z";

fn base() -> Objects {
    let mut objects = Objects::default();
    objects
        .apply(Kind::GatewayClass, json!({"metadata": {"name": "roadstead"}, "spec": {"controllerName": CONTROLLER}}));
    objects.apply(
        Kind::Gateway,
        gateway(&json!([
            {"name": "https", "port": 8443, "protocol": "HTTPS", "allowedRoutes": {"namespaces": {"from": "All"}}},
        ])),
    );
    for name in ["a", "b"] {
        objects.apply(
            Kind::Service,
            json!({"metadata": {"namespace": "n", "name": name}, "spec": {"ports": [{"port": 80}]}}),
        );
    }
    objects
}

fn gateway(listeners: &Value) -> Value {
    json!({"metadata": {"namespace": "roadstead-system", "name": "gateway", "generation": 3},
           "spec": {"gatewayClassName": "roadstead", "listeners": listeners}})
}

fn route(name: &str, hosts: &Value, rules: &Value) -> Value {
    json!({"metadata": {"namespace": "n", "name": name, "generation": 1, "creationTimestamp": NOW}, "spec": {
        "parentRefs": [{"name": "gateway", "namespace": "roadstead-system"}], "hostnames": hosts, "rules": rules}})
}

fn to(service: &str) -> Value {
    json!([{"name": service, "port": 80}])
}

fn compiled(objects: &Objects) -> Compiled {
    compile(objects, &Placement { addresses: vec!["127.0.0.1".into()], http: true }, NOW)
}

/// Returns kind and name of the route, and the service, that a GET goes to.
fn asked(snapshot: &Snapshot, scheme: Scheme, host: &str, path: &str) -> Option<String> {
    let request = Request { host, path, query: None, method: "GET", header: &|_| None };
    let rule = snapshot.find(scheme, &request)?;
    Some(match &rule.action {
        Action::Forward(forward) => match &forward.pick(0)?.backend {
            Ok(index) => snapshot.backends[*index].service.clone(),
            Err(unserved) => unserved.reason.clone(),
        },
        Action::Redirect(redirect) => redirect.status.to_string(),
    })
}

fn condition<'a>(compiled: &'a Compiled, kind: Kind, pointer: &str, condition: &str) -> (&'a str, &'a str, &'a str) {
    let update = compiled.statuses.iter().find(|update| update.kind == kind).unwrap();
    let conditions = update.status.pointer(pointer).unwrap().as_array().unwrap();
    let found = conditions.iter().find(|entry| entry["type"] == condition).unwrap();
    (found["status"].as_str().unwrap(), found["reason"].as_str().unwrap(), found["message"].as_str().unwrap())
}

fn accepted(compiled: &Compiled) -> (&str, &str, &str) {
    condition(compiled, Kind::HttpRoute, "/parents/0/conditions", "Accepted")
}

#[test]
fn a_route_goes_from_host_and_path_to_the_services_endpoints() {
    let mut objects = base();
    objects.apply(Kind::HttpRoute, route("r", &json!(["orders.dev.localhost"]), &json!([{"backendRefs": to("a")}])));
    let all = compiled(&objects);
    assert_eq!(asked(&all.snapshot, Scheme::Https, "orders.dev.localhost", "/x").as_deref(), Some("a"));
    assert_eq!(asked(&all.snapshot, Scheme::Https, "other.dev.localhost", "/x"), None);
    assert_eq!(asked(&all.snapshot, Scheme::Http, "orders.dev.localhost", "/x"), None);
    assert_eq!(accepted(&all), ("True", "Accepted", ""));
    assert_eq!(condition(&all, Kind::HttpRoute, "/parents/0/conditions", "ResolvedRefs").0, "True");
    assert_eq!(condition(&all, Kind::Gateway, "/listeners/0/conditions", "Programmed").0, "True");
    assert!(all.snapshot.names_tls_host("orders.dev.localhost") && !all.snapshot.names_tls_host("other.dev.localhost"));
}

#[test]
fn a_status_that_is_written_is_not_written_again() {
    let mut objects = base();
    objects.apply(Kind::HttpRoute, route("r", &json!(["h.x"]), &json!([{"backendRefs": to("a")}])));
    let first = compiled(&objects);
    assert_eq!(first.statuses.len(), 3);
    for update in first.statuses {
        let mut object = objects.get(update.kind, &update.namespace, &update.name).unwrap().clone();
        object["status"] = update.status;
        objects.apply(update.kind, object);
    }
    assert_eq!(
        compile(&objects, &Placement { addresses: vec!["127.0.0.1".into()], http: true }, "2027-01-01T00:00:00Z")
            .statuses,
        []
    );
}

#[test]
fn precedence_is_path_then_method_then_headers_then_age_then_name() {
    let mut objects = base();
    let many = json!([
        {"matches": [{"path": {"value": "/"}}], "backendRefs": to("a")},
        {"matches": [{"path": {"value": "/long"}}], "backendRefs": to("b")},
        {"matches": [{"path": {"type": "Exact", "value": "/long"}}], "backendRefs": to("a")},
        {"matches": [{"path": {"type": "RegularExpression", "value": "/lo.*x"}}], "backendRefs": to("a")},
        {"matches": [{"path": {"value": "/m"}}], "backendRefs": to("b")},
        {"matches": [{"path": {"value": "/m"}, "method": "GET"}], "backendRefs": to("a")},
    ]);
    objects.apply(Kind::HttpRoute, route("z", &json!(["h.x"]), &many));
    objects.apply(
        Kind::HttpRoute,
        route("y", &json!(["h.x"]), &json!([{"matches": [{"path": {"value": "/"}}], "backendRefs": to("b")}])),
    );
    let mut older = route(
        "zz",
        &json!(["h.x"]),
        &json!([{"matches": [{"path": {"value": "/m"}, "method": "GET"}], "backendRefs": to("b")}]),
    );
    older["metadata"]["creationTimestamp"] = json!("2020-01-01T00:00:00Z");
    objects.apply(Kind::HttpRoute, older);
    let all = compiled(&objects);
    for (path, wanted) in [("/", "b"), ("/long", "a"), ("/long/er", "b"), ("/long/x", "a"), ("/m", "b"), ("/q", "b")] {
        assert_eq!(asked(&all.snapshot, Scheme::Https, "h.x", path).as_deref(), Some(wanted), "{path}");
    }
}

#[test]
fn an_exact_host_wins_over_a_wildcard_and_hands_over_what_it_does_not_match() {
    let mut objects = base();
    objects.apply(Kind::HttpRoute, route("wild", &json!(["*.x"]), &json!([{"backendRefs": to("a")}])));
    objects.apply(
        Kind::HttpRoute,
        route("exact", &json!(["h.x"]), &json!([{"matches": [{"path": {"value": "/only"}}], "backendRefs": to("b")}])),
    );
    let all = compiled(&objects);
    for (host, path, wanted) in
        [("h.x", "/only", Some("b")), ("h.x", "/", Some("a")), ("i.j.x", "/only", Some("a")), ("x", "/", None)]
    {
        assert_eq!(asked(&all.snapshot, Scheme::Https, host, path).as_deref(), wanted, "{host}{path}");
    }
}

#[test]
fn listeners_say_which_hosts_ports_and_namespaces_they_take() {
    let listeners = json!([
        {"name": "one", "port": 443, "protocol": "HTTPS", "hostname": "*.one.x", "allowedRoutes": {"namespaces": {"from": "All"}}},
        {"name": "own", "port": 80, "protocol": "HTTP"},
    ]);
    let with = |change: &dyn Fn(&mut Value)| {
        let mut objects = base();
        objects.apply(Kind::Gateway, gateway(&listeners));
        let mut route = route("r", &json!(["a.one.x", "b.two.x"]), &json!([{"backendRefs": to("a")}]));
        change(&mut route);
        objects.apply(Kind::HttpRoute, route);
        compiled(&objects)
    };
    let all = with(&|_| ());
    assert_eq!(asked(&all.snapshot, Scheme::Https, "a.one.x", "/").as_deref(), Some("a"));
    assert_eq!(asked(&all.snapshot, Scheme::Https, "b.two.x", "/"), None);
    assert_eq!(asked(&all.snapshot, Scheme::Http, "a.one.x", "/"), None, "namespace n is not the gateway's");
    let reason = |change: &dyn Fn(&mut Value)| accepted(&with(change)).1.to_owned();
    assert_eq!(reason(&|route| route["spec"]["hostnames"] = json!(["c.three.x"])), "NoMatchingListenerHostname");
    assert_eq!(reason(&|route| route["spec"]["parentRefs"][0]["sectionName"] = json!("own")), "NotAllowedByListeners");
    assert_eq!(reason(&|route| route["spec"]["parentRefs"][0]["sectionName"] = json!("none")), "NoMatchingParent");
    assert_eq!(reason(&|route| route["spec"]["parentRefs"][0]["port"] = json!(444)), "NoMatchingParent");
}

#[test]
fn what_is_not_acted_on_is_refused_by_name() {
    for (rules, wanted) in [
        (json!([{"filters": [{"type": "RequestMirror", "requestMirror": {}}]}]), "requestMirror"),
        (json!([{"retry": {"attempts": 2}}]), "spec.rules[0].retry is not supported; take it away"),
        (json!([{"backendRefs": [{"name": "a", "port": 80, "filters": []}]}]), "spec.rules[0].backendRefs[0].filters"),
        (json!([{"matches": [{"path": {"type": "RegularExpression", "value": "("}}]}]), "regular expression"),
        (json!([{"timeouts": {"request": "soon"}}]), "spec.rules[0].timeouts.request: \"soon\" is not a duration"),
        (json!([{"matches": [{"path": {"value": "x"}}]}]), "has to begin with /"),
        (
            json!([{"filters": [{"type": "RequestHeaderModifier", "requestHeaderModifier": {"set": [{"name": "a b", "value": "1"}]}}]}]),
            "\"a b\" is not a header name",
        ),
        (
            json!([{"filters": [{"type": "ResponseHeaderModifier", "responseHeaderModifier": {"add": [{"name": "a", "value": "1\n2"}]}}]}]),
            "is not a header name or value",
        ),
    ] {
        let mut objects = base();
        objects.apply(Kind::HttpRoute, route("r", &json!(["h.x"]), &rules));
        objects.apply(Kind::HttpRoute, route("s", &json!(["i.x"]), &json!([{"backendRefs": to("a")}])));
        let all = compiled(&objects);
        let (status, reason, message) = accepted(&all);
        assert_eq!((status, reason), ("False", "UnsupportedValue"));
        assert!(message.contains(wanted), "{message} should name {wanted}");
        assert_eq!(asked(&all.snapshot, Scheme::Https, "h.x", "/"), None);
        assert_eq!(
            asked(&all.snapshot, Scheme::Https, "i.x", "/").as_deref(),
            Some("a"),
            "the other route is left alone"
        );
    }
}

#[test]
fn a_backend_that_is_missing_or_not_granted_is_said_and_the_rest_is_served() {
    let mut objects = base();
    objects.apply(
        Kind::Service,
        json!({"metadata": {"namespace": "m", "name": "far"}, "spec": {"ports": [{"port": 80}]}}),
    );
    let rules = json!([
        {"matches": [{"path": {"value": "/gone"}}], "backendRefs": to("gone")},
        {"matches": [{"path": {"value": "/far"}}], "backendRefs": [{"name": "far", "namespace": "m", "port": 80}]},
        {"backendRefs": to("a")},
    ]);
    objects.apply(Kind::HttpRoute, route("r", &json!(["h.x"]), &rules));
    let all = compiled(&objects);
    let said = condition(&all, Kind::HttpRoute, "/parents/0/conditions", "ResolvedRefs");
    assert_eq!(said, ("False", "BackendNotFound", "there is no Service n/gone"));
    assert_eq!(accepted(&all).0, "True");
    for (path, wanted) in [("/gone", "BackendNotFound"), ("/far", "RefNotPermitted"), ("/", "a")] {
        assert_eq!(asked(&all.snapshot, Scheme::Https, "h.x", path).as_deref(), Some(wanted));
    }
    objects.apply(Kind::ReferenceGrant, json!({"metadata": {"namespace": "m", "name": "g"}, "spec": {
        "from": [{"group": "gateway.networking.k8s.io", "kind": "HTTPRoute", "namespace": "n"}], "to": [{"group": "", "kind": "Service"}]}}));
    assert_eq!(asked(&compiled(&objects).snapshot, Scheme::Https, "h.x", "/far").as_deref(), Some("far"));
}

#[test]
fn gateways_of_other_classes_and_what_others_said_are_left_alone() {
    let mut objects = base();
    objects.apply(
        Kind::GatewayClass,
        json!({"metadata": {"name": "roadstead"}, "spec": {"controllerName": "example.com/other"}}),
    );
    let mut foreign = route("r", &json!(["h.x"]), &json!([{"backendRefs": to("a")}]));
    objects.apply(Kind::HttpRoute, foreign.clone());
    assert_eq!(compiled(&objects).statuses, []);
    let mut objects = base();
    foreign["status"] = json!({"parents": [{"controllerName": "example.com/other", "parentRef": {"name": "z"}}]});
    objects.apply(Kind::HttpRoute, foreign);
    let all = compiled(&objects);
    let update = all.statuses.iter().find(|update| update.kind == Kind::HttpRoute).unwrap();
    assert_eq!(update.status["parents"].as_array().unwrap().len(), 2);
}

#[test]
fn listeners_that_cannot_serve_say_why() {
    for (listener, condition_kind, reason) in [
        (json!({"name": "l", "port": 1, "protocol": "TCP"}), "Accepted", "UnsupportedProtocol"),
        (
            json!({"name": "l", "port": 1, "protocol": "HTTPS", "tls": {"certificateRefs": [{"name": "c"}]}}),
            "Accepted",
            "UnsupportedValue",
        ),
        (
            json!({"name": "l", "port": 1, "protocol": "HTTPS", "allowedRoutes": {"namespaces": {"from": "Selector"}}}),
            "Accepted",
            "UnsupportedValue",
        ),
        (json!({"name": "l", "port": 443, "protocol": "HTTPS"}), "Conflicted", "HostnameConflict"),
        (json!({"name": "l", "port": 443, "protocol": "HTTP"}), "Conflicted", "ProtocolConflict"),
    ] {
        let mut objects = base();
        objects.apply(Kind::Gateway, gateway(&json!([listener, {"name": "good", "port": 443, "protocol": "HTTPS"}])));
        let all = compiled(&objects);
        assert_eq!(condition(&all, Kind::Gateway, "/listeners/0/conditions", condition_kind).1, reason);
        assert_eq!(condition(&all, Kind::Gateway, "/listeners/0/conditions", "Programmed").0, "False");
    }
    let mut objects = base();
    objects.apply(Kind::Gateway, gateway(&json!([{"name": "l", "port": 80, "protocol": "HTTP"}])));
    let all = compile(&objects, &Placement::default(), NOW);
    assert_eq!(condition(&all, Kind::Gateway, "/listeners/0/conditions", "Accepted").1, "PortUnavailable");
    assert_eq!(condition(&all, Kind::Gateway, "/conditions", "Accepted").1, "ListenersNotValid");
}

#[test]
fn filters_become_edits() {
    let mut objects = base();
    objects.apply(Kind::HttpRoute, route("r", &json!(["h.x"]), &json!([
        {"matches": [{"path": {"value": "/old"}}], "filters": [{"type": "RequestRedirect", "requestRedirect": {"scheme": "https", "port": 8443, "statusCode": 301}}]},
        {"matches": [{"path": {"value": "/api"}}], "timeouts": {"request": "2s"}, "backendRefs": to("a"), "filters": [
            {"type": "URLRewrite", "urlRewrite": {"hostname": "in.x", "path": {"type": "ReplacePrefixMatch", "replacePrefixMatch": "/"}}},
            {"type": "RequestHeaderModifier", "requestHeaderModifier": {"set": [{"name": "X-A", "value": "1"}], "remove": ["X-B"]}},
        ]},
    ])));
    let all = compiled(&objects);
    assert_eq!(asked(&all.snapshot, Scheme::Https, "h.x", "/old").as_deref(), Some("301"));
    let request = Request { host: "h.x", path: "/api/v1", query: None, method: "GET", header: &|_| None };
    let rule = all.snapshot.find(Scheme::Https, &request).unwrap();
    assert_eq!(rule.rewrite.host.as_deref(), Some("in.x"));
    assert_eq!(rule.rewrite.path, Some(PathRewrite::Prefix("/".into())));
    assert_eq!(rule.request_headers.set, [("x-a".to_owned(), "1".to_owned())]);
    assert_eq!(rule.request_headers.remove, ["x-b"]);
    assert_eq!(rule.timeout_ms, Some(2000));
}

fn virtual_service(http: &Value) -> Value {
    json!({"metadata": {"namespace": "n", "name": "vs", "generation": 1}, "spec": {
        "hosts": ["api.microservices.local"], "gateways": ["roadstead-system/gateway"], "http": http}})
}

#[test]
fn a_virtual_service_is_tried_in_its_own_order() {
    let mut objects = base();
    objects.apply(Kind::VirtualService, virtual_service(&json!([
        {"match": [{"uri": {"prefix": "/api/v1/users"}}], "route": [{"destination": {"host": "a", "port": {"number": 80}}}], "timeout": "1.5s"},
        {"match": [{"uri": {"prefix": "/api/v1/users/long"}}], "route": [{"destination": {"host": "b"}}]},
        {"match": [{"uri": {"exact": "/b"}}], "route": [{"destination": {"host": "b.n.svc.cluster.local"}}], "rewrite": {"uri": "/z"}},
        {"match": [{"uri": {"regex": "/r[0-9]+"}}], "route": [
            {"destination": {"host": "a"}, "weight": 0}, {"destination": {"host": "b"}, "weight": 100}]},
        {"redirect": {"uri": "/", "redirectCode": 308}},
    ])));
    let all = compiled(&objects);
    let host = "api.microservices.local";
    for (path, wanted) in
        [("/api/v1/users/long", "a"), ("/api/v1/users-x", "a"), ("/b", "b"), ("/r12", "b"), ("/else", "308")]
    {
        assert_eq!(asked(&all.snapshot, Scheme::Https, host, path).as_deref(), Some(wanted), "{path}");
    }
    assert_eq!(condition(&all, Kind::VirtualService, "/conditions", "Accepted").0, "True");
}

#[test]
fn a_virtual_service_says_what_it_asks_in_vain() {
    let of = |change: &dyn Fn(&mut Value)| {
        let mut objects = base();
        let mut object = virtual_service(&json!([{"route": [{"destination": {"host": "a"}}]}]));
        change(&mut object["spec"]);
        objects.apply(Kind::VirtualService, object);
        let all = compiled(&objects);
        let (status, reason, message) = condition(&all, Kind::VirtualService, "/conditions", "Accepted");
        assert_eq!(status, "False", "{message}");
        format!("{reason}: {message}")
    };
    for (wanted, change) in [
        ("spec.http[0].fault", &(|spec: &mut Value| spec["http"][0]["fault"] = json!({})) as &dyn Fn(&mut Value)),
        ("spec.http[0].retries", &|spec| spec["http"][0]["retries"] = json!({"attempts": 3})),
        ("spec.http[0].route[0].destination.subset", &|spec| {
            spec["http"][0]["route"][0]["destination"]["subset"] = json!("v1");
        }),
        ("\"x y\" is not a header name", &|spec| {
            spec["http"][0]["headers"] = json!({"request": {"set": {"x y": "1"}}});
        }),
        ("mesh", &|spec| spec["gateways"] = json!([])),
        ("NoMatchingParent", &|spec| spec["gateways"] = json!(["n/none"])),
        ("spec.tcp", &|spec| spec["tcp"] = json!([])),
    ] {
        let said = of(change);
        assert!(said.contains(wanted), "{said} should name {wanted}");
    }
}

#[test]
fn a_snapshot_survives_being_written_down() {
    let mut objects = base();
    objects.apply(Kind::HttpRoute, route("r", &json!(["*.x"]), &json!([
        {"matches": [{"path": {"type": "RegularExpression", "value": "/a+"}}], "backendRefs": to("a")}, {"backendRefs": to("gone")}])));
    let snapshot = compiled(&objects).snapshot;
    let text = serde_json::to_string(&snapshot).unwrap();
    assert_eq!(serde_json::from_str::<Snapshot>(&text).unwrap(), snapshot);
    assert!(snapshot.uses("HTTPRoute") && !snapshot.uses("VirtualService"));
    assert_eq!(snapshot.rules(), 2);
}

fn paths() -> impl Strategy<Value = (String, bool)> {
    (prop::collection::vec("[ab]", 0..3), any::<bool>())
        .prop_map(|(parts, exact)| (format!("/{}", parts.join("/")), exact))
}

proptest! {
    /// Whatever the order of the rules, an exact path wins, then the longest prefix, then a method.
    #[test]
    fn the_rule_found_is_the_first_by_precedence(
        rules in prop::collection::vec((paths(), any::<bool>()), 1..8),
        asked in paths(),
    ) {
        let mut objects = base();
        let spec: Vec<_> = rules.iter().map(|((path, exact), method)| {
            let mut matched = json!({"path": {"type": if *exact { "Exact" } else { "PathPrefix" }, "value": path}});
            if *method { matched["method"] = json!("GET"); }
            json!({"matches": [matched], "backendRefs": to("a")})
        }).collect();
        objects.apply(Kind::HttpRoute, route("r", &json!(["h.x"]), &json!(spec)));
        let snapshot = compiled(&objects).snapshot;
        let request = Request { host: "h.x", path: &asked.0, query: None, method: "GET", header: &|_| None };
        let best = rules.iter().filter(|((path, exact), _)| {
            if *exact { *path == asked.0 } else { path == "/" || asked.0 == *path || asked.0.starts_with(&format!("{path}/")) }
        }).map(|((path, exact), method)| (*exact, path.len(), *method)).max();
        let found = snapshot.find(Scheme::Https, &request).map(|rule| match &rule.matches.path {
            crate::matching::PathMatch::Exact(path) => (true, path.len(), rule.matches.method.is_some()),
            crate::matching::PathMatch::Elements(path) => (false, path.len(), rule.matches.method.is_some()),
            _ => (false, 0, false),
        });
        prop_assert_eq!(found, best);
    }
}
