//! What a node decided about a flow, and by which rules.

use netfilter::{FoundElement, RuleRef, TracedElement, TracedRule, Tracer, Tuple, Verdict};
use ruleset::xt::CtState;

use crate::DecisionAction;

/// Collects the rules that matched and say whom they serve, and whether the packet begins a flow.
#[derive(Clone, Debug, Default)]
pub(crate) struct DecisionTracer {
    pub(crate) is_new: bool,
    pub(crate) rules: Vec<TracedRule>,
    pub(crate) elements: Vec<TracedElement>,
}

impl Tracer for DecisionTracer {
    fn rule(&mut self, rule: RuleRef<'_>, matched: bool) {
        if matched && rule.origin().is_some() {
            self.rules.push(rule.to_traced());
        }
    }

    fn element(&mut self, found: FoundElement<'_>) {
        self.elements.push(found.to_traced());
    }

    fn tracked(&mut self, state: CtState, _original: Option<&Tuple>) {
        self.is_new |= state == CtState::New;
    }
}

/// What a verdict means for a flow that came as `arrived`, and the flow as it leaves.
pub(crate) fn judge(arrived: Option<Tuple>, verdict: &Verdict) -> (DecisionAction, Option<Tuple>) {
    let packet = match verdict {
        Verdict::Deliver(packet) | Verdict::Forward { packet, .. } => packet,
        Verdict::Drop(reason) => return (DecisionAction::Dropped(reason.clone()), None),
        Verdict::Reject { reason, .. } => return (DecisionAction::Rejected(reason.clone()), None),
        Verdict::Unknown(doubt) => unreachable!("a dump is no plane's: {}", doubt.question),
    };
    let leaving = packet.tuple();
    let ends = |tuple: Option<Tuple>| tuple.map(|tuple| tuple.destination_socket());
    let action = match ends(leaving) {
        Some(to) if ends(arrived) != Some(to) => DecisionAction::Translated { to },
        _ => DecisionAction::Untouched,
    };
    (action, leaving)
}
