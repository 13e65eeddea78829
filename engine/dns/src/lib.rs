//! Cluster DNS: records, answers, wire format, and a Pod's resolver.
//!
//! **What.** [`ClusterZone`] follows the API's watch and answers questions about the cluster's names; [`serve`]
//! puts it behind the wire format; [`ResolvConf`] and [`Lookup`] are what runs in a Pod.
//! **Why.** Nothing here does I/O or knows sockets: bytes in, bytes out, time as an argument, so the same code
//! answers in a simulation and in a test. **Source of the semantics.** DNS-4 … DNS-68; the DNS specification of
//! Kubernetes, schema 1.1.0; RFC 1035; resolv.conf(5).
//!
//! ```
//! use switchboard_dns::ResolvConf;
//!
//! let conf = ResolvConf::cluster_first("10.96.0.10".parse().unwrap(), "shop", "cluster.local");
//! let names: Vec<String> = conf.candidates("cart.billing").collect();
//! assert_eq!(names[0], "cart.billing.shop.svc.cluster.local."); // DNS-60
//! assert_eq!(names[1], "cart.billing.svc.cluster.local.");
//! ```

mod answer;
mod brief;
mod cache;
mod config;
mod corefile;
mod find;
mod lookup;
mod message;
mod pod;
mod resolv_conf;
mod reverse;
mod stream;
mod wire;
mod zone;

pub use brief::brief;
pub use cache::Cache;
pub use config::{PodsMode, ServerOptions, Upstream};
pub use corefile::{Corefile, CorefileError};
pub use lookup::{Lookup, LookupStep, Query, QueryResult, Resolved, Transport};
pub use message::{Question, Rcode, Record, RecordData, RecordType, Response};
pub use pod::{ClusterDns, Forming, PodResolver};
pub use resolv_conf::{ResolvConf, UnknownOption};
pub use reverse::reverse_name;
pub use stream::{framed, take_messages};
pub use wire::{TCP_MAX, UDP_MAX, WireError, parse_response, query, serve, serve_by};
pub use zone::ClusterZone;

/// Name and namespace of the Service of cluster DNS (DNS-1).
pub const DNS_SERVICE: (&str, &str) = ("kube-dns", "kube-system");
