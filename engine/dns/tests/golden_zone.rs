//! The worked zone of the reference (DNS-74 … DNS-98), as far as this version answers it.

use api::yaml::{Source, split};
use api::{ApiConfig, ApiServer, decode};
use base::{Seed, SimTime};
use switchboard_dns::{
    ClusterZone, Question, Rcode, RecordType, TCP_MAX, UDP_MAX, parse_response, query, serve,
};

const OBJECTS: &str = "
apiVersion: v1
kind: Namespace
metadata: {name: shop}
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec:
  clusterIP: 10.96.5.1
  selector: {app: web}
  ports: [{name: http, port: 80}]
---
apiVersion: v1
kind: Service
metadata: {name: db, namespace: shop}
spec:
  clusterIP: None
  selector: {app: db}
  ports: [{name: pg, port: 5432}]
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: db-1, namespace: shop, labels: {kubernetes.io/service-name: db}}
addressType: IPv4
ports: [{name: pg, port: 5432, protocol: TCP}]
endpoints:
- {addresses: [10.244.1.9], hostname: db-0, conditions: {ready: true}}
- {addresses: [10.244.2.4], conditions: {ready: true}}
- {addresses: [10.244.3.3], conditions: {ready: false}}
---
apiVersion: v1
kind: Service
metadata: {name: none, namespace: shop}
spec:
  clusterIP: None
  selector: {app: none}
  ports: [{port: 80}]
---
apiVersion: v1
kind: Service
metadata: {name: empty, namespace: shop}
spec:
  clusterIP: 10.96.5.3
  selector: {app: empty}
  ports: [{port: 80}]
";

fn server() -> ApiServer {
    let config = ApiConfig {
        service_cidrs: vec!["10.96.0.0/12".parse().unwrap()],
        node_port_range: 30000..=32767,
        dns_domain: "cluster.local".to_owned(),
        api_servers: Vec::new(),
        seed: Seed::new(1),
    };
    let mut server = ApiServer::new(config, SimTime::ZERO);
    create(&mut server, OBJECTS);
    server
}

fn create(server: &mut ApiServer, objects: &str) {
    for document in split(&Source::new("objects", objects)).unwrap() {
        for manifest in decode(&document).unwrap() {
            server.create(manifest.object, SimTime::ZERO).unwrap();
        }
    }
}

fn zone_of(server: &ApiServer) -> ClusterZone {
    let mut zone = ClusterZone::new("cluster.local");
    for event in server.events_after(0) {
        zone.observe(event);
    }
    zone
}

fn zone() -> ClusterZone {
    zone_of(&server())
}

fn check(record_type: RecordType, name: &str, rcode: Rcode, answers: &[&str]) {
    let question = Question {
        name: format!("{name}.cluster.local"),
        record_type,
    };
    let response = zone().answer(&question);
    let mut seen: Vec<String> = response
        .answers
        .iter()
        .map(|r| r.data.to_string())
        .collect();
    seen.sort();
    assert_eq!(
        (response.rcode, seen),
        (rcode, answers.iter().map(ToString::to_string).collect())
    );
    let soa = response
        .authority
        .iter()
        .any(|r| r.data.record_type() == RecordType::SOA);
    assert_eq!(
        soa,
        answers.is_empty(),
        "DNS-42: negative answers carry the SOA, others do not"
    );
    assert!(response.authoritative);
    for record in &response.answers {
        assert_eq!(
            (record.name.as_str(), record.ttl),
            (question.name.as_str(), 30),
            "DNS-18, -45"
        );
    }
}

#[test]
fn dns_74_a_of_a_cluster_ip_service() {
    check(
        RecordType::A,
        "web.shop.svc",
        Rcode::NoError,
        &["10.96.5.1"],
    );
}

#[test]
fn dns_75_aaaa_of_an_ipv4_service_is_nodata() {
    check(RecordType::AAAA, "web.shop.svc", Rcode::NoError, &[]);
}

#[test]
fn dns_78_a_of_a_headless_service_is_its_ready_endpoints() {
    check(
        RecordType::A,
        "db.shop.svc",
        Rcode::NoError,
        &["10.244.1.9", "10.244.2.4"],
    );
}

