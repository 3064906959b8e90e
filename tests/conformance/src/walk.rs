//! A walk: requests that a test makes one after the other, of one cluster after the other.
//!
//! What a walk asserts has to hold on every cluster. Its answers are recorded; with a real
//! kube-apiserver at hand the same walk goes there too, with the same names, and every
//! answer is compared with the real one's.

use std::{panic::AssertUnwindSafe, time::Duration};

use anyhow::Context;
use futures::FutureExt;
use serde_json::{Value, json};

use crate::{
    case::Step,
    cluster::{Answer, Call, Cluster},
    difference, peer,
    served::Served,
};

/// Headers that differ by their nature, or say how an answer travels.
const UNCOMPARED: &[&str] = &[
    "date",
    "content-length",
    "transfer-encoding",
    "connection",
    "x-kubernetes-pf-flowschema-uid",
    "x-kubernetes-pf-prioritylevel-uid",
    // Compared as what they say.
    "warning",
];

/// A cluster under a test, with a namespace for it.
pub struct Walk {
    /// The cluster, for what is not to be recorded.
    pub cluster: Cluster,
    /// A namespace that no author knew.
    pub space: String,
    /// Eight characters that no author knew; part of the namespace's name.
    pub id: String,
    steps: Vec<Step>,
}

impl Walk {
    async fn begin(cluster: Cluster, id: &str) -> anyhow::Result<Walk> {
        let space = format!("walk-{id}");
        let made = cluster.send(&Call::post("/api/v1/namespaces", json!({"metadata": {"name": space}}))).await?;
        anyhow::ensure!(made.code == 201, "the namespace was not made: {}", made.body);
        // Where no controllers run, nobody makes it.
        let account = json!({"metadata": {"name": "default"}});
        cluster.send(&Call::post(format!("/api/v1/namespaces/{space}/serviceaccounts"), account)).await?;
        Ok(Walk { cluster, space, id: id.to_owned(), steps: Vec::new() })
    }

    /// Returns the path of a core kind's collection in the walk's namespace.
    #[must_use]
    pub fn core(&self, plural: &str) -> String {
        format!("/api/v1/namespaces/{}/{plural}", self.space)
    }

    /// Returns the path of another kind's collection in the walk's namespace; `group` with its version.
    #[must_use]
    pub fn group(&self, group: &str, plural: &str) -> String {
        format!("/apis/{group}/namespaces/{}/{plural}", self.space)
    }

    /// Asks, and records the answer.
    ///
    /// # Panics
    ///
    /// No answer came.
    pub async fn ask(&mut self, call: Call) -> Answer {
        self.ask_as(&self.cluster.clone(), call).await
    }

    /// Asks as whoever `cluster` is for, and records the answer.
    ///
    /// # Panics
    ///
    /// No answer came.
    #[expect(clippy::expect_used, reason = "a test stops where no answer comes")]
    pub async fn ask_as(&mut self, cluster: &Cluster, call: Call) -> Answer {
        let answer = within(&call, cluster.send(&call)).await.expect("an answer");
        self.steps.push(Step { title: call.title(), answer: answer.clone() });
        answer
    }

    /// Asks, and records an answer that has to be this code.
    ///
    /// # Panics
    ///
    /// Another answer came.
    #[track_caller]
    pub fn expect(&mut self, code: u16, call: Call) -> impl Future<Output = Answer> {
        let caller = std::panic::Location::caller();
        async move {
            let title = call.title();
            let answer = self.ask(call).await;
            assert_eq!(answer.code, code, "{caller}: {title}: {}", answer.body);
            answer
        }
    }

    /// Watches until this many events came or the watch ended, and records them.
    ///
    /// # Panics
    ///
    /// No answer came.
    #[expect(clippy::expect_used, reason = "a test stops where no answer comes")]
    pub async fn watch(&mut self, call: Call, events: usize) -> Vec<Value> {
        let answer = within(&call, self.cluster.read(&call, events)).await.expect("an answer");
        self.steps.push(Step { title: call.title(), answer: answer.clone() });
        match answer.body {
            Value::Array(events) => events,
            Value::Null => Vec::new(),
            event => vec![event],
        }
    }

    /// Asks without recording: what has to be there for a walk, or differs by its nature.
    ///
    /// # Panics
    ///
    /// No answer came.
    #[expect(clippy::expect_used, reason = "a test stops where no answer comes")]
    pub async fn quietly(&self, call: Call) -> Answer {
        within(&call, self.cluster.send(&call)).await.expect("an answer")
    }

