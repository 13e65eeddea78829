//! Slices that somebody else than the EndpointSlice controller writes, and what is found.

mod support;

use std::time::Duration;

use api::{Kind, ObjectKey};
use switchboard_explain::{Certainty, Finding, Severity, Verdict, diagnose};

use support::{apply, cluster, cluster_with, diagnosed, one, only, pod, run, service, web};

#[track_caller]
fn check(finding: &Finding, id: &str, certainty: Certainty, severity: Severity) {
    let seen = (finding.id, finding.certainty, finding.severity);
    assert_eq!(seen, (id, certainty, severity), "{finding}");
}

fn slice(name: &str, labels: &str, port: &str) -> String {
    format!(
        "
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {{name: {name}, labels: {{{labels}}}}}
addressType: IPv4
ports: [{{name: {port}, port: 8080}}]
endpoints: [{{addresses: [203.0.113.99]}}]
"
    )
}

fn bare() -> String {
    service("app: web", "8080").replace("selector: {app: web}, ", "")
}

/// A slice of somebody's own for the Service without a selector.
fn of_bare(replaced: &str, by: &str) -> Finding {
    let slice = slice("web-x", "kubernetes.io/service-name: web", "http");
    assert!(slice.contains(replaced), "{slice}");
    only(&[bare(), slice.replace(replaced, by)])
}

#[test]
fn dbg_33_ports_go_together_by_name() {
    let finding = only(&[
        bare(),
        slice("web-x", "kubernetes.io/service-name: web", "htp"),
    ]);
    check(&finding, "DBG-33", Certainty::Certain, Severity::Fault);
    assert!(
        finding.why.contains("\"http\"") && finding.why.contains("\"htp\""),
        "{finding}"
    );
}

/// PROXY-4.
#[test]
fn dbg_33_ports_go_together_by_protocol() {
    let labels = "kubernetes.io/service-name: web";
    let udp = slice("web-x", labels, "http").replace("port: 8080", "port: 8080, protocol: UDP");
    let finding = only(&[bare(), udp]);
    check(&finding, "DBG-33", Certainty::Certain, Severity::Fault);
    assert_eq!(finding.field.as_deref(), Some("ports[0].protocol"));
    assert!(finding.fix.ends_with("to TCP"), "{finding}");
}

/// EP-19, DBG-16, DBG-64.
#[test]
fn dbg_33_a_slice_without_ports() {
    let finding = of_bare("[{name: http, port: 8080}]", "[]");
    check(&finding, "DBG-33", Certainty::Certain, Severity::Fault);
    assert!(finding.why.contains("web-x has no ports"), "{finding}");
    assert!(finding.fix.contains("a port named http"), "{finding}");
}

#[test]
fn dbg_49_a_slice_of_another_family_is_not_read() {
    for (family, address) in [("IPv6", "\"fd00::9\""), ("FQDN", "example.com")] {
        let other = slice("web-x", "kubernetes.io/service-name: web", "http")
            .replace("IPv4", family)
            .replace("203.0.113.99", address);
        let finding = only(&[bare(), other]);
        check(&finding, "DBG-49", Certainty::Certain, Severity::Fault);
        assert_eq!(finding.field.as_deref(), Some("addressType"));
    }
}

/// PROXY-14.
#[test]
fn dbg_22_a_slice_of_ones_own_with_nobody_ready() {
    let unready = slice("web-x", "kubernetes.io/service-name: web", "http").replace(
        "[{addresses: [203.0.113.99]}]",
        "[{addresses: [203.0.113.99], conditions: {ready: false}}]",
    );
    let finding = only(&[bare(), unready]);
    check(&finding, "DBG-22", Certainty::Certain, Severity::Fault);
    assert_eq!(finding.why, "its slices have 1 endpoint, 0 ready");
}

#[test]
fn dbg_49_a_slice_without_the_label_belongs_to_nobody() {
    let finding = only(&[bare(), slice("web-x", "app: web", "http")]);
    check(&finding, "DBG-49", Certainty::Certain, Severity::Fault);
    assert_eq!(finding.subject.to_string(), "endpointslice/default/web-x");
    assert_eq!(
        finding.fix,
        "label the slice kubernetes.io/service-name=web"
    );
    let finding = only(&[bare()]);
    check(&finding, "DBG-49", Certainty::Certain, Severity::Fault);
    assert_eq!(finding.field.as_deref(), Some("spec.selector"));
}

/// PROXY-2.
#[test]
fn dbg_49_a_slice_that_proxies_pass_by() {
    for label in [
        "service.kubernetes.io/headless",
        "service.kubernetes.io/service-proxy-name",
    ] {
        let labels = format!("service-name: web, {label}: \"\"");
        let finding = of_bare("service-name: web", &labels);
        check(&finding, "DBG-49", Certainty::Certain, Severity::Fault);
        assert!(
            finding.why.ends_with(&format!("it is labelled {label}")),
            "{finding}"
        );
    }
    // DNS reads it.
    let labels = "kubernetes.io/service-name: web, service.kubernetes.io/headless: \"\"";
    let headless = bare().replace("spec: {", "spec: {clusterIP: None, ");
    let diagnosis = diagnosed(&[headless, slice("web-x", labels, "http")]);
    assert_eq!(diagnosis.verdict, Verdict::Healthy, "{diagnosis}");
    // Nobody has asked for the second family.
    assert!(diagnosis.findings.is_empty(), "{diagnosis}");
}

