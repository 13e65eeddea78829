//! Names and identities that the server chooses.

use base::Rng;

/// What random name suffixes are made of (EP-23; S: `apimachinery/pkg/util/rand`): no vowels, nothing that looks
/// like another character.
const ALPHABET: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";
/// Longest prefix that `generateName` may give (S: `apiserver/pkg/storage/names`).
const PREFIX_MAX: usize = 58;

/// `prefix` with five random characters behind it.
#[must_use]
pub fn generate_name(prefix: &str, rng: &mut Rng) -> String {
    let mut name: String = prefix.chars().take(PREFIX_MAX).collect();
    for _ in 0..5 {
        let place = usize::try_from(rng.below(27)).expect("27 fits");
        name.push(char::from(ALPHABET[place]));
    }
    name
}

/// A random UUID (RFC 9562, version 4).
pub(crate) fn uid(rng: &mut Rng) -> String {
    let (high, low) = (rng.bits(), rng.bits());
    let version = 0x4000 | (high & 0x0fff);
    let variant = 0x8000 | (low >> 48 & 0x3fff);
    format!(
        "{:08x}-{:04x}-{version:04x}-{variant:04x}-{:012x}",
        high >> 32,
        high >> 16 & 0xffff,
        low & 0xffff_ffff_ffff
    )
}
