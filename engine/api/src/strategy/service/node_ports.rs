//! The node ports of a Service, and the port of its health check.
//!
//! **Source of the semantics.** ALLOC-50 … ALLOC-59, API-64; S: `storage/alloc.go` (initNodePorts,
//! updateNodePorts, allocHealthCheckNodePort, updateHealthCheckNodePort).
//!
//! Deviation: the node ports that a Service of type ExternalName may state are never reserved, and so never given
//! back; Kubernetes gives them back to the stock, whoever holds them, when the Service goes or changes its type.

use std::collections::{BTreeMap, BTreeSet};

use super::refused;
use crate::allocator::PortError;
use crate::field::FieldError;
use crate::object::Service;
use crate::status::Status;
use crate::strategy::Pools;

/// Takes the ports of a Service that is about to be created.
pub(super) fn take(service: &mut Service, pools: &mut Pools) -> Result<(), Status> {
    if service.uses_node_ports() {
        take_on_create(service, pools)?;
    }
    if service.needs_health_check() {
        take_health_check(service, pools)?;
    }
    Ok(())
}

/// Takes what an update adds; what it drops goes back at its end, so that the update itself cannot have it
/// (ALLOC-56).
pub(super) fn update(
    service: &mut Service,
    old: &Service,
    pools: &mut Pools,
) -> Result<(), Status> {
    if service.uses_node_ports() {
        take_on_update(service, &reserved_by(old), pools)?;
    }
    if service.needs_health_check() && !old.needs_health_check() {
        take_health_check(service, pools)?;
    }
    for port in held_by(old).difference(&held_by(service)) {
        pools.node_ports.release(*port);
    }
    Ok(())
}

/// Entries with the same `port` share a node port, chosen or requested (ALLOC-53).
fn take_on_create(service: &mut Service, pools: &mut Pools) -> Result<(), Status> {
    let allocates = allocates(service);
    let mut shared: BTreeMap<i32, i32> = BTreeMap::new();
    for index in 0..service.spec.ports.len() {
        let (port, own) = at(service, index);
        if own == 0 && !allocates {
            continue;
        }
        let given = match shared.get(&port) {
            Some(given) if own == 0 || own == *given => *given,
            Some(_) => reserve(service, index, own, pools)?,
            None => {
                let same = service.spec.ports.iter().filter(|entry| entry.port == port);
                let requested = same
                    .map(|entry| entry.node_port)
                    .find(|requested| *requested != 0);
                let given = match requested {
                    Some(requested) => reserve(service, index, requested, pools)?,
                    None => allocate(pools)?,
                };
                shared.insert(port, given);
                given
            }
        };
        service.spec.ports[index].node_port = given;
    }
    Ok(())
}

/// Every entry that has none gets a port of its own; entries of different protocols may ask for the same one
/// (ALLOC-54).
fn take_on_update(
    service: &mut Service,
    held: &BTreeSet<i32>,
    pools: &mut Pools,
) -> Result<(), Status> {
    let allocates = allocates(service);
    let mut taken = held.clone();
    let mut seen = BTreeSet::new();
    for index in 0..service.spec.ports.len() {
        let (_, own) = at(service, index);
        if own == 0 && !allocates {
            continue;
        }
        let given = if own == 0 {
            allocate(pools)?
        } else if taken.contains(&own) {
            own
        } else {
            reserve(service, index, own, pools)?
        };
        taken.insert(given);
        let entry = &mut service.spec.ports[index];
        entry.node_port = given;
        if !seen.insert((entry.protocol.clone(), given)) {
            let protocol = &entry.protocol;
            return Err(Status::unknown(format!(
                "duplicate nodePort: {{{protocol} {given}}}"
            )));
        }
    }
    Ok(())
}

/// ALLOC-57, ALLOC-58.
fn take_health_check(service: &mut Service, pools: &mut Pools) -> Result<(), Status> {
    let wanted = service.spec.health_check_node_port;
    if wanted == 0 {
        let given = pools.node_ports.allocate(&mut pools.node_port_rng);
        service.spec.health_check_node_port = given.map_err(|error| {
            Status::internal(&format!(
                "failed to allocate a HealthCheck NodePort 0: {error}"
            ))
        })?;
        return Ok(());
    }
    pools.node_ports.reserve(wanted).map_err(|error| {
        Status::internal(&format!(
            "failed to allocate requested HealthCheck NodePort {wanted}: {error}"
        ))
    })
}

/// Whether entries without a node port get one (ALLOC-55).
fn allocates(service: &Service) -> bool {
    let spec = &service.spec;
    spec.service_type != "LoadBalancer" || spec.allocate_load_balancer_node_ports.unwrap_or(true)
}

/// The node ports in `spec.ports`.
pub(super) fn numbers(service: &Service) -> BTreeSet<i32> {
    let ports = service.spec.ports.iter().map(|entry| entry.node_port);
    ports.filter(|port| *port != 0).collect()
}

/// The node ports that a Service has, that of its health check included.
pub(crate) fn held_by(service: &Service) -> BTreeSet<i32> {
    let mut held = reserved_by(service);
    if service.needs_health_check() {
        held.insert(service.spec.health_check_node_port);
    }
    held.remove(&0);
    held
}

/// The node ports that a Service's entries have.
fn reserved_by(service: &Service) -> BTreeSet<i32> {
    if service.uses_node_ports() {
        numbers(service)
    } else {
        BTreeSet::new()
    }
}

fn at(service: &Service, index: usize) -> (i32, i32) {
    let entry = &service.spec.ports[index];
    (entry.port, entry.node_port)
}

/// ALLOC-52.
fn allocate(pools: &mut Pools) -> Result<i32, Status> {
    let given = pools.node_ports.allocate(&mut pools.node_port_rng);
    given.map_err(|error| Status::internal(&format!("failed to allocate a nodePort: {error}")))
}

/// ALLOC-50, ALLOC-51.
fn reserve(service: &Service, index: usize, wanted: i32, pools: &mut Pools) -> Result<i32, Status> {
    let taken = pools.node_ports.reserve(wanted);
    taken.map(|()| wanted).map_err(|error: PortError| {
        let field = format!("spec.ports[{index}].nodePort");
        let error = FieldError::invalid(field, &wanted, &error.to_string());
        refused(service, vec![error])
    })
}
