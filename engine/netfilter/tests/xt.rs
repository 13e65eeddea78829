//! What rules of iptables do beside kube-proxy's usual ones, as `iptables-save` writes them
//! (iptables-extensions(8)).

mod support;

use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use ruleset::Family;
use ruleset::xt::{XtTables, parse};
use switchboard_netfilter::{
    DropReason, Evaluation, Ingress, NoTrace, NodeTables, Packet, Recorder, Verdict, eval,
};

use support::wire::{ack, echo, syn, syn_ack, tcp, udp};
use support::{TestNode, Walk, shown};

fn tables(text: &str) -> Arc<XtTables> {
    Arc::new(parse(text, Family::V4).unwrap_or_else(|error| panic!("{error}\n{text}")))
}

fn node(text: &str) -> Walk {
    Walk::new(NodeTables::new([tables(text)]).unwrap())
}

fn filter(rules: &[&str]) -> String {
    let rules: String = rules
        .iter()
        .map(|rule| format!("-A FORWARD {rule}\n"))
        .collect();
    format!("*filter\n:FORWARD ACCEPT [0:0]\n{rules}COMMIT\n")
}

fn request() -> Packet {
    syn("10.244.2.5:40000", "10.244.1.6:80")
}

fn is_dropped(verdict: &Verdict) -> bool {
    matches!(verdict, Verdict::Drop(DropReason::Rule(_)))
}

#[track_caller]
fn check(matches: &str, packet: Packet, expected: bool) {
    let verdict = node(&filter(&[&format!("{matches} -j DROP")])).arrives(packet);
    assert_eq!(is_dropped(&verdict), expected, "{matches}: {verdict:?}");
}

#[test]
fn multiport() {
    for (matches, expected) in [
        ("--dports 22,80", true),
        ("--dports 22,81:90", false),
        ("--dports 22,79:90", true),
        ("--sports 80", false),
        ("--ports 80", true),
        ("--ports 40000", true),
        ("! --dports 80", false),
        ("! --dports 81", true),
    ] {
        check(
            &format!("-p tcp -m multiport {matches}"),
            request(),
            expected,
        );
    }
    check("-p udp -m multiport --dports 80", request(), false);
}

#[test]
fn icmp_types() {
    let ping = || echo("10.244.2.5", "10.244.1.6", 7, false);
    check("-p icmp -m icmp --icmp-type 8", ping(), true);
    check("-p icmp -m icmp ! --icmp-type 8", ping(), false);
    check("-p icmp -m icmp --icmp-type 3/3", ping(), false);
    check("-p icmp -m icmp --icmp-type 8/0", ping(), true);
    check("-p icmp -m icmp --icmp-type 8/1", ping(), false);
}

#[test]
fn tcp_flags() {
    let flags = "-p tcp -m tcp --tcp-flags FIN,SYN,RST,ACK SYN";
    check(flags, request(), true);
    check(flags, syn_ack("10.244.2.5:1", "10.244.1.6:2"), false);
    check(
        "-p tcp -m tcp ! --tcp-flags FIN,SYN,RST,ACK SYN",
        request(),
        false,
    );
    let urgent = tcp(
        "10.244.2.5:1",
        "10.244.1.6:2",
        smoltcp::wire::TcpControl::Fin,
        true,
    );
    check("-p tcp -m tcp --tcp-flags FIN,ACK FIN,ACK", urgent, true);
}

