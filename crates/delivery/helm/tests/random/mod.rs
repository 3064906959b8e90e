//! Charts that nobody wrote: values, subcharts, and templates over them, all from one number.

#![allow(clippy::write_with_newline, reason = "templates are written as they look")]

use std::fmt::Write as _;

use helm::{Files, Options, Set};

/// Splitmix64: the same seed gives the same chart anywhere.
pub(crate) struct Draw(u64);

impl Draw {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    pub(crate) fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    pub(crate) fn of<'a, T: ?Sized>(&mut self, choices: &[&'a T]) -> &'a T {
        choices[self.below(choices.len())]
    }
}

const KEYS: &[&str] =
    &["alpha", "beta", "gamma", "delta", "port", "name", "enabled", "list", "deep", "z9", "z10", "x-y"];
const SCALARS: &[&str] = &[
    "1",
    "0",
    "-7",
    "2.5",
    "1e3",
    "12345678",
    "0.1",
    "true",
    "false",
    "yes",
    "off",
    "null",
    "~",
    "text",
    "''",
    "\"q\\\"t\"",
    "'it''s'",
    "a b",
    "0755",
    "1_000",
    "12:30",
    "2001-01-01",
    "'x: y'",
    "|\n      two\n      lines",
    ">-\n      folded\n      text",
    "\"tab\\t\"",
    "é",
    "'true'",
    "'1'",
    "\"multi\\nline\"",
    "'@x'",
    "#c",
    "1.10",
    "\".5\"",
    "{}",
    "[]",
    "[1, a, 2.5]",
    "{k: v}",
    "[[1], {a: b}]",
    "word word word word word word word word word word word word word word word word word word word",
];
const KINDS: &[&str] =
    &["ConfigMap", "Secret", "Service", "Deployment", "Role", "Widget", "Namespace", "Job", "Ingress", "Pod"];
const WORDS: &[&str] = &["one", "two", "three", "four", "five"];

/// Returns a chart and what it is rendered with.
pub(crate) fn chart(seed: u64) -> (Files, Options) {
    let mut draw = Draw::new(seed);
    let mut files = Files::new();
    build(&mut draw, &mut files, "", "root", 2);
    let mut options = Options::new("rel", "space");
    for _ in 0..draw.below(3) {
        let text = values(&mut draw, &["suba", "subb", "other"], true);
        options.values.push(text);
    }
    for _ in 0..draw.below(3) {
        let (key, inner) = (draw.of(KEYS), draw.of(KEYS));
        let value = draw.of(&["1", "x", "null", "true", "{a,b}", "0012", "a\\,b", "2.5"]);
        options.set.push(match draw.below(5) {
            0 => Set::Typed(format!("{key}={value}")),
            1 => Set::Typed(format!("deep.{key}.{inner}={value}")),
            2 => Set::Text(format!("{key}={value}")),
            3 => Set::Typed(format!("suba.{key}={value},global.{inner}={value}")),
            _ => Set::Json(format!("{key}={{\"{inner}\": [1, null, \"x\"]}}")),
        });
    }
    options.upgrade = draw.chance(20);
    options.include_crds = draw.chance(30);
    (files, options)
}

fn build(draw: &mut Draw, files: &mut Files, prefix: &str, name: &str, depth: usize) {
    let children: &[&str] = if depth > 0 { &["suba", "subb"][..draw.below(3)] } else { &[] };
    let mut manifest = format!("apiVersion: v2\nname: {name}\nversion: 1.{}.0\n", draw.below(5));
    if draw.chance(50) {
        let _ = write!(
            manifest,
            "appVersion: \"{}\"\ndescription: {}\n",
            draw.of(SCALARS).replace(['\n', '"', '\\'], ""),
            draw.of(WORDS)
        );
    }
    if draw.chance(80) && !children.is_empty() {
        manifest.push_str("dependencies:\n");
        for child in children {
            let _ = write!(
                manifest,
                "- name: {child}\n  version: \"{}\"\n",
                draw.of(&["1.x", ">=0", "*", "~1", "^1.0.0", "1.0.0"])
            );
            if draw.chance(30) {
                let _ = writeln!(
                    manifest,
                    "  condition: {}",
                    draw.of(&["enabled", "suba.enabled", "deep.enabled,enabled"])
                );
            }
            if draw.chance(20) {
                manifest.push_str("  tags: [front, back]\n");
            }
            if draw.chance(20) {
                let _ = writeln!(manifest, "  alias: {}", draw.of(&["other", "again"]));
            }
            if draw.chance(20) {
                manifest.push_str(draw.of(&[
                    "  import-values: [shared]\n",
                    "  import-values:\n  - child: deep\n    parent: deep\n",
                    "  import-values:\n  - child: exports.shared\n    parent: .\n",
                ]));
            }
        }
    }
    files.insert(format!("{prefix}Chart.yaml"), manifest.into_bytes());
    let inner: Vec<&str> = children.to_vec();
    files.insert(format!("{prefix}values.yaml"), values(draw, &inner, false).into_bytes());
    let mut helpers = format!(
        "{{{{- define \"{name}.labels\" -}}}}\napp: {{{{ .Chart.Name }}}}\nrel: {{{{ .Release.Name | quote }}}}\n{{{{- end -}}}}\n"
    );
    let _ = write!(helpers, "{{{{- define \"{name}.value\" -}}}}{}{{{{- end -}}}}\n", expression(draw, 2));
    files.insert(format!("{prefix}templates/_helpers.tpl"), helpers.into_bytes());
    for index in 0..=draw.below(3) {
        let text = template(draw, name, index);
        files.insert(format!("{prefix}templates/{}{index}.yaml", draw.of(WORDS)), text.into_bytes());
    }
    if draw.chance(30) {
        files.insert(
            format!("{prefix}templates/NOTES.txt"),
            format!("Notes of {name}: {}\n", expression(draw, 2)).into_bytes(),
        );
    }
    if draw.chance(20) {
        files
            .insert(format!("{prefix}crds/c.yaml"), b"kind: CustomResourceDefinition\nmetadata:\n  name: x\n".to_vec());
    }
    files.insert(format!("{prefix}conf/a.txt"), b"one\ntwo\n".to_vec());
    for child in children {
        build(draw, files, &format!("{prefix}charts/{child}/"), child, depth - 1);
    }
}

