//! Our own compiler and evaluator as a data plane, and clusters written by hand.
#![allow(dead_code, reason = "each test file uses a part of it")]
#![allow(unreachable_pub, reason = "shared by test crates")]

pub mod objects;

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use api::{Change, IpFamily, Node, WatchEvent};
use base::SimTime;
use netfilter::{
    DropReason, Hop, Ingress, NoTrace, NodeState, NodeTables, Packet, Routing, Verdict, eval,
    explore,
};
use proxy::ViewBuilder;
use rules::{Capabilities, ClusterView, Compiler, LocalDetection, NodeFacts};
use ruleset::Family;
use ruleset::xt::{ChainName, TableName, XtTables};
use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{
    IpProtocol, IpRepr, TcpControl, TcpPacket, TcpRepr, TcpSeqNumber, UdpPacket, UdpRepr,
};
use switchboard_conformance::{Cluster, DataPlane, FirstPacket, Outcome, ProxyMode, Share, Source};

/// A rule's place on a node.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    pub node: String,
    pub family: Family,
    pub table: TableName,
    pub chain: ChainName,
    pub index: usize,
}

/// The compiled iptables rules of every node, evaluated by `netfilter`. One rule may be missing.
#[derive(Default)]
pub struct XtPlane {
    missing: Option<Place>,
    wanted: Option<(ClusterView, Vec<NodeFacts>)>,
    nodes: BTreeMap<String, Programmed>,
}

struct Programmed {
    addresses: Vec<IpAddr>,
    owned: Vec<Arc<XtTables>>,
    tables: NodeTables,
}

impl XtPlane {
    /// A plane that has lost one rule.
    pub fn without(place: Place) -> Self {
        Self {
            missing: Some(place),
            ..Self::default()
        }
    }

    /// The tables of every node.
    pub fn tables(&self) -> impl Iterator<Item = (&String, &Arc<XtTables>)> {
        self.nodes
            .iter()
            .flat_map(|(name, node)| node.owned.iter().map(move |one| (name, one)))
    }

    fn program(
        &self,
        compiler: &mut Compiler,
        view: &ClusterView,
        facts: &NodeFacts,
    ) -> Programmed {
        let compiled = compiler.iptables(view, facts).tables.into_values();
        let damaged = compiled.map(|mut tables| {
            let lost = self
                .missing
                .as_ref()
                .filter(|place| *place.node == *facts.name && place.family == tables.family);
            if let Some(place) = lost {
                remove(Arc::make_mut(&mut tables), place);
            }
            tables
        });
        let owned: Vec<_> = damaged.collect();
        let tables = NodeTables::new(&owned).expect("the compiler leaves no dangling jump");
        Programmed {
            addresses: facts.addresses.clone(),
            owned,
            tables,
        }
    }
}

fn remove(tables: &mut XtTables, place: &Place) {
    let table = tables
        .tables
        .get_mut(&place.table)
        .expect("the place was read from these tables");
    let chain = table
        .chains
        .get_mut(&place.chain)
        .expect("the place was read from these tables");
    Arc::make_mut(chain).rules.remove(place.index);
}

impl DataPlane for XtPlane {
    fn mode(&self) -> ProxyMode {
        ProxyMode::Iptables
    }

    fn apply(&mut self, cluster: &Cluster) {
        let mut builder = ViewBuilder::new(cluster.service_cidrs.clone().into());
        for (revision, object) in (1..).zip(cluster.all_objects()) {
            builder.observe(&WatchEvent {
                revision,
                at: SimTime::ZERO,
                change: Change::Added,
                object,
            });
        }
        let facts = cluster
            .nodes
            .iter()
            .map(|node| facts(node, cluster))
            .collect();
        self.wanted = Some((builder.view().clone(), facts));
    }

    fn settle(&mut self) {
        let Some((view, facts)) = self.wanted.take() else {
            return;
        };
        let mut compiler = Compiler::new(Capabilities::ALL);
        let programmed = facts.iter().map(|facts| {
            (
                facts.name.to_string(),
                self.program(&mut compiler, &view, facts),
            )
        });
        self.nodes = programmed.collect();
    }

