//! Pods: defaults, checks, warnings.

use serde_json::json;

use crate::support::{check_refused, check_warnings, object, stored};

fn pod(spec: &str) -> String {
    format!("{{apiVersion: v1, kind: Pod, metadata: {{name: p}}, spec: {spec}}}")
}

/// A Pod of one container with these further fields.
fn container(fields: &str) -> String {
    pod(&format!(
        "{{containers: [{{name: c, image: i, {fields}}}]}}"
    ))
}

fn probe(fields: &str) -> String {
    container(&format!("livenessProbe: {fields}"))
}

#[test]
fn probes_and_hooks_are_completed() {
    let stored = stored(&container(
        "livenessProbe: {grpc: {port: 1}}, startupProbe: {httpGet: {port: web}, periodSeconds: 3}, \
         lifecycle: {preStop: {httpGet: {port: 80}}}",
    ));
    let container = &stored["spec"]["containers"][0];
    let expected = json!({
        "grpc": {"port": 1, "service": ""},
        "timeoutSeconds": 1, "periodSeconds": 10, "successThreshold": 1, "failureThreshold": 3,
    });
    assert_eq!(container["livenessProbe"], expected);
    let expected = json!({
        "httpGet": {"path": "/", "port": "web", "scheme": "HTTP"},
        "timeoutSeconds": 1, "periodSeconds": 3, "successThreshold": 1, "failureThreshold": 3,
    });
    assert_eq!(container["startupProbe"], expected);
    let expected = json!({"preStop": {"httpGet": {"path": "/", "port": 80, "scheme": "HTTP"}}});
    assert_eq!(container["lifecycle"], expected);
}

#[test]
fn a_pod_on_its_nodes_network_has_the_nodes_ports() {
    let ports = "ports: [{containerPort: 80}]";
    let stored = stored(&pod(&format!(
        "{{hostNetwork: true, containers: [{{name: c, image: i, {ports}}}]}}"
    )));
    assert_eq!(stored["spec"]["containers"][0]["ports"][0]["hostPort"], 80);
}

#[test]
fn absence_of_a_node_is_tolerated_unless_the_user_says_how() {
    let tolerations = |given: &str| {
        let manifest = pod(&format!(
            "{{containers: [{{name: c, image: i}}], tolerations: {given}}}"
        ));
        let stored = stored(&manifest);
        let listed = stored["spec"]["tolerations"].as_array().unwrap().clone();
        listed
            .iter()
            .map(|entry| entry["key"].as_str().unwrap_or("*").to_owned())
            .collect::<Vec<_>>()
    };
    let (not_ready, unreachable) = (
        "node.kubernetes.io/not-ready",
        "node.kubernetes.io/unreachable",
    );
    assert_eq!(tolerations("[]"), [not_ready, unreachable]);
    assert_eq!(
        tolerations("[{key: a, operator: Exists}]"),
        ["a", not_ready, unreachable]
    );
    assert_eq!(tolerations("[{operator: Exists}]"), ["*"]);
    let own = "[{key: node.kubernetes.io/not-ready, operator: Exists, effect: NoExecute}]";
    assert_eq!(tolerations(own), [not_ready, unreachable]);
}

#[test]
fn resources_make_the_class() {
    let class = |resources: &str| {
        let stored = stored(&container(&format!("resources: {resources}")));
        let requests = stored["spec"]["containers"][0]["resources"]["requests"].clone();
        (
            stored["status"]["qosClass"].as_str().unwrap().to_owned(),
            requests,
        )
    };
    assert_eq!(class("{}").0, "BestEffort");
    assert_eq!(class("{requests: {cpu: 1}}").0, "Burstable");
    let (guaranteed, requests) = class("{limits: {cpu: 1, memory: 1Gi}}");
    assert_eq!(guaranteed, "Guaranteed");
    assert_eq!(requests, json!({"cpu": 1, "memory": "1Gi"}));
}

#[test]
fn api_75_and_77_the_fields_that_networking_reads() {
    let pod = object(
        "{apiVersion: v1, kind: Pod, metadata: {name: p, namespace: shop, labels: {app: web}}, \
         spec: {nodeName: n, hostname: h, subdomain: s, hostNetwork: true, dnsPolicy: Default, \
         readinessGates: [{conditionType: a/b}], containers: [{name: c, image: i, ports: [{name: http, containerPort: 80}]}], \
         initContainers: [{name: once, image: i}, {name: side, image: i, restartPolicy: Always}]}, \
         status: {phase: Running, podIPs: [{ip: 10.0.0.1}, {ip: fd00::1}], conditions: [{type: Ready, status: \"True\"}]}}",
    );
    let pod = pod.as_pod().unwrap();
    let serving: Vec<_> = pod
        .serving_containers()
        .map(|container| &container.name)
        .collect();
    assert_eq!(serving, ["c", "side"]);
    assert_eq!(pod.addresses().len(), 2);
    assert!(pod.is_ready() && !pod.is_finished() && pod.spec.host_network);
    let names = (&pod.spec.node_name, &pod.spec.hostname, &pod.spec.subdomain);
    assert_eq!(names, (&"n".to_owned(), &"h".to_owned(), &"s".to_owned()));
    let mut waiting = pod.as_ref().clone();
    "False".clone_into(&mut waiting.status.conditions[0].status);
    assert!(!waiting.is_ready());
}

