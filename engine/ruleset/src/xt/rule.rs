//! One rule: header, extension matches, target.

use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;
use smallvec::SmallVec;

use super::{ChainName, Comment};
use crate::{OriginId, Protocol};

/// A rule. Two rules are equal when they do the same: the origin does not count.
#[derive(Clone, Debug)]
pub struct XtRule {
    /// `-s`
    pub source: Option<AddressMatch>,
    /// `-d`
    pub destination: Option<AddressMatch>,
    /// `-i`
    pub in_interface: Option<InterfaceMatch>,
    /// `-o`
    pub out_interface: Option<InterfaceMatch>,
    /// `-p`; the flag is set for `! -p`.
    pub protocol: Option<(bool, Protocol)>,
    /// `-m …`, in order.
    pub matches: SmallVec<[XtMatch; 2]>,
    /// `-j …` or `-g …`.
    pub target: XtTarget,
    /// Whom the rule serves.
    pub origin: Option<OriginId>,
}

impl XtRule {
    /// A rule that matches every packet.
    #[must_use]
    pub fn new(target: XtTarget) -> Self {
        Self {
            source: None,
            destination: None,
            in_interface: None,
            out_interface: None,
            protocol: None,
            matches: SmallVec::new(),
            target,
            origin: None,
        }
    }

    /// The same rule for sources in `net`, or outside it when negated.
    #[must_use]
    pub fn with_source(mut self, net: IpNet, negated: bool) -> Self {
        self.source = Some(AddressMatch {
            negated,
            net: net.trunc(),
        });
        self
    }

    /// The same rule for destinations in `net`, or outside it when negated.
    #[must_use]
    pub fn with_destination(mut self, net: IpNet, negated: bool) -> Self {
        self.destination = Some(AddressMatch {
            negated,
            net: net.trunc(),
        });
        self
    }

    /// The same rule for one protocol.
    #[must_use]
    pub fn with_protocol(mut self, protocol: Protocol) -> Self {
        self.protocol = Some((false, protocol));
        self
    }

    /// The same rule with one more extension match, after those it has.
    #[must_use]
    pub fn with_match(mut self, one: XtMatch) -> Self {
        self.matches.push(one);
        self
    }

    /// The same rule, made for `origin`.
    #[must_use]
    pub const fn with_origin(mut self, origin: OriginId) -> Self {
        self.origin = Some(origin);
        self
    }
}

impl PartialEq for XtRule {
    fn eq(&self, other: &Self) -> bool {
        (
            &self.source,
            &self.destination,
            &self.in_interface,
            &self.out_interface,
        ) == (
            &other.source,
            &other.destination,
            &other.in_interface,
            &other.out_interface,
        ) && (&self.protocol, &self.matches, &self.target)
            == (&other.protocol, &other.matches, &other.target)
    }
}

impl Eq for XtRule {}

/// `[!] -s 10.0.0.0/8`. The net is kept truncated to its prefix, as the kernel stores it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AddressMatch {
    /// `!`
    pub negated: bool,
    /// Network and prefix length.
    pub net: IpNet,
}

/// `[!] -i veth+`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InterfaceMatch {
    /// `!`
    pub negated: bool,
    /// The name; a final `+` matches any that starts so.
    pub name: Box<str>,
}

/// Inclusive, as `80` or `8000:8080`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PortRange {
    /// First port.
    pub first: u16,
    /// Last port.
    pub last: u16,
    /// `!`
    pub negated: bool,
}

impl PortRange {
    /// One port.
    #[must_use]
    pub const fn one(port: u16) -> Self {
        Self {
            first: port,
            last: port,
            negated: false,
        }
    }
}

/// An extension match.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum XtMatch {
    /// `-m comment --comment`
    Comment(Comment),
    /// `-m tcp|udp|sctp [--sport …] [--dport …]`
    Ports {
        /// Which of the three modules.
        protocol: Protocol,
        /// `--sport`
        source: Option<PortRange>,
        /// `--dport`
        destination: Option<PortRange>,
    },
    /// `-m conntrack [!] --ctstate`
    CtState {
        /// `!`
        negated: bool,
        /// Any of these.
        states: CtStates,
    },
    /// `-m mark [!] --mark value/mask`
    Mark {
        /// `!`
        negated: bool,
        /// Compared with the packet's mark …
        value: u32,
        /// … under this mask.
        mask: u32,
    },
    /// `-m statistic --mode random --probability`
    Random(Probability),
    /// `-m addrtype --src-type|--dst-type`
    AddrType {
        /// `--src-type`; the flag is set for `!`.
        source: Option<(bool, AddressType)>,
        /// `--dst-type`; the flag is set for `!`.
        destination: Option<(bool, AddressType)>,
    },
    /// `-m nfacct --nfacct-name`: counts, always matches. Not every kernel has it.
    NfAcct(Box<str>),
}

