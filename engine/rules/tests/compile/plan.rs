//! Decisions, by the ids of the facts they follow.

use ruleset::{Family, Protocol};
use switchboard_rules::{
    ClusterView, DropReason, EndpointView, FrontendVerdict, LocalDetection, Masquerade, NodeFacts,
    PodTraffic, RejectReason, ServicePortPlan, TrafficPolicy, plan,
};

use crate::support::{
    add_service, add_slice, endpoint, hints, node_1, service, slice, slice_port, terminating, web,
};

const REFUSED: FrontendVerdict = FrontendVerdict::Reject(RejectReason::NoEndpoints);
const DROPPED: FrontendVerdict = FrontendVerdict::Drop(DropReason::NoLocalEndpoints);

fn only_port(view: &ClusterView, facts: &NodeFacts, family: Family) -> ServicePortPlan {
    let plan = plan(view, facts, family);
    let mut ports = plan.service_ports.values();
    let first = ports.next().expect("one service port");
    assert_eq!(ports.next(), None);
    (**first).clone()
}

/// Compares the verdict at the ClusterIP on node-1 and what is balanced over, without the port 8080.
fn check(
    id: &str,
    policy: TrafficPolicy,
    endpoints: &[EndpointView],
    expected: Result<&[&str], FrontendVerdict>,
) {
    let plan = only_port(&web(policy, endpoints), &node_1(), Family::V4);
    assert_eq!(plan.external, None, "{id}");
    let frontend = &plan.cluster_ip;
    let chosen: Vec<_> = plan
        .reachable()
        .map(|endpoint| endpoint.address.ip().to_string())
        .collect();
    match expected {
        Ok(addresses) => {
            assert_eq!(frontend.verdict, FrontendVerdict::Balance(policy), "{id}");
            assert_eq!(chosen, addresses, "{id}");
        }
        Err(verdict) => {
            assert_eq!(frontend.verdict, verdict, "{id}");
            assert!(chosen.is_empty(), "{id}: {chosen:?}");
        }
    }
}

fn here() -> EndpointView {
    endpoint("10.244.1.10", "node-1")
}

fn there() -> EndpointView {
    endpoint("10.244.2.11", "node-2")
}

fn dead(endpoint: EndpointView) -> EndpointView {
    EndpointView {
        ready: false,
        serving: false,
        ..endpoint
    }
}

fn hinted(endpoint: EndpointView, zones: &[&str], nodes: &[&str]) -> EndpointView {
    EndpointView {
        hints: hints(zones, nodes),
        ..endpoint
    }
}

#[test]
fn truth_table_of_proxy_13() {
    use TrafficPolicy::{Cluster, Local};
    let both = &["10.244.1.10", "10.244.2.11"];
    check("row 1", Cluster, &[here(), there()], Ok(both));
    check("row 1", Local, &[here(), there()], Ok(&both[..1]));
    let row_2 = [terminating(here()), there()];
    check("row 2", Cluster, &row_2, Ok(&both[1..]));
    check("row 2", Local, &row_2, Ok(&both[..1]));
    check("row 3", Cluster, &[there()], Ok(&both[1..]));
    check("row 3", Local, &[there()], Err(DROPPED));
    let row_4 = [terminating(here()), terminating(there())];
    check("row 4", Cluster, &row_4, Ok(both));
    check("row 4", Local, &row_4, Ok(&both[..1]));
    check("row 5", Cluster, &[terminating(there())], Ok(&both[1..]));
    check("row 5", Local, &[terminating(there())], Err(DROPPED));
    for policy in [Cluster, Local] {
        check("row 6", policy, &[], Err(REFUSED));
        check(
            "PROXY-12",
            policy,
            &[dead(here()), dead(terminating(there()))],
            Err(REFUSED),
        );
    }
}

#[test]
fn not_ready_but_serving_is_not_used_unless_terminating() {
    let warming_up = EndpointView {
        ready: false,
        ..here()
    };
    check(
        "PROXY-12",
        TrafficPolicy::Cluster,
        &[warming_up],
        Err(REFUSED),
    );
}

#[test]
fn topology_hints_of_proxy_10() {
    let check = |id, endpoints: &[EndpointView], expected: &[&str]| {
        check(id, TrafficPolicy::Cluster, endpoints, Ok(expected));
    };
    let both = &["10.244.1.10", "10.244.2.11"];
    let zoned = |endpoint, zone| hinted(endpoint, &[zone], &[]);
    check(
        "same zone",
        &[zoned(here(), "zone-a"), zoned(there(), "zone-b")],
        &both[..1],
    );
    check(
        "one lacks a hint",
        &[zoned(here(), "zone-a"), there()],
        both,
    );
    check(
        "none names this zone",
        &[zoned(here(), "zone-b"), zoned(there(), "zone-c")],
        both,
    );
    check(
        "the node goes before the zone",
        &[
            hinted(here(), &["zone-b"], &["node-1"]),
            hinted(there(), &["zone-a"], &["node-2"]),
        ],
        &both[..1],
    );
    check(
        "no node hint names this node: the zone decides",
        &[
            hinted(here(), &["zone-b"], &["node-3"]),
            hinted(there(), &["zone-a"], &["node-2"]),
        ],
        &both[1..],
    );
    check(
        "only ready endpoints are asked for hints",
        &[zoned(there(), "zone-a"), terminating(here())],
        &both[1..],
    );
}

