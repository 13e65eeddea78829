//! Lookups against a zone, without a network: what is asked, in which order, and what is made of it.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;

use api::{Kind, ObjectKey};
use base::{Seed, SimTime};
use switchboard_dns::{
    ClusterZone, Lookup, LookupStep, Query, Rcode, RecordType, ResolvConf, Resolved, ServerOptions,
    TCP_MAX, Transport, UDP_MAX, Upstream, serve,
};

mod common;

use common::Cluster;

/// What a server does with a query.
type Server<'a> = dyn FnMut(&Query) -> Reply + 'a;

enum Reply {
    Bytes(Vec<u8>),
    Silence,
    Unreachable,
}

const BOTH: [RecordType; 2] = [RecordType::A, RecordType::AAAA];

fn conf(options: &[&str]) -> ResolvConf {
    let conf = ResolvConf::cluster_first([10, 96, 0, 10].into(), "shop", "cluster.local");
    ResolvConf {
        options: [&["ndots:5"], options]
            .concat()
            .iter()
            .map(ToString::to_string)
            .collect(),
        ..conf
    }
}

/// Looks a name up; how it ended, and when.
fn look_up(
    conf: ResolvConf,
    name: &str,
    types: &[RecordType],
    server: &mut Server<'_>,
) -> (Resolved, Duration) {
    let (mut now, mut deadline) = (SimTime::ZERO, SimTime::ZERO);
    let ids = Seed::new(1).split("ids");
    let (mut lookup, mut step) =
        Lookup::start(conf, name, types, Transport::Udp, ids, SimTime::ZERO);
    let mut replies: VecDeque<(SocketAddr, Reply)> = VecDeque::new();
    loop {
        match step {
            LookupStep::Done(resolved) => return (resolved, now.since(SimTime::ZERO)),
            LookupStep::Wait => {}
            LookupStep::Send {
                queries,
                deadline: until,
            } => {
                deadline = until;
                replies = queries
                    .iter()
                    .map(|query| (query.server, server(query)))
                    .collect();
            }
        }
        step = match replies.pop_front() {
            Some((from, Reply::Bytes(bytes))) => lookup.received(from, &bytes, now),
            Some((_, Reply::Unreachable)) => lookup.failed("REFUSED", now),
            Some((_, Reply::Silence)) => LookupStep::Wait,
            None => {
                now = deadline;
                lookup.timed_out(now)
            }
        };
    }
}

/// As cluster DNS answers.
fn honest(zone: &ClusterZone) -> impl FnMut(&Query) -> Reply {
    |query| {
        let limit = match query.transport {
            Transport::Udp => UDP_MAX,
            Transport::Tcp => TCP_MAX,
        };
        Reply::Bytes(serve(zone, &query.to_bytes().unwrap(), limit).unwrap())
    }
}

/// An empty answer with a response code.
fn with_code(query: &Query, code: u8) -> Reply {
    let mut bytes = query.to_bytes().unwrap();
    bytes[2] |= 0x80;
    bytes[3] = code;
    Reply::Bytes(bytes)
}

