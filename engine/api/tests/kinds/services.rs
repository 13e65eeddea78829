//! Services beyond what is recorded: defaults, and what an update keeps, drops and refuses.

use api::{ApiServer, Kind, ObjectKey, Service};
use serde_json::{Value, json};
use switchboard_api as api;

use crate::support::{
    NOW, check_refused, check_update_refused, check_warnings, object, server, server_of, stored,
};

fn service(spec: &str) -> String {
    format!("{{apiVersion: v1, kind: Service, metadata: {{name: web}}, spec: {spec}}}")
}

fn replace(server: &mut ApiServer, spec: &str) -> Service {
    let written = server.replace(object(&service(spec)), NOW);
    let written = written.unwrap_or_else(|status| panic!("{}", status.message));
    Service::clone(written.object.as_service().unwrap())
}

#[track_caller]
fn check_replace_refused(server: &mut ApiServer, spec: &str, expected: &str) {
    let status = server.replace(object(&service(spec)), NOW).unwrap_err();
    let text = status.message.strip_prefix("Service \"web\" is invalid: ");
    assert_eq!(text, Some(expected));
}

#[test]
fn api_29_to_32_defaults_of_policies_and_affinity() {
    let spec = |spec: &str| stored(&service(spec))["spec"].clone();
    let affine = spec("{ports: [{port: 80}], sessionAffinity: ClientIP}");
    assert_eq!(
        affine["sessionAffinityConfig"],
        json!({"clientIP": {"timeoutSeconds": 10800}})
    );
    let none =
        spec("{ports: [{port: 80}], sessionAffinityConfig: {clientIP: {timeoutSeconds: 3}}}");
    assert_eq!(
        (&none["sessionAffinity"], &none["sessionAffinityConfig"]),
        (&json!("None"), &Value::Null)
    );
    assert_eq!(none["internalTrafficPolicy"], "Cluster");
    assert_eq!(none["externalTrafficPolicy"], Value::Null);
    assert_eq!(none["allocateLoadBalancerNodePorts"], Value::Null);
    let balanced = spec("{type: LoadBalancer, ports: [{port: 80}]}");
    assert_eq!(balanced["externalTrafficPolicy"], "Cluster");
    assert_eq!(balanced["allocateLoadBalancerNodePorts"], true);
    let external = spec("{externalIPs: [1.2.3.4], ports: [{port: 80}]}");
    assert_eq!(external["externalTrafficPolicy"], "Cluster");
    let alias = spec("{type: ExternalName, externalName: a.example}");
    assert_eq!(alias["internalTrafficPolicy"], Value::Null);
}

#[test]
fn api_33_and_49_one_address_is_the_first_of_both() {
    let single = stored(&service("{clusterIP: 10.96.0.9, ports: [{port: 80}]}"));
    assert_eq!(single["spec"]["clusterIPs"], json!(["10.96.0.9"]));
    check_refused(
        &service("{clusterIPs: [10.96.0.9], ports: [{port: 80}]}"),
        &[
            "spec.clusterIPs: Invalid value: [\"10.96.0.9\"]: must be empty when `clusterIP` is not specified",
        ],
    );
}

#[test]
fn api_37_a_write_to_a_missing_service_creates_it() {
    let mut server = server();
    replace(&mut server, "{ports: [{port: 80}]}");
    assert!(server.service("default", "web").is_some());
    let slice = "{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {name: s}, addressType: IPv4}";
    assert_eq!(server.replace(object(slice), NOW).unwrap_err().code, 404);
    replace(&mut server, "{ports: [{port: 81}]}");
    assert_eq!(
        server.service("default", "web").unwrap().spec.ports[0].port,
        81
    );
}

#[test]
fn api_38_what_the_allocator_refuses_hides_the_rest() {
    check_refused(
        &service("{clusterIP: 10.96.0.1, ports: [{port: 0}]}"),
        &[
            "spec.clusterIPs: Invalid value: [\"10.96.0.1\"]: failed to allocate IP 10.96.0.1: provided IP is already allocated",
        ],
    );
}

