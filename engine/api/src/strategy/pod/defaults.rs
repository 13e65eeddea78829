//! What a Pod's `spec` gets where the user says nothing.
//!
//! **Source of the semantics.** `recorded/validation.yaml` (`pod-ok`, `pod-readiness-probe`); S:
//! `pkg/apis/core/v1/defaults.go`, the admission plugins DefaultTolerationSeconds and Priority.
//!
//! Most Pods get the same, so they share it: see [`Rest`].
//!
//! Deviation: volumes, pod-level resources and security contexts get no defaults, and a Pod with a
//! `priorityClassName` no `priority`.

use std::sync::LazyLock;

use serde_json::{Map, Value, json};

use crate::object::{
    Container, ContainerPort, HttpGetAction, LifecycleHandler, PodSpec, Probe, Rest, Toleration,
};

/// `terminationGracePeriodSeconds` of a Pod that states none.
const GRACE_SECONDS: i64 = 30;

/// Taints of a node that is away; how long they are borne (S: `defaulttolerationseconds/admission.go`).
const AWAY: [&str; 2] = [
    "node.kubernetes.io/not-ready",
    "node.kubernetes.io/unreachable",
];
const AWAY_SECONDS: i64 = 300;

static TEMPLATE: LazyLock<Rest> =
    LazyLock::new(|| rest(json!({"schedulerName": "default-scheduler"})));

static POD: LazyLock<Rest> = LazyLock::new(|| {
    rest(json!({
        "schedulerName": "default-scheduler",
        "tolerations": AWAY.map(away),
        "priority": 0,
        "enableServiceLinks": true,
        "preemptionPolicy": "PreemptLowerPriority",
    }))
});

/// A class brings its own priority.
static POD_OF_CLASS: LazyLock<Rest> = LazyLock::new(|| {
    rest(json!({
        "schedulerName": "default-scheduler",
        "tolerations": AWAY.map(away),
        "enableServiceLinks": true,
    }))
});

static PULLED_ALWAYS: LazyLock<Rest> = LazyLock::new(|| container_rest("Always"));
static PULLED_ONCE: LazyLock<Rest> = LazyLock::new(|| container_rest("IfNotPresent"));

/// Completes the `spec` of a Pod.
pub(super) fn pod_spec(spec: &mut PodSpec) {
    for container in spec.init_containers.iter_mut().chain(&mut spec.containers) {
        request_limits(container);
        if spec.host_network {
            container.ports.iter_mut().for_each(take_host_port);
        }
    }
    template_spec(spec);
    let has_class = spec.rest.get("priorityClassName").is_some();
    let defaults = if has_class { &*POD_OF_CLASS } else { &*POD };
    tolerate_absence(spec);
    spec.rest.complete(defaults);
}

/// Completes the `spec` of a workload's template.
pub(in crate::strategy) fn template_spec(spec: &mut PodSpec) {
    for container in spec.init_containers.iter_mut().chain(&mut spec.containers) {
        complete_container(container);
    }
    if spec.restart_policy.is_empty() {
        "Always".clone_into(&mut spec.restart_policy);
    }
    spec.termination_grace_period_seconds
        .get_or_insert(GRACE_SECONDS);
    if spec.dns_policy.is_empty() {
        "ClusterFirst".clone_into(&mut spec.dns_policy);
    }
    spec.rest.complete(&TEMPLATE);
}

fn complete_container(container: &mut Container) {
    for port in &mut container.ports {
        if port.protocol.is_empty() {
            "TCP".clone_into(&mut port.protocol);
        }
    }
    let probes = [
        &mut container.liveness_probe,
        &mut container.readiness_probe,
        &mut container.startup_probe,
    ];
    for probe in probes.into_iter().flatten() {
        complete_probe(probe);
    }
    if let Some(lifecycle) = &mut container.lifecycle {
        let hooks = [&mut lifecycle.post_start, &mut lifecycle.pre_stop];
        let requests = hooks.into_iter().flatten().filter_map(http_get);
        requests.for_each(complete_http_get);
    }
    let defaults = if is_latest(&container.image) {
        &*PULLED_ALWAYS
    } else {
        &*PULLED_ONCE
    };
    container.rest.complete(defaults);
}

