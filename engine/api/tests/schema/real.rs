//! The schema as `k8s-openapi` states it.

use k8s_openapi::Resource;
use k8s_openapi::api::{
    admissionregistration, apps, autoscaling, batch, certificates, coordination, core, discovery,
    events, flowcontrol, networking, node, policy, rbac, resource, scheduling, storage,
};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions;
use k8s_openapi::kube_aggregator::pkg::apis::apiregistration;
use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, SchemaGenerator};
use serde_json::{Map, Value};

/// Where schemas refer to each other.
const REFERENCE: &str = "#/$defs/";

/// Kinds and the schemas of all structs that they are made of.
pub(crate) struct Real {
    /// apiVersion, kind, and the name of its schema.
    pub(crate) kinds: Vec<(String, String, String)>,
    /// Schemas by name, in the order of names.
    pub(crate) definitions: Map<String, Value>,
}

impl Real {
    /// The schemas of every kind in [`api::Kind`].
    pub(crate) fn load() -> Self {
        let mut reader = Reader {
            generator: SchemaSettings::draft2020_12().into_generator(),
            kinds: Vec::new(),
        };
        read_kinds(&mut reader);
        let mut definitions: Vec<_> = reader
            .generator
            .take_definitions(false)
            .into_iter()
            .collect();
        definitions.sort_by(|left, right| left.0.cmp(&right.0));
        Self {
            kinds: reader.kinds,
            definitions: definitions.into_iter().collect(),
        }
    }

    /// The schema that `schema` refers to by name, if it does.
    pub(crate) fn referred<'a>(&'a self, schema: &'a Value) -> Option<(&'a str, &'a Value)> {
        let name = schema.get("$ref")?.as_str()?.strip_prefix(REFERENCE)?;
        Some((name, &self.definitions[name]))
    }
}

struct Reader {
    generator: SchemaGenerator,
    kinds: Vec<(String, String, String)>,
}

impl Reader {
    fn read<T: JsonSchema + Resource>(&mut self) {
        self.generator.subschema_for::<T>();
        self.kinds.push((
            T::API_VERSION.to_owned(),
            T::KIND.to_owned(),
            T::schema_name().into_owned(),
        ));
    }
}

fn read_kinds(reader: &mut Reader) {
    macro_rules! read {
        ($($group:ident $version:ident: $($kind:ident)+;)+) => {
            $($(reader.read::<$group::$version::$kind>();)+)+
        };
    }
    read! {
        core v1: Namespace Node Pod Service Endpoints Event ConfigMap LimitRange PersistentVolume
            PersistentVolumeClaim PodTemplate ReplicationController ResourceQuota Secret ServiceAccount;
        discovery v1: EndpointSlice;
        networking v1: ServiceCIDR IPAddress NetworkPolicy Ingress IngressClass;
        apps v1: Deployment ReplicaSet StatefulSet DaemonSet ControllerRevision;
        autoscaling v1: HorizontalPodAutoscaler;
        autoscaling v2: HorizontalPodAutoscaler;
        batch v1: CronJob Job;
        certificates v1: CertificateSigningRequest;
        coordination v1: Lease;
        events v1: Event;
        policy v1: PodDisruptionBudget;
        rbac v1: ClusterRole ClusterRoleBinding Role RoleBinding;
        scheduling v1: PriorityClass;
        node v1: RuntimeClass;
        storage v1: StorageClass CSIDriver CSINode CSIStorageCapacity VolumeAttachment VolumeAttributesClass;
        admissionregistration v1: MutatingWebhookConfiguration ValidatingWebhookConfiguration
            ValidatingAdmissionPolicy ValidatingAdmissionPolicyBinding
            MutatingAdmissionPolicy MutatingAdmissionPolicyBinding;
        flowcontrol v1: FlowSchema PriorityLevelConfiguration;
        resource v1: DeviceClass ResourceClaim ResourceClaimTemplate ResourceSlice;
        apiextensions v1: CustomResourceDefinition;
        apiregistration v1: APIService;
    }
}
