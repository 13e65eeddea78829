//! Which kinds exist, and how kubectl and the API server spell them.

use std::fmt;

/// A kind of object.
///
/// Kinds that a Service network reads have a variant; all others that a stock cluster knows are
/// [`Kind::Other`]: stored as they are, without effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// `v1` Namespace.
    Namespace,
    /// `v1` Node.
    Node,
    /// `v1` Pod.
    Pod,
    /// `v1` Service.
    Service,
    /// `discovery.k8s.io/v1` EndpointSlice.
    EndpointSlice,
    /// `v1` Endpoints.
    Endpoints,
    /// `networking.k8s.io/v1` ServiceCIDR.
    ServiceCidr,
    /// `networking.k8s.io/v1` IPAddress.
    IpAddress,
    /// `apps/v1` Deployment.
    Deployment,
    /// `apps/v1` ReplicaSet.
    ReplicaSet,
    /// `apps/v1` StatefulSet.
    StatefulSet,
    /// `apps/v1` DaemonSet.
    DaemonSet,
    /// `networking.k8s.io/v1` NetworkPolicy.
    NetworkPolicy,
    /// `v1` Event.
    Event,
    /// A kind that networking ignores.
    Other(InertKind),
}

/// A known kind without a meaning here: a place in the table of inert kinds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InertKind(u8);

/// How a kind is spelled.
struct Spelling {
    kind: &'static str,
    api_version: &'static str,
    plural: &'static str,
    short: &'static [&'static str],
    namespaced: bool,
}

const fn spelled(
    kind: &'static str,
    api_version: &'static str,
    plural: &'static str,
    short: &'static [&'static str],
    namespaced: bool,
) -> Spelling {
    Spelling {
        kind,
        api_version,
        plural,
        short,
        namespaced,
    }
}

const NETWORKING: &str = "networking.k8s.io/v1";
const ADMISSION: &str = "admissionregistration.k8s.io/v1";

const NAMESPACE: Spelling = spelled("Namespace", "v1", "namespaces", &["ns"], false);
const NODE: Spelling = spelled("Node", "v1", "nodes", &["no"], false);
const POD: Spelling = spelled("Pod", "v1", "pods", &["po"], true);
const SERVICE: Spelling = spelled("Service", "v1", "services", &["svc"], true);
const ENDPOINT_SLICE: Spelling = spelled(
    "EndpointSlice",
    "discovery.k8s.io/v1",
    "endpointslices",
    &[],
    true,
);

const ENDPOINTS: Spelling = spelled("Endpoints", "v1", "endpoints", &["ep"], true);
const SERVICE_CIDR: Spelling = spelled("ServiceCIDR", NETWORKING, "servicecidrs", &[], false);
const IP_ADDRESS: Spelling = spelled("IPAddress", NETWORKING, "ipaddresses", &["ip"], false);
const DEPLOYMENT: Spelling = spelled("Deployment", "apps/v1", "deployments", &["deploy"], true);
const REPLICA_SET: Spelling = spelled("ReplicaSet", "apps/v1", "replicasets", &["rs"], true);
const STATEFUL_SET: Spelling = spelled("StatefulSet", "apps/v1", "statefulsets", &["sts"], true);
const DAEMON_SET: Spelling = spelled("DaemonSet", "apps/v1", "daemonsets", &["ds"], true);
const NETWORK_POLICY: Spelling = spelled(
    "NetworkPolicy",
    NETWORKING,
    "networkpolicies",
    &["netpol"],
    true,
);
const EVENT: Spelling = spelled("Event", "v1", "events", &["ev"], true);

