//! What depends on who asks, by which name, from where, and on what somebody has tried before.

mod support;

use std::time::Duration;

use api::yaml::{Source as Text, split};
use api::{Kind, ObjectKey, decode};
use control::{
    ClusterConfig, Control, Fault, Impairment, LinkEnd, NodePortAddresses, PerMillion, ProxyMode,
    Source, WriteVerb,
};
use switchboard_explain::{Certainty, Diagnosis, Finding, Question, Severity, Verdict, diagnose};

use support::{about, apply, cluster, cluster_with, one, pod, run, service, web};

const FAULT: Severity = Severity::Fault;
const PITFALL: Severity = Severity::Pitfall;

#[track_caller]
fn check(finding: &Finding, id: &str, severity: Severity) {
    let seen = (finding.id, finding.certainty, finding.severity);
    assert_eq!(seen, (id, Certainty::Certain, severity), "{finding}");
}

fn ids(diagnosis: &Diagnosis) -> Vec<&str> {
    diagnosis.findings.iter().map(|found| found.id).collect()
}

/// `default/web` with a Pod on node-1, and what a test adds to its `spec`.
fn shop(spec: &str) -> String {
    let here = pod("web-1", "app: web", "http").replace("spec: {", "spec: {nodeName: node-1, ");
    service("app: web", "http").replace("spec: {", &format!("spec: {{{spec}")) + &here
}

fn built(change: impl FnOnce(&mut ClusterConfig), manifests: &str) -> Control {
    let mut control = cluster_with(change);
    apply(&mut control, manifests);
    control
}

fn from(source: Source) -> Question {
    Question {
        from: Some(source),
        ..web()
    }
}

fn laptop() -> Question {
    from(Source::Outside("laptop".to_owned()))
}

fn from_pod(namespace: &str, name: &str) -> Question {
    from(Source::Pod(ObjectKey::new(Kind::Pod, namespace, name)))
}

/// What is found when the Pod `cli` calls the Service by a name.
fn calling(control: &Control, name: &str) -> Diagnosis {
    let question = Question {
        name: Some(name.to_owned()),
        ..from_pod("default", "cli")
    };
    diagnose(control, &question)
}

/// What the API server says to a manifest that it refuses.
fn refusal(control: &mut Control, manifest: &str) -> String {
    let documents = split(&Text::new("refused", manifest)).unwrap();
    let mut manifests = documents
        .iter()
        .flat_map(|document| decode(document).unwrap());
    let manifest = manifests.next().expect("there is one");
    let refused = control.write(WriteVerb::Apply, manifest.object);
    refused.expect_err("it is refused").error_text()
}

fn told(control: &mut Control, manifest: &str) -> Diagnosis {
    let refusal = Some(refusal(control, manifest));
    diagnose(control, &Question { refusal, ..web() })
}

/// ALLOC-20, ALLOC-21: whose the address is, or where there are any.
#[test]
fn dbg_45_an_address_that_is_refused() {
    let asking = |address: &str| {
        let spec = format!("spec: {{clusterIP: {address}, ");
        service("app: web", "http").replace("spec: {", &spec)
    };
    let other = asking("10.96.0.80").replace("name: web", "name: api");
    let mut control = built(|_| (), &other);
    let taken = told(&mut control, &asking("10.96.0.80"));
    assert_eq!(taken.verdict, Verdict::Broken);
    let finding = one(&taken);
    check(&finding, "DBG-45", FAULT);
    assert!(
        finding
            .why
            .contains("10.96.0.80 is the ClusterIP of service/default/api")
    );
    assert_eq!(finding.field.as_deref(), Some("spec.clusterIPs"));
    let outside = one(&told(&mut control, &asking("192.0.2.1")));
    assert_eq!(outside.why, "ClusterIPs come out of 10.96.0.0/16");
    // One that is there goes on as before.
    apply(&mut control, &shop(""));
    let changed = told(&mut control, &asking("10.96.0.81"));
    assert_eq!(changed.verdict, Verdict::Healthy);
    check(&one(&changed), "DBG-45", PITFALL);
}