fn complete_probe(probe: &mut Probe) {
    for (number, default) in [
        (&mut probe.timeout_seconds, 1),
        (&mut probe.period_seconds, 10),
        (&mut probe.success_threshold, 1),
        (&mut probe.failure_threshold, 3),
    ] {
        if *number == 0 {
            *number = default;
        }
    }
    if let Some(get) = &mut probe.http_get {
        complete_http_get(get);
    }
    if let Some(grpc) = &mut probe.grpc {
        grpc.service.get_or_insert_default();
    }
}

fn http_get(hook: &mut LifecycleHandler) -> Option<&mut HttpGetAction> {
    hook.http_get.as_mut()
}

fn complete_http_get(get: &mut HttpGetAction) {
    for (text, default) in [(&mut get.path, "/"), (&mut get.scheme, "HTTP")] {
        if text.is_empty() {
            default.clone_into(text);
        }
    }
}

/// On its node's network, a container's ports are the node's.
fn take_host_port(port: &mut ContainerPort) {
    if port.host_port == 0 {
        port.host_port = port.container_port;
    }
}

/// What is limited and not requested is requested up to the limit.
fn request_limits(container: &mut Container) {
    let resources = container.rest.get("resources").and_then(Value::as_object);
    let Some(mut resources) = resources.cloned() else {
        return;
    };
    let Some(Value::Object(limits)) = resources.get("limits").cloned() else {
        return;
    };
    let requests = resources
        .entry("requests")
        .or_insert_with(|| Map::new().into());
    let Value::Object(requests) = requests else {
        return;
    };
    for (resource, limit) in limits {
        requests.entry(resource).or_insert(limit);
    }
    container.rest.insert("resources", resources.into());
}

/// Adds the two tolerations to those that the user gives, unless they bear the taints already.
fn tolerate_absence(spec: &mut PodSpec) {
    let Some(Value::Array(given)) = spec.rest.get("tolerations") else {
        return;
    };
    let tolerations: Vec<Toleration> = spec.rest.typed("tolerations").unwrap_or_default();
    let borne = |taint: &str| {
        tolerations.iter().any(|toleration| {
            let same_key = toleration.key.is_empty() || toleration.key == taint;
            same_key && matches!(toleration.effect.as_str(), "" | "NoExecute")
        })
    };
    let missing: Vec<Value> = AWAY
        .into_iter()
        .filter(|taint| !borne(taint))
        .map(away)
        .collect();
    if !missing.is_empty() {
        let all = given.iter().cloned().chain(missing).collect();
        spec.rest.insert("tolerations", Value::Array(all));
    }
}

fn away(taint: &str) -> Value {
    json!({
        "key": taint,
        "operator": "Exists",
        "effect": "NoExecute",
        "tolerationSeconds": AWAY_SECONDS,
    })
}

/// Whether an image's tag is `latest`, which it is without one; an image with a digest needs none.
fn is_latest(image: &str) -> bool {
    let (name, digest) = match image.split_once('@') {
        Some((name, digest)) => (name, Some(digest)),
        None => (image, None),
    };
    let last = name.rsplit('/').next().unwrap_or_default();
    match last.split_once(':') {
        Some((_, tag)) => tag == "latest",
        None => digest.is_none(),
    }
}

fn container_rest(pull_policy: &str) -> Rest {
    rest(json!({
        "resources": {},
        "terminationMessagePath": "/dev/termination-log",
        "terminationMessagePolicy": "File",
        "imagePullPolicy": pull_policy,
    }))
}

fn rest(fields: Value) -> Rest {
    match fields {
        Value::Object(fields) => Rest::new(fields),
        _ => Rest::default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tag_says_how_often_an_image_is_pulled() {
        for image in [
            "nginx",
            "nginx:latest",
            "a.example:5000/nginx",
            "a/b/c:latest",
        ] {
            assert!(is_latest(image), "{image}");
        }
        for image in [
            "nginx:1",
            "a.example:5000/nginx:1",
            "nginx@sha256:0",
            "nginx:1@sha256:0",
        ] {
            assert!(!is_latest(image), "{image}");
        }
    }
}
