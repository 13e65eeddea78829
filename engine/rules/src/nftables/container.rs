//! The sets and maps of the frame (PROXY-50), which service ports fill.

use std::collections::BTreeMap;
use std::sync::Arc;

use ruleset::nft::{
    Comment, DataType, Element, ElementAttrs, Ident, Key, NftMap, NftSet, SetOptions, SetOrMap,
    Value, Verdict,
};
use ruleset::{Family, OriginId};

/// An element of a set or a map of the frame.
#[derive(Clone, Debug)]
pub(super) struct FragmentElement {
    pub(super) container: Container,
    pub(super) key: Key,
    /// In a map.
    pub(super) verdict: Option<Verdict>,
    pub(super) comment: Option<Comment>,
    pub(super) origin: OriginId,
}

/// The containers of the frame (PROXY-50), in kube-proxy's order of creation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
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
}

/// Whom the elements of each container serve.
pub(crate) type ElementOrigins = BTreeMap<Container, BTreeMap<Key, OriginId>>;

impl Container {
    /// In the order of creation.
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
        }
    }

    /// Its name as one word of a rule.
    pub(crate) fn ident(self) -> Ident {
        Ident::literal(self.name())
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
        }
    }

    fn key(self, family: Family) -> Vec<DataType> {
        use DataType::{InetProto, InetService};
        let address = match family {
            Family::V4 => DataType::Ipv4Addr,
            Family::V6 => DataType::Ipv6Addr,
        };
        match self {
            Self::HairpinConnections => vec![address, address, InetProto, InetService],
            Self::ClusterIps | Self::NodePortIps => vec![address],
            Self::NoEndpointServices | Self::FirewallIps | Self::ServiceIps => {
                vec![address, InetProto, InetService]
            }
            Self::NoEndpointNodePorts | Self::ServiceNodePorts => vec![InetProto, InetService],
        }
    }

    const fn is_map(self) -> bool {
        !matches!(
            self,
            Self::HairpinConnections | Self::ClusterIps | Self::NodePortIps
        )
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
            (element.key, element.verdict, attrs)
        });
        if !self.is_map() {
            return SetOrMap::Set(Arc::new(NftSet {
                key,
                options,
                elements: elements.map(|(key, _, attrs)| (key, attrs)).collect(),
            }));
        }
        let elements = elements.filter_map(|(key, verdict, attrs)| {
            let value = Value::Verdict(verdict?);
            Some((key, Element { value, attrs }))
        });
        SetOrMap::Map(Arc::new(NftMap {
            key,
            data: None,
            options,
            elements: elements.collect(),
        }))
    }
}
