//! What each match matches (iptables-extensions(8)).

mod support;

use ruleset::xt::{
    AddressType, Comment, CtState, CtStates, InterfaceMatch, PortRange, TableName, XtMatch, XtRule,
    XtTarget,
};
use ruleset::{Family, Protocol};
use switchboard_netfilter::{DropReason, Packet, Verdict};

use support::wire::{echo, syn, udp};
use support::{TablesBuilder, Walk, net, with};

/// Whether a rule matches a packet that arrives at `eth1` and is forwarded through `pod-10.244.1.6`.
#[track_caller]
fn check(rule: XtRule, packet: Packet, expected: bool) {
    let mut rule = rule;
    rule.target = XtTarget::Drop;
    let shown = format!("{rule:?}");
    let tables = TablesBuilder::new(Family::V4).rule(TableName::Filter, "FORWARD", rule);
    let verdict = Walk::new(tables.build()).arrives(packet);
    let matched = matches!(verdict, Verdict::Drop(DropReason::Rule(_)));
    assert_eq!(matched, expected, "{shown}");
}

fn request() -> Packet {
    syn("10.244.2.5:40000", "10.244.1.6:80")
}

fn any() -> XtRule {
    XtRule::new(XtTarget::None)
}

fn extension(extension: XtMatch) -> XtRule {
    with(XtTarget::None, vec![extension])
}

#[test]
fn addresses() {
    for negated in [false, true] {
        for (text, inside) in [
            ("10.244.2.0/24", true),
            ("10.244.1.0/24", false),
            ("0.0.0.0/0", true),
        ] {
            let source = net(text, negated);
            check(XtRule { source, ..any() }, request(), inside != negated);
        }
        let destination = net("10.244.1.6/32", negated);
        check(
            XtRule {
                destination,
                ..any()
            },
            request(),
            !negated,
        );
    }
}

#[test]
fn interfaces() {
    let named = |name: &str, negated| {
        Some(InterfaceMatch {
            negated,
            name: name.into(),
        })
    };
    for negated in [false, true] {
        let in_interface = named("eth1", negated);
        check(
            XtRule {
                in_interface,
                ..any()
            },
            request(),
            !negated,
        );
        let out_interface = named("pod-+", negated);
        check(
            XtRule {
                out_interface,
                ..any()
            },
            request(),
            !negated,
        );
        let out_interface = named("eth1", negated);
        check(
            XtRule {
                out_interface,
                ..any()
            },
            request(),
            negated,
        );
    }
}

#[test]
fn protocols() {
    for (protocol, expected) in [(Protocol::TCP, true), (Protocol::UDP, false)] {
        for negated in [false, true] {
            let protocol = Some((negated, protocol));
            check(XtRule { protocol, ..any() }, request(), expected != negated);
        }
    }
    let all = Some((false, Protocol(0)));
    check(
        XtRule {
            protocol: all,
            ..any()
        },
        request(),
        true,
    );
}

#[test]
fn ports() {
    let range = |first, last, negated| {
        Some(PortRange {
            first,
            last,
            negated,
        })
    };
    let ports = |source, destination| {
        extension(XtMatch::Ports {
            protocol: Protocol::TCP,
            source,
            destination,
        })
    };
    for (first, last, inside) in [
        (80, 80, true),
        (1, 79, false),
        (81, 90, false),
        (1, 80, true),
    ] {
        check(ports(None, range(first, last, false)), request(), inside);
        check(ports(None, range(first, last, true)), request(), !inside);
    }
    check(ports(range(40000, 40000, false), None), request(), true);
    check(ports(range(80, 80, false), None), request(), false);
    check(ports(None, None), request(), true);
    check(
        ports(None, None),
        udp("10.244.2.5:40000", "10.244.1.6:80"),
        false,
    );
    check(
        ports(None, None),
        echo("10.244.2.5", "10.244.1.6", 80, false),
        false,
    );
}

#[test]
fn states() {
    let states = |states: &[CtState], negated| {
        extension(XtMatch::CtState {
            negated,
            states: CtStates::of(states),
        })
    };
    check(states(&[CtState::New], false), request(), true);
    check(states(&[CtState::New], true), request(), false);
    check(
        states(&[CtState::Related, CtState::Established], false),
        request(),
        false,
    );
    check(
        states(&[CtState::Dnat, CtState::Snat], false),
        request(),
        false,
    );
    let stray = || echo("10.244.2.5", "10.244.1.6", 7, true);
    check(states(&[CtState::Invalid], false), stray(), true);
}

#[test]
fn address_types() {
    let kinds = |source, destination| {
        extension(XtMatch::AddrType {
            source,
            destination,
        })
    };
    let unicast = Some((false, AddressType::Unicast));
    let local = Some((false, AddressType::Local));
    check(kinds(unicast, unicast), request(), true);
    check(kinds(local, None), request(), false);
    check(kinds(None, local), request(), false);
    check(
        kinds(None, Some((true, AddressType::Local))),
        request(),
        true,
    );
}

#[test]
fn what_always_matches() {
    check(any(), request(), true);
    check(
        extension(XtMatch::Comment(Comment::new("default/web"))),
        request(),
        true,
    );
    check(
        extension(XtMatch::NfAcct("counter".into())),
        request(),
        true,
    );
}

/// `MARK --set-xmark`: the mask's bits are cleared, then the value's are flipped (PROXY-19, PROXY-35).
#[test]
fn marks() {
    let mark = |value, mask| XtRule::new(XtTarget::SetXmark { value, mask });
    let check_mark = |rules: Vec<XtRule>, expected: u32| {
        let mut tables = TablesBuilder::new(Family::V4);
        for rule in rules {
            tables = tables.rule(TableName::Mangle, "FORWARD", rule);
        }
        let equal = XtMatch::Mark {
            negated: true,
            value: expected,
            mask: u32::MAX,
        };
        let tables = tables.rule(
            TableName::Filter,
            "FORWARD",
            with(XtTarget::Drop, vec![equal]),
        );
        let verdict = Walk::new(tables.build()).arrives(request());
        assert!(matches!(verdict, Verdict::Forward { .. }), "{expected:#x}");
    };
    check_mark(vec![], 0);
    check_mark(vec![mark(0x4000, 0x4000)], 0x4000);
    check_mark(vec![mark(0x4000, 0x4000), mark(0x4000, 0x4000)], 0x4000);
    check_mark(vec![mark(0x4000, 0x4000), mark(0x4000, 0)], 0);
    check_mark(vec![mark(0x4001, 0x4000), mark(0x2, u32::MAX)], 0x2);
}
