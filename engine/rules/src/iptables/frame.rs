//! The rules that a node has whatever its Services are: jumps, marks, forwarding (PROXY-33 … -36, -67).

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use ipnet::IpNet;
use ruleset::Family;
use ruleset::xt::{
    ChainName, CtState, CtStates, Policy, TableName, XtChain, XtMatch, XtRule, XtTarget,
};

use super::names::is_of_service_port;
use super::spell::{comment, forward_rules, host, local_destination, mark_rules, states};
use crate::origin::Origins;
use crate::{Capabilities, FrameDecision, NodePortDestinations, NodePortPlan, RulePlan};

/// A built-in chain's rule that leads to one of ours.
struct Jump {
    table: TableName,
    from: &'static str,
    to: &'static str,
    /// Only packets that start a connection (PROXY-18).
    new_only: bool,
    comment: Option<&'static str>,
    purpose: &'static str,
}

/// In the order in which they stand in their chains. kube-proxy puts each in front of what is there, so this is
/// its list (`iptablesJumpChains`) backwards.
const JUMPS: [Jump; 14] = {
    const fn filter(
        from: &'static str,
        to: &'static str,
        new_only: bool,
        comment: Option<&'static str>,
        purpose: &'static str,
    ) -> Jump {
        Jump {
            table: TableName::Filter,
            from,
            to,
            new_only,
            comment,
            purpose,
        }
    }
    const fn nat(
        from: &'static str,
        to: &'static str,
        comment: &'static str,
        purpose: &'static str,
    ) -> Jump {
        Jump {
            table: TableName::Nat,
            from,
            to,
            new_only: false,
            comment: Some(comment),
            purpose,
        }
    }
    const LB: Option<&str> = Some("kubernetes load balancer firewall");
    const LB_IS: &str = "load-balancer addresses closed to this source";
    const PORTALS: &str = "kubernetes service portals";
    const EXTERNAL: Option<&str> = Some("kubernetes externally-visible service portals");
    const EXTERNAL_IS: &str = "external addresses of Services that cannot be served";
    const CLUSTER_IS: &str = "ClusterIPs of Services that cannot be served";
    const FIREWALL_IS: &str = "packets that no node should take";
    const SERVICES_IS: &str = "is it for a Service?";
    [
        filter("INPUT", "KUBE-FIREWALL", false, None, FIREWALL_IS),
        filter("INPUT", "KUBE-PROXY-FIREWALL", true, LB, LB_IS),
        filter(
            "INPUT",
            "KUBE-NODEPORTS",
            false,
            Some("kubernetes health check service ports"),
            "health-check ports of Services",
        ),
        filter(
            "INPUT",
            "KUBE-EXTERNAL-SERVICES",
            true,
            EXTERNAL,
            EXTERNAL_IS,
        ),
        filter("FORWARD", "KUBE-PROXY-FIREWALL", true, LB, LB_IS),
        filter(
            "FORWARD",
            "KUBE-FORWARD",
            false,
            Some("kubernetes forwarding rules"),
            "may it be forwarded?",
        ),
        filter("FORWARD", "KUBE-SERVICES", true, Some(PORTALS), CLUSTER_IS),
        filter(
            "FORWARD",
            "KUBE-EXTERNAL-SERVICES",
            true,
            EXTERNAL,
            EXTERNAL_IS,
        ),
        filter("OUTPUT", "KUBE-FIREWALL", false, None, FIREWALL_IS),
        filter("OUTPUT", "KUBE-PROXY-FIREWALL", true, LB, LB_IS),
        filter("OUTPUT", "KUBE-SERVICES", true, Some(PORTALS), CLUSTER_IS),
        nat("PREROUTING", "KUBE-SERVICES", PORTALS, SERVICES_IS),
        nat("OUTPUT", "KUBE-SERVICES", PORTALS, SERVICES_IS),
        nat(
            "POSTROUTING",
            "KUBE-POSTROUTING",
            "kubernetes postrouting rules",
            "does its source have to be hidden?",
        ),
    ]
};

/// Chains that exist even when they are empty, by table.
const CHAINS: [(TableName, &[&str]); 3] = [
    (TableName::Mangle, &["KUBE-PROXY-CANARY"]),
    (
        TableName::Filter,
        &[
            "KUBE-EXTERNAL-SERVICES",
            "KUBE-FIREWALL",
            "KUBE-FORWARD",
            "KUBE-NODEPORTS",
            "KUBE-PROXY-CANARY",
            "KUBE-PROXY-FIREWALL",
            "KUBE-SERVICES",
        ],
    ),
    (
        TableName::Nat,
        &[
            "KUBE-MARK-MASQ",
            "KUBE-NODEPORTS",
            "KUBE-POSTROUTING",
            "KUBE-PROXY-CANARY",
            "KUBE-SERVICES",
        ],
    ),
];

/// The chain of table `filter` that kube-proxy shares with the kubelet: both make it, and neither takes it away.
pub const SHARED_CHAIN: &str = "KUBE-FIREWALL";

/// Whether a proxy in this mode makes a chain of this name in this table, and nobody else does: one that is always there,
/// or one of a service port.
pub(crate) fn is_own_chain(table: TableName, chain: ChainName) -> bool {
    let of_table = CHAINS.iter().filter(|(of, _)| *of == table);
    let mut fixed = of_table.flat_map(|(_, names)| *names);
    let is_fixed = fixed.any(|name| *name == chain.as_str());
    let is_own = is_fixed && chain.as_str() != SHARED_CHAIN;
    is_own || table == TableName::Nat && is_of_service_port(chain)
}

