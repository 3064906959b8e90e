//! Go's `text/template`: parsed once to a tree, evaluated over [`Value`]s.
//!
//! Responsible for the language and its error texts; what functions exist is the
//! caller's to say ([`Funcs`]). Missing map keys give Go's zero value, as Helm sets it.

mod ast;
mod builtins;
mod complex;
mod exec;
mod lex;
mod number;
mod parse;

use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    rc::Rc,
};

pub(crate) use number::parse_int;
pub use parse::ParseError;

use crate::Value;
pub use crate::world::{Lookup, World};

/// How far one render may go before it is stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Nested blocks, parentheses and includes at one time.
    pub depth: u32,
    /// Nodes and function calls in all.
    pub steps: u64,
    /// Bytes written in all, those of `include` counted each time.
    pub output: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { depth: 4_000, steps: 20_000_000, output: 64 << 20 }
    }
}

/// What a function does.
#[derive(Clone, Copy)]
pub enum Call {
    /// Works on its arguments alone.
    Plain(fn(&[Value]) -> Result<Value, String>),
    /// Works on its arguments and on what the caller told of the world.
    World(fn(&World, &[Value]) -> Result<Value, String>),
    /// `call`: there are no values that are functions, so it says what it was given instead.
    Apply,
    /// `include NAME DATA`: a template's output as text.
    Include,
    /// `tpl TEXT DATA`: text as a template.
    Tpl,
    /// `and`, `or`: stop at the first argument that decides.
    Circuit {
        /// The truth that ends it.
        stop: bool,
    },
}

/// A function that templates may call.
#[derive(Clone, Copy)]
pub struct Function {
    /// A letter per parameter: `a`ny, `s`tring, `i`nt, `b`ool, `m`ap, `f`loat, `t`ime, `u`int32, `l`ist, `c`ertificate;
    /// `*` after the last: any number of it.
    pub params: &'static str,
    /// What it does.
    pub call: Call,
}

/// The functions by name.
#[derive(Clone, Default)]
pub struct Funcs(HashMap<&'static str, Function>);

impl Funcs {
    /// Returns Go's built-in functions (`index`, `eq`, `printf`, …).
    pub fn builtins() -> Self {
        let mut funcs = Self::default();
        builtins::add(&mut funcs);
        funcs
    }

    /// Adds a function that works on its arguments alone; a later one of the same name wins.
    pub fn add(&mut self, name: &'static str, params: &'static str, call: fn(&[Value]) -> Result<Value, String>) {
        self.0.insert(name, Function { params, call: Call::Plain(call) });
    }

    /// Adds a function that needs the engine.
    pub fn add_call(&mut self, name: &'static str, params: &'static str, call: Call) {
        self.0.insert(name, Function { params, call });
    }

    /// Returns the names of all functions, sorted.
    pub fn names(&self) -> Vec<&'static str> {
        let mut names: Vec<_> = self.0.keys().copied().collect();
        names.sort_unstable();
        names
    }
}

/// A template that failed while it ran; `text` is what Go says.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct Error {
    /// `template: file:line:column: executing "name" at <expression>: message`.
    pub text: String,
}

/// Parsed templates that may call each other.
///
/// A clone shares the templates that are there, and takes more of its own.
#[derive(Clone)]
pub struct Templates {
    trees: Rc<Trees>,
    /// Those that came when `trees` was shared; nothing in the place of one that is hidden.
    more: HashMap<Rc<str>, Option<Rc<ast::Tree>>>,
    funcs: Rc<Funcs>,
}

type Trees = HashMap<Rc<str>, Rc<ast::Tree>>;

/// The counters of one render.
pub(crate) struct Run<'w> {
    world: &'w World,
    depth: Cell<u32>,
    steps: Cell<u64>,
    output: Cell<usize>,
    includes: RefCell<HashMap<Rc<str>, u32>>,
}

impl Templates {
    /// Returns an empty set whose templates may call `funcs`.
    pub fn new(funcs: Funcs) -> Self {
        Self { trees: Rc::default(), more: HashMap::new(), funcs: Rc::new(funcs) }
    }

    /// Parses a file and adds the templates in it; a template that is there already is replaced unless the new one
    /// is empty.
    pub fn parse(&mut self, file: &str, text: &str) -> Result<(), ParseError> {
        let funcs = self.funcs.clone();
        for tree in parse::parse(file, text, &|name| funcs.0.contains_key(name))? {
            if ast::is_empty(&tree.root) && self.tree(&tree.name).is_some() {
                continue;
            }
            let name = tree.name.clone();
            match Rc::get_mut(&mut self.trees).filter(|_| self.more.is_empty()) {
                Some(trees) => {
                    trees.insert(name, Rc::new(tree));
                }
                None => {
                    self.more.insert(name, Some(Rc::new(tree)));
                }
            }
        }
        Ok(())
    }

    /// Returns the template of a name.
    fn tree(&self, name: &str) -> Option<&Rc<ast::Tree>> {
        match self.more.get(name) {
            Some(own) => own.as_ref(),
            None => self.trees.get(name),
        }
    }

    /// Forgets the template of a name.
    fn hide(&mut self, name: &Rc<str>) {
        self.more.insert(name.clone(), None);
    }

