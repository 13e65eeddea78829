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
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProxySettings {
    /// `clusterCIDR`, local detection by cluster range (PROXY-21). Of several ranges of a family the first one
    /// counts; without one of its family no source is outside of the cluster.
    pub cluster_cidrs: Vec<IpNet>,
    /// `masqueradeAll`
    pub masquerade_all: bool,
}

/// How a proxy writes Services. What a client sees differs by mode (PROXY-15 … PROXY-17).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum ProxyMode {
    /// kube-proxy's default (PROXY-62).
    Iptables,
}

impl fmt::Display for ProxyMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Iptables => f.pad("iptables"),
        }
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
        let hides = if self.proxy.masquerade_all {
            ", masqueradeAll"
        } else {
            ""
        };
        writeln!(
            f,
            "  proxies: clusterCIDR {}{hides}",
            list(&self.proxy.cluster_cidrs)
        )?;
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

fn list(nets: &[IpNet]) -> String {
    if nets.is_empty() {
        return "none".to_owned();
    }
    nets.iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(", ")
}
