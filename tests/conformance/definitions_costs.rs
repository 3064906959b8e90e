//! What a rule of a definition may cost by estimate, before it is ever kept. Each rule stands
//! below lists of several lengths, so that the factor by which it is above its limit tells its
//! cost to the unit: an estimate that differs is worded differently.

use conformance::{
    cluster::Call,
    walk::{Walk, conform},
};
use serde_json::{Value, json};

const DEFINITIONS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";

/// Lengths of the lists that rules stand below; a cost that is far above its limit with one is near it with another.
const TIMES: [u64; 4] = [10_000_000, 1_000_000, 30_000, 100];

const RULES: &[&str] = &[
    // Variables, fields and constants.
    "true",
    "self.yes",
    "!self.yes",
    "has(self.s)",
    "has(self.obj.inner.deep)",
    "self.obj.inner.deep == 1",
    "self.n == 1",
    "1 == 1",
    "'a' == 'b'",
    "self.n < self.m",
    "self.n + self.m * 2 - 1 > 3",
    "-self.n == 4",
    "self.x / 2.0 > 1.5",
    "self.n > 1 && self.m > 2",
    "self.n > 1 || self.m > 2 || self.yes",
    "self.yes ? self.n > 1 : self.m > 2 && self.yes",
    "self.n in [1, 2, 3]",
    "self.s in ['a', 'b']",
    "'k' in self.map",
    "self.s in self.list",
    // Text.
    "self.s == self.t",
    "self.s == 'abc'",
    "self.s != self.long",
    "self.s < self.t",
    "self.long >= 'a'",
    "self.e == 'first'",
    "self.s + self.t == 'x'",
    "(self.s + self.t).size() > 3",
    "size(self.s) == 4",
    "self.s.startsWith('abcdefghijklmnopqrstuvwxyz')",
    "self.s.endsWith(self.t)",
    "self.s.contains(self.t)",
    "self.long.contains('abc')",
    "self.s.matches('^[a-z]+[0-9]*$')",
    "matches(self.s, 'a+')",
    "self.long.matches('^[a-z]+$')",
    "self.s.matches(self.t)",
    "self.s.lowerAscii() == self.t.upperAscii()",
    "self.s.substring(1, 2) == 'a'",
    "self.s.trim().size() < 3",
    "self.s.replace('a', 'bbb') == self.t",
    "self.s.replace('abc', 'b').size() > 1",
    "self.s.replace('', 'x') == 'a'",
    "self.s.replace(self.t, self.e).contains('a')",
    "self.s.split(',').size() < 4",
    "self.s.split(',', 3).all(p, p == 'a')",
    "self.s.split(',').all(p, p.size() > 1)",
    "self.list.join('-') == 'a'",
    "self.list.join().size() > 4",
    "self.s.indexOf('a') > 1",
    "self.s.lastIndexOf(self.t) > 1",
    "self.s.charAt(1) == 'a'",
    "self.s.find('[0-9]+') == '1'",
    "self.s.findAll('[0-9]+').size() > 1",
    "self.s.findAll('[0-9]+', 2).exists(d, d == '1')",
    "'%s is %d'.format([self.s, self.n]) == 'a'",
    "strings.quote(self.s) == 'a'",
    "string(self.n) == '1'",
    "string(self.b) == 'a'",
    "bytes(self.s) == self.b",
    "int(self.s) > 3",
    "double(self.s) < 1.0",
    "bool(self.s)",
    "type(self.n) == int",
    "dyn(self.s) == 'a'",
    "dyn(self.n) == 1.0",
    // Lists and maps.
    "self.list.size() > 1",
    "self.list[0] == 'a'",
    "self.list[0].contains('a')",
    "self.map['k'] == 'v'",
    "self.map['k'].startsWith(self.s)",
    "self.list == self.list",
    "self.list + self.list == []",
    "(self.list + ['a']).size() > 4",
    "self.list.all(x, x == 'a')",
    "self.list.all(x, x.contains('a'))",
    "self.list.exists(x, x.matches('^a'))",
    "self.list.exists_one(x, x == self.s)",
    "self.list.filter(x, x.size() > 3).size() == 1",
    "self.list.map(x, x + 'a').all(y, y.size() > 1)",
    "self.list.map(x, x.size() > 1, x.upperAscii()) == ['A']",
    "self.map.all(k, k.size() > 1)",
    "self.map.all(k, self.map[k] == 'v')",
    "self.map.exists(k, self.map[k].contains(k))",
    "self.list.all(i, v, i < 3 || v == 'a')",
    "self.map.exists(k, v, k == v)",
    "self.list.exists_one(i, v, v.size() > i)",
    "self.list.transformList(i, v, v + 'x').size() > 1",
    "self.list.transformList(i, v, i > 1, v).exists(v, v == 'a')",
    "self.map.transformMap(k, v, v.size()).size() > 1",
    "self.map.transformMap(k, v, k != 'a', v)['k'] == 'v'",
    "self.map.transformMapEntry(k, v, {v: k}).size() > 1",
    "self.list.all(x, self.list.all(y, x == y))",
    "self.grid.all(row, row.all(cell, cell == 'a'))",
    "self.grid.exists(row, row.size() > 2)",
    "self.grid[0][1].size() == 1",
    "self.grid.map(row, row.size()).sum() > 4",
    "self.objs.all(o, o.name == 'a')",
    "self.objs.all(o, o.tags.all(t, t == o.name))",
    "self.objs.all(o, o.tags.all(t, o.name.contains(t)))",
    "self.objs.exists(o, has(o.name) && o.name.startsWith('a') && o.n > 3)",
    "self.objs.filter(o, o.n > 3).map(o, o.name).join(',').size() > 3",
    "self.keyed.all(k, self.objs.exists(o, o.name == k.name))",
    "self.free.all(x, x > 1)",
    "self.free.size() > 1",
    "self.open.all(k, self.open[k] == 'a')",
    "self.texts.all(t, t.contains('a'))",
    "[1, 2, 3].all(x, x > self.n)",
    "['a', self.s].all(x, x == 'b')",
    "[self.list, self.list].all(l, l.size() > 1)",
    "{'a': self.s, 'b': 'c'}.all(k, k == 'a')",
    "{'a': self.n}['a'] == 1",
    "[[1, 2], [3]].exists(l, l.exists(x, x == self.n))",
    "self.ints.sum() > 3",
    "self.ints.max() > self.ints.min()",
    "self.ints.isSorted()",
    "self.list.isSorted()",
    "self.list.max() == 'a'",
    "self.list.indexOf('a') > 1",
    "self.list.lastIndexOf(self.s) > 1",
    "self.list.slice(0, 2).size() > 1",
    "self.list.slice(self.n, self.m).size() > 1",
    "self.grid.flatten().size() > 1",
    "self.grid.flatten(3).size() > 1",
    "lists.range(5).size() > 1",
    "self.ints.distinct().size() > 1",
    "self.list.reverse().size() > 1",
    "self.ints.sort() == self.ints",
    "self.list.sort().size() > 1",
    "self.objs.sortBy(o, o.n).size() > 1",
    "self.objs.sortBy(o, o.name)[0].name == 'a'",
    "sets.contains(self.list, ['a', 'b'])",
    "sets.intersects(self.list, self.list)",
    "sets.equivalent(self.ints, [1])",
    // Kubernetes' libraries.
    "quantity(self.s).isGreaterThan(quantity('1Gi'))",
    "isQuantity(self.s)",
    "quantity(self.s).add(quantity('1')).asInteger() > 3",
    "quantity(self.s) == quantity(self.t)",
    "quantity(self.s).compareTo(quantity('1')) == 0",
    "ip(self.s).family() == 4",
    "isIP(self.s)",
    "ip.isCanonical(self.s)",
    "ip(self.s) == ip(self.t)",
    "cidr(self.s).containsIP(self.t)",
    "cidr(self.s).containsIP(ip('1.2.3.4'))",
    "cidr(self.s).containsCIDR(self.t)",
    "cidr('10.0.0.0/8').containsCIDR(cidr(self.s))",
    "isCIDR(self.s)",
    "cidr(self.s).ip().isLoopback()",
    "cidr(self.s).prefixLength() > 8",
    "cidr(self.s).masked() == cidr(self.t)",
    "url(self.s).getHost() == 'a'",
    "isURL(self.s)",
    "url(self.s) == url(self.t)",
    "url(self.s).getQuery().size() > 1",
    "semver(self.s).isLessThan(semver('1.0.0'))",
    "isSemver(self.s)",
    "semver(self.s).major() > 1",
    "!format.dns1123Label().validate(self.s).hasValue()",
    "format.named('dns1123Label').hasValue()",
    "format.dns1123Label() == format.uuid()",
    // Times, options, integers or texts.
    "self.at > timestamp('2026-01-01T00:00:00Z')",
    "self.at.getFullYear() > 2000",
    "self.at + self.long_for > self.at",
    "self.long_for < duration('5m')",
    "duration(self.s) < duration('1s')",
    "self.day == self.at",
    "string(self.at) == 'a'",
    "type(self.either) == int ? self.either < 5 : self.either.endsWith('%')",
    "self.either == 5",
    "self.?s.orValue('x') == 'y'",
    "self.?s.hasValue()",
    "self.obj.?inner.?deep.orValue(1) > 0",
    "self.?s.optMap(v, v + 'x').orValue('') == 'a'",
    "self.list[?0].orValue('') == 'a'",
    "self.map[?'k'].hasValue()",
    "optional.of(self.s).value() == 'a'",
    "self.?n.or(optional.of(3)).orValue(1) > 1",
    "optional.none().orValue(self.n) == 1",
    // Two ways from one variable.
    "self.objs.all(o, o.tags.all(t, o.other.contains(t)))",
    "self.objs.all(o, o.other.contains(o.name) && o.tags.exists(t, t == o.other))",
    "self.s == oldSelf.s",
    "oldSelf.list.all(x, self.list.exists(y, y == x))",
];

