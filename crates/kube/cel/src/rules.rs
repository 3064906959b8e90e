//! The `x-kubernetes-validations` of a schema: compiled once, applied to each new or
//! changed object.

mod paths;
mod review;

use std::collections::BTreeMap;

use schema::{
    model::{Kind, ListType, Node, ValidationRule},
    validate::Cause,
};
use serde_json::Value as Json;

use crate::{
    BUDGET, CALL_LIMIT, Env, EvalError, Program, Type,
    cost::Bound,
    schemas::{Place, type_of, value_of},
    value::Value,
};

use self::review::Review;

pub use paths::{Notation, field_path};

/// The longest message that an expression may make, in bytes.
const MAX_MESSAGE: usize = 5 * 1024;

/// What is wrong with a rule of a definition.
#[derive(Clone, Debug, PartialEq)]
pub struct Problem {
    /// The place within the schema, for example `properties[spec].x-kubernetes-validations[0].rule`.
    pub path: String,
    /// How it is refused.
    pub fault: Fault,
    /// What is wrong.
    pub message: String,
}

/// How a rule is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// As a value that breaks a rule, with the broken rule or value as messages show it.
    Invalid(String),
    /// As forbidden: for its cost.
    Forbidden,
    /// As what cannot be looked at.
    Internal,
}

/// Which estimates of cost have limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limits {
    /// Each rule's, and that of all together.
    All,
    /// That of all together: the schema was accepted before, and has not changed.
    Total,
}

/// The rules of a schema's place and of all places below it.
#[derive(Debug)]
pub struct Validator {
    node: Node,
    place: Place,
    rules: Vec<Compiled>,
    properties: BTreeMap<String, Validator>,
    values: Option<Box<Validator>>,
    items: Option<Box<Validator>>,
    all_of: Vec<Validator>,
}

#[derive(Debug)]
struct Compiled {
    rule: ValidationRule,
    program: Program,
    message: Option<Program>,
    field: String,
    uses_old: bool,
}

/// Compiles the rules of a schema. Returns nothing if it has none, and every problem but costs.
pub fn compile(node: &Node) -> (Option<Validator>, Vec<Problem>) {
    compile_at(node, Place::Root)
}

/// Compiles the rules of a part of a schema as [`compile`] does those of a whole one.
pub fn compile_at(node: &Node, place: Place) -> (Option<Validator>, Vec<Problem>) {
    let mut builder = Builder { problems: Vec::new(), broken: &[], review: None };
    let validator = builder.build(&Site { place, ..Site::root(node) });
    (validator, builder.problems)
}

/// Finds what is wrong with the rules of a schema that is defined, their cost included. Rules
/// above the places that `broken` names are not looked at: what they would say is no help.
pub fn review(node: &Node, broken: &[String], limits: Limits) -> Vec<Problem> {
    let mut problems = Vec::new();
    wrong_paths(node, "", &mut problems);
    let broken: Vec<String> =
        broken.iter().cloned().chain(problems.iter().map(|problem| problem.path.clone())).collect();
    let mut builder = Builder { problems, broken: &broken, review: Some(Review::new(limits)) };
    builder.build(&Site::root(node));
    let Builder { mut problems, review, .. } = builder;
    problems.extend(review.into_iter().flat_map(Review::end));
    problems
}

/// Finds the rules whose `fieldPath` leads nowhere.
fn wrong_paths(node: &Node, path: &str, problems: &mut Vec<Problem>) {
    for (index, rule) in node.validations.iter().enumerate() {
        if field_path(&rule.field_path, node, Notation::All).is_err() {
            problems.push(Problem {
                path: join(path, &format!("x-kubernetes-validations[{index}].fieldPath")),
                fault: Fault::Invalid(Json::from(rule.field_path.as_str()).to_string()),
                message: "must be a valid path".to_owned(),
            });
        }
    }
    for (name, field) in &node.properties {
        wrong_paths(field, &join(path, &format!("properties[{name}]")), problems);
    }
    match &node.kind {
        Kind::Map(values) => wrong_paths(values, &join(path, "additionalProperties"), problems),
        Kind::Array(items) => wrong_paths(items, &join(path, "items"), problems),
        _ => {}
    }
}

