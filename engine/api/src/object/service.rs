//! Service: all of `spec` and `status` (S: core/v1 `types.go`).

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::values::{is_false, is_zero};
use super::{IntOrString, ObjectMeta, Protocol, StringMap};
use crate::address::parse_address;

/// A Service.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Service {
    /// `metadata`
    pub metadata: ObjectMeta,
    /// `spec`
    pub spec: ServiceSpec,
    /// `status`
    pub status: ServiceStatus,
}

/// `spec` of a Service.
///
/// Fields keep the user's text until validation has judged it; in a stored Service they hold what the checks
/// allow. Texts are as in Go: empty means unset.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ServiceSpec {
    /// What it listens on.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ports: Vec<ServicePort>,
    /// Which Pods back it; empty = none, somebody else writes the endpoints (API-73).
    #[serde(skip_serializing_if = "StringMap::is_empty")]
    pub selector: StringMap,
    /// First of `cluster_ips`.
    #[serde(rename = "clusterIP", skip_serializing_if = "String::is_empty")]
    pub cluster_ip: String,
    /// One address per family, or the single word `None`.
    #[serde(rename = "clusterIPs", skip_serializing_if = "Vec::is_empty")]
    pub cluster_ips: Vec<String>,
    /// `ClusterIP`, `NodePort`, `LoadBalancer` or `ExternalName`.
    #[serde(rename = "type", skip_serializing_if = "String::is_empty")]
    pub service_type: String,
    /// Further addresses that nodes accept.
    #[serde(rename = "externalIPs", skip_serializing_if = "Vec::is_empty")]
    pub external_ips: Vec<String>,
    /// `None` or `ClientIP`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub session_affinity: String,
    /// Requested load-balancer address.
    #[serde(rename = "loadBalancerIP", skip_serializing_if = "String::is_empty")]
    pub load_balancer_ip: String,
    /// CIDRs that may use the load balancer.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub load_balancer_source_ranges: Vec<String>,
    /// Target of type ExternalName.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub external_name: String,
    /// `Cluster` or `Local`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub external_traffic_policy: String,
    /// 0 = unset.
    #[serde(skip_serializing_if = "is_zero")]
    pub health_check_node_port: i32,
    /// Endpoints count as ready whatever their Pods say (EP-10).
    #[serde(skip_serializing_if = "is_false")]
    pub publish_not_ready_addresses: bool,
    /// Timeout of affinity ClientIP.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session_affinity_config: Option<SessionAffinityConfig>,
    /// `IPv4`, `IPv6`, in the order of `cluster_ips`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ip_families: Vec<String>,
    /// `SingleStack`, `PreferDualStack` or `RequireDualStack`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ip_family_policy: Option<String>,
    /// LoadBalancer only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allocate_load_balancer_node_ports: Option<bool>,
    /// LoadBalancer only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub load_balancer_class: Option<String>,
    /// `Cluster` or `Local`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub internal_traffic_policy: Option<String>,
    /// `PreferSameZone`, `PreferSameNode` or `PreferClose`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub traffic_distribution: Option<String>,
}

/// An entry of `spec.ports`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ServicePort {
    /// Empty when unnamed.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// `TCP`, `UDP` or `SCTP`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub protocol: String,
    /// A hint about the protocol above the transport.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub app_protocol: Option<String>,
    /// The port at the ClusterIP.
    pub port: i32,
    /// The port at the Pods; a name is looked up in each Pod (EP-17).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target_port: Option<IntOrString>,
    /// 0 = none.
    #[serde(skip_serializing_if = "is_zero")]
    pub node_port: i32,
}

impl ServicePort {
    /// The transport protocol of a stored Service's port.
    #[must_use]
    pub fn transport(&self) -> Protocol {
        Protocol::parse(&self.protocol).unwrap_or_default()
    }
}

/// `spec.sessionAffinityConfig`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SessionAffinityConfig {
    /// `clientIP`
    #[serde(rename = "clientIP", skip_serializing_if = "Option::is_none")]
    pub client_ip: Option<ClientIpConfig>,
}

/// `spec.sessionAffinityConfig.clientIP`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ClientIpConfig {
    /// 1 … 86400.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout_seconds: Option<i32>,
}

/// `status` of a Service.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ServiceStatus {
    /// `loadBalancer`
    pub load_balancer: LoadBalancerStatus,
    /// Conditions, as given.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Value>,
}

