//! From the plane's log of decisions to sentences.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use base::SimTime;
use control::{Control, Decision, NodeRules};
use netfilter::{ChainPlace, RejectReason, RuleAction, TracedElement, TracedRule, Tuple};
use plane::{DecisionAction, Place, Plane, PlaneEvent};
use rules::Origin;
use ruleset::ipvs::ServerKey;
use ruleset::{Family, Protocol};

/// What was decided about flows that clients are waiting for, by their source address.
#[derive(Default)]
pub(crate) struct Evidence {
    by_source: BTreeMap<SocketAddr, Fate>,
}

/// What became of the packets from one address.
#[derive(Default)]
struct Fate {
    decisions: Vec<Decision>,
    /// Where they were last sent, unless a node refused or lost them.
    sent_to: Option<SocketAddr>,
}

impl Evidence {
    /// Forgets what was collected.
    pub(crate) fn clear(&mut self) {
        self.by_source.clear();
    }

    /// Takes an event of the plane, which tells decisions only while they are logged.
    pub(crate) fn note(&mut self, event: &PlaneEvent, plane: &Plane, control: &Control) {
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
                elements,
            } => {
                let place = plane.node_name(*node).to_owned();
                let sent_to = match action {
                    DecisionAction::Translated { to } => Some(*to),
                    DecisionAction::Untouched => Some(tuple.destination_socket()),
                    DecisionAction::Rejected(_) | DecisionAction::Dropped(_) => None,
                };
                let met = Met {
                    family: family_of(tuple),
                    asked: (tuple.protocol(), tuple.destination_socket()),
                    action,
                    rules,
                    elements,
                };
                let decision = met.decision(*at, place, control);
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

/// What a packet met on a node.
pub(crate) struct Met<'a> {
    pub(crate) family: Family,
    /// What the packet was sent to.
    pub(crate) asked: (Protocol, SocketAddr),
    pub(crate) action: &'a DecisionAction,
    pub(crate) rules: &'a [TracedRule],
    pub(crate) elements: &'a [TracedElement],
}

impl Met<'_> {
    /// What it comes to, in words.
    pub(crate) fn decision(&self, at: SimTime, place: String, control: &Control) -> Decision {
        let deciding = self
            .rules
            .iter()
            .rev()
            .find(|traced| decides(traced.action(), self.action));
        let meaning = match self.action {
            // That an endpoint was picked, and with what chance, says more than that it was then translated to.
            // Where no rule of the Service's own did it, an element did.
            DecisionAction::Translated { to } => self
                .picked(*to, control)
                .or_else(|| self.picked_by_element(*to, &place, control))
                .or_else(|| self.served(*to, &place, control)),
            // The rule that refuses serves all Services: the element that led there names the one.
            DecisionAction::Rejected(RejectReason::NoRealServer(server)) => {
                self.served(server.address, &place, control)
            }
            DecisionAction::Rejected(_) | DecisionAction::Dropped(_) => {
                self.element(&place, control)
            }
            DecisionAction::Untouched => None,
        };
        let origin = deciding.and_then(TracedRule::origin);
        let meaning =
            meaning.or_else(|| origin.map(|id| control.compiler().origin(id).to_string()));
        let meaning = meaning.unwrap_or_else(|| match self.action {
            DecisionAction::Untouched => "no rule of any Service concerns it".to_owned(),
            DecisionAction::Translated { to } => format!("sent on to {to}"),
            DecisionAction::Rejected(reason) => reason.to_string(),
            DecisionAction::Dropped(reason) => reason.to_string(),
        });
        let rule = deciding.map(|traced| rule_text(traced, self.family));
        let rule = rule.or_else(|| self.server_text(&place, control));
        Decision {
            at,
            place,
            rule,
            meaning,
        }
    }

    fn picked(&self, to: SocketAddr, control: &Control) -> Option<String> {
        let origins = self.rules.iter().rev().filter_map(TracedRule::origin);
        origins
            .map(|id| control.compiler().origin(id))
            .find_map(|origin| picked(origin, to))
    }

