//! Small clusters to be diagnosed.
#![allow(
    dead_code,
    reason = "every test file is a program of its own, and none needs all of it"
)]

use std::time::Duration;

use api::yaml::{Source, split};
use api::{Kind, ObjectKey, decode};
use base::{Seed, SimTime};
use control::{
    ClusterConfig, Control, NetworkConfig, NodeConfig, OutsideConfig, ProxyMode, ProxySettings,
    TimingConfig, WriteVerb,
};
use switchboard_explain::{Diagnosis, Finding, Question, diagnose};

/// Two nodes; node-2 hears of changes after an hour if `partitioned`.
pub(crate) fn cluster(partitioned: bool) -> Control {
    cluster_with(|config| {
        config.nodes[1].watch = partitioned.then_some(Duration::from_secs(3600));
    })
}

/// Two nodes and a laptop, and what a test changes of that.
pub(crate) fn cluster_with(change: impl FnOnce(&mut ClusterConfig)) -> Control {
    let node = |n: u8| NodeConfig {
        name: format!("node-{n}"),
        zone: None,
        addresses: vec![[192, 168, 10, n].into()],
        pod_cidrs: vec![format!("10.244.{n}.0/24").parse().unwrap()],
        ..NodeConfig::default()
    };
    let mut config = ClusterConfig {
        seed: Seed::new(7),
        service_cidrs: vec!["10.96.0.0/16".parse().unwrap()],
        pod_cidrs: vec!["10.244.0.0/16".parse().unwrap()],
        node_port_range: 30_000..=32_767,
        load_balancer_pool: Vec::new(),
        dns_domain: "cluster.local".to_owned(),
        dns: false,
        node_local_dns: false,
        mode: ProxyMode::Iptables,
        proxy: ProxySettings::default(),
        nodes: vec![node(1), node(2)],
        state: Vec::new(),
        outside: vec![OutsideConfig {
            name: "laptop".to_owned(),
            address: [203, 0, 113, 70].into(),
            routes: Vec::new(),
        }],
        network: NetworkConfig::default(),
        timing: TimingConfig::default(),
    };
    change(&mut config);
    Control::new(config).unwrap()
}

pub(crate) fn apply(control: &mut Control, manifests: &str) {
    for document in split(&Source::new("cluster", manifests)).unwrap() {
        for manifest in decode(&document).unwrap() {
            control.write(WriteVerb::Apply, manifest.object).unwrap();
        }
    }
    run(control, control.now() + Duration::from_secs(60));
}

pub(crate) fn run(control: &mut Control, until: SimTime) {
    while control.next_event_at().is_some_and(|at| at <= until) {
        control.step();
    }
    control.advance_clock(until);
}

/// A Service `default/web`, port 80 to `target`.
pub(crate) fn service(selector: &str, target: &str) -> String {
    format!(
        "
---
apiVersion: v1
kind: Service
metadata: {{name: web}}
spec: {{selector: {{{selector}}}, ports: [{{name: http, port: 80, targetPort: {target}}}]}}
"
    )
}

/// A Pod that declares port 8080 under a name.
pub(crate) fn pod(name: &str, labels: &str, port_name: &str) -> String {
    format!(
        "
---
apiVersion: v1
kind: Pod
metadata: {{name: {name}, labels: {{{labels}}}}}
spec: {{containers: [{{name: app, image: app, ports: [{{name: {port_name}, containerPort: 8080}}]}}]}}
"
    )
}

pub(crate) fn web() -> Question {
    about("default", "web")
}

/// A question about a Service of that name.
pub(crate) fn about(namespace: &str, name: &str) -> Question {
    Question::about(ObjectKey::new(Kind::Service, namespace, name))
}

pub(crate) fn diagnosed(manifests: &[String]) -> Diagnosis {
    let mut control = cluster(false);
    apply(&mut control, &manifests.concat());
    diagnose(&control, &web())
}

/// The one finding about `default/web`.
#[track_caller]
pub(crate) fn only(manifests: &[String]) -> Finding {
    let diagnosis = diagnosed(manifests);
    one(&diagnosis)
}

/// The one finding of a diagnosis.
#[track_caller]
pub(crate) fn one(diagnosis: &Diagnosis) -> Finding {
    match &diagnosis.findings[..] {
        [finding] => finding.clone(),
        _ => panic!("{diagnosis}"),
    }
}
