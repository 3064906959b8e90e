//! Calls: arguments evaluated and checked against parameters, as Go's `evalCall` does.

use std::fmt::Display;

use super::{Arg, State, Walk};
use crate::{
    Value,
    gofmt::quote,
    template::{Call, Function, ast::Expr},
    value::Elem,
};

impl<'t> State<'t, '_> {
    pub(super) fn method_arguments(
        &mut self,
        dot: &Value,
        node: &'t Expr,
        name: &str,
        params: Option<&'static str>,
        args: &'t [Expr],
        last: Option<Value>,
    ) -> Walk<Vec<Value>> {
        let count = args.len() + usize::from(last.is_some());
        if let Some(params) = params.filter(|params| params.len() != count) {
            let message = format_args!("wrong number of args for {name}: want {} got {count}", params.len());
            return self.fail_expr(node, message);
        }
        let wanted = |index: usize| params.map_or(b'a', |params| params.as_bytes()[index]);
        let mut values = Vec::with_capacity(count);
        for (index, arg) in args.iter().enumerate() {
            values.push(self.argument(dot, arg, wanted(index))?);
        }
        if let Some(last) = last {
            let at = args.last().unwrap_or(node);
            values.push(self.validate(Arg { value: last, boxed: false }, wanted(args.len()), at)?);
        }
        Ok(values)
    }

    #[expect(clippy::too_many_arguments, reason = "each is a different part of one call")]
    pub(super) fn call(
        &mut self,
        dot: &Value,
        ident: &Expr,
        pos: usize,
        context: &dyn Display,
        name: &str,
        args: &'t [Expr],
        last: Option<Value>,
    ) -> Walk<Value> {
        let Some(function) = self.set.funcs.0.get(name).copied() else {
            return self.fail_expr(ident, format_args!("{} is not a defined function", quote(name)));
        };
        let count = args.len() + usize::from(last.is_some());
        let (fixed, variadic) = parameters(&function);
        if variadic.is_some() {
            if count < fixed.len() {
                let message =
                    format_args!("wrong number of args for {name}: want at least {} got {}", fixed.len(), args.len());
                return self.fail_expr(ident, message);
            }
        } else if count != fixed.len() {
            let message = format_args!("wrong number of args for {name}: want {} got {count}", fixed.len());
            return self.fail_expr(ident, message);
        }
        if let Call::Circuit { stop } = function.call {
            return self.circuit(dot, args, last, stop);
        }
        let wanted = |index: usize| fixed.get(index).copied().or(variadic).unwrap_or(b'a');
        let mut values = Vec::with_capacity(count);
        for (index, arg) in args.iter().enumerate() {
            values.push(self.argument(dot, arg, wanted(index))?);
        }
        if let Some(last) = last {
            let at = args.last().unwrap_or(ident);
            values.push(self.validate(Arg { value: last, boxed: false }, wanted(args.len()), at)?);
        }
        let result = match function.call {
            // Go has no value at all for a nil that does not come out of a map or a list.
            Call::Plain(_)
                if name == "len"
                    && values[0].is_nil()
                    && !matches!(args, [Expr::Field(..) | Expr::Chain(..) | Expr::Dot(_)]) =>
            {
                Err("reflect: call of reflect.Value.Type on zero Value".to_owned())
            }
            Call::Plain(call) => call(&values),
            Call::World(call) => call(self.run.world, &values),
            Call::Apply => {
                let shown = args.first().map(ToString::to_string).unwrap_or_default();
                match &values[0] {
                    Value::Nil => Err("call of nil".to_owned()),
                    other => Err(format!("non-function {shown} of type {}", other.type_name())),
                }
            }
            Call::Include => self.include(&values),
            Call::Tpl => self.tpl(&values),
            Call::Circuit { .. } => Ok(Value::Nil),
        };
        match result {
            Ok(value) => Ok(value),
            Err(message) => self.fail(pos, context, format_args!("error calling {name}: {message}")),
        }
    }

    fn circuit(&mut self, dot: &Value, args: &'t [Expr], last: Option<Value>, stop: bool) -> Walk<Value> {
        let mut value = Value::Nil;
        for arg in args {
            value = self.argument(dot, arg, b'a')?;
            if value.truth() == stop {
                return Ok(value);
            }
        }
        Ok(last.unwrap_or(value))
    }

    fn argument(&mut self, dot: &Value, expr: &'t Expr, wanted: u8) -> Walk<Value> {
        self.at = Some(expr);
        let arg = match expr {
            Expr::Dot(_) => Arg { value: dot.clone(), boxed: false },
            Expr::Nil(_) => {
                if matches!(wanted, b'a' | b'm' | b'l') {
                    return Ok(Value::Nil);
                }
                return self.fail_expr(expr, format_args!("cannot assign nil to {}", go_type(wanted)));
            }
            Expr::Field(_, names) => self.chain(dot, dot.clone(), expr, names, &[], None)?,
            Expr::Variable(_, names) => {
                let receiver = self.variable(&names[0]);
                if names.len() == 1 {
                    Arg { value: receiver, boxed: false }
                } else {
                    self.chain(dot, receiver, expr, &names[1..], &[], None)?
                }
            }
            Expr::Chain(_, node, names) => {
                let receiver = self.chain_base(dot, expr, node)?;
                self.chain(dot, receiver, self.at.unwrap_or(expr), names, &[], None)?
            }
            Expr::Pipe(pipe) => Arg { value: self.pipeline(dot, pipe)?, boxed: false },
            Expr::Ident(pos, name) => Arg { value: self.call(dot, expr, *pos, expr, name, &[], None)?, boxed: false },
            literal => return self.literal(literal, wanted),
        };
        self.validate(arg, wanted, self.at.unwrap_or(expr))
    }

    fn literal(&self, expr: &Expr, wanted: u8) -> Walk<Value> {
        match (wanted, expr) {
            (b'a' | b'b', Expr::Bool(_, value)) => Ok(Value::Bool(*value)),
            (b'a', Expr::Number(..)) => self.ideal(expr),
            (b'a' | b's', Expr::Str(_, _, text)) => Ok(Value::Str(text.clone())),
            (b'i', Expr::Number(_, number)) if number.int.is_some() => Ok(Value::Int(number.int.unwrap_or(0))),
            (b'u', Expr::Number(_, number)) if number.int.is_some_and(|int| int >= 0) => {
                Ok(Value::Int(number.int.unwrap_or(0)))
            }
            (b'u', _) => self.fail_expr(expr, format_args!("expected unsigned integer; found {expr}")),
            (b'f', Expr::Number(_, number)) if number.float.is_some() => Ok(Value::Float(number.float.unwrap_or(0.0))),
            (b'b', _) => self.fail_expr(expr, format_args!("expected bool; found {expr}")),
            (b'i', _) => self.fail_expr(expr, format_args!("expected integer; found {expr}")),
            (b'f', _) => self.fail_expr(expr, format_args!("expected float; found {expr}")),
            (b's', _) => self.fail_expr(expr, format_args!("expected string; found {expr}")),
            _ => self.fail_expr(expr, format_args!("can't handle {expr} for arg of type {}", go_type(wanted))),
        }
    }

    fn validate(&self, arg: Arg, wanted: u8, at: &Expr) -> Walk<Value> {
        let fits = match (wanted, &arg.value) {
            (b'a', _)
            | (b's', Value::Str(_))
            | (b'i', Value::Int(_))
            | (b'b', Value::Bool(_))
            | (b'f', Value::Float(_))
            | (b'm', Value::Map(_, Elem::Any | Elem::Values))
            | (b'l', Value::List(_, Elem::Any)) => true,
            (b't' | b'c', Value::Object(object)) => object.type_name() == go_type(wanted),
            (b'm' | b'l', Value::Nil) => !arg.boxed,
            _ => false,
        };
        if fits {
            return Ok(arg.value);
        }
        let expected = go_type(wanted);
        match &arg.value {
            Value::Nil if !arg.boxed => self.fail_expr(at, format_args!("invalid value; expected {expected}")),
            Value::Nil => {
                self.fail_expr(at, format_args!("wrong type for value; expected {expected}; got interface {{}}"))
            }
            other => {
                let got = other.type_name();
                self.fail_expr(at, format_args!("wrong type for value; expected {expected}; got {got}"))
            }
        }
    }
}

fn parameters(function: &Function) -> (&'static [u8], Option<u8>) {
    let params = function.params.as_bytes();
    match params {
        [fixed @ .., kind, b'*'] => (fixed, Some(*kind)),
        _ => (params, None),
    }
}

fn go_type(letter: u8) -> &'static str {
    match letter {
        b's' => "string",
        b'i' => "int",
        b'b' => "bool",
        b'f' => "float64",
        b'm' => "map[string]interface {}",
        b'l' => "[]interface {}",
        b'u' => "uint32",
        b't' => "time.Time",
        b'c' => "sprig.certificate",
        _ => "interface {}",
    }
}