fn values(draw: &mut Draw, children: &[&str], overrides: bool) -> String {
    let mut text = String::new();
    for key in KEYS {
        if draw.chance(if overrides { 25 } else { 70 }) {
            match *key {
                "deep" => {
                    text.push_str("deep:\n");
                    for inner in KEYS.iter().filter(|key| **key != "deep") {
                        if draw.chance(40) {
                            let _ = writeln!(text, "  {inner}: {}", draw.of(SCALARS));
                        }
                    }
                    text.push_str("  end: 1\n");
                }
                "list" => text.push_str(draw.of(&[
                    "list: [a, b]\n",
                    "list:\n- x: 1\n  y: two\n- x: null\n",
                    "list: []\n",
                    "list: null\n",
                    "list: text\n",
                ])),
                "enabled" => text.push_str(draw.of(&["enabled: true\n", "enabled: false\n", "enabled: \"yes\"\n"])),
                key => {
                    let _ = writeln!(text, "{key}: {}", draw.of(SCALARS));
                }
            }
        }
    }
    if draw.chance(30) {
        let _ =
            writeln!(text, "global:\n  {}: {}\n  nested:\n    a: {}", draw.of(KEYS), draw.of(SCALARS), draw.of(WORDS));
    }
    if draw.chance(20) {
        text.push_str(draw.of(&["tags: {front: false}\n", "tags: {back: true, front: false}\n"]));
    }
    if draw.chance(30) {
        let _ = writeln!(text, "exports:\n  shared:\n    {}: {}\n    imported: yes", draw.of(KEYS), draw.of(WORDS));
    }
    for child in children {
        if draw.chance(40) {
            let _ = writeln!(
                text,
                "{child}:\n  {}: {}\n  deep:\n    {}: {}",
                draw.of(&KEYS[..8]),
                draw.of(SCALARS).replace("      ", "        "),
                draw.of(KEYS),
                draw.of(WORDS)
            );
        }
    }
    text
}

fn template(draw: &mut Draw, name: &str, index: usize) -> String {
    let mut text = String::new();
    for part in 0..=draw.below(2) {
        if part > 0 {
            text.push_str("---\n");
        }
        let _ = write!(text, "apiVersion: v1\nkind: {}\nmetadata:\n  name: {name}-{index}-{part}\n", draw.of(KINDS));
        if draw.chance(40) {
            let _ = write!(text, "  labels:\n    {{{{- include \"{name}.labels\" . | nindent 4 }}}}\n");
        }
        if draw.chance(15) {
            let _ = write!(
                text,
                "  annotations:\n    helm.sh/hook: {}\n    helm.sh/hook-weight: \"{}\"\n",
                draw.of(&["pre-install", "post-install,post-upgrade", "test", "nonsense", "crd-install"]),
                draw.of(&["1", "-5", "x"])
            );
        }
        text.push_str("data:\n");
        for _ in 0..=draw.below(6) {
            statement(draw, name, &mut text);
        }
        text.push_str("  end: x\n");
    }
    text
}

