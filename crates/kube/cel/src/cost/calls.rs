//! What each function costs, and how large what it returns can be.

use super::{
    NEW_LIST, NEW_OBJECT, PATTERN, Size, TRAVERSAL,
    estimate::Estimate,
    scaled,
    terms::{Call, Term},
};
use crate::types::Type;

/// The size that a pattern of a named format is taken to have.
const FORMAT_PATTERN: f64 = 128.0;
/// The longest name of a format.
const FORMAT_NAME: u64 = 64;
/// What asking an authorizer costs: two questions are what one expression can afford.
const AUTHORIZATION: u64 = 350_000;

/// What is known of a value that a function is given.
pub(super) struct Operand {
    /// The way to it from a variable.
    pub(super) steps: Option<Vec<String>>,
    pub(super) of: Type,
    pub(super) size: Option<Size>,
    /// The number that is written out.
    pub(super) number: Option<i64>,
}

type Estimated = (u64, Option<Size>);

impl Estimate<'_> {
    /// Returns what a call costs beyond its arguments, and the size of its result if it has one of its own.
    pub(super) fn function(
        &mut self,
        term: &Term,
        call: &Call,
        params: &[Type],
        target: Option<&Operand>,
        args: &[Operand],
    ) -> Estimated {
        let name = call.name.as_str();
        lists(name, params, target, args)
            .or_else(|| self.list_orders(name, target))
            .or_else(|| self.texts(name, target, args))
            .or_else(|| plain(name, params, target, args))
            .unwrap_or_else(|| self.core(term, call, params, target, args))
    }

    /// Functions that compare the items of a list, or look through a text.
    fn list_orders(&self, name: &str, target: Option<&Operand>) -> Option<Estimated> {
        if !matches!(name, "isSorted" | "sum" | "max" | "min" | "indexOf" | "lastIndexOf") {
            return None;
        }
        let target = target?;
        let size = known(target);
        let Some((items, of)) = self.items(target) else { return Some((size.by(TRAVERSAL), None)) };
        let each = match of {
            Type::String | Type::Bytes => items.by(TRAVERSAL).saturating_add(1),
            _ => 1,
        };
        Some((size.most.saturating_mul(each), None))
    }

    /// Functions of texts that Kubernetes has figures of its own for.
    fn texts(&self, name: &str, target: Option<&Operand>, args: &[Operand]) -> Option<Estimated> {
        let size = target.map(known);
        let first = args.first().map(known);
        Some(match name {
            "url" | "jsonpatch.escapeKey" => (first?.by(TRAVERSAL), first),
            "lowerAscii" | "upperAscii" | "substring" | "trim" => (size?.by(TRAVERSAL), size),
            "replace" => {
                let replaced = replacement(size?, first?, known(args.get(1)?));
                (size?.by(2.0 * TRAVERSAL), Some(replaced))
            }
            "split" => {
                // Where nothing separates, each character is an item.
                let limit = args.get(1).and_then(|limit| limit.number).map(i64::cast_unsigned);
                let most = limit.unwrap_or(size?.most);
                (size?.by(2.0 * TRAVERSAL), Some(Size { least: 0, most }))
            }
            "join" => {
                let mut joined = self
                    .items(target?)
                    .map_or(Size::exactly(0), |(items, _)| size.map_or(items, |size| size.times(items)));
                if let (Some(separator), Some(list)) = (first, size) {
                    let between = Size { least: list.least.saturating_sub(1), most: list.most.saturating_sub(1) };
                    joined = joined.plus(separator.times(between));
                }
                (joined.by(TRAVERSAL), Some(joined))
            }
            "find" | "findAll" => {
                let text = size?.plus(Size::exactly(1)).by(TRAVERSAL);
                let found = Size { least: 0, most: size?.most };
                (text.saturating_mul(first?.by(PATTERN)), Some(found))
            }
            "validate" => (scaled(first?.by(TRAVERSAL), FORMAT_PATTERN * PATTERN), None),
            _ => return None,
        })
    }

    /// CEL's own functions; what is not known better costs one.
    fn core(
        &mut self,
        term: &Term,
        call: &Call,
        params: &[Type],
        target: Option<&Operand>,
        args: &[Operand],
    ) -> Estimated {
        let size = |operand: &Operand| operand.size.unwrap_or(Size::UNKNOWN);
        match (call.name.as_str(), target, args) {
            ("format", Some(target), _) => (size(target).by(TRAVERSAL), None),
            ("bytes", _, [text]) if matches!(params, [Type::String]) => {
                let size = size(text);
                let bytes = Size { least: size.least, most: size.most.wrapping_mul(4) };
                (size.by(TRAVERSAL), Some(bytes))
            }
            ("string", _, [bytes]) if matches!(params, [Type::Bytes]) => {
                let size = size(bytes);
                (size.by(TRAVERSAL), Some(Size { least: size.least / 4, most: size.most }))
            }
            ("strings.quote", _, [text]) => {
                let size = size(text);
                let quoted =
                    Size { least: size.least.wrapping_add(2), most: size.most.wrapping_mul(2).wrapping_add(2) };
                (size.by(TRAVERSAL), Some(quoted))
            }
            ("startsWith" | "endsWith", _, [part]) => (size(part).by(TRAVERSAL), None),
            ("@in", _, [_, list]) if matches!(params, [_, Type::List(_)]) => (size(list).most, None),
            ("matches", Some(text), [pattern]) => {
                let text = size(text).plus(Size::exactly(1)).by(TRAVERSAL);
                (text.saturating_mul(size(pattern).by(PATTERN)), None)
            }
            ("contains", Some(text), [part]) => {
                (size(text).by(TRAVERSAL).saturating_mul(size(part).by(TRAVERSAL)), None)
            }
            ("_&&_" | "_||_", ..) => (0, None),
            ("_?_:_", _, [_, yes, no]) => {
                let either = size(yes).or(size(no));
                self.gather(term, call.args.get(1), call.args.get(2));
                (0, Some(either))
            }
            ("_+_", _, [left, right]) if matches!(params.first(), Some(Type::String | Type::Bytes | Type::List(_))) => {
                let sum = size(left).plus(size(right));
                self.gather(term, call.args.first(), call.args.get(1));
                let own = if matches!(params.first(), Some(Type::List(_))) { 1 } else { sum.by(TRAVERSAL) };
                (own, Some(sum))
            }
            ("_==_" | "_!=_", _, [left, right]) => (compared(size(left), size(right)), None),
            ("_<_" | "_<=_" | "_>_" | "_>=_", _, [left, right])
                if matches!(params.first(), Some(Type::String | Type::Bytes)) =>
            {
                (compared(size(left), size(right)), None)
            }
            _ => (1, None),
        }
    }

    /// What is one of two holds what either holds.
    fn gather(&mut self, term: &Term, one: Option<&Term>, other: Option<&Term>) {
        let one = one.and_then(|one| self.entry(one));
        if let (Some(one), Some(other)) = (one, other.and_then(|other| self.entry(other))) {
            self.set_entry(term, one.or(other));
        }
    }

    /// Returns the size and type of what a value holds, if its type says that it holds something.
    fn items(&self, of: &Operand) -> Option<(Size, Type)> {
        let inner = match &of.of {
            Type::List(inner) | Type::Optional(inner) | Type::Map(inner, _) => inner.as_ref().clone(),
            _ => return None,
        };
        let declared = of.steps.as_ref().and_then(|steps| {
            let below: Vec<String> = steps.iter().cloned().chain(std::iter::once("@items".to_owned())).collect();
            self.declared(&below)
        });
        Some((declared.unwrap_or(Size::UNKNOWN), inner))
    }
}