    /// Asks as whoever `cluster` is for, without recording, until the answer is as it `fits`: of some changes
    /// (roles, policies, pods on nodes) a real server's parts hear a moment later.
    ///
    /// # Panics
    ///
    /// No such answer came within half a minute.
    #[expect(clippy::expect_used, reason = "a test stops where no such answer comes")]
    pub async fn until(&self, cluster: &Cluster, call: Call, fits: impl Fn(&Answer) -> bool) -> Answer {
        let deadline = std::time::Instant::now() + Duration::from_secs(30);
        loop {
            let answer = within(&call, cluster.send(&call)).await.expect("an answer");
            if fits(&answer) {
                return answer;
            }
            let in_time = std::time::Instant::now() < deadline;
            assert!(in_time, "{} goes on answering {} {}", call.title(), answer.code, answer.body);
            tokio::time::sleep(Duration::from_millis(30)).await;
        }
    }

    /// Reads what stands at `path`, changes it and writes it back as `changed` says, and records both; again from the
    /// start where somebody else (a controller) wrote in between. Returns what was sent, and the answer.
    ///
    /// # Panics
    ///
    /// No answer came, the object cannot be read, or half a minute went by.
    #[expect(clippy::expect_used, reason = "a test stops where no answer comes")]
    pub async fn replace(&mut self, path: &str, changed: impl Fn(&mut Value)) -> (Value, Answer) {
        let deadline = std::time::Instant::now() + Duration::from_secs(30);
        loop {
            let read = self.quietly(Call::get(path)).await;
            assert_eq!(read.code, 200, "{path}: {}", read.body);
            let mut object = read.body.clone();
            changed(&mut object);
            let call = Call::put(path, object.clone());
            let written = within(&call, self.cluster.send(&call)).await.expect("an answer");
            if written.code != 409 || std::time::Instant::now() > deadline {
                self.steps.push(Step { title: format!("GET {path}"), answer: read });
                self.steps.push(Step { title: call.title(), answer: written.clone() });
                return (object, written);
            }
        }
    }

    /// Returns the first change of the object called `name` after a revision of its collection, and records it: what
    /// the server itself wrote, whatever a controller made of it since.
    pub async fn next(&mut self, collection: &str, name: &str, after: &str) -> Value {
        let watch = format!(
            "{collection}?watch=true&fieldSelector=metadata.name={name}&resourceVersion={after}&timeoutSeconds=30"
        );
        self.watch(Call::get(watch), 1).await.into_iter().next().unwrap_or_default()
    }

    /// Records what follows from an answer, to be compared too: what a token says, the part of an object that is told.
    pub fn found(&mut self, title: &str, body: Value) {
        let answer = Answer { code: 0, body, warnings: Vec::new(), headers: http::HeaderMap::new(), size: 0 };
        self.steps.push(Step { title: title.to_owned(), answer });
    }

    async fn end(&self) {
        // Where no controllers run, what is in it stays; its name comes up never again.
        _ = self.cluster.send(&Call::delete(format!("/api/v1/namespaces/{}", self.space))).await;
    }
}

/// Waits no longer for an answer than the longest watch of a walk lasts.
async fn within(call: &Call, answer: impl Future<Output = anyhow::Result<Answer>>) -> anyhow::Result<Answer> {
    let answer = tokio::time::timeout(Duration::from_secs(45), answer).await;
    answer.with_context(|| format!("no answer within 45 s: {}", call.title()))?
}

/// Makes a walk through the embedded server alone: what a real one leaves to controllers, which do not run beside it.
///
/// # Panics
///
/// The walk does.
#[expect(clippy::panic, reason = "it is the end of a test")]
pub async fn embedded(walk: impl AsyncFn(&mut Walk)) {
    let begun = async {
        let id = uuid::Uuid::new_v4().simple().to_string()[..8].to_owned();
        let served = Served::start().await?;
        let file = served.kubeconfig();
        let ours = Cluster::of_kubeconfig(file.to_str().context("the temporary folder is no text")?).await?;
        anyhow::Ok((served, Walk::begin(ours, &id).await?))
    };
    match begun.await {
        Ok((_served, mut mine)) => walk(&mut mine).await,
        Err(error) => panic!("{error:#}"),
    }
}

/// Makes a walk through the embedded server, or the cluster of the kubeconfig in
/// `CONFORMANCE_KUBECONFIG`; with `CONFORMANCE_PEERS` through a real server too, and
/// compares every answer.
///
/// # Panics
///
/// The walk does, or an answer differs.
#[expect(clippy::panic, reason = "it is the end of a test")]
pub async fn conform(walk: impl AsyncFn(&mut Walk)) {
    if let Err(error) = try_conform(walk).await {
        panic!("{error:#}");
    }
}

