//! What a cluster is made of, before anything runs: `spec.cluster` of a scenario, typed and with its defaults.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::ops::RangeInclusive;
use std::time::Duration;

use api::Object;
use base::Seed;
use ipnet::IpNet;
use proxy::AgentSettings;
use rules::NodePortAddresses;
use ruleset::ipvs::Scheduler;

use crate::ModeCosts;

/// A cluster to build.
#[derive(Clone, Debug)]
pub struct ClusterConfig {
    /// Root of all randomness.
    pub seed: Seed,
    /// `serviceCIDRs`: the first one's family is the default family (ALLOC-1).
    pub service_cidrs: Vec<IpNet>,
    /// `podCIDRs`: the cluster's Pod ranges; a node without a range of its own gets a part of them.
    pub pod_cidrs: Vec<IpNet>,
    /// `nodePortRange`
    pub node_port_range: RangeInclusive<u16>,
    /// `loadBalancer.pool`: the addresses that Services of type LoadBalancer get; none: they get none.
    pub load_balancer_pool: Vec<IpNet>,
    /// `dnsDomain`
    pub dns_domain: String,
    /// `dns`: whether kube-system/kube-dns exists.
    pub dns: bool,
    /// `dns.nodeLocal`: whether each node has a cache of its own at [`NODE_LOCAL_DNS`], which its Pods ask.
    pub node_local_dns: bool,
    /// How the proxies write Services.
    pub mode: ProxyMode,
    /// `proxy`: the proxies' settings.
    pub proxy: ProxySettings,
    /// The nodes, in order.
    pub nodes: Vec<NodeConfig>,
    /// What is in the cluster already, as a real cluster printed it; see [`api::ApiServer::restore_all`]. Nodes and
    /// cluster DNS that are among it are not made.
    pub state: Vec<Object>,
    /// Hosts outside of the cluster.
    pub outside: Vec<OutsideConfig>,
    /// Latencies of the network.
    pub network: NetworkConfig,
    /// Latencies of the control plane.
    pub timing: TimingConfig,
}

/// Where the cache of a node answers, to the node and its Pods alone (NodeLocal DNSCache's own choice).
pub const NODE_LOCAL_DNS: IpAddr = IpAddr::V4(Ipv4Addr::new(169, 254, 20, 10));

/// How a node's proxy writes Services.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ProxyMode {
    /// kube-proxy's iptables layout.
    Iptables,
    /// kube-proxy's nftables layout.
    Nftables,
    /// nftables in a layout of our own, which answers as kube-proxy's does.
    Flat,
    /// kube-proxy's virtual servers, sets, and rules that look into them.
    Ipvs,
}

impl ProxyMode {
    /// Every mode this version can run.
    pub const ALL: [Self; 4] = [Self::Iptables, Self::Nftables, Self::Flat, Self::Ipvs];

    /// As scenarios spell it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Iptables => "iptables",
            Self::Nftables => "nftables",
            Self::Flat => "flat",
            Self::Ipvs => "ipvs",
        }
    }
}

impl fmt::Display for ProxyMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// The part of a `KubeProxyConfiguration` that this version carries out.
#[derive(Clone, Debug)]
pub struct ProxySettings {
    /// How Pods are told from everybody else (PROXY-20, -21).
    pub detect_local: DetectLocal,
    /// `nodePortAddresses`; `None` for the mode's default (PROXY-26).
    pub node_port_addresses: Option<NodePortAddresses>,
    /// `iptables.localhostNodePorts` (PROXY-27).
    pub localhost_node_ports: bool,
    /// `iptables`
    pub iptables: ModeSettings,
    /// `nftables`
    pub nftables: ModeSettings,
    /// `ipvs`, and of `iptables` what counts in IPVS mode, too: what is masqueraded, and the mark.
    pub ipvs: ModeSettings,
    /// `ipvs.scheduler` (PROXY-58)
    pub scheduler: Scheduler,
}

/// `detectLocalMode`, with what belongs to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DetectLocal {
    /// `clusterCIDR`: what counts as a Pod's address; `None` for the cluster's `podCIDRs`, and an empty list for
    /// nothing.
    ClusterCidr(Option<Vec<IpNet>>),
    /// The node's own Pod ranges.
    NodeCidr,
    /// Whatever comes in through this bridge.
    BridgeInterface(String),
    /// Whatever comes in through an interface whose name starts so.
    InterfaceNamePrefix(String),
}

impl Default for ProxySettings {
    fn default() -> Self {
        Self {
            detect_local: DetectLocal::ClusterCidr(None),
            node_port_addresses: None,
            localhost_node_ports: true,
            iptables: ModeSettings::default(),
            nftables: ModeSettings::default(),
            ipvs: ModeSettings::of_ipvs(),
            scheduler: Scheduler::RoundRobin,
        }
    }
}

impl ProxySettings {
    /// The settings that are a mode's own.
    #[must_use]
    pub const fn of(&self, mode: ProxyMode) -> &ModeSettings {
        match mode {
            ProxyMode::Iptables => &self.iptables,
            ProxyMode::Nftables | ProxyMode::Flat => &self.nftables,
            ProxyMode::Ipvs => &self.ipvs,
        }
    }

