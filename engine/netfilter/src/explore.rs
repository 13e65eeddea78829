//! Seeing every outcome of an evaluation, with its probability.
//!
//! **What.** [`explore`] runs a function once for every combination of random decisions that it makes.
//! **Why.** A probe must name all endpoints that a connection may reach, not those that one seed reaches
//! (kube-proxy's `tracePacket` lists all outputs, too).

use std::fmt;
use std::ops::RangeInclusive;

use ruleset::xt::Probability;

use crate::Chooser;

/// Runs `run` once for every combination of its random decisions. Returns the results in the order of the rules
/// that decided, each with its probability; impossible ones are left out. The probabilities sum to 1.
///
/// ```
/// use ruleset::xt::Probability;
/// use switchboard_netfilter::{Chooser as _, Ratio, explore};
///
/// let outcomes = explore(|chooser| {
///     if chooser.random(Probability::one_in(3)) {
///         "first"
///     } else if chooser.random(Probability::one_in(2)) {
///         "second"
///     } else {
///         "third"
///     }
/// });
/// let third = Ratio::new(1, 3).unwrap();
/// assert_eq!(outcomes, [(third, "first"), (third, "second"), (third, "third")]);
/// ```
pub fn explore<T>(mut run: impl FnMut(&mut Explorer) -> T) -> Vec<(Ratio, T)> {
    let mut outcomes = Vec::new();
    let mut script = Vec::new();
    loop {
        let mut explorer = Explorer {
            path: script,
            next: 0,
            weight: Ratio::ONE,
        };
        let outcome = run(&mut explorer);
        outcomes.push((explorer.weight, outcome));
        script = explorer.path;
        // The next path differs in the last decision that has another branch left.
        while script
            .last()
            .is_some_and(|branch| branch.taken + 1 == branch.of)
        {
            script.pop();
        }
        match script.last_mut() {
            Some(last) => last.taken += 1,
            None => return outcomes,
        }
    }
}

/// Follows one path through all random decisions. Ports are not branched on: the first candidate is taken.
#[derive(Clone, Debug)]
pub struct Explorer {
    path: Vec<Branch>,
    next: usize,
    weight: Ratio,
}

/// One decision of a path.
#[derive(Clone, Copy, Debug)]
struct Branch {
    taken: u32,
    /// How many there are to take.
    of: u32,
}

impl Explorer {
    /// Which of the branches this path takes.
    fn branch(&mut self, of: u32) -> u32 {
        let taken = match self.path.get(self.next) {
            Some(scripted) => scripted.taken,
            None => {
                self.path.push(Branch { taken: 0, of });
                0
            }
        };
        self.next += 1;
        taken
    }
}

impl Chooser for Explorer {
    fn random(&mut self, probability: Probability) -> bool {
        match probability.raw() {
            0 => return false,
            Probability::ONE => return true,
            _ => {}
        }
        let matched = self.branch(2) == 0;
        let chance = Ratio::of(probability);
        let chance = if matched { chance } else { chance.complement() };
        self.weight = self.weight.times(chance);
        matched
    }

    fn numgen(&mut self, modulus: u32) -> u32 {
        let drawn = self.branch(modulus);
        let share = Ratio::new(1, u128::from(modulus)).expect("a modulus is not zero");
        self.weight = self.weight.times(share);
        drawn
    }

    fn port(&mut self, range: RangeInclusive<u16>) -> u16 {
        *range.start()
    }
}

/// A probability as a fraction in lowest terms, between 0 and 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ratio {
    numerator: u128,
    denominator: u128,
}

impl Ratio {
    /// Certainty.
    pub const ONE: Self = Self {
        numerator: 1,
        denominator: 1,
    };

    /// Impossibility.
    pub const ZERO: Self = Self {
        numerator: 0,
        denominator: 1,
    };

    /// Takes a fraction; `None` unless it lies between 0 and 1.
    #[must_use]
    pub const fn new(numerator: u128, denominator: u128) -> Option<Self> {
        if denominator == 0 || numerator > denominator {
            return None;
        }
        Some(Self::reduced(numerator, denominator))
    }

    /// What a random match means. The kernel stores 1/n rounded to a share of 2³¹; where the stored number is
    /// what 1/n is stored as, 1/n is meant, so that the endpoints of a Service get 1/n each (PROXY-42).
    #[must_use]
    pub fn of(probability: Probability) -> Self {
        let raw = probability.raw();
        if raw == 0 {
            return Self::ZERO;
        }
        let n = (Probability::ONE + raw / 2) / raw;
        if Probability::one_in(n) == probability {
            Self::reduced(1, u128::from(n))
        } else {
            Self::reduced(u128::from(raw), u128::from(Probability::ONE))
        }
    }

    /// The upper part of the fraction.
    #[must_use]
    pub const fn numerator(self) -> u128 {
        self.numerator
    }

