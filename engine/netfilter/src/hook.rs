//! The five places where the kernel looks at a packet, and in what order things happen there.
//!
//! **Source of the semantics.** `enum nf_ip_hook_priorities` in `include/uapi/linux/netfilter_ipv4.h`.

use std::fmt;

use ruleset::xt::TableName;

use crate::tuple::Side;

/// A hook.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Hook {
    /// A packet has arrived, and no route is chosen yet.
    Prerouting,
    /// It is for the node itself.
    Input,
    /// It is for somebody else.
    Forward,
    /// The node itself made it.
    Output,
    /// It is about to leave.
    Postrouting,
}

/// What happens at a hook, one after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// The rules of a table, but for `nat`.
    Table(TableName),
    /// Find the packet's connection.
    Conntrack,
    /// Decide (for a new connection) and apply the translation of one side.
    Nat(Side),
    /// Enter a new connection into the table.
    Confirm,
}

impl Hook {
    pub(crate) const ALL: [Self; 5] = [
        Self::Prerouting,
        Self::Input,
        Self::Forward,
        Self::Output,
        Self::Postrouting,
    ];

    /// The built-in chain that belongs to the hook.
    #[must_use]
    pub const fn chain_name(self) -> &'static str {
        match self {
            Self::Prerouting => "PREROUTING",
            Self::Input => "INPUT",
            Self::Forward => "FORWARD",
            Self::Output => "OUTPUT",
            Self::Postrouting => "POSTROUTING",
        }
    }

    /// By priority: raw −300, conntrack −200, mangle −150, destination NAT −100, filter 0, security 50,
    /// source NAT 100, confirmation last.
    pub(crate) const fn steps(self) -> &'static [Step] {
        use Step::{Confirm, Conntrack, Nat, Table};
        use TableName::{Filter, Mangle, Raw, Security};
        match self {
            Self::Prerouting => &[Table(Raw), Conntrack, Table(Mangle), Nat(Side::Destination)],
            Self::Input => &[
                Table(Mangle),
                Table(Filter),
                Table(Security),
                Nat(Side::Source),
                Confirm,
            ],
            Self::Forward => &[Table(Mangle), Table(Filter), Table(Security)],
            Self::Output => &[
                Table(Raw),
                Conntrack,
                Table(Mangle),
                Nat(Side::Destination),
                Table(Filter),
                Table(Security),
            ],
            Self::Postrouting => &[Table(Mangle), Nat(Side::Source), Confirm],
        }
    }
}

impl fmt::Display for Hook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Prerouting => "prerouting",
            Self::Input => "input",
            Self::Forward => "forward",
            Self::Output => "output",
            Self::Postrouting => "postrouting",
        })
    }
}
