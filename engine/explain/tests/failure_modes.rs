//! Every failure mode in a small cluster, and what is found.

mod support;

use std::time::Duration;

use api::{Kind, ObjectKey};
use control::{ProxyMode, Source};
use switchboard_explain::{Certainty, Diagnosis, Finding, Question, Severity, Verdict, diagnose};

use support::{about, apply, cluster, cluster_with, diagnosed, one, only, pod, run, service, web};

fn ids(diagnosis: &Diagnosis) -> Vec<&str> {
    diagnosis.findings.iter().map(|found| found.id).collect()
}

#[track_caller]
fn check(finding: &Finding, id: &str, certainty: Certainty, severity: Severity) {
    let seen = (finding.id, finding.certainty, finding.severity);
    assert_eq!(seen, (id, certainty, severity), "{finding}");
}

/// What a Pod says of the place where it listens.
fn listening(pod: &str, at: &str) -> String {
    let annotation = format!("annotations: {{switchboard.dev/listen: \"{at}\"}}, labels: {{");
    pod.replacen("labels: {", &annotation, 1)
}

/// What `default/web` looks like to somebody.
fn asked(manifests: &[String], ask: impl FnOnce(Question) -> Question) -> Diagnosis {
    let mut control = cluster(false);
    apply(&mut control, &manifests.concat());
    diagnose(&control, &ask(web()))
}

fn from(source: Source) -> impl FnOnce(Question) -> Question {
    |question| Question {
        from: Some(source),
        ..question
    }
}

fn from_pod(name: &str) -> impl FnOnce(Question) -> Question {
    from(Source::Pod(ObjectKey::new(Kind::Pod, "default", name)))
}

fn healthy() -> Vec<String> {
    vec![
        service("app: web", "http"),
        pod("web-1", "app: web", "http"),
        pod("web-2", "app: web", "http"),
    ]
}

/// DBG-79.
#[test]
fn dbg_21_labels_of_the_deployment_are_not_those_of_its_pods() {
    let deployment = "
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: front, labels: {app: web}}
spec:
  selector: {matchLabels: {run: web}}
  template:
    metadata: {labels: {run: web}}
    spec: {containers: [{name: app, image: app}]}
";
    let finding = only(&[service("app: web", "8080"), deployment.to_owned()]);
    check(&finding, "DBG-21", Certainty::Certain, Severity::Fault);
    assert!(
        finding
            .why
            .contains("deployment/default/front has these labels itself"),
        "{finding}"
    );
}

/// DBG-80: a value within two edits is proposed; DBG-77: the value under another key.
#[test]
fn dbg_21_proposes_what_is_near() {
    let fix = |labels| only(&[service("app: web", "8080"), pod("a", labels, "http")]).fix;
    assert!(fix("app: wep").starts_with("change spec.selector.app to wep"));
    assert!(fix("name: web").starts_with("write name=web for app"));
}

/// DBG-96.
#[test]
fn dbg_22_names_the_probe_that_fails() {
    let probe = "readinessProbe: {httpGet: {path: /healthz, port: 8081}}, ports: [";
    let unready = pod("web-1", "app: web", "http").replace("ports: [", probe);
    let finding = only(&[service("app: web", "http"), unready.clone()]);
    check(&finding, "DBG-22", Certainty::Certain, Severity::Fault);
    assert!(
        finding
            .why
            .contains("fails its readiness probe GET :8081/healthz")
            && finding.why.contains("it listens on 8080"),
        "{finding}"
    );
    assert_eq!(
        finding.field.as_deref(),
        Some("spec.containers[0].readinessProbe.httpGet.port")
    );
    // One that is not ready beside one that is does not break the Service.
    let both = diagnosed(&[
        service("app: web", "http"),
        unready,
        pod("web-2", "app: web", "http"),
    ]);
    assert_eq!(both.verdict, Verdict::Healthy);
    check(&one(&both), "DBG-22", Certainty::Certain, Severity::Pitfall);
}

