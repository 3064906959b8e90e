//! Pages of a list, and query parameters of which none is ignored.

use axum::extract::{FromRequestParts, Query};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use http::request::Parts;
use platform::rest::Page;
use serde::{Deserialize, de::DeserializeOwned};

use crate::problem::Problem;

/// Items of a page if nothing is said.
const USUAL: usize = 100;
/// The most items of a page.
const MOST: usize = 500;

/// Query parameters; one that is not known is refused.
pub(crate) struct Params<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Params<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let Query(params) = Query::<T>::from_request_parts(parts, state)
            .await
            .map_err(|rejection| Problem::Malformed(rejection.body_text()))?;
        Ok(Params(params))
    }
}

/// Parameters of every list.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ListParams {
    pub(crate) limit: Option<usize>,
    #[serde(rename = "continue")]
    pub(crate) next: Option<String>,
    pub(crate) q: Option<String>,
    #[serde(default)]
    pub(crate) watch: bool,
    pub(crate) environment: Option<String>,
}

/// Parameters of a write.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct WriteParams {
    #[serde(default, rename = "dryRun")]
    pub(crate) dry_run: bool,
}

/// Parameters of one object.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct OneParams {
    pub(crate) environment: Option<String>,
    #[serde(default, rename = "dryRun")]
    pub(crate) dry_run: bool,
}

/// No parameters.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NoParams {}

/// Returns the page that `limit` and `next` ask for; `items` are in the order of their keys.
pub(crate) fn page<T>(
    items: Vec<T>,
    key: impl Fn(&T) -> String,
    limit: Option<usize>,
    next: Option<&str>,
) -> Result<Page<T>, Problem> {
    let limit = limit.unwrap_or(USUAL);
    if !(1..=MOST).contains(&limit) {
        return Err(Problem::Malformed(format!("limit is a number from 1 to {MOST}")));
    }
    let after = match next {
        None => String::new(),
        Some(token) => {
            URL_SAFE_NO_PAD.decode(token).ok().and_then(|bytes| String::from_utf8(bytes).ok()).ok_or_else(|| {
                Problem::Malformed("continue is not one of this list's; begin again without it".to_owned())
            })?
        }
    };
    let mut rest: Vec<T> = items.into_iter().skip_while(|item| !after.is_empty() && key(item) <= after).collect();
    let more = rest.len() > limit;
    rest.truncate(limit);
    let next = rest.last().filter(|_| more).map(|last| URL_SAFE_NO_PAD.encode(key(last)));
    Ok(Page { items: rest, next })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_together_are_the_list() {
        let all: Vec<String> = (0..23).map(|number| format!("{number:02}")).collect();
        for limit in [1, 5, 23, 24] {
            let (mut seen, mut next) = (Vec::new(), None);
            loop {
                let page = page(all.clone(), String::clone, Some(limit), next.as_deref()).unwrap();
                assert!(page.items.len() <= limit);
                seen.extend(page.items);
                next = page.next;
                if next.is_none() {
                    break;
                }
            }
            assert_eq!(seen, all, "by {limit}");
        }
    }

    #[test]
    fn a_limit_or_token_that_makes_no_sense_is_refused() {
        for (limit, next) in [(Some(0), None), (Some(501), None), (None, Some("%"))] {
            assert!(page(vec![1], ToString::to_string, limit, next).is_err());
        }
    }
}
