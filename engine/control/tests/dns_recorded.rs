//! What CoreDNS 1.13 answered on a cluster of Kubernetes 1.36, in three set-ups, asked again: the objects go through the
//! API server and the controllers of this workspace, and every answer is the recorded one, to the last record and flag.
//!
//! A set-up that a recorded question does not name answered as `insecure` did, with its own time to live.

use std::sync::Arc;

use api::yaml::{Source, split};
use api::{ANNOTATION_STATUS, Condition, Object, PodIp, decode};
use base::Seed;
use dns::{
    ClusterZone, PodsMode, RecordData, RecordType, ServerOptions, TCP_MAX, Upstream,
    parse_response, query, serve,
};
use serde_json::{Value, json};
use switchboard_control::{
    ClusterConfig, Control, NetworkConfig, NodeConfig, ProxyMode, ProxySettings, TimingConfig,
    WriteVerb,
};

const RECORDING: &str = include_str!("recorded/dns.yaml");

const INSECURE: ServerOptions = ServerOptions::KUBEADM;
const VERIFIED: ServerOptions = ServerOptions {
    pods: PodsMode::Verified,
    ttl: 5,
    endpoint_pod_names: true,
    ..INSECURE
};
const DISABLED: ServerOptions = ServerOptions {
    pods: PodsMode::Disabled,
    ttl: 5,
    reverse: false,
    ..INSECURE
};

/// Three nodes with Pod ranges of both families.
fn cluster() -> Control {
    let node = |n: u8| NodeConfig {
        name: format!("node-{n}"),
        zone: None,
        addresses: vec![[192, 168, 10, 10 + n].into()],
        pod_cidrs: vec![
            format!("10.244.{n}.0/24").parse().unwrap(),
            format!("fd00:10:244:{n}::/64").parse().unwrap(),
        ],
        ..NodeConfig::default()
    };
    let ranges = |texts: [&str; 2]| texts.map(|text| text.parse().unwrap()).to_vec();
    let config = ClusterConfig {
        seed: Seed::new(7),
        service_cidrs: ranges(["10.96.0.0/16", "fd00:10:96::/112"]),
        pod_cidrs: ranges(["10.244.0.0/16", "fd00:10:244::/48"]),
        node_port_range: 30_000..=32_767,
        load_balancer_pool: Vec::new(),
        dns_domain: "cluster.local".to_owned(),
        dns: false,
        node_local_dns: false,
        mode: ProxyMode::Nftables,
        proxy: ProxySettings::default(),
        nodes: (1..=3).map(node).collect(),
        state: Vec::new(),
        outside: Vec::new(),
        network: NetworkConfig::default(),
        timing: TimingConfig::default(),
    };
    let mut control = Control::new(config).unwrap();
    let (_, objects) = RECORDING.split_once("objects:\n").unwrap();
    let (objects, _) = objects.split_once("\nqueries:\n").unwrap();
    let list = objects.lines().map(|line| format!("  {line}\n"));
    let list: String = list.collect();
    let namespace = "{apiVersion: v1, kind: Namespace, metadata: {name: dnstest}}\n---\n";
    let text = format!("{namespace}apiVersion: v1\nkind: List\nitems:\n{list}");
    for document in split(&Source::new("recorded/dns.yaml", text.as_str())).unwrap() {
        for manifest in decode(&document).unwrap() {
            let object = with_status(manifest.object);
            control.write(WriteVerb::Apply, object).unwrap();
        }
    }
    while control.next_pending_at().is_some() {
        control.step();
    }
    control
}

