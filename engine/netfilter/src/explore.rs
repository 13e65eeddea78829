//! Seeing every outcome of an evaluation, with its probability.
//!
//! **What.** [`explore`] runs a function once for every combination of random decisions that it makes, [`survey`] also
//! for every answer to what is not known. **Why.** A probe must name all endpoints that a connection may reach, not
//! those that one seed reaches (kube-proxy's `tracePacket` lists all outputs, too); and what a dump does not say need
//! not matter.

use std::fmt;
use std::ops::RangeInclusive;

use ruleset::nft::Ifname;
use ruleset::xt::Probability;

use crate::{Chooser, Doubt, Question};

/// How many combinations are tried before [`explore`] and [`survey`] give up. A Service with so many endpoints is still
/// seen whole.
pub const BRANCHES_MAX: usize = 16_384;

/// How many open questions are answered either way on one path; more than these stay open.
const DOUBTS_MAX: usize = 10;

/// There are more combinations than anybody would wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("more than {BRANCHES_MAX} branches")]
pub struct TooManyBranches;

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
/// assert_eq!(outcomes.unwrap(), [(third, "first"), (third, "second"), (third, "third")]);
/// ```
///
/// # Errors
/// When there are more than [`BRANCHES_MAX`] of them.
pub fn explore<T>(run: impl FnMut(&mut Explorer) -> T) -> Result<Vec<(Ratio, T)>, TooManyBranches> {
    walk(Explorer::new(false), run, |_, _| None)
}

/// An outcome, or why it is not known.
pub type Known<T> = Result<T, Box<Doubt>>;

/// The same for tables of a dump: every open question is answered either way. Where the outcomes are the same, as
/// `same` judges, the question does not matter; where not, the share of all of them is in doubt.
///
/// # Errors
/// When there are more than [`BRANCHES_MAX`] of them.
pub fn survey<T>(
    run: impl FnMut(&mut Explorer) -> Known<T>,
    same: impl Fn(&T, &T) -> bool,
) -> Result<Vec<(Ratio, Known<T>)>, TooManyBranches> {
    let alike = |one: &Known<T>, other: &Known<T>| match (one, other) {
        (Ok(one), Ok(other)) => same(one, other),
        (Err(one), Err(other)) => one.place == other.place,
        _ => false,
    };
    walk(Explorer::new(true), run, |(yes, no), doubt| {
        let mut pairs = yes.iter().zip(no);
        let is_same = yes.len() == no.len()
            && pairs.all(|((share, one), (other_share, other))| {
                share == other_share && alike(one, other)
            });
        (!is_same).then(|| Err(Box::new(doubt.clone())))
    })
}

type Shares<'o, T> = &'o [(Ratio, T)];

/// Follows every path. When both answers to a doubt have been tried, `merge` is shown what came of them: what it
/// makes of them stands in for both, and nothing when they are the same.
fn walk<T>(
    mut explorer: Explorer,
    mut run: impl FnMut(&mut Explorer) -> T,
    merge: impl Fn((Shares<'_, T>, Shares<'_, T>), &Doubt) -> Option<T>,
) -> Result<Vec<(Ratio, T)>, TooManyBranches> {
    let mut outcomes = Vec::new();
    for _ in 0..BRANCHES_MAX {
        explorer.begin(outcomes.len());
        let outcome = run(&mut explorer);
        if explorer.is_too_wide {
            return Err(TooManyBranches);
        }
        outcomes.push((explorer.weight, outcome));
        // The next path differs in the last decision that has another branch left.
        loop {
            let Some(last) = explorer.path.last_mut() else {
                return Ok(outcomes);
            };
            if last.taken + 1 < last.of {
                last.taken += 1;
                last.middle = outcomes.len();
                break;
            }
            let ended = explorer.path.pop().expect("it has a last one");
            if let Some(doubt) = ended.doubt {
                let (yes, no) = outcomes[ended.start..].split_at(ended.middle - ended.start);
                let merged = merge((yes, no), &doubt);
                match merged {
                    None => outcomes.truncate(ended.middle),
                    Some(outcome) => {
                        outcomes.truncate(ended.start);
                        outcomes.push((ended.weight, outcome));
                    }
                }
            }
        }
    }
    Err(TooManyBranches)
}

/// Follows one path through all random decisions. Ports are not branched on: the first candidate is taken.
#[derive(Clone, Debug)]
pub struct Explorer {
    path: Vec<Branch>,
    next: usize,
    weight: Ratio,
    /// How many outcomes there are before this path's.
    outcomes: usize,
    /// Whether open questions are answered.
    answers: bool,
    /// Whether one decision alone has too many branches.
    is_too_wide: bool,
}

