//! Single expressions and statements of nftables, in the kernel and in the evaluator (nft(8)).
//!
//! Rules stand as nft lists them: it leaves out matches that others imply.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use netfilter::{Packet, Ruleset};
use ruleset::nft;

use crate::backend::Backend;
use crate::lab::{Fate, Lab, on};
use crate::packets::{ack, ping, pong, port_unreachable, reset, syn, udp};

const A: &str = "10.244.1.2";
const B: &str = "10.244.1.3";
const PASSED: &str = "veth3: 10.244.1.2 > 10.244.1.3:80";
const OTHER: &str = "veth3: 10.244.1.2 > 10.244.1.3:81";

const FORWARD: &str = "type filter hook forward priority filter; policy accept;";
const PREROUTING: &str = "type filter hook prerouting priority mangle; policy accept;";
const DNAT: &str = "type nat hook prerouting priority dstnat; policy accept;";
const SNAT: &str = "type nat hook postrouting priority srcnat; policy accept;";

fn on_nftables(test: &str, body: impl Fn(&mut Lab)) {
    on(&[Backend::Nftables], test, body);
}

fn parsed(text: &str) -> Vec<Ruleset> {
    let tables = nft::parse(text).unwrap_or_else(|error| panic!("{error}\n{text}"));
    vec![Arc::new(tables).into()]
}

/// A chain of a hook's, or of nobody's if `of` is empty, with one statement list per line.
fn chain(name: &str, of: &str, rules: &str) -> String {
    format!("chain {name} {{\n{of}\n{rules}\n}}\n")
}

fn load(lab: &mut Lab, family: &str, content: &str) {
    lab.load(parsed(&format!("table {family} t {{\n{content}}}\n")));
}

#[track_caller]
fn check(lab: &mut Lab, family: &str, content: &str, packets: &[(Packet, &str)]) {
    load(lab, family, content);
    lab.expect(packets);
}

/// A rule that drops what it matches, for a TCP packet of a Pod's to port 80 and a UDP packet of outside to 53.
#[track_caller]
fn check_match(lab: &mut Lab, hook: &str, sets: &str, (rule, tcp, other): (&str, bool, bool)) {
    let content = format!("{sets}{}", chain("c", hook, &format!("{rule} drop")));
    let fate = |dropped: bool, passed| if dropped { "dropped" } else { passed };
    let packets = [
        (tcp_80(4000), fate(tcp, PASSED)),
        (
            udp("203.0.113.70:4000", "10.244.1.3:53"),
            fate(other, "veth3: 203.0.113.70 > 10.244.1.3:53"),
        ),
    ];
    check(lab, "ip", &content, &packets);
}

fn tcp_80(port: u16) -> Packet {
    syn(&format!("{A}:{port}"), &format!("{B}:80"))
}

fn tcp_81() -> Packet {
    syn("10.244.1.2:4000", "10.244.1.3:81")
}

/// When kernel and evaluator have different rules, the first packet that meets the difference tells.
#[test]
fn differences_are_noticed() {
    on_nftables("nft::differences_are_noticed", |lab| {
        let drops = |rule: &str| chain("c", FORWARD, rule);
        let rulesets = [
            drops("ip daddr 10.244.1.3 drop"),
            drops("ip daddr 10.244.1.3 reject"),
            drops("ip daddr 10.244.1.4 drop"),
            chain("c", DNAT, "dnat to 10.244.1.4"),
            chain("c", DNAT, "meta l4proto tcp dnat to 10.244.1.3:81"),
            chain("c", SNAT, "masquerade"),
        ];
        for pair in rulesets.windows(2) {
            load(lab, "ip", &pair[0]);
            lab.evaluate(parsed(&format!("table ip t {{\n{}}}\n", pair[1])));
            let told = catch_unwind(AssertUnwindSafe(|| lab.arrive(&tcp_80(4000))));
            assert!(told.is_err(), "{pair:?}");
        }
    });
}

