//! Sockets, ports and demultiplexing of one host.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use base::SimTime;
use ruleset::Protocol;
use smoltcp::iface::{Interface, SocketSet};
use smoltcp::wire::IpAddress;

use super::error::{ListenError, SendError};
use super::tcp::{Cause, Connection};
use super::udp::Endpoint;
use super::wire::{Wire, instant};
use crate::icmp::{Icmp, IcmpError};
use crate::segment::{Flow, Segment, udp_datagram};
use crate::{HostId, PlaneEvent, SocketError, SocketId};

/// `net.ipv4.ip_local_port_range`.
const EPHEMERAL: std::ops::RangeInclusive<u16> = 32768..=60999;

/// What a stack did.
#[derive(Debug, Default)]
pub(crate) struct Reaction {
    pub(crate) events: Vec<PlaneEvent>,
    /// Packets that it sent, in order.
    pub(crate) packets: Vec<Vec<u8>>,
    /// The TCP sockets that ran, and when each wants to run again (`None`: not of its own accord).
    pub(crate) timers: Vec<(SocketId, Option<SimTime>)>,
}

/// The stack.
pub(crate) struct Stack {
    host: HostId,
    addresses: Vec<IpAddr>,
    mtu: usize,
    interface: Interface,
    wire: Wire,
    connections: BTreeMap<u32, Connection>,
    /// The connection of every TCP flow.
    flows: BTreeMap<Flow, u32>,
    tcp_listeners: BTreeSet<u16>,
    /// UDP sockets by port.
    endpoints: BTreeMap<u16, Endpoint>,
    /// Port of every UDP socket.
    endpoint_ports: BTreeMap<u32, u16>,
    next_serial: u32,
    next_port: u16,
}

impl Stack {
    pub(crate) fn new(host: HostId, addresses: Vec<IpAddr>, mtu: usize, random_seed: u64) -> Self {
        let mut wire = Wire::new(mtu);
        let interface = wire.interface(random_seed);
        Self {
            host,
            addresses,
            mtu,
            interface,
            wire,
            connections: BTreeMap::new(),
            flows: BTreeMap::new(),
            tcp_listeners: BTreeSet::new(),
            endpoints: BTreeMap::new(),
            endpoint_ports: BTreeMap::new(),
            next_serial: 0,
            next_port: *EPHEMERAL.start(),
        }
    }

    /// The number of sockets, listening TCP ports not counted.
    pub(crate) fn socket_count(&self) -> usize {
        self.connections.len() + self.endpoints.len()
    }

    pub(crate) fn listens(&self, protocol: Protocol, port: u16) -> bool {
        match protocol {
            Protocol::TCP => self.tcp_listeners.contains(&port),
            Protocol::UDP => self.endpoints.contains_key(&port),
            _ => false,
        }
    }

    pub(crate) fn listen(&mut self, protocol: Protocol, port: u16) -> Result<(), ListenError> {
        may_listen(protocol, port, self.listens(protocol, port))?;
        if protocol == Protocol::TCP {
            self.tcp_listeners.insert(port);
        } else {
            self.add_endpoint(port, None);
        }
        Ok(())
    }

    /// Connections that stand go on.
    pub(crate) fn unlisten(&mut self, protocol: Protocol, port: u16) {
        match protocol {
            Protocol::TCP => {
                self.tcp_listeners.remove(&port);
            }
            Protocol::UDP => {
                if let Some(endpoint) = self.endpoints.remove(&port) {
                    self.endpoint_ports.remove(&endpoint.id().serial);
                }
            }
            _ => {}
        }
    }

    /// Whether a socket is a TCP connection, which acts when it is run.
    pub(crate) fn is_connection(&self, socket: SocketId) -> bool {
        self.connections.contains_key(&socket.serial)
    }

    /// Begins a TCP connection; the SYN leaves when the connection is run.
    pub(crate) fn connect(
        &mut self,
        now: SimTime,
        remote: SocketAddr,
    ) -> (SocketId, Result<(), SocketError>) {
        let id = self.next_socket();
        let begun = self.client_flow(remote).and_then(|flow| {
            let connection = Connection::connect(id, flow, now, &mut self.interface)
                .map_err(|_| SocketError::Unreachable)?;
            self.connections.insert(id.serial, connection);
            self.flows.insert(flow, id.serial);
            Ok(())
        });
        (id, begun)
    }