/// Numbers that no author knew, and both clusters get alike.
struct Dice(u64);

impl Dice {
    fn between(&mut self, low: u64, high: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        low + (self.0 >> 33) % (high - low)
    }
}

fn text(dice: &mut Dice) -> Value {
    json!({"type": "string", "maxLength": dice.between(3, 60)})
}

fn texts(dice: &mut Dice) -> Value {
    json!({"type": "array", "maxItems": dice.between(2, 12), "items": text(dice)})
}

/// An object with parts of every kind, whose bounds were not known before.
fn parts(dice: &mut Dice) -> Value {
    let tagged = |dice: &mut Dice| json!({"type": "object", "required": ["name"], "properties": {"name": text(dice), "other": text(dice), "tags": texts(dice), "n": {"type": "integer"}}});
    json!({"type": "object", "required": ["s"], "properties": {
        "yes": {"type": "boolean"}, "n": {"type": "integer"}, "m": {"type": "integer", "default": 3}, "x": {"type": "number"},
        "s": text(dice), "t": text(dice), "long": {"type": "string"}, "e": {"type": "string", "enum": ["first", "second", "a third one"]},
        "b": {"type": "string", "format": "byte", "maxLength": dice.between(5, 50)}, "at": {"type": "string", "format": "date-time"}, "day": {"type": "string", "format": "date"}, "long_for": {"type": "string", "format": "duration"},
        "either": {"x-kubernetes-int-or-string": true, "maxLength": dice.between(3, 20)},
        "list": texts(dice), "ints": {"type": "array", "maxItems": dice.between(3, 30), "items": {"type": "integer"}},
        "grid": {"type": "array", "maxItems": dice.between(2, 9), "items": texts(dice)},
        "map": {"type": "object", "maxProperties": dice.between(2, 20), "additionalProperties": text(dice)},
        "objs": {"type": "array", "maxItems": dice.between(2, 9), "items": tagged(dice)},
        "keyed": {"type": "array", "maxItems": dice.between(2, 9), "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"], "items": tagged(dice)},
        "obj": {"type": "object", "properties": {"inner": {"type": "object", "properties": {"deep": {"type": "integer"}}}}},
        "free": {"type": "array", "items": {"type": "integer"}}, "texts": {"type": "array", "items": text(dice)}, "open": {"type": "object", "additionalProperties": {"type": "string", "minLength": 3}},
    }})
}

