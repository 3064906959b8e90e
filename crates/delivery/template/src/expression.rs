//! Generated values: `[A-Z0-9]{8}` and its kin, as OpenShift's generator reads them.

use gotmpl::World;

/// Longest run that one expression may ask for; OpenShift's own bound.
const LONGEST: usize = 255;

/// Returns a text that fits an expression: classes (`[a-z]`, `\w`, `\d`, `\a`, `\A`) with counts, and plain text.
pub(crate) fn generate(expression: &str, world: &World) -> Result<String, String> {
    let mut out = String::new();
    let mut rest = expression;
    while !rest.is_empty() {
        match class(rest)? {
            Some((alphabet, after)) => {
                let (count, after) = count(after)?;
                for _ in 0..count {
                    let at = usize::try_from(world.below(alphabet.len() as u64)).unwrap_or(0);
                    out.push(char::from(alphabet[at]));
                }
                rest = after;
            }
            None => {
                let c = rest.chars().next().unwrap_or_default();
                out.push(c);
                rest = &rest[c.len_utf8()..];
            }
        }
    }
    Ok(out)
}

/// Reads a class with a count behind it; one without is plain text.
fn class(text: &str) -> Result<Option<(Vec<u8>, &str)>, String> {
    let (inside, after) = if let Some(rest) = text.strip_prefix('[') {
        let Some((inside, after)) = rest.split_once(']') else { return Ok(None) };
        (inside, after)
    } else if text.starts_with('\\') && text.len() > 1 && text.is_char_boundary(2) {
        (&text[..2], &text[2..])
    } else {
        return Ok(None);
    };
    if !after.starts_with('{') {
        return Ok(None);
    }
    let alphabet = alphabet(inside)?;
    if alphabet.is_empty() {
        return Err(format!("the class {inside:?} is empty"));
    }
    Ok(Some((alphabet, after)))
}

fn count(text: &str) -> Result<(usize, &str), String> {
    let closed = text.strip_prefix('{').and_then(|rest| rest.split_once('}'));
    let read = closed.and_then(|(inside, after)| Some((inside.parse().ok()?, after)));
    match read {
        Some((count, after)) if (1..=LONGEST).contains(&count) => Ok((count, after)),
        Some((count, _)) => Err(format!("range must be within [1-{LONGEST}] characters ({count})")),
        None => Err(format!("malformed range in {text:?}")),
    }
}

fn alphabet(inside: &str) -> Result<Vec<u8>, String> {
    let mut all: Vec<u8> = Vec::new();
    let bytes = inside.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        match &bytes[at..] {
            [b'\\', b'w', ..] => all.extend((b'a'..=b'z').chain(b'A'..=b'Z').chain(b'0'..=b'9').chain([b'_'])),
            [b'\\', b'd', ..] => all.extend(b'0'..=b'9'),
            [b'\\', b'a', ..] => all.extend((b'a'..=b'z').chain(b'A'..=b'Z').chain(b'0'..=b'9')),
            [b'\\', b'A', ..] => all.extend(b"!@#$%^&*()-_=+[]{}\\|;:'\",<.>/?`~"),
            [low, b'-', high, ..] if low <= high && high.is_ascii() => {
                all.extend(*low..=*high);
                at += 3;
                continue;
            }
            [_, b'-', ..] => return Err(format!("invalid range specified in {inside:?}")),
            [byte, ..] if byte.is_ascii() => {
                all.push(*byte);
                at += 1;
                continue;
            }
            _ => return Err(format!("{inside:?} has characters beyond ASCII")),
        }
        at += 2;
    }
    all.sort_unstable();
    all.dedup();
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::generate;
    use gotmpl::World;
    use regex::Regex;

    #[test]
    fn expressions_make_what_they_describe() {
        let world = World::default();
        for (expression, pattern) in [
            ("[A-Z0-9]{8}", "^[A-Z0-9]{8}$"),
            ("user-[a-f]{4}-\\d{3}", "^user-[a-f]{4}-[0-9]{3}$"),
            ("[\\w]{10}", "^\\w{10}$"),
            ("plain", "^plain$"),
            ("[ab]", "^\\[ab\\]$"),
        ] {
            let made = generate(expression, &world).unwrap();
            assert!(Regex::new(pattern).unwrap().is_match(&made), "{expression}: {made}");
        }
        for wrong in ["[a-z]{0}", "[a-z]{256}", "[z-a]{3}", "[a]{x}", "[]{2}", "[é]{2}"] {
            assert!(generate(wrong, &world).is_err(), "{wrong}");
        }
    }
}
