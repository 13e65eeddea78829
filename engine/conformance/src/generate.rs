//! Small clusters at random, full of the cases that proxies get wrong.
//!
//! Objects are generated complete, as an API server stores them, so a data plane may take them with or without
//! one. Slices are written directly: no controller would produce half of these. Names and addresses come from
//! small pools, so that duplicates, mismatches and self-calls are frequent.

use std::sync::Arc;

use api::{
    Endpoint, EndpointConditions, EndpointHints, EndpointPort, EndpointSlice, IntOrString,
    LABEL_HEADLESS, LABEL_SERVICE_NAME, LABEL_ZONE, Named, Namespace, Node, NodeAddress, NodeSpec,
    NodeStatus, Object, ObjectMeta, Service, ServicePort, ServiceSpec,
};
use ipnet::IpNet;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};

use crate::cluster::{Cluster, LocalDetection, NodePortAddresses, ProxySettings};
use crate::exposure::{Exposure, exposure};

const SERVICE_CIDRS: [&str; 2] = ["10.96.0.0/16", "fd00:10:96::/112"];
const CLUSTER_CIDRS: [&str; 2] = ["10.244.0.0/16", "fd00:10:244::/48"];
const NAMESPACES: [&str; 2] = ["blog", "shop"];
/// The node that slices may name although it is gone.
const GONE: &str = "node-gone";
const LABEL_PROXY_NAME: &str = "service.kubernetes.io/service-proxy-name";
/// Name, protocol, number.
const PORTS: [(&str, &str, i32); 5] = [
    ("http", "TCP", 80),
    ("https", "TCP", 443),
    ("dns", "UDP", 53),
    ("dns-tcp", "TCP", 53),
    ("diameter", "SCTP", 3868),
];

/// Clusters of 1 to 4 nodes in 1 to 3 zones (or in none), with 1 to 3 Services of 1 to 3 ports and up to 3
/// slices each. Every node has addresses of both families; at least one Service has a ClusterIP that proxies
/// serve. Services are of every type with a ClusterIP, under either policy, with external IPs, load balancers
/// of both modes, source ranges, affinity.
pub fn clusters() -> impl Strategy<Value = Cluster> {
    let size = (1_usize..=4, 1_usize..=3);
    size.prop_flat_map(|(nodes, zones)| {
        let zone = prop_oneof![5 => (1..=zones).prop_map(Some), 1 => Just(None)];
        let others = vec(service(nodes, zones, rarely()), 0..=2);
        (
            vec(zone, nodes),
            proxy(),
            service(nodes, zones, Just(false)),
            others,
        )
            .prop_map(|(zones, proxy, first, others)| {
                let services = std::iter::once(first).chain(others).enumerate();
                let objects = services.flat_map(|(index, service)| service.objects(index));
                Cluster {
                    service_cidrs: nets(&SERVICE_CIDRS),
                    nodes: (1..)
                        .zip(zones)
                        .map(|(n, zone)| Arc::new(node(n, zone)))
                        .collect(),
                    proxy,
                    objects: NAMESPACES
                        .map(namespace)
                        .into_iter()
                        .chain(objects)
                        .collect(),
                }
            })
    })
}

fn rarely() -> impl Strategy<Value = bool> {
    proptest::bool::weighted(0.1)
}

fn nets(texts: &[&str]) -> Vec<IpNet> {
    texts
        .iter()
        .map(|text| text.parse().expect("written above as a range"))
        .collect()
}

fn proxy() -> impl Strategy<Value = ProxySettings> {
    let cidrs = prop_oneof![
        4 => Just(CLUSTER_CIDRS.to_vec()),
        1 => subsequence(CLUSTER_CIDRS.to_vec(), 0..=2),
    ];
    let detection = prop_oneof![
        5 => cidrs.prop_map(|cidrs| LocalDetection::ClusterCidr(nets(&cidrs))),
        1 => Just(LocalDetection::NodeCidr),
        1 => Just(LocalDetection::BridgeInterface),
        1 => Just(LocalDetection::InterfaceNamePrefix),
    ];
    let within = |texts: &[&str]| NodePortAddresses::Within(nets(texts));
    let addresses = prop_oneof![
        4 => Just(NodePortAddresses::Default),
        1 => Just(NodePortAddresses::Primary),
        1 => Just(within(&["192.168.10.0/24", "fd00:192:168::/64"])),
        1 => Just(within(&["192.168.20.0/24", "127.0.0.0/8", "fd00:192:168::/64"])),
        1 => Just(within(&["0.0.0.0/0", "::/0"])),
    ];
    (detection, rarely(), addresses, any::<bool>()).prop_map(
        |(local_detection, masquerade_all, node_port_addresses, localhost_node_ports)| {
            ProxySettings {
                local_detection,
                masquerade_all,
                node_port_addresses,
                localhost_node_ports,
            }
        },
    )
}

fn namespace(name: &str) -> Object {
    Namespace {
        metadata: ObjectMeta::named("", name),
        ..Namespace::default()
    }
    .into()
}

