//! The small worlds that rows happen in.
//!
//! Every world has two nodes with addresses of both families and a second one of IPv4 each, and endpoints with
//! one letter: `a` and `b` on node-1, `c` on node-2, `x` and `y` on the network of node-1 and node-2 themselves.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use api::{
    Endpoint, EndpointConditions, EndpointHints, EndpointPort, EndpointSlice, IntOrString,
    IpFamily, LABEL_SERVICE_NAME, LABEL_ZONE, Named, Node, NodeAddress, NodeSpec, NodeStatus,
    Object, ObjectMeta, Service, ServiceSpec, ServiceStatus,
};
use ipnet::IpNet;
use serde::Deserialize;
use switchboard_conformance::{Cluster, LocalDetection, NodePortAddresses, ProxySettings};

use crate::table::Row;

/// A world and its rows.
pub(crate) struct Fixture {
    pub(crate) about: String,
    pub(crate) cluster: Cluster,
    pub(crate) rows: Vec<Row>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FixtureText {
    about: String,
    #[serde(default)]
    proxy: ProxyText,
    services: BTreeMap<String, ServiceText>,
    flows: String,
}

/// As in a `KubeProxyConfiguration`.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct ProxyText {
    #[serde(default)]
    masquerade_all: bool,
    #[serde(rename = "clusterCIDRs")]
    cluster_cidrs: Option<Vec<IpNet>>,
    detect_local_mode: Option<String>,
    node_port_addresses: Option<AddressesText>,
    localhost_node_ports: Option<bool>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum AddressesText {
    Word(String),
    Ranges(Vec<IpNet>),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ServiceText {
    #[serde(default)]
    labels: BTreeMap<String, String>,
    spec: ServiceSpec,
    #[serde(default)]
    status: ServiceStatus,
    /// Letters, each with a state (`leaving`, `dying`, `unready`) and hints (`zone-1`, `node-1`).
    endpoints: String,
}

impl Fixture {
    /// All worlds of a file.
    pub(crate) fn read_all(text: &str) -> Vec<Self> {
        serde_yaml::Deserializer::from_str(text)
            .map(|document| {
                let text = FixtureText::deserialize(document).expect("the file is a fixture");
                Self::from(text)
            })
            .collect()
    }
}

impl From<FixtureText> for Fixture {
    fn from(text: FixtureText) -> Self {
        let objects = text
            .services
            .into_iter()
            .flat_map(|(name, service)| service.objects(&name));
        Self {
            about: text.about,
            cluster: Cluster {
                service_cidrs: vec![range("10.96.0.0/16"), range("fd00:10:96::/112")],
                nodes: [1, 2].map(|n| Arc::new(node(n))).into(),
                proxy: text.proxy.into(),
                objects: objects.collect(),
            },
            rows: Row::read_all(&text.flows),
        }
    }
}

impl From<ProxyText> for ProxySettings {
    fn from(text: ProxyText) -> Self {
        let pods = || vec![range("10.244.0.0/16"), range("fd00:10:244::/48")];
        Self {
            local_detection: match text.detect_local_mode.as_deref() {
                None => LocalDetection::ClusterCidr(text.cluster_cidrs.unwrap_or_else(pods)),
                Some("NodeCIDR") => LocalDetection::NodeCidr,
                Some("BridgeInterface") => LocalDetection::BridgeInterface,
                Some("InterfaceNamePrefix") => LocalDetection::InterfaceNamePrefix,
                Some(other) => panic!("no detectLocalMode {other:?}"),
            },
            masquerade_all: text.masquerade_all,
            node_port_addresses: match text.node_port_addresses {
                None => NodePortAddresses::Default,
                Some(AddressesText::Ranges(ranges)) => NodePortAddresses::Within(ranges),
                Some(AddressesText::Word(word)) if word == "primary" => NodePortAddresses::Primary,
                Some(AddressesText::Word(word)) => panic!("no nodePortAddresses {word:?}"),
            },
            localhost_node_ports: text.localhost_node_ports.unwrap_or(true),
        }
    }
}

impl ServiceText {
    fn objects(self, name: &str) -> Vec<Object> {
        let mut metadata = ObjectMeta::named("default", name);
        metadata.labels.extend(self.labels);
        let mut spec = self.spec;
        if spec.cluster_ips.is_empty() && !spec.cluster_ip.is_empty() {
            spec.cluster_ips = vec![spec.cluster_ip.clone()];
        }
        let slices = [IpFamily::V4, IpFamily::V6].map(|family| {
            let mut metadata = ObjectMeta::named("default", &format!("{name}-{family}"));
            metadata.name.make_ascii_lowercase();
            metadata
                .labels
                .insert(LABEL_SERVICE_NAME.to_owned(), name.to_owned());
            let endpoints = self.endpoints.split(',').filter(|text| !text.is_empty());
            Object::from(EndpointSlice {
                metadata,
                address_type: family.name().to_owned(),
                endpoints: endpoints.map(|text| endpoint(text, family)).collect(),
                ports: spec.ports.iter().map(slice_port).collect(),
            })
        });
        let service = Service {
            metadata,
            spec,
            status: self.status,
        };
        std::iter::once(service.into()).chain(slices).collect()
    }
}

/// The address of an endpoint.
pub(crate) fn endpoint_address(letter: &str, family: IpFamily) -> IpAddr {
    let text = match (letter, family) {
        ("a", IpFamily::V4) => "10.244.1.5",
        ("b", IpFamily::V4) => "10.244.1.6",
        ("c", IpFamily::V4) => "10.244.2.5",
        ("x", IpFamily::V4) => "192.168.10.1",
        ("y", IpFamily::V4) => "192.168.10.2",
        ("a", IpFamily::V6) => "fd00:10:244:1::5",
        ("b", IpFamily::V6) => "fd00:10:244:1::6",
        ("c", IpFamily::V6) => "fd00:10:244:2::5",
        ("x", IpFamily::V6) => "fd00:192:168::1",
        ("y", IpFamily::V6) => "fd00:192:168::2",
        (other, _) => panic!("no endpoint {other:?}"),
    };
    text.parse().expect("written above as an address")
}

fn endpoint(text: &str, family: IpFamily) -> Endpoint {
    let mut words = text.split_whitespace();
    let letter = words.next().expect("an endpoint has a letter");
    let node = if matches!(letter, "c" | "y") {
        "node-2"
    } else {
        "node-1"
    };
    let state = |ready, serving, terminating| EndpointConditions {
        ready: Some(ready),
        serving: Some(serving),
        terminating: Some(terminating),
    };
    let mut endpoint = Endpoint {
        addresses: vec![endpoint_address(letter, family).to_string()],
        conditions: state(true, true, false),
        node_name: Some(node.to_owned()),
        ..Endpoint::default()
    };
    for word in words {
        let hint = Named {
            name: word.to_owned(),
        };
        match word {
            "leaving" => endpoint.conditions = state(false, true, true),
            "dying" => endpoint.conditions = state(false, false, true),
            "unready" => endpoint.conditions = state(false, false, false),
            zone if zone.starts_with("zone-") => hints(&mut endpoint).for_zones.push(hint),
            node if node.starts_with("node-") => hints(&mut endpoint).for_nodes.push(hint),
            other => panic!("{other:?} says nothing about an endpoint"),
        }
    }
    endpoint
}

fn hints(endpoint: &mut Endpoint) -> &mut EndpointHints {
    endpoint.hints.get_or_insert_default()
}

fn slice_port(port: &api::ServicePort) -> EndpointPort {
    let number = match &port.target_port {
        Some(IntOrString::Int(number)) => *number,
        _ => port.port,
    };
    EndpointPort {
        name: Some(port.name.clone()),
        protocol: Some(port.transport().to_string()),
        port: Some(number),
        app_protocol: None,
    }
}

fn node(n: u8) -> Node {
    let mut metadata = ObjectMeta::named("", &format!("node-{n}"));
    metadata
        .labels
        .insert(LABEL_ZONE.to_owned(), format!("zone-{n}"));
    let addresses = [
        format!("192.168.10.{n}"),
        format!("fd00:192:168::{n}"),
        format!("192.168.20.{n}"),
    ];
    Node {
        metadata,
        spec: NodeSpec {
            pod_cidrs: vec![format!("10.244.{n}.0/24"), format!("fd00:10:244:{n}::/64")],
            ..NodeSpec::default()
        },
        status: NodeStatus {
            addresses: addresses
                .map(|address| NodeAddress {
                    address_type: "InternalIP".to_owned(),
                    address,
                })
                .into(),
            ..NodeStatus::default()
        },
    }
}

fn range(text: &str) -> IpNet {
    text.parse().expect("written here as a range")
}
