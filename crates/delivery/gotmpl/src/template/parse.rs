//! Tokens to trees, with the words of Go's own parser when it fails.

use std::rc::Rc;

use super::number::Number;
use super::{
    ast::{Branch, Command, Expr, Node, Pipe, Tree, is_empty},
    lex::{Kind, Token, lex},
};
use crate::gofmt;

/// Deepest nesting of blocks and parentheses that is read.
const MAX_NESTING: usize = 200;

/// A template that could not be parsed; `text` is what Go's parser says.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct ParseError {
    /// `template: file:line: message`.
    pub text: String,
}

/// How a list of nodes ended.
enum Stop {
    End,
    Else(Kind),
}

enum Item {
    Node(Node),
    Stop(Stop),
}

struct Parser<'a> {
    file: Rc<str>,
    text: Rc<str>,
    tokens: Vec<Token>,
    next: usize,
    vars: Vec<Rc<str>>,
    trees: Vec<Tree>,
    action_line: usize,
    ranges: usize,
    nesting: usize,
    known: &'a dyn Fn(&str) -> bool,
}

type Parsed<T> = Result<T, ParseError>;

/// Parses a file; returns the templates that it defines, the file itself last.
pub(super) fn parse(file: &str, text: &str, known: &dyn Fn(&str) -> bool) -> Parsed<Vec<Tree>> {
    let mut parser = Parser {
        file: file.into(),
        text: text.into(),
        tokens: lex(text),
        next: 0,
        vars: vec!["$".into()],
        trees: Vec::new(),
        action_line: 0,
        ranges: 0,
        nesting: 0,
        known,
    };
    let root = parser.top()?;
    let name = parser.file.clone();
    parser.add(name, root)?;
    Ok(parser.trees)
}

