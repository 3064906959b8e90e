//! `fmt.Sprintf`: verbs, flags, widths, argument indexes, and what it says of verbs that do not fit.

use std::{fmt::Write as _, iter::Peekable, str::Chars};

use super::{float_g, quote, quote_ascii, quote_rune, verb_v};
use crate::value::{Elem, Value};

#[derive(Clone, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of a verb")]
struct Flags {
    minus: bool,
    plus: bool,
    sharp: bool,
    space: bool,
    zero: bool,
    width: Option<usize>,
    precision: Option<usize>,
}

/// The widest field; Go's own bound.
const WIDEST: usize = 1_000_000;

/// Formats as `fmt.Sprintf`.
pub fn sprintf(format: &str, args: &[Value]) -> String {
    let mut printer = Printer { out: String::new(), args, next: 0, reordered: false, good: true };
    let mut chars = format.chars().peekable();
    while let Some(c) = chars.next() {
        if c == '%' {
            printer.verb(&mut chars);
        } else {
            printer.out.push(c);
        }
    }
    printer.extra();
    printer.out
}

struct Printer<'a> {
    out: String,
    args: &'a [Value],
    next: usize,
    /// An index was used: then nobody counts what is left over.
    reordered: bool,
    /// The last index was one.
    good: bool,
}

impl Printer<'_> {
    fn verb(&mut self, chars: &mut Peekable<Chars<'_>>) {
        let mut flags = Flags::default();
        while let Some(flag) = chars.peek() {
            match flag {
                '-' => (flags.minus, flags.zero) = (true, false),
                '+' => flags.plus = true,
                '#' => flags.sharp = true,
                ' ' => flags.space = true,
                '0' => flags.zero = true,
                _ => break,
            }
            chars.next();
        }
        self.good = true;
        let indexed = self.index(chars);
        if chars.next_if_eq(&'*').is_some() {
            match self.star() {
                Some(width) => {
                    flags.minus |= width < 0;
                    flags.width = usize::try_from(width.unsigned_abs()).ok();
                }
                None => self.out.push_str("%!(BADWIDTH)"),
            }
        } else {
            flags.width = number(chars);
            self.good &= !(indexed && flags.width.is_some());
        }
        if chars.next_if_eq(&'.').is_some() {
            let indexed = self.index(chars);
            if chars.next_if_eq(&'*').is_some() {
                flags.precision = match self.star() {
                    Some(precision) => usize::try_from(precision).ok(),
                    None => {
                        self.out.push_str("%!(BADPREC)");
                        None
                    }
                };
            } else {
                let precision = number(chars);
                self.good &= !(indexed && precision.is_some());
                flags.precision = Some(precision.unwrap_or(0));
            }
        }
        self.index(chars);
        match chars.next() {
            None => self.out.push_str("%!(NOVERB)"),
            Some('%') => self.out.push('%'),
            Some(verb) if !self.good => {
                let _infallible = write!(self.out, "%!{verb}(BADINDEX)");
            }
            Some(verb) => match self.args.get(self.next) {
                Some(arg) => {
                    self.next += 1;
                    one(&mut self.out, verb, &flags, arg);
                }
                None => {
                    let _infallible = write!(self.out, "%!{verb}(MISSING)");
                }
            },
        }
    }

    /// Reads `[n]`, and says whether there was one.
    fn index(&mut self, chars: &mut Peekable<Chars<'_>>) -> bool {
        if chars.peek() != Some(&'[') {
            return false;
        }
        self.reordered = true;
        let inside: Option<String> = {
            let mut ahead = chars.clone();
            ahead.next();
            let text: String = ahead.by_ref().take_while(|c| *c != ']').collect();
            let closed = chars.clone().any(|c| c == ']');
            closed.then(|| {
                *chars = ahead;
                text
            })
        };
        let wanted = inside.and_then(|text| text.parse::<usize>().ok());
        match wanted {
            Some(wanted) if (1..=self.args.len()).contains(&wanted) => self.next = wanted - 1,
            _ => self.good = false,
        }
        true
    }

    fn star(&mut self) -> Option<i64> {
        let given = self.args.get(self.next);
        self.next += 1;
        match given {
            Some(Value::Int(value) | Value::Int64(value)) if value.unsigned_abs() <= WIDEST as u64 => Some(*value),
            _ => None,
        }
    }

    fn extra(&mut self) {
        if self.reordered || self.next >= self.args.len() {
            return;
        }
        self.out.push_str("%!(EXTRA ");
        for (index, arg) in self.args[self.next..].iter().enumerate() {
            if index > 0 {
                self.out.push_str(", ");
            }
            if arg.is_nil() {
                self.out.push_str("<nil>");
            } else {
                let _infallible = write!(self.out, "{}={}", arg.type_name(), verb_v(arg));
            }
        }
        self.out.push(')');
    }
}

