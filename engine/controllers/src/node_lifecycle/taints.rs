//! The taints that tell of a node's troubles.
//!
//! **Source of the semantics.** API-78; S: `pkg/controller/nodelifecycle/node_lifecycle_controller.go`
//! (nodeConditionToTaintKeyStatusMap).

use api::{Node, Taint, timestamp};
use base::SimTime;

use super::readiness;
use crate::tolerations::{
    NO_EXECUTE, NO_SCHEDULE, NOT_READY, UNREACHABLE, UNSCHEDULABLE, is_cordoned, taint, taints,
};

/// Each condition, the status in which it is a trouble, and the taint that tells of it.
const TROUBLES: [(&str, &str, &str); 6] = [
    ("Ready", "False", NOT_READY),
    ("Ready", "Unknown", UNREACHABLE),
    (
        "MemoryPressure",
        "True",
        "node.kubernetes.io/memory-pressure",
    ),
    ("DiskPressure", "True", "node.kubernetes.io/disk-pressure"),
    (
        "NetworkUnavailable",
        "True",
        "node.kubernetes.io/network-unavailable",
    ),
    ("PIDPressure", "True", "node.kubernetes.io/pid-pressure"),
];

/// The taints that a node should have, if it has others.
pub(super) fn wanted_taints(node: &Node, now: SimTime) -> Option<Vec<Taint>> {
    let wanted = own_taints(node);
    let same = |left: &Taint, right: &Taint| left.key == right.key && left.effect == right.effect;
    let present = taints(node);
    let stays =
        |taint: &Taint| !is_own(taint, node) || wanted.iter().any(|wanted| same(wanted, taint));
    let mut next: Vec<Taint> = present
        .iter()
        .filter(|taint| stays(taint))
        .cloned()
        .collect();
    for mut taint in wanted {
        if !present.iter().any(|known| same(known, &taint)) {
            taint.time_added = Some(timestamp(now));
            next.push(taint);
        }
    }
    (next != present).then_some(next)
}

/// The taints that tell of a node's troubles.
fn own_taints(node: &Node) -> Vec<Taint> {
    let has = |kind: &str, status: &str| {
        let mut conditions = node.status.conditions.iter();
        conditions.any(|found| found.condition_type == kind && found.status == status)
    };
    let troubles = TROUBLES
        .iter()
        .filter(|(kind, status, _)| has(kind, status));
    let keys: Vec<&str> = troubles.map(|(_, _, key)| *key).collect();
    let mut wanted: Vec<Taint> = keys.iter().map(|key| taint(key, NO_SCHEDULE)).collect();
    if is_cordoned(node) {
        wanted.push(taint(UNSCHEDULABLE, NO_SCHEDULE));
    }
    let away = keys.iter().filter(|key| is_absence(key));
    wanted.extend(away.map(|key| taint(key, NO_EXECUTE)));
    wanted
}

/// Whether a taint is this controller's to remove: it is nobody's business while a node does not say whether it is
/// Ready.
fn is_own(taint: &Taint, node: &Node) -> bool {
    let key = taint.key.as_str();
    let tells_trouble = || key == UNSCHEDULABLE || TROUBLES.iter().any(|(_, _, own)| *own == key);
    match taint.effect.as_str() {
        _ if is_absence(key) && readiness(node).is_none() => false,
        NO_SCHEDULE => tells_trouble(),
        NO_EXECUTE => is_absence(key),
        _ => false,
    }
}

fn is_absence(key: &str) -> bool {
    matches!(key, NOT_READY | UNREACHABLE)
}