#[test]
fn dbg_22_a_pod_without_a_node() {
    let homeless = pod("web-1", "app: web", "http").replace(
        "spec: {containers",
        "spec: {nodeSelector: {disk: ssd}, containers",
    );
    let finding = only(&[service("app: web", "http"), homeless]);
    check(&finding, "DBG-22", Certainty::Certain, Severity::Fault);
    assert!(
        finding.why.contains("is not scheduled to a node"),
        "{finding}"
    );
}

#[test]
fn dbg_23_the_target_port_is_another_number() {
    let finding = only(&[service("app: web", "80"), pod("web-1", "app: web", "http")]);
    check(&finding, "DBG-23", Certainty::Likely, Severity::Fault);
    assert!(
        finding.sees.ends_with("from a Pod and not from the node"),
        "{finding}"
    );
    assert_eq!(finding.fix, "change spec.ports[0].targetPort to 8080");
}

/// DBG-63: what is advised cures. A port of another protocol does not, unless the Service's protocol changes, too.
#[test]
fn dbg_23_and_30_nobody_speaks_the_protocol() {
    let udp =
        |target: &str| service("app: web", target).replace("port: 80,", "port: 80, protocol: UDP,");
    for (declared, target, fix) in [
        (
            "containerPort: 8080",
            "53",
            "let the application listen on 53/UDP; or, if TCP is meant, change spec.ports[0].protocol to TCP and \
             spec.ports[0].targetPort to 8080",
        ),
        (
            "containerPort: 8080}, {name: dns, protocol: UDP, containerPort: 5353",
            "53",
            "change spec.ports[0].targetPort to 5353",
        ),
        (
            "containerPort: 8080",
            "8080",
            "change spec.ports[0].protocol to TCP",
        ),
    ] {
        let web_1 = pod("web-1", "app: web", "http").replace("containerPort: 8080", declared);
        let finding = only(&[udp(target), web_1.clone()]);
        assert_eq!(finding.fix, fix, "{target}, {declared}");
        let wanted = if target == "53" { "DBG-23" } else { "DBG-30" };
        check(&finding, wanted, Certainty::Likely, Severity::Fault);
        let mended = match fix.contains("protocol") {
            true => service("app: web", "8080"),
            false => udp("5353"),
        };
        assert_eq!(diagnosed(&[mended, web_1]).verdict, Verdict::Healthy);
    }
}

/// DBG-63: ports that are only declared make nothing certain; none at all leave it open.
#[test]
fn dbg_64_how_sure_it_is_depends_on_what_is_known() {
    let web_1 = pod("web-1", "app: web", "http");
    let known = only(&[service("app: web", "80"), listening(&web_1, "8080")]);
    assert_eq!(known.certainty, Certainty::Certain);
    let silent = web_1.replace(", ports: [{name: http, containerPort: 8080}]", "");
    let diagnosis = diagnosed(&[service("app: web", "80"), silent]);
    check(
        &one(&diagnosis),
        "DBG-23",
        Certainty::Possible,
        Severity::Fault,
    );
    assert_eq!(diagnosis.verdict, Verdict::Unknown);
}

/// DBG-7: one of two.
#[test]
fn dbg_23_some_pods_listen_elsewhere() {
    let other = pod("web-2", "app: web", "http").replace("8080", "9090");
    let diagnosis = diagnosed(&[
        service("app: web", "8080"),
        pod("web-1", "app: web", "http"),
        other,
    ]);
    let found = diagnosis
        .findings
        .iter()
        .find(|found| found.id == "DBG-23")
        .expect("one Pod refuses");
    assert!(found.sees.ends_with("1 of 2 times"), "{found}");
}

#[test]
fn dbg_24_a_name_on_an_init_container_does_not_count() {
    let init = "initContainers: [{name: setup, image: app, ports: [{name: web, containerPort: 1}]}], containers";
    let web_1 = pod("web-1", "app: web", "http").replace("containers", init);
    let finding = only(&[service("app: web", "web"), web_1]);
    check(&finding, "DBG-24", Certainty::Certain, Severity::Fault);
    assert!(
        finding.why.contains("init container setup declares it"),
        "{finding}"
    );
}

