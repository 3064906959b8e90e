//! Headers on their way through: what ends at a hop, what is added, what routes change.

use std::net::IpAddr;

use http::{HeaderMap, HeaderName, HeaderValue, header};
use routes::{HeaderEdits, Scheme};

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");

/// Takes away what concerns one connection only (RFC 9110, section 7.6.1), and what `Connection` names.
pub(crate) fn end_hop(headers: &mut HeaderMap) {
    if headers.contains_key(header::CONNECTION) {
        let named: Vec<HeaderName> = headers
            .get_all(header::CONNECTION)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .filter_map(|name| name.trim().parse().ok())
            .collect();
        for name in named {
            headers.remove(name);
        }
        headers.remove(header::CONNECTION);
    }
    for name in [
        &KEEP_ALIVE,
        &PROXY_CONNECTION,
        &header::TRANSFER_ENCODING,
        &header::UPGRADE,
        &header::PROXY_AUTHENTICATE,
        &header::PROXY_AUTHORIZATION,
    ] {
        headers.remove(name);
    }
    if let Some(te) = headers.get(header::TE)
        && te != "trailers"
    {
        headers.remove(header::TE);
    }
}

/// Returns the protocol that a client asks to upgrade to.
pub(crate) fn upgrade(headers: &HeaderMap) -> Option<HeaderValue> {
    let wanted = headers.get(header::UPGRADE)?;
    let named = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|name| name.trim().eq_ignore_ascii_case("upgrade"));
    named.then(|| wanted.clone())
}

/// Puts back the two headers that an upgrade needs on each hop.
pub(crate) fn ask_upgrade(headers: &mut HeaderMap, protocol: HeaderValue) {
    headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(header::UPGRADE, protocol);
}

/// Says who asked, how, and for which host.
pub(crate) fn forwarded(headers: &mut HeaderMap, client: IpAddr, scheme: Scheme, host: &HeaderValue) {
    let mut chain = headers
        .get_all(FORWARDED_FOR)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .fold(String::new(), |chain, value| chain + value + ", ");
    chain.push_str(&client.to_canonical().to_string());
    if let Ok(value) = HeaderValue::try_from(chain) {
        headers.insert(FORWARDED_FOR, value);
    }
    headers.insert(FORWARDED_PROTO, HeaderValue::from_static(scheme.as_str()));
    headers.insert(FORWARDED_HOST, host.clone());
}

/// Joins the cookie fields that HTTP/2 may send apart (RFC 9113, section 8.2.3).
pub(crate) fn join_cookies(headers: &mut HeaderMap) {
    if headers.get_all(header::COOKIE).iter().nth(1).is_none() {
        return;
    }
    let parts: Vec<&[u8]> = headers.get_all(header::COOKIE).iter().map(HeaderValue::as_bytes).collect();
    if let Ok(joined) = HeaderValue::from_bytes(&parts.join(&b"; "[..])) {
        headers.insert(header::COOKIE, joined);
    }
}

/// Applies a route's changes; names and values that HTTP does not allow were refused when they were compiled.
pub(crate) fn edit(headers: &mut HeaderMap, edits: &HeaderEdits) {
    let parsed =
        |(name, value): &(String, String)| Some((name.parse::<HeaderName>().ok()?, HeaderValue::from_str(value).ok()?));
    for (name, value) in edits.set.iter().filter_map(parsed) {
        headers.insert(name, value);
    }
    for (name, value) in edits.add.iter().filter_map(parsed) {
        headers.append(name, value);
    }
    for name in &edits.remove {
        headers.remove(name.as_str());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value))).collect()
    }

    #[test]
    fn what_concerns_one_hop_ends_there() {
        let mut headers = map(&[
            ("connection", "close, X-Mine"),
            ("x-mine", "1"),
            ("keep-alive", "timeout=5"),
            ("te", "gzip"),
            ("transfer-encoding", "chunked"),
            ("accept", "*/*"),
        ]);
        end_hop(&mut headers);
        assert_eq!(headers, map(&[("accept", "*/*")]));
    }

    #[test]
    fn an_upgrade_is_asked_for_by_both_headers() {
        assert!(upgrade(&map(&[("connection", "keep-alive, Upgrade"), ("upgrade", "websocket")])).is_some());
        assert!(upgrade(&map(&[("upgrade", "websocket")])).is_none());
        assert!(upgrade(&map(&[("connection", "upgrade")])).is_none());
    }

    #[test]
    fn the_client_is_added_to_the_chain_and_the_rest_is_ours_to_say() {
        let mut headers =
            map(&[("x-forwarded-for", "9.9.9.9"), ("x-forwarded-proto", "gopher"), ("x-forwarded-host", "evil")]);
        forwarded(
            &mut headers,
            "::ffff:127.0.0.1".parse().unwrap(),
            Scheme::Https,
            &HeaderValue::from_static("a.b:8443"),
        );
        assert_eq!(
            headers,
            map(&[
                ("x-forwarded-for", "9.9.9.9, 127.0.0.1"),
                ("x-forwarded-proto", "https"),
                ("x-forwarded-host", "a.b:8443")
            ])
        );
    }
}
