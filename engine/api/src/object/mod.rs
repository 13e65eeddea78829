//! Kubernetes objects as slim structs that lose no field.
//!
//! **What.** One struct per kind that a Service network reads; fields that nothing reads are kept in a
//! [`Rest`]. Service and EndpointSlice are complete, so that an unknown field in one is an error.
//! **Why.** Objects go in as YAML, live in the store, and come out again as kubectl prints them: whatever the
//! user wrote must still be there. Like Go's structs, a text field that is empty is unset, and `null` is the
//! same as absent.
//! **Source of the semantics.** API-75 … API-79; the field order is that of Kubernetes' `types.go`.

mod endpoint_slice;
mod kind;
mod meta;
mod namespace;
mod node;
mod pod;
mod rest;
mod service;
mod values;

use std::fmt;
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

pub use endpoint_slice::{
    Endpoint, EndpointConditions, EndpointHints, EndpointPort, EndpointSlice, LABEL_HEADLESS,
    LABEL_MANAGED_BY, LABEL_SERVICE_NAME, Named, ObjectReference,
};
pub use kind::{InertKind, Kind};
pub use meta::{ObjectMeta, OwnerReference};
pub use namespace::{Namespace, NamespaceStatus};
pub use node::{LABEL_ZONE, Node, NodeAddress, NodeSpec, NodeStatus};
pub use pod::{
    Container, ContainerPort, ContainerStatus, Pod, PodIp, PodSpec, PodStatus, ReadinessGate,
};
pub use rest::Rest;
pub(crate) use service::ANNOTATION_SOURCE_RANGES;
pub use service::{
    ClientIpConfig, LoadBalancerIngress, LoadBalancerStatus, Service, ServicePort, ServiceSpec,
    ServiceStatus, SessionAffinityConfig, TrafficPolicy,
};
pub use values::{Condition, IntOrString, Protocol, StringMap};

/// Any object. Cloning one costs a reference count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Object {
    /// A Namespace.
    Namespace(Arc<Namespace>),
    /// A Node.
    Node(Arc<Node>),
    /// A Pod.
    Pod(Arc<Pod>),
    /// A Service.
    Service(Arc<Service>),
    /// An EndpointSlice.
    EndpointSlice(Arc<EndpointSlice>),
    /// An object of a kind that networking ignores.
    Other(Arc<Inert>),
}

/// An object of a kind that networking ignores: stored and printed, nothing else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inert {
    /// Which kind.
    pub kind: InertKind,
    /// `metadata`
    pub metadata: ObjectMeta,
    /// Everything else.
    pub rest: Rest,
}

/// What identifies an object: kind, namespace and name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectKey {
    /// Its kind.
    pub kind: Kind,
    /// Its namespace; `None` for kinds without one.
    pub namespace: Option<String>,
    /// Its name.
    pub name: String,
}

impl ObjectKey {
    /// The key of an object; `namespace` is ignored for kinds without one.
    #[must_use]
    pub fn new(kind: Kind, namespace: &str, name: &str) -> Self {
        let namespace = kind.is_namespaced().then(|| namespace.to_owned());
        Self {
            kind,
            namespace,
            name: name.to_owned(),
        }
    }
}

impl fmt::Display for ObjectKey {
    /// `service/default/web`, `node/node-a`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/", self.kind.name().to_ascii_lowercase())?;
        if let Some(namespace) = &self.namespace {
            write!(f, "{namespace}/")?;
        }
        f.write_str(&self.name)
    }
}

impl Object {
    /// Reads the fields of an object of `kind`; `apiVersion` and `kind` among them are ignored.
    ///
    /// # Errors
    /// When a field that has a place of its own does not have its type.
    pub fn from_fields(kind: Kind, fields: Map<String, Value>) -> Result<Self, serde_json::Error> {
        let mut fields = without_nulls(fields);
        fields.shift_remove("apiVersion");
        fields.shift_remove("kind");
        Ok(match kind {
            Kind::Namespace => Self::Namespace(read(fields)?),
            Kind::Node => Self::Node(read(fields)?),
            Kind::Pod => Self::Pod(read(fields)?),
            Kind::Service => Self::Service(read(fields)?),
            Kind::EndpointSlice => Self::EndpointSlice(read(fields)?),
            Kind::Other(kind) => {
                let metadata = fields
                    .shift_remove("metadata")
                    .unwrap_or_else(|| Map::new().into());
                let metadata = serde_json::from_value(metadata)?;
                Self::Other(Arc::new(Inert {
                    kind,
                    metadata,
                    rest: Rest::new(fields),
                }))
            }
        })
    }

