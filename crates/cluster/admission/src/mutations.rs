//! `MutatingAdmissionPolicy`: expressions that say how an object is changed before it is let through.

use std::collections::BTreeMap;

use expressions::{Program, Type, Value as Cel};
use schema::{apply, model::Node, patch, validate, validate::Cause};
use serde_json::{Value, json};

use crate::{
    items,
    policies::{Condition, Lazy, check, condition_problems, conditions, variables},
    text,
    webhooks::FailurePolicy,
};

/// A policy, compiled.
#[derive(Debug)]
pub struct Mutator {
    name: String,
    failure: FailurePolicy,
    repeats: bool,
    conditions: Value,
    variables: Vec<(String, Program)>,
    mutations: Vec<Mutation>,
}

#[derive(Debug)]
struct Mutation {
    source: String,
    program: Program,
    made: Made,
}

/// What an expression makes.
#[derive(Clone, Copy, Debug)]
enum Made {
    /// What is to be laid over the object.
    Apply,
    /// The steps of a JSON patch.
    Patch,
}

impl Mutator {
    /// Compiles a `MutatingAdmissionPolicy`. Returns every expression that cannot be used.
    pub fn compile(policy: &Value) -> (Mutator, Vec<Cause>) {
        let spec = &policy["spec"];
        let mut causes = Vec::new();
        condition_problems(&spec["matchConditions"], "spec.matchConditions", &mut causes);
        let (env, variables) = variables(spec, &mut causes);
        let env = env.with_objects();
        let mut mutations = Vec::new();
        for (index, mutation) in items(&spec["mutations"]).enumerate() {
            let at = format!("spec.mutations[{index}]");
            let patch = text(mutation, "patchType");
            let (field, other, wanted) = match patch {
                "JSONPatch" => ("jsonPatch", "applyConfiguration", Type::list(Type::object("JSONPatch", []))),
                "ApplyConfiguration" => ("applyConfiguration", "jsonPatch", Type::object("Object", [])),
                "" => {
                    causes.push(Cause::required(format!("{at}.patchType"), ""));
                    continue;
                }
                _ => {
                    let known = &["ApplyConfiguration", "JSONPatch"];
                    causes.push(Cause::not_supported(format!("{at}.patchType"), &mutation["patchType"], known));
                    continue;
                }
            };
            if mutation[field].is_null() {
                let detail = format!("must be specified when patchType is {patch}");
                causes.push(Cause::required(format!("{at}.{field}"), &detail));
            } else if text(&mutation[field], "expression").trim().is_empty() {
                causes.push(Cause::required(format!("{at}.{field}.expression"), ""));
            } else {
                let expression = &mutation[field]["expression"];
                let program = check(&env, expression, &format!("{at}.{field}.expression"), &wanted, &mut causes);
                let source = text(&mutation[field], "expression").trim().to_owned();
                let made = if patch == "JSONPatch" { Made::Patch } else { Made::Apply };
                mutations.extend(program.map(|program| Mutation { source, program, made }));
            }
            if !mutation[other].is_null() {
                let detail = format!("must not be specified when patchType is {patch}");
                let shown = format!("{{{other}}}").into();
                causes.push(Cause::invalid(format!("{at}.{other}"), &shown, &detail));
            }
        }
        let failure = if text(spec, "failurePolicy") == "Ignore" { FailurePolicy::Ignore } else { FailurePolicy::Fail };
        let mutator = Mutator {
            name: text(&policy["metadata"], "name").to_owned(),
            failure,
            repeats: text(spec, "reinvocationPolicy") == "IfNeeded",
            conditions: spec["matchConditions"].clone(),
            variables,
            mutations,
        };
        (mutator, causes)
    }

    /// Returns whether it is to be asked again when another changed the object after it.
    pub fn repeats(&self) -> bool {
        self.repeats
    }

