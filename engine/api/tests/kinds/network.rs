//! NetworkPolicies and Events.

use serde_json::json;

use crate::support::{check_refused, check_warnings, stored};

fn policy(spec: &str) -> String {
    format!(
        "{{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {{name: np}}, spec: {spec}}}"
    )
}

#[test]
fn policies_are_completed() {
    let spec = |spec: &str| stored(&policy(spec))["spec"].clone();
    assert_eq!(spec("{podSelector: {}}")["policyTypes"], json!(["Ingress"]));
    let both = spec("{podSelector: {}, egress: [{ports: [{port: 53}]}]}");
    assert_eq!(both["policyTypes"], json!(["Ingress", "Egress"]));
    assert_eq!(
        both["egress"],
        json!([{"ports": [{"protocol": "TCP", "port": 53}]}])
    );
    assert_eq!(stored(&policy("{}"))["metadata"]["generation"], 1);
}

#[test]
fn ports_and_peers_of_policies() {
    check_refused(
        &policy(
            "{podSelector: {matchExpressions: [{key: a, operator: In, values: [\"b c\"]}]}, \
                 ingress: [{ports: [{port: 90, endPort: 80, protocol: X}, {port: A, endPort: 1}, {endPort: 1}], from: [{}]}], \
                 egress: [{to: [{ipBlock: {}}, {ipBlock: {cidr: x}, podSelector: {}}, \
                 {ipBlock: {cidr: 10.0.0.0/16, except: [10.0.0.0/16, 10.1.0.0/24, 10.0.1.0/24]}}]}], policyTypes: [Both]}",
        ),
        &[
            "spec.podSelector.matchExpressions[0].values[0]: Invalid value: \"b c\": a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')",
            "spec.ingress[0].ports[0].protocol: Unsupported value: \"X\": supported values: \"TCP\", \"UDP\", \"SCTP\"",
            "spec.ingress[0].ports[0].endPort: Invalid value: 80: must be greater than or equal to `port`",
            "spec.ingress[0].ports[1].endPort: Invalid value: 1: may not be specified when `port` is non-numeric",
            "spec.ingress[0].ports[1].port: Invalid value: \"A\": must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)",
            "spec.ingress[0].ports[1].port: Invalid value: \"A\": must contain at least one letter (a-z)",
            "spec.ingress[0].ports[2].endPort: Invalid value: 1: may not be specified when `port` is not specified",
            "spec.ingress[0].from[0]: Required value: must specify a peer",
            "spec.egress[0].to[0].ipBlock.cidr: Required value",
            "spec.egress[0].to[1].ipBlock.cidr: Invalid value: \"x\": must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)",
            "spec.egress[0].to[1]: Forbidden: may not specify both ipBlock and another peer",
            "spec.egress[0].to[2].ipBlock.except[0]: Invalid value: \"10.0.0.0/16\": must be a strict subset of `cidr`",
            "spec.egress[0].to[2].ipBlock.except[1]: Invalid value: \"10.1.0.0/24\": must be a strict subset of `cidr`",
            "spec.policyTypes[0]: Unsupported value: \"Both\": supported values: \"Ingress\", \"Egress\"",
        ],
    );
    check_refused(
        &policy("{policyTypes: [Ingress, Egress, Ingress]}"),
        &[
            "spec.policyTypes: Invalid value: [\"Ingress\",\"Egress\",\"Ingress\"]: may not specify more than two policyTypes",
        ],
    );
}

#[test]
fn api_58_warnings_about_policies() {
    check_warnings(
        &policy("{ingress: [{from: [{ipBlock: {cidr: \"FD00::/64\"}}]}]}"),
        &[
            "spec.ingress[0].from[0].ipBlock.cidr: IPv6 CIDR value \"FD00::/64\" should be in RFC 5952 canonical format (\"fd00::/64\")",
        ],
    );
}

fn event(fields: &str) -> String {
    format!("{{apiVersion: v1, kind: Event, metadata: {{name: e, namespace: default}}, {fields}}}")
}

#[test]
fn an_event_is_where_its_object_is() {
    let mismatch =
        "involvedObject.namespace: Invalid value: \"shop\": does not match event.namespace";
    check_refused(
        &event("involvedObject: {kind: Pod, namespace: shop}"),
        &[mismatch],
    );
    stored(&event("involvedObject: {kind: Pod, namespace: default}"));
    stored(&event("involvedObject: {kind: Node}"));
}

#[test]
fn an_event_of_the_newer_form_says_more() {
    check_refused(
        &event("involvedObject: {kind: Node}, eventTime: \"2026-01-01T00:00:00.000000Z\""),
        &[
            "reportingController: Required value",
            "reportingController: Invalid value: \"\": name part must be non-empty",
            "reportingController: Invalid value: \"\": name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')",
            "reportingInstance: Required value",
            "action: Required value",
            "reason: Required value",
        ],
    );
}
