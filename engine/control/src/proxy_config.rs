//! What one proxy's configuration file says.
//!
//! A proxy reads it when it starts. What is written there later counts from its next start, as with kube-proxy.
//!
//! Deviation: nobody listens at a simulated node's port 10256 (`healthzBindAddress`, PROXY-71), nor at the health-check node
//! ports of Services (PROXY-69): connections to both are refused. `switchboard node` serves both.

use std::sync::Arc;

use proxy::AgentSettings;
use rules::{LocalDetection, NodeFacts};

use crate::{ClusterConfig, DetectLocal, NodeConfig, ProxyMode, ProxySettings};

/// How one node's proxy works.
#[derive(Clone, Debug)]
pub struct ProxyConfig {
    /// How it writes Services.
    pub mode: ProxyMode,
    /// The rest.
    pub settings: ProxySettings,
}

impl ProxyConfig {
    /// That of a node at first: the cluster's, unless it has its own.
    #[must_use]
    pub fn of(node: &NodeConfig, cluster: &ClusterConfig) -> Self {
        let own = node.proxy.as_deref();
        Self {
            mode: node.mode.unwrap_or(cluster.mode),
            settings: own.unwrap_or(&cluster.proxy).clone(),
        }
    }

    pub(crate) const fn agent_settings(&self) -> AgentSettings {
        let settings = self.settings.of(self.mode);
        AgentSettings {
            min_sync_period: settings.min_sync_period,
            sync_period: settings.sync_period,
            full_sync_period: AgentSettings::FULL_SYNC_PERIOD,
            spares_large_clusters: matches!(self.mode, ProxyMode::Iptables),
        }
    }

    /// What the node knows about itself when its proxy starts, in the zone that its label names.
    pub(crate) fn facts(
        &self,
        node: &NodeConfig,
        zone: Option<Arc<str>>,
        cluster: &ClusterConfig,
    ) -> NodeFacts {
        let settings = self.settings.of(self.mode);
        NodeFacts {
            name: node.name.as_str().into(),
            zone,
            addresses: node.addresses.clone(),
            local_detection: self.local_detection(node, cluster),
            masquerade_all: settings.masquerade_all,
            node_port_addresses: self.settings.node_ports_at(self.mode),
            localhost_node_ports: self.settings.localhost_node_ports,
            masquerade_mark: 1 << settings.masquerade_bit,
        }
    }

    fn local_detection(&self, node: &NodeConfig, cluster: &ClusterConfig) -> LocalDetection {
        match &self.settings.detect_local {
            DetectLocal::ClusterCidr(ranges) => {
                let ranges = ranges.as_ref().unwrap_or(&cluster.pod_cidrs);
                LocalDetection::ClusterCidr(ranges.clone())
            }
            DetectLocal::NodeCidr => LocalDetection::NodeCidr(node.pod_cidrs.clone()),
            DetectLocal::BridgeInterface(name) => {
                LocalDetection::BridgeInterface(name.as_str().into())
            }
            DetectLocal::InterfaceNamePrefix(prefix) => {
                LocalDetection::InterfaceNamePrefix(prefix.as_str().into())
            }
        }
    }
}

impl ProxyMode {
    /// Whether it writes iptables rules rather than a table of nftables: who does one takes away the other.
    pub(crate) const fn is_iptables_based(self) -> bool {
        match self {
            Self::Iptables | Self::Ipvs => true,
            Self::Nftables | Self::Flat => false,
        }
    }

    /// Whether its first sync leaves nothing of what another mode has written. Only those of nftables do: they write the
    /// same table.
    pub(crate) fn replaces(self, other: Self) -> bool {
        self == other || !self.is_iptables_based() && !other.is_iptables_based()
    }

    /// Whether it takes away what other modes have left when it starts, as kube-proxy does
    /// (`cmd/kube-proxy/app/server_linux.go`, `platformCleanup`): for as long as its first sync takes, no Service is
    /// served. The proxy of our own layout does it after its first sync.
    pub(crate) const fn cleans_up_first(self) -> bool {
        match self {
            Self::Iptables | Self::Nftables | Self::Ipvs => true,
            Self::Flat => false,
        }
    }
}
