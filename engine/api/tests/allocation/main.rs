//! What Services are given out of finite stocks, and how objects go: ServiceCIDRs, IPAddresses, node ports, repairs,
//! finalizers and namespaces.

mod deletion;
mod properties;
mod recorded;
mod repair;
mod service_cidrs;

use std::time::Duration;

use api::{
    ApiConfig, ApiServer, DeleteOptions, Kind, Object, ObjectKey, ServiceSpec, Status, decode, yaml,
};
use base::{Seed, SimTime};
use switchboard_api as api;

const NOW: SimTime = SimTime::ZERO;

fn config(ranges: &[&str]) -> ApiConfig {
    ApiConfig {
        service_cidrs: ranges.iter().map(|range| range.parse().unwrap()).collect(),
        node_port_range: 30_000..=32_767,
        dns_domain: "cluster.local".to_owned(),
        api_servers: Vec::new(),
        seed: Seed::new(7),
    }
}

fn server(ranges: &[&str]) -> ApiServer {
    ApiServer::new(config(ranges), NOW)
}

fn at(seconds: u64) -> SimTime {
    NOW + Duration::from_secs(seconds)
}

fn object(text: &str) -> Object {
    let documents = yaml::split(&yaml::Source::new("test.yaml", text)).unwrap();
    decode(&documents[0]).unwrap().remove(0).object
}

fn service(name: &str, spec: &str) -> Object {
    object(&format!(
        "{{apiVersion: v1, kind: Service, metadata: {{name: {name}}}, spec: {spec}}}"
    ))
}

fn cidr(name: &str, ranges: &str) -> Object {
    object(&format!(
        "{{apiVersion: networking.k8s.io/v1, kind: ServiceCIDR, metadata: {{name: {name}}}, spec: {{cidrs: {ranges}}}}}"
    ))
}

/// An IPAddress with these further fields of `metadata`, for this parent.
fn ip_address(name: &str, metadata: &str, parent: &str) -> Object {
    object(&format!(
        "{{apiVersion: networking.k8s.io/v1, kind: IPAddress, metadata: {{name: \"{name}\"{metadata}}}, spec: {{parentRef: {parent}}}}}"
    ))
}

/// The labels of an IPAddress that the API server made.
const MANAGED: &str = ", labels: {ipaddress.kubernetes.io/ip-family: IPv4, ipaddress.kubernetes.io/managed-by: ipallocator.k8s.io}";

fn parent(name: &str) -> String {
    format!("{{resource: services, namespace: default, name: {name}}}")
}

fn create(server: &mut ApiServer, name: &str, spec: &str) -> Result<ServiceSpec, Status> {
    let written = server.create(service(name, spec), NOW)?;
    Ok(written.object.as_service().unwrap().spec.clone())
}

/// A Service of type ClusterIP; its address.
fn address(server: &mut ApiServer, name: &str) -> Result<String, Status> {
    Ok(create(server, name, "{ports: [{port: 80}]}")?.cluster_ip)
}

fn delete(server: &mut ApiServer, key: &ObjectKey, now: SimTime) {
    server.delete(key, &DeleteOptions::default(), now).unwrap();
}

fn service_key(name: &str) -> ObjectKey {
    ObjectKey::new(Kind::Service, "default", name)
}

fn address_key(name: &str) -> ObjectKey {
    ObjectKey::new(Kind::IpAddress, "", name)
}

fn cidr_key(name: &str) -> ObjectKey {
    ObjectKey::new(Kind::ServiceCidr, "", name)
}

/// The number of an IPv4 address in its range of 256.
fn host(address: &str) -> u8 {
    address.rsplit('.').next().unwrap().parse().unwrap()
}

/// Changes a stored object's finalizers, as a user does.
fn set_finalizers(server: &mut ApiServer, key: &ObjectKey, finalizers: &[&str], now: SimTime) {
    let mut object = server.get(key).unwrap().clone();
    object.meta_mut().finalizers = finalizers.iter().map(ToString::to_string).collect();
    server.replace(object, now).unwrap();
}
