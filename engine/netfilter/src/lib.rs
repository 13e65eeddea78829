//! Evaluates a node's rule tables on packets: hooks, conntrack, NAT.
//!
//! **What.** [`eval`](eval()) takes one IP packet through a node the way Linux does: prerouting, routing, input or
//! forward, postrouting (or output and postrouting when the node itself sends), calling at each hook the tables of
//! iptables and the base chains of nftables by priority, and the virtual servers of IPVS. **Why.** Evaluation is read-only: what it would change is returned as [`Effects`] and happens in
//! [`NodeState::commit`], so that a probe leaves no trace, every random choice can be explored through a
//! [`Chooser`], and a [`Tracer`] that records nothing costs nothing.
//! **Source of the semantics.** Linux `net/netfilter/nf_conntrack_*.c`, `nf_nat_core.c`, `net/ipv4/netfilter/ip_tables.c`,
//! `net/netfilter/nf_tables_core.c`, the hook priorities of `include/uapi/linux/netfilter_ipv4.h`; PROXY-18,
//! -72 … -75.
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
mod doubt;
mod elements;
mod entry;
mod eval;
mod explore;
mod filter;
mod foresight;
mod hook;
mod ipvs;
mod nft;
mod packed;
mod packet;
mod passage;
mod place;
mod range;
mod recent;
mod reply;
mod routing;
mod state;
mod tables;
mod tables_error;
mod tcp;
mod trace;
mod translate;
mod tuple;
mod verdict;
mod xt;

pub use chooser::{Chooser, SeededChooser};
pub use doubt::{Doubt, InterfaceSide, Question};
pub use entry::{Direction, Entry, Listing};
pub use eval::eval;
pub use explore::{BRANCHES_MAX, Explorer, Known, Ratio, TooManyBranches, explore, survey};
pub use filter::EntryFilter;
pub use foresight::{Advance, Opened, WayBack, way_back};
pub use hook::Hook;
pub use nft::{FoundElement, NftError};
pub use packet::{Malformed, Packet};
pub use place::{AnyRule, ChainPlace, ChainRef, RuleAction, RulePlace, RuleRef, TracedRule};
pub use reply::packet_too_big;
pub use routing::{Hop, Ingress, InterfaceName, LOOPBACK, Routing};
pub use state::{Effects, NodeState};
pub use tables::{NodeTables, Ruleset};
pub use tables_error::TablesError;
pub use tcp::{TcpFlags, TcpState};
pub use trace::{
    NoTrace, Recorder, RouteDecision, TableVerdict, TraceEvent, TracedElement, Tracer,
};
pub use translate::fill_sctp_checksum;
pub use tuple::Tuple;
pub use verdict::{DropReason, Evaluation, RejectReason, Verdict};
