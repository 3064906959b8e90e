//! The one reader of the clock; clippy refuses others.
//!
//! [`instant`] follows tokio's clock, so a test with paused time controls it.

/// Returns the present time in this machine's zone: what `TZ` or `/etc/localtime` says, UTC where neither does.
///
/// Reads one file; the whole database of zones, which takes longer than a small render, is left alone unless `TZ` asks
/// for it.
pub fn zoned() -> jiff::Zoned {
    use jiff::tz::TimeZone;
    let zone = if crate::settings::env("TZ").is_some() {
        TimeZone::system()
    } else {
        let local = std::fs::read("/etc/localtime").ok();
        local.and_then(|bytes| TimeZone::tzif("Local", &bytes).ok()).unwrap_or(TimeZone::UTC)
    };
    now().to_zoned(zone)
}

/// Returns the present moment in UTC.
pub fn now() -> jiff::Timestamp {
    jiff::Timestamp::now()
}

/// Returns the present moment as Kubernetes' `metav1.Time` writes it: seconds, UTC, `2026-11-21T01:02:03Z`.
pub fn now_rfc3339() -> String {
    now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// Returns a monotonic instant; with tokio's time paused it stands still too.
pub fn instant() -> tokio::time::Instant {
    tokio::time::Instant::now()
}

#[cfg(test)]
mod tests {
    #[test]
    fn kubernetes_time_has_seconds_and_a_z() {
        let now = super::now_rfc3339();
        assert_eq!(now.len(), "2026-11-21T01:02:03Z".len());
        assert!(now.ends_with('Z') && now.parse::<jiff::Timestamp>().is_ok());
    }
}