    /// Returns what a policy's binding makes of an object, `None` if nothing. `settle` gives what a step made its one
    /// form, with defaults.
    ///
    /// # Errors
    ///
    /// The sentence that the request is refused with, unless the policy ignores failures.
    pub fn change(
        &self,
        binding: &Value,
        inputs: &BTreeMap<String, Cel>,
        object: &Value,
        node: &Node,
        settle: &dyn Fn(&mut Value),
    ) -> Result<Option<Value>, String> {
        match conditions(&self.conditions, inputs) {
            Condition::Holds => {}
            Condition::DoesNot => return Ok(None),
            Condition::Failed(error) => return self.failed(binding, &error).map(|()| None),
        }
        let mut inputs = inputs.clone();
        let mut current = object.clone();
        for mutation in &self.mutations {
            inputs.insert("object".to_owned(), Cel::from_json(&current));
            let scope = Lazy::new(&inputs, &self.variables);
            match mutation.run(&scope, &current, node) {
                Ok(mut changed) => {
                    settle(&mut changed);
                    current = changed;
                }
                // The steps that come after it are tried all the same.
                Err(error) => self.failed(binding, &error)?,
            }
        }
        Ok((current != *object).then_some(current))
    }

    /// Returns what it means that a binding's parameters could not be had.
    ///
    /// # Errors
    ///
    /// As [`Mutator::change`].
    pub fn without_params(&self, binding: &Value, why: &str) -> Result<(), String> {
        self.failed(binding, &format!("failed to configure binding: {why}"))
    }

    fn failed(&self, binding: &Value, error: &str) -> Result<(), String> {
        if self.failure == FailurePolicy::Ignore {
            return Ok(());
        }
        let bound = text(&binding["metadata"], "name");
        Err(format!("policy '{}' with binding '{bound}' denied request: {error}", self.name))
    }
}

impl Mutation {
    fn run(&self, scope: &Lazy<'_>, object: &Value, node: &Node) -> Result<Value, String> {
        let failed = |error| format!("expression '{}' resulted in error: {error}", self.source);
        let made = scope.eval(&self.program).and_then(|value| value.to_json()).map_err(failed)?;
        match self.made {
            Made::Apply => lay_over(object, made, node).map_err(|why| format!("error applying patch: {why}")),
            Made::Patch => {
                let steps: Vec<Value> = items(&made).map(step).collect();
                match patch::json(object, &steps.into()) {
                    // A test that does not hold says that there is nothing to do.
                    Err(error) if error.is_test() => Ok(object.clone()),
                    outcome => outcome.map_err(|error| format!("JSON Patch: {error}")),
                }
            }
        }
    }
}

fn lay_over(object: &Value, mut config: Value, node: &Node) -> Result<Value, String> {
    if let Some(field) = validate::unknown(&mut config, node, false).first() {
        return Err(format!("failed to convert patch object to typed object: .{field}: field not declared in schema"));
    }
    apply::overlay(object, &config, node).map_err(|whole| {
        format!("invalid ApplyConfiguration: may not mutate atomic arrays, maps or structs: {}", whole.join(", "))
    })
}

