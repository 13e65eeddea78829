//! What Services are given out of finite stocks: virtual IPs and node ports.
//!
//! **What.** [`ClusterIps`] and [`NodePorts`] know what is taken, give out what is free, and take it back. Both
//! choose from a `Range` of numbers in two bands.
//! **Why.** Taken numbers are kept in ordered sets rather than bitmaps, so that a huge IPv6 range costs nothing,
//! and the sets are persistent, so that a request works on a copy which is thrown away when it fails.
//! **Source of the semantics.** ALLOC-8 … ALLOC-18, ALLOC-46 … ALLOC-59.

mod cluster_ips;
mod node_ports;
mod range;

pub use cluster_ips::{AllocateError, ClusterIps};
pub use node_ports::{NodePorts, PortError};
