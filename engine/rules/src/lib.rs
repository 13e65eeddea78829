//! The one compiler: cluster view → plan → rule tables.
//!
//! **What.** A [`ClusterView`] (Services and their EndpointSlices at one watch position) and [`NodeFacts`] become
//! a [`RulePlan`] in which every decision that Kubernetes semantics calls for has been made once, and the plan is
//! then spelled in a dialect of `ruleset`. Each rule says, through [`Compiler::origin`], what it decides and for
//! whom.
//! **Why.** kube-proxy repeats the policy per back end; we decide before lowering, so all dialects agree.
//! This crate knows no API server and no back end.
//! **Source of the semantics.** PROXY-1 … PROXY-56; kube-proxy 1.36 `pkg/proxy/{topology,serviceport,endpoint}.go`,
//! `pkg/proxy/iptables/proxier.go`, `pkg/proxy/nftables/proxier.go`.
//!
//! ```
//! use std::sync::Arc;
//! use switchboard_rules::{
//!     Capabilities, ClusterView, Compiler, LocalDetection, NodeFacts, NodePortAddresses, ServiceName,
//!     ServicePortView, ServiceView,
//! };
//! use ruleset::{Family, Protocol, xt};
//!
//! let name = ServiceName { namespace: "default".into(), name: "web".into() };
//! let service = ServiceView {
//!     cluster_ips: ["10.96.0.40".parse()?].into_iter().collect(),
//!     ports: [ServicePortView { name: "http".into(), protocol: Protocol::TCP, port: 80, node_port: None }].into(),
//!     ..ServiceView::default()
//! };
//! let mut view = ClusterView::default();
//! view.services.insert(name, Arc::new(service));
//! let node = NodeFacts {
//!     name: "node-1".into(),
//!     zone: None,
//!     addresses: vec!["192.168.10.11".parse()?],
//!     local_detection: LocalDetection::None,
//!     masquerade_all: false,
//!     node_port_addresses: NodePortAddresses::All,
//!     localhost_node_ports: true,
//!     masquerade_mark: NodeFacts::DEFAULT_MASQUERADE_MARK,
//! };
//!
//! let mut compiler = Compiler::new(Capabilities::ALL);
//! let compiled = compiler.iptables(&view, &node);
//! let text = xt::save_text(&compiled.tables[&Family::V4]);
//! assert!(text.contains(
//!     "-A KUBE-SERVICES -d 10.96.0.40/32 -p tcp -m comment --comment \"default/web:http has no endpoints\" \
//!      -m tcp --dport 80 -j REJECT --reject-with icmp-port-unreachable"
//! ));
//! # Ok::<(), std::net::AddrParseError>(())
//! ```

mod cluster_size;
mod compiler;
mod endpoints;
mod iptables;
mod ipvs;
mod memo;
mod nftables;
mod node_facts;
mod origin;
mod own_chains;
mod plan;
mod service_port;
mod services;
mod slices;
mod socket_text;
mod view;

pub use cluster_size::{ClusterSizes, EndpointCounts};
pub use compiler::{Capabilities, CompiledIptables, CompiledIpvs, CompiledNftables, Compiler};
pub use iptables::SHARED_CHAIN;
pub use node_facts::{LocalDetection, NodeFacts, NodePortAddresses, PodTraffic};
pub use origin::{Decision, FrameDecision, Frontend, Origin, ServicePortOrigin};
pub use own_chains::{is_proxy_chain, is_proxy_jump};
pub use plan::{
    ClusterIpPlan, DropReason, EndpointPlan, ExternalPlan, ExternalRoute, FrontendKind,
    FrontendVerdict, LocalOutcome, Masquerade, NodePortDestinations, NodePortFrontend,
    NodePortPlan, RejectReason, Route, RulePlan, ServicePortPlan, ServicePortPlans, SourceClass,
    plan, plan_service,
};
pub use service_port::ServicePortId;
pub use services::{ServiceEntry, Services};
pub use slices::SlicesByName;
pub use view::{
    ClusterView, EndpointView, Hints, ServiceName, ServicePortView, ServiceView, SlicePortView,
    SliceView, TrafficPolicy,
};
