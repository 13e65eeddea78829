//! Packets under way: arrivals, what they set off, and where they go next.

use base::SimTime;
use netfilter::{
    DropReason, InterfaceName, NoTrace, Packet, Tracer, Verdict, eval, packet_too_big,
};

use crate::decision::{DecisionTracer, judge};
use crate::host::{Alarm, Reaction, Stack, Supplies};
use crate::network::{Attachment, Door, Next, Transit, UPLINK};
use crate::plane::{Due, TableSource};
use crate::queue::Ticket;
use crate::{
    Foresight, HostId, LostReason, NodeId, Place, Plane, PlaneEvent, SocketError, SocketId,
};

impl Plane {
    /// A host's stack, made when it is first needed, and what it shares with all others; `None` when the host is gone.
    pub(crate) fn stack(&mut self, id: HostId) -> Option<(&mut Stack, &mut Supplies)> {
        if !self.stacks.contains(id) {
            let stack = self.fresh_stack(id)?;
            self.asleep.remove(&id);
            self.stacks.insert(id, stack);
        }
        Some((self.stacks.get_mut(id)?, self.supplies.lend()))
    }

    /// The stack that a host without one would get, with what it listens on.
    pub(crate) fn fresh_stack(&self, id: HostId) -> Option<Stack> {
        let host = self.network.host(id)?;
        let kind = match host.attachment {
            Attachment::Node(_) => "process",
            Attachment::Pod { .. } | Attachment::Outside { .. } => "host",
        };
        let stream = format!("plane/{kind}/{}", host.name);
        let random_seed = self.config.seed.split(&stream).bits();
        let mut stack = Stack::new(id, host.addresses.clone(), self.config.mtu, random_seed);
        for (protocol, port) in self.asleep.get(&id).into_iter().flatten() {
            stack
                .listen(*protocol, *port)
                .expect("ports were checked when they were asked for");
        }
        Some(stack)
    }

    /// A new socket of a host. What goes wrong is reported in the next step.
    pub(crate) fn open(
        &mut self,
        host: HostId,
        make: impl FnOnce(&mut Stack, &mut Supplies) -> (SocketId, Result<(), SocketError>),
    ) -> SocketId {
        let (socket, made) = match self.stack(host) {
            Some((stack, supplies)) => make(stack, supplies),
            None => (self.stillborn(host), Err(SocketError::Unreachable)),
        };
        match made {
            Ok(()) => self.wake(socket),
            Err(error) => {
                let event = PlaneEvent::Failed { socket, error };
                self.due.plan(self.now, Due::Report(Box::new(event)));
            }
        }
        socket
    }

    /// A socket of a host that is gone. Stacks count up from the first number, so these count down from the last.
    fn stillborn(&mut self, host: HostId) -> SocketId {
        let serial = self.next_stillborn;
        self.next_stillborn = serial
            .checked_sub(1)
            .expect("fewer than 2^32 sockets are asked of hosts that are gone");
        SocketId { host, serial }
    }

    /// Has a connection run at this instant, after what is already due.
    pub(crate) fn wake(&mut self, socket: SocketId) {
        let (now, due) = (self.now, &mut self.due);
        let stack = self.stacks.get_mut(socket.host);
        let Some(alarm) = stack.and_then(|stack| stack.alarm(socket)) else {
            return;
        };
        let fires = alarm.timer.is_some_and(|timer| timer.at() <= now);
        if alarm.wake.is_none() && !fires {
            alarm.wake = Some(due.plan(now, Due::Wake(socket)));
        }
    }

    /// Has a connection run next at another instant, whenever it was to run before.
    pub(crate) fn set_alarm(&mut self, socket: SocketId, at: Option<SimTime>) {
        let due = &mut self.due;
        let stack = self.stacks.get_mut(socket.host);
        let Some(alarm) = stack.and_then(|stack| stack.alarm(socket)) else {
            return;
        };
        if let Some(wake) = alarm.wake.take() {
            due.cancel(wake);
        }
        let before = alarm.timer.take();
        alarm.timer = match (before, at) {
            (Some(before), Some(at)) => due.replan(before, at),
            (None, Some(at)) => Some(due.plan(at, Due::Timer(socket))),
            (Some(before), None) => {
                due.cancel(before);
                None
            }
            (None, None) => None,
        };
    }

