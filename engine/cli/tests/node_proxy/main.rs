//! `switchboard node` that goes on, on a real kernel: it repairs, retries, survives being killed, and answers.
//!
//! Every test has a node in a network namespace of its own. Needs root and `ip`, `nft`, `iptables-nft` and `conntrack`.

#[path = "../common/mod.rs"]
mod common;
mod lab;

use std::env;
use std::fmt::Write as _;
use std::fs::File;
use std::time::Duration;

use base::Seed;
use ruleset::xt::{TableName, XtTables};

use lab::{GET, HEALTHZ, Lab, METRICS, Tables, breakable, get, is_installed, remove, until};

const NODE: &str = "{apiVersion: v1, kind: Node, metadata: {name: node-a}, \
                    status: {addresses: [{type: InternalIP, address: 10.244.1.1}]}}\n";

/// A Service at 10.96.`group`.`number`, port 80, with so many endpoints.
fn service(protocol: &str, group: usize, number: usize, endpoints: usize) -> String {
    let name = format!("web-{group}-{number}");
    let mut text = format!(
        "---\n{{apiVersion: v1, kind: Service, metadata: {{name: {name}}}, spec: {{clusterIP: 10.96.{group}.{number}, \
         ports: [{{port: 80, protocol: {protocol}}}]}}}}\n---\n{{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, \
         metadata: {{name: {name}, labels: {{kubernetes.io/service-name: {name}}}}}, addressType: IPv4, \
         ports: [{{name: '', port: 8080, protocol: {protocol}}}], endpoints: ["
    );
    for endpoint in 1..=endpoints {
        write!(text, "{{addresses: [10.244.{number}.{endpoint}]}}, ").unwrap();
    }
    text + "]}\n"
}

fn node_with(label: &str, services: &str) -> Option<Lab> {
    let lab = Lab::create(label)?;
    lab.write("node.yaml", NODE);
    lab.write("web.yaml", services);
    Some(lab)
}

/// Does nothing by itself: it is what other tests run in namespaces.
#[test]
fn a_client() {
    if let Ok(url) = env::var(GET) {
        get(&url);
    }
}

#[test]
fn proxy_65_what_others_break_in_nftables_is_repaired() {
    for mode in ["nftables", "flat"] {
        let Some(lab) = node_with(&format!("{mode}-repair"), &service("TCP", 0, 40, 2)) else {
            return;
        };
        let wanted = lab.fresh(mode);
        let proxy = lab.start(mode, &["--full-sync-period", "300ms"]);
        lab.until_tables("it is programmed", &wanted);
        for damage in [
            "delete table ip kube-proxy",
            "flush chain ip kube-proxy services",
            "delete element ip kube-proxy cluster-ips { 10.96.0.40 }",
            "add rule ip6 kube-proxy services drop",
        ] {
            lab.does("nft", damage);
            lab.until_tables(damage, &wanted);
        }
        proxy.end();
        assert!(lab.tables() == wanted, "the rules stay");
    }
}

#[test]
fn proxy_65_what_others_break_in_iptables_is_repaired() {
    let Some(lab) = node_with("xt-repair", &service("TCP", 0, 40, 2)) else {
        return;
    };
    let wanted = lab.fresh("iptables");
    let proxy = lab.start("iptables", &["--full-sync-period", "300ms"]);
    lab.until_tables("it is programmed", &wanted);
    for damage in [
        "-t nat -F KUBE-SERVICES",
        "-t nat -D PREROUTING 1",
        "-t filter -A KUBE-FORWARD -j DROP",
    ] {
        lab.does("iptables-nft", damage);
        lab.until_tables(damage, &wanted);
    }
    proxy.end();
}

#[test]
fn proxy_67_a_flush_is_noticed_by_the_canary() {
    let Some(lab) = node_with("canary", &service("TCP", 0, 40, 2)) else {
        return;
    };
    let wanted = lab.fresh("iptables");
    let proxy = lab.start("iptables", &["--sync-period", "200ms"]);
    lab.until_tables("it is programmed", &wanted);
    lab.does("nft", "flush ruleset");
    lab.until_tables("a flush", &wanted);
    assert!(proxy.said().contains("somebody has flushed"));
    proxy.end();
}