    /// A UDP socket at a free port; `Err` when there is none.
    pub(crate) fn udp_socket(
        &mut self,
        remote: Option<SocketAddr>,
    ) -> (SocketId, Result<(), SocketError>) {
        match self.free_port(|stack, port| !stack.endpoints.contains_key(&port)) {
            Some(port) => (self.add_endpoint(port, remote), Ok(())),
            None => (self.next_socket(), Err(SocketError::PortsExhausted)),
        }
    }

    /// Queues bytes on a connection, or sends a datagram of a connected UDP socket at once.
    pub(crate) fn send(
        &mut self,
        now: SimTime,
        socket: SocketId,
        bytes: &[u8],
    ) -> Result<Reaction, SendError> {
        if let Some(connection) = self.connections.get_mut(&socket.serial) {
            if !connection.may_send() {
                return Err(SendError::Closed);
            }
            connection.send(bytes);
            return Ok(Reaction::default());
        }
        let endpoint = self.endpoint(socket).ok_or(SendError::Closed)?;
        let remote = endpoint.remote().ok_or(SendError::Destination)?;
        self.send_datagram(now, socket, remote, bytes)
    }

    /// Sends a datagram at once. Its source is the host's primary address of the family, as for a Linux socket
    /// that is bound to no address.
    pub(crate) fn send_to(
        &mut self,
        now: SimTime,
        socket: SocketId,
        to: SocketAddr,
        bytes: &[u8],
    ) -> Result<Reaction, SendError> {
        if self.connections.contains_key(&socket.serial) {
            return Err(SendError::Destination);
        }
        self.send_datagram(now, socket, to, bytes)
    }

    /// Closes a connection after what it has queued, or a UDP socket at once.
    pub(crate) fn close(&mut self, socket: SocketId) {
        match self.connections.get_mut(&socket.serial) {
            Some(connection) => connection.close(),
            None => self.close_endpoint(socket),
        }
    }

    /// Resets a connection, or closes a UDP socket.
    pub(crate) fn abort(&mut self, socket: SocketId) {
        match self.connections.get_mut(&socket.serial) {
            Some(connection) => connection.abort(),
            None => self.close_endpoint(socket),
        }
    }

    /// Where a socket is bound. A UDP socket without a remote end is bound to no address (`0.0.0.0`).
    pub(crate) fn local_address(&self, socket: SocketId) -> Option<SocketAddr> {
        if let Some(connection) = self.connections.get(&socket.serial) {
            return Some(connection.flow().local);
        }
        let endpoint = self.endpoint(socket)?;
        let address = match endpoint.remote() {
            Some(remote) => self.source_for(remote.ip())?,
            None => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        };
        Some(SocketAddr::new(address, endpoint.port()))
    }

    /// The other end of a socket.
    pub(crate) fn peer_address(&self, socket: SocketId) -> Option<SocketAddr> {
        match self.connections.get(&socket.serial) {
            Some(connection) => Some(connection.flow().remote),
            None => self.endpoint(socket)?.remote(),
        }
    }

    /// Lets a connection do what it can without a packet.
    pub(crate) fn run(&mut self, now: SimTime, socket: SocketId) -> Reaction {
        self.run_connection(now, socket.serial, Cause::Timer)
    }

    /// Takes in a packet that was routed to this host.
    pub(crate) fn receive(&mut self, now: SimTime, packet: Vec<u8>) -> Reaction {
        match Icmp::parse(&packet) {
            Some(Icmp::Error(error)) => return self.fail(error),
            Some(Icmp::Ignored) => return Reaction::default(),
            None => {}
        }
        let Some(segment) = Segment::parse(&packet) else {
            return self.receive_stray(now, packet);
        };
        match segment.flow.protocol {
            Protocol::TCP => self.receive_tcp(now, segment, packet),
            _ => self.receive_udp(now, segment, packet),
        }
    }

