//! The `x-kubernetes-validations` of a schema: compiled once, applied to each new or
//! changed object.

mod paths;

use std::collections::BTreeMap;

use schema::{
    model::{Kind, ListType, Node, ValidationRule},
    validate::Cause,
};
use serde_json::Value as Json;

use crate::{
    BUDGET, CALL_LIMIT, Env, EvalError, Program, Type,
    schemas::{Place, type_of, value_of},
    value::Value,
};

pub use paths::field_path;

/// The longest message that an expression may make, in bytes.
const MAX_MESSAGE: usize = 5 * 1024;

/// What is wrong with a rule of a definition.
#[derive(Clone, Debug, PartialEq)]
pub struct Problem {
    /// The place within the schema, for example `properties[spec].x-kubernetes-validations[0].rule`.
    pub path: String,
    /// The broken rule or value, as messages show it.
    pub shown: String,
    /// What is wrong.
    pub message: String,
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

/// Compiles the rules of a schema. Returns nothing if it has none, and every problem.
pub fn compile(node: &Node) -> (Option<Validator>, Vec<Problem>) {
    let mut problems = Vec::new();
    let validator = build(node, node, "", Place::Root, None, &mut problems);
    (validator, problems)
}

/// `node` says where rules stand, `typed` what values look like (they differ within `allOf`);
/// `apart` is the place above which old and new cannot be told to belong together.
fn build(
    node: &Node,
    typed: &Node,
    path: &str,
    place: Place,
    apart: Option<&str>,
    problems: &mut Vec<Problem>,
) -> Option<Validator> {
    if !has_rules(node) {
        return None;
    }
    let place = if typed.embedded { Place::Root } else { place };
    let mut validator = Validator {
        node: typed.clone(),
        place,
        rules: Vec::new(),
        properties: BTreeMap::new(),
        values: None,
        items: None,
        all_of: Vec::new(),
    };
    if !node.validations.is_empty() {
        match type_of(typed, place) {
            Some(of) => compile_rules(&mut validator, node, &of, path, apart, problems),
            None => problems.push(Problem {
                path: join(path, "x-kubernetes-validations"),
                shown: "null".to_owned(),
                message: "internal error: failed to retrieve type information for x-kubernetes-validations".to_owned(),
            }),
        }
    }
    for (name, field) in &node.properties {
        let Some(typed) = typed.properties.get(name) else { continue };
        let at = join(path, &format!("properties[{name}]"));
        if let Some(found) = build(field, typed, &at, Place::Inner, apart, problems) {
            validator.properties.insert(name.clone(), found);
        }
    }
    if let (Kind::Map(values), Kind::Map(typed)) = (&node.kind, &typed.kind) {
        let at = join(path, "additionalProperties");
        validator.values = build(values, typed, &at, Place::Inner, apart, problems).map(Box::new);
    }
    if let (Kind::Array(items), Kind::Array(inner)) = (&node.kind, &typed.kind) {
        let apart = if matches!(typed.list, ListType::Map(_)) { apart } else { Some(path) };
        validator.items = build(items, inner, &join(path, "items"), Place::Inner, apart, problems).map(Box::new);
    }
    for (index, nested) in node.rules.all_of.iter().enumerate() {
        let at = join(path, &format!("allOf[{index}]"));
        validator.all_of.extend(build(nested, typed, &at, place, apart, problems));
    }
    Some(validator)
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

fn compile_rules(
    validator: &mut Validator,
    node: &Node,
    of: &Type,
    path: &str,
    apart: Option<&str>,
    problems: &mut Vec<Problem>,
) {
    for (index, rule) in node.validations.iter().enumerate() {
        let at = join(path, &format!("x-kubernetes-validations[{index}]"));
        let shown = show(rule);
        let mut problem = |field: &str, shown: &str, message: String| {
            problems.push(Problem { path: format!("{at}.{field}"), shown: shown.to_owned(), message });
        };
        let optional = rule.optional_old_self == Some(true);
        let old = if optional { Type::optional(of.clone()) } else { of.clone() };
        let env = Env::new().with("self", of.clone()).with("oldSelf", old);
        let program = match env.compile(&rule.rule) {
            Ok(program) if *program.result() == Type::Bool => program,
            Ok(_) => {
                problem("rule", &shown, "cel expression must evaluate to a bool".to_owned());
                continue;
            }
            Err(error) => {
                problem("rule", &shown, format!("compilation failed: {error}"));
                continue;
            }
        };
        let uses_old = program.uses("oldSelf");
        if let Some(apart) = apart.filter(|_| uses_old) {
            let message = format!(
                "oldSelf cannot be used on the uncorrelatable portion of the schema within {}",
                shown_place(apart)
            );
            problem("rule", &Json::from(rule.rule.as_str()).to_string(), message);
        }
        if let Some(set) = rule.optional_old_self.filter(|_| !uses_old) {
            problem("optionalOldSelf", &set.to_string(), "may not be set if oldSelf is not used in rule".to_owned());
        }
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
        let field = field_path(&rule.field_path, &validator.node).unwrap_or_default();
        validator.rules.push(Compiled { rule: rule.clone(), program, message, field, uses_old });
    }
}

/// Writes a rule as Kubernetes' messages do.
fn show(rule: &ValidationRule) -> String {
    let text = |text: &str| Json::from(text).to_string();
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