/// A step of a JSON patch has no value where it was given none.
fn step(made: &Value) -> Value {
    let mut step = json!({"op": made["op"], "path": made["path"]});
    for name in ["from", "value"] {
        if let Some(given) = made.get(name) {
            step[name] = given.clone();
        }
    }
    step
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node() -> &'static Node {
        schema::model::builtin("io.k8s.api.apps.v1.Deployment").unwrap()
    }

    fn compiled(mutations: &Value) -> Mutator {
        let (mutator, causes) = Mutator::compile(&json!({"metadata": {"name": "p"}, "spec": {"mutations": mutations,
            "variables": [{"name": "more", "expression": "object.spec.replicas + 1"}]}}));
        assert!(causes.is_empty(), "{causes:?}");
        mutator
    }

    fn change(mutations: &Value, object: &Value) -> Result<Option<Value>, String> {
        let inputs =
            BTreeMap::from([("object".to_owned(), Cel::from_json(object)), ("oldObject".to_owned(), Cel::Null)]);
        compiled(mutations).change(&json!({"metadata": {"name": "b"}}), &inputs, object, node(), &|_| {})
    }

    fn deployment() -> Value {
        json!({"metadata": {"name": "d", "labels": {"a": "b"}}, "spec": {"replicas": 1, "template": {"spec": {"containers": [
            {"name": "c", "image": "i"}]}}}})
    }

    #[test]
    fn an_object_is_laid_over_and_each_step_sees_the_one_before() {
        let expression = r#"Object{spec: Object.spec{replicas: variables.more, template: Object.spec.template{spec: Object.spec.template.spec{
            containers: object.spec.template.spec.containers.map(c, Object.spec.template.spec.containers{name: c.name, image: "x/" + c.image})
                + [Object.spec.template.spec.containers{name: "sidecar", image: "s"}]}}}}"#;
        let twice = json!([{"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": expression}},
            {"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": "Object{spec: Object.spec{replicas: variables.more}}"}}]);
        let changed = change(&twice, &deployment()).unwrap().unwrap();
        assert_eq!(changed["spec"]["replicas"], 3);
        assert_eq!(
            changed["spec"]["template"]["spec"]["containers"],
            json!([{"name": "c", "image": "x/i"}, {"name": "sidecar", "image": "s"}])
        );
        assert_eq!(changed["metadata"], deployment()["metadata"]);
    }

    #[test]
    fn a_json_patch_is_a_list_of_steps() {
        let expression = r#"[JSONPatch{op: "add", path: "/metadata/labels/" + jsonpatch.escapeKey("x/y~z"), value: "v"},
            JSONPatch{op: "remove", path: "/metadata/labels/a"}]"#;
        let mutations = json!([{"patchType": "JSONPatch", "jsonPatch": {"expression": expression}}]);
        let changed = change(&mutations, &deployment()).unwrap().unwrap();
        assert_eq!(changed["metadata"]["labels"], json!({"x/y~z": "v"}));
        let expression =
            r#"[JSONPatch{op: "test", path: "/spec/replicas", value: 9}, JSONPatch{op: "remove", path: "/spec"}]"#;
        let mutations = json!([{"patchType": "JSONPatch", "jsonPatch": {"expression": expression}}]);
        assert_eq!(change(&mutations, &deployment()), Ok(None), "a test that does not hold leaves it as it is");
    }

    #[test]
    fn what_would_be_lost_or_is_unknown_is_refused() {
        let apply = |expression: &str| {
            change(
                &json!([{"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": expression}}]),
                &deployment(),
            )
        };
        let whole = "Object{spec: Object.spec{selector: Object.spec.selector{matchLabels: {'a': 'b'}}}}";
        assert_eq!(
            apply(whole).unwrap_err(),
            "policy 'p' with binding 'b' denied request: error applying patch: invalid ApplyConfiguration: may not mutate atomic arrays, maps or structs: .spec.selector"
        );
        assert!(
            apply("Object{spec: Object.spec{odd: 1}}")
                .unwrap_err()
                .ends_with(".spec.odd: field not declared in schema")
        );
        assert!(
            apply("Object{spec: Object.spec{replicas: object.spec.nothing}}")
                .unwrap_err()
                .ends_with("no such key: nothing")
        );
        assert_eq!(apply("Object{}"), Ok(None));
    }

    #[test]
    fn an_expression_of_another_type_or_with_a_part_in_the_wrong_place_is_named() {
        let spec = |expression: &str| json!({"spec": {"mutations": [{"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": expression}}]}});
        for wrong in [
            "1",
            "Object.spec{}",
            "Object{spec: Object.status{}}",
            "Other{}",
            "Object{spec: Object.spec{list: [Object.spec{}]}}",
        ] {
            let (_, causes) = Mutator::compile(&spec(wrong));
            let fields: Vec<&str> = causes.iter().map(|cause| cause.field.as_str()).collect();
            assert_eq!(fields, ["spec.mutations[0].applyConfiguration.expression"], "{wrong}");
        }
        assert!(Mutator::compile(&spec("Object{?spec: optional.of(Object.spec{})}")).1.is_empty());
    }
}