/// Kinds of Kubernetes 1.36 that users put beside their Services; the last one stands for all that it does not know.
///
/// Deviation: an object is stored in the version it was written in, where Kubernetes shows it in every version that it
/// serves.
const INERT: &[Spelling] = &[
    spelled("ConfigMap", "v1", "configmaps", &["cm"], true),
    spelled("LimitRange", "v1", "limitranges", &["limits"], true),
    spelled(
        "PersistentVolume",
        "v1",
        "persistentvolumes",
        &["pv"],
        false,
    ),
    spelled(
        "PersistentVolumeClaim",
        "v1",
        "persistentvolumeclaims",
        &["pvc"],
        true,
    ),
    spelled("PodTemplate", "v1", "podtemplates", &[], true),
    spelled(
        "ReplicationController",
        "v1",
        "replicationcontrollers",
        &["rc"],
        true,
    ),
    spelled("ResourceQuota", "v1", "resourcequotas", &["quota"], true),
    spelled("Secret", "v1", "secrets", &[], true),
    spelled("ServiceAccount", "v1", "serviceaccounts", &["sa"], true),
    spelled(
        "ControllerRevision",
        "apps/v1",
        "controllerrevisions",
        &[],
        true,
    ),
    spelled(
        "HorizontalPodAutoscaler",
        "autoscaling/v2",
        "horizontalpodautoscalers",
        &["hpa"],
        true,
    ),
    spelled("CronJob", "batch/v1", "cronjobs", &["cj"], true),
    spelled("Job", "batch/v1", "jobs", &[], true),
    spelled("Lease", "coordination.k8s.io/v1", "leases", &[], true),
    spelled(
        "Ingress",
        "networking.k8s.io/v1",
        "ingresses",
        &["ing"],
        true,
    ),
    spelled(
        "IngressClass",
        "networking.k8s.io/v1",
        "ingressclasses",
        &[],
        false,
    ),
    spelled(
        "PodDisruptionBudget",
        "policy/v1",
        "poddisruptionbudgets",
        &["pdb"],
        true,
    ),
    spelled(
        "ClusterRole",
        "rbac.authorization.k8s.io/v1",
        "clusterroles",
        &[],
        false,
    ),
    spelled(
        "ClusterRoleBinding",
        "rbac.authorization.k8s.io/v1",
        "clusterrolebindings",
        &[],
        false,
    ),
    spelled("Role", "rbac.authorization.k8s.io/v1", "roles", &[], true),
    spelled(
        "RoleBinding",
        "rbac.authorization.k8s.io/v1",
        "rolebindings",
        &[],
        true,
    ),
    spelled(
        "PriorityClass",
        "scheduling.k8s.io/v1",
        "priorityclasses",
        &["pc"],
        false,
    ),
    spelled(
        "RuntimeClass",
        "node.k8s.io/v1",
        "runtimeclasses",
        &[],
        false,
    ),
    spelled(
        "StorageClass",
        "storage.k8s.io/v1",
        "storageclasses",
        &["sc"],
        false,
    ),
    spelled("CSIDriver", "storage.k8s.io/v1", "csidrivers", &[], false),
    spelled("CSINode", "storage.k8s.io/v1", "csinodes", &[], false),
    spelled(
        "CSIStorageCapacity",
        "storage.k8s.io/v1",
        "csistoragecapacities",
        &[],
        true,
    ),
    spelled(
        "VolumeAttachment",
        "storage.k8s.io/v1",
        "volumeattachments",
        &[],
        false,
    ),
    spelled(
        "VolumeAttributesClass",
        "storage.k8s.io/v1",
        "volumeattributesclasses",
        &["vac"],
        false,
    ),
    spelled(
        "HorizontalPodAutoscaler",
        "autoscaling/v1",
        "horizontalpodautoscalers",
        &["hpa"],
        true,
    ),
    spelled("Event", "events.k8s.io/v1", "events", &["ev"], true),
    spelled(
        "CertificateSigningRequest",
        "certificates.k8s.io/v1",
        "certificatesigningrequests",
        &["csr"],
        false,
    ),
    spelled(
        "MutatingWebhookConfiguration",
        ADMISSION,
        "mutatingwebhookconfigurations",
        &[],
        false,
    ),
    spelled(
        "ValidatingWebhookConfiguration",
        ADMISSION,
        "validatingwebhookconfigurations",
        &[],
        false,
    ),
    spelled(
        "MutatingAdmissionPolicy",
        ADMISSION,
        "mutatingadmissionpolicies",
        &[],
        false,
    ),
    spelled(
        "MutatingAdmissionPolicyBinding",
        ADMISSION,
        "mutatingadmissionpolicybindings",
        &[],
        false,
    ),
    spelled(
        "ValidatingAdmissionPolicy",
        ADMISSION,
        "validatingadmissionpolicies",
        &[],
        false,
    ),
    spelled(
        "ValidatingAdmissionPolicyBinding",
        ADMISSION,
        "validatingadmissionpolicybindings",
        &[],
        false,
    ),
    spelled(
        "FlowSchema",
        "flowcontrol.apiserver.k8s.io/v1",
        "flowschemas",
        &[],
        false,
    ),
    spelled(
        "PriorityLevelConfiguration",
        "flowcontrol.apiserver.k8s.io/v1",
        "prioritylevelconfigurations",
        &[],
        false,
    ),
    spelled(
        "DeviceClass",
        "resource.k8s.io/v1",
        "deviceclasses",
        &[],
        false,
    ),
    spelled(
        "ResourceClaim",
        "resource.k8s.io/v1",
        "resourceclaims",
        &[],
        true,
    ),
    spelled(
        "ResourceClaimTemplate",
        "resource.k8s.io/v1",
        "resourceclaimtemplates",
        &[],
        true,
    ),
    spelled(
        "ResourceSlice",
        "resource.k8s.io/v1",
        "resourceslices",
        &[],
        false,
    ),
    spelled(
        "CustomResourceDefinition",
        "apiextensions.k8s.io/v1",
        "customresourcedefinitions",
        &["crd"],
        false,
    ),
    spelled(
        "APIService",
        "apiregistration.k8s.io/v1",
        "apiservices",
        &[],
        false,
    ),
    spelled("CustomResource", "", "customresources", &[], true),
];

