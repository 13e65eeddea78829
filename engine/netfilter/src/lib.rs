//! Evaluates a node's rule tables on packets: hooks, conntrack, NAT.
//!
//! **What.** [`eval`](eval()) takes one IP packet through a node the way Linux does: prerouting, routing, input or
//! forward, postrouting (or output and postrouting when the node itself sends), calling the tables of each hook
//! by priority. **Why.** Evaluation is read-only: what it would change is returned as [`Effects`] and happens in
//! [`NodeState::commit`], so that a probe leaves no trace, every random choice can be explored through a
//! [`Chooser`], and a [`Tracer`] that records nothing costs nothing.
//! **Source of the semantics.** Linux `net/netfilter/nf_conntrack_*.c`, `nf_nat_core.c`, `net/ipv4/netfilter/ip_tables.c`,
//! the hook priorities of `include/uapi/linux/netfilter_ipv4.h`; PROXY-18, -72 … -75.
//!
//! ```
//! use std::net::IpAddr;
//!
//! use base::{Seed, SimTime};
//! use switchboard_netfilter::{
//!     DropReason, Hop, Ingress, Malformed, NoTrace, NodeState, NodeTables, Packet, Routing,
//!     SeededChooser, Verdict, eval,
//! };
//!
//! struct Nowhere;
//!
//! impl Routing for Nowhere {
//!     fn is_local(&self, _address: IpAddr) -> bool {
//!         false
//!     }
//!     fn route(&self, _destination: IpAddr) -> Option<Hop> {
//!         None
//!     }
//! }
//!
//! let mut state = NodeState::new();
//! let mut chooser = SeededChooser(Seed::new(7).split("netfilter"));
//! let evaluation = eval(
//!     &NodeTables::empty(),
//!     &state,
//!     &Nowhere,
//!     Packet::new(vec![0x45, 0x00]),
//!     Ingress::Interface("eth0"),
//!     SimTime::ZERO,
//!     &mut chooser,
//!     &mut NoTrace,
//! );
//! let truncated = DropReason::Malformed(Malformed::Truncated);
//! assert_eq!(evaluation.verdict, Verdict::Drop(truncated));
//! state.commit(evaluation.effects);
//! ```

mod chooser;
mod connection;
mod entry;
mod eval;
mod explore;
mod hook;
mod packet;
mod reply;
mod routing;
mod state;
mod tables;
mod tcp;
mod trace;
mod translate;
mod traverse;
mod tuple;
mod verdict;

pub use chooser::{Chooser, SeededChooser};
pub use entry::{Direction, Entry, Listing};
pub use eval::eval;
pub use explore::{Explorer, Ratio, explore};
pub use hook::Hook;
pub use packet::{Malformed, Packet};
pub use routing::{Hop, Ingress, LOOPBACK, Routing};
pub use state::{Effects, NodeState};
pub use tables::{NodeTables, TablesError};
pub use tcp::TcpState;
pub use trace::{
    NoTrace, Recorder, RouteDecision, RulePlace, TableVerdict, TraceEvent, TracedRule, Tracer,
};
pub use tuple::Tuple;
pub use verdict::{DropReason, Evaluation, RejectReason, Verdict};
