//! What rules of nftables do to packets (nft(8)).

mod support;

use std::sync::Arc;
use std::time::Duration;

use ruleset::nft::{self, NftTables};
use ruleset::xt::{TableName, XtRule, XtTarget};
use ruleset::{Family, Protocol};
use switchboard_netfilter::{
    DropReason, Ingress, NoTrace, NodeTables, Packet, Ratio, Recorder, RejectReason, Ruleset,
    TraceEvent, Verdict, eval, explore,
};

use support::wire::{ack, echo, syn, syn_ack, udp};
use support::{TablesBuilder, Walk, shown, with};

fn parse(text: &str) -> Arc<NftTables> {
    Arc::new(nft::parse(text).unwrap_or_else(|error| panic!("{error}\n{text}")))
}

fn node(text: &str) -> Walk {
    Walk::new(NodeTables::new([parse(text)]).unwrap_or_else(|error| panic!("{error}")))
}

/// A table with one chain at the forward hook.
fn forward(family: &str, rest: &str, rules: &str) -> String {
    format!(
        "table {family} t {{\n{rest}\nchain c {{\ntype filter hook forward priority 0; policy accept;\n{rules}\n}}\n}}\n"
    )
}

fn request() -> Packet {
    syn("10.244.2.5:40000", "10.244.1.6:80")
}

fn is_dropped(verdict: &Verdict) -> bool {
    matches!(verdict, Verdict::Drop(DropReason::Rule(_)))
}

/// Whether a match holds for a packet that arrives at `eth1` and is forwarded through `pod-10.244.1.6`.
#[track_caller]
fn check(expression: &str, packet: Packet, expected: bool) {
    check_with("", expression, packet, expected);
}

#[track_caller]
fn check_with(rest: &str, expression: &str, packet: Packet, expected: bool) {
    let mut node = node(&forward("ip", rest, &format!("{expression} drop")));
    let verdict = node.arrives(packet);
    assert_eq!(is_dropped(&verdict), expected, "{expression}: {verdict:?}");
}

#[test]
fn header_fields_compare() {
    for (expression, expected) in [
        ("ip saddr 10.244.2.5", true),
        ("ip saddr 10.244.2.6", false),
        ("ip saddr != 10.244.2.6", true),
        ("ip saddr 10.244.2.0/24", true),
        ("ip saddr != 10.244.0.0/16", false),
        ("ip daddr 10.244.1.0-10.244.1.9", true),
        ("ip daddr 10.244.1.7-10.244.1.9", false),
        ("ip protocol tcp", true),
        ("meta l4proto { tcp, udp }", true),
        ("meta l4proto udp", false),
        ("meta l4proto != udp", true),
        ("tcp dport 80", true),
        ("tcp dport != 80", false),
        ("tcp dport { 22, 80-90 }", true),
        ("tcp dport { 22, 81-90 }", false),
        ("tcp dport 1-79", false),
        ("tcp sport > 39999", true),
        ("tcp sport >= 40001", false),
        ("tcp sport < 40000", false),
        ("tcp sport <= 40000", true),
        ("th dport 80", true),
        ("iifname \"eth1\"", true),
        ("iifname \"eth*\"", true),
        ("iifname != \"docker0\"", true),
        ("oifname \"pod-*\"", true),
        ("oifname { \"eth0\", \"pod-10.244.1.6\" }", true),
        ("ip saddr . ip daddr { 10.244.2.5 . 10.244.1.6 }", true),
        ("ip daddr . tcp dport { 10.244.1.0/24 . 80-90 }", true),
        ("ip daddr . tcp dport { 10.244.1.0/24 . 81-90 }", false),
        ("fib daddr type local", false),
        ("fib saddr type unicast", true),
        ("ct state new", true),
        ("ct state established,related", false),
        ("ct status dnat", false),
        ("meta mark 0", true),
        ("meta mark & 0x4000 != 0", false),
    ] {
        check(expression, request(), expected);
    }
}

