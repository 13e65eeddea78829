//! Node ports, health-check ports and changes of a Service's type, as `recorded/allocation.md` and the reference
//! have them; and that nothing is given out twice, whatever is asked for.

use std::collections::{BTreeMap, BTreeSet};

use api::{
    ApiConfig, ApiServer, DeleteOptions, Kind, Object, ObjectKey, ServiceSpec, Status, decode, yaml,
};
use base::{Seed, SimTime};
use proptest::prelude::{
    ProptestConfig, Strategy, prop, prop_assert, prop_assert_eq, prop_oneof, proptest,
};
use switchboard_api as api;

const NOW: SimTime = SimTime::ZERO;

fn server(node_ports: std::ops::RangeInclusive<u16>) -> ApiServer {
    let config = ApiConfig {
        service_cidrs: vec!["10.96.0.0/24".parse().unwrap()],
        node_port_range: node_ports,
        dns_domain: "cluster.local".to_owned(),
        api_servers: Vec::new(),
        seed: Seed::new(7),
    };
    ApiServer::new(config, NOW)
}

fn service(name: &str, spec: &str) -> Object {
    manifest(&format!(
        "{{apiVersion: v1, kind: Service, metadata: {{name: {name}}}, spec: {spec}}}"
    ))
}

fn manifest(text: &str) -> Object {
    let documents = yaml::split(&yaml::Source::new("test.yaml", text)).unwrap();
    decode(&documents[0]).unwrap().remove(0).object
}

fn create(server: &mut ApiServer, name: &str, spec: &str) -> Result<ServiceSpec, Status> {
    let written = server.create(service(name, spec), NOW)?;
    Ok(written.object.as_service().unwrap().spec.clone())
}

fn apply(server: &mut ApiServer, name: &str, spec: &str) -> Result<ServiceSpec, Status> {
    let written = server.apply(service(name, spec), NOW)?;
    Ok(written.object.as_service().unwrap().spec.clone())
}

fn replace(server: &mut ApiServer, name: &str, spec: &str) -> Result<ServiceSpec, Status> {
    let written = server.replace(service(name, spec), NOW)?;
    Ok(written.object.as_service().unwrap().spec.clone())
}

fn delete(server: &mut ApiServer, name: &str) {
    let key = ObjectKey::new(Kind::Service, "default", name);
    server.delete(&key, &DeleteOptions::default(), NOW).unwrap();
}

fn node_ports(spec: &ServiceSpec) -> Vec<i32> {
    spec.ports.iter().map(|port| port.node_port).collect()
}

/// Whether nobody has a node port: somebody else can get it.
fn is_free(server: &ApiServer, port: i32) -> bool {
    let spec = format!("{{type: NodePort, ports: [{{port: 80, nodePort: {port}}}]}}");
    create(&mut server.clone(), "taker", &spec).is_ok()
}

fn check_refused(result: Result<ServiceSpec, Status>, text: &str) {
    assert_eq!(result.unwrap_err().message, text);
}

#[test]
fn alloc_49_50_51_56_as_recorded() {
    let mut server = server(30_000..=32_767);
    for index in 0..60 {
        let spec = "{type: NodePort, ports: [{port: 80}]}";
        let spec = create(&mut server, &format!("d{index}"), spec).unwrap();
        assert!((30_086..=32_767).contains(&spec.ports[0].node_port));
    }
    let asking =
        |more: &str| format!("{{type: NodePort, ports: [{{port: 80, nodePort: {more}}}]}}");
    assert!(create(&mut server, "s1", &asking("30000")).is_ok());
    for (name, more, why) in [
        ("s2", "30000", "30000: provided port is already allocated"),
        (
            "s3",
            "30000, protocol: UDP",
            "30000: provided port is already allocated",
        ),
        (
            "s4",
            "29999",
            "29999: provided port is not in the valid range. The range of valid ports is 30000-32767",
        ),
        (
            "s5",
            "32768",
            "32768: provided port is not in the valid range. The range of valid ports is 30000-32767",
        ),
    ] {
        let text =
            format!("Service \"{name}\" is invalid: spec.ports[0].nodePort: Invalid value: {why}");
        check_refused(create(&mut server, name, &asking(more)), &text);
    }
    delete(&mut server, "s1");
    assert!(create(&mut server, "s1", &asking("30000")).is_ok());
    let spec = apply(&mut server, "s1", "{type: ClusterIP, ports: [{port: 80}]}").unwrap();
    assert_eq!(node_ports(&spec), [0]);
    assert!(create(&mut server, "s6", &asking("30000")).is_ok());
}

