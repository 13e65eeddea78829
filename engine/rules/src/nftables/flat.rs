//! The layout of our own: Services are elements of maps, and chains only where they must be.
//!
//! **What.** The same frame as in kube-proxy's layout, and in it these tables, by what a packet is looked up with:
//!
//! | key | container | leads to |
//! |---|---|---|
//! | address . protocol . port . number below N | map `endpoints-N`, one for each number of endpoints N that occurs | endpoint address . port |
//! | protocol . port . number below N | map `nodeport-endpoints-N` | endpoint address . port |
//! | address . protocol . port | sets `flat-services`, `masquerade-services`, `rejected-services`, `dropped-services` | |
//! | protocol . port | sets `flat-nodeports`, `masquerade-nodeports`, `rejected-nodeports`, `dropped-nodeports` | |
//! | address . protocol . port | map `service-ips` | chains, as in kube-proxy's layout |
//! | protocol . port | map `service-nodeports` | chains, as in kube-proxy's layout |
//!
//! A chain for each N, of one rule, draws a number and looks it up together with the packet's destination; a packet that is
//! not there goes on to the next. So chains and rules grow with the distinct N and not with Services, no rule has a map of
//! its own, and of a Service whose endpoints change only elements do.
//!
//! By the kind of a frontend:
//!
//! | frontend | where |
//! |---|---|
//! | ClusterIP, internal policy Cluster or Local | `endpoints-N` of the policy's set; masquerade as in kube-proxy's layout, by `cluster-ips` |
//! | external IP, load-balancer IP, policy Cluster | `endpoints-N` and `masquerade-services` |
//! | node port, policy Cluster | `nodeport-endpoints-N` and `masquerade-nodeports` |
//! | any that cannot be served | `rejected-…`, `dropped-…` |
//! | load-balancer IP with source ranges | as above, and `firewall-ips` before it |
//!
//! **Why.** Every anonymous map makes a transaction of nftables slower in the kernel, and every element that leads to a
//! chain has it look at chains again; an element of a map to data does neither.
//!
//! **Guard.** A Service that goes from four endpoints to three moves from one map to another. Both happens in one
//! transaction, but a packet may look into the first before and into the second after it, and miss both. So every
//! frontend is in `flat-…` as well, and a packet that is there but was not translated is dropped: its client sends again.
//! (A process of the node itself that sends UDP is told so, by `EPERM`.)
//!
//! Deviation: these frontends have chains as in kube-proxy's layout, because where they lead depends on more than the
//! packet's destination: those of Services with session affinity (a map cannot give a timeout, and `update` does not
//! replace data), those with external policy Local (the node and Pods short-circuit it, PROXY-25), and those with more
//! than [`COUNT_MAX`] endpoints (a rule for each such number would cost every packet more than a chain does).

use crate::{ExternalPlan, ExternalRoute, ServicePortPlan, TrafficPolicy};

/// The most endpoints of a frontend that has no chain.
pub(super) const COUNT_MAX: usize = 128;

/// How the Services of a node are laid out in its table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Layout {
    /// As kube-proxy 1.36 does it.
    KubeProxy,
    /// As this module does it.
    Flat,
}

/// The number of endpoints that a packet without a chain chooses from; `None` when it takes a chain.
pub(super) fn count(plan: &ServicePortPlan, policy: TrafficPolicy) -> Option<u32> {
    let endpoints = plan.endpoints(policy).len();
    let is_flat = plan.affinity_seconds.is_none() && (1..=COUNT_MAX).contains(&endpoints);
    is_flat.then(|| u32::try_from(endpoints).expect("there are few"))
}

/// The same for external traffic: all of it chooses alike only with policy Cluster.
pub(super) fn external_count(plan: &ServicePortPlan, external: &ExternalPlan) -> Option<u32> {
    let chooses_alike = external.route == ExternalRoute::Cluster;
    count(plan, TrafficPolicy::Cluster).filter(|_| chooses_alike)
}

/// Whether rules lead to the chain of a set.
pub(super) fn needs_chain(plan: &ServicePortPlan, policy: TrafficPolicy) -> bool {
    let is_short_circuited = plan
        .external
        .as_ref()
        .is_some_and(|external| matches!(external.route, ExternalRoute::Local { .. }));
    is_short_circuited || count(plan, policy).is_none()
}
