//! Compiled clusters, in the kernel and in the evaluator: every packet that tells whether a node serves them.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use api::{Change, Node, WatchEvent};
use base::SimTime;
use conformance::{
    Cluster, FirstPacket, LocalDetection, NodePortAddresses, PacketKind, Source, clusters, packets,
};
use ipnet::IpNet;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use proxy::ViewBuilder;
use rules::{ClusterView, NodeFacts};
use ruleset::Protocol;

use crate::backend::Backend;
use crate::lab::{Fate, Lab, on_every_backend};
use crate::packets::{destination, first, ping};
use crate::site::ADDRESSES;
use crate::{node, view};

/// Generated clusters per backend, and the packets of each that are sent.
const CLUSTERS: u32 = 24;
const PACKETS: usize = 100;

#[test]
fn generated() {
    on_every_backend("clusters::generated", |lab| {
        let seen = RefCell::new(BTreeSet::new());
        let config = Config {
            cases: CLUSTERS,
            max_shrink_iters: 50,
            failure_persistence: None,
            ..Config::default()
        };
        let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
        let lab = RefCell::new(lab);
        let judged = TestRunner::new_with_rng(config, rng).run(&clusters(), |cluster| {
            seen.borrow_mut()
                .extend(follow(&mut lab.borrow_mut(), &cluster));
            Ok(())
        });
        judged.unwrap_or_else(|failure| panic!("{failure}"));
        let expected = Happening::ALL.into_iter().collect();
        assert_eq!(
            seen.into_inner(),
            expected,
            "too few clusters or packets to tell"
        );
    });
}

/// What must have happened at least once for a run to say something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Happening {
    Untouched,
    Translated,
    TranslatedAtNodePort,
    TranslatedAtExternalAddress,
    Delivered,
    Refused,
    Dropped,
}

impl Happening {
    const ALL: [Self; 7] = [
        Self::Untouched,
        Self::Translated,
        Self::TranslatedAtNodePort,
        Self::TranslatedAtExternalAddress,
        Self::Delivered,
        Self::Refused,
        Self::Dropped,
    ];

    fn of(packet: &FirstPacket, fate: &Fate) -> Self {
        match fate {
            Fate::Forwarded((_, sent)) if destination(sent) == packet.destination.ip() => {
                Self::Untouched
            }
            Fate::Forwarded(_) => Self::translated(packet.destination.ip()),
            Fate::Delivered(_) => Self::Delivered,
            Fate::Refused(_) => Self::Refused,
            Fate::Dropped => Self::Dropped,
        }
    }

    fn translated(address: IpAddr) -> Self {
        let external = ["203.0.113.0/24", "2001:db8::/32"];
        let mut external = external
            .map(|net| net.parse::<IpNet>().unwrap())
            .into_iter();
        let mut own = ADDRESSES.iter().map(|own| own.parse::<IpAddr>().unwrap());
        if own.any(|own| own == address) {
            Self::TranslatedAtNodePort
        } else if external.any(|net| net.contains(&address)) {
            Self::TranslatedAtExternalAddress
        } else {
            Self::Translated
        }
    }
}

/// Sends the packets of a cluster. Its first node is the node of the tests: it has the same addresses.
fn follow(lab: &mut Lab, cluster: &Cluster) -> BTreeSet<Happening> {
    let here = &cluster.nodes[0];
    let addresses: Vec<IpAddr> = here.internal_addresses().collect();
    assert_eq!(
        addresses,
        ADDRESSES.map(|text| text.parse::<IpAddr>().unwrap())
    );
    let owned = lab
        .backend
        .compile(&cluster_view(cluster), &facts(here, cluster, lab.backend));
    lab.load(owned);
    let all = packets(cluster);
    let here = all
        .iter()
        .filter(|packet| packet.node == here.metadata.name && is_sent(packet));
    let some = here.clone().step_by(here.count().div_ceil(PACKETS).max(1));
    some.map(|packet| Happening::of(packet, &send(lab, packet)))
        .collect()
}

/// Rules are loaded for everything, but not everything is sent. No SCTP, as that takes associations and their
/// checksums on both ends; nothing from loopback addresses, as those need `route_localnet`, which `Routing` has
/// not; and no pings of the node's own processes, as those take raw sockets.
fn is_sent(packet: &FirstPacket) -> bool {
    let by_node = matches!(packet.source, Source::Node(_));
    match packet.kind {
        PacketKind::Open(api::Protocol::Sctp) => false,
        PacketKind::Open(_) => !packet.source.address().is_loopback(),
        PacketKind::Ping => !by_node,
    }
}

fn send(lab: &mut Lab, packet: &FirstPacket) -> Fate {
    let from = packet.source.address();
    let protocol = match packet.kind {
        PacketKind::Open(api::Protocol::Tcp) => Protocol::TCP,
        PacketKind::Open(api::Protocol::Udp) => Protocol::UDP,
        PacketKind::Open(api::Protocol::Sctp) => panic!("no SCTP is sent"),
        PacketKind::Ping => {
            let to = packet.destination.ip();
            return lab.converse(&ping(&from.to_string(), &to.to_string()));
        }
    };
    match packet.source {
        Source::Node(_) => lab.node_sends(protocol, packet.destination),
        Source::Pod(_) | Source::RemotePod(_) | Source::Outside(_) => {
            // Twice: with affinity the second one goes where the first one went, without it may (PROXY-32).
            let [_, fate] = [(); 2].map(|()| {
                let from = lab.fresh_socket(from);
                lab.converse(&first(protocol, from, packet.destination))
            });
            fate
        }
    }
}

