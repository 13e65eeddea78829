//! Virtual servers: packets there and back, memory, and what becomes of connections when real servers change
//! (PROXY-57 … PROXY-61).

mod support;

use std::sync::Arc;
use std::time::Duration;

use ruleset::Family;
use ruleset::ipvs::{IpvsTables, Set, SetEntry, SetKind, SetName, parse_servers, parse_sets};
use ruleset::xt::parse;
use switchboard_netfilter::{
    DropReason, Ingress, NodeTables, Packet, RejectReason, TablesError, Verdict,
};

use support::wire::{ack, echo, socket, syn, syn_ack, tcp, transport, ttl, udp};
use support::{NODE, VIP, Walk, ip, shown};

use smoltcp::wire::TcpControl;

const RULES: &str = "*filter\n\
    :INPUT ACCEPT\n:KUBE-IPVS-FILTER -\n\
    -A INPUT -j KUBE-IPVS-FILTER\n\
    -A KUBE-IPVS-FILTER -m set --match-set KUBE-CLUSTER-IP dst,dst -j RETURN\n\
    -A KUBE-IPVS-FILTER -m conntrack --ctstate NEW -m set --match-set KUBE-IPVS-IPS dst -j REJECT --reject-with icmp-port-unreachable\n\
    COMMIT\n*nat\n\
    :PREROUTING ACCEPT\n:OUTPUT ACCEPT\n:POSTROUTING ACCEPT\n:KUBE-SERVICES -\n:KUBE-POSTROUTING -\n\
    -A PREROUTING -j KUBE-SERVICES\n-A OUTPUT -j KUBE-SERVICES\n-A POSTROUTING -j KUBE-POSTROUTING\n\
    -A KUBE-SERVICES ! -s 10.244.0.0/16 -m set --match-set KUBE-CLUSTER-IP dst,dst -j MARK --set-xmark 0x4000/0x4000\n\
    -A KUBE-POSTROUTING -m set --match-set KUBE-LOOP-BACK dst,dst,src -j MASQUERADE\n\
    -A KUBE-POSTROUTING -m mark --mark 0x4000/0x4000 -j MASQUERADE\n\
    COMMIT\n";

const SETS: &str = "create KUBE-CLUSTER-IP hash:ip,port family inet\n\
    add KUBE-CLUSTER-IP 10.96.0.40,tcp:80\nadd KUBE-CLUSTER-IP 10.96.0.40,udp:53\n\
    create KUBE-LOOP-BACK hash:ip,port,ip family inet\n\
    add KUBE-LOOP-BACK 10.244.1.10,tcp:8080,10.244.1.10\n\
    create KUBE-IPVS-IPS hash:ip family inet\nadd KUBE-IPVS-IPS 10.96.0.40\n";

/// A node's tables with these virtual servers.
fn tables(servers: &str) -> Result<NodeTables, TablesError> {
    NodeTables::new(&[Arc::new(IpvsTables {
        family: Family::V4,
        servers: parse_servers(servers).unwrap(),
        sets: parse_sets(SETS, Family::V4).unwrap(),
        rules: Arc::new(parse(RULES, Family::V4).unwrap()),
        bound: SetName::new("KUBE-IPVS-IPS").unwrap(),
    })])
}

/// The virtual server `10.96.0.40:80` with real servers at port 8080 of these addresses.
fn servers(options: &str, reals: &[&str]) -> String {
    let lines = reals
        .iter()
        .map(|real| format!("-a -t {VIP}:80 -r {real}:8080 -m -w 1\n"));
    format!("-A -t {VIP}:80 {options}\n") + &lines.collect::<String>()
}

fn web(options: &str, reals: &[&str]) -> NodeTables {
    tables(&servers(options, reals)).unwrap()
}

const HERE: &str = "10.244.1.10";
const THERE: &str = "10.244.2.11";

