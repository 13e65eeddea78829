//! What the evaluator must know of the node beside its tables: its addresses, routes and interfaces.
//!
//! Whoever owns the network answers; the evaluator asks once per packet and decision (Linux `ip_route_input`,
//! `ip_route_output`, `inet_addr_type`).

use std::net::IpAddr;
use std::sync::Arc;

/// The name of the loopback interface.
pub const LOOPBACK: &str = "lo";

/// A node's addresses and routes.
pub trait Routing {
    /// Whether the address is one of the node's own. Loopback addresses need not be answered for: they always
    /// are.
    fn is_local(&self, address: IpAddr) -> bool;

    /// The way to an address that is not local; `None` when there is none.
    fn route(&self, destination: IpAddr) -> Option<Hop>;
}

/// One step of a route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hop {
    /// The outgoing interface.
    pub interface: Arc<str>,
    /// That interface's address of the destination's family: what a masqueraded connection comes from.
    pub source_address: IpAddr,
}

/// Where a packet enters the node's hooks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ingress<'a> {
    /// It arrived at this interface: prerouting first.
    Interface(&'a str),
    /// The node itself made it: output first.
    Local,
}
