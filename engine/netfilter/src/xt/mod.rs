//! Tables of iptables, prepared for evaluation.

mod dice;
mod index;
mod matches;
mod quiet;
mod run;
mod table;

use ruleset::xt::XtRule;

pub(crate) use table::{Merged, Table};

/// Whether a rule asks where a packet comes from and goes to, or of which protocol it is, before its matches are compared.
fn asks_for_ends(rule: &XtRule) -> bool {
    rule.source.is_some()
        || rule.destination.is_some()
        || rule.in_interface.is_some()
        || rule.out_interface.is_some()
        || rule.protocol.is_some()
}
