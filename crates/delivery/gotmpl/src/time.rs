//! Go's `time` as templates reach it: instants with methods, layouts, durations.
//!
//! Never asks a clock: an instant comes from the caller's world or from a text.

mod duration;
mod layout;

use std::rc::Rc;

use jiff::{Timestamp, Zoned, civil::DateTime, tz::TimeZone};

pub use duration::{parse as parse_duration, show as show_duration};
pub use layout::{format, parse};

use crate::{Value, value::Object};

/// A `time.Time`.
#[derive(Clone, Debug)]
pub struct Time(pub Zoned);

impl Time {
    /// Returns Go's zero time: the first second of the year 1, UTC.
    pub fn zero() -> Self {
        let start = DateTime::constant(1, 1, 1, 0, 0, 0, 0);
        Self(start.to_zoned(TimeZone::UTC).unwrap_or_else(|_| Timestamp::UNIX_EPOCH.to_zoned(TimeZone::UTC)))
    }

    /// Returns the instant so many seconds after 1970, in a zone.
    pub fn unix(seconds: i64, zone: TimeZone) -> Self {
        Timestamp::from_second(seconds).map_or_else(|_| Self::zero(), |at| Self(at.to_zoned(zone)))
    }

    /// Returns the instant so many nanoseconds later; one that no calendar has stays where it is.
    #[must_use]
    pub fn add(&self, nanoseconds: i64) -> Self {
        let span = jiff::SignedDuration::from_nanos(nanoseconds);
        self.0.checked_add(span).map_or_else(|_| self.clone(), Self)
    }

    /// Returns the nanoseconds since another instant, as far as a `time.Duration` goes.
    pub fn since(&self, earlier: &Time) -> i64 {
        let span = self.0.timestamp().duration_since(earlier.0.timestamp()).as_nanos();
        i64::try_from(span).unwrap_or(if span < 0 { i64::MIN } else { i64::MAX })
    }

    /// Returns it as a value of a template.
    pub fn value(self) -> Value {
        Value::Object(Rc::new(self))
    }

    fn moved(&self, zone: TimeZone) -> Value {
        Time(self.0.with_time_zone(zone)).value()
    }
}

/// Returns the instant that a value holds.
pub fn of(value: &Value) -> Option<&Time> {
    match value {
        Value::Object(object) => object.as_any()?.downcast_ref(),
        _ => None,
    }
}

impl Object for Time {
    fn type_name(&self) -> &'static str {
        "time.Time"
    }

    fn field(&self, _name: &str) -> Option<Value> {
        None
    }

    fn call(&self, name: &str, args: &[Value]) -> Option<Result<Value, String>> {
        let int = |value: i64| Some(Ok(Value::Int(value)));
        let at = self.0.timestamp();
        match (name, args) {
            ("Format", [Value::Str(form)]) => Some(Ok(Value::str(format(&self.0, form)))),
            ("String", []) => Some(Ok(Value::str(self.text()))),
            ("Unix", []) => Some(Ok(Value::Int64(at.as_second()))),
            ("UnixMilli", []) => Some(Ok(Value::Int64(at.as_millisecond()))),
            ("UnixMicro", []) => Some(Ok(Value::Int64(at.as_microsecond()))),
            ("UnixNano", []) => Some(Ok(Value::Int64(i64::try_from(at.as_nanosecond()).unwrap_or(i64::MAX)))),
            ("Year", []) => int(self.0.year().into()),
            ("Month", []) => Some(Ok(Named::month(self.0.month().into()))),
            ("Day", []) => int(self.0.day().into()),
            ("Hour", []) => int(self.0.hour().into()),
            ("Minute", []) => int(self.0.minute().into()),
            ("Second", []) => int(self.0.second().into()),
            ("Nanosecond", []) => int(self.0.subsec_nanosecond().into()),
            ("YearDay", []) => int(self.0.day_of_year().into()),
            ("Weekday", []) => Some(Ok(Named::weekday(self.0.weekday().to_sunday_zero_offset().into()))),
            ("UTC", []) => Some(Ok(self.moved(TimeZone::UTC))),
            ("Local", []) => Some(Ok(self.clone().value())),
            ("IsZero", []) => Some(Ok(Value::Bool(at == Time::zero().0.timestamp()))),
            ("AddDate", [years, months, days]) => Some(self.add_date(years, months, days)),
            ("Add", [Value::Int(nanos) | Value::Int64(nanos)]) => Some(Ok(self.add(*nanos).value())),
            ("Before", [other]) => of(other).map(|other| Ok(Value::Bool(at < other.0.timestamp()))),
            ("After", [other]) => of(other).map(|other| Ok(Value::Bool(at > other.0.timestamp()))),
            ("Equal", [other]) => of(other).map(|other| Ok(Value::Bool(at == other.0.timestamp()))),
            ("Sub", [other]) => of(other).map(|other| Ok(Named::duration(self.since(other)))),
            _ => None,
        }
    }

    fn text(&self) -> String {
        format(&self.0, "2006-01-02 15:04:05.999999999 -0700 MST")
    }

    fn plain(&self) -> Value {
        Value::str(format(&self.0, "2006-01-02T15:04:05.999999999Z07:00"))
    }

    fn as_any(&self) -> Option<&dyn std::any::Any> {
        Some(self)
    }
}