#[test]
fn headers() {
    on_nftables("nft::headers", |lab| {
        for row in [
            ("ip saddr 10.244.1.2", true, false),
            ("ip saddr != 10.244.0.0/16", false, true),
            ("ip saddr { 10.244.1.2, 203.0.113.64/28 }", true, true),
            (
                "ip saddr != { 10.244.1.1-10.244.1.9, 192.0.2.0/24 }",
                false,
                true,
            ),
            ("ip daddr 10.244.1.3", true, true),
            ("iifname \"veth2\"", true, false),
            ("iifname \"veth*\"", true, false),
            ("iifname != \"veth*\"", false, true),
            ("oifname \"veth3\"", true, true),
            (
                "iifname \"eth0\" oifname { \"eth0\", \"veth3\" }",
                false,
                true,
            ),
            ("meta l4proto tcp", true, false),
            ("meta l4proto != { tcp, icmp }", false, true),
            ("ip protocol udp", false, true),
            ("tcp dport 80", true, false),
            ("tcp dport != 80", false, false),
            ("tcp dport 79-81", true, false),
            ("udp dport { 50-60, 80 }", false, true),
            ("th dport { 53, 80 }", true, true),
            ("th sport 4000 th dport >= 80", true, false),
            ("tcp flags syn / syn,ack", true, false),
            ("tcp flags != syn", false, false),
            ("icmp type echo-request", false, false),
            (
                "meta l4proto . th dport { tcp . 80, udp . 52 }",
                true,
                false,
            ),
            (
                "ip daddr . meta l4proto . th dport { 10.244.1.3 . tcp . 81, 10.244.1.3 . udp . 50-60 }",
                false,
                true,
            ),
        ] {
            check_match(lab, FORWARD, "", row);
        }
    });
}

#[test]
fn address_types() {
    on_nftables("nft::address_types", |lab| {
        for (rule, node, pod) in [
            ("fib daddr type local", true, false),
            ("fib daddr type != local", false, true),
            ("fib daddr type unicast", false, true),
            ("fib saddr type local", false, false),
            ("fib saddr type unicast fib daddr type local", true, false),
            ("fib daddr type { local, broadcast }", true, false),
        ] {
            let content = chain("c", PREROUTING, &format!("{rule} drop"));
            load(lab, "ip", &content);
            let to_node = syn("10.244.1.2:4000", "192.168.20.1:22");
            for (packet, matches) in [(to_node, node), (tcp_80(4000), pod)] {
                let dropped = lab.arrive(&packet) == Fate::Dropped;
                assert_eq!(dropped, matches, "{packet:?} {rule}");
            }
        }
    });
}

#[test]
fn sets() {
    const SETS: &str = "set single {\ntype ipv4_addr\nelements = { 10.244.1.2, 10.244.1.4 }\n}\n\
        set range {\ntype ipv4_addr\nflags interval\nelements = { 10.244.1.4-10.244.1.9, 203.0.113.0/24 }\n}\n\
        set joined {\ntype ipv4_addr . inet_proto . inet_service\nelements = { 10.244.1.3 . tcp . 80, 10.244.1.3 . udp . 54 }\n}\n\
        set wide {\ntype ipv4_addr . inet_service\nflags interval\nelements = { 10.244.0.0/16 . 50-60 }\n}\n\
        set empty {\ntype ipv4_addr\n}\n";
    on_nftables("nft::sets", |lab| {
        for row in [
            ("ip saddr @single", true, false),
            ("ip saddr != @single", false, true),
            ("ip saddr @range", false, true),
            ("ip saddr != @range", true, false),
            ("ip daddr . meta l4proto . th dport @joined", true, false),
            ("ip daddr . th dport @wide", false, true),
            ("ip saddr @empty", false, false),
            ("ip saddr != @empty", true, true),
        ] {
            check_match(lab, FORWARD, SETS, row);
        }
    });
}

#[test]
fn maps() {
    on_nftables("nft::maps", |lab| {
        let named = "map verdicts {\ntype ipv4_addr . inet_proto . inet_service : verdict\n\
             elements = { 10.244.1.3 . tcp . 80 : goto x, 10.244.1.3 . tcp . 82 : drop }\n}\n";
        let x = chain("x", "", "drop");
        let rules = [
            format!(
                "{named}{x}{}",
                chain(
                    "c",
                    FORWARD,
                    "ip daddr . meta l4proto . th dport vmap @verdicts"
                )
            ),
            format!(
                "{x}{}",
                chain("c", FORWARD, "tcp dport vmap { 80 : jump x, 90 : drop }")
            ),
            chain(
                "c",
                FORWARD,
                "ip saddr 10.244.1.2 tcp dport vmap { 70-80 : drop, 81 : accept }",
            ),
            // What is not in the map goes on with the next rule, what returns does not.
            chain(
                "c",
                FORWARD,
                "tcp dport vmap { 81 : return }\nmeta l4proto vmap { tcp : drop }",
            ),
            chain(
                "c",
                FORWARD,
                "meta mark set tcp dport map { 80 : 0x00000007, 81 : 0x00000008 }\nmeta mark 0x00000007 drop",
            ),
        ];
        for content in rules {
            check(
                lab,
                "ip",
                &content,
                &[(tcp_80(4000), "dropped"), (tcp_81(), OTHER)],
            );
        }
    });
}

