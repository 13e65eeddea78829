//! Workloads, as far as networking needs them: what makes Pods, how many, and how they are replaced (S: apps/v1
//! `types.go`).

use serde::{Deserialize, Serialize};

use super::{IntOrString, LabelSelector, ObjectMeta, PodSpec, Rest};

/// A Deployment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Deployment {
    /// `metadata`
    pub metadata: ObjectMeta,
    /// `spec`
    pub spec: DeploymentSpec,
    /// `status`
    pub status: WorkloadStatus,
}

/// A ReplicaSet.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ReplicaSet {
    /// `metadata`
    pub metadata: ObjectMeta,
    /// `spec`
    pub spec: ReplicaSetSpec,
    /// `status`
    pub status: WorkloadStatus,
}

/// A StatefulSet.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct StatefulSet {
    /// `metadata`
    pub metadata: ObjectMeta,
    /// `spec`
    pub spec: StatefulSetSpec,
    /// `status`
    pub status: WorkloadStatus,
}

/// A DaemonSet.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct DaemonSet {
    /// `metadata`
    pub metadata: ObjectMeta,
    /// `spec`
    pub spec: DaemonSetSpec,
    /// `status`
    pub status: DaemonSetStatus,
}

/// `spec` of a Deployment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DeploymentSpec {
    /// How many Pods.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replicas: Option<i32>,
    /// Which Pods are its own; required.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub selector: Option<LabelSelector>,
    /// What its Pods look like.
    pub template: PodTemplateSpec,
    /// How they are replaced.
    pub strategy: UpdateStrategy,
    /// Seconds that a new Pod must be ready to count as available.
    #[serde(skip_serializing_if = "super::values::is_zero")]
    pub min_ready_seconds: i32,
    /// How many old revisions are kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revision_history_limit: Option<i32>,
    /// Seconds after which a rollout without progress counts as failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub progress_deadline_seconds: Option<i32>,
    /// Everything else.
    #[serde(flatten)]
    pub rest: Rest,
}

/// `spec` of a ReplicaSet.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ReplicaSetSpec {
    /// How many Pods.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replicas: Option<i32>,
    /// Seconds that a new Pod must be ready to count as available.
    #[serde(skip_serializing_if = "super::values::is_zero")]
    pub min_ready_seconds: i32,
    /// Which Pods are its own; required.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub selector: Option<LabelSelector>,
    /// What its Pods look like.
    pub template: PodTemplateSpec,
    /// Everything else.
    #[serde(flatten)]
    pub rest: Rest,
}

/// `spec` of a StatefulSet.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct StatefulSetSpec {
    /// How many Pods.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replicas: Option<i32>,
    /// Which Pods are its own; required.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub selector: Option<LabelSelector>,
    /// What its Pods look like.
    pub template: PodTemplateSpec,
    /// The headless Service that names its Pods.
    pub service_name: String,
    /// `OrderedReady` or `Parallel`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub pod_management_policy: String,
    /// How its Pods are replaced.
    pub update_strategy: UpdateStrategy,
    /// Seconds that a new Pod must be ready to count as available.
    #[serde(skip_serializing_if = "super::values::is_zero")]
    pub min_ready_seconds: i32,
    /// How many old revisions are kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revision_history_limit: Option<i32>,
    /// Everything else.
    #[serde(flatten)]
    pub rest: Rest,
}

/// `spec` of a DaemonSet.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DaemonSetSpec {
    /// Which Pods are its own; required.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub selector: Option<LabelSelector>,
    /// What its Pods look like.
    pub template: PodTemplateSpec,
    /// How its Pods are replaced.
    pub update_strategy: UpdateStrategy,
    /// Seconds that a new Pod must be ready to count as available.
    #[serde(skip_serializing_if = "super::values::is_zero")]
    pub min_ready_seconds: i32,
    /// How many old revisions are kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revision_history_limit: Option<i32>,
    /// Everything else.
    #[serde(flatten)]
    pub rest: Rest,
}

/// What the Pods of a workload look like.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PodTemplateSpec {
    /// Labels and annotations of its Pods.
    pub metadata: ObjectMeta,
    /// `spec` of its Pods.
    pub spec: PodSpec,
}

/// How Pods are replaced.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct UpdateStrategy {
    /// `RollingUpdate`, `Recreate` (Deployment) or `OnDelete` (StatefulSet, DaemonSet).
    #[serde(rename = "type", skip_serializing_if = "String::is_empty")]
    pub strategy_type: String,
    /// Figures of a rolling update.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rolling_update: Option<RollingUpdate>,
}

/// Figures of a rolling update; each kind knows some of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RollingUpdate {
    /// StatefulSet: only Pods of this number and above are replaced.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub partition: Option<i32>,
    /// How many Pods may be missing: a number or a percentage.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_unavailable: Option<IntOrString>,
    /// How many Pods there may be above the wanted number: a number or a percentage.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_surge: Option<IntOrString>,
}

/// `status` of a Deployment, ReplicaSet or StatefulSet.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct WorkloadStatus {
    /// The newest generation that its controller has seen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// How many Pods there are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replicas: Option<i32>,
    /// How many of them are of the newest template.
    #[serde(skip_serializing_if = "super::values::is_zero")]
    pub updated_replicas: i32,
    /// How many of them are ready.
    #[serde(skip_serializing_if = "super::values::is_zero")]
    pub ready_replicas: i32,
    /// How many of them have been ready for long enough.
    #[serde(skip_serializing_if = "super::values::is_zero")]
    pub available_replicas: i32,
    /// Everything else.
    #[serde(flatten)]
    pub rest: Rest,
}

/// `status` of a DaemonSet.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DaemonSetStatus {
    /// How many nodes run its Pod and should.
    pub current_number_scheduled: i32,
    /// How many nodes run its Pod and should not.
    pub number_misscheduled: i32,
    /// How many nodes should run its Pod.
    pub desired_number_scheduled: i32,
    /// How many of its Pods are ready.
    pub number_ready: i32,
    /// How many of its Pods are of the newest template.
    #[serde(skip_serializing_if = "super::values::is_zero")]
    pub updated_number_scheduled: i32,
    /// How many of its Pods have been ready for long enough.
    #[serde(skip_serializing_if = "super::values::is_zero")]
    pub number_available: i32,
    /// Everything else.
    #[serde(flatten)]
    pub rest: Rest,
}