    fn picked_by_element(&self, to: SocketAddr, node: &str, control: &Control) -> Option<String> {
        let mut origins = self.element_origins(node, control)?;
        let is_choice = |origin: &&Origin| {
            let picks = matches!(origin.decision, rules::Decision::Pick { .. });
            picks && origin.endpoint == Some(to)
        };
        origins.find(is_choice).map(ToString::to_string)
    }

    /// Whom a virtual server serves with a real server, or by itself.
    fn served(&self, real: SocketAddr, node: &str, control: &Control) -> Option<String> {
        let mut rules = control.compiled_rules(node);
        let compiled = rules.find_map(|rules| match rules {
            NodeRules::Ipvs(compiled) => Some(compiled),
            NodeRules::Iptables(_) | NodeRules::Nftables(_) => None,
        })?;
        let origin = compiled.server_origin(&self.server(), real)?;
        Some(control.compiler().origin(origin).to_string())
    }

    /// The virtual server that decided, where one did.
    fn server_text(&self, node: &str, control: &Control) -> Option<String> {
        let decided = matches!(
            self.action,
            DecisionAction::Translated { .. }
                | DecisionAction::Rejected(RejectReason::NoRealServer(_))
        );
        let server = self.server();
        decided
            .then(|| self.served(server.address, node, control))
            .flatten()?;
        Some(format!("virtual server {server}"))
    }

    const fn server(&self) -> ServerKey {
        let (protocol, address) = self.asked;
        ServerKey { protocol, address }
    }

    fn element(&self, node: &str, control: &Control) -> Option<String> {
        let mut origins = self.element_origins(node, control)?;
        origins.next().map(ToString::to_string)
    }

    /// Whom the elements serve that were found, the last one first.
    fn element_origins<'c>(
        &self,
        node: &str,
        control: &'c Control,
    ) -> Option<impl Iterator<Item = &'c Origin>> {
        let mut rules = control.compiled_rules(node);
        let compiled = rules.find_map(|rules| match rules {
            NodeRules::Nftables(compiled) => Some(compiled),
            NodeRules::Iptables(_) | NodeRules::Ipvs(_) => None,
        })?;
        let found = self.elements.iter().rev().filter_map(move |element| {
            compiled.element_origin(self.family.into(), element.set.as_ref()?, &element.key)
        });
        Some(found.map(|id| control.compiler().origin(id)))
    }
}

/// What a rule says of the choice of an endpoint, if it made that choice.
fn picked(origin: &Origin, to: SocketAddr) -> Option<String> {
    match &origin.decision {
        rules::Decision::Pick { .. } => Some(origin.to_string()),
        rules::Decision::Balance { endpoints, .. } => {
            let index = endpoints
                .iter()
                .position(|endpoint| endpoint.address == to)?;
            origin.choice(index).map(|origin| origin.to_string())
        }
        _ => None,
    }
}

/// The family of a flow.
pub(crate) fn family_of(tuple: &Tuple) -> Family {
    Family::of(tuple.source_socket().ip())
}

/// Whether what a rule does is what brings an action about.
const fn decides(rule: RuleAction, action: &DecisionAction) -> bool {
    matches!(
        (rule, action),
        (
            RuleAction::TranslateDestination,
            DecisionAction::Translated { .. }
        ) | (RuleAction::Reject, DecisionAction::Rejected(_))
            | (
                RuleAction::Drop | RuleAction::Reject,
                DecisionAction::Dropped(_)
            )
    )
}

/// A rule as its node would print it, with its table or chain before it: `nat -A KUBE-SEP-… -j DNAT …`,
/// `ip kube-proxy/services: ip daddr …`.
pub(crate) fn rule_text(traced: &TracedRule, family: Family) -> String {
    let line = traced.line(family);
    match &traced.place().chain {
        ChainPlace::Xt { table, .. } => format!("{table} {line}"),
        chain @ ChainPlace::Nft { .. } => format!("{chain}: {line}"),
    }
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