/// A place where rules may stand.
#[derive(Clone)]
struct Site<'a> {
    /// Says where rules stand.
    node: &'a Node,
    /// Says what values look like: it differs within `allOf`.
    typed: &'a Node,
    path: String,
    place: Place,
    /// The place above which old and new cannot be told to belong together.
    apart: Option<String>,
    /// How many such places an object can have, if its schema says.
    times: Option<u64>,
}

impl<'a> Site<'a> {
    fn root(node: &'a Node) -> Site<'a> {
        Site { node, typed: node, path: String::new(), place: Place::Root, apart: None, times: Some(1) }
    }

    /// Returns a place below.
    fn below(&self, step: &str, node: &'a Node, typed: &'a Node) -> Site<'a> {
        let factor = match &self.node.kind {
            Kind::Array(_) => self.node.rules.max_items,
            Kind::Map(_) => self.node.rules.max_properties,
            _ => Some(1),
        };
        let times = self.times.zip(factor).map(|(times, factor)| times.saturating_mul(factor));
        let together = match &self.typed.kind {
            Kind::Array(_) => matches!(self.typed.list, ListType::Map(_)),
            _ => true,
        };
        let apart = self.apart.clone().or_else(|| (!together).then(|| self.path.clone()));
        Site { node, typed, path: join(&self.path, step), place: Place::Inner, apart, times }
    }
}

struct Builder<'a> {
    problems: Vec<Problem>,
    broken: &'a [String],
    review: Option<Review>,
}

