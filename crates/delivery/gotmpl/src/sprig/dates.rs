//! Instants and durations. What the time is, and in which zone, the caller's world says.

use jiff::tz::TimeZone;

use super::{int, text};
use crate::{
    Value, World,
    template::{Call, Funcs},
    time::{self, Time, parse_duration, show_duration},
};

pub(super) fn add(funcs: &mut Funcs) {
    funcs.add_call("now", "", Call::World(|world, _| world.time().map(|now| Time(now).value())));
    funcs.add_call("date", "sa", Call::World(|world, args| shown(world, text(&args[0]), &args[1], "Local")));
    funcs.add_call("htmlDate", "a", Call::World(|world, args| shown(world, "2006-01-02", &args[0], "Local")));
    funcs.add_call(
        "htmlDateInZone",
        "as",
        Call::World(|world, args| shown(world, "2006-01-02", &args[0], text(&args[1]))),
    );
    for name in ["dateInZone", "date_in_zone"] {
        let call: fn(&World, &[Value]) -> Result<Value, String> =
            |world, args| shown(world, text(&args[0]), &args[1], text(&args[2]));
        funcs.add_call(name, "sas", Call::World(call));
    }
    for name in ["dateModify", "date_modify"] {
        funcs.add(name, "st", |args| Ok(moved(args).unwrap_or_else(|_| args[1].clone())));
    }
    for name in ["mustDateModify", "must_date_modify"] {
        funcs.add(name, "st", moved);
    }
    funcs.add_call("ago", "a", Call::World(|world, args| ago(world, &args[0]).map(Value::str)));
    funcs.add("duration", "a", |args| {
        let seconds = match &args[0] {
            Value::Str(text) => text.parse().unwrap_or(0),
            Value::Int64(seconds) => *seconds,
            _ => 0,
        };
        Ok(Value::str(show_duration(i64::saturating_mul(seconds, 1_000_000_000))))
    });
    funcs.add_call("durationRound", "a", Call::World(|world, args| rounded(world, &args[0]).map(Value::str)));
    funcs.add_call(
        "toDate",
        "ss",
        Call::World(|world, args| Ok(read(world, args).unwrap_or_else(|_| Time::zero()).value())),
    );
    funcs.add_call("mustToDate", "ss", Call::World(|world, args| read(world, args).map(Time::value)));
    funcs.add("unixEpoch", "t", |args| {
        let seconds = time::of(&args[0]).map_or(0, |time| time.0.timestamp().as_second());
        Ok(Value::str(seconds.to_string()))
    });
}

/// The instant that Sprig takes a value for: anything that is none is now.
fn instant(world: &World, value: &Value) -> Result<Time, String> {
    Ok(match (time::of(value), value) {
        (Some(time), _) => time.clone(),
        (None, Value::Int(seconds) | Value::Int64(seconds)) => Time::unix(*seconds, world.zone()),
        _ => Time(world.time()?),
    })
}

fn shown(world: &World, layout: &str, value: &Value, zone: &str) -> Result<Value, String> {
    let zone = match zone {
        "Local" => world.zone(),
        "" | "UTC" => TimeZone::UTC,
        name => TimeZone::get(name).unwrap_or(TimeZone::UTC),
    };
    Ok(Value::str(time::format(&instant(world, value)?.0.with_time_zone(zone), layout)))
}

fn moved(args: &[Value]) -> Result<Value, String> {
    let by = parse_duration(text(&args[0]))?;
    Ok(time::of(&args[1]).map_or_else(|| args[1].clone(), |time| time.add(by).value()))
}

fn read(world: &World, args: &[Value]) -> Result<Time, String> {
    time::parse(text(&args[0]), text(&args[1]), &world.zone())
}

fn ago(world: &World, value: &Value) -> Result<String, String> {
    const SECOND: i64 = 1_000_000_000;
    let past = Time(world.time()?).since(&instant(world, value)?);
    // Go rounds half away from zero.
    let seconds = (past + past.signum() * SECOND / 2) / SECOND;
    Ok(show_duration(seconds.saturating_mul(SECOND)))
}

fn rounded(world: &World, value: &Value) -> Result<String, String> {
    let nanos = match value {
        Value::Str(text) => parse_duration(text).unwrap_or(0),
        Value::Int64(_) => int(value),
        other => match time::of(other) {
            Some(time) => Time(world.time()?).since(time),
            None => 0,
        },
    };
    let (seconds, exact) = (nanos.unsigned_abs() / 1_000_000_000, nanos.unsigned_abs() % 1_000_000_000 == 0);
    let units = [(31_536_000, "y"), (2_592_000, "mo"), (86_400, "d"), (3_600, "h"), (60, "m"), (1, "s")];
    // A unit is named when there is more than one of it, by however little.
    let more_than = |unit: u64| seconds > unit || seconds == unit && !exact;
    let unit = units.iter().find(|(unit, _)| more_than(*unit));
    Ok(unit.map_or("0s".to_owned(), |(unit, name)| format!("{}{name}", seconds / unit)))
}
