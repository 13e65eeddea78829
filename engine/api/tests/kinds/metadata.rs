//! `metadata` of any kind, and the errors about versions and identities.

use api::{DeleteOptions, Kind, ObjectKey, Reason};
use switchboard_api as api;

use crate::support::{NOW, check_refused, check_update_refused, object, server, stored};

fn with(kind: &str, meta: &str) -> String {
    let (version, fields) = match kind {
        "Service" => ("v1", "spec: {ports: [{port: 80}]}"),
        "Pod" => ("v1", "spec: {containers: [{name: c, image: i}]}"),
        "EndpointSlice" => ("discovery.k8s.io/v1", "addressType: IPv4"),
        "NetworkPolicy" => ("networking.k8s.io/v1", "spec: {podSelector: {}}"),
        "Node" | "Namespace" | "ConfigMap" | "Endpoints" => ("v1", "{}"),
        _ => (
            "apps/v1",
            "spec: {selector: {matchLabels: {a: b}}, template: {metadata: {labels: {a: b}}, spec: {containers: [{name: c, image: i}]}}}",
        ),
    };
    let fields = if fields == "{}" {
        String::new()
    } else {
        format!(", {fields}")
    };
    format!("{{apiVersion: {version}, kind: {kind}, metadata: {meta}{fields}}}")
}

const LABEL: &str = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";
const SUBDOMAIN: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
const NAME_PART: &str = "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";

#[test]
fn api_14_and_19_which_names_are_labels_and_which_subdomains() {
    for kind in ["Service", "StatefulSet"] {
        let text = "metadata.name: Invalid value: \"a.b\": must not contain dots";
        check_refused(&with(kind, "{name: a.b}"), &[text]);
        check_refused(
            &with(kind, "{name: A}"),
            &[&format!("metadata.name: Invalid value: \"A\": {LABEL}")],
        );
        stored(&with(kind, "{name: 1a}"));
    }
    for kind in [
        "Pod",
        "Node",
        "Endpoints",
        "EndpointSlice",
        "Deployment",
        "ReplicaSet",
        "DaemonSet",
        "NetworkPolicy",
    ] {
        check_refused(
            &with(kind, "{name: A}"),
            &[&format!("metadata.name: Invalid value: \"A\": {SUBDOMAIN}")],
        );
        stored(&with(kind, "{name: a.b}"));
        let missing = "metadata.name: Required value: name or generateName is required";
        check_refused(&with(kind, "{}"), &[missing]);
    }
}

#[test]
fn kinds_without_an_effect_need_a_name_that_fits_in_a_path() {
    stored(&with("ConfigMap", "{name: \"System:Node\"}"));
    check_refused(
        &with("ConfigMap", "{name: a/b%}"),
        &[
            "metadata.name: Invalid value: \"a/b%\": may not contain '/'",
            "metadata.name: Invalid value: \"a/b%\": may not contain '%'",
        ],
    );
    check_refused(
        &with("ConfigMap", "{name: ..}"),
        &["metadata.name: Invalid value: \"..\": may not be '..'"],
    );
}

#[test]
fn a_prefix_is_checked_and_completed() {
    let stored = stored(&with("Service", "{generateName: web-}"));
    assert!(
        stored["metadata"]["name"]
            .as_str()
            .unwrap()
            .starts_with("web-")
    );
    let mut server = server();
    let refused = server
        .create(object(&with("Service", "{generateName: Web-}")), NOW)
        .unwrap_err();
    let fields: Vec<&str> = refused
        .causes
        .iter()
        .map(|cause| cause.field.as_str())
        .collect();
    assert_eq!(fields, ["metadata.generateName", "metadata.name"]);
}

#[test]
fn api_20_and_21_labels_and_annotations_of_every_kind() {
    for kind in [
        "Service",
        "Pod",
        "Node",
        "Deployment",
        "NetworkPolicy",
        "ConfigMap",
        "Endpoints",
    ] {
        check_refused(
            &with(
                kind,
                "{name: a, labels: {\"a b\": c}, annotations: {\"d e\": f}}",
            ),
            &[
                &format!("metadata.labels: Invalid value: \"a b\": {NAME_PART}"),
                &format!("metadata.annotations: Invalid value: \"d e\": {NAME_PART}"),
            ],
        );
    }
}

#[test]
fn owners() {
    check_refused(
        &with("Pod", "{name: a, ownerReferences: [{}]}"),
        &[
            "metadata.ownerReferences.apiVersion: Invalid value: \"\": version must not be empty",
            "metadata.ownerReferences.kind: Invalid value: \"\": must not be empty",
            "metadata.ownerReferences.name: Invalid value: \"\": must not be empty",
            "metadata.ownerReferences.uid: Invalid value: \"\": must not be empty",
        ],
    );
    let owner =
        |kind: &str, more: &str| format!("{{apiVersion: v1, kind: {kind}, name: x, uid: u{more}}}");
    check_refused(
        &with(
            "Pod",
            &format!("{{name: a, ownerReferences: [{}]}}", owner("Event", "")),
        ),
        &[
            "metadata.ownerReferences: Invalid value: {\"apiVersion\":\"v1\",\"kind\":\"Event\",\"name\":\"x\",\"uid\":\"u\"}: /v1, Kind=Event is disallowed from being an owner",
        ],
    );
    let (one, other) = (
        owner("Pod", ", controller: true"),
        owner("Node", ", controller: true"),
    );
    check_refused(
        &with(
            "Pod",
            &format!("{{name: a, ownerReferences: [{one}, {other}]}}"),
        ),
        &[
            "metadata.ownerReferences: Invalid value: [{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"name\":\"x\",\"uid\":\"u\",\"controller\":true},{\"apiVersion\":\"v1\",\"kind\":\"Node\",\"name\":\"x\",\"uid\":\"u\",\"controller\":true}]: Only one reference can have Controller set to true. Found \"true\" in references for Pod/x and Node/x",
        ],
    );
}

