//! `status` of a Service: defaults and checks.
//!
//! **Source of the semantics.** API-32; S: `pkg/apis/core/v1/defaults.go` (SetDefaults_ServiceStatus …),
//! `pkg/apis/core/validation/validation.go` (ValidateLoadBalancerStatus).

use super::refused;
use crate::field::FieldError;
use crate::object::{LoadBalancerIngress, Service, ServiceStatus};
use crate::status::Status;
use crate::validate::{meta, one_of, text};

/// Completes and checks a Service whose status alone is written.
pub(crate) fn complete_status(service: &mut Service) -> Result<(), Status> {
    default(&mut service.status);
    let errors = errors(service);
    if errors.is_empty() {
        Ok(())
    } else {
        Err(refused(service, errors))
    }
}

/// Addresses are virtual IPs unless they say otherwise (API-32).
pub(super) fn default(status: &mut ServiceStatus) {
    for ingress in &mut status.load_balancer.ingress {
        if !ingress.ip.is_empty() {
            ingress.ip_mode.get_or_insert_with(|| "VIP".to_owned());
        }
    }
}

/// All complaints about `status`.
pub(super) fn errors(service: &Service) -> Vec<FieldError> {
    let ingress = &service.status.load_balancer.ingress;
    let field = "status.loadBalancer.ingress";
    if !ingress.is_empty() && service.spec.service_type != "LoadBalancer" {
        let detail = "may only be used when `spec.type` is 'LoadBalancer'";
        return vec![FieldError::forbidden(field, detail)];
    }
    let entries = ingress.iter().enumerate();
    entries
        .flat_map(|(index, entry)| ingress_errors(entry, &format!("{field}[{index}]")))
        .collect()
}

fn ingress_errors(ingress: &LoadBalancerIngress, field: &str) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let at_ip = format!("{field}.ip");
    if !ingress.ip.is_empty()
        && let Err(found) = text::address(&ingress.ip)
    {
        errors.extend(meta::complaints(&at_ip, &ingress.ip, found));
    }
    let at_mode = format!("{field}.ipMode");
    match &ingress.ip_mode {
        Some(_) if ingress.ip.is_empty() => {
            let detail = "may not be specified when `ip` is not set";
            errors.push(FieldError::forbidden(at_mode, detail));
        }
        Some(mode) => errors.extend(one_of(&at_mode, mode, &["Proxy", "VIP"])),
        None => {}
    }
    if !ingress.hostname.is_empty() {
        let at_name = format!("{field}.hostname");
        let found = text::subdomain(&ingress.hostname);
        errors.extend(meta::complaints(&at_name, &ingress.hostname, found));
        if text::address(&ingress.hostname).is_ok() {
            let detail = "must be a DNS name, not an IP address";
            errors.push(FieldError::invalid(at_name, &ingress.hostname, detail));
        }
    }
    errors
}
