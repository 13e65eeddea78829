//! Rules that throw dice and ask nothing else.
//!
//! **What.** [`Dice`] has the chance of each such rule of a chain. **Why.** The chain of a Service has one for each of its
//! endpoints, and half of them are asked in vain, on average. To throw is all that comparing one does, so they are thrown
//! in a row.

use ruleset::xt::{Probability, XtMatch, XtRule};

use super::asks_for_ends;

/// The chances of a chain's rules, by rule; `None` for one that asks something else.
#[derive(Clone, Debug)]
pub(crate) struct Dice(Box<[Option<Probability>]>);

impl Dice {
    /// `None` when no rule is one.
    pub(crate) fn of(rules: &[XtRule]) -> Option<Self> {
        let chances: Box<[_]> = rules.iter().map(chance).collect();
        chances.iter().any(Option::is_some).then_some(Self(chances))
    }

    /// The chances of rules from one on, as far as they do nothing else.
    pub(crate) fn from(&self, index: usize) -> impl Iterator<Item = Probability> {
        self.0.iter().skip(index).map_while(|chance| *chance)
    }
}

fn chance(rule: &XtRule) -> Option<Probability> {
    let mut asked = rule
        .matches
        .iter()
        .filter(|one| !matches!(one, XtMatch::Comment(_)));
    match (asked.next(), asked.next()) {
        (Some(XtMatch::Random(chance)), None) if !asks_for_ends(rule) => Some(*chance),
        _ => None,
    }
}
