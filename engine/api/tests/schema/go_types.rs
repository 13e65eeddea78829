//! Names that Go gives to fields' types and the OpenAPI document does not tell.
//!
//! A text or mapping may have a type with a name (`type Protocol string`), which error messages print. These are
//! the ones of the kinds that networking reads (S: core/v1, discovery/v1, apps/v1, networking/v1 and meta/v1
//! `types.go`); all others are spelled by what they are made of.

/// The type of a field whose schema alone would make it `plain`.
pub(crate) fn go_type_of_field(owner: &str, field: &str, plain: &str) -> String {
    if plain == "map[string]resource.Quantity" && owner.starts_with("core/") {
        return "core/v1.ResourceList".to_owned();
    }
    let found = NAMED
        .iter()
        .find(|(known, name, _)| (*known, *name) == (owner, field));
    found.map_or(plain, |(_, _, named)| named).to_owned()
}

#[rustfmt::skip]
const NAMED: &[(&str, &str, &str)] = &[
    ("meta/v1.ObjectMeta", "uid", "types.UID"),
    ("meta/v1.OwnerReference", "uid", "types.UID"),
    ("meta/v1.Condition", "status", "meta/v1.ConditionStatus"),
    ("meta/v1.LabelSelectorRequirement", "operator", "meta/v1.LabelSelectorOperator"),
    ("meta/v1.ManagedFieldsEntry", "operation", "meta/v1.ManagedFieldsOperationType"),
    ("core/v1.ObjectReference", "uid", "types.UID"),
    ("core/v1.ServiceSpec", "type", "core/v1.ServiceType"),
    ("core/v1.ServiceSpec", "sessionAffinity", "core/v1.ServiceAffinity"),
    ("core/v1.ServiceSpec", "externalTrafficPolicy", "core/v1.ServiceExternalTrafficPolicy"),
    ("core/v1.ServiceSpec", "internalTrafficPolicy", "core/v1.ServiceInternalTrafficPolicy"),
    ("core/v1.ServiceSpec", "ipFamilies", "[]core/v1.IPFamily"),
    ("core/v1.ServiceSpec", "ipFamilyPolicy", "core/v1.IPFamilyPolicy"),
    ("core/v1.ServicePort", "protocol", "core/v1.Protocol"),
    ("core/v1.LoadBalancerIngress", "ipMode", "core/v1.LoadBalancerIPMode"),
    ("core/v1.PortStatus", "protocol", "core/v1.Protocol"),
    ("core/v1.EndpointPort", "protocol", "core/v1.Protocol"),
    ("core/v1.NamespaceSpec", "finalizers", "[]core/v1.FinalizerName"),
    ("core/v1.NamespaceStatus", "phase", "core/v1.NamespacePhase"),
    ("core/v1.NamespaceCondition", "type", "core/v1.NamespaceConditionType"),
    ("core/v1.NamespaceCondition", "status", "core/v1.ConditionStatus"),
    ("core/v1.NodeStatus", "phase", "core/v1.NodePhase"),
    ("core/v1.NodeAddress", "type", "core/v1.NodeAddressType"),
    ("core/v1.NodeCondition", "type", "core/v1.NodeConditionType"),
    ("core/v1.NodeCondition", "status", "core/v1.ConditionStatus"),
    ("core/v1.Taint", "effect", "core/v1.TaintEffect"),
    ("core/v1.PodSpec", "restartPolicy", "core/v1.RestartPolicy"),
    ("core/v1.PodSpec", "dnsPolicy", "core/v1.DNSPolicy"),
    ("core/v1.PodSpec", "preemptionPolicy", "core/v1.PreemptionPolicy"),
    ("core/v1.PodStatus", "phase", "core/v1.PodPhase"),
    ("core/v1.PodStatus", "qosClass", "core/v1.PodQOSClass"),
    ("core/v1.PodStatus", "resize", "core/v1.PodResizeStatus"),
    ("core/v1.PodCondition", "type", "core/v1.PodConditionType"),
    ("core/v1.PodCondition", "status", "core/v1.ConditionStatus"),
    ("core/v1.PodReadinessGate", "conditionType", "core/v1.PodConditionType"),
    ("core/v1.PodOS", "name", "core/v1.OSName"),
    ("core/v1.Container", "imagePullPolicy", "core/v1.PullPolicy"),
    ("core/v1.Container", "restartPolicy", "core/v1.ContainerRestartPolicy"),
    ("core/v1.Container", "terminationMessagePolicy", "core/v1.TerminationMessagePolicy"),
    ("core/v1.EphemeralContainer", "imagePullPolicy", "core/v1.PullPolicy"),
    ("core/v1.EphemeralContainer", "restartPolicy", "core/v1.ContainerRestartPolicy"),
    ("core/v1.EphemeralContainer", "terminationMessagePolicy", "core/v1.TerminationMessagePolicy"),
    ("core/v1.ContainerPort", "protocol", "core/v1.Protocol"),
    ("core/v1.VolumeMount", "mountPropagation", "core/v1.MountPropagationMode"),
    ("core/v1.VolumeMount", "recursiveReadOnly", "core/v1.RecursiveReadOnlyMode"),
    ("core/v1.EmptyDirVolumeSource", "medium", "core/v1.StorageMedium"),
    ("core/v1.HostPathVolumeSource", "type", "core/v1.HostPathType"),
    ("core/v1.HTTPGetAction", "scheme", "core/v1.URIScheme"),
    ("core/v1.Capabilities", "add", "[]core/v1.Capability"),
    ("core/v1.Capabilities", "drop", "[]core/v1.Capability"),
    ("core/v1.SeccompProfile", "type", "core/v1.SeccompProfileType"),
    ("core/v1.AppArmorProfile", "type", "core/v1.AppArmorProfileType"),
    ("core/v1.SecurityContext", "procMount", "core/v1.ProcMountType"),
    ("core/v1.PodSecurityContext", "fsGroupChangePolicy", "core/v1.PodFSGroupChangePolicy"),
    ("core/v1.PodSecurityContext", "supplementalGroupsPolicy", "core/v1.SupplementalGroupsPolicy"),
    ("core/v1.Toleration", "operator", "core/v1.TolerationOperator"),
    ("core/v1.Toleration", "effect", "core/v1.TaintEffect"),
    ("core/v1.NodeSelectorRequirement", "operator", "core/v1.NodeSelectorOperator"),
    ("core/v1.TopologySpreadConstraint", "whenUnsatisfiable", "core/v1.UnsatisfiableConstraintAction"),
    ("core/v1.TopologySpreadConstraint", "nodeAffinityPolicy", "core/v1.NodeInclusionPolicy"),
    ("core/v1.TopologySpreadConstraint", "nodeTaintsPolicy", "core/v1.NodeInclusionPolicy"),
    ("core/v1.PersistentVolumeClaimSpec", "accessModes", "[]core/v1.PersistentVolumeAccessMode"),
    ("core/v1.PersistentVolumeClaimSpec", "volumeMode", "core/v1.PersistentVolumeMode"),
    ("core/v1.PersistentVolumeSpec", "accessModes", "[]core/v1.PersistentVolumeAccessMode"),
    ("core/v1.PersistentVolumeSpec", "volumeMode", "core/v1.PersistentVolumeMode"),
    ("core/v1.PersistentVolumeSpec", "persistentVolumeReclaimPolicy", "core/v1.PersistentVolumeReclaimPolicy"),
    ("core/v1.Secret", "type", "core/v1.SecretType"),
    ("discovery/v1.EndpointSlice", "addressType", "discovery/v1.AddressType"),
    ("discovery/v1.EndpointPort", "protocol", "core/v1.Protocol"),
    ("apps/v1.DeploymentStrategy", "type", "apps/v1.DeploymentStrategyType"),
    ("apps/v1.DeploymentCondition", "type", "apps/v1.DeploymentConditionType"),
    ("apps/v1.DeploymentCondition", "status", "core/v1.ConditionStatus"),
    ("apps/v1.ReplicaSetCondition", "type", "apps/v1.ReplicaSetConditionType"),
    ("apps/v1.ReplicaSetCondition", "status", "core/v1.ConditionStatus"),
    ("apps/v1.StatefulSetSpec", "podManagementPolicy", "apps/v1.PodManagementPolicyType"),
    ("apps/v1.StatefulSetUpdateStrategy", "type", "apps/v1.StatefulSetUpdateStrategyType"),
    ("apps/v1.StatefulSetCondition", "type", "apps/v1.StatefulSetConditionType"),
    ("apps/v1.StatefulSetCondition", "status", "core/v1.ConditionStatus"),
    ("apps/v1.DaemonSetUpdateStrategy", "type", "apps/v1.DaemonSetUpdateStrategyType"),
    ("apps/v1.DaemonSetCondition", "type", "apps/v1.DaemonSetConditionType"),
    ("apps/v1.DaemonSetCondition", "status", "core/v1.ConditionStatus"),
    ("networking/v1.NetworkPolicySpec", "policyTypes", "[]networking/v1.PolicyType"),
    ("networking/v1.NetworkPolicyPort", "protocol", "core/v1.Protocol"),
    ("networking/v1.HTTPIngressPath", "pathType", "networking/v1.PathType"),
];
