//! The agent of one node: follows the watch, keeps its position, decides when to sync, commits to a sink.
//!
//! **What.** [`ViewBuilder`] turns watch events into the compiler's `ClusterView`; [`Agent`] is given such views
//! as they reach its node and hands them to a [`RuleSink`] when its sync runs; [`StaleUdp`] says which connections a sync
//! has left behind.
//! **Why.** The agent does not know whether its sink is simulated or a real kernel: it is a state machine over
//! time, without I/O. Views are persistent, so a thousand agents at one position hold one view.
//! **Source of the semantics.** PROXY-1 … PROXY-6 (what is watched), PROXY-65 (timing).

mod agent;
mod names;
mod stale_udp;
mod view_builder;

pub use agent::{Agent, AgentSettings, RuleSink, SyncKind, SyncReport};
pub use stale_udp::StaleUdp;
pub use view_builder::ViewBuilder;