fn number(chars: &mut Peekable<Chars<'_>>) -> Option<usize> {
    let mut value = None;
    while let Some(digit) = chars.peek().and_then(|c| c.to_digit(10)) {
        value = Some(value.unwrap_or(0_usize).saturating_mul(10).saturating_add(digit as usize).min(WIDEST));
        chars.next();
    }
    value
}

fn one(out: &mut String, verb: char, flags: &Flags, arg: &Value) {
    match (verb, arg) {
        ('T', _) => pad(out, arg.type_name(), flags),
        ('v', _) if flags.sharp => pad(out, &syntax(arg), flags),
        ('v', Value::Nil) => pad(out, "<nil>", flags),
        (_, Value::Nil) => {
            let _infallible = write!(out, "%!{verb}(<nil>)");
        }
        ('s' | 'q' | 'x' | 'X', Value::List(_, Elem::Byte)) => {
            text(out, verb, flags, &crate::sprig::bytes_text(arg), arg);
        }
        (_, Value::List(items, _)) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(' ');
                }
                within(out, verb, flags, item);
            }
            out.push(']');
        }
        (_, Value::Map(entries, _)) => {
            out.push_str("map[");
            for (index, (key, item)) in entries.borrow().iter().enumerate() {
                if index > 0 {
                    out.push(' ');
                }
                one(out, verb, flags, &Value::Str(key.clone()));
                out.push(':');
                within(out, verb, flags, item);
            }
            out.push(']');
        }
        (_, Value::Bool(value)) if matches!(verb, 't' | 'v') => pad(out, if *value { "true" } else { "false" }, flags),
        (_, Value::Int(value) | Value::Int64(value)) => int(out, verb, flags, *value, arg),
        (_, Value::Float(value)) => float(out, verb, flags, *value, arg),
        (_, Value::Str(value)) => text(out, verb, flags, value, arg),
        (_, Value::Object(object)) => text(out, verb, flags, &object.text(), arg),
        _ => misfit(out, verb, arg),
    }
}

/// Formats what a list or map holds: nothing is shown as such, whatever the verb.
fn within(out: &mut String, verb: char, flags: &Flags, arg: &Value) {
    if arg.is_nil() { out.push_str("<nil>") } else { one(out, verb, flags, arg) }
}

fn misfit(out: &mut String, verb: char, arg: &Value) {
    let _infallible = write!(out, "%!{verb}({}={})", arg.type_name(), verb_v(arg));
}

/// `%#v`: the value as Go would have it in its source.
fn syntax(value: &Value) -> String {
    match value {
        Value::Nil => "<nil>".to_owned(),
        Value::Str(text) => quote(text),
        Value::List(items, elem) => {
            let shown: Vec<String> = items.iter().map(|item| inner_syntax(item, *elem)).collect();
            format!("{}{{{}}}", value.type_name(), shown.join(", "))
        }
        Value::Map(entries, elem) => {
            let entries = entries.borrow();
            let shown = entries.iter().map(|(key, item)| format!("{}:{}", quote(key), inner_syntax(item, *elem)));
            format!("{}{{{}}}", value.type_name(), shown.collect::<Vec<_>>().join(", "))
        }
        Value::Float(value) => {
            let shown = float_g(*value);
            // Go's syntax has six digits before it turns to exponents too.
            shown
        }
        other => verb_v(other),
    }
}

