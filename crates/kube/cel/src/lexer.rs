//! Source text to tokens.

use std::sync::Arc;

use crate::error::Issue;

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Token {
    Name(String),
    Int(i64),
    /// `9223372036854775808`, which is an integer after a minus alone.
    Lowest,
    Uint(u64),
    Double(f64),
    Text(Arc<str>),
    Bytes(Arc<[u8]>),
    Sign(&'static str),
    End,
}

impl Token {
    pub(crate) fn shown(&self) -> String {
        match self {
            Token::Name(name) => name.clone(),
            Token::Int(number) => number.to_string(),
            Token::Lowest => "9223372036854775808".to_owned(),
            Token::Uint(number) => format!("{number}u"),
            Token::Double(number) => number.to_string(),
            Token::Text(text) => format!("{text:?}"),
            Token::Bytes(_) => "b\"\"".to_owned(),
            Token::Sign(sign) => (*sign).to_owned(),
            Token::End => "<EOF>".to_owned(),
        }
    }
}

const SIGNS: [&str; 27] = [
    "==", "!=", "<=", ">=", "&&", "||", "[?", "{?", ".?", "<", ">", "+", "-", "*", "/", "%", "!", "?", ":", ".", ",",
    "(", ")", "[", "]", "{", "}",
];

pub(crate) fn tokens(source: &str) -> Result<Vec<(usize, Token)>, Issue> {
    let mut found = Vec::new();
    let bytes = source.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        let byte = bytes[at];
        if byte.is_ascii_whitespace() {
            at += 1;
        } else if source[at..].starts_with("//") {
            at = source[at..].find('\n').map_or(bytes.len(), |end| at + end);
        } else if let Some((token, end)) = string(source, at)? {
            found.push((at, token));
            at = end;
        } else if byte.is_ascii_alphabetic() || byte == b'_' {
            let end = bytes[at..]
                .iter()
                .position(|byte| !byte.is_ascii_alphanumeric() && *byte != b'_')
                .map_or(bytes.len(), |end| at + end);
            found.push((at, Token::Name(source[at..end].to_owned())));
            at = end;
        } else if byte == b'`' {
            let end = source[at + 1..].find('`').ok_or_else(|| unknown(source, at))? + at + 1;
            found.push((at, Token::Name(source[at + 1..end].to_owned())));
            at = end + 1;
        } else if byte.is_ascii_digit() || (byte == b'.' && bytes.get(at + 1).is_some_and(u8::is_ascii_digit)) {
            let (token, end) = number(source, at)?;
            found.push((at, token));
            at = end;
        } else if let Some(sign) = SIGNS.iter().find(|sign| source[at..].starts_with(**sign)) {
            // `a ?[1] : b` and `{?a: b}` differ from a choice by what stands before the question mark.
            found.push((at, Token::Sign(sign)));
            at += sign.len();
        } else {
            return Err(unknown(source, at));
        }
    }
    found.push((source.len(), Token::End));
    Ok(found)
}

fn unknown(source: &str, at: usize) -> Issue {
    let shown: String = source[at..].chars().take(1).collect();
    Issue::new(at, format!("Syntax error: token recognition error at: '{shown}'"))
}

fn number(source: &str, at: usize) -> Result<(Token, usize), Issue> {
    let bytes = source.as_bytes();
    let bad = |what: &str| Issue::new(at, format!("invalid {what} literal"));
    let hexadecimal = source[at..].strip_prefix("0x").or_else(|| source[at..].strip_prefix("0X"));
    if let Some(digits) = hexadecimal.filter(|digits| digits.starts_with(|c: char| c.is_ascii_hexdigit())) {
        let length = digits.bytes().take_while(u8::is_ascii_hexdigit).count();
        let end = at + 2 + length;
        if matches!(bytes.get(end), Some(b'u' | b'U')) {
            let value = u64::from_str_radix(&digits[..length], 16).map_err(|_| bad("uint"))?;
            return Ok((Token::Uint(value), end + 1));
        }
        let value = i64::from_str_radix(&digits[..length], 16).map_err(|_| bad("int"))?;
        return Ok((Token::Int(value), end));
    }
    let digits = |from: usize| bytes[from..].iter().take_while(|byte| byte.is_ascii_digit()).count() + from;
    let mut end = digits(at);
    let mut double = false;
    if bytes.get(end) == Some(&b'.') && bytes.get(end + 1).is_some_and(u8::is_ascii_digit) {
        end = digits(end + 1);
        double = true;
    }
    if matches!(bytes.get(end), Some(b'e' | b'E')) {
        let sign = usize::from(matches!(bytes.get(end + 1), Some(b'+' | b'-')));
        let after = digits(end + 1 + sign);
        if after > end + 1 + sign {
            end = after;
            double = true;
        }
    }
    let text = &source[at..end];
    if double {
        return Ok((Token::Double(text.parse().map_err(|_| bad("double"))?), end));
    }
    if matches!(bytes.get(end), Some(b'u' | b'U')) {
        return Ok((Token::Uint(text.parse().map_err(|_| bad("uint"))?), end + 1));
    }
    match text.parse::<i64>() {
        Ok(value) => Ok((Token::Int(value), end)),
        Err(_) if text == "9223372036854775808" => Ok((Token::Lowest, end)),
        Err(_) => Err(bad("int")),
    }
}

