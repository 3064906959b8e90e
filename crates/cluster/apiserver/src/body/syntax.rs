//! What is wrong with a text that is no JSON, in the words of the reader that Kubernetes
//! uses: the first byte that does not fit, and where it stands.

use std::str::Chars;

const ENDS: &str = "unexpected end of JSON input";

/// Returns why a text is no JSON; `None` if it is.
pub(crate) fn problem(bytes: &[u8]) -> Option<String> {
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text.to_owned(),
        // Byte for byte: the reader shows one that is no text by its number.
        Err(_) => bytes.iter().map(|byte| char::from(*byte)).collect(),
    };
    let mut reader = Reader { rest: text.chars(), depth: 0 };
    reader.value().and_then(|()| reader.space().map_or(Ok(()), |found| Err(odd(found, "after top-level value")))).err()
}

/// How deep values nest at most.
const DEEPEST: usize = 10_000;

struct Reader<'a> {
    rest: Chars<'a>,
    depth: usize,
}

fn odd(found: char, place: &str) -> String {
    let shown = match found {
        '\'' => "\\'".to_owned(),
        '"' => "\"".to_owned(),
        '\n' => "\\n".to_owned(),
        '\r' => "\\r".to_owned(),
        '\t' => "\\t".to_owned(),
        '\\' => "\\\\".to_owned(),
        c if (c as u32) < 0x20 || c as u32 == 0x7f => format!("\\x{:02x}", c as u32),
        c if (0x80..0xa0).contains(&(c as u32)) => format!("\\u{:04x}", c as u32),
        c => c.to_string(),
    };
    format!("invalid character '{shown}' {place}")
}

