//! Address families and transport protocols, as rules name them.

use std::fmt;
use std::net::IpAddr;

/// An address family. Plans and rulesets are per family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Family {
    /// IPv4: `iptables`, nft family `ip`.
    V4,
    /// IPv6: `ip6tables`, nft family `ip6`.
    V6,
}

impl Family {
    /// Both families, in the order in which they are programmed.
    pub const ALL: [Self; 2] = [Self::V4, Self::V6];

    /// The family of an address.
    #[must_use]
    pub const fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(_) => Self::V4,
            IpAddr::V6(_) => Self::V6,
        }
    }

    /// The bits of a full-length prefix.
    #[must_use]
    pub const fn address_bits(self) -> u8 {
        match self {
            Self::V4 => 32,
            Self::V6 => 128,
        }
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::V4 => "IPv4",
            Self::V6 => "IPv6",
        })
    }
}

/// A transport protocol by its IP protocol number; prints as `iptables` and `nft` spell it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Protocol(pub u8);

impl Protocol {
    /// ICMP for IPv4.
    pub const ICMP: Self = Self(1);
    /// TCP.
    pub const TCP: Self = Self(6);
    /// UDP.
    pub const UDP: Self = Self(17);
    /// ICMP for IPv6.
    pub const ICMPV6: Self = Self(58);
    /// SCTP.
    pub const SCTP: Self = Self(132);

    const NAMES: [(Self, &str); 5] = [
        (Self::ICMP, "icmp"),
        (Self::TCP, "tcp"),
        (Self::UDP, "udp"),
        (Self::ICMPV6, "ipv6-icmp"),
        (Self::SCTP, "sctp"),
    ];

    /// More names of `/etc/protocols`. They are read, and print as numbers.
    const OTHER_NAMES: [(Self, &str); 19] = [
        (Self(0), "ip"),
        (Self(2), "igmp"),
        (Self(4), "ipencap"),
        (Self(4), "ipip"),
        (Self(33), "dccp"),
        (Self(41), "ipv6"),
        (Self(47), "gre"),
        (Self(50), "esp"),
        (Self(50), "ipv6-crypt"),
        (Self(51), "ah"),
        (Self(58), "icmpv6"),
        (Self(88), "eigrp"),
        (Self(89), "ospf"),
        (Self(103), "pim"),
        (Self(108), "ipcomp"),
        (Self(112), "vrrp"),
        (Self(115), "l2tp"),
        (Self(135), "mh"),
        (Self(136), "udplite"),
    ];

    /// Reads a name (in any case) or a number.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut names = Self::NAMES.iter().chain(&Self::OTHER_NAMES);
        match names.find(|(_, name)| name.eq_ignore_ascii_case(text)) {
            Some((protocol, _)) => Some(*protocol),
            None => text.parse().ok().map(Self),
        }
    }

    /// Whether its header starts with a source and a destination port.
    #[must_use]
    pub const fn has_ports(self) -> bool {
        matches!(self, Self::TCP | Self::UDP | Self::SCTP)
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match Self::NAMES.iter().find(|(protocol, _)| protocol == self) {
            Some((_, name)) => f.pad(name),
            None => write!(f, "{}", self.0),
        }
    }
}
