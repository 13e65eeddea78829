//! Single matches and targets of iptables, in the kernel and in the evaluator (iptables-extensions(8)).

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use netfilter::{Packet, Ruleset};
use ruleset::Family;
use ruleset::xt;

use crate::backend::Backend;
use crate::lab::{Fate, Lab, on};
use crate::packets::{ack, ping, pong, port_unreachable, reset, source, syn, udp, with_ttl};

const A: &str = "10.244.1.2";
const B: &str = "10.244.1.3";
const PASSED: &str = "veth3: 10.244.1.2 > 10.244.1.3:80";

/// Loads the rules and sends packets, one after the other; each meets the fate that is written next to it.
#[track_caller]
fn check(lab: &mut Lab, family: Family, rules: &str, packets: &[(Packet, &str)]) {
    load(lab, family, rules);
    lab.expect(packets);
}

fn load(lab: &mut Lab, family: Family, rules: &str) {
    lab.load(parsed(family, rules));
}

/// `rules` are those of one table, whose name is the first word, or of several with what stands between tables.
fn parsed(family: Family, rules: &str) -> Vec<Ruleset> {
    let tables = xt::parse(&format!("*{rules}\nCOMMIT\n"), family);
    let tables = tables.unwrap_or_else(|error| panic!("{error}\n{rules}"));
    vec![Arc::new(tables).into()]
}

/// A rule in FORWARD that drops what it matches, and packets that it matches or not.
#[track_caller]
fn check_match(lab: &mut Lab, rule: &str, matched: &[Packet], unmatched: &[Packet]) {
    load(
        lab,
        Family::V4,
        &format!("filter\n-A FORWARD {rule} -j DROP"),
    );
    for packet in matched {
        assert_eq!(lab.arrive(packet), Fate::Dropped, "{rule}");
    }
    for packet in unmatched {
        let fate = lab.arrive(packet);
        assert!(matches!(fate, Fate::Forwarded(_)), "{rule}: {fate}");
    }
}

fn tcp_80(port: u16) -> Packet {
    syn(&format!("{A}:{port}"), &format!("{B}:80"))
}

/// When kernel and evaluator have different rules, the first packet that meets the difference tells.
#[test]
fn differences_are_noticed() {
    on(
        &Backend::IPTABLES,
        "matches::differences_are_noticed",
        |lab| {
            let rules = [
                "filter\n-A FORWARD -d 10.244.1.3/32 -j DROP",
                "filter\n-A FORWARD -d 10.244.1.3/32 -j REJECT",
                "filter\n-A FORWARD -d 10.244.1.4/32 -j DROP",
                "nat\n-A PREROUTING -j DNAT --to-destination 10.244.1.4",
                "nat\n-A PREROUTING -p tcp -j DNAT --to-destination 10.244.1.3:81",
                "nat\n-A POSTROUTING -j MASQUERADE",
            ];
            for pair in rules.windows(2) {
                load(lab, Family::V4, pair[0]);
                lab.evaluate(parsed(Family::V4, pair[1]));
                let told = catch_unwind(AssertUnwindSafe(|| lab.arrive(&tcp_80(4000))));
                assert!(told.is_err(), "{pair:?}");
            }
        },
    );
}

#[test]
fn headers() {
    on(&Backend::IPTABLES, "matches::headers", |lab| {
        let request = || tcp_80(4000);
        let other = || udp("203.0.113.70:4000", "10.244.1.3:53");
        for (rule, first, second) in [
            ("-s 10.244.1.2/32", true, false),
            ("! -s 10.244.0.0/16", false, true),
            ("-d 10.244.1.3/32", true, true),
            ("! -d 10.244.1.3/32", false, false),
            ("-i veth2", true, false),
            ("-i veth+", true, false),
            ("! -i veth+", false, true),
            ("-o veth3", true, true),
            ("! -o veth+", false, false),
            ("-i eth0 -o veth3", false, true),
            ("-p tcp", true, false),
            ("! -p tcp", false, true),
            ("-p tcp -m tcp --dport 80", true, false),
            ("-p tcp -m tcp --dport 79:81", true, false),
            ("-p tcp -m tcp ! --dport 80", false, false),
            ("-p tcp -m tcp --sport 4000 --dport 81:65535", false, false),
            ("-p udp -m udp --sport 1024:65535 --dport 53", false, true),
            ("-m comment --comment \"a, b\"", true, true),
        ] {
            let (matched, unmatched): (Vec<_>, Vec<_>) = [(request(), first), (other(), second)]
                .into_iter()
                .partition(|(_, matches)| *matches);
            let packets = |all: Vec<(Packet, bool)>| -> Vec<_> {
                all.into_iter().map(|(packet, _)| packet).collect()
            };
            check_match(lab, rule, &packets(matched), &packets(unmatched));
        }
    });
}

