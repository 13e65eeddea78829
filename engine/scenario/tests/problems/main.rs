//! Every class of bad input, with its exact place and words.

mod explain;
mod faults;
mod network;
mod traffic;

use api::yaml::Source;
use network::check_network;
use switchboard_scenario::load;

pub(crate) const HEAD: &str = "\
apiVersion: switchboard.dev/v1alpha1
kind: Scenario
metadata: {name: s}
spec:
  cluster:
    modes: [iptables]
    nodes:
    - name: node-a
    - name: node-b
    outside:
    - {name: laptop, address: 203.0.113.70}
  steps:
";

/// Reads `text`, with `file` standing for every other file, and compares all problems.
pub(crate) fn check_with(text: &str, file: Result<&str, &str>, expected: &[&str]) {
    let mut read = |_: &str| file.map(str::to_owned).map_err(str::to_owned);
    let source = Source::new("dir/s.yaml", text);
    let seen = match load(&source, &mut read) {
        Ok(_) => Vec::new(),
        Err(problems) => {
            let lines = problems
                .as_slice()
                .iter()
                .map(|problem| match &problem.help {
                    Some(help) => format!("{problem} ({help})"),
                    None => problem.to_string(),
                });
            lines
                .map(|line| line.trim_start_matches("dir/s.yaml:").to_owned())
                .collect()
        }
    };
    assert_eq!(seen, expected, "of\n{text}");
}

pub(crate) fn check(text: &str, expected: &[&str]) {
    check_with(text, Err("no such file"), expected);
}

/// A step in a good scenario; it begins in line 13, column 5.
pub(crate) fn check_step(step: &str, expected: &[&str]) {
    check(&format!("{HEAD}  - {step}\n"), expected);
}

/// A key of `spec.cluster`; it stands in line 7, column 5.
pub(crate) fn check_cluster(line: &str, expected: &[&str]) {
    let text = "\
apiVersion: switchboard.dev/v1alpha1
kind: Scenario
metadata: {name: s}
spec:
  cluster:
    modes: [iptables]
    LINE
    nodes: [{name: node-a}]
";
    check(&text.replace("LINE", line), expected);
}

#[test]
fn good_ones_have_no_problem() {
    check(HEAD.trim_end_matches("  steps:\n"), &[]);
    check_step("wait: 1s", &[]);
    check_step(
        "{rules: {node: node-a}, expect: {contains: [b], byMode: {ipvs: {contains: [a]}}}}",
        &[],
    );
    check_step("{wait: 1s, only: {modes: [nftables, ipvs]}}", &[]);
    check_cluster(
        "proxy: {clusterCIDR: \"10.244.0.0/16,fd00::/48\", iptables: {masqueradeAll: true, minSyncPeriod: 0s, syncPeriod: 10s}}",
        &[],
    );
    check_cluster(
        "nodeGroups: [{prefix: worker, count: 3, zones: [a, b], cpu: 8}]",
        &[],
    );
    for proxy in [
        "clusterCIDR: ''",
        "iptables: {minSyncPeriod: 2h, syncPeriod: 2h}",
        "detectLocalMode: ClusterCIDR, clusterCIDR: 10.244.0.0/16, nftables: {masqueradeBit: 0}",
        "detectLocalMode: NodeCIDR",
        "detectLocalMode: BridgeInterface, detectLocal: {bridgeInterface: cni0}",
        "detectLocalMode: InterfaceNamePrefix, detectLocal: {interfaceNamePrefix: veth}",
    ] {
        check_cluster(&format!("proxy: {{{proxy}}}"), &[]);
    }
}

#[test]
fn cluster_dns_and_its_caches() {
    for dns in ["true", "false", "{}", "{nodeLocal: true}"] {
        check_cluster(&format!("dns: {dns}"), &[]);
    }
    check_cluster("dns: 1", &["7:10: expected true or false, found 1"]);
    check_cluster(
        "dns: {nodeLocals: true}",
        &["7:11: unknown key `nodeLocals` (did you mean `nodeLocal`?)"],
    );
    check_cluster(
        "dns: {nodeLocal: true}\n    serviceCIDRs: [fd00::/112]\n    podCIDRs: [fd01::/64]",
        &[
            "6:5: `dns.nodeLocal` answers at 169.254.20.10, and Pods have no IPv4 address here (supported here: serviceCIDRs that begin with a range of IPv4)",
        ],
    );
}

