//! Service: defaults, allocation, checks, and what an update inherits.
//!
//! **Source of the semantics.** API-26 … API-34, API-38, API-59, API-64, API-65; S:
//! `pkg/apis/core/v1/defaults.go`, `pkg/registry/core/service/storage/{storage,alloc}.go`.
//!
//! Deviation: `status` in a manifest of a LoadBalancer is kept on create (the scenario language's initial status), where
//! Kubernetes wipes it (API-34); it is checked as Kubernetes checks a write of the status.

mod checks;
mod cluster_ips;
mod families;
mod inherit;
mod node_ports;
mod status;
mod warnings;

use super::Pools;
use crate::field::FieldError;
use crate::object::{ClientIpConfig, IntOrString, Service, ServiceStatus, SessionAffinityConfig};
use crate::status::Status;

pub(crate) use checks::{errors, limits};
pub(crate) use node_ports::held_by;
pub(crate) use status::complete_status;
pub(crate) use warnings::warnings;

/// `sessionAffinityConfig.clientIP.timeoutSeconds` when affinity ClientIP states none (API-29).
const AFFINITY_SECONDS: i32 = 10_800;

/// Completes a Service that is about to be created and takes its addresses and ports.
pub(super) fn create(service: &mut Service, pools: &mut Pools) -> Result<(), Status> {
    if service.spec.service_type != "LoadBalancer" {
        service.status = ServiceStatus::default();
    }
    default(service);
    service.complete_cluster_ips();
    settle(service, None, pools)?;
    cluster_ips::take(service, pools)?;
    node_ports::take(service, pools)
}

/// Completes a Service that is about to replace `old`: what the user left out stays as it was (API-59).
pub(super) fn update(
    service: &mut Service,
    old: &Service,
    pools: &mut Pools,
) -> Result<(), Status> {
    default(service);
    inherit::fill(service, old);
    inherit::drop_unused(service, old);
    settle(service, Some(old), pools)?;
    cluster_ips::update(service, old, pools)?;
    node_ports::update(service, old, pools)
}

/// Gives back the ports that a deleted Service held (API-65).
pub(crate) fn release(service: &Service, pools: &mut Pools) {
    for port in node_ports::held_by(service) {
        pools.node_ports.release(port);
    }
}

/// Takes the ports that a restored Service states, as far as they are free.
pub(crate) fn retake(service: &Service, pools: &mut Pools) {
    for port in node_ports::held_by(service) {
        // A port that somebody else has, or that is out of range, is what the repair tells.
        let _ = pools.node_ports.reserve(port);
    }
}

fn settle(service: &mut Service, old: Option<&Service>, pools: &Pools) -> Result<(), Status> {
    if !service.needs_cluster_ip() {
        return Ok(());
    }
    families::settle(service, old, &pools.cluster_ips).map_err(|errors| refused(service, errors))
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
    if spec.service_type == "LoadBalancer" {
        spec.allocate_load_balancer_node_ports.get_or_insert(true);
    }
    if service.is_externally_accessible() && service.spec.external_traffic_policy.is_empty() {
        "Cluster".clone_into(&mut service.spec.external_traffic_policy);
    }
    status::default(&mut service.status);
}

fn default_affinity(config: &mut SessionAffinityConfig) {
    let client: &mut ClientIpConfig = config.client_ip.get_or_insert_default();
    client.timeout_seconds.get_or_insert(AFFINITY_SECONDS);
}

fn refused(service: &Service, errors: Vec<FieldError>) -> Status {
    Status::invalid(&service.clone().into(), errors)
}