#[test]
fn finalizers() {
    check_refused(
        &with(
            "Pod",
            "{name: a, finalizers: [orphan, foregroundDeletion, mine]}",
        ),
        &[
            "metadata.finalizers: Invalid value: [\"orphan\",\"foregroundDeletion\",\"mine\"]: finalizer orphan and foregroundDeletion cannot be both set",
            "metadata.finalizers[2]: Invalid value: \"mine\": name is neither a standard finalizer name nor is it fully qualified",
        ],
    );
    stored(&with(
        "Pod",
        "{name: a, finalizers: [kubernetes, example.com/mine]}",
    ));
}

#[test]
fn api_85_what_a_deletion_leaves_alone() {
    let mut server = server();
    let running = with("Pod", "{name: a}").replace("spec: {", "spec: {nodeName: n, ");
    server.create(object(&running), NOW).unwrap();
    let key = ObjectKey::new(Kind::Pod, "default", "a");
    server.delete(&key, &DeleteOptions::default(), NOW).unwrap();
    let before = server.get(&key).unwrap().meta().clone();
    let more = running.replace(
        "{name: a}",
        "{name: a, finalizers: [example.com/b, example.com/a]}",
    );
    let refused = server.replace(object(&more), NOW).unwrap_err();
    assert_eq!(
        refused.message,
        "Pod \"a\" is invalid: metadata.finalizers: Forbidden: no new finalizers can be added if the object is being deleted, found new finalizers []string{\"example.com/a\", \"example.com/b\"}"
    );
    let other = running.replace(
        "{name: a}",
        "{name: a, labels: {b: c}, creationTimestamp: \"2020-01-01T00:00:00Z\"}",
    );
    server.replace(object(&other), NOW).unwrap();
    let after = server.get(&key).unwrap().meta();
    assert_eq!(after.deletion_timestamp, before.deletion_timestamp);
    assert_eq!(
        after.deletion_grace_period_seconds,
        before.deletion_grace_period_seconds
    );
    assert_eq!(after.creation_timestamp, before.creation_timestamp);
    assert_eq!(after.labels["b"], "c");
}

#[test]
fn api_85_a_write_begins_no_deletion() {
    check_update_refused(
        &with("Pod", "{name: a}"),
        &with(
            "Pod",
            "{name: a, deletionTimestamp: \"2026-01-01T00:00:00Z\", deletionGracePeriodSeconds: 3}",
        ),
        &[
            "metadata.deletionTimestamp: Invalid value: \"2026-01-01T00:00:00Z\": field is immutable",
            "metadata.deletionGracePeriodSeconds: Invalid value: 3: field is immutable",
        ],
    );
}

#[test]
fn api_10_and_11_versions_and_identities_must_be_the_stored_ones() {
    let mut server = server();
    let written = server
        .create(object(&with("Service", "{name: web}")), NOW)
        .unwrap();
    let uid = written.object.meta().uid.clone();
    let stale = server.replace(
        object(&with("Service", "{name: web, resourceVersion: \"1\"}")),
        NOW,
    );
    let stale = stale.unwrap_err();
    assert_eq!((stale.code, stale.reason), (409, Reason::Conflict));
    assert_eq!(
        stale.message,
        "Operation cannot be fulfilled on services \"web\": the object has been modified; please apply your changes to the latest version and try again"
    );
    let other = server
        .replace(object(&with("Service", "{name: web, uid: other}")), NOW)
        .unwrap_err();
    let text =
        format!("Precondition failed: UID in precondition: other, UID in object meta: {uid}");
    assert!(other.message.ends_with(&text), "{}", other.message);
    let options = DeleteOptions {
        resource_version: Some("1".to_owned()),
        ..DeleteOptions::default()
    };
    let key = ObjectKey::new(Kind::Service, "default", "web");
    let kept = server.delete(&key, &options, NOW).unwrap_err();
    assert!(
        kept.message
            .contains("Precondition failed: ResourceVersion in precondition: 1, ")
    );
}

#[test]
fn api_83_and_84_what_is_created_has_no_version_yet() {
    let manifest = |name: &str, version: &str| {
        object(&format!(
            "{{apiVersion: v1, kind: Service, metadata: {{name: {name}, resourceVersion: \"{version}\"}}, spec: {{ports: [{{port: 80}}]}}}}"
        ))
    };
    let text = "Error from server: error when creating \"STDIN\": resourceVersion should not be set on objects to be created";
    // The name that is taken comes after the version.
    let table = [
        ("1", Some(text)),
        ("999", Some(text)),
        ("0", None),
        ("-1", None),
        ("", None),
    ];
    for (version, refused) in table {
        let mut server = server();
        let before = server.revision();
        let created = server.create(manifest("web", version), NOW);
        let seen = created.err().map(|status| status.kubectl_text());
        assert_eq!(seen.as_deref(), refused, "{version:?}");
        assert_eq!(
            server.revision() == before,
            refused.is_some(),
            "{version:?}"
        );
        let again = server
            .create(manifest("kubernetes", version), NOW)
            .unwrap_err();
        assert_eq!(
            again.code,
            if refused.is_some() { 500 } else { 409 },
            "{version:?}"
        );
        // A dump of a real cluster has versions.
        let applied = server.apply(manifest("other", version), NOW);
        assert!(applied.is_ok(), "{version:?}");
    }
}