/// A field of another protocol ends the rule, whatever is asked about it: nft tests the protocol first.
#[test]
fn absent_fields_end_the_rule() {
    let ping = || echo("10.244.2.5", "10.244.1.6", 7, false);
    check(
        "tcp dport != 80",
        udp("10.244.2.5:1", "10.244.1.6:2"),
        false,
    );
    check("udp dport 2", udp("10.244.2.5:1", "10.244.1.6:2"), true);
    check("tcp dport 80", ping(), false);
    check("icmp type echo-request", ping(), true);
    check("icmp type echo-request", request(), false);
    // `th` tests nothing, and reads what is there.
    check("th dport 2", udp("10.244.2.5:1", "10.244.1.6:2"), true);
}

#[test]
fn named_sets_and_maps() {
    let sets = "set a { type ipv4_addr . inet_service; elements = { 10.244.1.6 . 80 }\n }\n\
                set n { type ipv4_addr; flags interval; elements = { 10.244.2.0/24, 10.9.0.1-10.9.0.7 }\n }\n\
                map m { type inet_proto . inet_service : verdict; elements = { tcp . 80 : drop, tcp . 81 : accept }\n }\n\
                map k { type ipv4_addr : mark; elements = { 10.244.2.5 : 0x7 }\n }\n";
    check_with(sets, "ip daddr . tcp dport @a", request(), true);
    check_with(sets, "ip daddr . tcp dport != @a", request(), false);
    check_with(sets, "ip saddr @n", request(), true);
    check_with(
        sets,
        "ip saddr @n",
        syn("10.9.0.7:1", "10.244.1.6:80"),
        true,
    );
    check_with(
        sets,
        "ip saddr @n",
        syn("10.9.0.8:1", "10.244.1.6:80"),
        false,
    );
    check_with(
        sets,
        "meta mark set ip saddr map @k meta mark 7",
        request(),
        true,
    );
    let missing = syn("10.244.2.6:1", "10.244.1.6:80");
    check_with(sets, "meta mark set ip saddr map @k", missing, false);
    let mut vmap = node(&forward("ip", sets, "meta l4proto . th dport vmap @m"));
    assert!(is_dropped(&vmap.arrives(request())));
    vmap.forwards(syn("10.244.2.5:1", "10.244.1.6:81"));
    vmap.forwards(syn("10.244.2.5:1", "10.244.1.6:82"));
}

#[test]
fn ipv6_and_both_families() {
    let six = || syn("[fd00:2::5]:40000", "[fd00:1::6]:80");
    let rules =
        "ip6 daddr fd00:1::/64 tcp dport 80 drop\nip saddr 10.244.2.5 meta nfproto ipv4 drop";
    let mut both = node(&forward("inet", "", rules));
    assert!(is_dropped(&both.arrives(six())));
    assert!(is_dropped(&both.arrives(request())));
    let mut one = node(&forward("ip6", "", "tcp dport 80 drop"));
    assert!(is_dropped(&one.arrives(six())));
    one.forwards(request());
}

/// Verdicts: `accept` ends its base chain only, `drop` is final, `return` goes back, `goto` does not.
#[test]
fn verdicts_end_what_they_must() {
    let chains = "chain leaf {\nreturn\ndrop\n}\nchain end {\ncounter\n}\nchain other {\ngoto end\ndrop\n}\n";
    let text = forward("ip", chains, "jump leaf\njump other\ntcp dport 81 drop");
    node(&text).forwards(request());
    assert!(is_dropped(
        &node(&text).arrives(syn("10.244.2.5:1", "10.244.1.6:81"))
    ));
    let gone = forward("ip", chains, "goto end\ndrop");
    node(&gone).forwards(request());

    let two = "table ip t {\nchain early {\ntype filter hook forward priority -10; policy accept;\naccept\n}\n\
               chain late {\ntype filter hook forward priority 10; policy drop;\ntcp dport 80 accept\n}\n}\n";
    node(two).forwards(request());
    let verdict = node(two).arrives(syn("10.244.2.5:1", "10.244.1.6:81"));
    let Verdict::Drop(reason) = verdict else {
        panic!("{verdict:?}")
    };
    assert_eq!(reason.to_string(), "dropped by the policy of ip t/late");
}

