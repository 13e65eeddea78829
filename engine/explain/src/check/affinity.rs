//! DBG-44: clients that stay with one Pod.

use crate::facts::Facts;
use crate::finding::Check;
use crate::{Certainty, Finding, Severity};

/// What Kubernetes takes where no time is given (API-32).
const TIMEOUT_DEFAULT: i32 = 10_800;

/// Session affinity, where there is more than one endpoint to stay away from.
pub(super) fn sticky(facts: &Facts<'_>) -> Vec<Finding> {
    let spec = &facts.service.spec;
    if spec.session_affinity != "ClientIP" || facts.taking().count() < 2 {
        return Vec::new();
    }
    let client_ip = spec
        .session_affinity_config
        .as_ref()
        .and_then(|config| config.client_ip.as_ref());
    let seconds = client_ip
        .and_then(|config| config.timeout_seconds)
        .unwrap_or(TIMEOUT_DEFAULT);
    vec![Finding {
        id: "DBG-44",
        certainty: Certainty::Certain,
        severity: Severity::Pitfall,
        subject: facts.key.clone(),
        field: Some("spec.sessionAffinity".to_owned()),
        sees: format!("{} reach the same Pod again and again", facts.clients()),
        why: format!(
            "sessionAffinity is ClientIP: an address stays with its Pod until it has been silent for {seconds} s, and all \
             clients behind one address count as one"
        ),
        fix: "change spec.sessionAffinity to None, unless the application needs it".to_owned(),
        confirm: vec![Check::prints(
            facts.kubectl_get(&format!(
                "service {} -o jsonpath='{{.spec.sessionAffinity}}'",
                facts.service.metadata.name
            )),
            "ClientIP",
        )],
    }]
}
