//! The repair of node ports: what Services state is taken, and what nobody states is given back.
//!
//! **Source of the semantics.** ALLOC-34, ALLOC-35; S: `portallocator/controller/repair.go`. Its `PortRangeFull` cannot
//! happen: a port that is asked for by its number is free, taken or out of range.

use std::collections::BTreeSet;
use std::sync::Arc;

use base::SimTime;

use super::ApiServer;
use super::events::Teller;
use crate::object::{Object, Service};
use crate::strategy::service::held_by;

/// How many comparisons in a row must find a port that nobody has before it is given back (ALLOC-34).
const COMPARISONS: u8 = 3;

impl ApiServer {
    /// Compares the node ports that are taken with those of the Services; whether all was right.
    pub(super) fn repair_ports(&mut self, services: &[Arc<Service>], now: SimTime) -> bool {
        let mut unclaimed: BTreeSet<i32> = self.pools.node_ports.taken().collect();
        let mut claimed = BTreeSet::new();
        let mut is_right = true;
        for service in services {
            for port in held_by(service) {
                let is_taken = unclaimed.remove(&port);
                let complaint = self.port_complaint(port, is_taken, claimed.insert(port));
                if let Some((reason, message)) = complaint {
                    let about = Object::Service(Arc::clone(service));
                    self.tell(Teller::NodePorts, &about, reason, message, now);
                    is_right = false;
                }
            }
        }
        self.give_back_leaks(&unclaimed);
        is_right && unclaimed.is_empty()
    }

    /// What is wrong with a port of a Service: a reason and a message. A port that is not taken is, afterwards.
    fn port_complaint(
        &mut self,
        port: i32,
        is_taken: bool,
        is_first: bool,
    ) -> Option<(&'static str, String)> {
        let ports = self.pools.node_ports.range();
        let complaint = if !u16::try_from(port).is_ok_and(|port| ports.contains(&port)) {
            let range = format!("{}-{}", ports.start(), ports.end());
            let text = format!("is not within the port range {range}; please recreate service");
            ("PortOutOfRange", text)
        } else if !is_first {
            let text = "was assigned to multiple services; please recreate service";
            ("PortAlreadyAllocated", text.to_owned())
        } else if is_taken {
            return None;
        } else {
            let taken = self.pools.node_ports.reserve(port);
            debug_assert!(taken.is_ok(), "it is in range and free");
            ("PortNotAllocated", "is not allocated; repairing".to_owned())
        };
        let (reason, text) = complaint;
        Some((reason, format!("Port {port} {text}")))
    }

    fn give_back_leaks(&mut self, unclaimed: &BTreeSet<i32>) {
        let leaks = &mut self.upkeep.leaks;
        leaks.retain(|port, _| unclaimed.contains(port));
        for port in unclaimed {
            let seen = leaks.entry(*port).or_insert(0);
            *seen += 1;
            if *seen == COMPARISONS {
                leaks.remove(port);
                self.pools.node_ports.release(*port);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use base::Seed;

    use super::*;
    use crate::ApiConfig;

    /// A server that has crashed between taking a port and storing its Service would have this.
    #[test]
    fn alloc_34_a_leaked_port_is_given_back_at_the_third_comparison() {
        let mut server = ApiServer::new(
            ApiConfig {
                service_cidrs: vec!["10.96.0.0/12".parse().unwrap()],
                node_port_range: 30_000..=32_767,
                dns_domain: "cluster.local".to_owned(),
                api_servers: Vec::new(),
                seed: Seed::new(7),
            },
            SimTime::ZERO,
        );
        let leak = |server: &mut ApiServer| server.pools.node_ports.reserve(30_500);
        leak(&mut server).unwrap();
        server.repair(SimTime::ZERO);
        server.repair(SimTime::ZERO);
        assert!(leak(&mut server).is_err());
        // Whoever is seen to have it in between starts the count again.
        server.pools.node_ports.release(30_500);
        server.repair(SimTime::ZERO);
        leak(&mut server).unwrap();
        for _ in 0..2 {
            server.repair(SimTime::ZERO);
            assert!(leak(&mut server).is_err());
            assert!(server.next_periodic().is_some(), "it is looked at again");
        }
        server.repair(SimTime::ZERO);
        assert!(leak(&mut server).is_ok());
    }
}
