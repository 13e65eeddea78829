//! The device under the stacks, which use it in turn: one packet in, any number out.

use std::net::{Ipv4Addr, Ipv6Addr};

use base::SimTime;
use smoltcp::iface::{Config, Interface};
use smoltcp::phy::{Checksum, Device, DeviceCapabilities, Medium, RxToken, TxToken};
use smoltcp::time::Instant;
use smoltcp::wire::HardwareAddress;

/// What lies between the stack that runs and its node.
#[derive(Debug)]
pub(super) struct Wire {
    mtu: usize,
    /// The last packet that came.
    incoming: Vec<u8>,
    /// Whether the next poll receives it.
    has_come: bool,
    /// What polls have sent, in order.
    pub(super) outgoing: Vec<Vec<u8>>,
    /// The memory of packets that came, for those that go.
    spares: Vec<Vec<u8>>,
}

/// A wire keeps the memory of no more packets than that. A stack that runs takes one and sends some: an answer, or a window
/// of segments. More only gather where more come than go.
const PACKETS_KEPT: usize = 64;

impl Wire {
    pub(super) const fn new(mtu: usize) -> Self {
        Self {
            mtu,
            incoming: Vec::new(),
            has_come: false,
            outgoing: Vec::new(),
            spares: Vec::new(),
        }
    }

    /// Has the next poll receive a packet.
    pub(super) fn deliver(&mut self, packet: Vec<u8>) {
        let before = std::mem::replace(&mut self.incoming, packet);
        if self.spares.len() < PACKETS_KEPT {
            self.spares.push(before);
        }
        self.has_come = true;
    }

    /// Whether there is something to receive.
    pub(super) const fn has_come(&self) -> bool {
        self.has_come
    }

    /// Whether there is nothing to receive and nothing that was sent.
    pub(super) fn is_clear(&self) -> bool {
        !self.has_come && self.outgoing.is_empty()
    }

    /// An interface on this wire that takes packets for any address: whoever delivers a packet has found out
    /// already whose it is, and smoltcp holds two addresses at most. The default routes lead nowhere in
    /// particular; without them smoltcp refuses to send.
    pub(super) fn interface(&mut self, random_seed: u64) -> Interface {
        let mut config = Config::new(HardwareAddress::Ip);
        config.random_seed = random_seed;
        let mut interface = Interface::new(config, self, Instant::ZERO);
        interface.set_any_ip(true);
        let routes = interface.routes_mut();
        routes
            .add_default_ipv4_route(Ipv4Addr::UNSPECIFIED)
            .expect("a fresh routing table has room for two routes");
        routes
            .add_default_ipv6_route(Ipv6Addr::UNSPECIFIED)
            .expect("a fresh routing table has room for two routes");
        interface
    }
}

/// smoltcp counts microseconds; what lies between two of them counts as the earlier one.
pub(super) fn instant(now: SimTime) -> Instant {
    Instant::from_micros(i64::try_from(now.as_micros()).unwrap_or(i64::MAX))
}

/// The instant at which a smoltcp timer fires.
pub(super) fn sim_time(instant: Instant) -> SimTime {
    let micros = u64::try_from(instant.total_micros()).unwrap_or(0);
    SimTime::from_nanos(micros.saturating_mul(1_000))
}

impl Device for Wire {
    type RxToken<'a> = Received<'a>;
    type TxToken<'a> = Sending<'a>;

    fn receive(&mut self, _timestamp: Instant) -> Option<(Received<'_>, Sending<'_>)> {
        if !std::mem::take(&mut self.has_come) {
            return None;
        }
        let sending = Sending {
            outgoing: &mut self.outgoing,
            spares: &mut self.spares,
        };
        Some((Received(&self.incoming), sending))
    }

    fn transmit(&mut self, _timestamp: Instant) -> Option<Sending<'_>> {
        Some(Sending {
            outgoing: &mut self.outgoing,
            spares: &mut self.spares,
        })
    }

    /// Checksums are written, as captures show them. Nothing damages a packet, so only a mistake of ours would make one
    /// wrong: hosts read them where mistakes are looked for. Linux does not read them on virtual links either.
    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ip;
        capabilities.max_transmission_unit = self.mtu;
        if !cfg!(debug_assertions) {
            let checksum = &mut capabilities.checksum;
            (checksum.ipv4, checksum.tcp, checksum.udp) =
                (Checksum::Tx, Checksum::Tx, Checksum::Tx);
        }
        capabilities
    }
}

pub(super) struct Received<'a>(&'a [u8]);

impl RxToken for Received<'_> {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        f(self.0)
    }
}

pub(super) struct Sending<'a> {
    outgoing: &'a mut Vec<Vec<u8>>,
    spares: &'a mut Vec<Vec<u8>>,
}

impl TxToken for Sending<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, f: F) -> R {
        let mut packet = self.spares.pop().unwrap_or_default();
        packet.clear();
        packet.resize(len, 0);
        let result = f(&mut packet);
        self.outgoing.push(packet);
        result
    }
}
