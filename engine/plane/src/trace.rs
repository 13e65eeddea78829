//! Following one packet without touching the network.
//!
//! **What.** A trace walks a packet, and the answer to it, through every hook on its way. A probe shows every
//! outcome that one packet may have on one node, with its probability. **Why.** Both run the code that real
//! packets run, on copies of what it would change, so what they show is what would happen.

use std::collections::BTreeMap;
use std::sync::Arc;

use base::SimTime;
use netfilter::{
    Chooser, Ingress, InterfaceName, NodeState, Packet, Ratio, Recorder, RejectReason,
    TooManyBranches, TraceEvent, TracedElement, TracedRule, Tuple, Verdict, eval, explore,
};

use crate::decision::{DecisionTracer, judge};
use crate::host::Stack;
use crate::network::{Door, Next, Transit};
use crate::plane::TableSource;
use crate::{DecisionAction, HostId, LostReason, NodeId, Place, Plane};

/// The way of a packet and of the answer to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PacketTrace {
    /// From the sender on.
    pub request: Vec<TraceHop>,
    /// From where it was answered, back; empty when nobody answered.
    pub reply: Vec<TraceHop>,
}

/// A packet at one place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceHop {
    /// Where.
    pub place: Place,
    /// The host's or node's name; empty beyond the default route.
    pub name: Arc<str>,
    /// When the packet gets there.
    pub at: SimTime,
    /// Its flow as it gets there; `None` for an ICMP error.
    pub tuple: Option<Tuple>,
    /// What the node's hooks did; empty on hosts.
    pub events: Vec<TraceEvent>,
    /// How it goes on.
    pub outcome: HopOutcome,
}

/// How a packet goes on from a place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HopOutcome {
    /// A host sends it.
    Sent,
    /// A node sends it out of an interface.
    Forwarded {
        /// The interface.
        interface: InterfaceName,
    },
    /// A node hands it to a process of its own.
    Delivered,
    /// A host takes it in.
    Received,
    /// A node refuses it and says so.
    Rejected(RejectReason),
    /// It ends here.
    Lost(LostReason),
}

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
}

impl Plane {
    /// Follows a packet from a host on, and the answer to it: what a listening host would answer (a UDP
    /// application: an empty datagram), or what a host does where nobody listens.
    ///
    /// Nothing changes but what `chooser` and `tables` keep for themselves. The clock of the trace starts now;
    /// conntrack entries that the request makes are there for the answer.
    pub fn trace(
        &self,
        source: HostId,
        packet: Packet,
        tables: &mut impl TableSource,
        chooser: &mut impl Chooser,
    ) -> PacketTrace {
        let mut walk = Walk {
            plane: self,
            at: self.now,
            states: BTreeMap::new(),
            hops: Vec::new(),
        };
        let answer = walk.send(source, packet, tables, chooser);
        let request = std::mem::take(&mut walk.hops);
        match answer {
            Some(Answer::OfNode { transit, reply }) => {
                let _ = walk.onwards(transit, reply, tables, chooser);
            }
            Some(Answer::OfHost { host, reply }) => {
                let _ = walk.send(host, reply, tables, chooser);
            }
            None => {}
        }
        PacketTrace {
            request,
            reply: walk.hops,
        }
    }

    /// Every outcome that a packet may have on a node, with its probability, in the order of the rules that
    /// decide. Nothing changes.
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
        ingress: Ingress<'_>,
        tables: &mut impl TableSource,
    ) -> Result<Vec<(Ratio, ProbeOutcome)>, TooManyBranches> {
        let tables = tables.tables(node);
        let routing = self.network.routing(node);
        let arrived = packet.tuple();
        explore(|chooser| {
            let mut tracer = DecisionTracer::default();
            let evaluation = eval(
                &tables,
                self.node_state(node),
                &routing,
                packet.clone(),
                ingress,
                self.now,
                chooser,
                &mut tracer,
            );
            let (action, tuple) = judge(arrived, &evaluation.verdict);
            ProbeOutcome {
                action,
                tuple,
                rules: tracer.rules,
                elements: tracer.elements,
            }
        })
    }
}

/// Who answers a packet, and how.
enum Answer {
    OfHost { host: HostId, reply: Packet },
    OfNode { transit: Transit, reply: Packet },
}

/// A packet being followed.
struct Walk<'a> {
    plane: &'a Plane,
    at: SimTime,
    /// Copies of the conntrack tables that the packet has changed.
    states: BTreeMap<NodeId, NodeState>,
    hops: Vec<TraceHop>,
}