#[test]
fn manifests_are_followed_and_bad_ones_are_not() {
    let Some(lab) = node_with("follow", &service("TCP", 0, 40, 2)) else {
        return;
    };
    let proxy = lab.start("flat", &[]);
    lab.until_tables("it is programmed", &lab.fresh("flat"));
    lab.write("more.yaml", &service("TCP", 1, 7, 3));
    let wanted = lab.fresh("flat");
    lab.until_tables("there is more", &wanted);
    lab.write("more.yaml", "kind: [nonsense");
    proxy.until_said("stay in force");
    // Long paths are broken into lines.
    let said = proxy.said().split_whitespace().collect::<String>();
    assert!(said.contains("more.yaml:2:1"), "{said}");
    assert!(lab.tables() == wanted, "the last good ones stay");
    lab.write("web.yaml", &service("TCP", 0, 41, 1));
    remove(&lab.folder.join("manifests/more.yaml"));
    lab.until_tables("all is well", &lab.fresh("flat"));
    let complaints = proxy.said().matches("stay in force").count();
    assert_eq!(complaints, 1, "{}", proxy.said());
    proxy.end();
}

#[test]
fn manifests_that_leave_the_node_without_addresses_are_bad_as_a_whole() {
    let Some(lab) = node_with("addresses", &service("TCP", 0, 40, 2)) else {
        return;
    };
    let proxy = lab.start("flat", &[]);
    proxy.until_programmed();
    let nameless = "{apiVersion: v1, kind: Node, metadata: {name: node-a}}\n";
    lab.write(
        "node.yaml",
        &(nameless.to_owned() + &service("TCP", 1, 7, 3)),
    );
    proxy.until_said("stay in force");
    lab.write("node.yaml", NODE);
    lab.write("web.yaml", &service("TCP", 0, 40, 3));
    lab.until_tables("all is well", &lab.fresh("flat"));
    proxy.until_said("partial sync done");
    let said = proxy.said();
    assert_eq!(said.matches("sync done").count(), 2, "{said}");
    proxy.end();
}

#[test]
fn proxy_66_a_failed_commit_is_told_and_tried_again() {
    let Some(lab) = node_with("retry", &service("TCP", 0, 40, 2)) else {
        return;
    };
    let broken = breakable(&lab, "nft");
    let proxy = lab.start("nftables", &["--sync-period", "500ms"]);
    lab.until_tables("it is programmed", &lab.fresh("nftables"));
    proxy.until_programmed();
    // By netlink the tool is needed only to read what somebody else has changed.
    lab.does("nft", "add table ip somebody-else");
    lab.does("nft", "delete table ip somebody-else");
    File::create(&broken).unwrap();
    lab.write("web.yaml", &service("TCP", 0, 40, 3));
    until("it is not healthy", || lab.status(HEALTHZ) == Some(503));
    assert_eq!(lab.status("127.0.0.1:10256/livez"), Some(503));
    proxy.until_said("sync failed, again in 500ms");
    proxy.until_said("it is broken");
    let failures = "kubeproxy_sync_proxy_rules_nftables_sync_failures_total ";
    until("it tries again", || lab.metric(failures) >= Some(3.0));
    remove(&broken);
    until("it is healthy again", || lab.status(HEALTHZ) == Some(200));
    lab.until_tables("it is programmed again", &lab.fresh("nftables"));
    proxy.end();
}

#[test]
fn proxy_73_stale_udp_connections_go() {
    let Some(lab) = node_with("stale", &service("UDP", 0, 53, 2)) else {
        return;
    };
    if !is_installed("conntrack") {
        return;
    }
    let insert = |port: u16, endpoint: &str| {
        lab.does(
            "conntrack",
            &format!(
                "-I -p udp -s 10.244.1.5 -d 10.96.0.53 --sport {port} --dport 80 --reply-src {endpoint} \
                 --reply-dst 10.244.1.5 --reply-port-src 8080 --reply-port-dst {port} -t 300"
            ),
        );
    };
    let entries = || lab.does("conntrack", "-L -p udp").lines().count();
    insert(5001, "10.244.53.1");
    insert(5002, "10.244.53.2");
    insert(5003, "10.244.53.2");
    insert(5004, "10.244.9.9");
    lab.once("nftables");
    assert_eq!(entries(), 3, "nobody of the Service is at 10.244.9.9");
    let proxy = lab.start("nftables", &[]);
    proxy.until_programmed();
    lab.write("web.yaml", &service("UDP", 0, 53, 1));
    until("what is stale is gone", || entries() == 1);
    let deleted = "kubeproxy_conntrack_reconciler_deleted_entries_total ";
    until("it is counted", || lab.metric(deleted) == Some(2.0));
    proxy.end();
}

