//! Text: cutting, case, padding, regular expressions, paths.

use regex::Regex;

use super::regexes::regex;
use super::{case, int, strval, text};
use crate::{Value, gofmt::quote, template::Funcs, value::Elem};

pub(super) fn add(funcs: &mut Funcs) {
    macro_rules! simple {
        ($($name:literal $params:literal $call:expr;)*) => {
            $(funcs.add($name, $params, |args| { let call: fn(&[Value]) -> String = $call; Ok(Value::str(call(args))) });)*
        };
    }
    macro_rules! test {
        ($($name:literal $call:expr;)*) => {
            $(funcs.add($name, "ss", |args| { let call: fn(&str, &str) -> bool = $call; Ok(Value::Bool(call(text(&args[0]), text(&args[1])))) });)*
        };
    }
    simple! {
        "trim" "s" |a| text(&a[0]).trim().to_owned();
        "upper" "s" |a| text(&a[0]).chars().map(case::upper).collect();
        "lower" "s" |a| text(&a[0]).chars().map(case::lower).collect();
        "title" "s" |a| case::title(text(&a[0]));
        "untitle" "s" |a| case::untitle(text(&a[0]));
        "trimall" "ss" |a| trim_all(&a[0], &a[1]);
        "trimAll" "ss" |a| trim_all(&a[0], &a[1]);
        "trimSuffix" "ss" |a| text(&a[1]).strip_suffix(text(&a[0])).unwrap_or(text(&a[1])).to_owned();
        "trimPrefix" "ss" |a| text(&a[1]).strip_prefix(text(&a[0])).unwrap_or(text(&a[1])).to_owned();
        "nospace" "s" |a| text(&a[0]).chars().filter(|c| !c.is_whitespace()).collect();
        "initials" "s" |a| text(&a[0]).split_whitespace().filter_map(|word| word.chars().next()).collect();
        "swapcase" "s" |a| case::swapped(text(&a[0]));
        "snakecase" "s" |a| case::joined(text(&a[0]), '_');
        "kebabcase" "s" |a| case::joined(text(&a[0]), '-');
        "camelcase" "s" |a| case::pascal(text(&a[0]));
        "quote" "a*" |a| a.iter().filter(|v| !v.is_nil()).map(|v| quote(&strval(v))).collect::<Vec<_>>().join(" ");
        "squote" "a*" |a| a.iter().filter(|v| !v.is_nil()).map(|v| format!("'{}'", strval(v))).collect::<Vec<_>>().join(" ");
        "cat" "a*" |a| a.iter().filter(|v| !v.is_nil()).map(strval).collect::<Vec<_>>().join(" ");
        "replace" "sss" |a| text(&a[2]).replace(text(&a[0]), text(&a[1]));
        "plural" "ssi" |a| text(&a[usize::from(int(&a[2]) != 1)]).to_owned();
        "toString" "a" |a| strval(&a[0]);
        "trunc" "is" |a| trunc(int(&a[0]), text(&a[1]));
        "abbrev" "is" |a| abbrev(0, int(&a[0]), text(&a[1]));
        "abbrevboth" "iis" |a| abbrev(int(&a[0]), int(&a[1]), text(&a[2]));
        "wrap" "is" |a| wrap(text(&a[1]), int(&a[0]), "\n", false);
        "wrapWith" "iss" |a| wrap(text(&a[2]), int(&a[0]), text(&a[1]), true);
        "join" "sa" |a| strings_of(&a[1]).join(text(&a[0]));
        "base" "s" |a| base(text(&a[0]));
        "dir" "s" |a| dir(text(&a[0]));
        "clean" "s" |a| clean(text(&a[0]));
        "ext" "s" |a| ext(text(&a[0]));
        "osBase" "s" |a| base(text(&a[0]));
        "osDir" "s" |a| dir(text(&a[0]));
        "osClean" "s" |a| clean(text(&a[0]));
        "osExt" "s" |a| ext(text(&a[0]));
        "regexQuoteMeta" "s" |a| quote_meta(text(&a[0]));
        "getHostByName" "s" |_| String::new();
    }
    test! {
        "contains" |part, whole| whole.contains(part);
        "hasPrefix" |part, whole| whole.starts_with(part);
        "hasSuffix" |part, whole| whole.ends_with(part);
    }
    funcs.add("isAbs", "s", |a| Ok(Value::Bool(text(&a[0]).starts_with('/'))));
    funcs.add("osIsAbs", "s", |a| Ok(Value::Bool(text(&a[0]).starts_with('/'))));
    funcs.add("indent", "is", |a| indent(int(&a[0]), text(&a[1])).map(Value::str));
    funcs.add("nindent", "is", |a| Ok(Value::str(format!("\n{}", indent(int(&a[0]), text(&a[1]))?))));
    funcs.add("repeat", "is", |a| match usize::try_from(int(&a[0])) {
        Err(_) => Err("strings: negative Repeat count".to_owned()),
        Ok(count) if count.saturating_mul(text(&a[1]).len()) > 16 << 20 => {
            Err("repeat makes more than 16 MiB".to_owned())
        }
        Ok(count) => Ok(Value::str(text(&a[1]).repeat(count))),
    });
    funcs.add("substr", "iis", substr);
    funcs.add("split", "ss", |a| Ok(numbered(split(text(&a[1]), text(&a[0]), -1))));
    funcs.add("splitn", "sis", |a| Ok(numbered(split(text(&a[2]), text(&a[0]), int(&a[1])))));
    funcs.add("splitList", "ss", |a| Ok(Value::strings(split(text(&a[1]), text(&a[0]), -1))));
    funcs.add("toStrings", "a", |a| Ok(Value::strings(strings_of(&a[0]))));
    funcs.add("sortAlpha", "a", |a| {
        if a[0].items().is_none() {
            return Ok(Value::strings([strval(&a[0])]));
        }
        let mut items = strings_of(&a[0]);
        items.sort();
        Ok(Value::strings(items))
    });
    add_regexes(funcs);
}