impl Walk<'_> {
    fn send(
        &mut self,
        host: HostId,
        packet: Packet,
        tables: &mut impl TableSource,
        chooser: &mut impl Chooser,
    ) -> Option<Answer> {
        let transit = self.plane.network.leaving_host(host, packet.bytes());
        self.record(
            Place::Host(host),
            packet.tuple(),
            Vec::new(),
            HopOutcome::Sent,
        );
        self.onwards(transit, packet, tables, chooser)
    }

    /// Follows a packet until it ends. It does: every node but the sender's own lowers its time to live.
    fn onwards(
        &mut self,
        mut transit: Transit,
        mut packet: Packet,
        tables: &mut impl TableSource,
        chooser: &mut impl Chooser,
    ) -> Option<Answer> {
        loop {
            let network = &self.plane.network;
            self.at += transit.delay + network.added_delay(&transit);
            let (node, door) = match network.arrival(transit.next) {
                Next::Lost { place, reason } => {
                    self.record(place, packet.tuple(), Vec::new(), HopOutcome::Lost(*reason));
                    return None;
                }
                Next::Host(host) => return self.arrive(host, packet),
                Next::Node { node, door } => (node, door),
            };
            let arrived = packet.tuple();
            let (verdict, events) = self.evaluate(node, &door, packet, tables, chooser);
            let rejected = matches!(verdict, Verdict::Reject { .. });
            self.record(Place::Node(node), arrived, events, outcome(&verdict));
            let (next, _, leaving) = self.plane.network.after(node, &door, verdict)?;
            if rejected {
                return Some(Answer::OfNode {
                    transit: next,
                    reply: leaving,
                });
            }
            (transit, packet) = (next, leaving);
        }
    }

    fn evaluate(
        &mut self,
        node: NodeId,
        door: &Door,
        packet: Packet,
        tables: &mut impl TableSource,
        chooser: &mut impl Chooser,
    ) -> (Verdict, Vec<TraceEvent>) {
        let plane = self.plane;
        let copy = || plane.node_state(node).clone();
        let state = self.states.entry(node).or_insert_with(copy);
        let mut recorder = Recorder::new();
        let evaluation = eval(
            &tables.tables(node),
            state,
            &plane.network.routing(node),
            packet,
            door.ingress(),
            self.at,
            chooser,
            &mut recorder,
        );
        state.commit(evaluation.effects);
        (evaluation.verdict, recorder.into_events())
    }

    fn arrive(&mut self, host: HostId, packet: Packet) -> Option<Answer> {
        let place = Place::Host(host);
        let tuple = packet.tuple();
        let Some(target) = self.plane.network.host(host) else {
            self.record(
                place,
                tuple,
                Vec::new(),
                HopOutcome::Lost(LostReason::HostGone),
            );
            return None;
        };
        self.record(place, tuple, Vec::new(), HopOutcome::Received);
        let plane = self.plane;
        let mut stand_in = Stack::new(host, target.addresses.clone(), plane.config.mtu, 0);
        let fresh = match plane.stacks.contains(host) {
            true => None,
            false => plane.fresh_stack(host),
        };
        let original = plane.stacks.get(host).or(fresh.as_ref());
        let reply = stand_in.answer(original, self.at, packet.into_bytes())?;
        Some(Answer::OfHost {
            host,
            reply: Packet::new(reply),
        })
    }

    fn record(
        &mut self,
        place: Place,
        tuple: Option<Tuple>,
        events: Vec<TraceEvent>,
        outcome: HopOutcome,
    ) {
        let network = &self.plane.network;
        let name = match place {
            Place::Host(host) => network.host(host).map(|host| Arc::clone(&host.name)),
            Place::Node(node) => Some(Arc::clone(&network.node(node).name)),
            Place::World => None,
        };
        self.hops.push(TraceHop {
            place,
            name: name.unwrap_or_default(),
            at: self.at,
            tuple,
            events,
            outcome,
        });
    }
}

fn outcome(verdict: &Verdict) -> HopOutcome {
    match verdict {
        Verdict::Deliver(_) => HopOutcome::Delivered,
        Verdict::Forward { interface, .. } => HopOutcome::Forwarded {
            interface: *interface,
        },
        Verdict::Drop(reason) => HopOutcome::Lost(LostReason::Dropped(reason.clone())),
        Verdict::Reject { reason, .. } => HopOutcome::Rejected(reason.clone()),
        Verdict::Unknown(doubt) => unreachable!("a dump is no plane's: {}", doubt.question),
    }
}
