//! What a proxy takes over, what it leaves alone, and when it does not begin.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

use control::ProxyMode;
use proxy::{Dialect, RuleSink as _, SyncKind};
use rules::{Capabilities, ClusterSizes, ClusterView, NodeFacts};
use ruleset::ipvs::{IpvsCommand, ServerKey, parse_servers, servers_text};
use ruleset::xt::parse;
use ruleset::{Family, Protocol};
use switchboard_node::{IpvsSink, IpvsTools, KernelSink, KernelTools, NftTools, ToolError};

use crate::cluster::{Like, facts, view};
use crate::machine::Machine;

fn sink(machine: &Machine) -> IpvsSink {
    IpvsSink::new(machine.ipvs(), machine.iptables(), Capabilities::default())
}

#[track_caller]
fn commit(sink: &mut IpvsSink, kind: SyncKind, view: &ClusterView) {
    let done = sink.commit(kind, &facts(), view, ClusterSizes::SMALL);
    assert_eq!(done, Ok(()));
}

fn key(address: &str) -> ServerKey {
    ServerKey {
        protocol: Protocol::TCP,
        address: address.parse().unwrap(),
    }
}

/// The weights of the real servers of one virtual server.
fn weights(machine: &Machine, server: &str) -> Vec<(String, u32)> {
    let kernel = machine.kernel();
    let server = kernel.tables[&Family::V4].servers.get(&key(server));
    let reals = server.into_iter().flat_map(|server| &server.real_servers);
    reals
        .map(|(at, real)| (at.to_string(), real.weight))
        .collect()
}

fn connect(machine: &Machine, server: &str, real: &str, counts: (u64, u64)) {
    let place = (key(server), real.parse().unwrap());
    machine.state().kernel.connections.insert(place, counts);
}

/// PROXY-61
#[test]
fn who_has_connections_drains() {
    let machine = Machine::new();
    let mut sink = sink(&machine);
    let three = view(&[Some(Like::plain(7))]);
    commit(&mut sink, SyncKind::Full, &three);
    connect(&machine, "10.96.0.1:80", "10.244.1.11:8080", (1, 0));
    connect(&machine, "10.96.0.1:80", "10.244.1.12:8080", (0, 4));
    let one = view(&[Some(Like::plain(1))]);
    commit(&mut sink, SyncKind::Partial, &one);
    let expect = |expected: &[(&str, u32)]| {
        let expected: Vec<_> = expected
            .iter()
            .map(|(at, weight)| ((*at).to_owned(), *weight))
            .collect();
        assert_eq!(weights(&machine, "10.96.0.1:80"), expected);
    };
    let (first, second, third) = ("10.244.1.10:8080", "10.244.1.11:8080", "10.244.1.12:8080");
    expect(&[(first, 1), (second, 0), (third, 0)]);
    sink.drain().unwrap();
    expect(&[(first, 1), (second, 0), (third, 0)]);
    connect(&machine, "10.96.0.1:80", second, (0, 0));
    sink.drain().unwrap();
    expect(&[(first, 1), (third, 0)]);
    // One that comes back while it drains is served again, by a partial sync and by another proxy.
    commit(&mut sink, SyncKind::Partial, &three);
    expect(&[(first, 1), (second, 1), (third, 1)]);
    connect(&machine, "10.96.0.1:80", third, (2, 2));
    commit(&mut sink, SyncKind::Partial, &one);
    expect(&[(first, 1), (third, 0)]);
    let mut other = self::sink(&machine);
    commit(&mut other, SyncKind::Full, &one);
    expect(&[(first, 1), (third, 0)]);
    connect(&machine, "10.96.0.1:80", third, (0, 0));
    other.drain().unwrap();
    expect(&[(first, 1)]);
}