/// Of two chains of one priority the one that was registered later comes first (`nf_hook_entries_grow`; seen on
/// Linux 6.18), and iptables hangs between them by its fixed priorities.
#[test]
fn chains_of_one_hook_run_by_priority() {
    let marks = |name: &str, priority: i32, mark: u32| {
        format!(
            "chain {name} {{\ntype filter hook forward priority {priority}; policy accept;\nmeta mark set {mark}\n}}\n"
        )
    };
    let check = |chains: &str, expected: u32| {
        let last = format!(
            "chain last {{\ntype filter hook forward priority 20; policy accept;\nmeta mark {expected} drop\n}}\n"
        );
        let mut node = node(&format!("table ip t {{\n{chains}{last}}}\n"));
        assert!(is_dropped(&node.arrives(request())), "{chains}");
    };
    check(&(marks("a", 0, 1) + &marks("b", 5, 2)), 2);
    check(&(marks("a", 5, 1) + &marks("b", 0, 2)), 1);
    check(&(marks("a", 0, 1) + &marks("b", 0, 2)), 1);

    let set_by_filter = TablesBuilder::new(Family::V4).rule(
        TableName::Filter,
        "FORWARD",
        XtRule::new(XtTarget::SetXmark {
            value: 9,
            mask: u32::MAX,
        }),
    );
    let xt = Ruleset::from(Arc::new(set_by_filter.into_inner()));
    for (priority, expected) in [(-1, 9), (1, 5)] {
        let text = format!(
            "table ip t {{\n{}chain last {{\ntype filter hook forward priority 20; policy accept;\nmeta mark {expected} drop\n}}\n}}\n",
            marks("a", priority, 5)
        );
        let tables = NodeTables::new([xt.clone(), parse(&text).into()]).unwrap();
        assert!(is_dropped(&Walk::new(tables).arrives(request())));
    }
}

#[test]
fn rejects_answer_in_kind() {
    let answer = |rule: &str, packet: Packet| match node(&forward("inet", "", rule)).arrives(packet)
    {
        Verdict::Reject { reply, reason } => {
            let RejectReason::Rule { place, .. } = reason else {
                panic!("{reason}")
            };
            assert_eq!(place.to_string(), "inet t/c rule 1");
            reply
        }
        other => panic!("{other:?}"),
    };
    let refused = answer("reject", request());
    assert_eq!(refused.bytes()[20..22], [3, 3]);
    assert_eq!(refused.quoted_tuple(), request().tuple());
    let reset = answer("reject with tcp reset", request());
    assert_eq!(shown(&reset), "tcp 10.244.1.6:80 -> 10.244.2.5:40000");
    let six = || syn("[fd00:2::5]:40000", "[fd00:1::6]:80");
    let refused = answer("reject with icmpx admin-prohibited", six());
    assert_eq!(refused.bytes()[40..42], [1, 1]);
    // A reset concerns TCP only, and an ICMP code its family.
    for (rule, packet) in [
        ("reject with tcp reset", udp("10.244.2.5:1", "10.244.1.6:2")),
        ("reject with icmpv6 port-unreachable", request()),
    ] {
        node(&forward("inet", "", rule)).forwards(packet);
    }
}

const NAT: &str = "table ip t {\n\
    map to { type ipv4_addr . inet_service : ipv4_addr . inet_service; elements = { 10.96.0.40 . 80 : 10.244.2.11 . 8080 }\n }\n\
    chain pre {\ntype nat hook prerouting priority dstnat; policy accept;\n\
    dnat ip to ip daddr . tcp dport map @to\ntcp dport 8000 redirect to :9000\n}\n\
    chain out {\ntype nat hook output priority -100; policy accept;\ntcp dport 8000 redirect to :9000\n}\n\
    chain post {\ntype nat hook postrouting priority srcnat; policy accept;\n\
    ip saddr 10.244.1.7 snat to 192.0.2.1:4000\nip saddr 10.244.1.8 masquerade fully-random\n}\n}\n";

