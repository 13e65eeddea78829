//! What exists before a scenario's first manifest: the nodes, and cluster DNS.
//!
//! Deviation: CoreDNS runs as two bare Pods instead of a Deployment's, already running when the clock starts, as
//! in a cluster that has been up for a while.
//!
//! Deviation: the Service `default/kubernetes` has no endpoints, where an API server writes its own address (ALLOC-5):
//! nobody would answer there, and a connection that is refused says so at once.

use std::collections::BTreeMap;
use std::net::IpAddr;

use api::{ApiServer, Object, Service, Status};
use base::SimTime;
use dns::{ClusterZone, ServerOptions, Upstream};
use ipnet::IpNet;
use serde_json::{Value, json};

use crate::{ClusterConfig, NodeConfig};

/// Puts the state in place, and creates the nodes that are not in it and, if asked for, kube-system/kube-dns with
/// its Pods.
pub(crate) fn populate(api: &mut ApiServer, config: &ClusterConfig) -> Result<(), Status> {
    api.restore_all(config.state.iter().cloned(), SimTime::ZERO);
    for node in &config.nodes {
        if api.node(&node.name).is_none() {
            create_node(api, node)?;
        }
    }
    if config.dns && dns_service(config).is_none() {
        populate_dns(api, config)
    } else {
        Ok(())
    }
}

fn create_node(api: &mut ApiServer, node: &NodeConfig) -> Result<(), Status> {
    let mut labels = json!({"kubernetes.io/hostname": node.name, "kubernetes.io/os": "linux"});
    if let Some(zone) = &node.zone {
        labels[api::LABEL_ZONE] = json!(zone);
    }
    for (key, value) in &node.labels {
        labels[key] = json!(value);
    }
    let cidrs: Vec<String> = node.pod_cidrs.iter().map(ToString::to_string).collect();
    let address = |ip: &IpAddr| json!({"type": "InternalIP", "address": ip.to_string()});
    let addresses: Vec<Value> = node.addresses.iter().map(address).collect();
    let resources = json!({"cpu": node.cpu.unwrap_or(NodeConfig::CPUS).to_string()});
    create(
        api,
        &json!({
            "apiVersion": "v1", "kind": "Node",
            "metadata": {"name": node.name, "labels": labels},
            "spec": {"podCIDR": cidrs.first(), "podCIDRs": cidrs},
            "status": {
                "addresses": addresses,
                "capacity": resources,
                "allocatable": resources,
                "conditions": [{"type": "Ready", "status": "True"}],
            },
        }),
    )
}

/// The address of cluster DNS: that of the state's, or else the 10th of the first Service range (ALLOC-6).
pub(crate) fn dns_address(config: &ClusterConfig) -> Option<IpAddr> {
    if let Some(service) = dns_service(config) {
        return service.addresses().next();
    }
    match config.service_cidrs.first()? {
        IpNet::V4(net) => {
            let address = u32::from(net.network()).checked_add(10)?;
            Some(IpAddr::V4(address.into()))
        }
        IpNet::V6(net) => {
            let address = u128::from(net.network()).checked_add(10)?;
            Some(IpAddr::V6(address.into()))
        }
    }
}

/// Cluster DNS with nothing in it yet. Other names are asked for elsewhere, where the outside hosts are known by theirs.
pub(crate) fn dns_zone(config: &ClusterConfig) -> ClusterZone {
    let mut hosts: BTreeMap<String, Vec<IpAddr>> = BTreeMap::new();
    for host in &config.outside {
        let name = host.name.to_ascii_lowercase();
        hosts.entry(name).or_default().push(host.address);
    }
    let upstream = Upstream::Hosts(hosts);
    ClusterZone::with(&config.dns_domain, ServerOptions::KUBEADM, upstream)
}

/// The Service of cluster DNS in the state.
fn dns_service(config: &ClusterConfig) -> Option<&Service> {
    let mut services = config.state.iter().filter_map(Object::as_service);
    let (name, namespace) = dns::DNS_SERVICE;
    let found = services.find(|service| {
        let meta = &service.metadata;
        (meta.name.as_str(), meta.namespace.as_str()) == (name, namespace)
    });
    found.map(|service| &**service)
}

fn populate_dns(api: &mut ApiServer, config: &ClusterConfig) -> Result<(), Status> {
    let address = dns_address(config).map(|address| address.to_string());
    create(
        api,
        &json!({
            "apiVersion": "v1", "kind": "Service",
            "metadata": {
                "name": "kube-dns", "namespace": "kube-system",
                "labels": {"k8s-app": "kube-dns", "kubernetes.io/cluster-service": "true",
                           "kubernetes.io/name": "CoreDNS"},
            },
            "spec": {
                "clusterIP": address,
                "selector": {"k8s-app": "kube-dns"},
                "ports": [
                    {"name": "dns", "port": 53, "protocol": "UDP", "targetPort": 53},
                    {"name": "dns-tcp", "port": 53, "protocol": "TCP", "targetPort": 53},
                    {"name": "metrics", "port": 9153, "protocol": "TCP", "targetPort": 9153},
                ],
            },
        }),
    )?;
    for (index, node) in config.nodes.iter().take(2).enumerate() {
        let hosts = node
            .pod_cidrs
            .iter()
            .filter_map(|net| controllers::first_pod_address(*net));
        let ips: Vec<Value> = hosts.map(|ip| json!({"ip": ip.to_string()})).collect();
        create(
            api,
            &json!({
                "apiVersion": "v1", "kind": "Pod",
                "metadata": {
                    "name": format!("coredns-{}", index + 1), "namespace": "kube-system",
                    "labels": {"k8s-app": "kube-dns"},
                },
                "spec": {
                    "nodeName": node.name,
                    "dnsPolicy": "Default",
                    "containers": [{
                        "name": "coredns", "image": "registry.k8s.io/coredns/coredns",
                        "ports": [
                            {"name": "dns", "containerPort": 53, "protocol": "UDP"},
                            {"name": "dns-tcp", "containerPort": 53, "protocol": "TCP"},
                            {"name": "metrics", "containerPort": 9153, "protocol": "TCP"},
                        ],
                    }],
                },
                "status": {
                    "phase": "Running",
                    "podIP": ips.first().map(|ip| ip["ip"].clone()),
                    "podIPs": ips,
                    "conditions": [{"type": "Ready", "status": "True"}],
                },
            }),
        )?;
    }
    Ok(())
}

fn create(api: &mut ApiServer, manifest: &Value) -> Result<(), Status> {
    let Value::Object(fields) = manifest else {
        unreachable!("written above as a mapping")
    };
    let kind = api::Kind::of_manifest(
        manifest["apiVersion"].as_str().unwrap_or_default(),
        manifest["kind"].as_str().unwrap_or_default(),
    )
    .expect("written above with a kind that is known");
    let object = Object::from_fields(kind, fields.clone()).expect("written above with its types");
    // A Pod's or Node's `status` in a manifest is its initial status.
    api.create(object, SimTime::ZERO).map(drop)
}