#[test]
fn what_kubeadm_writes_into_a_proxys_file() {
    check_cluster(
        "proxy: {apiVersion: kubeproxy.config.k8s.io/v1alpha1, bindAddress: 0.0.0.0, bindAddressHardFail: false, \
         clientConnection: {acceptContentTypes: '', burst: 0, kubeconfig: /var/lib/kube-proxy/kubeconfig.conf, qps: 0}, \
         clusterCIDR: 10.244.0.0/16, configSyncPeriod: 0s, conntrack: {maxPerCore: null, min: null, tcpBeLiberal: false, \
         tcpCloseWaitTimeout: null, tcpEstablishedTimeout: 24h0m0s, udpStreamTimeout: 0s, udpTimeout: 0s}, \
         detectLocal: {bridgeInterface: '', interfaceNamePrefix: ''}, detectLocalMode: '', enableProfiling: false, \
         healthzBindAddress: '', hostnameOverride: '', iptables: {localhostNodePorts: null, masqueradeAll: false, \
         masqueradeBit: null, minSyncPeriod: 0s, syncPeriod: 0s}, ipvs: {excludeCIDRs: null, minSyncPeriod: 0s, \
         scheduler: '', strictARP: false, syncPeriod: 0s, tcpFinTimeout: 0s, tcpTimeout: 0s, udpTimeout: 0s}, \
         kind: KubeProxyConfiguration, logging: {flushFrequency: 0, verbosity: 0}, metricsBindAddress: '', mode: '', \
         nftables: {masqueradeAll: false, masqueradeBit: null, minSyncPeriod: 0s, syncPeriod: 0s}, \
         nodePortAddresses: null, oomScoreAdj: null, portRange: '', showHiddenMetricsForVersion: '', \
         windowsRunAsService: false, winkernel: {enableDSR: false, networkName: '', sourceVip: ''}}",
        &[],
    );
}

#[test]
fn files_that_are_no_scenario() {
    const BEGINS: &str =
        "(a scenario begins with `apiVersion: switchboard.dev/v1alpha1` and `kind: Scenario`)";
    check(
        "",
        &[&format!("1:1: there is no scenario in this file {BEGINS}")],
    );
    check(
        "# nothing\n---\n",
        &[&format!("1:1: there is no scenario in this file {BEGINS}")],
    );
    check("- a\n", &["1:1: expected a mapping, found a list"]);
    check(
        "a: 1\n",
        &["1:1: `apiVersion` is missing", "1:1: `kind` is missing"],
    );
    check(
        "apiVersion: v1\nkind: Service\n",
        &[
            "1:13: expected `switchboard.dev/v1alpha1`, found \"v1\"",
            "2:7: expected `Scenario`, found \"Service\"",
        ],
    );
}

#[test]
fn malformed_yaml() {
    check("a: [1\nb: 2\n", &["2:2: did not find expected ',' or ']'"]);
    check(
        "a: 1\na: 2\n",
        &[
            "2:1: duplicate entry with key \"a\" (a key may be given once only: this is the second time)",
        ],
    );
}

#[test]
fn unknown_and_missing_keys() {
    check(
        "apiVersion: switchboard.dev/v1alpha1\nkind: Scenario\nmetadata: {nmae: s}\nspec:\n  clutser: {}\n",
        &[
            "3:11: `name` is missing",
            "3:12: unknown key `nmae` (did you mean `name`?)",
            "5:3: `cluster` is missing",
            "5:3: unknown key `clutser` (did you mean `cluster`?)",
        ],
    );
    check_cluster(
        "extra: 1",
        &[
            "7:5: unknown key `extra` (known here: serviceCIDRs, podCIDRs, nodePortRange, dnsDomain, dns, loadBalancer, modes, proxy, nodes, nodeGroups, network, timing, outside)",
        ],
    );
    check_cluster("1: 1", &["6:5: key 1 should be text"]);
}

