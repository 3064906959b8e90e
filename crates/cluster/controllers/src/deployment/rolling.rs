//! How far each `ReplicaSet` goes in one step of a rollout. Pure.

use k8s_openapi::{api::apps::v1::DeploymentSpec, apimachinery::pkg::util::intstr::IntOrString};

/// What a Deployment asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) replicas: i32,
    pub(super) max_surge: i32,
    pub(super) max_unavailable: i32,
    pub(super) recreate: bool,
}

/// A `ReplicaSet` in counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Set {
    /// Asked for.
    pub(super) wanted: i32,
    /// In existence.
    pub(super) running: i32,
    /// Ready for long enough.
    pub(super) available: i32,
}

impl Wanted {
    pub(super) fn of(spec: &DeploymentSpec) -> Wanted {
        let replicas = spec.replicas.unwrap_or(1);
        let strategy = spec.strategy.clone().unwrap_or_default();
        let recreate = strategy.type_.as_deref() == Some("Recreate");
        let rolling = strategy.rolling_update.unwrap_or_default();
        let quarter = IntOrString::String("25%".into());
        // Surge rounds up and unavailability down, so that a rollout can always go on.
        let max_surge = share(rolling.max_surge.as_ref().unwrap_or(&quarter), replicas, true);
        let mut max_unavailable = share(rolling.max_unavailable.as_ref().unwrap_or(&quarter), replicas, false);
        if max_surge == 0 && max_unavailable == 0 {
            max_unavailable = 1;
        }
        if recreate {
            return Wanted { replicas, max_surge: 0, max_unavailable: replicas, recreate };
        }
        Wanted { replicas, max_surge, max_unavailable: max_unavailable.min(replicas), recreate }
    }
}

fn share(value: &IntOrString, of: i32, up: bool) -> i32 {
    match value {
        IntOrString::Int(count) => (*count).max(0),
        IntOrString::String(text) => {
            let percent: i32 = text.trim_end_matches('%').parse().unwrap_or_default();
            if up { (percent * of + 99) / 100 } else { percent * of / 100 }
        }
    }
}

/// Returns the sets that change and the counts they get. `newest` is the place of the set with the wanted template.
pub(super) fn step(wanted: &Wanted, sets: &[Set], newest: usize) -> Vec<(usize, i32)> {
    let mut goals: Vec<i32> = sets.iter().map(|set| set.wanted).collect();
    let old: Vec<usize> = (0..sets.len()).filter(|at| *at != newest).collect();
    if wanted.recreate {
        let running: i32 = old.iter().map(|at| sets[*at].running.max(sets[*at].wanted)).sum();
        for at in &old {
            goals[*at] = 0;
        }
        if running == 0 {
            goals[newest] = wanted.replicas;
        }
    } else if old.iter().all(|at| sets[*at].wanted == 0) {
        goals[newest] = wanted.replicas;
    } else {
        roll(wanted, sets, newest, &old, &mut goals);
    }
    goals.into_iter().enumerate().filter(|(at, goal)| *goal != sets[*at].wanted).collect()
}

fn roll(wanted: &Wanted, sets: &[Set], newest: usize, old: &[usize], goals: &mut [i32]) {
    if goals[newest] > wanted.replicas {
        goals[newest] = wanted.replicas;
    } else {
        let total: i32 = goals.iter().sum();
        let room = (wanted.replicas + wanted.max_surge - total).max(0);
        goals[newest] += room.min(wanted.replicas - goals[newest]);
    }
    let minimum = wanted.replicas - wanted.max_unavailable;
    let total: i32 = goals.iter().sum();
    let fresh_unavailable = (goals[newest] - sets[newest].available).max(0);
    // What may go without fewer than the minimum being available once the new ones are.
    let mut spare = (total - minimum - fresh_unavailable).max(0);
    // Old pods that do not serve anyway go first.
    for at in old {
        let unhealthy = (goals[*at] - sets[*at].available).max(0);
        let gone = unhealthy.min(spare);
        goals[*at] -= gone;
        spare -= gone;
    }
    let available: i32 = sets.iter().enumerate().map(|(at, set)| set.available.min(goals[at])).sum();
    let mut surplus = (available - minimum).max(0).min(spare);
    for at in old {
        let gone = goals[*at].min(surplus);
        goals[*at] -= gone;
        surplus -= gone;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn set(wanted: i32, available: i32) -> Set {
        Set { wanted, running: wanted, available }
    }

    const FOUR: Wanted = Wanted { replicas: 4, max_surge: 1, max_unavailable: 1, recreate: false };

    #[test]
    fn a_first_rollout_and_a_scale_go_at_once() {
        assert_eq!(step(&FOUR, &[set(0, 0)], 0), [(0, 4)]);
        assert_eq!(step(&FOUR, &[set(9, 9)], 0), [(0, 4)]);
    }

    #[test]
    fn a_rollout_keeps_within_surge_and_unavailability() {
        assert_eq!(step(&FOUR, &[set(4, 4), set(0, 0)], 1), [(0, 3), (1, 1)]);
        assert_eq!(step(&FOUR, &[set(3, 3), set(1, 0)], 1), [(1, 2)]);
        assert_eq!(step(&FOUR, &[set(3, 3), set(2, 2)], 1), [(0, 1)]);
        assert_eq!(step(&FOUR, &[set(1, 1), set(4, 4)], 1), [(0, 0)]);
    }

    #[test]
    fn old_pods_that_do_not_serve_go_first() {
        assert_eq!(step(&FOUR, &[set(4, 0), set(1, 1)], 1), [(0, 2)]);
    }

    #[test]
    fn recreate_stops_the_old_before_it_starts_the_new() {
        let wanted = Wanted { recreate: true, ..FOUR };
        assert_eq!(step(&wanted, &[set(4, 4), set(0, 0)], 1), [(0, 0)]);
        let stopping = Set { wanted: 0, running: 2, available: 0 };
        assert!(step(&wanted, &[stopping, set(0, 0)], 1).is_empty());
        assert_eq!(step(&wanted, &[set(0, 0), set(0, 0)], 1), [(1, 4)]);
    }

    proptest! {
        /// Played to its end, every rollout arrives, never has too many pods nor too few available ones.
        #[test]
        fn every_rollout_arrives_within_its_bounds(replicas in 1..12i32, surge in 0..5i32, unavailable in 0..5i32, had in 0..12i32) {
            let max_unavailable = if surge == 0 && unavailable == 0 { 1 } else { unavailable }.min(replicas);
            let wanted = Wanted { replicas, max_surge: surge, max_unavailable, recreate: false };
            let mut sets = vec![set(had, had), set(0, 0)];
            let floor = had.min(replicas - max_unavailable);
            for _ in 0..100 {
                let changes = step(&wanted, &sets, 1);
                for (at, goal) in &changes {
                    sets[*at].wanted = *goal;
                    sets[*at].available = sets[*at].available.min(*goal);
                }
                let total: i32 = sets.iter().map(|set| set.wanted).sum();
                let available: i32 = sets.iter().map(|set| set.available).sum();
                prop_assert!(total <= (replicas + surge).max(had));
                prop_assert!(available >= floor, "{available} < {floor}");
                if changes.is_empty() && sets.iter().all(|set| set.available == set.wanted) { break; }
                for set in &mut sets {
                    set.available = set.wanted;
                    set.running = set.wanted;
                }
            }
            prop_assert_eq!((sets[0].wanted, sets[1].wanted), (0, replicas));
        }
    }
}
