//! What each fault does to the control plane, and that nothing of it is left once all are healed.

mod cluster;

use std::collections::BTreeSet;
use std::time::Duration;

use api::{Kind, Object, ObjectKey};
use base::SimTime;
use cluster::try_apply as apply;
use controllers::PodSignal;
use proptest::prelude::*;
use proxy::ViewBuilder;
use rules::{Capabilities, ClusterSizes, ClusterView, Compiler};
use ruleset::Family;
use ruleset::ipvs::Scheduler;
use switchboard_control::{
    ClusterConfig, Control, Fault, FaultId, NodeConfig, NodeRules, Place, ProxyMode, SyncCost,
    TimingConfig,
};

const NODES: [&str; 3] = ["node-1", "node-2", "node-3"];

fn config(mode: ProxyMode) -> ClusterConfig {
    let node = |(n, zone): (usize, &str)| NodeConfig {
        zone: Some(zone.to_owned()),
        ..cluster::node(NODES[n - 1], n)
    };
    ClusterConfig {
        mode,
        timing: TimingConfig {
            sync_cost: SyncCost::Fixed(Duration::from_millis(20)),
            ..TimingConfig::default()
        },
        ..cluster::config(
            [(1, "zone-a"), (2, "zone-a"), (3, "zone-b")]
                .map(node)
                .into(),
        )
    }
}

fn service(name: &str) -> String {
    format!(
        "{{apiVersion: v1, kind: Service, metadata: {{name: {name}, namespace: default}}, \
         spec: {{selector: {{app: web}}, ports: [{{port: 80, targetPort: 8080}}]}}}}"
    )
}

fn pod(name: &str, node: &str) -> String {
    format!(
        "{{apiVersion: v1, kind: Pod, metadata: {{name: {name}, namespace: default, labels: {{app: web}}}}, \
         spec: {{nodeName: {node}, containers: [{{name: c, image: c}}]}}}}"
    )
}

/// A Service and a Pod on each of two nodes, long at rest.
fn cluster(mode: ProxyMode) -> Control {
    let mut control = Control::new(config(mode)).unwrap();
    apply(&mut control, &service("web")).unwrap();
    apply(&mut control, &pod("web-1", "node-1")).unwrap();
    apply(&mut control, &pod("web-2", "node-2")).unwrap();
    pass(&mut control, 10_000);
    control.happenings();
    control
}

fn pass(control: &mut Control, millis: u64) {
    cluster::pass(control, Duration::from_millis(millis));
}

/// How many Services a node has rules for, `default/kubernetes` among them; `None` without any rules.
fn services_on(control: &mut Control, node: &str) -> Option<usize> {
    let (_, rules) = control.rules(node)?;
    let listing = rules.listing();
    let names = [
        "default/kubernetes",
        "default/web",
        "default/late",
        "default/later",
    ];
    Some(names.iter().filter(|name| mentions(&listing, name)).count())
}

/// Both dialects name a Service in comments or in the names of chains.
fn mentions(listing: &str, service: &str) -> bool {
    [
        format!("{service}:"),
        format!("{service} "),
        format!("{service}/"),
        format!("{service}\""),
    ]
    .iter()
    .any(|form| listing.contains(form))
}

fn begin(control: &mut Control, fault: Fault) -> FaultId {
    control.fault(fault, None).unwrap()
}

fn said(control: &mut Control, who: &str) -> Vec<String> {
    let happenings = control.happenings().into_iter();
    let of = happenings.filter(|happening| happening.who == who);
    of.map(|happening| happening.what).collect()
}

fn node(name: &str) -> Place {
    Place::Node(name.to_owned())
}

#[test]
fn partition_api_keeps_a_node_as_it_was_until_it_is_healed() {
    let mut control = cluster(ProxyMode::Nftables);
    let before = services_on(&mut control, "node-1").unwrap();
    let fault = begin(
        &mut control,
        Fault::PartitionApi {
            node: "node-1".to_owned(),
        },
    );
    apply(&mut control, &service("late")).unwrap();
    pass(&mut control, 10_000);
    assert_eq!(services_on(&mut control, "node-1"), Some(before));
    assert_eq!(services_on(&mut control, "node-2"), Some(before + 1));
    assert!(control.heal(fault).is_some());
    pass(&mut control, 100);
    assert_eq!(services_on(&mut control, "node-1"), Some(before + 1));
    assert!(control.heal(fault).is_none(), "it is over");
}

