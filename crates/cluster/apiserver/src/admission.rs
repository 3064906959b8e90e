//! Admission's dealings with the outside: webhooks, and the objects that decisions are made from.

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
        let field = format!("{at}.url");
        let form = "desired format: https://host[/path]";
        match text.parse::<http::Uri>() {
            Err(error) => {
                let detail = format!("url must be a valid URL: {error}; {form}");
                causes.push(Cause::required(field, &detail));
            }
            Ok(uri) => {
                if uri.scheme_str() != Some("https") {
                    let detail = format!("'https' is the only allowed URL scheme; {form}");
                    causes.push(Cause::invalid(&field, &uri.scheme_str().unwrap_or_default().into(), &detail));
                }
                if uri.host().unwrap_or_default().is_empty() {
                    let detail = format!("host must be specified; {form}");
                    causes.push(Cause::invalid(&field, &"".into(), &detail));
                }
                if text.contains('@') {
                    let detail = "user information is not permitted in the URL";
                    causes.push(Cause::invalid(&field, url, detail));
                }
                if text.contains('#') {
                    causes.push(Cause::invalid(&field, url, "fragments are not permitted in the URL"));
                }
                if uri.query().is_some() {
                    causes.push(Cause::invalid(&field, url, "query parameters are not permitted in the URL"));
                }
            }
        }
    }
    if service.is_object() {
        for name in ["name", "namespace"] {
            if service[name].as_str().unwrap_or_default().is_empty() {
                causes.push(Cause::required(format!("{at}.service.{name}"), &format!("service {name} is required")));
            }
        }
        if let Some(path) = service["path"].as_str().filter(|path| !path.is_empty() && !path.starts_with('/')) {
            let field = format!("{at}.service.path");
            causes.push(Cause::invalid(field, &path.into(), "must start with a '/'"));
        }
        if let Some(port) = service["port"].as_i64().filter(|port| !(1..=65535).contains(port)) {
            let detail = "port is not valid: must be between 1 and 65535, inclusive";
            causes.push(Cause::invalid(format!("{at}.service.port"), &port.into(), detail));
        }
    }
}
