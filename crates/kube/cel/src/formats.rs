//! The formats that `format.named` knows, and what Kubernetes says of a value that breaks one.

const NAMES: [&str; 12] = [
    "dns1123Label",
    "dns1123Subdomain",
    "dns1035Label",
    "qualifiedName",
    "dns1123LabelPrefix",
    "dns1123SubdomainPrefix",
    "dns1035LabelPrefix",
    "labelValue",
    "uri",
    "uuid",
    "byte",
    "date",
];

/// Returns the format of that name.
pub(crate) fn named(name: &str) -> Option<&'static str> {
    if name == "datetime" {
        return Some("datetime");
    }
    NAMES.into_iter().find(|known| *known == name)
}

/// Returns what is wrong with `text`.
pub(crate) fn problems(format: &str, text: &str) -> Vec<String> {
    match format {
        "dns1123Label" => label(text, false),
        "dns1123Subdomain" => subdomain(text),
        "dns1035Label" => label(text, true),
        "dns1123LabelPrefix" => label(&prefix(text), false),
        "dns1123SubdomainPrefix" => subdomain(&prefix(text)),
        "dns1035LabelPrefix" => label(&prefix(text), true),
        "qualifiedName" => {
            if schema::selector::is_label_key(text) {
                Vec::new()
            } else {
                vec!["name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')".to_owned()]
            }
        }
        "labelValue" => {
            if schema::selector::is_label_value(text) {
                Vec::new()
            } else {
                vec!["a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')".to_owned()]
            }
        }
        "uri" if crate::text::Url::parse(text).is_none() => vec![format!("parse {text:?}: invalid URI for request")],
        "uuid" if !is_uuid(text) => vec!["does not match the UUID format".to_owned()],
        "byte" if !is_base64(text) => vec!["invalid base64".to_owned()],
        "date" if crate::text::parse_day(text).is_none() => vec!["invalid date".to_owned()],
        "datetime" if crate::text::parse_time(text).is_none() => vec!["invalid datetime".to_owned()],
        _ => Vec::new(),
    }
}

/// A prefix is checked as if something came after its dash.
fn prefix(text: &str) -> String {
    match text.strip_suffix('-') {
        Some(head) if !head.is_empty() => format!("{head}a"),
        _ => text.to_owned(),
    }
}

fn label(text: &str, letter_first: bool) -> Vec<String> {
    let mut found = Vec::new();
    if text.len() > 63 {
        found.push("must be no more than 63 bytes".to_owned());
    }
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let first =
        text.bytes().next().is_some_and(|byte| if letter_first { byte.is_ascii_lowercase() } else { allowed(byte) });
    let rest = text.bytes().all(|byte| allowed(byte) || byte == b'-') && text.bytes().last().is_some_and(allowed);
    if !(first && rest) {
        found.push(if letter_first {
            "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')".to_owned()
        } else {
            "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')".to_owned()
        });
    }
    found
}

fn subdomain(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    if text.len() > 253 {
        found.push("must be no more than 253 bytes".to_owned());
    }
    if text.split('.').any(|part| {
        let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        part.is_empty()
            || !part.bytes().all(|byte| allowed(byte) || byte == b'-')
            || !part.bytes().next().is_some_and(allowed)
            || !part.bytes().last().is_some_and(allowed)
    }) {
        found.push("a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')".to_owned());
    }
    found
}

/// Returns whether text is a UUID.
pub(crate) fn is_uuid(text: &str) -> bool {
    let digits: String = text.chars().filter(|letter| *letter != '-').collect();
    digits.len() == 32 && digits.bytes().all(|byte| byte.is_ascii_hexdigit()) && (text.len() == 36 || text.len() == 32)
}

fn is_base64(text: &str) -> bool {
    let body = text.trim_end_matches('=');
    text.len().is_multiple_of(4)
        && text.len() - body.len() <= 2
        && body.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/'))
}
