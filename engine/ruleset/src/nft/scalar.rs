//! Values and their types.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use smallvec::SmallVec;

use super::{AddressType, CtStates, TcpFlags};
use crate::{Family, Protocol};

/// A value of one or more parts: what a set holds, and what a map leads to. (Few have four, and tables hold very many.)
pub type Key = SmallVec<[Scalar; 3]>;

/// Sixteen bytes that sort as keys do, as far as they reach: of two keys with different ones, that with the lower is lower.
#[must_use]
pub fn key_prefix(key: &[Scalar]) -> u128 {
    let mut prefix = Prefix::default();
    for part in key {
        match part {
            Scalar::V4(address) => prefix.push(1, &address.octets()),
            Scalar::V6(address) => prefix.push(2, &address.octets()),
            Scalar::Proto(protocol) => prefix.push(5, &[protocol.0]),
            Scalar::Port(port) => prefix.push(6, &port.to_be_bytes()),
            Scalar::Mark(mark) => prefix.push(8, &mark.to_be_bytes()),
            Scalar::Number(number) => prefix.push(10, &number.to_be_bytes()),
            // What comes behind these does not count before they do.
            Scalar::Net(_) => return prefix.with(3),
            Scalar::AddressRange(_) => return prefix.with(4),
            Scalar::PortRange(..) => return prefix.with(7),
            Scalar::MarkRange(..) => return prefix.with(9),
            Scalar::Ifname(_) => return prefix.with(11),
            Scalar::NfProto(_) => return prefix.with(12),
            Scalar::IcmpType(_) => return prefix.with(13),
            Scalar::Icmpv6Type(_) => return prefix.with(14),
            Scalar::TcpFlags(_) => return prefix.with(15),
            Scalar::CtState(_) => return prefix.with(16),
            Scalar::CtStatus(_) => return prefix.with(17),
            Scalar::Direction(_) => return prefix.with(18),
            Scalar::AddressType(_) => return prefix.with(19),
            Scalar::PacketType(_) => return prefix.with(20),
        }
    }
    u128::from_be_bytes(prefix.bytes)
}

/// The first bytes of a key, each part behind the number of its sort.
#[derive(Default)]
struct Prefix {
    bytes: [u8; 16],
    len: usize,
}

impl Prefix {
    fn push(&mut self, sort: u8, value: &[u8]) {
        let rest = &mut self.bytes[self.len..];
        if let Some((first, rest)) = rest.split_first_mut() {
            *first = sort;
            let len = value.len().min(rest.len());
            rest[..len].copy_from_slice(&value[..len]);
            self.len += 1 + len;
        }
    }

    fn with(mut self, sort: u8) -> u128 {
        self.push(sort, &[]);
        u128::from_be_bytes(self.bytes)
    }
}

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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::CtState;
    use super::*;

    fn scalar() -> impl Strategy<Value = Scalar> {
        let number = || prop_oneof![0..3_u32, Just(255), Just(256), any::<u32>()];
        let v4 = number().prop_map(Ipv4Addr::from);
        let v6 = (number(), number())
            .prop_map(|(high, low)| Ipv6Addr::from(u128::from(high) << 64 | u128::from(low)));
        let range = |(one, other): (Ipv4Addr, Ipv4Addr)| {
            Scalar::AddressRange(Box::new((one.into(), other.into())))
        };
        prop_oneof![
            v4.clone().prop_map(Scalar::V4),
            v6.prop_map(Scalar::V6),
            (v4.clone(), 0..=32_u8)
                .prop_map(|(ip, length)| Scalar::net(IpNet::new(ip.into(), length).unwrap())),
            (v4.clone(), v4).prop_map(range),
            any::<u8>().prop_map(|number| Scalar::Proto(Protocol(number))),
            any::<u16>().prop_map(Scalar::Port),
            (0..3_u16, 0..3_u16).prop_map(|(first, last)| Scalar::PortRange(first, last)),
            number().prop_map(Scalar::Mark),
            (number(), number()).prop_map(|(first, last)| Scalar::MarkRange(first, last)),
            number().prop_map(Scalar::Number),
            rare(),
        ]
    }

    /// What is in no key of a proxy: one or two of each.
    fn rare() -> impl Strategy<Value = Scalar> {
        let ifname = |name| Scalar::Ifname(Ifname::new(name).expect("interfaces can have it"));
        proptest::sample::select(vec![
            ifname("eth0"),
            ifname("veth*"),
            Scalar::NfProto(Family::V4),
            Scalar::NfProto(Family::V6),
            Scalar::IcmpType(3),
            Scalar::IcmpType(8),
            Scalar::Icmpv6Type(1),
            Scalar::TcpFlags(TcpFlags(2)),
            Scalar::CtState(CtStates::of(&[CtState::New])),
            Scalar::CtStatus(CtStatus::SNAT),
            Scalar::Direction(Direction::Original),
            Scalar::Direction(Direction::Reply),
            Scalar::AddressType(AddressType::Local),
            Scalar::PacketType(PacketType::Host),
        ])
    }

    proptest! {
        #[test]
        fn prefixes_sort_as_keys_do(
            start in proptest::collection::vec(scalar(), 0..3),
            one in proptest::collection::vec(scalar(), 0..3),
            other in proptest::collection::vec(scalar(), 0..3),
        ) {
            let key = |rest: Vec<Scalar>| start.iter().cloned().chain(rest).collect::<Key>();
            let (one, other) = (key(one), key(other));
            let prefixes = key_prefix(&one).cmp(&key_prefix(&other));
            prop_assert!(prefixes.is_eq() || prefixes == one.cmp(&other));
        }
    }
}
