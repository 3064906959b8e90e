//! `ValidatingAdmissionPolicy`: expressions that say whether a request is let through.

use std::{
    cell::{Cell, RefCell},
    collections::{BTreeMap, HashMap},
};

use expressions::{BUDGET, CALL_LIMIT, CONDITIONS_BUDGET, Env, EvalError, Program, Scope, Type, Value as Cel};
use schema::validate::Cause;
use serde_json::Value;

use crate::{items, text, webhooks::FailurePolicy};

/// The longest message that an expression may make, in bytes.
const MAX_MESSAGE: usize = 5 * 1024;

/// How the conditions of a webhook or policy turned out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// All hold, or there are none.
    Holds,
    /// One does not.
    DoesNot,
    /// None is false, but one could not be evaluated.
    Failed(String),
}

/// Returns the variables of every expression but those that ask what somebody may do.
fn env_without_authorizer(params: bool) -> Env {
    let id = |last: &str| {
        let names = ["group", "version", last].map(|name| (name.to_owned(), Type::String));
        Type::object("kubernetes.GroupVersionKind", names)
    };
    let text = |name: &str| (name.to_owned(), Type::String);
    let user = Type::object(
        "kubernetes.UserInfo",
        [
            text("username"),
            text("uid"),
            ("groups".to_owned(), Type::list(Type::String)),
            ("extra".to_owned(), Type::map(Type::list(Type::String))),
        ],
    );
    let request = Type::object(
        "kubernetes.AdmissionRequest",
        [
            ("kind".to_owned(), id("kind")),
            ("resource".to_owned(), id("resource")),
            ("requestKind".to_owned(), id("kind")),
            ("requestResource".to_owned(), id("resource")),
            text("subResource"),
            text("requestSubResource"),
            text("name"),
            text("namespace"),
            text("operation"),
            ("userInfo".to_owned(), user),
            ("dryRun".to_owned(), Type::Bool),
            ("options".to_owned(), Type::Dyn),
        ],
    );
    let env = Env::new()
        .with("object", Type::Dyn)
        .with("oldObject", Type::Dyn)
        .with("namespaceObject", Type::Dyn)
        .with("request", request);
    if params { env.with("params", Type::Dyn) } else { env }
}

/// Returns the variables of every expression; `params` are there if a policy has them.
fn env(params: bool) -> Env {
    env_without_authorizer(params)
        .with("authorizer", Type::Opaque("kubernetes.authorization.Authorizer"))
        .with("authorizer.requestResource", Type::Opaque("kubernetes.authorization.ResourceCheck"))
}

/// Evaluates match conditions.
pub fn conditions(list: &Value, scope: &dyn Scope) -> Condition {
    let (env, mut budget, mut failed) = (env(true), CONDITIONS_BUDGET, Vec::new());
    for condition in items(list) {
        let program = match env.compile(text(condition, "expression")) {
            Ok(program) => program,
            Err(error) => {
                failed.push(format!("compilation failed: {error}"));
                continue;
            }
        };
        let (outcome, cost) = program.eval(scope, CALL_LIMIT.min(budget));
        budget = budget.saturating_sub(cost);
        match outcome {
            Ok(Cel::Bool(true)) => {}
            Ok(Cel::Bool(false)) => return Condition::DoesNot,
            Ok(_) => failed.push("match condition does not evaluate to a bool".to_owned()),
            Err(error) => {
                failed.push(format!("expression '{}' resulted in error: {error}", text(condition, "expression")));
            }
        }
    }
    crate::aggregate(failed).map_or(Condition::Holds, Condition::Failed)
}

/// What is wrong with the expressions of match conditions.
pub fn condition_problems(list: &Value, at: &str, causes: &mut Vec<Cause>) {
    for (index, condition) in items(list).enumerate() {
        let field = format!("{at}[{index}].expression");
        // That there is one is asked elsewhere.
        if !text(condition, "expression").trim().is_empty() {
            check(&env(true), &condition["expression"], &field, &Type::Bool, causes);
        }
    }
}

pub(crate) fn check(env: &Env, source: &Value, field: &str, wanted: &Type, causes: &mut Vec<Cause>) -> Option<Program> {
    let expression = source.as_str().unwrap_or_default();
    if expression.trim().is_empty() {
        causes.push(Cause::required(field, "expression is not specified"));
        return None;
    }
    match env.compile(expression) {
        Err(error) => {
            causes.push(Cause::invalid(field, source, &format!("compilation failed: {error}")));
            None
        }
        Ok(program) if *wanted == Type::Dyn || program.result() == wanted || *program.result() == Type::Dyn => {
            Some(program)
        }
        Ok(program) => {
            let detail = format!("must evaluate to {wanted} but got {}", program.result());
            causes.push(Cause::invalid(field, source, &detail));
            None
        }
    }
}

