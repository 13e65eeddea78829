//! Pods.

use api::{Kind, Object, Pod, StringMap};
use serde_json::Value;

use super::event::About;
use super::page::Page;
use super::{View, container, volume};
use crate::fields::{flag, given, list, number, text};
use crate::quantity::Quantity;
use crate::time::{age, date};

/// Marks the Pod of a kubelet's own manifest, and says by which uid its events know it.
const MIRROR: &str = "kubernetes.io/config.mirror";

pub(super) fn page(pod: &Pod, view: &View<'_>) -> String {
    let value = Value::Object(Object::from(pod.clone()).to_fields());
    let mut page = Page::default();
    write_place(&mut page, pod, &value);
    page.labels_and_annotations(&pod.metadata);
    write_status(&mut page, pod, &value, view);
    write_addresses(&mut page, pod, &value);
    let kinds = [
        (
            "Init Containers",
            "/spec/initContainers",
            "/status/initContainerStatuses",
        ),
        (
            "Containers",
            "/spec/containers",
            "/status/containerStatuses",
        ),
        (
            "Ephemeral Containers",
            "/spec/ephemeralContainers",
            "/status/ephemeralContainerStatuses",
        ),
    ];
    for (label, containers, statuses) in kinds {
        let containers = list(&value, containers);
        if !containers.is_empty() || label == "Containers" {
            container::write(&mut page, label, containers, list(&value, statuses), &value);
        }
    }
    write_conditions(&mut page, pod);
    volume::write(&mut page, list(&value, "/spec/volumes"));
    page.field(0, "QoS Class", &qos_class(&value));
    let selector = value.pointer("/spec/nodeSelector").cloned();
    let selector: Option<StringMap> = selector.and_then(|value| serde_json::from_value(value).ok());
    page.pairs("Node-Selectors", &selector.unwrap_or_default());
    page.lines("Tolerations", &tolerations(&value));
    page.events(
        &About {
            kind: None,
            meta: &pod.metadata,
            other_uid: pod.metadata.annotations.get(MIRROR).map(String::as_str),
        },
        view,
    );
    page.finish()
}

fn write_place(page: &mut Page, pod: &Pod, value: &Value) {
    page.field(0, "Name", &pod.metadata.name);
    page.field(0, "Namespace", &pod.metadata.namespace);
    if value.pointer("/spec/priority").is_some() {
        page.field(0, "Priority", &number(value, "/spec/priority").to_string());
    }
    page.field_if(
        0,
        "Priority Class Name",
        text(value, "/spec/priorityClassName"),
    );
    page.field_if(
        0,
        "Runtime Class Name",
        text(value, "/spec/runtimeClassName"),
    );
    page.field_if(
        0,
        "Service Account",
        text(value, "/spec/serviceAccountName"),
    );
    match pod.spec.node_name.as_str() {
        "" => page.field(0, "Node", "<none>"),
        node => page.field(0, "Node", &format!("{node}/{}", pod.status.host_ip)),
    }
    if let Some(start) = &pod.status.start_time {
        page.field(0, "Start Time", &date(Some(start)));
    }
}

fn write_status(page: &mut Page, pod: &Pod, value: &Value, view: &View<'_>) {
    match &pod.metadata.deletion_timestamp {
        Some(end) if !pod.is_finished() => {
            let since = age(Some(end), view.now);
            page.field(0, "Status", &format!("Terminating (lasts {since})"));
            let grace = pod
                .metadata
                .deletion_grace_period_seconds
                .unwrap_or_default();
            page.field(0, "Termination Grace Period", &format!("{grace}s"));
        }
        _ => page.field(0, "Status", &pod.status.phase),
    }
    page.field_if(0, "Reason", text(value, "/status/reason"));
    page.field_if(0, "Message", text(value, "/status/message"));
    page.field_if(
        0,
        "SeccompProfile",
        text(value, "/spec/securityContext/seccompProfile/type"),
    );
    page.field_if(
        0,
        "LocalhostProfile",
        text(
            value,
            "/spec/securityContext/seccompProfile/localhostProfile",
        ),
    );
}

fn write_addresses(page: &mut Page, pod: &Pod, value: &Value) {
    page.field(0, "IP", &pod.status.pod_ip);
    if pod.status.pod_ips.is_empty() {
        page.field(0, "IPs", "<none>");
    } else {
        page.line(0, format_args!("IPs:"));
    }
    for address in &pod.status.pod_ips {
        page.field(1, "IP", &address.ip);
    }
    if let Some(owner) = pod.metadata.controller() {
        page.field(
            0,
            "Controlled By",
            &format!("{}/{}", owner.kind, owner.name),
        );
    }
    page.field_if(
        0,
        "NominatedNodeName",
        text(value, "/status/nominatedNodeName"),
    );
}

