//! Passwords, keys and ciphers.

use aes::cipher::{
    BlockDecryptMut, BlockEncryptMut, KeyIvInit,
    block_padding::{NoPadding, Pkcs7},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use sha2::{Digest, Sha256};

use super::{certificates, int, text};
use crate::{
    Value, World,
    template::{Call, Funcs},
};

pub(super) fn add(funcs: &mut Funcs) {
    super::drawing!();
    funcs.add_call("bcrypt", "s", drawn!(|world, args| Ok(Value::str(hashed(world, text(&args[0]))))));
    funcs.add_call(
        "htpasswd",
        "ss",
        drawn!(|world, args| {
            let (user, password) = (text(&args[0]), text(&args[1]));
            if user.contains(':') {
                return Ok(Value::str(format!("invalid username: {user}")));
            }
            Ok(Value::str(format!("{user}:{}", hashed(world, password))))
        }),
    );
    funcs.add("derivePassword", "ussss", |args| {
        let counter = u32::try_from(int(&args[0])).unwrap_or(0);
        derive(counter, text(&args[1]), text(&args[2]), text(&args[3]), text(&args[4])).map(Value::str)
    });
    funcs.add_call("encryptAES", "ss", drawn!(|world, args| Ok(Value::str(encrypt(world, args)))));
    funcs.add("decryptAES", "ss", |args| decrypt(text(&args[0]), text(&args[1])).map(Value::str));
    certificates::add(funcs);
}

fn hashed(world: &World, password: &str) -> String {
    let mut salt = [0; 16];
    world.fill(&mut salt);
    // Go's bcrypt takes no more than it uses.
    if password.len() > 72 {
        return "failed to encrypt string with bcrypt: bcrypt: password length exceeds 72 bytes".to_owned();
    }
    match bcrypt::hash_with_salt(password, 10, salt) {
        Ok(parts) => parts.format_for_version(bcrypt::Version::TwoA),
        Err(error) => format!("failed to encrypt string with bcrypt: {error}"),
    }
}

/// The forms of the Master Password algorithm by its names.
fn forms(kind: &str) -> Option<&'static [&'static str]> {
    Some(match kind {
        "maximum" => &["anoxxxxxxxxxxxxxxxxx", "axxxxxxxxxxxxxxxxxno"],
        "long" => &[
            "CvcvnoCvcvCvcv",
            "CvcvCvcvnoCvcv",
            "CvcvCvcvCvcvno",
            "CvccnoCvcvCvcv",
            "CvccCvcvnoCvcv",
            "CvccCvcvCvcvno",
            "CvcvnoCvccCvcv",
            "CvcvCvccnoCvcv",
            "CvcvCvccCvcvno",
            "CvcvnoCvcvCvcc",
            "CvcvCvcvnoCvcc",
            "CvcvCvcvCvccno",
            "CvccnoCvccCvcv",
            "CvccCvccnoCvcv",
            "CvccCvccCvcvno",
            "CvcvnoCvccCvcc",
            "CvcvCvccnoCvcc",
            "CvcvCvccCvccno",
            "CvccnoCvcvCvcc",
            "CvccCvcvnoCvcc",
            "CvccCvcvCvccno",
        ],
        "medium" => &["CvcnoCvc", "CvcCvcno"],
        "short" => &["Cvcn"],
        "basic" => &["aaanaaan", "aannaaan", "aaannaaa"],
        "pin" => &["nnnn"],
        _ => return None,
    })
}

fn alphabet(class: u8) -> &'static [u8] {
    match class {
        b'V' => b"AEIOU",
        b'C' => b"BCDFGHJKLMNPQRSTVWXYZ",
        b'v' => b"aeiou",
        b'c' => b"bcdfghjklmnpqrstvwxyz",
        b'a' => b"AEIOUaeiouBCDFGHJKLMNPQRSTVWXYZbcdfghjklmnpqrstvwxyz",
        b'n' => b"0123456789",
        b'o' => b"@&%?,=[]_:-+*$#!'^~;()/.",
        _ => b"AEIOUaeiouBCDFGHJKLMNPQRSTVWXYZbcdfghjklmnpqrstvwxyz0123456789!@#$%^&*()",
    }
}