#[test]
fn alloc_52_58_a_full_range() {
    let mut server = server(30_000..=30_031);
    let node_port = "{type: NodePort, ports: [{port: 80}]}";
    for index in 0..32 {
        create(&mut server, &format!("a{index}"), node_port).unwrap();
    }
    check_refused(
        create(&mut server, "z", node_port),
        "Internal error occurred: failed to allocate a nodePort: range is full",
    );
    check_refused(
        create(
            &mut server,
            "z",
            "{type: NodePort, ports: [{port: 80, nodePort: 30005}]}",
        ),
        "Service \"z\" is invalid: spec.ports[0].nodePort: Invalid value: 30005: provided port is already allocated",
    );
    check_refused(
        create(
            &mut server,
            "z",
            "{type: LoadBalancer, externalTrafficPolicy: Local, allocateLoadBalancerNodePorts: false, ports: [{port: 80}]}",
        ),
        "Internal error occurred: failed to allocate a HealthCheck NodePort 0: range is full",
    );
    assert!(create(&mut server, "c", "{ports: [{port: 80}]}").is_ok());
}

#[test]
fn alloc_53_entries_with_one_port_number_share_a_node_port() {
    let mut server = server(30_000..=30_031);
    let dns = |tcp: &str, udp: &str| {
        format!(
            "{{type: NodePort, ports: [{{name: t, port: 53{tcp}}}, {{name: u, port: 53, protocol: UDP{udp}}}]}}"
        )
    };
    let spec = create(&mut server, "chosen", &dns("", "")).unwrap();
    assert_eq!(spec.ports[0].node_port, spec.ports[1].node_port);
    let spec = create(&mut server, "asked", &dns("", ", nodePort: 30003")).unwrap();
    assert_eq!(node_ports(&spec), [30_003, 30_003]);
    let spec = create(
        &mut server,
        "two",
        &dns(", nodePort: 30004", ", nodePort: 30005"),
    )
    .unwrap();
    assert_eq!(node_ports(&spec), [30_004, 30_005]);
    let other = "{type: NodePort, ports: [{name: t, port: 53, nodePort: 30006}, {name: u, port: 54, protocol: UDP, nodePort: 30006}]}";
    check_refused(
        create(&mut server, "other", other),
        "Service \"other\" is invalid: spec.ports[1].nodePort: Invalid value: 30006: provided port is already allocated",
    );
    assert!(is_free(&server, 30_006), "refused whole");
    delete(&mut server, "asked");
    assert!(is_free(&server, 30_003));
}

#[test]
fn alloc_54_updates_keep_ports_by_name_and_share_none() {
    let mut server = server(30_000..=30_031);
    let before = create(
        &mut server,
        "web",
        "{type: NodePort, ports: [{name: a, port: 80}, {name: b, port: 81}]}",
    )
    .unwrap();
    let after = replace(
        &mut server,
        "web",
        "{type: NodePort, ports: [{name: b, port: 82}, {name: c, port: 82, protocol: UDP}]}",
    )
    .unwrap();
    assert_eq!(after.ports[0].node_port, before.ports[1].node_port);
    assert_ne!(after.ports[1].node_port, after.ports[0].node_port);
    assert_eq!(after.cluster_ip, before.cluster_ip);
    let gone = before.ports[0].node_port;
    assert!(is_free(&server, gone) || after.ports[1].node_port == gone);
    let shared = after.ports[0].node_port;
    let both = format!(
        "{{type: NodePort, ports: [{{name: b, port: 82, nodePort: {shared}}}, {{name: c, port: 82, protocol: UDP, nodePort: {shared}}}]}}"
    );
    assert_eq!(
        node_ports(&replace(&mut server, "web", &both).unwrap()),
        [shared; 2]
    );
    let twice = both.replace("UDP", "TCP").replace("port: 82,", "port: 83,");
    let refused = replace(&mut server, "web", &twice).unwrap_err();
    assert_eq!(
        refused.kubectl_text(),
        format!(
            "Error from server: error when replacing \"STDIN\": duplicate nodePort: {{TCP {shared}}}"
        )
    );
}

