//! What each kind does to an object before it is stored: defaults, allocation, checks.
//!
//! The word is Kubernetes' (`pkg/registry/*/strategy.go`). Everything here works on a draft: nothing is
//! stored, and no address or port is taken for good, until all of it has succeeded.

mod daemon_set;
mod deployment;
mod endpoint_slice;
mod endpoints;
mod event;
mod generation;
mod ip_address;
mod namespace;
mod network_policy;
mod node;
mod pod;
mod replica_set;
pub(crate) mod service;
mod service_cidr;
mod stateful_set;
mod workload;

use std::sync::Arc;

use base::Rng;

use crate::allocator::{ClusterIps, NodePorts};
use crate::object::Object;
use crate::status::Status;
use crate::validate::{Errors, meta};

/// What Services are given, and the randomness it is chosen with; cloning it costs next to nothing.
#[derive(Clone, Debug)]
pub(crate) struct Pools {
    pub(crate) cluster_ips: ClusterIps,
    pub(crate) cluster_ip_rng: Rng,
    pub(crate) node_ports: NodePorts,
    pub(crate) node_port_rng: Rng,
}

/// Completes and checks an object that is about to be created; returns warnings.
pub(crate) fn create(object: &mut Object, pools: &mut Pools) -> Result<Vec<String>, Status> {
    match object {
        Object::Namespace(namespace) => namespace::create(Arc::make_mut(namespace)),
        Object::Service(service) => service::create(Arc::make_mut(service), pools)?,
        _ => {}
    }
    complete(object);
    generation::begin(object);
    let errors = match object {
        // Of an event's metadata the server looks at what every kind must have, and only at last.
        Object::Event(event) => first_of(event::errors(event), || meta::created(object)),
        _ => chain(meta::created(object), spec_errors(object, None)),
    };
    conclude(object, None, errors, pools)
}

/// Completes and checks an object that is about to replace `old`; returns warnings.
pub(crate) fn update(
    object: &mut Object,
    old: &Object,
    pools: &mut Pools,
) -> Result<Vec<String>, Status> {
    match (&mut *object, old) {
        (Object::Namespace(namespace), Object::Namespace(old)) => {
            namespace::update(Arc::make_mut(namespace), old);
        }
        (Object::Service(service), Object::Service(old)) => {
            service::update(Arc::make_mut(service), old, pools)?;
        }
        _ => {}
    }
    complete(object);
    generation::count(object, old);
    let errors = chain(meta::updated(object, old), spec_errors(object, Some(old)));
    conclude(object, Some(old), errors, pools)
}

/// Completes and checks an object whose status alone is written.
pub(crate) fn update_status(object: &mut Object) -> Result<(), Status> {
    let errors = match object {
        Object::Service(service) => return service::complete_status(Arc::make_mut(service)),
        Object::Pod(pod) => {
            pod::complete_status(Arc::make_mut(pod));
            pod::status_errors(pod)
        }
        _ => return Ok(()),
    };
    refuse_any(object, errors)
}

/// Fills in defaults; a Service's are part of its allocation.
fn complete(object: &mut Object) {
    match object {
        Object::Node(node) => node::complete(Arc::make_mut(node)),
        Object::Pod(pod) => pod::complete(Arc::make_mut(pod)),
        Object::EndpointSlice(slice) => endpoint_slice::complete(Arc::make_mut(slice)),
        Object::Endpoints(endpoints) => endpoints::complete(Arc::make_mut(endpoints)),
        Object::Deployment(deployment) => deployment::complete(Arc::make_mut(deployment)),
        Object::ReplicaSet(set) => replica_set::complete(Arc::make_mut(set)),
        Object::StatefulSet(set) => stateful_set::complete(Arc::make_mut(set)),
        Object::DaemonSet(set) => daemon_set::complete(Arc::make_mut(set)),
        Object::NetworkPolicy(policy) => network_policy::complete(Arc::make_mut(policy)),
        _ => {}
    }
}

