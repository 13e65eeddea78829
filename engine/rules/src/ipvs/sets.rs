//! The sets (PROXY-59).

use ruleset::ipvs::{IpvsTables, Set, SetKind, SetName};
use ruleset::{Family, Protocol};

/// One of kube-proxy's sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum KubeSet {
    ClusterIp,
    ExternalIp,
    ExternalIpLocal,
    HealthCheck,
    IpvsIps,
    LoadBalancer,
    LoadBalancerFirewall,
    LoadBalancerLocal,
    LoadBalancerSourceCidr,
    LoadBalancerSourceIp,
    LoopBack,
    NodePortLocalSctp,
    NodePortLocalTcp,
    NodePortLocalUdp,
    NodePortSctp,
    NodePortTcp,
    NodePortUdp,
}

/// Every set, with nothing in it, and nothing else.
pub(crate) fn empty_tables(family: Family) -> IpvsTables {
    let mut tables = IpvsTables::new(family, KubeSet::IpvsIps.name(family));
    for set in KubeSet::ALL {
        tables.sets.insert(set.name(family), Set::new(set.kind()));
    }
    tables
}

/// The sets of ports at which a node's own addresses have virtual servers. Those of SCTP say at which addresses.
pub(crate) fn node_port_sets(family: Family) -> [(Protocol, SetName); 2] {
    [
        (Protocol::TCP, KubeSet::NodePortTcp.name(family)),
        (Protocol::UDP, KubeSet::NodePortUdp.name(family)),
    ]
}

impl KubeSet {
    pub(super) const ALL: [Self; 17] = [
        Self::ClusterIp,
        Self::ExternalIp,
        Self::ExternalIpLocal,
        Self::HealthCheck,
        Self::IpvsIps,
        Self::LoadBalancer,
        Self::LoadBalancerFirewall,
        Self::LoadBalancerLocal,
        Self::LoadBalancerSourceCidr,
        Self::LoadBalancerSourceIp,
        Self::LoopBack,
        Self::NodePortLocalSctp,
        Self::NodePortLocalTcp,
        Self::NodePortLocalUdp,
        Self::NodePortSctp,
        Self::NodePortTcp,
        Self::NodePortUdp,
    ];

    pub(super) const fn text(self) -> &'static str {
        match self {
            Self::ClusterIp => "KUBE-CLUSTER-IP",
            Self::ExternalIp => "KUBE-EXTERNAL-IP",
            Self::ExternalIpLocal => "KUBE-EXTERNAL-IP-LOCAL",
            Self::HealthCheck => "KUBE-HEALTH-CHECK-NODE-PORT",
            Self::IpvsIps => "KUBE-IPVS-IPS",
            Self::LoadBalancer => "KUBE-LOAD-BALANCER",
            Self::LoadBalancerFirewall => "KUBE-LOAD-BALANCER-FW",
            Self::LoadBalancerLocal => "KUBE-LOAD-BALANCER-LOCAL",
            Self::LoadBalancerSourceCidr => "KUBE-LOAD-BALANCER-SOURCE-CIDR",
            Self::LoadBalancerSourceIp => "KUBE-LOAD-BALANCER-SOURCE-IP",
            Self::LoopBack => "KUBE-LOOP-BACK",
            Self::NodePortLocalSctp => "KUBE-NODE-PORT-LOCAL-SCTP-HASH",
            Self::NodePortLocalTcp => "KUBE-NODE-PORT-LOCAL-TCP",
            Self::NodePortLocalUdp => "KUBE-NODE-PORT-LOCAL-UDP",
            Self::NodePortSctp => "KUBE-NODE-PORT-SCTP-HASH",
            Self::NodePortTcp => "KUBE-NODE-PORT-TCP",
            Self::NodePortUdp => "KUBE-NODE-PORT-UDP",
        }
    }

    pub(super) fn name(self, family: Family) -> SetName {
        SetName::of_family(self.text(), family)
    }

    pub(super) const fn kind(self) -> SetKind {
        match self {
            Self::IpvsIps => SetKind::Address,
            Self::LoopBack | Self::LoadBalancerSourceIp => SetKind::AddressPortAddress,
            Self::LoadBalancerSourceCidr => SetKind::AddressPortNet,
            Self::HealthCheck
            | Self::NodePortTcp
            | Self::NodePortUdp
            | Self::NodePortLocalTcp
            | Self::NodePortLocalUdp => SetKind::Port,
            Self::ClusterIp
            | Self::ExternalIp
            | Self::ExternalIpLocal
            | Self::LoadBalancer
            | Self::LoadBalancerFirewall
            | Self::LoadBalancerLocal
            | Self::NodePortSctp
            | Self::NodePortLocalSctp => SetKind::AddressPort,
        }
    }

    /// What rules that look into it say of it; none for a set whose rules say nothing.
    pub(super) const fn comment(self) -> Option<&'static str> {
        Some(match self {
            Self::ClusterIp => "Kubernetes service cluster ip + port for masquerade purpose",
            Self::ExternalIp => {
                "Kubernetes service external ip + port for masquerade and filter purpose"
            }
            Self::ExternalIpLocal => {
                "Kubernetes service external ip + port with externalTrafficPolicy=local"
            }
            Self::HealthCheck => "Kubernetes health check node port",
            Self::IpvsIps => return None,
            Self::LoadBalancer => "Kubernetes service lb portal",
            Self::LoadBalancerFirewall => {
                "Kubernetes service load balancer ip + port for load balancer with sourceRange"
            }
            Self::LoadBalancerLocal => {
                "Kubernetes service load balancer ip + port with externalTrafficPolicy=local"
            }
            Self::LoadBalancerSourceCidr => {
                "Kubernetes service load balancer ip + port + source cidr for packet filter purpose"
            }
            Self::LoadBalancerSourceIp => {
                "Kubernetes service load balancer ip + port + source IP for packet filter purpose"
            }
            Self::LoopBack => {
                "Kubernetes endpoints dst ip:port, source ip for solving hairpin purpose"
            }
            Self::NodePortLocalSctp => {
                "Kubernetes nodeport SCTP port with externalTrafficPolicy=local with type 'hash ip:port'"
            }
            Self::NodePortLocalTcp => {
                "Kubernetes nodeport TCP port with externalTrafficPolicy=local"
            }
            Self::NodePortLocalUdp => {
                "Kubernetes nodeport UDP port with externalTrafficPolicy=local"
            }
            Self::NodePortSctp => {
                "Kubernetes nodeport SCTP port for masquerade purpose with type 'hash ip:port'"
            }
            Self::NodePortTcp => "Kubernetes nodeport TCP port for masquerade purpose",
            Self::NodePortUdp => "Kubernetes nodeport UDP port for masquerade purpose",
        })
    }
}
