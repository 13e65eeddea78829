//! Our own compiler and evaluator as a data plane, and clusters written by hand.
#![allow(dead_code, reason = "each test file uses a part of it")]
#![allow(unreachable_pub, reason = "shared by test crates")]

pub mod objects;
pub mod shown;
mod wire;

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use api::{Change, IpFamily, Node, WatchEvent};
use base::{Seed, SimTime};
use netfilter::{
    Chooser, DropReason, Evaluation, Hop, Ingress, InterfaceName, NoTrace, NodeState, NodeTables,
    Packet, Recorder, Routing, SeededChooser, Verdict, eval, explore,
};
use proxy::ViewBuilder;
use rules::{Capabilities, ClusterView, Compiler, NodeFacts};
use ruleset::Family;
use ruleset::xt::{ChainName, TableName, XtTables, XtTransaction};
use switchboard_conformance::{
    Cluster, DataPlane, FirstPacket, LocalDetection, NodePortAddresses, Outcome, PacketKind,
    ProxyMode, RememberingPlane, Share, Source,
};

/// A rule's place on a node.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    pub node: String,
    pub family: Family,
    pub table: TableName,
    pub chain: ChainName,
    pub index: usize,
}

/// How rules are laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// kube-proxy's, of iptables.
    Iptables,
    /// kube-proxy's, of nftables.
    Nftables,
    /// Our own, of nftables.
    Flat,
    /// kube-proxy's, of IPVS.
    Ipvs,
}

impl Layout {
    /// The mode whose answers it gives.
    pub const fn mode(self) -> ProxyMode {
        match self {
            Self::Iptables => ProxyMode::Iptables,
            Self::Nftables | Self::Flat => ProxyMode::Nftables,
            Self::Ipvs => ProxyMode::Ipvs,
        }
    }
}

/// The layouts that are compiled and evaluated.
pub const LAYOUTS: [Layout; 4] = [
    Layout::Iptables,
    Layout::Nftables,
    Layout::Flat,
    Layout::Ipvs,
];

/// The compiled rules of every node in one layout, evaluated by `netfilter`. One rule may be missing.
pub struct LayoutPlane {
    layout: Layout,
    missing: Option<Place>,
    wanted: Option<(ClusterView, Vec<NodeFacts>)>,
    nodes: BTreeMap<String, Programmed>,
    connections: u16,
}

struct Programmed {
    state: NodeState,
    addresses: Vec<IpAddr>,
    owned: Vec<Arc<XtTables>>,
    tables: NodeTables,
    /// The same without any short cut.
    plain: NodeTables,
}

impl LayoutPlane {
    /// A plane whose rules are of this layout.
    pub fn new(layout: Layout) -> Self {
        Self {
            layout,
            missing: None,
            wanted: None,
            nodes: BTreeMap::new(),
            connections: 0,
        }
    }

    /// An iptables plane that has lost one rule.
    pub fn without(place: Place) -> Self {
        Self {
            missing: Some(place),
            ..Self::new(Layout::Iptables)
        }
    }

    /// The iptables tables of every node.
    pub fn tables(&self) -> impl Iterator<Item = (&String, &Arc<XtTables>)> {
        self.nodes
            .iter()
            .flat_map(|(name, node)| node.owned.iter().map(move |one| (name, one)))
    }

    /// The moments in which every node, on its way to the rules of another plane, has so many units of its transaction
    /// behind it, for both families alike.
    pub fn moments_before(&self, other: &Self) -> Vec<Self> {
        let mut moments = Vec::new();
        for units in 1.. {
            let nodes: BTreeMap<String, Programmed> = other
                .nodes
                .iter()
                .map(|(name, after)| {
                    let before = &self.nodes[name].owned;
                    let owned = before.iter().zip(&after.owned);
                    let owned = owned.map(|(before, after)| some_units(before, after, units));
                    let owned: Vec<_> = owned.collect();
                    let tables = NodeTables::new(&owned).expect("every moment has whole tables");
                    let programmed = Programmed {
                        state: NodeState::new(),
                        addresses: after.addresses.clone(),
                        plain: tables.clone().plain_scan(),
                        owned,
                        tables,
                    };
                    (name.clone(), programmed)
                })
                .collect();
            let arrived = |(name, node): (&String, &Programmed)| {
                let wanted = other.nodes[name].owned.iter();
                node.owned.iter().zip(wanted).all(|(a, b)| a == b)
            };
            if nodes.iter().all(arrived) {
                break;
            }
            moments.push(Self {
                nodes,
                ..Self::new(self.layout)
            });
        }
        moments
    }