#[test]
fn alloc_20_21_and_24_a_refused_address_is_told_as_it_was_given() {
    for (ips, taken, why) in [
        (
            "FD00:0::0040",
            "FD00:0::0040",
            "provided IP is already allocated",
        ),
        (
            "FD01:0::1",
            "FD01:0::1",
            "the provided network does not match the current range",
        ),
        (
            "10.96.0.41, fd00::0:40",
            "fd00::0:40",
            "provided IP is already allocated",
        ),
    ] {
        let mut server = server_of(&["10.96.0.0/16", "fd00::/112"]);
        let other = "{apiVersion: v1, kind: Service, metadata: {name: other}, spec: {clusterIP: \"fd00::40\", ports: [{port: 80}]}}";
        server.create(object(other), NOW).unwrap();
        let ips: Vec<&str> = ips.split(", ").collect();
        let spec = format!(
            "{{ipFamilyPolicy: PreferDualStack, clusterIP: {:?}, clusterIPs: {ips:?}, ports: [{{port: 80}}]}}",
            ips[0]
        );
        let shown = serde_json::to_string(&ips).unwrap();
        check_replace_refused(
            &mut server,
            &spec,
            &format!(
                "spec.clusterIPs: Invalid value: {shown}: failed to allocate IP {taken}: {why}"
            ),
        );
    }
}

#[test]
fn api_40_a_headless_service_has_no_node_ports() {
    for kind in ["NodePort", "LoadBalancer"] {
        check_refused(
            &service(&format!(
                "{{type: {kind}, clusterIP: None, ports: [{{port: 80}}]}}"
            )),
            &[&format!(
                "spec.clusterIPs[0]: Invalid value: \"None\": may not be set to 'None' for {kind} services"
            )],
        );
    }
}

#[test]
fn api_45_and_52_fields_of_other_types() {
    check_refused(
        &service(
            "{ports: [{port: 80, nodePort: 30080}], allocateLoadBalancerNodePorts: true, loadBalancerClass: a/b}",
        ),
        &[
            "spec.ports[0].nodePort: Forbidden: may not be used when `type` is 'ClusterIP'",
            "spec.allocateLoadBalancerNodePorts: Forbidden: may only be used when `type` is 'LoadBalancer'",
            "spec.loadBalancerClass: Forbidden: may only be used when `type` is 'LoadBalancer'",
        ],
    );
}

#[test]
fn api_58_warnings_about_services() {
    let deprecated =
        "spec.externalIPs is deprecated and may no longer be implemented in some clusters";
    check_warnings(
        &service(
            "{externalIPs: [1.2.3.4], externalName: a.example, trafficDistribution: PreferClose, ports: [{port: 80}]}",
        ),
        &[
            deprecated,
            "spec.externalName is ignored when spec.type is not \"ExternalName\"",
            "spec.trafficDistribution: \"PreferClose\" is deprecated; use \"PreferSameZone\"",
        ],
    );
    check_warnings(
        &service(
            "{clusterIP: None, externalIPs: [1.2.3.4], sessionAffinity: ClientIP, ports: [{port: 80}]}",
        ),
        &[
            "spec.externalIPs is ignored for headless services",
            "spec.SessionAffinity is ignored for headless services",
        ],
    );
}

#[test]
fn api_59_what_is_left_out_stays_as_it_was() {
    let mut server = server();
    let first = replace(
        &mut server,
        "{type: NodePort, ports: [{name: a, port: 80}, {name: b, port: 81}]}",
    );
    let second = replace(
        &mut server,
        "{type: NodePort, ports: [{name: b, port: 82}, {name: a, port: 80}]}",
    );
    assert_eq!(second.spec.cluster_ips, first.spec.cluster_ips);
    assert_eq!(
        second.spec.ports[0].node_port,
        first.spec.ports[1].node_port
    );
    assert_eq!(
        second.spec.ports[1].node_port,
        first.spec.ports[0].node_port
    );
}