#[test]
fn a_missing_conntrack_is_told_once() {
    let Some(mut lab) = node_with("no-conntrack", &service("UDP", 0, 53, 3)) else {
        return;
    };
    lab.install_only(&["ip", "nft"]);
    let proxy = lab.start("nftables", &[]);
    proxy.until_programmed();
    for endpoints in [2, 1] {
        lab.write("web.yaml", &service("UDP", 0, 53, endpoints));
        until("it has synced", || {
            let syncs = 1 + proxy.said().matches("partial sync").count();
            syncs == 4 - endpoints
        });
    }
    let said = proxy.said();
    assert_eq!(
        said.matches("conntrack is not installed").count(),
        1,
        "{said}"
    );
    proxy.end();
}

#[test]
fn proxy_64_a_mode_follows_another_that_has_been_running() {
    let Some(lab) = node_with("modes", &service("TCP", 0, 40, 2)) else {
        return;
    };
    for mode in ["iptables", "nftables", "flat", "iptables"] {
        let proxy = lab.start(mode, &[]);
        let wanted = lab.fresh(mode);
        until(mode, || same_rules(&lab.tables(), &wanted));
        assert_eq!(
            lab.get("127.0.0.1:10249/proxyMode"),
            Some((200, mode.to_owned()))
        );
        proxy.end();
    }
}

/// The kubelet's chain, which a proxy makes and leaves, does not count.
fn same_rules(one: &Tables, other: &Tables) -> bool {
    let own = |tables: &Tables| -> Vec<String> {
        let texts = tables.iptables.iter().map(ruleset::xt::save_text);
        let lines = texts.map(|text| {
            let kept = text
                .lines()
                .filter(|line| line.contains("KUBE-") && !line.contains("KUBE-FIREWALL"));
            kept.map(|line| format!("{line}\n")).collect()
        });
        lines.collect()
    };
    one.nft == other.nft && own(one) == own(other)
}

/// With a health check at port 32000.
const LOAD_BALANCER: &str = "{apiVersion: v1, kind: Service, metadata: {name: lb}, spec: {type: LoadBalancer, clusterIP: 10.96.0.9, \
              externalTrafficPolicy: Local, healthCheckNodePort: 32000, ports: [{port: 80, nodePort: 31000}]}}\n";

#[test]
fn proxy_70_a_health_check_that_cannot_listen_is_told() {
    let Some(lab) = node_with("no-check", LOAD_BALANCER) else {
        return;
    };
    let wanted = lab.fresh("nftables");
    let proxy = lab.start("nftables", &["--healthz-bind-address", "10.244.1.1:32000"]);
    until("it complains", || {
        let port = "FailedToStartServiceHealthcheck: service default/lb, port 32000";
        proxy.said().contains(port)
    });
    assert!(lab.tables() == wanted, "the rules stand");
    proxy.end();
}

#[test]
fn proxy_69_71_76_it_answers() {
    let slice = |node: &str| {
        format!(
            "---\n{{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {{name: lb-1, labels: \
             {{kubernetes.io/service-name: lb}}}}, addressType: IPv4, ports: [{{name: '', port: 80}}], endpoints: \
             [{{addresses: [10.244.1.9], nodeName: {node}}}]}}\n"
        )
    };
    let Some(lab) = node_with("answers", &(LOAD_BALANCER.to_owned() + &slice("node-a"))) else {
        return;
    };
    let proxy = lab.start("nftables", &[]);
    let check = "10.244.1.1:32000/anything";
    until("its endpoint is here", || lab.status(check) == Some(200));
    let (_, body) = lab.get(check).unwrap();
    assert!(body.contains("\"localEndpoints\": 1"), "{body}");
    let (status, body) = lab.get(HEALTHZ).unwrap();
    assert_eq!(status, 200);
    assert!(
        body.contains("\"nodeEligible\":true,\"healthy\":true,\"status\":{\"IPv4\""),
        "{body}"
    );
    let (_, metrics) = lab.get(METRICS).unwrap();
    for line in [
        "# TYPE kubeproxy_sync_proxy_rules_duration_seconds histogram",
        "kubeproxy_sync_full_proxy_rules_duration_seconds_count 1",
        "kubeproxy_sync_proxy_rules_service_changes_total 1",
        "kubeproxy_proxy_healthz_total{code=\"200\"} 1",
    ] {
        assert!(metrics.lines().any(|one| one == line), "{line}\n{metrics}");
    }
    assert_eq!(lab.status("127.0.0.1:10249/nothing"), Some(404));
    lab.write("web.yaml", &(LOAD_BALANCER.to_owned() + &slice("node-b")));
    until("its endpoint is elsewhere", || {
        lab.status(check) == Some(503)
    });
    lab.write(
        "node.yaml",
        &NODE.replace(
            "status:",
            "spec: {taints: [{key: ToBeDeletedByClusterAutoscaler, effect: NoSchedule}]}, status:",
        ),
    );
    until("the node goes", || lab.status(HEALTHZ) == Some(503));
    assert_eq!(lab.status("127.0.0.1:10256/livez"), Some(200));
    lab.write("web.yaml", &service("TCP", 0, 40, 1));
    until("nobody listens", || lab.status(check).is_none());
    proxy.end();
}

