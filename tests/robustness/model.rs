//! What must be true of everything that clients and watchers saw. Pure.
//!
//! Every change has a revision, so the watchers' common story is the order of all changes.
//! The clients' stories must fit into it: what was acknowledged is in it, what was read was
//! true at a moment not before the request was made.

use std::collections::{BTreeMap, HashMap, HashSet};

/// An object as somebody saw it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) key: String,
    pub(crate) revision: u64,
    pub(crate) uid: String,
    /// Which write it is of: no two write the same.
    pub(crate) id: String,
}

/// What a client asked for.
#[derive(Clone, Debug)]
pub(crate) enum Kind {
    Create { key: String, id: String },
    Update { key: String, id: String },
    Delete { key: String, uid: String },
    Get { key: String },
    List,
}

/// What it was told.
#[derive(Clone, Debug)]
pub(crate) enum Told {
    Object(Seen),
    List((u64, Vec<Seen>)),
    Gone,
    Absent,
    Refused,
    Unknown,
}

/// A request: from when to when, what, and its answer.
#[derive(Clone, Debug)]
pub(crate) struct Did {
    pub(crate) from: u64,
    pub(crate) to: u64,
    pub(crate) kind: Kind,
    pub(crate) told: Told,
}

/// A change as a watcher was told it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Event {
    pub(crate) kind: String,
    pub(crate) revision: u64,
    pub(crate) key: String,
    pub(crate) uid: String,
    pub(crate) id: String,
}

/// What everybody saw.
#[derive(Clone, Debug)]
pub(crate) struct History {
    /// The revision that watchers begin after.
    pub(crate) start: u64,
    pub(crate) did: Vec<Did>,
    pub(crate) watchers: Vec<Vec<Event>>,
    /// The last list.
    pub(crate) last: (u64, Vec<Seen>),
}

impl History {
    pub(crate) fn lines(&self) -> impl Iterator<Item = String> {
        let events = self.watchers.iter().enumerate();
        let events =
            events.flat_map(|(index, events)| events.iter().map(move |event| format!("watcher {index}: {event:?}")));
        self.did.iter().map(|did| format!("{did:?}")).chain(events)
    }

    pub(crate) fn summary(&self) -> String {
        let acknowledged = self.did.iter().filter(|did| is_acknowledged(did)).count();
        let unknown = self.did.iter().filter(|did| matches!(did.told, Told::Unknown)).count();
        format!(
            "{} requests, {acknowledged} acknowledged writes, {unknown} without answer, {} changes told",
            self.did.len(),
            self.watchers[0].len()
        )
    }
}

fn is_acknowledged(did: &Did) -> bool {
    match did.kind {
        Kind::Create { .. } | Kind::Update { .. } => matches!(did.told, Told::Object(_)),
        Kind::Delete { .. } => matches!(did.told, Told::Gone),
        Kind::Get { .. } | Kind::List => false,
    }
}

/// All changes of one key: the revision, and what it was from then on.
type Line<'a> = BTreeMap<u64, Option<&'a Event>>;

/// The order of all changes.
struct Story<'a> {
    by_revision: BTreeMap<u64, &'a Event>,
    lines: HashMap<&'a str, Line<'a>>,
}