pub(crate) fn cluster_view(cluster: &Cluster) -> ClusterView {
    let mut builder = ViewBuilder::new(cluster.service_cidrs.clone().into());
    for (revision, object) in (1..).zip(cluster.all_objects()) {
        builder.observe(&WatchEvent {
            revision,
            at: SimTime::ZERO,
            change: Change::Added,
            object,
            previous: None,
        });
    }
    builder.view().clone()
}

pub(crate) fn facts(node: &Node, cluster: &Cluster, backend: Backend) -> NodeFacts {
    let proxy = &cluster.proxy;
    NodeFacts {
        name: node.metadata.name.as_str().into(),
        zone: node.zone().map(Into::into),
        addresses: node.internal_addresses().collect(),
        local_detection: match &proxy.local_detection {
            LocalDetection::ClusterCidr(ranges) => {
                rules::LocalDetection::ClusterCidr(ranges.clone())
            }
            LocalDetection::NodeCidr => rules::LocalDetection::NodeCidr(node.pod_ranges()),
            // Not a bridge, but all that counts is its name.
            LocalDetection::BridgeInterface => {
                rules::LocalDetection::BridgeInterface("veth2".into())
            }
            LocalDetection::InterfaceNamePrefix => {
                rules::LocalDetection::InterfaceNamePrefix("veth".into())
            }
        },
        masquerade_all: proxy.masquerade_all,
        node_port_addresses: match (&proxy.node_port_addresses, backend) {
            (NodePortAddresses::Default, Backend::Iptables(_)) => rules::NodePortAddresses::All,
            (NodePortAddresses::Default | NodePortAddresses::Primary, _) => {
                rules::NodePortAddresses::Primary
            }
            (NodePortAddresses::Within(ranges), _) => {
                rules::NodePortAddresses::Within(ranges.clone())
            }
        },
        localhost_node_ports: proxy.localhost_node_ports,
        masquerade_mark: NodeFacts::DEFAULT_MASQUERADE_MARK,
    }
}

/// Who asks whom, and who answers (PROXY-14, PROXY-20, PROXY-23). Endpoints are 10.244.1.1 … .3 and their twins.
#[test]
fn by_hand() {
    const ROWS: [(&str, &str, &[&str]); 9] = [
        (
            "10.244.1.4",
            "10.96.0.40:80",
            &[
                "veth2: 10.244.1.4 > 10.244.1.2:8080",
                "veth3: 10.244.1.4 > 10.244.1.3:8080",
                "veth9: 10.244.1.4 > 10.244.1.1:8080",
            ],
        ),
        (
            "10.244.1.2",
            "10.96.0.40:80",
            &[
                "veth2: 192.168.10.1 > 10.244.1.2:8080",
                "veth3: 10.244.1.2 > 10.244.1.3:8080",
                "veth9: 10.244.1.2 > 10.244.1.1:8080",
            ],
        ),
        (
            "203.0.113.70",
            "10.96.0.40:80",
            &[
                "veth2: 192.168.10.1 > 10.244.1.2:8080",
                "veth3: 192.168.10.1 > 10.244.1.3:8080",
                "veth9: 192.168.10.1 > 10.244.1.1:8080",
            ],
        ),
        (
            "node",
            "10.96.0.40:80",
            &[
                "veth2: 192.168.10.1 > 10.244.1.2:8080",
                "veth3: 192.168.10.1 > 10.244.1.3:8080",
                "veth9: 192.168.10.1 > 10.244.1.1:8080",
            ],
        ),
        (
            "10.244.1.4",
            "10.96.0.41:80",
            &["icmp 3/3 from 192.168.10.1"],
        ),
        ("node", "10.96.0.41:80", &["icmp 3/3 from 192.168.10.1"]),
        (
            "10.244.1.4",
            "10.96.0.40:81",
            &["eth0: 10.244.1.4 > 10.96.0.40:81"],
        ),
        (
            "fd00:10:244:1::4",
            "[fd00:10:96::40]:80",
            &[
                "veth2: fd00:10:244:1::4 > [fd00:10:244:1::2]:8080",
                "veth3: fd00:10:244:1::4 > [fd00:10:244:1::3]:8080",
                "veth9: fd00:10:244:1::4 > [fd00:10:244:1::1]:8080",
            ],
        ),
        (
            "node",
            "[fd00:10:96::41]:80",
            &["icmp 1/4 from fd00:192:168::1"],
        ),
    ];
    on_every_backend("clusters::by_hand", |lab| {
        let owned = lab.backend.compile(&view(3), &node());
        lab.load(owned);
        for (from, to, expected) in ROWS {
            // PROXY-16
            let expected = match (lab.backend, to) {
                (Backend::Nftables | Backend::Flat, "10.96.0.40:81") => {
                    &["icmp 3/3 from 192.168.10.1"]
                }
                _ => expected,
            };
            let to = to.parse().unwrap();
            let mut seen = BTreeMap::<String, u32>::new();
            // One run in 10^10 misses one of three in sixty.
            let tries = if expected.len() == 1 { 3 } else { 60 };
            for _ in 0..tries {
                let fate = match from.parse() {
                    Ok(address) => {
                        let from = lab.fresh_socket(address);
                        lab.converse(&first(Protocol::TCP, from, to))
                    }
                    Err(_) => lab.node_sends(Protocol::TCP, to),
                };
                *seen.entry(fate.to_string()).or_default() += 1;
            }
            let fates: Vec<&str> = seen.keys().map(String::as_str).collect();
            assert_eq!(fates, expected, "{from} to {to}");
        }
    });
}
