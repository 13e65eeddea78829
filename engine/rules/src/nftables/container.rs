//! The sets and maps of the frame (PROXY-50), which service ports fill.

use std::sync::Arc;

use imbl::OrdMap;
use ruleset::nft::{
    Comment, DataType, Ident, Key, NftMap, NftSet, Place, SetOptions, SetOrMap, Verdict,
};
use ruleset::{Family, OriginId};

use super::flat::Layout;

/// An element of a set or a map of the frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct FragmentElement {
    pub(super) container: Container,
    pub(super) key: Key,
    /// In a map.
    pub(super) verdict: Option<Verdict>,
    pub(super) comment: Option<Comment>,
    /// Whether whoever is sent on by it and comes back is dropped.
    pub(super) is_guarded: bool,
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
    /// Set: frontends of which each packet finds an endpoint. This one and all that follow are of the layout of our own.
    FlatServices,
    /// Set: node ports of which each packet finds an endpoint.
    FlatNodePorts,
    /// Set: frontends whose clients are hidden.
    MasqueradeServices,
    /// Set: node ports whose clients are hidden.
    MasqueradeNodePorts,
    /// Set: frontends that are refused.
    RejectedServices,
    /// Set: node ports that are refused.
    RejectedNodePorts,
    /// Set: frontends that are dropped.
    DroppedServices,
    /// Set: node ports that are dropped.
    DroppedNodePorts,
    /// Map: the endpoints of frontends that have so many.
    Endpoints(u32),
    /// Map: the endpoints of node ports that have so many.
    NodePortEndpoints(u32),
    /// Set: frontends that have more endpoints than are asked for one number after the other.
    ManyEndpoints,
    /// Set: node ports of the same kind.
    ManyNodePortEndpoints,
    /// Set: those of these frontends in whose number, less one, this bit is set.
    EndpointsBit(u32),
    /// Set: the same of node ports.
    NodePortEndpointsBit(u32),
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

    /// Those of our own layout, but for two for each number of endpoints.
    const FLAT: [Self; 14] = [
        Self::HairpinConnections,
        Self::ClusterIps,
        Self::NodePortIps,
        Self::FirewallIps,
        Self::ServiceIps,
        Self::ServiceNodePorts,
        Self::FlatServices,
        Self::FlatNodePorts,
        Self::MasqueradeServices,
        Self::MasqueradeNodePorts,
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
        // Behind those that are always there.
        const BY_COUNT: u64 = 100;
        let of = |number, within| Place {
            within,
            ..Place::at(number)
        };
        match self {
            Self::Endpoints(count) => of(BY_COUNT, count),
            Self::NodePortEndpoints(count) => of(BY_COUNT + 1, count),
            Self::ManyEndpoints => of(BY_COUNT + 2, 0),
            Self::ManyNodePortEndpoints => of(BY_COUNT + 3, 0),
            Self::EndpointsBit(bit) => of(BY_COUNT + 4, bit),
            Self::NodePortEndpointsBit(bit) => of(BY_COUNT + 5, bit),
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

    /// The map in which those frontends would be that have no chain and are in this container.
    pub(super) const fn frontends(self) -> Self {
        match self {
            Self::NodePortEndpoints(_)
            | Self::FlatNodePorts
            | Self::MasqueradeNodePorts
            | Self::ManyNodePortEndpoints
            | Self::NodePortEndpointsBit(_) => Self::ServiceNodePorts,
            _ => Self::ServiceIps,
        }
    }

    /// For frontends without a chain that would be in this map: the set that guards them, and the one of those whose
    /// clients are hidden.
    pub(super) const fn guards(self) -> [Self; 2] {
        match self {
            Self::ServiceNodePorts => [Self::FlatNodePorts, Self::MasqueradeNodePorts],
            _ => [Self::FlatServices, Self::MasqueradeServices],
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::HairpinConnections => "hairpin-connections",
            Self::ClusterIps => "cluster-ips",
            Self::NodePortIps => "nodeport-ips",
            Self::NoEndpointServices => "no-endpoint-services",
            Self::NoEndpointNodePorts => "no-endpoint-nodeports",
            Self::FirewallIps => "firewall-ips",
            Self::ServiceIps => "service-ips",
            Self::ServiceNodePorts => "service-nodeports",
            Self::FlatServices => "flat-services",
            Self::FlatNodePorts => "flat-nodeports",
            Self::MasqueradeServices => "masquerade-services",
            Self::MasqueradeNodePorts => "masquerade-nodeports",
            Self::RejectedServices => "rejected-services",
            Self::RejectedNodePorts => "rejected-nodeports",
            Self::DroppedServices => "dropped-services",
            Self::DroppedNodePorts => "dropped-nodeports",
            Self::Endpoints(_) => "endpoints",
            Self::NodePortEndpoints(_) => "nodeport-endpoints",
            Self::ManyEndpoints => "many-endpoints",
            Self::ManyNodePortEndpoints => "many-nodeport-endpoints",
            Self::EndpointsBit(_) => "many-endpoints-bit",
            Self::NodePortEndpointsBit(_) => "many-nodeport-endpoints-bit",
        }
    }

    /// Its name as one word of a rule.
    pub(crate) fn ident(self) -> Ident {
        match self {
            Self::Endpoints(count)
            | Self::NodePortEndpoints(count)
            | Self::EndpointsBit(count)
            | Self::NodePortEndpointsBit(count) => {
                let name = format!("{}-{count}", self.name());
                Ident::new(&name).expect("a word and a number are a name")
            }
            _ => Ident::literal(self.name()),
        }
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
            Self::FlatServices | Self::FlatNodePorts => "guard: dropped if not translated",
            Self::MasqueradeServices | Self::MasqueradeNodePorts => "clients are hidden",
            Self::RejectedServices | Self::RejectedNodePorts => "no endpoints: rejected",
            Self::DroppedServices | Self::DroppedNodePorts => "no endpoints here: dropped",
            Self::Endpoints(_) | Self::NodePortEndpoints(_) => "endpoints by number",
            Self::ManyEndpoints | Self::ManyNodePortEndpoints => "have many endpoints",
            Self::EndpointsBit(_) | Self::NodePortEndpointsBit(_) => {
                "have this bit in their number less one"
            }
        }
    }

    fn key(self, family: Family) -> Vec<DataType> {
        use DataType::{InetProto, InetService, Integer};
        let address = address_type(family);
        match self {
            Self::HairpinConnections => vec![address, address, InetProto, InetService],
            Self::ClusterIps | Self::NodePortIps => vec![address],
            Self::NoEndpointServices
            | Self::FirewallIps
            | Self::ServiceIps
            | Self::FlatServices
            | Self::MasqueradeServices
            | Self::RejectedServices
            | Self::DroppedServices
            | Self::ManyEndpoints
            | Self::EndpointsBit(_) => vec![address, InetProto, InetService],
            Self::NoEndpointNodePorts
            | Self::ServiceNodePorts
            | Self::FlatNodePorts
            | Self::MasqueradeNodePorts
            | Self::RejectedNodePorts
            | Self::DroppedNodePorts
            | Self::ManyNodePortEndpoints
            | Self::NodePortEndpointsBit(_) => vec![InetProto, InetService],
            Self::Endpoints(_) => vec![address, InetProto, InetService, Integer],
            Self::NodePortEndpoints(_) => vec![InetProto, InetService, Integer],
        }
    }

    const fn is_map(self) -> bool {
        matches!(
            self,
            Self::NoEndpointServices
                | Self::NoEndpointNodePorts
                | Self::FirewallIps
                | Self::ServiceIps
                | Self::ServiceNodePorts
                | Self::Endpoints(_)
                | Self::NodePortEndpoints(_)
        )
    }

    /// What a map leads to that does not lead to verdicts.
    fn data(self, family: Family) -> Option<Vec<DataType>> {
        match self {
            Self::Endpoints(_) | Self::NodePortEndpoints(_) => {
                Some(vec![address_type(family), DataType::InetService])
            }
            _ => None,
        }
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
                elements: OrdMap::new(),
            }));
        }
        SetOrMap::Map(Arc::new(NftMap {
            key,
            data: self.data(family),
            options,
            elements: OrdMap::new(),
        }))
    }
}

const fn address_type(family: Family) -> DataType {
    match family {
        Family::V4 => DataType::Ipv4Addr,
        Family::V6 => DataType::Ipv6Addr,
    }
}