impl Builder<'_> {
    fn build(&mut self, site: &Site<'_>) -> Option<Validator> {
        let (node, typed) = (site.node, site.typed);
        if !has_rules(node) {
            return None;
        }
        let place = if typed.embedded { Place::Root } else { site.place };
        let mut validator = Validator {
            node: typed.clone(),
            place,
            rules: Vec::new(),
            properties: BTreeMap::new(),
            values: None,
            items: None,
            all_of: Vec::new(),
        };
        if !node.validations.is_empty() && !self.broken.iter().any(|broken| is_within(broken, &site.path)) {
            match type_of(typed, place) {
                Some(of) => self.rules(&mut validator, site, &of),
                None => self.problems.push(Problem {
                    path: join(&site.path, "x-kubernetes-validations"),
                    fault: Fault::Internal,
                    message: "internal error: failed to construct type information for x-kubernetes-validations rules: unable to convert structural schema to CEL declarations"
                        .to_owned(),
                }),
            }
        }
        for (name, field) in &node.properties {
            let Some(typed) = typed.properties.get(name) else { continue };
            if let Some(found) = self.build(&site.below(&format!("properties[{name}]"), field, typed)) {
                validator.properties.insert(name.clone(), found);
            }
        }
        if let (Kind::Map(values), Kind::Map(inner)) = (&node.kind, &typed.kind) {
            validator.values = self.build(&site.below("additionalProperties", values, inner)).map(Box::new);
        }
        if let (Kind::Array(items), Kind::Array(inner)) = (&node.kind, &typed.kind) {
            validator.items = self.build(&site.below("items", items, inner)).map(Box::new);
        }
        for (index, nested) in node.rules.all_of.iter().enumerate() {
            let path = join(&site.path, &format!("allOf[{index}]"));
            validator.all_of.extend(self.build(&Site { node: nested, path, place, ..site.clone() }));
        }
        Some(validator)
    }

    fn rules(&mut self, validator: &mut Validator, site: &Site<'_>, of: &Type) {
        let bound = self.review.as_ref().and_then(|_| Bound::of(site.typed, validator.place));
        for (index, rule) in site.node.validations.iter().enumerate() {
            let at = join(&site.path, &format!("x-kubernetes-validations[{index}]"));
            let Some(compiled) = self.rule(validator, site, of, rule, &at) else { continue };
            if let (Some(review), Some(bound)) = (&mut self.review, &bound) {
                review.rule(&compiled, bound, site.times, &at, &mut self.problems);
            }
            validator.rules.push(compiled);
        }
    }

    fn rule(
        &mut self,
        validator: &Validator,
        site: &Site<'_>,
        of: &Type,
        rule: &ValidationRule,
        at: &str,
    ) -> Option<Compiled> {
        let shown = show(rule);
        let mut problem = |field: &str, shown: &str, message: String| {
            self.problems.push(Problem {
                path: format!("{at}.{field}"),
                fault: Fault::Invalid(shown.to_owned()),
                message,
            });
        };
        let optional = rule.optional_old_self == Some(true);
        let old = if optional { Type::optional(of.clone()) } else { of.clone() };
        let env = Env::new().with("self", of.clone()).with("oldSelf", old);
        let program = match env.compile(&rule.rule) {
            Ok(program) if *program.result() == Type::Bool => Some(program),
            Ok(_) => {
                problem("rule", &shown, "cel expression must evaluate to a bool".to_owned());
                None
            }
            Err(error) => {
                problem("rule", &shown, format!("compilation failed: {error}"));
                None
            }
        };
        let uses_old = program.as_ref().is_some_and(|program| program.uses("oldSelf"));
        if let Some(apart) = site.apart.as_deref().filter(|_| uses_old) {
            let message = format!(
                "oldSelf cannot be used on the uncorrelatable portion of the schema within {}",
                shown_place(apart)
            );
            problem("rule", &Json::from(rule.rule.as_str()).to_string(), message);
        }
        if let Some(set) = rule.optional_old_self.filter(|_| !uses_old) {
            problem("optionalOldSelf", &set.to_string(), "may not be set if oldSelf is not used in rule".to_owned());
        }
        let program = program?;
        let mut message = None;
        if !rule.message_expression.is_empty() {
            match env.compile(&rule.message_expression) {
                Ok(program) if *program.result() == Type::String => message = Some(program),
                Ok(_) => problem("messageExpression", &shown, "messageExpression must evaluate to a string".to_owned()),
                Err(error) => {
                    problem("messageExpression", &shown, format!("messageExpression compilation failed: {error}"));
                }
            }
        }
        let field = field_path(&rule.field_path, &validator.node, Notation::All).unwrap_or_default();
        Some(Compiled { rule: rule.clone(), program, message, field, uses_old })
    }
}

/// Returns whether a place is another, or below it.
fn is_within(place: &str, above: &str) -> bool {
    place.strip_prefix(above).is_some_and(|rest| above.is_empty() || rest.is_empty() || rest.starts_with('.'))
}

fn has_rules(node: &Node) -> bool {
    let inner = match &node.kind {
        Kind::Map(values) => has_rules(values),
        Kind::Array(items) => has_rules(items),
        _ => false,
    };
    !node.validations.is_empty()
        || inner
        || node.properties.values().any(has_rules)
        || node.rules.all_of.iter().any(has_rules)
}

/// Writes a rule as Kubernetes' messages do.
fn show(rule: &ValidationRule) -> String {
    // Signs that HTML has a use for are escaped.
    let text = |text: &str| {
        let text = Json::from(text).to_string();
        text.replace('<', "\\u003c").replace('>', "\\u003e").replace('&', "\\u0026")
    };
    format!(
        "{{\"Rule\":{},\"Message\":{},\"MessageExpression\":{},\"Reason\":{},\"FieldPath\":{},\"OptionalOldSelf\":{}}}",
        text(&rule.rule),
        text(&rule.message),
        text(&rule.message_expression),
        rule.reason.as_deref().map_or_else(|| "null".to_owned(), text),
        text(&rule.field_path),
        rule.optional_old_self.map_or_else(|| "null".to_owned(), |set| set.to_string()),
    )
}

fn shown_place(path: &str) -> String {
    if path.is_empty() { "<nil>".to_owned() } else { path.to_owned() }
}