fn to(packet: &Packet) -> String {
    packet.tuple().unwrap().destination_socket().to_string()
}

/// Opens a connection from a port; returns who has it.
fn connect(walk: &mut Walk, port: u16) -> String {
    let client = format!("10.244.1.5:{port}");
    let vip = format!("{VIP}:80");
    let (sent, _) = walk.forwards(syn(&client, &vip));
    let real = to(&sent);
    let (answer, _) = walk.forwards(syn_ack(&real, &client));
    assert_eq!(shown(&answer), format!("tcp {vip} -> {client}"));
    let (last, _) = walk.forwards(ack(&client, &vip));
    assert_eq!(to(&last), real);
    real
}

#[test]
fn a_connection_goes_there_and_back() {
    let mut walk = Walk::new(web("-s rr", &[THERE]));
    let (sent, interface) = walk.forwards(syn("10.244.1.5:999", "10.96.0.40:80"));
    assert_eq!(shown(&sent), "tcp 10.244.1.5:999 -> 10.244.2.11:8080");
    assert_eq!(interface, "eth0");
    assert_eq!(ttl(&sent), ttl(&syn("10.244.1.5:999", "10.96.0.40:80")) - 1);
    let (answer, interface) = walk.forwards(syn_ack("10.244.2.11:8080", "10.244.1.5:999"));
    assert_eq!(shown(&answer), "tcp 10.96.0.40:80 -> 10.244.1.5:999");
    assert_eq!(interface, "pod-10.244.1.5");
    let listing = walk.listing();
    assert!(
        listing[0].contains(
            "src=10.244.1.5 dst=10.96.0.40 sport=999 dport=80 src=10.244.2.11 dst=10.244.1.5"
        ),
        "{listing:?}"
    );
}

/// PROXY-58: one after the other, each connection by itself.
#[test]
fn round_robin_takes_turns() {
    let mut walk = Walk::new(web("-s rr", &[HERE, THERE]));
    let reals: Vec<String> = (1..=6).map(|port| connect(&mut walk, port)).collect();
    let expected = [HERE, THERE].map(|real| format!("{real}:8080"));
    let thrice = [&expected, &expected, &expected];
    assert!(reals.iter().eq(thrice.into_iter().flatten()), "{reals:?}");
    // A packet of one that stands moves no turn, and a probe none either.
    let (again, _) = walk.forwards(ack("10.244.1.5:2", "10.96.0.40:80"));
    assert_eq!(to(&again), expected[1]);
    let _ = walk.probe(
        syn("10.244.1.5:7", "10.96.0.40:80"),
        Ingress::Interface("eth1"),
    );
    assert_eq!(connect(&mut walk, 8), expected[0]);
}

/// PROXY-20, PROXY-24: who is no Pod is hidden; the mark was set before the virtual server had the packet.
#[test]
fn strangers_are_hidden_and_answered() {
    let mut walk = Walk::new(web("-s rr", &[THERE]));
    let (sent, _) = walk.forwards(syn("203.0.113.70:999", "10.96.0.40:80"));
    let hidden = sent.tuple().unwrap().source_socket();
    assert_eq!(hidden.ip(), ip(NODE));
    let (answer, _) = walk.forwards(syn_ack("10.244.2.11:8080", &hidden.to_string()));
    assert_eq!(shown(&answer), "tcp 10.96.0.40:80 -> 203.0.113.70:999");
}

/// PROXY-23
#[test]
fn an_endpoint_that_calls_itself_is_hidden() {
    let mut walk = Walk::new(web("-s rr", &[HERE]));
    let (sent, _) = walk.forwards(syn("10.244.1.10:999", "10.96.0.40:80"));
    assert_eq!(sent.tuple().unwrap().source(), ip(NODE));
    assert_eq!(to(&sent), "10.244.1.10:8080");
}

