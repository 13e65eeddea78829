//! What tells one flow from another: addresses, protocol, and ports or an echo identifier.
//!
//! **What.** A [`Tuple`] is one direction of a flow as conntrack indexes it. **Why.** Conntrack entries, NAT and
//! traces all speak of flows, never of bytes. **Source of the semantics.** Linux
//! `include/net/netfilter/nf_conntrack_tuple.h`, `nf_ct_invert_tuple`.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::net::{IpAddr, SocketAddr};

use ruleset::{Family, Protocol};

/// One direction of a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Tuple {
    protocol: Protocol,
    source: IpAddr,
    destination: IpAddr,
    key: Key,
}

/// What beside addresses and protocol tells flows apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Key {
    /// TCP, UDP, SCTP.
    Ports { source: u16, destination: u16 },
    /// ICMP echo request or reply, either version.
    Echo { id: u16, reply: bool },
    /// Any other protocol: one flow per pair of addresses (Linux's generic tracker).
    Bare,
}

/// The half of a tuple that a translation changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Source,
    Destination,
}

impl Side {
    pub(crate) const fn other(self) -> Self {
        match self {
            Self::Source => Self::Destination,
            Self::Destination => Self::Source,
        }
    }
}

impl Tuple {
    /// The tuple of a packet from `source` to `destination`, both of one family. The ports of a protocol that
    /// has none do not count.
    #[must_use]
    pub const fn new(protocol: Protocol, source: SocketAddr, destination: SocketAddr) -> Self {
        let key = if protocol.has_ports() {
            Key::Ports {
                source: source.port(),
                destination: destination.port(),
            }
        } else {
            Key::Bare
        };
        Self {
            protocol,
            source: source.ip(),
            destination: destination.ip(),
            key,
        }
    }

    /// The tuple of an ICMP echo request (or reply) of the family of `source`.
    #[must_use]
    pub const fn echo(source: IpAddr, destination: IpAddr, id: u16, reply: bool) -> Self {
        let protocol = match Family::of(source) {
            Family::V4 => Protocol::ICMP,
            Family::V6 => Protocol::ICMPV6,
        };
        Self {
            protocol,
            source,
            destination,
            key: Key::Echo { id, reply },
        }
    }

    /// The transport protocol.
    #[must_use]
    pub const fn protocol(&self) -> Protocol {
        self.protocol
    }

    /// The family of both addresses.
    #[must_use]
    pub const fn family(&self) -> Family {
        Family::of(self.source)
    }

    /// The sender's address.
    #[must_use]
    pub const fn source(&self) -> IpAddr {
        self.source
    }

    /// The receiver's address.
    #[must_use]
    pub const fn destination(&self) -> IpAddr {
        self.destination
    }

    /// The sender's port, where the protocol has ports.
    #[must_use]
    pub const fn source_port(&self) -> Option<u16> {
        match self.key {
            Key::Ports { source, .. } => Some(source),
            Key::Echo { .. } | Key::Bare => None,
        }
    }

    /// The receiver's port, where the protocol has ports.
    #[must_use]
    pub const fn destination_port(&self) -> Option<u16> {
        match self.key {
            Key::Ports { destination, .. } => Some(destination),
            Key::Echo { .. } | Key::Bare => None,
        }
    }

    /// The identifier of an ICMP echo.
    #[must_use]
    pub const fn echo_id(&self) -> Option<u16> {
        match self.key {
            Key::Echo { id, .. } => Some(id),
            Key::Ports { .. } | Key::Bare => None,
        }
    }

    /// Whether this is an ICMP echo reply.
    #[must_use]
    pub const fn is_echo_reply(&self) -> bool {
        matches!(self.key, Key::Echo { reply: true, .. })
    }

    /// The sender's address and port; port 0 where there are none.
    #[must_use]
    pub fn source_socket(&self) -> SocketAddr {
        SocketAddr::new(self.source, self.source_port().unwrap_or(0))
    }

    /// The receiver's address and port; port 0 where there are none.
    #[must_use]
    pub fn destination_socket(&self) -> SocketAddr {
        SocketAddr::new(self.destination, self.destination_port().unwrap_or(0))
    }

    /// The tuple of an answer to a packet of this one.
    #[must_use]
    pub const fn inverse(&self) -> Self {
        let key = match self.key {
            Key::Ports {
                source,
                destination,
            } => Key::Ports {
                source: destination,
                destination: source,
            },
            Key::Echo { id, reply } => Key::Echo { id, reply: !reply },
            Key::Bare => Key::Bare,
        };
        Self {
            protocol: self.protocol,
            source: self.destination,
            destination: self.source,
            key,
        }
    }