fn known(operand: &Operand) -> Size {
    operand.size.unwrap_or(Size::UNKNOWN)
}

fn compared(left: Size, right: Size) -> u64 {
    scaled(left.most.min(right.most), TRAVERSAL)
}

/// Functions that make a list of another, and those that compare two lists.
fn lists(name: &str, params: &[Type], target: Option<&Operand>, args: &[Operand]) -> Option<Estimated> {
    let made = |factor: f64, size: Size| Some((size.by(factor).saturating_add(1 + NEW_LIST), Some(size)));
    let number = |operand: &Operand, otherwise: u64| {
        operand.number.map_or(otherwise, |number| u64::try_from(number).unwrap_or_default())
    };
    let squared = |operand: &Operand| known(operand).times(known(operand));
    match (name, target, args) {
        ("slice", Some(list), [from, to]) => {
            let length = number(to, known(list).most).wrapping_sub(number(from, 0));
            made(1.0, Size::exactly(length))
        }
        ("lists.range", None, [length]) => made(1.0, Size::exactly(number(length, u64::MAX))),
        ("reverse", Some(list), []) => made(1.0, known(list)),
        #[expect(clippy::cast_precision_loss, reason = "the model counts in floating point numbers")]
        ("flatten", Some(list), _) => {
            let depth = args.first().map_or(1, |depth| number(depth, u64::MAX));
            made(depth as f64, known(list))
        }
        ("distinct", Some(list), []) => made(2.0, squared(list)),
        ("sort", Some(keys), []) | ("@sortByAssociatedKeys", Some(_), [keys]) => {
            let texts = match &keys.of {
                Type::List(items) => matches!(**items, Type::String | Type::Bytes | Type::Dyn),
                _ => true,
            };
            made(if texts { 2.0 + TRAVERSAL } else { 2.0 }, squared(keys))
        }
        ("sets.contains" | "sets.intersects" | "sets.equivalent", None, [one, other]) if params.len() == 2 => {
            let factor = if name == "sets.equivalent" { 2.0 } else { 1.0 };
            Some((known(one).times(known(other)).by(factor).saturating_add(1), None))
        }
        _ => None,
    }
}