#[test]
fn watch_delay_shifts_what_a_zones_proxies_see() {
    let mut control = cluster(ProxyMode::Iptables);
    let before = services_on(&mut control, "node-1").unwrap();
    let by = Duration::from_secs(4);
    let place = Place::Zone("zone-a".to_owned());
    control
        .fault(
            Fault::WatchDelay { place, by },
            Some(Duration::from_secs(60)),
        )
        .unwrap();
    apply(&mut control, &service("late")).unwrap();
    pass(&mut control, 3_900);
    for (node, more) in [("node-1", 0), ("node-2", 0), ("node-3", 1)] {
        assert_eq!(
            services_on(&mut control, node),
            Some(before + more),
            "{node}"
        );
    }
    pass(&mut control, 200);
    assert_eq!(services_on(&mut control, "node-1"), Some(before + 1));
    pass(&mut control, 10_000);
    assert_eq!(
        control.next_pending_at(),
        Some(SimTime::from_nanos(70_000_000_000)),
        "the end of the fault is pending"
    );
    pass(&mut control, 60_000);
    assert_eq!(control.next_pending_at(), None);
    assert_eq!(
        said(&mut control, "fault"),
        ["no more: the proxy of zone/zone-a sees every change 4s later"]
    );
}

#[test]
fn proxy_68_rules_outlive_their_proxy_and_a_new_one_writes_all() {
    let mut control = cluster(ProxyMode::Nftables);
    let before = services_on(&mut control, "node-1").unwrap();
    let fault = begin(
        &mut control,
        Fault::ProxyCrash {
            node: "node-1".to_owned(),
        },
    );
    apply(&mut control, &service("late")).unwrap();
    pass(&mut control, 30_000);
    assert_eq!(services_on(&mut control, "node-1"), Some(before));
    control.heal(fault);
    pass(&mut control, 1_600);
    assert_eq!(
        services_on(&mut control, "node-1"),
        Some(before),
        "it has listed nothing yet"
    );
    pass(&mut control, 200);
    assert_eq!(services_on(&mut control, "node-1"), Some(before + 1));
    let said = said(&mut control, "node-1/proxy");
    assert_eq!(said[..2], ["stopped", "starts in mode nftables"]);
    assert!(
        said[2].starts_with("full sync done in 20ms: default/late"),
        "{said:?}"
    );
}

#[test]
fn proxy_stall_interrupts_a_sync_and_goes_on_in_full() {
    let mut control = cluster(ProxyMode::Iptables);
    let before = services_on(&mut control, "node-1").unwrap();
    apply(&mut control, &service("late")).unwrap();
    pass(&mut control, 10);
    let fault = begin(
        &mut control,
        Fault::ProxyStall {
            node: "node-1".to_owned(),
        },
    );
    pass(&mut control, 100_000);
    assert_eq!(services_on(&mut control, "node-1"), Some(before));
    let health = control.agent("node-1").unwrap().health();
    assert!(
        !health.is_healthy(control.now()),
        "PROXY-71: pending for over a minute"
    );
    control.heal(fault);
    pass(&mut control, 100);
    assert_eq!(services_on(&mut control, "node-1"), Some(before + 1));
    let said = said(&mut control, "node-1/proxy");
    assert!(said[0].starts_with("full sync done"), "{said:?}");
}

#[test]
fn a_node_without_power_has_no_rules_until_its_proxy_has_started() {
    let mut control = cluster(ProxyMode::Nftables);
    let before = services_on(&mut control, "node-3").unwrap();
    let zone = begin(
        &mut control,
        Fault::Down {
            place: Place::Zone("zone-b".to_owned()),
        },
    );
    let own = begin(
        &mut control,
        Fault::Down {
            place: node("node-3"),
        },
    );
    assert_eq!(services_on(&mut control, "node-3"), None);
    pass(&mut control, 5_000);
    control.heal(zone);
    pass(&mut control, 5_000);
    assert_eq!(
        services_on(&mut control, "node-3"),
        None,
        "two faults, one healed"
    );
    control.heal(own);
    pass(&mut control, 2_000);
    assert_eq!(services_on(&mut control, "node-3"), Some(before));
}