    /// Which of a node's addresses accept node ports in a mode.
    #[must_use]
    pub fn node_ports_at(&self, mode: ProxyMode) -> NodePortAddresses {
        let default = match mode {
            ProxyMode::Iptables | ProxyMode::Ipvs => NodePortAddresses::All,
            ProxyMode::Nftables | ProxyMode::Flat => NodePortAddresses::Primary,
        };
        self.node_port_addresses.clone().unwrap_or(default)
    }
}

/// What every mode has a setting of its own for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ModeSettings {
    /// `masqueradeAll`
    pub masquerade_all: bool,
    /// `masqueradeBit`: which bit of a packet's mark asks for masquerade (PROXY-19), from 0 to 31.
    pub masquerade_bit: u8,
    /// `minSyncPeriod`: the least time from one sync to the next (PROXY-65).
    pub min_sync_period: Duration,
    /// `syncPeriod`: how long after a failed sync it is tried again (PROXY-65). A simulated sync does not fail.
    pub sync_period: Duration,
}

impl ModeSettings {
    /// The defaults of IPVS mode, which does not wait from one sync to the next (PROXY-65).
    #[must_use]
    pub fn of_ipvs() -> Self {
        Self {
            min_sync_period: Duration::ZERO,
            ..Self::default()
        }
    }
}

impl Default for ModeSettings {
    fn default() -> Self {
        Self {
            masquerade_all: false,
            masquerade_bit: 14,
            min_sync_period: AgentSettings::MIN_SYNC_PERIOD,
            sync_period: AgentSettings::SYNC_PERIOD,
        }
    }
}

/// One node.
#[derive(Clone, Debug, Default)]
pub struct NodeConfig {
    /// Its name.
    pub name: String,
    /// `topology.kubernetes.io/zone`
    pub zone: Option<String>,
    /// Its addresses; the first of a family is the primary one.
    pub addresses: Vec<IpAddr>,
    /// Its Pod ranges.
    pub pod_cidrs: Vec<IpNet>,
    /// Further labels.
    pub labels: BTreeMap<String, String>,
    /// How many CPUs it has; `None` for [`NodeConfig::CPUS`].
    pub cpu: Option<u32>,
    /// This node's watch latency, where it differs from `timing.watch`.
    pub watch: Option<Duration>,
    /// `proxy.mode`, where this node's proxy is in another than the cluster's.
    pub mode: Option<ProxyMode>,
    /// `proxy`: the settings of this node's proxy, where they are not the cluster's.
    pub proxy: Option<Box<ProxySettings>>,
}

impl NodeConfig {
    /// The CPUs of a node that says nothing of them.
    pub const CPUS: u32 = 8;
}

/// A host outside of the cluster.
#[derive(Clone, Debug)]
pub struct OutsideConfig {
    /// Its name.
    pub name: String,
    /// Its address.
    pub address: IpAddr,
    /// Ranges that it sends to a node: range and node name.
    pub routes: Vec<(IpNet, String)>,
}

impl OutsideConfig {
    /// The node that it sends packets for an address to: that of its narrowest route.
    #[must_use]
    pub fn route_to(&self, address: IpAddr) -> Option<&str> {
        let fitting = self.routes.iter().filter(|(net, _)| net.contains(&address));
        let (_, node) = fitting.max_by_key(|(net, _)| net.prefix_len())?;
        Some(node)
    }
}

/// One-way latencies from Pod to Pod.
#[derive(Clone, Copy, Debug)]
pub struct NetworkConfig {
    /// Both on one node.
    pub same_node: Duration,
    /// On two nodes of one zone.
    pub same_zone: Duration,
    /// On two nodes of different zones.
    pub cross_zone: Duration,
    /// Bytes of an IP packet on every link.
    pub mtu: usize,
    /// Whether the links of Pods are in hairpin mode: without it a Pod does not reach itself through a Service.
    pub hairpin: bool,
}

impl Default for NetworkConfig {
    fn default() -> Self {
        Self {
            same_node: Duration::from_micros(20),
            same_zone: Duration::from_micros(200),
            cross_zone: Duration::from_millis(1),
            mtu: 1500,
            hairpin: true,
        }
    }
}

/// How long the control plane takes.
#[derive(Clone, Copy, Debug)]
pub struct TimingConfig {
    /// From a write to a watcher seeing it.
    pub watch: Duration,
    /// The EndpointSlice controller's batching (EP-37).
    pub endpoint_slice_batch: Duration,
    /// From a Pod being bound to it being ready.
    pub pod_start: Duration,
    /// How long a node may go unheard of until it counts as away (`--node-monitor-grace-period`). Kubernetes has 50 s
    /// since 1.32, and had 40 s before.
    pub node_grace: Duration,
    /// From a write to DNS seeing it.
    pub dns_watch: Duration,
    /// How long a proxy's sync takes.
    pub sync_cost: SyncCost,
}

impl Default for TimingConfig {
    fn default() -> Self {
        Self {
            watch: Duration::from_millis(5),
            endpoint_slice_batch: Duration::ZERO,
            pod_start: Duration::from_secs(1),
            node_grace: Duration::from_secs(40),
            dns_watch: Duration::from_millis(5),
            sync_cost: SyncCost::Model,
        }
    }
}

/// How long a proxy's sync takes in virtual time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "a cluster has one of it")]
pub enum SyncCost {
    /// By the number of Services, as recorded of kube-proxy 1.36.
    Model,
    /// Always this long.
    Fixed(Duration),
    /// By the number of Services, and for each mode as it is said.
    ByMode(ModeCosts),
}
