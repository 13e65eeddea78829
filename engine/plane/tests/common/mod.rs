//! A small cluster for the tests of this crate, with echo servers and clients as its applications.
//!
//! Nodes a and b stand in zone-1, c in zone-2; `laptop` is outside. Every host but `laptop` listens at port 80
//! (TCP) and 53 (UDP) and echoes.
#![allow(dead_code, reason = "every test file uses another part of it")]

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use base::{Seed, SimTime};
use ipnet::IpNet;
use netfilter::NodeTables;
use ruleset::xt::{
    AddressMatch, ChainName, Policy, PortRange, Probability, RejectWith, TableName, XtChain,
    XtMatch, XtRule, XtTables, XtTarget,
};
use ruleset::{Family, OriginId, Protocol};
use switchboard_plane::{
    Blind, DecisionAction, HostId, HostSpec, Impairment, LinkEnd, LinkError, LostReason, NodeId,
    NodeSpec, OutsideSpec, Plane, PlaneConfig, PlaneEvent, SocketError, SocketId, TableSource,
};

pub(crate) struct Tables {
    by_node: BTreeMap<NodeId, Arc<NodeTables>>,
    none: Arc<NodeTables>,
}

impl TableSource for Tables {
    fn tables(&mut self, node: NodeId) -> Arc<NodeTables> {
        Arc::clone(self.by_node.get(&node).unwrap_or(&self.none))
    }
}

pub(crate) struct Lab {
    pub(crate) plane: Plane,
    pub(crate) tables: Tables,
    pub(crate) nodes: [NodeId; 3],
    pub(crate) log: Vec<(SimTime, PlaneEvent)>,
    /// Whether the plane runs by [`Plane::run_until`] instead of by [`Plane::step`].
    pub(crate) in_strides: bool,
    /// Sockets of clients that wait for an echo and close when they have it.
    clients: BTreeSet<SocketId>,
    /// Sockets of clients that do nothing of their own accord.
    held: BTreeSet<SocketId>,
}

impl Lab {
    pub(crate) fn new() -> Self {
        Self::seeded(7)
    }

    pub(crate) fn seeded(seed: u64) -> Self {
        Self::configured(PlaneConfig::with_seed(Seed::new(seed)))
    }

    /// A network that differs from the usual one in its configuration.
    pub(crate) fn configured(config: PlaneConfig) -> Self {
        let mut plane = Plane::new(config);
        plane.log_decisions(true);
        let nodes = [("a", "zone-1", 1), ("b", "zone-1", 2), ("c", "zone-2", 3)]
            .map(|(name, zone, number)| add_node(&mut plane, name, zone, number));
        plane.add_outside(OutsideSpec {
            name: "laptop".into(),
            addresses: addresses(&["203.0.113.70"]),
            routes: Vec::new(),
        });
        let none = Arc::new(NodeTables::empty());
        let mut lab = Self {
            plane,
            tables: Tables {
                by_node: BTreeMap::new(),
                none,
            },
            nodes,
            log: Vec::new(),
            in_strides: false,
            clients: BTreeSet::new(),
            held: BTreeSet::new(),
        };
        for (index, node) in nodes.into_iter().enumerate() {
            lab.serve(lab.plane.node_host(node));
            for number in 2..5 {
                lab.add_pod(node, ["a", "b", "c"][index], index + 1, number);
            }
        }
        lab
    }

    /// One more node, `node-<name>`, with a process that serves and three Pods, `pod-<name>2` and on.
    pub(crate) fn add_node(&mut self, name: &str, zone: &str, number: usize) -> NodeId {
        let node = add_node(&mut self.plane, name, zone, number);
        self.serve(self.plane.node_host(node));
        for pod in 2..5 {
            self.add_pod(node, name, number, pod);
        }
        node
    }

    fn add_pod(&mut self, node: NodeId, name: &str, range: usize, number: usize) {
        let pod = self.plane.add_pod(HostSpec {
            name: format!("pod-{name}{number}"),
            node,
            addresses: addresses(&[
                &format!("10.244.{range}.{number}"),
                &format!("fd00:244:{range}::{number}"),
            ]),
        });
        self.serve(pod);
    }

    fn serve(&mut self, host: HostId) {
        self.plane.listen(host, Protocol::TCP, 80).unwrap();
        self.plane.listen(host, Protocol::UDP, 53).unwrap();
    }

    pub(crate) fn host(&self, name: &str) -> HostId {
        self.plane.host_by_name(name).unwrap()
    }

    pub(crate) fn set_tables(&mut self, node: usize, tables: XtTables) {
        self.set_tables_of(self.nodes[node], tables);
    }