/// ALLOC-22.
#[test]
fn dbg_46_all_addresses_are_taken() {
    let small = |config: &mut ClusterConfig| {
        config.service_cidrs = vec!["10.96.0.0/29".parse().unwrap()];
    };
    let many: String = (1..=5)
        .map(|n| service("app: a", "80").replace("name: web", &format!("name: a-{n}")))
        .collect();
    let mut control = built(small, &many);
    let finding = one(&told(&mut control, &service("app: web", "80")));
    check(&finding, "DBG-46", FAULT);
    assert!(
        finding.why.ends_with("10.96.0.0/29 has 6 Services"),
        "{finding}"
    );
    assert!(finding.fix.starts_with("add a ServiceCIDR"));
}

/// ALLOC-50, ALLOC-51.
#[test]
fn dbg_47_a_node_port_that_is_refused() {
    let asking = |port: u16| {
        service("app: web", "http")
            .replace("spec: {", "spec: {type: NodePort, ")
            .replace("port: 80,", &format!("port: 80, nodePort: {port},"))
    };
    let mut control = built(|_| (), &asking(30_080).replace("name: web", "name: api"));
    let taken = one(&told(&mut control, &asking(30_080)));
    check(&taken, "DBG-47", FAULT);
    assert!(taken.why.contains("that of service/default/api"), "{taken}");
    let outside = one(&told(&mut control, &asking(80)));
    assert_eq!(outside.why, "node ports are from 30000 to 32767");
}

#[test]
fn dbg_33_and_59_what_is_written_wrong() {
    let mut control = cluster(false);
    let quoted = one(&told(&mut control, &service("app: web", "\"8080\"")));
    check(&quoted, "DBG-59", FAULT);
    assert_eq!(quoted.field.as_deref(), Some("spec.ports[0].targetPort"));
    let nameless = service("app: web", "80").replace("name: http, ", "");
    let nameless = nameless.replace("ports: [", "ports: [{port: 81}, ");
    check(&one(&told(&mut control, &nameless)), "DBG-33", FAULT);
    // What is refused for another reason is only missing.
    let other = service("app: web", "80").replace("port: 80,", "port: 99999,");
    assert_eq!(ids(&told(&mut control, &other)), ["DBG-28"]);
}

/// DNS-59 … DNS-66; DBG-62.
#[test]
fn dbg_35_a_name_costs_what_the_search_list_says() {
    let client = |spec: &str| {
        let spec = format!("spec: {{{spec}containers");
        pod("cli", "app: cli", "http").replace("spec: {containers", &spec)
    };
    let called = |spec: &str, name: &str| {
        let control = built(|config| config.dns = true, &(shop("") + &client(spec)));
        calling(&control, name)
    };
    for cheap in ["web", "web.default", "web.default.svc.cluster.local."] {
        assert_eq!(ids(&called("", cheap)), [""; 0], "{cheap}");
    }
    let dear = called("", "web.default.svc.cluster.local");
    assert_eq!(dear.verdict, Verdict::Healthy);
    let finding = one(&dear);
    check(&finding, "DBG-35", PITFALL);
    assert!(finding.sees.contains("takes 4 queries"), "{finding}");
    assert!(finding.why.starts_with("ndots is 5"), "{finding}");
    let frugal = "dnsConfig: {options: [{name: ndots, value: \"4\"}]}, ";
    assert_eq!(
        ids(&called(frugal, "web.default.svc.cluster.local")),
        [""; 0]
    );
    // Whoever does not ask cluster DNS has another problem.
    assert_eq!(ids(&called("dnsPolicy: Default, ", "web")), ["DBG-36"]);
    let unknown = called("", "wbe");
    assert_eq!(unknown.verdict, Verdict::Broken);
    check(&one(&unknown), "DBG-1", FAULT);
}

/// DNS-11, DNS-87: why a Service's own name has no address is told by what the Service is, and an alias of a name of the
/// world is an answer.
#[test]
fn dbg_1_is_not_about_the_services_own_name() {
    let client = pod("cli", "app: cli", "http");
    let called = |spec: &str, name: &str| {
        let web = service("app: nobody", "http").replace("spec: {", &format!("spec: {{{spec}"));
        let control = built(|config| config.dns = true, &(web + &client));
        calling(&control, name)
    };
    let alias = "type: ExternalName, externalName: db.example.com, ";
    assert_eq!(ids(&called(alias, "web")), ["DBG-48"]);
    assert_eq!(ids(&called(alias, "wbe")), ["DBG-48", "DBG-1"]);
    for name in ["web", "web.default"] {
        let headless = called("clusterIP: None, ", name);
        assert!(!ids(&headless).contains(&"DBG-1"), "{headless}");
    }
    assert!(ids(&called("clusterIP: None, ", "wbe")).contains(&"DBG-1"));
}

