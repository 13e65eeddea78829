//! Kubernetes objects as slim structs that lose no field.
//!
//! **What.** One struct per kind that a Service network reads; fields that nothing reads are kept in a
//! [`Rest`]. All other kinds, custom resources included, are [`Inert`].
//! **Why.** Objects go in as YAML, live in the store, and come out again as kubectl prints them: whatever the
//! user wrote must still be there. Like Go's structs, a text field that is empty is unset, and `null` is the
//! same as absent.
//! **Source of the semantics.** API-75 … API-79; the field order is that of Kubernetes' `types.go`. `tests/schema`
//! holds every struct against the real schema.

mod dns_config;
mod endpoint_slice;
mod endpoints;
mod event;
mod inert;
mod ip_address;
mod key;
mod kind;
mod label_selector;
mod meta;
mod namespace;
mod network_policy;
mod node;
mod pod;
mod probe;
mod rest;
mod service;
mod service_cidr;
mod taint;
mod values;
mod workload;

use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

pub use dns_config::{PodDnsConfig, PodDnsConfigOption};
pub use endpoint_slice::{
    Endpoint, EndpointConditions, EndpointHints, EndpointPort, EndpointSlice, LABEL_HEADLESS,
    LABEL_MANAGED_BY, LABEL_SERVICE_NAME, Named, ObjectReference,
};
pub use endpoints::{EndpointAddress, EndpointSubset, Endpoints, EndpointsPort};
pub use event::{Event, EventSource};
pub use inert::{CustomKind, Inert, InertType};
pub use ip_address::{
    IpAddress, IpAddressSpec, LABEL_ADDRESS_FAMILY, LABEL_ADDRESS_MANAGED_BY, ParentReference,
};
pub use key::ObjectKey;
pub use kind::{InertKind, Kind};
pub use label_selector::{LabelRequirement, LabelSelector};
pub use meta::{ANNOTATION_STATUS, ObjectMeta, OwnerReference};
pub use namespace::{Namespace, NamespaceSpec, NamespaceStatus};
pub use network_policy::{
    IpBlock, NetworkPolicy, NetworkPolicyEgressRule, NetworkPolicyIngressRule, NetworkPolicyPeer,
    NetworkPolicyPort, NetworkPolicySpec,
};
pub use node::{LABEL_ZONE, Node, NodeAddress, NodeSpec, NodeStatus};
pub use pod::{
    Container, ContainerPort, ContainerStatus, Pod, PodIp, PodSpec, PodStatus, ReadinessGate,
};
pub use probe::{
    ExecAction, GrpcAction, HttpGetAction, HttpHeader, Lifecycle, LifecycleHandler, Probe,
    SleepAction, TcpSocketAction,
};
pub use rest::Rest;
pub(crate) use service::ANNOTATION_SOURCE_RANGES;
pub use service::{
    ClientIpConfig, LoadBalancerIngress, LoadBalancerStatus, Service, ServicePort, ServiceSpec,
    ServiceStatus, SessionAffinityConfig, TrafficPolicy,
};
pub use service_cidr::{ServiceCidr, ServiceCidrSpec, ServiceCidrStatus};
pub use taint::{Taint, Toleration};
pub use values::{Condition, IntOrString, Protocol, StringMap};
pub use workload::{
    DaemonSet, DaemonSetSpec, DaemonSetStatus, Deployment, DeploymentSpec, PodTemplateSpec,
    ReplicaSet, ReplicaSetSpec, RollingUpdate, StatefulSet, StatefulSetSpec, UpdateStrategy,
    WorkloadStatus,
};

