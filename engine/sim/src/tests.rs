//! A whole cluster, from manifest to packet and back.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use api::yaml::{Source as File, split};
use api::{Kind, ObjectKey, decode};
use base::{Seed, SimTime};
use control::{
    ClusterConfig, ConnectRequest, Connection, Host, NetworkConfig, NodeConfig, NodeRules, Outcome,
    OutsideConfig, ProbeOutcome, ProbeRequest, ProbeSource, ProxyMode, ProxySettings,
    ResolveRequest, Source, SyncCost, Target, TimingConfig, World as _, WriteVerb,
};
use netfilter::NodeTables;
use ruleset::xt::{ChainName, TableName, XtTarget};
use ruleset::{Family, Protocol, nft, xt};

use crate::Sim;

mod applications;
mod crashes;
mod faults;
mod foresight;
mod local_detection;
mod memory;
mod names;
mod node_cache;
mod pings;
mod probes;
mod ties;
mod traffic;

const CLIENT: &str = "
apiVersion: v1
kind: Pod
metadata: {name: client}
spec: {nodeName: node-a, containers: [{name: c, image: c}]}
";

const SERVICE: &str = "
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {selector: {app: web}, ports: [{port: 80, targetPort: 8080}]}
";

fn backend(name: &str, node: &str) -> String {
    format!(
        "
apiVersion: v1
kind: Pod
metadata: {{name: {name}, labels: {{app: web}}}}
spec:
  nodeName: {node}
  containers: [{{name: c, image: c, ports: [{{containerPort: 8080}}, {{containerPort: 8080, protocol: UDP}}]}}]
"
    )
}

fn config(seed: u64, mode: ProxyMode) -> ClusterConfig {
    let node = |name: &str, zone: &str, n: u8| NodeConfig {
        name: name.to_owned(),
        zone: Some(zone.to_owned()),
        addresses: vec![
            IpAddr::from([192, 168, 1, n]),
            format!("fd00:192::{n}").parse().unwrap(),
        ],
        pod_cidrs: vec![
            format!("10.244.{n}.0/24").parse().unwrap(),
            format!("fd00:10:244:{n}::/64").parse().unwrap(),
        ],
        ..NodeConfig::default()
    };
    ClusterConfig {
        seed: Seed::new(seed),
        service_cidrs: vec![
            "10.96.0.0/12".parse().unwrap(),
            "fd00:10:96::/112".parse().unwrap(),
        ],
        pod_cidrs: vec![
            "10.244.0.0/16".parse().unwrap(),
            "fd00:10:244::/48".parse().unwrap(),
        ],
        node_port_range: 30000..=32767,
        load_balancer_pool: Vec::new(),
        dns_domain: "cluster.local".to_owned(),
        dns: true,
        node_local_dns: false,
        mode,
        proxy: ProxySettings::default(),
        nodes: vec![node("node-a", "zone-1", 1), node("node-b", "zone-2", 2)],
        state: Vec::new(),
        outside: vec![OutsideConfig {
            name: "laptop".to_owned(),
            address: IpAddr::from([203, 0, 113, 70]),
            routes: Vec::new(),
        }],
        network: NetworkConfig::default(),
        timing: TimingConfig {
            sync_cost: SyncCost::Model,
            ..TimingConfig::default()
        },
    }
}

fn apply(sim: &mut Sim, manifests: &str) {
    for document in split(&File::new("test", manifests)).unwrap() {
        for manifest in decode(&document).unwrap() {
            sim.write(WriteVerb::Apply, manifest.object).unwrap();
        }
    }
}

/// A client, three backends on two nodes, and their Service, at rest after three seconds.
fn cluster() -> Sim {
    cluster_in(ProxyMode::Iptables)
}

fn cluster_in(mode: ProxyMode) -> Sim {
    let mut sim = Sim::new(config(7, mode)).unwrap();
    apply(&mut sim, CLIENT);
    apply(&mut sim, SERVICE);
    for (name, node) in [
        ("web-1", "node-a"),
        ("web-2", "node-b"),
        ("web-3", "node-b"),
    ] {
        apply(&mut sim, &backend(name, node));
    }
    run_to(&mut sim, 5000);
    sim
}

fn run_to(sim: &mut Sim, millis: u64) {
    sim.advance_to(SimTime::from_nanos(millis * 1_000_000));
}

fn client() -> Source {
    Source::Pod(ObjectKey::new(Kind::Pod, "default", "client"))
}