    pub(crate) fn set_tables_of(&mut self, node: NodeId, tables: XtTables) {
        let tables = NodeTables::new(&[Arc::new(tables)]).unwrap();
        self.tables.by_node.insert(node, Arc::new(tables));
    }

    /// Impairs the link between two places; `zone-…` and `node-…` are such, anything else is a host.
    pub(crate) fn impair(
        &mut self,
        a: &str,
        b: &str,
        impairment: Impairment,
    ) -> Result<(), LinkError> {
        self.set_link(a, b, Some(impairment))
    }

    pub(crate) fn mend(&mut self, a: &str, b: &str) {
        self.set_link(a, b, None).unwrap();
    }

    fn set_link(
        &mut self,
        a: &str,
        b: &str,
        impairment: Option<Impairment>,
    ) -> Result<(), LinkError> {
        let [a, b] = [a, b].map(|name| match self.plane.node_by_name(name) {
            Some(node) => LinkEnd::Node(node),
            None if name.starts_with("zone-") => LinkEnd::Zone(name),
            None => LinkEnd::Host(self.host(name)),
        });
        self.plane.impair(a, b, impairment)
    }

    /// When the datagrams that a host's server took arrived.
    pub(crate) fn datagrams_at(&self, host: HostId) -> Vec<SimTime> {
        let taken = |(at, event): &(SimTime, PlaneEvent)| match event {
            PlaneEvent::Data { socket, from, .. } if socket.host() == host => from.map(|_| *at),
            _ => None,
        };
        self.log.iter().filter_map(taken).collect()
    }

    /// One connection that sends "hello", waits for the echo and closes.
    pub(crate) fn connect(&mut self, from: HostId, to: &str) -> SocketId {
        let socket = self.plane.connect(from, to.parse().unwrap());
        self.clients.insert(socket);
        socket
    }

    /// A connection on which the test itself sends.
    pub(crate) fn hold(&mut self, from: &str, to: &str) -> SocketId {
        let socket = self.plane.connect(self.host(from), to.parse().unwrap());
        self.held.insert(socket);
        socket
    }

    /// All that a connection has received, in order.
    pub(crate) fn received(&self, socket: SocketId) -> Vec<u8> {
        let bytes = |event: &PlaneEvent| match event {
            PlaneEvent::Data { bytes, .. } => bytes.clone(),
            _ => Vec::new(),
        };
        let events = self.events_of(socket).into_iter();
        events.flat_map(bytes).collect()
    }

    /// Runs until nothing is due before `limit`, then lets time pass to there.
    pub(crate) fn run_until(&mut self, limit: Duration) {
        let limit = SimTime::ZERO + limit;
        while self.plane.next_event_at().is_some_and(|at| at <= limit) {
            for event in self.advance(limit) {
                self.react(&event);
                self.log.push((self.plane.now(), event));
            }
        }
        self.plane.advance_clock(limit);
    }

    fn advance(&mut self, limit: SimTime) -> Vec<PlaneEvent> {
        if !self.in_strides {
            return self.plane.step(&mut self.tables);
        }
        let mut events = Vec::new();
        self.plane
            .run_until(limit, &mut self.tables, &mut Blind, &mut events);
        let next = self.plane.next_event_at();
        assert!(!events.is_empty() || next.is_none_or(|next| next > limit));
        events
    }

    pub(crate) fn run(&mut self) {
        self.run_until(Duration::from_secs(10_000));
        assert_eq!(
            self.plane.next_event_at(),
            None,
            "the network comes to rest"
        );
    }

    fn react(&mut self, event: &PlaneEvent) {
        match event {
            PlaneEvent::Connected { socket }
            | PlaneEvent::Data { socket, .. }
            | PlaneEvent::PeerClosed { socket }
                if self.held.contains(socket) => {}
            PlaneEvent::Connected { socket } => self.plane.send(*socket, b"hello").unwrap(),
            PlaneEvent::Data { socket, .. } if self.clients.contains(socket) => {
                self.plane.close(*socket);
            }
            PlaneEvent::Data {
                socket,
                bytes,
                from: None,
            } => {
                self.plane.send(*socket, bytes).unwrap();
            }
            PlaneEvent::Data {
                socket,
                bytes,
                from: Some(peer),
            } if self.plane.peer_address(*socket).is_none() => {
                self.plane.send_to(*socket, *peer, bytes).unwrap();
            }
            PlaneEvent::PeerClosed { socket } => self.plane.close(*socket),
            _ => {}
        }
    }

