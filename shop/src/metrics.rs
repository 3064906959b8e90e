//! Counts requests by method, route and status, and how long they took.

use std::{collections::BTreeMap, fmt::Write, sync::Mutex, time::Duration};

/// Upper bounds in seconds: the defaults of Prometheus' own clients.
const BOUNDS: [f64; 11] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

#[derive(Default)]
struct Durations {
    count: u64,
    sum: f64,
    buckets: [u64; BOUNDS.len()],
}

#[derive(Default)]
struct Counts {
    requests: BTreeMap<(String, String, u16), u64>,
    durations: BTreeMap<(String, String), Durations>,
}

/// The counts of this process.
#[derive(Default)]
pub(crate) struct Metrics(Mutex<Counts>);

impl Metrics {
    /// Counts one request.
    pub(crate) fn count(&self, method: &str, route: &str, status: u16, took: Duration) {
        let mut counts = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        *counts.requests.entry((method.to_owned(), route.to_owned(), status)).or_default() += 1;
        let durations = counts.durations.entry((method.to_owned(), route.to_owned())).or_default();
        let seconds = took.as_secs_f64();
        durations.count += 1;
        durations.sum += seconds;
        if let Some(bucket) = BOUNDS.iter().position(|bound| seconds <= *bound) {
            durations.buckets[bucket] += 1;
        }
    }

    /// Returns the counts as Prometheus text.
    pub(crate) fn exposition(&self) -> String {
        let counts = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let mut text = String::from(
            "# HELP http_requests_total Total number of HTTP requests.\n# TYPE http_requests_total counter\n",
        );
        // Writing to a String cannot fail.
        for ((method, route, status), count) in &counts.requests {
            let _ = writeln!(
                text,
                "http_requests_total{{method=\"{method}\",route=\"{route}\",status_code=\"{status}\"}} {count}"
            );
        }
        text.push_str("# HELP http_request_duration_seconds Duration of HTTP requests in seconds.\n# TYPE http_request_duration_seconds histogram\n");
        for ((method, route), durations) in &counts.durations {
            let labels = format!("method=\"{method}\",route=\"{route}\"");
            let mut below = 0;
            for (bound, count) in BOUNDS.iter().zip(durations.buckets) {
                below += count;
                let _ = writeln!(text, "http_request_duration_seconds_bucket{{{labels},le=\"{bound}\"}} {below}");
            }
            let _ = writeln!(text, "http_request_duration_seconds_bucket{{{labels},le=\"+Inf\"}} {}", durations.count);
            let _ = writeln!(text, "http_request_duration_seconds_sum{{{labels}}} {}", durations.sum);
            let _ = writeln!(text, "http_request_duration_seconds_count{{{labels}}} {}", durations.count);
        }
        text
    }
}