#[test]
fn address_types() {
    on(&Backend::IPTABLES, "matches::address_types", |lab| {
        let to_node = || syn("10.244.1.2:4000", "192.168.10.1:22");
        for (rule, node, pod) in [
            ("--dst-type LOCAL", true, false),
            ("! --dst-type LOCAL", false, true),
            ("--dst-type UNICAST", false, true),
            ("--src-type UNICAST --dst-type LOCAL", true, false),
            ("--src-type LOCAL", false, false),
            ("--dst-type MULTICAST", false, false),
            ("--dst-type BROADCAST", false, false),
        ] {
            load(
                lab,
                Family::V4,
                &format!("mangle\n-A PREROUTING -m addrtype {rule} -j DROP"),
            );
            for (packet, matches) in [(to_node(), node), (tcp_80(4000), pod)] {
                let dropped = lab.arrive(&packet) == Fate::Dropped;
                assert_eq!(dropped, matches, "{packet:?} {rule}");
            }
        }
    });
}

#[test]
fn marks() {
    on(&Backend::IPTABLES, "matches::marks", |lab| {
        for (set, mark, matches) in [
            ("0x4000/0x4000", "0x4000/0x4000", true),
            ("0x4000/0x4000", "0x4001", false),
            ("0x4000/0x0", "0x4000", true),
            ("0x1/0xffffffff", "0x1", true),
            ("0x1/0xffffffff", "0x0/0xfffe", true),
        ] {
            for negated in [false, true] {
                let not = if negated { "! " } else { "" };
                let rules = format!(
                    "mangle\n-A FORWARD -j MARK --set-xmark {set}\n\
                     -A FORWARD -m mark {not}--mark {mark} -j DROP"
                );
                let expected = if matches == negated {
                    PASSED
                } else {
                    "dropped"
                };
                check(lab, Family::V4, &rules, &[(tcp_80(4000), expected)]);
            }
        }
        let twice = "mangle\n-A FORWARD -j MARK --set-xmark 0x4000/0x0\n\
                     -A FORWARD -j MARK --set-xmark 0x4000/0x0\n-A FORWARD -m mark --mark 0x0 -j DROP";
        check(lab, Family::V4, twice, &[(tcp_80(4000), "dropped")]);
    });
}

/// Jumps, gotos, returns and policies, each with the fate of a packet to port 80 and to port 81.
#[test]
fn control_flow() {
    const OTHER: &str = "veth3: 10.244.1.2 > 10.244.1.3:81";
    on(&Backend::IPTABLES, "matches::control_flow", |lab| {
        for (rules, expected) in [
            (
                "-A FORWARD -j X\n-A FORWARD -j DROP\n-A X -p tcp -m tcp --dport 80 -j RETURN\n-A X -j ACCEPT",
                ["dropped", OTHER],
            ),
            (
                "-A FORWARD -j X\n-A FORWARD -j ACCEPT\n-A X -g Y\n-A X -j DROP\n-A Y -p tcp -m tcp --dport 81 -j DROP",
                [PASSED, "dropped"],
            ),
            (
                "-A FORWARD -g X\n-A FORWARD -j DROP\n-A X -j RETURN",
                [PASSED, OTHER],
            ),
            (
                ":FORWARD DROP [0:0]\n-A FORWARD -p tcp -m tcp --dport 80 -j ACCEPT",
                [PASSED, "dropped"],
            ),
            (
                ":FORWARD DROP [0:0]\n-A FORWARD -p tcp -m tcp --dport 81 -j RETURN\n-A FORWARD -j ACCEPT",
                [PASSED, "dropped"],
            ),
            (
                "-A FORWARD -p tcp -m tcp --dport 80\n-A FORWARD -p tcp -m tcp --dport 81 -j DROP",
                [PASSED, "dropped"],
            ),
        ] {
            let rules = format!("filter\n:X - [0:0]\n:Y - [0:0]\n{rules}");
            let other = syn("10.244.1.2:4000", "10.244.1.3:81");
            check(
                lab,
                Family::V4,
                &rules,
                &[(tcp_80(4000), expected[0]), (other, expected[1])],
            );
        }
    });
}