fn vip(sim: &Sim) -> IpAddr {
    sim.control()
        .api()
        .service("default", "web")
        .unwrap()
        .addresses()
        .next()
        .unwrap()
}

fn connect(
    sim: &mut Sim,
    from: Source,
    host: Host,
    protocol: Protocol,
    count: u32,
) -> Vec<Connection> {
    let request = ConnectRequest {
        from,
        to: Target { host, port: 80 },
        protocol,
        count,
        timeout: Duration::from_secs(3),
        payload: b"hello".to_vec(),
    };
    sim.connect(&request).unwrap()
}

fn by_name(sim: &mut Sim, count: u32) -> Vec<Connection> {
    connect(
        sim,
        client(),
        Host::Name("web".to_owned()),
        Protocol::TCP,
        count,
    )
}

fn outcomes(connections: &[Connection]) -> BTreeSet<Outcome> {
    connections
        .iter()
        .map(|connection| connection.outcome)
        .collect()
}

fn backends(connections: &[Connection]) -> BTreeSet<String> {
    connections
        .iter()
        .filter_map(|c| c.backend.as_ref())
        .map(|peer| peer.name.clone())
        .collect()
}

#[test]
fn sixty_connections_reach_all_three_backends() {
    ProxyMode::ALL
        .into_iter()
        .for_each(sixty_connections_reach_all_three_backends_in);
}

fn sixty_connections_reach_all_three_backends_in(mode: ProxyMode) {
    let mut sim = cluster_in(mode);
    let connections = by_name(&mut sim, 60);
    assert_eq!(outcomes(&connections), [Outcome::Connected].into());
    let all = [
        "pod/default/web-1",
        "pod/default/web-2",
        "pod/default/web-3",
    ];
    assert_eq!(backends(&connections), all.map(str::to_owned).into());
    let dialled = SocketAddr::new(vip(&sim), 80);
    let translator = match mode {
        ProxyMode::Ipvs => "virtual server",
        _ => "dnat",
    };
    for connection in &connections {
        assert_eq!(connection.remote, Some(dialled));
        let seen = connection.peer_seen.unwrap().ip();
        assert_eq!(
            seen,
            IpAddr::from([10, 244, 1, 3]),
            "PROXY-24: the Pod keeps its address"
        );
        assert!(
            connection.decisions[0]
                .rule
                .as_ref()
                .unwrap()
                .to_lowercase()
                .contains(translator)
        );
    }
}

#[test]
fn latency_follows_the_links() {
    let mut sim = cluster();
    for connection in by_name(&mut sim, 20) {
        let node = connection.backend.unwrap().node.unwrap();
        let round_trip = if node == "node-a" { 40 } else { 2_000 };
        assert_eq!(
            connection.latency,
            Some(Duration::from_micros(round_trip)),
            "{node}"
        );
    }
}

#[test]
fn udp_is_balanced_too() {
    ProxyMode::ALL.into_iter().for_each(udp_is_balanced_too_in);
}

fn udp_is_balanced_too_in(mode: ProxyMode) {
    let mut sim = cluster_in(mode);
    let service = SERVICE.replace("port: 80,", "port: 80, protocol: UDP,");
    apply(&mut sim, &service.replace("name: web", "name: web-udp"));
    run_to(&mut sim, 8000);
    let host = Host::Name("web-udp".to_owned());
    let connections = connect(&mut sim, client(), host, Protocol::UDP, 40);
    assert_eq!(outcomes(&connections), [Outcome::Connected].into());
    assert_eq!(backends(&connections).len(), 3);
}

#[test]
fn dbg_52_an_outside_host_waits_in_vain() {
    ProxyMode::ALL
        .into_iter()
        .for_each(dbg_52_an_outside_host_waits_in_vain_in);
}

fn dbg_52_an_outside_host_waits_in_vain_in(mode: ProxyMode) {
    let mut sim = cluster_in(mode);
    let host = Host::Address(vip(&sim));
    let laptop = Source::Outside("laptop".to_owned());
    let connections = connect(&mut sim, laptop, host, Protocol::TCP, 3);
    assert_eq!(outcomes(&connections), [Outcome::Timeout].into());
    let meaning = &connections[0].decisions[0].meaning;
    assert!(
        meaning.contains("nobody there has the address"),
        "{meaning}"
    );
}

#[test]
fn proxy_14_a_service_without_endpoints_refuses() {
    ProxyMode::ALL
        .into_iter()
        .for_each(proxy_14_a_service_without_endpoints_refuses_in);
}

