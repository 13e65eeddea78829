//! What kube-proxy's IPVS mode puts on a node, for one family.
//!
//! **What.** [`IpvsTables`] are three things: virtual servers with their real servers, sets of addresses and ports, and
//! the iptables rules that look into these sets. Beside them stands the device that holds the addresses of Services.
//! **Why.** The kernel balances by the virtual servers and hides sources by the rules; neither says all without the
//! other. **Source of the semantics.** ipvsadm(8), ipset(8), iptables-extensions(8) (`set`); kube-proxy 1.36
//! `pkg/proxy/ipvs/`; PROXY-57 … PROXY-61.
//!
//! ```
//! use switchboard_ruleset::ipvs;
//!
//! let text = "-A -t 10.96.0.40:80 -s rr -p 10800\n-a -t 10.96.0.40:80 -r 10.244.1.5:8080 -m -w 1\n";
//! let servers = ipvs::parse_servers(text)?;
//! assert_eq!(ipvs::servers_text(&servers), text);
//! # Ok::<(), ipvs::IpvsParseError>(())
//! ```

mod error;
mod server;
mod server_list;
mod server_text;
mod set;
mod set_list;
mod set_text;
mod step;
mod transaction;

use std::net::IpAddr;
use std::sync::Arc;

use imbl::OrdMap;

pub use error::{IpvsParseError, IpvsParseErrorKind};
pub use server::{Forwarding, RealServer, Scheduler, ServerKey, VirtualServer};
pub use server_list::{ServerLoad, servers_list};
pub use server_text::{parse_servers, servers_text};
pub use set::{Set, SetEntry, SetKind, SetName, SetParts};
pub use set_list::sets_list;
pub use set_text::{parse_sets, sets_text};
pub use step::{IpvsStep, IpvsTool};
pub use transaction::{Drained, IpvsCommand, IpvsTransaction};

use crate::Family;
use crate::xt::XtTables;

/// Virtual servers, by what clients call.
pub type VirtualServers = OrdMap<ServerKey, Arc<VirtualServer>>;

/// Sets, by name.
pub type Sets = OrdMap<SetName, Set>;

/// All that one owner put on a node, of one family. Copies share what is equal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IpvsTables {
    /// IPv4 or IPv6.
    pub family: Family,
    /// What `ipvsadm` shows.
    pub servers: VirtualServers,
    /// What `ipset` shows.
    pub sets: Sets,
    /// What `iptables` (or `ip6tables`) shows.
    pub rules: Arc<XtTables>,
    /// The set that lists what is bound to [`DEVICE`]: whatever is in it is an address of the node's own.
    pub bound: SetName,
}

/// The dummy device that holds the addresses of Services (PROXY-57).
pub const DEVICE: &str = "kube-ipvs0";

impl IpvsTables {
    /// Nothing.
    #[must_use]
    pub fn new(family: Family, bound: SetName) -> Self {
        Self {
            family,
            servers: OrdMap::new(),
            sets: OrdMap::new(),
            rules: Arc::new(XtTables::new(family)),
            bound,
        }
    }

    /// Whether an address is bound to [`DEVICE`].
    #[must_use]
    pub fn is_bound(&self, address: IpAddr) -> bool {
        let bound = self.sets.get(&self.bound);
        bound.is_some_and(|set| set.entries.contains(&SetEntry::Address(address)))
    }

    /// The addresses that are bound to [`DEVICE`].
    pub fn addresses(&self) -> impl Iterator<Item = IpAddr> {
        let bound = self.sets.get(&self.bound).into_iter();
        bound
            .flat_map(|set| &set.entries)
            .filter_map(|entry| match entry {
                SetEntry::Address(address) => Some(*address),
                _ => None,
            })
    }

    /// What makes the device hold its addresses, for `ip -batch`.
    #[must_use]
    pub fn device_text(&self) -> String {
        self.addresses().map(step::bind_line).collect()
    }
}
