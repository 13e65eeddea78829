//! RollingUpdate: new Pods come and old ones go within the bounds of the Deployment.
//!
//! **Source of the semantics.** S: `pkg/controller/deployment/rolling.go`,
//! `pkg/controller/deployment/util/deployment_util.go` (NewRSNewReplicas).
//!
//! Available is what ReplicaSets say. One that is told to shrink and, before it has said so, to grow again, still
//! counts what it has lost: a rollout that is taken back at such a moment can leave too few, as in Kubernetes.

use super::figures::Figures;
use super::member::Member;
use super::rollout::Rollout;

impl Rollout {
    /// One step: scales up the new ReplicaSet, or else scales down old ones.
    pub(super) fn roll(&mut self) {
        let is_first = self.new.is_none();
        if is_first {
            self.make_new(new_size(0, self.total(), &self.figures));
        }
        if self.scale_new() || self.scale_down_old() {
            return;
        }
        self.clean_up_if_complete();
    }

    /// Gives the new ReplicaSet as many Pods as the surge allows; says whether that is a change.
    fn scale_new(&mut self) -> bool {
        let (total, figures) = (self.total(), self.figures);
        let Some(new) = &mut self.new else {
            return false;
        };
        let size = if new.replicas() > figures.replicas {
            figures.replicas
        } else {
            new_size(new.replicas(), total, &figures)
        };
        new.scale(size, &figures)
    }

    /// Takes as many Pods from old ReplicaSets as may be missing, unhealthy ones first; says whether there are any.
    fn scale_down_old(&mut self) -> bool {
        let figures = self.figures;
        if !self.old.iter().any(Member::is_active) {
            return false;
        }
        let unavailable = self.new.as_ref();
        let unavailable = unavailable.map_or(0, |new| new.replicas() - new.available());
        let most = self.total() - figures.least_available() - unavailable;
        if most <= 0 {
            return false;
        }
        let Some(cleaned) = clean_up_unhealthy(&mut self.old, most, &figures) else {
            return false;
        };
        // What has no Pods any more does not count, whatever it says.
        let active = self.old.iter().filter(|member| member.is_active());
        let available: i64 = active.chain(&self.new).map(Member::available).sum();
        let mut excess = available - figures.least_available();
        let mut scaled = false;
        for member in self.old.iter_mut().filter(|member| member.is_active()) {
            if excess <= 0 {
                break;
            }
            let less = member.replicas().min(excess);
            excess -= less;
            scaled |= member.scale(member.replicas() - less, &figures);
        }
        cleaned || scaled
    }
}

/// The next size of a new ReplicaSet that has `size` Pods of `total`.
fn new_size(size: i64, total: i64, figures: &Figures) -> i64 {
    let room = figures.most() - total;
    if room <= 0 {
        return size;
    }
    size + room.min(figures.replicas - size)
}

/// Takes up to `most` Pods that are not available from old ReplicaSets; says whether there were any. `None` if one
/// still counts as available what it has been told to give up: it is too early to judge then.
fn clean_up_unhealthy(old: &mut [Member], most: i64, figures: &Figures) -> Option<bool> {
    let mut left = most;
    for member in old.iter_mut().filter(|member| member.is_active()) {
        if left <= 0 {
            break;
        }
        let unhealthy = member.replicas() - member.available();
        if unhealthy < 0 {
            return None;
        }
        let less = unhealthy.min(left);
        left -= less;
        member.scale(member.replicas() - less, figures);
    }
    Some(left < most)
}