#[test]
fn marks() {
    on_nftables("nft::marks", |lab| {
        for (set, rule, matches) in [
            ("meta mark | 0x00004000", "meta mark 0x00004000", true),
            (
                "meta mark | 0x00004000",
                "meta mark & 0x00004000 != 0x00000000",
                true,
            ),
            ("0x00004001", "meta mark & 0x00004000 == 0x00000000", false),
            (
                "0x00004001",
                "meta mark set meta mark ^ 0x00004000 meta mark 0x00000001",
                true,
            ),
            ("0x00004001", "meta mark != 0x00004000", true),
            ("0x00000000", "meta mark 0x00000001-0x00000002", false),
        ] {
            let rules = format!("meta mark set {set}\n{rule} drop");
            let expected = if matches { "dropped" } else { PASSED };
            let content = chain("c", FORWARD, &rules);
            check(lab, "ip", &content, &[(tcp_80(4000), expected)]);
        }
    });
}

/// Jumps, gotos, returns, policies and several chains of a hook, each with the fate of a packet to port 80 and
/// to port 81.
#[test]
fn control_flow() {
    on_nftables("nft::control_flow", |lab| {
        let chains = |rules: &str, x: &str, y: &str| {
            let called = [chain("y", "", y), chain("x", "", x)].concat();
            format!("{called}{}", chain("c", FORWARD, rules))
        };
        let closed = FORWARD.replace("accept", "drop");
        let later = FORWARD.replace("priority filter", "priority filter + 5");
        for (content, expected) in [
            (
                chains("jump x\ndrop", "tcp dport 80 return\naccept", ""),
                ["dropped", OTHER],
            ),
            (
                chains("jump x\naccept", "goto y\ndrop", "tcp dport 81 drop"),
                [PASSED, "dropped"],
            ),
            (chains("goto x\ndrop", "return", ""), [PASSED, OTHER]),
            (
                chains("tcp dport 80 continue\ndrop", "", ""),
                ["dropped"; 2],
            ),
            (
                chain("c", &closed, "tcp dport 80 accept"),
                [PASSED, "dropped"],
            ),
            (
                chain("c", &closed, "tcp dport 81 return\naccept"),
                [PASSED, "dropped"],
            ),
            // To accept ends a chain, to drop ends them all.
            (
                [
                    chain("c", FORWARD, "tcp dport 80 accept\ndrop"),
                    chain("d", &later, "tcp dport 80 drop"),
                ]
                .concat(),
                ["dropped"; 2],
            ),
        ] {
            let packets = [(tcp_80(4000), expected[0]), (tcp_81(), expected[1])];
            check(lab, "ip", &content, &packets);
        }
    });
}

#[test]
fn states() {
    on_nftables("nft::states", |lab| {
        let question = || udp("10.244.1.2:4000", "10.244.1.3:53");
        let answer = || udp("10.244.1.3:53", "10.244.1.2:4000");
        let unreachable = || port_unreachable("10.244.1.3".parse().unwrap(), &question());
        let asked = "veth3: 10.244.1.2 > 10.244.1.3:53";
        let answered = "veth2: 10.244.1.3 > 10.244.1.2:4000";
        let told = "veth2: 10.244.1.3 > 10.244.1.2";
        for (rule, expected) in [
            ("ct state new", ["dropped", "dropped", told]),
            ("ct state established", [asked, "dropped", told]),
            ("ct state related", [asked, answered, "dropped"]),
            (
                "ct state { established, related }",
                [asked, "dropped", "dropped"],
            ),
            ("ct state != { new, related }", [asked, "dropped", told]),
            ("ct state invalid,untracked", [asked, answered, told]),
            ("ct status dnat", [asked, answered, told]),
            ("ct status seen-reply", [asked, "dropped", "dropped"]),
            ("ct direction reply", [asked, "dropped", "dropped"]),
        ] {
            let content = chain("c", FORWARD, &format!("{rule} drop"));
            let packets = [question(), answer(), unreachable()];
            let rows: Vec<_> = packets.into_iter().zip(expected).collect();
            check(lab, "ip", &content, &rows);
        }
        let stray = [
            (pong(A, B), "dropped"),
            (
                reset(
                    "10.244.1.2:4002".parse().unwrap(),
                    "10.244.1.3:80".parse().unwrap(),
                ),
                "dropped",
            ),
            (ping(A, B), "veth3: 10.244.1.2 > 10.244.1.3"),
            (ack("10.244.1.2:4003", "10.244.1.3:80"), PASSED),
        ];
        check(
            lab,
            "ip",
            &chain("c", FORWARD, "ct state invalid drop"),
            &stray,
        );
        let translated = [
            chain("c", FORWARD, "ct status dnat drop"),
            chain("d", DNAT, "ip daddr 10.96.0.40 dnat to 10.244.1.3"),
        ];
        let packets = [
            (tcp_80(4000), PASSED),
            (syn("10.244.1.2:4001", "10.96.0.40:80"), "dropped"),
        ];
        check(lab, "ip", &translated.concat(), &packets);
    });
}

