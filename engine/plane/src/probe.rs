//! Every outcome of one packet on one node, and whether an answer would get back.
//!
//! **What.** A probe shows every outcome that a packet may have on a node, with its probability. Where it is sent to
//! another destination than it asked for, it is followed there, and an answer of whoever is there on its way back.
//! **Why.** That a packet gets somewhere is half of a connection: an answer that does not pass the node that has
//! translated the packet is of no use to its sender (PROXY-15). It runs the code that real packets run.
//! **Source of the semantics.** Conntrack translates answers where it has translated the packet, and nowhere else.

use std::net::SocketAddr;

use netfilter::{
    Chooser, Evaluation, Packet, Ratio, TooManyBranches, TracedElement, TracedRule, Tuple, eval,
    explore,
};
use ruleset::Protocol;
use smoltcp::wire::TcpControl;

use crate::decision::{DecisionTracer, judge};
use crate::network::Door;
use crate::plane::TableSource;
use crate::segment::{sctp_init, tcp_segment, udp_datagram};
use crate::trace::{End, HopOutcome, Memory, Walk};
use crate::{DecisionAction, LostReason, NodeId, Plane};

/// One possible outcome of a packet on a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProbeOutcome {
    /// What became of it.
    pub action: DecisionAction,
    /// The flow as it leaves the node; `None` when it does not.
    pub tuple: Option<Tuple>,
    /// The rules that matched and say whom they serve, in order.
    pub rules: Vec<TracedRule>,
    /// What was found in sets and maps, in order.
    pub elements: Vec<TracedElement>,
    /// What becomes of the answer; `None` where the packet is not translated, or nobody is there to answer.
    pub answer: Option<ProbeAnswer>,
}

/// What becomes of the answer to a packet that was translated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProbeAnswer {
    /// It comes back as an answer of whom the sender asked.
    Heard,
    /// It comes back as a packet of somebody whom the sender did not ask.
    Unknown(SocketAddr),
    /// It is lost.
    Lost(LostReason),
}

impl Plane {
    /// Every outcome that a packet may have on a node, with its probability, in the order of the rules that
    /// decide, whatever rules remember of earlier packets: of a client that sticks to its endpoint, too, all are told that it
    /// might stick to. Nothing changes.
    ///
    /// # Errors
    /// When there are more of them than are explored.
    ///
    /// # Panics
    /// When the node is not of this network.
    pub fn probe(
        &self,
        node: NodeId,
        packet: &Packet,
        door: &Door,
        tables: &mut impl TableSource,
    ) -> Result<Vec<(Ratio, ProbeOutcome)>, TooManyBranches> {
        let own = tables.tables(node);
        let routing = self.network.routing(node);
        let arrived = packet.tuple();
        let state = self.node_state(node).without_memory_of_rules();
        explore(|chooser| {
            let mut tracer = DecisionTracer::default();
            let evaluation = eval(
                &own,
                &state,
                &routing,
                packet.clone(),
                self.network.ingress(node, door),
                self.now,
                chooser,
                &mut tracer,
            );
            let (action, tuple) = judge(arrived, &evaluation.verdict);
            let answer = match (&action, arrived) {
                (DecisionAction::Translated { .. }, Some(asked)) => {
                    self.answer(node, door, &asked, evaluation, tables, chooser)
                }
                _ => None,
            };
            ProbeOutcome {
                action,
                tuple,
                rules: tracer.rules,
                elements: tracer.elements,
                answer,
            }
        })
    }

    /// Follows a packet from a node that has decided about it, and an answer back to who asked.
    fn answer(
        &self,
        node: NodeId,
        door: &Door,
        asked: &Tuple,
        decided: Evaluation,
        tables: &mut impl TableSource,
        chooser: &mut impl Chooser,
    ) -> Option<ProbeAnswer> {
        let mut walk = Walk::new(self, Memory::Blank);
        walk.commit(node, decided.effects);
        let (transit, _, packet) = self.network.after(node, door, decided.verdict)?;
        let Some(End::Host { host, packet }) = walk.onwards(transit, packet, tables, chooser)
        else {
            // Somebody is there, and his own packet does not come back to him.
            let outcome = walk.last().map(|last| &last.outcome);
            let no_hairpin = HopOutcome::Lost(LostReason::NoHairpin);
            return (outcome == Some(&no_hairpin))
                .then_some(ProbeAnswer::Lost(LostReason::NoHairpin));
        };
        let reply = answer_to(&packet.tuple()?)?;
        let _ = walk.send(host, reply, tables, chooser);
        let last = walk.last()?;
        let is_heard = last.tuple == Some(asked.inverse());
        Some(match (&last.outcome, last.tuple) {
            // Who asks may be an address only: then the answer gets as far as where it would be.
            (
                HopOutcome::Received
                | HopOutcome::Lost(LostReason::NoSuchPod | LostReason::NobodyThere),
                Some(came),
            ) => match is_heard {
                true => ProbeAnswer::Heard,
                false => ProbeAnswer::Unknown(came.source_socket()),
            },
            (HopOutcome::Lost(reason), _) => ProbeAnswer::Lost(reason.clone()),
            _ => return None,
        })
    }
}

/// The first packet of an answer; `None` for protocols that know none.
pub(crate) fn answer_to(came: &Tuple) -> Option<Packet> {
    let (from, to) = (came.destination_socket(), came.source_socket());
    let bytes = match came.protocol() {
        Protocol::TCP => tcp_segment(from, to, TcpControl::Syn, 0, Some(1)),
        Protocol::UDP => udp_datagram(from, to, &[]),
        Protocol::SCTP => sctp_init(from, to),
        _ => return None,
    };
    bytes.ok().map(Packet::new)
}