#[test]
fn values_of_the_cluster() {
    check_cluster(
        "serviceCIDRs: [10.96.0.1/12]",
        &["7:20: 10.96.0.1/12 names a host, not a range (did you mean 10.96.0.0/12?)"],
    );
    check_cluster(
        "serviceCIDRs: [10.96.0.0/29]",
        &[
            "7:19: 10.96.0.0/29 is too small: the DNS Service has the 10th address (give at least a /28)",
        ],
    );
    check_cluster("dns: false\n    serviceCIDRs: [10.96.0.0/29]", &[]);
    check_cluster(
        "dns: false\n    serviceCIDRs: [10.96.0.0/30]",
        &[
            "8:19: 10.96.0.0/30 is too small: a Service range has at least 8 addresses (give at least a /29)",
        ],
    );
    check_cluster(
        "serviceCIDRs: [\"fd00::/48\"]",
        &[
            "7:19: fd00::/48 is too large: Services get no addresses of such an IPv6 range (give at most a /64)",
        ],
    );
    check_cluster(
        "podCIDRs: [10.244.0.0/16, 10.245.0.0/16]",
        &["7:15: expected one range, or one of each address family"],
    );
    check_cluster(
        "podCIDRs: ten",
        &["7:15: expected a list, found the text \"ten\""],
    );
    check_cluster(
        "nodePortRange: 32767-30000",
        &["7:20: \"32767-30000\" is no range of ports: expected one such as 30000-32767"],
    );
    check_cluster(
        "dnsDomain: Cluster.Local",
        &["7:16: \"Cluster.Local\" is no DNS domain: expected one such as cluster.local"],
    );
    check_cluster(
        "dns: maybe",
        &["7:10: expected true or false, found the text \"maybe\""],
    );
    check_cluster(
        "network: {sameNode: 5}",
        &["7:25: expected a duration such as 5ms, found 5 (write the unit: 5s or 5ms)"],
    );
    check_cluster(
        "network: {sameZone: 5 ms, mtu: 100}",
        &[
            "7:25: \"5 ms\" is no duration: expected a number with a unit, such as 5ms, 1.5s or 1m30s (units: ns, us, ms, s, m, h)",
            "7:36: expected a whole number from 1280 to 65535, found 100",
        ],
    );
    check_cluster(
        "network: {hairpin: off-peak}",
        &["7:24: expected true or false, found the text \"off-peak\""],
    );
    check_cluster(
        "timing: {syncCost: cheap, wacth: 5ms}",
        &[
            "7:24: \"cheap\" is neither `model` nor a duration such as 20ms",
            "7:31: unknown key `wacth` (did you mean `watch`?)",
        ],
    );
    check_cluster(
        "outside: [{name: a, address: 1.2.3, routes: [{to: 10.0.0.0/8, via: node-x}]}]",
        &[
            "7:34: \"1.2.3\" is no IP address",
            "7:72: there is no node \"node-x\" in spec.cluster (did you mean `node-a`?)",
        ],
    );
    check_cluster("outside: [{name: a, address: 192.168.1.1}]", &[]);
    check_cluster(
        "nodeGroups: [{prefix: node, count: 5001}]",
        &["7:40: expected a whole number from 0 to 5000, found 5001"],
    );
    check_cluster(
        "podCIDRs: [10.244.0.0/24]\n    nodeGroups: [{prefix: w, count: 1}]",
        &[
            "7:16: podCIDRs 10.244.0.0/24 has room for the ranges of 1 node (a /24 each), and 2 nodes need one (give a larger range, fewer nodes, or nodes with podCIDRs of their own)",
        ],
    );
}

#[test]
fn a_load_balancer() {
    check_cluster(
        "loadBalancer: {pool: [203.0.113.0/28, 10.96.1.0/24]}",
        &["7:43: 10.96.1.0/24 overlaps 10.96.0.0/12, one of serviceCIDRs"],
    );
    check_cluster("loadBalancer: {}", &["7:19: `pool` is missing"]);
}

#[test]
fn a_node_may_be_unheard_of_for_a_while() {
    check_cluster("timing: {nodeGrace: 10s}", &[]);
    check_cluster(
        "timing: {nodeGrace: 9s}",
        &["7:25: a node would count as away between two heartbeats, which come every 10s"],
    );
}

