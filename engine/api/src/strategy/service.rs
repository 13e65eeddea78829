//! Service: defaults, virtual IPs, and what an update inherits.
//!
//! **Source of the semantics.** API-26 … API-34, API-38, API-59, ALLOC-20 … ALLOC-28; S:
//! `pkg/apis/core/v1/defaults.go`, `pkg/registry/core/service/storage/{storage,alloc}.go`.
//!
//! Deviation: `status` in a manifest is kept on create (the scenario language's initial status), where Kubernetes
//! wipes it (API-34).

use std::net::IpAddr;

use super::{Addresses, families};
use crate::allocator::AllocateError;
use crate::family::IpFamily;
use crate::field::FieldError;
use crate::object::{ClientIpConfig, IntOrString, Kind, Service, SessionAffinityConfig};
use crate::status::Status;

/// `sessionAffinityConfig.clientIP.timeoutSeconds` when affinity ClientIP states none (API-29).
const AFFINITY_SECONDS: i32 = 10_800;

/// Completes a Service that is about to be created and takes its addresses.
pub(super) fn create(service: &mut Service, addresses: &mut Addresses) -> Result<(), Status> {
    default(service);
    let spec = &mut service.spec;
    if spec.cluster_ips.is_empty() && !spec.cluster_ip.is_empty() {
        spec.cluster_ips.push(spec.cluster_ip.clone());
    }
    settle(service, None, addresses)?;
    if has_address(service) {
        fill_addresses(service, &[], addresses)?;
    }
    Ok(())
}

/// Completes a Service that is about to replace `old`: what the user left out stays as it was (API-59).
pub(super) fn update(
    service: &mut Service,
    old: &Service,
    addresses: &mut Addresses,
) -> Result<(), Status> {
    default(service);
    inherit(service, old);
    settle(service, Some(old), addresses)?;
    let before: Vec<IpAddr> = old.addresses().collect();
    if has_address(service) && has_address(old) {
        fill_addresses(service, &before, addresses)?;
    }
    let after: Vec<IpAddr> = service.addresses().collect();
    for address in before.iter().filter(|address| !after.contains(address)) {
        addresses.cluster_ips.release(*address);
    }
    Ok(())
}

/// Gives back what a deleted Service held.
pub(crate) fn release(service: &Service, addresses: &mut Addresses) {
    for address in service.addresses() {
        addresses.cluster_ips.release(address);
    }
}

/// Of a known type that has a virtual IP; an unknown type is refused later, by the checks.
fn has_address(service: &Service) -> bool {
    let typed = matches!(
        service.spec.service_type.as_str(),
        "ClusterIP" | "NodePort" | "LoadBalancer"
    );
    typed && !service.is_headless()
}

fn settle(
    service: &mut Service,
    old: Option<&Service>,
    addresses: &Addresses,
) -> Result<(), Status> {
    if service.spec.service_type == "ExternalName" {
        return Ok(());
    }
    families::settle(service, old, &addresses.cluster_ips)
        .map_err(|errors| refused(service, errors))
}

fn default(service: &mut Service) {
    let spec = &mut service.spec;
    for port in &mut spec.ports {
        if port.protocol.is_empty() {
            "TCP".clone_into(&mut port.protocol);
        }
        if port.target_port.as_ref().is_none_or(IntOrString::is_unset) {
            port.target_port = Some(IntOrString::Int(port.port));
        }
    }
    for (field, value) in [
        (&mut spec.service_type, "ClusterIP"),
        (&mut spec.session_affinity, "None"),
    ] {
        if field.is_empty() {
            value.clone_into(field);
        }
    }
    match spec.session_affinity.as_str() {
        "None" => spec.session_affinity_config = None,
        "ClientIP" => default_affinity(spec.session_affinity_config.get_or_insert_default()),
        _ => {}
    }
    let virtual_ip = matches!(
        spec.service_type.as_str(),
        "ClusterIP" | "NodePort" | "LoadBalancer"
    );
    if virtual_ip && spec.internal_traffic_policy.is_none() {
        spec.internal_traffic_policy = Some("Cluster".to_owned());
    }
    let external = matches!(spec.service_type.as_str(), "NodePort" | "LoadBalancer")
        || (spec.service_type == "ClusterIP" && !spec.external_ips.is_empty());
    if external && spec.external_traffic_policy.is_empty() {
        "Cluster".clone_into(&mut spec.external_traffic_policy);
    }
    if spec.service_type == "LoadBalancer" {
        spec.allocate_load_balancer_node_ports.get_or_insert(true);
    }
    for ingress in &mut service.status.load_balancer.ingress {
        if !ingress.ip.is_empty() {
            ingress.ip_mode.get_or_insert_with(|| "VIP".to_owned());
        }
    }
}

