//! Counts what the server does, under kube-apiserver's names, and writes it down for Prometheus.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;

use crate::fair::Figures;

/// Upper bounds of the request durations, in seconds.
const BUCKETS: [f64; 23] = [
    0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 1.25, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 15.0, 20.0, 30.0,
    45.0, 60.0,
];

/// What a request is counted as.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Labels {
    pub(crate) verb: String,
    pub(crate) group: String,
    pub(crate) version: String,
    pub(crate) resource: String,
    pub(crate) subresource: String,
    pub(crate) scope: &'static str,
    pub(crate) dry_run: &'static str,
}

impl Labels {
    fn write(&self, extra: &str) -> String {
        format!(
            "component=\"apiserver\",{extra}dry_run={:?},group={:?},resource={:?},scope={:?},subresource={:?},verb={:?},version={:?}",
            self.dry_run, self.group, self.resource, self.scope, self.subresource, self.verb, self.version
        )
    }

    fn write_running(&self) -> String {
        format!(
            "component=\"apiserver\",group={:?},resource={:?},scope={:?},subresource={:?},verb={:?},version={:?}",
            self.group, self.resource, self.scope, self.subresource, self.verb, self.version
        )
    }
}

#[derive(Clone, Default)]
struct Histogram {
    buckets: [u64; BUCKETS.len()],
    sum: f64,
    count: u64,
}

/// What the server counts.
#[derive(Default)]
pub(crate) struct Metrics {
    requests: Mutex<BTreeMap<(Labels, u16), u64>>,
    durations: Mutex<BTreeMap<Labels, Histogram>>,
    long_running: Mutex<BTreeMap<Labels, i64>>,
    in_flight: [AtomicI64; 2],
    rejected: Mutex<BTreeMap<(String, String, &'static str), u64>>,
    watch_events: Mutex<BTreeMap<(String, String, String), u64>>,
    audit_levels: Mutex<BTreeMap<&'static str, u64>>,
    audit_dropped: Mutex<BTreeMap<&'static str, u64>>,
}

/// Whether a request changes something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RequestKind {
    ReadOnly,
    Mutating,
}

/// A request that is being worked on; its client may hang up at any moment.
pub(crate) struct UnderWay(Arc<Metrics>, RequestKind);

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.in_flight[self.1 as usize].fetch_sub(1, Ordering::Relaxed);
    }
}

impl Metrics {
    /// Counts an answered request.
    pub(crate) fn answered(&self, labels: &Labels, code: u16, took: Duration) {
        *self.requests.lock().entry((labels.clone(), code)).or_default() += 1;
        let mut durations = self.durations.lock();
        let histogram = durations.entry(labels.clone()).or_default();
        let seconds = took.as_secs_f64();
        for (bound, count) in BUCKETS.iter().zip(&mut histogram.buckets) {
            *count += u64::from(seconds <= *bound);
        }
        histogram.sum += seconds;
        histogram.count += 1;
    }

    /// Counts a request as under way until what is returned is dropped.
    pub(crate) fn under_way(self: &Arc<Self>, kind: RequestKind) -> UnderWay {
        self.in_flight[kind as usize].fetch_add(1, Ordering::Relaxed);
        UnderWay(self.clone(), kind)
    }

    /// Counts a request that stays open, or that ended.
    pub(crate) fn long_running(&self, labels: &Labels, change: i64) {
        *self.long_running.lock().entry(labels.clone()).or_default() += change;
    }

    /// Counts a request that found no seat.
    pub(crate) fn rejected(&self, schema: &str, level: &str, reason: &'static str) {
        *self.rejected.lock().entry((schema.to_owned(), level.to_owned(), reason)).or_default() += 1;
    }

    pub(crate) fn watch_event(&self, group: &str, version: &str, kind: &str) {
        let key = (group.to_owned(), version.to_owned(), kind.to_owned());
        *self.watch_events.lock().entry(key).or_default() += 1;
    }

    pub(crate) fn audit_event(&self, level: &'static str) {
        *self.audit_levels.lock().entry(level).or_default() += 1;
    }

    pub(crate) fn audit_dropped(&self, plugin: &'static str) {
        *self.audit_dropped.lock().entry(plugin).or_default() += 1;
    }

