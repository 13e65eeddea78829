//! Small values that several kinds share.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::Rest;

/// Go's `omitempty` for numbers.
pub(super) fn is_zero(number: &i32) -> bool {
    *number == 0
}

/// Go's `omitempty` for booleans.
pub(super) fn is_false(flag: &bool) -> bool {
    !flag
}

/// Labels, annotations and selectors.
pub type StringMap = BTreeMap<String, String>;

/// A number, or the name of a container port.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum IntOrString {
    /// A port number, not yet checked for its range.
    Int(i32),
    /// A name; a quoted number is one as well (API-28).
    String(String),
}

impl Default for IntOrString {
    /// Go's zero value.
    fn default() -> Self {
        Self::Int(0)
    }
}

impl IntOrString {
    /// Whether it stands for "not given": 0 or the empty string (API-28).
    #[must_use]
    pub fn is_unset(&self) -> bool {
        match self {
            Self::Int(number) => *number == 0,
            Self::String(name) => name.is_empty(),
        }
    }
}

impl fmt::Display for IntOrString {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Int(number) => write!(f, "{number}"),
            Self::String(name) => f.pad(name),
        }
    }
}

/// A transport protocol that a Service can carry (API-27).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Protocol {
    /// The default.
    #[default]
    Tcp,
    /// UDP.
    Udp,
    /// SCTP.
    Sctp,
}

impl Protocol {
    /// Reads `TCP`, `UDP` or `SCTP`; an empty text is the default.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "" | "TCP" => Some(Self::Tcp),
            "UDP" => Some(Self::Udp),
            "SCTP" => Some(Self::Sctp),
            _ => None,
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Tcp => "TCP",
            Self::Udp => "UDP",
            Self::Sctp => "SCTP",
        })
    }
}

/// An entry of `status.conditions`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Condition {
    /// `Ready`, `PodScheduled` …
    #[serde(rename = "type")]
    pub condition_type: String,
    /// `True`, `False` or `Unknown`.
    pub status: String,
    /// RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_transition_time: Option<String>,
    /// Everything else.
    #[serde(flatten)]
    pub rest: Rest,
}

/// Whether the condition `name` stands at True; a missing one does not.
pub(super) fn condition_holds(conditions: &[Condition], name: &str) -> bool {
    conditions
        .iter()
        .any(|condition| condition.condition_type == name && condition.status == "True")
}