    fn probe(&mut self, packet: &FirstPacket) -> Vec<(Share, Outcome)> {
        let node = &self.nodes[&packet.node];
        let ingress = match packet.source {
            Source::Pod(_) => Ingress::Interface("veth0"),
            Source::Outside(_) => Ingress::Interface("eth0"),
            Source::Node(_) => Ingress::Local,
        };
        let client = SocketAddr::new(packet.source.address(), 40_000);
        let outcomes = explore(|chooser| {
            let state = NodeState::new();
            let bytes = first(packet, client);
            let at = SimTime::ZERO;
            let evaluation = eval(
                &node.tables,
                &state,
                node,
                bytes,
                ingress,
                at,
                chooser,
                &mut NoTrace,
            );
            outcome(&evaluation.verdict, client, packet.destination)
        });
        let share = |ratio: netfilter::Ratio| {
            Share::new(ratio.numerator(), ratio.denominator()).expect("ratios are shares")
        };
        outcomes
            .into_iter()
            .map(|(ratio, outcome)| (share(ratio), outcome))
            .collect()
    }
}

fn outcome(verdict: &Verdict, client: SocketAddr, destination: SocketAddr) -> Outcome {
    match verdict {
        Verdict::Deliver(packet) | Verdict::Forward { packet, .. } => {
            let tuple = packet.tuple().expect("TCP and UDP have flows");
            let address = tuple.destination_socket();
            if address == destination {
                return Outcome::Untouched;
            }
            Outcome::Endpoint {
                address,
                source_nat: tuple.source() != client.ip(),
            }
        }
        Verdict::Reject { .. } => Outcome::Reject,
        Verdict::Drop(DropReason::Rule(_)) => Outcome::Drop,
        Verdict::Drop(reason) => panic!("the network lost it: {reason}"),
    }
}

fn facts(node: &Node, cluster: &Cluster) -> NodeFacts {
    NodeFacts {
        name: node.metadata.name.as_str().into(),
        zone: node.zone().map(Arc::from),
        addresses: node.internal_addresses().collect(),
        local_detection: LocalDetection::ClusterCidr(cluster.proxy.cluster_cidrs.clone()),
        masquerade_all: cluster.proxy.masquerade_all,
        masquerade_mark: NodeFacts::DEFAULT_MASQUERADE_MARK,
    }
}

/// Everything that is not the node itself is behind one interface.
impl Routing for Programmed {
    fn is_local(&self, address: IpAddr) -> bool {
        self.addresses.contains(&address)
    }

    fn route(&self, destination: IpAddr) -> Option<Hop> {
        let family = IpFamily::of(destination);
        let mut own = self.addresses.iter().copied();
        let source_address = own.find(|address| IpFamily::of(*address) == family)?;
        Some(Hop {
            interface: "eth0".into(),
            source_address,
        })
    }
}

fn first(packet: &FirstPacket, client: SocketAddr) -> Packet {
    match packet.protocol {
        api::Protocol::Tcp => syn(client, packet.destination),
        api::Protocol::Udp => datagram(client, packet.destination),
        api::Protocol::Sctp => panic!("no cluster here has SCTP"),
    }
}

fn syn(from: SocketAddr, to: SocketAddr) -> Packet {
    let repr = TcpRepr {
        src_port: from.port(),
        dst_port: to.port(),
        control: TcpControl::Syn,
        seq_number: TcpSeqNumber(1000),
        ack_number: None,
        window_len: 4096,
        window_scale: None,
        max_seg_size: None,
        sack_permitted: false,
        sack_ranges: [None; 3],
        timestamp: None,
        payload: b"",
    };
    around(from, to, IpProtocol::Tcp, repr.buffer_len(), |bytes| {
        let mut packet = TcpPacket::new_unchecked(bytes);
        let (from, to) = (from.ip().into(), to.ip().into());
        repr.emit(&mut packet, &from, &to, &ChecksumCapabilities::default());
    })
}

fn datagram(from: SocketAddr, to: SocketAddr) -> Packet {
    let repr = UdpRepr {
        src_port: from.port(),
        dst_port: to.port(),
    };
    let payload = b"question";
    around(
        from,
        to,
        IpProtocol::Udp,
        repr.header_len() + payload.len(),
        |bytes| {
            let mut packet = UdpPacket::new_unchecked(bytes);
            let (from, to) = (from.ip().into(), to.ip().into());
            let fill = |target: &mut [u8]| target.copy_from_slice(payload);
            let checksums = ChecksumCapabilities::default();
            repr.emit(&mut packet, &from, &to, payload.len(), fill, &checksums);
        },
    )
}

fn around(
    from: SocketAddr,
    to: SocketAddr,
    protocol: IpProtocol,
    length: usize,
    fill: impl FnOnce(&mut [u8]),
) -> Packet {
    let header = IpRepr::new(from.ip().into(), to.ip().into(), protocol, length, 64);
    let mut bytes = vec![0; header.buffer_len()];
    header.emit(&mut bytes[..], &ChecksumCapabilities::default());
    fill(&mut bytes[header.header_len()..]);
    Packet::new(bytes)
}