#[test]
fn states() {
    on(&Backend::IPTABLES, "matches::states", |lab| {
        let drops =
            |states: &str| format!("filter\n-A FORWARD -m conntrack --ctstate {states} -j DROP");
        let question = || udp("10.244.1.2:4000", "10.244.1.3:53");
        let answer = || udp("10.244.1.3:53", "10.244.1.2:4000");
        let unreachable = || port_unreachable("10.244.1.3".parse().unwrap(), &question());
        let asked = "veth3: 10.244.1.2 > 10.244.1.3:53";
        let answered = "veth2: 10.244.1.3 > 10.244.1.2:4000";
        let told = "veth2: 10.244.1.3 > 10.244.1.2";
        for (states, expected) in [
            (
                "NEW",
                ["dropped", "dropped", "veth2: 10.244.1.3 > 10.244.1.2"],
            ),
            ("ESTABLISHED", [asked, "dropped", told]),
            ("RELATED", [asked, answered, "dropped"]),
            ("RELATED,ESTABLISHED", [asked, "dropped", "dropped"]),
            ("INVALID,UNTRACKED,SNAT,DNAT", [asked, answered, told]),
        ] {
            let [first, second, third] = expected;
            // Dropped before it was remembered, the question makes the answer a question and the error invalid.
            let packets = [
                (question(), first),
                (answer(), second),
                (unreachable(), third),
            ];
            check(lab, Family::V4, &drops(states), &packets);
        }
        let stray = [
            (pong(A, B), "dropped"),
            (
                port_unreachable("10.244.1.3".parse().unwrap(), &tcp_80(4001)),
                "dropped",
            ),
            (
                reset(
                    "10.244.1.2:4002".parse().unwrap(),
                    "10.244.1.3:80".parse().unwrap(),
                ),
                "dropped",
            ),
            (ping(A, B), "veth3: 10.244.1.2 > 10.244.1.3"),
            (pong(B, A), "veth2: 10.244.1.3 > 10.244.1.2"),
            // Picked up in its middle.
            (ack("10.244.1.2:4003", "10.244.1.3:80"), PASSED),
        ];
        check(lab, Family::V4, &drops("INVALID"), &stray);
    });
}

#[test]
fn rejections() {
    on(&Backend::IPTABLES, "matches::rejections", |lab| {
        for (with, expected) in [
            ("icmp-port-unreachable", "icmp 3/3"),
            ("icmp-host-unreachable", "icmp 3/1"),
            ("icmp-net-unreachable", "icmp 3/0"),
            ("icmp-admin-prohibited", "icmp 3/13"),
        ] {
            let expected = format!("{expected} from 192.168.10.1");
            let rules = format!("filter\n-A FORWARD -j REJECT --reject-with {with}");
            let packets = [
                tcp_80(4000),
                udp("10.244.1.2:4000", "10.244.1.3:53"),
                ping(A, B),
            ];
            check(
                lab,
                Family::V4,
                &rules,
                &packets.map(|packet| (packet, expected.as_str())),
            );
        }
        for (with, expected) in [
            ("icmp6-port-unreachable", "icmp 1/4"),
            ("icmp6-addr-unreachable", "icmp 1/3"),
            ("icmp6-no-route", "icmp 1/0"),
            ("icmp6-adm-prohibited", "icmp 1/1"),
        ] {
            let expected = format!("{expected} from fd00:192:168::1");
            let rules = format!("filter\n-A FORWARD -j REJECT --reject-with {with}");
            let request = syn("[fd00:10:244:1::2]:4000", "[fd00:10:244:1::3]:80");
            check(lab, Family::V6, &rules, &[(request, &expected)]);
        }
        for (family, from, to) in [
            (Family::V4, "10.244.1.2:4000", "10.244.1.3:80"),
            (
                Family::V6,
                "[fd00:10:244:1::2]:4000",
                "[fd00:10:244:1::3]:80",
            ),
        ] {
            let rules = "filter\n-A FORWARD -p tcp -j REJECT --reject-with tcp-reset";
            let stray = reset(from.parse().unwrap(), to.parse().unwrap());
            check(
                lab,
                family,
                rules,
                &[
                    (syn(from, to), "reset"),
                    (ack(from, to), "reset"),
                    (stray, "dropped"),
                ],
            );
        }
        let error = port_unreachable("10.244.1.3".parse().unwrap(), &tcp_80(4000));
        check(
            lab,
            Family::V4,
            "filter\n-A FORWARD -j REJECT",
            &[(error, "dropped")],
        );
        let input = "filter\n-A INPUT -p udp -j REJECT";
        let to_node = udp("10.244.1.2:4000", "192.168.10.1:53");
        check(
            lab,
            Family::V4,
            input,
            &[(to_node, "icmp 3/3 from 192.168.10.1")],
        );
    });
}

