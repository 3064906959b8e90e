//! What is estimated: an expression with its macros written out.

use crate::{
    ast::{Expr, Loop, LoopKind, Node, Select},
    types::{Bindings, Type},
    value::Value,
};

/// The variable that a macro gathers its result in.
pub(super) const GATHERED: &str = "@result";

/// A part of an expression.
#[derive(Debug)]
pub(super) struct Term {
    pub(super) id: usize,
    pub(super) of: Type,
    pub(super) what: What,
}

#[derive(Debug)]
pub(super) enum What {
    /// A value that is written out, with its size.
    Literal {
        size: Option<u64>,
        number: Option<i64>,
    },
    Name(String),
    Select {
        operand: Box<Term>,
        field: String,
    },
    /// `has(a.b)`
    Test(Box<Term>),
    Call(Call),
    List(Vec<Term>),
    Map(Vec<(Term, Term)>),
    Message(Vec<Term>),
    Fold(Box<Fold>),
    /// A name for a value.
    Bind {
        name: String,
        value: Box<Term>,
        body: Box<Term>,
    },
}

#[derive(Debug)]
pub(super) struct Call {
    pub(super) name: String,
    pub(super) target: Option<Box<Term>>,
    pub(super) args: Vec<Term>,
    /// The parameters of each declaration that the call fits.
    pub(super) fits: Vec<Vec<Type>>,
}

/// A loop.
#[derive(Debug)]
pub(super) struct Fold {
    pub(super) range: Term,
    pub(super) names: Vec<String>,
    pub(super) start: Term,
    pub(super) condition: Term,
    pub(super) step: Term,
    pub(super) result: Term,
}

/// How many parts an expression may have when its macros are written out: some double what they stand at.
const MOST_TERMS: usize = 200_000;

/// Writes an expression out; returns nothing of one that is too large.
pub(super) fn written_out(expr: &Expr) -> Option<Term> {
    let mut writer = Writer { next: 0 };
    let term = writer.term(expr);
    (writer.next < MOST_TERMS).then_some(term)
}

struct Writer {
    next: usize,
}

impl Writer {
    fn make(&mut self, of: Type, what: What) -> Term {
        self.next += 1;
        Term { id: self.next, of, what }
    }

    fn terms(&mut self, exprs: &[Expr]) -> Vec<Term> {
        exprs.iter().map(|expr| self.term(expr)).collect()
    }

    fn name(&mut self, name: &str, of: Type) -> Term {
        self.make(of, What::Name(name.to_owned()))
    }

    fn gathered(&mut self, of: &Type) -> Term {
        self.name(GATHERED, of.clone())
    }

    fn literal(&mut self, value: &Value, of: Type) -> Term {
        let (size, number) = match value {
            Value::String(text) => (Some(text.chars().count() as u64), None),
            Value::Bytes(bytes) => (Some(bytes.len() as u64), None),
            Value::Int(number) => (Some(1), Some(*number)),
            // A type is a variable.
            Value::Type(name) => return self.name(name, of),
            _ => (Some(1), None),
        };
        self.make(of, What::Literal { size, number })
    }

    fn call(&mut self, name: &str, of: Type, target: Option<Term>, args: Vec<Term>) -> Term {
        let given: Vec<Type> = target.iter().chain(&args).map(|term| term.of.clone()).collect();
        let fits = match crate::functions::find(name) {
            Some(function) => function
                .overloads
                .iter()
                .filter(|overload| overload.member == target.is_some() && overload.params.len() == given.len())
                .filter(|overload| {
                    let mut bindings = Bindings::default();
                    overload.params.iter().zip(&given).all(|(wanted, given)| bindings.accepts(wanted, given))
                })
                .map(|overload| overload.params.clone())
                .collect(),
            // What only macros call.
            None => vec![given],
        };
        self.make(of, What::Call(Call { name: name.to_owned(), target: target.map(Box::new), args, fits }))
    }

    fn term(&mut self, expr: &Expr) -> Term {
        let of = expr.of.clone();
        if self.next >= MOST_TERMS {
            return self.make(of, What::Literal { size: None, number: None });
        }
        match &expr.node {
            Node::Literal(value) => self.literal(value, of),
            Node::Name(name) => self.name(name, of),
            Node::Select { operand, field, how } => {
                let operand = self.term(operand);
                match how {
                    Select::Test => self.make(of, What::Test(Box::new(operand))),
                    Select::Plain => self.make(of, What::Select { operand: Box::new(operand), field: field.clone() }),
                    Select::Optional => {
                        let field = self.literal(&Value::from(field.as_str()), Type::String);
                        self.call("_?._", of, None, vec![operand, field])
                    }
                }
            }
            Node::Call { name, target, args, .. } => {
                let target = target.as_ref().map(|target| self.term(target));
                let args = self.terms(args);
                self.call(name, of, target, args)
            }
            Node::List(items) => {
                let items = items.iter().map(|item| self.term(&item.value)).collect();
                self.make(of, What::List(items))
            }
            Node::Map(pairs) => {
                let pairs = pairs.iter().map(|pair| (self.term(&pair.key), self.term(&pair.value))).collect();
                self.make(of, What::Map(pairs))
            }
            Node::Message { fields, .. } => {
                let fields = fields.iter().map(|field| self.term(&field.value)).collect();
                self.make(of, What::Message(fields))
            }
            Node::And(terms) => self.chain("_&&_", terms),
            Node::Or(terms) => self.chain("_||_", terms),
            Node::Choice(parts) => {
                let parts = self.terms(parts.as_slice());
                self.call("_?_:_", of, None, parts)
            }
            Node::Loop(inner) => self.looped(inner, of),
            Node::Within { operand, variable, body, flat } => {
                let operand_type = operand.of.clone();
                let asked = self.term(operand);
                let asked = self.call("hasValue", Type::Bool, Some(asked), Vec::new());
                let value = self.term(operand);
                let inner = match operand_type {
                    Type::Optional(inner) => inner.as_ref().clone(),
                    other => other,
                };
                let value = self.call("value", inner, Some(value), Vec::new());
                let body = self.term(body);
                let body_type = body.of.clone();
                let bound = What::Bind { name: variable.clone(), value: Box::new(value), body: Box::new(body) };
                let mut bound = self.make(body_type, bound);
                if !flat {
                    bound = self.call("optional.of", of.clone(), None, vec![bound]);
                }
                let none = self.call("optional.none", of.clone(), None, Vec::new());
                self.call("_?_:_", of, None, vec![asked, bound, none])
            }
        }
    }