/// Compiles a policy's variables; returns them with the environment that names them.
pub(crate) fn variables(spec: &Value, causes: &mut Vec<Cause>) -> (Env, Vec<(String, Program)>) {
    let mut env = env(spec["paramKind"].is_object());
    let mut variables = Vec::new();
    for (index, variable) in items(&spec["variables"]).enumerate() {
        let field = format!("spec.variables[{index}].expression");
        let name = format!("variables.{}", text(variable, "name"));
        if let Some(program) = check(&env, &variable["expression"], &field, &Type::Dyn, causes) {
            env = env.with(&name, program.result().clone());
            variables.push((name, program));
        } else {
            env = env.with(&name, Type::Dyn);
        }
    }
    (env, variables)
}

/// Returns what expressions of messages may name: they ask nobody what somebody may do.
fn told(spec: &Value, variables: &[(String, Program)]) -> Env {
    let mut env = env_without_authorizer(spec["paramKind"].is_object());
    for variable in items(&spec["variables"]) {
        let name = format!("variables.{}", text(variable, "name"));
        let known = variables.iter().find(|(known, _)| *known == name);
        env = env.with(&name, known.map_or(Type::Dyn, |(_, program)| program.result().clone()));
    }
    env
}

fn message(env: &Env, source: &Value, at: &str, causes: &mut Vec<Cause>) -> Option<Program> {
    let field = format!("{at}.messageExpression");
    let expression = source.as_str().filter(|expression| !expression.is_empty())?;
    if expression.trim().is_empty() {
        causes.push(Cause::invalid(field, source, "must be non-empty if specified"));
        return None;
    }
    let program = check(env, source, &field, &Type::String, causes)?;
    // It has to be a text for sure.
    if *program.result() == Type::Dyn {
        causes.push(Cause::invalid(field, source, "must evaluate to string but got dyn"));
        return None;
    }
    Some(program)
}

/// A policy, compiled.
#[derive(Debug)]
pub struct Policy {
    name: String,
    failure: FailurePolicy,
    conditions: Value,
    variables: Vec<(String, Program)>,
    validations: Vec<Validation>,
    audit: Vec<(String, Program)>,
}

#[derive(Debug)]
struct Validation {
    expression: String,
    program: Program,
    message: String,
    message_program: Option<Program>,
    reason: String,
}

impl Policy {
    /// Compiles a `ValidatingAdmissionPolicy`. Returns every expression that cannot be used.
    pub fn compile(policy: &Value) -> (Policy, Vec<Cause>) {
        let spec = &policy["spec"];
        let mut causes = Vec::new();
        condition_problems(&spec["matchConditions"], "spec.matchConditions", &mut causes);
        let (env, variables) = variables(spec, &mut causes);
        let told = told(spec, &variables);
        let mut validations = Vec::new();
        for (index, validation) in items(&spec["validations"]).enumerate() {
            let at = format!("spec.validations[{index}]");
            let program = check(&env, &validation["expression"], &format!("{at}.expression"), &Type::Bool, &mut causes);
            let message_program = message(&told, &validation["messageExpression"], &at, &mut causes);
            validations.extend(program.map(|program| Validation {
                expression: text(validation, "expression").to_owned(),
                program,
                message: text(validation, "message").trim().to_owned(),
                message_program,
                reason: text(validation, "reason").to_owned(),
            }));
        }
        let mut audit = Vec::new();
        for (index, annotation) in items(&spec["auditAnnotations"]).enumerate() {
            let field = format!("spec.auditAnnotations[{index}].valueExpression");
            if text(annotation, "valueExpression").trim().is_empty() {
                causes.push(Cause::required(field, "valueExpression is not specified"));
                continue;
            }
            let program = check(&env, &annotation["valueExpression"], &field, &Type::Dyn, &mut causes);
            let program = program.filter(|program| {
                let found = program.result().to_string();
                let told = matches!(found.as_str(), "string" | "null" | "dyn");
                if !told {
                    let why = format!("must evaluate to one of [string null_type] but got {found}");
                    causes.push(Cause::invalid(&field, &annotation["valueExpression"], &why));
                }
                told
            });
            audit.extend(program.map(|program| (text(annotation, "key").to_owned(), program)));
        }
        let failure = if text(spec, "failurePolicy") == "Ignore" { FailurePolicy::Ignore } else { FailurePolicy::Fail };
        let name = text(&policy["metadata"], "name").to_owned();
        (Policy { name, failure, conditions: spec["matchConditions"].clone(), variables, validations, audit }, causes)
    }

