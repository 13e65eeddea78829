//! The real `iptables-restore` and `nft` take what we print.

use std::io::{self, Write as _};
use std::process::{Command, Output, Stdio};

use ruleset::nft::script_text;
use ruleset::xt::restore_text;
use ruleset::{Family, Protocol};
use switchboard_rules::{Capabilities, ClusterView, Compiler, NodeFacts, TrafficPolicy};

use crate::recorded::{self, CASES};
use crate::support::{
    add_service, add_slice, endpoint, nftables_node_1, node_1, port, service, slice, slice_port,
};

/// In both families: a Service that balances, one that refuses, one that drops, and a load balancer with all there
/// is, whose ranges overlap.
fn view() -> ClusterView {
    let mut view = ClusterView {
        service_cidrs: ["10.96.0.0/16", "10.112.0.0/16", "fd00:10:96::/112"]
            .map(|net| net.parse().unwrap())
            .into(),
        ..ClusterView::default()
    };
    for (family, base, pods, outside, ranges) in [
        (
            Family::V4,
            "10.96.0.",
            "10.244.2.1",
            "203.0.113.",
            ["192.168.0.0/16", "192.168.10.0/24"],
        ),
        (
            Family::V6,
            "fd00:10:96::",
            "fd00:10:244:2::1",
            "2001:db8::",
            ["fd00::/16", "fd00:1::/32"],
        ),
    ] {
        let endpoints = [1, 2, 3].map(|n| endpoint(&format!("{pods}{n}"), "node-2"));
        for (name, last, policy, endpoints) in [
            ("web", 40, TrafficPolicy::Cluster, &endpoints[..]),
            ("local", 41, TrafficPolicy::Local, &endpoints[..]),
            ("empty", 42, TrafficPolicy::Cluster, &[]),
            ("balancer", 43, TrafficPolicy::Cluster, &endpoints[..]),
        ] {
            let mut one = service(&[&format!("{base}{last}")], policy);
            let mut slice = slice(family, endpoints);
            if name == "balancer" {
                one.ports.push(port("sig", Protocol::SCTP, 3868));
                slice.ports.push(slice_port("sig", Protocol::SCTP, 3868));
                for (port, number) in one.ports.iter_mut().zip(30_080..) {
                    port.node_port = Some(number);
                }
                one.external_traffic_policy = TrafficPolicy::Local;
                one.external_ips = vec![format!("{outside}5").parse().unwrap()];
                one.load_balancer_ips = vec![format!("{outside}9").parse().unwrap()];
                one.load_balancer_source_ranges = ranges.map(|net| net.parse().unwrap()).to_vec();
                one.affinity_seconds = Some(600);
                one.health_check_node_port = Some(31_000);
            }
            let name = format!("{name}-{}", family.address_bits());
            add_service(&mut view, &name, one);
            add_slice(&mut view, &name, "slice", slice);
        }
    }
    view
}

fn run(tool: &str, arguments: &[&str], text: &str) -> io::Result<Output> {
    let mut child = Command::new(tool)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let mut stdin = child.stdin.take().expect("stdin is a pipe");
    stdin.write_all(text.as_bytes())?;
    drop(stdin);
    child.wait_with_output()
}

/// A test that did not run must not look like one that passed where it is meant to run.
fn skip(reason: &str) {
    assert!(std::env::var_os("CI").is_none(), "must run in CI: {reason}");
    eprintln!("skipped: {reason}");
}

#[track_caller]
fn check(tool: &str, arguments: &[&str], text: &str) {
    let output = match run(tool, arguments, text) {
        Ok(output) => output,
        Err(error) => return skip(&format!("{tool}: {error}")),
    };
    let stderr = String::from_utf8_lossy(&output.stderr);
    let lacks_rights = ["Permission denied", "you must be root", "not permitted"]
        .iter()
        .any(|words| stderr.contains(words));
    if !output.status.success() && lacks_rights {
        return skip(&format!("{tool}: {stderr}"));
    }
    assert!(output.status.success(), "{tool}: {stderr}\n{text}");
}

/// That cluster, and those that were recorded.
fn views() -> impl Iterator<Item = ClusterView> {
    std::iter::once(view()).chain(CASES.iter().map(|case| recorded::view(case)))
}

fn check_restore(tool: &str, family: Family) {
    for view in views() {
        let compiled = Compiler::new(Capabilities::default()).iptables(&view, &node_1());
        let text = restore_text(&compiled.tables[&family]);
        check(tool, &["--noflush", "--counters", "--test"], &text);
    }
}

#[test]
fn iptables_restore_takes_it() {
    check_restore("iptables-restore", Family::V4);
}

#[test]
fn ip6tables_restore_takes_it() {
    check_restore("ip6tables-restore", Family::V6);
}

#[test]
fn nft_takes_it() {
    let any_address = NodeFacts {
        masquerade_all: true,
        ..node_1()
    };
    for facts in [nftables_node_1(), any_address] {
        for view in views() {
            for compile in [Compiler::nftables, Compiler::flat] {
                let compiled = compile(&mut Compiler::new(Capabilities::ALL), &view, &facts);
                let text = script_text(&compiled.tables);
                check("nft", &["--check", "--file", "-"], &text);
            }
        }
    }
}
