//! Tokens to a tree: precedence climbing, and the macros as they are met.

use crate::{
    ast::{Expr, Field, Item, Loop, LoopKind, Node, Pair, Select, check_depth},
    error::Issue,
    lexer::{Token, tokens},
    value::Value,
};

/// How many bytes of source are read.
const MAX_SOURCE: usize = 100_000;

pub(crate) fn parse(source: &str) -> Result<Expr, Issue> {
    if source.len() > MAX_SOURCE {
        return Err(Issue::new(
            0,
            format!("expression code point size exceeds limit: size: {}, limit {MAX_SOURCE}", source.len()),
        ));
    }
    let mut parser = Parser { tokens: tokens(source)?, next: 0, depth: 0 };
    let expr = parser.expr()?;
    match parser.peek() {
        Token::End => {}
        other => {
            // One token too many is told from a wrong turn.
            let last = matches!(parser.tokens.get(parser.next + 1), None | Some((_, Token::End)));
            let found = if last { "extraneous" } else { "mismatched" };
            let message = format!("Syntax error: {found} input '{}' expecting <EOF>", other.shown());
            return Err(Issue::new(parser.at(), message));
        }
    }
    Ok(expr)
}

struct Parser {
    tokens: Vec<(usize, Token)>,
    next: usize,
    depth: usize,
}

impl Parser {
    fn peek(&self) -> &Token {
        &self.tokens[self.next.min(self.tokens.len() - 1)].1
    }

    fn at(&self) -> usize {
        self.tokens[self.next.min(self.tokens.len() - 1)].0
    }

    fn take(&mut self) -> Token {
        let token = self.peek().clone();
        self.next += 1;
        token
    }

    fn eat(&mut self, sign: &str) -> bool {
        let there = matches!(self.peek(), Token::Sign(found) if *found == sign);
        if there {
            self.next += 1;
        }
        there
    }

    fn expect(&mut self, sign: &str) -> Result<(), Issue> {
        if self.eat(sign) {
            return Ok(());
        }
        if matches!(self.peek(), Token::End) {
            return Err(Issue::new(self.at(), format!("Syntax error: missing '{sign}' at '<EOF>'")));
        }
        Err(self.unexpected(&format!("'{sign}'")))
    }

    /// Takes the comma between two parts of what ends with `end`.
    fn comma(&mut self, end: &str) -> Result<(), Issue> {
        if self.eat(",") { Ok(()) } else { Err(self.unexpected(&format!("{{'{end}', ','}}"))) }
    }

    /// Takes the name after a dot.
    fn field(&mut self) -> Result<String, Issue> {
        match self.peek().clone() {
            Token::Name(name) => {
                self.next += 1;
                Ok(name)
            }
            Token::End => Err(Issue::new(self.at(), "Syntax error: no viable alternative at input '.'".to_owned())),
            _ => Err(self.unexpected("IDENTIFIER")),
        }
    }

    fn unexpected(&self, wanted: &str) -> Issue {
        Issue::new(self.at(), format!("Syntax error: mismatched input '{}' expecting {wanted}", self.peek().shown()))
    }

    fn expr(&mut self) -> Result<Expr, Issue> {
        self.depth += 1;
        check_depth(self.at(), self.depth)?;
        let condition = self.or()?;
        let at = self.at();
        let found = if self.eat("?") {
            let yes = self.or()?;
            self.expect(":")?;
            let no = self.expr()?;
            Expr::new(at, Node::Choice(Box::new([condition, yes, no])))?
        } else {
            condition
        };
        self.depth -= 1;
        Ok(found)
    }

    fn or(&mut self) -> Result<Expr, Issue> {
        let first = self.and()?;
        if !matches!(self.peek(), Token::Sign("||")) {
            return Ok(first);
        }
        let at = first.at;
        let mut terms = vec![first];
        while self.eat("||") {
            terms.push(self.and()?);
        }
        Expr::new(at, Node::Or(terms))
    }

