//! What proxies do from time to time does not keep a cluster from being at rest.

mod cluster;

use std::time::Duration;

use base::SimTime;
use cluster::{apply, config, node, pass};
use switchboard_control::{ClusterConfig, Control, ProxyMode, ProxySettings};

const SERVICE: &str = "{apiVersion: v1, kind: Service, metadata: {name: web, namespace: default}, \
                       spec: {ports: [{port: 80}]}}";

fn cluster(proxy: ProxySettings) -> Control {
    Control::new(ClusterConfig {
        mode: ProxyMode::Iptables,
        proxy,
        ..config(vec![node("node-1", 1), node("node-2", 2)])
    })
    .unwrap()
}

fn run(control: &mut Control, seconds: u64) -> Vec<String> {
    pass(control, Duration::from_secs(seconds));
    let happenings = control.happenings();
    happenings
        .into_iter()
        .map(|happening| happening.what)
        .collect()
}

fn publish(control: &mut Control) {
    apply(control, SERVICE);
}

#[test]
fn proxy_65_a_cluster_at_rest_is_at_rest_while_its_proxies_write_everything_again() {
    let mut control = cluster(ProxySettings::default());
    assert_eq!(control.next_pending_at(), None);
    let hour = Duration::from_secs(3600);
    assert_eq!(control.next_event_at(), Some(SimTime::ZERO + hour));
    let before = control.rules_number("node-1");
    assert_eq!(run(&mut control, 3600), Vec::<String>::new());
    assert_eq!(control.next_pending_at(), None, "a full sync is under way");
    assert_eq!(run(&mut control, 3600), Vec::<String>::new());
    assert!(control.rules_number("node-1") > before, "it was done");
}

#[test]
fn the_first_change_after_an_hour_is_synced_in_full() {
    let mut control = cluster(ProxySettings::default());
    run(&mut control, 3000);
    publish(&mut control);
    let soon = run(&mut control, 1000);
    assert!(
        soon.iter().any(|what| what.starts_with("sync done")),
        "{soon:?}"
    );
    let name = api::ObjectKey::new(api::Kind::Service, "default", "web");
    control.delete(&name).unwrap();
    let late = run(&mut control, 10);
    assert!(
        late.iter().any(|what| what.starts_with("full sync done")),
        "{late:?}"
    );
}

#[test]
fn proxy_65_a_minimum_period_above_the_full_sync_period_is_kept() {
    let mut proxy = ProxySettings::default();
    proxy.iptables.min_sync_period = Duration::from_secs(7200);
    proxy.iptables.sync_period = Duration::from_secs(7200);
    let mut control = cluster(proxy);
    let before = control.rules_number("node-1");
    run(&mut control, 4 * 3600);
    let syncs = control.rules_number("node-1") - before;
    assert_eq!(syncs, 4, "of two nodes, after one hour and after three");
}
