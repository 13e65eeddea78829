//! Virtual servers as `ipvsadm -L -n` prints them.
//!
//! Source: `print_title` and `print_service_and_dests` of ipvsadm 1.31.
//!
//! Deviation: servers stand sorted, where a kernel has the order of its hash table.

use std::fmt::Write as _;
use std::net::SocketAddr;

use super::server_text::flag_words;
use super::{Forwarding, ServerKey, VirtualServers};

/// How many connections a real server has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ServerLoad {
    /// Established ones.
    pub active: u32,
    /// All others.
    pub inactive: u32,
}

/// The kernel's version of IPVS, and the size of its table of connections (`CONFIG_IP_VS_TAB_BITS`).
const TITLE: &str = "\
IP Virtual Server version 1.2.1 (size=4096)
Prot LocalAddress:Port Scheduler Flags
  -> RemoteAddress:Port           Forward Weight ActiveConn InActConn
";

/// The table of all servers; `load` tells of a real server's connections.
#[must_use]
pub fn servers_list<'a>(
    servers: impl IntoIterator<Item = &'a VirtualServers>,
    load: impl Fn(&ServerKey, SocketAddr) -> ServerLoad,
) -> String {
    let mut text = TITLE.to_owned();
    for (key, server) in servers.into_iter().flatten() {
        let protocol = key.protocol.to_string().to_uppercase();
        let _ = write!(text, "{protocol:<4} {} {}", key.address, server.scheduler);
        if let Some(seconds) = server.persistence {
            let _ = write!(text, " persistent {seconds}");
        }
        let flags = flag_words(server);
        if !flags.is_empty() {
            let _ = write!(text, " ({})", flags.join(","));
        }
        text.push('\n');
        for (address, real) in &server.real_servers {
            let way = match real.forwarding {
                Forwarding::Masquerading => "Masq",
                Forwarding::DirectRouting => "Route",
                Forwarding::Tunnelling => "Tunnel",
            };
            let ServerLoad { active, inactive } = load(key, *address);
            let _ = writeln!(
                text,
                "  -> {:<28} {way:<7} {:<6} {active:<10} {inactive:<10}",
                address.to_string(),
                real.weight
            );
        }
    }
    text
}
