//! Event: what controllers tell about an object (S: core/v1 `types.go`).

use serde::{Deserialize, Serialize};

use super::{ObjectMeta, ObjectReference, Rest};

/// A `v1` Event.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Event {
    /// `metadata`
    pub metadata: ObjectMeta,
    /// What it is about.
    pub involved_object: ObjectReference,
    /// Why, as a word.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// What happened, as a sentence.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// Who says so.
    pub source: EventSource,
    /// RFC 3339, seconds: when it happened first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_timestamp: Option<String>,
    /// RFC 3339, seconds: when it happened last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_timestamp: Option<String>,
    /// How often it happened.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub count: Option<i32>,
    /// `Normal` or `Warning`.
    #[serde(rename = "type", skip_serializing_if = "String::is_empty")]
    pub event_type: String,
    /// Who says so, in the newer form.
    pub reporting_component: String,
    /// Which instance of it.
    pub reporting_instance: String,
    /// Everything else.
    #[serde(flatten)]
    pub rest: Rest,
}

/// `source` of an Event.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct EventSource {
    /// `kubelet`, `endpoint-slice-controller` …
    #[serde(skip_serializing_if = "String::is_empty")]
    pub component: String,
    /// The node it runs on.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub host: String,
}
