//! Base64, base32, sums, JSON, URLs.

use base64::{Engine, engine::general_purpose::STANDARD};
use sha2::{Digest, Sha256, Sha512};

use super::text;
use crate::{
    Value,
    json::{self, Escape},
    template::Funcs,
};

pub(super) fn add(funcs: &mut Funcs) {
    macro_rules! sum {
        ($($name:literal $call:expr;)*) => {
            $(funcs.add($name, "s", |args| { let call: fn(&[u8]) -> String = $call; Ok(Value::str(call(text(&args[0]).as_bytes()))) });)*
        };
    }
    sum! {
        "b64enc" |bytes| STANDARD.encode(bytes);
        "b32enc" base32;
        "sha256sum" |bytes| hex::encode(Sha256::digest(bytes));
        "sha512sum" |bytes| hex::encode(Sha512::digest(bytes));
        "sha1sum" |bytes| hex::encode(sha1(bytes));
        "adler32sum" |bytes| adler32(bytes).to_string();
    }
    funcs.add("b64dec", "s", |args| {
        Ok(Value::str(match STANDARD.decode(text(&args[0]).replace(['\n', '\r'], "")) {
            Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            Err(_) => format!("illegal base64 data at input byte {}", bad_base64(text(&args[0]))),
        }))
    });
    funcs.add("b32dec", "s", |args| {
        Ok(Value::str(match from_base32(text(&args[0])) {
            Some(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            None => "illegal base32 data at input byte 0".to_owned(),
        }))
    });
    for name in ["toJson", "mustToJson"] {
        funcs.add(name, "a", |args| Ok(Value::str(json::compact(&args[0], Escape::Html))));
    }
    for name in ["toRawJson", "mustToRawJson"] {
        funcs.add(name, "a", |args| Ok(Value::str(json::compact(&args[0], Escape::Raw))));
    }
    for name in ["toPrettyJson", "mustToPrettyJson"] {
        funcs.add(name, "a", |args| Ok(Value::str(json::pretty(&args[0]))));
    }
    funcs.add("mustFromJson", "s", |args| json::read(text(&args[0])));
}

fn bad_base64(text: &str) -> usize {
    let legal = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/' | b'=');
    text.bytes().position(|b| !legal(b)).unwrap_or(text.len() & !3)
}

const BASE32: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

fn base32(bytes: &[u8]) -> String {
    let mut out = String::new();
    for chunk in bytes.chunks(5) {
        let mut group = [0_u8; 8];
        group[3..3 + chunk.len()].copy_from_slice(chunk);
        let value = u64::from_be_bytes(group);
        let used = (chunk.len() * 8).div_ceil(5);
        for index in 0..8 {
            if index < used {
                out.push(BASE32[(value >> (35 - 5 * index)) as usize & 31] as char);
            } else {
                out.push('=');
            }
        }
    }
    out
}

fn from_base32(text: &str) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    let (mut buffer, mut bits) = (0_u64, 0);
    for byte in text.trim_end_matches('=').bytes() {
        let digit = BASE32.iter().position(|known| *known == byte)?;
        buffer = (buffer << 5) | digit as u64;
        bits += 5;
        if bits >= 8 {
            bits -= 8;
            out.push((buffer >> bits) as u8);
        }
    }
    Some(out)
}

fn adler32(bytes: &[u8]) -> u32 {
    let (mut a, mut b) = (1_u32, 0_u32);
    for byte in bytes {
        a = (a + u32::from(*byte)) % 65_521;
        b = (b + a) % 65_521;
    }
    (b << 16) | a
}

/// SHA-1 (FIPS 180-4); here only because charts ask for `sha1sum`.
#[expect(clippy::many_single_char_names, reason = "the standard names them so")]
fn sha1(bytes: &[u8]) -> [u8; 20] {
    let mut state = [0x6745_2301_u32, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476, 0xc3d2_e1f0];
    let mut message = bytes.to_vec();
    message.push(0x80);
    while message.len() % 64 != 56 {
        message.push(0);
    }
    message.extend_from_slice(&((bytes.len() as u64) * 8).to_be_bytes());
    for block in message.chunks_exact(64) {
        let mut words = [0_u32; 80];
        for (word, four) in words.iter_mut().zip(block.chunks_exact(4)) {
            *word = u32::from_be_bytes([four[0], four[1], four[2], four[3]]);
        }
        for t in 16..80 {
            words[t] = (words[t - 3] ^ words[t - 8] ^ words[t - 14] ^ words[t - 16]).rotate_left(1);
        }
        let [mut a, mut b, mut c, mut d, mut e] = state;
        for (t, word) in words.iter().enumerate() {
            let (f, k) = match t {
                0..20 => ((b & c) | (!b & d), 0x5a82_7999),
                20..40 => (b ^ c ^ d, 0x6ed9_eba1),
                40..60 => ((b & c) | (b & d) | (c & d), 0x8f1b_bcdc),
                _ => (b ^ c ^ d, 0xca62_c1d6_u32),
            };
            let next = a.rotate_left(5).wrapping_add(f).wrapping_add(e).wrapping_add(k).wrapping_add(*word);
            (e, d, c, b, a) = (d, c, b.rotate_left(30), a, next);
        }
        for (slot, value) in state.iter_mut().zip([a, b, c, d, e]) {
            *slot = slot.wrapping_add(value);
        }
    }
    let mut out = [0; 20];
    for (four, word) in out.chunks_exact_mut(4).zip(state) {
        four.copy_from_slice(&word.to_be_bytes());
    }
    out
}