    pub(crate) fn events_of(&self, wanted: SocketId) -> Vec<&PlaneEvent> {
        let concerns = |event: &&PlaneEvent| match event {
            PlaneEvent::Connected { socket }
            | PlaneEvent::Accepted { socket, .. }
            | PlaneEvent::Data { socket, .. }
            | PlaneEvent::PeerClosed { socket }
            | PlaneEvent::Closed { socket }
            | PlaneEvent::Failed { socket, .. }
            | PlaneEvent::Echoed { socket, .. }
            | PlaneEvent::EchoFailed { socket, .. } => *socket == wanted,
            PlaneEvent::Exchanged { .. }
            | PlaneEvent::Decision { .. }
            | PlaneEvent::Lost { .. } => false,
        };
        self.log
            .iter()
            .map(|(_, event)| event)
            .filter(concerns)
            .collect()
    }

    pub(crate) fn error_of(&self, socket: SocketId) -> Option<SocketError> {
        self.events_of(socket)
            .into_iter()
            .find_map(|event| match event {
                PlaneEvent::Failed { error, .. } => Some(*error),
                _ => None,
            })
    }

    pub(crate) fn losses(&self) -> Vec<LostReason> {
        let lost = |(_, event): &(SimTime, PlaneEvent)| match event {
            PlaneEvent::Lost { reason, .. } => Some(reason.clone()),
            _ => None,
        };
        self.log.iter().filter_map(lost).collect()
    }

    /// Host, local and peer address of every accepted connection.
    pub(crate) fn accepted(&self) -> Vec<(HostId, SocketAddr, SocketAddr)> {
        let accepted = |(_, event): &(SimTime, PlaneEvent)| match event {
            PlaneEvent::Accepted {
                host, local, peer, ..
            } => Some((*host, *local, *peer)),
            _ => None,
        };
        self.log.iter().filter_map(accepted).collect()
    }

    pub(crate) fn decisions(&self) -> Vec<(NodeId, DecisionAction, usize)> {
        let decision = |(_, event): &(SimTime, PlaneEvent)| match event {
            PlaneEvent::Decision {
                node,
                action,
                rules,
                ..
            } => Some((*node, action.clone(), rules.len())),
            _ => None,
        };
        self.log.iter().filter_map(decision).collect()
    }

    /// Asserts that a host has no socket but its server at UDP port 53.
    pub(crate) fn check_nothing_left(&self, host: HostId) {
        assert_eq!(
            self.plane.socket_count(host),
            1,
            "{:?}",
            self.plane.host_name(host)
        );
    }

    /// Asserts that a connection was made, echoed and ended in order on both sides.
    pub(crate) fn check_exchange(&self, socket: SocketId) {
        let kinds = self.events_of(socket);
        let [
            PlaneEvent::Connected { .. },
            PlaneEvent::Data {
                bytes, from: None, ..
            },
            PlaneEvent::PeerClosed { .. },
            PlaneEvent::Closed { .. },
        ] = kinds[..]
        else {
            panic!("not a whole exchange: {kinds:?}\nall: {:#?}", self.log);
        };
        assert_eq!(bytes, b"hello");
    }
}

fn add_node(plane: &mut Plane, name: &str, zone: &str, number: usize) -> NodeId {
    plane.add_node(NodeSpec {
        name: format!("node-{name}"),
        zone: zone.into(),
        addresses: addresses(&[
            &format!("192.168.1.{number}"),
            &format!("fd00:192::{number}"),
        ]),
        pod_cidrs: vec![
            format!("10.244.{number}.0/24").parse().unwrap(),
            format!("fd00:244:{number}::/64").parse().unwrap(),
        ],
    })
}

fn addresses(texts: &[&str]) -> Vec<IpAddr> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

/// The ClusterIP of [`service`].
pub(crate) const VIP: &str = "10.96.0.40";

/// Rejects every ping to an address, as `cluster-ips-check` of nftables mode does (PROXY-17).
pub(crate) fn reject_pings(vip: &str) -> XtTables {
    let mut tables = XtTables::new(Family::of(vip.parse().unwrap()));
    let mut rule = XtRule::new(XtTarget::Reject(RejectWith::PortUnreachable));
    rule.destination = Some(AddressMatch {
        negated: false,
        net: IpNet::from(vip.parse::<IpAddr>().unwrap()),
    });
    for hook in ["FORWARD", "OUTPUT"] {
        let (table, rules) = (TableName::Filter, vec![rule.clone()]);
        add(&mut tables, table, hook, Some(Policy::Accept), rules);
    }
    tables
}

/// One Service in kube-proxy's layout: ClusterIP and port 80 lead to the endpoints; what does not come from a
/// Pod, and a Pod that reaches itself, is masqueraded. Without endpoints it rejects.
pub(crate) fn service(vip: &str, endpoints: &[&str]) -> XtTables {
    service_over(Protocol::TCP, vip, endpoints)
}

