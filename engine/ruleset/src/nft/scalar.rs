//! Values and their types.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

use super::{AddressType, CtStates, TcpFlags};
use crate::{Family, Protocol};

/// The type of one part of a set's key or a map's data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DataType {
    /// `ipv4_addr`
    Ipv4Addr,
    /// `ipv6_addr`
    Ipv6Addr,
    /// `inet_proto`
    InetProto,
    /// `inet_service`: a port.
    InetService,
    /// `mark`
    Mark,
    /// `ifname`
    Ifname,
    /// `nf_proto`
    NfProto,
    /// `icmp_type`
    IcmpType,
    /// `icmpv6_type`
    Icmpv6Type,
    /// `ct_state`
    CtState,
    /// `fib_addrtype`
    FibAddrType,
    /// `pkt_type`
    PktType,
    /// What `numgen` makes. It has no name: a set of such keys is declared with `typeof`.
    Integer,
}

/// One value. Ranges and networks stand only in interval sets, anonymous sets and matches.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scalar {
    /// An IPv4 address.
    V4(Ipv4Addr),
    /// An IPv6 address.
    V6(Ipv6Addr),
    /// A network, truncated to its prefix; a full-length prefix is an address instead.
    Net(IpNet),
    /// An inclusive range of addresses of one family. Boxed because it is rare and big.
    AddressRange(Box<(IpAddr, IpAddr)>),
    /// An IP protocol.
    Proto(Protocol),
    /// A port.
    Port(u16),
    /// An inclusive range of ports.
    PortRange(u16, u16),
    /// A packet's or a connection's mark.
    Mark(u32),
    /// An inclusive range of marks.
    MarkRange(u32, u32),
    /// A plain number, such as `numgen` makes.
    Number(u32),
    /// An interface, by name or by the start of one.
    Ifname(Ifname),
    /// `meta nfproto`
    NfProto(Family),
    /// An ICMP type.
    IcmpType(u8),
    /// An ICMPv6 type.
    Icmpv6Type(u8),
    /// A set of TCP flags.
    TcpFlags(TcpFlags),
    /// A set of connection states, out of invalid, new, related, established and untracked: translation is
    /// a [`CtStatus`] here.
    CtState(CtStates),
    /// A set of connection status bits.
    CtStatus(CtStatus),
    /// A direction of a connection.
    Direction(Direction),
    /// What an address is to the node.
    AddressType(AddressType),
    /// To whom the link layer sent the packet.
    PacketType(PacketType),
}

impl Scalar {
    /// An address of either family.
    #[must_use]
    pub const fn address(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(address) => Self::V4(address),
            IpAddr::V6(address) => Self::V6(address),
        }
    }

    /// A network, or an address when its prefix has full length.
    #[must_use]
    pub fn net(net: IpNet) -> Self {
        if net.prefix_len() == net.max_prefix_len() {
            Self::address(net.addr())
        } else {
            Self::Net(net.trunc())
        }
    }

    /// The address, if it is one.
    #[must_use]
    pub const fn as_address(&self) -> Option<IpAddr> {
        match self {
            Self::V4(address) => Some(IpAddr::V4(*address)),
            Self::V6(address) => Some(IpAddr::V6(*address)),
            _ => None,
        }
    }
}

impl From<IpAddr> for Scalar {
    fn from(address: IpAddr) -> Self {
        Self::address(address)
    }
}

impl From<Protocol> for Scalar {
    fn from(protocol: Protocol) -> Self {
        Self::Proto(protocol)
    }
}

/// An interface's name of at most 15 bytes; a final `*` stands for any that starts so. Neither `"` nor blanks nor
/// control characters are in it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ifname(Box<str>);

impl Ifname {
    /// Checks and takes a name; `None` when no interface can have it.
    #[must_use]
    pub fn new(name: &str) -> Option<Self> {
        let is_bad = |c: char| c.is_whitespace() || c.is_control() || "\"/\\".contains(c);
        let stem = name.strip_suffix('*').unwrap_or(name);
        let is_good = !name.is_empty() && stem.len() <= 15 && !name.contains(is_bad);
        (is_good && !stem.contains('*')).then(|| Self(name.into()))
    }

    /// The name, with its `*`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether an interface of this name is meant.
    #[must_use]
    pub fn matches(&self, name: &str) -> bool {
        match self.0.strip_suffix('*') {
            Some(stem) => name.starts_with(stem),
            None => *self.0 == *name,
        }
    }
}

impl fmt::Debug for Ifname {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Status bits of a connection, as `enum ip_conntrack_status` numbers them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CtStatus(pub u32);

impl CtStatus {
    /// Announced by a helper.
    pub const EXPECTED: Self = Self(1);
    /// Has had a reply.
    pub const SEEN_REPLY: Self = Self(2);
    /// Not to be thrown out early.
    pub const ASSURED: Self = Self(4);
    /// Its first packet has left.
    pub const CONFIRMED: Self = Self(8);
    /// Its source is translated.
    pub const SNAT: Self = Self(16);
    /// Its destination is translated.
    pub const DNAT: Self = Self(32);
    /// On its way out.
    pub const DYING: Self = Self(512);

    /// Whether the two share a bit.
    #[must_use]
    pub const fn intersects(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }
}

/// A direction of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Direction {
    /// That of its first packet.
    Original,
    /// The other.
    Reply,
}

impl Direction {
    /// Both, in their order.
    pub const ALL: [Self; 2] = [Self::Original, Self::Reply];
}

/// To whom the link layer sent a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PacketType {
    /// This node: `host`, also written `unicast`.
    Host,
    /// Everybody on the link.
    Broadcast,
    /// A group.
    Multicast,
    /// Somebody else.
    Other,
}

impl PacketType {
    /// All, in their order.
    pub const ALL: [Self; 4] = [Self::Host, Self::Broadcast, Self::Multicast, Self::Other];
}