impl Parser<'_> {
    fn peek(&self) -> &Token {
        &self.tokens[self.next.min(self.tokens.len() - 1)]
    }

    fn advance(&mut self) -> Token {
        let token = self.peek().clone();
        self.next += 1;
        token
    }

    fn skip_space(&mut self) {
        while self.peek().kind == Kind::Space {
            self.next += 1;
        }
    }

    fn next_non_space(&mut self) -> Token {
        self.skip_space();
        self.advance()
    }

    fn peek_non_space(&mut self) -> Token {
        self.skip_space();
        self.peek().clone()
    }

    fn fail<T>(&self, message: &str) -> Parsed<T> {
        let last = self.tokens[self.next.saturating_sub(1).min(self.tokens.len() - 1)].line;
        Err(ParseError { text: format!("template: {}:{last}: {message}", self.file) })
    }

    fn unexpected<T>(&self, token: &Token, context: &str) -> Parsed<T> {
        if token.kind == Kind::Error {
            let mut extra = String::new();
            if self.action_line != 0 && self.action_line != token.line {
                extra = format!(" in action started at {}:{}", self.file, self.action_line);
                if token.text.ends_with(" action") {
                    extra = extra[" in action".len()..].to_owned();
                }
            }
            return self.fail(&format!("{}{extra}", token.text));
        }
        self.fail(&format!("unexpected {} in {context}", token.shown()))
    }

    fn expect(&mut self, kinds: &[Kind], context: &str) -> Parsed<Token> {
        let token = self.next_non_space();
        if kinds.contains(&token.kind) { Ok(token) } else { self.unexpected(&token, context) }
    }

    fn deeper<T>(&mut self, work: impl FnOnce(&mut Self) -> Parsed<T>) -> Parsed<T> {
        self.nesting += 1;
        if self.nesting > MAX_NESTING {
            return self.fail("max expression depth exceeded");
        }
        let result = work(self);
        self.nesting -= 1;
        result
    }

    fn add(&mut self, name: Rc<str>, root: Vec<Node>) -> Parsed<()> {
        let tree = Tree { name, file: self.file.clone(), text: self.text.clone(), root };
        match self.trees.iter_mut().find(|old| old.name == tree.name) {
            None => self.trees.push(tree),
            Some(old) if is_empty(&old.root) => *old = tree,
            Some(_) if is_empty(&tree.root) => {}
            Some(_) => {
                let name = gofmt::quote(&tree.name);
                return self.fail(&format!("template: multiple definition of template {name}"));
            }
        }
        Ok(())
    }

    fn top(&mut self) -> Parsed<Vec<Node>> {
        let mut root = Vec::new();
        while self.peek().kind != Kind::Eof {
            if self.peek().kind == Kind::LeftDelim {
                let start = self.next;
                self.next += 1;
                if self.next_non_space().kind == Kind::Define {
                    self.definition()?;
                    continue;
                }
                self.next = start;
            }
            match self.text_or_action()? {
                Item::Node(node) => root.push(node),
                Item::Stop(Stop::End) => return self.fail("unexpected {{end}}"),
                Item::Stop(Stop::Else(_)) => return self.fail("unexpected {{else}}"),
            }
        }
        Ok(root)
    }

    fn definition(&mut self) -> Parsed<()> {
        const CONTEXT: &str = "define clause";
        let token = self.expect(&[Kind::Quoted, Kind::RawString], CONTEXT)?;
        let name = self.unquote(&token)?;
        self.expect(&[Kind::RightDelim], CONTEXT)?;
        let outer = std::mem::replace(&mut self.vars, vec!["$".into()]);
        let ranges = std::mem::take(&mut self.ranges);
        let (root, stop) = self.list()?;
        if let Stop::Else(_) = stop {
            return self.fail("unexpected {{else}} in define clause");
        }
        self.add(name, root)?;
        self.vars = outer;
        self.ranges = ranges;
        Ok(())
    }

    fn unquote(&self, token: &Token) -> Parsed<Rc<str>> {
        match gofmt::unquote(&token.text) {
            Some(text) => Ok(text.into()),
            None => self.fail("invalid syntax"),
        }
    }

    fn list(&mut self) -> Parsed<(Vec<Node>, Stop)> {
        self.deeper(|parser| {
            let mut nodes = Vec::new();
            while parser.peek_non_space().kind != Kind::Eof {
                match parser.text_or_action()? {
                    Item::Node(node) => nodes.push(node),
                    Item::Stop(stop) => return Ok((nodes, stop)),
                }
            }
            parser.next += 1;
            parser.fail("unexpected EOF")
        })
    }

    fn text_or_action(&mut self) -> Parsed<Item> {
        let token = self.next_non_space();
        match token.kind {
            Kind::Text => Ok(Item::Node(Node::Text(token.text.into()))),
            Kind::LeftDelim => {
                self.action_line = token.line;
                let item = self.action();
                if item.is_ok() {
                    self.action_line = 0;
                }
                item
            }
            _ => self.unexpected(&token, "input"),
        }
    }

    fn action(&mut self) -> Parsed<Item> {
        let token = self.peek_non_space();
        let keyword = !matches!(token.kind, Kind::Identifier);
        if keyword {
            self.next += 1;
        }
        let node = match token.kind {
            Kind::Block => self.block()?,
            Kind::Break | Kind::Continue => {
                let shown = if token.kind == Kind::Break { "{{break}}" } else { "{{continue}}" };
                let close = self.next_non_space();
                if close.kind != Kind::RightDelim {
                    return self.unexpected(&close, shown);
                }
                if self.ranges == 0 {
                    return self.fail(&format!("{shown} outside {{{{range}}}}"));
                }
                if token.kind == Kind::Break { Node::Break } else { Node::Continue }
            }
            Kind::Else => return self.otherwise(),
            Kind::End => {
                self.expect(&[Kind::RightDelim], "end")?;
                return Ok(Item::Stop(Stop::End));
            }
            Kind::If => Node::If(self.control("if")?),
            Kind::Range => Node::Range(self.control("range")?),
            Kind::With => Node::With(self.control("with")?),
            Kind::Template => self.template()?,
            _ => {
                if keyword {
                    self.next -= 1;
                }
                Node::Action(self.pipeline("command", Kind::RightDelim)?)
            }
        };
        Ok(Item::Node(node))
    }

    fn otherwise(&mut self) -> Parsed<Item> {
        let peek = self.peek_non_space().kind;
        if matches!(peek, Kind::If | Kind::With) {
            return Ok(Item::Stop(Stop::Else(peek)));
        }
        self.expect(&[Kind::RightDelim], "else")?;
        Ok(Item::Stop(Stop::Else(Kind::RightDelim)))
    }

    fn block(&mut self) -> Parsed<Node> {
        const CONTEXT: &str = "block clause";
        let token = self.next_non_space();
        let name = self.template_name(&token, CONTEXT)?;
        let pipe = self.pipeline(CONTEXT, Kind::RightDelim)?;
        let outer = std::mem::replace(&mut self.vars, vec!["$".into()]);
        let (root, stop) = self.list()?;
        if let Stop::Else(_) = stop {
            return self.fail("unexpected {{else}} in block clause");
        }
        self.add(name.clone(), root)?;
        self.vars = outer;
        Ok(Node::Template { pos: token.pos, name, pipe: Some(pipe) })
    }

    fn template(&mut self) -> Parsed<Node> {
        const CONTEXT: &str = "template clause";
        let token = self.next_non_space();
        let name = self.template_name(&token, CONTEXT)?;
        let pipe = if self.peek_non_space().kind == Kind::RightDelim {
            self.next += 1;
            None
        } else {
            Some(self.pipeline(CONTEXT, Kind::RightDelim)?)
        };
        Ok(Node::Template { pos: token.pos, name, pipe })
    }

    fn template_name(&self, token: &Token, context: &str) -> Parsed<Rc<str>> {
        match token.kind {
            Kind::Quoted | Kind::RawString => self.unquote(token),
            _ => self.unexpected(token, context),
        }
    }

    fn control(&mut self, context: &'static str) -> Parsed<Branch> {
        let mark = self.vars.len();
        let pipe = self.pipeline(context, Kind::RightDelim)?;
        self.ranges += usize::from(context == "range");
        let (list, stop) = self.list()?;
        self.ranges -= usize::from(context == "range");
        let otherwise = match stop {
            Stop::End => None,
            Stop::Else(Kind::If) if context == "if" => {
                self.next += 1;
                Some(vec![Node::If(self.deeper(|parser| parser.control("if"))?)])
            }
            Stop::Else(Kind::With) if context == "with" => {
                self.next += 1;
                Some(vec![Node::With(self.deeper(|parser| parser.control("with"))?)])
            }
            Stop::Else(_) => {
                let (list, stop) = self.list()?;
                if let Stop::Else(_) = stop {
                    return self.fail("expected end; found {{else}}");
                }
                Some(list)
            }
        };
        self.vars.truncate(mark);
        Ok(Branch { pipe, list, otherwise })
    }

    fn pipeline(&mut self, context: &str, end: Kind) -> Parsed<Pipe> {
        let pos = self.peek_non_space().pos;
        let mut pipe = Pipe { pos, decl: Vec::new(), assign: false, cmds: Vec::new() };
        self.declarations(&mut pipe, context)?;
        loop {
            let token = self.peek_non_space();
            match token.kind {
                kind if kind == end => {
                    self.next += 1;
                    break;
                }
                Kind::Bool
                | Kind::CharConstant
                | Kind::Dot
                | Kind::Field
                | Kind::Identifier
                | Kind::Number
                | Kind::Nil
                | Kind::RawString
                | Kind::Quoted
                | Kind::Variable
                | Kind::LeftParen => pipe.cmds.push(self.command()?),
                _ => {
                    self.next += 1;
                    return self.unexpected(&token, context);
                }
            }
        }
        if pipe.cmds.is_empty() {
            return self.fail(&format!("missing value for {context}"));
        }
        for (index, cmd) in pipe.cmds.iter().enumerate().skip(1) {
            if matches!(cmd.args[0], Expr::Bool(..) | Expr::Dot(_) | Expr::Nil(_) | Expr::Number(..) | Expr::Str(..)) {
                return self.fail(&format!("non executable command in pipeline stage {}", index + 1));
            }
        }
        Ok(pipe)
    }

    fn declarations(&mut self, pipe: &mut Pipe, context: &str) -> Parsed<()> {
        while self.peek_non_space().kind == Kind::Variable {
            let start = self.next;
            let variable = self.advance();
            let next = self.peek_non_space();
            match next.kind {
                Kind::Assign | Kind::Declare => {
                    self.next += 1;
                    pipe.assign = next.kind == Kind::Assign;
                    self.declare(pipe, &variable.text);
                    return Ok(());
                }
                Kind::Char if next.text == "," => {
                    self.next += 1;
                    self.declare(pipe, &variable.text);
                    if context == "range" && pipe.decl.len() < 2 {
                        match self.peek_non_space().kind {
                            Kind::Variable | Kind::RightDelim | Kind::RightParen => continue,
                            _ => return self.fail("range can only initialize variables"),
                        }
                    }
                    return self.fail(&format!("too many declarations in {context}"));
                }
                _ => {
                    self.next = start;
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    fn declare(&mut self, pipe: &mut Pipe, name: &str) {
        let name: Rc<str> = name.into();
        pipe.decl.push(name.clone());
        self.vars.push(name);
    }

    fn command(&mut self) -> Parsed<Command> {
        let pos = self.peek_non_space().pos;
        let mut args = Vec::new();
        loop {
            self.skip_space();
            if let Some(operand) = self.operand()? {
                args.push(operand);
            }
            let token = self.advance();
            match token.kind {
                Kind::Space => continue,
                Kind::RightDelim | Kind::RightParen => self.next -= 1,
                Kind::Pipe => {}
                _ => return self.unexpected(&token, "operand"),
            }
            break;
        }
        if args.is_empty() { self.fail("empty command") } else { Ok(Command { pos, args }) }
    }

    fn operand(&mut self) -> Parsed<Option<Expr>> {
        let Some(node) = self.term()? else { return Ok(None) };
        if self.peek().kind != Kind::Field {
            return Ok(Some(node));
        }
        let pos = self.peek().pos;
        let mut fields: Vec<Rc<str>> = Vec::new();
        while self.peek().kind == Kind::Field {
            fields.push(self.advance().text[1..].into());
        }
        Ok(Some(match node {
            Expr::Field(_, mut names) => {
                names.append(&mut fields);
                Expr::Field(pos, names)
            }
            Expr::Variable(_, mut names) => {
                names.append(&mut fields);
                Expr::Variable(pos, names)
            }
            Expr::Bool(..) | Expr::Str(..) | Expr::Number(..) | Expr::Nil(_) | Expr::Dot(_) => {
                let term = gofmt::quote(&node.to_string());
                return self.fail(&format!("unexpected . after term {term}"));
            }
            other => Expr::Chain(pos, Box::new(other), fields),
        }))
    }

    fn term(&mut self) -> Parsed<Option<Expr>> {
        let token = self.next_non_space();
        let pos = token.pos;
        Ok(Some(match token.kind {
            Kind::Identifier => {
                if !(self.known)(&token.text) {
                    return self.fail(&format!("function {} not defined", gofmt::quote(&token.text)));
                }
                Expr::Ident(pos, token.text.into())
            }
            Kind::Dot => Expr::Dot(pos),
            Kind::Nil => Expr::Nil(pos),
            Kind::Variable => {
                if !self.vars.iter().any(|name| **name == *token.text) {
                    return self.fail(&format!("undefined variable {}", gofmt::quote(&token.text)));
                }
                Expr::Variable(pos, vec![token.text.into()])
            }
            Kind::Field => Expr::Field(pos, vec![token.text[1..].into()]),
            Kind::Bool => Expr::Bool(pos, token.text == "true"),
            Kind::CharConstant | Kind::Number => Expr::Number(pos, self.number(&token)?),
            Kind::LeftParen => {
                Expr::Pipe(self.deeper(|parser| parser.pipeline("parenthesized pipeline", Kind::RightParen))?)
            }
            Kind::Quoted | Kind::RawString => {
                let text = self.unquote(&token)?;
                Expr::Str(pos, token.text.into(), text)
            }
            _ => {
                self.next -= 1;
                return Ok(None);
            }
        }))
    }

    fn number(&self, token: &Token) -> Parsed<Number> {
        if token.kind == Kind::CharConstant {
            let Some(c) = gofmt::unquote(&token.text).filter(|c| c.chars().count() == 1) else {
                return self.fail(&format!("malformed character constant: {}", token.text));
            };
            return Ok(Number::of_char(&token.text, c.chars().next().unwrap_or_default()));
        }
        Number::parse(&token.text).or_else(|message: String| self.fail(&message))
    }
}
