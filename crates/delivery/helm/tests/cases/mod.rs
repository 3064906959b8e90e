//! What is put to both engines.

use helm::Files;

/// Returns a chart with helpers and files, named `name`.
pub(crate) fn chart(name: &str) -> Files {
    let mut files = Files::new();
    let mut add = |path: &str, text: &str| files.insert(path.to_owned(), text.as_bytes().to_vec());
    add(
        "Chart.yaml",
        &format!(
            "apiVersion: v2\nname: {name}\nversion: 1.2.3\nappVersion: \"4.5\"\ndescription: d\nkeywords: [k, l]\nannotations: {{a: b}}\n"
        ),
    );
    add(
        "templates/_helpers.tpl",
        "{{- define \"h\" -}}\n[{{ . }}]\n{{- end -}}\n{{- define \"two\" }}a: 1\nb: {{ .x }}\n{{- end }}",
    );
    add("config/one.txt", "first\nsecond\n");
    add("config/two.ini", "[x]\ny=1\n");
    add("config/deep/three.txt", "3");
    files
}

/// Returns values that the expressions speak of.
pub(crate) fn values() -> String {
    "name: web\nempty: \"\"\nzero: 0\nnum: 3\nbig: 1234567\nhuge: 123456789012\nf: 2.5\nenabled: yes\nturned: on\ndisabled: off\nnothing: null\nlist: [a, b, c]\nnums: [3, 1, 2]\nmap: {b: 2, a: 1, nested: {k: v}}\nmulti: |\n  line one\n  line two\nquoted: 'it''s \"q\"'\nemptylist: []\nemptymap: {}\nmixed: [1, x, {k: 1}, [2]]\ntricky: ['true', 'null', '1', '1e3', '0x1', ' a', 'a: b', '#c', '- d', '', '~', '@', 'a#b', '12:30', '2001-01-01', 'y', 'é', \"\\t\"]\nversion: 1.27.3\nannotations: {x/y: 'true', z: '1'}\n".to_owned()
}
