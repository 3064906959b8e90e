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

/// Templates whose output both engines must agree on.
pub(crate) const EXPRESSIONS: &[&str] = &[
    // Printing.
    "{{ .Values.num }} {{ .Values.f }} {{ .Values.big }} {{ .Values.huge }} {{ .Values.enabled }} {{ .Values.nothing }} {{ .Values.none }}",
    "{{ .Values.list }} {{ .Values.map }} {{ .Values.mixed }} {{ .Values.emptylist }} {{ .Values.emptymap }}",
    "{{ 1 }} {{ 1.0 }} {{ 1e3 }} {{ 0x10 }} {{ 'a' }} {{ -5 }} {{ true }} {{ \"s\" }} {{ `r\\n` }} {{ 1_000 }} {{ 0b11 }} {{ 0o17 }} {{ 017 }}",
    "{{ print 1 2 \"a\" \"b\" 3 nil }}|{{ println \"x\" 1 }}|{{ printf \"%d %s %v %q %5.2f %x %T\" 1 \"a\" .Values.map \"q\" 3.14159 255 .Values.num }}",
    "{{ printf \"%05d|%-5s|%5s|%+d|%t|%c|%U|%%|%e|%g|%o|%b\" 42 \"ab\" \"cd\" 7 true 65 65 12345.678 0.1 8 5 }}",
    "{{ printf \"%s %d\" 1 \"a\" }} {{ printf \"%s\" }} {{ printf \"x\" 1 }} {{ printf \"%v\" nil }} {{ printf \"%s\" .Values.none }}",
    "{{ printf \"%v %v\" .Values.f .Values.big }} {{ printf \"%.3f\" .Values.f }} {{ printf \"%d\" (int .Values.num) }} {{ printf \"%d\" .Values.num }}",
    "{{ printf \"%q\" .Values.quoted }} {{ printf \"%#v %#x\" \"a\" 255 }} {{ printf \"%s\" .Values.list }} {{ printf \"%q\" .Values.list }}",
    // Control.
    "{{- if .Values.turned -}} yes {{- else -}} no {{- end -}}",
    "{{ if .Values.disabled }}a{{ else if .Values.zero }}b{{ else if .Values.num }}c{{ else }}d{{ end }}",
    "{{ with .Values.map }}{{ .a }}{{ $.Values.name }}{{ end }}{{ with .Values.none }}x{{ else }}else{{ end }}",
    "{{ with $x := .Values.name }}{{ $x }}{{ . }}{{ end }}",
    "{{ range .Values.list }}{{ . }},{{ end }}{{ range $i, $v := .Values.list }}{{ $i }}={{ $v }};{{ end }}",
    "{{ range $k, $v := .Values.map }}{{ $k }}={{ $v }};{{ end }}{{ range .Values.emptylist }}x{{ else }}none{{ end }}",
    "{{ range $i, $_ := until 5 }}{{ if eq $i 1 }}{{ continue }}{{ end }}{{ if eq $i 3 }}{{ break }}{{ end }}{{ $i }}{{ end }}",
    "{{ range 3 }}{{ . }}{{ end }}{{ range $i := 2 }}{{ $i }}{{ end }}",
    "{{ $x := 1 }}{{ range .Values.list }}{{ $x = add $x 1 }}{{ end }}{{ $x }}",
    "{{ $a := dict }}{{ range .Values.list }}{{ $_ := set $a . (upper .) }}{{ end }}{{ $a }}",
    "{{/* c */}}a{{- /* c */ -}} b",
    "{{ block \"blk\" .Values.name }}({{ . }}){{ end }}",
    "{{ include \"h\" .Values.name | upper }}{{ include \"two\" (dict \"x\" 2) | nindent 4 }}{{ include \"h\" . | len | lt 5 }}",
    "{{ tpl \"{{ .Values.name }}-{{ include \\\"h\\\" 1 }}\" . }}{{ tpl .Values.name . }}{{ tpl \"{{ .x }}\" (dict \"x\" 1) }}",
    "{{ tpl \"{{ define \\\"t\\\" }}T{{ end }}{{ include \\\"t\\\" . }}\" . }}",
    // Truth, comparison.
    "{{ and 1 0 }} {{ and 1 2 }} {{ or 0 \"x\" }} {{ or nil false }} {{ not 1 }} {{ not .Values.none }} {{ and .Values.none .Values.none.x }}",
    "{{ eq 1 1 }} {{ eq \"a\" \"b\" \"a\" }} {{ ne 1 2 }} {{ lt 1 2 }} {{ le 2 2 }} {{ gt \"b\" \"a\" }} {{ ge 1.5 1.5 }} {{ eq .Values.none nil }}",
    "{{ eq .Values.num 3.0 }} {{ eq (int .Values.num) 3 }} {{ gt (int .Values.num) 2 }} {{ eq .Values.nothing nil }} {{ ne .Values.name nil }}",
    "{{ len .Values.list }} {{ len .Values.map }} {{ len \"héllo\" }} {{ index .Values.list 1 }} {{ index .Values.map \"nested\" \"k\" }} {{ index .Values.map \"no\" }}",
    "{{ (index .Values.mixed 2).k }} {{ (.Values.none).x }} {{ .Values.map.nested.k }} {{ $v := .Values }}{{ $v.name }} {{ (dict \"a\" (dict \"b\" 1)).a.b }}",
    "{{ html \"<a & 'b'>\" }} {{ js \"it's <b>\" }} {{ urlquery \"a b&c/é\" }}",
    // Text.
    "{{ trim \"  a b \" }}|{{ upper \"aé\" }}|{{ lower \"AÉ\" }}|{{ title \"hello big-world o'neil\" }}|{{ untitle \"Hello World\" }}",
    "{{ trimAll \"$\" \"$5$\" }}|{{ trimSuffix \"-\" \"a--\" }}|{{ trimPrefix \"v\" \"v1\" }}|{{ nospace \" a b \" }}|{{ initials \"First Try\" }}",
    "{{ repeat 3 \"ab\" }}|{{ substr 0 3 \"hello\" }}|{{ substr -1 2 \"hello\" }}|{{ substr 2 -1 \"hello\" }}|{{ trunc 3 \"hello\" }}|{{ trunc -2 \"hello\" }}|{{ trunc 9 \"hi\" }}",
    "{{ abbrev 7 \"hello world\" }}|{{ abbrevboth 5 10 \"1234 5678 9123\" }}|{{ contains \"ell\" \"hello\" }}|{{ hasPrefix \"he\" \"hello\" }}|{{ hasSuffix \"lo\" \"hello\" }}",
    "{{ quote 1 \"a\" nil true .Values.f }}|{{ squote \"x\" 1 }}|{{ cat \"a\" 1 nil \"b\" }}|{{ quote .Values.none }}|{{ quote .Values.quoted }}|{{ quote .Values.multi }}",
    "{{ indent 2 \"a\\nb\\n\\nc\" }}|{{ nindent 3 \"x\" }}|{{ replace \" \" \"-\" \"a b c\" }}|{{ plural \"one\" \"many\" 1 }}{{ plural \"one\" \"many\" 2 }}",
    "{{ snakecase \"FirstName\" }}|{{ snakecase \"HTTPServer\" }}|{{ kebabcase \"firstName\" }}|{{ camelcase \"http_server\" }}|{{ camelcase \"foo-bar\" }}|{{ swapcase \"aBc\" }}",
    "{{ snakecase \"a1b2\" }}|{{ kebabcase \"Hello World\" }}|{{ snakecase \"already_snake\" }}|{{ kebabcase \"ABCdef\" }}",
    "{{ wrap 5 \"Hello World foo\" }}|{{ wrapWith 5 \"\\t\" \"HelloWorldfoo\" }}|{{ join \"-\" .Values.list }}|{{ join \",\" .Values.mixed }}|{{ join \",\" 5 }}",
    "{{ splitList \",\" \"a,b,c\" }}|{{ (split \"/\" \"a/b/c\")._1 }}|{{ splitn \"/\" 2 \"a/b/c\" }}|{{ toStrings .Values.nums }}|{{ sortAlpha .Values.list }}|{{ list 3 1 2 | sortAlpha }}",
    "{{ base \"a/b.c\" }} {{ dir \"a/b.c\" }} {{ ext \"a/b.c\" }} {{ clean \"a/../b//c/.\" }} {{ isAbs \"/a\" }} {{ base \"\" }} {{ dir \"x\" }} {{ clean \"\" }}",
    "{{ regexMatch \"^a.c$\" \"abc\" }} {{ regexFind \"[0-9]+\" \"ab12c3\" }} {{ regexFindAll \"[0-9]\" \"a1b2c3\" 2 }} {{ regexFindAll \"[0-9]\" \"a1b2\" -1 }}",
    "{{ regexReplaceAll \"a(x*)b\" \"-ab-axxb-\" \"${1}W\" }} {{ regexReplaceAllLiteral \"a(x*)b\" \"-ab-axxb-\" \"${1}\" }} {{ regexSplit \"z+\" \"pizza\" -1 }} {{ regexQuoteMeta \"1.2+3\" }}",
    "{{ regexReplaceAll \"[^a-z0-9-]\" \"Hello_World\" \"-\" }} {{ regexMatch \"(?i)HELLO\" \"hello\" }} {{ regexFind \"\\\\d+\" \"x42\" }} {{ regexReplaceAll \"(\\\\w)(\\\\w)\" \"abcd\" \"$2$1\" }}",
    // Numbers.
    "{{ add 1 2 3 }} {{ add1 1 }} {{ sub 5 2 }} {{ mul 2 3 4 }} {{ div 7 2 }} {{ mod 7 3 }} {{ max 1 5 3 }} {{ min 4 2 }} {{ add \"1\" 2.9 }} {{ div -7 2 }}",
    "{{ int \"12\" }} {{ int 3.9 }} {{ int64 \"x\" }} {{ float64 \"1.5\" }} {{ atoi \"42\" }} {{ atoi \"4x\" }} {{ int \"0x10\" }} {{ int true }} {{ toDecimal \"777\" }} {{ int nil }}",
    "{{ floor 1.7 }} {{ ceil 1.2 }} {{ round 123.5555 3 }} {{ round 2.5 0 }} {{ addf 1.1 2.2 }} {{ subf 3 1.5 }} {{ mulf 1.5 2 }} {{ divf 1 3 }} {{ maxf 1 2.5 }} {{ minf 1 0.5 }} {{ add1f 1.5 }}",
    "{{ until 3 }} {{ until -2 }} {{ untilStep 0 10 3 }} {{ untilStep 5 0 -2 }} {{ seq 3 }} {{ seq 2 5 }} {{ seq 0 2 6 }} {{ seq 5 -2 0 }} {{ seq }}",
    "{{ mul .Values.num 2 }} {{ div .Values.big 1000 }} {{ mul .Values.big .Values.big }} {{ add .Values.f .Values.f }} {{ .Values.num | add 1 }} {{ int64 .Values.huge }}",
    // Defaults.
    "{{ default \"d\" .Values.empty }} {{ default \"d\" .Values.name }} {{ .Values.none | default 5 }} {{ default 1 0 }} {{ default \"x\" false }} {{ default \"x\" (list) }}",
    "{{ empty 0 }} {{ empty \"\" }} {{ empty .Values.map }} {{ coalesce 0 nil \"x\" 1 }} {{ all 1 \"a\" }} {{ any 0 nil }} {{ ternary 1 2 true }} {{ .Values.disabled | ternary \"y\" \"n\" }}",
    "{{ required \"needed\" .Values.name }} {{ required \"needed\" 0 }}",
    // Reflection.
    "{{ typeOf 1 }} {{ typeOf 1.5 }} {{ typeOf \"a\" }} {{ typeOf .Values.num }} {{ typeOf .Values.list }} {{ typeOf .Values.map }} {{ typeOf nil }} {{ typeOf (add 1 1) }} {{ typeOf (splitList \",\" \"a\") }} {{ typeOf (until 1) }}",
    "{{ kindOf 1 }} {{ kindOf .Values.num }} {{ kindOf .Values.list }} {{ kindOf .Values.map }} {{ kindOf \"a\" }} {{ kindOf true }} {{ kindIs \"map\" .Values.map }} {{ typeIs \"string\" \"a\" }} {{ kindOf nil }} {{ kindOf .Files }}",
    "{{ deepEqual (list 1 2) (list 1 2) }} {{ deepEqual 1 1.0 }} {{ deepEqual .Values.list (list \"a\" \"b\" \"c\") }} {{ deepCopy .Values.map }}",
    // Lists.
    "{{ list 1 \"a\" nil }} {{ first .Values.list }} {{ last .Values.list }} {{ rest .Values.list }} {{ initial .Values.list }} {{ append .Values.list \"d\" }} {{ prepend .Values.list \"z\" }}",
    "{{ concat .Values.list (list 1) }} {{ reverse .Values.list }} {{ uniq (list 1 1 2 1) }} {{ without .Values.list \"b\" }} {{ has \"a\" .Values.list }} {{ has 4 (list 1 2) }} {{ compact (list 0 1 \"\" \"a\") }}",
    "{{ slice .Values.list 1 }} {{ slice .Values.list 1 2 }} {{ slice .Values.list }} {{ chunk 2 .Values.list }} {{ tuple 1 2 }} {{ first (list) }} {{ index (chunk 2 (list 1 2 3)) 1 }} {{ mustAppend (list 1) 2 }}",
    // Maps.
    "{{ dict \"a\" 1 \"b\" }} {{ get .Values.map \"a\" }} {{ get .Values.map \"zz\" }}. {{ hasKey .Values.map \"a\" }} {{ hasKey .Values.map \"q\" }} {{ pluck \"a\" .Values.map (dict \"a\" 9) }} {{ keys .Values.map | sortAlpha }} {{ values (dict \"k\" 1) }}",
    "{{ pick .Values.map \"a\" \"q\" }} {{ omit .Values.map \"a\" \"nested\" }} {{ dig \"nested\" \"k\" \"d\" .Values.map }} {{ dig \"x\" \"k\" \"d\" .Values.map }} {{ unset (dict \"a\" 1 \"b\" 2) \"a\" }}",
    "{{ merge (dict \"a\" 1 \"n\" (dict \"x\" 1)) (dict \"a\" 2 \"b\" 3 \"n\" (dict \"x\" 2 \"y\" 3)) }} {{ mergeOverwrite (dict \"a\" 1 \"n\" (dict \"x\" 1)) (dict \"a\" 2 \"b\" 3 \"n\" (dict \"x\" 2 \"y\" 3)) }}",
    "{{ merge (dict \"a\" 0 \"e\" \"\") (dict \"a\" 2 \"e\" \"x\") }} {{ mergeOverwrite (dict \"a\" 1) (dict \"a\" 0) }} {{ mergeOverwrite (dict \"l\" (list 1)) (dict \"l\" (list 2 3)) }} {{ merge (dict) .Values.map }}",
    "{{ mergeOverwrite (dict \"a\" 1 \"b\" 2 \"c\" (list 1) \"d\" (dict \"x\" 1)) (dict \"a\" nil \"b\" \"\" \"c\" (list) \"d\" (dict)) }} {{ merge (dict \"a\" nil) (dict \"a\" 1 \"b\" nil) }}",
    "{{ $d := dict \"a\" 1 }}{{ $e := $d }}{{ $_ := set $e \"b\" 2 }}{{ $d }}{{ $_ := set .Values.map \"added\" true }}{{ .Values.map.added }}{{ $_ := unset .Values.map \"added\" }}",
    // Encoding.
    "{{ b64enc \"hi\" }} {{ b64dec \"aGk=\" }} {{ b64dec \"!\" }} {{ b32enc \"hello\" }} {{ b32dec \"NBSWY3DP\" }} {{ sha1sum \"a\" }} {{ sha256sum \"a\" }} {{ sha512sum \"a\" }} {{ adler32sum \"abc\" }}",
    "{{ toJson .Values.map }} {{ toJson \"<a>\" }} {{ toRawJson \"<a>\" }} {{ toPrettyJson .Values.map }} {{ toJson .Values.mixed }} {{ toJson nil }} {{ toJson .Values.big }} {{ toJson 1.5 }} {{ toPrettyJson (dict) }}{{ toPrettyJson (list) }}",
    "{{ fromJson \"{\\\"a\\\": [1, 2.5, null]}\" }} {{ fromJsonArray \"[1, \\\"x\\\"]\" }} {{ (fromYaml \"a: 1\\nb: [x]\").b }} {{ fromYamlArray \"- 1\\n- a\" }} {{ mustFromJson \"[1]\" }}",
    "{{ urlParse \"https://u:p@host:80/a/b?q=1#f\" }} {{ urlJoin (dict \"scheme\" \"http\" \"host\" \"h:1\" \"path\" \"/p\" \"query\" \"a=1\" \"fragment\" \"x\") }}",
    // YAML.
    "{{ toYaml .Values.map }}|{{ toYaml .Values.list }}|{{ toYaml .Values.mixed }}|{{ toYaml \"a\" }}|{{ toYaml 1 }}|{{ toYaml nil }}|{{ toYaml .Values.emptymap }}|{{ toYaml .Values.emptylist }}",
    "{{ toYaml .Values.tricky }}",
    "{{ toYaml .Values.annotations }}|{{ toYaml (dict \"m\" .Values.multi \"q\" .Values.quoted) }}|{{ toYaml (dict \"f\" .Values.f \"b\" .Values.big \"h\" .Values.huge \"n\" 1e21 \"s\" 1e-7) }}",
    "{{ toYaml (dict \"a\" \"x\\n\" \"b\" \"x\\n\\n\" \"c\" \"\\nx\" \"d\" \" x\\ny\" \"e\" \"x \\ny\" \"f\" \"x\\n y\" \"g\" \"tab\\tx\" \"h\" \"nul\\u0000\" \"i\" \"x\\r\\ny\") }}",
    "{{ toYaml (dict \"k10\" 1 \"k9\" 2 \"K\" 3 \"_x\" 4 \"1\" 5 \"true\" 6 \"a.b/c\" 7 \"\" 8 \"a-b\" 9 \"ab\" 10) }}",
    "{{ toYaml (list (list 1 (list 2 3)) (dict \"a\" (list (dict \"b\" 1 \"c\" (list)))) (list)) }}",
    "{{ toYaml (list \"0777\" \"0o7\" \"1_000\" \"+1\" \"-1\" \".5\" \"1.\" \"1e5\" \"Infinity\" \".inf\" \"nan\" \".nan\" \"0b1\" \"0xZ\" \"=\" \"<<\" \"!x\" \"&a\" \"*b\" \"%c\" \"`d\" \"|\" \">\" \"?\" \"? x\" \":\" \":x\" \"x:\" \"-\" \"--\" \"---\" \"...\" \"{a\" \"a}\" \"[\" \"a,b\" \"'\" \"a'b\") }}",
    "{{ toYaml (list \"2020-1-1\" \"2020-01-01T00:00:00Z\" \"2020-13-01\" \"12:30:45\" \"1:2\" \"190:20:30.15\" \"No\" \"OFF\" \"Null\" \"trailing \" \"ü\" \"日本\" \"a\\u00a0b\" \"\\ufeffx\" \"😀\") }}",
    "{{ fromYaml \"a: 0777\\nb: 0o17\\nc: 1_000\\nd: yes\\ne: 'yes'\\nf: 1:30\\ng: 2001-01-01\\nh: 1e3\\ni: .5\\nj: ~\\nk: 0x1f\\nl: +1\\nm: !!str 1\\nn: |\\n  x\\no: >\\n  a\\n  b\\n\" | toJson }}",
    "{{ fromYaml \"x: &a {p: 1}\\nw: *a\\nz:\\n  <<: *a\\n  q: 2\\n1: one\\ntrue: t\\n\" | toJson }}",
    // Helm.
    "{{ .Release.Name | len }} {{ .Release.IsInstall }} {{ .Release.IsUpgrade }} {{ .Release.Revision }} {{ .Release.Service }} {{ .Chart.Version }} {{ .Chart.AppVersion }} {{ .Chart.Keywords }} {{ .Chart.Annotations.a }} {{ .Chart.Type }}. {{ .Chart.IsRoot }}",
    "{{ .Capabilities.KubeVersion.Major }}.{{ .Capabilities.KubeVersion.Minor }} {{ .Capabilities.KubeVersion.Version }} {{ .Capabilities.KubeVersion }} {{ .Capabilities.APIVersions.Has \"apps/v1\" }} {{ .Capabilities.APIVersions.Has \"x/v1\" }} {{ .Capabilities.KubeVersion.GitVersion }}",
    "{{ semverCompare \">=1.20-0\" .Capabilities.KubeVersion.Version }} {{ semverCompare \"^1.2.0\" .Values.version }} {{ semverCompare \"~1.27\" .Values.version }} {{ semverCompare \"<1.27 || >2\" .Values.version }} {{ semverCompare \"1.x\" \"1.9.9\" }} {{ semverCompare \">=1.0.0\" \"1.5.0-rc1\" }} {{ semverCompare \"1.2 - 1.5\" \"1.4.0\" }}",
    "{{ (semver \"1.2.3-rc.1+b\").Major }} {{ semver \"v1.2\" }} {{ (semver \"1.2.3-rc.1\").Prerelease }} {{ (semver \"1.2.3\").Minor }}",
    "{{ .Files.Get \"config/one.txt\" }}|{{ .Files.Get \"none\" }}|{{ .Files.Lines \"config/one.txt\" }}|{{ (.Files.Glob \"config/*\").AsConfig }}|{{ (.Files.Glob \"config/**.txt\").AsSecrets }}|{{ .Files.GetBytes \"config/deep/three.txt\" }}",
    "{{ range $path, $bytes := .Files.Glob \"config/**\" }}{{ $path }}={{ toString $bytes | b64enc }};{{ end }}{{ if .Files.Glob \"nope/*\" }}x{{ else }}y{{ end }}",
    "{{ lookup \"v1\" \"Secret\" \"ns\" \"n\" }} {{ (lookup \"v1\" \"Secret\" \"ns\" \"n\").data }} {{ if lookup \"v1\" \"Pod\" \"\" \"\" }}x{{ end }}",
    "{{ $.Template.BasePath | base }} {{ .Template.Name | ext }} {{ .Subcharts }} {{ getHostByName \"x\" }} {{ hello }}",
    "{{ with .Values.list }}{{ . | join \",\" | quote }}{{ end }}{{ range tuple 1 2 }}{{ . }}{{ end }}{{ $l := list }}{{ $l = append $l 1 }}{{ $l }}",
    "{{ .Values.map | toYaml | nindent 2 | trim }} {{ .Values.num | int | printf \"%03d\" }} {{ list 1 2 | toJson | quote | squote }} {{ \"a\" | printf \"%s-%s\" \"b\" }}",
    "{{ trimall \"$\" \"$x$\" }} {{ biggest 1 2 }} {{ urlquery \"a+b\" }} {{ (dict \"a\" 1) | len }} {{ ne \"a\" \"b\" | ternary 1 2 }} {{ printf \"%t\" (eq 1 1) }}",
];

