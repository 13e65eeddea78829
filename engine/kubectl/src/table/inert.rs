//! Kinds that networking ignores: the columns that kubectl has for the common ones, and name and age for all others.

use std::collections::BTreeSet;

use api::{Kind, Object};
use base::SimTime;
use serde_json::Value;

use super::{AGE, Column, NAME, clipped, shown, wide};
use crate::fields::{entries, flag, given, list, number, plain_at, text};
use crate::time::age;

const CONFIG_MAP: &[Column] = &[NAME, shown("DATA"), AGE];
const SECRET: &[Column] = &[NAME, shown("TYPE"), shown("DATA"), AGE];
const INGRESS: &[Column] = &[
    NAME,
    shown("CLASS"),
    shown("HOSTS"),
    shown("ADDRESS"),
    shown("PORTS"),
    AGE,
];
const INGRESS_CLASS: &[Column] = &[NAME, shown("CONTROLLER"), shown("PARAMETERS"), AGE];
const CRON_JOB: &[Column] = &[
    NAME,
    shown("SCHEDULE"),
    shown("TIMEZONE"),
    shown("SUSPEND"),
    shown("ACTIVE"),
    shown("LAST SCHEDULE"),
    AGE,
];
const BUDGET: &[Column] = &[
    NAME,
    shown("MIN AVAILABLE"),
    shown("MAX UNAVAILABLE"),
    shown("ALLOWED DISRUPTIONS"),
    AGE,
];
const LEASE: &[Column] = &[NAME, shown("HOLDER"), AGE];
const CREATED: &[Column] = &[NAME, shown("CREATED AT")];
const BINDING: &[Column] = &[
    NAME,
    shown("ROLE"),
    AGE,
    wide("USERS"),
    wide("GROUPS"),
    wide("SERVICEACCOUNTS"),
];
const RUNTIME_CLASS: &[Column] = &[NAME, shown("HANDLER"), AGE];
const CONTROLLER: &[Column] = &[
    NAME,
    shown("DESIRED"),
    shown("CURRENT"),
    shown("READY"),
    AGE,
];
const BARE: &[Column] = &[NAME, AGE];

pub(super) fn columns(kind: Kind) -> &'static [Column] {
    match kind.name() {
        "ConfigMap" => CONFIG_MAP,
        "Secret" => SECRET,
        "Ingress" => INGRESS,
        "IngressClass" => INGRESS_CLASS,
        "CronJob" => CRON_JOB,
        "PodDisruptionBudget" => BUDGET,
        "Lease" => LEASE,
        "Role" | "ClusterRole" | "CustomResourceDefinition" | "LimitRange" => CREATED,
        "RoleBinding" | "ClusterRoleBinding" => BINDING,
        "RuntimeClass" => RUNTIME_CLASS,
        "ReplicationController" => CONTROLLER,
        _ => BARE,
    }
}

pub(super) fn cells(object: &Object, now: SimTime) -> Vec<String> {
    let meta = object.meta();
    let value = Value::Object(object.to_fields());
    let mut cells = vec![meta.name.clone()];
    let own = match object.kind().name() {
        "ConfigMap" => {
            vec![(entries(&value, "/data") + entries(&value, "/binaryData")).to_string()]
        }
        "Secret" => vec![
            text(&value, "/type").to_owned(),
            entries(&value, "/data").to_string(),
        ],
        "Ingress" => ingress(&value),
        "IngressClass" => ingress_class(&value),
        "CronJob" => cron_job(&value, now),
        "PodDisruptionBudget" => budget(&value),
        "Lease" => vec![text(&value, "/spec/holderIdentity").to_owned()],
        "Role" | "ClusterRole" | "CustomResourceDefinition" | "LimitRange" => {
            cells.push(meta.creation_timestamp.clone().unwrap_or_default());
            return cells;
        }
        "RoleBinding" | "ClusterRoleBinding" => vec![format!(
            "{}/{}",
            text(&value, "/roleRef/kind"),
            text(&value, "/roleRef/name")
        )],
        "RuntimeClass" => vec![text(&value, "/handler").to_owned()],
        "ReplicationController" => {
            let counts = [
                "/spec/replicas",
                "/status/replicas",
                "/status/readyReplicas",
            ];
            counts
                .map(|pointer| number(&value, pointer).to_string())
                .to_vec()
        }
        _ => Vec::new(),
    };
    cells.extend(own);
    cells.push(age(meta.creation_timestamp.as_deref(), now));
    if object.kind().name().ends_with("RoleBinding") {
        cells.extend(subjects(&value));
    }
    cells
}

fn or_none(given: Option<&str>) -> String {
    given.unwrap_or("<none>").to_owned()
}

fn ingress(value: &Value) -> Vec<String> {
    let annotation = "/metadata/annotations/kubernetes.io~1ingress.class";
    let class = given(value, "/spec/ingressClassName").or_else(|| given(value, annotation));
    let rules = list(value, "/spec/rules").iter();
    let hosts: Vec<String> = rules
        .filter_map(|rule| given(rule, "/host"))
        .map(str::to_owned)
        .collect();
    let hosts = match hosts.is_empty() {
        true => "*".to_owned(),
        false => clipped(hosts.into_iter()),
    };
    let entries = list(value, "/status/loadBalancer/ingress").iter();
    let addresses: BTreeSet<&str> = entries
        .filter_map(|entry| given(entry, "/ip").or_else(|| given(entry, "/hostname")))
        .collect();
    let addresses: Vec<&str> = addresses.into_iter().collect();
    let ports = match list(value, "/spec/tls").is_empty() {
        true => "80",
        false => "80, 443",
    };
    vec![or_none(class), hosts, addresses.join(","), ports.to_owned()]
}