fn definition(walk: &Walk, schema: Value) -> Value {
    let group = format!("{}.example.com", walk.id);
    json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": format!("boats.{group}")},
        "spec": {"group": group, "scope": "Namespaced", "names": {"plural": "boats", "kind": "Boat"},
            "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": {"type": "object", "properties": {"spec": schema}}}}]}})
}

fn dice(walk: &Walk) -> Dice {
    Dice(u64::from_str_radix(&walk.id, 16).unwrap())
}

#[tokio::test]
async fn a_rule_is_refused_for_what_it_could_cost_wherever_it_stands() {
    conform(async |walk: &mut Walk| {
        let mut dice = dice(walk);
        let mut refused = 0;
        for rule in RULES {
            let mut whole = parts(&mut dice);
            whole["x-kubernetes-validations"] = json!([{"rule": rule}]);
            let mut lists = serde_json::Map::new();
            for (index, times) in TIMES.into_iter().enumerate() {
                let times = times + dice.between(0, times / 100 + 1);
                // Old and new are told apart by a key.
                let list = json!({"type": "array", "maxItems": times, "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["s"], "items": whole});
                lists.insert(format!("times{index}"), list);
            }
            let schema = json!({"type": "object", "properties": lists});
            let answer = walk.ask(Call::post(format!("{DEFINITIONS}?dryRun=All"), definition(walk, schema))).await;
            let causes = answer.body["details"]["causes"].as_array().cloned().unwrap_or_default();
            assert!(causes.iter().all(|cause| cause["reason"] == "FieldValueForbidden"), "{rule}: {causes:?}");
            refused += usize::from(answer.code == 422);
        }
        assert!(refused > RULES.len() / 2, "{refused} of {} rules", RULES.len());
    })
    .await;
}

#[tokio::test]
async fn what_has_no_bounds_is_taken_as_large_as_a_request_has_room_for() {
    conform(async |walk: &mut Walk| {
        let mut dice = dice(walk);
        for rule in RULES {
            let mut whole = parts(&mut dice);
            whole["x-kubernetes-validations"] = json!([{"rule": rule, "messageExpression": "self.s + ' is wrong'"}]);
            // A list, a map and an object without bounds, and the object itself.
            let schema = json!({"type": "object", "properties": {"one": whole,
                "map": {"type": "object", "additionalProperties": whole}, "within": {"type": "object", "properties": {"map": {"type": "object", "maxProperties": dice.between(2, 900), "additionalProperties": whole}}}}});
            walk.ask(Call::post(format!("{DEFINITIONS}?dryRun=All"), definition(walk, schema))).await;
        }
        for (kind, rule) in [("string", "self.contains('a')"), ("string", "self.matches('a+')"), ("string", "self.split('').all(x, x == 'a')"), ("integer", "self > 1"), ("boolean", "self"), ("number", "self > 1.0")] {
            for bounds in [json!({}), json!({"maxLength": dice.between(1, 1000)}), json!({"enum": ["a", "long", "longest"]})] {
                let mut item = if kind == "string" { bounds } else { json!({}) };
                item["type"] = kind.into();
                item["x-kubernetes-validations"] = json!([{"rule": rule}]);
                let schema = json!({"type": "object", "properties": {"one": item, "many": {"type": "array", "items": item}, "named": {"type": "object", "additionalProperties": item}, "some": {"type": "array", "maxItems": dice.between(1, 2_000_000), "items": item}}});
                walk.ask(Call::post(format!("{DEFINITIONS}?dryRun=All"), definition(walk, schema))).await;
            }
        }
        // A whole definition is too dear, though none of its rules is.
        let mut properties = serde_json::Map::new();
        for index in 0..dice.between(14, 25) {
            let item = json!({"type": "string", "maxLength": 400, "x-kubernetes-validations": [{"rule": "self.contains('abcdefghijklmnopqrstuvwxyz')"}]});
            properties.insert(format!("p{index}"), json!({"type": "array", "maxItems": 17_000 + 300 * index, "items": item}));
        }
        let answer = walk.ask(Call::post(format!("{DEFINITIONS}?dryRun=All"), definition(walk, json!({"type": "object", "properties": properties})))).await;
        assert!(answer.message().contains("for entire OpenAPIv3 schema"), "{}", answer.body);
    })
    .await;
}
