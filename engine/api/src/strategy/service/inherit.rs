//! What an update of a Service takes over from the stored one, and what a change of its type drops.
//!
//! Nothing that the user changes in the same request is dropped: it is left for the checks to refuse.
//! **Source of the semantics.** API-59, API-64, ALLOC-54, ALLOC-59; S: `storage/storage.go` (patchAllocatedValues,
//! normalizeClusterIPs), `service/strategy.go` (dropTypeDependentFields).

use std::collections::BTreeMap;

use super::node_ports;
use crate::object::{LoadBalancerStatus, Service};

/// Fills in the allocated values that the user left out (API-59).
pub(super) fn fill(service: &mut Service, old: &Service) {
    if service.needs_cluster_ip() && old.needs_cluster_ip() {
        let (spec, old) = (&mut service.spec, &old.spec);
        if spec.cluster_ip.is_empty() {
            spec.cluster_ip.clone_from(&old.cluster_ip);
        }
        if spec.cluster_ips.is_empty() {
            spec.cluster_ips.clone_from(&old.cluster_ips);
        }
    }
    if service.uses_node_ports() && old.uses_node_ports() {
        fill_node_ports(service, old);
    }
    let checked = service.needs_health_check() && old.needs_health_check();
    if checked && service.spec.health_check_node_port == 0 {
        service.spec.health_check_node_port = old.spec.health_check_node_port;
    }
    keep_in_step(service, old);
}

/// Drops what the new type has no use for.
pub(super) fn drop_unused(service: &mut Service, old: &Service) {
    let (uses_node_ports, needs_health_check, accessible) = (
        service.uses_node_ports(),
        service.needs_health_check(),
        service.is_externally_accessible(),
    );
    let same_node_ports = node_ports::numbers(service).is_subset(&node_ports::numbers(old));
    let (spec, before) = (&mut service.spec, &old.spec);
    if old.needs_cluster_ip() && spec.service_type == "ExternalName" {
        let same = spec.cluster_ip == before.cluster_ip && spec.cluster_ips == before.cluster_ips;
        if same {
            spec.cluster_ip.clear();
            spec.cluster_ips.clear();
        }
        if spec.ip_families == before.ip_families {
            spec.ip_families.clear();
        }
        if spec.ip_family_policy == before.ip_family_policy {
            spec.ip_family_policy = None;
        }
        // Kubernetes keeps it and hides it on every read (API-30).
        spec.internal_traffic_policy = None;
    }
    if !uses_node_ports && same_node_ports {
        for entry in &mut spec.ports {
            entry.node_port = 0;
        }
    }
    let same_port = spec.health_check_node_port == before.health_check_node_port;
    if old.needs_health_check() && !needs_health_check && same_port {
        spec.health_check_node_port = 0;
    }
    if before.service_type == "LoadBalancer" && spec.service_type != "LoadBalancer" {
        if spec.allocate_load_balancer_node_ports == before.allocate_load_balancer_node_ports {
            spec.allocate_load_balancer_node_ports = None;
        }
        if spec.load_balancer_class == before.load_balancer_class {
            spec.load_balancer_class = None;
        }
    }
    let same_policy = spec.external_traffic_policy == before.external_traffic_policy;
    if old.is_externally_accessible() && !accessible && same_policy {
        spec.external_traffic_policy.clear();
    }
    if spec.service_type != "LoadBalancer" {
        service.status.load_balancer = LoadBalancerStatus::default();
    }
}

/// Entries without a node port keep that of the stored entry of their name, unless another entry has it now.
fn fill_node_ports(service: &mut Service, old: &Service) {
    let (before, after) = (node_ports::numbers(old), node_ports::numbers(service));
    let by_name: BTreeMap<&str, i32> = old
        .spec
        .ports
        .iter()
        .map(|entry| (entry.name.as_str(), entry.node_port))
        .collect();
    for entry in &mut service.spec.ports {
        let known = by_name.get(entry.name.as_str()).copied();
        let free = known.filter(|port| !(before.contains(port) && after.contains(port)));
        if entry.node_port == 0 {
            entry.node_port = free.unwrap_or(0);
        }
    }
}

/// Keeps `clusterIP` and `clusterIPs` in step where the user changed only one of them.
fn keep_in_step(service: &mut Service, old: &Service) {
    let (spec, old) = (&mut service.spec, &old.spec);
    if spec.cluster_ips.is_empty() && spec.cluster_ip == old.cluster_ip {
        spec.cluster_ips.clone_from(&old.cluster_ips);
    }
    if spec.cluster_ip == old.cluster_ip || spec.cluster_ips != old.cluster_ips {
        return;
    }
    spec.cluster_ips = if spec.cluster_ip.is_empty() {
        Vec::new()
    } else {
        vec![spec.cluster_ip.clone()]
    };
}
