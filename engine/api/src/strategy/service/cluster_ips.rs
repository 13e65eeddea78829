//! The virtual IPs of a Service: taking the ones it needs.
//!
//! **Source of the semantics.** ALLOC-20 … ALLOC-28, API-60, API-64; S: `storage/alloc.go` (allocClusterIPs,
//! updateClusterIPs).

use std::net::IpAddr;

use super::refused;
use crate::allocator::AllocateError;
use crate::family::IpFamily;
use crate::field::FieldError;
use crate::object::Service;
use crate::status::Status;
use crate::strategy::{Pools, ip_address};

/// Takes the addresses of a Service that is about to be created.
pub(super) fn take(service: &mut Service, pools: &mut Pools) -> Result<(), Status> {
    if has_address(service) {
        fill(service, &[], pools)?;
    }
    Ok(())
}

/// Takes what an update adds. What it drops goes back when the new state is stored.
pub(super) fn update(
    service: &mut Service,
    old: &Service,
    pools: &mut Pools,
) -> Result<(), Status> {
    let before: Vec<IpAddr> = old.addresses().collect();
    if has_address(service) && (has_address(old) || !old.needs_cluster_ip()) {
        fill(service, &before, pools)?;
    }
    Ok(())
}

/// Of a known type that has a virtual IP; an unknown type is refused later, by the checks.
fn has_address(service: &Service) -> bool {
    let typed = matches!(
        service.spec.service_type.as_str(),
        "ClusterIP" | "NodePort" | "LoadBalancer"
    );
    typed && !service.is_headless()
}

/// Reserves the addresses that are asked for and takes one for each family that has none yet. An address in place
/// of one that is held is left to the checks, which refuse it (API-60, API-62).
fn fill(service: &mut Service, held: &[IpAddr], pools: &mut Pools) -> Result<(), Status> {
    let asked = &service.spec.cluster_ips;
    for text in asked.iter().skip(held.len()) {
        let Some(address) = text.parse().ok().filter(|address| !held.contains(address)) else {
            continue;
        };
        let taken = pools.cluster_ips.reserve(address);
        let taken = taken.map_err(|error| error.to_string());
        taken
            .and_then(|()| ip_address::check_holder(address, &service.metadata))
            .map_err(|error| not_reserved(service, text, &error))?;
    }
    let families = service.spec.ip_families.iter().skip(asked.len());
    let missing: Vec<IpFamily> = families
        .filter_map(|family| IpFamily::parse(family))
        .collect();
    for family in missing {
        let taken = pools
            .cluster_ips
            .allocate(family, &mut pools.cluster_ip_rng);
        let address = taken.map_err(|error| not_allocated(service, error))?;
        ip_address::check_holder(address, &service.metadata)
            .map_err(|error| not_held(service, &error))?;
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

/// ALLOC-20, ALLOC-21, ALLOC-24: the address is told as it was given.
fn not_reserved(service: &Service, address: &str, error: &str) -> Status {
    let detail = format!("failed to allocate IP {address}: {error}");
    let error = FieldError::invalid("spec.clusterIPs", &service.spec.cluster_ips, &detail);
    refused(service, vec![error])
}

/// ALLOC-23: the list has a place for the address already.
fn not_held(service: &Service, error: &str) -> Status {
    let mut ips = service.spec.cluster_ips.clone();
    ips.push(String::new());
    let detail = format!("failed to allocate IP: {error}");
    refused(
        service,
        vec![FieldError::invalid("spec.clusterIPs", &ips, &detail)],
    )
}

/// ALLOC-22.
fn not_allocated(service: &Service, error: AllocateError) -> Status {
    let name = &service.metadata.name;
    Status::internal(&format!(
        "failed to allocate a serviceIP for Service \"{name}\": {error}"
    ))
}
