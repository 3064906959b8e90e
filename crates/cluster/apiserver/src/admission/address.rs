//! Where a webhook is: a URL, or a Service's name.

use schema::validate::Cause;
use serde_json::Value;

/// Checks where a webhook is: a URL, or a Service's name.
pub(crate) fn client_config(config: &Value, at: &str, causes: &mut Vec<Cause>) {
    let (url, service) = (&config["url"], &config["service"]);
    if url.is_null() == service.is_null() {
        causes.push(Cause::required(at, "exactly one of url or service is required"));
        return;
    }
    if let Some(text) = url.as_str() {
        web_address(text, &format!("{at}.url"), causes);
    }
    if service.is_object() {
        for name in ["name", "namespace"] {
            if service[name].as_str().unwrap_or_default().is_empty() {
                causes.push(Cause::required(format!("{at}.service.{name}"), ""));
            }
        }
        if let Some(path) = service["path"].as_str() {
            service_path(path, &format!("{at}.service.path"), causes);
        }
        if let Some(port) = service["port"].as_i64().filter(|port| !(1..=65535).contains(port)) {
            let detail = "port is not valid: must be between 1 and 65535, inclusive";
            causes.push(Cause::invalid(format!("{at}.service.port"), &port.into(), detail));
        }
    }
}

/// Returns why a bundle of certificates is none that a server can be known by.
pub(crate) fn bundle_problem(bundle: &[u8]) -> Option<String> {
    let mut why = "unable to parse bytes as PEM block".to_owned();
    for block in x509_parser::pem::Pem::iter_from_buffer(bundle) {
        let Ok(block) = block else { break };
        "no valid certificate authority data seen".clone_into(&mut why);
        if block.label != "CERTIFICATE" {
            continue;
        }
        match block.parse_x509() {
            Ok(_) => return None,
            Err(error) => why = format!("failed to parse certificate: {error}"),
        }
    }
    Some(format!("unable to load root certificates: {why}"))
}

/// Checks a URL that is called.
fn web_address(text: &str, at: &str, causes: &mut Vec<Cause>) {
    const FORM: &str = "desired format: https://host[/path]";
    let address = match Address::read(text) {
        Ok(address) => address,
        Err(why) => {
            let detail = format!("url must be a valid URL: parse {text:?}: {why}; {FORM}");
            causes.push(Cause::required(at, &detail));
            return;
        }
    };
    let mut refuse = |part: &str, detail: &str| causes.push(Cause::invalid(at, &part.into(), detail));
    if address.scheme != "https" {
        refuse(&address.scheme, &format!("'https' is the only allowed URL scheme; {FORM}"));
    }
    if address.host.is_empty() {
        refuse("", &format!("host must be specified; {FORM}"));
    }
    if let Some(user) = address.user {
        refuse(user, "user information is not permitted in the URL");
    }
    for (part, what) in [(address.fragment, "fragments"), (address.query, "query parameters")] {
        if !part.is_empty() {
            refuse(part, &format!("{what} are not permitted in the URL"));
        }
    }
}

/// The parts of a URL, as Go's reader tells them.
struct Address<'a> {
    scheme: String,
    user: Option<&'a str>,
    host: &'a str,
    query: &'a str,
    fragment: &'a str,
}

impl Address<'_> {
    fn read(text: &str) -> Result<Address<'_>, String> {
        if text.chars().any(|letter| letter.is_ascii_control()) {
            return Err("net/url: invalid control character in URL".to_owned());
        }
        let (text, fragment) = text.split_once('#').unwrap_or((text, ""));
        let (scheme, rest) = match text.find(|letter: char| !letter.is_ascii_alphanumeric() && !"+-.".contains(letter))
        {
            Some(0) if text.starts_with(':') => return Err("missing protocol scheme".to_owned()),
            Some(end)
                if text[end..].starts_with(':') && text.starts_with(|letter: char| letter.is_ascii_alphabetic()) =>
            {
                (text[..end].to_lowercase(), &text[end + 1..])
            }
            _ => (String::new(), text),
        };
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let authority = rest.strip_prefix("//").map_or("", |rest| rest.split('/').next().unwrap_or_default());
        let (user, host) = match authority.rsplit_once('@') {
            Some((user, host)) => (Some(user), host),
            None => (None, authority),
        };
        if let Some(odd) =
            host.chars().find(|letter| matches!(letter, ' ' | '"' | '<' | '>' | '\\' | '^' | '`' | '{' | '|' | '}'))
        {
            return Err(format!("invalid character {:?} in host name", odd.to_string()));
        }
        let port = host.rsplit_once(']').map_or(host, |(_, after)| after).rsplit_once(':').map(|(_, port)| port);
        if let Some(port) = port.filter(|port| !port.bytes().all(|byte| byte.is_ascii_digit())) {
            return Err(format!("invalid port {:?} after host", format!(":{port}")));
        }
        Ok(Address { scheme, user, host, query, fragment })
    }
}

/// Checks the path of a service's URL.
fn service_path(path: &str, at: &str, causes: &mut Vec<Cause>) {
    if matches!(path, "" | "/") {
        return;
    }
    let mut refuse = |detail: &str| causes.push(Cause::invalid(at, &path.into(), detail));
    if path == "//" {
        return refuse("segment[0] may not be empty");
    }
    if !path.starts_with('/') {
        refuse("must start with a '/'");
    }
    // What stands first is taken for the slash.
    let rest: String = path.chars().skip(1).collect();
    for (index, step) in rest.strip_suffix('/').unwrap_or(&rest).split('/').enumerate() {
        if step.is_empty() {
            refuse(&format!("segment[{index}] may not be empty"));
        } else if !base::names::is_dns_subdomain(step) {
            refuse(&format!("segment[{index}]: {}", crate::builtin::rules::check::SUBDOMAIN));
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_address_is_one_of_https_with_a_host_and_no_more_than_a_path() {
        let said = |url: &str| -> Vec<String> {
            let mut causes = Vec::new();
            client_config(&json!({"url": url}), "c", &mut causes);
            causes.into_iter().map(|cause| cause.message).collect()
        };
        assert!(said("https://hooks.example:8443/convert").is_empty());
        assert!(said("HTTPS://[::1]:8443/").is_empty());
        for (url, wanted) in [
            ("http://x", "Invalid value: \"http\": 'https' is the only"),
            ("https:///a", "Invalid value: \"\": host must be specified"),
            ("https://u:p@x", "Invalid value: \"u:p\": user information"),
            ("https://x?a=b", "Invalid value: \"a=b\": query parameters"),
            ("https://x#c", "Invalid value: \"c\": fragments"),
            (
                "https://x:y",
                "Required value: url must be a valid URL: parse \"https://x:y\": invalid port \":y\" after host",
            ),
            ("://x", "Required value: url must be a valid URL: parse \"://x\": missing protocol scheme"),
        ] {
            assert!(said(url).iter().any(|said| said.starts_with(wanted)), "{url}: {:?}", said(url));
        }
    }
}