#[test]
fn rejections() {
    on_nftables("nft::rejections", |lab| {
        for (with, expected) in [
            ("reject", "icmp 3/3"),
            ("reject with icmp host-unreachable", "icmp 3/1"),
            ("reject with icmp net-unreachable", "icmp 3/0"),
            ("reject with icmp admin-prohibited", "icmp 3/13"),
        ] {
            let expected = format!("{expected} from 192.168.10.1");
            let packets = [
                tcp_80(4000),
                udp("10.244.1.2:4000", "10.244.1.3:53"),
                ping(A, B),
            ];
            let rows = packets.map(|packet| (packet, expected.as_str()));
            check(lab, "ip", &chain("c", FORWARD, with), &rows);
        }
        for (with, expected) in [
            ("reject", "icmp 1/4"),
            ("reject with icmpv6 addr-unreachable", "icmp 1/3"),
            ("reject with icmpv6 no-route", "icmp 1/0"),
            ("reject with icmpv6 admin-prohibited", "icmp 1/1"),
        ] {
            let expected = format!("{expected} from fd00:192:168::1");
            let request = syn("[fd00:10:244:1::2]:4000", "[fd00:10:244:1::3]:80");
            check(
                lab,
                "ip6",
                &chain("c", FORWARD, with),
                &[(request, &expected)],
            );
        }
        let either = chain("c", FORWARD, "reject with icmpx admin-prohibited");
        let packets = [
            (tcp_80(4000), "icmp 3/13 from 192.168.10.1"),
            (
                syn("[fd00:10:244:1::2]:4000", "[fd00:10:244:1::3]:80"),
                "icmp 1/1 from fd00:192:168::1",
            ),
        ];
        check(lab, "inet", &either, &packets);
        for (family, from, to) in [
            ("ip", "10.244.1.2:4000", "10.244.1.3:80"),
            ("ip6", "[fd00:10:244:1::2]:4000", "[fd00:10:244:1::3]:80"),
        ] {
            let content = chain("c", FORWARD, "reject with tcp reset");
            let stray = reset(from.parse().unwrap(), to.parse().unwrap());
            let packets = [
                (syn(from, to), "reset"),
                (ack(from, to), "reset"),
                (stray, "dropped"),
            ];
            check(lab, family, &content, &packets);
        }
    });
}

