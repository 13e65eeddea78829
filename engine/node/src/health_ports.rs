//! Listening at the health-check node ports of Services.
//!
//! **Source of the semantics.** PROXY-69, PROXY-70; kube-proxy 1.36 `pkg/proxy/healthcheck/service_health.go`.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use proxy::HealthCheck;
use rules::{NodeFacts, NodePortAddresses, ServiceName};
use ruleset::Family;

use crate::http_server::HttpServer;
use crate::status::SharedStatus;

/// The servers that are up, by port.
#[derive(Default)]
pub(crate) struct HealthPorts {
    open: BTreeMap<u16, Vec<HttpServer>>,
}

/// A port that nobody listens at.
pub(crate) struct PortFailure {
    pub(crate) service: ServiceName,
    pub(crate) port: u16,
    pub(crate) error: io::Error,
}

impl HealthPorts {
    /// Listens at these ports and no others. Says which could not be had; they are tried again the next time.
    ///
    /// What is answered at a port is looked up when somebody asks, so a port that another Service has now stays open.
    pub(crate) fn sync(
        &mut self,
        checks: &BTreeMap<u16, HealthCheck>,
        facts: &NodeFacts,
        status: &SharedStatus,
    ) -> Vec<PortFailure> {
        self.open.retain(|port, _| checks.contains_key(port));
        let mut failures = Vec::new();
        for (port, check) in checks {
            if self.open.contains_key(port) {
                continue;
            }
            match listen(*port, facts, status) {
                Ok(servers) => drop(self.open.insert(*port, servers)),
                Err(error) => failures.push(PortFailure {
                    service: check.service.clone(),
                    port: *port,
                    error,
                }),
            }
        }
        failures
    }
}

/// At all addresses that take node ports, or at none.
fn listen(port: u16, facts: &NodeFacts, status: &SharedStatus) -> io::Result<Vec<HttpServer>> {
    let serve = |address: IpAddr| {
        let status = status.clone();
        HttpServer::start(SocketAddr::new(address, port), move |_| {
            status.answer_check(port)
        })
    };
    let addresses = facts.addresses.iter().copied();
    let chosen: Vec<IpAddr> = match &facts.node_port_addresses {
        // On Linux, this one takes IPv4 as well; without IPv6 it is not there.
        NodePortAddresses::All => {
            let both = serve(Ipv6Addr::UNSPECIFIED.into());
            let one = both.or_else(|_| serve(Ipv4Addr::UNSPECIFIED.into()));
            return Ok(vec![one?]);
        }
        NodePortAddresses::Primary => {
            let primary = |family| facts.primary_address(family);
            Family::ALL.into_iter().filter_map(primary).collect()
        }
        NodePortAddresses::Within(ranges) => {
            let inside = |address: &IpAddr| ranges.iter().any(|range| range.contains(address));
            addresses.filter(inside).collect()
        }
    };
    chosen.into_iter().map(serve).collect()
}
