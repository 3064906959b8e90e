//! How long ago something was, for people.

use jiff::Timestamp;

/// Returns `now`, `42s`, `12m`, `3h`, `5d` since `then` (RFC 3339), or nothing if it is not a time.
pub(crate) fn age(then: &str, now: Timestamp) -> String {
    let Ok(then) = then.parse::<Timestamp>() else { return String::new() };
    let seconds = now.as_second() - then.as_second();
    match seconds {
        ..1 => "now".to_owned(),
        1..120 => format!("{seconds}s"),
        120..7_200 => format!("{}m", seconds / 60),
        7_200..172_800 => format!("{}h", seconds / 3_600),
        _ => format!("{}d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn ages_are_short() {
        let now = "2026-11-21T12:00:00Z".parse().unwrap();
        for (then, wanted) in [
            ("2026-11-21T12:00:00Z", "now"),
            ("2026-11-21T12:00:05Z", "now"),
            ("2026-11-21T11:59:18Z", "42s"),
            ("2026-11-21T11:48:00Z", "12m"),
            ("2026-11-21T09:00:00Z", "3h"),
            ("2026-11-16T12:00:00Z", "5d"),
            ("", ""),
        ] {
            assert_eq!(super::age(then, now), wanted, "{then}");
        }
    }
}