/// A client on the node itself: the packet is taken out of the output hook, and the answer goes up to it.
#[test]
fn the_node_itself_is_served() {
    let mut walk = Walk::new(web("-s rr", &[THERE]));
    let Verdict::Forward { packet, .. } =
        walk.send(syn("192.168.1.1:999", "10.96.0.40:80"), Ingress::Local)
    else {
        panic!("it leaves the node");
    };
    assert_eq!(to(&packet), "10.244.2.11:8080");
    let source = packet.tuple().unwrap().source_socket().to_string();
    let Verdict::Deliver(answer) = walk.arrives(syn_ack("10.244.2.11:8080", &source)) else {
        panic!("it is for the node");
    };
    assert_eq!(shown(&answer), "tcp 10.96.0.40:80 -> 192.168.1.1:999");
}

/// A real server that is a process of the node.
#[test]
fn a_real_server_on_the_node_itself() {
    let mut walk = Walk::new(web("-s rr", &[NODE]));
    let Verdict::Deliver(packet) = walk.arrives(syn("10.244.1.5:999", "10.96.0.40:80")) else {
        panic!("it is for the node");
    };
    assert_eq!(shown(&packet), "tcp 10.244.1.5:999 -> 192.168.1.1:8080");
    let answer = walk.send(
        syn_ack("192.168.1.1:8080", "10.244.1.5:999"),
        Ingress::Local,
    );
    let Verdict::Forward { packet, .. } = answer else {
        panic!("it leaves the node: {answer:?}");
    };
    assert_eq!(shown(&packet), "tcp 10.96.0.40:80 -> 10.244.1.5:999");
}

/// PROXY-14, PROXY-15: nobody is there, and the client is told at once.
#[test]
fn a_virtual_server_without_real_servers_refuses() {
    let mut walk = Walk::new(web("-s rr", &[]));
    let refused = walk.arrives(syn("10.244.1.5:999", "10.96.0.40:80"));
    let Verdict::Reject { reply, reason } = refused else {
        panic!("{refused:?}");
    };
    assert!(matches!(reason, RejectReason::NoRealServer(_)));
    assert_eq!(
        reason.to_string(),
        "virtual server tcp 10.96.0.40:80 has no real server (port unreachable)"
    );
    assert_eq!(transport(&reply)[..2], [3, 3]);
    assert!(walk.state.is_empty());
}

/// PROXY-16, PROXY-17: the address is the node's own, and refuses what no virtual server serves.
#[test]
fn other_ports_and_pings_are_refused() {
    let mut walk = Walk::new(web("-s rr", &[THERE]));
    for packet in [
        syn("10.244.1.5:999", "10.96.0.40:81"),
        udp("10.244.1.5:999", "10.96.0.40:80"),
        echo("10.244.1.5", VIP, 7, false),
    ] {
        let verdict = walk.arrives(packet);
        assert!(
            matches!(
                &verdict,
                Verdict::Reject {
                    reason: RejectReason::Rule { .. },
                    ..
                }
            ),
            "{verdict:?}"
        );
    }
    // No other address is.
    walk.forwards(syn("10.244.1.5:999", "10.96.0.41:80"));
}

/// PROXY-32, and per virtual server: a client stays, within the time.
#[test]
fn persistence_keeps_clients() {
    let mut walk = Walk::new(web("-s rr -p 60", &[HERE, THERE]));
    let first = connect(&mut walk, 1);
    for port in 2..6 {
        walk.now += Duration::from_secs(50);
        assert_eq!(connect(&mut walk, port), first);
    }
    let (other, _) = walk.forwards(syn("10.244.1.6:1", "10.96.0.40:80"));
    assert_ne!(to(&other), first, "another client comes in turn");
    walk.now += Duration::from_secs(60);
    let later = connect(&mut walk, 6);
    assert_eq!(later, first, "in turn, by now");
    assert_ne!(connect_fresh(&mut walk, 7), None);
}