    /// Returns what a policy's binding says of a request.
    pub fn judge(&self, binding: &Value, inputs: &BTreeMap<String, Cel>) -> Verdict {
        let mut verdict = Verdict::default();
        match conditions(&self.conditions, inputs) {
            Condition::Holds => {}
            Condition::DoesNot => return verdict,
            Condition::Failed(error) => {
                self.failed(binding, &error, &mut verdict);
                return verdict;
            }
        }
        let scope = Lazy::new(inputs, &self.variables);
        let asking_nobody: BTreeMap<String, Cel> = inputs
            .iter()
            .filter(|(name, _)| !name.starts_with("authorizer"))
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
        let telling = Lazy::new(&asking_nobody, &self.variables);
        for validation in &self.validations {
            match scope.eval(&validation.program) {
                Ok(Cel::Bool(true)) => {}
                Ok(Cel::Bool(false)) => {
                    let message = validation.message(&telling);
                    self.broken(binding, &message, &validation.reason, &mut verdict);
                }
                Ok(_) => self.failed(binding, "validation does not evaluate to a bool", &mut verdict),
                Err(error) => {
                    let message = format!("expression '{}' resulted in error: {error}", validation.expression);
                    self.failed(binding, &message, &mut verdict);
                }
            }
        }
        for (key, program) in &self.audit {
            match scope.eval(program) {
                Ok(Cel::String(value)) if !value.trim().is_empty() => {
                    verdict.audit.push((format!("{}/{key}", self.name), value.trim().to_owned()));
                }
                Ok(_) => {}
                Err(error) => {
                    self.failed(binding, &format!("valueExpression resulted in error: {error}"), &mut verdict);
                }
            }
        }
        verdict
    }

    /// Returns what it means that a binding's parameters could not be had.
    pub fn without_params(&self, binding: &Value, why: &str) -> Verdict {
        let mut verdict = Verdict::default();
        self.failed(binding, &format!("failed to configure binding: {why}"), &mut verdict);
        verdict
    }

    /// What could not be evaluated is refused or let through, as the policy says.
    fn failed(&self, binding: &Value, error: &str, verdict: &mut Verdict) {
        if self.failure == FailurePolicy::Fail {
            self.broken(binding, error, "", verdict);
        }
    }

    fn broken(&self, binding: &Value, message: &str, reason: &str, verdict: &mut Verdict) {
        let bound = text(&binding["metadata"], "name");
        let policy = &self.name;
        for action in items(&binding["spec"]["validationActions"]).filter_map(Value::as_str) {
            match action {
                "Deny" if verdict.refusal.is_none() => {
                    verdict.refusal = Some(Refused {
                        message: format!(
                            "ValidatingAdmissionPolicy '{policy}' with binding '{bound}' denied request: {message}"
                        ),
                        reason: if reason.is_empty() { "Invalid".to_owned() } else { reason.to_owned() },
                    });
                }
                "Warn" => verdict.warnings.push(format!(
                    "Validation failed for ValidatingAdmissionPolicy '{policy}' with binding '{bound}': {message}"
                )),
                "Audit" => {
                    let failure = serde_json::json!([{"message": message, "policy": policy, "binding": bound,
                        "validationActions": binding["spec"]["validationActions"]}]);
                    verdict.audit.push((
                        "validation.policy.admission.k8s.io/validation_failure".to_owned(),
                        failure.to_string(),
                    ));
                }
                _ => {}
            }
        }
    }
}

impl Validation {
    fn message(&self, scope: &Lazy<'_>) -> String {
        if let Some(program) = &self.message_program
            && let Ok(Cel::String(text)) = scope.eval(program)
        {
            let text = text.trim();
            if !text.is_empty() && text.len() <= MAX_MESSAGE && !text.contains('\n') {
                return text.to_owned();
            }
        }
        if self.message.is_empty() {
            format!("failed expression: {}", self.expression.trim())
        } else {
            self.message.clone()
        }
    }
}

/// What a policy says of a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Why it is refused.
    pub refusal: Option<Refused>,
    /// What to warn of.
    pub warnings: Vec<String>,
    /// What to write to the audit log.
    pub audit: Vec<(String, String)>,
}

/// Why a policy refuses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// The sentence.
    pub message: String,
    /// Kubernetes' reason.
    pub reason: String,
}

impl Refused {
    /// Returns the HTTP status of the reason.
    pub fn code(&self) -> u16 {
        match self.reason.as_str() {
            "Forbidden" => 403,
            "Unauthorized" => 401,
            "RequestEntityTooLarge" => 413,
            _ => 422,
        }
    }
}

/// Variables that are evaluated when an expression first names them.
pub(crate) struct Lazy<'a> {
    inputs: &'a BTreeMap<String, Cel>,
    variables: &'a [(String, Program)],
    known: RefCell<HashMap<String, Result<Cel, EvalError>>>,
    budget: Cell<u64>,
}

