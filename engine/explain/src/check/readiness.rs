//! DBG-22, DBG-32, DBG-56, DBG-57, DBG-81: Pods match, and none of them, or not all, take connections.

use api::{Container, IntOrString, Kind, ObjectKey, Pod, Probe};
use controllers::Application;

use super::selector::refused_by_node;
use crate::facts::{Facts, usable};
use crate::finding::Check;
use crate::pods::{counted, list, names, obstacle};
use crate::{Certainty, Finding, Severity};

/// Matching Pods that take no connections.
pub(super) fn not_ready(facts: &Facts<'_>) -> Vec<Finding> {
    let (stray, pods): (Vec<&Pod>, Vec<&Pod>) = facts
        .selected
        .iter()
        .copied()
        .partition(|pod| is_on_no_node(facts, pod));
    let mut findings: Vec<Finding> = node_missing(facts, &stray).into_iter().collect();
    let obstacles = pods
        .iter()
        .map(|pod| (*pod, obstacle(pod, facts.service)))
        .collect::<Vec<_>>();
    let held: Vec<(&Pod, String)> = obstacles
        .iter()
        .filter_map(|(pod, obstacle)| Some((*pod, obstacle.clone()?)))
        .collect();
    // Pods that have run to their end among others that work are no news.
    let unready: Vec<(&Pod, String)> = held
        .iter()
        .filter(|(pod, _)| !pod.is_finished() && !pod.metadata.is_terminating())
        .cloned()
        .collect();
    let none_takes = !pods.is_empty() && held.len() == pods.len();
    if none_takes && pods.iter().all(|pod| pod.is_finished()) {
        findings.push(finished(facts, &pods));
    } else if none_takes {
        findings.push(none_ready(facts, &held));
    } else if !unready.is_empty() {
        findings.push(some_ready(facts, &unready));
    }
    findings
}

fn none_ready(facts: &Facts<'_>, held: &[(&Pod, String)]) -> Finding {
    let match_or_matches = if held.len() == 1 { "matches" } else { "match" };
    Finding {
        id: match facts.service.is_headless() {
            true => "DBG-32",
            false => "DBG-22",
        },
        severity: Severity::Fault,
        sees: refused_by_node(facts),
        why: format!(
            "{} {match_or_matches}, 0 ready: {}",
            counted(held.len(), "Pod"),
            told(held)
        ),
        ..unready(facts, held)
    }
}

fn some_ready(facts: &Facts<'_>, held: &[(&Pod, String)]) -> Finding {
    let ready: Vec<&str> = facts
        .taking()
        .map(|pod| pod.metadata.name.as_str())
        .collect();
    Finding {
        severity: Severity::Pitfall,
        sees: format!("{} are answered, by {} only", facts.clients(), list(&ready)),
        why: format!(
            "{} match, {} ready: {}",
            counted(facts.selected.len(), "Pod"),
            ready.len(),
            told(held)
        ),
        ..unready(facts, held)
    }
}

/// What all findings about Pods that are not ready have in common.
fn unready(facts: &Facts<'_>, held: &[(&Pod, String)]) -> Finding {
    let (first, _) = held.first().expect("some Pod is not ready");
    let name = &first.metadata.name;
    let probe = held
        .iter()
        .find_map(|(pod, _)| failing_probe(pod).map(|failing| (pod, failing)));
    let (field, fix) = match &probe {
        Some((_, failing)) => (failing.field.clone(), failing.fix.clone()),
        None => (
            "status.conditions".to_owned(),
            "make the Pods ready: look at their readiness probes, their logs, and whether they are \
             scheduled"
                .to_owned(),
        ),
    };
    Finding {
        id: "DBG-22",
        certainty: Certainty::Certain,
        severity: Severity::Fault,
        subject: ObjectKey::new(Kind::Pod, facts.namespace, name),
        field: Some(field),
        sees: String::new(),
        why: String::new(),
        fix,
        confirm: vec![
            Check::prints(
                facts.kubectl_get(&format!("pod {name}")),
                ready_column(first),
            ),
            Check::run(format!(
                "kubectl describe pod {name} -n {}",
                facts.namespace
            )),
        ],
    }
}

/// Pods that are held up by the same are told of together.
fn told(held: &[(&Pod, String)]) -> String {
    let mut told: Vec<(String, Vec<&str>)> = Vec::new();
    for (pod, why) in held {
        let why = failing_probe(pod).map_or_else(|| why.clone(), |failing| failing.told);
        let name = pod.metadata.name.as_str();
        match told.iter_mut().find(|(known, _)| *known == why) {
            Some((_, names)) => names.push(name),
            None => told.push((why, vec![name])),
        }
    }
    let told = told.iter().map(|(why, names)| match names.len() {
        1 => format!("{} {why}", list(names)),
        _ => format!("{} each {why}", list(names)),
    });
    list(&told.collect::<Vec<_>>())
}

/// `0/1`, as the column READY has it.
fn ready_column(pod: &Pod) -> String {
    let is_ready = |name: &str| {
        let status = pod.container_status(name);
        status.is_some_and(|status| status.ready)
    };
    let containers: Vec<bool> = pod
        .serving_containers()
        .map(|container| is_ready(&container.name))
        .collect();
    let ready = containers.iter().filter(|is_ready| **is_ready).count();
    format!("{ready}/{}", containers.len())
}

