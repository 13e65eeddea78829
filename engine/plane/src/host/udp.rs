//! One UDP socket on a host.
//!
//! A socket bound to a remote end (`connect(2)`) takes datagrams from there only. Every socket hears of ICMP
//! errors, as with `IP_RECVERR`: resolvers set it, and a refused datagram should not look like a lost one.

use std::net::{IpAddr, SocketAddr};

use base::SimTime;
use ruleset::Protocol;
use smoltcp::iface::Interface;
use smoltcp::socket::udp::{PacketBuffer, PacketMetadata, Socket, UdpMetadata};
use smoltcp::wire::IpListenEndpoint;

use super::solo::Solo;
use super::wire::{Wire, instant};
use crate::segment::Flow;
use crate::{PlaneEvent, SocketId};

/// A bound socket.
pub(super) struct Endpoint {
    id: SocketId,
    port: u16,
    remote: Option<SocketAddr>,
    /// Its own address, if it is not bound to all of the host's: what it sends comes from there, and it takes what goes there.
    bound: Option<IpAddr>,
    solo: Solo<Socket<'static>>,
}

impl Endpoint {
    /// A socket at a port that is not zero. Buffers hold one datagram of `mtu` bytes: both directions are
    /// emptied whenever something happens.
    pub(super) fn new(
        id: SocketId,
        (port, bound): (u16, Option<IpAddr>),
        remote: Option<SocketAddr>,
        mtu: usize,
    ) -> Self {
        let buffer = || PacketBuffer::new(vec![PacketMetadata::EMPTY; 2], vec![0; mtu]);
        let mut socket = Socket::new(buffer(), buffer());
        socket
            .bind(IpListenEndpoint { addr: None, port })
            .expect("a fresh socket can be bound to a port that is not zero");
        Self {
            id,
            port,
            remote,
            bound,
            solo: Solo::new(socket),
        }
    }

    pub(super) const fn bound(&self) -> Option<IpAddr> {
        self.bound
    }

    pub(super) const fn id(&self) -> SocketId {
        self.id
    }

    pub(super) const fn port(&self) -> u16 {
        self.port
    }

    pub(super) const fn remote(&self) -> Option<SocketAddr> {
        self.remote
    }

    /// Whether a datagram, or an error about one, of this flow is for this socket.
    pub(super) fn takes(&self, flow: Flow) -> bool {
        flow.protocol == Protocol::UDP
            && flow.local.port() == self.port
            && self.bound.is_none_or(|own| own == flow.local.ip())
            && self.remote.is_none_or(|remote| remote == flow.remote)
    }

    /// Sends one datagram at once, onto the wire.
    pub(super) fn send(
        &mut self,
        now: SimTime,
        source: IpAddr,
        to: SocketAddr,
        bytes: &[u8],
        interface: &mut Interface,
        wire: &mut Wire,
    ) {
        let mut meta = UdpMetadata::from(smoltcp::wire::IpEndpoint::from(to));
        meta.local_address = Some(source.into());
        let socket = self.solo.get_mut();
        socket
            .send_slice(bytes, meta)
            .expect("the stack has checked destination and length, and the buffer is empty");
        interface.poll(instant(now), wire, self.solo.set_mut());
    }

    /// Takes in one packet.
    pub(super) fn receive(
        &mut self,
        now: SimTime,
        packet: Vec<u8>,
        interface: &mut Interface,
        wire: &mut Wire,
        events: &mut Vec<PlaneEvent>,
    ) {
        wire.deliver(packet);
        interface.poll(instant(now), wire, self.solo.set_mut());
        let socket = self.solo.get_mut();
        while let Ok((bytes, meta)) = socket.recv() {
            events.push(PlaneEvent::Data {
                socket: self.id,
                bytes: bytes.to_vec(),
                from: Some(SocketAddr::new(
                    meta.endpoint.addr.into(),
                    meta.endpoint.port,
                )),
            });
        }
    }
}
