//! Deployments, ReplicaSets, StatefulSets, DaemonSets.

use serde_json::{Value, json};

use crate::support::{check_refused, check_update, check_update_refused, check_warnings, stored};

const TEMPLATE: &str =
    "template: {metadata: {labels: {app: web}}, spec: {containers: [{name: c, image: i}]}}";
const SELECTOR: &str = "selector: {matchLabels: {app: web}}";

fn workload(kind: &str, fields: &str) -> String {
    format!("{{apiVersion: apps/v1, kind: {kind}, metadata: {{name: w}}, spec: {{{fields}}}}}")
}

/// A valid workload of `kind` with further fields.
fn with(kind: &str, fields: &str) -> String {
    workload(kind, &format!("{SELECTOR}, {TEMPLATE}, {fields}"))
}

const KINDS: [&str; 4] = ["Deployment", "ReplicaSet", "StatefulSet", "DaemonSet"];

#[test]
fn defaults() {
    let spec = |kind: &str| {
        let mut spec = stored(&with(kind, ""))["spec"].clone();
        let fields = spec.as_object_mut().unwrap();
        fields.shift_remove("selector");
        let template = fields.shift_remove("template").unwrap();
        (spec, template)
    };
    let (deployment, template) = spec("Deployment");
    let figures = json!({"maxUnavailable": "25%", "maxSurge": "25%"});
    let expected = json!({
        "replicas": 1, "revisionHistoryLimit": 10, "progressDeadlineSeconds": 600,
        "strategy": {"type": "RollingUpdate", "rollingUpdate": figures},
    });
    assert_eq!(deployment, expected);
    let expected = json!({
        "metadata": {"labels": {"app": "web"}},
        "spec": {
            "containers": [{
                "name": "c", "image": "i", "resources": {}, "imagePullPolicy": "Always",
                "terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "File",
            }],
            "restartPolicy": "Always", "terminationGracePeriodSeconds": 30,
            "dnsPolicy": "ClusterFirst", "schedulerName": "default-scheduler",
        },
    });
    assert_eq!(
        template, expected,
        "what only Pods get is not in a template"
    );
    assert_eq!(spec("ReplicaSet").0, json!({"replicas": 1}));
    let figures = json!({"maxUnavailable": 1, "maxSurge": 0});
    let expected = json!({
        "revisionHistoryLimit": 10,
        "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": figures},
    });
    assert_eq!(spec("DaemonSet").0, expected);
    let expected = json!({
        "replicas": 1, "revisionHistoryLimit": 10, "serviceName": "", "podManagementPolicy": "OrderedReady",
        "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": 0}},
        "persistentVolumeClaimRetentionPolicy": {"whenDeleted": "Retain", "whenScaled": "Retain"},
    });
    assert_eq!(spec("StatefulSet").0, expected);
}

#[test]
fn selectors() {
    let mismatch = "spec.template.metadata.labels: Invalid value: {\"app\":\"web\"}: `selector` does not match template `labels`";
    let required = "spec.selector: Required value";
    for kind in KINDS {
        let nothing: &[&str] = if kind == "DaemonSet" {
            &[mismatch]
        } else {
            &[required, mismatch]
        };
        check_refused(&workload(kind, TEMPLATE), nothing);
        let other = format!("selector: {{matchLabels: {{app: other}}}}, {TEMPLATE}");
        check_refused(&workload(kind, &other), &[mismatch]);
        let word = if kind == "ReplicaSet" {
            "deployment".to_owned()
        } else {
            kind.to_lowercase()
        };
        let empty =
            format!("spec.selector: Invalid value: {{}}: empty selector is invalid for {word}");
        check_refused(
            &workload(kind, &format!("selector: {{}}, {TEMPLATE}")),
            &[&empty],
        );
    }
    let exact = "selector: {matchExpressions: [{key: app, operator: In, values: [web, api]}, {key: old, operator: DoesNotExist}]}";
    stored(&workload("Deployment", &format!("{exact}, {TEMPLATE}")));
    let not = "selector: {matchExpressions: [{key: app, operator: NotIn, values: [web]}]}";
    check_refused(
        &workload("Deployment", &format!("{not}, {TEMPLATE}")),
        &[mismatch],
    );
}

