//! The ReplicaSets between Deployments and Pods that were dumped without them.
//!
//! **Why.** `kubectl get deployments,pods` leaves them out, and a Deployment that finds no ReplicaSet makes one, with Pods
//! beside those that run already. What is made here is what the Pods say of their owner: its name, its uid and its
//! hash; all else is of the Deployment whose selector matches.

use std::collections::BTreeMap;
use std::sync::Arc;

use base::SimTime;

use super::ApiServer;
use crate::object::{
    Deployment, Kind, Object, ObjectKey, ObjectMeta, OwnerReference, Pod, ReplicaSet,
    ReplicaSetSpec,
};
use crate::selector::Selector;

/// The label of a ReplicaSet's Pods that tells them from those of other ReplicaSets.
const LABEL_HASH: &str = "pod-template-hash";
/// Which of its Deployment's revisions a ReplicaSet is.
const ANNOTATION_REVISION: &str = "deployment.kubernetes.io/revision";

impl ApiServer {
    /// Makes the ReplicaSets that Pods say they belong to and that are not there, where it is known of which Deployment
    /// they are.
    pub(super) fn restore_replica_sets(&mut self, now: SimTime) {
        let mut missing: BTreeMap<ObjectKey, (OwnerReference, Vec<Arc<Pod>>)> = BTreeMap::new();
        for pod in self.list(Kind::Pod, None).filter_map(Object::as_pod) {
            let Some(owner) = replica_set_of(pod) else {
                continue;
            };
            let key = ObjectKey::new(Kind::ReplicaSet, &pod.metadata.namespace, &owner.name);
            if self.get(&key).is_none() {
                let entry = missing.entry(key);
                let (_, pods) = entry.or_insert_with(|| (owner.clone(), Vec::new()));
                pods.push(Arc::clone(pod));
            }
        }
        let of = |set: &Arc<Deployment>| set.metadata.namespace.clone();
        let mut deployments: BTreeMap<String, Vec<Arc<Deployment>>> = BTreeMap::new();
        for set in self
            .list(Kind::Deployment, None)
            .filter_map(Object::as_deployment)
        {
            deployments
                .entry(of(set))
                .or_default()
                .push(Arc::clone(set));
        }
        for (key, (owner, pods)) in missing {
            let sets = key
                .namespace
                .and_then(|namespace| deployments.get(&namespace));
            let found = sets
                .into_iter()
                .flatten()
                .find(|set| selects(set, &pods[0]));
            if let Some(made) = found.and_then(|set| replica_set(set, &owner, &pods)) {
                self.replace_with(made.into(), now);
            }
        }
    }
}

fn replica_set_of(pod: &Pod) -> Option<&OwnerReference> {
    let owner = pod.metadata.controller();
    owner.filter(|owner| owner.kind == "ReplicaSet")
}

fn selects(deployment: &Deployment, pod: &Pod) -> bool {
    let selector = deployment.spec.selector.as_ref();
    let selector = selector.and_then(|selector| Selector::try_from(selector).ok());
    selector.is_some_and(|selector| !selector.is_empty() && selector.matches(&pod.metadata.labels))
}

fn replica_set(
    deployment: &Deployment,
    owner: &OwnerReference,
    pods: &[Arc<Pod>],
) -> Option<ReplicaSet> {
    let hash = pods[0].metadata.labels.get(LABEL_HASH)?;
    let mut template = deployment.spec.template.clone();
    let labels = &mut template.metadata.labels;
    labels.insert(LABEL_HASH.to_owned(), hash.clone());
    let mut selector = deployment.spec.selector.clone()?;
    let labels = &mut selector.match_labels;
    labels.insert(LABEL_HASH.to_owned(), hash.clone());
    let meta = &deployment.metadata;
    let mut metadata = ObjectMeta::named(&meta.namespace, &owner.name);
    metadata.uid.clone_from(&owner.uid);
    metadata.generation = Some(1);
    metadata.labels.clone_from(&template.metadata.labels);
    metadata
        .creation_timestamp
        .clone_from(&meta.creation_timestamp);
    if let Some(revision) = meta.annotations.get(ANNOTATION_REVISION) {
        let annotations = &mut metadata.annotations;
        annotations.insert(ANNOTATION_REVISION.to_owned(), revision.clone());
    }
    let owner = OwnerReference::to_controller(Kind::Deployment, meta);
    metadata.owner_references.push(owner);
    Some(ReplicaSet {
        metadata,
        spec: ReplicaSetSpec {
            replicas: Some(i32::try_from(pods.len()).unwrap_or(i32::MAX)),
            min_ready_seconds: deployment.spec.min_ready_seconds,
            selector: Some(selector),
            template,
            ..ReplicaSetSpec::default()
        },
        ..ReplicaSet::default()
    })
}
