//! How namespaces and ServiceCIDRs end, with the controllers that they wait for.

use std::time::Duration;

use api::{DeleteOptions, Kind, ObjectKey, ServiceCidr};
use cluster::Cluster;
use switchboard_controllers::{
    Controller, EndpointSliceController, GarbageCollector, Kubelet, KubeletConfig,
    NamespaceController, ServiceCidrController,
};

mod cluster;

fn delete(cluster: &mut Cluster, kind: Kind, namespace: &str, name: &str) {
    let key = ObjectKey::new(kind, namespace, name);
    let now = cluster.now;
    cluster
        .api
        .delete(&key, &DeleteOptions::default(), now)
        .unwrap();
}

fn with_namespaces() -> Cluster {
    let kubelet = KubeletConfig {
        pod_start: Duration::from_secs(1),
        nodes: vec![(
            "node-a".to_owned(),
            vec!["192.168.1.1".parse().unwrap()],
            vec!["10.244.1.0/24".parse().unwrap()],
        )],
    };
    let seed = base::Seed::new(7);
    let controllers: Vec<Box<dyn Controller>> = vec![
        Box::new(Kubelet::new(kubelet)),
        Box::new(EndpointSliceController::new(Duration::ZERO, seed)),
        Box::new(GarbageCollector::new()),
        Box::new(NamespaceController::new()),
    ];
    let mut cluster = Cluster::new(controllers);
    cluster.apply("{apiVersion: v1, kind: Namespace, metadata: {name: shop}}");
    cluster.apply(
        "
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec: {selector: {app: web}, ports: [{port: 80}]}
---
apiVersion: v1
kind: Pod
metadata: {name: web, namespace: shop, labels: {app: web}}
spec: {nodeName: node-a, containers: [{name: c, image: i}]}
",
    );
    cluster.drain();
    cluster
}

fn content(cluster: &Cluster) -> Vec<String> {
    let kinds = Kind::all().filter(|kind| kind.is_namespaced());
    let objects = kinds.flat_map(|kind| cluster.api.list(kind, Some("shop")));
    objects.map(|object| object.key().to_string()).collect()
}

#[test]
fn api_79_a_namespace_waits_for_its_pods() {
    let mut cluster = with_namespaces();
    assert_eq!(content(&cluster).len(), 3);
    delete(&mut cluster, Kind::Namespace, "", "shop");
    cluster.settle();
    assert_eq!(content(&cluster), ["pod/shop/web"]);
    let namespace = cluster.api.namespace("shop").unwrap();
    assert_eq!(namespace.status.phase, "Terminating");
    cluster.drain();
    assert!(content(&cluster).is_empty());
    assert!(cluster.api.namespace("shop").is_none());
    let log = cluster.api.events_after(0);
    assert_eq!(log.last().unwrap().object.kind(), Kind::Namespace);
    // It can be made again, and ends again, though it is empty.
    cluster.apply("{apiVersion: v1, kind: Namespace, metadata: {name: shop}}");
    cluster.drain();
    delete(&mut cluster, Kind::Namespace, "", "shop");
    cluster.drain();
    assert!(cluster.api.namespace("shop").is_none());
}

#[test]
fn api_92_a_namespace_waits_for_finalizers_in_it() {
    let mut cluster = with_namespaces();
    cluster.apply(
        "{apiVersion: v1, kind: ConfigMap, metadata: {name: keep, namespace: shop, finalizers: [example.com/keep]}}",
    );
    delete(&mut cluster, Kind::Namespace, "", "shop");
    cluster.drain();
    assert_eq!(content(&cluster), ["configmap/shop/keep"]);
    let key = ObjectKey::new(Kind::of_resource("configmap").unwrap(), "shop", "keep");
    let mut object = cluster.api.get(&key).unwrap().clone();
    object.meta_mut().finalizers.clear();
    cluster.api.replace(object, cluster.now).unwrap();
    cluster.drain();
    assert!(cluster.api.namespace("shop").is_none());
}

/// The EndpointSlice controller hears of the end of a namespace while it wants to write there.
#[test]
fn api_13_a_write_into_a_terminating_namespace_is_not_tried_again() {
    let mut cluster = with_namespaces();
    cluster.apply(
        "{apiVersion: v1, kind: Service, metadata: {name: late, namespace: shop, finalizers: [example.com/keep]}, spec: {selector: {app: web}, ports: [{port: 80}]}}",
    );
    delete(&mut cluster, Kind::Namespace, "", "shop");
    cluster.settle();
    let slices = cluster.api.list(Kind::EndpointSlice, Some("shop"));
    assert_eq!(slices.count(), 0);
    let before = cluster.writes;
    cluster.drain();
    cluster.pass(Duration::from_secs(2_000));
    assert!(cluster.writes - before < 10, "{}", cluster.writes - before);
}

