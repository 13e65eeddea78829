//! What the evaluator must know of the node beside its tables: its addresses, routes and interfaces.
//!
//! Whoever owns the network answers; the evaluator asks once per packet and decision (Linux `ip_route_input`,
//! `ip_route_output`, `inet_addr_type`).

use std::fmt;
use std::net::IpAddr;

use ruleset::nft::Ifname;

/// The name of the loopback interface.
pub const LOOPBACK: &str = "lo";

/// The name of an interface: at most 15 bytes (`IFNAMSIZ` with its terminator), held inline.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct InterfaceName {
    /// The name, zeros, and in the last place its length: compared in one go.
    bytes: [u8; Self::MAX + 1],
}

impl InterfaceName {
    const MAX: usize = 15;

    /// Takes a name; `None` when it is longer than a kernel allows.
    #[must_use]
    pub const fn new(name: &str) -> Option<Self> {
        if name.len() > Self::MAX {
            return None;
        }
        let mut bytes = [0; Self::MAX + 1];
        let (kept, _) = bytes.split_at_mut(name.len());
        kept.copy_from_slice(name.as_bytes());
        bytes[Self::MAX] = name.len() as u8;
        Some(Self { bytes })
    }

    /// A name that is known to be right when the program is written.
    ///
    /// # Panics
    /// When it is too long.
    #[must_use]
    pub const fn literal(name: &'static str) -> Self {
        Self::new(name).expect("a name written in the source is short enough")
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        let name = self.bytes.get(..usize::from(self.bytes[Self::MAX]));
        let text = name.and_then(|name| std::str::from_utf8(name).ok());
        text.expect("it was made from text")
    }
}

impl fmt::Display for InterfaceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for InterfaceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

/// A node's addresses and routes.
pub trait Routing {
    /// Whether the address is one of the node's own. Loopback addresses need not be answered for: they always
    /// are.
    fn is_local(&self, address: IpAddr) -> bool;

    /// The way to an address that is not local; `None` when there is none.
    fn route(&self, destination: IpAddr) -> Option<Hop>;

    /// Whether a packet may be too big for some way at all; if not, nobody need ask [`mtu`](Self::mtu). As long as one
    /// may, every packet that is forwarded takes the long way.
    fn has_narrow_ways(&self) -> bool {
        true
    }

    /// The largest packet that may leave by an interface towards the packet's destination, where that is less than any
    /// packet is long.
    fn mtu(&self, _interface: InterfaceName, _packet: &[u8]) -> Option<usize> {
        None
    }

    /// Whether the interface by which packets arrive is only assumed, so that a rule about another one may be in
    /// doubt.
    fn assumes_arrival(&self) -> bool {
        false
    }

    /// Whether the interface by which packets leave for an address is only assumed.
    fn assumes_way(&self, _destination: IpAddr) -> bool {
        false
    }

    /// Whether it is known which packets go by an interface (or by those whose names start so): a rule about it is
    /// never in doubt.
    fn places(&self, _interface: &Ifname) -> bool {
        true
    }
}

/// One step of a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hop {
    /// The outgoing interface.
    pub interface: InterfaceName,
    /// That interface's address of the destination's family: what a masqueraded connection comes from.
    pub source_address: IpAddr,
}

/// Where a packet enters the node's hooks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ingress<'a> {
    /// It arrived at this interface: prerouting first.
    Interface(&'a str),
    /// The node itself made it: output first.
    Local,
}