    fn program(
        &self,
        compiler: &mut Compiler,
        view: &ClusterView,
        facts: &NodeFacts,
    ) -> Programmed {
        let (owned, tables) = match self.layout {
            Layout::Iptables => {
                let owned = self.iptables(compiler, view, facts);
                let tables = NodeTables::new(&owned);
                (owned, tables)
            }
            Layout::Nftables => {
                let tables = NodeTables::new([compiler.nftables(view, facts).tables]);
                (Vec::new(), tables)
            }
            Layout::Flat => {
                let tables = NodeTables::new([compiler.flat(view, facts).tables]);
                (Vec::new(), tables)
            }
            Layout::Ipvs => {
                let tables = NodeTables::new(compiler.ipvs(view, facts).tables.values());
                (Vec::new(), tables)
            }
        };
        let tables = tables.expect("the compiler leaves no dangling jump");
        Programmed {
            state: NodeState::new(),
            addresses: facts.addresses.clone(),
            owned,
            plain: tables.clone().plain_scan(),
            tables,
        }
    }

    /// Sends a datagram from a port of the client's and, if it arrives at an endpoint, its answer.
    pub fn exchange(&mut self, packet: &FirstPacket, port: u16) -> Outcome {
        let outcome = self.send(packet, port, Duration::ZERO);
        if let Outcome::Endpoint { address, .. } = outcome {
            let client = SocketAddr::new(packet.source.address(), port);
            let node = self.node_mut(packet);
            let answer = wire::datagram(address, client);
            let from = Ingress::Interface(POD_INTERFACE);
            let mut chooser = SeededChooser(Seed::new(1).split("answer"));
            let at = SimTime::ZERO;
            let evaluation = node.evaluate(&node.state, answer, from, at, &mut chooser);
            node.state.commit(evaluation.effects);
        }
        outcome
    }

    /// Sends a packet from a port of the client's; the node remembers it.
    fn send(&mut self, packet: &FirstPacket, port: u16, at: Duration) -> Outcome {
        let seed = Seed::new(u64::from(self.connections));
        let node = self.node_mut(packet);
        let client = SocketAddr::new(packet.source.address(), port);
        let mut chooser = SeededChooser(seed.split("connect"));
        let at = SimTime::ZERO + at;
        let bytes = wire::first(packet, client);
        let evaluation =
            node.evaluate(&node.state, bytes, ingress(packet.source), at, &mut chooser);
        node.state.commit(evaluation.effects);
        outcome(&evaluation.verdict, client, packet)
    }

    fn node_mut(&mut self, packet: &FirstPacket) -> &mut Programmed {
        self.nodes
            .get_mut(&packet.node)
            .expect("packets are for nodes of the cluster")
    }

    fn iptables(
        &self,
        compiler: &mut Compiler,
        view: &ClusterView,
        facts: &NodeFacts,
    ) -> Vec<Arc<XtTables>> {
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
        damaged.collect()
    }
}