    /// Has nobody run any more.
    pub(crate) fn silence(&mut self, alarm: Alarm) {
        let Alarm { timer, wake } = alarm;
        for ticket in timer.into_iter().chain(wake) {
            self.due.cancel(ticket);
        }
    }

    /// A connection runs without a packet: `fired` is what was set.
    pub(crate) fn run_socket(
        &mut self,
        socket: SocketId,
        fired: impl FnOnce(&mut Alarm) -> &mut Option<Ticket>,
        events: &mut Vec<PlaneEvent>,
    ) {
        if self.network.is_stopped(socket.host) {
            self.set_alarm(socket, None);
            self.parked.insert(socket);
            return;
        }
        let now = self.now;
        let Some(stack) = self.stacks.get_mut(socket.host) else {
            return;
        };
        if let Some(alarm) = stack.alarm(socket) {
            *fired(alarm) = None;
        }
        let reaction = stack.run(now, socket, self.supplies.lend(), events);
        self.apply(socket.host, reaction);
    }

    pub(crate) fn arrive<F: Foresight>(
        &mut self,
        next: Next,
        packet: Vec<u8>,
        tables: &mut impl TableSource,
        foresight: &mut F,
        events: &mut Vec<PlaneEvent>,
    ) {
        match self.network.arrival(next) {
            Next::Node { node, door } => {
                events.extend(self.arrive_at_node(node, &door, packet, tables));
            }
            Next::Host(host) => {
                if !F::SEES || !self.foresee(host, &packet, tables, foresight) {
                    self.arrive_at_host(host, packet, events);
                }
            }
            Next::Lost { place, reason } => events.extend(self.lost(place, packet, *reason)),
        }
    }

    fn arrive_at_host(&mut self, host: HostId, packet: Vec<u8>, events: &mut Vec<PlaneEvent>) {
        self.capture_at_host(host, &packet);
        if self.deaf.contains(&host) {
            events.extend(self.lost(Place::Host(host), packet, LostReason::Ignored));
            return;
        }
        let now = self.now;
        let Some((stack, supplies)) = self.stack(host) else {
            events.extend(self.lost(Place::Host(host), packet, LostReason::HostGone));
            return;
        };
        let reaction = stack.receive(now, packet, supplies, events);
        self.apply(host, reaction);
    }

    fn arrive_at_node(
        &mut self,
        node: NodeId,
        door: &Door,
        packet: Vec<u8>,
        tables: &mut impl TableSource,
    ) -> Vec<PlaneEvent> {
        if let Door::Interface(interface) = door {
            self.capture_at_node(node, *interface, &packet);
        }
        let packet = Packet::new(packet);
        if !self.logs_decisions {
            let verdict = self.decide(node, door, packet, tables, &mut NoTrace);
            self.follow(node, door, verdict);
            return Vec::new();
        }
        let arrived = packet.tuple();
        let mut tracer = DecisionTracer::default();
        let verdict = self.decide(node, door, packet, tables, &mut tracer);
        let decision = arrived.filter(|_| tracer.is_new).map(|tuple| {
            let (at, action) = (self.now, judge(arrived, &verdict).0);
            let (rules, elements) = (tracer.rules, tracer.elements);
            PlaneEvent::Decision {
                at,
                node,
                tuple,
                action,
                rules,
                elements,
            }
        });
        let dropped = self
            .follow(node, door, verdict)
            .map(|reason| PlaneEvent::Lost {
                at: self.now,
                place: Place::Node(node),
                tuple: arrived,
                reason: LostReason::Dropped(reason),
            });
        decision.into_iter().chain(dropped).collect()
    }

    /// Takes a packet through a node's hooks.
    fn decide(
        &mut self,
        node: NodeId,
        door: &Door,
        packet: Packet,
        tables: &mut impl TableSource,
        tracer: &mut impl Tracer,
    ) -> Verdict {
        let tables = tables.tables(node);
        let engine = &mut self.engines[node.index()];
        engine.meet(&tables, self.now);
        let evaluation = eval(
            &tables,
            &engine.state,
            &self.network.routing(node),
            packet,
            self.network.ingress(node, door),
            self.now,
            &mut engine.chooser,
            tracer,
        );
        engine.commit(evaluation.effects, self.now);
        evaluation.verdict
    }

