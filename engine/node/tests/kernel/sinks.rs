//! Sinks take over what is there: what is right stays, what is not is changed, and nobody else's rules are touched.

use std::sync::Arc;

use control::ProxyMode;
use proxy::{RuleSink as _, SyncKind};
use rules::{Capabilities, ClusterSizes, ClusterView, Compiler};
use ruleset::Family;
use ruleset::nft::{NftTables, parse};
use ruleset::xt::{TableName, XtTables};
use switchboard_node::{
    IptablesSink, IptablesTools, IpvsTools, KernelSink, KernelTools, NftLayout, NftTools,
    NftablesSink, Transport, Variant,
};

use crate::backend::{read_back, telling};
use crate::netns::{Netns, skip};
use crate::{OURS, compile, is_installed, node, view, with_tools};

/// Rules of others, among which a proxy's stand.
const OTHERS: &str = "*nat\n:CNI - [0:0]\n-A PREROUTING -p tcp -m multiport --dports 1,2 -j CNI\n-A CNI -j RETURN\n\
                      COMMIT\n*filter\n:INPUT DROP [0:0]\n-A INPUT -i lo -j ACCEPT\nCOMMIT\n";

fn sink(tools: &IptablesTools) -> IptablesSink {
    IptablesSink::new(tools.clone(), Capabilities::default())
}

fn all_of(tools: &IptablesTools) -> String {
    OURS.map(|table| tools.save(Family::V4, table).unwrap())
        .concat()
        .lines()
        // A proxy leaves what the kubelet has, too.
        .filter(|line| !line.starts_with('#') && !line.contains("KUBE-FIREWALL"))
        .map(|line| line.split(" [").next().unwrap().to_owned() + "\n")
        .collect()
}

#[test]
fn iptables_changes_only_what_differs() {
    with_tools("differ", |tools| {
        let sink = sink(tools);
        let (three, one) = (compile(&view(3), Family::V4), compile(&view(1), Family::V4));
        assert!(!sink.load(&three).unwrap().is_empty());
        assert!(sink.load(&three).unwrap().is_empty(), "all was there");
        let change = sink.load(&one).unwrap();
        let text: String = change
            .units
            .iter()
            .map(|unit| unit.restore_text(Family::V4))
            .collect();
        assert_eq!(text.matches("\n-X KUBE-SEP-").count(), 2, "{text}");
        assert!(!text.contains("KUBE-POSTROUTING"), "{text}");
        let there = read_back(tools, Family::V4, OURS);
        assert_eq!(telling(&there), telling(&one));
    });
}

#[test]
fn iptables_repairs_what_others_broke() {
    with_tools("repair", |tools| {
        let sink = sink(tools);
        let wanted = compile(&view(2), Family::V4);
        sink.load(&wanted).unwrap();
        let damage = "*nat\n-F KUBE-SERVICES\n-D PREROUTING 1\n-A KUBE-NODEPORTS -p tcp -m multiport --ports 5 -j RETURN\n\
                      :KUBE-SEP-AAAAAAAAAAAAAAAA - [0:0]\nCOMMIT\n";
        tools.restore(Family::V4, damage).unwrap();
        sink.load(&wanted).unwrap();
        let there = read_back(tools, Family::V4, OURS);
        assert_eq!(telling(&there), telling(&wanted));
    });
}

#[test]
fn iptables_cleans_up_and_leaves_others_alone() {
    with_tools("clean", |tools| {
        tools.restore(Family::V4, OTHERS).unwrap();
        let before = all_of(tools);
        let sink = sink(tools);
        sink.load(&compile(&view(2), Family::V4)).unwrap();
        sink.load(&XtTables::new(Family::V4)).unwrap();
        assert_eq!(all_of(tools), before);
    });
}

/// The kubelet's rules are not touched, and nor are rules of built-in chains that only look like a proxy's.
#[test]
fn what_the_kubelet_and_others_have_stays() {
    const KUBELET: &str = "*filter\n:KUBE-FIREWALL - [0:0]\n-A INPUT -j KUBE-FIREWALL\n\
        -A KUBE-FIREWALL -s 10.0.0.9/32 -j DROP\nCOMMIT\n";
    with_tools("kubelet", |tools| {
        tools.restore(Family::V4, KUBELET).unwrap();
        let sink = sink(tools);
        sink.load(&compile(&view(1), Family::V4)).unwrap();
        let marks = "*nat\n-A PREROUTING -i tun0 -j KUBE-MARK-MASQ\nCOMMIT\n";
        tools.restore(Family::V4, marks).unwrap();
        sink.load(&compile(&view(2), Family::V4)).unwrap();
        let saved = tools.save(Family::V4, TableName::Nat).unwrap();
        assert!(
            saved.contains("-A PREROUTING -i tun0 -j KUBE-MARK-MASQ"),
            "{saved}"
        );
        sink.load(&XtTables::new(Family::V4)).unwrap();
        let saved = tools.save(Family::V4, TableName::Filter).unwrap();
        let rules: Vec<_> = saved
            .lines()
            .filter(|line| line.starts_with("-A"))
            .collect();
        let expected = [
            "-A INPUT -j KUBE-FIREWALL",
            "-A KUBE-FIREWALL -s 10.0.0.9/32 -j DROP",
        ];
        assert_eq!(rules, expected);
    });
}

