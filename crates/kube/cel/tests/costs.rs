//! What rules are estimated to cost. The figures of the table are those of kube-apiserver, which
//! `tests/conformance/definitions_costs.rs` compares rule by rule.

use expressions::rules::{self, Limits};
use schema::crd;
use serde_json::{Value, json};

/// Returns the messages that a schema is refused with for what its rules could cost.
fn refused(schema: &Value) -> Vec<String> {
    let read = crd::read(schema);
    assert!(read.structural, "{:?}", read.problems);
    let found = rules::review(&read.node, &[], Limits::All);
    found.into_iter().map(|problem| format!("{}: {}", problem.path, problem.message)).collect()
}

/// A list whose items keep a rule; the factor above the limit tells the rule's cost.
fn list(rule: &str, times: u64) -> Value {
    json!({"type": "object", "properties": {"l": {"type": "array", "maxItems": times, "items": {"type": "object",
        "x-kubernetes-validations": [{"rule": rule}], "properties": {
            "s": {"type": "string", "maxLength": 10}, "t": {"type": "string", "maxLength": 5}, "n": {"type": "integer"},
            "list": {"type": "array", "maxItems": 4, "items": {"type": "string", "maxLength": 6}},
            "map": {"type": "object", "maxProperties": 3, "additionalProperties": {"type": "string", "maxLength": 7}}}}}}})
}

#[test]
fn a_rule_costs_what_it_goes_through() {
    for (rule, cost) in [
        ("self.n > 1 && self.n < 9", 6_u64),
        ("self.s == 'abc'", 3),
        ("self.s.startsWith(self.t)", 6),
        ("self.s.contains(self.t)", 12),
        ("self.s.matches('^[a-z]+$')", 12),
        ("self.list.all(x, x.contains('a'))", 31),
        ("self.list.exists(x, self.map.exists(k, self.map[k] == x))", 159),
        ("self.list.map(x, x + 'a').size() > 1", 79),
        ("self.list.sort().size() > 1", 49),
        ("quantity(self.s).isGreaterThan(quantity('1'))", 8),
    ] {
        let found = refused(&list(rule, 10_000_000));
        let wanted = format!("estimated rule cost exceeds budget by factor of {}", told(cost));
        assert!(found.iter().any(|found| found.contains(&wanted)), "{rule}: {wanted} in {found:#?}");
    }
}

/// A factor, as a message tells it.
fn told(factor: u64) -> String {
    if factor > 100 { "more than 100x".to_owned() } else { format!("{factor}.0x") }
}

#[test]
fn what_is_bounded_is_taken_and_what_is_not_is_refused() {
    assert!(refused(&list("self.list.all(x, x.contains(self.s))", 10)).is_empty());
    let open = json!({"type": "object", "properties": {"l": {"type": "array", "items": {"type": "string",
        "x-kubernetes-validations": [{"rule": "self.contains('a')"}]}}}});
    let found = refused(&open);
    assert!(found[0].starts_with("properties[l].items.x-kubernetes-validations[0].rule: estimated rule cost exceeds"));
    assert!(found[1].contains("contributed to estimated rule cost total"), "{found:#?}");
    assert!(found[2].starts_with(": x-kubernetes-validations estimated rule cost total"), "{found:#?}");
}

#[test]
fn an_unchanged_schema_is_refused_for_its_total_alone() {
    let read = crd::read(&list("self.s.contains(self.t)", 1_000_000));
    let found = |limits| rules::review(&read.node, &[], limits).len();
    assert_eq!((found(Limits::All), found(Limits::Total)), (1, 0));
}

#[test]
fn what_doubles_with_each_step_is_too_dear_and_looked_at_no_further() {
    let steps = ".optMap(v, v + 'x')".repeat(40);
    let found = refused(&list(&format!("optional.of(self.s){steps}.hasValue()"), 1));
    assert!(found[0].contains("exceeds budget by factor of more than 100x"), "{found:#?}");
}

#[test]
fn wider_bounds_never_cost_less() {
    let mut seed = u64::from(std::process::id()) | 1;
    let mut random = |below: u64| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed % below
    };
    let rules = [
        "self.all(x, x == 'a')",
        "self.join(',').size() > 3",
        "self.all(x, self.exists(y, x.contains(y)))",
        "self.map(x, x + x).all(y, y.size() > 2)",
    ];
    for _ in 0..50 {
        let (items, length) = (random(500) + 1, random(500) + 1);
        let (more, longer) = (items + random(500), length + random(500));
        let schema = |items: u64, length: u64, rule: &str| {
            json!({"type": "object", "properties": {"l": {"type": "array", "maxItems": items,
                "x-kubernetes-validations": [{"rule": rule}], "items": {"type": "string", "maxLength": length}}}})
        };
        for rule in rules {
            let (small, large) = (refused(&schema(items, length, rule)), refused(&schema(more, longer, rule)));
            assert!(small.len() <= large.len(), "{rule} of {items}×{length} and {more}×{longer}: {small:?} {large:?}");
        }
    }
}