/// Tables with the first units of what makes them others.
fn some_units(before: &Arc<XtTables>, after: &Arc<XtTables>, units: usize) -> Arc<XtTables> {
    let transaction = XtTransaction::between(before, after);
    let first = transaction.units.iter().take(units);
    let applied = first.fold((**before).clone(), |tables, unit| {
        let applied = tables.apply(unit);
        applied.expect("what is between two tables applies")
    });
    Arc::new(applied)
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

impl DataPlane for LayoutPlane {
    fn mode(&self) -> ProxyMode {
        self.layout.mode()
    }

    fn apply(&mut self, cluster: &Cluster) {
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
        let facts = cluster
            .nodes
            .iter()
            .map(|node| facts(node, cluster, self.mode()))
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
        let client = SocketAddr::new(packet.source.address(), 40_000);
        let outcomes = explore(|chooser| {
            let state = NodeState::new();
            let at = SimTime::ZERO;
            let bytes = wire::first(packet, client);
            let evaluation = node.evaluate(&state, bytes, ingress(packet.source), at, chooser);
            outcome(&evaluation.verdict, client, packet)
        });
        let outcomes = outcomes.expect("a generated Service has few endpoints");
        let share = |ratio: netfilter::Ratio| {
            Share::new(ratio.numerator(), ratio.denominator()).expect("ratios are shares")
        };
        outcomes
            .into_iter()
            .map(|(ratio, outcome)| (share(ratio), outcome))
            .collect()
    }
}

impl RememberingPlane for LayoutPlane {
    fn change(&mut self, cluster: &Cluster) {
        let memories: BTreeMap<String, NodeState> = std::mem::take(&mut self.nodes)
            .into_iter()
            .map(|(name, node)| (name, node.state))
            .collect();
        self.apply(cluster);
        self.settle();
        for (name, state) in memories {
            if let Some(node) = self.nodes.get_mut(&name) {
                node.state = state;
            }
        }
    }

    fn connect(&mut self, packet: &FirstPacket, at: Duration) -> Outcome {
        self.connections += 1;
        self.send(packet, 40_000 + self.connections, at)
    }
}

impl Programmed {
    /// Evaluates a packet. Every evaluation of these tests is also one of the evaluator's short cuts: they answer as a
    /// plain scan does that is watched.
    fn evaluate(
        &self,
        state: &NodeState,
        bytes: Packet,
        ingress: Ingress<'_>,
        at: SimTime,
        chooser: &mut (impl Chooser + Clone),
    ) -> Evaluation {
        let (mut same, again) = (chooser.clone(), bytes.clone());
        let (plain, recorder) = (&self.plain, &mut Recorder::new());
        let slow = eval(plain, state, self, again, ingress, at, &mut same, recorder);
        let tables = &self.tables;
        let quick = eval(
            tables,
            state,
            self,
            bytes,
            ingress,
            at,
            chooser,
            &mut NoTrace,
        );
        assert_eq!(quick, slow, "{recorder:#?}");
        quick
    }
}

const fn ingress(source: Source) -> Ingress<'static> {
    match source {
        Source::Pod(_) => Ingress::Interface(POD_INTERFACE),
        Source::RemotePod(_) | Source::Outside(_) => Ingress::Interface("eth0"),
        Source::Node(_) => Ingress::Local,
    }
}

fn outcome(verdict: &Verdict, client: SocketAddr, first: &FirstPacket) -> Outcome {
    match verdict {
        Verdict::Deliver(packet) | Verdict::Forward { packet, .. } => {
            let tuple = packet.tuple().expect("what is sent here has a flow");
            let address = match first.kind {
                PacketKind::Open(_) => tuple.destination_socket(),
                PacketKind::Ping => SocketAddr::new(tuple.destination(), first.destination.port()),
            };
            if address == first.destination {
                return Outcome::Untouched;
            }
            Outcome::Endpoint {
                address,
                source_nat: tuple.source() != client.ip(),
            }
        }
        Verdict::Reject { .. } => Outcome::Reject,
        // The addresses of Services are the node's own in IPVS mode: nobody else may send from them.
        Verdict::Drop(DropReason::Rule(_) | DropReason::Martian) => Outcome::Drop,
        Verdict::Drop(reason) => panic!("the network lost it: {reason}"),
        Verdict::Unknown(doubt) => panic!("no dump was read: {}", doubt.question),
    }
}

/// Where the packets of a node's Pods arrive.
const POD_INTERFACE: &str = "veth0";

fn facts(node: &Node, cluster: &Cluster, mode: ProxyMode) -> NodeFacts {
    let proxy = &cluster.proxy;
    NodeFacts {
        name: node.metadata.name.as_str().into(),
        zone: node.zone().map(Arc::from),
        addresses: node.internal_addresses().collect(),
        local_detection: match &proxy.local_detection {
            LocalDetection::ClusterCidr(ranges) => {
                rules::LocalDetection::ClusterCidr(ranges.clone())
            }
            LocalDetection::NodeCidr => rules::LocalDetection::NodeCidr(node.pod_ranges()),
            LocalDetection::BridgeInterface => {
                rules::LocalDetection::BridgeInterface(POD_INTERFACE.into())
            }
            LocalDetection::InterfaceNamePrefix => {
                rules::LocalDetection::InterfaceNamePrefix("veth".into())
            }
        },
        masquerade_all: proxy.masquerade_all,
        node_port_addresses: match (&proxy.node_port_addresses, mode) {
            (NodePortAddresses::Default, ProxyMode::Iptables | ProxyMode::Ipvs) => {
                rules::NodePortAddresses::All
            }
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
            interface: InterfaceName::literal("eth0"),
            source_address,
        })
    }

    /// Else no packet that is forwarded could take the short way.
    fn has_narrow_ways(&self) -> bool {
        false
    }
}