fn write_conditions(page: &mut Page, pod: &Pod) {
    let conditions = &pod.status.conditions;
    let gates = &pod.spec.readiness_gates;
    if !gates.is_empty() {
        page.line(0, format_args!("Readiness Gates:"));
        page.line(1, format_args!("Type\tStatus"));
    }
    for gate in gates {
        let name = &gate.condition_type;
        let condition = conditions
            .iter()
            .find(|condition| condition.condition_type == *name);
        let status = condition.map_or("<none>", |condition| &condition.status);
        page.line(1, format_args!("{name} \t{status} "));
    }
    if !conditions.is_empty() {
        page.line(0, format_args!("Conditions:"));
        page.line(1, format_args!("Type\tStatus"));
    }
    for condition in conditions {
        let (name, status) = (&condition.condition_type, &condition.status);
        page.line(1, format_args!("{name} \t{status} "));
    }
}

/// What the Pod's status says, or what its containers ask for.
fn qos_class(pod: &Value) -> String {
    if let Some(class) = given(pod, "/status/qosClass") {
        return class.to_owned();
    }
    let init = list(pod, "/spec/initContainers").iter();
    let containers: Vec<&Value> = init.chain(list(pod, "/spec/containers")).collect();
    let amount = |container: &Value, of: &str, resource: &str| {
        let found = container.pointer(&format!("/resources/{of}/{resource}"));
        found.map(|amount| Quantity::of(Some(amount)))
    };
    let resources = ["cpu", "memory"];
    let asks = |container: &&Value| {
        let given = resources
            .iter()
            .flat_map(|resource| ["limits", "requests"].map(|of| amount(container, of, resource)));
        given.flatten().any(|amount| amount != Quantity::default())
    };
    let is_guaranteed = |container: &&Value| {
        resources.iter().all(|resource| {
            let limit = amount(container, "limits", resource);
            let request = amount(container, "requests", resource).or(limit);
            limit.is_some() && limit == request
        })
    };
    let class = match () {
        () if !containers.iter().any(asks) => "BestEffort",
        () if containers.iter().all(is_guaranteed) => "Guaranteed",
        () => "Burstable",
    };
    class.to_owned()
}

fn tolerations(pod: &Value) -> Vec<String> {
    let mut all: Vec<&Value> = list(pod, "/spec/tolerations").iter().collect();
    all.sort_by_key(|toleration| text(toleration, "/key"));
    let lines = all.into_iter().map(|toleration| {
        let key = text(toleration, "/key");
        let mut line = key.to_owned();
        if let Some(value) = given(toleration, "/value") {
            line = format!("{line}={value}");
        }
        if let Some(effect) = given(toleration, "/effect") {
            line = format!("{line}:{effect}");
        }
        let exists = text(toleration, "/operator") == "Exists";
        if exists && given(toleration, "/value").is_none() {
            let blank = if line.is_empty() { "" } else { " " };
            line = format!("{line}{blank}op=Exists");
        }
        if toleration.get("tolerationSeconds").is_some() {
            line = format!("{line} for {}s", number(toleration, "/tolerationSeconds"));
        }
        line
    });
    lines.collect()
}

/// What a Pod's containers need at once, of a resource: sidecars run beside all others, init containers alone.
pub(super) fn total(pod: &Pod, of: &str, resource: &str) -> Quantity {
    let value = Value::Object(Object::from(pod.clone()).to_fields());
    let amount =
        |container: &Value| Quantity::of(container.pointer(&format!("/resources/{of}/{resource}")));
    let containers = list(&value, "/spec/containers").iter();
    let regular = containers
        .map(amount)
        .fold(Quantity::default(), Quantity::plus);
    let (mut sidecars, mut alone) = (Quantity::default(), Quantity::default());
    for container in list(&value, "/spec/initContainers") {
        if text(container, "/restartPolicy") == "Always" {
            sidecars = sidecars.plus(amount(container));
            alone = alone.max(sidecars);
        } else {
            alone = alone.max(sidecars.plus(amount(container)));
        }
    }
    regular.plus(sidecars).max(alone)
}

/// The Pods that take up a node's resources, by namespace and name.
pub(super) fn on_node(node: &str, view: &View<'_>) -> Vec<Object> {
    let mut pods = view.objects.list(Kind::Pod, None);
    pods.retain(|object| {
        object
            .as_pod()
            .is_some_and(|pod| pod.spec.node_name == node && !pod.is_finished())
    });
    pods
}

/// A flag as descriptions spell it.
pub(super) fn boolean(value: &Value, pointer: &str) -> &'static str {
    match flag(value, pointer) {
        true => "True",
        false => "False",
    }
}
