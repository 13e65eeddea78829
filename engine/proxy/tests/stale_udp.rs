//! Which UDP connections are deleted after a sync (PROXY-73, PROXY-74).

use std::net::SocketAddr;
use std::sync::Arc;

use rules::{
    ClusterView, EndpointView, Hints, ServiceName, ServicePortView, ServiceView, SlicePortView,
    SliceView, SlicesByName,
};
use ruleset::{Family, Protocol};
use switchboard_proxy::StaleUdp;

const VIP: &str = "10.96.0.10:53";

fn name() -> ServiceName {
    ServiceName {
        namespace: "kube-system".into(),
        name: "kube-dns".into(),
    }
}

/// `(host, serving)` of 10.244.1.0/24.
fn view(protocol: Protocol, endpoints: &[(u8, bool)]) -> ClusterView {
    let service = ServiceView {
        cluster_ips: [[10, 96, 0, 10].into()].into_iter().collect(),
        external_ips: vec!["203.0.113.5".parse().unwrap()],
        ports: [ServicePortView {
            name: "dns".into(),
            protocol,
            port: 53,
            node_port: Some(30_053),
        }]
        .into(),
        ..ServiceView::default()
    };
    let slice = SliceView {
        family: Family::V4,
        ports: [SlicePortView {
            name: "dns".into(),
            protocol,
            port: 5353,
        }]
        .into(),
        endpoints: endpoints.iter().map(endpoint).collect(),
    };
    let mut view = ClusterView::default();
    view.services.insert(name(), Arc::new(service));
    view.services
        .insert_slice(name(), "dns-1".into(), Arc::new(slice));
    view
}

fn endpoint((host, serving): &(u8, bool)) -> EndpointView {
    EndpointView {
        address: [10, 244, 1, *host].into(),
        node: None,
        ready: false,
        serving: *serving,
        terminating: true,
        hints: Hints::NONE,
        pod: None,
    }
}

fn socket(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

#[test]
fn answers_of_endpoints_that_do_not_serve_are_stale() {
    let before = view(Protocol::UDP, &[(1, true), (2, true)]);
    let after = view(Protocol::UDP, &[(1, true), (2, false)]);
    let stale = StaleUdp::between(&before, &after).expect("a slice has changed");
    let check = |to: &str, from: &str, expected: bool| {
        assert_eq!(
            stale.picks(socket(to), socket(from)),
            expected,
            "{to} {from}"
        );
    };
    for frontend in [VIP, "203.0.113.5:53", "192.168.1.1:30053"] {
        check(frontend, "10.244.1.1:5353", false);
        check(frontend, "10.244.1.2:5353", true);
        check(frontend, "10.244.1.1:53", true);
        // PROXY-74: it was let through untranslated, when there was no endpoint yet.
        check(frontend, frontend, true);
    }
    check("10.96.0.11:53", "10.244.1.2:5353", false);
    check("10.96.0.10:54", "10.244.1.2:5353", false);
}

#[test]
fn a_service_without_a_serving_endpoint_keeps_its_connections() {
    let before = view(Protocol::UDP, &[(1, true)]);
    let stale = StaleUdp::between(&before, &view(Protocol::UDP, &[(1, false)]));
    let stale = stale.expect("a slice has changed");
    assert!(stale.is_empty());
    assert!(!stale.picks(socket(VIP), socket("10.244.1.1:5353")));
}

#[test]
fn only_changes_of_udp_endpoints_are_a_reason_to_look() {
    let udp = view(Protocol::UDP, &[(1, true)]);
    assert_eq!(StaleUdp::between(&udp, &udp.clone()), None);
    let tcp = |host| view(Protocol::TCP, &[(host, true)]);
    assert_eq!(StaleUdp::between(&tcp(1), &tcp(2)), None, "never for TCP");
    let mut without_slices = udp.clone();
    without_slices
        .services
        .set_slices(name(), SlicesByName::new());
    let gone = StaleUdp::between(&udp, &without_slices).expect("a slice is gone");
    assert!(gone.is_empty(), "nobody serves any more");
}
