//! Splits template text into Go's tokens, trim markers already applied.
//!
//! Never judges grammar; a lexical error is a last token, so that the parser
//! reports whichever mistake comes first, as Go does.

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    LeftDelim,
    RightDelim,
    Space,
    Assign,
    Declare,
    Pipe,
    LeftParen,
    RightParen,
    Char,
    Bool,
    CharConstant,
    Dot,
    Field,
    Identifier,
    Nil,
    Number,
    RawString,
    Quoted,
    Variable,
    Block,
    Break,
    Continue,
    Define,
    Else,
    End,
    If,
    Range,
    Template,
    With,
    Eof,
    Error,
}

/// A token: `text` is a slice of the source, or the message of an error.
#[derive(Clone, Debug)]
pub(super) struct Token {
    pub(super) kind: Kind,
    pub(super) pos: usize,
    pub(super) line: usize,
    pub(super) text: String,
}

impl Token {
    /// How Go's parser words it: `<if>`, `"text"`, `EOF`, an error's message.
    pub(super) fn shown(&self) -> String {
        match self.kind {
            Kind::Eof => "EOF".to_owned(),
            Kind::Error => self.text.clone(),
            Kind::Block
            | Kind::Break
            | Kind::Continue
            | Kind::Define
            | Kind::Else
            | Kind::End
            | Kind::If
            | Kind::Range
            | Kind::Nil
            | Kind::Template
            | Kind::With => format!("<{}>", self.text),
            Kind::Dot => "<.>".to_owned(),
            _ if self.text.len() > 10 => {
                let cut = (0..=10).rev().find(|&i| self.text.is_char_boundary(i)).unwrap_or(0);
                format!("{}...", crate::gofmt::quote(&self.text[..cut]))
            }
            _ => crate::gofmt::quote(&self.text),
        }
    }
}

const SPACES: [char; 4] = [' ', '\t', '\r', '\n'];

struct Lexer<'a> {
    input: &'a str,
    pos: usize,
    line: usize,
    parens: usize,
    tokens: Vec<Token>,
}

/// Returns the tokens of `input`; the last one is `Eof` or `Error`.
pub(super) fn lex(input: &str) -> Vec<Token> {
    let mut lexer = Lexer { input, pos: 0, line: 1, parens: 0, tokens: Vec::new() };
    if let Err((pos, line, message)) = lexer.run() {
        lexer.tokens.push(Token { kind: Kind::Error, pos, line, text: message });
    } else {
        let (pos, line) = (lexer.pos, lexer.line);
        lexer.tokens.push(Token { kind: Kind::Eof, pos, line, text: String::new() });
    }
    lexer.tokens
}

type Stop = (usize, usize, String);

