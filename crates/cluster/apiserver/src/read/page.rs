//! Which moment and which part of a list is asked for: `resourceVersion` and its match,
//! `limit` and `continue`. Decisions alone; nothing here reads the store.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use http::StatusCode;
use serde_json::{Value, json};

use crate::{body, request::Query, status::Failure};

const EXPIRED: &str = "The provided continue parameter is too old to display a consistent list result. You can start a new list without the continue parameter";
const RETRY: &str = ", or use the continue token in this response to retrieve the remainder of the results. Continuing with the provided token results in an inconsistent list - objects that were created, modified, or deleted between the time the first chunk was returned and now may show up in the list.";

/// For how long pages of one moment are shown, in seconds: as long as history is kept.
const PAGES_FOR: i64 = 5 * 60;

/// The moment that a list shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Moment {
    /// Now, which must not be before this revision.
    Now(u64),
    /// Exactly this revision.
    At(u64),
}

/// What a list is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Page {
    pub(super) moment: Moment,
    /// The key after which it goes on, below the list's prefix.
    pub(super) after: Option<String>,
    /// When the first of its pages was shown, in seconds since 1970.
    pub(super) begun: Option<i64>,
    pub(super) limit: Option<usize>,
}

impl Page {
    /// Reads what a list asks for.
    pub(super) fn parse(query: &Query) -> Result<Page, Failure> {
        query.number("timeoutSeconds")?;
        let limit = query.number("limit")?.and_then(|limit| usize::try_from(limit).ok()).filter(|limit| *limit > 0);
        check_list(query)?;
        let revision = revision(query)
            .map_err(|failure| Failure::bad_request(format!("invalid resource version: {}", failure.message)))?;
        if let Some(token) = query.get("continue") {
            if revision > 0 {
                return Err(Failure::bad_request("specifying resource version is not allowed when using continue"));
            }
            let (revision, after, begun) = decode(token)?;
            let moment = u64::try_from(revision).map_or(Moment::Now(0), Moment::At);
            // Who goes on with what is there by then begins anew.
            let begun = begun.filter(|_| matches!(moment, Moment::At(_)));
            return Ok(Page { moment, after: Some(after), begun, limit });
        }
        let exact = match query.get("resourceVersionMatch") {
            Some("Exact") => true,
            // Without a match a page of a named revision is a page of that revision: the older rule of the two.
            None => limit.is_some() && revision > 0,
            Some(_) => false,
        };
        // Nothing ever was at revision 0, however it is written.
        let exact = exact && revision > 0;
        Ok(Page {
            moment: if exact { Moment::At(revision) } else { Moment::Now(revision) },
            after: None,
            begun: None,
            limit,
        })
    }

    /// Returns whether its moment is so long ago that it is shown no more.
    pub(super) fn is_over(&self, now: i64) -> bool {
        self.begun.is_some_and(|begun| now - begun > PAGES_FOR)
    }

    /// The revision's state is no longer known.
    pub(super) fn gone(&self) -> Failure {
        match &self.after {
            None => Failure::expired("The resourceVersion for the provided list is too old."),
            Some(after) => Failure::expired(format!("{EXPIRED}{RETRY}")).going_on(encode(-1, after, None)),
        }
    }
}

/// Returns the token that a list goes on with after `key`; revision -1 goes on with what is there by then.
/// `begun` is when the first page was shown.
pub(super) fn encode(revision: i64, key: &str, begun: Option<i64>) -> String {
    let start = json!(format!("/{key}\u{0}"));
    let begun = begun.map_or_else(String::new, |begun| format!(",\"begun\":{begun}"));
    // In the order that Kubernetes writes them in.
    URL_SAFE_NO_PAD.encode(format!("{{\"v\":\"meta.k8s.io/v1\",\"rv\":{revision},\"start\":{start}{begun}}}"))
}

