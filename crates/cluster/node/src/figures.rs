//! What the node and its containers use of processors and memory, as rates between two looks.
//!
//! Containers are read from their control groups, plain processes from `/proc`. It never
//! decides anything by these figures: they are for people and for whoever scales.

use std::{
    collections::{BTreeMap, VecDeque},
    fs,
    path::Path,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use serde_json::{Value, json};

use crate::{cgroups, context::Context, handle::Handle, history, proc};

/// How often the node looks by itself.
pub(crate) const EVERY: Duration = Duration::from_secs(10);
/// A look that is older than this is not the newest one that somebody is told of.
const FRESH: f64 = 2.0;
/// A rate over less time than this says little.
const SHORTEST: f64 = 1.0;
/// Looks that are kept.
const KEPT: usize = 8;

/// What something has used of processors since its start, and uses of memory now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Usage {
    /// Processor time in nanoseconds.
    pub(crate) cpu: u64,
    /// Bytes that could not be taken back without harm: the working set.
    pub(crate) memory: u64,
}

/// A container's attempt: the pod's uid, its name, its number.
type Attempt = (String, String, u32);

/// One look at everything.
#[derive(Clone, Debug)]
struct Look {
    at: Timestamp,
    node: Usage,
    /// With when each was started.
    containers: BTreeMap<Attempt, (Timestamp, Usage)>,
}

/// The last looks.
#[derive(Default)]
pub(crate) struct Looks(Mutex<VecDeque<Look>>);

/// A rate of use.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Rate {
    /// Billionths of a processor.
    nano_cores: u64,
    /// Seconds that the rate is over.
    window: f64,
}

/// Returns how much was used between two times, or `None` if they are too close together.
fn rate(from: (Timestamp, u64), to: (Timestamp, u64)) -> Option<Rate> {
    let window = to.0.duration_since(from.0).as_secs_f64();
    let used = to.1.saturating_sub(from.1);
    (window >= SHORTEST).then_some(Rate { nano_cores: (used as f64 / window) as u64, window })
}

impl Look {
    /// Returns a container's rate since `before`; one that was started meanwhile had used nothing then.
    fn container(&self, attempt: &Attempt, before: Option<&Look>) -> Option<(Timestamp, Usage, Rate)> {
        let (started, usage) = *self.containers.get(attempt)?;
        let known = before.and_then(|look| Some((look.at, look.containers.get(attempt)?.1.cpu)));
        let rate = rate(known.unwrap_or((started, 0)), (self.at, usage.cpu))?;
        Some((started, usage, rate))
    }
}

impl Looks {
    fn add(&self, look: Look) {
        let mut looks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        looks.push_back(look);
        while looks.len() > KEPT {
            looks.pop_front();
        }
    }

    /// Returns the newest look, and the newest one before it that is far enough away for a rate.
    fn pair(&self) -> Option<(Look, Option<Look>)> {
        let looks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let last = looks.back()?.clone();
        let far = |look: &&Look| last.at.duration_since(look.at).as_secs_f64() >= EVERY.as_secs_f64() / 2.0;
        let before = looks.iter().rev().find(far).or(looks.front()).cloned();
        Some((last, before))
    }

    fn is_fresh(&self, now: Timestamp) -> bool {
        let looks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        looks.back().is_some_and(|look| now.duration_since(look.at).as_secs_f64() < FRESH)
    }
}

/// Looks at everything now.
pub(crate) fn look(handle: &Handle) {
    let mut containers = BTreeMap::new();
    for pod in handle.all() {
        let uid = pod.metadata.uid.clone().unwrap_or_default();
        let dir = handle.context.pod_dir(&uid);
        for name in names(&pod) {
            let Ok(record) = history::read(&dir.join("c").join(&name)) else { continue };
            let Some(last) = record.last.filter(|last| last.exit.is_none()) else { continue };
            let Some(started) = last.started else { continue };
            let used = if handle.context.isolated {
                let group = format!("{}/{name}-{}", handle.context.pod_cgroup(&uid), last.number);
                cgroups::usage(&group)
            } else {
                Some(proc::usage(started.pid))
            };
            if let Some(used) = used {
                containers.insert((uid.clone(), name, last.number), (started.at, used));
            }
        }
    }
    handle.looks.add(Look { at: base::clock::now(), node: machine(), containers });
}

/// Returns the kubelet's summary of the newest figures; what has run too shortly for a rate is left out.
pub(crate) fn summary(handle: &Handle) -> Value {
    if !handle.looks.is_fresh(base::clock::now()) {
        look(handle);
    }
    let pods = handle.all();
    handle.looks.pair().map_or(Value::Null, |(last, before)| told(&handle.context, &pods, &last, before.as_ref()))
}