#[test]
fn an_entry_that_is_named_later_keeps_its_node_port() {
    let mut server = server(30_000..=32_767);
    let before = apply(
        &mut server,
        "web",
        "{type: NodePort, ports: [{port: 80, targetPort: 8080}]}",
    )
    .unwrap();
    let after = apply(
        &mut server,
        "web",
        "{type: NodePort, ports: [{port: 80, name: http}, {port: 80, protocol: UDP, name: quic}]}",
    )
    .unwrap();
    assert_eq!(after.ports[0].node_port, before.ports[0].node_port);
    assert_eq!(after.ports[0].name, "http");
    let target = after.ports[0].target_port.clone();
    assert_eq!(
        target,
        Some(api::IntOrString::Int(80)),
        "what is no longer applied is gone"
    );
    assert_ne!(after.ports[1].node_port, after.ports[0].node_port);
}

#[test]
fn alloc_55_without_allocation_only_requests_count() {
    let mut server = server(30_000..=30_031);
    let spec = |allocate: bool, port: &str| {
        format!(
            "{{type: LoadBalancer, allocateLoadBalancerNodePorts: {allocate}, ports: [{{name: a, port: 80{port}}}, {{name: b, port: 81}}]}}"
        )
    };
    let made = create(&mut server, "web", &spec(false, ", nodePort: 30009")).unwrap();
    assert_eq!(node_ports(&made), [30_009, 0]);
    let made = create(&mut server, "all", &spec(true, "")).unwrap();
    assert!(node_ports(&made).iter().all(|port| *port != 0));
    let off = replace(&mut server, "all", &spec(false, "")).unwrap();
    assert_eq!(node_ports(&off), node_ports(&made), "kept when turned off");
}

#[test]
fn alloc_57_58_59_the_health_check_port_comes_and_goes() {
    let mut server = server(30_000..=30_031);
    let spec = |policy: &str, more: &str| {
        format!(
            "{{type: LoadBalancer, externalTrafficPolicy: {policy}, ports: [{{port: 80}}]{more}}}"
        )
    };
    let local = create(&mut server, "web", &spec("Local", "")).unwrap();
    let port = local.health_check_node_port;
    assert!(port != 0 && !node_ports(&local).contains(&port));
    let again = replace(&mut server, "web", &spec("Local", "")).unwrap();
    assert_eq!(again.health_check_node_port, port, "filled in again");
    let other = if port == 30_001 { 30_002 } else { 30_001 };
    check_refused(
        replace(
            &mut server,
            "web",
            &spec("Local", &format!(", healthCheckNodePort: {other}")),
        ),
        "Service \"web\" is invalid: spec.healthCheckNodePort: Forbidden: field is immutable",
    );
    assert!(is_free(&server, other), "the other port was not taken");
    let cluster = replace(&mut server, "web", &spec("Cluster", "")).unwrap();
    assert_eq!(cluster.health_check_node_port, 0);
    assert_eq!(node_ports(&cluster), node_ports(&local));
    assert!(is_free(&server, port));
    let back = spec("Local", &format!(", healthCheckNodePort: {port}"));
    let back = replace(&mut server, "web", &back).unwrap();
    assert_eq!(back.health_check_node_port, port);
    delete(&mut server, "web");
    assert!(is_free(&server, port));
}

