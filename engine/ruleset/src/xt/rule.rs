//! One rule: header, extension matches, target.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::num::NonZeroU32;
use std::ops::RangeInclusive;

use ipnet::IpNet;
use smallvec::SmallVec;

use super::{ChainName, Comment};
use crate::ipvs::{ServerKey, SetName};
use crate::nft::PacketType;
use crate::{AddressSpan, Family, NatRange, NatTarget, OriginId, Protocol, Verbatim};

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
    #[inline]
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
    #[inline]
    #[must_use]
    pub fn with_source(mut self, net: IpNet, negated: bool) -> Self {
        self.source = Some(AddressMatch {
            negated,
            net: net.trunc(),
        });
        self
    }

    /// The same rule for destinations in `net`, or outside it when negated.
    #[inline]
    #[must_use]
    pub fn with_destination(mut self, net: IpNet, negated: bool) -> Self {
        self.destination = Some(AddressMatch {
            negated,
            net: net.trunc(),
        });
        self
    }

    /// The same rule for one protocol.
    #[inline]
    #[must_use]
    pub fn with_protocol(mut self, protocol: Protocol) -> Self {
        self.protocol = Some((false, protocol));
        self
    }

    /// The same rule with one more extension match, after those it has.
    #[inline]
    #[must_use]
    pub fn with_match(mut self, one: XtMatch) -> Self {
        self.matches.push(one);
        self
    }

    /// The chain that it jumps or goes to.
    #[must_use]
    pub const fn leads_to(&self) -> Option<ChainName> {
        match self.target {
            XtTarget::Jump(chain) | XtTarget::Goto(chain) => Some(chain),
            _ => None,
        }
    }

    /// The same rule, made for `origin`.
    #[inline]
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
    /// `-m tcp [--sport …] [--dport …] --tcp-flags`: TCP's ports, and its flags. Without `--tcp-flags` the same
    /// module is a [`XtMatch::Ports`].
    TcpFlags {
        /// `--sport`
        source: Option<PortRange>,
        /// `--dport`
        destination: Option<PortRange>,
        /// `!` before `--tcp-flags`.
        negated: bool,
        /// The flags that are looked at …
        mask: TcpFlags,
        /// … and those of them that must be set; the others must not.
        set: TcpFlags,
    },
    /// `-m multiport [!] --sports|--dports|--ports`, for TCP, UDP and SCTP.
    Multiport {
        /// `!`
        negated: bool,
        /// Which of the packet's ports.
        side: MultiportSide,
        /// Any of these, inclusive.
        ports: Box<[RangeInclusive<u16>]>,
    },
    /// `-m icmp --icmp-type` or `-m icmp6 --icmpv6-type`, by the tables' family.
    IcmpType {
        /// `!`
        negated: bool,
        /// The type. For IPv4 the kernel takes 255 as "any", and so does `--icmp-type any` (`ip_tables.c`,
        /// `icmp_type_code_match`).
        kind: u8,
        /// The code; `None` takes any.
        code: Option<u8>,
    },
    /// `-m connmark [!] --mark value/mask`
    ConnMark {
        /// `!`
        negated: bool,
        /// Compared with the mark of the packet's connection …
        value: u32,
        /// … under this mask.
        mask: u32,
    },
    /// `-m recent`: asks and changes a named list of addresses seen (PROXY-32). Boxed because it is rare and big.
    Recent(Box<RecentMatch>),
    /// `-m iprange`. Boxed because it is rare and big.
    IpRange(Box<IpRangeMatch>),
    /// `-m pkttype [!] --pkt-type`
    PacketType {
        /// `!`
        negated: bool,
        /// To whom the link layer sent it.
        kind: PacketType,
    },
    /// `-m set [!] --match-set NAME src|dst,…`. Boxed because it is rare and big.
    Set(Box<SetMatch>),
    /// `-m ipvs --vaddr … --vproto … --vport …`: this virtual server has taken the packet. Boxed because it is rare and
    /// big.
    Ipvs(Box<ServerKey>),
    /// `-m physdev [!] --physdev-is-in`: the packet came by a port of a bridge.
    BridgeIn {
        /// `!`
        negated: bool,
    },
    /// A test that is not understood, from a dump: whether it holds is not known.
    Unknown(Verbatim),
}

/// Rules are many: what is big in a match is boxed.
const _: () = assert!(size_of::<XtMatch>() == 24);

/// `-m set [!] --match-set NAME dst,dst,src`: the packet's parts are an entry of a set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetMatch {
    /// `!`
    pub negated: bool,
    /// Which set.
    pub set: SetName,
    /// From which side of the packet each part comes: an address for the first and third, a port for the second; but
    /// of `bitmap:port` the only part is a port.
    pub sides: SmallVec<[AddressSide; 3]>,
}

/// `-m iprange --src-range|--dst-range`; the flags are set for `!`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IpRangeMatch {
    /// `--src-range`
    pub source: Option<(bool, AddressSpan)>,
    /// `--dst-range`
    pub destination: Option<(bool, AddressSpan)>,
}

/// `-m recent [!] --set|--rcheck|--update|--remove …` (iptables-extensions(8), `recent`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecentMatch {
    /// What is done with the list, and when the match holds.
    pub action: RecentAction,
    /// `!`: the opposite of what the action says.
    pub negated: bool,
    /// The list's name, 1 to 199 bytes (`XT_RECENT_NAME_LEN`).
    pub name: Box<str>,
    /// Bits of the address that count; all of them by default.
    pub mask: IpAddr,
    /// Whose address.
    pub side: AddressSide,
}

