//! Replays `recorded/allocation.md`: texts and objects are those of the recording itself; what a random choice gave
//! there is checked for its band and count.

use std::collections::BTreeSet;

use api::{ApiServer, Kind, Object, Status};
use serde_json::Value;
use switchboard_api as api;

use super::*;

const RECORDED: &str = include_str!("../recorded/allocation.md");

/// The part of the recording under this heading.
fn section(heading: &str) -> &'static str {
    let start = format!("\n## {heading}");
    let rest = RECORDED
        .split_once(&start)
        .expect("a heading of the recording")
        .1;
    rest.split("\n## ").next().unwrap()
}

/// The documents of the first block of YAML after a line.
fn documents(line: &str) -> Vec<Value> {
    let rest = RECORDED
        .split_once(line)
        .expect("a line of the recording")
        .1;
    let block = rest.split("```").nth(1).unwrap().trim_start_matches("yaml");
    let documents = block.split("\n---\n");
    documents
        .map(|text| serde_yaml::from_str(text).unwrap())
        .collect()
}

/// Every field of the recording must be there as it is; the recording leaves out what the server maintains.
fn check_holds(expected: &Value, found: &Value, path: &str) {
    match (expected, found) {
        (_, _) if path.ends_with(".lastTransitionTime") => assert!(found.is_string(), "{path}"),
        (Value::Object(expected), Value::Object(fields)) => {
            for (field, value) in expected {
                let found = fields.get(field).unwrap_or(&Value::Null);
                check_holds(value, found, &format!("{path}.{field}"));
            }
            let more: Vec<&String> = fields
                .keys()
                .filter(|field| {
                    !expected.contains_key(*field) && path != ".metadata" && !path.is_empty()
                })
                .collect();
            assert!(more.is_empty(), "{path} has more: {more:?}");
        }
        (Value::Array(expected), Value::Array(found)) => {
            assert_eq!(expected.len(), found.len(), "{path}");
            for (index, (expected, found)) in expected.iter().zip(found).enumerate() {
                check_holds(expected, found, &format!("{path}[{index}]"));
            }
        }
        _ => assert_eq!(expected, found, "{path}"),
    }
}

fn check_stored(server: &ApiServer, kind: Kind, namespace: &str, expected: &Value) {
    let name = expected["metadata"]["name"].as_str().unwrap();
    let key = ObjectKey::new(kind, namespace, name);
    let found = Value::Object(server.get(&key).unwrap().to_fields());
    check_holds(expected, &found, "");
}

/// The refusal must be in this part of the recording, after what was asked for.
fn check_refusal<T: std::fmt::Debug>(part: &str, asked: &str, result: Result<T, Status>) {
    let status = result.unwrap_err();
    let reason = status.reason;
    let line = format!("{asked}: HTTP {} {reason}: {}", status.code, status.message);
    assert!(part.contains(&line), "not recorded: {line}");
}

fn request(server: &mut ApiServer, name: &str, ip: &str) -> Result<String, Status> {
    let spec = format!("{{clusterIP: {ip}, ports: [{{port: 80}}]}}");
    Ok(create(server, name, &spec)?.cluster_ip)
}

fn node_port(server: &mut ApiServer, name: &str, port: i32) -> Result<i32, Status> {
    let spec = format!("{{type: NodePort, ports: [{{port: 80, nodePort: {port}}}]}}");
    Ok(create(server, name, &spec)?.ports[0].node_port)
}

/// Services until there is no address left; their addresses.
fn fill(server: &mut ApiServer) -> (Vec<String>, Status) {
    let mut given = Vec::new();
    loop {
        match address(server, &format!("a{}", given.len())) {
            Ok(address) => given.push(address),
            Err(status) => return (given, status),
        }
    }
}

#[test]
fn alloc_5_36_40_41_the_objects_of_the_start() {
    let mut config = config(&["10.96.0.0/12"]);
    config.api_servers = vec!["192.168.10.5:26443".parse().unwrap()];
    let server = ApiServer::new(config, NOW);
    for document in documents("default/kubernetes service:") {
        check_stored(&server, Kind::Service, "default", &document);
    }
    let recorded = documents("kubernetes Endpoints and EndpointSlice");
    check_stored(&server, Kind::Endpoints, "default", &recorded[0]);
    check_stored(&server, Kind::EndpointSlice, "default", &recorded[1][0]);
    let cidrs = documents("ServiceCIDR objects:");
    check_stored(&server, Kind::ServiceCidr, "", &cidrs[0][0]);
    let addresses = documents("IPAddress objects at start:");
    check_stored(&server, Kind::IpAddress, "", &addresses[0][1]);
    assert_eq!(server.list(Kind::IpAddress, None).count(), 1);
    assert_eq!(
        (server.next_pending(), server.next_periodic()),
        (None, None)
    );
}

