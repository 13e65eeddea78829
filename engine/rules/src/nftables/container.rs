//! The sets and maps of the frame (PROXY-50), which service ports fill.

use std::collections::BTreeMap;
use std::sync::Arc;

use ruleset::nft::{
    Comment, DataType, Element, ElementAttrs, Ident, Key, NftMap, NftSet, SetOptions, SetOrMap,
    Value,
};
use ruleset::{Family, OriginId};

/// An element of a set or a map of the frame.
#[derive(Clone, Debug)]
pub(super) struct FragmentElement {
    pub(super) container: Container,
    pub(super) key: Key,
    /// In a map.
    pub(super) value: Option<Value>,
    pub(super) comment: Option<Comment>,
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
    /// Set: frontends without a chain. This one and all that follow are of the layout of our own.
    FlatServices,
    /// Set: node ports without a chain.
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
}

/// Whom the elements of each container serve.
pub(crate) type ElementOrigins = BTreeMap<Container, BTreeMap<Key, OriginId>>;

impl Container {
    /// Those of kube-proxy, in the order of creation.
    pub(super) const ALL: [Self; 8] = [
        Self::HairpinConnections,
        Self::ClusterIps,
        Self::NodePortIps,
        Self::NoEndpointServices,
        Self::NoEndpointNodePorts,
        Self::FirewallIps,
        Self::ServiceIps,
        Self::ServiceNodePorts,
    ];

    /// Those of our own layout, and two for each number of endpoints.
    pub(super) const FLAT: [Self; 14] = [
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
        }
    }

    /// Its name as one word of a rule.
    pub(crate) fn ident(self) -> Ident {
        match self {
            Self::Endpoints(count) | Self::NodePortEndpoints(count) => {
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
            | Self::DroppedServices => vec![address, InetProto, InetService],
            Self::NoEndpointNodePorts
            | Self::ServiceNodePorts
            | Self::FlatNodePorts
            | Self::MasqueradeNodePorts
            | Self::RejectedNodePorts
            | Self::DroppedNodePorts => vec![InetProto, InetService],
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

    /// The set or map with these elements. Of two with one key, the first is kept.
    pub(super) fn filled(self, family: Family, elements: Vec<FragmentElement>) -> SetOrMap {
        let key = self.key(family);
        let options = SetOptions {
            comment: Some(Comment::new(self.comment())),
            ..SetOptions::default()
        };
        // Collecting keeps the last of equal keys.
        let elements = elements.into_iter().rev().map(|element| {
            let attrs = ElementAttrs {
                comment: element.comment,
                ..ElementAttrs::default()
            };
            (element.key, element.value, attrs)
        });
        if !self.is_map() {
            return SetOrMap::Set(Arc::new(NftSet {
                key,
                options,
                elements: elements.map(|(key, _, attrs)| (key, attrs)).collect(),
            }));
        }
        let elements = elements.filter_map(|(key, value, attrs)| {
            let value = value?;
            Some((key, Element { value, attrs }))
        });
        SetOrMap::Map(Arc::new(NftMap {
            key,
            data: self.data(family),
            options,
            elements: elements.collect(),
        }))
    }
}

const fn address_type(family: Family) -> DataType {
    match family {
        Family::V4 => DataType::Ipv4Addr,
        Family::V6 => DataType::Ipv6Addr,
    }
}