async fn try_conform(walk: impl AsyncFn(&mut Walk)) -> anyhow::Result<()> {
    let id = uuid::Uuid::new_v4().simple().to_string()[..8].to_owned();
    if let Ok(file) = std::env::var("CONFORMANCE_KUBECONFIG") {
        let mut only = Walk::begin(Cluster::of_kubeconfig(&file).await?, &id).await?;
        walk(&mut only).await;
        only.end().await;
        return Ok(());
    }
    let served = Served::start().await?;
    let file = served.kubeconfig();
    let ours = Cluster::of_kubeconfig(file.to_str().context("the temporary folder is no text")?).await?;
    let mut mine = Walk::begin(ours, &id).await?;
    let Some(peer) = peer::shared().await? else {
        walk(&mut mine).await;
        return Ok(());
    };
    // What ours does wrong is easier to see beside what the real one says.
    let broke = AssertUnwindSafe(walk(&mut mine)).catch_unwind().await;
    let mut real = Walk::begin(peer, &id).await?;
    let theirs = AssertUnwindSafe(walk(&mut real)).catch_unwind().await;
    real.end().await;
    let lines = compare(&mine.steps, &real.steps);
    if broke.is_err() || theirs.is_err() {
        let ours = if broke.is_err() { "fails" } else { "holds" };
        let theirs = if theirs.is_err() { "fails" } else { "holds" };
        anyhow::bail!("the walk {ours} on ours, {theirs} on the real server\n{}", lines.join("\n"));
    }
    anyhow::ensure!(lines.is_empty(), "{} of {} answers\n{}", lines.len(), real.steps.len(), lines.join("\n"));
    Ok(())
}

/// Returns where the answers of two walks differ, one line for each place.
fn compare(ours: &[Step], theirs: &[Step]) -> Vec<String> {
    let mut lines = Vec::new();
    for (index, their) in theirs.iter().enumerate() {
        let Some(own) = ours.get(index) else {
            lines.push(format!("{index} {}: not reached by ours", their.title));
            break;
        };
        let found = answers(&own.answer, &their.answer);
        // Large bodies differ in a place or two.
        let short = |line: String| line.chars().take(700).collect::<String>();
        lines.extend(found.into_iter().map(|line| format!("{index} {}: {}", their.title, short(line))));
    }
    lines
}

/// A body without who owns which field, which is a subject of its own: the kinds' comparison looks at it.
fn unowned(body: &Value) -> Value {
    match body {
        Value::Object(map) => {
            let kept = map.iter().filter(|(name, _)| *name != "managedFields");
            kept.map(|(name, inner)| (name.clone(), unowned(inner))).collect::<serde_json::Map<_, _>>().into()
        }
        Value::Array(list) => list.iter().map(unowned).collect(),
        other => other.clone(),
    }
}

/// Returns where two answers differ: code, body, warnings, headers.
#[must_use]
pub fn answers(ours: &Answer, theirs: &Answer) -> Vec<String> {
    if ours.code != theirs.code {
        return vec![format!("code: ours {} {}, theirs {} {}", ours.code, ours.body, theirs.code, theirs.body)];
    }
    let mut found = difference::between(&unowned(&ours.body), &unowned(&theirs.body));
    let texts = |answer: &Answer| answer.warnings.iter().map(|text| difference::masked_text(text)).collect::<Vec<_>>();
    if texts(ours) != texts(theirs) {
        found.push(format!("warnings: ours {:?}, theirs {:?}", ours.warnings, theirs.warnings));
    }
    let names: std::collections::BTreeSet<&str> =
        ours.headers.keys().chain(theirs.headers.keys()).map(http::HeaderName::as_str).collect();
    for name in names.into_iter().filter(|name| !UNCOMPARED.contains(name)) {
        let values = |answer: &Answer| {
            let all =
                answer.headers.get_all(name).iter().map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
            // That there is one is compared.
            if matches!(name, "audit-id" | "etag" | "last-modified" | "expires") {
                all.map(|_| "…".to_owned()).collect()
            } else {
                all.collect::<Vec<_>>()
            }
        };
        let (own, their) = (values(ours), values(theirs));
        if own != their {
            found.push(format!("header {name}: ours {own:?}, theirs {their:?}"));
        }
    }
    found
}