#[test]
fn names_and_images_of_containers() {
    check_refused(
        &pod("{containers: []}"),
        &["spec.containers: Required value"],
    );
    check_refused(
        &pod(
            "{containers: [{name: \"\", image: \"\"}], initContainers: [{name: a, image: \" i\"}]}",
        ),
        &[
            "spec.containers[0].name: Required value",
            "spec.containers[0].image: Required value",
            "spec.initContainers[0].image: Invalid value: \" i\": must not have leading or trailing whitespace",
        ],
    );
    check_refused(
        &pod(
            "{containers: [{name: a, image: i}], initContainers: [{name: a, image: i}, {name: a, image: i}]}",
        ),
        &[
            "spec.initContainers[0].name: Duplicate value: \"a\"",
            "spec.initContainers[1].name: Duplicate value: \"a\"",
        ],
    );
    check_refused(
        &container("imagePullPolicy: Sometimes, terminationMessagePolicy: X, restartPolicy: Maybe"),
        &[
            "spec.containers[0].terminationMessagePolicy: Unsupported value: \"X\": supported values: \"File\", \"FallbackToLogsOnError\"",
            "spec.containers[0].imagePullPolicy: Unsupported value: \"Sometimes\": supported values: \"Always\", \"IfNotPresent\", \"Never\"",
            "spec.containers[0].restartPolicy: Unsupported value: \"Maybe\": supported values: \"Always\", \"Never\", \"OnFailure\"",
        ],
    );
}

#[test]
fn api_22_and_76_ports_of_containers() {
    check_refused(
        &container("ports: [{containerPort: 70000, hostPort: -1, protocol: X}]"),
        &[
            "spec.containers[0].ports[0].containerPort: Invalid value: 70000: must be between 1 and 65535, inclusive",
            "spec.containers[0].ports[0].hostPort: Invalid value: -1: must be between 1 and 65535, inclusive",
            "spec.containers[0].ports[0].protocol: Unsupported value: \"X\": supported values: \"SCTP\", \"TCP\", \"UDP\"",
        ],
    );
    check_refused(
        &container(
            "ports: [{containerPort: 1, hostPort: 9}, {containerPort: 2, hostPort: 9}, {containerPort: 3, hostPort: 9, hostIP: 10.0.0.1}]",
        ),
        &["spec.containers[0].ports[1].hostPort: Duplicate value: \"TCP//9\""],
    );
    check_refused(
        &pod(
            "{hostNetwork: true, containers: [{name: c, image: i, ports: [{containerPort: 1, hostPort: 2}]}]}",
        ),
        &[
            "spec.containers[0].ports[0].hostPort: Invalid value: 2: must match `containerPort` when `hostNetwork` is true",
        ],
    );
}

#[test]
fn handlers_of_probes() {
    let at = "spec.containers[0].livenessProbe";
    let check = |fields: &str, expected: &[&str]| {
        let expected: Vec<String> = expected.iter().map(|line| format!("{at}{line}")).collect();
        let expected: Vec<&str> = expected.iter().map(String::as_str).collect();
        check_refused(&probe(fields), &expected);
    };
    check("{}", &[": Required value: must specify a handler type"]);
    check("{exec: {}}", &[".exec.command: Required value"]);
    check(
        "{httpGet: {port: 0, scheme: FTP, httpHeaders: [{name: \"a b\", value: x}]}}",
        &[
            ".httpGet.port: Invalid value: 0: must be between 1 and 65535, inclusive",
            ".httpGet.scheme: Unsupported value: \"FTP\": supported values: \"HTTP\", \"HTTPS\"",
            ".httpGet.httpHeaders: Invalid value: \"a b\": a valid HTTP header must consist of alphanumeric characters or '-' (e.g. 'X-Header-Name', regex used for validation is '[-A-Za-z0-9]+')",
        ],
    );
    check(
        "{tcpSocket: {port: \"80\"}}",
        &[".tcpSocket.port: Invalid value: \"80\": must contain at least one letter (a-z)"],
    );
    check(
        "{grpc: {port: 70000}, exec: {command: [a]}}",
        &[".grpc: Forbidden: may not specify more than 1 handler type"],
    );
}

