//! What the API server and the controllers of namespaces and ServiceCIDRs do by themselves, on the virtual clock.

mod cluster;

use std::time::Duration;

use api::{Kind, ObjectKey, ServiceCidr};
use cluster::{apply as write, config, converge, node};
use switchboard_control::{ClusterConfig, Control};

fn cluster() -> Control {
    Control::new(config(vec![node("node-a", 1)])).unwrap()
}

fn pass(control: &mut Control, seconds: u64) {
    cluster::pass(control, Duration::from_secs(seconds));
}

#[test]
fn api_79_a_namespace_ends_with_its_pods() {
    let mut control = cluster();
    write(
        &mut control,
        "
{apiVersion: v1, kind: Namespace, metadata: {name: shop}}
---
{apiVersion: v1, kind: Service, metadata: {name: web, namespace: shop}, spec: {selector: {app: web}, ports: [{port: 80}]}}
---
{apiVersion: v1, kind: Pod, metadata: {name: web, namespace: shop, labels: {app: web}}, spec: {containers: [{name: c, image: i}]}}
",
    );
    converge(&mut control);
    assert!(control.api().pod("shop", "web").unwrap().is_ready());
    let shop = ObjectKey::new(Kind::Namespace, "", "shop");
    control.delete(&shop).unwrap();
    assert_eq!(
        control.api().namespace("shop").unwrap().status.phase,
        "Terminating"
    );
    assert!(
        converge(&mut control) >= Duration::from_secs(1),
        "its Pod takes a while"
    );
    assert!(control.api().namespace("shop").is_none());
    assert!(control.api().pod("shop", "web").is_none());
}

#[test]
fn alloc_5_the_kubernetes_service_comes_back_though_nothing_is_pending() {
    let mut control = cluster();
    let key = ObjectKey::new(Kind::Service, "default", "kubernetes");
    pass(&mut control, 1);
    control.delete(&key).unwrap();
    converge(&mut control);
    assert!(control.api().get(&key).is_none());
    pass(&mut control, 9);
    assert!(control.api().get(&key).is_some());
}

#[test]
fn alloc_30_an_ip_address_comes_back_when_all_is_compared() {
    let mut control = cluster();
    let key = ObjectKey::new(Kind::IpAddress, "", "10.96.0.1");
    control.delete(&key).unwrap();
    assert!(converge(&mut control) < Duration::from_secs(1));
    assert!(control.api().get(&key).is_none());
    pass(&mut control, 180);
    assert!(control.api().get(&key).is_some());
    let events = control.api().list(Kind::Event, None);
    let reasons: Vec<_> = events
        .map(|event| event.as_event().unwrap().reason.clone())
        .collect();
    assert_eq!(reasons, ["ClusterIPNotAllocated"]);
}

#[test]
fn alloc_41_44_a_service_cidr_comes_and_goes() {
    let mut control = cluster();
    write(
        &mut control,
        "{apiVersion: networking.k8s.io/v1, kind: ServiceCIDR, metadata: {name: more}, spec: {cidrs: [10.99.0.0/24]}}",
    );
    converge(&mut control);
    let key = ObjectKey::new(Kind::ServiceCidr, "", "more");
    let cidr = control.api().get(&key).unwrap().as_service_cidr().unwrap();
    assert_eq!(cidr.metadata.finalizers, [ServiceCidr::FINALIZER]);
    assert_eq!(cidr.status.conditions[0].status, "True");
    control.delete(&key).unwrap();
    pass(&mut control, 9);
    assert!(control.api().get(&key).is_some());
    pass(&mut control, 2);
    assert!(control.api().get(&key).is_none());
}

#[test]
fn alloc_6_7_cluster_dns_is_at_the_tenth_address_if_there_is_one() {
    let with_dns = |range: &str| {
        Control::new(ClusterConfig {
            service_cidrs: vec![range.parse().unwrap()],
            dns: true,
            ..config(vec![node("node-a", 1)])
        })
    };
    let control = with_dns("10.96.0.0/28").unwrap();
    let dns = control.api().service("kube-system", "kube-dns").unwrap();
    assert_eq!(dns.spec.cluster_ip, "10.96.0.10");
    let ports: Vec<_> = dns
        .spec
        .ports
        .iter()
        .map(|port| (port.name.as_str(), port.port))
        .collect();
    assert_eq!(ports, [("dns", 53), ("dns-tcp", 53), ("metrics", 9153)]);
    let Err(refused) = with_dns("10.96.0.0/29") else {
        panic!("a range of six addresses has no tenth one")
    };
    assert!(
        refused
            .message
            .ends_with("does not match the current range"),
        "{refused}"
    );
}

/// Of a Service with a selector Endpoints are made, of Endpoints without one slices.
#[test]
fn ep_44_63_endpoints_come_about_and_are_mirrored() {
    let mut control = cluster();
    write(
        &mut control,
        "
{apiVersion: v1, kind: Service, metadata: {name: web}, spec: {selector: {app: web}, ports: [{port: 80}]}}
---
{apiVersion: v1, kind: Pod, metadata: {name: web, labels: {app: web}}, spec: {containers: [{name: c, image: i}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: db}, spec: {ports: [{port: 5432}]}}
---
{apiVersion: v1, kind: Endpoints, metadata: {name: db}, subsets: [{addresses: [{ip: 192.0.2.10}], ports: [{port: 5432}]}]}
",
    );
    converge(&mut control);
    let key = ObjectKey::new(Kind::Endpoints, "default", "web");
    let endpoints = control.api().get(&key).unwrap().as_endpoints().unwrap();
    let pod = control.api().pod("default", "web").unwrap();
    assert_eq!(endpoints.subsets[0].addresses[0].ip, pod.status.pod_ip);
    let slices = control.api().list(Kind::EndpointSlice, Some("default"));
    let of_db = slices.filter_map(|slice| slice.as_endpoint_slice());
    let of_db: Vec<_> = of_db
        .filter(|slice| slice.service_name() == Some("db"))
        .collect();
    assert_eq!(of_db.len(), 1);
    assert_eq!(of_db[0].endpoints[0].addresses, ["192.0.2.10"]);
    control
        .delete(&ObjectKey::new(Kind::Service, "default", "web"))
        .unwrap();
    converge(&mut control);
    assert!(control.api().get(&key).is_none());
}
