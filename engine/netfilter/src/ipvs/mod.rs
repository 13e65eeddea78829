//! Virtual servers: how IPVS shares connections out (PROXY-57, PROXY-58).
//!
//! **What.** At the end of the input hook and in the output hook the kernel looks whether a packet is for a virtual
//! server, and gives its connection to a real one; the answers get the virtual server's address back on their way out.
//! **Why.** The real server is chosen by what is remembered (whose turn it is, who has how many connections), not by
//! chance. **Source of the semantics.** Linux `net/netfilter/ipvs/ip_vs_core.c`, `ip_vs_xmit.c`, `ip_vs_conn.c`,
//! `ip_vs_nfct.c`, the schedulers in `ip_vs_*.c`, and the settings that kube-proxy makes (PROXY-60).

mod connections;
mod load;
mod schedule;
mod serve;
mod sets;
mod tcp;

pub(crate) use connections::{VirtualChange, VirtualConnections};
pub(crate) use load::check;
