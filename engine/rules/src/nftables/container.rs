//! The sets and maps of the frame (PROXY-50), which service ports fill.

use std::sync::Arc;

use ruleset::nft::{
    Comment, DataType, Ident, Key, NftMap, NftSet, Place, SetOptions, SetOrMap, Verdict,
};
use ruleset::{Family, OriginId, Sorted};

use super::flat::Layout;
use super::flat_kind::{FlatKind, FlatTable};

/// An element of a set or a map of the frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct FragmentElement {
    pub(super) container: Container,
    pub(super) key: Key,
    /// In a map.
    pub(super) verdict: Option<Verdict>,
    pub(super) comment: Option<Comment>,
    /// Where whoever is sent on by it and comes back is dropped: the kind of its frontend.
    pub(super) guard: Option<FlatKind>,
    pub(super) origin: OriginId,
}

/// The containers of the frame (PROXY-50), in kube-proxy's order of creation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Container {
    /// Set: connections of endpoints to themselves.
    HairpinConnections,
    /// Set: all ClusterIPs.
    ClusterIps,
    /// Set: addresses that take node ports.
    NodePortIps,
    /// Map: frontends that cannot be served.
    NoEndpointServices,
    /// Map: node ports that cannot be served.
    NoEndpointNodePorts,
    /// Map: load-balancer IPs with source ranges.
    FirewallIps,
    /// Map: frontends that can be served.
    ServiceIps,
    /// Map: node ports that can be served.
    ServiceNodePorts,
    /// Set: addresses of endpoints, twice each. This one and all that follow are of the layout of our own.
    HairpinAddresses,
    /// Set: frontends that are refused.
    RejectedServices,
    /// Set: node ports that are refused.
    RejectedNodePorts,
    /// Set: frontends that are dropped.
    DroppedServices,
    /// Set: node ports that are dropped.
    DroppedNodePorts,
    /// Of frontends without chains.
    Flat(FlatKind, FlatTable),
}

impl Container {
    /// Those of kube-proxy, in the order of creation.
    const KUBE_PROXY: [Self; 8] = [
        Self::HairpinConnections,
        Self::ClusterIps,
        Self::NodePortIps,
        Self::NoEndpointServices,
        Self::NoEndpointNodePorts,
        Self::FirewallIps,
        Self::ServiceIps,
        Self::ServiceNodePorts,
    ];

    /// Those of our own layout, but for those of each kind of frontends.
    const FLAT: [Self; 10] = [
        Self::HairpinAddresses,
        Self::ClusterIps,
        Self::NodePortIps,
        Self::FirewallIps,
        Self::ServiceIps,
        Self::ServiceNodePorts,
        Self::RejectedServices,
        Self::RejectedNodePorts,
        Self::DroppedServices,
        Self::DroppedNodePorts,
    ];

    /// Those that a layout has whatever its Services are.
    pub(super) fn of_layout(layout: Layout) -> impl Iterator<Item = Self> {
        let all: &[Self] = match layout {
            Layout::KubeProxy => &Self::KUBE_PROXY,
            Layout::Flat => &Self::FLAT,
        };
        all.iter().copied()
    }

    /// Where it stands in a table.
    pub(super) fn place(self) -> Place {
        match self {
            Self::Flat(kind, table) => kind.place(table.within()),
            fixed => {
                let mut all = (0..).zip(Self::KUBE_PROXY.iter().chain(&Self::FLAT));
                let place = all.find_map(|(place, one)| (*one == fixed).then_some(place));
                Place::at(place.expect("each is in a layout"))
            }
        }
    }

    /// The container in whose name elements of this one are claimed: of several that are asked one after the other, a
    /// frontend is in one.
    pub(super) const fn asked_with(self) -> Self {
        match self {
            Self::DroppedServices => Self::RejectedServices,
            Self::DroppedNodePorts => Self::RejectedNodePorts,
            other => other,
        }
    }

