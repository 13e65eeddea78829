//! The worked zone of the reference (DNS-74 … DNS-98), and what else its records show.

use std::net::IpAddr;

use api::{Kind, ObjectKey};
use switchboard_dns::{
    PodsMode, Question, Rcode, Record, RecordType, Response, ServerOptions, Upstream, reverse_name,
};

mod common;

use common::Cluster;

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
---
apiVersion: v1
kind: Service
metadata: {name: ext, namespace: shop}
spec: {type: ExternalName, externalName: api.example.com}
---
apiVersion: v1
kind: Service
metadata: {name: alias, namespace: shop}
spec: {type: ExternalName, externalName: web.shop.svc.cluster.local}
---
apiVersion: v1
kind: Service
metadata: {name: loop, namespace: shop}
spec: {type: ExternalName, externalName: loop2.shop.svc.cluster.local}
---
apiVersion: v1
kind: Service
metadata: {name: loop2, namespace: shop}
spec: {type: ExternalName, externalName: loop.shop.svc.cluster.local}
---
apiVersion: v1
kind: Service
metadata: {name: dual, namespace: shop}
spec:
  ipFamilyPolicy: RequireDualStack
  clusterIP: 10.96.5.2
  clusterIPs: [10.96.5.2, 'fd00::52']
  ports: [{name: http, port: 80}]
---
apiVersion: v1
kind: Service
metadata: {name: silent, namespace: shop}
spec: {clusterIP: None}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: silent-1, namespace: shop, labels: {kubernetes.io/service-name: silent}}
addressType: IPv4
ports: []
endpoints: [{addresses: [10.244.4.4]}]
---
apiVersion: v1
kind: Namespace
metadata: {name: kube-system}
---
apiVersion: v1
kind: Service
metadata: {name: kube-dns, namespace: kube-system}
spec: {clusterIP: 10.96.0.10, ports: [{name: dns, port: 53, protocol: UDP}, {name: dns-tcp, port: 53}]}
---
apiVersion: v1
kind: Pod
metadata: {name: web-1, namespace: shop}
spec: {nodeName: n1, containers: [{name: c, image: i}]}
status: {phase: Running, podIP: 10.244.1.20, podIPs: [{ip: 10.244.1.20}]}
";

/// The cluster, with an upstream server that knows where ext points.
fn cluster(options: ServerOptions) -> Cluster {
    let upstream = [("api.example.com".to_owned(), vec![[203, 0, 113, 7].into()])];
    Cluster::with(options, Upstream::Hosts(upstream.into()), OBJECTS)
}

fn ask(cluster: &Cluster, record_type: RecordType, name: &str) -> Response {
    cluster.zone.answer(&Question {
        name: name.to_owned(),
        record_type,
    })
}

fn data(records: &[Record]) -> Vec<String> {
    let mut data: Vec<String> = records
        .iter()
        .map(|record| record.data.to_string())
        .collect();
    data.sort();
    data
}

fn check(record_type: RecordType, name: &str, rcode: Rcode, answers: &[&str]) -> Response {
    let name = format!("{name}.cluster.local");
    let response = ask(&cluster(ServerOptions::KUBEADM), record_type, &name);
    assert_eq!(
        (response.rcode, data(&response.answers)),
        (rcode, texts(answers)),
        "{name}"
    );
    let is_soa = |record: &Record| record.data.record_type() == RecordType::SOA;
    assert_eq!(
        response.authority.iter().any(is_soa),
        answers.is_empty(),
        "DNS-42: negative answers carry the SOA, others do not"
    );
    assert!(response.authoritative);
    response
}

fn texts(texts: &[&str]) -> Vec<String> {
    texts.iter().map(ToString::to_string).collect()
}

const A: RecordType = RecordType::A;
const AAAA: RecordType = RecordType::AAAA;
const SRV: RecordType = RecordType::SRV;
const NO_ERROR: Rcode = Rcode::NoError;
const NX_DOMAIN: Rcode = Rcode::NxDomain;