#[test]
fn topology_never_narrows_the_local_set() {
    let endpoints = [hinted(here(), &["zone-b"], &["node-2"]), there()];
    check(
        "PROXY-9",
        TrafficPolicy::Local,
        &endpoints,
        Ok(&["10.244.1.10"]),
    );
}

#[test]
fn a_living_duplicate_replaces_a_terminating_one() {
    let new_pod = EndpointView {
        pod: Some("new".into()),
        ..here()
    };
    let old_pod = EndpointView {
        pod: Some("old".into()),
        ..terminating(here())
    };
    for order in [["a", "b"], ["b", "a"]] {
        let mut view = web(TrafficPolicy::Cluster, &[]);
        for (name, endpoint) in order.into_iter().zip([&new_pod, &old_pod]) {
            let slice = slice(Family::V4, std::slice::from_ref(endpoint));
            add_slice(&mut view, "web", name, slice);
        }
        let plan = only_port(&view, &node_1(), Family::V4);
        let pods: Vec<_> = plan.cluster.iter().map(|e| e.pod.as_deref()).collect();
        assert_eq!(pods, [Some("new")], "PROXY-5 in order {order:?}");
    }
}

#[test]
fn endpoints_are_sorted_by_text() {
    let endpoints = ["10.244.1.9", "10.244.1.10", "10.244.1.100"].map(|ip| endpoint(ip, "node-1"));
    check(
        "PROXY-41",
        TrafficPolicy::Cluster,
        &endpoints,
        // ':' sorts after all digits.
        Ok(&["10.244.1.100", "10.244.1.10", "10.244.1.9"]),
    );
}

#[test]
fn ports_join_by_name_and_protocol() {
    for (slice_port, joins) in [
        (slice_port("http", Protocol::TCP, 8080), true),
        (slice_port("http", Protocol::UDP, 8080), false),
        (slice_port("", Protocol::TCP, 8080), false),
        (slice_port("http", Protocol::TCP, 0), false),
    ] {
        let mut view = web(TrafficPolicy::Cluster, &[]);
        let mut slice = slice(Family::V4, &[here()]);
        slice.ports = [slice_port.clone()].into();
        add_slice(&mut view, "web", "other", slice);
        let plan = only_port(&view, &node_1(), Family::V4);
        assert_eq!(plan.cluster.len() == 1, joins, "PROXY-4: {slice_port:?}");
    }
}

#[test]
fn each_family_sees_its_own() {
    let mut view = ClusterView::default();
    let ips = ["10.96.0.40", "fd00:10:96::40"];
    add_service(&mut view, "web", service(&ips, TrafficPolicy::Cluster));
    add_slice(&mut view, "web", "v4", slice(Family::V4, &[here()]));
    let v6_endpoint = endpoint("fd00:10:244:1::10", "node-1");
    add_slice(&mut view, "web", "v6", slice(Family::V6, &[v6_endpoint]));
    for (family, expected) in [
        (Family::V4, "10.244.1.10:8080"),
        (Family::V6, "[fd00:10:244:1::10]:8080"),
    ] {
        let plan = only_port(&view, &node_1(), family);
        assert_eq!(plan.cluster.len(), 1);
        assert_eq!(plan.cluster[0].address.to_string(), expected);
    }
    add_service(&mut view, "web", service(&ips[..1], TrafficPolicy::Cluster));
    assert!(
        plan(&view, &node_1(), Family::V6).service_ports.is_empty(),
        "PROXY-2: no ClusterIP of the family"
    );
}

#[test]
fn masquerade_follows_proxy_20() {
    let view = web(TrafficPolicy::Cluster, &[here()]);
    let masquerade = |facts: &NodeFacts| {
        let plan = only_port(&view, facts, Family::V4);
        plan.cluster_ip.masquerade.clone()
    };
    let with = |local_detection| NodeFacts {
        local_detection,
        ..node_1()
    };
    let pods = PodTraffic::Source("10.244.0.0/16".parse().unwrap());
    assert_eq!(masquerade(&node_1()), Masquerade::UnlessFrom(pods));
    assert_eq!(masquerade(&with(LocalDetection::None)), Masquerade::Never);
    let only_v6 = LocalDetection::ClusterCidr(vec!["fd00::/8".parse().unwrap()]);
    assert_eq!(masquerade(&with(only_v6)), Masquerade::Never);
    let bridge = LocalDetection::BridgeInterface("cni0".into());
    assert_eq!(
        masquerade(&with(bridge)),
        Masquerade::UnlessFrom(PodTraffic::Interface("cni0".into()))
    );
    let all = NodeFacts {
        masquerade_all: true,
        ..node_1()
    };
    assert_eq!(masquerade(&all), Masquerade::Always);
}
