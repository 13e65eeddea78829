//! Mode ipvs: what `ipset`, `iptables` and a kernel take of it, and all of it where the kernel has IPVS. Kernels of CI have
//! none, so these tests may be skipped there, too: `tests/ipvs` has the sink before a machine that is not there.

use std::io::Write as _;
use std::path::Path;
use std::process::Stdio;

use proxy::{RuleSink as _, SyncKind};
use rules::{Capabilities, ClusterSizes, CompiledIpvs, Compiler};
use ruleset::Family;
use ruleset::ipvs::{IpvsTables, IpvsTool, IpvsTransaction, parse_sets};
use switchboard_node::{IptablesTools, IpvsSink, IpvsTools, Variant};

use crate::backend::{read_back, telling};
use crate::netns::Netns;
use crate::{OURS, node, view};

/// Says why a test does nothing: in CI as well if the kernel is the reason, but not if a program is missing.
fn skip(reason: &str) {
    let is_of_program = ["No such file or directory", "is not installed"];
    match is_of_program.iter().any(|words| reason.contains(words)) {
        true => crate::netns::skip(reason),
        false => eprintln!("skipped: {reason}"),
    }
}

fn ipset(netns: &Netns, arguments: &[&str], input: &str) -> Result<String, String> {
    let mut command = netns.command(Path::new("ipset"));
    command.args(arguments);
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|error| error.to_string())?;
    let mut stdin = child.stdin.take().expect("it is piped");
    // A program that is not there reads nothing.
    drop(stdin.write_all(input.as_bytes()));
    drop(stdin);
    let output = child
        .wait_with_output()
        .map_err(|error| error.to_string())?;
    match output.status.success() {
        true => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
        false => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
    }
}

/// PROXY-59: sets and the rules that look into them are taken, are there as they were compiled, and go again.
#[test]
fn sets_and_rules_are_taken() {
    for variant in [Variant::Nft, Variant::Legacy] {
        let Some(netns) = Netns::create(&format!("ipset-{variant:?}").to_lowercase()) else {
            return;
        };
        if let Err(problem) = ipset(&netns, &["list", "-name"], "") {
            return skip(&format!("no ipset: {problem}"));
        }
        let tools = IptablesTools::new(variant).in_netns(netns.name());
        let compiled = Compiler::new(Capabilities::default()).ipvs(&view(3), &node());
        for family in Family::ALL {
            let nothing = IpvsTables::new(family, CompiledIpvs::empty(family).bound);
            let tables = &compiled.tables[&family];
            write(&netns, &tools, &IpvsTransaction::between(&nothing, tables));
            let own = ipset(&netns, &["save"], "").unwrap();
            let is_own = |line: &&str| line.contains(" KUBE-6-") == (family == Family::V6);
            let own: Vec<&str> = own.lines().filter(is_own).collect();
            assert_eq!(parse_sets(&own.join("\n"), family).unwrap(), tables.sets);
            let rules = read_back(&tools, family, OURS);
            assert_eq!(telling(&rules), telling(&tables.rules), "{variant:?}");
        }
        for family in Family::ALL {
            let nothing = IpvsTables::new(family, CompiledIpvs::empty(family).bound);
            write(
                &netns,
                &tools,
                &IpvsTransaction::between(&compiled.tables[&family], &nothing),
            );
        }
        assert_eq!(ipset(&netns, &["save"], "").unwrap(), "");
    }
}

/// Those steps that need no IPVS.
fn write(netns: &Netns, tools: &IptablesTools, transaction: &IpvsTransaction) {
    for step in transaction.steps() {
        match step.tool {
            IpvsTool::Sets => drop(ipset(netns, &["-exist", "restore"], &step.text).unwrap()),
            IpvsTool::Rules => tools.restore(transaction.family, &step.text).unwrap(),
            IpvsTool::Servers | IpvsTool::Addresses => {}
        }
    }
}

/// PROXY-57 … PROXY-61, on a kernel that has IPVS.
#[test]
fn a_kernel_with_ipvs_has_what_was_committed() {
    let Some(netns) = Netns::create("ipvs") else {
        return;
    };
    let tools = IpvsTools::in_netns(netns.name());
    let rules = IptablesTools::new(Variant::Default).in_netns(netns.name());
    let mut sink = IpvsSink::new(tools, rules.clone(), Capabilities::default());
    if let Err(error) = sink.prepare() {
        return skip(&error.to_string());
    }
    let mut compiler = Compiler::new(Capabilities::default());
    for (endpoints, kind) in [
        (3, SyncKind::Full),
        (1, SyncKind::Partial),
        (2, SyncKind::Full),
    ] {
        let view = view(endpoints);
        let done = sink.commit(kind, &node(), &view, ClusterSizes::SMALL);
        assert_eq!(done, Ok(()));
        for tables in compiler.ipvs(&view, &node()).tables.values() {
            let change = sink.plan(tables).unwrap();
            assert!(change.is_empty(), "{change:?}");
        }
    }
    let rules = switchboard_node::IptablesSink::new(rules, Capabilities::default());
    rules.leave().unwrap();
    assert_eq!(sink.leave(), Ok(true));
    assert_eq!(sink.leave(), Ok(false));
}