#[test]
fn dns_4_and_74_a_of_a_cluster_ip_service() {
    let response = check(A, "web.shop.svc", NO_ERROR, &["10.96.5.1"]);
    let record = &response.answers[0];
    assert_eq!(
        (record.name.as_str(), record.ttl),
        ("web.shop.svc.cluster.local", 30),
        "DNS-45"
    );
}

#[test]
fn dns_32_and_75_aaaa_of_an_ipv4_service_is_nodata() {
    check(AAAA, "web.shop.svc", NO_ERROR, &[]);
}

/// DNS-5, DNS-26, DNS-27.
#[test]
fn dns_76_srv_of_a_named_port() {
    let expected = ["0 100 80 web.shop.svc.cluster.local."];
    for name in [
        "_http._tcp.web.shop.svc",
        "http.tcp.web.shop.svc",
        "web.shop.svc",
    ] {
        let response = check(SRV, name, NO_ERROR, &expected);
        assert_eq!(data(&response.additional), ["10.96.5.1"]);
    }
}

#[test]
fn dns_24_33_and_77_srv_of_a_port_that_is_none() {
    check(SRV, "_http._udp.web.shop.svc", NX_DOMAIN, &[]);
    check(SRV, "_https._tcp.web.shop.svc", NX_DOMAIN, &[]);
    check(SRV, "_80._tcp.empty.shop.svc", NX_DOMAIN, &[]);
}

#[test]
fn dns_7_19_and_78_a_of_a_headless_service_is_its_ready_endpoints() {
    check(A, "db.shop.svc", NO_ERROR, &["10.244.1.9", "10.244.2.4"]);
}

#[test]
fn dns_8_16_79_80_and_81_endpoints_by_host_name() {
    check(A, "db-0.db.shop.svc", NO_ERROR, &["10.244.1.9"]);
    check(A, "10-244-2-4.db.shop.svc", NO_ERROR, &["10.244.2.4"]);
    check(A, "10-244-3-3.db.shop.svc", NX_DOMAIN, &[]);
}

#[test]
fn dns_9_25_and_82_srv_of_a_headless_service() {
    let expected = [
        "0 50 5432 10-244-2-4.db.shop.svc.cluster.local.",
        "0 50 5432 db-0.db.shop.svc.cluster.local.",
    ];
    let response = check(SRV, "_pg._tcp.db.shop.svc", NO_ERROR, &expected);
    assert_eq!(data(&response.additional), ["10.244.1.9", "10.244.2.4"]);
}

#[test]
fn dns_22_headless_without_an_endpoint_of_the_family_is_nodata() {
    check(AAAA, "db.shop.svc", NO_ERROR, &[]);
}

#[test]
fn dns_28_headless_without_ports_has_addresses_only() {
    check(A, "silent.shop.svc", NO_ERROR, &["10.244.4.4"]);
    check(SRV, "silent.shop.svc", NO_ERROR, &[]);
    check(SRV, "_x._tcp.silent.shop.svc", NX_DOMAIN, &[]);
}

#[test]
fn dns_11_and_83_an_alias_comes_with_what_it_leads_to() {
    check(
        A,
        "ext.shop.svc",
        NO_ERROR,
        &["203.0.113.7", "api.example.com."],
    );
    check(AAAA, "ext.shop.svc", NO_ERROR, &["api.example.com."]);
    check(
        RecordType::CNAME,
        "ext.shop.svc",
        NO_ERROR,
        &["api.example.com."],
    );
    let response = check(
        A,
        "alias.shop.svc",
        NO_ERROR,
        &["10.96.5.1", "web.shop.svc.cluster.local."],
    );
    assert_eq!(response.answers[1].name, "web.shop.svc.cluster.local");
    check(AAAA, "alias.shop.svc", NO_ERROR, &[]);
    check(A, "loop.shop.svc", NO_ERROR, &[]);
    check(A, "x.ext.shop.svc", NX_DOMAIN, &[]);
}

