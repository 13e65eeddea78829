//! Views that change, for properties.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::subsequence;
use ruleset::{Family, Protocol};
use switchboard_rules::{
    ClusterView, EndpointView, LocalDetection, NodeFacts, NodePortAddresses, ServicePortView,
    ServiceView, TrafficPolicy,
};

use crate::support::{
    add_service, add_slice, endpoint, hints, node_1, port, service_name, slice, slice_port,
};

/// What can happen to the view, one Service of three at a time.
#[derive(Clone, Debug)]
pub(crate) enum Change {
    Remove(usize),
    Service(usize, ServiceView),
    Endpoints(usize, bool, Vec<EndpointView>),
    ServiceRanges(Vec<ipnet::IpNet>),
}

const NAMES: [&str; 3] = ["api", "db", "web"];

impl Change {
    pub(crate) fn apply(&self, view: &mut ClusterView) {
        match self {
            Self::Remove(n) => {
                view.services.remove(&service_name(NAMES[*n]));
            }
            Self::Service(n, service) => add_service(view, NAMES[*n], service.clone()),
            Self::ServiceRanges(ranges) => view.service_cidrs = ranges.as_slice().into(),
            Self::Endpoints(n, is_v6, endpoints) => {
                let (family, slice_name) = match is_v6 {
                    true => (Family::V6, "six"),
                    false => (Family::V4, "four"),
                };
                let mut slice = slice(family, endpoints);
                slice.ports.push(slice_port("dns", Protocol::UDP, 5353));
                slice.ports.push(slice_port("sig", Protocol::SCTP, 3868));
                add_slice(view, NAMES[*n], slice_name, slice);
            }
        }
    }
}

pub(crate) fn change() -> impl Strategy<Value = Change> {
    let name = 0..NAMES.len();
    prop_oneof![
        1 => name.clone().prop_map(Change::Remove),
        1 => subsequence(vec!["10.96.0.0/12", "fd00:10:96::/112"], 0..=2).prop_map(|ranges| {
            Change::ServiceRanges(ranges.iter().map(|range| range.parse().unwrap()).collect())
        }),
        3 => name.clone().prop_flat_map(|n| service(n).prop_map(move |s| Change::Service(n, s))),
        5 => (name.clone(), any::<bool>()).prop_flat_map(|(n, is_v6)| {
            vec(endpoint_view(is_v6), 0..5).prop_map(move |all| Change::Endpoints(n, is_v6, all))
        }),
        // So many that numbers of endpoints are told apart in another way.
        1 => (name, 7_u8..40).prop_map(|(n, count)| {
            let all = (1..=count).map(|host| endpoint(&format!("10.244.2.{host}"), "node-2"));
            Change::Endpoints(n, false, all.collect())
        }),
    ]
}

fn service(n: usize) -> impl Strategy<Value = ServiceView> {
    let number = u16::try_from(n).expect("three Services");
    let addresses = |texts: [String; 2]| texts.map(|ip| ip.parse().unwrap()).to_vec();
    let cluster_ips = addresses([format!("10.96.0.4{n}"), format!("fd00:10:96::4{n}")]);
    // The last of each is another Service's, too: whoever comes first in order has it.
    let own = |texts: [String; 3]| texts.map(|ip| ip.parse().unwrap()).to_vec();
    let shared = || "203.0.113.59".to_owned();
    let external_ips = own([
        format!("203.0.113.5{n}"),
        format!("2001:db8::5{n}"),
        shared(),
    ]);
    let balancer_ips = own([
        format!("203.0.113.9{n}"),
        format!("2001:db8::9{n}"),
        shared(),
    ]);
    let ranges = [
        "192.168.10.0/24",
        "198.51.100.0/25",
        "198.51.100.0/24",
        "2001:db8:1::/48",
        "0.0.0.0/0",
    ];
    let ranges = ranges.map(|net| net.parse().unwrap()).to_vec();
    let node_ports = [None, Some(30_000 + number), Some(30_009)];
    let ports = proptest::sample::select(node_ports.to_vec()).prop_flat_map(|node_port| {
        let all = [
            ("http", Protocol::TCP, 80),
            ("dns", Protocol::UDP, 53),
            ("sig", Protocol::SCTP, 3868),
        ];
        let ports = all.map(|(name, protocol, number)| ServicePortView {
            node_port,
            ..port(name, protocol, number)
        });
        subsequence(ports.to_vec(), 1..=3)
    });
    let policy = || prop_oneof![Just(TrafficPolicy::Cluster), Just(TrafficPolicy::Local)];
    let affinity_seconds = proptest::option::of(1_u32..86_400);
    let health_check_node_port = proptest::option::of(Just(32_000 + number));
    let frontends = (
        subsequence(cluster_ips, 1..=2),
        subsequence(external_ips, 0..=3),
        subsequence(balancer_ips, 0..=3),
        subsequence(ranges, 0..=3),
        ports,
    );
    (
        frontends,
        policy(),
        policy(),
        affinity_seconds,
        health_check_node_port,
    )
        .prop_map(
            |(frontends, internal, external, affinity_seconds, health_check_node_port)| {
                let (cluster_ips, external_ips, load_balancer_ips, ranges, ports) = frontends;
                ServiceView {
                    cluster_ips: cluster_ips.into(),
                    ports: ports.into(),
                    internal_traffic_policy: internal,
                    external_traffic_policy: external,
                    external_ips,
                    load_balancer_ips,
                    load_balancer_source_ranges: ranges,
                    affinity_seconds,
                    health_check_node_port,
                }
            },
        )
}

fn endpoint_view(is_v6: bool) -> impl Strategy<Value = EndpointView> {
    let some = |all: [&'static str; 2]| subsequence(all.to_vec(), 0..=1);
    (
        (1_u8..6, 1_u8..3),
        any::<[bool; 3]>(),
        some(["zone-a", "zone-b"]),
        some(["node-1", "node-2"]),
    )
        .prop_map(move |((host, node), conditions, zones, nodes)| {
            let address = match is_v6 {
                true => format!("fd00:10:244:{node}::{host}"),
                false => format!("10.244.{node}.{host}"),
            };
            let [ready, serving, terminating] = conditions;
            EndpointView {
                ready,
                serving,
                terminating,
                hints: hints(&zones, &nodes),
                ..endpoint(&address, &format!("node-{node}"))
            }
        })
}

/// Three nodes that differ in all that matters to rules.
pub(crate) fn nodes() -> [NodeFacts; 3] {
    let node_2 = NodeFacts {
        name: "node-2".into(),
        zone: Some("zone-b".into()),
        masquerade_all: true,
        node_port_addresses: NodePortAddresses::Primary,
        ..node_1()
    };
    let node_3 = NodeFacts {
        name: "node-3".into(),
        local_detection: LocalDetection::BridgeInterface("cni0".into()),
        localhost_node_ports: false,
        masquerade_mark: 1 << 20,
        ..node_1()
    };
    [node_1(), node_2, node_3]
}
