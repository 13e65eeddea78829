//! EndpointSlice: all of it (S: discovery/v1 `types.go`).

use serde::{Deserialize, Serialize, Serializer};
use serde_json::Value;

use super::{ObjectMeta, Protocol, StringMap};

/// Says which Service a slice belongs to (EP-24, EP-40).
pub const LABEL_SERVICE_NAME: &str = "kubernetes.io/service-name";
/// Says who writes a slice (EP-24, EP-40).
pub const LABEL_MANAGED_BY: &str = "endpointslice.kubernetes.io/managed-by";
/// Marks Services and slices without a virtual IP.
pub const LABEL_HEADLESS: &str = "service.kubernetes.io/headless";

/// An EndpointSlice.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct EndpointSlice {
    /// `metadata`
    pub metadata: ObjectMeta,
    /// `IPv4`, `IPv6` or `FQDN`.
    pub address_type: String,
    /// Its endpoints; printed as null when there are none, as Go does.
    #[serde(serialize_with = "null_if_empty")]
    pub endpoints: Vec<Endpoint>,
    /// Ports of every one of its endpoints; printed as null when there are none.
    #[serde(serialize_with = "null_if_empty")]
    pub ports: Vec<EndpointPort>,
}

/// An entry of `endpoints`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Endpoint {
    /// Only the first is meaningful (EP-16).
    pub addresses: Vec<String>,
    /// `conditions`
    pub conditions: EndpointConditions,
    /// Its name in DNS.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hostname: Option<String>,
    /// The object behind it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target_ref: Option<ObjectReference>,
    /// Topology of slices older than v1.
    #[serde(skip_serializing_if = "StringMap::is_empty")]
    pub deprecated_topology: StringMap,
    /// Where it runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node_name: Option<String>,
    /// The zone where it runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    /// Who should prefer it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hints: Option<EndpointHints>,
}

/// `conditions` of an endpoint; see EP-13 for what an absent one means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct EndpointConditions {
    /// Absent = true.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ready: Option<bool>,
    /// Absent = true.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub serving: Option<bool>,
    /// Absent = false.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub terminating: Option<bool>,
}

impl EndpointConditions {
    /// `ready`, resolved (EP-13).
    #[must_use]
    pub fn is_ready(self) -> bool {
        self.ready.unwrap_or(true)
    }

    /// `serving`, resolved (EP-13).
    #[must_use]
    pub fn is_serving(self) -> bool {
        self.serving.unwrap_or(true)
    }

    /// `terminating`, resolved (EP-13).
    #[must_use]
    pub fn is_terminating(self) -> bool {
        self.terminating.unwrap_or(false)
    }
}

/// `hints` of an endpoint.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct EndpointHints {
    /// Zones that should prefer it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub for_zones: Vec<Named>,
    /// Nodes that should prefer it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub for_nodes: Vec<Named>,
}

/// A zone or node in a hint.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Named {
    /// Its name.
    pub name: String,
}

/// `targetRef`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ObjectReference {
    /// `Pod`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub kind: String,
    /// Of the object.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub namespace: String,
    /// Of the object.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Of the object.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub uid: String,
    /// Of the object.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub api_version: String,
    /// Of the object.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub resource_version: String,
    /// A part of the object.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub field_path: String,
}

/// An entry of `ports`.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct EndpointPort {
    /// The name of the Service's port; absent = "" (API-82).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Absent = TCP.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub protocol: Option<String>,
    /// Absent = every port; kube-proxy then ignores the entry (PROXY-4).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<i32>,
    /// A hint about the protocol above the transport.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub app_protocol: Option<String>,
}

impl EndpointPort {
    /// The transport protocol of a stored slice's port.
    #[must_use]
    pub fn transport(&self) -> Protocol {
        self.protocol
            .as_deref()
            .and_then(Protocol::parse)
            .unwrap_or_default()
    }
}

impl EndpointSlice {
    /// The Service it belongs to; a slice without the label belongs to none (EP-40).
    #[must_use]
    pub fn service_name(&self) -> Option<&str> {
        self.metadata
            .labels
            .get(LABEL_SERVICE_NAME)
            .map(String::as_str)
    }
}

fn null_if_empty<T: Serialize, S: Serializer>(
    list: &[T],
    serializer: S,
) -> Result<S::Ok, S::Error> {
    if list.is_empty() {
        Value::Null.serialize(serializer)
    } else {
        list.serialize(serializer)
    }
}