/// PROXY-61: nobody waits for UDP.
#[test]
fn udp_goes_at_once() {
    let machine = Machine::new();
    let mut sink = sink(&machine);
    let like = |endpoints| Like {
        protocol: Protocol::UDP,
        ..Like::plain(endpoints)
    };
    commit(&mut sink, SyncKind::Full, &view(&[Some(like(3))]));
    let server = ServerKey {
        protocol: Protocol::UDP,
        address: "10.96.0.1:80".parse().unwrap(),
    };
    let real: SocketAddr = "10.244.1.11:8080".parse().unwrap();
    machine
        .state()
        .kernel
        .connections
        .insert((server, real), (9, 9));
    commit(&mut sink, SyncKind::Partial, &view(&[Some(like(1))]));
    let reals = &machine.kernel().tables[&Family::V4].servers[&server].real_servers;
    assert!(!reals.contains_key(&real));
}

/// Virtual servers, sets and rules that are nobody's we know.
fn furnish(machine: &Machine) {
    let mut state = machine.state();
    state.strange_servers = "-A -f 1 -s rr\n-a -f 1 -r 10.9.9.9:0 -g -w 1\n".to_owned();
    state.strange_sets = "create bans hash:mac hashsize 64 maxelem 5\nadd bans 00:11:22:33:44:55\n\
                          create CLUSTER-IPS hash:ip,port family inet hashsize 1024 maxelem 65536 timeout 5\n"
        .to_owned();
    let servers = "-A -t 203.0.113.200:80 -s wlc\n-a -t 203.0.113.200:80 -r 10.9.9.9:80 -g -w 7\n\
                   -A -u 192.168.1.1:30001 -s rr\n-A -t 192.168.1.1:9000 -s rr\n";
    let rules = "*nat\n:CNI - [0:0]\n-A PREROUTING -p tcp -j CNI\n-A CNI -j RETURN\nCOMMIT\n";
    let tables = state.kernel.tables.get_mut(&Family::V4).unwrap();
    tables.servers = parse_servers(servers).unwrap();
    tables.rules = parse(rules, Family::V4).unwrap().into();
}

/// A Service of TCP with a node port whose number a foreign virtual server of UDP has, too.
#[test]
fn what_others_have_stays() {
    let machine = Machine::new();
    furnish(&machine);
    let others = machine.kernel();
    let all = Like {
        has_node_port: true,
        has_external: true,
        balanced: Some(true),
        ..Like::plain(3)
    };
    let mut sink = sink(&machine);
    commit(&mut sink, SyncKind::Full, &view(&[Some(all)]));
    let served = machine.kernel();
    assert_eq!(served.tables[&Family::V4].servers.len(), 4 + 3);
    commit(
        &mut self::sink(&machine),
        SyncKind::Full,
        &ClusterView::default(),
    );
    let kernel = machine.kernel();
    assert_eq!(
        servers_text(&kernel.tables[&Family::V4].servers),
        servers_text(&others.tables[&Family::V4].servers)
    );
    leave(&machine);
    let kernel = machine.kernel();
    for (family, tables) in &others.tables {
        let left = &kernel.tables[family];
        assert_eq!(left.servers, tables.servers);
        assert_eq!(left.sets, tables.sets);
    }
    let rules = ruleset::xt::save_text(&kernel.tables[&Family::V4].rules);
    assert!(rules.contains("-A PREROUTING -p tcp -j CNI"), "{rules}");
    assert!(!rules.contains("KUBE"), "{rules}");
    assert_eq!(kernel.device, None);
}

/// As `--cleanup` does it.
fn leave(machine: &Machine) {
    let rules = switchboard_node::IptablesSink::new(machine.iptables(), Capabilities::default());
    rules.leave().unwrap();
    assert_eq!(sink(machine).leave(), Ok(true));
    assert_eq!(sink(machine).leave(), Ok(false));
    machine.state().started.clear();
    assert_eq!(sink(machine).leave_for_another(), Ok(false));
    assert_eq!(
        machine.state().started,
        ["ip -o link show type dummy"],
        "no module is loaded for it"
    );
}

