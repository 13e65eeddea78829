//! Chains that let packets of a state pass, whatever else the packets are.
//!
//! **Why.** Each of kube-proxy's tables looks at every packet, and lets those of established connections pass after a few
//! rules: which ones is known when the tables are loaded.

use ruleset::xt::{CtState, CtStates, Policy, XtMatch, XtRule, XtTarget};

use super::{Table, asks_for_ends};
use crate::hook::Idle;

/// Jumps, one in the other, that are followed.
const JUMPS_FOLLOWED: u32 = 4;
/// Rules that are followed, those of chains that are jumped to included.
const RULES_FOLLOWED: u32 = 1000;

/// How a packet leaves a chain, and how many rules it has met there.
enum Way {
    Accepted(u32),
    FellOff(u32),
}

impl Table {
    /// For which packets that bear no mark calling a built-in chain is of no use.
    pub(crate) fn quiet(&self, chain: usize) -> Idle {
        let policy = self.chains[chain].body.policy.unwrap_or(Policy::Accept);
        Idle::of(|state| match self.way(chain, state, JUMPS_FOLLOWED)? {
            Way::FellOff(_) if policy == Policy::Drop => None,
            Way::Accepted(rules) | Way::FellOff(rules) => Some(rules),
        })
    }

    /// The way of unmarked packets of a state through a chain; `None` when they may take several, or one of the rules
    /// does something to them.
    fn way(&self, chain: usize, state: CtState, jumps: u32) -> Option<Way> {
        let chain = &self.chains[chain];
        let mut met = 0;
        for (rule, target) in chain.body.rules.iter().zip(&chain.targets) {
            met += 1;
            if met > RULES_FOLLOWED {
                return None;
            }
            if !matches_unmarked(rule, state)? {
                continue;
            }
            match rule.target {
                XtTarget::None => {}
                XtTarget::Accept => return Some(Way::Accepted(met)),
                XtTarget::Return => return Some(Way::FellOff(met)),
                XtTarget::Jump(_) => match self.way(*target, state, jumps.checked_sub(1)?)? {
                    Way::Accepted(there) => return Some(Way::Accepted(met + there)),
                    Way::FellOff(there) => met += there,
                },
                _ => return None,
            }
        }
        Some(Way::FellOff(met))
    }
}

/// Whether a rule matches unmarked packets of a state; `None` when that depends on more, or comparing it changes
/// something.
fn matches_unmarked(rule: &XtRule, state: CtState) -> Option<bool> {
    let changes = |one: &XtMatch| matches!(one, XtMatch::Random(_) | XtMatch::Recent(_));
    if rule.matches.iter().any(changes) {
        return None;
    }
    let mut all = Some(!asks_for_ends(rule)).filter(|all| *all);
    for one in &rule.matches {
        match holds_unmarked(one, state) {
            Some(true) => {}
            Some(false) => return Some(false),
            None => all = None,
        }
    }
    all
}

fn holds_unmarked(one: &XtMatch, state: CtState) -> Option<bool> {
    match one {
        XtMatch::CtState { negated, states } => {
            // What became of the connection may be asked for beside the packet's own state.
            let by_translation = CtStates::of(&[CtState::Snat, CtState::Dnat]);
            let is_open = !states.contains(state) && states.intersects(by_translation);
            (!is_open).then(|| states.contains(state) != *negated)
        }
        XtMatch::Comment(_) => Some(true),
        XtMatch::Mark { negated, value, .. } => Some((*value == 0) != *negated),
        _ => None,
    }
}
