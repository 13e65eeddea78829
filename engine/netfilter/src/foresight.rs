//! What a node will make of packets that have not come yet.
//!
//! **What.** [`way_back`] says which way the answer to a connection's first packet will take through a node, if no rule will
//! look at it or at any later packet; [`Standing`] is how far conntrack is then. **Why.** Who knows which packets two hosts
//! will exchange, and that nothing comes between, need not send them. **Source of the semantics.** That of the short way
//! (`passage`): the same questions are asked, before there is a packet.

use base::SimTime;

use crate::connection::{Course, is_unanswered};
use crate::entry::{Direction, Progress};
use crate::eval::{is_martian, is_own};
use crate::state::EntryId;
use crate::{InterfaceName, NodeState, NodeTables, Routing, TcpFlags, TcpState, Tuple};

/// A connection of a node's, and how far it has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    pub(crate) id: EntryId,
    pub(crate) progress: Progress,
}

/// The way of an answer through a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WayBack {
    /// The connection, of which only the first packet has come.
    pub standing: Standing,
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
    tables.unwatched()?.ways(false).through?;
    let (id, direction, entry) = state.lookup(answer, now)?;
    let progress = *entry.progress();
    let is_opening = progress.tcp == Some(TcpState::SynSent) && !progress.seen_reply;
    if direction != Direction::Reply || !is_opening || progress.is_virtual {
        return None;
    }
    let onward = entry.original().inverse();
    let (source, destination) = (answer.source(), onward.destination());
    let is_forwarded = !is_own(tables, routing, destination)
        && !is_martian(tables, routing, source, destination, true)
        && !routing.has_narrow_ways();
    let interface = routing.route(destination)?.interface;
    is_forwarded.then_some(WayBack {
        standing: Standing { id, progress },
        onward,
        interface,
    })
}

impl Standing {
    /// When the connection's first packet came.
    #[must_use]
    pub const fn started_at(&self) -> SimTime {
        self.progress.started
    }

    /// How far it is after some more packets, each with the instant at which it comes; `None` when one of them would not
    /// simply pass.
    #[must_use]
    pub fn after(
        mut self,
        packets: impl IntoIterator<Item = (SimTime, Direction, TcpFlags)>,
    ) -> Option<Self> {
        for (at, direction, flags) in packets {
            // To rules, what is sent before any answer is new.
            if is_unanswered(&self.progress, direction) {
                return None;
            }
            let last = self.progress.tcp?;
            let Course::On(progress) = Course::of_tcp(self.progress, last, direction, flags, at)
            else {
                return None;
            };
            self.progress = progress;
        }
        Some(self)
    }
}