/// The addresses that vendors' clusters have.
#[test]
fn alloc_1_2_5_common_ranges() {
    for (range, first) in [
        ("10.96.0.0/12", "10.96.0.1"),
        ("10.96.0.0/16", "10.96.0.1"),
        ("10.43.0.0/16", "10.43.0.1"),
        ("10.0.0.0/16", "10.0.0.1"),
        ("10.0.0.0/24", "10.0.0.1"),
        ("172.20.0.0/16", "172.20.0.1"),
        ("172.30.0.0/16", "172.30.0.1"),
        ("fd00::/108", "fd00::1"),
    ] {
        let server = server(&[range]);
        let kubernetes = server.service("default", "kubernetes").unwrap();
        assert_eq!(kubernetes.spec.cluster_ip, first);
    }
}

/// `recorded/validation.yaml`, svc-name-empty and svc-name-slash; the address is a random one.
#[test]
fn alloc_23_a_service_that_no_address_can_refer_to() {
    let recorded = include_str!("../recorded/validation.yaml");
    for name in ["\"\"", "a/b"] {
        let mut server = server(&["10.96.0.0/12"]);
        let refused = create(&mut server, name, "{ports: [{port: 80}]}").unwrap_err();
        let [head, tail] = ["IPAddress.networking.k8s.io \"", "\" is invalid: "];
        let (before, rest) = refused.message.split_once(head).unwrap();
        let (address, after) = rest.split_once(tail).unwrap();
        assert!(address.parse::<std::net::Ipv4Addr>().is_ok(), "{refused}");
        let is_recorded = |text: &str| recorded.contains(&text.replace('\'', "\'\'"));
        assert!(is_recorded(&format!("{before}{head}")), "{refused}");
        // The recording breaks its lines at some blanks.
        assert!(
            is_recorded(after.split(" not ").next().unwrap()),
            "{refused}"
        );
    }
    let mut server = server(&["10.96.0.0/12"]);
    let refused = create(
        &mut server,
        "a/b",
        "{clusterIP: 10.96.0.7, ports: [{port: 80}]}",
    );
    assert_eq!(
        refused.unwrap_err().message,
        "Service \"a/b\" is invalid: spec.clusterIPs: Invalid value: [\"10.96.0.7\"]: failed to allocate IP 10.96.0.7: IPAddress.networking.k8s.io \"10.96.0.7\" is invalid: spec.parentRef.name: Invalid value: \"a/b\": may not contain '/'"
    );
}

#[test]
fn alloc_9_13_the_dynamic_band_comes_first() {
    let mut server = server(&["10.96.0.0/12"]);
    let given: BTreeSet<std::net::Ipv4Addr> = (0..40)
        .map(|index| {
            address(&mut server, &format!("a{index}"))
                .unwrap()
                .parse()
                .unwrap()
        })
        .collect();
    assert_eq!(given.len(), 40);
    assert!(
        given.first() > Some(&"10.96.1.0".parse().unwrap()),
        "{given:?}"
    );
    assert!(
        given.last() < Some(&"10.111.255.255".parse().unwrap()),
        "{given:?}"
    );
}

#[test]
fn alloc_12_19_20_21_24_65_requested_addresses() {
    let part = section("10.96.0.0/12");
    let mut server = server(&["10.96.0.0/12"]);
    let dynamic = address(&mut server, "dynamic").unwrap();
    assert_eq!(
        request(&mut server, "st-lo", "10.96.0.10").unwrap(),
        "10.96.0.10"
    );
    assert_eq!(
        request(&mut server, "st-hi", "10.100.0.10").unwrap(),
        "10.100.0.10"
    );
    for (asked, name, ip) in [
        ("same static again", "st-dup", "10.96.0.10"),
        ("out of range", "st-out", "10.200.0.1"),
        ("network address", "st-net", "10.96.0.0"),
        ("last address", "st-bc", "10.111.255.255"),
    ] {
        check_refusal(part, asked, request(&mut server, name, ip));
    }
    let taken = request(&mut server, "st-dup2", &dynamic).unwrap_err();
    let part = part.replace("10.105.76.106", &dynamic);
    check_refusal::<()>(&part, "static on an address taken dynamically", Err(taken));
    delete(&mut server, &service_key("st-lo"), NOW);
    assert!(server.get(&address_key("10.96.0.10")).is_none());
    assert_eq!(
        request(&mut server, "st-lo2", "10.96.0.10").unwrap(),
        "10.96.0.10"
    );
    let recorded = documents("IPAddress object of a service:");
    check_stored(&server, Kind::IpAddress, "", &recorded[0]);
    delete(&mut server, &service_key("st-lo2"), NOW);
    assert!(server.get(&address_key("10.96.0.10")).is_none());
}