/// What a client meets is its own node's proxy, whatever the mode of the others.
#[test]
fn a_client_sees_what_the_mode_of_its_node_makes_of_an_unknown_port() {
    let mut control = cluster(false);
    apply(&mut control, &healthy().concat());
    let mut config = control.proxy_config("node-2").unwrap().clone();
    config.mode = ProxyMode::Nftables;
    control.configure_proxy("node-2", config).unwrap();
    control.restart_proxy("node-2").unwrap();
    let later = control.now() + Duration::from_secs(10);
    run(&mut control, later);
    let sees = |from: Option<&str>| {
        let question = Question {
            from: from.map(|node| Source::Node(node.to_owned())),
            port: Some("8080".parse().unwrap()),
            ..web()
        };
        one(&diagnose(&control, &question)).sees
    };
    assert!(sees(Some("node-1")).contains("leaves the node for nowhere"));
    assert!(sees(Some("node-2")).ends_with("get \"connection refused\", from the node"));
    assert!(sees(None).contains("no answer (iptables), or"));
}

/// DBG-99.
#[test]
fn dbg_25_and_30_the_client_dials_another_port() {
    let at = |port: &str| {
        let port = port.parse().unwrap();
        let ask = |question| Question {
            port: Some(port),
            ..question
        };
        asked(&healthy(), ask)
    };
    let finding = one(&at("8080"));
    check(&finding, "DBG-25", Certainty::Certain, Severity::Fault);
    assert!(finding.sees.contains("no answer"), "iptables: {finding}");
    assert_eq!(
        finding.why,
        "the Service has no port 8080/TCP; it has 80 → http"
    );
    let finding = one(&at("80/UDP"));
    check(&finding, "DBG-30", Certainty::Certain, Severity::Fault);
    assert_eq!(at("80").verdict, Verdict::Healthy);
    for bad in ["", "0", "80/", "80/ICMP", "http"] {
        assert!(
            bad.parse::<switchboard_explain::AskedPort>().is_err(),
            "{bad:?}"
        );
    }
}

#[test]
fn dbg_26_a_client_of_another_namespace() {
    let mut manifests = healthy();
    manifests.push(
        pod("cli", "app: cli", "http").replace("name: cli,", "name: cli, namespace: kube-public,"),
    );
    let client = Source::Pod(ObjectKey::new(Kind::Pod, "kube-public", "cli"));
    let diagnosis = asked(&manifests, from(client));
    assert_eq!(diagnosis.verdict, Verdict::Healthy);
    let finding = one(&diagnosis);
    check(&finding, "DBG-26", Certainty::Certain, Severity::Pitfall);
    assert_eq!(finding.fix, "use the name web.default");
}

#[test]
fn dbg_27_only_the_pod_itself_is_answered() {
    let local = listening(&pod("web-1", "app: web", "http"), "127.0.0.1:8080");
    let finding = only(&[service("app: web", "http"), local]);
    check(&finding, "DBG-27", Certainty::Certain, Severity::Fault);
    assert!(finding.fix.contains("0.0.0.0"));
}

#[test]
fn dbg_30_the_pods_speak_another_protocol() {
    let udp = listening(&pod("web-1", "app: web", "http"), "8080/UDP");
    let finding = only(&[service("app: web", "8080"), udp]);
    check(&finding, "DBG-30", Certainty::Certain, Severity::Fault);
    assert_eq!(finding.fix, "change spec.ports[0].protocol to UDP");
}

fn headless(target: &str) -> String {
    service("app: web", target).replace("spec: {", "spec: {clusterIP: None, ")
}

#[test]
fn dbg_31_nothing_maps_ports_of_a_headless_service() {
    let web_1 = pod("web-1", "app: web", "http");
    let finding = only(&[headless("8080"), web_1.clone()]);
    check(&finding, "DBG-31", Certainty::Likely, Severity::Fault);
    assert!(finding.fix.starts_with("dial port 8080"));
    let listens = listening(&web_1, "80");
    assert_eq!(
        diagnosed(&[headless("8080"), listens]).verdict,
        Verdict::Healthy
    );
}

