//! Namespace.

use serde::{Deserialize, Serialize};

use super::{ObjectMeta, Rest};

/// A Namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Namespace {
    /// `metadata`
    pub metadata: ObjectMeta,
    /// `spec`
    pub spec: NamespaceSpec,
    /// `status`
    pub status: NamespaceStatus,
    /// Everything else.
    #[serde(flatten)]
    pub rest: Rest,
}

/// `spec` of a Namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct NamespaceSpec {
    /// Who must agree before it is removed: `kubernetes`, until it is empty.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub finalizers: Vec<String>,
    /// Everything else.
    #[serde(flatten)]
    pub rest: Rest,
}

/// `status` of a Namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct NamespaceStatus {
    /// `Active` or `Terminating`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub phase: String,
    /// Everything else.
    #[serde(flatten)]
    pub rest: Rest,
}

impl Namespace {
    /// The finalizer that stands for its content.
    pub const FINALIZER: &str = "kubernetes";

    /// Whether it is being emptied: nothing can be created in it.
    #[must_use]
    pub fn is_terminating(&self) -> bool {
        self.status.phase == "Terminating"
    }
}