#[test]
fn a_broken_selector_is_not_held_against_the_template() {
    let broken = format!(
        "selector: {{matchExpressions: [{{key: app, operator: In}}, {{key: a, operator: Exists, values: [b]}}, {{key: a, operator: X}}]}}, {TEMPLATE}"
    );
    let shown = "{\"matchExpressions\":[{\"key\":\"app\",\"operator\":\"In\"},{\"key\":\"a\",\"operator\":\"Exists\",\"values\":[\"b\"]},{\"key\":\"a\",\"operator\":\"X\"}]}";
    let at = "spec.selector.matchExpressions";
    let lines = [
        format!(
            "{at}[0].values: Required value: must be specified when `operator` is 'In' or 'NotIn'"
        ),
        format!(
            "{at}[1].values: Forbidden: may not be specified when `operator` is 'Exists' or 'DoesNotExist'"
        ),
        format!("{at}[2].operator: Invalid value: \"X\": not a valid selector operator"),
    ];
    for (kind, last) in [
        ("Deployment", Some(": invalid label selector")),
        ("ReplicaSet", Some(": invalid label selector")),
        ("StatefulSet", Some("")),
        ("DaemonSet", None),
    ] {
        let last = last.map(|detail| format!("spec.selector: Invalid value: {shown}{detail}"));
        let lines: Vec<&str> = lines.iter().chain(&last).map(String::as_str).collect();
        check_refused(&workload(kind, &broken), &lines);
    }
}

#[test]
fn templates_are_checked_like_pods_and_run_for_ever() {
    let template = "template: {metadata: {labels: {app: web}}, spec: {containers: [{name: C, image: i}], restartPolicy: Never, activeDeadlineSeconds: 5}}";
    let name = "spec.template.spec.containers[0].name: Invalid value: \"C\": a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";
    let policy = "spec.template.spec.restartPolicy: Unsupported value: \"Never\": supported values: \"Always\"";
    for (kind, word) in [
        ("Deployment", "ReplicaSet"),
        ("ReplicaSet", "ReplicaSet"),
        ("DaemonSet", "DaemonSet"),
        ("StatefulSet", "StatefulSet"),
    ] {
        let deadline = format!(
            "spec.template.spec.activeDeadlineSeconds: Forbidden: activeDeadlineSeconds in {word} is not Supported"
        );
        let all = [name, policy, &deadline];
        let lines = if kind == "StatefulSet" {
            &all[1..]
        } else {
            &all[..]
        };
        check_refused(&workload(kind, &format!("{SELECTOR}, {template}")), lines);
    }
    let labels = "template: {metadata: {labels: {app: web, b: \"c d\"}}, spec: {containers: [{name: c, image: i}]}}";
    let label = "spec.template.labels: Invalid value: \"c d\": a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')";
    check_refused(
        &workload("Deployment", &format!("{SELECTOR}, {labels}")),
        &[label],
    );
}

#[test]
fn figures_of_deployments() {
    let negative = "must be greater than or equal to 0";
    check_refused(
        &with(
            "Deployment",
            "replicas: -1, minReadySeconds: -2, revisionHistoryLimit: -3, progressDeadlineSeconds: -4",
        ),
        &[
            &format!("spec.replicas: Invalid value: -1: {negative}"),
            &format!("spec.minReadySeconds: Invalid value: -2: {negative}"),
            &format!("spec.revisionHistoryLimit: Invalid value: -3: {negative}"),
            &format!("spec.progressDeadlineSeconds: Invalid value: -4: {negative}"),
            "spec.progressDeadlineSeconds: Invalid value: -4: must be greater than minReadySeconds",
        ],
    );
    let rolling = |figures: &str| {
        with(
            "Deployment",
            &format!("strategy: {{rollingUpdate: {figures}}}"),
        )
    };
    let at = "spec.strategy.rollingUpdate";
    check_refused(
        &rolling("{maxUnavailable: 0, maxSurge: 0%}"),
        &[&format!(
            "{at}.maxUnavailable: Invalid value: 0: may not be 0 when `maxSurge` is 0"
        )],
    );
    check_refused(
        &rolling("{maxUnavailable: 101%, maxSurge: many}"),
        &[
            &format!(
                "{at}.maxSurge: Invalid value: \"many\": a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or '93%', regex used for validation is '[0-9]+%')"
            ),
            &format!("{at}.maxUnavailable: Invalid value: \"101%\": must not be greater than 100%"),
        ],
    );
    check_refused(
        &with(
            "Deployment",
            "strategy: {type: Recreate, rollingUpdate: {}}",
        ),
        &[&format!(
            "{at}: Forbidden: may not be specified when strategy `type` is 'Recreate'"
        )],
    );
    check_refused(
        &with("Deployment", "strategy: {type: Blue}"),
        &[
            "spec.strategy: Unsupported value: {\"Type\":\"Blue\",\"RollingUpdate\":null}: supported values: \"Recreate\", \"RollingUpdate\"",
        ],
    );
}

