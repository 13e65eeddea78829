//! Kubernetes objects, defaulting, validation, VIP allocation, the versioned store and its watch.
//!
//! **What.** User files become [`yaml::Document`]s, documents become [`Object`]s ([`decode`]), and an
//! [`ApiServer`] stores them: it completes them, checks them, gives Services virtual IPs and node ports, and logs every
//! change.
//! **Why.** Everything else in the workspace reads objects from here. The log is append-only and persistent, so
//! a watch is a number, and a refused request leaves no trace.
//! **Source of the semantics.** API-*, ALLOC-* of the reference (Kubernetes 1.36.2); texts are compared with
//! recordings of a real server in `tests/recorded.rs`.
//!
//! ```
//! use switchboard_api::{ApiConfig, ApiServer, Kind, decode, yaml};
//! use base::{Seed, SimTime};
//!
//! let config = ApiConfig {
//!     service_cidrs: vec!["10.96.0.0/12".parse()?],
//!     node_port_range: 30_000..=32_767,
//!     dns_domain: "cluster.local".to_owned(),
//!     api_servers: Vec::new(),
//!     seed: Seed::new(7),
//! };
//! let mut server = ApiServer::new(config, SimTime::ZERO);
//! let text = "{apiVersion: v1, kind: Service, metadata: {name: web}, spec: {ports: [{port: 80}]}}";
//! for document in yaml::split(&yaml::Source::new("web.yaml", text))? {
//!     for manifest in decode(&document)? {
//!         let written = server.apply(manifest.object, SimTime::ZERO)?;
//!         assert_eq!(written.to_string(), "service/web created");
//!     }
//! }
//! assert_eq!(server.list(Kind::Service, None).count(), 2);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod address;
mod allocator;
mod apply;
mod decode;
mod family;
mod field;
mod list;
mod names;
pub mod object;
mod patch;
mod schema;
mod selector;
mod server;
mod status;
mod store;
mod strategy;
mod timestamp;
mod validate;
mod watch;
pub mod yaml;

pub use address::parse_address;
pub use allocator::{AllocateError, ClusterIps, NodePorts, PortError};
pub use apply::LAST_APPLIED;
pub use decode::{DecodeFailure, Manifest, decode, decode_stored};
pub use family::IpFamily;
pub use list::{List, Scope, Version};
pub use names::generate_name;
pub use object::*;
pub use patch::merge_patch;
pub use selector::{FieldSelector, Requirement, Selector, SelectorError, Test, matches};
pub use server::{ApiConfig, ApiServer, DeleteOptions, Propagation, Verb, Written};
pub use status::{Cause, Reason, Status};
pub use store::{Change, WatchEvent};
pub use timestamp::{
    EPOCH_UNIX_SECONDS, earlier_timestamp, parse_timestamp, parse_unix_nanos, timestamp,
    timestamp_nanos,
};
pub use watch::{Watch, WatchFrom, WatchOptions, WatchOutput};
