//! Goes through an expression and adds up what its parts can cost.

use std::collections::HashMap;

use super::{
    Bound, NEW_LIST, NEW_MAP, NEW_OBJECT, Size,
    calls::Operand,
    steps::Steps,
    terms::{Call, Fold, GATHERED, Term, What, written_out},
};
use crate::{ast::Expr, types::Type};

/// Returns what an expression can cost at most, where `bound` says how large a variable can be.
pub(crate) fn most(expr: &Expr, bound: &Bound) -> u64 {
    // What is too large to be looked at is too dear.
    let Some(term) = written_out(expr) else { return u64::MAX };
    let mut estimate = Estimate {
        bound,
        ways: HashMap::new(),
        sizes: HashMap::new(),
        entries: HashMap::new(),
        locals: HashMap::new(),
    };
    estimate.cost(&term)
}

pub(super) struct Estimate<'a> {
    bound: &'a Bound,
    /// The way to each part, as far as it leads from a variable.
    ways: HashMap<usize, Steps>,
    sizes: HashMap<usize, Size>,
    /// The sizes of what each part holds.
    entries: HashMap<usize, Entry>,
    locals: HashMap<String, Vec<Local>>,
}

/// The sizes of what a list or map holds.
#[derive(Clone, Copy)]
pub(super) struct Entry {
    list: bool,
    key: Size,
    pub(super) value: Size,
}

impl Entry {
    pub(super) fn or(self, other: Entry) -> Entry {
        Entry { list: self.list, key: self.key.or(other.key), value: self.value.or(other.value) }
    }
}

/// A variable of a macro.
struct Local {
    way: Option<Steps>,
    size: Option<Size>,
    entry: Option<Entry>,
}

