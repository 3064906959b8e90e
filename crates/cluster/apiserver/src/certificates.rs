//! Requests for certificates: who asks is written down by the server, who approves and who signs needs the right to
//! do so for the signer, and nobody asks to be a master or another node.

use base64::{Engine, engine::general_purpose::STANDARD};
use schema::validate::Cause;
use serde_json::Value;
use x509_parser::{certification_request::X509CertificationRequest, prelude::FromDer};

use crate::{
    rbac::{User, Wish},
    server::Server,
    status::Failure,
    write::{Admission, Operation},
};

const GROUP: &str = "certificates.k8s.io";
const CLIENTS: &str = "kubernetes.io/kube-apiserver-client";
const OF_NODES: [&str; 2] = ["kubernetes.io/kubelet-serving", "kubernetes.io/kube-apiserver-client-kubelet"];
/// What those say that look at a request.
const DECISIONS: [&str; 2] = ["Approved", "Denied"];

/// Who a request says it is for.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Subject {
    pub(crate) name: String,
    pub(crate) organizations: Vec<String>,
}

/// Reads a request (PEM in base64) and checks that it is signed by the key that it shows.
pub(crate) fn subject_of(request: &str) -> Result<Subject, String> {
    let bytes = STANDARD.decode(request).unwrap_or_default();
    let block = x509_parser::pem::parse_x509_pem(&bytes).ok().map(|(_, block)| block);
    let Some(block) = block.filter(|block| block.label == "CERTIFICATE REQUEST") else {
        return Err("PEM block type must be CERTIFICATE REQUEST".into());
    };
    let (_, parsed) =
        X509CertificationRequest::from_der(&block.contents).map_err(|_| "asn1: syntax error: data truncated")?;
    parsed.verify_signature().map_err(|_| "x509: the request is not signed by its own key")?;
    let subject = &parsed.certification_request_info.subject;
    let text = |value: Option<&str>| value.unwrap_or_default().to_owned();
    Ok(Subject {
        name: text(subject.iter_common_name().next().and_then(|name| name.as_str().ok())),
        organizations: subject.iter_organization().map(|name| text(name.as_str().ok())).collect(),
    })
}

/// Checks what a signer wrote: certificates in PEM (in base64) and nothing else.
pub(crate) fn certificate_problem(certificate: &str) -> Option<String> {
    let bytes = STANDARD.decode(certificate).unwrap_or_default();
    if bytes.is_empty() {
        return None;
    }
    let mut found = 0;
    for block in x509_parser::pem::Pem::iter_from_buffer(&bytes) {
        let Ok(block) = block else { break };
        if block.label != "CERTIFICATE" {
            return Some(format!("only CERTIFICATE PEM blocks are allowed, found {:?}", block.label));
        }
        if x509_parser::parse_x509_certificate(&block.contents).is_err() {
            return Some("x509: malformed certificate".into());
        }
        found += 1;
    }
    (found == 0).then(|| "must contain at least one CERTIFICATE PEM block".to_owned())
}

/// Writes into a new request who asks, whatever it says itself.
pub(crate) fn asked_by(user: &User, request: &mut Value) {
    let Some(spec) = request["spec"].as_object_mut() else { return };
    for name in ["username", "uid", "groups", "extra"] {
        spec.remove(name);
    }
    let Value::Object(info) = user.to_json() else { return };
    spec.extend(info);
}

/// Returns why a node may not make this request.
pub(crate) fn node_refused(node: &str, request: &Value) -> Option<String> {
    let signer = request["spec"]["signerName"].as_str().unwrap_or_default();
    if !OF_NODES.contains(&signer) {
        return None;
    }
    let name = format!("system:node:{node}");
    match subject_of(request["spec"]["request"].as_str().unwrap_or_default()) {
        Err(why) => Some(format!("unable to parse csr: {why}")),
        Ok(subject) => (subject.name != name).then(|| format!("can only create a node CSR with CN={name}")),
    }
}

impl Server {
    /// Refuses what the subject of a request may not be, and who may not approve or sign it.
    pub(crate) fn certificate_admitted(&self, admission: Admission<'_>) -> Result<(), Failure> {
        let call = admission.call;
        if call.resource.gvk.group != GROUP || call.resource.plural != "certificatesigningrequests" {
            return Ok(());
        }
        let Some(new) = admission.new else { return Ok(()) };
        let name = new["metadata"]["name"].as_str().unwrap_or_default();
        let part = call.info.subresource.as_str();
        if let Some(old) = admission.old {
            let causes = changed(part, old, new);
            if !causes.is_empty() {
                return Err(Failure::invalid(call.resource, name, &causes));
            }
        }
        let signer = |object: &Value| object["spec"]["signerName"].as_str().unwrap_or_default().to_owned();
        let refused = match (part, admission.operation) {
            ("", _) if signer(new) == CLIENTS => {
                match subject_of(new["spec"]["request"].as_str().unwrap_or_default()) {
                    Err(why) => Some(format!("failed to parse CSR: {why}")),
                    Ok(subject) => subject
                        .organizations
                        .iter()
                        .any(|group| group == "system:masters")
                        .then(|| format!("use of {CLIENTS} signer with system:masters group is not allowed")),
                }
            }
            ("approval", Operation::Update) => {
                let signer = admission.old.map(signer).unwrap_or_default();
                (!self.may_for_signer(call.user, "approve", &signer))
                    .then(|| format!("user not permitted to approve requests with signerName {signer:?}"))
            }
            ("status", Operation::Update) => {
                let old = admission.old.unwrap_or(&Value::Null);
                let signer = signer(old);
                let differ = |field: &str| old["status"][field] != new["status"][field];
                ((differ("certificate") || differ("conditions")) && !self.may_for_signer(call.user, "sign", &signer))
                    .then(|| format!("user not permitted to sign requests with signerName {signer:?}"))
            }
            _ => None,
        };
        refused.map_or(Ok(()), |why| Err(Failure::forbidden(call.resource, name, &why)))
    }