#[test]
fn dbg_31_a_stateful_sets_members_know_each_others_ports() {
    let set = "
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: db}
spec:
  serviceName: web
  replicas: 1
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: app, image: app, ports: [{name: http, containerPort: 8080}]}]}
";
    let finding = only(&[headless("http"), set.to_owned()]);
    check(&finding, "DBG-31", Certainty::Likely, Severity::Pitfall);
    assert!(finding.fix.starts_with("dial port 8080"), "{finding}");
    let silent = pod("web-1", "app: web", "http").replace(
        "ports: [{name: http, containerPort: 8080}]",
        "command: [app]",
    );
    let finding = only(&[headless("8080"), silent]);
    check(&finding, "DBG-31", Certainty::Possible, Severity::Fault);
}

#[test]
fn dbg_32_the_name_of_a_headless_service_needs_ready_pods() {
    let late = pod("web-1", "app: web", "http").replacen(
        "labels: {",
        "annotations: {switchboard.dev/start-delay: 1h}, labels: {",
        1,
    );
    let probe = "readinessProbe: {tcpSocket: {port: 8080}}, ports: [";
    let late = late.replace("ports: [", probe);
    let finding = only(&[headless("80"), late.clone()]);
    check(&finding, "DBG-32", Certainty::Certain, Severity::Fault);
    assert!(finding.sees.contains("NXDOMAIN"), "{finding}");
    let early = headless("80").replace("spec: {", "spec: {publishNotReadyAddresses: true, ");
    assert_ne!(ids(&diagnosed(&[early, late])), ["DBG-32"]);
}

#[test]
fn dbg_49_is_not_about_the_api_servers_own_service() {
    let question = about("default", "kubernetes");
    let diagnosis = diagnose(&cluster(false), &question);
    assert_eq!(ids(&diagnosis), [""; 0]);
    assert_ne!(diagnosis.verdict, Verdict::Broken);
}

/// EP-18, DNS-28.
#[test]
fn dbg_24_the_name_of_a_headless_service_resolves_without_a_port() {
    let finding = only(&[headless("nosuch"), pod("web-1", "app: web", "http")]);
    assert_eq!(finding.id, "DBG-24");
    assert!(
        finding.sees.contains("resolves, but has no SRV"),
        "{finding}"
    );
}

#[test]
fn dbg_34_no_server_answers_for_names() {
    let mut manifests = healthy();
    manifests.push(
        service("k8s-app: kube-dns", "53")
            .replace("{name: web}", "{name: kube-dns, namespace: kube-system}"),
    );
    let finding = only(&manifests);
    check(&finding, "DBG-34", Certainty::Certain, Severity::Fault);
}

#[test]
fn dbg_36_a_pod_that_asks_elsewhere() {
    let client = |spec: &str| {
        let mut manifests = healthy();
        let spec = format!("spec: {{{spec}, containers");
        manifests.push(pod("cli", "app: cli", "http").replace("spec: {containers", &spec));
        asked(&manifests, from_pod("cli"))
    };
    let finding = one(&client("hostNetwork: true"));
    check(&finding, "DBG-36", Certainty::Certain, Severity::Fault);
    assert!(finding.fix.ends_with("ClusterFirstWithHostNet"));
    let polite = client("hostNetwork: true, dnsPolicy: ClusterFirstWithHostNet");
    assert_eq!(polite.verdict, Verdict::Healthy);
    assert_eq!(one(&client("dnsPolicy: Default")).id, "DBG-36");
}

/// DBG-98: from node-2, which has no endpoint.
#[test]
fn dbg_37_local_policy_without_a_local_endpoint() {
    let local =
        service("app: web", "http").replace("spec: {", "spec: {internalTrafficPolicy: Local, ");
    let here = pod("web-1", "app: web", "http").replace("spec: {", "spec: {nodeName: node-1, ");
    let manifests = [local, here];
    let diagnosis = diagnosed(&manifests);
    assert_eq!(
        diagnosis.verdict,
        Verdict::Healthy,
        "whoever asks may be on node-1"
    );
    let finding = one(&diagnosis);
    check(&finding, "DBG-37", Certainty::Certain, Severity::Pitfall);
    assert!(
        finding
            .why
            .contains("node-2 hosts none of the 1 ready endpoint"),
        "{finding}"
    );
    let at = |node: &str| asked(&manifests, from(Source::Node(node.to_owned())));
    assert_eq!(at("node-1").verdict, Verdict::Healthy);
    let far = one(&at("node-2"));
    check(&far, "DBG-37", Certainty::Certain, Severity::Fault);
    assert!(far.sees.ends_with("get no answer"), "{far}");
}

