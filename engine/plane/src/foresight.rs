//! Exchanges that are foreseen, and not sent packet by packet.
//!
//! **What.** When the first packet of a connection reaches a listening host, and it is known what both applications will
//! do, that no rule looks at later packets, and that nothing but other connections comes before all is over, then conntrack
//! is set to what it will be on every node of the way, and all that is planned is when the client is answered and when its
//! socket goes. **Why.** Traffic in the background is mostly that: most of its packets decide nothing. Every first packet
//! still takes its whole way, so that whatever a client may meet there it meets. **Source of the semantics.** The packets
//! that are not sent: a property of `sim` holds both against each other.
//!
//! Until an exchange is over, conntrack is ahead of the clock by it; so whoever foresees promises that nobody looks
//! ([`Foresight::quiet`]). Nodes of mode ipvs look at every packet, and limited ones at how far connections are: nothing is
//! foreseen there, nor while packets are captured or a link is impaired.

use std::net::SocketAddr;
use std::time::Duration;

use base::SimTime;
use netfilter::{Opened, Tuple, way_back};
use ruleset::Protocol;

use crate::course::{Play, Route};
use crate::network::{Attachment, Next};
use crate::plane::{Due, TableSource};
use crate::segment::{Flow, Segment, hops};
use crate::{HostId, NodeId, Plane, PlaneEvent, SocketId};

/// What both applications will do with a connection: the client sends its request once it is connected, the server takes
/// the first bytes that come for it, whatever they are, answers and closes, and the client closes when it has the answer.
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
    stops: Vec<Stop>,
    /// From the client to the server, and back.
    whole: (Duration, Duration),
}

/// A node on its way.
struct Stop {
    node: NodeId,
    opened: Opened,
    /// From the server to it.
    back: Duration,
}

impl Opening {
    fn route(&self) -> Route {
        let there = |stop: &Stop| (stop.opened.at.since(self.sent_at), stop.back);
        Route {
            whole: self.whole,
            stops: self.stops.iter().map(there).collect(),
        }
    }
}

impl Plane {
    /// Foresees the whole exchange that a packet begins, if it does and that is certain; tells whether. All that is left to
    /// do is planned then.
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
        let opening = self.opening(server, &flow, packet, tables)?;
        let (client, sent_at) = (opening.client, opening.sent_at);
        let (since, until) = foresight.quiet();
        if sent_at <= since {
            return None;
        }
        let exchange = foresight.exchange(client, server, flow.local, flow.remote)?;
        let play = Play {
            request: exchange.request,
            think: exchange.think,
            answer: exchange.answer.len(),
            is_ipv6: flow.local.is_ipv6(),
        };
        let course = self.courses.get(play, opening.route(), self.config.mtu)?;
        let [connected, answered, over] =
            [course.connected, course.answered, course.over].map(|after| sent_at + after);
        if over > until || answered >= exchange.deadline {
            return None;
        }
        let (stack, supplies) = self.stack(server)?;
        stack.pass_over(&flow, supplies);
        for (stop, advance) in opening.stops.iter().zip(&course.advances) {
            let state = &mut self.engines[stop.node.index()].state;
            state.advance(&stop.opened, advance, sent_at);
        }
        self.set_alarm(client, None);
        let exchanged = PlaneEvent::Exchanged {
            socket: client,
            connected,
            answer: exchange.answer,
        };
        self.due.plan(answered, Due::Report(Box::new(exchanged)));
        self.due.plan(over, Due::Over(client));
        self.foreseen += 1;
        Some(())
    }

    /// Forgets a client's connection whose exchange is over.
    pub(crate) fn end_exchange(&mut self, client: SocketId) {
        if let Some(stack) = self.stacks.get_mut(client.host) {
            stack.forget(client.serial, self.supplies.lend());
        }
    }

    /// What is known of a connection whose first packet has just reached a host; `None` where that host does not accept it
    /// or where later packets may take another way.
    fn opening(
        &mut self,
        server: HostId,
        flow: &Flow,
        packet: &[u8],
        tables: &mut impl TableSource,
    ) -> Option<Opening> {
        let now = self.now;
        if self.deaf.contains(&server) || !self.stack(server)?.0.would_accept(now, flow) {
            return None;
        }
        let (stops, client, back) = self.way_back(server, flow, tables)?;
        let host = client.0;
        let stack = self.stacks.get(host);
        let stack = stack.filter(|_| host != server && !self.deaf.contains(&host))?;
        let (client, sent_at) = stack.dialling(now, &client.1)?;
        // An answer finds a connection on each node of its way, so if the first packet came by no others, they are the same.
        let is_way_there =
            hops(packet) == Some(stops.len()) && stops.iter().all(|stop| stop.opened.at >= sent_at);
        is_way_there.then(|| Opening {
            client,
            sent_at,
            stops,
            whole: (now.since(sent_at), back),
        })
    }

    /// The way of answers from a server: the nodes that they come by, to whom they get as packets of which flow, and how long
    /// it takes.
    fn way_back(
        &self,
        server: HostId,
        flow: &Flow,
        tables: &mut impl TableSource,
    ) -> Option<(Vec<Stop>, (HostId, Flow), Duration)> {
        let Attachment::Pod { node, interface } = self.network.host(server)?.attachment else {
            return None;
        };
        let mut transit = self.network.leaving_pod(server, node, interface);
        let mut answer = Tuple::new(Protocol::TCP, flow.local, flow.remote);
        let (mut back, mut stops) = (Duration::ZERO, Vec::new());
        loop {
            back += transit.delay;
            let (node, door) = match transit.next {
                Next::Node { node, door } if stops.len() < STOPS_MAX => (node, door),
                Next::Host(host) => {
                    let flow = Flow {
                        protocol: Protocol::TCP,
                        local: answer.destination_socket(),
                        remote: answer.source_socket(),
                    };
                    return Some((stops, (host, flow), back));
                }
                Next::Node { .. } | Next::Lost { .. } => return None,
            };
            let state = &self.engines[node.index()].state;
            // Who makes room would look at how far connections are.
            if state.is_limited() {
                return None;
            }
            let routing = self.network.routing(node);
            let way = way_back(&tables.tables(node), state, &routing, &answer, self.now)?;
            let opened = way.opened;
            stops.push(Stop { node, opened, back });
            answer = way.onward;
            let to = answer.destination();
            transit = self.network.onward(node, &door, way.interface, to)?;
        }
    }
}

/// Nodes on the way of a packet: a client's, the one that a node port or a load balancer is asked at, and a server's. No
/// packet goes in circles.
const STOPS_MAX: usize = 3;
