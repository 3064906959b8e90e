//! Reads label selectors word by word, as Kubernetes does, and refuses them in its words.

use super::{Error, Requirement};
use crate::names;

const OPERATORS: &str = "in, notin, =, ==, !=, gt, lt";

/// A word of a selector.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Token {
    End,
    /// A sign or a name; an operator of letters is one too where a key or value may stand.
    Word(String),
    Sign(&'static str),
    /// Signs that mean nothing together.
    Odd(String),
}

impl Token {
    fn text(&self) -> &str {
        match self {
            Token::End => "",
            Token::Word(text) | Token::Odd(text) => text,
            Token::Sign(text) => text,
        }
    }
}

const SIGNS: &[&str] = &[")", ",", "!", "==", "=", ">", "(", "!=", "<"];

fn tokens(text: &str) -> Vec<Token> {
    let is_sign = |c: char| "=!(),><".contains(c);
    let is_space = |c: char| matches!(c, ' ' | '\t' | '\r' | '\n');
    let (mut found, mut rest) = (Vec::new(), text);
    loop {
        rest = rest.trim_start_matches(is_space);
        let Some(first) = rest.chars().next() else { break };
        if !is_sign(first) {
            let end = rest.find(|c| is_sign(c) || is_space(c)).unwrap_or(rest.len());
            found.push(Token::Word(rest[..end].to_owned()));
            rest = &rest[end..];
            continue;
        }
        let sign = SIGNS.iter().filter(|sign| rest.starts_with(**sign)).max_by_key(|sign| sign.len());
        match sign {
            Some(sign) => {
                found.push(Token::Sign(sign));
                rest = &rest[sign.len()..];
            }
            None => {
                found.push(Token::Odd(first.to_string()));
                rest = &rest[first.len_utf8()..];
            }
        }
    }
    found
}

struct Reader {
    tokens: std::vec::IntoIter<Token>,
}

/// Reads a selector.
pub(super) fn read(text: &str) -> Result<Vec<Requirement>, Error> {
    let mut reader = Reader { tokens: tokens(text).into_iter() };
    let mut all = Vec::new();
    loop {
        match reader.peek() {
            Token::End => return Ok(all),
            Token::Word(_) | Token::Sign("!") => {
                let one = reader.requirement();
                all.push(one.map_err(|why| Error(format!("unable to parse requirement: {why}")))?);
            }
            other => {
                let why = format!("found '{}', expected: !, identifier, or 'end of string'", other.text());
                return Err(Error(why));
            }
        }
        match reader.next() {
            Token::End => return Ok(all),
            Token::Sign(",") => {
                let next = reader.peek();
                if !matches!(next, Token::Word(_) | Token::Sign("!")) {
                    return Err(Error(format!("found '{}', expected: identifier after ','", next.text())));
                }
            }
            other => return Err(Error(format!("found '{}', expected: ',' or 'end of string'", other.text()))),
        }
    }
}

impl Reader {
    fn peek(&self) -> Token {
        self.tokens.as_slice().first().cloned().unwrap_or(Token::End)
    }

    fn next(&mut self) -> Token {
        self.tokens.next().unwrap_or(Token::End)
    }

    fn requirement(&mut self) -> Result<Requirement, String> {
        let absent = self.peek() == Token::Sign("!");
        if absent {
            self.next();
        }
        let key = match self.next() {
            Token::Word(key) => key,
            other => return Err(format!("found '{}', expected: identifier", other.text())),
        };
        let wrong = names::qualified(&key);
        if !wrong.is_empty() {
            return Err(format!("<nil>: Invalid value: {key:?}: {}", wrong.join("; ")));
        }
        if absent {
            return Ok(Requirement::Absent(key));
        }
        if matches!(self.peek(), Token::End | Token::Sign(",")) {
            return Ok(Requirement::Exists(key));
        }
        match self.next() {
            Token::Sign("=" | "==") => Ok(Requirement::In(key.clone(), vec![self.value(&key)?])),
            Token::Sign("!=") => Ok(Requirement::NotIn(key.clone(), vec![self.value(&key)?])),
            Token::Sign(">") => Ok(Requirement::Greater(key, self.number()?)),
            Token::Sign("<") => Ok(Requirement::Less(key, self.number()?)),
            Token::Word(word) if word == "in" => Ok(Requirement::In(key.clone(), self.values(&key)?)),
            Token::Word(word) if word == "notin" => Ok(Requirement::NotIn(key.clone(), self.values(&key)?)),
            other => Err(format!("found '{}', expected: {OPERATORS}", other.text())),
        }
    }

