//! `metadata`.

use serde::{Deserialize, Serialize};

use super::{Kind, Rest, StringMap};

/// With the value `pinned`, an object's status is the user's: controllers leave it alone.
pub const ANNOTATION_STATUS: &str = "switchboard.dev/status";

/// `metadata` of any object.
///
/// Texts are as in Go: empty means unset, and an empty one is not printed. `managedFields` and other fields
/// without an effect are in `rest`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ObjectMeta {
    /// Its name, unique in its namespace and kind.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Prefix of a name that the server completes.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub generate_name: String,
    /// Its namespace; empty for kinds without one.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub namespace: String,
    /// Identifies this object across deletion and re-creation under one name.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub uid: String,
    /// The store's counter at the last write (API-83).
    #[serde(skip_serializing_if = "String::is_empty")]
    pub resource_version: String,
    /// Kept for Pods and EndpointSlices only (API-36).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub generation: Option<i64>,
    /// RFC 3339, seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub creation_timestamp: Option<String>,
    /// RFC 3339, seconds: when a graceful deletion will be over; set = the object is terminating.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deletion_timestamp: Option<String>,
    /// Seconds that a graceful deletion was given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deletion_grace_period_seconds: Option<i64>,
    /// Labels.
    #[serde(skip_serializing_if = "StringMap::is_empty")]
    pub labels: StringMap,
    /// Annotations.
    #[serde(skip_serializing_if = "StringMap::is_empty")]
    pub annotations: StringMap,
    /// Whom it is removed with.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub owner_references: Vec<OwnerReference>,
    /// Who must agree before it is removed (API-92).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub finalizers: Vec<String>,
    /// Everything else.
    #[serde(flatten)]
    pub rest: Rest,
}

impl ObjectMeta {
    /// Metadata of an object to be created; `namespace` is empty for kinds without one.
    #[must_use]
    pub fn named(namespace: &str, name: &str) -> Self {
        Self {
            name: name.to_owned(),
            namespace: namespace.to_owned(),
            ..Self::default()
        }
    }

    /// Whether its deletion has begun.
    #[must_use]
    pub fn is_terminating(&self) -> bool {
        self.deletion_timestamp.is_some()
    }

    /// Who manages the object.
    #[must_use]
    pub fn controller(&self) -> Option<&OwnerReference> {
        let mut references = self.owner_references.iter();
        references.find(|reference| reference.controller == Some(true))
    }

    /// Whether the user keeps its status: controllers leave it alone then.
    #[must_use]
    pub fn has_pinned_status(&self) -> bool {
        let status = self.annotations.get(ANNOTATION_STATUS);
        status.is_some_and(|value| value == "pinned")
    }
}

impl OwnerReference {
    /// Says that the object of `kind` with this metadata manages whatever refers to it.
    #[must_use]
    pub fn to_controller(kind: Kind, owner: &ObjectMeta) -> Self {
        Self {
            api_version: kind.api_version().to_owned(),
            kind: kind.name().to_owned(),
            name: owner.name.clone(),
            uid: owner.uid.clone(),
            controller: Some(true),
            block_owner_deletion: Some(true),
        }
    }
}

/// An entry of `metadata.ownerReferences`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct OwnerReference {
    /// Of the owner.
    pub api_version: String,
    /// Of the owner.
    pub kind: String,
    /// Of the owner.
    pub name: String,
    /// Of the owner: a later object of the same name is not the owner.
    pub uid: String,
    /// Whether the owner manages the object.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub controller: Option<bool>,
    /// Whether a foreground deletion of the owner waits for the object.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub block_owner_deletion: Option<bool>,
}
