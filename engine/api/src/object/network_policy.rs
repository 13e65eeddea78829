//! NetworkPolicy: stored; nothing enforces it yet (S: networking/v1 `types.go`).

use serde::{Deserialize, Serialize};

use super::{LabelSelector, ObjectMeta, Rest};

/// A NetworkPolicy.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct NetworkPolicy {
    /// `metadata`
    pub metadata: ObjectMeta,
    /// `spec`
    pub spec: NetworkPolicySpec,
}

/// `spec` of a NetworkPolicy.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct NetworkPolicySpec {
    /// The Pods it is about.
    pub pod_selector: LabelSelector,
    /// `Ingress`, `Egress`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub policy_types: Vec<String>,
    /// `ingress` and `egress`.
    #[serde(flatten)]
    pub rest: Rest,
}
