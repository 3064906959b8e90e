//! Complex constants: Go has them, so templates have them.

use crate::{Value, gofmt::float_g, value::Object};

/// A `complex128`: it can be printed, and nothing else.
pub(super) struct Complex {
    pub(super) re: f64,
    pub(super) im: f64,
}

impl Object for Complex {
    fn type_name(&self) -> &'static str {
        "complex128"
    }

    fn field(&self, _name: &str) -> Option<Value> {
        None
    }

    fn call(&self, _name: &str, _args: &[Value]) -> Option<Result<Value, String>> {
        None
    }

    fn text(&self) -> String {
        let sign = if self.im.is_sign_negative() { "" } else { "+" };
        format!("({}{sign}{}i)", float_g(self.re), float_g(self.im))
    }

    fn plain(&self) -> Value {
        Value::str(self.text())
    }
}
