//! The steps `fault`, `heal` and `proxy`, and nodes' own proxies.

use super::{HEAD, check, check_step, check_with};

#[test]
fn good_faults() {
    let zoned = HEAD.replace("name: node-b", "name: node-b\n      zone: zone-1");
    for fault in [
        "kind: partition-api, node: node-b, for: 30s, id: f1",
        "kind: watch-delay, zone: zone-1, by: 2s",
        "kind: watch-delay, node: node-a, by: 2s",
        "kind: proxy-crash, node: node-a",
        "kind: proxy-stall, node: node-a",
        "kind: node-down, node: node-a",
        "kind: zone-down, zone: zone-1",
        "kind: link, a: node/node-a, b: zone/zone-1, cut: true",
        "kind: link, a: zone/zone-1, b: zone/zone-1, loss: 2.5%, delay: 20ms, jitter: 5ms, duplicate: 0.0001%, reorder: 100%, rate: 10Mbit, mtu: 1400",
        "kind: link, a: node/node-a, b: outside/laptop, delay: 1s",
        "kind: link, a: node-a, b: node-b, loss: 0.05, duplicate: 1, reorder: 0.000001",
        "kind: link, a: pod/web-1, loss: 5%",
        "kind: link, a: deployment/shop/web, b: node-a, cut: true",
        "kind: link, a: node/node-a, b: pod/web-1, mtu: 1400",
        "kind: pod-crash, pod: pod/web-1",
        "kind: pod-unready, pod: deployment/shop/web, for: 1s",
        "kind: conntrack-full, node: node-a, max: 100",
        "kind: api-down, for: 10s",
        "kind: dns-down, id: f1",
    ] {
        check(&format!("{zoned}  - fault: {{{fault}}}\n"), &[]);
    }
    check(
        &format!("{HEAD}  - fault: {{kind: api-down, id: f1}}\n  - heal: f1\n  - heal: f1\n"),
        &[],
    );
}

#[test]
fn each_kind_of_fault_takes_its_own() {
    check_step(
        "fault: {kind: partition}",
        &[
            "13:19: \"partition\" is not one of partition-api, watch-delay, proxy-crash, proxy-stall, node-down, zone-down, link, pod-crash, pod-unready, conntrack-full, api-down, dns-down",
        ],
    );
    check_step(
        "fault: {kind: api-down, max: 5}",
        &["13:29: unknown key `max` (known here: kind, id, for)"],
    );
    check_step(
        "fault: {kind: pod-crash, pod: web-1, for: 30s}",
        &[
            "13:35: \"web-1\" is no reference: expected kind/name or kind/namespace/name",
            "13:42: a pod-crash is over at once: it has no `for`",
        ],
    );
    check_step(
        "fault: {kind: proxy-crash, node: node-c, for: 0s}",
        &[
            "13:38: there is no node \"node-c\" in spec.cluster (did you mean `node-a`?)",
            "13:51: no time at all makes no fault",
        ],
    );
    check_step(
        "fault: {kind: watch-delay, by: 1s}",
        &["13:12: this is a fault of one `node`, or of all nodes of a `zone`: name one of both"],
    );
    check_step(
        "fault: {kind: zone-down, zone: zone-1}",
        &["13:36: there is no zone \"zone-1\" in spec.cluster (there is no zone at all)"],
    );
    check_step(
        "fault: {kind: conntrack-full, node: node-a}",
        &["13:12: `max` is missing"],
    );
}

#[test]
fn links() {
    check_step(
        "fault: {kind: link, a: node/node-a, b: node/node-a, cut: true}",
        &["13:44: node/node-a has no link to itself"],
    );
    check_step(
        "fault: {kind: link, a: service/web, b: outside/phone}",
        &[
            "13:28: \"service/web\" is no end of a link: expected node/… (or its name alone), zone/…, outside/…, pod/… or a workload",
            "13:44: there is no outside host \"phone\" in spec.cluster (there are: laptop)",
        ],
    );
    check_step(
        "fault: {kind: link, a: pod/web-1, b: zone/zone-1}",
        &["13:42: there is no zone \"zone-1\" in spec.cluster (there is no zone at all)"],
    );
    check_step(
        "fault: {kind: link, a: pod/web-1, b: pod/web-2, cut: true}",
        &["13:42: a Pod has one link, to its node (leave `b` out)"],
    );
    check_step(
        "fault: {kind: link, a: outside/laptop, b: pod/web-2, cut: true}",
        &["13:47: a Pod has one link, to its node (leave `b` out)"],
    );
    check_step(
        "fault: {kind: link, a: node-a, cut: true}",
        &["13:12: `b` is missing"],
    );
    check_step(
        "fault: {kind: link, a: node/node-a, b: node/node-b, delay: 0s}",
        &[
            "13:12: nothing is wrong with this link (give at least one of cut, delay, jitter, loss, duplicate, reorder, rate, mtu)",
        ],
    );
    const LOSS: &str =
        "is no part of all packets: expected 0% to 100%, with at most 4 digits behind the point";
    for loss in ["\"5\"", "101%", "\"-1%\"", "1.00001%", "\".5%\"", "1.%"] {
        let bare = loss.trim_matches('"');
        check_step(
            &format!("fault: {{kind: link, a: node/node-a, b: node/node-b, loss: {loss}}}"),
            &[&format!("13:63: {bare:?} {LOSS}")],
        );
    }
    for loss in ["5", "-0.1", "0.0000001"] {
        let fault = format!("kind: link, a: node-a, b: node-b, loss: {loss}");
        let text = format!("{HEAD}  - fault: {{{fault}}}\n");
        let source = api::yaml::Source::new("s.yaml", text);
        let problems = switchboard_scenario::load(&source, &mut |_: &str| Err(String::new()));
        let said = problems.unwrap_err().to_string();
        assert!(
            said.contains("is no part of all packets: expected 0 to 1"),
            "{said}"
        );
    }
    const RATE: &str =
        "is no rate: expected a whole number of bit, kbit, mbit or gbit a second, such as 10mbit";
    for rate in ["10", "0bit", "1.5mbit", "99999999999gbit"] {
        let quoted = format!("{rate:?}");
        check_step(
            &format!("fault: {{kind: link, a: node/node-a, b: node/node-b, rate: {quoted}}}"),
            &[&format!("13:63: {quoted} {RATE}")],
        );
    }
}

