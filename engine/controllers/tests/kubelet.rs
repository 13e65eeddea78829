//! Pods from creation to their end: scheduler, kubelet, garbage collector.

mod cluster;

use std::time::Duration;

use api::{Change, DeleteOptions, Kind, ObjectKey};
use base::SimTime;
use cluster::{Cluster, NODES};
use switchboard_controllers::{
    GarbageCollector, Kubelet, KubeletConfig, POD_TEARDOWN, PodSignal, Scheduler,
};

const START: Duration = Duration::from_secs(2);

fn cluster() -> Cluster {
    let node = |number: u8| {
        let ranges = [
            format!("10.244.{number}.0/29"),
            format!("fd00:{number}::/64"),
        ];
        let addresses = vec![
            [192, 168, 1, number].into(),
            format!("fd01::{number}").parse().unwrap(),
        ];
        (
            format!("n{number}"),
            addresses,
            ranges.map(|range| range.parse().unwrap()).to_vec(),
        )
    };
    let config = KubeletConfig {
        pod_start: START,
        nodes: (1..=3).map(node).collect(),
    };
    let mut cluster = Cluster::new(vec![
        Box::new(Scheduler::new()),
        Box::new(Kubelet::new(config)),
        Box::new(GarbageCollector::new()),
    ]);
    cluster.apply(NODES);
    cluster
}

fn pod(name: &str, more: &str) -> String {
    let containers = "containers: [{name: c, image: i}]";
    format!(
        "{{apiVersion: v1, kind: Pod, metadata: {{name: {name}}}, spec: {{{containers}{more}}}}}"
    )
}

fn told(cluster: &Cluster) -> Vec<String> {
    let line = |(at, signal): &(SimTime, PodSignal)| match signal {
        PodSignal::Started {
            pod, node, object, ..
        } => {
            assert_eq!(object.status.phase, "Running");
            let addresses = object.addresses();
            let addresses: Vec<String> = addresses.iter().map(ToString::to_string).collect();
            format!("{at} {pod} started on {node} at {}", addresses.join(","))
        }
        PodSignal::Terminating { pod, .. } => format!("{at} {pod} terminating"),
        PodSignal::Crashed { pod, .. } => format!("{at} {pod} crashed"),
        PodSignal::Removed { pod, .. } => format!("{at} {pod} removed"),
        PodSignal::Serving { pod, .. } => format!("{at} {pod} serving"),
    };
    let signals = cluster.signals.iter();
    signals
        .filter(|(_, signal)| !matches!(signal, PodSignal::Serving { .. }))
        .map(line)
        .collect()
}

#[test]
fn a_pod_is_scheduled_started_and_ready() {
    let mut cluster = cluster();
    cluster.apply(&pod("web", ""));
    cluster.pass(START - Duration::from_nanos(1));
    let before = cluster.api.pod("default", "web").unwrap();
    assert_eq!(
        (before.spec.node_name.as_str(), before.status.phase.as_str()),
        ("n1", "Pending")
    );
    cluster.drain();
    assert_eq!(
        told(&cluster),
        ["2s pod/default/web started on n1 at 10.244.1.2,fd00:1::2"]
    );
    let after = cluster.api.pod("default", "web").unwrap();
    assert!(after.is_ready());
    assert_eq!(after.status.phase, "Running");
    assert_eq!(
        (after.status.pod_ip.as_str(), after.status.host_ip.as_str()),
        ("10.244.1.2", "192.168.1.1")
    );
    assert_eq!(after.addresses().len(), 2);
    assert_eq!(
        after.status.start_time.as_deref(),
        Some("2026-01-01T00:00:00Z")
    );
    let ready = after
        .status
        .conditions
        .iter()
        .find(|found| found.condition_type == "Ready")
        .unwrap();
    assert_eq!(
        ready.last_transition_time.as_deref(),
        Some("2026-01-01T00:00:02Z")
    );
    assert!(after.status.container_statuses[0].ready);
}

#[test]
fn pods_go_to_the_emptiest_node_by_name() {
    let mut cluster = cluster();
    cluster.apply(&pod("fixed", ", nodeName: n1"));
    for name in ["a", "b", "c", "d"] {
        cluster.apply(&pod(name, ""));
    }
    cluster.drain();
    let nodes = ["a", "b", "c", "d"].map(|name| {
        cluster
            .api
            .pod("default", name)
            .unwrap()
            .spec
            .node_name
            .clone()
    });
    assert_eq!(nodes, ["n2", "n3", "n1", "n2"]);
}

