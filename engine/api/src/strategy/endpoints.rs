//! Endpoints: defaults and checks.
//!
//! **Source of the semantics.** API-25, API-80, `recorded/validation.yaml` (`ep-*`: what is no address is
//! complained about twice); S: `pkg/apis/core/validation/validation.go` (ValidateEndpoints),
//! `pkg/registry/core/endpoint/strategy.go`.

use crate::field::FieldError;
use crate::object::{EndpointAddress, EndpointSubset, Endpoints, EndpointsPort};
use crate::validate::{Errors, PROTOCOLS, address, canonical, meta, port, required_one_of, text};

pub(super) fn complete(endpoints: &mut Endpoints) {
    let ports = endpoints
        .subsets
        .iter_mut()
        .flat_map(|subset| &mut subset.ports);
    for port in ports.filter(|port| port.protocol.is_empty()) {
        "TCP".clone_into(&mut port.protocol);
    }
}

pub(super) fn errors(endpoints: &Endpoints) -> Errors {
    let mut errors = Errors::new();
    for (index, subset) in endpoints.subsets.iter().enumerate() {
        let field = format!("subsets[{index}]");
        if subset.addresses.is_empty() && subset.not_ready_addresses.is_empty() {
            let detail = "must specify `addresses` or `notReadyAddresses`";
            errors.push(FieldError::required(&field, detail));
        }
        for (field, entry) in addresses(subset, &field) {
            errors.extend(address_errors(entry, &field));
        }
        let several = subset.ports.len() > 1;
        for (index, entry) in subset.ports.iter().enumerate() {
            errors.extend(port_errors(
                entry,
                several,
                &format!("{field}.ports[{index}]"),
            ));
        }
    }
    errors
}

/// Addresses that are not written as they should be.
pub(super) fn warnings(endpoints: &Endpoints) -> Vec<String> {
    let subsets = endpoints.subsets.iter().enumerate();
    let entries =
        subsets.flat_map(|(index, subset)| addresses(subset, &format!("subsets[{index}]")));
    entries
        .filter_map(|(field, entry)| canonical::address(&format!("{field}.ip"), &entry.ip))
        .collect()
}

fn addresses<'a>(
    subset: &'a EndpointSubset,
    field: &str,
) -> impl Iterator<Item = (String, &'a EndpointAddress)> + use<'a> {
    let lists = [
        (format!("{field}.addresses"), &subset.addresses),
        (
            format!("{field}.notReadyAddresses"),
            &subset.not_ready_addresses,
        ),
    ];
    lists.into_iter().flat_map(|(list, entries)| {
        let entries = entries.iter().enumerate();
        entries.map(move |(index, entry)| (format!("{list}[{index}]"), entry))
    })
}

fn address_errors(entry: &EndpointAddress, field: &str) -> Errors {
    let at_ip = format!("{field}.ip");
    let mut errors = address(&at_ip, &entry.ip);
    let parsed = entry.ip.parse();
    if !entry.hostname.is_empty() {
        let found = text::label(&entry.hostname);
        errors.extend(meta::complaints(
            &format!("{field}.hostname"),
            &entry.hostname,
            found,
        ));
    }
    if let Some(node) = &entry.node_name {
        errors.extend(meta::complaints(
            &format!("{field}.nodeName"),
            node,
            text::subdomain(node),
        ));
    }
    match parsed {
        Ok(parsed) => {
            let special = text::special_range(parsed);
            errors.extend(special.map(|detail| FieldError::invalid(at_ip, &entry.ip, detail)));
        }
        // Leading zeros alone are no second complaint.
        Err(_) if text::has_leading_zeros(&entry.ip) => {}
        Err(_) => {
            errors.push(FieldError::invalid(
                at_ip,
                &entry.ip,
                "must be a valid IP address",
            ));
        }
    }
    errors
}

fn port_errors(entry: &EndpointsPort, several: bool, field: &str) -> Errors {
    let mut errors = Errors::new();
    let at_name = format!("{field}.name");
    if !entry.name.is_empty() {
        errors.extend(meta::complaints(
            &at_name,
            &entry.name,
            text::label(&entry.name),
        ));
    } else if several {
        errors.push(FieldError::required(at_name, ""));
    }
    errors.extend(port(&format!("{field}.port"), entry.port));
    errors.extend(required_one_of(
        &format!("{field}.protocol"),
        &entry.protocol,
        &PROTOCOLS,
    ));
    if let Some(app_protocol) = &entry.app_protocol {
        let found = text::qualified_name(app_protocol);
        errors.extend(meta::complaints(
            &format!("{field}.appProtocol"),
            app_protocol,
            found,
        ));
    }
    errors
}
