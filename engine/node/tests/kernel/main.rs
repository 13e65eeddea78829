//! A real kernel takes the compiled rules, has them as they were compiled (PROXY-46), and does with packets what
//! the evaluator says it does.
//!
//! Every test works in a network namespace of its own. Needs root, `/dev/net/tun`, `ip`, `conntrack` and the
//! iptables tools of both variants. To add a layout or a tool, add to `backend::Backend`.

mod backend;
mod clusters;
mod flood;
mod ipvs;
mod lab;
mod local;
mod matches;
mod netlink;
mod netns;
mod nft;
mod packets;

mod sinks;
mod site;
mod transactions;

use std::sync::Arc;

use proxy::{RuleSink as _, SyncKind};
use rules::{
    Capabilities, ClusterSizes, ClusterView, Compiler, EndpointView, Hints, LocalDetection,
    NodeFacts, NodePortAddresses, ServiceName, ServicePortView, ServiceView, SlicePortView,
    SliceView,
};
use ruleset::xt::{self, TableName, XtTables};
use ruleset::{Family, Protocol};
use switchboard_node::{IptablesSink, IptablesTools, ToolError, Variant};

use backend::{read_back, telling};
use netns::{Netns, skip};

const OURS: [TableName; 3] = [TableName::Nat, TableName::Filter, TableName::Mangle];

fn node() -> Arc<NodeFacts> {
    Arc::new(NodeFacts {
        name: "node-a".into(),
        zone: Some("zone-1".into()),
        addresses: vec!["192.168.1.1".parse().unwrap()],
        local_detection: LocalDetection::ClusterCidr(vec![
            "10.244.0.0/16".parse().unwrap(),
            "fd00:10:244::/48".parse().unwrap(),
        ]),
        masquerade_all: false,
        node_port_addresses: NodePortAddresses::All,
        localhost_node_ports: true,
        masquerade_mark: NodeFacts::DEFAULT_MASQUERADE_MARK,
    })
}

/// A Service of both families with as many endpoints each, and one without any.
fn view(endpoints: u16) -> ClusterView {
    let mut view = ClusterView::default();
    let named = |name: &str| ServiceName {
        namespace: "default".into(),
        name: name.into(),
    };
    for (name, last) in [("web", "40"), ("empty", "41")] {
        let service = ServiceView {
            cluster_ips: ["10.96.0.", "fd00:10:96::"]
                .map(|ip| format!("{ip}{last}").parse().unwrap())
                .into(),
            ports: [ServicePortView {
                name: "http".into(),
                protocol: Protocol::TCP,
                port: 80,
                node_port: None,
            }]
            .into(),
            ..ServiceView::default()
        };
        view.services.insert(named(name), Arc::new(service));
    }
    let slice = |family, base: &str| SliceView {
        family,
        ports: [SlicePortView {
            name: "http".into(),
            protocol: Protocol::TCP,
            port: 8080,
        }]
        .into(),
        endpoints: (1..=endpoints)
            .map(|n| endpoint(&format!("{base}{n}")))
            .collect(),
    };
    for (name, family, base) in [
        ("web-4", Family::V4, "10.244.1."),
        ("web-6", Family::V6, "fd00:10:244:1::"),
    ] {
        let slice = Arc::new(slice(family, base));
        view.services.insert_slice(named("web"), name.into(), slice);
    }
    view
}

fn endpoint(address: &str) -> EndpointView {
    EndpointView {
        address: address.parse().unwrap(),
        node: Some("node-a".into()),
        ready: true,
        serving: true,
        terminating: false,
        hints: Hints::NONE,
        pod: None,
    }
}

fn compile(view: &ClusterView, family: Family) -> Arc<XtTables> {
    let compiled = Compiler::new(Capabilities::default()).iptables(view, &node());
    Arc::clone(&compiled.tables[&family])
}

/// Whether there is something to test with; says so when there is not.
fn is_installed(tools: &IptablesTools) -> bool {
    match tools.check(Family::V4, "*nat\nCOMMIT\n") {
        Err(error @ (ToolError::NotFound { .. } | ToolError::Permission { .. })) => {
            skip(&error.to_string());
            false
        }
        _ => true,
    }
}

