//! EndpointSlice: defaults and checks.
//!
//! **Source of the semantics.** API-25, API-81, API-82; S: `pkg/apis/discovery/validation/validation.go`.

use std::collections::BTreeSet;

use crate::family::IpFamily;
use crate::field::FieldError;
use crate::object::{Endpoint, EndpointSlice, Named};
use crate::validate::{PROTOCOLS, meta, one_of, text};

const ADDRESSES_MAX: usize = 100;
const ENDPOINTS_MAX: usize = 1000;
const HINTS_MAX: usize = 8;
const PORTS_MAX: usize = 20_000;

pub(super) fn complete(slice: &mut EndpointSlice) {
    for port in &mut slice.ports {
        port.name.get_or_insert_default();
        port.protocol.get_or_insert_with(|| "TCP".to_owned());
    }
}

pub(super) fn errors(slice: &EndpointSlice, old: Option<&EndpointSlice>) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let address_type = slice.address_type.as_str();
    if address_type.is_empty() {
        errors.push(FieldError::required("addressType", ""));
    } else {
        errors.extend(one_of(
            "addressType",
            address_type,
            &["FQDN", "IPv4", "IPv6"],
        ));
    }
    if old.is_some_and(|old| old.address_type != address_type) {
        errors.push(FieldError::invalid(
            "addressType",
            &address_type,
            "field is immutable",
        ));
    }
    if slice.endpoints.len() > ENDPOINTS_MAX {
        errors.push(FieldError::too_many(
            "endpoints",
            slice.endpoints.len(),
            ENDPOINTS_MAX,
        ));
    } else {
        for (index, endpoint) in slice.endpoints.iter().enumerate() {
            errors.extend(endpoint_errors(
                endpoint,
                address_type,
                &format!("endpoints[{index}]"),
            ));
        }
    }
    errors.extend(port_errors(slice));
    errors
}

/// A deprecated type of address. The texts of addresses are checked strictly, so that nothing is left to warn about.
pub(super) fn warnings(slice: &EndpointSlice) -> Vec<String> {
    let text = "spec.addressType: FQDN endpoints are deprecated";
    let deprecated = slice.address_type == "FQDN";
    deprecated.then(|| text.to_owned()).into_iter().collect()
}

fn endpoint_errors(endpoint: &Endpoint, address_type: &str, field: &str) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let list = format!("{field}.addresses");
    if endpoint.addresses.is_empty() {
        errors.push(FieldError::required(
            &list,
            "must contain at least 1 address",
        ));
    } else if endpoint.addresses.len() > ADDRESSES_MAX {
        errors.push(FieldError::too_many(
            &list,
            endpoint.addresses.len(),
            ADDRESSES_MAX,
        ));
    }
    for (index, address) in endpoint.addresses.iter().enumerate() {
        let item = format!("{list}[{index}]");
        match IpFamily::parse(address_type) {
            Some(family) => errors.extend(address_errors(address, family, &list, &item)),
            None if address_type == "FQDN" => {
                errors.extend(meta::complaints(&item, address, text::subdomain(address)));
            }
            // The type itself is the complaint.
            None => {}
        }
    }
    if let Some(node) = &endpoint.node_name {
        errors.extend(meta::complaints(
            &format!("{field}.nodeName"),
            node,
            text::subdomain(node),
        ));
    }
    if let Some(hostname) = &endpoint.hostname {
        errors.extend(meta::complaints(
            &format!("{field}.hostname"),
            hostname,
            text::label(hostname),
        ));
    }
    if let Some(hints) = &endpoint.hints {
        errors.extend(hint_errors(
            &hints.for_zones,
            &format!("{field}.hints.forZones"),
        ));
        errors.extend(hint_errors(
            &hints.for_nodes,
            &format!("{field}.hints.forNodes"),
        ));
    }
    errors
}

/// An address that is none is reported at its item, one of the wrong family at the list, as the real server does.
fn address_errors(text: &str, family: IpFamily, list: &str, item: &str) -> Vec<FieldError> {
    let address = match text::address(text) {
        Ok(address) => address,
        Err(found) => return meta::complaints(item, text, found),
    };
    if IpFamily::of(address) != family {
        let detail = format!("must be an {family} address");
        return vec![FieldError::invalid(list, &text, &detail)];
    }
    let canonical = address.to_string();
    if canonical != text {
        let detail = format!("must be in canonical form (\"{canonical}\")");
        return vec![FieldError::invalid(item, &text, &detail)];
    }
    let special = text::special_range(address);
    special
        .map(|detail| FieldError::invalid(item, &text, detail))
        .into_iter()
        .collect()
}

fn hint_errors(hints: &[Named], field: &str) -> Vec<FieldError> {
    if hints.len() > HINTS_MAX {
        return vec![FieldError::too_many(field, hints.len(), HINTS_MAX)];
    }
    let mut seen = BTreeSet::new();
    let mut errors = Vec::new();
    for (index, hint) in hints.iter().enumerate() {
        let field = format!("{field}[{index}].name");
        if seen.insert(&hint.name) {
            errors.extend(meta::complaints(
                &field,
                &hint.name,
                text::label_value(&hint.name),
            ));
        } else {
            errors.push(FieldError::duplicate(field, &hint.name));
        }
    }
    errors
}

/// Numbers are not checked: the real server takes 0, and so `es-port-0` is recorded.
fn port_errors(slice: &EndpointSlice) -> Vec<FieldError> {
    if slice.ports.len() > PORTS_MAX {
        return vec![FieldError::too_many("ports", slice.ports.len(), PORTS_MAX)];
    }
    let mut names = BTreeSet::new();
    let mut errors = Vec::new();
    for (index, entry) in slice.ports.iter().enumerate() {
        let field = format!("ports[{index}]");
        let name = entry.name.as_deref().unwrap_or_default();
        if !name.is_empty() {
            errors.extend(meta::complaints(
                &format!("{field}.name"),
                name,
                text::label(name),
            ));
        }
        if !names.insert(name) {
            errors.push(FieldError::duplicate(format!("{field}.name"), &name));
        }
        let protocol = entry.protocol.as_deref().unwrap_or("TCP");
        errors.extend(one_of(&format!("{field}.protocol"), protocol, &PROTOCOLS));
        if let Some(app_protocol) = &entry.app_protocol {
            let found = text::qualified_name(app_protocol);
            errors.extend(meta::complaints(
                &format!("{field}.appProtocol"),
                app_protocol,
                found,
            ));
        }
    }
    errors
}