#[test]
fn figures_of_probes() {
    let at = "spec.containers[0].livenessProbe";
    let negative = "must be greater than or equal to 0";
    check_refused(
        &probe(
            "{exec: {command: [a]}, initialDelaySeconds: -1, timeoutSeconds: -2, periodSeconds: -3, successThreshold: 2, failureThreshold: -5, terminationGracePeriodSeconds: 0}",
        ),
        &[
            &format!("{at}.initialDelaySeconds: Invalid value: -1: {negative}"),
            &format!("{at}.timeoutSeconds: Invalid value: -2: {negative}"),
            &format!("{at}.periodSeconds: Invalid value: -3: {negative}"),
            &format!("{at}.failureThreshold: Invalid value: -5: {negative}"),
            &format!(
                "{at}.terminationGracePeriodSeconds: Invalid value: 0: must be greater than 0"
            ),
            &format!("{at}.successThreshold: Invalid value: 2: must be 1"),
        ],
    );
    check_refused(
        &container(
            "readinessProbe: {exec: {command: [a]}, successThreshold: 2, terminationGracePeriodSeconds: 9}",
        ),
        &[
            "spec.containers[0].readinessProbe.terminationGracePeriodSeconds: Invalid value: 9: must not be set for readinessProbes",
        ],
    );
}

#[test]
fn hooks_and_what_an_init_container_may_not_have() {
    check_refused(
        &pod(
            "{terminationGracePeriodSeconds: 5, containers: [{name: c, image: i, lifecycle: {preStop: {sleep: {seconds: 9}}, postStart: {}}}]}",
        ),
        &[
            "spec.containers[0].lifecycle.postStart: Required value: must specify a handler type",
            "spec.containers[0].lifecycle.preStop.sleep: Invalid value: 9: must be non-negative and less than terminationGracePeriodSeconds (5)",
        ],
    );
    let probe = "readinessProbe: {exec: {command: [a]}}";
    check_refused(
        &pod(&format!(
            "{{containers: [{{name: c, image: i}}], initContainers: [{{name: a, image: i, {probe}}}]}}"
        )),
        &[
            "spec.initContainers[0].readinessProbe: Forbidden: may not be set for init containers without restartPolicy=Always",
        ],
    );
    stored(&pod(&format!(
        "{{containers: [{{name: c, image: i}}], initContainers: [{{name: a, image: i, restartPolicy: Always, {probe}}}]}}"
    )));
}

#[test]
fn fields_of_the_pod_in_the_order_of_the_checks() {
    check_refused(
        &pod(
            "{containers: [{name: c, image: i}], restartPolicy: X, dnsPolicy: Y, nodeSelector: {a: \"b c\"}, \
              readinessGates: [{conditionType: \"a b\"}], serviceAccountName: A, nodeName: N, \
              activeDeadlineSeconds: 0, hostname: a.b, subdomain: \"-\", \
              tolerations: [{key: \"a b\"}], hostAliases: [{ip: x, hostnames: [A]}]}",
        ),
        &[
            "spec.restartPolicy: Unsupported value: \"X\": supported values: \"Always\", \"OnFailure\", \"Never\"",
            "spec.dnsPolicy: Unsupported value: \"Y\": supported values: \"ClusterFirstWithHostNet\", \"ClusterFirst\", \"Default\", \"None\"",
            "spec.nodeSelector: Invalid value: \"b c\": a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')",
            &format!("spec.readinessGates[0].conditionType: Invalid value: \"a b\": {NAME_PART}"),
            &format!("spec.serviceAccountName: Invalid value: \"A\": {SUBDOMAIN}"),
            &format!("spec.nodeName: Invalid value: \"N\": {SUBDOMAIN}"),
            "spec.activeDeadlineSeconds: Invalid value: 0: must be between 1 and 2147483647, inclusive",
            "spec.hostname: Invalid value: \"a.b\": must not contain dots",
            "spec.subdomain: Invalid value: \"-\": a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')",
            &format!("spec.tolerations[0].key: Invalid value: \"a b\": {NAME_PART}"),
            "spec.hostAliases[0].ip: Invalid value: \"x\": must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)",
            &format!("spec.hostAliases[0].hostnames[0]: Invalid value: \"A\": {SUBDOMAIN}"),
        ],
    );
}

const NAME_PART: &str = "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";
const SUBDOMAIN: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";

