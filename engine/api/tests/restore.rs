//! Another cluster's objects as stored state.

use api::{ApiConfig, ApiServer, DeleteOptions, Kind, Object, ObjectKey, decode_stored, yaml};
use base::{Seed, SimTime};
use switchboard_api as api;

const NOW: SimTime = SimTime::ZERO;

fn server() -> ApiServer {
    let config = ApiConfig {
        service_cidrs: vec!["10.96.0.0/16".parse().unwrap()],
        node_port_range: 30_000..=32_767,
        dns_domain: "cluster.local".to_owned(),
        api_servers: Vec::new(),
        seed: Seed::new(7),
    };
    ApiServer::new(config, NOW)
}

/// Parts of what `kubectl get svc,pods -A -o yaml` prints; `futureField` is of a version that is not known here.
const DUMP: &str = r#"
apiVersion: v1
kind: List
metadata: {resourceVersion: ""}
items:
- apiVersion: v1
  kind: Service
  metadata:
    name: kubernetes
    namespace: default
    uid: 00000000-0000-0000-0000-000000000001
    resourceVersion: "231"
    creationTimestamp: "2026-03-01T10:00:00Z"
  spec: {type: ClusterIP, clusterIP: 10.96.0.1, clusterIPs: [10.96.0.1], ports: [{name: https, port: 443, protocol: TCP, targetPort: 6443}]}
- apiVersion: v1
  kind: Service
  metadata:
    name: Old_Name
    namespace: shop
    uid: 00000000-0000-0000-0000-000000000002
    resourceVersion: "99999"
    creationTimestamp: "2026-03-02T10:00:00Z"
  spec:
    type: LoadBalancer
    clusterIP: 10.96.7.7
    clusterIPs: [10.96.7.7]
    externalTrafficPolicy: Local
    healthCheckNodePort: 30100
    futureField: true
    ports: [{port: 80, protocol: TCP, targetPort: 8080, nodePort: 30080}]
  status: {loadBalancer: {ingress: [{ip: 203.0.113.9}]}}
- apiVersion: v1
  kind: Service
  metadata: {name: twin, namespace: shop}
  spec: {type: ClusterIP, clusterIP: 10.96.7.7, clusterIPs: [10.96.7.7], ports: [{port: 80, protocol: TCP, targetPort: 80}]}
- apiVersion: v1
  kind: Pod
  metadata: {name: web, namespace: shop, deletionTimestamp: "2026-03-02T11:00:00Z", deletionGracePeriodSeconds: 30}
  spec: {nodeName: n1, containers: [{name: c}]}
  status: {phase: Running, podIP: 10.244.1.5}
"#;

fn objects(text: &str) -> Vec<Object> {
    let documents = yaml::split(&yaml::Source::new("dump.yaml", text)).unwrap();
    let manifests = documents
        .iter()
        .flat_map(|document| decode_stored(document).unwrap());
    manifests.map(|manifest| manifest.object).collect()
}

fn service(name: &str, spec: &str) -> Object {
    let text =
        format!("{{apiVersion: v1, kind: Service, metadata: {{name: {name}}}, spec: {spec}}}");
    objects(&text).remove(0)
}

#[test]
fn alloc_30_a_dump_is_stored_as_it_is_and_holds_its_addresses() {
    let mut server = server();
    server.restore_all(objects(DUMP), NOW);
    let old = server.service("shop", "Old_Name").unwrap().clone();
    assert_eq!(old.metadata.uid, "00000000-0000-0000-0000-000000000002");
    assert_eq!(
        old.metadata.creation_timestamp.as_deref(),
        Some("2026-03-02T10:00:00Z")
    );
    assert_eq!(old.status.load_balancer.ingress[0].ip, "203.0.113.9");
    assert!(
        server.namespace("shop").is_some(),
        "a namespace is made for it"
    );
    let kubernetes = server.service("default", "kubernetes").unwrap();
    assert_eq!(
        kubernetes.metadata.uid,
        "00000000-0000-0000-0000-000000000001"
    );
    assert!(server.pod("shop", "web").unwrap().metadata.is_terminating());
    assert!(
        server
            .list(Kind::Service, None)
            .all(|object| !object.meta().uid.is_empty())
    );
    for (name, spec, text) in [
        (
            "a",
            "{clusterIP: 10.96.7.7, ports: [{port: 80}]}",
            "10.96.7.7: provided IP is already allocated",
        ),
        (
            "b",
            "{clusterIP: 10.96.0.1, ports: [{port: 80}]}",
            "10.96.0.1: provided IP is already allocated",
        ),
        (
            "c",
            "{type: NodePort, ports: [{port: 80, nodePort: 30080}]}",
            "30080: provided port is already allocated",
        ),
        (
            "d",
            "{type: NodePort, ports: [{port: 80, nodePort: 30100}]}",
            "30100: provided port is already allocated",
        ),
    ] {
        let refused = server.create(service(name, spec), NOW).unwrap_err();
        assert!(refused.message.contains(text), "{refused}");
    }
}

#[test]
fn what_is_restored_can_be_changed_and_deleted_like_anything_else() {
    let mut server = server();
    server.restore_all(objects(DUMP), NOW);
    server.restore_all(objects(DUMP), NOW);
    let key = ObjectKey::new(Kind::Service, "shop", "Old_Name");
    let mut object = server.get(&key).unwrap().clone();
    object
        .meta_mut()
        .labels
        .insert("a".to_owned(), "b".to_owned());
    server.replace(object, NOW).unwrap();
    server.delete(&key, &DeleteOptions::default(), NOW).unwrap();
    let free = service(
        "e",
        "{type: NodePort, ports: [{port: 80, nodePort: 30080}]}",
    );
    server.create(free, NOW).unwrap();
    let changes: Vec<_> = server
        .events_after(0)
        .iter()
        .map(|event| event.revision)
        .collect();
    assert_eq!(changes, (1..=server.revision()).collect::<Vec<_>>());
}

/// As `kubectl get ipaddresses,services` prints them, of a cluster from before `clusterIPs`.
#[test]
fn a_dump_keeps_its_addresses_whatever_its_order() {
    let dump = r#"
apiVersion: v1
kind: List
items:
- apiVersion: networking.k8s.io/v1
  kind: IPAddress
  metadata: {name: 10.96.0.1, uid: 00000000-0000-0000-0000-000000000009, labels: {ipaddress.kubernetes.io/managed-by: ipallocator.k8s.io}}
  spec: {parentRef: {resource: services, namespace: default, name: kubernetes}}
- {apiVersion: v1, kind: Service, metadata: {name: kubernetes, namespace: default}, spec: {type: ClusterIP, clusterIP: 10.96.0.1, ports: [{port: 443}]}}
- {apiVersion: v1, kind: Service, metadata: {name: old, namespace: default}, spec: {type: ClusterIP, clusterIP: 10.96.3.3, ports: [{port: 80}]}}
"#;
    let mut server = server();
    server.restore_all(objects(dump), NOW);
    let address = |name| server.get(&ObjectKey::new(Kind::IpAddress, "", name));
    let kept = address("10.96.0.1").unwrap();
    assert_eq!(kept.meta().uid, "00000000-0000-0000-0000-000000000009");
    assert!(address("10.96.3.3").is_some(), "one is made for it");
    assert_eq!(server.list(Kind::IpAddress, None).count(), 2);
    let thief = service("f", "{clusterIP: 10.96.3.3, ports: [{port: 80}]}");
    assert!(server.create(thief, NOW).is_err());
}
