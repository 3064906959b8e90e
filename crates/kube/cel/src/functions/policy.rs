//! Named formats, and the authorizer.

use std::sync::Arc;

use super::{Outcome, Row, optional, take, text};
use crate::{
    authorizer::{Check, Question, Step},
    error::EvalError,
    formats,
    value::Value,
};

pub(super) const ROWS: &[Row] = &[
    ("format.named(string): optional(format)", |_, args| {
        take!(args, [Value::String(a)] => {
            optional(formats::named(a).map(Value::Format))
        })
    }),
    ("format.dns1123Label(): format", |_, _| Ok(Value::Format("dns1123Label"))),
    ("format.dns1123Subdomain(): format", |_, _| Ok(Value::Format("dns1123Subdomain"))),
    ("format.dns1035Label(): format", |_, _| Ok(Value::Format("dns1035Label"))),
    ("format.qualifiedName(): format", |_, _| Ok(Value::Format("qualifiedName"))),
    ("format.dns1123LabelPrefix(): format", |_, _| Ok(Value::Format("dns1123LabelPrefix"))),
    ("format.dns1123SubdomainPrefix(): format", |_, _| Ok(Value::Format("dns1123SubdomainPrefix"))),
    ("format.dns1035LabelPrefix(): format", |_, _| Ok(Value::Format("dns1035LabelPrefix"))),
    ("format.labelValue(): format", |_, _| Ok(Value::Format("labelValue"))),
    ("format.uri(): format", |_, _| Ok(Value::Format("uri"))),
    ("format.uuid(): format", |_, _| Ok(Value::Format("uuid"))),
    ("format.byte(): format", |_, _| Ok(Value::Format("byte"))),
    ("format.date(): format", |_, _| Ok(Value::Format("date"))),
    ("format.datetime(): format", |_, _| Ok(Value::Format("datetime"))),
    ("<format>.validate(string): optional(list(string))", |meter, args| {
        take!(args, [Value::Format(name), Value::String(a)] => {
            meter.traverse((a.len() as u64).saturating_mul(10))?;
            let problems = formats::problems(name, a);
            optional((!problems.is_empty()).then(|| Value::list(problems.iter().map(|text| text.as_str().into()).collect())))
        })
    }),
    ("<authorizer>.path(string): path_check", |_, args| {
        take!(args, [Value::Authorizer(check), Value::String(path)] => {
            if path.is_empty() {
                return Err(EvalError::failed("path must not be empty"));
            }
            step(check, Step::Path, |question| question.path = Some(path.to_string()))
        })
    }),
    ("<authorizer>.group(string): group_check", |_, args| {
        take!(args, [Value::Authorizer(check), Value::String(group)] => {
            step(check, Step::Group, |question| question.group = group.to_string())
        })
    }),
    ("<authorizer>.serviceAccount(string, string): authorizer", |_, args| {
        take!(args, [Value::Authorizer(check), Value::String(namespace), Value::String(name)] => {
            step(check, Step::Authorizer, |question| question.service_account = Some((namespace.to_string(), name.to_string())))
        })
    }),
    ("<group_check>.resource(string): resource_check", |_, args| {
        take!(args, [Value::Authorizer(check), Value::String(resource)] => {
            step(check, Step::Resource, |question| question.resource = resource.to_string())
        })
    }),
    ("<resource_check>.subresource(string): resource_check", |_, args| {
        take!(args, [Value::Authorizer(check), Value::String(name)] => {
            step(check, Step::Resource, |question| question.subresource = name.to_string())
        })
    }),
    ("<resource_check>.namespace(string): resource_check", |_, args| {
        take!(args, [Value::Authorizer(check), Value::String(name)] => {
            step(check, Step::Resource, |question| question.namespace = name.to_string())
        })
    }),
    ("<resource_check>.name(string): resource_check", |_, args| {
        take!(args, [Value::Authorizer(check), Value::String(name)] => {
            step(check, Step::Resource, |question| question.name = name.to_string())
        })
    }),
    (
        "<path_check>.check(string): decision",
        |meter, args| take!(args, [Value::Authorizer(check), Value::String(verb)] => ask(meter, check, verb)),
    ),
    (
        "<resource_check>.check(string): decision",
        |meter, args| take!(args, [Value::Authorizer(check), Value::String(verb)] => ask(meter, check, verb)),
    ),
    ("<decision>.allowed(): bool", |_, args| decision(args, |decision| Ok(Value::Bool(decision.allowed)))),
    ("<decision>.reason(): string", |_, args| decision(args, |decision| text(&decision.reason))),
    ("<decision>.errored(): bool", |_, args| decision(args, |decision| Ok(Value::Bool(decision.error.is_some())))),
    ("<decision>.error(): string", |_, args| {
        decision(args, |decision| text(decision.error.as_deref().unwrap_or_default()))
    }),
];

#[expect(clippy::unnecessary_wraps, reason = "every function of the table has this outcome")]
fn step(check: &Check, step: Step, change: impl FnOnce(&mut Question)) -> Outcome {
    let mut question = check.question.clone();
    change(&mut question);
    Ok(Value::Authorizer(Arc::new(Check { ask: check.ask.clone(), question, step })))
}

/// Asking costs as much as Kubernetes says it does.
fn ask(meter: &mut super::Meter, check: &Check, verb: &str) -> Outcome {
    meter.charge(350_000)?;
    let question = Question { verb: verb.to_owned(), ..check.question.clone() };
    let decision = (check.ask)(&question);
    Ok(Value::Authorizer(Arc::new(Check { ask: check.ask.clone(), question, step: Step::Decision(decision) })))
}

fn decision(args: &[Value], of: impl FnOnce(&crate::authorizer::Decision) -> Outcome) -> Outcome {
    match args {
        [Value::Authorizer(check)] => match &check.step {
            Step::Decision(decision) => of(decision),
            _ => Err(EvalError::overload()),
        },
        _ => Err(EvalError::overload()),
    }
}
