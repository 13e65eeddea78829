//! Whether a cluster is so large that a proxy goes easy on it.
//!
//! **Source of the semantics.** PROXY-45; kube-proxy 1.36 `iptables/proxier.go` (`largeClusterMode`).

use rules::{ClusterView, RulePlan, ServicePortView, SlicesByName};
use ruleset::Family;

/// Whether the endpoints of all service ports together, those of one family, are more than a small cluster has.
pub(crate) fn is_large(view: &ClusterView) -> bool {
    let largest = Family::ALL.map(|family| endpoints(view, family));
    largest.into_iter().max() > Some(RulePlan::SMALL_CLUSTER_ENDPOINTS_MAX)
}

fn endpoints(view: &ClusterView, family: Family) -> usize {
    let services = view.services.iter();
    let with_slices =
        services.filter_map(|(name, service)| Some((service, view.slices.get(name)?)));
    let of_ports = with_slices.flat_map(|(service, slices)| {
        let ports = service.ports.iter();
        ports.map(|port| of_port(slices, port, family))
    });
    of_ports.sum()
}

fn of_port(slices: &SlicesByName, port: &ServicePortView, family: Family) -> usize {
    let joined = slices.values().filter(|slice| {
        let mut ports = slice.ports.iter();
        let joins = ports.any(|one| (&one.name, one.protocol) == (&port.name, port.protocol));
        slice.family == family && joins
    });
    joined.map(|slice| slice.endpoints.len()).sum()
}