/// DBG-68, PROXY-15: in IPVS mode the node refuses, or sends to all.
#[test]
fn dbg_37_in_ipvs_mode_it_is_otherwise() {
    let at_node_2 = |kind: &str| {
        let mut control = cluster_with(|config| config.nodes[1].mode = Some(ProxyMode::Ipvs));
        let spec = format!("spec: {{type: {kind}, internalTrafficPolicy: Local, ");
        let local = service("app: web", "http").replace("spec: {", &spec);
        let here = pod("web-1", "app: web", "http").replace("spec: {", "spec: {nodeName: node-1, ");
        apply(&mut control, &(local + &here));
        diagnose(&control, &from(Source::Node("node-2".to_owned()))(web()))
    };
    let refused = one(&at_node_2("ClusterIP"));
    assert!(refused.sees.contains("connection refused"), "{refused}");
    assert_eq!(at_node_2("NodePort").verdict, Verdict::Healthy);
}

#[test]
fn dbg_38_local_policy_for_what_comes_from_outside() {
    let local = service("app: web", "http").replace(
        "spec: {",
        "spec: {type: NodePort, externalTrafficPolicy: Local, ",
    );
    let here = pod("web-1", "app: web", "http").replace("spec: {", "spec: {nodeName: node-1, ");
    let diagnosis = diagnosed(&[local, here]);
    assert_eq!(
        diagnosis.verdict,
        Verdict::Healthy,
        "that is what the policy is for"
    );
    let finding = one(&diagnosis);
    check(&finding, "DBG-38", Certainty::Certain, Severity::Pitfall);
    assert!(
        finding.sees.contains("by way of node-2 get no answer"),
        "{finding}"
    );
}

#[test]
fn dbg_39_a_pod_calls_its_own_service() {
    let finding = one(&asked(&healthy(), from_pod("web-1")));
    check(&finding, "DBG-39", Certainty::Possible, Severity::Pitfall);
    let mut flat = cluster_with(|config| config.network.hairpin = false);
    apply(&mut flat, &healthy().concat());
    let diagnosis = diagnose(&flat, &from_pod("web-1")(web()));
    check(
        &one(&diagnosis),
        "DBG-39",
        Certainty::Certain,
        Severity::Fault,
    );
    assert!(finding.sees.starts_with("1 of 2 connections"), "{finding}");
}

#[test]
fn dbg_43_pods_of_another_sort() {
    let job = pod("migrate", "app: web", "http").replace("8080", "9999");
    let owned = "ownerReferences: [{apiVersion: batch/v1, kind: Job, name: migrate, uid: x, controller: true}], labels: {";
    let job = job.replacen("labels: {", owned, 1);
    let job_object = "
---
apiVersion: batch/v1
kind: Job
metadata: {name: migrate, uid: x}
spec: {template: {spec: {restartPolicy: Never, containers: [{name: app, image: app}]}}}
";
    let mut manifests = healthy();
    manifests.extend([job_object.to_owned(), job]);
    let diagnosis = diagnosed(&manifests);
    let found = diagnosis.findings.first();
    check(
        found.expect("the Job is found"),
        "DBG-43",
        Certainty::Possible,
        Severity::Pitfall,
    );
}

#[test]
fn dbg_44_affinity_is_told() {
    let mut manifests = healthy();
    manifests[0] = manifests[0].replace("spec: {", "spec: {sessionAffinity: ClientIP, ");
    let finding = only(&manifests);
    check(&finding, "DBG-44", Certainty::Certain, Severity::Pitfall);
    assert!(finding.why.contains("10800 s"), "{finding}");
}

