//! Following one packet without touching the network.
//!
//! **What.** A trace walks a packet, and the answer to it, through every hook on its way. **Why.** It runs the code that
//! real packets run, on copies of what it would change, so what it shows is what would happen.

use std::collections::BTreeMap;
use std::sync::Arc;

use base::SimTime;
use netfilter::{
    Chooser, Effects, InterfaceName, NoTrace, NodeState, Packet, Recorder, RejectReason,
    TraceEvent, Tracer, Tuple, Verdict, eval,
};
use ruleset::Protocol;

use crate::host::Stack;
use crate::network::{Door, Next, Transit};
use crate::plane::TableSource;
use crate::probe::answer_to;
use crate::{HostId, LostReason, NodeId, Place, Plane};

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

impl Plane {
    /// Follows a packet from a host on, and the answer to it: what a listening host would answer (a UDP
    /// application: an empty datagram; SCTP: the way back, whoever is there), or what a host does where nobody listens.
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
        let mut walk = Walk::new(self, Memory::AsItIs);
        let end = walk.send(source, packet, tables, chooser);
        let request = std::mem::take(&mut walk.hops);
        match end {
            Some(End::Refused { transit, reply }) => {
                let _ = walk.onwards(transit, reply, tables, chooser);
            }
            Some(End::Host { host, packet }) => {
                if let Some(reply) = walk.reply(host, packet) {
                    let _ = walk.send(host, reply, tables, chooser);
                }
            }
            None => {}
        }
        PacketTrace {
            request,
            reply: walk.hops,
        }
    }

    /// The node or host that a packet of a host comes to first.
    ///
    /// # Errors
    /// When it is lost before: where, and why. What a link loses by chance counts as coming through.
    pub fn first_place(
        &self,
        source: HostId,
        packet: &Packet,
    ) -> Result<Place, (Place, LostReason)> {
        let transit = self.network.leaving_host(source, packet.bytes());
        match self.network.arrival(transit.next) {
            Next::Node { node, .. } => Ok(Place::Node(node)),
            Next::Host(host) => Ok(Place::Host(host)),
            Next::Lost { place, reason } => Err((place, *reason)),
        }
    }
}

/// Where a packet's way ends, unless it is lost.
pub(crate) enum End {
    /// A host gets it.
    Host { host: HostId, packet: Packet },
    /// A node refuses it, and says so.
    Refused { transit: Transit, reply: Packet },
}

/// What nodes know of when a packet comes that is followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Memory {
    /// What they know of now; each step of their hooks is told.
    AsItIs,
    /// This packet only, so that it costs the same however many connections there are; their hooks' steps are not told.
    Blank,
}

/// A packet being followed.
pub(crate) struct Walk<'a> {
    plane: &'a Plane,
    memory: Memory,
    at: SimTime,
    /// The conntrack tables of nodes that the packet has come to.
    states: BTreeMap<NodeId, NodeState>,
    hops: Vec<TraceHop>,
}

impl<'a> Walk<'a> {
    pub(crate) const fn new(plane: &'a Plane, memory: Memory) -> Self {
        Self {
            plane,
            memory,
            at: plane.now,
            states: BTreeMap::new(),
            hops: Vec::new(),
        }
    }

    /// Has a node know of a packet that it has decided about.
    pub(crate) fn commit(&mut self, node: NodeId, effects: Effects) {
        self.state(node).commit(effects);
    }

    /// The last place that the packet came to.
    pub(crate) fn last(&self) -> Option<&TraceHop> {
        self.hops.last()
    }

    fn state(&mut self, node: NodeId) -> &mut NodeState {
        let (plane, memory) = (self.plane, self.memory);
        self.states.entry(node).or_insert_with(|| match memory {
            Memory::AsItIs => plane.node_state(node).clone(),
            Memory::Blank => NodeState::new(),
        })
    }

    pub(crate) fn send(
        &mut self,
        host: HostId,
        packet: Packet,
        tables: &mut impl TableSource,
        chooser: &mut impl Chooser,
    ) -> Option<End> {
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
    pub(crate) fn onwards(
        &mut self,
        mut transit: Transit,
        mut packet: Packet,
        tables: &mut impl TableSource,
        chooser: &mut impl Chooser,
    ) -> Option<End> {
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
                return Some(End::Refused {
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
        match self.memory {
            Memory::AsItIs => {
                let mut recorder = Recorder::new();
                let verdict = self.decide(node, door, packet, tables, chooser, &mut recorder);
                (verdict, recorder.into_events())
            }
            Memory::Blank => {
                let verdict = self.decide(node, door, packet, tables, chooser, &mut NoTrace);
                (verdict, Vec::new())
            }
        }
    }

    fn decide(
        &mut self,
        node: NodeId,
        door: &Door,
        packet: Packet,
        tables: &mut impl TableSource,
        chooser: &mut impl Chooser,
        tracer: &mut impl Tracer,
    ) -> Verdict {
        let (plane, at) = (self.plane, self.at);
        let state = self.state(node);
        let evaluation = eval(
            &tables.tables(node),
            state,
            &plane.network.routing(node),
            packet,
            plane.network.ingress(node, door),
            at,
            chooser,
            tracer,
        );
        state.commit(evaluation.effects);
        evaluation.verdict
    }

    fn arrive(&mut self, host: HostId, packet: Packet) -> Option<End> {
        let is_there = self.plane.network.host(host).is_some();
        let outcome = match is_there {
            true => HopOutcome::Received,
            false => HopOutcome::Lost(LostReason::HostGone),
        };
        self.record(Place::Host(host), packet.tuple(), Vec::new(), outcome);
        is_there.then_some(End::Host { host, packet })
    }

    /// What a host answers to a packet that it gets.
    ///
    /// Deviation: to SCTP, of which hosts know nothing, one answers as if it listened.
    fn reply(&self, host: HostId, packet: Packet) -> Option<Packet> {
        let plane = self.plane;
        let sctp = packet.tuple();
        if let Some(came) = sctp.filter(|came| came.protocol() == Protocol::SCTP) {
            return answer_to(&came);
        }
        let addresses = plane.network.host(host)?.addresses.clone();
        let mut stand_in = Stack::new(host, addresses, plane.config.mtu, 0);
        let fresh = match plane.stacks.contains(host) {
            true => None,
            false => plane.fresh_stack(host),
        };
        let original = plane.stacks.get(host).or(fresh.as_ref());
        let reply = stand_in.answer(original, self.at, packet.into_bytes())?;
        Some(Packet::new(reply))
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
