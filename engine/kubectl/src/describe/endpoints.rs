//! Endpoints and EndpointSlices.

use api::{Endpoint, EndpointAddress, EndpointSlice, EndpointSubset, Endpoints, Kind};

use super::View;
use super::event::About;
use super::page::Page;

pub(super) fn page(endpoints: &Endpoints, view: &View<'_>) -> String {
    let mut page = Page::of(&endpoints.metadata);
    page.line(0, format_args!("Subsets:"));
    for subset in &endpoints.subsets {
        write_subset(&mut page, subset);
    }
    page.events(&About::new(Kind::Endpoints, &endpoints.metadata), view);
    page.finish()
}

fn write_subset(page: &mut Page, subset: &EndpointSubset) {
    let joined = |addresses: &[EndpointAddress]| {
        let addresses = addresses.iter().map(|address| address.ip.as_str());
        addresses.collect::<Vec<_>>().join(",")
    };
    page.field_or(1, "Addresses", &joined(&subset.addresses), "<none>");
    page.field_or(
        1,
        "NotReadyAddresses",
        &joined(&subset.not_ready_addresses),
        "<none>",
    );
    if !subset.ports.is_empty() {
        page.line(1, format_args!("Ports:"));
        write_header(page, 2);
        for port in &subset.ports {
            let name = or_unset(&port.name);
            page.line(2, format_args!("{name}\t{}\t{}", port.port, port.protocol));
        }
    }
    page.line(0, format_args!(""));
}

fn write_header(page: &mut Page, level: usize) {
    page.line(level, format_args!("Name\tPort\tProtocol"));
    page.line(level, format_args!("----\t----\t--------"));
}

/// Events are not among it: kubectl 1.36 shows no such section here, as recorded.
pub(super) fn slice(slice: &EndpointSlice) -> String {
    let mut page = Page::of(&slice.metadata);
    page.field(0, "AddressType", &slice.address_type);
    if slice.ports.is_empty() {
        page.line(0, format_args!("Ports: <unset>"));
    } else {
        page.line(0, format_args!("Ports:"));
        write_header(&mut page, 1);
        for port in &slice.ports {
            let name = or_unset(port.name.as_deref().unwrap_or_default());
            let number = port.port.map(|port| port.to_string()).unwrap_or_default();
            let (number, protocol) = (or_unset(&number), port.transport());
            page.line(1, format_args!("{name}\t{number}\t{protocol}"));
        }
    }
    if slice.endpoints.is_empty() {
        page.line(0, format_args!("Endpoints: <none>"));
    } else {
        page.line(0, format_args!("Endpoints:"));
        for endpoint in &slice.endpoints {
            write_endpoint(&mut page, endpoint);
        }
    }
    page.finish()
}

fn write_endpoint(page: &mut Page, endpoint: &Endpoint) {
    page.field_or(1, "- Addresses", &endpoint.addresses.join(", "), "<none>");
    page.line(2, format_args!("Conditions:"));
    let ready = endpoint.conditions.ready.map(|ready| ready.to_string());
    page.field_or(3, "Ready", &ready.unwrap_or_default(), "<unset>");
    let given = |text: &Option<String>| text.clone().unwrap_or_else(|| "<unset>".to_owned());
    page.field(2, "Hostname", &given(&endpoint.hostname));
    if let Some(target) = &endpoint.target_ref {
        page.field(2, "TargetRef", &format!("{}/{}", target.kind, target.name));
    }
    page.field(2, "NodeName", &given(&endpoint.node_name));
    page.field(2, "Zone", &given(&endpoint.zone));
}

fn or_unset(text: &str) -> &str {
    match text {
        "" => "<unset>",
        text => text,
    }
}
