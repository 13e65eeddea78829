//! Links, routing, smoltcp hosts and sockets, faults, captures.
//!
//! **What.** A [`Plane`] is a network of nodes, Pods and outside hosts on a virtual clock. Every packet travels
//! as bytes: from a socket through its node's hooks, over links with delays, through other nodes' hooks, into a
//! socket; those of exchanges that somebody foresees ([`Foresight`]) are not sent but for the first. Applications are not in here: they open sockets and are told of [`PlaneEvent`]s. **Why.** What a
//! client of a Service sees follows from the packets alone, so this crate knows no Kubernetes, only the tables
//! that somebody put on a node ([`TableSource`]).
//! **Source of the semantics.** The Kubernetes network model, Linux routing, RFC 9293 by way of smoltcp, and
//! what Linux clients see of errors; the modules name theirs.
//!
//! ```
//! use std::sync::Arc;
//! use base::Seed;
//! use netfilter::NodeTables;
//! use switchboard_plane::{HostSpec, NodeId, NodeSpec, Plane, PlaneConfig, PlaneEvent, TableSource};
//! use ruleset::Protocol;
//!
//! struct NoRules;
//! impl TableSource for NoRules {
//!     fn tables(&mut self, _: NodeId) -> Arc<NodeTables> {
//!         Arc::new(NodeTables::empty())
//!     }
//! }
//!
//! let mut plane = Plane::new(PlaneConfig::with_seed(Seed::new(7)));
//! let node = plane.add_node(NodeSpec {
//!     name: "node-a".into(),
//!     zone: "zone-1".into(),
//!     addresses: vec!["192.168.1.1".parse()?],
//!     pod_cidrs: vec!["10.244.1.0/24".parse()?],
//! });
//! let mut pod = |name: &str, address: &str| {
//!     let addresses = vec![address.parse().expect("an address")];
//!     plane.add_pod(HostSpec { name: name.into(), node, addresses })
//! };
//! let (client, web) = (pod("client", "10.244.1.2"), pod("web", "10.244.1.3"));
//! plane.listen(web, Protocol::TCP, 80)?;
//! let socket = plane.connect(client, "10.244.1.3:80".parse()?);
//! while plane.next_event_at().is_some() {
//!     if plane.step(&mut NoRules).contains(&PlaneEvent::Connected { socket }) {
//!         assert_eq!(plane.now().to_string(), "40us");
//!     }
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod balancer;
mod capture;
mod course;
mod decision;
mod dissect;
mod event;
mod faults;
mod foresight;
mod host;
mod icmp;
mod id;
mod impairment;
mod link;
mod network;
mod ping;
mod plane;
mod prefix;
mod probe;
mod queue;
mod run;
mod segment;
mod spec;
mod topology;
mod trace;

pub use capture::Captured;
pub use dissect::{Dissector, PacketHead};
pub use event::{DecisionAction, LostReason, Place, PlaneEvent, SocketError};
pub use foresight::{Blind, Exchange, Foresight};
pub use host::{ListenError, SendError};
pub use id::{HostId, NodeId, SocketId};
pub use impairment::{Impairment, LinkEnd, LinkError, Share};
pub use network::Door;
pub use ping::{EchoError, PingSpec};
pub use plane::{Plane, TableSource};
pub use probe::{ProbeAnswer, ProbeOutcome};
pub use segment::{FamilyMismatch, echo_request, sctp_init, tcp_syn, udp_datagram};
pub use spec::{HostSpec, NodeSpec, OutsideSpec, PlaneConfig};
pub use trace::{HopOutcome, PacketTrace, TraceHop};