fn spec_errors(object: &Object, old: Option<&Object>) -> Errors {
    match object {
        Object::Node(node) => node::errors(node, before(old, Object::as_node)),
        Object::Pod(pod) => {
            let changes = before(old, Object::as_pod).map(|old| pod::update_errors(pod, old));
            chain(pod::errors(pod), changes.unwrap_or_default())
        }
        Object::Service(service) => service::errors(service, before(old, Object::as_service)),
        Object::EndpointSlice(slice) => {
            endpoint_slice::errors(slice, before(old, Object::as_endpoint_slice))
        }
        Object::Endpoints(endpoints) => endpoints::errors(endpoints),
        Object::Deployment(deployment) => {
            deployment::errors(deployment, before(old, Object::as_deployment))
        }
        Object::ReplicaSet(set) => replica_set::errors(set, before(old, Object::as_replica_set)),
        Object::StatefulSet(set) => stateful_set::errors(set, before(old, Object::as_stateful_set)),
        Object::DaemonSet(set) => daemon_set::errors(set, before(old, Object::as_daemon_set)),
        Object::NetworkPolicy(policy) => network_policy::errors(policy),
        Object::Event(event) => event::errors(event),
        Object::IpAddress(address) => {
            ip_address::errors(address, before(old, Object::as_ip_address))
        }
        Object::ServiceCidr(cidr) => {
            service_cidr::errors(cidr, before(old, Object::as_service_cidr))
        }
        _ => Errors::new(),
    }
}

/// All complaints at once; then, for what is valid, our own limits.
fn conclude(
    object: &Object,
    old: Option<&Object>,
    errors: Errors,
    pools: &Pools,
) -> Result<Vec<String>, Status> {
    refuse_any(object, errors)?;
    if let Object::Service(service) = object {
        let limits = service::limits(service, &pools.cluster_ips);
        if !limits.is_empty() {
            let (kind, name) = (object.kind_name(), &object.meta().name);
            return Err(Status::not_supported(kind, name, limits));
        }
    }
    let deprecated = object.kind().deprecation().map(str::to_owned);
    let warnings = deprecated.into_iter().chain(warnings(object, old));
    Ok(warnings.collect())
}

fn warnings(object: &Object, old: Option<&Object>) -> Vec<String> {
    match object {
        Object::Node(node) => node::warnings(node),
        // Pods change too often, and not by a user's hand.
        Object::Pod(pod) if old.is_none() => pod::warnings(pod),
        Object::Service(service) => service::warnings(service),
        Object::EndpointSlice(slice) => endpoint_slice::warnings(slice),
        Object::Endpoints(endpoints) => endpoints::warnings(endpoints),
        Object::Deployment(deployment) => {
            deployment::warnings(deployment, before(old, Object::as_deployment))
        }
        Object::ReplicaSet(set) => replica_set::warnings(set, before(old, Object::as_replica_set)),
        Object::StatefulSet(set) => {
            stateful_set::warnings(set, before(old, Object::as_stateful_set))
        }
        Object::DaemonSet(set) => daemon_set::warnings(set, before(old, Object::as_daemon_set)),
        Object::NetworkPolicy(policy) => network_policy::warnings(policy),
        _ => Vec::new(),
    }
}

/// The stored object as one of its kind.
fn before<T>(old: Option<&Object>, as_kind: fn(&Object) -> Option<&Arc<T>>) -> Option<&T> {
    old.and_then(as_kind).map(|old| &**old)
}

fn refuse_any(object: &Object, errors: Errors) -> Result<(), Status> {
    if errors.is_empty() {
        return Ok(());
    }
    Err(Status::invalid(object, errors))
}

fn chain(mut errors: Errors, more: Errors) -> Errors {
    errors.extend(more);
    errors
}

fn first_of(errors: Errors, otherwise: impl FnOnce() -> Errors) -> Errors {
    if errors.is_empty() {
        otherwise()
    } else {
        errors
    }
}