    /// Returns whether `user` may do this for a signer, by its name or its domain's.
    fn may_for_signer(&self, user: &User, verb: &str, signer: &str) -> bool {
        let domain = signer.split('/').next().unwrap_or_default();
        [signer.to_owned(), format!("{domain}/*")].into_iter().any(|name| {
            let (verb, group, resource) = (verb.into(), GROUP.into(), "signers".into());
            self.allowed(user, &Wish { verb, group, resource, name, ..Wish::default() })
        })
    }
}

/// Returns what a write to a part of a request may not change.
fn changed(part: &str, old: &Value, new: &Value) -> Vec<Cause> {
    let of = |object: &Value, kind: &str| -> Vec<Value> {
        let held = object["status"]["conditions"].as_array().into_iter().flatten();
        held.filter(|condition| condition["type"] == kind).cloned().collect()
    };
    let field = "status.conditions";
    let mut causes = Vec::new();
    for kind in DECISIONS.into_iter().filter(|_| part != "approval") {
        let (before, after) = (of(old, kind), of(new, kind));
        if after.len() > before.len() {
            causes.push(Cause::forbidden(field, &format!("updates may not add a condition of type {kind:?}")));
        }
    }
    let text = |object: &Value| object["status"]["certificate"].as_str().unwrap_or_default().to_owned();
    let (before, after) = (text(old), text(new));
    if part == "status" && before != after && !before.is_empty() {
        causes.push(Cause::forbidden("status.certificate", "updates may not modify existing certificate content"));
    }
    causes
}

/// Keeps what was decided as it was where only a signer writes, and says when each condition came about.
pub(crate) fn conditions_kept(old: &Value, new: &mut Value, part: &str) {
    let before = old["status"]["conditions"].as_array().cloned().unwrap_or_default();
    let Some(after) = new["status"]["conditions"].as_array_mut() else { return };
    for kind in DECISIONS.into_iter().filter(|_| part == "status") {
        let held: Vec<&Value> = before.iter().filter(|condition| condition["type"] == kind).collect();
        let places: Vec<usize> = (0..after.len()).filter(|index| after[*index]["type"] == kind).collect();
        if held.len() == places.len() {
            for (place, held) in places.into_iter().zip(held) {
                after[place] = held.clone();
            }
        }
    }
    let now = base::clock::now_rfc3339();
    for condition in after.iter_mut().filter(|condition| condition.is_object()) {
        if condition["lastUpdateTime"].is_null() {
            condition["lastUpdateTime"] = now.clone().into();
        }
        if condition["lastTransitionTime"].is_null() {
            let same = |held: &&Value| held["type"] == condition["type"] && held["status"] == condition["status"];
            let since = before.iter().find(same).map(|held| held["lastTransitionTime"].clone());
            condition["lastTransitionTime"] = since.filter(|at| !at.is_null()).unwrap_or_else(|| now.clone().into());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_read_and_has_to_be_signed_by_its_key() {
        let mut params = rcgen::CertificateParams::new(Vec::new()).unwrap();
        let name = uuid::Uuid::new_v4().to_string();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(rcgen::DnType::CommonName, name.as_str());
        params.distinguished_name.push(rcgen::DnType::OrganizationName, "crew");
        let request = params.serialize_request(&rcgen::KeyPair::generate().unwrap()).unwrap();
        let subject = subject_of(&STANDARD.encode(request.pem().unwrap())).unwrap();
        assert_eq!(subject, Subject { name, organizations: vec!["crew".into()] });
        let mut der = request.der().to_vec();
        let last = der.len() - 1;
        der[last] ^= 1;
        let forged = format!(
            "-----BEGIN CERTIFICATE REQUEST-----\n{}\n-----END CERTIFICATE REQUEST-----\n",
            STANDARD.encode(der)
        );
        assert!(subject_of(&STANDARD.encode(forged)).is_err());
        assert!(subject_of("eA==").unwrap_err().contains("PEM block type"));
    }
}