    fn chain(&mut self, name: &str, terms: &[Expr]) -> Term {
        let terms = self.terms(terms);
        self.call(name, Type::Bool, None, terms)
    }

    fn looped(&mut self, inner: &Loop, of: Type) -> Term {
        if inner.kind == LoopKind::SortBy {
            return self.sorted(inner, of);
        }
        let range = self.term(&inner.range);
        self.fold(inner, range, of)
    }

    fn fold(&mut self, inner: &Loop, range: Term, of: Type) -> Term {
        let truth = |writer: &mut Writer| writer.literal(&Value::Bool(true), Type::Bool);
        let (start, condition, step, result) = match inner.kind {
            LoopKind::All | LoopKind::Exists => {
                let start = truth(self);
                let mut going = self.gathered(&Type::Bool);
                if inner.kind == LoopKind::Exists {
                    going = self.call("!_", Type::Bool, None, vec![going]);
                }
                let condition = self.call("@not_strictly_false", Type::Bool, None, vec![going]);
                let so_far = self.gathered(&Type::Bool);
                let body = self.term(&inner.body);
                let sign = if inner.kind == LoopKind::All { "_&&_" } else { "_||_" };
                let step = self.call(sign, Type::Bool, None, vec![so_far, body]);
                (start, condition, step, self.gathered(&Type::Bool))
            }
            LoopKind::ExistsOne => {
                let one = |writer: &mut Writer| writer.literal(&Value::Int(1), Type::Int);
                let (start, condition) = (one(self), truth(self));
                let body = self.term(&inner.body);
                let (so_far, next) = (self.gathered(&Type::Int), one(self));
                let next = self.call("_+_", Type::Int, None, vec![so_far, next]);
                let kept = self.gathered(&Type::Int);
                let step = self.call("_?_:_", Type::Int, None, vec![body, next, kept]);
                let (found, wanted) = (self.gathered(&Type::Int), one(self));
                let result = self.call("_==_", Type::Bool, None, vec![found, wanted]);
                (start, condition, step, result)
            }
            LoopKind::Filter | LoopKind::Map | LoopKind::SortBy => {
                let (start, condition) = (self.make(of.clone(), What::List(Vec::new())), truth(self));
                let filter = if inner.kind == LoopKind::Filter { Some(&inner.body) } else { inner.filter.as_ref() };
                let filter = filter.map(|filter| self.term(filter));
                let so_far = self.gathered(&of);
                let item = match (&of, inner.kind, inner.names.first()) {
                    (Type::List(items), LoopKind::Filter, Some(name)) => self.name(name, items.as_ref().clone()),
                    _ => self.term(&inner.body),
                };
                let item = self.make(of.clone(), What::List(vec![item]));
                let added = self.call("_+_", of.clone(), None, vec![so_far, item]);
                let step = self.perhaps(filter, added, &of);
                (start, condition, step, self.gathered(&of))
            }
            LoopKind::TransformMap | LoopKind::TransformMapEntry => {
                let (start, condition) = (self.make(of.clone(), What::Map(Vec::new())), truth(self));
                let filter = inner.filter.as_ref().map(|filter| self.term(filter));
                let mut given = vec![self.gathered(&of)];
                if let (LoopKind::TransformMap, Some(key)) = (inner.kind, inner.names.first()) {
                    given.push(self.name(key, Type::Dyn));
                }
                given.push(self.term(&inner.body));
                let added = self.call("cel.@mapInsert", of.clone(), None, given);
                let step = self.perhaps(filter, added, &of);
                (start, condition, step, self.gathered(&of))
            }
        };
        let fold = Fold { range, names: inner.names.clone(), start, condition, step, result };
        self.make(of, What::Fold(Box::new(fold)))
    }

    /// What is gathered where a filter takes an item, and what was before where it does not.
    fn perhaps(&mut self, filter: Option<Term>, added: Term, of: &Type) -> Term {
        let Some(filter) = filter else { return added };
        let kept = self.gathered(of);
        self.call("_?_:_", of.clone(), None, vec![filter, added, kept])
    }

    /// Sorts by a list of keys that is made first.
    fn sorted(&mut self, inner: &Loop, of: Type) -> Term {
        const INPUT: &str = "@__sortBy_input__";
        let target = self.term(&inner.range);
        let given = target.of.clone();
        let (input, keys) = (self.name(INPUT, given.clone()), self.name(INPUT, given));
        let keys = self.fold(inner, keys, Type::list(inner.body.of.clone()));
        let body = self.call("@sortByAssociatedKeys", of.clone(), Some(input), vec![keys]);
        let bind = What::Bind { name: INPUT.to_owned(), value: Box::new(target), body: Box::new(body) };
        self.make(of, bind)
    }
}