#[test]
fn what_this_version_does_not_support() {
    check_cluster(
        "proxy: {mode: ipvs, nftables: {masqueradeBit: 32}, iptables: {syncPeriod: 500ms}}",
        &[
            "7:19: `mode` is not said here (say `modes` in spec.cluster: the scenario runs once in each)",
            "7:51: expected a whole number from 0 to 31, found 32",
            "7:79: `syncPeriod` must not be below `minSyncPeriod`",
        ],
    );
    // The other period is 30s if nothing is said of it.
    check_cluster(
        "proxy: {iptables: {minSyncPeriod: 2h}}",
        &["7:39: `syncPeriod` must not be below `minSyncPeriod`"],
    );
    check(&HEAD.replace("[iptables]", "[nftables, ipvs]"), &[]);
    check(
        &HEAD.replace("[iptables]", "[iptables, nftables, iptables]"),
        &["6:33: the mode iptables stands here twice"],
    );
    check_cluster(
        "nodeGroups: [{prefix: worker, count: 3, cpu: 0}]",
        &["7:50: expected a whole number from 1 to 8192, found 0"],
    );
    check_cluster(
        "proxy: {ipvs: {scheduler: \"\", strictARP: false, excludeCIDRs: [], tcpTimeout: 0s, minSyncPeriod: 0s}}",
        &[],
    );
    check_cluster(
        "proxy: {ipvs: {scheduler: mh, strictARP: true, tcpTimeout: 5s}}",
        &[
            "7:31: scheduler \"mh\" is not supported by this version of switchboard (supported: rr, wrr, lc, wlc, sh, dh, sed, nq)",
            "7:46: `strictARP` is not supported here: the network has no ARP",
            "7:64: `tcpTimeout` is not supported here, but for 0s: the kernel's own",
        ],
    );
    check(
        &HEAD.replace("[iptables]", "[iptable]"),
        &["6:13: \"iptable\" is no mode (did you mean `iptables`?)"],
    );
    check_step("events: {}", &[]);
    check_step(
        "get: {resource: svc/web, output: xml}",
        &[
            "13:38: unable to match a printer suitable for the output format \"xml\"; allowed formats are: wide, yaml, json, name, jsonpath=…, custom-columns=…",
        ],
    );
    check_step(
        "{get: {resource: svc, selector: app=web, output: wide}, expect: {output: x}}",
        &[],
    );
    check_step(
        "get: {resource: svc, selector: a b}",
        &["13:36: unable to parse requirement: found 'b', expected: in, notin, =, ==, !=, gt, lt"],
    );
    check_step(
        "get: {resource: svc web, selector: a=b}",
        &["13:21: name cannot be provided when a selector is specified"],
    );
    check_step(
        "{delete: svc/web, expect: {error: {matches: 'a(b'}}}",
        &["13:49: \"a(b\" is no regular expression: unclosed group"],
    );
    check_step(
        "{delete: svc/web, expect: {error: {matches: x, contains: y}}}",
        &["13:39: expected one of `contains` and `matches`"],
    );
    check_step(
        "{connect: {from: pod/a, to: \"a:80\"}, expect: {backends: {count: 1, within: [pod/a]}}}",
        &["13:61: expected one of `exactly`, `within` and `count`"],
    );
    check_step(
        "resolve: {from: pod/a, name: 'fd00::1', protocol: SCTP}",
        &[
            "13:34: \"fd00::1\" is no host name",
            "13:55: \"SCTP\" is not one of TCP, UDP (did you mean `TCP`?)",
        ],
    );
    // recorded/dns.yaml
    for name in ["*.shop.svc.cluster.local.", "web.*.svc.cluster.local."] {
        check_step(
            &format!("resolve: {{from: node/node-a, name: '{name}'}}"),
            &[],
        );
    }
    check_step(
        "resolve: {from: node/node-a, name: '*web'}",
        &["13:40: \"*web\" is no host name"],
    );
}

/// Expectations that no run could fail.
#[test]
fn expectations_that_say_nothing() {
    check_step(
        "{rules: {node: node-a}, expect: {byMode: {ipvs: {contains: [a]}}}}",
        &[
            "13:46: this is never judged: `byMode` names none of the modes that the step is run in (iptables)",
        ],
    );
    check_step(
        "{only: {modes: [ipvs]}, rules: {node: node-a}, expect: {byMode: {ipvs: {contains: [a]}}}}",
        &[],
    );
    check_step(
        "{rules: {node: node-a}, expect: {contains: ['']}}",
        &["13:49: expected text, found an empty one"],
    );
    check_step(
        "{get: {resource: nodes}, expect: {output: {contains: []}}}",
        &["13:58: an empty list says nothing: leave it out, or name at least one"],
    );
}