/// PROXY-32: `--set` enters the client, `--rcheck --seconds` finds it for so long after.
#[test]
fn recent_lists() {
    let text = filter(&[
        "-p tcp -m tcp --dport 81 -m recent --rcheck --seconds 10 --reap --name L --mask 255.255.255.255 --rsource -j DROP",
        "-p tcp -m tcp --dport 80 -m recent --set --name L --mask 255.255.255.255 --rsource",
        "-p tcp -m tcp --dport 82 -m recent --update --seconds 10 --name L --mask 255.255.255.255 --rsource",
        "-p tcp -m tcp --dport 83 -m recent --remove --name L --mask 255.255.255.255 --rsource",
        "-p tcp -m tcp --dport 84 -m recent --set --name L --mask 255.255.255.255 --rsource -m recent --rcheck --name L --mask 255.255.255.255 --rsource -j DROP",
    ]);
    let mut walk = node(&text);
    let port = |port: u16, host: u8| {
        syn(
            &format!("10.244.2.{host}:40000"),
            &format!("10.244.1.6:{port}"),
        )
    };
    let is_listed = |walk: &mut Walk, host| {
        is_dropped(
            &walk
                .probe(port(81, host), Ingress::Interface("eth1"))
                .verdict,
        )
    };
    walk.now += Duration::from_secs(100);
    assert!(!is_listed(&mut walk, 5));
    walk.forwards(port(80, 5));
    assert!(is_listed(&mut walk, 5));
    assert!(!is_listed(&mut walk, 6));
    walk.now += Duration::from_secs(10);
    assert!(is_listed(&mut walk, 5), "ten seconds are within ten");
    walk.forwards(port(82, 5));
    walk.now += Duration::from_secs(10);
    assert!(is_listed(&mut walk, 5), "renewed");
    walk.forwards(port(82, 6));
    assert!(!is_listed(&mut walk, 6), "only who is listed is renewed");
    walk.forwards(port(83, 5));
    assert!(!is_listed(&mut walk, 5), "removed");
    assert!(
        is_dropped(&walk.arrives(port(84, 7))),
        "a packet sees its own changes"
    );
    assert_eq!(walk.state.recent("L").count(), 1);
    let reaping = port(81, 7);
    walk.now += Duration::from_secs(11);
    assert!(!is_dropped(&walk.arrives(reaping)));
    assert_eq!(walk.state.recent("L").count(), 0, "reaped");
    walk.forwards(port(80, 5));
    walk.state.forget_rules_not_in(&node(&filter(&[])).tables);
    assert_eq!(
        walk.state.recent("L").count(),
        0,
        "the list went with its rules"
    );
}

#[test]
fn hits_are_counted() {
    let text = filter(&[
        "-m recent --rcheck --seconds 60 --hitcount 3 --name L --mask 255.255.255.255 --rsource -j DROP",
        "-m recent --set --name L --mask 255.255.255.255 --rsource",
    ]);
    let mut walk = node(&text);
    let dropped: Vec<bool> = (0..5)
        .map(|port| {
            is_dropped(&walk.arrives(udp(&format!("10.244.2.5:{}", 1000 + port), "10.244.1.6:53")))
        })
        .collect();
    assert_eq!(dropped, [false, false, false, true, true]);
}

#[test]
fn connection_marks() {
    let text = "*mangle\n:PREROUTING ACCEPT [0:0]\n\
                -A PREROUTING -j CONNMARK --restore-mark --nfmask 0xffffffff --ctmask 0xffffffff\n\
                -A PREROUTING -m mark --mark 0x0 -j MARK --set-xmark 0x7/0xffffffff\n\
                -A PREROUTING -j CONNMARK --save-mark --nfmask 0xffffffff --ctmask 0xffffffff\nCOMMIT\n\
                *filter\n:FORWARD ACCEPT [0:0]\n\
                -A FORWARD -p udp -m connmark --mark 0x7 -j DROP\nCOMMIT\n";
    let mut walk = node(text);
    walk.forwards(request());
    assert_eq!(walk.state.entries(walk.now).next().unwrap().mark(), 7);
    assert!(walk.listing()[0].contains("mark=7"));
    assert!(is_dropped(
        &walk.arrives(udp("10.244.2.5:1", "10.244.1.6:2"))
    ));
}

const NAT: &str = "*nat\n:PREROUTING ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n:POSTROUTING ACCEPT [0:0]\n\
    -A PREROUTING -p tcp -m tcp --dport 8000 -j REDIRECT --to-ports 9000\n\
    -A OUTPUT -p tcp -m tcp --dport 8000 -j REDIRECT --to-ports 9000\n\
    -A POSTROUTING -s 10.244.1.7/32 -j SNAT --to-source 192.0.2.1\nCOMMIT\n";