/// Whether a proxy in this mode puts a rule into this built-in chain that leads to this chain.
pub(crate) fn is_own_jump(table: TableName, from: ChainName, to: ChainName) -> bool {
    JUMPS.iter().any(|jump| {
        (jump.table, jump.from, jump.to) == (table, from.as_str(), to.as_str())
            && jump.to != SHARED_CHAIN
    })
}

/// The frame's chains, without what service ports add to them.
pub(super) struct Frame {
    family: Family,
    pub(super) chains: BTreeMap<TableName, BTreeMap<ChainName, XtChain>>,
}

impl Frame {
    pub(super) fn new(plan: &RulePlan, capabilities: Capabilities, origins: &mut Origins) -> Self {
        let mut frame = Self {
            family: plan.family,
            chains: empty_chains(),
        };
        let mut writer = Writer {
            frame: &mut frame,
            origins,
            mark: plan.masquerade_mark,
        };
        writer.jumps();
        writer.firewall(plan);
        writer.forward(capabilities);
        writer.marks(capabilities);
        writer.node_ports(&plan.node_ports);
        frame
    }

    fn chain(&mut self, table: TableName, chain: &'static str) -> &mut XtChain {
        self.chains
            .get_mut(&table)
            .and_then(|chains| chains.get_mut(&ChainName::literal(chain)))
            .expect("the frame writes to chains that it lists")
    }
}

fn empty_chains() -> BTreeMap<TableName, BTreeMap<ChainName, XtChain>> {
    let with_policy = |policy: Option<Policy>| {
        move |name: &&'static str| {
            let chain = XtChain {
                policy,
                rules: Vec::new(),
            };
            (ChainName::literal(name), chain)
        }
    };
    CHAINS
        .iter()
        .map(|(table, chains)| {
            let built_in = table
                .built_in_chains()
                .iter()
                .map(with_policy(Some(Policy::Accept)));
            let all = built_in.chain(chains.iter().map(with_policy(None)));
            (*table, all.collect())
        })
        .collect()
}

/// Fills the frame's chains.
struct Writer<'a> {
    frame: &'a mut Frame,
    origins: &'a mut Origins,
    mark: u32,
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
        self.frame.chain(table, chain).rules.push(rule);
    }

    fn jumps(&mut self) {
        for jump in &JUMPS {
            let mut rule = XtRule::new(XtTarget::Jump(ChainName::literal(jump.to)));
            if jump.new_only {
                rule = rule.with_match(states(&[CtState::New]));
            }
            if let Some(text) = jump.comment {
                rule = rule.with_match(comment(text));
            }
            let decision = FrameDecision::Visit {
                chain: jump.to,
                purpose: jump.purpose,
            };
            self.push(jump.table, jump.from, rule, decision);
        }
    }

    /// With `route_localnet` on, which localhost node ports need, a neighbour could reach 127.0.0.1 (PROXY-27).
    fn firewall(&mut self, plan: &RulePlan) {
        if !plan.node_ports.localhost {
            return;
        }
        let loopback = net("127.0.0.0/8");
        let rule = XtRule::new(XtTarget::Drop)
            .with_source(loopback, true)
            .with_destination(loopback, false)
            .with_match(comment("block incoming localnet connections"))
            .with_match(XtMatch::CtState {
                negated: true,
                states: CtStates::of(&[CtState::Related, CtState::Established, CtState::Dnat]),
            });
        let decision = FrameDecision::ProtectLoopback;
        self.push(TableName::Filter, "KUBE-FIREWALL", rule, decision);
    }

    fn forward(&mut self, capabilities: Capabilities) {
        let mut invalid = XtRule::new(XtTarget::Drop).with_match(states(&[CtState::Invalid]));
        if capabilities.nfacct {
            let counter = XtMatch::NfAcct("ct_state_invalid_dropped_pkts".into());
            invalid = invalid.with_match(counter);
        }
        self.push(
            TableName::Filter,
            "KUBE-FORWARD",
            invalid,
            FrameDecision::DropInvalid,
        );
        for (rule, decision) in forward_rules(self.mark) {
            self.push(TableName::Filter, "KUBE-FORWARD", rule, decision);
        }
    }

    fn marks(&mut self, capabilities: Capabilities) {
        for (chain, rule, decision) in mark_rules(self.mark, capabilities) {
            self.push(TableName::Nat, chain, rule, decision);
        }
    }

    /// What is for the node itself may be for a node port. Loopback is left out unless it takes them (PROXY-27).
    fn node_ports(&mut self, plan: &NodePortPlan) {
        let text = "kubernetes service nodeports; NOTE: this must be the last rule in this chain";
        let rule = || {
            XtRule::new(XtTarget::Jump(ChainName::literal("KUBE-NODEPORTS")))
                .with_match(comment(text))
        };
        match &plan.destinations {
            NodePortDestinations::AnyLocal => {
                let mut any = rule().with_match(local_destination());
                let loopback = match self.frame.family {
                    Family::V4 => net("127.0.0.0/8"),
                    Family::V6 => net("::1/128"),
                };
                if !plan.localhost {
                    any = any.with_destination(loopback, true);
                }
                self.push(
                    TableName::Nat,
                    "KUBE-SERVICES",
                    any,
                    FrameDecision::NodePorts,
                );
            }
            NodePortDestinations::Addresses(addresses) => {
                let loopback = plan.localhost.then_some(Ipv4Addr::LOCALHOST.into());
                for address in addresses.iter().copied().chain(loopback) {
                    let one = rule().with_destination(host(address), false);
                    self.push(
                        TableName::Nat,
                        "KUBE-SERVICES",
                        one,
                        FrameDecision::NodePorts,
                    );
                }
            }
        }
    }
}

fn net(text: &'static str) -> IpNet {
    text.parse()
        .expect("a network written in the source is valid")
}
