//! What is said about a Service, and when it is healthy.

mod support;

use std::time::Duration;

use api::{Kind, ObjectKey};
use control::Fault;
use switchboard_explain::{
    Certainty, Diagnosis, Finding, Question, Verdict, diagnose, diagnose_objects, services,
};

use support::{about, apply, cluster, cluster_with, diagnosed, one, only, pod, run, service, web};

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
  Clients of default/web get "connection refused", from the node and not from a Pod, because it has no endpoint.
  Why: the Service selects app=web,tier=fe, and 0 of 4 Pods match: 3 Pods (web-1, web-2, web-3) have tier=frontend.
  Fix: change spec.selector.tier to frontend, or the Pods' label tier to fe.
  Where: service/default/web, spec.selector.tier
  Confirm: kubectl get endpoints web -n default → <none>
  Confirm: kubectl get pods -l app=web,tier=fe -n default → No resources found in default namespace.
  Confirm: kubectl get pods --show-labels -n default
  (certain) [DBG-21]"#,
    );
}

#[test]
fn dbg_78_right_labels_wrong_namespace() {
    let there = pod("web-1", "app: web", "http")
        .replace("name: web-1,", "name: web-1, namespace: kube-public,");
    let finding = only(&[service("app: web", "8080"), there]);
    assert_eq!(
        (finding.id, finding.field.as_deref()),
        ("DBG-21", Some("spec.selector"))
    );
    assert!(
        finding
            .why
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
    let finding = only(&[service("app: web", "http"), unready]);
    assert_eq!(
        (finding.id, finding.certainty),
        ("DBG-22", Certainty::Certain)
    );
    assert_eq!(finding.subject.to_string(), "pod/default/web-1");
    assert_eq!(
        finding.why,
        "1 Pod matches, 0 ready: web-1 has Ready=False since 2026-01-01T00:00:05Z, \
         reason ContainersNotReady"
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
  Clients of default/web get "connection refused", from the node and not from a Pod, because it has no endpoint.
  Why: targetPort "http" (TCP) is not declared by web-1, web-2, which declare "web" (8080/TCP).
  Fix: change spec.ports[0].targetPort to web.
  Where: service/default/web, spec.ports[0].targetPort
  Confirm: kubectl get endpointslices -l kubernetes.io/service-name=web -n default → <unset>
  Confirm: kubectl get pod web-1 -o jsonpath='{.spec.containers[*].ports}' -n default
  (certain) [DBG-24]"#,
    );
}

#[test]
fn dbg_97_some_declare_the_target_port() {
    let pods = [
        pod("web-1", "app: web", "http"),
        pod("web-2", "app: web", "web"),
    ];
    let finding = only(&[service("app: web", "http"), pods.concat()]);
    assert!(finding.sees.ends_with("port 80 reach only web-1"));
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
    let ask = |namespace, name| one(&diagnose(&control, &about(namespace, name)));
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
            .why
            .ends_with("no Service wbe, only kubernetes, web"),
        "{}",
        finding.why
    );
    let finding = ask("shop", "cart");
    assert!(
        finding.why.ends_with("there is no namespace shop"),
        "{}",
        finding.why
    );
}