/// Deviation from the reference, which says NXDOMAIN: CoreDNS finds the alias and then leaves it out
/// (`plugin/kubernetes/kubernetes.go`, `Services`).
#[test]
fn dns_27_and_84_aliases_have_no_srv() {
    check(SRV, "ext.shop.svc", NO_ERROR, &[]);
    check(SRV, "_x._tcp.ext.shop.svc", NO_ERROR, &[]);
}

#[test]
fn dns_51_and_85_both_families() {
    check(A, "dual.shop.svc", NO_ERROR, &["10.96.5.2"]);
    check(AAAA, "dual.shop.svc", NO_ERROR, &["fd00::52"]);
    // DNS-25: the share is counted before what is said twice is left out.
    let response = check(
        SRV,
        "dual.shop.svc",
        NO_ERROR,
        &["0 50 80 dual.shop.svc.cluster.local."],
    );
    assert_eq!(data(&response.additional), ["10.96.5.2", "fd00::52"]);
}

#[test]
fn dns_20_and_86_a_cluster_ip_resolves_without_endpoints() {
    check(A, "empty.shop.svc", NO_ERROR, &["10.96.5.3"]);
}

#[test]
fn dns_21_and_87_headless_without_ready_endpoints_does_not_exist() {
    check(A, "none.shop.svc", NX_DOMAIN, &[]);
}

/// DNS-6, DNS-10.
#[test]
fn dns_88_and_89_names_of_addresses() {
    let cluster = cluster(ServerOptions::KUBEADM);
    let check = |address: &str, expected: &[&str]| {
        let address: IpAddr = address.parse().unwrap();
        let response = ask(&cluster, RecordType::PTR, &reverse_name(address));
        assert_eq!(
            (response.rcode, data(&response.answers)),
            (NO_ERROR, texts(expected))
        );
        assert!(response.authoritative);
    };
    check("10.96.5.1", &["web.shop.svc.cluster.local."]);
    check("10.244.1.9", &["db-0.db.shop.svc.cluster.local."]);
    check("fd00::52", &["dual.shop.svc.cluster.local."]);
}

/// DNS-43: somebody else may know, so the answer is theirs.
#[test]
fn dns_39_addresses_of_nobody_are_passed_on() {
    let asked = |cluster: &Cluster, name: &str| {
        let response = ask(cluster, RecordType::PTR, name);
        (response.rcode, response.authoritative)
    };
    let with_upstream = cluster(ServerOptions::KUBEADM);
    let alone = Cluster::new(OBJECTS);
    for name in ["9.9.9.9.in-addr.arpa", "9.9.in-addr.arpa", "x.ip6.arpa"] {
        assert_eq!(asked(&with_upstream, name), (NX_DOMAIN, false));
        assert_eq!(asked(&alone, name), (Rcode::ServFail, false));
    }
    assert_eq!(asked(&alone, "in-addr.arpa"), (NO_ERROR, true));
}

#[test]
fn dns_17_endpoints_have_names_whatever_their_service() {
    let mut cluster = cluster(ServerOptions::KUBEADM);
    cluster.apply(
        "
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: web-1, namespace: shop, labels: {kubernetes.io/service-name: web}}
addressType: IPv4
ports: [{name: http, port: 8080, protocol: TCP}]
endpoints: [{addresses: [10.244.1.9]}]
",
    );
    let response = ask(&cluster, A, "10-244-1-9.web.shop.svc.cluster.local");
    assert_eq!(data(&response.answers), ["10.244.1.9"]);
    let names = ask(&cluster, RecordType::PTR, "9.1.244.10.in-addr.arpa");
    let expected = [
        "10-244-1-9.web.shop.svc.cluster.local.",
        "db-0.db.shop.svc.cluster.local.",
    ];
    assert_eq!(data(&names.answers), expected, "one a Service");
    // DNS-50: the name goes with the endpoint.
    cluster.delete(&ObjectKey::new(Kind::EndpointSlice, "shop", "web-1"));
    let response = ask(&cluster, A, "10-244-1-9.web.shop.svc.cluster.local");
    assert_eq!(response.rcode, NX_DOMAIN);
}

