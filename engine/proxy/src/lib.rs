//! The agent of one node: follows the watch, keeps its position, decides when to sync, commits to a sink.
//!
//! **What.** [`ViewBuilder`] turns watch events into the compiler's `ClusterView`; [`Agent`] is given such views
//! as they reach its node and hands them to a [`RuleSink`] when its sync runs; [`StaleUdp`] says which connections a sync
//! has left behind; [`ProxyHealth`], [`HealthCheck`] and [`Metrics`] are what it answers when asked.
//! **Why.** The agent does not know whether its sink is simulated or a real kernel: it is a state machine over
//! time, without I/O. Views are persistent, so a thousand agents at one position hold one view.
//! **Source of the semantics.** PROXY-1 … PROXY-6 (what is watched), PROXY-65, PROXY-66 (timing), PROXY-69, PROXY-71
//! (health), PROXY-76 (metrics).

mod agent;
mod basis;
mod health;
mod metrics;
mod names;
mod register;
mod rule_sink;
mod stale_udp;
mod view_builder;

pub use agent::{Agent, AgentSettings, SyncReport};
pub use basis::Basis;
pub use health::{Answer, HealthCheck, ProxyHealth, TO_BE_DELETED_TAINT};
pub use metrics::{ChangeOf, Dialect, Metrics};
pub use rule_sink::{RuleSink, SyncKind};
pub use stale_udp::StaleUdp;
pub use view_builder::ViewBuilder;
