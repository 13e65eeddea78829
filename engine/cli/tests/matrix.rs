//! `switchboard matrix`: who reaches what.

mod common;

use std::fs;

use common::{root, scratch, stdout, switchboard};
use serde_json::Value;

fn rows(args: &[&str]) -> Vec<Value> {
    let args = [&["matrix", "--output", "json"], args].concat();
    let output = switchboard(&root(), &args);
    let json: Value = serde_json::from_str(&stdout(&output)).expect("it is JSON");
    json["rows"].as_array().expect("rows").clone()
}

/// What becomes of packets of a class of source on, or by way of, a node.
fn fate<'a>(
    rows: &'a [Value],
    service: &str,
    frontend: &str,
    source: &str,
    node: &str,
) -> &'a Value {
    let is_it = |row: &&Value| {
        let starts = |key: &str, text: &str| {
            row[key]
                .as_str()
                .is_some_and(|value| value.starts_with(text))
        };
        let nodes = row["nodes"].as_array().expect("nodes");
        starts("service", service)
            && starts("frontend", frontend)
            && starts("source", source)
            && nodes.iter().any(|one| one == node)
    };
    rows.iter().find(is_it).expect("there is such a row")
}

/// DBG-67: for everybody.
#[test]
fn without_endpoints_everybody_is_refused() {
    let rows = rows(&["--in", "scenarios/labs/selector-mismatch"]);
    let service = "service/default/my-internal";
    for source in ["pod", "node", "outside"] {
        let row = fate(&rows, service, "ClusterIP", source, "node-b");
        assert_eq!(row["outcome"], "refused", "{source}");
        assert_eq!(row["snat"], Value::Null);
    }
}

/// DBG-68, DBG-8, DBG-91: it depends on the node.
#[test]
fn with_policy_local_nodes_without_endpoints_drop() {
    let rows = rows(&["--in", "scenarios/labs/internal-policy-local"]);
    for source in ["pod", "node"] {
        let near = fate(&rows, "service/default/web", "ClusterIP", source, "node-a");
        assert_eq!(
            (&near["outcome"], &near["local"]),
            (&"sent".into(), &true.into())
        );
        assert_eq!(near["backends"].as_array().map(Vec::len), Some(1));
        let far = fate(&rows, "service/default/web", "ClusterIP", source, "node-b");
        assert_eq!(
            (&far["outcome"], &far["local"]),
            (&"dropped".into(), &false.into())
        );
    }
}

/// DBG-73: from outside; Pods and nodes take a short cut.
#[test]
fn with_external_policy_local_the_outside_needs_a_local_endpoint() {
    let rows = rows(&["--in", "scenarios/labs/external-policy-local"]);
    let outcome = |source, node| {
        let row = fate(&rows, "service/default/web", "NodePort", source, node);
        (row["outcome"].as_str().unwrap(), row["snat"].as_str())
    };
    assert_eq!(outcome("outside", "node-a"), ("sent", Some("no")));
    assert_eq!(outcome("outside", "node-b"), ("dropped", None));
    assert_eq!(outcome("node", "node-b").0, "sent");
    assert_eq!(outcome("pod", "node-b").0, "sent");
}

/// DBG-73, PROXY-15: IPVS sends what comes from outside to a Pod that answers past the node.
#[test]
fn an_answer_that_does_not_get_back_is_said() {
    let lab = [
        "--in",
        "scenarios/labs/external-policy-local",
        "--mode",
        "ipvs",
    ];
    let rows = rows(&lab);
    let outcome = |source, node| {
        let row = fate(&rows, "service/default/web", "NodePort", source, node);
        (row["outcome"].as_str().unwrap(), &row["unheard"])
    };
    assert_eq!(
        outcome("outside", "node-a"),
        ("sent", &Value::Array(Vec::new()))
    );
    let (lost, unheard) = outcome("outside", "node-b");
    assert_eq!(lost, "unanswered");
    let why = unheard[0]["why"].as_str().expect("a reason");
    assert!(why.contains("another way back"), "{why}");
    for source in ["pod", "node"] {
        assert_eq!(outcome(source, "node-b").0, "sent", "{source}");
    }
    let text = stdout(&switchboard(&root(), &[&["matrix"], &lab[..]].concat()));
    assert!(
        text.contains("; the answer is lost: it takes another way back"),
        "{text}"
    );
}