impl Reader<'_> {
    /// Skips space and returns what comes then, without taking it.
    fn space(&mut self) -> Option<char> {
        loop {
            let next = self.rest.clone().next()?;
            if !matches!(next, ' ' | '\t' | '\r' | '\n') {
                return Some(next);
            }
            self.rest.next();
        }
    }

    fn take(&mut self) -> Result<char, String> {
        self.rest.next().ok_or_else(|| ENDS.to_owned())
    }

    fn value(&mut self) -> Result<(), String> {
        let first = self.space().ok_or_else(|| ENDS.to_owned())?;
        self.rest.next();
        match first {
            '{' => self.nested(Self::object),
            '[' => self.nested(Self::array),
            '"' => self.string(),
            '-' => match self.take()? {
                digit @ '0'..='9' => self.number(digit),
                other => Err(odd(other, "in numeric literal")),
            },
            digit @ '0'..='9' => self.number(digit),
            't' => self.literal("true"),
            'f' => self.literal("false"),
            'n' => self.literal("null"),
            other => Err(odd(other, "looking for beginning of value")),
        }
    }

    fn nested(&mut self, inner: fn(&mut Self) -> Result<(), String>) -> Result<(), String> {
        self.depth += 1;
        if self.depth > DEEPEST {
            return Err("exceeded max depth".to_owned());
        }
        // Deep texts were refused by the parser before; this only words why a text is none.
        if self.depth > 256 {
            return Ok(());
        }
        inner(self)?;
        self.depth -= 1;
        Ok(())
    }

    fn object(&mut self) -> Result<(), String> {
        if self.space() == Some('}') {
            self.rest.next();
            return Ok(());
        }
        loop {
            match self.space().ok_or_else(|| ENDS.to_owned())? {
                '"' => drop(self.rest.next()),
                other => return Err(odd(other, "looking for beginning of object key string")),
            }
            self.string()?;
            match self.space().ok_or_else(|| ENDS.to_owned())? {
                ':' => drop(self.rest.next()),
                other => return Err(odd(other, "after object key")),
            }
            self.value()?;
            match self.space().ok_or_else(|| ENDS.to_owned())? {
                ',' => drop(self.rest.next()),
                '}' => return self.take().map(drop),
                other => return Err(odd(other, "after object key:value pair")),
            }
        }
    }

    fn array(&mut self) -> Result<(), String> {
        if self.space() == Some(']') {
            self.rest.next();
            return Ok(());
        }
        loop {
            self.value()?;
            match self.space().ok_or_else(|| ENDS.to_owned())? {
                ',' => drop(self.rest.next()),
                ']' => return self.take().map(drop),
                other => return Err(odd(other, "after array element")),
            }
        }
    }

    fn string(&mut self) -> Result<(), String> {
        loop {
            match self.take()? {
                '"' => return Ok(()),
                '\\' => match self.take()? {
                    'b' | 'f' | 'n' | 'r' | 't' | '\\' | '/' | '"' => {}
                    'u' => {
                        for _ in 0..4 {
                            let next = self.take()?;
                            if !next.is_ascii_hexdigit() {
                                return Err(odd(next, "in \\u hexadecimal character escape"));
                            }
                        }
                    }
                    other => return Err(odd(other, "in string escape code")),
                },
                control if (control as u32) < 0x20 => return Err(odd(control, "in string literal")),
                _ => {}
            }
        }
    }

    fn digits(&mut self) {
        while self.rest.clone().next().is_some_and(|next| next.is_ascii_digit()) {
            self.rest.next();
        }
    }

    fn number(&mut self, first: char) -> Result<(), String> {
        if first != '0' {
            self.digits();
        }
        if self.rest.clone().next() == Some('.') {
            self.rest.next();
            match self.take()? {
                '0'..='9' => self.digits(),
                other => return Err(odd(other, "after decimal point in numeric literal")),
            }
        }
        if matches!(self.rest.clone().next(), Some('e' | 'E')) {
            self.rest.next();
            let next = self.take()?;
            let next = if matches!(next, '+' | '-') { self.take()? } else { next };
            if !next.is_ascii_digit() {
                return Err(odd(next, "in exponent of numeric literal"));
            }
            self.digits();
        }
        Ok(())
    }

    fn literal(&mut self, word: &str) -> Result<(), String> {
        for wanted in word.chars().skip(1) {
            let found = self.take()?;
            if found != wanted {
                return Err(odd(found, &format!("in literal {word} (expecting '{wanted}')")));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_text_is_refused_in_the_words_of_kubernetes_reader() {
        for (text, why) in [
            ("", ENDS),
            ("{", ENDS),
            ("{\"a\": [1, \"x", ENDS),
            ("{}{}", "invalid character '{' after top-level value"),
            ("{\"a\": 1,}", "invalid character '}' looking for beginning of object key string"),
            ("{\"a\" 1}", "invalid character '1' after object key"),
            ("{\"a\": 1 2}", "invalid character '2' after object key:value pair"),
            ("[1 2]", "invalid character '2' after array element"),
            ("\u{0}", "invalid character '\\x00' looking for beginning of value"),
            ("'a'", "invalid character '\\'' looking for beginning of value"),
            ("nul!", "invalid character '!' in literal null (expecting 'l')"),
            ("-x", "invalid character 'x' in numeric literal"),
            ("1.x", "invalid character 'x' after decimal point in numeric literal"),
            ("1e+x", "invalid character 'x' in exponent of numeric literal"),
            ("\"\\x\"", "invalid character 'x' in string escape code"),
            ("\"a\nb\"", "invalid character '\\n' in string literal"),
        ] {
            assert_eq!(problem(text.as_bytes()).as_deref(), Some(why), "{text:?}");
        }
        assert_eq!(problem(&[0x9e]).as_deref(), Some("invalid character '\\u009e' looking for beginning of value"));
    }

    proptest! {
        #[test]
        fn what_the_parser_takes_has_no_problem(text in "[\\[\\]{}\",:0-9a-z .eE+-]{0,24}") {
            let taken = serde_json::from_str::<serde::de::IgnoredAny>(&text).is_ok();
            prop_assert_eq!(problem(text.as_bytes()).is_none(), taken, "{}", text);
        }
    }
}
