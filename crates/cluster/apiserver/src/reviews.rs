//! Answers to the reviews: whose token is it, and who may do what.

use http::StatusCode;
use schema::validate::Cause;
use serde_json::{Value, json};

use crate::{
    rbac::{Rule, User, Wish},
    registry::Review,
    server::Server,
    status::Failure,
    write::{Admission, Call, Operation, Written},
};

impl Server {
    /// Answers a review: it passes every step of a creation but the store.
    pub(crate) async fn review(&self, call: Call<'_>, review: Review, body: Value) -> Result<Written, Failure> {
        let (mut object, mut warnings) = Self::decode(call, body)?;
        if let Some(spec) = object.get_mut("spec") {
            as_types_write(spec, "");
        }
        if matches!(review, Review::OwnSelf | Review::OwnRules) {
            object["metadata"] = json!({});
        }
        warnings.extend(self.mutate(call, Operation::Create, &mut object, None).await?);
        let before = schema::owners::before(&call.resource.node, &Value::Null);
        Self::own_new(call, &before, &mut object);
        let wrong = wrong(review, &object);
        if !wrong.is_empty() {
            // Kubernetes knows no kind here, and no name.
            let mut failure = Failure::invalid(call.resource, "", &wrong);
            failure.message = failure.message.replacen(&call.resource.gvk.kind, "", 1);
            failure.details["kind"] = Value::Null;
            return Err(failure);
        }
        let admission = Admission { call, operation: Operation::Create, new: Some(&object), old: None };
        warnings.extend(self.admit(admission).await?.warnings);
        object["status"] = self.answer_review(review, call.user, &object["spec"])?;
        if review == Review::OwnRules {
            object["spec"] = json!({});
        }
        if review == Review::OwnSelf {
            object["metadata"]["creationTimestamp"] = base::clock::now_rfc3339().into();
        }
        Ok(Written { code: StatusCode::CREATED, object: object.into(), warnings })
    }

    fn answer_review(&self, review: Review, user: &User, spec: &Value) -> Result<Value, Failure> {
        Ok(match review {
            Review::Token => {
                let token = spec["token"].as_str().unwrap_or_default();
                if token.is_empty() {
                    return Err(Failure::bad_request("token is required for TokenReview in authentication"));
                }
                let audiences = texts(&spec["audiences"]);
                match self.tokens().check(token, &self.store().snapshot(), &audiences) {
                    Ok(known) => {
                        json!({"authenticated": true, "user": known.user.to_json(), "audiences": known.audiences})
                    }
                    Err(why) if why == UNKNOWN => json!({"user": {}, "error": why}),
                    // Nobody else knows it either.
                    Err(why) => json!({"user": {}, "error": format!("[{UNKNOWN}, {why}]")}),
                }
            }
            Review::OwnSelf => json!({"userInfo": user.to_json()}),
            Review::OwnAccess => self.access(user, spec),
            Review::Subject | Review::LocalSubject => {
                let name = spec["user"].as_str().unwrap_or_default().to_owned();
                let uid = spec["uid"].as_str().unwrap_or_default().to_owned();
                let extra = spec["extra"].as_object().into_iter().flatten();
                let extra = extra.map(|(key, values)| (key.to_lowercase(), texts(values))).collect();
                self.access(&User { name, groups: texts(&spec["groups"]), uid, extra }, spec)
            }
            Review::OwnRules => {
                let namespace = spec["namespace"].as_str().unwrap_or_default();
                if namespace.is_empty() {
                    return Err(Failure::bad_request("no namespace on request"));
                }
                let policy = self.policy();
                let rules = policy.rules_of(user, namespace).map(Rule::to_json);
                let (paths, resources): (Vec<Value>, Vec<Value>) =
                    rules.partition(|rule| rule["nonResourceURLs"].is_array());
                json!({"resourceRules": resources, "nonResourceRules": paths, "incomplete": false})
            }
        })
    }

