//! Decisions about frontends besides the ClusterIP, by the ids of the facts they follow.

use std::sync::Arc;

use ruleset::Family;
use switchboard_rules::{
    ClusterView, DropReason, EndpointView, ExternalPlan, ExternalRoute, FrontendKind,
    FrontendVerdict, LocalDetection, LocalOutcome, NodeFacts, NodePortAddresses,
    NodePortDestinations, PodTraffic, RejectReason, Route, ServicePortPlan, ServiceView,
    SourceClass, TrafficPolicy, plan,
};

use crate::support::{add_service, add_slice, endpoint, node_1, service, slice};

/// A load balancer that is open to these ranges.
fn balancer(external: TrafficPolicy, ranges: &[&str]) -> ServiceView {
    let mut view = service(&["10.96.0.40", "fd00:10:96::40"], TrafficPolicy::Cluster);
    view.external_traffic_policy = external;
    view.ports[0].node_port = Some(30_080);
    view.external_ips = vec!["203.0.113.5".parse().unwrap()];
    view.load_balancer_ips = ["203.0.113.9", "2001:db8::9"]
        .map(|ip| ip.parse().unwrap())
        .to_vec();
    view.load_balancer_source_ranges = ranges.iter().map(|net| net.parse().unwrap()).collect();
    view
}

fn plan_of(service: ServiceView, endpoints: &[EndpointView], facts: &NodeFacts) -> ServicePortPlan {
    let mut view = ClusterView::default();
    add_service(&mut view, "web", service);
    add_slice(&mut view, "web", "web-1", slice(Family::V4, endpoints));
    let plan = plan(&view, facts, Family::V4);
    let only = plan.service_ports.values().next().cloned();
    Arc::unwrap_or_clone(only.expect("one service port"))
}

fn external_of(service: ServiceView, endpoints: &[EndpointView]) -> ExternalPlan {
    let plan = plan_of(service, endpoints, &node_1());
    *plan.external.expect("it has external frontends")
}

fn here() -> EndpointView {
    endpoint("10.244.1.10", "node-1")
}

fn there() -> EndpointView {
    endpoint("10.244.2.11", "node-2")
}

const fn to(policy: TrafficPolicy, masquerade: bool) -> Route {
    Route {
        verdict: FrontendVerdict::Balance(policy),
        masquerade,
    }
}

/// What a Pod, the node and anybody else meet at the node port.
fn check(
    id: &str,
    policy: TrafficPolicy,
    endpoints: &[EndpointView],
    facts: &NodeFacts,
    expected: [Route; 3],
) {
    let plan = plan_of(balancer(policy, &[]), endpoints, facts);
    let of = |from| {
        plan.route(FrontendKind::NodePort, from)
            .expect("a node port")
    };
    assert_eq!(SourceClass::ALL.map(of), expected, "{id}");
    for kind in [FrontendKind::ExternalIp, FrontendKind::LoadBalancerIp] {
        let same = SourceClass::ALL.map(|from| plan.route(kind, from).expect("an address"));
        assert_eq!(same, expected, "{id}: {kind}");
    }
}

#[test]
fn policy_cluster_hides_everybody() {
    let all = [to(TrafficPolicy::Cluster, true); 3];
    check(
        "PROXY-22",
        TrafficPolicy::Cluster,
        &[there()],
        &node_1(),
        all,
    );
}

#[test]
fn policy_local_short_circuits_pods_and_the_node() {
    use TrafficPolicy::{Cluster, Local};
    let served = [to(Cluster, false), to(Cluster, true), to(Local, false)];
    check("PROXY-25", Local, &[here(), there()], &node_1(), served);
    let dropped = Route {
        verdict: FrontendVerdict::Drop(DropReason::NoLocalEndpoints),
        masquerade: false,
    };
    let elsewhere = [served[0], served[1], dropped];
    check("PROXY-13, row 3", Local, &[there()], &node_1(), elsewhere);
    let blind = NodeFacts {
        local_detection: LocalDetection::None,
        ..node_1()
    };
    let no_pods = [dropped, served[1], dropped];
    check("no detector, no Pods", Local, &[there()], &blind, no_pods);
}

#[test]
fn nobody_is_served_without_endpoints() {
    let refused = Route {
        verdict: FrontendVerdict::Reject(RejectReason::NoEndpoints),
        masquerade: false,
    };
    for policy in [TrafficPolicy::Cluster, TrafficPolicy::Local] {
        check("PROXY-14", policy, &[], &node_1(), [refused; 3]);
    }
}

#[test]
fn policies_do_not_touch_each_other() {
    let mut service = balancer(TrafficPolicy::Cluster, &[]);
    service.internal_traffic_policy = TrafficPolicy::Local;
    let plan = plan_of(service, &[here(), there()], &node_1());
    let cluster_ip = plan.route(FrontendKind::ClusterIp, SourceClass::Pod);
    assert_eq!(
        cluster_ip,
        Some(to(TrafficPolicy::Local, false)),
        "PROXY-25"
    );
    let node_port = plan.route(FrontendKind::NodePort, SourceClass::Other);
    assert_eq!(
        node_port,
        Some(to(TrafficPolicy::Cluster, true)),
        "PROXY-25"
    );
    assert_eq!((plan.cluster.len(), plan.local.len()), (2, 1), "PROXY-7");
}

