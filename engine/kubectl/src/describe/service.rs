//! Services, with the endpoints that are ready according to their EndpointSlices (API-96).

use api::{EndpointSlice, Kind, LoadBalancerIngress, Object, Service, ServicePort};

use super::View;
use super::event::About;
use super::page::Page;
use crate::selector::pairs;
use crate::table::{clipped, socket};

pub(super) fn page(service: &Service, view: &View<'_>) -> String {
    let (meta, spec) = (&service.metadata, &service.spec);
    let mut page = Page::of(meta);
    page.field(0, "Selector", &pairs(&spec.selector));
    page.field(0, "Type", &spec.service_type);
    let optional = |text: &Option<String>| text.clone().unwrap_or_default();
    page.field_if(0, "IP Family Policy", &optional(&spec.ip_family_policy));
    page.field_or(0, "IP Families", &spec.ip_families.join(","), "<none>");
    page.field(0, "IP", &spec.cluster_ip);
    page.field_or(0, "IPs", &spec.cluster_ips.join(","), "<none>");
    page.field_if(0, "External IPs", &spec.external_ips.join(","));
    page.field_if(0, "Desired LoadBalancer IP", &spec.load_balancer_ip);
    page.field_if(0, "External Name", &spec.external_name);
    let ingress = service.status.load_balancer.ingress.iter().map(ingress);
    page.field_if(
        0,
        "LoadBalancer Ingress",
        &ingress.collect::<Vec<_>>().join(", "),
    );
    let slices = slices(service, view);
    for port in &spec.ports {
        write_port(&mut page, port, &slices);
    }
    page.field(0, "Session Affinity", &spec.session_affinity);
    page.field_if(0, "External Traffic Policy", &spec.external_traffic_policy);
    page.field_if(
        0,
        "Internal Traffic Policy",
        &optional(&spec.internal_traffic_policy),
    );
    if spec.health_check_node_port != 0 {
        page.field(
            0,
            "HealthCheck NodePort",
            &spec.health_check_node_port.to_string(),
        );
    }
    page.field_if(
        0,
        "LoadBalancer Source Ranges",
        &spec.load_balancer_source_ranges.join(","),
    );
    page.field_if(
        0,
        "Traffic Distribution",
        &optional(&spec.traffic_distribution),
    );
    page.events(&About::new(Kind::Service, meta), view);
    page.finish()
}

fn ingress(entry: &LoadBalancerIngress) -> String {
    match (entry.ip.as_str(), &entry.ip_mode) {
        ("", _) => entry.hostname.clone(),
        (ip, Some(mode)) => format!("{ip} ({mode})"),
        (ip, None) => ip.to_owned(),
    }
}

fn slices(service: &Service, view: &View<'_>) -> Vec<Object> {
    let meta = &service.metadata;
    let mut slices = view
        .objects
        .list(Kind::EndpointSlice, Some(&meta.namespace));
    slices.retain(|object| {
        let slice = object.as_endpoint_slice();
        slice.and_then(|slice| slice.service_name()) == Some(&meta.name)
    });
    slices
}

fn write_port(page: &mut Page, port: &ServicePort, slices: &[Object]) {
    let (name, protocol) = (port.name.as_str(), &port.protocol);
    let shown = if name.is_empty() { "<unset>" } else { name };
    page.line(0, format_args!("Port:\t{shown}\t{}/{protocol}", port.port));
    let target = port.target_port.as_ref().map(ToString::to_string);
    let target = target.unwrap_or_else(|| "0".to_owned());
    page.line(0, format_args!("TargetPort:\t{target}/{protocol}"));
    page.field_if(
        0,
        "AppProtocol",
        port.app_protocol.as_deref().unwrap_or_default(),
    );
    if port.node_port != 0 {
        page.line(
            0,
            format_args!("NodePort:\t{shown}\t{}/{protocol}", port.node_port),
        );
    }
    let endpoints = match slices.is_empty() {
        true => "<none>".to_owned(),
        false => {
            let slices = slices.iter().filter_map(Object::as_endpoint_slice);
            clipped(slices.flat_map(|slice| ready(slice, name)))
        }
    };
    page.field(0, "Endpoints", &endpoints);
}

/// The ready endpoints of a slice at the Service's port called `name`; where a slice has no ports, their addresses.
fn ready(slice: &EndpointSlice, name: &str) -> Vec<String> {
    let ready = slice
        .endpoints
        .iter()
        .filter(|endpoint| endpoint.conditions.is_ready())
        .filter_map(|endpoint| endpoint.addresses.first());
    if slice.ports.is_empty() {
        return ready.cloned().collect();
    }
    let ports = slice
        .ports
        .iter()
        .filter(|port| port.name.as_deref().unwrap_or_default() == name);
    ports
        .flat_map(|port| {
            let number = port.port.unwrap_or_default();
            ready.clone().map(move |address| socket(address, number))
        })
        .collect()
}