#[test]
fn sources_and_redirection() {
    let mut walk = node(NAT);
    let Verdict::Deliver(here) = walk.arrives(syn("10.244.1.5:40000", "203.0.113.9:8000")) else {
        panic!("not delivered")
    };
    assert_eq!(shown(&here), "tcp 10.244.1.5:40000 -> 192.168.1.1:9000");
    let (left, _) = walk.forwards(syn("10.244.1.7:40000", "203.0.113.9:80"));
    assert_eq!(shown(&left), "tcp 192.0.2.1:40000 -> 203.0.113.9:80");
    let (back, _) = walk.forwards(syn_ack("203.0.113.9:80", "192.0.2.1:40000"));
    assert_eq!(shown(&back), "tcp 203.0.113.9:80 -> 10.244.1.7:40000");
}

#[test]
fn untracked_packets_make_no_entry() {
    let text = "*raw\n:PREROUTING ACCEPT [0:0]\n-A PREROUTING -p udp -j CT --notrack\nCOMMIT\n\
                *filter\n:FORWARD ACCEPT [0:0]\n-A FORWARD -m conntrack --ctstate UNTRACKED -p udp -m udp --dport 54 -j DROP\nCOMMIT\n";
    let mut walk = node(text);
    walk.forwards(udp("10.244.2.5:1", "10.244.1.6:53"));
    assert!(walk.state.is_empty());
    assert!(is_dropped(
        &walk.arrives(udp("10.244.2.5:1", "10.244.1.6:54"))
    ));
}

#[test]
fn logging_changes_nothing() {
    let text = filter(&["-j LOG --log-prefix \"seen: \"", "-p tcp -j DROP"]);
    assert!(is_dropped(&node(&text).arrives(request())));
}

/// KUBE-SERVICES of as many Services: the last one's packet is found, and a kernel's work is told.
#[test]
fn a_long_chain_is_not_scanned_but_counted() {
    let rules: Vec<String> = (0..2000)
        .map(|n| {
            format!(
                "-d 10.96.{}.{}/32 -p tcp -m tcp --dport 80 -j DROP",
                n / 250,
                n % 250
            )
        })
        .collect();
    let rules: Vec<&str> = rules.iter().map(String::as_str).collect();
    let mut walk = node(&filter(&rules));
    let probe = |walk: &mut Walk, to: &str| {
        walk.probe(syn("10.244.1.5:40000", to), Ingress::Interface("eth1"))
    };
    let last = probe(&mut walk, "10.96.7.249:80");
    assert!(is_dropped(&last.verdict));
    assert_eq!(last.rules_tested, 2000);
    let first = probe(&mut walk, "10.96.0.0:80");
    assert_eq!(first.rules_tested, 1);
    let none = probe(&mut walk, "10.96.0.0:81");
    assert!(!is_dropped(&none.verdict));
    assert_eq!(none.rules_tested, 2000);
}

