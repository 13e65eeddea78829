//! The compiler against what a real kube-proxy 1.36 wrote for the same objects.

use std::fmt::Write as _;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;

use ruleset::nft::{NftFamily, list_text};
use ruleset::xt::{parse, save_text};
use ruleset::{Family, Protocol};
use serde_yaml::Value;
use switchboard_rules::{
    Capabilities, ClusterView, Compiler, EndpointView, Hints, ServicePortView, ServiceView,
    SlicePortView, SliceView, TrafficPolicy,
};

use crate::support::{add_service, add_slice, nftables_node_1, node_1, port, service_name};

fn read(case: &str, file: &str) -> String {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/recorded")
        .join(case)
        .join(file);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn saved(case: &str, family: Family) -> String {
    let mut compiler = Compiler::new(Capabilities::ALL);
    let compiled = compiler.iptables(&view(case), &node_1());
    save_text(&compiled.tables[&family])
}

/// The lines in canonical order: kube-proxy writes the rules of Services in random order, but for the last rule of
/// KUBE-SERVICES.
fn canonical(text: &str, family: Family) -> Vec<String> {
    let tables = parse(text, family).unwrap_or_else(|error| panic!("{error}\n{text}"));
    let mut lines: Vec<_> = save_text(&tables).lines().map(str::to_owned).collect();
    let shared = [
        "-A KUBE-SERVICES ",
        "-A KUBE-EXTERNAL-SERVICES ",
        "-A KUBE-NODEPORTS ",
    ];
    let is_entry = |line: &String| {
        shared.iter().any(|start| line.starts_with(start)) && !line.contains("NOTE:")
    };
    for entries in lines.chunk_by_mut(|a, b| is_entry(a) && is_entry(b)) {
        entries.sort();
    }
    lines
}

#[track_caller]
fn check_dump(case: &str, file: &str, family: Family) {
    let recorded = canonical(&read(case, file), family);
    let ours = canonical(&saved(case, family), family);
    assert_eq!(ours.join("\n"), recorded.join("\n"), "{case}");
}

/// Every case that was recorded.
pub(crate) const CASES: [&str; 21] = [
    "00-empty",
    "01-clusterip",
    "02-multi-port",
    "03-session-affinity",
    "08-etp-local-lb",
    "10-itp-local",
    "11-itp-local-no-local-endpoint",
    "12-no-endpoints",
    "13-no-endpoints-nodeport-lb-extip",
    "15-external-ips-etp-local",
    "16-terminating-some",
    "17-terminating-all",
    "18-terminating-all-etp-local",
    "19-prefer-same-zone",
    "21-udp",
    "28-tcp-and-udp-same-port",
    "29-unnamed-port",
    "30-affinity-nodeport-etp-local",
    "31-itp-local-etp-local-lb",
    "33-service-proxy-name-label",
    "35-hairpin-host-network",
];

#[test]
fn iptables_as_recorded() {
    for case in CASES {
        check_dump(case, "iptables-save.txt", Family::V4);
    }
    check_dump("00-empty", "ip6tables-save.txt", Family::V6);
}

/// The text as it is, but for the order of elements: a kernel's hash table has its own.
fn canonical_list(text: &str) -> String {
    let one_line = text.replace(",\n\t\t\t     ", ", ");
    let mut lines = one_line.lines().map(|line| {
        let elements = line.trim_start().strip_prefix("elements = { ");
        match elements.and_then(|elements| elements.strip_suffix(" }")) {
            None => line.to_owned(),
            Some(elements) => {
                let mut elements: Vec<_> = elements.split(", ").collect();
                elements.sort_unstable();
                format!("elements = {}", elements.join(", "))
            }
        }
    });
    let mut text = String::new();
    lines.try_for_each(|line| writeln!(text, "{line}")).unwrap();
    text
}

#[track_caller]
fn check_list(case: &str, file: &str, family: Family) {
    let compiled = Compiler::new(Capabilities::ALL).nftables(&view(case), &nftables_node_1());
    let family = NftFamily::from(family);
    let mut tables = (*compiled.tables).clone();
    tables.tables.retain(|key, _| key.family == family);
    let mut recorded = read(case, file);
    if let Some((_, stale)) = STALE.iter().find(|(name, _)| *name == case) {
        let without = recorded.replacen(stale, "", 1);
        assert_ne!(without, recorded, "{case}");
        recorded = without;
    }
    let ours = canonical_list(&list_text(&tables));
    assert_eq!(ours, canonical_list(&recorded), "{case}");
}

/// What a recording has left over from the case before it: a chain is flushed when nothing needs it any more, and
/// deleted a second later (PROXY-55).
const STALE: [(&str, &str); 2] = [
    (
        "11-itp-local-no-local-endpoint",
        "\n\tchain local-SUSTUHLJ-default/web/tcp/http {\n\t}\n",
    ),
    (
        "12-no-endpoints",
        "\n\tchain service-SUSTUHLJ-default/web/tcp/http {\n\t}\n",
    ),
];

#[test]
fn nftables_as_recorded() {
    for case in CASES {
        check_list(case, "nft-ip.txt", Family::V4);
    }
    check_list("00-empty", "nft-ip6.txt", Family::V6);
}

/// What iptables-save prints is printed the same, byte for byte, by us.
#[test]
fn dumps_print_as_they_were() {
    for case in ["00-empty", "01-clusterip", "08-etp-local-lb", "21-udp"] {
        let text = read(case, "iptables-save.txt");
        assert_eq!(
            save_text(&parse(&text, Family::V4).unwrap()),
            text,
            "{case}"
        );
    }
}

/// Reads the objects of a case as a proxy's watch would deliver them; `default/kubernetes`, which has no
/// endpoints, is in every recording.
pub(crate) fn view(case: &str) -> ClusterView {
    let mut view = ClusterView::default();
    let kubernetes = ServiceView {
        cluster_ips: ["10.96.0.1".parse().unwrap()].into_iter().collect(),
        ports: [port("https", Protocol::TCP, 443)].into(),
        ..ServiceView::default()
    };
    add_service(&mut view, "kubernetes", kubernetes);
    view.service_cidrs = ["10.96.0.0/16", "fd00:10:96::/112"]
        .map(|net| net.parse().unwrap())
        .into();
    let text = read(case, "objects.yaml");
    for (index, object) in documents(&text).into_iter().enumerate() {
        let metadata = &object["metadata"];
        let label = |name: &str| metadata["labels"][name].as_str();
        if label("service.kubernetes.io/service-proxy-name").is_some() {
            continue;
        }
        if object["addressType"].is_string() {
            let owner = label("kubernetes.io/service-name").expect("a slice names its Service");
            add_slice(&mut view, owner, &index.to_string(), slice(&object));
        } else {
            let name = service_name(metadata["name"].as_str().expect("a name"));
            view.services
                .insert(name, Arc::new(service(&object["spec"], &object["status"])));
        }
    }
    view
}

fn documents(text: &str) -> Vec<Value> {
    text.split("\n---\n")
        .map(|document| serde_yaml::from_str::<Value>(document).expect("recorded YAML"))
        .filter(|object| object["metadata"].is_mapping())
        .collect()
}

fn service(spec: &Value, status: &Value) -> ServiceView {
    let policy = |field: &str| match spec[field].as_str() {
        Some("Local") => TrafficPolicy::Local,
        _ => TrafficPolicy::Cluster,
    };
    let addresses =
        |texts: Vec<&str>| -> Vec<IpAddr> { texts.iter().map(|ip| ip.parse().unwrap()).collect() };
    let ingress = items(&status["loadBalancer"]["ingress"]);
    let affinity = &spec["sessionAffinityConfig"]["clientIP"]["timeoutSeconds"];
    ServiceView {
        cluster_ips: addresses(strings(&spec["clusterIPs"])).into(),
        ports: items(&spec["ports"])
            .map(|value| ServicePortView {
                node_port: value["nodePort"].as_u64().map(number),
                name: name_of(value),
                protocol: protocol_of(value),
                port: number(value["port"].as_u64().expect("a port number")),
            })
            .collect(),
        internal_traffic_policy: policy("internalTrafficPolicy"),
        external_traffic_policy: policy("externalTrafficPolicy"),
        external_ips: addresses(strings(&spec["externalIPs"])),
        load_balancer_ips: addresses(ingress.filter_map(|one| one["ip"].as_str()).collect()),
        load_balancer_source_ranges: Vec::new(),
        affinity_seconds: affinity.as_u64().map(|s| u32::try_from(s).unwrap()),
        health_check_node_port: spec["healthCheckNodePort"].as_u64().map(number),
    }
}

fn slice(object: &Value) -> SliceView {
    SliceView {
        family: match object["addressType"].as_str() {
            Some("IPv6") => Family::V6,
            _ => Family::V4,
        },
        ports: items(&object["ports"]).map(slice_port).collect(),
        endpoints: items(&object["endpoints"]).map(endpoint).collect(),
    }
}

fn endpoint(value: &Value) -> EndpointView {
    let text = |value: &Value| value.as_str().map(Arc::from);
    let condition = |name: &str| value["conditions"][name].as_bool();
    let hints = |name: &str| {
        let names = items(&value["hints"][name]);
        names.filter_map(|hint| text(&hint["name"])).collect()
    };
    EndpointView {
        address: strings(&value["addresses"])[0].parse().unwrap(),
        node: text(&value["nodeName"]),
        ready: condition("ready").unwrap_or(true),
        serving: condition("serving").unwrap_or(true),
        terminating: condition("terminating").unwrap_or(false),
        hints: Hints::of(hints("forZones"), hints("forNodes")),
        pod: text(&value["targetRef"]["name"]),
    }
}

fn slice_port(value: &Value) -> SlicePortView {
    SlicePortView {
        name: name_of(value),
        protocol: protocol_of(value),
        port: number(value["port"].as_u64().expect("a port number")),
    }
}

fn name_of(port: &Value) -> Arc<str> {
    port["name"].as_str().unwrap_or("").into()
}

fn protocol_of(port: &Value) -> Protocol {
    let protocol = port["protocol"].as_str().and_then(Protocol::parse);
    protocol.expect("a protocol")
}

fn number(value: u64) -> u16 {
    u16::try_from(value).expect("a port number")
}

fn items(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_sequence().into_iter().flatten()
}

fn strings(value: &Value) -> Vec<&str> {
    items(value).filter_map(Value::as_str).collect()
}
