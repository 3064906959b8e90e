//! What expressions evaluate to, how they are refused, and that nothing gets out of bounds.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops at what it did not expect")]

use std::collections::BTreeMap;

use expressions::{CALL_LIMIT, Env, Type, Value};
use proptest::prelude::*;
use serde_json::json;

fn env() -> Env {
    let spec = Type::object("object", [("size".to_owned(), Type::Int), ("names".to_owned(), Type::list(Type::String))]);
    Env::new().with("self", Type::object("object", [("spec".to_owned(), spec)])).with("any", Type::Dyn)
}

fn scope() -> BTreeMap<String, Value> {
    let object = json!({"spec": {"size": 3, "names": ["b", "a"]}});
    BTreeMap::from([("self".to_owned(), Value::from_json(&object)), ("any".to_owned(), Value::from_json(&object))])
}

fn eval(source: &str) -> Result<Value, String> {
    let program = env().compile(source).map_err(|error| error.to_string())?;
    program.eval(&scope(), CALL_LIMIT).0.map_err(|error| error.to_string())
}

#[test]
fn expressions_hold() {
    for source in [
        "1 + 2 * 3 == 7 && -(-3) == 3 && 7 % 4 == 3 && 10 / 3 == 3",
        "0x1F == 31 && 1e3 == 1000.0 && 5u + 1u == 6u && .5 < 1.0",
        "'a' + \"b\" == r'ab' && 'a\\n\\x41\\u00e9' == 'a\\nA\\u00e9' && b'\\xff' != b'' && '''a'b''' == \"a'b\"",
        "self.spec.size == 3 && self.spec.names == ['b', 'a'] && has(self.spec.size) && !has(any.spec.other)",
        "any.spec.size > 2 && any.spec.size < 3.5 && any.spec.size >= 3u",
        "self.spec.names.all(n, n.size() == 1) && self.spec.names.exists(n, n == 'a') && self.spec.names.exists_one(n, n == 'a')",
        "self.spec.names.map(n, n + '!') == ['b!', 'a!'] && self.spec.names.filter(n, n > 'a') == ['b']",
        "[1, 2, 3].map(i, i > 1, i * 2) == [4, 6] && {'a': 1}.all(k, k == 'a') && {'a': 1}['a'] == 1",
        "[1, 2].all(i, v, i < v) && {'x': 1}.transformMap(k, v, v + 1) == {'x': 2} && [3].transformList(i, v, i + v) == [3]",
        "['b', 'c'].transformMapEntry(i, v, {v: i}) == {'b': 0, 'c': 1} && {'a': 1, 'b': 2}.exists(k, v, k == 'b' && v == 2)",
        "true || 1 / 0 > 0",
        "false && 1 / 0 > 0 ? false : true",
        "[1, 0].exists(i, 1 / i == 1)",
        "'abc'.startsWith('ab') && 'abc'.endsWith('c') && 'abc'.contains('b') && 'abc'.matches('^a.c$')",
        "'tacocat'.indexOf('ac') == 1 && 'tacocat'.lastIndexOf('a') == 5 && 'tacocat'.charAt(3) == 'o' && 'x'.indexOf('', 0) == 0",
        "'TacoCat'.lowerAscii() == 'tacocat' && 'a'.upperAscii() == 'A' && 'hello hello'.replace('he', 'we', 1) == 'wello hello'",
        "'a,b,c'.split(',') == ['a', 'b', 'c'] && 'a,b'.split(',', 1) == ['a,b'] && ['a', 'b'].join('-') == 'a-b'",
        "'hello'.substring(1, 3) == 'el' && ' a '.trim() == 'a' && 'abc 123'.find('[0-9]+') == '123' && 'a1b2'.findAll('[0-9]') == ['1', '2']",
        "'%s is %d (%.2f, %x, %s)'.format(['it', 5, 1.5, 255, [dyn(1), dyn(true)]]) == 'it is 5 (1.50, ff, [1, true])'",
        "strings.quote('a\"b') == '\"a\\\\\"b\"'",
        "[3, 1, 2].max() == 3 && [3, 1].min() == 1 && [1, 2].sum() == 3 && [1, 2].isSorted() && !['b', 'a'].isSorted()",
        "['a', 'b', 'a'].indexOf('b') == 1 && ['a', 'b', 'a'].lastIndexOf('a') == 2 && [1, 1, 2].distinct() == [1, 2]",
        "[3, 1, 2].sort() == [1, 2, 3] && [[1], [2]].flatten() == [1, 2] && lists.range(3) == [0, 1, 2] && [1, 2, 3].slice(1, 2) == [2]",
        "['bb', 'a'].sortBy(s, s.size()) == ['a', 'bb'] && [1, 2].reverse() == [2, 1]",
        "sets.contains([1, 2, 3], [1, 3]) && sets.equivalent([1, 2], [2, 1, 1]) && !sets.intersects([1], [2])",
        "quantity('1.5Gi').isGreaterThan(quantity('1Gi')) && quantity('100m').add(quantity('0.9')) == quantity('1') && !isQuantity('x')",
        "quantity('50k').asInteger() == 50000 && quantity('-1').sign() == -1 && quantity('1').compareTo(quantity('2')) == -1",
        "ip('192.168.0.1').family() == 4 && isIP('::1') && !isIP('::ffff:1.2.3.4') && ip('127.0.0.1').isLoopback() && ip.isCanonical('::1')",
        "cidr('10.0.0.0/8').containsIP('10.1.2.3') && cidr('10.0.0.0/8').containsCIDR('10.1.0.0/16') && cidr('10.1.2.3/8').masked() == cidr('10.0.0.0/8') && string(cidr('10.0.0.0/8').ip()) == '10.0.0.0'",
        "url('https://a.example:8080/p?x=1&x=2').getHost() == 'a.example:8080' && url('https://[::1]:80/').getHostname() == '::1' && url('https://a/?x=1&x=2').getQuery()['x'] == ['1', '2'] && !isURL('nope') && url('/p').getScheme() == ''",
        "semver('1.2.3').isLessThan(semver('1.10.0')) && isSemver('v1', true) && !isSemver('v1') && semver('v1.02', true).minor() == 2",
        "!format.dns1123Label().validate('ok').hasValue() && format.named('dns1123Label').value().validate('-').hasValue() && !format.named('x').hasValue()",
        "any.?spec.?other.orValue('none') == 'none' && optional.of(1).value() == 1 && !optional.none().hasValue()",
        "any.spec.?size.optMap(s, s + 1).orValue(0) == 4 && [?any.?x, dyn(1)] == [1] && {?'a': any.?x} == {} && [1][?5].orValue(2) == 2",
        "duration('1h30m').getMinutes() == 90 && timestamp('2024-02-29T12:00:00Z').getDayOfWeek() == 4 && timestamp('2024-01-01T00:00:00Z') + duration('24h') == timestamp('2024-01-02T00:00:00Z')",
        "timestamp('2024-01-01T23:30:00Z').getHours('+01:00') == 0 && string(duration('90s')) == '90s' && int(timestamp('1970-01-01T00:01:00Z')) == 60",
        "type(1) == int && type('a') == string && int('5') == 5 && string(1.5) == '1.5' && double('1.5') == 1.5 && bool('true')",
        "'a' in ['a'] && 'k' in {'k': 1} && !(1 in [2]) && 'size' in any.spec",
        "dyn(1) == dyn(1.0) && dyn(1) != dyn('1')",
        "'a[b'.matches('[[]') && '-' .matches('[a-]')",
    ] {
        assert_eq!(eval(source), Ok(Value::Bool(true)), "{source}");
    }
}