/// Opens a connection if somebody takes it.
fn connect_fresh(walk: &mut Walk, port: u16) -> Option<String> {
    match walk.arrives(syn(&format!("10.244.1.5:{port}"), "10.96.0.40:80")) {
        Verdict::Forward { packet, .. } => Some(to(&packet)),
        _ => None,
    }
}

/// PROXY-61: a real server of TCP that goes keeps its connections and gets no more; with the virtual server they are lost.
#[test]
fn connections_outlive_their_real_server() {
    let mut walk = Walk::new(web("-s rr", &[HERE, THERE]));
    let (first, second) = (connect(&mut walk, 1), connect(&mut walk, 2));
    assert_eq!([&first, &second], ["10.244.1.10:8080", "10.244.2.11:8080"]);
    walk.tables = web("-s rr", &[THERE]);
    walk.state.forget_rules_not_in(&walk.tables);
    let (still, _) = walk.forwards(ack("10.244.1.5:1", "10.96.0.40:80"));
    assert_eq!(to(&still), first);
    for port in 3..6 {
        assert_eq!(connect(&mut walk, port), second);
    }
    walk.tables = tables("").unwrap();
    let lost = walk.arrives(ack("10.244.1.5:1", "10.96.0.40:80"));
    assert!(
        matches!(lost, Verdict::Drop(DropReason::RealServerGone(_))),
        "{lost:?}"
    );
}

/// A virtual server of DNS with one real one.
fn dns_at(real: &str) -> NodeTables {
    tables(&format!(
        "-A -u {VIP}:53 -s rr\n-a -u {VIP}:53 -r {real}:53 -m -w 1\n"
    ))
    .unwrap()
}

/// A datagram to it, always of one flow.
fn query() -> Packet {
    udp("10.244.1.5:999", "10.96.0.40:53")
}

/// PROXY-60: `expire_nodest_conn`. A flow of UDP is dropped once, and goes to another real server.
#[test]
fn flows_of_udp_do_not_outlive_it() {
    let mut walk = Walk::new(dns_at(HERE));
    assert_eq!(to(&walk.forwards(query()).0), "10.244.1.10:53");
    walk.tables = dns_at(THERE);
    let gone = walk.arrives(query());
    assert!(matches!(gone, Verdict::Drop(DropReason::RealServerGone(_))));
    let (again, _) = walk.forwards(query());
    assert_eq!(to(&again), "10.244.2.11:53");
    let (answer, _) = walk.forwards(udp("10.244.2.11:53", "10.244.1.5:999"));
    assert_eq!(shown(&answer), "udp 10.96.0.40:53 -> 10.244.1.5:999");
}

/// PROXY-73: once the proxy has deleted conntrack's entry, the next packet goes to another real server and is not lost.
#[test]
fn a_flow_of_udp_without_an_entry_is_scheduled_anew() {
    let mut walk = Walk::new(dns_at(HERE));
    assert_eq!(to(&walk.forwards(query()).0), "10.244.1.10:53");
    walk.tables = dns_at(THERE);
    assert_eq!(walk.state.delete(|_| true), 1);
    assert_eq!(to(&walk.forwards(query()).0), "10.244.2.11:53");
    assert_eq!(to(&walk.forwards(query()).0), "10.244.2.11:53");
    walk.tables = tables("").unwrap();
    walk.state.delete(|_| true);
    let alone = walk.arrives(query());
    assert!(matches!(alone, Verdict::Deliver(_)), "no server: {alone:?}");
}

/// IPVS forgets after fifteen minutes what conntrack alone keeps for a day: the client's next packet is reset.
#[test]
fn an_idle_connection_is_forgotten() {
    let mut walk = Walk::new(web("-s rr", &[THERE]));
    connect(&mut walk, 1);
    walk.now += Duration::from_secs(899);
    walk.forwards(ack("10.244.1.5:1", "10.96.0.40:80"));
    walk.now += Duration::from_secs(900);
    let reset = walk.arrives(ack("10.244.1.5:1", "10.96.0.40:80"));
    let Verdict::Reject { reply, reason } = reset else {
        panic!("{reset:?}");
    };
    assert!(matches!(reason, RejectReason::UnknownConnection(_)));
    assert_eq!(transport(&reply)[13] & 0x04, 0x04, "a reset");
}

