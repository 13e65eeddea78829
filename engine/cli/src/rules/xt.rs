//! The iptables dialect as JSON.
//!
//! Typed are the tests and targets that kube-proxy writes. Of others, which are none of its rules', the module is
//! `other`, and the rule's text says the rest.

use rules::Compiler;
use ruleset::Family;
use ruleset::xt::{
    AddressMatch, AddressSide, AddressType, ChainName, CtState, InterfaceMatch, Policy, PortRange,
    Probability, RecentAction, RecentMatch, XtChain, XtMatch, XtRule, XtTables, XtTarget,
};
use serde_json::{Map, Value, json};

use super::json::{meaning, present};

/// Every table by its name, with its chains by theirs.
pub(super) fn tables(tables: &XtTables, compiler: &Compiler) -> Value {
    let family = tables.family;
    let named = tables.tables.iter().map(|(name, table)| {
        let chains = table.chains.iter().map(|(name, of)| {
            let value = chain(*name, of, family, compiler);
            (name.to_string(), value)
        });
        (name.to_string(), Value::from(chains.collect::<Map<_, _>>()))
    });
    named.collect::<Map<_, _>>().into()
}

fn chain(name: ChainName, chain: &XtChain, family: Family, compiler: &Compiler) -> Value {
    let rules = chain.rules.iter();
    let rules: Vec<Value> = rules.map(|one| rule(one, name, family, compiler)).collect();
    let policy = chain.policy.map(|policy| match policy {
        Policy::Accept => "ACCEPT".into(),
        Policy::Drop => "DROP".into(),
    });
    present([("policy", policy), ("rules", Some(rules.into()))])
}

fn rule(rule: &XtRule, chain: ChainName, family: Family, compiler: &Compiler) -> Value {
    let protocol = rule
        .protocol
        .map(|(negated, protocol)| json!({"negated": negated, "protocol": protocol.to_string()}));
    let tests: Vec<Value> = rule.matches.iter().map(test).collect();
    present([
        ("text", Some(rule.line(chain, family).to_string().into())),
        ("meaning", meaning(rule.origin, compiler)),
        ("source", rule.source.map(address)),
        ("destination", rule.destination.map(address)),
        ("inInterface", rule.in_interface.as_ref().map(interface)),
        ("outInterface", rule.out_interface.as_ref().map(interface)),
        ("protocol", protocol),
        ("matches", Some(tests.into())),
        ("target", Some(target(&rule.target))),
    ])
}

fn address(one: AddressMatch) -> Value {
    json!({"negated": one.negated, "net": one.net.to_string()})
}

fn interface(one: &InterfaceMatch) -> Value {
    json!({"negated": one.negated, "name": one.name})
}

fn ports(range: PortRange) -> Value {
    json!({"negated": range.negated, "first": range.first, "last": range.last})
}

/// One extension match.
fn test(one: &XtMatch) -> Value {
    match one {
        XtMatch::Comment(text) => json!({"module": "comment", "comment": text.as_str()}),
        XtMatch::Ports {
            protocol,
            source,
            destination,
        } => present([
            ("module", Some(protocol.to_string().into())),
            ("sourcePorts", source.map(ports)),
            ("destinationPorts", destination.map(ports)),
        ]),
        XtMatch::CtState { negated, states } => {
            let all = CtState::OF_PACKETS.into_iter();
            let all = all.chain([CtState::Snat, CtState::Dnat]);
            let states: Vec<String> = all
                .filter(|state| states.contains(*state))
                .map(|state| format!("{state:?}").to_uppercase())
                .collect();
            json!({"module": "conntrack", "negated": negated, "states": states})
        }
        XtMatch::Mark {
            negated,
            value,
            mask,
        } => json!({"module": "mark", "negated": negated, "value": value, "mask": mask}),
        XtMatch::Random(share) => {
            let probability = f64::from(share.raw()) / f64::from(Probability::ONE);
            json!({"module": "statistic", "probability": probability})
        }
        XtMatch::AddrType {
            source,
            destination,
        } => present([
            ("module", Some("addrtype".into())),
            ("source", source.map(address_type)),
            ("destination", destination.map(address_type)),
        ]),
        XtMatch::NfAcct(name) => json!({"module": "nfacct", "name": name}),
        XtMatch::Recent(recent) => recent_test(recent),
        XtMatch::Set(set) => {
            let sides = set.sides.iter().map(|side| side_word(*side));
            let sides: Vec<&str> = sides.collect();
            json!({"module": "set", "negated": set.negated, "set": set.set.as_str(), "sides": sides})
        }
        XtMatch::Ipvs(server) => {
            let (address, port) = (server.address.ip(), server.address.port());
            let protocol = server.protocol.to_string();
            json!({"module": "ipvs", "vaddr": address, "vproto": protocol, "vport": port})
        }
        XtMatch::BridgeIn { negated } => json!({"module": "physdev", "negated": negated}),
        _ => json!({"module": "other"}),
    }
}

fn address_type((negated, kind): (bool, AddressType)) -> Value {
    json!({"negated": negated, "type": format!("{kind:?}").to_uppercase()})
}

const fn side_word(side: AddressSide) -> &'static str {
    match side {
        AddressSide::Source => "src",
        AddressSide::Destination => "dst",
    }
}

fn recent_test(recent: &RecentMatch) -> Value {
    let (action, window) = match recent.action {
        RecentAction::Set => ("set", None),
        RecentAction::Rcheck(window) => ("rcheck", Some(window)),
        RecentAction::Update(window) => ("update", Some(window)),
        RecentAction::Remove => ("remove", None),
    };
    let seconds = window.and_then(|window| window.seconds);
    let hits = window.and_then(|window| window.hit_count);
    present([
        ("module", Some("recent".into())),
        ("negated", Some(recent.negated.into())),
        ("list", Some((*recent.name).into())),
        ("action", Some(action.into())),
        ("side", Some(side_word(recent.side).into())),
        ("seconds", seconds.map(|seconds| seconds.get().into())),
        ("hitCount", hits.map(|hits| hits.get().into())),
        ("reap", window.map(|window| window.reap.into())),
    ])
}

/// What a rule does.
fn target(target: &XtTarget) -> Value {
    match target {
        XtTarget::None => json!({"kind": "none"}),
        XtTarget::Accept => json!({"kind": "ACCEPT"}),
        XtTarget::Drop => json!({"kind": "DROP"}),
        XtTarget::Return => json!({"kind": "RETURN"}),
        XtTarget::Jump(chain) => json!({"kind": "jump", "chain": chain.as_str()}),
        XtTarget::Goto(chain) => json!({"kind": "goto", "chain": chain.as_str()}),
        XtTarget::Reject(_) => json!({"kind": "REJECT"}),
        XtTarget::SetXmark { value, mask } => json!({"kind": "MARK", "value": value, "mask": mask}),
        XtTarget::Dnat { to } => json!({"kind": "DNAT", "to": to.to_string()}),
        XtTarget::Masquerade { random_fully } => {
            json!({"kind": "MASQUERADE", "randomFully": random_fully})
        }
        _ => json!({"kind": "other"}),
    }
}