#[test]
fn figures_of_the_other_kinds() {
    let at = "spec.updateStrategy";
    check_refused(
        &with(
            "DaemonSet",
            "updateStrategy: {rollingUpdate: {maxSurge: 1}}",
        ),
        &[&format!(
            "{at}.rollingUpdate.maxSurge: Invalid value: 1: may not be set when maxUnavailable is non-zero"
        )],
    );
    check_refused(
        &with(
            "DaemonSet",
            "updateStrategy: {rollingUpdate: {maxUnavailable: 0}}",
        ),
        &[&format!(
            "{at}.rollingUpdate.maxUnavailable: Required value: cannot be 0 when maxSurge is 0"
        )],
    );
    check_refused(
        &with("DaemonSet", "updateStrategy: {type: X}"),
        &[&format!(
            "{at}: Unsupported value: {{\"Type\":\"X\",\"RollingUpdate\":null}}: supported values: \"RollingUpdate\", \"OnDelete\""
        )],
    );
    check_refused(
        &with(
            "StatefulSet",
            "podManagementPolicy: X, updateStrategy: {type: OnDelete, rollingUpdate: {partition: 1}}, replicas: -1",
        ),
        &[
            "spec.podManagementPolicy: Invalid value: \"X\": must be 'OrderedReady' or 'Parallel'",
            &format!(
                "{at}.rollingUpdate: Invalid value: {{\"Partition\":1,\"MaxUnavailable\":null}}: only allowed for updateStrategy 'RollingUpdate'"
            ),
            "spec.replicas: Invalid value: -1: must be greater than or equal to 0",
        ],
    );
    check_refused(
        &with(
            "StatefulSet",
            "updateStrategy: {rollingUpdate: {partition: -1, maxUnavailable: 0}}",
        ),
        &[
            &format!(
                "{at}.rollingUpdate.partition: Invalid value: -1: must be greater than or equal to 0"
            ),
            &format!("{at}.rollingUpdate.maxUnavailable: Invalid value: 0: cannot be 0"),
        ],
    );
}

#[test]
fn selectors_and_most_of_a_stateful_set_do_not_change() {
    let both = "template: {metadata: {labels: {app: web, b: c}}, spec: {containers: [{name: c, image: i}]}}";
    for kind in ["Deployment", "ReplicaSet", "DaemonSet"] {
        check_update_refused(
            &workload(kind, &format!("{SELECTOR}, {both}")),
            &workload(
                kind,
                &format!("selector: {{matchLabels: {{b: c}}}}, {both}"),
            ),
            &["spec.selector: Invalid value: {\"matchLabels\":{\"b\":\"c\"}}: field is immutable"],
        );
    }
    check_update_refused(
        &with("StatefulSet", "serviceName: a"),
        &with("StatefulSet", "serviceName: b"),
        &[
            "spec: Forbidden: updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden",
        ],
    );
    let second = with(
        "StatefulSet",
        "replicas: 3, minReadySeconds: 4, updateStrategy: {type: OnDelete}, ordinals: {start: 5}, revisionHistoryLimit: 6",
    );
    check_update(&with("StatefulSet", ""), &second);
}

#[test]
fn api_36_generations_of_workloads() {
    let generation = |kind: &str, first: &str, second: &str| -> Value {
        let written = check_update(&with(kind, first), second);
        written.object.to_fields()["metadata"]["generation"].clone()
    };
    for kind in KINDS {
        assert_eq!(
            generation(kind, "", &with(kind, "minReadySeconds: 3")),
            2,
            "{kind}"
        );
        assert_eq!(generation(kind, "", &with(kind, "")), 1, "{kind}");
        let annotated = with(kind, "").replace("{name: w}", "{name: w, annotations: {a: b}}");
        let expected = if kind == "Deployment" { 2 } else { 1 };
        assert_eq!(generation(kind, "", &annotated), expected, "{kind}");
    }
}

#[test]
fn api_58_warnings_about_workloads() {
    for kind in ["Deployment", "ReplicaSet"] {
        check_warnings(
            &with(kind, "").replace("{name: w}", "{name: a.b}"),
            &[
                "metadata.name: this is used in Pod names and hostnames, which can result in surprising behavior; a DNS label is recommended: [must not contain dots]",
            ],
        );
    }
    for kind in KINDS {
        let negative = TEMPLATE.replace(
            "containers",
            "terminationGracePeriodSeconds: -1, containers",
        );
        check_warnings(
            &workload(kind, &format!("{SELECTOR}, {negative}")),
            &[
                "spec.template.spec.terminationGracePeriodSeconds: must be >= 0; negative values are invalid and will be treated as 1",
            ],
        );
    }
}