/// What is left is found without the device, and without a program that is not there.
#[test]
fn what_is_left_without_the_device_goes() {
    for missing in [None, Some("ip"), Some("ipvsadm")] {
        let machine = Machine::new();
        let like = view(&[Some(Like::plain(3))]);
        commit(&mut sink(&machine), SyncKind::Full, &like);
        machine.state().kernel.device = None;
        if missing == Some("ipvsadm") {
            machine.state().has_ipvs = false;
            let mut state = machine.state();
            for tables in state.kernel.tables.values_mut() {
                tables.servers.clear();
            }
        }
        machine.state().missing = missing.into_iter().collect();
        let rules =
            switchboard_node::IptablesSink::new(machine.iptables(), Capabilities::default());
        rules.leave().unwrap();
        assert_eq!(sink(&machine).leave(), Ok(true));
        assert_eq!(sink(&machine).leave(), Ok(false));
        for tables in machine.kernel().tables.values() {
            assert!(tables.servers.is_empty() && tables.sets.is_empty());
        }
    }
}

/// A virtual server of a node port at an address that the node does not have any more.
#[test]
fn what_is_at_a_lost_address_goes() {
    let machine = Machine::new();
    let like = Like {
        has_node_port: true,
        ..Like::plain(1)
    };
    let like = view(&[Some(like)]);
    commit(&mut sink(&machine), SyncKind::Full, &like);
    let whole = machine.kernel();
    let servers = &whole.tables[&Family::V4].servers;
    let (at, server) = servers
        .iter()
        .find(|(key, _)| key.address.ip().to_string() == "192.168.1.1")
        .unwrap();
    let mut lost = *at;
    lost.address.set_ip("192.168.1.77".parse().unwrap());
    let lost = IpvsCommand::AddServer(lost, server.clone());
    machine.state().kernel.act(Family::V4, &lost).unwrap();
    commit(&mut sink(&machine), SyncKind::Full, &like);
    assert_eq!(machine.kernel().tables, whole.tables);
}

/// What the node has on a device of its own is served there, and not bound once more.
#[test]
fn an_external_address_of_the_node_is_not_bound() {
    let machine = Machine::new();
    let like = Like {
        has_external: true,
        ..Like::plain(1)
    };
    let like = view(&[None, Some(like)]);
    commit(&mut sink(&machine), SyncKind::Full, &like);
    let bound = machine.kernel().device.unwrap();
    let external: IpAddr = "192.168.1.2".parse().unwrap();
    assert!(bound.contains(&external), "{bound:?}");
    machine.state().addresses += "3: eth1    inet 192.168.1.2/24 scope global eth1\\       valid_lft forever\n\
         3: eth1    inet6 fe80::1/64 scope link \\       valid_lft forever\n";
    let own = machine.ipvs().own_addresses().unwrap();
    let expected: [IpAddr; 3] =
        ["192.168.1.1", "192.168.1.2", "fd00:1::1"].map(|one| one.parse().unwrap());
    assert_eq!(own, expected);
    let facts = NodeFacts {
        addresses: own,
        ..NodeFacts::clone(&facts())
    };
    let done = sink(&machine).commit(SyncKind::Full, &facts.into(), &like, ClusterSizes::SMALL);
    assert_eq!(done, Ok(()));
    let kernel = machine.kernel();
    assert!(!kernel.is_bound(external));
    assert_eq!(weights(&machine, "192.168.1.2:80").len(), 1);
}

/// PROXY-60
#[test]
fn a_machine_is_made_ready_device_first() {
    let machine = Machine::new();
    machine.state().fails_after = Some(0);
    sink(&machine).prepare().unwrap_err();
    assert!(machine.state().settings.is_empty());
    machine.state().fails_after = None;
    sink(&machine).prepare().unwrap();
    let expected = [
        "net.ipv4.vs.conntrack=1",
        "net.ipv4.vs.expire_nodest_conn=1",
        "net.ipv4.vs.expire_quiescent_template=1",
    ];
    assert_eq!(IpvsTools::SETTINGS, expected);
    let settings = machine.state().settings.clone();
    assert!(settings.iter().eq(&expected), "{settings:?}");
    assert_eq!(machine.kernel().device, Some(BTreeSet::new()));
}