#[test]
fn translations() {
    let mut node = node(NAT);
    let (left, _) = node.forwards(syn("10.244.1.5:40000", "10.96.0.40:80"));
    assert_eq!(shown(&left), "tcp 10.244.1.5:40000 -> 10.244.2.11:8080");
    let (back, _) = node.forwards(syn_ack("10.244.2.11:8080", "10.244.1.5:40000"));
    assert_eq!(shown(&back), "tcp 10.96.0.40:80 -> 10.244.1.5:40000");
    let (left, _) = node.forwards(syn("10.244.1.7:40000", "203.0.113.9:80"));
    assert_eq!(shown(&left), "tcp 192.0.2.1:4000 -> 203.0.113.9:80");
    // The port is asked for, and taken.
    let taken = node.arrives(syn("10.244.1.7:40001", "203.0.113.9:80"));
    assert_eq!(taken, Verdict::Drop(DropReason::PortsExhausted));
    let (left, _) = node.forwards(syn("10.244.1.8:40000", "203.0.113.9:80"));
    assert!(shown(&left).starts_with("tcp 192.168.1.1:"));
    // Redirected to the node: at the address that faces the client, or at loopback.
    let Verdict::Deliver(here) = node.arrives(syn("10.244.1.5:40000", "203.0.113.9:8000")) else {
        panic!("not delivered")
    };
    assert_eq!(shown(&here), "tcp 10.244.1.5:40000 -> 192.168.1.1:9000");
    let own = node.send(syn("192.168.1.1:40000", "203.0.113.9:8000"), Ingress::Local);
    let Verdict::Deliver(here) = own else {
        panic!("{own:?}")
    };
    assert_eq!(shown(&here), "tcp 192.168.1.1:40000 -> 127.0.0.1:9000");
}

/// Rules that translate see the first packet of a connection only, and the first that translates ends it.
#[test]
fn the_first_translation_counts() {
    let text = "table ip a {\nchain pre {\ntype nat hook prerouting priority -100; policy accept;\ndnat to 10.244.2.11\n}\n}\n\
                table ip b {\nchain pre {\ntype nat hook prerouting priority -110; policy accept;\ndnat to 10.244.3.12\n}\n}\n";
    let (left, _) = node(text).forwards(syn("10.244.1.5:40000", "10.96.0.40:80"));
    assert_eq!(shown(&left), "tcp 10.244.1.5:40000 -> 10.244.3.12:80");
    let mut walk = node(&text.replace("dnat", "ct state established dnat"));
    walk.forwards(syn("10.244.1.5:40000", "10.244.2.5:80"));
    walk.forwards(syn_ack("10.244.2.5:80", "10.244.1.5:40000"));
    let (left, _) = walk.forwards(ack("10.244.1.5:40000", "10.244.2.5:80"));
    assert_eq!(shown(&left), "tcp 10.244.1.5:40000 -> 10.244.2.5:80");
}

/// Affinity as kube-proxy keeps it: `update` renews an element that expires (PROXY-32).
#[test]
fn elements_expire_and_are_renewed() {
    let text = forward(
        "ip",
        "set seen { type ipv4_addr; size 2; flags dynamic,timeout; timeout 10s\n }\n",
        "tcp dport 81 ip saddr @seen drop\ntcp dport 80 update @seen { ip saddr }\n\
         tcp dport 82 add @seen { ip saddr }\ntcp dport 83 delete @seen { ip saddr }",
    );
    let mut walk = node(&text);
    let port = |port: u16, host: u8| {
        syn(
            &format!("10.244.2.{host}:40000"),
            &format!("10.244.1.6:{port}"),
        )
    };
    let is_seen = |walk: &mut Walk, host| {
        is_dropped(
            &walk
                .probe(port(81, host), Ingress::Interface("eth1"))
                .verdict,
        )
    };
    assert!(!is_seen(&mut walk, 5));
    walk.forwards(port(80, 5));
    assert!(is_seen(&mut walk, 5));
    assert!(!is_seen(&mut walk, 6));
    walk.now += Duration::from_secs(9);
    walk.forwards(port(80, 5));
    walk.now += Duration::from_secs(9);
    assert!(is_seen(&mut walk, 5), "renewed");
    walk.forwards(port(82, 5));
    walk.now += Duration::from_secs(1);
    assert!(!is_seen(&mut walk, 5), "`add` does not renew");
    for host in [5, 6, 7] {
        walk.forwards(port(80, host));
    }
    assert!(is_seen(&mut walk, 6));
    assert!(!is_seen(&mut walk, 7), "the set is full");
    walk.forwards(port(83, 6));
    assert!(!is_seen(&mut walk, 6), "deleted");
    let other = node(&forward("ip", "", "accept")).tables;
    walk.state.forget_rules_not_in(&other);
    assert!(!is_seen(&mut walk, 5), "the set was gone in between");
}