#[test]
fn without_rules() {
    on(&Backend::IPTABLES, "matches::without_rules", |lab| {
        let late = with_ttl(tcp_80(4000), 1);
        let martian = udp("192.168.10.1:4000", "10.244.1.3:53");
        check(
            lab,
            Family::V4,
            "filter",
            &[
                (tcp_80(4000), PASSED),
                (late, "icmp 11/0 from 192.168.10.1"),
                (martian, "dropped"),
                (
                    ping(A, "192.168.10.1"),
                    "delivered: 10.244.1.2 > 192.168.10.1",
                ),
                (
                    syn("10.244.1.2:4000", "192.168.10.1:9"),
                    "delivered: 10.244.1.2 > 192.168.10.1:9",
                ),
                (
                    udp("10.244.1.2:4000", "192.168.10.1:9"),
                    "delivered: 10.244.1.2 > 192.168.10.1:9",
                ),
            ],
        );
    });
}

#[test]
fn translations() {
    on(&Backend::IPTABLES, "matches::translations", |lab| {
        for (rules, packet, expected) in [
            (
                "-A PREROUTING -p tcp -j DNAT --to-destination 10.244.1.3:8080",
                syn("10.244.1.2:4000", "10.96.0.40:80"),
                "veth3: 10.244.1.2 > 10.244.1.3:8080",
            ),
            (
                "-A PREROUTING -j DNAT --to-destination 10.244.1.3",
                udp("10.244.1.2:4000", "10.96.0.40:53"),
                "veth3: 10.244.1.2 > 10.244.1.3:53",
            ),
            (
                "-A PREROUTING -j DNAT --to-destination 10.244.1.3",
                ping(A, "10.96.0.40"),
                "veth3: 10.244.1.2 > 10.244.1.3",
            ),
            (
                "-A POSTROUTING -j MASQUERADE",
                syn("10.244.1.2:4000", "10.244.1.3:80"),
                "veth3: 192.168.10.1 > 10.244.1.3:80",
            ),
            (
                "-A POSTROUTING -j MASQUERADE --random-fully",
                syn("10.244.1.2:4000", "10.244.1.3:80"),
                "veth3: 192.168.10.1 > 10.244.1.3:80",
            ),
            (
                "-A POSTROUTING -j MASQUERADE --random-fully",
                udp("10.244.1.2:700", "10.244.1.3:53"),
                "veth3: 192.168.10.1 > 10.244.1.3:53",
            ),
            (
                "-A POSTROUTING -j MASQUERADE",
                ping(A, "203.0.113.70"),
                "eth0: 192.168.10.1 > 203.0.113.70",
            ),
            // Hairpin: to oneself by way of the node.
            (
                "-A PREROUTING -p tcp -j DNAT --to-destination 10.244.1.2:8080\n-A POSTROUTING -j MASQUERADE",
                syn("10.244.1.2:4000", "10.96.0.40:80"),
                "veth2: 192.168.10.1 > 10.244.1.2:8080",
            ),
        ] {
            load(lab, Family::V4, &format!("nat\n{rules}"));
            assert_eq!(lab.converse(&packet).to_string(), expected, "{rules}");
        }
        let v6 = "nat\n-A PREROUTING -p tcp -j DNAT --to-destination [fd00:10:244:1::3]:8080\n-A POSTROUTING -j MASQUERADE";
        load(lab, Family::V6, v6);
        let fate = lab.converse(&syn("[fd00:10:244:1::2]:4000", "[fd00:10:96::40]:80"));
        assert_eq!(
            fate.to_string(),
            "veth3: fd00:192:168::1 > [fd00:10:244:1::3]:8080"
        );
    });
}