/// What no proxy writes, where a proxy's things are, is put right.
#[test]
fn what_others_broke_is_repaired() {
    let machine = Machine::new();
    let like = view(&[Some(Like::plain(3)), Some(Like::plain(1))]);
    commit(&mut sink(&machine), SyncKind::Full, &like);
    let whole = machine.kernel();
    let first = key("10.96.0.1:80");
    let real: SocketAddr = "10.244.1.10:8080".parse().unwrap();
    let moved = whole.tables[&Family::V4].servers[&first].real_servers[&real];
    for damage in [
        IpvsCommand::DeleteServer(first),
        IpvsCommand::DeleteReal(first, real),
        IpvsCommand::AddReal(first, "10.9.9.9:1".parse().unwrap(), moved),
        IpvsCommand::AddServer(
            key("10.96.0.1:81"),
            whole.tables[&Family::V4].servers[&first].clone(),
        ),
    ] {
        machine.state().kernel.act(Family::V4, &damage).unwrap();
        commit(&mut sink(&machine), SyncKind::Full, &like);
        assert_eq!(machine.kernel().tables, whole.tables, "{damage:?}");
    }
    // Somebody has taken the device away: its addresses are bound again.
    machine.state().kernel.device = None;
    commit(&mut sink(&machine), SyncKind::Full, &like);
    assert_eq!(machine.kernel().device, whole.device);
}

/// A virtual server of a proxy that has an option which no proxy writes.
#[test]
fn a_strange_virtual_server_is_made_anew() {
    let machine = Machine::new();
    let like = view(&[Some(Like::plain(3))]);
    commit(&mut sink(&machine), SyncKind::Full, &like);
    let whole = machine.kernel();
    // Only what `ipvsadm -S` prints is strange here: the kernel has it as it was, and so it can be deleted.
    machine.state().strange_servers = "-A -t 10.96.0.1:80 -s rr -M 255.255.0.0\n".to_owned();
    let mut state = machine.state();
    let tables = state.kernel.tables.get_mut(&Family::V4).unwrap();
    let server = tables.servers[&key("10.96.0.1:80")].clone();
    drop(state);
    let transaction = sink(&machine).plan(&whole.tables[&Family::V4]).unwrap();
    let expected = [
        IpvsCommand::DeleteServer(key("10.96.0.1:80")),
        IpvsCommand::AddServer(key("10.96.0.1:80"), server),
    ];
    assert_eq!(transaction.commands[..2], expected);
}

/// A set of a proxy's name that is of another kind cannot be a proxy's.
#[test]
fn a_set_of_another_kind_is_told() {
    let machine = Machine::new();
    machine.state().strange_sets =
        "create KUBE-CLUSTER-IP hash:net family inet hashsize 1024 maxelem 65536\n".to_owned();
    let done = sink(&machine).commit(
        SyncKind::Full,
        &facts(),
        &ClusterView::default(),
        ClusterSizes::SMALL,
    );
    assert_eq!(
        done.unwrap_err().source.to_string(),
        "ipset printed what is not understood: set KUBE-CLUSTER-IP is a hash:net, not a hash:ip,port"
    );
}

fn tools(machine: &Machine) -> KernelTools {
    KernelTools {
        iptables: machine.iptables(),
        nft: NftTools::in_netns("switchboard-no-such-netns"),
        ipvs: machine.ipvs(),
    }
}