    /// Its name as one word of a rule.
    pub(crate) fn ident(self) -> Ident {
        Ident::literal(match self {
            Self::HairpinConnections => "hairpin-connections",
            Self::ClusterIps => "cluster-ips",
            Self::NodePortIps => "nodeport-ips",
            Self::NoEndpointServices => "no-endpoint-services",
            Self::NoEndpointNodePorts => "no-endpoint-nodeports",
            Self::FirewallIps => "firewall-ips",
            Self::ServiceIps => "service-ips",
            Self::ServiceNodePorts => "service-nodeports",
            Self::HairpinAddresses => "hairpin-addresses",
            Self::RejectedServices => "rejected-services",
            Self::RejectedNodePorts => "rejected-nodeports",
            Self::DroppedServices => "dropped-services",
            Self::DroppedNodePorts => "dropped-nodeports",
            Self::Flat(kind, table) => return table.ident(kind),
        })
    }

    const fn comment(self) -> &'static str {
        match self {
            Self::HairpinConnections => "service hairpin connections",
            Self::ClusterIps => "Active ClusterIPs",
            Self::NodePortIps => "IPs that accept NodePort traffic",
            Self::NoEndpointServices => {
                "vmap to drop or reject packets to services with no endpoints"
            }
            Self::NoEndpointNodePorts => {
                "vmap to drop or reject packets to service nodeports with no endpoints"
            }
            Self::FirewallIps => "destinations that are subject to LoadBalancerSourceRanges",
            Self::ServiceIps => "ClusterIP, ExternalIP and LoadBalancer IP traffic",
            Self::ServiceNodePorts => "NodePort traffic",
            Self::HairpinAddresses => "endpoints that may call themselves",
            Self::RejectedServices | Self::RejectedNodePorts => "no endpoints: rejected",
            Self::DroppedServices | Self::DroppedNodePorts => "no endpoints here: dropped",
            Self::Flat(_, table) => table.comment(),
        }
    }

    fn key(self, family: Family) -> Vec<DataType> {
        use DataType::{InetProto, InetService};
        let address = address_type(family);
        match self {
            Self::HairpinConnections => vec![address, address, InetProto, InetService],
            Self::HairpinAddresses => vec![address; 2],
            Self::ClusterIps | Self::NodePortIps => vec![address],
            Self::NoEndpointServices
            | Self::FirewallIps
            | Self::ServiceIps
            | Self::RejectedServices
            | Self::DroppedServices => vec![address, InetProto, InetService],
            Self::NoEndpointNodePorts
            | Self::ServiceNodePorts
            | Self::RejectedNodePorts
            | Self::DroppedNodePorts => vec![InetProto, InetService],
            Self::Flat(kind, table) => table.key(kind, address),
        }
    }

    pub(super) const fn is_map(self) -> bool {
        match self {
            Self::NoEndpointServices
            | Self::NoEndpointNodePorts
            | Self::FirewallIps
            | Self::ServiceIps
            | Self::ServiceNodePorts => true,
            Self::Flat(_, table) => table.is_map(),
            _ => false,
        }
    }

    /// Whether elements say nothing but their keys, and are in the container in whose name they are claimed.
    pub(super) const fn has_keys_alone(self) -> bool {
        matches!(
            self,
            Self::ClusterIps | Self::HairpinConnections | Self::HairpinAddresses
        )
    }

    /// What a map leads to that does not lead to verdicts.
    fn data(self, family: Family) -> Option<Vec<DataType>> {
        let leads_to_endpoints = matches!(self, Self::Flat(..));
        leads_to_endpoints.then(|| vec![address_type(family), DataType::InetService])
    }

    /// The set or map without elements.
    pub(super) fn empty(self, family: Family) -> SetOrMap {
        let key = self.key(family);
        let options = SetOptions {
            comment: Some(Comment::new(self.comment())),
            ..SetOptions::default()
        };
        if !self.is_map() {
            return SetOrMap::Set(Arc::new(NftSet {
                key,
                options,
                elements: Sorted::new(),
            }));
        }
        SetOrMap::Map(Arc::new(NftMap {
            key,
            data: self.data(family),
            options,
            elements: Sorted::new(),
        }))
    }
}

const fn address_type(family: Family) -> DataType {
    match family {
        Family::V4 => DataType::Ipv4Addr,
        Family::V6 => DataType::Ipv6Addr,
    }
}