/// What an address is to the node (`addrtype`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddressType {
    /// One of the node's own.
    Local,
    /// Another's.
    Unicast,
    /// A broadcast address of a link.
    Broadcast,
    /// A multicast group.
    Multicast,
}

/// A connection-tracking state, as `--ctstate` names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum CtState {
    /// Belongs to no connection.
    Invalid = 1,
    /// Starts one.
    New = 2,
    /// Belongs to one that is related to another (an ICMP error).
    Related = 4,
    /// Belongs to one that has seen packets both ways.
    Established = 8,
    /// Exempted by `notrack`.
    Untracked = 16,
    /// Its connection's source is translated.
    Snat = 32,
    /// Its connection's destination is translated.
    Dnat = 64,
}

/// A set of states.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CtStates(u8);

impl CtStates {
    /// The set of the given states.
    #[must_use]
    pub fn of(states: &[CtState]) -> Self {
        Self(states.iter().fold(0, |bits, state| bits | *state as u8))
    }

    /// Whether a state is in it.
    #[must_use]
    pub const fn contains(self, state: CtState) -> bool {
        self.0 & state as u8 != 0
    }

    /// Whether the two share a state.
    #[must_use]
    pub const fn intersects(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }
}

/// The chance of a random match, as the kernel stores it: a share of 2³¹ (`xt_statistic.h`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Probability(u32);

impl Probability {
    /// Certainty: the denominator of every probability.
    pub const ONE: u32 = 1 << 31;

    /// Takes the kernel's number, at most [`Self::ONE`].
    #[must_use]
    pub const fn from_raw(raw: u32) -> Option<Self> {
        if raw <= Self::ONE {
            Some(Self(raw))
        } else {
            None
        }
    }

    /// One in `n`, rounded to what the kernel would store for the ten decimals that kube-proxy prints
    /// (PROXY-42).
    ///
    /// # Panics
    /// When `n` is zero.
    #[must_use]
    pub fn one_in(n: u32) -> Self {
        assert!(n > 0, "one in zero is no probability");
        // kube-proxy prints %0.10f of 1/n; iptables reads that and rounds to the nearest share of 2^31.
        let decimals = (10_000_000_000_u64 * 2 + u64::from(n)) / (u64::from(n) * 2);
        let scaled = u128::from(decimals) * u128::from(Self::ONE);
        let rounded = (scaled * 2 + 10_000_000_000) / 20_000_000_000;
        Self(u32::try_from(rounded).expect("at most one"))
    }

    /// The share of [`Self::ONE`].
    #[must_use]
    pub const fn raw(self) -> u32 {
        self.0
    }
}

/// `--reject-with`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RejectWith {
    /// `icmp-port-unreachable` / `icmp6-port-unreachable`: a client sees "connection refused".
    PortUnreachable,
    /// `icmp-host-unreachable` / `icmp6-addr-unreachable`
    HostUnreachable,
    /// `icmp-net-unreachable` / `icmp6-no-route`
    NetUnreachable,
    /// `icmp-admin-prohibited` / `icmp6-adm-prohibited`
    AdminProhibited,
    /// `tcp-reset`
    TcpReset,
}

/// What a matching rule does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum XtTarget {
    /// Nothing: it only counts. The next rule follows.
    None,
    /// The packet leaves this table.
    Accept,
    /// The packet is gone.
    Drop,
    /// Back to the calling chain; in a built-in chain, its policy.
    Return,
    /// Into a chain, to come back after it.
    Jump(ChainName),
    /// Into a chain, without coming back here.
    Goto(ChainName),
    /// The packet is gone and its sender is told.
    Reject(RejectWith),
    /// `MARK --set-xmark value/mask`: clear the mask's bits, then xor the value's. The next rule follows.
    SetXmark {
        /// Bits to flip after clearing.
        value: u32,
        /// Bits to clear first.
        mask: u32,
    },
    /// `DNAT --to-destination`: a new destination for the connection.
    Dnat {
        /// The address, and the port unless it stays.
        to: NatTarget,
    },
    /// `MASQUERADE`: the outgoing interface's address as the connection's source.
    Masquerade {
        /// `--random-fully`: a random source port. Not every kernel has it.
        random_fully: bool,
    },
}

/// Where a translation leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NatTarget {
    /// The new address.
    pub address: IpAddr,
    /// The new port; `None` keeps it.
    pub port: Option<u16>,
}

impl From<SocketAddr> for NatTarget {
    fn from(address: SocketAddr) -> Self {
        Self {
            address: address.ip(),
            port: Some(address.port()),
        }
    }
}
