//! A cluster to be judged: its nodes, its proxies' settings, its objects.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use api::{IpFamily, Node, Object};
use ipnet::IpNet;

use crate::words::Words;

/// A cluster as the API server has stored it: every object completed and checked.
///
/// The `Debug` form is for people: a line per node, Service, slice and endpoint.
#[derive(Clone, PartialEq, Eq)]
pub struct Cluster {
    /// The ranges that ClusterIPs come from.
    pub service_cidrs: Vec<IpNet>,
    /// The nodes, with their zone label, internal addresses and Pod ranges.
    pub nodes: Vec<Arc<Node>>,
    /// The settings of every node's proxy.
    pub proxy: ProxySettings,
    /// Everything else, namespaces first.
    pub objects: Vec<Object>,
}

/// The part of a `KubeProxyConfiguration` that decides about packets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProxySettings {
    /// `detectLocalMode` and what belongs to it.
    pub local_detection: LocalDetection,
    /// `masqueradeAll`
    pub masquerade_all: bool,
    /// `nodePortAddresses`
    pub node_port_addresses: NodePortAddresses,
    /// `iptables.localhostNodePorts`; the other modes have none at all (PROXY-27).
    pub localhost_node_ports: bool,
}

impl Default for ProxySettings {
    /// kube-proxy's own defaults, without a cluster range.
    fn default() -> Self {
        Self {
            local_detection: LocalDetection::ClusterCidr(Vec::new()),
            masquerade_all: false,
            node_port_addresses: NodePortAddresses::Default,
            localhost_node_ports: true,
        }
    }
}

/// How the traffic of Pods is told from everybody else's (PROXY-21).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LocalDetection {
    /// `ClusterCIDR`: by these ranges. Of several of a family the first one counts; without one of its family
    /// nobody is a Pod, and nobody is outside of the cluster.
    ClusterCidr(Vec<IpNet>),
    /// `NodeCIDR`: by the node's own Pod ranges; the Pods of other nodes are strangers.
    NodeCidr,
    /// `BridgeInterface`: by the bridge through which the packets of the node's Pods come, whatever a plane
    /// calls it.
    BridgeInterface,
    /// `InterfaceNamePrefix`: by the beginning of the names of the interfaces through which the packets of the
    /// node's Pods come.
    InterfaceNamePrefix,
}

/// Which addresses of a node answer at node ports (PROXY-26).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NodePortAddresses {
    /// Not set: every local address in iptables and IPVS mode, the primary ones in nftables mode.
    Default,
    /// `primary`: the first address of each family.
    Primary,
    /// Those within these ranges; every address of a family that has the range of length 0.
    ///
    /// Deviation: not judged where a family has no range. kube-proxy then takes every address of that family
    /// (`NewNodePortAddresses`), which nobody promises.
    Within(Vec<IpNet>),
}

/// How a proxy writes Services. What a client sees differs by mode (PROXY-16, PROXY-17, PROXY-27, PROXY-56).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum ProxyMode {
    /// kube-proxy's default (PROXY-62).
    Iptables,
    /// Its successor.
    Nftables,
    /// Virtual servers; deprecated (PROXY-63).
    Ipvs,
}

impl ProxyMode {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Iptables, Self::Nftables, Self::Ipvs];
}

impl fmt::Display for ProxyMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Iptables => "iptables",
            Self::Nftables => "nftables",
            Self::Ipvs => "ipvs",
        })
    }
}

impl Cluster {
    /// A node by name.
    #[must_use]
    pub fn node(&self, name: &str) -> Option<&Node> {
        let found = self.nodes.iter().find(|node| node.metadata.name == name);
        found.map(|node| &**node)
    }

    /// All objects, nodes first: in this order an API server takes them.
    pub fn all_objects(&self) -> impl Iterator<Item = Object> {
        let nodes = self.nodes.iter().cloned().map(Object::Node);
        nodes.chain(self.objects.iter().cloned())
    }
}

/// A node's first internal address of a family.
pub(crate) fn primary_address(node: &Node, family: IpFamily) -> Option<IpAddr> {
    node.internal_addresses()
        .find(|address| IpFamily::of(*address) == family)
}

impl fmt::Debug for Cluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "cluster, Service ranges {}", list(&self.service_cidrs))?;
        writeln!(f, "  proxies: {}", self.proxy)?;
        for object in self.all_objects() {
            writeln!(
                f,
                "  {}",
                Words {
                    object: &object,
                    indent: 4
                }
            )?;
        }
        Ok(())
    }
}

impl fmt::Display for ProxySettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.local_detection {
            LocalDetection::ClusterCidr(ranges) => write!(f, "clusterCIDR {}", list(ranges))?,
            LocalDetection::NodeCidr => f.write_str("NodeCIDR")?,
            LocalDetection::BridgeInterface => f.write_str("BridgeInterface")?,
            LocalDetection::InterfaceNamePrefix => f.write_str("InterfaceNamePrefix")?,
        }
        if self.masquerade_all {
            f.write_str(", masqueradeAll")?;
        }
        match &self.node_port_addresses {
            NodePortAddresses::Default => {}
            NodePortAddresses::Primary => f.write_str(", node ports at primary addresses")?,
            NodePortAddresses::Within(ranges) => write!(f, ", node ports within {}", list(ranges))?,
        }
        if !self.localhost_node_ports {
            f.write_str(", no localhost node ports")?;
        }
        Ok(())
    }
}

fn list(nets: &[IpNet]) -> String {
    if nets.is_empty() {
        return "none".to_owned();
    }
    nets.iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(", ")
}
