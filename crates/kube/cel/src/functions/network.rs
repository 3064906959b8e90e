//! IP addresses, ranges and URLs.

use std::net::IpAddr;

use super::{Meter, Outcome, Row, take, text};
use crate::{
    error::EvalError,
    text::Url,
    value::{Key, Value},
};

pub(super) const ROWS: &[Row] = &[
    ("ip(string): ip", |meter, args| {
        take!(args, [Value::String(a)] => {
            meter.traverse(a.len() as u64)?;
            Ok(Value::Ip(address(a)?))
        })
    }),
    ("isIP(string): bool", |meter, args| {
        take!(args, [Value::String(a)] => {
            meter.traverse(a.len() as u64)?;
            Ok(Value::Bool(address(a).is_ok()))
        })
    }),
    ("ip.isCanonical(string): bool", |meter, args| {
        take!(args, [Value::String(a)] => {
            meter.traverse(a.len() as u64 * 2)?;
            Ok(Value::Bool(address(a)?.to_string() == a.as_ref()))
        })
    }),
    ("string(ip): string", |_, args| take!(args, [Value::Ip(a)] => text(a.to_string()))),
    ("<ip>.family(): int", |_, args| take!(args, [Value::Ip(a)] => Ok(Value::Int(if a.is_ipv4() { 4 } else { 6 })))),
    ("<ip>.isUnspecified(): bool", |_, args| take!(args, [Value::Ip(a)] => Ok(Value::Bool(a.is_unspecified())))),
    ("<ip>.isLoopback(): bool", |_, args| take!(args, [Value::Ip(a)] => Ok(Value::Bool(a.is_loopback())))),
    ("<ip>.isLinkLocalMulticast(): bool", |_, args| {
        take!(args, [Value::Ip(a)] => Ok(Value::Bool(match a {
            IpAddr::V4(a) => a.octets()[..3] == [224, 0, 0],
            IpAddr::V6(a) => a.segments()[0] & 0xff0f == 0xff02,
        })))
    }),
    ("<ip>.isLinkLocalUnicast(): bool", |_, args| take!(args, [Value::Ip(a)] => Ok(Value::Bool(link_local(*a))))),
    ("<ip>.isGlobalUnicast(): bool", |_, args| {
        take!(args, [Value::Ip(a)] => {
            let broadcast = matches!(a, IpAddr::V4(a) if a.is_broadcast());
            Ok(Value::Bool(!(a.is_unspecified() || a.is_loopback() || a.is_multicast() || link_local(*a) || broadcast)))
        })
    }),
    ("cidr(string): cidr", |meter, args| {
        take!(args, [Value::String(a)] => {
            meter.traverse(a.len() as u64)?;
            let (address, bits) = range(a)?;
            Ok(Value::Cidr(address, bits))
        })
    }),
    ("isCIDR(string): bool", |meter, args| {
        take!(args, [Value::String(a)] => {
            meter.traverse(a.len() as u64)?;
            Ok(Value::Bool(range(a).is_ok()))
        })
    }),
    ("string(cidr): string", |_, args| take!(args, [Value::Cidr(a, bits)] => text(format!("{a}/{bits}")))),
    ("<cidr>.containsIP(string): bool", |meter, args| {
        take!(args, [Value::Cidr(a, bits), Value::String(b)] => {
            meter.traverse(b.len() as u64)?;
            Ok(Value::Bool(inside(*a, *bits, address(b)?)))
        })
    }),
    (
        "<cidr>.containsIP(ip): bool",
        |_, args| take!(args, [Value::Cidr(a, bits), Value::Ip(b)] => Ok(Value::Bool(inside(*a, *bits, *b)))),
    ),
    ("<cidr>.containsCIDR(string): bool", |meter, args| {
        take!(args, [Value::Cidr(a, bits), Value::String(b)] => {
            meter.traverse(b.len() as u64)?;
            let (other, other_bits) = range(b)?;
            Ok(Value::Bool(other_bits >= *bits && inside(*a, *bits, other)))
        })
    }),
    ("<cidr>.containsCIDR(cidr): bool", |_, args| {
        take!(args, [Value::Cidr(a, bits), Value::Cidr(b, other_bits)] => {
            Ok(Value::Bool(other_bits >= bits && inside(*a, *bits, *b)))
        })
    }),
    ("<cidr>.ip(): ip", |_, args| take!(args, [Value::Cidr(a, _)] => Ok(Value::Ip(*a)))),
    ("<cidr>.prefixLength(): int", |_, args| take!(args, [Value::Cidr(_, bits)] => Ok(Value::Int(i64::from(*bits))))),
    (
        "<cidr>.masked(): cidr",
        |_, args| take!(args, [Value::Cidr(a, bits)] => Ok(Value::Cidr(masked(*a, *bits), *bits))),
    ),
    ("url(string): url", |meter, args| url(meter, args)),
    ("isURL(string): bool", |meter, args| match url(meter, args) {
        Err(EvalError::CostExceeded) => Err(EvalError::CostExceeded),
        found => Ok(Value::Bool(found.is_ok())),
    }),
    ("<url>.getScheme(): string", |_, args| take!(args, [Value::Url(a)] => text(&a.scheme))),
    ("<url>.getHost(): string", |_, args| take!(args, [Value::Url(a)] => text(&a.host))),
    ("<url>.getHostname(): string", |_, args| take!(args, [Value::Url(a)] => text(a.hostname()))),
    ("<url>.getPort(): string", |_, args| take!(args, [Value::Url(a)] => text(a.port()))),
    ("<url>.getEscapedPath(): string", |_, args| take!(args, [Value::Url(a)] => text(&a.path))),
    ("<url>.getQuery(): map(string, list(string))", |_, args| {
        take!(args, [Value::Url(a)] => {
            let mut names: std::collections::BTreeMap<Key, Vec<Value>> = std::collections::BTreeMap::new();
            for (name, value) in &a.query {
                names.entry(Key::String(name.as_str().into())).or_default().push(value.as_str().into());
            }
            Ok(Value::Map(std::sync::Arc::new(names.into_iter().map(|(name, values)| (name, Value::list(values))).collect())))
        })
    }),
];

