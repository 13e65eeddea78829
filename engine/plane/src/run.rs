//! Packets under way: arrivals, what they set off, and where they go next.

use base::SimTime;
use netfilter::{Packet, Tuple, Verdict, eval};

use crate::decision::{DecisionTracer, judge};
use crate::host::{Reaction, Stack};
use crate::network::{Attachment, Door, Next, Transit, UPLINK};
use crate::plane::{Due, TableSource};
use crate::{HostId, LostReason, NodeId, Place, Plane, PlaneEvent, SocketError, SocketId};

impl Plane {
    /// A host's stack, made when it is first needed; `None` when the host is gone.
    pub(crate) fn stack(&mut self, id: HostId) -> Option<&mut Stack> {
        let host = self.network.host(id)?;
        let config = &self.config;
        let stack = self.stacks.entry(id).or_insert_with(|| {
            let kind = match host.attachment {
                Attachment::Node(_) => "process",
                Attachment::Pod { .. } | Attachment::Outside { .. } => "host",
            };
            let stream = format!("plane/{kind}/{}", host.name);
            let random_seed = config.seed.split(&stream).bits();
            Stack::new(id, host.addresses.clone(), config.mtu, random_seed)
        });
        Some(stack)
    }

    /// A new socket of a host. What goes wrong is reported in the next step.
    pub(crate) fn open(
        &mut self,
        host: HostId,
        make: impl FnOnce(&mut Stack) -> (SocketId, Result<(), SocketError>),
    ) -> SocketId {
        // No stack gives out the last number.
        let nowhere = SocketId {
            host,
            serial: u32::MAX,
        };
        let (socket, made) = self
            .stack(host)
            .map_or((nowhere, Err(SocketError::Unreachable)), make);
        match made {
            Ok(()) => self.wake(socket),
            Err(error) => {
                let event = PlaneEvent::Failed { socket, error };
                self.due.plan(self.now, Due::Report(event));
            }
        }
        socket
    }

    /// Has a connection run at this instant, after what is already due.
    pub(crate) fn wake(&mut self, socket: SocketId) {
        let stack = self.stacks.get(&socket.host);
        let due = self
            .timers
            .get(&socket)
            .is_some_and(|ticket| ticket.at() <= self.now);
        if !due && stack.is_some_and(|stack| stack.is_connection(socket)) {
            self.set_timer(socket, Some(self.now));
        }
    }

    pub(crate) fn set_timer(&mut self, socket: SocketId, at: Option<SimTime>) {
        if let Some(ticket) = self.timers.remove(&socket) {
            self.due.cancel(ticket);
        }
        if let Some(at) = at {
            let ticket = self.due.plan(at, Due::Run(socket));
            self.timers.insert(socket, ticket);
        }
    }

    /// A connection's timer has fired.
    pub(crate) fn run_socket(&mut self, socket: SocketId) -> Vec<PlaneEvent> {
        self.timers.remove(&socket);
        let now = self.now;
        let stack = self.stacks.get_mut(&socket.host);
        let reaction = stack
            .map(|stack| stack.run(now, socket))
            .unwrap_or_default();
        self.apply(socket.host, reaction)
    }

    pub(crate) fn arrive(
        &mut self,
        next: Next,
        packet: Vec<u8>,
        tables: &mut impl TableSource,
    ) -> Vec<PlaneEvent> {
        match next {
            Next::Node { node, door } => self.arrive_at_node(node, &door, packet, tables),
            Next::Host(host) => self.arrive_at_host(host, packet),
            Next::Lost { place, reason } => {
                let tuple = Packet::new(packet).tuple();
                vec![self.lost(place, tuple, reason)]
            }
        }
    }

    fn arrive_at_host(&mut self, host: HostId, packet: Vec<u8>) -> Vec<PlaneEvent> {
        self.capture_at_host(host, &packet);
        let now = self.now;
        let Some(stack) = self.stack(host) else {
            let tuple = Packet::new(packet).tuple();
            return vec![self.lost(Place::Host(host), tuple, LostReason::HostGone)];
        };
        let reaction = stack.receive(now, packet);
        self.apply(host, reaction)
    }

    fn arrive_at_node(
        &mut self,
        node: NodeId,
        door: &Door,
        packet: Vec<u8>,
        tables: &mut impl TableSource,
    ) -> Vec<PlaneEvent> {
        if let Door::Interface(interface) = door {
            self.capture_at_node(node, interface, &packet);
        }
        let packet = Packet::new(packet);
        let arrived = packet.tuple();
        let tables = tables.tables(node);
        let engine = &mut self.engines[node.index()];
        let mut tracer = DecisionTracer::default();
        let evaluation = eval(
            &tables,
            &engine.state,
            &self.network.routing(node),
            packet,
            door.ingress(),
            self.now,
            &mut engine.chooser,
            &mut tracer,
        );
        engine.commit(evaluation.effects, self.now);
        let mut events = Vec::new();
        if let Some(tuple) = arrived
            && tracer.is_new
        {
            events.push(PlaneEvent::Decision {
                at: self.now,
                node,
                tuple,
                action: judge(arrived, &evaluation.verdict).0,
                rules: tracer.rules,
            });
        }
        events.extend(self.follow(node, arrived, evaluation.verdict));
        events
    }

    /// Sends a packet on its way after a node has decided.
    fn follow(
        &mut self,
        node: NodeId,
        arrived: Option<Tuple>,
        verdict: Verdict,
    ) -> Option<PlaneEvent> {
        let place = Place::Node(node);
        if let Verdict::Drop(reason) = verdict {
            return Some(self.lost(place, arrived, LostReason::Dropped(reason)));
        }
        let (transit, interface, packet) = self.network.after(node, verdict)?;
        if let Some(interface) = interface {
            self.capture_at_node(node, &interface, packet.bytes());
        }
        self.plan_arrival(transit, packet.into_bytes());
        None
    }

    /// Does what a stack wants done.
    fn apply(&mut self, host: HostId, reaction: Reaction) -> Vec<PlaneEvent> {
        self.transmit(host, reaction.packets);
        for (socket, at) in reaction.timers {
            self.set_timer(socket, at);
        }
        reaction.events
    }

    /// Sends a host's packets on their way.
    pub(crate) fn transmit(&mut self, host: HostId, packets: Vec<Vec<u8>>) {
        for packet in packets {
            self.capture_at_host(host, &packet);
            let transit = self.network.leaving_host(host, &packet);
            self.plan_arrival(transit, packet);
        }
    }

    fn plan_arrival(&mut self, transit: Transit, packet: Vec<u8>) {
        let Transit { next, delay } = transit;
        self.due
            .plan(self.now + delay, Due::Arrival { next, packet });
    }

    fn lost(&self, place: Place, tuple: Option<Tuple>, reason: LostReason) -> PlaneEvent {
        PlaneEvent::Lost {
            at: self.now,
            place,
            tuple,
            reason,
        }
    }

    /// Processes on a node share its interfaces: what they send and receive is captured there. What a host sends
    /// to itself passes no interface that is captured.
    fn capture_at_host(&mut self, id: HostId, packet: &[u8]) {
        let (Some(captures), Some(host)) = (&mut self.captures, self.network.host(id)) else {
            return;
        };
        let on_node = matches!(host.attachment, Attachment::Node(_));
        if !on_node && !host.talks_to_itself(packet) {
            captures.record(&host.name, UPLINK, self.now, packet);
        }
    }

    fn capture_at_node(&mut self, node: NodeId, interface: &str, packet: &[u8]) {
        if let Some(captures) = &mut self.captures {
            captures.record(&self.network.node(node).name, interface, self.now, packet);
        }
    }
}