#[test]
fn dns_79_80_81_endpoints_by_host_name() {
    check(
        RecordType::A,
        "db-0.db.shop.svc",
        Rcode::NoError,
        &["10.244.1.9"],
    );
    check(
        RecordType::A,
        "10-244-2-4.db.shop.svc",
        Rcode::NoError,
        &["10.244.2.4"],
    );
    check(
        RecordType::A,
        "10-244-3-3.db.shop.svc",
        Rcode::NxDomain,
        &[],
    );
}

#[test]
fn dns_22_headless_without_an_endpoint_of_the_family_is_nodata() {
    check(RecordType::AAAA, "db.shop.svc", Rcode::NoError, &[]);
}

#[test]
fn dns_86_a_cluster_ip_resolves_without_endpoints() {
    check(
        RecordType::A,
        "empty.shop.svc",
        Rcode::NoError,
        &["10.96.5.3"],
    );
}

#[test]
fn dns_87_headless_without_ready_endpoints_does_not_exist() {
    check(RecordType::A, "none.shop.svc", Rcode::NxDomain, &[]);
}

#[test]
fn dns_90_case_does_not_count_and_is_kept() {
    check(
        RecordType::A,
        "WEB.Shop.svc",
        Rcode::NoError,
        &["10.96.5.1"],
    );
}

#[test]
fn dns_91_92_namespaces() {
    check(RecordType::A, "web.nosuch.svc", Rcode::NxDomain, &[]);
    check(RecordType::A, "shop.svc", Rcode::NoError, &[]);
    check(RecordType::A, "svc", Rcode::NoError, &[]);
}

#[test]
fn dns_93_pods_insecure_answers_for_any_address() {
    check(
        RecordType::A,
        "10-244-9-9.shop.pod",
        Rcode::NoError,
        &["10.244.9.9"],
    );
    check(RecordType::A, "10-244-9.shop.pod", Rcode::NxDomain, &[]);
    check(RecordType::A, "10-244-9-9.nosuch.pod", Rcode::NxDomain, &[]);
}

#[test]
fn dns_96_97_98_other_questions() {
    check(RecordType::MX, "web.shop.svc", Rcode::NoError, &[]);
    check(RecordType::A, "a.b.web.shop.svc", Rcode::NxDomain, &[]);
    check(RecordType::A, "a.b.c.web.shop.svc", Rcode::NxDomain, &[]);
}

#[test]
fn dns_100_the_canonical_smoke_test() {
    check(
        RecordType::A,
        "kubernetes.default.svc",
        Rcode::NoError,
        &["10.96.0.1"],
    );
}

#[test]
fn names_outside_of_the_zone_do_not_exist() {
    let question = Question {
        name: "notcluster.local".to_owned(),
        record_type: RecordType::A,
    };
    let response = zone().answer(&question);
    assert_eq!(
        (response.rcode, response.authoritative),
        (Rcode::NxDomain, false)
    );
}

#[test]
fn an_answer_that_does_not_fit_a_datagram_is_truncated_and_says_so() {
    let mut server = server();
    let endpoints: String = (1..=120)
        .map(|n| format!("- {{addresses: [10.244.9.{n}]}}\n"))
        .collect();
    let slice = format!(
        "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {{name: many, namespace: shop, \
         labels: {{kubernetes.io/service-name: db}}}}\naddressType: IPv4\nports: []\nendpoints:\n{endpoints}"
    );
    create(&mut server, &slice);
    let zone = zone_of(&server);
    let query = query(1, "db.shop.svc.cluster.local", RecordType::A).unwrap();
    let answer = |limit| serve(&zone, &query, limit).unwrap();
    let (over_udp, over_tcp) = (answer(UDP_MAX), answer(TCP_MAX));
    assert!(over_udp.len() <= UDP_MAX);
    assert_ne!(over_udp[2] & 0x02, 0, "TC");
    let records = |bytes: &[u8]| parse_response(bytes).unwrap().2.answers.len();
    assert!(
        records(&over_udp) >= 25,
        "as many as fit: {}",
        records(&over_udp)
    );
    assert_eq!((records(&over_tcp), over_tcp[2] & 0x02), (122, 0));
}