#[test]
fn dbg_42_a_node_that_has_not_heard() {
    let mut control = cluster(true);
    apply(
        &mut control,
        &(service("app: web", "http") + &pod("web-1", "app: web", "http")),
    );
    let finding = one(&diagnose(&control, &web()));
    assert_eq!(
        (finding.id, finding.subject.to_string().as_str()),
        ("DBG-42", "node/node-2")
    );
    assert!(
        finding
            .why
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
    control.delete(&web().service).unwrap();
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

/// What changed this instant cannot be in any node's rules, and no proxy is to blame.
#[test]
fn dbg_42_a_sync_that_may_still_come_is_no_trouble() {
    // Node-2 hears of what happens three seconds later, and then it hangs.
    let mut control = cluster_with(|config| config.nodes[1].watch = Some(Duration::from_secs(3)));
    apply(&mut control, &service("app: web", "http"));
    let later = control.now() + Duration::from_secs(3600);
    run(&mut control, later);
    control.delete(&web().service).unwrap();
    let node = "node-2".to_owned();
    control.fault(Fault::ProxyStall { node }, None).unwrap();
    for (wait, certainty, blames) in [
        (Duration::ZERO, Certainty::Likely, false),
        (Duration::from_millis(4_000), Certainty::Likely, false),
        (Duration::from_millis(4_200), Certainty::Certain, true),
    ] {
        let at = later + wait;
        run(&mut control, at);
        let findings = diagnose(&control, &web()).findings;
        let found = |one: &&Finding| one.id == "DBG-42" && one.subject.name == "node-2";
        let finding = findings.iter().find(found).expect("its rules are old");
        assert_eq!(finding.certainty, certainty, "{wait:?}: {finding}");
        let advice = finding.fix.contains("restart kube-proxy");
        assert_eq!(advice, blames, "{wait:?}: {finding}");
    }
}

#[test]
fn dbg_42_also_of_node_ports_and_external_addresses() {
    for spec in ["type: NodePort, ", "externalIPs: [192.0.2.1], "] {
        let mut control = cluster(true);
        let plain = service("app: web", "http");
        apply(
            &mut control,
            &(plain.clone() + &pod("web-1", "app: web", "http")),
        );
        let later = control.now() + Duration::from_secs(3600);
        run(&mut control, later);
        assert_eq!(diagnose(&control, &web()).verdict, Verdict::Healthy);
        let changed = plain.replace("spec: {", &format!("spec: {{{spec}"));
        apply(&mut control, &changed);
        let finding = one(&diagnose(&control, &web()));
        assert_eq!(finding.id, "DBG-42", "{spec}");
    }
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
    let finding = only(&[two_ports, pod("web-1", "app: web", "http")]);
    assert_eq!(finding.field.as_deref(), Some("spec.ports[1].targetPort"));
    assert!(
        finding.sees.starts_with(
            "Clients of default/web port 81 (admin) get \"connection refused\", from the node"
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
    let finding = only(&[two_ports]);
    assert_eq!(
        (finding.id, finding.field.as_deref()),
        ("DBG-33", Some("ports"))
    );
    assert_eq!(
        finding.why,
        "ports of slices belong to the Service's port of the same name, and EndpointSlice web-x has none of the name \
         admin: there is nothing to send port 81 (admin) of the Service to"
    );
}

#[test]
fn what_is_no_service_is_unknown() {
    let control = cluster(false);
    let node = Question::about(ObjectKey::new(Kind::Node, "", "node-1"));
    assert_eq!(diagnose(&control, &node).verdict, Verdict::Unknown);
}

#[test]
fn all_services_but_the_api_servers_own_are_somebodys() {
    let mut control = cluster(false);
    apply(&mut control, &service("app: web", "8080"));
    assert_eq!(services(control.api()), [web().service]);
}

#[test]
fn dbg_29_what_is_not_simulated_is_unknown() {
    let meshed = pod("web-1", "app: web", "http").replace(
        "containers: [",
        "containers: [{name: istio-proxy, image: proxy}, ",
    );
    let diagnosis = diagnosed(&[service("app: web", "http"), meshed]);
    assert_eq!(diagnosis.verdict, Verdict::Unknown);
    assert!(diagnosis.summary.contains("istio-proxy"), "{diagnosis}");
    let label = "{name: web, labels: {service.kubernetes.io/service-proxy-name: other}}";
    let other = service("app: web", "http").replace("{name: web}", label);
    let diagnosis = diagnosed(&[other, pod("web-1", "app: web", "http")]);
    assert_eq!(diagnosis.verdict, Verdict::Unknown);
}

/// A policy without a selector is about every Pod of its namespace; one of another namespace about none here.
#[test]
fn dbg_29_a_network_policy_on_the_pods_makes_the_answer_unknown() {
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
        let diagnosis = diagnose(&control, &web());
        assert_eq!(diagnosis.verdict, expected, "{namespace} {selector}");
    }
    assert!(
        diagnose(&control, &web())
            .summary
            .contains("NetworkPolicy guard")
    );
    // DBG-63: with the objects that it is about.
    let finding = one(&diagnose(&control, &web()));
    assert_eq!(
        (finding.id, finding.certainty),
        ("DBG-29", Certainty::Possible)
    );
    assert_eq!(finding.subject.to_string(), "networkpolicy/default/guard");
    // Only of those that it selects, and only if it has a say in who comes in.
    apply(&mut control, &pod("b", "app: web, tier: x", "http"));
    apply(&mut control, &policy("default", "{matchLabels: {tier: x}}"));
    let finding = one(&diagnose(&control, &web()));
    assert!(
        finding.why.contains("Pods of the Service (b),"),
        "{finding}"
    );
    let egress = policy("default", "{}").replace("spec: {", "spec: {policyTypes: [Egress], ");
    apply(&mut control, &egress);
    let diagnosis = diagnose(&control, &web());
    assert_eq!(diagnosis.verdict, Verdict::Healthy, "{diagnosis}");
    apply(&mut control, &service("app: wep", "http"));
    assert_eq!(diagnose(&control, &web()).verdict, Verdict::Broken);
}

/// PROXY-8: who ends takes nothing while others are ready.
#[test]
fn pods_that_end_do_not_count_beside_others() {
    let mut control = cluster(false);
    let slow = "annotations: {switchboard.dev/on-term: drain, switchboard.dev/listen: \"9999\"}, labels: {";
    let old = pod("web-1", "app: web", "http").replacen("labels: {", slow, 1);
    let new = pod("web-2", "app: web", "http");
    apply(&mut control, &(service("app: web", "http") + &old + &new));
    assert_eq!(
        diagnose(&control, &web()).verdict,
        Verdict::Broken,
        "web-1 refuses"
    );
    let old = ObjectKey::new(Kind::Pod, "default", "web-1");
    control.delete(&old).unwrap();
    let later = control.now() + Duration::from_secs(3);
    run(&mut control, later);
    assert!(control.api().get(&old).is_some(), "it has not ended yet");
    let diagnosis = diagnose(&control, &web());
    assert_eq!(diagnosis.verdict, Verdict::Healthy, "{diagnosis}");
    assert!(
        diagnosis.summary.contains("1 endpoint takes"),
        "{diagnosis}"
    );
}