/// Reads a text or bytes literal, if one begins here.
fn string(source: &str, at: usize) -> Result<Option<(Token, usize)>, Issue> {
    let rest = &source[at..];
    let prefix = rest.bytes().take_while(|byte| matches!(byte, b'r' | b'R' | b'b' | b'B')).count();
    if prefix > 2 {
        return Ok(None);
    }
    let (marks, body) = rest.split_at(prefix);
    let raw = marks.contains(['r', 'R']);
    let binary = marks.contains(['b', 'B']);
    let Some(quote) = ["\"\"\"", "'''", "\"", "'"].into_iter().find(|quote| body.starts_with(quote)) else {
        return Ok(None);
    };
    let unclosed = || unknown(source, at);
    let mut out: Vec<u8> = Vec::new();
    let mut here = at + prefix + quote.len();
    loop {
        let rest = &source[here..];
        if rest.starts_with(quote) {
            here += quote.len();
            break;
        }
        let Some(letter) = rest.chars().next() else { return Err(unclosed()) };
        if quote.len() == 1 && matches!(letter, '\n' | '\r') {
            return Err(unclosed());
        }
        if letter == '\\' && !raw {
            here += escape(source, here, binary, &mut out)?;
        } else {
            out.extend_from_slice(letter.encode_utf8(&mut [0; 4]).as_bytes());
            here += letter.len_utf8();
            if letter == '\\'
                && let Some(next) = source[here..].chars().next()
            {
                out.extend_from_slice(next.encode_utf8(&mut [0; 4]).as_bytes());
                here += next.len_utf8();
            }
        }
    }
    let token = if binary {
        Token::Bytes(out.into())
    } else {
        Token::Text(String::from_utf8(out).map_err(|_| Issue::new(at, "invalid string literal".to_owned()))?.into())
    };
    Ok(Some((token, here)))
}

/// Reads one escape; returns how many bytes of the source it took.
fn escape(source: &str, at: usize, binary: bool, out: &mut Vec<u8>) -> Result<usize, Issue> {
    let bad = || unknown(source, at);
    let rest = &source.as_bytes()[at + 1..];
    let code = |from: usize, length: usize, radix: u32| -> Result<u32, Issue> {
        let digits = rest.get(from..from + length).ok_or_else(bad)?;
        let text = std::str::from_utf8(digits).map_err(|_| bad())?;
        if text.starts_with('+') {
            return Err(bad());
        }
        u32::from_str_radix(text, radix).map_err(|_| bad())
    };
    let mut push = |code: u32| -> Result<(), Issue> {
        if binary && code < 256 {
            out.push(u8::try_from(code).map_err(|_| bad())?);
        } else {
            let letter = char::from_u32(code).ok_or_else(bad)?;
            out.extend_from_slice(letter.encode_utf8(&mut [0; 4]).as_bytes());
        }
        Ok(())
    };
    let simple = |byte: u8| match byte {
        b'a' => Some(7),
        b'b' => Some(8),
        b'f' => Some(12),
        b'n' => Some(10),
        b'r' => Some(13),
        b't' => Some(9),
        b'v' => Some(11),
        b'\\' | b'\'' | b'"' | b'`' | b'?' => Some(u32::from(byte)),
        _ => None,
    };
    let first = *rest.first().ok_or_else(bad)?;
    if let Some(code) = simple(first) {
        push(code)?;
        return Ok(2);
    }
    let (code, taken) = match first {
        b'x' | b'X' => (code(1, 2, 16)?, 4),
        b'u' if !binary => (code(1, 4, 16)?, 6),
        b'U' if !binary => (code(1, 8, 16)?, 10),
        b'0'..=b'3' => (code(0, 3, 8)?, 4),
        _ => return Err(bad()),
    };
    push(code)?;
    Ok(taken)
}
