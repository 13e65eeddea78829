//! Proxies and the zones that their Nodes' labels name (PROXY-1, PROXY-10, EP-87).

mod cluster;

use std::time::Duration;

use api::{Kind, LABEL_ZONE, ObjectKey};
use cluster::{apply, config, converge, node, pass};
use serde_json::json;
use switchboard_control::{Control, NodeConfig};

const HINTED: &str = "
{apiVersion: v1, kind: Service, metadata: {name: s}, spec: {clusterIP: 10.96.0.50, ports: [{port: 80}]}}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: s-1, labels: {kubernetes.io/service-name: s}}
addressType: IPv4
ports: [{name: \"\", port: 80}]
endpoints:
- {addresses: [10.244.1.11], hints: {forZones: [{name: z1}]}}
- {addresses: [10.244.1.12], hints: {forZones: [{name: z2}]}}
";

/// Two nodes in zones by their labels alone, and a Service with a hint at each.
fn hinted() -> Control {
    let labelled = |name: &str, number, zone: &str| NodeConfig {
        labels: [(LABEL_ZONE.to_owned(), zone.to_owned())].into(),
        ..node(name, number)
    };
    let nodes = vec![labelled("n1", 1, "z1"), labelled("n2", 2, "z2")];
    let mut control = Control::new(config(nodes)).unwrap();
    apply(&mut control, HINTED);
    converge(&mut control);
    control
}

/// Moves n1, or takes its label away.
fn label(control: &mut Control, zone: Option<&str>) {
    let patch = json!({"metadata": {"labels": {LABEL_ZONE: zone}}});
    let node = ObjectKey::new(Kind::Node, "", "n1");
    control.patch(&node, patch.as_object().unwrap()).unwrap();
}

/// Which of the two endpoints a node's rules send to.
fn sent_to(control: &mut Control, node: &str) -> Vec<&'static str> {
    let (_, rules) = control.rules(node).unwrap();
    let text = rules.listing();
    let ips = ["10.244.1.11", "10.244.1.12"].into_iter();
    ips.filter(|ip| text.contains(&format!("{ip} . 80")))
        .collect()
}

#[test]
fn hints_are_compared_with_the_label() {
    let mut control = hinted();
    assert_eq!(sent_to(&mut control, "n1"), ["10.244.1.11"]);
    assert_eq!(sent_to(&mut control, "n2"), ["10.244.1.12"]);
    control.restart_proxy("n1").unwrap();
    converge(&mut control);
    assert_eq!(sent_to(&mut control, "n1"), ["10.244.1.11"]);
    assert_eq!(&*control.zone_of("n1"), "z1");
}

/// What is told of a node's syncs, from what they changed on.
fn told_of_syncs(control: &mut Control, node: &str) -> Vec<String> {
    let proxy = format!("{node}/proxy");
    let happenings = control.happenings().into_iter();
    let syncs = happenings.filter(|happening| happening.who == proxy);
    let changed = |what: &str| what.split_once(": ").map(|(_, changed)| changed.to_owned());
    syncs.filter_map(|sync| changed(&sync.what)).collect()
}

#[test]
fn who_moves_syncs_and_nobody_else() {
    let mut control = hinted();
    let before = control.rules_number("n2");
    control.happenings();
    label(&mut control, Some("z2"));
    assert_eq!(&*control.zone_of("n1"), "z2");
    converge(&mut control);
    assert_eq!(sent_to(&mut control, "n1"), ["10.244.1.12"]);
    assert_eq!(
        told_of_syncs(&mut control, "n1"),
        ["default/s: 10.96.0.50:80 → 10.244.1.12:80"]
    );
    label(&mut control, None);
    converge(&mut control);
    assert_eq!(sent_to(&mut control, "n1"), ["10.244.1.11", "10.244.1.12"]);
    assert_eq!(control.rules_number("n2"), before);
    let after = control.rules_number("n1");
    let other = json!({"metadata": {"labels": {"tier": "a"}}});
    let node = ObjectKey::new(Kind::Node, "", "n1");
    control.patch(&node, other.as_object().unwrap()).unwrap();
    converge(&mut control);
    assert_eq!(control.rules_number("n1"), after);
}

#[test]
fn a_sync_under_way_takes_the_zone_that_it_began_with() {
    let mut control = hinted();
    pass(&mut control, Duration::from_secs(2));
    label(&mut control, Some("z2"));
    let watch = control.config().timing.watch;
    pass(&mut control, watch);
    label(&mut control, Some("z1"));
    control.happenings();
    let before = control.rules_number("n1");
    while control.rules_number("n1") == before {
        control.step();
    }
    assert_eq!(sent_to(&mut control, "n1"), ["10.244.1.12"]);
    converge(&mut control);
    assert_eq!(sent_to(&mut control, "n1"), ["10.244.1.11"]);
    let told = told_of_syncs(&mut control, "n1");
    let expected = ["10.244.1.12", "10.244.1.11"];
    assert_eq!(
        told,
        expected.map(|ip| format!("default/s: 10.96.0.50:80 → {ip}:80"))
    );
}
