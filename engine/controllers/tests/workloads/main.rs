//! Workloads from a manifest to running Pods: Deployment and ReplicaSet controllers, scheduler, kubelet, garbage
//! collector (API-77, API-92).

#[path = "../cluster/mod.rs"]
mod cluster;
mod deletion;
mod deployment;
mod properties;
mod replica_set;

use std::sync::Arc;
use std::time::Duration;

use api::{Deployment, Kind, Object, Pod, ReplicaSet};
use cluster::{Cluster, NODES};
use switchboard_controllers::{
    DeploymentController, GarbageCollector, Kubelet, KubeletConfig, ReplicaSetController, Scheduler,
};

/// From the moment a Pod is on a node to its being ready.
const START: Duration = Duration::from_secs(2);
/// The controllers of a [`fleet`], as [`Cluster::run`] counts them.
const CONTROLLERS: usize = 5;
const REPLICA_SETS: usize = 2;

/// Three nodes and all that workloads need.
fn fleet() -> Cluster {
    let node = |number: u8| {
        let range = format!("10.244.{number}.0/24").parse().unwrap();
        let address = [192, 168, 1, number].into();
        (format!("n{number}"), vec![address], vec![range])
    };
    let kubelet = KubeletConfig {
        pod_start: START,
        nodes: (1..=3).map(node).collect(),
    };
    let mut cluster = Cluster::new(vec![
        Box::new(Scheduler::new()),
        Box::new(Kubelet::new(kubelet)),
        Box::new(ReplicaSetController::new()),
        Box::new(DeploymentController::new()),
        Box::new(GarbageCollector::new()),
    ]);
    cluster.apply(NODES);
    cluster
}

/// A Deployment `web` of Pods with one container of this image; `more` are further fields of its spec.
fn web(replicas: i32, image: &str, more: &str) -> String {
    manifest("Deployment", replicas, image, more)
}

/// A workload `web` of a kind.
fn manifest(kind: &str, replicas: i32, image: &str, more: &str) -> String {
    format!(
        "{{apiVersion: apps/v1, kind: {kind}, metadata: {{name: web}}, spec: {{{more}replicas: {replicas}, selector: {{matchLabels: {{app: web}}}}, template: {{metadata: {{labels: {{app: web}}}}, spec: {{containers: [{{name: c, image: {image}}}]}}}}}}}}"
    )
}

fn pods(cluster: &Cluster) -> Vec<Arc<Pod>> {
    let pods = cluster.api.list(Kind::Pod, None);
    pods.filter_map(Object::as_pod).cloned().collect()
}

/// Pods that are neither over nor about to be.
fn active(cluster: &Cluster) -> Vec<Arc<Pod>> {
    let mut pods = pods(cluster);
    pods.retain(|pod| !pod.is_finished() && !pod.metadata.is_terminating());
    pods
}

/// How many Pods are there, and how many of them are ready.
fn counts(cluster: &Cluster) -> (usize, usize) {
    let active = active(cluster);
    let ready = active.iter().filter(|pod| pod.is_ready()).count();
    (active.len(), ready)
}

fn sets(cluster: &Cluster) -> Vec<Arc<ReplicaSet>> {
    let sets = cluster.api.list(Kind::ReplicaSet, None);
    let mut sets: Vec<Arc<ReplicaSet>> = sets.filter_map(Object::as_replica_set).cloned().collect();
    sets.sort_by_key(|set| set.metadata.creation_timestamp.clone());
    sets
}

/// `a:3 b:0`: every ReplicaSet's image and size, the oldest first.
fn sizes(cluster: &Cluster) -> String {
    let size = |set: &Arc<ReplicaSet>| {
        let size = set.spec.replicas.unwrap();
        format!("{}:{size}", set.spec.template.spec.containers[0].image)
    };
    sets(cluster)
        .iter()
        .map(size)
        .collect::<Vec<String>>()
        .join(" ")
}

fn stored(cluster: &Cluster) -> Arc<Deployment> {
    let key = api::ObjectKey::new(Kind::Deployment, "default", "web");
    Arc::clone(cluster.api.get(&key).unwrap().as_deployment().unwrap())
}

/// `Available=True MinimumReplicasAvailable`: the conditions of a status.
fn conditions(status: &api::WorkloadStatus) -> Vec<String> {
    let conditions: Vec<api::Condition> = status.rest.typed("conditions").unwrap_or_default();
    let line = |condition: &api::Condition| {
        let reason = condition.rest.get("reason").unwrap().as_str().unwrap();
        let (name, status) = (&condition.condition_type, &condition.status);
        format!("{name}={status} {reason}")
    };
    let mut lines: Vec<String> = conditions.iter().map(line).collect();
    lines.sort();
    lines
}

fn annotation<'a>(meta: &'a api::ObjectMeta, name: &str) -> &'a str {
    let name = format!("deployment.kubernetes.io/{name}");
    meta.annotations.get(&name).map_or("", String::as_str)
}
