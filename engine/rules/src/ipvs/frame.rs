//! The rules: they look into sets, and are there while the sets hold something.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ipnet::IpNet;
use ruleset::ipvs::ServerKey;
use ruleset::xt::{
    AddressSide, AddressType, ChainName, CtState, Policy, RejectWith, SetMatch, TableName, XtChain,
    XtMatch, XtRule, XtTable, XtTables, XtTarget,
};
use ruleset::{Family, Protocol};

use super::sets::KubeSet;
use crate::iptables::spell::{
    comment, forward_rules, local_destination, mark_rules, not_from, states,
};
use crate::origin::Origins;
use crate::{Capabilities, FrameDecision, Masquerade, RulePlan};

/// Our own chains, by table.
const CHAINS: [(TableName, &[&str]); 2] = [
    (
        TableName::Filter,
        &[
            "KUBE-FORWARD",
            "KUBE-IPVS-FILTER",
            "KUBE-IPVS-OUT-FILTER",
            "KUBE-NODE-PORT",
            "KUBE-PROXY-FIREWALL",
            "KUBE-SOURCE-RANGES-FIREWALL",
        ],
    ),
    (
        TableName::Nat,
        &[
            "KUBE-LOAD-BALANCER",
            "KUBE-MARK-MASQ",
            "KUBE-NODE-PORT",
            "KUBE-POSTROUTING",
            "KUBE-SERVICES",
        ],
    ),
];

/// Built-in chain, our chain, comment, and what it is for; as they stand, which is kube-proxy's list
/// (`iptablesJumpChain`) backwards.
const JUMPS: [(TableName, &str, &str, &str, &str); 9] = {
    use TableName::{Filter, Nat};
    const FIREWALL: &str = "kube-proxy firewall rules";
    const FIREWALL_IS: &str = "load-balancer addresses closed to this source";
    const PORTALS: &str = "kubernetes service portals";
    const PORTALS_ARE: &str = "is it for a Service, and is its source to be hidden?";
    [
        (
            Filter,
            "OUTPUT",
            "KUBE-IPVS-OUT-FILTER",
            "kubernetes ipvs access filter",
            "load balancers that are closed to this node",
        ),
        (
            Filter,
            "INPUT",
            "KUBE-IPVS-FILTER",
            "kubernetes ipvs access filter",
            "is it for a Service's address, and not served?",
        ),
        (
            Filter,
            "INPUT",
            "KUBE-PROXY-FIREWALL",
            FIREWALL,
            FIREWALL_IS,
        ),
        (
            Filter,
            "INPUT",
            "KUBE-NODE-PORT",
            "kubernetes health check rules",
            "health-check ports of Services",
        ),
        (
            Filter,
            "FORWARD",
            "KUBE-PROXY-FIREWALL",
            FIREWALL,
            FIREWALL_IS,
        ),
        (
            Filter,
            "FORWARD",
            "KUBE-FORWARD",
            "kubernetes forwarding rules",
            "may it be forwarded?",
        ),
        (Nat, "PREROUTING", "KUBE-SERVICES", PORTALS, PORTALS_ARE),
        (Nat, "OUTPUT", "KUBE-SERVICES", PORTALS, PORTALS_ARE),
        (
            Nat,
            "POSTROUTING",
            "KUBE-POSTROUTING",
            "kubernetes postrouting rules",
            "does its source have to be hidden?",
        ),
    ]
};

const DST: &[AddressSide] = &[AddressSide::Destination];
const DST_DST: &[AddressSide] = &[AddressSide::Destination, AddressSide::Destination];
const SRC_DST: &[AddressSide] = &[AddressSide::Source, AddressSide::Destination];
const DST_DST_SRC: &[AddressSide] = &[
    AddressSide::Destination,
    AddressSide::Destination,
    AddressSide::Source,
];

/// Whether a proxy in this mode makes a chain of this name in this table.
pub(crate) fn is_own_chain(table: TableName, chain: ChainName) -> bool {
    let of_table = CHAINS.iter().filter(|(of, _)| *of == table);
    let mut names = of_table.flat_map(|(_, names)| *names);
    names.any(|name| *name == chain.as_str())
}