/// One decision of a path.
#[derive(Clone, Debug)]
struct Branch {
    taken: u32,
    /// How many there are to take.
    of: u32,
    /// The probability of coming here.
    weight: Ratio,
    /// How many outcomes came before any of its branches, and before the last of them that was begun.
    start: usize,
    middle: usize,
    /// What is answered, by yes and then by no; `None` for a random decision.
    doubt: Option<Box<Doubt>>,
}

impl Explorer {
    const fn new(answers: bool) -> Self {
        Self {
            path: Vec::new(),
            next: 0,
            weight: Ratio::ONE,
            outcomes: 0,
            answers,
            is_too_wide: false,
        }
    }

    const fn begin(&mut self, outcomes: usize) {
        self.next = 0;
        self.weight = Ratio::ONE;
        self.outcomes = outcomes;
    }

    /// Which of the branches this path takes.
    fn branch(&mut self, of: u32, doubt: Option<Box<Doubt>>) -> u32 {
        self.is_too_wide |= usize::try_from(of).is_ok_and(|of| of > BRANCHES_MAX);
        let taken = match self.path.get(self.next) {
            Some(scripted) => scripted.taken,
            None => {
                self.path.push(Branch {
                    taken: 0,
                    of,
                    weight: self.weight,
                    start: self.outcomes,
                    middle: self.outcomes,
                    doubt,
                });
                0
            }
        };
        self.next += 1;
        taken
    }

    /// What the answers so far say about an interface: one packet goes by one only.
    fn settled(&self, question: &Question) -> Option<bool> {
        let Question::Interface {
            side,
            name: Some(name),
        } = question
        else {
            return None;
        };
        self.path[..self.next].iter().find_map(|branch| {
            let yes = branch.taken == 0;
            match &branch.doubt.as_deref()?.question {
                Question::Interface {
                    side: asked,
                    name: Some(known),
                } if asked == side => match known == name {
                    true => Some(yes),
                    false if yes && !is_prefix(known) => Some(name.matches(known.as_str())),
                    false => None,
                },
                _ => None,
            }
        })
    }
}

/// Whether it stands for several interfaces.
fn is_prefix(name: &Ifname) -> bool {
    name.as_str().ends_with('*')
}

impl Chooser for Explorer {
    fn random(&mut self, probability: Probability) -> bool {
        match probability.raw() {
            0 => return false,
            Probability::ONE => return true,
            _ => {}
        }
        let matched = self.branch(2, None) == 0;
        let chance = Ratio::of(probability);
        let chance = if matched { chance } else { chance.complement() };
        self.weight = self.weight.times(chance);
        matched
    }

    fn numgen(&mut self, modulus: u32) -> u32 {
        let drawn = self.branch(modulus, None);
        let share = Ratio::new(1, u128::from(modulus)).expect("a modulus is not zero");
        self.weight = self.weight.times(share);
        drawn
    }

    fn schedule(&mut self, shares: &[u32], due: usize) -> usize {
        let candidates: Vec<(usize, u32)> = shares
            .iter()
            .copied()
            .enumerate()
            .filter(|(_, share)| *share > 0)
            .collect();
        let whole: u128 = candidates.iter().map(|(_, share)| u128::from(*share)).sum();
        let count = u32::try_from(candidates.len()).unwrap_or(u32::MAX);
        if count <= 1 {
            return due;
        }
        let drawn = self.branch(count, None) as usize;
        let (place, share) = candidates[drawn.min(candidates.len() - 1)];
        let share = Ratio::new(u128::from(share), whole);
        self.weight = self
            .weight
            .times(share.expect("a part is not more than the whole"));
        place
    }

    fn port(&mut self, range: RangeInclusive<u16>) -> u16 {
        *range.start()
    }

