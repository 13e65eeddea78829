//! Names, asked for over the network by resolvers of several kinds.

use control::Resolution;

use super::*;

fn ask(sim: &mut Sim, from: &str, name: &str, record_type: &str, protocol: Protocol) -> Resolution {
    let request = ResolveRequest {
        from: Source::Pod(ObjectKey::new(Kind::Pod, "default", from)),
        name: name.to_owned(),
        record_types: vec![record_type.to_owned()],
        protocol,
    };
    sim.resolve(&request).unwrap()
}

/// Protocol and result of every query.
fn queries(seen: &Resolution) -> Vec<String> {
    let attempts = seen.attempts.iter();
    attempts
        .map(|attempt| format!("{} {}", attempt.protocol, attempt.result).to_uppercase())
        .collect()
}

fn data(seen: &Resolution) -> Vec<&str> {
    seen.answers
        .iter()
        .map(|answer| answer.data.as_str())
        .collect()
}

#[test]
fn dns_59_60_62_names_through_the_cluster_ip_of_dns() {
    let mut sim = cluster();
    for (name, queries) in [
        ("web", 1),
        ("web.default", 2),
        ("web.default.svc", 3),
        ("web.default.svc.cluster.local", 4),
        ("web.default.svc.cluster.local.", 1),
    ] {
        let seen = ask(&mut sim, "client", name, "A", Protocol::UDP);
        assert_eq!(seen.rcode, "NOERROR", "{name}");
        assert_eq!(data(&seen), [vip(&sim).to_string()], "{name}");
        assert_eq!(seen.attempts.len(), queries, "{name}");
        let server = seen.attempts[0].server;
        assert_eq!(server, "10.96.0.10:53".parse().unwrap());
    }
}

#[test]
fn dns_1_3_the_service_of_dns_and_its_pods() {
    let sim = cluster();
    let service = sim
        .control()
        .api()
        .service("kube-system", "kube-dns")
        .unwrap();
    let ports = service.spec.ports.iter();
    let ports: Vec<String> = ports
        .map(|port| format!("{} {}/{}", port.name, port.port, port.protocol))
        .collect();
    assert_eq!(ports, ["dns 53/UDP", "dns-tcp 53/TCP", "metrics 9153/TCP"]);
    assert_eq!(service.spec.selector["k8s-app"], "kube-dns");
    let pod = sim.control().api().pod("kube-system", "coredns-1").unwrap();
    assert_eq!(pod.spec.dns_policy, "Default", "it does not ask itself");
}

/// A headless Service whose addresses do not fit into 512 bytes.
fn crowd() -> String {
    let endpoints: Vec<String> = (1..=60)
        .map(|n| format!("{{addresses: [10.250.9.{n}]}}"))
        .collect();
    format!(
        "{{apiVersion: v1, kind: Service, metadata: {{name: crowd}}, spec: {{clusterIP: None}}}}\n---\n\
         {{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {{name: crowd-1, labels: \
         {{kubernetes.io/service-name: crowd}}}}, addressType: IPv4, ports: [], endpoints: [{}]}}",
        endpoints.join(", ")
    )
}

#[test]
fn what_is_truncated_comes_over_tcp() {
    for mode in ProxyMode::ALL {
        let mut sim = cluster_in(mode);
        apply(&mut sim, &crowd());
        run_to(&mut sim, 8000);
        let seen = ask(&mut sim, "client", "crowd", "A", Protocol::UDP);
        assert_eq!(queries(&seen), ["UDP TRUNCATED", "TCP NOERROR"], "{mode}");
        assert_eq!(seen.answers.len(), 60);
        let seen = ask(&mut sim, "client", "crowd.default", "A", Protocol::TCP);
        assert_eq!(queries(&seen), ["TCP NXDOMAIN", "TCP NOERROR"], "{mode}");
    }
}

/// DNS-2: each query has its own order, so clients do not all take the first endpoint.
#[test]
fn dns_2_answers_are_shuffled() {
    let mut sim = cluster();
    apply(&mut sim, &crowd());
    run_to(&mut sim, 8000);
    let mut first = || {
        let seen = ask(&mut sim, "client", "crowd", "A", Protocol::TCP);
        seen.answers[0].data.clone()
    };
    let firsts: BTreeSet<String> = (0..20).map(|_| first()).collect();
    assert!(firsts.len() > 5, "{firsts:?}");
}

#[test]
fn addresses_and_the_hosts_outside_have_names() {
    let mut sim = cluster();
    let address = vip(&sim).to_string();
    let seen = ask(&mut sim, "client", &address, "PTR", Protocol::UDP);
    assert_eq!(data(&seen), ["web.default.svc.cluster.local."]);
    assert_eq!(seen.attempts.len(), 1);
    let seen = ask(&mut sim, "client", "laptop", "A", Protocol::UDP);
    assert_eq!(
        (data(&seen), seen.attempts.len()),
        (vec!["203.0.113.70"], 4)
    );
}

/// A Pod next to the client, with this in its spec; its resolv.conf.
fn resolver(sim: &mut Sim, name: &str, spec: &str) -> String {
    let pod = CLIENT.replace("name: client", &format!("name: {name}"));
    apply(sim, &pod.replace("spec: {", &format!("spec: {{{spec}, ")));
    let later = sim.now() + Duration::from_secs(3);
    sim.advance_to(later);
    let source = Source::Pod(ObjectKey::new(Kind::Pod, "default", name));
    sim.resolv_conf(&source).to_string()
}

