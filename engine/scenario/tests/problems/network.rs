//! Nodes, addresses and ranges.

use api::yaml::Source;
use switchboard_scenario::load;

use super::{HEAD, check};

#[test]
fn nodes() {
    let with = |nodes: &str| HEAD.replace("    - name: node-a\n    - name: node-b\n", nodes);
    check(
        &HEAD.replace("    nodes:\n    - name: node-a\n    - name: node-b\n", ""),
        &["6:5: a cluster needs at least one node (write `nodes: [{name: node-a}]`)"],
    );
    check(
        &with("    - name: a\n    - name: a\n"),
        &["9:13: the name \"a\" is used twice"],
    );
    check(
        &with("    - zone: a\n    - {name: B, wacth: 8ms}\n"),
        &[
            "8:7: `name` is missing",
            "9:14: \"B\" is no name: expected an RFC 1123 subdomain: at most 253 lower-case letters, digits, `-` and `.`, with a letter or digit at both ends of each part",
            "9:17: unknown key `wacth` (did you mean `watch`?)",
        ],
    );
    check(
        &with("    - {name: a, addresses: [10.0.0.1]}\n    - {name: b, addresses: [10.0.0.1]}\n"),
        &["9:29: 10.0.0.1 is used twice: it is an address of node a"],
    );
    check(
        &with(
            "    - {name: a, podCIDRs: [20.0.0.0/8]}\n    - {name: b, podCIDRs: [20.1.0.0/16]}\n",
        ),
        &["9:28: 20.1.0.0/16 overlaps 20.0.0.0/8, a Pod range of node a"],
    );
    check(
        &with("    - {name: a, proxy: {mode: ipvz}, labels: {x: 1}}\n"),
        &[
            "8:31: \"ipvz\" is no mode (did you mean `ipvs`?)",
            "8:50: expected text, found 1",
        ],
    );
    let labelled = |zone: &str| {
        with(&format!(
            "    - {{name: a, zone: z1, labels: {{topology.kubernetes.io/zone: {zone}}}}}\n"
        ))
    };
    check(
        &labelled("z2"),
        &["8:65: the node's `zone` is \"z1\", and its label says \"z2\" (say it once)"],
    );
    check(&labelled("z1"), &[]);
}

/// PROXY-1: links and faults know the zone that a node is labelled with, as its proxy does.
#[test]
fn zones_by_label() {
    let text = HEAD.replace(
        "    - name: node-a\n",
        "    - {name: node-a, labels: {topology.kubernetes.io/zone: z1}}\n",
    );
    check(
        &(text.clone() + "  - fault: {kind: zone-down, zone: z1}\n"),
        &[],
    );
    check(
        &(text + "  - fault: {kind: zone-down, zone: z2}\n"),
        &["13:36: there is no zone \"z2\" in spec.cluster (did you mean `z1`?)"],
    );
}

/// A cluster of `lines`, which begin in line 7, column 5; `modes` stands in line 6.
pub(crate) fn check_network(lines: &str, expected: &[&str]) {
    let text = "\
apiVersion: switchboard.dev/v1alpha1
kind: Scenario
metadata: {name: s}
spec:
  cluster:
    modes: [iptables]
LINES
";
    let lines: Vec<String> = lines.lines().map(|line| format!("    {line}")).collect();
    check(&text.replace("LINES", &lines.join("\n")), expected);
}

