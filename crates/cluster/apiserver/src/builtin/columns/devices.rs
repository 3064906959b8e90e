//! Columns of devices and of API services.

use serde_json::Value;

use super::{age, list, of, text};
use crate::registry::Column;

pub(in crate::builtin) fn claim() -> Vec<Column> {
    vec![
        of("State", |claim| {
            let deleted = !claim["metadata"]["deletionTimestamp"].is_null();
            let allocated = !claim["status"]["allocation"].is_null();
            let reserved = allocated && !list(&claim["status"], "reservedFor").is_empty();
            let states = [
                (deleted, "deleted"),
                (!deleted && !allocated, "pending"),
                (allocated, "allocated"),
                (reserved, "reserved"),
            ];
            let states: Vec<&str> = states.into_iter().filter(|(holds, _)| *holds).map(|(_, name)| name).collect();
            states.join(",").into()
        }),
        age(),
    ]
}

pub(in crate::builtin) fn slice() -> Vec<Column> {
    vec![
        of("Node", |slice| text(&slice["spec"], "nodeName").into()),
        of("Driver", |slice| text(&slice["spec"], "driver").into()),
        of("Pool", |slice| text(&slice["spec"]["pool"], "name").into()),
        age(),
    ]
}

pub(in crate::builtin) fn api_service() -> Vec<Column> {
    vec![
        of("Service", |service| match &service["spec"]["service"] {
            Value::Object(_) => {
                let at = &service["spec"]["service"];
                format!("{}/{}", text(at, "namespace"), text(at, "name")).into()
            }
            _ => "Local".into(),
        }),
        of("Available", |service| {
            let found =
                list(&service["status"], "conditions").iter().find(|condition| condition["type"] == "Available");
            match found {
                Some(condition) if condition["status"] == "True" => "True".into(),
                Some(condition) => format!("{} ({})", text(condition, "status"), text(condition, "reason")).into(),
                None => "Unknown".into(),
            }
        }),
        age(),
    ]
}