fn url(meter: &mut Meter, args: &[Value]) -> Outcome {
    take!(args, [Value::String(a)] => {
        meter.traverse(a.len() as u64)?;
        Url::parse(a).map(Value::Url).ok_or_else(|| {
            EvalError::failed(format!("URL parse error during conversion from string: parse {a:?}: invalid URI for request"))
        })
    })
}

fn address(text: &str) -> Result<IpAddr, EvalError> {
    let bad = || {
        EvalError::failed(format!(
            "IP Address {text:?} parse error during conversion from string: ParseAddr({text:?}): unable to parse IP"
        ))
    };
    let address: IpAddr = text.parse().map_err(|_| bad())?;
    match address {
        IpAddr::V6(inner) if inner.to_ipv4_mapped().is_some() => {
            Err(EvalError::failed(format!("IPv4-mapped IPv6 address {text:?} is not allowed")))
        }
        other => Ok(other),
    }
}

fn range(text: &str) -> Result<(IpAddr, u8), EvalError> {
    let bad = || {
        EvalError::failed(format!(
            "network address parse error during conversion from string: netip.ParsePrefix({text:?}): invalid"
        ))
    };
    let (head, bits) = text.split_once('/').ok_or_else(bad)?;
    if bits.starts_with('+') || (bits.len() > 1 && bits.starts_with('0')) {
        return Err(bad());
    }
    let (address, bits) = (address(head)?, bits.parse::<u8>().map_err(|_| bad())?);
    if bits > if address.is_ipv4() { 32 } else { 128 } { Err(bad()) } else { Ok((address, bits)) }
}

fn masked(address: IpAddr, bits: u8) -> IpAddr {
    match address {
        IpAddr::V4(a) => IpAddr::V4((u32::from(a) & u32::MAX.checked_shl(32 - u32::from(bits)).unwrap_or(0)).into()),
        IpAddr::V6(a) => IpAddr::V6((u128::from(a) & u128::MAX.checked_shl(128 - u32::from(bits)).unwrap_or(0)).into()),
    }
}

fn inside(range: IpAddr, bits: u8, address: IpAddr) -> bool {
    range.is_ipv4() == address.is_ipv4() && masked(range, bits) == masked(address, bits)
}

fn link_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(a) => a.is_link_local(),
        IpAddr::V6(a) => a.segments()[0] & 0xffc0 == 0xfe80,
    }
}
