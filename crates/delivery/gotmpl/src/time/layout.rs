//! Layouts: how Go says a form of time, by showing what it makes of Monday, January 2nd 2006, 15:04:05 at -0700.

use std::fmt::Write as _;

use jiff::{
    Zoned,
    civil::DateTime,
    tz::{Offset, TimeZone},
};

use super::{DAYS, MONTHS, Time};
use crate::gofmt::quote;

/// A part of a layout that stands for something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    LongMonth,
    Month,
    NumMonth,
    ZeroMonth,
    LongWeekday,
    Weekday,
    Day,
    SpaceDay,
    ZeroDay,
    SpaceYearDay,
    ZeroYearDay,
    Hour,
    Hour12,
    ZeroHour12,
    Minute,
    ZeroMinute,
    Second,
    ZeroSecond,
    LongYear,
    Year,
    UpperNoon,
    LowerNoon,
    ZoneName,
    /// An offset; `zulu`: UTC is `Z`; `colon`: between the numbers; `fields`: 1 hours, 2 minutes, 3 seconds.
    Offset {
        zulu: bool,
        colon: bool,
        fields: u8,
    },
    /// A fraction of a second with its sign; `trimmed`: without zeros at the end.
    Fraction {
        sign: char,
        digits: usize,
        trimmed: bool,
    },
}

const FIXED: &[(&str, Part)] = &[
    ("January", Part::LongMonth),
    ("Monday", Part::LongWeekday),
    ("MST", Part::ZoneName),
    ("2006", Part::LongYear),
    ("__2", Part::SpaceYearDay),
    ("002", Part::ZeroYearDay),
    ("01", Part::ZeroMonth),
    ("02", Part::ZeroDay),
    ("03", Part::ZeroHour12),
    ("04", Part::ZeroMinute),
    ("05", Part::ZeroSecond),
    ("06", Part::Year),
    ("15", Part::Hour),
    ("PM", Part::UpperNoon),
    ("pm", Part::LowerNoon),
    ("-07:00:00", Part::Offset { zulu: false, colon: true, fields: 3 }),
    ("-070000", Part::Offset { zulu: false, colon: false, fields: 3 }),
    ("-07:00", Part::Offset { zulu: false, colon: true, fields: 2 }),
    ("-0700", Part::Offset { zulu: false, colon: false, fields: 2 }),
    ("-07", Part::Offset { zulu: false, colon: false, fields: 1 }),
    ("Z07:00:00", Part::Offset { zulu: true, colon: true, fields: 3 }),
    ("Z070000", Part::Offset { zulu: true, colon: false, fields: 3 }),
    ("Z07:00", Part::Offset { zulu: true, colon: true, fields: 2 }),
    ("Z0700", Part::Offset { zulu: true, colon: false, fields: 2 }),
    ("Z07", Part::Offset { zulu: true, colon: false, fields: 1 }),
    ("1", Part::NumMonth),
    ("2", Part::Day),
    ("3", Part::Hour12),
    ("4", Part::Minute),
    ("5", Part::Second),
];

/// Returns the part that a layout begins with, and its length.
fn part_at(layout: &str) -> Option<(Part, usize)> {
    let lower_follows = |at: usize| layout.as_bytes().get(at).is_some_and(u8::is_ascii_lowercase);
    if layout.starts_with("_2") {
        // `_2006` is an underscore and a year.
        return (!layout.starts_with("_2006")).then_some((Part::SpaceDay, 2));
    }
    if let Some((text, part)) = FIXED.iter().find(|(text, _)| layout.starts_with(text)) {
        return Some((*part, text.len()));
    }
    if layout.starts_with("Jan") && !lower_follows(3) {
        return Some((Part::Month, 3));
    }
    if layout.starts_with("Mon") && !lower_follows(3) {
        return Some((Part::Weekday, 3));
    }
    let sign = layout.chars().next().filter(|c| matches!(c, '.' | ','))?;
    let kind = layout[1..].chars().next().filter(|c| matches!(c, '0' | '9'))?;
    let digits = layout[1..].chars().take_while(|c| *c == kind).count();
    let more = layout[1 + digits..].starts_with(|c: char| c.is_ascii_digit());
    (!more).then_some((Part::Fraction { sign, digits, trimmed: kind == '9' }, 1 + digits))
}