#[test]
fn names_that_kubernetes_would_refuse() {
    const SUBDOMAIN: &str = "is no name: expected an RFC 1123 subdomain: at most 253 lower-case letters, digits, `-` and `.`, with a letter or digit at both ends of each part";
    check_network(
        "nodes: [{name: -a}, {name: a..b}, {name: c_d}, {name: '', zone: 'z z', labels: {'-': x, a: '-'}}]\nnodeGroups: [{prefix: W, count: 1}]",
        &[
            &format!("7:20: \"-a\" {SUBDOMAIN}"),
            &format!("7:32: \"a..b\" {SUBDOMAIN}"),
            &format!("7:46: \"c_d\" {SUBDOMAIN}"),
            "7:59: expected text, found an empty one",
            "7:69: \"z z\" cannot be a label's value: expected at most 63 letters, digits, `-`, `_` and `.`, with a letter or digit at both ends",
            "7:85: \"-\" cannot be a label's key: expected one such as `tier` or `example.com/tier`",
            "7:96: \"-\" cannot be a label's value: expected at most 63 letters, digits, `-`, `_` and `.`, with a letter or digit at both ends",
            &format!("8:27: \"W-5000\" {SUBDOMAIN}"),
        ],
    );
    let named = |name: &str| HEAD.replace("{name: s}", &format!("{{name: {name}}}"));
    for name in ["../s", "S", ".", "a/b"] {
        check(&named(name), &[&format!("3:18: {name:?} {SUBDOMAIN}")]);
    }
    check(&named("''"), &["3:18: expected text, found an empty one"]);
}

#[test]
fn lookups_and_packets_of_a_later_version() {
    check_step(
        "resolve: {from: pod/a, name: web, type: AXFR}",
        &["13:45: \"AXFR\" is not one of A, AAAA, CNAME, MX, NS, PTR, SOA, SRV, TXT, ANY"],
    );
    check_step(
        "probe: {node: node-a, from: {ip: \"fd00::1\"}, to: \"10.96.0.10:53\"}",
        &[
            "13:38: a packet has addresses of one family, and fd00::1 is not of that of 10.96.0.10:53",
        ],
    );
    check_step(
        "probe: {node: node-a, from: {ip: 10.0.0.1}, to: \"[fd00::a]:53\"}",
        &[
            "13:38: a packet has addresses of one family, and 10.0.0.1 is not of that of [fd00::a]:53",
        ],
    );
}

#[test]
fn changes() {
    check_step(
        "patch: {target: service/web, patch: [1]}",
        &["13:41: expected a mapping, which is merged into the object, found a list"],
    );
    check_step(
        "scale: {target: service/web, replicas: many}",
        &[
            "13:21: service/default/web cannot stand here: expected deployment/…, replicaset/…, statefulset/…",
            "13:44: expected a whole number from 0 to 150000, found the text \"many\"",
        ],
    );
    check_step(
        "restart: pod/a",
        &[
            "13:14: pod/default/a cannot stand here: expected deployment/…, daemonset/…, statefulset/…",
        ],
    );
}