#[test]
fn without_a_ready_node_pods_wait() {
    let mut cluster = Cluster::new(vec![Box::new(Scheduler::new())]);
    cluster.apply(&NODES.replace("'True'", "'False'"));
    cluster.apply(&pod("web", ""));
    cluster.drain();
    assert_eq!(
        cluster.api.pod("default", "web").unwrap().spec.node_name,
        ""
    );
    let line = NODES.lines().find(|line| line.contains("n2")).unwrap();
    let key = ObjectKey::new(Kind::Node, "", "n2");
    cluster
        .api
        .delete(&key, &DeleteOptions::default(), cluster.now)
        .unwrap();
    cluster.apply(line);
    cluster.drain();
    assert_eq!(
        cluster.api.pod("default", "web").unwrap().spec.node_name,
        "n2"
    );
}

#[test]
fn api_92_a_deleted_pod_gets_sigterm_and_then_goes() {
    let mut cluster = cluster();
    cluster.apply(&pod("web", ""));
    cluster.pass(Duration::from_secs(10));
    cluster.delete(Kind::Pod, "web");
    cluster.drain();
    assert!(cluster.api.pod("default", "web").is_none());
    let end = SimTime::from_nanos(10_000_000_000) + POD_TEARDOWN;
    assert_eq!(
        told(&cluster)[1..],
        [
            "10s pod/default/web terminating".to_owned(),
            format!("{end} pod/default/web removed"),
        ]
    );
    let last = cluster.api.events_after(0).last().unwrap();
    assert_eq!((last.change, last.at), (Change::Deleted, end));
}

#[test]
fn a_pod_deleted_before_it_starts_tells_nothing() {
    let mut cluster = cluster();
    cluster.apply(&pod("web", ""));
    cluster.pass(Duration::from_secs(1));
    cluster.delete(Kind::Pod, "web");
    cluster.drain();
    assert!(cluster.api.pod("default", "web").is_none());
    assert_eq!(told(&cluster), [""; 0]);
}

#[test]
fn a_pod_killed_and_created_anew_is_another_one() {
    let mut cluster = cluster();
    cluster.apply(&pod("web", ", nodeName: n1"));
    cluster.drain();
    let key = ObjectKey::new(Kind::Pod, "default", "web");
    let at_once = DeleteOptions {
        grace: Some(0),
        ..DeleteOptions::default()
    };
    cluster.api.delete(&key, &at_once, cluster.now).unwrap();
    cluster.apply(&pod("web", ", nodeName: n1"));
    cluster.drain();
    assert_eq!(
        told(&cluster),
        [
            "2s pod/default/web started on n1 at 10.244.1.2,fd00:1::2",
            "2s pod/default/web removed",
            "4s pod/default/web started on n1 at 10.244.1.3,fd00:1::3",
        ]
    );
}

#[test]
fn host_network_means_the_nodes_addresses() {
    let mut cluster = cluster();
    cluster.apply(&pod("web", ", nodeName: n2, hostNetwork: true"));
    cluster.drain();
    assert_eq!(
        told(&cluster),
        ["2s pod/default/web started on n2 at 192.168.1.2,fd01::2"]
    );
}

#[test]
fn a_status_in_the_manifest_is_where_the_pod_begins() {
    let mut cluster = cluster();
    let with = |name: &str, annotation: &str, status: &str| {
        format!(
            "{{apiVersion: v1, kind: Pod, metadata: {{name: {name}, annotations: {{{annotation}}}}}, spec: {{nodeName: n1, containers: [{{name: c, image: i}}]}}, status: {status}}}"
        )
    };
    cluster.apply(&with("a", "", "{podIP: 10.244.1.2}"));
    cluster.apply(&with("b", "", "{}"));
    let pinned = "switchboard.dev/status: pinned";
    cluster.apply(&with("c", pinned, "{phase: Running, podIP: 10.9.9.9}"));
    cluster.apply(&with("d", pinned, "{phase: Pending}"));
    cluster.drain();
    assert_eq!(
        told(&cluster),
        [
            "0s pod/default/c started on n1 at 10.9.9.9",
            "2s pod/default/a started on n1 at 10.244.1.2",
            "2s pod/default/b started on n1 at 10.244.1.3,fd00:1::2",
        ]
    );
    assert!(cluster.api.pod("default", "a").unwrap().is_ready());
    assert!(!cluster.api.pod("default", "c").unwrap().is_ready());
    assert_eq!(
        cluster.api.pod("default", "d").unwrap().status.phase,
        "Pending"
    );
    for name in ["c", "d"] {
        cluster.delete(Kind::Pod, name);
    }
    cluster.drain();
    assert!(cluster.api.pod("default", "c").is_none() && cluster.api.pod("default", "d").is_none());
}

