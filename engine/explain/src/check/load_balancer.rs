//! DBG-53: a load balancer that never comes.

use crate::facts::Facts;
use crate::finding::Check;
use crate::{Certainty, Finding, Severity};

/// Type LoadBalancer without an address.
pub(super) fn pending(facts: &Facts<'_>) -> Vec<Finding> {
    let service = facts.service;
    if service.spec.service_type != "LoadBalancer"
        || !service.status.load_balancer.ingress.is_empty()
    {
        return Vec::new();
    }
    let ports: Vec<i32> = service
        .spec
        .ports
        .iter()
        .map(|port| port.node_port)
        .filter(|port| *port > 0)
        .collect();
    let meanwhile = match ports.first() {
        Some(port) => format!("; ClusterIP and node port {port} work meanwhile"),
        None => "; the ClusterIP works meanwhile".to_owned(),
    };
    vec![Finding {
        id: "DBG-53",
        certainty: Certainty::Certain,
        severity: Severity::Pitfall,
        subject: facts.key.clone(),
        field: Some("status.loadBalancer".to_owned()),
        sees: format!(
            "Clients outside have no address for {}: EXTERNAL-IP stays <pending>",
            facts.name()
        ),
        why: format!(
            "no controller for load balancers has given the Service an address{meanwhile}"
        ),
        fix: "run a controller for load balancers (a cloud provider's, MetalLB …), or change spec.type to NodePort"
            .to_owned(),
        confirm: vec![Check::prints(
            facts.kubectl_get(&format!("service {}", service.metadata.name)),
            "<pending>",
        )],
    }]
}
