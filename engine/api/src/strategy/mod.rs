//! What each kind does to an object before it is stored: defaults, allocation, checks.
//!
//! The word is Kubernetes' (`pkg/registry/*/strategy.go`). Everything here works on a draft: nothing is
//! stored, and no address or port is taken for good, until all of it has succeeded.

mod endpoint_slice;
mod ip_address;
mod namespace;
mod pod;
pub(crate) mod service;
mod service_cidr;

use std::sync::Arc;

use base::Rng;

use crate::allocator::{ClusterIps, NodePorts};
use crate::field::FieldError;
use crate::object::Object;
use crate::status::Status;
use crate::validate::meta;

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
        Object::Pod(pod) => pod::complete(Arc::make_mut(pod)),
        Object::Service(service) => service::create(Arc::make_mut(service), pools)?,
        Object::EndpointSlice(slice) => endpoint_slice::complete(Arc::make_mut(slice)),
        _ => {}
    }
    let mut errors = meta::created(object);
    errors.extend(spec_errors(object, None));
    conclude(object, errors, pools)
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
        (Object::Pod(pod), Object::Pod(old)) => {
            pod::complete(Arc::make_mut(pod));
            pod::count_generation(Arc::make_mut(pod), old);
        }
        (Object::Service(service), Object::Service(old)) => {
            service::update(Arc::make_mut(service), old, pools)?;
        }
        (Object::EndpointSlice(slice), Object::EndpointSlice(old)) => {
            endpoint_slice::complete(Arc::make_mut(slice));
            endpoint_slice::count_generation(Arc::make_mut(slice), old);
        }
        _ => {}
    }
    let mut errors = meta::updated(object, old);
    errors.extend(spec_errors(object, Some(old)));
    conclude(object, errors, pools)
}

fn spec_errors(object: &Object, old: Option<&Object>) -> Vec<FieldError> {
    match object {
        Object::Pod(pod) => pod::errors(pod),
        Object::Service(service) => {
            service::errors(service, old.and_then(Object::as_service).map(|old| &**old))
        }
        Object::EndpointSlice(slice) => {
            let old = old.and_then(Object::as_endpoint_slice);
            endpoint_slice::errors(slice, old.map(|old| &**old))
        }
        Object::IpAddress(address) => {
            let old = old.and_then(Object::as_ip_address);
            ip_address::errors(address, old.map(|old| &**old))
        }
        Object::ServiceCidr(cidr) => {
            let old = old.and_then(Object::as_service_cidr);
            service_cidr::errors(cidr, old.map(|old| &**old))
        }
        _ => Vec::new(),
    }
}

/// All complaints at once; then, for what is valid, our own limits.
fn conclude(
    object: &Object,
    errors: Vec<FieldError>,
    pools: &Pools,
) -> Result<Vec<String>, Status> {
    if !errors.is_empty() {
        return Err(Status::invalid(object, errors));
    }
    match object {
        Object::Service(service) => {
            let limits = service::limits(service, &pools.cluster_ips);
            if limits.is_empty() {
                Ok(service::warnings(service))
            } else {
                let (kind, name) = (object.kind_name(), &object.meta().name);
                Err(Status::not_supported(kind, name, limits))
            }
        }
        Object::Pod(pod) => Ok(pod::warnings(pod)),
        _ => {
            let deprecation = object.kind().deprecation();
            Ok(deprecation.map(str::to_owned).into_iter().collect())
        }
    }
}