    /// Runs the template `name` on `data` and returns what it writes.
    pub fn render(&self, name: &str, data: &Value, world: &World) -> Result<String, Error> {
        let run =
            Run { world, depth: Cell::new(0), steps: Cell::new(0), output: Cell::new(0), includes: RefCell::default() };
        self.execute(name, data, &run).map_err(|text| Error { text })
    }

    fn execute(&self, name: &str, data: &Value, run: &Run<'_>) -> Result<String, String> {
        let Some(tree) = self.tree(name) else {
            return Err(format!(
                "template: no template {} associated with template \"gotpl\"",
                crate::gofmt::quote(name)
            ));
        };
        let mut out = String::new();
        exec::State::new(self, tree, run, data.clone(), &mut out).run(data)?;
        Ok(out)
    }
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    fn render(text: &str, data: &Value) -> String {
        let mut templates = Templates::new(Funcs::builtins());
        match templates.parse("t", text) {
            Err(error) => error.text,
            Ok(()) => templates.render("t", data, &World::default()).unwrap_or_else(|error| error.text),
        }
    }

    fn check(text: &str, want: &Expect) {
        let data = Value::pairs([
            ("name", Value::str("web")),
            ("none", Value::Nil),
            ("n", Value::Int(3)),
            ("list", Value::strings(["a", "b"])),
            ("map", Value::pairs([("x", Value::Int(1)), ("y", Value::Int(2))])),
        ]);
        want.assert_eq(&render(text, &data));
    }

    #[test]
    fn trims_ranges_and_declares() {
        check("a {{- 1 -}} b", &expect!["a1b"]);
        check("{{/* gone */ -}}  x", &expect!["x"]);
        check("{{range $i, $e := .list}}{{$i}}{{$e}}{{else}}none{{end}}", &expect!["0a1b"]);
        check("{{range $k, $v := .map}}{{$k}}={{$v}},{{end}}", &expect!["x=1,y=2,"]);
        check("{{range .none}}x{{else}}none{{end}}", &expect!["none"]);
        check("{{range .list}}{{if eq . \"b\"}}{{break}}{{end}}{{.}}{{end}}", &expect!["a"]);
        check("{{$x := 1}}{{if true}}{{$x = 2}}{{end}}{{$x}}", &expect!["2"]);
        check("{{with .name}}{{.}}{{else with .n}}{{.}}{{end}}", &expect!["web"]);
        check("{{define \"d\"}}[{{.}}]{{end}}{{template \"d\" .n}}", &expect!["[3]"]);
        check("{{printf \"%s-%d\" .name .n | len}}", &expect!["5"]);
        check("{{(index .list 1)}}{{index .map \"y\"}}", &expect!["b2"]);
        check("{{and .name .none}}|{{or .none .n}}|{{not .none}}", &expect!["<no value>|3|true"]);
    }

    #[test]
    fn mistakes_are_worded_as_go_words_them() {
        check("{{if}}", &expect!["template: t:1: missing value for if"]);
        check("{{if .a}}", &expect!["template: t:1: unexpected EOF"]);
        check("{{nope}}", &expect![[r#"template: t:1: function "nope" not defined"#]]);
        check("{{$x}}", &expect![[r#"template: t:1: undefined variable "$x""#]]);
        check("{{ .a ", &expect!["template: t:1: unclosed action"]);
        check(
            "{{.none.a}}",
            &expect![[r#"template: t:1:7: executing "t" at <.none.a>: nil pointer evaluating interface {}.a"#]],
        );
        check(
            "\n {{.name.a}}",
            &expect![[r#"template: t:2:8: executing "t" at <.name.a>: can't evaluate field a in type interface {}"#]],
        );
        check(
            "{{len .n}}",
            &expect![[r#"template: t:1:2: executing "t" at <len .n>: error calling len: len of type int"#]],
        );
        check(
            "{{template \"no\"}}",
            &expect![[r#"template: t:1:11: executing "t" at <{{template "no"}}>: template "no" not defined"#]],
        );
        check(
            "{{index .list 7}}",
            &expect![[
                r#"template: t:1:2: executing "t" at <index .list 7>: error calling index: index out of range: 7"#
            ]],
        );
    }

    #[test]
    fn a_render_without_end_is_stopped() {
        let text = "{{define \"r\"}}{{template \"r\" .}}{{end}}{{template \"r\" .}}";
        let mut templates = Templates::new(Funcs::builtins());
        templates.parse("t", text).unwrap();
        let within = |limits| World::default().within(limits);
        let deep = within(Limits { depth: 50, ..Limits::default() });
        let error = templates.render("t", &Value::Nil, &deep).unwrap_err();
        assert!(error.text.contains("more than 50 levels"), "{error}");
        templates.parse("u", "{{range 100000}}{{range 100000}}x{{end}}{{end}}").unwrap();
        let short = within(Limits { output: 1000, ..Limits::default() });
        assert!(templates.render("u", &Value::Nil, &short).unwrap_err().text.contains("1000 bytes"));
        let quick = within(Limits { steps: 1000, ..Limits::default() });
        assert!(templates.render("u", &Value::Nil, &quick).unwrap_err().text.contains("1000 steps"));
    }
}
