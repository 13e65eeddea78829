//! Small broken clusters, and what is said about them.

use std::time::Duration;

use api::yaml::{Source, split};
use api::{Kind, ObjectKey, decode};
use base::{Seed, SimTime};
use control::{
    ClusterConfig, Control, NetworkConfig, NodeConfig, ProxyMode, ProxySettings, TimingConfig,
    WriteVerb,
};
use switchboard_explain::{Certainty, Diagnosis, Verdict, diagnose, diagnose_objects};

/// Two nodes; node-2 hears of changes after an hour if `partitioned`.
fn cluster(partitioned: bool) -> Control {
    let node = |n: u8| NodeConfig {
        name: format!("node-{n}"),
        zone: None,
        addresses: vec![[192, 168, 10, n].into()],
        pod_cidrs: vec![format!("10.244.{n}.0/24").parse().unwrap()],
        watch: (partitioned && n == 2).then_some(Duration::from_secs(3600)),
        ..NodeConfig::default()
    };
    Control::new(ClusterConfig {
        seed: Seed::new(7),
        service_cidrs: vec!["10.96.0.0/16".parse().unwrap()],
        pod_cidrs: vec!["10.244.0.0/16".parse().unwrap()],
        node_port_range: 30_000..=32_767,
        load_balancer_pool: Vec::new(),
        dns_domain: "cluster.local".to_owned(),
        dns: false,
        mode: ProxyMode::Iptables,
        proxy: ProxySettings::default(),
        nodes: vec![node(1), node(2)],
        state: Vec::new(),
        outside: Vec::new(),
        network: NetworkConfig::default(),
        timing: TimingConfig::default(),
    })
    .unwrap()
}

fn apply(control: &mut Control, manifests: &str) {
    for document in split(&Source::new("cluster", manifests)).unwrap() {
        for manifest in decode(&document).unwrap() {
            control.write(WriteVerb::Apply, manifest.object).unwrap();
        }
    }
    run(control, control.now() + Duration::from_secs(60));
}

fn run(control: &mut Control, until: SimTime) {
    while control.next_event_at().is_some_and(|at| at <= until) {
        control.step();
    }
    control.advance_clock(until);
}

/// A Service `default/web`, port 80 to `target`.
fn service(selector: &str, target: &str) -> String {
    format!(
        "
---
apiVersion: v1
kind: Service
metadata: {{name: web}}
spec: {{selector: {{{selector}}}, ports: [{{name: http, port: 80, targetPort: {target}}}]}}
"
    )
}

/// A Pod that declares port 8080 under a name.
fn pod(name: &str, labels: &str, port_name: &str) -> String {
    format!(
        "
---
apiVersion: v1
kind: Pod
metadata: {{name: {name}, labels: {{{labels}}}}}
spec: {{containers: [{{name: app, image: app, ports: [{{name: {port_name}, containerPort: 8080}}]}}]}}
"
    )
}

fn web() -> ObjectKey {
    ObjectKey::new(Kind::Service, "default", "web")
}

fn diagnosed(manifests: &[String]) -> Diagnosis {
    let mut control = cluster(false);
    apply(&mut control, &manifests.concat());
    diagnose(&control, &web())
}

#[track_caller]
fn check(diagnosis: &Diagnosis, expected: &str) {
    assert_eq!(diagnosis.to_string(), expected.trim_start());
}

#[test]
fn dbg_100_healthy() {
    let pods = [
        pod("web-1", "app: web", "http"),
        pod("web-2", "app: web", "http"),
    ];
    let diagnosis = diagnosed(&[service("app: web", "http"), pods.concat()]);
    assert_eq!(diagnosis.verdict, Verdict::Healthy, "{diagnosis}");
    check(
        &diagnosis,
        "service/default/web: healthy
  No fault found in API objects and rules: 2 endpoints take connections (10.244.1.2, 10.244.2.2).",
    );
}