fn add_regexes(funcs: &mut Funcs) {
    funcs.add("regexMatch", "ss", |a| Ok(Value::Bool(regex(&a[0]).is_ok_and(|regex| regex.is_match(text(&a[1]))))));
    funcs.add("mustRegexMatch", "ss", |a| Ok(Value::Bool(regex(&a[0])?.is_match(text(&a[1])))));
    for name in ["regexFind", "mustRegexFind"] {
        funcs.add(name, "ss", |a| Ok(Value::str(regex(&a[0])?.find(text(&a[1])).map_or("", |found| found.as_str()))));
    }
    for name in ["regexFindAll", "mustRegexFindAll"] {
        funcs.add(name, "ssi", |a| {
            let most = usize::try_from(int(&a[2])).unwrap_or(usize::MAX);
            Ok(Value::strings(regex(&a[0])?.find_iter(text(&a[1])).take(most).map(|found| found.as_str())))
        });
    }
    for name in ["regexReplaceAll", "mustRegexReplaceAll"] {
        funcs.add(name, "sss", |a| Ok(Value::str(regex(&a[0])?.replace_all(text(&a[1]), text(&a[2])))));
    }
    for name in ["regexReplaceAllLiteral", "mustRegexReplaceAllLiteral"] {
        funcs
            .add(name, "sss", |a| Ok(Value::str(regex(&a[0])?.replace_all(text(&a[1]), regex::NoExpand(text(&a[2]))))));
    }
    for name in ["regexSplit", "mustRegexSplit"] {
        funcs.add(name, "ssi", |a| {
            let (regex, whole) = (regex(&a[0])?, text(&a[1]));
            Ok(Value::strings(match usize::try_from(int(&a[2])) {
                Err(_) => regex_split(&regex, whole, usize::MAX),
                Ok(most) => regex_split(&regex, whole, most),
            }))
        });
    }
}

fn regex_split(regex: &Regex, whole: &str, most: usize) -> Vec<String> {
    if most == 0 {
        return Vec::new();
    }
    let mut parts = Vec::new();
    let (mut start, mut end) = (0, 0);
    for found in regex.find_iter(whole) {
        if parts.len() + 1 == most {
            break;
        }
        end = found.start();
        if found.end() != 0 {
            parts.push(whole[start..end].to_owned());
        }
        start = found.end();
    }
    if end != whole.len() {
        parts.push(whole[start..].to_owned());
    }
    parts
}