/// What one packet changes it sees itself.
#[test]
fn a_packet_sees_its_own_changes() {
    let set = "set seen { type ipv4_addr; flags dynamic\n }\n";
    check_with(
        set,
        "update @seen { ip saddr } ip saddr @seen",
        request(),
        true,
    );
}

#[test]
fn marks_of_packets_and_connections() {
    check(
        "meta mark set 0x10 meta mark set meta mark | 0x4 meta mark 0x14",
        request(),
        true,
    );
    check(
        "meta mark set 0x14 meta mark set meta mark ^ 0x4 meta mark 0x10",
        request(),
        true,
    );
    check("meta mark set 0x14 meta mark & 0x4 == 0x4", request(), true);
    let mut walk = node(&forward(
        "ip",
        "",
        "ct mark 7 drop\nct state established ct mark set 7\nct state new ct mark set 3",
    ));
    walk.forwards(request());
    assert_eq!(walk.state.entries(walk.now).next().unwrap().mark(), 3);
    walk.forwards(syn_ack("10.244.1.6:80", "10.244.2.5:40000"));
    assert_eq!(walk.state.entries(walk.now).next().unwrap().mark(), 7);
    assert!(is_dropped(
        &walk.arrives(ack("10.244.2.5:40000", "10.244.1.6:80"))
    ));
}

#[test]
fn untracked_packets_make_no_entry() {
    let text = "table ip t {\nchain raw {\ntype filter hook prerouting priority raw; policy accept;\nudp dport 53 notrack\n}\n\
                chain c {\ntype filter hook forward priority 0; policy accept;\nct state untracked udp dport 54 drop\n}\n}\n";
    let mut walk = node(text);
    walk.forwards(udp("10.244.2.5:1", "10.244.1.6:53"));
    assert!(walk.state.is_empty());
    walk.forwards(udp("10.244.2.5:1", "10.244.1.6:54"));
    assert_eq!(walk.state.len(), 1);
}

/// `numgen inc`: each in turn, from the rule's own counter.
#[test]
fn counting_goes_round() {
    let mut walk = node(&forward(
        "ip",
        "",
        "numgen inc mod 3 vmap { 0 : accept, 1 : drop, 2 : accept }",
    ));
    let dropped: Vec<bool> = (0..6)
        .map(|port| {
            is_dropped(&walk.arrives(syn(&format!("10.244.2.5:{}", 4000 + port), "10.244.1.6:80")))
        })
        .collect();
    assert_eq!(dropped, [false, true, false, false, true, false]);
}

/// A test that counts packets counts them where it stands: those that a later test would turn away, too.
#[test]
fn a_test_that_counts_comes_before_those_behind_it() {
    let mut walk = node(&forward(
        "ip",
        "",
        "numgen inc mod 2 { 0 } meta l4proto tcp tcp dport 80 drop",
    ));
    let dropped = [22, 80, 22, 80, 80, 80].map(|port| {
        is_dropped(&walk.arrives(syn("10.244.2.5:4000", &format!("10.244.1.6:{port}"))))
    });
    assert_eq!(dropped, [false, false, false, false, true, false]);
}

#[test]
fn traces_name_rules_and_elements() {
    let walk = node(&forward(
        "ip",
        "map m { type inet_proto . inet_service : verdict; elements = { tcp . 80 : goto gone }\n }\nchain gone {\nreject\n}\n",
        "meta l4proto . th dport vmap @m",
    ));
    let mut recorder = Recorder::new();
    let _ = eval(
        &walk.tables,
        &walk.state,
        &support::TestNode,
        request(),
        Ingress::Interface("eth1"),
        walk.now,
        &mut walk.chooser.clone(),
        &mut recorder,
    );
    let matched: Vec<_> = recorder
        .matched_rules()
        .map(|rule| format!("{}: {}", rule.place(), rule.line(Family::V4)))
        .collect();
    assert_eq!(
        matched,
        [
            "ip t/c rule 1: meta l4proto . th dport vmap @m",
            "ip t/gone rule 1: reject"
        ]
    );
    let elements: Vec<_> = recorder
        .events()
        .iter()
        .filter_map(|event| match event {
            TraceEvent::Element(element) => {
                Some((element.set.as_ref()?.as_str(), element.to_string()))
            }
            _ => None,
        })
        .collect();
    assert_eq!(elements, [("m", "tcp . 80 : goto gone".to_owned())]);
}