/// Whether a proxy in this mode puts a rule into this built-in chain that leads to this chain.
pub(crate) fn is_own_jump(table: TableName, from: ChainName, to: ChainName) -> bool {
    let mut jumps = JUMPS.iter();
    jumps.any(|jump| (jump.0, jump.1, jump.2) == (table, from.as_str(), to.as_str()))
}

/// What of Services the rules depend on.
#[derive(Clone, Copy)]
pub(super) struct Held<'a> {
    /// The sets that hold something.
    pub(super) filled: &'a BTreeSet<KubeSet>,
    /// Load balancers that the node may not call.
    pub(super) closed: &'a BTreeSet<ServerKey>,
}

/// The rules for a plan, when this is there.
pub(super) fn rules(
    plan: &RulePlan,
    held: Held<'_>,
    capabilities: Capabilities,
    origins: &mut Origins,
) -> XtTables {
    let mut writer = Writer {
        plan,
        filled: held.filled,
        origins,
        chains: BTreeMap::new(),
    };
    for (table, from, to, text, purpose) in JUMPS {
        let rule = XtRule::new(jump(to)).with_match(comment(text));
        let decision = FrameDecision::Visit { chain: to, purpose };
        writer.push(table, from, rule, decision);
    }
    writer.services();
    writer.node_ports();
    writer.cluster_ips();
    writer.external_ips();
    writer.last_of_services();
    writer.firewall();
    writer.output(held.closed);
    writer.input();
    writer.marks(capabilities);
    writer.finish()
}

struct Writer<'a> {
    plan: &'a RulePlan,
    filled: &'a BTreeSet<KubeSet>,
    origins: &'a mut Origins,
    chains: BTreeMap<(TableName, &'static str), Vec<XtRule>>,
}

