//! The kernel as a proxy's sink, by IPVS.
//!
//! **What.** [`IpvsTools`] runs `ipvsadm`, `ipset`, `ip` and `sysctl`; [`IpvsSink`] reads by them what is there, and writes
//! what differs, step by step. **Why.** A kernel takes virtual servers, sets, addresses and rules each by itself, so the
//! order of the steps is all that keeps clients served in between, and whoever fails in the middle must find on from there.
//! So each full commit starts from what is there, whoever left it.
//!
//! What is a proxy's is told by names and by what it belongs to: the sets and chains by their names, the device
//! `kube-ipvs0` and all single addresses on it; and virtual servers at these addresses, at an address and port that one of
//! the sets has, or with a port that is in the sets of node ports, as the node may have lost an address since. Sets get
//! their entries before a virtual server comes, and lose them after it has gone, so no virtual server of a proxy is missed.
//! All others are left alone.
//!
//! **Source of the semantics.** PROXY-57 … PROXY-61; kube-proxy 1.36 `pkg/proxy/ipvs/`: `graceful_termination.go`,
//! `cleanup.go`, `proxier.go`; ipvsadm(8) 1.31, ipset(8) 7.17, ip-address(8).
//!
//! Deviation: kube-proxy takes every virtual server for its own, but for those in `excludeCIDRs`; `--cleanup` clears them
//! all. `conn_reuse_mode` stays as it is: kernels from 5.9 on need no other (PROXY-60). The node's own
//! addresses are those that it has when `switchboard node` starts; kube-proxy looks at each sync.

mod addresses;
mod connections;
mod present;
mod sink;
mod tools;

pub use sink::{IpvsLoaded, IpvsSink};
pub use tools::IpvsTools;
