//! IPAddress: one object per virtual IP that is taken (ALLOC-36, ALLOC-37; S: networking/v1 `types.go`).

use serde::{Deserialize, Serialize};

use super::ObjectMeta;

/// An IPAddress; its name is the address.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct IpAddress {
    /// `metadata`
    pub metadata: ObjectMeta,
    /// `spec`
    pub spec: IpAddressSpec,
}

/// `spec` of an IPAddress.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct IpAddressSpec {
    /// Who has the address; required.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parent_ref: Option<ParentReference>,
}

/// Who has an address.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ParentReference {
    /// The API group; empty for the core group.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub group: String,
    /// `services`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub resource: String,
    /// Of the object.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub namespace: String,
    /// Of the object.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
}
