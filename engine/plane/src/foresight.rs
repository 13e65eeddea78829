//! Exchanges that are foreseen, and not sent packet by packet.
//!
//! **What.** When the first packet of a connection reaches a listening host, and it is known what both applications will do,
//! that no rule looks at later packets, and that nothing but other connections comes before all is over, then conntrack is set
//! to what it will be on every node of the way, and all that is planned is when the client is answered, and when its socket
//! goes. **Why.** Traffic in the background is mostly that: most of its
//! packets decide nothing. Every first packet still takes its whole way, so that whatever a client may meet there it meets.
//! **Source of the semantics.** The packets that are not sent: a property of `sim` holds both against each other.
//!
//! What nobody can see differs: hosts draw no initial sequence numbers for such connections. So nothing is foreseen while
//! packets are captured.

use std::net::SocketAddr;
use std::time::Duration;

use base::SimTime;
use netfilter::{Opened, Tuple, way_back};
use ruleset::Protocol;

use crate::course::{Play, Route};
use crate::network::Next;
use crate::plane::{Due, TableSource};
use crate::segment::{Flow, Segment};
use crate::{HostId, NodeId, Plane, PlaneEvent, SocketId};

/// What both applications will do with a connection: the client sends its request once it is connected, the server takes
/// the first bytes that come for it, answers and closes, and the client closes when it has the answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exchange {
    /// The request's length in bytes; at least one.
    pub request: usize,
    /// From the request's arrival to the answer.
    pub think: Duration,
    /// All of it.
    pub answer: Vec<u8>,
    /// When the client will wait no longer.
    pub deadline: SimTime,
}

/// Knows what applications will do.
pub trait Foresight {
    /// Whether it may know anything: who never does need not be asked.
    const SEES: bool = true;

    /// Two instants: after the first and up to and including the second nothing happens or has happened to the network, its
    /// hosts and its tables but what applications do with their sockets, and nobody looks.
    fn quiet(&self) -> (SimTime, SimTime);

    /// What becomes of a client's connection that a host is about to accept, if nothing but an exchange can come of it.
    fn exchange(
        &mut self,
        client: SocketId,
        server: HostId,
        local: SocketAddr,
        peer: SocketAddr,
    ) -> Option<Exchange>;
}

/// Knows nothing: every packet is sent.
#[derive(Clone, Copy, Debug, Default)]
pub struct Blind;

impl Foresight for Blind {
    const SEES: bool = false;

    fn quiet(&self) -> (SimTime, SimTime) {
        (SimTime::MAX, SimTime::ZERO)
    }

    fn exchange(
        &mut self,
        _: SocketId,
        _: HostId,
        _: SocketAddr,
        _: SocketAddr,
    ) -> Option<Exchange> {
        None
    }
}

/// A connection that is about to be accepted.
struct Opening {
    client: SocketId,
    sent_at: SimTime,
    /// From the server's end to the client's.
    stops: Vec<(NodeId, Opened)>,
    route: Route,
}

impl Plane {
    /// Foresees the whole exchange that a packet begins, if it does and that is certain. All that is left to do is planned.
    pub(crate) fn foresee(
        &mut self,
        server: HostId,
        packet: &[u8],
        tables: &mut impl TableSource,
        foresight: &mut impl Foresight,
    ) -> bool {
        self.try_foresee(server, packet, tables, foresight)
            .is_some()
    }

    fn try_foresee(
        &mut self,
        server: HostId,
        packet: &[u8],
        tables: &mut impl TableSource,
        foresight: &mut impl Foresight,
    ) -> Option<()> {
        if self.captures.is_some() || !self.network.is_sound() {
            return None;
        }
        let segment = Segment::parse(packet).filter(Segment::is_opening)?;
        let flow = segment.flow;
        let (local, peer) = (flow.local, flow.remote);
        let opening = self.opening(server, &flow, tables)?;
        let Opening {
            client,
            sent_at,
            stops,
            route,
        } = opening;
        let (since, until) = foresight.quiet();
        let exchange = foresight.exchange(client, server, local, peer)?;
        let play = Play {
            request: exchange.request,
            think: exchange.think,
            answer: exchange.answer.len(),
            is_ipv6: local.is_ipv6(),
        };
        let course = self.courses.get(play, route, self.config.mtu)?;
        let [connected, answered, over] =
            [course.connected, course.answered, course.over].map(|after| sent_at + after);
        if sent_at <= since || over > until || answered >= exchange.deadline {
            return None;
        }
        let (stack, _) = self.stack(server)?;
        stack.skip_socket();
        for ((node, opened), advance) in stops.iter().zip(&course.advances) {
            let state = &mut self.engines[node.index()].state;
            state.advance(opened, advance, sent_at);
        }
        self.set_alarm(client, None);
        let exchanged = PlaneEvent::Exchanged {
            socket: client,
            connected,
            answer: exchange.answer,
        };
        self.due.plan(answered, Due::Report(Box::new(exchanged)));
        self.due.plan(over, Due::Over(client));
        Some(())
    }

    /// Forgets a client's connection whose exchange is over.
    pub(crate) fn end_exchange(&mut self, client: SocketId) {
        if let Some((stack, supplies)) = self.stack(client.host) {
            stack.forget(client.serial, supplies);
        }
    }

    /// What is known of a connection whose first packet has just reached a host; `None` where that host does not accept it
    /// or where later packets may take another way.
    fn opening(
        &mut self,
        server: HostId,
        flow: &Flow,
        tables: &mut impl TableSource,
    ) -> Option<Opening> {
        let now = self.now;
        let (stack, _) = self.stack(server)?;
        if !stack.would_accept(now, flow) || self.deaf.contains(&server) {
            return None;
        }
        let mut answer = Tuple::new(Protocol::TCP, flow.local, flow.remote);
        let mut transit = self.network.leaving_pod(server)?;
        let mut way = Duration::ZERO;
        let mut stops = Vec::new();
        let mut ways = Vec::new();
        let host = loop {
            way += transit.delay;
            let (node, door) = match transit.next {
                Next::Host(host) => break host,
                Next::Node { node, door } if stops.len() < STOPS_MAX => (node, door),
                Next::Node { .. } | Next::Lost { .. } => return None,
            };
            let state = &self.engines[node.index()].state;
            // Who makes room would look at how far connections are.
            if state.is_limited() {
                return None;
            }
            let routing = self.network.routing(node);
            let back = way_back(&tables.tables(node), state, &routing, &answer, now)?;
            stops.push((node, back.opened));
            ways.push(way);
            answer = back.onward;
            let to = answer.destination();
            transit = self.network.onward(node, &door, back.interface, to)?;
        };
        let flow = Flow {
            protocol: Protocol::TCP,
            local: answer.destination_socket(),
            remote: answer.source_socket(),
        };
        let is_other = host != server && !self.deaf.contains(&host);
        let stack = self.stacks.get(host).filter(|_| is_other)?;
        let (client, sent_at) = stack.dialling(now, &flow)?;
        if stops.iter().any(|(_, opened)| opened.at < sent_at) {
            return None;
        }
        let there = |(_, opened): &(NodeId, Opened)| opened.at.since(sent_at);
        let route = Route {
            whole: (now.since(sent_at), way),
            stops: stops.iter().map(there).zip(ways).collect(),
        };
        Some(Opening {
            client,
            sent_at,
            stops,
            route,
        })
    }
}

/// Nodes on the way of a packet: a client's, the one that a node port or a load balancer is asked at, and a server's.
const STOPS_MAX: usize = 4;
