//! What is written by netlink reads as if `nft` had written it, and nothing is written over what others did meanwhile.

use std::sync::Arc;

use conformance::clusters;
use proptest::collection::vec;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use proxy::{RuleSink as _, SyncKind};
use rules::{Capabilities, ClusterSizes, ClusterView, Compiler};
use ruleset::nft::{
    Ident, NftChain, NftFamily, NftRule, NftTables, SetOrMap, Statement, TableKey, Verdict,
    list_text, parse,
};
use switchboard_node::{
    LoadError, NetlinkError, NftLayout, NftTools, NftablesSink, Transport, Unencodable,
};

use crate::backend::Backend;
use crate::clusters::{cluster_view, facts};
use crate::netns::{Netns, skip};
use crate::{node, view};

/// Histories per layout, and how long the longest is.
const HISTORIES: u32 = 8;
const LENGTH: usize = 6;

/// A kernel of its own, and the sink that writes to it.
struct Kernel {
    netns: Netns,
    sink: NftablesSink,
}

impl Kernel {
    fn create(label: &str, transport: Transport) -> Option<Self> {
        let label = format!("{label}-{transport:?}").to_lowercase();
        let netns = Netns::create(&label)?;
        let tools = NftTools::in_netns(netns.name());
        if let Err(error) = tools.check("") {
            skip(&error.to_string());
            return None;
        }
        let sink = NftablesSink::new(tools, Capabilities::default()).by_transport(transport);
        Some(Self { netns, sink })
    }

    fn has(&self, wanted: &NftTables) {
        let listed = self.netns.nft(&["list", "ruleset"]);
        let there = parse(&listed).unwrap_or_else(|error| panic!("{error}\n{listed}"));
        assert!(
            there.canonical() == wanted.canonical(),
            "wanted {}\nlisted {listed}",
            list_text(&wanted.canonical())
        );
    }

    /// What nft prints of the kernel's tables, steps of rules and raw elements among it. Lines are sorted, for a hash
    /// table's order is nobody's, and are without the kernel's numbers of rules and anonymous sets.
    fn steps(&self) -> Vec<String> {
        let listed = self.netns.nft(&["--debug=netlink", "list", "ruleset"]);
        let mut lines = Vec::new();
        let mut is_elements = false;
        for line in listed.lines() {
            // These stand in the raw form as well.
            is_elements |= line.trim_start().starts_with("elements = {");
            if !is_elements {
                lines.push(without_numbers(line));
            }
            is_elements &= !line.trim_end().ends_with('}');
        }
        lines.sort_unstable();
        lines
    }
}

fn without_numbers(line: &str) -> String {
    let words = line.split(' ').map(|word| {
        let is_anonymous = ["__set", "__map", "@__set", "@__map"];
        match is_anonymous.iter().find(|name| word.starts_with(**name)) {
            Some(name) => name,
            None => word,
        }
    });
    let words: Vec<&str> = words.collect();
    let is_head = line.starts_with("ip");
    let last = words.iter().rposition(|word| word.parse::<u64>().is_err());
    match last {
        Some(last) if is_head => words[..=last].join(" "),
        _ => words.join(" "),
    }
}

/// Two kernels, of which one is written by text and one by netlink.
struct Pair {
    text: Kernel,
    netlink: Kernel,
}

impl Pair {
    fn create(label: &str) -> Option<Self> {
        Some(Self {
            text: Kernel::create(label, Transport::Text)?,
            netlink: Kernel::create(label, Transport::Netlink)?,
        })
    }

    /// Makes the tables of both these, and compares; what had to be said by text all the same.
    fn follow(&mut self, wanted: &Arc<NftTables>) -> Option<Unencodable> {
        let done = self.netlink.sink.update(wanted);
        let done = done.unwrap_or_else(|error| panic!("{error}\n{}", list_text(wanted)));
        let script = done.script();
        self.text.sink.update(wanted).unwrap();
        self.netlink.has(wanted);
        assert_eq!(self.text.steps(), self.netlink.steps(), "after {script}");
        self.netlink.sink.take_unencodable()
    }
}

fn tables(view: &ClusterView, layout: NftLayout) -> Arc<NftTables> {
    let mut compiler = Compiler::new(Capabilities::default());
    match layout {
        NftLayout::KubeProxy => compiler.nftables(view, &node()).tables,
        NftLayout::Flat => compiler.flat(view, &node()).tables,
    }
}

fn own(family: NftFamily) -> TableKey {
    let name = Ident::literal("kube-proxy");
    TableKey { family, name }
}