#[test]
fn failures_are_worded_as_kubernetes_words_them() {
    for (source, message) in [
        ("self.spec.nme == 'x'", "ERROR: <input>:1:10: undefined field 'nme'\n | self.spec.nme == 'x'\n | .........^"),
        (
            "self.spec.size == 'x'",
            "ERROR: <input>:1:16: found no matching overload for '_==_' applied to '(int, string)'\n | self.spec.size == 'x'\n | ...............^",
        ),
        ("foo", "ERROR: <input>:1:1: undeclared reference to 'foo' (in container '')\n | foo\n | ^"),
        (
            "self.spec.size.startsWith('a')",
            "ERROR: <input>:1:26: found no matching overload for 'startsWith' applied to 'int.(string)'\n | self.spec.size.startsWith('a')\n | .........................^",
        ),
        (
            "1 +",
            "ERROR: <input>:1:4: Syntax error: mismatched input '<EOF>' expecting {'[', '{', '(', '.', '-', '!', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, BYTES, IDENTIFIER}\n | 1 +\n | ...^",
        ),
        ("[1, 'a']", "ERROR: <input>:1:5: expected type 'int' but found 'string'\n | [1, 'a']\n | ....^"),
        ("any.nope == 1", "no such key: nope"),
        ("[1][3] == 1", "index out of bounds: 3"),
        ("1 / (1 - 1) == 1", "division by zero"),
        ("9223372036854775807 + 1 == 0", "integer overflow"),
        ("any.spec + 1 == 2", "no such overload"),
        ("'a'.matches('(')", "ERROR: <input>:1:13: invalid matches argument\n | 'a'.matches('(')\n | ............^"),
    ] {
        assert_eq!(eval(source).unwrap_err(), message, "{source}");
    }
}