/// Returns the literal text before the next part, the part, and what follows it.
fn next_part(layout: &str) -> (&str, Option<Part>, &str) {
    for (at, _) in layout.char_indices() {
        if let Some((part, length)) = part_at(&layout[at..]) {
            return (&layout[..at], Some(part), &layout[at + length..]);
        }
    }
    (layout, None, "")
}

/// Shows an instant as `time.Time.Format`.
pub fn format(time: &Zoned, layout: &str) -> String {
    let mut out = String::new();
    let mut rest = layout;
    while !rest.is_empty() {
        let (before, part, after) = next_part(rest);
        out.push_str(before);
        if let Some(part) = part {
            show(&mut out, time, part);
        }
        rest = after;
    }
    out
}

fn show(out: &mut String, time: &Zoned, part: Part) {
    let hour12 = match time.hour() % 12 {
        0 => 12,
        hour => hour,
    };
    let month = MONTHS[usize::from(time.month().unsigned_abs()) - 1];
    let day = DAYS[usize::from(time.weekday().to_sunday_zero_offset().unsigned_abs())];
    let noon = if time.hour() >= 12 { "PM" } else { "AM" };
    let _infallible = match part {
        Part::LongMonth => write!(out, "{month}"),
        Part::Month => write!(out, "{}", &month[..3]),
        Part::NumMonth => write!(out, "{}", time.month()),
        Part::ZeroMonth => write!(out, "{:02}", time.month()),
        Part::LongWeekday => write!(out, "{day}"),
        Part::Weekday => write!(out, "{}", &day[..3]),
        Part::Day => write!(out, "{}", time.day()),
        Part::SpaceDay => write!(out, "{:2}", time.day()),
        Part::ZeroDay => write!(out, "{:02}", time.day()),
        Part::SpaceYearDay => write!(out, "{:3}", time.day_of_year()),
        Part::ZeroYearDay => write!(out, "{:03}", time.day_of_year()),
        Part::Hour => write!(out, "{:02}", time.hour()),
        Part::Hour12 => write!(out, "{hour12}"),
        Part::ZeroHour12 => write!(out, "{hour12:02}"),
        Part::Minute => write!(out, "{}", time.minute()),
        Part::ZeroMinute => write!(out, "{:02}", time.minute()),
        Part::Second => write!(out, "{}", time.second()),
        Part::ZeroSecond => write!(out, "{:02}", time.second()),
        Part::LongYear => write!(out, "{:04}", time.year()),
        Part::Year => write!(out, "{:02}", time.year().rem_euclid(100)),
        Part::UpperNoon => write!(out, "{noon}"),
        Part::LowerNoon => write!(out, "{}", noon.to_lowercase()),
        Part::ZoneName => write!(out, "{}", zone_name(time)),
        Part::Offset { zulu: true, .. } if time.offset() == Offset::UTC => write!(out, "Z"),
        Part::Offset { colon, fields, .. } => show_offset(out, time.offset().seconds(), colon, fields),
        Part::Fraction { sign, digits, trimmed } => {
            let nanos = format!("{:09}", time.subsec_nanosecond());
            let shown = &nanos[..digits.min(9)];
            let shown = if trimmed { shown.trim_end_matches('0') } else { shown };
            if shown.is_empty() { Ok(()) } else { write!(out, "{sign}{shown}") }
        }
    };
}

fn zone_name(time: &Zoned) -> String {
    if time.time_zone() == &TimeZone::UTC {
        return "UTC".to_owned();
    }
    let info = time.time_zone().to_offset_info(time.timestamp());
    match info.abbreviation() {
        name if name.starts_with(|c: char| c.is_ascii_alphabetic()) => name.to_owned(),
        _ => {
            let mut shown = String::new();
            let minutes = time.offset().seconds() % 3600 != 0;
            let _infallible = show_offset(&mut shown, time.offset().seconds(), false, if minutes { 2 } else { 1 });
            shown
        }
    }
}