#[test]
fn api_down_refuses_in_kubectls_words_and_delivers_nothing() {
    let mut control = cluster(ProxyMode::Nftables);
    let before = services_on(&mut control, "node-1").unwrap();
    apply(&mut control, &service("late")).unwrap();
    let fault = begin(&mut control, Fault::ApiDown);
    let refused = apply(&mut control, &service("later")).unwrap_err();
    assert_eq!(
        refused.kubectl_text(),
        "The connection to the server 127.0.0.1:6443 was refused - did you specify the right host or port?"
    );
    let key = ObjectKey::new(Kind::Service, "default", "web");
    assert_eq!(control.delete(&key), Err(refused.clone()));
    assert_eq!(
        control.patch(&key, &serde_json::Map::new()).unwrap_err(),
        refused
    );
    pass(&mut control, 10_000);
    assert_eq!(
        control.next_pending_at(),
        None,
        "nobody waits for what nobody can see"
    );
    assert_eq!(services_on(&mut control, "node-1"), Some(before));
    let slices = |control: &Control| control.list(Kind::EndpointSlice, None).len();
    let sliced = slices(&control);
    control.heal(fault);
    pass(&mut control, 10_000);
    assert_eq!(services_on(&mut control, "node-1"), Some(before + 1));
    assert_eq!(slices(&control), sliced + 1, "the controllers work again");
}

#[test]
fn a_kubelet_starts_containers_again_without_an_api_server() {
    let mut control = cluster(ProxyMode::Nftables);
    let pods = vec![ObjectKey::new(Kind::Pod, "default", "web-1")];
    control.signals();
    let fault = begin(&mut control, Fault::ApiDown);
    begin(&mut control, Fault::PodCrash { pods });
    pass(&mut control, 20_000);
    let signals: Vec<PodSignal> = control.signals().into_iter().map(|(_, it)| it).collect();
    assert!(
        matches!(
            &signals[..],
            [PodSignal::Crashed { .. }, PodSignal::Serving { .. }]
        ),
        "{signals:?}"
    );
    let restarts = |control: &Control| {
        let pod = control.api().pod("default", "web-1").unwrap();
        pod.status.container_statuses[0].restart_count
    };
    assert_eq!(restarts(&control), 0, "nobody has written it down");
    control.heal(fault);
    pass(&mut control, 5_000);
    assert_eq!(restarts(&control), 1);
    let unready = Fault::PodUnready {
        pods: vec![ObjectKey::new(Kind::Pod, "default", "web-1")],
    };
    let is_ready = |control: &Control| control.api().pod("default", "web-1").unwrap().is_ready();
    let [first, second] = [
        begin(&mut control, unready.clone()),
        begin(&mut control, unready),
    ];
    pass(&mut control, 5_000);
    assert!(!is_ready(&control));
    control.heal(first);
    pass(&mut control, 5_000);
    assert!(!is_ready(&control), "two faults, one healed");
    control.heal(second);
    pass(&mut control, 5_000);
    assert!(is_ready(&control));
}

#[test]
fn what_does_not_exist_has_no_faults() {
    let mut control = cluster(ProxyMode::Nftables);
    let check = |control: &mut Control, fault: Fault, text: &str| {
        let error = control.fault(fault, None).unwrap_err();
        assert_eq!(error.to_string(), text);
        assert_eq!(control.faults().count(), 0);
    };
    check(
        &mut control,
        Fault::ProxyCrash {
            node: "node-9".to_owned(),
        },
        "there is no node/node-9 at this instant; what exists: node/node-1, node/node-2, node/node-3",
    );
    check(
        &mut control,
        Fault::Down {
            place: Place::Zone("zone-z".to_owned()),
        },
        "there is no zone/zone-z at this instant; what exists: zone/zone-a, zone/zone-b",
    );
    let pods = vec![ObjectKey::new(Kind::Pod, "default", "web-9")];
    check(
        &mut control,
        Fault::PodUnready { pods },
        "there is no pod/default/web-9 at this instant; what exists: pod/default/web-1, pod/default/web-2",
    );
}

