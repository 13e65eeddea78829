//! What an hour of traffic costs: `rollout iptables|nftables|flat [PODS [RATE [MINUTES]]] [--packets]`, by default 200 Pods
//! under 200 connections a second for 60 minutes. With `--packets` none is foreseen: every packet is sent.
//!
//! Ten nodes in three zones; a Deployment of so many Pods behind a ClusterIP, rolled to another version five minutes in; one
//! client Pod that dials the ClusterIP, one connection for each request, over real TCP through the rules of its node. The
//! figure is the wall time of all of it, the cluster's start included.

use std::time::Instant;

use scenario::{Scenario, run};
use sim::Sim;

const USAGE: &str = "usage: rollout iptables|nftables|flat [PODS [RATE [MINUTES]]] [--packets]";

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments: Vec<String> = std::env::args().skip(1).collect();
    let sends_all = arguments.last().is_some_and(|last| last == "--packets");
    arguments.truncate(arguments.len() - usize::from(sends_all));
    let [mode, numbers @ ..] = arguments.as_slice() else {
        return Err(USAGE.into());
    };
    let number = |place: usize, default: u64| -> Result<u64, std::num::ParseIntError> {
        numbers.get(place).map_or(Ok(default), |text| text.parse())
    };
    let (pods, rate, minutes) = (number(0, 200)?, number(1, 200)?, number(2, 60)?);
    let scenario = read(&text(mode, pods, rate, minutes))?;
    let mode = scenario.modes[0];

    #[expect(clippy::disallowed_methods, reason = "wall time is what is measured")]
    let begun = Instant::now();
    let mut sim = Sim::new(scenario.cluster(mode)).map_err(|status| status.kubectl_text())?;
    sim.set_foresight(!sends_all);
    let report = run(&scenario, mode, &mut sim, &mut |_| ())?;
    let took = begun.elapsed();

    let stopped = report.steps.last().ok_or("no step")?;
    let connections: u64 = report.metrics.connections.values().sum();
    let micros = took.as_micros() / u128::from(connections.max(1));
    println!("{mode}: {minutes} minutes, {pods} Pods, {rate}/s");
    println!("{}", stopped.seen.join("\n"));
    let foreseen = sim.foreseen();
    println!("{took:.2?}, {micros} µs a connection; {foreseen} of {connections} foreseen");
    if !report.passed() {
        return Err(format!("{:?}", report.steps).into());
    }
    Ok(())
}

fn read(text: &str) -> Result<Scenario, Box<dyn std::error::Error>> {
    let source = api::yaml::Source::new("rollout.yaml", text);
    let mut no_files = |path: &str| Err(format!("{path}: there are no files here"));
    let scenarios = scenario::load(&source, &mut no_files).map_err(|all| all.to_string())?;
    Ok(scenarios.into_iter().next().ok_or("no scenario")?)
}

fn text(mode: &str, pods: u64, rate: u64, minutes: u64) -> String {
    format!(
        "
apiVersion: switchboard.dev/v1alpha1
kind: Scenario
metadata: {{name: rollout}}
spec:
  seed: 7
  cluster:
    modes: [{mode}]
    nodeGroups: [{{prefix: node, count: 10, zones: [a, b, c]}}]
  steps:
  - apply: |
      apiVersion: v1
      kind: Pod
      metadata: {{name: client}}
      spec: {{containers: [{{name: c, image: c}}]}}
      ---
      apiVersion: v1
      kind: Service
      metadata: {{name: web}}
      spec: {{clusterIP: 10.96.0.50, selector: {{app: web}}, ports: [{{port: 80, targetPort: 8080}}]}}
      ---
      apiVersion: apps/v1
      kind: Deployment
      metadata: {{name: web}}
      spec:
        replicas: {pods}
        selector: {{matchLabels: {{app: web}}}}
        template:
          metadata: {{labels: {{app: web}}}}
          spec: {{containers: [{{name: c, image: c, ports: [{{containerPort: 8080}}]}}]}}
  - wait: 30s
  - traffic: {{id: load, from: pod/client, to: \"10.96.0.50:80\", rate: {rate}/s, for: {minutes}m}}
  - {{at: 300s, restart: deployment/web}}
  - wait: {minutes}m
  - stop: load
"
    )
}
