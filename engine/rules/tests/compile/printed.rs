//! Whole texts, to be read by people: a Service with three endpoints in both spellings, and its origins.

use ruleset::Family;
use ruleset::xt::{TableName, XtTables, restore_text, save_text};
use switchboard_rules::{Capabilities, CompiledIptables, Compiler, EndpointView, TrafficPolicy};

use crate::support::{add_service, add_slice, endpoint, node_1, service, slice, web};

fn three_endpoints() -> Vec<EndpointView> {
    [1, 2, 3]
        .map(|n| EndpointView {
            pod: Some(format!("web-{n}").into()),
            ..endpoint(&format!("10.244.{n}.1{n}"), &format!("node-{n}"))
        })
        .to_vec()
}

fn compile() -> (Compiler, CompiledIptables) {
    let mut compiler = Compiler::new(Capabilities::default());
    let view = web(TrafficPolicy::Cluster, &three_endpoints());
    let compiled = compiler.iptables(&view, &node_1());
    (compiler, compiled)
}

/// The part of a text that is about Services' own chains.
fn service_lines(text: &str) -> String {
    let is_one = |line: &&str| {
        [
            "KUBE-SVC-",
            "KUBE-SEP-",
            "KUBE-POSTROUTING",
            "KUBE-MARK-MASQ",
        ]
        .iter()
        .any(|name| line.contains(name))
    };
    text.lines().filter(is_one).collect::<Vec<_>>().join("\n")
}

#[test]
fn as_restored() {
    let (_, compiled) = compile();
    let text = restore_text(&compiled.tables[&Family::V4]);
    insta::assert_snapshot!("restore_three_endpoints", text);
}

#[test]
fn as_saved() {
    let (_, compiled) = compile();
    let text = service_lines(&save_text(&compiled.tables[&Family::V4]));
    insta::assert_snapshot!("save_three_endpoints", text);
}

#[test]
fn ipv6() {
    let mut view = web(TrafficPolicy::Cluster, &[]);
    let v6 = service(&["fd00:10:96::40"], TrafficPolicy::Cluster);
    add_service(&mut view, "web", v6);
    let endpoints = [endpoint("fd00:10:244:1::10", "node-1")];
    add_slice(&mut view, "web", "v6", slice(Family::V6, &endpoints));
    let v6_empty = service(&["fd00:10:96::41"], TrafficPolicy::Cluster);
    add_service(&mut view, "empty", v6_empty);
    let compiled = Compiler::new(Capabilities::ALL).iptables(&view, &node_1());
    let text = save_text(&compiled.tables[&Family::V6]);
    let lines: Vec<_> = text.lines().filter(|line| line.contains("fd00:")).collect();
    insta::assert_snapshot!("save_ipv6", lines.join("\n"));
}

/// One line per rule: where it stands and what it decides.
fn explained(compiler: &Compiler, tables: &XtTables, table: TableName) -> String {
    let mut text = String::new();
    for (name, chain) in &tables.tables[&table].chains {
        for rule in &chain.rules {
            let origin = rule.origin.expect("every rule has an origin");
            text += &format!("{name}: {}\n", compiler.origin(origin));
        }
    }
    text
}

#[test]
fn in_plain_words() {
    let (compiler, compiled) = compile();
    let tables = &compiled.tables[&Family::V4];
    insta::assert_snapshot!("origins_nat", explained(&compiler, tables, TableName::Nat));
    insta::assert_snapshot!(
        "origins_filter",
        explained(&compiler, tables, TableName::Filter)
    );
}

#[test]
fn nothing_is_used_that_the_kernel_lacks() {
    let (_, compiled) = compile();
    for tables in compiled.tables.values() {
        let text = save_text(tables);
        assert!(!text.contains("nfacct"), "{text}");
        assert!(!text.contains("--random-fully"), "{text}");
    }
}
