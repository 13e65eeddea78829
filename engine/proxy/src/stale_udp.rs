//! UDP connections that a change of endpoints has left behind.
//!
//! **What.** [`StaleUdp`] picks the conntrack entries that a proxy deletes after a sync. **Why.** Translation is decided
//! once per connection (PROXY-72), and UDP has no end that conntrack could see: a client that keeps its port would send
//! to a dead endpoint for as long as it sends. **Source of the semantics.** PROXY-73, PROXY-74; kube-proxy 1.36
//! `pkg/proxy/conntrack/cleanup.go` (`CleanStaleEntries`) and `endpointschangetracker.go` (`ConntrackCleanupRequired`).
//! TCP and SCTP connections are never cleaned up.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use rules::{ClusterView, ServicePortView, ServiceView, SlicesByName};
use ruleset::{Family, Protocol};

/// Endpoints that may answer at a frontend.
type Serving = Arc<BTreeSet<SocketAddr>>;

/// Which UDP connections are stale: those to a Service that are not answered by one of its serving endpoints.
///
/// Traffic policies and topology do not count: an endpoint that serves keeps its clients. A service port without any
/// serving endpoint keeps all its connections.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StaleUdp {
    by_address: BTreeMap<SocketAddr, Serving>,
    /// Whatever the address is: kube-proxy does not look at it.
    by_node_port: BTreeMap<u16, Serving>,
}

impl StaleUdp {
    /// What is stale after a sync from one view to another; `None` when no slice with a UDP port has changed, as
    /// nothing is looked for then.
    #[must_use]
    pub fn between(before: &ClusterView, after: &ClusterView) -> Option<Self> {
        has_changed(before, after).then(|| Self::of(after))
    }

    fn of(view: &ClusterView) -> Self {
        let mut stale = Self::default();
        for (_, service, slices) in view.services.existing() {
            let ports = service.ports.iter();
            for port in ports.filter(|port| port.protocol == Protocol::UDP) {
                for family in Family::ALL {
                    let serving = serving(slices, port, family);
                    if !serving.is_empty() {
                        stale.add(service, port, family, &Arc::new(serving));
                    }
                }
            }
        }
        stale
    }

    fn add(
        &mut self,
        service: &ServiceView,
        port: &ServicePortView,
        family: Family,
        serving: &Serving,
    ) {
        let addresses = service.cluster_ips.iter();
        let addresses = addresses.chain(&service.external_ips);
        let addresses = addresses.chain(&service.load_balancer_ips);
        for address in addresses.filter(|address| Family::of(**address) == family) {
            let frontend = SocketAddr::new(*address, port.port);
            self.by_address.insert(frontend, Arc::clone(serving));
        }
        if let Some(number) = port.node_port {
            // A port of both families has the endpoints of both.
            let known = self.by_node_port.entry(number).or_default();
            Arc::make_mut(known).extend(serving.iter());
        }
    }

    /// Whether nothing can be stale.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_address.is_empty() && self.by_node_port.is_empty()
    }

    /// Whether a UDP connection is stale that was opened to `destination`, and whose answers come from `answering`.
    #[must_use]
    pub fn picks(&self, destination: SocketAddr, answering: SocketAddr) -> bool {
        let of_address = self.by_address.get(&destination);
        let of_port = self.by_node_port.get(&destination.port());
        let mut serving = of_address.into_iter().chain(of_port);
        serving.any(|serving| !serving.contains(&answering))
    }
}

fn has_changed(before: &ClusterView, after: &ClusterView) -> bool {
    let has_udp = |slices: &SlicesByName| {
        let mut ports = slices.values().flat_map(|slice| &slice.ports);
        ports.any(|port| port.protocol == Protocol::UDP)
    };
    let mut changes = before.services.diff(&after.services);
    changes.any(|(_, was, is)| {
        let [was, is] = [was, is].map(|entry| entry.map(|entry| &entry.slices));
        was != is && [was, is].into_iter().flatten().any(has_udp)
    })
}

/// The endpoints of a service port that serve, be they ready or terminating.
fn serving(slices: &SlicesByName, port: &ServicePortView, family: Family) -> BTreeSet<SocketAddr> {
    let of_family = slices.values().filter(|slice| slice.family == family);
    let sockets = of_family.flat_map(|slice| {
        let joined = slice.ports.iter().filter(|slice_port| {
            (&slice_port.name, slice_port.protocol) == (&port.name, port.protocol)
        });
        joined.flat_map(|slice_port| {
            let serving = slice.endpoints.iter().filter(|endpoint| endpoint.serving);
            let at = |address: IpAddr| SocketAddr::new(address, slice_port.port);
            serving.map(move |endpoint| at(endpoint.address))
        })
    });
    sockets.collect()
}
