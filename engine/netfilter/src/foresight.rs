//! What a node will make of packets that have not come yet.
//!
//! **What.** [`way_back`] says which way the answer to a connection's first packet will take through a node, if no rule
//! will look at it or at any later packet; [`Advance`] is how far conntrack gets by these. **Why.** Who knows which packets
//! two hosts will exchange, and that nothing comes between, need not send them. **Source of the semantics.** That of the
//! short way (`passage`).

use std::time::Duration;

use base::SimTime;

use crate::connection::{Course, is_unanswered};
use crate::entry::{Direction, Progress};
use crate::passage::Way;
use crate::state::EntryId;
use crate::{InterfaceName, NodeState, NodeTables, Routing, TcpFlags, TcpState, Tuple};

/// A TCP connection of a node's of which only the first packet has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Opened {
    pub(crate) id: EntryId,
    /// When it came.
    pub at: SimTime,
}

/// How far a connection of which only the first packet has come gets by some more packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Advance {
    tcp: TcpState,
    assured: bool,
    /// From the instant that the packets' times count from.
    expires: Duration,
}

/// The way of an answer through a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WayBack {
    /// The connection.
    pub opened: Opened,
    /// The answer as it leaves.
    pub onward: Tuple,
    /// The interface by which it leaves.
    pub interface: InterfaceName,
}

/// The way that an answer of this tuple will take through a node, to somebody else, when only the first packet of its TCP
/// connection has come by, was forwarded, and was never sent again. `None` where that is not so, or where rules, virtual
/// servers or sizes of packets may matter to what comes later.
#[must_use]
pub fn way_back(
    tables: &NodeTables,
    state: &NodeState,
    routing: &impl Routing,
    answer: &Tuple,
    now: SimTime,
) -> Option<WayBack> {
    let tables = tables.family(answer.family());
    let unwatched = tables.unwatched()?;
    let (id, direction, entry) = state.lookup(answer, now)?;
    let progress = entry.progress();
    let is_opening = progress.tcp == Some(TcpState::SynSent) && !progress.seen_reply;
    if direction != Direction::Reply || !is_opening {
        return None;
    }
    let interface = Way::of(entry, direction, unwatched, tables, routing)?.interface?;
    let at = progress.started;
    Some(WayBack {
        opened: Opened { id, at },
        onward: entry.original().inverse(),
        interface,
    })
}

impl Advance {
    /// By packets of which each simply passes; `None` when one of them would not. With each the time at which it comes,
    /// counted from the same instant.
    #[must_use]
    pub fn by(packets: impl IntoIterator<Item = (Duration, Direction, TcpFlags)>) -> Option<Self> {
        let first = TcpState::SynSent;
        let mut progress = Progress::of_first(SimTime::ZERO, Some(first), first.timeout());
        for (at, direction, flags) in packets {
            // To rules, what is sent before any answer is new.
            if is_unanswered(&progress, direction) {
                return None;
            }
            let (last, at) = (progress.tcp?, SimTime::ZERO + at);
            let Course::On(next) = Course::of_tcp(progress, last, direction, flags, at) else {
                return None;
            };
            progress = next;
        }
        let tcp = progress.tcp.filter(|_| progress.seen_reply)?;
        Some(Self {
            tcp,
            assured: progress.assured,
            expires: progress.expires.since(SimTime::ZERO),
        })
    }

    /// The progress of such a connection, when the packets' times count from an instant.
    pub(crate) fn apply(&self, progress: &Progress, since: SimTime) -> Progress {
        Progress {
            tcp: Some(self.tcp),
            seen_reply: true,
            assured: self.assured,
            expires: since + self.expires,
            ..*progress
        }
    }
}
