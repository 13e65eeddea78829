//! Small clusters whose time is passed by hand.
#![allow(dead_code, reason = "every test file uses its own part")]

use std::time::Duration;

use api::yaml::{Source, split};
use api::{Status, decode};
use base::Seed;
use switchboard_control::{
    ClusterConfig, Control, NetworkConfig, NodeConfig, ProxyMode, ProxySettings, TimingConfig,
    WriteVerb,
};

/// One family, no DNS, mode nftables.
pub(crate) fn config(nodes: Vec<NodeConfig>) -> ClusterConfig {
    ClusterConfig {
        seed: Seed::new(7),
        service_cidrs: vec!["10.96.0.0/16".parse().unwrap()],
        pod_cidrs: vec!["10.244.0.0/16".parse().unwrap()],
        node_port_range: 30_000..=32_767,
        load_balancer_pool: Vec::new(),
        dns_domain: "cluster.local".to_owned(),
        dns: false,
        node_local_dns: false,
        mode: ProxyMode::Nftables,
        proxy: ProxySettings::default(),
        nodes,
        state: Vec::new(),
        outside: Vec::new(),
        network: NetworkConfig::default(),
        timing: TimingConfig::default(),
    }
}

/// A node at 192.168.1.`number`, with Pods in 10.244.`number`.0/24.
pub(crate) fn node(name: &str, number: usize) -> NodeConfig {
    NodeConfig {
        name: name.to_owned(),
        addresses: vec![format!("192.168.1.{number}").parse().unwrap()],
        pod_cidrs: vec![format!("10.244.{number}.0/24").parse().unwrap()],
        ..NodeConfig::default()
    }
}

pub(crate) fn apply(control: &mut Control, text: &str) {
    try_apply(control, text).unwrap();
}

pub(crate) fn try_apply(control: &mut Control, text: &str) -> Result<(), Status> {
    for document in split(&Source::new("test.yaml", text)).unwrap() {
        for manifest in decode(&document).unwrap() {
            control.write(WriteVerb::Apply, manifest.object)?;
        }
    }
    Ok(())
}

pub(crate) fn pass(control: &mut Control, time: Duration) {
    let until = control.now() + time;
    while control.next_event_at().is_some_and(|at| at <= until) {
        control.step();
    }
    control.advance_clock(until);
}

/// Until nothing is pending; how long it took.
pub(crate) fn converge(control: &mut Control) -> Duration {
    let start = control.now();
    while control.next_pending_at().is_some() {
        control.step();
    }
    control.now().since(start)
}