/// Templates that must fail, with the same words at the same place.
pub(crate) const MISTAKES: &[&str] = &[
    "{{ .Values.none.x }}",
    "{{ .Values.name.x }}",
    "{{ required \"give a name\" .Values.empty }}",
    "{{ fail \"told so\" }}",
    "{{ include \"nope\" . }}",
    "{{ template \"nope\" . }}",
    "{{ nofunc 1 }}",
    "{{ if }}x{{ end }}",
    "{{ if true }}x",
    "{{ end }}",
    "{{ else }}",
    "{{ .Values.name",
    "{{ \"abc }}",
    "{{ $undefined }}",
    "{{ upper }}",
    "{{ upper 1 }}",
    "{{ upper .Values.num }}",
    "{{ .Values.none | upper }}",
    "{{ upper .Values.none }}",
    "{{ trunc \"a\" \"b\" }}",
    "{{ repeat .Values.num \"x\" }}",
    "{{ index .Values.list 9 }}",
    "{{ index .Values.map 1 }}",
    "{{ eq 1 \"a\" }}",
    "{{ lt .Values.num 1 }}",
    "{{ eq .Values.map .Values.map }}",
    "{{ len 1 }}",
    "{{ hasKey .Values.none \"a\" }}",
    "{{ hasKey .Values.list \"a\" }}",
    "{{ set .Values.map 1 2 }}",
    "{{ div 1 0 }}",
    "{{ first 1 }}",
    "{{ range .Values.num }}{{ end }}",
    "{{ .Values.map.a 1 }}",
    "{{ 1 | 2 }}",
    "{{ include \"h\" }}",
    "{{ tpl \"{{ .x.y.z }}\" (dict \"x\" (dict)) }}",
    "{{ tpl \"{{ if }}\" . }}",
    "{{ semverCompare \">>1\" \"1.0.0\" }}",
    "{{ semver \"x\" }}",
    "{{ ternary 1 2 \"true\" }}",
    "{{ dig \"a\" \"b\" \"d\" (dict \"a\" 1) }}",
    "{{ break }}",
    "{{ .Chart.Nope }}",
    "{{ nil }}",
    "{{ concat .Values.list 1 }}",
    "{{ slice .Values.list 1 9 }}",
    "{{ ( }}",
    "{{ ) }}",
    "{{ $x := }}",
    "{{ range $a, $b, $c := .Values.list }}{{ end }}",
    "{{ /* open }}",
    "{{ include \"h\" (index .Values.list 7) }}",
    "{{ toYaml .Values.map }}",
];