#[test]
fn histories_read_the_same() {
    for (backend, label) in [
        (Backend::Nftables, "nl-nftables"),
        (Backend::Flat, "nl-flat"),
    ] {
        let Some(pair) = Pair::create(label) else {
            return;
        };
        let pair = std::cell::RefCell::new(pair);
        let config = Config {
            cases: HISTORIES,
            max_shrink_iters: 20,
            failure_persistence: None,
            ..Config::default()
        };
        let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
        let histories = vec(clusters(), 1..=LENGTH);
        let judged = TestRunner::new_with_rng(config, rng).run(&histories, |history| {
            for cluster in &history {
                let facts = facts(&cluster.nodes[0], cluster, backend);
                for wanted in backend.compile(&cluster_view(cluster), &facts) {
                    let netfilter::Ruleset::Nft(wanted) = wanted else {
                        panic!("it is a layout of nftables");
                    };
                    let text = pair.borrow_mut().follow(&wanted);
                    assert_eq!(text, None, "{backend:?}");
                }
            }
            Ok(())
        });
        judged.unwrap_or_else(|failure| panic!("{failure}"));
    }
}

/// Everything that there is a form for, whether a layout has it or not.
const ALL_SORTS: &str = r#"
table ip kube-proxy {
    comment "of all sorts"
    set plain { type ipv4_addr . inet_proto . inet_service; comment "hello"; elements = { 10.0.0.1 . tcp . 80 }; }
    set one { type inet_service; flags timeout; elements = { 5 timeout 5m, 6 comment "six" }; }
    set clients { type ipv4_addr; flags dynamic,timeout; timeout 3h; size 65535; }
    set nets { type ipv4_addr; flags interval; elements = { 10.0.0.0/8, 11.0.0.1, 12.0.0.1-12.0.0.9, 224.0.0.0/3 }; }
    set both { type ipv4_addr . inet_service; flags interval; elements = { 10.0.0.0/8 . 80-90, 11.0.0.1 . 5 }; }
    set marks { type ifname . mark; flags timeout; gc-interval 7s; elements = { "eth0" . 0x00000005 }; }
    set others { type icmp_type . nf_proto . pkt_type . ct_state . fib_addrtype; }
    set numbers { typeof numgen random mod 65536; elements = { 5 }; }
    set six { typeof ip6 daddr . meta mark . meta iifname . numgen random mod 65536; }
    map verdicts { type ipv4_addr . inet_service : verdict; elements = { 10.0.0.1 . 80 comment "ec" : goto d, 10.0.0.2 . 80 : drop }; }
    map endpoints {
        typeof ip daddr . meta l4proto . th dport . numgen random mod 65536 : ip daddr . th dport
        elements = { 10.0.0.1 . tcp . 80 . 1 : 10.1.1.1 . 8080 }
    }
    map by-port { typeof th dport . numgen random mod 65536 : ip daddr . th dport; elements = { 80 . 1 : 10.1.1.1 . 8080 }; }
    map to-mark { type ipv4_addr : mark; elements = { 10.0.0.1 : 0x00000007 }; }
    map sticky { type ipv4_addr : ipv4_addr; flags dynamic; size 65535; }
    chain d { comment "a chain"; }
    chain pre {
        comment "a base chain"
        type nat hook prerouting priority dstnat; policy accept;
        ct state new jump d
        ct status dnat drop
        ct state new,related accept comment "two"
        ct state != established accept
        meta mark & 0x00004000 != 0x00000000 meta mark set meta mark ^ 0x00004000
        meta mark set meta mark | 0x00004000
        meta mark set meta mark & 0x00004000
        meta mark set 0x00000055
        meta mark set ip saddr map @to-mark
        ct mark set meta mark
        ip daddr . meta l4proto . th dport @plain drop
        ip daddr . th dport @both drop
        ip daddr @nets drop
        ip daddr != @nets drop
        ip daddr . th dport vmap @verdicts
        dnat ip to ip daddr . meta l4proto . th dport . numgen random mod 5 map @endpoints
        dnat ip to sctp dport . numgen random mod 5 map @by-port
        meta l4proto tcp dnat ip to numgen random mod 2 map { 0 : 10.0.0.1 . 80, 1 : 10.0.0.2 . 81 }
        numgen inc mod 3 offset 1 vmap { 1 : goto d, 2 : drop, 3 : return }
        meta l4proto udp dnat to 10.0.0.1:80 persistent
        dnat to 10.0.0.1
        update @clients { ip saddr }
        add @clients { ip saddr timeout 5m }
        update @sticky { ip saddr : 1.2.3.4 }
        fib saddr type local goto d
        fib daddr type local ip daddr != 127.0.0.0/8 goto d
        ip daddr 10.96.0.0/12 drop
        ip saddr != { 10.0.0.0/8, 12.0.0.0-12.1.0.0, 240.0.0.0/4 } drop
        ip saddr 10.0.0.1-10.0.0.5 drop
        ip saddr != 10.0.0.1-10.0.0.5 drop
        ip saddr . th dport { 10.0.0.1 . 80, 10.0.0.3 . 90-95 } drop
        ip protocol tcp drop
        iifname "veth*" drop
        iifname != "eth0" drop
        oifname { "eth0", "eth1" } drop
        meta l4proto { tcp, udp } drop
        th dport 80 drop
        th sport 80-90 drop
        tcp dport 80 drop
        ip daddr . udp dport @both udp sport 80-90 drop
        th dport > 80 drop
        ct direction reply drop
        meta pkttype multicast drop
        log prefix "hi"
        meta l4proto tcp redirect to :80
        continue
        return
    }
    chain post {
        type nat hook postrouting priority srcnat; policy accept;
        masquerade fully-random
        masquerade
        snat to 10.0.0.1 random
    }
    chain fi {
        type filter hook input priority filter; policy drop;
        counter packets 0 bytes 0
        reject
        reject with icmp host-unreachable
    }
    chain ro { type route hook output priority mangle + 3; policy accept; }
}
table ip6 kube-proxy {
    set nets { type ipv6_addr; flags interval; elements = { fd00::/8 }; }
    map endpoints { typeof ip6 daddr . meta l4proto . th dport . numgen random mod 65536 : ip6 daddr . th dport; }
    map by-port { typeof ip6 daddr . th dport . numgen random mod 65536 : ip6 daddr . th dport; }
    chain pre {
        type nat hook prerouting priority dstnat; policy accept;
        dnat ip6 to ip6 daddr . meta l4proto . th dport . numgen random mod 5 map @endpoints
        dnat ip6 to ip6 daddr . tcp dport . numgen random mod 5 map @by-port
        meta l4proto udp dnat to [fd00::1]:80
        dnat to fd00::1
        ip6 saddr != { fd00::/8, fe80::/10, ff00::/8 } drop
        ip6 daddr ::1 drop
        ip6 daddr != fd00::/13 drop
    }
    chain fi {
        type filter hook input priority filter; policy drop;
        reject
        reject with icmpv6 addr-unreachable
    }
}
"#;

