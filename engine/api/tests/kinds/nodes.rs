//! Nodes.

use crate::support::{
    check_refused, check_update, check_update_refused, check_warnings, object, stored,
};

fn node(spec: &str, status: &str) -> String {
    format!("{{apiVersion: v1, kind: Node, metadata: {{name: n}}, spec: {spec}, status: {status}}}")
}

#[test]
fn api_78_one_range_is_the_first_of_both() {
    let spec = |spec: &str| stored(&node(spec, "{}"))["spec"].clone();
    for given in [
        "{podCIDR: 10.0.0.0/24}",
        "{podCIDRs: [10.0.0.0/24]}",
        "{podCIDR: 10.0.0.0/24, podCIDRs: [10.9.0.0/24, \"fd00::/64\"]}",
    ] {
        let spec = spec(given);
        assert_eq!(spec["podCIDR"], "10.0.0.0/24");
        assert_eq!(spec["podCIDRs"], serde_json::json!(["10.0.0.0/24"]));
    }
    let stored = stored(&node("{}", "{capacity: {cpu: 2}}"));
    assert_eq!(stored["status"]["allocatable"]["cpu"], 2);
}

#[test]
fn api_78_the_fields_that_networking_reads() {
    let node = object(
        "{apiVersion: v1, kind: Node, metadata: {name: n, labels: {topology.kubernetes.io/zone: a}}, \
         spec: {podCIDRs: [10.0.0.0/24]}, status: {conditions: [{type: Ready, status: \"True\"}], \
         addresses: [{type: Hostname, address: n}, {type: InternalIP, address: 192.168.0.1}]}}",
    );
    let node = node.as_node().unwrap();
    assert_eq!(node.zone(), Some("a"));
    assert!(node.is_ready());
    assert_eq!(node.internal_addresses().count(), 1);
    assert_eq!(node.pod_ranges().len(), 1);
}

#[test]
fn ranges_and_taints() {
    check_refused(
        &node("{podCIDRs: [10.0.0.0/24, 10.0.1.0/24, x]}", "{}"),
        &[
            "spec.podCIDRs[2]: Invalid value: \"x\": must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)",
            "spec.podCIDRs: Invalid value: [\"10.0.0.0/24\",\"10.0.1.0/24\",\"x\"]: may specify no more than one CIDR for each IP family",
        ],
    );
    check_refused(
        &node(
            "{taints: [{key: a, effect: NoSchedule}, {key: a, effect: NoSchedule}, {key: b}, {key: c, effect: X}]}",
            "{}",
        ),
        &[
            "metadata.taints[1]: Duplicate value: {\"Key\":\"a\",\"Value\":\"\",\"Effect\":\"NoSchedule\",\"TimeAdded\":null}: taints must be unique by key and effect pair",
            "metadata.taints[2].effect: Required value",
            "metadata.taints[3].effect: Unsupported value: \"X\": supported values: \"NoSchedule\", \"PreferNoSchedule\", \"NoExecute\"",
        ],
    );
}

#[test]
fn what_a_node_was_given_stays() {
    let fixed = "node updates may not change podCIDR except from \"\" to valid";
    check_update(
        &node("{}", "{}"),
        &node("{podCIDR: 10.0.0.0/24, providerID: a}", "{}"),
    );
    check_update_refused(
        &node("{podCIDR: 10.0.0.0/24, providerID: a}", "{}"),
        &node("{podCIDR: 10.0.1.0/24, providerID: b}", "{}"),
        &[
            &format!("spec.podCIDRs: Forbidden: {fixed}"),
            "spec.providerID: Forbidden: node updates may not change providerID except from \"\" to valid",
        ],
    );
    let twice = "{addresses: [{type: InternalIP, address: 10.0.0.1}, {type: InternalIP, address: 10.0.0.1}]}";
    check_update_refused(
        &node("{}", twice),
        &node("{unschedulable: true}", twice),
        &[
            "status.addresses[1]: Duplicate value: {\"Type\":\"InternalIP\",\"Address\":\"10.0.0.1\"}",
        ],
    );
}

#[test]
fn api_58_warnings_about_nodes() {
    check_warnings(
        &node("{externalID: a}", "{}"),
        &["spec.externalID: this field is deprecated, and is unused by Kubernetes"],
    );
}