#[test]
fn an_evaluation_that_costs_too_much_is_stopped() {
    let source = "lists.range(1000).all(a, lists.range(1000).all(b, lists.range(1000).all(c, a + b + c >= 0)))";
    assert_eq!(eval(source).unwrap_err(), "operation cancelled: actual cost limit exceeded");
    assert_eq!(
        eval("lists.range(9223372036854775807).size() > 0").unwrap_err(),
        "operation cancelled: actual cost limit exceeded"
    );
    // Values made at run time: doubling text stays within the limit too.
    let letters = uuid::short();
    let grown = (0..40).fold(format!("'{letters}'"), |inner, _| format!("[{inner}].map(x, x + x)[0]"));
    assert!(eval(&format!("{grown}.size() > 0")).is_err());
}

mod uuid {
    /// Returns letters that differ from run to run.
    pub(crate) fn short() -> String {
        let place = Box::new(0_u8);
        format!("{:x}", std::ptr::from_ref(place.as_ref()) as usize)
    }
}

#[test]
fn sources_that_nest_too_deep_or_are_too_long_are_refused() {
    for source in [
        "(".repeat(50_000),
        format!("{}1", "-(".repeat(5_000)),
        vec!["1"; 20_000].join("+"),
        format!("any{}", ".a".repeat(20_000)),
        format!("any{}", "[0]".repeat(20_000)),
        "a".repeat(200_000),
        format!("{}1{}", "[".repeat(300), "]".repeat(300)),
        format!("{}true", "true ? true : ".repeat(5_000)),
    ] {
        assert!(env().compile(&source).is_err());
    }
    assert!(env().compile(&vec!["true"; 5_000].join(" && ")).is_ok(), "a long chain of terms is flat");
}

fn pieces() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("self.spec.size".to_owned()),
        Just("self.spec.names".to_owned()),
        Just("any".to_owned()),
        Just("any.spec".to_owned()),
        Just("x".to_owned()),
        any::<i64>().prop_map(|number| number.to_string()),
        any::<u64>().prop_map(|number| format!("{number}u")),
        any::<f64>().prop_map(|number| format!("{number:?}")),
        "[a-z%.é]{0,6}".prop_map(|text| format!("'{text}'")),
        Just("true".to_owned()),
        Just("null".to_owned()),
        Just("{}".to_owned()),
        Just("duration('1h')".to_owned()),
        Just("timestamp(0)".to_owned()),
        Just("quantity('1')".to_owned()),
    ];
    leaf.prop_recursive(5, 40, 4, |inner| {
        let binary = prop_oneof![
            Just("+"),
            Just("-"),
            Just("*"),
            Just("/"),
            Just("%"),
            Just("=="),
            Just("<"),
            Just("in"),
            Just("&&"),
            Just("||")
        ];
        let method = prop_oneof![
            Just("size"),
            Just("split"),
            Just("join"),
            Just("format"),
            Just("replace"),
            Just("substring"),
            Just("indexOf"),
            Just("matches"),
            Just("sum"),
            Just("max"),
            Just("sort"),
            Just("flatten"),
            Just("add"),
            Just("getHours"),
            Just("charAt"),
            Just("lastIndexOf"),
            Just("slice"),
            Just("orValue"),
            Just("findAll"),
            Just("distinct")
        ];
        let looped = prop_oneof![
            Just("all"),
            Just("map"),
            Just("filter"),
            Just("exists"),
            Just("exists_one"),
            Just("sortBy"),
            Just("optMap")
        ];
        prop_oneof![
            (inner.clone(), binary, inner.clone()).prop_map(|(a, op, b)| format!("({a} {op} {b})")),
            (inner.clone(), method, prop::collection::vec(inner.clone(), 0..3))
                .prop_map(|(a, name, args)| format!("dyn({a}).{name}({})", args.join(", "))),
            (inner.clone(), looped, inner.clone()).prop_map(|(a, name, b)| format!("dyn({a}).{name}(x, dyn({b}))")),
            prop::collection::vec(inner.clone(), 0..4).prop_map(|items| {
                format!("[{}]", items.iter().map(|item| format!("dyn({item})")).collect::<Vec<_>>().join(", "))
            }),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("dyn({a})[dyn({b})]")),
            (inner.clone(), inner.clone(), inner).prop_map(|(a, b, c)| format!("(dyn({a}) ? dyn({b}) : dyn({c}))")),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn no_expression_panics_or_costs_more_than_it_may(source in pieces()) {
        let env = env().with("x", Type::Dyn);
        if let Ok(program) = env.compile(&source) {
            let mut scope = scope();
            scope.insert("x".to_owned(), Value::Int(1));
            let (outcome, cost) = program.eval(&scope, 10_000);
            prop_assert!(outcome.is_err() || cost <= 10_000);
        }
    }

    #[test]
    fn no_text_panics(source in ".{0,60}", signs in "[\\[\\](){}.,?:'\"`!&|<>=+*/%a-z0-9 -]{0,40}") {
        let (_, _) = (env().compile(&source), env().compile(&signs));
    }
}
