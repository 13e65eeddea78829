//! Statements: what a rule does, one after the other.

use std::time::Duration;

use super::{Comment, Expr, Ident, Key, MapRef, NatTarget, RejectWith, Scalar, SetRef};
use crate::{Family, NatRange, Verbatim};

/// One step of a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Statement {
    /// Goes on if it holds, else ends the rule.
    Match {
        /// What is compared.
        left: Expr,
        /// How.
        op: MatchOp,
        /// With what.
        right: Right,
    },
    /// Ends the rule.
    Verdict(Verdict),
    /// `key vmap …`: the verdict that is found; a miss ends the rule.
    VerdictMap {
        /// What is looked up.
        key: Expr,
        /// Where.
        map: MapRef<Verdict>,
    },
    /// `meta mark set`
    SetMark(Expr),
    /// `ct mark set`
    SetCtMark(Expr),
    /// `dnat to`: ends the rule and the hook's work on the packet, as `accept` does.
    Dnat {
        /// The new destination.
        to: NatTo,
        /// How ports are picked.
        flags: NatFlags,
    },
    /// `snat to`
    Snat {
        /// The new source.
        to: NatTo,
        /// How ports are picked.
        flags: NatFlags,
    },
    /// `redirect [to :port]`: to the node itself.
    Redirect {
        /// The new port; `None` keeps it.
        port: Option<u16>,
        /// How ports are picked.
        flags: NatFlags,
    },
    /// `masquerade`: the outgoing interface's address as source.
    Masquerade(NatFlags),
    /// `dnat`, `snat`, `masquerade` or `redirect` onto a range, or to another port alone.
    NatRange(NatRange),
    /// `reject [with …]`: drops the packet and tells its sender.
    Reject(Reject),
    /// `add|update|delete @set { key [timeout t] [: data] }`
    SetUpdate {
        /// What is done to the element.
        op: SetOp,
        /// The set, or the map when there is data.
        set: Ident,
        /// The element.
        key: Expr,
        /// How long it lives; `None` is the set's own timeout.
        timeout: Option<Duration>,
        /// The element's data, for a map.
        data: Option<Expr>,
    },
    /// `notrack`: the packet belongs to no connection.
    Notrack,
    /// `counter`
    Counter {
        /// Seen so far.
        packets: u64,
        /// Seen so far.
        bytes: u64,
    },
    /// `log [prefix "…"]`: writes to the kernel's log and changes nothing.
    Log {
        /// What the line starts with.
        prefix: Option<Comment>,
    },
    /// `meta nftrace set 1` and the like, from a dump: changes nothing that a rule can ask for.
    Inert(Verbatim),
    /// A test that is not understood, from a dump: whether it holds is not known.
    UnknownMatch(Verbatim),
    /// What is not understood up to the end of the rule, from a dump: anything may happen to the packet.
    Unknown(Verbatim),
}

/// How two values are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MatchOp {
    /// Equal, within the range or network, or in the set.
    Eq,
    /// The opposite of [`MatchOp::Eq`].
    Ne,
    /// Less.
    Lt,
    /// Greater.
    Gt,
    /// Less or equal.
    Le,
    /// Greater or equal.
    Ge,
    /// Flags without an operator (`ct state new,related`): any of them is set.
    AnyFlag,
}

/// What is compared with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Right {
    /// A value, range or network.
    Value(Scalar),
    /// A set.
    Set(SetRef),
}

/// Where the packet goes next.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verdict {
    /// On, past the rest of this base chain; later base chains still see the packet.
    Accept,
    /// Gone, whatever other chains say.
    Drop,
    /// To the next rule.
    Continue,
    /// Back to the calling chain; in a base chain, its policy.
    Return,
    /// Into a chain, to come back after it.
    Jump(Ident),
    /// Into a chain, without coming back here.
    Goto(Ident),
}

/// Where a translation leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NatTo {
    /// An address, and a port unless it stays.
    Fixed(NatTarget),
    /// `key map …`, whose data is an address, or an address and a port.
    Lookup {
        /// That of the addresses.
        family: Family,
        /// What is looked up.
        key: Expr,
        /// Where. A miss ends the rule without a match.
        map: MapRef<Key>,
    },
}

/// How a translation picks a port.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NatFlags {
    /// `random`
    pub random: bool,
    /// `fully-random`
    pub fully_random: bool,
    /// `persistent`
    pub persistent: bool,
}

impl NatFlags {
    /// None of them.
    pub const NONE: Self = Self {
        random: false,
        fully_random: false,
        persistent: false,
    };
    /// `fully-random`
    pub const FULLY_RANDOM: Self = Self {
        random: false,
        fully_random: true,
        persistent: false,
    };
}

/// What the sender of a rejected packet is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reject {
    /// `reject`: port unreachable, in the packet's family.
    Default,
    /// `reject with tcp reset`; concerns TCP packets only.
    TcpReset,
    /// `reject with icmp …` or `icmpv6 …`; concerns packets of that family only.
    Icmp(Family, Unreachable),
    /// `reject with icmpx …`, in the packet's family.
    Icmpx(Unreachable),
}

impl Reject {
    /// The answer, as both dialects know it.
    #[must_use]
    pub const fn with(self) -> RejectWith {
        match self {
            Self::Default => RejectWith::PortUnreachable,
            Self::TcpReset => RejectWith::TcpReset,
            Self::Icmp(_, unreachable) | Self::Icmpx(unreachable) => match unreachable {
                Unreachable::Net => RejectWith::NetUnreachable,
                Unreachable::Host => RejectWith::HostUnreachable,
                Unreachable::Port => RejectWith::PortUnreachable,
                Unreachable::AdminProhibited => RejectWith::AdminProhibited,
                Unreachable::HostProhibited => RejectWith::HostProhibited,
                Unreachable::NetProhibited => RejectWith::NetProhibited,
                Unreachable::Protocol => RejectWith::ProtoUnreachable,
            },
        }
    }
}

/// Codes of "destination unreachable".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unreachable {
    /// `net-unreachable`, `no-route`
    Net,
    /// `host-unreachable`, `addr-unreachable`
    Host,
    /// `port-unreachable`
    Port,
    /// `admin-prohibited`
    AdminProhibited,
    /// `host-prohibited`; of IPv4 only, `admin-prohibited` in IPv6.
    HostProhibited,
    /// `net-prohibited`; likewise.
    NetProhibited,
    /// `prot-unreachable`; of IPv4 only, `port-unreachable` in IPv6.
    Protocol,
}

/// What a packet does to a set's element.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SetOp {
    /// Makes it, unless it is there.
    Add,
    /// Makes it, or sets its time of expiry anew. The data of an element that is there stays.
    Update,
    /// Takes it away.
    Delete,
}