/// PROXY-26, PROXY-27: a node port at each kind of address of a node, in each mode.
#[test]
fn node_ports_are_asked_at_every_kind_of_address() {
    let file = scratch("addresses").join("two-addresses.yaml");
    let text = TWO_HOSTS.replace(
        "{name: node-a}",
        "{name: node-a, addresses: [192.168.1.1, 172.20.0.1]}",
    );
    fs::write(&file, text).expect("it can be written");
    for (mode, further, loopback) in [
        ("iptables", "sent", "sent"),
        ("nftables", "untouched", "untouched"),
        ("flat", "untouched", "untouched"),
        ("ipvs", "sent", "untouched"),
    ] {
        let rows = rows(&["--in", &file.to_string_lossy(), "--mode", mode]);
        let outcome = |at: &str| {
            let frontend = format!("NodePort 30080{at}");
            fate(&rows, "service/default/db", &frontend, "node", "node-a")["outcome"].clone()
        };
        assert_eq!(outcome(" at a further address"), further, "{mode}");
        assert_eq!(outcome(" at 127.0.0.1"), loopback, "{mode}");
    }
}

/// PROXY-13, PROXY-26: two nodes that both host an endpoint send to different ones, and each proxy has its own settings.
#[test]
fn every_node_is_asked() {
    let file = scratch("every-node").join("two-hosts.yaml");
    fs::write(&file, TWO_HOSTS).expect("it can be written");
    let rows = rows(&["--in", &file.to_string_lossy()]);
    let backends = |service, node| {
        let row = fate(&rows, service, "ClusterIP", "pod", node);
        row["backends"].as_array().expect("backends").clone()
    };
    for service in ["service/default/db", "service/default/near"] {
        let (a, b) = (backends(service, "node-a"), backends(service, "node-b"));
        assert_eq!((a.len(), b.len()), (1, 1), "{service}");
        assert_ne!(a, b, "{service}");
    }
    let node_port = |node| {
        let row = fate(&rows, "service/default/db", "NodePort", "outside", node);
        row["outcome"].as_str().expect("an outcome").to_owned()
    };
    assert_eq!(
        ["node-a", "node-c", "node-d"].map(node_port),
        ["sent", "untouched", "sent"]
    );
}

const TWO_HOSTS: &str = r#"
apiVersion: switchboard.dev/v1alpha1
kind: Scenario
metadata: {name: two-hosts}
spec:
  cluster:
    modes: [iptables]
    nodes:
      - {name: node-a}
      - {name: node-b}
      - {name: node-c, proxy: {nodePortAddresses: ["10.0.0.0/8"]}}
      - {name: node-d}
  steps:
    - apply: |
        apiVersion: v1
        kind: Pod
        metadata: {name: pa, labels: {app: db}}
        spec: {nodeName: node-a, containers: [{name: a, image: a, ports: [{containerPort: 80}]}]}
        ---
        apiVersion: v1
        kind: Pod
        metadata: {name: pb, labels: {app: db}}
        spec: {nodeName: node-b, containers: [{name: a, image: a, ports: [{containerPort: 80}]}]}
        ---
        apiVersion: v1
        kind: Service
        metadata: {name: db}
        spec: {type: NodePort, internalTrafficPolicy: Local, selector: {app: db}, ports: [{port: 80, nodePort: 30080}]}
        ---
        apiVersion: v1
        kind: Service
        metadata: {name: near}
        spec: {trafficDistribution: PreferSameNode, selector: {app: db}, ports: [{port: 80}]}
    - wait: 5s
"#;

#[test]
fn two_instants_are_compared() {
    let args = [
        "matrix",
        "--in",
        "scenarios/clusterip.yaml",
        "--at",
        "defaults",
        "--diff-at",
        "two-are-left",
    ];
    let text = stdout(&switchboard(&root(), &args));
    let (removed, added): (Vec<&str>, Vec<&str>) = text
        .lines()
        .filter(|line| line.starts_with("  - →") || line.starts_with("  + →"))
        .partition(|line| line.starts_with("  -"));
    assert!(
        !removed.is_empty() && removed.len() == added.len(),
        "{text}"
    );
    assert!(
        removed
            .iter()
            .all(|line| line.matches(":8080").count() == 3),
        "{text}"
    );
    assert!(
        added.iter().all(|line| line.matches(":8080").count() == 2),
        "{text}"
    );
}

#[test]
fn two_modes_are_compared() {
    let args = [
        "matrix",
        "--in",
        "scenarios/clusterip.yaml",
        "--at",
        "defaults",
        "--mode",
        "iptables",
        "--diff",
        "flat",
    ];
    let text = stdout(&switchboard(&root(), &args));
    assert!(text.ends_with("no difference\n"), "{text}");
    assert!(
        text.contains("mode iptables") && text.contains("mode flat"),
        "{text}"
    );
}
