//! Where randomness comes from.

use sha2::{Digest as _, Sha256};

/// Returns the seed that a text stands for, or one that nobody knows.
pub fn of(text: Option<&str>) -> [u8; 32] {
    match text {
        Some(text) => Sha256::digest(text.as_bytes()).into(),
        None => {
            let drawn = [uuid::Uuid::new_v4(), uuid::Uuid::new_v4(), uuid::Uuid::new_v4()];
            Sha256::digest(drawn.map(uuid::Uuid::into_bytes).concat()).into()
        }
    }
}