impl<'a> Lexer<'a> {
    fn rest(&self) -> &'a str {
        &self.input[self.pos..]
    }

    fn emit(&mut self, kind: Kind, end: usize) {
        let text = &self.input[self.pos..end];
        self.tokens.push(Token { kind, pos: self.pos, line: self.line, text: text.to_owned() });
        self.skip(end);
    }

    fn skip(&mut self, end: usize) {
        self.line += self.input[self.pos..end].matches('\n').count();
        self.pos = end;
    }

    fn fail<T>(&self, message: impl Into<String>) -> Result<T, Stop> {
        Err((self.pos, self.line, message.into()))
    }

    fn run(&mut self) -> Result<(), Stop> {
        loop {
            let Some(start) = self.rest().find("{{") else {
                if !self.rest().is_empty() {
                    self.text(self.input.len());
                }
                return Ok(());
            };
            let delim = self.pos + start;
            let trims = left_trims(&self.input[delim + 2..]);
            let text = &self.input[self.pos..delim];
            let kept = if trims { text.trim_end_matches(SPACES) } else { text };
            let end = self.pos + kept.len();
            if end > self.pos {
                self.text(end);
            }
            self.skip(delim);
            let after = delim + 2 + if trims { 2 } else { 0 };
            if self.input[after..].starts_with("/*") {
                self.comment(after)?;
            } else {
                self.emit(Kind::LeftDelim, delim + 2);
                // The marker's '-' and space are left out; the space belongs to it.
                self.skip(after);
                self.action()?;
            }
        }
    }

    fn text(&mut self, end: usize) {
        let (pos, line) = (self.pos, self.line);
        let text = self.input[pos..end].to_owned();
        self.skip(end);
        // Go counts a text's newlines before it takes the line of the token; the start line is what shows.
        self.tokens.push(Token { kind: Kind::Text, pos, line, text });
    }

    fn comment(&mut self, start: usize) -> Result<(), Stop> {
        self.skip(start);
        let Some(close) = self.input[start + 2..].find("*/") else { return self.fail("unclosed comment") };
        let end = start + 2 + close + 2;
        let Some(trims) = right_delim(&self.input[end..]) else {
            return self.fail("comment ends before closing delimiter");
        };
        self.close(end + if trims { 4 } else { 2 }, trims);
        Ok(())
    }

    fn close(&mut self, end: usize, trims: bool) {
        self.skip(end);
        if trims {
            let kept = self.rest().trim_start_matches(SPACES).len();
            self.skip(self.input.len() - kept);
        }
    }

    fn action(&mut self) -> Result<(), Stop> {
        self.parens = 0;
        loop {
            if let Some(trims) = right_delim(self.rest()) {
                if self.parens > 0 {
                    return self.fail("unclosed left paren");
                }
                if trims {
                    self.skip(self.pos + 2);
                }
                self.emit(Kind::RightDelim, self.pos + 2);
                self.close(self.pos, trims);
                return Ok(());
            }
            let Some(c) = self.rest().chars().next() else { return self.fail("unclosed action") };
            let next = self.pos + c.len_utf8();
            match c {
                ' ' | '\t' | '\r' | '\n' => self.space(),
                '=' => self.emit(Kind::Assign, next),
                ':' if self.input[next..].starts_with('=') => self.emit(Kind::Declare, next + 1),
                ':' => return self.fail("expected :="),
                '|' => self.emit(Kind::Pipe, next),
                '"' => self.quoted('"', Kind::Quoted, "unterminated quoted string")?,
                '\'' => self.quoted('\'', Kind::CharConstant, "unterminated character constant")?,
                '`' => match self.input[next..].find('`') {
                    Some(close) => self.emit(Kind::RawString, next + close + 1),
                    None => return self.fail("unterminated raw quoted string"),
                },
                '$' => self.word(next, Kind::Variable, Kind::Variable)?,
                '.' if !self.input[next..].starts_with(|c: char| c.is_ascii_digit()) => {
                    self.word(next, Kind::Dot, Kind::Field)?;
                }
                '.' | '+' | '-' | '0'..='9' => self.number()?,
                '(' => {
                    self.parens += 1;
                    self.emit(Kind::LeftParen, next);
                }
                ')' if self.parens == 0 => return self.fail("unexpected right paren"),
                ')' => {
                    self.parens -= 1;
                    self.emit(Kind::RightParen, next);
                }
                c if is_word(c) => self.word(self.pos, Kind::Identifier, Kind::Identifier)?,
                c if c.is_ascii_graphic() => self.emit(Kind::Char, next),
                c => return self.fail(format!("unrecognized character in action: {}", unicode(c))),
            }
        }
    }

    fn space(&mut self) {
        let rest = self.rest();
        let count = rest.len() - rest.trim_start_matches(SPACES).len();
        let mut end = self.pos + count;
        // The last space may belong to a closing " -}}".
        if self.input[end..].starts_with("-}}") {
            end -= 1;
        }
        if end > self.pos {
            self.emit(Kind::Space, end);
        }
    }

    fn quoted(&mut self, quote: char, kind: Kind, unterminated: &str) -> Result<(), Stop> {
        let mut escaped = false;
        for (offset, c) in self.rest().char_indices().skip(1) {
            match c {
                '\n' => break,
                _ if escaped => escaped = false,
                '\\' => escaped = true,
                c if c == quote => {
                    self.emit(kind, self.pos + offset + 1);
                    return Ok(());
                }
                _ => {}
            }
        }
        self.fail(unterminated)
    }

    fn word(&mut self, from: usize, bare: Kind, long: Kind) -> Result<(), Stop> {
        let rest = &self.input[from..];
        let end = from + rest.find(|c| !is_word(c)).unwrap_or(rest.len());
        let after = &self.input[end..];
        let next = after.chars().next();
        let terminated = match next {
            None | Some(' ' | '\t' | '\r' | '\n' | '.' | ',' | '|' | ':' | ')' | '(') => true,
            Some(_) => after.starts_with("}}"),
        };
        if !terminated {
            return self.fail(format!("bad character {}", unicode(next.unwrap_or('\0'))));
        }
        let kind = if end == from { bare } else { long };
        let kind = match (kind, &self.input[self.pos..end]) {
            (Kind::Identifier, word) => keyword(word),
            (kind, _) => kind,
        };
        self.emit(kind, end);
        Ok(())
    }

    fn number(&mut self) -> Result<(), Stop> {
        let mut end = number_end(self.rest());
        // A complex constant: no spaces, and an `i` behind it.
        if end.is_ok_and(|at| self.rest()[at..].starts_with(['+', '-'])) {
            let at = end.unwrap_or_default();
            end = number_end(&self.rest()[at..]).map(|more| at + more).map_err(|more| at + more);
            if end.is_ok_and(|end| !self.rest()[..end].ends_with('i')) {
                end = Err(end.unwrap_or_default());
            }
        }
        match end {
            Ok(end) => {
                self.emit(Kind::Number, self.pos + end);
                Ok(())
            }
            Err(end) => self.fail(format!("bad number syntax: {}", crate::gofmt::quote(&self.rest()[..end]))),
        }
    }
}