/// One variant and one accessor per kind that has a struct.
macro_rules! objects {
    ($($(#[$doc:meta])+ $kind:ident, $as_kind:ident;)+) => {
        /// Any object. Cloning one costs a reference count.
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub enum Object {
            $($(#[$doc])+ $kind(Arc<$kind>),)+
            /// An object of a kind that networking ignores.
            Other(Arc<Inert>),
        }

        impl Object {
            /// Reads the fields of an object of `kind`; `apiVersion` and `kind` among them say what a custom
            /// resource is, and are ignored in others.
            ///
            /// # Errors
            /// When a field that has a place of its own does not have its type.
            pub fn from_fields(kind: Kind, fields: Map<String, Value>) -> Result<Self, serde_json::Error> {
                let mut fields = without_nulls(fields);
                let api_version = fields.shift_remove("apiVersion");
                let kind_name = fields.shift_remove("kind");
                Ok(match kind {
                    $(Kind::$kind => Self::$kind(read(fields)?),)+
                    Kind::Other(kind) => {
                        let kind = InertType::read(kind, api_version, kind_name)?;
                        Self::Other(Arc::new(Inert::read(kind, fields)?))
                    }
                })
            }

            /// The object as the API server would print it, `apiVersion` and `kind` first.
            #[must_use]
            pub fn to_fields(&self) -> Map<String, Value> {
                let mut fields = Map::new();
                fields.insert("apiVersion".to_owned(), self.api_version().into());
                fields.insert("kind".to_owned(), self.kind_name().into());
                fields.extend(match self {
                    $(Self::$kind(object) => written(&**object),)+
                    Self::Other(inert) => inert.written(),
                });
                fields
            }

            /// Its kind.
            #[must_use]
            pub fn kind(&self) -> Kind {
                match self {
                    $(Self::$kind(_) => Kind::$kind,)+
                    Self::Other(inert) => inert.kind.kind(),
                }
            }

            /// Its metadata.
            #[must_use]
            pub fn meta(&self) -> &ObjectMeta {
                match self {
                    $(Self::$kind(object) => &object.metadata,)+
                    Self::Other(inert) => &inert.metadata,
                }
            }

            /// Its metadata, to be changed; the object is copied first if somebody else holds it.
            pub fn meta_mut(&mut self) -> &mut ObjectMeta {
                match self {
                    $(Self::$kind(object) => &mut Arc::make_mut(object).metadata,)+
                    Self::Other(inert) => &mut Arc::make_mut(inert).metadata,
                }
            }

            $(
                $(#[$doc])+
                #[must_use]
                pub fn $as_kind(&self) -> Option<&Arc<$kind>> {
                    if let Self::$kind(object) = self {
                        Some(object)
                    } else {
                        None
                    }
                }
            )+
        }

        $(
            impl From<$kind> for Object {
                fn from(object: $kind) -> Self {
                    Self::$kind(Arc::new(object))
                }
            }
        )+
    };
}

objects! {
    /// A Namespace.
    Namespace, as_namespace;
    /// A Node.
    Node, as_node;
    /// A Pod.
    Pod, as_pod;
    /// A Service.
    Service, as_service;
    /// An EndpointSlice.
    EndpointSlice, as_endpoint_slice;
    /// An Endpoints object.
    Endpoints, as_endpoints;
    /// A ServiceCIDR.
    ServiceCidr, as_service_cidr;
    /// An IPAddress.
    IpAddress, as_ip_address;
    /// A Deployment.
    Deployment, as_deployment;
    /// A ReplicaSet.
    ReplicaSet, as_replica_set;
    /// A StatefulSet.
    StatefulSet, as_stateful_set;
    /// A DaemonSet.
    DaemonSet, as_daemon_set;
    /// A NetworkPolicy.
    NetworkPolicy, as_network_policy;
    /// An Event.
    Event, as_event;
}

impl Object {
    /// What identifies it.
    #[must_use]
    pub fn key(&self) -> ObjectKey {
        let meta = self.meta();
        match self.custom_kind() {
            Some(custom) => custom.key(&meta.namespace, &meta.name),
            None => ObjectKey::new(self.kind(), &meta.namespace, &meta.name),
        }
    }

    /// `Service`, `Gateway`: its kind's name, a custom resource's own.
    #[must_use]
    pub fn kind_name(&self) -> &str {
        self.custom_kind()
            .map_or(self.kind().name(), |custom| &custom.kind)
    }

    /// `v1`, `gateway.networking.k8s.io/v1`: the version it was written in.
    #[must_use]
    pub fn api_version(&self) -> &str {
        self.custom_kind()
            .map_or(self.kind().api_version(), |custom| &custom.api_version)
    }

    /// The API group that it was written in; empty for the core group.
    #[must_use]
    pub fn group(&self) -> &str {
        self.api_version()
            .split_once('/')
            .map_or("", |(group, _)| group)
    }

    /// What it is, if it is a custom resource.
    #[must_use]
    pub fn custom_kind(&self) -> Option<&CustomKind> {
        match self {
            Self::Other(inert) => inert.kind.custom(),
            _ => None,
        }
    }

    /// Whether its kind has no effect here: it is stored and printed, and that is all.
    #[must_use]
    pub fn is_inert(&self) -> bool {
        !self.kind().has_effect()
    }

    /// Moves the status of another object of its kind into it; kinds without a status have nothing to move.
    pub(crate) fn take_status(&mut self, from: Self) {
        macro_rules! of {
            ($($kind:ident),+) => {
                match (self, from) {
                    $((Self::$kind(into), Self::$kind(from)) => {
                        Arc::make_mut(into).status = Arc::unwrap_or_clone(from).status;
                    })+
                    _ => {}
                }
            };
        }
        of!(
            Namespace,
            Node,
            Pod,
            Service,
            ServiceCidr,
            Deployment,
            ReplicaSet,
            StatefulSet,
            DaemonSet
        );
    }
}

impl From<Inert> for Object {
    fn from(object: Inert) -> Self {
        Self::Other(Arc::new(object))
    }
}

fn read<T: DeserializeOwned>(fields: Map<String, Value>) -> Result<Arc<T>, serde_json::Error> {
    serde_json::from_value(Value::Object(fields)).map(Arc::new)
}

fn written(object: &impl Serialize) -> Map<String, Value> {
    match serde_json::to_value(object) {
        Ok(Value::Object(fields)) => fields,
        _ => unreachable!("objects are structs with text keys"),
    }
}

/// Go reads `null` as "not given"; items of lists keep their places.
fn without_nulls(fields: Map<String, Value>) -> Map<String, Value> {
    let given = fields.into_iter().filter(|(_, value)| !value.is_null());
    given
        .map(|(field, value)| (field, nulls_inside(value)))
        .collect()
}

fn nulls_inside(value: Value) -> Value {
    match value {
        Value::Object(fields) => without_nulls(fields).into(),
        Value::Array(items) => items.into_iter().map(nulls_inside).collect(),
        scalar => scalar,
    }
}
