//! What is drawn at random: from the caller's world, so that the same world draws the same.

use base64::{Engine, engine::general_purpose::STANDARD};
use std::fmt::Write as _;

use super::{int, text};
use crate::{
    Value, World,
    template::{Call, Funcs},
};

/// The longest text that one call draws.
const LONGEST: i64 = 1 << 20;

pub(super) fn add(funcs: &mut Funcs) {
    super::drawing!();
    funcs.add_call("randAlphaNum", "i", drawn!(|world, args| letters(world, args, |c| c.is_ascii_alphanumeric())));
    funcs.add_call("randAlpha", "i", drawn!(|world, args| letters(world, args, |c| c.is_ascii_alphabetic())));
    funcs.add_call("randNumeric", "i", drawn!(|world, args| letters(world, args, |c| c.is_ascii_digit())));
    funcs.add_call("randAscii", "i", drawn!(|world, args| letters(world, args, |c| (' '..='~').contains(&c))));
    funcs.add_call(
        "randInt",
        "ii",
        drawn!(|world, args| {
            let (low, high) = (int(&args[0]), int(&args[1]));
            match u64::try_from(high.saturating_sub(low)) {
                Ok(span) if span > 0 => Ok(Value::Int(low.saturating_add_unsigned(world.below(span)))),
                _ => Err("invalid argument to Intn".to_owned()),
            }
        }),
    );
    funcs.add_call(
        "randBytes",
        "i",
        drawn!(|world, args| {
            let mut bytes = vec![0; count(&args[0])?];
            world.fill(&mut bytes);
            Ok(Value::str(STANDARD.encode(bytes)))
        }),
    );
    funcs.add_call(
        "shuffle",
        "s",
        drawn!(|world, args| {
            let mut chars: Vec<char> = text(&args[0]).chars().collect();
            for last in (1..chars.len()).rev() {
                let other = usize::try_from(world.below(last as u64 + 1)).unwrap_or(0);
                chars.swap(last, other);
            }
            Ok(Value::str(chars.into_iter().collect::<String>()))
        }),
    );
    funcs.add_call("uuidv4", "", drawn!(|world, _| Ok(Value::str(uuid(world)))));
}

fn count(value: &Value) -> Result<usize, String> {
    match int(value) {
        wanted if wanted > LONGEST => {
            Err(format!("{wanted} random characters are more than the {LONGEST} that one call draws"))
        }
        wanted => usize::try_from(wanted).map_err(|_negative| "makeslice: len out of range".to_owned()),
    }
}

fn letters(world: &World, args: &[Value], fits: fn(char) -> bool) -> Result<Value, String> {
    let alphabet: Vec<char> = (' '..='~').filter(|c| fits(*c)).collect();
    // Go's helper gives nothing for a count that makes no sense.
    let wanted = if int(&args[0]) < 0 { 0 } else { count(&args[0])? };
    let draw = |_| alphabet[usize::try_from(world.below(alphabet.len() as u64)).unwrap_or(0)];
    Ok(Value::str((0..wanted).map(draw).collect::<String>()))
}

fn uuid(world: &World) -> String {
    let mut bytes = [0; 16];
    world.fill(&mut bytes);
    // Version 4, variant 1 (RFC 9562).
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let mut shown = String::with_capacity(36);
    for (index, byte) in bytes.iter().enumerate() {
        if matches!(index, 4 | 6 | 8 | 10) {
            shown.push('-');
        }
        let _infallible = write!(shown, "{byte:02x}");
    }
    shown
}