/// API-64: applies `from`, then `to`, and compares fields of the result; absent ones are empty.
fn check_transition(from: &str, to: &str, expected: &[(&str, &str)]) {
    let mut server = server(30_000..=30_031);
    let before = apply(&mut server, "web", from).unwrap();
    let after = apply(&mut server, "web", to).unwrap();
    let fields = serde_json::to_value(&after).unwrap();
    for (field, value) in expected {
        let found = fields
            .get(field)
            .map_or_else(String::new, ToString::to_string);
        let value = match *value {
            "kept" => serde_json::to_value(&before).unwrap()[field].to_string(),
            value => value.to_owned(),
        };
        assert_eq!(found, value, "{from} -> {to}: {field}");
    }
    assert_eq!(
        held(&server).get(&30_007),
        None,
        "{from} -> {to}: the node port is free"
    );
    assert!(is_free(&server, 30_007));
}

#[test]
fn api_64_transitions() {
    let cluster_ip = "{type: ClusterIP, ports: [{port: 80}]}";
    let node_port = "{type: NodePort, ports: [{port: 80, nodePort: 30007}]}";
    let balanced = "{type: LoadBalancer, externalTrafficPolicy: Local, loadBalancerClass: example.com/lb, healthCheckNodePort: 30007, ports: [{port: 80}]}";
    let alias = "{type: ExternalName, externalName: example.com}";
    check_transition(
        cluster_ip,
        "{type: NodePort, ports: [{port: 80}]}",
        &[
            ("clusterIPs", "kept"),
            ("externalTrafficPolicy", "\"Cluster\""),
        ],
    );
    check_transition(
        node_port,
        cluster_ip,
        &[
            ("clusterIPs", "kept"),
            ("externalTrafficPolicy", ""),
            ("ports", r#"[{"protocol":"TCP","port":80,"targetPort":80}]"#),
        ],
    );
    check_transition(
        balanced,
        cluster_ip,
        &[
            ("clusterIP", "kept"),
            ("externalTrafficPolicy", ""),
            ("healthCheckNodePort", ""),
            ("loadBalancerClass", ""),
            ("allocateLoadBalancerNodePorts", ""),
        ],
    );
    check_transition(
        node_port,
        alias,
        &[
            ("clusterIP", ""),
            ("clusterIPs", ""),
            ("ipFamilies", ""),
            ("ipFamilyPolicy", ""),
            ("internalTrafficPolicy", ""),
            ("externalTrafficPolicy", ""),
        ],
    );
    check_transition(
        "{clusterIP: None, selector: {app: web}, ports: [{port: 80}]}",
        alias,
        &[("clusterIPs", ""), ("selector", "")],
    );
    check_transition(
        alias,
        "{type: LoadBalancer, clusterIP: 10.96.0.77, ports: [{port: 80}]}",
        &[
            ("clusterIPs", "[\"10.96.0.77\"]"),
            ("externalName", ""),
            ("ipFamilyPolicy", "\"SingleStack\""),
        ],
    );
}

#[test]
fn alloc_64_an_alias_holds_no_address() {
    let mut server = server(30_000..=30_031);
    let before = apply(&mut server, "web", "{ports: [{port: 80}]}").unwrap();
    apply(
        &mut server,
        "web",
        "{type: ExternalName, externalName: example.com}",
    )
    .unwrap();
    let taking = format!(
        "{{clusterIP: {}, ports: [{{port: 80}}]}}",
        before.cluster_ip
    );
    assert!(create(&mut server, "next", &taking).is_ok());
    let back = apply(&mut server, "web", "{ports: [{port: 80}]}").unwrap();
    assert!(!back.cluster_ip.is_empty());
    assert_ne!(back.cluster_ip, before.cluster_ip);
}

#[test]
fn api_64_a_class_may_not_change() {
    let mut server = server(30_000..=30_031);
    let spec = "{type: LoadBalancer, loadBalancerClass: example.com/lb, ports: [{port: 80}]}";
    create(&mut server, "web", spec).unwrap();
    check_refused(
        replace(&mut server, "web", &spec.replace("com/lb", "com/x")),
        "Service \"web\" is invalid: spec.loadBalancerClass: Invalid value: \"example.com/x\": may not change once set",
    );
    check_refused(
        create(
            &mut server,
            "kubelet",
            "{type: LoadBalancer, ports: [{port: 10250}]}",
        ),
        "Service \"kubelet\" is invalid: spec.ports[0]: Invalid value: 10250: may not expose port 10250 externally since it is used by kubelet",
    );
}

#[test]
fn the_status_of_a_load_balancer_is_given_at_first_and_written_apart() {
    let mut server = server(30_000..=30_031);
    let text = |service_type: &str, ingress: &str| {
        manifest(&format!(
            "{{apiVersion: v1, kind: Service, metadata: {{name: web}}, spec: {{type: {service_type}, ports: [{{port: 80}}]}}, status: {{loadBalancer: {{ingress: [{ingress}]}}}}}}"
        ))
    };
    // API-34: whatever a manifest says of it.
    let created = server.create(text("NodePort", "{ip: 203.0.113.1}"), NOW);
    created.unwrap();
    let service = server.service("default", "web").unwrap();
    assert!(service.status.load_balancer.ingress.is_empty());
    let key = ObjectKey::new(Kind::Service, "default", "web");
    server.delete(&key, &DeleteOptions::default(), NOW).unwrap();
    let given = text("LoadBalancer", "{ip: 203.0.113.1}, {hostname: lb.example}");
    server.create(given, NOW).unwrap();
    let ingress = |server: &ApiServer| {
        let service = server.service("default", "web").unwrap();
        service.status.load_balancer.ingress.clone()
    };
    assert_eq!(ingress(&server)[0].ip_mode.as_deref(), Some("VIP"));
    assert_eq!(ingress(&server)[1].ip_mode, None);
    let status = |ingress: &str| {
        let mut object = text("LoadBalancer", ingress);
        "default".clone_into(&mut object.meta_mut().namespace);
        object
    };
    let proxied = status("{ip: 203.0.113.2, ipMode: Proxy}");
    server.update_status(proxied, NOW).unwrap();
    assert_eq!(ingress(&server)[0].ip_mode.as_deref(), Some("Proxy"));
    for (bad, why) in [
        (
            "{ip: x}",
            "[0].ip: Invalid value: \"x\": must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)",
        ),
        (
            "{hostname: a.b, ipMode: VIP}",
            "[0].ipMode: Forbidden: may not be specified when `ip` is not set",
        ),
        (
            "{ip: 10.0.0.1, ipMode: X}",
            "[0].ipMode: Unsupported value: \"X\": supported values: \"Proxy\", \"VIP\"",
        ),
        (
            "{hostname: 10.0.0.1}",
            "[0].hostname: Invalid value: \"10.0.0.1\": must be a DNS name, not an IP address",
        ),
    ] {
        let revision = server.revision();
        let refused = server.update_status(status(bad), NOW).unwrap_err();
        let message = format!("Service \"web\" is invalid: status.loadBalancer.ingress{why}");
        assert_eq!(refused.message, message);
        assert_eq!(server.revision(), revision);
    }
    replace(&mut server, "web", "{type: NodePort, ports: [{port: 80}]}").unwrap();
    assert!(ingress(&server).is_empty());
}

#[test]
fn source_ranges_are_those_of_the_field() {
    let mut server = server(30_000..=30_031);
    let text = |spec: &str| {
        manifest(&format!(
            "{{apiVersion: v1, kind: Service, metadata: {{name: web, annotations: {{service.beta.kubernetes.io/load-balancer-source-ranges: ' 10.0.0.0/8, 192.168.0.0/16 '}}}}, spec: {{type: LoadBalancer, ports: [{{port: 80}}]{spec}}}}}"
        ))
    };
    let ranges = |server: &ApiServer| -> Vec<String> {
        let service = server.service("default", "web").unwrap();
        service.source_ranges().map(|net| net.to_string()).collect()
    };
    server.create(text(""), NOW).unwrap();
    assert_eq!(
        ranges(&server),
        [""; 0],
        "kube-proxy does not read the annotation"
    );
    server
        .replace(text(", loadBalancerSourceRanges: [' ::/0 ']"), NOW)
        .unwrap();
    assert_eq!(ranges(&server), ["::/0"]);
}

/// Who holds a node port, of all Services; a port of two holders fails.
fn held(server: &ApiServer) -> BTreeMap<i32, String> {
    let mut holders: BTreeMap<i32, String> = BTreeMap::new();
    for service in server
        .list(Kind::Service, None)
        .filter_map(Object::as_service)
    {
        let mut own: BTreeSet<i32> = service
            .spec
            .ports
            .iter()
            .map(|port| port.node_port)
            .filter(|port| *port != 0 && service.uses_node_ports())
            .collect();
        let check = service.spec.health_check_node_port;
        assert!(
            check == 0 || own.insert(check),
            "{check} is a node port as well"
        );
        for port in own {
            let other = holders.insert(port, service.metadata.name.clone());
            assert_eq!(other, None, "{port} has two holders");
        }
    }
    holders
}

#[derive(Clone, Debug)]
enum Step {
    Create(usize, String),
    Apply(usize, String),
    Replace(usize, String),
    Delete(usize),
}

fn spec() -> impl Strategy<Value = String> {
    let maybe_port = prop_oneof![2 => 0..1_i32, 1 => 29_999..30_006_i32];
    let entry = (80..83_u16, prop_oneof!["TCP", "UDP"], maybe_port.clone());
    let entries = prop::collection::vec(entry, 0..3);
    let kind = prop_oneof!["ClusterIP", "NodePort", "LoadBalancer", "ExternalName"];
    let parts = (
        kind,
        prop_oneof!["Local", "Cluster", ""],
        entries,
        maybe_port,
    );
    parts.prop_map(|(kind, policy, entries, check)| {
        let entries = entries.iter().enumerate().map(|(index, (port, protocol, node_port))| {
            format!("{{name: p{index}, port: {port}, protocol: {protocol}, nodePort: {node_port}}}")
        });
        let entries = entries.collect::<Vec<_>>().join(", ");
        format!(
            "{{type: {kind}, externalName: a.b, externalTrafficPolicy: '{policy}', healthCheckNodePort: {check}, ports: [{entries}]}}"
        )
    })
}

fn step() -> impl Strategy<Value = Step> {
    let name = 0..4_usize;
    prop_oneof![
        3 => (name.clone(), spec()).prop_map(|(name, spec)| Step::Create(name, spec)),
        2 => (name.clone(), spec()).prop_map(|(name, spec)| Step::Apply(name, spec)),
        2 => (name.clone(), spec()).prop_map(|(name, spec)| Step::Replace(name, spec)),
        1 => name.prop_map(Step::Delete),
    ]
}

fn take(server: &mut ApiServer, step: Step) -> bool {
    let name = |index: usize| format!("s{index}");
    match step {
        Step::Create(index, spec) => create(server, &name(index), &spec).is_ok(),
        Step::Apply(index, spec) => apply(server, &name(index), &spec).is_ok(),
        Step::Replace(index, spec) => replace(server, &name(index), &spec).is_ok(),
        Step::Delete(index) => {
            let key = ObjectKey::new(Kind::Service, "default", &name(index));
            server.delete(&key, &DeleteOptions::default(), NOW).is_ok()
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// The stock holds exactly what Services hold: no port or address has two holders, none leaks, and a refused
    /// write changes nothing.
    #[test]
    fn the_books_agree_with_the_services(steps in prop::collection::vec(step(), 0..40)) {
        let mut server = server(30_000..=30_005);
        for step in steps {
            let before = (held(&server), server.revision());
            let done = take(&mut server, step);
            let after = held(&server);
            if !done {
                prop_assert_eq!(&before, &(after.clone(), server.revision()));
            }
            for port in 30_000..=30_005 {
                prop_assert_eq!(is_free(&server, port), !after.contains_key(&port), "{}", port);
            }
            let addresses = server.list(Kind::Service, None).filter_map(Object::as_service);
            let addresses: Vec<_> = addresses.flat_map(|service| service.addresses()).collect();
            let distinct: BTreeSet<_> = addresses.iter().collect();
            prop_assert_eq!(distinct.len(), addresses.len());
            for service in server.list(Kind::Service, None).filter_map(Object::as_service) {
                prop_assert!(service.needs_cluster_ip() != service.spec.cluster_ips.is_empty());
                prop_assert!(service.needs_health_check() == (service.spec.health_check_node_port != 0));
            }
        }
    }
}