fn node(n: usize, zone: Option<usize>) -> Node {
    let mut metadata = ObjectMeta::named("", &node_name(n));
    if let Some(zone) = zone {
        metadata
            .labels
            .insert(LABEL_ZONE.to_owned(), zone_name(zone));
    }
    let ranges = vec![format!("10.244.{n}.0/24"), format!("fd00:10:244:{n}::/64")];
    let internal = |address| NodeAddress {
        address_type: "InternalIP".to_owned(),
        address,
    };
    Node {
        metadata,
        spec: NodeSpec {
            pod_cidr: ranges[0].clone(),
            pod_cidrs: ranges,
            ..NodeSpec::default()
        },
        status: NodeStatus {
            // The second one of IPv4 is not the primary one.
            addresses: vec![
                internal(node_address(n, false)),
                internal(node_address(n, true)),
                internal(format!("192.168.20.{n}")),
            ],
            ..NodeStatus::default()
        },
    }
}

fn node_name(n: usize) -> String {
    format!("node-{n}")
}

fn zone_name(n: usize) -> String {
    format!("zone-{n}")
}

fn node_address(n: usize, is_v6: bool) -> String {
    if is_v6 {
        format!("fd00:192:168::{n}")
    } else {
        format!("192.168.10.{n}")
    }
}

fn pod_address(n: usize, host: usize, is_v6: bool) -> String {
    if is_v6 {
        format!("fd00:10:244:{n}::{host}")
    } else {
        format!("10.244.{n}.{host}")
    }
}

/// A Service and its slices, but for their names and addresses, which follow from its place in the cluster.
#[derive(Clone, Debug)]
struct Published {
    namespace: &'static str,
    /// Whether each ClusterIP is of IPv6.
    families: Vec<bool>,
    policy: &'static str,
    ports: Vec<ServicePort>,
    /// What it is beyond its ClusterIP.
    exposure: Exposure,
    /// Another proxy serves it (PROXY-2).
    foreign: bool,
    slices: Vec<EndpointSlice>,
}

fn service(
    nodes: usize,
    zones: usize,
    foreign: impl Strategy<Value = bool>,
) -> impl Strategy<Value = Published> {
    let families = select(vec![
        vec![false],
        vec![true],
        vec![false, true],
        vec![true, false],
    ]);
    let policy = select(vec!["Cluster", "Local"]);
    (
        select(NAMESPACES.to_vec()),
        families,
        policy,
        ports(),
        exposure(),
        foreign,
    )
        .prop_flat_map(
            move |(namespace, families, policy, ports, exposure, foreign)| {
                let slices = vec(slice(nodes, zones, &families, &ports), 0..=3);
                slices.prop_map(move |slices| Published {
                    namespace,
                    families: families.clone(),
                    policy,
                    ports: ports.clone(),
                    exposure: exposure.clone(),
                    foreign,
                    slices,
                })
            },
        )
}

/// One to three ports; a single one may go without a name.
fn ports() -> impl Strategy<Value = Vec<ServicePort>> {
    let named = subsequence(PORTS.to_vec(), 1..=3);
    (named, any::<bool>()).prop_map(|(ports, unnamed)| {
        let unnamed = unnamed && ports.len() == 1;
        let port = |(name, protocol, number): (&str, &str, i32)| ServicePort {
            name: if unnamed {
                String::new()
            } else {
                name.to_owned()
            },
            protocol: protocol.to_owned(),
            port: number,
            target_port: Some(IntOrString::Int(number)),
            ..ServicePort::default()
        };
        ports.into_iter().map(port).collect()
    })
}

fn slice(
    nodes: usize,
    zones: usize,
    families: &[bool],
    ports: &[ServicePort],
) -> impl Strategy<Value = EndpointSlice> + use<> {
    // Mostly of a family that the Service has.
    let is_v6 = prop_oneof![4 => select(families.to_vec()), 1 => any::<bool>()];
    let ports: Vec<_> = ports.iter().map(slice_port).collect();
    (is_v6, ports, any::<[bool; 2]>(), rarely()).prop_flat_map(
        move |(is_v6, ports, [zone_hints, node_hints], headless)| {
            let hints = hints(nodes, zones, zone_hints, node_hints);
            vec(endpoint(nodes, is_v6, hints), 0..=3).prop_map(move |endpoints| {
                let mut metadata = ObjectMeta {
                    generation: Some(1),
                    ..ObjectMeta::default()
                };
                if headless {
                    metadata
                        .labels
                        .insert(LABEL_HEADLESS.to_owned(), String::new());
                }
                EndpointSlice {
                    metadata,
                    address_type: if is_v6 { "IPv6" } else { "IPv4" }.to_owned(),
                    endpoints,
                    ports: ports.iter().flatten().cloned().collect(),
                }
            })
        },
    )
}