#[test]
fn alloc_26_64_an_alias_gives_its_address_back() {
    let mut server = server(&["10.96.0.0/12"]);
    let before = address(&mut server, "web").unwrap();
    let alias = service(
        "web",
        "{type: ExternalName, externalName: e.com, ports: [{port: 80}]}",
    );
    let alias = server.replace(alias, NOW).unwrap().object;
    assert_eq!(alias.as_service().unwrap().spec.cluster_ip, "");
    assert!(server.get(&address_key(&before)).is_none());
    assert_eq!(request(&mut server, "other", &before).unwrap(), before);
    let back = server
        .replace(service("web", "{ports: [{port: 80}]}"), NOW)
        .unwrap();
    let after = &back.object.as_service().unwrap().spec.cluster_ip;
    assert!(*after != before && server.get(&address_key(after)).is_some());
}

#[test]
fn alloc_46_50_51_56_node_ports() {
    let part = section("10.96.0.0/12");
    let mut server = server(&["10.96.0.0/12"]);
    for index in 0..60 {
        let spec = "{type: NodePort, ports: [{port: 80}]}";
        let given = create(&mut server, &format!("n{index}"), spec).unwrap();
        assert!((30_086..=32_767).contains(&given.ports[0].node_port));
    }
    assert_eq!(node_port(&mut server, "s1", 30_000).unwrap(), 30_000);
    check_refusal(
        part,
        "static 30000 again",
        node_port(&mut server, "s2", 30_000),
    );
    let udp = "{type: NodePort, ports: [{port: 80, nodePort: 30000, protocol: UDP}]}";
    let asked = "30000 with UDP while TCP is held";
    check_refusal(part, asked, create(&mut server, "s3", udp));
    check_refusal(part, "29999", node_port(&mut server, "s4", 29_999));
    check_refusal(part, "32768", node_port(&mut server, "s5", 32_768));
    delete(&mut server, &service_key("s1"), NOW);
    assert_eq!(node_port(&mut server, "s1", 30_000).unwrap(), 30_000);
    let plain = service("s1", "{type: ClusterIP, ports: [{port: 80}]}");
    let plain = server.replace(plain, NOW).unwrap().object;
    assert_eq!(plain.as_service().unwrap().spec.ports[0].node_port, 0);
    assert_eq!(node_port(&mut server, "s6", 30_000).unwrap(), 30_000);
}

#[test]
fn alloc_44_61_a_full_range_and_one_more() {
    let part = section("10.50.0.0/24");
    let mut server = server(&["10.50.0.0/24"]);
    let (given, full) = fill(&mut server);
    assert_eq!(given.len(), 253);
    assert_eq!(
        given.iter().position(|address| host(address) <= 16),
        Some(238)
    );
    let hosts: BTreeSet<u8> = given.iter().map(|address| host(address)).collect();
    assert!(hosts.into_iter().eq(2..=254));
    check_refusal::<()>(part, "exhaustion text", Err(full));
    let asked = "static of a taken one when full";
    check_refusal(part, asked, request(&mut server, "q", "10.50.0.9"));
    let freed = given
        .iter()
        .position(|address| host(address) == 84)
        .unwrap();
    delete(&mut server, &service_key(&format!("a{freed}")), NOW);
    assert_eq!(address(&mut server, "again").unwrap(), "10.50.0.84");
    let headless = create(
        &mut server,
        "headless",
        "{clusterIP: None, ports: [{port: 80}]}",
    );
    assert_eq!(headless.unwrap().cluster_ip, "None");
    let more = server
        .create(cidr("more", "[10.51.0.0/28]"), NOW)
        .unwrap()
        .object;
    assert!(part.contains("add a ServiceCIDR 10.51.0.0/28: HTTP 201\nstatus of it: {}"));
    assert_eq!(more.to_fields()["status"], serde_json::json!({}));
    for index in 0..14 {
        let next = address(&mut server, &format!("next-{index}")).unwrap();
        assert!(next.starts_with("10.51.0."), "{next}");
    }
    assert!(address(&mut server, "none").is_err());
}