impl RecentMatch {
    /// An action on the packet's whole source address, as kube-proxy writes it.
    #[must_use]
    pub fn source(action: RecentAction, name: &str, family: Family) -> Self {
        let mask = match family {
            Family::V4 => IpAddr::V4(Ipv4Addr::BROADCAST),
            Family::V6 => IpAddr::V6(Ipv6Addr::from_bits(u128::MAX)),
        };
        Self {
            action,
            negated: false,
            name: name.into(),
            mask,
            side: AddressSide::Source,
        }
    }
}

/// What a [`RecentMatch`] does (`net/netfilter/xt_recent.c`, `recent_mt`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecentAction {
    /// `--set`: enters the address, or renews it; always matches.
    Set,
    /// `--rcheck`: matches when the address is listed, within the window.
    Rcheck(RecentWindow),
    /// `--update`: as `--rcheck`, and renews the address when it matches.
    Update(RecentWindow),
    /// `--remove`: takes the address off the list; matches when it was there.
    Remove,
}

/// How much of a list counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RecentWindow {
    /// `--seconds`: seen within so many; `None` is ever.
    pub seconds: Option<NonZeroU32>,
    /// `--reap`: entries older than `seconds` are taken off. Only with `seconds`.
    pub reap: bool,
    /// `--hitcount`: seen at least so often within the window; `None` is once.
    pub hit_count: Option<NonZeroU32>,
}

/// Which address of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddressSide {
    /// The source.
    Source,
    /// The destination.
    Destination,
}

/// Which ports of a packet `multiport` compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MultiportSide {
    /// `--sports`
    Source,
    /// `--dports`
    Destination,
    /// `--ports`: either of them.
    Either,
}

/// A set of TCP flags, as the bits of the header's 13th byte.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TcpFlags(pub u8);

impl TcpFlags {
    /// FIN
    pub const FIN: Self = Self(0x01);
    /// SYN
    pub const SYN: Self = Self(0x02);
    /// RST
    pub const RST: Self = Self(0x04);
    /// PSH
    pub const PSH: Self = Self(0x08);
    /// ACK
    pub const ACK: Self = Self(0x10);
    /// URG
    pub const URG: Self = Self(0x20);
    /// The six that rules can name.
    pub const ALL: Self = Self(0x3f);
    /// What `--syn` looks at: FIN, SYN, RST and ACK.
    pub const SYN_MASK: Self = Self(0x17);
}

/// What an address is to the node (`addrtype`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
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

impl AddressType {
    /// All, in their order.
    pub const ALL: [Self; 4] = [Self::Local, Self::Unicast, Self::Broadcast, Self::Multicast];
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

impl CtState {
    /// What a packet may be; it is one of them. The others say what became of its connection.
    pub const OF_PACKETS: [Self; 5] = [
        Self::Invalid,
        Self::New,
        Self::Related,
        Self::Established,
        Self::Untracked,
    ];
}

/// A set of states.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CtStates(pub(crate) u8);

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
    /// `icmp-host-prohibited`; IPv6 has no word for it but [`RejectWith::AdminProhibited`]'s.
    HostProhibited,
    /// `icmp-net-prohibited`; likewise.
    NetProhibited,
    /// `icmp-proto-unreachable`; IPv6 has no word for it but [`RejectWith::PortUnreachable`]'s.
    ProtoUnreachable,
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
    /// `SNAT --to-source`: a new source for the connection.
    Snat {
        /// The address, and the port unless it stays where it can.
        to: NatTarget,
        /// `--random-fully`: a random source port.
        random_fully: bool,
    },
    /// `REDIRECT`: to the node itself, at the address of the interface the packet came in by; locally made
    /// packets go to the loopback address.
    Redirect {
        /// `--to-ports`, one port; `None` keeps it.
        port: Option<u16>,
    },
    /// `DNAT`, `SNAT`, `MASQUERADE` or `REDIRECT` with a range, or with options that the four above lack.
    NatRange(Box<NatRange>),
    /// `CT --notrack`, also written `NOTRACK`: the packet belongs to no connection. The next rule follows.
    Notrack,
    /// `CONNMARK`: moves bits between the connection's mark and the packet's. The next rule follows.
    ConnMark(ConnMarkAction),
    /// `LOG`: writes to the kernel's log and changes nothing. The next rule follows.
    Log {
        /// `--log-prefix`, at most 29 bytes; may be empty.
        prefix: Comment,
        /// `--log-level`, 0 to 7; the kernel's default is 4.
        level: u8,
    },
    /// `TCPMSS`, `NFLOG` and the like, from a dump: changes nothing that a rule can ask for. The next rule follows.
    Inert(Verbatim),
    /// A target that is not understood, from a dump: anything may happen to the packet.
    Unknown(Verbatim),
}

impl XtTarget {
    /// Whether a packet goes on the same with this target as without it.
    #[must_use]
    pub const fn is_inert(&self) -> bool {
        matches!(self, Self::None | Self::Log { .. } | Self::Inert(_))
    }
}

/// What `CONNMARK` does (`net/netfilter/xt_connmark.c`). `nf` is the packet's mark, `ct` its connection's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnMarkAction {
    /// `--set-xmark value/mask`: `ct = (ct & !mask) ^ value`
    Set {
        /// Bits to flip after clearing.
        value: u32,
        /// Bits to clear first.
        mask: u32,
    },
    /// `--save-mark`: `ct = (ct & !ct_mask) ^ (nf & nf_mask)`
    Save {
        /// `--nfmask`
        nf_mask: u32,
        /// `--ctmask`
        ct_mask: u32,
    },
    /// `--restore-mark`: `nf = (nf & !nf_mask) ^ (ct & ct_mask)`
    Restore {
        /// `--nfmask`
        nf_mask: u32,
        /// `--ctmask`
        ct_mask: u32,
    },
}