/// A readiness probe that the application cannot pass.
struct FailingProbe {
    field: String,
    told: String,
    fix: String,
}

/// DBG-96. Judged by what the Pod says of its application; a probe that it might pass fails for another reason.
fn failing_probe(pod: &Pod) -> Option<FailingProbe> {
    if pod.is_ready() || pod.status.phase != "Running" {
        return None;
    }
    let application = Application::of(pod);
    let containers = pod.spec.containers.iter().enumerate();
    let containers = containers.map(|(index, one)| (format!("spec.containers[{index}]"), one));
    let sidecars = pod.spec.init_containers.iter().enumerate();
    let sidecars = sidecars.filter(|(_, one)| one.runs_on());
    let sidecars = sidecars.map(|(index, one)| (format!("spec.initContainers[{index}]"), one));
    containers.chain(sidecars).find_map(|(place, container)| {
        let asked = container.readiness_probe.as_deref()?;
        let (kind, port, shown) = probed(asked)?;
        let number = number(container, port);
        if number.is_some_and(|number| application.answers(number)) {
            return None;
        }
        let open: Vec<String> = application
            .open_ports()
            .map(|open| open.port.to_string())
            .collect();
        let open = match open.len() {
            0 => "it listens on no port that others reach".to_owned(),
            _ => format!("it listens on {}", list(&open)),
        };
        let field = format!("{place}.readinessProbe.{kind}.port");
        Some(FailingProbe {
            told: format!(
                "is not ready: container {} fails its readiness probe {shown}, because nothing listens there ({open})",
                container.name
            ),
            fix: format!("correct {field}, or let the application listen on that port"),
            field,
        })
    })
}

/// How a probe asks: the field, the port, and the same in words.
fn probed(probe: &Probe) -> Option<(&'static str, &IntOrString, String)> {
    if let Some(get) = &probe.http_get {
        let shown = format!("GET :{}{}", get.port, get.path);
        return Some(("httpGet", &get.port, shown));
    }
    let socket = probe.tcp_socket.as_ref()?;
    Some(("tcpSocket", &socket.port, format!("TCP :{}", socket.port)))
}

fn number(container: &Container, port: &IntOrString) -> Option<i32> {
    match port {
        IntOrString::Int(number) => Some(*number),
        IntOrString::String(name) => {
            let mut ports = container.ports.iter();
            ports
                .find(|port| port.name == *name)
                .map(|port| port.container_port)
        }
    }
}

/// DBG-56.
fn finished(facts: &Facts<'_>, pods: &[&Pod]) -> Finding {
    let verb = if pods.len() == 1 { "has" } else { "have" };
    let first = pods.first().expect("some Pod has run to its end");
    Finding {
        id: "DBG-56",
        certainty: Certainty::Certain,
        severity: Severity::Fault,
        subject: facts.key.clone(),
        field: Some("spec.selector".to_owned()),
        sees: refused_by_node(facts),
        why: format!(
            "{} ({}) {verb} the right labels and {verb} run to the end ({}): such Pods are no endpoints",
            counted(pods.len(), "Pod"),
            list(&names(pods)),
            first.status.phase
        ),
        fix: "select Pods that keep running: those of a Deployment, not those of a Job".to_owned(),
        confirm: vec![Check::run(
            facts.kubectl_get(&format!("pods {}", names(pods).join(" "))),
        )],
    }
}

/// Whether its node is not known, so that the controller has left it out (EP-5). Those that were listed before the Node
/// went are still reached (EP-58).
fn is_on_no_node(facts: &Facts<'_>, pod: &Pod) -> bool {
    let node = pod.spec.node_name.as_str();
    let is_left_out = || {
        let mut endpoints = facts.slices.iter().flat_map(|slice| usable(slice));
        !endpoints.any(|endpoint| {
            let target = endpoint.target_ref.as_ref();
            target.is_some_and(|target| target.uid == pod.metadata.uid)
        })
    };
    !node.is_empty() && !pod.is_finished() && facts.api.node(node).is_none() && is_left_out()
}

/// DBG-57.
fn node_missing(facts: &Facts<'_>, stray: &[&Pod]) -> Option<Finding> {
    let first = stray.first()?;
    let node = &first.spec.node_name;
    let is_lost =
        stray.len() == facts.selected.len() && !facts.service.spec.publish_not_ready_addresses;
    let sees = match is_lost {
        true => refused_by_node(facts),
        false => format!("{} never reach {}", facts.clients(), list(&names(stray))),
    };
    Some(Finding {
        id: "DBG-57",
        certainty: Certainty::Certain,
        severity: if is_lost {
            Severity::Fault
        } else {
            Severity::Pitfall
        },
        subject: ObjectKey::new(Kind::Pod, facts.namespace, &first.metadata.name),
        field: Some("spec.nodeName".to_owned()),
        sees,
        why: format!(
            "{} {} on node {node}, and there is no Node of that name",
            list(&names(stray)),
            if stray.len() == 1 { "is" } else { "are" }
        ),
        fix: format!("register node {node}, or delete the Pods that it has left behind"),
        confirm: vec![Check::prints(
            format!("kubectl get node {node}"),
            format!("nodes \"{node}\" not found"),
        )],
    })
}