/// An error about a translated packet reaches its sender as one about the packet that it sent.
#[test]
fn errors_are_translated_back() {
    on(
        &Backend::IPTABLES,
        "matches::errors_are_translated_back",
        |lab| {
            load(
                lab,
                Family::V4,
                "nat\n-A PREROUTING -p udp -j DNAT --to-destination 10.244.1.3:5353\n-A POSTROUTING -j MASQUERADE",
            );
            let question = udp("10.244.1.2:4000", "10.96.0.10:53");
            let Fate::Forwarded((_, forwarded)) = lab.arrive(&question) else {
                panic!("not forwarded");
            };
            let error = port_unreachable("10.244.1.3".parse().unwrap(), &forwarded);
            let Fate::Forwarded((interface, error)) = lab.arrive(&error) else {
                panic!("not forwarded");
            };
            assert_eq!(
                (interface, error.quoted_tuple()),
                ("veth2", question.tuple())
            );
            assert_eq!(
                source(&error),
                "10.96.0.10".parse::<std::net::IpAddr>().unwrap()
            );
        },
    );
}

/// The quoted packet is the one that was sent, whatever was done to it before it was rejected.
#[test]
fn rejected_after_translation() {
    const TRANSLATE: &str = "nat\n-A PREROUTING -j DNAT --to-destination 10.244.1.3\n-A POSTROUTING -j MASQUERADE\nCOMMIT\n*filter\n";
    on(
        &Backend::IPTABLES,
        "matches::rejected_after_translation",
        |lab| {
            for (with, expected) in [
                ("icmp-port-unreachable", "icmp 3/3 from 10.96.0.40"),
                ("tcp-reset", "reset"),
            ] {
                let rules = format!("{TRANSLATE}-A FORWARD -p tcp -j REJECT --reject-with {with}");
                let packet = syn("10.244.1.2:4000", "10.96.0.40:80");
                check(lab, Family::V4, &rules, &[(packet, expected)]);
            }
        },
    );
}

/// Two flows that would look alike behind the node get different ports there.
#[test]
fn colliding_ports() {
    on(&Backend::IPTABLES, "matches::colliding_ports", |lab| {
        load(lab, Family::V4, "nat\n-A POSTROUTING -j MASQUERADE");
        let ports = ["10.244.1.2:4000", "10.244.1.3:4000", "10.244.1.4:4000"].map(|from| match lab
            .converse(&udp(from, "203.0.113.70:53"))
        {
            Fate::Forwarded((_, packet)) => packet.tuple().unwrap().source_port().unwrap(),
            other => panic!("{other}"),
        });
        assert_eq!(ports[0], 4000);
        assert!(
            ports[1] != ports[0] && ports[2] != ports[0] && ports[1] != ports[2],
            "{ports:?}"
        );
    });
}

/// Kernel and evaluator share no dice: of many packets about the stated share matches. Six standard deviations
/// are allowed, which one run in five hundred million exceeds.
#[test]
fn probabilities() {
    const TRIES: u16 = 2000;
    on(&Backend::IPTABLES, "matches::probabilities", |lab| {
        for share in [0.5, 0.3333333333, 0.1] {
            let rule = format!(
                "-A PREROUTING -p udp -m statistic --mode random --probability {share} -j DNAT --to-destination 10.244.1.4"
            );
            load(lab, Family::V4, &format!("nat\n{rule}"));
            let matched = (0..TRIES).filter(|n| {
                let question = udp(&format!("10.244.1.2:{}", 1024 + n), "10.244.1.3:53");
                matches!(lab.arrive(&question), Fate::Forwarded(("veth4", _)))
            });
            let matched = f64::from(u16::try_from(matched.count()).unwrap());
            let tries = f64::from(TRIES);
            let deviation = (tries * share * (1.0 - share)).sqrt();
            assert!(
                (matched - tries * share).abs() < 6.0 * deviation,
                "{matched} of {tries} for {share}"
            );
        }
    });
}