    fn access(&self, user: &User, spec: &Value) -> Value {
        let text = |value: &Value, name: &str| value[name].as_str().unwrap_or_default().to_owned();
        let (resource, path) = (&spec["resourceAttributes"], &spec["nonResourceAttributes"]);
        let wish = if resource.is_object() {
            let (plural, subresource) = (text(resource, "resource"), text(resource, "subresource"));
            Wish {
                verb: text(resource, "verb"),
                group: text(resource, "group"),
                resource: if subresource.is_empty() { plural } else { format!("{plural}/{subresource}") },
                namespace: text(resource, "namespace"),
                name: text(resource, "name"),
                node: node_selected(&resource["fieldSelector"]),
                ..Wish::default()
            }
        } else {
            Wish { verb: text(path, "verb"), path: text(path, "path"), ..Wish::default() }
        };
        let mut status = match self.allows(user, &wish) {
            Ok(why) => json!({"allowed": true, "reason": why}),
            Err(why) => json!({"allowed": false, "reason": why}),
        };
        if status["reason"] == "" {
            status.as_object_mut().map(|status| status.remove("reason"));
        }
        let unread: Vec<String> = ["fieldSelector", "labelSelector"]
            .into_iter()
            .filter(|name| !can_be_read(&resource[*name], name))
            .map(|name| format!("spec.resourceAttributes.{name} ignored due to parse error"))
            .collect();
        match unread.as_slice() {
            [] => {}
            [one] => status["evaluationError"] = one.as_str().into(),
            several => status["evaluationError"] = format!("[{}]", several.join(", ")).into(),
        }
        status
    }
}

/// The fields of metadata as Kubernetes writes them.
const METADATA: &[&str] = &[
    "name",
    "generateName",
    "namespace",
    "uid",
    "resourceVersion",
    "generation",
    "creationTimestamp",
    "labels",
    "annotations",
    "ownerReferences",
    "finalizers",
    "managedFields",
];
const MANAGED: &[&str] = &["manager", "operation", "apiVersion", "time", "fieldsType", "fieldsV1", "subresource"];

/// Writes an object with its fields in this order.
fn in_order(object: &Value, names: &[&str]) -> String {
    let shown = |name: &str, value: &Value| match value.as_array().filter(|_| name == "managedFields") {
        Some(list) => format!("[{}]", list.iter().map(|one| in_order(one, MANAGED)).collect::<Vec<_>>().join(",")),
        None => value.to_string(),
    };
    let fields = names.iter().filter_map(|name| Some(format!("{name:?}:{}", shown(name, object.get(*name)?))));
    format!("{{{}}}", fields.collect::<Vec<_>>().join(","))
}

/// What a token is that nobody issued.
const UNKNOWN: &str = "invalid bearer token";

/// Leaves out of a review what Kubernetes' types leave out when they are written: what is empty.
fn as_types_write(value: &mut Value, name: &str) {
    let Value::Object(map) = value else { return };
    let selects = name == "requirements";
    map.retain(|name, inner| {
        let empty = inner.is_null() || inner == "" || inner.as_array().is_some_and(Vec::is_empty);
        !empty || selects && matches!(name.as_str(), "key" | "operator") && !inner.is_null()
    });
    for (name, inner) in map.iter_mut().filter(|(name, _)| *name != "extra") {
        match inner {
            Value::Array(list) => list.iter_mut().for_each(|item| as_types_write(item, name)),
            inner => as_types_write(inner, name),
        }
    }
}

/// Returns the node whose objects alone a field selector asks for, or nothing.
fn node_selected(selector: &Value) -> String {
    let raw = selector["rawSelector"].as_str().and_then(|text| schema::selector::Fields::parse(text).ok());
    if let Some(node) = raw.as_ref().and_then(|fields| fields.exact("spec.nodeName")) {
        return node.to_owned();
    }
    let all = selector["requirements"].as_array().into_iter().flatten();
    let mut named = all.filter(|one| one["key"] == "spec.nodeName" && one["operator"] == "In");
    let values = named.next().map(|one| texts(&one["values"])).unwrap_or_default();
    if let [node] = values.as_slice() { node.clone() } else { String::new() }
}

/// Returns whether a selector is one that authorizers can use.
fn can_be_read(selector: &Value, name: &str) -> bool {
    let raw = selector["rawSelector"].as_str().unwrap_or_default();
    let fields = name == "fieldSelector";
    if !raw.is_empty() {
        return if fields {
            schema::selector::Fields::parse(raw).is_ok()
        } else {
            schema::selector::Labels::parse(raw).is_ok()
        };
    }
    selector["requirements"].as_array().into_iter().flatten().all(|one| {
        let operator = one["operator"].as_str().unwrap_or_default();
        match operator {
            "In" | "NotIn" if fields => one["values"].as_array().is_some_and(|values| values.len() == 1),
            "In" | "NotIn" | "Exists" | "DoesNotExist" => !fields,
            _ => false,
        }
    })
}

