//! Answers to the reviews: whose token is it, and who may do what.

use serde_json::{Value, json};

use crate::{
    rbac::{Rule, User, Wish},
    registry::Review,
    request::Info,
    server::Server,
    status::Failure,
};

impl Server {
    /// Answers a review.
    pub(crate) fn review(&self, review: Review, user: &User, info: &Info, mut body: Value) -> Result<Value, Failure> {
        let spec = body["spec"].clone();
        body["status"] = match review {
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
            Review::OwnAccess => self.access(user, &spec)?,
            Review::Subject | Review::LocalSubject => {
                if review == Review::LocalSubject && spec["resourceAttributes"]["namespace"] != info.namespace.as_str()
                {
                    return Err(Failure::bad_request(
                        "spec.resourceAttributes.namespace: must match metadata.namespace",
                    ));
                }
                let name = spec["user"].as_str().unwrap_or_default();
                let groups = texts(&spec["groups"]);
                if name.is_empty() && groups.is_empty() {
                    return Err(Failure::bad_request("spec.user: at least one of user or group must be specified"));
                }
                let uid = spec["uid"].as_str().unwrap_or_default().to_owned();
                let extra = spec["extra"].as_object().into_iter().flatten();
                let extra = extra.map(|(key, values)| (key.to_lowercase(), texts(values))).collect();
                self.access(&User { name: name.to_owned(), groups, uid, extra }, &spec)?
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
        };
        let kind = match review {
            Review::Token => ("authentication.k8s.io/v1", "TokenReview"),
            Review::OwnSelf => ("authentication.k8s.io/v1", "SelfSubjectReview"),
            Review::Subject => ("authorization.k8s.io/v1", "SubjectAccessReview"),
            Review::LocalSubject => ("authorization.k8s.io/v1", "LocalSubjectAccessReview"),
            Review::OwnAccess => ("authorization.k8s.io/v1", "SelfSubjectAccessReview"),
            Review::OwnRules => ("authorization.k8s.io/v1", "SelfSubjectRulesReview"),
        };
        body["apiVersion"] = kind.0.into();
        body["kind"] = kind.1.into();
        if !body["metadata"].is_object() {
            body["metadata"] = json!({});
        }
        Ok(body)
    }

    fn access(&self, user: &User, spec: &Value) -> Result<Value, Failure> {
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
        } else if path.is_object() {
            Wish { verb: text(path, "verb"), path: text(path, "path"), ..Wish::default() }
        } else {
            return Err(Failure::bad_request(
                "spec.resourceAttributes: exactly one of nonResourceAttributes or resourceAttributes must be specified",
            ));
        };
        Ok(match self.allows(user, &wish) {
            Some(why) if why.is_empty() => json!({"allowed": true}),
            Some(why) => json!({"allowed": true, "reason": why}),
            None => json!({"allowed": false}),
        })
    }
}

fn texts(list: &Value) -> Vec<String> {
    list.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}