    fn and(&mut self) -> Result<Expr, Issue> {
        let first = self.binary(0)?;
        if !matches!(self.peek(), Token::Sign("&&")) {
            return Ok(first);
        }
        let at = first.at;
        let mut terms = vec![first];
        while self.eat("&&") {
            terms.push(self.binary(0)?);
        }
        Expr::new(at, Node::And(terms))
    }

    fn operator(&self, level: usize) -> Option<&'static str> {
        let levels: [&[(&str, &'static str)]; 3] = [
            &[("==", "_==_"), ("!=", "_!=_"), ("<=", "_<=_"), (">=", "_>=_"), ("<", "_<_"), (">", "_>_")],
            &[("+", "_+_"), ("-", "_-_")],
            &[("*", "_*_"), ("/", "_/_"), ("%", "_%_")],
        ];
        match self.peek() {
            Token::Sign(sign) => levels[level].iter().find(|(text, _)| text == sign).map(|(_, name)| *name),
            Token::Name(name) if level == 0 && name == "in" => Some("@in"),
            _ => None,
        }
    }

    fn binary(&mut self, level: usize) -> Result<Expr, Issue> {
        if level == 3 {
            return self.unary();
        }
        let mut left = self.binary(level + 1)?;
        while let Some(operator) = self.operator(level) {
            let at = self.at();
            self.next += 1;
            let right = self.binary(level + 1)?;
            left = call(at, operator, None, vec![left, right])?;
        }
        Ok(left)
    }

    fn unary(&mut self) -> Result<Expr, Issue> {
        let at = self.at();
        let sign = match self.peek() {
            Token::Sign(sign @ ("!" | "-")) => *sign,
            _ => return self.member(),
        };
        let mut count = 0;
        while self.eat(sign) {
            count += 1;
        }
        if sign == "-" && count % 2 == 1 {
            let literal = match self.peek() {
                Token::Int(number) => Some(Value::Int(-number)),
                Token::Lowest => Some(Value::Int(i64::MIN)),
                Token::Double(number) => Some(Value::Double(-number)),
                _ => None,
            };
            if let Some(value) = literal {
                self.next += 1;
                return self.rest(Expr::new(at, Node::Literal(value))?);
            }
        }
        let operand = self.member()?;
        if count % 2 == 0 {
            return Ok(operand);
        }
        call(at, if sign == "!" { "!_" } else { "-_" }, None, vec![operand])
    }

    fn member(&mut self) -> Result<Expr, Issue> {
        let first = self.primary()?;
        self.rest(first)
    }

    /// Reads `.field`, `.call()` and `[index]` after an operand.
    fn rest(&mut self, mut operand: Expr) -> Result<Expr, Issue> {
        loop {
            let at = self.at();
            if self.eat(".") {
                let name = self.field()?;
                let open = self.at();
                operand = if self.eat("(") {
                    let args = self.args(")")?;
                    expand(open, &name, Some(operand), args)?
                } else {
                    Expr::new(at, Node::Select { operand: Box::new(operand), field: name, how: Select::Plain })?
                };
            } else if self.eat(".?") {
                let field = self.field()?;
                operand = Expr::new(at, Node::Select { operand: Box::new(operand), field, how: Select::Optional })?;
            } else if self.eat("[?") {
                let index = self.expr()?;
                self.expect("]")?;
                operand = call(at, "_[?_]", None, vec![operand, index])?;
            } else if self.eat("[") {
                let index = self.expr()?;
                self.expect("]")?;
                operand = call(at, "_[_]", None, vec![operand, index])?;
            } else if let (Token::Sign(open @ ("{" | "{?")), Some(name)) = (self.peek(), type_of(&operand)) {
                let optional = *open == "{?";
                self.next += 1;
                operand = self.message(at, name, optional)?;
            } else {
                return Ok(operand);
            }
        }
    }

    /// Reads the fields of an object that is made.
    fn message(&mut self, at: usize, name: String, first_optional: bool) -> Result<Expr, Issue> {
        let mut fields = Vec::new();
        let mut optional = first_optional;
        if optional || !self.eat("}") {
            loop {
                let optional_here = std::mem::take(&mut optional) || self.eat("?");
                let Token::Name(field) = self.peek().clone() else {
                    return Err(self.unexpected("{'}', ',', '?', IDENTIFIER, ESC_IDENTIFIER}"));
                };
                self.next += 1;
                self.expect(":")?;
                fields.push(Field { name: field, value: self.expr()?, optional: optional_here });
                if self.eat("}") {
                    break;
                }
                self.comma("}")?;
                if self.eat("}") {
                    break;
                }
            }
        }
        Expr::new(at, Node::Message { name, fields })
    }

    fn args(&mut self, end: &str) -> Result<Vec<Expr>, Issue> {
        let mut args = Vec::new();
        if self.eat(end) {
            return Ok(args);
        }
        loop {
            args.push(self.expr()?);
            if self.eat(end) {
                return Ok(args);
            }
            self.comma(end)?;
        }
    }

    fn primary(&mut self) -> Result<Expr, Issue> {
        let at = self.at();
        let literal = |value: Value| Expr::new(at, Node::Literal(value));
        match self.take() {
            Token::Int(number) => literal(Value::Int(number)),
            Token::Uint(number) => literal(Value::Uint(number)),
            Token::Double(number) => literal(Value::Double(number)),
            Token::Text(text) => literal(Value::String(text)),
            Token::Bytes(bytes) => literal(Value::Bytes(bytes)),
            Token::Name(name) => match name.as_str() {
                "true" => literal(Value::Bool(true)),
                "false" => literal(Value::Bool(false)),
                "null" => literal(Value::Null),
                _ => self.name(at, name),
            },
            Token::Sign(".") => match self.take() {
                Token::Name(name) => self.name(at, name),
                _ => Err(Issue::new(at, "Syntax error: no viable alternative at input '.'".to_owned())),
            },
            Token::Sign("(") => {
                let inner = self.expr()?;
                self.expect(")")?;
                Ok(inner)
            }
            Token::Sign(open @ ("[" | "[?")) => self.list(at, open == "[?"),
            Token::Sign(open @ ("{" | "{?")) => self.map(at, open == "{?"),
            other => {
                self.next -= 1;
                let message = format!(
                    "Syntax error: mismatched input '{}' expecting {{'[', '{{', '(', '.', '-', '!', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, BYTES, IDENTIFIER}}",
                    other.shown()
                );
                Err(Issue::new(at, message))
            }
        }
    }

    fn name(&mut self, at: usize, name: String) -> Result<Expr, Issue> {
        if crate::schemas::is_reserved(&name) {
            return Err(Issue::new(at, format!("reserved identifier: {name}")));
        }
        let open = self.at();
        if self.eat("(") {
            let args = self.args(")")?;
            return expand(open, &name, None, args);
        }
        Expr::new(at, Node::Name(name))
    }

    fn list(&mut self, at: usize, first_optional: bool) -> Result<Expr, Issue> {
        let mut items = Vec::new();
        let mut optional = first_optional;
        if optional || !self.eat("]") {
            loop {
                let optional_here = std::mem::take(&mut optional) || self.eat("?");
                items.push(Item { value: self.expr()?, optional: optional_here });
                if self.eat("]") {
                    break;
                }
                self.comma("]")?;
                if self.eat("]") {
                    break;
                }
            }
        }
        Expr::new(at, Node::List(items))
    }

    fn map(&mut self, at: usize, first_optional: bool) -> Result<Expr, Issue> {
        let mut pairs = Vec::new();
        let mut optional = first_optional;
        if optional || !self.eat("}") {
            loop {
                let optional_here = std::mem::take(&mut optional) || self.eat("?");
                let key = self.expr()?;
                self.expect(":")?;
                pairs.push(Pair { key, value: self.expr()?, optional: optional_here });
                if self.eat("}") {
                    break;
                }
                self.comma("}")?;
                if self.eat("}") {
                    break;
                }
            }
        }
        Expr::new(at, Node::Map(pairs))
    }
}

/// Returns the type that `a.b.c` names, if it can name one.
fn type_of(operand: &Expr) -> Option<String> {
    match &operand.node {
        Node::Name(name) => Some(name.clone()),
        Node::Select { operand, field, how: Select::Plain } => Some(format!("{}.{field}", type_of(operand)?)),
        _ => None,
    }
}

fn call(at: usize, name: &str, target: Option<Expr>, args: Vec<Expr>) -> Result<Expr, Issue> {
    Expr::new(at, Node::Call { name: name.to_owned(), target: target.map(Box::new), args, function: None })
}

/// Makes a call, or what a macro of that name and that many arguments stands for.
fn expand(at: usize, name: &str, target: Option<Expr>, mut args: Vec<Expr>) -> Result<Expr, Issue> {
    if name == "has" && target.is_none() && args.len() == 1 {
        let operand = args.remove(0);
        return match operand.node {
            Node::Select { operand, field, how: Select::Plain } => {
                Expr::new(at, Node::Select { operand, field, how: Select::Test })
            }
            _ => Err(Issue::new(operand.at, "invalid argument to has() macro".to_owned())),
        };
    }
    let Some(target) = target else { return call(at, name, None, args) };
    if matches!(name, "optMap" | "optFlatMap") && args.len() == 2 {
        let body = args.remove(1);
        let variable = plain_name(&args[0], &format!("{name}() variable name must be a simple identifier"))?;
        let node =
            Node::Within { operand: Box::new(target), variable, body: Box::new(body), flat: name == "optFlatMap" };
        return Expr::new(at, node);
    }
    let Some((kind, names, filtered)) = loop_of(name, args.len()) else { return call(at, name, Some(target), args) };
    let Some(body) = args.pop() else { return call(at, name, Some(target), args) };
    let filter = if filtered { args.pop() } else { None };
    let names = args
        .iter()
        .take(names)
        .map(|arg| plain_name(arg, "argument must be a simple name"))
        .collect::<Result<Vec<_>, _>>()?;
    if names.len() == 2 && names[0] == names[1] {
        return Err(Issue::new(at, format!("duplicate variable name: {}", names[0])));
    }
    Expr::new(at, Node::Loop(Box::new(Loop { kind, range: target, names, filter, body })))
}

/// Returns the loop of a macro, how many names it takes and whether a filter stands before its body.
fn loop_of(name: &str, args: usize) -> Option<(LoopKind, usize, bool)> {
    Some(match (name, args) {
        ("all", 2) => (LoopKind::All, 1, false),
        ("all", 3) => (LoopKind::All, 2, false),
        ("exists", 2) => (LoopKind::Exists, 1, false),
        ("exists", 3) => (LoopKind::Exists, 2, false),
        ("exists_one", 2) => (LoopKind::ExistsOne, 1, false),
        ("exists_one" | "existsOne", 3) => (LoopKind::ExistsOne, 2, false),
        ("filter", 2) => (LoopKind::Filter, 1, false),
        ("map", 2) => (LoopKind::Map, 1, false),
        ("map", 3) => (LoopKind::Map, 1, true),
        ("transformList", 3) => (LoopKind::Map, 2, false),
        ("transformList", 4) => (LoopKind::Map, 2, true),
        ("transformMap", 3) => (LoopKind::TransformMap, 2, false),
        ("transformMap", 4) => (LoopKind::TransformMap, 2, true),
        ("transformMapEntry", 3) => (LoopKind::TransformMapEntry, 2, false),
        ("transformMapEntry", 4) => (LoopKind::TransformMapEntry, 2, true),
        ("sortBy", 2) => (LoopKind::SortBy, 1, false),
        _ => return None,
    })
}

fn plain_name(expr: &Expr, message: &str) -> Result<String, Issue> {
    match &expr.node {
        Node::Name(name) => Ok(name.clone()),
        _ => Err(Issue::new(expr.at, message.to_owned())),
    }
}