/// The Master Password algorithm: a password for a site that follows from one for all.
fn derive(counter: u32, kind: &str, password: &str, user: &str, site: &str) -> Result<String, String> {
    const SCOPE: &[u8] = b"com.lyndir.masterpassword";
    let Some(forms) = forms(kind) else { return Ok(format!("cannot find password template {kind}")) };
    let sized = |text: &str| {
        let length = u32::try_from(text.len()).unwrap_or(u32::MAX);
        [&length.to_be_bytes()[..], text.as_bytes()].concat()
    };
    let params = scrypt::Params::new(15, 8, 2, 64).map_err(|error| format!("failed to derive password: {error}"))?;
    let mut key = [0; 64];
    scrypt::scrypt(password.as_bytes(), &[SCOPE, &sized(user)].concat(), &params, &mut key)
        .map_err(|error| format!("failed to derive password: {error}"))?;
    let seed = hmac(&key, &[SCOPE, &sized(site), &counter.to_be_bytes()].concat());
    let form = forms[usize::from(seed[0]) % forms.len()];
    let chars = form.bytes().zip(&seed[1..]).map(|(class, byte)| {
        let alphabet = alphabet(class);
        char::from(alphabet[usize::from(*byte) % alphabet.len()])
    });
    Ok(chars.collect())
}

/// HMAC-SHA-256 (RFC 2104) with a key of one block.
fn hmac(key: &[u8; 64], message: &[u8]) -> [u8; 32] {
    let pad = |with: u8| key.map(|byte| byte ^ with);
    let inner = Sha256::new().chain_update(pad(0x36)).chain_update(message).finalize();
    Sha256::new().chain_update(pad(0x5c)).chain_update(inner).finalize().into()
}

/// A password as Sprig makes a key of it: cut or filled with zeros.
fn cipher_key(password: &str) -> [u8; 32] {
    let mut key = [0; 32];
    let length = password.len().min(32);
    key[..length].copy_from_slice(&password.as_bytes()[..length]);
    key
}

fn encrypt(world: &World, args: &[Value]) -> String {
    let (password, plain) = (text(&args[0]), text(&args[1]));
    if plain.is_empty() {
        return String::new();
    }
    let mut iv = [0; 16];
    world.fill(&mut iv);
    let cipher = cbc::Encryptor::<aes::Aes256>::new(&cipher_key(password).into(), &iv.into());
    let sealed = cipher.encrypt_padded_vec_mut::<Pkcs7>(plain.as_bytes());
    STANDARD.encode([&iv[..], &sealed].concat())
}

fn decrypt(password: &str, packed: &str) -> Result<String, String> {
    if packed.is_empty() {
        return Ok(String::new());
    }
    let bytes = STANDARD.decode(packed).map_err(|_bad| "illegal base64 data at input byte 0".to_owned())?;
    if bytes.len() < 32 || bytes.len() % 16 != 0 {
        return Err("the text is no whole number of AES blocks".to_owned());
    }
    let (iv, sealed) = bytes.split_at(16);
    let cipher =
        cbc::Decryptor::<aes::Aes256>::new_from_slices(&cipher_key(password), iv).map_err(|e| e.to_string())?;
    let plain = cipher.decrypt_padded_vec_mut::<NoPadding>(sealed).map_err(|error| error.to_string())?;
    let padding = usize::from(plain.last().copied().unwrap_or(0));
    let end = plain.len().checked_sub(padding).ok_or("slice bounds out of range")?;
    Ok(String::from_utf8_lossy(&plain[..end]).into_owned())
}