pub(crate) fn service_over(protocol: Protocol, vip: &str, endpoints: &[&str]) -> XtTables {
    let family = Family::of(vip.parse().unwrap());
    let pods = if family == Family::V4 {
        "10.244.0.0/16"
    } else {
        "fd00:244::/32"
    };
    let mut tables = XtTables::new(family);
    if endpoints.is_empty() {
        let reject = to_vip(protocol, vip, XtTarget::Reject(RejectWith::PortUnreachable));
        for hook in ["FORWARD", "OUTPUT"] {
            add(
                &mut tables,
                TableName::Filter,
                hook,
                Some(Policy::Accept),
                vec![reject.clone()],
            );
        }
        return tables;
    }
    let services = vec![XtRule::new(jump("KUBE-SERVICES"))];
    for hook in ["PREROUTING", "OUTPUT"] {
        add(
            &mut tables,
            TableName::Nat,
            hook,
            Some(Policy::Accept),
            services.clone(),
        );
    }
    let masquerade = vec![XtRule::new(jump("KUBE-POSTROUTING"))];
    add(
        &mut tables,
        TableName::Nat,
        "POSTROUTING",
        Some(Policy::Accept),
        masquerade,
    );
    add(
        &mut tables,
        TableName::Nat,
        "KUBE-SERVICES",
        None,
        vec![to_vip(protocol, vip, jump("KUBE-SVC"))],
    );
    let mut unmarked = XtRule::new(XtTarget::Return);
    unmarked.matches.push(XtMatch::Mark {
        negated: true,
        value: 0x4000,
        mask: 0x4000,
    });
    let postrouting = vec![
        unmarked,
        XtRule::new(XtTarget::Masquerade { random_fully: true }),
    ];
    add(
        &mut tables,
        TableName::Nat,
        "KUBE-POSTROUTING",
        None,
        postrouting,
    );
    let mark = XtTarget::SetXmark {
        value: 0x4000,
        mask: 0x4000,
    };
    add(
        &mut tables,
        TableName::Nat,
        "KUBE-MARK-MASQ",
        None,
        vec![XtRule::new(mark)],
    );

    let mut from_outside = XtRule::new(jump("KUBE-MARK-MASQ"));
    from_outside.source = Some(AddressMatch {
        negated: true,
        net: pods.parse().unwrap(),
    });
    let mut choose = vec![from_outside];
    for (index, endpoint) in endpoints.iter().enumerate() {
        let chain = format!("KUBE-SEP-{index}");
        let target = XtTarget::Jump(ChainName::new(&chain).unwrap());
        let mut rule = XtRule::new(target);
        let rest = u32::try_from(endpoints.len() - index).unwrap();
        if rest > 1 {
            rule.matches
                .push(XtMatch::Random(Probability::one_in(rest)));
        }
        rule.origin = Some(OriginId(1));
        choose.push(rule);
        let endpoint: SocketAddr = endpoint.parse().unwrap();
        let mut hairpin = XtRule::new(jump("KUBE-MARK-MASQ"));
        hairpin.source = Some(AddressMatch {
            negated: false,
            net: IpNet::from(endpoint.ip()),
        });
        let mut dnat = XtRule::new(XtTarget::Dnat {
            to: endpoint.into(),
        });
        dnat.protocol = Some((false, protocol));
        dnat.origin = Some(OriginId(2));
        add(
            &mut tables,
            TableName::Nat,
            &chain,
            None,
            vec![hairpin, dnat],
        );
    }
    add(&mut tables, TableName::Nat, "KUBE-SVC", None, choose);
    tables
}

fn jump(chain: &str) -> XtTarget {
    XtTarget::Jump(ChainName::new(chain).unwrap())
}

fn to_vip(protocol: Protocol, vip: &str, target: XtTarget) -> XtRule {
    let mut rule = XtRule::new(target);
    rule.destination = Some(AddressMatch {
        negated: false,
        net: IpNet::from(vip.parse::<IpAddr>().unwrap()),
    });
    rule.protocol = Some((false, protocol));
    rule.matches.push(XtMatch::Ports {
        protocol,
        source: None,
        destination: Some(PortRange::one(80)),
    });
    rule.origin = Some(OriginId(0));
    rule
}

fn add(
    tables: &mut XtTables,
    table: TableName,
    chain: &str,
    policy: Option<Policy>,
    rules: Vec<XtRule>,
) {
    tables.tables.entry(table).or_default().chains.insert(
        ChainName::new(chain).unwrap(),
        Arc::new(XtChain { policy, rules }),
    );
}