fn inner_syntax(value: &Value, elem: Elem) -> String {
    match (value, elem) {
        (Value::Nil, _) => "interface {}(nil)".to_owned(),
        (Value::Int(byte), Elem::Byte) => format!("0x{byte:x}"),
        (other, _) => syntax(other),
    }
}

fn text(out: &mut String, verb: char, flags: &Flags, whole: &str, arg: &Value) {
    let cut = || match flags.precision {
        Some(most) => whole.chars().take(most).collect(),
        None => whole.to_owned(),
    };
    match verb {
        's' | 'v' => pad(out, &cut(), flags),
        'q' => {
            let whole: String = cut();
            let raw = flags.sharp && !whole.contains('`') && !whole.chars().any(|c| c.is_control() && c != '\t');
            let shown = match (raw, flags.plus) {
                (true, _) => format!("`{whole}`"),
                (false, true) => quote_ascii(&whole),
                (false, false) => quote(&whole),
            };
            pad(out, &shown, flags);
        }
        'x' | 'X' => {
            let bytes = whole.as_bytes();
            let bytes = &bytes[..flags.precision.unwrap_or(bytes.len()).min(bytes.len())];
            let prefix = if flags.sharp && !bytes.is_empty() { "0x" } else { "" };
            let between = if flags.space { format!(" {prefix}") } else { String::new() };
            let shown: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            let shown = format!("{prefix}{}", shown.join(&between));
            pad(out, &if verb == 'X' { shown.to_uppercase() } else { shown }, flags);
        }
        _ => misfit(out, verb, arg),
    }
}

fn int(out: &mut String, verb: char, flags: &Flags, value: i64, arg: &Value) {
    let magnitude = value.unsigned_abs();
    let (digits, prefix) = match verb {
        'd' | 'v' => (magnitude.to_string(), ""),
        'b' => (format!("{magnitude:b}"), if flags.sharp { "0b" } else { "" }),
        'o' => (format!("{magnitude:o}"), if flags.sharp { "0" } else { "" }),
        'O' => (format!("{magnitude:o}"), "0o"),
        'x' => (format!("{magnitude:x}"), if flags.sharp { "0x" } else { "" }),
        'X' => (format!("{magnitude:X}"), if flags.sharp { "0X" } else { "" }),
        'c' | 'q' => {
            let c = u32::try_from(value).ok().and_then(char::from_u32).unwrap_or('\u{fffd}');
            return pad(out, &if verb == 'c' { c.to_string() } else { quote_rune(c, flags.plus) }, flags);
        }
        'U' => {
            let shown =
                char::from_u32(u32::try_from(value).unwrap_or(u32::MAX)).filter(|c| flags.sharp && !c.is_control());
            let shown = shown.map(|c| format!(" '{c}'")).unwrap_or_default();
            return pad(out, &format!("U+{value:04X}{shown}"), flags);
        }
        _ => return misfit(out, verb, arg),
    };
    let digits = match flags.precision {
        Some(0) if value == 0 => String::new(),
        Some(least) => format!("{digits:0>least$}"),
        None => digits,
    };
    // A precision decides how many zeros there are; without one a zero flag fills the width.
    let sign = if value < 0 {
        "-"
    } else if flags.plus {
        "+"
    } else if flags.space {
        " "
    } else {
        ""
    };
    filled(out, &format!("{sign}{prefix}"), &digits, flags, flags.precision.is_none());
}