#[test]
fn dbg_26_a_name_that_means_another_service() {
    let here =
        service("app: web", "http").replace("name: web", "name: web, namespace: kube-public");
    let client = pod("cli", "app: cli", "http");
    let client = client.replace("name: cli,", "name: cli, namespace: kube-public,");
    let manifests = shop("") + &here + &client;
    let control = built(|config| config.dns = true, &manifests);
    let called = |name: &str| {
        let name = Some(name.to_owned());
        diagnose(
            &control,
            &Question {
                name,
                ..from_pod("kube-public", "cli")
            },
        )
    };
    check(&one(&called("web")), "DBG-26", FAULT);
    assert_eq!(ids(&called("web.default")), [""; 0]);
}

#[test]
fn dbg_34_a_silent_dns_is_told_as_well() {
    let mut control = built(|config| config.dns = true, &shop(""));
    control.fault(Fault::DnsDown, None).unwrap();
    let finding = one(&diagnose(&control, &web()));
    check(&finding, "DBG-34", FAULT);
    assert!(finding.why.ends_with("takes queries and answers none"));
    assert!(finding.sees.ends_with("cannot resolve any name"));
    let caches = |config: &mut ClusterConfig| {
        config.dns = true;
        config.node_local_dns = true;
    };
    let mut control = built(caches, &shop(""));
    control.fault(Fault::DnsDown, None).unwrap();
    let finding = one(&diagnose(&control, &web()));
    assert!(
        finding.sees.ends_with("their node's cache has not kept"),
        "{finding}"
    );
}

/// PROXY-25: the short circuits are for who is within; a route decides through which node somebody outside comes in.
#[test]
fn dbg_38_depends_on_who_asks() {
    let spec = "externalIPs: [192.0.2.1], type: NodePort, externalTrafficPolicy: Local, ";
    let through = |node: Option<&str>| {
        let config = |config: &mut ClusterConfig| {
            let route: Option<(ipnet::IpNet, String)> =
                node.map(|node| ("192.0.2.0/24".parse().unwrap(), node.to_owned()));
            config.outside[0].routes = route.into_iter().collect();
        };
        built(config, &shop(spec))
    };
    let plain = through(None);
    check(&one(&diagnose(&plain, &web())), "DBG-38", PITFALL);
    check(&one(&diagnose(&plain, &laptop())), "DBG-38", PITFALL);
    for within in [
        Source::Node("node-2".to_owned()),
        Source::Node("node-1".to_owned()),
    ] {
        assert_eq!(ids(&diagnose(&plain, &from(within))), [""; 0]);
    }
    let lost = one(&diagnose(&through(Some("node-2")), &laptop()));
    check(&lost, "DBG-38", FAULT);
    assert!(
        lost.sees
            .contains("192.0.2.1, which come in through node-2"),
        "{lost}"
    );
    check(
        &one(&diagnose(&through(Some("node-1")), &laptop())),
        "DBG-38",
        PITFALL,
    );
}

/// PROXY-13: whoever has a route to the ClusterIP meets the internal policy of the node that it leads to.
#[test]
fn dbg_37_somebody_outside_with_a_route() {
    let through = |node: &str| {
        let config = |config: &mut ClusterConfig| {
            config.outside[0].routes = vec![
                ("10.0.0.0/8".parse().unwrap(), "node-1".to_owned()),
                ("10.96.0.0/16".parse().unwrap(), node.to_owned()),
            ];
        };
        diagnose(
            &built(config, &shop("internalTrafficPolicy: Local, ")),
            &laptop(),
        )
    };
    check(&one(&through("node-2")), "DBG-37", FAULT);
    assert_eq!(ids(&through("node-1")), [""; 0]);
}