fn statement(draw: &mut Draw, name: &str, text: &mut String) {
    let key = draw.of(WORDS);
    let _ = match draw.below(9) {
        0 => write!(
            text,
            "  {{{{- if {} }}}}\n  {key}-if: {{{{ {} | quote }}}}\n  {{{{- else }}}}\n  {key}-else: x\n  {{{{- end }}}}\n",
            pipeline(draw, 2),
            pipeline(draw, 2)
        ),
        1 => write!(
            text,
            "  {{{{- with {} }}}}\n  {key}-with: {{{{ toJson . | quote }}}}\n  {{{{- end }}}}\n",
            path(draw)
        ),
        2 => write!(
            text,
            "  {{{{- range $k, $v := {} }}}}\n  {key}-{{{{ $k }}}}: {{{{ $v | toJson | squote }}}}\n  {{{{- else }}}}\n  {key}-none: x\n  {{{{- end }}}}\n",
            draw.of(&[".Values.deep", ".Values", ".Values.list", ".Values.global", "(until 3)", "(dict \"a\" 1)"])
        ),
        3 => write!(text, "  {key}-yaml:\n    {{{{- toYaml {} | nindent 4 }}}}\n", path(draw)),
        4 => write!(text, "  {key}-inc: {{{{ include \"{name}.value\" . | quote }}}}\n"),
        5 => write!(
            text,
            "  {key}-tpl: {{{{ tpl {} . | quote }}}}\n",
            draw.of(&[
                "\"{{ .Values.name }}\"",
                "\"{{ .Release.Name }}-x\"",
                "(toString .Values.alpha)",
                "\"{{ range $i := until 2 }}{{ $i }}{{ end }}\""
            ])
        ),
        6 => write!(text, "  {{{{- $v := {} }}}}\n  {key}-var: {{{{ $v | toString | quote }}}}\n", pipeline(draw, 2)),
        _ => write!(text, "  {key}-{}: {{{{ {} | quote }}}}\n", draw.below(100), pipeline(draw, 3)),
    };
}

fn expression(draw: &mut Draw, depth: usize) -> String {
    format!("{{{{ {} }}}}", pipeline(draw, depth))
}

fn path(draw: &mut Draw) -> String {
    match draw.below(8) {
        0 => ".Values".to_owned(),
        1 => format!(".Values.deep.{}", draw.of(&KEYS[..11])),
        2 => format!(".Values.global.{}", draw.of(&KEYS[..11])),
        3 => format!("(index .Values \"{}\")", draw.of(KEYS)),
        _ => format!(".Values.{}", draw.of(&KEYS[..11])),
    }
}

fn atom(draw: &mut Draw) -> String {
    match draw.below(12) {
        0 => draw.of(&["1", "0", "-3", "2.5", "\"text\"", "\"\"", "true", "`raw`", "'c'"]).to_owned(),
        1 => draw
            .of(&[
                ".Release.Name",
                ".Release.Namespace",
                ".Chart.Name",
                ".Chart.Version",
                ".Chart.AppVersion",
                ".Release.IsUpgrade",
                ".Template.Name",
                ".Capabilities.KubeVersion.Minor",
            ])
            .to_owned(),
        2 => "(.Files.Get \"conf/a.txt\")".to_owned(),
        _ => path(draw),
    }
}

fn pipeline(draw: &mut Draw, depth: usize) -> String {
    if depth == 0 {
        return atom(draw);
    }
    let inner = |draw: &mut Draw| {
        let text = pipeline(draw, depth - 1);
        if text.contains(' ') && !text.starts_with('(') { format!("({text})") } else { text }
    };
    let a = inner(draw);
    match draw.below(34) {
        0 => format!("default {} {a}", inner(draw)),
        1 => format!("{a} | toString | upper"),
        2 => format!("{a} | toString | trunc {}", draw.below(6)),
        3 => format!("printf \"%v-%s-%d\" {a} {} {}", inner(draw), inner(draw)),
        4 => format!("{a} | toJson"),
        5 => format!("{a} | toYaml"),
        6 => format!("{a} | int"),
        7 => format!("add {a} {}", inner(draw)),
        8 => format!("mul {a} 3 | add 1"),
        9 => format!("eq {a} {}", inner(draw)),
        10 => format!("and {a} {}", inner(draw)),
        11 => format!("or {a} {}", inner(draw)),
        12 => format!("not {a}"),
        13 => format!("ternary \"yes\" \"no\" (empty {a})"),
        14 => format!("{a} | toString | b64enc"),
        15 => format!("{a} | toString | replace \"t\" \"T\" | quote"),
        16 => format!("list {a} {} | toJson", inner(draw)),
        17 => format!("dict \"k\" {a} \"l\" {} | toYaml", inner(draw)),
        18 => format!("kindOf {a}"),
        19 => format!("typeOf {a}"),
        20 => format!("coalesce {a} {} \"c\"", inner(draw)),
        21 => format!("len {a}"),
        22 => format!("join \",\" {a}"),
        23 => format!("hasKey {a} \"name\""),
        24 => format!("{a} | toString | sha256sum | trunc 8"),
        25 => format!("{a} | float64 | round 1"),
        26 => format!("regexReplaceAll \"[aeiou]\" (toString {a}) \"<$0>\""),
        27 => format!("{a} | toString | splitList \"e\" | last"),
        28 => format!("{a} | toString | snakecase | title"),
        29 => format!("merge (dict \"a\" 1) (dict \"b\" {a}) | toJson"),
        30 => format!("{a} | deepCopy | toJson"),
        31 => format!("quote {a} {}", inner(draw)),
        32 => format!("(fromYaml (toYaml (dict \"r\" {a}))).r"),
        _ => format!("get .Values \"{}\"", draw.of(KEYS)),
    }
}