fn quote_meta(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if "\\.+*?()|[]{}^$".contains(c) {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

/// Sprig's `strslice`.
pub(super) fn strings_of(value: &Value) -> Vec<String> {
    match value.items() {
        Some(items) => items.iter().filter(|item| !item.is_nil()).map(strval).collect(),
        None if value.is_nil() => Vec::new(),
        None => vec![strval(value)],
    }
}

fn split(whole: &str, separator: &str, most: i64) -> Vec<String> {
    if most == 0 {
        return Vec::new();
    }
    let most = usize::try_from(most).unwrap_or(usize::MAX);
    if separator.is_empty() {
        let chars: Vec<char> = whole.chars().collect();
        if chars.len() <= most {
            return chars.into_iter().map(String::from).collect();
        }
        let mut parts: Vec<String> = chars[..most - 1].iter().map(|c| String::from(*c)).collect();
        parts.push(chars[most - 1..].iter().collect());
        return parts;
    }
    whole.splitn(most, separator).map(str::to_owned).collect()
}

fn numbered(parts: Vec<String>) -> Value {
    let entries = parts.into_iter().enumerate().map(|(index, part)| (format!("_{index}").into(), Value::str(part)));
    Value::Map(std::rc::Rc::new(std::cell::RefCell::new(entries.collect())), Elem::Str)
}

fn trim_all(cut: &Value, whole: &Value) -> String {
    let cut = text(cut);
    text(whole).trim_matches(|c| cut.contains(c)).to_owned()
}

fn indent(spaces: i64, text: &str) -> Result<String, String> {
    let spaces = usize::try_from(spaces).map_err(|_negative| "strings: negative Repeat count")?;
    let lines = text.matches('\n').count() + 1;
    if spaces.saturating_mul(lines) > 16 << 20 {
        return Err("indent makes more than 16 MiB".to_owned());
    }
    let pad = " ".repeat(spaces);
    Ok(format!("{pad}{}", text.replace('\n', &format!("\n{pad}"))))
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn trunc(count: i64, text: &str) -> String {
    let bytes = text.as_bytes();
    let magnitude = usize::try_from(count.unsigned_abs()).unwrap_or(usize::MAX);
    if magnitude >= bytes.len() {
        return text.to_owned();
    }
    if count < 0 { lossy(&bytes[bytes.len() - magnitude..]) } else { lossy(&bytes[..magnitude]) }
}

fn substr(args: &[Value]) -> Result<Value, String> {
    let (start, end, bytes) = (int(&args[0]), int(&args[1]), text(&args[2]).as_bytes());
    let len = bytes.len() as i64;
    let (from, to) = if start < 0 { (0, end) } else { (start, if end < 0 || end > len { len } else { end }) };
    if from > to || to > len || to < 0 {
        return Err(format!("runtime error: slice bounds out of range [{from}:{to}]"));
    }
    Ok(Value::str(lossy(&bytes[from as usize..to as usize])))
}

fn abbrev(left: i64, right: i64, text: &str) -> String {
    let len = text.len() as i64;
    if right < 4 || (left > 0 && right < 7) || text.is_empty() || right >= len {
        return text.to_owned();
    }
    let bytes = text.as_bytes();
    let offset = left.min(len);
    let offset = if len - offset < right - 3 { len - (right - 3) } else { offset };
    if offset <= 4 {
        return format!("{}...", lossy(&bytes[..(right - 3) as usize]));
    }
    if offset + right - 3 < len {
        return format!("...{}", abbrev(0, right - 3, &lossy(&bytes[offset as usize..])));
    }
    format!("...{}", lossy(&bytes[(len - (right - 3)) as usize..]))
}

/// goutils' `WrapCustom`.
fn wrap(text: &str, width: i64, newline: &str, break_long: bool) -> String {
    let width = usize::try_from(width).unwrap_or(1).max(1);
    let newline = if newline.is_empty() { "\n" } else { newline };
    let chars: Vec<char> = text.chars().collect();
    let mut out = String::new();
    let mut offset = 0;
    while offset < chars.len() && chars.len() - offset > width {
        if chars[offset] == ' ' {
            offset += 1;
            continue;
        }
        let space = (offset..=(offset + width).min(chars.len() - 1)).rev().find(|&at| chars[at] == ' ');
        match space {
            Some(at) if at >= offset => {
                out.extend(&chars[offset..at]);
                out.push_str(newline);
                offset = at + 1;
            }
            _ if break_long => {
                out.extend(&chars[offset..offset + width]);
                out.push_str(newline);
                offset += width;
            }
            _ => match (offset + width..chars.len()).find(|&at| chars[at] == ' ') {
                Some(at) => {
                    out.extend(&chars[offset..at]);
                    out.push_str(newline);
                    offset = at + 1;
                }
                None => {
                    out.extend(&chars[offset..]);
                    offset = chars.len();
                }
            },
        }
    }
    out.extend(&chars[offset.min(chars.len())..]);
    out
}

/// `path.Clean`: a path without `.`, `..` and repeated slashes.
pub fn clean(path: &str) -> String {
    let rooted = path.starts_with('/');
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => {
                parts.pop();
            }
            ".." if rooted => {}
            part => parts.push(part),
        }
    }
    let joined = parts.join("/");
    match (rooted, joined.is_empty()) {
        (true, _) => format!("/{joined}"),
        (false, true) => ".".to_owned(),
        (false, false) => joined,
    }
}

/// `path.Base`.
pub fn base(path: &str) -> String {
    if path.is_empty() {
        return ".".to_owned();
    }
    let trimmed = path.trim_end_matches('/');
    if trimmed.is_empty() {
        return "/".to_owned();
    }
    trimmed.rsplit('/').next().unwrap_or(trimmed).to_owned()
}

fn dir(path: &str) -> String {
    clean(path.rfind('/').map_or("", |at| &path[..=at]))
}

fn ext(path: &str) -> String {
    let last = path.rsplit('/').next().unwrap_or(path);
    last.rfind('.').map_or(String::new(), |at| last[at..].to_owned())
}