/// From a mode to another: what is on the node right after the restart, and whether that is the old rules.
fn check_switch(from: ProxyMode, to: ProxyMode, is_served_meanwhile: bool) {
    let mut control = cluster(from);
    let mut config = control.proxy_config("node-1").unwrap().clone();
    config.mode = to;
    control.configure_proxy("node-1", config).unwrap();
    pass(&mut control, 10_000);
    let dialect = |control: &mut Control| match control.rules("node-1").map(|(_, rules)| rules) {
        Some(NodeRules::Iptables(_)) => "iptables",
        Some(NodeRules::Nftables(_)) => "nftables",
        _ => "nothing",
    };
    let of = |mode| match mode {
        ProxyMode::Iptables => "iptables",
        _ => "nftables",
    };
    assert_eq!(
        dialect(&mut control),
        of(from),
        "the file counts from the next start"
    );
    control.restart_proxy("node-1").unwrap();
    let meanwhile = if is_served_meanwhile {
        of(from)
    } else {
        "nothing"
    };
    assert_eq!(dialect(&mut control), meanwhile, "{from} to {to}");
    pass(&mut control, 1_000);
    assert_eq!(dialect(&mut control), meanwhile, "{from} to {to}");
    pass(&mut control, 1_000);
    assert_eq!(dialect(&mut control), of(to), "{from} to {to}");
    assert!(control.leftover_rules("node-1").is_empty());
    check_settled(
        &mut control,
        |name| if name == "node-1" { to } else { from },
    );
}

#[test]
fn kube_proxy_takes_away_the_other_modes_rules_when_it_starts() {
    check_switch(ProxyMode::Iptables, ProxyMode::Nftables, false);
    check_switch(ProxyMode::Nftables, ProxyMode::Iptables, false);
    check_switch(ProxyMode::Flat, ProxyMode::Iptables, false);
    check_switch(ProxyMode::Flat, ProxyMode::Nftables, true);
}

#[test]
fn the_proxy_of_our_own_layout_takes_them_away_when_its_own_stand() {
    check_switch(ProxyMode::Iptables, ProxyMode::Flat, true);
    check_switch(ProxyMode::Nftables, ProxyMode::Flat, true);
}

#[test]
fn a_node_may_have_a_mode_and_settings_of_its_own() {
    let mut config = config(ProxyMode::Iptables);
    config.nodes[1].mode = Some(ProxyMode::Nftables);
    let mut settings = config.proxy.clone();
    settings.nftables.min_sync_period = Duration::from_secs(20);
    config.nodes[1].proxy = Some(Box::new(settings));
    let mut control = Control::new(config).unwrap();
    for (name, is_nft) in [("node-1", false), ("node-2", true), ("node-3", false)] {
        let (_, rules) = control.rules(name).unwrap();
        assert_eq!(matches!(rules, NodeRules::Nftables(_)), is_nft, "{name}");
    }
    apply(&mut control, &service("web")).unwrap();
    pass(&mut control, 2_000);
    apply(&mut control, &service("late")).unwrap();
    pass(&mut control, 10_000);
    let behind = services_on(&mut control, "node-2").unwrap();
    assert_eq!(services_on(&mut control, "node-1"), Some(behind + 1));
    pass(&mut control, 20_000);
    assert_eq!(services_on(&mut control, "node-2"), Some(behind + 1));
}