fn show_offset(out: &mut String, seconds: i32, colon: bool, fields: u8) -> std::fmt::Result {
    let total = seconds.unsigned_abs();
    let sign = if seconds < 0 { '-' } else { '+' };
    let between = if colon { ":" } else { "" };
    write!(out, "{sign}{:02}", total / 3600)?;
    if fields > 1 {
        write!(out, "{between}{:02}", total / 60 % 60)?;
    }
    if fields > 2 {
        write!(out, "{between}{:02}", total % 60)?;
    }
    Ok(())
}

/// What has been read so far.
struct Read {
    year: i16,
    month: i8,
    day: i8,
    year_day: Option<i16>,
    hour: i8,
    minute: i8,
    second: i8,
    nanos: i32,
    afternoon: Option<bool>,
    offset: Option<i32>,
    zone: Option<String>,
}

/// Reads a text as `time.ParseInLocation`: times without a zone are in `local`.
pub fn parse(layout: &str, text: &str, local: &TimeZone) -> Result<Time, String> {
    let mut read = Read {
        year: 0,
        month: 1,
        day: 1,
        year_day: None,
        hour: 0,
        minute: 0,
        second: 0,
        nanos: 0,
        afternoon: None,
        offset: None,
        zone: None,
    };
    let (mut form, mut value) = (layout, text);
    loop {
        let (before, part, after) = next_part(form);
        let whole = |element: &str, value: &str| {
            let (text, layout) = (quote(text), quote(layout));
            format!("parsing time {text} as {layout}: cannot parse {} as {}", quote(value), quote(element))
        };
        value = skip(value, before).ok_or_else(|| whole(before, value))?;
        let Some(part) = part else {
            if !value.is_empty() {
                return Err(format!("parsing time {}: extra text: {}", quote(text), quote(value)));
            }
            break;
        };
        let element = &form[before.len()..form.len() - after.len()];
        value = match take(&mut read, part, value, after) {
            Ok(rest) => rest,
            Err(Some(range)) => return Err(format!("parsing time {}: {range} out of range", quote(text))),
            Err(None) => return Err(whole(element, value)),
        };
        form = after;
    }
    finish(&read, local).ok_or_else(|| format!("parsing time {}: day out of range", quote(text)))
}

fn skip<'t>(mut value: &'t str, mut literal: &str) -> Option<&'t str> {
    while let Some(c) = literal.chars().next() {
        if c == ' ' {
            if !value.is_empty() && !value.starts_with(' ') {
                return None;
            }
            literal = literal.trim_start_matches(' ');
            value = value.trim_start_matches(' ');
            continue;
        }
        value = value.strip_prefix(c)?;
        literal = &literal[c.len_utf8()..];
    }
    Some(value)
}

type Taken<'t> = Result<&'t str, Option<&'static str>>;

fn digits(value: &str, least: usize, most: usize) -> Result<(i32, &str), Option<&'static str>> {
    let count = value.bytes().take(most).take_while(u8::is_ascii_digit).count();
    if count < least {
        return Err(None);
    }
    let number = value[..count].parse().map_err(|_none| None)?;
    Ok((number, &value[count..]))
}

fn ranged<'t>(
    value: &'t str,
    least: usize,
    range: std::ops::RangeInclusive<i32>,
    what: &'static str,
) -> Result<(i8, &'t str), Option<&'static str>> {
    let (number, rest) = digits(value, least, 2)?;
    if !range.contains(&number) {
        return Err(Some(what));
    }
    Ok((number as i8, rest))
}

fn name<'t>(value: &'t str, names: &[&str], length: Option<usize>) -> Result<(i8, &'t str), Option<&'static str>> {
    for (index, name) in names.iter().enumerate() {
        let name = length.map_or(*name, |length| &name[..length]);
        if value.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name)) {
            return Ok((index as i8 + 1, &value[name.len()..]));
        }
    }
    Err(None)
}