fn proxy_14_a_service_without_endpoints_refuses_in(mode: ProxyMode) {
    let refuser = match mode {
        ProxyMode::Ipvs => "virtual server",
        _ => "reject",
    };
    let mut sim = cluster_in(mode);
    let service = SERVICE
        .replace("name: web", "name: empty")
        .replace("app: web", "app: none");
    apply(&mut sim, &service);
    run_to(&mut sim, 8000);
    let host = Host::Name("empty".to_owned());
    let connections = connect(&mut sim, client(), host, Protocol::TCP, 2);
    assert_eq!(outcomes(&connections), [Outcome::Refused].into());
    let decision = connections[0].decisions.last().unwrap();
    assert!(
        decision
            .rule
            .as_ref()
            .unwrap()
            .to_lowercase()
            .contains(refuser),
        "{decision:?}"
    );
    assert!(decision.meaning.contains("default/empty"), "{decision:?}");
    // DBG-76: a datagram is answered by ICMP, in every mode.
    let service = service
        .replace("name: empty", "name: silent")
        .replace("port: 80,", "protocol: UDP, port: 80,");
    apply(&mut sim, &service);
    run_to(&mut sim, 16_000);
    let host = Host::Name("silent".to_owned());
    let connections = connect(&mut sim, client(), host, Protocol::UDP, 2);
    assert_eq!(outcomes(&connections), [Outcome::Refused].into());
}

/// And nobody tries another one for the client (PROXY-43).
/// EP-72, EP-73.
#[test]
fn dbg_41_a_deleted_backend_is_still_chosen_until_the_proxies_have_synced() {
    ProxyMode::ALL
        .into_iter()
        .for_each(dbg_41_a_deleted_backend_is_still_chosen_until_the_proxies_have_synced_in);
}

fn dbg_41_a_deleted_backend_is_still_chosen_until_the_proxies_have_synced_in(mode: ProxyMode) {
    let mut sim = cluster_in(mode);
    sim.delete(&ObjectKey::new(Kind::Pod, "default", "web-1"))
        .unwrap();
    run_to(&mut sim, 5010);
    let between = by_name(&mut sim, 60);
    assert_eq!(
        outcomes(&between),
        [Outcome::Connected, Outcome::Refused].into()
    );
    let refused = between
        .iter()
        .find(|c| c.outcome == Outcome::Refused)
        .unwrap();
    let last = &refused.decisions.last().unwrap().meaning;
    assert!(
        last.contains("the host itself refused it"),
        "DBG-11: {last}"
    );
    run_to(&mut sim, 9000);
    let after = by_name(&mut sim, 60);
    assert_eq!(outcomes(&after), [Outcome::Connected].into());
    assert!(!backends(&after).contains("pod/default/web-1"));
}

#[test]
fn deleting_the_service_frees_the_address_and_the_name() {
    let mut sim = cluster();
    let freed = vip(&sim);
    sim.delete(&ObjectKey::new(Kind::Service, "default", "web"))
        .unwrap();
    run_to(&mut sim, 9000);
    assert_eq!(
        outcomes(&by_name(&mut sim, 1)),
        [Outcome::Unresolved].into()
    );
    let gone = connect(&mut sim, client(), Host::Address(freed), Protocol::TCP, 1);
    assert_eq!(outcomes(&gone), [Outcome::Timeout].into(), "DBG-70");
    for node in ["node-a", "node-b"] {
        assert!(!sim.rules(node).unwrap().contains(&freed.to_string()));
    }
    let again = SERVICE.replace("spec: {", &format!("spec: {{clusterIP: {freed}, "));
    apply(&mut sim, &again);
    assert_eq!(vip(&sim), freed, "ALLOC-15: the address can be had again");
}

#[test]
fn proxy_22_a_node_port_is_a_door_from_outside_and_hides_the_client() {
    for mode in ProxyMode::ALL {
        let mut sim = cluster_in(mode);
        let service = SERVICE
            .replace("name: web", "name: door")
            .replace("spec: {", "spec: {type: NodePort, ")
            .replace("port: 80,", "port: 80, nodePort: 30080,");
        apply(&mut sim, &service);
        run_to(&mut sim, 8000);
        let request = ConnectRequest {
            from: Source::Outside("laptop".to_owned()),
            to: Target {
                host: Host::Address([192, 168, 1, 2].into()),
                port: 30080,
            },
            protocol: Protocol::TCP,
            count: 40,
            timeout: Duration::from_secs(3),
            payload: Vec::new(),
        };
        let connections = sim.connect(&request).unwrap();
        assert_eq!(
            outcomes(&connections),
            [Outcome::Connected].into(),
            "{mode}"
        );
        assert_eq!(backends(&connections).len(), 3, "{mode}");
        for connection in connections {
            let seen = connection.peer_seen.unwrap().ip();
            assert_eq!(
                seen,
                IpAddr::from([192, 168, 1, 2]),
                "{mode}: the node's address"
            );
        }
    }
}