/// PROXY-58: nodes may differ in their scheduler, and one that changes it does so when its proxy starts again.
#[test]
fn a_node_may_have_a_scheduler_of_its_own() {
    let mut config = config(ProxyMode::Ipvs);
    let mut settings = config.proxy.clone();
    settings.scheduler = Scheduler::LeastConnection;
    config.nodes[1].proxy = Some(Box::new(settings.clone()));
    let mut control = Control::new(config).unwrap();
    apply(&mut control, &service("web")).unwrap();
    pass(&mut control, 10_000);
    let schedulers = |control: &mut Control| {
        NODES.map(|name| match control.rules(name) {
            Some((_, NodeRules::Ipvs(compiled))) => {
                let servers = compiled.tables[&Family::V4].servers.values();
                let all: BTreeSet<Scheduler> = servers.map(|server| server.scheduler).collect();
                all.into_iter().collect::<Vec<_>>()
            }
            other => panic!("{other:?}"),
        })
    };
    let (rr, lc) = (
        vec![Scheduler::RoundRobin],
        vec![Scheduler::LeastConnection],
    );
    assert_eq!(
        schedulers(&mut control),
        [rr.clone(), lc.clone(), rr.clone()]
    );
    let mut changed = control.proxy_config("node-1").unwrap().clone();
    changed.settings = settings;
    control.configure_proxy("node-1", changed).unwrap();
    pass(&mut control, 10_000);
    assert_eq!(
        schedulers(&mut control),
        [rr.clone(), lc.clone(), rr.clone()]
    );
    control.restart_proxy("node-1").unwrap();
    pass(&mut control, 10_000);
    assert_eq!(schedulers(&mut control), [lc.clone(), lc, rr]);
}

/// What a proxy of mode ipvs has left stays while there is one of mode iptables, as it was last.
#[test]
fn ipvs_leaves_its_virtual_servers_to_iptables() {
    let mut control = cluster(ProxyMode::Ipvs);
    let mut config = control.proxy_config("node-1").unwrap().clone();
    config.mode = ProxyMode::Iptables;
    control.configure_proxy("node-1", config).unwrap();
    control.restart_proxy("node-1").unwrap();
    pass(&mut control, 10_000);
    apply(&mut control, &service("late")).unwrap();
    pass(&mut control, 10_000);
    let servers = |control: &mut Control| match control.leftover_rules("node-1").as_slice() {
        [NodeRules::Ipvs(left)] => left.tables[&Family::V4].servers.len(),
        other => panic!("{other:?}"),
    };
    // Those of `kubernetes` and `web`.
    assert_eq!(servers(&mut control), 2);
    assert_eq!(services_on(&mut control, "node-1"), Some(3));
    let mut config = control.proxy_config("node-1").unwrap().clone();
    config.mode = ProxyMode::Nftables;
    control.configure_proxy("node-1", config).unwrap();
    control.restart_proxy("node-1").unwrap();
    pass(&mut control, 10_000);
    assert!(control.leftover_rules("node-1").is_empty());
}

/// Every node has exactly the rules of the present cluster.
fn check_settled(control: &mut Control, mode_of: impl Fn(&str) -> ProxyMode) {
    let mut builder = ViewBuilder::new(control.config().service_cidrs.clone().into());
    for event in control.api().events_after(0) {
        builder.observe(event);
    }
    let view: ClusterView = builder.view().clone();
    for name in NODES {
        let facts = control.agent(name).unwrap().facts().clone();
        let mut compiler = Compiler::new(Capabilities {
            nfacct: false,
            random_fully: true,
        });
        let sizes = ClusterSizes::SMALL.after(&view);
        let full =
            NodeRules::compile(mode_of(name), &mut compiler, None, &view, &facts, sizes).listing();
        let (_, rules) = control.rules(name).expect("it has been synced");
        assert_eq!(rules.listing(), full, "{name}");
        assert!(control.leftover_rules(name).is_empty(), "{name}");
    }
}

/// One thing that is done, and after how many milliseconds the next.
#[derive(Clone, Debug)]
enum Deed {
    Fault(Fault, Option<u64>),
    Heal(usize),
    Restart(usize),
    Publish(usize),
    Withdraw(usize),
}

fn faults() -> impl Strategy<Value = Fault> {
    let name = || (0..NODES.len()).prop_map(|n| NODES[n].to_owned());
    let place = || {
        prop_oneof![
            name().prop_map(Place::Node),
            Just(Place::Zone("zone-a".to_owned())),
        ]
    };
    prop_oneof![
        name().prop_map(|node| Fault::PartitionApi { node }),
        (place(), 1..5_000_u64).prop_map(|(place, by)| Fault::WatchDelay {
            place,
            by: Duration::from_millis(by),
        }),
        name().prop_map(|node| Fault::ProxyCrash { node }),
        name().prop_map(|node| Fault::ProxyStall { node }),
        place().prop_map(|place| Fault::Down { place }),
        Just(Fault::ApiDown),
    ]
}