    /// Reads one value; none at all is the empty one.
    fn exact(&mut self) -> Result<String, String> {
        if matches!(self.peek(), Token::End | Token::Sign(",")) {
            return Ok(String::new());
        }
        match self.next() {
            Token::Word(value) => Ok(value),
            other => Err(format!("found '{}', expected: identifier", other.text())),
        }
    }

    fn value(&mut self, key: &str) -> Result<String, String> {
        let value = self.exact()?;
        checked(key, std::slice::from_ref(&value))?;
        Ok(value)
    }

    fn number(&mut self) -> Result<i64, String> {
        let value = self.exact()?;
        value.parse().map_err(|_| {
            format!("values[0]: Invalid value: {value:?}: for 'Gt', 'Lt' operators, the value must be an integer")
        })
    }

    fn values(&mut self, key: &str) -> Result<Vec<String>, String> {
        let open = self.next();
        if open != Token::Sign("(") {
            return Err(format!("found '{}' expected: '('", open.text()));
        }
        let first = self.peek();
        let mut all = match first {
            Token::Word(_) | Token::Sign(",") => self.list()?,
            Token::Sign(")") => vec![String::new()],
            other => return Err(format!("found '{}', expected: ',', ')' or identifier", other.text())),
        };
        let close = self.next();
        if close != Token::Sign(")") {
            return Err(format!("found '{}', expected: ')'", first_text(&all)));
        }
        all.sort();
        all.dedup();
        checked(key, &all)?;
        Ok(all)
    }

    fn list(&mut self) -> Result<Vec<String>, String> {
        let mut all: Vec<String> = Vec::new();
        loop {
            match self.next() {
                Token::Word(value) => {
                    all.push(value);
                    match self.peek() {
                        Token::Sign(",") => {}
                        Token::Sign(")") => return Ok(all),
                        other => return Err(format!("found '{}', expected: ',' or ')'", other.text())),
                    }
                }
                Token::Sign(",") => {
                    if all.is_empty() {
                        all.push(String::new());
                    }
                    match self.peek() {
                        Token::Sign(")") => {
                            all.push(String::new());
                            return Ok(all);
                        }
                        Token::Sign(",") => {
                            self.next();
                            all.push(String::new());
                        }
                        _ => {}
                    }
                }
                other => return Err(format!("found '{}', expected: ',', or identifier", other.text())),
            }
        }
    }
}

fn first_text(all: &[String]) -> &str {
    all.first().map_or("", String::as_str)
}

fn checked(key: &str, values: &[String]) -> Result<(), String> {
    for (index, value) in values.iter().enumerate() {
        let wrong = names::label_value(value);
        if !wrong.is_empty() {
            return Err(format!("values[{index}][{key}]: Invalid value: {value:?}: {}", wrong.join("; ")));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_makes_no_sense_is_refused_in_kubernetes_words() {
        let said = |why: &str| format!("unable to parse requirement: {why}");
        for (text, why) in [
            ("=", "found '=', expected: !, identifier, or 'end of string'".to_owned()),
            (",", "found ',', expected: !, identifier, or 'end of string'".to_owned()),
            ("a=b=c", "found '=', expected: ',' or 'end of string'".to_owned()),
            ("a,,b", "found ',', expected: identifier after ','".to_owned()),
            ("a b", said("found 'b', expected: in, notin, =, ==, !=, gt, lt")),
            ("a in b", said("found 'b' expected: '('")),
            ("a in (b", said("found '', expected: ',' or ')'")),
            ("!", said("found '', expected: identifier")),
            ("a===b", said("found '=', expected: identifier")),
            ("a>x", said("values[0]: Invalid value: \"x\": for 'Gt', 'Lt' operators, the value must be an integer")),
            ("/a", said("<nil>: Invalid value: \"/a\": prefix part must be non-empty")),
        ] {
            assert_eq!(read(text).unwrap_err().0, why, "{text}");
        }
        for fine in ["", " a = b ", "in", "in in (in)", "a in (,b)", "a in (b,,c)", "a notin ()", "!a,b!=c", "a="] {
            assert!(read(fine).is_ok(), "{fine}");
        }
    }
}
