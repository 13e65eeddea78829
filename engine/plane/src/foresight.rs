//! Exchanges that are foreseen, and not sent packet by packet.
//!
//! **What.** When the first packet of a connection reaches a listening host, and it is known what both applications will do,
//! that no rule looks at later packets, and that nothing else happens before all is over, then all is as it will be:
//! conntrack on every node of the way, the sockets, the clock. **Why.** Traffic in the background is mostly that: most of its
//! packets decide nothing. Every first packet still takes its whole way, so that whatever a client may meet there it meets.
//! **Source of the semantics.** The packets that are not sent: a property of `sim` holds both against each other.
//!
//! What nobody can see differs: hosts draw no initial sequence numbers for such connections. So nothing is foreseen while
//! packets are captured.

use std::net::SocketAddr;
use std::time::Duration;

use base::SimTime;
use netfilter::{Standing, Tuple, way_back};
use ruleset::Protocol;

use crate::course::Route;
use crate::host::Reaction;
use crate::network::Next;
use crate::plane::TableSource;
use crate::segment::{Flow, Segment};
use crate::{HostId, NodeId, Plane, PlaneEvent, SocketId};

/// One request and one answer over a TCP connection of their own: the client sends its request once it is connected, the
/// server takes the first bytes that come for it, answers and closes, and the client closes when it has the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Exchange {
    /// The request's length in bytes; at least one.
    pub request: usize,
    /// The answer's.
    pub answer: usize,
    /// From the request's arrival to the answer.
    pub think: Duration,
}

/// Knows what applications will do.
pub trait Foresight {
    /// Whether it may know anything: who never does need not be asked.
    const SEES: bool = true;

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

/// How far somebody sees.
pub(crate) struct View<'a, F> {
    pub(crate) foresight: &'a mut F,
    /// Nobody but the plane has changed anything since.
    pub(crate) since: SimTime,
    /// Nobody else does anything up to and including this instant.
    pub(crate) until: SimTime,
}

/// A connection that is about to be accepted.
struct Opening {
    client: SocketId,
    sent_at: SimTime,
    /// From the server's end to the client's.
    stops: Vec<(NodeId, Standing)>,
    route: Route,
}

impl Plane {
    /// Has the whole exchange be over that a packet begins, if it does and that is certain; tells of it.
    pub(crate) fn foresee<F: Foresight>(
        &mut self,
        server: HostId,
        packet: &[u8],
        tables: &mut impl TableSource,
        view: &mut View<'_, F>,
    ) -> Option<PlaneEvent> {
        let is_quiet = self.captures.is_none() && self.network.is_sound();
        if !is_quiet || self.due.next_at() == Some(self.now) {
            return None;
        }
        let segment = Segment::parse(packet).filter(Segment::is_opening)?;
        let flow = segment.flow;
        let opening = self.opening(server, &flow, tables, view.since)?;
        let Opening {
            client,
            sent_at,
            stops,
            route,
        } = opening;
        let (local, peer) = (flow.local, flow.remote);
        let exchange = view.foresight.exchange(client, server, local, peer)?;
        let (is_ipv6, mtu) = (local.is_ipv6(), self.config.mtu);
        let course = self.courses.get(exchange, route, is_ipv6, mtu)?;
        let over = sent_at + course.over;
        if over > view.until || self.due.next_at().is_some_and(|next| next <= over) {
            return None;
        }
        let stand = |((node, standing), passings): (&(NodeId, Standing), &Vec<_>)| {
            let packets = passings.iter();
            let packets = packets.map(|(at, direction, flags)| (sent_at + *at, *direction, *flags));
            Some((*node, standing.after(packets)?))
        };
        let ends: Option<Vec<_>> = stops.iter().zip(&course.passings).map(stand).collect();
        self.conclude(client, server, &ends?);
        self.now = over;
        Some(PlaneEvent::Exchanged {
            socket: client,
            server,
            local,
            peer,
            connected: sent_at + course.connected,
            answered: sent_at + course.answered,
        })
    }

    /// What is known of a connection whose first packet has just reached a host; `None` where that host does not accept it,
    /// where later packets may take another way, or where somebody may have changed something since it was sent.
    fn opening(
        &mut self,
        server: HostId,
        flow: &Flow,
        tables: &mut impl TableSource,
        since: SimTime,
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
            if state.is_full() {
                return None;
            }
            let routing = self.network.routing(node);
            let back = way_back(&tables.tables(node), state, &routing, &answer, now)?;
            stops.push((node, back.standing));
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
        if sent_at < since || stops.iter().any(|(_, stop)| stop.started_at() < sent_at) {
            return None;
        }
        let there = |(_, stop): &(NodeId, Standing)| stop.started_at().since(sent_at);
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

    /// Leaves everything as it is after an exchange.
    fn conclude(&mut self, client: SocketId, server: HostId, ends: &[(NodeId, Standing)]) {
        for (node, standing) in ends {
            self.engines[node.index()].state.settle(standing);
        }
        if let Some((stack, _)) = self.stack(server) {
            stack.skip_socket();
        }
        if let Some((stack, supplies)) = self.stack(client.host)
            && let Reaction::Over(alarm) = stack.forget(client.serial, supplies)
        {
            self.silence(alarm);
        }
    }
}

/// Nodes on the way of a packet: a client's, the one that a node port or a load balancer is asked at, and a server's.
const STOPS_MAX: usize = 4;