/// What a slice says about a port of its Service: mostly the right thing.
fn slice_port(port: &ServicePort) -> impl Strategy<Value = Option<EndpointPort>> + use<> {
    let right = EndpointPort {
        name: Some(port.name.clone()),
        protocol: Some(port.protocol.clone()),
        port: Some(8000 + port.port),
        app_protocol: None,
    };
    let misnamed = EndpointPort {
        name: Some(format!("{}x", port.name)),
        ..right.clone()
    };
    let other = if port.protocol == "UDP" { "TCP" } else { "UDP" };
    let other = EndpointPort {
        protocol: Some(other.to_owned()),
        ..right.clone()
    };
    let unnumbered = EndpointPort {
        port: None,
        ..right.clone()
    };
    let elsewhere = EndpointPort {
        port: Some(9000 + port.port),
        ..right.clone()
    };
    prop_oneof![
        16 => Just(Some(right)),
        2 => Just(Some(elsewhere)),
        1 => select(vec![Some(misnamed), Some(other), Some(unnumbered), None]),
    ]
}

/// All of one slice's endpoints have a kind of hint or (mostly) none has, as it takes all for hints to count
/// (PROXY-10).
fn hints(
    nodes: usize,
    zones: usize,
    zone_hints: bool,
    node_hints: bool,
) -> impl Strategy<Value = Option<EndpointHints>> {
    let zones: Vec<_> = (1..=zones).map(|n| Named { name: zone_name(n) }).collect();
    let nodes: Vec<_> = (1..=nodes).map(|n| Named { name: node_name(n) }).collect();
    // Now and then a single endpoint has a hint that the others lack.
    let for_zones = subsequence(zones, usize::from(zone_hints)..=1);
    let for_nodes = subsequence(nodes, usize::from(node_hints)..=usize::from(node_hints));
    (for_zones, for_nodes).prop_map(|(for_zones, for_nodes)| {
        let any = !for_zones.is_empty() || !for_nodes.is_empty();
        any.then_some(EndpointHints {
            for_zones,
            for_nodes,
        })
    })
}

fn endpoint(
    nodes: usize,
    is_v6: bool,
    hints: impl Strategy<Value = Option<EndpointHints>>,
) -> impl Strategy<Value = Endpoint> {
    let node = 1..=nodes;
    // A Pod's address, or now and then that of its node (`hostNetwork`).
    let address = prop_oneof![
        8 => (node.clone(), 2_usize..=4).prop_map(move |(n, host)| pod_address(n, host, is_v6)),
        1 => node.clone().prop_map(move |n| node_address(n, is_v6)),
    ];
    let named = prop_oneof![
        8 => node.prop_map(|n| Some(node_name(n))),
        1 => Just(Some(GONE.to_owned())),
        1 => Just(None),
    ];
    (address, any::<[Option<bool>; 3]>(), named, hints).prop_map(
        |(address, [ready, serving, terminating], node_name, hints)| Endpoint {
            addresses: vec![address],
            conditions: EndpointConditions {
                ready,
                serving,
                terminating,
            },
            node_name,
            hints,
            ..Endpoint::default()
        },
    )
}

impl Published {
    fn objects(self, index: usize) -> Vec<Object> {
        let name = ["web", "db", "cache"].get(index).copied().unwrap_or("more");
        let service = self.service(name, index);
        let namespace = self.namespace;
        let slices = self.slices.into_iter().enumerate().map(|(n, mut slice)| {
            let metadata = &mut slice.metadata;
            metadata.name = format!("{name}-{n}");
            namespace.clone_into(&mut metadata.namespace);
            metadata
                .labels
                .insert(LABEL_SERVICE_NAME.to_owned(), name.to_owned());
            Object::from(slice)
        });
        std::iter::once(service.into()).chain(slices).collect()
    }

    fn service(&self, name: &str, index: usize) -> Service {
        let mut metadata = ObjectMeta::named(self.namespace, name);
        if self.foreign {
            metadata
                .labels
                .insert(LABEL_PROXY_NAME.to_owned(), "another".to_owned());
        }
        let host = 40 + index;
        let address = |is_v6: &bool| match is_v6 {
            false => format!("10.96.0.{host}"),
            true => format!("fd00:10:96::{host}"),
        };
        let family = |is_v6: &bool| if *is_v6 { "IPv6" } else { "IPv4" }.to_owned();
        let cluster_ips: Vec<String> = self.families.iter().map(address).collect();
        let stack = if cluster_ips.len() == 2 {
            "RequireDualStack"
        } else {
            "SingleStack"
        };
        let mut service = Service {
            metadata,
            spec: ServiceSpec {
                ports: self.ports.clone(),
                cluster_ip: cluster_ips[0].clone(),
                cluster_ips,
                service_type: "ClusterIP".to_owned(),
                session_affinity: "None".to_owned(),
                ip_families: self.families.iter().map(family).collect(),
                ip_family_policy: Some(stack.to_owned()),
                internal_traffic_policy: Some(self.policy.to_owned()),
                ..ServiceSpec::default()
            },
            ..Service::default()
        };
        self.exposure.apply(&mut service, index);
        service
    }
}