/// `status.loadBalancer`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct LoadBalancerStatus {
    /// Where the load balancer listens.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ingress: Vec<LoadBalancerIngress>,
}

/// An entry of `status.loadBalancer.ingress`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct LoadBalancerIngress {
    /// Its address.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub ip: String,
    /// Its name, where it has no address.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub hostname: String,
    /// `VIP` or `Proxy`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ip_mode: Option<String>,
    /// Ports, as given.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ports: Vec<Value>,
}

/// The older spelling of `loadBalancerSourceRanges`: CIDRs with commas between them (API-51).
pub(crate) const ANNOTATION_SOURCE_RANGES: &str =
    "service.beta.kubernetes.io/load-balancer-source-ranges";

/// Which endpoints a policy allows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TrafficPolicy {
    /// Any in the cluster.
    #[default]
    Cluster,
    /// Only those on the node itself.
    Local,
}

impl Service {
    /// Whether it is headless: `clusterIPs` is the word `None` alone (API-26).
    #[must_use]
    pub fn is_headless(&self) -> bool {
        matches!(self.spec.cluster_ips.as_slice(), [only] if only == "None")
    }

    /// Whether its type has `clusterIPs`, be it the word `None`: any but ExternalName.
    #[must_use]
    pub fn needs_cluster_ip(&self) -> bool {
        self.spec.service_type != "ExternalName"
    }

    /// Whether its type has node ports.
    #[must_use]
    pub fn uses_node_ports(&self) -> bool {
        matches!(self.spec.service_type.as_str(), "NodePort" | "LoadBalancer")
    }

    /// Whether it can be reached from outside the cluster, so that `externalTrafficPolicy` means something
    /// (API-31).
    #[must_use]
    pub fn is_externally_accessible(&self) -> bool {
        let by_address =
            self.spec.service_type == "ClusterIP" && !self.spec.external_ips.is_empty();
        self.uses_node_ports() || by_address
    }

    /// Whether nodes answer a load balancer's health checks for it, at `healthCheckNodePort` (ALLOC-57).
    #[must_use]
    pub fn needs_health_check(&self) -> bool {
        self.spec.service_type == "LoadBalancer" && self.external_policy() == TrafficPolicy::Local
    }

    /// Who may use its load-balancer addresses; empty = everybody. The annotation of the same meaning is for cloud
    /// providers only: kube-proxy does not read it (`newBaseServiceInfo`).
    pub fn source_ranges(&self) -> impl Iterator<Item = ipnet::IpNet> {
        let texts = self.spec.load_balancer_source_ranges.iter();
        texts.filter_map(|text| text.trim().parse().ok())
    }

    /// What the server does with Services of before `clusterIPs` when it reads them (S: `defaultOnReadService`).
    pub fn complete_cluster_ips(&mut self) {
        let spec = &mut self.spec;
        if spec.cluster_ips.is_empty() && !spec.cluster_ip.is_empty() {
            spec.cluster_ips.push(spec.cluster_ip.clone());
        }
    }

    /// Its addresses, primary first; none for a headless Service.
    pub fn addresses(&self) -> impl Iterator<Item = std::net::IpAddr> {
        let texts = self.spec.cluster_ips.iter();
        texts.filter_map(|text| parse_address(text))
    }

    /// The addresses of its load balancer that nodes have rules for: those of ipMode VIP (PROXY-29).
    pub fn balancer_vips(&self) -> impl Iterator<Item = std::net::IpAddr> {
        let ingress = self.status.load_balancer.ingress.iter();
        let ours = ingress.filter(|own| own.ip_mode.as_deref().unwrap_or("VIP") == "VIP");
        ours.filter_map(|own| own.ip.parse().ok())
    }

    /// `spec.externalTrafficPolicy` (API-31).
    #[must_use]
    pub fn external_policy(&self) -> TrafficPolicy {
        match self.spec.external_traffic_policy.as_str() {
            "Local" => TrafficPolicy::Local,
            _ => TrafficPolicy::Cluster,
        }
    }

    /// `spec.internalTrafficPolicy` (API-30).
    #[must_use]
    pub fn internal_policy(&self) -> TrafficPolicy {
        match self.spec.internal_traffic_policy.as_deref() {
            Some("Local") => TrafficPolicy::Local,
            _ => TrafficPolicy::Cluster,
        }
    }
}
