//! The five places where the kernel looks at a packet, and in what order things happen there.
//!
//! **Source of the semantics.** `enum nf_ip_hook_priorities` in `include/uapi/linux/netfilter_ipv4.h`.

use std::fmt;

use ruleset::xt::{CtState, TableName};

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
    /// A chain is called, but for those that translate.
    Call {
        called: Called,
        /// When calling it is of no use.
        idle: Idle,
        /// The same for packets that bear no mark.
        quiet: Idle,
    },
    /// Find the packet's connection.
    Conntrack,
    /// Decide (for a new connection) and apply the translation of one side.
    Nat(Side),
    /// Enter a new connection into the table.
    Confirm,
    /// Give the answers of real servers the address of the virtual one.
    ServeAnswer,
    /// Give what is for a virtual server to a real one.
    Serve,
}

/// For which packets a call decides and changes nothing, which is known beforehand; by what conntrack makes of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Idle {
    /// How many rules a kernel compares all the same, by state.
    rules: [Option<u32>; CtState::OF_PACKETS.len()],
}

impl Idle {
    /// Asks about each state: the number of rules that a kernel compares if the call is of no use, or else `None`.
    pub(crate) fn of(ask: impl FnMut(CtState) -> Option<u32>) -> Self {
        Self {
            rules: CtState::OF_PACKETS.map(ask),
        }
    }

    /// The rules that are compared in vain; `None` when the chain must be called.
    pub(crate) const fn rules(&self, state: CtState) -> Option<u32> {
        // States are single bits, in this order.
        let place = (state as u8).trailing_zeros() as usize;
        if place < self.rules.len() {
            self.rules[place]
        } else {
            None
        }
    }
}

/// The ways through a node on which no chain does anything to a packet of a known connection, and how many rules a
/// kernel compares with it there all the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ways {
    /// To the node itself.
    pub(crate) to_node: Option<u64>,
    /// To somebody else.
    pub(crate) through: Option<u64>,
}

impl Ways {
    /// For packets of a state, given what happens at each hook. Virtual servers look at every packet.
    fn of<'a>(state: CtState, steps: impl Fn(Hook) -> &'a [Step]) -> Self {
        let count = |hooks: &[Hook]| {
            let mut seen = CtState::Invalid;
            let mut steps = hooks.iter().flat_map(|hook| steps(*hook));
            steps.try_fold(0, |sum, step| match step {
                // What lets a packet pass does not mark it, and it comes without a mark.
                Step::Call { quiet, .. } => Some(sum + u64::from(quiet.rules(seen)?)),
                Step::Conntrack => {
                    seen = state;
                    Some(sum)
                }
                Step::Nat(_) | Step::Confirm => Some(sum),
                Step::ServeAnswer | Step::Serve => None,
            })
        };
        Self {
            to_node: count(&[Hook::Prerouting, Hook::Input]),
            through: count(&[Hook::Prerouting, Hook::Forward, Hook::Postrouting]),
        }
    }
}

/// The unwatched ways for every packet of a known connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Unwatched {
    /// For what its sender repeats before anybody answers: to rules it is new.
    unanswered: Ways,
    /// For all other packets.
    established: Ways,
}

impl Unwatched {
    /// Given what happens at each hook; `None` when no packet has such a way.
    pub(crate) fn of<'a>(steps: impl Fn(Hook) -> &'a [Step]) -> Option<Self> {
        let unwatched = Self {
            unanswered: Ways::of(CtState::New, &steps),
            established: Ways::of(CtState::Established, &steps),
        };
        let Self {
            unanswered,
            established,
        } = unwatched;
        let is_any = [unanswered, established] != [Ways::default(); 2];
        is_any.then_some(unwatched)
    }

    pub(crate) const fn ways(&self, is_unanswered: bool) -> Ways {
        if is_unanswered {
            self.unanswered
        } else {
            self.established
        }
    }
}

/// A chain that the kernel calls by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Called {
    /// Of iptables.
    Xt {
        /// The table, by its number among those of a family.
        table: usize,
        /// Its number in the table.
        chain: usize,
    },
    /// Of nftables.
    Nft {
        /// The table, by its number among those of a family.
        table: usize,
        /// Its number in the table.
        chain: u32,
    },
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

    /// What the kernel does by itself, with its priorities: conntrack −200, destination NAT −100, source NAT 100,
    /// confirmation last.
    pub(crate) const fn own_steps(self) -> &'static [(i32, Step)] {
        use Step::{Confirm, Conntrack, Nat};
        match self {
            Self::Prerouting | Self::Output => &[(-200, Conntrack), (-100, Nat(Side::Destination))],
            Self::Input | Self::Postrouting => &[(100, Nat(Side::Source)), (i32::MAX, Confirm)],
            Self::Forward => &[],
        }
    }

    /// What the kernel does for virtual servers, where there are any (`ip_vs_ops4`).
    pub(crate) const fn virtual_steps(self) -> &'static [(i32, Step)] {
        use Step::{Serve, ServeAnswer};
        match self {
            Self::Input => &[(98, ServeAnswer), (99, Serve)],
            Self::Forward => &[(100, ServeAnswer)],
            Self::Output => &[(-99, ServeAnswer), (-98, Serve)],
            Self::Prerouting | Self::Postrouting => &[],
        }
    }

    /// The priority at which a table of iptables hangs here.
    pub(crate) const fn xt_priority(self, table: TableName) -> i32 {
        match (table, self) {
            (TableName::Raw, _) => -300,
            (TableName::Mangle, _) => -150,
            (TableName::Nat, Self::Prerouting | Self::Output | Self::Forward) => -100,
            (TableName::Nat, Self::Input | Self::Postrouting) => 100,
            (TableName::Filter, _) => 0,
            (TableName::Security, _) => 50,
        }
    }
}

impl From<ruleset::nft::Hook> for Hook {
    fn from(hook: ruleset::nft::Hook) -> Self {
        match hook {
            ruleset::nft::Hook::Prerouting => Self::Prerouting,
            ruleset::nft::Hook::Input => Self::Input,
            ruleset::nft::Hook::Forward => Self::Forward,
            ruleset::nft::Hook::Output => Self::Output,
            ruleset::nft::Hook::Postrouting => Self::Postrouting,
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