fn told(context: &Context, pods: &[std::sync::Arc<Pod>], last: &Look, before: Option<&Look>) -> Value {
    let figures = |usage: Usage, rate: Rate| {
        let at = last.at.to_string();
        json!({
            "cpu": {"time": at, "usageNanoCores": rate.nano_cores, "usageCoreNanoSeconds": usage.cpu, "window": rate.window},
            "memory": {"time": at, "workingSetBytes": usage.memory},
        })
    };
    let mut node = json!({"nodeName": context.node});
    if let Some(rate) = before.and_then(|before| rate((before.at, before.node.cpu), (last.at, last.node.cpu))) {
        merge(&mut node, figures(last.node, rate));
    }
    let mut list = Vec::new();
    for pod in pods {
        let uid = pod.metadata.uid.clone().unwrap_or_default();
        let own = last.containers.keys().filter(|(of, _, _)| *of == uid);
        let containers: Vec<Value> = own
            .filter_map(|attempt| {
                let (started, usage, rate) = last.container(attempt, before)?;
                let mut container = json!({"name": attempt.1, "startTime": started.to_string()});
                merge(&mut container, figures(usage, rate));
                Some(container)
            })
            .collect();
        let reference = json!({"name": pod.metadata.name, "namespace": pod.metadata.namespace, "uid": uid});
        list.push(json!({"podRef": reference, "containers": containers}));
    }
    json!({"node": node, "pods": list})
}

fn merge(into: &mut Value, from: Value) {
    if let (Some(into), Value::Object(from)) = (into.as_object_mut(), from) {
        into.extend(from);
    }
}

fn names(pod: &Pod) -> Vec<String> {
    let spec = pod.spec.iter();
    let all = spec.flat_map(|spec| spec.init_containers.iter().flatten().chain(&spec.containers));
    all.map(|container| container.name.clone()).collect()
}

/// Returns what the whole machine uses.
fn machine() -> Usage {
    let cpu = busy(&fs::read_to_string("/proc/stat").unwrap_or_default());
    let memory = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    Usage { cpu: cpu.saturating_mul(proc::tick()), memory: in_use(&memory) }
}

/// Returns the ticks of `/proc/stat` in which some processor did something.
fn busy(text: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix("cpu ")).unwrap_or_default();
    let fields: Vec<u64> = line.split_whitespace().map(|field| field.parse().unwrap_or_default()).collect();
    // user, nice, system, (idle, iowait), irq, softirq, steal; guests are in user already.
    [0, 1, 2, 5, 6, 7].iter().filter_map(|at| fields.get(*at)).sum()
}

/// Returns the bytes of `/proc/meminfo` that are not available.
fn in_use(text: &str) -> u64 {
    let of = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        line.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or_default()
    };
    of("MemTotal:").saturating_sub(of("MemAvailable:")) * 1024
}

/// Returns a control group's working set: what it has, without files that nobody has looked at lately.
pub(crate) fn working_set(used: u64, stat: &str, name: &str) -> u64 {
    let inactive = stat.lines().find_map(|line| line.strip_prefix(name)?.trim().parse::<u64>().ok());
    used.saturating_sub(inactive.unwrap_or_default())
}

/// Reads a file that holds one number.
pub(crate) fn number(path: &Path) -> Option<u64> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(seconds).unwrap()
    }

    fn attempt(number: u32) -> Attempt {
        ("u".into(), "c".into(), number)
    }

    fn a_look(seconds: i64, number: u32, started: i64, cpu: u64) -> Look {
        let usage = Usage { cpu, memory: 7 };
        Look {
            at: at(seconds),
            node: Usage::default(),
            containers: BTreeMap::from([(attempt(number), (at(started), usage))]),
        }
    }

    #[test]
    fn a_rate_is_what_was_used_in_between() {
        let half = rate((at(10), 1_000_000_000), (at(20), 6_000_000_000)).unwrap();
        assert_eq!((half.nano_cores, half.window), (500_000_000, 10.0));
        assert_eq!(rate((at(10), 0), (at(10), 5)), None, "no time has passed");
    }

    #[test]
    fn a_container_that_was_started_meanwhile_is_measured_from_its_start() {
        let (before, last) = (a_look(100, 0, 50, 9_000_000_000), a_look(110, 1, 106, 2_000_000_000));
        let (_, usage, own) = last.container(&attempt(1), Some(&before)).unwrap();
        assert_eq!((own.nano_cores, own.window, usage.memory), (500_000_000, 4.0, 7));
        assert!(last.container(&attempt(0), Some(&before)).is_none(), "one that has ended uses nothing");
        let same = a_look(110, 0, 50, 10_000_000_000);
        assert_eq!(same.container(&attempt(0), Some(&before)).unwrap().2.nano_cores, 100_000_000);
    }

    #[test]
    fn looks_that_are_close_together_are_not_compared() {
        let looks = Looks::default();
        for (seconds, cpu) in [(0, 0), (10, 1), (19, 2), (20, 3)] {
            looks.add(a_look(seconds, 0, 0, cpu));
        }
        let (last, before) = looks.pair().unwrap();
        assert_eq!((last.at, before.unwrap().at), (at(20), at(10)));
        assert!(looks.is_fresh(at(21)) && !looks.is_fresh(at(23)));
    }

    #[test]
    fn the_machines_figures_are_read() {
        assert_eq!(busy("cpu  1 2 4 1000 1000 8 16 32 64 128\ncpu0 9 9\n"), 63);
        assert_eq!(in_use("MemTotal: 100 kB\nMemFree: 1 kB\nMemAvailable: 60 kB\n"), 40 * 1024);
        assert_eq!(working_set(100, "inactive_file 7\ntotal_inactive_file 30\n", "total_inactive_file"), 70);
        let own = machine();
        assert!(own.cpu > 0 && own.memory > 0, "{own:?}");
    }
}