    /// What a host with this stack's listeners answers to a packet that begins something. Called on a fresh
    /// stand-in, because a stack cannot be copied. A UDP application answers with an empty datagram.
    pub(crate) fn answer(
        &mut self,
        original: Option<&Self>,
        now: SimTime,
        packet: Vec<u8>,
    ) -> Option<Vec<u8>> {
        if let Some(original) = original {
            self.tcp_listeners.clone_from(&original.tcp_listeners);
            let datagram = Segment::parse(&packet).map(|segment| segment.flow);
            let takes = |flow: &Flow| {
                let endpoint = original.endpoints.get(&flow.local.port());
                endpoint.is_some_and(|endpoint| endpoint.takes(*flow))
            };
            if let Some(flow) = datagram.filter(takes) {
                return udp_datagram(flow.local, flow.remote, &[]).ok();
            }
        }
        self.receive(now, packet).packets.into_iter().next()
    }

    fn receive_tcp(&mut self, now: SimTime, segment: Segment, packet: Vec<u8>) -> Reaction {
        let known = self.flows.get(&segment.flow).copied();
        let Some(serial) = known.or_else(|| self.accept(now, segment)) else {
            return self.receive_stray(now, packet);
        };
        let reset = segment.flags.rst;
        self.run_connection(now, serial, Cause::Arrival { packet, reset })
    }

    fn receive_udp(&mut self, now: SimTime, segment: Segment, packet: Vec<u8>) -> Reaction {
        let endpoint = self
            .endpoints
            .get_mut(&segment.flow.local.port())
            .filter(|endpoint| endpoint.takes(segment.flow));
        let Some(endpoint) = endpoint else {
            return self.receive_stray(now, packet);
        };
        let events = endpoint.receive(now, packet, &mut self.interface, &mut self.wire);
        Reaction {
            events,
            packets: std::mem::take(&mut self.wire.outgoing),
            timers: Vec::new(),
        }
    }

    /// What no socket takes smoltcp answers: echo replies, resets, port unreachable.
    fn receive_stray(&mut self, now: SimTime, packet: Vec<u8>) -> Reaction {
        self.wire.incoming = Some(packet);
        let mut none = SocketSet::new(Vec::new());
        self.interface.poll(instant(now), &mut self.wire, &mut none);
        Reaction {
            packets: std::mem::take(&mut self.wire.outgoing),
            ..Reaction::default()
        }
    }

    fn accept(&mut self, now: SimTime, segment: Segment) -> Option<u32> {
        let Segment { flow, flags } = segment;
        let first = flags.syn && !flags.ack && !flags.rst;
        if !first || flow.remote.port() == 0 || !self.tcp_listeners.contains(&flow.local.port()) {
            return None;
        }
        let id = self.next_socket();
        let connection = Connection::accept(id, flow, now)?;
        self.connections.insert(id.serial, connection);
        self.flows.insert(flow, id.serial);
        Some(id.serial)
    }

    fn run_connection(&mut self, now: SimTime, serial: u32, cause: Cause) -> Reaction {
        let Some(connection) = self.connections.get_mut(&serial) else {
            return Reaction::default();
        };
        let progress = connection.run(now, cause, &mut self.interface, &mut self.wire);
        let next = match progress.finished {
            true => None,
            false => connection.next_run(now, &mut self.interface),
        };
        if progress.finished {
            self.forget(serial);
        }
        let socket = SocketId {
            host: self.host,
            serial,
        };
        Reaction {
            events: progress.events,
            packets: std::mem::take(&mut self.wire.outgoing),
            timers: vec![(socket, next)],
        }
    }

    /// Tells the socket that sent the quoted packet.
    fn fail(&mut self, IcmpError { flow, error }: IcmpError) -> Reaction {
        let mut reaction = Reaction::default();
        if let Some(serial) = self.flows.get(&flow).copied() {
            let connection = self.connections.get(&serial);
            if connection.is_some_and(Connection::fails_on_icmp) {
                let was_client = connection.is_some_and(Connection::is_client);
                let socket = SocketId {
                    host: self.host,
                    serial,
                };
                self.forget(serial);
                reaction.timers.push((socket, None));
                if was_client {
                    reaction.events.push(PlaneEvent::Failed { socket, error });
                }
            }
        } else if let Some(endpoint) = self.endpoints.get(&flow.local.port())
            && endpoint.takes(flow)
        {
            let socket = endpoint.id();
            reaction.events.push(PlaneEvent::Failed { socket, error });
        }
        reaction
    }