#[test]
fn translations() {
    on_nftables("nft::translations", |lab| {
        let map = "map m {\ntype inet_service : ipv4_addr . inet_service\nelements = { 80 : 10.244.1.3 . 8080 }\n}\n";
        let request = || syn("10.244.1.2:4000", "10.96.0.40:80");
        let hidden = "veth3: 192.168.10.1 > 10.244.1.3:80";
        for (content, packet, expected) in [
            (
                chain("c", DNAT, "meta l4proto tcp dnat to 10.244.1.3:8080"),
                request(),
                "veth3: 10.244.1.2 > 10.244.1.3:8080",
            ),
            (
                chain("c", DNAT, "dnat to 10.244.1.3"),
                ping(A, "10.96.0.40"),
                "veth3: 10.244.1.2 > 10.244.1.3",
            ),
            (
                chain(
                    "c",
                    DNAT,
                    "dnat to ip daddr map { 10.96.0.40 : 10.244.1.3 }",
                ),
                request(),
                PASSED,
            ),
            (
                format!("{map}{}", chain("c", DNAT, "dnat ip to tcp dport map @m")),
                request(),
                "veth3: 10.244.1.2 > 10.244.1.3:8080",
            ),
            // Not in the map, or not TCP: not translated.
            (
                format!("{map}{}", chain("c", DNAT, "dnat ip to tcp dport map @m")),
                udp("10.244.1.2:4000", "10.244.1.3:80"),
                PASSED,
            ),
            (
                format!("{map}{}", chain("c", DNAT, "dnat ip to tcp dport map @m")),
                tcp_81(),
                OTHER,
            ),
            (chain("c", SNAT, "masquerade"), tcp_80(4000), hidden),
            (
                chain("c", SNAT, "masquerade fully-random"),
                tcp_80(4000),
                hidden,
            ),
            (
                chain("c", SNAT, "masquerade fully-random"),
                udp("10.244.1.2:700", "10.244.1.3:53"),
                "veth3: 192.168.10.1 > 10.244.1.3:53",
            ),
            // Hairpin: to oneself by way of the node.
            (
                [
                    chain("c", DNAT, "meta l4proto tcp dnat to 10.244.1.2:8080"),
                    chain(
                        "d",
                        SNAT,
                        "ct status dnat ip saddr . ip daddr { 10.244.1.2 . 10.244.1.2 } masquerade",
                    ),
                ]
                .concat(),
                request(),
                "veth2: 192.168.10.1 > 10.244.1.2:8080",
            ),
        ] {
            load(lab, "ip", &content);
            assert_eq!(lab.converse(&packet).to_string(), expected, "{content}");
        }
        let v6 = [
            chain(
                "c",
                DNAT,
                "meta l4proto tcp dnat to [fd00:10:244:1::3]:8080",
            ),
            chain("d", SNAT, "masquerade"),
        ];
        load(lab, "ip6", &v6.concat());
        let fate = lab.converse(&syn("[fd00:10:244:1::2]:4000", "[fd00:10:96::40]:80"));
        let expected = "veth3: fd00:192:168::1 > [fd00:10:244:1::3]:8080";
        assert_eq!(fate.to_string(), expected);
    });
}

/// A set that packets fill: the second one meets what the first one left (PROXY-54).
#[test]
fn filled_by_packets() {
    const SET: &str = "set s {\ntype ipv4_addr\nsize 65535\nflags dynamic,timeout\ntimeout 1h\n}\n";
    on_nftables("nft::filled_by_packets", |lab| {
        for statement in ["update @s { ip saddr }", "add @s { ip saddr timeout 5m }"] {
            let content = chain("c", FORWARD, &format!("ip saddr @s drop\n{statement}"));
            let packets = [
                (tcp_80(4000), PASSED),
                (tcp_80(4001), "dropped"),
                (
                    syn("10.244.1.4:4000", "10.244.1.3:80"),
                    "veth3: 10.244.1.4 > 10.244.1.3:80",
                ),
                (syn("10.244.1.4:4001", "10.244.1.3:80"), "dropped"),
            ];
            check(lab, "ip", &format!("{SET}{content}"), &packets);
        }
    });
}

/// Kernel and evaluator share no dice: each endpoint gets about its share. Six standard deviations are allowed,
/// which one run in some hundred million exceeds.
#[test]
fn shares() {
    const TRIES: u16 = 1500;
    const MAP: &str = "0 : 10.244.1.2 . 53, 1 : 10.244.1.3 . 53, 2 : 10.244.1.4 . 53";
    on_nftables("nft::shares", |lab| {
        let rule = format!("meta l4proto udp dnat ip to numgen random mod 3 map {{ {MAP} }}");
        load(lab, "ip", &chain("c", DNAT, &rule));
        let mut counts = BTreeMap::<&str, u16>::new();
        for n in 0..TRIES {
            let question = udp(&format!("203.0.113.70:{}", 1024 + n), "10.96.0.10:53");
            match lab.arrive(&question) {
                Fate::Forwarded((interface, _)) => *counts.entry(interface).or_default() += 1,
                other => panic!("{other}"),
            }
        }
        assert_eq!(counts.len(), 3, "{counts:?}");
        let tries = f64::from(TRIES);
        let deviation = (tries * 2.0 / 9.0).sqrt();
        for count in counts.values() {
            assert!(
                (f64::from(*count) - tries / 3.0).abs() < 6.0 * deviation,
                "{counts:?}"
            );
        }
    });
}
