//! The control plane of a whole cluster on one virtual clock, and the [`World`] that scenarios drive.
//!
//! **What.** [`Control`] holds the API server, the controllers, the DNS records and one proxy agent per node,
//! and runs what is due in order of time; no packets. **Why.** A simulated world (control + packet plane) and
//! a kernel world (control + real rules) share it. Every reader of the API has a latency of its own: it holds a
//! position in the API's log and sees an event that long after it was written.
//! **Source of the semantics.** EP-72, PROXY-6, PROXY-65, DNS-69.

mod balance;
mod bootstrap;
mod cache_figures;
mod config;
mod control;
mod fault;
mod faults;
mod histogram;
mod narrate;
mod node_proxy;
mod own_zone;
mod proxy_config;
mod roster;
mod rule_book;
mod schedule;
mod sync_cost;
mod sync_log;
mod traffic;
mod unheard;
mod views;
mod workload;
mod world;

pub use balance::Balanced;
pub use cache_figures::CacheFigures;
pub use config::{
    ClusterConfig, DetectLocal, ModeSettings, NODE_LOCAL_DNS, NetworkConfig, NodeConfig,
    OutsideConfig, ProxyMode, ProxySettings, SyncCost, TimingConfig,
};
pub use control::Control;
pub use fault::{Fault, Impairment, LinkEnd, PerMillion, Place};
pub use faults::FaultId;
pub use histogram::Histogram;
pub use proxy_config::ProxyConfig;
pub use rule_book::NodeRules;
pub use rules::NodePortAddresses;
pub use sync_cost::{Line, ModeCost, ModeCosts};
pub use sync_log::{SyncFigures, is_offered};
pub use traffic::{
    Fate, Rate, RateError, Reuse, Sender, Tally, TrafficFailure, TrafficReport, TrafficRequest,
};
pub use unheard::{ProbeAnswer, Unheard};
pub use workload::{is_pod_of, is_ready_pod};
pub use world::{
    Answer, Attempt, ConnectRequest, Connection, Decision, Happening, Host, Outcome, Peer, Probe,
    ProbeOutcome, ProbeRequest, ProbeSource, ReferenceError, Resolution, ResolveRequest, Share,
    Source, Target, TargetError, World, WorldFigures, WriteVerb, is_host_name, is_query_name,
};