fn float(out: &mut String, verb: char, flags: &Flags, value: f64, arg: &Value) {
    let magnitude = value.abs();
    let precision = flags.precision;
    let body = match verb {
        _ if !value.is_finite() => if value.is_nan() { "NaN" } else { "Inf" }.to_owned(),
        'f' | 'F' => format!("{magnitude:.*}", precision.unwrap_or(6)),
        'e' | 'E' => exponent(&format!("{magnitude:.*e}", precision.unwrap_or(6))),
        'g' | 'G' | 'v' => match precision {
            None => float_g(magnitude),
            Some(digits) => general(magnitude, digits.max(1), flags.sharp),
        },
        'x' | 'X' => hexadecimal(magnitude),
        _ => return misfit(out, verb, arg),
    };
    let body = if matches!(verb, 'E' | 'G' | 'X') { body.to_uppercase() } else { body };
    let sign = if value.is_sign_negative() && !value.is_nan() {
        "-"
    } else if flags.plus || value.is_infinite() && verb == 'v' {
        "+"
    } else if flags.space {
        " "
    } else {
        ""
    };
    filled(out, sign, &body, flags, value.is_finite());
}

fn exponent(shown: &str) -> String {
    let (mantissa, exponent) = shown.split_once('e').unwrap_or((shown, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{mantissa}e{sign}{:02}", exponent.abs())
}

/// `%.3g`: so many significant digits, in the shorter of both forms.
fn general(value: f64, digits: usize, keep_zeros: bool) -> String {
    let shown = format!("{value:.*e}", digits - 1);
    let (mantissa, power) = shown.split_once('e').unwrap_or((&shown, "0"));
    let power: i32 = power.parse().unwrap_or(0);
    let trim = |text: String| {
        let trimmed = text.contains('.') && !keep_zeros;
        if trimmed { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
    };
    let most = i32::try_from(digits).unwrap_or(i32::MAX);
    if power < -4 || power >= most {
        return exponent(&format!("{}e{power}", trim(mantissa.to_owned())));
    }
    trim(format!("{value:.*}", usize::try_from(most - 1 - power).unwrap_or(0)))
}

/// `%x` of a float: `0x1.8p+01`.
fn hexadecimal(value: f64) -> String {
    if value == 0.0 {
        return "0x0p+00".to_owned();
    }
    let bits = value.to_bits();
    let (mut power, mut fraction) = (((bits >> 52) & 0x7ff) as i32 - 1023, bits & ((1 << 52) - 1));
    if power == -1023 {
        // A subnormal number is normalized first.
        let shift = fraction.leading_zeros() - 11;
        fraction = (fraction << shift) & ((1 << 52) - 1);
        power = -1022 - i32::try_from(shift).unwrap_or(0);
    }
    let digits = format!("{fraction:013x}");
    let digits = digits.trim_end_matches('0');
    let point = if digits.is_empty() { "" } else { "." };
    let sign = if power < 0 { '-' } else { '+' };
    format!("0x1{point}{digits}p{sign}{:02}", power.abs())
}

fn pad(out: &mut String, text: &str, flags: &Flags) {
    let missing = flags.width.unwrap_or(0).saturating_sub(text.chars().count());
    if flags.minus {
        out.push_str(text);
        out.extend(std::iter::repeat_n(' ', missing));
    } else {
        out.extend(std::iter::repeat_n(if flags.zero { '0' } else { ' ' }, missing));
        out.push_str(text);
    }
}

/// Pads a number: zeros go between its sign and its digits.
fn filled(out: &mut String, sign: &str, digits: &str, flags: &Flags, zeros: bool) {
    let length = sign.len() + digits.chars().count();
    let missing = flags.width.unwrap_or(0).saturating_sub(length);
    if flags.zero && zeros && !flags.minus {
        out.push_str(sign);
        out.extend(std::iter::repeat_n('0', missing));
        out.push_str(digits);
    } else {
        pad(out, &format!("{sign}{digits}"), &Flags { zero: false, ..flags.clone() });
    }
}