fn decode(token: &str) -> Result<(i64, String, Option<i64>), Failure> {
    let bad = |why: &str| Failure::bad_request(format!("invalid continue token: continue key is not valid: {why}"));
    let bytes = URL_SAFE_NO_PAD
        .decode(token)
        .map_err(|error| bad(&format!("illegal base64 data at input byte {}", byte_of(&error, token.len()))))?;
    let value: Value = serde_json::from_slice(&bytes)
        .map_err(|error| bad(&body::syntax_problem(&bytes).unwrap_or_else(|| error.to_string())))?;
    if value["v"] != "meta.k8s.io/v1" {
        let found = value["v"].as_str().unwrap_or_default();
        return Err(bad(&format!("server does not recognize this encoded version {found}")));
    }
    let revision = value["rv"].as_i64().filter(|revision| *revision != 0);
    let revision = revision.ok_or_else(|| bad("incorrect encoded start resourceVersion (version meta.k8s.io/v1)"))?;
    let start = value["start"].as_str().unwrap_or_default();
    if start.is_empty() {
        return Err(bad("encoded start key empty (version meta.k8s.io/v1)"));
    }
    if start.split('/').any(|part| matches!(part, "." | "..")) {
        return Err(bad(start));
    }
    Ok((revision, start.trim_matches(['\u{0}', '/']).to_owned(), value["begun"].as_i64()))
}

/// Returns the byte at which a token stops being base64.
fn byte_of(error: &base64::DecodeError, length: usize) -> usize {
    match error {
        base64::DecodeError::InvalidByte(at, _) | base64::DecodeError::InvalidLastSymbol(at, _) => *at,
        _ => length / 4 * 4,
    }
}

/// Returns the revision that a request names; 0: none.
pub(super) fn revision(query: &Query) -> Result<u64, Failure> {
    let given = query.get("resourceVersion").unwrap_or("0");
    given.parse().map_err(|_| {
        let why =
            format!("resourceVersion: Invalid value: {given:?}: strconv.ParseUint: parsing {given:?}: invalid syntax");
        Failure::unreasoned(why)
    })
}

/// The revision has not been reached yet.
pub(super) fn too_large(given: u64, current: u64) -> Failure {
    let mut failure = Failure::new(
        StatusCode::GATEWAY_TIMEOUT,
        "Timeout",
        format!("Timeout: Too large resource version: {given}, current: {current}"),
    );
    failure.details =
        json!({"causes": [{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}]});
    failure.retry_after = Some(1);
    failure
}

const NOT_FORBIDDEN: &[&str] = &["Exact", "NotOlderThan"];

fn check_list(query: &Query) -> Result<(), Failure> {
    let mut wrong = Vec::new();
    if let Some(found) = query.get("resourceVersionMatch") {
        let version = query.get("resourceVersion");
        let mut forbid = |why: &str| wrong.push(format!("resourceVersionMatch: Forbidden: {why}"));
        if version.is_none() {
            forbid("resourceVersionMatch is forbidden unless resourceVersion is provided");
        }
        if query.get("continue").is_some() {
            forbid("resourceVersionMatch is forbidden when continue is provided");
        }
        if found == "Exact" && version == Some("0") {
            forbid("resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\"");
        }
        if !NOT_FORBIDDEN.contains(&found) {
            wrong.push(format!(
                "resourceVersionMatch: Unsupported value: {found:?}: supported values: \"Exact\", \"NotOlderThan\", \"\""
            ));
        }
    }
    if query.has("sendInitialEvents") {
        wrong.push("sendInitialEvents: Forbidden: sendInitialEvents is forbidden for list".to_owned());
    }
    refuse(&wrong)
}

/// Checks what a watch is asked for; returns whether it begins with what is there and says when it told that.
pub(super) fn check_watch(query: &Query) -> Result<bool, Failure> {
    let mut wrong = Vec::new();
    let found = query.get("resourceVersionMatch");
    let asks = query.has("sendInitialEvents");
    let mut forbid = |why: &str| wrong.push(format!("resourceVersionMatch: Forbidden: {why}"));
    if asks && found != Some("NotOlderThan") {
        forbid("sendInitialEvents requires setting resourceVersionMatch to NotOlderThan");
    }
    if found.is_some() && !asks {
        forbid("resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided");
    }
    if found.is_some() && query.get("continue").is_some() {
        forbid("resourceVersionMatch is forbidden when continue is provided");
    }
    if let Some(found) = found.filter(|found| *found != "NotOlderThan") {
        wrong.push(format!("resourceVersionMatch: Unsupported value: {found:?}: supported values: \"NotOlderThan\""));
    }
    refuse(&wrong)?;
    Ok(query.flag("sendInitialEvents"))
}