fn deeds() -> impl Strategy<Value = Vec<(Deed, u64)>> {
    let deed = prop_oneof![
        4 => (faults(), proptest::option::of(1..10_000_u64)).prop_map(|(fault, lasts)| Deed::Fault(fault, lasts)),
        2 => (0..8_usize).prop_map(Deed::Heal),
        1 => (0..NODES.len()).prop_map(Deed::Restart),
        3 => (0..6_usize).prop_map(Deed::Publish),
        2 => (0..6_usize).prop_map(Deed::Withdraw),
    ];
    proptest::collection::vec((deed, 0..3_000_u64), 1..24)
}

/// Does it all. Writes that the API server does not hear of are done once it is back, so that a cluster without faults
/// has the same objects in the end.
fn live(control: &mut Control, deeds: &[(Deed, u64)], with_faults: bool) {
    let mut begun = Vec::new();
    let mut postponed: Vec<Deed> = Vec::new();
    let write = |control: &mut Control, deed: &Deed| match deed {
        Deed::Publish(n) => apply(control, &service(&format!("s{n}"))),
        Deed::Withdraw(n) => {
            let key = ObjectKey::new(Kind::Service, "default", &format!("s{n}"));
            match control.delete(&key) {
                Err(status) if status.reason == api::Reason::NotFound => Ok(()),
                result => result,
            }
        }
        _ => Ok(()),
    };
    for (deed, then) in deeds {
        match deed {
            Deed::Publish(_) | Deed::Withdraw(_) => postponed.push(deed.clone()),
            Deed::Fault(fault, lasts) if with_faults => {
                let lasts = lasts.map(Duration::from_millis);
                begun.push(control.fault(fault.clone(), lasts).unwrap());
            }
            Deed::Heal(index) => {
                if let Some(id) = begun.get(*index) {
                    control.heal(*id);
                }
            }
            Deed::Restart(index) if with_faults => {
                control.restart_proxy(NODES[*index]).unwrap();
            }
            Deed::Fault(..) | Deed::Restart(_) => {}
        }
        if control.check_reachable().is_ok() {
            for deed in postponed.drain(..) {
                write(control, &deed).unwrap();
            }
        }
        pass(control, *then);
    }
    for id in begun {
        control.heal(id);
    }
    for deed in postponed {
        write(control, &deed).unwrap();
    }
    pass(control, 3_600_000);
}

/// Who is behind each Service, and whether they are ready.
fn endpoints(control: &Control) -> Vec<(String, Vec<String>)> {
    let slices = control.list(Kind::EndpointSlice, None).into_iter();
    let slices = slices.filter_map(|object| match object {
        Object::EndpointSlice(slice) => Some(slice),
        _ => None,
    });
    let mut seen: Vec<_> = slices
        .map(|slice| {
            let endpoints = slice.endpoints.iter();
            let words = endpoints.map(|one| format!("{:?} {:?}", one.addresses, one.conditions));
            let service = slice.metadata.labels.get("kubernetes.io/service-name");
            (service.cloned().unwrap_or_default(), words.collect())
        })
        .collect();
    seen.sort();
    seen
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn after_all_faults_everything_is_as_if_there_had_been_none(deeds in deeds()) {
        let mode = ProxyMode::Nftables;
        let mut control = cluster(mode);
        live(&mut control, &deeds, true);
        prop_assert_eq!(control.faults().count(), 0);
        prop_assert_eq!(control.next_pending_at(), None);
        check_settled(&mut control, |_| mode);
        // A Pod that was started again has another address.
        if !deeds.iter().any(|(deed, _)| matches!(deed, Deed::Fault(Fault::Down { .. }, _))) {
            let mut spared = cluster(mode);
            live(&mut spared, &deeds, false);
            prop_assert_eq!(endpoints(&control), endpoints(&spared));
        }
    }
}