    fn forget(&mut self, serial: u32) {
        if let Some(connection) = self.connections.remove(&serial) {
            self.flows.remove(&connection.flow());
        }
    }

    fn send_datagram(
        &mut self,
        now: SimTime,
        socket: SocketId,
        to: SocketAddr,
        bytes: &[u8],
    ) -> Result<Reaction, SendError> {
        let most = self.mtu - if to.is_ipv4() { 28 } else { 48 };
        if bytes.len() > most {
            let bytes = bytes.len();
            return Err(SendError::TooLong { bytes, most });
        }
        let source = self.source_for(to.ip()).filter(|_| is_sendable(to));
        let port = self
            .endpoint_ports
            .get(&socket.serial)
            .ok_or(SendError::Closed)?;
        let endpoint = self.endpoints.get_mut(port).ok_or(SendError::Closed)?;
        let source = source.ok_or(SendError::Unreachable)?;
        endpoint.send(now, source, to, bytes, &mut self.interface, &mut self.wire);
        Ok(Reaction {
            packets: std::mem::take(&mut self.wire.outgoing),
            ..Reaction::default()
        })
    }

    fn endpoint(&self, socket: SocketId) -> Option<&Endpoint> {
        self.endpoints.get(self.endpoint_ports.get(&socket.serial)?)
    }

    fn add_endpoint(&mut self, port: u16, remote: Option<SocketAddr>) -> SocketId {
        let id = self.next_socket();
        self.endpoints
            .insert(port, Endpoint::new(id, port, remote, self.mtu));
        self.endpoint_ports.insert(id.serial, port);
        id
    }

    fn close_endpoint(&mut self, socket: SocketId) {
        if let Some(port) = self.endpoint_ports.remove(&socket.serial) {
            self.endpoints.remove(&port);
        }
    }

    fn next_socket(&mut self) -> SocketId {
        let serial = self.next_serial;
        self.next_serial = serial
            .checked_add(1)
            .expect("a host makes fewer than 2^32 sockets");
        SocketId {
            host: self.host,
            serial,
        }
    }

    /// A flow to `remote` that no socket has yet.
    fn client_flow(&mut self, remote: SocketAddr) -> Result<Flow, SocketError> {
        let source = self.source_for(remote.ip()).filter(|_| is_sendable(remote));
        let source = source.ok_or(SocketError::Unreachable)?;
        let flow = |port| Flow {
            protocol: Protocol::TCP,
            local: SocketAddr::new(source, port),
            remote,
        };
        self.free_port(|stack, port| {
            !stack.tcp_listeners.contains(&port) && !stack.flows.contains_key(&flow(port))
        })
        .map(flow)
        .ok_or(SocketError::PortsExhausted)
    }

    /// The next ephemeral port that is free, in turn: a port rests as long as possible before it is used again.
    fn free_port(&mut self, is_free: impl Fn(&Self, u16) -> bool) -> Option<u16> {
        for _ in EPHEMERAL {
            let port = self.next_port;
            self.next_port = if port == *EPHEMERAL.end() {
                *EPHEMERAL.start()
            } else {
                port + 1
            };
            if is_free(self, port) {
                return Some(port);
            }
        }
        None
    }

    /// The address that packets to `remote` come from: the primary one of its family.
    fn source_for(&self, remote: IpAddr) -> Option<IpAddr> {
        if remote.is_loopback() {
            return Some(match remote {
                IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
                IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
            });
        }
        let same_family = |address: &&IpAddr| address.is_ipv4() == remote.is_ipv4();
        self.addresses.iter().find(same_family).copied()
    }
}

/// Whether a host may listen at a port where something does already, or not.
pub(crate) fn may_listen(protocol: Protocol, port: u16, in_use: bool) -> Result<(), ListenError> {
    match protocol {
        _ if port == 0 => Err(ListenError::PortZero),
        Protocol::TCP | Protocol::UDP if in_use => Err(ListenError::InUse { protocol, port }),
        Protocol::TCP | Protocol::UDP => Ok(()),
        _ => Err(ListenError::Unsupported { protocol }),
    }
}