fn all_sorts() -> NftTables {
    let tables = parse(ALL_SORTS);
    tables.unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn all_sorts_read_the_same() {
    let Some(mut pair) = Pair::create("nl-sorts") else {
        return;
    };
    let all = Arc::new(all_sorts());
    assert_eq!(pair.follow(&all), None);
    assert_eq!(pair.follow(&Arc::default()), None);
}

/// Each of the elements by itself, away and back.
#[test]
fn elements_come_and_go() {
    let Some(mut pair) = Pair::create("nl-elements") else {
        return;
    };
    let all = all_sorts();
    let with = Arc::new(all.clone());
    let mut without = all;
    for table in without.tables.values_mut() {
        table.sets.for_each_mut(|one| match one {
            SetOrMap::Set(set) => Arc::make_mut(set).elements.clear(),
            SetOrMap::Map(map) => Arc::make_mut(map).elements.clear(),
        });
    }
    let without = Arc::new(without);
    for wanted in [&with, &without, &with, &without] {
        assert_eq!(pair.follow(wanted), None);
    }
}

/// A network beside another, in either order.
#[test]
fn intervals_may_adjoin() {
    let Some(mut pair) = Pair::create("nl-adjoin") else {
        return;
    };
    for elements in [
        "10.0.0.0/8",
        "10.0.0.0/8, 11.0.0.0/8",
        "11.0.0.0/8",
        "10.0.0.0/8, 11.0.0.0/8",
    ] {
        let text = format!(
            "table ip kube-proxy {{ set nets {{ type ipv4_addr; flags interval; elements = {{ {elements} }}; }} }}"
        );
        let wanted = Arc::new(parse(&text).unwrap());
        pair.netlink.sink.update(&wanted).unwrap();
        assert_eq!(pair.netlink.sink.take_unencodable(), None);
        pair.netlink.has(&wanted);
    }
}

/// What has no form here is left to nft, and what is known afterwards is right.
#[test]
fn text_stands_in() {
    let Some(mut pair) = Pair::create("nl-text") else {
        return;
    };
    let with = |rule: &str| {
        let text = format!("table ip kube-proxy {{ chain c {{ {rule}\n }} }}");
        Arc::new(parse(&text).unwrap())
    };
    let unencodable = pair.follow(&with("icmp type 8 drop"));
    let unencodable = unencodable.expect("a test for ICMP is implied");
    assert_eq!(unencodable.index, 2, "{unencodable}");
    assert_eq!(pair.follow(&with("th dport 80 drop")), None);
    assert!(pair.follow(&with("notrack")).is_some());
    assert_eq!(pair.follow(&with("th dport 81 drop")), None);
}

#[test]
fn what_others_change_is_noticed() {
    let Some(mut kernel) = Kernel::create("nl-race", Transport::Netlink) else {
        return;
    };
    let layout = NftLayout::Flat;
    let damages = [
        "flush chain ip kube-proxy services",
        "delete element ip kube-proxy cluster-ips { 10.96.0.40 }",
        "delete table ip6 kube-proxy",
        "add table ip somebody-else; delete table ip somebody-else",
    ];
    for damage in damages {
        for endpoints in [2, 3, 3] {
            let wanted = tables(&view(endpoints), layout);
            kernel.sink.update(&wanted).unwrap();
            kernel.has(&wanted);
            kernel.netns.nft(&[damage]);
        }
        let wanted = tables(&view(1), layout);
        kernel.sink.update(&wanted).unwrap();
        kernel.has(&wanted);
    }
}

/// The namespace has lost its name, so nft could not read it.
#[test]
fn what_is_known_is_not_read_again() {
    let Some(Kernel { netns, mut sink }) = Kernel::create("nl-known", Transport::Netlink) else {
        return;
    };
    let layout = NftLayout::Flat;
    sink.update(&tables(&view(2), layout)).unwrap();
    drop(netns);
    for endpoints in [3, 3, 1, 0, 2] {
        let wanted = tables(&view(endpoints), layout);
        let done = sink.update(&wanted);
        done.unwrap_or_else(|error| panic!("{endpoints}: {error}"));
    }
}

/// A proxy's commits, of which each is made from the one before.
#[test]
fn commits_follow_each_other() {
    let Some(mut kernel) = Kernel::create("nl-commits", Transport::Netlink) else {
        return;
    };
    for layout in [NftLayout::Flat, NftLayout::KubeProxy] {
        kernel.sink = kernel.sink.in_layout(layout);
        for endpoints in [1, 3, 2, 2, 0] {
            let kind = match endpoints {
                0 => SyncKind::Full,
                _ => SyncKind::Partial,
            };
            let (sink, seen) = (&mut kernel.sink, view(endpoints));
            sink.commit(kind, &node(), &seen, ClusterSizes::SMALL)
                .unwrap();
            kernel.has(&tables(&view(endpoints), layout));
        }
    }
}

#[test]
fn a_refusal_names_the_operation() {
    let Some(mut kernel) = Kernel::create("nl-refused", Transport::Netlink) else {
        return;
    };
    let good = tables(&view(2), NftLayout::Flat);
    kernel.sink.update(&good).unwrap();
    let mut bad = NftTables::clone(&good);
    let table = bad.tables.get_mut(&own(NftFamily::Ip)).unwrap();
    let jump = Statement::Verdict(Verdict::Jump(Ident::literal("nowhere")));
    let chain = NftChain {
        rules: vec![NftRule::new([jump])],
        ..NftChain::default()
    };
    table.put_chain(Ident::literal("lost"), Arc::new(chain));
    let error = kernel.sink.update(&Arc::new(bad)).unwrap_err();
    let LoadError::Netlink(NetlinkError::Refused {
        index, operation, ..
    }) = &error
    else {
        panic!("{error}");
    };
    assert_eq!(*index, 1, "{error}");
    assert_eq!(
        operation,
        "table ip kube-proxy: add to chain lost: jump nowhere"
    );
    kernel.has(&good);
    let wanted = tables(&view(1), NftLayout::Flat);
    kernel.sink.update(&wanted).unwrap();
    kernel.has(&wanted);
}

#[test]
fn others_are_left_alone() {
    let Some(mut kernel) = Kernel::create("nl-others", Transport::Netlink) else {
        return;
    };
    kernel.netns.nft(&[
        "add table ip cni; add chain ip cni hide; add rule ip cni hide meta length 5 accept; \
         add table inet kube-proxy; add table bridge kube-proxy",
    ]);
    let before = kernel.netns.nft(&["list", "ruleset"]);
    for layout in [NftLayout::Flat, NftLayout::KubeProxy] {
        kernel.sink.update(&tables(&view(2), layout)).unwrap();
    }
    kernel.sink.update(&Arc::default()).unwrap();
    assert_eq!(kernel.netns.nft(&["list", "ruleset"]), before);
}

#[test]
fn a_namespace_that_is_not_there() {
    let tools = NftTools::in_netns("switchboard-no-such-netns");
    let sink = NftablesSink::new(tools, Capabilities::default());
    let error = sink.load(&NftTables::new()).unwrap_err();
    let expected = "Cannot open network namespace";
    assert!(error.to_string().contains(expected), "{error}");
}