#[test]
fn dns_53_54_and_55_resolvers_by_policy_and_configuration() {
    let mut sim = cluster();
    let conf = resolver(
        &mut sim,
        "frugal",
        "dnsConfig: {options: [{name: ndots, value: '1'}]}",
    );
    assert_eq!(
        conf,
        "nameserver 10.96.0.10\nsearch default.svc.cluster.local svc.cluster.local cluster.local\noptions ndots:1\n"
    );
    let seen = ask(&mut sim, "frugal", "web.default", "A", Protocol::UDP);
    assert_eq!(
        queries(&seen),
        ["UDP NXDOMAIN", "UDP NXDOMAIN", "UDP NOERROR"]
    );
    let conf = resolver(
        &mut sim,
        "none",
        "dnsPolicy: None, dnsConfig: {nameservers: [10.96.0.10]}",
    );
    assert_eq!(conf, "nameserver 10.96.0.10\n");
    let seen = ask(&mut sim, "none", "web", "A", Protocol::UDP);
    assert_eq!(queries(&seen), ["UDP NXDOMAIN"]);
    assert_eq!(resolver(&mut sim, "node", "dnsPolicy: Default"), "");
    let policy = "hostNetwork: true, dnsPolicy: ClusterFirstWithHostNet";
    assert!(resolver(&mut sim, "on-host", policy).starts_with("nameserver 10.96.0.10\n"));
    assert_eq!(resolver(&mut sim, "forgetful", "hostNetwork: true"), "");
}

#[test]
fn a_server_that_is_nobody_s_costs_its_time() {
    let mut sim = cluster();
    let spec = "dnsPolicy: None, dnsConfig: {nameservers: [10.244.1.250, 10.96.0.10], \
                options: [{name: timeout, value: '1'}]}";
    resolver(&mut sim, "patient", spec);
    let name = "web.default.svc.cluster.local.";
    let seen = ask(&mut sim, "patient", name, "A", Protocol::UDP);
    assert_eq!(seen.rcode, "NOERROR");
    assert_eq!(seen.attempts.len(), 2, "{:?}", seen.attempts);
    assert_eq!(seen.attempts[1].server, "10.96.0.10:53".parse().unwrap());
}

fn settings(block: &str) -> String {
    format!(
        "
apiVersion: v1
kind: ConfigMap
metadata: {{name: coredns, namespace: kube-system}}
data:
  Corefile: |
    .:53 {{
        kubernetes cluster.local in-addr.arpa ip6.arpa {{
            {block}
        }}
        forward . /etc/resolv.conf
    }}
"
    )
}

/// DNS-36, DNS-38, DNS-72: the server is set up as in a real cluster.
#[test]
fn dns_72_the_corefile_counts() {
    let mut sim = cluster();
    let web = sim
        .control()
        .api()
        .pod("default", "web-1")
        .unwrap()
        .addresses()[0];
    let dashed = |ip: &str| format!("{}.default.pod.cluster.local.", ip.replace('.', "-"));
    let (known, unknown) = (dashed(&web.to_string()), dashed("10.244.9.9"));
    let mut check = |block: &str, expected: [&str; 2]| {
        if !block.is_empty() {
            apply(&mut sim, &settings(block));
            let later = sim.now() + Duration::from_secs(1);
            sim.advance_to(later);
        }
        let rcodes =
            [&known, &unknown].map(|name| ask(&mut sim, "client", name, "A", Protocol::UDP).rcode);
        assert_eq!(rcodes, expected, "{block}");
    };
    check("", ["NOERROR", "NOERROR"]);
    check("pods verified", ["NOERROR", "NXDOMAIN"]);
    check("pods disabled", ["NXDOMAIN", "NXDOMAIN"]);
    let ttl = settings("ttl 7");
    apply(&mut sim, &ttl);
    let later = sim.now() + Duration::from_secs(1);
    sim.advance_to(later);
    let seen = ask(&mut sim, "client", "web", "A", Protocol::UDP);
    assert_eq!(seen.answers[0].ttl, 7);
    let documents = split(&File::new("test", settings("noendpoints"))).unwrap();
    let object = decode(&documents[0]).unwrap().remove(0).object;
    let refused = sim.write(WriteVerb::Apply, object).unwrap_err();
    assert!(
        refused.message.contains("data.Corefile: "),
        "{}",
        refused.message
    );
    assert!(
        refused.message.contains("line 3: `noendpoints`"),
        "{}",
        refused.message
    );
}

/// What `nc -zv` asks of a real one: whether it is reached.
#[test]
fn cluster_dns_says_who_it_is_to_who_greets_it() {
    for mode in ProxyMode::ALL {
        let mut sim = cluster_in(mode);
        for protocol in [Protocol::TCP, Protocol::UDP] {
            let request = ConnectRequest {
                from: client(),
                to: Target {
                    host: Host::Name("kube-dns.kube-system".to_owned()),
                    port: 53,
                },
                protocol,
                count: 20,
                timeout: Duration::from_secs(3),
                payload: Vec::new(),
            };
            let connections = sim.connect(&request).unwrap();
            assert_eq!(outcomes(&connections), BTreeSet::from([Outcome::Connected]));
            let pods = backends(&connections);
            assert_eq!(pods.len(), 2, "{mode} {protocol}: {pods:?}");
            let seen = ask(&mut sim, "client", "web", "A", protocol);
            assert_eq!(seen.rcode, "NOERROR", "{mode} {protocol}");
        }
    }
}