impl<'a> Lazy<'a> {
    pub(crate) fn new(inputs: &'a BTreeMap<String, Cel>, variables: &'a [(String, Program)]) -> Lazy<'a> {
        Lazy { inputs, variables, known: RefCell::default(), budget: Cell::new(BUDGET) }
    }

    pub(crate) fn eval(&self, program: &Program) -> Result<Cel, EvalError> {
        let limit = CALL_LIMIT.min(self.budget.get());
        let (outcome, cost) = program.eval(self, limit);
        self.budget.set(self.budget.get().saturating_sub(cost));
        outcome
    }
}

impl Scope for Lazy<'_> {
    fn variable(&self, name: &str) -> Option<Result<Cel, EvalError>> {
        if let Some(value) = self.inputs.get(name) {
            return Some(Ok(value.clone()));
        }
        if let Some(known) = self.known.borrow().get(name) {
            return Some(known.clone());
        }
        let (_, program) = self.variables.iter().find(|(variable, _)| variable == name)?;
        let outcome = self.eval(program);
        self.known.borrow_mut().insert(name.to_owned(), outcome.clone());
        Some(outcome)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn inputs(object: &Value) -> BTreeMap<String, Cel> {
        BTreeMap::from([
            ("object".to_owned(), Cel::from_json(object)),
            ("oldObject".to_owned(), Cel::Null),
            ("request".to_owned(), Cel::from_json(&json!({"operation": "CREATE", "userInfo": {"username": "ann"}}))),
            ("params".to_owned(), Cel::from_json(&json!({"most": 3}))),
        ])
    }

    fn policy(spec: impl Into<Value>) -> Policy {
        let spec: Value = spec.into();
        let (policy, causes) = Policy::compile(&json!({"metadata": {"name": "p"}, "spec": spec}));
        assert!(causes.is_empty(), "{causes:?}");
        policy
    }

    fn binding(actions: &[&str]) -> Value {
        json!({"metadata": {"name": "b"}, "spec": {"validationActions": actions}})
    }

    #[test]
    fn what_breaks_a_rule_is_refused_warned_of_or_written_down() {
        let policy = policy(json!({"paramKind": {"kind": "Limit"},
            "variables": [{"name": "size", "expression": "object.spec.size"}, {"name": "double", "expression": "variables.size * 2"}],
            "validations": [{"expression": "variables.double <= params.most * 2", "messageExpression": "'size ' + string(variables.size) + ' by ' + request.userInfo.username", "reason": "Forbidden"}],
            "auditAnnotations": [{"key": "size", "valueExpression": "string(variables.size)"}]}));
        let judge =
            |size: i64, actions: &[&str]| policy.judge(&binding(actions), &inputs(&json!({"spec": {"size": size}})));
        assert_eq!(judge(3, &["Deny"]).refusal, None);
        let refused = judge(4, &["Deny"]).refusal.unwrap();
        assert_eq!(refused.message, "ValidatingAdmissionPolicy 'p' with binding 'b' denied request: size 4 by ann");
        assert_eq!(refused.code(), 403);
        let warned = judge(4, &["Warn", "Audit"]);
        assert_eq!(
            warned.warnings,
            ["Validation failed for ValidatingAdmissionPolicy 'p' with binding 'b': size 4 by ann"]
        );
        assert_eq!(warned.audit.len(), 2);
    }

    #[test]
    fn an_expression_that_fails_refuses_unless_failures_are_ignored() {
        for (failure, refused) in [("Fail", true), ("Ignore", false)] {
            let policy =
                policy(json!({"failurePolicy": failure, "validations": [{"expression": "object.spec.nope > 1"}]}));
            let refusal = policy.judge(&binding(&["Deny"]), &inputs(&json!({"spec": {}}))).refusal;
            assert_eq!(refusal.is_some(), refused);
            if let Some(refusal) = refusal {
                assert!(
                    refusal.message.ends_with("expression 'object.spec.nope > 1' resulted in error: no such key: nope")
                );
            }
        }
    }

    #[test]
    fn conditions_choose_what_is_judged() {
        let policy = policy(
            json!({"matchConditions": [{"name": "c", "expression": "request.userInfo.username != 'ann'"}], "validations": [{"expression": "false"}]}),
        );
        assert_eq!(policy.judge(&binding(&["Deny"]), &inputs(&json!({}))).refusal, None);
    }

    #[test]
    fn an_expression_that_makes_no_sense_is_named() {
        let (_, causes) = Policy::compile(
            &json!({"spec": {"validations": [{"expression": "object.a ==", "messageExpression": "1"}, {"expression": "params.x"}, {"expression": "'a'"}]}}),
        );
        let fields: Vec<&str> = causes.iter().map(|cause| cause.field.as_str()).collect();
        assert_eq!(
            fields,
            [
                "spec.validations[0].expression",
                "spec.validations[0].messageExpression",
                "spec.validations[1].expression",
                "spec.validations[2].expression"
            ]
        );
    }
}
