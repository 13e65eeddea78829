//! The shape of a manifest: which fields exist and of what type, as Go's structs declare them.
//!
//! **What.** Walking a value beside its schema finds unknown fields and wrong types, with their paths.
//! **Why.** A schema is needed to say what a real API server says (it names Go's structs and types), and to say
//! where: serde's errors know neither. Kinds that are complete here refuse unknown fields; in the others only
//! the fields that matter are typed, the rest is anybody's.
//! **Source of the semantics.** `recorded/validation.yaml` (`svc-port-string`, `obj-unknown-two` …); S:
//! `core/v1/types.go`, `discovery/v1/types.go`, `meta/v1/types.go`.

use serde_json::Value;

use crate::object::Kind;
use crate::yaml::{Path, Segment};

/// What a value must be.
#[derive(Clone, Copy)]
pub(crate) enum Schema {
    /// Go `string`.
    Text,
    /// Go `int32`.
    Int32,
    /// Go `int64`.
    Int64,
    /// Go `bool`.
    Bool,
    /// `intstr.IntOrString`.
    IntOrText,
    /// Go `map[string]string`.
    Texts,
    /// A list.
    List(&'static Schema),
    /// A struct.
    Fields(&'static Struct),
    /// Anything.
    Any,
}

/// A Go struct.
pub(crate) struct Struct {
    /// Go's name for it, without its package.
    pub(crate) name: &'static str,
    /// Whether the fields are all there are.
    pub(crate) complete: bool,
    /// Field names and their types.
    pub(crate) fields: &'static [(&'static str, Schema)],
}

/// What is wrong with a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// No such field; `known` are its siblings.
    Unknown {
        path: Path,
        known: Vec<&'static str>,
    },
    /// Not of its type; `message` as Go's JSON decoder words it.
    Mistyped { path: Path, message: String },
}

