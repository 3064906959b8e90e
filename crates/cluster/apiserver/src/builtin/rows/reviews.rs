//! Rows of the reviews, which are answered and not stored.

use super::super::{PLAIN, Row};
use crate::registry::Review;

const AUTHORIZATION: Row = Row { group: "authorization.k8s.io", namespaced: false, ..PLAIN };

pub(super) fn rows() -> Vec<Row> {
    vec![
        Row {
            group: "authentication.k8s.io",
            kind: "TokenReview",
            plural: "tokenreviews",
            namespaced: false,
            type_name: "io.k8s.api.authentication.v1.TokenReview",
            review: Some(Review::Token),
            confidential: true,
            ..PLAIN
        },
        Row {
            group: "authentication.k8s.io",
            kind: "SelfSubjectReview",
            plural: "selfsubjectreviews",
            namespaced: false,
            type_name: "io.k8s.api.authentication.v1.SelfSubjectReview",
            review: Some(Review::OwnSelf),
            ..PLAIN
        },
        Row {
            kind: "SubjectAccessReview",
            plural: "subjectaccessreviews",
            type_name: "io.k8s.api.authorization.v1.SubjectAccessReview",
            review: Some(Review::Subject),
            ..AUTHORIZATION
        },
        Row {
            kind: "LocalSubjectAccessReview",
            plural: "localsubjectaccessreviews",
            namespaced: true,
            type_name: "io.k8s.api.authorization.v1.LocalSubjectAccessReview",
            review: Some(Review::LocalSubject),
            ..AUTHORIZATION
        },
        Row {
            kind: "SelfSubjectAccessReview",
            plural: "selfsubjectaccessreviews",
            type_name: "io.k8s.api.authorization.v1.SelfSubjectAccessReview",
            review: Some(Review::OwnAccess),
            ..AUTHORIZATION
        },
        Row {
            kind: "SelfSubjectRulesReview",
            plural: "selfsubjectrulesreviews",
            type_name: "io.k8s.api.authorization.v1.SelfSubjectRulesReview",
            review: Some(Review::OwnRules),
            ..AUTHORIZATION
        },
    ]
}
