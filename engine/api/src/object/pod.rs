//! Pod: the fields that matter to a Service network (API-75), and the rest.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::values::{condition_holds, is_false, is_zero};
use super::{Condition, Lifecycle, ObjectMeta, PodDnsConfig, Probe, Protocol, Rest};

/// A Pod.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Pod {
    /// `metadata`
    pub metadata: ObjectMeta,
    /// `spec`
    pub spec: PodSpec,
    /// `status`
    pub status: PodStatus,
}

/// `spec` of a Pod.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PodSpec {
    /// Init containers; those with `restartPolicy: Always` are sidecars (EP-17).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub init_containers: Vec<Container>,
    /// Containers.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub containers: Vec<Container>,
    /// `Always`, `OnFailure` or `Never`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub restart_policy: String,
    /// The node it runs on; empty until it is scheduled.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub node_name: String,
    /// Its name in DNS, with `subdomain` (EP-15).
    #[serde(skip_serializing_if = "String::is_empty")]
    pub hostname: String,
    /// The headless Service it is named under.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub subdomain: String,
    /// Whether it uses its node's addresses.
    #[serde(skip_serializing_if = "is_false")]
    pub host_network: bool,
    /// Seconds between SIGTERM and SIGKILL.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub termination_grace_period_seconds: Option<i64>,
    /// Conditions that readiness needs beside the containers (API-77).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub readiness_gates: Vec<ReadinessGate>,
    /// `ClusterFirst`, `ClusterFirstWithHostNet`, `Default` or `None`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub dns_policy: String,
    /// Resolver settings.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dns_config: Option<Box<PodDnsConfig>>,
    /// Everything else.
    #[serde(flatten)]
    pub rest: Rest,
}

/// A container.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Container {
    /// Unique in the Pod.
    pub name: String,
    /// Its image.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub image: String,
    /// Its declared ports (API-76).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ports: Vec<ContainerPort>,
    /// `Always` makes an init container a sidecar.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub restart_policy: Option<String>,
    /// Whether it must be restarted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub liveness_probe: Option<Box<Probe>>,
    /// Whether it may be sent traffic.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub readiness_probe: Option<Box<Probe>>,
    /// Whether it has started; until then the other probes wait.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub startup_probe: Option<Box<Probe>>,
    /// What is done when it starts and before it stops.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lifecycle: Option<Box<Lifecycle>>,
    /// Everything else.
    #[serde(flatten)]
    pub rest: Rest,
}

impl Container {
    /// Whether it goes on while its Pod runs, whatever the Pod's `restartPolicy`: an init container that does is a sidecar
    /// (EP-17).
    #[must_use]
    pub fn runs_on(&self) -> bool {
        self.restart_policy.as_deref() == Some("Always")
    }
}

/// A declared port of a container.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ContainerPort {
    /// What a Service's `targetPort` may name.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// The number at which the node forwards to it.
    #[serde(skip_serializing_if = "is_zero")]
    pub host_port: i32,
    /// Its number.
    pub container_port: i32,
    /// `TCP`, `UDP` or `SCTP`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub protocol: String,
    /// The node's address at which it forwards; any unless given.
    #[serde(rename = "hostIP", skip_serializing_if = "String::is_empty")]
    pub host_ip: String,
}

impl ContainerPort {
    /// The transport protocol of a stored Pod's port.
    #[must_use]
    pub fn transport(&self) -> Protocol {
        Protocol::parse(&self.protocol).unwrap_or_default()
    }
}

/// An entry of `spec.readinessGates`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ReadinessGate {
    /// The condition that must be True.
    pub condition_type: String,
}

/// `status` of a Pod.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PodStatus {
    /// `Pending`, `Running`, `Succeeded`, `Failed` or `Unknown`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub phase: String,
    /// `Ready` and others.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
    /// Its node's address.
    #[serde(rename = "hostIP", skip_serializing_if = "String::is_empty")]
    pub host_ip: String,
    /// First of `pod_ips`.
    #[serde(rename = "podIP", skip_serializing_if = "String::is_empty")]
    pub pod_ip: String,
    /// One address per family.
    #[serde(rename = "podIPs", skip_serializing_if = "Vec::is_empty")]
    pub pod_ips: Vec<PodIp>,
    /// RFC 3339, seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start_time: Option<String>,
    /// One per init container, sidecars included.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub init_container_statuses: Vec<ContainerStatus>,
    /// One per container.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub container_statuses: Vec<ContainerStatus>,
    /// Everything else.
    #[serde(flatten)]
    pub rest: Rest,
}

/// An entry of `status.podIPs`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PodIp {
    /// The address.
    pub ip: String,
}

/// An entry of `status.containerStatuses` or `status.initContainerStatuses`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ContainerStatus {
    /// The container.
    pub name: String,
    /// Whether it passes its readiness probe.
    pub ready: bool,
    /// How often it was restarted.
    pub restart_count: i32,
    /// Its image.
    pub image: String,
    /// Everything else.
    #[serde(flatten)]
    pub rest: Rest,
}

impl Pod {
    /// Whether the condition `Ready` stands at True (API-77).
    #[must_use]
    pub fn is_ready(&self) -> bool {
        condition_holds(&self.status.conditions, "Ready")
    }

    /// Whether it has run to its end: phase Succeeded or Failed.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        matches!(self.status.phase.as_str(), "Succeeded" | "Failed")
    }

    /// Its addresses, primary first: `podIPs`, or `podIP` where the list is empty. Texts that are no address
    /// are left out.
    #[must_use]
    pub fn addresses(&self) -> Vec<IpAddr> {
        let listed = self.status.pod_ips.iter().map(|entry| entry.ip.as_str());
        let single = [self.status.pod_ip.as_str()];
        let texts: Vec<&str> = if self.status.pod_ips.is_empty() {
            single.to_vec()
        } else {
            listed.collect()
        };
        texts
            .into_iter()
            .filter_map(|text| text.parse().ok())
            .collect()
    }

    /// Containers whose ports a Service may name: regular ones in order, then sidecars (EP-17).
    pub fn serving_containers(&self) -> impl Iterator<Item = &Container> {
        let sidecars = self.spec.init_containers.iter();
        let sidecars = sidecars.filter(|container| container.runs_on());
        self.spec.containers.iter().chain(sidecars)
    }

    /// What the status says of an init container or container: names are unique among both.
    #[must_use]
    pub fn container_status(&self, name: &str) -> Option<&ContainerStatus> {
        let status = &self.status;
        let mut statuses = status
            .init_container_statuses
            .iter()
            .chain(&status.container_statuses);
        statuses.find(|status| status.name == name)
    }
}