/// A rule of a few addresses, protocols and ports, so that packets meet some.
fn rule() -> impl Strategy<Value = String> {
    let destination = prop::sample::select(vec![
        "",
        "-d 10.96.0.1/32",
        "-d 10.96.0.2/32",
        "-d 10.96.0.0/24",
        "! -d 10.96.0.1/32",
    ]);
    let protocol = prop::sample::select(vec!["tcp", "udp"]);
    // Mostly what is indexed, so that there are runs.
    let port = prop_oneof![
        8 => prop::sample::select(vec!["--dport 80", "--dport 81"]),
        1 => prop::sample::select(vec!["--dport 80:81", "! --dport 80", "--sport 40000"]),
    ];
    let extra = prop_oneof![
        4 => prop::sample::select(vec!["", "-m comment --comment \"default/web\""]),
        1 => prop::sample::select(vec![
            "-m statistic --mode random --probability 0.50000000000",
            "-m recent --rcheck --name L --mask 255.255.255.255 --rsource",
            "-m recent --set --name L --mask 255.255.255.255 --rsource",
        ]),
    ];
    let target = prop::sample::select(vec![
        "",
        "-j DROP",
        "-j RETURN",
        "-j ACCEPT",
        "-j MARK --set-xmark 0x1/0x0",
        "-j OTHER",
        "-g OTHER",
    ]);
    let plain = (destination, protocol, port, extra, any::<bool>(), target).prop_map(
        |(destination, protocol, port, extra, first, target)| {
            let ports = format!("-m {protocol} {port}");
            let (one, two) = if first {
                (extra, &*ports)
            } else {
                (&*ports, extra)
            };
            format!("{destination} -p {protocol} {one} {two} {target}")
        },
    );
    let dice = [
        "-j RETURN",
        "-j DROP",
        "-j OTHER",
        "-j MARK --set-xmark 0x2/0x0",
        "",
    ];
    let dice = (
        prop::sample::select(vec!["0.5", "0.2", "0", "1"]),
        prop::sample::select(dice.to_vec()),
    );
    let dice = dice.prop_map(|(chance, target)| {
        format!(
            "-m comment --comment dice -m statistic --mode random --probability {chance} {target}"
        )
    });
    prop_oneof![
        8 => plain,
        4 => dice,
        1 => Just("-m mark --mark 0x1/0x1 -j OTHER".to_owned()),
    ]
}

proptest! {
    /// The index of long chains: verdict, effects, the number of rules tested and the whole trace are those of a plain
    /// scan.
    #[test]
    fn indexes_change_nothing(
        chains in prop::collection::vec(prop::collection::vec(rule(), 0..24), 2),
        packets in prop::collection::vec((1_u8..4, 80_u16..83, any::<bool>(), any::<bool>()), 1..8),
    ) {
        let lines = |chain: &str, rules: &[String]| -> String {
            rules.iter().filter(|rule| chain == "FORWARD" || !rule.contains("OTHER"))
                .map(|rule| format!("-A {chain} {}\n", rule.trim())).collect()
        };
        let text = format!(
            "*filter\n:FORWARD ACCEPT [0:0]\n:OTHER - [0:0]\n{}{}COMMIT\n",
            lines("FORWARD", &chains[0]), lines("OTHER", &chains[1]),
        );
        let indexed = node(&text);
        let mut plain = node(&text);
        plain.tables = plain.tables.plain_scan();
        prop_assert_eq!(indexed.tables.tables(Family::V4), plain.tables.tables(Family::V4));
        let mut walks = [indexed, plain];
        for (host, port, is_tcp, is_ping) in packets {
            let to = format!("10.96.0.{host}");
            let packet = match (is_ping, is_tcp) {
                (true, true) => echo("10.244.1.5", &to, 7, false),
                (_, true) => ack("10.244.1.5:40000", &format!("{to}:{port}")),
                (_, false) => udp("10.244.1.5:40000", &format!("{to}:{port}")),
            };
            let [left, right] = walks.each_mut().map(|walk| {
                let mut recorder = Recorder::new();
                let unwatched = eval(
                    &walk.tables, &walk.state, &TestNode, packet.clone(), Ingress::Interface("eth1"), walk.now,
                    &mut walk.chooser.clone(), &mut NoTrace,
                );
                let Evaluation { verdict, effects, rules_tested } = eval(
                    &walk.tables, &walk.state, &TestNode, packet.clone(), Ingress::Interface("eth1"), walk.now,
                    &mut walk.chooser, &mut recorder,
                );
                walk.state.commit(effects.clone());
                let watched = Evaluation { verdict, effects, rules_tested };
                assert_eq!(unwatched, watched, "who watches sees what happens anyway");
                (watched, recorder.into_events())
            });
            prop_assert_eq!(left, right);
        }
    }
}