#[test]
fn there_is_one_proxy_at_a_time() {
    let Some(lab) = node_with("alone", &service("TCP", 0, 40, 1)) else {
        return;
    };
    let proxy = lab.start("nftables", &[]);
    until("it is healthy", || lab.status(HEALTHZ) == Some(200));
    let refused = lab.refused("iptables");
    assert!(
        refused.contains("another switchboard programs"),
        "{refused}"
    );
    proxy.end();
    lab.once("iptables");
}

/// How often the proxy is killed, and how many Services change meanwhile.
const KILLS: u64 = 8;
const SERVICES: usize = 60;

fn many(endpoints: usize) -> String {
    (1..=SERVICES)
        .map(|number| service("TCP", 2, number, endpoints))
        .collect()
}

/// Kills the proxy at random instants while manifests change, and looks each time at what it has left.
fn killed(label: &str, mode: &str, check: impl Fn(&Tables, &[Tables; 2])) {
    let texts = [many(1), many(2)];
    let Some(lab) = node_with(label, &texts[0]) else {
        return;
    };
    let first = lab.fresh(mode);
    lab.write("web.yaml", &texts[1]);
    let states = [first, lab.fresh(mode)];
    let seed = Seed::new(7);
    let mut rng = seed.split(label);
    for kill in 0..KILLS {
        let proxy = lab.start(mode, &["--full-sync-period", "1s"]);
        for change in 0..1 + rng.below(3) {
            lab.write("web.yaml", &texts[usize::from((kill + change) % 2 == 0)]);
            std::thread::sleep(Duration::from_millis(40 + rng.below(160)));
        }
        proxy.kill();
        // A tool that it has started goes on to its end; the next proxy waits for it.
        std::thread::sleep(Duration::from_millis(rng.below(150)));
        check(&lab.tables(), &states);
    }
    let proxy = lab.start(mode, &["--full-sync-period", "1s"]);
    lab.until_tables("it takes over and goes on", &lab.fresh(mode));
    proxy.end();
    let said = lab.once(mode);
    assert!(said.contains("nothing to change"), "{said}");
}

#[test]
fn a_killed_proxy_leaves_old_or_new_nftables() {
    killed("nft-kill", "nftables", |there, states| {
        let known = states.iter().any(|state| state.nft == there.nft);
        assert!(known || there.nft.tables.is_empty(), "{:?}", there.nft);
    });
}

#[test]
fn a_killed_proxy_leaves_old_or_new_flat_rules() {
    killed("flat-kill", "flat", |there, states| {
        let known = states.iter().any(|state| state.nft == there.nft);
        assert!(known || there.nft.tables.is_empty(), "{:?}", there.nft);
    });
}

#[test]
fn a_killed_proxy_leaves_old_or_new_iptables() {
    let nat = |tables: &XtTables| tables.tables.get(&TableName::Nat).cloned();
    killed("xt-kill", "iptables", |there, states| {
        let one = nat(&there.iptables[0]).unwrap();
        let known = states
            .iter()
            .any(|state| nat(&state.iptables[0]).as_ref() == Some(&one));
        let has_none = one
            .chains
            .keys()
            .all(|chain| !chain.as_str().starts_with("KUBE-"));
        assert!(known || has_none, "{one:?}");
    });
}