impl Writer<'_> {
    fn push(
        &mut self,
        table: TableName,
        chain: &'static str,
        rule: XtRule,
        decision: FrameDecision,
    ) {
        let rule = rule.with_origin(self.origins.frame(decision));
        self.chains.entry((table, chain)).or_default().push(rule);
    }

    /// A rule for what is in a set.
    fn push_set(
        &mut self,
        (table, chain): (TableName, &'static str),
        set: KubeSet,
        sides: &[AddressSide],
        target: XtTarget,
        then: &'static str,
    ) {
        if self.filled.contains(&set) {
            let rule = self.for_set(XtRule::new(target), set, sides);
            let set = set.text();
            self.push(table, chain, rule, FrameDecision::InSet { set, then });
        }
    }

    /// The rule, for what is in a set, with the comment that rules about the set have.
    fn for_set(&self, rule: XtRule, set: KubeSet, sides: &[AddressSide]) -> XtRule {
        let remarked = match set.comment() {
            Some(text) => rule.with_match(comment(text)),
            None => rule,
        };
        remarked.with_match(self.in_set(set, sides))
    }

    fn in_set(&self, set: KubeSet, sides: &[AddressSide]) -> XtMatch {
        XtMatch::Set(Box::new(SetMatch {
            negated: false,
            set: set.name(self.plan.family),
            sides: sides.into(),
        }))
    }

    /// What comes from the loopback address is let be, and load balancers look whether to hide the source.
    fn services(&mut self) {
        let loopback = match self.plan.family {
            Family::V4 => "127.0.0.0/8",
            Family::V6 => "::1/128",
        };
        let loopback: IpNet = loopback.parse().expect("a network written in the source");
        let rule = XtRule::new(XtTarget::Return).with_source(loopback, false);
        self.push(
            TableName::Nat,
            "KUBE-SERVICES",
            rule,
            FrameDecision::SkipLoopback,
        );
        let nat = |chain| (TableName::Nat, chain);
        self.push_set(
            nat("KUBE-POSTROUTING"),
            KubeSet::LoopBack,
            DST_DST_SRC,
            XtTarget::Masquerade {
                random_fully: false,
            },
            "an endpoint that calls itself gets the node's address as source",
        );
        self.push_set(
            nat("KUBE-SERVICES"),
            KubeSet::LoadBalancer,
            DST_DST,
            jump("KUBE-LOAD-BALANCER"),
            "its source is hidden, unless the policy is Local",
        );
        self.push_set(
            nat("KUBE-LOAD-BALANCER"),
            KubeSet::LoadBalancerLocal,
            DST_DST,
            XtTarget::Return,
            KEEPS,
        );
    }

    fn node_ports(&mut self) {
        let chain = (TableName::Nat, "KUBE-NODE-PORT");
        for (protocol, local, all, sides) in [
            (
                Protocol::TCP,
                KubeSet::NodePortLocalTcp,
                KubeSet::NodePortTcp,
                DST,
            ),
            (
                Protocol::UDP,
                KubeSet::NodePortLocalUdp,
                KubeSet::NodePortUdp,
                DST,
            ),
            (
                Protocol::SCTP,
                KubeSet::NodePortLocalSctp,
                KubeSet::NodePortSctp,
                DST_DST,
            ),
        ] {
            for (set, target, then) in [
                (local, XtTarget::Return, KEEPS),
                (all, jump("KUBE-MARK-MASQ"), HIDES),
            ] {
                if self.filled.contains(&set) {
                    let rule = XtRule::new(target).with_protocol(protocol);
                    let rule = self.for_set(rule, set, sides);
                    let set = set.text();
                    let decision = FrameDecision::InSet { set, then };
                    self.push(chain.0, chain.1, rule, decision);
                }
            }
        }
    }

    /// PROXY-20
    fn cluster_ips(&mut self) {
        let set = KubeSet::ClusterIp;
        if !self.filled.contains(&set) {
            return;
        }
        let sides = match self.plan.cluster_ip_masquerade {
            Masquerade::Never => SRC_DST,
            Masquerade::Always | Masquerade::UnlessFrom(_) => DST_DST,
        };
        let mut rule = self.for_set(XtRule::new(jump("KUBE-MARK-MASQ")), set, sides);
        let then = match &self.plan.cluster_ip_masquerade {
            Masquerade::UnlessFrom(pods) => {
                rule = not_from(rule, pods);
                "a client that is no Pod gets the node's address as source later"
            }
            Masquerade::Always => HIDES,
            Masquerade::Never => "what comes from such an address gets the node's later",
        };
        let set = set.text();
        let decision = FrameDecision::InSet { set, then };
        self.push(TableName::Nat, "KUBE-SERVICES", rule, decision);
    }

    /// PROXY-31
    fn external_ips(&mut self) {
        let chain = (TableName::Nat, "KUBE-SERVICES");
        let set = KubeSet::ExternalIp;
        self.push_set(chain, set, DST_DST, jump("KUBE-MARK-MASQ"), HIDES);
        for set in [set, KubeSet::ExternalIpLocal] {
            if !self.filled.contains(&set) {
                continue;
            }
            let accept = self.for_set(XtRule::new(XtTarget::Accept), set, DST_DST);
            let from_outside = accept
                .clone()
                .with_match(XtMatch::BridgeIn { negated: true })
                .with_match(XtMatch::AddrType {
                    source: Some((true, AddressType::Local)),
                    destination: None,
                });
            let to_node = accept.with_match(local_destination());
            let set = set.text();
            for rule in [from_outside, to_node] {
                let decision = FrameDecision::InSet { set, then: PASSES };
                self.push(chain.0, chain.1, rule, decision);
            }
        }
    }

    fn last_of_services(&mut self) {
        let node_ports = XtRule::new(jump("KUBE-NODE-PORT")).with_match(local_destination());
        let chain = "KUBE-SERVICES";
        self.push(TableName::Nat, chain, node_ports, FrameDecision::NodePorts);
        let hide = XtRule::new(jump("KUBE-MARK-MASQ"));
        let decision = FrameDecision::Visit {
            chain: "KUBE-MARK-MASQ",
            purpose: HIDES,
        };
        self.push(TableName::Nat, "KUBE-LOAD-BALANCER", hide, decision);
        for set in [KubeSet::ClusterIp, KubeSet::LoadBalancer] {
            if self.filled.contains(&set) {
                let rule = XtRule::new(XtTarget::Accept).with_match(self.in_set(set, DST_DST));
                let set = set.text();
                let decision = FrameDecision::InSet { set, then: PASSES };
                self.push(TableName::Nat, chain, rule, decision);
            }
        }
    }

    /// PROXY-30
    fn firewall(&mut self) {
        let filter = |chain| (TableName::Filter, chain);
        let ranges = "KUBE-SOURCE-RANGES-FIREWALL";
        self.push_set(
            filter("KUBE-PROXY-FIREWALL"),
            KubeSet::LoadBalancerFirewall,
            DST_DST,
            jump(ranges),
            "who connects is let in by the source only",
        );
        for set in [
            KubeSet::LoadBalancerSourceCidr,
            KubeSet::LoadBalancerSourceIp,
        ] {
            let then = "this source is let in";
            self.push_set(filter(ranges), set, DST_DST_SRC, XtTarget::Return, then);
        }
        let drop = XtRule::new(XtTarget::Drop);
        self.push(TableName::Filter, ranges, drop, FrameDecision::DropSource);
    }

    /// A process of the node that calls such a load balancer has its address as source, for it is the node's own.
    ///
    /// Deviation: processes of a node have the node's address as source here, so that no packet matches.
    fn output(&mut self, closed: &BTreeSet<ServerKey>) {
        for server in closed {
            let rule = XtRule::new(XtTarget::Drop)
                .with_source(IpNet::from(server.address.ip()), false)
                .with_match(XtMatch::Ipvs(Box::new(*server)));
            let chain = "KUBE-IPVS-OUT-FILTER";
            self.push(TableName::Filter, chain, rule, FrameDecision::DropSource);
        }
    }

    /// What is for a Service's address goes to its virtual server, or is refused (PROXY-16, PROXY-17).
    ///
    /// Deviation (unverified): kube-proxy before 1.29 has no exception for external IPs of policy Local.
    fn input(&mut self) {
        let health = self.for_set(XtRule::new(XtTarget::Accept), KubeSet::HealthCheck, DST);
        let decision = FrameDecision::InSet {
            set: KubeSet::HealthCheck.text(),
            then: "load balancers may ask for the health of a Service",
        };
        self.push(TableName::Filter, "KUBE-NODE-PORT", health, decision);
        for (set, sides) in [
            (KubeSet::LoadBalancer, DST_DST),
            (KubeSet::ClusterIp, DST_DST),
            (KubeSet::ExternalIp, DST_DST),
            (KubeSet::ExternalIpLocal, DST_DST),
            (KubeSet::HealthCheck, DST),
        ] {
            let rule = XtRule::new(XtTarget::Return).with_match(self.in_set(set, sides));
            let set = set.text();
            let decision = FrameDecision::InSet { set, then: PASSES };
            self.push(TableName::Filter, "KUBE-IPVS-FILTER", rule, decision);
        }
        let refuse = XtRule::new(XtTarget::Reject(RejectWith::PortUnreachable))
            .with_match(states(&[CtState::New]))
            .with_match(self.in_set(KubeSet::IpvsIps, DST));
        self.push(
            TableName::Filter,
            "KUBE-IPVS-FILTER",
            refuse,
            FrameDecision::RefuseUnserved,
        );
        for (rule, decision) in forward_rules(self.plan.masquerade_mark) {
            self.push(TableName::Filter, "KUBE-FORWARD", rule, decision);
        }
    }

    fn marks(&mut self, capabilities: Capabilities) {
        for (chain, rule, decision) in mark_rules(self.plan.masquerade_mark, capabilities) {
            self.push(TableName::Nat, chain, rule, decision);
        }
    }

    fn finish(mut self) -> XtTables {
        let mut tables = XtTables::new(self.plan.family);
        for (table, own) in CHAINS {
            let built_in = table.built_in_chains().iter().map(|name| (*name, true));
            let all = built_in.chain(own.iter().map(|name| (*name, false)));
            let chains = all.map(|(name, is_built_in)| {
                let chain = XtChain {
                    policy: is_built_in.then_some(Policy::Accept),
                    rules: self.chains.remove(&(table, name)).unwrap_or_default(),
                };
                (ChainName::literal(name), Arc::new(chain))
            });
            let chains = chains.collect();
            tables.tables.insert(table, XtTable { chains });
        }
        tables
    }
}

const HIDES: &str = "whoever connects gets the node's address as source later";
const KEEPS: &str = "the policy is Local: the client keeps its address";
const PASSES: &str = "it goes on to its virtual server";

fn jump(chain: &'static str) -> XtTarget {
    XtTarget::Jump(ChainName::literal(chain))
}