    /// The address of one side, and what a translation of that side writes beside it: the port, or the echo's
    /// identifier, which belongs to both sides.
    pub(crate) const fn side(&self, side: Side) -> (IpAddr, Option<u16>) {
        match (side, self.key) {
            (Side::Source, Key::Ports { source, .. }) => (self.source, Some(source)),
            (Side::Destination, Key::Ports { destination, .. }) => {
                (self.destination, Some(destination))
            }
            (Side::Source, Key::Echo { id, .. }) => (self.source, Some(id)),
            (Side::Destination, Key::Echo { id, .. }) => (self.destination, Some(id)),
            (Side::Source, Key::Bare) => (self.source, None),
            (Side::Destination, Key::Bare) => (self.destination, None),
        }
    }

    /// One side of what this tuple answers: the two directions have opposite sides in common.
    pub(crate) const fn answered_side(&self, side: Side) -> (IpAddr, Option<u16>) {
        self.side(side.other())
    }

    /// The same flow from another source; `port` is the identifier for an echo.
    pub(crate) const fn with_source(mut self, address: IpAddr, port: Option<u16>) -> Self {
        self.source = address;
        match (&mut self.key, port) {
            (Key::Ports { source, .. }, Some(port)) => *source = port,
            (Key::Echo { id, .. }, Some(port)) => *id = port,
            (_, None) | (Key::Bare, _) => {}
        }
        self
    }

    /// The same flow to another destination; an echo has no port to change.
    pub(crate) const fn with_destination(mut self, address: IpAddr, port: Option<u16>) -> Self {
        self.destination = address;
        if let (Key::Ports { destination, .. }, Some(port)) = (&mut self.key, port) {
            *destination = port;
        }
        self
    }
}

impl Hash for Tuple {
    /// In one or three words: every packet is looked up by its tuple, and a hasher takes words whole.
    #[inline]
    fn hash<H: Hasher>(&self, state: &mut H) {
        let key = match self.key {
            Key::Ports {
                source,
                destination,
            } => u64::from(source) << 16 | u64::from(destination),
            Key::Echo { id, reply } => 1 << 32 | u64::from(reply) << 16 | u64::from(id),
            Key::Bare => 2 << 32,
        };
        let rest = key << 8 | u64::from(self.protocol.0);
        match (self.source, self.destination) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                let addresses =
                    u64::from(source.to_bits()) << 32 | u64::from(destination.to_bits());
                state.write_u128(u128::from(addresses) << 64 | u128::from(rest));
            }
            (source, destination) => {
                state.write_u128(bits(source));
                state.write_u128(bits(destination));
                state.write_u64(rest);
            }
        }
    }
}

/// An address as a number; both families share the range.
const fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => address.to_bits() as u128,
        IpAddr::V6(address) => address.to_bits(),
    }
}

impl fmt::Display for Tuple {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.key {
            Key::Ports { .. } => write!(
                f,
                "{} {} -> {}",
                self.protocol,
                self.source_socket(),
                self.destination_socket()
            ),
            Key::Echo { id, reply } => write!(
                f,
                "{} {} -> {} echo {} id {id}",
                self.protocol,
                self.source,
                self.destination,
                if reply { "reply" } else { "request" }
            ),
            Key::Bare => write!(
                f,
                "{} {} -> {}",
                self.protocol, self.source, self.destination
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inverse_of_inverse_is_itself() {
        let tcp = Tuple::new(
            Protocol::TCP,
            "10.244.1.5:40000".parse().unwrap(),
            "10.96.0.40:80".parse().unwrap(),
        );
        assert_eq!(tcp.to_string(), "tcp 10.244.1.5:40000 -> 10.96.0.40:80");
        assert_eq!(
            tcp.inverse().to_string(),
            "tcp 10.96.0.40:80 -> 10.244.1.5:40000"
        );
        assert_eq!(tcp.inverse().inverse(), tcp);
        let echo = Tuple::echo(
            "fd00::1".parse().unwrap(),
            "fd00::2".parse().unwrap(),
            7,
            false,
        );
        assert_eq!(
            echo.inverse().to_string(),
            "ipv6-icmp fd00::2 -> fd00::1 echo reply id 7"
        );
        assert_eq!(echo.inverse().inverse(), echo);
    }
}
