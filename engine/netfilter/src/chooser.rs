//! Where the evaluator's random decisions come from.
//!
//! Load balancing in iptables is a chain of random matches (PROXY-42), in nftables one random number (PROXY-54).
//! A run draws them from its seed, a probe explores them all: see [`explore`](crate::explore()).

use std::ops::RangeInclusive;

use base::Rng;
use ruleset::xt::Probability;

use crate::Doubt;

/// Makes the random decisions of one evaluation.
pub trait Chooser {
    /// Whether a match of the given probability matches.
    fn random(&mut self, probability: Probability) -> bool;

    /// A uniform number below `modulus`, which is not zero (`numgen random`).
    fn numgen(&mut self, modulus: u32) -> u32;

    /// Which of several real servers gets a connection, when `due` is who the scheduler's memory says. Each has the
    /// share that all memories together give it; one without a share cannot be chosen.
    fn schedule(&mut self, _shares: &[u32], due: usize) -> usize {
        due
    }

    /// The first port (or echo identifier) to try for a translated source, within `range`, which is not empty.
    fn port(&mut self, range: RangeInclusive<u16>) -> u16;

    /// Whether what a rule asks holds, when nothing that is known of the node says so.
    ///
    /// # Errors
    /// The doubt itself when it stays open, and with it what becomes of the packet.
    fn doubt(&mut self, doubt: Box<Doubt>) -> Result<bool, Box<Doubt>> {
        Err(doubt)
    }
}

/// Draws from a seeded stream.
#[derive(Clone, Debug)]
pub struct SeededChooser(pub Rng);

impl Chooser for SeededChooser {
    fn random(&mut self, probability: Probability) -> bool {
        // As the kernel: 31 random bits are compared with the stored number (xt_statistic.c).
        self.0.below(u64::from(Probability::ONE)) < u64::from(probability.raw())
    }

    fn numgen(&mut self, modulus: u32) -> u32 {
        let drawn = self.0.below(u64::from(modulus));
        u32::try_from(drawn).expect("below a number of 32 bits")
    }

    fn port(&mut self, range: RangeInclusive<u16>) -> u16 {
        let (first, last) = range.into_inner();
        let drawn = self.0.below(u64::from(last.saturating_sub(first)) + 1);
        first + u16::try_from(drawn).expect("at most the span of a range of ports")
    }
}

#[cfg(test)]
mod tests {
    use base::Seed;

    use super::*;

    #[test]
    fn certainty_and_impossibility_are_never_missed() {
        let mut chooser = SeededChooser(Seed::new(1).split("chooser"));
        let never = Probability::from_raw(0).unwrap();
        let always = Probability::from_raw(Probability::ONE).unwrap();
        for _ in 0..1000 {
            assert!(!chooser.random(never));
            assert!(chooser.random(always));
        }
    }

    #[test]
    fn numbers_stay_below_their_modulus_and_reach_all() {
        let mut chooser = SeededChooser(Seed::new(1).split("chooser"));
        let mut seen = [false; 3];
        for _ in 0..100 {
            seen[usize::try_from(chooser.numgen(3)).unwrap()] = true;
        }
        assert_eq!(seen, [true; 3]);
        assert_eq!(chooser.numgen(1), 0);
    }

    #[test]
    fn ports_stay_in_range() {
        let mut chooser = SeededChooser(Seed::new(1).split("chooser"));
        for _ in 0..1000 {
            assert!((600..=1023).contains(&chooser.port(600..=1023)));
        }
        assert_eq!(chooser.port(7..=7), 7);
        chooser.port(0..=u16::MAX);
    }
}
