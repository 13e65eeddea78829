//! Whether a cluster is so large that its rules say less.
//!
//! **What.** A view carries the number of its endpoints, a proxy goes from it to a size of each family's cluster. **Why.**
//! A size is an input of the compiler, as the view is: rules are those of a view and a size, whatever they were before.
//! **Source of the semantics.** PROXY-45; kube-proxy 1.36 `iptables/proxier.go` (`largeClusterMode`).
//!
//! Deviation: kube-proxy has one threshold and compares at each sync. There, only the chains of Services that change are
//! written in another form when a cluster crosses it; here, rules are what a full compile gives, so a cluster that
//! goes back and forth would have all chains of endpoints written each time. So one that has become large stays
//! so until a tenth of the threshold is gone.

use ruleset::Family;

use crate::{ClusterView, ServiceView, SliceView};

/// The number of endpoints, ready or not, over all service ports.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EndpointCounts {
    /// With IPv4 addresses.
    pub v4: usize,
    /// With IPv6 addresses.
    pub v6: usize,
}

impl EndpointCounts {
    /// Those of a family.
    #[must_use]
    pub const fn of(self, family: Family) -> usize {
        match family {
            Family::V4 => self.v4,
            Family::V6 => self.v6,
        }
    }

    /// Counts the endpoints that a slice gives a Service, one for each port of the Service.
    pub fn add(&mut self, service: &ServiceView, slice: &SliceView) {
        *self.of_mut(slice.family) += joined(service, slice);
    }

    /// Takes back what [`Self::add`] counted.
    pub fn subtract(&mut self, service: &ServiceView, slice: &SliceView) {
        *self.of_mut(slice.family) -= joined(service, slice);
    }

    const fn of_mut(&mut self, family: Family) -> &mut usize {
        match family {
            Family::V4 => &mut self.v4,
            Family::V6 => &mut self.v6,
        }
    }
}

fn joined(service: &ServiceView, slice: &SliceView) -> usize {
    if service.cluster_ip(slice.family).is_none() {
        return 0;
    }
    let joins = |name, protocol| {
        let mut ports = slice.ports.iter();
        ports.any(|port| (&port.name, port.protocol) == (name, protocol))
    };
    let ports = service.ports.iter();
    let ports = ports.filter(|port| joins(&port.name, port.protocol));
    ports.count() * slice.endpoints.len()
}

impl ClusterView {
    /// Counts all endpoints anew. Who changes a view step by step keeps the count instead.
    pub fn recount(&mut self) {
        let mut counts = EndpointCounts::default();
        for (_, service, slices) in self.services.existing() {
            slices.values().for_each(|slice| counts.add(service, slice));
        }
        self.endpoints = counts;
    }
}

/// For each family, whether a cluster counts as large (PROXY-45): rules for endpoints then have no comments, in iptables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClusterSizes {
    /// By [`Family`].
    large: [bool; 2],
}

impl ClusterSizes {
    /// The greatest number of endpoints, ready or not, over all service ports of a cluster that is not large:
    /// kube-proxy's `largeClusterEndpointsThreshold`.
    pub const SMALL_ENDPOINTS_MAX: usize = 1000;
    /// The least number of endpoints of one that stays large.
    pub const LARGE_ENDPOINTS_MIN: usize = 900;

    /// Those before there is any view.
    pub const SMALL: Self = Self {
        large: [false, false],
    };

    /// Those of a view, for whom it is the first.
    #[must_use]
    pub fn of(view: &ClusterView) -> Self {
        Self::SMALL.after(view)
    }

    /// Those of a view that comes next.
    #[must_use]
    pub fn after(self, view: &ClusterView) -> Self {
        let large = Family::ALL.map(|family| {
            let least = match self.is_large(family) {
                true => Self::LARGE_ENDPOINTS_MIN,
                false => Self::SMALL_ENDPOINTS_MAX + 1,
            };
            view.endpoints.of(family) >= least
        });
        Self { large }
    }

    /// Whether the cluster of a family is large.
    #[must_use]
    pub const fn is_large(self, family: Family) -> bool {
        self.large[family as usize]
    }

    /// Whether that of either family is.
    #[must_use]
    pub const fn any_large(self) -> bool {
        self.large[0] || self.large[1]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proxy_45_a_large_cluster_stays_large_for_a_while() {
        let mut sizes = ClusterSizes::SMALL;
        for (v4, v6, large) in [
            (1000, 0, [false, false]),
            (1001, 1000, [true, false]),
            (1000, 1001, [true, true]),
            (900, 899, [true, false]),
            (899, 1000, [false, false]),
            (1000, 900, [false, false]),
        ] {
            let view = ClusterView {
                endpoints: EndpointCounts { v4, v6 },
                ..ClusterView::default()
            };
            sizes = sizes.after(&view);
            assert_eq!(sizes.large, large, "{v4} and {v6}");
            assert_eq!(sizes.any_large(), large.contains(&true));
            assert_eq!(ClusterSizes::of(&view).large, [v4 > 1000, v6 > 1000]);
        }
    }
}