    fn doubt(&mut self, doubt: Box<Doubt>) -> Result<bool, Box<Doubt>> {
        if !self.answers {
            return Err(doubt);
        }
        if let Some(answer) = self.settled(&doubt.question) {
            return Ok(answer);
        }
        let before = self.path[..self.next].iter();
        if before.filter(|branch| branch.doubt.is_some()).count() >= DOUBTS_MAX {
            return Err(doubt);
        }
        Ok(self.branch(2, Some(doubt)) == 0)
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
    use ruleset::xt::{ChainName, TableName};
    use ruleset::{TextPlace, Verbatim};

    use super::*;
    use crate::{ChainPlace, InterfaceSide, RulePlace};

    /// The outcomes of kube-proxy's chain for `n` endpoints.
    fn balanced(n: u32) -> Vec<(Ratio, u32)> {
        explore(|chooser| {
            (0..n - 1)
                .find(|i| chooser.random(Probability::one_in(n - i)))
                .unwrap_or(n - 1)
        })
        .unwrap()
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
        let outcomes = explore(|chooser| (chooser.random(always), chooser.random(never))).unwrap();
        assert_eq!(outcomes, [(Ratio::ONE, (true, false))]);
    }

    #[test]
    fn what_nobody_waits_for_is_given_up() {
        let marks = explore(|chooser| (0..20).map(|_| chooser.numgen(2)).sum::<u32>());
        assert_eq!(marks, Err(TooManyBranches));
        assert_eq!(
            explore(|chooser| chooser.numgen(u32::MAX)),
            Err(TooManyBranches)
        );
        let most = u32::try_from(BRANCHES_MAX).unwrap();
        assert_eq!(
            explore(|chooser| chooser.numgen(most)).unwrap().len(),
            BRANCHES_MAX
        );
    }

    fn doubt(index: usize, question: Question) -> Box<Doubt> {
        let (table, chain) = (TableName::Filter, ChainName::literal("INPUT"));
        let chain = ChainPlace::Xt { table, chain };
        let place = RulePlace { chain, index };
        Box::new(Doubt { place, question })
    }

    fn text(index: usize) -> Box<Doubt> {
        let place = TextPlace { line: 1, column: 1 };
        doubt(index, Question::Text(Verbatim::new("-m x", place)))
    }

    /// Whether the packet arrives by an interface.
    fn by(name: &str) -> Box<Doubt> {
        let (side, name) = (InterfaceSide::In, Ifname::new(name));
        doubt(0, Question::Interface { side, name })
    }

    #[test]
    fn a_doubt_matters_only_where_outcomes_differ() {
        let half = Ratio::new(1, 2).unwrap();
        let found = survey(
            |chooser| {
                let first = chooser.numgen(2) == 0;
                let answer = chooser.doubt(text(usize::from(first)))?;
                Ok(if first {
                    "same"
                } else if answer {
                    "yes"
                } else {
                    "no"
                })
            },
            |one, other| one == other,
        );
        assert_eq!(found.unwrap(), [(half, Ok("same")), (half, Err(text(0)))]);
    }

    #[test]
    fn doubts_nest() {
        let found = survey(
            |chooser| {
                chooser.doubt(text(0))?;
                chooser.doubt(text(1))?;
                Ok(chooser.numgen(2))
            },
            |one, other| one == other,
        );
        let half = Ratio::new(1, 2).unwrap();
        assert_eq!(found.unwrap(), [(half, Ok(0)), (half, Ok(1))]);
    }

    #[test]
    fn too_many_doubts_stay_open() {
        let all = |chooser: &mut Explorer| {
            (0..=DOUBTS_MAX).try_for_each(|index| chooser.doubt(text(index)).map(|_| ()))
        };
        let found = survey(all, |(), ()| true).unwrap();
        assert_eq!(found, [(Ratio::ONE, Err(text(DOUBTS_MAX)))]);
        let alone = explore(|chooser| chooser.doubt(text(0))).unwrap();
        assert_eq!(alone, [(Ratio::ONE, Err(text(0)))]);
    }

    #[test]
    fn a_packet_goes_by_one_interface() {
        let mut seen = Vec::new();
        survey(
            |chooser| {
                let answers =
                    ["docker0", "docker*", "br-1", "docker0"].map(|name| chooser.doubt(by(name)));
                seen.push(answers.map(Result::unwrap));
                Ok(())
            },
            |(), ()| true,
        )
        .unwrap();
        let expected = [
            [true, true, false, true],
            [false, true, true, false],
            [false, true, false, false],
            [false, false, true, false],
            [false, false, false, false],
        ];
        assert_eq!(seen, expected);
    }

    #[test]
    fn numbers_are_explored_exactly() {
        let outcomes = explore(|chooser| (chooser.numgen(1), chooser.numgen(3), chooser.numgen(2)));
        let outcomes = outcomes.unwrap();
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
            })
            .unwrap();
            prop_assert_eq!(outcomes.len(), 1 << raws.len());
            let sum = outcomes.iter().fold(Ratio::ZERO, |sum, (ratio, ())| sum.plus(*ratio));
            let missing = sum.complement();
            prop_assert!(missing.numerator() == 0 || missing.denominator() / missing.numerator() > 1 << 20, "{sum}");
        }
    }
}
