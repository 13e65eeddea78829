//! Pods: what an update may change, and what is counted.

use api::{Kind, ObjectKey};
use switchboard_api as api;

use crate::support::{NOW, check_update, check_update_refused, object, server};

fn pod(spec: &str) -> String {
    format!("{{apiVersion: v1, kind: Pod, metadata: {{name: p}}, spec: {spec}}}")
}

const FIXED: &str = "spec: Forbidden: pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)";

#[test]
fn next_to_nothing_of_the_spec_may_change() {
    let first = pod("{containers: [{name: c, image: i}], nodeName: a}");
    for second in [
        "{containers: [{name: d, image: i}], nodeName: a}",
        "{containers: [{name: c, image: i, ports: [{containerPort: 80}]}], nodeName: a}",
        "{containers: [{name: c, image: i}], nodeName: b}",
        "{containers: [{name: c, image: i}], nodeName: a, hostNetwork: true}",
        "{containers: [{name: c, image: i}], nodeName: a, terminationGracePeriodSeconds: 1}",
    ] {
        check_update_refused(&first, &pod(second), &[FIXED]);
    }
    check_update_refused(
        &first,
        &pod("{containers: [{name: c, image: i}, {name: d, image: i}], nodeName: a}"),
        &["spec.containers: Forbidden: pod updates may not add or remove containers"],
    );
}

#[test]
fn images_tolerations_deadlines_and_a_first_node_may_change() {
    let first = pod("{containers: [{name: c, image: i:1}], terminationGracePeriodSeconds: -1}");
    let second = pod(
        "{containers: [{name: c, image: i:2}], nodeName: a, terminationGracePeriodSeconds: 1, \
                      activeDeadlineSeconds: 9, tolerations: [{key: a, operator: Exists}]}",
    );
    let written = check_update(&first, &second);
    let pod = written.object.as_pod().unwrap();
    assert_eq!(
        (
            pod.spec.node_name.as_str(),
            pod.spec.containers[0].image.as_str()
        ),
        ("a", "i:2")
    );
    assert_eq!(pod.metadata.generation, Some(2));
    assert!(written.warnings.is_empty(), "updates are not warned about");
}

#[test]
fn deadlines_come_nearer_and_tolerations_stay() {
    let with = |more: &str| pod(&format!("{{containers: [{{name: c, image: i}}], {more}}}"));
    let first = with(
        "activeDeadlineSeconds: 9, tolerations: [{key: a, operator: Exists, effect: NoSchedule}]",
    );
    let tolerations = "tolerations: [{key: a, operator: Exists, effect: NoSchedule}]";
    check_update_refused(
        &first,
        &with(&format!("activeDeadlineSeconds: 10, {tolerations}")),
        &[
            "spec.activeDeadlineSeconds: Invalid value: 10: must be less than or equal to previous value",
        ],
    );
    check_update_refused(
        &first,
        &with(tolerations),
        &[
            "spec.activeDeadlineSeconds: Invalid value: null: must not update from a positive integer to nil value",
        ],
    );
    check_update_refused(
        &first,
        &with("activeDeadlineSeconds: 8"),
        &[
            "spec.tolerations: Forbidden: existing toleration can not be modified except its tolerationSeconds",
        ],
    );
    check_update(
        &first,
        &with(&format!("activeDeadlineSeconds: 8, {tolerations}")),
    );
}

#[test]
fn a_written_status_is_checked_too() {
    let mut server = server();
    let first = pod("{containers: [{name: c, image: i}]}");
    server.create(object(&first), NOW).unwrap();
    let status = "status: {phase: Running, podIP: 10.0.0.300}";
    let bad = format!(
        "{{apiVersion: v1, kind: Pod, metadata: {{name: p, namespace: default}}, {status}}}"
    );
    let refused = server.update_status(object(&bad), NOW).unwrap_err();
    assert_eq!(refused.causes[0].field, "status.podIPs[0]");
    let good = bad.replace("300", "3");
    server.update_status(object(&good), NOW).unwrap();
    let key = ObjectKey::new(Kind::Pod, "default", "p");
    let pod = server.get(&key).unwrap().as_pod().unwrap();
    assert_eq!(pod.status.pod_ips[0].ip, "10.0.0.3");
    assert_eq!(
        pod.metadata.generation,
        Some(1),
        "a status is not what the user wants"
    );
}