#[test]
fn proxy_32_affinity_keeps_a_client_at_its_endpoint() {
    for mode in ProxyMode::ALL {
        let mut sim = cluster_in(mode);
        let service = SERVICE
            .replace("name: web", "name: sticky")
            .replace("spec: {", "spec: {sessionAffinity: ClientIP, ");
        apply(&mut sim, &service);
        run_to(&mut sim, 8000);
        let host = Host::Name("sticky".to_owned());
        let first = connect(&mut sim, client(), host.clone(), Protocol::TCP, 1);
        let later = connect(&mut sim, client(), host, Protocol::TCP, 30);
        assert_eq!(outcomes(&later), [Outcome::Connected].into(), "{mode}");
        assert_eq!(backends(&later), backends(&first), "{mode}");
    }
}

#[test]
fn what_cannot_be_carried_out_is_refused_or_said() {
    let mut sim = cluster();
    let mut write = |manifest: &str| {
        let documents = split(&File::new("test", manifest)).unwrap();
        let object = decode(&documents[0]).unwrap().remove(0).object;
        sim.write(WriteVerb::Apply, object)
    };
    let silent = "name: other, annotations: {switchboard.dev/hostile: blackhole}";
    let on_host = CLIENT
        .replace("name: client", silent)
        .replace("spec: {", "spec: {hostNetwork: true, ");
    let refused = write(&on_host).unwrap_err();
    assert!(
        refused.message.contains("not supported with hostNetwork"),
        "{}",
        refused.message
    );
    let idle = CLIENT
        .replace("name: client", "name: idle")
        .replace("spec: {", "spec: {dnsConfig: {options: [{name: debug}]}, ");
    let warnings = write(&idle).unwrap().warnings;
    assert!(
        warnings[0].contains("resolver option \"debug\" has no effect"),
        "{warnings:?}"
    );
    let probed = CLIENT.replace("name: client", "name: probed").replace(
        "image: c}",
        "image: c, lifecycle: {postStart: {exec: {command: [x]}}}}",
    );
    let warnings = write(&probed).unwrap().warnings;
    assert!(
        warnings[0].contains("spec.containers[0].lifecycle.postStart"),
        "{warnings:?}"
    );
}

#[test]
fn annotations_that_say_nothing_are_refused() {
    let mut sim = cluster();
    let mut refusal = |manifest: &str| {
        let documents = split(&File::new("test", manifest)).unwrap();
        let object = decode(&documents[0]).unwrap().remove(0).object;
        let refused = sim.write(WriteVerb::Apply, object).unwrap_err();
        refused.message
    };
    let annotated = |annotation: &str| {
        let meta = format!("name: other, annotations: {{switchboard.dev/{annotation}}}");
        CLIENT.replace("name: client", &meta)
    };
    let misspelt = refusal(&annotated("listn: '80'"));
    let supported = "metadata.annotations[switchboard.dev/listn]: not supported: supported are listen, start-delay, \
                     respond-after, on-term, hostile, status";
    assert!(misspelt.contains(supported), "{misspelt}");
    let status = refusal(&annotated("status: pined"));
    assert!(status.contains("\"pined\" is not supported"), "{status}");
    let deployment = |own: &str, of_pods: &str| {
        format!(
            "{{apiVersion: apps/v1, kind: Deployment, metadata: {{name: web, annotations: {{{own}}}}}, \
             spec: {{selector: {{matchLabels: {{a: b}}}}, template: {{metadata: {{labels: {{a: b}}, \
             annotations: {{{of_pods}}}}}, spec: {{containers: [{{name: c, image: c}}]}}}}}}}}"
        )
    };
    let misplaced = refusal(&deployment("switchboard.dev/hostile: refuse", ""));
    assert!(misplaced.contains("spec.template"), "{misplaced}");
    let misspelt = refusal(&deployment("switchboard.dev/hostle: refuse", ""));
    assert!(misspelt.contains("supported are listen"), "{misspelt}");
    let status = refusal(&deployment("", "switchboard.dev/status: pined"));
    let place = "spec.template.metadata.annotations[switchboard.dev/status]: \"pined\" is not";
    assert!(status.contains(place), "{status}");
}