    /// Writes everything down. `objects` are the stored objects by group and plural, `levels` what the priority levels do.
    pub(crate) fn render(&self, objects: &BTreeMap<(String, String), usize>, levels: &[Figures]) -> String {
        let mut out = String::new();
        let mut family = |name: &str, kind: &str, help: &str, lines: Vec<String>| {
            // Writing to a string cannot fail.
            let _ = write!(out, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
            for line in lines {
                let _ = writeln!(out, "{name}{line}");
            }
        };
        let requests = self.requests.lock().clone();
        let lines =
            requests.iter().map(|((labels, code), count)| format!("{{code=\"{code}\",{}}} {count}", labels.write("")));
        family("apiserver_request_total", "counter", "Requests by verb, kind and answer.", lines.collect());
        let durations = self.durations.lock().clone();
        let mut lines = Vec::new();
        for (labels, histogram) in &durations {
            for (bound, count) in BUCKETS.iter().zip(&histogram.buckets) {
                lines.push(format!("_bucket{{{},le=\"{bound}\"}} {count}", labels.write("")));
            }
            lines.push(format!("_bucket{{{},le=\"+Inf\"}} {}", labels.write(""), histogram.count));
            lines.push(format!("_sum{{{}}} {}", labels.write(""), histogram.sum));
            lines.push(format!("_count{{{}}} {}", labels.write(""), histogram.count));
        }
        family("apiserver_request_duration_seconds", "histogram", "How long requests took.", lines);
        let in_flight = [("readOnly", 0), ("mutating", 1)].map(|(kind, index)| {
            format!("{{request_kind=\"{kind}\"}} {}", self.in_flight[index].load(Ordering::Relaxed))
        });
        family("apiserver_current_inflight_requests", "gauge", "Requests under way.", in_flight.into());
        let running = self.long_running.lock().clone();
        let lines = running.iter().map(|(labels, count)| format!("{{{}}} {count}", labels.write_running()));
        family("apiserver_longrunning_requests", "gauge", "Requests that stay open.", lines.collect());
        let rejected = self.rejected.lock().clone();
        let rejected = rejected.iter().map(|((schema, level, reason), count)| {
            format!("{{flow_schema={schema:?},priority_level={level:?},reason={reason:?}}} {count}")
        });
        family(
            "apiserver_flowcontrol_rejected_requests_total",
            "counter",
            "Requests answered with 429.",
            rejected.collect(),
        );
        let mut of_levels = |name: &str, help: &str, figure: fn(&Figures) -> usize| {
            let lines = levels.iter().map(|level| format!("{{priority_level={:?}}} {}", level.level, figure(level)));
            family(&format!("apiserver_flowcontrol_{name}"), "gauge", help, lines.collect());
        };
        of_levels("nominal_limit_seats", "Seats that are a level's share.", |level| level.nominal);
        of_levels("current_executing_seats", "Seats that a level's requests hold.", |level| level.held);
        of_levels("current_inqueue_requests", "Requests that wait for a seat.", |level| level.waiting);
        let events = self.watch_events.lock().clone();
        let lines = events.iter().map(|((group, version, kind), count)| {
            format!("{{group={group:?},kind={kind:?},version={version:?}}} {count}")
        });
        family("apiserver_watch_events_total", "counter", "Events sent to watchers.", lines.collect());
        let levels = self.audit_levels.lock().clone();
        let total: u64 = levels.values().sum();
        family("apiserver_audit_event_total", "counter", "Audit events written or dropped.", vec![format!(" {total}")]);
        let lines = levels.iter().map(|(level, count)| format!("{{level=\"{level}\"}} {count}"));
        family("apiserver_audit_level_total", "counter", "Audit events by level.", lines.collect());
        let dropped = self.audit_dropped.lock().clone();
        let lines = dropped.iter().map(|(plugin, count)| format!("{{plugin=\"{plugin}\"}} {count}"));
        family("apiserver_audit_error_total", "counter", "Audit events that were lost.", lines.collect());
        let lines = objects.iter().map(|((group, plural), count)| {
            let qualified = if group.is_empty() { plural.clone() } else { format!("{plural}.{group}") };
            format!("{{resource={qualified:?}}} {count}")
        });
        family("apiserver_storage_objects", "gauge", "Stored objects by kind.", lines.collect());
        let lines =
            objects.iter().map(|((group, plural), count)| format!("{{group={group:?},resource={plural:?}}} {count}"));
        family("apiserver_resource_objects", "gauge", "Stored objects by kind.", lines.collect());
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_fall_into_every_bucket_above_them() {
        let metrics = Metrics::default();
        let labels = Labels { verb: "GET".into(), resource: "pods".into(), scope: "resource", ..Labels::default() };
        metrics.answered(&labels, 200, Duration::from_millis(30));
        let text = metrics.render(&BTreeMap::new(), &[]);
        let value = |le: &str| {
            let line = text.lines().find(|line| line.contains(&format!("le=\"{le}\""))).unwrap();
            line.rsplit_once(' ').unwrap().1.to_owned()
        };
        assert_eq!((value("0.025"), value("0.05"), value("+Inf")), ("0".into(), "1".into(), "1".into()));
        assert!(text.contains("apiserver_request_total{code=\"200\",component=\"apiserver\","), "{text}");
    }
}