#[test]
fn steps() {
    check_step(
        "wait",
        &["13:5: expected a mapping, found the text \"wait\""],
    );
    check_step(
        "{}",
        &[
            "13:5: this step does nothing (supported steps: apply, create, replace, delete, patch, scale, restart, wait, get, resolve, connect, probe, rules, open, send, close, traffic, stop, proxy, fault, heal, explain, matrix, events, await)",
        ],
    );
    check_step(
        "{conect: {from: pod/a}}",
        &["13:6: unknown key `conect` (did you mean `connect`?)"],
    );
    check_step(
        "{wait: 1s, rules: {node: node-a}}",
        &[
            "13:16: a step does one thing, and this one has `wait` already (make `rules` a step of its own)",
        ],
    );
    check_step(
        "{wait: 1s, at: 1s, after: 2s}",
        &["13:5: a step starts either `at` an instant or `after` a while"],
    );
    check_step(
        "{wait: 5}",
        &["13:12: expected a duration such as 5ms, found 5 (write the unit: 5s or 5ms)"],
    );
    check_step(
        "{wait: soon}",
        &["13:12: \"soon\" is neither a duration such as 2s nor `converged`"],
    );
    check_step(
        "{wait: 1s, expect: {error: x}}",
        &["13:16: a `wait` expects nothing (give the next step the expectation)"],
    );
    check_step(
        "{wait: 3s, name: a}\n  - {wait: 1s, at: 2s, name: b}\n  - {wait: 1s, name: a}",
        &[
            "14:5: this step starts at 2s, before the one before it can have ended (3s at the earliest)",
            "15:22: another step is called \"a\" too",
        ],
    );
    check_step(
        "rules: {node: node-c}",
        &["13:19: there is no node \"node-c\" in spec.cluster (did you mean `node-a`?)"],
    );
    check_step(
        "delete: [web, gizmo/web, serivce/web]",
        &[
            "13:14: \"web\" is no reference: expected kind/name or kind/namespace/name",
            "13:19: \"gizmo\" is no kind of object",
            "13:30: \"serivce\" is no kind of object; did you mean service/…?",
        ],
    );
    check_step(
        "delete: {target: [service/web, pod/a], cascade: foreground, gracePeriod: 5s}",
        &[],
    );
    check_step(
        "delete: {cascade: orphans, gracePeriod: 500ms}",
        &[
            "13:13: `target` is missing",
            "13:23: \"orphans\" is not one of background, foreground, orphan (did you mean `orphan`?)",
            "13:45: expected whole seconds",
        ],
    );
    check_step(
        "get: {resource: gizmos}",
        &["13:21: the server doesn't have a resource type \"gizmos\""],
    );
    check_step(
        "get: {resource: node/x/y}",
        &["13:21: a Node lives in no namespace: write node/y"],
    );
}

#[test]
fn sources_and_targets() {
    check_step(
        "connect: {from: service/web, to: web}",
        &[
            "13:21: \"service/web\" cannot stand here: expected pod/…, a workload such as deployment/…, node/… or outside/…",
            "13:38: \"web\" is no target: expected name:port, ip:port or [ipv6]:port, such as web:80",
        ],
    );
    check_step(
        "connect: {from: node/node-c, to: \"web:0\"}",
        &[
            "13:21: there is no node \"node-c\" in spec.cluster (did you mean `node-a`?)",
            "13:38: \"web:0\" is no target: expected name:port, ip:port or [ipv6]:port, such as web:80",
        ],
    );
    check_step(
        "connect: {from: outside/desktop, to: \"fd00::1:80\", count: 100001}",
        &[
            "13:21: there is no outside host \"desktop\" in spec.cluster (there are: laptop)",
            "13:42: \"fd00::1:80\" is no target: expected name:port, ip:port or [ipv6]:port, such as web:80",
            "13:63: expected a whole number from 1 to 100000, found 100001",
        ],
    );
    check_step(
        "connect: {from: {ip: 10.0.0.1}, to: \"a..b:80\", timeout: 0s, protocol: SCTP}",
        &[
            "13:21: a bare address has no sockets (use `probe`, or name a Pod, a node or an outside host)",
            "13:41: \"a..b:80\" is no target: expected name:port, ip:port or [ipv6]:port, such as web:80",
            "13:61: a client that waits no time at all gets no answer",
            "13:75: connections over SCTP are not supported by this version of switchboard (supported here: TCP and UDP; `probe` takes SCTP too)",
        ],
    );
    check_step(
        "probe: {from: {ip: 10.0.0.1}, to: \"web:80\"}",
        &[
            "13:12: `node` is missing: a bare address is seen by some node's rules",
            "13:39: a bare address has no resolver to ask for a name (give an address with a port, or a source such as pod/… or node/…)",
        ],
    );
    check_step("probe: {from: pod/a, to: \"web:80\"}", &[]);
    check_step(
        "probe: {from: {ip: 10.0.0.1}, to: \"10.0.0.2:80\"}",
        &["13:12: `node` is missing: a bare address is seen by some node's rules"],
    );
    check_step(
        "probe: {node: nodea, from: {ip: ten}, to: \"10.0.0.2:80\"}",
        &[
            "13:19: there is no node \"nodea\" in spec.cluster (did you mean `node-a`?)",
            "13:37: \"ten\" is no IP address",
        ],
    );
}