fn cidr<'a>(cluster: &'a Cluster, name: &str) -> Option<&'a ServiceCidr> {
    let key = ObjectKey::new(Kind::ServiceCidr, "", name);
    Some(cluster.api.get(&key)?.as_service_cidr().unwrap())
}

/// Status, reason and message of the condition Ready.
fn ready(cluster: &Cluster, name: &str) -> (String, String, String) {
    let conditions = &cidr(cluster, name).unwrap().status.conditions;
    let [condition] = conditions.as_slice() else {
        panic!("{conditions:?}")
    };
    assert_eq!(condition.condition_type, "Ready");
    let text = |field| {
        condition
            .rest
            .get(field)
            .unwrap()
            .as_str()
            .unwrap()
            .to_owned()
    };
    (condition.status.clone(), text("reason"), text("message"))
}

fn with_cidrs() -> Cluster {
    let mut cluster = Cluster::new(vec![Box::new(ServiceCidrController::new())]);
    cluster.settle();
    assert_eq!(cluster.writes, 0, "the default one is as it should be");
    cluster.apply(
        "{apiVersion: networking.k8s.io/v1, kind: ServiceCIDR, metadata: {name: more}, spec: {cidrs: [10.99.0.0/24]}}",
    );
    cluster
}

fn create_service(cluster: &mut Cluster, name: &str, address: &str) {
    let text = format!(
        "{{apiVersion: v1, kind: Service, metadata: {{name: {name}}}, spec: {{clusterIP: {address}, ports: [{{port: 80}}]}}}}"
    );
    cluster.apply(&text);
}

#[test]
fn alloc_41_42_a_new_service_cidr_becomes_ready() {
    let mut cluster = with_cidrs();
    assert!(cidr(&cluster, "more").unwrap().status.conditions.is_empty());
    cluster.settle();
    let text = "Kubernetes Service CIDR is ready".to_owned();
    assert_eq!(
        ready(&cluster, "more"),
        ("True".to_owned(), String::new(), text)
    );
    let finalizers = &cidr(&cluster, "more").unwrap().metadata.finalizers;
    assert_eq!(*finalizers, [ServiceCidr::FINALIZER]);
}

#[test]
fn alloc_42_an_unused_service_cidr_goes_after_ten_seconds() {
    let mut cluster = with_cidrs();
    cluster.pass(Duration::from_secs(5));
    delete(&mut cluster, Kind::ServiceCidr, "", "more");
    cluster.pass(Duration::from_millis(9_999));
    assert!(cidr(&cluster, "more").is_some());
    cluster.pass(Duration::from_millis(1));
    assert!(cidr(&cluster, "more").is_none());
}

#[test]
fn alloc_41_42_a_service_cidr_waits_for_its_addresses() {
    let mut cluster = with_cidrs();
    cluster.settle();
    create_service(&mut cluster, "web", "10.99.0.7");
    delete(&mut cluster, Kind::ServiceCidr, "", "more");
    cluster.pass(Duration::from_secs(60));
    let text = "There are still IPAddresses referencing the ServiceCIDR, please remove them or create a new ServiceCIDR";
    let waiting = (
        "False".to_owned(),
        "Terminating".to_owned(),
        text.to_owned(),
    );
    assert_eq!(ready(&cluster, "more"), waiting);
    delete(&mut cluster, Kind::Service, "default", "web");
    cluster.settle();
    assert!(cidr(&cluster, "more").is_none(), "its grace is long over");
}

#[test]
fn alloc_42_43_another_service_cidr_can_take_the_addresses_over() {
    let mut cluster = with_cidrs();
    cluster.settle();
    create_service(&mut cluster, "web", "10.99.0.7");
    delete(&mut cluster, Kind::ServiceCidr, "", "more");
    cluster.pass(Duration::from_secs(20));
    cluster.apply(
        "{apiVersion: networking.k8s.io/v1, kind: ServiceCIDR, metadata: {name: heir}, spec: {cidrs: [10.99.0.0/28]}}",
    );
    cluster.settle();
    assert!(cidr(&cluster, "more").is_none());
    assert_eq!(ready(&cluster, "heir").0, "True");
    let service = cluster.api.service("default", "web").unwrap();
    assert_eq!(service.spec.cluster_ip, "10.99.0.7");
}

#[test]
fn alloc_42_the_default_service_cidr_waits_for_the_kubernetes_service() {
    let mut cluster = with_cidrs();
    cluster.settle();
    delete(&mut cluster, Kind::ServiceCidr, "", "kubernetes");
    cluster.pass(Duration::from_secs(60));
    assert_eq!(ready(&cluster, "kubernetes").1, "Terminating");
}
