//! DBG-31: a Service without a virtual address whose clients rely on port mapping.

use api::{Kind, Object, Pod, ServicePort};
use controllers::Application;

use super::listening::target;
use crate::facts::Facts;
use crate::finding::Check;
use crate::pods::declared;
use crate::{Certainty, Finding, Severity};

/// A headless Service whose ports would be mapped, if it were not headless.
pub(super) fn by_accident(facts: &Facts<'_>) -> Vec<Finding> {
    if !facts.service.is_headless() {
        return Vec::new();
    }
    let asked = facts.port.map(|asked| i32::from(asked.number));
    let ports = facts.service.spec.ports.iter().enumerate();
    let ports = ports.filter(|(_, port)| asked.is_none_or(|number| number == port.port));
    ports
        .filter_map(|(index, port)| unmapped(facts, index, port))
        .collect()
}

fn unmapped(facts: &Facts<'_>, index: usize, port: &ServicePort) -> Option<Finding> {
    let taking: Vec<&Pod> = facts.taking().collect();
    let first = taking.first()?;
    let listens = |pod: &&Pod| {
        let application = Application::of(pod);
        let mut open = application.open_ports();
        open.any(|open| i32::from(open.port) == port.port && open.protocol == port.transport())
    };
    if taking.iter().any(listens) {
        return None;
    }
    let number = taking.iter().find_map(|pod| target(pod, port))?;
    if number == port.port {
        return None;
    }
    let says_nothing = |pod: &&Pod| declared(pod).next().is_none();
    Some(Finding {
        id: "DBG-31",
        certainty: match taking.iter().all(says_nothing) {
            true => Certainty::Possible,
            false => Certainty::Likely,
        },
        // Members of a set know where their like listen.
        severity: match governs(facts) {
            true => Severity::Pitfall,
            false => Severity::Fault,
        },
        subject: facts.key.clone(),
        field: Some("spec.clusterIP".to_owned()),
        sees: format!(
            "{} port {} get \"connection refused\", from a Pod and not from the node",
            facts.clients(),
            port.port
        ),
        why: format!(
            "the Service is headless: its name stands for the Pods' own addresses, so nothing maps port {} to {number}, \
             and {} does not listen on {}",
            port.port, first.metadata.name, port.port
        ),
        fix: format!(
            "dial port {number}, or make the Service anew without clusterIP: None (spec.ports[{index}] is mapped then)"
        ),
        confirm: vec![Check::prints(
            facts.kubectl_get(&format!("service {}", facts.service.metadata.name)),
            "None",
        )],
    })
}

/// Whether it gives the members of a StatefulSet their names.
fn governs(facts: &Facts<'_>) -> bool {
    let sets = facts.api.list(Kind::StatefulSet, Some(facts.namespace));
    let mut sets = sets.filter_map(Object::as_stateful_set);
    sets.any(|set| set.spec.service_name == facts.service.metadata.name)
}