/// PROXY-30.
#[test]
fn dbg_75_a_client_outside_of_the_source_ranges() {
    let asked = |ranges: &str, question: &Question| {
        let pool = |config: &mut ClusterConfig| {
            config.load_balancer_pool = vec!["198.51.100.0/30".parse().unwrap()];
        };
        let spec = format!("type: LoadBalancer, loadBalancerSourceRanges: [{ranges}], ");
        diagnose(&built(pool, &shop(&spec)), question)
    };
    let excluded = one(&asked("192.0.2.0/24", &laptop()));
    check(&excluded, "DBG-75", FAULT);
    assert!(
        excluded.why.contains("laptop is at 203.0.113.70"),
        "{excluded}"
    );
    check(&one(&asked("192.0.2.0/24", &web())), "DBG-75", PITFALL);
    for open in [
        "203.0.113.0/24",
        "192.0.2.0/24, 203.0.113.70/32",
        "0.0.0.0/0",
        "\"fd00::/8\"",
    ] {
        assert_eq!(ids(&asked(open, &laptop())), [""; 0], "{open}");
    }
    let node = from(Source::Node("node-1".to_owned()));
    assert_eq!(ids(&asked("192.0.2.0/24", &node)), [""; 0]);
}

/// PROXY-29: what comes by a load balancer of its own does not come in through the nodes.
#[test]
fn dbg_38_knows_the_load_balancers_that_are_no_virtual_addresses() {
    let asked = |mode: &str| {
        let routed = |config: &mut ClusterConfig| {
            let net = "198.51.100.0/30".parse().unwrap();
            config.outside[0].routes = vec![(net, "node-2".to_owned())];
        };
        let spec = "type: LoadBalancer, externalTrafficPolicy: Local, ";
        let own = format!(
            "metadata: {{name: web, annotations: {{switchboard.dev/status: pinned}}}}\n\
             status: {{loadBalancer: {{ingress: [{{ip: 198.51.100.1, ipMode: {mode}}}]}}}}"
        );
        let manifests = shop(spec).replacen("metadata: {name: web}", &own, 1);
        one(&diagnose(&built(routed, &manifests), &laptop()))
    };
    check(&asked("VIP"), "DBG-38", FAULT);
    check(&asked("Proxy"), "DBG-38", PITFALL);
}

/// PROXY-26.
#[test]
fn dbg_74_addresses_without_node_ports() {
    let asked = |mode, at: Option<&str>| {
        let two = |config: &mut ClusterConfig| {
            config.mode = mode;
            config.nodes[0].addresses.push([10, 0, 0, 1].into());
            let within = |net: &str| NodePortAddresses::Within(vec![net.parse().unwrap()]);
            config.proxy.node_port_addresses = at.map(within);
        };
        diagnose(&built(two, &shop("type: NodePort, ")), &laptop())
    };
    assert_eq!(ids(&asked(ProxyMode::Iptables, None)), [""; 0]);
    let finding = one(&asked(ProxyMode::Nftables, None));
    check(&finding, "DBG-74", PITFALL);
    assert!(
        finding.sees.contains("at 10.0.0.1 are refused"),
        "{finding}"
    );
    let finding = one(&asked(ProxyMode::Iptables, Some("10.0.0.0/24")));
    assert!(finding.sees.ends_with("answered at 10.0.0.1"), "{finding}");
    let nowhere = asked(ProxyMode::Iptables, Some("172.16.0.0/12"));
    assert_eq!(nowhere.verdict, Verdict::Broken);
    // Who has another address is not lost.
    let other = |spec: &str| {
        let localhost = |config: &mut ClusterConfig| {
            config.load_balancer_pool = vec!["198.51.100.0/30".parse().unwrap()];
            let net = "127.0.0.0/8".parse().unwrap();
            config.proxy.node_port_addresses = Some(NodePortAddresses::Within(vec![net]));
        };
        diagnose(&built(localhost, &shop(spec)), &web())
    };
    assert_eq!(ids(&other("type: LoadBalancer, ")), [""; 0]);
    let external = other("type: NodePort, externalIPs: [192.0.2.1], ");
    assert_eq!(external.verdict, Verdict::Healthy);
    check(&one(&external), "DBG-74", PITFALL);
}