/// What the rules say of an object.
#[derive(Debug, Default)]
pub struct Verdict {
    /// Broken rules.
    pub causes: Vec<Cause>,
    /// Broken rules of parts that did not change.
    pub warnings: Vec<String>,
}

/// The old value at a place, as far as it can be told.
#[derive(Clone, Copy)]
struct Before<'a> {
    /// What rules see as `oldSelf`.
    old: Option<&'a Json>,
    /// What the new value is compared with to see whether it changed.
    twin: Option<&'a Json>,
    /// The nearest place above that could be compared did not change.
    above_same: bool,
}

impl Validator {
    /// Applies the rules to a new object, or (with `old`) to a changed one.
    pub fn validate(&self, object: &Json, old: Option<&Json>) -> Verdict {
        let mut run = Run { verdict: Verdict::default(), budget: BUDGET };
        let before = Before { old, twin: old, above_same: false };
        // An exhausted budget has said so itself.
        let _ = self.visit(object, before, "", &mut run);
        run.verdict
    }

    fn visit(&self, value: &Json, before: Before<'_>, path: &str, run: &mut Run) -> Result<(), Exhausted> {
        if value.is_null() {
            return Ok(());
        }
        self.apply(value, before, path, run)?;
        for nested in &self.all_of {
            let before = Before { twin: None, ..before };
            nested.visit(value, before, path, run)?;
        }
        let same = before.twin.map_or(before.above_same, |twin| twin == value);
        match value {
            Json::Array(list) => {
                let Some(items) = &self.items else { return Ok(()) };
                for (index, item) in list.iter().enumerate() {
                    let old = before.old.and_then(|old| twin_of(&self.node.list, item, old));
                    let twin = before.twin.and_then(|old| twin_of(&self.node.list, item, old));
                    let below = Before { old, twin, above_same: same };
                    items.visit(item, below, &format!("{path}[{index}]"), run)?;
                }
            }
            Json::Object(map) => {
                for (name, inner) in map {
                    let below = Before {
                        old: before.old.and_then(|old| old.get(name)),
                        twin: before.twin.and_then(|old| old.get(name)),
                        above_same: same,
                    };
                    if let Some(field) = self.properties.get(name) {
                        field.visit(inner, below, &join(path, name), run)?;
                    } else if let Some(values) = &self.values {
                        values.visit(inner, below, &format!("{path}[{name}]"), run)?;
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn apply(&self, value: &Json, before: Before<'_>, path: &str, run: &mut Run) -> Result<(), Exhausted> {
        if self.rules.is_empty() {
            return Ok(());
        }
        let Some(this) = value_of(value, &self.node, self.place) else { return Ok(()) };
        let old = before.old.filter(|old| !old.is_null()).and_then(|old| value_of(old, &self.node, self.place));
        let same = before.twin.map_or(before.above_same, |twin| twin == value);
        let field = shown_place(path);
        let kind = Json::from(kind_name(&self.node));
        for compiled in &self.rules {
            let optional = compiled.rule.optional_old_self == Some(true);
            if compiled.uses_old && old.is_none() && !optional {
                continue;
            }
            let mut scope = BTreeMap::from([("self".to_owned(), this.clone())]);
            match (&old, optional) {
                (old, true) => {
                    let old = Value::Optional(old.clone().map(std::sync::Arc::new));
                    scope.insert("oldSelf".to_owned(), old);
                }
                (Some(old), false) => {
                    scope.insert("oldSelf".to_owned(), old.clone());
                }
                (None, false) => {}
            }
            let (outcome, cost) = compiled.program.eval(&scope, CALL_LIMIT);
            run.spend(cost, &field, &kind)?;
            let text = rule_text(&compiled.rule);
            match outcome {
                Ok(Value::Bool(true)) => {}
                Ok(_) => {
                    let at = if compiled.field.is_empty() { path.to_owned() } else { join(path, &compiled.field) };
                    let detail = compiled.detail(&scope, run);
                    let cause = cause(&compiled.rule, &shown_place(&at), value, &detail);
                    if !compiled.uses_old && same {
                        run.verdict.warnings.push(format!("{}: {}", cause.field, cause.message));
                    } else {
                        run.verdict.causes.push(cause);
                    }
                }
                Err(error @ EvalError::CostExceeded) => {
                    let detail = format!(
                        "'{error}': no further validation rules will be run due to call cost exceeds limit for rule: {text}"
                    );
                    run.verdict.causes.push(Cause::invalid(field, &kind, &detail));
                    return Err(Exhausted);
                }
                Err(EvalError::Failed(error)) => {
                    let detail = if error.starts_with("no such overload") {
                        format!(
                            "'{error}': call arguments did not match a supported operator, function or macro signature for rule: {text}"
                        )
                    } else {
                        format!("{error} evaluating rule: {text}")
                    };
                    run.verdict.causes.push(Cause::invalid(&field, &kind, &detail));
                }
            }
        }
        Ok(())
    }
}

impl Compiled {
    /// Returns the message: the expression's, the given one, or the rule itself.
    fn detail(&self, scope: &BTreeMap<String, Value>, run: &mut Run) -> String {
        if let Some(program) = &self.message {
            let (outcome, cost) = program.eval(scope, CALL_LIMIT.min(run.budget));
            run.budget = run.budget.saturating_sub(cost);
            if let Ok(Value::String(text)) = outcome {
                let text = text.trim();
                if !text.is_empty() && text.len() <= MAX_MESSAGE && !text.contains('\n') {
                    return text.to_owned();
                }
            }
        }
        if self.rule.message.is_empty() {
            format!("failed rule: {}", self.rule.rule.trim())
        } else {
            self.rule.message.trim().to_owned()
        }
    }
}

struct Run {
    verdict: Verdict,
    budget: u64,
}

/// The budget is used up; no further rule is applied.
struct Exhausted;

impl Run {
    fn spend(&mut self, cost: u64, field: &str, kind: &Json) -> Result<(), Exhausted> {
        match self.budget.checked_sub(cost) {
            Some(left) => {
                self.budget = left;
                Ok(())
            }
            None => {
                let detail =
                    "validation failed due to running out of cost budget, no further validation rules will be run";
                self.verdict.causes.push(Cause::invalid(field, kind, detail));
                Err(Exhausted)
            }
        }
    }
}

fn rule_text(rule: &ValidationRule) -> &str {
    if rule.message.is_empty() { rule.rule.trim() } else { rule.message.trim() }
}

fn cause(rule: &ValidationRule, field: &str, value: &Json, detail: &str) -> Cause {
    let shown = if value.is_object() || value.is_array() { None } else { Some(value) };
    match rule.reason.as_deref() {
        Some("FieldValueForbidden") => Cause::forbidden(field, detail),
        Some("FieldValueRequired") => Cause::required(field, detail),
        Some("FieldValueDuplicate") => Cause {
            reason: "FieldValueDuplicate",
            message: shown.map_or_else(|| "Duplicate value".to_owned(), |value| format!("Duplicate value: {value}")),
            field: field.to_owned(),
        },
        _ => match shown {
            Some(value) => Cause::invalid(field, value, detail),
            None => Cause {
                reason: "FieldValueInvalid",
                message: format!("Invalid value: {detail}"),
                field: field.to_owned(),
            },
        },
    }
}

fn kind_name(node: &Node) -> &'static str {
    match node.kind {
        Kind::String => "string",
        Kind::Integer => "integer",
        Kind::Number => "number",
        Kind::Boolean => "boolean",
        Kind::Array(_) => "array",
        Kind::IntOrString => "",
        _ => "object",
    }
}

/// Returns the item of `old` that has the keys of `item`.
fn twin_of<'a>(list: &ListType, item: &Json, old: &'a Json) -> Option<&'a Json> {
    let ListType::Map(keys) = list else { return None };
    old.as_array()?.iter().find(|there| keys.iter().all(|key| there.get(key) == item.get(key)))
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}