fn take<'t>(read: &mut Read, part: Part, value: &'t str, form_after: &str) -> Taken<'t> {
    let rest;
    match part {
        Part::LongYear => {
            let (year, after) = digits(value, 4, 4)?;
            (read.year, rest) = (year as i16, after);
        }
        Part::Year => {
            let (year, after) = digits(value, 2, 2)?;
            read.year = year as i16 + if year >= 69 { 1900 } else { 2000 };
            rest = after;
        }
        Part::LongMonth => (read.month, rest) = name(value, &MONTHS, None)?,
        Part::Month => (read.month, rest) = name(value, &MONTHS, Some(3))?,
        Part::NumMonth => (read.month, rest) = ranged(value, 1, 1..=12, "month")?,
        Part::ZeroMonth => (read.month, rest) = ranged(value, 2, 1..=12, "month")?,
        Part::LongWeekday => (_, rest) = name(value, &DAYS, None)?,
        Part::Weekday => (_, rest) = name(value, &DAYS, Some(3))?,
        Part::Day | Part::SpaceDay => {
            (read.day, rest) = ranged(value.trim_start_matches(' '), 1, 0..=99, "day")?;
        }
        Part::ZeroDay => (read.day, rest) = ranged(value, 2, 0..=99, "day")?,
        Part::SpaceYearDay | Part::ZeroYearDay => {
            let (day, after) = digits(value.trim_start_matches(' '), 1, 3)?;
            (read.year_day, rest) = (Some(day as i16), after);
        }
        Part::Hour => (read.hour, rest) = ranged(value, 1, 0..=23, "hour")?,
        Part::Hour12 => (read.hour, rest) = ranged(value, 1, 0..=12, "hour")?,
        Part::ZeroHour12 => (read.hour, rest) = ranged(value, 2, 0..=12, "hour")?,
        Part::Minute => (read.minute, rest) = ranged(value, 1, 0..=59, "minute")?,
        Part::ZeroMinute => (read.minute, rest) = ranged(value, 2, 0..=59, "minute")?,
        Part::Second | Part::ZeroSecond => {
            let (second, after) = ranged(value, if part == Part::Second { 1 } else { 2 }, 0..=59, "second")?;
            read.second = second;
            // A fraction may follow although the layout has none.
            let wanted = matches!(next_part(form_after), ("", Some(Part::Fraction { .. }), _));
            let fraction = after.starts_with(['.', ',']) && after[1..].starts_with(|c: char| c.is_ascii_digit());
            rest = if fraction && !wanted { take_fraction(read, after)? } else { after };
        }
        Part::UpperNoon | Part::LowerNoon => {
            let (upper, lower) = if part == Part::UpperNoon { ("PM", "AM") } else { ("pm", "am") };
            let afternoon = value.starts_with(upper);
            if !afternoon && !value.starts_with(lower) {
                return Err(None);
            }
            read.afternoon = Some(afternoon);
            rest = &value[2..];
        }
        Part::Offset { zulu: true, .. } if value.starts_with('Z') => {
            read.offset = Some(0);
            rest = &value[1..];
        }
        Part::Offset { colon, fields, .. } => rest = take_offset(read, value, colon, fields)?,
        Part::ZoneName => {
            let length = value.bytes().take_while(u8::is_ascii_uppercase).count();
            if !(3..=5).contains(&length) {
                return Err(None);
            }
            read.zone = Some(value[..length].to_owned());
            rest = &value[length..];
        }
        Part::Fraction { trimmed: true, .. } if !value.starts_with(['.', ',']) => rest = value,
        Part::Fraction { .. } => rest = take_fraction(read, value)?,
    }
    Ok(rest)
}

fn take_fraction<'t>(read: &mut Read, value: &'t str) -> Taken<'t> {
    if !value.starts_with(['.', ',']) {
        return Err(None);
    }
    let count = value[1..].bytes().take_while(u8::is_ascii_digit).count();
    if count == 0 {
        return Err(None);
    }
    let digits = format!("{:0<9}", &value[1..=count]);
    read.nanos = digits[..9].parse().map_err(|_none| None)?;
    Ok(&value[1 + count..])
}

