//! What a Pod asks of the node that it is put on.

use api::{Pod, Taint, Toleration};

use super::footprint::Footprint;
use super::pod_term::PodTerm;
use super::spread::Spread;
use crate::node_selector::NodeSelector;
use crate::tolerations::{NO_EXECUTE, NO_SCHEDULE, NOT_READY, UNREACHABLE, any_bears, tolerations};

/// What a Pod asks of its node.
#[derive(Clone, Debug)]
pub(super) struct Demand {
    pub(super) footprint: Footprint,
    pub(super) selector: NodeSelector,
    pub(super) spreads: Vec<Spread>,
    /// The Pods that it must be near to.
    pub(super) attracted_by: Vec<PodTerm>,
    /// Whether it may push other Pods aside.
    pub(super) preempts: bool,
    tolerations: Vec<Toleration>,
}

impl Demand {
    /// What this Pod asks.
    pub(super) fn of(pod: &Pod) -> Self {
        let policy = pod.spec.rest.get("preemptionPolicy");
        Self {
            footprint: Footprint::of(pod),
            selector: NodeSelector::of(&pod.spec),
            spreads: Spread::all_of(pod),
            attracted_by: PodTerm::affinity(pod),
            preempts: policy.is_none_or(|policy| policy != "Never"),
            tolerations: tolerations(pod),
        }
    }

    /// Whether any node will do that takes everybody and has the room.
    pub(super) fn asks_for_room_alone(&self) -> bool {
        self.footprint.repels.is_empty()
            && self.selector.is_empty()
            && self.spreads.is_empty()
            && self.attracted_by.is_empty()
            && self.tolerations.iter().all(is_common)
    }

    /// Whether another Pod's coming may make it fit.
    pub(super) fn minds_arrivals(&self) -> bool {
        !self.attracted_by.is_empty() || self.spreads.iter().any(|spread| spread.is_hard)
    }

    /// Whether it may be put where this taint is.
    pub(super) fn bears(&self, taint: &Taint) -> bool {
        !matches!(taint.effect.as_str(), NO_SCHEDULE | NO_EXECUTE)
            || any_bears(&self.tolerations, taint)
    }

    /// Whether it had better not be put where this taint is.
    pub(super) fn shuns(&self, taint: &Taint) -> bool {
        taint.effect == "PreferNoSchedule" && !any_bears(&self.tolerations, taint)
    }
}

/// What admission gives to every Pod: it opens no node that is closed to others.
fn is_common(toleration: &Toleration) -> bool {
    toleration.effect == NO_EXECUTE && matches!(toleration.key.as_str(), NOT_READY | UNREACHABLE)
}