#[test]
fn a_chain_that_others_need_stays_empty() {
    with_tools("held", |tools| {
        let sink = sink(tools);
        sink.load(&compile(&view(1), Family::V4)).unwrap();
        let needs = "*nat\n:CNI - [0:0]\n-A CNI -j KUBE-MARK-MASQ\nCOMMIT\n";
        tools.restore(Family::V4, needs).unwrap();
        sink.load(&XtTables::new(Family::V4)).unwrap();
        let saved = tools.save(Family::V4, TableName::Nat).unwrap();
        let kube = saved.lines().filter(|line| line.contains("KUBE-"));
        let kube: Vec<_> = kube.map(|line| line.split(" [").next().unwrap()).collect();
        assert_eq!(kube, [":KUBE-MARK-MASQ -", "-A CNI -j KUBE-MARK-MASQ"]);
    });
}

struct Nft {
    netns: Netns,
    sink: NftablesSink,
}

impl Nft {
    fn in_netns(label: &str) -> Option<Self> {
        let netns = Netns::create(label)?;
        let tools = NftTools::in_netns(netns.name());
        if let Err(error) = tools.check("") {
            skip(&error.to_string());
            return None;
        }
        let sink = NftablesSink::new(tools, Capabilities::default());
        Some(Self { netns, sink })
    }

    fn there(&self) -> NftTables {
        parse(&self.netns.nft(&["list", "ruleset"])).unwrap()
    }
}

fn tables(view: &ClusterView) -> Arc<NftTables> {
    let compiled = Compiler::new(Capabilities::default()).nftables(view, &node());
    compiled.tables
}

#[test]
fn nftables_changes_only_what_differs() {
    let Some(nft) = Nft::in_netns("nft-differ") else {
        return;
    };
    let (three, two) = (tables(&view(3)), tables(&view(2)));
    nft.sink.load(&three).unwrap();
    assert!(nft.sink.load(&three).unwrap().is_empty(), "all was there");
    let change = nft.sink.load(&two).unwrap().script();
    assert!(change.lines().count() < 20, "{change}");
    assert!(!change.contains("add table"), "{change}");
    assert!(nft.there().canonical() == two.canonical(), "{change}");
}

#[test]
fn nftables_repairs_what_others_broke() {
    let Some(nft) = Nft::in_netns("nft-repair") else {
        return;
    };
    let wanted = tables(&view(2));
    for damage in [
        "flush chain ip kube-proxy services",
        "delete element ip kube-proxy cluster-ips { 10.96.0.40 }",
        "delete table ip6 kube-proxy",
        "add rule ip kube-proxy services meta length 5 drop",
        "add chain ip kube-proxy somebody-else",
    ] {
        nft.sink.load(&wanted).unwrap();
        nft.netns.nft(&[damage]);
        assert!(!nft.sink.load(&wanted).unwrap().is_empty(), "{damage}");
        assert!(nft.there().canonical() == wanted.canonical(), "{damage}");
    }
}

#[test]
fn nftables_cleans_up_and_leaves_others_alone() {
    let Some(nft) = Nft::in_netns("nft-clean") else {
        return;
    };
    nft.netns.nft(&[
        "add table ip cni; add chain ip cni hide; add rule ip cni hide meta length 5 accept",
    ]);
    let before = nft.netns.nft(&["list", "ruleset"]);
    nft.sink.load(&tables(&view(2))).unwrap();
    nft.sink.load(&NftTables::new()).unwrap();
    assert_eq!(nft.netns.nft(&["list", "ruleset"]), before);
}