/// Runs a test in a namespace of its own, once per variant.
fn with_tools(label: &str, test: impl Fn(&IptablesTools)) {
    for variant in [Variant::Nft, Variant::Legacy] {
        let label = format!("{label}-{variant:?}").to_lowercase();
        let Some(netns) = Netns::create(&label) else {
            return;
        };
        let tools = IptablesTools::new(variant).in_netns(netns.name());
        if is_installed(&tools) {
            test(&tools);
        }
    }
}

#[test]
fn restore_takes_three_endpoints() {
    with_tools("take", |tools| {
        for family in Family::ALL {
            let text = xt::restore_text(&compile(&view(3), family));
            assert_eq!(tools.check(family, &text), Ok(()), "{text}");
        }
    });
}

#[test]
fn the_kernel_has_what_was_compiled() {
    with_tools("have", |tools| {
        let mut sink = IptablesSink::new(tools.clone(), Capabilities::default());
        let done = sink.commit(SyncKind::Full, &node(), &view(3), ClusterSizes::SMALL);
        assert_eq!(done, Ok(()));
        for family in Family::ALL {
            let compiled = compile(&view(3), family);
            assert_eq!(
                telling(&read_back(tools, family, OURS)),
                telling(&compiled),
                "{tools:?}"
            );
        }
    });
}

#[test]
fn the_text_alone_gives_the_same() {
    with_tools("text", |tools| {
        for family in Family::ALL {
            let compiled = compile(&view(3), family);
            tools.restore(family, &xt::restore_text(&compiled)).unwrap();
            assert_eq!(
                telling(&read_back(tools, family, OURS)),
                telling(&compiled),
                "{tools:?}"
            );
        }
    });
}

#[test]
fn later_commits_replace_and_leave_others_alone() {
    const CNI: &str = "*nat\n:CNI - [0:0]\n-A PREROUTING -p tcp -m multiport --dports 1,2 -j CNI\n\
                       -A CNI -j RETURN\nCOMMIT\n";
    with_tools("again", |tools| {
        tools.restore(Family::V4, CNI).unwrap();
        let mut sink = IptablesSink::new(tools.clone(), Capabilities::default());
        for (endpoints, kind) in [
            (1, SyncKind::Full),
            (3, SyncKind::Partial),
            (2, SyncKind::Partial),
        ] {
            let done = sink.commit(kind, &node(), &view(endpoints), ClusterSizes::SMALL);
            assert_eq!(done, Ok(()));
        }
        let saved = tools.save(Family::V4, TableName::Nat).unwrap();
        for (line, times) in [
            (
                "-A PREROUTING -m comment --comment \"kubernetes service portals\" -j KUBE-SERVICES",
                1,
            ),
            ("-A PREROUTING -p tcp -m multiport --dports 1,2 -j CNI", 1),
            ("-A CNI -j RETURN", 1),
        ] {
            assert_eq!(
                saved.lines().filter(|saved| *saved == line).count(),
                times,
                "{line}\n{saved}"
            );
        }
        let picks = saved
            .lines()
            .filter(|line| line.contains("-j KUBE-SEP-"))
            .count();
        assert_eq!(picks, 2, "{saved}");
    });
}

#[test]
fn a_refused_text_changes_nothing() {
    with_tools("refuse", |tools| {
        tools
            .restore(
                Family::V4,
                "*nat\n:OURS - [0:0]\n-A OURS -j RETURN\nCOMMIT\n",
            )
            .unwrap();
        let text = "*nat\n:OURS - [0:0]\n-A OURS -j ACCEPT\n-A MISSING -j ACCEPT\nCOMMIT\n";
        let error = tools.restore(Family::V4, text).unwrap_err();
        assert!(matches!(error, ToolError::Other { .. }), "{error}");
        let saved = tools.save(Family::V4, TableName::Nat).unwrap();
        assert!(saved.contains("-A OURS -j RETURN"), "{saved}");
        let error = tools
            .check(Family::V4, "*nat\n-A PREROUTING -m nope\nCOMMIT\n")
            .unwrap_err();
        assert!(matches!(error, ToolError::Unsupported { .. }), "{error}");
    });
}