/// What the recording's kubelet reported of a Pod, by the annotations that steered it.
fn with_status(object: Object) -> Object {
    let Object::Pod(mut shared) = object else {
        return object;
    };
    let pod = Arc::make_mut(&mut shared);
    let annotations = &mut pod.metadata.annotations;
    let is_ready = annotations
        .get("oracle/ready")
        .is_none_or(|told| told == "true");
    let ips = annotations["oracle/ip"].split(',');
    pod.status.phase = "Running".to_owned();
    pod.status.pod_ips = ips.map(|ip| PodIp { ip: ip.to_owned() }).collect();
    pod.status.pod_ip = pod.status.pod_ips[0].ip.clone();
    pod.status.conditions = vec![Condition {
        condition_type: "Ready".to_owned(),
        status: if is_ready { "True" } else { "False" }.to_owned(),
        ..Condition::default()
    }];
    annotations.insert(ANNOTATION_STATUS.to_owned(), "pinned".to_owned());
    Object::Pod(shared)
}

fn server(control: &Control, options: ServerOptions) -> ClusterZone {
    let mut zone = ClusterZone::with("cluster.local", options, Upstream::Nobody);
    let events = control.api().events_after(0);
    events.iter().for_each(|event| zone.observe(event));
    zone
}

/// The answer of a server, in the recording's words.
fn asked(zone: &ClusterZone, name: &str, record_type: &str) -> Value {
    let wanted = RecordType::parse(record_type).unwrap();
    let bytes = serve(zone, &query(7, name, wanted).unwrap(), TCP_MAX).unwrap();
    let (_, _, response) = parse_response(&bytes).unwrap();
    let bits = u16::from_be_bytes([bytes[2], bytes[3]]);
    let names = [
        ("QR", 0x8000),
        ("AA", 0x400),
        ("TC", 0x200),
        ("RD", 0x100),
        ("RA", 0x80),
    ];
    let set = names.iter().filter(|(_, bit)| bits & bit != 0);
    let flags: Vec<&str> = set.map(|(name, _)| *name).collect();
    let mut answer = json!({"rcode": response.rcode.as_str(), "flags": flags.join(" ")});
    let sections = [
        ("answer", &response.answers),
        ("authority", &response.authority),
        ("additional", &response.additional),
    ];
    for (section, records) in sections {
        if section == "answer" || !records.is_empty() {
            let line = |record: &dns::Record| {
                let (ttl, data) = (record.ttl, &record.data);
                let data = match data {
                    RecordData::Soa { serial, .. } => {
                        data.to_string()
                            .replacen(&format!(" {serial} "), " <serial> ", 1)
                    }
                    data => data.to_string(),
                };
                format!(
                    "{}. {ttl} IN {} {data}",
                    record.name,
                    record.data.record_type()
                )
            };
            let mut lines: Vec<String> = records.iter().map(line).collect();
            lines.sort();
            answer[section] = json!(lines);
        }
    }
    answer
}

/// A recorded answer; a serial that is a time is none of ours.
fn expected(question: &Value, set_up: &str, ttl: u32) -> Value {
    let text = match question.get(set_up) {
        Some(answer) => answer.to_string(),
        None => question["insecure"]
            .to_string()
            .replace(" 30 IN ", &format!(" {ttl} IN ")),
    };
    serde_json::from_str(&text.replace(" 1795338093 ", " <serial> ")).unwrap()
}

/// DNS-47 and DNS-48 (Pods h1 and h2), DNS-72.
#[test]
fn dns_2_the_recorded_questions_have_the_recorded_answers() {
    let control = cluster();
    let (_, queries) = RECORDING.split_once("\nqueries:\n").unwrap();
    let queries: Vec<Value> = serde_yaml::from_str(queries).unwrap();
    assert_eq!(queries.len(), 50);
    let mut differing = Vec::new();
    for (set_up, options) in [
        ("insecure", INSECURE),
        ("verified", VERIFIED),
        ("disabled", DISABLED),
    ] {
        let zone = server(&control, options);
        for question in &queries {
            let name = question["name"].as_str().unwrap();
            let record_type = question["type"].as_str().unwrap();
            let (seen, wanted) = (
                asked(&zone, name, record_type),
                expected(question, set_up, options.ttl),
            );
            if seen != wanted {
                differing.push(format!(
                    "{set_up}: {record_type} {name}\n  {seen:#}\n  {wanted:#}"
                ));
            }
        }
    }
    assert!(differing.is_empty(), "{}", differing.join("\n"));
}