#[test]
fn a_full_node_keeps_pods_waiting_until_an_address_is_free() {
    let mut cluster = cluster();
    for index in 0..6 {
        cluster.apply(&pod(&format!("p{index}"), ", nodeName: n1"));
    }
    cluster.pass(Duration::from_secs(5));
    let started = cluster.signals.iter();
    let started = started.filter(|(_, signal)| matches!(signal, PodSignal::Started { .. }));
    assert_eq!(started.count(), 5, "a /29 has five addresses for Pods");
    assert_eq!(
        cluster.api.pod("default", "p5").unwrap().status.phase,
        "Pending"
    );
    let events = cluster.told_events();
    let mut latest_first = events.iter().rev();
    let last = latest_first.find(|told| told.starts_with("Pod/p5 "));
    let last = last.unwrap();
    assert!(last.contains(" 1x FailedCreatePodSandBox: "), "{last}");
    let why = "failed to allocate for range 0: no IP addresses available in range set: 10.244.1.1-10.244.1.6";
    assert!(last.ends_with(why), "{last}");
    cluster.delete(Kind::Pod, "p3");
    cluster.pass(Duration::from_secs(5));
    assert!(
        told(&cluster)
            .last()
            .unwrap()
            .contains("p5 started on n1 at 10.244.1.5")
    );
}

#[test]
fn ep_86_what_a_service_owned_goes_with_it() {
    let mut cluster = cluster();
    cluster.apply(
        "{apiVersion: v1, kind: Service, metadata: {name: web}, spec: {ports: [{port: 80}]}}",
    );
    let uid = cluster
        .api
        .service("default", "web")
        .unwrap()
        .metadata
        .uid
        .clone();
    let slice = |name: &str, owners: &str| {
        format!(
            "{{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {{name: {name}, ownerReferences: [{owners}]}}, addressType: IPv4}}"
        )
    };
    let service = |uid: &str| format!("{{apiVersion: v1, kind: Service, name: web, uid: {uid}}}");
    let node = "{apiVersion: v1, kind: Node, name: n1, uid: u}";
    cluster.apply(&slice("mine", &service(&uid)));
    cluster.apply(&slice("shared", &format!("{}, {node}", service(&uid))));
    cluster.apply(&slice("nobodys", ""));
    cluster.apply(&slice("stale", &service("gone-long-ago")));
    cluster.drain();
    let names = |cluster: &Cluster| -> Vec<String> {
        cluster
            .slices()
            .iter()
            .map(|slice| slice.metadata.name.clone())
            .collect()
    };
    assert_eq!(names(&cluster), ["mine", "nobodys", "shared"]);
    cluster.delete(Kind::Service, "web");
    cluster.drain();
    assert_eq!(names(&cluster), ["nobodys", "shared"]);
}

/// When the Pod `web`, whose container has these probes, is Ready, for a minute's time after it runs; the condition's
/// message where it is not.
fn readiness(container: &str, seconds: &[u64]) -> Vec<(u64, Result<(), String>)> {
    let mut cluster = cluster();
    cluster.apply(&format!(
        "{{apiVersion: v1, kind: Pod, metadata: {{name: web}}, spec: {{containers: [{{name: c, image: i, \
         ports: [{{name: http, containerPort: 8080}}], {container}}}]}}}}"
    ));
    let look = |at: &u64| {
        cluster.pass(
            (START + Duration::from_secs(*at)).saturating_sub(cluster.now.since(SimTime::ZERO)),
        );
        let pod = cluster.api.pod("default", "web").unwrap();
        let mut conditions = pod.status.conditions.iter();
        let ready = conditions
            .find(|found| found.condition_type == "Ready")
            .unwrap();
        assert_eq!(pod.status.container_statuses[0].ready, pod.is_ready());
        let message = ready.rest.get("message").map(ToString::to_string);
        (
            *at,
            match ready.status.as_str() {
                "True" => Ok(()),
                _ => Err(message.unwrap_or_default()),
            },
        )
    };
    seconds.iter().map(look).collect()
}

fn ready_after(container: &str, last_unready: u64, ready: u64) {
    let seen = readiness(container, &[last_unready, ready]);
    let unready = Err("\"containers with unready status: [c]\"".to_owned());
    assert_eq!(
        seen,
        [(last_unready, unready), (ready, Ok(()))],
        "{container}"
    );
}

