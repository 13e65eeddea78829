//! From the plane's log of decisions to sentences.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use base::SimTime;
use control::{Control, Decision};
use netfilter::{TracedRule, Tuple};
use plane::{DecisionAction, Place, Plane, PlaneEvent};
use ruleset::Family;
use ruleset::xt::XtTarget;

/// What was decided about flows that clients are waiting for, by their source address.
#[derive(Default)]
pub(crate) struct Evidence {
    by_source: BTreeMap<SocketAddr, Fate>,
    wanted: bool,
}

/// What became of the packets from one address.
#[derive(Default)]
struct Fate {
    decisions: Vec<Decision>,
    /// Where they were last sent, unless a node refused or lost them.
    sent_to: Option<SocketAddr>,
}

impl Evidence {
    /// Starts or stops collecting; what was collected is forgotten.
    pub(crate) fn collect(&mut self, wanted: bool) {
        *self = Self {
            wanted,
            ..Self::default()
        };
    }

    /// Takes an event of the plane.
    pub(crate) fn note(&mut self, event: &PlaneEvent, plane: &Plane, control: &Control) {
        if !self.wanted {
            return;
        }
        match event {
            // That later nodes leave a packet alone is no news.
            PlaneEvent::Decision {
                tuple,
                action: DecisionAction::Untouched,
                ..
            } if self.by_source.contains_key(&tuple.source_socket()) => {}
            PlaneEvent::Decision {
                at,
                node,
                tuple,
                action,
                rules,
            } => {
                let place = plane.node_name(*node).to_owned();
                let sent_to = match action {
                    DecisionAction::Translated { to } => Some(*to),
                    DecisionAction::Untouched => Some(tuple.destination_socket()),
                    DecisionAction::Rejected(_) | DecisionAction::Dropped(_) => None,
                };
                let decision = decide(*at, place, family_of(tuple), action, rules, control);
                self.push(tuple, decision, sent_to);
            }
            PlaneEvent::Lost {
                at,
                place,
                tuple: Some(tuple),
                reason,
            } => {
                let decision = Decision {
                    at: *at,
                    place: place_name(*place, plane),
                    rule: None,
                    meaning: format!(
                        "the packet to {} is lost: {reason}",
                        tuple.destination_socket()
                    ),
                };
                self.push(tuple, decision, None);
            }
            _ => {}
        }
    }

    /// What was decided about packets from any of these addresses, in order of time. Where the client was
    /// refused (at the instant given) and no node did it, the host that the packets reached did (DBG-11).
    pub(crate) fn of(&self, sources: &[SocketAddr], refused: Option<SimTime>) -> Vec<Decision> {
        let fates = sources
            .iter()
            .filter_map(|source| self.by_source.get(source));
        let mut decisions = Vec::new();
        for fate in fates {
            decisions.extend_from_slice(&fate.decisions);
            if let (Some(at), Some(to)) = (refused, fate.sent_to) {
                decisions.push(Decision {
                    at,
                    place: to.ip().to_string(),
                    rule: None,
                    meaning: format!(
                        "nobody listens on {to}: the connection got there, and the host itself refused it"
                    ),
                });
            }
        }
        decisions.sort_by_key(|decision| decision.at);
        decisions
    }

    fn push(&mut self, tuple: &Tuple, decision: Decision, sent_to: Option<SocketAddr>) {
        let fate = self.by_source.entry(tuple.source_socket()).or_default();
        fate.sent_to = sent_to;
        // A retransmission meets the same fate again.
        let again = |d: &Decision| {
            (&d.place, &d.rule, &d.meaning) == (&decision.place, &decision.rule, &decision.meaning)
        };
        if !fate.decisions.iter().any(again) {
            fate.decisions.push(decision);
        }
    }
}

pub(crate) fn decide(
    at: SimTime,
    place: String,
    family: Family,
    action: &DecisionAction,
    rules: &[TracedRule],
    control: &Control,
) -> Decision {
    let deciding = rules
        .iter()
        .rev()
        .find(|traced| decides(&traced.rule().target, action));
    let origin_of =
        |traced: &TracedRule| traced.rule().origin.map(|id| control.compiler().origin(id));
    // That an endpoint was picked, and with what chance, says more than that it was then translated to.
    let pick = rules.iter().rev().filter_map(origin_of);
    let pick = pick.filter(|_| matches!(action, DecisionAction::Translated { .. }));
    let pick = pick
        .into_iter()
        .find(|origin| matches!(origin.decision, rules::Decision::Pick { .. }));
    let meaning = match (action, pick.or_else(|| deciding.and_then(origin_of))) {
        (_, Some(origin)) => origin.to_string(),
        (DecisionAction::Untouched, None) => "no rule of any Service concerns it".to_owned(),
        (DecisionAction::Translated { to }, None) => format!("sent on to {to}"),
        (DecisionAction::Rejected(reason), None) => reason.to_string(),
        (DecisionAction::Dropped(reason), None) => reason.to_string(),
    };
    Decision {
        at,
        place,
        rule: deciding.map(|traced| rule_text(traced, family)),
        meaning,
    }
}

/// The family of a flow.
pub(crate) fn family_of(tuple: &Tuple) -> Family {
    Family::of(tuple.source_socket().ip())
}

/// Whether a target is what brings an action about.
const fn decides(target: &XtTarget, action: &DecisionAction) -> bool {
    matches!(
        (target, action),
        (XtTarget::Dnat { .. }, DecisionAction::Translated { .. })
            | (XtTarget::Reject(_), DecisionAction::Rejected(_))
            | (
                XtTarget::Drop | XtTarget::Reject(_),
                DecisionAction::Dropped(_)
            )
    )
}

/// A rule as its node would print it, with its table: `nat -A KUBE-SEP-… -j DNAT …`.
pub(crate) fn rule_text(traced: &TracedRule, family: Family) -> String {
    let place = traced.place();
    format!(
        "{} {}",
        place.table,
        traced.rule().line(place.chain, family)
    )
}

fn place_name(place: Place, plane: &Plane) -> String {
    match place {
        Place::Host(host) => plane
            .host_name(host)
            .unwrap_or("a host that is gone")
            .to_owned(),
        Place::Node(node) => plane.node_name(node).to_owned(),
        Place::World => "beyond the cluster".to_owned(),
    }
}