/// Namespaces `shop` and `billing`, with Service `cart` in both; `example.com` is known elsewhere.
fn shop() -> Cluster {
    let hosts = BTreeMap::from([("example.com".to_owned(), vec![[203, 0, 113, 9].into()])]);
    Cluster::with(
        ServerOptions::KUBEADM,
        Upstream::Hosts(hosts),
        "
{apiVersion: v1, kind: Namespace, metadata: {name: shop}}
---
{apiVersion: v1, kind: Namespace, metadata: {name: billing}}
---
{apiVersion: v1, kind: Service, metadata: {name: cart, namespace: shop}, spec: {clusterIP: 10.96.5.1, ports: [{port: 80}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: cart, namespace: billing}, spec: {clusterIP: 10.96.5.2, ports: [{port: 80}]}}
",
    )
}

/// Looks a name up in [`shop`], for one type; how many queries it takes, and the first answer.
fn check(options: &[&str], name: &str, queries: usize, answer: &str) {
    let zone = shop().zone;
    let (resolved, _) = look_up(conf(options), name, &BOTH[..1], &mut honest(&zone));
    assert_eq!(resolved.history.len(), queries, "{name}");
    let first = resolved
        .answers
        .first()
        .map(|record| record.data.to_string());
    assert_eq!(
        first.as_deref(),
        Some(answer).filter(|text| !text.is_empty()),
        "{name}"
    );
}

#[test]
fn dns_59_to_62_and_99_names_of_the_cluster() {
    check(&[], "cart", 1, "10.96.5.1");
    check(&[], "cart.billing", 2, "10.96.5.2");
    check(&[], "cart.billing.svc", 3, "10.96.5.2");
    check(&[], "cart.billing.svc.cluster.local", 4, "10.96.5.2");
    check(&[], "cart.billing.svc.cluster.local.", 1, "10.96.5.2");
    check(&[], "web", 4, "");
}

#[test]
fn dns_63_64_and_67_names_outside_the_cluster() {
    check(&[], "example.com", 4, "203.0.113.9");
    check(&[], "example.com.", 1, "203.0.113.9");
    check(&["ndots:1"], "example.com", 1, "203.0.113.9");
    check(&[], "a.b.c.d.e.com", 4, "");
}

#[test]
fn dns_65_fewer_dots_leak_a_query() {
    check(&["ndots:2"], "cart.billing", 2, "10.96.5.2");
    check(&["ndots:2"], "cart.billing.svc", 4, "10.96.5.2");
}

#[test]
fn dns_66_a_namespace_called_com_captures_names() {
    let mut cluster = shop();
    let objects = "
{apiVersion: v1, kind: Namespace, metadata: {name: com}}
---
{apiVersion: v1, kind: Service, metadata: {name: example, namespace: com}, spec: {clusterIP: 10.96.5.3, ports: [{port: 80}]}}
";
    cluster.apply(objects);
    let (resolved, _) = look_up(
        conf(&[]),
        "example.com",
        &BOTH[..1],
        &mut honest(&cluster.zone),
    );
    assert_eq!(resolved.answers[0].name, "example.com.svc.cluster.local");
}

#[test]
fn dns_44_and_52_both_families_at_once_and_one_empty_answer_hurts_nobody() {
    let zone = shop().zone;
    let (resolved, _) = look_up(conf(&[]), "cart.billing", &BOTH, &mut honest(&zone));
    assert_eq!(resolved.history.len(), 4);
    assert_eq!(
        (resolved.rcode, resolved.answers.len()),
        (Some(Rcode::NoError), 1)
    );
    let (resolved, _) = look_up(conf(&[]), "cart", &BOTH[1..], &mut honest(&zone));
    assert_eq!(resolved.history.len(), 4, "NODATA goes on");
    assert_eq!(
        (resolved.rcode, resolved.answers.len()),
        (Some(Rcode::NoError), 0)
    );
}

#[test]
fn dns_68_silence_costs_ten_seconds() {
    let (resolved, took) = look_up(conf(&[]), "cart", &BOTH[..1], &mut |_| Reply::Silence);
    assert_eq!((resolved.history.len(), took.as_secs()), (2, 10));
    assert_eq!(resolved.rcode, None);
    let impatient = conf(&["timeout:1", "attempts:3"]);
    let (resolved, took) = look_up(impatient, "cart", &BOTH[..1], &mut |_| Reply::Silence);
    assert_eq!((resolved.history.len(), took.as_secs()), (3, 3));
}

#[test]
fn dns_68_a_lost_answer_of_two_costs_five_seconds() {
    let zone = shop().zone;
    let mut answer = honest(&zone);
    let mut lost = 1;
    let mut lossy = |query: &Query| match query.record_type {
        RecordType::AAAA if lost > 0 => {
            lost -= 1;
            Reply::Silence
        }
        _ => answer(query),
    };
    let (resolved, took) = look_up(conf(&[]), "cart", &BOTH, &mut lossy);
    assert_eq!(took.as_secs(), 5);
    let asked: Vec<RecordType> = resolved
        .history
        .iter()
        .map(|one| one.query.record_type)
        .collect();
    assert_eq!(asked, [RecordType::A, RecordType::AAAA, RecordType::AAAA]);
    assert_eq!(resolved.answers.len(), 1);
}

#[test]
fn servers_are_asked_in_turn_and_an_unreachable_one_costs_nothing() {
    let zone = shop().zone;
    let mut conf = conf(&[]);
    conf.nameservers.insert(0, "10.9.9.9:53".parse().unwrap());
    let mut answer = honest(&zone);
    let mut servers = |query: &Query| match query.server.ip().to_string().as_str() {
        "10.9.9.9" => Reply::Unreachable,
        _ => answer(query),
    };
    let (resolved, took) = look_up(conf, "cart", &BOTH[..1], &mut servers);
    assert_eq!((resolved.history.len(), took), (2, Duration::ZERO));
    assert_eq!(resolved.history[0].result, Err("REFUSED"));
    assert_eq!(resolved.answers.len(), 1);
}

#[test]
fn a_failing_server_is_asked_twice_and_the_search_goes_on() {
    let (resolved, _) = look_up(conf(&[]), "cart", &BOTH[..1], &mut |query| {
        with_code(query, 2)
    });
    assert_eq!(resolved.rcode, Some(Rcode::ServFail));
    assert_eq!(resolved.history.len(), 8, "four names");
    let (resolved, _) = look_up(conf(&[]), "cart", &BOTH[..1], &mut |query| {
        with_code(query, 5)
    });
    assert_eq!(
        (resolved.rcode, resolved.history.len()),
        (Some(Rcode::Refused), 2)
    );
}

/// A headless Service of so many endpoints that its addresses fill more than one datagram.
fn crowd(count: usize) -> ClusterZone {
    let mut cluster = shop();
    let endpoints = (1..=count).map(|n| format!("{{addresses: [10.244.9.{n}]}}"));
    let endpoints: Vec<String> = endpoints.collect();
    let slice = format!(
        "{{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {{name: many, namespace: shop, labels: \
         {{kubernetes.io/service-name: many}}}}, addressType: IPv4, ports: [], endpoints: [{}]}}",
        endpoints.join(", ")
    );
    let service = "{apiVersion: v1, kind: Service, metadata: {name: many, namespace: shop}, spec: {clusterIP: None}}";
    cluster.apply(&format!("{service}\n---\n{slice}"));
    cluster.zone
}

#[test]
fn what_is_truncated_is_asked_for_again_over_tcp() {
    let zone = crowd(60);
    let (resolved, _) = look_up(conf(&[]), "many", &BOTH, &mut honest(&zone));
    let asked: Vec<_> = resolved
        .history
        .iter()
        .map(|one| (one.query.record_type, one.query.transport, one.result))
        .collect();
    assert_eq!(
        asked,
        [
            (RecordType::A, Transport::Udp, Err("TRUNCATED")),
            (RecordType::AAAA, Transport::Udp, Ok(Rcode::NoError)),
            (RecordType::A, Transport::Tcp, Ok(Rcode::NoError)),
        ]
    );
    assert_eq!(resolved.answers.len(), 60);
}

#[test]
fn with_edns_more_fits_a_datagram() {
    let zone = crowd(60);
    let (resolved, _) = look_up(conf(&["edns0"]), "many", &BOTH[..1], &mut honest(&zone));
    assert_eq!((resolved.history.len(), resolved.answers.len()), (1, 60));
}

#[test]
fn options_change_what_is_sent() {
    let zone = shop().zone;
    let sent = |options: &[&str]| {
        let (resolved, _) = look_up(conf(options), "cart", &BOTH, &mut honest(&zone));
        let sent = resolved.history.into_iter().map(|one| one.query);
        sent.map(|query| (query.record_type, query.transport))
            .collect::<Vec<_>>()
    };
    let (a, aaaa) = (RecordType::A, RecordType::AAAA);
    assert_eq!(sent(&["no-aaaa"]), [(a, Transport::Udp)]);
    assert_eq!(
        sent(&["use-vc"]),
        [(a, Transport::Tcp), (aaaa, Transport::Tcp)]
    );
    // Both are asked for, one after the other.
    let mut under_way = 0;
    let mut answer = honest(&zone);
    let mut counting = |query: &Query| {
        under_way += 1;
        answer(query)
    };
    let (lookup, step) = Lookup::start(
        conf(&["single-request"]),
        "cart",
        &BOTH,
        Transport::Udp,
        Seed::new(1).split("ids"),
        SimTime::ZERO,
    );
    drop(lookup);
    assert!(matches!(step, LookupStep::Send { queries, .. } if queries.len() == 1));
    look_up(conf(&["single-request"]), "cart", &BOTH, &mut counting);
    assert_eq!(under_way, 2);
}

#[test]
fn rotate_begins_anywhere() {
    let mut conf = conf(&["rotate"]);
    let servers = ["10.9.9.7:53", "10.9.9.8:53", "10.9.9.9:53"];
    conf.nameservers = servers.map(|text| text.parse().unwrap()).to_vec();
    let asked = |seed| {
        let ids = Seed::new(seed).split("ids");
        let (_, step) = Lookup::start(
            conf.clone(),
            "cart",
            &BOTH,
            Transport::Udp,
            ids,
            SimTime::ZERO,
        );
        match step {
            LookupStep::Send { queries, .. } => queries[0].server,
            _ => unreachable!("a lookup begins with queries"),
        }
    };
    let seen: std::collections::BTreeSet<_> = (0..20).map(asked).collect();
    assert_eq!(seen.len(), 3);
}

#[test]
fn an_answer_from_elsewhere_is_ignored() {
    let zone = shop().zone;
    let ids = Seed::new(1).split("ids");
    let (mut lookup, step) = Lookup::start(
        conf(&[]),
        "cart",
        &BOTH[..1],
        Transport::Udp,
        ids,
        SimTime::ZERO,
    );
    let LookupStep::Send { queries, .. } = step else {
        panic!("a query comes first")
    };
    let reply = serve(&zone, &queries[0].to_bytes().unwrap(), UDP_MAX).unwrap();
    let stranger = "10.0.0.1:53".parse().unwrap();
    assert_eq!(
        lookup.received(stranger, &reply, SimTime::ZERO),
        LookupStep::Wait
    );
    let server = queries[0].server;
    assert!(matches!(
        lookup.received(server, &reply, SimTime::ZERO),
        LookupStep::Done(_)
    ));
}

/// DNS-69: what is asked right after a change is answered as changed; nothing is polled, nothing is kept.
#[test]
fn dns_69_records_follow_the_objects() {
    let mut cluster = shop();
    cluster.delete(&ObjectKey::new(Kind::Service, "shop", "cart"));
    let (resolved, _) = look_up(conf(&[]), "cart", &BOTH[..1], &mut honest(&cluster.zone));
    assert_eq!(resolved.rcode, Some(Rcode::NxDomain));
}