impl Estimate<'_> {
    pub(super) fn cost(&mut self, term: &Term) -> u64 {
        match &term.what {
            What::Literal { .. } => 0,
            What::Name(name) => {
                let way = match self.local(name) {
                    Some(local) => local.way.clone(),
                    None => Some(Steps::variable(name)),
                };
                self.lead(term, way);
                1
            }
            What::Test(operand) => self.cost(operand),
            What::Select { operand, field } => {
                let mut cost = self.cost(operand);
                if matches!(operand.of, Type::Map(..) | Type::Object(_)) {
                    cost = cost.saturating_add(1);
                }
                let way = self.way(operand).unwrap_or_default().and(field);
                self.lead(term, Some(way));
                cost
            }
            What::Call(call) => self.call(term, call),
            What::List(items) => {
                let mut held: Option<Size> = None;
                let mut cost = NEW_LIST;
                for item in items {
                    cost = cost.saturating_add(self.cost(item));
                    let size = self.size_or_unknown(item);
                    held = Some(held.map_or(size, |held| held.or(size)));
                }
                let value = held.unwrap_or(Size::exactly(0));
                self.entries.insert(term.id, Entry { list: true, key: Size::exactly(1), value });
                cost
            }
            What::Map(pairs) => {
                let mut held: Option<(Size, Size)> = None;
                let mut cost = NEW_MAP;
                for (key, value) in pairs {
                    cost = cost.saturating_add(self.cost(key)).saturating_add(self.cost(value));
                    let (key, value) = (self.size_or_unknown(key), self.size_or_unknown(value));
                    held = Some(held.map_or((key, value), |(keys, values)| (keys.or(key), values.or(value))));
                }
                let (key, value) = held.unwrap_or((Size::exactly(0), Size::exactly(0)));
                self.entries.insert(term.id, Entry { list: false, key, value });
                cost
            }
            What::Message(fields) => {
                fields.iter().fold(NEW_OBJECT, |cost, field| cost.saturating_add(self.cost(field)))
            }
            What::Fold(fold) => self.fold(term, fold),
            What::Bind { name, value, body } => {
                // The loop over nothing that stands for it makes a list.
                let mut cost = NEW_LIST.saturating_add(self.cost(value));
                let local = Local { way: self.way(value), entry: self.entry(value), size: self.size(value) };
                self.push(name, local);
                cost = cost.saturating_add(self.cost(body));
                self.pop(name);
                self.same_sizes(term, body);
                cost
            }
        }
    }

    fn call(&mut self, term: &Term, call: &Call) -> u64 {
        if let ("dyn", [arg]) = (call.name.as_str(), call.args.as_slice()) {
            let cost = self.cost(arg).saturating_add(1);
            self.same_sizes(term, arg);
            return cost;
        }
        let (mut costs, mut args) = (Vec::with_capacity(call.args.len()), Vec::with_capacity(call.args.len()));
        for arg in &call.args {
            costs.push(self.cost(arg));
            args.push(self.operand(arg));
        }
        // Of what is chosen between, one part is evaluated.
        let given = match (call.name.as_str(), costs.as_slice()) {
            ("_?_:_", [condition, yes, no]) => condition.saturating_add(*yes.max(no)),
            _ => costs.iter().fold(0, |sum: u64, cost| sum.saturating_add(*cost)),
        };
        if call.fits.is_empty() {
            return 0;
        }
        let mut cost: u64 = 0;
        let target = call.target.as_ref().map(|target| {
            cost = self.cost(target);
            self.operand(target)
        });
        let (mut dearest, mut result) = (0, None);
        for params in &call.fits {
            let (own, size) = self.function(term, call, params, target.as_ref(), &args);
            dearest = dearest.max(own.saturating_add(given));
            result = match (result, size) {
                (Some(before), Some(size)) => Some(Size::or(before, size)),
                (before, size) => before.or(size),
            };
            let step = match (call.name.as_str(), params.first()) {
                ("_[_]", Some(Type::List(_))) => "@items",
                ("_[_]", Some(Type::Map(..))) => "@values",
                _ => "",
            };
            if let (false, Some(container)) = (step.is_empty(), call.args.first()) {
                result = self.entry(container).map(|entry| entry.value);
                let way = self.way(container).unwrap_or_default().and(step);
                self.lead(term, Some(way));
            }
            if result.is_none() {
                result = self.size(term);
            }
        }
        if let Some(size) = result {
            self.sizes.insert(term.id, size);
        }
        cost.saturating_add(dearest)
    }

    fn fold(&mut self, term: &Term, fold: &Fold) -> u64 {
        let mut cost = self.cost(&fold.range).saturating_add(self.cost(&fold.start));
        let local = Local { way: self.way(&fold.start), entry: self.entry(&fold.start), size: self.size(&fold.start) };
        self.push(GATHERED, local);
        self.enter(fold);
        let each = self.cost(&fold.condition).saturating_add(self.cost(&fold.step));
        for name in &fold.names {
            self.pop(name);
        }
        cost = cost.saturating_add(self.cost(&fold.result));
        self.pop(GATHERED);
        let times = self.size_or_unknown(&fold.range);
        cost = cost.saturating_add(times.most.saturating_mul(each));
        match &fold.start.what {
            What::Literal { size: Some(size), .. } => {
                self.sizes.insert(term.id, Size::exactly(*size));
            }
            What::List(_) | What::Map(_) => {
                self.sizes.insert(term.id, times);
                if let Some(entry) = self.entry(&fold.step) {
                    self.entries.insert(term.id, entry);
                }
            }
            _ => {}
        }
        cost
    }

    /// Makes the variables of a loop known.
    fn enter(&mut self, fold: &Fold) {
        let entry = self.entry(&fold.range);
        let list = entry.map_or(matches!(fold.range.of, Type::List(_)), |entry| entry.list);
        let (key, value) = (entry.map(|entry| entry.key), entry.map(|entry| entry.value));
        let values = if list { "@items" } else { "@values" };
        let steps: Vec<(&str, Option<Size>)> = match fold.names.len() {
            1 if list => vec![("@items", value)],
            1 => vec![("@keys", key)],
            _ => vec![(if list { "@indices" } else { "@keys" }, key), (values, value)],
        };
        for (name, (step, size)) in fold.names.iter().zip(steps) {
            let way = self.way(&fold.range).unwrap_or_default().and(step);
            self.push(name, Local { way: Some(way), size, entry: None });
        }
    }

    fn push(&mut self, name: &str, local: Local) {
        self.locals.entry(name.to_owned()).or_default().push(local);
    }

    fn pop(&mut self, name: &str) {
        if let Some(locals) = self.locals.get_mut(name) {
            locals.pop();
        }
    }

    fn local(&self, name: &str) -> Option<&Local> {
        self.locals.get(name).and_then(|locals| locals.last())
    }

    fn lead(&mut self, term: &Term, way: Option<Steps>) {
        match way {
            Some(way) => drop(self.ways.insert(term.id, way)),
            None => drop(self.ways.remove(&term.id)),
        }
    }

    fn way(&self, term: &Term) -> Option<Steps> {
        if let What::Name(name) = &term.what
            && let Some(local) = self.local(name)
        {
            return local.way.clone();
        }
        self.ways.get(&term.id).cloned()
    }

    fn operand(&mut self, term: &Term) -> Operand {
        let number = match term.what {
            What::Literal { number, .. } => number,
            _ => None,
        };
        let size = self.size(term);
        let steps = self.way(term).map(|way| way.to_vec()).filter(|steps| !steps.is_empty());
        Operand { steps, of: term.of.clone(), size, number }
    }

    fn same_sizes(&mut self, term: &Term, like: &Term) {
        if let Some(size) = self.size(like) {
            self.sizes.insert(term.id, size);
        }
        if let Some(entry) = self.entry(like) {
            self.entries.insert(term.id, entry);
        }
    }

    pub(super) fn set_entry(&mut self, term: &Term, entry: Entry) {
        self.entries.insert(term.id, entry);
    }

    pub(super) fn entry(&self, term: &Term) -> Option<Entry> {
        if let Some(entry) = self.entries.get(&term.id) {
            return Some(*entry);
        }
        match &term.what {
            What::Name(name) => self.local(name).and_then(|local| local.entry),
            _ => None,
        }
    }

    pub(super) fn size_or_unknown(&mut self, term: &Term) -> Size {
        self.size(term).unwrap_or(Size::UNKNOWN)
    }

    pub(super) fn size(&mut self, term: &Term) -> Option<Size> {
        if let Some(size) = self.sizes.get(&term.id) {
            return Some(*size);
        }
        match &term.what {
            What::Literal { size: Some(size), .. } => return Some(Size::exactly(*size)),
            What::List(items) => return Some(Size::exactly(items.len() as u64)),
            What::Map(pairs) => return Some(Size::exactly(pairs.len() as u64)),
            _ => {}
        }
        if let Some(size) = self.way(term).and_then(|way| self.declared(&way.to_vec())) {
            self.sizes.insert(term.id, size);
            return Some(size);
        }
        if is_scalar(&term.of) {
            return Some(Size::exactly(1));
        }
        match &term.what {
            What::Name(name) => self.local(name).and_then(|local| local.size),
            _ => None,
        }
    }

    /// Returns the size that the schema gives a value. The first step, a variable, is not looked at.
    pub(super) fn declared(&self, steps: &[String]) -> Option<Size> {
        let mut bound = self.bound;
        for step in steps.get(1..)? {
            bound = match step.as_str() {
                "@items" | "@values" => bound.inner.as_deref()?,
                "@keys" => bound.keys.as_deref()?,
                field => bound.fields.get(field)?,
            };
        }
        Some(Size { least: 0, most: bound.most })
    }
}

fn is_scalar(of: &Type) -> bool {
    match of {
        Type::Bool | Type::Double | Type::Duration | Type::Int | Type::Timestamp | Type::Uint => true,
        Type::Optional(inner) => is_scalar(inner),
        _ => false,
    }
}
