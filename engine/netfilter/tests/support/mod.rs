//! A node, its tables in the shape kube-proxy gives them, and packets to send through it.
#![allow(dead_code, reason = "each test file uses a part of it")]
#![allow(unreachable_pub, reason = "shared by test crates")]

pub mod wire;

use std::net::IpAddr;
use std::sync::Arc;

use base::{Seed, SimTime};
use ruleset::xt::{
    AddressMatch, ChainName, CtState, CtStates, PortRange, Probability, RejectWith, TableName,
    XtChain, XtMatch, XtRule, XtTables, XtTarget,
};
use ruleset::{Family, Protocol};
use switchboard_netfilter::{
    Evaluation, Hop, Ingress, InterfaceName, NoTrace, NodeState, NodeTables, Packet, Routing,
    SeededChooser, Verdict, eval,
};

pub const CLIENT: &str = "10.244.1.5";
pub const VIP: &str = "10.96.0.40";
pub const NODE: &str = "192.168.1.1";
pub const ENDPOINTS: [&str; 3] = ["10.244.1.10", "10.244.2.11", "10.244.3.12"];

pub fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// Pods of 10.244.1.0/24 (and fd00:1::/64) are here, behind `pod-<address>`; everything else is behind `eth0`,
/// but for 198.51.100.0/24, which is nowhere.
pub struct TestNode;

impl Routing for TestNode {
    fn is_local(&self, address: IpAddr) -> bool {
        address == ip(NODE) || address == ip("fd00::1")
    }

    fn route(&self, destination: IpAddr) -> Option<Hop> {
        let text = destination.to_string();
        if text.starts_with("198.51.100.") {
            return None;
        }
        let here = text.starts_with("10.244.1.") || text.starts_with("fd00:1:");
        let interface = if here {
            format!("pod-{text}")
        } else {
            "eth0".to_owned()
        };
        Some(Hop {
            interface: InterfaceName::new(&interface[..interface.len().min(15)])
                .expect("it was cut"),
            source_address: match Family::of(destination) {
                Family::V4 => ip(NODE),
                Family::V6 => ip("fd00::1"),
            },
        })
    }

    fn has_narrow_ways(&self) -> bool {
        false
    }
}

/// Collects chains.
pub struct TablesBuilder(XtTables);

impl TablesBuilder {
    pub fn new(family: Family) -> Self {
        Self(XtTables::new(family))
    }

    /// Appends a rule to a chain, which it makes if need be.
    pub fn rule(mut self, table: TableName, chain: &str, rule: XtRule) -> Self {
        let name = ChainName::new(chain).unwrap();
        let chains = &mut self.0.tables.entry(table).or_default().chains;
        let chain = chains.entry(name).or_default();
        Arc::make_mut(chain).rules.push(rule);
        self
    }

    /// Makes an empty chain.
    pub fn chain(mut self, table: TableName, chain: &str) -> Self {
        let chains = &mut self.0.tables.entry(table).or_default().chains;
        chains.insert(ChainName::new(chain).unwrap(), Arc::new(XtChain::default()));
        self
    }

    pub fn build(self) -> NodeTables {
        NodeTables::new(&[Arc::new(self.0)]).unwrap()
    }

    pub fn into_inner(self) -> XtTables {
        self.0
    }
}

pub fn jump(chain: &str) -> XtTarget {
    XtTarget::Jump(ChainName::new(chain).unwrap())
}

pub fn net(text: &str, negated: bool) -> Option<AddressMatch> {
    Some(AddressMatch {
        negated,
        net: text.parse().unwrap(),
    })
}

pub fn with(target: XtTarget, matches: Vec<XtMatch>) -> XtRule {
    XtRule {
        matches: matches.into(),
        ..XtRule::new(target)
    }
}

pub fn ct_state(states: &[CtState]) -> XtMatch {
    XtMatch::CtState {
        negated: false,
        states: CtStates::of(states),
    }
}

pub fn marked(negated: bool) -> XtMatch {
    XtMatch::Mark {
        negated,
        value: 0x4000,
        mask: 0x4000,
    }
}

/// `-d address -p protocol -m protocol --dport port -j target`
pub fn to_port(address: &str, protocol: Protocol, port: u16, target: XtTarget) -> XtRule {
    let bits = Family::of(ip(address)).address_bits();
    XtRule {
        destination: net(&format!("{address}/{bits}"), false),
        protocol: Some((false, protocol)),
        matches: [XtMatch::Ports {
            protocol,
            source: None,
            destination: Some(PortRange::one(port)),
        }]
        .into_iter()
        .collect(),
        ..XtRule::new(target)
    }
}

/// What kube-proxy writes before any Service (proxy.md 6a; recorded/rules/00-empty).
pub fn frame(family: Family) -> TablesBuilder {
    use TableName::Filter;
    nat_frame(family)
        .chain(Filter, "KUBE-SERVICES")
        .rule(Filter, "FORWARD", XtRule::new(jump("KUBE-FORWARD")))
        .rule(
            Filter,
            "FORWARD",
            with(jump("KUBE-SERVICES"), vec![ct_state(&[CtState::New])]),
        )
        .rule(
            Filter,
            "OUTPUT",
            with(jump("KUBE-SERVICES"), vec![ct_state(&[CtState::New])]),
        )
        .rule(
            Filter,
            "KUBE-FORWARD",
            with(XtTarget::Drop, vec![ct_state(&[CtState::Invalid])]),
        )
        .rule(
            Filter,
            "KUBE-FORWARD",
            with(XtTarget::Accept, vec![marked(false)]),
        )
        .rule(
            Filter,
            "KUBE-FORWARD",
            with(
                XtTarget::Accept,
                vec![ct_state(&[CtState::Related, CtState::Established])],
            ),
        )
}