/// DNS-71: slices of one Service are one answer, and one address is said once.
#[test]
fn dns_71_a_slice_moves_with_its_label() {
    let mut cluster = cluster(ServerOptions::KUBEADM);
    let slice = |service: &str| {
        format!(
            "{{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {{name: more, namespace: shop, labels: \
             {{kubernetes.io/service-name: {service}}}}}, addressType: IPv4, ports: [{{name: pg, port: 5432}}], \
             endpoints: [{{addresses: [10.244.1.9]}}, {{addresses: [10.244.7.7]}}]}}"
        )
    };
    let addresses = |cluster: &Cluster, name: &str| data(&ask(cluster, A, name).answers);
    cluster.apply(&slice("db"));
    let all = ["10.244.1.9", "10.244.2.4", "10.244.7.7"];
    assert_eq!(addresses(&cluster, "db.shop.svc.cluster.local"), all);
    cluster.apply(&slice("none"));
    assert_eq!(addresses(&cluster, "db.shop.svc.cluster.local"), all[..2]);
    assert_eq!(
        addresses(&cluster, "none.shop.svc.cluster.local"),
        ["10.244.1.9", "10.244.7.7"]
    );
}

#[test]
fn dns_18_and_90_case_does_not_count_and_is_kept() {
    let response = check(A, "WEB.Shop.svc", NO_ERROR, &["10.96.5.1"]);
    assert_eq!(response.answers[0].name, "WEB.Shop.svc.cluster.local");
    let loud = ask(
        &cluster(ServerOptions::KUBEADM),
        SRV,
        "web.shop.svc.CLUSTER.local",
    );
    assert_eq!(
        data(&loud.answers),
        ["0 100 80 web.shop.svc.CLUSTER.local."]
    );
}

#[test]
fn dns_29_30_31_91_and_92_namespaces() {
    check(A, "nosuch.shop.svc", NX_DOMAIN, &[]);
    check(A, "web.nosuch.svc", NX_DOMAIN, &[]);
    check(A, "nosuch.svc", NX_DOMAIN, &[]);
    for name in ["shop.svc", "svc", "pod", "shop.pod"] {
        check(A, name, NO_ERROR, &[]);
    }
    assert_eq!(
        ask(&cluster(ServerOptions::KUBEADM), A, "cluster.local").rcode,
        NO_ERROR
    );
}

/// DNS-12.
#[test]
fn dns_37_and_93_pods_insecure_answers_for_any_address() {
    check(A, "10-244-9-9.shop.pod", NO_ERROR, &["10.244.9.9"]);
    check(AAAA, "fd00--9.shop.pod", NO_ERROR, &["fd00::9"]);
    check(A, "10-244-9.shop.pod", NX_DOMAIN, &[]);
    check(A, "10-244-9-9.nosuch.pod", NX_DOMAIN, &[]);
}

#[test]
fn dns_36_38_and_94_pods_verified_and_disabled() {
    let asked = |pods, name: &str| {
        let options = ServerOptions {
            pods,
            ..ServerOptions::KUBEADM
        };
        ask(
            &cluster(options),
            A,
            &format!("{name}.shop.pod.cluster.local"),
        )
        .rcode
    };
    assert_eq!(asked(PodsMode::Verified, "10-244-1-20"), NO_ERROR);
    assert_eq!(asked(PodsMode::Verified, "10-244-9-9"), NX_DOMAIN);
    assert_eq!(asked(PodsMode::Disabled, "10-244-1-20"), NX_DOMAIN);
}