#[test]
fn heals_are_of_faults_before() {
    check_step(
        "heal: f1",
        &["13:5: no fault before this step is called \"f1\" (give a `fault` before it an `id`)"],
    );
    check(
        &format!(
            "{HEAD}  - fault: {{kind: api-down, id: outage}}\n  - heal: outge\n  - fault: {{kind: dns-down, id: outage}}\n"
        ),
        &[
            "14:5: no fault before this step is called \"outge\" (did you mean `outage`?)",
            "15:5: another fault is called \"outage\" too",
        ],
    );
    check_step(
        "{fault: {kind: api-down}, expect: {error: x}}",
        &["13:31: a `fault` expects nothing (give the next step the expectation)"],
    );
}

#[test]
fn proxies() {
    for step in [
        "proxy: {node: node-a, set: {mode: nftables, iptables: {minSyncPeriod: 10s}}, restart: true}",
        "proxy: {set: {nodePortAddresses: [primary]}}",
        "proxy: {restart: true}",
    ] {
        check_step(step, &[]);
    }
    check_step(
        "proxy: {node: node-a}",
        &["13:12: this changes nothing (say what to `set`, or `restart: true`)"],
    );
    check_step(
        "proxy: {node: node-z, set: {mode: ipvz, conntrack: {min: 1}, iptables: {minSyncPeriod: 40s}}}",
        &[
            "13:19: there is no node \"node-z\" in spec.cluster (did you mean `node-a`?)",
            "13:39: \"ipvz\" is no mode (did you mean `ipvs`?)",
            "13:62: `conntrack.min` is not supported by this version of switchboard (leave it out: kube-proxy's default)",
            "13:92: `syncPeriod` must not be below `minSyncPeriod`",
        ],
    );
}

#[test]
fn a_proxys_file() {
    let with = |file: Result<&str, &str>, expected: &[&str]| {
        let cluster = "    proxy: {configFile: conf/proxy.yaml}\n    outside:\n";
        let text = HEAD.replace("    outside:\n", cluster);
        let step = "  - proxy: {node: node-b, set: {configFile: conf/proxy.yaml}}\n";
        check_with(&format!("{text}{step}"), file, expected);
    };
    with(
        Ok("kind: KubeProxyConfiguration\nclusterCIDR: 10.244.0.0/16\n"),
        &[],
    );
    with(
        Err("no such file"),
        &[
            "10:25: cannot read conf/proxy.yaml: no such file",
            "14:45: cannot read conf/proxy.yaml: no such file",
        ],
    );
    let bad = "dir/conf/proxy.yaml:1:27: `syncPeriod` must not be below `minSyncPeriod`";
    with(Ok("iptables: {minSyncPeriod: 40s}\n"), &[bad]);
    let nested = "dir/conf/proxy.yaml:1:13: a configuration file names no other one";
    with(Ok("configFile: x.yaml\n"), &[nested]);
    let two = "expected one YAML document there, found 2";
    with(
        Ok("a: 1\n---\nb: 1\n"),
        &[&format!("10:25: {two}"), &format!("14:45: {two}")],
    );
    check_step(
        "proxy: {set: {configFile: proxy.yaml, clusterCIDR: 10.0.0.0/8}}",
        &["13:18: beside `configFile` nothing else is said (write all settings into the file)"],
    );
}

#[test]
fn a_nodes_proxy_adds_to_the_clusters() {
    let with = |cluster: &str, node: &str| {
        let head = HEAD.replace(
            "    nodes:\n    - name: node-a\n",
            &format!("{cluster}    nodes:\n    - {{name: node-a, proxy: {{{node}}}}}\n"),
        );
        head.trim_end_matches("  steps:\n").to_owned()
    };
    let slow = "    proxy: {iptables: {minSyncPeriod: 2h, syncPeriod: 2h}}\n";
    check(
        &with(slow, "mode: flat, iptables: {minSyncPeriod: 90m}"),
        &[],
    );
    check(
        &with("", "iptables: {minSyncPeriod: 90m}"),
        &["8:56: `syncPeriod` must not be below `minSyncPeriod`"],
    );
    check(
        &with(slow, "iptables: {syncPeriod: 90m}"),
        &["9:53: `syncPeriod` must not be below `minSyncPeriod`"],
    );
}