#[test]
fn dbg_21_the_selector_matches_nothing() {
    let labels = "app: web, tier: frontend";
    let pods: Vec<String> = ["web-1", "web-2", "web-3"]
        .iter()
        .map(|name| pod(name, labels, "http"))
        .collect();
    let other = pod("db-1", "app: db", "http");
    let diagnosis = diagnosed(&[service("app: web, tier: fe", "8080"), pods.concat(), other]);
    check(
        &diagnosis,
        r#"
service/default/web: broken
  Clients of default/web get "connection refused", because it has no endpoint: it selects app=web,tier=fe, and 0 of 4 Pods match: 3 Pods (web-1, web-2, web-3) have tier=frontend.
  Suggested: change spec.selector.tier to frontend
  Where: service/default/web, spec.selector.tier
  Confirm: kubectl -n default get pods -l app=web,tier=fe
  Confirm: kubectl -n default get pods --show-labels
  (certain) [DBG-21]"#,
    );
}

#[test]
fn dbg_78_right_labels_wrong_namespace() {
    let there = pod("web-1", "app: web", "http")
        .replace("name: web-1,", "name: web-1, namespace: kube-public,");
    let diagnosis = diagnosed(&[service("app: web", "8080"), there]);
    let [finding] = &diagnosis.findings[..] else {
        panic!("{diagnosis}")
    };
    assert_eq!(
        (finding.id, finding.field.as_deref()),
        ("DBG-21", Some("spec.selector"))
    );
    assert!(
        finding
            .summary
            .contains("Pods of namespace kube-public have these labels")
    );
}

