//! The root of all randomness, and one independent stream per consumer.
//!
//! A consumer's stream depends on the scenario's seed and the consumer's name only: adding a consumer does
//! not shift what the others draw. The generator is ChaCha8, whose stream is stable across versions.

use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

/// The seed of one run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seed(u64);

impl Seed {
    /// Wraps the number a scenario states.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The number itself, to be printed with every failure.
    #[must_use]
    pub const fn value(self) -> u64 {
        self.0
    }

    /// The stream of the consumer called `name`.
    #[must_use]
    pub fn split(self, name: &str) -> Rng {
        let mut key = [0; 32];
        key[..8].copy_from_slice(&self.0.to_le_bytes());
        key[8..16].copy_from_slice(&fnv1a(name).to_le_bytes());
        Rng(ChaCha8Rng::from_seed(key))
    }
}

/// One consumer's random stream.
#[derive(Clone, Debug)]
pub struct Rng(ChaCha8Rng);

impl Rng {
    /// The next 64 random bits.
    pub fn bits(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// A uniform number below `bound` (which must not be zero).
    ///
    /// Rejection keeps it exactly uniform.
    pub fn below(&mut self, bound: u64) -> u64 {
        assert!(bound > 0, "nothing lies below zero");
        let zone = u64::MAX - u64::MAX % bound;
        loop {
            let draw = self.bits();
            if draw < zone {
                return draw % bound;
            }
        }
    }
}

/// FNV-1a: tiny, and the same on every machine for ever.
fn fnv1a(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_are_independent_and_repeatable() {
        let draw = |name| Seed::new(7).split(name).bits();
        assert_eq!(draw("a"), draw("a"));
        assert_ne!(draw("a"), draw("b"));
        assert_ne!(Seed::new(8).split("a").bits(), draw("a"));
    }

    #[test]
    fn below_reaches_every_value() {
        let mut rng = Seed::new(1).split("below");
        let mut seen = [false; 5];
        for _ in 0..200 {
            seen[usize::try_from(rng.below(5)).unwrap()] = true;
        }
        assert_eq!(seen, [true; 5]);
    }
}