#[test]
fn api_60_and_61_the_primary_address_stays() {
    let mut server = server();
    replace(&mut server, "{clusterIP: 10.96.0.8, ports: [{port: 80}]}");
    check_replace_refused(
        &mut server,
        "{clusterIP: 10.96.0.9, ports: [{port: 80}]}",
        "spec.clusterIPs[0]: Invalid value: [\"10.96.0.9\"]: may not change once set",
    );
    check_replace_refused(
        &mut server,
        "{clusterIP: None, ports: [{port: 80}]}",
        "spec.clusterIPs[0]: Invalid value: [\"None\"]: may not change once set",
    );
    check_update_refused(
        &service("{clusterIP: None, selector: {app: web}, ports: [{port: 80}]}"),
        &service("{clusterIP: 10.96.0.9, selector: {app: web}, ports: [{port: 80}]}"),
        &["spec.clusterIPs[0]: Invalid value: [\"10.96.0.9\"]: may not change once set"],
    );
}

#[test]
fn api_62_63_and_71_the_second_family_is_added_and_given_back_by_policy_only() {
    let mut server = server_of(&["10.96.0.0/16", "fd00::/112"]);
    let ports = "ports: [{port: 80}]";
    let single = replace(&mut server, &format!("{{{ports}}}"));
    let both = replace(
        &mut server,
        &format!("{{ipFamilyPolicy: PreferDualStack, {ports}}}"),
    );
    assert_eq!(both.spec.cluster_ips[0], single.spec.cluster_ip);
    assert_eq!(both.spec.cluster_ips.len(), 2);
    let kept = replace(&mut server, &format!("{{{ports}}}"));
    assert_eq!(
        kept.spec.ip_family_policy.as_deref(),
        Some("PreferDualStack"),
        "it is inherited"
    );
    check_replace_refused(
        &mut server,
        &format!("{{ipFamilies: [IPv6, IPv4], ipFamilyPolicy: PreferDualStack, {ports}}}"),
        &format!(
            "[spec.clusterIPs[0]: Invalid value: {:?}: expected an IPv6 value as indicated by `ipFamilies[0]`, spec.clusterIPs[1]: Invalid value: {:?}: expected an IPv4 value as indicated by `ipFamilies[1]`]",
            both.spec.cluster_ips[0], both.spec.cluster_ips[1]
        ),
    );
    let back = replace(
        &mut server,
        &format!("{{ipFamilyPolicy: SingleStack, {ports}}}"),
    );
    assert_eq!(
        (back.spec.cluster_ips.len(), back.spec.ip_families.len()),
        (1, 1)
    );
}

#[test]
fn api_62_the_second_address_and_family_go_with_policy_single_stack_only() {
    let dual = |policy: &str, rest: &str| {
        format!(
            "{{ipFamilyPolicy: {policy}, clusterIP: 10.96.0.40, {rest}, ports: [{{port: 80}}]}}"
        )
    };
    let both_ips = "clusterIPs: [10.96.0.40, \"fd00::40\"]";
    let (both_families, one_ip, one_family) = (
        "ipFamilies: [IPv4, IPv6]",
        "clusterIPs: [10.96.0.40]",
        "ipFamilies: [IPv4]",
    );
    let ip = "must be 'SingleStack' to release the secondary cluster IP";
    let family = "must be 'SingleStack' to release the secondary IP family";
    for policy in ["PreferDualStack", "RequireDualStack"] {
        for (addresses, families, expected) in [
            (one_ip, both_families, &[ip][..]),
            (both_ips, one_family, &[family]),
            (one_ip, one_family, &[ip, family]),
            (both_ips, both_families, &[]),
        ] {
            let mut server = server_of(&["10.96.0.0/16", "fd00::/112"]);
            replace(&mut server, &dual(policy, both_ips));
            let spec = dual(policy, &format!("{addresses}, {families}"));
            let seen = match server.replace(object(&service(&spec)), NOW) {
                Ok(_) => Vec::new(),
                Err(status) => status.causes,
            };
            let seen: Vec<String> = seen
                .iter()
                .map(|cause| format!("{}: {}", cause.field, cause.message))
                .collect();
            let expected: Vec<String> = expected
                .iter()
                .map(|detail| format!("spec.ipFamilyPolicy: Invalid value: \"{policy}\": {detail}"))
                .collect();
            assert_eq!(seen, expected, "{policy}, {addresses}, {families}");
        }
    }
    let mut server = server_of(&["10.96.0.0/16", "fd00::/112"]);
    replace(&mut server, &dual("PreferDualStack", both_ips));
    let single = replace(&mut server, &dual("SingleStack", one_ip));
    assert_eq!(single.spec.ip_families, ["IPv4"]);
}

