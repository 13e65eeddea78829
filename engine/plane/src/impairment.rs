//! What can be wrong with a link.
//!
//! **What.** An [`Impairment`] makes packets slow, late, rare or double on a link, whose ends are [`LinkEnd`]s.
//! **Why.** The words and their meaning are those of `tc netem`, which people test real clusters with.
//! **Source of the semantics.** tc-netem(8), Linux `net/sched/sch_netem.c`; RFC 1191 and RFC 8201 for the MTU.

use std::time::Duration;

use crate::{HostId, NodeId};

/// An end of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkEnd<'a> {
    /// A node, with everything that passes it on its way to or from its Pods.
    Node(NodeId),
    /// A Pod or an outside host. A Pod has one link, to its node.
    Host(HostId),
    /// All nodes of a zone.
    Zone(&'a str),
}

/// A fraction, in millionths: exact, and the same on every machine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Share(u32);

impl Share {
    /// Never.
    pub const NONE: Self = Self(0);
    /// Always.
    pub const ALL: Self = Self(Self::WHOLE);
    const WHOLE: u32 = 1_000_000;

    /// So many millionths; `None` for more than the whole.
    #[must_use]
    pub const fn per_million(millionths: u32) -> Option<Self> {
        if millionths > Self::WHOLE {
            return None;
        }
        Some(Self(millionths))
    }

    /// Whether it is this packet that the share strikes. Nothing is drawn when that is clear beforehand.
    pub(crate) fn strikes(self, random: &mut base::Rng) -> bool {
        match self.0 {
            0 => false,
            Self::WHOLE => true,
            share => random.below(Self::WHOLE.into()) < u64::from(share),
        }
    }
}

/// What a link does to packets, in either direction alike. The default does nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Impairment {
    /// Every packet takes so much longer than by the configured latency.
    pub delay: Duration,
    /// `delay` varies by up to so much, evenly, and never below zero. Packets overtake each other.
    pub jitter: Duration,
    /// Packets that are lost.
    pub loss: Share,
    /// Packets that arrive twice.
    pub duplicate: Share,
    /// Packets that skip `delay` and `jitter`, and so overtake those before them. Without a delay there is nothing to
    /// overtake.
    pub reorder: Share,
    /// Bits of IP packets per second and direction. What comes faster waits in a queue, up to 1000 packets.
    pub rate: Option<u64>,
    /// The largest packet. What is larger is answered by whoever would have to send it over the link, with ICMP
    /// "fragmentation needed" or "packet too big". Less than 1280 counts as 1280 (RFC 8200, section 5).
    pub mtu: Option<usize>,
    /// Nothing passes.
    pub cut: bool,
}

/// Why there is no such link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LinkError {
    /// A host was removed.
    #[error("the host is gone")]
    NoSuchHost,
    /// No node is in the zone.
    #[error("no node is in the zone")]
    NoSuchZone,
    /// Both ends are one place.
    #[error("a link needs two different ends")]
    OneEnd,
    /// One end is a Pod, and the other is not its node.
    #[error("a Pod has one link, to its node")]
    NotItsNode,
}