#[test]
fn dbg_48_an_alias_is_only_a_name() {
    let alias = |target: &str| {
        let spec = format!("spec: {{type: ExternalName, externalName: {target}");
        let text = service("app: web", "8080").replace("spec: {selector: {app: web}", &spec);
        diagnosed(&[text])
    };
    let address = alias("192.0.2.7");
    assert_eq!(address.verdict, Verdict::Broken);
    assert!(
        address.findings[0].why.contains("is an address"),
        "{address}"
    );
    let inner = alias("db.prod.svc.cluster.local");
    assert_eq!(inner.verdict, Verdict::Broken);
    assert!(inner.findings[0].why.contains("service/prod/db"), "{inner}");
    let outer = alias("db.example.com");
    assert_eq!(
        outer.verdict,
        Verdict::Unknown,
        "nobody knows what is there"
    );
    assert_eq!(ids(&outer), ["DBG-48"], "ports are not mapped");
}

#[test]
fn dbg_51_a_family_that_no_pod_has() {
    let mut control = cluster_with(|config| {
        config
            .service_cidrs
            .push("fd00:10:96::/112".parse().unwrap());
    });
    let policy = "spec: {ipFamilyPolicy: RequireDualStack, ";
    let mut manifests = healthy();
    manifests[0] = manifests[0].replace("spec: {", policy);
    apply(&mut control, &manifests.concat());
    let finding = one(&diagnose(&control, &web()));
    check(&finding, "DBG-51", Certainty::Certain, Severity::Fault);
    assert!(
        finding.sees.contains("over IPv6 at fd00:10:96::"),
        "{finding}"
    );
}

/// DNS-22.
#[test]
fn dbg_51_a_headless_name_lacks_a_record() {
    let mut control = cluster_with(|config| {
        config
            .service_cidrs
            .push("fd00:10:96::/112".parse().unwrap());
    });
    let policy = "spec: {clusterIP: None, ipFamilyPolicy: RequireDualStack, ";
    let mut manifests = healthy();
    manifests[0] = service("app: web", "80").replace("spec: {", policy);
    apply(&mut control, &manifests.concat());
    let finding = one(&diagnose(&control, &web()));
    check(&finding, "DBG-51", Certainty::Certain, Severity::Pitfall);
    assert_eq!(finding.sees, "The name of default/web has no AAAA record");
}

#[test]
fn dbg_52_from_outside_of_the_cluster() {
    let laptop = || from(Source::Outside("laptop".to_owned()));
    let finding = one(&asked(&healthy(), laptop()));
    check(&finding, "DBG-52", Certainty::Certain, Severity::Fault);
    let mut manifests = healthy();
    manifests[0] = manifests[0].replace("spec: {", "spec: {type: NodePort, ");
    assert_eq!(asked(&manifests, laptop()).verdict, Verdict::Healthy);
}

#[test]
fn dbg_53_the_load_balancer_never_comes() {
    let mut manifests = healthy();
    manifests[0] = manifests[0].replace("spec: {", "spec: {type: LoadBalancer, ");
    let diagnosis = diagnosed(&manifests);
    assert_eq!(diagnosis.verdict, Verdict::Healthy, "the ClusterIP works");
    let finding = one(&diagnosis);
    check(&finding, "DBG-53", Certainty::Certain, Severity::Pitfall);
    assert_eq!(finding.confirm[0].prints.as_deref(), Some("<pending>"));
}

/// EP-60: the nodes have no zones, so no endpoint has a hint.
#[test]
fn dbg_54_hints_are_wanted_and_absent() {
    for (wish, is_advised) in [
        ("spec: {trafficDistribution: PreferSameZone, ", false),
        ("spec: {", true),
    ] {
        let mut manifests = healthy();
        manifests[0] = manifests[0].replace("spec: {", wish);
        if is_advised {
            let annotated = "name: web, annotations: {service.kubernetes.io/topology-mode: Auto}";
            manifests[0] = manifests[0].replace("name: web", annotated);
        }
        let finding = only(&manifests);
        check(&finding, "DBG-54", Certainty::Certain, Severity::Pitfall);
        assert!(
            finding.fix.contains("topology.kubernetes.io/zone"),
            "{finding}"
        );
        let advice = finding.fix.contains("use spec.trafficDistribution instead");
        assert_eq!(advice, is_advised, "{finding}");
        let zoneless = finding.why.contains("without a zone");
        assert!(zoneless || is_advised, "{finding}");
    }
}

