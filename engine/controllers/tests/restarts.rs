//! Controllers that are started anew, and hear late of what happens, bring about the same as those that are not.

mod cluster;

use std::collections::BTreeMap;
use std::time::Duration;

use api::{DeleteOptions, Kind, Object, ObjectKey, Pod};
use base::Seed;
use cluster::{Cluster, NODES, three_kubelets};
use proptest::prelude::*;
use switchboard_controllers::{
    Controller, DaemonSetController, DeploymentController, EndpointSliceController,
    EndpointsController, GarbageCollector, Kubelet, NodeLifecycleController, ReplicaSetController,
    Scheduler, StatefulSetController,
};

/// The controllers that can be started anew; the kubelets come after them, for containers do not survive theirs.
const CONTROLLERS: usize = 9;

fn controller(index: usize) -> Box<dyn Controller> {
    match index {
        0 => Box::new(Scheduler::new()),
        1 => Box::new(DeploymentController::new()),
        2 => Box::new(ReplicaSetController::new()),
        3 => Box::new(StatefulSetController::new()),
        4 => Box::new(DaemonSetController::new(Seed::new(7))),
        5 => Box::new(EndpointSliceController::new(Duration::ZERO, Seed::new(7))),
        6 => Box::new(EndpointsController::new(Duration::ZERO)),
        7 => Box::new(GarbageCollector::new()),
        8 => Box::new(NodeLifecycleController::new(Duration::from_secs(40))),
        _ => Box::new(Kubelet::new(three_kubelets())),
    }
}

fn cluster() -> Cluster {
    let mut cluster = Cluster::new((0..=CONTROLLERS).map(controller).collect());
    cluster.apply(NODES);
    cluster
}

const KINDS: [Kind; 3] = [Kind::Deployment, Kind::StatefulSet, Kind::DaemonSet];

/// What a user does.
#[derive(Clone, Debug)]
enum Wish {
    /// Applies a workload with so many replicas of an image.
    Workload(usize, u8, u8),
    /// Deletes a workload.
    Delete(usize),
    /// Applies the Service of a workload, or deletes it.
    Service(usize, bool),
    /// Deletes some Pod.
    Pod(usize),
}

/// What happens meanwhile.
#[derive(Clone, Debug)]
enum Hitch {
    /// A controller hears of some events and does its work.
    Run(usize, usize),
    /// A controller forgets all, and learns it from the log.
    Restart(usize),
    Pass(u64),
}

fn wish() -> impl Strategy<Value = Wish> {
    prop_oneof![
        4 => (0..3_usize, 0..4_u8, 0..2_u8).prop_map(|(kind, size, image)| Wish::Workload(kind, size, image)),
        1 => (0..3_usize).prop_map(Wish::Delete),
        2 => (0..3_usize, any::<bool>()).prop_map(|(kind, is_there)| Wish::Service(kind, is_there)),
        2 => (0..8_usize).prop_map(Wish::Pod),
    ]
}

fn hitch() -> impl Strategy<Value = Hitch> {
    prop_oneof![
        8 => (0..=CONTROLLERS, 0..8_usize).prop_map(|(index, events)| Hitch::Run(index, events)),
        3 => (0..CONTROLLERS).prop_map(Hitch::Restart),
        1 => (0..5000_u64).prop_map(Hitch::Pass),
    ]
}

