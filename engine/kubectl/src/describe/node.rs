//! Nodes, with the Pods on them and what those have asked for.

use api::{Condition, Kind, Node, Object, ObjectKey, Pod};
use serde_json::Value;

use super::event::About;
use super::page::Page;
use super::{View, pod};
use crate::fields::{entries, flag, given, list, pairs, plain, text};
use crate::quantity::Quantity;
use crate::table::roles;
use crate::time::{age, date};

/// Where nodes renew their leases.
const LEASES: &str = "kube-node-lease";
/// Resources that every node has, as the page shows them.
const STANDARD: [&str; 3] = ["cpu", "memory", "ephemeral-storage"];

pub(super) fn page(node: &Node, view: &View<'_>) -> String {
    let value = Value::Object(Object::from(node.clone()).to_fields());
    let mut page = Page::default();
    page.field(0, "Name", &node.metadata.name);
    page.field(0, "Roles", &roles(node));
    page.labels_and_annotations(&node.metadata);
    page.field(
        0,
        "CreationTimestamp",
        &date(node.metadata.creation_timestamp.as_deref()),
    );
    page.lines("Taints", &taints(&value));
    page.field(
        0,
        "Unschedulable",
        &flag(&value, "/spec/unschedulable").to_string(),
    );
    write_lease(&mut page, &node.metadata.name, view);
    write_conditions(&mut page, &node.status.conditions);
    page.line(0, format_args!("Addresses:"));
    for address in &node.status.addresses {
        page.field(1, &address.address_type, &address.address);
    }
    for (name, pointer) in [
        ("Capacity", "/status/capacity"),
        ("Allocatable", "/status/allocatable"),
    ] {
        if entries(&value, pointer) > 0 {
            page.line(0, format_args!("{name}:"));
        }
        for (resource, amount) in pairs(&value, pointer) {
            page.field(1, resource, &plain(amount));
        }
    }
    write_system(&mut page, &value);
    page.field_if(0, "PodCIDR", &node.spec.pod_cidr);
    page.field_if(0, "PodCIDRs", &node.spec.pod_cidrs.join(","));
    page.field_if(0, "ProviderID", text(&value, "/spec/providerID"));
    write_pods(&mut page, &value, &node.metadata.name, view);
    page.events(
        &About {
            // Kubelets know their node by its name only.
            other_uid: Some(&node.metadata.name),
            ..About::new(Kind::Node, &node.metadata)
        },
        view,
    );
    page.finish()
}

fn taints(node: &Value) -> Vec<String> {
    let mut taints: Vec<&Value> = list(node, "/spec/taints").iter().collect();
    taints.sort_by_key(|taint| (text(taint, "/effect"), text(taint, "/key")));
    let lines = taints.into_iter().map(|taint| {
        let (key, effect) = (text(taint, "/key"), text(taint, "/effect"));
        match (given(taint, "/value"), effect) {
            (None, "") => key.to_owned(),
            (None, effect) => format!("{key}:{effect}"),
            (Some(value), "") => format!("{key}={value}:"),
            (Some(value), effect) => format!("{key}={value}:{effect}"),
        }
    });
    lines.collect()
}

fn write_lease(page: &mut Page, node: &str, view: &View<'_>) {
    let leases = Kind::of_manifest("coordination.k8s.io/v1", "Lease").expect("the kind is known");
    match view.objects.get(&ObjectKey::new(leases, LEASES, node)) {
        Ok(lease) => {
            let lease = Value::Object(lease.to_fields());
            page.line(0, format_args!("Lease:"));
            page.field_or(
                1,
                "HolderIdentity",
                text(&lease, "/spec/holderIdentity"),
                "<unset>",
            );
            for (name, pointer) in [
                ("AcquireTime", "/spec/acquireTime"),
                ("RenewTime", "/spec/renewTime"),
            ] {
                let time = given(&lease, pointer).map(|time| date(Some(time)));
                page.field_or(1, name, &time.unwrap_or_default(), "<unset>");
            }
        }
        Err(status) => page.field(0, "Lease", &format!("Failed to get lease: {status}")),
    }
}

