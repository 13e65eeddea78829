//! What Services are given out of finite stocks: virtual IPs and node ports.
//!
//! **What.** [`ClusterIps`] and [`NodePorts`] know what is taken, give out what is free, and take it back. Both
//! choose from a `Range` of numbers in two bands.
//! **Why.** Taken numbers are kept as runs rather than in bitmaps, so that a huge IPv6 range costs nothing and a full
//! one little, and the runs are persistent, so that a request works on a copy which is thrown away when it fails.
//! **Source of the semantics.** ALLOC-8 … ALLOC-18, ALLOC-46 … ALLOC-59.

mod cluster_ips;
mod node_ports;
mod range;
mod runs;

pub(crate) use cluster_ips::first_usable;
pub use cluster_ips::{AllocateError, ClusterIps};
pub use node_ports::{NodePorts, PortError};