#[test]
fn dbg_58_a_link_that_loses_packets() {
    let mut control = built(|_| (), &shop(""));
    let end = |name: &str| LinkEnd::Node(name.to_owned());
    let cut = Impairment {
        cut: true,
        ..Impairment::default()
    };
    let (a, b) = (end("node-1"), end("node-2"));
    let fault = control
        .fault(
            Fault::Link {
                a,
                b,
                impairment: cut,
            },
            None,
        )
        .unwrap();
    let at = |node: &str| from(Source::Node(node.to_owned()));
    let finding = one(&diagnose(&control, &at("node-2")));
    check(&finding, "DBG-58", FAULT);
    assert!(finding.sees.contains("an endpoint on node-1"), "{finding}");
    assert_eq!(ids(&diagnose(&control, &at("node-1"))), [""; 0]);
    assert_eq!(ids(&diagnose(&control, &laptop())), ["DBG-52"]);
    check(&one(&diagnose(&control, &web())), "DBG-58", FAULT);
    control.heal(fault);
    assert_eq!(ids(&diagnose(&control, &at("node-2"))), [""; 0]);
}

/// `default/web` on node-1, and a link of its network that is cut.
fn with_cut(
    change: impl FnOnce(&mut ClusterConfig),
    spec: &str,
    (a, b): (LinkEnd, LinkEnd),
) -> Control {
    let mut control = built(change, &shop(spec));
    let impairment = Impairment {
        cut: true,
        ..Impairment::default()
    };
    let cut = Fault::Link { a, b, impairment };
    control.fault(cut, None).unwrap();
    control
}

#[test]
fn dbg_58_what_stays_on_a_node_is_on_no_link() {
    let zones = |config: &mut ClusterConfig| {
        for node in &mut config.nodes {
            node.zone = Some("zone-1".to_owned());
        }
    };
    let zone = || LinkEnd::Zone("zone-1".to_owned());
    let node = |name: &str| LinkEnd::Node(name.to_owned());
    let at = |name: &str| from(Source::Node(name.to_owned()));
    for ends in [(zone(), zone()), (node("node-1"), zone())] {
        let control = with_cut(zones, "", ends);
        assert_eq!(ids(&diagnose(&control, &at("node-1"))), [""; 0]);
        check(&one(&diagnose(&control, &at("node-2"))), "DBG-58", FAULT);
    }
    // Policy Local chooses nobody elsewhere.
    let local = "internalTrafficPolicy: Local, ";
    let control = with_cut(zones, local, (node("node-1"), node("node-2")));
    assert_eq!(ids(&diagnose(&control, &at("node-2"))), ["DBG-37"]);
}

#[test]
fn dbg_58_who_is_outside_comes_in_by_one_node() {
    let routed = |config: &mut ClusterConfig| {
        let net = "192.0.2.0/24".parse().unwrap();
        config.outside[0].routes = vec![(net, "node-2".to_owned())];
    };
    let node = |name: &str| LinkEnd::Node(name.to_owned());
    let host = || LinkEnd::Outside("laptop".to_owned());
    let asked = |ends| {
        let control = with_cut(routed, "externalIPs: [192.0.2.1], ", ends);
        diagnose(&control, &laptop())
    };
    assert_eq!(ids(&asked((host(), node("node-1")))), [""; 0]);
    for ends in [(host(), node("node-2")), (node("node-1"), node("node-2"))] {
        let finding = one(&asked(ends));
        check(&finding, "DBG-58", FAULT);
        assert!(finding.sees.contains("an endpoint on node-1"), "{finding}");
    }
}

#[test]
fn dbg_58_the_link_of_a_pod_loses_packets() {
    let key = |name: &str| ObjectKey::new(Kind::Pod, "default", name);
    let broken = |name: &str, cut: bool| {
        let others = ["cli", "other"].map(|name| pod(name, &format!("app: {name}"), "http"));
        let mut control = built(|_| (), &(shop("") + &others.concat()));
        let impairment = Impairment {
            cut,
            loss: PerMillion::new(200_000).unwrap(),
            ..Impairment::default()
        };
        let pods = vec![key(name)];
        let link = Fault::PodLink { pods, impairment };
        control.fault(link, None).unwrap();
        control
    };
    for (cut, severity) in [(true, FAULT), (false, PITFALL)] {
        let finding = one(&diagnose(&broken("web-1", cut), &web()));
        check(&finding, "DBG-58", severity);
        assert_eq!(finding.subject, key("web-1"));
        assert!(finding.sees.ends_with("where web-1 is chosen"), "{finding}");
    }
    // The client's own; somebody else's says nothing of this Service.
    let client = || from_pod("default", "cli");
    let finding = one(&diagnose(&broken("cli", true), &client()));
    assert_eq!((finding.id, &finding.subject), ("DBG-58", &key("cli")));
    assert_eq!(ids(&diagnose(&broken("cli", true), &web())), [""; 0]);
    assert_eq!(ids(&diagnose(&broken("other", true), &client())), [""; 0]);
}