fn write_conditions(page: &mut Page, conditions: &[Condition]) {
    if conditions.is_empty() {
        return;
    }
    page.line(0, format_args!("Conditions:"));
    page.line(
        1,
        format_args!("Type\tStatus\tLastHeartbeatTime\tLastTransitionTime\tReason\tMessage"),
    );
    page.line(
        1,
        format_args!("----\t------\t-----------------\t------------------\t------\t-------"),
    );
    for condition in conditions {
        let (kind, status) = (&condition.condition_type, &condition.status);
        let [heartbeat, reason, message] = ["lastHeartbeatTime", "reason", "message"]
            .map(|field| condition.rest.get(field).and_then(Value::as_str));
        let heartbeat = date(heartbeat);
        let since = date(condition.last_transition_time.as_deref());
        let (reason, message) = (reason.unwrap_or_default(), message.unwrap_or_default());
        page.line(
            1,
            format_args!("{kind} \t{status} \t{heartbeat} \t{since} \t{reason} \t{message}"),
        );
    }
}

fn write_system(page: &mut Page, node: &Value) {
    page.line(0, format_args!("System Info:"));
    for (name, field) in [
        ("Machine ID", "machineID"),
        ("System UUID", "systemUUID"),
        ("Boot ID", "bootID"),
        ("Kernel Version", "kernelVersion"),
        ("OS Image", "osImage"),
        ("Operating System", "operatingSystem"),
        ("Architecture", "architecture"),
        ("Container Runtime Version", "containerRuntimeVersion"),
        ("Kubelet Version", "kubeletVersion"),
    ] {
        page.field(1, name, text(node, &format!("/status/nodeInfo/{field}")));
    }
}

fn write_pods(page: &mut Page, node: &Value, name: &str, view: &View<'_>) {
    let objects = pod::on_node(name, view);
    let pods: Vec<&Pod> = objects
        .iter()
        .filter_map(|object| object.as_pod().map(|pod| &**pod))
        .collect();
    let allocatable = match entries(node, "/status/allocatable") {
        0 => "/status/capacity",
        _ => "/status/allocatable",
    };
    let whole = |resource: &str| Quantity::of(node.pointer(&format!("{allocatable}/{resource}")));
    let share = |amount: Quantity, resource: &str| {
        format!("{amount} ({}%)", amount.percent_of(whole(resource)))
    };
    page.field(
        0,
        "Non-terminated Pods",
        &format!("({} in total)", pods.len()),
    );
    page.line(
        1,
        format_args!(
            "Namespace\tName\t\tCPU Requests\tCPU Limits\tMemory Requests\tMemory Limits\tAge"
        ),
    );
    page.line(
        1,
        format_args!(
            "---------\t----\t\t------------\t----------\t---------------\t-------------\t---"
        ),
    );
    for pod in &pods {
        let cells = [
            ("requests", "cpu"),
            ("limits", "cpu"),
            ("requests", "memory"),
            ("limits", "memory"),
        ];
        let cells = cells.map(|(of, resource)| share(pod::total(pod, of, resource), resource));
        let (namespace, name) = (&pod.metadata.namespace, &pod.metadata.name);
        let age = age(pod.metadata.creation_timestamp.as_deref(), view.now);
        page.line(
            1,
            format_args!("{namespace}\t{name}\t\t{}\t{age}", cells.join("\t")),
        );
    }
    page.line(0, format_args!("Allocated resources:"));
    page.line(
        1,
        format_args!("(Total limits may be over 100 percent, i.e., overcommitted.)"),
    );
    page.line(1, format_args!("Resource\tRequests\tLimits"));
    page.line(1, format_args!("--------\t--------\t------"));
    let sum = |of: &str, resource: &str| {
        let amounts = pods.iter().map(|pod| pod::total(pod, of, resource));
        amounts.fold(Quantity::default(), Quantity::plus)
    };
    for resource in STANDARD {
        let [requests, limits] =
            ["requests", "limits"].map(|of| share(sum(of, resource), resource));
        page.line(1, format_args!("{resource}\t{requests}\t{limits}"));
    }
    for (resource, _) in pairs(node, allocatable) {
        let is_huge_page = resource.starts_with("hugepages-");
        if STANDARD.contains(&resource) || resource == "pods" {
            continue;
        }
        let [requests, limits] = ["requests", "limits"].map(|of| match is_huge_page {
            true => share(sum(of, resource), resource),
            false => sum(of, resource).to_string(),
        });
        page.line(1, format_args!("{resource}\t{requests}\t{limits}"));
    }
}