#[test]
fn reads_back_what_it_was_given() {
    let ours = parse(NAT);
    let theirs = parse(&forward(
        "inet",
        "set s { type ipv4_addr; elements = { 10.0.0.1 }\n }\n",
        "ip saddr @s drop",
    ));
    let node = NodeTables::new([Arc::clone(&ours), Arc::clone(&theirs)]).unwrap();
    let mut expected = (*ours).clone();
    expected.tables.extend(theirs.tables.clone());
    assert_eq!(node.nft_tables(), expected);
    assert!(node.tables(Family::V4).tables.is_empty());
}

#[test]
fn refuses_what_the_kernel_refuses() {
    #[track_caller]
    fn refused(text: &str, message: &str) {
        let error = NodeTables::new([parse(text)]).unwrap_err();
        assert_eq!(error.to_string(), message);
    }
    refused(
        &forward("ip", "", "jump nowhere"),
        "ip t/c rule 1: no chain nowhere",
    );
    refused(
        &forward("ip", "chain b {\ngoto c\n}\n", ""),
        "ip t/b rule 1: c is a base chain",
    );
    refused(
        &forward("ip", "", "accept\nip saddr @s drop"),
        "ip t/c rule 2: no set s",
    );
    refused(
        &forward("ip", "set s { type inet_service\n }\n", "ip saddr @s drop"),
        "ip t/c rule 1: a value of 4 bytes where one of 2 is wanted",
    );
    refused(
        &forward("ip", "", "masquerade"),
        "ip t/c rule 1: masquerade is valid only in nat chains at postrouting",
    );
    refused(
        &forward("ip", "chain b {\ndnat to 10.0.0.1\n}\n", "jump b"),
        "ip t/b rule 1: dnat is valid only in nat chains at prerouting and output",
    );
    refused(
        &forward(
            "ip",
            "chain a {\njump b\n}\nchain b {\njump a\n}\n",
            "jump a",
        ),
        "ip t/a rule 1: chain a is reached from itself",
    );
    let deep: String = (0..17)
        .map(|depth| format!("chain d{depth} {{\njump d{}\n}}\n", depth + 1))
        .collect();
    refused(
        &forward("ip", &(deep + "chain d17 {\n}\n"), "jump d0"),
        "ip t/d15 rule 1: more than 16 jumps, one in the other",
    );
    let twice = [
        parse(&forward("ip", "", "drop")),
        parse(&forward("ip", "", "accept")),
    ];
    let error = NodeTables::new(&twice).unwrap_err();
    assert_eq!(error.to_string(), "two owners fill table ip t differently");
}

/// Rules of both dialects on one node: what iptables drops, nftables cannot save.
#[test]
fn owners_of_both_dialects_share_a_node() {
    let dropping = TablesBuilder::new(Family::V4).rule(
        TableName::Filter,
        "FORWARD",
        with(XtTarget::Drop, vec![]).with_protocol(Protocol::UDP),
    );
    let xt = Ruleset::from(Arc::new(dropping.into_inner()));
    let tables = NodeTables::new([xt, parse(NAT).into()]).unwrap();
    let mut walk = Walk::new(tables);
    let (left, _) = walk.forwards(syn("10.244.1.5:40000", "10.96.0.40:80"));
    assert_eq!(shown(&left), "tcp 10.244.1.5:40000 -> 10.244.2.11:8080");
    assert!(is_dropped(
        &walk.arrives(udp("10.244.1.5:1", "10.96.0.40:53"))
    ));
}

