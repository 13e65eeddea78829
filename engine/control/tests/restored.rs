//! A real cluster's objects, as a dump has them, are left as they are by the controllers.

mod cluster;

use api::yaml::{Source, split};
use api::{Kind, Object, ObjectKey};
use base::{Seed, SimTime};
use cluster::{config, node};
use switchboard_control::{ClusterConfig, Control};

/// A Deployment without its ReplicaSet, a StatefulSet and a DaemonSet without their revisions, and a Pod of which a probe
/// goes to a port that it does not declare, on a node that was dumped and on one that was not.
const DUMP: &str = r#"
apiVersion: v1
kind: Node
metadata: {name: n1, uid: n1}
spec: {podCIDR: 10.244.1.0/24}
status: {addresses: [{type: InternalIP, address: 192.168.1.1}], conditions: [{type: Ready, status: "True"}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop, uid: d, generation: 3, annotations: {deployment.kubernetes.io/revision: "2"}}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template: {metadata: {labels: {app: web}}, spec: {containers: [{name: c, image: i}]}}
status: {observedGeneration: 3, replicas: 2, readyReplicas: 2}
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: db, namespace: shop, uid: s, generation: 1}
spec:
  replicas: 1
  serviceName: db
  selector: {matchLabels: {app: db}}
  template: {metadata: {labels: {app: db}}, spec: {containers: [{name: c, image: i}]}}
status: {observedGeneration: 1, replicas: 1, currentRevision: db-6c54bd5869, updateRevision: db-6c54bd5869}
---
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: agent, namespace: shop, uid: a, generation: 1}
spec:
  selector: {matchLabels: {app: agent}}
  template: {metadata: {labels: {app: agent}}, spec: {containers: [{name: c, image: i}]}}
status: {observedGeneration: 1, currentNumberScheduled: 2, desiredNumberScheduled: 2, numberMisscheduled: 0, numberReady: 2}
"#;

fn pod(
    name: &str,
    node: &str,
    address: &str,
    labels: &str,
    owner: &str,
    container: &str,
) -> String {
    format!(
        "
---
apiVersion: v1
kind: Pod
metadata: {{name: {name}, namespace: shop, uid: pod-{name}, labels: {{{labels}}}, ownerReferences: [{{apiVersion: apps/v1, {owner}, controller: true}}]}}
spec: {{nodeName: {node}, containers: [{{name: c, image: i{container}}}]}}
status: {{phase: Running, podIP: {address}, podIPs: [{{ip: {address}}}], conditions: [{{type: Ready, status: \"True\"}}], containerStatuses: [{{name: c, ready: true, restartCount: 0, image: i}}]}}
"
    )
}

fn dump() -> String {
    let web = "kind: ReplicaSet, name: web-7d4b9, uid: rs";
    let probe = ", readinessProbe: {httpGet: {port: 8181}}";
    let hash = "app: web, pod-template-hash: 7d4b9";
    let db = "app: db, controller-revision-hash: db-6c54bd5869, statefulset.kubernetes.io/pod-name: db-0";
    let agent = "app: agent, controller-revision-hash: 5f7d8, pod-template-generation: '1'";
    let daemon = "kind: DaemonSet, name: agent, uid: a";
    [
        DUMP.to_owned(),
        pod("web-7d4b9-a", "n1", "10.244.1.5", hash, web, probe),
        pod("web-7d4b9-b", "n1", "10.244.1.6", hash, web, ""),
        pod(
            "db-0",
            "n1",
            "10.244.1.7",
            db,
            "kind: StatefulSet, name: db, uid: s",
            "",
        ),
        pod("agent-x", "n1", "10.244.1.8", agent, daemon, ""),
        pod("agent-y", "elsewhere", "10.244.9.8", agent, daemon, ""),
    ]
    .concat()
}

fn cluster() -> Control {
    let objects = split(&Source::new("dump", dump())).unwrap();
    let objects = objects
        .iter()
        .flat_map(|document| api::decode_stored(document).unwrap());
    Control::new(ClusterConfig {
        seed: Seed::new(1),
        state: objects.map(|manifest| manifest.object).collect(),
        ..config(vec![node("n1", 1)])
    })
    .unwrap()
}

/// Name, uid and readiness of each Pod.
fn pods(control: &Control) -> Vec<(String, String, bool)> {
    let pods = control.list(Kind::Pod, Some("shop"));
    let pods = pods.iter().filter_map(Object::as_pod);
    pods.map(|pod| {
        let meta = &pod.metadata;
        (meta.name.clone(), meta.uid.clone(), pod.is_ready())
    })
    .collect()
}

#[test]
fn what_runs_in_a_dump_goes_on_running() {
    let mut control = cluster();
    let expected = ["agent-x", "agent-y", "db-0", "web-7d4b9-a", "web-7d4b9-b"]
        .map(|name| (name.to_owned(), format!("pod-{name}"), true));
    assert_eq!(pods(&control), expected);
    let until = SimTime::from_nanos(1_000_000_000_000);
    while control.next_event_at().is_some_and(|at| at <= until) {
        control.step();
    }
    assert_eq!(pods(&control), expected);
    let key = ObjectKey::new(Kind::ReplicaSet, "shop", "web-7d4b9");
    let made = control.api().get(&key).unwrap().as_replica_set().unwrap();
    assert_eq!(made.status.ready_replicas, 2);
}