#[test]
fn dbg_22_no_pod_is_ready() {
    let unready = pod("web-1", "app: web", "http").replace(
        "labels: {",
        "annotations: {switchboard.dev/status: pinned}, labels: {",
    ) + "status:
  phase: Running
  podIP: 10.244.1.5
  conditions:
  - {type: Ready, status: \"False\", lastTransitionTime: \"2026-01-01T00:00:05Z\", reason: ContainersNotReady}
";
    let unready = unready.replace("spec: {containers", "spec: {nodeName: node-1, containers");
    let diagnosis = diagnosed(&[service("app: web", "http"), unready]);
    let [finding] = &diagnosis.findings[..] else {
        panic!("{diagnosis}")
    };
    assert_eq!(
        (finding.id, finding.certainty),
        ("DBG-22", Certainty::Certain)
    );
    assert_eq!(finding.subject.to_string(), "pod/default/web-1");
    assert_eq!(
        finding.summary,
        "Clients of default/web get \"connection refused\", because it has no endpoint: \
         1 Pod matches, 0 ready: web-1 has Ready=False since 2026-01-01T00:00:05Z, \
         reason ContainersNotReady."
    );
}

/// EP-18, EP-19.
#[test]
fn dbg_24_nobody_declares_the_target_port() {
    let pods = [
        pod("web-1", "app: web", "web"),
        pod("web-2", "app: web", "web"),
    ];
    let diagnosis = diagnosed(&[service("app: web", "http"), pods.concat()]);
    check(
        &diagnosis,
        r#"
service/default/web: broken
  Clients of default/web get "connection refused", because it has no endpoint: targetPort "http" (TCP) is not declared by web-1, web-2, which declare "web" (8080/TCP).
  Suggested: change spec.ports[0].targetPort to web
  Where: service/default/web, spec.ports[0].targetPort
  Confirm: kubectl -n default get endpointslices -l kubernetes.io/service-name=web
  Confirm: kubectl -n default get pod web-1 -o jsonpath='{.spec.containers[*].ports}'
  (certain) [DBG-24]"#,
    );
}

#[test]
fn dbg_97_some_declare_the_target_port() {
    let pods = [
        pod("web-1", "app: web", "http"),
        pod("web-2", "app: web", "web"),
    ];
    let diagnosis = diagnosed(&[service("app: web", "http"), pods.concat()]);
    let [finding] = &diagnosis.findings[..] else {
        panic!("{diagnosis}")
    };
    assert!(
        finding
            .summary
            .starts_with("Traffic to default/web port 80 reaches only web-1:")
    );
    assert!(
        finding
            .fix
            .contains("name the container port of web-2 \"http\""),
        "{}",
        finding.fix
    );
}

#[test]
fn dbg_26_and_28_there_is_no_such_service() {
    let mut control = cluster(false);
    apply(&mut control, &service("app: web", "8080"));
    let ask = |namespace, name| {
        let key = ObjectKey::new(Kind::Service, namespace, name);
        let mut findings = diagnose(&control, &key).findings;
        assert_eq!(findings.len(), 1);
        findings.remove(0)
    };
    let finding = ask("kube-public", "web");
    assert_eq!(finding.id, "DBG-26");
    assert_eq!(
        finding.fix,
        "use the name web.default or web.default.svc.cluster.local"
    );
    let finding = ask("default", "wbe");
    assert_eq!(finding.id, "DBG-28");
    assert_eq!(finding.fix, "use the name web, if that is meant");
    assert!(
        finding
            .summary
            .ends_with("no Service wbe, only kubernetes, web."),
        "{}",
        finding.summary
    );
    let finding = ask("shop", "cart");
    assert!(
        finding.summary.ends_with("there is no namespace shop."),
        "{}",
        finding.summary
    );
}

#[test]
fn dbg_42_a_node_that_has_not_heard() {
    let mut control = cluster(true);
    apply(
        &mut control,
        &(service("app: web", "http") + &pod("web-1", "app: web", "http")),
    );
    let diagnosis = diagnose(&control, &web());
    let [finding] = &diagnosis.findings[..] else {
        panic!("{diagnosis}")
    };
    assert_eq!(
        (finding.id, finding.subject.to_string().as_str()),
        ("DBG-42", "node/node-2")
    );
    assert!(
        finding
            .summary
            .contains("its rules are those of resourceVersion"),
        "{finding}"
    );
    assert_eq!(
        diagnose_objects(control.api(), &web()).verdict,
        Verdict::Healthy
    );
    let later = control.now() + Duration::from_secs(3600);
    run(&mut control, later);
    assert_eq!(diagnose(&control, &web()).verdict, Verdict::Healthy);
    apply(&mut control, &pod("web-2", "app: web", "http"));
    assert_eq!(diagnose(&control, &web()).findings.len(), 1);
    control.delete(&web()).unwrap();
    let ids: Vec<_> = diagnose(&control, &web())
        .findings
        .iter()
        .map(|one| one.id)
        .collect();
    assert_eq!(
        ids,
        ["DBG-28", "DBG-42", "DBG-42"],
        "node-1 has not heard of this either"
    );
}

#[test]
fn what_no_proxy_reads_makes_no_rules_old() {
    let mut control = cluster(true);
    apply(
        &mut control,
        &(service("app: web", "http") + &pod("web-1", "app: web", "http")),
    );
    let later = control.now() + Duration::from_secs(3600);
    run(&mut control, later);
    let labelled =
        service("app: web", "http").replace("{name: web}", "{name: web, labels: {a: b}}");
    apply(&mut control, &labelled);
    assert_eq!(diagnose(&control, &web()).verdict, Verdict::Healthy);
}

#[test]
fn a_broken_port_is_named_and_does_not_condemn_the_others() {
    let two_ports = service("app: web", "http").replace(
        "targetPort: http}",
        "targetPort: http}, {name: admin, port: 81, targetPort: nosuch}",
    );
    let diagnosis = diagnosed(&[two_ports, pod("web-1", "app: web", "http")]);
    let [finding] = &diagnosis.findings[..] else {
        panic!("{diagnosis}")
    };
    assert_eq!(finding.field.as_deref(), Some("spec.ports[1].targetPort"));
    assert!(
        finding.summary.starts_with(
            "Clients of default/web port 81 (admin) get \"connection refused\", because that port has no endpoint:"
        ),
        "{finding}"
    );
}

/// A Service `default/web` without a selector, and a slice of somebody's own for the port of that name.
fn manual(port: &str) -> String {
    service("app: web", "8080").replace("selector: {app: web}, ", "")
        + &format!(
            "
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {{name: web-x, labels: {{kubernetes.io/service-name: web}}}}
addressType: IPv4
ports: [{{name: {port}, port: 8080, protocol: TCP}}]
endpoints: [{{addresses: [203.0.113.99]}}, {{addresses: [203.0.113.98]}}]
"
        )
}

#[test]
fn what_slices_of_others_say_is_not_taken_for_certain() {
    check(
        &diagnosed(&[manual("http")]),
        "service/default/web: healthy
  No fault found in API objects and rules: 2 endpoints are ready according to the slices (203.0.113.98, 203.0.113.99).",
    );
}

/// EP-41.
#[test]
fn a_port_that_no_slice_serves_is_named() {
    let two_ports = manual("http").replace(
        "targetPort: 8080}",
        "targetPort: 8080}, {name: admin, port: 81, targetPort: 8081}",
    );
    check(
        &diagnosed(&[two_ports]),
        "service/default/web: cannot tell
  its endpoints are not written by Kubernetes (it has no selector), and no EndpointSlice has one for port 81 (admin); port 80 (http) has some",
    );
    assert_eq!(diagnosed(&[manual("htp")]).verdict, Verdict::Unknown);
}

#[test]
fn what_is_not_diagnosed_is_unknown() {
    let mut control = cluster(false);
    let headless = service("app: web", "8080").replace("spec: {", "spec: {clusterIP: None, ");
    apply(&mut control, &headless);
    assert_eq!(diagnose(&control, &web()).verdict, Verdict::Unknown);
    let node = ObjectKey::new(Kind::Node, "", "node-1");
    assert_eq!(diagnose(&control, &node).verdict, Verdict::Unknown);
    let bare = service("app: web", "8080")
        .replace("selector: {app: web}, ", "")
        .replace("name: web}", "name: bare}");
    apply(&mut control, &bare);
    let key = ObjectKey::new(Kind::Service, "default", "bare");
    assert_eq!(diagnose(&control, &key).verdict, Verdict::Unknown);
}

/// A policy without a selector is about every Pod of its namespace; one of another namespace about none here.
#[test]
fn a_network_policy_on_the_pods_makes_the_answer_unknown() {
    let mut control = cluster(false);
    let policy = |namespace: &str, selector: &str| {
        format!(
            "
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {{name: guard, namespace: {namespace}}}
spec: {{podSelector: {selector}}}
"
        )
    };
    let healthy = service("app: web", "http") + &pod("a", "app: web", "http");
    apply(&mut control, &healthy);
    let key = ObjectKey::new(Kind::Service, "default", "web");
    for (namespace, selector, expected) in [
        ("kube-public", "{}", Verdict::Healthy),
        ("default", "{matchLabels: {app: other}}", Verdict::Healthy),
        ("default", "{}", Verdict::Unknown),
        (
            "default",
            "{matchExpressions: [{key: app, operator: In, values: [web]}]}",
            Verdict::Unknown,
        ),
    ] {
        apply(&mut control, &policy(namespace, selector));
        let diagnosis = diagnose(&control, &key);
        assert_eq!(diagnosis.verdict, expected, "{namespace} {selector}");
    }
    assert!(
        diagnose(&control, &key)
            .summary
            .contains("NetworkPolicy guard")
    );
    apply(&mut control, &service("app: wep", "http"));
    assert_eq!(diagnose(&control, &key).verdict, Verdict::Broken);
}