#[test]
fn expectations() {
    let connect =
        |expect: &str| format!("{{connect: {{from: pod/a, to: \"web:80\"}}, expect: {expect}}}");
    check_step(&connect("{}"), &["13:52: this expects nothing"]);
    check_step(&connect("{within: 5s}"), &["13:52: this expects nothing"]);
    check_step(
        &connect("{outcome: conected}"),
        &[
            "13:62: \"conected\" is not one of connected, refused, timeout, unreachable, reset, unresolved (did you mean `connected`?)",
        ],
    );
    check_step(
        &connect("{outcome: connected, outcomes: {connected: 1}}"),
        &["13:52: expect either `outcome` (of all) or `outcomes` (counts)"],
    );
    check_step(
        &connect("{outcomes: {conected: 1, refused: 3..1}}"),
        &[
            "13:64: \"conected\" is not one of connected, refused, timeout, unreachable, reset, unresolved (did you mean `connected`?)",
            "13:86: \"3..1\" is no range of counts: expected one value, or a range with both ends included, such as 30, 28..30, ..5 or 5..",
        ],
    );
    check_step(
        &connect("{backends: {exactly: [service/web], within: []}}"),
        &[
            "13:74: \"service/web\" cannot stand here: expected pod/… or a workload such as deployment/…",
        ],
    );
    check_step(
        &connect("{spread: even, peerSeen: me, latency: {p95: 1ms, max: 5}}"),
        &[
            "13:61: expected `uniform`, found \"even\"",
            "13:77: \"me\" is no IP address",
            "13:91: unknown key `p95` (did you mean `p90`?)",
            "13:106: \"5\" is no range of durations: expected one value, or a range with both ends included, such as ..5ms, 1ms..5ms or 200us..",
        ],
    );
    check_step(
        &connect("{outcome: connected, within: 5s, throughout: 1s}"),
        &["13:52: expect something either `within` or `throughout` a while"],
    );
    check_step(
        "{delete: pod/a, expect: {error: x, within: 5s}}",
        &["13:40: a step that writes is not repeated: this belongs to a `get` after it"],
    );
    check_step(
        "{delete: pod/a, expect: {eror: x}}",
        &[
            "13:29: `error` is missing",
            "13:30: unknown key `eror` (did you mean `error`?)",
        ],
    );
    check_step(
        "{resolve: {from: pod/a, name: web}, expect: {rcode: NXDOMIAN, queries: few}}",
        &[
            "13:57: \"NXDOMIAN\" is not one of NOERROR, FORMERR, SERVFAIL, NXDOMAIN, NOTIMP, REFUSED, TIMEOUT (did you mean `NXDOMAIN`?)",
            "13:76: \"few\" is no range of counts: expected one value, or a range with both ends included, such as 30, 28..30, ..5 or 5..",
        ],
    );
    check_step(
        "{probe: {from: pod/a, to: \"10.0.0.2:80\"}, expect: {verdict: rejected, backends: [x]}}",
        &[
            "13:65: \"rejected\" is not one of reject, drop, untouched (did you mean `reject`?)",
            "13:86: \"x\": expected an address with a port, such as 10.244.1.2:8080 or [fd00::2]:8080",
        ],
    );
    check_step(
        "{probe: {from: pod/a, to: \"10.0.0.2:80\"}, expect: {verdict: drop, endpoints: [{to: \"10.0.0.3:80\", p: 3/2}]}}",
        &["13:106: \"3/2\" is no share: expected a fraction such as 1/3, or 1"],
    );
    check_step(
        "{probe: {from: pod/a, to: \"10.0.0.2:80\"}, expect: {verdict: drop, backends: []}}",
        &["13:55: a packet that is sent to an endpoint has no `verdict`: expect one of both"],
    );
    check_step(
        "{get: {resource: svc/web}, expect: {object: [a]}}",
        &["13:49: expected a mapping, found a list"],
    );
    check_step(
        "{get: {resource: svc/web}, expect: {object: {a: 1}, error: x}}",
        &["13:40: expected one of `output`, `object` and `error`"],
    );
    check_step(
        "{rules: {node: node-a}, expect: {contains: 1}}",
        &["13:48: expected text, found 1"],
    );
}

