//! `switchboard resolve`: what is printed, and the exit codes.

mod common;

use common::{root, stderr, stdout, switchboard};
use serde_json::Value;

const FILE: [&str; 4] = ["--in", "scenarios/dns.yaml", "--from", "pod/shop/client"];

fn resolve(arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = switchboard(&root(), &[&["resolve"], &FILE[..], arguments].concat());
    (output.status.code(), stdout(&output), stderr(&output))
}

/// DBG-93: the Pod's resolv.conf stands above its queries.
#[test]
fn a_name_of_another_namespace_takes_two_queries_for_each_family() {
    let (code, text, _) = resolve(&["cart.billing"]);
    assert_eq!(code, Some(0), "{text}");
    let queries: Vec<&str> = text
        .lines()
        .filter(|line| line.contains("10.96.0.10:53 UDP"))
        .collect();
    assert_eq!(queries.len(), 4, "{text}");
    let conf = "search shop.svc.cluster.local svc.cluster.local cluster.local";
    for line in ["nameserver 10.96.0.10", conf, "options ndots:5"] {
        assert!(text.contains(line), "{line}: {text}");
    }
    assert!(text.contains("NOERROR: found"), "{text}");
}

#[test]
fn json_says_the_same() {
    let (code, text, _) = resolve(&["cart", "--type", "A", "--output", "json"]);
    let value: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(code, Some(0));
    assert_eq!(value["rcode"], "NOERROR");
    assert_eq!(value["queries"].as_array().unwrap().len(), 1);
    assert_eq!(value["answers"][0]["name"], "cart.shop.svc.cluster.local.");
}

#[test]
fn an_address_has_names_and_tcp_will_do() {
    let (code, text, _) = resolve(&["10.96.0.10", "--tcp"]);
    assert_eq!(code, Some(0), "{text}");
    assert!(
        text.contains("kube-dns.kube-system.svc.cluster.local."),
        "{text}"
    );
    assert!(text.contains("10.96.0.10:53 TCP"), "{text}");
}

#[test]
fn without_an_answer_the_exit_code_is_1_and_bad_input_is_2() {
    let (code, text, _) = resolve(&["nosuch"]);
    assert_eq!(code, Some(1));
    assert!(text.contains("NXDOMAIN: there is no such name"), "{text}");
    let (code, _, complaint) = resolve(&["no such"]);
    assert_eq!(code, Some(2));
    assert!(complaint.contains("is no host name"), "{complaint}");
    let (code, _, complaint) = resolve(&["cart", "--type", "AXFR"]);
    assert_eq!(code, Some(2));
    assert!(complaint.contains("SRV"), "{complaint}");
}

/// recorded/dns.yaml: a star is a label like others, which no Service has.
#[test]
fn a_wildcard_is_asked_for_and_not_there() {
    for (name, expected) in [
        ("*.shop.svc.cluster.local.", Some(1)),
        ("cart.*.svc.cluster.local.", Some(1)),
        ("*", Some(1)),
        ("**.shop", Some(2)),
        ("*cart", Some(2)),
    ] {
        let (code, text, complaint) = resolve(&[name]);
        assert_eq!(code, expected, "{name}: {complaint}");
        let is_asked = text.contains("NXDOMAIN: there is no such name");
        assert_eq!(is_asked, expected == Some(1), "{name}: {text}");
    }
}

#[test]
fn the_scenario_of_names_passes() {
    let output = switchboard(&root(), &["run", "scenarios/dns.yaml"]);
    assert_eq!(output.status.code(), Some(0), "{}", stdout(&output));
}