/// kube-proxy's layout (PROXY-47 … -56), with one Service of three endpoints, one of which is the client itself, and
/// one without endpoints.
const KUBE_PROXY: &str = "table ip kube-proxy {
    set hairpin-connections {
        type ipv4_addr . ipv4_addr . inet_proto . inet_service
        elements = { 10.244.1.5 . 10.244.1.5 . tcp . 8080 }
    }
    set cluster-ips {
        type ipv4_addr
        elements = { 10.96.0.40, 10.96.0.41 }
    }
    map no-endpoint-services {
        type ipv4_addr . inet_proto . inet_service : verdict
        elements = { 10.96.0.41 . tcp . 80 : goto reject-chain }
    }
    map service-ips {
        type ipv4_addr . inet_proto . inet_service : verdict
        elements = { 10.96.0.40 . tcp . 80 : goto service-web }
    }
    chain filter-forward {
        type filter hook forward priority filter; policy accept;
        ct state new jump service-endpoints-check
        ct state new jump cluster-ips-check
    }
    chain nat-prerouting {
        type nat hook prerouting priority dstnat; policy accept;
        jump services
    }
    chain nat-postrouting {
        type nat hook postrouting priority srcnat; policy accept;
        jump masquerading
    }
    chain service-endpoints-check {
        ip daddr . meta l4proto . th dport vmap @no-endpoint-services
    }
    chain services {
        ip daddr @cluster-ips ip saddr != 10.244.0.0/16 meta mark set meta mark | 0x00004000
        ip daddr . meta l4proto . th dport vmap @service-ips
    }
    chain masquerading {
        meta mark & 0x00004000 != 0x00000000 meta mark set meta mark ^ 0x00004000 masquerade fully-random
        ct status dnat ip saddr . ip daddr . meta l4proto . th dport @hairpin-connections masquerade fully-random
    }
    chain cluster-ips-check {
        ip daddr @cluster-ips reject
        ip daddr 10.96.0.0/16 drop
    }
    chain reject-chain {
        reject
    }
    chain service-web {
        meta l4proto tcp dnat ip to numgen random mod 3 map { 0 : 10.244.1.5 . 8080, 1 : 10.244.2.11 . 8080, 2 : 10.244.3.12 . 8080 }
    }
}
";

/// PROXY-54: every endpoint has exactly the same chance; hairpin is masqueraded (PROXY-23).
#[test]
fn a_service_is_explored_exactly() {
    let walk = node(KUBE_PROXY);
    let outcomes = explore(|chooser| {
        let evaluation = eval(
            &walk.tables,
            &walk.state,
            &support::TestNode,
            syn("10.244.1.5:40000", "10.96.0.40:80"),
            Ingress::Interface("eth1"),
            walk.now,
            chooser,
            &mut NoTrace,
        );
        match evaluation.verdict {
            Verdict::Forward { packet, .. } => {
                let tuple = packet.tuple().unwrap();
                (
                    tuple.source().to_string(),
                    tuple.destination_socket().to_string(),
                )
            }
            other => panic!("{other:?}"),
        }
    });
    let third = Ratio::new(1, 3).unwrap();
    let expected = [
        ("192.168.1.1", "10.244.1.5:8080"),
        ("10.244.1.5", "10.244.2.11:8080"),
        ("10.244.1.5", "10.244.3.12:8080"),
    ];
    let expected = expected.map(|(from, to)| (third, (from.to_owned(), to.to_owned())));
    assert_eq!(outcomes.unwrap(), expected);
}

/// What a client sees of each kind of address, and that answers find their way back.
#[test]
fn a_cluster_answers_as_kube_proxy_says() {
    let mut walk = node(KUBE_PROXY);
    let (left, _) = walk.forwards(syn("203.0.113.70:40000", "10.96.0.40:80"));
    let tuple = left.tuple().unwrap();
    assert_eq!(
        tuple.source(),
        support::ip("192.168.1.1"),
        "from outside the cluster"
    );
    let server = tuple.destination_socket().to_string();
    let (back, _) = walk.forwards(syn_ack(&server, &tuple.source_socket().to_string()));
    assert_eq!(shown(&back), "tcp 10.96.0.40:80 -> 203.0.113.70:40000");
    let fate = |walk: &mut Walk, to: &str| match walk.arrives(syn("10.244.1.5:40000", to)) {
        Verdict::Reject { reason, .. } => reason.to_string(),
        Verdict::Drop(reason) => reason.to_string(),
        other => panic!("{other:?}"),
    };
    assert_eq!(
        fate(&mut walk, "10.96.0.41:80"),
        "rejected by ip kube-proxy/reject-chain rule 1 (port unreachable)"
    );
    assert_eq!(
        fate(&mut walk, "10.96.0.40:81"),
        "rejected by ip kube-proxy/cluster-ips-check rule 1 (port unreachable)"
    );
    assert_eq!(
        fate(&mut walk, "10.96.0.99:80"),
        "dropped by ip kube-proxy/cluster-ips-check rule 2"
    );
    assert_eq!(walk.state.len(), 1, "what was refused is not remembered");
}