const fn complete(name: &'static str, fields: &'static [(&'static str, Schema)]) -> Struct {
    Struct {
        name,
        complete: true,
        fields,
    }
}

const fn partial(name: &'static str, fields: &'static [(&'static str, Schema)]) -> Struct {
    Struct {
        name,
        complete: false,
        fields,
    }
}

use Schema::{Any, Bool, Fields, Int32, Int64, IntOrText, List, Text, Texts};

static OWNER_REFERENCE: Struct = complete(
    "OwnerReference",
    &[
        ("apiVersion", Text),
        ("kind", Text),
        ("name", Text),
        ("uid", Text),
        ("controller", Bool),
        ("blockOwnerDeletion", Bool),
    ],
);

static META: Struct = complete(
    "ObjectMeta",
    &[
        ("name", Text),
        ("generateName", Text),
        ("namespace", Text),
        ("selfLink", Text),
        ("uid", Text),
        ("resourceVersion", Text),
        ("generation", Int64),
        ("creationTimestamp", Text),
        ("deletionTimestamp", Text),
        ("deletionGracePeriodSeconds", Int64),
        ("labels", Texts),
        ("annotations", Texts),
        ("ownerReferences", List(&Fields(&OWNER_REFERENCE))),
        ("finalizers", List(&Text)),
        ("managedFields", Any),
    ],
);

static SERVICE_PORT: Struct = complete(
    "ServicePort",
    &[
        ("name", Text),
        ("protocol", Text),
        ("appProtocol", Text),
        ("port", Int32),
        ("targetPort", IntOrText),
        ("nodePort", Int32),
    ],
);

static CLIENT_IP_CONFIG: Struct = complete("ClientIPConfig", &[("timeoutSeconds", Int32)]);

static AFFINITY_CONFIG: Struct = complete(
    "SessionAffinityConfig",
    &[("clientIP", Fields(&CLIENT_IP_CONFIG))],
);

static SERVICE_SPEC: Struct = complete(
    "ServiceSpec",
    &[
        ("ports", List(&Fields(&SERVICE_PORT))),
        ("selector", Texts),
        ("clusterIP", Text),
        ("clusterIPs", List(&Text)),
        ("type", Text),
        ("externalIPs", List(&Text)),
        ("sessionAffinity", Text),
        ("loadBalancerIP", Text),
        ("loadBalancerSourceRanges", List(&Text)),
        ("externalName", Text),
        ("externalTrafficPolicy", Text),
        ("healthCheckNodePort", Int32),
        ("publishNotReadyAddresses", Bool),
        ("sessionAffinityConfig", Fields(&AFFINITY_CONFIG)),
        ("ipFamilies", List(&Text)),
        ("ipFamilyPolicy", Text),
        ("allocateLoadBalancerNodePorts", Bool),
        ("loadBalancerClass", Text),
        ("internalTrafficPolicy", Text),
        ("trafficDistribution", Text),
    ],
);

static INGRESS: Struct = complete(
    "LoadBalancerIngress",
    &[
        ("ip", Text),
        ("hostname", Text),
        ("ipMode", Text),
        ("ports", List(&Any)),
    ],
);

static LOAD_BALANCER: Struct = complete(
    "LoadBalancerStatus",
    &[("ingress", List(&Fields(&INGRESS)))],
);

static SERVICE_STATUS: Struct = complete(
    "ServiceStatus",
    &[
        ("loadBalancer", Fields(&LOAD_BALANCER)),
        ("conditions", List(&Any)),
    ],
);

static SERVICE: Struct = complete(
    "Service",
    &[
        ("apiVersion", Text),
        ("kind", Text),
        ("metadata", Fields(&META)),
        ("spec", Fields(&SERVICE_SPEC)),
        ("status", Fields(&SERVICE_STATUS)),
    ],
);

static CONDITIONS: Struct = complete(
    "EndpointConditions",
    &[("ready", Bool), ("serving", Bool), ("terminating", Bool)],
);

static FOR_ZONE: Struct = complete("ForZone", &[("name", Text)]);
static FOR_NODE: Struct = complete("ForNode", &[("name", Text)]);

static HINTS: Struct = complete(
    "EndpointHints",
    &[
        ("forZones", List(&Fields(&FOR_ZONE))),
        ("forNodes", List(&Fields(&FOR_NODE))),
    ],
);

static TARGET: Struct = complete(
    "ObjectReference",
    &[
        ("kind", Text),
        ("namespace", Text),
        ("name", Text),
        ("uid", Text),
        ("apiVersion", Text),
        ("resourceVersion", Text),
        ("fieldPath", Text),
    ],
);

static ENDPOINT: Struct = complete(
    "Endpoint",
    &[
        ("addresses", List(&Text)),
        ("conditions", Fields(&CONDITIONS)),
        ("hostname", Text),
        ("targetRef", Fields(&TARGET)),
        ("deprecatedTopology", Texts),
        ("nodeName", Text),
        ("zone", Text),
        ("hints", Fields(&HINTS)),
    ],
);

static ENDPOINT_PORT: Struct = complete(
    "EndpointPort",
    &[
        ("name", Text),
        ("protocol", Text),
        ("port", Int32),
        ("appProtocol", Text),
    ],
);

static ENDPOINT_SLICE: Struct = complete(
    "EndpointSlice",
    &[
        ("apiVersion", Text),
        ("kind", Text),
        ("metadata", Fields(&META)),
        ("addressType", Text),
        ("endpoints", List(&Fields(&ENDPOINT))),
        ("ports", List(&Fields(&ENDPOINT_PORT))),
    ],
);

static CONTAINER_PORT: Struct = complete(
    "ContainerPort",
    &[
        ("name", Text),
        ("hostPort", Int32),
        ("containerPort", Int32),
        ("protocol", Text),
        ("hostIP", Text),
    ],
);

static CONTAINER: Struct = partial(
    "Container",
    &[
        ("name", Text),
        ("image", Text),
        ("ports", List(&Fields(&CONTAINER_PORT))),
        ("restartPolicy", Text),
    ],
);

static READINESS_GATE: Struct = complete("PodReadinessGate", &[("conditionType", Text)]);

static POD_SPEC: Struct = partial(
    "PodSpec",
    &[
        ("containers", List(&Fields(&CONTAINER))),
        ("initContainers", List(&Fields(&CONTAINER))),
        ("nodeName", Text),
        ("hostname", Text),
        ("subdomain", Text),
        ("hostNetwork", Bool),
        ("terminationGracePeriodSeconds", Int64),
        ("readinessGates", List(&Fields(&READINESS_GATE))),
        ("dnsPolicy", Text),
    ],
);

static CONDITION: Struct = partial(
    "PodCondition",
    &[
        ("type", Text),
        ("status", Text),
        ("lastTransitionTime", Text),
    ],
);

static POD_IP: Struct = complete("PodIP", &[("ip", Text)]);

static CONTAINER_STATUS: Struct = partial(
    "ContainerStatus",
    &[
        ("name", Text),
        ("ready", Bool),
        ("restartCount", Int32),
        ("image", Text),
    ],
);

static POD_STATUS: Struct = partial(
    "PodStatus",
    &[
        ("phase", Text),
        ("conditions", List(&Fields(&CONDITION))),
        ("hostIP", Text),
        ("podIP", Text),
        ("podIPs", List(&Fields(&POD_IP))),
        ("startTime", Text),
        ("containerStatuses", List(&Fields(&CONTAINER_STATUS))),
    ],
);

static POD: Struct = complete(
    "Pod",
    &[
        ("apiVersion", Text),
        ("kind", Text),
        ("metadata", Fields(&META)),
        ("spec", Fields(&POD_SPEC)),
        ("status", Fields(&POD_STATUS)),
    ],
);

static NODE_SPEC: Struct = partial("NodeSpec", &[("podCIDR", Text), ("podCIDRs", List(&Text))]);

static NODE_ADDRESS: Struct = complete("NodeAddress", &[("type", Text), ("address", Text)]);
static NODE_CONDITION: Struct = partial(
    "NodeCondition",
    &[
        ("type", Text),
        ("status", Text),
        ("lastTransitionTime", Text),
    ],
);
static OPEN: Struct = partial("ResourceList", &[]);

static NODE_STATUS: Struct = partial(
    "NodeStatus",
    &[
        ("allocatable", Fields(&OPEN)),
        ("conditions", List(&Fields(&NODE_CONDITION))),
        ("addresses", List(&Fields(&NODE_ADDRESS))),
    ],
);

static NODE: Struct = complete(
    "Node",
    &[
        ("apiVersion", Text),
        ("kind", Text),
        ("metadata", Fields(&META)),
        ("spec", Fields(&NODE_SPEC)),
        ("status", Fields(&NODE_STATUS)),
    ],
);

static NAMESPACE_STATUS: Struct = partial("NamespaceStatus", &[("phase", Text)]);

static NAMESPACE: Struct = complete(
    "Namespace",
    &[
        ("apiVersion", Text),
        ("kind", Text),
        ("metadata", Fields(&META)),
        ("spec", Any),
        ("status", Fields(&NAMESPACE_STATUS)),
    ],
);

static ENDPOINT_ADDRESS: Struct = complete(
    "EndpointAddress",
    &[
        ("ip", Text),
        ("hostname", Text),
        ("nodeName", Text),
        ("targetRef", Fields(&TARGET)),
    ],
);

static SUBSET: Struct = complete(
    "EndpointSubset",
    &[
        ("addresses", List(&Fields(&ENDPOINT_ADDRESS))),
        ("notReadyAddresses", List(&Fields(&ENDPOINT_ADDRESS))),
        ("ports", List(&Fields(&ENDPOINT_PORT))),
    ],
);

static ENDPOINTS: Struct = complete(
    "Endpoints",
    &[
        ("apiVersion", Text),
        ("kind", Text),
        ("metadata", Fields(&META)),
        ("subsets", List(&Fields(&SUBSET))),
    ],
);

static INERT: Struct = partial("", &[("metadata", Fields(&META))]);

/// Everything wrong with an object of `kind`, in the order of the manifest.
pub(crate) fn faults(kind: Kind, value: &Value) -> Vec<Fault> {
    let schema = match kind {
        Kind::Namespace => &NAMESPACE,
        Kind::Node => &NODE,
        Kind::Pod => &POD,
        Kind::Service => &SERVICE,
        Kind::EndpointSlice => &ENDPOINT_SLICE,
        Kind::Endpoints => &ENDPOINTS,
        _ => &INERT,
    };
    let mut walk = Walk { faults: Vec::new() };
    walk.visit(value, Fields(schema), schema, &Path::root());
    walk.faults
}

struct Walk {
    faults: Vec<Fault>,
}

impl Walk {
    /// `owner` is the struct that the value is a field of.
    fn visit(&mut self, value: &Value, schema: Schema, owner: &Struct, path: &Path) {
        match (schema, value) {
            // Go takes null for "not given".
            (_, Value::Null)
            | (Any, _)
            | (Text | IntOrText, Value::String(_))
            | (Bool, Value::Bool(_)) => {}
            (Int32 | IntOrText, Value::Number(number))
                if number
                    .as_i64()
                    .is_some_and(|number| i32::try_from(number).is_ok()) => {}
            (Int64, Value::Number(number)) if number.is_i64() => {}
            (Texts, Value::Object(fields)) => {
                for (key, value) in fields {
                    if !(value.is_string() || value.is_null()) {
                        self.mistyped(value, "string", owner, path, &path.key(key));
                    }
                }
            }
            (List(item), Value::Array(items)) => {
                for (index, value) in items.iter().enumerate() {
                    self.visit(value, *item, owner, &path.index(index));
                }
            }
            (Fields(schema), Value::Object(fields)) => {
                for (key, value) in fields {
                    self.visit_field(key, value, schema, path);
                }
            }
            (schema, value) => self.mistyped(value, &schema.go_type(), owner, path, path),
        }
    }

    fn visit_field(&mut self, key: &str, value: &Value, schema: &'static Struct, path: &Path) {
        let field = schema.fields.iter().find(|(name, _)| *name == key);
        match field {
            Some((_, inner)) => self.visit(value, *inner, schema, &path.key(key)),
            None if schema.complete => {
                let known = schema.fields.iter().map(|(name, _)| *name).collect();
                self.faults.push(Fault::Unknown {
                    path: path.key(key),
                    known,
                });
            }
            None => {}
        }
    }

    /// `field` is what Go calls the place: a map's values have no path of their own.
    fn mistyped(&mut self, value: &Value, wanted: &str, owner: &Struct, field: &Path, at: &Path) {
        let keys = field.segments().iter().filter_map(|segment| match segment {
            Segment::Key(key) => Some(key.as_str()),
            Segment::Index(_) => None,
        });
        let place: Vec<&str> = std::iter::once(owner.name).chain(keys).collect();
        let found = match value {
            Value::Null => "null".to_owned(),
            Value::Bool(_) => "bool".to_owned(),
            Value::Number(number) if wanted.starts_with("int") => format!("number {number}"),
            Value::Number(_) => "number".to_owned(),
            Value::String(_) => "string".to_owned(),
            Value::Array(_) => "array".to_owned(),
            Value::Object(_) => "object".to_owned(),
        };
        let place = place.join(".");
        let message =
            format!("json: cannot unmarshal {found} into Go struct field {place} of type {wanted}");
        self.faults.push(Fault::Mistyped {
            path: at.clone(),
            message,
        });
    }
}

impl Schema {
    /// How Go's messages name the type.
    fn go_type(self) -> String {
        match self {
            Text => "string".to_owned(),
            Int32 => "int32".to_owned(),
            Int64 => "int64".to_owned(),
            Bool => "bool".to_owned(),
            IntOrText => "intstr.IntOrString".to_owned(),
            Texts => "map[string]string".to_owned(),
            List(item) => format!("[]{}", item.go_type()),
            Fields(inner) => format!("v1.{}", inner.name),
            Any => "interface {}".to_owned(),
        }
    }
}