/// DNS-38: of a Pod that is gone there is no record.
#[test]
fn dns_38_a_deleted_pod_is_no_longer_verified() {
    let verified = ServerOptions {
        pods: PodsMode::Verified,
        ..ServerOptions::KUBEADM
    };
    let mut cluster = cluster(verified);
    cluster.delete(&ObjectKey::new(Kind::Pod, "shop", "web-1"));
    let response = ask(&cluster, A, "10-244-1-20.shop.pod.cluster.local");
    assert_eq!(response.rcode, NX_DOMAIN);
}

#[test]
fn dns_13_and_95_the_version_of_the_schema() {
    let response = check(RecordType::TXT, "dns-version", NO_ERROR, &["\"1.1.0\""]);
    assert_eq!(response.answers[0].ttl, 28_800);
}

#[test]
fn dns_14_name_servers() {
    let cluster = cluster(ServerOptions::KUBEADM);
    let response = ask(&cluster, RecordType::NS, "cluster.local");
    assert_eq!(
        data(&response.answers),
        ["kube-dns.kube-system.svc.cluster.local."]
    );
    assert_eq!(data(&response.additional), ["10.96.0.10"]);
    check(A, "ns.dns", NO_ERROR, &["10.96.0.10"]);
    check(AAAA, "ns.dns", NO_ERROR, &[]);
    check(RecordType::NS, "shop.svc", NO_ERROR, &[]);
}

#[test]
fn dns_15_and_46_start_of_authority() {
    let soa = |ttl| {
        let options = ServerOptions {
            ttl,
            ..ServerOptions::KUBEADM
        };
        let response = ask(&cluster(options), RecordType::SOA, "cluster.local");
        let record = &response.answers[0];
        let text = record.data.to_string();
        assert!(
            text.starts_with("ns.dns.cluster.local. hostmaster.cluster.local. "),
            "{text}"
        );
        assert!(text.ends_with(&format!(" 7200 1800 86400 {ttl}")), "{text}");
        record.ttl
    };
    assert_eq!((soa(30), soa(3600)), (30, 300));
}

#[test]
fn dns_35_96_97_and_98_other_questions() {
    check(RecordType::MX, "web.shop.svc", NO_ERROR, &[]);
    check(RecordType::ANY, "web.shop.svc", NO_ERROR, &[]);
    check(RecordType::ANY, "nosuch.shop.svc", NX_DOMAIN, &[]);
    check(A, "a.b.web.shop.svc", NX_DOMAIN, &[]);
    check(A, "a.b.c.web.shop.svc", NX_DOMAIN, &[]);
}

#[test]
fn dns_34_other_words_than_svc_and_pod() {
    check(A, "web.shop.service", NX_DOMAIN, &[]);
    check(A, "shop", NX_DOMAIN, &[]);
}

#[test]
fn dns_41_zones_are_not_given_away() {
    let response = ask(
        &cluster(ServerOptions::KUBEADM),
        RecordType::AXFR,
        "cluster.local",
    );
    assert_eq!(
        (response.rcode, response.authoritative),
        (Rcode::Refused, false)
    );
}

#[test]
fn dns_100_the_canonical_smoke_test() {
    check(A, "kubernetes.default.svc", NO_ERROR, &["10.96.0.1"]);
}

#[test]
fn names_outside_of_the_zone_are_asked_for_elsewhere() {
    let with_upstream = cluster(ServerOptions::KUBEADM);
    let response = ask(&with_upstream, A, "notcluster.local");
    assert_eq!(
        (response.rcode, response.authoritative, response.recursive),
        (NX_DOMAIN, false, true)
    );
    assert_eq!(
        data(&ask(&with_upstream, A, "API.example.com").answers),
        ["203.0.113.7"]
    );
    assert_eq!(
        ask(&Cluster::new(OBJECTS), A, "api.example.com").rcode,
        Rcode::ServFail
    );
}
