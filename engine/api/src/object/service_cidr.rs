//! ServiceCIDR: a range that virtual IPs are taken from (ALLOC-36 … ALLOC-45; S: networking/v1 `types.go`).

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::{Condition, ObjectMeta};

/// A ServiceCIDR.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ServiceCidr {
    /// `metadata`
    pub metadata: ObjectMeta,
    /// `spec`
    pub spec: ServiceCidrSpec,
    /// `status`
    pub status: ServiceCidrStatus,
}

/// `spec` of a ServiceCIDR.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ServiceCidrSpec {
    /// One range, or one per family.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub cidrs: Vec<String>,
}

/// `status` of a ServiceCIDR.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ServiceCidrStatus {
    /// `Ready` (ALLOC-41).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
}

impl ServiceCidr {
    /// Its ranges. Texts that are no range are left out.
    pub fn ranges(&self) -> impl Iterator<Item = IpNet> {
        self.spec.cidrs.iter().filter_map(|text| text.parse().ok())
    }

    /// The finalizer that keeps it while addresses depend on it (ALLOC-42).
    pub const FINALIZER: &str = "networking.k8s.io/service-cidr-finalizer";

    /// Whether addresses are given out of it: not while it is being deleted, nor when its condition says so; a
    /// missing condition does not (ALLOC-41, ALLOC-42).
    #[must_use]
    pub fn gives_out(&self) -> bool {
        let mut conditions = self.status.conditions.iter();
        let ready = conditions.find(|condition| condition.condition_type == "Ready");
        ready.is_none_or(|ready| ready.status == "True") && !self.metadata.is_terminating()
    }
}