/// Functions of Kubernetes' libraries whose cost is fixed, or that of going through a text.
fn plain(name: &str, params: &[Type], target: Option<&Operand>, args: &[Operand]) -> Option<Estimated> {
    let first = args.first().map(known);
    let cost = match name {
        "check" => AUTHORIZATION,
        "fieldSelector" | "labelSelector" if args.len() == 1 => selector(first?),
        "ip" if target.is_some() => 1,
        "cidr" | "isIP" | "isCIDR" | "ip" | "quantity" | "isQuantity" | "semver" | "isSemver" => first?.by(TRAVERSAL),
        "ip.isCanonical" => first?.by(2.0 * TRAVERSAL),
        "containsIP" | "containsCIDR" => contained(name, params, first?),
        "_==_" => return opaque(args).map(|cost| (cost, None)),
        "serviceAccount"
        | "path"
        | "group"
        | "resource"
        | "subresource"
        | "namespace"
        | "name"
        | "allowed"
        | "reason"
        | "error"
        | "errored"
        | "masked"
        | "prefixLength"
        | "family"
        | "isUnspecified"
        | "isLoopback"
        | "isLinkLocalMulticast"
        | "isLinkLocalUnicast"
        | "isGlobalUnicast"
        | "format.named"
        | "sign"
        | "asInteger"
        | "isInteger"
        | "asApproximateFloat"
        | "isGreaterThan"
        | "isLessThan"
        | "compareTo"
        | "add"
        | "sub"
        | "major"
        | "minor"
        | "patch"
        | "getScheme"
        | "getHostname"
        | "getHost"
        | "getPort"
        | "getEscapedPath"
        | "getQuery" => 1,
        _ => return None,
    };
    Some((cost, None))
}

/// Two addresses of at most sixteen bytes are compared; a text is read first.
fn contained(name: &str, params: &[Type], other: Size) -> u64 {
    let address = Size { least: 4, most: 16 };
    let mut cost = address.plus(address).by(TRAVERSAL);
    if name == "containsCIDR" {
        cost += address.by(TRAVERSAL) + 1;
    }
    if matches!(params.get(1), Some(Type::String)) {
        cost = cost.saturating_add(other.by(TRAVERSAL));
    }
    cost
}

/// Each requirement has two characters at least, and makes a list and an object.
#[expect(clippy::cast_precision_loss, reason = "the model counts in floating point numbers")]
fn selector(size: Size) -> u64 {
    let requirements = scaled(size.by(0.5), (NEW_LIST + NEW_OBJECT) as f64);
    NEW_LIST.saturating_add(size.by(TRAVERSAL)).saturating_add(requirements)
}

/// What comparing two values of one of Kubernetes' own types costs.
fn opaque(args: &[Operand]) -> Option<u64> {
    let [left, right] = args else { return None };
    match (&left.of, &right.of) {
        (Type::Opaque(left), Type::Opaque(other)) if left == other => Some(match *left {
            "kubernetes.NamedFormat" => scaled(FORMAT_NAME, TRAVERSAL),
            "kubernetes.URL" => right.size.unwrap_or(Size::exactly(1)).by(TRAVERSAL),
            _ => 1,
        }),
        _ => None,
    }
}

/// Returns the size of a text after `old` in it was replaced by `new`.
fn replacement(text: Size, old: Size, new: Size) -> Size {
    let (mut times, mut kept) = (Size::exactly(0), Size::exactly(0));
    if old.least == 0 {
        // Nothing is found before and after each character.
        times.most = text.most.saturating_add(1);
        kept.most = text.most;
    } else if new.most <= old.least {
        kept.most = text.most;
    } else {
        times.most = text.most.div_ceil(old.least);
    }
    if old.most == 0 {
        times.least = text.least.saturating_add(1);
        kept.least = text.least;
    } else if old.most <= new.least {
        kept.least = text.least;
    } else {
        times.least = text.least.div_ceil(old.most);
    }
    times.times(new).plus(kept)
}