/// `lc` counts connections as they come and go.
#[test]
fn the_least_loaded_is_next() {
    let mut walk = Walk::new(web("-s lc", &[HERE, THERE]));
    let (here, there) = ("10.244.1.10:8080", "10.244.2.11:8080");
    assert_eq!(connect(&mut walk, 1), here);
    assert_eq!(connect(&mut walk, 2), there);
    assert_eq!(connect(&mut walk, 3), here);
    // The two at the first end; an ended connection counts little.
    for port in [1, 3] {
        let client = format!("10.244.1.5:{port}");
        walk.forwards(tcp(&client, "10.96.0.40:80", TcpControl::Fin, true));
        walk.forwards(tcp(here, &client, TcpControl::Fin, true));
    }
    assert_eq!(connect(&mut walk, 4), here);
    assert_eq!(connect(&mut walk, 5), there);
}

/// What the evaluator does not know is an error with its name, and not a guess.
#[test]
fn what_is_not_evaluated_is_refused() {
    let error = |servers: &str| tables(servers).unwrap_err().to_string();
    assert_eq!(
        error("-A -t 10.96.0.40:80 -s mh"),
        "virtual server tcp 10.96.0.40:80: scheduler mh is not supported (supported: rr, wrr, lc, wlc, sh, dh, sed, nq)"
    );
    assert_eq!(
        error("-A -t 10.96.0.40:80 -s rr\n-a -t 10.96.0.40:80 -r 10.0.0.1:80 -g"),
        "virtual server tcp 10.96.0.40:80: real server 10.0.0.1:80 is not reached by masquerading (-m), which alone is \
         supported"
    );
    assert_eq!(
        error("-A -t [fd00::1]:80 -s rr"),
        "virtual server tcp [fd00::1]:80: addresses of two families"
    );
    let rules = "*nat\n:PREROUTING ACCEPT\n-A PREROUTING -m set --match-set NOWHERE dst -j ACCEPT\nCOMMIT\n";
    let alone = NodeTables::new(&[Arc::new(parse(rules, Family::V4).unwrap())]);
    assert_eq!(
        alone.unwrap_err().to_string(),
        "IPv4 nat/PREROUTING rule 1: no set NOWHERE"
    );
}

/// A set that is asked about fewer parts than it has holds nothing, as in the kernel.
#[test]
fn a_set_compares_all_its_parts() {
    let mut set = Set::new(SetKind::AddressPort);
    let address = socket("10.96.0.41:80");
    let entry = SetEntry::AddressPort(address.ip(), ruleset::Protocol::TCP, address.port());
    set.entries.insert(entry);
    let name = SetName::new("S").unwrap();
    for (sides, is_dropped) in [("dst,dst", true), ("dst", false), ("src,dst", false)] {
        let rules = format!(
            "*filter\n:FORWARD ACCEPT\n-A FORWARD -m set --match-set S {sides} -j DROP\nCOMMIT\n"
        );
        let mut tables = IpvsTables::new(Family::V4, SetName::new("B").unwrap());
        tables.sets.insert(name.clone(), set.clone());
        tables.rules = Arc::new(parse(&rules, Family::V4).unwrap());
        let mut walk = Walk::new(NodeTables::new(&[Arc::new(tables)]).unwrap());
        let verdict = walk.arrives(syn("10.244.1.5:999", "10.96.0.41:80"));
        let dropped = matches!(verdict, Verdict::Drop(_));
        assert_eq!(dropped, is_dropped, "{sides}");
    }
}
