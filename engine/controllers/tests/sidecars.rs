//! Init containers, and those of them that go on beside the others.

mod cluster;

use std::time::Duration;

use api::{ContainerStatus, Kind, ObjectKey, Pod};
use cluster::{Cluster, NODES, START};
use serde_json::Value as Json;
use switchboard_controllers::{GarbageCollector, Incident, Kubelet};

/// A Pod `web` on n1 that runs since second 2, with an init container and the sidecar `proxy` of these fields.
fn running(sidecar: &str, spec: &str) -> Cluster {
    running_with(sidecar, spec, "")
}

/// The same, with more fields of the Pod.
fn running_with(sidecar: &str, spec: &str, rest: &str) -> Cluster {
    let mut cluster = Cluster::new(vec![
        Box::new(Kubelet::new(cluster::three_kubelets())),
        Box::new(GarbageCollector::new()),
    ]);
    cluster.apply(NODES);
    cluster.apply(&format!(
        "{{apiVersion: v1, kind: Pod, metadata: {{name: web}}, spec: {{nodeName: n1, \
         initContainers: [{{name: setup, image: s}}, \
                          {{name: proxy, image: p, restartPolicy: Always, ports: [{{containerPort: 15001}}]{sidecar}}}], \
         containers: [{{name: c, image: i, ports: [{{containerPort: 80}}]}}]{spec}}}{rest}}}"
    ));
    cluster.pass(START);
    cluster
}

fn pod(cluster: &Cluster) -> &Pod {
    cluster.api.pod("default", "web").unwrap()
}

/// `proxy 1x started ready: running`
fn told(status: &ContainerStatus) -> String {
    let is_started = status.rest.get("started") == Some(&Json::Bool(true));
    let started = if is_started { " started" } else { "" };
    let ready = if status.ready { " ready" } else { "" };
    let state = status.rest.get("state").and_then(Json::as_object);
    let state: Vec<&String> = state.unwrap().keys().collect();
    format!(
        "{} {}x{started}{ready}: {}",
        status.name, status.restart_count, state[0]
    )
}

/// Of init containers, then of containers.
fn statuses(cluster: &Cluster) -> Vec<String> {
    let status = &pod(cluster).status;
    let init = status.init_container_statuses.iter();
    init.chain(&status.container_statuses).map(told).collect()
}

#[test]
fn api_77_a_pod_is_ready_when_its_sidecars_are() {
    let cluster = running("", "");
    assert!(pod(&cluster).is_ready());
    assert_eq!(
        statuses(&cluster),
        [
            "setup 0x ready: terminated",
            "proxy 0x started ready: running",
            "c 0x started ready: running"
        ]
    );

    let mut cluster = running(
        ", readinessProbe: {tcpSocket: {port: 15001}, initialDelaySeconds: 5, periodSeconds: 5}",
        "",
    );
    assert!(!pod(&cluster).is_ready());
    let conditions = pod(&cluster).status.conditions.iter();
    let mut ready = conditions.filter(|condition| condition.condition_type == "Ready");
    let message = ready.next().unwrap().rest.get("message");
    assert_eq!(message.unwrap(), "containers with unready status: [proxy]");
    cluster.pass(Duration::from_secs(5));
    assert!(pod(&cluster).is_ready());
}

/// Its own policy counts (computePodActions).
#[test]
fn a_sidecar_that_fails_starts_again_whatever_the_policy_of_its_pod() {
    let mut cluster = running(
        ", livenessProbe: {tcpSocket: {port: 9}, periodSeconds: 1, failureThreshold: 1}",
        ", restartPolicy: Never",
    );
    cluster.pass(Duration::from_secs(2));
    assert_eq!(pod(&cluster).status.phase, "Running");
    let statuses = statuses(&cluster);
    assert!(statuses[1].starts_with("proxy 1x"), "{statuses:?}");
    assert_eq!(statuses[2], "c 0x started ready: running");
    let events = cluster.api.list(Kind::Event, None);
    let places: Vec<&str> = events
        .map(|event| {
            event
                .as_event()
                .unwrap()
                .involved_object
                .field_path
                .as_str()
        })
        .collect();
    assert!(!places.is_empty());
    assert!(
        places
            .iter()
            .all(|place| *place == "spec.initContainers{proxy}"),
        "{places:?}"
    );
}

#[test]
fn a_pod_ends_with_its_containers_and_its_sidecars_with_it() {
    let mut cluster = running("", ", restartPolicy: Never");
    let web = ObjectKey::new(Kind::Pod, "default", "web");
    cluster.happen(&Incident::PodCrash(web));
    cluster.settle();
    assert_eq!(pod(&cluster).status.phase, "Failed");
    assert_eq!(
        statuses(&cluster),
        [
            "setup 0x ready: terminated",
            "proxy 0x: terminated",
            "c 0x: terminated"
        ]
    );
}

#[test]
fn an_init_container_has_done_its_work_whatever_a_dump_says_of_its_tries() {
    let tries = ", status: {phase: Pending, initContainerStatuses: [{name: setup, image: s, ready: false, \
                 restartCount: 4, state: {waiting: {reason: CrashLoopBackOff}}}]}";
    let cluster = running_with("", "", tries);
    assert_eq!(statuses(&cluster)[0], "setup 0x ready: terminated");
    let done = tries
        .replace("Pending", "Running, podIP: 10.244.1.9")
        .replace(
            "{waiting: {reason: CrashLoopBackOff}}",
            "{terminated: {exitCode: 0, reason: Completed}}",
        );
    let cluster = running_with("", "", &done);
    assert_eq!(
        statuses(&cluster)[0],
        "setup 4x: terminated",
        "as it is said"
    );
}