/// A client that stays with an endpoint stays with it while the proxy starts again.
#[test]
fn what_packets_made_survives() {
    let Some(nft) = Nft::in_netns("nft-made") else {
        return;
    };
    let mut sticky = view(2);
    for service in ["web", "empty"] {
        let name = rules::ServiceName {
            namespace: "default".into(),
            name: service.into(),
        };
        let mut changed = rules::ServiceView::clone(sticky.services.get(&name).unwrap());
        changed.affinity_seconds = Some(600);
        sticky.services.insert(name, Arc::new(changed));
    }
    let wanted = tables(&sticky);
    nft.sink.load(&wanted).unwrap();
    let listed = nft.netns.nft(&["list", "sets", "ip"]);
    let set = listed
        .lines()
        .find_map(|line| line.trim().strip_prefix("set affinity-")?.split(' ').next())
        .expect("there is a set of clients per endpoint");
    nft.netns.nft(&[&format!(
        "add element ip kube-proxy affinity-{set} {{ 10.244.1.5 }}"
    )]);
    assert!(nft.sink.load(&wanted).unwrap().is_empty());
    assert!(
        nft.netns
            .nft(&["list", "sets", "ip"])
            .contains("10.244.1.5")
    );
}

/// A partial sync relies on what was written before. One that finds it broken fails by text, and a full one repairs it
/// (PROXY-66); by netlink it notices that it cannot rely on it.
#[test]
fn nftables_commits_in_each_layout() {
    let Some(nft) = Nft::in_netns("nft-layouts") else {
        return;
    };
    let ways = [Transport::Text, Transport::Netlink];
    let layouts = [NftLayout::KubeProxy, NftLayout::Flat];
    for (way, layout) in ways
        .iter()
        .flat_map(|way| layouts.map(|layout| (*way, layout)))
    {
        let sink = NftablesSink::new(
            NftTools::in_netns(nft.netns.name()),
            Capabilities::default(),
        );
        let mut sink = sink.in_layout(layout).by_transport(way);
        let mut compiler = Compiler::new(Capabilities::default());
        let mut commit = |kind, endpoints| {
            let view = view(endpoints);
            let compiled = match layout {
                NftLayout::KubeProxy => compiler.nftables(&view, &node()),
                NftLayout::Flat => compiler.flat(&view, &node()),
            };
            let done = sink.commit(kind, &node(), &view, ClusterSizes::SMALL);
            done.map(|()| nft.there().canonical() == compiled.tables.canonical())
        };
        assert_eq!(commit(SyncKind::Full, 1), Ok(true), "{layout:?}");
        assert_eq!(commit(SyncKind::Partial, 3), Ok(true), "{layout:?}");
        nft.netns.nft(&["delete table ip kube-proxy"]);
        match way {
            Transport::Text => assert!(commit(SyncKind::Partial, 2).is_err(), "{layout:?}"),
            Transport::Netlink => assert_eq!(commit(SyncKind::Partial, 2), Ok(true), "{layout:?}"),
        }
        assert_eq!(commit(SyncKind::Full, 2), Ok(true), "{layout:?}");
    }
}

/// A table of somebody's own making that `iptables-nft-save` does not understand.
const STRANGE: &str =
    "table ip filter { chain INPUT { type filter hook input priority 0; ct state new accept; }; }";

/// The rules of a mode are in force even if nobody can tell what another mode has left, and it is taken away when that can
/// be told.
#[test]
fn what_cannot_be_cleaned_up_fails_no_commit() {
    let Some(nft) = Nft::in_netns("leftover") else {
        return;
    };
    let tools = IptablesTools::new(Variant::Nft).in_netns(nft.netns.name());
    if !is_installed(&tools) {
        return;
    }
    let old = sink(&tools);
    old.load(&compile(&view(1), Family::V6)).unwrap();
    nft.netns.nft(&[STRANGE]);
    let new = NftTools::in_netns(nft.netns.name());
    let tools = KernelTools {
        iptables: tools,
        nft: new,
        ipvs: IpvsTools::in_netns(nft.netns.name()),
    };
    let mut sink = KernelSink::new(ProxyMode::Nftables, tools).unwrap();
    let commit = |kind, sink: &mut KernelSink| {
        let done = sink.commit(kind, &node(), &view(2), ClusterSizes::SMALL);
        assert_eq!(done, Ok(()));
    };
    commit(SyncKind::Full, &mut sink);
    assert!(sink.leftover().is_some());
    assert!(nft.netns.nft(&["list tables"]).contains("kube-proxy"));
    nft.netns.nft(&["delete table ip filter"]);
    commit(SyncKind::Partial, &mut sink);
    assert_eq!(sink.leftover(), None);
    assert!(old.load(&XtTables::new(Family::V6)).unwrap().is_empty());
}
