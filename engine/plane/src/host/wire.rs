//! The device under a host's stack: one packet in, any number out.

use std::net::{Ipv4Addr, Ipv6Addr};

use base::SimTime;
use smoltcp::iface::{Config, Interface};
use smoltcp::phy::{Device, DeviceCapabilities, Medium, RxToken, TxToken};
use smoltcp::time::Instant;
use smoltcp::wire::HardwareAddress;

/// What lies between a stack and its node.
#[derive(Debug)]
pub(super) struct Wire {
    mtu: usize,
    /// The packet that the next poll receives.
    pub(super) incoming: Option<Vec<u8>>,
    /// What polls have sent, in order.
    pub(super) outgoing: Vec<Vec<u8>>,
}

impl Wire {
    pub(super) const fn new(mtu: usize) -> Self {
        Self {
            mtu,
            incoming: None,
            outgoing: Vec::new(),
        }
    }

    pub(super) const fn mtu(&self) -> usize {
        self.mtu
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
    type RxToken<'a> = Received;
    type TxToken<'a> = Sending<'a>;

    fn receive(&mut self, _timestamp: Instant) -> Option<(Received, Sending<'_>)> {
        let packet = self.incoming.take()?;
        Some((Received(packet), Sending(&mut self.outgoing)))
    }

    fn transmit(&mut self, _timestamp: Instant) -> Option<Sending<'_>> {
        Some(Sending(&mut self.outgoing))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ip;
        capabilities.max_transmission_unit = self.mtu;
        capabilities
    }
}

pub(super) struct Received(Vec<u8>);

impl RxToken for Received {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        f(&self.0)
    }
}

pub(super) struct Sending<'a>(&'a mut Vec<Vec<u8>>);

impl TxToken for Sending<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, f: F) -> R {
        let mut packet = vec![0; len];
        let result = f(&mut packet);
        self.0.push(packet);
        result
    }
}