fn ingress_class(value: &Value) -> Vec<String> {
    let parameters = given(value, "/spec/parameters/name").map(|name| {
        let kind = text(value, "/spec/parameters/kind");
        let group = given(value, "/spec/parameters/apiGroup");
        let group = group.map_or_else(String::new, |group| format!(".{group}"));
        format!("{kind}{group}/{name}")
    });
    let controller = text(value, "/spec/controller").to_owned();
    vec![controller, or_none(parameters.as_deref())]
}

fn cron_job(value: &Value, now: SimTime) -> Vec<String> {
    let suspended = match flag(value, "/spec/suspend") {
        true => "True",
        false => "False",
    };
    let last = given(value, "/status/lastScheduleTime");
    vec![
        text(value, "/spec/schedule").to_owned(),
        or_none(given(value, "/spec/timeZone")),
        suspended.to_owned(),
        list(value, "/status/active").len().to_string(),
        last.map_or_else(|| "<none>".to_owned(), |last| age(Some(last), now)),
    ]
}

fn budget(value: &Value) -> Vec<String> {
    let or_not = |pointer: &str| match plain_at(value, pointer) {
        unset if unset.is_empty() => "N/A".to_owned(),
        given => given,
    };
    vec![
        or_not("/spec/minAvailable"),
        or_not("/spec/maxUnavailable"),
        number(value, "/status/disruptionsAllowed").to_string(),
    ]
}

fn subjects(value: &Value) -> [String; 3] {
    let subjects = list(value, "/subjects");
    ["User", "Group", "ServiceAccount"].map(|kind| {
        let of_kind = subjects
            .iter()
            .filter(|subject| text(subject, "/kind") == kind);
        let names = of_kind.map(|subject| match given(subject, "/namespace") {
            Some(namespace) => format!("{namespace}/{}", text(subject, "/name")),
            None => text(subject, "/name").to_owned(),
        });
        names.collect::<Vec<_>>().join(", ")
    })
}

/// A text of at most so many bytes; what is longer ends with dots.
pub(super) fn cut(text: &str, width: Option<usize>) -> String {
    match width {
        Some(width) if text.len() > width => {
            let mut end = width - 3;
            while !text.is_char_boundary(end) {
                end -= 1;
            }
            format!("{}...", &text[..end])
        }
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(kind: &str, fields: Value, expected: &[&str]) {
        let kind = Kind::of_resource(kind).unwrap();
        let Value::Object(mut fields) = fields else {
            unreachable!("written as a mapping")
        };
        let metadata = json!({"name": "x", "creationTimestamp": "2026-01-01T00:00:00Z"});
        fields.insert("metadata".to_owned(), metadata);
        let object = Object::from_fields(kind, fields).unwrap();
        let cells = cells(&object, SimTime::from_nanos(5_000_000_000));
        assert_eq!(cells, expected);
        assert_eq!(cells.len(), columns(kind).len());
    }

    #[test]
    fn common_kinds_have_columns_of_their_own() {
        check(
            "cm",
            json!({"data": {"a": "b"}, "binaryData": {"c": ""}}),
            &["x", "2", "5s"],
        );
        check(
            "secret",
            json!({"type": "Opaque"}),
            &["x", "Opaque", "0", "5s"],
        );
        check("sa", json!({}), &["x", "5s"]);
        check(
            "ing",
            json!({
                "spec": {"ingressClassName": "nginx", "rules": [{"host": "a"}, {}], "tls": [{}]},
                "status": {"loadBalancer": {"ingress": [{"ip": "203.0.113.1"}]}},
            }),
            &["x", "nginx", "a", "203.0.113.1", "80, 443", "5s"],
        );
        check("ing", json!({}), &["x", "<none>", "*", "", "80", "5s"]);
        check("clusterrole", json!({}), &["x", "2026-01-01T00:00:00Z"]);
        check(
            "rolebinding",
            json!({
                "roleRef": {"kind": "Role", "name": "r"},
                "subjects": [{"kind": "User", "name": "u"}, {"kind": "ServiceAccount", "namespace": "n", "name": "s"}],
            }),
            &["x", "Role/r", "5s", "u", "", "n/s"],
        );
        check(
            "pdb",
            json!({"spec": {"minAvailable": 1}}),
            &["x", "1", "N/A", "0", "5s"],
        );
        check(
            "cj",
            json!({"spec": {"schedule": "* * * * *"}}),
            &["x", "* * * * *", "<none>", "False", "0", "<none>", "5s"],
        );
        check(
            "ingressclass",
            json!({"spec": {"controller": "c"}}),
            &["x", "c", "<none>", "5s"],
        );
        check(
            "rc",
            json!({"spec": {"replicas": 2}}),
            &["x", "2", "0", "0", "5s"],
        );
    }
}