#[test]
fn a_pure_cluster_ip_has_the_sets_it_uses() {
    let local = service(&["10.96.0.40"], TrafficPolicy::Local);
    let plan = plan_of(local, &[here(), there()], &node_1());
    assert_eq!(plan.external, None);
    assert_eq!((plan.cluster.len(), plan.local.len()), (0, 1), "PROXY-7");
    // Without an external frontend the external policy says nothing.
    let mut cluster = service(&["10.96.0.40"], TrafficPolicy::Cluster);
    cluster.external_traffic_policy = TrafficPolicy::Local;
    let plan = plan_of(cluster, &[here(), there()], &node_1());
    assert_eq!((plan.cluster.len(), plan.local.len()), (2, 0), "PROXY-7");
}

#[test]
fn frontends_are_those_of_the_family() {
    let plan = external_of(balancer(TrafficPolicy::Cluster, &[]), &[here()]);
    assert_eq!(
        plan.load_balancer_ips,
        ["203.0.113.9".parse::<std::net::IpAddr>().unwrap()]
    );
    assert_eq!(plan.route, ExternalRoute::Cluster);
}

#[test]
fn source_ranges_of_proxy_30() {
    let check = |ranges: &[&str], expected: Option<&[&str]>| {
        let plan = external_of(balancer(TrafficPolicy::Cluster, ranges), &[here()]);
        let sources = plan.load_balancer_sources;
        let texts = sources.map(|nets| nets.iter().map(ToString::to_string).collect::<Vec<_>>());
        let texts = texts.as_deref();
        let expected: Option<Vec<String>> =
            expected.map(|nets| nets.iter().map(|net| (*net).to_owned()).collect());
        assert_eq!(texts, expected.as_deref(), "{ranges:?}");
    };
    check(&[], None);
    check(&["198.51.100.0/24"], Some(&["198.51.100.0/24"]));
    check(&["198.51.100.0/24", "0.0.0.0/0"], None);
    check(
        &["192.168.10.0/24", "198.51.100.0/24"],
        Some(&["192.168.10.0/24", "198.51.100.0/24", "203.0.113.9/32"]),
    );
    check(&["2001:db8::/32"], None);
    check(
        &["2001:db8::/32", "198.51.100.0/24", "::/0"],
        Some(&["198.51.100.0/24"]),
    );
}

#[test]
fn pods_are_told_as_the_node_tells_them() {
    let facts = NodeFacts {
        local_detection: LocalDetection::InterfaceNamePrefix("veth".into()),
        ..node_1()
    };
    let plan = plan_of(balancer(TrafficPolicy::Local, &[]), &[here()], &facts);
    let expected = ExternalRoute::Local {
        pods: Some(PodTraffic::InterfacePrefix("veth".into())),
        others: LocalOutcome::Balance,
    };
    assert_eq!(
        plan.external.expect("it has some").route,
        expected,
        "PROXY-21"
    );
}

#[test]
fn node_port_addresses_of_proxy_26_and_27() {
    let addresses = ["192.168.10.11", "172.16.0.1", "fd00:168:10::11"];
    let check = |wanted: NodePortAddresses, family, expected: Option<&[&str]>, localhost| {
        let facts = NodeFacts {
            addresses: addresses.map(|ip| ip.parse().unwrap()).to_vec(),
            node_port_addresses: wanted.clone(),
            ..node_1()
        };
        let plan = plan(&ClusterView::default(), &facts, family).node_ports;
        let expected = match expected {
            None => NodePortDestinations::AnyLocal,
            Some(ips) => {
                let ips = ips.iter().map(|ip| ip.parse().unwrap());
                NodePortDestinations::Addresses(ips.collect())
            }
        };
        assert_eq!(plan.destinations, expected, "{wanted:?} {family}");
        assert_eq!(plan.localhost, localhost, "{wanted:?} {family}");
    };
    let within = |nets: &[&str]| {
        NodePortAddresses::Within(nets.iter().map(|net| net.parse().unwrap()).collect())
    };
    let (v4, v6) = (Family::V4, Family::V6);
    check(NodePortAddresses::All, v4, None, true);
    check(NodePortAddresses::All, v6, None, false);
    check(
        NodePortAddresses::Primary,
        v4,
        Some(&["192.168.10.11"]),
        false,
    );
    check(
        NodePortAddresses::Primary,
        v6,
        Some(&["fd00:168:10::11"]),
        false,
    );
    check(within(&["172.16.0.0/12"]), v4, Some(&["172.16.0.1"]), false);
    check(within(&["172.16.0.0/12"]), v6, None, false);
    check(within(&["127.0.0.0/8"]), v4, Some(&[]), true);
    check(within(&["10.0.0.0/8", "0.0.0.0/0"]), v4, None, true);
}

/// The primary address counts as a range, so a family without one is left without a range.
#[test]
fn primary_means_every_address_of_a_family_without_one() {
    let facts = NodeFacts {
        addresses: vec!["192.168.10.11".parse().unwrap()],
        node_port_addresses: NodePortAddresses::Primary,
        ..node_1()
    };
    let plan = plan(&ClusterView::default(), &facts, Family::V6).node_ports;
    assert_eq!(plan.destinations, NodePortDestinations::AnyLocal);
}

#[test]
fn localhost_can_be_switched_off() {
    let facts = NodeFacts {
        localhost_node_ports: false,
        ..node_1()
    };
    let plan = plan_of(balancer(TrafficPolicy::Cluster, &[]), &[here()], &facts);
    let node_port = plan.external.and_then(|external| external.node_port);
    assert!(!node_port.expect("a node port").localhost, "PROXY-27");
}
