//! Small clusters, of which one is often much like the next.

use std::net::IpAddr;
use std::sync::Arc;

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use rules::{
    ClusterView, EndpointView, Hints, LocalDetection, NodeFacts, NodePortAddresses, ServiceName,
    ServicePortView, ServiceView, SlicePortView, SliceView, TrafficPolicy,
};
use ruleset::{Family, Protocol};

pub(crate) const NODE: &str = "node-a";

pub(crate) fn facts() -> Arc<NodeFacts> {
    Arc::new(NodeFacts {
        name: NODE.into(),
        zone: None,
        addresses: ["192.168.1.1", "fd00:1::1"]
            .map(|one| one.parse().unwrap())
            .into(),
        local_detection: LocalDetection::ClusterCidr(vec![
            "10.244.0.0/16".parse().unwrap(),
            "fd00:244::/48".parse().unwrap(),
        ]),
        masquerade_all: false,
        node_port_addresses: NodePortAddresses::All,
        localhost_node_ports: false,
        masquerade_mark: NodeFacts::DEFAULT_MASQUERADE_MARK,
    })
}

/// What a Service is like.
#[derive(Clone, Debug)]
pub(crate) struct Like {
    pub(crate) protocol: Protocol,
    /// Endpoint n is there if bit n is set.
    pub(crate) endpoints: u8,
    pub(crate) has_node_port: bool,
    pub(crate) has_external: bool,
    /// Whether it has a load balancer's address, and whether that is for some sources only.
    pub(crate) balanced: Option<bool>,
    pub(crate) is_local: bool,
    pub(crate) is_sticky: bool,
}

impl Like {
    /// A ClusterIP of TCP.
    pub(crate) const fn plain(endpoints: u8) -> Self {
        Self {
            protocol: Protocol::TCP,
            endpoints,
            has_node_port: false,
            has_external: false,
            balanced: None,
            is_local: false,
            is_sticky: false,
        }
    }
}

fn like() -> impl Strategy<Value = Like> {
    let protocol = proptest::sample::select(vec![
        Protocol::TCP,
        Protocol::TCP,
        Protocol::UDP,
        Protocol::SCTP,
    ]);
    let flags = (
        any::<bool>(),
        any::<bool>(),
        option::of(any::<bool>()),
        any::<bool>(),
    );
    (protocol, 0..8_u8, flags, any::<bool>()).prop_map(|(protocol, endpoints, flags, is_sticky)| {
        let (has_node_port, has_external, balanced, is_local) = flags;
        Like {
            protocol,
            endpoints,
            has_node_port,
            has_external,
            balanced,
            is_local,
            is_sticky,
        }
    })
}

/// Three Services that may be there.
pub(crate) fn clusters() -> impl Strategy<Value = Vec<Option<Like>>> {
    vec(option::weighted(0.7, like()), 3)
}

pub(crate) fn view(services: &[Option<Like>]) -> ClusterView {
    let mut view = ClusterView::default();
    for (number, like) in (1..).zip(services) {
        if let Some(like) = like {
            add(&mut view, number, like);
        }
    }
    view
}

fn add(view: &mut ClusterView, number: u16, like: &Like) {
    let name = ServiceName {
        namespace: "default".into(),
        name: format!("service-{number}").into(),
    };
    let both = |base: [&str; 2]| -> Vec<IpAddr> {
        base.map(|base| format!("{base}{number}").parse().unwrap())
            .into()
    };
    let policy = match like.is_local {
        true => TrafficPolicy::Local,
        false => TrafficPolicy::Cluster,
    };
    let service = ServiceView {
        cluster_ips: both(["10.96.0.", "fd00:96::"]).into(),
        ports: [ServicePortView {
            name: "main".into(),
            protocol: like.protocol,
            port: 80,
            node_port: like.has_node_port.then_some(30_000 + number),
        }]
        .into(),
        external_traffic_policy: policy,
        // One of these is the node's own address.
        external_ips: match like.has_external {
            true => vec![[192, 168, 1, 1 + u8::from(number > 1)].into()],
            false => Vec::new(),
        },
        load_balancer_ips: match like.balanced {
            Some(_) => both(["203.0.113.", "2001:db8::"]),
            None => Vec::new(),
        },
        load_balancer_source_ranges: match like.balanced {
            Some(true) => vec!["198.51.100.0/24".parse().unwrap()],
            _ => Vec::new(),
        },
        affinity_seconds: like.is_sticky.then_some(600),
        ..ServiceView::default()
    };
    view.services.insert(name.clone(), Arc::new(service));
    let slices = [(Family::V4, "10.244.1."), (Family::V6, "fd00:244::")].map(|(family, base)| {
        let there = (0..8).filter(|bit| like.endpoints >> bit & 1 == 1);
        let slice = SliceView {
            family,
            ports: [SlicePortView {
                name: "main".into(),
                protocol: like.protocol,
                port: 8080,
            }]
            .into(),
            endpoints: there
                .map(|bit| endpoint(&format!("{base}{}", number * 10 + bit), bit))
                .collect(),
        };
        (Arc::from(format!("{number}-{family}")), Arc::new(slice))
    });
    view.services.set_slices(name, slices.into_iter().collect());
}

/// The first one is on the node.
fn endpoint(address: &str, number: u16) -> EndpointView {
    let node = if number == 0 { NODE } else { "node-b" };
    EndpointView {
        address: address.parse().unwrap(),
        node: Some(node.into()),
        ready: true,
        serving: true,
        terminating: false,
        hints: Hints::NONE,
        pod: None,
    }
}