    /// The lower part of the fraction.
    #[must_use]
    pub const fn denominator(self) -> u128 {
        self.denominator
    }

    /// The probability that one or the other happens, when they exclude each other; at most 1.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        let (mut left, mut right) = (self, other);
        loop {
            let common = gcd(left.denominator, right.denominator);
            let scale = right.denominator / common;
            let sum = left.denominator.checked_mul(scale).and_then(|denominator| {
                let first = left.numerator.checked_mul(scale)?;
                let second = right.numerator.checked_mul(left.denominator / common)?;
                Some((first.checked_add(second)?, denominator))
            });
            match sum {
                Some((numerator, denominator)) => {
                    return Self::reduced(numerator.min(denominator), denominator);
                }
                None => (left, right) = (left.coarser(), right.coarser()),
            }
        }
    }

    /// The probability that both happen, when they do not depend on each other. Exact while the result fits;
    /// rounded, to more than 30 binary digits, when it does not.
    #[must_use]
    pub fn times(self, other: Self) -> Self {
        let (mut left, mut right) = (self, other);
        loop {
            let cross = gcd(left.numerator, right.denominator);
            let other_cross = gcd(right.numerator, left.denominator);
            let numerator = (left.numerator / cross).checked_mul(right.numerator / other_cross);
            let denominator =
                (left.denominator / other_cross).checked_mul(right.denominator / cross);
            match (numerator, denominator) {
                (Some(numerator), Some(denominator)) => {
                    return Self::reduced(numerator, denominator);
                }
                _ => (left, right) = (left.coarser(), right.coarser()),
            }
        }
    }

    /// The probability that it does not happen.
    #[must_use]
    pub const fn complement(self) -> Self {
        Self {
            numerator: self.denominator - self.numerator,
            denominator: self.denominator,
        }
    }

    const fn reduced(numerator: u128, denominator: u128) -> Self {
        let common = gcd(numerator, denominator);
        Self {
            numerator: numerator / common,
            denominator: denominator / common,
        }
    }

    /// Nearly the same, with a denominator of one binary digit less.
    const fn coarser(self) -> Self {
        if self.denominator <= u32::MAX as u128 {
            return self;
        }
        Self::reduced(self.numerator / 2, self.denominator / 2)
    }
}

impl fmt::Display for Ratio {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.denominator == 1 {
            write!(f, "{}", self.numerator)
        } else {
            write!(f, "{}/{}", self.numerator, self.denominator)
        }
    }
}

/// The greatest common divisor; at least 1 unless both are 0.
const fn gcd(mut a: u128, mut b: u128) -> u128 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The outcomes of kube-proxy's chain for `n` endpoints.
    fn balanced(n: u32) -> Vec<(Ratio, u32)> {
        explore(|chooser| {
            (0..n - 1)
                .find(|i| chooser.random(Probability::one_in(n - i)))
                .unwrap_or(n - 1)
        })
    }

    #[test]
    fn kube_proxy_chains_are_uniform() {
        for n in [1, 2, 3, 7, 100, 1000] {
            let outcomes = balanced(n);
            let share = Ratio::new(1, u128::from(n)).unwrap();
            assert_eq!(outcomes.len(), usize::try_from(n).unwrap());
            for (place, (ratio, endpoint)) in outcomes.iter().enumerate() {
                assert_eq!((*ratio, *endpoint as usize), (share, place));
            }
        }
    }

    #[test]
    fn certain_matches_do_not_branch() {
        let always = Probability::from_raw(Probability::ONE).unwrap();
        let never = Probability::from_raw(0).unwrap();
        let outcomes = explore(|chooser| (chooser.random(always), chooser.random(never)));
        assert_eq!(outcomes, [(Ratio::ONE, (true, false))]);
    }

    #[test]
    fn numbers_are_explored_exactly() {
        let outcomes = explore(|chooser| (chooser.numgen(1), chooser.numgen(3), chooser.numgen(2)));
        let sixth = Ratio::new(1, 6).unwrap();
        let drawn = [(0, 0), (0, 1), (1, 0), (1, 1), (2, 0), (2, 1)];
        assert!(
            outcomes
                .into_iter()
                .eq(drawn.map(|(a, b)| (sixth, (0, a, b))))
        );
    }

    proptest! {
        #[test]
        fn probabilities_sum_to_one(raws in prop::collection::vec(1_u32..Probability::ONE, 0..8)) {
            let outcomes = explore(|chooser| {
                for raw in &raws {
                    chooser.random(Probability::from_raw(*raw).unwrap());
                }
            });
            prop_assert_eq!(outcomes.len(), 1 << raws.len());
            let sum = outcomes.iter().fold(Ratio::ZERO, |sum, (ratio, ())| sum.plus(*ratio));
            let missing = sum.complement();
            prop_assert!(missing.numerator() == 0 || missing.denominator() / missing.numerator() > 1 << 20, "{sum}");
        }
    }
}