impl Time {
    fn add_date(&self, years: &Value, months: &Value, days: &Value) -> Result<Value, String> {
        let int = |value: &Value| match value {
            Value::Int(value) => Ok(*value),
            other => Err(format!("wrong type for value; expected int; got {}", other.type_name())),
        };
        let (years, months, days) = (int(years)?, int(months)?, int(days)?);
        // Go normalizes: the 31st of a month with 30 days is the 1st of the next.
        let month = i64::from(self.0.month()) - 1 + months;
        let year = i64::from(self.0.year()) + years + month.div_euclid(12);
        let day = i64::from(self.0.day()) - 1 + days;
        let first = i16::try_from(year)
            .ok()
            .and_then(|year| jiff::civil::Date::new(year, (month.rem_euclid(12) + 1) as i8, 1).ok())
            .and_then(|first| first.checked_add(jiff::Span::new().try_days(day).ok()?).ok());
        let moved = first.and_then(|date| date.to_datetime(self.0.time()).to_zoned(self.0.time_zone().clone()).ok());
        moved.map(|moved| Time(moved).value()).ok_or_else(|| "no calendar has that day".to_owned())
    }
}

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const DAYS: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];

/// A number that prints as a word: `time.Month`, `time.Weekday`, `time.Duration`.
struct Named {
    type_name: &'static str,
    number: i64,
    text: String,
}

impl Named {
    fn month(number: i64) -> Value {
        let text = MONTHS.get(number as usize - 1).copied().unwrap_or_default().to_owned();
        Value::Object(Rc::new(Named { type_name: "time.Month", number, text }))
    }

    fn weekday(number: i64) -> Value {
        let text = DAYS.get(number as usize).copied().unwrap_or_default().to_owned();
        Value::Object(Rc::new(Named { type_name: "time.Weekday", number, text }))
    }

    fn duration(number: i64) -> Value {
        Value::Object(Rc::new(Named { type_name: "time.Duration", number, text: show_duration(number) }))
    }
}

impl Object for Named {
    fn type_name(&self) -> &'static str {
        self.type_name
    }

    fn field(&self, _name: &str) -> Option<Value> {
        None
    }

    fn call(&self, name: &str, args: &[Value]) -> Option<Result<Value, String>> {
        let float = |unit: f64| Some(Ok(Value::Float(self.number as f64 / unit)));
        match (name, args, self.type_name) {
            ("String", [], _) => Some(Ok(Value::str(&self.text))),
            ("Seconds", [], "time.Duration") => float(1e9),
            ("Minutes", [], "time.Duration") => float(60e9),
            ("Hours", [], "time.Duration") => float(3600e9),
            ("Milliseconds", [], "time.Duration") => Some(Ok(Value::Int64(self.number / 1_000_000))),
            ("Nanoseconds", [], "time.Duration") => Some(Ok(Value::Int64(self.number))),
            _ => None,
        }
    }

    fn text(&self) -> String {
        self.text.clone()
    }

    fn plain(&self) -> Value {
        Value::Int64(self.number)
    }
}
