//! Which taints of a node a Pod bears.
//!
//! **Source of the semantics.** S: `component-helpers/scheduling/corev1/helpers.go`, core/v1 `toleration.go`.

use api::{Node, Pod, Taint, Toleration};

/// A taint with this effect keeps Pods from being put on the node.
pub(crate) const NO_SCHEDULE: &str = "NoSchedule";
/// A taint with this effect keeps Pods away, and sends those away that are there.
pub(crate) const NO_EXECUTE: &str = "NoExecute";
/// The taint of a node that is not Ready.
pub(crate) const NOT_READY: &str = "node.kubernetes.io/not-ready";
/// The taint of a node that nobody hears of.
pub(crate) const UNREACHABLE: &str = "node.kubernetes.io/unreachable";
/// The taint of a cordoned node.
pub(crate) const UNSCHEDULABLE: &str = "node.kubernetes.io/unschedulable";

/// A node's taints, as they are written.
pub(crate) fn taints(node: &Node) -> Vec<Taint> {
    node.spec.rest.typed("taints").unwrap_or_default()
}

/// What a Pod bears.
pub(crate) fn tolerations(pod: &Pod) -> Vec<Toleration> {
    pod.spec.rest.typed("tolerations").unwrap_or_default()
}

/// A taint without a value.
pub(crate) fn taint(key: &str, effect: &str) -> Taint {
    Taint {
        key: key.to_owned(),
        effect: effect.to_owned(),
        ..Taint::default()
    }
}

/// Whether one toleration bears a taint; an operator that is unknown bears nothing.
pub(crate) fn bears(toleration: &Toleration, taint: &Taint) -> bool {
    let any_or = |asked: &str, found: &str| asked.is_empty() || asked == found;
    any_or(&toleration.effect, &taint.effect)
        && any_or(&toleration.key, &taint.key)
        && match toleration.operator.as_str() {
            "" | "Equal" => toleration.value == taint.value,
            "Exists" => true,
            _ => false,
        }
}

/// Whether one of the tolerations bears a taint.
pub(crate) fn any_bears(tolerations: &[Toleration], taint: &Taint) -> bool {
    tolerations
        .iter()
        .any(|toleration| bears(toleration, taint))
}

/// Whether the node says that Pods are not to be put on it: it is cordoned.
pub(crate) fn is_cordoned(node: &Node) -> bool {
    let flag = node.spec.rest.get("unschedulable");
    flag.is_some_and(|flag| flag == true)
}
