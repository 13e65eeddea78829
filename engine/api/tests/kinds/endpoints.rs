//! Endpoints and EndpointSlices beyond what is recorded.

use crate::support::{check_refused, check_update_refused, check_warnings, stored};

fn endpoints(subsets: &str) -> String {
    format!("{{apiVersion: v1, kind: Endpoints, metadata: {{name: web}}, subsets: {subsets}}}")
}

fn slice(fields: &str) -> String {
    format!(
        "{{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {{name: web-x}}, {fields}}}"
    )
}

#[test]
fn api_80_addresses_and_ports_of_endpoints() {
    check_refused(
        &endpoints(
            "[{notReadyAddresses: [{ip: \"::1\", hostname: a.b, nodeName: N}], ports: [{port: 1}, {name: A, port: 2, protocol: X, appProtocol: \"a b\"}]}]",
        ),
        &[
            "subsets[0].notReadyAddresses[0].hostname: Invalid value: \"a.b\": must not contain dots",
            "subsets[0].notReadyAddresses[0].nodeName: Invalid value: \"N\": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')",
            "subsets[0].notReadyAddresses[0].ip: Invalid value: \"::1\": may not be in the loopback range (127.0.0.0/8, ::1/128)",
            "subsets[0].ports[0].name: Required value",
            "subsets[0].ports[1].name: Invalid value: \"A\": a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')",
            "subsets[0].ports[1].protocol: Unsupported value: \"X\": supported values: \"SCTP\", \"TCP\", \"UDP\"",
            "subsets[0].ports[1].appProtocol: Invalid value: \"a b\": name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')",
        ],
    );
    check_refused(
        &endpoints("[{addresses: [{ip: 010.0.0.1}]}]"),
        &["subsets[0].addresses[0].ip: Invalid value: \"010.0.0.1\": must not have leading 0s"],
    );
    let stored = stored(&endpoints(
        "[{addresses: [{ip: 10.0.0.1, targetRef: {kind: Pod, name: p}}]}]",
    ));
    assert_eq!(
        stored["subsets"][0]["addresses"][0]["targetRef"]["name"],
        "p"
    );
}

#[test]
fn api_58_warnings_about_endpoints() {
    let deprecated = "v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice";
    check_warnings(
        &endpoints("[{addresses: [{ip: \"FD00::1\"}]}]"),
        &[
            deprecated,
            "subsets[0].addresses[0].ip: IPv6 address \"FD00::1\" should be in RFC 5952 canonical format (\"fd00::1\")",
        ],
    );
    check_warnings(
        &slice("addressType: FQDN, endpoints: [{addresses: [a.example]}]"),
        &["spec.addressType: FQDN endpoints are deprecated"],
    );
}

#[test]
fn api_82_the_type_of_addresses_does_not_change() {
    check_update_refused(
        &slice("addressType: IPv4"),
        &slice("addressType: IPv6"),
        &["addressType: Invalid value: \"IPv6\": field is immutable"],
    );
    check_refused(
        &slice("addressType: IPv6, endpoints: [{addresses: [\"FD00::1\"]}]"),
        &[
            "endpoints[0].addresses[0]: Invalid value: \"FD00::1\": must be in canonical form (\"fd00::1\")",
        ],
    );
}

#[test]
fn api_81_too_many_endpoints_and_hints() {
    let endpoints = "{addresses: [10.0.0.1]},".repeat(1001);
    check_refused(
        &slice(&format!("addressType: IPv4, endpoints: [{endpoints}]")),
        &["endpoints: Too many: 1001: must have at most 1000 items"],
    );
    let nodes: Vec<String> = (0..9).map(|index| format!("{{name: n{index}}}")).collect();
    check_refused(
        &slice(&format!(
            "addressType: IPv4, endpoints: [{{addresses: [10.0.0.1], hints: {{forNodes: [{}]}}}}]",
            nodes.join(",")
        )),
        &["endpoints[0].hints.forNodes: Too many: 9: must have at most 8 items"],
    );
}
