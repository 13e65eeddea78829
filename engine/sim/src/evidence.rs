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
    by_source: BTreeMap<SocketAddr, Vec<Decision>>,
    wanted: bool,
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
                self.push(
                    tuple,
                    decide(*at, place, family_of(tuple), action, rules, control),
                );
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
                self.push(tuple, decision);
            }
            _ => {}
        }
    }

    /// What was decided about packets from any of these addresses, in order of time.
    pub(crate) fn of(&self, sources: &[SocketAddr]) -> Vec<Decision> {
        let mut decisions: Vec<Decision> = sources
            .iter()
            .filter_map(|source| self.by_source.get(source))
            .flatten()
            .cloned()
            .collect();
        decisions.sort_by_key(|decision| decision.at);
        decisions
    }

    fn push(&mut self, tuple: &Tuple, decision: Decision) {
        let decisions = self.by_source.entry(tuple.source_socket()).or_default();
        // A retransmission meets the same fate again.
        let again = |d: &Decision| {
            (&d.place, &d.rule, &d.meaning) == (&decision.place, &decision.rule, &decision.meaning)
        };
        if !decisions.iter().any(again) {
            decisions.push(decision);
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
