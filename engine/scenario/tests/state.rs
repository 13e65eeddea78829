//! What a scenario's cluster is concluded to be from `spec.state`.

use api::yaml::Source;
use control::{ClusterConfig, ProxyMode};
use switchboard_scenario::load;

const NODES: &str = "
- {apiVersion: v1, kind: Node, metadata: {name: b, labels: {topology.kubernetes.io/zone: z}}, spec: {podCIDR: 10.32.2.0/24}, status: {addresses: [{type: InternalIP, address: 172.18.0.2}]}}
- {apiVersion: v1, kind: Node, metadata: {name: a}, spec: {podCIDRs: [10.32.1.0/24]}, status: {addresses: [{type: Hostname, address: a}, {type: InternalIP, address: 172.18.0.1}]}}
- {apiVersion: v1, kind: Pod, metadata: {name: p, namespace: shop}, spec: {nodeName: a, containers: [{name: c}]}, status: {podIP: 10.32.9.1}}";

fn service(namespace: &str, name: &str, address: &str) -> String {
    format!(
        "\n- {{apiVersion: v1, kind: Service, metadata: {{name: {name}, namespace: {namespace}}}, spec: {{clusterIP: {address}, ports: [{{port: 80}}]}}}}"
    )
}

/// The cluster of a scenario whose state has these items, with these settings.
fn cluster(items: &str, settings: &str) -> ClusterConfig {
    let text = format!(
        "apiVersion: switchboard.dev/v1alpha1\nkind: Scenario\nmetadata: {{name: s}}\nspec:\n  state: [dump.yaml]\n  cluster: {{modes: [iptables], {settings}}}\n"
    );
    let dump = format!("apiVersion: v1\nkind: List\nitems:{items}\n");
    let mut read = |_: &str| Ok(dump.clone());
    let scenarios = load(&Source::new("s.yaml", text), &mut read).unwrap();
    scenarios[0].cluster(ProxyMode::Iptables)
}

fn ranges(ranges: &[ipnet::IpNet]) -> Vec<String> {
    ranges.iter().map(ToString::to_string).collect()
}

#[test]
fn nodes_zones_and_ranges_are_those_of_the_dump() {
    let services =
        service("default", "kubernetes", "10.100.0.1") + &service("shop", "web", "10.100.9.1");
    let config = cluster(&(NODES.to_owned() + &services), "");
    let nodes: Vec<_> = config
        .nodes
        .iter()
        .map(|node| {
            (
                node.name.as_str(),
                node.zone.as_deref(),
                node.addresses[0].to_string(),
                ranges(&node.pod_cidrs),
            )
        })
        .collect();
    assert_eq!(
        nodes,
        [
            (
                "a",
                None,
                "172.18.0.1".to_owned(),
                vec!["10.32.1.0/24".to_owned()]
            ),
            (
                "b",
                Some("z"),
                "172.18.0.2".to_owned(),
                vec!["10.32.2.0/24".to_owned()]
            ),
        ]
    );
    assert_eq!(
        ranges(&config.service_cidrs),
        ["10.100.0.0/20"],
        "both addresses are in it"
    );
    assert_eq!(
        ranges(&config.pod_cidrs),
        ["10.32.0.0/20"],
        "nodes and Pods are in it"
    );
    assert!(
        !config.dns,
        "none is made up in the midst of another cluster"
    );
    assert_eq!(config.state.len(), 5);
}

#[test]
fn what_the_dump_says_itself_and_what_the_scenario_says_come_first() {
    let dns = service("kube-system", "kube-dns", "10.100.0.10");
    let cidr = "\n- {apiVersion: networking.k8s.io/v1, kind: ServiceCIDR, metadata: {name: kubernetes}, spec: {cidrs: [10.100.0.0/16, fd00::/112]}}";
    let config = cluster(&(NODES.to_owned() + &dns + cidr), "");
    assert!(config.dns);
    assert_eq!(
        ranges(&config.service_cidrs),
        ["10.100.0.0/16", "fd00::/112"]
    );
    let config = cluster(
        &(NODES.to_owned() + &dns + cidr),
        "serviceCIDRs: [10.100.0.0/18], podCIDRs: [10.32.0.0/16], dns: false, nodes: [{name: c}]",
    );
    assert_eq!(ranges(&config.service_cidrs), ["10.100.0.0/18"]);
    assert_eq!(ranges(&config.pod_cidrs), ["10.32.0.0/16"]);
    assert!(!config.dns);
    assert_eq!(config.nodes.len(), 1);
    assert_eq!(config.nodes[0].name, "c");
}

/// A dump is of a later day than the clock's first: its latest time is the scenario's beginning, and a user's own texts stay.
#[test]
fn the_times_of_a_dump_are_moved_alike() {
    let at = |created: &str| {
        format!(
            "\n- {{apiVersion: v1, kind: ConfigMap, metadata: {{name: m, namespace: shop, creationTimestamp: {created:?}, annotations: {{at: {created:?}}}}}}}"
        )
    };
    let times = |items: &str| -> Vec<(String, Option<String>)> {
        let state = cluster(items, "nodes: [{name: a}]").state;
        let metas = state.iter().map(|object| {
            let fields = object.to_fields();
            let created = fields["metadata"]["creationTimestamp"].as_str();
            let own = object.meta().annotations.get("at").cloned();
            (created.unwrap_or_default().to_owned(), own)
        });
        metas.collect()
    };
    let (first, last) = ("2026-03-01T09:00:00Z", "2026-03-01T09:01:30.5Z");
    assert_eq!(
        times(&(at(first) + &at(last))),
        [
            ("2025-12-31T23:58:29Z".to_owned(), Some(first.to_owned())),
            ("2025-12-31T23:59:59.5Z".to_owned(), Some(last.to_owned())),
        ]
    );
    // One of before is as it was.
    let old = "2025-03-01T09:00:00Z";
    assert_eq!(times(&at(old)), [(old.to_owned(), Some(old.to_owned()))]);
}