/// Groups that a stock cluster serves beside those whose name has no dot: a kind that it does not know there is a
/// misspelled one, not a custom resource.
const GROUPS: &[&str] = &[
    "admissionregistration.k8s.io",
    "apiextensions.k8s.io",
    "apiregistration.k8s.io",
    "authentication.k8s.io",
    "authorization.k8s.io",
    "certificates.k8s.io",
    "coordination.k8s.io",
    "discovery.k8s.io",
    "events.k8s.io",
    "flowcontrol.apiserver.k8s.io",
    "internal.apiserver.k8s.io",
    "networking.k8s.io",
    "node.k8s.io",
    "rbac.authorization.k8s.io",
    "resource.k8s.io",
    "scheduling.k8s.io",
    "storage.k8s.io",
    "storagemigration.k8s.io",
];

impl Kind {
    /// The kinds that have a struct of their own.
    pub const LIVE: [Self; 14] = [
        Self::Namespace,
        Self::Node,
        Self::Pod,
        Self::Service,
        Self::EndpointSlice,
        Self::Endpoints,
        Self::ServiceCidr,
        Self::IpAddress,
        Self::Deployment,
        Self::ReplicaSet,
        Self::StatefulSet,
        Self::DaemonSet,
        Self::NetworkPolicy,
        Self::Event,
    ];

    /// Every custom resource: each object says itself what it is.
    pub const CUSTOM: Self = {
        assert!(INERT.len() <= 256, "a place fits its type");
        Self::Other(InertKind((INERT.len() - 1) as u8))
    };

    /// Every kind, those with a struct of their own first.
    pub fn all() -> impl Iterator<Item = Self> {
        let inert = 0..u8::try_from(INERT.len()).expect("the table is short");
        Self::LIVE
            .into_iter()
            .chain(inert.map(|index| Self::Other(InertKind(index))))
    }

    /// The kind that a manifest's `apiVersion` and `kind` name.
    #[must_use]
    pub fn of_manifest(api_version: &str, kind: &str) -> Option<Self> {
        Self::all().find(|known| known.name() == kind && known.api_version() == api_version)
    }

    /// The kind that a word on a command line names: singular, plural or short, any case, with or
    /// without its group (`svc`, `Service`, `endpointslices.discovery.k8s.io`).
    #[must_use]
    pub fn of_resource(word: &str) -> Option<Self> {
        let word = word.to_ascii_lowercase();
        let (stem, group) = word.split_once('.').unwrap_or((&word, ""));
        Self::all().find(|known| {
            let spelling = known.spelling();
            let names = spelling.plural == stem
                || spelling.kind.eq_ignore_ascii_case(stem)
                || spelling.short.contains(&stem);
            names && (group.is_empty() || group == known.group())
        })
    }