/// Returns where a number ends, or where it turns out to be none.
fn number_end(text: &str) -> Result<usize, usize> {
    let bytes = text.as_bytes();
    let at = |i: usize| bytes.get(i).copied().unwrap_or(b' ');
    let mut i = usize::from(matches!(at(0), b'+' | b'-'));
    let mut digits: &[u8] = b"0123456789_";
    if at(i) == b'0' {
        i += 1;
        let (more, of): (usize, &[u8]) = match at(i) {
            b'x' | b'X' => (1, b"0123456789abcdefABCDEF_"),
            b'o' | b'O' => (1, b"01234567_"),
            b'b' | b'B' => (1, b"01_"),
            _ => (0, digits),
        };
        i += more;
        digits = of;
    }
    let run = |i: &mut usize, digits: &[u8]| {
        while digits.contains(&at(*i)) {
            *i += 1;
        }
    };
    run(&mut i, digits);
    if at(i) == b'.' {
        i += 1;
        run(&mut i, digits);
    }
    let exponents: &[u8] = match digits.len() {
        11 => b"eE",
        23 => b"pP",
        _ => b"",
    };
    if exponents.contains(&at(i)) {
        i += 1;
        if matches!(at(i), b'+' | b'-') {
            i += 1;
        }
        run(&mut i, b"0123456789_");
    }
    if at(i) == b'i' {
        i += 1;
    }
    match text[i..].chars().next() {
        Some(next) if is_word(next) => Err(i + next.len_utf8()),
        _ => Ok(i),
    }
}

fn keyword(word: &str) -> Kind {
    match word {
        "block" => Kind::Block,
        "break" => Kind::Break,
        "continue" => Kind::Continue,
        "define" => Kind::Define,
        "else" => Kind::Else,
        "end" => Kind::End,
        "if" => Kind::If,
        "nil" => Kind::Nil,
        "range" => Kind::Range,
        "template" => Kind::Template,
        "with" => Kind::With,
        "true" | "false" => Kind::Bool,
        _ => Kind::Identifier,
    }
}

fn is_word(c: char) -> bool {
    c == '_' || c.is_alphabetic() || c.is_numeric()
}

fn unicode(c: char) -> String {
    // What cannot be printed is not shown.
    if c.is_control() { format!("U+{:04X}", c as u32) } else { format!("U+{:04X} '{c}'", c as u32) }
}

fn left_trims(after: &str) -> bool {
    after.starts_with('-') && after[1..].starts_with(SPACES)
}

/// Returns whether a closing delimiter stands here, and whether it trims.
fn right_delim(rest: &str) -> Option<bool> {
    if rest.starts_with("}}") {
        return Some(false);
    }
    (rest.starts_with(SPACES) && rest[1..].starts_with("-}}")).then_some(true)
}
