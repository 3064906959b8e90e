//! Kinds that stand in several versions or groups and are stored once: how the other
//! version reads and writes what is stored. Nothing is lost on the way: what a version
//! cannot say travels in the annotations that Kubernetes itself uses.

mod autoscaler;

use schema::settle::settle;
use serde_json::{Map, Value};

use crate::registry::{Conversion, node_of};

/// `autoscaling/v1`, stored as `autoscaling/v2`.
pub(super) const AUTOSCALER: Conversion = Conversion {
    read: |object| {
        settled(autoscaler::to_v1(object), "autoscaling/v1", "io.k8s.api.autoscaling.v1.HorizontalPodAutoscaler")
    },
    write: |object| {
        settled(autoscaler::to_v2(object), "autoscaling/v2", "io.k8s.api.autoscaling.v2.HorizontalPodAutoscaler")
    },
};

/// `events.k8s.io/v1`, stored as the core group's.
pub(super) const EVENT: Conversion = Conversion {
    read: |object| settled(renamed(object, false), "events.k8s.io/v1", "io.k8s.api.events.v1.Event"),
    write: |object| settled(renamed(object, true), "v1", "io.k8s.api.core.v1.Event"),
};

fn settled(mut object: Value, api_version: &str, type_name: &str) -> Value {
    object["apiVersion"] = api_version.into();
    settle(&mut object, &node_of(type_name));
    object
}

/// What the fields of an event are called in the core group and in `events.k8s.io`.
const EVENT_FIELDS: &[(&str, &str)] = &[
    ("involvedObject", "regarding"),
    ("message", "note"),
    ("source", "deprecatedSource"),
    ("firstTimestamp", "deprecatedFirstTimestamp"),
    ("lastTimestamp", "deprecatedLastTimestamp"),
    ("count", "deprecatedCount"),
    ("reportingComponent", "reportingController"),
];

fn renamed(object: Value, to_core: bool) -> Value {
    let Value::Object(map) = object else { return object };
    let name = |given: &str| {
        let found = EVENT_FIELDS.iter().find(|(core, new)| if to_core { *new == given } else { *core == given });
        found.map(|(core, new)| if to_core { *core } else { *new }.to_owned())
    };
    map.into_iter().map(|(field, value)| (name(&field).unwrap_or(field), value)).collect::<Map<_, _>>().into()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_event_reads_the_same_after_both_ways() {
        let event = json!({"apiVersion": "v1", "kind": "Event", "metadata": {"name": "e"}, "involvedObject": {"kind": "Pod", "name": "p"},
            "message": "m", "reason": "r", "count": 3, "firstTimestamp": "2026-01-01T00:00:00Z", "lastTimestamp": null,
            "source": {"component": "c"}, "type": "Normal", "eventTime": null, "reportingComponent": "x", "reportingInstance": "y"});
        let other = (EVENT.read)(event.clone());
        assert_eq!(other["regarding"], json!({"kind": "Pod", "name": "p"}));
        assert_eq!((&other["note"], &other["deprecatedCount"]), (&json!("m"), &json!(3)));
        assert_eq!(other["apiVersion"], "events.k8s.io/v1");
        assert_eq!((EVENT.write)(other), event);
    }
}
