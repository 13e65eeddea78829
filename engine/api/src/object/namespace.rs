//! Namespace.

use serde::{Deserialize, Serialize};

use super::{ObjectMeta, Rest};

/// A Namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Namespace {
    /// `metadata`
    pub metadata: ObjectMeta,
    /// `status`
    pub status: NamespaceStatus,
    /// Everything else, `spec` included.
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