/// Returns what is wrong with a review that asks who may do what.
fn wrong(review: Review, object: &Value) -> Vec<Cause> {
    let spec = &object["spec"];
    let mut wrong = Vec::new();
    if !matches!(review, Review::Subject | Review::LocalSubject | Review::OwnAccess) {
        return wrong;
    }
    let (resource, path) = (&spec["resourceAttributes"], &spec["nonResourceAttributes"]);
    let text = |value: &Value, name: &str| value[name].as_str().unwrap_or_default().to_owned();
    let shown = json!({"Path": text(path, "path"), "Verb": text(path, "verb")});
    if resource.is_object() && path.is_object() {
        let why = "cannot be specified in combination with resourceAttributes";
        wrong.push(Cause::invalid("spec.nonResourceAttributes", &shown, why));
    }
    if !resource.is_object() && !path.is_object() {
        let why = "exactly one of nonResourceAttributes or resourceAttributes must be specified";
        wrong.push(Cause::invalid("spec.resourceAttributes", &Value::Null, why));
    }
    let nobody = text(spec, "user").is_empty() && texts(&spec["groups"]).is_empty();
    if review != Review::OwnAccess && nobody {
        wrong.push(Cause::invalid("spec.user", &"".into(), "at least one of user or group must be specified"));
    }
    for name in ["fieldSelector", "labelSelector"] {
        wrong_selector(&resource[name], name, &mut wrong);
    }
    let named = object["metadata"].as_object().into_iter().flatten().any(|(name, value)| {
        let place = review == Review::LocalSubject && name == "namespace";
        name != "managedFields" && !place && !value.is_null()
    });
    if named {
        let but = if review == Review::LocalSubject { "must be empty except for namespace" } else { "must be empty" };
        let message = format!("Invalid value: {}: {but}", in_order(&object["metadata"], METADATA));
        wrong.push(Cause { reason: "FieldValueInvalid", message, field: "metadata".into() });
    }
    if review == Review::LocalSubject {
        if resource.is_object() && text(resource, "namespace") != text(&object["metadata"], "namespace") {
            let why = "must match metadata.namespace";
            wrong.push(Cause::invalid("spec.resourceAttributes.namespace", &text(resource, "namespace").into(), why));
        }
        if path.is_object() {
            wrong.push(Cause::invalid("spec.nonResourceAttributes", &shown, "disallowed on this kind of request"));
        }
    }
    wrong
}

fn wrong_selector(selector: &Value, name: &str, wrong: &mut Vec<Cause>) {
    if !selector.is_object() {
        return;
    }
    let at = format!("spec.resourceAttributes.{name}");
    let raw = selector["rawSelector"].as_str().unwrap_or_default();
    let all = selector["requirements"].as_array().cloned().unwrap_or_default();
    if !raw.is_empty() && !all.is_empty() {
        let why = "may not specified at the same time as requirements";
        wrong.push(Cause::invalid(format!("{at}.rawSelector"), &raw.into(), why));
    }
    if raw.is_empty() && all.is_empty() {
        let why = format!("when {at} is specified, requirements or rawSelector is required");
        wrong.push(Cause::required(format!("{at}.requirements"), &why));
    }
    for (index, one) in all.iter().enumerate() {
        let at = format!("{at}.requirements[{index}]");
        let values = one["values"].as_array().map_or(&[][..], Vec::as_slice);
        match one["operator"].as_str().unwrap_or_default() {
            "In" | "NotIn" if values.is_empty() => {
                let why = "must be specified when `operator` is 'In' or 'NotIn'";
                wrong.push(Cause::required(format!("{at}.values"), why));
            }
            "Exists" | "DoesNotExist" if !values.is_empty() => {
                let why = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'";
                wrong.push(Cause::forbidden(format!("{at}.values"), why));
            }
            _ => {}
        }
        let key = one["key"].as_str().unwrap_or_default();
        if name == "fieldSelector" {
            if key.is_empty() {
                wrong.push(Cause::required(format!("{at}.key"), "must be specified"));
            }
            continue;
        }
        for why in schema::names::qualified(key) {
            wrong.push(Cause::invalid(format!("{at}.key"), &key.into(), &why));
        }
        for (index, value) in values.iter().enumerate() {
            for why in schema::names::label_value(value.as_str().unwrap_or_default()) {
                wrong.push(Cause::invalid(format!("{at}.values[{index}]"), value, &why));
            }
        }
    }
}

fn texts(list: &Value) -> Vec<String> {
    list.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}