    /// Sends a packet on its way after a node has decided, unless it was dropped.
    fn follow(&mut self, node: NodeId, door: &Door, verdict: Verdict) -> Option<DropReason> {
        if let Verdict::Drop(reason) = verdict {
            return Some(reason);
        }
        let (transit, interface, packet) = self.network.after(node, door, verdict)?;
        if let Some(interface) = interface {
            self.capture_at_node(node, interface, packet.bytes());
        }
        self.plan_arrival(transit, packet.into_bytes());
        None
    }

    /// Does what a stack wants done.
    fn apply(&mut self, host: HostId, reaction: Reaction) {
        self.transmit_all(host);
        match reaction {
            Reaction::Nothing => {}
            Reaction::Waits(socket, until) => self.set_alarm(socket, until),
            Reaction::Over(alarm) => self.silence(alarm),
        }
    }

    /// Sends the packets on their way that a host's stack has just sent.
    pub(crate) fn transmit_all(&mut self, host: HostId) {
        let mut packets = self.supplies.take_packets();
        for packet in packets.drain(..) {
            self.transmit(host, packet);
        }
        self.supplies.reuse(packets);
    }

    /// Sends a host's packet on its way.
    pub(crate) fn transmit(&mut self, host: HostId, packet: Vec<u8>) {
        let transit = self.network.leaving_host(host, &packet);
        let narrowest = self.network.narrowest(&transit);
        if let Some(mtu) = narrowest.filter(|mtu| *mtu < packet.len()) {
            self.hear_too_big(host, packet, mtu);
            return;
        }
        self.capture_at_host(host, &packet);
        self.plan_arrival(transit, packet);
    }

    /// A host finds that a packet does not fit its own link: its kernel tells the socket as a router would.
    fn hear_too_big(&mut self, host: HostId, packet: Vec<u8>, mtu: usize) {
        if let Some(answer) = packet_too_big(Packet::new(packet), mtu) {
            let (next, packet) = (Next::Host(host), answer.into_bytes());
            self.due.plan(self.now, Due::Arrival { next, packet });
        }
    }

    fn plan_arrival(&mut self, transit: Transit, packet: Vec<u8>) {
        if self.network.is_whole() {
            let Transit { next, delay, .. } = transit;
            self.due
                .plan(self.now + delay, Due::Arrival { next, packet });
            return;
        }
        let sent = self.network.send_over(&transit, self.now, packet.len());
        let Transit { from, next, .. } = transit;
        match sent {
            Ok(delays) => {
                for delay in delays {
                    let (next, packet) = (next.clone(), packet.clone());
                    self.due
                        .plan(self.now + delay, Due::Arrival { next, packet });
                }
            }
            Err(reason) => {
                let Transit { next, .. } = Transit::lost(from, reason);
                self.due.plan(self.now, Due::Arrival { next, packet });
            }
        }
    }

    /// What is told of a packet that vanished; nothing unless somebody wants to know.
    fn lost(&self, place: Place, packet: Vec<u8>, reason: LostReason) -> Option<PlaneEvent> {
        self.logs_decisions.then(|| PlaneEvent::Lost {
            at: self.now,
            place,
            tuple: Packet::new(packet).tuple(),
            reason,
        })
    }

    /// Processes on a node share its interfaces: what they send and receive is captured there. What a host sends
    /// to itself passes no interface that is captured.
    fn capture_at_host(&mut self, id: HostId, packet: &[u8]) {
        let Some(captures) = &mut self.captures else {
            return;
        };
        let Some(host) = self.network.host(id) else {
            return;
        };
        let on_node = matches!(host.attachment, Attachment::Node(_));
        if !on_node && !host.talks_to_itself(packet) {
            captures.record(&host.name, UPLINK.as_str(), self.now, packet);
        }
    }

    fn capture_at_node(&mut self, node: NodeId, interface: InterfaceName, packet: &[u8]) {
        if let Some(captures) = &mut self.captures {
            let node = &self.network.node(node).name;
            captures.record(node, interface.as_str(), self.now, packet);
        }
    }
}
