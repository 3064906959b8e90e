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
        warnings.extend(self.mutate(call, Operation::Create, &mut object, None).await?);
        let wrong = wrong(review, &object);
        if !wrong.is_empty() {
            let name = object["metadata"]["name"].as_str().unwrap_or_default();
            return Err(Failure::invalid(call.resource, name, &wrong));
        }
        let before = schema::owners::before(&call.resource.node, &Value::Null);
        Self::own_new(call, &before, &mut object);
        let admission = Admission { call, operation: Operation::Create, new: Some(&object), old: None };
        warnings.extend(self.admit(admission).await?.warnings);
        object["status"] = self.answer_review(review, call.user, &object["spec"])?;
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
                    Err(why) => json!({"user": {}, "error": why}),
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
                let rules = if user.is_master() {
                    vec![
                        json!({"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}),
                        json!({"verbs": ["*"], "nonResourceURLs": ["*"]}),
                    ]
                } else {
                    self.policy().rules_of(user, namespace).map(Rule::to_json).collect()
                };
                let (paths, resources): (Vec<Value>, Vec<Value>) =
                    rules.into_iter().partition(|rule| rule["nonResourceURLs"].is_array());
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
                path: String::new(),
            }
        } else {
            Wish { verb: text(path, "verb"), path: text(path, "path"), ..Wish::default() }
        };
        match self.allows(user, &wish) {
            Some(why) if why.is_empty() => json!({"allowed": true}),
            Some(why) => json!({"allowed": true, "reason": why}),
            None => json!({"allowed": false}),
        }
    }
}

/// Returns what is wrong with a review that asks who may do what.
fn wrong(review: Review, object: &Value) -> Vec<Cause> {
    let spec = &object["spec"];
    let mut wrong = Vec::new();
    if !matches!(review, Review::Subject | Review::LocalSubject | Review::OwnAccess) {
        return wrong;
    }
    let (resource, path) = (&spec["resourceAttributes"], &spec["nonResourceAttributes"]);
    if resource.is_object() && path.is_object() {
        wrong.push(Cause::invalid(
            "spec.nonResourceAttributes",
            path,
            "cannot be specified in combination with resourceAttributes",
        ));
    }
    if !resource.is_object() && !path.is_object() {
        let why = "exactly one of nonResourceAttributes or resourceAttributes must be specified";
        wrong.push(Cause::invalid("spec.resourceAttributes", resource, why));
    }
    let nobody = spec["user"].as_str().is_none_or(str::is_empty) && texts(&spec["groups"]).is_empty();
    if review != Review::OwnAccess && nobody {
        wrong.push(Cause::invalid("spec.user", &"".into(), "at least one of user or group must be specified"));
    }
    if review == Review::LocalSubject {
        if resource.is_object() && resource["namespace"] != object["metadata"]["namespace"] {
            let why = "must match metadata.namespace";
            wrong.push(Cause::invalid("spec.resourceAttributes.namespace", &resource["namespace"], why));
        }
        if path.is_object() {
            wrong.push(Cause::invalid("spec.nonResourceAttributes", path, "disallowed on this kind of request"));
        }
    }
    wrong
}

fn texts(list: &Value) -> Vec<String> {
    list.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}