#[test]
fn annotations_of_what_is_there_already_are_looked_at_too() {
    let annotated = CLIENT.replace(
        "name: client",
        "name: client, annotations: {switchboard.dev/listn: '80'}",
    );
    let documents = split(&File::new("test", &annotated)).unwrap();
    let mut config = config(7, ProxyMode::Iptables);
    config.state = vec![decode(&documents[0]).unwrap().remove(0).object];
    let refused = Sim::new(config).err().unwrap();
    assert!(
        refused.message.contains("switchboard.dev/listn"),
        "{refused:?}"
    );
}

#[test]
fn what_is_interpreted_is_what_is_printed() {
    for mode in ProxyMode::ALL {
        let mut sim = cluster_in(mode);
        by_name(&mut sim, 20);
        for node in ["node-a", "node-b"] {
            let interpreted = sim.tables.interpreted(node);
            match sim.control.rules(node).unwrap().1 {
                NodeRules::Iptables(compiled) => {
                    for (family, printed) in &compiled.tables {
                        let read_back = interpreted.tables(*family);
                        assert_eq!(xt::save_text(&read_back), xt::save_text(printed));
                        assert_eq!(
                            xt::parse(&xt::save_text(printed), *family).unwrap(),
                            **printed
                        );
                    }
                }
                NodeRules::Nftables(compiled) => {
                    let printed = nft::list_text(&compiled.tables);
                    assert_eq!(nft::list_text(&interpreted.nft_tables()), printed);
                    assert_eq!(nft::parse(&printed).unwrap(), *compiled.tables);
                }
                NodeRules::Ipvs(compiled) => {
                    for (family, printed) in &compiled.tables {
                        let read_back = interpreted.tables(*family);
                        assert_eq!(xt::save_text(&read_back), xt::save_text(&printed.rules));
                    }
                }
            }
        }
    }
}

/// Every rule on the way of the connection is needed: without any one of these it fails.
#[test]
fn removing_one_rule_breaks_the_connection() {
    let needed: [fn(&str, &XtTarget) -> bool; 4] = [
        |chain, target| chain == "PREROUTING" && matches!(target, XtTarget::Jump(_)),
        |chain, target| chain == "KUBE-SERVICES" && jumps_to(target, "KUBE-SVC-LOLE4ISW44XBNF3G"),
        |chain, target| chain == "KUBE-SVC-LOLE4ISW44XBNF3G" && jumps_to(target, "KUBE-SEP-"),
        |chain, target| chain.starts_with("KUBE-SEP-") && matches!(target, XtTarget::Dnat { .. }),
    ];
    for (index, is_needed) in needed.into_iter().enumerate() {
        let mut sim = cluster();
        let host = Host::Address(vip(&sim));
        // A healthy connection first, so that the tables are in place to be broken.
        let healthy = connect(&mut sim, client(), host.clone(), Protocol::TCP, 1);
        assert_eq!(outcomes(&healthy), [Outcome::Connected].into());
        let removed = remove_rules(&mut sim, "node-a", is_needed);
        assert!(removed > 0, "rule {index} exists");
        let broken = connect(&mut sim, client(), host, Protocol::TCP, 2);
        assert_eq!(
            outcomes(&broken),
            [Outcome::Timeout].into(),
            "without rule {index}"
        );
    }
}

fn jumps_to(target: &XtTarget, prefix: &str) -> bool {
    matches!(target, XtTarget::Jump(chain) if chain.as_str().starts_with(prefix))
}

fn remove_rules(sim: &mut Sim, node: &str, pick: fn(&str, &XtTarget) -> bool) -> usize {
    let interpreted = sim.tables.interpreted(node);
    let mut removed = 0;
    let broken = Family::ALL.map(|family| {
        let mut tables = interpreted.tables(family);
        let nat = tables.tables.get_mut(&TableName::Nat).unwrap();
        let names: Vec<ChainName> = nat.chains.keys().copied().collect();
        for name in names {
            let chain = Arc::make_mut(nat.chains.get_mut(&name).unwrap());
            let before = chain.rules.len();
            chain
                .rules
                .retain(|rule| !pick(name.as_str(), &rule.target));
            removed += before - chain.rules.len();
        }
        Arc::new(tables)
    });
    sim.tables.replace(node, NodeTables::new(&broken).unwrap());
    removed
}