/// The reason names what is missing, and what can be done.
#[test]
fn a_machine_that_cannot_is_refused() {
    let check = |machine: &Machine, expected: &str, remedy: &str| {
        let refused: ToolError = KernelSink::new(ProxyMode::Ipvs, tools(machine)).unwrap_err();
        assert_eq!(refused.to_string(), expected);
        let said = refused.remedy().unwrap();
        assert!(said.starts_with(remedy), "{said}");
        assert_eq!(machine.kernel(), Machine::new().kernel());
    };
    let machine = Machine::new();
    machine.state().has_ipvs = false;
    check(
        &machine,
        "ipvsadm was asked for what it or this kernel does not have: Can't initialize ipvs: Protocol not available; \
         Are you sure that IP Virtual Server is built in the kernel or as module?",
        "load the kernel modules ip_vs and ip_vs_rr",
    );
    for (missing, remedy) in [
        ("ipvsadm", "install the package ipvsadm"),
        ("ipset", "install the package ipset"),
        ("ip", "install the package iproute2"),
        ("sysctl", "install the package procps"),
    ] {
        let machine = Machine::new();
        machine.state().missing = BTreeSet::from([missing]);
        check(&machine, &format!("{missing} is not installed"), remedy);
    }
}

/// A client of the first Service is served in either way after each command, whichever of them is refused.
#[test]
fn modes_make_before_they_break() {
    let service = key("10.96.0.1:80");
    let like = view(&[Some(Like::plain(3))]);
    for (old, new) in [
        (ProxyMode::Iptables, ProxyMode::Ipvs),
        (ProxyMode::Ipvs, ProxyMode::Iptables),
    ] {
        for fails_after in 0.. {
            let machine = Machine::new();
            let go = |mode| {
                let mut sink = KernelSink::new(mode, tools(&machine)).ok()?;
                let done = sink.commit(SyncKind::Full, &facts(), &like, ClusterSizes::SMALL);
                done.ok()
            };
            go(old).unwrap();
            machine.state().history.clear();
            machine.state().fails_after = Some(fails_after);
            let done = go(new);
            let history = std::mem::take(&mut machine.state().history);
            for (step, (kernel, _)) in history.iter().enumerate() {
                let tables = &kernel.tables[&Family::V4];
                let rules = ruleset::xt::save_text(&tables.rules);
                let is_translated = rules.contains("-d 10.96.0.1/32 -p tcp -m comment")
                    && rules.matches("-j DNAT").count() == 2;
                let server = tables.servers.get(&service);
                let is_served = server.is_some_and(|server| server.real_servers.len() == 2)
                    && kernel.is_bound(service.address.ip());
                assert!(is_translated || is_served, "{new:?}, {step}: {rules}");
            }
            if done.is_some() && history.len() < fails_after {
                break;
            }
        }
    }
}

/// A node goes from ipvs to iptables: nothing of the old mode is left, and back.
#[test]
fn modes_take_each_others_things_away() {
    let machine = Machine::new();
    let like = view(&[Some(Like::plain(3))]);
    let go = |mode| {
        let mut sink = KernelSink::new(mode, tools(&machine)).unwrap();
        let done = sink.commit(SyncKind::Full, &facts(), &like, ClusterSizes::SMALL);
        assert_eq!(done, Ok(()));
        sink
    };
    assert_eq!(go(ProxyMode::Ipvs).dialect(), Dialect::Ipvs);
    let ipvs = machine.kernel();
    // What is left of nftables cannot be told here, and is not taken for gone.
    let sink = go(ProxyMode::Iptables);
    assert!(sink.leftover().is_some());
    let kernel = machine.kernel();
    for tables in kernel.tables.values() {
        assert!(tables.servers.is_empty() && tables.sets.is_empty());
    }
    assert_eq!(kernel.device, None);
    let rules = ruleset::xt::save_text(&machine.kernel().tables[&Family::V4].rules);
    assert!(rules.contains("KUBE-SEP-"), "{rules}");
    assert!(!rules.contains("--match-set"), "{rules}");
    go(ProxyMode::Ipvs);
    assert_eq!(machine.kernel().device, ipvs.device);
    assert_eq!(
        machine.kernel().tables[&Family::V4].servers,
        ipvs.tables[&Family::V4].servers
    );
    let rules = ruleset::xt::save_text(&machine.kernel().tables[&Family::V4].rules);
    assert!(!rules.contains("KUBE-SEP-"), "{rules}");
}
