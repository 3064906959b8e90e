//! What passed, counted per worker and added up when asked, under Istio's standard names.

use std::{
    collections::{BTreeMap, HashMap},
    fmt::Write,
    sync::Arc,
    time::Duration,
};

use parking_lot::Mutex;

/// Upper bounds in milliseconds, as Istio's proxies report them.
const BOUNDS: [f64; 12] = [0.5, 1.0, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1000.0, 5000.0, 30_000.0];

#[derive(Clone, Debug, Default)]
struct Stat {
    count: u64,
    sum_ms: f64,
    buckets: [u64; BOUNDS.len()],
}

/// One worker's counts by destination and status.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    stats: Mutex<HashMap<(Arc<str>, u16), Stat>>,
}

impl Meter {
    /// Counts one answer.
    pub(crate) fn count(&self, destination: &Arc<str>, status: u16, took: Duration) {
        let ms = took.as_secs_f64() * 1e3;
        let mut stats = self.stats.lock();
        let stat = stats.entry((destination.clone(), status)).or_default();
        stat.count += 1;
        stat.sum_ms += ms;
        if let Some(bucket) = BOUNDS.iter().position(|bound| ms <= *bound) {
            stat.buckets[bucket] += 1;
        }
    }
}

/// Returns requests and, of these, answers with 500 and above.
pub(crate) fn totals(meters: &[Arc<Meter>]) -> (u64, u64) {
    meters.iter().fold((0, 0), |total, meter| {
        meter.stats.lock().iter().fold(total, |(all, bad), ((_, status), stat)| {
            (all + stat.count, bad + if *status >= 500 { stat.count } else { 0 })
        })
    })
}

/// Returns all counts as Prometheus text.
pub(crate) fn exposition(meters: &[Arc<Meter>]) -> String {
    let mut sum: BTreeMap<(Arc<str>, u16), Stat> = BTreeMap::new();
    for meter in meters {
        for (key, stat) in meter.stats.lock().iter() {
            let into = sum.entry(key.clone()).or_default();
            into.count += stat.count;
            into.sum_ms += stat.sum_ms;
            for (into, from) in into.buckets.iter_mut().zip(stat.buckets) {
                *into += from;
            }
        }
    }
    let mut text = String::from(
        "# HELP istio_requests_total Requests handled by the gateway.\n# TYPE istio_requests_total counter\n",
    );
    let labels = |destination: &str, status: u16| {
        let (namespace, service) = destination.split_once('/').unwrap_or(("unknown", "unknown"));
        format!(
            "reporter=\"source\",source_workload=\"gateway\",destination_service_namespace=\"{namespace}\",destination_service_name=\"{service}\",response_code=\"{status}\""
        )
    };
    for ((destination, status), stat) in &sum {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "istio_requests_total{{{}}} {}", labels(destination, *status), stat.count);
    }
    text.push_str("# HELP istio_request_duration_milliseconds Time from a request's head to its answer's head.\n# TYPE istio_request_duration_milliseconds histogram\n");
    for ((destination, status), stat) in &sum {
        let labels = labels(destination, *status);
        let mut below = 0;
        for (bound, count) in BOUNDS.iter().zip(stat.buckets) {
            below += count;
            let _ = writeln!(text, "istio_request_duration_milliseconds_bucket{{{labels},le=\"{bound}\"}} {below}");
        }
        let _ = writeln!(text, "istio_request_duration_milliseconds_bucket{{{labels},le=\"+Inf\"}} {}", stat.count);
        let _ = writeln!(text, "istio_request_duration_milliseconds_sum{{{labels}}} {}", stat.sum_ms);
        let _ = writeln!(text, "istio_request_duration_milliseconds_count{{{labels}}} {}", stat.count);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workers_are_added_up_and_buckets_are_cumulative() {
        let (one, two) = (Arc::new(Meter::default()), Arc::new(Meter::default()));
        let name: Arc<str> = "n/orders".into();
        one.count(&name, 200, Duration::from_millis(3));
        two.count(&name, 200, Duration::from_millis(30));
        two.count(&name, 503, Duration::from_millis(1));
        let all = [one, two];
        assert_eq!(totals(&all), (3, 1));
        let text = exposition(&all);
        let labels = "reporter=\"source\",source_workload=\"gateway\",destination_service_namespace=\"n\",destination_service_name=\"orders\",response_code=\"200\"";
        for line in [
            format!("istio_requests_total{{{labels}}} 2"),
            format!("istio_request_duration_milliseconds_bucket{{{labels},le=\"5\"}} 1"),
            format!("istio_request_duration_milliseconds_bucket{{{labels},le=\"50\"}} 2"),
            format!("istio_request_duration_milliseconds_sum{{{labels}}} 33"),
        ] {
            assert!(text.contains(&line), "{line} in\n{text}");
        }
    }
}
