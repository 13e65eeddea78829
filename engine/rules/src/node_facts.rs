//! What a node knows about itself.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use ruleset::Family;

/// A node's name, zone, addresses and proxy settings: with a `ClusterView`, all that its rules depend on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeFacts {
    /// The node's name, compared with an endpoint's `nodeName` (PROXY-5).
    pub name: Arc<str>,
    /// `topology.kubernetes.io/zone`, if labelled.
    pub zone: Option<Arc<str>>,
    /// Its own addresses of both families; the first of a family is the primary one.
    pub addresses: Vec<IpAddr>,
    /// How local Pods are told from everybody else (PROXY-21).
    pub local_detection: LocalDetection,
    /// Masquerade everything sent to a ClusterIP (PROXY-20).
    pub masquerade_all: bool,
    /// Which of its addresses accept node ports (PROXY-26).
    pub node_port_addresses: NodePortAddresses,
    /// Whether node ports answer at 127.0.0.1, in iptables mode (PROXY-27).
    pub localhost_node_ports: bool,
    /// The bit of the packet mark that asks for masquerade, as a value with that one bit set (PROXY-19).
    pub masquerade_mark: u32,
}

impl NodeFacts {
    /// kube-proxy's default mark: bit 14.
    pub const DEFAULT_MASQUERADE_MARK: u32 = 0x4000;

    /// The primary address of a family.
    #[must_use]
    pub fn primary_address(&self, family: Family) -> Option<IpAddr> {
        self.addresses
            .iter()
            .copied()
            .find(|address| Family::of(*address) == family)
    }
}

/// How a proxy recognises traffic that comes from the cluster's Pods (PROXY-21).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LocalDetection {
    /// Not at all: nothing is local, nothing is masqueraded for being off-cluster.
    None,
    /// `ClusterCIDR`: the source lies in the cluster's Pod range of its family.
    ClusterCidr(Vec<IpNet>),
    /// `NodeCIDR`: the source lies in this node's Pod range of its family.
    NodeCidr(Vec<IpNet>),
    /// `BridgeInterface`: the packet came in through this bridge.
    BridgeInterface(Arc<str>),
    /// `InterfaceNamePrefix`: the packet came in through an interface whose name starts so.
    InterfaceNamePrefix(Arc<str>),
}

impl LocalDetection {
    /// What tells the Pods of a family, if anything does. Of several ranges of a family the first one counts,
    /// as in kube-proxy (`getLocalDetectors`).
    #[must_use]
    pub fn pod_traffic(&self, family: Family) -> Option<PodTraffic> {
        match self {
            Self::None => None,
            Self::ClusterCidr(nets) | Self::NodeCidr(nets) => nets
                .iter()
                .find(|net| Family::of(net.addr()) == family)
                .map(|net| PodTraffic::Source(net.trunc())),
            Self::BridgeInterface(name) => Some(PodTraffic::Interface(Arc::clone(name))),
            Self::InterfaceNamePrefix(prefix) => {
                Some(PodTraffic::InterfacePrefix(Arc::clone(prefix)))
            }
        }
    }
}

/// Packets that come from Pods, as a rule can tell them.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PodTraffic {
    /// Their source lies in a range.
    Source(IpNet),
    /// They came in through an interface.
    Interface(Arc<str>),
    /// They came in through an interface whose name starts so.
    InterfacePrefix(Arc<str>),
}

impl fmt::Display for PodTraffic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Source(net) => write!(f, "{net}"),
            Self::Interface(name) => write!(f, "interface {name}"),
            Self::InterfacePrefix(prefix) => write!(f, "interfaces {prefix}*"),
        }
    }
}

/// Which addresses of a node accept node ports: `nodePortAddresses` (PROXY-26).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NodePortAddresses {
    /// Every local address: the default in iptables and IPVS mode.
    All,
    /// The node's primary address of each family: the default in nftables mode.
    Primary,
    /// Its addresses within these ranges. A family without a range has them all, as in kube-proxy
    /// (`NewNodePortAddresses`).
    Within(Vec<IpNet>),
}