fn fulfil(cluster: &mut Cluster, wish: &Wish) {
    match *wish {
        Wish::Workload(kind, replicas, image) => {
            let (name, kind) = (format!("w{kind}"), KINDS[kind]);
            let size = match kind {
                Kind::DaemonSet => String::new(),
                _ => format!("replicas: {replicas}, "),
            };
            let service = match kind {
                Kind::StatefulSet => format!("serviceName: {name}, "),
                _ => String::new(),
            };
            cluster.apply(&format!(
                "{{apiVersion: apps/v1, kind: {}, metadata: {{name: {name}}}, spec: {{{size}{service}selector: {{matchLabels: {{app: {name}}}}}, \
                 template: {{metadata: {{labels: {{app: {name}}}}}, spec: {{containers: [{{name: c, image: i{image}}}]}}}}}}}}",
                kind.name()
            ));
        }
        Wish::Delete(kind) => delete(cluster, KINDS[kind], &format!("w{kind}")),
        Wish::Service(kind, true) => cluster.apply(&format!(
            "{{apiVersion: v1, kind: Service, metadata: {{name: w{kind}}}, spec: {{selector: {{app: w{kind}}}, ports: [{{port: 80}}]}}}}"
        )),
        Wish::Service(kind, false) => delete(cluster, Kind::Service, &format!("w{kind}")),
        Wish::Pod(index) => {
            let names: Vec<String> = pods(cluster).map(|pod| pod.metadata.name.clone()).collect();
            if let Some(name) = names.get(index) {
                delete(cluster, Kind::Pod, name);
            }
        }
    }
}

/// What is gone already needs no deletion.
fn delete(cluster: &mut Cluster, kind: Kind, name: &str) {
    let key = ObjectKey::new(kind, "default", name);
    let _ = cluster
        .api
        .delete(&key, &DeleteOptions::default(), cluster.now);
}

fn pods(cluster: &Cluster) -> impl Iterator<Item = &Pod> {
    cluster
        .api
        .list(Kind::Pod, None)
        .filter_map(|object| object.as_pod().map(|pod| &**pod))
}

/// What has come of it all: how many Pods of each label, image, state and, for StatefulSets and DaemonSets, place there
/// are, and how many ready endpoints each Service has.
fn outcome(cluster: &Cluster) -> (BTreeMap<String, usize>, BTreeMap<String, usize>) {
    let mut counts = BTreeMap::new();
    for pod in pods(cluster) {
        let app = &pod.metadata.labels["app"];
        let place = match app.as_str() {
            "w1" => &pod.metadata.name,
            "w2" => &pod.spec.node_name,
            _ => "",
        };
        let is_ready = pod.is_ready() && !pod.metadata.is_terminating();
        let line = format!("{app} {} {place} {is_ready}", pod.spec.containers[0].image);
        *counts.entry(line).or_insert(0) += 1;
    }
    let mut endpoints = BTreeMap::new();
    for slice in cluster.slices() {
        let ready = slice
            .endpoints
            .iter()
            .filter(|endpoint| endpoint.conditions.is_ready());
        *endpoints
            .entry(slice.metadata.labels["kubernetes.io/service-name"].clone())
            .or_insert(0) += ready.count();
    }
    let sets = cluster
        .api
        .list(Kind::ReplicaSet, None)
        .filter_map(Object::as_replica_set);
    for set in sets.filter(|set| set.spec.replicas.unwrap_or(0) > 0) {
        let image = &set.spec.template.spec.containers[0].image;
        counts.insert(format!("set {image} of {:?}", set.spec.replicas), 1);
    }
    (counts, endpoints)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn restarts_and_delays_change_nothing_in_the_end(
        steps in prop::collection::vec((wish(), prop::collection::vec(hitch(), 0..12)), 1..10),
    ) {
        let (mut calm, mut hitched) = (cluster(), cluster());
        for (wish, hitches) in &steps {
            // Which Pod is deleted differs, for their names do.
            fulfil(&mut calm, wish);
            calm.drain();
            fulfil(&mut hitched, wish);
            for hitch in hitches {
                match *hitch {
                    Hitch::Run(index, events) => hitched.run(index, events),
                    Hitch::Restart(index) => hitched.restart(index, controller(index)),
                    Hitch::Pass(millis) => hitched.now += Duration::from_millis(millis),
                }
            }
        }
        hitched.drain();
        prop_assert_eq!(outcome(&hitched), outcome(&calm));
    }
}