#[test]
fn manifests_inside_of_steps() {
    check_step(
        "apply: |\n      # a comment\n      apiVersion: v1\n      kind: Service\n      metadata: {name: web}\n      spec:\n        prots: []\n",
        &["19:9: unknown field \"spec.prots\" (did you mean `ports`?)"],
    );
    check_step(
        "apply: |\n      apiVersion: v1\n      kind: Pod\n      metadata: {name: a}\n      ---\n      apiVersion: v1\n      kind: Gizmo\n",
        &["19:13: no matches for kind \"Gizmo\" in version \"v1\""],
    );
    check_step(
        "apply: |\n      a: [1\n      b: 2\n",
        &["15:8: did not find expected ',' or ']'"],
    );
    check_step(
        "apply: \"apiVersion: v1\\nkind: Gizmo\"",
        &["13:12: line 2 of this text: no matches for kind \"Gizmo\" in version \"v1\""],
    );
    check_step(
        "apply: [{apiVersion: v1, kind: Service, metadata: {name: web}, spec: {ports: [{prot: 80}]}}]",
        &["13:84: unknown field \"spec.ports[0].prot\" (did you mean `port`?)"],
    );
    check_step("apply: \"\"", &["13:12: there is no object in this text"]);
    check_step(
        "apply: 5",
        &["13:12: expected manifest text, {file: …} or a list of objects, found 5"],
    );
    check_step(
        "apply: {flie: a.yaml}",
        &[
            "13:12: `file` is missing",
            "13:13: unknown key `flie` (did you mean `file`?)",
        ],
    );
    check_step(
        "apply: {file: a.yaml}",
        &["13:19: cannot read a.yaml: no such file"],
    );
}

#[test]
fn manifests_in_files() {
    let text = HEAD.replace("  steps:", "  manifests: [sub/web.yaml]\n  steps:");
    check(&text, &["12:15: cannot read sub/web.yaml: no such file"]);
    check_with(
        &text,
        Ok("apiVersion: v1\nkind: Service\nmetadata: {name: web}\nspec: {prots: []}\n"),
        &["dir/sub/web.yaml:4:8: unknown field \"spec.prots\" (did you mean `ports`?)"],
    );
    check_with(
        &text,
        Ok("a: [1\n"),
        &["dir/sub/web.yaml:2:1: did not find expected ',' or ']'"],
    );
    check_with(
        &text,
        Ok("# nothing\n"),
        &["12:15: there is no object in sub/web.yaml"],
    );
}

#[test]
fn state_in_files() {
    let text = HEAD.replace("  steps:", "  state: [dump.yaml]\n  steps:");
    check(&text, &["12:11: cannot read dump.yaml: no such file"]);
    check_with(
        &text,
        Ok("apiVersion: v1\nkind: Service\nmetadata: {name: web}\nspec: {ports: 80}\n"),
        &[
            "dir/dump.yaml:4:15: json: cannot unmarshal number into Go struct field ServiceSpec.spec.ports of type []v1.ServicePort",
        ],
    );
    let of_another_version = "apiVersion: v1\nkind: Service\nmetadata: {name: web}\nspec: {clusterIP: 10.96.0.9, some: new}\n";
    check_with(&text, Ok(of_another_version), &[]);
    let without_nodes = text.replace("    nodes:\n    - name: node-a\n    - name: node-b\n", "");
    check_with(
        &without_nodes,
        Ok(of_another_version),
        &["6:5: a cluster needs at least one node (write `nodes: [{name: node-a}]`)"],
    );
}

#[test]
fn several_scenarios_in_one_file() {
    check(
        &format!("{HEAD}---\n{HEAD}  - {{}}\n"),
        &[
            "16:18: another scenario of this file is called \"s\" too",
            "26:5: this step does nothing (supported steps: apply, create, replace, delete, patch, scale, restart, wait, get, resolve, connect, probe, rules, open, send, close, traffic, stop, proxy, fault, heal, explain, matrix, events, await)",
        ],
    );
}