    /// The object as the API server would print it, `apiVersion` and `kind` first.
    #[must_use]
    pub fn to_fields(&self) -> Map<String, Value> {
        let mut fields = Map::new();
        fields.insert("apiVersion".to_owned(), self.kind().api_version().into());
        fields.insert("kind".to_owned(), self.kind().name().into());
        match self {
            Self::Namespace(namespace) => fields.extend(written(&**namespace)),
            Self::Node(node) => fields.extend(written(&**node)),
            Self::Pod(pod) => fields.extend(written(&**pod)),
            Self::Service(service) => fields.extend(written(&**service)),
            Self::EndpointSlice(slice) => fields.extend(written(&**slice)),
            Self::Other(inert) => {
                fields.insert("metadata".to_owned(), written(&inert.metadata).into());
                fields.extend(
                    inert
                        .rest
                        .iter()
                        .map(|(field, value)| (field.clone(), value.clone())),
                );
            }
        }
        fields
    }

    /// Its kind.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self {
            Self::Namespace(_) => Kind::Namespace,
            Self::Node(_) => Kind::Node,
            Self::Pod(_) => Kind::Pod,
            Self::Service(_) => Kind::Service,
            Self::EndpointSlice(_) => Kind::EndpointSlice,
            Self::Other(inert) => Kind::Other(inert.kind),
        }
    }

    /// Its metadata.
    #[must_use]
    pub fn meta(&self) -> &ObjectMeta {
        match self {
            Self::Namespace(namespace) => &namespace.metadata,
            Self::Node(node) => &node.metadata,
            Self::Pod(pod) => &pod.metadata,
            Self::Service(service) => &service.metadata,
            Self::EndpointSlice(slice) => &slice.metadata,
            Self::Other(inert) => &inert.metadata,
        }
    }

    /// Its metadata, to be changed; the object is copied first if somebody else holds it.
    pub fn meta_mut(&mut self) -> &mut ObjectMeta {
        match self {
            Self::Namespace(namespace) => &mut Arc::make_mut(namespace).metadata,
            Self::Node(node) => &mut Arc::make_mut(node).metadata,
            Self::Pod(pod) => &mut Arc::make_mut(pod).metadata,
            Self::Service(service) => &mut Arc::make_mut(service).metadata,
            Self::EndpointSlice(slice) => &mut Arc::make_mut(slice).metadata,
            Self::Other(inert) => &mut Arc::make_mut(inert).metadata,
        }
    }

    /// What identifies it.
    #[must_use]
    pub fn key(&self) -> ObjectKey {
        let meta = self.meta();
        ObjectKey::new(self.kind(), &meta.namespace, &meta.name)
    }

    /// Whether its kind has no effect here: it is stored and printed, and that is all.
    #[must_use]
    pub fn is_inert(&self) -> bool {
        matches!(self, Self::Other(_))
    }

    /// The Service in it.
    #[must_use]
    pub fn as_service(&self) -> Option<&Arc<Service>> {
        if let Self::Service(service) = self {
            Some(service)
        } else {
            None
        }
    }

    /// The EndpointSlice in it.
    #[must_use]
    pub fn as_endpoint_slice(&self) -> Option<&Arc<EndpointSlice>> {
        if let Self::EndpointSlice(slice) = self {
            Some(slice)
        } else {
            None
        }
    }

    /// The Pod in it.
    #[must_use]
    pub fn as_pod(&self) -> Option<&Arc<Pod>> {
        if let Self::Pod(pod) = self {
            Some(pod)
        } else {
            None
        }
    }

    /// The Node in it.
    #[must_use]
    pub fn as_node(&self) -> Option<&Arc<Node>> {
        if let Self::Node(node) = self {
            Some(node)
        } else {
            None
        }
    }

    /// The Namespace in it.
    #[must_use]
    pub fn as_namespace(&self) -> Option<&Arc<Namespace>> {
        if let Self::Namespace(namespace) = self {
            Some(namespace)
        } else {
            None
        }
    }
}

macro_rules! into_object {
    ($($kind:ident),*) => {$(
        impl From<$kind> for Object {
            fn from(object: $kind) -> Self {
                Self::$kind(Arc::new(object))
            }
        }
    )*};
}
into_object!(Namespace, Node, Pod, Service, EndpointSlice);

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
