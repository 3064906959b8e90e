//! `include` and `tpl`: templates that are called as functions.

use std::rc::Rc;

use super::State;
use crate::{Value, gofmt::quote};

impl State<'_, '_> {
    pub(super) fn include(&self, args: &[Value]) -> Result<Value, String> {
        /// Helm's own bound on nested includes of one name.
        const NESTED: u32 = 1000;
        let Value::Str(name) = &args[0] else { return Err("the name is not a string".to_owned()) };
        let count = {
            let mut includes = self.run.includes.borrow_mut();
            let count = includes.entry(name.clone()).or_insert(0);
            *count += 1;
            *count
        };
        if count > NESTED {
            return Err(format!("rendering template has a nested reference name: {name}: unable to execute template"));
        }
        let result = self.nested(|| self.set.execute(name, &args[1], self.run));
        if let Some(count) = self.run.includes.borrow_mut().get_mut(name) {
            *count -= 1;
        }
        result.map(Value::str)
    }

    pub(super) fn tpl(&self, args: &[Value]) -> Result<Value, String> {
        let Value::Str(text) = &args[0] else { return Err("the template is not a string".to_owned()) };
        let mut set = self.set.clone();
        // Helm parses the text under the name of its root template.
        let name: Rc<str> = "gotpl".into();
        // Text that is only blanks or definitions leaves the caller's own template alone, so it gets a fresh one.
        set.hide(&name);
        set.parse(&name, text).map_err(|error| format!("cannot parse template {}: {error}", quote(text)))?;
        let out = self
            .nested(|| set.execute(&name, &args[1], self.run))
            .map_err(|error| format!("error during tpl function execution for {}: {error}", quote(text)))?;
        Ok(Value::str(out.replace("<no value>", "")))
    }

    fn nested(&self, work: impl FnOnce() -> Result<String, String>) -> Result<String, String> {
        let depth = self.run.depth.get();
        if depth + 8 > self.run.world.limits.depth {
            return Err(format!("the render nests more than {} levels", self.run.world.limits.depth));
        }
        self.run.depth.set(depth + 8);
        let result = work();
        self.run.depth.set(depth);
        result
    }
}