#[test]
fn an_ipv6_service_is_balanced_and_probed() {
    ProxyMode::ALL
        .into_iter()
        .for_each(an_ipv6_service_is_balanced_and_probed_in);
}

fn an_ipv6_service_is_balanced_and_probed_in(mode: ProxyMode) {
    let mut sim = cluster_in(mode);
    let service = SERVICE
        .replace("name: web", "name: six")
        .replace("spec: {", "spec: {ipFamilies: [IPv6], ");
    apply(&mut sim, &service);
    run_to(&mut sim, 9000);
    let address = sim
        .control()
        .api()
        .service("default", "six")
        .unwrap()
        .addresses()
        .next()
        .unwrap();
    assert!(address.is_ipv6());
    let probe = sim
        .probe(&ProbeRequest {
            node: Some("node-a".to_owned()),
            from: ProbeSource::Source(client()),
            to: SocketAddr::new(address, 80),
            protocol: Protocol::TCP,
        })
        .unwrap();
    assert_eq!(probe.outcomes.len(), 3);
    for (share, outcome) in &probe.outcomes {
        assert!(
            (share.as_f64() - 1.0 / 3.0).abs() < 1e-6,
            "PROXY-42: {share:?}"
        );
        let ProbeOutcome::Endpoint { to, snat } = outcome else {
            panic!("{outcome:?}")
        };
        assert!(to.is_ipv6() && !snat);
    }
    let connections = connect(
        &mut sim,
        client(),
        Host::Name("six".to_owned()),
        Protocol::TCP,
        30,
    );
    assert_eq!(outcomes(&connections), [Outcome::Connected].into());
    assert_eq!(backends(&connections).len(), 3);
}

#[test]
fn two_runs_are_equal_to_the_byte() {
    let run = || {
        let mut sim = Sim::new(config(7, ProxyMode::Nftables)).unwrap();
        sim.enable_capture();
        apply(&mut sim, CLIENT);
        apply(&mut sim, SERVICE);
        apply(&mut sim, &backend("web-1", "node-b"));
        run_to(&mut sim, 5000);
        let connections = by_name(&mut sim, 5);
        (
            format!("{connections:?}{:?}", sim.happenings()),
            sim.captures(),
        )
    };
    let (first, second) = (run(), run());
    assert_eq!(first, second);
    assert!(first.1.values().any(|capture| capture.len() > 1000));
}

#[test]
fn a_source_that_does_not_run_is_named_with_those_that_do() {
    let mut sim = cluster();
    let request = ResolveRequest {
        from: Source::Pod(ObjectKey::new(Kind::Pod, "default", "cleint")),
        name: "web".to_owned(),
        record_types: vec!["A".to_owned()],
        protocol: Protocol::UDP,
    };
    let error = sim.resolve(&request.clone()).unwrap_err();
    assert!(error.wanted.contains("pod/default/cleint"));
    let lost = CLIENT
        .replace("name: client", "name: lost")
        .replace("node-a", "nowhere");
    apply(&mut sim, &lost);
    let key = ObjectKey::new(Kind::Pod, "default", "lost");
    let from_lost = ResolveRequest {
        from: Source::Pod(key),
        ..request
    };
    let lost = sim.resolve(&from_lost).unwrap_err().wanted;
    assert!(
        lost.contains("Pending, bound to node nowhere, which does not exist"),
        "{lost}"
    );
    assert!(
        error.existing.contains(&"pod/default/client".to_owned()),
        "{error}"
    );
}

#[test]
fn a_trace_follows_the_packet_and_its_answer() {
    ProxyMode::ALL
        .into_iter()
        .for_each(a_trace_follows_the_packet_and_its_answer_in);
}

fn a_trace_follows_the_packet_and_its_answer_in(mode: ProxyMode) {
    let mut sim = cluster_in(mode);
    let to = Target {
        host: Host::Name("web".to_owned()),
        port: 80,
    };
    let trace = sim.trace(&client(), &to, Protocol::TCP).unwrap();
    assert_eq!(trace.alternatives.len(), 3);
    assert_eq!(trace.request.first().unwrap().place, "pod/default/client");
    assert!(
        trace
            .request
            .last()
            .unwrap()
            .place
            .starts_with("pod/default/web-")
    );
    assert_eq!(trace.reply.last().unwrap().place, "pod/default/client");
    let answer = &trace.reply.last().unwrap().packet;
    assert!(
        answer.contains(&format!("{}:80 ->", vip(&sim))),
        "translated back: {answer}"
    );
}