#[test]
fn tolerations() {
    let check = |toleration: &str, expected: &str| {
        check_refused(
            &pod(&format!(
                "{{containers: [{{name: c, image: i}}], tolerations: [{toleration}]}}"
            )),
            &[&format!("spec.tolerations[0].{expected}")],
        );
    };
    check(
        "{effect: NoSchedule}",
        "operator: Invalid value: \"\": operator must be Exists when `key` is empty, which means \"match all values and all keys\"",
    );
    check(
        "{key: a, operator: Exists, tolerationSeconds: 3}",
        "effect: Invalid value: \"\": effect must be 'NoExecute' when `tolerationSeconds` is set",
    );
    check(
        "{key: a, operator: Exists, value: b}",
        "operator: Invalid value: \"b\": value must be empty when `operator` is 'Exists'",
    );
    check(
        "{key: a, operator: X}",
        "operator: Unsupported value: \"X\": supported values: \"Equal\", \"Exists\"",
    );
    check(
        "{key: a, effect: X}",
        "effect: Unsupported value: \"X\": supported values: \"NoSchedule\", \"PreferNoSchedule\", \"NoExecute\"",
    );
}

#[test]
fn resolver_settings() {
    let check = |config: &str, expected: &[&str]| {
        check_refused(
            &pod(&format!(
                "{{containers: [{{name: c, image: i}}], {config}}}"
            )),
            expected,
        );
    };
    check(
        "dnsPolicy: None",
        &["spec.dnsConfig: Required value: must provide `dnsConfig` when `dnsPolicy` is None"],
    );
    check(
        "dnsPolicy: None, dnsConfig: {searches: [a]}",
        &[
            "spec.dnsConfig.nameservers: Required value: must provide at least one DNS nameserver when `dnsPolicy` is None",
        ],
    );
    check(
        "dnsConfig: {nameservers: [10.0.0.1, 10.0.0.2, 10.0.0.3, x], searches: [., _a.b., A], options: [{value: \"1\"}]}",
        &[
            "spec.dnsConfig.nameservers: Invalid value: [\"10.0.0.1\",\"10.0.0.2\",\"10.0.0.3\",\"x\"]: must not have more than 3 nameservers",
            "spec.dnsConfig.nameservers[3]: Invalid value: \"x\": must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)",
            "spec.dnsConfig.searches[2]: Invalid value: \"A\": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '_', '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '_?[a-z0-9]([-_a-z0-9]*[a-z0-9])?(\\._?[a-z0-9]([-_a-z0-9]*[a-z0-9])?)*')",
            "spec.dnsConfig.options[0]: Required value: must not be empty",
        ],
    );
}

#[test]
fn api_58_warnings_about_pods() {
    check_warnings(
        &pod(
            "{terminationGracePeriodSeconds: -1, hostAliases: [{ip: 10.0.0.1}, {ip: 10.0.0.1}], \
              dnsConfig: {nameservers: [\"FD00::1\"]}, \
              containers: [{name: c, image: i, ports: [{containerPort: 80}, {containerPort: 80}, {containerPort: 80, hostPort: 8}, {containerPort: 81, hostIP: 10.0.0.1}]}]}",
        ),
        &[
            "spec.hostAliases[1].ip: duplicate ip \"10.0.0.1\"",
            "spec.containers[0].ports[1]: duplicate port definition with spec.containers[0].ports[0]",
            "spec.containers[0].ports[2]: overlapping port definition with spec.containers[0].ports[0]",
            "spec.containers[0].ports[2]: overlapping port definition with spec.containers[0].ports[1]",
            "spec.containers[0].ports[3]: hostIP set without hostPort: {Name: HostPort:0 ContainerPort:81 Protocol:TCP HostIP:10.0.0.1}",
            "spec.terminationGracePeriodSeconds: must be >= 0; negative values are invalid and will be treated as 1",
            "spec.dnsConfig.nameservers[0]: IPv6 address \"FD00::1\" should be in RFC 5952 canonical format (\"fd00::1\")",
        ],
    );
}

#[test]
fn addresses_in_the_status() {
    let check = |status: &str, expected: &str| {
        check_refused(
            &format!(
                "{{apiVersion: v1, kind: Pod, metadata: {{name: p}}, spec: {{containers: [{{name: c, image: i}}]}}, status: {status}}}"
            ),
            &[expected],
        );
    };
    check(
        "{podIP: x}",
        "status.podIPs[0]: Invalid value: \"x\": must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)",
    );
    check(
        "{podIPs: [{ip: 10.0.0.1}, {ip: 10.0.0.2}]}",
        "status.podIPs: Invalid value: [{\"IP\":\"10.0.0.1\"},{\"IP\":\"10.0.0.2\"}]: may specify no more than one IP for each IP family",
    );
}