#[test]
fn dbg_60_an_address_of_before() {
    let at = |address: &str| shop(&format!("clusterIP: {address}, "));
    let mut control = built(|_| (), &at("10.96.0.80"));
    control.delete(&web().service).unwrap();
    apply(&mut control, &at("10.96.0.90"));
    let finding = one(&diagnose(&control, &web()));
    check(&finding, "DBG-60", PITFALL);
    assert!(
        finding
            .sees
            .contains("10.96.0.80 of default/web get no answer"),
        "{finding}"
    );
    let other = |selector: &str, name: &str| {
        service(selector, "http")
            .replace("name: web", &format!("name: {name}"))
            .replace("spec: {", "spec: {clusterIP: 10.96.0.80, ")
    };
    apply(&mut control, &other("app: api", "api"));
    let finding = one(&diagnose(&control, &web()));
    assert!(
        finding.sees.ends_with("go to service/default/api"),
        "{finding}"
    );
    control.delete(&about("default", "api").service).unwrap();
    apply(&mut control, &other("app: web", "old"));
    assert_eq!(ids(&diagnose(&control, &web())), [""; 0]);
    // Made anew without any.
    let mut control = built(|_| (), &at("10.96.0.80"));
    control.delete(&web().service).unwrap();
    apply(&mut control, &at("None"));
    let diagnosis = diagnose(&control, &web());
    let mut findings = diagnosis.findings.iter();
    let finding = findings.find(|found| found.id == "DBG-60").unwrap();
    assert!(
        finding
            .why
            .contains("its name now means its Pods' own addresses, and"),
        "{finding}"
    );
}

/// EP-73.
#[test]
fn dbg_41_a_pod_that_nodes_still_choose() {
    let ending = |policy: &str, hook: &str| {
        let hook = format!("containers: [{{{hook}");
        let pods = [1, 2].map(|n| {
            let spec = format!("spec: {{nodeName: node-{n}, ");
            pod(&format!("web-{n}"), "app: web", "http").replace("spec: {", &spec)
        });
        let pods = pods.concat().replace("containers: [{", &hook);
        let slow = |config: &mut ClusterConfig| config.timing.watch = Duration::from_millis(500);
        let service = service("app: web", "http").replace("spec: {", &format!("spec: {{{policy}"));
        let mut control = built(slow, &(service + &pods));
        let gone = ObjectKey::new(Kind::Pod, "default", "web-1");
        control.delete(&gone).unwrap();
        let soon = control.now() + Duration::from_millis(700);
        run(&mut control, soon);
        control
    };
    let mut control = ending("", "");
    let diagnosis = diagnose(&control, &web());
    let finding = &diagnosis.findings[0];
    check(finding, "DBG-41", FAULT);
    assert!(finding.sees.contains("1 of 2 times"), "{finding}");
    let later = control.now() + Duration::from_secs(10);
    run(&mut control, later);
    assert_eq!(ids(&diagnose(&control, &web())), [""; 0]);
    // Policy Local: node-2 has never chosen the Pod of node-1, and node-1 chooses no other.
    let diagnosis = diagnose(&ending("internalTrafficPolicy: Local, ", ""), &web());
    let mut findings = diagnosis.findings.iter();
    let finding = findings.find(|found| found.id == "DBG-41").unwrap();
    assert!(
        finding.sees.contains("by way of node-1 get") && finding.sees.contains("1 of 1 times"),
        "{finding}"
    );
    let patient = ending("", "lifecycle: {preStop: {sleep: {seconds: 5}}}, ");
    let found = diagnose(&patient, &web());
    assert!(!ids(&found).contains(&"DBG-41"), "{found}");
    // How long a command takes is not known.
    let other = ending(
        "",
        "lifecycle: {preStop: {exec: {command: [sleep, \"10\"]}}}, ",
    );
    let found = diagnose(&other, &web());
    assert!(!ids(&found).contains(&"DBG-41"), "{found}");
}
