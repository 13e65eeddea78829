//! The wire format in the eyes of another library (hickory): what the server writes reads there as it reads here, and
//! queries written there are answered here.

mod common;

use common::Cluster;
use hickory_proto::op::{Edns, Message, MessageType, OpCode, Query};
use hickory_proto::rr::{Name, Record, RecordType as TheirType};
use switchboard_dns::{
    Rcode, RecordType, ServerOptions, TCP_MAX, UDP_MAX, Upstream, parse_response, query, serve,
};

const OBJECTS: &str = "
{apiVersion: v1, kind: Namespace, metadata: {name: kube-system}}
---
{apiVersion: v1, kind: Service, metadata: {name: kube-dns, namespace: kube-system}, spec: {clusterIP: 10.96.0.10, ports: [{name: dns, port: 53, protocol: UDP}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: alias}, spec: {type: ExternalName, externalName: dual.default.svc.cluster.local}}
---
{apiVersion: v1, kind: Service, metadata: {name: db}, spec: {clusterIP: None, ports: [{name: pg, port: 5432}]}}
---
apiVersion: v1
kind: Service
metadata: {name: dual}
spec:
  ipFamilyPolicy: RequireDualStack
  clusterIP: 10.96.5.2
  clusterIPs: [10.96.5.2, 'fd00::52']
  ports: [{name: http, port: 80}]
";

/// As many endpoints as make answers long.
fn cluster() -> Cluster {
    let upstream = [("api.example.com".to_owned(), vec![[203, 0, 113, 7].into()])];
    let mut cluster = Cluster::with(
        ServerOptions::KUBEADM,
        Upstream::Hosts(upstream.into()),
        OBJECTS,
    );
    let endpoints = (1..=80).map(|n| format!("{{addresses: [10.244.9.{n}], hostname: db-{n}}}"));
    let endpoints: Vec<String> = endpoints.collect();
    cluster.apply(&format!(
        "{{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {{name: db-1, namespace: default, labels: \
         {{kubernetes.io/service-name: db}}}}, addressType: IPv4, ports: [{{name: pg, port: 5432}}], endpoints: [{}]}}",
        endpoints.join(", ")
    ));
    cluster
}

/// Questions of every type, with answers and without.
const QUESTIONS: [(&str, RecordType); 16] = [
    ("dual.default.svc.cluster.local", RecordType::A),
    ("dual.default.svc.cluster.local", RecordType::AAAA),
    ("DUAL.default.SVC.cluster.local", RecordType::SRV),
    ("dual.default.svc.cluster.local", RecordType::MX),
    ("dual.default.svc.cluster.local", RecordType::ANY),
    ("alias.default.svc.cluster.local", RecordType::A),
    ("alias.default.svc.cluster.local", RecordType::CNAME),
    ("db.default.svc.cluster.local", RecordType::A),
    ("_pg._tcp.db.default.svc.cluster.local", RecordType::SRV),
    ("9.9.244.10.in-addr.arpa", RecordType::PTR),
    ("cluster.local", RecordType::SOA),
    ("cluster.local", RecordType::NS),
    ("dns-version.cluster.local", RecordType::TXT),
    ("nosuch.default.svc.cluster.local", RecordType::A),
    ("api.example.com", RecordType::A),
    ("nosuch.example.com", RecordType::AAAA),
];

fn ours(records: &[switchboard_dns::Record]) -> Vec<String> {
    let line = |record: &switchboard_dns::Record| {
        let data = record.data.to_string().replace('"', "");
        let name = record.name.to_lowercase();
        format!(
            "{name}. {} {} {data}",
            record.ttl,
            record.data.record_type()
        )
    };
    records.iter().map(line).collect()
}

fn theirs(records: &[Record]) -> Vec<String> {
    let line = |record: &Record| {
        let name = record.name.to_lowercase();
        format!(
            "{name} {} {} {}",
            record.ttl,
            record.record_type(),
            record.data
        )
    };
    records.iter().map(line).collect()
}

/// Compares what both make of a message.
fn check(bytes: &[u8]) -> Message {
    let (id, _, here) = parse_response(bytes).unwrap();
    let there = Message::from_vec(bytes).unwrap();
    let metadata = &there.metadata;
    assert_eq!(metadata.id, id);
    assert_eq!(metadata.message_type, MessageType::Response);
    let flags = (
        metadata.authoritative,
        metadata.truncation,
        metadata.recursion_available,
    );
    assert_eq!(flags, (here.authoritative, here.truncated, here.recursive));
    let rcode = match here.rcode {
        Rcode::NoError => 0,
        Rcode::NxDomain => 3,
        Rcode::Refused => 5,
        other => panic!("{other} is no answer to any of these"),
    };
    assert_eq!(metadata.response_code.low(), rcode);
    assert_eq!(theirs(&there.answers), ours(&here.answers));
    assert_eq!(theirs(&there.authorities), ours(&here.authority));
    assert_eq!(theirs(&there.additionals), ours(&here.additional));
    there
}

#[test]
fn answers_read_alike() {
    let cluster = cluster();
    for (index, (name, record_type)) in (1..).zip(QUESTIONS) {
        for limit in [UDP_MAX, TCP_MAX] {
            let asked = query(index, name, record_type).unwrap();
            let answer = serve(&cluster.zone, &asked, limit).unwrap();
            assert!(answer.len() <= limit, "{name}");
            check(&answer);
        }
    }
}

fn their_query(name: &str, record_type: TheirType, udp_size: Option<u16>) -> Message {
    let mut message = Message::new(99, MessageType::Query, OpCode::Query);
    message.metadata.recursion_desired = true;
    message.add_query(Query::query(Name::from_ascii(name).unwrap(), record_type));
    if let Some(size) = udp_size {
        let mut edns = Edns::new();
        edns.set_max_payload(size);
        message.set_edns(edns);
    }
    message
}

#[test]
fn their_queries_are_answered_in_as_many_bytes_as_they_say() {
    let cluster = cluster();
    let mut answered = Vec::new();
    for size in [None, Some(256), Some(512), Some(1232), Some(4096)] {
        let asked = their_query("db.default.svc.cluster.local.", TheirType::A, size);
        let bytes = serve(&cluster.zone, &asked.to_vec().unwrap(), UDP_MAX).unwrap();
        let limit = usize::from(size.unwrap_or_default()).max(UDP_MAX);
        assert!(bytes.len() <= limit, "{size:?}: {}", bytes.len());
        let answer = check(&bytes);
        assert_eq!(answer.metadata.truncation, answer.answers.len() < 80);
        assert_eq!(
            answer.edns.as_ref().map(Edns::max_payload),
            size.map(|size| size.max(512))
        );
        answered.push(answer.answers.len());
    }
    // No EDNS means more room by the eleven bytes of its record; a size below 512 is none.
    assert_eq!(answered[1], answered[2]);
    assert!(
        answered[0] >= answered[2] && answered[2] >= 25,
        "{answered:?}"
    );
    assert!(answered[3] > answered[2], "{answered:?}");
    assert_eq!(answered[4], 80);
}

#[test]
fn what_is_no_ordinary_question_is_refused() {
    let zone = cluster().zone;
    let rcode = |message: &Message| {
        let bytes = serve(&zone, &message.to_vec().unwrap(), UDP_MAX).unwrap();
        let answer = Message::from_vec(&bytes).unwrap();
        assert_eq!(answer.metadata.id, 99);
        u16::from(answer.metadata.response_code)
    };
    let name = "dual.default.svc.cluster.local.";
    let plain = || their_query(name, TheirType::A, None);
    assert_eq!(rcode(&plain()), 0);
    let mut update = plain();
    update.metadata.op_code = OpCode::Update;
    assert_eq!(rcode(&update), 4, "NOTIMP");
    let mut chaos = plain();
    chaos.queries[0].set_query_class(hickory_proto::rr::DNSClass::CH);
    assert_eq!(rcode(&chaos), 5, "REFUSED");
    let mut double = plain();
    double.add_query(plain().queries[0].clone());
    assert_eq!(rcode(&double), 1, "FORMERR");
    let mut new = their_query(name, TheirType::A, Some(1232));
    new.edns.as_mut().unwrap().set_version(1);
    assert_eq!(rcode(&new), 16, "BADVERS");
    let mut secure = their_query(name, TheirType::A, Some(1232));
    secure.edns.as_mut().unwrap().flags_mut().dnssec_ok = true;
    assert_eq!(rcode(&secure), 0, "a flag is no version");
    let transfer = their_query("cluster.local.", TheirType::AXFR, None);
    assert_eq!(rcode(&transfer), 5, "REFUSED (DNS-41)");
}