/// The part of it that translates.
pub fn nat_frame(family: Family) -> TablesBuilder {
    use TableName::Nat;
    let mark = |mask| XtTarget::SetXmark {
        value: 0x4000,
        mask,
    };
    TablesBuilder::new(family)
        .chain(Nat, "KUBE-SERVICES")
        .rule(Nat, "PREROUTING", XtRule::new(jump("KUBE-SERVICES")))
        .rule(Nat, "OUTPUT", XtRule::new(jump("KUBE-SERVICES")))
        .rule(Nat, "POSTROUTING", XtRule::new(jump("KUBE-POSTROUTING")))
        .rule(Nat, "KUBE-MARK-MASQ", XtRule::new(mark(0x4000)))
        .rule(
            Nat,
            "KUBE-POSTROUTING",
            with(XtTarget::Return, vec![marked(true)]),
        )
        .rule(Nat, "KUBE-POSTROUTING", XtRule::new(mark(0)))
        .rule(
            Nat,
            "KUBE-POSTROUTING",
            XtRule::new(XtTarget::Masquerade { random_fully: true }),
        )
}

/// Adds a ClusterIP Service with port 80 → 8080 (PROXY-39 … -44), in `nat`.
pub fn service(
    builder: TablesBuilder,
    vip: &str,
    protocol: Protocol,
    local: &str,
    endpoints: &[&str],
) -> TablesBuilder {
    use TableName::Nat;
    let bits = Family::of(ip(vip)).address_bits();
    let mut outside = to_port(vip, protocol, 80, jump("KUBE-MARK-MASQ"));
    outside.source = net(local, true);
    let mut builder = builder
        .rule(
            Nat,
            "KUBE-SERVICES",
            to_port(vip, protocol, 80, jump("KUBE-SVC-WEB")),
        )
        .rule(Nat, "KUBE-SVC-WEB", outside);
    for (index, endpoint) in endpoints.iter().enumerate() {
        let chain = format!("KUBE-SEP-{index}");
        let left = endpoints.len() - index;
        let matches = match left {
            1 => vec![],
            _ => vec![XtMatch::Random(Probability::one_in(
                left.try_into().unwrap(),
            ))],
        };
        let mut hairpin = XtRule::new(jump("KUBE-MARK-MASQ"));
        hairpin.source = net(&format!("{endpoint}/{bits}"), false);
        let mut translate = XtRule::new(XtTarget::Dnat {
            to: std::net::SocketAddr::new(ip(endpoint), 8080).into(),
        });
        translate.protocol = Some((false, protocol));
        builder = builder
            .rule(Nat, "KUBE-SVC-WEB", with(jump(&chain), matches))
            .rule(Nat, &chain, hairpin)
            .rule(Nat, &chain, translate);
    }
    builder
}

/// The usual tables: one Service, TCP 80 → 8080, these endpoints.
pub fn web(endpoints: &[&str]) -> NodeTables {
    web_builder(Protocol::TCP, endpoints).build()
}

pub fn web_builder(protocol: Protocol, endpoints: &[&str]) -> TablesBuilder {
    service(frame(Family::V4), VIP, protocol, "10.244.0.0/16", endpoints)
}

/// Tables that refuse the VIP, as for a Service without endpoints (PROXY-14).
pub fn refusing(with: RejectWith) -> NodeTables {
    let reject = to_port(VIP, Protocol::TCP, 80, XtTarget::Reject(with));
    frame(Family::V4)
        .rule(TableName::Filter, "KUBE-SERVICES", reject)
        .build()
}

/// A node on which packets follow each other.
pub struct Walk {
    pub tables: NodeTables,
    pub state: NodeState,
    pub now: SimTime,
    pub chooser: SeededChooser,
}

impl Walk {
    pub fn new(tables: NodeTables) -> Self {
        Self {
            tables,
            state: NodeState::new(),
            now: SimTime::ZERO,
            chooser: SeededChooser(Seed::new(7).split("chooser")),
        }
    }

    /// Evaluates and commits; whatever comes out has right checksums.
    pub fn send(&mut self, packet: Packet, ingress: Ingress<'_>) -> Verdict {
        let Evaluation {
            verdict, effects, ..
        } = self.probe(packet, ingress);
        self.state.commit(effects);
        verdict
    }

    /// Evaluates only.
    pub fn probe(&mut self, packet: Packet, ingress: Ingress<'_>) -> Evaluation {
        let evaluation = eval(
            &self.tables,
            &self.state,
            &TestNode,
            packet,
            ingress,
            self.now,
            &mut self.chooser,
            &mut NoTrace,
        );
        match &evaluation.verdict {
            Verdict::Deliver(packet)
            | Verdict::Forward { packet, .. }
            | Verdict::Reject { reply: packet, .. } => wire::assert_checksums(packet),
            Verdict::Drop(_) | Verdict::Unknown(_) => {}
        }
        evaluation
    }

    pub fn arrives(&mut self, packet: Packet) -> Verdict {
        self.send(packet, Ingress::Interface("eth1"))
    }

    /// The packet that leaves, and where.
    #[track_caller]
    pub fn forwards(&mut self, packet: Packet) -> (Packet, String) {
        match self.arrives(packet) {
            Verdict::Forward { packet, interface } => (packet, interface.to_string()),
            other => panic!("not forwarded: {other:?}"),
        }
    }

    pub fn listing(&self) -> Vec<String> {
        self.state
            .entries(self.now)
            .map(|entry| entry.listing(self.now).to_string())
            .collect()
    }
}

/// What a packet's flow reads as.
pub fn shown(packet: &Packet) -> String {
    packet.tuple().expect("a flow").to_string()
}