/// EP-42: proxies do not chain virtual addresses.
#[test]
fn dbg_49_an_endpoint_that_is_a_virtual_address() {
    let finding = of_bare("203.0.113.99", "10.96.0.1");
    check(&finding, "DBG-49", Certainty::Certain, Severity::Fault);
    assert!(
        finding
            .why
            .contains("the virtual address of Service default/kubernetes"),
        "{finding}"
    );
    let finding = of_bare("203.0.113.99", "10.96.77.77");
    check(&finding, "DBG-49", Certainty::Possible, Severity::Fault);
    let why = "within the range that Services get addresses from";
    assert!(finding.why.contains(why), "{finding}");
    // Who dials such an endpoint is sent on.
    let labels = "kubernetes.io/service-name: web";
    let headless = bare().replace("spec: {", "spec: {clusterIP: None, ");
    let chained = slice("web-x", labels, "http").replace("203.0.113.99", "10.96.0.1");
    let diagnosis = diagnosed(&[headless, chained]);
    assert!(diagnosis.findings.is_empty(), "{diagnosis}");
}

/// DBG-20: two managers.
#[test]
fn dbg_50_a_slice_that_was_left_behind() {
    let mut manifests = vec![
        service("app: web", "http"),
        pod("web-1", "app: web", "http"),
    ];
    let labels = "kubernetes.io/service-name: web, endpointslice.kubernetes.io/managed-by: staff";
    manifests.push(slice("web-old", labels, "http"));
    let finding = only(&manifests);
    check(&finding, "DBG-50", Certainty::Likely, Severity::Fault);
    assert!(finding.why.contains("written by staff"), "{finding}");
}

/// EP-48, DBG-20: the selector was removed, and what was written for it stays.
#[test]
fn dbg_50_a_service_whose_selector_was_removed() {
    let mut control = cluster(false);
    let healthy = service("app: web", "8080") + &pod("web-1", "app: web", "http");
    apply(&mut control, &healthy);
    apply(&mut control, &bare());
    let finding = one(&diagnose(&control, &web()));
    check(&finding, "DBG-50", Certainty::Likely, Severity::Pitfall);
    assert!(
        finding
            .why
            .contains("endpointslice-controller.k8s.io, endpointslicemirroring-controller.k8s.io"),
        "{finding}"
    );
    let pod = ObjectKey::new(Kind::Pod, "default", "web-1");
    control.delete(&pod).unwrap();
    let later = control.now() + Duration::from_secs(60);
    run(&mut control, later);
    let finding = one(&diagnose(&control, &web()));
    check(&finding, "DBG-50", Certainty::Certain, Severity::Fault);
    assert!(
        finding
            .why
            .contains("is Pod web-1, and there is no such Pod"),
        "{finding}"
    );
}

/// EP-48.
#[test]
fn dbg_50_an_endpoint_whose_pod_is_gone() {
    let target = "[203.0.113.99], targetRef: {kind: Pod, name: gone, namespace: default}";
    let finding = of_bare("[203.0.113.99]", target);
    check(&finding, "DBG-50", Certainty::Certain, Severity::Fault);
    assert_eq!(finding.subject.to_string(), "endpointslice/default/web-x");
    // It may be of another namespace.
    let mut control = cluster(false);
    let there =
        pod("far", "app: far", "http").replace("name: far", "name: far, namespace: kube-public");
    let own = slice("web-x", "kubernetes.io/service-name: web", "http");
    let target = "[203.0.113.99], targetRef: {kind: Pod, name: far, namespace: kube-public}";
    let own = own.replace("[203.0.113.99]", target);
    apply(&mut control, &[bare(), there, own].concat());
    let diagnosis = diagnose(&control, &web());
    assert!(diagnosis.findings.is_empty(), "{diagnosis}");
}

/// Each of two may have written its part on purpose.
#[test]
fn dbg_50_is_not_about_slices_of_two_who_are_no_controllers() {
    let own = |name, writer| {
        let labels = format!(
            "kubernetes.io/service-name: web, endpointslice.kubernetes.io/managed-by: {writer}"
        );
        slice(name, &labels, "http")
    };
    let diagnosis = diagnosed(&[bare(), own("web-x", "one"), own("web-y", "other")]);
    assert!(diagnosis.findings.is_empty(), "{diagnosis}");
}

/// EP-27: slices of both families are somebody's to write.
#[test]
fn dbg_51_a_family_that_no_slice_has() {
    let mut control = cluster_with(|config| {
        config
            .service_cidrs
            .push("fd00:10:96::/112".parse().unwrap());
    });
    let dual = bare().replace("spec: {", "spec: {ipFamilyPolicy: RequireDualStack, ");
    let own = slice("web-x", "kubernetes.io/service-name: web", "http");
    apply(&mut control, &[dual, own.clone()].concat());
    let finding = one(&diagnose(&control, &web()));
    check(&finding, "DBG-51", Certainty::Certain, Severity::Fault);
    assert!(
        finding.why.contains("no EndpointSlice of addressType IPv6"),
        "{finding}"
    );
    let other = own.replace("web-x", "web-y").replace("IPv4", "IPv6");
    apply(&mut control, &other.replace("203.0.113.99", "\"fd00::9\""));
    assert_eq!(diagnose(&control, &web()).verdict, Verdict::Healthy);
}