fn take_offset<'t>(read: &mut Read, value: &'t str, colon: bool, fields: u8) -> Taken<'t> {
    let negative = match value.chars().next() {
        Some('-') => true,
        Some('+') => false,
        _ => return Err(None),
    };
    let (mut rest, mut seconds) = (&value[1..], 0);
    for (field, size) in [3600, 60, 1].into_iter().take(fields.into()).enumerate() {
        if colon && field > 0 {
            rest = rest.strip_prefix(':').ok_or(None)?;
        }
        let (number, after) = digits(rest, 2, 2)?;
        seconds += number * size;
        rest = after;
    }
    read.offset = Some(if negative { -seconds } else { seconds });
    Ok(rest)
}

fn finish(read: &Read, local: &TimeZone) -> Option<Time> {
    let hour = match read.afternoon {
        Some(true) if read.hour < 12 => read.hour + 12,
        Some(false) if read.hour == 12 => 0,
        _ => read.hour,
    };
    let (mut month, mut day) = (read.month, read.day);
    if let Some(year_day) = read.year_day {
        let date =
            jiff::civil::Date::new(read.year, 1, 1).ok()?.checked_add(jiff::Span::new().days(year_day - 1)).ok()?;
        (month, day) = (date.month(), date.day());
    }
    let civil = DateTime::new(read.year, month, day, hour, read.minute, read.second, read.nanos).ok()?;
    let zone = match (read.offset, &read.zone) {
        (Some(0), _) => TimeZone::UTC,
        (Some(seconds), _) => TimeZone::fixed(Offset::from_seconds(seconds).ok()?),
        (None, Some(name)) if name == "UTC" || name == "GMT" => TimeZone::UTC,
        // A name that no zone of this place has stands at no offset, under that name.
        (None, Some(name)) => TimeZone::posix(&format!("{name}0")).ok()?,
        (None, None) => local.clone(),
    };
    civil.to_zoned(zone).ok().map(Time)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Zoned {
        parse("2006-01-02T15:04:05Z07:00", text, &TimeZone::UTC).unwrap().0
    }

    #[test]
    fn layouts_show_what_go_shows() {
        let time = at("2024-02-09T07:05:03.120045Z");
        for (layout, shown) in [
            ("2006-01-02 15:04:05", "2024-02-09 07:05:03"),
            ("Mon, Monday Jan January 2 _2 02", "Fri, Friday Feb February 9  9 09"),
            ("3:4:5 PM pm 03:04", "7:5:3 AM am 07:05"),
            (".000 .999999 ,00 05.000000000", ".120 .120045 ,12 03.120045000"),
            ("Z07:00 -0700 -07 MST Z0700", "Z +0000 +00 UTC Z"),
            ("002 __2 06 _2006", "040  40 24 _2024"),
            ("Janet Mon1 20060102150405", "Janet Fri2 20240209070503"),
        ] {
            assert_eq!(format(&time, layout), shown, "{layout}");
        }
        let east = at("2024-02-09T07:05:03+05:30");
        assert_eq!(format(&east, "Z07:00 -0700 -07 MST"), "+05:30 +0530 +05 +0530");
    }

    #[test]
    fn texts_are_read_and_mistakes_named() {
        assert_eq!(at("2024-02-09T07:05:03-07:00").timestamp().as_second(), 1_707_487_503);
        let bad = |layout: &str, text: &str| parse(layout, text, &TimeZone::UTC).unwrap_err();
        assert_eq!(bad("2006-01-02", "x"), r#"parsing time "x" as "2006-01-02": cannot parse "x" as "2006""#);
        assert_eq!(bad("2006-01-02", "2024-13-02"), r#"parsing time "2024-13-02": month out of range"#);
        assert_eq!(bad("2006-01-02", "2024-02-30"), r#"parsing time "2024-02-30": day out of range"#);
        assert_eq!(bad("2006", "2024x"), r#"parsing time "2024x": extra text: "x""#);
    }
}