#[test]
fn api_77_readiness_follows_the_probes() {
    let at_once = readiness("readinessProbe: {httpGet: {port: http}}", &[0]);
    assert_eq!(at_once, [(0, Ok(()))]);
    ready_after(
        "readinessProbe: {tcpSocket: {port: 8080}, initialDelaySeconds: 7, periodSeconds: 5}",
        9,
        10,
    );
    ready_after(
        "readinessProbe: {httpGet: {port: 8080}, periodSeconds: 3, successThreshold: 4}",
        8,
        9,
    );
    ready_after(
        "startupProbe: {exec: {command: [x]}, initialDelaySeconds: 4, periodSeconds: 4}, \
         readinessProbe: {tcpSocket: {port: 8080}, periodSeconds: 3}",
        5,
        6,
    );
}

#[test]
fn a_probe_of_a_port_that_nothing_listens_on_fails_for_good() {
    for container in [
        "readinessProbe: {httpGet: {port: 80}}",
        "readinessProbe: {tcpSocket: {port: htp}}",
        "readinessProbe: {grpc: {port: 9090}}",
        "startupProbe: {httpGet: {port: 80}}, readinessProbe: {httpGet: {port: http}}",
    ] {
        let seen = readiness(container, &[0, 1000]);
        assert!(
            seen.iter().all(|(_, ready)| ready.is_err()),
            "{container}: {seen:?}"
        );
    }
}

#[test]
fn ep_73_a_pre_stop_sleep_puts_off_sigterm() {
    let sleeping = |grace: Option<u64>| {
        let mut cluster = cluster();
        let sleep = "lifecycle: {preStop: {sleep: {seconds: 5}}}";
        cluster.apply(&format!(
            "{{apiVersion: v1, kind: Pod, metadata: {{name: web}}, \
             spec: {{containers: [{{name: c, image: i, {sleep}}}]}}}}"
        ));
        cluster.drain();
        let begun = cluster.now;
        let key = ObjectKey::new(Kind::Pod, "default", "web");
        let options = DeleteOptions {
            grace,
            ..DeleteOptions::default()
        };
        cluster.api.delete(&key, &options, begun).unwrap();
        cluster.drain();
        let ends = cluster
            .signals
            .iter()
            .filter_map(|(at, signal)| match signal {
                PodSignal::Started { .. }
                | PodSignal::Serving { .. }
                | PodSignal::Crashed { .. } => None,
                PodSignal::Terminating { .. } | PodSignal::Removed { .. } => Some(at.since(begun)),
            });
        ends.collect::<Vec<_>>()
    };
    let second = Duration::from_secs(1);
    assert_eq!(sleeping(None), [5 * second, 5 * second + POD_TEARDOWN]);
    assert_eq!(sleeping(Some(2)), [2 * second, 2 * second + POD_TEARDOWN]);
}

/// An application that goes on is killed when its grace is over, and a second deletion may leave it less.
#[test]
fn api_92_a_second_deletion_leaves_less_time() {
    let ends_after = |deletions: &[(u64, u64)]| {
        let mut cluster = cluster();
        cluster.apply(
            "{apiVersion: v1, kind: Pod, metadata: {name: web, \
             annotations: {switchboard.dev/on-term: drain}}, \
             spec: {containers: [{name: c, image: i}]}}",
        );
        cluster.drain();
        let begun = cluster.now;
        let key = ObjectKey::new(Kind::Pod, "default", "web");
        for (after, grace) in deletions {
            let passed = cluster.now.since(begun);
            cluster.pass(Duration::from_secs(*after).saturating_sub(passed));
            let options = DeleteOptions {
                grace: Some(*grace),
                ..DeleteOptions::default()
            };
            cluster.api.delete(&key, &options, cluster.now).unwrap();
        }
        cluster.drain();
        let is_end = |signal: &PodSignal| matches!(signal, PodSignal::Removed { .. });
        let end = cluster.signals.iter().find(|(_, signal)| is_end(signal));
        end.unwrap().0.since(begun).as_secs()
    };
    assert_eq!(ends_after(&[(0, 30)]), 30);
    assert_eq!(ends_after(&[(0, 30), (3, 5)]), 8);
    assert_eq!(ends_after(&[(0, 30), (3, 40)]), 30);
    assert_eq!(ends_after(&[(0, 6), (3, 5)]), 6);
}