    /// `Service`.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.spelling().kind
    }

    /// `v1`, `discovery.k8s.io/v1`.
    #[must_use]
    pub fn api_version(self) -> &'static str {
        self.spelling().api_version
    }

    /// The API group; empty for the core group.
    #[must_use]
    pub fn group(self) -> &'static str {
        self.api_version()
            .split_once('/')
            .map_or("", |(group, _)| group)
    }

    /// The resource as error messages name it, with its group (API-9): `services`,
    /// `endpointslices.discovery.k8s.io`.
    #[must_use]
    pub fn resource(self) -> String {
        self.with_group(self.plural())
    }

    /// The resource as kubectl's result lines name it: `service`, `endpointslice.discovery.k8s.io`.
    #[must_use]
    pub fn singular(self) -> String {
        self.with_group(&self.name().to_ascii_lowercase())
    }

    /// What the server warns about in the answer to every request for the kind (API-80).
    #[must_use]
    pub fn deprecation(self) -> Option<&'static str> {
        let text = "v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice";
        (self == Self::Endpoints).then_some(text)
    }

    /// The resource without its group: `services`, `endpointslices`.
    #[must_use]
    pub fn plural(self) -> &'static str {
        self.spelling().plural
    }

    /// Whether its objects do anything to the network; others are stored and printed, and that is all.
    ///
    /// Deviation: StatefulSets and DaemonSets make no Pods and nothing enforces a NetworkPolicy yet.
    #[must_use]
    pub fn has_effect(self) -> bool {
        !matches!(
            self,
            Self::StatefulSet | Self::DaemonSet | Self::NetworkPolicy | Self::Other(_)
        )
    }

    /// Whether its objects live in a namespace.
    #[must_use]
    pub fn is_namespaced(self) -> bool {
        self.spelling().namespaced
    }

    /// Whether a stock cluster serves an API group.
    pub(crate) fn is_stock_group(group: &str) -> bool {
        !group.contains('.') || GROUPS.contains(&group)
    }

    fn with_group(self, word: &str) -> String {
        match self.group() {
            "" => word.to_owned(),
            group => format!("{word}.{group}"),
        }
    }

    fn spelling(self) -> &'static Spelling {
        match self {
            Self::Namespace => &NAMESPACE,
            Self::Node => &NODE,
            Self::Pod => &POD,
            Self::Service => &SERVICE,
            Self::EndpointSlice => &ENDPOINT_SLICE,
            Self::Endpoints => &ENDPOINTS,
            Self::ServiceCidr => &SERVICE_CIDR,
            Self::IpAddress => &IP_ADDRESS,
            Self::Deployment => &DEPLOYMENT,
            Self::ReplicaSet => &REPLICA_SET,
            Self::StatefulSet => &STATEFUL_SET,
            Self::DaemonSet => &DAEMON_SET,
            Self::NetworkPolicy => &NETWORK_POLICY,
            Self::Event => &EVENT,
            Self::Other(InertKind(index)) => &INERT[usize::from(index)],
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_is_found_by_each_of_its_spellings() {
        for kind in Kind::all() {
            assert_eq!(
                Kind::of_manifest(kind.api_version(), kind.name()),
                Some(kind)
            );
            // The word alone is for the first of several versions or groups.
            let first = Kind::all().find(|first| first.resource() == kind.resource());
            assert_eq!(Kind::of_resource(&kind.resource()), first);
            assert_eq!(Kind::of_resource(&kind.singular()), first);
            for short in kind.spelling().short {
                let named = Kind::of_resource(short).unwrap();
                assert_eq!(named.name(), kind.name());
            }
        }
    }

    #[test]
    fn every_group_with_a_dot_is_known_as_stock() {
        for kind in Kind::all() {
            assert!(Kind::is_stock_group(kind.group()), "{kind}");
        }
    }

    #[test]
    fn groups_show_where_kubectl_shows_them() {
        let slice = Kind::of_resource("EndpointSlice").unwrap();
        assert_eq!(slice.resource(), "endpointslices.discovery.k8s.io");
        assert_eq!(slice.singular(), "endpointslice.discovery.k8s.io");
        assert_eq!(Kind::Service.resource(), "services");
        assert_eq!(Kind::of_manifest("extensions/v1beta1", "Deployment"), None);
    }
}