impl<'a> Story<'a> {
    fn of(events: &'a [Event]) -> Story<'a> {
        let mut lines: HashMap<&str, Line<'_>> = HashMap::new();
        for event in events {
            let state = (event.kind != "DELETED").then_some(event);
            lines.entry(&event.key).or_default().insert(event.revision, state);
        }
        Story { by_revision: events.iter().map(|event| (event.revision, event)).collect(), lines }
    }

    /// Returns whether `key` was as `seen` says at some revision from `from` on.
    fn was_from(&self, key: &str, seen: Option<&Seen>, from: u64) -> bool {
        let empty = Line::new();
        let line = self.lines.get(key).unwrap_or(&empty);
        let fits = |state: Option<&Event>| match (state, seen) {
            (None, None) => true,
            (Some(event), Some(seen)) => {
                event.revision == seen.revision && event.id == seen.id && event.uid == seen.uid
            }
            _ => false,
        };
        let at_first = line.range(..=from).next_back().and_then(|(_, state)| *state);
        fits(at_first) || line.range(from + 1..).any(|(_, state)| fits(*state))
    }

    /// Returns everything as it was at a revision.
    fn at(&self, revision: u64) -> BTreeMap<&str, &Event> {
        let state = |line: &Line<'a>| line.range(..=revision).next_back().and_then(|(_, state)| *state);
        self.lines.iter().filter_map(|(key, line)| Some((*key, state(line)?))).collect()
    }
}

/// Returns what is wrong with a history; nothing: all promises were kept.
pub(crate) fn check(history: &History) -> Vec<String> {
    let mut breaches = Vec::new();
    for (index, events) in history.watchers.iter().enumerate() {
        one_story(index, events, history.start, &mut breaches);
        if *events != history.watchers[0] {
            breaches.push(format!("watcher {index} was told another story than watcher 0: a gap"));
        }
    }
    let story = Story::of(&history.watchers[0]);
    nothing_lost(history, &story, &mut breaches);
    nothing_invented(history, &story, &mut breaches);
    nothing_stale(history, &story, &mut breaches);
    let (revision, items) = &history.last;
    as_told(&story, *revision, items, "the last list", &mut breaches);
    breaches
}

/// Each change is told once, in order, and follows from the one before.
fn one_story(index: usize, events: &[Event], start: u64, breaches: &mut Vec<String>) {
    let mut last = start;
    let mut lives: HashMap<&str, &str> = HashMap::new();
    for event in events {
        if event.revision <= last {
            breaches.push(format!("watcher {index}: {event:?} comes after {last}: told twice or out of order"));
        }
        last = event.revision;
        let fits = match (event.kind.as_str(), lives.get(event.key.as_str())) {
            ("ADDED", known) => known.is_none(),
            (_, known) => known.is_some_and(|uid| *uid == event.uid),
        };
        if !fits {
            breaches.push(format!("watcher {index}: {event:?} does not follow from what was told before: a gap"));
        }
        if event.kind == "DELETED" {
            lives.remove(event.key.as_str());
        } else {
            lives.insert(&event.key, &event.uid);
        }
    }
}

fn nothing_lost(history: &History, story: &Story<'_>, breaches: &mut Vec<String>) {
    let deleted = story.by_revision.values().filter(|event| event.kind == "DELETED");
    let deleted: HashSet<(&str, &str)> = deleted.map(|event| (event.key.as_str(), event.uid.as_str())).collect();
    for did in &history.did {
        let kept = match (&did.kind, &did.told) {
            (Kind::Create { key, id } | Kind::Update { key, id }, Told::Object(seen)) => story
                .by_revision
                .get(&seen.revision)
                .is_some_and(|event| event.key == *key && event.id == *id && event.uid == seen.uid),
            (Kind::Delete { key, uid }, Told::Gone) => deleted.contains(&(key.as_str(), uid.as_str())),
            _ => true,
        };
        if !kept {
            breaches.push(format!("an acknowledged write is lost: {did:?}"));
        }
    }
}

/// Nothing happened that nobody asked for, or that was refused.
fn nothing_invented(history: &History, story: &Story<'_>, breaches: &mut Vec<String>) {
    let mut possible: HashSet<&str> = HashSet::new();
    for did in &history.did {
        if let Kind::Create { id, .. } | Kind::Update { id, .. } = &did.kind
            && matches!(did.told, Told::Object(_) | Told::Unknown)
        {
            possible.insert(id);
        }
    }
    for event in story.by_revision.values().filter(|event| event.kind != "DELETED") {
        if !possible.contains(event.id.as_str()) {
            breaches.push(format!("nobody wrote this, or it was refused: {event:?}"));
        }
    }
}

/// What is read is true at a moment not before it was asked for; what is written later is newer.
fn nothing_stale(history: &History, story: &Story<'_>, breaches: &mut Vec<String>) {
    // The newest revision that somebody had been told of by each moment.
    let mut known: BTreeMap<u64, u64> = BTreeMap::new();
    for did in &history.did {
        let revision = match &did.told {
            Told::Object(seen) => seen.revision,
            Told::List((revision, _)) => *revision,
            _ => continue,
        };
        let newest = known.entry(did.to).or_default();
        *newest = (*newest).max(revision);
    }
    let mut newest = 0;
    for revision in known.values_mut() {
        newest = newest.max(*revision);
        *revision = newest;
    }
    let before = |moment: u64| known.range(..moment).next_back().map_or(history.start, |(_, revision)| *revision);
    for did in &history.did {
        let known = before(did.from);
        let fits = match (&did.kind, &did.told) {
            (Kind::Create { .. } | Kind::Update { .. }, Told::Object(seen)) => seen.revision > known,
            (Kind::Get { key }, Told::Object(seen)) => story.was_from(key, Some(seen), known),
            (Kind::Get { key }, Told::Absent) => story.was_from(key, None, known),
            (Kind::List, Told::List((revision, items))) => {
                as_told(story, *revision, items, &format!("{:?}", did.kind), breaches);
                *revision >= known
            }
            _ => true,
        };
        if !fits {
            breaches.push(format!("stale, for {known} was known before: {did:?}"));
        }
    }
}

/// A list is what the watchers were told up to its revision.
fn as_told(story: &Story<'_>, revision: u64, items: &[Seen], what: &str, breaches: &mut Vec<String>) {
    let told = story.at(revision);
    let fits = items.len() == told.len()
        && items.iter().all(|seen| {
            told.get(seen.key.as_str()).is_some_and(|event| event.revision == seen.revision && event.id == seen.id)
        });
    if !fits {
        breaches.push(format!("{what} at {revision} is not what watchers were told: {items:?} and {told:?}"));
    }
}

/// Breaks a good history in each way that the model is to notice.
pub(crate) fn notices_what_is_broken(good: &History) {
    let broken = |what: &str, change: &dyn Fn(&mut History)| {
        let mut history = good.clone();
        change(&mut history);
        assert!(!check(&history).is_empty(), "the model does not notice {what}");
    };
    let middle = good.watchers[0].len() / 2;
    broken("a change that all watchers miss", &|history| {
        let acknowledged = history.did.iter().find_map(|did| match (&did.kind, &did.told) {
            (Kind::Create { .. } | Kind::Update { .. }, Told::Object(seen)) => Some(seen.revision),
            _ => None,
        });
        for events in &mut history.watchers {
            events.retain(|event| Some(event.revision) != acknowledged);
        }
    });
    broken("a change that one watcher misses", &|history| drop(history.watchers[1].remove(middle)));
    broken("a change that is told twice", &|history| {
        for events in &mut history.watchers {
            let event = events[middle].clone();
            events.insert(middle, event);
        }
    });
    broken("a read from the past", &|history| {
        let first = history.did.iter().find(|did| matches!(did.told, Told::List(_))).cloned();
        let newest = history.did.iter().map(|did| did.to).max().unwrap_or_default();
        let late = first.map(|did| Did { from: newest + 1, to: newest + 2, ..did });
        history.did.extend(late);
    });
    broken("a write that nobody made", &|history| {
        for events in &mut history.watchers {
            let written = events[middle..].iter_mut().find(|event| event.kind != "DELETED");
            if let Some(event) = written {
                "nobody".clone_into(&mut event.id);
            }
        }
    });
}