fn default_affinity(config: &mut SessionAffinityConfig) {
    let client: &mut ClientIpConfig = config.client_ip.get_or_insert_default();
    client.timeout_seconds.get_or_insert(AFFINITY_SECONDS);
}

/// Fills what the user left out from the stored Service, and keeps `clusterIP` and `clusterIPs` in step where
/// the user changed only one of them.
fn inherit(service: &mut Service, old: &Service) {
    let (spec, old) = (&mut service.spec, &old.spec);
    if spec.service_type == "ExternalName" || old.service_type == "ExternalName" {
        return;
    }
    if spec.cluster_ip.is_empty() && spec.cluster_ips.is_empty() {
        spec.cluster_ip.clone_from(&old.cluster_ip);
    }
    if spec.cluster_ips.is_empty() && spec.cluster_ip == old.cluster_ip {
        spec.cluster_ips.clone_from(&old.cluster_ips);
    }
    if spec.cluster_ips == old.cluster_ips && spec.cluster_ip.is_empty() {
        spec.cluster_ip.clone_from(&old.cluster_ip);
    }
    if spec.cluster_ip != old.cluster_ip
        && (spec.cluster_ips == old.cluster_ips || spec.cluster_ips.is_empty())
    {
        spec.cluster_ips = vec![spec.cluster_ip.clone()];
    }
}

/// Reserves the addresses that are asked for and takes one for each family that has none yet. A changed primary
/// address is left to the checks, which refuse it (API-60).
fn fill_addresses(
    service: &mut Service,
    held: &[IpAddr],
    addresses: &mut Addresses,
) -> Result<(), Status> {
    let asked: Vec<IpAddr> = service.addresses().collect();
    for (index, address) in asked.iter().enumerate() {
        let changed_primary = index == 0 && !held.is_empty();
        if held.contains(address) || changed_primary {
            continue;
        }
        let taken = addresses.cluster_ips.reserve(*address);
        taken.map_err(|error| not_reserved(service, *address, error))?;
    }
    let families = service.spec.ip_families.iter().skip(asked.len());
    let missing: Vec<IpFamily> = families
        .filter_map(|family| IpFamily::parse(family))
        .collect();
    for family in missing {
        let taken = addresses.cluster_ips.allocate(family, &mut addresses.rng);
        let address = taken.map_err(|error| not_allocated(service, error))?;
        service.spec.cluster_ips.push(address.to_string());
    }
    service.spec.cluster_ip = service
        .spec
        .cluster_ips
        .first()
        .cloned()
        .unwrap_or_default();
    Ok(())
}

/// ALLOC-20, ALLOC-21, ALLOC-24.
fn not_reserved(service: &Service, address: IpAddr, error: AllocateError) -> Status {
    let detail = format!("failed to allocate IP {address}: {error}");
    let error = FieldError::invalid("spec.clusterIPs", &service.spec.cluster_ips, &detail);
    refused(service, vec![error])
}

/// ALLOC-22.
fn not_allocated(service: &Service, error: AllocateError) -> Status {
    let name = &service.metadata.name;
    Status::internal(&format!(
        "failed to allocate a serviceIP for Service \"{name}\": {error}"
    ))
}

fn refused(service: &Service, errors: Vec<FieldError>) -> Status {
    Status::invalid(Kind::Service, &service.metadata.name, errors)
}