/// smoltcp asserts that destinations are unicast.
fn is_sendable(to: SocketAddr) -> bool {
    IpAddress::from(to.ip()).is_unicast() && to.port() != 0
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::segment::{tcp_syn, udp_datagram};

    fn listening_stack() -> Stack {
        let addresses = vec!["10.0.0.2".parse().unwrap(), "fd00::2".parse().unwrap()];
        let mut stack = Stack::new(HostId(0), addresses, 1500, 7);
        stack.listen(Protocol::TCP, 80).unwrap();
        stack.listen(Protocol::UDP, 53).unwrap();
        stack
    }

    fn some_packet(v6: bool, tcp: bool, port: u16) -> Vec<u8> {
        let [from, to]: [SocketAddr; 2] = match v6 {
            false => [format!("10.0.0.1:{port}"), format!("10.0.0.2:{port}")],
            true => [format!("[fd00::1]:{port}"), format!("[fd00::2]:{port}")],
        }
        .map(|end| end.parse().unwrap());
        match tcp {
            true => tcp_syn(from, to),
            false => udp_datagram(from, to, b"hello"),
        }
        .unwrap()
    }

    #[test]
    fn closed_udp_port_is_unreachable_in_both_families() {
        for v6 in [false, true] {
            let packet = some_packet(v6, false, 54);
            let sent = Segment::parse(&packet).unwrap().flow;
            let [answer] = &listening_stack().receive(SimTime::ZERO, packet).packets[..] else {
                panic!("one answer");
            };
            let Some(Icmp::Error(heard)) = Icmp::parse(answer) else {
                panic!("an ICMP error");
            };
            assert_eq!(heard.error, SocketError::Refused);
            assert_eq!(
                (heard.flow.local, heard.flow.remote),
                (sent.remote, sent.local)
            );
        }
    }

    #[test]
    fn ports_are_used_in_turn() {
        let mut stack = listening_stack();
        let remote = "10.0.0.1:80".parse().unwrap();
        let port_of = |stack: &mut Stack| {
            let (socket, begun) = stack.connect(SimTime::ZERO, remote);
            assert_eq!(begun, Ok(()));
            let port = stack.local_address(socket).unwrap().port();
            stack.abort(socket);
            stack.run(SimTime::ZERO, socket);
            port
        };
        let ports: Vec<u16> = (0..28_233).map(|_| port_of(&mut stack)).collect();
        assert_eq!(
            (ports[0], ports[28_231], ports[28_232]),
            (32_768, 60_999, 32_768)
        );
    }

    #[test]
    fn ports_run_out() {
        let mut stack = listening_stack();
        let remote = "10.0.0.1:80".parse().unwrap();
        for _ in EPHEMERAL {
            assert_eq!(stack.udp_socket(Some(remote)).1, Ok(()));
        }
        assert_eq!(stack.udp_socket(None).1, Err(SocketError::PortsExhausted));
    }

    proptest! {
        /// Whatever arrives, the stack neither panics nor stops answering others.
        #[test]
        fn hostile_packets_do_no_harm(
            v6: bool,
            tcp: bool,
            port in prop_oneof![Just(80_u16), Just(53), any::<u16>()],
            damage in prop::collection::vec((0_usize..64, any::<u8>()), 0..6),
            cut in 0_usize..80,
        ) {
            let mut stack = listening_stack();
            let mut packet = some_packet(v6, tcp, port);
            for (at, byte) in damage {
                if let Some(place) = packet.get_mut(at) {
                    *place = byte;
                }
            }
            packet.truncate(cut.max(1));
            stack.receive(SimTime::ZERO, packet);
            let good = tcp_syn("10.0.0.9:9".parse().unwrap(), "10.0.0.2:80".parse().unwrap());
            let good = good.unwrap();
            prop_assert!(!stack.receive(SimTime::ZERO, good).packets.is_empty());
        }

        #[test]
        fn random_bytes_do_no_harm(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            listening_stack().receive(SimTime::ZERO, bytes);
        }
    }
}