#[test]
fn ranges_and_addresses_that_contradict_each_other() {
    const NODE: &str = "nodes: [{name: a}]";
    check_network(
        &format!("serviceCIDRs: [10.96.0.0/12]\npodCIDRs: [10.100.0.0/16]\n{NODE}"),
        &["8:16: 10.100.0.0/16 overlaps 10.96.0.0/12, one of serviceCIDRs"],
    );
    check_network(
        &format!("serviceCIDRs: [10.244.0.0/16]\n{NODE}"),
        &["7:20: 10.244.0.0/16 overlaps 10.244.0.0/16, one of podCIDRs"],
    );
    check_network(
        "nodes:\n- {name: a, podCIDRs: [10.97.0.0/24]}\n- {name: b, podCIDRs: [10.0.0.0/24, 10.0.0.0/25]}",
        &[
            "8:28: 10.97.0.0/24 overlaps 10.96.0.0/12, one of serviceCIDRs",
            "9:41: 10.0.0.0/25 overlaps 10.0.0.0/24, a Pod range of node b",
        ],
    );
    check_network(
        "nodes:\n- {name: a, addresses: [10.96.0.5, 10.244.3.4]}\n- {name: b, addresses: [10.9.0.1], podCIDRs: [10.9.0.0/24]}",
        &[
            "8:29: 10.96.0.5 lies in 10.96.0.0/12, one of serviceCIDRs",
            "8:40: 10.244.3.4 lies in 10.244.0.0/16, one of podCIDRs",
            "9:29: 10.9.0.1 lies in 10.9.0.0/24, a Pod range of node b",
        ],
    );
    check_network(
        "nodes: [{name: a, addresses: [192.168.7.1]}]\noutside:\n- {name: x, address: 10.244.1.3}\n- {name: y, address: 192.168.7.1}\n- {name: z, address: 8.8.8.8}\n- {name: z, address: 8.8.8.8}",
        &[
            "9:26: 10.244.1.3 lies in 10.244.0.0/16, one of podCIDRs",
            "10:26: 192.168.7.1 is used twice: it is an address of node a",
            "12:14: the name \"z\" is used twice",
            "12:26: 8.8.8.8 is used twice: it is the address of outside host z",
        ],
    );
    check_network(
        "nodes: [{name: a}]\noutside: [{name: a, address: 8.8.8.8}]",
        &["8:22: the name \"a\" is used twice"],
    );
}

#[test]
fn addresses_that_nobody_can_have() {
    check_network(
        "nodes: [{name: a, addresses: [127.0.0.1, 0.0.0.0, \"ff02::1\", 192.168.1.1]}]\noutside: [{name: x, address: 224.0.0.1}]\nserviceCIDRs: [127.0.0.0/16]",
        &[
            "7:35: 127.0.0.1 is a loopback address: nobody else could reach it",
            "7:46: 0.0.0.0 is the unspecified address: nobody else could reach it",
            "7:55: ff02::1 is a multicast address: nobody else could reach it",
            "8:34: 224.0.0.1 is a multicast address: nobody else could reach it",
            "9:20: 127.0.0.0/16 has addresses of 127.0.0.0/8: each is a loopback address",
        ],
    );
    check_network(
        "nodes: [{name: a, addresses: [\"fd00::1\"]}]",
        &["7:34: node a has no IPv4 address, and the first of serviceCIDRs is IPv4"],
    );
    check_network(
        "serviceCIDRs: [\"fd00:10::/112\"]\nnodes: [{name: a}]",
        &[
            "7:19: podCIDRs has no IPv6 range, and the first of serviceCIDRs is IPv6: Pods would have no address that a Service could send to",
        ],
    );
}

#[test]
fn given_addresses_keep_out_of_what_others_have() {
    let text = "\
apiVersion: switchboard.dev/v1alpha1
kind: Scenario
metadata: {name: s}
spec:
  cluster:
    modes: [iptables]
    serviceCIDRs: [192.168.0.0/23]
    nodes: [{name: a}, {name: b, addresses: [192.168.2.1]}]
    outside: [{name: x, address: 192.168.2.0}]
";
    let mut no_files = |_: &str| Err("no such file".to_owned());
    let scenarios = load(&Source::new("s.yaml", text), &mut no_files).unwrap();
    let nodes = &scenarios[0].cluster(control::ProxyMode::Iptables).nodes;
    assert_eq!(
        nodes[0].addresses,
        [std::net::Ipv4Addr::new(192, 168, 2, 2)]
    );
}

#[test]
fn a_range_leads_one_way() {
    check_network(
        "nodes: [{name: a}, {name: b}]\noutside:\n- {name: x, address: 8.8.8.8, routes: [{to: 0.0.0.0/0, via: a}, {to: 0.0.0.0/0, via: b}]}\n- {name: y, address: 8.8.4.4, routes: [{to: 0.0.0.0/0, via: b}]}",
        &["9:74: this host has a route to 0.0.0.0/0 already, via a"],
    );
}

#[test]
fn too_many_nodes_for_the_pod_ranges() {
    check_network(
        "nodes: [{name: a}]\nnodeGroups:\n- {prefix: w, count: 256}",
        &[
            "9:7: podCIDRs 10.244.0.0/16 has room for the ranges of 256 nodes (a /24 each), and 257 nodes need one (give a larger range, fewer nodes, or nodes with podCIDRs of their own)",
        ],
    );
}
