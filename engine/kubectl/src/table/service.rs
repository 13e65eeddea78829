//! Services (API-93).

use std::collections::BTreeSet;

use api::{LoadBalancerStatus, Service, ServicePort};

use super::{AGE, Column, NAME, shown, wide};
use crate::selector::{joined, pairs};

pub(super) const COLUMNS: &[Column] = &[
    NAME,
    shown("TYPE"),
    shown("CLUSTER-IP"),
    shown("EXTERNAL-IP"),
    shown("PORT(S)"),
    AGE,
    wide("SELECTOR"),
];

/// A longer list of load-balancer addresses is cut off, except with `-o wide`.
const LOAD_BALANCER_WIDTH: usize = 16;

pub(super) fn cells(service: &Service, age: String, is_wide: bool) -> Vec<String> {
    let spec = &service.spec;
    let cluster_ip = spec.cluster_ips.first().cloned();
    vec![
        service.metadata.name.clone(),
        spec.service_type.clone(),
        cluster_ip.unwrap_or_else(|| "<none>".to_owned()),
        external_ip(service, is_wide),
        joined(spec.ports.iter().map(port)),
        age,
        pairs(&spec.selector),
    ]
}

fn external_ip(service: &Service, is_wide: bool) -> String {
    let spec = &service.spec;
    match spec.service_type.as_str() {
        "ClusterIP" | "NodePort" => joined(spec.external_ips.iter()),
        "LoadBalancer" => {
            let given = ingress(&service.status.load_balancer, is_wide);
            let given = (!given.is_empty()).then_some(given);
            let all: Vec<&str> = given
                .iter()
                .chain(&spec.external_ips)
                .map(String::as_str)
                .collect();
            match all.is_empty() {
                true => "<pending>".to_owned(),
                false => all.join(","),
            }
        }
        "ExternalName" => spec.external_name.clone(),
        _ => "<unknown>".to_owned(),
    }
}

fn ingress(status: &LoadBalancerStatus, is_wide: bool) -> String {
    let entries = status.ingress.iter();
    let addresses: BTreeSet<&str> = entries
        .map(|entry| match entry.ip.is_empty() {
            true => entry.hostname.as_str(),
            false => entry.ip.as_str(),
        })
        .filter(|address| !address.is_empty())
        .collect();
    super::inert::cut(
        &addresses.into_iter().collect::<Vec<_>>().join(","),
        (!is_wide).then_some(LOAD_BALANCER_WIDTH),
    )
}

fn port(port: &ServicePort) -> String {
    match port.node_port {
        0 => format!("{}/{}", port.port, port.protocol),
        node_port => format!("{}:{node_port}/{}", port.port, port.protocol),
    }
}

#[cfg(test)]
mod tests {
    use api::{Object, ObjectMeta};
    use serde_json::{Value, json};

    use super::*;

    fn check(spec: Value, status: Value, expected: [&str; 3]) {
        let fields = [("spec", spec), ("status", status)];
        let fields = fields.map(|(field, value)| (field.to_owned(), value));
        let fields = fields.into_iter().collect();
        let object = Object::from_fields(api::Kind::Service, fields).unwrap();
        let mut service = Service::clone(object.as_service().unwrap());
        service.metadata = ObjectMeta::named("default", "web");
        let cells = cells(&service, "4s".to_owned(), false);
        assert_eq!(cells[2..5], expected);
    }

    #[test]
    fn api_93_addresses_and_ports() {
        let ports = json!([{"port": 80, "protocol": "TCP", "nodePort": 30080}, {"port": 53, "protocol": "UDP"}]);
        check(
            json!({"type": "NodePort", "clusterIPs": ["10.96.0.9"], "ports": ports}),
            json!({}),
            ["10.96.0.9", "<none>", "80:30080/TCP,53/UDP"],
        );
        check(
            json!({"type": "ExternalName", "externalName": "example.com"}),
            json!({}),
            ["<none>", "example.com", "<none>"],
        );
        check(
            json!({"type": "ClusterIP", "clusterIPs": ["None"], "externalIPs": ["192.0.2.1", "192.0.2.2"]}),
            json!({}),
            ["None", "192.0.2.1,192.0.2.2", "<none>"],
        );
    }

    #[test]
    fn api_93_load_balancers() {
        let spec = json!({"type": "LoadBalancer", "clusterIPs": ["10.96.0.9"]});
        check(
            spec.clone(),
            json!({}),
            ["10.96.0.9", "<pending>", "<none>"],
        );
        let two =
            json!({"loadBalancer": {"ingress": [{"ip": "203.0.113.9"}, {"ip": "203.0.113.10"}]}});
        check(
            spec.clone(),
            two,
            ["10.96.0.9", "203.0.113.10,...", "<none>"],
        );
        let named = json!({"loadBalancer": {"ingress": [{"hostname": "lb"}]}});
        check(spec, named, ["10.96.0.9", "lb", "<none>"]);
    }
}
