//! The real `iptables-restore` takes what we print.

use std::io::{self, Write as _};
use std::process::{Command, Output, Stdio};

use ruleset::Family;
use ruleset::xt::restore_text;
use switchboard_rules::{Capabilities, ClusterView, Compiler, NodeFacts, TrafficPolicy};

use crate::support::{add_service, add_slice, endpoint, node_1, service, slice};

/// One Service that balances, one that refuses and one that drops, in both families.
fn view() -> ClusterView {
    let mut view = ClusterView::default();
    for (family, base, pods) in [
        (Family::V4, "10.96.0.", "10.244.2.1"),
        (Family::V6, "fd00:10:96::", "fd00:10:244:2::1"),
    ] {
        let endpoints = [1, 2, 3].map(|n| endpoint(&format!("{pods}{n}"), "node-2"));
        for (name, last, policy, endpoints) in [
            ("web", 40, TrafficPolicy::Cluster, &endpoints[..]),
            ("local", 41, TrafficPolicy::Local, &endpoints[..]),
            ("empty", 42, TrafficPolicy::Cluster, &[]),
        ] {
            let name = format!("{name}-{}", family.address_bits());
            let address = format!("{base}{last}");
            add_service(&mut view, &name, service(&[&address], policy));
            add_slice(&mut view, &name, "slice", slice(family, endpoints));
        }
    }
    view
}

fn run(tool: &str, text: &str) -> io::Result<Output> {
    let mut child = Command::new(tool)
        .args(["--noflush", "--counters", "--test"])
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

fn check(tool: &str, family: Family, facts: &NodeFacts) {
    let compiled = Compiler::new(Capabilities::default()).iptables(&view(), facts);
    let text = restore_text(&compiled.tables[&family]);
    let output = match run(tool, &text) {
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

#[test]
fn iptables_restore_takes_it() {
    check("iptables-restore", Family::V4, &node_1());
}

#[test]
fn ip6tables_restore_takes_it() {
    check("ip6tables-restore", Family::V6, &node_1());
}