#[test]
fn alloc_47_49_52_a_full_range_of_32_node_ports() {
    let part = section("10.50.0.0/24")
        .split_once("### nodePort range 30000-30031")
        .unwrap()
        .1;
    let mut config = config(&["10.50.0.0/24"]);
    config.node_port_range = 30_000..=30_031;
    let mut server = ApiServer::new(config, NOW);
    let mut given = Vec::new();
    let full = loop {
        let spec = "{type: NodePort, ports: [{port: 80}]}";
        match create(&mut server, &format!("n{}", given.len()), spec) {
            Ok(spec) => given.push(spec.ports[0].node_port),
            Err(status) => break status,
        }
    };
    assert_eq!(given.len(), 32);
    assert!(given[..16].iter().all(|port| *port >= 30_016), "{given:?}");
    check_refusal::<()>(part, "exhaustion text", Err(full));
    check_refusal(
        part,
        "static taken when full",
        node_port(&mut server, "z", 30_005),
    );
    check_refusal(
        part,
        "out of this range",
        node_port(&mut server, "z", 30_032),
    );
}

#[test]
fn alloc_10_22_60_62_small_ranges() {
    let part = section("10.60.0.0/28");
    let mut server_28 = server(&["10.60.0.0/28"]);
    let (given, full) = fill(&mut server_28);
    assert_eq!(given.len(), 13);
    assert!(part.contains(&format!(
        "'HTTP {} {}: {}'",
        full.code, full.reason, full.message
    )));
    let asked = "static inside when full";
    check_refusal(part, asked, request(&mut server_28, "q", "10.60.0.5"));
    check_refusal(
        part,
        "network address",
        request(&mut server_28, "q2", "10.60.0.0"),
    );
    check_refusal(
        part,
        "last address",
        request(&mut server_28, "q3", "10.60.0.15"),
    );
    let part = section("10.70.0.0/29");
    let mut server_29 = server(&["10.70.0.0/29"]);
    let (given, full) = fill(&mut server_29);
    assert_eq!(
        given
            .iter()
            .map(|address| host(address))
            .collect::<BTreeSet<_>>(),
        (2..=6).collect()
    );
    assert!(part.contains(&format!(
        "'HTTP {} {}: {}'",
        full.code, full.reason, full.message
    )));
}

#[test]
fn alloc_1_11_28_dual_stack() {
    let mut server = server(&["10.96.0.0/16", "fd00:10:96::/112"]);
    let part = section("dual-stack");
    let cidr = server.get(&cidr_key("kubernetes")).unwrap().to_fields();
    let cidrs = &cidr["spec"]["cidrs"];
    let shown = serde_json::to_string(cidrs).unwrap().replace(',', ", ");
    assert!(
        part.contains(&format!("ServiceCIDR: [{{\"cidrs\": {shown}}}]")),
        "{shown}"
    );
    let kubernetes = server.service("default", "kubernetes").unwrap();
    assert_eq!(kubernetes.spec.cluster_ips, ["10.96.0.1"]);
    assert_eq!(kubernetes.spec.ip_families, ["IPv4"]);
    for index in 0..20 {
        let spec = "{ipFamilyPolicy: RequireDualStack, ports: [{port: 80}]}";
        let spec = create(&mut server, &format!("d{index}"), spec).unwrap();
        let [v4, v6] = spec.cluster_ips.as_slice() else {
            panic!("{spec:?}")
        };
        let v6_number = v6.parse::<std::net::Ipv6Addr>().unwrap().segments()[7];
        assert!(v4.starts_with("10.96.") && v6_number > 0x100, "{v4} {v6}");
        let object = server
            .get(&address_key(v6))
            .and_then(Object::as_ip_address)
            .unwrap();
        assert!(object.is_labelled(), "{object:?}");
        assert_eq!(
            object.metadata.labels["ipaddress.kubernetes.io/ip-family"],
            "IPv6"
        );
    }
}