#[test]
fn api_60_and_62_an_address_does_not_change_once_set() {
    let dual = |ips: [&str; 2]| {
        format!(
            "{{ipFamilyPolicy: PreferDualStack, clusterIP: {:?}, clusterIPs: {ips:?}, ports: [{{port: 80}}]}}",
            ips[0]
        )
    };
    let fixed = |index, ips: &str| {
        format!("spec.clusterIPs[{index}]: Invalid value: {ips}: may not change once set")
    };
    for (ips, shown, changed) in [
        (
            ["10.96.0.40", "fd00::99"],
            "[\"10.96.0.40\",\"fd00::99\"]",
            &[1][..],
        ),
        // It is another Service's, which does not matter any more.
        (
            ["10.96.0.40", "fd00::7"],
            "[\"10.96.0.40\",\"fd00::7\"]",
            &[1],
        ),
        (
            ["10.96.0.41", "fd00::40"],
            "[\"10.96.0.41\",\"fd00::40\"]",
            &[0],
        ),
        (
            ["10.96.0.41", "fd00::99"],
            "[\"10.96.0.41\",\"fd00::99\"]",
            &[0, 1],
        ),
    ] {
        let mut server = server_of(&["10.96.0.0/16", "fd00::/112"]);
        let other = "{apiVersion: v1, kind: Service, metadata: {name: other}, spec: {clusterIP: \"fd00::7\", ports: [{port: 80}]}}";
        server.create(object(other), NOW).unwrap();
        replace(&mut server, &dual(["10.96.0.40", "fd00::40"]));
        let lines: Vec<String> = changed.iter().map(|index| fixed(*index, shown)).collect();
        let expected = match lines.as_slice() {
            [line] => line.clone(),
            lines => format!("[{}]", lines.join(", ")),
        };
        check_replace_refused(&mut server, &dual(ips), &expected);
    }
}

#[test]
fn api_63_two_headless_states_are_free_to_change_families() {
    let mut server = server_of(&["10.96.0.0/16", "fd00::/112"]);
    let headless = "clusterIP: None, selector: {a: b}, ports: [{port: 80}]";
    replace(&mut server, &format!("{{ipFamilies: [IPv4], {headless}}}"));
    let changed = replace(&mut server, &format!("{{ipFamilies: [IPv6], {headless}}}"));
    assert_eq!(changed.spec.ip_families, ["IPv6"]);
}

#[test]
fn api_65_what_a_service_held_is_free_when_it_is_gone() {
    let mut server = server();
    replace(
        &mut server,
        "{type: NodePort, clusterIP: 10.96.0.8, ports: [{port: 80, nodePort: 30080}]}",
    );
    let key = ObjectKey::new(Kind::Service, "default", "web");
    server
        .delete(&key, &api::DeleteOptions::default(), NOW)
        .unwrap();
    replace(
        &mut server,
        "{type: NodePort, clusterIP: 10.96.0.8, ports: [{port: 80, nodePort: 30080}]}",
    );
}

#[test]
fn api_70_a_family_that_the_cluster_does_not_have() {
    check_refused(
        &service("{ipFamilies: [IPv6], ports: [{port: 80}]}"),
        &["spec.ipFamilies[0]: Invalid value: \"IPv6\": not configured on this cluster"],
    );
    check_refused(
        &service("{clusterIP: \"fd00::1\", ports: [{port: 80}]}"),
        &[
            "spec.clusterIPs[0]: Invalid value: [\"fd00::1\"]: IPv6 is not configured on this cluster",
        ],
    );
}
