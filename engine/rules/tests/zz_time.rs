use std::sync::Arc;
use switchboard_rules::*;
use ruleset::*;
#[test]
fn t() {
    let mut view = ClusterView::default();
    for n in 0..10_000u32 {
        let name = ServiceName { namespace: "default".into(), name: format!("svc-{n}").into() };
        let ip = std::net::IpAddr::from((0x0a60_0000u32 + n + 10).to_be_bytes());
        view.services.insert(name.clone(), Arc::new(ServiceView { cluster_ips: vec![ip], ports: vec![ServicePortView{name: "http".into(), protocol: Protocol::TCP, port: 80}], internal_traffic_policy: TrafficPolicy::Cluster }));
        let endpoints = (0..5).map(|k| EndpointView { address: std::net::IpAddr::from((0x0af4_0000u32 + n*5 + k).to_be_bytes()), node: Some("node-2".into()), ready: true, serving: true, terminating: false, zone_hints: vec![], node_hints: vec![], pod: None }).collect();
        let s = SliceView { family: Family::V4, ports: vec![ServicePortView{name: "http".into(), protocol: Protocol::TCP, port: 8080}], endpoints };
        view.slices.insert(name, Arc::new([(Arc::from("a"), Arc::new(s))].into_iter().collect()));
    }
    let node = NodeFacts { name: "node-1".into(), zone: None, addresses: vec![], local_detection: LocalDetection::ClusterCidr(vec!["10.244.0.0/16".parse().unwrap()]), masquerade_all: false, masquerade_mark: 0x4000 };
    for _ in 0..3 {
    let mut c = Compiler::new(Capabilities::ALL);
    #[allow(clippy::disallowed_methods)]
    let now = std::time::Instant::now;
    let t = now(); let p = plan(&view, &node, Family::V4); eprintln!("plan {:?}", t.elapsed()); drop(p);
    let t = now(); let _a = c.iptables(&view, &node); eprintln!("first {:?}", t.elapsed());
    let t = now(); let _b = c.iptables(&view, &node); eprintln!("again {:?}", t.elapsed());
    }
}