/// A Pod whose status nobody but the manifest writes.
fn pinned(name: &str, node: &str, status: &str) -> String {
    pod(name, "app: web", "http")
        .replacen(
            "labels: {",
            "annotations: {switchboard.dev/status: pinned}, labels: {",
            1,
        )
        .replace("spec: {", &format!("spec: {{nodeName: {node}, "))
        + status
}

#[test]
fn dbg_55_two_pods_with_one_address() {
    let ready = "status: {phase: Running, podIP: 10.244.1.9, conditions: [{type: Ready, status: \"True\"}]}\n";
    let pods = [
        pinned("web-1", "node-1", ready),
        pinned("web-2", "node-1", ready),
    ];
    let finding = only(&[service("app: web", "http"), pods.concat()]);
    check(&finding, "DBG-55", Certainty::Likely, Severity::Fault);
    assert!(finding.sees.contains("10.244.1.9"), "{finding}");
}

/// DBG-81: they match, and are no endpoints all the same.
#[test]
fn dbg_56_pods_that_have_run_to_their_end() {
    let done = "status: {phase: Succeeded, podIP: 10.244.1.9}\n";
    let finding = only(&[service("app: web", "http"), pinned("web-1", "node-1", done)]);
    check(&finding, "DBG-56", Certainty::Certain, Severity::Fault);
    assert!(
        finding.why.contains("run to the end (Succeeded)"),
        "{finding}"
    );
}

#[test]
fn dbg_57_the_node_is_not_known() {
    let ready = "status: {phase: Running, podIP: 10.244.1.9, conditions: [{type: Ready, status: \"True\"}]}\n";
    let diagnosis = diagnosed(&[
        service("app: web", "http"),
        pinned("web-1", "node-9", ready),
    ]);
    check(
        &diagnosis.findings[0],
        "DBG-57",
        Certainty::Certain,
        Severity::Fault,
    );
}

/// EP-58: a Pod that was listed before its Node went is still reached.
#[test]
fn dbg_57_is_not_about_pods_that_are_listed() {
    let mut control = cluster(false);
    let healthy = service("app: web", "http") + &pod("web-1", "app: web", "http");
    apply(&mut control, &healthy);
    let pod = ObjectKey::new(Kind::Pod, "default", "web-1");
    let pod = control.api().get(&pod).unwrap();
    let node = pod.as_pod().unwrap().spec.node_name.clone();
    control
        .delete(&ObjectKey::new(Kind::Node, "", &node))
        .unwrap();
    let later = control.now() + Duration::from_secs(5);
    run(&mut control, later);
    let diagnosis = diagnose(&control, &web());
    assert_eq!(diagnosis.verdict, Verdict::Healthy, "{diagnosis}");
}

/// DBG-61, DBG-65: the first broken hop first, what else is wrong after it.
#[test]
fn dbg_65_later_faults_are_told_as_well() {
    let probe = "readinessProbe: {tcpSocket: {port: 8081}}, ports: [";
    let unready = pod("web-1", "app: web", "http").replace("ports: [", probe);
    let diagnosis = diagnosed(&[service("app: web", "web"), unready]);
    assert_eq!(ids(&diagnosis), ["DBG-22", "DBG-24"]);
    assert!(diagnosis.to_string().contains("\nalso:"));
}

/// DBG-62: that names do not resolve is told apart from what becomes of connections.
#[test]
fn dbg_62_names_are_a_branch_of_their_own() {
    let mut manifests = vec![
        service("app: wep", "http"),
        pod("web-1", "app: web", "http"),
    ];
    manifests.push(
        pod("cli", "app: cli", "http")
            .replace("spec: {containers", "spec: {dnsPolicy: Default, containers"),
    );
    let diagnosis = asked(&manifests, from_pod("cli"));
    assert_eq!(ids(&diagnosis), ["DBG-21", "DBG-36"]);
}

/// What is asked of a Service that is not there is told of its name.
#[test]
fn dbg_28_nearest_name() {
    let mut control = cluster(false);
    apply(&mut control, &healthy().concat());
    let finding = one(&diagnose(&control, &about("default", "wbe")));
    check(&finding, "DBG-28", Certainty::Certain, Severity::Fault);
}
