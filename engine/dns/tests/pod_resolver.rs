//! What the kubelet writes into a Pod's resolv.conf (DNS-53 … DNS-58).

use std::net::IpAddr;

use api::PodSpec;
use switchboard_dns::{ClusterDns, PodResolver, ResolvConf};

/// A node's own resolv.conf.
fn node() -> ResolvConf {
    ResolvConf {
        nameservers: vec!["192.0.2.1:53".parse().unwrap()],
        search: vec!["corp.example".to_owned(), "cluster.local".to_owned()],
        options: vec!["rotate".to_owned()],
    }
}

fn resolver_with(servers: &[IpAddr], spec: &str) -> PodResolver {
    let spec: PodSpec = serde_yaml::from_str(spec).unwrap();
    let cluster = ClusterDns {
        servers,
        domain: "cluster.local",
        node: &node(),
    };
    PodResolver::of("shop", &spec, &cluster)
}

fn check(spec: &str, expected: &str) {
    let resolver = resolver_with(&[[10, 96, 0, 10].into()], spec);
    assert_eq!(resolver.conf.to_string(), expected, "{spec}");
    assert_eq!(resolver.complaints, []);
}

const CLUSTER: &str = "\
nameserver 10.96.0.10
search shop.svc.cluster.local svc.cluster.local cluster.local corp.example
options ndots:5
";
const NODE: &str = "\
nameserver 192.0.2.1
search corp.example cluster.local
options rotate
";

#[test]
fn dns_53_cluster_first_is_the_default() {
    check("{}", CLUSTER);
    check("{dnsPolicy: ClusterFirst}", CLUSTER);
}

#[test]
fn dns_3_and_54_policies() {
    check("{dnsPolicy: Default}", NODE);
    check("{dnsPolicy: ClusterFirst, hostNetwork: true}", NODE);
    check(
        "{dnsPolicy: ClusterFirstWithHostNet, hostNetwork: true}",
        CLUSTER,
    );
    check(
        "{dnsPolicy: None, dnsConfig: {nameservers: [1.1.1.1]}}",
        "nameserver 1.1.1.1\n",
    );
}

#[test]
fn dns_55_the_configuration_is_merged() {
    check(
        "{dnsConfig: {nameservers: [10.96.0.10, 1.1.1.1], searches: [example.org, cluster.local], \
         options: [{name: ndots, value: '2'}, {name: edns0}]}}",
        "\
nameserver 10.96.0.10
nameserver 1.1.1.1
search shop.svc.cluster.local svc.cluster.local cluster.local corp.example example.org
options ndots:2 edns0
",
    );
}

#[test]
fn dns_56_what_is_too_much_is_left_out_and_said() {
    let servers: Vec<IpAddr> = (1..=3).map(|n| [10, 96, 0, n].into()).collect();
    let resolver = resolver_with(&servers, "{dnsConfig: {nameservers: [1.1.1.1]}}");
    assert_eq!(resolver.conf.nameservers.len(), 3);
    let [complaint] = resolver.complaints.as_slice() else {
        panic!("one complaint: {:?}", resolver.complaints)
    };
    assert_eq!(complaint.reason, "DNSConfigForming");
    assert_eq!(
        complaint.message,
        "Nameserver limits were exceeded, some nameservers have been omitted, the applied nameserver line is: \
         10.96.0.1 10.96.0.2 10.96.0.3"
    );
    let searches: Vec<String> = (0..32).map(|n| format!("s{n}.example")).collect();
    let spec = format!("{{dnsConfig: {{searches: [{}]}}}}", searches.join(", "));
    let resolver = resolver_with(&servers, &spec);
    assert_eq!(resolver.conf.search.len(), 32);
    assert_eq!(resolver.conf.search.last().unwrap(), "s27.example");
    assert!(
        resolver.complaints[0]
            .message
            .starts_with("Search Line limits were exceeded, some search paths")
    );
    let long: Vec<String> = (0..12)
        .map(|n| format!("{}{n}", "x.".repeat(120)))
        .collect();
    let spec = format!("{{dnsConfig: {{searches: [{}]}}}}", long.join(", "));
    let line = resolver_with(&servers, &spec).conf.search.join(" ");
    assert!((1800..=2048).contains(&line.len()), "{}", line.len());
}

#[test]
fn dns_57_without_cluster_dns_the_node_s_resolver_is_taken() {
    let resolver = resolver_with(&[], "{}");
    assert_eq!(resolver.conf, node());
    assert_eq!(resolver.complaints[0].reason, "MissingClusterDNS");
    assert_eq!(resolver_with(&[], "{dnsPolicy: Default}").complaints, []);
}