fn refuse(wrong: &[String]) -> Result<(), Failure> {
    if wrong.is_empty() { Ok(()) } else { Err(Failure::invalid_options("ListOptions", wrong)) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(query: &str) -> Result<Page, String> {
        Page::parse(&Query::parse(Some(query))).map_err(|failure| failure.message)
    }

    #[test]
    fn the_moment_follows_from_version_match_and_limit() {
        for (query, moment) in [
            ("", Moment::Now(0)),
            ("resourceVersion=0", Moment::Now(0)),
            ("resourceVersion=7", Moment::Now(7)),
            ("resourceVersion=7&resourceVersionMatch=NotOlderThan&limit=2", Moment::Now(7)),
            ("resourceVersion=7&resourceVersionMatch=Exact", Moment::At(7)),
            ("resourceVersion=7&limit=2", Moment::At(7)),
            ("resourceVersion=0&limit=2", Moment::Now(0)),
        ] {
            assert_eq!(parse(query).unwrap().moment, moment, "{query}");
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused_in_kubernetes_words() {
        for (query, why) in [
            (
                "resourceVersionMatch=Exact",
                "ListOptions.meta.k8s.io \"\" is invalid: resourceVersionMatch: Forbidden: resourceVersionMatch is forbidden unless resourceVersion is provided",
            ),
            (
                "resourceVersionMatch=Exact&resourceVersion=0",
                "ListOptions.meta.k8s.io \"\" is invalid: resourceVersionMatch: Forbidden: resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\"",
            ),
            (
                "resourceVersionMatch=Newest&resourceVersion=1",
                "ListOptions.meta.k8s.io \"\" is invalid: resourceVersionMatch: Unsupported value: \"Newest\": supported values: \"Exact\", \"NotOlderThan\", \"\"",
            ),
            (
                "sendInitialEvents=true",
                "ListOptions.meta.k8s.io \"\" is invalid: sendInitialEvents: Forbidden: sendInitialEvents is forbidden for list",
            ),
        ] {
            assert_eq!(parse(query).unwrap_err(), why);
        }
        let token = encode(5, "default/a", Some(100));
        let both = format!("continue={token}&resourceVersion=5");
        assert_eq!(parse(&both).unwrap_err(), "specifying resource version is not allowed when using continue");
        let watch = |query: &str| check_watch(&Query::parse(Some(query))).map_err(|failure| failure.message);
        assert_eq!(watch("sendInitialEvents=true&resourceVersionMatch=NotOlderThan"), Ok(true));
        assert_eq!(watch(""), Ok(false));
        assert!(watch("sendInitialEvents=true").is_err() && watch("resourceVersionMatch=NotOlderThan").is_err());
    }

    #[test]
    fn pages_of_one_moment_are_shown_for_as_long_as_history_is_kept() {
        let token = encode(5, "default/a", Some(1000));
        let page = Page::parse(&Query::parse(Some(&format!("continue={token}")))).unwrap();
        assert!(!page.is_over(1000 + PAGES_FOR) && page.is_over(1001 + PAGES_FOR));
        let onward = page.gone().to_json()["metadata"]["continue"].as_str().unwrap().to_owned();
        let page = Page::parse(&Query::parse(Some(&format!("continue={onward}")))).unwrap();
        assert_eq!((page.moment.clone(), page.is_over(i64::MAX)), (Moment::Now(0), false));
    }

    proptest! {
        #[test]
        fn a_token_leads_where_it_was_made(revision in 1_i64..i64::MAX, key in "[a-z]{1,9}(/[a-z.]{0,3}[a-z])?") {
            prop_assert_eq!(decode(&encode(revision, &key, None)).unwrap(), (revision, key, None));
        }

        #[test]
        fn no_text_breaks_the_reader_of_tokens(text in ".{0,40}") {
            let _ = decode(&text);
        }
    }
}
