//! Node: the fields that matter to a Service network (API-78), and the rest.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::values::condition_holds;
use super::{Condition, ObjectMeta, Rest};

/// The label that puts a node into a zone.
pub const LABEL_ZONE: &str = "topology.kubernetes.io/zone";

/// A Node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Node {
    /// `metadata`
    pub metadata: ObjectMeta,
    /// `spec`
    pub spec: NodeSpec,
    /// `status`
    pub status: NodeStatus,
}

/// `spec` of a Node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct NodeSpec {
    /// First of `pod_cidrs`.
    #[serde(rename = "podCIDR", skip_serializing_if = "String::is_empty")]
    pub pod_cidr: String,
    /// One range per family that its Pods' addresses come from.
    #[serde(rename = "podCIDRs", skip_serializing_if = "Vec::is_empty")]
    pub pod_cidrs: Vec<String>,
    /// Everything else.
    #[serde(flatten)]
    pub rest: Rest,
}

/// `status` of a Node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct NodeStatus {
    /// What Pods may use in all, by resource; a quantity is a number or a text.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub allocatable: BTreeMap<String, Value>,
    /// `Ready` and others.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
    /// Its addresses.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<NodeAddress>,
    /// Everything else.
    #[serde(flatten)]
    pub rest: Rest,
}

/// An entry of `status.addresses`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct NodeAddress {
    /// `InternalIP`, `ExternalIP`, `Hostname` …
    #[serde(rename = "type")]
    pub address_type: String,
    /// The address or name.
    pub address: String,
}

impl Node {
    /// Its zone, if labelled with one.
    #[must_use]
    pub fn zone(&self) -> Option<&str> {
        self.metadata
            .labels
            .get(LABEL_ZONE)
            .map(String::as_str)
            .filter(|zone| !zone.is_empty())
    }

    /// Whether the condition `Ready` stands at True.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        condition_holds(&self.status.conditions, "Ready")
    }

    /// Its internal addresses, in order.
    pub fn internal_addresses(&self) -> impl Iterator<Item = IpAddr> {
        let internal = self
            .status
            .addresses
            .iter()
            .filter(|entry| entry.address_type == "InternalIP");
        internal.filter_map(|entry| entry.address.parse().ok())
    }

    /// Its Pod ranges: `podCIDRs`, or `podCIDR` where the list is empty.
    #[must_use]
    pub fn pod_ranges(&self) -> Vec<IpNet> {
        let listed = &self.spec.pod_cidrs;
        let texts = if listed.is_empty() {
            std::slice::from_ref(&self.spec.pod_cidr)
        } else {
            listed
        };
        texts.iter().filter_map(|text| text.parse().ok()).collect()
    }
}
